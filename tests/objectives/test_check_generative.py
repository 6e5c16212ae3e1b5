"""The judge of exports that write, on a model that is never converted: what it lets pass, what it refuses."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from writers import make_pairs

from textapp.artifact import open_artifact
from textapp.catalog import recipe_of, task_from_manifest
from textapp.decoding.forced import force_all
from textapp.errors import ExportError
from textapp.export.answers import with_own
from textapp.models.saving import MODEL, load_float32
from textapp.objectives.checks.generative import GenerativeCheck, rows_verified, share_verified
from textapp.text.tokenizer import load_tokenizers


@pytest.fixture(scope="module")
def runner_and_check(tiny_writer):
    pairs, run = make_pairs(240), open_artifact(tiny_writer("translation"))
    task = task_from_manifest(run.manifest, load_tokenizers(run.path))
    runner = recipe_of("translation").objective().runner(load_float32(run.path / MODEL), task)
    return runner, GenerativeCheck(runner, task, pairs[:60], "bleu", max_drop=0.5, scored=("bleu", "chrf"))


@pytest.fixture(scope="module")
def check(runner_and_check):
    return runner_and_check[1]


def handed_in(runner, check, **changed):
    """What an export would hand in: the model's own outputs, some of them changed."""
    arrays = {
        f"{name}/{key}": values.copy() for name, outputs in check.expected.items() for key, values in outputs.items()
    }
    arrays |= {key: change(arrays[key]) for key, change in changed.items()}
    return arrays | force_all(runner, with_own(check.forced, arrays))


@pytest.fixture(scope="module")
def exported(runner_and_check):
    return partial(handed_in, *runner_and_check)


def test_the_model_itself_passes_with_no_difference(check, exported):
    report = check.judge(exported(), "keras", "none").report
    assert (report["equal_texts"], report["agreement"], report["near_ties"]) == (100, 100, 0)
    assert report["max_error"] < 1e-5 and report["steps_gap"] < 1e-5
    assert report["bleu"] == report["bleu_of_run"] > 80
    assert 1 < report["perplexity"] < 1.5


def other_token(token_ids):
    changed = token_ids.copy()
    changed[5, 1] = 7 if changed[5, 1] != 7 else 8
    return changed


def test_a_loop_that_takes_another_token_than_the_steps_is_refused(check, exported):
    with pytest.raises(ExportError, match="generate different texts: a token of the loop"):
        check.judge(exported(**{"generate_16_20/token_ids": other_token}), "keras", "none")


def test_several_tokens_at_once_that_say_another_token_are_refused(check, exported):
    arrays = exported()
    signature = next(iter(check.expected))
    arrays |= {f"{signature}.at_once/gap": np.array([[0.0, 0.5]])}
    with pytest.raises(ExportError, match="a token of the loop is 0.5000 below the best one"):
        check.judge(arrays, "keras", "none")


def test_another_token_than_the_keras_model_is_refused_and_placed(check, exported):
    arrays = exported()
    arrays["generate_8_12/token_ids"] = other_token(arrays["generate_8_12/token_ids"])
    with pytest.raises(ExportError, match="generate_8_12: .* for example 5: token 1 of the export is"):
        check.judge(arrays, "keras", "none")


def test_another_token_of_a_batch_is_refused(runner_and_check):
    """Signatures for several texts have to write what those for one text write."""
    runner, alone = runner_and_check
    settings = {"max_drop": 0.5, "batch_size": 4, "scored": ("bleu", "chrf")}
    check = GenerativeCheck(runner, alone.task, alone.examples.records, "bleu", **settings)
    arrays = handed_in(runner, check)
    assert check.judge(arrays, "keras", "none").report["equal_texts"] == 100
    arrays["batch_4_generate_8_12/token_ids"] = other_token(arrays["batch_4_generate_8_12/token_ids"])
    with pytest.raises(ExportError, match="batch_4_generate_8_12: the export and the model generate different texts"):
        check.judge(arrays, "keras", "none")


def test_another_token_at_a_tie_passes(check, exported, monkeypatch):
    arrays = exported()
    arrays["generate_8_12/token_ids"] = other_token(arrays["generate_8_12/token_ids"])
    monkeypatch.setattr("textapp.objectives.checks.generative.NEAR_TIE", 100.0)  # so everything is a tie
    assert check.judge(arrays, "keras", "none").report["near_ties"] == 1


def test_what_is_not_finite_is_refused(check, exported, monkeypatch):
    arrays = exported()
    with monkeypatch.context() as patch:
        expected = check.expected["generate_8_12"]
        patch.setitem(expected, "score", np.full_like(expected["score"], np.nan))
        with pytest.raises(ExportError, match="NaN or infinity in the outputs of the Keras model in generate_8_12"):
            check.judge(arrays, "keras", "dynamic")
    arrays["generate_8_12/score"][0] = np.nan
    with pytest.raises(ExportError, match="the outputs of the export in generate_8_12"):
        check.judge(arrays, "keras", "dynamic")
    arrays = exported()
    arrays["generate_16_20.own/gap"][0, 0] = np.inf
    with pytest.raises(ExportError, match="the steps of the export in generate_16_20.own"):
        check.judge(arrays, "keras", "dynamic")


