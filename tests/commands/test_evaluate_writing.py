"""What is measured of models that write, with a predictor that knows its answers by heart."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from textapp.commands.evaluate_writing import measure, show
from toys import Letters

from textapp.artifact import Artifact
from textapp.commands import evaluate as command
from textapp.errors import ArtifactError, DataError, UsageError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask


class ByHeart(GenerativePredictor):
    """Answers from a dict; a text that it lacks is answered with nothing."""

    def __init__(self, task: Any, known: Mapping[str, str], scores: bool = True) -> None:
        super().__init__(task, SimpleNamespace(max_batch=1), {}, Path())
        self.known, self.scores = known, scores

    def outputs(self, record: Mapping[str, Any], options: Any) -> dict[str, np.ndarray]:
        ids = [*self.task.tokenizer.ids(self.known.get(record[self.task.input_field], "")), 3]
        return {"token_ids": np.array(ids), "num_tokens": np.array(len(ids)), "score": np.array(-1.0)}

    def batch(self, texts: Any, workers: int = 1, **options: Any) -> list[Any]:
        return [self.task.answer(record, self.outputs(record, None)) for record in texts]

    def stream(self, text: Any, **options: Any) -> Iterator[str]:
        if not self.scores:
            raise ArtifactError("the model has no signature 'decode'")
        return iter(self.known.get(text, ""))

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
    figures, rows = measure(translator(**KNOWN), RECORDS)
    assert figures["examples"] == 3
    assert 50 < figures["bleu"] < 100
    assert figures["several_references"]["bleu"] == 100
    assert (figures["loss"], figures["perplexity"]) == (1.0, round(math.e, 4))
    assert list(figures["latency_ms"]) == list(figures["time_to_first_token_ms"]) == ["p50", "p90", "p99"]
    assert figures["tokens_per_second"] > 0
    assert [row["target"] for row in rows][0] == "it rains much here"
    assert set(rows[0]) == {"source", "target", "output", "bleu", "chrf"}


def test_a_language_model_goes_on_from_prompts_it_is_made() -> None:
    predictor = ByHeart(GenerationTask(Letters(), [16], [(4, 12)]), {"ab": "cc"})
    figures, rows = measure(predictor, [{"text": "abcd"}])
    assert (figures["examples"], figures["distinct_1"]) == (1, 100.0)
    assert (figures["loss"], figures["nats_per_character"]) == (1.0, 0.5)
    assert "rouge1" not in figures
    assert rows == [{"prompt": "ab", "output": "cc", "target": ""}]


def test_what_a_file_has_no_signature_for_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    predictor = translator(**KNOWN)
    predictor.scores = False
    figures, _ = measure(predictor, RECORDS)
    assert {"bleu", "latency_ms", "tokens_per_second"} <= set(figures)
    assert not {"loss", "perplexity", "time_to_first_token_ms"} & set(figures)
    assert "not measured: the model has no signature 'decode'" in capsys.readouterr().err


def test_nothing_to_measure_on_is_said() -> None:
    predictor = ByHeart(GenerationTask(Letters(), [16], [(4, 12)]), {})
    with pytest.raises(DataError, match="none of 1 examples has a text"):
        measure(predictor, [{"text": " "}])


def test_the_worst_translations_are_shown() -> None:
    figures, rows = measure(translator(**KNOWN), RECORDS)
    out = io.StringIO()
    show(Console(file=out, width=160), {"data": "test", **figures}, rows)
    printed = out.getvalue()
    assert "tok:13a" in printed and "the worst translations" in printed and "it rains much here" in printed


def test_the_command_keeps_every_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "open_artifact", lambda path: SimpleNamespace(path=path, kind="run"))
    monkeypatch.setattr(command, "evaluation_records", lambda *_: (RECORDS, "test (a.tsv)"))
    monkeypatch.setattr(command, "load", lambda *_, **__: translator(**KNOWN))
    figures = command.evaluate(tmp_path, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    assert (printed["data"], printed["bleu"]) == ("test (a.tsv)", figures["bleu"])
    lines = (tmp_path / "evaluation" / "outputs.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["source", "target", "output", "bleu", "chrf"]
    assert len(lines) == 4


@pytest.fixture
def run() -> Artifact:
    columns = {"source": ["source"], "target": ["target"]}
    manifest = {"task": "translation", "columns": columns, "header": "auto", "pattern": None, "multiple": False}
    return Artifact(Path("run"), {"kind": "run", **manifest})


def test_parallel_files_are_named_one_after_the_other(run: Artifact, tmp_path: Path) -> None:
    for name, text in (("a.zh", "一\n二\n"), ("a.en", "one\ntwo\n"), ("a.tsv", "source\ttarget\n一\tone\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    sides = [tmp_path / "a.zh", tmp_path / "a.en"]
    records, origin = command.evaluation_records(run, sides)
    assert records == [{"source": "一", "target": "one"}, {"source": "二", "target": "two"}]
    assert origin == f"{sides[0]} | {sides[1]}"
    assert command.evaluation_records(run, [tmp_path / "a.tsv"])[0] == records[:1]


@pytest.mark.parametrize(
    ("task", "files", "columns", "message"),
    [
        ("translation", 3, None, "--data: found 3 files, but translation takes one file, or two"),
        ("generation", 2, None, "--data: found 2 files, but generation takes one file: name fewer"),
        ("translation", 2, "source=0", "--columns source=0: parallel files have no columns"),
    ],
)
def test_more_files_than_a_task_takes(run: Artifact, task: str, files: int, columns: str | None, message: str) -> None:
    artifact = Artifact(run.path, {**run.manifest, "task": task})
    with pytest.raises(UsageError, match=message):
        command.evaluation_records(artifact, [Path("a")] * files, columns)
