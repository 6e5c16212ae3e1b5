"""`textapp compress`: the new run, its figures, stops and resumes, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textapp
from textapp.artifact import open_artifact, write_manifest
from textapp.catalog import load_config, parse_config
from textapp.commands.compress import compress, config_of_run
from textapp.commands.examples import warn_of_other_data
from textapp.commands.export import export
from textapp.commands.train import checksums, train_config
from textapp.compression import size
from textapp.errors import ArtifactError, ConfigError, DataError, TextappError, UsageError
from textapp.export.flatbuffer.graphs import parse, shape_of, type_name
from textapp.export.options import ExportOptions
from textapp.metrics.size import gzip_bytes

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "configs" / "compression"
WORDS = {"good": ["fine", "great", "lovely", "superb"], "bad": ["poor", "awful", "dull", "broken"]}
SHORT = ("--set", "steps.0.epochs=2")


def train(folder: Path, task: str = "classification", **changes: object) -> Path:
    """A small run in `folder/run`."""
    config = {
        "task": task, "run": str(folder / "run"),
        "data": {"train": "train.tsv", "validation": 0.25, "test": "test.tsv"},
        "model": {"architecture": "cnn", "embedding_dim": 8, "filters": 8, "kernel_sizes": [1, 3]},
        "training": {"epochs": 4, "batch_size": 8, "device": "cpu", "learning_rate": 0.01, "precision": "float32"},
        **changes,
    }  # fmt: skip
    return train_config(parse_config(config), folder)


def write_reviews(folder: Path, rows: int = 96) -> None:
    for name, first in (("train", 0), ("test", 7)):
        lines = ["text\tlabel"]
        for index in range(first, first + rows):
            label = ("good", "bad")[index % 2]
            lines.append(f"number {index} was a {WORDS[label][index // 2 % 4]} thing\t{label}")
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_reviews(folder)
    train(folder)
    return folder


def kernels(run: Path) -> dict[str, np.ndarray]:
    """The kernels of a saved model as `[inputs, outputs]`, and its token table."""
    from textapp.compression.kernels import kernels_of
    from textapp.models.saving import load_model

    found = kernels_of(load_model(run / "model.keras"), embeddings=True)
    return {kernel.name: kernel.view(kernel.variable.value).numpy() for kernel in found}


def test_a_chain_makes_a_new_run_and_tells_what_it_brought(trained: Path, textapp_here) -> None:
    new, recipe = trained / "small", RECIPES / "prune80_cluster16.yaml"
    before = {file: file.read_bytes() for file in (trained / "run").iterdir() if file.is_file()}
    done = textapp_here(
        "compress", trained / "run", "--recipe", recipe, "--run", new, *SHORT, "--set", "steps.1.epochs=1", "--json"
    )
    assert done.code == 0, done.stderr
    assert {file: file.read_bytes() for file in before} == before
    run, old = open_artifact(new), open_artifact(trained / "run")
    assert run.manifest["parent"] == {"run": "run", "sha256": old.manifest["files"]["model.keras"]}
    same = ("labels", "lengths", "lengths_from", "tokenizer", "parameters", "languages", "columns")
    assert {key: run.manifest[key] for key in same} == {key: old.manifest[key] for key in same}
    assert not (new / "steps").exists() and load_config(new / "config.yaml").run == str(new)
    for name, view in kernels(new).items():
        assert (view == 0).sum() >= view.size - round(view.size * 0.2), name
        assert len(np.unique(view)) <= 16

    result = json.loads(done.stdout)
    metrics = json.loads((new / "metrics.json").read_text(encoding="utf-8"))
    parent = json.loads((trained / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert result["path"] == str(new)
    for split in ("validation", "test"):
        assert result["before"][split]["accuracy"] == parent[split]["accuracy"]
        assert result["after"][split]["accuracy"] == metrics[split]["accuracy"]
    sizes = {when: result[when]["sizes"] for when in ("before", "after")}
    assert sizes["before"]["nonzero"] >= 0.9 * sizes["before"]["parameters"]
    assert sizes["after"]["nonzero"] < 0.4 * sizes["after"]["parameters"] == 0.4 * run.manifest["parameters"]
    for when, folder in (("before", trained / "run"), ("after", new)):
        file = folder / "model.keras"
        assert sizes[when]["file_bytes"] == file.stat().st_size and sizes[when]["gzip_bytes"] == gzip_bytes(file)
    assert sizes["after"]["gzip_bytes"] < 0.5 * sizes["before"]["gzip_bytes"]
    prune, cluster = metrics["compression"]["steps"]
    assert [row["epoch"] for row in prune["history"]] == [1, 2] and prune["history"][0]["incomplete"]
    assert {row["name"] for row in cluster["kernels"]} == kernels(new).keys()
    assert metrics["compression"]["recipe"]["steps"][0]["sparsity"] == 0.8
    assert textapp.load(new)("number 3 was a lovely thing").label == "good"


def test_the_summary_and_the_name_of_the_new_run(
    trained: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = size.sizes

    def killed(model: Any, file: Path) -> dict[str, Any]:
        if "steps" in file.parts:
            (file.parents[1] / "tmp").mkdir(exist_ok=True)  # what a process leaves that is killed while it measures
        return measured(model, file)

    monkeypatch.setattr(size, "sizes", killed)
    compress(trained / "run", RECIPES / "cluster16.yaml", ["steps.0.epochs=1"])
    shown = capsys.readouterr().out
    assert open_artifact(trained / "run-cluster16").kind == "run"
    assert not list((trained / "run-cluster16").rglob("tmp"))
    for part in ("not zero", "as gzip", "validation: accuracy", "test: accuracy", "runs no faster"):
        assert part in shown
    with pytest.raises(ArtifactError, match="finished already: use --overwrite"):
        compress(trained / "run", RECIPES / "cluster16.yaml")


def test_what_earlier_runs_made_of_the_weights_stays_or_is_told(trained: Path, tmp_path: Path, caplog) -> None:
    def made(run: Path, name: str, *steps: dict[str, object]) -> Path:
        (tmp_path / name).mkdir()
        return compress(run, write_recipe(tmp_path / name, list(steps)), new_run=str(tmp_path / name / "run"))

    def zeros(run: Path) -> dict[str, np.ndarray]:
        return {name: view == 0 for name, view in kernels(run).items()}

    pruned = made(trained / "run", "a", {"method": "prune", "sparsity": 0.8, "embeddings": True, "epochs": 2})
    clustered = made(pruned, "b", {"method": "cluster", "clusters": 4, "epochs": 1})
    assert not [line for line in caplog.messages if "undoes" in line]
    again = made(clustered, "c", {"method": "prune", "sparsity": 0.5, "ramp": 0.1, "epochs": 1})
    expected = "was made by cluster, which steps.0 (prune) undoes: its training moves the values of the clusters; for"
    assert [
        line for line in caplog.messages if expected in line and "came from, run, by one recipe, prune before" in line
    ]
    before = zeros(pruned)
    assert min(each.mean() for each in before.values()) > 0.75 and "token_embedding/embeddings" in before
    for run in (clustered, again):
        assert all(now[before[name]].all() for name, now in zeros(run).items())
    metrics = [json.loads((run / "metrics.json").read_text())["compression"] for run in (pruned, clustered, again)]
    assert [each["earlier"] for each in metrics] == [[], ["prune"], ["prune", "cluster"]]


def test_a_language_model_is_pruned_two_of_four(tmp_path: Path, capsys) -> None:
    from writers import make_documents

    text = "\n".join(record["text"] for record in make_documents(200))
    (tmp_path / "input.txt").write_text(text, encoding="utf-8")
    sizes = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "intermediate_dim": 32}
    run = train(
        tmp_path, "generation", data={"train": "input.txt", "validation": 0.2, "test": 0.1},
        tokenizer={"vocabulary_size": 60}, lengths=[32], generate_lengths=[[8, 8]],
        model={"architecture": "transformer", "dropout": 0, **sizes}, training={"epochs": 2, "device": "cpu"},
    )  # fmt: skip
    compress(run, RECIPES / "prune24.yaml", SHORT[1:], as_json=True)
    result = json.loads(capsys.readouterr().out)
    assert result["after"]["test"]["perplexity"] < 1.2 * result["before"]["test"]["perplexity"]
    found = kernels(tmp_path / "run-prune24")
    table = next(name for name in found if name.endswith("embeddings"))
    assert np.all(found.pop(table) != 0) and len(found) >= 6
    for name, view in found.items():
        assert np.all((view.reshape(-1, 4, view.shape[1]) == 0).sum(axis=1) == 2), name


def test_the_zeros_are_in_the_exported_file(tmp_path: Path) -> None:
    """In int8 and in float32; kernels of less than 1,024 weights are not quantized."""
    write_reviews(tmp_path)
    sizes = {"hidden_dim": 32, "num_layers": 1, "num_heads": 2, "intermediate_dim": 64}
    run = train(tmp_path, model={"architecture": "transformer", **sizes}, lengths=[16])
    new = compress(run, RECIPES / "prune80.yaml", SHORT[1:])
    file = export(new, ExportOptions("litert", "dynamic", max_drop=100.0)) / "model.tflite"
    model = parse(file.read_bytes())
    types, found = {"INT8": np.int8, "FLOAT32": np.float32}, {}
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is not None and len(shape_of(tensor)) == 2 and type_name(tensor) in types:
            values = np.frombuffer(bytes(data), types[type_name(tensor)]).reshape(shape_of(tensor))
            found[values.dtype.name, (values == 0).tobytes()] = values
    exact = {pattern: kind for kind, pattern in found}
    int8 = [values for (kind, _), values in found.items() if kind == "int8"]
    for name, view in kernels(new).items():
        if name.endswith("embeddings"):
            continue
        zeros = view.T == 0  # a file has outputs first
        assert zeros.mean() >= 0.79, name
        if view.size < 1024:
            assert exact[zeros.tobytes()] == "float32", name
        else:  # the smallest of the others may have become zero too
            assert any(each.shape == zeros.shape and np.all(each[zeros] == 0) and each.any() for each in int8), name


@pytest.mark.slow
def test_zeros_and_integers_of_a_chain_are_those_of_the_file(tmp_path: Path, capsys) -> None:
    write_reviews(tmp_path)
    model = {"architecture": "mlp", "embedding_dim": 32, "ngrams": 1, "hidden_dims": [64], "subwords": None}
    run = train(tmp_path, model=model, lengths=[16])
    short = [SHORT[1], "steps.1.epochs=2"]
    new = compress(run, RECIPES / "prune80_quantize_aware.yaml", short)
    assert "the weights are those of an int8 file" in capsys.readouterr().out
    view = kernels(new)["hidden_0/kernel"]
    # Small weights on the grid are zero, too.
    assert view.shape == (32, 64) and (view == 0).sum() >= view.size - round(view.size * 0.2)
    scales = np.abs(view).max(axis=0) / 127
    trained = np.round(view / np.where(scales > 0, scales, 1)).T
    step = json.loads((new / "metrics.json").read_text(encoding="utf-8"))["compression"]["steps"][1]
    row = next(row for row in step["kernels"] if row["name"] == "hidden_0/kernel")
    assert row == {"name": "hidden_0/kernel", "weights": 2048, "zeros": int((view == 0).sum()), "scales": 64}

    file = export(new, ExportOptions("litert", "dynamic", max_drop=100.0)) / "model.tflite"
    found = parse(file.read_bytes())
    int8 = [
        np.frombuffer(bytes(found.buffers[tensor.buffer].data), np.int8).reshape(shape_of(tensor))
        for tensor in found.subgraphs[0].tensors
        if type_name(tensor) == "INT8" and found.buffers[tensor.buffer].data is not None
    ]
    (same,) = [values for values in int8 if values.shape == (64, 32)]
    assert np.array_equal(same, trained)


def test_a_model_of_small_matrices_has_nothing_to_quantize(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textapp.compression.quantize_aware.MIN_QUANTIZED", 4000)  # its table has 2,176 weights
    with pytest.raises(ConfigError, match=r"steps.0.method: found quantize_aware for a model without a matrix of at"):
        compress(trained / "run", RECIPES / "quantize_aware.yaml", SHORT[1:])


def stopped_at(command: list[object], line: str, stop: int) -> int:
    """The exit code of a command that gets a signal as soon as its stderr shows a line that begins with `line`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "textapp", *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    next(shown for shown in process.stderr if shown.startswith(line))
    process.send_signal(stop)
    process.communicate(timeout=120)
    return process.returncode


