"""Files that are not on this machine, by URL: `s3://`, `gs://`, `https://` and every other protocol of fsspec.

Where credentials and regions come from is a matter of each protocol's package (s3fs, gcsfs): its own variables and
files, never textapp's. A `RemotePath` has what readers of files use of a `pathlib.Path`, so they take either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from textapp.errors import UsageError, require

EXTRA = "remote"
_URL = re.compile(r"[A-Za-z][\w+.-]+(::|://)")  # not C:\texts; `::` chains protocols
# An object store has no folders; of other places the folders are made.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {"file": {"auto_mkdir": True}}


def is_remote(name: Any) -> bool:
    """Whether a path of a config or of the command line is a URL.

    Example: `is_remote("s3://bucket/reviews.tsv")`, not `is_remote("reviews.tsv")`.
    """
    return isinstance(name, RemotePath) or (isinstance(name, str) and _URL.match(name) is not None)


def place_of(name: str | Path, folder: Path = Path()) -> Path | RemotePath:
    """The place that a path or a URL means.

    Args:
        name: such as `~/reviews`, `reviews` or `s3://bucket/reviews`.
        folder: where a relative path starts.
    """
    return RemotePath(str(name)) if is_remote(name) else folder / os.path.expanduser(name)


class Stat(NamedTuple):
    """What is known of a file before it is read: its bytes; 0 if the server does not tell."""

    st_size: int


class RemotePath:
    """A file or a folder by its URL. Nothing is asked of the server before a method is called.

    Args:
        url: of a protocol that fsspec knows, with its package installed.

    Raises:
        UsageError: by every method that asks the server: the protocol is unknown, or its package is not installed.
        OSError: by them, for whatever goes wrong on the way.

    Example: `RemotePath("s3://bucket/reviews.tsv").open().read(100)`.
    """

    def __init__(self, url: str | RemotePath) -> None:
        self.url = str(url)

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"RemotePath({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the URL, without the question of a web address."""
        return re.sub(r"[?#].*", "", self.url).rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The extension."""
        return Path(self.name).suffix

    # --- what a server is asked --------------------------------------------------------------------------------------

    def is_file(self) -> bool:
        """Whether it is there, and no folder."""
        with self._system() as (system, path):
            return system.isfile(path)

    def is_dir(self) -> bool:
        """Whether it is a folder, which an object store has if a file has its name before a slash."""
        with self._system() as (system, path):
            return system.isdir(path)

    def stat(self) -> Stat:
        """See `Stat`."""
        with self._system() as (system, path):
            return Stat(system.size(path) or 0)

    def matching(self) -> list[RemotePath]:
        """The file itself, or those that it means as a glob, by name; none if there are none."""
        with self._system() as (system, path):
            if system.isfile(path):
                return [self]
            found = system.glob(path, detail=True) if re.search(r"[*\[?]", path) else {}
            files = sorted(name for name, about in found.items() if about["type"] == "file")
            return [RemotePath(system.unstrip_protocol(name)) for name in files]

    def open(self, mode: str = "rb") -> RemoteFile:
        """Opens it to read its bytes; those of a range are fetched alone, where the server can do that."""
        with self._system() as (system, path):
            return RemoteFile(self, system.open(path, mode))

    def read_bytes(self) -> bytes:
        """Its content."""
        with self._system() as (system, path):
            return system.cat_file(path)

    def download(self, folder: Path, names: list[str]) -> None:
        """Copies files of this folder into a local one.

        Args:
            folder: the local one.
            names: relative to both, with slashes.
        """
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with self._system() as (system, path):
            system.get([f"{path}/{name}" for name in names], [str(folder / name) for name in names])

    def upload(self, folder: Path, names: list[str]) -> None:
        """Copies files of a local folder into this one; see `download`."""
        with self._system() as (system, path):
            system.put([str(folder / name) for name in names], [f"{path}/{name}" for name in names])

    def remove(self, names: list[str]) -> None:
        """Removes those files of this folder that are there."""
        with self._system() as (system, path):
            for name in names:
                if system.isfile(f"{path}/{name}"):
                    system.rm_file(f"{path}/{name}")

    def check_writable(self) -> None:
        """Writes a small file into this folder, and removes it: before hours of work, not after them."""
        name = f".textapp-{os.getpid()}"
        with self._system() as (system, path):
            system.pipe_file(f"{path}/{name}", b"textapp\n")
        self.remove([name])

    @contextmanager
    def _system(self) -> Iterator[tuple[Any, str]]:
        """The file system of the URL, and the path there; what goes wrong within is told as an OSError."""
        core = require("fsspec.core", EXTRA)
        protocol = self.url.partition("://")[0].partition("::")[0]
        with _told(self.url):
            try:
                system, path = core.url_to_fs(self.url, **_OPTIONS.get(protocol, {}))
            except ImportError as error:
                raise UsageError(
                    f"{self.url}: {protocol}:// needs a package that is not installed ({error}): pip install "
                    f"'textapp[{EXTRA}]', or that package"
                ) from error
            except ValueError as error:
                raise UsageError(f"{self.url}: {error}: expected a path, or a URL of a protocol of fsspec") from error
            yield system, path.rstrip("/")


class RemoteFile:
    """An open file, whose errors are those of a local one.

    Args:
        path: for messages.
        file: of fsspec.
    """

    def __init__(self, path: RemotePath, file: Any) -> None:
        self._path, self._file = path, file

    def __enter__(self) -> RemoteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        with _told(self._path.url):
            return self._file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        """Goes to a place."""
        with _told(self._path.url):
            return self._file.seek(place, whence)

    def close(self) -> None:
        """Ends the connection."""
        self._file.close()


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UsageError):
        raise
    except Exception as error:  # each protocol's package has its own
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error
