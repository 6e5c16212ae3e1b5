"""What goes through the loop of a .tflite file, on a loop of three lines."""

from __future__ import annotations

import numpy as np
import pytest

from textapp.errors import ExportError
from textapp.export.flatbuffer.graphs import parse, size_bytes, type_name
from textapp.export.flatbuffer.loops import check_loops, float_weights, loop_copies, loop_variables
from textapp.export.flatbuffer.sinking import sink_weights

STEPS = 5


@pytest.fixture(scope="module")
def looped():
    """A file by its quantization: a table is read before a loop, and read and multiplied with in it."""
    import tensorflow as tf

    module = tf.Module()
    module.table = tf.Variable(np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1,), tf.int32)])
    def walk(token):
        def turn(count, token, state):
            state = state + tf.gather(module.table, token)
            return count + 1, tf.argmax(tf.matmul(state, module.table, transpose_b=True), -1, tf.int32), state

        first = tf.constant(0), token, tf.gather(module.table, token)
        _, token, state = tf.while_loop(lambda count, *_: count < STEPS, turn, first)
        return {"state": state, "token": token}

    def convert(quantize):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([walk.get_concrete_function()], module)
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()

    return {quantize: convert(quantize) for quantize in ("none", "float16", "dynamic")}


@pytest.fixture(scope="module")
def nested():
    """A float16 file in which a table is multiplied with before a loop, and also read in the inner one of two."""
    import tensorflow as tf

    module = tf.Module()
    module.table = tf.Variable(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1,), tf.int32)])
    def walk(token):
        def turn(count, state):
            return count + 1, tf.tanh(tf.matmul(state, module.table) + tf.gather(module.table, token))

        def turns(count, state):
            return count + 1, tf.while_loop(lambda inner, _: inner < STEPS, turn, (tf.constant(0), state))[1]

        first = tf.matmul(tf.one_hot(token, 64), module.table)
        _, state = tf.while_loop(lambda count, _: count < STEPS, turns, (tf.constant(0), first))
        return {"state": state}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([walk.get_concrete_function()], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def weights(content):
    return [variable.shape for variable in loop_variables(parse(content)) if variable.weight]


def run(path, content):
    from ai_edge_litert.interpreter import Interpreter

    path.write_bytes(content)
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([3], np.int32))
    for _ in range(2):  # a loop must also answer the second time
        interpreter.invoke()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}


def test_a_weight_in_a_loop_is_seen_and_refused(looped, tmp_path):
    assert weights(looped["none"]) == []
    assert weights(looped["float16"]) == [(64, 32)]
    (tmp_path / "model.tflite").write_bytes(looped["float16"])
    with pytest.raises(ExportError, match=r"a loop of the file carries weights, .* \[64, 32\]"):
        check_loops(tmp_path / "model.tflite", "float16")


def test_the_zeros_that_a_cache_begins_with_are_no_weight(monkeypatch):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 64, 32), tf.float32)])
    def walk(rows):
        def turn(count, state):
            return count + 1, tf.concat([state, rows], axis=1)[:, 64:]

        return {
            "state": tf.while_loop(lambda count, _: count < STEPS, turn, (tf.constant(0), tf.zeros((1, 64, 32))))[1]
        }

    converter = tf.lite.TFLiteConverter.from_concrete_functions([walk.get_concrete_function()], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    model = parse(converter.convert())
    monkeypatch.setattr("textapp.export.flatbuffer.loops.MAX_FLOAT_BYTES", 4096)
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors if type_name(tensor) == "FLOAT32"]
    assert any(size_bytes(model, tensor) > 4096 for tensor in tensors)
    assert not list(float_weights(model))


def file_of(*constants: np.ndarray):
    """A file of one graph, with one operator that reads these constants and, as one without a bias, nothing."""
    from tensorflow.lite.python import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.buffers, model.subgraphs, graph.tensors = [schema.BufferT()], [graph], []
    for values in constants:
        buffer, tensor = schema.BufferT(), schema.TensorT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.name, tensor.shape, tensor.buffer = b"constant", list(values.shape), len(model.buffers) - 1
        tensor.type = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8}[values.dtype.name]
        graph.tensors.append(tensor)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    model.operatorCodes = [code]
    operator.inputs = [*range(len(constants)), -1]
    graph.operators = [operator]
    return model


def test_masks_and_what_is_little_beside_the_weights_are_no_float_weights():
    mask = np.where(np.tri(300), 0, -1e9).astype(np.float32)  # of 300 tokens: 360 kB
    positions = np.random.default_rng(0).normal(size=(2048, 64)).astype(np.float32)  # 524 kB
    assert list(float_weights(file_of(mask, positions))) == [("constant", (2048, 64))]
    assert not list(float_weights(file_of(mask, positions, np.ones(40_000_000, np.int8))))


def test_the_scales_of_a_kernel_are_no_float_weights():
    scales = np.random.default_rng(0).normal(size=(2048, 64)).astype(np.float32)
    model = file_of(np.ones((64, 64), np.int8), scales)
    model.subgraphs[0].operators[0].inputs = [0, -1]  # no operator reads the scales, which are the last tensor
    assert not list(float_weights(model))


def test_a_float_copy_in_a_quantized_file_is_refused(looped, tmp_path, monkeypatch):
    monkeypatch.setattr("textapp.export.flatbuffer.loops.MAX_FLOAT_BYTES", 4096)
    assert list(float_weights(parse(looped["dynamic"])))
    (tmp_path / "model.tflite").write_bytes(sink_weights(looped["dynamic"]))
    with pytest.raises(ExportError, match="the quantized file still holds float weights"):
        check_loops(tmp_path / "model.tflite", "dynamic")


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_sinking_takes_the_weight_out_of_the_loop_and_changes_no_answer(looped, tmp_path, quantize):
    sunk = sink_weights(looped[quantize])
    assert weights(looped[quantize]) and not weights(sunk)
    assert len(sunk) < len(looped[quantize]) + 512  # nothing is stored twice
    before, after = run(tmp_path / "before.tflite", looped[quantize]), run(tmp_path / "after.tflite", sunk)
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-6)


def test_a_file_without_such_a_weight_stays_as_it_is(looped):
    assert sink_weights(looped["none"]) == looped["none"]


def test_what_a_loop_copies_is_counted(looped, tmp_path, monkeypatch):
    monkeypatch.setattr("textapp.export.flatbuffer.loops.MAX_FLOAT_BYTES", 4096)
    (tmp_path / "float16.tflite").write_bytes(looped["float16"])
    table, state = 64 * 32 * 4, 32 * 4
    carried = loop_copies(tmp_path / "float16.tflite", "float16")["copied_mb"]
    assert carried == pytest.approx((table + state + 8) / 1e6, abs=1e-3)  # the count and the token are 8 bytes
    (tmp_path / "none.tflite").write_bytes(looped["none"])
    assert loop_copies(tmp_path / "none.tflite", "none") == {"copied_mb": 0.0}
    found = loop_copies(tmp_path / "none.tflite", "dynamic")  # as if all of it should have been int8
    assert found["float_weights_mb"] == pytest.approx(table / 1e6, abs=1e-3)


def test_a_weight_is_taken_out_of_a_loop_within_a_loop(nested, tmp_path):
    assert weights(nested)
    sunk = sink_weights(nested)
    assert not weights(sunk)
    before, after = run(tmp_path / "before.tflite", nested), run(tmp_path / "after.tflite", sunk)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-6)
