"""Training on the grid of int8: the integers of a file are the trained ones, and zeros stay zero."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.catalog import recipe_of
from textapp.compression.kernels import Kernel, kernels_of
from textapp.compression.quantize_aware import QuantizedKernel, quantized_kernels, quantizer_of, quantizing_hooks
from textapp.export import tflite
from textapp.export.flatbuffer.graphs import parse, shape_of, type_name
from textapp.export.folding import fold_norms
from textapp.layers import BlockSettings, TokenEmbedding, TransformerDecoder, TransformerEncoder
from textapp.models.generator import Generator
from textapp.models.saving import load_model
from textapp.objectives import decoding
from textapp.objectives.signature import Signature
from textapp.recipes.training_run import fit
from textapp.training import trainer
from textapp.training.loop import TrainingLoop
from textapp.training.optimizers import LazyAdam
from textapp.training.trainer import Interrupted

sys.path.insert(0, str(Path(__file__).parent))
import small  # noqa: E402

# A file quantizes matrices of at least 1,024 weights: the recurrent kernel of 16 units has so many.
SIZES = {
    "mlp": {"embedding_dim": 48, "ngrams": 1, "hidden_dims": [32], "subwords": None},
    "cnn": {"embedding_dim": 24, "filters": 48, "kernel_sizes": [1, 3]},
    "lstm": {"embedding_dim": 24, "units": [16], "bidirectional": False, "dense_units": 64},
    "transformer": {"hidden_dim": 48, "num_layers": 1, "num_heads": 2, "intermediate_dim": 64},
}
ROWS = 25  # of the token table


def trained(
    folder: Path, architecture: str, weights: list[np.ndarray], keep_zeros: bool = False, **training: Any
) -> tuple[keras.Model, Any]:
    """The model after a quantization-aware training, and its data."""
    data = prepared(folder, architecture, **training)
    objective = recipe_of("classification").objective()
    strategy = tf.distribute.get_strategy()
    return fit(data, objective, folder, strategy, lambda model: quantizing_hooks(model, keep_zeros), weights)[0], data


def prepared(folder: Path, architecture: str, **training: Any) -> Any:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(small.MODELS, architecture, SIZES[architecture])
        return small.prepared(folder, architecture, epochs=2, **training)


def trained_integers(model: keras.Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each quantized kernel its integers as `[outputs, inputs]` or, of a table, as `[rows, features]`; its scales.

    Checks that the weights are on the grid.
    """
    found = {}
    for part in quantized_kernels(model):
        view = np.asarray(part.kernel.view(part.kernel.variable.value))
        scales = np.abs(view).max(axis=0 if part.per_output else None, keepdims=True) / 127
        steps = view / np.where(scales > 0, scales, 1)
        assert np.abs(steps - np.round(steps)).max() < 1e-4, part.kernel.name
        values = np.round(steps).astype(np.int8)
        found[part.kernel.name] = values if part.kernel.inputs == (0,) and part.kernel.embedding else values.T, scales
    return found


def integers_of(file: Path) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """The int8 constants of a file of two axes or more, as matrices, and their scales."""
    model, found = parse(file.read_bytes()), []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and type_name(tensor) == "INT8" and len(shape_of(tensor)) > 1:
                values = np.frombuffer(bytes(data), np.int8).reshape(shape_of(tensor)[0], -1)
                scales = None if tensor.quantization is None else tensor.quantization.scale
                found.append((values, scales))
    return found


def converted(model: keras.Model, signatures: list[Signature], folder: Path) -> list[Any]:
    """What `textapp export --quantize dynamic` writes, without a process of its own."""
    names = [signature.name for signature in signatures]
    tflite.write_saved_model(model, signatures, folder / "saved_model")
    job = {"saved_model": str(folder / "saved_model"), "model": str(folder / "model.tflite"), "signatures": names}
    tflite._convert({**job, "target": "litert", "quantize": "dynamic", "calibration": ""})
    return integers_of(folder / "model.tflite")


def check_equal(expected: dict[str, tuple[np.ndarray, np.ndarray]], file: list[Any], scaled: str = "query") -> None:
    """Checks that a file has the integers and scales of each kernel, and no others.

    Args:
        expected: of the trained model.
        file: of the file.
        scaled: kernels whose products the graph multiplies by a number, which the converter puts into their scales.
    """
    for name, (values, scales) in expected.items():
        same = [found for each, found in file if np.array_equal(each, values)]
        assert same, f"{name}: its integers are not in the file"
        for found in same:
            if found is not None and scaled not in name:
                # The converter has no scale 0: an empty column gets the smallest one.
                np.testing.assert_allclose(found, scales.ravel(), rtol=1e-5, atol=1e-8, err_msg=name)
    known = {values.tobytes() for values, _ in expected.values()}
    assert all(values.tobytes() in known for values, _ in file)


