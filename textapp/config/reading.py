"""Reads a config from YAML, reports all of its errors at once, and writes it back."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from textapp.config.faults import fault_lines
from textapp.config.parts import shown
from textapp.config.run import Config
from textapp.config.tasks import Known
from textapp.config.yaml_text import MAX_DEPTH, Place, read_yaml, write_yaml
from textapp.encodings import likely_encoding
from textapp.errors import ConfigError

MAX_BYTES = 1_000_000  # of a config
KEYS = "keys such as task, run, data and model"


def load_config(path: str | Path, known: Known, overrides: Sequence[str] = ()) -> Config:
    """Reads one YAML config and applies `--set key=value` overrides, whose values are YAML.

    Args:
        path: the file.
        known: each task's keys.
        overrides: `key=value` pairs.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or a value is not allowed.
    """
    path = Path(path)
    raw, places = read_yaml(_text(path), lambda line: f"{path}, line {line}")
    if not isinstance(raw, dict):
        found = "an empty file" if raw is None else shown(raw)
        mend = ": write a space after each colon" if isinstance(raw, str) and ":" in raw else ""
        raise ConfigError(f"{path}: found {found}, expected {KEYS}{mend}")
    for override in overrides:
        _override(raw, override, places)
    return parse_config(raw, known, str(path), places)


def _text(path: Path) -> str:
    """The text of a file, which may begin with a byte order mark."""
    try:
        if path.exists() and not path.is_file():
            found = "a folder" if path.is_dir() else "a pipe or a device"
            raise ConfigError(f"{path}: found {found}, expected a YAML file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; expected a YAML config (configs/ holds complete ones)") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: found more than {MAX_BYTES:,} bytes, expected a YAML config; is it a file of data?")
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
    *parents, last = parents
    node = raw
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError(f"{where}: found a value at '{parent}', expected keys")
    node[last] = value
    for old in [old for old in places if f"{old}.".startswith(f"{name}.")]:
        del places[old]
    places[name] = Place(where, text.strip() if not isinstance(value, (str, list, dict)) else None)
    places.update({f"{name}.{key}": place for key, place in below.items()})


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
    """
    existing = recorded if recorded and Path(recorded).is_dir() else None
    return Path(os.path.expanduser(option or existing or os.environ.get("TEXTAPP_DATA") or "."))


# --- writing and comparing -----------------------------------------------------------------------------------------


def save_config(config: Config, path: Path) -> None:
    """Writes the config as YAML that `load_config` reads back equal."""
    path.write_text(write_yaml(config.model_dump(mode="json")), encoding="utf-8")


def differing_key(one: Config, other: Config) -> str | None:
    """The first key, in dotted form, in which two configs differ; None if they are equal."""
    return _differing(one.model_dump(mode="json"), other.model_dump(mode="json"))


def _differing(one: Any, other: Any, name: str = "") -> str | None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            found = _differing(one.get(key), other.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    return None if one == other else name
