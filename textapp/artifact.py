"""The folder of a run or of a bundle: its manifest, the checksums of its files, and how it is replaced atomically.

Uses only the standard library, because a device reads bundles with this module.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textapp.errors import ArtifactError, UsageError
from textapp.untrusted import (
    FLAG,
    LENGTHS,
    MAX_LENGTH,
    NOTHING,
    NUMBER,
    OBJECT,
    SHA256,
    TEXT,
    Document,
    Kind,
    check_regular,
    checked,
    either,
    list_of,
    mapping_of,
    one_of,
    read_json,
    shown,
    whole,
)

MANIFEST = "manifest.json"
TOKENIZER, TARGET_TOKENIZER = "tokenizer", "target_tokenizer"  # folders; the second where the sides share no vocabulary
FORMAT = 1
PARTIAL = ".partial"
MODEL_FILES = ("model.tflite", "model.keras")
MODEL_FOLDERS = ("saved_model", TOKENIZER, TARGET_TOKENIZER)  # all of their files are loaded
_COLUMN = either(whole(), TEXT, list_of(either(TEXT, whole())))
_SIDES = mapping_of(mapping_of(list_of(either(whole(-1), NOTHING))))
# The keys of a manifest that do not depend on the task; those after `files` may be missing.
_KEYS: dict[str, Kind] = {
    "kind": one_of("run", "bundle"),
    "task": TEXT,
    "files": mapping_of(SHA256),
    "architecture": TEXT,
    "parameters": either(whole(0, 2**63), NOTHING),
    "languages": list_of(TEXT, at_least=1),
    "labels": list_of(TEXT),
    "multiple": FLAG,
    "inputs": list_of(TEXT),
    "features": list_of(TEXT),
    "columns": mapping_of(either(_COLUMN, NOTHING)),
    "header": one_of("auto", True, False),
    "pattern": either(TEXT, NOTHING),
    "encoding": TEXT,
    "label_columns": list_of(either(TEXT, whole())),
    "label_separator": either(TEXT, NOTHING),
    "lengths": LENGTHS,
    "lengths_from": TEXT,
    "generate_lengths": list_of(list_of(whole(1, MAX_LENGTH), exactly=2)),
    "batch_size": whole(1),
    "tokenizer": OBJECT,
    "target": TEXT,
    "quantize": TEXT,
    "signatures": mapping_of(_SIDES),
    "parent": either(OBJECT, NOTHING),
    "verification": OBJECT,
    "tried": list_of(OBJECT),
    "quality": OBJECT,
    "data_dir": TEXT,
    "seed": NUMBER,
    "versions": mapping_of(TEXT),
}


@dataclass(frozen=True)
class Artifact:
    """A run folder or a bundle that was opened and checked.

    Attributes:
        path: the folder.
        manifest: the content of manifest.json; its `kind` is `run` or `bundle`.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        return self.manifest["kind"]

    @property
    def data_dir(self) -> str | None:
        """The base folder of the data in training, which the run knows; a bundle does not tell where it was made."""
        if self.kind == "run" or self.parent is None:
            return self.manifest.get("data_dir")
        return _read_manifest(self.parent).get("data_dir")

    @property
    def parent(self) -> Path | None:
        """The run folder of a bundle in `<run>/exports/<target>/`; None if it is elsewhere."""
        run = self.path.resolve().parent.parent
        inside = self.kind == "bundle" and self.path.resolve().parent.name == "exports" and (run / MANIFEST).is_file()
        return run if inside else None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, manifest: Mapping[str, Any], files: Iterable[str] | None = None) -> None:
    """Writes manifest.json with the checksum of each file.

    Args:
        folder: the run or bundle.
        manifest: the content, without `format` and `files`.
        files: names relative to `folder`; None: all files in it.
    """
    if files is None:
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    sums = {name: sha256(folder / name) for name in files if name != MANIFEST}
    content = {"format": FORMAT, **manifest, "files": sums}
    write_text(folder / MANIFEST, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically: on a full disk the old one stays."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        # In JSON the escape of half a surrogate pair, as in a file name that is not UTF-8, is valid.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_failure_reason(error: Exception) -> str | None:
    """The reason why a file could not be written; None if `error` is about something else.

    TensorFlow's writers and `shutil.copytree` wrap the message of the operating system.
    """
    full = os.strerror(errno.ENOSPC)
    if full in str(error):
        return full
    return str(error) if isinstance(error, OSError) else None


def open_artifact(path: str | Path) -> Artifact:
    """Opens a run folder or a bundle and checks that every file exists and is unchanged.

    A stranger may have written it: no name may lead out of the folder, only regular files are read, and a file that
    would be loaded has to be listed.

    Raises:
        ArtifactError: the folder or its manifest is missing or damaged, or a file differs from the manifest.
    """
    folder = Path(path)
    if not folder.is_dir():
        hint = _hint(folder)
        raise ArtifactError(f"{folder}: no such folder; expected a run folder or a bundle{hint}")
    manifest = _read_manifest(folder)
    for name, expected in manifest["files"].items():
        file = _inside(folder, name)
        try:
            check_regular(file)
            found = sha256(file)
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{file}: missing, although {MANIFEST} lists it: copy the whole folder again"
            ) from error
        except OSError as error:
            raise ArtifactError(f"{file}: cannot be read ({error.strerror}): copy the whole folder again") from error
        if found != expected:
            raise ArtifactError(
                f"{file}: changed since it was written (its sha256 differs from {MANIFEST}): copy it again"
            )
    _check_listed(folder, manifest)
    return Artifact(folder, manifest)


