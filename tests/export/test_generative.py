"""Models that generate text, exported: the same tokens as the Keras model, whichever way they are asked."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from exports import export_run
from writers import make_writer

import textapp
from textapp.artifact import open_artifact
from textapp.errors import ExportError, UsageError
from textapp.export import auto
from textapp.export.flatbuffer import narrow
from textapp.export.flatbuffer.graphs import operator_name, parse, type_name
from textapp.export.flatbuffer.loops import float_weights, loop_variables
from textapp.objectives import generative
from textapp.runners.edge import EdgeRunner
from textapp.runners.saved_model import SavedModelRunner


@pytest.fixture(scope="module")
def litert(translator, pairs, tmp_path_factory):
    """The translator for LiteRT with dynamic-range int8. Read only."""
    return export_run(translator, "litert", "dynamic", 5.0, pairs, out=tmp_path_factory.mktemp("bundles") / "litert")


def test_a_bundle_writes_its_golden_examples(litert):
    golden = json.loads((litert / "golden.json").read_text(encoding="utf-8"))
    answers, runner = textapp.load(litert), EdgeRunner(litert / "model.tflite")
    assert len(golden) == 3
    for example in golden:
        inputs = {name: np.array([values], np.int32) for name, values in example["inputs"].items()}
        found = runner.run(example["signature"], inputs)
        assert found["token_ids"][0].tolist() == example["token_ids"]
        assert found["num_tokens"].tolist() == [example["num_tokens"]]
        assert found["score"][0] == pytest.approx(example["score"], abs=1e-4)
        assert answers(example["input"]).output == example["output"]


def test_the_manifest_tells_signatures_and_quality(litert):
    manifest = open_artifact(litert).manifest
    signatures = manifest["signatures"]
    assert signatures["generate_8_12"] == {
        "inputs": {"token_ids": [1, 8]}, "outputs": {"num_tokens": [1], "score": [1], "token_ids": [1, 12]}
    }  # fmt: skip
    assert signatures["decode"]["inputs"]["cache_0_key"] == [1, 2, 21, 16]  # 20 new tokens and the start
    assert signatures["prefill_8"]["outputs"]["cache_1_memory_value"] == [1, 2, 16, 16]  # of the longest source
    report = manifest["verification"]
    assert report["examples"] == 240 and report["agreement"] >= 99 and report["bleu"] > 80
    assert 0.01 < report["max_error"] < 1  # less would mean that nothing was quantized
    assert manifest["quality"] == {name: report[name] for name in ("examples", "bleu", "chrf", "perplexity")}


def test_steps_that_write_in_place_write_the_same(litert, pairs, monkeypatch):
    """As in a large file, whose keys and values of all hypotheses and sources are in the same memory."""
    sources = [pair["source"] for pair in pairs[:12]]
    found = []
    for least in (1 << 30, 0):
        monkeypatch.setattr("textapp.runners.edge.MIN_BYTES", least)
        predictor = textapp.load(litert)
        found.append([predictor(source, beam_size=4, num_hypotheses=3) for source in sources])
        found[-1] += ["".join(predictor.stream(source)) for source in sources]
    assert found[0] == found[1]


def test_a_kernel_has_one_bias_in_all_signatures(litert, language_model, documents, tmp_path):
    """XNNPACK's cache of packed weights, which opens large files, takes one with another bias for the same."""
    for bundle in (litert, export_run(language_model, "litert", "dynamic", 5.0, documents, out=tmp_path / "lm")):
        model, biases = parse((bundle / "model.tflite").read_bytes()), {}
        for graph in model.subgraphs:
            for operator in graph.operators:
                if operator_name(model, operator) == "FULLY_CONNECTED":
                    _, kernel, *bias = operator.inputs
                    biases.setdefault(graph.tensors[kernel].buffer, set()).update(
                        graph.tensors[index].buffer if index >= 0 else None for index in bias
                    )
        assert len(biases) > 10 and max(map(len, biases.values())) == 1


def test_a_loop_carries_the_text_and_the_cache_and_no_weight(litert):
    model = parse((litert / "model.tflite").read_bytes())
    changing = {variable.shape for variable in loop_variables(model) if variable.changes}
    resting = Counter(tuple(sorted(variable.shape)) for variable in loop_variables(model) if not variable.changes)
    assert changing == {(), (1,), (1, 12), (1, 20)}
    # Keys and values of two layers, of 12 and of 20 new tokens, each under two names; see in_place.py.
    assert resting.pop((1, 2, 12, 16)) == resting.pop((1, 2, 16, 20)) == 8
    # The memory of the source and its mask, in whatever order the converter leaves their dimensions.
    assert set(resting) <= {(), (1, 2, 8, 16), (1, 2, 16, 16), (1, 8), (1, 16)}
    assert not list(float_weights(model))


