"""The command line as a stranger meets it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from textapp import cli
from textapp.config import data_directory
from textapp.errors import UsageError

COMMANDS = [
    "train",
    "prepare",
    "launch",
    "evaluate",
    "export",
    "predict",
    "ask",
    "chat",
    "benchmark",
    "inspect",
    "check",
    "demo",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(textapp_here, command: str) -> None:
    done = textapp_here(command, "--help")
    assert done.code == 0 and "Usage: textapp" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from textapp.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as left: assert left.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'sklearn', 'pydantic', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_the_demo_of_a_wheel_asks_for_a_checkout(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "textapp.demo", None)  # as if not installed
    with pytest.raises(UsageError, match="a checkout of the repository.* make demo"):
        cli.demo(tmp_path / "demo")


def test_debug_shows_the_traceback(run_textapp, tmp_path) -> None:
    plain = run_textapp("train", tmp_path / "no.yaml")
    assert plain.code == 2 and "no such file" in plain.stderr and "Traceback" not in plain.stderr
    assert "Traceback" in run_textapp("train", tmp_path / "no.yaml", "--debug").stderr


def test_an_unknown_command_is_refused(run_textapp) -> None:
    done = run_textapp("trian")
    assert done.code == 2 and "trian" in done.stderr


def test_an_empty_call_shows_the_help(run_textapp) -> None:
    done = run_textapp()
    assert done.code == 2 and "Usage: textapp" in done.stdout and done.stderr == ""


def test_a_warning_is_called_one() -> None:
    line = cli._Line().format
    assert line(logging.makeLogRecord({"msg": "cut", "levelno": logging.WARNING})) == "warning: cut"
    assert line(logging.makeLogRecord({"msg": "done", "levelno": logging.INFO})) == "done"


def test_wrong_calls_end_with_2(tiny_bundle: Path, run_textapp) -> None:
    for arguments in (
        ["evaluate", tiny_bundle, "--columns", "txt=0", "--data", "x.csv"],
        ["evaluate", tiny_bundle, "--columns", "text=0"],
        ["predict", tiny_bundle, "a", "--columns", "text=0"],
        ["predict", tiny_bundle, "a", "--pair", "b"],
        ["predict", tiny_bundle, "a", "--input", "b"],
        ["predict", tiny_bundle, "a", "--pair", "b", "--pair", "c"],
        ["predict", tiny_bundle, "a", "--runtime", "abacus"],
        ["predict"],
        ["translate"],
    ):
        done = run_textapp(*arguments)
        assert done.code == 2 and done.stderr and "Traceback" not in done.stderr, (arguments, done)


# --- streams, signals, arguments -------------------------------------------------------------------------------------


def shell(line: str, *arguments: object, **env: str) -> tuple[int, str, str]:
    """Runs a line of bash, in which `textapp` is the command; exit code of its first process, stdout and stderr."""
    start = f'textapp() {{ "{sys.executable}" -m textapp "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1]), **env}
    words = ["bash", "-c", start, "bash", *map(str, arguments)]
    done = subprocess.run(words, env=environment, capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "line",
    [
        "textapp --help | head -c 1",
        "textapp predict --help | true",
        "textapp inspect $1 | head -c 1",
        "textapp inspect $1 --json | true",
        "textapp predict $1 a b c | true",
        "textapp inspect $1 >&-",
        "textapp predict $1 good >&-",
        "textapp predict $1 good 2>&-",
    ],
)
def test_a_reader_that_leaves_and_a_closed_stream_are_no_faults(tiny_bundle: Path, line: str) -> None:
    code, _, err = shell(line, tiny_bundle)
    assert (code, err) == (0, "")


def test_an_error_keeps_its_code_though_nobody_reads_it(tmp_path: Path) -> None:
    assert shell("textapp inspect $1 2>&1 | true", tmp_path)[0] == 1


def test_a_closed_stdin_and_a_full_disk_are_told(tiny_bundle: Path) -> None:
    code, _, err = shell("textapp predict $1 <&-", tiny_bundle)
    assert code == 2 and "closed stdin" in err
    code, _, err = shell("textapp inspect $1 > /dev/full", tiny_bundle)
    assert (code, err) == (1, "error: No space left on device\n")


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii"])
def test_an_encoding_without_a_character_is_no_fault(tiny_bundle: Path, encoding: str) -> None:
    settings = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    code, out, err = shell("textapp predict $1 '🙂' '[/]' --json", tiny_bundle, **settings)
    assert (code, err) == (0, "") and [json.loads(row)["input"] for row in out.splitlines()] == ["🙂", "[/]"]
    code, out, err = shell("textapp predict $1 '🙂'", tiny_bundle, **settings)
    assert (code, err) == (0, "") and out.endswith("\\U0001f642\n")
    code, _, err = shell("textapp inspect '/no/🙂'", **settings)
    assert code == 1 and "/no/\\U0001f642: no such folder" in err
    assert shell("textapp inspect $1", tiny_bundle, **settings)[::2] == (0, "")


def test_a_locale_of_ascii_reads_arguments_in_utf8(tiny_bundle: Path) -> None:
    code, out, _ = shell("textapp predict $1 '好' --json", tiny_bundle, LC_ALL="C", PYTHONUTF8="0")
    assert code == 0 and json.loads(out)["input"] == "好"


def test_a_broken_byte_as_an_argument_is_an_error_of_its_line(tiny_bundle: Path) -> None:
    code, out, err = shell(r"textapp predict $1 good $'go\xff' --json", tiny_bundle)
    good, bad = map(json.loads, out.splitlines())
    assert code == 0 and "label" in good and set(bad) == {"input", "error"} and bad["input"] == "go?"
    assert "TEXT:2: byte 3 of the text is 0xff" in bad["error"] and "1 input had no answer" in err
    assert shell(r"textapp predict $1 $'go\xff' --json", tiny_bundle)[0] == 1


def test_a_locale_without_the_characters_of_a_file_name_is_told(monkeypatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    with pytest.raises(SystemExit) as left:
        cli._report(UnicodeEncodeError("ascii", "run/好", 4, 5, "ordinal not in range"), [], False)
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith(
        "error: run/好: this locale (ascii) has no such file names: set PYTHONUTF8"
    )


@pytest.mark.parametrize("text", ["-1", "-hello", "--5 degrees", "-x y"])
def test_a_text_that_begins_with_a_dash_is_told_of_the_dashes(text: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["predict", "bundle", text])
    assert left.value.code == 2
    assert f"comes after --: textapp predict PATH -- {shlex.quote(text)})" in capsys.readouterr().err


def test_what_follows_two_dashes_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli._without_debug(["predict", "b", "--debug", "--", "--debug"]) == (["predict", "b", "--", "--debug"], True)
    assert cli._without_debug(["predict", "b", "--", "--debug"]) == (["predict", "b", "--", "--debug"], False)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for arguments in (["inspect", "~/no"], ["predict", "~/no", "x"], ["check", "~/no"], ["evaluate", "~/no"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
        assert f"error: {tmp_path}/no: no such f" in capsys.readouterr().err
    monkeypatch.setenv("TEXTAPP_DATA", "~/data")
    assert data_directory() == tmp_path / "data"
    assert data_directory("~/other") == tmp_path / "other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "BUNDLE", "a", "--threads", "2147483648"], "--threads: found 2147483648, expected a whole number"),
        (["predict", "BUNDLE", "a", "--workers", "1000000000"], "--workers: found 1000000000, expected a whole number"),
        (["benchmark", "BUNDLE", "--threads", "2147483648"], "--threads: found 2147483648, expected a whole number"),
        (["predict", "BUNDLE", "a", "--threshold", "nan"], "--threshold"),
        (["predict", "BUNDLE", "a", "--threshold", "inf"], "--threshold"),
        (["export", "RUN", "--max-drop", "nan"], "--max-drop"),
        (["export", "RUN", "--max-drop", "inf"], "found inf, expected a number"),
        (["export", "RUN", "--batch-size", "1000000000"], "batch size: found 1000000000, expected 1 to 64"),
        (["predict", "BUNDLE", "a", "--length-penalty", "1e9"], "--length-penalty: found 1000000000.0, expected"),
        (["predict", "BUNDLE", "a", "--temperature", "inf"], "--temperature: found inf, expected a number from 0 to"),
    ],
)
def test_numbers_that_cannot_work_are_refused(tiny_bundle, arguments, message, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([str(tiny_bundle) if word == "BUNDLE" else word for word in arguments])
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_ctrl_c_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("textapp.commands.inspect.inspect", interrupted)
    with pytest.raises(SystemExit) as left:
        cli.main(["inspect", "anywhere"])
    assert left.value.code == 130 and capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("stop", "code", "line"),
    [
        (signal.SIGINT, 130, "interrupted\n"),
        (signal.SIGTERM, 75, "stopped by SIGTERM: run the same command again to resume from the last checkpoint\n"),
    ],
)
@pytest.mark.parametrize("command", ["train", "launch"])
def test_a_stop_while_a_training_is_imported(stop: signal.Signals, code: int, line: str, command: str) -> None:
    """Also while the import of TensorFlow discards what is written to stderr, and where an exception would be lost."""
    program = (
        "import contextlib, os, sys\n"
        "from textapp import __main__\n"
        "from textapp.noise import suppress_stderr\n"
        "import textapp.cli\n"
        "def command():\n"
        "    with suppress_stderr(), contextlib.suppress(BaseException):\n"
        f"        os.kill(os.getpid(), {int(stop)})\n"
        "textapp.cli.main = command\n"
        f"sys.argv = ['textapp', '{command}', 'config.yaml']\n"
        "__main__.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stderr) == (code, line)
