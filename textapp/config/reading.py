"""Reads a config from YAML, reports all of its errors at once, and writes it back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from textapp.config.data import Data
from textapp.config.model import architectures
from textapp.config.parts import Model
from textapp.config.run import Config, TokenizerConfig, Training
from textapp.config.tasks import Known, unserved
from textapp.errors import ConfigError, did_you_mean


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
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; expected a YAML config (configs/ holds complete ones)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: found {type(raw).__name__}, expected keys such as task, run, data and model")
    for override in overrides:
        _override(raw, override)
    return parse_config(raw, known, source=str(path))


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as --set training.epochs=1")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"--set {override}: found a value that is not YAML: {' '.join(str(error).split())}"
        ) from error
    *parents, last = key.strip().split(".")
    node = raw
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override}: found a value at '{parent}', expected keys")
    node[last] = value


def parse_config(raw: Mapping[str, Any], known: Known, source: str = "config") -> Config:
    """Checks a mapping as read from YAML.

    Args:
        raw: what the YAML holds.
        known: each task's keys.
        source: name of the config in error messages.

    Raises:
        ConfigError: lists every error with its key, what was found and what was expected.
    """
    try:
        return Config.model_validate(raw, context=known)
    except ValidationError as error:
        _, task = _locate(["task"], raw)
        _, architecture = _locate(["model", "architecture"], raw)
        both = isinstance(task, str) and isinstance(architecture, str)
        first = unserved(task, architecture, known) if both else []
        faults = [line for fault in error.errors() for line in _explain(fault, raw).splitlines()]
        lines = dict.fromkeys([*first, *faults])
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from error


def _explain(fault: Mapping[str, Any], raw: Any) -> str:
    """The message for one error: the key, what was found, what was expected."""
    keys, found = _locate(fault["loc"], raw)
    name = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        known = _known_keys(fault["loc"][:-1])
        return f"unknown key '{name}'{did_you_mean(keys[-1], known)} (known here: {', '.join(known)})"
    if fault["type"] == "missing":
        return f"the key '{name}' is missing"
    if fault["type"].startswith("union_tag"):
        architecture = found.get("architecture") if isinstance(found, Mapping) else found
        return (
            f"model.architecture: found {architecture!r}, expected one of {', '.join(architectures())}"
            f"{did_you_mean(str(architecture), architectures())}"
        )
    message = fault["msg"].removeprefix("Value error, ")
    return f"{name}: found {found!r}: {message}" if name else message


def _locate(location: Iterable[Any], raw: Any) -> tuple[list[str], Any]:
    """The keys of an error without pydantic's names for types of a union, and the value there."""
    keys: list[str] = []
    node = raw
    for part in location:
        listed = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if listed or (isinstance(node, Mapping) and part in node):
            node = node[part]
        elif isinstance(node, Mapping) and isinstance(part, str) and part not in architectures():
            node = None
        else:
            continue
        keys.append(str(part))
    return keys, node


def _known_keys(location: Sequence[Any]) -> list[str]:
    models: dict[str, type[Model]] = {
        "data": Data, "tokenizer": TokenizerConfig, "training": Training, **architectures()
    }  # fmt: skip
    for part in reversed(location):
        if part in models:
            return list(models[part].model_fields)
    return list(Config.model_fields)


def data_directory(option: str | Path | None = None, recorded: str | None = None) -> Path:
    """The base folder of relative data paths.

    Args:
        option: `--data-dir`.
        recorded: the one that the run was trained with; ignored if this folder no longer exists.

    Returns:
        the first of these that is given, else `TEXTAPP_DATA`, else the working directory.
    """
    existing = recorded if recorded and Path(recorded).is_dir() else None
    return Path(option or existing or os.environ.get("TEXTAPP_DATA") or ".")


# --- writing and comparing -----------------------------------------------------------------------------------------


def save_config(config: Config, path: Path) -> None:
    """Writes the config as YAML that `load_config` reads back equal."""
    path.write_text(
        yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True, sort_keys=False), encoding="utf-8"
    )


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
