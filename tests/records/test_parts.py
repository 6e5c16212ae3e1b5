"""Parts of files: behind each other they have the records of the whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from textapp.catalog import load_config, recipe_of
from textapp.errors import DataError
from textapp.recipes.splits import settled_layout
from textapp.records import parts as module
from textapp.records.files import read_source, reading_only
from textapp.records.parts import Part, Uncut, parts_of, read_part

WORDS = ["a", "bad", "good", "plot", "très", "电影", 'the "best"', '5"', "2,000"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of some kilobytes, which are judged by 30 lines."""
    monkeypatch.setattr(module, "PART_BYTES", 2000)
    monkeypatch.setattr(module, "HEAD_LINES", 30)
    monkeypatch.setattr(module, "PEEKED_ROWS", 25)
    monkeypatch.setattr(module, "_BLOCK", 777)


def lines(count: int, words: list[str], divider: str = "\t") -> list[str]:
    choice = random.Random(4)
    texts = [" ".join(choice.choice(words) for _ in range(choice.randint(1, 9))) for _ in range(count)]
    return [f"{text}{divider}{choice.choice(('neg', 'pos'))}" for text in texts]


def opened(folder: Path, train: Any, task: str = "classification", model: str = "mlp") -> tuple[Any, ...]:
    """A config, with its recipe and layout."""
    path = folder / "c.yaml"
    path.write_text(f"task: {task}\nrun: r\ndata: {{train: {train}}}\nmodel: {{architecture: {model}}}\n")
    config = load_config(path)
    recipe = recipe_of(task)
    layout = settled_layout(recipe, config, folder)
    return recipe, layout, config


def parts_and_records(folder: Path, train: Any, **task: str) -> tuple[list[Part], list[Any], list[Any]]:
    """The parts of one file, their records behind each other, and those of the whole."""
    recipe, layout, config = opened(folder, train, **task)
    (parts,) = parts_of(config.data.train, layout, folder, recipe.line_files(config))

    def read(source: Any) -> Iterator[Any]:
        return recipe.read(source, layout, folder, config)

    found = [record for part in parts for block in read_part(part, read) for record in block]
    return parts, found, [record for block in read(config.data.train) for record in block]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["text\tlabel", ""])
def test_a_tsv_is_cut_at_its_lines(tmp_path: Path, header: str, end: str) -> None:
    rows = [header] * bool(header) + lines(1500, WORDS)
    (tmp_path / "a.tsv").write_text(end.join(rows), encoding="utf-8", newline="")
    parts, found, whole = parts_and_records(tmp_path, "a.tsv")
    assert len(parts) >= 4 and found == whole and len(whole) == 1500


@pytest.mark.parametrize(
    ("name", "rows", "cut"),
    [
        ("a.csv", ["text,label", *lines(300, ["good", "bad", "plot"], ",")], True),
        ("a.csv", ["text,label", *(f'"a, {line}' for line in lines(300, ['good ""'], '",'))], True),
        ("a.csv", ["text,label", *lines(300, ["good"], ","), '"two\nlines",pos'], False),
        ("a.tsv", ["label\ttext", *(f"pos\t{line}" for line in lines(300, ["good"], " ")), 'neg\t"two\nlines"'], False),
        ("a.txt", [f"__label__{line.split()[-1]} {line}" for line in lines(300, WORDS)], True),
        ("a.jsonl", [f'{{"text": "{line[:-4]}", "label": "{line[-3:]}"}}' for line in lines(300, ["good"], " ")], True),
        ("a.tsv", lines(300, ["good"])[:20], False),
    ],
)
def test_which_files_are_cut(tmp_path: Path, name: str, rows: list[str], cut: bool) -> None:
    """Not those with a cell over two lines, and not short ones; the records are the same."""
    (tmp_path / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    parts, found, whole = parts_and_records(tmp_path, name)
    assert (len(parts) > 1) == cut and found == whole


def test_parallel_files_are_cut_at_the_same_lines(tmp_path: Path) -> None:
    sources = lines(1500, WORDS, " ")
    sources[77] = sources[300] = ""
    (tmp_path / "a.en").write_text("\n".join(sources) + "\n", encoding="utf-8")
    (tmp_path / "a.de").write_text("\n".join(f"{line} {line}" for line in sources), encoding="utf-8")
    train = "{source: a.en, target: a.de}"
    parts, found, whole = parts_and_records(tmp_path, train, task="translation", model="lstm")
    assert len(parts) >= 4 and found == whole and len(whole) == 1500
    (tmp_path / "a.de").write_text("\n".join(sources[1:]), encoding="utf-8")
    with pytest.raises(DataError, match="a.en has 1,500 lines, .*a.de has 1,499"):
        parts_and_records(tmp_path, train, task="translation", model="lstm")
    with pytest.raises(DataError, match="found 2 source files, but 1 target files"):
        parts_and_records(tmp_path, '{source: ["a.en", "a.de"], target: a.de}', task="translation", model="lstm")


def test_a_part_whose_beginning_is_too_short_is_read_with_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "\n" * 20 + "\n".join(lines(1500, WORDS)), encoding="utf-8")
    with pytest.raises(Uncut):
        parts_and_records(tmp_path, "a.tsv")


def test_ranges_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\nthree\nfour\n")
    with reading_only({path: [(0, 4), (8, 14)]}):
        assert list(read_source(path).lines()) == ["one\n", "three\n"]
    assert len(list(read_source(path).lines())) == 4
