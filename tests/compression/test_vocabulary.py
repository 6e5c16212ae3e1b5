"""A run without the pieces that its texts do not have answers as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textapp
from textapp.artifact import open_artifact
from textapp.catalog import load_config, parse_config
from textapp.commands.compress import compress
from textapp.commands.train import train_config
from textapp.compression.recipe import Vocabulary
from textapp.compression.trainings import MODEL, Compression
from textapp.compression.vocabulary import cut_axes, cut_tokenizer, cut_weights
from textapp.errors import ConfigError, DataError
from textapp.models.saving import load_model

GOOD, BAD = ("fine", "lovely", "superb"), ("awful", "dull", "broken")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of texts in which some words are frequent, and some occur once."""
    folder = tmp_path_factory.mktemp("vocabulary")
    lines = ["text\tlabel"]
    for index in range(96):
        words = (GOOD, BAD)[index % 2]
        lines.append(f"a {words[index // 2 % 3]} zebra{index * 37} thing\t{('good', 'bad')[index % 2]}")
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "task": "classification", "run": str(folder / "run"), "data": {"train": "train.tsv", "validation": 0.25},
        "model": {"architecture": "cnn", "embedding_dim": 8, "filters": 8, "kernel_sizes": [1, 3]},
        "tokenizer": {"kind": "bpe", "vocabulary_size": 120},
        "training": {"epochs": 6, "batch_size": 8, "device": "cpu", "learning_rate": 0.01, "precision": "float32"},
    }  # fmt: skip
    return train_config(parse_config(config), folder)


def table_of(run: Path) -> Any:
    """The table of embeddings of a run."""
    from textapp.compression.kernels import kernels_of

    return next(kernel for kernel in kernels_of(load_model(run / "model.keras"), embeddings=True) if kernel.embedding)


def recipe(folder: Path, text: str) -> Path:
    file = folder / "cut.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_texts_of_frequent_pieces_are_answered_as_before(run: Path, tmp_path: Path) -> None:

    made = compress(run, recipe(tmp_path, "steps: [{method: vocabulary, min_count: 8}]"), new_run=str(tmp_path / "new"))

    before, after = textapp.load(run), textapp.load(made)
    texts = [f"a {word} thing" for word in (*GOOD, *BAD)]
    assert after.tokenizer.vocabulary_size < before.tokenizer.vocabulary_size
    for one, other in zip(before.batch(texts), after.batch(texts), strict=True):
        assert one.label == other.label
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
    assert table_of(made).variable.shape[0] == after.tokenizer.vocabulary_size
    step = json.loads((made / "metrics.json").read_text(encoding="utf-8"))["compression"]["steps"][0]
    assert step["pieces"] == {"before": before.tokenizer.vocabulary_size, "after": after.tokenizer.vocabulary_size}
    assert open_artifact(made).manifest["parent"]["run"] == "run"


def test_a_chain_goes_on_with_the_smaller_vocabulary(run: Path, tmp_path: Path) -> None:
    steps = "steps: [{method: vocabulary, min_count: 8}, {method: prune, sparsity: 0.5, epochs: 2, embeddings: true}]"
    made = compress(run, recipe(tmp_path, steps), new_run=str(tmp_path / "chain"))

    table = table_of(made)
    assert table.variable.shape[0] == textapp.load(made).tokenizer.vocabulary_size
    assert np.mean(np.asarray(table.variable) == 0) == pytest.approx(0.5, abs=0.02)


