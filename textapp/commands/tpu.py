"""`textapp check --device tpu`: compiles the steps of a config for a TPU, without one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.catalog import recipe_of_config
from textapp.commands import tables
from textapp.commands.tpu_environment import (
    CHIPS,
    PACKAGES,
    NoCompiler,
    compile_file,
    compiler_python,
)
from textapp.config import Config
from textapp.decoding.signatures import GENERATE
from textapp.errors import ConfigError, TextappError, UsageError, did_you_mean, plural
from textapp.folders import scratch_folder
from textapp.noise import import_tensorflow
from textapp.recipes.resolving import locate
from textapp.recipes.splits import load_splits, open_prepared, settled_layout
from textapp.recipes.training_run import build_under

HERE = "XLA for the CPU of this machine"
NOT_CHECKED = (
    "not checked: the speed of a step, sums over several cores, the input pipeline and TensorFlow's own runtime on a"
    " TPU: only hardware shows them",
    "TensorFlow's wheel for TPUs ends at 2.20 (tensorflow-tpu), the steps were lowered by the one installed here: see"
    " docs/scale.md",
)


class Step(NamedTuple):
    """A step to compile.

    Attributes:
        kind: `training`, `evaluation` or `decoding`.
        shape: of its batch, in words.
        share: of the steps of an epoch, 0 to 1; None: not of an epoch.
        padding: share of the tokens of its batches, 0 to 1; None: not of an epoch.
        function: a `tf.function` with `jit_compile`.
        specs: its argument.
    """

    kind: str
    shape: str
    share: float | None
    padding: float | None
    function: Any
    specs: Any


def chip_of(device: str) -> str:
    """The kind of TPU that `--device` names: `tpu` is the cheapest, v5e.

    Raises:
        UsageError: it names none.

    Example: `chip_of("tpu:v6e")` is `v6e`.
    """
    kind = device.removeprefix("tpu:") if device != "tpu" else "v5e"
    if kind not in CHIPS:
        known = ["tpu", *(f"tpu:{name}" for name in CHIPS)]
        near = did_you_mean(device, known)
        raise UsageError(f"--device: found {device!r}, expected {', '.join(known)}{near}")
    return kind


def check_tpu(config: Config, data_dir: Path, chip: str) -> dict[str, Any]:
    """Compiles every step of a config for a TPU.

    Args:
        config: of any task.
        data_dir: base folder of relative data paths.
        chip: a key of `CHIPS`.

    Returns:
        `chip`, `memory_bytes` of it, `compiler` (its versions, or that of this machine), `precision`, `optimizer`, and
        `steps`, each with `step`, `shape`, `share` and `padding`, then the bytes and seconds of
        `textapp.commands.tpu_compiler.compiled` with `total_bytes`, or `error` with `operation` and `layer`; and
        `warnings`. Without the compiler of TPUs there are no bytes.

    Raises:
        DataError: the data are invalid.
    """
    with scratch_folder("check") as folder:
        # The data first, so that their faults are told before an environment is made.
        prepared, objective = prepared_of(config, data_dir, folder)
        python, reason = _compiler()
        precision, layers, steps = steps_of(prepared, objective)
        rows = []
        with tables.progress(f"compiling for {chip}", len(steps)) as advance:
            for step in steps:
                rows.append(compiled_step(step, layers, python, chip, folder))
                advance()
    return {
        "chip": chip,
        "memory_bytes": CHIPS[chip].memory,
        "compiler": HERE if python is None else {name: PACKAGES[name] for name in ("jax", "libtpu")},
        "precision": precision,
        "optimizer": prepared.config.training.optimizer,
        "steps": rows,
        "warnings": [*_not_asked(reason), *too_large(rows, chip)],
    }


def prepared_of(config: Config, data_dir: Path, folder: Path) -> tuple[Any, Any]:
    """The data of a training on a TPU and its objective.

    Args:
        config: of any task.
        data_dir: base folder of relative data paths.
        folder: for tokenizers and ids.

    Raises:
        DataError: the data are invalid.
    """
    training = config.training.model_copy(update={"device": "tpu"})  # which decides on shapes and precision
    config = config.model_copy(update={"training": training})
    recipe = recipe_of_config(config, data_dir)
    prepared_data = open_prepared(config, data_dir)
    layout = settled_layout(recipe, config, data_dir, prepared_data)
    splits = load_splits(recipe, config, data_dir, layout, prepared_data)
    import_tensorflow()
    return recipe.prepare(locate(config, data_dir), splits, folder), recipe.objective()


def _compiler() -> tuple[Path | None, str | None]:
    """The Python of the compiler's environment; or None, and why."""
    try:
        return compiler_python(tables.note), None
    except NoCompiler as error:
        return None, str(error)


