"""One replica, two replicas and two worker processes give the same losses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent


def start(
    device: str, processors: int, *options: str, tf_config: dict | None = None, script: str = "equal_losses.py"
) -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    command = [sys.executable, str(HERE / script), device, str(processors), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process: subprocess.Popen) -> Any:
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr[-3000:]
    return json.loads(stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def one_replica() -> list[float]:
    losses = result(start("cpu", 1))["losses"]
    assert len(losses) == 30
    assert losses[-1] < losses[0]
    return losses


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.parametrize("options", [(), ("xla",), ("linear",)])
def test_two_mirrored_replicas(one_replica: list[float], options: tuple[str, ...]) -> None:
    found = result(start("mirrored", 2, *options))
    assert found["replicas"] == 2
    assert found["losses"] == pytest.approx(one_replica, abs=1e-4)


@pytest.mark.parametrize("kind", ["classifier", "writer"])
def test_accumulated_batches_on_two_replicas_move_as_one_of_all_their_rows(kind: str) -> None:
    """Their total weights differ: in tokens, where the model writes; rows of a table that are unused stay."""
    whole = result(start("cpu", 1, "1", kind, script="accumulated.py"))
    assert len(whole["losses"]) == 12
    parts = result(start("mirrored", 2, "4", kind, script="accumulated.py"))
    assert parts["losses"] == pytest.approx(whole["losses"], abs=1e-4)
    for one, two in zip(whole["weights"], parts["weights"], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_batches_by_tokens_on_three_replicas() -> None:
    """Their rows are no multiple of three: the last replica gets rows that only fill."""
    one = result(start("cpu", 1, "tokens"))["losses"]
    three = result(start("mirrored", 3, "tokens"))
    assert three["replicas"] == 3 and len(one) == 30
    assert three["losses"] == pytest.approx(one, abs=1e-4)


def two_workers(one: tuple[str, ...], other: tuple[str, ...]) -> list[subprocess.Popen]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    return [
        start("multi_worker", 1, *options, tf_config={"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index, options in enumerate((one, other))
    ]


def test_a_worker_that_does_not_see_the_checkpoint_ends_all_of_them_with_the_reason(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    result(start("cpu", 1, "5", f"{tmp_path}/one"))
    workers = two_workers(("30", f"{tmp_path}/one"), ("30", f"{tmp_path}/other"))
    try:
        for worker in workers:
            stderr = worker.communicate(timeout=300)[1]
            assert worker.returncode and "the workers resume at different steps (5, 0)" in stderr, stderr[-3000:]
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.parametrize("options", [(), ("xla",)])
def test_two_worker_processes(one_replica: list[float], options: tuple[str, ...]) -> None:
    workers = two_workers(options, options)
    try:
        found = [result(worker) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for each in found:
        assert each["replicas"] == 2
        assert each["losses"] == pytest.approx(one_replica, abs=1e-4)
    assert [each["chief"] for each in found] == [True, False]
    assert [bool(each["written"]) for each in found] == [True, False]
