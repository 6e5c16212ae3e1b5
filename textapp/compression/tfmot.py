"""The TensorFlow Model Optimization Toolkit: the parts of it that work on the variables of Keras 3."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from textapp.errors import require

LEGACY = "TF_USE_LEGACY_KERAS"  # TF-MOT sets it, for the process and its children
CORE = "tensorflow_model_optimization.python.core"


def tfmot(module: str) -> ModuleType:
    """Imports a module of the toolkit, and leaves Keras as it is.

    Args:
        module: its name below `tensorflow_model_optimization.python.core`, such as `sparsity.keras.pruning_impl`.

    Raises:
        UsageError: the toolkit is not installed.
    """
    import keras  # noqa: F401  # before TF-MOT, which would have `tf.keras` be Keras 2

    before = os.environ.get(LEGACY)
    try:
        require("tensorflow_model_optimization", "train")
        return importlib.import_module(f"{CORE}.{module}")
    finally:
        if before is None:
            os.environ.pop(LEGACY, None)
        else:
            os.environ[LEGACY] = before
