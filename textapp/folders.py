"""How folders are replaced: whole or not at all, by one process at a time, and nothing of the user's is lost.

Uses only the standard library, because a device reads bundles with what is above this module.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from textapp.errors import ArtifactError, UsageError
from textapp.files import write_text
from textapp.locks import MARKER, Marked, in_use, is_ours, owner

WORK = ".textapp-work"  # what a folder's name is followed by in that of its work folder
KEPT = ".kept"  # what the name of a user's file is followed by where textapp needs its name
Made = Callable[[Path], set[str]]  # a folder -> the names of what textapp made in it, relative to it, with slashes


def work_folder(final: Path) -> Path:
    """The work folder beside `final`: `runs/reviews.textapp-work` for `runs/reviews`."""
    return final.with_name(final.name + WORK)


def cache_folder() -> Path:
    """Where textapp keeps what it can get again: below `$XDG_CACHE_HOME`, else `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textapp"


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


def mark(folder: Path, purpose: str) -> None:
    """Marks a folder that stays as textapp's; see `owner`."""
    write_text(folder / MARKER, json.dumps({"made_by": "textapp", "purpose": purpose}) + "\n")


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
