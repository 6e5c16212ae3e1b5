"""The command line as a stranger meets it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from textapp import cli
from textapp.errors import UsageError

COMMANDS = ["train", "evaluate", "export", "predict", "benchmark", "inspect", "check", "demo"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run_textapp, command: str) -> None:
    done = run_textapp(command, "--help")
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
