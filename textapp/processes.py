"""The environment of child processes that run a module of this package."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE_ROOT = Path(__file__).parents[1]


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment for a child that imports textapp, from the same place, and logs only errors.

    Args:
        extra: further variables; they replace those of the same name.
    """
    search_path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": search_path, "TF_CPP_MIN_LOG_LEVEL": "3", **extra}
