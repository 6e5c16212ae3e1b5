"""What goes wrong for a user, sorted by who can mend it: the exit code says which.

Every message names the file, the line or the key, what was found, what was expected, and how to mend it.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable
from types import ModuleType


class TextappError(Exception):
    """A fault that the user can mend. Shown without a traceback unless `--debug` is given."""

    exit_code = 1


class DataError(TextappError):
    """A file of examples is missing, unreadable or does not hold what the config says."""


class ArtifactError(TextappError):
    """A run folder or a bundle is missing, incomplete, changed, or made for something else."""


class ExportError(TextappError):
    """A model could not be exported, or its export did not answer as the model does."""


class UsageError(TextappError):
    """The call cannot be carried out as written."""

    exit_code = 2


class OptionError(UsageError):
    """An option of a call has a value that does not do.

    Args:
        message: names options as Python spells them.
        options: those that it names.

    Attributes:
        for_shell: the message for who typed a command: `--beam-size` for `beam_size`.
    """

    def __init__(self, message: str, *options: str) -> None:
        super().__init__(message)
        named = rf"(?<![\w-])(?:{'|'.join(map(re.escape, options))})(?![\w-])"
        self.for_shell = re.sub(named, lambda found: f"--{found[0].replace('_', '-')}", message)


class ConfigError(UsageError):
    """A YAML config has an unknown key, a value out of range, or keys that do not go together."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'epochs'?` for the known word nearest to `word`, else an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def require(module: str, extra: str) -> ModuleType:
    """Imports a package that only some installations have.

    Args:
        module: the dotted name to import, `sklearn.metrics`.
        extra: the extra of textapp that brings it, `evaluate`.

    Raises:
        UsageError: it is not installed; the message names the pip line.
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
