"""A tokenizer.json may not make texts grow without bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from textapp.errors import ArtifactError
from textapp.text.huggingface import check_growth

FILE = Path("tokenizer/tokenizer.json")


def replace(text: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": text}, "content": content}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


@pytest.mark.parametrize(
    "normalizer",
    [
        sequence(*[replace("a", "aa")] * 9),
        sequence(sequence(*[replace("a", "aa")] * 5), sequence(*[replace("a", "aa")] * 5)),
        replace("a", "a" * 300),
        {"type": "Replace", "pattern": {"Regex": ""}, "content": "x" * 256},
        {"type": "Prepend", "prepend": "x" * 256},
    ],
)
def test_what_grows_without_bounds_is_refused(normalizer: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=r"key 'normalizer': .* times longer, expected at most 256"):
        check_growth({"normalizer": normalizer}, FILE)


@pytest.mark.parametrize(
    "normalizer",
    [None, {"type": "Lowercase"}, sequence(replace(" ", "\u2581"), {"type": "Prepend", "prepend": "\u2581"}),
     sequence(*[replace("aa", "a")] * 30)],
)  # fmt: skip
def test_what_published_tokenizers_do_is_read(normalizer: dict[str, Any] | None) -> None:
    check_growth({"normalizer": normalizer, "decoder": {"type": "ByteLevel"}}, FILE)


def test_what_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(ArtifactError, match="found no JSON object, expected a tokenizer"):
        check_growth([], FILE)
