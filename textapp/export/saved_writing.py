"""A translator or a language model to a SavedModel: compiled greedy loops, single steps, strings to strings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER, Artifact
from textapp.decoding.signatures import GENERATE, lengths_of
from textapp.errors import ExportError
from textapp.export.saved_model import COMPILED, FOLDER, run_saved_model
from textapp.export.signatures import Signature, signatures_of
from textapp.export.text_in_graph import check_text_signature, sentencepiece
from textapp.export.verify import Verdict, signature_of
from textapp.noise import quiet
from textapp.text.sentencepiece import SENTENCEPIECE_FILE

if TYPE_CHECKING:
    import keras

    from textapp.export.verify_writing import WritingCheck

Call = Callable[[Mapping[str, Any]], dict[str, Any]]

# What `str.strip` takes away; `tf.strings.strip` knows the blanks of ASCII alone.
_BLANKS = r"[\s\v\x{1c}-\x{1f}\x{85}\p{Z}]*"


def write_bundle(
    folder: Path, work: Path, run: Artifact, model: keras.Model, check: WritingCheck, text_signature: bool
) -> dict[str, Any]:
    """Writes and verifies `saved_model/`.

    Its signatures: `generate_<S>_<N>`, `prefill_<S>` and `decode` for any number of rows; `generate`, which takes ids
    of any length and picks among them; on request `text`.

    Returns:
        `verdict`, `quantize`, `tried` and the shapes of the `signatures`, for the manifest.

    Raises:
        UsageError: it cannot have the text signature.
        ExportError: it writes otherwise than the model.
    """
    tokenizers = [check.task.tokenizer, check.task.target_tokenizer]
    if text_signature:
        check_text_signature(run.manifest, tokenizers)
    signatures = [_open(signature) for signature in signatures_of(model, run.manifest)]
    signatures = [
        _compiled(signature) if signature.name.startswith(COMPILED) else signature for signature in signatures
    ]
    signatures.append(_any_length([s for s in signatures if s.name.startswith(COMPILED)], model.pad_id))
    place = folder / FOLDER
    text = _text(run, signatures[-1], check) if text_signature else None
    shapes = _write(model, signatures, text, place)
    # By signature, as every row of a batch has room for as many new tokens as its longest.
    order = [index for owners in check.examples.owners.values() for index in owners] if text_signature else []
    texts = [
        [check.examples.records[index][check.task.input_field] for index in owners]
        for owners in check.examples.owners.values()
        if order and owners
    ]
    runtime, arrays = run_saved_model(place, work, check.inputs, texts, check.along)
    verdict = check.judge(arrays, runtime, "none")
    if text_signature:
        _check_text(dict(zip(order, arrays["text/text"], strict=True)), verdict, check)
    return {"verdict": verdict, "quantize": "none", "tried": [], "signatures": shapes}


def _open(signature: Signature) -> Signature:
    """The same for any number of rows."""
    return signature._replace(inputs={name: (None, *shape[1:]) for name, shape in signature.inputs.items()})


def _compiled(signature: Signature) -> Signature:
    """The same, compiled by XLA as one program where XLA can: two to three times as fast."""
    import tensorflow as tf

    compiled = tf.function(signature.call, jit_compile=True)
    specs = signature.specs().items()
    try:
        compiled({name: tf.ones([1, *spec.shape[1:]], spec.dtype) for name, spec in specs})
    except tf.errors.OpError:
        return signature
    return signature._replace(call=compiled)


def _any_length(signatures: list[Signature], pad_id: int) -> Signature:
    """`generate`: ids `[batch, length]`, both open, answered by the smallest signature that reads them.

    What is longer than the longest is cut: of a source the end, of a prompt the beginning. The longest row picks, so
    beside a long row a text that has no end may go on for longer than alone.
    """
    import tensorflow as tf

    lengths = [signature.inputs["token_ids"][1] for signature in signatures]
    most_new = max(lengths_of(signature.name)[1] for signature in signatures)
    counted = "num_tokens" in signatures[0].inputs

    def branch(signature: Signature, length: int, features: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
        def answer() -> dict[str, Any]:
            ids = features["token_ids"][:, :length]
            ids = tf.pad(ids, [[0, 0], [0, length - tf.shape(ids)[1]]], constant_values=pad_id)
            inputs = {**features, "token_ids": tf.ensure_shape(ids, [None, length])}
            outputs = signature.call(inputs)
            more = most_new - outputs["token_ids"].shape[1]
            return {**outputs, "token_ids": tf.pad(outputs["token_ids"], [[0, 0], [0, more]], constant_values=pad_id)}

        return answer

    def generate(features: Mapping[str, Any]) -> dict[str, Any]:
        features = _kept_end(features, lengths[-1]) if counted else features
        shorter = tf.constant(lengths[:-1], tf.int32)  # where there is one signature: none
        index = tf.reduce_sum(tf.cast(tf.shape(features["token_ids"])[1] > shorter, tf.int32))
        branches = [branch(*pair, features) for pair in zip(signatures, lengths, strict=True)]
        return tf.switch_case(index, branches)

    inputs = {"token_ids": (None, None), "num_tokens": (None,)} if counted else {"token_ids": (None, None)}
    return Signature(GENERATE, inputs, generate)


def _kept_end(features: Mapping[str, Any], length: int) -> dict[str, Any]:
    """Prompts without what stands before their last `length` tokens."""
    import tensorflow as tf

    ids, counts = features["token_ids"], features["num_tokens"]
    cut = tf.maximum(counts - length, 0)
    places = tf.expand_dims(cut, 1) + tf.expand_dims(tf.range(tf.minimum(length, tf.shape(ids)[1])), 0)
    return {"token_ids": tf.gather(ids, places, batch_dims=1), "num_tokens": counts - cut}


def _write(model: keras.Model, signatures: list[Signature], text: Any, folder: Path) -> dict[str, Any]:
    """Writes the SavedModel; returns the shapes of its signatures."""
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    for signature in signatures:
        archive.add_endpoint(signature.name, signature.call, input_signature=[signature.specs()])
    shapes = {s.name: {"inputs": {name: list(shape) for name, shape in s.inputs.items()}} for s in signatures}
    if text is not None:
        call, resources = text
        for resource in resources:
            archive.track(resource)
        archive.add_endpoint("text", call, input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        shapes["text"] = {"inputs": {"text": [None]}, "outputs": {"text": [None], "score": [None]}}
    archive.write_out(str(folder), verbose=False)
    with quiet():
        loaded = tf.saved_model.load(str(folder)).signatures
    for name, sides in shapes.items():
        outputs = loaded[name].structured_outputs
        sides["outputs"] = {key: outputs[key].shape.as_list() for key in sorted(outputs)}
    return shapes


def _text(run: Artifact, generate: Signature, check: WritingCheck) -> tuple[Callable[[Any], dict[str, Any]], list[Any]]:
    """`text`: strings `[batch]` to the strings that a predictor answers, and their scores."""
    import tensorflow as tf

    task = check.task
    source = sentencepiece(run.path / TOKENIZER / SENTENCEPIECE_FILE)
    target_path = run.path / TARGET_TOKENIZER / SENTENCEPIECE_FILE
    target = sentencepiece(target_path) if target_path.is_file() else source
    longest = task.most_tokens

    def translate(text: Any) -> dict[str, Any]:
        ids = source.tokenize(text)[:, : longest - 1]
        ids = tf.concat([ids, tf.fill([tf.shape(text)[0], 1], task.tokenizer.end_id)], axis=1)
        outputs = generate.call({"token_ids": ids.to_tensor(default_value=task.tokenizer.pad_id)})
        blank = tf.strings.regex_full_match(text, _BLANKS)
        found = target.detokenize(_until_end(outputs, task.end_id))
        return {"text": tf.where(blank, "", found), "score": outputs["score"]}

    def go_on(text: Any) -> dict[str, Any]:
        ids = source.tokenize(text)
        first = tf.constant(task.joined([])["token_ids"][:1], tf.int32)
        if not task.running_text:
            ids = tf.concat([tf.fill([tf.shape(text)[0], 1], task.start_id), ids], axis=1)
        else:  # an empty prompt needs something to stand behind
            empty = tf.cast(tf.equal(ids.row_lengths(), 0), tf.int64)
            fill = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], first[0]), empty)
            ids = tf.concat([ids, fill], axis=1)
        ids = ids[:, -longest:]
        counts = tf.cast(ids.row_lengths(), tf.int32)
        features = {"token_ids": ids.to_tensor(default_value=task.tokenizer.pad_id), "num_tokens": counts}
        outputs = generate.call(features)
        new = _until_end(outputs, task.end_id)
        before, whole = source.detokenize(ids), source.detokenize(tf.concat([ids, new], axis=1))
        length = tf.minimum(tf.strings.length(before), tf.strings.length(whole))
        behind = tf.strings.substr(whole, length, tf.strings.length(whole))
        goes_on = tf.equal(tf.strings.substr(whole, tf.zeros_like(length), length), before)
        return {"text": tf.where(goes_on, behind, source.detokenize(new)), "score": outputs["score"]}

    return (translate if task.name == "translation" else go_on), [source, target]


def _until_end(outputs: Mapping[str, Any], end_id: int) -> Any:
    """The written ids without the end, ragged `[batch, None]`."""
    import tensorflow as tf

    ids = tf.RaggedTensor.from_tensor(outputs["token_ids"], lengths=tf.cast(outputs["num_tokens"], tf.int64))
    return tf.ragged.boolean_mask(ids, tf.not_equal(ids, end_id))


def _check_text(found: Mapping[int, str], verdict: Verdict, check: WritingCheck) -> None:
    """The strings are those that the task makes of the ids, for every example.

    Raises:
        ExportError: naming the first that differs.
    """
    for index, record in enumerate(check.examples.records):
        signature, row = signature_of(check.examples, index)
        outputs = {name: values[row] for name, values in verdict.outputs[signature].items()}
        expected = check.task.answer(record, outputs).output
        if found[index] != expected:
            raise ExportError(
                f"the text signature answers {str(found[index])[:80]!r} where the ids say {expected[:80]!r}: export "
                "without it"
            )
