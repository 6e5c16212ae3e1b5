"""Conversion to a .tflite file: all signatures at once, or each from a SavedModel of its own."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest

from textapp.errors import ExportError
from textapp.export import tflite
from textapp.export.flatbuffer.graphs import is_constant, parse
from textapp.layers import BlockSettings, TransformerDecoder
from textapp.models.generator import Generator
from textapp.objectives import decoding
from textapp.objectives.signature import Signature
from textapp.runners.edge import EdgeRunner

CACHE = (1, 4, 12, 16)
PROMPT = {"token_ids": np.array([[5, 9, 4, 7, 0, 0, 0, 0]], np.int32), "num_tokens": np.array([4], np.int32)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A language model with a tied table as int8 files, by way of conversion; all at once it runs in this process."""
    folder = tmp_path_factory.mktemp("ways")
    settings = BlockSettings(4, 96, biases="none", normalization="rms", activation="swiglu", max_length=12)
    decoder = TransformerDecoder(64, 1, settings, positions="rope")
    model = Generator(decoder, 203, 64, pad_id=0, start_id=2, end_id=3, scaled=False)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + random.normal(0, 0.3, weight.shape))
    decoder.norm.scale_first = True
    model.round_tables()
    prompt = {"token_ids": (1, 8), "num_tokens": (1,)}
    cache = {f"cache_0_{name}": CACHE for name in ("key", "value")}
    signatures = [
        Signature("generate_8_4", prompt, partial(decoding.generate, model, new=4)),
        Signature("prefill_8", prompt, partial(decoding.prefill, model, cache_length=12)),
        Signature("decode", {"token_id": (1,), "position": (1,), **cache}, partial(decoding.decode, model)),
    ]
    names = [signature.name for signature in signatures]
    together, apart = folder / "together.tflite", folder / "apart.tflite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "run_child", lambda module, job, what: tflite._convert(json.loads(json.dumps(job))))
        tflite.write_saved_model(model, signatures, folder / "saved_model")
        tflite.convert(folder / "saved_model", together, names, "litert", "dynamic", folder / "unused")
        tflite.convert_apart(model, signatures, apart, "litert", "dynamic", folder / "unused")
    assert sorted(path.name for path in folder.iterdir()) == ["apart.tflite", "saved_model", "together.tflite"]
    return together, apart


def weights(file):
    """How often each constant of 100 bytes or more is in a file."""
    return Counter(
        bytes(buffer.data)
        for buffer in parse(file.read_bytes()).buffers
        if buffer.data is not None and len(buffer.data) >= 100
    )


def test_signatures_that_are_converted_apart_share_every_weight(files):
    together, apart = files
    assert weights(apart) == weights(together)
    assert set(weights(apart).values()) == {1} and max(map(len, weights(apart))) == 203 * 64
    assert tflite.signature_shapes(apart) == tflite.signature_shapes(together)
    codes = [(code.builtinCode, code.version) for code in parse(apart.read_bytes()).operatorCodes]
    assert len(codes) == len(set(codes))


def test_what_signatures_have_in_common_stands_in_a_file_once(files):
    content = files[1].read_bytes()
    model = parse(content)
    several = [tensor for graph in model.subgraphs for tensor in graph.tensors if _num_scales(tensor) > 60]
    scales = {tensor.quantization.scale.tobytes() for tensor in several}
    assert len(several) > 2 * len(scales) > 0
    assert all(content.count(values) == 1 for values in scales)
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        named = {index for index, tensor in enumerate(graph.tensors) if tensor.name is not None}
        constant = {index for index in range(len(graph.tensors)) if is_constant(model, graph, index)}
        assert named == ends | constant


def _num_scales(tensor):
    return 0 if tensor.quantization is None else len(tensor.quantization.scale)


def test_signatures_that_are_converted_apart_answer_as_those_together(files):
    together, apart = map(EdgeRunner, files)
    steps = {"token_id": np.array([6], np.int32), "position": np.array([4], np.int32)}
    found = {}
    for name, features in (("generate_8_4", PROMPT), ("prefill_8", PROMPT), ("decode", steps)):
        expected, found[name] = together.run(name, features), apart.run(name, features)
        for output, values in expected.items():
            np.testing.assert_array_equal(found[name][output], values)
        steps |= {output: values for output, values in expected.items() if output.startswith("cache")}
    assert int(found["prefill_8"]["logits"].argmax()) == found["generate_8_4"]["token_ids"][0, 0]


def test_a_signature_that_does_not_convert_ends_the_conversion(tmp_path, monkeypatch):
    class Crashing:
        def run(self, job, what):
            raise ExportError(f"{what} crashed")

    monkeypatch.setattr(tflite, "ForkingChild", lambda module: nullcontext(Crashing()))
    monkeypatch.setattr(tflite, "write_saved_model", lambda model, signatures, folder: folder.mkdir())
    signatures = [Signature(name, {}, dict) for name in ("one", "two", "three", "four")]
    with pytest.raises(ExportError, match="to litert with quantize none: one crashed"):
        tflite.convert_apart(None, signatures, tmp_path / "file.tflite", "litert", "none", tmp_path / "unused")
    assert not (tmp_path / "file_four").exists()
