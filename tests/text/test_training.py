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
    with pytest.raises(ValueError, match="unknown kind of tokenizer 'words'; expected sentencepiece"):
        train_tokenizer("words", 100, TEXTS, [])


def test_training_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in KINDS:
        train_tokenizer(kind, 100, TEXTS, ["nfkc"])
    assert capfd.readouterr() == ("", "")