def test_what_was_stopped_and_killed_goes_on_to_the_same_weights(tmp_path: Path, textapp_here) -> None:
    """Stopped in the first step, killed in the second."""
    write_reviews(tmp_path, rows=200)
    run = train(tmp_path)
    command = [
        "compress", run, "--recipe", RECIPES / "prune80_cluster16.yaml", "--set", "steps.0.epochs=8", "--set",
        "steps.1.epochs=8",
    ]  # fmt: skip
    new, work = tmp_path / "run-prune80_cluster16", tmp_path / "run-prune80_cluster16.textapp-work"
    assert stopped_at(command, "epoch 2/8", signal.SIGTERM) == 75
    assert not new.exists() and work.is_dir()
    with pytest.raises(ArtifactError, match="was started with another run or recipe, 'recipe.steps' differs"):
        compress(run, command[3], ["steps.0.epochs=8"])
    assert work.is_dir()
    assert stopped_at([*command], "step 2 of 2: cluster", signal.SIGKILL) == -9
    resumed = textapp_here(*command)
    assert resumed.code == 0, resumed.stderr
    assert "resuming" in resumed.stderr and "epoch 2/8" not in resumed.stderr.partition("step 2 of 2")[0]
    assert not work.exists()
    compress(run, command[3], [command[5], command[7]], new_run=str(tmp_path / "whole"))
    one, two = kernels(new), kernels(tmp_path / "whole")
    assert all(np.array_equal(one[name], two[name]) for name in one) and one.keys() == two.keys()


