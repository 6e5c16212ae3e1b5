"""Training through the command line: what is left behind, what is refused, how it goes on after a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from textapp.artifact import open_artifact
from textapp.catalog import load_config

WORDS = {"good": ["fine", "great", "lovely", "superb"], "bad": ["poor", "awful", "dull", "broken"]}


def write_data(folder: Path, rows: int = 64) -> Path:
    """A headed tsv in which single words tell the label."""
    lines = ["text\tlabel"]
    for index in range(rows):
        label = ("good", "bad")[index % 2]
        word = WORDS[label][index // 2 % 4]
        lines.append(f"number {index} was a {word} thing\t{label}")
    file = folder / "data.tsv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def write_config(folder: Path, **changes: object) -> Path:
    config = {
        "task": "classification",
        "run": str(folder / "run"),
        "data": {"train": "data.tsv", "validation": 0.25},
        "lengths": [16],
        "model": {"architecture": "mlp", "embedding_dim": 8, "ngrams": 1},
        "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
        **changes,
    }
    file = folder / "run.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, textapp_here) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder)
    done = textapp_here("train", write_config(folder), "--data-dir", folder)
    assert done.code == 0, done.stderr
    return folder


def test_the_run_folder_is_complete(trained: Path) -> None:
    run = open_artifact(trained / "run")
    assert run.kind == "run" and run.manifest["labels"] == ["bad", "good"]
    tokens = run.manifest["tokenizer"]["vocabulary_size"]
    assert run.manifest["parameters"] == tokens * 8 + 8 * 2 + 2  # the embedding, then the logits and their bias
    for name in ("model.keras", "config.yaml", "metrics.json", "tokenizer/settings.json"):
        assert name in run.manifest["files"]
    assert (run.path / "checkpoints").is_dir() and not (trained / "run.textapp-work").exists()
    assert load_config(run.path / "config.yaml").training.learning_rate is not None
    metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["validation"]["examples"] == 16 and len(metrics["training"]["history"]) == 2


def test_a_finished_run_is_never_touched(trained: Path, textapp_here) -> None:
    before = (trained / "run" / "manifest.json").stat().st_mtime_ns
    done = textapp_here("train", trained / "run.yaml", "--data-dir", trained)
    assert done.code == 1 and "--overwrite" in done.stderr and "Traceback" not in done.stderr
    assert (trained / "run" / "manifest.json").stat().st_mtime_ns == before


def test_tensorflow_does_not_greet(trained: Path, run_textapp) -> None:
    done = run_textapp("train", trained / "run.yaml", "--data-dir", trained, "--run", trained / "quiet")
    assert done.code == 0
    for noise in ("oneDNN", "absl", "cuda", "WARNING"):
        assert noise not in done.stderr
    assert "epoch 2/2" in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ["data.tsv"]),
        (b"text\tlabel\n", ["data.tsv"]),
        (b"txt\tlabel\na\tx\nb\ty\n", ["text", "data.tsv"]),
        (b"text\tlabel\na\tx\nb\tx\n", ["only the label", "'x'"]),
        (b"text\tlabel\na\tx\n\xff\xfe\ty\n", ["data.tsv", "3", "UTF-8"]),
    ],
    ids=["empty", "header alone", "missing column", "one class", "broken UTF-8"],
)
def test_bad_data_is_named_and_leaves_the_finished_run(
    trained: Path, tmp_path: Path, textapp_here, content: bytes, expected: list[str]
) -> None:
    (tmp_path / "data.tsv").write_bytes(content)
    manifest = (trained / "run" / "manifest.json").read_bytes()
    done = textapp_here("train", trained / "run.yaml", "--data-dir", tmp_path, "--overwrite")
    assert done.code == 1 and "Traceback" not in done.stderr, done.stderr
    for part in expected:
        assert part in done.stderr
    assert (trained / "run" / "manifest.json").read_bytes() == manifest


def test_a_misspelt_key_ends_with_2(trained: Path, textapp_here) -> None:
    done = textapp_here("train", trained / "run.yaml", "--set", "training.epocs=1")
    assert done.code == 2 and "did you mean 'epochs'" in done.stderr


def weights(run: Path) -> list:
    from textapp.models.saving import load_model

    return load_model(run / "model.keras").get_weights()


def stopped_at(config: Path, line: str, stop: int) -> int:
    """The exit code of a training that gets a signal as soon as its stderr shows a line that begins with `line`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "textapp", "train", str(config), "--data-dir", str(config.parent)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    next(shown for shown in process.stderr if shown.startswith(line))
    process.send_signal(stop)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stop_before_the_first_epoch_has_the_same_codes(tmp_path: Path, textapp_here, stop: int, code: int) -> None:
    write_data(tmp_path)
    config = write_config(tmp_path)
    assert stopped_at(config, "data: ", stop) == code
    assert not (tmp_path / "run").exists()
    assert textapp_here("train", config, "--data-dir", tmp_path).code == 0


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_only_a_run_is_replaced_by_a_run(tmp_path: Path, textapp_here, overwrite: list[str]) -> None:
    write_data(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    done = textapp_here("train", write_config(tmp_path), "--data-dir", tmp_path, *overwrite)
    assert done.code == 2 and "exists and is not a run" in done.stderr
    assert (tmp_path / "run" / "thesis.txt").read_text() == "years of work"


def write_long(folder: Path) -> Path:
    """The config of a training that lasts long enough to be stopped in its third epoch."""
    write_data(folder, rows=400)
    return write_config(folder, training={"epochs": 30, "batch_size": 8, "device": "cpu", "patience": 0})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, textapp_here) -> list:
    """The weights of that training when nothing stops it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert textapp_here("train", write_long(folder), "--data-dir", folder).code == 0
    return weights(folder / "run")


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGKILL, -9)])
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, textapp_here, undisturbed: list, stop: int, code: int
) -> None:
    config = write_long(tmp_path)
    assert stopped_at(config, "epoch 3/", stop) == code
    assert not (tmp_path / "run").exists() and (tmp_path / "run.textapp-work").is_dir()

    other = textapp_here("train", config, "--data-dir", tmp_path, "--set", "training.learning_rate=0.5")
    assert other.code == 1 and "training.learning_rate" in other.stderr

    resumed = textapp_here("train", config, "--data-dir", tmp_path)
    assert resumed.code == 0 and "resuming" in resumed.stderr and "epoch 1/30" not in resumed.stderr
    for one, two in zip(weights(tmp_path / "run"), undisturbed, strict=True):
        assert (one == two).all()


@pytest.mark.parametrize("architecture", ["mlp", "transformer"])
def test_word_vectors_bring_their_width(tmp_path: Path, textapp_here, architecture: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"  # which the small vocabulary of these texts surely holds
    lines = [f"{letter} " + " ".join(["9.5"] * 6) for letter in letters]
    (tmp_path / "words.vec").write_text("\n".join([f"{len(lines)} 6", *lines]) + "\n", encoding="utf-8")
    write_data(tmp_path)
    size = {"ngrams": 1} if architecture == "mlp" else {"hidden_dim": 8, "num_layers": 1, "num_heads": 2}
    model = {"architecture": architecture, "vectors": "words.vec", **size}
    done = textapp_here("train", write_config(tmp_path, model=model), "--data-dir", tmp_path)
    assert done.code == 0 and "words.vec: vectors for" in done.stderr, done.stderr
    assert load_config(tmp_path / "run" / "config.yaml").model.embedding_dim == 6
    # two epochs move a weight by far less than 1, and no other weight is nearly as large
    assert any(array.shape[-1:] == (6,) and (array > 8).any() for array in weights(tmp_path / "run"))


def test_pairs_and_several_labels(tmp_path: Path, textapp_here) -> None:
    rows = [
        {"a": f"text {index} {word}", "b": f"more {index}", "tags": [tag, "all"]}
        for index, (tag, word) in enumerate([("x", "red"), ("y", "blue"), ("x", "pink"), ("y", "navy")] * 10)
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    columns = {"text": "a", "text_pair": "b", "label": "tags"}
    config = write_config(
        tmp_path,
        data={"train": "data.jsonl", "columns": columns, "labels": "multiple"},
        training={"epochs": 20, "batch_size": 8, "learning_rate": 0.05, "device": "cpu"},
    )
    done = textapp_here("train", config, "--data-dir", tmp_path)
    assert done.code == 0, done.stderr
    answer = textapp_here("predict", tmp_path / "run", "text 1 red", "--pair", "more", "--json")
    assert answer.code == 0, answer.stderr
    row = json.loads(answer.stdout)
    assert "all" in row["label"] and set(row["probabilities"]) == {"all", "x", "y"}
    assert row["input"] == ["text 1 red", "more"]


# --- models that write ---------------------------------------------------------------------------------------------

ENGLISH, GERMAN = ["one", "two", "red", "big"], ["eins", "zwei", "rot", "gross"]


def write_pairs(folder: Path, rows: int = 48) -> None:
    """Parallel files of three words each, translated word by word."""
    chosen = [[(row // 4**place + place) % 4 for place in range(3)] for row in range(rows)]
    for name, words in (("train.en", ENGLISH), ("train.de", GERMAN)):
        lines = [" ".join(words[word] for word in row) for row in chosen]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


TRANSLATION = {
    "task": "translation",
    "data": {
        "train": {"source": "train.en", "target": "train.de"}, "validation": 0.2, "test": 0.1,
        "source_language": "en", "target_language": "de",
    },
    "tokenizer": {"kind": "characters", "vocabulary_size": 64},
    "lengths": None,
}  # fmt: skip
TINY = {"architecture": "transformer", "hidden_dim": 8, "num_layers": 1, "num_heads": 2}
TINY_LSTM = {"architecture": "lstm", "embedding_dim": 8, "units": [8]}


@pytest.mark.parametrize(("model", "shared"), [(TINY, True), (TINY_LSTM, False)], ids=["transformer", "lstm"])
def test_a_translator_from_files_to_a_run_folder(tmp_path: Path, textapp_here, model: dict, shared: bool) -> None:
    write_pairs(tmp_path)
    changes = {**TRANSLATION, "model": model, "tokenizer": {**TRANSLATION["tokenizer"], "shared": shared}}
    training = {"epochs": 2, "batch_tokens": 256, "gradient_accumulation_steps": 2}
    training |= {"average_checkpoints": 2, "device": "cpu"}
    config = write_config(tmp_path, **changes, training=training)
    done = textapp_here("train", config, "--data-dir", tmp_path)
    assert done.code == 0, done.stderr
    assert "epoch 2/2" in done.stderr and "validation_bleu" in done.stderr and "  > " in done.stderr
    run = open_artifact(tmp_path / "run")
    manifest = run.manifest
    assert manifest["task"] == "translation" and manifest["languages"] == ["en", "de"]
    assert manifest["shared_tokenizer"] is shared
    assert [read for read, _ in manifest["generate_lengths"]] == manifest["lengths"]
    assert ("target_tokenizer/settings.json" in manifest["files"]) is not shared
    metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    for split in ("validation", "test"):
        assert {"bleu", "chrf", "bleu_signature", "perplexity", "examples", "data"} <= set(metrics[split])
    assert metrics["training"]["average"]["epochs"] == 2
    answer = textapp_here("predict", run.path, "one two", "--json")
    assert answer.code == 0 and set(json.loads(answer.stdout)) == {"input", "output", "score"}, answer.stderr


def test_pairs_too_long_for_the_lengths_are_dropped_with_their_number(tmp_path: Path, textapp_here) -> None:
    write_pairs(tmp_path)
    for name in ("train.en", "train.de"):
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write("one " * 30 + "\n")
    data = {**TRANSLATION["data"], "validation": {"source": "train.en", "target": "train.de"}, "test": None}
    changes = {**TRANSLATION, "data": data, "lengths": [24], "generate_lengths": [[24, 24]], "model": TINY}
    training = {"epochs": 1, "batch_size": 8, "device": "cpu"}
    done = textapp_here("train", write_config(tmp_path, **changes, training=training), "--data-dir", tmp_path)
    assert done.code == 0, done.stderr
    assert "dropped 1 of 49 training pairs: a source of more than 24 tokens" in done.stderr


# Running text makes the same windows for both models; documents are packed for one that separates them.
@pytest.mark.parametrize(
    ("model", "running"),
    [(TINY, True), (TINY, False), (TINY_LSTM, False)],
    ids=["running text", "documents with prompts", "documents for an lstm"],
)
def test_a_language_model_from_files_to_a_run_folder(tmp_path: Path, textapp_here, model: dict, running: bool) -> None:
    lines = [f"{index} {ENGLISH[index % 4]} and {index + 100} {ENGLISH[index // 4 % 4]}." for index in range(64)]
    text = "\n".join(lines)
    rows = [dict(zip(("prompt", "text"), line.split(" and "), strict=True)) for line in lines]
    (tmp_path / "data.txt").write_text(text, encoding="utf-8")
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    changes = {
        "task": "generation",
        "data": {"train": "data.txt" if running else "data.jsonl", "validation": 0.2, "language": "en"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 64},
        "lengths": [32],
        "generate_lengths": [[16, 8]],
        "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
    }
    done = textapp_here("train", write_config(tmp_path, **changes, model=model), "--data-dir", tmp_path)
    assert done.code == 0, done.stderr
    assert "validation_perplexity" in done.stderr and "nats per character" in done.stderr
    manifest = open_artifact(tmp_path / "run").manifest
    assert manifest["running_text"] is running and manifest["context"] == 32
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["validation"]["nats_per_character"] > 0 and ("answers" in metrics["validation"]) is not running
    answer = textapp_here("predict", tmp_path / "run", "the red", "--json")
    assert answer.code == 0 and set(json.loads(answer.stdout)) == {"input", "output", "score"}, answer.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two red big", "expected more than 64, the length of a window"),
        ("one two red big " * 20 + "x", "data.validation: found less than two tokens"),
    ],
    ids=["training", "validation"],
)
def test_running_text_too_short_is_refused(tmp_path: Path, textapp_here, text: str, expected: str) -> None:
    (tmp_path / "data.txt").write_text(text, encoding="utf-8")
    changes = {
        "task": "generation", "data": {"train": "data.txt", "validation": 1e-3}, "lengths": [64], "model": TINY,
        "tokenizer": {"kind": "characters", "vocabulary_size": 64}, "training": {"epochs": 1, "device": "cpu"},
    }  # fmt: skip
    done = textapp_here("train", write_config(tmp_path, **changes), "--data-dir", tmp_path)
    assert done.code == 1 and expected in done.stderr, done.stderr
