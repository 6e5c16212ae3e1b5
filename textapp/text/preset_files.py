"""Reads the small files of a published folder; a fault becomes an error that names the file and how to mend it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from textapp.errors import ConfigError
from textapp.untrusted import git_lfs_pointer

DOWNLOAD = "download the file again"
_NAME = re.compile(r"[a-z]+://.+|[A-Za-z0-9_.-]+")


def is_name(path: str) -> bool:
    """Whether a path may be the name or the URL of a preset: `bert_tiny_en_uncased`, `hf://owner/name`."""
    return _NAME.fullmatch(path) is not None


def check_folder(path: Path) -> None:
    """Checks that a path is a folder that may hold a model.

    Raises:
        ConfigError: it is a file, or the cache of a downloader, which keeps the folder inside.
    """
    if not path.is_dir():
        raise ConfigError(
            f"model.path: {path}: found a file, expected a folder in Hugging Face layout (config.json, "
            "model.safetensors, tokenizer.json) or a GGUF file: download the model in one of these forms"
        )
    if (path / "snapshots").is_dir() and not (path / "config.json").is_file():
        inside = sorted(folder.name for folder in (path / "snapshots").iterdir())
        name = inside[0] if len(inside) == 1 else "REVISION"
        raise ConfigError(
            f"model.path: {path}: found a cache of huggingface_hub, expected the folder inside: "
            f"{path / 'snapshots' / name}"
        )


def check_file(file: Path) -> None:
    """Checks that a file of a published folder holds what its name says.

    Raises:
        ConfigError: it is empty, or a pointer of Git LFS.
    """
    if (pointer := git_lfs_pointer(file)) is not None:
        raise ConfigError(f"model.path: {file}: {pointer}")
    if not file.stat().st_size:
        raise ConfigError(f"model.path: {file}: found an empty file: {DOWNLOAD}")


def read_text(file: Path) -> str:
    """The content of a file in UTF-8, without a byte order mark, which would be part of a word or of every prompt.

    Raises:
        ConfigError: it is empty, a pointer of Git LFS, or not UTF-8.
    """
    check_file(file)
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"model.path: {file}, line {line}: found the byte 0x{error.object[error.start]:02x}, which is not UTF-8:"
            f" {DOWNLOAD}"
        ) from error


def read_json(file: Path) -> dict[str, Any]:
    """The object of a JSON file; empty if there is no such file.

    Raises:
        ConfigError: it does not hold an object of JSON.
    """
    if not file.is_file():
        return {}
    text = read_text(file)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise ConfigError(f"model.path: {file}: found no JSON ({reason}), expected an object: {DOWNLOAD}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"model.path: {file}: found a {type(content).__name__} of JSON, expected an object: {DOWNLOAD}"
        )
    return content
