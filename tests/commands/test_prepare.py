"""`textapp prepare`: a training from its folder is that from texts, and a killed one goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import wait_for
from preparations import prepared_data

from textapp.catalog import load_config, recipe_of, recipe_of_config
from textapp.commands import prepare as command
from textapp.commands import prepare_shards, prepare_texts
from textapp.commands.prepare_pool import Pool
from textapp.errors import ArtifactError, ConfigError, DataError, OptionError, UsageError
from textapp.processes import child_environment
from textapp.recipes.splits import load_splits, open_prepared, settled_layout
from textapp.records import parts
from textapp.records import shards as shards_module
from textapp.records.spool import write_part

WORDS = ["a", "bad", "cat", "dog", "fine", "good", "great", "in", "of", "on", "plot", "poor", "the", "very", "was"]
CLASSIFIER = """
task: classification
run: run
data: {{train: "train-*.tsv", validation: val.tsv{more}}}
tokenizer: {{vocabulary_size: 40}}
model: {{architecture: mlp, subwords: [], ngrams: 2, embedding_dim: 4}}
training: {{epochs: 2, batch_size: 8, device: cpu, class_weights: balanced}}
"""
TRANSLATOR = """
task: translation
run: run
data: {{train: {{source: a.txt, target: b.txt}}, validation: {{source: va.txt, target: vb.txt}}{more}}}
tokenizer: {{vocabulary_size: 60, shared: false}}
model: {{architecture: lstm, embedding_dim: 8, units: [8], dropout: 0}}
training: {{epochs: 1, batch_tokens: 128, device: cpu}}
"""

WRITER = """
task: question_answering
mode: generative
run: run
data: {{train: "q-*.jsonl", validation: qv.jsonl{more}}}
tokenizer: {{vocabulary_size: 60}}
lengths: [16, 24]
generate_lengths: [[12, 6], [16, 8]]
model: {{architecture: lstm, role: {role}, embedding_dim: 8, units: [8], dropout: 0}}
training: {{epochs: 1, batch_tokens: 128, device: cpu}}
"""


def sentence(choice: random.Random, longest: int = 9) -> str:
    return " ".join(choice.choice(WORDS) for _ in range(choice.randint(1, longest)))


def labelled(choice: random.Random, count: int) -> str:
    return "".join(
        f"{text}\t{'neg' if 'bad' in text else 'pos'}\n" for text in (sentence(choice) for _ in range(count))
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configs and data of both tasks; some training examples lack a text."""
    folder, choice = tmp_path_factory.mktemp("prepare"), random.Random(3)
    for name, count in (("train-0", 31), ("train-1", 22), ("val", 12)):
        empty = " \tpos\n" if name == "train-1" else ""
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + labelled(choice, count) + empty)
    for name, count in (("", 50), ("v", 6)):
        sides = [[sentence(choice) for _ in range(count)] for _ in range(2)]
        sides[0][-1] = sides[0][-1] * 30 if not name else sides[0][-1]  # too long for the buckets
        for side, lines in zip("ab", sides, strict=True):
            (folder / f"{name}{side}.txt").write_text(
                "\n".join([*lines, "" if side == "a" and not name else "good"]) + "\n"
            )
    for name, count in (("q-0", 30), ("q-1", 11), ("qv", 6)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked(choice, count)))
    writers = {name: WRITER.replace("{role}", role) for name, role in (("w", "encoder-decoder"), ("d", "decoder"))}
    for name, text in {"c": CLASSIFIER, "t": TRANSLATOR, **writers}.items():
        (folder / f"{name}.yaml").write_text(text.format(more=""))
        (folder / f"{name}p.yaml").write_text(text.format(more=f", prepared: of-{name}"))
        command.prepare(folder / f"{name}p.yaml", data_dir=folder, workers=1, shards=3)
    return folder


def asked(choice: random.Random, count: int) -> list[dict[str, str]]:
    """Questions about contexts of which several share one, some too long for the model; one has no answer."""
    contexts = [sentence(choice, longest) for longest in (9, 30, 60)] + [""]
    rows = [
        {"question": sentence(choice), "context": contexts[number % 4], "answer": sentence(choice, 4)}
        for number in range(count - 1)
    ]
    return [*rows, {**rows[0], "answer": ""}]


