"""Where a training runs, and in which numbers it computes."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import tensorflow as tf

from textapp.config import Architecture
from textapp.errors import ConfigError, TextappError, UsageError
from textapp.processes import TENSORFLOW_THREADS, slurm_tasks, usable_cores

logger = logging.getLogger(__name__)

CPUINFO = Path("/proc/cpuinfo")  # Linux; elsewhere nothing is known of bfloat16

MOST_PARTS = 4  # each has gradients of its own; measured on two cores, so many cores are left to TensorFlow

GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)

SLURM_PORT = 10_000  # the first port of the workers of a job, and 15,999 above it

TF_CONFIG_FORM = (
    '{"cluster": {"worker": ["host1:4000", "host2:4000"]}, "task": {"type": "worker", "index": 0}}, '
    "the same cluster on every worker, index 0 to the number of workers less one"
)


def make_strategy(device: str, xla: bool = False) -> tf.distribute.Strategy:
    """The strategy of a device by its config name; call it before anything else of TensorFlow.

    Args:
        device: `auto` takes the workers of TF_CONFIG or of a step of Slurm where there are several, else every GPU,
            else the CPU; `cpu`; `gpu`, the first one; `mirrored`, every GPU, or every logical CPU where there is none;
            `multi_worker`, as TF_CONFIG or Slurm says; `tpu`.
        xla: whether XLA compiles the steps: it divides each operation between the cores, and batches stay whole.

    Raises:
        UsageError: the device is not there, or TF_CONFIG is missing or malformed.
    """
    if device in ("auto", "multi_worker") and "TF_CONFIG" not in os.environ and slurm_tasks() > 1:
        os.environ["TF_CONFIG"] = json.dumps(_config_of_slurm())
    if device == "auto":
        device = _best_device()
    match device:
        case "cpu":
            return _on_cpu(xla)
        case "gpu":
            return _on_gpu()
        case "mirrored":
            return tf.distribute.MirroredStrategy(_names("GPU") or _names("CPU"))
        case "multi_worker":
            return _over_workers()
        case "tpu":
            return _on_tpu()
    raise ValueError(f"device: expected auto, cpu, gpu, mirrored, multi_worker or tpu, found {device!r}")


def parts_of_a_batch(strategy: tf.distribute.Strategy) -> int:
    """How many parts of a batch a training computes side by side: one for each core, where `make_strategy` set that.

    A step of small operations wastes time where several cores share each of them: they wait for each other, and what
    one core wrote the other one reads. Two halves of a batch need no waiting before their gradients are added.
    """
    one_thread = tf.config.threading.get_intra_op_parallelism_threads() == 1
    return usable_cores() if one_thread and strategy.num_replicas_in_sync == 1 and _cores_take_parts() else 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """True in the one process that writes files: worker 0, or the only one."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.cluster_spec().as_dict().get("worker") or resolver.task_id in (None, 0)


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """The number of processes that share a training."""
    resolver = strategy.cluster_resolver
    return max(1, len(resolver.cluster_spec().as_dict().get("worker", []))) if resolver is not None else 1


