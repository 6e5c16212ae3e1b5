"""Which keys serve which task: a key that would do nothing is an error, not a silence."""

from __future__ import annotations

from typing import Any

from textapp.config.data import Columns, ParallelFiles
from textapp.config.parts import Model
from textapp.errors import did_you_mean

_CLASSIFICATION, _TRANSLATION, _GENERATION = ("classification",), ("translation",), ("generation",)
_WRITERS = ("translation", "generation")  # the tasks whose answer is text

# What each task can be done by.
ARCHITECTURES = {
    "classification": ("mlp", "cnn", "lstm", "transformer", "preset"),
    "translation": ("transformer", "lstm", "preset"),
    "generation": ("transformer", "lstm", "preset"),
}

# Keys that not every task has, and the tasks that have them. `model` keys are those of any architecture.
_OWNERS = {
    "data.columns.text": ("classification", "generation"),
    "data.columns.text_pair": _CLASSIFICATION,
    "data.columns.label": _CLASSIFICATION,
    "data.columns.source": _TRANSLATION,
    "data.columns.target": _TRANSLATION,
    "data.columns.prompt": _GENERATION,
    "data.pattern": _CLASSIFICATION,
    "data.labels": _CLASSIFICATION,
    "data.language": ("classification", "generation"),
    "data.source_language": _TRANSLATION,
    "data.target_language": _TRANSLATION,
    "tokenizer.shared": _TRANSLATION,
    "generate_lengths": _WRITERS,
    "model.encoder_layers": _TRANSLATION,
    "model.decoder_layers": _TRANSLATION,
    "model.bidirectional": ("classification", "translation"),
    "model.dense_units": _CLASSIFICATION,
    "model.vectors": _CLASSIFICATION,
    "model.tie_embeddings": _WRITERS,
    "model.lora_rank": _WRITERS,
    "training.batch_tokens": _WRITERS,
    "training.class_weights": _CLASSIFICATION,
}

_MONITORS = {
    "classification": ("accuracy", "f1_macro", "loss"),
    "translation": ("bleu", "chrf", "perplexity", "loss"),
    "generation": ("perplexity", "loss"),
}


def columns_of(task: str) -> list[str]:
    """The keys of `data.columns` that a task has: `columns_of("translation")` is `["source", "target"]`."""
    return [name for name in Columns.model_fields if task in _OWNERS[f"data.columns.{name}"]]


def misfits(config: Any) -> list[str]:
    """A line for everything in a config that its task cannot use: the key, what was found, what is expected."""
    return [
        *unserved(config.task, config.model.architecture),
        *_keys(config),
        *_files(config),
        *_monitor(config),
        *_tokenizer(config),
    ]


def unserved(task: Any, architecture: Any) -> list[str]:
    """A line where a known architecture cannot do a known task; of unknown ones it says nothing."""
    served = ARCHITECTURES.get(task, ())
    if not served or architecture in served or architecture not in ARCHITECTURES["classification"]:
        return []
    return [
        f"model.architecture: found {architecture!r}, which cannot write text, for task {task}; expected one of "
        f"{', '.join(served)}"
    ]


def _keys(config: Any) -> list[str]:
    lines = []
    for key, tasks in _OWNERS.items():
        found = _given(config, key)
        if found is None or config.task in tasks:
            continue
        *parents, last = key.split(".")
        known = [other.rsplit(".", 1)[-1] for other, owners in _OWNERS.items()
                 if other.rsplit(".", 1)[:-1] == [".".join(parents)] and config.task in owners]  # fmt: skip
        instead = f"; it has {', '.join(known)}" if parents == ["data", "columns"] else did_you_mean(last, known)
        lines.append(f"{key}: found {found!r}, but task {config.task} has no such key{instead}"
                     f" (it is for {' and '.join(tasks)})")  # fmt: skip
    if config.task != "classification" and config.model.architecture == "transformer" and config.model.embedding_dim:
        lines.append(
            f"model.embedding_dim: found {config.model.embedding_dim}, but for task {config.task} the embeddings of a"
            f" transformer are as wide as model.hidden_dim: leave it out"
        )
    return lines


def _given(config: Any, key: str) -> Any:
    """The value at a dotted key; None where it stands at its default, or where there is no such part."""
    part, default = config, None
    for name in key.split("."):
        if not isinstance(part, Model) or name not in type(part).model_fields:
            return None
        default, part = type(part).model_fields[name].default, getattr(part, name)
    return None if part == default else part


def _files(config: Any) -> list[str]:
    data, lines = config.data, []
    for name in ("train", "validation", "test"):
        if isinstance(getattr(data, name), ParallelFiles) and config.task != "translation":
            lines.append(f"data.{name}: found parallel files, which only task translation reads; task {config.task}"
                         f" expects a path, a glob, or a list of them")  # fmt: skip
    return lines


def _monitor(config: Any) -> list[str]:
    found, known = config.training.monitor, _MONITORS[config.task]
    if found is None or found in known:
        return []
    return [f"training.monitor: found {found!r}, expected one of {', '.join(known)} for task {config.task}"]


def _tokenizer(config: Any) -> list[str]:
    if config.task == "classification" or config.tokenizer is None:
        return []
    if config.model.architecture == "preset" and config.tokenizer.shared is False:
        return ["tokenizer.shared: found false, but a preset has one vocabulary for both sides: leave it out"]
    if config.tokenizer.kind != "wordpiece":
        return []
    return [
        f"tokenizer.kind: found 'wordpiece', which forgets where spaces were; expected one of sentencepiece, bpe,"
        f" characters for task {config.task}"
    ]
