"""Models that write, from a run folder to devices: Keras, LiteRT and tflite-runtime give the same text."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from writers import make_documents, make_pairs, make_writer

ROOT = Path(__file__).parents[2]
BLOCKED = ["tensorflow", "keras", "tf_keras", "keras_hub", "tensorflow_text"]
TEXTS = {"translation": ["rot haus", "hund katze baum wald", "", "tag"], "generation": ["red blue", "night", "", "sea"]}
PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))  # None: importing it raises ImportError
import textapp
predictor = textapp.load(sys.argv[2], runtime=sys.argv[3])
texts = json.loads(sys.argv[4])
print(json.dumps({
    "greedy": [predictor(text).output for text in texts],
    "stepwise": [predictor(text, num_hypotheses=2, beam_size=2).output for text in texts],
    "streamed": ["".join(predictor.stream(text)) for text in texts],
}))
"""


def answers(bundle: Path, runtime: str, texts: list[str]) -> dict[str, list[str]]:
    """What a bundle writes in a process where TensorFlow cannot be imported."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(BLOCKED), str(bundle), runtime, json.dumps(texts)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("task", ["translation", "generation"])
def test_one_bundle_writes_the_keras_models_text_on_both_runtimes(task: str, tmp_path: Path) -> None:
    from exports import export_run

    import textapp

    records: list[dict[str, Any]] = make_pairs(240) if task == "translation" else make_documents(240)
    run = make_writer(tmp_path / "run", records)
    bundle = export_run(run, "tflite-runtime", "none", 0.5, records)
    device = shutil.copytree(bundle, tmp_path / "device" / "bundle")
    keras = textapp.load(run.path)
    greedy = [keras(text).output for text in TEXTS[task]]
    beams = [keras(text, num_hypotheses=2, beam_size=2).output for text in TEXTS[task]]
    expected = {"greedy": greedy, "stepwise": beams, "streamed": greedy}
    for runtime in ("litert", "tflite-runtime"):
        assert answers(device, runtime, TEXTS[task]) == expected
