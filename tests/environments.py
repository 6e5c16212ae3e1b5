"""Environments that hold textapp with one extra and nothing else, as a device has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What a device has not got, and what it has besides the standard library.
BLOCKED = [
    "tensorflow",
    "keras",
    "tf_keras",
    "keras_hub",
    "keras_nlp",
    "tensorflow_model_optimization",
    "tensorflow_text",
]
SENTENCEPIECE = {"sentencepiece"}
INTERPRETER = {"ai_edge_litert"}
NUMPY = {"numpy", "cython_runtime"}

NO_INDEX = "no-index"  # a file with the reason, where there is no package index


def call(*command: object, env: dict[str, str] | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command that sees neither this checkout nor the pytest that started it."""
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("PYTEST")}
    return subprocess.run(
        list(map(str, command)), env=own | (env or {}), capture_output=True, encoding="utf-8", timeout=300, **options
    )


def make_environment(folder: Path, extra: str) -> None:
    """Makes a virtual environment by `pip install .[extra]`; `folder/bin/python` is its interpreter."""
    done = call(sys.executable, "-m", "venv", folder)
    assert done.returncode == 0, done.stderr
    # pip builds in the source folder; a copy keeps the checkout clean, and other tests undisturbed.
    source = folder / "source"
    shutil.copytree(ROOT / "textapp", source / "textapp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    done = call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"{source}[{extra}]")
    if done.returncode and ("connection" in done.stderr.lower() or "No matching distribution" in done.stderr):
        (folder / NO_INDEX).write_text(done.stderr.strip().splitlines()[-1], encoding="utf-8")
        return
    assert done.returncode == 0, done.stderr
