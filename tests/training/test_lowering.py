from __future__ import annotations

import re
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from textapp.training.loop import Hooks
from textapp.training.lowering import Lowered, Refused, evaluation_step, layer_of, static_shapes
from textapp.training.trainer import make_loop

sys.path.insert(0, str(Path(__file__).parent))
import tiny  # noqa: E402

PAD = 0


def test_the_shapes_of_an_epoch_are_its_buckets_with_their_padding() -> None:
    source = tiny.make_batches(static_shapes=True)
    plan, counts, shapes = source.plan(0), tiny.make_examples().counts, static_shapes(source, PAD)
    lengths = sorted(set(plan.lengths.tolist()))
    assert [shape.words for shape in shapes] == [f"8 x {length}" for length in lengths] and 2 <= len(lengths) < 8
    for shape, length in zip(shapes, lengths, strict=True):
        batches = plan.indices[plan.lengths == length]
        useful = sum(min(counts[i], length) for i in batches.flat if i >= 0)
        assert shape.share == pytest.approx(len(batches) / plan.steps)
        assert shape.padding == pytest.approx(1 - useful / (batches.size * length))
        assert shape.specs["targets"].shape == (8,) and shape.specs["total_weight"].shape == ()


def test_batches_by_tokens_are_compiled_in_the_shapes_that_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rare ones, too: `MEASURED_STEPS` limits what is read of each."""
    monkeypatch.setattr("textapp.training.lowering.MEASURED_STEPS", 1)
    source = tiny.make_token_batches(static_shapes=True)
    plan, shapes = source.plan(0), static_shapes(source, PAD)
    trained = [tuple(batch["targets"].shape) for batch in source.distributed(plan, tf.distribute.get_strategy())]
    assert [tuple(shape.specs["targets"].shape) for shape in shapes] == sorted(set(trained), key=lambda s: s[::-1])
    for shape in shapes:
        assert shape.share == pytest.approx(trained.count(tuple(shape.specs["targets"].shape)) / plan.steps)
        assert shape.specs["features"]["token_ids"].shape == shape.specs["targets"].shape
        assert shape.specs["weights"].shape == shape.specs["targets"].shape[:1]


def test_padding_counts_the_rows_that_fill() -> None:
    source = tiny.make_token_batches(static_shapes=True)
    plan = source.plan(0)
    size = sum(s.share * plan.steps * s.specs["targets"].shape.num_elements() for s in static_shapes(source, PAD))
    padding = sum(
        s.padding * s.share * plan.steps * s.specs["targets"].shape.num_elements() for s in static_shapes(source, PAD)
    )
    tokens = sum(float(batch["total_weight"]) for batch in source.distributed(plan, tf.distribute.get_strategy()))
    assert size - padding == pytest.approx(tokens)


def test_a_training_step_is_lowered_with_its_weights_as_arguments() -> None:
    model, source = tiny.make_model(0.3), tiny.make_batches(static_shapes=True)
    loop = make_loop(model, tiny.loss, tiny.make_config(), 10, tf.distribute.get_strategy(), Hooks())
    before = [variable.numpy() for variable in model.variables]
    specs = static_shapes(source, PAD)[-1].specs
    module = Lowered(loop.compiled_step(), specs)
    (entry,) = re.findall(r"^ENTRY (.*) -> ", module.text, re.MULTILINE)
    assert "s32[8,8]" in entry and entry.count("f32[30,8]") == 3  # the embedding and its two moments
    assert module.text.startswith("HloModule") and "input_output_alias" in module.text.splitlines()[0]
    assert len(module.hlo) > 1000
    module.compile_here()
    assert all((one == other.numpy()).all() for one, other in zip(before, model.variables, strict=True))


def test_an_evaluation_step_updates_nothing() -> None:
    model = tiny.make_model(0.3)
    module = Lowered(evaluation_step(model, tiny.loss), static_shapes(tiny.make_batches(), PAD)[-1].specs)
    assert "s32[8,8]" in module.text and "input_output_alias" not in module.text.splitlines()[0]
    assert "rng" not in module.text  # no dropout


class Spelled(keras.layers.Layer):
    def call(self, values):
        return tf.strings.to_number(tf.strings.as_string(values))


def test_an_operation_that_xla_lacks_is_refused_with_its_name() -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Spelled(name="spelled")(inputs), name="speller")
    function = tf.function(lambda values: model(values), jit_compile=True)
    with pytest.raises(Refused, match="No registered 'AsString' OpKernel") as caught:
        Lowered(function, tf.TensorSpec((2, 3), tf.float32))
    assert not str(caught.value).startswith("Failed")


@pytest.mark.parametrize(
    ("operation", "layer"),
    [
        ("StatefulPartitionedCall/classifier_1/encoder_1/dropout_2_1/random/Mul", "classifier/encoder/dropout_2"),
        ("gradient_tape/classifier/logits/MatMul", "classifier/logits"),
        ("adam/Sqrt_4", None),
    ],
)
def test_the_layer_of_an_operation(operation: str, layer: str | None) -> None:
    assert layer_of(operation, {"classifier", "encoder", "dropout_2", "logits"}) == layer
