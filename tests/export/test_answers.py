from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from textapp.export.answers import latencies
from textapp.runners.edge import EdgeRunner
from textapp.runners.inputs import save_inputs

INPUTS = {
    "classify_4": {"token_ids": np.arange(12, dtype=np.int32).reshape(3, 4)},
    "classify_8": {"token_ids": np.arange(16, dtype=np.int32).reshape(2, 8)},
}


def child(job: dict) -> dict:
    command = [sys.executable, "-m", "textapp.export.answers", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_both_runtimes_answer_in_a_process_without_tensorflow(model_path, tmp_path, runtime):
    save_inputs(tmp_path / "inputs.npz", INPUTS)
    job = {"model": str(model_path), "runtime": runtime, "inputs": str(tmp_path / "inputs.npz"), "threads": 2}
    answer = child({**job, "outputs": str(tmp_path / "outputs.npz")})
    assert answer["tensorflow"] is False
    assert answer["runtime"].startswith("ai-edge-litert" if runtime == "litert" else "tflite-runtime")
    here = EdgeRunner(model_path)
    with np.load(tmp_path / "outputs.npz") as found:
        for signature, named in INPUTS.items():
            rows = [here.run(signature, {"token_ids": row[None]})["probabilities"][0] for row in named["token_ids"]]
            np.testing.assert_allclose(found[f"{signature}/probabilities"], rows, atol=1e-6)


def test_a_file_that_does_not_load_is_reported(tmp_path):
    save_inputs(tmp_path / "inputs.npz", INPUTS)
    (tmp_path / "model.tflite").write_bytes(b"x" * 100)
    job = {"model": str(tmp_path / "model.tflite"), "runtime": "litert", "inputs": str(tmp_path / "inputs.npz")}
    assert "does not begin as a .tflite file does" in child({**job, "outputs": str(tmp_path / "outputs.npz")})["error"]


def test_every_file_is_timed_on_every_input(model_path):
    times = latencies({"one": str(model_path), "two": str(model_path)}, "litert", INPUTS, seconds=0)
    assert {name: len(values) for name, values in times.items()} == {"one": 5, "two": 5}
    assert all(value > 0 for values in times.values() for value in values)
