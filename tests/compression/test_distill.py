"""Distillation: what is kept of a teacher, the losses by formulas, and students of tiny teachers."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.arrays import IGNORED
from textapp.batches.taught import TEACHER
from textapp.catalog import parse_config, recipe_of
from textapp.compression.distill import state_fault, store_answers, student_hooks, taught
from textapp.errors import ConfigError
from textapp.layers import hidden_states, with_hidden_states
from textapp.objectives import lessons
from textapp.objectives.generation import overlapping
from textapp.objectives.lessons import Mix
from textapp.recipes.training_run import fit
from textapp.records.splits import Splits
from textapp.tasks.task import Record

sys.path.insert(0, str(Path(__file__).parent))
import small  # noqa: E402

STRATEGY = tf.distribute.get_strategy()
DICE = np.random.default_rng(4)
STUDENT = {"method": "distill", "model": {"architecture": "cnn", "filters": 4}}


def batch_of(lesson: lessons.Lesson, stored: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """All batches of the first epoch."""
    source = lesson.batches(stored)
    return list(source.distributed(source.plan(0), STRATEGY))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def kl(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """The divergence of probabilities, along the last axis; 0 * ln 0 is 0."""
    return np.where(teacher > 0, teacher * np.log(np.maximum(teacher, 1e-30) / student), 0).sum(axis=-1)


def trained(folder: Path, data: Any, objective: Any = None) -> keras.Model:
    objective = objective or recipe_of(data.config.task).objective()
    return fit(data, objective, folder, STRATEGY)[0]


def student_of(folder: Path, teacher: keras.Model, data: Any, others: Any, **settings: Any) -> keras.Model:
    """A student of `others`, the data as it reads them, of a teacher of `data`."""
    objective = recipe_of(data.config.task).objective()
    unlabelled: list[Record] = settings.pop("texts", [])
    stored = store_answers(objective.lesson(data, unlabelled), teacher, folder / "answers")
    step = small.step_of(**{**STUDENT, **settings})
    return trained(folder, others, taught(objective, objective.lesson(others, unlabelled), step, stored))


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_of_labels_is_the_formula(tmp_path: Path, temperature: float) -> None:
    teacher, student = DICE.normal(0, 3, (2, 5, 4)).astype(np.float32)
    found = lessons.label_divergence(teacher, student, temperature, multiple=False).numpy()
    assert np.allclose(found, kl(softmax(teacher / temperature), softmax(student / temperature)), atol=1e-5)
    found = lessons.label_divergence(teacher, student, temperature, multiple=True).numpy()
    one, other = (1 / (1 + np.exp(-each / temperature)) for each in (teacher, student))
    expected = one * np.log(one / other) + (1 - one) * np.log((1 - one) / (1 - other))
    assert np.allclose(found, expected.mean(axis=1), atol=1e-5)


def test_the_room_for_the_answers_is_taken_before_they_are_written(tmp_path: Path) -> None:
    """Else a disk that fills up ends the process with SIGBUS, which no message can tell of."""
    seen = []

    def answers(_: object) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        seen.append((tmp_path / "answers.part" / "logits.npy").stat().st_blocks * 512)
        yield slice(0, 3), {"logits": np.ones((3, 50_000), np.float32)}

    lesson: Any = SimpleNamespace(rows=3, items="texts", arrays={"logits": ((50_000,), "float32")}, answers=answers)
    stored = store_answers(lesson, None, tmp_path / "answers")
    assert seen[0] >= 3 * 50_000 * 4 and (stored["logits"] == 1).all()


def test_both_losses_are_mixed_by_alpha_and_unlabelled_texts_have_the_teachers_alone(tmp_path: Path) -> None:
    data = small.prepared(tmp_path, "cnn")
    objective = recipe_of("classification").objective()
    lesson = objective.lesson(data, [{"text": "zz"}, {"text": "ay"}])
    assert lesson.rows == 66
    stored = {"logits": DICE.normal(0, 2, (66, 4)).astype(np.float16)}
    batches = batch_of(lesson, stored)
    rows = np.concatenate([batch["rows"].numpy()[batch["weights"].numpy() > 0] for batch in batches])
    assert sorted(rows.tolist()) == list(range(66))
    batch = next(batch for batch in batches if 65 in batch["rows"].numpy().tolist())
    rows = batch["rows"].numpy()
    assert np.array_equal(batch[TEACHER]["logits"].numpy(), stored["logits"][rows])
    student = DICE.normal(0, 2, (8, 4)).astype(np.float32)
    soft = kl(softmax(stored["logits"][rows].astype(np.float32) / 2), softmax(student / 2))
    hard = -np.log(softmax(student)[np.arange(8), batch["targets"].numpy()]) * (rows < 64)
    found = lesson.loss(Mix(temperature=2.0, alpha=0.7))(batch, tf.constant(student)).numpy()
    assert np.allclose(found, 0.7 * 4 * soft + 0.3 * hard, atol=1e-4)
    assert np.allclose(lesson.loss(Mix(2.0, 1.0))(batch, tf.constant(student)).numpy(), 4 * soft, atol=1e-4)


def test_the_loss_of_tokens_is_the_formula() -> None:
    """The teacher has three of six tokens, and its probabilities add up to 1 over them."""
    top = np.array([[[0.0, -1.0, -2.5], [0.0, -0.5, -9.0]]], np.float16)
    ids = np.array([[[4, 0, 2], [1, 5, 3]]], np.int32)
    student = DICE.normal(0, 2, (1, 2, 6)).astype(np.float32)
    found = lessons.token_divergence(tf.constant(top), tf.constant(ids), tf.constant(student), 2.0).numpy()
    shares = softmax(student / 2)
    assert np.allclose(found, kl(softmax(top.astype(np.float32) / 2), np.take_along_axis(shares, ids, -1)), atol=1e-4)


def test_the_divergence_of_the_example() -> None:
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert float(lessons.divergence(tf.constant([0.0, 0.0]), tf.constant([0.0, math.log(3)]))) == pytest.approx(
        expected
    )


def test_windows_of_a_stream_begin_in_the_middle_of_the_one_before() -> None:
    for count, length in ((10, 4), (9, 4), (4, 4), (7, 1), (300, 32)):
        starts, skipped = overlapping(count, length)
        covered = [range(start + skip, start + length) for start, skip in zip(starts, skipped, strict=True)]
        assert [place for part in covered for place in part] == list(range(count))
        assert all(skip >= length // 2 for skip in skipped[1:])


# --- hidden states ---------------------------------------------------------------------------------------------------


def test_each_layer_has_one_of_the_teacher() -> None:
    pairs = {(2, 6): [2, 5], (4, 6): [1, 2, 4, 5], (3, 3): [0, 1, 2], (1, 4): [3], (2, 1): [0, 0]}
    assert {pair: lessons.matching_layers(*pair) for pair in pairs} == pairs


def test_the_distance_of_hidden_states_is_that_of_their_directions() -> None:
    """Two tokens, two layers, compared with the second and the fourth of the teacher."""
    student = [[[[3.0, 4.0], [1.0, 0.0]]], [[[1.0, 0.0], [1.0, 1.0]]]]
    teacher = np.full((4, 1, 2, 2), np.nan, np.float32)
    teacher[1], teacher[3] = [[6.0, 8.0], [0.0, 2.0]], [[-5.0, 0.0], [1.0, 0.0]]
    found = lessons.state_distance(list(teacher), [tf.constant(each) for each in student]).numpy()
    assert np.allclose(found, [[(0 + 4) / 2, (2 + 2 - math.sqrt(2)) / 2]])


def test_the_distance_is_added_to_the_loss_over_the_tokens_of_a_text(tmp_path: Path) -> None:
    data = small.prepared(tmp_path, "transformer")
    lesson = recipe_of("classification").objective().lesson(data)
    batch = batch_of(lesson, {"logits": DICE.normal(0, 2, (64, 4)).astype(np.float16)})[0]
    ids = np.pad(batch["features"]["token_ids"], [(0, 0), (0, 2)], constant_values=data.task.tokenizer.pad_id)
    batch["features"]["token_ids"] = tf.constant(ids)
    student, teacher = DICE.normal(0, 1, (2, *ids.shape, 3)).astype(np.float32)

    def asked(features: Any, training: bool) -> None:
        assert not training and np.array_equal(features["token_ids"], ids)
        hidden_states.hidden_state(tf.constant(teacher))

    logits = tf.constant(DICE.normal(0, 2, (8, 4)).astype(np.float32))
    without = lesson.loss(Mix())(batch, logits).numpy()
    found = lesson.loss(Mix(hidden_states=0.5), asked)(batch, (logits, [tf.constant(student)])).numpy()
    cosines = (student * teacher).sum(-1) / np.linalg.norm(student, axis=-1) / np.linalg.norm(teacher, axis=-1)
    for row, present in enumerate(ids != data.task.tokenizer.pad_id):
        assert 0 < present.sum() < len(present)
        assert found[row] == pytest.approx(without[row] + 0.5 * (2 - 2 * cosines[row][present]).mean(), abs=1e-4)


def test_a_language_model_compares_where_it_has_targets(tmp_path: Path) -> None:
    data = language(tmp_path, False, architecture="transformer", hidden_dim=8, num_layers=1, num_heads=2)
    lesson = recipe_of("generation").objective().lesson(data)
    batch = {"targets": tf.constant([[3, 4, IGNORED], [IGNORED, 5, 6]])}
    assert lesson._counted(batch).numpy().tolist() == [[1, 1, 0], [0, 1, 1]]


SIZES = {"hidden_dim": 8, "num_heads": 2, "intermediate_dim": 16, "dropout": 0}


def many_layers(task: str, folder: Path, layers: int) -> Any:
    """Data of a Transformer of so many layers, for two epochs."""
    model = {"architecture": "transformer", **SIZES, "num_layers": layers}
    if task == "classification":
        data = small.prepared(folder, "transformer")
        update = {"model": data.config.model.model_copy(update={"num_layers": layers})}
    else:
        data = questions(folder, **model) if task == "question_answering" else language(folder, False, **model)
        update = {}
    training = data.config.training.model_copy(update={"epochs": 2})
    return replace(data, config=data.config.model_copy(update={**update, "training": training}))


def distance(teacher: keras.Model, student: keras.Model, objective: Any, data: Any) -> float:
    """How far apart the hidden states of two models are on the first batch."""
    lesson, source = objective.lesson(data), objective.batches(data)
    batch = next(source.distributed(source.plan(0), STRATEGY))
    states = [with_hidden_states(model, batch["features"])[1] for model in (teacher, student)]
    return float(tf.reduce_mean(lessons._mean(lessons.state_distance(*states), lesson._counted(batch))))


@pytest.mark.parametrize(
    "task",
    ["classification", *(pytest.param(name, marks=pytest.mark.slow) for name in ("question_answering", "generation"))],
)
def test_hidden_states_come_closer_and_a_stop_changes_nothing(tmp_path: Path, task: str) -> None:
    data, others = many_layers(task, tmp_path / "t", 4), many_layers(task, tmp_path / "s", 2)
    objective = recipe_of(task).objective()
    keras.utils.set_random_seed(1)
    teacher = objective.build_inference(data)
    stored = store_answers(objective.lesson(data), teacher, tmp_path / "answers")

    def student(name: str, weight: float | None, changed: Any = None) -> keras.Model:
        step = small.step_of(**{**STUDENT, "hidden_states": weight})
        pupil = taught(objective, objective.lesson(others), step, stored, teacher)
        return fit(others, changed(pupil) if changed else pupil, tmp_path / name, STRATEGY, student_hooks(step))[0]

    class Stopped(Exception):
        pass

    def stops(pupil: Any) -> Any:
        """Stops in the second epoch, after the checkpoint of the first."""

        def validation(*given: Any) -> Any:
            measured, first = objective.validation(*given), iter([True])

            def measure() -> Any:
                if next(first, False):
                    return measured()
                raise Stopped

            return measure

        pupil.validation = validation
        return pupil

    without, closer = student("without", None), student("with", 5.0)
    assert distance(teacher, closer, objective, others) < 0.7 * distance(teacher, without, objective, others)
    with pytest.raises(Stopped):
        student("stopped", 5.0, stops)
    resumed = student("stopped", 5.0)
    for one, other in zip(closer.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_hidden_states_that_cannot_be_compared(tmp_path: Path) -> None:
    lesson: Any = SimpleNamespace(mixes=True)
    models = {name: small.start(small.prepared(tmp_path / name, name)) for name in ("cnn", "transformer")}
    data = small.prepared(tmp_path / "wide", "transformer")
    wide = data.config.model.model_copy(update={"hidden_dim": 12})
    models["wide"] = small.start(replace(data, config=data.config.model_copy(update={"model": wide})))
    pair = {name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "segment_ids")}
    models["pair"] = keras.Model(pair, models["transformer"]({"token_ids": pair["token_ids"]}))

    def fault(teacher: str, student: str) -> str | None:
        return state_fault(lesson, models[teacher], models[student])

    assert fault("transformer", "transformer") is None
    assert fault("cnn", "transformer") == (
        "the teacher is no Transformer on textapp's own layers, expected both to be: leave it out"
    )
    assert fault("transformer", "cnn").startswith("the student is no Transformer")
    assert fault("wide", "transformer") == (
        "the hidden states of this student have 8 numbers, expected the 12 of its teacher: set hidden_dim: 12 in its "
        "model, or leave it out"
    )
    assert fault("pair", "transformer") == (
        "the student reads token_ids, expected what its teacher reads, segment_ids, token_ids: leave it out"
    )
    lesson.mixes = False
    assert fault("transformer", "transformer").startswith("this student learns from the texts that its teacher writes")


# --- classifiers -----------------------------------------------------------------------------------------------------


def test_a_student_answers_as_its_teacher(tmp_path: Path) -> None:
    """It learns from texts without labels, as alpha is 1, and the stored logits are those of the teacher."""
    data = small.prepared(tmp_path / "t", "transformer", epochs=6)
    teacher = trained(tmp_path / "t", data)
    others = small.prepared(tmp_path / "s", "cnn", epochs=12)
    student = student_of(tmp_path / "s", teacher, data, others, alpha=1.0)
    ids = np.stack([np.resize(np.append(row, [0, 0]), 4) for row in data.data["train"].features["token_ids"]])
    logits = teacher({"token_ids": ids}).numpy()
    stored = np.load(tmp_path / "s" / "answers" / "logits.npy")
    assert stored.dtype == np.float16 and np.allclose(stored, logits, atol=0.01)
    answers = student({"token_ids": ids}).numpy()
    agreement = (answers.argmax(axis=1) == logits.argmax(axis=1)).mean()
    assert agreement >= 0.95
    begun = small.start(others)({"token_ids": ids}).numpy()
    halved = kl(softmax(logits / 2), softmax(answers / 2)).mean()
    assert halved < 0.2 * kl(softmax(logits / 2), softmax(begun / 2)).mean()


def test_the_teacher_is_not_asked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = small.prepared(tmp_path, "cnn")
    lesson = recipe_of("classification").objective().lesson(data)
    asked: list[int] = []

    class Killed(Exception):
        pass

    class Half:
        """A lesson whose teacher is killed after half of the rows."""

        rows, items, arrays = lesson.rows, lesson.items, lesson.arrays

        def answers(self, model: Any) -> Any:
            for number, found in enumerate(lesson.answers(model)):
                asked.append(number)
                yield found
                raise Killed

    teacher = small.start(data)
    with pytest.raises(Killed):
        store_answers(Half(), teacher, tmp_path / "answers")
    assert not (tmp_path / "answers").exists()
    with caplog.at_level("INFO", "textapp"):
        first = store_answers(lesson, teacher, tmp_path / "answers")
    assert f"teacher: {lesson.rows} of {lesson.rows} texts" in caplog.text
    assert f"teacher: answers for {lesson.rows} texts, {lesson.rows * 4 * 2} B on disk" in caplog.text  # 4 float16
    again = store_answers(Half(), None, tmp_path / "answers")
    assert asked == [0] and isinstance(again["logits"], np.memmap)
    assert np.array_equal(first["logits"], again["logits"]) and np.all(np.any(first["logits"] != 0, axis=1))


def test_unlabelled_texts_teach_what_labelled_ones_do_not_show(tmp_path: Path) -> None:
    """The teacher knows four letters; the labelled texts of the student have two of them only."""
    data = small.prepared(tmp_path / "t", "cnn", epochs=8)
    teacher = trained(tmp_path / "t", data)
    shown = [record for record in data.splits.train if record["label"] in "ab"]
    hidden = [{"text": record["text"]} for record in data.splits.train if record["label"] in "cd"]
    train = data.data["train"]
    rows = [number for number, record in enumerate(data.splits.train) if record["label"] in "ab"]
    part = replace(train, features={"token_ids": [train.features["token_ids"][row] for row in rows]},
                   targets=train.targets[rows])  # fmt: skip
    few = replace(data, data={**data.data, "train": part}, splits=data.splits._replace(train=shown))
    task, found = data.task, {}
    ids = np.stack([np.resize([*task.features(record)["token_ids"], 0, 0], 4) for record in hidden])
    for name, texts in (("none", []), ("all", hidden)):
        student = student_of(tmp_path / name, teacher, few, few, texts=texts)
        found[name] = student({"token_ids": ids}).numpy().argmax(1) == teacher({"token_ids": ids}).numpy().argmax(1)
    assert found["all"].mean() >= 0.9 > found["none"].mean() + 0.3


# --- other tasks -----------------------------------------------------------------------------------------------------


COLOURS = ("red", "blue", "green", "black")


def questions(folder: Path, **model: Any) -> Any:
    """Where a letter is; the answer is the word after it."""
    records = []
    for number in range(32):
        colours = [COLOURS[(number + shift) % 4] for shift in range(2)]
        context = f"a {colours[0]} b {colours[1]}"
        for letter, colour in zip("ab", colours, strict=True):
            answer = {"text": colour, "start": context.index(f"{letter} {colour}") + 2}
            records.append({"id": f"{number}{letter}", "question": letter, "context": context, "answers": [answer],
                            "where": str(number)})  # fmt: skip
    config = parse_config({
        "task": "question_answering", "run": "r", "data": {"train": "a"}, "lengths": [32], "stride": 8,
        "model": {"dropout": 0, **model}, "tokenizer": {"kind": "bpe", "vocabulary_size": 60},
        "training": {"epochs": 10, "batch_size": 16, "precision": "float32", "device": "cpu", "patience": 0,
                     "learning_rate": 0.01},
    })  # fmt: skip
    return recipe_of("question_answering").prepare(config, Splits(records, records[:16], [], {}), folder)


def test_a_reader_learns_from_the_logits_of_spans(tmp_path: Path) -> None:
    sizes = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 32}
    data = questions(tmp_path / "t", architecture="transformer", **sizes)
    teacher = trained(tmp_path / "t", data)
    others = questions(tmp_path / "s", architecture="transformer", **{**sizes, "hidden_dim": 12})
    objective = recipe_of("question_answering").objective()
    lesson = objective.lesson(data)
    assert lesson.items == "tokens" and lesson.rows > 2 * len(data.splits.train)
    student = student_of(tmp_path / "s", teacher, data, others, alpha=1.0)
    stored = {"logits": np.load(tmp_path / "s" / "answers" / "logits.npy")}
    batch = batch_of(lesson, stored)[0]
    logits = teacher(batch["features"]).numpy()
    inside = batch["features"]["token_ids"].numpy() != data.task.tokenizer.pad_id
    assert np.allclose(batch[TEACHER]["logits"].numpy()[inside], logits[inside], rtol=2e-3, atol=0.02)

    # The loss over the tokens of the context and the place of no answer.
    targets, random = batch["targets"].numpy(), DICE.normal(0, 2, logits.shape).astype(np.float32)
    found = lesson.loss(Mix(2.0, 1.0))(batch, tf.constant(random)).numpy()
    null = 0 if data.task.tokenizer.template.start else None
    for row in range(3):
        begin, end = targets[row, 2:]
        places = sorted({begin - 1 if null is None else null, *range(begin, end)})
        sides = [kl(softmax(logits[row, places, side] / 2), softmax(random[row, places, side] / 2)) for side in (0, 1)]
        assert found[row] == pytest.approx(4 * np.mean(sides), rel=0.02)

    records = data.splits.train
    answers = [[answer.answer for answer in objective._answers(data.task, model, records)]
               for model in (teacher, student)]  # fmt: skip
    assert np.mean([one == other for one, other in zip(*answers, strict=True)]) >= 0.9
    assert student.count_params() < teacher.count_params()
    with pytest.raises(ConfigError, match="only a classifier learns from texts without a label"):
        objective.lesson(data, [{"question": "a", "context": "b"}])


def language(folder: Path, running: bool, **model: Any) -> Any:
    texts = [f"{one} {other}" for one in COLOURS for other in COLOURS] * 6
    records = [{"text": "\n".join(texts)}] if running else [{"text": text} for text in texts]
    config = parse_config({
        "task": "generation", "run": "r", "data": {"train": "a.txt" if running else "a.tsv"}, "lengths": [16],
        "generate_lengths": [[8, 8]], "tokenizer": {"kind": "characters", "vocabulary_size": 40},
        "model": {"dropout": 0, **model},
        "training": {"epochs": 5, "batch_size": 8, "precision": "float32", "device": "cpu", "patience": 0,
                     "learning_rate": 0.02},
    })  # fmt: skip
    held_out = records if running else records[:16]
    return recipe_of("generation").prepare(config, Splits(records, held_out, [], {}), folder)


@pytest.mark.parametrize("running", [False, True])
def test_a_language_model_learns_from_the_most_probable_tokens(tmp_path: Path, running: bool) -> None:
    sizes = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 32}
    data = language(tmp_path / "t", running, architecture="transformer", **sizes)
    teacher = trained(tmp_path / "t", data)
    smaller = {"architecture": "transformer", **sizes, "hidden_dim": 12} if running else {
        "architecture": "lstm", "embedding_dim": 8, "units": [16]
    }  # fmt: skip
    others = language(tmp_path / "s", running, **smaller)
    student = student_of(tmp_path / "s", teacher, data, others, alpha=1.0)
    objective = recipe_of("generation").objective()
    stored = {name: np.load(tmp_path / "s" / "answers" / f"{name}.npy") for name in ("ids", "logits")}
    top = min(lessons.TOP, data.task.tokenizer.vocabulary_size)
    assert stored["ids"].shape == stored["logits"].shape == (objective.lesson(data).rows, top)
    assert objective.lesson(data).items == "tokens"
    batch = batch_of(objective.lesson(data), stored)[0]
    logits, targets = teacher(batch["features"]).numpy(), batch["targets"].numpy()
    found = {name: value.numpy() for name, value in batch[TEACHER].items()}
    same = [np.array_equal(found["ids"][place][:1], np.argsort(-logits[place])[:1])
            for place in zip(*np.nonzero(targets != IGNORED), strict=True)]  # fmt: skip
    assert np.mean(same) > (0.85 if running else 0.99)  # other windows of a stream begin elsewhere
    if not running:
        place = tuple(np.argwhere(targets != IGNORED)[5])
        best = logits[place][found["ids"][place]]
        assert np.allclose(found["logits"][place], best - best[0], atol=0.02)
    figures = objective.validation(others, student)()
    assert figures["loss"] < 0.8 * objective.validation(others, objective.build(others))()["loss"]


@pytest.mark.slow
def test_a_translator_learns_from_the_translations_of_its_teacher(tmp_path: Path) -> None:
    """One that did not end has the target of the data."""
    data = translations(tmp_path / "t", architecture="transformer", hidden_dim=16, num_layers=1, num_heads=2)
    teacher = trained(tmp_path / "t", data)
    objective = recipe_of("translation").objective()
    lesson = objective.lesson(data)
    assert not lesson.mixes
    stored = store_answers(lesson, teacher, tmp_path / "answers")
    predictor = objective.predictor(teacher, data.task)
    said = [answer.output for answer in predictor.batch(data.splits.train)]
    ended = stored["counts"] > 0
    read = [data.task.target_tokenizer.decode([token for token in ids[:count].tolist() if token != data.task.end_id])
            for ids, count in zip(stored["ids"], stored["counts"], strict=True)]  # fmt: skip
    assert ended.mean() > 0.5
    assert [one for one, end in zip(read, ended, strict=True) if end] == [
        other for other, end in zip(said, ended, strict=True) if end
    ]
    counts = np.where(np.arange(len(ended)) == 3, 0, stored["counts"])
    rows = {tuple(row[row != IGNORED].tolist()) for batch in batch_of(lesson, {**stored, "counts": counts})
            for row in batch["targets"].numpy()}  # fmt: skip
    assert tuple(data.data["train"].targets[3].tolist()) in rows
    assert tuple(stored["ids"][0][: stored["counts"][0]].tolist()) in rows


def translations(folder: Path, **model: Any) -> Any:
    records = [{"source": f"{one} {other}", "target": f"{other} {one}"} for one in COLOURS for other in COLOURS] * 6
    config = parse_config({
        "task": "translation", "run": "r", "data": {"train": "a"}, "lengths": [16], "generate_lengths": [[16, 16]],
        "tokenizer": {"kind": "characters", "vocabulary_size": 40, "shared": True}, "model": {"dropout": 0, **model},
        "training": {"epochs": 6, "batch_size": 16, "precision": "float32", "device": "cpu", "patience": 0,
                     "learning_rate": 0.01},
    })  # fmt: skip
    return recipe_of("translation").prepare(config, Splits(records, records[:16], [], {}), folder)
