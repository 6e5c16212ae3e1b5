"""Which folders and files may be replaced, so that nothing of the user's and no part of a model is lost."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from textapp.artifact.files import LOADED, MANIFEST, SAVED_MODEL, kind_of, made_files
from textapp.errors import UsageError
from textapp.files import resolved, same_file
from textapp.folders import WorkFolder, check_place, recover, work_folder

_logger = logging.getLogger("textapp")


def write_failure_reason(error: Exception) -> str | None:
    """The reason why a file could not be written; None if `error` is about something else.

    TensorFlow's writers and `shutil.copytree` wrap the message of the operating system.
    """
    full = os.strerror(errno.ENOSPC)
    if full in str(error):
        return full
    return str(error) if isinstance(error, OSError) else None


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
    found = kind_of(place)
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
        made = (made_files(folder) | LOADED).difference(replaces)
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
