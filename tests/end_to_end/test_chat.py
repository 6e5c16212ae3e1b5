"""Chat with a preset as it is: the run and its bundle say the same, the bundle without TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras_hub")
pytest.importorskip("jinja2")
from environments import BLOCKED  # noqa: E402
from talks import CHATML, write_words  # noqa: E402

import textapp  # noqa: E402
from textapp.catalog import parse_config  # noqa: E402
from textapp.commands.export import export  # noqa: E402
from textapp.commands.train import train_config  # noqa: E402
from textapp.export.options import ExportOptions  # noqa: E402

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))  # None: importing it raises ImportError
import textapp
predictor = textapp.load(sys.argv[2])
print(json.dumps([predictor.chat(messages).output for messages in json.loads(sys.argv[3])]))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run and its bundle."""
    folder = tmp_path_factory.mktemp("chat")
    raw = {
        "task": "generation", "run": str(folder / "run"), "lengths": [64], "generate_lengths": [[16, 8], [32, 8]],
        "model": {"architecture": "preset", "path": str(write_words(folder / "preset"))},
        "training": {"epochs": 0, "device": "cpu"},
    }  # fmt: skip
    run = train_config(parse_config(raw), folder)
    return {"run": run, "litert": export(run, ExportOptions("litert", "none"))}


def talk(predictor: Any, texts: list[str]) -> list[str]:
    messages: list[dict[str, str]] = [{"role": "system", "content": "w9"}]
    for text in texts:
        messages.append({"role": "user", "content": text})
        messages.append(predictor.chat(messages, **DRAWN).message)
    return [message["content"] for message in messages if message["role"] == "assistant"]


TEXTS = ["w3 w4", "w20", "w5"]
DRAWN: dict[str, Any] = {"temperature": 1.5, "seed": 4}  # greedy, the random weights say one word for ever


def test_run_and_bundle_say_the_same(folders: dict[str, Path]) -> None:
    answers = {name: talk(textapp.load(path), TEXTS) for name, path in folders.items()}
    assert answers["run"] == answers["litert"]
    assert all(answers["run"]) and len(set(answers["run"])) > 1
    for path in folders.values():
        assert (path / "tokenizer" / "chat_template.jinja").read_text(encoding="utf-8") == CHATML


@pytest.mark.parametrize("name", ["run", "litert"])
def test_a_turn_of_a_chat_is_that_of_a_fresh_reading(folders: dict[str, Path], name: str) -> None:
    kept = textapp.load(folders[name])
    messages: list[dict[str, str]] = []
    for text in TEXTS:
        messages.append({"role": "user", "content": text})
        kept_before = [reading.fresh for _, reading in kept._readings]
        answer = kept.chat(messages, **DRAWN)
        assert answer.output == textapp.load(folders[name]).chat(messages, **DRAWN).output
        if kept_before:
            assert [reading.fresh for _, reading in kept._readings] == kept_before  # no prefill in between
        messages.append(answer.message)


def test_it_is_the_plain_continuation_of_the_rendered_text(folders: dict[str, Path]) -> None:
    predictor = textapp.load(folders["run"])
    tokenizer = predictor.tokenizer
    ids = tokenizer.marked_ids("<|im_start|>user\nw3 w4<|im_end|>\n<|im_start|>assistant\n")
    assert ids == [58, 1, 6, 7, 59, 58, 2]
    signature, length = predictor.task.signature(len(ids))
    outputs = predictor.runner.run(signature, {
        "token_ids": [[*ids, *[tokenizer.pad_id] * (length - len(ids))]], "num_tokens": [len(ids)]
    })  # fmt: skip
    expected = predictor.task.decode(outputs["token_ids"][0].tolist())
    assert predictor.chat([{"role": "user", "content": "w3 w4"}]).output == expected


def test_a_copied_bundle_chats_with_tensorflow_blocked(folders: dict[str, Path], tmp_path: Path) -> None:
    bundle = shutil.copytree(folders["litert"], tmp_path / "bundle")
    asked = [[{"role": "user", "content": text}] for text in TEXTS]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", PROGRAM, json.dumps(BLOCKED), str(bundle), json.dumps(asked)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    predictor = textapp.load(folders["run"])
    assert json.loads(done.stdout) == [predictor.chat(messages).output for messages in asked]