def steps_of(prepared: Any, objective: Any) -> tuple[str, set[str], list[Step]]:
    """The precision of the model, the names of its layers, and the steps of its training on a TPU.

    Raises:
        ConfigError: there are none: the model is a preset as it is, and does not write.
    """
    import keras

    from textapp.training.strategy import choose_precision

    config, task = prepared.config, prepared.task
    as_it_is = config.training.epochs == 0
    if as_it_is and not objective.decodes:
        raise ConfigError(
            "training.epochs: found 0, so the preset is taken as it is, and no step of it runs on a TPU: expected 1 or "
            "more"
        )
    keras.utils.set_random_seed(config.seed)
    if as_it_is:
        precision = "float32"  # as `fit` makes it
        model, steps = build_under(lambda: objective.build_inference(prepared), precision), []
    else:
        precision = choose_precision(config.training.precision, config.model, config.training.device)
        model = build_under(lambda: objective.build(prepared), precision)
        steps = list(_training(prepared, objective, model))
    if objective.decodes:
        steps += _decoding(objective, model, task)
    return precision, {model.name, *(layer.name for layer in model._flatten_layers())}, steps


def _training(prepared: Any, objective: Any, model: Any) -> Iterator[Step]:
    """The training steps, and those of evaluation, for each shape of batches."""
    import tensorflow as tf

    from textapp.training.loop import Hooks
    from textapp.training.lowering import evaluation_step, static_shapes
    from textapp.training.trainer import make_loop

    source, loss = objective.batches(prepared), objective.loss(prepared)
    training, strategy = prepared.config.training, tf.distribute.get_strategy()
    loop = make_loop(model, loss, training, source.plan(0).steps, strategy, Hooks())
    shapes = static_shapes(source, prepared.task.tokenizer.pad_id)
    for kind, function in {"training": loop.compiled_step(), "evaluation": evaluation_step(model, loss)}.items():
        for shape in shapes:
            yield Step(kind, shape.words, shape.share, shape.padding, function, shape.specs)


def _decoding(objective: Any, model: Any, task: Any) -> Iterator[Step]:
    """The greedy loops that validation runs, in its batches."""
    import tensorflow as tf

    rows = objective.runner(model, task).max_batch
    for signature in objective.signatures(model, task):
        if signature.name.startswith(GENERATE):
            specs = {name: tf.TensorSpec((rows, *spec.shape[1:]), spec.dtype) for name, spec in
                     signature.specs().items()}  # fmt: skip
            read, new = signature.name.removeprefix(f"{GENERATE}_").split("_")
            function = tf.function(_of_one(signature.call), jit_compile=True)
            yield Step("decoding", f"{rows} x {read} to {new}", None, None, function, specs)


