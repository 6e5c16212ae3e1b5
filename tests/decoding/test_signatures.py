from __future__ import annotations

import pytest

from textapp.decoding.signatures import (
    CacheLengths,
    batch_name,
    extend_name,
    extend_of,
    generate_name,
    lengths_of,
    prefill_name,
    rows_of,
    several_name,
    several_of,
    short_places,
    step_caches,
)

PAIRS = [(8, 24), (16, 20)]


def test_names_say_what_is_read_and_written():
    assert (generate_name(16, 24), prefill_name(16)) == ("generate_16_24", "prefill_16")
    assert [lengths_of(generate_name(*pair)) for pair in PAIRS] == PAIRS


def test_a_signature_for_several_texts_says_how_many():
    name = batch_name(generate_name(16, 24), 5)
    assert name == "batch_5_generate_16_24"
    assert (rows_of(name), lengths_of(name)) == (5, (16, 24))
    assert (batch_name("generate_16_24", 1), rows_of("generate_16_24")) == ("generate_16_24", 1)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["prefill_8", "decode", several_name(5)], 5), (["decode", "decode_x", "decode_0", "batch_5_generate_8_9"], 1)],
)
def test_a_model_says_how_many_tokens_it_reads_at_once(names, expected):
    assert several_of(names) == expected


def test_a_model_says_which_texts_it_reads_faster():
    names = ["decode_5", several_name(5, 448), several_name(5, 96), "decode_4_8", "decode_5_", "extend_32"]
    assert (names[1], several_of(names[:3])) == ("decode_5_448", 5)
    assert short_places(names) == [96, 448]


@pytest.mark.parametrize(("names", "expected"), [(["decode_5", extend_name(32)], 32), (["decode_5", "extend_"], 0)])
def test_a_model_says_how_many_tokens_of_a_turn_it_reads_at_once(names, expected):
    assert extend_of(names) == expected


@pytest.mark.parametrize(("has_source", "expected"), [(True, CacheLengths(25, 16)), (False, CacheLengths(36, None))])
def test_one_cache_serves_every_pair(has_source, expected):
    assert step_caches(iter(PAIRS), has_source, context=36) == expected
