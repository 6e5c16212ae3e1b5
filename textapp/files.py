"""How files are written: whole or not at all, so that after an error or a kill the old one is still there."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from textapp.errors import ArtifactError, UsageError
from textapp.locks import alive, flock


@contextmanager
def atomic_file(path: Path, newline: str | None = None, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Opens a text file for writing that gets its name when it is complete; after an error the old one stays.

    Works beside the file, in `.<name>.textapp-<process>-<random>`; what a killed process left there is removed by the
    next one. A symbolic link stays one; a device or a pipe is written directly. Half of a surrogate pair, as in a file
    name that is not UTF-8, is written as its escape.

    Args:
        path: the file; its folder is made.
        newline, encoding: as for `open`.
    """
    if _is_special(path):
        with path.open("w", encoding=encoding, errors="backslashreplace", newline=newline) as file:
            yield file
        return
    final = resolved(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead_files(final)
    partial = final.with_name(f"{_partial_prefix(final)}{os.getpid()}-{os.urandom(4).hex()}")
    file = partial.open("x", encoding=encoding, errors="backslashreplace", newline=newline)
    try:
        with suppress(OSError):
            flock(file.fileno())
        try:
            yield file
        finally:
            file.close()  # a full disk may be noticed only here
        if final.exists():
            shutil.copymode(final, partial)
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a file of textapp's own atomically: on a full disk the old one stays.

    Raises:
        ArtifactError: something that is no file has its name, such as a pipe in a stranger's run.
    """
    if path.exists() and not path.is_file():
        raise ArtifactError(f"{path}: found a folder, a pipe or a device, expected a file to replace: move it away")
    with atomic_file(path) as file:
        file.write(text)


def check_output(path: Path) -> None:
    """Checks that a file can be written, before the work begins.

    Raises:
        UsageError: it is a folder, a part of its path is a file, or its folder cannot be written.
    """
    if _is_special(path):
        return
    final = resolved(path)
    if final.is_dir():
        raise UsageError(f"{path}: is a folder, expected the name of a file")
    above = next(folder for folder in final.parents if folder.exists() or folder.is_symlink())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: {above} is no folder that can be written: use another name")


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths mean the same file: by links of both kinds, or in another case where that does not count."""
    if "\0" in f"{one}{other}":  # as a damaged manifest may list it: no file has such a name
        return False
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def resolved(path: Path) -> Path:
    """The folder or file that a path means, behind symbolic links, even if it does not exist yet.

    Raises:
        UsageError: the links lead to each other.
    """
    try:
        found = path.resolve()
    except (RuntimeError, OSError) as error:
        raise UsageError(f"{path}: cannot be resolved ({error}): use another name") from error
    if found.is_symlink():
        raise UsageError(f"{path}: a symbolic link that leads to itself: use another name")
    return found


def _is_special(path: Path) -> bool:
    """Whether a path is a device or a pipe, such as /dev/null and /dev/stdout, which a rename would replace."""
    if path.absolute().parts[1:2] in (("dev",), ("proc",)):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _partial_prefix(final: Path) -> str:
    return f".{final.name}.textapp-"


def _remove_dead_files(final: Path) -> None:
    for left in final.parent.glob(f"{_escaped(_partial_prefix(final))}*-????????"):
        with suppress(OSError):
            if left.is_symlink() or (hasattr(os, "getuid") and left.stat().st_uid != os.getuid()):
                continue
            pid = left.name.removeprefix(_partial_prefix(final)).split("-")[0]
            if not pid.isdigit() or alive({"pid": int(pid), "host": socket.gethostname()}):
                continue
            with left.open("a") as file:
                if flock(file.fileno()):
                    left.unlink()


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
