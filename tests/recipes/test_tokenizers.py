"""The texts that a tokenizer is trained on."""

from __future__ import annotations

from typing import Any

import pytest

from textapp.recipes import tokenizers


@pytest.mark.parametrize("size", [39, 40, 41, 1000])
def test_a_tokenizer_is_trained_on_a_bounded_sample(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From all parts of the data, always the same ones, and not at equal distances."""
    monkeypatch.setattr(tokenizers, "SAMPLE", 40)
    records: list[dict[str, Any]] = [{"source": str(number), "target": f"t{number}"} for number in range(size)]
    texts = tokenizers._Texts(records, ("source", "target"))
    found = [int(text) for text in list(texts)[::2]]
    assert list(texts) == [text for number in found for text in (str(number), f"t{number}")]
    assert found == list(range(size)) if size <= 40 else 30 <= len(found) <= 40
    if size == 1000:
        assert [number // 25 for number in found] == list(range(40))
        assert len({number % 5 for number in found}) == 5
