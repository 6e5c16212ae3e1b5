"""Folding: fewer operations, the same answers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from textapp.config import TransformerModel
from textapp.export.flatbuffer.graphs import parse
from textapp.export.folding import fold_norms, on_grid
from textapp.export.tflite import convert, write_saved_model
from textapp.layers import BlockSettings, LayerNorm, RmsNorm, TransformerBlock, TransformerDecoder
from textapp.models import GeneratorSettings, build_encoder, build_generator
from textapp.models.generator import Generator
from textapp.objectives import decoding
from textapp.objectives.signature import Signature
from textapp.runners.edge import EdgeRunner

IDS = np.array([[5, 9, 3, 7, 0, 0], [2, 4, 6, 8, 9, 3]], np.int32)


def make_encoder(**settings):
    """A small encoder whose norms and biases are not 1 and 0, as after training."""
    settings = {"positions": "learned", **settings}
    settings = {"hidden_dim": 8, **settings}
    config = TransformerModel(architecture="transformer", dropout=0.1, num_layers=2, num_heads=4, **settings)
    model = build_encoder(config, 10, 0, 6)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + random.normal(0, 0.5, weight.shape))
    return model


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"positions": "sinusoidal", "activation": "swiglu"},
        {"positions": "rope", "embedding_dim": 4, "num_key_value_heads": 2},
    ],
)
def test_folding_leaves_the_answers_as_they_are(settings):
    model = make_encoder(**settings)
    before = np.asarray(model({"token_ids": IDS}))
    fold_norms(model)
    np.testing.assert_allclose(np.asarray(model({"token_ids": IDS})), before, atol=2e-5)


def make_generator(source: bool, **settings):
    """A small model that writes, stirred in the same way."""
    layers = {"encoder_layers": 1, "decoder_layers": 2} if source else {"num_layers": 2}
    config = TransformerModel(
        architecture="transformer", dropout=0.0, hidden_dim=8, num_heads=4, positions="sinusoidal", **layers, **settings
    )
    sides = {"source_vocabulary_size": 12, "max_source_length": 6} if source else {}
    model = build_generator(config, GeneratorSettings(10, pad_id=0, start_id=2, end_id=3, max_length=6, **sides))
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + random.normal(0, 0.5, weight.shape))
    return model


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_folding_leaves_what_is_written_as_it_is(source, tie_embeddings):
    model = make_generator(source, tie_embeddings=tie_embeddings)
    features = {"token_ids": IDS, "target_ids": IDS[:, ::-1]} if source else {"token_ids": IDS}
    before = np.asarray(model(features))
    fold_norms(model)
    np.testing.assert_allclose(np.asarray(model(features)), before, atol=5e-5)
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, LayerNorm)]
    assert not any(norm.center_inputs for norm in norms)
    assert {norm.name for norm in norms if norm.scale_outputs} == {"norm"}


def test_folding_leaves_no_mean_to_take_and_no_scale_in_a_block():
    model = make_encoder()
    fold_norms(model)
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, LayerNorm)]
    assert len(norms) == 5
    assert not any(norm.center_inputs for norm in norms)
    assert [norm.name for norm in norms if norm.scale_outputs] == ["norm"]


def test_a_shift_without_a_bias_to_go_to_stays_where_it_is():
    """Layer normalisations before products without biases: nothing folds, and the sequence still loses its mean."""
    decoder = TransformerDecoder(8, 2, BlockSettings(2, 12, max_length=6, biases="none"), positions="rope")
    decoder.build((None, None, 8))
    random = np.random.default_rng(1)
    for weight in decoder.weights:
        weight.assign(np.asarray(weight) + random.normal(0, 0.5, weight.shape))
    sequence = random.normal(size=(2, 6, 8)).astype(np.float32)
    sequence -= sequence.mean(axis=-1, keepdims=True)
    before = np.asarray(decoder(sequence))
    fold_norms(decoder)
    np.testing.assert_allclose(np.asarray(decoder(sequence)), before, atol=5e-5)
    assert decoder.blocks[0].attention_norm.scale_outputs and not decoder.blocks[0].attention_norm.center_inputs


def test_a_post_norm_transformer_stays_as_it_is():
    block = TransformerBlock(BlockSettings(num_heads=2, intermediate_dim=8, normalize_first=False))
    block.build((None, None, 4))
    kernel = np.asarray(block.outward.kernel)
    fold_norms(block)
    assert block.attention_norm.center_inputs and block.attention_norm.scale_outputs
    np.testing.assert_array_equal(np.asarray(block.outward.kernel), kernel)


def kernels_of_blocks(model):
    blocks = [layer for layer in model._flatten_layers() if isinstance(layer, TransformerBlock)]
    return [weight for block in blocks for weight in block.weights if len(weight.shape) > 1]


def test_the_zeros_of_a_pruned_model_stay_and_its_scales_are_folded():
    model = make_encoder()
    for weight in kernels_of_blocks(model):
        values = np.asarray(weight)
        weight.assign(np.where(np.abs(values) < np.median(np.abs(values)), 0, values))
    zeros, before = (
        [np.asarray(weight) == 0 for weight in kernels_of_blocks(model)],
        np.asarray(model({"token_ids": IDS})),
    )
    fold_norms(model)
    np.testing.assert_allclose(np.asarray(model({"token_ids": IDS})), before, atol=2e-5)
    assert all(
        np.array_equal(np.asarray(each) == 0, old) for each, old in zip(kernels_of_blocks(model), zeros, strict=True)
    )
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, LayerNorm)]
    assert [norm.name for norm in norms if norm.scale_outputs] == ["norm"]


@pytest.mark.parametrize("settings", [{}, {"positions": "rope", "embedding_dim": 24}])
def test_kernels_on_the_grid_of_int8_stay(settings):
    """And the scale of each normalisation comes where the converter does not fold it into the next kernel."""
    model = make_encoder(**settings, hidden_dim=32)
    for weight in kernels_of_blocks(model):
        steps = np.abs(np.asarray(weight)).max(axis=0) / 127
        weight.assign(np.round(np.asarray(weight) / steps) * steps)
    weights, before = model.get_weights(), np.asarray(model({"token_ids": IDS}))
    assert all(on_grid(np.asarray(weight)) for weight in kernels_of_blocks(model))
    fold_norms(model)
    assert all(np.array_equal(one, two) for one, two in zip(model.get_weights(), weights, strict=True))
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, LayerNorm)]
    assert len(norms) == 5 and all(norm.scale_first and norm.scale_outputs for norm in norms)
    np.testing.assert_allclose(np.asarray(model({"token_ids": IDS})), before, atol=2e-5)


def test_which_kernels_are_on_the_grid_of_int8():
    kernel = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)
    steps = np.abs(kernel).max(axis=0) / 127
    quantized = np.round(kernel / steps) * steps
    assert on_grid(quantized) and not on_grid(kernel) and not on_grid(quantized[:63])
    assert on_grid(np.where(np.arange(16) == 3, 0, quantized))
    assert not on_grid(np.where(np.arange(64)[:, None] == 60, kernel, quantized))  # not in the first rows


def test_the_values_of_a_clustered_model_stay():
    model = make_encoder()
    for weight in kernels_of_blocks(model):
        weight.assign(np.sign(np.asarray(weight)))
    before = model.get_weights()
    fold_norms(model)
    assert all(np.array_equal(one, two) for one, two in zip(before, model.get_weights(), strict=True))


@pytest.fixture(scope="module")
def tied_llama():
    """A language model of the Llama kind with a tied table of 203 tokens by 16, its scales not 1."""
    settings = BlockSettings(4, 24, biases="none", normalization="rms", activation="swiglu", max_length=12)
    decoder = TransformerDecoder(16, 1, settings, positions="rope")
    model = Generator(decoder, 203, 16, pad_id=0, start_id=2, end_id=3, scaled=False)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + random.normal(0, 0.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def quantized_file(tied_llama, tmp_path_factory):
    """The first step of the model, folded and quantized, as a SavedModel and as a .tflite file beside it."""
    folder, inputs = tmp_path_factory.mktemp("tied"), {"token_ids": (1, 8), "num_tokens": (1,)}
    fold_norms(tied_llama)
    tied_llama.round_tables()
    signatures = [Signature("prefill_8", inputs, partial(decoding.prefill, tied_llama, cache_length=12))]
    write_saved_model(tied_llama, signatures, folder / "saved_model")
    convert(folder / "saved_model", folder / "model.tflite", ["prefill_8"], "litert", "dynamic", folder / "unused")
    return folder / "model.tflite"


def test_a_tied_table_is_in_the_file_once_and_without_the_last_scale(tied_llama, quantized_file):
    rows = np.asarray(tied_llama.token_embedding.int8_rows[0])
    buffers = [buffer.data for buffer in parse(quantized_file.read_bytes()).buffers if buffer.data is not None]
    tables = [data for data in buffers if len(data) == rows.size]
    assert len(tables) == 1 and bytes(tables[0]) == rows.tobytes()


def test_a_quantized_table_is_no_constant_of_the_graphs(tied_llama, quantized_file):
    rows = np.asarray(tied_llama.token_embedding.int8_rows[0])
    assert rows.tobytes() not in (quantized_file.parent / "saved_model" / "saved_model.pb").read_bytes()
    features = {"token_ids": IDS[:1, [0, 1, 2, 3, 3, 3, 3, 3]], "num_tokens": np.array([4], np.int32)}
    expected = decoding.prefill(tied_llama, {name: tf.constant(values) for name, values in features.items()}, 12)
    found = EdgeRunner(quantized_file).run("prefill_8", features)
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=0.6)  # up to 14; activations are int8


def test_a_scale_that_comes_first_changes_no_answer(tied_llama):
    sequence = np.random.default_rng(2).normal(0, 3, (2, 3, 16)).astype(np.float32)
    norm = RmsNorm(epsilon=1e-5)
    norm.build((2, 3, 16))
    norm.gamma.assign(np.linspace(-2, 3, 16))
    before = np.asarray(norm(sequence))
    norm.scale_first = True
    np.testing.assert_allclose(np.asarray(norm(sequence)), before, rtol=1e-6)
