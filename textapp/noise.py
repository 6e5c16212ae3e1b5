"""Hides start-up messages of TensorFlow and LiteRT that are of no use to a user."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from textapp.errors import require


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Discards what C++ code writes to stderr, such as 'INFO: Created TensorFlow Lite XNNPACK delegate'.

    No error is lost, because errors are also raised as exceptions.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # a service may have closed stderr, so there is nothing to discard
        yield
        return
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)
        os.close(devnull)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras without the messages that their C++ code writes before log levels apply."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with suppress_stderr():
        require("tensorflow", "train")
        require("keras", "train")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # hides advice on retracing, which is for authors of models
