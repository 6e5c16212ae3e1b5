"""Records on disk between two steps."""

from __future__ import annotations

from pathlib import Path

from textapp.records.spool import Spool, is_part, is_spool, write_part


def write(folder: Path) -> Spool:
    records = [{"text": f"t{number} \ud800 好", "label": "ab"[number % 2]} for number in range(7)]
    blocks = [records[:3], [{"text": "", "label": "c"}], records[3:]]
    told: list[int] = []
    keeps = lambda record: bool(record["text"])  # noqa: E731
    write_part(folder, "0", blocks[:2], keeps, told.append)
    write_part(folder, "1", blocks[2:], keeps, told.append)
    assert told == [3, 4, 4] and is_part(folder, "1") and not is_spool(folder)
    return Spool.of(folder, ["0", "1"])


def test_records_come_back_as_often_as_they_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    spool = Spool(tmp_path)
    assert [record["text"] for record in spool] == [f"t{number} \ud800 好" for number in range(7)]
    assert list(spool) == list(spool) and len(spool) == 7
    assert (spool.dropped, spool.labels) == (1, {"a": 4, "b": 3})
    assert spool[5]["text"] == "t5 \ud800 好" and [record["label"] for record in spool[1:3]] == ["b", "a"]


def test_a_range_may_begin_and_end_within_blocks(tmp_path: Path) -> None:
    spool = write(tmp_path)
    texts = [record["text"][:2] for record in spool]
    for begin in range(8):
        for end in range(begin, 8):
            found = [record["text"][:2] for block in spool.blocks(begin, end) for record in block]
            assert found == texts[begin:end]


def test_the_files_are_removed(tmp_path: Path) -> None:
    write(tmp_path)
    Spool.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
