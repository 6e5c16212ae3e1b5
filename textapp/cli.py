"""The command line: one command for each stage. The code of a command is imported only when it is called."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from textapp.cli_options import (
    BatchRunner,
    ColumnsOption,
    ConfigPath,
    DataDir,
    DataFiles,
    EdgeTarget,
    EncodingOption,
    Json,
    NoAnswerThreshold,
    Overflow,
    Overrides,
    Overwrite,
    PathArgument,
    Quantize,
    RunArgument,
    RunFolder,
    Runtime,
    Target,
    Threads,
    Threshold,
    Trusted,
    finite,
    generation_option,
    path_argument,
    path_option,
    with_decoding_options,
)
from textapp.errors import OptionError, TextappError, UsageError
from textapp.terminal import guard_streams, printable


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Typer would make of Ctrl-C an exit without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error


app = typer.Typer(
    name="textapp",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Trains a small, fast text model from a file of examples and exports it for a device.",
    epilog="Start with textapp check CONFIG, then train, evaluate, export. --debug after a command shows tracebacks.",
)


@app.command()
def train(
    config: ConfigPath,
    overrides: Overrides = None,
    run: RunFolder = None,
    data_dir: DataDir = None,
    overwrite: Overwrite = False,
) -> None:
    """Train the model that CONFIG describes. The same command resumes an interrupted training."""
    from textapp.commands.train import train as command

    command(config, overrides or [], run, data_dir, overwrite)


@app.command()
def prepare(
    config: ConfigPath,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DIR", help="folder, or URL, to write [default: data.prepared of the config]"),
    ] = None,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes that read and tokenise [default: one for each core]")
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, max=99_999, help="number of files [default: one for 250,000 examples at most]")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="replace a finished or interrupted DIR; files of yours stay")] = False,
    as_json: Json = False,
) -> None:
    """Tokenise the training texts of CONFIG once, for data too large for memory.

    Cleans and tokenises in parallel, and writes TFRecord shards of token ids, the tokenizer and a manifest to DIR. With
    data.prepared: DIR in the config textapp train reads these in place of data.train, and makes the same model. For all
    tasks, with files for data.validation. The same command goes on after an interruption.
    """
    from textapp.commands.prepare import prepare as command

    command(config, to, overrides or [], data_dir, workers, shards, overwrite, as_json)


@app.command()
def launch(
    config: ConfigPath,
    workers: Annotated[int, typer.Option(min=2, max=64, help="number of worker processes")] = 2,
    overrides: Overrides = None,
    run: RunFolder = None,
    data_dir: DataDir = None,
    overwrite: Overwrite = False,
) -> None:
    """Train with several worker processes on this machine's CPU, to try what several machines would do."""
    from textapp.commands.launch import launch as command

    command(workers, config, overrides or [], run, data_dir, overwrite)


@app.command()
def compress(
    run: RunArgument,
    recipe: Annotated[Path, path_option("FILE", "YAML recipe; examples are in configs/compression/")],
    new_run: Annotated[
        str | None, typer.Option("--run", metavar="DIR", help="new run folder [default: RUN-RECIPE]")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="override a key, such as steps.0.epochs=1; repeatable"),
    ] = None,
    data_dir: DataDir = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compress a run by a recipe into a new run. The same command resumes an interrupted one."""
    from textapp.commands.compress import compress as command

    command(run, recipe, overrides or [], new_run, data_dir, overwrite, as_json)


@app.command()
def optimize(
    run: RunArgument,
    target: Annotated[EdgeTarget, typer.Option(help="target runtime")] = EdgeTarget.litert,
    max_drop: Annotated[
        float,
        typer.Option(
            min=0,
            callback=finite,
            help="allowed loss on validation: points of accuracy, F1 or BLEU, or percent of perplexity",
        ),
    ] = 0.5,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="allowed size of model and tokenizer, such as 5MB")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option(metavar="TIME", help="allowed time of the median answer to one text, such as 3ms")
    ] = None,
    minutes: Annotated[float, typer.Option(callback=finite, help="time for the search, all its calls together")] = 60,
    keep: Annotated[
        Path | None, path_option("DIR", "folder of the search, to go on in [default: RUN-optimize]")
    ] = None,
    recipes: Annotated[
        list[Path] | None, path_option("FILE", "try this recipe instead of textapp's own; repeatable", "--recipe")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Search compressions and number formats for the fastest file within a budget. The same command goes on."""
    from textapp.commands.optimize import optimize as command

    command(run, target.value, max_drop, max_size, max_latency, minutes, keep, recipes or [], data_dir, as_json)


