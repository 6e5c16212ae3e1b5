"""Children that end badly: what the user is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from killing import status, wait_for

from textapp.errors import ExportError
from textapp.export.children import ForkingChild, run_child


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the module that the child runs."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(body: str) -> str:
        (tmp_path / "ending.py").write_text(f"import os, signal, sys\n{body}\n")
        return "ending"

    return write


@pytest.mark.parametrize("body", ["os.kill(os.getpid(), signal.SIGKILL)", "raise MemoryError"])
def test_a_child_without_memory_is_told_as_such_with_what_it_took_and_what_helps(module, body):
    told = r"^converting was killed for memory: .* up to \d+\.\d GB .* \d+\.\d GB: close other programs, .* fewer"
    with pytest.raises(ExportError, match=told):
        run_child(module(body), {}, "converting")


def test_a_child_that_crashes_or_fails_is_told_with_its_signal_or_last_words(module):
    with pytest.raises(ExportError, match=r"converting crashed \(SIGABRT\): the library failed"):
        run_child(module("os.abort()"), {}, "converting")
    with pytest.raises(ExportError, match="converting failed: ValueError: no such op"):
        run_child(module("raise ValueError('no such op')"), {}, "converting")
    assert run_child(module("print('[1]'); print('{\"a\": 2}')"), {}, "converting") == {"a": 2}


SERVER = """
import json
from textapp.export.children import serve
imported = os.getpid()

def work(arguments):
    job = json.loads(arguments[0])
    print("of a library")
    exec(job["body"])
    print(json.dumps({"imported": imported, "ran": os.getpid()}))

serve(work)
"""


def test_jobs_of_one_child_share_its_imports_and_a_crash_ends_only_its_job(module):
    with ForkingChild(module(SERVER)) as child:
        first, second = (child.run({"body": ""}, "converting") for _ in range(2))
        assert first["imported"] == second["imported"]
        assert len({first["imported"], first["ran"], second["ran"]}) == 3
        with pytest.raises(ExportError, match=r"converting crashed \(SIGABRT\): the library failed"):
            child.run({"body": "os.abort()"}, "converting")
        with pytest.raises(ExportError, match="converting failed: ValueError: no such op"):
            child.run({"body": "raise ValueError('no such op')"}, "converting")
        with pytest.raises(ExportError, match="converting was killed for memory"):
            child.run({"body": "raise MemoryError"}, "converting")
        assert child.run({"body": ""}, "converting")["imported"] == first["imported"]


def test_a_child_that_does_not_start_is_told(module):
    with (
        pytest.raises(ExportError, match="converting failed: ImportError: no such library"),
        ForkingChild(module("raise ImportError('no such library')")) as child,
    ):
        child.run({}, "converting")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
@pytest.mark.parametrize("forks", [False, True])
def test_a_child_ends_with_a_parent_that_is_killed(module, forks, tmp_path):
    """Else a conversion that nobody waits for would keep cores and memory for an hour."""
    note = tmp_path / "pid"
    sleeps = f"open({str(note)!r}, 'w').write(str(os.getpid()) + '\\n'); import time; time.sleep(60)"
    name = module(SERVER.replace('exec(job["body"])', sleeps) if forks else sleeps)
    run = f"ForkingChild({name!r}).run({{}}, 'converting')" if forks else f"run_child({name!r}, {{}}, 'converting')"
    code = f"from textapp.export.children import ForkingChild, run_child\n{run}"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as parent:
        wait_for(lambda: note.is_file() and note.read_text().endswith("\n"), seconds=20)
        child = int(note.read_text())
        assert status(child) != "Z"
        parent.kill()
    wait_for(lambda: status(child) == "Z", seconds=20)
