from __future__ import annotations

import numpy as np
import pytest

from textapp.decoding.options import GREEDY, DecodingOptions, decoding_options
from textapp.errors import OptionError, UsageError


def test_nothing_asked_for_is_plain_greedy():
    assert (
        GREEDY.is_greedy
        and not DecodingOptions(max_new_tokens=3).is_greedy
        and not DecodingOptions(beam_size=2).is_greedy
    )


def test_one_stop_string_needs_no_list():
    assert decoding_options({"stop": "\n"}).stop == ("\n",) and decoding_options({"stop": ["a", "b"]}).stop == (
        "a",
        "b",
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": -1}, r"temperature: found -1, expected a number from 0 to 1000$"),
        ({"temperature": float("inf")}, "temperature: found inf"),
        ({"temperature": 10**400}, "temperature: found 10+\.\.\.0+, expected a number from 0 to 1000"),
        ({"length_penalty": 1e9, "beam_size": 2}, "length_penalty: found 1000000000.0, expected a number from 0 to 10"),
        ({"repetition_penalty": 1e300}, r"repetition_penalty: found 1e\+300, expected a number from 1 to 1000"),
        ({"max_new_tokens": float("inf")}, "max_new_tokens: found inf"),
        ({"temperature": 1, "seed": -1}, "seed: found -1, expected a whole number from 0"),
        ({"temperature": float("nan")}, "temperature: found nan"),
        ({"temperature": "hot"}, "temperature: found 'hot'"),
        ({"beam_size": 0}, r"beam_size: found 0, expected a whole number from 1$"),
        ({"beam_size": 2.5}, "beam_size: found 2.5"),
        ({"beam_size": True}, "beam_size: found True"),
        ({"length_penalty": -0.1, "beam_size": 2}, "length_penalty: found -0.1"),
        ({"temperature": 1, "top_p": 1.1}, "top_p: found 1.1, expected a number from 0 to 1"),
        ({"temperature": 1, "min_p": -0.1}, "min_p: found -0.1"),
        ({"repetition_penalty": 0.5}, "repetition_penalty: found 0.5, expected a number from 1"),
        ({"max_new_tokens": -1}, "max_new_tokens: found -1, expected a whole number from 0"),
        ({"max_new_tokens": 3, "min_new_tokens": 4}, "max_new_tokens 3 is below min_new_tokens 4"),
        ({"stop": [""]}, "stop: found an empty string"),
        ({"temperature": 1, "beam_size": 4}, "temperature 1 and beam_size 4 were both given"),
        ({"top_k": 5}, "top_k 5 needs sampling: set temperature"),
        ({"top_p": 0.9}, "top_p 0.9 needs sampling"),
        ({"min_p": 0.1}, "min_p 0.1 needs sampling"),
        ({"seed": 1}, "seed 1 needs sampling"),
        ({"length_penalty": 0.6}, "length_penalty 0.6 needs a beam: set beam_size"),
        ({"num_hypotheses": 3}, "num_hypotheses 3 needs a beam"),
        ({"num_hypotheses": 5, "beam_size": 4}, "num_hypotheses 5 is more than beam_size 4"),
        ({"beam": 4}, "'beam' is not a decoding option, .*did you mean 'beam_size'"),
    ],
)
def test_what_does_not_do_is_said(given, message):
    with pytest.raises(UsageError, match=message):
        decoding_options(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beam_size": 0}, "--beam-size: found 0, expected a whole number from 1"),
        ({"num_hypotheses": 5, "beam_size": 4}, "--num-hypotheses 5 is more than --beam-size 4: raise --beam-size"),
        ({"temperature": 1, "beam_size": 4}, "--temperature 1 and --beam-size 4 were both given: leave one out"),
        ({"top_p": 0.9}, "--top-p 0.9 needs sampling: set --temperature above 0, such as 1"),
        ({"max_new_tokens": 3, "min_new_tokens": 4}, "--max-new-tokens 3 is below --min-new-tokens 4: raise it"),
        ({"stop": "a stop", "seed": -1}, "--seed: found -1, expected a whole number from 0"),
    ],
)
def test_the_command_line_reads_its_own_spelling(given, message):
    with pytest.raises(OptionError) as found:
        decoding_options(given)
    assert found.value.for_shell == message


def test_numbers_of_numpy_are_numbers():
    given = {"temperature": np.float32(0.5), "top_k": np.int64(4), "max_new_tokens": np.uint8(9), "seed": np.int32(1)}
    options = decoding_options(given)
    assert options == DecodingOptions(temperature=0.5, top_k=4, max_new_tokens=9, seed=1)
    assert {type(getattr(options, name)) for name in given} == {int, float}
    for name, value in (("beam_size", np.float32(2.5)), ("temperature", np.True_)):
        with pytest.raises(OptionError, match=f"{name}: found .*, expected a"):
            decoding_options({name: value})


@pytest.mark.parametrize("given", [{"beam_size": 9}, {"temperature": 1.0, "top_k": 9}])
def test_nothing_is_wider_than_the_vocabulary(given):
    options = decoding_options(given)
    options.check_vocabulary(9)
    with pytest.raises(UsageError, match="9 is larger than the vocabulary of 8 tokens"):
        options.check_vocabulary(8)


@pytest.mark.parametrize("stop", [5, None, [1], b"a"])
def test_a_stop_is_a_string_or_several(stop):
    with pytest.raises(OptionError, match="stop: found .*, expected a string or a list of strings"):
        DecodingOptions(stop=stop)
