"""Output of the commands: results to stdout, everything else to stderr.

Scripts may rely on it: with `--json` stdout has only JSON; without it stdout has the readable result. Notes, warnings
and progress bars always go to stderr. rich is imported only when something is printed.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textapp.arrays import plain
from textapp.artifact import variant as variant
from textapp.metrics.size import size_words
from textapp.recipes.profile import Facts, Section
from textapp.terminal import is_utf8, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MISSING = "-"
_PIPE_WIDTH = 1000  # columns; a table takes what it needs of them
_WIDEST_FACT = 100  # of a value beside its name
_WIDEST_TEXT = 60  # of a cell with text
_LEAST = 16  # columns of a cell with text on a narrow terminal, if it is as long


# --- stdout and stderr ---------------------------------------------------------------------------------------------


def emit(data: Any, as_json: bool, show: Callable[[Console], None]) -> None:
    """Prints the result of a command to stdout, as JSON or by `show`.

    Args:
        data: for JSON; NaN and infinities become null.
        as_json: whether `--json` was given.
        show: prints the readable form to a console.
    """
    if as_json:
        emit_line(data, indent=2)
    else:
        show(console())


def emit_line(data: Any, indent: int | None = None) -> None:
    """Prints one JSON value to stdout, on one line unless `indent` is given."""
    sys.stdout.write(json_text(data, sys.stdout, indent) + "\n")
    sys.stdout.flush()


def json_text(data: Any, stream: Any, indent: int | None = None) -> str:
    """JSON as a stream can take it: what its encoding lacks, and on a terminal what would steer it, is escaped.

    Args:
        data: NaN and infinities become null.
        stream: the file that it will be written to.
        indent: spaces a level; None: one line.
    """
    text = json.dumps(plain(data), ensure_ascii=not is_utf8(stream), indent=indent, allow_nan=False)
    return printable(text, stream)


@contextlib.contextmanager
def stdout_for_json(as_json: bool) -> Iterator[None]:
    """Redirects prints of the block to stderr if stdout is for JSON."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def note(message: str) -> None:
    """Prints a line to stderr."""
    line(console(stderr=True), message)


def warn(message: str) -> None:
    """Prints a warning to stderr."""
    line(console(stderr=True), f"warning: {message}", style="yellow")


def line(console: Console, message: str, style: str = "") -> None:
    """Prints a line to a console as it is: brackets are no markup, and nothing is wrapped.

    Args:
        console: on stdout or stderr.
        message: the line.
        style: of rich, such as `yellow`.
    """
    console.print(_text(message, console.file), style=style, soft_wrap=True)


def _text(value: str, stream: Any = None, style: str = "") -> Text:
    """A text of a table or a line, with escapes for what the stream (None: stdout) cannot print."""
    from rich.text import Text

    return Text(printable(value, stream or sys.stdout), style=style)


def _title(title: str | None) -> Text | None:
    return None if title is None else _text(title, style="bold")


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr; the block calls the yielded function after each finished item.

    Example:
        with progress("measuring", total=len(paths)) as advance:
            for path in paths:
                advance()
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


def console(stderr: bool = False) -> Console:
    """A rich console on stdout or stderr; a pipe has no colours, and room for every column of a table."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH)


# --- tables --------------------------------------------------------------------------------------------------------


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1) -> Table:
    """Makes a table.

    Args:
        title: of the table.
        columns: their titles.
        rows: the cells.
        left: number of columns with text, aligned left; the others have numbers, aligned right.
    """
    from rich import box
    from rich.table import Table

    drawn = Table(title=_title(title), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, name in enumerate(columns):
        text = index < left
        longest = max((len(shown(row[index])) for row in rows), default=0) if text else None
        drawn.add_column(
            _text(name), justify="left" if text else "right", no_wrap=not text, overflow="fold",
            min_width=None if longest is None else min(_LEAST, longest), max_width=_WIDEST_TEXT if text else None,
        )  # fmt: skip
    for row in rows:
        drawn.add_row(*(_text(shown(cell)) for cell in row))
    return drawn


def facts(title: str | None, values: Mapping[str, Any]) -> Table:
    """Makes a table of names and values; values that are None or empty are left out."""
    from rich import box
    from rich.table import Table

    drawn = Table(title=_title(title), box=box.SIMPLE, title_justify="left", show_header=False, pad_edge=False)
    drawn.add_column(no_wrap=True, style="dim")
    drawn.add_column(overflow="fold", max_width=_WIDEST_FACT)
    for name, value in values.items():
        if value not in (None, "", [], {}):
            drawn.add_row(_text(name), _text(shown(value)))
    return drawn


def section(part: Section) -> Table:
    """Makes the table of a part of a profile."""
    return facts(*part) if isinstance(part, Facts) else table(*part)


def variants_table(rows: Sequence[Mapping[str, Any]], measures: Mapping[str, str], title: str | None = None) -> Table:
    """Makes the table that compares variants of a model by size, speed and quality.

    Args:
        rows: each `{path, variant, size_bytes, latency_ms: {p50, p90, p99}}` with the quality of its task; optionally
            `start_ms`, `peak_memory_mb` and `tokens_per_second`. Columns without values are left out.
        measures: name -> title of the figures of quality.
        title: of the table.
    """
    cells: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "variant": lambda row: row["variant"],
        "size": lambda row: size(row.get("size_bytes")),
        **{f"{name} ms": _latency(name) for name in ("p50", "p90", "p99")},
        "first ms": _first_token,
        "start ms": lambda row: _rounded(row.get("start_ms"), 0),
        "peak MB": lambda row: _rounded(row.get("peak_memory_mb"), 0),
        **{words: _measure(name) for name, words in measures.items()},
        "tokens/s": lambda row: _rounded(row.get("tokens_per_second"), 0),
    }
    columns = {name: [cell(row) for row in rows] for name, cell in cells.items()}
    columns = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return table(title, list(columns), list(zip(*columns.values(), strict=True)))


def _latency(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda row: _rounded((row.get("latency_ms") or {}).get(name), 3)


def _measure(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda row: _rounded(row.get(name), 3 if name == "perplexity" else 2)


def _first_token(row: Mapping[str, Any]) -> str | None:
    return _rounded((row.get("time_to_first_token_ms") or {}).get("p50"), 3)


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


# --- values --------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value as text: `1,234`, `12.35`, `a, b`, `name 1, other 2`."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        text = f"{value:.2f}"
        return f"{value:.4f}" if text == "1.00" and value < 1 else text  # of a probability that tells
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value)
    return str(value)


def size(size_bytes: int | None) -> str | None:
    """`512 B`, `38.2 kB`, `4.1 MB`: powers of 1000."""
    return None if size_bytes is None else size_words(size_bytes)
