import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.layers import BlockSettings, TransformerDecoder
from textapp.layers.cache import written

DIM, LONGEST, COUNTS = 16, 140, [139, 3]  # longer than a block of queries


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rope", "relative"])
@pytest.mark.parametrize("normalize_first", [True, False])
def test_a_prompt_is_read_to_its_last_token(positions, normalize_first):
    keys = 4 if positions == "relative" else 2
    settings = BlockSettings(4, 32, keys, max_length=LONGEST + 4, normalize_first=normalize_first)
    decoder = TransformerDecoder(DIM, 3, settings, positions)
    sequence, counts = keras.random.normal((2, LONGEST, DIM), seed=1), tf.constant(COUNTS)
    expected = np.asarray(decoder(sequence))

    vectors, cache = decoder.read(LONGEST + 4, sequence[:, : LONGEST - 1], counts)

    for vector, states, count in zip(vectors, expected, COUNTS, strict=True):
        np.testing.assert_allclose(vector, states[count - 1], atol=1e-4)
    following = tf.gather(sequence, counts, batch_dims=1)
    vectors, rows = decoder.step(following, counts, cache)
    for vector, states, count in zip(vectors, expected, COUNTS, strict=True):
        np.testing.assert_allclose(vector, states[count], atol=1e-4)
    cache |= written(cache, rows, counts)
    assert cache["cache_2_key"].shape == (2, keys, LONGEST + 4, DIM // 4)
