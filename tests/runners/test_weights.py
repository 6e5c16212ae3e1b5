from __future__ import annotations

from pathlib import Path

import pytest

from textapp.artifact import open_artifact
from textapp.commands.inspect import parameters as recorded
from textapp.runners.weights import parameters, work

pytest.importorskip("ai_edge_litert")


def test_a_file_has_the_parameters_of_its_model(tiny_bundle: Path) -> None:
    found = parameters(tiny_bundle / "model.tflite")
    assert found is not None
    of_run = recorded(open_artifact(tiny_bundle))
    assert of_run <= found["parameters"] < 1.1 * of_run  # besides them a few constants
    assert 0.8 * of_run < found["nonzero"] <= found["parameters"]


def test_the_work_of_a_convolution_is_counted(tiny_bundle: Path) -> None:
    short, long = (work(tiny_bundle / "model.tflite", f"classify_{length}") for length in (16, 32))
    assert short is not None and long is not None
    # Widths 2, 3, 4 (or those of the defaults) of 32 filters on 32 features, at each of the places.
    assert short.multiply_adds < long.multiply_adds < 2.5 * short.multiply_adds
    assert short.weight_bytes == long.weight_bytes > 32 * 32
    assert work(tiny_bundle / "model.tflite", "absent") is None
