"""Children that end badly: what the user is told."""

from __future__ import annotations

import pytest

from textapp.errors import ExportError
from textapp.export.children import run_child


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
