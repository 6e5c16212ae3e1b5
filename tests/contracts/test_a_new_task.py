"""A new task is three classes and one row: a toy one goes from text to a SavedModel without an edit elsewhere.

The question is whether a text has an even or an odd number of tokens. Its model has a sign for
each token, so it can learn the answer; a long text is asked about in windows, whose answers are put together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import textapp
from textapp import catalog
from textapp.batches.pipeline import BucketBatches, Examples
from textapp.catalog import Parts, load_config
from textapp.cli import main
from textapp.config import Config, Corpus, TaskKeys
from textapp.errors import ConfigError, ExportError, OptionError, UsageError
from textapp.models import build_encoder
from textapp.objectives.checks import examples as check_examples
from textapp.objectives.checks.check import Verdict
from textapp.objectives.checks.examples import make_examples
from textapp.objectives.signature import Signature, TextSignature
from textapp.predictors.predictor import Predictor
from textapp.predictors.requests import Request
from textapp.prepared import Prepared
from textapp.recipes.profile import Facts
from textapp.recipes.resolving import completed, filled
from textapp.recipes.tokenizers import load_or_make, make_tokenizer
from textapp.records.readers import read_rows, scan_rows
from textapp.records.rows import RowError
from textapp.records.splits import split_connected
from textapp.runners.keras import KerasRunner
from textapp.tasks.task import Listing

WINDOW = 8  # tokens


@dataclass(frozen=True)
class ParityAnswer:
    input: str
    parity: str
    windows: int

    def line(self) -> str:
        return f"{self.parity}\t{self.input}"


class ParityTask:
    """On the device: a request a window, the parities of the windows added up."""

    name = "parity"
    options = ("shout",)
    measures = {"right": "right answers"}
    fields = ("words",)
    optional = ()

    def __init__(self, tokenizer: Any, lengths: Sequence[int], shout: bool = False) -> None:
        self.tokenizer, self.lengths, self.shout = tokenizer, list(lengths), shout
        self.signatures = [(f"count_{length}", length) for length in self.lengths]

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], tokenizers: tuple, **options: Any) -> ParityTask:
        return cls(tokenizers[0], manifest["lengths"], **options)

    def predictor(self, runner: Any, manifest: Mapping[str, Any], path: Path, workers: int = 1) -> Predictor:
        return Predictor(self, runner, manifest, path, workers)

    def check_model(self, shapes: Mapping[str, Any]) -> None:
        """Any .tflite file with its signatures will do."""

    def record(self, words: Any = None) -> Mapping[str, Any]:
        if isinstance(words, str):
            return {"words": words}
        if isinstance(words, Mapping) and isinstance(words.get("words"), str):
            return words
        raise UsageError(f"found {words!r}, expected words")

    def check(self, record: Mapping[str, Any]) -> None:
        pass

    def windows(self, text: str) -> list[list[int]]:
        ids = self.tokenizer.ids(text)
        return [ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)] or [[]]

    def requests(self, record: Mapping[str, Any]) -> list[Request]:
        return [Request(*self.signatures[-1], {"token_ids": window}) for window in self.windows(record["words"])]

    def answer(self, record: Mapping[str, Any], outputs: Sequence[Mapping[str, np.ndarray]]) -> ParityAnswer:
        odd = sum(int(each["odd"] > 0.5) for each in outputs) % 2
        parity = "odd" if odd else "even"
        return ParityAnswer(record["words"], parity.upper() if self.shout else parity, len(outputs))

    def queries(self, records: Sequence[Mapping[str, Any]], max_count: int) -> list[Mapping[str, Any]]:
        return list(records)

    def score(self, records: Sequence[Mapping[str, Any]], answers: Sequence[ParityAnswer]) -> dict[str, Any]:
        right = [record["parity"] == answer.parity for record, answer in zip(records, answers, strict=True)]
        return {"examples": len(right), "right": 100 * sum(right) / len(right)}

    def intervals(
        self, records: Sequence[Mapping[str, Any]], answers: Sequence[ParityAnswer]
    ) -> dict[str, list[float]]:
        return {}

    def listing(self, records: Sequence[Mapping[str, Any]], answers: Sequence[ParityAnswer]) -> Listing:
        rows = [{"words": answer.input, "answer": answer.parity} for answer in answers]
        return Listing("parities", "what it counted", ("words", "answer"), rows)


class ParityCheck:
    """An export answers every window as the Keras model does."""

    quality, figures, forced, text_field = ("examples", "right"), ("right", "max_error"), None, "words"

    def __init__(self, runner: KerasRunner, task: ParityTask, records: Sequence[Mapping[str, Any]]) -> None:
        self.task, self.examples = task, make_examples(task, records)
        self.inputs = self.examples.inputs
        self.expected = {name: runner.run(name, inputs)["odd"] for name, inputs in self.inputs.items()}

    def judge(self, arrays: Mapping[str, np.ndarray], runtime: str, quantize: str) -> Verdict:
        outputs = {name: {"odd": arrays[f"{name}/odd"]} for name in self.inputs}
        error = max(float(np.abs(outputs[name]["odd"] - self.expected[name]).max()) for name in outputs)
        if error > 0.1:
            raise ExportError(f"differs by {error}")
        answers = [self.task.answer(*pair) for pair in zip(
            self.examples.records, self.examples.outputs_of(outputs), strict=True)]  # fmt: skip
        return Verdict(
            outputs, {"runtime": runtime, "max_error": error, **self.task.score(self.examples.records, answers)}
        )

    def golden(
        self, examples: check_examples.Examples, outputs: Mapping[str, Any], max_count: int
    ) -> list[dict[str, Any]]:
        return [{"words": record["words"]} for record in examples.records[:max_count]]

    def text_calls(self) -> list[list[int]]:
        return []

    def check_text(self, index: int, outputs: Mapping[str, Any], verdict: Verdict) -> None:
        raise AssertionError("it has no text signature")


class ParityObjective:
    """On TensorFlow: the encoder's sequence to the product of a sign a token."""

    quantizations, max_drops, decodes = ("none", "dynamic"), {}, False
    refusals = {"int8": "parity has no int8"}

    def build(self, prepared: Prepared) -> keras.Model:
        tokenizer = prepared.task.tokenizer
        encoder = build_encoder(prepared.config.model, tokenizer.vocabulary_size, tokenizer.pad_id, WINDOW)
        inputs = {"token_ids": keras.Input((None,), dtype="int32", name="token_ids")}
        flip = keras.layers.Dense(1, activation="sigmoid", name="flip")(encoder(inputs))[..., 0]
        real = keras.ops.cast(keras.ops.not_equal(inputs["token_ids"], tokenizer.pad_id), "float32")
        even = keras.ops.prod(1.0 - 2.0 * flip * real, axis=1, keepdims=True)
        return keras.Model(inputs, 0.5 - 0.5 * even, name="parity")

    build_inference = build

    def batches(self, prepared: Prepared) -> BucketBatches:
        windows, targets = prepared.data["train"]
        config = prepared.config
        return BucketBatches(
            Examples({"token_ids": windows}, targets), config.lengths[-1], 0, config.training.batch_size, config.seed
        )

    def loss(self, prepared: Prepared) -> Any:
        return lambda batch, odd: tf.keras.losses.binary_crossentropy(
            tf.cast(batch["targets"][:, None], odd.dtype), odd
        )

    def validation(self, prepared: Prepared, model: keras.Model) -> Any:
        return lambda: {"right": self.figures(prepared, model, prepared.splits.validation)["right"]}

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        predictor = prepared.task.predictor(self.runner(model, prepared.task), {}, Path())
        return prepared.task.score(records, predictor.batch(records))

    def settled(self, prepared: Prepared, model: keras.Model) -> Prepared:
        return prepared

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        return {"inputs": ["words"], "features": ["token_ids"]}

    def runner(self, model: keras.Model, task: ParityTask) -> KerasRunner:
        return KerasRunner(dict.fromkeys((name for name, _ in task.signatures), self._count(model)))

    def _count(self, model: keras.Model) -> Any:
        return lambda features: {"odd": model(dict(features), training=False)[:, 0]}

    def export_task(self, task: ParityTask, records: Sequence[Mapping[str, Any]]) -> ParityTask:
        return task

    def signatures(self, model: keras.Model, task: ParityTask, batch_size: int = 1) -> list[Signature]:
        return [Signature(name, {"token_ids": (1, length)}, self._count(model)) for name, length in task.signatures]

    def served_signatures(self, model: keras.Model, task: ParityTask) -> list[Signature]:
        return [Signature("tokens", {"token_ids": (None, WINDOW)}, self._count(model))]

    def text_signature(self, task: ParityTask, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        raise UsageError("parity takes no strings")

    def quantize_model(self, model: keras.Model, quantize: str, task: ParityTask, records: Sequence) -> None:
        return None

    def check(
        self, model: keras.Model, task: ParityTask, records: Sequence, max_drop: float, batch_size: int = 1
    ) -> Any:
        return ParityCheck(self.runner(model, task), task, records)


class ParityRecipe:
    """On the workstation: tables with `words` and `parity`."""

    task = ParityTask
    keys = TaskKeys(
        role="encoder", columns={"words": ("words", "tokens"), "parity": ("parity",), "comment": ("comment",)},
        keys=frozenset({"data.language"}), monitors=("right", "loss"), optional=frozenset({"comment"}),
    )  # fmt: skip

    def objective(self) -> ParityObjective:
        return ParityObjective()

    def load(self, source: Any, layout: Any, data_dir: Path) -> list[dict[str, Any]]:
        return [
            {name: row.values[name] for name in ("words", "parity")}
            for row in read_rows(data_dir / source, layout, ["words", "parity"])
        ]

    def scan(self, source: Any, layout: Any, data_dir: Path) -> Iterator[tuple[int, Any]]:
        for row in scan_rows(data_dir / source, layout, ["words"]):
            yield row.line, row if isinstance(row, RowError) else {"words": row.values["words"]}

    def trainable(self, records: list, source: Any, layout: Any) -> list:
        return records

    def labels(self, train: list) -> Sequence[str]:
        return ()

    def set_aside(self, records: list, share: float, config: Config) -> Any:
        return split_connected(records, share, config.seed, ("words",))

    def divides_texts(self, config: Config) -> bool:
        return False

    def prepare(self, config: Config, splits: Any, folder: Path) -> Prepared:
        config = completed(config, {
            "tokenizer": config.tokenizer.model_copy(update={"kind": "bpe", "vocabulary_size": 40}),
            "cleaning": [], "lengths": [WINDOW],
            "model": filled(config.model, config.model.defaults("encoder", Corpus([WINDOW]))),
            "training": filled(config.training, {
                "epochs": 12, "batch_size": 32, "learning_rate": 0.03, "optimizer": "adam", "schedule": "constant",
                "warmup_steps": 0, "weight_decay": 0.0, "label_smoothing": 0.0, "patience": 0, "monitor": "right",
                "average_checkpoints": 0,
            }),
        }, self.keys)  # fmt: skip
        tokenizer, _ = load_or_make(
            folder, lambda: (make_tokenizer(config, splits.train, ["words"], "en", "read"),) * 2
        )
        task = ParityTask(tokenizer, config.lengths)
        windows = [window for record in splits.train for window in task.windows(record["words"]) if window]
        targets = np.array([len(window) % 2 for window in windows], np.int32)
        data = {"train": ([np.array(window, np.int32) for window in windows], targets)}
        return Prepared(config, splits, task, ["en"], True, data)

    def profile(self, config: Config, splits: Any) -> dict[str, Any]:
        return {"task": "parity", "rows": len(splits.train), "warnings": []}

    def sections(self, profile: dict[str, Any]) -> list[Facts]:
        return [Facts("data", {"rows": profile["rows"]})]


@pytest.fixture(autouse=True)
def the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.TASKS, "parity", Parts(ParityTask, ParityRecipe))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data whose parity is that of the tokens, as each word is one token."""
    folder, dice = tmp_path_factory.mktemp("parity"), np.random.default_rng(0)
    # One token alone teaches its sign, so the texts to train on are short.
    for name, count, longest in (("train", 400, 6), ("test", 60, 19)):
        texts = [" ".join(dice.choice(["ba", "be", "bi"], dice.integers(1, longest + 1))) for _ in range(count)]
        lines = [f"{text}\t{'odd' if len(text.split()) % 2 else 'even'}" for text in texts]
        (folder / f"{name}.tsv").write_text("\n".join(["words\tparity", *lines]) + "\n", encoding="utf-8")
    config = {
        "task": "parity", "run": str(folder / "run"), "data": {"train": "train.tsv", "test": "test.tsv"},
        "tokenizer": {}, "model": {"architecture": "mlp", "ngrams": 1, "subwords": []},
    }  # fmt: skip
    (folder / "parity.yaml").write_text(json.dumps(config), encoding="utf-8")
    return folder


def command(*arguments: object) -> None:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert left.value.code == 0


def test_from_text_to_saved_model(folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textapp.export.auto.SECONDS", 0.2)
    run, data = folder / "run", ("--data-dir", folder)
    command("check", folder / "parity.yaml", *data)
    assert "400" not in (shown := capsys.readouterr().out) and "rows" in shown  # a tenth is set aside
    command("train", folder / "parity.yaml", *data)
    command("evaluate", run, *data, "--json")
    assert json.loads(capsys.readouterr().out)["right"] == 100
    for target, more in (("litert", ["--quantize", "auto"]), ("saved_model", [])):
        command("export", run, "--target", target, *more, *data)
        capsys.readouterr()
        bundle = run / "exports" / target
        trusted = ["--trusted"] * (target == "saved_model")
        command("predict", bundle, "ba be bi", "ba be", *trusted)
        assert capsys.readouterr().out == "odd\tba be bi\neven\tba be\n"
        command("predict", bundle, "--input", folder / "test.tsv", "--json", *trusted)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert all(line["parity"] == ("odd" if len(line["input"].split()) % 2 else "even") for line in lines)
        assert len(lines) == 60


def test_a_long_text_is_asked_about_in_windows(folder: Path) -> None:
    for path in (folder / "run", folder / "run" / "exports" / "litert"):
        predictor = textapp.load(path, shout=True)
        texts = [" ".join(["ba"] * count) for count in range(40)]
        assert predictor(words=texts[21]) == ParityAnswer(texts[21], "ODD", 3)
        answers = predictor.batch(texts, workers=2)
        assert [answer.parity for answer in answers] == ["ODD" if count % 2 else "EVEN" for count in range(40)]
        assert answers == [predictor(text) for text in texts]


def test_its_keys_and_options_are_its_own(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.monitor: found 'accuracy', expected one of right, loss"):
        load_config(folder / "parity.yaml", ["training.monitor=accuracy"])
    with pytest.raises(ConfigError, match=r"data.labels: .* task parity has no such key"):
        load_config(folder / "parity.yaml", ["data.labels=multiple"])
    with pytest.raises(ConfigError, match="did you mean 'parity'"):
        load_config(folder / "parity.yaml", ["task=party"])
    with pytest.raises(OptionError, match="threshold is not for a model of parity, which takes shout"):
        textapp.load(folder / "run", threshold=0.5)
    with pytest.raises(UsageError, match="parity has no int8"):
        from textapp.artifact import open_artifact
        from textapp.export.options import ExportOptions

        ExportOptions(quantize="int8").check(open_artifact(folder / "run"), ParityObjective(), [{}])
