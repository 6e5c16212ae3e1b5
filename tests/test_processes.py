from __future__ import annotations

import os
from pathlib import Path

import pytest

import textapp
from textapp.processes import child_environment

ROOT = str(Path(textapp.__file__).parents[1])


def test_a_child_finds_the_same_package_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert child_environment()["PYTHONPATH"] == os.pathsep.join([ROOT, "elsewhere"])
    monkeypatch.delenv("PYTHONPATH")
    assert child_environment()["PYTHONPATH"] == ROOT


def test_a_child_inherits_the_environment_and_gets_further_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    expected = {**os.environ, "PYTHONPATH": child_environment()["PYTHONPATH"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    assert child_environment() == expected
    assert child_environment(OMP_NUM_THREADS="1", PYTHONUTF8="1") == {
        **expected, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"
    }  # fmt: skip
