"""What a student learns from a teacher, by kind of model: which answers are kept, in which rows, and the loss by them.

A lesson is made twice: of the data as the teacher reads it, whose `answers` are stored, and of the same data as the
student reads it, whose batches and loss take them. Both have the same rows in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from textapp.arrays import IGNORED
from textapp.batches.pipeline import TOKENS, Batch, BatchSource, evaluation_batches
from textapp.batches.tables import positions_of
from textapp.batches.taught import TEACHER, TaughtBatches
from textapp.errors import ConfigError
from textapp.layers.hidden_states import with_hidden_states
from textapp.layers.masking import NEVER
from textapp.objectives import decoding
from textapp.objectives.objective import Loss
from textapp.prepared import Prepared
from textapp.records.cache import lengths_of
from textapp.tasks.task import Record

Answers = Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]
Arrays = Mapping[str, tuple[tuple[int, ...], type]]
TEMPERATURE, ALPHA = 2.0, 0.7
TOP = 32  # tokens of a language model's distribution that are kept
LARGEST = 60000.0  # below the largest float16
TOKENS_AT_ONCE, FLOATS_AT_ONCE = 16384, 2**26  # of a batch of the teacher, in its inputs and in its logits
STEP = 64  # the lengths of such a batch are multiples of it


class Mix(NamedTuple):
    """How the losses are mixed.

    Attributes:
        temperature: divides the logits of both, so that small probabilities count (Hinton et al., 2015).
        alpha: share of the teacher's loss; the rest is that of the labels.
        hidden_states: weight of a third one, the distance of the hidden states; 0: there is none.
    """

    temperature: float = TEMPERATURE
    alpha: float = ALPHA
    hidden_states: float = 0.0


class Lesson(Protocol):
    """What a student learns from.

    Attributes:
        rows: number of rows of answers.
        items: what a row is, for messages: `texts`.
        arrays: name -> shape and type of a row.
        mixes: whether the answers are logits, so that temperature and labels take part.
    """

    rows: int
    items: str
    arrays: Arrays
    mixes: bool

    def answers(self, model: keras.Model) -> Answers:
        """Yields numbers of rows `[n]`, and what the teacher says there by name, `[n, ...]`; each row once."""

    def batches(self, stored: Mapping[str, np.ndarray]) -> BatchSource:
        """The training batches, with the answers."""

    def loss(self, mix: Mix, teacher: Callable[..., Any] | None = None) -> Loss:
        """A function from such a batch and the student's outputs to losses `[rows]`.

        Args:
            mix: with a weight of hidden states the outputs are what `with_hidden_states` returns.
            teacher: reads each batch beside the student; for hidden states only.
        """


def no_unlabelled(prepared: Prepared, unlabelled: Sequence[Record]) -> None:
    """Checks that there are no records without labels.

    Raises:
        ConfigError: there are.
    """
    if unlabelled:
        raise ConfigError(
            f"unlabelled: found {len(unlabelled):,} texts, but only a classifier learns from texts without a label: "
            f"leave the key out for a model of {prepared.task.name}"
        )


# --- logits --------------------------------------------------------------------------------------------------------


class _Logits:
    """Lessons of logits: T² times the Kullback-Leibler divergence from the teacher's distribution to the student's.

    Args:
        source: the training batches.
        own: the loss by the labels.
    """

    mixes = True

    def __init__(self, source: Any, own: Loss) -> None:
        self._source, self._own = source, own

    def batches(self, stored: Mapping[str, np.ndarray]) -> TaughtBatches:
        """See `Lesson`."""
        return TaughtBatches(self._source, stored, self._places)

    def loss(self, mix: Mix, teacher: Callable[..., Any] | None = None) -> Loss:
        """`alpha * T² * KL + (1 - alpha) * the loss by the labels`; where there is no label, the first term alone.

        With hidden states, plus their weight times the mean of `state_distance` over the tokens that count.
        """

        def of_batch(batch: Batch, outputs: Any) -> Any:
            soft = mix.alpha * mix.temperature**2 * self._divergence(batch, outputs, mix.temperature)
            return soft if mix.alpha == 1 else soft + (1 - mix.alpha) * self._by_labels(batch, outputs)

        def with_states(batch: Batch, found: tuple[Any, Sequence[Any]]) -> Any:
            assert teacher is not None
            outputs, student = found
            _, states = with_hidden_states(teacher, batch["features"])
            distances = state_distance([tf.stop_gradient(each) for each in states], student)
            return of_batch(batch, outputs) + mix.hidden_states * _mean(distances, self._counted(batch))

        return with_states if mix.hidden_states else of_batch

    def _by_labels(self, batch: Batch, outputs: Any) -> Any:
        return self._own(batch, outputs)

    def _places(self, batch: Batch) -> tf.Tensor:
        raise NotImplementedError

    def _counted(self, batch: Batch) -> Any:
        """1.0 for each token whose hidden states count, `[rows, length]`."""
        raise NotImplementedError

    def _divergence(self, batch: Batch, outputs: Any, temperature: float) -> Any:
        raise NotImplementedError


class LabelLesson(_Logits):
    """Of a classifier: the logits of each text.

    Args:
        source, own: see `_Logits`; the texts with labels are the first ones.
        features: of all texts, input name -> int32 arrays `[tokens]`.
        lengths: the buckets.
        pad_id: the padding id.
        classes: number of labels.
        multiple: a text may have several: a distribution for each label, and the mean of their divergences.
        labelled: number of the texts with labels.
    """

    def __init__(
        self, source: Any, own: Loss, features: Mapping[str, Sequence[np.ndarray]], lengths: Sequence[int],
        pad_id: int, classes: int, multiple: bool, labelled: int,
    ) -> None:  # fmt: skip
        super().__init__(source, own)
        self._features, self._lengths, self._pad_id = features, lengths, pad_id
        self._multiple, self._labelled = multiple, labelled
        self.rows, self.items = len(features[TOKENS]), "texts"
        self.arrays: Arrays = {"logits": ((classes,), np.float16)}

    def answers(self, model: keras.Model) -> Answers:
        """See `Lesson`."""
        call, rows = _compiled(model), max(1, TOKENS_AT_ONCE // self._lengths[-1])
        for chosen, features in evaluation_batches(self._features, self._lengths, self._pad_id, rows):
            yield chosen, {"logits": _kept(call(features))}

    def _counted(self, batch: Batch) -> Any:
        return _present(batch, self._pad_id)

    def _places(self, batch: Batch) -> tf.Tensor:
        return batch["rows"]

    def _divergence(self, batch: Batch, outputs: Any, temperature: float) -> Any:
        return label_divergence(batch[TEACHER]["logits"], outputs, temperature, self._multiple)

    def _by_labels(self, batch: Batch, outputs: Any) -> Any:
        return self._own(batch, outputs) * tf.cast(batch["rows"] < self._labelled, tf.float32)


class SpanLesson(_Logits):
    """Of a reader: for each token of each window the logits to be the first and the last token of the answer.

    Args:
        source, own, lengths, pad_id: see `LabelLesson`.
        features: of all windows.
        has_start: see `span_mask`.
    """

    def __init__(
        self, source: Any, own: Loss, features: Mapping[str, Sequence[np.ndarray]], lengths: Sequence[int],
        pad_id: int, has_start: bool,
    ) -> None:  # fmt: skip
        super().__init__(source, own)
        self._features, self._lengths, self._pad_id, self._has_start = features, lengths, pad_id, has_start
        self._starts = np.concatenate([[0], np.cumsum(lengths_of(features[TOKENS]), dtype=np.int64)])
        self.rows, self.items = int(self._starts[-1]), "tokens"
        self.arrays: Arrays = {"logits": ((2,), np.float16)}

    def answers(self, model: keras.Model) -> Answers:
        """See `Lesson`."""
        call, rows = _compiled(model), max(1, TOKENS_AT_ONCE // self._lengths[-1])
        for chosen, features in evaluation_batches(self._features, self._lengths, self._pad_id, rows):
            logits, length = _kept(call(features)), features[TOKENS].shape[1]
            positions = self._starts[chosen][:, None] + np.arange(length)
            inside = positions < self._starts[chosen + 1][:, None]
            yield positions[inside], {"logits": logits[inside]}

    def _counted(self, batch: Batch) -> Any:
        return _present(batch, self._pad_id)

    def _places(self, batch: Batch) -> tf.Tensor:
        return positions_of(tf.constant(self._starts), batch["rows"], tf.shape(batch["features"][TOKENS])[1])

    def _divergence(self, batch: Batch, outputs: Any, temperature: float) -> Any:
        mask = span_mask(batch["targets"], tf.shape(outputs)[1], self._has_start)[:, :, None]
        teacher = tf.cast(batch[TEACHER]["logits"], tf.float32) / temperature + mask
        student = outputs / temperature + mask
        return tf.reduce_mean(divergence(teacher, student, axis=1), axis=-1)


class TokenLesson(_Logits):
    """Of a language model: the logits of the most probable next tokens after each token.

    Args:
        source, own: see `_Logits`.
        windows: the ids that the teacher reads together, int32 `[tokens]` each.
        starts: the place of each window's first token among all tokens.
        skipped: for each window the number of its first tokens whose answers another window gives, with more before.
        vocabulary_size: of the tokenizer; a teacher may have logits of more.
        pad_id: the padding id.
    """

    def __init__(
        self, source: Any, own: Loss, windows: Sequence[np.ndarray], starts: Sequence[int], skipped: Sequence[int],
        vocabulary_size: int, pad_id: int,
    ) -> None:  # fmt: skip
        super().__init__(source, own)
        self._windows, self._starts, self._skipped = windows, np.asarray(starts, np.int64), np.asarray(skipped)
        self._vocabulary_size, self._pad_id = vocabulary_size, pad_id
        self._top = min(TOP, vocabulary_size)
        self.rows, self.items = int(self._starts[-1]) + len(windows[-1]), "tokens"
        self.arrays: Arrays = {"ids": ((self._top,), np.int32), "logits": ((self._top,), np.float16)}

    def answers(self, model: keras.Model) -> Answers:
        """The largest logits, less the largest of all, and their ids, in descending order."""

        @partial(tf.function, reduce_retracing=True)
        def top(features: Mapping[str, Any]) -> Any:
            logits = tf.cast(model(dict(features), training=False), tf.float32)[:, :, : self._vocabulary_size]
            values, ids = tf.math.top_k(logits, self._top)
            return values - values[:, :, :1], ids

        longest = -(-max(map(len, self._windows)) // STEP) * STEP
        lengths = list(range(STEP, longest + 1, STEP))
        rows = max(1, min(TOKENS_AT_ONCE, FLOATS_AT_ONCE // self._vocabulary_size) // longest)
        for chosen, features in evaluation_batches({TOKENS: self._windows}, lengths, self._pad_id, rows):
            limit = max(len(self._windows[row]) for row in chosen)  # a model may have no positions beyond its context
            logits, ids = top({TOKENS: features[TOKENS][:, :limit]})
            for row, values, tokens in zip(chosen, _kept(logits), ids.numpy(), strict=True):
                first, last = self._skipped[row], len(self._windows[row])
                yield (
                    self._starts[row] + np.arange(first, last),
                    {"ids": tokens[first:last], "logits": values[first:last]},
                )

    def _counted(self, batch: Batch) -> Any:
        return tf.cast(tf.not_equal(batch["targets"], IGNORED), tf.float32)  # as for the logits

    def _places(self, batch: Batch) -> tf.Tensor:
        return batch["positions"]

    def _divergence(self, batch: Batch, outputs: Any, temperature: float) -> Any:
        answers = batch[TEACHER]
        losses = token_divergence(answers["logits"], answers["ids"], outputs, temperature)
        return _mean(losses, self._counted(batch))


def divergence(teacher: Any, student: Any, axis: int = -1) -> Any:
    """The Kullback-Leibler divergence from the softmax of the teacher's logits to that of the student's.

    Args:
        teacher, student: logits of one shape.
        axis: of the distributions, which the result has not.

    Example: `divergence([0.0, 0.0], [0.0, math.log(3)])` is 0.144: `0.5 * ln(0.5 / 0.25) + 0.5 * ln(0.5 / 0.75)`.
    """
    log_teacher, log_student = tf.nn.log_softmax(teacher, axis), tf.nn.log_softmax(student, axis)
    return tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_student), axis)


def label_divergence(teacher: Any, student: Any, temperature: float, multiple: bool) -> Any:
    """The divergence of the distributions over labels, at a temperature.

    Args:
        teacher, student: logits `[rows, classes]`.
        temperature: divides both.
        multiple: each label is a distribution of its own, by a sigmoid; the result is the mean over the labels.

    Returns:
        `[rows]` float32.
    """
    teacher, student = tf.cast(teacher, tf.float32) / temperature, tf.cast(student, tf.float32) / temperature
    if not multiple:
        return divergence(teacher, student)
    shares = tf.sigmoid(teacher)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(shares, student)
    return tf.reduce_mean(losses - tf.nn.sigmoid_cross_entropy_with_logits(shares, teacher), axis=-1)


def token_divergence(teacher: Any, ids: Any, student: Any, temperature: float) -> Any:
    """The divergence from a distribution over a few tokens, which have all of it, to one over the vocabulary.

    Args:
        teacher: logits of these tokens `[..., top]`.
        ids: the tokens, int32 `[..., top]`.
        student: logits `[..., vocabulary]`.
        temperature: divides both.

    Returns:
        `[...]` float32.
    """
    log_teacher = tf.nn.log_softmax(tf.cast(teacher, tf.float32) / temperature)
    student = tf.cast(student, tf.float32) / temperature
    chosen = tf.gather(student, ids, batch_dims=ids.shape.rank - 1)
    log_student = chosen - tf.reduce_logsumexp(student, axis=-1, keepdims=True)
    return tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_student), axis=-1)


def span_mask(targets: Any, length: Any, has_start: bool) -> Any:
    """0 where an answer may begin and end, and at the position of no answer; else a large negative number.

    Args:
        targets: int32 `[rows, 4]`, of which the last two are where the context begins and ends.
        length: of the rows.
        has_start: no answer is the first position; else the one before the context.

    Returns:
        float32 `[rows, length]`, to add to logits.
    """
    begin, end = targets[:, 2:3], targets[:, 3:4]
    positions = tf.range(length)[None, :]
    null = tf.zeros_like(begin) if has_start else begin - 1
    return tf.where(((positions >= begin) & (positions < end)) | (positions == null), 0.0, NEVER)


def _present(batch: Batch, pad_id: int) -> Any:
    return tf.cast(tf.not_equal(batch["features"][TOKENS], pad_id), tf.float32)


def _mean(losses: Any, counted: Any) -> Any:
    """The mean over the tokens that count: `[rows, length]` to `[rows]`, 0 if none does."""
    return tf.math.divide_no_nan(tf.reduce_sum(losses * counted, axis=1), tf.reduce_sum(counted, axis=1))


def _compiled(model: keras.Model) -> Any:
    return tf.function(lambda features: model(dict(features), training=False), reduce_retracing=True)


def _kept(logits: Any) -> np.ndarray:
    """Logits as they are stored: float16, whose range masked ones would leave."""
    return np.clip(logits.numpy(), -LARGEST, LARGEST).astype(np.float16)


# --- hidden states -------------------------------------------------------------------------------------------------


def state_distance(teacher: Sequence[Any], student: Sequence[Any]) -> Any:
    """The mean squared distance between hidden states of length 1 (Sun et al., 2019), over the layers of the student.

    Args:
        teacher, student: the states of each layer, `[batch, length, hidden_dim]`.

    Returns:
        `[batch, length]` float32, from 0 (the same direction) to 4 (opposite ones): it is 2 - 2 cos.

    Example: `state_distance([[[[2.0, 0.0]]]], [[[[0.0, 5.0]]]])` is `[[2.0]]`.
    """
    chosen = [teacher[layer] for layer in matching_layers(len(student), len(teacher))]
    distances = [
        tf.reduce_sum(tf.math.squared_difference(_of_length_one(one), _of_length_one(other)), axis=-1)
        for one, other in zip(chosen, student, strict=True)
    ]
    return tf.add_n(distances) / len(distances)


def _of_length_one(states: Any) -> Any:
    return tf.math.l2_normalize(tf.cast(states, tf.float32), axis=-1)


def matching_layers(student: int, teacher: int) -> list[int]:
    """The teacher's layer, from 0, for each layer of a student: at equal distances, the last for the last.

    Example: `matching_layers(2, 6)` is `[2, 5]`, as in TinyBERT (Jiao et al., 2020).
    """
    return [-(-layer * teacher // student) - 1 for layer in range(1, student + 1)]


# --- sequences -----------------------------------------------------------------------------------------------------


class SequenceLesson:
    """Of an encoder-decoder: the teacher's own outputs in place of the targets of the data (Kim and Rush, 2016).

    Args:
        sources: int32 `[tokens]` each, as the model reads them.
        targets: of the data; one stays where the teacher's output does not end.
        lengths: the buckets of the sources.
        pad_id: the padding id.
        new: maximum number of tokens of an output.
        end_ids: one of these is the last token of an output that ended.
        own: the loss of the task.
        make: makes the batches of these targets.
    """

    mixes = False

    def __init__(
        self, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], lengths: Sequence[int], pad_id: int,
        new: int, end_ids: Sequence[int], own: Loss, make: Any,
    ) -> None:  # fmt: skip
        self._sources, self._targets, self._lengths, self._pad_id = sources, targets, lengths, pad_id
        self._new, self._end_ids, self._own, self._make = new, end_ids, own, make
        self.rows, self.items = len(sources), "texts"
        self.arrays: Arrays = {"ids": ((new,), np.int32), "counts": ((), np.int32)}

    def answers(self, model: keras.Model) -> Answers:
        """The tokens of each output, its end id included, and their number; 0 for an output that did not end."""
        call = tf.function(partial(decoding.generate, model, new=self._new), reduce_retracing=True)
        rows = max(1, min(TOKENS_AT_ONCE // self._lengths[-1], 64))
        for chosen, features in evaluation_batches({TOKENS: self._sources}, self._lengths, self._pad_id, rows):
            found = call(features)
            ids, counts = found["token_ids"].numpy(), found["num_tokens"].numpy()
            ended = np.isin(ids[np.arange(len(ids)), np.maximum(counts - 1, 0)], self._end_ids)
            yield chosen, {"ids": ids, "counts": np.where(ended, counts, 0)}

    def batches(self, stored: Mapping[str, np.ndarray]) -> BatchSource:
        """See `Lesson`."""
        counts = np.asarray(stored["counts"])
        targets = [
            np.asarray(ids[:count]) if count else target
            for ids, count, target in zip(stored["ids"], counts, self._targets, strict=True)
        ]
        return self._make(targets)

    def loss(self, mix: Mix, teacher: Callable[..., Any] | None = None) -> Loss:
        """That of the task."""
        return self._own
