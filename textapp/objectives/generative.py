"""The objective that translation and generation share: loss, signatures, runner, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from textapp.arrays import spread
from textapp.artifact import SENTENCEPIECE_FILE, TARGET_TOKENIZER, TOKENIZER
from textapp.decoding.signatures import (
    CACHE,
    DECODE,
    EXTEND,
    GENERATE,
    SCORE,
    batch_name,
    extend_name,
    generate_name,
    prefill_name,
    several_name,
    step_caches,
)
from textapp.layers.greedy_loop import is_one_of
from textapp.metrics.generation import perplexity
from textapp.models.generator import Generator
from textapp.models.outliers import remove_outliers, round_to_int4
from textapp.objectives import decoding
from textapp.objectives.checks.generative import GenerativeCheck, rows_verified, share_verified
from textapp.objectives.language import make_loss
from textapp.objectives.objective import Loss, Objective
from textapp.objectives.serving import any_length, any_rows, compiled
from textapp.objectives.signature import Signature, TextSignature
from textapp.objectives.text_in_graph import check_text_signature, sentencepiece
from textapp.predictors.generative import GenerativePredictor
from textapp.prepared import Prepared
from textapp.runners.keras import KerasRunner
from textapp.tasks.generative import GenerativeTask
from textapp.tasks.task import Record

# Tokens that a language model reads at once behind others. The int8 kernels of x86 compute five rows at once.
# A model of fewer weights than this computes for longer than it reads them, so its steps would become slower.
SEVERAL = 5
PLACES = 64  # of a shorter cache, or a multiple
EXTENDS = 32  # tokens of a new turn that it reads at once, in about the time of two passes over five
MIN_WEIGHTS_OF_SEVERAL = 50_000_000
INT8_REFUSED = (
    "quantize int8 needs the ranges of all activations, and the converter finds none inside the decoding loop: take "
    "dynamic, whose weights are int8, too"
)


class GenerativeObjective(Objective):
    """See `Objective`. Base class: each task adds its model, batches and checks.

    Attributes:
        measure: the figure that `max_drop` of an export limits.
        scored: the figures of the score that an export reports, besides perplexity.
    """

    quantizations = ("none", "float16", "dynamic", "int4")
    refusals = {"int8": INT8_REFUSED}
    decodes = True
    measure: str
    scored: tuple[str, ...] = ()

    def build(self, prepared: Prepared) -> keras.Model:
        """See `Objective`."""
        return self._build(prepared, inference=False)

    def build_inference(self, prepared: Prepared) -> keras.Model:
        """See `Objective`."""
        return self._build(prepared, inference=True)

    def _build(self, prepared: Prepared, inference: bool) -> keras.Model:
        raise NotImplementedError

    def loss(self, prepared: Prepared) -> Loss:
        """See `Objective`."""
        return make_loss(prepared.config.training.label_smoothing)

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """The scores of the answers, and the loss and the perplexity of the references."""
        predictor = self.predictor(model, prepared.task)
        texts = perplexity(predictor.score_texts(records))
        scores = prepared.task.score(records, predictor.batch(records))
        return {**scores, "loss": texts["loss"], "perplexity": texts["perplexity"]}

    def predictor(self, model: keras.Model, task: GenerativeTask) -> GenerativePredictor:
        """A predictor over a model in memory; later changes of its weights take effect."""
        return task.predictor(self.runner(model, task), {}, Path())

    def runner(self, model: Generator, task: GenerativeTask) -> KerasRunner:
        """`generate_<S>_<N>`, `prefill_<S>`, `decode`, and `score` for given texts."""
        pairs = task.generate_lengths
        caches = step_caches(pairs, model.has_encoder, task.lengths[-1])

        def score(inputs: dict[str, Any]) -> dict[str, Any]:
            features = {name: values for name, values in inputs.items() if name != "targets"}
            return decoding.score(model, features, inputs["targets"])

        calls = {generate_name(read, new): partial(decoding.generate, model, new=new) for read, new in pairs}
        for read, _ in pairs:
            calls[prefill_name(read)] = partial(
                decoding.prefill, model, cache_length=caches.cache, memory_length=caches.memory
            )
        return KerasRunner({**calls, DECODE: partial(decoding.decode, model), SCORE: score}, open_lengths=(SCORE,))

    def export_task(self, task: GenerativeTask, records: Sequence[Record]) -> GenerativeTask:
        """The task of the run: more signatures would cost memory and start-up time."""
        return task

    def signatures(self, model: Generator, task: GenerativeTask, batch_size: int = 1) -> list[Signature]:
        """The signatures for one text, and for batches.

        `generate_<S>_<N>`: `token_ids` `[1, S]` (for a language model also `num_tokens` `[1]`) to `token_ids` `[1, N]`,
        `num_tokens` `[1]` and `score` `[1]`. `prefill_<S>`: the same inputs to `logits` `[1, vocabulary]` of the first
        new token, and the cache. `decode`: `token_id` `[1]`, `position` `[1]` and the cache to `logits` and the changed
        entries. Of a language model, `decode_<tokens>`: `token_ids` `[1, tokens]`, `position` of the first of them and
        the cache to `logits` `[1, tokens, vocabulary]` and the changed cache; `decode_<tokens>_<places>`: the same with
        the first places of the cache alone; `extend_<tokens>`: the same with the whole, and with `num_tokens` `[1]`, to
        `logits` `[1, vocabulary]` after the last. With a `batch_size` above 1 also `batch_<rows>_generate_<S>_<N>`; the
        last sources of such a batch may be empty, all padding.
        """
        pairs = sorted(task.generate_lengths)
        caches = step_caches(pairs, model.has_encoder, task.lengths[-1])
        steps = {"cache_length": caches.cache, "memory_length": caches.memory}
        # Outputs of a language model have similar lengths; those of a translator are batched continuously.
        batched = decoding.generate_queued if model.has_encoder else decoding.generate
        generates = [
            Signature(
                batch_name(generate_name(read, new), rows),
                _inputs(model, read, rows),
                partial(decoding.generate if rows == 1 else batched, model, new=new),
            )
            for rows in sorted({1, batch_size})
            for read, new in pairs
        ]
        prefills = [
            Signature(prefill_name(read), _inputs(model, read), partial(decoding.prefill, model, **steps))
            for read in dict(pairs)
        ]
        cache = _cache_shapes(prefills[0])
        inputs = {"token_id": (1,), "position": (1,), **cache}
        several = []
        if _reads_several(model, cache):
            tokens = {"token_ids": (1, SEVERAL), "position": (1,)}
            read_more = partial(decoding.read_more, model)
            several = [Signature(several_name(SEVERAL), tokens | cache, read_more)]
            places = _short_places(pairs, caches.cache)
            if places:
                short = {name: (*shape[:2], places, *shape[3:]) for name, shape in cache.items()}
                several.append(Signature(several_name(SEVERAL, places), tokens | short, read_more))
            if all(shape[2] >= EXTENDS for shape in cache.values()):
                tokens = {"token_ids": (1, EXTENDS), "num_tokens": (1,), "position": (1,), **cache}
                several.append(Signature(extend_name(EXTENDS), tokens, partial(decoding.extend, model)))
        return [*generates, *prefills, Signature(DECODE, inputs, partial(decoding.decode, model)), *several]

    def served_signatures(self, model: Generator, task: GenerativeTask) -> list[Signature]:
        """Signatures for any number of rows, and `generate`, which takes ids of any length."""
        one_text = self.signatures(model, task)
        of_one_row = f"{DECODE}_", f"{EXTEND}_"
        signatures = [any_rows(signature) for signature in one_text if not signature.name.startswith(of_one_row)]
        loops = [compiled(signature) for signature in signatures if signature.name.startswith(GENERATE)]
        steps = [signature for signature in signatures if not signature.name.startswith(GENERATE)]
        return [*loops, *steps, any_length(loops, model.pad_id)]

    def text_signature(self, task: GenerativeTask, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        """`text`: strings `[batch]` to the outputs `text`, equal to those of a predictor, and their `score`."""
        check_text_signature([task.tokenizer, task.target_tokenizer])
        source = sentencepiece(run_folder / TOKENIZER / SENTENCEPIECE_FILE)
        target_path = run_folder / TARGET_TOKENIZER / SENTENCEPIECE_FILE
        target = sentencepiece(target_path) if target_path.is_file() else source
        return TextSignature(self._text_call(task, served[-1], source, target), [source, target])

    def _text_call(
        self, task: GenerativeTask, generate: Signature, source: Any, target: Any
    ) -> Callable[[Any], dict[str, Any]]:
        """A function from strings to strings, of `generate` and TF-Text's tokenizers of both sides."""
        raise NotImplementedError

    def quantize_model(
        self, model: Generator, quantize: str, task: GenerativeTask, records: Sequence[Record]
    ) -> dict[str, Any] | None:
        """With `dynamic` and `int4`, a language model's outliers go, and the token table becomes int8 rows.

        With `int4` the kernels of Dense layers are rounded to its grid.
        """
        if quantize not in ("dynamic", "int4"):
            return None
        texts = [] if model.has_encoder else _texts(task, records)
        done = (round_to_int4 if quantize == "int4" else remove_outliers)(model, texts)
        model.round_tables()
        return done

    def check(
        self, model: Generator, task: GenerativeTask, records: Sequence[Record], max_drop: float, batch_size: int = 1
    ) -> GenerativeCheck:
        """See `Objective`."""
        share = share_verified(model.count_params())
        records = self._check_records(task, records, rows_verified(share))
        if share < 1.0:
            records = spread(records, rows_verified(share) * len(task.generate_lengths))
        runner = self.runner(model, task)
        check = GenerativeCheck(runner, task, records, self.measure, max_drop, batch_size, share, self.scored)
        if share < 1.0:
            runner.forget()
        return check

    def _check_records(self, task: GenerativeTask, records: Sequence[Record], min_count: int) -> list[Record]:
        """The records to verify on, made of those of the data.

        Args:
            task: of the run.
            records: of the data.
            min_count: for each signature, if texts are divided.
        """
        return list(records)


