"""Question answering from files of questions to a bundle: trained, measured, exported, and asked without TensorFlow."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from environments import BLOCKED, INTERPRETER, NUMPY, SENTENCEPIECE
from exports import rounded_keras

import textapp
from textapp.artifact import open_artifact
from textapp.commands.evaluate import evaluate
from textapp.commands.export import export
from textapp.commands.inspect import inspect
from textapp.commands.predict import predict
from textapp.commands.train import train
from textapp.errors import UsageError
from textapp.export.options import ExportOptions
from textapp.metrics.question_answering import normalized_answer

ROOT = Path(__file__).parents[2]
NAMES = ["anna", "ben", "cora", "dan", "eva", "finn"]
CITIES = ["rome", "oslo", "paris", "cairo", "lima", "delhi"]


def example(generator: random.Random, number: int) -> dict:
    """A context of two sentences and a question about one of them; every fourth has no answer."""
    one, other, missing = generator.sample(NAMES, 3)
    first, second = generator.sample(CITIES, 2)
    context = f"{one.title()} lives in {first.title()}. {other.title()} lives in {second.title()}."
    who, city = generator.choice([(one, first), (other, second)])
    answers = [] if number % 4 == 3 else [{"text": city.title(), "answer_start": context.index(city.title())}]
    name = missing if number % 4 == 3 else who
    return {
        "context": context,
        "qas": [{"id": f"q{number}", "question": f"Where is {name.title()}?", "answers": answers,
                 "is_impossible": not answers}],
    }  # fmt: skip


def write_squad(file: Path, count: int, seed: int) -> Path:
    generator = random.Random(seed)
    paragraphs = [example(generator, number) for number in range(count)]
    file.write_text(json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small reader trained on data with questions that have no answer. Read only."""
    folder = tmp_path_factory.mktemp("reader")
    config = {
        "task": "question_answering", "run": str(folder / "run"),
        "data": {
            "train": str(write_squad(folder / "train.json", 480, 1)),
            "validation": str(write_squad(folder / "dev.json", 80, 2)),
            "test": str(write_squad(folder / "test.json", 80, 3)),
            "language": "en",
        },
        "tokenizer": {"vocabulary_size": 120}, "lengths": [32, 48], "stride": 12, "max_windows": 8,
        "model": {"architecture": "lstm", "embedding_dim": 24, "units": [24], "dropout": 0.0},
        "training": {"epochs": 8, "batch_size": 16, "learning_rate": 1e-2, "precision": "float32"},
    }  # fmt: skip
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))
    train(file)
    return folder / "run"


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader for LiteRT in float32. Read only."""
    return made(run, tmp_path_factory.mktemp("bundle") / "bundle", ExportOptions("litert", "none"))


def made(run: Path, folder: Path, options: ExportOptions) -> Path:
    export(run, options, output=folder)
    return folder


def test_the_manifest_has_what_a_device_needs(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["inputs"] == ["question", "context"] and manifest["stride"] == 12 and manifest["max_windows"] == 8
    assert 0 < manifest["no_answer_threshold"] <= 1 and 1 <= manifest["max_answer_tokens"] <= 16
    shown = inspect(run)
    for key in ("stride", "max_windows", "no_answer_threshold", "max_answer_tokens"):
        assert shown[key] == manifest[key]


def test_evaluate_gives_figures_of_both_kinds_of_question(run: Path, bundle: Path, capsys) -> None:
    figures = evaluate(run, as_json=True)
    assert json.loads(capsys.readouterr().out)["f1"] == figures["f1"]
    assert figures["examples"] == 80 and figures["has_answer_examples"] == 60 and figures["no_answer_examples"] == 20
    # Of all that an untrained model could do, leaving every question unanswered is right for a quarter.
    assert figures["f1"] > 60 and figures["has_answer_f1"] > 50
    assert figures["groups"]["first word of question"] == {
        "where": {"examples": 80, "exact_match": figures["exact_match"], "f1": figures["f1"]}
    }
    assert list(figures["groups"]["length of context"]) == ["up to 250 characters"]
    rows = (run / "evaluation" / "answers.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["question", "expected", "answer", "score", "f1"]
    evaluate(run, options={"no_answer_threshold": 1.0})
    shown = capsys.readouterr().out
    assert "by length of context" in shown and "by first word of question" in shown
    never = evaluate(bundle, [run.parent / "test.json"], options={"no_answer_threshold": 0.0})
    assert never["no_answer_exact_match"] == 0 and never["has_answer_f1"] >= figures["has_answer_f1"]


def test_a_reader_of_english_is_evaluated_on_xquad(run: Path, tmp_path: Path) -> None:
    contexts = {"zh": "安娜住在罗马的一座老房子里", "en": "Anna lives in an old house in Rome."}
    files, expected = {}, {}
    for code, context in contexts.items():
        # The whole context is the answer, so that every span of Chinese shares a part of it.
        question = {"id": "1", "question": "安娜?", "answers": [{"answer_start": 0, "text": context}]}
        paragraphs = [{"context": context, "qas": [question]}]
        files[code] = tmp_path / f"xquad.{code}.json"
        files[code].write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}))
        given = textapp.load(run, no_answer_threshold=0.0)("安娜?", context).answer
        assert given in context and given
        parts, whole = (list(text) if code == "zh" else normalized_answer(text).split() for text in (given, context))
        expected[code] = 100 * 2 * sum(part in whole for part in parts) / (len(parts) + len(whole))
        figures = evaluate(run, [files[code]], output=tmp_path / code, options={"no_answer_threshold": 0.0})
        assert figures["examples"] == 1 and figures["f1"] == pytest.approx(expected[code])
    assert json.loads((tmp_path / "zh" / "metrics.json").read_text())["f1"] == pytest.approx(expected["zh"])
    assert expected["zh"] > 0


def asked(predictor) -> list[tuple]:
    generator = random.Random(5)
    pairs = []
    for number in range(12):
        part = example(generator, number)
        pairs.append((part["qas"][0]["question"], part["context"] * (1 + number % 4)))  # up to four windows
    answers = predictor.batch(pairs)
    assert answers == [predictor(*pair) for pair in pairs]
    for (_, context), answer in zip(pairs, answers, strict=True):
        assert answer.answer == (context[answer.start : answer.end] if answer.answer else "")
        assert (answer.start is None) == (answer.answer == "")
    return [(answer.start, answer.end) for answer in answers]


def test_every_runtime_gives_the_same_spans(run: Path, bundle: Path, tmp_path: Path) -> None:
    served = made(run, tmp_path / "served", ExportOptions("saved_model", "none"))
    expected = asked(textapp.load(run))
    assert any(start is not None for start, _ in expected)
    assert asked(textapp.load(bundle)) == expected
    assert asked(textapp.load(served, trusted=True)) == expected
    pooled = textapp.load(bundle, workers=2)
    pairs = [("Where is Anna?", f"{name.title()} lives in Rome. " * 6) for name in NAMES]
    assert pooled.batch(pairs, workers=2) == pooled.batch(pairs)


@pytest.mark.parametrize("quantize", ["int8-weights", "int4-weights"])
def test_a_saved_model_of_integer_weights_gives_the_spans_of_keras_with_these(
    run: Path, quantize: str, tmp_path: Path
) -> None:
    served = made(run, tmp_path / "served", ExportOptions("saved_model", quantize, max_drop=10.0))
    spans = asked(textapp.load(served, trusted=True))
    assert spans == asked(rounded_keras(open_artifact(run), quantize))
    assert any(start is not None for start, _ in spans)


def test_int8_is_refused_with_the_reason(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="quantize int8: .* take dynamic"):
        export(run, ExportOptions("litert", "int8"), output=tmp_path / "int8")
    with pytest.raises(UsageError, match="--text: .* leave it out, and use textapp.load"):
        export(run, ExportOptions("saved_model", "none", text_signature=True), output=tmp_path / "text")


def test_what_is_missing_is_named(bundle: Path) -> None:
    with pytest.raises(UsageError, match="takes question and context: add --context"):
        predict(bundle, named={"question": ["Where?"]})
    with pytest.raises(UsageError, match="takes question and context: give --question, --context, or --input FILE"):
        predict(bundle, ["Where?"])


def test_rows_of_a_table_and_bad_rows(bundle: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "in.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerows([
            ("id", "question", "context"),
            ("a", "Where is Anna?", "Anna lives in Rome."),
            ("b", " ", "Anna lives in Rome."),
            ("c", "Where is Anna?", "\u3000 "),
            ("d", "Where is Anna? " * 20, "Anna lives in Rome."),
            ("e", "Where is Ben?", "Ben lives in Oslo."),
        ])  # fmt: skip
    assert predict(bundle, input_file=file, as_json=True, options={"no_answer_threshold": 0.0, "num_answers": 2}) == 3
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row.get("id") for row in rows] == ["a", "b", "c", "d", "e"]
    for row, text in ((rows[1], "in.csv:3: the question is empty"), (rows[2], "in.csv:4: the context is empty"),
                      (rows[3], "shorten it")):  # fmt: skip
        assert text in row["error"]
    for row, context in ((rows[0], "Anna lives in Rome."), (rows[4], "Ben lives in Oslo.")):
        assert row["answer"] == context[row["start"] : row["end"]] != ""
        assert len(row["alternatives"]) == 2 and row["alternatives"][0]["answer"] == row["answer"]


def test_a_context_of_a_megabyte_is_read_within_its_windows(bundle: Path, caplog) -> None:
    predictor = textapp.load(bundle, no_answer_threshold=0.0)
    context = "Ben lives in Oslo. Anna lives in Rome. " * 27_000
    assert len(context) > 1_000_000
    start = time.perf_counter()
    with caplog.at_level("WARNING", logger="textapp"):
        answer = predictor("Where is Anna?", context)
    assert time.perf_counter() - start < 60
    assert answer.answer == context[answer.start : answer.end]
    assert answer.end < 8 * 48 * 20  # eight windows of at most 48 tokens
    assert "with 8 windows: textapp ask" in caplog.text


PROGRAM = """
import json, sys
at_start = set(sys.modules)
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
import textapp
from dataclasses import asdict
predictor = textapp.load(sys.argv[2], no_answer_threshold=0.0)
pairs = [("Where is Anna?", "Anna lives in Rome."), ("Where is Ben?", "Ben lives in Oslo. " * 9), ("Who?", "")]
answers = [predictor(*pair) for pair in pairs]
same = answers == predictor.batch(pairs)
names = [name for name, module in sys.modules.items() if module is not None and name not in at_start]
third = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
print(json.dumps({"answers": [answer.answer for answer in answers], "same": same, "packages": sorted(third)}))
"""


def test_a_copied_bundle_answers_with_tensorflow_blocked(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "device")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    command = [sys.executable, "-c", PROGRAM, json.dumps(BLOCKED), str(copy)]
    done = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["same"] and found["answers"][2] == ""
    assert found["answers"][0] and found["answers"][0] in "Anna lives in Rome."
    loaded = {name for name in found["packages"] if not name.startswith(("_cython_", "__editable__"))}
    assert loaded == {"textapp"} | NUMPY | SENTENCEPIECE | INTERPRETER