# --- students --------------------------------------------------------------------------------------------------------


def write_recipe(folder: Path, steps: list[dict[str, object]]) -> Path:
    file = folder / "student.yaml"
    file.write_text(json.dumps({"steps": steps}), encoding="utf-8")
    return file


STUDENT = {"method": "distill", "model": {"architecture": "mlp", "embedding_dim": 6, "ngrams": 1}, "epochs": 8}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    write_reviews(folder)
    return train(folder, model={"architecture": "cnn", "embedding_dim": 32, "filters": 32, "kernel_sizes": [1, 3]})


def test_a_student_is_a_run_of_its_own_architecture_and_is_pruned(
    teacher: Path, tmp_path: Path, capsys, caplog
) -> None:
    (tmp_path / "more.txt").write_text("a fine day\n\nan awful day\n", encoding="utf-8")
    steps = [{**STUDENT, "unlabelled": str(tmp_path / "more.txt"), "learning_rate": 0.02},
             {"method": "prune", "sparsity": 0.8, "epochs": 2}]  # fmt: skip
    new = compress(teacher, write_recipe(tmp_path, steps), new_run=str(tmp_path / "new"), as_json=True)
    result, run, old = json.loads(capsys.readouterr().out), open_artifact(new), open_artifact(teacher)
    same = ("labels", "lengths", "tokenizer", "languages")
    assert {key: run.manifest[key] for key in same} == {key: old.manifest[key] for key in same}
    assert run.manifest["architecture"] == "mlp"
    assert run.manifest["parent"] == {"run": "run", "sha256": old.manifest["files"]["model.keras"]}
    config, before = load_config(new / "config.yaml"), load_config(teacher / "config.yaml")
    assert (config.model.embedding_dim, config.data, config.tokenizer) == (6, before.data, before.tokenizer)
    distilled, pruned = result["steps"]
    assert distilled["teacher"] == {
        "run": "run", "architecture": "cnn", "parameters": old.manifest["parameters"]
    }  # fmt: skip
    assert distilled["student"] == {"architecture": "mlp", "parameters": run.manifest["parameters"]}
    assert (distilled["answers"], distilled["unlabelled"]) == (72 + 2, 2) and len(distilled["history"]) == 8
    assert result["before"]["sizes"]["parameters"] == old.manifest["parameters"]
    assert result["after"]["sizes"]["parameters"] == run.manifest["parameters"] < old.manifest["parameters"] / 3
    for split in ("validation", "test"):
        assert result["after"][split]["accuracy"] >= result["before"][split]["accuracy"] - 5 >= 85
    (logits,) = (view for name, view in kernels(new).items() if name.startswith("logits"))
    assert (logits == 0).sum() == logits.size - round(logits.size * 0.2) and pruned["kernels"]
    assert textapp.load(new)("number 3 was a lovely thing").label == "good"
    caplog.clear()
    warn_of_other_data(new, checksums(config, teacher.parent))  # of which more.txt is no part
    assert caplog.messages == []


