"""Which keys serve which task: a key that would do nothing is an error, not a silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textapp.config.data import ParallelFiles
from textapp.config.model import Role, architectures
from textapp.config.parts import Model
from textapp.errors import did_you_mean

if TYPE_CHECKING:
    from textapp.config.run import Config


@dataclass(frozen=True)
class TaskKeys:
    """What a config may say for one task.

    Attributes:
        role: what the model has to be.
        columns: field of a record -> the names that its column usually has; `()`: only where a config names it.
        keys: of the keys that not every task has, those of this one, dotted: `training.batch_tokens`.
        monitors: validation figures that may decide which epoch is kept.
        parallel_files: examples may come as two files whose lines belong together.
    """

    role: Role
    columns: Mapping[str, tuple[str, ...]]
    keys: frozenset[str]
    monitors: tuple[str, ...]
    parallel_files: bool = False

    @property
    def architectures(self) -> list[str]:
        """The architectures that serve the task."""
        return [name for name, part in architectures().items() if self.role in part.roles]


Known = Mapping[str, TaskKeys]  # task -> its keys


def misfits(config: Config, known: Known) -> list[str]:
    """A line for everything in a config that its task cannot use: the key, what was found, what is expected."""
    keys = known[config.task]
    return [
        *unserved(config.task, config.model.architecture, known),
        *_columns(config, known),
        *_other_keys(config, known),
        *config.model.misfits(config.task, keys.role),
        *_files(config, known),
        *_monitor(config, keys),
        *_tokenizer(config, keys),
        *_lengths(config, keys),
    ]


def unserved(task: str, architecture: str, known: Known) -> list[str]:
    """A line where a known architecture does not serve a known task; of unknown ones it says nothing."""
    if task not in known or architecture not in architectures() or architecture in known[task].architectures:
        return []
    return [
        f"model.architecture: found {architecture!r}, which cannot generate text, for task {task}; expected one of "
        f"{', '.join(known[task].architectures)}"
    ]


def _columns(config: Config, known: Known) -> list[str]:
    """Columns of fields that the task does not have."""
    own, lines = known[config.task].columns, []
    for field, column in config.data.columns.items():
        if field not in own:
            owners = [task for task, keys in known.items() if field in keys.columns]
            other = f" (it is for {' and '.join(owners)})" if owners else did_you_mean(field, own)
            lines.append(
                f"data.columns.{field}: found {column!r}, but task {config.task} has no such key; it has "
                f"{', '.join(own)}{other}"
            )
    return lines


def _other_keys(config: Config, known: Known) -> list[str]:
    """Keys that only other tasks have."""
    own, lines = known[config.task].keys, []
    for key in dict.fromkeys(key for keys in known.values() for key in sorted(keys.keys)):
        value = None if key in own else _given(config, key)
        if value is None:
            continue
        parent, _, last = key.rpartition(".")
        near = did_you_mean(last, [other.rpartition(".")[2] for other in own if other.rpartition(".")[0] == parent])
        owners = " and ".join(task for task, keys in known.items() if key in keys.keys)
        lines.append(f"{key}: found {value!r}, but task {config.task} has no such key{near} (it is for {owners})")
    return lines


def _given(config: Any, key: str) -> Any:
    """The value at a dotted key; None where it has its default, or where there is no such part."""
    part, default = config, None
    for name in key.split("."):
        if not isinstance(part, Model) or name not in type(part).model_fields:
            return None
        default, part = type(part).model_fields[name].default, getattr(part, name)
    return None if part == default else part


def _files(config: Config, known: Known) -> list[str]:
    if known[config.task].parallel_files:
        return []
    readers = " and ".join(task for task, keys in known.items() if keys.parallel_files)
    return [
        f"data.{name}: found parallel files, which only task {readers} reads; task {config.task} expects a path, a"
        f" glob, or a list of them"
        for name in ("train", "validation", "test")
        if isinstance(getattr(config.data, name), ParallelFiles)
    ]


def _monitor(config: Config, keys: TaskKeys) -> list[str]:
    monitor = config.training.monitor
    if monitor is None or monitor in keys.monitors:
        return []
    return [
        f"training.monitor: found {monitor!r}, expected one of {', '.join(keys.monitors)} for task {config.task}"
        f"{did_you_mean(monitor, keys.monitors)}"
    ]


def _tokenizer(config: Config, keys: TaskKeys) -> list[str]:
    if keys.role == "encoder" or config.tokenizer is None:
        return []
    if config.model.pretrained and config.tokenizer.shared is False:
        return ["tokenizer.shared: found false, but a preset has one vocabulary for both sides: leave it out"]
    if config.tokenizer.kind != "wordpiece":
        return []
    return [
        f"tokenizer.kind: found 'wordpiece', which forgets where spaces were; expected one of sentencepiece, bpe,"
        f" characters for task {config.task}"
    ]


def _lengths(config: Config, keys: TaskKeys) -> list[str]:
    """A signature reads what the model can take: at most the longest bucket, or with new tokens the context."""
    if config.generate_lengths is None or config.lengths is None:
        return []
    longest = config.lengths[-1]
    if keys.role == "decoder":
        return [
            f"generate_lengths: found [{read}, {new}], together more than the context of {longest} tokens (lengths)"
            for read, new in config.generate_lengths
            if read + new > longest
        ]
    return [
        f"generate_lengths: found a source of {read} tokens, expected at most {longest}, the longest of lengths"
        for read, _ in config.generate_lengths
        if read > longest
    ]
