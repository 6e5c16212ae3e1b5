"""Folders of textapp that one process uses at a time: their marker, which is locked, and says who uses them."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from textapp.errors import ArtifactError, UsageError
from textapp.untrusted import read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MARKER = "textapp.json"  # in a work folder
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # of a file system without flock


class Marked:
    """A folder of textapp that one process uses at a time.

    Its marker says which, and is locked (flock): the lock ends with the process, however that ends. On a file system
    without locks the process that the marker names has to be gone, if it was of this machine.

    Args:
        folder: made if it is missing.
        purpose: `training` or `export`.
        what: the folder that messages name.
        keeps: see `WorkFolder`.

    Raises:
        ArtifactError: another process uses it.
        UsageError: it is not textapp's.
    """

    def __init__(self, folder: Path, purpose: str, what: Path, keeps: str | None = None) -> None:
        self.folder, self._purpose, self._what, self._keeps = folder, purpose, what, keeps
        self._marker = folder / MARKER
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            if not is_ours(folder):
                raise UsageError(f"{folder}: expected a work folder of textapp, found one of yours: rename it")
            try:
                self._file = os.open(self._marker, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
            except FileNotFoundError:  # the process before has just removed the folder
                continue
            if not self._locked():
                os.close(self._file)
                raise ArtifactError(f"{what}: {in_use(folder)}: wait until it ends, or use another folder")
            if self.intact():
                break
            os.close(self._file)
        self._describe()

    def _locked(self) -> bool:
        try:
            return flock(self._file)
        except OSError:
            return not alive(owner(self.folder))

    def _describe(self) -> None:
        content = {
            "made_by": "textapp",
            "about": f"textapp works here ({self._purpose}) for {self._what.name}, and removes this folder at the end",
            "purpose": self._purpose,
            "keeps": self._keeps,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, (json.dumps(content, indent=1) + "\n").encode(), 0)

    def intact(self) -> bool:
        """Whether the folder is still the one that was locked, and was not deleted."""
        with suppress(OSError):
            return os.path.samestat(os.fstat(self._file), os.stat(self._marker))
        return False

    def release(self, remove: bool) -> None:
        """Ends the use; with `remove` the folder goes, unless somebody put something into it."""
        with suppress(OSError):
            if remove and self.intact() and [path.name for path in self.folder.iterdir()] == [MARKER]:
                self._marker.unlink()
                self.folder.rmdir()
        os.close(self._file)


def is_ours(folder: Path) -> bool:
    """Whether textapp made a folder: it has the marker, or is empty, as between its making and the marker's."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    marker = folder / MARKER
    if not marker.is_file() or marker.is_symlink():
        return not any(folder.iterdir())
    return not marker.stat().st_size or bool(owner(folder))


def owner(folder: Path) -> dict[str, Any]:
    """What the marker of a work folder tells: made_by, purpose, pid, host, since; empty if it is not textapp's."""
    try:
        content = read_json(folder / MARKER)
    except (OSError, ArtifactError):
        return {}
    ours = isinstance(content, dict) and content.get("made_by") == "textapp"
    return content if ours else {}


def in_use(folder: Path) -> str:
    """Says which process uses a work folder; empty if none does."""
    try:
        file = os.open(folder / MARKER, os.O_RDWR)
    except OSError:
        return ""
    found = owner(folder)
    try:
        free = flock(file)
    except OSError:
        free = not alive(found)
    finally:
        os.close(file)
    if free:
        return ""
    where = f"process {found['pid']} on {found['host']}" if {"pid", "host"} <= found.keys() else "another process"
    return f"{where} works on it ({found.get('purpose', 'textapp')}, since {found.get('since', 'a moment ago')})"


def flock(file: int) -> bool:
    """Locks a file; False if another process has it.

    Raises:
        OSError: there are no locks here.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise
        return False
    return True


def alive(found: dict[str, Any]) -> bool:
    """Whether the process of a marker runs, on this machine."""
    pid = found.get("pid")
    if found.get("host") != socket.gethostname() or not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True