@app.command()
def evaluate(
    path: Annotated[Path | None, path_argument("PATH", "a run folder or a bundle; omitted with --judged")] = None,
    data: DataFiles = None,
    columns: ColumnsOption = None,
    encoding: EncodingOption = None,
    data_dir: DataDir = None,
    threshold: Threshold = None,
    no_answer_threshold: NoAnswerThreshold = None,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    trusted: Trusted = False,
    output: Annotated[
        Path | None,
        path_option("DIR", "folder for metrics.json, and mistakes.tsv or outputs.tsv [default: RUN/evaluation]"),
    ] = None,
    sheet: Annotated[
        Path | None,
        path_option("FILE", "write the outputs of PATH and --against to a .csv for human judges", "--side-by-side"),
    ] = None,
    against: Annotated[list[Path] | None, path_option("PATH", "another variant for --side-by-side; repeatable")] = None,
    judged: Annotated[Path | None, path_option("FILE", "read a judged .csv and count the preferences")] = None,
    as_json: Json = False,
) -> None:
    """Measure quality and latency on the test split, else on the validation split."""
    if judged is not None:
        from textapp.commands.side_by_side import read_sheet

        others = {
            "PATH": path,
            "--side-by-side": sheet,
            "--against": against,
            "--data": data,
            "--columns": columns,
            "--encoding": encoding,
        }
        for name, value in others.items():
            if value:
                raise UsageError(f"--judged {judged}: takes no {name}, as its key names the variants: leave it out")
        read_sheet(judged, as_json)
        return
    if path is None:
        raise UsageError("PATH is missing: give a run folder or a bundle, or a judged sheet with --judged FILE")
    if sheet is not None:
        from textapp.commands.side_by_side import write_sheet

        write_sheet(
            path, sheet, against or [], data or [], columns, encoding, data_dir, threads, runtime, as_json, trusted
        )
        return
    if against:
        raise UsageError("--against needs --side-by-side FILE: give both, or use textapp benchmark to compare figures")
    from textapp.commands.evaluate import evaluate as command

    options = {"threshold": threshold, "no_answer_threshold": no_answer_threshold}
    command(path, data or [], columns, encoding, data_dir, threads, runtime, output, as_json, options, trusted)


