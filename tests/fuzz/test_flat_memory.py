"""`predict --input` streams: its memory does not grow with the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEXT = "the food was great, and the staff 酒店很好 were kind; 很好"
# Writes a file of so many MB, reads it as `predict --input` does, and prints rows, and MB at the peak and before.
READ = """
import csv, io, json, resource, sys
from pathlib import Path
from textapp.catalog import recipe_of
from textapp.records.layout import Layout
task, path, megabytes, text = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
recipe = recipe_of(task)
layout = Layout(dict((f, list(names)) for f, names in recipe.keys.columns.items() if names), usual=recipe.keys.columns)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
fields, delimiter = [*layout.columns], "," if path.suffix == ".csv" else "\\t"
def line(row):
    if path.suffix == ".jsonl":
        return json.dumps(dict.fromkeys(fields, row), ensure_ascii=False) + "\\n"
    if path.suffix in (".csv", ".tsv"):
        file = io.StringIO()
        csv.writer(file, delimiter=delimiter, lineterminator="\\n").writerow([row] * len(fields))
        return file.getvalue()
    return row + "\\n"
with path.open("w", encoding="utf-8") as file:
    if path.suffix in (".csv", ".tsv"):
        file.write(delimiter.join(fields) + "\\n")
    written = 0
    block = "".join(line(f"{n} {text}") for n in range(1000))
    while file.tell() < megabytes << 20:
        file.write(block)
        written += 1000
before = peak()
read = sum(1 for _ in recipe.scan(path, layout, path.parent))
print(json.dumps({"written": written, "read": read, "megabytes": peak() - before}))
"""


def read(task: str, path: Path, megabytes: int) -> dict[str, Any]:
    """What READ prints; the peak is that of a process of its own."""
    command = [sys.executable, "-c", READ, task, str(path), str(megabytes), TEXT]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_flat(tmp_path: Path, task: str, extension: str, megabytes: int) -> None:
    found = read(task, tmp_path / f"a{extension}", megabytes)
    assert found["read"] == found["written"]
    assert found["megabytes"] < 100, found


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".txt"])
def test_the_readers_stream(tmp_path: Path, extension: str) -> None:
    check_flat(tmp_path, "classification", extension, 20)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "translation", "generation"])
@pytest.mark.parametrize("extension", [".csv", ".tsv", ".jsonl", ".txt"])
def test_the_readers_stream_large_files(tmp_path: Path, task: str, extension: str) -> None:
    check_flat(tmp_path, task, extension, 200)


PREDICT = """
import resource, sys
from textapp.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, file=sys.stderr)
"""


def test_predict_takes_as_much_memory_for_ten_times_the_rows(tmp_path: Path, tiny_bundle: Path) -> None:
    def peak(rows: int) -> int:
        (tmp_path / "a.csv").write_text("text\n" + f'"{TEXT}"\n' * rows, encoding="utf-8")
        out = tmp_path / "a.jsonl"
        args = ["predict", str(tiny_bundle), "--input", str(tmp_path / "a.csv"), "--output", str(out)]
        done = subprocess.run([sys.executable, "-c", PREDICT, *args], capture_output=True, encoding="utf-8", cwd=ROOT)
        assert done.returncode == 0, done.stderr
        with out.open(encoding="utf-8") as file:
            assert sum(1 for line in file if json.loads(line)["input"] == TEXT) == rows
        return int(done.stderr.split()[-1])

    few = peak(2000)
    assert peak(20_000) < few + 30
