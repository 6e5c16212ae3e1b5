"""The only module that opens interpreters of .tflite files: ai-edge-litert and tflite-runtime."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from textapp.errors import ArtifactError, OptionError, UsageError
from textapp.noise import suppress_stderr

# In order of preference: the first is faster on every file that both load.
PACKAGES = {"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


def available() -> list[str]:
    """The names of the runtimes that are installed, the preferred one first."""
    return [name for name, package in PACKAGES.items() if importlib.util.find_spec(package) is not None]


def usable(runtime: str) -> bool:
    """Whether a runtime is installed and can run in this process: tflite-runtime cannot run beside TensorFlow."""
    return runtime in available() and not (runtime == "tflite-runtime" and sys.modules.get("tensorflow"))


def version(runtime: str) -> str:
    """The package of a runtime and its version: `ai-edge-litert 2.3.0`."""
    from importlib.metadata import version as installed_version  # slow to import, and not needed for predictions

    distribution = PACKAGES[runtime].replace("_", "-")
    return f"{distribution} {installed_version(distribution)}"


def choose(runtime: str) -> str:
    """Resolves `auto` to an installed runtime, or checks the given one.

    Raises:
        UsageError: the name is unknown, the runtime is not installed, or it cannot run in this process.
    """
    installed = available()
    if runtime not in ("auto", *PACKAGES):
        raise OptionError(f"runtime: found '{runtime}', expected one of auto, {', '.join(PACKAGES)}", "runtime")
    if runtime == "auto" and installed:
        return installed[0]
    if runtime not in installed:
        extra = "litert" if runtime == "auto" else runtime
        what = "an interpreter of .tflite files" if runtime == "auto" else f"the runtime {runtime}"
        raise UsageError(f"this needs {what}, which is not installed: pip install 'textapp[{extra}]'")
    if not usable(runtime):
        raise UsageError(
            "tflite-runtime cannot run in a process that imported TensorFlow: use a separate process, or litert"
        )
    return runtime


def open_interpreter(model_path: str | Path, threads: int = 1, runtime: str = "auto") -> Any:
    """Opens a .tflite file.

    Args:
        model_path: the file.
        threads: number of CPU threads.
        runtime: `litert`, `tflite-runtime`, or `auto` for whichever is installed.

    Returns:
        The `Interpreter` of that package, without allocated tensors.

    Raises:
        ArtifactError: the file is missing, or the runtime cannot load it.
        UsageError: no runtime is installed.
    """
    if not Path(model_path).is_file():
        raise ArtifactError(f"{model_path}: no such file; expected a .tflite file")
    name = choose(runtime)
    module = _import(name)
    try:
        with suppress_stderr():
            return module.Interpreter(model_path=str(model_path), num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"{model_path}: {version(name)} cannot load it: {' '.join(str(error).split())}; expected a file that was "
            f"exported for this runtime: textapp export RUN --target {name}"
        ) from error


def _import(runtime: str) -> ModuleType:
    try:
        return importlib.import_module(f"{PACKAGES[runtime]}.interpreter")
    except (ImportError, AttributeError) as error:
        # tflite-runtime was built for numpy 1, but pip installs it with numpy 2 without a warning.
        raise UsageError(
            f"the runtime {runtime} is installed but cannot be imported ({error}): "
            f"pip install 'textapp[{runtime}]' installs the numpy version that it needs"
        ) from error
