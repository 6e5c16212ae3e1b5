"""How files and folders are replaced: whole or not at all, by one process at a time, and nothing of the user's is lost.

Uses only the standard library, because a device reads bundles with what is above this module.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from textapp.errors import ArtifactError, UsageError
from textapp.untrusted import read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

WORK = ".textapp-work"  # what a folder's name is followed by in that of its work folder
MARKER = "textapp.json"  # in a work folder
KEPT = ".kept"  # what the name of a user's file is followed by where textapp needs its name
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # of a file system without flock


def work_folder(final: Path) -> Path:
    """The work folder beside `final`: `runs/reviews.textapp-work` for `runs/reviews`."""
    return final.with_name(final.name + WORK)


def cache_folder() -> Path:
    """Where textapp keeps what it can get again: below `$XDG_CACHE_HOME`, else `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textapp"


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


def check_place(final: Path) -> None:
    """Checks that a folder can be written and renamed, before the work begins.

    Args:
        final: a resolved path.

    Raises:
        UsageError: it is a mount point, a part of its path is a file, or the folder above cannot be written.
    """
    if os.path.ismount(final):
        raise UsageError(f"{final}: is a mount point, which cannot be replaced as a whole: use a folder inside it")
    above = next(folder for folder in final.parents if folder.exists() or folder.is_symlink())
    if not above.is_dir():
        raise UsageError(f"{final}: {above} is no folder: use another name")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{final}: {above} cannot be written: use another folder, or change its permissions")
    folder = work_folder(final)
    if (folder.exists() or folder.is_symlink()) and not is_ours(folder):
        raise UsageError(
            f"{folder}: expected a work folder of textapp, with its {MARKER}, found one of yours: rename it, or use "
            f"another folder than {final}"
        )


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


# --- one process at a time -----------------------------------------------------------------------------------------


def mark(folder: Path, purpose: str) -> None:
    """Marks a folder that stays as textapp's; see `owner`."""
    write_text(folder / MARKER, json.dumps({"made_by": "textapp", "purpose": purpose}) + "\n")


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
            return _flock(self._file)
        except OSError:
            return not _alive(owner(self.folder))

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


def _flock(file: int) -> bool:
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


def _alive(found: dict[str, Any]) -> bool:
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


def in_use(folder: Path) -> str:
    """Says which process uses a work folder; empty if none does."""
    try:
        file = os.open(folder / MARKER, os.O_RDWR)
    except OSError:
        return ""
    found = owner(folder)
    try:
        free = _flock(file)
    except OSError:
        free = not _alive(found)
    finally:
        os.close(file)
    if free:
        return ""
    where = f"process {found['pid']} on {found['host']}" if {"pid", "host"} <= found.keys() else "another process"
    return f"{where} works on it ({found.get('purpose', 'textapp')}, since {found.get('since', 'a moment ago')})"


# --- folders -------------------------------------------------------------------------------------------------------

Made = Callable[[Path], set[str]]  # a folder -> the names of what textapp made in it, relative to it, with slashes


class WorkFolder:
    """Where the next content of a folder is made, by one process at a time; see `work_folder`.

    Inside are `new`, which is made, and for a moment `old`, which it replaces. A process that is killed between the
    two renames leaves both, and `recover` ends what it began.

    Args:
        final: the folder to replace, resolved.
        purpose: `training` or `export`.
        keeps: a file in `new` that is worth to be kept when the work ends early, such as a checkpoint.
        overwrite: whether other work that was kept there may go, such as a training where a preparation is made.

    Raises:
        ArtifactError: another process works on the same folder.
        UsageError: the place cannot be written, see `check_place`, or other work was kept there.

    Example:
        with WorkFolder(final, "export") as work:
            (work.new / "model.tflite").write_bytes(content)
            work.swap(made)
    """

    def __init__(self, final: Path, purpose: str, keeps: str | None = None, overwrite: bool = False) -> None:
        self.final, self.path, self.purpose, self.keeps = final, work_folder(final), purpose, keeps
        self._overwrite = overwrite
        self.new, self.old = self.path / "new", self.path / "old"

    def __enter__(self) -> WorkFolder:
        check_place(self.final)
        if not self._overwrite:
            self._check_no_other_work()
        self._lock = Marked(self.path, self.purpose, self.final, self.keeps)
        return self

    def _check_no_other_work(self) -> None:
        found = owner(self.path)
        kept, purpose = found.get("keeps"), found.get("purpose")
        if isinstance(kept, str) and (purpose, kept) != (self.purpose, self.keeps) and (self.new / kept).is_file():
            raise UsageError(
                f"{self.path}: found another {purpose} that was interrupted: end it by the command that began it, "
                f"use another folder than {self.final}, or move this one away"
            )

    def __exit__(self, *_: object) -> None:
        keep = self.keeps and (self.new / self.keeps).is_file()
        if self._lock.intact():
            if not keep and not self.old.exists():
                shutil.rmtree(self.new, ignore_errors=True)
        elif not (self.path / MARKER).exists():  # it was deleted; what this process wrote since then is of no use
            shutil.rmtree(self.new, ignore_errors=True)
            with suppress(OSError):
                self.path.rmdir()
        self._lock.release(remove=not keep)

    def clear(self) -> None:
        """Makes `new` an empty folder."""
        shutil.rmtree(self.new, ignore_errors=True)
        self.new.mkdir()

    def swap(self, made: Made) -> list[Path]:
        """Puts `new` in the place of `final`, where files that textapp did not make stay.

        Args:
            made: tells what textapp made in the old folder, which goes.

        Returns:
            The files of the user that have another name now, because the new folder has a file of that name.

        Raises:
            ArtifactError: the work folder was deleted meanwhile.
        """
        if not self._lock.intact() or not self.new.is_dir():
            raise ArtifactError(
                f"{self.path}: was deleted or replaced during the {self.purpose}, so it is not finished: run the same "
                "command again, and leave this folder alone"
            )
        try:
            if self.final.exists():
                os.replace(self.final, self.old)
            os.replace(self.new, self.final)
        except BaseException:  # includes Ctrl-C between the two
            if self.old.exists() and not self.final.exists():
                os.replace(self.old, self.final)
            raise
        return self.settle(made)

    def settle(self, made: Made) -> list[Path]:
        """Ends a swap that was begun, by this process or by one that was killed; see `swap`.

        Raises:
            ArtifactError: the user put another folder in the place.
        """
        if not self.old.is_dir():
            return []
        if not self.final.exists():
            os.replace(self.new if self.new.is_dir() else self.old, self.final)
        elif self.new.is_dir():
            raise ArtifactError(
                f"{self.final}: was made after a {self.purpose} was killed that was about to replace it: move it away, "
                f"and run the command again; the new folder is {self.new}, the one before {self.old}"
            )
        if not self.old.is_dir():
            return []
        try:
            return _merge(self.old, self.final, made(self.old))
        except OSError as error:
            raise ArtifactError(
                f"{self.final}: is replaced, but files of yours are still in {self.old} ({error}): move them to where "
                "you want them, and delete that folder"
            ) from error


def recover(final: Path, made: Made) -> None:
    """Ends a replacement of `final` whose process was killed between the two renames, if it can.

    Args:
        final: the folder, resolved.
        made: see `WorkFolder.swap`.
    """
    if not (work_folder(final) / "old").is_dir() or not owner(work_folder(final)):
        return
    # What cannot be written, or is in use, stays: `interrupted` says so.
    with suppress(OSError, ArtifactError, UsageError), WorkFolder(final, "recovery", overwrite=True) as work:
        work.settle(made)


def interrupted(folder: Path) -> str:
    """What there is to be said of work on a folder that was interrupted, or goes on: a hint for errors, or nothing."""
    work = next((each for each in (folder, folder.parent) if each.name.endswith(WORK)), work_folder(folder))
    found = owner(work)
    if not found:
        return ""
    if busy := in_use(work):
        return f"; {busy}: wait until it ends"
    if (work / "old").is_dir():
        final = work.with_name(work.name.removesuffix(WORK))
        return f"; a process was killed while it replaced it: mv {work / 'old'} {final} brings the old one back"
    if found.get("purpose") == "training":
        return f"; {work} is an interrupted training: run the same train command again to resume it"
    return f"; {work} is left of an interrupted {found.get('purpose')}: run the command again"


def _merge(old: Path, new: Path, made: set[str], prefix: str = "") -> list[Path]:
    """Moves what is not in `made` from a folder to the same place in another one, and deletes the rest."""
    renamed: list[Path] = []
    for path in sorted(old.iterdir()):
        name, target = prefix + path.name, new / path.name
        if stat.S_ISDIR(path.lstat().st_mode):
            ours = name in made or any(each.startswith(f"{name}/") for each in made)
            if ours or target.is_dir():
                if not target.is_dir() and _has_foreign(path, made, name):
                    target = _free(target)
                    target.mkdir()
                renamed += _merge(path, target, made, f"{name}/")
                continue
        elif name in made:
            path.unlink()
            continue
        place = _free(target)
        os.rename(path, place)
        renamed += [place] if place != target else []
    old.rmdir()
    return renamed


def _free(path: Path) -> Path:
    """The path, or one like it that nothing has."""
    while path.exists() or path.is_symlink():
        path = path.with_name(path.name + KEPT)
    return path


def _has_foreign(folder: Path, made: set[str], prefix: str) -> bool:
    """Whether anything in a folder is not in `made`."""
    for path in folder.iterdir():
        name = f"{prefix}/{path.name}"
        inside = stat.S_ISDIR(path.lstat().st_mode)
        if _has_foreign(path, made, name) if inside else name not in made:
            return True
    return False


@contextmanager
def scratch_folder(purpose: str, parent: Path | None = None) -> Iterator[Path]:
    """A temporary folder, removed at the end; those that killed processes left are removed first.

    Args:
        purpose: a word of its name: `export` gives `textapp-export-...`.
        parent: where it is made, such as the disk to which it will be moved; None: where temporary files are.
    """
    prefix = f"textapp-{purpose}-"
    parent = parent or Path(tempfile.gettempdir())
    for folder in parent.glob(f"{prefix}*"):
        remove_dead(folder, purpose)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-", dir=parent) as name:
        lock = Marked(Path(name), purpose, Path(name))
        try:
            (inside := Path(name) / "new").mkdir()
            yield inside
        finally:
            lock.release(remove=False)


@contextmanager
def new_folder(final: Path, purpose: str) -> Iterator[Path]:
    """Yields an empty folder, which becomes `final` when the block ends without an error, so that none is ever half.

    Where another process was faster, its folder stays.

    Args:
        final: is missing, such as a folder of the cache that several processes may want at the same time.
        purpose: see `scratch_folder`.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(purpose, final.parent) as new:
        yield new
        if not final.is_dir():
            new.rename(final)


def remove_dead(folder: Path, purpose: str) -> None:
    """Removes a work folder or a temporary folder of the user's own whose process was killed, unless it holds an `old`.

    Args:
        folder: any folder.
        purpose: only one that was made for it.
    """
    with suppress(OSError):
        own = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
        if own and is_ours(folder) and owner(folder).get("purpose") == purpose and not (folder / "old").exists():
            with suppress(ArtifactError, UsageError):
                lock = Marked(folder, purpose, folder)
                shutil.rmtree(folder / "new", ignore_errors=True)
                lock.release(remove=True)


# --- files ---------------------------------------------------------------------------------------------------------


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
            _flock(file.fileno())
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
            if not pid.isdigit() or _alive({"pid": int(pid), "host": socket.gethostname()}):
                continue
            with left.open("a") as file:
                if _flock(file.fileno()):
                    left.unlink()


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