@app.command()
def export(
    run: RunArgument,
    target: Annotated[
        Target, typer.Option(help="target runtime; litert-lm: LiteRT-LM's apps, for language models")
    ] = Target.litert,
    quantize: Annotated[
        Quantize,
        typer.Option(
            help="number format of the weights; int4: of Transformers that write; auto measures all and takes the "
            "fastest that passes, for litert-lm the smallest; of saved_model: none, int8-weights or int4-weights, and "
            "auto is none"
        ),
    ] = Quantize.auto,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="allowed loss: points of accuracy, F1 or BLEU, or percent of perplexity "
            "[default: 0.5; 2 if the run has no texts to measure it on; 6 for a language model in int4]",
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="saved_model: add a signature that takes strings")] = False,
    data_dir: DataDir = None,
    output: Annotated[Path | None, path_option("DIR", "bundle folder [default: RUN/exports/TARGET]")] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, help="generative .tflite: add signatures for batches of this size; faster, but takes more memory"
        ),
    ] = 1,
    golden: Annotated[
        str | None,
        typer.Option(
            metavar="none|FILE",
            help="texts of golden.json, one per line of FILE [default: three of the examples, word by word]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Export a run as a bundle. It is verified in the target's own interpreter and written only if it passes."""
    from textapp.commands.export import export as command
    from textapp.export.options import ExportOptions, golden_texts

    options = ExportOptions(target.value, quantize.value, max_drop, text, batch_size, golden_texts(golden))
    command(run, options, data_dir, output, as_json)


@app.command()
@with_decoding_options
def predict(
    path: PathArgument,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT..", help="texts; default: the lines of stdin")
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option("--pair", metavar="TEXT", help="second text of a pair, one per TEXT")
    ] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="a question; repeatable", rich_help_panel="Question answering")
    ] = None,
    context: Annotated[
        list[Path] | None,
        path_option(
            "FILE",
            "text file to find the answers in: one for all questions, or one for each",
            panel="Question answering",
        ),
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        path_option(
            "FILE",
            "a .csv, .tsv, .jsonl, .json or .txt file, to translate also .sgm, .xml, .tmx; also .gz;"
            " with --runner repeatable, and a glob in quotes",
            "--input",
        ),
    ] = None,
    output: Annotated[
        Path | None, path_option("FILE", "write one JSON line per input to this file; --runner: folder")
    ] = None,
    runner: Annotated[
        BatchRunner | None,
        typer.Option(
            help="answer the files of --input with several processes here, or on a cluster by Apache Beam or Ray; the"
            " same command goes on after an interruption",
            rich_help_panel="Batch prediction",
        ),
    ] = None,
    beam_options: Annotated[
        str | None,
        typer.Option(
            metavar="OPTIONS",
            help="options of Beam's pipeline in one word, such as '--runner=FlinkRunner --flink_master=host:8081'",
            rich_help_panel="Batch prediction",
        ),
    ] = None,
    columns: ColumnsOption = None,
    encoding: EncodingOption = None,
    threshold: Threshold = None,
    no_answer_threshold: NoAnswerThreshold = None,
    num_answers: Annotated[
        int | None, typer.Option(min=1, help="number of spans to list", rich_help_panel="Question answering")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="number of runners that answer in parallel [default: 1; with --runner one for each core]"
        ),
    ] = None,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    trusted: Trusted = False,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="run a .tflite file in a process of its own, which may crash alone")
    ] = False,
    as_json: Json = False,
    overflow: Annotated[
        Overflow | None, generation_option("if an input is too long: truncate it (default) or report an error")
    ] = None,
    stream: Annotated[bool, generation_option("print the text while it is generated", "--stream")] = False,
    chat: Annotated[
        bool, generation_option("each line, also of --input, is a message, or the messages of a chat in JSON", "--chat")
    ] = False,
    **decoding: Any,
) -> None:
    """Classify, translate or continue texts, or answer questions about them.

    With --runner the exit code is 3 if some rows had no answer.
    """
    options = {
        "threshold": threshold, "overflow": overflow.value if overflow else None, "trusted": trusted,
        "isolated": isolated, "no_answer_threshold": no_answer_threshold, "num_answers": num_answers,
    }  # fmt: skip
    if runner is not None:
        from textapp.commands.batch import predict_files

        others = {"TEXT": texts, "--pair": pair, "--question": question, "--context": context}
        others |= {"--stream": stream, "--chat": chat}
        for name, value in others.items():
            if value:
                hint = ", or give a glob of --input in quotes" if name == "TEXT" else ""
                raise UsageError(f"--runner {runner.value}: takes no {name}, as it answers files: leave it out{hint}")
        if not inputs or output is None:
            missing = "--output DIR" if inputs else "--input FILE"
            raise UsageError(f"--runner {runner.value}: found no {missing}, expected --input FILE and --output DIR")
        without_answer = predict_files(
            path, inputs, output, runner.value, workers, columns, encoding, threads, runtime, options, decoding,
            shlex.split(beam_options or ""), as_json,
        )  # fmt: skip
        if without_answer:
            raise typer.Exit(3)
        return
    from textapp.commands.predict import predict as command

    if beam_options:
        raise UsageError("--beam-options: found no --runner beam, expected one: give both, or neither")
    if inputs and len(inputs) > 1:
        raise UsageError(f"--input: found {len(inputs)} of them, expected one: add --runner local for several files")
    named = {"question": question or [], "context": context or []}
    command(
        path, texts or [], pair or [], named, inputs[0] if inputs else None, output, columns, encoding, workers or 1,
        threads, runtime, as_json, stream, options, decoding, chat,
    )  # fmt: skip


