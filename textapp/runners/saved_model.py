"""A runner of a SavedModel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from textapp.arrays import filled_up
from textapp.errors import ArtifactError, require
from textapp.noise import suppress_stderr

FOLDER = "saved_model"
TOKENS_SIGNATURE = "tokens"  # takes any length; used in place of `classify_<length>`
COMPILED = "generate_"  # prefix of signatures that XLA compiles for each number of rows
_COMPILED_BATCHES = (1, 8, 64)  # batches are filled up to one of these, so that few are compiled


class SavedModelRunner:
    """Runs the signatures of a SavedModel bundle.

    Args:
        bundle: the folder that holds `saved_model/`.
    """

    max_batch = 64
    shareable = True

    def __init__(self, bundle: str | Path) -> None:
        import tensorflow as tf

        self.folder = Path(bundle) / FOLDER
        if not (self.folder / "saved_model.pb").is_file():
            raise ArtifactError(f"{self.folder}: found no SavedModel, expected saved_model.pb")
        if _needs_tensorflow_text(self.folder):
            require("tensorflow_text", "train")  # registers the ops of the text signature
        with suppress_stderr():  # a tokenizer in the graph prints that it does no normalisation
            self._model = tf.saved_model.load(str(self.folder))  # keeps the variables alive
        self._functions = self._model.signatures
        self.signatures = {
            name: {
                "inputs": list(function.structured_input_signature[1]),
                "outputs": list(function.structured_outputs),
            }
            for name, function in self._functions.items()
        }

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on a batch.

        Args:
            signature: its name; for a classifier `tokens` is run instead, which takes any length.
            features: the inputs, `{"token_ids": [batch, length] int32}` and others.

        Returns:
            the outputs by name, such as `probabilities` `[batch, classes]`.

        Raises:
            ArtifactError: there is no such signature.
        """
        import tensorflow as tf

        function = self._functions["tokens" if "tokens" in self._functions else self._known(signature)]
        count = len(features["token_ids"]) if signature.startswith(COMPILED) else 0
        if count:
            features = filled_up(features, next((size for size in _COMPILED_BATCHES if size >= count), count))
        inputs = {name: tf.constant(values) for name, values in features.items()}
        return {
            name: values.numpy()[:count] if count else values.numpy() for name, values in function(**inputs).items()
        }

    def texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Runs the `text` signature on strings: `probabilities` `[batch, classes]`, or `text` `[batch]`."""
        import tensorflow as tf

        outputs = self._functions[self._known("text")](text=tf.constant(list(texts)))
        return {name: values.numpy() for name, values in outputs.items()}

    def clone(self) -> SavedModelRunner:
        """Returns itself: several threads may call the same TensorFlow function."""
        return self

    def _known(self, signature: str) -> str:
        if signature not in self.signatures:
            raise ArtifactError(f"{self.folder}: has no signature {signature!r}; it has {', '.join(self.signatures)}")
        return signature


def _needs_tensorflow_text(folder: Path) -> bool:
    return b"SentencepieceOp" in (folder / "saved_model.pb").read_bytes()
