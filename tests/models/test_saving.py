from __future__ import annotations

import pytest

from textapp.errors import ArtifactError
from textapp.models.saving import MODEL, load_model


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_not_a_model(tmp_path, content):
    (tmp_path / MODEL).write_bytes(content)
    with pytest.raises(ArtifactError, match="not a model that textapp saved"):
        load_model(tmp_path / MODEL)


def test_missing_model(tmp_path):
    with pytest.raises(ArtifactError, match="model.keras"):
        load_model(tmp_path / MODEL)
