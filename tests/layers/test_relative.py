from __future__ import annotations

import numpy as np
import pytest

from textapp.layers import BlockSettings, RelativePositions, TransformerDecoder
from textapp.layers.relative import buckets


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_kerashubs(bidirectional):
    from keras_hub.src.models.t5.t5_multi_head_attention import T5MultiHeadAttention

    distances = np.arange(-300, 301)
    expected = T5MultiHeadAttention._relative_position_bucket(-distances, bidirectional)
    np.testing.assert_array_equal(buckets(distances, bidirectional), expected)


def test_a_number_a_head_and_distance():
    layer = RelativePositions(2, bidirectional=False)
    layer.build(None)
    layer.table.assign(np.arange(64).reshape(32, 2))
    added = np.asarray(layer(np.array([[[0, 1, 15, 500, -3]]])))
    np.testing.assert_array_equal(added[0, :, 0], [[0, 2, 30, 62, 0]] * 2)


def test_heads_that_share_keys_are_refused():
    with pytest.raises(ValueError, match="positions relative: every head needs keys of its own"):
        TransformerDecoder(8, 1, BlockSettings(4, 8, num_key_value_heads=2), positions="relative")
