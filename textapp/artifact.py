"""The folder of a run or of a bundle: its manifest, the checksums of its files, and what textapp made in it.

Uses only the standard library, because a device reads bundles with this module.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textapp.errors import ArtifactError, UsageError
from textapp.folders import (
    WorkFolder,
    cache_folder,
    check_place,
    interrupted,
    recover,
    resolved,
    same_file,
    work_folder,
    write_text,
)
from textapp.remote import RemotePath
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

_logger = logging.getLogger("textapp")

MANIFEST = "manifest.json"
TOKENIZER, TARGET_TOKENIZER = "tokenizer", "target_tokenizer"  # folders; the second where the sides share no vocabulary
FORMAT = 1
LITERT_LM_FILE = "model.litertlm"  # LiteRT-LM answers from it, textapp does not
MODEL_FILES = ("model.tflite", "model.keras", LITERT_LM_FILE)
SAVED_MODEL = "saved_model"  # all files of this folder may be loaded
SETTINGS, SENTENCEPIECE_FILE, TOKENIZERS_FILE = "settings.json", "sentencepiece.model", "tokenizer.json"
CHAT_TEMPLATE = "chat_template.jinja"
TOKENIZER_FILES = (
    SETTINGS,
    SENTENCEPIECE_FILE,
    TOKENIZERS_FILE,
    CHAT_TEMPLATE,
)  # what is loaded of a tokenizer's folder
_LOADED = {*MODEL_FILES, *(f"{name}/{file}" for name in (TOKENIZER, TARGET_TOKENIZER) for file in TOKENIZER_FILES)}
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
    recover(resolved(folder), made_files)
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


def publish(folder: Path, place: RemotePath) -> None:
    """Copies a finished artifact to another place, its manifest last, so that half of one is never taken for a whole.

    Args:
        folder: the artifact.
        place: where an older one is replaced; other files stay there.

    Raises:
        OSError: it cannot be written.
    """
    names = _read_manifest(folder)["files"]
    try:
        before = json.loads((place / MANIFEST).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        before = {}
    place.remove([MANIFEST])
    place.upload(folder, list(names))
    place.remove([name for name in before if name not in names and _inside(folder, name)])
    place.upload(folder, [MANIFEST])


def local_copy(place: RemotePath) -> Path:
    """The files of an artifact that is elsewhere, in the cache of this machine, to which they are copied once.

    Args:
        place: the artifact.

    Raises:
        ArtifactError: it is not finished, damaged, or cannot be read.
    """
    try:
        manifest = (place / MANIFEST).read_bytes()
        folder = cache_folder() / f"artifact-{hashlib.sha256(manifest).hexdigest()[:16]}"
        if folder.is_dir():
            return folder
        _logger.info("copying %s to %s, once", place, folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            (new / MANIFEST).write_bytes(manifest)
            names = list(_read_manifest(new)["files"])
            for name in names:
                _inside(new, name)
            place.download(new, names)
            open_artifact(new)
            if not folder.is_dir():  # another process may have been faster
                new.rename(folder)
        except ArtifactError as error:
            raise ArtifactError(str(error).replace(str(new), str(place))) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{place}: has no {MANIFEST}, or a file that it lists is missing; expected a finished folder: copy or "
            "prepare it again"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{place}: cannot be copied: {error}") from error
    return folder


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
    found = [folder / name for name in sorted(_LOADED)]
    found += [file for file in sorted((folder / SAVED_MODEL).rglob("*")) if not file.is_dir()]
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
    """A hint for a folder without a manifest: the work on it that was interrupted, or subfolders with a manifest."""
    if hint := interrupted(resolved(folder)):
        return hint
    inside = sorted(str(file.parent) for file in folder.glob(f"*/{MANIFEST}"))
    return f": use {' or '.join(inside)}" if inside else ""


# --- replacing -----------------------------------------------------------------------------------------------------

RUN_FILES = (MANIFEST, "config.yaml", "metrics.json", "model.keras")
EVALUATION = ("metrics.json", "mistakes.tsv", "outputs.tsv", "confusion.png")
BENCHMARK = "evaluation/benchmark.json"  # what `textapp benchmark` measured
REPORT = "report.html"
REPORT_MARK = '<meta name="generator" content="textapp report">'  # in the first bytes of a report of ours
CHECKPOINT = re.compile(r"(last|previous|best|epoch_\d+)\.npz(\.partial)?|request\.json")
LOG = re.compile(r"events\.out\.tfevents\..*")
RUN_FOLDERS = {"checkpoints", "logs", "logs/train", "logs/validation", "exports", "evaluation"}


def made_files(folder: Path) -> set[str]:
    """The names of what textapp made: what a manifest lists, and in a run also checkpoints, logs, figures and exports.

    Everything else in it is the user's. Bundles in `exports/` are textapp's where it puts them without being told
    another place, in a folder named like their target; copies under other names are the user's.

    Args:
        folder: a run, bundle or preparation, also one whose manifest is damaged.

    Returns:
        Names relative to the folder, with slashes; with the folders that may be empty.
    """
    listed = _listed(folder)
    if _kind(folder) in ("bundle", "preparation"):
        return listed | {f"saved_model/{name}" for name in ("assets", "assets.extra", "variables")}
    made = listed or {name for name in RUN_FILES if (folder / name).is_file()}
    made |= RUN_FOLDERS | {BENCHMARK} | {f"evaluation/{name}" for name in EVALUATION}
    made |= {REPORT} if is_report(folder / REPORT) else set()
    for name, pattern in (("checkpoints", CHECKPOINT), ("logs", LOG)):
        files = (path for path in (folder / name).rglob("*") if pattern.fullmatch(path.name))
        made |= {path.relative_to(folder).as_posix() for path in files}
    for bundle in own_exports(folder):
        made |= {f"{bundle.relative_to(folder).as_posix()}/{name}" for name in made_files(bundle)}
    return made


def is_report(file: Path) -> bool:
    """Whether `textapp report` wrote a file."""
    try:
        check_regular(file)
        with file.open(encoding="utf-8", errors="replace") as opened:
            return REPORT_MARK in opened.read(512)
    except (OSError, ArtifactError):
        return False


def exports_of(run: Path) -> list[Path]:
    """The bundles in `exports/` of a run that hold its model; see `stale_exports`."""
    stale = stale_exports(run)
    return [bundle for bundle in _bundles(run) if bundle not in stale]


def stale_exports(run: Path) -> list[Path]:
    """The bundles in `exports/` of a run that hold another model than it, such as copies of the one before."""
    model = _listed_sums(run).get("model.keras")
    parents = {bundle: _content(bundle).get("parent") for bundle in _bundles(run)}
    return [bundle for bundle, each in parents.items() if isinstance(each, dict) and each.get("sha256") != model]


def own_exports(run: Path) -> list[Path]:
    """The bundles of a run in the folders where `export` puts them without `--output`."""
    manifests = {bundle: _content(bundle) for bundle in _bundles(run) if not bundle.is_symlink()}
    return [
        bundle
        for bundle, manifest in manifests.items()
        if manifest.get("kind") == "bundle" and manifest.get("target") == bundle.name
    ]


def _bundles(run: Path) -> list[Path]:
    return sorted(file.parent for file in run.glob(f"exports/*/{MANIFEST}"))


def _content(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, unchecked; empty if there is none."""
    try:
        content = read_json(folder / MANIFEST)
    except (OSError, ArtifactError):
        return {}
    return content if isinstance(content, dict) else {}


