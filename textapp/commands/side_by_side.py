"""`textapp evaluate --side-by-side`: writes outputs of several variants for human judges, and reads them back."""

from __future__ import annotations

import csv
import json
import string
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from textapp.arrays import spread
from textapp.artifact import check_not_of_an_artifact, open_artifact
from textapp.commands import tables
from textapp.commands.examples import evaluation_records
from textapp.errors import ArtifactError, DataError, UsageError, plural
from textapp.files import atomic_file, check_output, write_text
from textapp.loading import load
from textapp.metrics import preference
from textapp.predictors.predictor import Predictor
from textapp.records.layout import Layout
from textapp.records.readers import read_rows
from textapp.records.rows import Row, RowError
from textapp.tasks.generative import GenerativeTask
from textapp.untrusted import TEXT, Kind, checked, list_of, mapping_of, read_json, shown, whole

SHEET_ROWS = 100  # about an hour of a judge's time
SEED = 7
Record = Mapping[str, Any]
_KEYS: dict[str, Kind] = {
    "data": TEXT,
    "variants": list_of(TEXT, at_least=1),
    "identical": whole(),
    "rows": mapping_of(list_of(list_of(whole()))),
}


def write_sheet(
    path: Path,
    sheet: Path,
    against: Sequence[Path],
    data: Sequence[Path] = (),
    columns: str | None = None,
    encoding: str | None = None,
    data_dir: Path | None = None,
    threads: int = 1,
    runtime: str = "auto",
    as_json: bool = False,
    trusted: bool = False,
) -> dict[str, Any]:
    """Writes source, reference and the outputs of several variants, shuffled and anonymous, to a .csv.

    The judge fills the column `best` with the letter of the best output, or `tie`. The order of the variants is in
    `<sheet>.key.json` beside it. Examples on which all variants agree are counted as ties and left out.

    Args:
        path: a run folder or a bundle of a translation or generation model, whose examples are used.
        sheet: the file to write; an existing one is an error.
        against: the other variants.
        data, columns, encoding, data_dir: other examples, as for `evaluate`.
        threads: CPU threads per answer.
        runtime: the interpreter for a .tflite file.
        as_json: print JSON.
        trusted: whether a SavedModel may be opened, see `textapp.load`.

    Returns:
        `sheet`, `key`, `variants`, number of `rows` to judge, and of `identical` examples.

    Raises:
        UsageError: no other variant or too many, a file that is no .csv or exists, or a model of classification.
        DataError: all variants agree on all examples.
    """
    paths = [path, *against]
    _check_call(sheet, paths)
    records, origin = evaluation_records(open_artifact(path), data, columns, data_dir, encoding)
    predictors = [load(variant, threads=threads, runtime=runtime, trusted=trusted) for variant in paths]
    task = _common_task(predictors)
    records = task.queries(spread(records, SHEET_ROWS), SHEET_ROWS)
    texts = [record[task.input_field] for record in records]
    answers = [[answer.output for answer in predictor.batch(texts)] for predictor in predictors]
    rows, identical = preference.anonymous_rows(list(zip(*answers, strict=True)), SEED)
    if not rows:
        raise DataError(
            f"found the same outputs of all variants on {plural(len(records), 'example')} ({origin}), expected some "
            "to judge"
        )
    _write_csv(sheet, task, records, rows, len(paths))
    variants = [str(variant) for variant in paths]
    _write_key(_key_file(sheet), {"data": origin, "variants": variants, "identical": identical}, rows)
    figures = {"sheet": str(sheet), "key": str(_key_file(sheet)), "variants": variants, "rows": len(rows)}
    figures["identical"] = identical
    tables.emit(figures, as_json, lambda console: console.print(tables.facts(None, figures)))
    tables.note(f"fill the column 'best' with A, B, ... or tie, then run textapp evaluate --judged {sheet}")
    return figures


