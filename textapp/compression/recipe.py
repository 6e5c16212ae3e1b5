"""Recipes of compression: a YAML file with a list of steps, each the settings of one method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from textapp.config import Model, ModelConfig, Training
from textapp.config.faults import flat_fault_lines
from textapp.config.parts import Count, Counts, Files, Float, Int, Rate, Share, shown
from textapp.config.reading import read_keys
from textapp.config.yaml_text import Place
from textapp.errors import ConfigError, did_you_mean


def _no_percent(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value < 100:
        raise ValueError(f"expected a share between 0 and 1: write {value / 100:g}")
    return value


class Vocabulary(Model):
    """Pieces that the run's own texts never have leave tokenizer and model. Nothing is trained."""

    method: Literal["vocabulary"]
    texts: Files | None = Field(default=None, description="further texts, one a line, whose pieces stay, too")
    min_count: Count = Field(default=1, description="a piece that occurs less often leaves, too")
    keep_characters: bool = Field(
        default=True, description="pieces of one character stay, so that text that was never seen can be written"
    )


class Trained(Model):
    """What the methods that train have: how long."""

    epochs: Count | None = Field(default=None, description="of training; None: training.epochs of the recipe, else 3")
    learning_rate: Annotated[Float, Field(gt=0)] | None = Field(
        default=None, description="None: training.learning_rate of the recipe, else half that of the run"
    )


class Step(Trained):
    """What the methods for kernels have: which ones.

    A kernel is a matrix of weights that multiplies: of a dense layer, a convolution, an LSTM (for its inputs and for
    its state), or a projection of an attention.
    """

    layers: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="names of layers, or patterns such as *attention*; None: all"
    )
    embeddings: bool = Field(default=False, description="also the tables of token and n-gram embeddings")


