"""A language model whose activations have outliers: its function stays, its outliers go, its kernels are rounded."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from textapp.export.flatbuffer.graphs import parse
from textapp.export.folding import fold_norms
from textapp.export.tflite import convert, write_saved_model
from textapp.layers import BlockSettings, TransformerDecoder
from textapp.models import outliers as module
from textapp.models.generator import Generator
from textapp.models.gptq import FactoredMoments
from textapp.models.int4_kernels import as_int4
from textapp.models.int8_kernels import on_grid, rounded_kernel
from textapp.models.outliers import block_mixing, orthogonal, remove_outliers, round_to_int4
from textapp.objectives import decoding
from textapp.objectives.signature import Signature
from textapp.runners.edge import EdgeRunner

IDS = np.random.default_rng(0).integers(4, 200, (4, 12))


def make_llama(dim: int, tied: bool = True, outlier: float = 60.0) -> Generator:
    """One block; every token has a large value in its residual sequence, and another in the hidden layer."""
    settings = BlockSettings(
        4, 2 * dim, biases="none", normalization="rms", activation="swiglu", rope_rates=None, max_length=12
    )
    decoder = TransformerDecoder(dim, 1, settings, positions="rope")
    model = Generator(decoder, 203, dim, pad_id=0, start_id=2, end_id=3, scaled=False, tie_embeddings=tied)
    random = np.random.default_rng(1)
    for weight in model.weights:
        noise = random.normal(0, 0.3, weight.shape)
        weight.assign(1 + noise if len(weight.shape) == 1 else noise * dim**-0.5 * 4)
    table = np.asarray(model.token_embedding.embeddings).copy()
    table[:, 5] += outlier
    model.token_embedding.embeddings.assign(table)
    kernel = np.asarray(decoder.blocks[0].linear.kernel).copy()
    kernel[:, 9] *= max(1.0, outlier / 6)
    decoder.blocks[0].linear.kernel.assign(kernel)
    fold_norms(model)
    return model


def logits_of(model: Generator) -> np.ndarray:
    return np.asarray(model({"token_ids": tf.constant(IDS, tf.int32)}))


@pytest.fixture
def few_units(monkeypatch):
    """Of 24 values none is more than 4.9 times the root mean square."""
    monkeypatch.setattr(module, "OUTLIERS", 3.5)


@pytest.mark.parametrize("tied", [True, False])
def test_the_function_stays_and_the_outliers_go(few_units, tied):
    model = make_llama(24, tied)  # whose matrices are too small to be rounded
    before, outliers = logits_of(model), module._outliers(model, IDS[0])
    found = remove_outliers(model, IDS.tolist())
    np.testing.assert_allclose(logits_of(model), before, atol=1e-4 * np.abs(before).max())
    assert found == {"outliers": round(outliers, 2), "rotated": True} and outliers > 3.5
    assert module._outliers(model, IDS[0]) < 0.7 * outliers
    assert (model.output_rotation is None) == (not tied)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


def test_a_model_without_outliers_stays_as_it_is(few_units):
    model = make_llama(24, outlier=0.0)
    weights = model.get_weights()
    found = remove_outliers(model, IDS.tolist())
    assert found["rotated"] is False and 2 < found["outliers"] < 3.5
    assert all(np.array_equal(one, two) for one, two in zip(weights, model.get_weights(), strict=True))
    assert remove_outliers(model, []) == {}


@pytest.mark.parametrize(("outlier", "rotated"), [(12.0, True), (0.0, False)])
def test_kernels_become_int4_with_a_rotation_where_outliers_are(outlier, rotated):
    model = make_llama(64, outlier=outlier)
    before = logits_of(model)
    found = round_to_int4(model, IDS.tolist())
    assert found["rotated"] is rotated and (model.output_rotation is not None) is rotated
    block = model.decoder.blocks[0]
    in_int8 = [block.attention.projections["value"], block.attention.projections["output"], block.outward]
    for layer in module._products(block):
        kernel = np.asarray(layer.kernel)
        assert on_grid(kernel) if layer in in_int8 else as_int4(kernel) is not None
    assert 0.95 < np.corrcoef(logits_of(model).reshape(-1), before.reshape(-1))[0, 1] < 0.99999


@pytest.mark.parametrize("round_model", [round_to_int4, remove_outliers])
def test_moments_are_factored_once_for_all_kernels_that_read_the_same_inputs(monkeypatch, round_model):
    dims, of = [], FactoredMoments.of
    monkeypatch.setattr(FactoredMoments, "of", lambda moments: dims.append(len(moments)) or of(moments))
    round_model(make_llama(64, outlier=12.0), IDS.tolist())
    # Of queries, keys and values; the output of attention; both layers into the hidden one; the one out of it.
    assert dims == [64, 64, 64, 128]


@pytest.mark.parametrize(("texts", "written"), [(IDS.tolist(), (50, 12)), (IDS.tolist() * 20, None)])
def test_few_texts_are_joined_by_those_that_the_model_writes(monkeypatch, texts, written):
    asked = []
    monkeypatch.setattr(module, "TOKENS_FOR_INT4", 48 + 50 * 12)
    monkeypatch.setattr(module, "sampled_texts", lambda model, *numbers: asked.append(numbers) or IDS.tolist())
    round_to_int4(make_llama(64), texts)
    assert asked == ([written] if written else [])


def test_of_16_blocks_the_last_product_stays_in_int8_at_both_ends_and_in_a_third_between():
    settings = BlockSettings(2, 16, max_length=4)
    decoder = TransformerDecoder(8, 16, settings)
    decoder(tf.zeros((1, 4, 8)))
    blocks = decoder.blocks
    found = module._delicate(blocks)
    assert [number for number, block in enumerate(blocks) if block.outward in found] == [0, 1, 4, 7, 10, 13, 14, 15]
    assert len(found) == 8 + 2 * 16


def test_without_texts_kernels_become_the_nearest_of_int4():
    model = make_llama(64)
    kernel = model.decoder.blocks[0].inward.kernel
    before = np.asarray(kernel)
    assert round_to_int4(model, []) == {} and as_int4(np.asarray(kernel)) is not None
    assert np.abs(np.asarray(kernel) - before).max() < 0.36 * np.abs(before).max()


def test_a_pruned_model_keeps_its_zeros(few_units):
    model = make_llama(24)
    kernel = model.decoder.blocks[0].inward.kernel
    kernel.assign(np.where(np.arange(24)[:, None] % 2, 0, np.asarray(kernel)))
    assert remove_outliers(model, IDS.tolist()) == {} and model.output_rotation is None


def test_blocks_are_mixed_evenly():
    assert [None if mixing is None else len(mixing) for mixing in map(block_mixing, (1536, 24, 20))] == [16, 8, None]
    for matrix in (block_mixing(1536), orthogonal(24, np.random.default_rng(0))):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-12)
    assert set(np.abs(block_mixing(24)).round(12).reshape(-1)) == {round(8**-0.5, 12)}


def test_a_rounded_kernel_loses_less_of_its_products_than_the_nearest():
    random = np.random.default_rng(3)
    inputs = random.normal(size=(400, 8)) @ random.normal(size=(8, 96)) + 0.1 * random.normal(size=(400, 96))
    kernel = random.normal(size=(96, 32))
    steps = np.abs(kernel).max(axis=0) / 127
    rounded, nearest = rounded_kernel(kernel, FactoredMoments.of(inputs.T @ inputs)), np.round(kernel / steps) * steps
    errors = [np.square(inputs @ (one - kernel)).mean() for one in (rounded, nearest)]
    assert errors[0] < 0.2 * errors[1]
    assert on_grid(rounded.astype(np.float32))
    np.testing.assert_allclose(np.abs(rounded).max(axis=0), np.abs(kernel).max(axis=0))  # so the steps are the same


def test_an_unused_input_and_an_output_of_zeros_round_as_well():
    kernel = np.random.default_rng(4).normal(size=(64, 32))
    kernel[:, 5] = 0
    inputs = np.random.default_rng(5).normal(size=(10, 64)) * (np.arange(64) != 7)  # fewer tokens than inputs
    rounded = rounded_kernel(kernel, FactoredMoments.of(inputs.T @ inputs))
    assert not rounded[:, 5].any() and np.isfinite(rounded).all()
    assert np.abs(rounded - kernel).max() < 0.2
    np.testing.assert_array_equal(rounded_kernel(kernel, FactoredMoments.of(np.zeros((64, 64))))[:, 5], 0)


def test_an_int8_file_has_the_rounded_integers_and_answers_as_in_float32(tmp_path):
    model = make_llama(64, outlier=12.0)
    features = {"token_ids": IDS[:1, :8].astype(np.int32), "num_tokens": np.array([8], np.int32)}
    expected = logits_of(model)[0, 7]
    assert remove_outliers(model, IDS.tolist())["rotated"]
    model.round_tables()
    inputs = {"token_ids": (1, 8), "num_tokens": (1,)}
    signatures = [Signature("prefill_8", inputs, partial(decoding.prefill, model, cache_length=12))]
    write_saved_model(model, signatures, tmp_path / "saved_model")
    convert(
        tmp_path / "saved_model", tmp_path / "model.tflite", ["prefill_8"], "litert", "dynamic", tmp_path / "unused"
    )
    buffers = {
        bytes(each.data) for each in parse((tmp_path / "model.tflite").read_bytes()).buffers if each.data is not None
    }
    for layer in (model.decoder.blocks[0].outward, model.decoder.blocks[0].attention.projections["query"]):
        kernel = np.asarray(layer.kernel)
        integers = np.round(kernel / np.abs(kernel).max(axis=0) * 127).astype(np.int8)
        assert integers.T.tobytes() in buffers
    found = EdgeRunner(tmp_path / "model.tflite").run("prefill_8", features)["logits"][0]
    assert np.corrcoef(found, expected)[0, 1] > 0.98
