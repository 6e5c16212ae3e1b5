from __future__ import annotations

import subprocess
import sys
import types

import pytest

from textapp.errors import ArtifactError, OptionError, UsageError
from textapp.runners import interpreter


def test_auto_prefers_litert():
    assert interpreter.available()[0] == "litert"
    assert interpreter.choose("auto") == "litert"


@pytest.mark.parametrize(
    ("runtime", "line"),
    [
        ("auto", "pip install 'textapp[litert]'"),
        ("litert", "pip install 'textapp[litert]'"),
        ("tflite-runtime", "pip install 'textapp[tflite-runtime]'"),
    ],
)
def test_a_missing_runtime_names_the_pip_line(monkeypatch, runtime, line):
    monkeypatch.setattr(interpreter, "PACKAGES", {"litert": "no_such_package", "tflite-runtime": "nor_this_one"})
    with pytest.raises(UsageError) as caught:
        interpreter.choose(runtime)
    assert line in str(caught.value)


def test_a_runtime_is_usable_where_it_is_installed_and_goes_with_the_process(monkeypatch):
    monkeypatch.setattr(interpreter, "available", lambda: ["litert", "tflite-runtime"])
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert interpreter.usable("litert") and interpreter.usable("tflite-runtime")
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    assert interpreter.usable("litert") and not interpreter.usable("tflite-runtime")
    monkeypatch.setattr(interpreter, "available", lambda: [])
    assert not interpreter.usable("litert")


def test_tflite_runtime_is_refused_beside_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    with pytest.raises(UsageError, match="process that imported TensorFlow"):
        interpreter.choose("tflite-runtime")


def test_a_runtime_that_does_not_start_is_explained(monkeypatch, tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"")

    def fail(name):
        raise ImportError("numpy.core.multiarray failed to import")

    monkeypatch.setattr(interpreter.importlib, "import_module", fail)
    with pytest.raises(UsageError, match="installed but cannot be imported .*multiarray"):
        interpreter.open_interpreter(tmp_path / "model.tflite", runtime="litert")


def test_a_missing_file_and_a_broken_file_are_told_apart(tmp_path):
    with pytest.raises(ArtifactError, match=r"model.tflite: no such file"):
        interpreter.open_interpreter(tmp_path / "model.tflite")
    (tmp_path / "model.tflite").write_bytes(b"not a flatbuffer" * 10)
    with pytest.raises(ArtifactError, match=r"ai-edge-litert [\d.]+ cannot load it"):
        interpreter.open_interpreter(tmp_path / "model.tflite")


def test_nothing_of_the_interpreter_reaches_stderr(model_path):
    code = (
        "import sys, numpy as np\n"
        "from textapp.runners.edge import EdgeRunner\n"
        "features = {'token_ids': np.ones((1, 4), np.int32)}\n"
        "print(EdgeRunner(sys.argv[1]).run('classify_4', features)['probabilities'].shape)\n"
        "print('mine', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model_path)], capture_output=True, encoding="utf-8")
    assert done.stdout == "(1, 3)\n"
    assert done.stderr == "mine\n"


def test_a_runtime_that_there_is_not_is_named() -> None:
    with pytest.raises(
        OptionError, match="^runtime: found 'foo', expected one of auto, litert, tflite-runtime"
    ) as caught:
        interpreter.choose("foo")
    assert caught.value.for_shell == "--runtime: found 'foo', expected one of auto, litert, tflite-runtime"
