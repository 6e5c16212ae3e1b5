"""What every test may ask for: the real data, the command line, small trained runs and bundles."""

from __future__ import annotations

import os

# Before anything imports TensorFlow; children inherit it. Two pytest workers share two cores.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")

import importlib
import importlib.util
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest

from textapp.errors import ExportError
from textapp.export import children

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # `import toys` in any test
# How long an example takes says nothing here. Every run has the same examples, unless faults are searched for.
hypothesis.settings.register_profile("patient", deadline=None, derandomize="TEXTAPP_FUZZ" not in os.environ)
hypothesis.settings.load_profile("patient")

CONVERTER = "textapp.export.tflite"


def _run_child(module: str, job: dict[str, Any], what: str) -> dict[str, Any]:
    """Converts in this process, which has imported TensorFlow: a child needs seconds for that. Else as `run_child`.

    Exports by the command line in a process of its own, such as that of `tiny_bundle`, have the real child.
    """
    if module != CONVERTER:
        return _start_child(module, job, what)
    with redirect_stdout(io.StringIO()) as printed:
        importlib.import_module(module).main([json.dumps(job)])
    answer = json.loads(printed.getvalue().splitlines()[-1])
    if "error" in answer:
        raise ExportError(f"{what} failed: {answer['error']}")
    return answer


_start_child, children.run_child = children.run_child, _run_child  # before a module of export/ takes it


@pytest.fixture(autouse=True)
def _log_of_one_test() -> Iterator[None]:
    """What the command line sets on the logger, a handler for the stderr of one test, stays in that test."""

    def reset() -> None:
        log = logging.getLogger("textapp")
        log.handlers, log.propagate = [], True
        log.setLevel(logging.NOTSET)

    reset()
    yield
    reset()


class Completed(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str


def textapp_command(*args: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Completed:
    """Runs `python -m textapp ARGS` in a process of its own."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "textapp", *map(str, args)],
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    return Completed(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def run_textapp() -> Callable[..., Completed]:
    """The command line in a subprocess: `run_textapp("evaluate", run, "--json").stdout`."""
    return textapp_command


@pytest.fixture(scope="session")
def textapp_here() -> Callable[..., Completed]:
    """The command line in this process, which has imported TensorFlow: `textapp_here("train", file).stderr`."""
    from textapp.cli import main

    def run(*args: object) -> Completed:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]), pytest.raises(SystemExit) as left:
            main([str(argument) for argument in args])
        shown = []
        for stream in streams:
            stream.flush()
            shown.append(stream.buffer.getvalue().decode("utf-8"))
        return Completed(left.value.code or 0, *shown)

    return run


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets, named by TEXTAPP_DATA; without it the test is skipped."""
    named = os.environ.get("TEXTAPP_DATA")
    if not named:
        pytest.skip("TEXTAPP_DATA is not set: no real data here")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"TEXTAPP_DATA={named}: no such folder")
    return folder


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Lets the first pytest worker make `folder` while the others wait for it.

    `mkdir` is the lock: it succeeds for one process only. `make` fills `folder`; a worker that finds the lock waits
    for the mark of success, and fails with the maker's error when there is a mark of failure.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    finished, failed = folder.with_suffix(".finished"), folder.with_suffix(".failed")
    try:
        folder.with_suffix(".lock").mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 600
        while not finished.exists() and not failed.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
    else:
        try:
            make(folder)
            finished.touch()
        except BaseException as error:
            failed.write_text(str(error), encoding="utf-8")
            raise
    if not finished.exists():
        raise AssertionError(failed.read_text(encoding="utf-8") if failed.exists() else f"{folder}: not made in time")
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all pytest workers of this session share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"


@pytest.fixture(scope="session")
def environment(shared_folder: Path) -> Callable[[str], Path]:
    """The interpreter of an environment that `pip install .[extra]` made: `environment("litert")`."""
    from environments import NO_INDEX, make_environment

    def made(extra: str) -> Path:
        folder = made_once(shared_folder / f"only-{extra}", lambda folder: make_environment(folder, extra))
        if (folder / NO_INDEX).exists():
            pytest.skip(f"no package index: {(folder / NO_INDEX).read_text(encoding='utf-8')}")
        return folder / "bin" / "python"

    return made


@pytest.fixture(scope="session")
def tiny_run(shared_folder: Path) -> Path:
    """A small cnn trained on the bundled samples by the command line. Read only: all tests share it."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("no TensorFlow here to train with")

    def make(folder: Path) -> None:
        from textapp.demo.samples import write_samples

        samples = folder.with_name("samples")
        write_samples(samples)
        config = {
            "task": "classification",
            "run": str(folder),
            "data": {"train": str(samples / "train.tsv"), "test": str(samples / "test.tsv")},
            "tokenizer": {"vocabulary_size": 1500},
            "lengths": [16, 32],
            "model": {"architecture": "cnn", "embedding_dim": 32, "filters": 32},
            "training": {"epochs": 8, "learning_rate": 3e-3, "precision": "float32"},
        }
        file = folder.with_suffix(".yaml")
        file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        _succeed("train", file, "--run", folder)

    return made_once(shared_folder / "tiny-cnn", make)


@pytest.fixture(scope="session")
def tiny_bundle(shared_folder: Path, tiny_run: Path) -> Path:
    """The same cnn exported for LiteRT with dynamic-range int8. Read only: all tests share it."""
    made_once(
        shared_folder / "tiny-cnn-litert",
        lambda _: _succeed("export", tiny_run, "--target", "litert", "--quantize", "dynamic"),
    )
    return tiny_run / "exports" / "litert"


@pytest.fixture(scope="session")
def tiny_writer(shared_folder: Path) -> Callable[[str], Path]:
    """The run of a small model that writes, with two signatures. Read only: all tests share it.

    `tiny_writer("translation")` has learnt `make_pairs(240)`. That of "generation" has learnt `make_documents(240)`,
    with rotary positions and grouped queries.
    """
    from writers import make_documents, make_pairs, make_writer

    settings = {"num_heads": 4, "num_key_value_heads": 2, "positions": "rope", "activation": "swiglu"}

    def made(task: str) -> Path:
        def make(folder: Path) -> None:
            if task == "translation":
                make_writer(folder, make_pairs(240))
            else:
                make_writer(folder, make_documents(240), **settings)

        return made_once(shared_folder / f"tiny-{task}", make)

    return made


@pytest.fixture(scope="session")
def tiny_writer_bundle(shared_folder: Path, tiny_writer: Callable[[str], Path]) -> Callable[[str, str], Path]:
    """Such a run in float32 for a target, `tiny_writer_bundle("translation", "litert")`. Read only: tests share it.

    Bundles for LiteRT have signatures for four texts at a time, too.
    """
    from exports import export_run
    from writers import make_documents, make_pairs

    from textapp.artifact import open_artifact

    def made(task: str, target: str) -> Path:
        run, records = open_artifact(tiny_writer(task)), (make_pairs if task == "translation" else make_documents)(240)
        rows = 4 if target == "litert" else 1
        return made_once(
            shared_folder / f"tiny-{task}-{target}",
            lambda folder: export_run(run, target, "none", 0.5, records, out=folder, batch_size=rows),
        )

    return made


def _succeed(*args: object) -> None:
    done = textapp_command(*args)
    if done.code:
        raise AssertionError(f"textapp {' '.join(map(str, args))} ended with {done.code}:\n{done.stderr}")


@pytest.fixture()
def memory() -> Iterator[Any]:
    """The files of memory://, which are gone after the test."""
    system = pytest.importorskip("fsspec").filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]
