"""A file that reads several tokens at once writes what its greedy loop writes, whatever it guesses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toys import Letters

from textapp.config import TransformerModel
from textapp.decoding.beam import beam_search
from textapp.decoding.greedy import argmax_token, walk
from textapp.decoding.logits import Rules
from textapp.decoding.lookup import GuessingSession
from textapp.decoding.steps import open_session
from textapp.errors import ArtifactError
from textapp.export import tflite
from textapp.export.folding import fold_norms
from textapp.models import GeneratorSettings, build_generator
from textapp.objectives import generative
from textapp.runners.edge import EdgeRunner
from textapp.runners.flatfile import check_flatfile
from textapp.tasks.generation import GenerationTask

VOCABULARY, READ, NEW = 90, 16, 40
SHORT = 64  # places of the cache for texts of READ + NEW tokens


class Vocabulary(Letters):
    """Of the model."""

    vocabulary_size = VOCABULARY


class Lengths:
    """What signatures need of a task."""

    generate_lengths = ((READ, NEW),)
    lengths = (2 * SHORT + 8,)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file of random weights, with grouped heads. Greedily such a model soon repeats itself."""
    config = TransformerModel(
        architecture="transformer", hidden_dim=32, num_layers=2, num_heads=4, num_key_value_heads=2, positions="rope",
        tie_embeddings=True, intermediate_dim=64, dropout=0.0,
    )  # fmt: skip
    model = build_generator(config, GeneratorSettings(VOCABULARY, 0, 2, 3, max_length=Lengths.lengths[0]))
    dice = np.random.default_rng(4)
    for weight in model.weights:
        scale = 0.25 if "embedding" in weight.path else 1.0 if "gamma" in weight.path else 1.5 * weight.shape[0] ** -0.5
        weight.assign(scale * dice.normal(size=weight.shape) + np.asarray(weight) * (len(weight.shape) == 1))
    fold_norms(model)
    model.round_tables()
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(generative, "MIN_WEIGHTS_OF_SEVERAL", 0)
        signatures = generative.GenerativeObjective().signatures(model, Lengths())  # type: ignore[arg-type]
    tflite.write_saved_model(model, signatures, folder / "saved_model")
    names = [signature.name for signature in signatures]
    steps = ["decode", "decode_5", f"decode_5_{SHORT}", "extend_32"]
    assert names == [f"generate_{READ}_{NEW}", f"prefill_{READ}", *steps]
    tflite.convert(folder / "saved_model", folder / "model.tflite", names, "litert", "dynamic", folder / "unused")
    return folder / "model.tflite"


def prompts() -> list[list[int]]:
    """Plain ones, and some that repeat a part of themselves."""
    dice = np.random.default_rng(1)
    rows = [dice.integers(4, VOCABULARY, READ).tolist() for _ in range(20)]
    return rows + [[*row[:7], *row[:7]] for row in rows[:10]] + [row[:2] * 6 for row in rows[:10]]


def prompt(ids: list[int]) -> dict[str, np.ndarray]:
    """The inputs of `prefill`."""
    padded = np.zeros((1, READ), np.int32)
    padded[0, : len(ids)] = ids
    return {"token_ids": padded, "num_tokens": np.array([len(ids)], np.int32)}


