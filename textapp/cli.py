"""The command line: one command a stage. Each command's code is imported only when it is called."""

from __future__ import annotations

import functools
import importlib.util
import inspect as introspection
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from textapp.decoding.options import DecodingOptions
from textapp.errors import OptionError, TextappError, UsageError

app = typer.Typer(
    name="textapp",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From a text file to a small, fast model that answers on a device.",
    epilog="Begin with textapp check CONFIG, then train, evaluate, export. --debug after a command shows tracebacks.",
)


class Target(str, Enum):
    litert = "litert"
    tflite_runtime = "tflite-runtime"
    saved_model = "saved_model"


class Quantize(str, Enum):
    none = "none"
    float16 = "float16"
    dynamic = "dynamic"
    int8 = "int8"
    auto = "auto"


class Overflow(str, Enum):
    truncate = "truncate"
    error = "error"


def _generative(help: str, *names: str) -> Any:
    """An option for models that generate text."""
    return typer.Option(*names, help=help, rich_help_panel="Translation and generation")


def _with_decoding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command that takes `**decoding` an option for each field of `DecodingOptions`."""
    own = list(introspection.signature(command, eval_str=True).parameters.values())[:-1]
    parameters = [
        introspection.Parameter(
            option.name,
            introspection.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_cli_type(hint) | None, _generative(option.metadata["help"])],
        )
        for option, hint in zip(fields(DecodingOptions), get_type_hints(DecodingOptions).values(), strict=True)
    ]

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        command(**arguments)

    with_options.__signature__ = introspection.Signature([*own, *parameters])  # type: ignore[attr-defined]  # typer reads it
    with_options.__annotations__ = {each.name: each.annotation for each in [*own, *parameters]}
    return with_options


def _cli_type(hint: Any) -> Any:
    """The type of an option on the command line: a tuple of strings is an option that repeats."""
    if get_origin(hint) is tuple:
        return list[str]
    return next((part for part in get_args(hint) if part is not type(None)), hint)


ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="the YAML of the run; configs/ holds complete ones")]
PathArgument = Annotated[Path, typer.Argument(metavar="PATH", help="a run folder or a bundle")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a key, training.epochs=1; repeats; the value is YAML"),
]
DataDir = Annotated[
    Path | None, typer.Option(help="where relative data paths start [default: TEXTAPP_DATA, else here]")
]
Json = Annotated[bool, typer.Option("--json", help="JSON alone on stdout, all else on stderr")]
DataFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="these examples instead of the run's; parallel files: --data SOURCE --data TARGET",
    ),
]
ColumnsOption = Annotated[
    str | None, typer.Option(metavar="FIELD=COLUMN,..", help="the columns of those files, text=0,label=1 or names")
]
Threads = Annotated[int, typer.Option(min=1, help="threads inside one answer")]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="minimum probability; below it the answer is 'unknown' (multi-label: labels at or above it)",
    ),  # fmt: skip
]
Runtime = Annotated[str, typer.Option(metavar="NAME", help="for .tflite files: auto, litert or tflite-runtime")]


@app.command()
def train(
    config: ConfigPath,
    overrides: Overrides = None,
    run: Annotated[str | None, typer.Option(metavar="DIR", help="the folder [default: the config's run]")] = None,
    data_dir: DataDir = None,
    overwrite: Annotated[bool, typer.Option(help="start anew where a run is there already")] = False,
) -> None:
    """Train what CONFIG describes. Cut off, the same command resumes it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end_training)  # before imports that take seconds
    from textapp.commands.train import train as command

    command(config, overrides or [], run, data_dir, overwrite)