def _reads_several(model: Generator, cache: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether an export has a signature that reads several tokens at once, for prompt lookup and for new turns.

    Each token has to have a row of its own in the cache: a state that a token replaces could not be taken back.
    """
    if model.has_encoder or model.loops_copy or model.count_params() < MIN_WEIGHTS_OF_SEVERAL:
        return False
    return all(len(shape) == 4 and shape[2] >= SEVERAL for shape in cache.values())


def _short_places(pairs: Sequence[tuple[int, int]], context: int) -> int | None:
    """The places of a shorter cache, for texts of the longest pair that is at most half of the context; or None.

    A step of a chat looks at all places of the cache, also at empty ones, which takes as long as reading the weights of
    a small language model. A further graph pays where it leaves out half of them. It has room for the padding of the
    last tokens, and whole blocks of places, so that sums have the order that they have over the whole cache.

    Args:
        pairs: `(read, new)` of the greedy signatures: the texts that are expected.
        context: places of the cache.
    """
    longest = max((read + new for read, new in pairs if 2 * (read + new) <= context), default=None)
    if longest is None:
        return None
    places = -(-(longest + SEVERAL - 1) // PLACES) * PLACES
    return places if places < context else None


def _texts(task: GenerativeTask, records: Sequence[Record]) -> list[list[int]]:
    """The ids of texts with their prompts, as a language model reads them."""
    longest = task.lengths[-1]
    return [[task.start_id, *task.target_ids(record)][:longest] for record in records]


def _inputs(model: Generator, length: int, rows: int = 1) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the inputs; a prompt needs its number of tokens, as the padding id may occur in it."""
    return {"token_ids": (rows, length)} if model.has_encoder else {"token_ids": (rows, length), "num_tokens": (rows,)}


def _cache_shapes(prefill: Signature) -> dict[str, tuple[int, ...]]:
    """The shapes of what a prefill returns; run once, because tracing 30 layers takes longer than a short prompt."""
    outputs = prefill.call({name: tf.ones(spec.shape, spec.dtype) for name, spec in prefill.specs().items()})
    return {name: tuple(value.shape) for name, value in outputs.items() if name.startswith(CACHE)}


def until_end(outputs: dict[str, Any], end_ids: Sequence[int]) -> tf.RaggedTensor:
    """The generated ids without those that end a text, ragged `[batch, None]`."""
    ids = tf.RaggedTensor.from_tensor(outputs["token_ids"], lengths=tf.cast(outputs["num_tokens"], tf.int64))
    return tf.ragged.boolean_mask(ids, tf.logical_not(is_one_of(ids, end_ids)))