def test_a_chain_is_what_a_command_for_each_step_makes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smaller model, then a smaller vocabulary, then zeros; it ends and goes on after the first step."""
    rate = "epochs: 2, learning_rate: 0.002"
    steps = [
        f"{{method: structure, keep: 0.5, examples: 16, {rate}}}", "{method: vocabulary, min_count: 8}",
        f"{{method: prune, sparsity: 0.5, embeddings: true, {rate}}}",
    ]  # fmt: skip
    alone = run
    for number, step in enumerate(steps):
        alone = compress(alone, recipe(tmp_path, f"steps: [{step}]"), new_run=str(tmp_path / str(number)))

    chain, cut = recipe(tmp_path, f"steps: [{', '.join(steps)}]"), Compression._cut
    monkeypatch.setattr(Compression, "_cut", lambda self, *about: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compress(run, chain, new_run=str(tmp_path / "chain"))
    monkeypatch.setattr(Compression, "_cut", cut)
    made = compress(run, chain, new_run=str(tmp_path / "chain"))

    for one, other in zip(load_model(made / MODEL).weights, load_model(alone / MODEL).weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert load_config(made / "config.yaml").model == load_config(alone / "config.yaml").model
    assert load_config(made / "config.yaml").model.filters == 4
    assert textapp.load(made).tokenizer.pieces() == textapp.load(alone).tokenizer.pieces()
    done = json.loads((made / "metrics.json").read_text(encoding="utf-8"))["compression"]
    assert [step["method"] for step in done["steps"]] == ["structure", "vocabulary", "prune"]
    assert done["before"]["sizes"]["parameters"] == load_model(run / MODEL).count_params()
    assert open_artifact(made).manifest["parent"]["run"] == "run"


def test_a_student_loses_pieces(run: Path, tmp_path: Path) -> None:
    student = "model: {architecture: mlp, embedding_dim: 4, ngrams: 1, subwords: []}, epochs: 1"
    steps = f"steps: [{{method: distill, {student}}}, {{method: vocabulary, min_count: 8}}]"
    made = compress(run, recipe(tmp_path, steps), new_run=str(tmp_path / "student"))
    assert table_of(made).variable.shape == (textapp.load(made).tokenizer.vocabulary_size, 4)


def test_a_late_step_is_refused_before_anything_is_trained(run: Path, tmp_path: Path, capsys: Any) -> None:
    steps = "steps: [{method: structure, keep: 0.5}, {method: vocabulary}]"
    with pytest.raises(ConfigError, match=r"found all \d+ pieces in use"):
        compress(run, recipe(tmp_path, steps), new_run=str(tmp_path / "refused"))
    assert "epoch" not in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()


def test_pieces_of_further_texts_stay(run: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("zebra37 zebra74\n" * 8, encoding="utf-8")
    steps = f"steps: [{{method: vocabulary, min_count: 8, texts: {tmp_path / 'more.txt'}}}]"
    made = compress(run, recipe(tmp_path, steps), new_run=str(tmp_path / "more"))

    before, after = textapp.load(run).tokenizer, textapp.load(made).tokenizer
    old, new = before.pieces(), after.pieces()
    for text in ("zebra37", "zebra74 zebra37"):
        assert [new[token_id] for token_id in after.ids(text)] == [old[token_id] for token_id in before.ids(text)]
    assert len(new) < len(old)


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("[{method: vocabulary}]", r"found all \d+ pieces in use, .* raise min_count"),
        ("[{method: cluster}, {method: vocabulary}]", r"steps.1.method: found vocabulary after cluster, expected it b"),
        ("[{method: vocabulary, texts: none.txt}]", r"none.txt"),
        ("[{method: vocabulary, min_count: 0}]", r"cut.yaml, line 1: steps.0.min_count: found 0"),
    ],
)  # fmt: skip
def test_what_is_refused(run: Path, tmp_path: Path, steps: str, found: str) -> None:
    with pytest.raises((ConfigError, DataError), match=found):
        compress(run, recipe(tmp_path, f"steps: {steps}"), new_run=str(tmp_path / "refused"))
    assert not (tmp_path / "refused").exists()


def test_rows_and_columns_of_the_pieces_that_stay() -> None:
    table, bias = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    cut = cut_weights([table, table.T, bias, np.ones(3)], [(2, 2), (2, 2), (2,), (3,)], [0, 3])
    assert cut[0].tolist() == [[0, 1], [6, 7]]
    assert cut[1].tolist() == [[0, 6], [1, 7]]
    assert cut[2].tolist() == [0, 3]
    assert cut[3].tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match="3 rows that are no pieces"):
        cut_weights([np.ones((3, 2))], [(2, 2)], [0, 3])
    with pytest.raises(ConfigError, match="size is that of the preset"):
        cut_weights([table], [(4, 2)], [0, 3])
    for smaller, found in (([(2, 2)], "found a table of 3 rows"), ([(3, 2)], "found tables whose size")):
        with pytest.raises(ConfigError, match=f"^cut.yaml, line 3: steps.1: {found}"):
            cut_axes([(3, 2)], smaller, [0, 3], "cut.yaml, line 3: steps.1")


def test_what_leaves_no_piece_is_told_with_the_step_and_the_count_in_force(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "tokenizer", tmp_path / "tokenizer")
    every = [{"text": piece} for piece in textapp.load(run).tokenizer.pieces()] * 4
    where = "cut.yaml, line 2: steps.0"
    with pytest.raises(
        ConfigError,
        match=f"^{where}: found all .* pieces in use, expected some to spare: .*, or raise min_count above 2$",
    ):
        cut_tokenizer(Vocabulary(method="vocabulary", min_count=2), tmp_path, every, where=where)
    shutil.copytree(run / "tokenizer", tmp_path / "target_tokenizer")
    with pytest.raises(ConfigError, match=f"^{where}: found a tokenizer for each language"):
        cut_tokenizer(Vocabulary(method="vocabulary", min_count=2), tmp_path, every, where=where)
