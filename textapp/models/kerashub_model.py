"""A KerasHub language model with KerasHub's own layers, behind the interface of a `Generator`.

It decodes more slowly: KerasHub keeps the keys and values of all layers in one tensor, all of which is copied at every
token.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from textapp.errors import ConfigError, require
from textapp.layers.cache import Cache, Recent

CACHE = "cache_state"  # replaced as a whole by every step, as the state of an LSTM is
STEP = ("token_ids", "cache", "cache_update_index")


@keras.saving.register_keras_serializable(package="textapp")
class KerasHubLanguageModel(keras.Model):
    """A wrapper of a KerasHub `CausalLM` that gives the logits of the next token.

    Args:
        backbone: of the language model, or its config.
        task: the registered name of its `CausalLM` class, such as `keras_hub>OPTCausalLM`.
        vocabulary_size: the first so many of its tokens can be generated.
        pad_id, start_id, end_id: of the tokenizer.

    Attributes:
        has_encoder: False, it is a language model.
        other_end_ids: further tokens that end a text.
        never_ids: empty: a pretrained model has learned which tokens to generate.
        reads_at_once: False: it has no `read`.
        loops_copy: True: a decoding loop copies the whole cache; an export reports this instead of failing.

    Call arguments:
        features: `token_ids` `[batch, length]`, padding on the right.

    Returns:
        logits `[batch, length, vocabulary_size]` float32, at each position those of the next token.
    """

    has_encoder = False
    never_ids = ()
    reads_at_once = False
    loops_copy = True

    def __init__(
        self,
        backbone: Any,
        task: str,
        vocabulary_size: int,
        pad_id: int,
        start_id: int,
        end_id: int,
        other_end_ids: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.backbone = keras.saving.deserialize_keras_object(backbone) if isinstance(backbone, dict) else backbone
        task_class = keras.saving.get_registered_object(task)
        self.causal_lm = task_class(backbone=self.backbone, preprocessor=None, compile=False)
        self.task, self.vocabulary_size = task, vocabulary_size
        self.pad_id, self.start_id, self.end_id = pad_id, start_id, end_id
        self.other_end_ids = tuple(other_end_ids)
        self.built = True

    @property
    def lora_names(self) -> list[str]:
        """Names of the layers that LoRA adapts, as KerasHub chooses them."""
        return self.backbone.default_lora_layer_names()

    def call(self, features, training=None):
        token_ids = features["token_ids"]
        # Padding is on the right, where no token attends to it.
        inputs = {"token_ids": token_ids, "padding_mask": tf.ones_like(token_ids)}
        return self._known(self.causal_lm(inputs, training=training))

    def begin(self, features, cache_length: int) -> tuple[tf.Tensor, tf.Tensor, Cache]:
        """Encodes a prompt; see `Generator.begin`. Entries of the cache after the prompt are never read."""
        token_ids, num_tokens = features["token_ids"], features["num_tokens"]
        padding = [[0, 0], [0, cache_length - token_ids.shape[1]]]
        _, cache = self.causal_lm._build_cache(tf.pad(token_ids, padding, constant_values=self.pad_id))
        last = tf.gather(token_ids, num_tokens - 1, batch_dims=1)
        return last, num_tokens - 1, {CACHE: cache}

    def step(self, token_id, position, cache: Cache, recent: Recent | None = None) -> tuple[tf.Tensor, Cache]:
        """Decodes one token; see `Generator.step`. `recent` is not used: KerasHub writes its cache itself."""
        if position.shape[0] == 1:
            logits, state = self._decode(tf.expand_dims(token_id, 1), position[0], cache[CACHE])
            return logits, {CACHE: state}

        def row(values):  # KerasHub takes one position for the batch, so rows at different positions go one by one
            token, row_position, state = values
            logits, state = self._decode(tf.reshape(token, [1, 1]), row_position, tf.expand_dims(state, 0))
            return logits[0], state[0]

        position = tf.broadcast_to(position, tf.shape(token_id))
        kinds = (
            tf.TensorSpec([self.vocabulary_size], tf.float32),
            tf.TensorSpec(cache[CACHE].shape[1:], self.compute_dtype),
        )
        logits, state = tf.map_fn(row, (token_id, position, cache[CACHE]), fn_output_signature=kinds)
        return logits, {CACHE: state}

    def round_tables(self) -> None:
        """Does nothing: a quantized file keeps the float table of KerasHub's layer, and its manifest says so."""

    def _decode(self, token_ids, position, state):
        """Decodes `[rows, 1]` tokens: the logits `[rows, vocabulary_size]` and the updated cache."""
        logits, _, state = self.causal_lm.call_with_cache(token_ids, state, position)
        return self._known(logits)[:, 0], state

    def _known(self, logits):
        return tf.cast(logits[..., : self.vocabulary_size], tf.float32)

    def get_config(self) -> dict[str, Any]:
        names = ("task", "vocabulary_size", "pad_id", "start_id", "end_id", "other_end_ids")
        backbone = keras.saving.serialize_keras_object(self.backbone)
        return {**super().get_config(), "backbone": backbone, **{name: getattr(self, name) for name in names}}


def language_model(path: str, vocabulary_size: int, **ids: int) -> KerasHubLanguageModel:
    """Loads a KerasHub language model under the current dtype policy.

    Args:
        path: a preset name or a folder in KerasHub or Hugging Face layout.
        vocabulary_size: of the tokenizer.
        ids: `pad_id`, `start_id`, `end_id`.

    Raises:
        ConfigError: it is not a language model, or its cache has another form.
    """
    keras_hub = require("keras_hub", "train")
    try:
        loaded = keras_hub.models.CausalLM.from_preset(path, preprocessor=None, dtype=keras.config.dtype_policy().name)
    except Exception as error:  # KerasHub raises many kinds of errors for a preset that is no language model
        raise ConfigError(
            f"model.path: {path!r} holds no language model that KerasHub can load "
            f"({' '.join(str(error).split())[:300]}); expected GPT-2, Llama, Mistral, Qwen, Gemma, OPT or the like"
        ) from error
    parameters = (
        list(inspect.signature(loaded.call_with_cache).parameters) if hasattr(loaded, "call_with_cache") else []
    )
    if tuple(parameters[:3]) != STEP or set(loaded.backbone.input) != {"token_ids", "padding_mask"}:
        raise ConfigError(
            f"model.path: {path!r} holds a {type(loaded).__name__}, which reads more than text or keeps another kind "
            "of cache; expected a language model of text such as GPT-2, Llama, Gemma or OPT"
        )
    task = keras.saving.get_registered_name(type(loaded))
    return KerasHubLanguageModel(loaded.backbone, task, vocabulary_size, name="generator", **ids)