@pytest.mark.slow
def test_a_student_has_the_tokenizer_of_a_preset(tmp_path: Path, capsys) -> None:
    keras_hub = pytest.importorskip("keras_hub")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "number", "was", "a", "thing", *sum(WORDS.values(), [])]
    preset = tmp_path / "bert"
    keras_hub.models.BertBackbone(
        vocabulary_size=len(words), num_layers=1, num_heads=2, hidden_dim=32, intermediate_dim=32,
        max_sequence_length=32,
    ).save_to_preset(str(preset))  # fmt: skip
    keras_hub.models.BertTokenizer(vocabulary=words, lowercase=True).save_to_preset(str(preset))
    write_reviews(tmp_path)
    run = train(tmp_path, model={"architecture": "preset", "path": "bert"}, lengths=[16])
    new = compress(run, write_recipe(tmp_path, [STUDENT]), ["steps.0.model={architecture: cnn, filters: 4}"])
    config, manifest = load_config(new / "config.yaml"), open_artifact(new).manifest
    assert (config.tokenizer.kind, config.tokenizer.path) == ("preset", str(preset))
    assert manifest["tokenizer"] == open_artifact(run).manifest["tokenizer"] and manifest["architecture"] == "cnn"
    shutil.rmtree(preset)
    assert textapp.load(new)("number 3 was a lovely thing").label == "good"
    bundle = export(new, ExportOptions("litert", "none"))
    assert textapp.load(bundle)("number 3 was a dull thing").label == "bad"


