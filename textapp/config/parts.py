"""Base class and types for the parts of a config."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator


class Model(BaseModel):
    """Base class: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())


def one_of(expected: str) -> WrapValidator:
    """Reports a value that fits no type of a union in one line, instead of one line for each type."""

    def checked(value: Any, union: ValidatorFunctionWrapHandler) -> Any:
        try:
            return union(value)
        except ValidationError as error:
            raise ValueError(f"expected {expected}") from error

    return WrapValidator(checked)


Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Counts = Annotated[list[Count], Field(min_length=1)]
Files = Annotated[Union[str, list[str]], one_of("a path, a glob, or a list of them")]
