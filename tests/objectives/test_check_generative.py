"""The judge of exports that write, on a model that is never converted: what it lets pass, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from textapp.objectives.generator_runner import GeneratorRunner

from textapp.catalog import task_from_manifest
from textapp.decoding.forced import force_all
from textapp.errors import ExportError
from textapp.export.answers import with_own
from textapp.export.bundle import load_float32
from textapp.objectives.checks.generative import GenerativeCheck
from textapp.text.tokenizer import load_tokenizers


@pytest.fixture(scope="module")
def check(translator, pairs):
    task = task_from_manifest(translator.manifest, load_tokenizers(translator.path))
    model = load_float32(translator.path / "model.keras")
    check = GenerativeCheck(model, task, pairs[:60], translator.manifest, max_drop=0.5)
    check.runner = GeneratorRunner(model, translator.manifest)
    return check


def exported(check, **changed):
    """What an export would hand in: the model's own outputs, some of them changed."""
    arrays = {
        f"{name}/{key}": values.copy() for name, outputs in check.expected.items() for key, values in outputs.items()
    }
    arrays |= {key: change(arrays[key]) for key, change in changed.items()}
    return arrays | force_all(check.runner, with_own(check.along, arrays))


def test_the_model_itself_passes_with_no_difference(check):
    report = check.judge(exported(check), "keras", "none").report
    assert (report["equal_texts"], report["agreement"], report["near_ties"]) == (100, 100, 0)
    assert report["max_error"] < 1e-5 and report["steps_gap"] < 1e-5
    assert report["bleu"] == report["bleu_of_run"] > 80
    assert 1 < report["perplexity"] < 1.5


def other_token(token_ids):
    changed = token_ids.copy()
    changed[5, 1] = 7 if changed[5, 1] != 7 else 8
    return changed


def test_a_loop_that_takes_another_token_than_the_steps_is_refused(check):
    with pytest.raises(ExportError, match="write different texts: a token that the loop took"):
        check.judge(exported(check, **{"generate_16_20/token_ids": other_token}), "keras", "none")


def test_another_token_than_the_keras_model_is_refused_and_placed(check):
    arrays = exported(check)
    arrays["generate_8_12/token_ids"] = other_token(arrays["generate_8_12/token_ids"])
    with pytest.raises(ExportError, match="generate_8_12: .* for example 5: its token 1 lies"):
        check.judge(arrays, "keras", "none")


def test_another_token_at_a_tie_passes(check, monkeypatch):
    arrays = exported(check)
    arrays["generate_8_12/token_ids"] = other_token(arrays["generate_8_12/token_ids"])
    monkeypatch.setattr("textapp.objectives.checks.generative.NEAR_TIE", 100.0)  # so everything is a tie
    assert check.judge(arrays, "keras", "none").report["near_ties"] == 1


def test_what_is_not_finite_is_refused(check):
    arrays = exported(check)
    arrays["generate_8_12/score"][0] = np.nan
    with pytest.raises(ExportError, match="the export's answers in generate_8_12"):
        check.judge(arrays, "keras", "dynamic")
    arrays = exported(check)
    arrays["generate_16_20.own/gap"][0, 0] = np.inf
    with pytest.raises(ExportError, match="the export's steps in generate_16_20.own"):
        check.judge(arrays, "keras", "dynamic")


def test_a_worse_translation_is_refused_when_quantized(check):
    arrays = exported(check)
    for name in ("generate_8_12", "generate_16_20"):
        arrays[f"{name}/token_ids"] = np.full_like(arrays[f"{name}/token_ids"], 3)
    with pytest.raises(ExportError, match=r"bleu on 60 examples goes from .* to 0.00, more than the 0.5"):
        check.judge(arrays, "keras", "dynamic")


def test_too_few_equal_steps_are_refused(check):
    arrays = exported(check)
    arrays["generate_8_12.expected/best"] = np.zeros_like(arrays["generate_8_12.expected/best"])
    with pytest.raises(ExportError, match="takes the model's token at only"):
        check.judge(arrays, "keras", "dynamic")


def test_other_log_probabilities_are_refused_in_float32(check):
    arrays = exported(check)
    arrays["generate_8_12.expected/log_probability"] += 0.01
    with pytest.raises(ExportError, match=r"log-probabilities differ from the model's by 0.0100, at most 0.001"):
        check.judge(arrays, "keras", "none")
