"""A model in a process of its own answers as one in this process, and dies alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from textapp.errors import ArtifactError, UsageError
from textapp.runners.edge import EdgeRunner
from textapp.runners.isolated import IsolatedRunner

IDS = {"token_ids": np.array([[3, 7, 0, 49]], np.int32)}


def test_it_answers_as_in_this_process(model_path: Path) -> None:
    runner, expected = IsolatedRunner(model_path), EdgeRunner(model_path)
    assert runner.signatures == expected.signatures
    found = runner.run("classify_4", IDS)["probabilities"]
    np.testing.assert_array_equal(found, expected.run("classify_4", IDS)["probabilities"])
    assert found.dtype == np.float32 and found.flags.writeable
    np.testing.assert_array_equal(runner.clone().run("classify_4", IDS)["probabilities"], found)
    with pytest.raises(ArtifactError, match="has no signature 'classify_5'; it has classify_4, classify_8"):
        runner.run("classify_5", IDS)
    np.testing.assert_array_equal(runner.run("classify_4", IDS)["probabilities"], found)


def test_a_crash_is_an_error_and_the_next_call_answers(model_path: Path) -> None:
    runner = IsolatedRunner(model_path)
    before = runner.run("classify_4", IDS)["probabilities"]
    os.kill(runner._process.pid, signal.SIGSEGV)
    with pytest.raises(ArtifactError, match=r"model\.tflite: its process crashed \(SIGSEGV\) while running classify_4"):
        runner.run("classify_4", IDS)
    np.testing.assert_array_equal(runner.run("classify_4", IDS)["probabilities"], before)
    process = runner._process
    runner.close()
    assert process.returncode == -signal.SIGKILL


def test_what_cannot_be_opened(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(model_path.read_bytes()[:500])
    with pytest.raises(ArtifactError, match=r"model\.tflite: the file is damaged"):
        IsolatedRunner(tmp_path / "model.tflite")
    with pytest.raises(UsageError, match="runtime: found 'tpu'"):
        IsolatedRunner(model_path, runtime="tpu")
