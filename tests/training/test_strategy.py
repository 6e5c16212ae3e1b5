from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import tensorflow as tf

from textapp.config import MlpModel, Model, PresetModel, TransformerModel
from textapp.errors import ConfigError, UsageError
from textapp.training import strategy
from textapp.training.strategy import choose_precision, is_chief, make_strategy


def test_cpu_is_one_replica_that_writes() -> None:
    one = make_strategy("cpu")
    assert one.num_replicas_in_sync == 1
    assert is_chief(one)


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "gpu"), (4, "mirrored")])
def test_auto_takes_every_gpu(monkeypatch, gpus: int, device: str) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [object()] * gpus)
    assert strategy._best_device() == device


def test_auto_follows_tf_config(monkeypatch) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {}}))
    assert strategy._best_device() == "multi_worker"


def test_no_gpu_says_how_to_mend_it(monkeypatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [])
    with pytest.raises(UsageError, match="sees no GPU.*training.device to cpu"):
        make_strategy("gpu")


CLUSTER = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "needs the environment variable TF_CONFIG.*host1:4000"),
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


def test_no_tpu_says_so(monkeypatch) -> None:
    def absent(**_: object) -> None:
        raise ValueError("Please provide a TPU Name to connect to.")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", absent)
    with pytest.raises(ConfigError, match="no TPU answers.*TPU_NAME"):
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
