"""The YAML contract: strict, readable errors, defaults that depend on data."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.catalog import load_config, parse_config, recipe_of
from textapp.config import data_directory, differing_key, save_config
from textapp.config.reading import read_keys
from textapp.errors import ConfigError

resolve = recipe_of("classification").resolve
SMALL = {"task": "classification", "run": "runs/x", "data": {"train": "a.tsv"}, "model": {"architecture": "cnn"}}


def with_keys(**changes: object) -> dict:
    return {**SMALL, **changes}


def test_weights_of_labels_that_are_numbers() -> None:
    for given, expected in (({0: 1, 1: 2.5}, {"0": 1, "1": 2.5}), ({True: 1, False: 2}, {"true": 1, "false": 2})):
        assert parse_config(with_keys(training={"class_weights": given})).training.class_weights == expected


def test_a_model_from_scratch_with_the_tokenizer_of_a_preset_does_not_clean_its_texts() -> None:
    config = resolve(parse_config(with_keys(tokenizer={"kind": "preset", "path": "bert"})), 5000, "en", [5] * 100)
    assert (config.tokenizer.kind, config.tokenizer.path, config.tokenizer.vocabulary_size) == ("preset", "bert", None)
    assert config.cleaning == [] and config.model.filters


def test_task_run_data_and_model_are_enough() -> None:
    config = resolve(parse_config(SMALL), 5000, "en", [5] * 100)
    assert config.training.epochs and config.training.learning_rate and config.lengths == [8]
    assert config.tokenizer.kind == "bpe" and config.tokenizer.vocabulary_size
    assert config.model.filters and config.model.dropout is not None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (with_keys(trainig={}), ["trainig", "did you mean 'training'"]),
        (with_keys(training={"epocs": 2}), ["training.epocs", "did you mean 'epochs'"]),
        (with_keys(model={"architecture": "cnm"}), ["'cnm'", "did you mean 'cnn'"]),
        (with_keys(model={"architecture": "cnn", "filter": 3}), ["model.filter", "did you mean 'filters'"]),
        (with_keys(model={}), ["model.architecture"]),
        (with_keys(training={"batch_size": 0}), ["training.batch_size", "found 0"]),
        (with_keys(training={"optimizer": "adm"}), ["training.optimizer", "'adm'", "adafactor"]),
        (with_keys(model={"architecture": "mlp", "subwords": [5, 3]}), ["subwords", "[5, 3]", "such as [3, 5]"]),
        (
            with_keys(model={"architecture": "mlp", "naive_bayes": True, "hidden_dims": [8]}),
            ["naive_bayes true cannot be combined with hidden_dims", "leave one out"],
        ),
        (
            with_keys(task="generation", model={"architecture": "mlp", "num_layers": 2}),
            ["model.architecture: found 'mlp', which cannot generate text", "expected one of lstm, transformer"],
        ),
        (with_keys(task=["generation"], model={"architecture": ["mlp"]}), ["task", "model.architecture"]),
        (with_keys(lengths=[32, 16]), ["lengths", "ascending"]),
        (with_keys(data={"train": "a.txt", "pattern": "("}), ["data.pattern", "regular expression"]),
        (with_keys(data={"train": "a.txt", "pattern": "x"}), ["data.pattern", "'text'"]),
        (with_keys(data={"train": "a.txt", "pattern": "(?P<text>.*)"}), ["data.pattern", "'label'"]),
        (with_keys(data={}), ["data.train", "missing"]),
        (with_keys(run="."), ["run: found '.'", "expected a folder with a name"]),
        (with_keys(run=""), ["run: found ''", "expected a folder with a name"]),
        (with_keys(model={"architecture": "cnn", "kernel_sizes": []}), ["model.kernel_sizes: found []", "at least 1"]),
        (with_keys(model={"architecture": "lstm", "units": []}), ["model.units: found []", "at least 1"]),
        (with_keys(tokenizer={"kind": "preset"}), ["preset", "or tokenizer.path, the preset whose tokenizer is taken"]),
        (
            with_keys(tokenizer={"kind": "bpe", "path": "bert"}),
            ["tokenizer.path: found 'bert', but only one of kind preset is read from there"],
        ),
        (
            with_keys(tokenizer={"kind": "preset", "path": "a"}, model={"architecture": "preset", "path": "b"}),
            ["tokenizer.path: found 'a', but a preset has a tokenizer of its own: leave it out"],
        ),
        (
            with_keys(model={"architecture": "transformer", "hidden_dim": 10, "num_heads": 4}),
            ["hidden_dim 10", "num_heads 4"],
        ),
    ],
)
def test_a_fault_names_the_key_what_was_found_and_what_is_expected(raw: dict, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, source="my.yaml")
    assert "my.yaml" in str(caught.value)
    for part in expected:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"data": {"train": "a", "validation": 2}}, "data.validation: found 2: expected a share between 0 and 1, a"),
        ({"data": {"train": "a", "validation": 0}}, "data.validation: found 0: expected a share between 0 and 1, a"),
        ({"data": {"train": "a", "test": 1}}, "data.test: found 1: expected a share between 0 and 1, a"),
        ({"data": {"train": "a", "test": [3]}}, "data.test: found [3]: expected a share between 0 and 1, a"),
        ({"data": {"train": 5}}, "data.train: found 5: expected a path, a glob, or a list of them"),
        ({"data": {"train": "a", "header": "maybe"}}, "data.header: found 'maybe': expected auto, true or false"),
        ({"data": {"train": "a", "columns": {"text": -1}}}, "data.columns.text: found -1: expected a name, a list"),
        ({"training": {"class_weights": {"a": 0}}}, "training.class_weights: found {'a': 0}: expected balanced, or a"),
    ],
)
def test_a_value_of_several_forms_gets_one_line(part: dict, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(with_keys(**part))
    assert str(caught.value).startswith(f"config: {line}") and "\n" not in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(with_keys(training={"epocs": 2, "batch_size": 0}))
    assert "epocs" in str(caught.value) and "batch_size" in str(caught.value)


def test_overrides_are_yaml_and_reach_into_parts(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("task: classification\nrun: r\ndata: {train: a}\nmodel: {architecture: cnn}\n", encoding="utf-8")
    config = load_config(file, ["training.epochs=2", "model.kernel_sizes=[2, 5]", "training.learning_rate=1e-3"])
    assert (config.training.epochs, config.model.kernel_sizes, config.training.learning_rate) == (2, [2, 5], 1e-3)
    for wrong in ("training.epochs", "=3", "task.name=3", "seed=[1"):
        with pytest.raises(ConfigError, match="--set"):
            load_config(file, [wrong])


def test_a_missing_file_of_another_kind_is_told_as_that(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match=r"expected a YAML recipe \(configs/compression/ holds complete ones\)"):
        read_keys(file, [], "keys", "recipe")
    file.write_bytes(b"a: 1\n" * 300_000)
    with pytest.raises(ConfigError, match="bytes, expected a YAML recipe; is it"):
        read_keys(file, [], "keys", "recipe")


def test_a_file_that_is_no_config_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match=r"no such file; expected a YAML config \(configs/ holds complete ones\)"):
        load_config(file)
    for content in (b"a: [", b"- 1\n", b"\xff\xfe\x00", b""):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"x\.yaml"):
            load_config(file)


def test_the_resolved_form_is_read_back_equal(tmp_path: Path) -> None:
    config = resolve(parse_config(SMALL), 5000, "en", [3, 9, 30])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_resolving_keeps_what_was_given() -> None:
    config = parse_config(with_keys(lengths=[100], training={"epochs": 1, "learning_rate": 0.5}))
    resolved = resolve(config, 10, "en", [5])
    assert (resolved.lengths, resolved.training.epochs, resolved.training.learning_rate) == ([100], 1, 0.5)


def test_the_first_difference_is_named() -> None:
    one, other = parse_config(SMALL), parse_config(with_keys(training={"epochs": 3}))
    assert differing_key(one, one) is None
    assert differing_key(one, other) == "training.epochs"
    assert differing_key(one, parse_config(with_keys(model={"architecture": "mlp"}))) == "model.architecture"


def test_the_data_folder_is_the_option_else_the_variable_else_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEXTAPP_DATA", "from-variable")
    assert data_directory("given") == Path("given")
    assert data_directory() == Path("from-variable")
    assert data_directory(recorded=str(tmp_path)) == tmp_path
    assert data_directory(recorded=str(tmp_path / "on another machine")) == Path("from-variable")
    monkeypatch.delenv("TEXTAPP_DATA")
    assert data_directory() == Path(".")


def test_a_pointer_of_git_lfs_is_no_config(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1a\nsize 12\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="a.yaml: found a Git LFS pointer instead of the file itself: run git lfs"):
        load_config(file)