def test_a_worse_translation_is_refused_when_quantized(check, exported):
    arrays = exported()
    for name in ("generate_8_12", "generate_16_20"):
        arrays[f"{name}/token_ids"] = np.full_like(arrays[f"{name}/token_ids"], 3)
    with pytest.raises(ExportError, match=r"bleu on 60 examples goes from .* to 0.00, expected a loss of at most 0.5"):
        check.judge(arrays, "keras", "dynamic")


def test_too_few_equal_steps_are_refused(check, exported):
    arrays = exported()
    arrays["generate_8_12.expected/best"] = np.zeros_like(arrays["generate_8_12.expected/best"])
    with pytest.raises(ExportError, match="agrees with the model on"):
        check.judge(arrays, "keras", "dynamic")


def test_other_log_probabilities_are_refused_in_float32(check, exported):
    arrays = exported()
    arrays["generate_8_12.expected/log_probability"] += 0.01
    with pytest.raises(
        ExportError, match=r"log-probabilities differ from the model's by 0.0100, expected at most 0.001"
    ):
        check.judge(arrays, "keras", "none")


def test_the_gap_between_loop_and_steps_is_judged_by_what_quantization_changes(check, exported):
    arrays = exported()
    arrays["generate_8_12.own/gap"][0, 0] = 0.65
    with pytest.raises(ExportError, match=r"0.6500 below the best one of its step, expected at most 0.2$"):
        check.judge(arrays, "keras", "dynamic")
    arrays["generate_8_12.expected/log_probability"][1, 0] += 0.4  # a model whose int8 weights change this much
    assert check.judge(arrays, "keras", "dynamic").report["steps_gap"] == pytest.approx(0.65)
    with pytest.raises(ExportError, match=r"expected at most 0.2$"):  # float16 changes next to nothing
        check.judge(arrays, "keras", "float16")
    arrays["generate_8_12.own/gap"][0, 0] = 0.9
    with pytest.raises(ExportError, match=r"0.9000 below the best one of its step, expected at most 0.8"):
        check.judge(arrays, "keras", "dynamic")


@pytest.mark.parametrize(("weights", "rows"), [(0, 200), (6_000_000, 200), (20_000_000, 60), (500_000_000, 8)])
def test_a_large_model_is_verified_on_fewer_texts(weights, rows):
    assert rows_verified(share_verified(weights)) == rows


@pytest.fixture(scope="module")
def reading(tiny_writer):
    """The check of a language model that counts as large, and what its own model would hand in."""
    run = open_artifact(tiny_writer("generation"))
    task = task_from_manifest(run.manifest, load_tokenizers(run.path))
    runner = recipe_of("generation").objective().runner(load_float32(run.path / MODEL), task)
    records = [{"prompt": pair["source"], "text": pair["target"]} for pair in make_pairs(20)]
    check = GenerativeCheck(runner, task, records, "perplexity", max_drop=0.5, share=0.01)
    return check, runner


def generated(check, runner):
    arrays = {
        f"{name}/{key}": values
        for name, inputs in check.inputs.items()
        for key, values in runner.run(name, inputs).items()
    }
    return arrays | force_all(runner, with_own(check.forced, arrays))


def test_a_large_language_model_reads_and_generates_nothing(reading):
    check, runner = reading
    assert not check.expected and all(len(inputs["token_ids"]) >= 4 for inputs in check.inputs.values())
    report = check.judge(generated(check, runner), "keras", "none").report
    assert (report["equal_texts"], report["agreement"], report["near_ties"]) == (100, 100, 0)
    assert report["perplexity"] == pytest.approx(report["perplexity_of_run"], rel=1e-4)
    assert "equal_texts" not in check.judge(generated(check, runner), "keras", "dynamic").report


def test_another_token_than_a_large_model_takes_is_refused(reading):
    check, runner = reading
    arrays, (name, *_) = generated(check, runner), check.inputs
    changed = arrays[f"{name}/token_ids"].copy()
    changed[2, 1] = 7 if changed[2, 1] != 7 else 8
    arrays[f"{name}/token_ids"] = changed
    with pytest.raises(ExportError, match=f"{name}: .* for example 2: token [1-9]"):
        check.judge(arrays, "keras", "none")


def test_the_texts_of_a_large_model_are_chosen_from_all(runner_and_check):
    runner, check = runner_and_check
    few = GenerativeCheck(runner, check.task, check.examples.records[:20], "bleu", max_drop=0.5, share=0.05)
    rows = {name: len(inputs["token_ids"]) for name, inputs in few.inputs.items()}
    assert rows == {"generate_8_12": 13, "generate_16_20": 10}  # its own, and as many more as make 10
    forced = {name: len(named["token_ids"]) for name, named in few.forced.items() if name.endswith(".expected")}
    assert forced == {"generate_8_12.expected": 13, "generate_16_20.expected": 10}  # 200 tokens each
