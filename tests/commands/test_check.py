from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from textapp.commands import check as module
from textapp.commands.check import check
from textapp.errors import ConfigError, DataError

COLOURS = ("red", "green", "blue", "white", "black", "brown", "pink", "grey")


def written(folder: Path, task: str, data: dict, architecture: str = "transformer") -> Path:
    content = {"task": task, "run": "never", "data": data, "model": {"architecture": architecture}}
    (folder / "config.yaml").write_text(json.dumps(content), encoding="utf-8")
    return folder / "config.yaml"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "environment", lambda: {"warnings": []})
    monkeypatch.setattr(module, "_show_environment", lambda console, machine: None)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """120 training rows of two labels; of the 4 test rows one stands in train, one there with the other label."""
    rows = [
        f"a {COLOURS[index % 8]} {('dirty', 'spotless')[index % 2]} room number {index}\t{('bad', 'good')[index % 2]}"
        for index in range(120)
    ]
    test = [rows[0], rows[1].replace("\tgood", "\tbad"), "a broad street 龘\tgood", "a noisy street\tbad"]
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "test.tsv").write_text("text\tlabel\n" + "\n".join(test) + "\n", encoding="utf-8")
    data = {"train": "train.tsv", "test": "test.tsv", "validation": "test.tsv"}
    return written(tmp_path, "classification", data, "mlp")


def test_check_profiles_the_data_as_json_alone(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check(config, data_dir=config.parent, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found))
    data = found["data"]
    assert data["rows"] == {"train": 120, "validation": 4, "test": 4}
    assert data["labels"]["bad"] == {"train": 60, "validation": 3, "test": 3}
    assert (data["overlaps"]["test"]["rows"], data["overlaps"]["test"]["other_label"]) == (2, 1)
    assert data["unknown"]["test"]["examples"] == ["龘"] and data["unknown"]["train"]["tokens_share"] == 0
    assert "dirty" in data["keywords"]["bad"]["words"] and "spotless" in data["keywords"]["good"]["words"]
    assert any("2 rows of test (50 %)" in line for line in data["warnings"])


