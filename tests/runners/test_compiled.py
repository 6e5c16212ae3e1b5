"""A large file, whose weights are packed once: the answers and the errors of an interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from textapp.runners import compiled, edge
from textapp.runners.edge import EdgeRunner


def features(length: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {"token_ids": np.random.default_rng(seed).integers(0, 50, (1, length), np.int32)}


def fail_for_memory(*_: object) -> int:
    raise OSError(12, "Cannot allocate memory")


@pytest.fixture
def large(model_path, monkeypatch) -> EdgeRunner:
    """The runner of a file that counts as large."""
    monkeypatch.setattr(edge, "MIN_BYTES", 0)
    runner = EdgeRunner(model_path, runtime="litert")
    assert runner._interpreter is None
    return runner


def test_answers_are_those_of_an_interpreter(large, model_path, monkeypatch):
    monkeypatch.setattr(edge, "MIN_BYTES", 1 << 40)
    plain = EdgeRunner(model_path, runtime="litert")
    assert large.signatures == plain.signatures == plain._interpreter.get_signature_list()
    for length, seed in ((4, 1), (8, 2), (4, 3)):
        found = large.run(f"classify_{length}", features(length, seed))["probabilities"]
        expected = plain.run(f"classify_{length}", features(length, seed))["probabilities"]
        np.testing.assert_array_equal(found, expected)
    assert large._compiled is not None and plain._compiled is None


def test_the_first_signature_is_opened_alone_and_the_file_for_the_next(large, model_path, monkeypatch):
    expected = {length: large.run(f"classify_{length}", features(length))["probabilities"] for length in (4, 8)}
    assert large._alone is None  # so small a file is not worth a copy
    monkeypatch.setattr(compiled, "_WORTH_A_COPY", 0)
    runner = large.clone()
    for length, alone in ((8, "classify_8"), (8, "classify_8"), (4, None), (8, None)):
        found = runner.run(f"classify_{length}", features(length))["probabilities"]
        np.testing.assert_array_equal(found, expected[length])
        assert runner._alone == alone
        assert list(runner._compiled.get_signature_list()) == ([alone] if alone else ["classify_4", "classify_8"])


@pytest.mark.parametrize("name", ["_MAX_COPY_BYTES", "_WORTH_A_COPY", "memory"])
def test_a_copy_that_is_too_large_or_worth_nothing_or_impossible_is_not_made(large, monkeypatch, name):
    monkeypatch.setattr(compiled, "_WORTH_A_COPY", 0)
    if name == "memory":
        monkeypatch.setattr("os.memfd_create", fail_for_memory)
    else:
        monkeypatch.setattr(compiled, name, 1000)
    assert large.run("classify_4", features(4))["probabilities"].shape == (1, 3)
    assert large._alone is None


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
    assert runner.run("classify_4", features(4))["probabilities"].sum() == pytest.approx(1, abs=1e-6)
    assert runner._compiled is None
