"""A KerasHub language model that keeps KerasHub's own layers, behind the interface of a `Generator`.

It answers right and decodes slower: KerasHub keeps keys and values of all layers in one tensor, which is copied whole
at every token.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

from textapp.errors import ConfigError, require
from textapp.layers.cache import Cache, Recent

CACHE = "cache_state"  # replaced as a whole by every step, as the state of an LSTM is
STEP = ("token_ids", "cache", "cache_update_index")


@keras.saving.register_keras_serializable(package="textapp")
class KerasHubLanguageModel(keras.Model):
    """A KerasHub `CausalLM` that reads a prompt and gives the logits of the next token.

    Args:
        backbone: of the language model, or what `get_config` wrote of it.
        task: the registered name of its `CausalLM` class, `keras_hub>OPTCausalLM`.
        vocabulary_size: the first so many of its tokens are written.
        pad_id, start_id, end_id: of the tokenizer.

    Attributes:
        has_encoder: False, it is a language model.
        never_ids: empty: a preset has learnt what to write.
        loops_copy: True: an export's loop copies more than it should, which is told instead of refused.

    Call arguments:
        features: `token_ids` `[batch, length]`, padding on the right.

    Returns:
        logits `[batch, length, vocabulary_size]` float32: at each position those of the token that follows.
    """

    has_encoder = False
    never_ids = ()
    loops_copy = True

    def __init__(
        self, backbone: Any, task: str, vocabulary_size: int, pad_id: int, start_id: int, end_id: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.backbone = keras.saving.deserialize_keras_object(backbone) if isinstance(backbone, dict) else backbone
        task_class = keras.saving.get_registered_object(task)
        self.causal_lm = task_class(backbone=self.backbone, preprocessor=None, compile=False)
        self.task, self.vocabulary_size = task, vocabulary_size
        self.pad_id, self.start_id, self.end_id = pad_id, start_id, end_id
        self.built = True

    @property
    def lora_names(self) -> list[str]:
        """The layers that KerasHub adapts."""
        return self.backbone.default_lora_layer_names()

    def call(self, features, training=None):
        token_ids = features["token_ids"]
        # Padding stands on the right, where no token looks.
        inputs = {"token_ids": token_ids, "padding_mask": tf.ones_like(token_ids)}
        return self._known(self.causal_lm(inputs, training=training))

    def begin(self, features, cache_length: int) -> tuple[tf.Tensor, tf.Tensor, Cache]:
        """What the first step takes; see `Generator.begin`. What the cache holds behind the prompt is never read."""
        token_ids, num_tokens = features["token_ids"], features["num_tokens"]
        room = [[0, 0], [0, cache_length - token_ids.shape[1]]]
        _, cache = self.causal_lm._build_cache(tf.pad(token_ids, room, constant_values=self.pad_id))
        last = tf.gather(token_ids, num_tokens - 1, batch_dims=1)
        return last, num_tokens - 1, {CACHE: cache}

    def step(self, token_id, position, cache: Cache, recent: Recent | None = None) -> tuple[tf.Tensor, Cache]:
        """Reads one token; see `Generator.step`. `recent` is not used: KerasHub writes its cache itself."""
        if position.shape[0] == 1:
            logits, state = self._read(tf.expand_dims(token_id, 1), position[0], cache[CACHE])
            return logits, {CACHE: state}

        def row(values):  # KerasHub writes all rows at one place, so rows at places of their own go one by one
            token, place, state = values
            logits, state = self._read(tf.reshape(token, [1, 1]), place, tf.expand_dims(state, 0))
            return logits[0], state[0]

        position = tf.broadcast_to(position, tf.shape(token_id))
        kinds = (
            tf.TensorSpec([self.vocabulary_size], tf.float32),
            tf.TensorSpec(cache[CACHE].shape[1:], self.compute_dtype),
        )
        logits, state = tf.map_fn(row, (token_id, position, cache[CACHE]), fn_output_signature=kinds)
        return logits, {CACHE: state}

    def round_tables(self) -> None:
        """Nothing: a quantized file of KerasHub's layers keeps its float table, and its manifest says so."""

    def _read(self, token_ids, place, state):
        """One token for each row: logits `[rows, vocabulary_size]`, and the cache with it."""
        logits, _, state = self.causal_lm.call_with_cache(token_ids, state, place)
        return self._known(logits)[:, 0], state

    def _known(self, logits):
        return tf.cast(logits[..., : self.vocabulary_size], tf.float32)

    def get_config(self) -> dict[str, Any]:
        names = ("task", "vocabulary_size", "pad_id", "start_id", "end_id")
        backbone = keras.saving.serialize_keras_object(self.backbone)
        return {**super().get_config(), "backbone": backbone, **{name: getattr(self, name) for name in names}}


def language_model(path: str, vocabulary_size: int, **ids: int) -> KerasHubLanguageModel:
    """Loads a KerasHub language model under the dtype policy of this moment.

    Args:
        path: a preset name or a folder in KerasHub or Hugging Face layout.
        vocabulary_size: ids that the tokenizer knows.
        ids: `pad_id`, `start_id`, `end_id`.

    Raises:
        ConfigError: it is no language model, or KerasHub gives it no cache of this form.
    """
    keras_hub = require("keras_hub", "train")
    try:
        found = keras_hub.models.CausalLM.from_preset(path, preprocessor=None, dtype=keras.config.dtype_policy().name)
    except Exception as error:  # whatever KerasHub finds in a preset that is no language model
        raise ConfigError(
            f"model.path: {path!r} holds no language model that KerasHub can load "
            f"({' '.join(str(error).split())[:300]}); expected GPT-2, Llama, Mistral, Qwen, Gemma, OPT or the like"
        ) from error
    parameters = list(inspect.signature(found.call_with_cache).parameters) if hasattr(found, "call_with_cache") else []
    if tuple(parameters[:3]) != STEP or set(found.backbone.input) != {"token_ids", "padding_mask"}:
        raise ConfigError(
            f"model.path: {path!r} holds a {type(found).__name__}, which reads more than text or keeps another kind of "
            "cache; expected a language model of text such as GPT-2, Llama, Gemma or OPT"
        )
    task = keras.saving.get_registered_name(type(found))
    return KerasHubLanguageModel(found.backbone, task, vocabulary_size, name="generator", **ids)
