"""What `textapp optimize` tries: recipes of compression by name, each with the number formats of an export.

The recipes are data as in configs/compression/. What students there are follows from the model of the run: the same
architecture at a half and a quarter of its width and depth, and for a classifier a bag of words and one of n-grams.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WRITERS = ("decoder", "encoder-decoder")  # roles whose presets have the sizes of their folder
ALONE = "as_it_is"  # in place of the name of a recipe: the run itself is exported
FORMATS = ("none", "dynamic", "float16", "int8")
LENGTHS = (1.0, 0.5, 0.25)  # shares of the epochs of a recipe, the longest that fits the time is taken
STEP_SECONDS = 20.0  # what a training takes beside its epochs: imports, figures before and after
SLOWER = 1.3  # an epoch of a compression against one of the run's own training
# Fields that hold a width, or a list of them, and those that hold a number of layers.
_WIDTHS = ("embedding_dim", "filters", "units", "dense_units", "hidden_dim", "intermediate_dim")
_DEPTHS = ("num_layers", "encoder_layers", "decoder_layers")
_MULTIPLE = 8  # of widths
_SMALL = {"architecture": "transformer", "hidden_dim": 128, "num_layers": 2, "num_heads": 4, "dropout": 0.1}
_BAG = {"architecture": "mlp", "embedding_dim": 32, "ngrams": 1, "subwords": []}
_DIMS = 10  # of a bag of n-grams
_THIRD = 0.34  # of the layers of a preset: two of six
_RARE = 20  # times that a piece occurs at the least, to stay
_DROPOUT = 0.1  # of a translator with few decoder layers, if that of its run is no lower


@dataclass(frozen=True)
class Candidate:
    """One thing to try.

    Attributes:
        recipe: the name of a recipe, or `as_it_is`.
        quantize: the number format of its export.
    """

    recipe: str
    quantize: str

    @property
    def name(self) -> str:
        """`half + dynamic`, or `dynamic` for an export alone."""
        return self.quantize if self.recipe == ALONE else f"{self.recipe} + {self.quantize}"

    @property
    def alone(self) -> bool:
        """Whether it is the run itself, exported."""
        return self.recipe == ALONE


def own_recipes(
    model: Mapping[str, Any],
    role: str,
    epochs: int,
    preset: bool,
    classes: int | None = None,
    one_tokenizer: bool = True,
) -> dict[str, dict[str, Any]]:
    """The recipes that make sense for a run, by name, in the order in which they are tried.

    Args:
        model: the `model` part of its config.
        role: that its task asks of a model, such as `encoder`.
        epochs: that it was trained for; a student is trained as long.
        preset: whether its tokenizer is that of a preset, with pieces that the run's texts never have.
        classes: labels of a classifier; None: it is none.
        one_tokenizer: whether both sides of a translator have the same.

    Example: `own_recipes({"architecture": "cnn", "filters": 100}, "encoder", 5, False)` begins with `structure50`.
    """
    students = {name: narrower(model, share) for name, share in (("half", 0.5), ("quarter", 0.25))}
    if model["architecture"] == "preset":
        students = {"small": dict(_SMALL)}
    if role == "encoder" and model["architecture"] != "mlp":
        students["bag"] = dict(_BAG)
        if classes is not None:  # n-grams are many, and as many numbers as a linear model needs for each do
            students["ngrams"] = {"architecture": "mlp", "embedding_dim": min(_DIMS, max(1, classes - 1))}
    distilled = {
        name: [{"method": "distill", "model": student, "epochs": epochs}]
        for name, student in students.items()
        if student
    }
    adapted = {"method": "quantize_aware", "epochs": 3}
    cut: dict[str, Any] = {"method": "vocabulary"}
    found: dict[str, list[dict[str, Any]]] = {"vocabulary_cut": [cut]} if preset else {}
    halved = {"method": "structure", "keep": 0.5, "epochs": 5}
    if model["architecture"] != "mlp" and (model["architecture"] != "preset" or role not in WRITERS):
        found["structure50"] = [halved]
    if preset and "structure50" in found:
        found["shallow_vocabulary_cut"] = [{"method": "structure", "layers": _THIRD, "epochs": 3}, cut]
    if (model.get("decoder_layers") or 1) > 1 and role == "encoder-decoder":
        rate = min(_DROPOUT, model.get("dropout") or 0.0)
        found["shallow_decoder"] = [{"method": "structure", "decoder_layers": 0.25, "dropout": rate, "epochs": 6}]
    found |= distilled
    # Of a language model not: the perplexity of smaller pieces is another one.
    if not preset and one_tokenizer and model["architecture"] != "mlp" and role != "decoder":
        rare = {**cut, "min_count": _RARE, "keep_characters": role in WRITERS}
        found["small_vocabulary"] = [rare, {**adapted, "epochs": 4}]
        if "shallow_decoder" in found:
            found["shallow_decoder_small_vocabulary"] = [*found["shallow_decoder"], *found["small_vocabulary"]]
    found["quantize_aware"] = [adapted]
    if preset:
        found["vocabulary_cut_quantize_aware"] = [cut, adapted]
    found |= {f"{name}_quantize_aware": [*steps, adapted] for name, steps in distilled.items() if name != "ngrams"}
    pruned = {"method": "prune", "sparsity": 0.8, "epochs": 6}
    clustered = {"method": "cluster", "clusters": 16, "embeddings": True, "epochs": 3}
    found |= {"prune80": [pruned], "prune80_quantize_aware": [pruned, adapted], "cluster16": [clustered]}
    return {name: {"steps": steps} for name, steps in found.items()}


def narrower(model: Mapping[str, Any], share: float) -> dict[str, Any] | None:
    """The model with a share of its widths and layers; None if its architecture has nothing to make narrower.

    Args:
        model: the `model` part of a config, with its defaults filled in.
        share: between 0 and 1.

    Example: `narrower({"architecture": "cnn", "filters": 100}, 0.5)` has 48 filters, a multiple of 8.
    """
    if model["architecture"] not in ("cnn", "lstm", "transformer"):
        return None
    small = {name: value for name, value in model.items() if value is not None and name != "vectors"}
    step = _MULTIPLE
    if "num_heads" in small:  # each head an even number, for rotary positions
        step = math.lcm(_MULTIPLE, 2 * small["num_heads"])
    for name in _WIDTHS:
        if isinstance(small.get(name), list):
            small[name] = [_rounded(width * share, step) for width in small[name]]
        elif small.get(name):  # 0 dense units are none
            small[name] = _rounded(small[name] * share, step if name == "hidden_dim" else _MULTIPLE)
    for name in _DEPTHS:
        if small.get(name):
            small[name] = max(1, round(small[name] * share))
    return small


def _rounded(width: float, step: int) -> int:
    return max(step, int(width // step) * step)


def known_good(recipes: Iterable[str], formats: Sequence[str] = FORMATS) -> list[Candidate]:
    """What is tried before a sampler chooses: the run in float32 and int8 weights, each recipe so, then other formats.

    A short search is over before these, which were no faster on any model so far, and take minutes on a large one.

    Args:
        recipes: their names.
        formats: number formats to try.
    """
    first = next((each for each in ("dynamic", "float16") if each in formats), formats[0])
    alone = [Candidate(ALONE, each) for each in formats]
    early = [each for each in alone if each.quantize in ("none", first)]
    return [*early, *(Candidate(name, first) for name in recipes), *(each for each in alone if each not in early)]


def shortened(recipe: Mapping[str, Any], length: float) -> dict[str, Any]:
    """A recipe with a share of its epochs, at least one a step.

    Args:
        recipe: as data, each step that trains with its epochs.
        length: the share.
    """
    steps = [
        {**step, "epochs": max(1, round(step["epochs"] * length))} if "epochs" in step else dict(step)
        for step in recipe["steps"]
    ]
    return {**recipe, "steps": steps}


def epochs_of(recipe: Mapping[str, Any]) -> int:
    """The epochs of all steps of a recipe."""
    return sum(step.get("epochs", 0) for step in recipe["steps"])


@dataclass(frozen=True)
class Pace:
    """How long trainings take on this machine.

    Attributes:
        epoch_seconds: of an epoch of the run's own training; None if it is not known.
        ratio: what finished trainings took against what was expected of them.
    """

    epoch_seconds: float | None
    ratio: float = 1.0

    def seconds(self, recipe: Mapping[str, Any]) -> float:
        """What a recipe is expected to take."""
        return self.ratio * (STEP_SECONDS + SLOWER * (self.epoch_seconds or 0.0) * epochs_of(recipe))

    def longest(self, recipe: Mapping[str, Any], left: float) -> float | None:
        """The largest share of a recipe's epochs that fits the seconds left; None if none does.

        Args:
            recipe: as data.
            left: seconds.
        """
        return next((share for share in LENGTHS if self.seconds(shortened(recipe, share)) <= left), None)
