"""Answers in the form of a regular expression or a JSON schema, over chains whose next tokens are drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from toys import END, START, Chain, Letters, markov, random_chain

from textapp.decoding.beam import beam_search
from textapp.decoding.grammars import WHOLE, Frame, Grammar, Vocabulary, check_form, matches
from textapp.decoding.greedy import greedy_search
from textapp.decoding.logits import Rules
from textapp.decoding.options import Form, decoding_options
from textapp.decoding.steps import open_session
from textapp.errors import DataError, OptionError, UsageError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.generation import GenerationTask
from textapp.tasks.question_answering_decoder import PromptedAnswersTask
from textapp.tasks.translation import TranslationTask

pytest.importorskip("llguidance")

# the end, "a", "b", "ab", then the three bytes of 天, the character itself, and 天气
PIECES = [b"", b"a", b"b", b"ab", *(bytes([value]) for value in "天".encode()), "天".encode(), "天气".encode()]


class Text(Letters):
    """A token a character, with what JSON needs and a few Chinese ones; blanks in front stay."""

    alphabet = 'abcdefghijklmnopqrstuvwxyz 0123456789.,:"{}[]-天气很好。'
    vocabulary_size = 4 + len(alphabet)

    def decode(self, ids) -> str:
        return "".join(self.alphabet[token - 4] for token in ids if token > 3)


def allowed(pattern: str, *token_ids: int, frame: Frame = WHOLE) -> list[int]:
    grammar = Grammar(Vocabulary(PIECES, [0]), Form("regex", pattern), frame)
    return np.flatnonzero(grammar.restricted(np.zeros(len(PIECES)), token_ids) == 0).tolist()


def predictor(task: str = "generation", seed: int = 0, tokenizer: Letters | None = None) -> GenerativePredictor:
    tokenizer = tokenizer or Text()
    if task == "translation":
        chain = random_chain(seed, tokenizer.vocabulary_size, places=64)
        return GenerativePredictor(TranslationTask(tokenizer, tokenizer, [4, 8], [(4, 6), (8, 60)]), chain, {}, Path())
    chain = random_chain(seed, tokenizer.vocabulary_size, places=128, memory=False)
    return GenerativePredictor(GenerationTask(tokenizer, [128], [(4, 6), (8, 60)]), chain, {}, Path())


@pytest.mark.parametrize(
    ("pattern", "read", "expected"),
    [
        ("ab|b", [], [1, 2, 3]),  # also the two letters at once
        ("ab|b", [1], [2]),
        ("ab|b", [3], [0]),
        ("a+", [1], [0, 1]),  # complete, and may go on
        ("天", [], [4, 7]),  # the character, or the first of its bytes
        ("天", [4, 5], [6]),
        ("[一-龥]{2}", [4, 5, 6], [4, 7]),
        ("[一-龥]{2}", [], [4, 7, 8]),
    ],
)
def test_the_tokens_that_may_come_next(pattern, read, expected):
    assert allowed(pattern, *read) == expected


def test_a_model_of_more_rows_than_its_tokenizer_writes_none_of_them():
    grammar = Grammar(Vocabulary(PIECES, [0]), Form("regex", "a+"))
    logits = grammar.restricted(np.zeros(12, np.float32), [1])
    assert np.flatnonzero(logits == 0).tolist() == [0, 1]
    assert logits.shape == (12,)


def test_each_of_several_ends_is_one():
    grammar = Grammar(Vocabulary([*PIECES, b"</s>"], [0, 9]), Form("regex", "a"))
    assert np.flatnonzero(grammar.restricted(np.zeros(10), [1]) == 0).tolist() == [0, 9]


def test_a_grammar_goes_back_to_what_hypotheses_have_in_common():
    grammar = Grammar(Vocabulary(PIECES, [0]), Form("regex", "ab*|b"))
    assert [grammar.complete(ids) for ids in ([1, 2], [2], [1], [3, 2])] == [False, True, False, False]
    assert [grammar.accepts(ids) for ids in ([], [3], [1, 2, 2], [2])] == [False, True, True, True]
    assert not grammar.accepts([2, 2])  # an error, from which it comes back
    assert grammar.accepts([1, 2])


def test_greedy_search_and_a_beam_keep_to_it_and_end_where_it_may():
    chain = Chain(markov({START: {5: 0.6, 6: 0.4}, 5: {6: 0.1, END: 0.9}, 6: {6: 0.5, END: 0.5}}, 8), mixing=0)
    vocabulary = Vocabulary([b"", b"", b"", b"", b"", b"a", b"b", b""], [END])
    rules = Rules(max_new_tokens=5, end_id=END, constraint=Grammar(vocabulary, Form("regex", "ab|bb?")))
    prompt = {"token_ids": np.array([[5, 3, 0, 0]], np.int32)}
    found = greedy_search(open_session(chain, "prefill_4", prompt, 1), rules)
    assert found.token_ids == [5, 6]  # without an end, which would follow anyway
    assert found.score == pytest.approx(np.log(0.06), abs=1e-5)  # of the model, which the form does not change
    ranked = beam_search(open_session(chain, "prefill_4", prompt, 1), rules, 3, 0, 3)
    assert [each.token_ids for each in ranked] == [[6, END], [6, 6], [5, 6]]
    assert [each.score for each in ranked] == pytest.approx(np.log([0.2, 0.2, 0.06]), abs=1e-5)


@pytest.mark.parametrize("task", ["generation", "translation"])
@pytest.mark.parametrize("options", [{}, {"temperature": 3.0, "seed": 1}, {"beam_size": 2}])
@pytest.mark.parametrize("pattern", ["[一-龥]{2,5}。", "[a-z]{3}( [0-9]{1,4}){1,2}\\.", "(yes|no)", "a{0,2}"])
def test_every_answer_matches_as_a_whole(task, options, pattern):
    for seed in range(3):
        model = predictor(task, seed)
        output = model("天气很好 a", regex=pattern, **options).output
        assert re.fullmatch(pattern, output)
        if "beam_size" not in options:
            assert "".join(model.stream("天气很好 a", regex=pattern, **options)) == output


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]{2,4}$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "sky": {"enum": ["天气", "好"]},
        "tags": {"type": "array", "items": {"const": "a"}, "maxItems": 2},
    },
    "required": ["name", "age", "sky"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("options", [{}, {"temperature": 3.0, "seed": 1}, {"temperature": 1.0, "seed": 2}])
def test_every_answer_satisfies_the_schema(options):
    for seed in range(3):
        model = predictor(seed=seed)
        output = model("天气很好 a", json_schema=SCHEMA, max_new_tokens=100, **options).output
        value = json.loads(output)
        assert {"name", "age", "sky"} <= value.keys() <= SCHEMA["properties"].keys()
        assert re.fullmatch("[a-z]{2,4}", value["name"])
        assert type(value["age"]) is int and 0 <= value["age"] <= 150
        assert value["sky"] in ("天气", "好")
        assert value.get("tags", []) in ([], ["a"], ["a", "a"])
        assert "\n" not in output and "  " not in output
        assert "".join(model.stream("天气很好 a", json_schema=SCHEMA, max_new_tokens=100, **options)) == output


def test_a_blank_that_the_tokenizer_drops_in_front_counts_as_nothing():
    for seed in range(4):  # `Letters` drops it, so that one token more is possible
        model = predictor("translation", seed, Letters())
        model.runner.logits[START, Letters.alphabet.index(" ") + 4] = 99  # it begins with one
        assert re.fullmatch("[a-z][a-z ]{3}", model("hi", regex="[a-z ]{4}").output)
    assert allowed("ab", frame=Frame(drops_blank=True)) == [1, 3]
    pieces = [b"", b" ", b" a", b"b", b"\n", b"a"]
    grammar = Grammar(Vocabulary(pieces, [0]), Form("regex", " *a*b?"), Frame(drops_blank=True))
    assert np.flatnonzero(grammar.restricted(np.zeros(6), []) == 0).tolist() == [0, 1, 2, 3, 5]
    assert np.flatnonzero(grammar.restricted(np.zeros(6), [1]) == 0).tolist() == [0, 3, 5]  # a second one would stay
    line = Grammar(Vocabulary(pieces, [0]), Form("regex", r"[ab\s]+"), Frame(one_line=True))
    assert not line.accepts([5, 1]) and not line.accepts([5, 4, 5]) and line.accepts([1, 5, 1, 5])


def test_an_answer_of_one_line_matches_as_it_is_shown():
    for seed in range(4):
        chain = random_chain(seed, Text.vocabulary_size, places=64, memory=False)
        model = GenerativePredictor(PromptedAnswersTask(Text(), [64], [(4, 6), (8, 10)]), chain, {}, Path())
        answer = model("who", "ada", regex=" *[ab ]{3} *").answer
        assert re.fullmatch("[ab][ab ]*[ab]", answer) and len(answer) >= 3
        assert "".join(model.stream("who", "ada", regex=" *[ab ]{3} *")) == answer


def test_the_form_of_json_is_one_line_with_single_blanks():
    form = Form("json_schema", '{"type": "array", "items": {"type": "integer"}}')
    texts = ("[1, 2]", "[1,2]", "[ 1 ,2 ]", "[1,  2]", "[1,\n2]", " [1]", "[1] ", "[1", '["a"]')
    assert [text for text in texts if matches(form, text)] == ["[1, 2]", "[1,2]", "[ 1 ,2 ]"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regex": "[a-z]{9}"}, "regex: the answer to 'so' was cut off after 6 tokens, before it was complete: raise"),
        ({"json_schema": {"enum": ["abcdefgh"]}, "max_new_tokens": 3}, "json_schema: the answer .* after 3 tokens"),
        ({"json_schema": {"const": "a_b"}}, "ended after 2 tokens, .* vocabulary cannot go on from there"),
    ],
)
def test_what_is_cut_off_is_an_error_and_no_answer(options, message):
    model = predictor()
    with pytest.raises(DataError, match=message):
        model("so", **options)
    stream = model.stream("so", **options)
    with pytest.raises(DataError, match=message):
        list(stream)
    assert len(next(model.stream("so", **options))) == 1  # what was written before is there
    assert isinstance(model.attempts(["so"], **options)[0], DataError)
    assert model.attempts(["so"], regex="a")[0].output == "a"
    with pytest.raises(DataError, match=message):
        model.batch(["so", "no"], **options)


def test_a_blank_text_has_an_empty_translation_which_no_form_makes_valid():
    with pytest.raises(DataError, match="a blank text, is empty, which regex does not allow"):
        predictor("translation")(" ", regex="[a-z]")
    assert predictor("translation")(" ", regex="[a-z]?").output == ""


def test_a_beam_answers_with_the_best_that_is_complete():
    logits = markov({START: {5: 0.9, 6: 0.1}, 5: {5: 1.0}, 6: {END: 1.0}}, 4 + len(Letters.alphabet))
    task = TranslationTask(Letters(), Letters(), [4, 8], [(4, 6), (8, 10)])
    model = GenerativePredictor(task, Chain(logits, mixing=0), {}, Path())
    pattern = "b{20}|c"  # the better one does not fit into six tokens
    with pytest.raises(DataError, match="cut off after 6 tokens"):
        model("b", regex=pattern)
    assert model("b", regex=pattern, beam_size=2).output == "c"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regex": ""}, "regex: found '', expected a pattern such as"),
        ({"regex": 3}, "regex: found 3, expected a pattern such as"),
        ({"regex": "ab(c"}, r"regex: found 'ab\(c' at character 3: unclosed group; expected"),
        ({"regex": "\udc80"}, "expected a pattern such as"),
        ({"regex": "a/\\/b\n[z-a]"}, "at character 8: invalid character class range"),
        ({"regex": "天[z-a]"}, "at character 3: invalid character class range"),
        ({"regex": "a(?=b)"}, "at character 2: look-around, .* is not supported"),
        ({"regex": r"(a)\1"}, "at character 4: backreferences are not supported"),
        ({"regex": r"\bab"}, "look-around is not supported, as of WordUnicode; expected"),
        ({"regex": r"[^\s\S]"}, "but no text matches it"),
        ({"regex": "a", "choices": ["a"]}, "choices and regex were both given: leave one out"),
        ({"regex": "a", "json_schema": {}}, "regex and json_schema were both given: leave one out"),
        ({"regex": "a", "stop": "b"}, "regex and stop were both given: leave one out"),
        ({"json_schema": True, "min_new_tokens": 2}, "json_schema and min_new_tokens were both given"),
        ({"json_schema": 3}, "json_schema: found 3, expected a JSON Schema"),
        ({"json_schema": "[1]"}, r"json_schema: found \[1\], expected a JSON Schema"),
        ({"json_schema": "{nope"}, "which is not JSON .*line 1 column 2"),
        ({"json_schema": '{"type": "string", "type": "null"}'}, "the key 'type' is repeated"),
        ({"json_schema": ""}, "found '', which is no file"),
        ({"json_schema": "nowhere.json"}, "found 'nowhere.json', which is no file"),
        ({"json_schema": {"const": float("nan")}}, "found what JSON does not have"),
        ({"json_schema": {"type": "text"}}, "which is not supported: Invalid type: text"),
        ({"json_schema": {"type": "string", "pattern": "(a"}}, r"not supported: the pattern \(a: unclosed group"),
        ({"json_schema": {"not": {}}}, "found the key not, which answers cannot be held to"),
        ({"json_schema": {"$ref": "#/$defs/a"}}, "Pointer '/.defs/a' does not exist"),
        ({"json_schema": {"oneOf": [{"type": "string"}, {"type": "string"}]}}, "use anyOf"),
        ({"json_schema": False}, r"no value satisfies it \(schema is false\)"),
        ({"json_schema": {"type": "integer", "minimum": 2, "maximum": 1}}, "but no value satisfies it .minimum"),
        ({"json_schema": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}}, "another one without an end"),
    ],
)
def test_what_is_refused_before_a_model_is_opened(options, message):
    with pytest.raises(OptionError, match=message) as caught:
        decoding_options(options)
    assert "\n" not in str(caught.value)
    assert "--json-schema" in caught.value.for_shell or "--regex" in caught.value.for_shell


@pytest.mark.parametrize(
    ("node", "ends"),
    [
        ({"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}, "required": ["next"]}, False),
        ({"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}, True),
        ({"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}, True),
        ({"allOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}, False),
        ({"type": "array", "items": {"$ref": "#/$defs/n"}}, True),
        ({"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 1}, False),
        ({"type": "array", "prefixItems": [{"type": "null"}, {"$ref": "#/$defs/n"}], "minItems": 1}, True),
    ],
)
def test_a_schema_that_contains_itself_without_an_end(node, ends):
    schema = {"$defs": {"n": node}, "$ref": "#/$defs/n"}
    if ends:
        assert json.loads(decoding_options({"json_schema": schema}).json_schema) == schema
        return
    with pytest.raises(OptionError, match="no value satisfies it, as each would contain another one"):
        decoding_options({"json_schema": schema})


@pytest.mark.parametrize("count", [400, 15_000])  # the second would overflow the stack of llguidance
def test_a_long_chain_of_references_is_refused_at_once(count):
    parts = {f"p{n}": {"type": "array", "items": {"$ref": f"#/$defs/p{n + 1}"}} for n in range(count)}
    schema = {"$defs": {**parts, f"p{count}": {"type": "null"}}, "$ref": "#/$defs/p0"}
    with pytest.raises(OptionError, match="found objects nested too deeply, expected at most 600 levels"):
        decoding_options({"json_schema": schema})


def test_a_hundred_parts_are_not_too_many():
    parts = {f"p{n}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/p{n + 1}"}}} for n in range(100)}
    schema = {"$defs": {**parts, "p100": {"type": "null"}}, "$ref": "#/$defs/p0"}
    check_form(Form("json_schema", decoding_options({"json_schema": schema}).json_schema))


def test_a_schema_from_a_file_is_the_one_given_inline(tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA), encoding="utf-8-sig")
    found = decoding_options({"json_schema": str(file)})
    assert found == decoding_options({"json_schema": SCHEMA}) == decoding_options({"json_schema": json.dumps(SCHEMA)})
    assert decoding_options({"json_schema": found.json_schema}) == found
    (tmp_path / "large.json").write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(OptionError, match="found 1,048,578 bytes, expected at most 1,048,576"):
        decoding_options({"json_schema": tmp_path / "large.json"})
    with pytest.raises(OptionError, match="which is a folder"):
        decoding_options({"json_schema": str(tmp_path)})


@pytest.mark.parametrize(
    "options", [{"regex": "[A-Z]+"}, {"regex": "[a-z]+É"}, {"regex": "É?a_"}, {"json_schema": {"type": "null"}}]
)
def test_what_the_vocabulary_cannot_write(options):
    tokenizer = Letters()
    if "json_schema" in options:
        tokenizer.piece_bytes = lambda: [b""] * 4 + [letter.encode().replace(b"n", b"m") for letter in Letters.alphabet]
        tokenizer.decode = lambda ids: Letters().decode(ids).replace("n", "m")
    with pytest.raises(OptionError, match="the model's vocabulary cannot write such a text"):
        predictor(tokenizer=tokenizer)("a", **options)


def test_a_tokenizer_whose_pieces_have_no_text_of_their_own():
    tokenizer = Letters()
    tokenizer.decode = lambda ids: " ".join(Letters.alphabet[token - 4] for token in ids)
    with pytest.raises(UsageError, match=r"tokenizer \(letters\) does not write its pieces one after another"):
        predictor(tokenizer=tokenizer)("a", regex="a")


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(UsageError, match=r"'llguidance', which is not installed: pip install 'textapp\[constraints\]'"):
        decoding_options({"regex": "never seen before"})
    assert decoding_options({"choices": ["a"]}).form is None


def test_a_few_grammars_are_kept_and_none_of_their_answers():
    model = predictor()
    outputs = [model("a", regex=f"[a-z]{{{length}}}").output for length in [*range(1, 6)] * 2]
    assert [len(output) for output in outputs] == [1, 2, 3, 4, 5] * 2
    assert outputs[:5] == outputs[5:]
    for letter in "bcdefghijklmno":
        model("a", regex=letter)
    assert len(model._forms._grammars) == 16
