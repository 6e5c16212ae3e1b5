"""The one door to the interpreters of .tflite files: ai-edge-litert and tflite-runtime."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from textapp.errors import ArtifactError, OptionError, UsageError
from textapp.noise import quiet

# In order of preference: the first one is faster on every file that both of them load.
PACKAGES = {"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


def available() -> list[str]:
    """The names of the runtimes that are installed, the preferred one first."""
    return [name for name, package in PACKAGES.items() if importlib.util.find_spec(package) is not None]


def usable(runtime: str) -> bool:
    """Whether a runtime is installed and can run in this process: tflite-runtime cannot run beside TensorFlow."""
    return runtime in available() and not (runtime == "tflite-runtime" and sys.modules.get("tensorflow"))


def version(runtime: str) -> str:
    """The package behind a runtime and its version: `ai-edge-litert 2.3.0`."""
    from importlib.metadata import version as installed_version  # slow to import, and no prediction needs it

    distribution = PACKAGES[runtime].replace("_", "-")
    return f"{distribution} {installed_version(distribution)}"


def choose(runtime: str) -> str:
    """Resolves `auto` to a runtime that is installed, and checks one that is named.

    Raises:
        UsageError: there is none of this name, it is not installed, or it cannot run in this process.
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
            "tflite-runtime cannot run in a process that imported TensorFlow: use a process of its own, or litert"
        )
    return runtime


def open_interpreter(model_path: str | Path, threads: int = 1, runtime: str = "auto") -> Any:
    """Opens a .tflite file.

    Args:
        model_path: the file.
        threads: CPU threads of one call.
        runtime: `litert`, `tflite-runtime`, or `auto` for whichever is installed.

    Returns:
        The `Interpreter` of that package. Tensors are not allocated yet.

    Raises:
        ArtifactError: the file is missing or this runtime does not load it.
        UsageError: no runtime is installed.
    """
    if not Path(model_path).is_file():
        raise ArtifactError(f"{model_path}: no such file; expected a .tflite file")
    name = choose(runtime)
    module = _import(name)
    try:
        with quiet():
            return module.Interpreter(model_path=str(model_path), num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"{model_path}: {version(name)} does not load it: {' '.join(str(error).split())}; expected a file that was "
            f"exported for it: textapp export RUN --target {name}"
        ) from error


def _import(runtime: str) -> ModuleType:
    try:
        return importlib.import_module(f"{PACKAGES[runtime]}.interpreter")
    except (ImportError, AttributeError) as error:
        # tflite-runtime was built for numpy 1; pip installs numpy 2 beside it without a word.
        raise UsageError(
            f"the runtime {runtime} is installed but does not start ({error}): "
            f"pip install 'textapp[{runtime}]' brings the numpy that it needs"
        ) from error
