"""An environment of its own with the compiler of TPUs, made once and kept in the user's cache folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textapp.errors import TextappError
from textapp.folders import cache_folder, new_folder

# Together, as the script calls what jax keeps private. The packages that they need are pinned too, so that the
# environment of tomorrow is the one that was tried.
PACKAGES = {"jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.42", "numpy": "2.4.6"}
SCRIPT = Path(__file__).with_name("tpu_compiler.py")
SECONDS_TO_INSTALL, SECONDS_TO_COMPILE = 1800, 3600


class Chip(NamedTuple):
    """A kind of TPU.

    Attributes:
        topology: the smallest group of chips that the compiler knows, by jax's name.
        accelerator: the same by the name of Google Cloud.
        memory: bytes of one chip.
    """

    topology: str
    accelerator: str
    memory: int


CHIPS = {
    "v5e": Chip("v5e:2x2", "v5litepod-4", 16 * 2**30),
    "v6e": Chip("v6e:2x2", "v6e-4", 32 * 2**30),
    "v4": Chip("v4:2x2x1", "v4-8", 32 * 2**30),
}


class NoCompiler(TextappError):
    """The environment of the compiler cannot be made, or the compiler does not start there."""


def compiler_folder() -> Path:
    """The place of the environment: below `$XDG_CACHE_HOME`, else `~/.cache`; its name has the versions."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    versions = f"jax-{PACKAGES['jax']}-libtpu-{PACKAGES['libtpu']}-python-{python}"
    return cache_folder() / f"tpu-{versions}"


def compiler_python(tell: Callable[[str], None]) -> Path:
    """The Python of the environment, which is made if it is not there yet.

    Args:
        tell: is told that it is made, which takes a minute, and where.

    Raises:
        NoCompiler: it cannot be made, such as without a network.
    """
    folder = compiler_folder()
    if not folder.is_dir():
        wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
        tell(f"making an environment for the TPU compiler, once, about 1.3 GB: {folder} ({', '.join(wanted)})")
        try:
            with new_folder(folder, "compiler") as new:
                _run([sys.executable, "-m", "venv", new], folder)
                _run([new / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input", *wanted], folder)
        except OSError as error:
            raise NoCompiler(f"{folder}: cannot be made ({error.strerror or error})") from error
    return folder / "bin" / "python"


def _run(command: list[Any], folder: Path) -> None:
    try:
        done = subprocess.run(
            list(map(str, command)), env=_environment(), capture_output=True, encoding="utf-8", errors="replace",
            timeout=SECONDS_TO_INSTALL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NoCompiler(f"{folder}: was not made within {SECONDS_TO_INSTALL} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise NoCompiler(f"{folder}: cannot be made ({reason}): it needs a network, or a pip that finds the packages")


def compile_file(python: Path, file: Path, chip: Chip) -> dict[str, Any]:
    """Compiles a file with a serialized HLO module in a process of its own, which may crash.

    Args:
        python: of the environment.
        file: the module.
        chip: the TPU.

    Returns:
        See `textapp.commands.tpu_compiler.compiled`; a crash is an `error`, too.

    Raises:
        NoCompiler: the script fails before it compiles, so the environment is damaged.
    """
    try:
        # -I, as the folder of the script has an inspect.py, which is not that of the standard library. libtpu lets one
        # process at a time use a TPU; here none uses one, so two checks may run at the same time.
        done = subprocess.run(
            [str(python), "-I", str(SCRIPT), chip.topology, str(file)],
            env=_environment(
                TPU_SKIP_MDS_QUERY="1", TPU_ACCELERATOR_TYPE=chip.accelerator, TPU_WORKER_HOSTNAMES="localhost",
                ALLOW_MULTIPLE_LIBTPU_LOAD="1", TPU_LOG_DIR="disabled", JAX_PLATFORMS="cpu",
            ),
            capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS_TO_COMPILE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"the compiler was stopped after {SECONDS_TO_COMPILE} s"}
    except OSError as error:
        raise NoCompiler(f"{python}: cannot be started ({error.strerror}): delete {compiler_folder()}") from error
    return answer_of(done)


def answer_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the script answered.

    Args:
        done: the finished process.

    Raises:
        NoCompiler: there is no answer, and the process was not ended by a signal.
    """
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    fatal = [line for line in done.stderr.splitlines() if line.strip()]
    last = fatal[-1][:500] if fatal else "no message on stderr"
    if done.returncode < 0:
        marked = next((line for line in fatal if line.startswith("F")), last)
        return {"error": f"the compiler crashed (signal {-done.returncode}): {marked[:500]}"}
    raise NoCompiler(f"the TPU compiler does not start ({last}): delete {compiler_folder()} and try again")


def _environment(**extra: str) -> Mapping[str, str]:
    """This process's variables for a Python that must not see its packages."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "XLA_FLAGS", "LIBTPU_INIT_ARGS")
    return {**{name: value for name, value in os.environ.items() if name not in hidden}, **extra}