@app.command()
def ask(
    path: PathArgument,
    context: Annotated[
        Path | None, path_option("FILE", "the file to look in: .txt, .md, .html, .jsonl, .csv, also .gz")
    ] = None,
    documents: Annotated[
        Path | None, path_option("DIR", "a folder of such files, or a long file: its best passages are read")
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", metavar="TEXT", help="a question; repeatable; default: ask, or the lines of stdin"),
    ] = None,
    passages: Annotated[
        int | None, typer.Option(min=1, max=1000, help="passages of --documents to read for a question [default: 10]")
    ] = None,
    num_answers: Annotated[int, typer.Option(min=1, max=100, help="number of answers to show")] = 1,
    no_answer_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="minimum score, below which a question has no answer [default: the model's]"),
    ] = None,
    index: Annotated[
        Path | None, path_option("DIR", "folder of the index of --documents [default: in the run, else in the cache]")
    ] = None,
    encoding: Annotated[
        str, typer.Option(metavar="NAME", help="of the files; auto: UTF-8, else the likely one of each file")
    ] = "auto",
    columns: Annotated[
        str | None,
        typer.Option(metavar="text=COLUMN", help="column of .jsonl, .csv and .tsv files that holds the texts"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="number of runners that read passages in parallel")] = 1,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    trusted: Trusted = False,
    as_json: Json = False,
) -> None:
    """Answer questions from a file or a folder of documents."""
    from textapp.commands.ask import ask as command

    command(
        path, context, documents, questions or [], passages, num_answers, no_answer_threshold, index, encoding, columns,
        workers, threads, runtime, trusted, as_json,
    )  # fmt: skip


@app.command()
@with_decoding_options
def chat(
    path: PathArgument,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="what the model is told before the chat")] = None,
    template: Annotated[
        Path | None, path_option("FILE", "a chat template in Jinja [default: that of the model]")
    ] = None,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    trusted: Trusted = False,
    overflow: Annotated[
        Overflow | None,
        generation_option("if a chat is too long: truncate its oldest turns (default) or report an error"),
    ] = None,
    **decoding: Any,
) -> None:
    """Chat with a language model, in the terminal or by the lines of stdin."""
    from textapp.commands.chat import chat as command

    command(path, system, template, threads, runtime, trusted, overflow.value if overflow else None, decoding)


@app.command()
def benchmark(
    paths: Annotated[list[Path], path_argument("PATH..", "run folders and bundles")],
    data: DataFiles = None,
    columns: ColumnsOption = None,
    encoding: EncodingOption = None,
    data_dir: DataDir = None,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    trusted: Trusted = False,
    as_json: Json = False,
) -> None:
    """Compare size, latency, memory and quality of runs and bundles."""
    from textapp.commands.benchmark import benchmark as command

    command(paths, data or [], columns, encoding, data_dir, threads, runtime, as_json, trusted)


@app.command()
def report(
    runs: Annotated[list[Path], path_argument("RUN..", "run folders of one task")],
    output: Annotated[Path | None, path_option("FILE", "the page [default: RUN/report.html]")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="measure every variant first: quality, speed, memory, and where time goes")
    ] = False,
    data_dir: DataDir = None,
    threads: Threads = 1,
    runtime: Runtime = "auto",
    trusted: Trusted = False,
    as_json: Json = False,
) -> None:
    """Write a page about runs, their exports and what was made from them; it opens offline."""
    from textapp.commands.report import report as command

    command(runs, output, measure, data_dir, threads, runtime, trusted, as_json)


@app.command()
def inspect(path: PathArgument, as_json: Json = False) -> None:
    """Show the contents of a run or a bundle."""
    from textapp.commands.inspect import inspect as command

    command(path, as_json)


