from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from textapp.config import MlpModel, Model, PresetModel, TransformerModel
from textapp.errors import ConfigError, TextappError, UsageError
from textapp.processes import TENSORFLOW_THREADS, child_environment, usable_cores
from textapp.training import strategy
from textapp.training.strategy import choose_precision, is_chief, make_strategy


def test_cpu_is_one_replica_that_writes() -> None:
    one = make_strategy("cpu")
    assert one.num_replicas_in_sync == 1
    assert is_chief(one)


PARTS = """
import os, sys
from textapp.training.strategy import make_strategy, parts_of_a_batch
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
print(parts_of_a_batch(make_strategy("cpu", xla=bool(sys.argv[1]))))
"""


@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
@pytest.mark.parametrize(("xla", "threads", "parts"), [("", None, "2"), ("yes", None, "1"), ("", "2", "1")])
def test_each_core_takes_a_part_of_a_batch(monkeypatch, xla: str, threads: str | None, parts: str) -> None:
    """In a process of its own, as TensorFlow takes the number of its threads once. Who set it, or XLA, decides."""
    for name in TENSORFLOW_THREADS:
        monkeypatch.delenv(name, raising=False)
    if threads:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
    environment = child_environment(CUDA_VISIBLE_DEVICES="-1")
    done = subprocess.run([sys.executable, "-c", PARTS, xla], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [parts], done.stderr


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "gpu"), (4, "mirrored")])
def test_auto_takes_every_gpu(monkeypatch, gpus: int, device: str) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [object()] * gpus)
    assert strategy._best_device() == device


def test_auto_follows_tf_config(monkeypatch) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {}}))
    assert strategy._best_device() == "multi_worker"


def test_a_cluster_that_is_none_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": 2}}))
    with pytest.raises(UsageError, match="TF_CONFIG: the cluster has no list 'worker'"):
        make_strategy("auto")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", [tf.errors.UnavailableError, tf.errors.InternalError])
def test_a_worker_that_is_left_alone_says_so(monkeypatch, kind: type[tf.errors.OpError], workers: int) -> None:
    monkeypatch.setattr(strategy, "num_workers", lambda strategy: workers)
    error = kind(None, None, "Graph execution error:\n\n{{node x}} Collective ops is aborted by: task 1\nmore")
    with (
        pytest.raises(
            kind if workers == 1 else TextappError,
            match="aborted by: task 1" if workers == 1 else r"gone \(Coll.*task 1\): start all",
        ),
        strategy.gone_workers_reported(None),
    ):
        raise error


def test_no_gpu_says_how_to_mend_it(monkeypatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [])
    with pytest.raises(UsageError, match="sees no GPU.*training.device to cpu"):
        make_strategy("gpu")


CLUSTER = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "needs the environment variable TF_CONFIG, or several tasks.*host1:4000"),
        ("{", "not JSON"),
        ("[]", r"found \[\]; expected"),
        (json.dumps({"cluster": {"chief": ["a:1"]}}), "no list 'worker'"),
        (json.dumps({"cluster": CLUSTER}), "found the task None"),
        (json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}), "an index from 0 to 1"),
    ],
)
def test_tf_config_is_checked(monkeypatch, value: str | None, message: str) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    with pytest.raises(UsageError, match=message):
        make_strategy("multi_worker")


SLURM = {
    "SLURM_JOB_ID": "2003", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_NODELIST": "n[2,10]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_PROCID": "0", "SLURMD_NODENAME": "n2", "SLURM_LOCALID": "0",
}  # fmt: skip
PORT = 10_000 + 16 * 3


