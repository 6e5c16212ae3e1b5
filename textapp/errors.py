"""The errors that a user can fix; their exit code tells wrong data or files (1) from a wrong call (2).

Every message says where (file, line or key), what was found, what was expected, and how to fix it.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable
from types import ModuleType


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'epochs'?` for the known word most similar to `word`, else an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


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
