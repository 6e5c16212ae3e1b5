"""The errors that a user can fix; their exit code tells wrong data or files (1) from a wrong call (2).

Every message says where (file, line or key), what was found, what was expected, and how to fix it.
"""

from __future__ import annotations

import difflib
import importlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from itertools import islice
from types import ModuleType

_MAX_COMPARED_LENGTH = 100
_MAX_COMPARED_WORDS = 1000


def plural(count: int, noun: str) -> str:
    """A number with its noun, for a message.

    Args:
        count: of the things.
        noun: one of them; the plural adds an s.

    Example: `plural(1, "step")` is `1 step`, and `plural(1200, "step")` is `1,200 steps`.
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


class TextappError(Exception):
    """An error that the user can fix. Shown without a traceback unless `--debug` is given."""

    exit_code = 1


class DataError(TextappError):
    """A file of examples is missing, cannot be read, or does not match the config."""


class ArtifactError(TextappError):
    """A run folder or a bundle is missing, incomplete, changed, or made for another purpose."""


class ExportError(TextappError):
    """A model could not be exported, or its export does not give the same answers as the model."""


class UsageError(TextappError):
    """A command or a function was called with wrong arguments."""

    exit_code = 2


class OptionError(UsageError):
    """An option of a call has a value that is not allowed.

    Args:
        message: the message, with options as Python spells them.
        options: the options that it mentions.

    Attributes:
        for_shell: the message for a command line: `--beam-size` for `beam_size`.
    """

    def __init__(self, message: str, *options: str) -> None:
        super().__init__(message)
        named = rf"(?<![\w-])(?:{'|'.join(map(re.escape, options))})(?![\w-])"
        self.for_shell = re.sub(named, lambda match: f"--{match[0].replace('_', '-')}", message)


class ConfigError(UsageError):
    """A YAML config has an unknown key, a value out of range, or keys that do not go together."""


def did_you_mean(word: str, known: Iterable[str], form: Callable[[str], str] = str) -> str:
    """Returns `; did you mean 'epochs'?` for the known word most similar to `word`, else an empty string.

    If the two look alike, it says what they differ in. Only the first 1,000 known words of a similar length are
    compared, and no word of more than 100 characters.

    Args:
        word: what was found, or expected.
        known: the words that there are.
        form: words are compared in it, such as `str.casefold`, and told as they are.
    """
    if len(word) > _MAX_COMPARED_LENGTH:
        return ""
    # Words whose lengths differ by more than a factor of 3 cannot have a similarity of 0.5.
    similar = (other for other in known if len(other) <= min(3 * len(word), _MAX_COMPARED_LENGTH))
    of_forms = {form(other): other for other in islice(similar, _MAX_COMPARED_WORDS)}
    found = difflib.get_close_matches(form(word), list(of_forms), n=1, cutoff=0.5)
    if not found:
        return ""
    nearest = of_forms[found[0]]
    alike = nearest.casefold() != word.casefold() and look(nearest) == look(word)
    return f"; did you mean '{visible(nearest)}'{f', which differs in {difference(nearest, word)}' if alike else ''}?"


def visible(text: str) -> str:
    """The text with an escape in place of each character that leaves no mark of its own on the screen.

    Example: `visible("Boots\\u200b")` is `Boots`, a backslash and `u200b`.
    """
    return "".join(_escaped(c) if not c.isprintable() or _UNSEEN.match(c) else c for c in text)


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it has whitespace and invisible characters alone.

    Example: `is_blank("\\u200b ")` is true.
    """
    text = text.strip()
    return not text or not text.isascii() and all(not c.isprintable() or _UNSEEN.match(c) or c == " " for c in text)


def look(name: str) -> str:
    """A key that names share which differ in case, width, invisible characters, spaces, or the way to write a number.

    Cyrillic and Greek letters count as the Latin ones that they look like, in either case.

    Example: `look("Boots\\u200b") == look("boots")`, and `look("1.0") == look("1")`.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).translate(_LATIN)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf" and not _UNSEEN.match(c))
    text = " ".join(text.split())
    return repr(float(text)) if _NUMBER.fullmatch(text) else text


def difference(first: str, second: str) -> str:
    """What tells two names apart that look alike: `case`, or the code points in which they differ.

    Args:
        first, second: two different names.

    Example: of `Boots` and `Boots` with a zero-width space it is `U+200B`; of the two ways to write `é` it is
    `U+00E9 against U+0065 U+0301`.
    """
    if first.lower() == second.lower():
        return "case"
    if first.casefold() == second.casefold():  # `straße` and `STRASSE`
        first, second = first.lower(), second.lower()
    parts: tuple[list[str], list[str]] = ([], [])
    for kind, *ranges in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if kind != "equal":
            parts[0].extend(first[ranges[0] : ranges[1]])
            parts[1].extend(second[ranges[2] : ranges[3]])
    found = [_code_points(dict.fromkeys(part)) for part in parts if part]
    return " against ".join(dict.fromkeys(found))


def looks_like(name: str, known: Iterable[str]) -> str:
    """Returns `; it looks like 'Boots', but they differ in U+200B` for a known name that looks as `name` does.

    Args:
        name: the name that was found.
        known: the names that were expected.

    Returns:
        An empty string if there is none.
    """
    wanted = look(name)
    alike = next((other for other in known if other != name and look(other) == wanted), None)
    return f"; it looks like '{visible(alike)}', but they differ in {difference(alike, name)}" if alike else ""


# Characters without a mark that Unicode counts as letters or combining marks: fillers, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LATIN = str.maketrans("авекмнорстухіјѕαβεζηικμνορτυχ‐‑‒–—−‘’“”", "abekmhopctyxijsabezhikmnoptyx------''\"\"")
_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{0,300})?")
_MAX_CODE_POINTS = 6


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _code_points(characters: Iterable[str]) -> str:
    points = [f"U+{ord(character):04X}" for character in characters]
    return " ".join(points[:_MAX_CODE_POINTS]) + (" ..." if len(points) > _MAX_CODE_POINTS else "")


def require(module: str, extra: str) -> ModuleType:
    """Imports a package that only some installations have.

    Args:
        module: the dotted name to import, `sklearn.metrics`.
        extra: the extra of textapp that installs it, `evaluate`.

    Raises:
        UsageError: the package is not installed; the message gives the pip command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        package = module.split(".")[0]
        raise UsageError(
            f"this needs the package '{package}', which is not installed: pip install 'textapp[{extra}]'"
        ) from error