@pytest.mark.parametrize("target", ["litert", "tflite-runtime"])
def test_float32_writes_every_token_of_the_keras_model(tiny_writer_bundle, target):
    report = open_artifact(tiny_writer_bundle("translation", target)).manifest["verification"]
    assert report["runtime"].startswith("ai-edge-litert" if target == "litert" else target)
    assert report["equal_texts"] == 100 and report["max_error"] < 1e-3
    assert report["bleu"] == report["bleu_of_run"] > 80


@pytest.mark.parametrize(
    ("target", "quantize"),
    [pytest.param("tflite-runtime", "float16", marks=pytest.mark.slow), ("tflite-runtime", "dynamic")],
)
def test_other_pairs_of_target_and_quantization_keep_the_text(translator, pairs, tmp_path, target, quantize):
    report = open_artifact(export_run(translator, target, quantize, 5.0, pairs, out=tmp_path / target)).manifest[
        "verification"
    ]
    assert report["agreement"] >= 99


def test_a_large_language_model_is_converted_apart_and_verified_by_reading(
    language_model, documents, tmp_path, monkeypatch
):
    monkeypatch.setattr("textapp.export.bundle.LARGE", 0)
    monkeypatch.setattr("textapp.objectives.checks.generative.FULLY_VERIFIED", 1)
    monkeypatch.setattr(generative, "MIN_WEIGHTS_OF_SEVERAL", 0)
    bundle = export_run(language_model, "litert", "none", 5.0, documents, out=tmp_path / "litert")
    report = open_artifact(bundle).manifest["verification"]
    assert report["equal_texts"] == report["agreement"] == 100 and report["max_error"] < 1e-3
    assert report["perplexity"] == pytest.approx(report["perplexity_of_run"], rel=1e-3)
    runner = EdgeRunner(bundle / "model.tflite")
    assert "decode_5" in runner.signatures
    for example in json.loads((bundle / "golden.json").read_text(encoding="utf-8")):
        inputs = {name: np.array([values], np.int32) for name, values in example["inputs"].items()}
        found = runner.run(example["signature"], inputs)
        assert found["token_ids"][0].tolist() == example["token_ids"]


# Differences of logits: the weights of a dynamic file are int8, so it shows some; float32 differs in the last digits.
@pytest.mark.parametrize(("quantize", "min_error", "max_error"), [("none", 0, 1e-4), ("dynamic", 0.01, 1)])
def test_a_language_model_goes_on_as_the_keras_model_does(
    language_model, documents, tmp_path, caplog, monkeypatch, quantize, min_error, max_error
):
    monkeypatch.setattr(generative, "MIN_WEIGHTS_OF_SEVERAL", 0)
    with caplog.at_level(logging.INFO, "textapp"):
        bundle = export_run(language_model, "litert", quantize, 5.0, documents, out=tmp_path / "litert")
    examples = open_artifact(bundle).manifest["quality"]["examples"]
    told = [record.getMessage() for record in caplog.records if record.name == "textapp"]
    assert told[-2:] == [
        f"litert, quantize {quantize}: converting", f"litert, quantize {quantize}: verifying on {examples} examples"
    ]  # fmt: skip
    manifest = open_artifact(bundle).manifest
    assert manifest["signatures"]["generate_8_12"]["inputs"] == {"num_tokens": [1], "token_ids": [1, 8]}
    report = manifest["verification"]
    assert min_error < report["max_error"] < max_error
    assert report["perplexity"] == pytest.approx(report["perplexity_of_run"], rel=0.01)
    assert report["agreement"] >= 99 and report["equal_texts"] >= (100 if quantize == "none" else 95)
    prompts = [document["text"][:20] for document in documents[:5]]
    found = [answer.output for answer in textapp.load(bundle).batch(prompts)]
    run, predictor = textapp.load(language_model.path), textapp.load(bundle)
    assert found == [answer.output for answer in run.batch(prompts)]
    # Streamed, the bundle guesses where its prompt repeats, and the run never does.
    assert manifest["signatures"]["decode_5"]["outputs"]["logits"][:2] == [1, 5]
    for prompt in [*prompts, "red dog red dog red dog", "sea sea sea sea"]:
        for limits in ({}, {"max_new_tokens": 6}, {"min_new_tokens": 20, "max_new_tokens": 20}):
            assert list(predictor.stream(prompt, **limits)) == list(run.stream(prompt, **limits))
    assert predictor.runner.buffers("decode_5").inputs["token_ids"].any()


def test_auto_tries_what_a_model_that_writes_can_be(language_model, documents, tmp_path, monkeypatch):
    def choose(make, ways, *_):
        raise ExportError(f"tried {ways}")

    monkeypatch.setattr(auto, "choose", choose)
    with pytest.raises(ExportError, match=r"tried \('none', 'float16', 'dynamic'\)"):
        export_run(language_model, "litert", "auto", 5.0, documents[:20], out=tmp_path / "litert")
    monkeypatch.setattr("textapp.export.bundle.MIN_WEIGHTS_OF_INT4", 0)
    with pytest.raises(ExportError, match=r"tried \('none', 'float16', 'dynamic', 'int4'\)"):
        export_run(language_model, "litert", "auto", 5.0, documents[:20], out=tmp_path / "litert")