def _kind(folder: Path) -> Any:
    return _content(folder).get("kind")


def _listed(folder: Path) -> set[str]:
    """The manifest and the files that it lists; empty without a manifest."""
    return {MANIFEST, *_listed_sums(folder)} if _content(folder) else set()


def _listed_sums(folder: Path) -> dict[str, Any]:
    files = _content(folder).get("files")
    return files if isinstance(files, dict) else {}


def check_target(final: Path, kind: str, *marks: str, own_place: bool = False) -> bool:
    """Whether `final` already holds a run or bundle, which a new one of the same kind will replace.

    Args:
        final: the folder of the new run or bundle.
        kind: `run` or `bundle`.
        marks: files by which one with a damaged manifest is recognised.
        own_place: the folder is where textapp puts such a one by default, so files without a manifest may be in it.

    Raises:
        UsageError: the folder holds something else, which must not be replaced, or its place cannot be written.
    """
    place = resolved(final)
    recover(place, made_files)
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        check_place(place)
        return False
    found = _kind(place)
    if found is None and any((place / mark).is_file() for mark in marks):
        found = kind
    if own_place and found is None and place.is_dir():
        found = kind
    if found != kind:
        raise UsageError(
            f"{final}: exists and is not a {kind}: use a folder that is new, empty, or a {kind} to replace"
        )
    check_place(place)
    return True


def check_no_input(place: Path, inputs: Iterable[Path]) -> None:
    """Checks that none of the files to read is one of those that textapp replaces.

    Args:
        place: the run or bundle that will be replaced, resolved.
        inputs: files.

    Raises:
        UsageError: one of them would be deleted.
    """
    made = [place / name for name in made_files(place)] if place.is_dir() else []
    for file in inputs:
        if work_folder(place) in file.resolve().parents:
            raise UsageError(f"{file}: is in a work folder of textapp, which will be deleted: move it elsewhere")
        if any(same_file(file, each) for each in made if each.is_file()):
            raise UsageError(f"{file}: is a file of {place}, which will be replaced: copy it elsewhere")


def check_not_of_an_artifact(output: Path, *artifacts: Path, replaces: Collection[str] = ()) -> None:
    """Checks that a file to write is not a part of a run or a bundle, and would not be taken for one.

    Args:
        output: the file.
        artifacts: folders to look in, besides those around the file.
        replaces: names in a run of what the caller itself made before.

    Raises:
        UsageError: it is, so writing it would damage the model; the message names the folder.
    """
    final = output.resolve()
    for folder in [*artifacts, *final.parents]:
        if not (folder / MANIFEST).is_file():
            continue
        made = (made_files(folder) | _LOADED).difference(replaces)
        if any(same_file(final, folder / name) for name in made) or (folder / SAVED_MODEL).resolve() in final.parents:
            raise UsageError(f"{output}: is a file of {folder}, which would be damaged: use another name")


def inputs_overwritten(output: Path, inputs: Iterable[Path]) -> Path | None:
    """The first of some files that are read that a file to write would overwrite, by any path; None for none."""
    return next((file for file in inputs if same_file(output, file)), None)


@contextmanager
def replaced_folder(final: Path, purpose: str = "export") -> Iterator[Path]:
    """Yields an empty folder, which replaces `final` when the block ends without an error.

    Files of the user in the old folder stay.

    Args:
        final: the folder.
        purpose: for messages to other processes.

    Raises:
        ArtifactError: another process replaces the same folder.

    Example:
        with replaced_folder(run / "exports" / "litert") as folder:
            (folder / "model.tflite").write_bytes(content)
    """
    with WorkFolder(resolved(final), purpose) as work:
        work.settle(made_files)
        work.clear()
        yield work.new
        tell_renamed(work.swap(made_files))


def tell_renamed(files: Iterable[Path]) -> None:
    """Warns of files of the user that had to get another name."""
    for file in files:
        _logger.warning("%s: a file of yours, kept under this name, because textapp's own has the old one", file)
