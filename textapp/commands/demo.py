"""`textapp demo`: the whole way on the bundled samples, in two languages, in a few minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from textapp.commands import tables
from textapp.commands.benchmark import benchmark
from textapp.commands.export import export
from textapp.commands.train import train_config
from textapp.config import parse_config
from textapp.errors import TextappError
from textapp.records.samples import write_samples

SENTENCES = ("你好，我是人工智能助手。", "This phone is great, I love it.")

# Names that must not be importable where the bundle answers.
HIDDEN = ("tensorflow", "keras", "tf_keras", "keras_hub", "tensorflow_text", "tensorflow_model_optimization")
ANSWER = """
import sys
for name in {hidden!r}:
    sys.modules[name] = None  # importing it fails from here on
import textapp
predictor = textapp.load(sys.argv[1])
for text in sys.argv[2:]:
    answer = predictor(text)
    print(f"  {{text}}  ->  {{answer.label}} ({{answer.probability:.2f}})")
"""


def demo(folder: Path) -> None:
    """Trains, exports, answers without TensorFlow, and prints one table.

    Args:
        folder: the run folder; the samples are written beside it.
    """
    samples = folder.with_name(folder.name + "-data")
    tables.note(f"1. samples: English and Chinese reviews, in {samples}")
    write_samples(samples)
    config = parse_config(
        {
            "task": "classification",
            "run": str(folder),
            "data": {"train": "train.tsv", "test": "test.tsv"},
            "model": {"architecture": "cnn"},
        }
    )
    tables.note("2. train")
    run = train_config(config, samples, overwrite=True)
    tables.note("3. export for LiteRT, in float32 and in the format that measures best")
    whole = export(run, quantize="none", output=run / "exports" / "litert-float32")
    best = export(run)
    tables.note("4. the bundle answers, in a process that cannot import TensorFlow")
    answer_without_tensorflow(best, SENTENCES)
    tables.note("5. speed and quality of each, on the test split")
    benchmark([run, whole, best])


def answer_without_tensorflow(bundle: Path, texts: tuple[str, ...]) -> None:
    """Answers texts with a bundle in a child process where every import of TensorFlow fails."""
    code = ANSWER.format(hidden=HIDDEN)
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), *texts],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    if done.returncode:
        raise TextappError(f"{bundle}: does not answer without TensorFlow:\n{done.stderr.strip()}")
    print(done.stdout, end="", flush=True)
