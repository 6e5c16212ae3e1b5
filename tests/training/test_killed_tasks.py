"""A training by the command that is killed at random moments ends as an undisturbed one: each task but classification.

That of a classifier is killed in `test_trainer.py`.
"""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from textapp.processes import child_environment

SCRIPT = Path(__file__).with_name("killed_command.py")
WORDS = ["a", "bad", "cat", "dog", "fine", "good", "great", "in", "of", "on", "plot", "poor", "the", "very", "was"]
KILLS = 4
LSTM = {"architecture": "lstm", "embedding_dim": 8, "units": [8], "dropout": 0.2}
BY_TOKENS = {"training": {"batch_tokens": 64}}
ANSWERS = {"task": "question_answering", "lengths": [24]}
TASKS: dict[str, dict[str, Any]] = {
    "translation": {"task": "translation", "generate_lengths": [[16, 4]], **BY_TOKENS},
    "documents": {"task": "generation", "lengths": [20], "generate_lengths": [[12, 4]], **BY_TOKENS},
    "found answers": {**ANSWERS, "stride": 4, "training": {"batch_size": 6}},
    "written answers": {**ANSWERS, "mode": "generative", "generate_lengths": [[24, 4]], **BY_TOKENS},
}


def rows(task: str, choice: random.Random, count: int) -> list[dict[str, str]]:
    def words(most: int) -> str:
        return " ".join(choice.choices(WORDS, k=choice.randint(2, most)))

    def row() -> dict[str, str]:
        one, other = words(9), words(4)
        match task:
            case "translation":
                return {"source": one, "target": other}
            case "documents":
                return {"prompt": other, "text": one}
        return {"question": other, "context": one, "answer": one.split()[-1]}

    return [row() for _ in range(count)]


def weights(run: Path) -> dict[str, np.ndarray]:
    """The arrays of a finished model."""
    found: dict[str, np.ndarray] = {}
    content = zipfile.ZipFile(run / "model.keras").read("model.weights.h5")
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(config)]
    return subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_kills_at_random_moments_change_nothing(name: str, tmp_path: Path) -> None:
    """In steps, in saves, in the validation between epochs, which decodes."""
    choice, dice = random.Random(3), random.Random(5)
    for part, count in (("train", 64), ("val", 4)):
        content = "".join(json.dumps(row) + "\n" for row in rows(name, choice, count))
        (tmp_path / f"{part}.jsonl").write_text(content)
    own = dict(TASKS[name])
    training = {**own.pop("training"), "epochs": 12, "patience": 0, "device": "cpu"}
    data = {"train": "train.jsonl", "validation": "val.jsonl"}
    for run in ("whole", "cut"):
        config = {**own, "run": str(tmp_path / run), "data": data, "model": LSTM, "training": training}
        (tmp_path / f"{run}.yaml").write_text(json.dumps(config))
    assert start(tmp_path / "whole.yaml").wait(timeout=900) == 0
    kills = 0
    for _ in range(KILLS):
        process = start(tmp_path / "cut.yaml")
        assert process.stdout is not None
        if process.stdout.readline() != "begun\n":
            break  # it had ended
        time.sleep(dice.uniform(0, 1.5))
        process.kill()
        kills += process.wait(timeout=300) == -signal.SIGKILL
    assert start(tmp_path / "cut.yaml").wait(timeout=900) == 0 or (tmp_path / "cut" / "model.keras").is_file()
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == other.keys() and kills >= 3
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)
