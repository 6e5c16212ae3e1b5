"""The `data` part of a config: the files, and the columns of the fields of a record."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import Field, field_validator, model_validator

from textapp.config.parts import Files, FileText, Int, Model, Paths, PathText, Share, one_of
from textapp.encodings import text_encoding
from textapp.errors import UsageError
from textapp.languages import is_language, nearest_language, normalized


class ParallelFiles(Model):
    """Files of sources and files of targets, as many of each; equal lines translate one another."""

    source: Files
    target: Files


FILES = "a path, a glob, or a list of them; for parallel files {source: train.zh, target: train.en}"
Source = Annotated[Union[FileText, Paths, ParallelFiles], one_of(FILES)]
ShareOrSource = Annotated[
    Union[Share, FileText, Paths, ParallelFiles],
    one_of("a share between 0 and 1, a path, a glob, or a list of them; for parallel files {source: .., target: ..}"),
]
_Name = Annotated[str, Field(min_length=1)]
Column = Annotated[
    Union[Annotated[Int, Field(ge=0)], _Name, Annotated[list[_Name], Field(min_length=1)]],
    one_of("a name, a list of names, or a number from 0"),
]
Header = Annotated[Union[Literal["auto"], bool], one_of("auto, true or false")]


class Data(Model):
    """The files of examples and how to read them."""

    train: Source | None = Field(
        default=None,
        description=(
            "a path, a URL, a glob or a list: .csv .tsv .jsonl .json .txt (translation: .sgm .xml .tmx), each also .gz"
        ),
    )
    prepared: PathText | None = Field(
        default=None,
        description="folder or URL of textapp prepare, whose token ids are read in place of the texts of train",
    )
    validation: ShareOrSource = Field(default=0.1, description="files, or a share of train")
    test: ShareOrSource | None = Field(default=None, description="files, or a share of train")
    columns: dict[str, Column] = Field(
        default={},
        description="field of a record -> name of its column, possible names (label: or 0/1 columns), or its number",
    )
    header: Header = Field(default="auto", description="whether the first line names the columns")
    encoding: str = Field(
        default="utf-8", description="of the files: utf-8, gb18030, ... or auto, which takes the likely one"
    )
    pattern: str | None = Field(
        default=None, description="regular expression for a line, with the groups text and label"
    )
    language: str | None = Field(default=None, description="en, zh, ...; None: guessed from the script of the texts")
    source_language: str | None = Field(default=None, description="translation: language of the source; None: guessed")
    target_language: str | None = Field(default=None, description="translation: language of the target; None: guessed")
    misplaced_answers: Literal["skip", "error"] = Field(
        default="skip", description="question answering: an answer that is not in its context"
    )
    labels: Literal["single", "multiple"] = Field(default="single", description="one label per text, or any number")
    label_separator: str | None = Field(
        default=None,
        description="divides the labels of a cell, '' if nothing does; None: newline | ; or ,",
    )

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str) -> str:
        try:
            return text_encoding(encoding, "expected")
        except UsageError as error:
            raise ValueError(f"expected {str(error).rpartition(', expected ')[2]}") from error

    @field_validator("validation", "test", mode="before")
    @classmethod
    def _share_is_a_number(cls, value: Any) -> Any:
        word = value.strip() if isinstance(value, str) else ""
        percent = re.fullmatch(r"([0-9]{1,3}(?:[.,][0-9]{1,9})?)\s*[%％]", word)
        comma = re.fullmatch(r"0?[,，]([0-9]{1,9})", word)
        share = float(percent[1].replace(",", ".")) / 100 if percent else float(f"0.{comma[1]}") if comma else None
        if share is not None:
            example = f"{share:.10g}" if 0 < share < 1 else "0.1"
            raise ValueError(f"expected a share between 0 and 1, or files: write {example}")
        return value

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groupindex
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"not a regular expression: {error}") from error
            for field in ("text", "label"):
                if field not in groups:
                    raise ValueError(f"has no group named '{field}': write (?P<{field}>...)")
        return pattern

    @field_validator("language", "source_language", "target_language")
    @classmethod
    def _language_exists(cls, code: str | None) -> str | None:
        if code is None or is_language(code):
            return code
        near = nearest_language(code) if len(code.strip()) > 1 else None
        mean = f"; did you mean '{near}'?" if near else ""
        raise ValueError(
            f"expected the code of a language such as en, zh or pt-BR (ISO 639, BCP 47){mean}; without this key it is"
            f" guessed from the script"
        )

    @model_validator(mode="after")
    def _one_label_is_not_divided(self) -> Data:
        if self.label_separator is not None and self.labels == "single":
            raise ValueError("label_separator divides several labels of a text: set labels: multiple, or leave it out")
        return self

    @property
    def train_texts(self) -> Source | None:
        """The training files, if their texts are read; None if their ids are read from a prepared folder."""
        return self.train if self.prepared is None else None

    @property
    def shares(self) -> dict[str, float]:
        """The splits that are a share of the training texts."""
        given = {"validation": self.validation, "test": self.test}
        return {name: share for name, share in given.items() if isinstance(share, float)}

    @property
    def first_files(self) -> Source | None:
        """The training files, else those of the first other split that has files of its own."""
        given = (self.train_texts, self.validation, self.test)
        return next((files for files in given if files is not None and not isinstance(files, float)), None)

    def fields(self, usual: Mapping[str, Sequence[str]]) -> dict[str, int | list[str]]:
        """The columns of each field, as `{field: number or list of names}`.

        A column of a translation may also have the language as its name. A default name that another field is given is
        no name of this one: with `columns: {text: label}` the label is not looked for in `label`.

        Args:
            usual: field -> default names of its column, see `TaskKeys.columns`.

        Example: with `columns: {source: 1}` and `target_language: en`, `usual` of `{"source": ["src"], "target":
        ["tgt"]}` gives `{"source": 1, "target": ["tgt", "en"]}`.
        """
        names = {field: list(known) for field, known in usual.items() if known}
        for field, language in (("source", self.source_language), ("target", self.target_language)):
            if field in names and language is not None:
                names[field] += dict.fromkeys((language, normalized(language)))
        given = {name for column in self.columns.values() for name in ([column] if isinstance(column, str) else [])}
        names = {field: [name for name in known if name not in given] or known for field, known in names.items()}
        chosen = {field: self.columns.get(field, names.get(field)) for field in usual}
        return {
            field: column if isinstance(column, int) else [column] if isinstance(column, str) else list(column)
            for field, column in chosen.items()
            if column is not None
        }
