"""`textapp optimize`: what it takes, what it tells, how it goes on after a kill, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textapp
from textapp.artifact import open_artifact, write_manifest
from textapp.commands import optimize_runs as runs
from textapp.commands import optimize_search as search
from textapp.commands.optimize import optimize
from textapp.commands.optimize_work import Clock, Failed, OutOfTime, run_job
from textapp.errors import ConfigError, ExportError, OptionError, TextappError, UsageError

pytest.importorskip("optuna")
ROOT = Path(__file__).parents[2]
# Median milliseconds and accuracy of each file, by the end of its path.
FILES = {
    "tiny-cnn/exports/litert-none": (2.0, 90.0), "tiny-cnn/exports/litert-dynamic": (1.0, 89.8),
    "tiny-cnn/exports/litert-float16": (2.02, 90.0), "tiny-cnn/exports/litert-int8": (0.9, 80.0),
    "tiny-cnn-half/exports/litert-none": (0.7, 89.9), "tiny-cnn-half/exports/litert-dynamic": (0.5, 89.7),
    "tiny-cnn-half/exports/litert-float16": (0.7, 89.9), "tiny-cnn-half/exports/litert-int8": (0.4, 70.0),
}  # fmt: skip


class Workshop:
    """Makes and measures candidates without a training: `jobs` are those that were asked for."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.before: Callable[[str], None] = lambda name: None

    def run_job(self, job: dict[str, Any], log: Path, seconds: float) -> None:
        if job["do"] == "check":
            return
        place = Path(job["new_run"] if job["do"] == "compress" else job["output"])
        self.jobs.append(place.relative_to(place.parents[0 if job["do"] == "compress" else 2]).as_posix())
        self.before(self.jobs[-1])
        run = Path(job["run"])
        parent = {"parent": {"run": run.name, "sha256": open_artifact(run).manifest["files"]["model.keras"]}}
        if job["do"] == "export":
            place.mkdir(parents=True)
            (place / "model.tflite").write_bytes(b"x" * {"none": 4000, "float16": 2000}.get(job["quantize"], 1000))
            about = {key: value for key, value in open_artifact(run).manifest.items() if key not in ("files", "format")}
            write_manifest(place, {**about, **parent, "kind": "bundle", "target": "litert"})
            return
        shutil.copytree(run, place, ignore=shutil.ignore_patterns("exports"))
        (place / "model.keras").write_text(place.name, encoding="utf-8")
        metrics = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
        recipe = json.loads(json.dumps(runs.as_data(runs.load_recipe(Path(job["recipe"])).recipe)))
        (place / "metrics.json").write_text(json.dumps({**metrics, "compression": {"recipe": recipe}}))
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        write_manifest(place, {**manifest, **parent}, list(manifest.pop("files")))

    def figures(self, artifact: Any) -> tuple[float, float]:
        ends = [value for name, value in FILES.items() if str(artifact.path).endswith(name)]
        return ends[0] if ends else (50.0, 90.0)

    def timed_in_turns(self, artifacts: list[Any], records: Any) -> list[dict[str, float]]:
        return [dict.fromkeys(("p50", "p90", "p99"), self.figures(each)[0]) for each in artifacts]

    def quality(self, artifact: Any, records: Any) -> dict[str, Any]:
        accuracy = self.figures(artifact)[1]
        return {"accuracy": accuracy, "f1_macro": accuracy - 1, "examples": len(records), "intervals": {}}


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()
    monkeypatch.setattr(runs, "run_job", made.run_job)
    for name in ("timed_in_turns", "quality"):
        monkeypatch.setattr(search, name, getattr(made, name))
    return made


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """The file of a recipe."""
    file = tmp_path / "half.yaml"
    file.write_text("steps: [{method: prune, sparsity: 0.5, epochs: 4}]", encoding="utf-8")
    return file


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_the_fastest_within_the_budget(tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, capsys) -> None:
    folder = tmp_path / "search"
    best = optimize(tiny_run, keep=folder, recipes=[half])
    shown = capsys.readouterr().out
    assert best == folder / "best" and open_artifact(best).kind == "bundle"
    result = result_of(folder)
    assert result["best"] == "half + dynamic"
    assert result["front"] == ["half + int8", "half + dynamic", "half + float16", "dynamic", "float16"]
    by_name = {each["name"]: each for each in result["candidates"]}
    assert len(by_name) == 8 and workshop.jobs.count("tiny-cnn-half") == 1  # one training for all its formats
    assert by_name["half + dynamic"]["speedup"] == 4.0 and by_name["half + dynamic"]["drop"] == pytest.approx(0.3)
    assert by_name["half + dynamic"]["test"]["accuracy"] == 89.7 and by_name["none"]["test"] is None
    assert by_name["int8"]["reason"] == "loses 10.00 points of accuracy, more than 0.5"
    assert by_name["none"]["reason"] == "no faster, smaller or better than float16"
    assert by_name["dynamic"]["reason"] == (
        "0.10 points of accuracy better, but takes 2.00 times as long as half + dynamic"
    )
    for part in ("half + dynamic", "times as fast", "drop", "int8: loses 10.00 points", "best", f"bundle: {best}"):
        assert part in shown
    # What the report reads.
    kept = json.loads((folder / "runs" / "tiny-cnn-half" / "evaluation" / "benchmark.json").read_text())
    assert kept["exports/litert-dynamic"]["accuracy"] == 89.7
    data = {
        name: row["data"].split()[0]
        for run in ("tiny-cnn", "tiny-cnn-half")
        for name, row in json.loads((folder / "runs" / run / "evaluation" / "benchmark.json").read_text()).items()
    }
    assert sorted(data) == [f"exports/litert-{name}" for name in ("dynamic", "float16", "int8", "none")]
    assert data["exports/litert-none"] == "validation" and data["exports/litert-dynamic"] == "test"
    # The same command again makes nothing, and another budget takes another file.
    made = len(workshop.jobs)
    optimize(tiny_run, max_drop=0.25, keep=folder, recipes=[half], as_json=True)
    assert json.loads(capsys.readouterr().out)["best"] == "half + float16" and len(workshop.jobs) == made


