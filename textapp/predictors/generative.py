"""The predictor of models that generate text: decoding options, streaming, scores of given texts."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import padded
from textapp.decoding.beam import beam_search
from textapp.decoding.choices import Choices
from textapp.decoding.grammars import Grammar, matches
from textapp.decoding.greedy import Choose, Hypothesis, argmax_token, greedy_search, walk
from textapp.decoding.logits import Constraint, Rules
from textapp.decoding.lookup import GuessingSession
from textapp.decoding.options import GREEDY, DecodingOptions, decoding_options
from textapp.decoding.reading import Reading
from textapp.decoding.sampling import Sampler
from textapp.decoding.scoring import Window, scores, stepwise_log_probabilities
from textapp.decoding.signatures import SCORE, batch_name
from textapp.decoding.steps import Session, Stepping, open_session
from textapp.decoding.stopping import Stops, pieces
from textapp.errors import ArtifactError, DataError, OptionError, UsageError
from textapp.predictors.answer_forms import Forms, unfinished
from textapp.predictors.chat import ChatAnswer, chat_template, checked_messages, fitted, prompt_ids
from textapp.predictors.predictor import Predictor
from textapp.predictors.requests import TOKENS, Features, Request, stacked
from textapp.records.messages import Message
from textapp.untrusted import shown

if TYPE_CHECKING:
    from textapp.runners.runner import Outputs, Runner
    from textapp.tasks.generative import Generated, GenerativeTask
    from textapp.tasks.task import Record

log = logging.getLogger("textapp")


class GenerativePredictor(Predictor):
    """Translates texts, or continues them.

    Greedy decoding without further options is one call of `generate_*`, with the loop inside the graph; all other
    decoding is step by step, through `prefill_*` and `decode`. The options are those of `DecodingOptions`.

    Args:
        task, runner, manifest, path, workers: as for `Predictor`.

    Example:
        predictor = textapp.load("saved_models/tatoeba/exports/litert")
        predictor("今天天气很好。").output                      # 'The weather is nice today.'
        predictor("今天天气很好。", beam_size=4).score
        for piece in predictor.stream("今天天气很好。"):
            print(piece, end="", flush=True)
    """

    streams = True
    block = 256  # fewer than for labels, because a generated text takes far longer
    by_length = True  # rows of a call wait for the longest; inputs of similar length have outputs of similar length
    defaults = GREEDY
    task: GenerativeTask

    def __init__(
        self, task: GenerativeTask, runner: Runner, manifest: Mapping[str, Any], path: Path, workers: int = 1
    ) -> None:
        super().__init__(task, runner, manifest, path, workers)
        # Rows of the batch signatures, if the bundle was exported with them.
        self._batch_size = manifest.get("batch_size", 1)
        self._readings: list[tuple[int, Reading]] = []  # the last conversation and its process, at most one
        self._told_dropped = False
        self._forms = Forms(task)

    def stream(self, *values: Any, **options: Any) -> Iterator[str]:
        """Yields the answer piece by piece, as its tokens are generated.

        Joined, the pieces are the `output` of the same call; no character is split, and no part of a stop string
        is included.

        Args:
            values: as for a call.
            options: as for a call, except a beam.

        Raises:
            OptionError: `beam_size` is above 1; its output is known only at the end.
            DataError: at the end, if the answer was cut off before it had the form that was asked for.
        """
        fields, checked = self._fields_and_options(options)
        if checked.beam_size > 1:
            raise OptionError(
                f"beam_size {checked.beam_size}: the output is known only at the end: stream with beam_size 1",
                "beam_size",
            )
        return self._stream(self.record(*values, **fields), checked)

    def _stream(self, record: Record, options: DecodingOptions) -> Iterator[str]:
        features = self.task.features(record)
        rules = self._rules(record, features, options)
        steps: Iterator[tuple[int, float]] = iter(())
        if rules.max_new_tokens:
            runner = self._pool.borrow()
            try:
                session = self._session(runner, features)
            finally:
                self._pool.give_back(runner)  # other threads may take steps between ours
            steps = walk(*_chosen(session, features[TOKENS], rules, options))
        yield from _pieces(steps, rules, self._text_of(record), options, record[self.task.input_field])

    def chat(self, messages: Sequence[Message], template: str | None = None, **options: Any) -> ChatAnswer:
        """Answers the last message of a conversation.

        The text that the model reads is made by its chat template. Of a conversation that is too long the oldest turns
        are left out, unless the predictor was opened with `overflow="error"`. What two calls in turn have in common,
        the earlier turns, is read only once.

        Args:
            messages: `{"role": "user" or "assistant", "content": a text}` in turn, the last one of the user; the first
                one may be of the role `system`.
            template: a chat template in Jinja in place of the model's.
            options: as for a call, except a beam; at most as many new tokens as its longest signature writes.

        Raises:
            DataError: a message is not as expected, the template refuses it, the last one is too long, or the answer
                was cut off before it had the form that was asked for.
            OptionError: an option is not allowed.
            UsageError: the model has no chat template, or Jinja is not installed.

        Example:
            messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who wrote Faust?"}]
            answer = predictor.chat(messages)
            messages += [answer.message, {"role": "user", "content": "And when?"}]
        """
        checked, decoding = checked_messages(messages), self._chat_options(options)
        ids, dropped = self._prompt(checked, template, decoding)
        asked = checked[-1]["content"]
        return ChatAnswer(asked, "".join(self._chat(ids, decoding, asked)), dropped)

    def stream_chat(self, messages: Sequence[Message], template: str | None = None, **options: Any) -> Iterator[str]:
        """Yields the answer of `chat` piece by piece, as its tokens are generated.

        Args:
            messages, template, options: as for `chat`.

        Raises:
            DataError: as `chat`.
            OptionError: as `chat`.
            UsageError: as `chat`.
        """
        decoding = self._chat_options(options)
        checked = checked_messages(messages)
        ids, _ = self._prompt(checked, template, decoding)
        return self._chat(ids, decoding, checked[-1]["content"])

    def check_chat(self, template: str | None = None, **options: Any) -> None:
        """Checks that `chat` can be called with these arguments, before there are messages.

        Raises:
            OptionError: an option is not allowed.
            UsageError: the model has no chat template, or Jinja is not installed.
        """
        self._chat_options(options)
        chat_template(self.tokenizer, template, self.path)

    def answer(self, record: Record, outputs: Sequence[Outputs], options: DecodingOptions = GREEDY) -> Generated:
        """See `Predictor`; outputs are `token_ids` `[new]`, `num_tokens` `[]` and `score` `[]`.

        With several hypotheses each has one more dimension in front.

        Raises:
            DataError: the answer was cut off before it had the form that was asked for.
        """
        answer = self.task.answer(record, outputs)
        if options.form is not None and not matches(options.form, answer.output):
            count = int(np.ravel(outputs[0]["num_tokens"])[0])
            limit = self._limit(self.task.features(record), options)
            raise unfinished(options.form, answer.input, answer.output, count, limit)
        stops = Stops(options.stop)
        return answer.changed(lambda text: stops.cut(text)[0]) if options.stop else answer

    def options(self, given: Mapping[str, Any]) -> DecodingOptions:
        """Checks the decoding options of a call; see `DecodingOptions`.

        Raises:
            OptionError: an option is unknown or out of range.
        """
        options = decoding_options(given)
        options.check_vocabulary(self.task.target_tokenizer.vocabulary_size)
        limit = self.task.max_new_tokens
        for name in ("min_new_tokens", "max_new_tokens"):
            value = getattr(options, name)
            if value is not None and value > limit:
                raise OptionError(
                    f"{name} {value} exceeds the {limit} tokens that this model can generate: lower it", name
                )
        return options

    def figures(self, records: Sequence[Record]) -> dict[str, Any]:
        """Perplexity and loss of the reference texts; empty if the file has no signature for them."""
        from textapp.metrics.generation import perplexity, perplexity_intervals

        try:
            scored = self.score_texts(records)
        except ArtifactError as error:
            log.info("not measured: %s", error)
            return {}
        figures = {name: value for name, value in perplexity(scored).items() if name in self.task.text_measures}
        found = {name: ends for name, ends in perplexity_intervals(scored).items() if name in figures}
        return {**figures, "intervals": found}

    # --- a conversation ----------------------------------------------------------------------------------------------

    def _chat_options(self, given: Mapping[str, Any]) -> DecodingOptions:
        """Checks the decoding options of an answer in a conversation."""
        if not self.task.converses:
            raise UsageError(
                f"{self.path}: is a model of {self.task.name}, expected a language model: only those take messages"
            )
        options = self.options(given)
        if options.beam_size > 1:
            raise OptionError(f"beam_size {options.beam_size}: a chat takes no beam: leave it out", "beam_size")
        if self.task.room(self._longest_answer(options)) < 1:
            raise OptionError(
                f"max_new_tokens {options.max_new_tokens} leaves no room for messages in the model's context of "
                f"{self.task.room(0)} tokens: lower it",
                "max_new_tokens",
            )
        return options

    def _longest_answer(self, options: DecodingOptions) -> int:
        if options.max_new_tokens is not None:
            return options.max_new_tokens
        return max(options.min_new_tokens, *(new for _, new in self.task.generate_lengths))

    def _prompt(
        self, messages: Sequence[Message], template: str | None, options: DecodingOptions
    ) -> tuple[list[int], int]:
        """The token ids of a conversation that leaves room for an answer, and how many messages were left out."""
        known = chat_template(self.tokenizer, template, self.path)
        limit = self.task.room(self._longest_answer(options))
        truncate = self.task.overflow != "error"
        ids, dropped = fitted(messages, lambda some: prompt_ids(self.tokenizer, known, some), limit, truncate)
        if dropped and not self._told_dropped:
            self._told_dropped = True
            log.warning("the conversation is longer than %d tokens: its oldest turns are no longer read", limit)
        return ids, dropped

    def _chat(self, ids: list[int], options: DecodingOptions, asked: str) -> Iterator[str]:
        rules = self._rules_of(self._longest_answer(options), self.task.decode, options)
        if not rules.max_new_tokens and options.form is None:
            return
        reading = self._borrow_reading()
        reading.read(ids)
        steps = walk(*_chosen(reading, ids, rules, options))
        try:
            yield from _pieces(steps, rules, self.task.decode, options, asked)
        except (GeneratorExit, DataError):  # between two tokens; an interruption inside one may leave it half read
            self._readings[:] = [(os.getpid(), reading)]
            raise
        self._readings[:] = [(os.getpid(), reading)]

    def _borrow_reading(self) -> Reading:
        """What was read last, unless another thread goes on with it, or it belongs to the process before a fork."""
        with contextlib.suppress(IndexError):
            process, reading = self._readings.pop()
            if process == os.getpid():
                return reading
        return Reading(self._read_from_the_beginning, [read for read, _ in self.task.generate_lengths])

    def _read_from_the_beginning(self, ids: list[int]) -> Session:
        runner = self._pool.borrow()
        try:
            return self._session(runner, self.task.features_of(ids))
        finally:
            self._pool.give_back(runner)  # other threads may take steps between ours

    # --- a call ------------------------------------------------------------------------------------------------------

    def _max_rows(self, options: DecodingOptions) -> int:
        return max(self.runner.max_batch, self._batch_size) if options.is_greedy else 1

    def _run(
        self, runner: Runner, records: Sequence[Record], requests: Sequence[Request], options: DecodingOptions
    ) -> list[Outputs]:
        if not options.is_greedy:
            return [
                self._decode(runner, record, request.features, options)
                for record, request in zip(records, requests, strict=True)
            ]
        batched = len(requests) > runner.max_batch
        if batched and 2 * len(requests) < self._batch_size:  # a batch less than half full is slower than single rows
            return [super(GenerativePredictor, self)._run(runner, (), [each], options)[0] for each in requests]
        if batched:
            signature, length, features = requests[-1]
            signature = batch_name(signature, self._batch_size)
            filler = Request(signature, length, self.task.filler(features))
            missing = self._batch_size - len(requests)
            rows = [Request(signature, length, each.features) for each in requests] + [filler] * missing
            return super()._run(runner, (), rows, options)[: len(requests)]
        return super()._run(runner, records, requests, options)

    def _decode(self, runner: Runner, record: Record, features: Features, options: DecodingOptions) -> Outputs:
        """Decodes one record step by step."""
        rules = self._rules(record, features, options)
        if rules.max_new_tokens:
            found = _search(self._session(runner, features), features[TOKENS], rules, options)
            hypotheses = self._of_form(found, rules, options)
        else:
            hypotheses = [Hypothesis([], 0.0, 0.0)]
        counts = [len(each.token_ids) for each in hypotheses]
        rows = {
            "token_ids": padded([each.token_ids for each in hypotheses], max(counts), self.task.end_id),
            "num_tokens": np.array(counts, np.int32),
            "score": np.array([each.score for each in hypotheses], np.float32),
        }
        return rows if options.num_hypotheses > 1 else {name: values[0] for name, values in rows.items()}

    def _of_form(self, hypotheses: list[Hypothesis], rules: Rules, options: DecodingOptions) -> list[Hypothesis]:
        """Of the hypotheses those that have the form that was asked for; if there is none, the best one."""
        if isinstance(grammar := rules.constraint, Grammar):
            finished = [each for each in hypotheses if grammar.accepts(self.task.until_end(each.token_ids))]
            return (finished or hypotheses)[: options.num_hypotheses]
        return hypotheses

    def _session(self, runner: Runner, features: Features) -> Session:
        num_tokens = len(features[TOKENS])
        prefill, length = self.task.prefill(num_tokens)
        inputs = stacked([features], length, self.task.tokenizer.pad_id)
        return open_session(runner, prefill, inputs, self.task.first_position(num_tokens))

    def _rules(self, record: Record, features: Features, options: DecodingOptions) -> Rules:
        return self._rules_of(self._limit(features, options), self._text_of(record), options)

    def _limit(self, features: Features, options: DecodingOptions) -> int:
        """The maximum number of new tokens."""
        num_tokens, limit = len(features[TOKENS]), options.max_new_tokens
        if limit is None:
            _, length = self.task.signature(num_tokens)
            limit = max(options.min_new_tokens, dict(self.task.generate_lengths)[length])
        return min(limit, self.task.room(num_tokens))

    def _rules_of(self, limit: int, text_of: Callable[[Sequence[int]], str], options: DecodingOptions) -> Rules:
        """The rules for at most `limit` new tokens.

        Raises:
            OptionError: a choice has more tokens, or what is asked for is such as the model cannot write.
            UsageError: its tokenizer cannot keep to a form.
        """
        stops = Stops(options.stop)
        return Rules(
            max_new_tokens=limit,
            end_id=self.task.end_id,
            min_new_tokens=options.min_new_tokens,
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            stopped=(lambda token_ids: stops.cut(text_of(token_ids))[1]) if options.stop else None,
            never_ids=self.task.target_tokenizer.never_ids,
            other_end_ids=self.task.target_tokenizer.other_end_ids,
            constraint=self._constraint(limit, text_of, options),
        )

    def _constraint(
        self, limit: int, text_of: Callable[[Sequence[int]], str], options: DecodingOptions
    ) -> Constraint | None:
        if options.choices:
            return self._choices(options.choices, limit)
        return None if options.form is None else self._forms.grammar(options.form, text_of)

    def _choices(self, texts: Sequence[str], limit: int) -> Choices:
        tokenizer = self.task.target_tokenizer
        known = [tokenizer.ids(text) for text in texts]
        for text, ids in zip(texts, known, strict=True):
            if not ids or tokenizer.unknown_id in ids or set(ids) & set(tokenizer.never_ids):
                raise OptionError(
                    f"choices: found {shown(text)}, which the model's vocabulary cannot write: use other words",
                    "choices",
                )
            if len(ids) > limit:
                raise OptionError(
                    f"choices: found {shown(text)} of {len(ids)} tokens, expected at most {limit} new tokens here: "
                    "shorten it, or raise max_new_tokens",
                    "choices", "max_new_tokens",
                )  # fmt: skip
        return Choices(known, (tokenizer.end_id, *tokenizer.other_end_ids))

    def _text_of(self, record: Record) -> Callable[[Sequence[int]], str]:
        """A function from new token ids to the text of the answer."""
        return lambda token_ids: self.task.answer(record, [{TOKENS: np.array(token_ids, np.int32)}]).output

    # --- scores of given texts ---------------------------------------------------------------------------------------

    def score_texts(self, records: Iterable[Record]) -> list[tuple[float, int, int]]:
        """Scores given texts by their log-probability, from which perplexity is computed.

        Args:
            records: with the text to score: `target` after its `source`, or `text` after its `prompt` if any.

        Returns:
            For each record the sum of the natural log-probabilities of its tokens, the number of these tokens (with the
            end id, unless the text is a stream), and the number of characters.

        Raises:
            ArtifactError: the file has no signature for scoring.
        """
        records = list(records)
        parts, counts = [], []
        for owner, record in enumerate(records):
            windows, num_characters = self.task.windows(owner, record)
            parts += windows
            counts.append((sum(len(part.targets) - part.first for part in windows), num_characters))
        sums = [0.0] * len(records)
        for part, values in zip(parts, self._log_probabilities(parts), strict=True):
            sums[part.owner] += float(values.sum(dtype=np.float64))
        return [(total, *count) for total, count in zip(sums, counts, strict=True)]

    def _log_probabilities(self, parts: Sequence[Window]) -> list[np.ndarray]:
        if SCORE in getattr(self.runner, "signatures", ()):
            pads = (self.task.target_tokenizer.pad_id, self.task.tokenizer.pad_id)
            return [found["log_probability"] for found in scores(self.runner, parts, *pads)]
        return [self._stepwise(part) for part in parts]

    def _stepwise(self, part: Window) -> np.ndarray:
        """The log-probabilities of one window by `prefill_*`, which reads what is not scored, and `decode`."""
        if part.source:
            ids, first = part.source, 0
        else:
            known = part.first + 1 if part.first < self.task.max_tokens else 1
            ids, first = part.read[:known], known - 1
        prefill, length = self.task.prefill(len(ids))
        inputs = stacked([self.task.features_of(ids)], length, self.task.tokenizer.pad_id)
        position = self.task.first_position(len(ids))
        values = stepwise_log_probabilities(self.runner, prefill, inputs, position, part.targets[first:])
        return values[part.first - first :]


def _search(session: Session, read: Sequence[int], rules: Rules, options: DecodingOptions) -> list[Hypothesis]:
    if options.beam_size > 1:
        # A hypothesis that is cut off does not count where a form is asked for, so a worse one may be the answer.
        wanted = options.num_hypotheses if options.form is None else options.beam_size
        return beam_search(session, rules, options.beam_size, options.length_penalty, wanted)
    return [greedy_search(*_chosen(session, read, rules, options))]


def _pieces(
    steps: Iterable[tuple[int, float]],
    rules: Rules,
    text_of: Callable[[Sequence[int]], str],
    options: DecodingOptions,
    asked: str,
) -> Iterator[str]:
    """Yields an answer piece by piece; at the end it is an error if it does not have the form that was asked for.

    Args:
        steps: its tokens with their log-probabilities.
        rules: those of this answer.
        text_of: from new token ids to the text of the answer.
        options: those of the call.
        asked: the text that is answered.

    Raises:
        DataError: the answer was cut off.
    """
    written: list[str] = []
    count = 0

    def token_ids() -> Iterator[int]:
        nonlocal count
        for token_id, _ in steps:
            count += 1
            yield token_id

    for piece in pieces(token_ids(), text_of, Stops(options.stop)):
        written.append(piece)
        yield piece
    if options.form is not None and not matches(options.form, text := "".join(written)):
        raise unfinished(options.form, asked, text, count, rules.max_new_tokens)


def _chosen(
    session: Session, read: Sequence[int], rules: Rules, options: DecodingOptions
) -> tuple[Stepping, Rules, Choose]:
    """The arguments of `walk` for a text of which the session has read these tokens."""
    if options.sampled:
        return session, rules, Sampler(options)
    return GuessingSession(session, read) if session.several > 1 else session, rules, argmax_token