def make_largest(strategy: tf.distribute.Strategy) -> Callable[[Sequence[int]], list[int]]:
    """Makes a function that each worker calls with its numbers, and that gives every one the largest of all workers.

    Example: `[0, 5]` of one worker and `[15, 3]` of the other give both `[15, 5]`.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def gathered(numbers: tf.Tensor) -> tf.Tensor:
        rows = strategy.run(lambda: tf.expand_dims(numbers, 0))
        return tf.reduce_max(strategy.gather(rows, axis=0), axis=0)

    return lambda numbers: gathered(tf.constant(list(numbers), tf.int64)).numpy().tolist()


def of_all_replicas(strategy: tf.distribute.Strategy, number: int) -> list[int]:
    """The number that each replica has, the same list on every worker, which all have to call this."""

    @tf.function
    def gathered() -> tf.Tensor:
        return strategy.gather(strategy.run(lambda: tf.constant([number])), axis=0)

    return gathered().numpy().tolist() if strategy.num_replicas_in_sync > 1 else [number]


@contextmanager
def gone_workers_reported(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns the errors of a worker that another one left alone into one that tells what to do.

    Raises:
        TextappError: another worker is gone.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if num_workers(strategy) == 1 or not (isinstance(error, GONE) or "Collective ops is aborted" in error.message):
            raise
        lines = [line.strip() for line in re.sub(r"\{\{.*?\}\}", "", error.message).splitlines()]
        reason = next((line for line in lines if line and line != "Graph execution error:"), type(error).__name__)
        raise TextappError(
            f"training: another worker is gone ({reason}): start all workers again; they resume from the last "
            "checkpoint, if one was saved"
        ) from error


def choose_precision(precision: str, model: Architecture, device: str) -> str:
    """Resolves `auto`: mixed_bfloat16 where the hardware has it and the model is large enough to gain, else float32.

    Args:
        precision: of the config; anything but `auto` is returned as it is.
        model: of the config. On a CPU with AVX512-BF16 a step of a model of attention layers gains a quarter at 128
            wide and more than half at 256, an mlp nothing. cnn and lstm would gain a quarter, and stay in float32:
            their trainings are short, and an LSTM adds up its state over all steps.
        device: of the config.

    Returns:
        the name of a Keras dtype policy.
    """
    if precision != "auto":
        return precision
    where = bfloat16_hardware(device) if model.attention else None
    chosen = "mixed_bfloat16" if where else "float32"
    reason = where or ("no bfloat16 hardware" if model.attention else f"model {model.architecture}")
    logger.info("precision: %s (%s); training.precision sets another", chosen, reason)
    return chosen


def _best_device() -> str:
    if os.environ.get("TF_CONFIG"):
        config = _tf_config()
        workers = config["cluster"].get("worker", [])
        if not isinstance(workers, list):
            _check_cluster(config)
        if len(workers) > 1:
            return "multi_worker"
    return ("cpu", "gpu", "mirrored")[min(2, len(tf.config.list_physical_devices("GPU")))]


def _names(kind: str) -> list[str]:
    return [device.name for device in tf.config.list_logical_devices(kind)]


def _cores_take_parts() -> bool:
    set_by_user = any(name in os.environ for name in TENSORFLOW_THREADS)
    return 1 < usable_cores() <= MOST_PARTS and not set_by_user


def _on_cpu(xla: bool) -> tf.distribute.Strategy:
    if not xla and _cores_take_parts():
        with suppress(RuntimeError):  # TensorFlow runs already, as in a notebook: then it keeps its threads
            tf.config.threading.set_intra_op_parallelism_threads(1)
    # The default strategy has the least overhead, but would go to a GPU where there is one.
    return tf.distribute.OneDeviceStrategy("/cpu:0") if _names("GPU") else tf.distribute.get_strategy()


def _on_gpu() -> tf.distribute.Strategy:
    if not _names("GPU"):
        raise UsageError(
            "training.device: gpu, but TensorFlow sees no GPU: check nvidia-smi and install tensorflow[and-cuda], "
            "or set training.device to cpu"
        )
    return tf.distribute.get_strategy()


def _over_workers() -> tf.distribute.Strategy:
    _check_cluster(_tf_config())
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation.RING
    )
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def _tf_config() -> dict:
    """TF_CONFIG, parsed.

    Raises:
        UsageError: it is missing or is not JSON with a cluster and a task.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise UsageError(
            "training.device: multi_worker needs the environment variable TF_CONFIG, or several tasks of Slurm's srun: "
            + TF_CONFIG_FORM
        )
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"TF_CONFIG: not JSON ({error}); expected {TF_CONFIG_FORM}") from error
    if not isinstance(config, dict) or not isinstance(config.get("cluster"), dict):
        raise UsageError(f"TF_CONFIG: found {text}; expected {TF_CONFIG_FORM}")
    return config


def _config_of_slurm() -> dict:
    """What TF_CONFIG has to say in a task of a step of Slurm; a worker is a task.

    TensorFlow's resolver reads the variables of the step. It would also give GPUs to the tasks, which Slurm does
    itself, and fails where there are none. It sorts hosts by name, n10 before n2, and Slurm does not: so the number of
    this worker is that of its own address, not that of the task.

    Raises:
        UsageError: a variable is missing or malformed.
    """
    # Other jobs on a host have other ports, most probably.
    port = SLURM_PORT + 16 * (int(os.environ.get("SLURM_JOB_ID", 0)) % 1000)
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=slurm_tasks(), gpus_per_task=1, auto_set_gpu=False
        )
        workers = resolver.cluster_spec().as_dict()["worker"]
        own = f"{os.environ['SLURMD_NODENAME']}:{port + int(os.environ['SLURM_LOCALID'])}"
        return {"cluster": {"worker": workers}, "task": {"type": "worker", "index": workers.index(own)}}
    except (KeyError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"Slurm: the workers of this step cannot be told ({error}): start them by srun, or set TF_CONFIG: "
            f"{TF_CONFIG_FORM}"
        ) from error


def _check_cluster(config: dict) -> None:
    workers, task = config["cluster"].get("worker"), config.get("task")
    if not isinstance(workers, list) or not workers:
        raise UsageError(f"TF_CONFIG: the cluster has no list 'worker'; expected {TF_CONFIG_FORM}")
    if not isinstance(task, dict) or task.get("type") != "worker" or task.get("index") not in range(len(workers)):
        raise UsageError(
            f"TF_CONFIG: found the task {task}; expected type worker and an index from 0 to {len(workers) - 1}"
        )


def _on_tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        first = str(error).strip().splitlines()[0]
        mend = f"TPU_NAME is {name!r}, expected local on a TPU VM, else the name of a TPU" if name else "set TPU_NAME"
        raise ConfigError(
            f"training.device: tpu, but no TPU answers ({first}): {mend}, or set training.device to auto"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def bfloat16_hardware(device: str) -> str | None:
    """What computes in bfloat16 here, in words, such as `CPU with amx_bf16`; None if nothing does.

    Args:
        device: of the config.
    """
    if device == "tpu":
        return "TPU"
    if device != "cpu" and tf.config.list_physical_devices("GPU"):
        return "GPU"
    flags = CPUINFO.read_text(encoding="utf-8", errors="replace") if CPUINFO.is_file() else ""
    return next((f"CPU with {flag}" for flag in ("amx_bf16", "avx512_bf16") if flag in flags), None)
