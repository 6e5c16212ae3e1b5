"""Warnings about texts, so few that they do not hide everything else."""

from __future__ import annotations

import logging

MAX_WARNED = 20  # of one kind
MORE = "further warnings about texts that are {} are suppressed"

log = logging.getLogger("textapp")


class Warned:
    """Warns once of each text, at most `MAX_WARNED` times of each kind."""

    def __init__(self) -> None:
        self._texts: dict[str, set[int]] = {}

    def warn(self, kind: str, text: str, message: str) -> None:
        """Logs a warning.

        Args:
            kind: what is wrong, such as `too long`.
            text: what it is about.
            message: the warning.
        """
        warned, key = self._texts.setdefault(kind, set()), hash(text)
        if key in warned or len(warned) > MAX_WARNED:
            return
        warned.add(key)
        log.warning("%s", message if len(warned) <= MAX_WARNED else MORE.format(kind))
