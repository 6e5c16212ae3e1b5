"""A large file, whose weights are packed once: the answers and the errors of an interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from textapp.runners import compiled, edge
from textapp.runners.edge import EdgeRunner


def features(length: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {"token_ids": np.random.default_rng(seed).integers(0, 50, (1, length), np.int32)}


@pytest.fixture
def large(model_path, monkeypatch) -> EdgeRunner:
    """The runner of a file that counts as large."""
    monkeypatch.setattr(edge, "MIN_BYTES", 0)
    runner = EdgeRunner(model_path, runtime="litert")
    assert runner._compiled is not None
    return runner


def test_answers_are_those_of_an_interpreter(large, model_path, monkeypatch):
    monkeypatch.setattr(edge, "MIN_BYTES", 1 << 40)
    plain = EdgeRunner(model_path, runtime="litert")
    assert plain._compiled is None and large.signatures == plain.signatures
    for length, seed in ((4, 1), (8, 2), (4, 3)):
        found = large.run(f"classify_{length}", features(length, seed))["probabilities"]
        expected = plain.run(f"classify_{length}", features(length, seed))["probabilities"]
        np.testing.assert_array_equal(found, expected)


def test_memory_keeps_its_place_and_answers_are_copies(large):
    first = large.run("classify_4", features(4, 1))["probabilities"]
    kept = first.copy()
    buffers = large.buffers("classify_4")
    places = {name: values.ctypes.data for name, values in buffers.inputs.items()}
    buffers.inputs["token_ids"][...] = features(4, 2)["token_ids"]
    buffers.invoke()
    assert places == {name: values.ctypes.data for name, values in large.buffers("classify_4").inputs.items()}
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(
        buffers.outputs["probabilities"], large.clone().run("classify_4", features(4, 2))["probabilities"]
    )


def test_another_shape_or_type_is_an_error(large):
    with pytest.raises(ValueError, match=r"token_ids has shape \(1, 5\) and type int32, expected \(1, 4\) and int32"):
        large.run("classify_4", features(5))
    with pytest.raises(ValueError, match="type int64"):
        large.run("classify_4", {"token_ids": np.ones((1, 4), np.int64)})


@pytest.mark.parametrize("lacking", ["_c_functions", "_environment"])
def test_where_litert_cannot_an_interpreter_opens_the_file(model_path, monkeypatch, lacking):
    def fail() -> None:
        raise AttributeError(lacking)

    monkeypatch.setattr(edge, "MIN_BYTES", 0)
    monkeypatch.setattr(compiled, lacking, fail)
    runner = EdgeRunner(model_path, runtime="litert")
    assert runner._compiled is None
    assert runner.run("classify_4", features(4))["probabilities"].sum() == pytest.approx(1, abs=1e-6)
