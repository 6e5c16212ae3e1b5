"""A bundle answers in a process where TensorFlow, Keras and their relatives cannot be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environments import BLOCKED, INTERPRETER, NUMPY, SENTENCEPIECE

ROOT = Path(__file__).parents[2]

# What site-packages hooks load at start is not textapp's: it is left out.
PROGRAM = """
import json, sys
at_start = set(sys.modules)
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))  # None: importing it raises ImportError
import textapp
predictor = textapp.load(sys.argv[2])
labels = [predictor(text).label for text in sys.argv[3:]] + [answer.label for answer in predictor.batch(sys.argv[3:])]
names = [name for name, module in sys.modules.items() if module is not None and name not in at_start]
third = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
own = [name for name in names if name.split(".")[0] == "textapp"]
print(json.dumps({"labels": labels, "packages": sorted(third), "own": sorted(own)}))
"""


def answer_without_tensorflow(bundle: Path, *texts: str) -> dict:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    command = [sys.executable, "-c", PROGRAM, json.dumps(BLOCKED), str(bundle), *texts]
    done = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def answered(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    # A copy elsewhere: the run folder around it must not be needed.
    bundle = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("device") / "bundle")
    return answer_without_tensorflow(bundle, "The food was great and the staff were kind.", "这家酒店很好。", "")


def test_a_copied_bundle_answers_with_tensorflow_blocked(answered: dict, tiny_bundle: Path) -> None:
    labels = json.loads((tiny_bundle / "manifest.json").read_text(encoding="utf-8"))["labels"]
    assert len(answered["labels"]) == 6
    assert set(answered["labels"]) <= set(labels)
    assert answered["labels"][:3] == answered["labels"][3:]  # one by one as in a batch


def test_only_numpy_the_interpreter_and_the_tokenizer_are_loaded(answered: dict) -> None:
    loaded = {name for name in answered["packages"] if not name.startswith(("_cython_", "__editable__"))}
    assert loaded == {"textapp"} | NUMPY | SENTENCEPIECE | INTERPRETER


def test_nothing_of_textapp_above_the_predictor_is_loaded(answered: dict) -> None:
    conversations = {"textapp.records", "textapp.records.messages", "textapp.records.json_objects"}  # no reader
    own = set(answered["own"]) - conversations
    packages = {name.split(".")[1] for name in own if "." in name}
    below = {"arrays", "artifact", "decoding", "errors", "files", "folders", "locks", "noise", "remote", "runners"}
    assert packages <= below | {"catalog", "loading", "predictors", "tasks", "text", "untrusted"}


def test_a_run_folder_says_what_it_needs(tiny_run: Path) -> None:
    program = PROGRAM.replace("sys.argv[2]", "sys.argv[2], runtime='litert'")
    command = [sys.executable, "-c", program, json.dumps(BLOCKED), str(tiny_run), "good"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode != 0
    assert "textapp[train]" in done.stderr
