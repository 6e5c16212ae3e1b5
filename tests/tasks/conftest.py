"""The tokenizer of letters for the tests of the tasks that write."""

from __future__ import annotations

import pytest
from toys import Letters


@pytest.fixture
def letters() -> Letters:
    return Letters()
