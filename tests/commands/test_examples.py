"""Which examples a run or a bundle is measured on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from textapp.artifact import Artifact, open_artifact, write_manifest
from textapp.commands.evaluate import evaluate
from textapp.commands.examples import check_has_columns, evaluation_records, layout_of, own_splits
from textapp.commands.export import export
from textapp.commands.optimize import optimize
from textapp.errors import ArtifactError, DataError, UsageError
from textapp.export.options import ExportOptions
from textapp.records.labelled import load_labelled
from textapp.records.layout import Layout


@pytest.fixture
def run() -> Artifact:
    columns = {"source": ["source"], "target": ["target"]}
    manifest = {"task": "translation", "columns": columns, "header": "auto", "pattern": None, "multiple": False}
    return Artifact(Path("run"), {"kind": "run", **manifest})


def test_parallel_files_are_named_one_after_the_other(run: Artifact, tmp_path: Path) -> None:
    for name, text in (("a.zh", "一\n二\n"), ("a.en", "one\ntwo\n"), ("a.tsv", "source\ttarget\n一\tone\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    sides = [tmp_path / "a.zh", tmp_path / "a.en"]
    records, origin = evaluation_records(run, sides)
    assert records == [{"source": "一", "target": "one"}, {"source": "二", "target": "two"}]
    assert origin == f"{sides[0]} | {sides[1]}"
    assert evaluation_records(run, [tmp_path / "a.tsv"])[0] == records[:1]


@pytest.mark.parametrize(
    ("task", "files", "columns", "message"),
    [
        ("translation", 3, None, "--data: found 3 files, but translation takes one file, or two"),
        ("generation", 2, None, "--data: found 2 files, but generation takes one file: give fewer"),
        ("translation", 2, "source=0", "--columns source=0: parallel files have no columns"),
    ],
)
def test_more_files_than_a_task_takes(run: Artifact, task: str, files: int, columns: str | None, message: str) -> None:
    artifact = Artifact(run.path, {**run.manifest, "task": task})
    with pytest.raises(UsageError, match=message):
        evaluation_records(artifact, [Path("a")] * files, columns)


def test_columns_of_a_call_bring_no_header_of_the_run(tmp_path: Path) -> None:
    manifest = {"task": "classification", "labels": ["0", "1"], "pattern": None, "multiple": False}
    headed = {**manifest, "columns": {"text": ["text"], "label": ["label"]}, "header": True}
    numbered = {**manifest, "columns": {"text": 1, "label": 0}, "header": False}
    (tmp_path / "a.tsv").write_text("1\tgood\n0\tbad\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("stars,review\n1,good\n0,bad\n", encoding="utf-8")
    expected = [{"text": "good", "label": "1"}, {"text": "bad", "label": "0"}]
    for run, name, columns in ((headed, "a.tsv", "text=1,label=0"), (numbered, "b.csv", "text=review,label=stars")):
        assert load_labelled(name, layout_of(run, columns), tmp_path) == expected


def test_data_of_labels_that_a_run_was_not_trained_on(tiny_run: Path, tmp_path: Path, caplog) -> None:
    """Not only `compress`: an export calibrated and a search measured with them would tell nothing of the model."""
    run = Path(shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("exports", "evaluation")))
    samples = tiny_run.with_name("samples")
    shutil.copytree(samples, tmp_path / "data")
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace(str(samples), str(tmp_path / "data")), encoding="utf-8")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(run, manifest, list(manifest.pop("files")))
    assert own_splits(open_artifact(run)).test and not caplog.messages
    test = tmp_path / "data" / "test.tsv"
    test.write_text(test.read_text(encoding="utf-8").replace("the", "a", 1), encoding="utf-8")
    assert own_splits(open_artifact(run)).test
    assert caplog.messages == [
        f"{test}: changed since the training was started (its sha256 differs): quality is that on the data as it is now"
    ]
    for file in (tmp_path / "data").glob("t*.tsv"):
        file.write_text(file.read_text(encoding="utf-8").replace("negative", "bad"), encoding="utf-8")
    expected = "the labels negative, positive, but the data has bad, which it was not trained on: use the data that"
    for call in (
        lambda: export(run, ExportOptions("litert", "int8"), output=tmp_path / "bundle"),
        lambda: optimize(run, keep=tmp_path / "search"),
        lambda: evaluate(run, output=tmp_path / "figures"),
    ):
        with pytest.raises(ArtifactError, match=expected):
            call()
    assert not any((tmp_path / name).exists() for name in ("bundle", "figures", "search/journal.log"))


def test_the_encoding_of_a_call(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\n酒店很干净,1\n隔音太差,0\n".encode("gbk"))
    run = {"task": "classification", **Layout({"text": ["text"], "label": ["label"]}).to_manifest()}
    expected = [{"text": "酒店很干净", "label": "1"}, {"text": "隔音太差", "label": "0"}]
    for encoding in ("GBK", "auto"):
        assert load_labelled("a.csv", layout_of(run, None, encoding), tmp_path) == expected
    with pytest.raises(DataError, match="is gb18030, not UTF-8"):
        load_labelled("a.csv", layout_of(run), tmp_path)
    with pytest.raises(UsageError, match="--encoding: found 'gbkk', expected auto or an encoding"):
        layout_of(run, None, "gbkk")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("text=0,text=1", "--columns text=0,text=1: found text twice, expected it once: leave one of them out"),
        ("text=0,label=0", "--columns text=0,label=0: text and label are the same column; expected a column for each"),
        ("text=a,label=A", "text and label are the same column"),
    ],
)
def test_columns_of_a_call_at_fault(columns: str, message: str) -> None:
    manifest = {"task": "classification", **Layout({"text": ["text"], "label": ["label"]}).to_manifest()}
    with pytest.raises(UsageError) as caught:
        layout_of(manifest, columns)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["\u00b2", "\u0663", "1" * 5000])
def test_a_column_is_a_name_unless_it_is_a_number(name: str) -> None:
    manifest = {"task": "classification", **Layout({"text": ["text"], "label": ["label"]}).to_manifest()}
    assert layout_of(manifest, f"text={name}").columns["text"] == [name]
    assert layout_of(manifest, "text=12").columns["text"] == 12


def test_a_text_per_line_has_no_columns(run: Artifact, tmp_path: Path) -> None:
    artifact = Artifact(run.path, {**run.manifest, "task": "classification"})
    with pytest.raises(
        UsageError, match=r"--columns text=0: .*a.txt has a text per line, and no columns: leave it out"
    ):
        evaluation_records(artifact, [tmp_path / "a.txt"], "text=0")
    check_has_columns(["a.txt"], "source=0", parallel_files=True)
    check_has_columns(["a.tsv"], "text=0", parallel_files=False)
