"""Recipes of compression: what they hold, and what is said of one with a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.compression.recipe import Cluster, Prune, as_data, in_this_order, load_recipe, parse_recipe, undone
from textapp.errors import ConfigError

ROOT = Path(__file__).parents[2] / "configs" / "compression"
SHIPPED = sorted(ROOT.glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    file = folder / "small.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_and_is_read_back_equal(path: Path) -> None:
    recipe = load_recipe(path).recipe
    assert parse_recipe(as_data(recipe)) == recipe
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_the_shipped_recipes_do_what_their_names_say() -> None:
    steps = {path.stem: load_recipe(path).recipe.steps for path in SHIPPED}
    assert [step.sparsity for step in steps["prune80"]] == [0.8]
    assert [step.m_by_n for step in steps["prune24"]] == [[2, 4]]
    assert [step.clusters for step in steps["cluster16"]] == [16]
    assert [type(step) for step in steps["prune80_cluster16"]] == [Prune, Cluster]
    assert [step.method for step in steps["quantize_aware"]] == ["quantize_aware"]
    assert [step.method for step in steps["prune80_quantize_aware"]] == ["prune", "quantize_aware"]
    assert [step.model.architecture for step in steps["distill_small"]] == ["transformer"]
    assert [step.keep for step in steps["structure50"]] == [0.5]
    shallow, small = steps["shallow_decoder"], steps["small_vocabulary"]
    assert [(step.decoder_layers, step.dropout) for step in shallow] == [(0.25, 0.1)]
    assert steps["shallow_decoder_small_vocabulary"] == [*shallow, *small]


def test_defaults_and_overrides(tmp_path: Path) -> None:
    file = write(tmp_path, "steps:\n- {method: prune, sparsity: 0.5}\n- {method: cluster}\n")
    recipe = load_recipe(file, ["steps.0.sparsity=0.9", "steps.1.clusters=4", "training.batch_size=8"]).recipe
    prune, cluster = recipe.steps
    assert (prune.sparsity, prune.schedule, prune.ramp, prune.block_size) == (0.9, "polynomial", 0.5, [1, 1])
    assert (cluster.clusters, cluster.initialization, cluster.keep_zeros) == (4, "kmeans_plus_plus", None)
    assert as_data(recipe)["training"] == {"batch_size": 8}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "small.yaml: found an empty file, expected keys such as steps: [{method: prune, sparsity: 0.8}]"),
        ("step: []", "small.yaml, line 1: unknown key 'step'; did you mean 'steps'? (known here: training, steps)"),
        ("steps: []", "small.yaml, line 1: steps: found [], expected keys such as steps"),
        ("steps: prune", "small.yaml, line 1: steps: found 'prune', expected keys such as steps"),
        ("steps:\n- prune", "small.yaml, line 2: steps.0: found 'prune', expected keys such as method: prune"),
        ("steps:\n- sparsity: 0.8", "line 2: steps.0.method: found nothing, expected one of prune, cluster, distill"),
        (
            "steps:\n- method: prunne",
            "line 2: steps.0.method: found 'prunne', expected one of prune, cluster, distill, vocabulary, "
            "quantize_aware, structure; did you mean 'prune'?",
        ),
        (
            "steps:\n- method: prune\n  sparsty: 0.8",
            "small.yaml, line 3: unknown key 'steps.0.sparsty'; did you mean 'sparsity'?",
        ),
        (
            "steps:\n- method: prune\n  sparsity: 1.0",
            "small.yaml, line 3: steps.0.sparsity: found 1.0: expected a number below 1",
        ),
        ("steps:\n- method: prune\n  sparsity: 0", "steps.0.sparsity: found 0: expected a number above 0"),
        ("steps:\n- method: prune\n  sparsity: 80", "found 80: expected a share between 0 and 1: write 0.8"),
        ("steps:\n- method: prune", "line 2: steps.0: sparsity and m_by_n: found neither, expected one of them"),
        ("steps: [{method: prune, sparsity: 0.8, m_by_n: [2, 4]}]", "sparsity and m_by_n: found both"),
        ("steps: [{method: prune, m_by_n: [4, 4]}]", "m_by_n: found [4, 4], expected fewer zeros than inputs"),
        ("steps: [{method: prune, m_by_n: [2]}]", "steps.0.m_by_n: found [2]: expected a list of at least 2"),
        ("steps: [{method: prune, m_by_n: [2, 4], block_size: [4, 1]}]", "block_size is for sparsity: leave it out"),
        ("steps: [{method: prune, sparsity: 0.8, ramp: 1.0}]", "steps.0.ramp: found 1.0: expected a number up to 0.9"),
        ("steps: [{method: cluster, clusters: 1}]", "steps.0.clusters: found 1: expected a number from 2"),
        (
            "steps: [{method: cluster, initialization: kmeans}]",
            "steps.0.initialization: found 'kmeans': expected one of kmeans_plus_plus, linear, density_based, random; "
            "did you mean 'kmeans_plus_plus'?",
        ),
        (
            "training: {epoch: 2}\nsteps: [{method: cluster}]",
            "small.yaml, line 1: unknown key 'training.epoch'; did you mean 'epochs'?",
        ),
        ("training: {epochs: 0}\nsteps: [{method: cluster}]", "training.epochs: found 0: expected a number from 1"),
        ("steps: [{method: distill}]", "small.yaml, line 1: the key 'steps.0.model' is missing"),
        (
            "steps:\n- method: distill\n  model:\n    architecture: cn",
            "small.yaml, line 4: steps.0.model.architecture: found 'cn', expected one of mlp, cnn, lstm, transformer, "
            "preset; did you mean 'cnn'?",
        ),
        ("steps: [{method: distill, model: cnn}]", "steps.0.model: found 'cnn': expected keys: write model: {archi"),
        (
            "steps:\n- method: distill\n  model: {architecture: cnn,\n    filter: 3}",
            "small.yaml, line 4: unknown key 'steps.0.model.filter'; did you mean 'filters'? (known here: archi",
        ),
        (
            "steps:\n- method: distill\n  model: {architecture: cnn}\n  alpha: 70",
            "small.yaml, line 4: steps.0.alpha: found 70: expected a share between 0 and 1: write 0.7",
        ),
        (
            "steps: [{method: distill, model: {architecture: cnn}, temperature: 0}]",
            "steps.0.temperature: found 0: expected a number above 0",
        ),
        (
            "steps: [{method: distill, model: {architecture: transformer}, hidden_states: 0}]",
            "steps.0.hidden_states: found 0: expected a number above 0",
        ),
        (
            "steps:\n- method: structure\n  keep: 0.5\n  teacher: false\n  hidden_states: 1",
            "small.yaml, line 2: steps.0: hidden_states: found 1 beside teacher: false, expected teacher: true",
        ),
        (
            "steps:\n- {method: cluster}\n- {method: distill, model: {architecture: cnn}}",
            "small.yaml, line 3: steps.1.method: found distill after another step, expected it as the first",
        ),
        (
            "steps:\n- {method: quantize_aware}\n- {method: cluster}",
            "small.yaml, line 2: steps.0.method: found quantize_aware before another step, expected it as the last",
        ),
        (
            "steps:\n- {method: cluster}\n- {method: quantize_aware}",
            "small.yaml, line 3: steps.1.method: found quantize_aware after cluster, expected one of the two: the grid",
        ),
        (
            "steps:\n- {method: cluster}\n- {method: prune, sparsity: 0.5}",
            "small.yaml, line 3: steps.1.method: found prune after cluster, expected it before: its training moves",
        ),
        (
            "steps:\n- {method: cluster}\n- {method: cluster}",
            "small.yaml, line 3: steps.1.method: found cluster after cluster, expected one of the two: its training",
        ),
        ("steps: [{method: quantize_aware, layers: [a]}]", "small.yaml, line 1: unknown key 'steps.0.layers'"),
        ("training: 3\nsteps: [{method: cluster}]", "small.yaml, line 1: training: found 3, expected keys"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, text))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("earlier", "methods", "lost"),
    [
        ("prune cluster", "prune", [("cluster", 0)]),
        ("prune", "cluster structure", [("prune", 1)]),
        ("prune", "cluster quantize_aware", []),
        ("prune cluster", "vocabulary quantize_aware", [("cluster", 1)]),
        ("quantize_aware", "prune structure", [("quantize_aware", 0)]),
        ("quantize_aware", "quantize_aware", []),
        ("cluster", "distill prune", []),
        ("cluster structure", "prune", []),
    ],
)
def test_what_a_recipe_undoes_of_earlier_runs(earlier: str, methods: str, lost: list[tuple[str, int]]) -> None:
    assert [found[:2] for found in undone(earlier.split(), methods.split())] == lost


def test_which_order_a_recipe_may_have() -> None:
    assert in_this_order("prune", "cluster") and in_this_order("structure", "prune")
    for pair in (("cluster", "prune"), ("cluster", "cluster"), ("cluster", "quantize_aware"), ("prune", "structure")):
        assert not in_this_order(*pair), pair


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "steps:\n- {method: prune, sparsity: 2.5}\n- {method: cluster, clusters: 1000}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(file)
    assert [line.partition(": found")[0] for line in str(caught.value).split("\n")] == [
        f"{file}, line 2: steps.0.sparsity", f"{file}, line 3: steps.1.clusters",
    ]  # fmt: skip


def test_an_override_names_itself(tmp_path: Path) -> None:
    file = write(tmp_path, "steps: [{method: prune, sparsity: 0.8}]")
    for override, expected in {
        "steps.0.sparsity=3": "--set steps.0.sparsity=3: steps.0.sparsity: found 3",
        "steps.1.sparsity=0.3": "--set steps.1.sparsity=0.3: found item 1, expected one from 0 to 0",
        "steps.first.sparsity=0.3": "--set steps.first.sparsity=0.3: found a value at 'steps', expected keys",
    }.items():
        with pytest.raises(ConfigError) as caught:
            load_recipe(file, [override])
        assert str(caught.value).startswith(expected)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing.yaml: no such file"):
        load_recipe(tmp_path / "nothing.yaml")
