"""Structured pruning: what leaves is what counts least, and what counts nothing leaves no trace."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import published
import pytest
import tensorflow as tf

import textapp
from textapp.artifact import open_artifact
from textapp.catalog import load_config, parse_config, recipe_of
from textapp.commands.compress import compress
from textapp.commands.export import export
from textapp.commands.train import train_config
from textapp.compression import structure
from textapp.compression.recipe import Structure
from textapp.compression.shrunk import smaller_model
from textapp.config import ModelConfig, PresetModel
from textapp.errors import ConfigError
from textapp.export.options import ExportOptions
from textapp.models import GeneratorSettings, build_encoder, build_generator
from textapp.models.preset import sizes_of
from textapp.objectives.question_answering import QuestionAnsweringObjective

sys.path.insert(0, str(Path(__file__).parent))
import small  # noqa: E402

DICE = np.random.default_rng(5)
IDS = np.array([[2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 0, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]], np.int32)
FEATURES = {
    "classification": {"token_ids": IDS},
    "question_answering": {"token_ids": IDS, "segment_ids": SEGMENTS},
    "translation": {"token_ids": IDS, "target_ids": IDS[:, ::-1].copy()},
    "generation": {"token_ids": IDS},
}
BLOCKS = {"architecture": "transformer", "dropout": 0, "hidden_dim": 8, "num_heads": 4, "intermediate_dim": 10}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("classification", {"architecture": "mlp", "hidden_dims": [6, 4], "batch_normalization": True, "ngrams": 1}),
    ("classification", {"architecture": "cnn", "filters": 6, "kernel_sizes": [1, 3], "batch_normalization": True}),
    ("classification", {"architecture": "lstm", "units": [6, 4], "bidirectional": True, "dense_units": 5}),
    ("classification", {**BLOCKS, "num_layers": 2, "num_key_value_heads": 2, "activation": "swiglu"}),
    ("question_answering", {"architecture": "lstm", "units": [4, 6], "bidirectional": True}),
    ("question_answering", {**BLOCKS, "num_layers": 2, "positions": "rope"}),
    ("translation", {"architecture": "lstm", "units": [4, 8], "bidirectional": True}),
    ("translation", {**BLOCKS, "encoder_layers": 2, "decoder_layers": 1}),
    ("generation", {"architecture": "lstm", "units": [4, 6]}),
    ("generation", {**BLOCKS, "num_layers": 2, "positions": "rope"}),
]
NAMES = [f"{task}-{model['architecture']}" for task, model in CASES]


def step_of(**shares: Any) -> Structure:
    return small.step_of(method="structure", **shares)


def config_of(task: str, model: dict[str, Any]) -> ModelConfig:
    """The model part of a config, with its defaults."""
    data = {"train": {"source": "a", "target": "b"}} if task == "translation" else {"train": "a"}
    config = parse_config({"task": task, "run": "r", "data": data, "model": model}).model
    sizes = {"mlp": 8, "cnn": 8, "lstm": 8}.get(config.architecture)
    update = {"embedding_dim": sizes, "dropout": 0.0} if sizes else {}
    defaults = {"positions": "learned", "subwords": [], "naive_bayes": False, "tie_embeddings": False}
    update |= {key: value for key, value in defaults.items() if getattr(config, key, "") is None}
    return config.model_copy(update=update)


def build(task: str, config: ModelConfig) -> keras.Model:
    """A model of a vocabulary of 9 that answers with random weights."""
    if task == "classification":
        from textapp.objectives.classifier import build_model

        model = build_model(SimpleNamespace(model=config, lengths=[6]), 9, 0, 3)
    elif task == "question_answering":
        tokenizer = SimpleNamespace(vocabulary_size=9, pad_id=0)
        inner = SimpleNamespace(tokenizer=tokenizer, feature_names=["token_ids", "segment_ids"])
        prepared = SimpleNamespace(config=SimpleNamespace(model=config, lengths=[6]), task=inner)
        model = QuestionAnsweringObjective().build_inference(prepared)
    else:
        sources = {"source_vocabulary_size": None, "max_source_length": 6} if task == "translation" else {}
        model = build_generator(config, GeneratorSettings(9, 0, 1, 2, 6, **sources))
    model({name: tf.constant(ids) for name, ids in FEATURES[task].items()})
    return scattered(model)


def scattered(model: keras.Model) -> keras.Model:
    """With large random weights."""
    for weight in model.weights:
        if "float" in weight.dtype:
            values = DICE.normal(0, 0.5, weight.shape)
            weight.assign(np.abs(values) if "variance" in weight.path else values)
    return model


def outputs(task: str, model: keras.Model) -> np.ndarray:
    found = np.asarray(model({name: tf.constant(ids) for name, ids in FEATURES[task].items()}, training=False))
    return found[FEATURES[task]["token_ids"] > 0] if found.ndim == 3 else found


def silence(group: structure.Group, units: list[int]) -> None:
    """Makes the weights that read some units 0."""
    for part in group.parts:
        if part.reads:
            values = np.moveaxis(np.array(part.variable), part.axis, 0)
            values[part.places[units].reshape(-1)] = 0
            part.variable.assign(np.moveaxis(values, 0, part.axis))


@pytest.mark.parametrize(("task", "model"), CASES, ids=NAMES)
def test_units_that_nobody_reads_leave_no_trace(task: str, model: dict[str, Any]) -> None:
    config = config_of(task, model)
    less = smaller_model(config, step_of(keep=0.5))
    before, after = build(task, config), build(task, less)
    found = structure.anatomy(before)
    chosen = []
    for group, smaller in zip(found.groups, structure.anatomy(after).groups, strict=True):
        assert smaller.count == (group.count + 1) // 2, group.name
        keep = sorted(DICE.permutation(group.count)[: smaller.count].tolist())
        silence(group, [unit for unit in range(group.count) if unit not in keep])
        chosen.append(keep)
    kept = structure.Kept(chosen, [list(range(len(stack))) for stack in found.stacks])

    after.set_weights(structure.kept_weights(before, found, kept))

    assert after.count_params() < before.count_params()
    assert np.abs(outputs(task, before)).max() > 0.1
    np.testing.assert_allclose(outputs(task, after), outputs(task, before), atol=1e-5)


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_importance_is_the_change_of_the_loss_by_a_factor_of_the_output(tmp_path: Path, architecture: str) -> None:
    """By differences, with the factor in the weights that read the unit, for each example on its own."""
    data = small.prepared(tmp_path, architecture)
    objective, model = recipe_of("classification").objective(), scattered(small.start(data))
    found, loss = structure.anatomy(model), objective.loss(data)
    source = objective.batches(data)
    measured = structure.importance(model, found, source, loss, 2)
    rows = list(structure._rows(source, 2))
    assert len(rows) == 2

    def losses() -> np.ndarray:
        return np.array([float(loss(row, model(row["features"], training=False))[0]) for row in rows])

    def slopes(parts: list[tuple[Any, int | None, Any]]) -> float:
        sides = []
        before = {id(variable): (variable, np.array(variable)) for variable, *_ in parts}
        for factor in (1.05, 0.95):
            for variable, axis, places in parts:
                scaled = np.moveaxis(np.array(variable), axis or 0, 0)
                scaled[places] *= factor
                variable.assign(np.moveaxis(scaled, 0, axis or 0))
            sides.append(losses())
            for variable, values in before.values():
                variable.assign(values)
        return float(np.mean(np.abs(sides[0] - sides[1]) / 0.1))

    for group, values in zip(found.groups, measured.units, strict=True):
        for unit in (0, group.count - 1):
            parts = [(part.variable, part.axis, part.places[unit]) for part in group.parts if part.reads]
            assert values[unit] == pytest.approx(slopes(parts), rel=0.02, abs=1e-4), (group.name, unit)
    for stack, values in zip(found.stacks, measured.blocks, strict=True):
        whole = [(variable, None, slice(None)) for variable in structure._outputs(stack[0])]
        assert values[0] == pytest.approx(slopes(whole), rel=0.02, abs=1e-4)


def test_what_counts_most_stays(tmp_path: Path) -> None:
    """A block without outputs leaves, and of the others what is read stays: the model answers as before."""
    shares = {"keep": 0.5, "layers": 0.67}
    config = config_of("generation", {**BLOCKS, "num_layers": 3, "positions": "rope"})
    less = smaller_model(config, step_of(**shares))
    assert (less.num_layers, less.num_heads, less.head_dim, less.intermediate_dim) == (2, 2, 2, 5)
    before, after = build("generation", config), build("generation", less)
    found = structure.anatomy(before)
    for variable in structure._outputs(found.stacks[0][1]):
        variable.assign(np.zeros(variable.shape))
    expected = []
    for group in found.groups:
        keep = sorted(DICE.permutation(group.count)[: (group.count + 1) // 2].tolist())
        silence(group, [unit for unit in range(group.count) if unit not in keep])
        expected.append(None if group.block is found.stacks[0][1] else keep)
    row = {"features": FEATURES["generation"], "targets": np.roll(IDS, -1, axis=1), "weights": np.ones(2, np.float32)}
    source = SimpleNamespace(plan=lambda epoch: None, distributed=lambda plan, strategy: iter([
        tf.nest.map_structure(tf.constant, row)
    ]))  # fmt: skip
    training = SimpleNamespace(label_smoothing=0.0)
    loss = recipe_of("generation").objective().loss(SimpleNamespace(config=SimpleNamespace(training=training)))

    kept = structure.choose(found, structure.importance(before, found, source, loss, 256), structure.anatomy(after))

    assert kept == structure.Kept(expected, [[0, 2]])
    structure.store_kept(kept, tmp_path / "kept.json")
    assert structure.stored_kept(tmp_path / "kept.json") == kept and structure.stored_kept(tmp_path / "none") is None
    after.set_weights(structure.kept_weights(before, found, kept))
    np.testing.assert_allclose(outputs("generation", after), outputs("generation", before), atol=1e-5)
    rows = structure.told(found, kept)["groups"]
    assert [(row["before"], row["after"]) for row in rows] == [(10, 5), (4, 2), (10, 0), (4, 0), (10, 5), (4, 2)]


def test_of_equal_units_the_first_stay() -> None:
    assert structure._greatest(np.array([1.0, 3.0, 2.0, 3.0, 1.0]), 3) == [1, 2, 3]
    assert structure._greatest(np.zeros(4), 2) == [0, 1]


# --- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shares", "expected"),
    [
        ({**BLOCKS, "num_layers": 4}, {"keep": 0.25}, {"num_layers": 4, "num_heads": 1, "intermediate_dim": 3}),
        ({**BLOCKS, "num_layers": 4}, {"layers": 0.5}, {"num_layers": 2, "num_heads": 4, "head_dim": None}),
        (
            {**BLOCKS, "encoder_layers": 4, "decoder_layers": 4}, {"decoder_layers": 0.25},
            {"encoder_layers": 4, "decoder_layers": 1},
        ),
        (
            {**BLOCKS, "encoder_layers": 4, "decoder_layers": 4}, {"layers": 0.5, "decoder_layers": 0.25},
            {"encoder_layers": 2, "decoder_layers": 1},
        ),
        ({**BLOCKS, "num_layers": 1, "intermediate_dim": None}, {"feed_forward": 0.5}, {"intermediate_dim": 16}),
        (
            {**BLOCKS, "num_layers": 1, "num_key_value_heads": 2}, {"heads": 0.5},
            {"num_heads": 2, "num_key_value_heads": 1, "head_dim": 2},
        ),
        (
            {"architecture": "lstm", "units": [8, 1], "dense_units": 5}, {"keep": 0.3},
            {"units": [2, 1], "dense_units": 2},
        ),
        ({"architecture": "cnn", "filters": 10}, {"units": 0.7}, {"filters": 7}),
        ({"architecture": "cnn", "filters": 10}, {"keep": 0.5}, {"filters": 5, "dropout": 0.0}),
        ({"architecture": "cnn", "filters": 10}, {"keep": 0.5, "dropout": 0.1}, {"filters": 5, "dropout": 0.1}),
        ({"architecture": "mlp", "hidden_dims": [9]}, {"keep": 0.5}, {"hidden_dims": [5]}),
    ],
)  # fmt: skip
def test_the_config_of_the_smaller_model(model: dict[str, Any], shares: dict[str, float], expected: dict) -> None:
    task = "translation" if "encoder_layers" in model else "classification"
    less = smaller_model(config_of(task, model), step_of(**shares))
    assert {key: getattr(less, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("model", "shares", "found"),
    [
        ({"architecture": "cnn", "filters": 8}, {"heads": 0.5},
         "steps.0.heads: found a share of heads, of which this cnn has none to spare, expected of it: units"),
        ({**BLOCKS, "num_layers": 2}, {"units": 0.5}, "expected of it: feed_forward, heads, layers"),
        ({**BLOCKS, "num_layers": 2}, {"decoder_layers": 0.5},
         "steps.0.decoder_layers: found a share of decoder layers, of which this transformer has none to spare"),
        ({**BLOCKS, "num_layers": 2}, {"heads": 0.1},
         "steps.0.heads: found 0.1 of 4 heads, which leaves none, expected at least 0.25"),
        ({"architecture": "mlp", "hidden_dims": []}, {"keep": 0.5},
         "steps.0: found nothing to remove from the model (it has no hidden layers): lower a share, or"),
        ({"architecture": "mlp", "hidden_dims": []}, {"units": 0.5},
         "found a share of units, of which this mlp has none to spare, expected of it: nothing, leave the step out"),
        ({"architecture": "cnn", "filters": 8}, {"keep": 0.99},
         "steps.0: found nothing to remove from the model (filters 8): lower a share, or"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model(model: dict[str, Any], shares: dict[str, float], found: str) -> None:
    with pytest.raises(ConfigError) as error:
        smaller_model(config_of("classification", model), step_of(**shares))
    assert found in str(error.value) and "\n" not in str(error.value)


# --- presets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["bert", "albert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("distilbert", "electra"))]
)
def test_a_text_encoder_of_a_folder_becomes_smaller(tmp_path: Path, name: str) -> None:
    config = PresetModel(architecture="preset", path=str(published.write(name, tmp_path)), dropout=0.0)
    sizes = sizes_of(config)
    less = smaller_model(config, step_of(keep=0.5, **({} if name == "albert" else {"layers": 0.5})), preset=sizes)
    assert less.sizes == {key: size // 2 for key, size in sizes.items()} and ("num_layers" in sizes) != (
        name == "albert"
    )
    before, after = build_encoder(config, 60, 0, 16), build_encoder(less, 60, 0, 16)
    found = structure.anatomy(before)
    for weight in after.weights:  # until it is given others, those of the first layers, heads and units
        first = next(each for each in before.weights if each.path == weight.path)
        assert np.array_equal(np.asarray(weight), np.asarray(first)[tuple(map(slice, weight.shape))])

    kept = structure.Kept([], [[1] if len(stack) == 2 else [0] for stack in found.stacks])
    for group in found.groups:
        stays = group.block in [found.stacks[0][number] for number in kept.blocks[0]]
        kept.units.append(list(range(group.count // 2, group.count)) if stays else None)
        silence(group, list(range(group.count // 2)))
    after.set_weights(structure.kept_weights(before, found, kept))
    whole = build_encoder(config, 60, 0, 16) if name == "albert" else build_encoder(
        config.model_copy(update={"num_layers": 1}), 60, 0, 16
    )  # fmt: skip
    every = [list(range(group.count)) if stays else None for group, stays in zip(found.groups, kept.units, strict=True)]
    whole.set_weights(structure.kept_weights(before, found, structure.Kept(every, kept.blocks)))
    features = {"token_ids": published.TOKENS}
    np.testing.assert_allclose(np.asarray(after(features)), np.asarray(whole(features)), atol=1e-5)


def test_sizes_that_a_preset_has_not(tmp_path: Path) -> None:
    folder = str(published.write("albert", tmp_path))
    config = PresetModel(architecture="preset", path=folder, num_layers=1)
    with pytest.raises(ConfigError, match="model.num_layers: found 1, but the layers of this preset are one"):
        build_encoder(config, 60, 0, 16)
    config = PresetModel(architecture="preset", path=folder, intermediate_dim=10_000)
    with pytest.raises(ConfigError, match="model.intermediate_dim: found 10000, expected at most the 24 of the preset"):
        build_encoder(config, 60, 0, 16)
    with pytest.raises(ConfigError, match="steps.0.layers: found a share of layers, of which this preset has none"):
        smaller_model(config, step_of(layers=0.5), preset=sizes_of(PresetModel(architecture="preset", path=folder)))
    with pytest.raises(ConfigError, match="steps.0.method: found structure for a preset that writes"):
        smaller_model(config, step_of(keep=0.5))
    model = {"architecture": "preset", "path": folder, "num_layers": 1}
    with pytest.raises(
        ConfigError, match="model.num_layers: found 1, but for task generation the sizes of a preset are"
    ):
        parse_config({"task": "generation", "run": "r", "data": {"train": "a"}, "model": model})


# --- runs ----------------------------------------------------------------------------------------------------------

GOOD, BAD = ("fine", "lovely", "superb"), ("awful", "dull", "broken")


def train(folder: Path, model: dict[str, Any]) -> Path:
    """A run in `folder/run` that tells good texts from bad ones."""
    lines = ["text\tlabel"]
    for index in range(96):
        label = ("good", "bad")[index % 2]
        lines.append(f"number {index // 2 % 8} was a {(GOOD, BAD)[index % 2][index // 2 % 3]} thing\t{label}")
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "task": "classification", "run": str(folder / "run"), "data": {"train": "train.tsv", "validation": 0.25},
        "model": model, "lengths": [16],
        "training": {"epochs": 4, "batch_size": 8, "device": "cpu", "learning_rate": 0.003, "precision": "float32"},
    }  # fmt: skip
    return train_config(parse_config(config), folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"hidden_dim": 32, "num_layers": 2, "num_heads": 4, "dropout": 0.0}
    return train(tmp_path_factory.mktemp("structure"), {"architecture": "transformer", **sizes})


def recipe(folder: Path, steps: str) -> Path:
    file = folder / "less.yaml"
    file.write_text(f"steps: {steps}", encoding="utf-8")
    return file


def test_a_run_becomes_smaller_after_a_stop_and_its_file_answers_as_it_does(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    steps = (
        "[{method: structure, keep: 0.5, layers: 0.5, epochs: 3, learning_rate: 0.003, examples: 16, "
        "hidden_states: 0.5}]"
    )
    file, work = recipe(tmp_path, steps), tmp_path / "new.textapp-work" / "new" / "steps" / "1"

    def stop(*args: Any, **settings: Any) -> None:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="stopped"):
        patch.setattr("textapp.compression.trainings.fit", stop)
        compress(run, file, new_run=str(tmp_path / "new"))
    kept = structure.stored_kept(work / "kept.json")
    assert kept is not None and sorted(len(units or []) for units in kept.units) == [0, 0, 2, 64]
    monkeypatch.setattr("textapp.compression.structure.importance", stop)  # it is not measured again
    made = compress(run, file, new_run=str(tmp_path / "new"))

    assert "has less to compute" in capsys.readouterr().out and not work.exists()
    model = load_config(made / "config.yaml").model
    assert (model.num_layers, model.num_heads, model.head_dim, model.intermediate_dim) == (1, 2, 8, 64)
    metrics = json.loads((made / "metrics.json").read_text(encoding="utf-8"))
    step = metrics["compression"]["steps"][0]
    assert [(row["kind"], row["before"]) for row in step["groups"]] == 2 * [("feed_forward", 128), ("heads", 4)]
    assert [row["after"] for row in step["groups"]] == [len(units or []) for units in kept.units]
    assert step["layers"] == kept.blocks and len(step["history"]) == 3
    assert metrics["compression"]["sizes"]["parameters"] < 0.6 * metrics["compression"]["before"]["sizes"]["parameters"]
    assert metrics["validation"]["accuracy"] >= 90
    assert open_artifact(made).manifest["parent"]["run"] == "run"

    texts = [f"number 3 was a {word} thing" for word in (*GOOD, *BAD)]
    keras_answers = textapp.load(made).batch(texts)
    assert [answer.label for answer in keras_answers] == 3 * ["good"] + 3 * ["bad"]
    bundle = textapp.load(export(made, ExportOptions("litert", "none", max_drop=100.0)))
    for one, other in zip(keras_answers, bundle.batch(texts), strict=True):
        assert (one.label, one.probability) == (other.label, pytest.approx(other.probability, abs=1e-4))


@pytest.mark.slow
def test_a_smaller_run_becomes_smaller_again_and_int8(run: Path, tmp_path: Path) -> None:
    steps = (
        "[{method: structure, keep: 0.5, epochs: 2, teacher: false}, {method: prune, sparsity: 0.5, epochs: 1}, "
        "{method: quantize_aware, epochs: 1}]"
    )
    made = compress(run, recipe(tmp_path, steps), new_run=str(tmp_path / "new"))
    texts = [f"number 3 was a {word} thing" for word in (*GOOD, *BAD)]
    bundle = textapp.load(export(made, ExportOptions("litert", "dynamic", max_drop=100.0)))
    for one, other in zip(textapp.load(made).batch(texts), bundle.batch(texts), strict=True):
        assert (one.label, one.probability) == (other.label, pytest.approx(other.probability, abs=0.02))
    again = compress(made, recipe(tmp_path, "[{method: structure, feed_forward: 0.5, epochs: 1}]"))
    model = load_config(again / "config.yaml").model
    assert (model.num_heads, model.head_dim, model.intermediate_dim) == (2, 8, 32)


@pytest.mark.slow
def test_a_run_of_a_preset_becomes_smaller(tmp_path: Path) -> None:
    keras_hub = pytest.importorskip("keras_hub")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "number", "was", "a", "thing", *GOOD, *BAD]
    preset = tmp_path / "bert"
    keras_hub.models.BertBackbone(
        vocabulary_size=len(words), num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=32,
        max_sequence_length=32,
    ).save_to_preset(str(preset))  # fmt: skip
    keras_hub.models.BertTokenizer(vocabulary=words, lowercase=True).save_to_preset(str(preset))
    old = train(tmp_path, {"architecture": "preset", "path": "bert"})
    steps = "[{method: structure, keep: 0.5, layers: 0.5, epochs: 2}, {method: prune, sparsity: 0.5, epochs: 1}]"
    made = compress(old, recipe(tmp_path, steps), new_run=str(tmp_path / "new"))
    model = load_config(made / "config.yaml").model
    assert isinstance(model, PresetModel)
    assert model.sizes == {"num_layers": 1, "num_heads": 1, "intermediate_dim": 16}
    shutil.rmtree(preset)
    bundle = textapp.load(export(made, ExportOptions("litert", "none", max_drop=100.0)))
    for text in ("number 3 was a lovely thing", "a dull thing"):
        one, other = textapp.load(made)(text), bundle(text)
        assert (one.label, one.probability) == (other.label, pytest.approx(other.probability, abs=1e-4))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["transformer", "lstm"])
def test_a_translator_becomes_smaller(tmp_path: Path, architecture: str) -> None:
    colours = ("red", "blue", "green", "black")
    lines = [f"{one} {other}\t{other} {one}" for one in colours for other in colours] * 4
    (tmp_path / "train.tsv").write_text("\n".join(["source\ttarget", *lines]) + "\n", encoding="utf-8")
    sizes = {
        "transformer": {"hidden_dim": 16, "num_heads": 2, "num_layers": 2}, "lstm": {"units": [16], "embedding_dim": 8}
    }  # fmt: skip
    config = {
        "task": "translation", "run": str(tmp_path / "run"), "data": {"train": "train.tsv", "validation": 0.25},
        "lengths": [16], "generate_lengths": [[16, 16]],
        "tokenizer": {"kind": "characters", "vocabulary_size": 40, "shared": True},
        "model": {"architecture": architecture, "dropout": 0, **sizes[architecture]},
        "training": {"epochs": 1, "device": "cpu", "batch_size": 16},
    }  # fmt: skip
    old = train_config(parse_config(config), tmp_path)
    shares = "layers: 0.5, teacher: false, " if architecture == "transformer" else ""
    made = compress(old, recipe(tmp_path, f"[{{method: structure, keep: 0.5, {shares}epochs: 1, examples: 16}}]"))
    model = load_config(made / "config.yaml").model
    if architecture == "transformer":
        found = model.encoder_layers, model.decoder_layers, model.num_heads, model.head_dim, model.intermediate_dim
        assert found == (1, 1, 1, 8, 32)
    else:
        assert model.units == [8]
    answer = textapp.load(made)("red blue").output
    bundle = textapp.load(export(made, ExportOptions("litert", "none", max_drop=100.0)))
    assert bundle("red blue").output == answer


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("[{method: structure}]", "less.yaml, line 1: steps.0: found no share below 1 of any part, expected one, such"),
        ("[{method: structure, keep: 50}]", "steps.0.keep: found 50: expected a share between 0 and 1: write 0.5"),
        ("[{method: structure, keep: 0}]", "steps.0.keep: found 0"),
        ("[{method: structure, units: 0.5}]", "line 1: steps.0.units: found a share of units, of which this tra"),
        ("[{method: prune, sparsity: 0.5}, {method: structure, keep: 0.5}]",
         "steps.1.method: found structure after prune, expected it before: the smaller model is trained, which moves"),
        ("[{method: structure, keep: 0.5}, {method: structure, layers: 0.1}]",
         "line 1: steps.1.layers: found 0.1 of 2 layers, which leaves none, expected at least 0.5"),
        ("[{method: structure, keep: 0.5}, {method: prune, sparsity: 0.5, layers: [cell]}]",
         "steps.1.layers.0: found 'cell', expected a layer with a kernel"),
    ],
)  # fmt: skip
def test_what_is_refused(run: Path, tmp_path: Path, steps: str, found: str) -> None:
    with pytest.raises(ConfigError) as error:
        compress(run, recipe(tmp_path, steps), new_run=str(tmp_path / "refused"))
    assert found in str(error.value)
    assert not (tmp_path / "refused").exists()
