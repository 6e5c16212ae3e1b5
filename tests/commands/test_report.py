"""`textapp report`: of runs that keep their figures, of some that do not, and measured anew."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from pages import make_run

from textapp.artifact import BENCHMARK, REPORT, is_report, made_files, open_artifact
from textapp.commands.report import report
from textapp.errors import ArtifactError, UsageError
from textapp.runners import operator_times

SCORES = {"data": "test.tsv", "examples": 100, "accuracy": 80.0, "f1_macro": 79.0}


def test_a_page_is_written_into_the_first_run_and_is_textapps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(tmp_path / name, {"test": SCORES}) for name in ("one", "two")]
    file = report([*runs, runs[0]], as_json=True)
    assert file == runs[0] / REPORT and is_report(file) and REPORT in made_files(runs[0])
    assert json.loads(capsys.readouterr().out)["runs"] == list(map(str, runs))
    open_artifact(runs[0])  # nothing that the manifest lists has changed
    report(runs)
    assert "80.00" in file.read_text(encoding="utf-8")


def test_a_damaged_run_among_several_is_told_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = (make_run(tmp_path / name, {"test": SCORES}) for name in ("good", "bad"))
    (bad / "metrics.json").write_text("{}")
    file = report([bad, good])
    assert file == good / REPORT
    assert "metrics.json: changed since it was written" in file.read_text(encoding="utf-8")
    assert "left out" in capsys.readouterr().err
    with pytest.raises(ArtifactError, match="metrics.json: changed"):
        report([bad])


def test_a_bundle_and_a_file_of_the_user_are_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    with pytest.raises(ArtifactError, match="found a bundle, expected a run folder: name the run"):
        report([tiny_bundle])
    run = make_run(tmp_path / "run", {})
    (run / REPORT).write_text("my own page")
    with pytest.raises(
        UsageError, match=r"report.html: found a file that is no report of textapp: use another --output"
    ):
        report([run])
    assert REPORT not in made_files(run)
    with pytest.raises(UsageError, match="metrics.json: is a file of .*run, which would be damaged"):
        report([run], output=run / "metrics.json")
    report([run], output=tmp_path / "page.html")


def test_a_pipe_with_the_name_of_the_page_is_not_waited_for(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {})
    os.mkfifo(run / REPORT)
    with pytest.raises(UsageError, match="report.html: found a folder, a pipe or a device, expected a file"):
        report([run])


def test_measured_figures_are_kept_and_told_again(
    tiny_run: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(operator_times, "ROUNDS", 1)
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    page = report([run], measure=True, as_json=True).read_text(encoding="utf-8")
    printed = json.loads(capsys.readouterr().out)
    assert [each["variant"] for each in printed["variants"]] == ["keras float32", "litert dynamic"]
    assert "Speed was not measured" not in page and "Where the time goes" in page and "★ front" in page
    rows = json.loads((run / BENCHMARK).read_text(encoding="utf-8"))
    bundle = rows["exports/litert"]
    low, high = bundle["intervals"]["accuracy"]
    assert low <= bundle["accuracy"] <= high and bundle["profile"]["operators"] and bundle["limit"]["share"] > 0
    assert bundle["latency_ms"]["p50"] < rows["."]["latency_ms"]["p50"]
    assert BENCHMARK in made_files(run)
    assert report([run]).read_text(encoding="utf-8") == page  # without measuring again