EXPECTED = {
    "mlp": {"token_embedding/embeddings": (ROWS, 48), "hidden_0/kernel": (32, 48)},
    "cnn": {"windows/kernel_1": (48, 24), "windows/kernel_3": (48, 72)},
    "lstm": {
        "lstm_0/forward_kernel": (64, 24), "lstm_0/forward_recurrent_kernel": (64, 16), "dense/kernel": (64, 16),
    },
    "transformer": {
        "token_embedding/embeddings": (ROWS, 48),
        **{f"block_0/attention/{name}/kernel": (48, 48) for name in ("query", "key", "value", "output")},
        "block_0/inward/kernel": (64, 48), "block_0/outward/kernel": (48, 64),
    },
}  # fmt: skip


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("mlp", "cnn")]  # tests of `compress` have an mlp, too


@pytest.mark.parametrize("architecture", ["lstm", "transformer", *SLOW])
def test_the_integers_of_a_file_are_the_trained_ones_and_zeros_stay(tmp_path: Path, architecture: str) -> None:
    """From a pruned model; its kernels have many zeros, so nobody needs to say that they stay."""
    begun = small.start(prepared(tmp_path, architecture))
    for kernel in kernels_of(begun):
        values = kernel.variable.numpy()
        kernel.variable.assign(np.where(np.abs(values) < np.quantile(np.abs(values), 0.8), 0, values))
    zeros = {kernel.name: kernel.variable.numpy() == 0 for kernel in kernels_of(begun)}
    model, data = trained(tmp_path, architecture, begun.get_weights())
    expected = trained_integers(model)
    assert {name: values.shape for name, (values, _) in expected.items()} == EXPECTED[architecture]
    for kernel in kernels_of(model):
        if kernel.name in expected:
            assert np.all(kernel.variable.numpy()[zeros[kernel.name]] == 0), kernel.name
    assert any(np.any(after != before) for after, before in zip(model.get_weights(), begun.get_weights(), strict=True))
    model.save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras")
    fold_norms(model)
    file = converted(model, recipe_of("classification").objective().signatures(model, data.task), tmp_path)
    check_equal(expected, file)


BLOCK = BlockSettings(2, 48, max_length=48, normalize_first=False)
RMS = BlockSettings(2, 48, max_length=48, normalization="rms", biases="none", activation="swiglu")
WRITERS = {
    "translator": (BLOCK, "learned", True),
    "relative": (RMS, "relative", True),
    "language_model": (RMS, "rope", False),
}


@pytest.mark.parametrize("name", ["translator", "language_model", pytest.param("relative", marks=pytest.mark.slow)])
def test_a_file_of_a_model_that_writes_holds_the_weights_as_they_were_seen(tmp_path: Path, name: str) -> None:
    """A scale for each row of a table, which may be the output layer, too; and no normalisation goes into a kernel."""
    settings, positions, reads = WRITERS[name]
    encoder = TransformerEncoder(32, 1, settings, positions=positions, name="encoder") if reads else None
    decoder = TransformerDecoder(32, 1, settings, positions=positions, name="decoder", memory_dim=32 if reads else None)
    keras.utils.set_random_seed(3)
    model = Generator(decoder, 60, 32, 0, 2, 3, encoder=encoder, tie_embeddings=name == "translator")
    for number, weight in enumerate(model.trainable_variables):  # as after a training: no scale is 1, no shift 0
        weight.assign(np.asarray(weight) + np.random.default_rng(number).normal(0, 0.1, weight.shape))
    quantizing_hooks(model, keep_zeros=False)
    expected = trained_integers(model)
    assert expected["token_embedding/embeddings"][0].shape == (60, 32)
    assert expected["token_embedding/embeddings"][1].size == 60
    assert ("decoder/positions/table" in expected) == (positions == "learned")
    fold_norms(model)
    model.round_tables()
    inputs = {"token_ids": (1, 8)} if reads else {"token_ids": (1, 8), "num_tokens": (1,)}
    generate = Signature("generate_8_8", inputs, lambda features: decoding.generate(model, features, 8))
    check_equal(expected, converted(model, [generate], tmp_path))


def test_zeros_of_few_are_kept_when_told() -> None:
    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(32, use_bias=False)])
    (kernel,) = model.weights
    kernel.assign(np.where(np.arange(32)[:, None] == 5, 0, kernel.numpy()))
    for keep_zeros in (False, True):
        hooks = quantizing_hooks(model, keep_zeros)
        hooks.variables[0].assign_add(np.full((32, 32), 0.1))  # as an update
        hooks.after_update()
        assert np.all(kernel.numpy()[5] == 0) == keep_zeros
        kernel.assign(np.where(np.arange(32)[:, None] == 5, 0, kernel.numpy()))