@pytest.mark.slow
def test_the_student_of_a_translator_has_no_use_for_alpha(tmp_path: Path, capsys) -> None:
    colours = ("red", "blue", "green", "black")
    lines = [f"{one} {other}\t{other} {one}" for one in colours for other in colours] * 4
    (tmp_path / "train.tsv").write_text("\n".join(["source\ttarget", *lines]) + "\n", encoding="utf-8")
    sizes = {"num_layers": 1, "num_heads": 2, "dropout": 0}
    run = train(
        tmp_path, "translation", data={"train": "train.tsv", "validation": 0.25}, lengths=[16],
        generate_lengths=[[16, 16]], tokenizer={"kind": "characters", "vocabulary_size": 40, "shared": True},
        model={"architecture": "transformer", "hidden_dim": 16, **sizes}, training={"epochs": 1, "device": "cpu"},
    )  # fmt: skip
    model = {"architecture": "transformer", "hidden_dim": 8, **sizes}
    recipe = write_recipe(tmp_path, [{"method": "distill", "model": model, "alpha": 0.5, "epochs": 1}])
    with pytest.raises(ConfigError, match=r"steps.0.alpha: found 0.5, but this student learns from the texts that its"):
        compress(run, recipe)
    new = compress(run, recipe, ["steps.0.alpha=null"], as_json=True)
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert step["student"]["parameters"] == open_artifact(new).manifest["parameters"] < step["teacher"]["parameters"]
    assert load_config(new / "config.yaml").model.hidden_dim == 8 and step["answers"] > 30


