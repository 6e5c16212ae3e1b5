"""Language models from prepared folders: the documents, and so the batches, of a training from texts."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparations import prepared_data
from talks import talk, write_lines, write_words

from textapp.catalog import load_config, recipe_of
from textapp.commands import prepare as command
from textapp.errors import ConfigError, DataError
from textapp.prepared import Prepared
from textapp.recipes.generation_prepared import check_kind
from textapp.recipes.splits import open_prepared

WORDS = ["a", "bad", "cat", "dog", "fine", "good", "great", "in", "of", "on", "plot", "poor", "the", "very", "was"]
CONFIG = """
task: generation
run: run
data: {{train: "{train}", validation: "{validation}"{more}}}
tokenizer: {{kind: bpe, vocabulary_size: 50}}
lengths: [8]
model: {{architecture: lstm, embedding_dim: 8, units: [8], dropout: 0}}
training: {{epochs: 1, batch_tokens: 64, device: cpu}}
"""


def lines(choice: random.Random, count: int) -> list[str]:
    return [" ".join(choice.choice(WORDS) for _ in range(choice.randint(1, 9))) for _ in range(count)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Running text with blank lines, and documents, some with a prompt, one empty."""
    folder, choice = tmp_path_factory.mktemp("generation"), random.Random(3)
    for name, count in (("a", 40), ("b", 30), ("v", 9)):
        (folder / f"{name}.txt").write_text("\r\n\r\n".join([*lines(choice, count), "odd\u2028line"]), encoding="utf-8")
        prompts, texts = lines(choice, count), lines(choice, count)
        prompts[1] = texts[3] = ""
        rows = [json.dumps({"prompt": p, "text": t}) for p, t in zip(prompts, texts, strict=True)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    for name, kind in (("s", "txt"), ("d", "jsonl")):
        files = {"train": f"[ab].{kind}", "validation": f"v.{kind}"}
        (folder / f"{name}.yaml").write_text(CONFIG.format(**files, more=""))
        (folder / f"{name}p.yaml").write_text(CONFIG.format(**files, more=f", prepared: of-{name}"))
        command.prepare(folder / f"{name}.yaml", folder / f"of-{name}", data_dir=folder, workers=1, shards=3)
    return folder


def losses(prepared: Prepared, weights: list[Any] | None) -> tuple[list[float], list[Any]]:
    """The losses of the first batches by a model of these weights, and the weights."""
    import tensorflow as tf

    objective = recipe_of("generation").objective()
    model = objective.build(prepared)
    if weights is not None:
        model.set_weights(weights)
    loss, batches = objective.loss(prepared), objective.batches(prepared)
    found = islice(batches.distributed(batches.plan(0), tf.distribute.get_strategy()), 2)
    return [float(tf.reduce_sum(loss(batch, model(batch["features"])))) for batch in found], model.get_weights()


@pytest.mark.parametrize("name", ["s", "d"])
def test_a_training_has_the_documents_and_losses_of_one_from_texts(data: Path, tmp_path: Path, name: str) -> None:
    texts, shards = (prepared_data(data, f"{name}{kind}", tmp_path / f"{name}{kind}") for kind in ("", "p"))
    found, expected = (each.config.model_dump() for each in (shards, texts))
    assert found["data"].pop("prepared") == f"of-{name}" and expected["data"].pop("prepared") is None
    assert found == expected and shards.splits.train == []
    for split in ("train", "validation"):
        assert len(shards.data[split]) == len(texts.data[split])
        for one, other in zip(shards.data[split], texts.data[split], strict=True):
            assert np.array_equal(one.inputs, other.inputs) and np.array_equal(one.targets, other.targets)
    if name == "d":
        assert (
            any((document.targets == -1).any() for document in shards.data["train"]) and len(shards.data["train"]) == 68
        )
        return  # equal documents make equal batches
    expected_losses, weights = losses(texts, None)
    assert losses(shards, weights)[0] == pytest.approx(expected_losses, rel=1e-6) and len(expected_losses) == 2


def test_the_folder_of_running_text(data: Path) -> None:
    manifest = json.loads((data / "of-s" / "manifest.json").read_text(encoding="utf-8"))
    texts = [(data / f"{name}.txt").read_text(encoding="utf-8") for name in "ab"]
    assert manifest["features"] == ["token_ids"] and manifest["dropped"] == 0
    assert manifest["examples"] == sum(len(text.splitlines()) for text in texts) == 144
    assert manifest["size"] == sum(map(len, texts)) // 100


def test_what_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.txt").write_bytes(b"good\nb\xffd\n" + b"good \xc3\xa4\n" * 3)
    with pytest.raises(DataError, match="broken.txt:2: byte 2 of the line is 0xff, which is not UTF-8"):
        command.prepare(
            data / "s.yaml", tmp_path / "of", [f"data.train={tmp_path}/broken.txt"], data_dir=data, workers=1
        )
    with pytest.raises(ConfigError, match="data.train: found running text for a preset, whose tokenizer reads it as a"):
        command.prepare(data / "s.yaml", tmp_path / "of", ["tokenizer={kind: preset, path: p}"], data_dir=data)
    with pytest.raises(ConfigError, match="of-s: was prepared from running text, expected documents, as the files of"):
        prepared_data(data, "dp", tmp_path, "data.prepared=of-s")


# --- conversations ---------------------------------------------------------------------------------------------------


CHAT = """
task: generation
run: run
data: {{train: talks.jsonl, validation: val.jsonl, columns: {{messages: messages}}{more}}}
lengths: [14]
generate_lengths: [[6, 6]]
model: {{architecture: preset, path: preset, dropout: 0.0}}
training: {{epochs: 1, batch_tokens: 64, device: cpu}}
"""


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations, some longer than the context: with turns to divide between, and with one turn that is too long."""
    folder, choice = tmp_path_factory.mktemp("chats"), random.Random(3)
    write_words(folder / "preset", end="w54")
    for name, count in (("talks", 30), ("val", 4)):
        rows = [
            talk(
                *(f"w{choice.randint(3, 49)}" for _ in range(2 * choice.randint(1, 4))),
                system=choice.choice([None, "w50"]),
            )
            for _ in range(count)
        ]
        long = talk("w9", "w8 " * 20, "über", "w7")
        write_lines(folder / f"{name}.jsonl", [{"messages": messages} for messages in [*rows, long]])
    for name, more in (("c", ""), ("cp", ", prepared: of")):
        (folder / f"{name}.yaml").write_text(CHAT.format(more=more))
    command.prepare(folder / "cp.yaml", data_dir=folder, workers=1, shards=3)
    return folder


def test_conversations_have_the_documents_of_a_training_from_texts(chats: Path, tmp_path: Path, caplog: Any) -> None:
    texts = prepared_data(chats, "c", tmp_path / "texts")
    told, _ = [record.getMessage() for record in caplog.records if "are divided" in record.getMessage()], caplog.clear()
    shards = prepared_data(chats, "cp", tmp_path / "shards")
    assert told == [record.getMessage() for record in caplog.records if "are divided" in record.getMessage()] != []
    assert shards.splits.train == [] and len(texts.splits.train) == 31 < len(texts.data["train"])
    assert shards.config.model_copy(update={"data": texts.config.data}) == texts.config
    assert shards.task.tokenizer.other_end_ids == texts.task.tokenizer.other_end_ids != []
    for split in ("train", "validation"):
        assert len(shards.data[split]) == len(texts.data[split])
        for one, other in zip(shards.data[split], texts.data[split], strict=True):
            assert np.array_equal(one.inputs, other.inputs) and np.array_equal(one.targets, other.targets)


def test_what_is_refused_of_conversations(chats: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="of-d: was prepared from documents, expected conversations, as the files of"):
        check_kind(open_prepared(load_config(data / "dp.yaml"), data), load_config(chats / "c.yaml"))
    rows = [{"messages": talk("w3", "w4")}, {"messages": talk("w5")}]
    write_lines(tmp_path / "talks.jsonl", rows)
    with pytest.raises(DataError, match=r"talks.jsonl:2: "):
        command.prepare(
            chats / "c.yaml", tmp_path / "of", [f"data.train={tmp_path}/talks.jsonl"], data_dir=chats, workers=1
        )