def values(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


EXAMPLES = {"c": 53, "t": 50, "w": 39, "d": 39}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_training_from_shards_makes_the_model_of_a_training_from_texts(data: Path, tmp_path: Path, name: str) -> None:
    """The same config, first weights, and losses and last weights of two epochs, by one compiled step."""
    import keras
    import tensorflow as tf

    from textapp.training.loop import Hooks
    from textapp.training.trainer import make_loop

    objective = recipe_of_config(load_config(data / f"{name}.yaml"), data).objective()
    texts = prepared_data(data, name, tmp_path / "texts")
    shards = prepared_data(data, f"{name}p", tmp_path / "shards")
    assert shards.splits.train == [] and shards.splits.train_size == len(texts.splits.train) == EXAMPLES[name]
    found, expected = (each.config.model_dump() for each in (shards, texts))
    assert found["data"].pop("prepared") == f"of-{name}" and expected["data"].pop("prepared") is None
    assert found == expected
    models = []
    for each in (texts, shards):
        keras.utils.set_random_seed(7)
        models.append(objective.build(each))
    for one, other in zip(*(values(model.weights) for model in models), strict=True):
        assert np.array_equal(one, other)
    strategy, training = tf.distribute.get_strategy(), texts.config.training
    source = objective.batches(texts)
    loop = make_loop(models[0], objective.loss(texts), training, source.plan(0).steps, strategy, Hooks())
    variables = [*models[0].variables, *loop.optimizer.variables]
    begin, results = values(variables), []
    for each in (source, objective.batches(shards)):
        for variable, value in zip(variables, begin, strict=True):
            variable.assign(value)
        losses = []
        for epoch in range(2):
            plan = each.plan(epoch)
            losses += loop.steps(each.distributed(plan, strategy), tf.constant(plan.steps)).numpy().tolist()
        results.append((losses, values(variables)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6) and len(results[0][0]) > 4
    for one, other in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_the_command_trains_from_shards(data: Path) -> None:
    """With validation, and figures that are those of a training from texts."""
    from textapp.commands.train import train

    metrics = []
    for name in ("c", "cp"):
        run = train(data / f"{name}.yaml", run=str(data / f"run-{name}"), data_dir=data)
        metrics.append(json.loads((run / "metrics.json").read_text(encoding="utf-8")))
    one, other = metrics
    assert one["validation"] == other["validation"] and one["training"]["examples"] == 53
    for row, expected in zip(other["training"]["history"], one["training"]["history"], strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_the_manifest(data: Path) -> None:
    text = (data / "of-c" / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert str(data) not in text and all(not Path(name).is_absolute() for name in manifest["sources"])
    assert (manifest["examples"], manifest["dropped"], manifest["labels"]) == (53, 1, ["neg", "pos"])
    assert list(manifest["shards"].values()) == [17, 18, 18]
    assert sum(manifest["label_counts"]) == 53
    ids = shards_module.TokenShards.open(data / "of-c").column("token_ids")
    assert manifest["tokens"] == {"token_ids": ids.lengths.sum()}
    assert manifest["settings"]["tokenizer"]["vocabulary_size"] == 40
    assert len(manifest["hash"]) == 64 and not list((data / "of-c" / "shards").glob("*.partial"))
    assert sorted(path.name for path in (data / "of-c").iterdir()) == ["manifest.json", "shards", "tokenizer"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


def test_the_number_of_processes_changes_nothing(data: Path, tmp_path: Path) -> None:
    command.prepare(data / "c.yaml", tmp_path / "two", data_dir=data, workers=2, shards=3)
    assert files_of(tmp_path / "two") == files_of(data / "of-c")


class Inline(Pool):
    """A pool whose tasks this process does, as several would."""

    def results(self, begin: Any, job: Any, tasks: Any) -> Any:
        work = begin(job)
        return [(task, work(task)) for task in tasks]


@pytest.fixture()
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are cut into parts of a kilobyte, each judged by the first 30 lines."""
    monkeypatch.setattr(command, "Pool", Inline)
    for name, value in (("PART_BYTES", 1000), ("HEAD_LINES", 30), ("PEEKED_ROWS", 25)):
        monkeypatch.setattr(parts, name, value)


def prepared_twice(folder: Path, content: str, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> list[str]:
    """Prepares a table in parts and as a whole, which has to be equal; returns what was told of the parts."""
    (folder / "c.yaml").write_text(CLASSIFIER.format(more=""))
    (folder / "train-0.tsv").write_text(content)
    (folder / "val.tsv").write_text("text\tlabel\ngood\tpos\n")
    messages = []
    for workers in (2, 1):
        caplog.clear()
        command.prepare(folder / "c.yaml", folder / f"of-{workers}", data_dir=folder, workers=workers, shards=2)
        messages.append([record.getMessage() for record in caplog.records if record.levelname == "WARNING"])
    assert files_of(folder / "of-2") == files_of(folder / "of-1") and messages[0] == messages[1]
    return messages[0]


@pytest.mark.usefixtures("cut")
def test_a_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """What is told once, by the first part, is told; the empty texts of all parts are counted."""
    read: list[str] = []
    monkeypatch.setattr(prepare_texts, "write_part", lambda *given: read.append(given[1]) or write_part(*given))
    rows = labelled(random.Random(1), 400) + " \tpos\n" + labelled(random.Random(2), 400) + "\tneg\n"
    told = prepared_twice(tmp_path, "text\tlabel\n" + rows, monkeypatch, caplog)
    assert read[:3] == ["00000-00000", "00000-00001", "00000-00002"]
    assert read.index("00000") == len(read) - 1  # by the second call, with one process
    assert told == ["train-*.tsv: dropped 2 of 802 training examples: a text is empty"]


@pytest.mark.usefixtures("cut")
def test_a_part_with_something_to_tell_is_read_with_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Its lines are counted from the beginning of the file: the header again, and a row at fault."""
    rows = labelled(random.Random(1), 700)
    content = f"text\tlabel\n{rows}text\tlabel\n{rows}"
    told = prepared_twice(tmp_path, content, monkeypatch, caplog)
    assert told[0].endswith("the header occurs again, and is left out there: line 702 (1 in all)") and len(told) == 1
    (tmp_path / "train-0.tsv").write_text(f"text\tlabel\n{rows}good\n{rows}")
    with pytest.raises(DataError, match="train-0.tsv:702: found 1 cell, expected 2 separated by tabs"):
        command.prepare(tmp_path / "c.yaml", tmp_path / "of", data_dir=tmp_path, workers=2, shards=2)


def test_an_interrupted_preparation_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard that is finished is not written again; what a killed process had begun goes."""
    written: list[str] = []

    def write(path: Path, *arguments: Any) -> None:
        if len(written) == 1:
            path.with_name(f"{path.name}.1.partial").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path.name)
        shards_module.write_shard(path, *arguments)

    monkeypatch.setattr(prepare_shards, "write_shard", write)
    with pytest.raises(KeyboardInterrupt):
        command.prepare(data / "c.yaml", tmp_path / "of", data_dir=data, workers=1, shards=3)
    assert not (tmp_path / "of").exists()
    with pytest.raises(ArtifactError, match="was started with another config, 'tokenizer.vocabulary_size' differs, so"):
        other = ["tokenizer.vocabulary_size=41"]
        command.prepare(data / "c.yaml", tmp_path / "of", other, data_dir=data, workers=1, shards=3)
    written.append("the second time")
    command.prepare(data / "c.yaml", tmp_path / "of", data_dir=data, workers=1, shards=3)
    names = [f"train-0000{number}-of-00003.tfrecord" for number in range(3)]
    assert written == [names[0], "the second time", *names[1:]]
    assert files_of(tmp_path / "of") == files_of(data / "of-c")
    assert not (tmp_path / "of.textapp-work").exists()
    with pytest.raises(ArtifactError, match="is finished already: use --overwrite to replace it, or --to DIR"):
        command.prepare(data / "c.yaml", tmp_path / "of", data_dir=data, workers=1)
    (tmp_path / "of" / "mine.txt").write_text("x")
    command.prepare(data / "c.yaml", tmp_path / "of", data_dir=data, workers=1, overwrite=True)
    assert len(files_of(tmp_path / "of")) == 2 and (tmp_path / "of" / "mine.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["tokenizer.vocabulary_size=50"], "with tokenizer.vocabulary_size 40, expected 50, as this config gives"),
        (["cleaning=[]"], r"with cleaning \['nfkc', 'lowercase', 'whitespace'\], expected \[\]"),
        (["data.train=train-0.tsv"], r"with data.train 'train-\*.tsv', expected 'train-0.tsv'"),
        (["data.validation=0.2"], "data.validation: found 0.2, a share of the training texts, expected files, as with"),
        (["data.prepared=of-t"], "of-t: was prepared for translation, expected classification"),
    ],
)
def test_a_folder_of_another_config_is_refused(data: Path, tmp_path: Path, change: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config = load_config(data / "cp.yaml", change)
        recipe, prepared = recipe_of(config.task), open_prepared(config, data)
        splits = load_splits(recipe, config, data, settled_layout(recipe, config, data, prepared), prepared)
        recipe.begin(config, splits, tmp_path)  # type: ignore[attr-defined]


def test_the_texts_may_be_elsewhere(data: Path, tmp_path: Path) -> None:
    """A training from shards needs neither the training files nor their names."""
    config = load_config(data / "cp.yaml", ["data.train=null"])
    recipe, prepared = recipe_of(config.task), open_prepared(config, data)
    layout = settled_layout(recipe, config, data, prepared)
    splits = load_splits(recipe, config, data, layout, prepared)
    assert recipe.begin(config, splits, tmp_path).config.tokenizer.vocabulary_size == 40  # type: ignore[attr-defined]
    assert splits.origin == {"train": "train-*.tsv", "validation": "val.tsv"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            ["data.validation=0.1"],
            ConfigError,
            "data.validation: found 0.1, a share of the training texts, expected",
        ),
        (["data.train=none.tsv"], DataError, "none.tsv: no such file"),
        (["data.train=one.tsv"], DataError, "found only the label 'pos' in 1 training examples; expected at least 2"),
    ],
)
def test_what_cannot_be_prepared(
    data: Path, tmp_path: Path, change: list[str], error: type[Exception], message: str
) -> None:
    (data / "one.tsv").write_text("text\tlabel\ngood\tpos\n")
    with pytest.raises(error, match=message):
        command.prepare(data / "c.yaml", tmp_path / "of", change, data_dir=data, workers=1)


def test_there_are_no_more_processes_than_a_machine_can_start(data: Path) -> None:
    with pytest.raises(OptionError, match="workers: found 2147483647, expected a whole number from 1 to 1024"):
        command.prepare(data / "pairs.yaml", data / "shards", workers=2**31 - 1)


def test_the_folder_has_to_be_named(data: Path) -> None:
    with pytest.raises(UsageError, match="--to is missing: give the folder for the token ids, or name it in the"):
        command.prepare(data / "c.yaml", data_dir=data)


def test_a_task_without_prepared_data_is_refused(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    recipe = type(recipe_of("translation"))
    monkeypatch.setattr(recipe, "keys", replace(recipe.keys, keys=recipe.keys.keys - {"data.prepared"}))
    with pytest.raises(ConfigError, match="task: found translation, expected classification .*: the others have no"):
        command.prepare(data / "t.yaml", tmp_path / "of", data_dir=data)


def test_answers_prepared_for_a_model_of_another_role_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was prepared with role 'encoder-decoder', expected 'decoder'"):
        prepared_data(data, "dp", tmp_path, "data.prepared=of-w")


# --- processes -----------------------------------------------------------------------------------------------------


def command_line(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "textapp", "prepare", "c.yaml", "--data-dir", ".", "--to", "of", *options]
    return subprocess.Popen(arguments, cwd=folder, env=child_environment(), stderr=(folder / "stderr.txt").open("w"))


def large(folder: Path, lines: int) -> None:
    choice = random.Random(5)
    part = labelled(choice, 1000)
    (folder / "train-0.tsv").write_text("text\tlabel\n" + part * (lines // 1000))
    (folder / "val.tsv").write_text("text\tlabel\n" + labelled(choice, 20))
    (folder / "c.yaml").write_text(CLASSIFIER.format(more=""))


@pytest.mark.slow
def test_killed_at_once_and_run_again(tmp_path: Path) -> None:
    """SIGKILL ends the processes that tokenise, too; the same command leaves the folder of an undisturbed one."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        large(folder, 60_000)
    assert command_line(whole, "--workers", "2", "--shards", "12").wait() == 0, (whole / "stderr.txt").read_text()
    process = command_line(killed, "--workers", "2", "--shards", "12")
    shards = killed / "of.textapp-work" / "new" / "shards"
    wait_for(lambda: len(list(shards.glob("*.npy"))) >= 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2)
    finished = set(shards.glob("*.npy"))
    time.sleep(1)
    assert set(shards.glob("*.npy")) == finished and not (killed / "of").exists()
    kept = {path.name: path.stat().st_ino for path in finished}
    assert command_line(killed, "--workers", "2", "--shards", "12").wait() == 0, (folder / "stderr.txt").read_text()
    assert files_of(killed / "of") == files_of(whole / "of")
    assert {name: (killed / "of" / "shards" / name).stat().st_ino for name in kept} == kept


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """300,000 lines more take at most 45 MB, with the sample of the tokenizer; their records would take 110 MB."""
    peaks = []
    for lines in (100_000, 400_000):
        folder = tmp_path / str(lines)
        folder.mkdir()
        large(folder, lines)
        process = command_line(folder, "--workers", "1")
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, (folder / "stderr.txt").read_text()
        peaks.append(usage.ru_maxrss / (1 if sys.platform == "linux" else 1024))
    assert peaks[1] - peaks[0] < 45_000  # KB
