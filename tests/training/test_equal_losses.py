"""One replica, two replicas and two worker processes give the same losses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textapp.training import trainer
from textapp.training.strategy import make_strategy

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import accumulated  # noqa: E402
import equal_losses  # noqa: E402
import tiny  # noqa: E402


def start(script: str, device: str, processors: int, *more: str, tf_config: dict | None = None) -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    command = [sys.executable, str(HERE / script), device, str(processors), *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process: subprocess.Popen) -> Any:
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr[-3000:]
    return json.loads(stdout.splitlines()[-1])


@pytest.fixture(scope="module", autouse=True)
def _every_loss() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 1)
        yield


@pytest.fixture(scope="module")
def one_replica() -> list[float]:
    losses = equal_losses.train(make_strategy("cpu"))["losses"]
    assert len(losses) == 30
    assert losses[-1] < losses[0]
    return losses


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_two_mirrored_replicas(one_replica: list[float]) -> None:
    trainings = [{"options": options} for options in ([], ["xla"], ["linear"])]
    for found in result(start("equal_losses.py", "mirrored", 2, json.dumps(trainings))):
        assert found["replicas"] == 2
        assert found["losses"] == pytest.approx(one_replica, abs=1e-4)


def test_mirrored_replicas_make_one_step_a_call_however_quick_it_is(one_replica: list[float]) -> None:
    steps = tiny.make_batches().plan(0).steps
    means = [float(np.mean(one_replica[start : start + steps])) for start in range(0, 30, steps)]
    (found,) = result(start("equal_losses.py", "mirrored", 2, json.dumps([{"options": ["calls"]}])))
    assert found["replicas"] == 2 and len(means) == 4
    assert found["losses"] == pytest.approx(means, abs=1e-4)


def test_accumulated_batches_on_two_replicas_move_as_one_of_all_their_rows() -> None:
    """Their total weights differ: in tokens, where the model writes; rows of a table that are unused stay."""
    found = result(start("accumulated.py", "mirrored", 2, "4"))
    for kind in accumulated.KINDS:
        whole, parts = accumulated.updates(make_strategy("cpu"), 1, kind), found[kind]
        assert len(whole["losses"]) == 12
        assert parts["losses"] == pytest.approx(whole["losses"], abs=1e-4)
        for one, two in zip(whole["weights"], parts["weights"], strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_batches_by_tokens_on_three_replicas() -> None:
    """Their rows are no multiple of three: the last replica gets rows that only fill."""
    kinds = [["tokens"], ["tokens", "static"]]
    found = result(start("equal_losses.py", "mirrored", 3, json.dumps([{"options": kind} for kind in kinds])))
    for kind, three in zip(kinds, found, strict=True):
        one = equal_losses.train(make_strategy("cpu"), kind)["losses"]
        assert three["replicas"] == 3 and len(one) == 30
        assert three["losses"] == pytest.approx(one, abs=1e-4)


def two_workers(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[subprocess.Popen]:
    """Two processes, with the trainings of each."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    return [
        start(
            "equal_losses.py", "multi_worker", 1, json.dumps(trainings),
            tf_config={"cluster": cluster, "task": {"type": "worker", "index": index}},
        )
        for index, trainings in enumerate((one, other))
    ]  # fmt: skip


def test_a_worker_that_does_not_see_the_checkpoint_ends_all_of_them_with_the_reason(tmp_path: Path) -> None:
    one, other = ({"folder": str(tmp_path / name)} for name in ("one", "other"))
    for each in (one, other):
        Path(each["folder"]).mkdir()
    equal_losses.train(make_strategy("cpu"), steps=5, **one)
    workers = two_workers([one], [other])
    try:
        for worker in workers:
            stderr = worker.communicate(timeout=300)[1]
            assert worker.returncode and "the workers resume at different steps (5, 0)" in stderr, stderr[-3000:]
    finally:
        for worker in workers:
            worker.kill()


def test_two_worker_processes(one_replica: list[float]) -> None:
    trainings = [{"options": []}, {"options": ["xla"]}]
    workers = two_workers(trainings, trainings)
    try:
        found = [result(worker) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for chief, other in zip(*found, strict=True):
        for each in (chief, other):
            assert each["replicas"] == 2
            assert each["losses"] == pytest.approx(one_replica, abs=1e-4)
        assert chief["chief"] and not other["chief"]
        assert chief["written"] and not other["written"]
