"""An exported translator or language model is held to the Keras model's own tokens, and its two ways to each other.

Quantized weights send a greedy text elsewhere at one near tie, so beside whole texts every model is also led along the
same tokens (`textapp.edge.steps`), where each step counts for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textapp.arrays import padded, spread
from textapp.decoding.signatures import batch_name, generate_name, lengths_of, prefill_name, rows_of
from textapp.edge.answers import Inputs
from textapp.edge.steps import NEVER_WRITTEN, WRITTEN, WRITTEN_TOKENS, lead_all_along, lead_along
from textapp.errors import ExportError
from textapp.export.examples import Examples, make_examples
from textapp.export.prompts import prompts
from textapp.export.verify import LEAST_AGREEMENT, Outputs, Verdict, check_finite, run_in_target, signature_of
from textapp.objectives.generator_runner import GeneratorRunner

# What float32 may differ by from machine to machine; two logits nearer than that are a tie that either may win.
MOST_ERROR = 1e-3
NEAR_TIE = 2 * MOST_ERROR
# Between the two ways of one quantized file: rounding to int8 makes steps out of differences in the last digit.
NEAR_TIE_QUANTIZED = 0.2
LED_TOKENS = 4000  # along how many a signature is led, one call of `decode` each
LED_TOKENS_OF_BATCH = 1000  # the same of a signature for several texts, whose texts are those of the one for one
GENERATED = ("token_ids", "num_tokens", "score")


class WritingCheck:
    """Real examples of a run, what its Keras model writes for them, and the judge of exports.

    Args:
        model: the Keras model, in float32.
        task: of the run.
        records: real examples: translations, or texts to go on with.
        manifest: of the bundle to be.
        max_drop: what an export may lose: of a translator points of BLEU, of a language model percent of perplexity.
    """

    def __init__(
        self, model: Any, task: Any, records: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], max_drop: float
    ) -> None:
        self.task, self.max_drop, self.counted = task, max_drop, not model.has_encoder
        self.measure = "bleu" if task.name == "translation" else "perplexity"
        self.quality = (
            ("examples", "bleu", "chrf", "perplexity") if self.measure == "bleu" else ("examples", "perplexity")
        )
        self.figures = (*self.quality[1:], "agreement", "max_error")
        records = prompts(task, records) if self.counted else records
        signatures = [(generate_name(read, new), read) for read, new in task.generate_lengths]
        self.examples: Examples = make_examples(task, records, signatures=signatures, counted=self.counted)
        self._runner, self._never_ids = GeneratorRunner(model, manifest), task.target_tokenizer.never_ids
        self.expected = {name: self._generated(name) for name in self.examples.inputs}
        self._add_batches(manifest.get("batch_size", 1))
        self.along = self._along()
        self._led = lead_all_along(self._runner, self.along)

    @property
    def inputs(self) -> Inputs:
        """The inputs of the signatures that are called once a text."""
        return self.examples.inputs

    def verify_tflite(self, model_path: Any, target: str, quantize: str) -> Verdict:
        """Runs every signature in the target's own interpreter, in a process without TensorFlow, and compares.

        Raises:
            ExportError: the runtime does not load the file, or it writes otherwise than the model.
        """
        runtime, arrays = run_in_target(model_path, target, quantize, self.inputs, self.along)
        return self.judge(arrays, runtime, quantize)

    def judge(self, arrays: Mapping[str, np.ndarray], runtime: str, quantize: str) -> Verdict:
        """Compares what an export wrote, `generate_16_24/token_ids`, and what it said at each step, with the model.

        Args:
            arrays: from `textapp.edge.answers`.
            runtime: what it ran in, for the report.
            quantize: `none` is held to every token, the others to the task's measure.
        """
        found = {name: {key: arrays[f"{name}/{key}"] for key in GENERATED} for name in self.inputs}
        led = {key: values for key, values in arrays.items() if "." in key}
        self._check_finite(found, led)
        exact = quantize == "none"
        report = {"examples": len(self.examples.records), "max_error": self._error(led), "near_ties": 0}
        report["steps_gap"] = self._check_steps(led, exact)
        if exact:
            report["near_ties"] = self._check_tokens(found)
            self._check_error(report["max_error"])
        report["agreement"] = self._agreement(led)
        report["equal_texts"] = self._equal_texts(found)
        before, after = self._scores(self.expected, self._led), self._scores(found, led)
        self._check_drop(before[self.measure], after[self.measure])
        report |= after | {f"{name}_of_run": value for name, value in before.items()}
        return Verdict(found, {"runtime": runtime, **report})

    def golden(self, verdict: Verdict, most: int) -> list[dict[str, Any]]:
        """A few texts with their ids and what the export wrote: a port in another language tests itself with them."""
        golden = []
        for index in spread(range(len(self.examples.records)), most):
            signature, row = signature_of(self.examples, index)
            record, outputs = self.examples.records[index], self._row(verdict.outputs, signature, row)
            answer = self.task.answer(record, outputs)
            golden.append({
                "input": answer.input,
                "signature": signature,
                "inputs": {name: rows[row].tolist() for name, rows in self.inputs[signature].items()},
                "token_ids": outputs["token_ids"].tolist(),
                "num_tokens": int(outputs["num_tokens"]),
                "score": float(outputs["score"]),
                "output": answer.output,
            })  # fmt: skip
        return golden

    def _generated(self, signature: str) -> dict[str, np.ndarray]:
        inputs, size = self.examples.inputs[signature], self._runner.max_batch
        starts = range(0, len(inputs["token_ids"]), size)
        parts = [
            self._runner.run(signature, {name: rows[at : at + size] for name, rows in inputs.items()}) for at in starts
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _add_batches(self, batch_size: int) -> None:
        """The signatures that take several texts at once have to write what those for one text write."""
        for name in list(self.expected) if batch_size > 1 else ():
            batch = batch_name(name, batch_size)
            self.examples.inputs[batch], self.examples.owners[batch] = self.examples.inputs[name], []
            self.expected[batch] = self.expected[name]

    def _along(self) -> Inputs:
        """What all models are led along: the texts that the Keras model wrote, and those of the data."""
        along: Inputs = {}
        never = {NEVER_WRITTEN: np.array(self._never_ids, np.int32)}
        for signature, inputs in self.inputs.items():
            _, new = lengths_of(signature)
            led = LED_TOKENS if rows_of(signature) == 1 else LED_TOKENS_OF_BATCH
            rows = slice(max(8, rows_of(signature), led // new))
            expected = self.expected[signature]
            written = {WRITTEN: expected["token_ids"][rows], WRITTEN_TOKENS: expected["num_tokens"][rows]}
            along[f"{signature}.expected"] = {name: values[rows] for name, values in inputs.items()} | written | never
            owners = self.examples.owners[signature][rows]
            texts = [self._reference(self.examples.records[index])[:new] for index in owners]
            if any(texts):
                counts = np.array([len(text) for text in texts], np.int32)
                written = {WRITTEN: padded(texts, new, 0), WRITTEN_TOKENS: counts}
                named = {name: values[: len(owners)] for name, values in inputs.items()}
                along[f"{signature}.reference"] = named | written | never
        return along

    def _reference(self, record: Mapping[str, Any]) -> list[int]:
        if self.task.name == "translation":
            return [*self.task.target_ids(record), self.task.end_id]
        return self.task.tokenizer.ids(record.get("text") or "")

    def _check_finite(self, found: Mapping[str, Mapping[str, np.ndarray]], led: Mapping[str, np.ndarray]) -> None:
        for name in self.inputs:
            check_finite(self.expected[name]["score"], f"the Keras model's own answers in {name}; train it again")
            check_finite(found[name]["score"], f"the export's answers in {name}")
        for key, values in led.items():
            check_finite(values, f"the export's steps in {key.split('/')[0]}")

    def _check_steps(self, led: Mapping[str, np.ndarray], exact: bool) -> float:
        """Token for token: what `generate_*` wrote is what `prefill_*` and `decode` find likeliest, but for ties."""
        gap = max(float(values.max()) for key, values in led.items() if key.endswith(".own/gap"))
        most = NEAR_TIE if exact else NEAR_TIE_QUANTIZED
        if gap > most:
            raise ExportError(
                f"generate_* and the steps of prefill_* and decode write different texts: a token that the loop took "
                f"lies {gap:.4f} below the best of its step, at most {most:g} is allowed"
            )
        return round(gap, 6)

    def _check_tokens(self, found: Mapping[str, Mapping[str, np.ndarray]]) -> int:
        """Every token of every example is the Keras model's, but after ties that the Keras model itself shows.

        Returns:
            how many texts part at such a tie.
        """
        ties = 0
        for signature, outputs in found.items():
            token_ids, expected = outputs["token_ids"], self.expected[signature]["token_ids"]
            rows = np.flatnonzero((token_ids != expected).any(axis=1))
            if not len(rows):
                continue
            parting = (token_ids[rows] != expected[rows]).argmax(axis=1)
            features = {name: values[rows] for name, values in self.inputs[signature].items()}
            prefill = prefill_name(lengths_of(signature)[0])
            counts = (parting + 1).astype(np.int32)
            steps = lead_along(self._runner, prefill, features, token_ids[rows], counts, self._never_ids)
            gaps = steps.gap[np.arange(len(rows)), parting]
            if gaps.max() > NEAR_TIE:
                worst = int(gaps.argmax())
                raise ExportError(
                    f"{signature}: the export writes another text than the model for example {rows[worst]}: its token "
                    f"{parting[worst]} lies {gaps[worst]:.4f} below the best, at most {NEAR_TIE:g} passes for a tie"
                )
            ties += len(rows)
        return ties

    def _error(self, led: Mapping[str, np.ndarray]) -> float:
        """The largest difference of a log-probability, at the same token after the same tokens."""
        keys = [key for key in self._led if key.endswith("/log_probability")]
        return max(float(np.abs(led[key] - self._led[key]).max()) for key in keys)

    def _check_error(self, error: float) -> None:
        if error > MOST_ERROR:
            raise ExportError(
                f"the export's log-probabilities differ from the model's by {error:.4f}, at most {MOST_ERROR:g} passes"
            )

    def _agreement(self, led: Mapping[str, np.ndarray]) -> float:
        """Share of the steps along the model's own texts, 0 to 100, where the export takes the same token."""
        same = steps = 0
        for signature in self.inputs:
            named, best = self.along[f"{signature}.expected"], led[f"{signature}.expected/best"]
            counted = np.arange(best.shape[1]) < named[WRITTEN_TOKENS][:, None]
            same += int((best == named[WRITTEN])[counted].sum())
            steps += int(counted.sum())
        agreement = 100 * same / steps
        if agreement < LEAST_AGREEMENT:
            raise ExportError(f"the export takes the model's token at only {agreement:.2f} % of {steps} steps")
        return round(agreement, 2)

    def _equal_texts(self, found: Mapping[str, Mapping[str, np.ndarray]]) -> float:
        rows = [
            (outputs["token_ids"] == self.expected[name]["token_ids"]).all(axis=1) for name, outputs in found.items()
        ]
        return round(100 * float(np.concatenate(rows).mean()), 2)

    def _scores(self, outputs: Mapping[str, Any], led: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Perplexity along the data's own texts, and of translations BLEU and chrF."""
        total = tokens = 0.0
        for group, named in self.along.items():
            if group.endswith(".reference"):
                total += float(led[f"{group}/log_probability"].sum(dtype=np.float64))
                tokens += float(named[WRITTEN_TOKENS].sum())
        scores = {"perplexity": round(float(np.exp(-total / tokens)), 4)} if tokens else {}
        if self.measure == "bleu":
            found = self.task.score(self.examples.records, self._answers(outputs))
            scores |= {name: found[name] for name in ("bleu", "chrf")}
        return scores

    def _answers(self, outputs: Mapping[str, Any]) -> list[Any]:
        answers = []
        for index, record in enumerate(self.examples.records):
            answers.append(self.task.answer(record, self._row(outputs, *signature_of(self.examples, index))))
        return answers

    def _row(self, outputs: Outputs, signature: str, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in outputs[signature].items()}

    def _check_drop(self, before: float, after: float) -> None:
        if self.measure == "bleu":
            drop, unit = before - after, "points of BLEU"
        else:
            drop, unit = 100 * (after / before - 1), "percent of perplexity"
        if drop > self.max_drop:
            raise ExportError(
                f"{self.measure} on {len(self.examples.records)} examples goes from {before:.2f} to {after:.2f}, more "
                f"than the {self.max_drop:g} {unit} allowed: quantize less, or raise --max-drop"
            )
