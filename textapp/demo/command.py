"""`textapp demo`: trains, exports and benchmarks four tasks on generated samples in two languages, in minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.catalog import parse_config
from textapp.commands import tables
from textapp.commands.benchmark import benchmark
from textapp.commands.export import export
from textapp.commands.train import train_config
from textapp.demo.samples import DOCUMENTS, write_samples
from textapp.errors import TextappError, UsageError
from textapp.export.options import ExportOptions


class Part(NamedTuple):
    """One task of the demo.

    Attributes:
        config: without `run`.
        suffix: of its run folder.
        quantize: number format of the second export, besides float32.
        texts: to answer; neither they nor similar ones are in the samples.
        documents: whether `texts` are questions, to be answered from the documents of the samples.
    """

    config: dict[str, Any]
    suffix: str
    quantize: str
    texts: tuple[str, ...]
    documents: bool = False


CLASSIFICATION = Part(
    {
        "task": "classification",
        "data": {"train": "train.tsv", "test": "test.tsv"},
        "model": {"architecture": "cnn"},
    },
    suffix="",
    quantize="auto",
    texts=("你好，我是人工智能助手。", "This phone is great, I love it."),
)
TRANSLATION = Part(
    {
        "task": "translation",
        "data": {
            "train": {"source": "train.zh", "target": "train.en"},
            "validation": 0.02,
            "test": {"source": "test.zh", "target": "test.en"},
        },
        "tokenizer": {"kind": "bpe", "vocabulary_size": 1000},
        "model": {
            "architecture": "transformer", "hidden_dim": 128, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.1
        },
        "training": {"epochs": 6, "batch_tokens": 1024, "learning_rate": 2e-3},
    },
    suffix="-translation",
    quantize="dynamic",
    texts=("今天天气很好。",),
)  # fmt: skip
GENERATION = Part(
    {
        "task": "generation",
        "data": {"train": "train.jsonl", "validation": 0.02, "test": "test.jsonl"},
        "tokenizer": {"kind": "bpe", "vocabulary_size": 2000},
        "model": {"architecture": "transformer", "hidden_dim": 128, "num_layers": 2},
        "training": {"epochs": 8, "batch_tokens": 1024, "learning_rate": 2e-3},
    },
    suffix="-generation",
    quantize="dynamic",
    texts=("春天的景色。",),
)
QUESTION_ANSWERING = Part(
    {
        "task": "question_answering",
        "data": {"train": "train.json", "validation": 0.05, "test": "test.json"},
        "tokenizer": {
            "kind": "wordpiece",
            "vocabulary_size": 2000,
        },  # of both languages: characters, and parts of words
        "model": {"architecture": "lstm", "embedding_dim": 64, "units": [64], "dropout": 0.2},
        "training": {"epochs": 5, "batch_size": 32, "learning_rate": 6e-3},
    },
    suffix="-question-answering",
    quantize="dynamic",
    texts=("什么是人工智能？", "What is artificial intelligence?"),
    documents=True,
)
PARTS = (CLASSIFICATION, TRANSLATION, GENERATION, QUESTION_ANSWERING)

# Modules that are blocked when the bundle answers.
HIDDEN = ("tensorflow", "keras", "tf_keras", "keras_hub", "tensorflow_text", "tensorflow_model_optimization")
MARK = "textapp-demo.txt"  # in the folder of the samples
ANSWER = """
import sys
for name in {hidden!r}:
    sys.modules[name] = None  # importing it fails from here on
import textapp
predictor = textapp.load(sys.argv[1])
for text in sys.argv[2:]:
    print(f"  {{text}}  ->  {{predictor(text)}}")
"""
ASK = """
import sys
for name in {hidden!r}:
    sys.modules[name] = None
from pathlib import Path
from textapp.commands.ask import ask
for question in sys.argv[3:]:
    print(f"  {{question}}  ->  ", end="", flush=True)
    ask(Path(sys.argv[1]), documents=Path(sys.argv[2]), questions=[question])
"""


def demo(folder: Path) -> None:
    """Trains, exports, answers without TensorFlow, and prints a table, for each task.

    Args:
        folder: the run folder of the classifier; the samples and the other runs are written beside it.

    Raises:
        UsageError: one of these folders exists, and is not of a demo before.
    """
    samples = folder.with_name(folder.name + "-data")
    check_places([folder.with_name(folder.name + part.suffix) for part in PARTS], samples)
    tables.note(f"1. samples: reviews, sentence pairs, passages and questions, English and Chinese, in {samples}")
    write_samples(samples)
    (samples / MARK).write_text("textapp demo writes this folder, and replaces the runs beside it.\n", encoding="utf-8")
    for number, part in enumerate(PARTS, start=2):
        show(part, number, folder.with_name(folder.name + part.suffix), samples)


def check_places(runs: Sequence[Path], samples: Path) -> None:
    """Checks that the demo replaces nothing but what one before it made.

    Args:
        runs: the folders of the runs.
        samples: that of the samples, where the mark of a demo is.

    Raises:
        UsageError: one of the folders holds something else.
    """
    for folder in () if (samples / MARK).is_file() else [*runs, samples]:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder}: exists and is not of a demo: use --run DIR with another name, or move it away")


def show(part: Part, number: int, folder: Path, samples: Path) -> None:
    """Runs the demo of one task, from training to the table.

    Args:
        part: the task.
        number: of this step, for messages.
        folder: the run folder.
        samples: the folder of the samples.
    """
    task = part.config["task"]
    config = parse_config({**part.config, "run": str(folder)})
    tables.note(f"{number}. {task}: train")
    run = train_config(config, samples, overwrite=True)
    tables.note(f"{number}. {task}: export for LiteRT, in float32 and in a faster format")
    whole = export(run, ExportOptions(quantize="none"), output=run / "exports" / "litert-float32")
    best = export(run, ExportOptions(quantize=part.quantize))
    tables.note(f"{number}. {task}: the bundle answers, in a process that cannot import TensorFlow")
    answer_without_tensorflow(best, part.texts, samples / DOCUMENTS if part.documents else None)
    tables.note(f"{number}. {task}: speed and quality on the test split")
    benchmark([run, whole, best])


def answer_without_tensorflow(bundle: Path, texts: Sequence[str], documents: Path | None = None) -> None:
    """Answers texts with a bundle in a child process where TensorFlow cannot be imported.

    Args:
        bundle: of a model.
        texts: to answer.
        documents: the folder that has the answers, as for `textapp ask`; None: the bundle needs none.

    Raises:
        TextappError: the process failed.
    """
    code = (ANSWER if documents is None else ASK).format(hidden=HIDDEN)
    places = [str(bundle)] if documents is None else [str(bundle), str(documents)]
    done = subprocess.run(
        [sys.executable, "-c", code, *places, *texts],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    if done.returncode:
        raise TextappError(f"{bundle}: cannot answer without TensorFlow:\n{done.stderr.strip()}")
    print(done.stdout, end="", flush=True)
