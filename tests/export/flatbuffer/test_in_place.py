"""Buffers of a loop that are written where they lie, on a loop whose every turn needs all rows before it."""

from __future__ import annotations

import numpy as np
import pytest

from textapp.errors import ArtifactError
from textapp.export.flatbuffer import in_place
from textapp.export.flatbuffer.graphs import parse
from textapp.export.flatbuffer.in_place import write_in_place
from textapp.export.flatbuffer.loops import loop_variables
from textapp.export.target import run_in_target
from textapp.runners.edge import EdgeRunner

TURNS, WIDTH = 6, 8


def converted(start=0.0, read_inside=False, read_behind=False, quantize="none"):
    """A .tflite file: each row is the sum of the rows before it, turned by one place, and half of the number given."""
    import keras
    import tensorflow as tf

    module = tf.Module()
    module.mix = tf.Variable(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1,), tf.int32, name="number")])
    def walk(number):
        def turn(count, state, rows):
            seen = tf.cast(tf.range(TURNS) != count, tf.float32)  # the rows to come have to be zeros
            row = tf.tanh(tf.matmul(state + tf.reduce_sum(rows * seen[:, None], 0, keepdims=True), module.mix))
            update = keras.ops.slice_update(rows, [count, 0], row)
            return count + 1, row + (update[:1] if read_inside else 0.0), update

        state = tf.fill((1, WIDTH), tf.cast(number[0], tf.float32) * 0.5)
        first = tf.constant(0), state, tf.fill((TURNS, WIDTH), start)
        _, state, rows = tf.while_loop(lambda count, *_: count < TURNS, turn, first)
        return {"state": state + (tf.reduce_sum(rows) if read_behind else 0.0)}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([walk.get_concrete_function()], module)
    if quantize == "float16":
        converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    return converter.convert()


def changing(content):
    return [variable.shape for variable in loop_variables(parse(content)) if variable.changes]


def answers(content, path):
    path.write_bytes(content)
    runner = EdgeRunner(path, runtime="litert")
    [name] = runner.signatures
    return [runner.run(name, {"number": np.array([number], np.int32)})["state"] for number in (1, 2, 1)]


@pytest.mark.parametrize("quantize", ["none", "float16"])
def test_no_row_is_lost_and_none_is_left_from_the_call_before(tmp_path, quantize):
    before = converted(quantize=quantize)
    after = write_in_place(before)
    assert (TURNS, WIDTH) in changing(before) and (TURNS, WIDTH) not in changing(after)
    expected, found = answers(before, tmp_path / "before.tflite"), answers(after, tmp_path / "after.tflite")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.allclose(found[0], found[1])


def test_the_older_runtime_answers_the_same(tmp_path):
    content = write_in_place(converted())
    expected = answers(content, tmp_path / "model.tflite")
    [name] = EdgeRunner(tmp_path / "model.tflite", runtime="litert").signatures
    inputs = {name: {"number": np.array([1, 2, 1], np.int32)}}
    runtime, arrays = run_in_target(tmp_path / "model.tflite", "tflite-runtime", "none", inputs)
    assert runtime.startswith("tflite-runtime")
    np.testing.assert_allclose(arrays[f"{name}/state"], np.concatenate(expected), atol=1e-4)


@pytest.mark.parametrize("options", [{"start": 1.0}, {"read_inside": True}, {"read_behind": True}])
def test_a_buffer_that_could_not_be_shared_stays_as_it_is(options):
    content = converted(**options)
    assert write_in_place(content) == content


def test_a_runtime_that_would_copy_does_not_open_the_file(tmp_path, monkeypatch):
    """The file asks for an operator of 2.14, and then for one that no runtime has."""
    from tensorflow.lite.python.schema_py_generated import BuiltinOperator

    codes = parse(write_in_place(converted())).operatorCodes
    assert (BuiltinOperator.CONCATENATION, 4) in {(code.builtinCode, code.version) for code in codes}
    monkeypatch.setattr(in_place, "NEEDED", ("CONCATENATION", 99))
    (tmp_path / "model.tflite").write_bytes(write_in_place(converted()))
    with pytest.raises(ArtifactError, match="CONCATENATION"):
        EdgeRunner(tmp_path / "model.tflite", runtime="litert")


@pytest.mark.parametrize("quantize, size", [("none", 4), ("float16", 2)])
def test_the_zeros_that_the_buffer_began_with_leave_the_file(quantize, size):
    def zeros(content):
        held = [buffer.data for buffer in parse(content).buffers if buffer.data is not None]
        return [data for data in held if len(data) == TURNS * WIDTH * size and not np.any(data)]

    content = converted(quantize=quantize)
    assert zeros(content) and not zeros(write_in_place(content))
