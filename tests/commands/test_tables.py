from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from textapp.catalog import TASKS
from textapp.commands import tables
from textapp.tasks.task import one_line

MEASURES = {name: words for parts in TASKS.values() for name, words in parts.task.measures.items()}


def printed(drawn: object) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(drawn)
    return console.export_text()


def test_json_stands_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with tables.stdout_for_json(True):
        print("a library's chatter")
        tables.note("a note")
        tables.warn("a warning")
    tables.emit({"label": "好", "value": np.float32("nan"), "row": np.arange(2)}, True, lambda console: None)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"label": "好", "value": None, "row": [0, 1]}
    assert err.splitlines() == ["a library's chatter", "a note", "warning: a warning"]


def test_without_json_the_readable_form_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    tables.emit({}, False, lambda console: console.print("readable"))
    assert capsys.readouterr().out == "readable\n"


def test_a_pipe_has_room_for_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    titles = [f"a long title {number}" for number in range(12)]
    tables.console().print(tables.table(None, ["variant", *titles], [["litert dynamic", *[123456.789] * 12]]))
    header, _, row = (line for line in capsys.readouterr().out.splitlines() if line.strip())
    assert header.split()[0] == "variant" and row.split()[:2] == ["litert", "dynamic"] and titles[-1] in header


def test_markup_in_labels_is_only_text() -> None:
    assert "[bold]x" in printed(tables.table(None, ["label"], [["[bold]x"]]))
    assert "[red]" in printed(tables.facts(None, {"label": "[red]"}))


def test_variants_table_leaves_out_what_no_row_has() -> None:
    row = {"variant": "litert dynamic", "size_bytes": 1_234_567, "latency_ms": {"p50": 0.1234, "p90": 0.2, "p99": 0.3}}
    rows = [{**row, "accuracy": 91.234}, {**row, "accuracy": None}]
    text = printed(tables.variants_table(rows, MEASURES))
    assert "1.2 MB" in text and "0.123" in text and "91.23" in text
    assert "start ms" not in text and "macro F1" not in text and "BLEU" not in text


def test_variants_table_of_models_that_write() -> None:
    row = {"variant": "litert dynamic", "bleu": 27.123, "chrf": 45.5, "perplexity": 4.5678, "tokens_per_second": 4512.3}
    text = printed(tables.variants_table([row], MEASURES))
    assert all(shown in text for shown in ("BLEU", "27.12", "45.50", "4.568", "4512")) and "accuracy" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (1234, "1,234"),
        (12.345, "12.35"),
        (0.9978, "0.9978"),
        (1.0, "1.00"),
        (["a", 2], "a, 2"),
        ({"p50": 1.0}, "p50 1.00"),
    ],
)
def test_values_as_a_reader_wants_them(value: object, text: str) -> None:
    assert tables.shown(value) == text


def test_sizes_and_short_texts() -> None:
    assert [tables.size(count) for count in (None, 512, 38_249, 4_100_000)] == [None, "512 B", "38.2 kB", "4.1 MB"]
    assert one_line("a\nlong text", 6) == "a lon…"