def test_few_validation_examples_are_told(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(search, "MAX_RECORDS", 8)
    optimize(tiny_run, max_drop=12.5, keep=tmp_path / "enough", recipes=[half])
    assert "validation examples" not in caplog.text
    optimize(tiny_run, max_drop=12.4, keep=tmp_path / "few", recipes=[half])
    assert "8 validation examples: one of them is 12.5 points of accuracy, more than the allowed drop of 12.4" in (
        caplog.text
    )


def test_a_budget_that_nothing_keeps(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, capsys, caplog
) -> None:
    folder = tmp_path / "search"
    optimize(tiny_run, keep=folder, recipes=[half])
    kept = open_artifact(folder / "best").manifest
    with pytest.raises(ExportError) as caught:
        optimize(tiny_run, max_drop=0.25, max_latency="0.6ms", keep=folder, recipes=[half])
    assert str(caught.value) == (
        "none of 8 candidates keeps the budget (a drop of 0.25, 0.6 ms): the nearest is half + dynamic, which loses "
        "0.30 points of accuracy, more than 0.25: allow more, or more --minutes"
    )
    shown = capsys.readouterr().out.rpartition("candidate")[2]
    assert caught.value.exit_code == 1 and "half + dynamic" in shown and " best" not in shown
    assert result_of(folder)["best"] is None and open_artifact(folder / "best").manifest == kept
    assert f"{folder / 'best'}: stays as it is, the best of an earlier budget; it does not keep this one" in caplog.text


def test_all_milliseconds_are_of_one_measurement(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is slower at the end: what is measured then counts, also for what is not measured again."""
    folder = tmp_path / "search"
    optimize(tiny_run, keep=folder, recipes=[half])

    def slow(artifacts: list[Any], records: Any) -> list[dict[str, float]]:
        return [
            {name: 10 * value for name, value in each.items()} for each in workshop.timed_in_turns(artifacts, records)
        ]

    monkeypatch.setattr(search, "timed_in_turns", slow)
    monkeypatch.setattr(search, "FINALISTS", 1)
    optimize(tiny_run, max_latency="6ms", keep=folder, recipes=[half])
    by_name = {each["name"]: each for each in result_of(folder)["candidates"]}
    assert by_name["float16"]["latency_ms"] == {"p50": 20.2, "p90": 20.2, "p99": 20.2}
    assert by_name["dynamic"]["reason"] == "takes 10.000 ms, more than 6 ms"


def test_what_is_interrupted_goes_on(tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop) -> None:
    folder, call = tmp_path / "search", {"recipes": [half], "keep": tmp_path / "search"}

    def interrupt(name: str) -> None:
        if name == "tiny-cnn-half/exports/litert-dynamic":
            raise KeyboardInterrupt

    workshop.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        optimize(tiny_run, **call)
    before = list(workshop.jobs)
    assert before[-2:] == ["tiny-cnn-half", "tiny-cnn-half/exports/litert-dynamic"] and len(before) == 4
    assert not (folder / "result.json").exists()
    workshop.before = lambda name: None
    optimize(tiny_run, **call)
    after = workshop.jobs[len(before) :]
    assert after[0] == "tiny-cnn-half/exports/litert-dynamic" and len(after) == 6
    assert not set(after[1:]) & set(before) and result_of(folder)["best"] == "half + dynamic"


def test_without_the_journal_trained_runs_are_taken(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop
) -> None:
    folder = tmp_path / "search"
    optimize(tiny_run, keep=folder, recipes=[half])
    made = len(workshop.jobs)
    (folder / "journal.log").unlink()
    optimize(tiny_run, keep=folder, recipes=[half])
    assert len(workshop.jobs) == made


def test_the_time_decides_how_long_is_trained(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(search, "own_training", lambda artifact: (5, 30.0))  # 20 + 1.3 * 30 * 4 = 176 s at full length
    monkeypatch.setattr(search, "FIRST_EXPORT", 0.0)
    monkeypatch.setattr(search, "MEASURE", 0.0)
    optimize(tiny_run, minutes=150 / 60, keep=tmp_path / "a", recipes=[half])
    assert "tiny-cnn-half-50percent" in workshop.jobs
    assert {each["epochs_share"] for each in result_of(tmp_path / "a")["candidates"]} == {1.0, 0.5}
    assert "half + dynamic: trained for 50% of its epochs" in " ".join(capsys.readouterr().out.split())
    optimize(tiny_run, minutes=50 / 60, keep=tmp_path / "b", recipes=[half])
    result = result_of(tmp_path / "b")
    assert "half + dynamic" in result["not_started"] and result["best"] == "dynamic"
    assert (
        "not started, as they would pass the time; more --minutes try them: half + dynamic" in capsys.readouterr().out
    )
    with pytest.raises(
        ExportError, match="found no time for a candidate: none, dynamic, structure50 [+] dynamic would"
    ):
        monkeypatch.setattr(search, "FIRST_EXPORT", 60.0)
        optimize(tiny_run, minutes=0.5, keep=tmp_path / "c")


def test_what_cannot_be_made_is_told_and_not_tried_with_others(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, capsys
) -> None:
    def fail(name: str) -> None:
        if name == "tiny-cnn/exports/litert-int8":
            raise Failed("int8 is not for this task", "export", refused=True)
        if name == "tiny-cnn-half":
            raise Failed("too small", "compress")

    workshop.before = fail
    optimize(tiny_run, keep=tmp_path / "search", recipes=[half])
    result = result_of(tmp_path / "search")
    assert result["failed"] == {"int8": "int8 is not for this task", "half + dynamic": "too small"}
    assert {each["name"] for each in result["candidates"]} == {"none", "dynamic", "float16"}
    assert workshop.jobs.count("tiny-cnn-half") == 1 and result["best"] == "dynamic"
    assert "half + dynamic: could not be made: too small" in capsys.readouterr().out


def test_what_the_time_stops_is_left_for_the_next_call(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, capsys
) -> None:
    def stop(name: str) -> None:
        if name == "tiny-cnn-half":
            raise OutOfTime("stopped")

    workshop.before = stop
    optimize(tiny_run, keep=tmp_path / "search", recipes=[half])
    assert result_of(tmp_path / "search")["stopped"] == "half + dynamic"
    assert "half + dynamic: stopped, as the time was over; with more --minutes it goes on" in capsys.readouterr().out
    workshop.before = lambda name: None
    optimize(tiny_run, keep=tmp_path / "search", recipes=[half])
    assert result_of(tmp_path / "search")["best"] == "half + dynamic"


def test_a_job_that_fails_or_takes_too_long(tmp_path: Path) -> None:
    job = {"do": "compress", "run": str(tmp_path), "recipe": "none.yaml", "new_run": "x", "data_dir": "."}
    with pytest.raises(Failed, match=r"none.yaml: no such file") as caught:
        run_job(job, tmp_path / "log", 60.0)
    assert caught.value.job == "compress" and caught.value.refused
    with pytest.raises(OutOfTime):
        run_job(job, tmp_path / "log", 0.0)
    assert Clock(100.0, 40.0).left == pytest.approx(60.0, abs=1.0)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({"max_drop": -1.0}, OptionError, "max_drop: found -1, expected a number from 0"),
        ({"max_size": "5"}, UsageError, "--max-size: found '5' without a unit"),
        ({"max_size": "5 apples"}, UsageError, "--max-size: found the unit 'apples'"),
        ({"max_latency": "3"}, UsageError, "--max-latency: found '3' without a unit"),
        ({"minutes": 0}, OptionError, "minutes: found 0, expected more than 0"),
        ({"target": "saved_model"}, UsageError, "--target: found saved_model, expected litert or tflite-runtime"),
    ],
)
def test_an_option_with_a_fault(tmp_path: Path, options: dict[str, Any], error: type, expected: str) -> None:
    with pytest.raises(error) as caught:
        optimize(tmp_path / "run", **options)
    assert str(caught.value).startswith(expected) and caught.value.exit_code == 2


def test_runs_and_folders_that_do_not_fit(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(run: Path = tiny_run, **options: Any) -> str:
        with pytest.raises(TextappError) as caught:
            optimize(run, **options)
        return str(caught.value).splitlines()[0]

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    assert "exists and is no folder of a search" in refused(keep=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"
    (tmp_path / "dynamic.yaml").write_text(half.read_text())
    assert "a name that means an export alone" in refused(keep=tmp_path / "k", recipes=[tmp_path / "dynamic.yaml"])
    assert "two files of this name" in refused(keep=tmp_path / "k", recipes=[half, half])

    optimize(tiny_run, keep=tmp_path / "search", recipes=[half])
    other = Path(shutil.copytree(tiny_run, tmp_path / "tiny-cnn", ignore=shutil.ignore_patterns("exports")))
    manifest = json.loads((other / "manifest.json").read_text(encoding="utf-8"))
    names = list(manifest.pop("files"))
    (other / "model.keras").write_bytes((other / "model.keras").read_bytes() + b" ")
    write_manifest(other, manifest, names)
    assert "the folder of another search: use another --keep" in refused(other, keep=tmp_path / "search")
    half.write_text(half.read_text().replace("0.5", "0.6"))
    assert "its recipe half is " in refused(keep=tmp_path / "search", recipes=[half])
    with monkeypatch.context() as patched:
        patched.setattr(search, "checksums", lambda *_: {"train.tsv": "another"})
        assert "journal.log: is the journal of another search: its data is 2 files (" in refused(
            keep=tmp_path / "search", recipes=[half]
        )
    monkeypatch.setattr(search, "machine", lambda: {"cpu": "abacus", "cores": 1})
    assert "this one's abacus, 1 cores: use another --keep" in refused(keep=tmp_path / "search")
    monkeypatch.undo()
    (tmp_path / "search" / "journal.log").write_text("hello\n")
    assert "journal.log, line 1: found no JSON object" in refused(keep=tmp_path / "search")
    assert "found a bundle, expected a run folder" in refused(tmp_path / "search" / "best")

    config = (other / "config.yaml").read_text(encoding="utf-8")
    (other / "config.yaml").write_text(config.replace("filters:", "feature_maps:"), encoding="utf-8")
    write_manifest(other, {**manifest, "versions": {"textapp": "0.1"}}, names)
    expected = f"was trained by textapp 0.1, and its config is none of this version, {textapp.__version__}"
    assert expected in refused(other, keep=tmp_path / "new")


def test_a_folder_of_the_user_with_names_like_ours_is_left_alone(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop
) -> None:
    mine = {"runs/a/notes.txt": "", "result.json": "{}", "journal.log": "today I", "recipes/half.yaml": "# mine"}
    for name, text in mine.items():
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_text(text)
    with pytest.raises(UsageError, match="work: exists and is no folder of a search: use one that is new or empty"):
        optimize(tiny_run, keep=tmp_path / "work", recipes=[half])
    assert {name: (tmp_path / "work" / name).read_text() for name in mine} == mine and workshop.jobs == []


def test_a_recipe_that_does_not_fit_the_run_is_told_before_anything_is_trained(tiny_run: Path, tmp_path: Path) -> None:
    recipes = {
        "layer": "steps:\n- {method: prune, sparsity: 0.5}\n- method: cluster\n  layers: [attention]",
        "heads": "steps:\n- method: structure\n  heads: 0.5",
        "empty": "steps: []",
    }
    expected = {
        "layer": ", line 4: steps.1.layers.0: found 'attention', expected a layer with a kernel: windows, logits",
        "heads": ", line 3: steps.0.heads: found a share of heads, of which this cnn has none to spare",
        "empty": ", line 1: steps: found [], expected keys such as",
    }
    for name, text in recipes.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            optimize(tiny_run, keep=tmp_path / "search", recipes=[file])
        assert str(caught.value).startswith(f"{file}{expected[name]}"), str(caught.value)
    assert not (tmp_path / "search").exists()


def test_a_recipe_in_the_folder_of_a_search_is_not_overwritten(
    tiny_run: Path, tmp_path: Path, half: Path, workshop: Workshop
) -> None:
    folder = tmp_path / "search"
    optimize(tiny_run, keep=folder, recipes=[half])
    recipe = folder / "recipes" / "quarter.yaml"
    recipe.write_text("# mine\n" + half.read_text())
    with pytest.raises(UsageError, match="quarter.yaml: is where the search writes its own recipes: copy it elsewhere"):
        optimize(tiny_run, keep=folder, recipes=[recipe])
    assert recipe.read_text().startswith("# mine")
    (folder / "journal.log").unlink()  # as the message about a damaged one advises
    optimize(tiny_run, keep=folder, recipes=[half])


def test_optuna_is_missing(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        UsageError, match=r"package 'optuna', which is not installed: pip install 'textapp\[optimize\]'"
    ):
        optimize(tiny_run, keep=tmp_path / "search")
    assert not (tmp_path / "search").exists()


# --- with real trainings ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_search_goes_on_and_trains_nothing_twice(tiny_run: Path, tmp_path: Path, run_textapp) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "reviews", ignore=shutil.ignore_patterns("exports")))
    recipe = tmp_path / "small.yaml"
    model = "{architecture: cnn, embedding_dim: 8, filters: 8, kernel_sizes: [2]}"
    recipe.write_text(f"steps: [{{method: distill, model: {model}, epochs: 60}}]", encoding="utf-8")
    command = ["optimize", run, "--recipe", recipe, "--max-drop", "30", "--minutes", "30"]
    process = subprocess.Popen(
        [sys.executable, "-m", "textapp", *map(str, command)], stderr=subprocess.PIPE, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
    )  # fmt: skip
    next(line for line in process.stderr if line.startswith("small + dynamic: training"))
    log = tmp_path / "reviews-optimize" / "logs" / "small-dynamic.log"
    while "epoch 3/60" not in (log.read_text(encoding="utf-8") if log.exists() else ""):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    killed = log.read_text(encoding="utf-8")
    time.sleep(2)
    assert log.read_text(encoding="utf-8") == killed  # its children ended with it
    done = run_textapp(*command, "--json")
    assert done.code == 0, done.stderr
    resumed = log.read_text(encoding="utf-8")[len(killed) :]
    assert "resuming" in resumed and "epoch 1/60" not in resumed and "epoch 60/60" in resumed
    lines = done.stderr.splitlines()
    assert not any(line.startswith(("none: exporting", "small + none: training")) for line in lines)
    result = json.loads(done.stdout)
    assert len(result["candidates"]) == 8 and result["reference_file"] == "none"
    best = next(each for each in result["candidates"] if each["name"] == result["best"])
    assert best["drop"] <= 30 and best["speedup"] > 1 and best["test"]["accuracy"] > 50
    assert textapp.load(result["path"])("a fine thing").label
    page = run_textapp("report", *(tmp_path / "reviews-optimize" / "runs").iterdir(), "--output", tmp_path / "r.html")
    assert page.code == 0, page.stderr
