"""An LSTM layer whose loop contains only the recurrent part."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from textapp.layers.quantized import QuantizedWeight
from textapp.layers.shapes import axis_size

# Time steps in one iteration of the loop. An edge runtime copies inputs and states at each iteration: with 128 tokens
# and 128 + 64 units an int8 file took 2.2 ms at 1 step an iteration, 0.96 at 8 and 0.90 at 16.
CHUNK = 16
# Where the length is open, as in training, or odd: the sequence is filled up to a multiple of it.
FILLED_CHUNK = 8


@keras.saving.register_keras_serializable(package="textapp")
class Lstm(keras.layers.Layer):
    """An LSTM (Hochreiter and Schmidhuber, 1997) over right-padded sequences, forward or in both directions.

    Same function as `keras.layers.LSTM`, with weights in the same layout (gates input, forget, cell, output). The
    product with the inputs is computed once, before the loop; a time step is one recurrent product, and the loop ends
    with the longest text of the batch.

    Args:
        units: size of the state, for each direction.
        bidirectional: add a second direction, from the last token to the first, and concatenate the two.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, length]`, 1 for a token, padding on the right.
        first: state and cell before the first token, `[batch, units]` each; None: zeros. One direction only.

    Returns:
        `[batch, length, units]`, or `[batch, length, 2 * units]`; undefined on padding.
    """

    def __init__(self, units: int, bidirectional: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.bidirectional = units, bidirectional

    def build(self, sequence_shape, mask_shape=None, first_shape=None) -> None:
        names = ("forward", "backward") if self.bidirectional else ("forward",)
        self.directions = [self._weights(name, sequence_shape[-1]) for name in names]

    def _weights(self, name: str, dim: int):
        kernel = self.add_weight(name=f"{name}_kernel", shape=(dim, 4 * self.units), initializer="glorot_uniform")
        recurrent = self.add_weight(
            name=f"{name}_recurrent_kernel", shape=(self.units, 4 * self.units), initializer="orthogonal"
        )
        bias = self.add_weight(name=f"{name}_bias", shape=(4 * self.units,), initializer=self._forget_nothing)
        return kernel, recurrent, bias

    def _forget_nothing(self, shape, dtype=None):
        """The initial bias: zeros, and ones for the forget gate (Jozefowicz et al., 2015)."""
        return tf.concat([tf.zeros(self.units), tf.ones(self.units), tf.zeros(2 * self.units)], 0)

    def call(self, sequence, mask, first=None):
        num_tokens = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        steps = tf.reduce_max(num_tokens)
        outputs = []
        for number, weights in enumerate(self.directions):
            inputs = _reversed(sequence, num_tokens) if number else sequence
            states = self._run(inputs, steps, *weights, first)
            outputs.append(_reversed(states, num_tokens) if number else states)
        return tf.concat(outputs, axis=-1) if self.bidirectional else outputs[0]

    def step(self, vector, state, cell):
        """One time step of one direction.

        Args:
            vector: the token, `[batch, dim]`.
            state, cell: after the token before, `[batch, units]` each.

        Returns:
            the new state and cell, `[batch, units]` each.
        """
        kernel, recurrent, bias = (tf.convert_to_tensor(weight) for weight in self.directions[0])
        return self._cell(tf.matmul(vector, kernel) + bias + tf.matmul(state, recurrent), cell)

    def _run(self, sequence, steps, kernel, recurrent, bias, first=None):
        """The states of one direction, `[batch, length, units]`, zeros after `steps`."""
        length = axis_size(sequence, 1)
        batch = axis_size(sequence, 0)
        chunk = _chunk(sequence.shape[1])
        filled = -(-length // chunk) * chunk
        # One product of two matrices: the gradient of a batch of them is a kernel for each row, and then their sum.
        rows = sequence if sequence.shape[0] == 1 else tf.transpose(sequence, [1, 0, 2])
        rows = tf.reshape(rows, [length * batch, sequence.shape[2]])
        recurrent, before = tf.convert_to_tensor(recurrent), []
        inputs = _with_gradient(tf.matmul(rows, kernel) + bias, recurrent, before)
        if sequence.shape[1] is None or filled != length:
            inputs = tf.pad(inputs, [[0, (filled - length) * batch], [0, 0]])
        inputs = tf.reshape(inputs, [filled // chunk, chunk, batch, 4 * self.units])
        inputs = tf.TensorArray(self.compute_dtype, size=filled // chunk).unstack(inputs)
        recurrent = tf.stop_gradient(recurrent)

        def step(position, state, cell, states):
            chunk_states = []
            for gates in tf.unstack(inputs.read(position), chunk):
                state, cell = self._cell(gates + tf.matmul(state, recurrent), cell)
                chunk_states.append(state)
            return position + 1, state, cell, states.write(position, tf.stack(chunk_states))

        shape = (chunk, sequence.shape[0], self.units)
        empty = tf.TensorArray(self.compute_dtype, size=filled // chunk, element_shape=shape)
        if first is None:
            first = [tf.zeros((batch, self.units), self.compute_dtype)] * 2
        state, cell = first
        start = (tf.constant(0), state, tf.cast(cell, tf.float32), empty)
        *_, states = tf.while_loop(
            lambda position, *_: position * chunk < steps,
            step,
            start,
            maximum_iterations=filled // chunk,
            parallel_iterations=1,
        )
        states = tf.reshape(states.stack(), [filled * batch, self.units])[: length * batch]
        before.append(lambda: tf.concat([state, states[:-batch]], 0))
        return tf.transpose(tf.reshape(states, [length, batch, self.units]), [1, 0, 2])

    def _cell(self, gates, cell):
        """The new state and cell from the gates' inputs `[batch, 4 * units]`. The cell is a sum, so it is float32."""
        gate_input, forget, new, output = tf.split(tf.cast(gates, tf.float32), 4, axis=-1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(gate_input) * tf.tanh(new)
        return tf.cast(tf.sigmoid(output) * tf.tanh(cell), self.compute_dtype), cell

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Quantizes the kernels in place; called by `keras.Model.quantize`."""
        self.directions = [
            (QuantizedWeight(self, kernel, config), QuantizedWeight(self, recurrent, config), bias)
            for kernel, recurrent, bias in self.directions
        ]

    def compute_output_shape(self, sequence_shape, mask_shape=None, first_shape=None):
        return (*sequence_shape[:-1], self.units * (2 if self.bidirectional else 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "bidirectional": self.bidirectional}


def _chunk(length: int | None) -> int:
    """The number of time steps in one iteration."""
    chunk = 1 if length is None else math.gcd(length, CHUNK)
    return FILLED_CHUNK if length is None or (chunk < FILLED_CHUNK // 2 and length > FILLED_CHUNK) else chunk


def _with_gradient(gates, recurrent, before):
    """The gates' inputs as they are; in the backward pass they give the recurrent kernel its gradient.

    The gradient of a product in a loop is a product and a sum of kernels at each time step. This is one product over
    all steps, as in cuDNN: of the states before them, known only after the loop, and the gradient of the gates.

    Args:
        gates: `[length * batch, 4 * units]`.
        recurrent: the kernel; in the loop it must have no gradient.
        before: gets a function that returns the states before each step, `[length * batch, units]`.
    """

    @tf.custom_gradient
    def same(gates, recurrent):
        return tf.identity(gates), lambda gradient: (gradient, tf.matmul(before[0](), gradient, transpose_a=True))

    return same(gates, recurrent)


def _reversed(sequence, num_tokens):
    """Reverses the tokens of each row; its padding stays on the right."""
    return tf.reverse_sequence(sequence, num_tokens, seq_axis=1, batch_axis=0)
