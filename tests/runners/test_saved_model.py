from __future__ import annotations

import pytest

from textapp.errors import ArtifactError
from textapp.runners.saved_model import SavedModelRunner


def test_a_folder_without_a_saved_model_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="found no SavedModel"):
        SavedModelRunner(tmp_path)
