"""The journal of a search: nothing is tried twice, what was interrupted comes first, and damage is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from textapp.compression.search_budget import Budget, Measured
from textapp.compression.search_journal import Journal
from textapp.compression.search_space import ALONE, Candidate
from textapp.errors import ArtifactError

pytest.importorskip("optuna")
ABOUT = {"run": "reviews (0123)", "machine": "two cores", "recipe half": "abc"}
RECIPES, FORMATS = [ALONE, "half"], ["none", "dynamic"]
ALL = {"none", "dynamic", "half + none", "half + dynamic"}


def opened(folder: Path, budget: Budget = Budget(0.5), **about: str) -> Journal:  # noqa: B008  # frozen
    return Journal(folder / "journal.log", {**ABOUT, **about}, budget, RECIPES, FORMATS)


def row(name: str, drop: float = 0.1) -> Measured:
    return Measured(name, 1.0, 2.0, 300, drop)


def test_every_candidate_comes_once(tmp_path: Path) -> None:
    journal, names = opened(tmp_path), []
    for trial in journal.candidates([Candidate(ALONE, "dynamic"), Candidate("half", "dynamic")]):
        names.append(trial.candidate.name)
        trial.begin(1.0)
        trial.measured(row(names[-1]), 2.5, {"path": "here"})
    assert names[:2] == ["dynamic", "half + dynamic"] and set(names) == ALL and len(names) == 4
    again = opened(tmp_path)
    assert list(again.candidates([Candidate(ALONE, "dynamic")])) == []
    done = again.done()
    assert done["dynamic"]["row"] == vars(row("dynamic")) and done["dynamic"]["path"] == "here"
    assert sum(each["seconds"] for each in done.values()) == 10.0


def test_what_was_interrupted_comes_first_with_its_length(tmp_path: Path) -> None:
    first = [Candidate(ALONE, "none"), Candidate("half", "none"), Candidate(ALONE, "dynamic")]
    given = opened(tmp_path).candidates(first)
    trial = next(given)
    trial.begin(1.0)
    trial.measured(row("none"), 1.0, {})
    next(given).begin(0.5)  # and the process is killed
    again = opened(tmp_path)
    assert again.interrupted() == [(Candidate("half", "none"), 0.5)]
    given = again.candidates(first)
    trial = next(given)
    assert (trial.candidate.name, trial.length) == ("half + none", 0.5)
    trial.begin(0.5)
    trial.stopped()
    given = opened(tmp_path).candidates(first)
    assert [(each.candidate.name, each.length) for each in (next(given), next(given))] == [
        ("half + none", 0.5), ("dynamic", None)
    ]  # fmt: skip


def test_what_failed_is_not_tried_again_and_what_was_left_out_is(tmp_path: Path) -> None:
    given = opened(tmp_path).candidates([Candidate(ALONE, "none")])
    trial = next(given)
    trial.begin(1.0)
    trial.failed("no interpreter", 3.0, "none")
    next(given).skip()
    again = opened(tmp_path)
    assert {name: each["reason"] for name, each in again.done().items()} == {"none": "no interpreter"}
    assert {trial.candidate.name for trial in again.candidates([])} == ALL - {"none"}


def test_another_budget_takes_over_what_was_measured(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    trial = next(journal.candidates([Candidate("half", "none")]))
    trial.begin(1.0)
    trial.measured(row("half + none", drop=0.4), 5.0, {})
    journal.remember("test of half + none", {"accuracy": 90.0})
    other = opened(tmp_path, Budget(0.25, max_size=600))
    assert other.done()["half + none"]["seconds"] == 5.0
    assert other.remembered("test of half + none") == {"accuracy": 90.0} and other.remembered("x") is None
    (taken,) = other._study.get_trials()
    assert taken.constraints == {"drop": pytest.approx(0.15), "size": -0.5}
    assert opened(tmp_path, Budget(0.25, max_size=600)).done().keys() == {"half + none"}


def test_a_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    trial = next(opened(tmp_path).candidates([Candidate(ALONE, "none")]))
    trial.begin(1.0)
    trial.measured(row("none"), 1.0, {})
    file = tmp_path / "journal.log"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code":4,"wor')
    (tmp_path / "journal.log.lock").symlink_to(file)  # of the same process
    assert opened(tmp_path).done().keys() == {"none"}
    assert file.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"hello\n", "line 1: found no JSON object"), (b'{"op_code": 0}\n', "KeyError"),
     (b"\xff\xfe\x00\n{}\n", "line 1: found no JSON object")],
)  # fmt: skip
def test_a_damaged_journal(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "journal.log").write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        opened(tmp_path)
    assert expected in str(caught.value) and "move this file away" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_journal_of_something_else(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(ArtifactError, match=r"its run is reviews \(0123\), this one's mails \(4567\): use another --k"):
        opened(tmp_path, run="mails (4567)")
    with pytest.raises(ArtifactError, match="its recipe half is abc, this one's abd"):
        opened(tmp_path, **{"recipe half": "abd"})
    opened(tmp_path, **{"recipe quarter": "new"})  # one more is no other search
    foreign = {"op_code": 0, "worker_id": "w", "study_name": "mine", "directions": [1]}
    attribute = {"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {"about": "mine"}}
    (tmp_path / "journal.log").write_text(f"{json.dumps(foreign)}\n{json.dumps(attribute)}\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="found a study of something else"):
        opened(tmp_path)
