from __future__ import annotations

from pathlib import Path

import pytest
from exports import write_small_model


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .tflite file with the signatures `classify_4` and `classify_8`. Read only."""
    return write_small_model(tmp_path_factory.mktemp("small"))
