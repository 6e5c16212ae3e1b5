"""Which variables of a model are kernels, and how they look as matrices."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from textapp.compression.kernels import kernels_of, unknown_layer

sys.path.insert(0, str(Path(__file__).parent))
import small  # noqa: E402

ATTENTION = [f"block_0/attention/{name}/kernel (8, 8)" for name in ("query", "key", "value", "output")]
EXPECTED = {
    "mlp": ["hidden_0/kernel (8, 12)", "logits/kernel (12, 4)"],
    "cnn": ["windows/kernel_1 (8, 6)", "windows/kernel_3 (24, 6)", "logits/kernel (12, 4)"],
    "lstm": [
        "lstm_0/forward_kernel (8, 24)", "lstm_0/forward_recurrent_kernel (6, 24)", "lstm_0/backward_kernel (8, 24)",
        "lstm_0/backward_recurrent_kernel (6, 24)", "dense/kernel (12, 5)", "logits/kernel (5, 4)",
    ],
    "transformer": [
        *ATTENTION, "block_0/inward/kernel (8, 16)", "block_0/outward/kernel (16, 8)", "logits/kernel (8, 4)",
    ],
}  # fmt: skip


@pytest.mark.parametrize("architecture", EXPECTED)
def test_the_kernels_of_every_architecture(tmp_path: Path, architecture: str) -> None:
    model = small.start(small.prepared(tmp_path, architecture))
    found = [f"{kernel.name} {kernel.view_shape}" for kernel in kernels_of(model)]
    assert found == EXPECTED[architecture]
    tables = [kernel.name for kernel in kernels_of(model, embeddings=True) if kernel.embedding]
    assert tables == ["token_embedding/embeddings"]
    matrices = {each.path for each in model.trainable_variables if len(each.shape) > 1}
    left = matrices - {kernel.name for kernel in kernels_of(model, embeddings=True)}
    assert left == ({"positions/table"} if architecture == "transformer" else set())


def test_a_view_has_the_inputs_first() -> None:
    """Of a convolution they are position and feature; of an einsum the axes that it sums over, wherever they are."""
    read = keras.Input((5, 3))
    heads = keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), name="split")(read)
    joined = keras.layers.EinsumDense("abde,fde->abf", (None, 6), name="joined")(heads)
    model = keras.Model(read, keras.layers.Conv1D(7, 2, name="window")(joined))
    split, join, window = kernels_of(model)
    assert (split.view_shape, join.view_shape, window.view_shape) == ((3, 8), (8, 6), (12, 7))
    kernel = join.variable.numpy()  # [6, 2, 4]: the output is first
    assert np.array_equal(join.view(kernel), kernel.reshape(6, 8).T)
    assert np.array_equal(window.view(window.variable.value), window.variable.numpy().reshape(12, 7))
    for each in (split, join, window):
        assert np.array_equal(each.from_view(each.view(each.variable.value)), each.variable.numpy())


def test_layers_are_chosen_by_name_or_pattern(tmp_path: Path) -> None:
    model = small.start(small.prepared(tmp_path, "transformer"))

    def names(*layers: str) -> list[str]:
        return [f"{kernel.name} {kernel.view_shape}" for kernel in kernels_of(model, layers=layers)]

    assert names("attention") == names("*attention*") == ATTENTION
    assert names("logits", "query") == [ATTENTION[0], "logits/kernel (8, 4)"]
    assert unknown_layer(model, ["attention", "logits"], False) is None
    number, expected = unknown_layer(model, ["logits", "lstm_0"], False)
    assert number == 1 and expected.startswith("expected a layer with a kernel: block_0, attention, query, key")
    assert unknown_layer(model, ["token_embedding"], True) is None
    assert unknown_layer(model, ["token_embedding"], False) is not None


def test_tied_weights_are_one_kernel() -> None:
    shared = keras.layers.Dense(3)
    read = keras.Input((3,))
    assert len(kernels_of(keras.Model(read, shared(shared(read))))) == 1
