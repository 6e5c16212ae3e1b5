from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from textapp.decoding.forced import GENERATED, GENERATED_TOKENS, NEVER_GENERATED
from textapp.export.answers import latencies, with_own
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


@pytest.mark.parametrize(
    ("signatures", "rows"),
    [
        (["decode"], {".own": 2}),
        (["decode", "decode_5"], {".own": 1, ".at_once": 2}),
        (["decode", "decode_5", "extend_32"], {".own": 1, ".at_once": 2, ".extended": 2}),
        (["decode", "decode_5", "decode_5_6"], {".own": 1, ".at_once": 2, ".whole_cache": 1}),
        (["decode", "decode_5", "decode_5_5"], {".own": 1, ".at_once": 2}),
    ],
)
def test_the_texts_that_a_file_generated_are_forced_too(signatures, rows):
    """Where it reads several tokens at once all of them so, and the first one by one."""
    never = np.array([1, 2, 3])
    given = {"token_ids": np.ones((3, 4)), GENERATED: np.zeros((3, 2)), GENERATED_TOKENS: np.zeros(3)}
    forced = {"generate_4_2.expected": {**given, NEVER_GENERATED: never}, "generate_4_2.reference": given}
    outputs = {"generate_4_2/token_ids": np.array([[5, 6], [7, 0]]), "generate_4_2/num_tokens": np.array([2, 1])}
    found = with_own(forced, outputs, signatures)
    assert found.keys() - forced.keys() == {f"generate_4_2{end}" for end in rows}
    for end, count in rows.items():
        group = found[f"generate_4_2{end}"]
        texts = ([[5], [7]], [1, 1]) if end == ".extended" else ([[5, 6], [7, 0]], [2, 1])  # the first token alone
        assert group[GENERATED].tolist() == texts[0][:count] and group[NEVER_GENERATED] is never
        assert group[GENERATED_TOKENS].tolist() == texts[1][:count] and len(group["token_ids"]) == count