@app.command()
def evaluate(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="a run folder or a bundle; none with --judged")
    ] = None,
    data: DataFiles = None,
    columns: ColumnsOption = None,
    data_dir: DataDir = None,
    threshold: Threshold = None,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="for metrics.json, and mistakes.tsv or outputs.tsv [default: RUN/evaluation]"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--side-by-side", metavar="FILE", help="write a .csv for human judges of PATH and --against"),
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="a variant that --side-by-side compares; repeats")
    ] = None,
    judged: Annotated[
        Path | None, typer.Option(metavar="FILE", help="read the .csv back and count what was preferred")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure quality, with the latency of the same file beside it: on test, else on validation."""
    if judged is not None:
        from textapp.commands.side_by_side import read_sheet

        beside = {"PATH": path, "--side-by-side": sheet, "--against": against, "--data": data, "--columns": columns}
        for name, value in beside.items():
            if value:
                raise UsageError(f"--judged {judged}: takes no {name}, as its key says who wrote what: leave it out")
        read_sheet(judged, as_json)
        return
    if path is None:
        raise UsageError("PATH is missing: name a run folder or a bundle, or a sheet with --judged FILE")
    if sheet is not None:
        from textapp.commands.side_by_side import write_sheet

        write_sheet(path, sheet, against or [], data or [], columns, data_dir, threads, runtime, as_json)
        return
    if against:
        raise UsageError("--against is for --side-by-side FILE: give both; to compare figures, textapp benchmark")
    from textapp.commands.evaluate import evaluate as command

    command(path, data or [], columns, data_dir, threads, runtime, output, as_json, {"threshold": threshold})


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    target: Annotated[Target, typer.Option(help="target runtime")] = Target.litert,
    quantize: Annotated[
        Quantize, typer.Option(help="number format of the weights; auto measures all and picks")
    ] = Quantize.auto,
    max_drop: Annotated[
        float, typer.Option(min=0, help="points of accuracy or BLEU, or percent of perplexity, that it may lose")
    ] = 0.5,
    text: Annotated[bool, typer.Option("--text", help="saved_model: also a signature that takes strings")] = False,
    data_dir: DataDir = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="the bundle [default: RUN/exports/TARGET]")] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help=".tflite files that write: also take so many texts a call; memory for texts/s")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Export a run as a bundle: verified in the target's own interpreter, or not written."""
    from textapp.commands.export import export as command
    from textapp.export.options import ExportOptions

    options = ExportOptions(target.value, quantize.value, max_drop, text, batch_size)
    command(run, options, data_dir, output, as_json)


@app.command()
@_with_decoding_options
def predict(
    path: PathArgument,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT..", help="texts; none: lines of stdin")] = None,
    pair: Annotated[
        list[str] | None, typer.Option("--pair", metavar="TEXT", help="the second text of each, for models of pairs")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="a .csv .tsv .jsonl .json or .txt, also .gz")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="write a JSON line an input")] = None,
    columns: ColumnsOption = None,
    threshold: Threshold = None,
    workers: Annotated[int, typer.Option(min=1, help="runners that answer at the same time")] = 1,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    as_json: Json = False,
    overflow: Annotated[
        Overflow | None, _generative("input longer than the model reads: truncate it (default) or report an error")
    ] = None,
    stream: Annotated[bool, _generative("print the text while it is generated", "--stream")] = False,
    **decoding: Any,
) -> None:
    """Answer texts: label, translate or continue them."""
    from textapp.commands.predict import predict as command

    decoding = {name: value for name, value in decoding.items() if value not in (None, [])}
    options = {"threshold": threshold, "overflow": overflow.value if overflow else None}
    command(
        path, texts or [], pair or [], input_file, output, columns, workers, threads, runtime, as_json, stream, options,
        decoding,
    )  # fmt: skip


@app.command()
def benchmark(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH..", help="run folders and bundles")],
    data: DataFiles = None,
    columns: ColumnsOption = None,
    data_dir: DataDir = None,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    as_json: Json = False,
) -> None:
    """Compare runs and bundles: size, latency and memory, with the quality of each beside them."""
    from textapp.commands.benchmark import benchmark as command

    command(paths, data or [], columns, data_dir, threads, runtime, as_json)


@app.command()
def inspect(path: PathArgument, as_json: Json = False) -> None:
    """Show what a run or a bundle is."""
    from textapp.commands.inspect import inspect as command

    command(path, as_json)


@app.command()
def check(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG", help="none: the environment alone")] = None,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Profile the data of CONFIG and this machine, before anyone trains."""
    from textapp.commands.check import check as command

    command(config, overrides or [], data_dir, as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--run", metavar="DIR", help="the folder of the demo's run")] = Path(
        "saved_models/demo"
    ),
) -> None:
    """Train on the samples of a checkout, export, answer without TensorFlow, print the table."""
    if importlib.util.find_spec("textapp.demo") is None:
        raise UsageError(
            "textapp demo runs from a checkout of the repository, as wheels hold no samples: clone it, then make demo"
        )
    from textapp.demo.command import demo as command

    command(folder)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and leaves with its exit code: 0 done, 1 files or data at fault, 2 the call or the YAML."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    _log_to_stderr()
    try:
        sys.exit(app(arguments, prog_name="textapp", standalone_mode=False) or 0)
    except TextappError as error:
        if debug:
            raise
        message = error.for_shell if isinstance(error, OptionError) else error
        _leave(f"error: {message}", error.exit_code)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _leave("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of a pipe left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        _fault(error, debug)


def _fault(error: Exception, debug: bool) -> None:
    """A call that click refuses, a disk that is full, or a fault of our own."""
    if hasattr(error, "format_message"):  # click's own errors: the call is wrong
        context: Any = getattr(error, "ctx", None)
        command = context.command_path if context else "textapp"
        if not error.format_message():  # an empty call: the help was printed instead
            sys.exit(2)
        message = error.format_message().replace("Value error, ", "")  # pydantic's word for what typer checks by it
        _leave(f"error: {message}\ntry: {command} --help", 2)
    if debug:
        raise error
    if isinstance(error, OSError):
        _leave(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    _leave(f"error: {type(error).__name__}: {error}\nthis looks like a fault of textapp: run it again with --debug", 1)


def _end_training(number: int, frame: Any) -> None:
    """Ends a training outside of its epochs, which hold a signal until their checkpoint is written."""
    _leave("stopped by SIGTERM: the same command again goes on from what was saved", os.EX_TEMPFAIL)


def _leave(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return f"warning: {line}" if record.levelno >= logging.WARNING else line


def _log_to_stderr() -> None:
    """Sends our own log to stderr, as plain lines."""
    log = logging.getLogger("textapp")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Line())
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