def read_sheet(sheet: Path, as_json: bool = False) -> dict[str, Any]:
    """Reads a judged sheet, and prints a table of preferences.

    Args:
        sheet: the judged .csv, with its key beside it.
        as_json: print JSON.

    Returns:
        `judged`, `unjudged` and `identical` examples, `variants`, and `pairs`: {first, second, wins, losses, ties, p}.

    Raises:
        DataError: the key is missing, a row is unknown or repeated, a judgement is invalid, or there is none.
    """
    key = _read_key(_key_file(sheet))
    judged = []
    rows = list(read_rows(sheet, Layout({"id": ["id"], "best": ["best"]}, header=True), ["id", "best"]))
    seen: set[str] = set()
    for row in rows:
        number = row.values["id"].strip()
        order = key["rows"].get(number)
        if order is None or number in seen:
            what = "unknown" if order is None else "repeated"
            raise RowError(sheet, row.line, f"the id '{number}' is {what}: keep the column id unchanged")
        seen.add(number)
        if (best := _best(sheet, row, len(order))) is not None:
            judged.append((best, order))
    if not judged:
        raise DataError(
            f"{sheet}: the column 'best' is empty in all {plural(len(rows), 'row')}: fill it with A, B, ... or tie"
        )
    pairs = preference.preference_table(judged, len(key["variants"]), key["identical"])
    figures = {
        "data": key["data"],
        "judged": len(judged),
        "unjudged": len(key["rows"]) - len(judged),
        "identical": key["identical"],
        "variants": key["variants"],
        "pairs": preference.summary(key["variants"], pairs),
    }
    tables.emit(figures, as_json, lambda console: _show(console, figures))
    return figures


def _check_call(sheet: Path, paths: Sequence[Path]) -> None:
    if not 2 <= len(paths) <= preference.MAX_VARIANTS:
        raise UsageError(
            f"--side-by-side compares 2 to {preference.MAX_VARIANTS} variants, found {len(paths)}: give the others "
            f"with --against PATH, repeatable"
        )
    if sheet.suffix != ".csv":
        raise UsageError(f"--side-by-side {sheet}: expected a name that ends in .csv")
    for file in (sheet, _key_file(sheet)):
        check_output(file)
        check_not_of_an_artifact(file)
        if file.exists() or file.is_symlink():
            raise UsageError(f"{file}: exists, and may be judged: use another name, or delete it")


def _common_task(predictors: Sequence[Predictor]) -> GenerativeTask:
    names = [predictor.task.name for predictor in predictors]
    if not predictors[0].streams or len(set(names)) > 1:
        raise UsageError(
            f"--side-by-side: found models for {', '.join(names)}, expected models of one task that generates text"
        )
    return predictors[0].task


def _write_csv(
    sheet: Path, task: GenerativeTask, records: Sequence[Record], rows: Sequence[tuple], num_variants: int
) -> None:
    # A byte order mark, so that spreadsheet programs read the file as UTF-8.
    with atomic_file(sheet, newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["id", task.input_field, "reference", *string.ascii_uppercase[:num_variants], "best"])
        for number, (example, outputs, _) in enumerate(rows, start=1):
            record = records[example]
            blanks = [""] * (num_variants - len(outputs))
            writer.writerow(
                [number, record[task.input_field], record.get(task.target_field, ""), *outputs, *blanks, ""]
            )


def _write_key(file: Path, key: Mapping[str, Any], rows: Sequence[tuple]) -> None:
    orders = {str(number): order for number, (_, _, order) in enumerate(rows, start=1)}
    write_text(file, json.dumps({**key, "rows": orders}, ensure_ascii=False, indent=2) + "\n")


def _key_file(sheet: Path) -> Path:
    return sheet.with_suffix(".key.json")


def _read_key(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
        if not isinstance(content, dict) or not _KEYS.keys() <= content.keys():
            raise DataError(f"{file}: not the key of a sheet; expected the keys {', '.join(_KEYS)}")
        for name, kind in _KEYS.items():
            checked(content[name], kind, f"{file}: key '{name}'")
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; expected the key that --side-by-side wrote beside the sheet") from error
    except ArtifactError as error:
        raise DataError(str(error)) from error
    count = len(content["variants"])
    for number, order in content["rows"].items():
        if count > preference.MAX_VARIANTS or sorted(chain.from_iterable(order)) != list(range(count)):
            raise DataError(
                f"{file}: key 'rows': found {shown(order)} for the id {shown(number)}, expected each of the "
                f"{count} variants once, of at most {preference.MAX_VARIANTS}: copy it again"
            )
    return content


def _best(sheet: Path, row: Row, num_letters: int) -> set[int] | None:
    try:
        return preference.best_letters(row.values["best"], num_letters)
    except ValueError as error:
        raise RowError(sheet, row.line, f"best: {error}") from error


def _show(console: Any, figures: Mapping[str, Any]) -> None:
    counts = {name: figures[name] for name in ("data", "judged", "unjudged", "identical")}
    console.print(tables.facts(None, counts))
    columns = ("wins", "losses", "ties")
    rows = [
        [pair["first"], pair["second"], *(pair[column] for column in columns), f"{pair['p']:.4f}"]
        for pair in figures["pairs"]
    ]
    console.print(tables.table("preferences", ["first", "second", *columns, "p (sign test)"], rows, left=2))