@pytest.fixture()
def slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a step of Slurm; what is set of TF_CONFIG is gone after the test."""
    monkeypatch.setenv("TF_CONFIG", "")
    monkeypatch.delenv("TF_CONFIG")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("task", "index"),
    [
        (("0", "n2", "0"), 1), (("1", "n2", "1"), 2), (("2", "n10", "0"), 0),  # hosts are sorted by name
    ],
)  # fmt: skip
def test_the_tasks_of_a_step_of_slurm_are_workers(monkeypatch, task: tuple[str, str, str], index: int) -> None:
    for name, value in zip(("SLURM_PROCID", "SLURMD_NODENAME", "SLURM_LOCALID"), task, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(strategy, "_over_workers", lambda: strategy._tf_config())
    expected = {
        "cluster": {"worker": [f"n10:{PORT}", f"n2:{PORT}", f"n2:{PORT + 1}"]},
        "task": {"type": "worker", "index": index},
    }
    assert make_strategy("auto") == expected == json.loads(os.environ["TF_CONFIG"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"  # what Slurm gave to the task


@pytest.mark.usefixtures("slurm")
def test_one_task_of_slurm_trains_alone(monkeypatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    make_strategy("auto")
    assert "TF_CONFIG" not in os.environ


@pytest.mark.usefixtures("slurm")
def test_tf_config_goes_before_slurm(monkeypatch) -> None:
    content = json.dumps({"cluster": {"worker": ["a:1"]}})
    monkeypatch.setenv("TF_CONFIG", content)
    make_strategy("auto")
    assert os.environ["TF_CONFIG"] == content


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize("name", ["SLURM_STEP_NODELIST", "SLURMD_NODENAME"])
def test_a_step_of_slurm_that_is_not_known_says_so(monkeypatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(UsageError, match=f"Slurm: the workers of this step cannot be told .*{name}.*or set TF_CONFIG"):
        make_strategy("multi_worker")


WORKER = """
import os
from textapp.training.strategy import is_chief, make_largest, make_strategy, num_workers
strategy = make_strategy("auto")
print(num_workers(strategy), is_chief(strategy), make_largest(strategy)([int(os.environ["SLURM_PROCID"])]))
"""


@pytest.mark.slow
def test_two_tasks_of_slurm_find_each_other() -> None:
    """Real processes, with the variables that srun would set for them on this machine."""
    processes = []
    for rank in ("0", "1"):
        step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "2"}
        task = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURMD_NODENAME": "localhost"}
        environment = child_environment(**{**SLURM, **step, **task}, CUDA_VISIBLE_DEVICES="-1")
        processes.append(subprocess.Popen([sys.executable, "-c", WORKER], env=environment, stdout=subprocess.PIPE))
    found = [process.communicate(timeout=300)[0].decode().strip() for process in processes]
    assert found == ["2 True [1]", "2 False [1]"]


def test_no_tpu_says_so(monkeypatch) -> None:
    def absent(**_: object) -> None:
        raise ValueError("Please provide a TPU Name to connect to.")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", absent)
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(ConfigError, match="no TPU answers.*: set TPU_NAME, or"):
        make_strategy("tpu")
    monkeypatch.setenv("TPU_NAME", "local")
    with pytest.raises(ConfigError, match="no TPU answers.*TPU_NAME is 'local', expected local on a TPU VM, else"):
        make_strategy("tpu")


MLP, TRANSFORMER = MlpModel(architecture="mlp"), TransformerModel(architecture="transformer")
PRESET = PresetModel(architecture="preset", path="bert")


@pytest.mark.parametrize(
    ("model", "flags", "expected"),
    [
        (TRANSFORMER, "flags : sse avx512_bf16", "mixed_bfloat16"),
        (PRESET, "flags : amx_bf16", "mixed_bfloat16"),
        (TRANSFORMER, "flags : sse avx2", "float32"),
        (MLP, "flags : avx512_bf16", "float32"),
    ],
)
def test_precision_by_hardware_and_architecture(
    monkeypatch, caplog, tmp_path: Path, model: Model, flags: str, expected: str
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(flags, encoding="utf-8")
    monkeypatch.setattr(strategy, "CPUINFO", cpuinfo)
    with caplog.at_level(logging.INFO):
        assert choose_precision("auto", model, "cpu") == expected
    assert f"precision: {expected} (" in caplog.text


def test_a_given_precision_stays() -> None:
    assert choose_precision("mixed_float16", MLP, "cpu") == "mixed_float16"
