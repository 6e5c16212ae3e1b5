"""Hidden states: those of every block, in order, of the call that asked for them and of no other."""

from __future__ import annotations

import threading
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.catalog import parse_config
from textapp.layers import BlockSettings, hidden_states, with_hidden_states
from textapp.models import GeneratorSettings, build_encoder, build_generator
from textapp.models.preset_published_encoder import encoder_layers

IDS = np.array([[2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 0, 0]], np.int32)


def transformer(task: str) -> Any:
    model = {"architecture": "transformer", "hidden_dim": 8, "num_layers": 2, "num_heads": 2, "dropout": 0.5}
    config = parse_config({"task": task, "run": "r", "data": {"train": "a"}, "model": model}).model
    return config.model_copy(update={"positions": "learned", "tie_embeddings": True})


def test_an_encoder_inside_a_model() -> None:
    encoder = build_encoder(transformer("classification"), 9, 0, 6)
    inputs = {"token_ids": keras.Input((None,), dtype="int32", name="token_ids")}
    model = keras.Model(inputs, keras.layers.Dense(3)(encoder(inputs)[:, 0]))
    outputs, states = with_hidden_states(model, {"token_ids": IDS})
    np.testing.assert_array_equal(outputs, model({"token_ids": IDS}))
    first = keras.Model(encoder.inputs, encoder.get_layer("block_0").output)
    np.testing.assert_array_equal(states[0], first({"token_ids": IDS}))
    np.testing.assert_array_equal(encoder.get_layer("norm")(states[1]), encoder({"token_ids": IDS}))
    assert len(states) == 2

    # Inside a graph, and those of the call itself: of the dropout that it had.
    traced = tf.function(lambda ids: with_hidden_states(encoder, {"token_ids": ids}, training=True))
    outputs, states = traced(IDS)
    np.testing.assert_allclose(encoder.get_layer("norm")(states[1]), outputs, atol=1e-5)
    assert len(states) == 2 and np.abs(outputs - encoder({"token_ids": IDS})).max() > 0.1


def test_a_shared_block_has_a_state_for_each_call() -> None:
    settings = BlockSettings(2, 16, normalize_first=False)
    encoder = encoder_layers(settings, 9, 8, 8, num_layers=3, pad_id=0, max_length=6, shared=True)
    outputs, states = with_hidden_states(encoder, {"token_ids": IDS})
    assert len(states) == 3
    np.testing.assert_array_equal(states[2], outputs)


def test_a_language_model() -> None:
    model = build_generator(transformer("generation"), GeneratorSettings(9, 0, 1, 2, 6))
    logits, states = with_hidden_states(model, {"token_ids": IDS})
    assert len(states) == 2
    np.testing.assert_allclose(model._logits(model.decoder.norm(states[1])), logits, atol=1e-6)


def test_no_other_call_is_noted() -> None:
    """Not one in another thread, as the replicas of a strategy are, nor one after a call that failed."""
    encoder = build_encoder(transformer("classification"), 9, 0, 6)
    found = []

    def elsewhere(features: Any, training: bool) -> None:
        thread = threading.Thread(target=lambda: found.append(encoder(features)))
        thread.start()
        thread.join()

    assert with_hidden_states(elsewhere, {"token_ids": IDS}) == (None, []) and len(found) == 1

    def fails(features: Any, training: bool) -> None:
        raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        with_hidden_states(fails, {"token_ids": IDS})
    assert hidden_states._states.get() is None
