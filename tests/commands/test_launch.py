"""Several worker processes: their lines, their ends, signals, and one run that is the same as that of one process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from killing import status, wait_for

from textapp.catalog import parse_config
from textapp.commands import launch
from textapp.commands.launch import WorkerFailed
from textapp.commands.train import _check_workers
from textapp.errors import ConfigError, UsageError

ROOT = Path(__file__).parents[2]
WORDS = {"good": ["great", "fine", "lovely", "superb"], "bad": ["poor", "awful", "dull", "broken"]}


def write_config(folder: Path, rows: int = 96, **training: object) -> Path:
    lines = ["text\tlabel"]
    for index in range(rows):
        label = ("good", "bad")[index % 2]
        lines.append(f"number {index} was a {WORDS[label][index // 2 % 4]} thing\t{label}")
    (folder / "data.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "task": "classification",
        "run": str(folder / "run"),
        "data": {"train": str(folder / "data.tsv"), "validation": 0.25},
        "lengths": [16],
        "model": {"architecture": "mlp", "embedding_dim": 8, "ngrams": 1, "dropout": 0},
        "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "patience": 0, **training},
    }
    file = folder / "run.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def losses(run: Path) -> list[float]:
    history = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["training"]["history"]
    return [row[name] for row in history for name in ("loss", "validation_loss")]


def started(*arguments: object) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    return subprocess.Popen(
        [sys.executable, "-m", "textapp", *map(str, arguments)], env={**environment, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def seen(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Reads stderr up to a line that has the pattern."""
    for line in process.stderr:
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"ended without {pattern}")


