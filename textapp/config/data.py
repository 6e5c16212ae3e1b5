"""The `data` of a config: which files, and where the fields of a record stand in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Union

from pydantic import Field, field_validator

from textapp.config.parts import Files, Model, Share, one_of


class ParallelFiles(Model):
    """Two files, or as many on each side, whose lines are translations of one another."""

    source: Files
    target: Files


Source = Annotated[
    Union[str, list[str], ParallelFiles],
    one_of("a path, a glob, or a list of them; for parallel files {source: train.zh, target: train.en}"),
]
ShareOrSource = Annotated[
    Union[Share, str, list[str], ParallelFiles],
    one_of("a share between 0 and 1, a path, a glob, or a list of them; for parallel files {source: .., target: ..}"),
]
Column = Annotated[
    Union[Annotated[int, Field(ge=0)], str, list[str]], one_of("a name, a list of names, or a number from 0")
]
Header = Annotated[Union[Literal["auto"], bool], one_of("auto, true or false")]


class Data(Model):
    """The files of examples and how to read them."""

    train: Source = Field(description="a path, a glob or a list: .csv .tsv .jsonl .json .txt, each also .gz")
    validation: ShareOrSource = Field(default=0.1, description="files, or a share of train")
    test: ShareOrSource | None = Field(default=None, description="files, or a share of train")
    columns: dict[str, Column] = Field(
        default={}, description="field of a record -> a name, names that may stand for it, or a number counted from 0"
    )
    header: Header = Field(default="auto", description="does the first line name the columns?")
    pattern: str | None = Field(default=None, description="a regular expression with groups text and label, per line")
    language: str | None = Field(default=None, description="en, zh, ...; None: told from the script of the texts")
    source_language: str | None = Field(default=None, description="translation: of the source; None: told from it")
    target_language: str | None = Field(default=None, description="translation: of the target; None: told from it")
    labels: Literal["single", "multiple"] = Field(default="single", description="one label a text, or several")

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
            for field in ("text", "label"):
                if field not in groups:
                    raise ValueError(f"has no group named '{field}': write (?P<{field}>...)")
        return pattern

    def fields(self, usual: Mapping[str, Sequence[str]]) -> dict[str, int | list[str]]:
        """The columns in use, as `{field: number or list of names}`.

        A side of a translation may also be named by its language.

        Args:
            usual: field -> the names that its column usually has, of the task.

        Example: with `columns: {source: 1}` and `target_language: en`, `usual` of `{"source": ["src"], "target":
        ["tgt"]}` gives `{"source": 1, "target": ["tgt", "en"]}`.
        """
        names = {field: list(known) for field, known in usual.items() if known}
        for field, language in (("source", self.source_language), ("target", self.target_language)):
            if field in names and language is not None:
                names[field].append(language)
        chosen = {field: self.columns.get(field, names.get(field)) for field in usual}
        return {
            field: column if isinstance(column, int) else [column] if isinstance(column, str) else list(column)
            for field, column in chosen.items()
            if column is not None
        }
