from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `write_small_model`; without TensorFlow to make it, TEXTAPP_SMALL_MODEL names it. Read only."""
    named = os.environ.get("TEXTAPP_SMALL_MODEL")
    if named:
        return Path(named)
    from exports import write_small_model

    return write_small_model(tmp_path_factory.mktemp("small"))
