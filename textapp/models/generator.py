"""The text generation model, for translation and language models: embeddings, encoder (optional), decoder, logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from textapp.config import ModelConfig, Role
from textapp.layers import PaddingMask, TokenEmbedding, TransformerDecoder
from textapp.layers.cache import Cache, Recent
from textapp.layers.shapes import axis_size, row_at
from textapp.text.template import END_ID


@dataclass(frozen=True)
class GeneratorSettings:
    """What task and tokenizer ask of a generative model.

    Attributes:
        vocabulary_size: of the side that is generated.
        pad_id: the id that fills a batch up, on the right.
        start_id: what a translator's decoder reads first.
        end_id: ends a text.
        max_length: maximum number of tokens that the decoder reads.
        source_vocabulary_size: of the side that is read; None: both sides share one vocabulary and one table.
        max_source_length: the longest source in tokens; None: a language model.
        never_ids: tokens that a model trained from scratch does not generate.
        other_end_ids: further tokens that end a text, of a preset.
    """

    vocabulary_size: int
    pad_id: int
    start_id: int
    end_id: int
    max_length: int
    source_vocabulary_size: int | None = None
    max_source_length: int | None = None
    never_ids: Sequence[int] = ()
    other_end_ids: Sequence[int] = ()

    @property
    def role(self) -> Role:
        return "decoder" if self.max_source_length is None else "encoder-decoder"


def assembled(
    config: ModelConfig,
    settings: GeneratorSettings,
    embedding_dim: int,
    decoder: Callable[[Any, int, int | None], keras.layers.Layer],
    memory_encoder: Callable[[Any, int], keras.layers.Layer],
    scaled: bool = False,
) -> Generator:
    """The model of an architecture out of its encoder and its decoder.

    Args:
        config: the model part of a resolved config.
        settings: what task and tokenizer ask of it.
        embedding_dim: numbers per token.
        decoder: config, longest text and width of the memory (None: there is none) to a decoder.
        memory_encoder: config and longest source to an encoder.
        scaled: see `Generator`.
    """
    encoder, memory_dim = None, None
    if settings.max_source_length is not None:
        encoder = memory_encoder(config, settings.max_source_length)
        memory_dim = encoder.compute_output_shape((None, None, embedding_dim))[-1]
    return Generator(
        decoder(config, settings.max_length, memory_dim),
        settings.vocabulary_size,
        embedding_dim,
        settings.pad_id,
        settings.start_id,
        settings.end_id,
        encoder=encoder,
        source_vocabulary_size=settings.source_vocabulary_size,
        tie_embeddings=bool(config.tie_embeddings),
        scaled=scaled,
        never_ids=settings.never_ids,
        name="generator",
    )


@keras.saving.register_keras_serializable(package="textapp")
class Generator(keras.Model):
    """An encoder-decoder, or a decoder alone (a language model), that gives the logits of the next token.

    Args:
        decoder: a layer with a call, `begin` and `step`, such as `TransformerDecoder`.
        vocabulary_size: size of the target vocabulary.
        embedding_dim: size of a token embedding; with `tie_embeddings` also of the decoder's output.
        pad_id: the padding id.
        start_id: the first input of the decoder of an encoder-decoder.
        end_id: ends a text.
        encoder: a layer that takes embedded tokens and their padding mask and returns a memory; None: a language model.
        source_vocabulary_size: size of the source vocabulary; None: source and target share vocabulary and table.
        tie_embeddings: the token embeddings are also the weights of the output layer (Press and Wolf, 2017).
        scaled: token embeddings are multiplied by the square root of `embedding_dim` (Vaswani et al., 2017).
        never_ids, other_end_ids: tokens that are never generated, and that end a text; see `greedy_loop`.

    Attributes:
        loops_copy: whether `step` returns whole caches instead of rows, so that a decoding loop copies them.
        output_rotation: `[embedding_dim, embedding_dim]`, and `output_scale`, a number: what the decoder's output is
            multiplied by, and their sum taken, before a tied table; set by an export, see `textapp.models.outliers`.

    Call arguments:
        features: `token_ids` `[batch, source length]` and `target_ids` `[batch, length]`; for a language model
            `token_ids` `[batch, length]`, and `segment_ids` of the same shape where a row holds several texts.

    Returns:
        logits `[batch, length, vocabulary_size]` float32, at each position those of the next token.
    """

    loops_copy = False
    output_rotation: tf.Variable | None = None
    output_scale = 0.0

    def __init__(
        self,
        decoder: keras.layers.Layer,
        vocabulary_size: int,
        embedding_dim: int,
        pad_id: int,
        start_id: int,
        end_id: int = END_ID,
        encoder: keras.layers.Layer | None = None,
        source_vocabulary_size: int | None = None,
        tie_embeddings: bool = True,
        scaled: bool = True,
        never_ids: Sequence[int] = (),
        other_end_ids: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.decoder, self.encoder = _layer(decoder), _layer(encoder)
        self.vocabulary_size, self.embedding_dim = vocabulary_size, embedding_dim
        self.source_vocabulary_size = source_vocabulary_size
        self.pad_id, self.start_id, self.end_id = pad_id, start_id, end_id
        self.tie_embeddings, self.scaled = tie_embeddings, scaled
        self.never_ids, self.other_end_ids = tuple(never_ids), tuple(other_end_ids)
        normal = keras.initializers.RandomNormal(stddev=embedding_dim**-0.5 if scaled else 0.02)
        policy = self.dtype_policy
        self.token_embedding = TokenEmbedding(
            vocabulary_size, embedding_dim, initializer=normal, name="token_embedding", dtype=policy
        )
        self.source_embedding = self.token_embedding
        if encoder is not None and source_vocabulary_size is not None:
            self.source_embedding = TokenEmbedding(
                source_vocabulary_size, embedding_dim, initializer=normal, name="source_embedding", dtype=policy
            )
        self.output_projection = None
        if not tie_embeddings:
            self.output_projection = keras.layers.Dense(
                vocabulary_size, use_bias=False, name="output_projection", dtype=policy
            )
        self.padding_mask = PaddingMask(pad_id, name="padding_mask", dtype=policy)
        self._build_layers()

    @property
    def has_encoder(self) -> bool:
        """Whether it is an encoder-decoder; else it is a language model."""
        return self.encoder is not None

    def _build_layers(self) -> None:
        """Creates the weights at once and not at the first call, as all shapes are known."""
        embedded = (None, None, self.embedding_dim)
        memory = None if self.encoder is None else self.encoder.compute_output_shape(embedded)
        _build(self.token_embedding, (None, None))
        _build(self.source_embedding, (None, None))
        _build(self.encoder, embedded, (None, None))
        _build(self.decoder, embedded, memory)
        _build(self.output_projection, self.decoder.compute_output_shape(embedded))
        self.built = True

    def call(self, features, training=None):
        if self.encoder is None:
            sequence = self._embedded(features["token_ids"], self.token_embedding)
            states = self.decoder(sequence, segment_ids=features.get("segment_ids"), training=training)
            return self._logits(states)
        memory, mask = self._encode(features["token_ids"], training)
        sequence = self._embedded(features["target_ids"], self.token_embedding)
        return self._logits(self.decoder(sequence, memory, mask, training=training))

    def begin(self, features, cache_length: int) -> tuple[tf.Tensor, tf.Tensor, Cache]:
        """Encodes a source or a prompt, and makes the inputs of the first step.

        Args:
            features: `token_ids` `[batch, length]`; for a language model also `num_tokens` `[batch]`.
            cache_length: tokens that the cache holds; for a language model the prompt included.

        Returns:
            the first token `[batch]` int32, its position (`[1]`, for a language model `[batch]`) int32, and the cache.
        """
        token_ids = features["token_ids"]
        if self.encoder is None:
            num_tokens = features["num_tokens"]
            prompt = self._embedded(token_ids, self.token_embedding)
            cache = self.decoder.begin(cache_length, prompt=prompt, num_tokens=num_tokens)
            return _at(token_ids, num_tokens - 1), num_tokens - 1, cache
        memory, mask = self._encode(token_ids)
        cache = self.decoder.begin(cache_length, memory, mask)
        batch = axis_size(token_ids, 0)
        return tf.fill([batch], self.start_id), tf.zeros([1], tf.int32), cache

    @property
    def reads_at_once(self) -> bool:
        """Whether it has `read`: a language model that needs no step for the last token of a prompt."""
        return self.encoder is None and isinstance(self.decoder, TransformerDecoder)

    def read(self, features, cache_length: int) -> tuple[tf.Tensor, Cache]:
        """Reads a prompt and predicts the token after it.

        Args:
            features, cache_length: as for `begin`.

        Returns:
            logits of the first new token, `[batch, vocabulary_size]` float32, and the cache.
        """
        prompt = self._embedded(features["token_ids"], self.token_embedding)
        vector, cache = self.decoder.read(cache_length, prompt, features["num_tokens"])
        return self._logits(vector), cache

    def step(self, token_id, position, cache: Cache, recent: Recent | None = None) -> tuple[tf.Tensor, Cache]:
        """Decodes one token or, in a language model whose cache has a row a token, a few that follow each other.

        Args:
            token_id: `[batch]` int32; several are `[batch, tokens]`.
            position: of the first token, `[1]` (the same for all rows) or `[batch]` int32; of several tokens `[1]`.
            cache: from `begin`, updated after each step; see `textapp.layers.cache.written`.
            recent: the latest tokens, where their rows are not in the cache.

        Returns:
            logits of the token after each, `[batch, vocabulary_size]` float32 or, of several,
            `[batch, tokens, vocabulary_size]`; and the row and states to write to the cache, or of several tokens the
            cache with their rows.
        """
        state, rows = self.decoder.step(self._embedded(token_id, self.token_embedding), position, cache, recent)
        return self._logits(state), rows

    def extend(self, token_ids, num_tokens, position, cache: Cache) -> tuple[tf.Tensor, Cache]:
        """Reads a few tokens that follow each other, as `step` does, and predicts the one after the last.

        Args:
            token_ids: `[batch, tokens]` int32.
            num_tokens: how many of them count, `[batch]` int32; the others are padding behind them.
            position, cache: as for `step`.

        Returns:
            logits `[batch, vocabulary_size]` float32, and the cache with the rows of all of them.
        """
        states, cache = self.decoder.step(self._embedded(token_ids, self.token_embedding), position, cache)
        return self._logits(tf.squeeze(row_at(states, num_tokens - 1), 1)), cache

    def round_tables(self) -> None:
        """Quantizes the embedding tables in place; see `TokenEmbedding.round_rows`."""
        self.token_embedding.round_rows()
        if self.source_embedding is not self.token_embedding:
            self.source_embedding.round_rows()

    def _encode(self, token_ids, training=None):
        mask = self.padding_mask(token_ids)
        sequence = self._embedded(token_ids, self.source_embedding)
        return self.encoder(sequence, mask, training=training), mask

    def _embedded(self, token_ids, embedding):
        vectors = embedding(token_ids)
        return vectors * self.embedding_dim**0.5 if self.scaled else vectors

    def _logits(self, states):
        if self.output_projection is not None:
            return tf.cast(self.output_projection(states), tf.float32)
        table = tf.cast(tf.convert_to_tensor(self.token_embedding.embeddings), states.dtype)
        flat = tf.reshape(states, [-1, self.embedding_dim])
        if self.output_rotation is not None:
            rotation = tf.cast(tf.convert_to_tensor(self.output_rotation), states.dtype)
            flat = self.output_scale * flat + tf.matmul(flat, rotation)
        logits = tf.cast(tf.matmul(flat, table, transpose_b=True), tf.float32)
        if len(states.shape) == 2:
            return logits
        return tf.reshape(logits, [-1, axis_size(states, 1), self.vocabulary_size])

    def get_config(self) -> dict[str, Any]:
        names = (
            "vocabulary_size", "source_vocabulary_size", "embedding_dim", "pad_id", "start_id", "end_id",
            "tie_embeddings", "scaled", "never_ids", "other_end_ids",
        )  # fmt: skip
        parts = {
            name: None if layer is None else keras.saving.serialize_keras_object(layer)
            for name, layer in (("decoder", self.decoder), ("encoder", self.encoder))
        }
        return {**super().get_config(), **{name: getattr(self, name) for name in names}, **parts}


def _layer(layer: Any) -> keras.layers.Layer | None:
    """A layer, deserialised if it is a config."""
    return keras.saving.deserialize_keras_object(layer) if isinstance(layer, dict) else layer


def _build(layer: keras.layers.Layer | None, *shapes: Any) -> None:
    """Builds a layer, unless there is none or it is built, as one loaded from a file is."""
    if layer is not None and not layer.built:
        layer.build(*shapes)


def _at(token_ids, position):
    """`token_ids[row, position[row]]` for each row, `[batch]`."""
    length = token_ids.shape[1]
    chosen = tf.cast(tf.equal(tf.range(length)[None, :], tf.expand_dims(position, 1)), tf.int32)
    return tf.reduce_sum(token_ids * chosen, axis=1)
