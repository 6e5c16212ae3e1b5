"""What the pieces of a vocabulary have in common."""

from __future__ import annotations

import numpy as np
import pytest

from textapp.text.word_forms import word_forms

PIECES = ["▁Tower", "▁tower", "▁towers", "▁café", "▁cafe", "塔", "́", "▁to"]


def test_forms_that_differ_by_case_and_accents_are_one() -> None:
    forms = word_forms(PIECES, 7, [])
    assert forms.folded.tolist() == [0, 0, 1, 2, 2, 3, 4, -1]
    assert forms.stems.tolist() == [0, 0, 0, 1, 1, 2, 3, 4]


def test_idf_is_0_for_a_piece_of_every_text_and_1_for_one_of_one() -> None:
    texts = [np.array(ids) for ids in ([0, 1, 1], [0, 2], [0, 2], [0, 3, 2])]
    idf = word_forms(PIECES, 7, texts).idf
    assert idf[:5].tolist() == pytest.approx([0, 1, np.log(5 / 4) / np.log(5 / 2), 1, 1])
    assert word_forms(PIECES, 7, []).idf.tolist() == [0] * 8 == word_forms(PIECES, 7, texts[:1]).idf.tolist()
