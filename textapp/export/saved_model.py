"""A Keras model to a SavedModel for servers, and a runner for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import filled_up
from textapp.artifact import TOKENIZER, Artifact
from textapp.edge.answers import Inputs, load_inputs, save_inputs, with_own
from textapp.edge.steps import lead_all_along
from textapp.errors import ArtifactError, ExportError, require
from textapp.export.children import run_child
from textapp.export.examples import Examples
from textapp.export.signatures import Signature, signatures_of
from textapp.export.text_in_graph import check_text_signature, tokenize_in_graph
from textapp.export.verify import ClassificationCheck, Outputs, Verdict, compare
from textapp.noise import quiet
from textapp.text.sentencepiece import SENTENCEPIECE_FILE

if TYPE_CHECKING:
    import keras


FOLDER = "saved_model"
COMPILED = "generate_"  # signatures that XLA compiles, anew for each number of rows
COMPILED_BATCHES = (1, 8, 64)  # so a batch is filled up to one of these


def write_bundle(
    folder: Path, work: Path, run: Artifact, model: keras.Model, check: ClassificationCheck, text_signature: bool
) -> dict[str, Any]:
    """Writes and verifies `saved_model/` of a classifier.

    Returns:
        `verdict`, `quantize`, `tried` and the shapes of the `signatures`, for the manifest.

    Raises:
        UsageError: it cannot have the text signature.
        ExportError: it answers otherwise than the model.
    """
    sentencepiece_model = None
    if text_signature:
        check_text_signature(run.manifest, [check.task.tokenizer])
        sentencepiece_model = run.path / TOKENIZER / SENTENCEPIECE_FILE
    place, tokens = folder / FOLDER, tokens_signature(signatures_of(model, run.manifest), run.manifest)
    write_saved_model(model, tokens, place, sentencepiece_model, check.task.tokenizer)
    verdict = verify_saved_model(place, text_signature, check, work)
    outputs = {"probabilities": [None, len(run.manifest["labels"])]}
    shapes = {"tokens": {"inputs": dict.fromkeys(run.manifest["features"], [None, None]), "outputs": outputs}}
    if text_signature:
        shapes["text"] = {"inputs": {"text": [None]}, "outputs": outputs}
    return {"verdict": verdict, "quantize": "none", "tried": [], "signatures": shapes}


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
    archive.add_endpoint(tokens.name, tokens.call, input_signature=[tokens.specs()])
    if sentencepiece_model is not None:
        ids_of, resource = tokenize_in_graph(sentencepiece_model, tokenizer.pad_id, tokenizer.unknown_id)
        archive.track(resource)

        def text(text: Any) -> dict[str, Any]:
            return tokens.call({"token_ids": ids_of(text)})

        archive.add_endpoint("text", text, input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    archive.write_out(str(folder), verbose=False)


def verify_saved_model(folder: Path, with_text: bool, check: ClassificationCheck, work: Path) -> Verdict:
    """Loads the SavedModel in a process of its own, without Keras objects, and compares both signatures.

    Raises:
        ExportError: it does not load, or answers otherwise than the model.
    """
    texts = [[record["text"] for record in check.examples.records]] if with_text else []
    runtime, arrays = run_saved_model(folder, work, check.inputs, texts)
    found = {name: arrays[f"{name}/probabilities"] for name in check.inputs}
    report = compare(found, check.expected, check.task, check.examples, check.max_drop, exact=True)
    if with_text:
        _check_text(arrays["text/probabilities"], found, check.examples)
    return Verdict(found, {"runtime": runtime, **report})


def run_saved_model(
    folder: Path, work: Path, inputs: Inputs, texts: Sequence[Sequence[str]] = (), along: Inputs | None = None
) -> tuple[str, dict[str, np.ndarray]]:
    """Lets a SavedModel answer in a process of its own.

    Args:
        folder: the SavedModel.
        work: for scratch files.
        inputs: of each signature.
        texts: groups of strings for the text signature.
        along: texts to lead a model that writes along, see `textapp.edge.steps.lead_all_along`.

    Returns:
        The runtime with its version, and the outputs: `generate_16_24/token_ids`, `text/probabilities`.
    """
    paths = {name: work / f"{name}.npz" for name in ("inputs", "outputs", "along")}
    save_inputs(paths["inputs"], inputs)
    (work / "texts.json").write_text(json.dumps([list(group) for group in texts]), encoding="utf-8")
    job = {"folder": str(folder), "inputs": str(paths["inputs"]), "texts": str(work / "texts.json"),
           "outputs": str(paths["outputs"])}  # fmt: skip
    if along is not None:
        save_inputs(paths["along"], along)
        job["along"] = str(paths["along"])
    child = run_child("textapp.export.saved_model", job, "running the SavedModel")
    with np.load(paths["outputs"]) as arrays:
        return child["runtime"], dict(arrays)


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
    """Runs the signatures of a SavedModel bundle behind the predictor.

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
        with quiet():  # a tokenizer inside tells that no normalisation was asked for
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
        """Answers a batch.

        Args:
            signature: of a classifier any bucket: one graph, `tokens`, serves them all.
            features: the inputs, `{"token_ids": [batch, length] int32}` and what else the signature takes.

        Returns:
            the outputs by name, such as `probabilities` `[batch, classes]`.

        Raises:
            ArtifactError: there is no such signature.
        """
        import tensorflow as tf

        function = self._functions["tokens" if "tokens" in self._functions else self._known(signature)]
        count = len(features["token_ids"]) if signature.startswith(COMPILED) else 0
        if count:
            features = filled_up(features, next((size for size in COMPILED_BATCHES if size >= count), count))
        inputs = {name: tf.constant(values) for name, values in features.items()}
        return {
            name: values.numpy()[:count] if count else values.numpy() for name, values in function(**inputs).items()
        }

    def texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """What the `text` signature answers to raw strings: `probabilities` `[batch, classes]`, or `text` `[batch]`."""
        import tensorflow as tf

        outputs = self._functions[self._known("text")](text=tf.constant(list(texts)))
        return {name: values.numpy() for name, values in outputs.items()}

    def clone(self) -> SavedModelRunner:
        """Itself: several threads may call one TensorFlow function."""
        return self

    def _known(self, signature: str) -> str:
        if signature not in self.signatures:
            raise ArtifactError(f"{self.folder}: has no signature {signature!r}; it has {', '.join(self.signatures)}")
        return signature