def _inside(folder: Path, name: str) -> Path:
    """The path of a file that the manifest lists, if it lies in the folder, also after symbolic links."""
    where = f"{folder / MANIFEST}: key 'files': found {shown(name)}"
    parts = name.split("/")
    if "\0" in name or "\\" in name or Path(name).is_absolute() or not {"", ".", ".."}.isdisjoint(parts):
        raise ArtifactError(f"{where}, expected names of files inside the folder, such as {TOKENIZER}/settings.json")
    file = folder / name
    try:
        within = file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # links that lead to each other
        raise ArtifactError(f"{where}, which cannot be resolved: copy the whole folder again") from error
    if not within:
        raise ArtifactError(f"{where}, a link that leads out of the folder: copy the file itself into the folder")
    return file


def _check_listed(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Checks that the manifest lists, and so has the checksum of, every file that would be loaded.

    Raises:
        ArtifactError: it does not list one.
    """
    found = [folder / name for name in MODEL_FILES]
    found += [file for name in MODEL_FOLDERS for file in sorted((folder / name).rglob("*")) if not file.is_dir()]
    for file in found:
        name = file.relative_to(folder).as_posix()
        if file.exists() and name not in manifest["files"] and not file.name.startswith("."):
            raise ArtifactError(
                f"{file}: found a file that the key 'files' of {MANIFEST} does not list: remove it, or copy the whole "
                "folder again"
            )


def _read_manifest(folder: Path) -> Document:
    file = folder / MANIFEST
    try:
        content = read_json(file)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{folder}: has no {MANIFEST}; expected a finished run or a bundle{_hint(folder)}"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read ({error.strerror}): copy the folder again") from error
    if not isinstance(content, dict) or not {"format", "kind", "files", "task"} <= content.keys():
        raise ArtifactError(f"{file}: not a textapp manifest; expected the keys format, kind, task and files")
    if content["format"] != FORMAT:
        raise ArtifactError(
            f"{file}: found format {shown(content['format'])}, expected {FORMAT}: another version of textapp wrote it"
        )
    for name, kind in _KEYS.items():
        if name in content:
            checked(content[name], kind, f"{file}: key '{name}'")
    manifest = Document(content)
    manifest.source = file
    return manifest


def _hint(folder: Path) -> str:
    """A hint for a folder without a manifest: the training to resume, or subfolders with a manifest."""
    partial = folder if folder.name.endswith(PARTIAL) else partial_folder(folder)
    if partial.is_dir():
        return f"; {partial} is an interrupted training: run the same train command again to resume it"
    inside = sorted(str(file.parent) for file in folder.glob(f"*/{MANIFEST}"))
    return f": use {' or '.join(inside)}" if inside else ""


def check_target(final: Path, kind: str, *marks: str) -> bool:
    """Whether `final` already holds a run or bundle, which a new one of the same kind will replace.

    Args:
        final: the folder of the new run or bundle.
        kind: `run` or `bundle`.
        marks: files by which one with a damaged manifest is recognised.

    Raises:
        UsageError: the folder holds something else, which must not be replaced.
    """
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return False
    try:
        found = json.loads((final / MANIFEST).read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        found = kind if any((final / mark).is_file() for mark in marks) else None
    if found != kind:
        raise UsageError(
            f"{final}: exists and is not a {kind}: use a folder that is new, empty, or a {kind} to replace"
        )
    return True


def partial_folder(final: Path) -> Path:
    """The folder to work in until `final` is complete."""
    return final.with_name(final.name + PARTIAL)


@contextmanager
def replaced_folder(final: Path) -> Iterator[Path]:
    """Yields an empty folder, which replaces `final` when the block ends without an error.

    Example:
        with replaced_folder(run / "exports" / "litert") as folder:
            (folder / "model.tflite").write_bytes(content)
    """
    partial = partial_folder(final)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        swap(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def swap(partial: Path, final: Path) -> None:
    """Renames `partial` to `final`; an old `final` is deleted only after the new one is in place."""
    old = final.with_name(final.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if final.exists():
            os.replace(final, old)
        os.replace(partial, final)
    except BaseException:  # includes Ctrl-C between the two
        if old.exists() and not final.exists():
            os.replace(old, final)
        raise
    shutil.rmtree(old, ignore_errors=True)
