"""Describes the machine and the installed packages, and finds conflicts between them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

from textapp.processes import THREAD_SETTINGS, usable_cores

PACKAGES = (
    "tensorflow", "keras", "keras-hub", "tensorflow-text", "tf-keras", "tensorflow-model-optimization",
    "ai-edge-litert", "tflite-runtime", "litert-lm-api", "litert-lm-builder", "numpy", "ml-dtypes", "sentencepiece",
    "tokenizers", "scikit-learn", "matplotlib", "bm25s", "jinja2", "llguidance", "gguf", "safetensors", "pydantic",
    "typer", "rich", "apache-beam", "ray", "optuna", "fsspec", "aiohttp", "s3fs", "gcsfs",
)  # fmt: skip
# The packages that each stage requires, by the extra of textapp that installs them.
EXTRAS = {
    "train": ("tensorflow", "keras", "keras-hub"),
    "evaluate": ("scikit-learn", "matplotlib"),
    "retrieval": ("bm25s",),
    "chat": ("jinja2",),
    "constraints": ("llguidance",),
    "optimize": ("optuna",),
    "gguf": ("gguf",),
    "litert": ("ai-edge-litert",),
    "tflite-runtime": ("tflite-runtime",),
    "litert-lm": ("litert-lm-builder", "litert-lm-api", "ai-edge-litert"),
    "beam": ("apache-beam", "ai-edge-litert"),
    "ray": ("ray", "ai-edge-litert"),
    "remote": ("fsspec", "aiohttp", "s3fs", "gcsfs"),
}
# Packages that are built against one minor version of TensorFlow.
BOUND_TO_TENSORFLOW = ("tensorflow-text", "tf-keras")
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16")
DEVICES = (
    "import json, tensorflow as tf; "
    "print(json.dumps([[d.device_type, d.name] for d in tf.config.list_physical_devices()]))"
)


def environment() -> dict[str, Any]:
    """Describes this machine and installation.

    Returns:
        `{"python", "platform", "packages": {name: version}, "extras": {extra: "complete" | what is missing}, "cores",
        "usable_cores", "thread_settings", "cpu_flags", "bfloat16", "devices", "warnings"}`; `devices` is None without
        TensorFlow.
    """
    versions = installed()
    flags = cpu_flags()
    devices, warning = tensorflow_devices()
    python = sys.version_info[:2]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "extras": {name: missing_from(name, versions) or "complete" for name in EXTRAS},
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "thread_settings": {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ},
        "cpu_flags": flags,
        "bfloat16": any(flag in flags for flag in ("avx512_bf16", "amx_bf16")),
        "devices": devices,
        "warnings": [*conflicts(versions, python), *([warning] if warning else [])],
    }


def installed() -> dict[str, str]:
    """Versions of the installed packages that textapp can use."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def missing_from(extra: str, versions: Mapping[str, str]) -> list[str]:
    """Packages of an extra that are not installed."""
    return [name for name in EXTRAS[extra] if name not in versions]


def conflicts(versions: Mapping[str, str], python: tuple[int, ...]) -> list[str]:
    """Messages about incompatible versions, each with a remedy.

    Example: `conflicts({"numpy": "2.1.0", "tflite-runtime": "2.14.0"}, (3, 11))` gives one message that ends with
    `pip install 'numpy<2'`.
    """
    messages = []
    tensorflow = versions.get("tensorflow")
    if "tflite-runtime" in versions and _number(versions.get("numpy", "1"))[0] >= 2:
        messages.append(f"tflite-runtime does not start with numpy {versions['numpy']}: pip install 'numpy<2'")
    if "tflite-runtime" in versions and python >= (3, 12):
        messages.append("tflite-runtime exists for Python up to 3.11 only: use ai-edge-litert here")
    for name in BOUND_TO_TENSORFLOW:
        if tensorflow and name in versions and _number(versions[name]) != _number(tensorflow):
            minor = ".".join(map(str, _number(tensorflow)))
            messages.append(
                f"{name} {versions[name]} is incompatible with tensorflow {tensorflow}: pip install '{name}=={minor}.*'"
            )
    if "keras" in versions and _number(versions["keras"])[0] < 3:
        messages.append(f"keras {versions['keras']} is too old: pip install 'keras>=3'")
    if tensorflow and "keras" not in versions:
        messages.append("tensorflow needs keras for training: pip install 'textapp[train]'")
    if "keras-hub" in versions and tensorflow and "tensorflow-text" not in versions:
        messages.append("keras-hub needs tensorflow-text for presets: pip install 'textapp[train]'")
    if not {"ai-edge-litert", "tflite-runtime"} & versions.keys():
        messages.append("no interpreter of .tflite files is installed: pip install 'textapp[litert]'")
    return messages


def cpu_flags() -> list[str]:
    """The instruction sets of this CPU that speed up small models; empty if the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    present = set(line.partition(":")[2].split())
    return [flag for flag in CPU_FLAGS if flag in present]


def tensorflow_devices() -> tuple[list[str] | None, str | None]:
    """The devices of TensorFlow, from a child process, and a warning if TensorFlow cannot be imported.

    Returns:
        Such as `(["CPU /physical_device:CPU:0"], None)`; `(None, None)` without TensorFlow.
    """
    if util.find_spec("tensorflow") is None:
        return None, None
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", DEVICES], env=environment, capture_output=True, encoding="utf-8", timeout=120
        )
        pairs = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        last = done.stderr.strip().splitlines()[-1:] if isinstance(error, (ValueError, IndexError)) else [str(error)]
        return None, f"tensorflow is installed but cannot be imported: {' '.join(last)}"
    return [f"{kind} {name}" for kind, name in pairs], None


def _number(version: str) -> tuple[int, int]:
    """`2.21.1` as `(2, 21)`."""
    parts = [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)