@app.command()
def check(
    config: Annotated[Path | None, path_argument("CONFIG", "YAML config; omitted: check the environment only")] = None,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="tpu, or tpu:v5e|v6e|v4: compile the steps of CONFIG for it, without one"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Profile the data of CONFIG and the environment before training."""
    from textapp.commands.check import check as command

    command(config, overrides or [], data_dir, as_json, device)


@app.command()
def demo(
    folder: Annotated[Path, path_option("DIR", "run folder of the demo", "--run")] = Path("saved_models/demo"),
) -> None:
    """Train, export and benchmark on the samples of a checkout."""
    if importlib.util.find_spec("textapp.demo") is None:
        raise UsageError(
            "textapp demo needs a checkout of the repository, as wheels have no samples: clone it, then run make demo"
        )
    from textapp.demo.command import demo as command

    command(folder)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits with its code: 0 success, 1 error in files or data, 2 error in the call or config.

    Of `predict --runner` 3 means that some rows had no answer.
    """
    guard_streams()
    arguments, debug = _without_debug(list(sys.argv[1:] if arguments is None else arguments))
    _log_to_stderr()
    try:
        try:
            code = app(arguments, prog_name="textapp", standalone_mode=False) or 0
            sys.stdout.flush()  # here, where an error is still reported
            sys.exit(code)
        except TextappError as error:
            message = error.for_shell if isinstance(error, OptionError) else error
            _leave(traceback.format_exc() if debug else f"error: {message}", error.exit_code)
        except typer.Exit as leave:
            sys.exit(leave.exit_code)
        except (KeyboardInterrupt, typer.Abort):
            _leave("interrupted", 128 + signal.SIGINT)
        except Exception as error:
            _report(error, arguments, debug)
    except (BrokenPipeError, SystemExit) as left:
        # The reader of a pipe closed it, as `| head` does. click and rich make an exit with code 1 of that.
        if not isinstance(left, BrokenPipeError) and not isinstance(left.__context__, BrokenPipeError):
            raise
        _discard_output()
        sys.exit(0)


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments without `--debug`, and whether it was there; what follows `--` is text."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    return options + arguments[end:], len(options) < end


def _discard_output() -> None:
    """Sends what is still to be printed nowhere, as the pipe is closed."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            os.dup2(devnull, stream.fileno())


def _report(error: Exception, arguments: list[str], debug: bool) -> None:
    """Reports an error of the call that click found, an OSError such as a full disk, or a bug of textapp."""
    if isinstance(error, BrokenPipeError):
        raise error
    if hasattr(error, "format_message"):  # click's own errors
        context: Any = getattr(error, "ctx", None)
        command = context.command_path if context else "textapp"
        if not error.format_message():  # an empty call: the help was printed instead
            sys.exit(2)
        message = error.format_message().replace("Value error, ", "")  # a prefix of pydantic's
        if hasattr(error, "option_name"):
            message += _dash_hint(error.option_name, arguments, command)
        _leave(f"error: {message}\ntry: {command} --help", 2)
    if debug:
        _leave(traceback.format_exc(), 1)
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        _leave(
            f"error: {error.object}: this locale ({error.encoding}) has no such file names: set PYTHONUTF8=1 or "
            f"LC_ALL=C.UTF-8", 1,
        )  # fmt: skip
    if isinstance(error, OSError):
        _leave(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    _leave(f"error: {type(error).__name__}: {error}\nthis looks like a bug in textapp: run it again with --debug", 1)


def _dash_hint(option: str, arguments: list[str], command: str) -> str:
    """What to do if an unknown option was meant as a text: `-1` in `textapp predict BUNDLE -1`."""
    letters = [word for word in arguments if word.startswith("-") and not word.startswith("--") and option[1:] in word]
    text = next((word for word in arguments if word.startswith(option)), letters[0] if letters else option)
    before = f"{command} PATH" if command.endswith("predict") else command
    return f" (a text or a name that begins with a dash comes after --: {before} -- {shlex.quote(text)})"


def _leave(message: str, code: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(printable(message.rstrip("\n"), sys.stderr), file=sys.stderr, flush=True)
    sys.exit(code)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return printable(f"warning: {line}" if record.levelno >= logging.WARNING else line, sys.stderr)


def _log_to_stderr() -> None:
    """Logs messages of textapp to stderr, one line each; the handlers of others stay."""
    log = logging.getLogger("textapp")
    for earlier in [handler for handler in log.handlers if isinstance(handler.formatter, _Line)]:
        log.removeHandler(earlier)  # its stderr may be closed
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
