from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from textapp.errors import ArtifactError
from textapp.runners import edge as module
from textapp.runners.edge import EdgeRunner
from textapp.runners.interpreter import open_interpreter


def features(length: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {"token_ids": np.random.default_rng(seed).integers(0, 50, (1, length), np.int32)}


def test_signatures_are_listed(model_path):
    entry = {"inputs": ["token_ids"], "outputs": ["probabilities"]}
    assert EdgeRunner(model_path).signatures == {"classify_4": entry, "classify_8": entry}


def test_every_signature_answers_as_the_public_interface_does(model_path):
    runner, interpreter = EdgeRunner(model_path), open_interpreter(model_path)
    for length in (4, 8, 4):
        expected = interpreter.get_signature_runner(f"classify_{length}")(**features(length))["probabilities"]
        found = runner.run(f"classify_{length}", features(length))["probabilities"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
        assert found.sum() == pytest.approx(1, abs=1e-6)


def test_an_answer_is_a_copy(model_path):
    runner = EdgeRunner(model_path)
    first = runner.run("classify_8", features(8, 1))["probabilities"]
    kept = first.copy()
    second = runner.run("classify_8", features(8, 2))["probabilities"]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, kept)


def test_without_the_private_door_the_public_one_serves(model_path, monkeypatch):
    expected = EdgeRunner(model_path).run("classify_4", features(4))["probabilities"]
    monkeypatch.setattr(module, "_direct_call", lambda interpreter, signature: None)
    runner = EdgeRunner(model_path)
    np.testing.assert_array_equal(runner.run("classify_4", features(4))["probabilities"], expected)
    with pytest.raises(ValueError, match=r"token_ids has shape \(1, 8\), expected \(1, 4\)"):
        runner.run("classify_4", features(8))


def test_the_private_door_is_checked_before_it_is_used():
    assert module._direct_call(object(), "classify_4") is None


def test_another_shape_or_type_is_an_error(model_path):
    runner = EdgeRunner(model_path)
    with pytest.raises(ValueError, match="Dimension mismatch"):
        runner.run("classify_4", features(5))
    with pytest.raises(ValueError, match="INT64"):
        runner.run("classify_4", {"token_ids": np.ones((1, 4), np.int64)})


def test_an_unknown_signature_names_those_that_there_are(model_path):
    with pytest.raises(ArtifactError, match="no signature 'classify_16'; it has classify_4, classify_8"):
        EdgeRunner(model_path).run("classify_16", features(16))


def test_the_memory_of_a_signature_answers_as_a_call_does(model_path):
    runner = EdgeRunner(model_path)
    buffers = runner.buffers("classify_4")
    for seed in (1, 2):
        buffers.inputs["token_ids"][...] = features(4, seed)["token_ids"]
        buffers.invoke()
        found = buffers.outputs["probabilities"].copy()
        np.testing.assert_array_equal(buffers.inputs["token_ids"], features(4, seed)["token_ids"])
        runner.run("classify_8", features(8))
        np.testing.assert_array_equal(
            found, EdgeRunner(model_path).run("classify_4", features(4, seed))["probabilities"]
        )
    assert runner.buffers("classify_4") is buffers


def test_an_interpreter_that_keeps_its_memory_to_itself_gives_none(model_path, monkeypatch):
    runner = EdgeRunner(model_path)
    monkeypatch.setattr(runner, "_interpreter", object())
    assert runner.buffers("classify_4") is None
    with pytest.raises(ArtifactError, match="no signature 'classify_16'"):
        runner.buffers("classify_16")


def test_clones_answer_alike_at_the_same_time(model_path):
    runner = EdgeRunner(model_path)
    expected = [runner.run("classify_8", features(8, seed))["probabilities"] for seed in range(50)]

    def work(own: EdgeRunner) -> list[np.ndarray]:
        return [own.run("classify_8", features(8, seed))["probabilities"] for seed in range(50)]

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(work, [runner.clone(), runner.clone()]):
            np.testing.assert_array_equal(found, expected)
