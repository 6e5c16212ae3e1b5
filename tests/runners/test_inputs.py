from __future__ import annotations

import numpy as np

from textapp.runners.inputs import load_inputs, save_inputs

INPUTS = {
    "classify_4": {"token_ids": np.arange(12, dtype=np.int32).reshape(3, 4)},
    "classify_8": {"token_ids": np.arange(16, dtype=np.int32).reshape(2, 8)},
}


def test_inputs_survive_the_file(tmp_path):
    save_inputs(tmp_path / "inputs.npz", INPUTS)
    found = load_inputs(tmp_path / "inputs.npz")
    assert found.keys() == INPUTS.keys()
    for signature, named in INPUTS.items():
        np.testing.assert_array_equal(found[signature]["token_ids"], named["token_ids"])