def test_a_student_that_was_stopped_does_not_ask_its_teacher_again(teacher: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, [{**STUDENT, "epochs": 200}])
    command = ["compress", teacher, "--recipe", recipe, "--run", tmp_path / "new"]
    assert stopped_at(command, "epoch 2/200", signal.SIGTERM) == 75
    answers = tmp_path / "new.textapp-work" / "new" / "steps" / "1" / "answers"
    written = (answers / "logits.npy").stat().st_mtime_ns
    assert stopped_at(command, "epoch 5/200", signal.SIGTERM) == 75
    assert (answers / "logits.npy").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"model": {"architecture": "mlp", "embedding_dim": 400, "ngrams": 1}},
         "steps.0.model: found a student of "),
        ({"model": {"architecture": "preset", "path": "minilm"}},
         "steps.0.model.architecture: found preset, which has a tokenizer of its own, but a student has that of its"),
        ({"model": {"architecture": "transformer", "hidden_dim": 10, "num_heads": 4}},
         "student.yaml, line 1: steps.0.model.hidden_dim 10 is not a multiple of steps.0.model.num_heads 4"),
        ({"unlabelled": "none.txt"}, "none.txt: no such file"),
        ({"hidden_states": 1},
         "student.yaml, line 1: steps.0.hidden_states: found 1, but the student is no Transformer on textapp's own"),
    ],
)  # fmt: skip
def test_a_student_that_does_not_fit_is_refused(
    teacher: Path, tmp_path: Path, settings: dict[str, object], expected: str
) -> None:
    recipe = write_recipe(tmp_path, [{**STUDENT, **settings}])
    with pytest.raises((ConfigError, DataError)) as caught:
        compress(teacher, recipe, new_run=str(tmp_path / "new"))
    assert expected in str(caught.value)
    if "of " in expected[-3:]:
        parameters = open_artifact(teacher).manifest["parameters"]
        assert f"expected at most the {parameters:,} of its teacher" in str(caught.value)
    assert not (tmp_path / "new").exists() and not (tmp_path / "new.textapp-work").exists()


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("steps: [{method: prune, sparsity: 0.8, layers: [lstm_0]}]",
         "line 1: steps.0.layers.0: found 'lstm_0', expected a layer with a kernel: windows, logits"),
        ("steps: [{method: prune, sparsity: 0.8, layers: [window]}]", "did you mean 'windows'?"),
        ("steps: [{method: quantise}]", "steps.0.method: found 'quantise', expected one of prune, cluster, distill"),
        ("steps: [{method: prune, sparsity: 1.5}]", "steps.0.sparsity: found 1.5: expected a share"),
        ("training: {batch_size: 1000}\nsteps: [{method: prune, sparsity: 0.5, epochs: 1}]",
         "recipe.yaml, line 2: steps.0: found a training of 1 update, expected at least 2: raise epochs, or lower"),
        ("training: {batch_size: 1000}\nsteps: [{method: structure, keep: 0.5, epochs: 1000},\n"
         "{method: prune, sparsity: 0.5, epochs: 1}]",  # before a thousand epochs
         "recipe.yaml, line 3: steps.1: found a training of 1 update, expected at least 2: raise epochs, or lower"),
        ("training: {monitor: bleu}\nsteps: [{method: cluster}]", "training.monitor: found 'bleu'"),
    ],
)  # fmt: skip
def test_a_recipe_that_does_not_fit_is_refused(trained: Path, tmp_path: Path, recipe: str, expected: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        compress(trained / "run", file, new_run=str(tmp_path / "new"))
    assert expected in str(caught.value) and caught.value.exit_code == 2
    assert not (tmp_path / "new").exists() and not (tmp_path / "new.textapp-work").exists()


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run"))


def rewritten(run: Path, **changes: object) -> None:
    """Changes the manifest of a run, whose checksums become those of its files."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    names = list(manifest.pop("files"))
    write_manifest(run, {**manifest, **changes}, names)


def refused(run: Path, data_dir: Path | None = None, **settings: object) -> str:
    with pytest.raises(TextappError) as caught:
        compress(run, RECIPES / "prune80.yaml", data_dir=data_dir, **settings)
    assert caught.value.exit_code == 1
    return str(caught.value)


def test_a_run_whose_data_is_gone(trained: Path, tmp_path: Path) -> None:
    run = copied(trained / "run", tmp_path)
    rewritten(run, data_dir=str(tmp_path / "gone"))
    assert f"{tmp_path / 'train.tsv'}: no such file" in refused(run, tmp_path)
    assert "train.tsv" in refused(run)  # relative to the working directory, as the folder is gone
    new = compress(run, RECIPES / "prune80.yaml", SHORT[1:], data_dir=trained)
    assert open_artifact(new).manifest["data_dir"] == str(trained)


def test_a_run_with_other_labels_than_the_data(trained: Path, tmp_path: Path, caplog) -> None:
    run = copied(trained / "run", tmp_path)
    for name in ("train", "test"):
        text = (trained / f"{name}.tsv").read_text(encoding="utf-8")
        (tmp_path / f"{name}.tsv").write_text(text.replace("\tbad", "\tpoor"), encoding="utf-8")
    error = refused(run, tmp_path)
    assert "was trained on the labels bad, good, but the data has poor, which it was not trained on" in error
    expected = f"{tmp_path / 'train.tsv'}: changed since the training was started (its sha256 differs): quality is"
    assert any(line.startswith(expected) for line in caplog.messages)
    rewritten(run, labels=["bad", "fair", "good"])
    expected = "was trained on the labels bad, fair, good, but the data has no example of fair: use the data"
    assert expected in refused(run, trained)


def test_a_run_of_another_version(trained: Path, tmp_path: Path, caplog) -> None:
    run = copied(trained / "run", tmp_path)
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace("filters:", "feature_maps:"), encoding="utf-8")
    rewritten(run, versions={"textapp": "7.0.0"})
    error = refused(run)
    assert f"was trained by textapp 7.0.0, and its config is none of this version, {textapp.__version__}" in error
    assert "config.yaml, line" in error and "model.feature_maps" in error
    # A version of which all is known but what it does.
    (run / "config.yaml").write_text(config, encoding="utf-8")
    rewritten(run, versions={"textapp": "0.0.9"})
    config_of_run(open_artifact(run))
    assert f"{run}: was trained by textapp 0.0.9, and this is {textapp.__version__}" in caplog.messages[-1]
    assert len(caplog.messages) == 1
    # A version whose model is built otherwise: the config is known, the weights do not fit.
    (run / "config.yaml").write_text(config.replace("filters: 8", "filters: 9"), encoding="utf-8")
    rewritten(run)
    error = refused(run)
    assert "model.keras: found a weight of the shape (1, 8, 8), expected (1, 8, 9)" in error
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    (run / "manifest.json").write_text(json.dumps({**manifest, "format": 2}), encoding="utf-8")
    assert "found format 2, expected 1: another version of textapp wrote it" in refused(run)


def test_a_preset_that_was_not_trained(trained: Path, tmp_path: Path) -> None:
    run = copied(trained / "run", tmp_path)
    config = {
        "task": "generation", "run": str(run), "data": {"train": "train.txt"}, "training": {"epochs": 0},
        "model": {"architecture": "preset", "path": "minilm"}, "tokenizer": {"kind": "preset"},
    }  # fmt: skip
    (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    rewritten(run)
    assert "is a preset as it is (training.epochs: 0), and to compress is to go on training" in refused(run)


def test_no_bundle_not_the_run_itself_and_no_cluster_of_machines(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = copied(trained / "run", tmp_path)
    rewritten(bundle, kind="bundle")
    assert "found a bundle, expected a run folder: compress the run" in refused(bundle)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is the run to compress itself"):
            compress(trained / "run", RECIPES / "prune80.yaml", new_run=str(trained / "run"), overwrite=overwrite)
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UsageError, match="TF_CONFIG: found several workers"):
        compress(trained / "run", RECIPES / "prune80.yaml")