def by_hand(config: Path, *more: list[str]) -> list[tuple[int, str]]:
    """The exit code and stderr of `textapp train` as each of two workers, with arguments of its own."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in launch._free_ports(2)]}
    workers = []
    for index, arguments in enumerate(more):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(task)}
        workers.append(subprocess.Popen(
            [sys.executable, "-m", "textapp", "train", str(config), *arguments], env=environment,
            stderr=subprocess.PIPE, encoding="utf-8",
        ))  # fmt: skip
    return [(worker.wait(timeout=120), worker.stderr.read()) for worker in workers]


def test_workers_that_train_something_else_are_told(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    for code, told in by_hand(config, [], ["--set", "training.learning_rate=0.1"]):
        assert code == 2 and "error: training: the workers have different configs, expected the same" in told
    lines = (tmp_path / "data.tsv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "less.tsv").write_text("\n".join(lines[:40]) + "\n", encoding="utf-8")
    for code, told in by_hand(config, [], ["--set", f"data.train={tmp_path / 'less.tsv'}"]):
        assert code == 2 and "error: training: the workers have different data, expected the same" in told
    (tmp_path / "same.tsv").write_bytes((tmp_path / "data.tsv").read_bytes())  # elsewhere, as on another machine
    found = by_hand(config, [], ["--set", f"data.train={tmp_path / 'same.tsv'}"])
    assert [code for code, _ in found] == [0, 0], found


@pytest.mark.parametrize(
    ("architecture", "precision", "hardware", "refused"),
    [
        ("transformer", "auto", [1, 0], True), ("transformer", "auto", [1, 1], False), ("mlp", "auto", [1, 0], False),
        ("transformer", "float32", [1, 0], False),
    ],
)  # fmt: skip
def test_workers_that_would_compute_in_other_numbers_are_told(
    monkeypatch, architecture: str, precision: str, hardware: list[int], refused: bool
) -> None:
    found = iter([[1, 1], [2, 2], hardware])  # what the workers say of their configs, data and machines
    monkeypatch.setattr("textapp.training.strategy.num_workers", lambda strategy: 2)
    monkeypatch.setattr("textapp.training.strategy.of_all_replicas", lambda strategy, number: next(found))
    content = {
        "task": "classification",
        "run": "run",
        "data": {"train": "a.tsv"},
        "model": {"architecture": architecture},
    }
    config = parse_config({**content, "training": {"precision": precision}}, "config")
    told = pytest.raises(UsageError, match="auto, but only some of the workers compute in bfloat16: set it to float32")
    with told if refused else nullcontext():
        _check_workers(None, config, {})


# --- worker processes that only run a line of Python ------------------------------------------------------------------


@pytest.fixture
def run_workers(monkeypatch) -> Callable[..., None]:
    """Runs a program as two workers, in which `worker` is the index."""
    monkeypatch.setattr(launch, "SECONDS_TO_FAIL", 0.2)
    monkeypatch.setattr(launch, "SECONDS_TO_LEAVE", 1.0)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    head = (
        "import json, os, signal, sys, time; config = json.loads(os.environ['TF_CONFIG'])\n"
        "worker = config['task']['index']\n"
    )

    def run(program: str) -> None:
        launch._run([sys.executable, "-uc", head + program], 2)

    return run


def test_every_line_has_the_name_of_its_worker(run_workers, capfd) -> None:
    run_workers("print('first', worker); print('grün', file=sys.stderr)")
    captured = capfd.readouterr()
    assert sorted(captured.err.splitlines()) == [
        "[worker 0] first 0", "[worker 0] grün", "[worker 1] first 1", "[worker 1] grün"
    ]  # fmt: skip
    assert captured.out == ""


def test_workers_share_a_cluster_of_free_ports_and_no_gpu(run_workers, capfd) -> None:
    run_workers("print(config['cluster'], config['task']['type'], os.environ['CUDA_VISIBLE_DEVICES'])")
    told = {line.split("] ", 1)[1] for line in capfd.readouterr().err.splitlines()}
    (line,) = told
    assert re.fullmatch(r"\{'worker': \['127.0.0.1:\d+', '127.0.0.1:\d+'\]\} worker -1", line)
    assert len(set(re.findall(r":(\d+)", line))) == 2


def test_the_first_failure_ends_the_others_with_its_message(run_workers) -> None:
    program = "if worker: time.sleep(0.2); print('error: no room'); print('a line'); sys.exit(3)\ntime.sleep(60)"
    began = time.monotonic()
    with pytest.raises(WorkerFailed, match="^worker 1 ended with exit code 3: no room$") as caught:
        run_workers(program)
    assert caught.value.exit_code == 3 and time.monotonic() - began < 20


def test_a_worker_that_does_not_hear_sigterm_is_killed(run_workers) -> None:
    program = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if worker == 0: time.sleep(0.5); os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(
        WorkerFailed, match="worker 0 ended with exit code 137: killed by SIGKILL: run the same"
    ) as caught:
        run_workers(program)
    assert caught.value.exit_code == 137 and time.monotonic() - began < 20


def test_a_worker_that_saved_and_left_lets_the_others_save(run_workers, capfd) -> None:
    """The other one takes longer than the patience with those that failed, and is not told to hurry."""
    program = "if worker: sys.exit(75)\ntime.sleep(2); print('saved'); sys.exit(75)"
    with pytest.raises(WorkerFailed, match="worker 1 ended with exit code 75"):
        run_workers(program)
    assert "[worker 0] saved" in capfd.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_goes_to_every_worker_once(run_workers, capfd, number: int, code: int) -> None:
    program = (
        "def stop(number, frame): print('got', number); time.sleep(0.5); sys.exit(130 if number == 2 else 75)\n"
        "signal.signal(2, stop); signal.signal(15, stop)\n"
        f"if worker: time.sleep(1); os.kill(os.getppid(), {int(number)})\ntime.sleep(60)"
    )
    before = signal.getsignal(number)
    with pytest.raises(WorkerFailed) as caught:
        run_workers(program)
    assert caught.value.exit_code == code and signal.getsignal(number) is before
    assert sorted(line for line in capfd.readouterr().err.splitlines() if "got" in line) == [
        f"[worker {index}] got {int(number)}" for index in (0, 1)
    ]


# --- calls that are refused -------------------------------------------------------------------------------------------


def test_a_worker_does_not_start_workers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UsageError, match="found the environment variable TF_CONFIG.*use textapp train"):
        launch.launch(2, write_config(tmp_path))


@pytest.mark.parametrize("device", ["cpu", "mirrored", "tpu"])
def test_a_device_of_one_process_is_refused(tmp_path: Path, monkeypatch, device: str) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match=f"training.device: found {device}, expected auto or multi_worker"):
        launch.launch(2, write_config(tmp_path, device=device))


def test_one_worker_and_a_misspelt_key_are_refused_before_anything_starts(tmp_path: Path, run_textapp) -> None:
    config = write_config(tmp_path)
    done = run_textapp("launch", "--workers", "1", config)
    assert done.code == 2 and "--workers" in done.stderr and "worker 0" not in done.stderr
    done = run_textapp("launch", "--workers", "2", config, "--set", "training.epocs=1")
    assert done.code == 2 and "did you mean 'epochs'" in done.stderr and "worker 0" not in done.stderr


# --- real trainings ---------------------------------------------------------------------------------------------------


def test_two_workers_train_what_one_process_does(tmp_path: Path, run_textapp, textapp_here) -> None:
    config = write_config(tmp_path)
    done = run_textapp("launch", "--workers", "2", config, "--run", tmp_path / "two", "--set", "seed=3")
    assert done.code == 0, done.stderr
    assert done.stdout == "" and all(f"[worker {index}] epoch 3/3" in done.stderr for index in (0, 1))
    assert not (tmp_path / "two.textapp-work").exists() and not (tmp_path / "run").exists()
    one = textapp_here("train", config, "--run", tmp_path / "one", "--set", "seed=3", "--set", "training.device=cpu")
    assert one.code == 0, one.stderr
    assert len(losses(tmp_path / "one")) == 6
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    again = run_textapp("launch", config, "--run", tmp_path / "two")
    assert again.code == 1 and re.search(r"error: worker \d ended with exit code 1: .*finished already", again.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "number", "code"),
    [("all", signal.SIGTERM, 75), ("worker 1", signal.SIGTERM, 75), ("worker 0", signal.SIGKILL, 137),
     ("worker 1", signal.SIGKILL, 137)],
)  # fmt: skip
def test_a_training_that_lost_a_worker_ends_as_an_undisturbed_one(
    tmp_path: Path, run_textapp, textapp_here, victim: str, number: int, code: int
) -> None:
    """The signal to all goes to textapp launch; the second start finds the last checkpoint."""
    config = write_config(tmp_path, epochs=40, learning_rate=1e-3)
    process = started("launch", config)
    pids = [int(pid) for pid in seen(process, r"processes (\d+), (\d+)").groups()]
    seen(process, "worker 0. epoch 3/40")
    os.kill(process.pid if victim == "all" else pids[int(victim[-1])], number)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == code, rest
    if code == 75:
        stops = [
            re.findall(rf"worker {index}. error: training: (stopped by SIGTERM .*); saved", rest) for index in (0, 1)
        ]
        assert len(stops[0]) == 1 and stops[0] == stops[1]
    assert "run the same command again to resume" in rest.lower()
    assert not (tmp_path / "run").exists()

    resumed = run_textapp("launch", config)
    assert resumed.code == 0 and "resuming" in resumed.stderr, resumed.stderr
    assert "epoch 1/40" not in resumed.stderr and "epoch 40/40" in resumed.stderr
    whole = textapp_here("train", config, "--run", tmp_path / "whole", "--set", "training.device=cpu")
    assert whole.code == 0 and len(losses(tmp_path / "whole")) == 80
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


def test_workers_end_with_the_command_that_started_them(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent is gone")
    code = (
        "import sys; from textapp.commands.launch import _run\n"
        "_run([sys.executable, '-uc', \"import os, time; print('pid', os.getpid()); time.sleep(60)\"], 2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
        encoding="utf-8",
    )  # fmt: skip
    pids = [int(seen(process, r"pid (\d+)")[1]) for _ in range(2)]
    process.kill()
    process.wait()
    wait_for(lambda: all(status(pid) == "Z" for pid in pids), seconds=20)
