"""A word of the parallel samples: in Chinese and in English, with the forms that sentences ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Forms:
    """A word in one language: its plain form, and others by name.

    Example: with `noun = Forms("book", many="books")`, `f"{noun}"` is `book` and `f"{noun:many}"` is `books`.
    """

    def __init__(self, plain: str, **others: str) -> None:
        self.forms = {"": plain, **others}

    def __format__(self, form: str) -> str:
        return self.forms[form]


class Word(NamedTuple):
    """A word in both languages."""

    chinese: Forms
    english: Forms
    tags: frozenset[str] = frozenset()


def plain(*lines: str) -> tuple[Word, ...]:
    """Words without other forms, from lines such as `猫 cat, 狗 dog`."""
    pairs = [pair.split(" ", 1) for line in lines for pair in line.split(", ")]
    return tuple(Word(Forms(chinese), Forms(english)) for chinese, english in pairs)


def tagged(lines: Mapping[str, str]) -> tuple[Word, ...]:
    """Words without other forms, `{"tag other": "猫 cat, 狗 dog"}`."""
    return tuple(word._replace(tags=frozenset(tags.split())) for tags, line in lines.items() for word in plain(line))
