from __future__ import annotations

import json
from pathlib import Path

import pytest

from textapp.commands import check as module
from textapp.commands.check import check
from textapp.errors import ConfigError, DataError

COLOURS = ("red", "green", "blue", "white", "black", "brown", "pink", "grey")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """120 training rows of two labels; of the 4 test rows one stands in train, one there with the other label."""
    monkeypatch.setattr(module, "environment", lambda: {"warnings": []})
    monkeypatch.setattr(module, "_show_environment", lambda console, machine: None)
    rows = [
        f"a {COLOURS[index % 8]} {('dirty', 'spotless')[index % 2]} room number {index}\t{('bad', 'good')[index % 2]}"
        for index in range(120)
    ]
    test = [rows[0], rows[1].replace("\tgood", "\tbad"), "a broad street 龘\tgood", "a noisy street\tbad"]
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "test.tsv").write_text("text\tlabel\n" + "\n".join(test) + "\n", encoding="utf-8")
    file = tmp_path / "config.yaml"
    data = {"train": "train.tsv", "test": "test.tsv", "validation": "test.tsv"}
    content = {"task": "classification", "run": "never", "data": data, "model": {"architecture": "mlp"}}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


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
