from __future__ import annotations

import json

import numpy as np

from textapp.artifact import open_artifact
from textapp.edge.runner import EdgeRunner
from textapp.export.bundle import export_run


def test_a_litert_bundle_answers_its_golden_examples(run, records, tmp_path):
    folder = export_run(run, "litert", "none", 0.5, records, out=tmp_path / "litert")
    bundle = open_artifact(folder)
    print(json.dumps(bundle.manifest, indent=1))
    golden = json.loads((folder / "golden.json").read_text())
    runner = EdgeRunner(folder / "model.tflite")
    assert len(golden) == 3
    for example in golden:
        inputs = {name: np.array([ids], np.int32) for name, ids in example["inputs"].items()}
        found = runner.run(example["signature"], inputs)["probabilities"][0]
        np.testing.assert_allclose(found, example["probabilities"], atol=1e-6)
