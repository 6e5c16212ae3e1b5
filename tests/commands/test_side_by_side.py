"""Sheets for human judges: written, filled in, read back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from toys import Letters

from textapp.cli import main
from textapp.commands import side_by_side
from textapp.commands.side_by_side import read_sheet, write_sheet
from textapp.errors import DataError, UsageError
from textapp.tasks.translation import TranslationTask

RECORDS = [{"source": f"句{number}", "target": f"sentence {number}"} for number in range(12)]


class Says:
    """A translator that puts a word before its text; on the last source all of them agree."""

    streams = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.task = TranslationTask(Letters(), Letters(), [8], [(8, 8)])  # nothing is tokenised

    def batch(self, texts: list[str]) -> list[SimpleNamespace]:
        return [SimpleNamespace(output="same" if text == "句11" else f"{self.path.name}, {text}") for text in texts]


@pytest.fixture(autouse=True)
def variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "open_artifact", lambda path: path)
    monkeypatch.setattr(side_by_side, "evaluation_records", lambda *_: (RECORDS, "test"))
    monkeypatch.setattr(side_by_side, "load", lambda path, **_: Says(path))


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return tmp_path / "sheet.csv"


def judge(sheet: Path, decide: dict[str, str]) -> None:
    """Fills in `best`: the letter of the first variant that `decide` has for a source, or the word that it has."""
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        wanted = decide.get(row["source"], "")
        letters = [letter for letter in "ABC" if letter in row and row[letter].startswith(f"{wanted},")]
        row["best"] = letters[0] if letters and wanted else wanted
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")  # as spreadsheets of some countries write it
        writer.writeheader()
        writer.writerows(rows)


def test_the_sheet_does_not_say_who_wrote_what(sheet: Path) -> None:
    figures = write_sheet(Path("one"), sheet, [Path("two")])
    assert (figures["rows"], figures["identical"], figures["variants"]) == (11, 1, ["one", "two"])
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "source", "reference", "A", "B", "best"]
    assert {row["source"] for row in rows} == {f"句{number}" for number in range(11)}
    assert all(row["reference"] == f"sentence {row['source'][1:]}" and row["best"] == "" for row in rows)
    assert 0 < sum(row["A"].startswith("one") for row in rows) < 11
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbf")


def test_a_judged_sheet_gives_preferences(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sheet(Path("one"), sheet, [Path("two")])
    judge(sheet, {**{f"句{number}": "two" for number in range(7)}, "句7": "one", "句8": "tie"})
    capsys.readouterr()
    figures = read_sheet(sheet, as_json=True)
    assert (figures["judged"], figures["unjudged"], figures["identical"]) == (9, 2, 1)
    assert figures["pairs"] == [{"first": "one", "second": "two", "wins": 1, "losses": 7, "ties": 2, "p": 0.0703}]
    assert json.loads(capsys.readouterr().out) == figures


def test_three_variants_and_a_table(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sheet(Path("one"), sheet, [Path("two"), Path("three")])
    judge(sheet, {"句0": "two", "句1": "two", "句2": "three"})
    pairs = {(pair["first"], pair["second"]): pair for pair in read_sheet(sheet)["pairs"]}
    assert (pairs["one", "two"]["losses"], pairs["two", "three"]["wins"], pairs["two", "three"]["losses"]) == (2, 2, 1)
    assert "p (sign test)" in capsys.readouterr().out


def test_a_sheet_that_is_there_is_kept(sheet: Path) -> None:
    sheet.write_text("judged", encoding="utf-8")
    with pytest.raises(UsageError, match="exists, and may be judged"):
        write_sheet(Path("one"), sheet, [Path("two")])


def test_calls_that_make_no_sense(sheet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="compares 2 to 26 variants, found 1: give the others with --against"):
        write_sheet(Path("one"), sheet, [])
    with pytest.raises(UsageError, match="expected a name that ends in .csv"):
        write_sheet(Path("one"), sheet.with_suffix(".xlsx"), [Path("two")])
    with pytest.raises(DataError, match="the same outputs of all variants on 12 examples"):
        write_sheet(Path("one"), sheet, [Path("one")])
    labels = SimpleNamespace(streams=False, task=SimpleNamespace(name="classification"))
    monkeypatch.setattr(side_by_side, "load", lambda path, **_: labels)
    with pytest.raises(UsageError, match="found models for classification, classification"):
        write_sheet(Path("one"), sheet, [Path("two")])


def test_a_sheet_without_its_key_or_without_judgements(sheet: Path) -> None:
    write_sheet(Path("one"), sheet, [Path("two")])
    with pytest.raises(DataError, match="'best' is empty in all 11 rows"):
        read_sheet(sheet)
    key = sheet.with_name("sheet.key.json")
    key.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="not the key of a sheet"):
        read_sheet(sheet)
    key.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_sheet(sheet)
    key.unlink()
    with pytest.raises(DataError, match="sheet.key.json: no such file"):
        read_sheet(sheet)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"rows": []}, "key 'rows': found \\[\\], expected an object"),
        ({"rows": {"1": 7}}, "key 'rows'"),
        (
            {"rows": {"1": [[0], [5]]}},
            r"key 'rows': found \[\[0\], \[5\]\] for the id '1', expected each of the 2 variants",
        ),
        ({"rows": {"1": [[0]]}}, "expected each of the 2 variants once"),
        ({"rows": {"1": [[0], [0], [1]]}}, "expected each of the 2 variants once"),
        ({"variants": [str(n) for n in range(10_000)]}, "expected each of the 10000 variants once, of at most 26"),
        ({"variants": [1, 2]}, "key 'variants': found"),
        ({"identical": -1}, "key 'identical': found -1"),
        ({"identical": "x"}, "key 'identical': found 'x'"),
    ],
)
def test_a_damaged_key_is_told(sheet: Path, changed: dict[str, object], fault: str) -> None:
    write_sheet(Path("one"), sheet, [Path("two")])
    judge(sheet, {"句0": "one"})
    key = sheet.with_name("sheet.key.json")
    key.write_text(json.dumps({**json.loads(key.read_text(encoding="utf-8")), **changed}), encoding="utf-8")
    with pytest.raises(DataError, match=fault):
        read_sheet(sheet)


def test_a_key_nested_deeply_is_told(sheet: Path) -> None:
    sheet.with_name("sheet.key.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(DataError, match="sheet.key.json: found lists or objects nested too deeply"):
        read_sheet(sheet)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("99,x,x,x,x,A", "the id '99' is unknown"),
        ("1,x,x,x,x,A\n1,x,x,x,x,B", "the id '1' is repeated"),
        ("1,x,x,x,x,A\n1 ,x,x,x,x,B", "the id '1' is repeated"),
        ("1,x,x,x,x,C", "found 'C', expected one of A, B, several of them, or tie"),
    ],
)
def test_rows_at_fault_are_named(sheet: Path, line: str, fault: str) -> None:
    write_sheet(Path("one"), sheet, [Path("two")])
    sheet.write_text(f"id,source,reference,A,B,best\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"sheet.csv:[23]: .*{fault}"):
        read_sheet(sheet)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ([], "PATH is missing"),
        (["run", "--against", "other"], "--against needs --side-by-side FILE"),
        (["run", "--judged", "sheet.csv"], "--judged sheet.csv: takes no PATH"),
        (["--judged", "sheet.csv", "--data", "test.tsv"], "--judged sheet.csv: takes no --data"),
    ],
)
def test_options_that_go_together(options: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["evaluate", *options])
    assert left.value.code == 2
    assert fault in capsys.readouterr().err


def test_the_command_line_writes_and_reads_a_sheet(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "one", "--side-by-side", str(sheet), "--against", "two", "--against", "three", "--json"])
    assert left.value.code == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["variants"] == ["one", "two", "three"]
    assert f"textapp evaluate --judged {sheet}" in printed.err
    judge(sheet, {"句0": "three"})
    with pytest.raises(SystemExit):
        main(["evaluate", "--judged", str(sheet), "--json"])
    assert json.loads(capsys.readouterr().out)["judged"] == 1