def test_the_weights_behind_the_quantized_ones_are_trained() -> None:
    """One step of plain gradient descent by hand."""
    read = keras.Input((1024,), name="x")
    model = keras.Model({"x": read}, keras.layers.Dense(1, use_bias=False, name="only")(read))
    begun = np.linspace(-0.5, 1.27, 1024, dtype=np.float32)[:, None]
    model.trainable_variables[0].assign(begun)
    hooks = quantizing_hooks(model, keep_zeros=False)
    (free,) = hooks.variables
    assert list(hooks.trained) == [free] and np.array_equal(free.numpy(), begun)
    assert np.allclose(model.trainable_variables[0].numpy(), np.round(begun * 100) / 100, atol=1e-6)
    loop = TrainingLoop(
        model, keras.optimizers.SGD(0.5), lambda batch, outputs: outputs[:, 0], tf.distribute.get_strategy(),
        transform_weights=hooks.transform_weights, after_update=hooks.after_update, trained=hooks.trained,
        jit_compile=True,
    )  # fmt: skip
    x = np.zeros((1, 1024), np.float32)
    x[0, [3, 1023]] = 1, -1  # the gradient of each weight is its x
    batch = {"features": {"x": tf.constant(x)}, "weights": tf.ones(1), "total_weight": tf.constant(1.0)}
    assert float(loop.step(batch)) == pytest.approx(np.round(begun[3, 0] * 100) / 100 - 1.27)
    after = begun.copy()
    after[[3, 1023], 0] += -0.5, 0.5
    assert np.allclose(free.numpy(), after, atol=1e-6)
    step = 1.77 / 127  # of the largest weight now
    assert np.allclose(model.trainable_variables[0].numpy(), np.round(after / step) * step, atol=1e-5)


def test_the_gradient_of_a_table_is_one_of_rows() -> None:
    """So that Adam updates only those that a batch used."""
    read = keras.Input((None,), dtype="int32", name="token_ids")
    model = keras.Model({"token_ids": read}, TokenEmbedding(64, 32)(read))
    hooks = quantizing_hooks(model, keep_zeros=False)
    loop = TrainingLoop(
        model, LazyAdam(), lambda batch, outputs: tf.reduce_sum(outputs, axis=[1, 2]), tf.distribute.get_strategy(),
        transform_weights=hooks.transform_weights, after_update=hooks.after_update, trained=hooks.trained,
    )  # fmt: skip
    batch = {"features": {"token_ids": tf.constant([[3, 7]])}, "weights": tf.ones(1), "total_weight": tf.constant(1.0)}
    _, (gradient,) = loop._loss_and_gradients(batch)
    assert isinstance(gradient, tf.IndexedSlices) and gradient.indices.numpy().tolist() == [3, 7]


def test_what_a_quantizer_makes() -> None:
    """As int8 files do: the largest magnitude is 127 steps, of each column or of all."""
    values = np.array([[1.27, 0.1], [0.014, 12.7], [-0.5, 0.26], [0.0, 0.04]], np.float32)
    kernel = Kernel(keras.Variable(values), (0,))
    by_column = quantizer_of(QuantizedKernel(kernel))(values).numpy()
    assert np.allclose(by_column, [[1.27, 0.1], [0.01, 12.7], [-0.5, 0.3], [0, 0]], atol=1e-6) and by_column[3, 0] == 0
    as_one = quantizer_of(QuantizedKernel(kernel, per_output=False))(values).numpy()
    assert np.allclose(as_one, [[1.3, 0.1], [0, 12.7], [-0.5, 0.3], [0, 0]], atol=1e-6)
    assert not quantizer_of(QuantizedKernel(kernel))(np.zeros((4, 2), np.float32)).numpy().any()


def test_a_stop_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the second epoch, it goes on with the weights that are behind the quantized ones."""
    weights = small.start(prepared(tmp_path, "mlp")).get_weights()
    folders = [tmp_path / "whole", tmp_path / "stopped"]
    for folder in folders:
        folder.mkdir()
    whole, _ = trained(folders[0], "mlp", weights)
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)
    with monkeypatch.context() as stopping:
        stopping.setattr(trainer._Stops, "due", lambda self, step: step == 11)
        stopping.setattr(trainer._Stops, "signal", lambda self, step: trainer.signal.SIGTERM if step == 11 else 0)
        with pytest.raises(Interrupted, match="in epoch 2 after 3 steps"):
            trained(folders[1], "mlp", weights)
    resumed, _ = trained(folders[1], "mlp", weights)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(one, two)
