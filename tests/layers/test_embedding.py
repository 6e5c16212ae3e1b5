from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from textapp.layers import Positions, SubwordEmbedding
from textapp.layers.embedding import constant_rows, sinusoids
from textapp.runners.edge import EdgeRunner


def test_subwords_by_hand():
    layer = SubwordEmbedding(np.array([[0, 0], [1, 2], [2, 0]], np.int32), 2)
    got = np.asarray(layer(np.array([[1, 2, 0]], np.int32)))[0]
    table, parts = np.asarray(layer.embeddings), np.asarray(layer.parts)
    expected = [table[1] + parts[1] + parts[2], table[2] + parts[2], table[0]]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(layer.table(), [expected[2], expected[0], expected[1]], rtol=1e-6)


def test_sinusoids():
    table = sinusoids(4, 6)
    np.testing.assert_allclose(table[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(table[3, 0], np.sin(3), rtol=1e-6)


def test_unknown_positions():
    with pytest.raises(ValueError, match="found 'rotary'"):
        Positions("rotary", 8)


@pytest.mark.parametrize("kinds", [[], [tf.float16]])
def test_rows_of_constants_stay_exact_in_a_quantized_file(tmp_path: Path, kinds: list[tf.DType]):
    """The converter makes an int8 table of a float constant that is gathered, and the step of a cosine is 0.008; or it
    makes 0 of a constant that float16 does not have."""
    table = np.cos(np.arange(64)[:, None] * np.linspace(0.01, 1, 32))

    @tf.function(input_signature=[tf.TensorSpec((1,), tf.int32)])
    def rows(position):
        return {"rows": constant_rows(table, position, "float32")}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([rows.get_concrete_function()], tf.Module())
    converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], kinds
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    runner = EdgeRunner(tmp_path / "model.tflite")
    for position in (0, 7, 63):
        found = runner.run("serving_default", {"position": np.array([position], np.int32)})["rows"]
        np.testing.assert_allclose(found[0], table[position], atol=1e-7)
