"""Checks that a task uses every key of its config: a key without effect is an error."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textapp.config.data import ParallelFiles
from textapp.config.model import Role, architectures
from textapp.config.parts import Model, shown
from textapp.errors import did_you_mean

if TYPE_CHECKING:
    from textapp.config.run import Config


MOST_EXPLAINED = 10  # unknown columns with a message of their own


@dataclass(frozen=True)
class TaskKeys:
    """The config keys of one task.

    Attributes:
        role: required of the architecture.
        columns: field of a record -> default names of its column; `()`: only if a config names one.
        optional: those of these fields that training files may lack.
        keys: those of this task among the keys that not every task has, dotted: `training.batch_tokens`.
        monitors: validation figures that can select the best epoch.
        parallel_files: whether examples may be in two parallel files.
        mode: name of the mode that the keys are for, if the task has several.
        modes: the keys of its other modes.
        roles: the keys for models of another role, by `model.role`.
    """

    role: Role
    columns: Mapping[str, tuple[str, ...]]
    keys: frozenset[str]
    monitors: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    parallel_files: bool = False
    mode: str | None = None
    modes: Mapping[str, TaskKeys] = dataclasses.field(default_factory=dict)
    roles: Mapping[str, TaskKeys] = dataclasses.field(default_factory=dict)

    def of(self, mode: str | None, role: str | None = None) -> TaskKeys:
        """The keys of a mode and a role; of the default ones, and of a task without modes, these."""
        keys = self.modes.get(mode or "", self)
        return keys.roles.get(role or "", keys)

    @property
    def every(self) -> list[TaskKeys]:
        """These keys, and those of the other modes and roles."""
        below = [other for part in (self.roles, self.modes) for keys in part.values() for other in keys.every]
        return [self, *below]

    def named(self, task: str) -> str:
        """The task with its mode, for a message."""
        return task if self.mode is None else f"{task} with mode: {self.mode}"

    @property
    def architectures(self) -> list[str]:
        """The architectures that serve the task."""
        return [name for name, part in architectures().items() if self.role in part.roles]


# What an architecture with the role can do.
ABLE = {
    "encoder": "read a text", "reader": "answer questions", "decoder": "generate text",
    "encoder-decoder": "generate text",
}  # fmt: skip
Known = Mapping[str, TaskKeys]  # task -> its keys


def misfits(config: Config, known: Known) -> list[str]:
    """An error message for everything in a config that its task cannot use."""
    keys = known[config.task].of(config.mode, config.model.role)
    return [
        *unserved(config.task, config.mode, config.model.architecture, known),
        *_columns(config, keys, known),
        *_other_keys(config, keys, known),
        *config.model.misfits(config.task, keys.role),
        *_files(config, keys, known),
        *_monitor(config, keys),
        *_as_it_is(config, keys),
        *_tokenizer(config, keys),
        *_lengths(config, keys),
    ]


def unserved(task: str, mode: str | None, architecture: str, known: Known) -> list[str]:
    """An error message if an architecture does not serve a task; none if either is unknown.

    Args:
        task: name of the task.
        mode: of the task; None: the default one.
        architecture: name of the architecture.
        known: the keys of each task.
    """
    if task not in known or architecture not in architectures():
        return []
    keys = known[task].of(mode)
    if architecture in keys.architectures:
        return []
    return [
        f"model.architecture: found {architecture!r}, which cannot {ABLE[keys.role]}, for task {task}; expected one of "
        f"{', '.join(keys.architectures)}"
    ]


def _owners(known: Known, part: str, name: str) -> list[str]:
    """The tasks with a name among their `columns` or `keys`; with the mode, if not all of its modes have it."""
    owners = []
    for task, keys in known.items():
        having = [each for each in keys.every if name in getattr(each, part)]
        owners += [task] if len(having) == len(keys.every) else [each.named(task) for each in having]
    return list(dict.fromkeys(owners))


def _columns(config: Config, keys: TaskKeys, known: Known) -> list[str]:
    """Messages for columns of fields that the task does not have."""
    columns, lines = keys.columns, []
    unknown = [field for field in config.data.columns if field not in columns]
    for field in unknown[:MOST_EXPLAINED]:
        owners = _owners(known, "columns", field)
        other = f" (it is for {' and '.join(owners)})" if owners else did_you_mean(field, columns)
        lines.append(
            f"data.columns.{shown(field, quotes=False)}: found {shown(config.data.columns[field])}, but task"
            f" {_named(config, keys, known)} has no such key; it has {', '.join(columns)}{other}"
        )
    if len(unknown) > MOST_EXPLAINED:
        lines.append(f"data.columns: and {len(unknown) - MOST_EXPLAINED:,} more that the task does not have")
    same = same_column({field: column for field, column in config.data.columns.items() if field in columns})
    if same is not None:
        first, second = same
        lines.append(
            f"data.columns.{second}: found {shown(config.data.columns[second])}, but {first} and {second} are the same"
            f" column; expected a column for each"
        )
    return lines


def same_column(columns: Mapping[str, Any]) -> tuple[str, str] | None:
    """Two fields that have the same column; None if there are none.

    Args:
        columns: field -> the number of its column, its name, or a list with one name; others are not compared.

    Example: of `{"text": 0, "label": 0}` these are `text` and `label`.
    """
    seen: dict[Any, str] = {}
    for field, column in columns.items():
        alone = column[0] if isinstance(column, list) and len(column) == 1 else column
        if isinstance(alone, list):
            continue
        key = " ".join(alone.split()).casefold() if isinstance(alone, str) else alone
        if key in seen:
            return seen[key], field
        seen[key] = field
    return None


def _named(config: Config, keys: TaskKeys, known: Known) -> str:
    name = keys.named(config.task) if known[config.task].modes else config.task
    return f"{name} and model.role: {config.model.role}" if config.model.role and "model.role" in keys.keys else name


def _other_keys(config: Config, keys: TaskKeys, known: Known) -> list[str]:
    """Messages for keys that only other tasks have."""
    allowed, lines = keys.keys, []
    every = [each for keys in known.values() for each in keys.every]
    for key in dict.fromkeys(key for each in every for key in sorted(each.keys)):
        value = None if key in allowed else _set_value(config, key)
        if value is None:
            continue
        parent, _, last = key.rpartition(".")
        near = did_you_mean(last, [other.rpartition(".")[2] for other in allowed if other.rpartition(".")[0] == parent])
        owners = " and ".join(_owners(known, "keys", key))
        lines.append(
            f"{key}: found {shown(value)}, but task {_named(config, keys, known)} has no such key{near} (it is for"
            f" {owners})"
        )
    return lines


def _set_value(config: Any, key: str) -> Any:
    """The value of a dotted key; None if it is the default or the key does not exist."""
    part, default = config, None
    for name in key.split("."):
        if not isinstance(part, Model) or name not in type(part).model_fields:
            return None
        default, part = type(part).model_fields[name].default, getattr(part, name)
    return None if part == default else part


def _files(config: Config, keys: TaskKeys, known: Known) -> list[str]:
    if keys.parallel_files:
        return []
    readers = " and ".join(task for task, other in known.items() if other.parallel_files)
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
        f"training.monitor: found {shown(monitor)}, expected one of {', '.join(keys.monitors)} for task {config.task}"
        f"{did_you_mean(monitor, keys.monitors)}"
    ]


def _as_it_is(config: Config, keys: TaskKeys) -> list[str]:
    """A message if a preset is to be used without training, but the layers after it would be random."""
    if config.training.epochs != 0 or not config.model.pretrained or keys.role not in ("encoder", "reader"):
        return []
    return [
        f"training.epochs: found 0, but of a preset only the encoder is read, and the layer that gives the answers of"
        f" task {config.task} starts from random weights: expected 1 or more"
    ]


def _tokenizer(config: Config, keys: TaskKeys) -> list[str]:
    if keys.role in ("encoder", "reader") or config.tokenizer is None:
        return []
    if config.model.pretrained and config.tokenizer.shared is False:
        return ["tokenizer.shared: found false, but a preset has one vocabulary for both sides: leave it out"]
    if config.tokenizer.kind != "wordpiece":
        return []
    return [
        f"tokenizer.kind: found 'wordpiece', which loses the spaces of a text; expected one of sentencepiece, bpe,"
        f" characters for task {config.task}"
    ]


def _lengths(config: Config, keys: TaskKeys) -> list[str]:
    """Messages for signatures longer than the longest bucket, or, with their new tokens, than the context."""
    if config.generate_lengths is None or config.lengths is None:
        return []
    longest = config.lengths[-1]
    if keys.role == "decoder":
        return [
            f"generate_lengths: found [{read}, {new}], expected a sum of at most {longest}, the context (lengths)"
            for read, new in config.generate_lengths
            if read + new > longest
        ]
    return [
        f"generate_lengths: found a source of {read} tokens, expected at most {longest}, the longest of lengths"
        for read, _ in config.generate_lengths
        if read > longest
    ]
