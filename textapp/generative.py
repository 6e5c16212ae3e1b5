"""Text in, text out: translations and continuations, over anything that has `run(signature, features) -> outputs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import padded
from textapp.decoding.beam import beam_search
from textapp.decoding.greedy import Hypothesis, greedy_search, likeliest, walk
from textapp.decoding.logits import Rules
from textapp.decoding.options import PLAIN, DecodingOptions, decoding_options
from textapp.decoding.sampling import Sampler
from textapp.decoding.scoring import Window, log_probabilities, stepwise_log_probabilities, windows
from textapp.decoding.signatures import SCORE, batch_name
from textapp.decoding.steps import Session, open_session
from textapp.decoding.stopping import Stops, pieces
from textapp.errors import OptionError, UsageError
from textapp.runners import Runner, Runners, groups

if TYPE_CHECKING:
    from textapp.tasks.writing import TextAnswer, WritingTask

Record = Mapping[str, Any]
Outputs = dict[str, np.ndarray]


class GenerativePredictor:
    """Translates texts, or goes on with them.

    Greedy decoding with nothing else asked for is one call of `generate_*`, the loop inside the graph; all other
    decoding goes step by step through `prefill_*` and `decode`. The options are those of `DecodingOptions`.

    Example:
        predictor = textapp.load("saved_models/tatoeba/exports/litert")
        predictor("今天天气很好。").output                      # 'The weather is nice today.'
        predictor("今天天气很好。", beam_size=4).score
        for piece in predictor.stream("今天天气很好。"):
            print(piece, end="", flush=True)
    """

    def __init__(self, task: WritingTask, runner: Runner, manifest: Mapping[str, Any], path: Path) -> None:
        self.task = task
        self.runner = runner
        self.manifest = manifest
        self.path = path
        self._runners = Runners(runner)
        # A language model reads its own words behind the prompt; a translator writes into a cache of their own.
        self._reads_on = task.name == "generation"
        # Texts that a call of fixed shape takes at once, where the bundle was exported with such signatures.
        self._batch_size = manifest.get("batch_size", 1)

    @property
    def tokenizer(self) -> Any:
        return self.task.tokenizer

    def __call__(self, text: str | Record, **options: Any) -> TextAnswer:
        """Answers one text.

        Raises:
            UsageError: this is no text, or an option is unknown or out of range.
            DataError: the text is too long, and the predictor was loaded with `overflow="error"`.
        """
        checked = self._options(options)
        record = self._record(text)
        return self._answer(record, self.outputs(record, checked), checked)

    def batch(self, texts: Iterable[str | Record], workers: int = 1, **options: Any) -> list[TextAnswer]:
        """Answers many texts in their order, each as a single call does; the longest are taken first.

        Args:
            texts: texts, or records that hold them.
            workers: runners that work at the same time, each with a copy of the model's state.
            options: see `DecodingOptions`.
        """
        checked = self._options(options)
        if isinstance(texts, str):
            raise UsageError(
                "batch: found one text, expected a list of texts: call the predictor itself, or give [text]"
            )
        records = [self._record(text) for text in texts]
        features = [self.task.features(record) for record in records]
        signatures = [self.task.signature(len(feature["token_ids"])) for feature in features]
        answers: list[TextAnswer | None] = [None] * len(records)

        def work(runner: Runner, job: tuple[str, int, list[int]]) -> None:
            signature, length, indices = job
            if checked.plain:
                rows = self._generate(runner, signature, length, [features[index] for index in indices])
            else:
                rows = [self._decode(runner, records[index], features[index], checked) for index in indices]
            for index, outputs in zip(indices, rows, strict=True):
                answers[index] = self._answer(records[index], outputs, checked)

        most = max(self.runner.max_batch, self._batch_size) if checked.plain else 1
        # Rows that begin together wait for the longest, and like inputs have answers of like lengths.
        counts = [len(feature["token_ids"]) for feature in features]
        self._runners.share_out(groups(signatures, most, counts), work, workers)
        return answers  # type: ignore[return-value]  # every index stands in one job

    def stream(self, text: str | Record, **options: Any) -> Iterator[str]:
        """Yields the answer piece by piece, as its tokens are found.

        The pieces joined are the `output` of the same call: no character is cut, and nothing of a stop string is shown.
        """
        checked = self._options(options)
        if checked.beam_size > 1:
            raise OptionError(
                f"beam_size {checked.beam_size} knows its answer only at the end: stream with beam_size 1", "beam_size"
            )
        record = self._record(text)
        return self._stream(record, checked)

    def _stream(self, record: Record, options: DecodingOptions) -> Iterator[str]:
        features = self.task.features(record)
        rules = self._rules(record, features, options)
        if not rules.max_new_tokens:
            return
        session = self._session(self.runner, features)
        steps = walk(session, rules, Sampler(options) if options.sampled else likeliest)
        yield from pieces((token_id for token_id, _ in steps), self._writer(record), Stops(options.stop))

    def outputs(self, record: Record, options: DecodingOptions = PLAIN) -> Outputs:
        """What the model writes for a record: `token_ids` `[new]`, `num_tokens` `[]` and `score` `[]`.

        Of several best hypotheses each has one more dimension in front.
        """
        features = self.task.features(record)
        if not options.plain:
            return self._decode(self.runner, record, features, options)
        signature, length = self.task.signature(len(features["token_ids"]))
        return self._generate(self.runner, signature, length, [features])[0]

    def _generate(
        self, runner: Runner, signature: str, length: int, features: Sequence[Mapping[str, list[int]]]
    ) -> list[Outputs]:
        """The greedy loop in the graph, for rows that share a signature."""
        together = len(features) > runner.max_batch
        if together and 2 * len(features) < self._batch_size:  # mostly empty it would take longer than one by one
            return [self._generate(runner, signature, length, [feature])[0] for feature in features]
        rows = list(features)
        if together:
            signature = batch_name(signature, self._batch_size)
            # Nothing is written for an empty source; a language model has no such row.
            rows += [features[-1] if self._reads_on else {"token_ids": []}] * (self._batch_size - len(features))
        outputs = runner.run(signature, self._inputs(rows, length))
        return [{name: values[row] for name, values in outputs.items()} for row in range(len(features))]

    def _decode(
        self, runner: Runner, record: Record, features: Mapping[str, list[int]], options: DecodingOptions
    ) -> Outputs:
        """Step by step."""
        rules = self._rules(record, features, options)
        if rules.max_new_tokens:
            found = _search(self._session(runner, features), rules, options)
        else:
            found = [Hypothesis([], 0.0, 0.0)]
        scores, counts = [each.score for each in found], [len(each.token_ids) for each in found]
        token_ids = padded([each.token_ids for each in found], max(counts), self.task.end_id)
        rows = {
            "token_ids": token_ids,
            "num_tokens": np.array(counts, np.int32),
            "score": np.array(scores, np.float32),
        }
        return rows if options.num_hypotheses > 1 else {name: values[0] for name, values in rows.items()}

    def _session(self, runner: Runner, features: Mapping[str, list[int]]) -> Session:
        num_tokens = len(features["token_ids"])
        prefill, length = self.task.prefill(num_tokens)
        return open_session(runner, prefill, self._inputs([features], length), num_tokens if self._reads_on else 1)

    def _inputs(self, features: Sequence[Mapping[str, list[int]]], length: int) -> dict[str, np.ndarray]:
        """Features as arrays `[rows, length]`, with `num_tokens` `[rows]` for a language model."""
        rows = [feature["token_ids"] for feature in features]
        inputs = {"token_ids": padded(rows, length, self.task.tokenizer.pad_id)}
        if self._reads_on:
            inputs["num_tokens"] = np.array([len(row) for row in rows], np.int32)
        return inputs

    # --- how probable given texts are ------------------------------------------------------------------------------

    def score_texts(self, records: Iterable[Record]) -> list[tuple[float, int, int]]:
        """How probable the model finds given texts: the ground of perplexity.

        Args:
            records: with the text that is scored: `target` after its `source`, or `text` after its `prompt` if any.

        Returns:
            For each the sum of the natural logarithms of its tokens' probabilities, how many tokens these are (the end
            among them, where the model knows one), and how many characters.
        """
        records = list(records)
        parts, counts = [], []
        for owner, record in enumerate(records):
            own, num_characters = scored_windows(self.task, owner, record)
            parts += own
            counts.append((sum(len(part.targets) - part.first for part in own), num_characters))
        sums = [0.0] * len(records)
        for part, value in zip(parts, self._log_probabilities(parts), strict=True):
            sums[part.owner] += value
        return [(total, *count) for total, count in zip(sums, counts, strict=True)]

    def _log_probabilities(self, parts: Sequence[Window]) -> list[float]:
        if SCORE in getattr(self.runner, "signatures", ()):
            pads = (self.task.target_tokenizer.pad_id, self.task.tokenizer.pad_id)
            return log_probabilities(self.runner, parts, *pads)
        return [self._stepwise(part) for part in parts]

    def _stepwise(self, part: Window) -> float:
        """The log-probability of one window through `prefill_*`, which reads what does not count, and `decode`."""
        if part.source:
            ids, first = part.source, 0
        else:
            known = part.first + 1 if part.first < self.task.most_tokens else 1
            ids, first = part.read[:known], known - 1
        prefill, length = self.task.prefill(len(ids))
        inputs = self._inputs([{"token_ids": ids}], length)
        position = len(ids) if self._reads_on else 1
        found = stepwise_log_probabilities(self.runner, prefill, inputs, position, part.targets[first:])
        return sum(found[part.first - first :])

    # --- what a text has to keep to --------------------------------------------------------------------------------

    def _options(self, given: Mapping[str, Any]) -> DecodingOptions:
        options = decoding_options(given)
        options.check_vocabulary(self.task.target_tokenizer.vocabulary_size)
        most = self.most_new
        for name in ("min_new_tokens", "max_new_tokens"):
            value = getattr(options, name)
            if value is not None and value > most:
                raise OptionError(
                    f"{name} {value} is more than the {most} tokens that this model can write: lower it", name
                )
        return options

    @property
    def most_new(self) -> int:
        """The most new tokens that any answer may have."""
        return self.task.lengths[-1] if self._reads_on else max(new for _, new in self.task.generate_lengths)

    def _rules(self, record: Record, features: Mapping[str, list[int]], options: DecodingOptions) -> Rules:
        num_tokens = len(features["token_ids"])
        most = options.max_new_tokens
        if most is None:
            _, length = self.task.signature(num_tokens)
            most = max(options.min_new_tokens, dict(self.task.generate_lengths)[length])
        if self._reads_on:
            most = min(most, self.task.lengths[-1] - num_tokens)
        stops, write = Stops(options.stop), self._writer(record)
        return Rules(
            max_new_tokens=most,
            end_id=self.task.end_id,
            min_new_tokens=options.min_new_tokens,
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            stopped=(lambda token_ids: stops.cut(write(token_ids))[1]) if options.stop else None,
            never_ids=self.task.target_tokenizer.never_ids,
        )

    # --- records and answers ---------------------------------------------------------------------------------------

    def _record(self, text: str | Record) -> Record:
        field = self.task.input_field
        record = self.task.record(text) if isinstance(text, str) else text
        if not isinstance(record, Mapping) or not isinstance(record.get(field), str):
            raise UsageError(f"found {text!r:.80}, expected a text, or a record such as {{'{field}': 'a text'}}")
        return record

    def _writer(self, record: Record):
        """New token ids to the text that is answered for them."""
        return lambda token_ids: self.task.answer(record, {"token_ids": np.array(token_ids, np.int32)}).output

    def _answer(self, record: Record, outputs: Outputs, options: DecodingOptions) -> TextAnswer:
        answer = self.task.answer(record, outputs)
        if not options.stop:
            return answer
        stops = Stops(options.stop)
        changes: dict[str, Any] = {"output": stops.cut(answer.output)[0]}
        if options.num_hypotheses > 1:
            changes["outputs"] = [{**each, "output": stops.cut(each["output"])[0]} for each in answer.outputs]
        return replace(answer, **changes)


def scored_windows(task: WritingTask, owner: int, record: Record) -> tuple[list[Window], int]:
    """What a model has to read to score a record's text, and how many characters of it count.

    Running text has no start, so its first token is never counted.
    """
    ids = task.target_ids(record)
    if task.name == "translation":
        most = max(new for _, new in task.generate_lengths)
        targets = [*ids, task.end_id][:most]
        cut = len(targets) <= len(ids)
        characters = len(task.decode(targets)) if cut else len(record["target"])
        source = task.features(record)["token_ids"]
        return [Window(owner, source, [task.start_id, *targets[:-1]], targets, 0)], characters
    if task.running_text:
        parts = windows(owner, ids[:-1], ids[1:], task.lengths[-1]) if len(ids) > 1 else ()
        return list(parts), len(record["text"]) - len(task.decode(ids[:1]))
    prompt = len(task.tokenizer.ids(record["prompt"])) if record.get("prompt") else 0
    parts = windows(owner, [task.start_id, *ids], [*ids, task.end_id], task.lengths[-1], prompt)
    return list(parts), len(record["text"])


def _search(session: Session, rules: Rules, options: DecodingOptions) -> list[Hypothesis]:
    if options.beam_size > 1:
        return beam_search(session, rules, options.beam_size, options.length_penalty, options.num_hypotheses)
    return [greedy_search(session, rules, Sampler(options) if options.sampled else likeliest)]
