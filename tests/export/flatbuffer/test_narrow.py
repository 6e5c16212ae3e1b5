"""Kernels in int4: the file computes what its integers say, in the interpreter and in a CompiledModel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textapp.errors import ArtifactError
from textapp.export.flatbuffer.graphs import parse, shape_of, type_name
from textapp.export.flatbuffer.narrow import narrow_kernels
from textapp.export.tflite import convert, write_saved_model
from textapp.models.int4_kernels import rounded_to_int4
from textapp.objectives.signature import Signature
from textapp.runners.compiled import open_compiled
from textapp.runners.edge import EdgeRunner
from textapp.runners.flatfile import check_flatfile
from textapp.runners.weights import parameters, work

IDS = np.array([[3, 1, 4, 1]], np.int32)
SCALE = 0.125  # which the converter may multiply the first kernel with


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An int8 file with `read_4` and `read_2` of the same layers, and its kernels: on the grid but for the last."""
    import keras

    folder, dice = tmp_path_factory.mktemp("narrow"), np.random.default_rng(0)
    table = keras.layers.Embedding(50, 64)
    layers = [keras.layers.Dense(96), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(32)]
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    first, second, third = layers
    model = keras.Model({"token_ids": token_ids}, third(second(SCALE * first(table(token_ids)))))
    table.embeddings.assign(dice.normal(size=(50, 64)))
    for layer in layers:
        kernel = dice.normal(size=layer.kernel.shape)
        layer.kernel.assign(kernel if layer is third else rounded_to_int4(kernel))
        layer.bias.assign(dice.normal(size=layer.bias.shape))
    signatures = [
        Signature(f"read_{length}", {"token_ids": (1, length)}, lambda named: {"rows": model(named)})
        for length in (4, 2)
    ]
    write_saved_model(model, signatures, folder / "saved_model")
    convert(folder / "saved_model", folder / "int8.tflite", ["read_4", "read_2"], "litert", "dynamic", folder / "no")
    return folder / "int8.tflite", model, [np.asarray(layer.kernel) for layer in layers]


@pytest.fixture(scope="module")
def narrow(made) -> Path:
    file, _, kernels = made
    content, count = narrow_kernels(file.read_bytes(), kernels)
    assert count == 2
    path = file.with_name("int4.tflite")
    path.write_bytes(content)
    return path


def test_the_file_has_the_kernels_in_int4_once(made, narrow):
    model = parse(narrow.read_bytes())
    shapes = [{shape_of(each) for each in graph.tensors if type_name(each) == "INT4"} for graph in model.subgraphs]
    assert shapes == [{(96, 64), (64, 96)}] * 2
    saved = made[0].stat().st_size - narrow.stat().st_size
    assert saved > 0.35 * 2 * 96 * 64  # a half, without a sixteenth for the scales and what names these
    counts = parameters(narrow), parameters(made[0])
    assert counts[0]["parameters"] == counts[1]["parameters"]  # scales are none
    works = work(narrow, "read_4"), work(made[0], "read_4")
    assert works[0].multiply_adds == works[1].multiply_adds
    assert works[1].weight_bytes - works[0].weight_bytes == 2 * 96 * 64 * (1 / 2 - 1 / 16)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("length", [4, 2])
def test_it_computes_what_the_model_does(made, narrow, compiled, length):
    expected = np.asarray(made[1]({"token_ids": IDS[:, :length]}))
    if compiled:
        memory = open_compiled(narrow, 1).memory(f"read_{length}")
        memory.inputs["token_ids"][...] = IDS[:, :length]
        memory.invoke()
        found = memory.outputs["rows"].copy()
    else:
        found = EdgeRunner(narrow).run(f"read_{length}", {"token_ids": IDS[:, :length]})["rows"]
    # What activations and the last kernel lose in int8.
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_what_is_on_no_grid_or_of_another_model_stays(made):
    file, _, kernels = made
    other = rounded_to_int4(np.random.default_rng(9).normal(size=kernels[0].shape)).astype(np.float32)
    assert narrow_kernels(file.read_bytes(), [kernels[2], other])[1] == 0


def written(model: Any, path: Path) -> Path:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda blocks, tensors: setattr(blocks, "blockSize", 48), "has blocks of 48"),
        (lambda blocks, tensors: setattr(blocks, "blockSize", 0), "has blocks of 0"),
        (lambda blocks, tensors: setattr(blocks, "blockSize", 16), "in blocks of 16 has scales of the shape"),
        (lambda blocks, tensors: setattr(blocks, "scales", len(tensors)), "the scales of a tensor has the number"),
        (lambda blocks, tensors: setattr(blocks, "scales", -1), "the scales of a tensor has the number -1"),
        (lambda blocks, tensors: setattr(blocks, "zeroPoints", 0), "or has zero points"),
        (lambda blocks, tensors: setattr(tensors[blocks.scales], "type", 7), "or of no float16"),
    ],
)
def test_blocks_that_lead_elsewhere_are_refused(narrow, tmp_path, change, message):
    model = parse(narrow.read_bytes())
    tensors = model.subgraphs[0].tensors
    change(next(each.quantization.details for each in tensors if type_name(each) == "INT4"), tensors)
    with pytest.raises(ArtifactError, match=message):
        check_flatfile(written(model, tmp_path / "model.tflite"))


def test_blocks_are_for_matrix_products_alone(narrow, tmp_path):
    model = parse(narrow.read_bytes())
    graph = model.subgraphs[0]
    kernel = next(index for index, each in enumerate(graph.tensors) if type_name(each) == "INT4")
    reader = next(each for each in graph.operators if kernel in each.inputs)
    reader.inputs = [kernel, *reader.inputs[1:]]
    with pytest.raises(ArtifactError, match="is in blocks, and an operator reads it that is no matrix product"):
        check_flatfile(written(model, tmp_path / "model.tflite"))