def _of_one(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function without further arguments: a partial with keywords cannot be lowered."""
    return lambda features: call(features)


def compiled_step(step: Step, layers: set[str], python: Path | None, chip: str, folder: Path) -> dict[str, Any]:
    """A row of `check_tpu`.

    Args:
        step: to compile.
        layers: names of the layers of its model.
        python: of the environment of the compiler; None: compile it for the CPU here.
        chip: a key of `CHIPS`.
        folder: for the module.
    """
    from textapp.training.lowering import Lowered, Refused

    row = {"step": step.kind, "shape": step.shape, "share": step.share, "padding": step.padding}
    try:
        lower = Lowered(step.function, step.specs)
    except Refused as error:
        return {**row, **fault(str(error), "", layers)}
    if python is None:
        started = time.perf_counter()
        try:
            lower.compile_here()
        except Refused as error:
            return {**row, **fault(str(error), lower.text, layers)}
        return {**row, "seconds": round(time.perf_counter() - started, 1)}
    file = folder / "step.hlo"
    file.write_bytes(lower.hlo)
    found = compile_file(python, file, CHIPS[chip])
    return {**row, **(fault(found["error"], lower.text, layers) if "error" in found else with_total(found))}


def with_total(found: Mapping[str, Any]) -> dict[str, Any]:
    """The bytes of a step with `total_bytes`: what it takes of a core; outputs in the place of arguments count once."""
    parts = [found[f"{name}_bytes"] for name in ("argument", "output", "temporary", "code")]
    return {**found, "total_bytes": sum(parts) - found["alias_bytes"]}


def fault(message: str, hlo: str, layers: set[str]) -> dict[str, Any]:
    """What a compiler refused.

    Args:
        message: of the compiler.
        hlo: the text of the module, in which an instruction that the message names has the name of its operation.
        layers: names of the layers of the model.

    Returns:
        `error`, its first lines, `operation`, of TensorFlow, and `layer`, of Keras; None if they are not told.
    """
    from textapp.training.lowering import layer_of

    operation = _operation(message, hlo)
    # What follows is a line of TensorFlow's own code.
    lines = [line.strip() for line in message.split("Suspected Python Code Location")[0].splitlines() if line.strip()]
    return {
        "error": " ".join(lines[:3])[:500],
        "operation": operation,
        "layer": None if operation is None else layer_of(operation, layers),
    }


def _operation(message: str, hlo: str) -> str | None:
    """The operation of TensorFlow in a message: in its metadata, as a node, or that of an instruction.

    The instruction is told by its name, or by its kind and a shape: `Unexpected operand type for FFT: c128[4,64]`.
    """
    if found := re.search(r'op_name="([^"]+)"', message) or re.search(r"\{\{node ([^}]+)\}\}", message):
        return found[1]
    named = re.findall(r"[A-Za-z_][\w.-]*\.\d+", message)
    kinds = {f" {word.lower()}(" for word in re.findall(r"[A-Za-z][\w-]+", message)}
    shapes = re.findall(r"[a-z]\w*\[[\d,]+\]", message)
    lines = [line for line in hlo.splitlines() if "op_name=" in line]
    by_name = (line for name in named for line in lines if f"%{name} = " in line)
    by_kind = (line for line in lines if any(map(line.__contains__, kinds)) and any(map(line.__contains__, shapes)))
    line = next(by_name, None) or next(by_kind, "")
    found = re.search(r'op_name="([^"]+)"', line)
    return found[1] if found else None


def _not_asked(reason: str | None) -> list[str]:
    if reason is None:
        return []
    return [f"the TPU compiler was not asked: {reason}. Instead the steps were compiled by {HERE}, which takes "
            "operations that a TPU may lack, and tells no memory of a TPU"]  # fmt: skip


def too_large(rows: Sequence[Mapping[str, Any]], chip: str) -> list[str]:
    """A warning for each step that does not fit a chip.

    Args:
        rows: of the steps.
        chip: a key of `CHIPS`.
    """
    memory = CHIPS[chip].memory
    return [
        f"{row['step']} step {row['shape']}: takes {tables.size(row['total_bytes'])}, expected at most "
        f"{tables.size(memory)} of a {chip}: lower training.batch_size or batch_tokens, or raise "
        "training.gradient_accumulation_steps with it"
        for row in rows
        if row.get("total_bytes", 0) > memory
    ]


def refused(result: Mapping[str, Any]) -> TextappError | None:
    """The error for steps that were refused; None if none was."""
    faults = [row for row in result["steps"] if "error" in row]
    if not faults:
        return None
    first = faults[0]
    place = f", in layer {first['layer']}" if first["layer"] else ""
    operation = f" ({first['operation']}{place})" if first["operation"] else ""
    mend = ": lower training.batch_size or batch_tokens" if "RESOURCE_EXHAUSTED" in first["error"] else ""
    return TextappError(
        f"{len(faults)} of {plural(len(result['steps']), 'step')} cannot be compiled for a TPU, first the "
        f"{first['step']} step {first['shape']}{operation}: {first['error']}{mend}"
    )


def show(console: Any, result: Mapping[str, Any]) -> None:
    """Prints the result of `check_tpu`."""
    compiler = result["compiler"]
    console.print(tables.facts("tpu", {
        "chip": f"{result['chip']}, {result['memory_bytes'] / 2**30:.0f} GiB",
        "compiled by": compiler if isinstance(compiler, str) else f"the TPU compiler, without a TPU: "
        f"libtpu {compiler['libtpu']}, jax {compiler['jax']}",
        "precision": result["precision"],
        "optimizer": result["optimizer"],
    }))  # fmt: skip
    columns = [
        "step",
        "rows x tokens",
        "% steps",
        "% padding",
        "arguments",
        "temporary",
        "code",
        "in all",
        "% chip",
        "s",
    ]
    rows = [_cells(row, result["memory_bytes"]) for row in result["steps"]]
    console.print(tables.table("steps: bytes of one core, seconds of the compilation", columns, rows, left=2))
    for line in NOT_CHECKED:
        tables.line(console, line)


def _cells(row: Mapping[str, Any], memory: int) -> list[Any]:
    shares = [None if row[name] is None else f"{100 * row[name]:.0f}" for name in ("share", "padding")]
    head = [row["step"], row["shape"], *shares]
    if "error" in row:
        return [*head, *(["refused"] + [None] * 5)]
    sizes = [tables.size(row.get(f"{name}_bytes")) for name in ("argument", "temporary", "code", "total")]
    share = f"{100 * row['total_bytes'] / memory:.1f}" if "total_bytes" in row else None
    return [*head, *sizes, share, f"{row['seconds']:.1f}"]
