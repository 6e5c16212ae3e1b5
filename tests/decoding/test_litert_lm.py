"""A prompt is divided as LiteRT-LM divides it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from textapp.decoding.litert_lm import StepRunner, from_kv, to_kv


class Recorder:
    """A file with prefill_4 and prefill_8 that notes its calls, and whose next token is one higher."""

    def __init__(self) -> None:
        self.signatures = {"prefill_8": {}, "decode": {}, "prefill_4": {}}
        self.shapes = {"decode": SimpleNamespace(inputs={"tokens": (1, 1), "kv_cache_k_0": (1, 1, 20, 2)})}
        self.calls: list[tuple[str, list[int], list[int]]] = []

    def buffers(self, signature: str) -> None:
        """It shows no memory."""

    def run(self, signature: str, features: Any) -> dict[str, np.ndarray]:
        self.calls.append((signature, features["tokens"][0].tolist(), features["input_pos"].tolist()))
        logits = np.zeros((1, 1, 30), np.float32)
        logits[0, 0, (features["tokens"][0, -1] + 1) % 30] = 2.0
        return {"kv_cache_k_0": features["kv_cache_k_0"], **({"logits": logits} if signature == "decode" else {})}


@pytest.mark.parametrize(
    ("count", "parts"),
    [
        (1, []),
        (4, [("prefill_4", [1, 2, 3, 0], [0, 1, 2, 0])]),
        (7, [("prefill_8", [1, 2, 3, 4, 5, 6, 0, 0], [0, 1, 2, 3, 4, 5, 0, 0])]),
        (12, [("prefill_8", list(range(1, 9)), list(range(8))), ("prefill_4", [9, 10, 11, 0], [8, 9, 10, 0])]),
    ],
)
def test_all_but_the_last_token_go_to_prefills(count, parts):
    file = Recorder()
    runner = StepRunner(file, end_ids=[17], pad_id=0)
    ids = np.zeros((1, 16), np.int32)
    ids[0, :count] = np.arange(1, count + 1)
    found = runner.run("generate_16_6", {"token_ids": ids, "num_tokens": np.array([count])})
    assert file.calls[: len(parts)] == parts
    assert file.calls[len(parts)] == ("decode", [count], [count - 1])
    expected = list(range(count + 1, min(count + 7, 18)))
    assert found["num_tokens"].tolist() == [len(expected)]
    assert found["token_ids"].tolist() == [[*expected, *[0] * (6 - len(expected))]]
    assert runner.generate(ids[0, :count], 1)[0].margin == 2.0


def test_caches_have_two_names():
    cache = {"cache_0_key": 1, "cache_11_value": 2}
    assert to_kv(cache) == {"kv_cache_k_0": 1, "kv_cache_v_11": 2}
    assert from_kv({**to_kv(cache), "tokens": 3}) == cache
