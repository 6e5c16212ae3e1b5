"""Question answering from a prepared folder: the windows, and so the losses, of a training from texts."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparations import prepared_data

from textapp.catalog import recipe_of
from textapp.commands import prepare as command
from textapp.errors import DataError
from textapp.prepared import Prepared

WORDS = ["a", "bad", "cat", "dog", "fine", "good", "great", "in", "of", "on", "plot", "poor", "the", "very", "was"]
CONFIG = """
task: question_answering
run: run
data: {{train: a.jsonl, validation: v.jsonl{more}}}
cleaning: [html]
tokenizer: {{kind: bpe, vocabulary_size: 60}}
lengths: [24]
model: {{architecture: lstm, embedding_dim: 8, units: [8], dropout: 0}}
training: {{epochs: 1, batch_size: 8, device: cpu}}
"""


def row(choice: random.Random, context: str, kind: str) -> dict[str, Any]:
    """A question; without an answer, with one that is not there, or with one that cleaning removes, by kind."""
    question, words = " ".join(choice.sample(WORDS, 3)) + "?", context.split(" ")
    start = choice.randint(0, len(words) - 2)
    answer = {"gone": "<b>", "odd": "zebra", "none": ""}.get(kind, " ".join(words[start : start + 2]))
    return {"question": question, "context": context + "<b>", "answer": answer}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, choice = tmp_path_factory.mktemp("questions"), random.Random(3)
    for name, count in (("a", 15), ("v", 3)):
        contexts = [" ".join(choice.choices(WORDS, k=choice.randint(8, 40))) for _ in range(count)]
        rows = [row(choice, context, kind) for context in contexts for kind in ("usual", "none", "usual")]
        rows += [row(choice, contexts[0], "odd"), row(choice, contexts[1], "gone")] if name == "a" else []
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "q.yaml").write_text(CONFIG.format(more=""))
    (folder / "qp.yaml").write_text(CONFIG.format(more=", prepared: of"))
    command.prepare(folder / "q.yaml", folder / "of", data_dir=folder, workers=1, shards=2)
    return folder


def first_losses(prepared: Prepared, weights: list[Any] | None) -> tuple[np.ndarray, list[Any]]:
    """The losses of the first batch by a model of these weights, and the weights."""
    import tensorflow as tf

    objective = recipe_of("question_answering").objective()
    model = objective.build(prepared)
    if weights is not None:
        model.set_weights(weights)
    batches = objective.batches(prepared)
    batch = next(batches.distributed(batches.plan(0), tf.distribute.get_strategy()))
    return objective.loss(prepared)(batch, model(batch["features"])).numpy(), model.get_weights()


def test_a_training_has_the_windows_and_losses_of_one_from_texts(data: Path, tmp_path: Path, caplog: Any) -> None:
    texts, shards = (prepared_data(data, name, tmp_path / name) for name in ("q", "qp"))
    told = [each.getMessage() for each in caplog.records if "dropped 1 training questions" in each.getMessage()]
    assert told[0].endswith("a.jsonl:47: cleaning leaves no token of the answer '<b>'")
    assert told[1].endswith("of: example 46: cleaning leaves no token of the answer")
    found, expected = (each.config.model_dump() for each in (shards, texts))
    assert (found["data"].pop("prepared"), expected["data"].pop("prepared")) == ("of", None) and found == expected
    assert shards.task.no_answer_threshold == texts.task.no_answer_threshold == 0.5
    assert shards.task.whole_words == texts.task.whole_words
    one, other = shards.data["train"], texts.data["train"]
    assert len(one.targets) > 45 and np.array_equal(one.targets, other.targets)
    for name in ("token_ids", "segment_ids"):
        assert all(map(np.array_equal, one.features[name], other.features[name]))
    losses, weights = first_losses(texts, None)
    np.testing.assert_allclose(first_losses(shards, weights)[0], losses, rtol=1e-6)


def test_what_cannot_be_trained_on(data: Path, tmp_path: Path) -> None:
    manifest = json.loads((data / "of" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["examples"], manifest["dropped"]) == (46, 1)
    with pytest.raises(DataError, match="a.jsonl:46: the answer 'zebra' is not in the context: mend or delete it, or"):
        change = ["data.misplaced_answers=error"]
        command.prepare(data / "q.yaml", tmp_path / "of", change, data_dir=data, workers=1)
