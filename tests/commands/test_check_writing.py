"""`textapp check` on sentence pairs and on texts to learn to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from textapp.commands import check as module
from textapp.commands.check import check

NUMBERS = {"one": "一", "two": "二", "three": "三", "four": "四", "five": "五", "six": "六", "seven": "七"}
THINGS = {"films": "电影", "rooms": "房间", "books": "书", "cats": "猫", "dogs": "狗", "trees": "树"}
PAIRS = [(f"我有{NUMBERS[number]}个{THINGS[thing]}。", f"I have {number} {thing}.")
         for number in NUMBERS for thing in THINGS]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "environment", lambda: {"warnings": []})
    monkeypatch.setattr(module, "_show_environment", lambda console, machine: None)
    return tmp_path


def written(folder: Path, task: str, data: dict) -> Path:
    content = {"task": task, "run": "never", "data": data, "model": {"architecture": "transformer"}}
    (folder / "config.yaml").write_text(json.dumps(content), encoding="utf-8")
    return folder / "config.yaml"


def parallel(folder: Path, name: str, pairs: list[tuple[str, str]]) -> dict:
    for side, texts in zip(("zh", "en"), zip(*pairs, strict=True), strict=True):
        (folder / f"{name}.{side}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return {"source": f"{name}.zh", "target": f"{name}.en"}


def test_sentence_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {
        "train": parallel(folder, "train", PAIRS),
        "validation": parallel(folder, "dev", [PAIRS[0], (PAIRS[1][0], "new"), ("龘", "new")]),
    }
    found = check(written(folder, "translation", data), data_dir=folder)["data"]
    assert [side["language"] for side in found["languages"].values()] == ["zh", "en"]
    assert found["rows"] == {"train": 42, "validation": 3, "test": 0} and not found["shared_tokenizer"]
    overlap = found["overlaps"]["validation"]
    assert (overlap["rows"], overlap["pairs"], overlap["sources"], overlap["targets"]) == (2, 1, 2, 1)
    assert found["unknown"]["source"]["validation"]["examples"] == ["龘"]
    assert not found["unknown"]["source"]["train"]["different"]
    printed = capsys.readouterr().out
    assert "zh to en" in printed and "龘" in printed and "warning: 2 pairs of validation" in printed


def test_sides_that_are_changed_round(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"train": parallel(folder, "train", PAIRS), "source_language": "en", "target_language": "zh"}
    found = check(written(folder, "translation", data), data_dir=folder, as_json=True)["data"]
    assert found["warnings"][:3] == [
        "the source is said to be en, but its script looks like zh",
        "the target is said to be zh, but its script looks like en",
        "both sides are in another script than said: are source and target changed round?",
    ]
    assert json.loads(capsys.readouterr().out)["data"]["warnings"] == found["warnings"]


def test_texts_in_another_script(folder: Path) -> None:
    data = {"train": parallel(folder, "train", [*PAIRS, ("untranslated words", "untranslated words")])}
    found = check(written(folder, "translation", data), data_dir=folder)["data"]
    assert found["languages"]["source"]["examples"] == ["untranslated words"]
    assert any("of the sources are in another script, as 'untranslated words'" in line for line in found["warnings"])
    assert "1 training pairs have the same text on both sides" in found["warnings"]


def test_documents(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": target, "text": source} for source, target in PAIRS]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = check(written(folder, "generation", {"train": "a.jsonl"}), data_dir=folder)["data"]
    assert (found["prompts"], found["running_text"]) == (found["rows"]["train"], False)
    assert found["languages"]["text"]["language"] == "zh" and found["tokenizer"]["kind"] == "characters"
    assert "with a prompt" in capsys.readouterr().out


def test_running_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.txt").write_text("\n".join(target for _, target in PAIRS) + "\n", encoding="utf-8")
    found = check(written(folder, "generation", {"train": "a.txt"}), data_dir=folder)["data"]
    assert found["running_text"] and found["context"] == 256 and found["rows"]["train"] == 1
    assert found["characters"]["validation"] == pytest.approx(0.1 * sum(found["characters"].values()), abs=1)
    assert "tokens a document" not in capsys.readouterr().out
