"""Models that write, from a run folder to devices: Keras, LiteRT and tflite-runtime give the same text."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from environments import ROOT, call

BLOCKED = ["tensorflow", "keras", "tf_keras", "keras_hub", "tensorflow_text"]
MADE_FOR = {"translation": "tflite-runtime", "generation": "litert"}
TEXTS = {"translation": ["rot haus", "hund katze baum wald", "", "tag"], "generation": ["red blue", "night", "", "sea"]}
PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))  # None: importing it raises ImportError
import textapp
predictor = textapp.load(sys.argv[2], runtime=sys.argv[3])
texts = json.loads(sys.argv[4])
print(json.dumps({
    "greedy": [predictor(text).output for text in texts],
    "batch": [answer.output for answer in predictor.batch(texts)],
    "workers": [answer.output for answer in predictor.batch(texts, workers=2)],
    "stepwise": [predictor(text, num_hypotheses=2, beam_size=2).output for text in texts],
    "streamed": ["".join(predictor.stream(text)) for text in texts],
}))
"""

FORMS = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
import textapp
predictor = textapp.load(sys.argv[2], runtime=sys.argv[3])
forms = json.loads(sys.argv[4])
print(json.dumps({
    "greedy": [predictor("red blue", **form).output for form in forms],
    "beams": [predictor("red blue", beam_size=2, **form).output for form in forms],
    "streamed": ["".join(predictor.stream("red blue", **form)) for form in forms],
    "loaded": "llguidance" in sys.modules,
}))
"""
PATTERNS = ["[a-e]{1,4}", "(re|bl)[a-z]{1,2}( [a-z]{1,2})?"]


def answers(python: Path, bundle: Path, runtime: str, texts: list[str]) -> dict[str, list[str]]:
    """What a bundle writes in a process where TensorFlow cannot be imported."""
    own = {"PYTHONPATH": str(ROOT)} if python == Path(sys.executable) else {}  # others have textapp installed
    done = call(python, "-c", PROGRAM, json.dumps(BLOCKED), bundle, runtime, json.dumps(texts), env=own)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=MADE_FOR)
def device(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[str], Path],
    tiny_writer_bundle: Callable[[str, str], Path],
) -> tuple[Path, list[str], dict]:  # fmt: skip
    """A copied bundle, texts for it, and what the Keras model writes for them."""
    import textapp

    task = request.param
    bundle, keras = tiny_writer_bundle(task, MADE_FOR[task]), textapp.load(tiny_writer(task))
    greedy = [keras(text).output for text in TEXTS[task]]
    beams = [keras(text, num_hypotheses=2, beam_size=2).output for text in TEXTS[task]]
    expected = {"greedy": greedy, "batch": greedy, "workers": greedy, "stepwise": beams, "streamed": greedy}
    return shutil.copytree(bundle, tmp_path_factory.mktemp("device") / "bundle"), TEXTS[task], expected


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_one_bundle_writes_the_keras_models_text_on_both_runtimes(device: tuple, runtime: str) -> None:
    bundle, texts, expected = device
    assert answers(Path(sys.executable), bundle, runtime, texts) == expected


def test_it_writes_the_same_where_only_litert_is_installed(device: tuple, environment: Callable[[str], Path]) -> None:
    bundle, texts, expected = device
    assert answers(environment("litert"), bundle, "auto", texts) == expected


@pytest.mark.parametrize("task", MADE_FOR)
def test_answers_of_a_form_are_those_of_the_keras_model(
    task: str, tiny_writer: Callable[[str], Path], tiny_writer_bundle: Callable[[str, str], Path]
) -> None:
    import textapp

    bundle, keras = tiny_writer_bundle(task, MADE_FOR[task]), textapp.load(tiny_writer(task))
    forms = [{"regex": pattern} for pattern in PATTERNS]
    own = {"PYTHONPATH": str(ROOT)}
    done = call(sys.executable, "-c", FORMS, json.dumps(BLOCKED), bundle, "litert", json.dumps(forms), env=own)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(re.fullmatch(pattern, text) for pattern, text in zip(PATTERNS, found["greedy"], strict=True))
    greedy = [keras("red blue", **form).output for form in forms]
    beams = [keras("red blue", beam_size=2, **form).output for form in forms]
    assert found == {"greedy": greedy, "beams": beams, "streamed": greedy, "loaded": True}
