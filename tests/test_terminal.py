from __future__ import annotations

import io
import json
import sys

import pytest

from textapp.commands import tables
from textapp.terminal import guard_streams, is_utf8, printable

TEXT = "好é🙂 [/] [red]x :smile:"


class Stream(io.TextIOWrapper):
    """A stream of an encoding, which may be a terminal."""

    def __init__(self, encoding: str, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def content(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "好é🙂 \\udcff"),
        ("cp1252", "\\u597dé\\U0001f642 \\udcff"),
        ("gbk", "好é\\U0001f642 \\udcff"),
        ("latin-1", "\\u597dé\\U0001f642 \\udcff"),
        ("ascii", "\\u597d\\xe9\\U0001f642 \\udcff"),
    ],
)
def test_what_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str) -> None:
    stream = Stream(encoding)
    assert printable("好é🙂 \udcff", stream) == shown
    monkeypatch.setattr(sys, "stdout", stream)
    guard_streams()
    print("好é🙂 \udcff")  # of a library
    assert stream.content() == shown + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "cp1252", "gbk", "ascii"])
def test_json_and_tables_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    stream = Stream(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    tables.emit({TEXT: [TEXT, "\udcff"]}, True, lambda console: None)
    assert json.loads(stream.content()) == {TEXT: [TEXT, "\udcff"]}
    monkeypatch.setattr(sys, "stdout", stream := Stream(encoding))
    console = tables.console()
    console.print(tables.table(TEXT, [TEXT], [[TEXT]]))
    console.print(tables.facts(TEXT, {TEXT: TEXT}))
    tables.line(console, TEXT)
    assert stream.content().count(printable(TEXT, stream)) == 7
    assert is_utf8(stream) == (encoding.lower().startswith("utf"))


def test_control_characters_are_escaped_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\x1b[31m\x9b2J\u202eevil\u2066\r\x07\x7f\ttab\nline"
    assert printable(text, Stream("utf-8")) == text
    shown = r"\u001b[31m\u009b2J\u202eevil\u2066\u000d\u0007\u007f" + "\ttab\nline"
    assert printable(text, Stream("utf-8", terminal=True)) == shown
    stream = Stream("utf-8", terminal=True)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "dumb")  # rich draws no colours of its own
    tables.emit({"label": text}, True, lambda console: None)
    assert json.loads(stream.content()) == {"label": text} and "\x9b" not in stream.content()
    console = tables.console()
    console.print(tables.table("\x1b]0;title", ["\x1b[1m"], [["\x1b[2J"]]))
    console.print(tables.facts("\u202e", {"\x9b": "\x1b[3J"}))
    tables.line(console, "saved in \x1b[4m")
    assert not {"\x1b", "\x9b", "\u202e"} & set(stream.content())


def test_letters_that_a_script_needs_are_no_control_characters() -> None:
    text = "नमस्ते क्‍ष مرحبا\u200f שלום\u200e 👩\u200d💻"
    assert printable(text, Stream("utf-8", terminal=True)) == text


def test_closed_streams_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    guard_streams()
    print(TEXT)
    tables.note(TEXT)
    tables.emit({}, True, lambda console: None)
