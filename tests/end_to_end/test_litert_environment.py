"""An environment made by `pip install .[litert]`, as on a device: bundles answer, that half's tests pass."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from environments import ROOT, call
from exports import write_small_model

TEXTS = ["The food was great and the staff were kind.", "这家酒店很好。", ""]
DEVICE_HALF = [
    "config", "decoding", "metrics", "predictors/test_generative.py", "predictors/test_predictor.py",
    "predictors/test_requests.py", "recipes/test_lengths.py", "recipes/test_resolving.py", "recipes/test_splits.py",
    "records", "runners/test_edge.py", "runners/test_interpreter.py", "tasks", "text", "test_arrays.py",
    "test_artifact.py", "test_cli.py", "test_config.py", "test_configs.py", "test_languages.py",
]  # fmt: skip
# They need tflite-runtime and a training, which are not in this environment.
WITHOUT = [
    "runners/test_interpreter.py::test_tflite_runtime_is_refused_beside_tensorflow",
    "test_cli.py::test_wrong_calls_end_with_2",
]
PROGRAM = """
import json, sys
import textapp
predictor = textapp.load(sys.argv[1])
texts = json.loads(sys.argv[2])
print(json.dumps({
    "single": [predictor(text).probabilities for text in texts],
    "batch": [answer.probabilities for answer in predictor.batch(texts)],
    "workers": [answer.probabilities for answer in predictor.batch(texts, workers=2)],
    "stream": hasattr(predictor, "stream"),
}))
"""


@pytest.fixture(scope="module")
def python(environment: Callable[[str], Path]) -> Path:
    return environment("litert")


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, without the run folder around it."""
    return shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("device") / "bundle")


@pytest.fixture
def textapp(python: Path, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """The command line of the environment, in an empty folder."""
    return lambda *arguments: call(python, "-m", "textapp", *arguments, cwd=tmp_path)


def test_nothing_of_training_is_installed(python: Path) -> None:
    listed = json.loads(call(python, "-m", "pip", "list", "--format", "json").stdout)
    names = {package["name"].lower() for package in listed}
    assert {"textapp", "ai-edge-litert", "numpy"} <= names
    assert not {"tensorflow", "keras", "scikit-learn", "sacrebleu", "matplotlib", "tflite-runtime"} & names


def test_a_classifier_answers_single_texts_and_batches_as_its_golden_examples(python: Path, bundle: Path) -> None:
    golden = json.loads((bundle / "golden.json").read_text(encoding="utf-8"))
    texts = [*TEXTS, *(example["text"] for example in golden)]
    done = call(python, "-c", PROGRAM, bundle, json.dumps(texts), cwd=bundle.parent)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["single"] == found["batch"] == found["workers"] and found["stream"] is False
    assert golden and len(found["single"]) == len(texts)
    for probabilities, example in zip(found["single"][len(TEXTS) :], golden, strict=True):
        assert list(probabilities.values()) == pytest.approx(example["probabilities"], abs=1e-4)


def test_predict_and_inspect_work(textapp: Callable, bundle: Path) -> None:
    done = textapp("predict", bundle, *TEXTS, "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["input"] for line in done.stdout.splitlines()] == TEXTS
    done = textapp("inspect", bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["task"] == "classification"


@pytest.mark.parametrize("command", ["evaluate", "benchmark"])
def test_quality_names_the_extra_that_it_needs(textapp: Callable, bundle: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "some.tsv").write_text("label\ttext\npositive\tgood food\nnegative\tbad room\n", encoding="utf-8")
    done = textapp(command, bundle, "--data", "some.tsv", "--columns", "label=label,text=text")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "'sklearn', which is not installed: pip install 'textapp[evaluate]'" in done.stderr


def test_a_run_and_an_export_name_the_extra_that_they_need(textapp: Callable, tiny_run: Path) -> None:
    for arguments in (["predict", tiny_run, "good"], ["export", tiny_run]):
        done = textapp(*arguments)
        assert done.returncode == 2 and "pip install 'textapp[train]'" in done.stderr, done.stderr


@pytest.mark.slow
def test_the_tests_of_the_device_half_pass_there(python: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"  # beside the environment, which stays as it is on a device
    pins = [f"{name}=={version(name)}" for name in ("pytest", "hypothesis")]
    done = call(python, "-m", "pip", "install", "--quiet", "--target", packages, *pins)
    assert done.returncode == 0, done.stderr
    own = {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    own["TEXTAPP_SMALL_MODEL"] = str(write_small_model(tmp_path))
    options = ["-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-m", "not evaluate"]
    options += [f"--deselect=tests/{name}" for name in WITHOUT]
    (tmp_path / "empty").mkdir()  # not the checkout, whose package would be imported
    folders = [ROOT / "tests" / name for name in DEVICE_HALF]
    done = call(python, "-m", "pytest", *options, *folders, env=own, cwd=tmp_path / "empty")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 800, done.stdout[-500:]