@pytest.mark.parametrize("apart", [False, True])
def test_a_language_model_in_int4_writes_what_its_rounded_weights_say(
    language_model, documents, tmp_path, monkeypatch, apart
):
    if apart:
        monkeypatch.setattr("textapp.export.bundle.LARGE", 0)
        monkeypatch.setattr("textapp.objectives.checks.generative.FULLY_VERIFIED", 1)
    bundle = export_run(language_model, "litert", "int4", None, documents, out=tmp_path / "litert")
    manifest = open_artifact(bundle).manifest
    report = manifest["verification"]
    assert manifest["quantize"] == "int4" and report["int4_kernels"] == 7  # keys are small
    assert report["agreement"] >= 95 and report["perplexity"] < 1.06 * report["perplexity_of_run"]
    graphs = parse((bundle / "model.tflite").read_bytes()).subgraphs
    kinds = {type_name(tensor) for graph in graphs for tensor in graph.tensors}
    assert {"INT4", "INT8"} <= kinds  # the table is int8
    answers, golden = textapp.load(bundle), json.loads((bundle / "golden.json").read_text(encoding="utf-8"))
    assert [answers(example["input"]).output for example in golden] == [example["output"] for example in golden]


def test_a_translator_in_int4_translates(translator, pairs, tmp_path):
    bundle = export_run(translator, "litert", "int4", 30.0, pairs, out=tmp_path / "litert")
    report = open_artifact(bundle).manifest["verification"]
    assert report["bleu"] > report["bleu_of_run"] - 30 and report["agreement"] >= 95 and report["int4_kernels"] > 10


def test_wrong_int4_weights_are_found_beside_the_rounded_model(language_model, documents, tmp_path, monkeypatch):
    packed = narrow._packed
    monkeypatch.setattr(narrow, "_packed", lambda values: packed(values[:, ::-1]))  # as if halves were swapped
    with pytest.raises(ExportError, match="agrees with the model on|different texts"):
        export_run(language_model, "litert", "int4", 1e9, documents, out=tmp_path / "litert")


def test_int8_activations_are_refused_with_the_reason(translator, pairs, tmp_path):
    with pytest.raises(UsageError, match="none inside the decoding loop: take dynamic"):
        export_run(translator, "litert", "int8", 0.5, pairs, out=tmp_path / "litert")
    assert not (tmp_path / "litert").exists()


@pytest.fixture(scope="module")
def saved(translator, pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "saved_model"
    return export_run(translator, "saved_model", "none", 0.5, pairs[:60], text_signature=True, out=folder)


def test_a_saved_model_translates_strings_and_ids_of_any_length(saved, translator, pairs):
    texts = [pair["source"] for pair in pairs[:9]] + ["", "  ", "\u3000", "\xa0\n\x1f"]
    expected = [answer.output for answer in textapp.load(translator.path).batch(texts)]
    runner = SavedModelRunner(saved)
    assert [text.decode() for text in runner.texts(texts)["text"]] == expected
    assert [answer.output for answer in textapp.load(saved, trusted=True).batch(texts)] == expected
    short = runner.run("generate", {"token_ids": np.array([[7, 8, 3]], np.int32)})
    longer = runner.run("generate_8_12", {"token_ids": np.array([[7, 8, 3, 0, 0, 0, 0, 0]], np.int32)})
    np.testing.assert_array_equal(short["token_ids"][:, :12], longer["token_ids"])
    assert short["token_ids"].shape == (1, 20)


def test_a_saved_model_decodes_step_by_step(saved, translator, pairs):
    texts = [pair["source"] for pair in pairs[:3]]
    options = {"beam_size": 3}
    expected = [textapp.load(translator.path)(text, **options).output for text in texts]
    assert [textapp.load(saved, trusted=True)(text, **options).output for text in texts] == expected


def test_a_language_model_as_a_saved_model_goes_on_with_strings(language_model, documents, tmp_path: Path):
    bundle = export_run(
        language_model, "saved_model", "none", 0.5, documents[:40], text_signature=True, out=tmp_path / "saved_model"
    )
    prompts = [*(document["text"][:12] for document in documents[:5]), "", documents[0]["text"] * 4]
    expected = [answer.output for answer in textapp.load(language_model.path).batch(prompts)]
    runner = SavedModelRunner(bundle)
    assert [runner.texts([prompt])["text"][0].decode() for prompt in prompts] == expected


def test_text_is_refused_where_python_cleans(language_model, documents, tmp_path):
    cleaned = make_writer(tmp_path / "run", documents, cleaning=("html",), steps=1)
    with pytest.raises(UsageError, match="its cleaning has html, which runs in Python"):
        export_run(cleaned, "saved_model", "none", 0.5, documents, text_signature=True)