def _needs_tensorflow_text(folder: Path) -> bool:
    return b"SentencepieceOp" in (folder / "saved_model.pb").read_bytes()


# --- in the child -------------------------------------------------------------------------------------------------


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    runner = SavedModelRunner(Path(job["folder"]).parent)
    size, found = runner.max_batch, {}
    for signature, named in load_inputs(job["inputs"]).items():
        starts = range(0, len(named["token_ids"]), size)
        parts = [runner.run(signature, {name: rows[at : at + size] for name, rows in named.items()}) for at in starts]
        found |= _joined(signature, parts)
    if "along" in job:
        found |= lead_all_along(runner, with_own(load_inputs(job["along"]), found))
    texts = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))
    if texts:
        parts = [group[at : at + size] for group in texts for at in range(0, len(group), size)]
        found |= _joined("text", [runner.texts(part) for part in parts])
    np.savez(job["outputs"], **found)
    return {"runtime": f"tensorflow {tf.__version__}"}


def _joined(signature: str, parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # np.savez would pickle Python's objects; as plain text they need no unpickling.
    return {f"{signature}/{name}": _plain(values) for name, values in joined.items()}


def _plain(values: np.ndarray) -> np.ndarray:
    """Strings of TensorFlow, bytes in an array of objects, as an array of text."""
    return np.array([value.decode("utf-8") for value in values]) if values.dtype == object else values


if __name__ == "__main__":
    print(json.dumps(_answer(json.loads(sys.argv[1]))))