@pytest.fixture(params=["interpreter", "compiled"])
def runner(file: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EdgeRunner:
    """Of the file, as small and as large files are run."""
    if request.param == "compiled":
        monkeypatch.setattr("textapp.runners.edge.MIN_BYTES", 0)
    return EdgeRunner(file)


def test_guesses_change_no_token(runner: EdgeRunner) -> None:
    passes, tokens, as_loop = 0, 0, 0
    for ids in prompts():
        features = prompt(ids)
        # Up to where all places are looked at, which may round otherwise.
        rules = Rules(min(NEW, SHORT - 5 - len(ids)), 3)
        plain = open_session(runner, f"prefill_{READ}", features, len(ids))
        guessing = GuessingSession(open_session(runner, f"prefill_{READ}", features, len(ids)), ids)
        found = list(walk(guessing, rules, argmax_token))
        assert found == list(walk(plain, rules, argmax_token))
        loop = runner.run(f"generate_{READ}_{NEW}", features)["token_ids"][0, : len(found)].tolist()
        as_loop += [token_id for token_id, _ in found] == loop
        passes, tokens = passes + guessing.passes, tokens + len(found) - 1
    assert passes < 0.8 * tokens
    assert as_loop >= 36  # of 40; the loop rounds otherwise, so near ties may end otherwise


def test_logits_after_several_tokens_are_those_of_single_ones(runner: EdgeRunner) -> None:
    ids = prompts()[0]
    features = prompt(ids)
    new = prompts()[1]
    one, several = (open_session(runner, f"prefill_{READ}", features, READ) for _ in range(2))
    expected = []
    for token_id in new:
        one.advance([0], [token_id])
        expected.append(one.logits[0])
    found = several.read_on(new)
    np.testing.assert_array_equal(found, expected)


def test_a_turn_that_is_read_at_once_is_read_as_by_less(runner: EdgeRunner) -> None:
    """Each by a graph of its own, which may round otherwise in the last digit, and so move an int8 by one."""
    ids, new, more = prompts()[:3]
    features = {"token_ids": np.array([ids], np.int32), "num_tokens": np.array([4], np.int32)}
    by_five, at_once = (open_session(runner, f"prefill_{READ}", features, 4) for _ in range(2))
    for turn in (new[:12], more[:11]):  # in turns, though a large file has one cache for all sessions
        assert at_once.cost(len(turn)) == by_five.cost(10) == 2
        by_five.read_on(turn)
        at_once.extend(turn)
        np.testing.assert_allclose(at_once.logits, by_five.logits, atol=0.05)
    assert runner.buffers("extend_32").inputs["num_tokens"][0] == 11


def test_short_texts_are_read_by_a_faster_signature_and_grow_out_of_it(runner: EdgeRunner) -> None:
    """Forth and back, in turns with another text, though a large file has one cache of each length for all sessions."""
    ids, other = prompts()[:2]
    features, others = prompt(ids), prompt(other)
    new = [token_id for row in prompts()[2:8] for token_id in row][:80]
    expected = open_session(runner, f"prefill_{READ}", features, READ, ["decode_5"]).read_on(new)
    session, second = (open_session(runner, f"prefill_{READ}", each, READ) for each in (features, others))
    short, whole = runner.buffers(f"decode_5_{SHORT}"), runner.buffers("decode_5")
    positions = []
    found = [session.read_on(new[:5])]
    second.read_on(new[:10])
    for start in range(5, 80, 5):
        found.append(session.read_on(new[start : start + 5]))
        positions.append((int(short.inputs["position"][0]), int(whole.inputs["position"][0])))
    np.testing.assert_allclose(np.concatenate(found), expected, atol=0.05)
    assert positions[7] == (READ + 40, positions[0][1]) and positions[-1] == (READ + 40, READ + 75)

    assert session.rewind(READ + 12)
    np.testing.assert_allclose(session.read_on(new[12:17]), expected[12:17], atol=0.05)
    assert short.inputs["position"][0] == READ + 12
    session.extend(new[17:60])
    np.testing.assert_allclose(session.logits[0], expected[59], atol=0.05)
    found = second.read_on(new[10:15])
    alone = open_session(runner, f"prefill_{READ}", others, READ).read_on(new[:15])
    np.testing.assert_array_equal(found, alone[10:15])


def test_hypotheses_are_the_same_where_steps_write_in_place(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file writes the row of each where it reads those of the others."""
    found = []
    for least in (1 << 30, 0):
        monkeypatch.setattr("textapp.runners.edge.MIN_BYTES", least)
        runner = EdgeRunner(file)
        for ids in prompts()[:5]:
            features = prompt(ids)
            session = open_session(runner, f"prefill_{READ}", features, READ)
            found.append([each.token_ids for each in beam_search(session, Rules(20, 3), 4, num_hypotheses=3)])
    assert found[:5] == found[5:] and len({str(each) for each in found[0]}) == 3


def test_a_loop_opened_alone_gives_way_to_the_whole_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textapp.runners.edge.MIN_BYTES", 0)
    features, loop, prefill = prompt(prompts()[0]), f"generate_{READ}_{NEW}", f"prefill_{READ}"
    whole = EdgeRunner(file)
    expected, session = whole.run(loop, features), open_session(whole, prefill, features, READ)
    monkeypatch.setattr("textapp.runners.compiled._WORTH_A_COPY", 0)
    runner = EdgeRunner(file)
    for alone in (loop, None):
        for name, values in runner.run(loop, features).items():
            np.testing.assert_array_equal(values, expected[name])
        assert runner._alone == alone
        np.testing.assert_array_equal(open_session(runner, prefill, features, READ).logits, session.logits)


def test_a_large_file_has_one_cache(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textapp.runners.edge.MIN_BYTES", 0)
    runner, ids = EdgeRunner(file), prompts()[0]
    features = prompt(ids)
    prefill, decode, several = (runner.buffers(name) for name in (f"prefill_{READ}", "decode", "decode_5"))
    for other in (prefill.outputs, several.inputs):
        assert np.shares_memory(decode.inputs["cache_0_key"], other["cache_0_key"])
    for same in (decode, several):
        assert np.shares_memory(same.inputs["cache_0_key"], same.outputs["cache_0_key"])

    session = open_session(runner, f"prefill_{READ}", features, READ)
    before = runner.run(f"prefill_{READ}", features)
    session.advance([0], [5])
    expected = session.logits
    runner.run(f"prefill_{READ}", {**features, "token_ids": features["token_ids"][:, ::-1].copy()})
    session.rewind(READ)
    session.advance([0], [5])
    np.testing.assert_array_equal(session.logits, expected)
    np.testing.assert_array_equal(runner.run(f"prefill_{READ}", features)["cache_0_key"], before["cache_0_key"])


def test_a_bundle_whose_signatures_share_no_cache_is_refused(file: Path) -> None:
    """As one of an earlier version, or one whose signatures would use the memory of each other's sessions."""
    task = GenerationTask(Vocabulary(), [READ + NEW + 1], [(READ, NEW)])
    shapes = check_flatfile(file)
    task.check_model(shapes)
    rows, short = (1, 2, 5, 8), (1, 2, SHORT, 8)
    for name, side, entry, shape, told in (
        ("decode_5", "outputs", "cache_0_key", rows, "as an earlier textapp wrote them.*export it anew"),
        (f"decode_5_{SHORT}", "inputs", "cache_1_value", rows, r"found cache_1_value of the shape \[1, 2, 5, 8\]"),
        (f"decode_5_{SHORT}", "outputs", "cache_1_value", None, "found cache_1_value of the shape none"),
        ("extend_32", "inputs", "cache_0_key", short, r"found cache_0_key of the shape \[1, 2, 64, 8\]"),
        ("extend_32", "inputs", "cache_9_key", short, "found cache_9_key, which 'decode' has not"),
        (f"prefill_{READ}", "outputs", "cache_9_key", short, "found cache_9_key, which 'decode' has not"),
    ):
        changed = {**getattr(shapes[name], side), entry: shape}
        if shape is None:
            del changed[entry]
        with pytest.raises(ArtifactError, match=f"{name}.*{told}"):
            task.check_model({**shapes, name: shapes[name]._replace(**{side: changed})})
