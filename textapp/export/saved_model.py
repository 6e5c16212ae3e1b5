"""A Keras model to a SavedModel for servers, and a runner for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.edge.answers import load_inputs, save_inputs
from textapp.errors import ArtifactError, ExportError, UsageError, require
from textapp.export.children import run_child
from textapp.export.examples import Examples
from textapp.export.signatures import Signature
from textapp.export.verify import Outputs, Verdict, compare
from textapp.text.tokenizer import SentencePieceTokenizer

if TYPE_CHECKING:
    import keras

    from textapp.text.tokenizer import Tokenizer

FOLDER = "saved_model"


def check_text_signature(manifest: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    """Refuses the `text` signature for a run whose way from text to ids cannot be a TensorFlow graph.

    Raises:
        UsageError: with the reason.
    """
    reason = ""
    if not isinstance(tokenizer, SentencePieceTokenizer):
        reason = f"its tokenizer is of kind '{tokenizer.kind}'; TensorFlow Text has only SentencePiece's"
    elif tokenizer.python_steps:
        reason = f"its cleaning has {', '.join(tokenizer.python_steps)}, done in Python, which no graph can hold"
    elif manifest["inputs"] != ["text"]:
        reason = "it takes pairs of texts"
    elif tokenizer.join([tokenizer.unknown_id], None, 8)[0] != [tokenizer.unknown_id]:
        reason = "its tokenizer puts special tokens around a text"
    if reason:
        raise UsageError(f"this run has no text signature: {reason}. Export it with the tokens signature alone")


def tokens_signature(signatures: Sequence[Signature], manifest: Mapping[str, Any]) -> Signature:
    """`tokens`: ids `[batch, length]`, both open, cut to the longest bucket, to `probabilities` `[batch, classes]`."""
    call, longest = signatures[-1].call, manifest["lengths"][-1]

    def tokens(features: Mapping[str, Any]) -> dict[str, Any]:
        return call({name: ids[:, :longest] for name, ids in features.items()})

    return Signature("tokens", dict.fromkeys(manifest["features"], (None, None)), tokens)


def write_saved_model(
    model: keras.Model, tokens: Signature, folder: Path, sentencepiece_model: Path | None, tokenizer: Any
) -> None:
    """Writes the `tokens` signature, and `text` where a SentencePiece model is given."""
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    specs = {name: tf.TensorSpec(shape, tf.int32, name=name) for name, shape in tokens.inputs.items()}
    archive.add_endpoint(tokens.name, tokens.call, input_signature=[specs])
    if sentencepiece_model is not None:
        ids_of, resource = _tokenize_in_graph(sentencepiece_model, tokenizer.pad_id, tokenizer.unknown_id)
        archive.track(resource)

        def text(text: Any) -> dict[str, Any]:
            return tokens.call({"token_ids": ids_of(text)})

        archive.add_endpoint("text", text, input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    archive.write_out(str(folder), verbose=False)


def _tokenize_in_graph(model_path: Path, pad_id: int, unknown_id: int) -> tuple[Callable[[Any], Any], Any]:
    """Strings `[batch]` to padded ids `[batch, length]` int32, as the Python tokenizer gives them."""
    import tensorflow as tf

    tensorflow_text = require("tensorflow_text", "train")
    tokenizer = tensorflow_text.SentencepieceTokenizer(model_path.read_bytes(), out_type=tf.int32)

    def ids_of(text: Any) -> Any:
        ids = tokenizer.tokenize(text)
        # A text without a token becomes the unknown token: a model needs something to look at.
        empty = tf.cast(tf.equal(ids.row_lengths(), 0), tf.int64)
        fill = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], unknown_id), empty)
        return tf.concat([ids, fill], axis=1).to_tensor(default_value=pad_id)

    return ids_of, tokenizer


def verify_saved_model(
    folder: Path, with_text: bool, task: Any, examples: Examples, expected: Outputs, max_drop: float, work: Path
) -> Verdict:
    """Loads the SavedModel in a process of its own, without Keras objects, and compares both signatures.

    Raises:
        ExportError: it does not load, or answers otherwise than the model.
    """
    save_inputs(work / "inputs.npz", examples.inputs)
    texts = [record["text"] for record in examples.records] if with_text else []
    (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    job = {"folder": str(folder), "inputs": str(work / "inputs.npz"), "texts": str(work / "texts.json"),
           "outputs": str(work / "outputs.npz")}  # fmt: skip
    child = run_child("textapp.export.saved_model", job, "running the SavedModel")
    with np.load(work / "outputs.npz") as arrays:
        found = {name: arrays[name] for name in examples.inputs}
        by_text = arrays["text"] if with_text else None
    report = compare(found, expected, task, examples, max_drop, exact=True)
    if by_text is not None:
        _check_text(by_text, found, examples)
    return Verdict(found, {"runtime": child["runtime"], **report})


def _check_text(by_text: np.ndarray, found: Outputs, examples: Examples) -> None:
    for signature, owners in examples.owners.items():
        for row, index in enumerate(owners):
            error = float(np.abs(by_text[index] - found[signature][row]).max())
            if not error <= 1e-3:
                raise ExportError(
                    f"the text signature answers otherwise than the tokens signature (by {error:.4f}) for "
                    f"{examples.records[index]['text'][:80]!r}: export without it"
                )


class SavedModelRunner:
    """Runs the `tokens` signature of a SavedModel bundle behind the predictor.

    Args:
        bundle: the folder that holds `saved_model/`.
    """

    max_batch = 64

    def __init__(self, bundle: str | Path) -> None:
        import tensorflow as tf

        self.folder = Path(bundle) / FOLDER
        if not (self.folder / "saved_model.pb").is_file():
            raise ArtifactError(f"{self.folder}: holds no SavedModel; expected saved_model.pb")
        if _needs_tensorflow_text(self.folder):
            require("tensorflow_text", "train")  # registers the ops of the text signature
        self._model = tf.saved_model.load(str(self.folder))  # keeps the variables alive
        self._tokens = self._model.signatures["tokens"]
        self.signatures = {
            name: {
                "inputs": list(function.structured_input_signature[1]),
                "outputs": list(function.structured_outputs),
            }
            for name, function in self._model.signatures.items()
        }

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers a batch. `signature` names a bucket; one graph serves them all.

        Args:
            features: `{"token_ids": [batch, length] int32}`.

        Returns:
            `{"probabilities": [batch, classes] float32}`.
        """
        import tensorflow as tf

        outputs = self._tokens(**{name: tf.constant(rows) for name, rows in features.items()})
        return {name: values.numpy() for name, values in outputs.items()}

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities `[batch, classes]` of raw strings, by the `text` signature."""
        import tensorflow as tf

        return self._model.signatures["text"](text=tf.constant(list(texts)))["probabilities"].numpy()

    def clone(self) -> SavedModelRunner:
        """Itself: several threads may call one TensorFlow function."""
        return self


def _needs_tensorflow_text(folder: Path) -> bool:
    return b"SentencepieceOp" in (folder / "saved_model.pb").read_bytes()


# --- in the child -------------------------------------------------------------------------------------------------


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    runner = SavedModelRunner(Path(job["folder"]).parent)
    size = runner.max_batch
    found = {}
    for signature, named in load_inputs(job["inputs"]).items():
        starts = range(0, len(named["token_ids"]), size)
        parts = [runner.run(signature, {name: rows[at : at + size] for name, rows in named.items()}) for at in starts]
        found[signature] = np.concatenate([part["probabilities"] for part in parts])
    texts = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))
    if texts:
        found["text"] = np.concatenate([runner.texts(texts[at : at + size]) for at in range(0, len(texts), size)])
    np.savez(job["outputs"], **found)
    return {"runtime": f"tensorflow {tf.__version__}"}


if __name__ == "__main__":
    print(json.dumps(_answer(json.loads(sys.argv[1]))))
