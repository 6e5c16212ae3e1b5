"""Every architecture that writes keeps the same contract: one answer, whichever way it is asked for."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from writers import dividing_end

from textapp.catalog import parse_config
from textapp.errors import ConfigError
from textapp.layers import greedy_queue
from textapp.layers.cache import written
from textapp.models import GeneratorSettings, build_generator
from textapp.objectives import decoding

VOCABULARY, SOURCE_VOCABULARY, PAD, START, END = 37, 29, 0, 2, 3
SOURCE, TARGET, CACHE = 6, 7, 16
TRANSFORMER = {"architecture": "transformer", "hidden_dim": 16, "num_layers": 2, "num_heads": 4, "dropout": 0.1}
TIED_ROPE = {**TRANSFORMER, "positions": "rope", "tie_embeddings": True}
MODELS = {
    "sinusoidal": {**TRANSFORMER, "positions": "sinusoidal", "tie_embeddings": True},
    "learned": {**TRANSFORMER, "positions": "learned", "tie_embeddings": False, "activation": "relu"},
    "grouped": {**TIED_ROPE, "num_key_value_heads": 2, "activation": "swiglu"},
    "multi_query": {**TIED_ROPE, "num_key_value_heads": 1},
    "lstm": {"architecture": "lstm", "embedding_dim": 12, "units": [8, 10], "dropout": 0.1, "tie_embeddings": True},
}
RANDOM = np.random.default_rng(5)
TOKENS = RANDOM.integers(4, SOURCE_VOCABULARY, (3, SOURCE)).astype(np.int32)
TOKENS[1, 4:] = PAD
TARGETS = np.concatenate([np.full((3, 1), START), RANDOM.integers(4, VOCABULARY, (3, TARGET - 1))], 1).astype(np.int32)
COUNTS = np.array([2, 4, 3], np.int32)
PROMPTS = np.where(np.arange(4) < COUNTS[:, None], TARGETS[:, :4], PAD).astype(np.int32)


def config_of(name, task):
    train = {"source": "a", "target": "b"} if task == "translation" else "a.txt"
    return parse_config({"task": task, "run": "r", "data": {"train": train}, "model": MODELS[name]}).model


def built(name, task, source_vocabulary=None):
    keras.utils.set_random_seed(3)
    sides = {"max_source_length": 8, "source_vocabulary_size": source_vocabulary} if task == "translation" else {}
    settings = GeneratorSettings(VOCABULARY, PAD, START, END, max_length=CACHE, **sides)
    model = build_generator(config_of(name, task), settings)
    # Larger weights than at the start of a training, so that the answers differ from token to token.
    for number, weight in enumerate(model.trainable_variables):
        weight.assign(np.random.default_rng(number).normal(size=weight.shape) * 0.5 + np.asarray(weight))
    return model


@pytest.fixture(scope="module")
def translators():
    return {name: built(name, "translation", SOURCE_VOCABULARY if name == "grouped" else None) for name in MODELS}


@pytest.fixture(scope="module")
def language_models():
    return {name: built(name, "generation") for name in MODELS}


def stepped(model, features, tokens, first):
    """The logits of a step after each token, from position `first` on, `[batch, steps, vocabulary]`."""
    _, position, cache = model.begin(features, CACHE)
    found = []
    for place in range(tokens.shape[1]):
        logits, rows = model.step(tf.constant(tokens[:, place]), position + place, cache)
        changed = written(cache, rows, position + place)
        assert set(changed) <= set(cache)
        assert all(changed[name].shape == cache[name].shape for name in changed)
        cache |= changed
        found.append(logits)
    return np.stack(found, axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_a_translator_steps_as_it_reads_at_once(translators, name):
    model = translators[name]
    at_once = model({"token_ids": TOKENS, "target_ids": TARGETS})
    assert at_once.shape == (3, TARGET, VOCABULARY) and at_once.dtype == tf.float32
    np.testing.assert_allclose(stepped(model, {"token_ids": TOKENS}, TARGETS, 0), at_once, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", MODELS)
def test_a_language_model_steps_as_it_reads_at_once(language_models, name):
    """Prompts of different lengths in one batch: each goes on at its own position."""
    model = language_models[name]
    at_once = np.asarray(model({"token_ids": TARGETS}))
    rest = np.stack([TARGETS[row, count - 1 : count + 2] for row, count in enumerate(COUNTS)])
    found = stepped(model, {"token_ids": tf.constant(PROMPTS), "num_tokens": tf.constant(COUNTS)}, rest, None)
    expected = np.stack([at_once[row, count - 1 : count + 2] for row, count in enumerate(COUNTS)])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "lstm"])
def test_several_tokens_at_once_are_read_as_one_by_one(language_models, name):
    model = language_models[name]
    features = {"token_ids": tf.constant(PROMPTS[1:2]), "num_tokens": tf.constant(COUNTS[1:2])}
    tokens = TARGETS[:1, :5]
    expected = stepped(model, features, tokens, None)
    _, position, cache = model.begin(features, CACHE)
    found = decoding.read_more(model, {"token_ids": tf.constant(tokens), "position": position, **cache})
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-3, atol=2e-4)
    for place in range(5):
        _, rows = model.step(tf.constant(tokens[:, place]), position + place, cache)
        cache |= written(cache, rows, position + place)
    assert found.keys() == {"logits", *cache}
    for entry, expected in cache.items():
        np.testing.assert_allclose(found[entry], expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", MODELS)
def test_padding_of_the_source_changes_nothing(translators, name):
    model = translators[name]
    longer = np.pad(TOKENS, [[0, 0], [0, 2]])
    np.testing.assert_allclose(
        model({"token_ids": longer, "target_ids": TARGETS}),
        model({"token_ids": TOKENS, "target_ids": TARGETS}),
        rtol=1e-3, atol=2e-4,
    )  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("task", ["translation", "generation"])
def test_the_loop_takes_the_likeliest_token(translators, language_models, name, task):
    """Against calls of the whole model, one row at a time, and the sum of their log-probabilities."""
    model = (translators if task == "translation" else language_models)[name]
    features = {"token_ids": tf.constant(TOKENS if task == "translation" else PROMPTS)}
    if task == "generation":
        features["num_tokens"] = tf.constant(COUNTS)
    found = tf.function(lambda given: decoding.generate(model, given, 6))(features)
    for row in range(3):
        written, score = [], 0.0
        before = [START] if task == "translation" else PROMPTS[row, : COUNTS[row]].tolist()
        while len(written) < 6 and END not in written:
            given = {"token_ids": np.array([[*before, *written]], np.int32)}
            if task == "translation":
                given = {"token_ids": TOKENS[row : row + 1], "target_ids": given["token_ids"]}
            logits = np.asarray(model(given))[0, -1].astype(np.float64)
            written.append(int(logits.argmax()))
            score += logits.max() - np.log(np.exp(logits).sum())
        assert found["token_ids"][row].numpy().tolist() == written + [PAD] * (6 - len(written))
        assert found["num_tokens"][row] == len(written)
        assert float(found["score"][row]) == pytest.approx(score, rel=1e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_a_queue_writes_what_each_source_gets_alone(translators, monkeypatch, name, slots):
    """Texts of several lengths, so that rows begin anew at other moments; what is padding alone gets nothing."""
    monkeypatch.setattr(sys.modules[greedy_queue.__module__], "SLOTS", slots)
    model = translators[name]
    sources = np.random.default_rng(9).integers(4, SOURCE_VOCABULARY, (12, SOURCE)).astype(np.int32)
    texts = decoding.generate(model, {"token_ids": tf.constant(sources)}, 6)["token_ids"].numpy().tolist()
    monkeypatch.setattr(model, "end_id", dividing_end(texts))
    alone = decoding.generate(model, {"token_ids": tf.constant(sources)}, 6)
    assert len(set(alone["num_tokens"].numpy().tolist())) > 1, "all texts end together: the test cannot fail"
    given = np.concatenate([sources, np.full((3, SOURCE), PAD, np.int32)])
    found = tf.function(lambda ids: decoding.generate_queued(model, {"token_ids": ids}, 6))(tf.constant(given))
    np.testing.assert_array_equal(found["token_ids"][:12], alone["token_ids"])
    np.testing.assert_array_equal(found["num_tokens"][:12], alone["num_tokens"])
    np.testing.assert_allclose(found["score"][:12], alone["score"], rtol=1e-4)
    assert (found["token_ids"][12:].numpy() == PAD).all() and not found["num_tokens"][12:].numpy().any()


@pytest.mark.parametrize("name", MODELS)
def test_what_is_no_text_is_not_written_by_a_weak_model(language_models, monkeypatch, tmp_path, name):
    model = language_models[name]
    features = {"token_ids": tf.constant(PROMPTS), "num_tokens": tf.constant(COUNTS)}
    likeliest = set(np.unique(decoding.generate(model, features, 6)["token_ids"]).tolist()) - {PAD, END}
    assert likeliest
    monkeypatch.setattr(model, "never_ids", sorted(likeliest))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not likeliest & set(np.unique(decoding.generate(loaded, features, 6)["token_ids"]).tolist())


def test_the_loop_ends_with_the_last_row(translators, monkeypatch):
    """The end id is what the first row writes first: it is kept and counted, and the others go on."""
    model = translators["sinusoidal"]
    features = {"token_ids": tf.constant(TOKENS)}
    free = decoding.generate(model, features, 6)
    end = int(free["token_ids"][0, 0])
    monkeypatch.setattr(model, "end_id", end)
    found = decoding.generate(model, features, 6)
    assert found["token_ids"][0].numpy().tolist() == [end] + [PAD] * 5
    assert found["num_tokens"][0] == 1 and max(found["num_tokens"].numpy()) > 1


@pytest.mark.parametrize("name", ["sinusoidal", "learned", "grouped"])
def test_packed_texts_do_not_see_each_other(language_models, name):
    model = language_models[name]
    packed = model({"token_ids": TARGETS[:1], "segment_ids": np.array([[1, 1, 1, 2, 2, 2, 2]], np.int32)})
    alone = [model({"token_ids": part}) for part in (TARGETS[:1, :3], TARGETS[:1, 3:])]
    np.testing.assert_allclose(packed, np.concatenate(alone, axis=1), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("task", ["translation", "generation"])
def test_saved_and_loaded(translators, language_models, tmp_path, name, task):
    model = (translators if task == "translation" else language_models)[name]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    given = {"token_ids": TARGETS}
    if task == "translation":
        given = {"token_ids": TOKENS, "target_ids": TARGETS}
    np.testing.assert_array_equal(loaded(given), model(given))


def test_prefill_pads_the_memory_for_one_decode(translators):
    model = translators["sinusoidal"]
    features = {"token_ids": tf.constant(TOKENS)}
    short, long = decoding.prefill(model, features, CACHE), decoding.prefill(model, features, CACHE, 8)
    assert long["cache_0_memory_key"].shape[2] == 8 and long["cache_memory_mask"].shape[3] == 8
    token = tf.argmax(short.pop("logits"), axis=-1, output_type=tf.int32)
    long.pop("logits")
    place = {"token_id": token, "position": tf.constant([1])}
    one, other = (decoding.decode(model, {**place, **cache})["logits"] for cache in (short, long))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-4)


def test_score(translators):
    model = translators["sinusoidal"]
    targets = np.array([[5, PAD, -1]], np.int32)  # the padding id counts: of a preset it may be the end
    features = {"token_ids": TOKENS[:1], "target_ids": np.array([[START, 5, 3]], np.int32)}
    found = {name: np.asarray(values)[0] for name, values in decoding.score(model, features, targets).items()}
    logits, places, given = np.asarray(model(features))[0, :2], [0, 1], [5, PAD]
    expected = logits[places, given] - np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(found["log_probability"], [*expected, 0.0], rtol=1e-4)
    allowed = [token for token in range(logits.shape[1]) if token not in model.never_ids]
    assert found["best"].tolist() == [allowed[place] for place in logits[:, allowed].argmax(axis=1)] + [0]
    gaps = logits[:, allowed].max(axis=1) - logits[places, given]
    np.testing.assert_allclose(found["gap"], [*gaps, 0.0], atol=1e-5)


def test_an_lstm_takes_no_packed_rows(language_models):
    with pytest.raises(ValueError, match="rows of several texts are not served"):
        language_models["lstm"]({"token_ids": TARGETS, "segment_ids": np.ones_like(TARGETS)})


def test_embeddings_as_wide_as_the_model():
    model = config_of("sinusoidal", "translation").model_copy(update={"embedding_dim": 8})
    with pytest.raises(ConfigError, match=r"model.embedding_dim: found 8, expected 16"):
        build_generator(model, GeneratorSettings(9, PAD, START, END, max_length=8, max_source_length=8))
