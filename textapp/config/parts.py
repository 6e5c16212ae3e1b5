"""Base class and types for the parts of a config, and how messages show a value."""

from __future__ import annotations

import re
import reprlib
from typing import Annotated, Any, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

MOST_SHOWN = 80  # characters of a value in a message
MAX_COUNT = 2**31 - 1


class Model(BaseModel):
    """Base class: frozen, an unknown key is an error, and so is an infinite number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=(), allow_inf_nan=False
    )


class _Short(reprlib.Repr):
    """`repr` that reads no further than it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = MOST_SHOWN
        self.maxlong = 40
        self.maxlevel = 3

    def repr_int(self, value: int, level: int) -> str:
        return super().repr_int(value, level) if value.bit_length() < 10_000 else "a number of over 3,000 digits"


_SHORT = _Short()


def shown(value: Any, quotes: bool = True) -> str:
    """A value as messages show it, in one line of at most 80 characters.

    Args:
        value: any value of a config.
        quotes: whether a text is in quotes.
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = _SHORT.repr(value)
    if isinstance(value, str) and not quotes:
        text = text[1:-1]
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def one_of(expected: str) -> WrapValidator:
    """Reports a value that fits no type of a union in one line, instead of one line for each type."""

    def checked(value: Any, union: ValidatorFunctionWrapHandler) -> Any:
        try:
            return union(value)
        except ValidationError as error:
            own = [fault["msg"] for fault in error.errors() if fault["type"] == "value_error"]
            if own:
                raise ValueError(own[0].removeprefix("Value error, ")) from error
            raise ValueError(f"expected {expected}{_within(value, error)}") from error

    return WrapValidator(checked)


def _within(value: Any, error: ValidationError) -> str:
    """Names the entry of a dict at which an error is; empty if the value is none, or has no other entry."""
    if not isinstance(value, dict) or len(value) < 2:
        return ""
    keys = [part for fault in error.errors() for part in fault["loc"] if part in value]
    return f"; the one of {shown(keys[0])} is {shown(value[keys[0]])}" if keys else ""


def _no_boolean(value: Any) -> Any:
    """Python takes True for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "found a boolean")
    return value


def _as_written(value: Any) -> Any:
    """A text that pydantic would read as another number than YAML does is none: `010`."""
    word = value.strip() if isinstance(value, str) else ""
    if re.match(r"[-+]?0[0-9_]", word):
        digits = word.lstrip("-+0_") or "0"
        raise ValueError(f"expected a number without zeros before it: write {word[: word[0] in '-+']}{digits}")
    return _no_boolean(value)


def _one_line(text: str) -> str:
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise ValueError(
            "expected a path without line breaks and other control characters; in double quotes YAML reads \\n and \\t"
            " as such: write the path in single quotes"
        )
    return text


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a path, such as data/train.csv")
    return text


Int = Annotated[int, BeforeValidator(_as_written)]
Float = Annotated[float, BeforeValidator(_as_written)]
Share = Annotated[Float, Field(gt=0, lt=1)]
Rate = Annotated[Float, Field(ge=0, lt=1)]
Count = Annotated[Int, Field(ge=1, le=MAX_COUNT)]
Counts = Annotated[list[Count], Field(min_length=1)]
PathText = Annotated[str, AfterValidator(_one_line)]
FileText = Annotated[PathText, AfterValidator(_not_empty)]
Paths = Annotated[list[FileText], Field(min_length=1)]
Files = Annotated[Union[FileText, Paths], one_of("a path, a glob, or a list of them")]
