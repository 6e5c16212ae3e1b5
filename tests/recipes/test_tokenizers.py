"""The texts that a tokenizer is trained on."""

from __future__ import annotations

from typing import Any

import pytest

from textapp.recipes import tokenizers


@pytest.mark.parametrize(("size", "expected"), [(4, [0, 1, 2, 3]), (10, [0, 2, 5, 7]), (9, [0, 2, 4, 6])])
def test_a_tokenizer_is_trained_on_a_bounded_sample(
    size: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "SAMPLE", 4)
    records: list[dict[str, Any]] = [{"source": str(number), "target": f"t{number}"} for number in range(size)]
    texts = tokenizers._Texts(records, ("source", "target"))
    assert list(texts) == list(texts) == [text for number in expected for text in (str(number), f"t{number}")]
