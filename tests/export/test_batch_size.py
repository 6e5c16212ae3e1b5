"""Signatures that take several texts at once: they generate what those for one text generate."""

from __future__ import annotations

from collections import Counter

import pytest
from exports import export_run

import textapp
from textapp.artifact import open_artifact
from textapp.errors import UsageError
from textapp.runners.edge import EdgeRunner


def calls_of(runner: EdgeRunner) -> Counter:
    """Counts from now on which signatures are called."""
    counts: Counter = Counter()
    run = runner.run

    def counted(signature, features):
        counts[signature] += 1
        return run(signature, features)

    runner.run = counted
    return counts


@pytest.mark.parametrize("quantize, rows", [("none", 4), ("dynamic", 12)])
def test_a_translator_answers_a_batch_as_it_answers_each_text(
    translator, tiny_writer_bundle, pairs, tmp_path, quantize, rows
):
    if quantize == "none":
        bundle = tiny_writer_bundle("translation", "litert")
    else:
        bundle = export_run(translator, "litert", quantize, 5.0, pairs, out=tmp_path / "litert", batch_size=rows)
    manifest = open_artifact(bundle).manifest
    assert manifest["batch_size"] == rows
    assert manifest["signatures"][f"batch_{rows}_generate_8_12"] == {
        "inputs": {"token_ids": [rows, 8]}, "outputs": {"num_tokens": [rows], "score": [rows], "token_ids": [rows, 12]}
    }  # fmt: skip
    answers = textapp.load(bundle)
    texts = [pair["source"] for pair in pairs[:50]]
    expected = [answers(text) for text in texts]
    counts = calls_of(answers.runner)
    found = answers.batch(texts)
    assert [answer.output for answer in found] == [answer.output for answer in expected]
    assert [answer.score for answer in found] == pytest.approx([answer.score for answer in expected], abs=1e-3)
    alone = sum(count for name, count in counts.items() if not name.startswith(f"batch_{rows}_"))
    assert counts.total() <= 14 and alone < rows / 2  # too few for a call of their own


def test_a_language_model_answers_a_batch_of_prompts_of_every_length(tiny_writer_bundle, documents):
    bundle = tiny_writer_bundle("generation", "litert")
    inputs = open_artifact(bundle).manifest["signatures"]["batch_4_generate_16_20"]["inputs"]
    assert inputs == {"num_tokens": [4], "token_ids": [4, 16]}
    prompts = [document["text"][: 4 + 3 * index] for index, document in enumerate(documents[:12])]
    answers = textapp.load(bundle)
    expected = [answers(prompt).output for prompt in prompts]
    assert [answer.output for answer in answers.batch(prompts, workers=2)] == expected


def test_a_few_texts_left_over_go_one_by_one(tiny_writer_bundle, pairs):
    answers = textapp.load(tiny_writer_bundle("translation", "litert"))
    counts = calls_of(answers.runner)
    text = pairs[0]["source"]
    answers(text)
    answers.batch([text])
    answers.batch([text] * 9)
    [single] = {name for name in counts if name.startswith("generate_")}
    assert counts == {single: 3, f"batch_4_{single}": 2}


def test_a_batch_size_is_checked(translator, run, pairs, records):
    with pytest.raises(UsageError, match="batch size: found 65, expected 1 to 64"):
        export_run(translator, "litert", "none", 0.5, pairs, batch_size=65)
    with pytest.raises(UsageError, match="a SavedModel takes batches of any size"):
        export_run(translator, "saved_model", "none", 0.5, pairs, batch_size=4)
    with pytest.raises(UsageError, match="is for models that generate text"):
        export_run(run, "litert", "none", 0.5, records, batch_size=4)
