"""The check of an exported translator or language model: its tokens are compared with those of the Keras model, and
the tokens of its loop with those of single steps.

A near tie can make a quantized model continue a greedy text differently. So besides whole texts, all models decode the
same forced tokens (`textapp.decoding.forced`), where steps are compared one by one.

A large language model does not generate with Keras, one token after the other, at all: it reads texts of the data at
once, whose steps are compared, and for an export that may change no token also the texts that the export generated. A
text is the model's own if each token is the one that the model takes after those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textapp.arrays import padded, spread
from textapp.decoding.forced import (
    GENERATED,
    GENERATED_TOKENS,
    NEVER_GENERATED,
    WAYS,
    force,
    force_all,
    read_all,
)
from textapp.decoding.signatures import BATCH, batch_name, lengths_of, prefill_name, rows_of
from textapp.errors import ExportError, plural
from textapp.objectives.checks.check import MIN_AGREEMENT, Arrays, Check, Verdict, check_finite, run_all
from textapp.objectives.checks.examples import MIN_PER_SIGNATURE, Examples, make_examples
from textapp.runners.inputs import Inputs
from textapp.runners.keras import KerasRunner
from textapp.runners.runner import Outputs
from textapp.tasks.generative import Generated, GenerativeTask
from textapp.tasks.task import Record

# Tolerance of float32 between machines; two logits that are closer are a tie, which either may win.
MAX_ERROR = 1e-3
NEAR_TIE = 2 * MAX_ERROR
# The same between loop and steps of a quantized file. Their float32 sums differ in the last digit, so now and then one
# rounds an activation up to the next int8 value and the other down. How far that moves a logit depends on the model. So
# the limit is at least this, and more where quantization itself changes more.
NEAR_TIE_QUANTIZED = 0.2
FORCED_TOKENS = 4000  # forced tokens for each signature, one call of `decode` each
FORCED_TOKENS_OF_BATCH = 1000  # for each batch signature, whose texts are the same
# A step reads every weight. Models with more weights than this are verified on fewer tokens, in about the same time.
FULLY_VERIFIED = 6_000_000
MIN_ROWS = 8  # texts of each signature, however large the model is
MIN_FORCED_ROWS = 4  # of these, whose steps are compared
OUTPUTS = ("token_ids", "num_tokens", "score")


def share_verified(weights: int) -> float:
    """How many tokens a model is verified on, as a share of those of a small one, from its number of weights."""
    return min(1.0, FULLY_VERIFIED / max(1, weights))


def rows_verified(share: float, most: int = MIN_PER_SIGNATURE) -> int:
    """How many texts of each signature the model and its export generate.

    Args:
        share: see `share_verified`.
        most: of a small model.

    Example: 200 for a small model, 60 for one of 20 million weights, 8 from 150 million on.
    """
    return max(MIN_ROWS, int(share * most))


class GenerativeCheck(Check):
    """See `Check`.

    Args:
        runner: of the Keras model.
        task: of the run.
        records: real examples with references.
        measure: the figure that `max_drop` limits: one of `scored`, or `perplexity`.
        max_drop: points of it, or percent of perplexity.
        batch_size: of batch signatures; 1: there are none.
        share: of the tokens of a small model that are verified, see `share_verified`.
        scored: the figures of the task's score to report, besides perplexity.
    """

    def __init__(
        self,
        runner: KerasRunner,
        task: GenerativeTask,
        records: Sequence[Record],
        measure: str,
        max_drop: float,
        batch_size: int = 1,
        share: float = 1.0,
        scored: Sequence[str] = (),
    ) -> None:
        self.task, self.measure, self.max_drop, self.scored = task, measure, max_drop, scored
        self.quality = ("examples", *scored, "perplexity")
        self.figures = (*self.quality[1:], "agreement", "max_error")
        self.text_field = task.input_field
        self.share = share
        self.examples = make_examples(task, records, rows_verified(share))
        self.inputs = self.examples.inputs
        self._runner, self._never_ids = runner, task.target_tokenizer.never_ids
        self._add_batches(batch_size)
        # Steps of a large Keras model take minutes. Where scores of its texts count it generates them nevertheless.
        self._reads = share < 1.0 and not scored
        self.expected = {} if self._reads else self._generated()
        self.forced = self._forced_texts()
        self._forced_run = self._forced_steps()
        if self._reads:  # the export generates the texts whose steps are compared, and no others
            self.inputs = {
                name: {key: values[: self._num_forced(name)] for key, values in inputs.items()}
                for name, inputs in self.inputs.items()
            }

    def judge(self, arrays: Arrays, runtime: str, quantize: str) -> Verdict:
        """See `Check`; without quantization every token has to be that of the model, except after ties."""
        outputs = {name: {key: arrays[f"{name}/{key}"] for key in OUTPUTS} for name in self.inputs}
        forced = {key: values for key, values in arrays.items() if "." in key}
        self._check_finite(outputs, forced)
        exact = quantize == "none"
        # Int4 may change much; that the file computes what its rounded weights say is judged beside the rounded model.
        of_model = self._rounded_steps() if quantize == "int4" else self._forced_run
        error = self._error(forced, of_model)
        report = {"examples": len(self.examples.records), "max_error": error, "near_ties": 0}
        # Only integers may err by more: an error of float16 is that of a file which computes something else.
        limit = NEAR_TIE_QUANTIZED if quantize == "float16" else max(NEAR_TIE_QUANTIZED, 2 * error)
        report["steps_gap"] = self._check_steps(forced, NEAR_TIE if exact else limit)
        if exact:
            self._check_error(report["max_error"])
        if self._reads:
            report |= self._check_read(outputs) if exact else {}
        else:
            report["near_ties"] = self._check_tokens(outputs) if exact else 0
            report["equal_texts"] = self._equal_texts(outputs)
        report["agreement"] = self._agreement(forced, of_model)
        before, after = self._scores(self.expected, self._forced_run), self._scores(outputs, forced)
        self._check_drop(before[self.measure], after[self.measure])
        report |= after | {f"{name}_of_run": value for name, value in before.items()}
        return Verdict(outputs, {"runtime": runtime, **report})

    def golden(
        self, examples: Examples, outputs: Mapping[str, Mapping[str, np.ndarray]], max_count: int
    ) -> list[dict[str, Any]]:
        """See `Check`."""
        golden = []
        places = [(index, *examples.locate(index)) for index in range(len(examples.records))]
        generated = [place for place in places if place[2] < len(outputs[place[1]]["token_ids"])]
        for index, signature, row in spread(generated, max_count):
            own = {name: values[row] for name, values in outputs[signature].items()}
            record = examples.records[index]
            answer = self.task.answer(record, [own])
            golden.append({
                "input": answer.input,
                **{field: record[field] for field in self.task.fields[1:] if field in record},
                "signature": signature,
                "inputs": {name: rows[row].tolist() for name, rows in examples.inputs[signature].items()},
                "token_ids": own["token_ids"].tolist(),
                "num_tokens": int(own["num_tokens"]),
                "score": float(own["score"]),
                "output": answer.output,
            })  # fmt: skip
        return golden

    def text_calls(self) -> list[list[int]]:
        """One call for each signature, because all rows of a batch get the new tokens of its longest input."""
        owners = self.examples.owners
        generated = [rows[: len(self.inputs[name]["token_ids"])] for name, rows in self.examples.rows.items()]
        return [[owners[request] for request in rows] for rows in generated if rows]

    def check_text(self, index: int, outputs: Mapping[str, Any], verdict: Verdict) -> None:
        """See `Check`: the string has to be that of the ids."""
        signature, row = self.examples.locate(index)
        ids = {name: values[row] for name, values in verdict.outputs[signature].items()}
        expected = self.task.answer(self.examples.records[index], [ids]).output
        if outputs["text"] != expected:
            raise ExportError(
                f"the text signature answers {str(outputs['text'])[:80]!r}, but the ids {expected[:80]!r}: export "
                "without it"
            )

    def _add_batches(self, batch_size: int) -> None:
        """Adds the batch signatures, which have to generate the same as those for one text."""
        for name in list(self.inputs) if batch_size > 1 else ():
            batch = batch_name(name, batch_size)
            self.examples.inputs[batch], self.examples.rows[batch] = self.examples.inputs[name], []

    def _generated(self) -> dict[str, Outputs]:
        """What the Keras model generates for each signature; a batch has the texts of the signature for one."""
        found: dict[str, Outputs] = {}
        for name, inputs in self.inputs.items():
            alone = name.removeprefix(f"{BATCH}_{rows_of(name)}_")
            found[name] = found[alone] if alone in found else run_all(self._runner, name, inputs)
        return found

    def _read(self, groups: Inputs) -> dict[str, np.ndarray]:
        pads = self.task.target_tokenizer.pad_id, self.task.tokenizer.pad_id
        return read_all(self._runner, groups, self.task.start_id, *pads)

    def _forced_steps(self) -> dict[str, np.ndarray]:
        """The steps of the Keras model; a small one is stepped as its exports are."""
        return force_all(self._runner, self.forced) if self.share == 1.0 else self._read(self.forced)

    def _rounded_steps(self) -> dict[str, np.ndarray]:
        """The steps of the Keras model as it is now, its weights changed by the objective."""
        self._runner.forget()
        return self._forced_steps()

    def _num_forced(self, signature: str) -> int:
        """The texts of a signature whose steps are compared."""
        _, new = lengths_of(signature)
        tokens = FORCED_TOKENS if rows_of(signature) == 1 else FORCED_TOKENS_OF_BATCH
        return max(MIN_FORCED_ROWS, rows_of(signature), int(self.share * tokens) // new)

    def _forced_texts(self) -> Inputs:
        """The tokens for forced decoding.

        The groups `.expected` have the outputs of the Keras model or, of a model that reads, the texts of the data that
        belong to the prompts. The groups `.reference` have the texts of the data, by which perplexity is measured.
        """
        forced: Inputs = {}
        for signature, inputs in self.inputs.items():
            _, new = lengths_of(signature)
            rows = slice(max(self._num_forced(signature), MIN_ROWS if self._reads else 0))
            owners = [self.examples.owners[row] for row in self.examples.rows[signature][rows]]
            texts = [self._text(owner, new) for owner in owners]
            if self._reads:
                # Prompts of other signatures, if it has few of its own; a text need not belong to its prompt.
                every = texts + [self._text(owner, new) for owner in range(len(self.examples.records))]
                expected = _given(every[: len(inputs["token_ids"][rows])], new)
            else:
                of_model = self.expected[signature]
                expected = {GENERATED: of_model["token_ids"][rows], GENERATED_TOKENS: of_model["num_tokens"][rows]}
            forced[f"{signature}.expected"] = self._forced(inputs, expected)
            if any(texts):
                forced[f"{signature}.reference"] = self._forced(inputs, _given(texts, new))
        return forced

    def _text(self, record: int, new: int) -> list[int]:
        """The first tokens of a record's text."""
        return self.task.reference_ids(self.examples.records[record])[:new]

    def _forced(self, inputs: Mapping[str, np.ndarray], given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A group for forced decoding: the given tokens after the first rows of the inputs."""
        named = {name: values[: len(given[GENERATED])] for name, values in inputs.items()}
        return named | given | {NEVER_GENERATED: np.array(self._never_ids, np.int32)}

    def _check_finite(self, outputs: Mapping[str, Outputs], forced: Arrays) -> None:
        of_model = {name: values["score"] for name, values in self.expected.items()} or self._forced_run
        for name, values in of_model.items():
            check_finite(values, f"the outputs of the Keras model in {name}: train it again")
        for name in self.inputs:
            check_finite(outputs[name]["score"], f"the outputs of the export in {name}")
        for key, values in forced.items():
            check_finite(values, f"the steps of the export in {key.split('/')[0]}")

    def _check_steps(self, forced: Arrays, limit: float) -> float:
        """Every token of `generate_*` has to be the most probable one of `prefill_*` and `decode`, except for ties.

        The same holds for the signatures that read several tokens at once.

        Args:
            forced: the steps of the export.
            limit: how far a token may lie below the best one of its step. Two tokens change places if rounding moves
                each by half of this; in a quantized file by no more than quantization moves a log-probability.
        """
        ends = tuple(f"{way}/gap" for way in WAYS)
        gap = max(float(values.max()) for key, values in forced.items() if key.endswith(ends))
        if gap > limit:
            raise ExportError(
                f"generate_* and the steps of prefill_* and decode generate different texts: a token of the loop is "
                f"{gap:.4f} below the best one of its step, expected at most {limit:g}"
            )
        return round(gap, 6)

    def _check_tokens(self, outputs: Mapping[str, Outputs]) -> int:
        """Every token has to be that of the Keras model, except after a near tie in the Keras model.

        Returns:
            the number of texts that differ after such a tie.
        """
        ties = 0
        for signature, values in outputs.items():
            token_ids, expected = values["token_ids"], self.expected[signature]["token_ids"]
            rows = np.flatnonzero((token_ids != expected).any(axis=1))
            if not len(rows):
                continue
            first_difference = (token_ids[rows] != expected[rows]).argmax(axis=1)
            features = {name: column[rows] for name, column in self.inputs[signature].items()}
            prefill = prefill_name(lengths_of(signature)[0])
            counts = (first_difference + 1).astype(np.int32)
            steps = force(self._runner, prefill, features, token_ids[rows], counts, self._never_ids)
            gaps = steps.gap[np.arange(len(rows)), first_difference]
            worst = int(gaps.argmax())
            _check_near_tie(signature, int(rows[worst]), int(first_difference[worst]), float(gaps[worst]))
            ties += len(rows)
        return ties

    def _check_read(self, outputs: Mapping[str, Outputs]) -> dict[str, float]:
        """Every token has to be the one that the Keras model takes after those before it, except for near ties.

        Returns:
            the number of texts with such a tie, and the share of texts without, 0 to 100.
        """
        groups = {
            name: self._forced(
                self.inputs[name], {GENERATED: values["token_ids"], GENERATED_TOKENS: values["num_tokens"]}
            )
            for name, values in outputs.items()
        }
        steps, ties = self._read(groups), []
        for name in groups:
            gaps = steps[f"{name}/gap"]
            row, step = np.unravel_index(int(gaps.argmax()), gaps.shape)
            _check_near_tie(name, int(row), int(step), float(gaps[row, step]))
            ties += (gaps > 0).any(axis=1).tolist()
        return {"near_ties": sum(ties), "equal_texts": round(100 - 100 * sum(ties) / len(ties), 2)}

    def _error(self, forced: Arrays, of_model: Arrays) -> float:
        """The largest difference of log-probabilities in forced decoding."""
        keys = [key for key in of_model if key.endswith("/log_probability")]
        return max(float(np.abs(forced[key] - of_model[key]).max()) for key in keys)

    def _check_error(self, error: float) -> None:
        if error > MAX_ERROR:
            raise ExportError(
                f"the export's log-probabilities differ from the model's by {error:.4f}, expected at most {MAX_ERROR:g}"
            )

    def _agreement(self, forced: Arrays, of_model: Arrays) -> float:
        """The share of forced steps along the expected texts, 0 to 100, where the export takes the model's token."""
        same = steps = 0
        for signature in self.inputs:
            named, best = self.forced[f"{signature}.expected"], forced[f"{signature}.expected/best"]
            counted = np.arange(best.shape[1]) < named[GENERATED_TOKENS][:, None]
            same += int((best == of_model[f"{signature}.expected/best"])[counted].sum())
            steps += int(counted.sum())
        agreement = 100 * same / steps
        if agreement < MIN_AGREEMENT:
            raise ExportError(
                f"the export agrees with the model on {agreement:.2f} % of {plural(steps, 'step')}, expected "
                f"{MIN_AGREEMENT:g}"
            )
        return round(agreement, 2)

    def _equal_texts(self, outputs: Mapping[str, Outputs]) -> float:
        rows = [(each["token_ids"] == self.expected[name]["token_ids"]).all(axis=1) for name, each in outputs.items()]
        return round(100 * float(np.concatenate(rows).mean()), 2)

    def _scores(self, outputs: Mapping[str, Outputs], forced: Arrays) -> dict[str, float]:
        """The perplexity of the references, and the figures of `scored`."""
        total = tokens = 0.0
        for group, named in self.forced.items():
            if group.endswith(".reference"):
                total += float(forced[f"{group}/log_probability"].sum(dtype=np.float64))
                tokens += float(named[GENERATED_TOKENS].sum())
        scores = {"perplexity": round(float(np.exp(-total / tokens)), 4)} if tokens else {}
        if self.scored:
            figures = self.task.score(self.examples.records, self._answers(outputs))
            scores |= {name: figures[name] for name in self.scored}
        return scores

    def _answers(self, outputs: Mapping[str, Outputs]) -> list[Generated]:
        gathered = self.examples.outputs_of(outputs)
        return [self.task.answer(*pair) for pair in zip(self.examples.records, gathered, strict=True)]

    def _check_drop(self, before: float, after: float) -> None:
        if self.measure in self.scored:
            drop, unit = before - after, f"points of {self.task.measures[self.measure]}"
        else:
            drop, unit = 100 * (after / before - 1), "percent of perplexity"
        if drop > self.max_drop:
            raise ExportError(
                f"{self.measure} on {plural(len(self.examples.records), 'example')} goes from {before:.2f} to "
                f"{after:.2f}, expected a loss of at most {self.max_drop:g} {unit}: quantize less, or raise --max-drop"
            )


def _given(texts: Sequence[list[int]], new: int) -> dict[str, np.ndarray]:
    """Texts as the tokens of a group, see `textapp.decoding.forced`."""
    return {GENERATED: padded(texts, new, 0), GENERATED_TOKENS: np.array([len(text) for text in texts], np.int32)}


def _check_near_tie(signature: str, example: int, step: int, gap: float) -> None:
    if gap > NEAR_TIE:
        raise ExportError(
            f"{signature}: the export and the model generate different texts for example {example}: token {step} of "
            f"the export is {gap:.4f} below the best one, expected at most {NEAR_TIE:g}"
        )
