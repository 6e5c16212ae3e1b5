"""What a search tries, in which order, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.compression.recipe import load_recipe, parse_recipe
from textapp.compression.search_space import (
    ALONE,
    Candidate,
    Pace,
    epochs_of,
    known_good,
    narrower,
    own_recipes,
    shortened,
)

RECIPES = Path(__file__).parents[2] / "configs" / "compression"
CNN = {"architecture": "cnn", "dropout": 0.5, "embedding_dim": 128, "filters": 100, "kernel_sizes": [2, 3, 4],
       "vectors": "words.vec", "batch_normalization": False}  # fmt: skip
TRANSFORMER = {"architecture": "transformer", "hidden_dim": 96, "num_heads": 3, "num_layers": 3, "embedding_dim": None}


def test_a_student_is_narrower_and_shallower() -> None:
    assert narrower(CNN, 0.5) == {"architecture": "cnn", "dropout": 0.5, "embedding_dim": 64, "filters": 48,
                                  "kernel_sizes": [2, 3, 4], "batch_normalization": False}  # fmt: skip
    lstm = {"architecture": "lstm", "units": [128, 64], "dense_units": 0, "embedding_dim": 20, "bidirectional": True}
    assert narrower(lstm, 0.25) == {**lstm, "units": [32, 16], "embedding_dim": 8}
    # A multiple of 8 and of two numbers for each of the three heads.
    assert narrower(TRANSFORMER, 0.5) == {
        "architecture": "transformer", "hidden_dim": 48, "num_heads": 3, "num_layers": 2
    }  # fmt: skip
    assert narrower({"architecture": "mlp", "embedding_dim": 10}, 0.5) is None


@pytest.mark.parametrize("preset", [False, True])
@pytest.mark.parametrize("model", [CNN, TRANSFORMER, {"architecture": "mlp"}, {"architecture": "preset"}])
def test_the_recipes_are_recipes(model: dict, preset: bool) -> None:
    recipes = own_recipes(model, "encoder", 7, preset)
    for name, recipe in recipes.items():
        assert parse_recipe(recipe, name).steps
    assert ("vocabulary_cut" in recipes) == preset
    layers = preset and model["architecture"] != "mlp"
    assert ("shallow_vocabulary_cut" in recipes) == layers
    assert "prune80_quantize_aware" in recipes and ALONE not in recipes


def test_what_is_tried_first() -> None:
    recipes = own_recipes(CNN, "encoder", 7, False)
    assert list(recipes)[:6] == ["structure50", "half", "quarter", "bag", "small_vocabulary", "quantize_aware"]
    assert [step["method"] for step in recipes["half_quantize_aware"]["steps"]] == ["distill", "quantize_aware"]
    assert recipes["half"]["steps"][0]["epochs"] == 7
    names = [each.name for each in known_good(recipes)]
    assert names[:3] == ["none", "dynamic", "structure50 + dynamic"] and names[-2:] == ["float16", "int8"]
    assert len(names) == 4 + len(recipes)
    assert [each.name for each in known_good(["x"], ("float16", "none"))] == ["float16", "none", "x + float16"]
    of_labels = own_recipes(CNN, "encoder", 7, False, classes=3)
    student = {"architecture": "mlp", "embedding_dim": 2}  # as many numbers as a linear model has for each n-gram
    assert of_labels["ngrams"] == {"steps": [{"method": "distill", "model": student, "epochs": 7}]}
    assert of_labels.keys() - recipes.keys() == {"ngrams"}
    assert known_good(["x"], ("none",))[1] == Candidate("x", "none")
    assert "bag" not in own_recipes(TRANSFORMER, "encoder-decoder", 7, False)  # a translator is no bag of words
    deep, shallow = ({**TRANSFORMER, "encoder_layers": 4, "decoder_layers": layers} for layers in (4, 1))
    assert list(own_recipes(deep, "encoder-decoder", 7, False))[:2] == ["structure50", "shallow_decoder"]
    for dropout, expected in ((0.3, 0.1), (0.05, 0.05)):  # never more than that of the run
        recipes = own_recipes({**deep, "dropout": dropout}, "encoder-decoder", 7, False)
        assert recipes["shallow_decoder"]["steps"][0]["dropout"] == expected
    assert "shallow_decoder" not in own_recipes(shallow, "encoder-decoder", 7, False)


def test_recipes_of_one_name_are_one_recipe() -> None:
    """Those of configs/compression, which a user changes, and those of a search."""
    deep = {**TRANSFORMER, "encoder_layers": 4, "decoder_layers": 4, "dropout": 0.3}
    own = own_recipes(deep, "encoder-decoder", 7, False) | own_recipes({"architecture": "preset"}, "encoder", 7, True)
    shipped = {path.stem: load_recipe(path).recipe.steps for path in RECIPES.glob("*.yaml")}
    both = own.keys() & shipped.keys()
    assert len(both) == 10
    for name in both:
        assert parse_recipe(own[name]).steps == shipped[name], name


def test_rare_pieces_leave_where_quality_does_not_depend_on_pieces() -> None:
    deep = {**TRANSFORMER, "encoder_layers": 4, "decoder_layers": 4}
    cut = own_recipes(deep, "encoder-decoder", 7, False)["small_vocabulary"]["steps"][0]
    assert cut == {"method": "vocabulary", "min_count": 20, "keep_characters": True}
    chain = own_recipes(deep, "encoder-decoder", 7, False)["shallow_decoder_small_vocabulary"]["steps"]
    assert [step["method"] for step in chain] == ["structure", "vocabulary", "quantize_aware"]
    assert not own_recipes(CNN, "encoder", 7, False)["small_vocabulary"]["steps"][0]["keep_characters"]
    for recipes in (
        own_recipes(deep, "encoder-decoder", 7, False, one_tokenizer=False),
        own_recipes({"architecture": "preset"}, "encoder", 7, True),
        own_recipes({"architecture": "mlp"}, "encoder", 7, False),
        own_recipes(TRANSFORMER, "decoder", 7, False),  # perplexity does
    ):
        assert not any("small_vocabulary" in name for name in recipes)


def test_what_has_parts_to_spare() -> None:
    """A bag of words has no hidden layer, and a preset that writes keeps the sizes of its folder."""

    def halves(architecture: str, role: str) -> bool:
        return "structure50" in own_recipes({"architecture": architecture}, role, 7, False)

    assert halves("preset", "encoder") and halves("lstm", "encoder-decoder")
    assert not halves("mlp", "encoder") and not halves("preset", "decoder") and not halves("preset", "encoder-decoder")


def test_epochs_and_the_time_they_take() -> None:
    recipe = {"steps": [{"method": "prune", "epochs": 6}, {"method": "quantize_aware", "epochs": 3}]}
    assert epochs_of(recipe) == 9 and epochs_of({"steps": [{"method": "vocabulary"}]}) == 0
    assert [step["epochs"] for step in shortened(recipe, 0.25)["steps"]] == [2, 1]
    assert [step["epochs"] for step in shortened(recipe, 0.01)["steps"]] == [1, 1]
    pace = Pace(10.0)
    assert pace.seconds(recipe) == pytest.approx(20 + 1.3 * 90)
    assert Pace(10.0, 2.0).seconds(recipe) == pytest.approx(2 * pace.seconds(recipe))
    assert [pace.longest(recipe, left) for left in (137, 136, 60, 58)] == [1.0, 0.5, 0.25, None]
    assert Pace(None).longest(recipe, 20) == 1.0  # nothing is known of an epoch: it is tried
