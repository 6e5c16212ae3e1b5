"""Reads files that a stranger may have written: regular files of bounded size, JSON, and keys of the expected type.

Every fault becomes an error that names the file, the key, what was found and what was expected.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any, NamedTuple

from textapp.errors import ArtifactError

MAX_JSON_BYTES = 64 << 20  # the largest tokenizer.json of a published model has about 35 MB
_POINTER = b"version https://git-lfs.github.com/spec/"
_ADVICE = "copy the whole folder again"

_short = Repr()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxlist, _short.maxdict = 2, 60, 60, 6, 4


def shown(value: Any) -> str:
    """A value for a message, on one line and cut off: deep nesting and long texts are safe."""
    return " ".join(_short.repr(value).split())


def git_lfs_pointer(path: str | Path) -> str | None:
    """What to say about a file that is a pointer of Git LFS instead of the file itself; None if it is not one.

    Example: `found a Git LFS pointer instead of the file itself: run git lfs pull in its repository, or download it`.
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(len(_POINTER)) != _POINTER:
                return None
    except OSError:
        return None
    return "found a Git LFS pointer instead of the file itself: run git lfs pull in its repository, or download it"


def check_regular(path: Path) -> None:
    """Checks that a path is a file that can be read to its end: no folder, pipe or device, and no Git LFS pointer.

    Raises:
        ArtifactError: it is something else.
        FileNotFoundError: it does not exist.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        found = kinds.get(stat.S_IFMT(mode), "a device")
        raise ArtifactError(f"{path}: found {found}, expected a regular file: {_ADVICE}")
    if pointer := git_lfs_pointer(path):
        raise ArtifactError(f"{path}: {pointer}")


def read_bytes(path: Path, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """The content of a regular file of bounded size.

    Raises:
        ArtifactError: it is no regular file, is too large, or cannot be read.
        FileNotFoundError: it does not exist.
    """
    check_regular(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise ArtifactError(f"{path}: found {size >> 20} MB, expected at most {max_bytes >> 20} MB: {_ADVICE}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}): {_ADVICE}") from error


def read_text(path: Path, max_bytes: int = MAX_JSON_BYTES) -> str:
    """The content of a file in UTF-8.

    Raises:
        ArtifactError: as `read_bytes`, or it is not UTF-8.
        FileNotFoundError: it does not exist.
    """
    try:
        return read_bytes(path, max_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path}: found bytes that are not UTF-8 ({error}), expected UTF-8: {_ADVICE}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file, in which repeated keys are errors.

    Raises:
        ArtifactError: as `read_text`, or it is not JSON.
        FileNotFoundError: it does not exist.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=unique_keys)
    except RecursionError as error:
        raise ArtifactError(f"{path}: found lists or objects nested too deeply: {_ADVICE}") from error
    except ValueError as error:
        raise ArtifactError(f"{path}: cannot be read as JSON ({error}): {_ADVICE}") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of `json.loads`, as its `object_pairs_hook`.

    Raises:
        ValueError: a key is repeated.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {shown(next(name for name in names if names.count(name) > 1))} is repeated")
    return content


# --- the type of a key ---------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A type of values.

    Attributes:
        words: what was expected, for messages.
        fits: whether a value is of this type.
    """

    words: str
    fits: Callable[[Any], bool]


def whole(low: int = 0, high: int = 2**31 - 1) -> Kind:
    """Whole numbers in a range, both ends included."""
    words = f"a whole number from {low}" + (f" to {high}" if high < 2**31 - 1 else "")
    return Kind(words, lambda value: type(value) is int and low <= value <= high)


def list_of(kind: Kind, at_least: int = 0, exactly: int | None = None) -> Kind:
    """Lists of values of one type.

    Args:
        kind: of the values.
        at_least: minimum number of values.
        exactly: number of values; None: any.
    """
    count = f"{exactly} " if exactly is not None else "one or more " if at_least else ""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) >= at_least
            and exactly in (None, len(value))
            and all(map(kind.fits, value))
        )

    return Kind(f"a list of {count}values, each {kind.words}", fits)


def mapping_of(kind: Kind) -> Kind:
    """Objects whose values are of one type."""
    return Kind(
        f"an object whose values are each {kind.words}",
        lambda value: isinstance(value, Mapping) and all(map(kind.fits, value.values())),
    )


def one_of(*values: Any) -> Kind:
    """Some values, of the same type."""
    words = " or ".join(map(repr, values))
    return Kind(words, lambda value: any(type(value) is type(each) and value == each for each in values))


def either(*kinds: Kind) -> Kind:
    """Values of one of several types."""
    return Kind(" or ".join(kind.words for kind in kinds), lambda value: any(kind.fits(value) for kind in kinds))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not _SURROGATES.search(value)


_SURROGATES = re.compile("[\ud800-\udfff]")
_HEX = re.compile("[0-9a-f]{64}")
TEXT = Kind("a text", _is_text)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
LARGEST = 1e100  # of numbers: whole ones in JSON may be too large for a float
NUMBER = Kind("a number", lambda value: type(value) in (int, float) and abs(value) < LARGEST)
SHARE = Kind("a number from 0 to 1", lambda value: type(value) in (int, float) and 0 <= value <= 1)
NOTHING = Kind("null", lambda value: value is None)
OBJECT = Kind("an object", lambda value: isinstance(value, Mapping))
SHA256 = Kind("the sha256 of the file", lambda value: isinstance(value, str) and bool(_HEX.fullmatch(value)))
MAX_LENGTH = 1 << 20  # tokens
LENGTHS = Kind(
    f"a list of whole numbers from 1 to {MAX_LENGTH}, ascending",
    lambda value: (
        isinstance(value, list)
        and len(value) > 0
        and all(map(whole(1, MAX_LENGTH).fits, value))
        and all(one < next_ for one, next_ in zip(value, value[1:], strict=False))
    ),
)


class Document(dict[str, Any]):
    """The object of a JSON file.

    Attributes:
        source: the file.
    """

    source: Path | str = "the manifest"


def key(document: Mapping[str, Any], name: str, kind: Kind) -> Any:
    """The value of a key.

    Args:
        document: the object of a JSON file; messages name the `source` of a `Document`.
        name: of the key.
        kind: the expected type of the value.

    Raises:
        ArtifactError: the key is missing, or its value is of another type.

    Example: `key(manifest, "labels", list_of(TEXT, at_least=1))`.
    """
    source = getattr(document, "source", Document.source)
    if name not in document:
        raise ArtifactError(f"{source}: has no key '{name}', expected {kind.words}: {_ADVICE}, or make it anew")
    return checked(document[name], kind, f"{source}: key '{name}'")


def checked(value: Any, kind: Kind, where: str) -> Any:
    """Returns a value of the expected type.

    Args:
        value: the value.
        kind: the expected type.
        where: file and key, for the message.

    Raises:
        ArtifactError: it is of another type.
    """
    if not kind.fits(value):
        raise ArtifactError(f"{where}: found {shown(value)}, expected {kind.words}: {_ADVICE}, or make it anew")
    return value
