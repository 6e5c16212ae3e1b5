"""A long text is cut before it is tokenised, and nothing of what the model reads changes."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from textapp.text.cutting import MOST, beginning, ending, whole_below
from textapp.text.training import train_tokenizer

COUNT = 60
WORDS = [
    "good",
    "film",
    "the",
    "an",
    "unbelievably",
    "long",
    "story",
    "aaaa",
    "https://example.com/a/b?c=d",
    "ＡＢ",
    "é",
]
HAN = "这家酒店很好太难吃了服务员非常热情房间干净"


def texts() -> dict[str, str]:
    dice = random.Random(3)
    words = [dice.choice(WORDS) for _ in range(30_000)]
    return {
        "words": " ".join(words),
        "lines": "\n".join(words),
        "spaces": (" " * 5000).join(words[:30]),
        "no spaces": "".join(dice.choice(HAN) for _ in range(100_000)),
        "one tag": f'good film <img src="data:{"QUJD" * 20_000}"> the story <b>long</b> ' + " ".join(words),
        "a comment": f"good <!-- {' '.join(words)} --> film " + " ".join(words),
        "entities": "&lt;b&gt;good film " * 5000,
    }


@pytest.fixture(scope="module", params=["sentencepiece", "bpe", "characters", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    sample = [*(" ".join(WORDS[start:]) for start in range(len(WORDS))), HAN, HAN[5:], *WORDS] * 4
    steps = ("html", "urls", "nfkc", "lowercase", "whitespace")
    return train_tokenizer(request.param, 120, sample, steps, "en")


@pytest.mark.parametrize("name", texts())
def test_what_is_read_of_a_long_text_is_what_is_read_of_the_whole(tokenizer: Any, name: str) -> None:
    text = texts()[name]
    assert len(text) > whole_below(COUNT)
    whole, part = tokenizer.ids(text), beginning(tokenizer, text, COUNT)
    assert part.ids[:COUNT] == whole[:COUNT] and text.startswith(part.text)
    assert part.whole or len(part.ids) > COUNT
    plain = train_plain(tokenizer.kind)
    whole, part = plain.ids(text), ending(plain, text, COUNT)
    assert part.ids[-COUNT:] == whole[-COUNT:] and text.endswith(part.text)


def train_plain(kind: str, made: dict[str, Any] = {}) -> Any:  # noqa: B006  # one of each kind, for all tests
    if kind not in made:
        made[kind] = train_tokenizer(kind, 120, [*WORDS, HAN, " ".join(WORDS)] * 4, ("nfkc", "whitespace"), "en")
    return made[kind]


def test_a_short_text_is_tokenised_whole(tokenizer: Any) -> None:
    text = "good film " * 20
    assert beginning(tokenizer, text, COUNT) == (text, tokenizer.ids(text), True) == ending(tokenizer, text, COUNT)


@pytest.mark.parametrize("text", ["good film ", "这家酒店很好。", "a"])
def test_ten_megabytes_take_the_time_of_a_few_pages(tokenizer: Any, text: str, caplog: Any) -> None:
    long = text * (10_000_000 // len(text))
    started = time.perf_counter()
    for read in (beginning, ending):
        part = read(train_plain(tokenizer.kind), long, COUNT)
        assert not part.whole
        a_word = tokenizer.kind == "wordpiece" and text == "a"  # unknown as a whole
        assert len(part.text) < 50_000 or (a_word and len(part.text) == MOST and "only its" in caplog.text)
    assert time.perf_counter() - started < (6 if a_word else 1)
