from __future__ import annotations

import numpy as np
import pytest

from textapp.errors import ConfigError, DataError
from textapp.text.vectors import load_vectors, vector_dim

PIECES = ["<pad>", "\u2581good", "good", "\u2581Bad", "film", "\u2581"]


@pytest.fixture
def vec(tmp_path):
    def write(text):
        path = tmp_path / "words.vec"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_pieces_get_the_vector_of_their_word(vec):
    rows = load_vectors(vec("3 2\ngood 1 2\nbad 3 4\nunused 5 6\n"), PIECES, 2)
    np.testing.assert_array_equal(rows[1:4], [[1, 2], [1, 2], [3, 4]])
    assert rows.shape == (6, 2) and rows.dtype == np.float32


@pytest.mark.parametrize("lines", ["bad 3 4\nBad 5 6\n", "Bad 5 6\nbad 3 4\n"])
def test_the_same_case_is_preferred(vec, lines):
    np.testing.assert_array_equal(load_vectors(vec(lines), PIECES, 2)[3], [5, 6])


def test_other_rows_are_random_and_repeatable(vec):
    path = vec("good 1 2\n")
    one, other = load_vectors(path, PIECES, 2), load_vectors(path, PIECES, 2)
    assert (one[4] != 0).all()
    np.testing.assert_array_equal(one, other)


def test_coverage_is_logged(vec, caplog):
    caplog.set_level("INFO")
    load_vectors(vec("good 1 2\n"), PIECES, 2)
    assert "vectors for 2 of 6 tokens (33 %)" in caplog.text


@pytest.mark.parametrize("text", ["2 3\ngood 1 2 3\n", "good 1 2 3\n", "\ngood 1 2 3\n"])
def test_vector_dim(vec, text):
    assert vector_dim(vec(text)) == 3


def test_a_byte_order_mark_is_no_part_of_the_first_line(vec):
    for text in ("2 2\ngood 1 2\nbad 3 4\n", "good 1 2\nbad 3 4\n"):
        path = vec("\ufeff" + text)
        np.testing.assert_array_equal(load_vectors(path, PIECES, 2), load_vectors(vec(text), PIECES, 2))
        assert vector_dim(vec("\ufeff" + text)) == 2


def test_a_pointer_of_git_lfs_holds_no_vectors(vec):
    with pytest.raises(DataError, match="words.vec: found a Git LFS pointer instead of the file itself"):
        vector_dim(vec("version https://git-lfs.github.com/spec/v1\noid sha256:1a\nsize 12\n"))


def test_dim_differs(vec):
    with pytest.raises(ConfigError, match=r"embedding_dim: found 4.*line 2.*have 3 numbers"):
        load_vectors(vec("1 3\ngood 1 2 3\n"), PIECES, 4)


def test_not_a_number(vec):
    with pytest.raises(DataError, match=r"line 2: could not convert string to float: 'x'"):
        load_vectors(vec("film 1 2\ngood 1 x\n"), PIECES, 2)


def test_no_numbers(vec):
    with pytest.raises(DataError, match="line 2: found 'good'"):
        load_vectors(vec("film 1 2\ngood\n"), PIECES, 2)


def test_missing_and_empty(tmp_path, vec):
    with pytest.raises(DataError, match="nothing.vec: cannot be read"):
        load_vectors(tmp_path / "nothing.vec", PIECES, 2)
    with pytest.raises(DataError, match="holds no vectors"):
        vector_dim(vec(""))


def test_not_utf8(tmp_path):
    path = tmp_path / "words.vec"
    path.write_bytes(b"good 1 2\n\xff\xfe 1 2\n")
    with pytest.raises(DataError, match="not UTF-8"):
        load_vectors(path, PIECES, 2)
