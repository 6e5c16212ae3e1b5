"""The bytes of pieces: together they are the text that a tokenizer decodes, whatever its kind."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from textapp.errors import UsageError
from textapp.text.piece_bytes import checked_piece_bytes, spelling_of
from textapp.text.preset import preset_tokenizer
from textapp.text.sentencepiece import SentencePieceTokenizer
from textapp.text.template import Template
from textapp.text.tokenizer import Tokenizer
from textapp.text.training import train_tokenizer

TEXTS = ["a good film, and a fine one.", "今天的电影非常好看,我很喜欢。", "the plot is thin"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def written(tokenizer: Tokenizer, text: str) -> str:
    pieces = checked_piece_bytes(tokenizer)
    return b"".join(pieces[token_id] for token_id in tokenizer.ids(text)).decode()


@pytest.mark.parametrize("kind", ["sentencepiece", "bpe", "characters"])
def test_those_of_trained_tokenizers(kind: str) -> None:
    tokenizer = train_tokenizer(kind, 120, TEXTS * 5, ("nfkc", "lowercase", "whitespace"))
    for text in TEXTS:
        assert written(tokenizer, text) == text
    pieces = checked_piece_bytes(tokenizer)
    assert pieces[:4] == [b""] * 4  # special tokens
    assert "电".encode() in pieces
    assert len(pieces) == tokenizer.vocabulary_size


def test_wordpiece_writes_blanks_of_its_own() -> None:
    tokenizer = train_tokenizer("wordpiece", 120, TEXTS * 5, ("nfkc",))
    with pytest.raises(UsageError, match=r"tokenizer \(wordpiece\) does not write its pieces one after another"):
        checked_piece_bytes(tokenizer)


def preset(
    folder: Path, pieces: list[str], decoder: dict | None, model: dict | None = None, **parts: object
) -> Tokenizer:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": number, "content": SPECIAL[number], "special": True, **plain} for number in range(4)]
    added += [{"id": len(pieces) + 4, "content": "<tool>", "special": False, **plain}]
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL, *pieces])}
    bpe = {
        "type": "BPE", "dropout": None, "unk_token": None, "byte_fallback": True, "fuse_unk": False,
        "vocab": vocabulary, "merges": [], **(model or {}),
    }  # fmt: skip
    content = {"version": "1.0", "added_tokens": added, "normalizer": None, "pre_tokenizer": None, "decoder": decoder}
    content |= {"post_processor": None, "model": bpe, **parts}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return preset_tokenizer(folder)


def test_byte_level_bpe_writes_parts_of_characters(tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġa", "å¤©", "<tool>"]
    tokenizer = preset(
        tmp_path, pieces[:-1], byte_level, {"byte_fallback": False, "merges": ["Ġ a"]},
        pre_tokenizer=byte_level,
    )  # fmt: skip
    assert written(tokenizer, "天气 a 😀 naïve") == "天气 a 😀 naïve"
    found = checked_piece_bytes(tokenizer)
    assert {bytes([value]) for value in range(256)} <= set(found)
    assert [found[4 + pieces.index(piece)] for piece in ("Ġa", "å¤©", "<tool>")] == [b" a", "天".encode(), b"<tool>"]
    assert found[:4] == [b""] * 4


LLAMA = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}


def test_bytes_as_pieces_and_marks_for_blanks(tmp_path: Path) -> None:
    steps = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    pieces = [*(f"<0x{value:02X}>" for value in range(256)), "▁", "a", "b", "▁a", "天"]
    normalizer = {"type": "Sequence", "normalizers": steps}
    tokenizer = preset(tmp_path, pieces, LLAMA, {"merges": ["▁ a"]}, normalizer=normalizer)
    assert written(tokenizer, "a天气 b a") == " a天气 b a"
    found = checked_piece_bytes(tokenizer)
    assert (found[4 + 0xE5], found[4 + 256], found[4 + 259]) == (b"\xe5", b" ", b" a")


def test_pieces_between_which_a_tokenizer_puts_blanks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\(preset\) does not write its pieces one after another"):
        checked_piece_bytes(preset(tmp_path, ["a", "b"], None))
    replace = {"type": "Replace", "pattern": {"String": "b"}, "content": "c"}
    with pytest.raises(UsageError, match="one after another"):
        checked_piece_bytes(preset(tmp_path, ["a", "b"], {"type": "Sequence", "decoders": [replace, {"type": "Fuse"}]}))


def test_sentencepiece_with_bytes_as_a_gguf_file_has_it() -> None:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 5), model_writer=model, vocab_size=330, byte_fallback=True, model_type="bpe",
        minloglevel=2,
    )  # fmt: skip
    tokenizer = SentencePieceTokenizer(model.getvalue(), "preset", (), Template(), pad_id=0, start_id=1, end_id=2)
    assert written(tokenizer, "a film 😀 气") == " a film 😀 气"
    assert checked_piece_bytes(tokenizer)[:4] == [b"", b"", b"", b"\x00"]


def test_how_pieces_are_spelled() -> None:
    assert spelling_of({"type": "Metaspace", "replacement": "▁"}).bytes_of("▁a▁") == b" a "
    assert spelling_of({"type": "ByteLevel"}).bytes_of("Ġå¤©") == " 天".encode()
    assert spelling_of({"type": "ByteLevel"}).bytes_of("a b") == b"a b"  # an added token
    assert spelling_of(LLAMA).bytes_of("<0xE5>") == b"\xe5"
    assert spelling_of(None).bytes_of("▁<0xE5>") == "▁<0xE5>".encode()