class Prune(Step):
    """Magnitude pruning: weights near zero become zero (Zhu and Gupta, 2017). Either a share, or a pattern."""

    method: Literal["prune"]
    sparsity: Annotated[Share, BeforeValidator(_no_percent)] | None = Field(
        default=None, description="share of each kernel that becomes zero"
    )
    m_by_n: Annotated[list[Annotated[Int, Field(ge=1, le=64)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="[2, 4]: at least 2 zeros in each 4 consecutive inputs"
    )
    schedule: Literal["polynomial", "constant"] = Field(
        default="polynomial", description="polynomial: the share grows during the ramp; constant: it begins as asked"
    )
    ramp: Annotated[Float, Field(gt=0, le=0.9)] = Field(
        default=0.5, description="share of the updates in which zeros are chosen; after that they do not move"
    )
    block_size: Annotated[Counts, Field(min_length=2, max_length=2)] = Field(
        default=[1, 1], description="[inputs, outputs] of the blocks that become zero as a whole"
    )

    @model_validator(mode="after")
    def _one_goal(self) -> Prune:
        if (self.sparsity is None) == (self.m_by_n is None):
            found = "found neither" if self.sparsity is None else "found both"
            raise ValueError(f"sparsity and m_by_n: {found}, expected one of them, such as sparsity: 0.8")
        if self.m_by_n is not None:
            zeros, block = self.m_by_n
            if zeros >= block:
                raise ValueError(f"m_by_n: found {self.m_by_n}, expected fewer zeros than inputs, such as [2, 4]")
            if self.block_size != [1, 1]:
                raise ValueError("block_size is for sparsity: leave it out where there is m_by_n")
        return self


class Cluster(Step):
    """Weight clustering: each kernel has at most so many distinct values, which are trained (Han et al., 2016)."""

    method: Literal["cluster"]
    clusters: Annotated[Int, Field(ge=2, le=256)] = Field(default=16, description="distinct values of each kernel")
    initialization: Literal["kmeans_plus_plus", "linear", "density_based", "random"] = Field(
        default="kmeans_plus_plus", description="of these values"
    )
    keep_zeros: bool | None = Field(
        default=None, description="whether weights that are zero stay zero; None: if a step before pruned"
    )


HiddenStates = Annotated[Float, Field(gt=0, le=1000)] | None
OF_HIDDEN_STATES = (
    "weight of the distance between the hidden states of both, Transformers of one width; None: they are not compared"
)


class Distill(Trained):
    """A smaller model learns from the answers of the run, its teacher (Hinton et al., 2015; Kim and Rush, 2016).

    It is a new model: without `epochs` and `learning_rate`, here and in the recipe, it is trained as a run of its
    architecture is.
    """

    method: Literal["distill"]
    model: ModelConfig = Field(description="the student, as the model part of a config")
    temperature: Annotated[Float, Field(gt=0, le=100)] | None = Field(
        default=None, description="divides the logits of both; None: 2"
    )
    alpha: Annotated[Float, Field(gt=0, le=1), BeforeValidator(_no_percent)] | None = Field(
        default=None, description="share of the teacher's loss against that of the labels; None: 0.7"
    )
    hidden_states: HiddenStates = Field(default=None, description=OF_HIDDEN_STATES)
    unlabelled: Files | None = Field(default=None, description="further texts without labels, for a classifier")


class QuantizeAware(Trained):
    """Training with the weights as an int8 file holds them (Jacob et al., 2018). Which ones, the file decides."""

    method: Literal["quantize_aware"]


PartShare = Annotated[Float, Field(gt=0, le=1), BeforeValidator(_no_percent)]


class Structure(Trained):
    """Whole units, heads and layers leave, those of the least importance first; the model is rebuilt smaller and dense.

    Importance is that of Michel et al. (2019) and Molchanov et al. (2019): how much the loss of an example would change
    by the first-order term if the unit were not there, as a mean over examples.
    """

    method: Literal["structure"]
    keep: Annotated[Share, BeforeValidator(_no_percent)] | None = Field(
        default=None, description="share that stays of each part without a share of its own, but for layers"
    )
    feed_forward: PartShare | None = Field(
        default=None, description="share that stays of the units of each feed-forward part of a Transformer"
    )
    heads: PartShare | None = Field(default=None, description="share that stays of the heads of each attention")
    layers: PartShare | None = Field(
        default=None, description="share that stays of the layers of a Transformer; None: all"
    )
    encoder_layers: PartShare | None = Field(
        default=None, description="share that stays of the layers of a translator's encoder; None: layers"
    )
    decoder_layers: PartShare | None = Field(
        default=None, description="share that stays of the layers of a translator's decoder; None: layers"
    )
    units: PartShare | None = Field(
        default=None, description="share that stays of the units of each LSTM or hidden layer, or of the filters"
    )
    dropout: Rate | None = Field(
        default=None, description="of the smaller model, which needs less than a larger one; None: that of the run"
    )
    examples: Count = Field(default=256, description="training examples that importance is measured on")
    teacher: bool = Field(default=True, description="whether the smaller model also learns from the answers of the run")
    hidden_states: HiddenStates = Field(default=None, description=OF_HIDDEN_STATES)

    @model_validator(mode="after")
    def _something_leaves(self) -> Structure:
        shares = [
            self.keep, self.feed_forward, self.heads, self.layers, self.encoder_layers, self.decoder_layers, self.units
        ]  # fmt: skip
        if all(share in (None, 1) for share in shares):
            raise ValueError("found no share below 1 of any part, expected one, such as keep: 0.5")
        if self.hidden_states is not None and not self.teacher:
            raise ValueError(
                f"hidden_states: found {self.hidden_states:g} beside teacher: false, expected teacher: true: they are "
                "compared with those of the run, its teacher"
            )
        return self


METHODS: dict[str, type[Model]] = {
    "prune": Prune, "cluster": Cluster, "distill": Distill, "vocabulary": Vocabulary, "quantize_aware": QuantizeAware,
    "structure": Structure,
}  # fmt: skip
# Methods that can only begin, and what a step before them would be lost for.
FIRST = {"distill": "a student is a new model, which has nothing of what a step before it made"}
# Methods after which none may come, as it would undo them, and methods that they would undo themselves.
LAST = {"quantize_aware": "a training after it would take the weights off the grid of int8"}
UNDOES = {
    ("cluster", "quantize_aware"): "the grid of int8 has other values than the clusters",
    ("cluster", "prune"): "its training moves the values of the clusters",
    ("cluster", "cluster"): "its training moves the values of the other",
}
# Methods that rebuild the model, and what they would do to the zeros and shared values of steps before them.
REBUILDS = {
    "structure": "the smaller model is trained, which moves every weight",
    "vocabulary": "zeros and values are those of the rows that stay",
}
KEEPS_VALUES = ("vocabulary",)  # of these the ones whose weights stay zero, and have the same values
SHAPES = ("prune", "cluster")
KEYS = "keys such as steps: [{method: prune, sparsity: 0.8}]"


class Recipe(Model):
    """Steps in their order, and the settings of their trainings that differ from those of the run."""

    training: Training = Field(default=Training(), description="keys of training to use in place of the run's")
    steps: list[Model]

    @property
    def distills(self) -> Distill | None:
        """The first step, if it trains a student."""
        return self.steps[0] if isinstance(self.steps[0], Distill) else None

    @property
    def texts(self) -> list[str | list[str]]:
        """The files of further texts that its steps name."""
        named = (getattr(step, key, None) for step in self.steps for key in ("unlabelled", "texts"))
        return [files for files in named if files]


class LoadedRecipe:
    """A recipe, and where its keys stand in their file.

    Args:
        recipe: the checked recipe.
        source: the file.
        places: dotted key -> its place.

    Attributes:
        recipe: the checked recipe.
    """

    def __init__(self, recipe: Recipe, source: str, places: Mapping[str, Place]) -> None:
        self.recipe, self._source, self._places = recipe, source, places

    def where(self, key: str) -> str:
        """The file and line of a dotted key, for messages; the file alone for one that is not in it."""
        place = self._places.get(key)
        return place.where if place else self._source

    def where_step(self, number: int) -> str:
        """The file, line and key of a step, for messages."""
        return f"{self.where(f'steps.{number}')}: steps.{number}"


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Reads a recipe and applies `--set key=value` overrides; steps are numbered from 0.

    Args:
        path: the YAML file.
        overrides: such as `steps.0.sparsity=0.9`.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or a value is not allowed.
    """
    raw, places = read_keys(Path(path), overrides, KEYS, "recipe")
    return LoadedRecipe(parse_recipe(raw, str(path), places), str(path), places)


def parse_recipe(raw: Mapping[str, Any], source: str = "recipe", places: Mapping[str, Place] | None = None) -> Recipe:
    """Checks a mapping as read from YAML.

    Args:
        raw: what the YAML holds.
        source: name of the recipe in messages.
        places: dotted key -> where it stands.

    Raises:
        ConfigError: lists the errors, each with its key, what was found and what was expected.

    Example: `parse_recipe({"steps": [{"method": "cluster", "clusters": 8}]}).steps[0].clusters` is 8.
    """
    places, lines = places or {}, []
    for key in raw:
        if key not in Recipe.model_fields:
            known = list(Recipe.model_fields)
            mend = f"{did_you_mean(key, known)} (known here: {', '.join(known)})"
            lines.append(f"{_where(key, source, places)}: unknown key '{shown(key, quotes=False)}'{mend}")
    training = _part(Training, raw.get("training") or {}, ["training"], source, places, lines)
    if training is not None and training.epochs == 0:
        where = _where("training.epochs", source, places)
        lines.append(f"{where}: training.epochs: found 0: expected a number from 1")
    steps = []
    if not isinstance(raw.get("steps"), list) or not raw["steps"]:
        lines.append(f"{_where('steps', source, places)}: steps: found {shown(raw.get('steps'))}, expected {KEYS}")
    else:
        for number, step in enumerate(raw["steps"]):
            steps.append(_step(step, f"steps.{number}", source, places, lines))
        lines.extend(_order_faults([getattr(step, "method", "") for step in steps], source, places))
    if lines:
        raise ConfigError("\n".join(lines))
    return Recipe.model_construct(training=training, steps=steps)


def _order_faults(methods: Sequence[str], source: str, places: Mapping[str, Place]) -> Iterator[str]:
    """What is wrong with the order of steps, by their methods; "" for one with a fault."""
    for number, method in enumerate(methods):
        where = f"{_where(f'steps.{number}.method', source, places)}: steps.{number}.method: found {method}"
        if number and method in FIRST:
            yield f"{where} after another step, expected it as the first: {FIRST[method]}"
        if number < len(methods) - 1 and method in LAST:
            yield f"{where} before another step, expected it as the last: {LAST[method]}"
        for earlier in methods[:number]:
            if earlier in SHAPES and method in REBUILDS:
                yield f"{where} after {earlier}, expected it before: {REBUILDS[method]}"
            if (earlier, method) in UNDOES:
                expected = "it before" if method in SHAPES and method != earlier else "one of the two"
                yield f"{where} after {earlier}, expected {expected}: {UNDOES[earlier, method]}"


def undone(earlier: Sequence[str], methods: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """What the steps of a recipe undo of what earlier runs of `textapp compress` made of the weights.

    Args:
        earlier: the methods that a run was made by, from the first one on.
        methods: of the recipe.

    Yields:
        The earlier method, the number of the step that undoes it, and why.

    Example: of `["prune"]` and `["cluster", "structure"]` it is `("prune", 1, "the smaller model is trained, ...")`.
    """
    before = held(earlier)
    for number, method in enumerate(methods):
        for name in sorted(before):
            why = _why_undone(name, method)
            if why is not None:
                yield name, number, why
        before &= held([*earlier, *methods[: number + 1]])


def in_this_order(first: str, second: str) -> bool:
    """Whether a recipe may have a step of one method before one of another.

    Example: it may have `prune` before `cluster`, not after it.
    """
    return not any(_order_faults([first, second], "", {}))


def held(methods: Iterable[str]) -> set[str]:
    """Which of some methods, applied in turn, the weights still show: zeros, shared values, the grid of int8."""
    found: set[str] = set()
    for method in methods:
        found = {name for name in found if method not in FIRST and _why_undone(name, method) is None}
        found |= {method} & {*SHAPES, *LAST}
    return found


def _why_undone(earlier: str, method: str) -> str | None:
    """Why a method undoes what an earlier one made of the weights; None if it does not, or makes a new model."""
    if earlier in LAST and method not in FIRST and method != earlier:
        return LAST[earlier]
    if method in REBUILDS and method not in KEEPS_VALUES:
        return REBUILDS[method]
    return UNDOES.get((earlier, method))


def _step(raw: Any, name: str, source: str, places: Mapping[str, Place], lines: list[str]) -> Any:
    """A checked step; what is wrong with it goes into `lines`."""
    method = raw.get("method") if isinstance(raw, Mapping) else None
    known = METHODS.get(method) if isinstance(method, str) else None
    if known is None:
        at = f"{name}.method" if isinstance(raw, Mapping) else name
        near = did_you_mean(method, METHODS) if isinstance(method, str) else ""
        found = shown(method if isinstance(raw, Mapping) else raw)
        expected = f"one of {', '.join(METHODS)}{near}" if isinstance(raw, Mapping) else "keys such as method: prune"
        lines.append(f"{_where(at, source, places)}: {at}: found {found}, expected {expected}")
        return None
    return _part(known, raw, name.split("."), source, places, lines)


def _part(
    part: type[Model], raw: Any, above: list[str], source: str, places: Mapping[str, Place], lines: list[str]
) -> Any:
    if not isinstance(raw, Mapping):
        name = ".".join(above)
        lines.append(f"{_where(name, source, places)}: {name}: found {shown(raw)}, expected keys")
        return None
    try:
        return part.model_validate(raw)
    except ValidationError as error:
        lines.extend(flat_fault_lines(error, raw, part, above, source, places))
        return None


def _where(key: str, source: str, places: Mapping[str, Place]) -> str:
    """The place of a dotted key, or of the nearest one above it."""
    while key:
        if key in places:
            return places[key].where
        key = key.rpartition(".")[0]
    return source


def as_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain data: what `parse_recipe` reads back equal, with every default of a step."""
    training = recipe.training.model_dump(mode="json", exclude_unset=True)
    steps = [step.model_dump(mode="json") for step in recipe.steps]
    return {**({"training": training} if training else {}), "steps": steps}
