"""`textapp evaluate`: of a predictor that knows its answers by heart, and of a bundle by the command line."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from toys import Letters

from textapp.artifact import write_manifest
from textapp.commands import evaluate as command
from textapp.commands.evaluate import measure
from textapp.errors import ArtifactError, DataError, UsageError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask


class ByHeart(GenerativePredictor):
    """Answers from a dict; a text that it lacks is answered with nothing."""

    def __init__(self, task: Any, known: Mapping[str, str], scores: bool = True) -> None:
        super().__init__(task, SimpleNamespace(max_batch=1), {}, Path())
        self.known, self.scores = known, scores

    def outputs(self, record: Mapping[str, Any], options: Any) -> list[dict[str, np.ndarray]]:
        ids = [*self.task.tokenizer.ids(self.known.get(record[self.task.input_field], "")), 3]
        return [{"token_ids": np.array(ids), "num_tokens": np.array(len(ids)), "score": np.array(-1.0)}]

    def batch(self, records: Any, workers: int = 1, **options: Any) -> list[Any]:
        return [self.task.answer(record, self.outputs(record, None)) for record in records]

    def stream(self, record: Any, **options: Any) -> Iterator[str]:
        if not self.scores:
            raise ArtifactError("the model has no signature 'decode'")
        return iter(self.known.get(record[self.task.input_field], ""))

    def score_texts(self, records: Any) -> list[tuple[float, int, int]]:
        if not self.scores:
            raise ArtifactError("the model has no signature 'decode'")
        return [(-2.0, 2, 4) for _ in records]


def translator(**known: str) -> ByHeart:
    return ByHeart(TranslationTask(Letters(), Letters(), [32], [(32, 32)]), known)


RECORDS = [
    {"source": "x", "target": "the cat sat on the mat"},
    {"source": "y", "target": "it rains a lot here"},
    {"source": "y", "target": "it rains much here"},
]
KNOWN = {"x": "the cat sat on the mat", "y": "it rains a lot here"}


def test_a_translator_has_bleu_chrf_loss_and_speed() -> None:
    figures, listing = measure(translator(**KNOWN), RECORDS)
    assert figures["examples"] == 3
    assert 50 < figures["bleu"] < 100
    assert figures["several_references"]["bleu"] == 100
    assert (figures["loss"], figures["perplexity"]) == (1.0, round(math.e, 4))
    assert list(figures["latency_ms"]) == list(figures["time_to_first_token_ms"]) == ["p50", "p90", "p99"]
    assert figures["tokens_per_second"] > 0
    assert listing.rows[0]["target"] == "it rains much here"
    assert set(listing.rows[0]) == set(listing.columns) == {"source", "target", "output", "bleu", "chrf"}


def test_a_language_model_goes_on_from_prompts_it_is_made() -> None:
    predictor = ByHeart(GenerationTask(Letters(), [16], [(4, 12)]), {"ab": "cc"})
    figures, listing = measure(predictor, [{"text": "abcd"}])
    assert (figures["examples"], figures["distinct_1"]) == (1, 100.0)
    assert (figures["loss"], figures["nats_per_character"]) == (1.0, 0.5)
    assert "rouge1" not in figures
    assert listing.rows == [{"prompt": "ab", "output": "cc", "target": ""}]


def test_what_a_file_has_no_signature_for_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    predictor = translator(**KNOWN)
    predictor.scores = False
    figures, _ = measure(predictor, RECORDS)
    assert {"bleu", "latency_ms", "tokens_per_second"} <= set(figures)
    assert not {"loss", "perplexity", "time_to_first_token_ms"} & set(figures)
    assert "not measured: the model has no signature 'decode'" in capsys.readouterr().err


def test_nothing_to_measure_on_is_said() -> None:
    predictor = ByHeart(GenerationTask(Letters(), [16], [(4, 12)]), {})
    with pytest.raises(DataError, match="found no text in 1 example:"):
        measure(predictor, [{"text": " "}])


def test_the_worst_translations_are_shown() -> None:
    figures, listing = measure(translator(**KNOWN), RECORDS)
    out = io.StringIO()
    command._show(Console(file=out, width=160), {"data": "test", **figures}, listing)
    printed = out.getvalue()
    assert "tok:13a" in printed and "the worst translations" in printed and "it rains much here" in printed


def test_the_command_keeps_every_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "open_artifact", lambda path: SimpleNamespace(path=path, kind="run"))
    monkeypatch.setattr(command, "evaluation_records", lambda *_: (RECORDS, "test (a.tsv)"))
    monkeypatch.setattr(command, "load_artifact", lambda *_, **__: translator(**KNOWN))
    figures = command.evaluate(tmp_path, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    assert (printed["data"], printed["bleu"]) == ("test (a.tsv)", figures["bleu"])
    lines = (tmp_path / "evaluation" / "outputs.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["source", "target", "output", "bleu", "chrf"]
    assert len(lines) == 4
    command.evaluate(tmp_path)  # its own files are replaced


def test_files_that_are_not_of_an_evaluation_are_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "open_artifact", lambda path: SimpleNamespace(path=path, kind="run"))
    monkeypatch.setattr(command, "evaluation_records", lambda *_: (RECORDS, "test (a.tsv)"))
    monkeypatch.setattr(command, "load_artifact", lambda *_, **__: translator(**KNOWN))
    (tmp_path / "outputs.tsv").write_text("hours of work")
    with pytest.raises(UsageError, match="outputs.tsv in it is not of textapp evaluate: use another folder"):
        command.evaluate(tmp_path / "run", output=tmp_path)
    (tmp_path / "metrics.json").write_text('{"training": {}}')  # of a run
    with pytest.raises(UsageError, match="metrics.json in it is not of textapp evaluate"):
        command.evaluate(tmp_path / "run", output=tmp_path)
    with pytest.raises(UsageError, match="is a file, expected the name of a folder"):
        command.evaluate(tmp_path / "run", output=tmp_path / "outputs.tsv")
    command.evaluate(tmp_path / "run")
    mistakes = tmp_path / "run" / "evaluation" / "outputs.tsv"
    mistakes.write_text("judged")
    with pytest.raises(UsageError, match="outputs.tsv: would be overwritten in .*evaluation: use another --output"):
        command.evaluate(tmp_path / "run", data=[mistakes])
    assert mistakes.read_text() == "judged" and (tmp_path / "outputs.tsv").read_text() == "hours of work"


def test_a_stranger_s_run_does_not_lead_to_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "open_artifact", lambda path: SimpleNamespace(path=path, kind="run"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metrics.json").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evaluation").symlink_to(tmp_path / "mine")
    with pytest.raises(UsageError, match="metrics.json in it is not of textapp evaluate: use another folder"):
        command.evaluate(tmp_path / "run")
    (tmp_path / "other" / "evaluation").mkdir(parents=True)
    os.mkfifo(tmp_path / "other" / "evaluation" / "outputs.tsv")
    with pytest.raises(UsageError, match="outputs.tsv: found a pipe or a device, expected a file"):
        command.evaluate(tmp_path / "other")
    assert (tmp_path / "mine" / "metrics.json").read_text() == "{}"


def test_a_model_is_not_overwritten_by_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text('{"data": "", "latency_ms": {}}')
    write_manifest(tmp_path / "run", {"kind": "run", "task": "translation"})
    monkeypatch.setattr(command, "open_artifact", lambda path: SimpleNamespace(path=path, kind="run"))
    with pytest.raises(UsageError, match="metrics.json: is a file of .*run, which would be damaged"):
        command.evaluate(tmp_path / "run", output=tmp_path / "run")


# --- by the command line -------------------------------------------------------------------------------------------


def test_evaluate_prints_one_object(tiny_bundle: Path, run_textapp) -> None:
    done = run_textapp("evaluate", tiny_bundle, "--json")
    assert done.code == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["examples"] == 600 and 60 < figures["accuracy"] <= 100 and 60 < figures["f1_macro"] <= 100
    assert set(figures["latency_ms"]) == {"p50", "p90", "p99"} and figures["data"].startswith("test")


def test_evaluate_keeps_plot_and_mistakes(tiny_run: Path, textapp_here, tmp_path: Path) -> None:
    data = tmp_path / "other.csv"
    data.write_text("mark,words\npositive,lovely room\nnegative,rude staff\n", encoding="utf-8")
    done = textapp_here(
        "evaluate", tiny_run, "--data", data, "--columns", "text=words,label=mark", "--output", tmp_path / "out"
    )
    assert done.code == 0, done.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["examples"] == 2
    assert (tmp_path / "out" / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "out" / "mistakes.tsv").read_text(encoding="utf-8").startswith("text\tlabel")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,label\nfine,excellent\n", ["'excellent'", "positive"]),
        ("text,label\n", ["other.csv"]),
        ("words,mark\na,positive\n", ["other.csv", "text"]),
    ],
    ids=["unknown label", "no rows", "no such column"],
)
def test_evaluate_names_what_is_wrong_with_a_file(
    tiny_bundle: Path, textapp_here, tmp_path: Path, content: str, expected: list[str]
) -> None:
    data = tmp_path / "other.csv"
    data.write_text(content, encoding="utf-8")
    done = textapp_here("evaluate", tiny_bundle, "--data", data)
    assert done.code == 1 and "Traceback" not in done.stderr
    for part in expected:
        assert part in done.stderr


def test_a_bundle_far_from_its_run_asks_for_data(tiny_bundle: Path, textapp_here, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, copy)
    done = textapp_here("evaluate", copy)
    assert done.code == 1 and "--data" in done.stderr
