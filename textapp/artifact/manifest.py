"""The manifest of a run or of a bundle, and the checksums of its files.

Uses only the standard library, because a device reads bundles with this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textapp.artifact.files import LITERT_LM_FILE, LOADED, MANIFEST, SAVED_MODEL, TOKENIZER, made_files
from textapp.errors import ArtifactError
from textapp.files import resolved, write_text
from textapp.folders import interrupted, recover
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

FORMAT = 1
_COLUMN = either(whole(), TEXT, list_of(either(TEXT, whole())))
_SIDES = mapping_of(mapping_of(list_of(either(whole(-1), NOTHING))))
# The keys of a manifest that do not depend on the task; those after `files` may be missing.
_KEYS: dict[str, Kind] = {
    "kind": one_of("run", "bundle", "preparation"),
    "task": TEXT,
    "mode": one_of("extractive", "generative"),
    "role": one_of("decoder", "encoder-decoder"),
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


def variant(manifest: Mapping[str, Any]) -> str:
    """The name of a run or a bundle in tables: `keras float32`, `litert dynamic`."""
    quantize = manifest.get("quantize", "none")
    return f"{manifest.get('target', 'keras')} {'float32' if quantize == 'none' else quantize}"


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
    def answers(self) -> bool:
        """Whether `textapp.load` opens it; a bundle for LiteRT-LM is for LiteRT-LM's own apps and packages."""
        return LITERT_LM_FILE not in self.manifest["files"]

    @property
    def data_dir(self) -> str | None:
        """The base folder of the data in training, which the run knows; a bundle does not tell where it was made."""
        if self.kind == "run" or self.parent is None:
            return self.manifest.get("data_dir")
        return read_manifest(self.parent).get("data_dir")

    @property
    def parent(self) -> Path | None:
        """The run folder of a bundle in `<run>/exports/<target>/`; None if it is elsewhere."""
        run = self.path.resolve().parent.parent
        exported = self.kind == "bundle" and self.path.resolve().parent.name == "exports"
        return run if exported and (run / MANIFEST).is_file() else None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(value: Any) -> str:
    """The SHA-256 of a value of JSON, in hexadecimal; the order of keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


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


def open_artifact(path: str | Path, wanted: str = "a run folder or a bundle") -> Artifact:
    """Opens a run folder or a bundle and checks that every file exists and is unchanged.

    A stranger may have written it: no name may lead out of the folder, only regular files are read, and a file that
    would be loaded has to be listed.

    Args:
        path: of the folder.
        wanted: what the caller takes, for messages.

    Raises:
        ArtifactError: the folder or its manifest is missing or damaged, or a file differs from the manifest.
    """
    folder = Path(path)
    recover(resolved(folder), made_files)
    if not folder.is_dir():
        hint = _hint(folder)
        raise ArtifactError(f"{folder}: no such folder; expected {wanted}{hint}")
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        file = inside(folder, name)
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


def inside(folder: Path, name: str) -> Path:
    """The path of a file that the manifest lists, if it lies in the folder, also after symbolic links.

    Args:
        folder: the artifact.
        name: as the manifest has it.

    Raises:
        ArtifactError: it leads out of the folder.
    """
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
    found = [folder / name for name in sorted(LOADED)]
    found += [file for file in sorted((folder / SAVED_MODEL).rglob("*")) if not file.is_dir()]
    for file in found:
        name = file.relative_to(folder).as_posix()
        if file.exists() and name not in manifest["files"] and not file.name.startswith("."):
            raise ArtifactError(
                f"{file}: found a file that the key 'files' of {MANIFEST} does not list: remove it, or copy the whole "
                "folder again"
            )


def read_manifest(folder: Path) -> Document:
    """The manifest of a folder, checked, but for the files that it lists.

    Args:
        folder: the artifact.

    Raises:
        ArtifactError: it is missing or damaged, or of another version.
    """
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
    """A hint for a folder without a manifest: the work on it that was interrupted, or subfolders with a manifest."""
    if hint := interrupted(resolved(folder)):
        return hint
    below = sorted(str(file.parent) for file in folder.glob(f"*/{MANIFEST}"))
    return f": use {' or '.join(below)}" if below else ""
