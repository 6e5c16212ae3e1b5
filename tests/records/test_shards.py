"""Token ids in shards: what is read from them, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textapp.artifact import write_manifest
from textapp.config import differing_entry
from textapp.errors import ArtifactError, ConfigError
from textapp.records.shards import (
    FOLDER,
    KIND,
    VERSION,
    ManyLabels,
    TokenShards,
    index_name,
    preceded,
    shard_name,
    truncated,
    write_shard,
)

ROWS = [[5, 6, 7], [9], [4, 300], [70000, 2, 2, 2]]
SETTINGS = {"task": "classification", "mode": None, "multiple": False, "data": {"train": "a.tsv"}}


def stored(folder: Path, labels: list[list[int]], **settings: Any) -> Path:
    """A prepared folder of two shards."""
    (folder / FOLDER).mkdir(parents=True)
    multiple = settings.get("multiple", False)
    names = [shard_name(number, 2) for number in range(2)]
    for number, name in enumerate(names):
        part = slice(2 * number, 2 * number + 2)
        blocks = [{"token_ids": [row], "labels": [label]} for row, label in zip(ROWS[part], labels[part], strict=True)]
        write_shard(folder / name, blocks, single=not multiple)
    manifest = {
        "kind": KIND, "version": VERSION, "task": "classification", "features": ["token_ids", "labels"],
        "labels": ["a", "b", "c"], "label_counts": [2, 1, 1], "languages": ["en"], "origin": "a.tsv",
        "settings": {**SETTINGS, **settings}, "shards": dict.fromkeys(names, 2),
    }  # fmt: skip
    write_manifest(folder, manifest, [file for name in names for file in (name, index_name(name))])
    return folder


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    return stored(tmp_path / "prepared", [[0], [2], [0], [1]])


def test_every_example_is_found_in_its_shard(folder: Path) -> None:
    shards = TokenShards.open(folder)
    assert [row.tolist() for row in shards.column("token_ids")] == ROWS
    assert shards.column("token_ids").lengths.tolist() == [3, 1, 2, 4]
    assert (len(shards), shards.targets.tolist()) == (4, [0, 2, 0, 1])


def test_chosen_truncated_and_preceded_rows(folder: Path) -> None:
    column = TokenShards.open(folder).column("token_ids")
    chosen = column.taken(np.array([3, 0, 1])).taken(np.array([0, 2]))
    assert [row.tolist() for row in chosen] == [[70000, 2, 2, 2], [9]]
    assert [row.tolist() for row in truncated(chosen, 2)] == [[70000, 2], [9]]
    assert truncated(chosen, 2).lengths.tolist() == [2, 1]  # type: ignore[attr-defined]
    assert [row.tolist() for row in preceded(chosen, 1)] == [[1, 70000, 2, 2], [1]]


def test_several_labels_are_rows_of_ones(tmp_path: Path) -> None:
    shards = TokenShards.open(stored(tmp_path / "many", [[0, 2], [], [1], [2]], multiple=True))
    targets = ManyLabels(shards.column("labels"), 3)
    assert np.stack(list(targets)).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_an_unfinished_shard_has_no_name(tmp_path: Path) -> None:
    def blocks() -> Any:
        yield {"token_ids": [[1]], "labels": [[0]]}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "train-00000-of-00001.tfrecord", blocks(), single=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_shard_is_named(folder: Path, damage: str) -> None:
    shard = folder / shard_name(1, 2)
    if damage == "missing":
        shard.unlink()
    else:
        content = bytearray(shard.read_bytes())
        content[20] ^= 1
        shard.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{re.escape(str(shard))}: {damage}"):
        TokenShards.open(folder)


def test_a_shard_that_is_cut_off_while_it_is_used(folder: Path) -> None:
    column = TokenShards.open(folder).column("token_ids")
    with (folder / shard_name(1, 2)).open("r+b") as file:
        file.truncate(40)
    with pytest.raises(ArtifactError, match=r"train-00001-of-00002.tfrecord: was cut off during the training"):
        column[3]


def test_folders_of_other_kinds(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"data.prepared: .*: no such folder; expected a folder that textapp"):
        TokenShards.open(tmp_path / "none")
    (folder / "manifest.json").rename(folder / "other.json")
    with pytest.raises(ArtifactError, match=r"data.prepared: .*: is not finished; expected"):
        TokenShards.open(folder)


def test_another_version(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"version": 1', '"version": 99'))
    with pytest.raises(ArtifactError, match=r"found version 99 of prepared data, expected 1: another version"):
        TokenShards.open(folder)


def test_other_settings_are_refused_by_the_first_key(folder: Path) -> None:
    shards = TokenShards.open(folder)
    shards.check_settings(SETTINGS, differing_entry)
    shards.check_settings({**SETTINGS, "data": {"train": None}}, differing_entry)  # of no other files
    with pytest.raises(ConfigError, match=r"was prepared with data.train 'a.tsv', expected 'b.tsv', as this config"):
        shards.check_settings({**SETTINGS, "data": {"train": "b.tsv"}}, differing_entry)
