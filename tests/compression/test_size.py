"""The size of a model is that of its file as it is."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from textapp.compression.size import sizes
from textapp.metrics.size import gzip_bytes


def test_the_file_is_measured_as_it_is(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.layers[0].kernel.assign(np.eye(4, 3))
    file = tmp_path / "model.keras"
    model.save(file)
    with file.open("ab") as opened:  # as another version of Keras would write more
        opened.write(bytes(259))

    found = sizes(model, file)

    size = file.stat().st_size
    assert found == {"file_bytes": size, "gzip_bytes": gzip_bytes(file), "parameters": 15, "nonzero": 3}
    assert sizes(model, file) == found and file.stat().st_size == size
