"""An environment made by `pip install .[tflite-runtime]`, as on a small board: a bundle answers there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from environments import call

TEXTS = ["The food was great and the staff were kind.", "这家酒店很好。", ""]


@pytest.fixture(scope="module")
def python(environment: Callable[[str], Path]) -> Path:
    if sys.version_info[:2] > (3, 11):
        pytest.skip("tflite-runtime has no wheels beyond Python 3.11")
    return environment("tflite-runtime")


def test_a_bundle_answers_with_tflite_runtime_alone(
    python: Path, tiny_run: Path, tmp_path: Path, run_textapp: Callable
) -> None:
    exported = run_textapp(
        "export", tiny_run, "--target", "tflite-runtime", "--quantize", "none", "--output", tmp_path / "exported"
    )
    assert exported.code == 0, exported.stderr
    bundle = shutil.copytree(tmp_path / "exported", tmp_path / "board" / "bundle")
    golden = json.loads((bundle / "golden.json").read_text(encoding="utf-8"))
    texts = [*TEXTS, *(example["text"] for example in golden)]
    done = call(python, "-m", "textapp", "predict", bundle, *texts, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["input"] for answer in answers] == [*TEXTS, *(example["text"] for example in golden)]
    for answer, example in zip(answers[len(TEXTS) :], golden, strict=True):
        assert list(answer["probabilities"].values()) == pytest.approx(example["probabilities"], abs=1e-4)


def test_it_has_no_tensorflow_and_a_numpy_that_the_runtime_takes(python: Path) -> None:
    listed = json.loads(call(python, "-m", "pip", "list", "--format", "json").stdout)
    versions = {package["name"].lower(): package["version"] for package in listed}
    assert not {"tensorflow", "keras", "ai-edge-litert"} & versions.keys()
    assert versions["tflite-runtime"] == "2.14.0"
    assert versions["numpy"].startswith("1.")
