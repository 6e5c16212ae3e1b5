from __future__ import annotations

from textapp.text.subwords import MAX_NGRAMS, piece_ngrams

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]


def test_pieces_share_the_numbers_of_their_ngrams() -> None:
    table = piece_ngrams([*SPECIAL, "abc", "bcd"], 2, 2)
    assert table.tolist() == [[0, 0]] * 4 + [[1, 2], [2, 3]]


def test_short_ngrams_come_first_and_the_piece_is_none_of_its_own() -> None:
    assert piece_ngrams([*SPECIAL, "▁ab", "ab"], 1, 3).tolist()[4:] == [[1, 2, 3, 4, 5], [2, 3, 0, 0, 0]]


def test_a_long_piece_keeps_its_first_ngrams() -> None:
    letters = "".join(chr(ord("a") + index) for index in range(26))
    assert piece_ngrams([*SPECIAL, letters], 2, 2).tolist()[4] == list(range(1, MAX_NGRAMS + 1))


def test_a_vocabulary_of_single_characters_has_none() -> None:
    assert piece_ngrams([*SPECIAL, "a", "b"], 1, 3).tolist() == [[0]] * 6
