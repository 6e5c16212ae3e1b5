"""What YAML gives a config, and what it may not hold."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textapp.config.yaml_text import Place, read_yaml, write_yaml
from textapp.errors import ConfigError


def read(text: str) -> object:
    return read_yaml(text, "line {}".format).value


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("5", 5), ("-3", -3), ("+3", 3), ("8_000", 8000), ("0x1F", 31), ("0", 0), ("0.5", 0.5), (".5", 0.5), 
        ("5.", 5.0), ("1e-3", 1e-3), ("1E5", 1e5), ("2.5e-4", 2.5e-4), ("1.0e-05", 1e-5), (".inf", float("inf")),
        ("-.inf", -float("inf")), ("1e999", float("inf")),
        ("1:30", "1:30"), ("010", "010"), ("0o17", "0o17"), ("1.2.3", "1.2.3"), ("9" * 5000, "9" * 5000),
        ("2024-01-01", "2024-01-01"), ("2024-13-45", "2024-13-45"), ("2024-01-01 99:99:99", "2024-01-01 99:99:99"),
        ("b：c", "b：c"), ("'b：c'", "b：c"), ("x\xa0y", "x\xa0y"),
        ("y", "y"), ("n", "n"), ("nO", "nO"), ("e5", "e5"), ("=", "="), ("<<", "<<"),
        ("no", False), ("NO", False), ("off", False), ("yes", True), ("On", True), ("true", True),
        ("~", None), ("null", None), ("", None),
        ("'no'", "no"), ('"5"', "5"), ("!!str no", "no"), ("!!int 5", 5), ("en # English", "en"),
    ],
)  # fmt: skip
def test_the_value_of_a_word(word: str, value: object) -> None:
    (found,) = read(f"a: {word}").values()
    assert found == value and type(found) is type(value)


def test_a_key_is_what_was_written() -> None:
    text = "{0: a, 007: b, 1_000: c, 1.0: d, 2024-13-45: e, true: f, false: g, 'no': h, 1e3: i, <<: j}"
    assert list(read(text)) == ["0", "007", "1_000", "1.0", "2024-13-45", "true", "false", "no", "1e3", "<<"]


def test_places_are_lines_and_words() -> None:
    document = read_yaml("data:\n  header: no\n  train: [a, off]\n\nrun: 'no'\n", "line {}".format)
    assert document.places == {
        "data": Place("line 1"),
        "data.header": Place("line 2", "no"),
        "data.train": Place("line 3"),
        "data.train.0": Place("line 3"),
        "data.train.1": Place("line 3", "off"),
        "run": Place("line 5"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: found the key 'a' a second time, first in line 1: leave one of them out"),
        ("a: {b: 1, b: 1}", "line 1: found the key 'b' of 'a' a second time: leave one of them out"),
        ("x:\n- {a: 1,\n  'a': 1}", "line 3: found the key 'a' of 'x.0' a second time, first in line 2: leave one"),
        ("{1: a, '1': b}", "line 1: found the key '1' a second time"),
        ("no: 1", "line 1: found the key no, which YAML reads as the boolean false: write 'no' in quotes"),
        ("a:\n  On: 1", "line 2: found the key On, which YAML reads as the boolean true: write 'On' in quotes"),
        ("~: 1", "line 1: found the key ~, which YAML reads as nothing: write '~' in quotes"),
        ("[a, b]: 1", "line 1: found a list or keys in place of a key, expected a name"),
        ("a: &x 1\nb: 2", "line 1: found '&x', an alias or anchor, which configs do not have: write the value out"),
        ("a: 1\nb: *x", "line 2: found '*x', an alias or anchor, which configs do not have: write the value out"),
        ("a: 1\n<<: *x", "line 2: found '*x', an alias"),
        ("a: *.csv", "line 1: not YAML: expected alphabetic or numeric character, but found '.': write a value that "
         "begins with * in quotes, such as '*.csv'"),
        ("a: @b", "line 1: not YAML: found character '@' that cannot start any token: write a value that begins with "
         "this character in quotes"),
        ("a:\n\tb: 1", "line 2: not YAML: found a tab in the indentation, expected spaces"),
        ("a:\n  b: 1\n\tc: 1", "line 3: not YAML: found a tab in the indentation, expected spaces"),
        ("a: 1\ntask： x\n", "line 2: found ： (U+FF1A), expected : and a space behind it"),
        ("a:\n  b ：1", "line 2: found ： (U+FF1A)"),
        ("a:\n\xa0\xa0b: 1", "line 2: found U+00A0 in the indentation, expected spaces: write them again"),
        ("a:\n \u3000b: 1", "line 2: found U+3000 in the indentation"),
        ("a:\xa01", "line 1: found U+00A0 behind the colon, expected spaces"),
        ("a: b: c", "line 1: not YAML: mapping values are not allowed here: indent keys of one level equally, and"),
        ('a: "C:\\data"', "line 1: not YAML: found unknown escape character 'd': a backslash in double quotes begins "
         "an escape: write 'C:\\data' in single quotes"),
        ("x: 1\na: 'b\n", "line 3: not YAML: found unexpected end of stream (while scanning a quoted scalar that "
         "begins in line 2): close the quotes"),
        ("a: [1, 2\nb: 3", "(while parsing a flow sequence that begins in line 1): close the bracket"),
        ("a: 1\n---\nb: 2", "line 2: not YAML: found another document"),
        ("a\x00b: 1", "line 1: found the control character U+0000, expected text: delete it"),
        ("a: 1\nb: \x07", "line 2: found the control character U+0007, expected text: delete it"),
        ("a: \udcff", "line 1: found the control character U+DCFF"),
        ('a: "\\UFFFFFFFF"', "line 1: not YAML: found an escape that is no character"),
        ("a: !!python/object/apply:os.system [x]", "line 1: found the tag !!python/object/apply:os.system, which"),
        ("a: !!timestamp 2024-13-45", "line 1: found the tag !!timestamp, which configs do not have: leave it out"),
        ("a: !!int x", "line 1: found the tag !!int"),
        ("a: !!set {b}", "line 1: found the tag !!set"),
    ],
)  # fmt: skip
def test_what_is_refused_has_a_line_and_a_mend(text: str, message: str) -> None:
    assert message in fault(text)


@pytest.mark.parametrize("text", ["[" * 900_000, "{a: " * 200_000, "- " * 400_000, "[[" * 20 + "{a: " * 20])
def test_deep_nesting_is_an_error_at_once(text: str) -> None:
    started = time.perf_counter()
    assert fault(text) == "line 1: found more than 50 levels of lists or keys, expected at most 4" or len(text) < 1000
    assert time.perf_counter() - started < 5


def test_a_file_of_data_is_an_error_at_once() -> None:
    mend = "found more than 20,000 keys and values, expected a config; is it a file of data?"
    started = time.perf_counter()
    assert fault("".join(f"k{number}:\n" for number in range(30_000))) == f"line 10000: {mend}"
    assert fault("[" + "1," * 400_000 + "1]") == f"line 1: {mend}"
    assert time.perf_counter() - started < 15


def test_a_billion_laughs_is_an_error_at_once() -> None:
    text = "a0: &a0 [ha, ha]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(60))
    started = time.perf_counter()
    assert "'&a0', an alias or anchor" in fault(text)
    assert time.perf_counter() - started < 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["no", "1e-3", "1e3", "010", "1:30", "2024-01-01", "~", "<<", "*a", "8_000", ".inf", "0x1F"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_back_equal(value: object) -> None:
    assert read(write_yaml(value)) == value


def test_an_object_that_occurs_twice_is_written_twice() -> None:
    pair = [16, 24]
    assert read(write_yaml({"a": pair, "b": pair})) == {"a": [16, 24], "b": [16, 24]}


@given(st.text(alphabet="ab01-.:,[]{}'\"#&*!|>%@\\ \t\n\r~?<\x00é", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_value_or_an_error_with_a_line(text: str) -> None:
    try:
        read_yaml(text, "line {}".format)
    except ConfigError as error:
        assert str(error).startswith("line ") and len(str(error)) < 500


@pytest.mark.parametrize(
    "text", ["word " * 30 + "key：value", "a\nkey：value", "a\n\xa0b", "x " * 60 + "\u3000y", "key：value", "a:\xa0b"]
)
def test_a_text_with_wide_characters_comes_back(text: str) -> None:
    value = {"a": {"b": [text], "c": text}, text: {text: 1}}
    assert read(write_yaml(value)) == value
