"""Reads a config from YAML, reports all of its errors at once, and writes it back."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from textapp.config.faults import fault_lines
from textapp.config.parts import shown
from textapp.config.run import Config
from textapp.config.tasks import Known
from textapp.config.yaml_text import MAX_DEPTH, Document, Place, read_yaml, write_yaml
from textapp.encodings import likely_encoding
from textapp.errors import ConfigError, UsageError
from textapp.remote import is_remote
from textapp.untrusted import git_lfs_pointer

MAX_BYTES = 1_000_000  # of a config
KEYS = "keys such as task, run, data and model"
COMPLETE = {"config": "configs/", "recipe": "configs/compression/"}  # kind of a YAML file -> where complete ones are


def load_config(path: str | Path, known: Known, overrides: Sequence[str] = ()) -> Config:
    """Reads one YAML config and applies `--set key=value` overrides, whose values are YAML.

    Args:
        path: the file.
        known: each task's keys.
        overrides: `key=value` pairs.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or a value is not allowed.
    """
    raw, places = read_keys(Path(path), overrides, KEYS)
    return parse_config(raw, known, str(path), places)


def read_keys(path: Path, overrides: Sequence[str], expected: str, kind: str = "config") -> Document:
    """Reads a YAML file of keys and applies `key=value` overrides; an item of a list has its number as a key.

    Args:
        path: the file.
        overrides: `key=value` pairs, whose values are YAML.
        expected: the keys of such a file, for messages: `keys such as steps`.
        kind: of the file, for messages, of `COMPLETE`.

    Raises:
        ConfigError: the file is missing or not YAML, or holds no keys.
    """
    raw, places = read_yaml(_text(path, kind), lambda line: f"{path}, line {line}")
    if not isinstance(raw, dict):
        found = "an empty file" if raw is None else shown(raw)
        mend = ": write a space after each colon" if isinstance(raw, str) and ":" in raw else ""
        raise ConfigError(f"{path}: found {found}, expected {expected}{mend}")
    for override in overrides:
        _override(raw, override, places)
    return Document(raw, places)


def _text(path: Path, kind: str) -> str:
    """The text of a file of a kind, which may begin with a byte order mark."""
    try:
        if path.exists() and not path.is_file():
            found = "a folder" if path.is_dir() else "a pipe or a device"
            raise ConfigError(f"{path}: found {found}, expected a YAML file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; expected a YAML {kind} ({COMPLETE[kind]} holds complete ones)"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if (pointer := git_lfs_pointer(path)) is not None:
        raise ConfigError(f"{path}: {pointer}")
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: found more than {MAX_BYTES:,} bytes, expected a YAML {kind}; is it a file of data?")
    return _decoded(path, data)


def _decoded(path: Path, data: bytes) -> str:
    """The text of UTF-8, or of UTF-16 and UTF-32 with a mark, as YAML has them."""
    likely = likely_encoding(data) or ""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    wrong = 0
    if marked or not likely.startswith(("utf-16", "utf-32")):
        try:
            return data.decode(likely if marked else "utf-8-sig")
        except UnicodeDecodeError as error:
            wrong = error.start
    line = data.count(b"\n", 0, wrong) + 1
    which = f"; it looks like {likely}" if likely not in ("", "utf-8") else ""
    raise ConfigError(f"{path}, line {line}: found bytes that are not UTF-8{which}: save the file as UTF-8")


def _override(raw: dict[str, Any], override: str, places: dict[str, Place]) -> None:
    key, equals, text = override.partition("=")
    where = f"--set {shown(override, quotes=False)}"
    parents = key.strip().split(".")
    if not equals or not all(parents) or len(parents) > MAX_DEPTH:
        raise ConfigError(f"{where}: expected KEY=VALUE, such as --set training.epochs=1")
    value, below = read_yaml(text, lambda _: where)
    name = ".".join(parents)
    node: Any = raw
    for parent, below_it in pairwise(parents):
        key = _key_of(node, parent, where)
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        node = node[key]
        if not isinstance(node, dict) and not (isinstance(node, list) and below_it.isdecimal()):
            raise ConfigError(f"{where}: found a value at '{parent}', expected keys")
    node[_key_of(node, parents[-1], where)] = value
    for old in [old for old in places if f"{old}.".startswith(f"{name}.")]:
        del places[old]
    places[name] = Place(where, text.strip() if not isinstance(value, (str, list, dict)) else None)
    places.update({f"{name}.{key}": place for key, place in below.items()})


def _key_of(node: Any, name: str, where: str) -> Any:
    """The key of a dict, or the index of a list that has it."""
    if not isinstance(node, list):
        return name
    if int(name) >= len(node):
        raise ConfigError(f"{where}: found item {name}, expected one from 0 to {len(node) - 1}")
    return int(name)


def parse_config(
    raw: Mapping[str, Any], known: Known, source: str = "config", places: Mapping[str, Place] | None = None
) -> Config:
    """Checks a mapping as read from YAML.

    Args:
        raw: what the YAML holds.
        known: each task's keys.
        source: name of the config in error messages.
        places: dotted key -> where it stands, for the messages.

    Raises:
        ConfigError: lists the errors, each with its key, what was found and what was expected.
    """
    try:
        return Config.model_validate(raw, context=known)
    except ValidationError as error:
        raise ConfigError("\n".join(fault_lines(error, raw, known, source, places or {}))) from error


def data_directory(option: str | Path | None = None, recorded: str | None = None) -> Path:
    """The base folder of relative data paths.

    Args:
        option: `--data-dir`.
        recorded: the one that the run was trained with; ignored if this folder no longer exists.

    Returns:
        the first of these that is given, else `TEXTAPP_DATA`, else the working directory.

    Raises:
        UsageError: it is a URL.
    """
    existing = recorded if recorded and Path(recorded).is_dir() else None
    folder = option or existing or os.environ.get("TEXTAPP_DATA") or "."
    if is_remote(str(folder).replace(":/", "://", 1)):  # a Path has one slash of two
        raise UsageError(
            f"--data-dir: found {folder}, expected a folder of this machine: name files elsewhere by their whole URL "
            "in the config, such as data.train=s3://bucket/train.tsv"
        )
    return Path(os.path.expanduser(folder))


# --- writing and comparing -----------------------------------------------------------------------------------------


def save_config(config: Config, path: Path) -> None:
    """Writes the config as YAML that `load_config` reads back equal."""
    path.write_text(write_yaml(config.model_dump(mode="json")), encoding="utf-8")


def differing_key(one: Config, other: Config) -> str | None:
    """The first key, in dotted form, in which two configs differ; None if they are equal."""
    return differing_entry(one.model_dump(mode="json"), other.model_dump(mode="json"))


def differing_entry(one: Any, other: Any, name: str = "") -> str | None:
    """The first key, in dotted form below `name`, in which two values of JSON differ; None if they are equal.

    Args:
        one, other: dicts, lists, texts, numbers.
        name: of the two.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            found = differing_entry(one.get(key), other.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    return None if one == other else name
