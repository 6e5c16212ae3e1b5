from __future__ import annotations

import numpy as np
import tensorflow as tf

from textapp.objectives.serving import any_length
from textapp.objectives.signature import Signature


def test_a_single_signature_reads_any_length():
    def call(features):
        return {"token_ids": features["token_ids"][:, :2]}

    only = Signature("generate_4_2", {"token_ids": (None, 4)}, call)
    found = any_length([only], pad_id=9).call({"token_ids": tf.constant([[5]])})
    np.testing.assert_array_equal(found["token_ids"], [[5, 9]])
