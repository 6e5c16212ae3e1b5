from __future__ import annotations

import subprocess
import sys

import pytest

from textapp.errors import DataError
from textapp.text.training import train_tokenizer

TEXTS = [f"the {word} film number {number} is good" for number, word in enumerate(["old", "new", "long"] * 40)]
CHINESE = ["今天的电影非常好看", "酒店的服务很差，再也不来了", "早餐还可以"] * 20
KINDS = ("sentencepiece", "bpe", "characters", "wordpiece")


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_too_large_for_the_texts_shrinks(kind: str) -> None:
    tokenizer = train_tokenizer(kind, 30_000, TEXTS, ["nfkc"])
    assert 20 < tokenizer.vocabulary_size < 1000


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_smaller_than_the_alphabet_keeps_the_frequent_characters(kind: str) -> None:
    rare = "".join(chr(0x4E00 + number) for number in range(500))
    tokenizer = train_tokenizer(kind, 64, [*CHINESE, rare], ["nfkc", "whitespace"])
    assert tokenizer.vocabulary_size <= 64
    assert tokenizer.unknown_id not in tokenizer.ids("的")


@pytest.mark.parametrize("kind", KINDS)
def test_every_process_trains_the_same_tokenizer(kind: str) -> None:
    script = (
        "import hashlib; from textapp.text.training import train_tokenizer;"
        f"tokenizer = train_tokenizer({kind!r}, 120, {TEXTS + CHINESE!r}, ['nfkc'], None, 7);"
        "print(hashlib.sha256(repr(tokenizer.pieces()).encode()).hexdigest(), tokenizer.ids('the new film 今天好看'))"
    )
    first, second = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second != ""


def test_chinese_spends_no_token_on_the_start_of_a_word() -> None:
    chinese = train_tokenizer("characters", 100, CHINESE, ["nfkc"])
    english = train_tokenizer("characters", 100, TEXTS, ["nfkc"])
    assert len(chinese.ids("电影")) == 2
    for code in ("zh", "zh-CN", "zho"):
        assert len(train_tokenizer("characters", 100, CHINESE, ["nfkc"], code).ids("电影")) == 2
    assert len(english.ids("film")) == 5


def test_long_texts_count_in_training() -> None:
    tokenizer = train_tokenizer("characters", 100, ["a" * 50_000 + "q"], [])
    assert tokenizer.unknown_id not in tokenizer.ids("aq")


def test_odd_characters_do_not_stop_training() -> None:
    for kind in KINDS:
        assert train_tokenizer(kind, 100, ["a\x00b \ud800 c\r\n\x01", "", "   ", *TEXTS], ["nfkc"]).ids("film")


def test_texts_that_are_empty_after_cleaning_are_refused() -> None:
    with pytest.raises(DataError, match="every text is empty, or empty after cleaning"):
        train_tokenizer("bpe", 100, ["", "<br>"], ["html", "whitespace"])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of tokenizer 'words'; expected one of sentencepiece"):
        train_tokenizer("words", 100, TEXTS, [])


def test_training_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in KINDS:
        train_tokenizer(kind, 100, TEXTS, ["nfkc"])
    assert capfd.readouterr() == ("", "")


# --- tokenizers whose ids become text again --------------------------------------------------------------------------

GENERATED = ["To be,  or not\n to be 😀", " 鬱\t電影\r\n", "a\n\n\nb", "<s> x </s> <0x41>", "", "\n", "word"]


@pytest.mark.parametrize("purpose", ["translate", "continue"])
@pytest.mark.parametrize("kind", KINDS[:3])
def test_every_text_comes_back_as_it_was(kind: str, purpose: str) -> None:
    tokenizer = train_tokenizer(kind, 600, [*TEXTS, *CHINESE], [], "en", purpose=purpose)
    for text in GENERATED:
        ids = tokenizer.ids(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.unknown_id not in ids and all(token_id > 3 for token_id in ids)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_is_continued_is_the_text_of_both_parts(kind: str) -> None:
    tokenizer = train_tokenizer(kind, 600, TEXTS, [], "en", purpose="continue")
    for one, other in (("the old", " film"), ("film\n", "the"), ("a ", " b"), ("", " good")):
        ids = [*tokenizer.ids(one), *tokenizer.ids(other)]
        assert tokenizer.decode(ids) == one + other
        assert tokenizer.decode(tokenizer.ids(one)) + tokenizer.decode(tokenizer.ids(other)) == one + other


def test_the_first_word_of_a_sentence_is_a_word_like_the_others() -> None:
    tokenizer = train_tokenizer("bpe", 600, TEXTS, [], "en", purpose="translate")
    assert tokenizer.ids("film") == tokenizer.ids("good film")[-1:]


def test_the_first_bytes_of_a_character_are_told_from_a_whole_one() -> None:
    tokenizer = train_tokenizer("bpe", 600, TEXTS, [], "en", purpose="continue")
    ids = tokenizer.ids("good 😀")
    texts = [tokenizer.decode(ids[:length]) for length in range(len(ids) - 4, len(ids) + 1)]
    assert [text.rstrip("\ufffd") for text in texts] == ["good "] * 4 + ["good 😀"]
    assert [text.endswith("\ufffd") for text in texts] == [False, True, True, True, False]


def test_rare_characters_are_left_to_the_bytes() -> None:
    lines = ["the film is good and the plot is thin"] * 500
    tokenizer = train_tokenizer("characters", 600, [*lines, "q"], [], "en", purpose="continue")
    assert "q" not in tokenizer.pieces() and len(tokenizer.ids("q")) == 1
    assert "q" in train_tokenizer("characters", 600, [*lines, "q"], [], "en").pieces()


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("size", [40, 520])
def test_a_small_vocabulary_has_no_more_than_it_was_given(kind: str, size: int) -> None:
    rare = "".join(chr(0x4E00 + number) for number in range(1500))
    tokenizer = train_tokenizer(kind, size, [*CHINESE, rare * 3], [], "zh", purpose="continue")
    assert tokenizer.vocabulary_size <= size
    assert tokenizer.unknown_id not in tokenizer.ids("好\n")


def test_line_ends_stay_whatever_is_cleaned() -> None:
    tokenizer = train_tokenizer("bpe", 600, TEXTS, ["nfkc", "whitespace"], "en", purpose="continue")
    assert tokenizer.decode(tokenizer.ids("Ｆilm\ngood")) == "Film\ngood"


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown tokenizer purpose 'sing'; expected one of read, translate"):
        train_tokenizer("bpe", 100, TEXTS, [], purpose="sing")