def test_check_prints_for_a_reader_and_keeps_the_lengths_given(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = check(config, ["lengths=[4]"], data_dir=config.parent)
    out = capsys.readouterr().out
    assert found["data"]["lengths"]["cut_share"] == 100
    assert "120 rows (train.tsv)" in out and "dirty" in out and "100 % of the training texts are truncated" in out


def test_check_trains_nothing_and_writes_nothing(config: Path) -> None:
    before = sorted(config.parent.iterdir())
    check(config, data_dir=config.parent)
    assert sorted(config.parent.iterdir()) == before


def test_check_without_a_config_tells_the_environment_alone(config: Path) -> None:
    assert check() == {"environment": {"warnings": []}}


def test_faults_of_config_and_data_are_the_usual_errors(config: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'trainin'"):
        check(config, ["trainin=1"], data_dir=config.parent)
    with pytest.raises(DataError, match="absent.tsv"):
        check(config, ["data.train=absent.tsv"], data_dir=config.parent)


# --- sentence pairs and texts ----------------------------------------------------------------------------------------

NUMBERS = {"one": "一", "two": "二", "three": "三", "four": "四", "five": "五", "six": "六", "seven": "七"}
THINGS = {"films": "电影", "rooms": "房间", "books": "书", "cats": "猫", "dogs": "狗", "trees": "树"}
PAIRS = [(f"我有{NUMBERS[number]}个{THINGS[thing]}。", f"I have {number} {thing}.")
         for number in NUMBERS for thing in THINGS]  # fmt: skip


def parallel(folder: Path, name: str, pairs: list[tuple[str, str]]) -> dict:
    for side, texts in zip(("zh", "en"), zip(*pairs, strict=True), strict=True):
        (folder / f"{name}.{side}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return {"source": f"{name}.zh", "target": f"{name}.en"}


def test_sentence_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {
        "train": parallel(tmp_path, "train", PAIRS),
        "validation": parallel(tmp_path, "dev", [PAIRS[0], (PAIRS[1][0], "new"), ("龘", "new")]),
    }
    found = check(written(tmp_path, "translation", data), data_dir=tmp_path)["data"]
    assert [side["language"] for side in found["languages"].values()] == ["zh", "en"]
    assert found["rows"] == {"train": 42, "validation": 3, "test": 0} and not found["shared_tokenizer"]
    overlap = found["overlaps"]["validation"]
    assert (overlap["rows"], overlap["pairs"], overlap["sources"], overlap["targets"]) == (2, 1, 2, 1)
    assert found["unknown"]["source"]["validation"]["examples"] == ["龘"]
    assert not found["unknown"]["source"]["train"]["different"]
    printed = capsys.readouterr().out
    assert "zh to en" in printed and "龘" in printed and "warning: 2 pairs of validation" in printed


def test_sides_that_are_changed_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"train": parallel(tmp_path, "train", PAIRS), "source_language": "en", "target_language": "zh"}
    found = check(written(tmp_path, "translation", data), data_dir=tmp_path, as_json=True)["data"]
    assert found["warnings"][:3] == [
        "the source is configured as en, but its script looks like zh",
        "the target is configured as zh, but its script looks like en",
        "both sides are in another script than configured: are source and target swapped?",
    ]
    assert json.loads(capsys.readouterr().out)["data"]["warnings"] == found["warnings"]


def test_texts_in_another_script(tmp_path: Path) -> None:
    data = {"train": parallel(tmp_path, "train", [*PAIRS, ("untranslated words", "untranslated words")])}
    found = check(written(tmp_path, "translation", data), data_dir=tmp_path)["data"]
    assert found["languages"]["source"]["examples"] == ["untranslated words"]
    assert any(
        "of the sources are in another script, such as 'untranslated words'" in line for line in found["warnings"]
    )
    assert "1 training pairs have the same text on both sides" in found["warnings"]


def test_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": target, "text": source} for source, target in PAIRS]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = check(written(tmp_path, "generation", {"train": "a.jsonl"}), data_dir=tmp_path)["data"]
    assert (found["prompts"], found["running_text"]) == (found["rows"]["train"], False)
    assert found["languages"]["text"]["language"] == "zh" and found["tokenizer"]["kind"] == "characters"
    assert "with a prompt" in capsys.readouterr().out


def test_running_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("\n".join(target for _, target in PAIRS) + "\n", encoding="utf-8")
    found = check(written(tmp_path, "generation", {"train": "a.txt"}), data_dir=tmp_path)["data"]
    assert found["running_text"] and found["context"] == 256 and found["rows"]["train"] == 1
    assert found["characters"]["validation"] == pytest.approx(0.1 * sum(found["characters"].values()), abs=1)
    assert "tokens per document" not in capsys.readouterr().out


# --- the first rows --------------------------------------------------------------------------------------------------


def test_the_first_rows_are_shown_as_they_were_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check(config, ["data.validation=0.2"], data_dir=config.parent)["data"]["first_rows"]
    assert list(found) == ["train", "test"]  # validation has no files of its own
    assert found["train"] == [
        {"text": "a red dirty room number 0", "label": "bad"},
        {"text": "a green spotless room number 1", "label": "good"},
        {"text": "a blue dirty room number 2", "label": "bad"},
    ]
    assert found["test"][1] == {"text": "a green spotless room number 1", "label": "bad"}
    printed = capsys.readouterr().out
    assert "first rows of train" in printed and "first rows of validation" not in printed
    assert re.search(r"a green spotless room number 1 +good", printed)


def test_the_first_rows_show_where_a_label_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"text [red] {index} " + "x" * 100, "label": ["Toys, Games", "[/]"]} for index in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = {"train": "a.jsonl", "labels": "multiple"}
    found = check(written(tmp_path, "classification", data, "mlp"), data_dir=tmp_path)["data"]["first_rows"]["train"]
    assert found[0]["label"] == ["Toys, Games", "[/]"]
    assert found[2]["text"] == "text [red] 2 " + "x" * 66 + "…"
    printed = capsys.readouterr().out
    assert '["Toys, Games", "[/]"]' in printed and "text [red] 2" in printed


def test_the_first_rows_of_pairs_and_of_documents(tmp_path: Path) -> None:
    data = {"train": parallel(tmp_path, "train", PAIRS)}
    found = check(written(tmp_path, "translation", data), data_dir=tmp_path)["data"]["first_rows"]
    assert found["train"] == [{"source": source, "target": target} for source, target in PAIRS[:3]]
    rows = [{"prompt": target, "text": source} for source, target in PAIRS]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = check(written(tmp_path, "generation", {"train": "a.jsonl"}), data_dir=tmp_path)["data"]["first_rows"]
    assert found["train"] == rows[:3]
    (tmp_path / "a.txt").write_text("".join(f"{source}\n\n" for source, _ in PAIRS), encoding="utf-8")
    found = check(written(tmp_path, "generation", {"train": "a.txt"}), data_dir=tmp_path)["data"]["first_rows"]
    assert found["train"] == [{"text": " ".join(source for source, _ in PAIRS)[:79] + "…"}]


def test_the_first_rows_of_questions_show_their_answers() -> None:
    answers = [{"text": "Ada", "start": 0}, {"text": "Ada", "start": 0}, {"text": "Ada sang", "start": 0}]
    table = module._first_rows("rows", [{"question": "Who?", "answers": answers}, {"question": "When?", "answers": []}])
    assert table.rows == [["Who?", "Ada | Ada sang"], ["When?", "[]"]]
