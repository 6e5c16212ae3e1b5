"""The options that several commands share, and how they are read from the command line."""

from __future__ import annotations

import functools
import inspect as introspection
import math
import os
from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from textapp.decoding.options import DecodingOptions


class Target(str, Enum):
    litert = "litert"
    tflite_runtime = "tflite-runtime"
    saved_model = "saved_model"
    litert_lm = "litert-lm"


class EdgeTarget(str, Enum):
    litert = "litert"
    tflite_runtime = "tflite-runtime"


class Quantize(str, Enum):
    none = "none"
    float16 = "float16"
    dynamic = "dynamic"
    int8 = "int8"
    int4 = "int4"
    int8_weights = "int8-weights"
    int4_weights = "int4-weights"
    auto = "auto"


class BatchRunner(str, Enum):
    local = "local"
    beam = "beam"
    ray = "ray"


class Overflow(str, Enum):
    truncate = "truncate"
    error = "error"


def _path(text: str) -> Path:
    """A path of the command line; a shell does not replace the `~` of `--input=~/texts.csv`."""
    return Path(os.path.expanduser(text))


def path_argument(metavar: str, help: str) -> Any:
    """An argument that is a file or a folder."""
    return typer.Argument(parser=_path, metavar=metavar, help=help)


def path_option(metavar: str, help: str, *names: str, panel: str | None = None) -> Any:
    """An option that takes a file or a folder.

    Args:
        metavar: `FILE` or `DIR`.
        help: of the option.
        names: its names, if others than that of the parameter.
        panel: of the help, for options of some tasks alone.
    """
    return typer.Option(*names, parser=_path, metavar=metavar, help=help, rich_help_panel=panel)


def finite(value: float | None) -> float | None:
    """Refuses NaN, which passes every comparison with a minimum and a maximum."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"found {value}, expected a number")
    return value


ConfigPath = Annotated[Path, path_argument("CONFIG", "YAML config of the run; examples are in configs/")]
RunArgument = Annotated[Path, path_argument("RUN", "a run folder")]
PathArgument = Annotated[Path, path_argument("PATH", "a run folder or a bundle")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="override a config key, such as training.epochs=1; the value is YAML; repeatable",
    ),
]
RunFolder = Annotated[str | None, typer.Option(metavar="DIR", help="run folder [default: run in the config]")]
Overwrite = Annotated[bool, typer.Option(help="replace an existing run; files of yours in it stay")]
DataDir = Annotated[
    Path | None,
    path_option("DIR", "base folder of relative data paths [default: TEXTAPP_DATA, else the working directory]"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON to stdout, and everything else to stderr")]
DataFiles = Annotated[
    list[Path] | None,
    path_option(
        "FILE", "use these examples instead of the run's; parallel files: --data SOURCE --data TARGET", "--data"
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(metavar="FIELD=COLUMN,..", help="columns of those files by number or name, such as text=0,label=1"),
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="encoding of those files: gb18030, ..; auto: the likely one"),
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads per answer")]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        callback=finite,
        help="minimum probability; below it the answer is 'unknown' (multi-label: labels at or above it)",
    ),  # fmt: skip
]
Trusted = Annotated[
    bool, typer.Option("--trusted", help="open a SavedModel, a program that can read and write any file of yours")
]
NoAnswerThreshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="minimum score of an answer; below it there is none", rich_help_panel="Question answering"
    ),
]
Runtime = Annotated[
    str, typer.Option(metavar="NAME", help="interpreter of .tflite files: auto, litert or tflite-runtime")
]


def generation_option(help: str, *names: str) -> Any:
    """An option for models that generate text."""
    return typer.Option(*names, help=help, rich_help_panel="Translation and generation")


def with_decoding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command that takes `**decoding` an option for each field of `DecodingOptions`; it gets those given."""
    parameters = list(introspection.signature(command, eval_str=True).parameters.values())[:-1]
    parameters += [
        introspection.Parameter(
            option.name,
            introspection.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_cli_type(hint) | None, generation_option(option.metadata["help"])],
        )
        for option, hint in zip(fields(DecodingOptions), get_type_hints(DecodingOptions).values(), strict=True)
    ]

    names = {option.name for option in fields(DecodingOptions)}

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        command(**{name: value for name, value in arguments.items() if name not in names or value not in (None, [])})

    with_options.__signature__ = introspection.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options


def _cli_type(hint: Any) -> Any:
    """The type of an option on the command line: a tuple of strings is an option that repeats."""
    if get_origin(hint) is tuple:
        return list[str]
    return next((part for part in get_args(hint) if part is not type(None)), hint)
