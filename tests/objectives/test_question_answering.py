"""The loss, the masks and the threshold of a reader."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import Letters

from textapp.catalog import parse_config
from textapp.objectives.question_answering import QuestionAnsweringObjective, span_loss
from textapp.prepared import Prepared
from textapp.records.splits import Splits
from textapp.tasks.question_answering import END, START, QuestionAnsweringTask
from textapp.text.template import Template


class Reader(Letters):
    template = Template(middle=(3,))

    def pieces(self) -> list[str]:
        return [chr(ord("a") + token_id) for token_id in range(self.vocabulary_size)]


def cross_entropy(logits: list[float], target: int) -> float:
    return float(np.log(np.exp(logits).sum()) - logits[target])


def test_span_loss_by_hand() -> None:
    # question at 0 and 1, no answer at 2, context at 3 and 4, padding at 5
    starts, ends = [9.0, 9, 1, 2, 0, 9], [9.0, 9, 0, 1, 3, 9]
    logits = tf.constant([list(zip(starts, ends, strict=True))] * 2)
    targets = tf.constant([[3, 4, 3, 5], [2, 2, 3, 5]])
    losses = span_loss(targets, logits, has_start=False).numpy()
    among = [1.0, 2, 0], [0.0, 1, 3]  # the positions 2, 3 and 4 alone compete
    assert losses[0] == pytest.approx((cross_entropy(among[0], 1) + cross_entropy(among[1], 2)) / 2, rel=1e-5)
    assert losses[1] == pytest.approx((cross_entropy(among[0], 0) + cross_entropy(among[1], 0)) / 2, rel=1e-5)


def test_span_loss_with_a_start_token() -> None:
    logits = tf.constant([[[1.0, 1.0], [9, 9], [9, 9], [2, 0], [0, 3]]])  # start, question, middle, context
    losses = span_loss(tf.constant([[0, 0, 3, 5]]), logits, has_start=True).numpy()
    assert losses[0] == pytest.approx((cross_entropy([1.0, 2, 0], 0) + cross_entropy([1.0, 0, 3], 0)) / 2, rel=1e-5)


def prepared_of(records=(), threshold=None, architecture="lstm") -> Prepared:
    sizes = {
        "lstm": {"embedding_dim": 6, "units": [5], "bidirectional": True, "dropout": 0.1},
        "transformer": {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "positions": "rope", "dropout": 0.1},
    }[architecture]
    config = parse_config({
        "task": "question_answering", "run": "r", "data": {"train": "t"}, "lengths": [16, 32],
        "model": {"architecture": architecture, **sizes},
    })  # fmt: skip
    task = QuestionAnsweringTask(Reader(), [16, 32], 4, 5, 8, "en", threshold)
    return Prepared(config, Splits([], list(records), [], {}), task, ["en"], True, {})


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_padding_does_not_change_the_logits(architecture: str) -> None:
    keras.utils.set_random_seed(4)
    prepared = prepared_of(architecture=architecture)
    model = QuestionAnsweringObjective().build(prepared)
    random = np.random.default_rng(4)
    model.set_weights([random.normal(scale=0.5, size=weight.shape) for weight in model.weights])
    (request,) = prepared.task.requests(prepared.task.record("who", "ada who bee"))
    rows = {}
    for length in (15, 16, 32):
        features = {
            name: tf.constant([[*values, *[0] * (length - len(values))]], tf.int32)
            for name, values in request.features.items()
        }
        rows[length] = model(features, training=False).numpy()[0, :15]
    assert rows[15].shape == (15, 2) and np.ptp(rows[15][:, 0]) > 1e-2
    np.testing.assert_allclose(rows[16], rows[15], atol=1e-4)
    np.testing.assert_allclose(rows[32], rows[15], atol=1e-4)


@dataclass
class Runner:
    """Answers the first letter of a context, as sure as its alphabet says: `b` is a margin of 1."""

    max_batch, shareable = 1, False

    def run(self, signature, features):
        (ids,) = features["token_ids"].tolist()
        first = ids.index(3) + 1
        logits = np.full((2, 1, len(ids)), -50.0)
        logits[:, 0, first - 1] = 0
        logits[:, 0, first] = (ids[first] - 4) / 2
        return {START: logits[0], END: logits[1]}


def question(context: str, answer: str = "") -> dict:
    answers = [{"text": answer, "start": 0}] if answer else []
    return {"question": "who", "context": context, "answers": answers, "where": "x"}


def settled(records, threshold=0.5):
    objective = QuestionAnsweringObjective()
    objective.runner = lambda model, task: Runner()
    return objective.settled(prepared_of(records, threshold), SimpleNamespace()).task.no_answer_threshold


def probability(margin: float) -> float:
    return 1 / (1 + np.exp(-margin))


def test_the_threshold_is_tuned_on_validation() -> None:
    # Margins 0 and 1 of questions without an answer, 2 and 3 of questions that are answered rightly.
    records = [question("a x"), question("b x"), question("c x", "c"), question("d x", "d")]
    assert settled(records) == pytest.approx(probability(2))
    # Answering the question of margin 1, too, costs nothing more than it gains.
    records = [question("a x"), question("b x", "b"), question("c x"), question("d x", "d"), question("b x", "b")]
    assert settled(records) == pytest.approx(probability(1))


def test_the_threshold_stays_without_questions_to_tune_it_on() -> None:
    assert settled([question("c x", "c")]) == 0.5
    assert settled([]) == 0.5
    assert settled([question("a x"), question("c x", "c")], threshold=None) is None
    assert settled([question("a x"), question("b x")]) == 1.0  # never answer


def test_validation_gives_percent_of_the_monitors() -> None:
    objective = QuestionAnsweringObjective()
    objective.runner = lambda model, task: Runner()
    prepared = prepared_of([question("c x", "c"), question("d x", "x")])
    assert objective.validation(prepared, SimpleNamespace())() == {"f1": 50.0, "exact_match": 50.0}
