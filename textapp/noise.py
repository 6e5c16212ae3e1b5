"""Keeps start-up messages that tell a user nothing off the terminal."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from textapp.errors import require


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what C++ code writes to stderr, 'INFO: Created TensorFlow Lite XNNPACK delegate'.

    Errors are raised, not only written, so none is lost.
    """
    try:
        kept = os.dup(2)
    except OSError:  # a service may have closed stderr: then there is nothing to keep quiet
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras, whose C++ side greets before any log level is in force."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with quiet():
        require("tensorflow", "train")
        require("keras", "train")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # advice on retracing is for authors of models
