"""Exports a translator or a language model for its peers, and as a .tflite file that generates a fixed length.

Runs in textapp's own environment:

    python benchmarks/generator_weights.py WORK --run RUN --bundle BUNDLE --source 32 --new 64
    python benchmarks/generator_weights.py WORK --shape 4+4x256 --vocabulary 8000 --source 32 --new 64

Writes model.json (its configuration), weights.npz (its weights under our own names), queries.json (token ids, and the
outputs of the Keras model in float32), fixed/model.tflite (its loop never ends early; quantized like the bundle) and
for the run of a translator examples.json (the test set).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from textapp.arrays import truncated_and_padded
from textapp.artifact import open_artifact
from textapp.text.template import END_ID, PAD_ID, START_ID, UNKNOWN_ID

NUM_QUERIES = 100
TOLERANCE = 1e-3  # of a token's log-probability


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.run:
        model, rows, quantize = _of_run(options)
    else:
        model, rows, quantize = _of_shape(options), None, "dynamic"
    if rows is None:
        random = np.random.default_rng(7)
        rows = random.integers(END_ID + 1, options.vocabulary, (NUM_QUERIES, options.source)).tolist()
    facts, weights = describe(model)
    np.savez(options.work / "weights.npz", **weights)
    _write(options.work / "model.json", {**facts, "trained": options.run is not None})
    token_ids, scores = greedy(model, rows, options)
    queries = {"source": options.source, "new": options.new, "ids": rows, "expected": token_ids, "scores": scores}
    _write(options.work / "queries.json", queries)
    write_fixed(model, options, queries, quantize)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--data-dir", type=Path, help="where the run's data paths start; default: as it was trained")
    parser.add_argument("--shape", help="random weights: 4+4x256 is an encoder-decoder, 6x384 a language model")
    parser.add_argument("--vocabulary", type=int, help="of a --shape")
    parser.add_argument("--source", type=int, required=True, help="tokens of a source or a prompt")
    parser.add_argument("--new", type=int, required=True, help="tokens of an answer")
    return parser.parse_args()


def _of_shape(options: argparse.Namespace) -> Any:
    """An untrained model of given layers, with a vocabulary shared by both sides and heads of size 64."""
    from textapp.config import TransformerModel
    from textapp.models import GeneratorSettings, build_generator

    layers, dim = options.shape.split("x")
    encoder_layers, decoder_layers = [None, *map(int, layers.split("+"))][-2:]
    config = TransformerModel(
        architecture="transformer", dropout=0.0, hidden_dim=int(dim), num_heads=int(dim) // 64, tie_embeddings=True,
        num_layers=decoder_layers, encoder_layers=encoder_layers, decoder_layers=encoder_layers and decoder_layers,
        positions="sinusoidal" if encoder_layers else "learned",
    )  # fmt: skip
    settings = GeneratorSettings(
        options.vocabulary, PAD_ID, START_ID, END_ID, max_length=options.source + options.new,
        max_source_length=encoder_layers and options.source,
    )  # fmt: skip
    model = build_generator(config, settings)
    _stir(model)
    return model


def _stir(model: Any) -> None:
    """Randomizes all weights: a new model repeats its first token and has zero biases, which would hide errors."""
    random = np.random.default_rng(7)
    for weight in model.weights:
        values = random.normal(size=weight.shape)
        if weight.name == "kernel":
            weight.assign(2 * values / weight.shape[0] ** 0.5)
        elif len(weight.shape) == 1:
            weight.assign(np.asarray(weight) + 0.1 * values)


def _of_run(options: argparse.Namespace) -> tuple[Any, list[list[int]], str]:
    """The model of a run, token ids of its test set, and how its bundle was quantized."""
    from textapp.catalog import task_from_manifest
    from textapp.commands.examples import own_splits
    from textapp.models.saving import load_float32
    from textapp.text.tokenizer import load_tokenizers

    run = open_artifact(options.run)
    task = task_from_manifest(run.manifest, load_tokenizers(options.run))
    records = own_splits(run, options.data_dir).test
    if task.name == "translation":
        _write(options.work / "examples.json", records)
        rows = _sources(task, records, options.source)
    else:
        rows = _prompts(task, records, options.source)
    quantize = open_artifact(options.bundle).manifest["quantize"]
    return load_float32(options.run / "model.keras"), rows, quantize


def _sources(task: Any, records: list[dict[str, Any]], source: int) -> list[list[int]]:
    """Sources that fill more than half of `source` tokens, so that padding makes little difference."""
    rows = [task.features(record)["token_ids"] for record in records]
    fitting = [ids for ids in rows if source // 2 < len(ids) <= source]
    if len(fitting) < NUM_QUERIES:
        raise SystemExit(
            f"{len(fitting)} test sources have {source // 2 + 1} to {source} tokens, expected {NUM_QUERIES}: "
            "take another --source"
        )
    return fitting[:NUM_QUERIES]


def _prompts(task: Any, records: list[dict[str, Any]], source: int) -> list[list[int]]:
    """Pieces of the test texts, `source` tokens each."""
    rows = []
    for record in records:
        ids = task.joined(task.target_ids(record))
        rows += [ids[start : start + source] for start in range(0, len(ids) - source + 1, 4 * source)]
        if len(rows) >= NUM_QUERIES:
            return rows[:NUM_QUERIES]
    raise SystemExit(f"the test texts hold {len(rows)} prompts of {source} tokens, expected {NUM_QUERIES}")


def describe(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The configuration of a model for the peers, and its float32 weights by name."""
    from textapp.layers.transformer_stacks import TransformerDecoder

    if not isinstance(model.decoder, TransformerDecoder):
        raise SystemExit("CTranslate2 has no LSTM: take a run of architecture transformer")
    stacks = {"encoder": model.encoder, "decoder": model.decoder}
    facts = {
        "vocabulary_size": model.vocabulary_size,
        "source_vocabulary_size": model.source_vocabulary_size or model.vocabulary_size,
        "embedding_scale": model.embedding_dim**0.5 if model.scaled else 1.0,
        **{"pad_id": PAD_ID, "unknown_id": UNKNOWN_ID, "start_id": START_ID, "end_id": END_ID},
        **{name: stack and _settings(stack) for name, stack in stacks.items()},
    }
    weights = {"target_embedding": model.token_embedding.embeddings}
    if model.encoder is not None:
        weights["source_embedding"] = model.source_embedding.embeddings
        weights |= _stack(model.encoder, "encoder")
    weights |= _stack(model.decoder, "decoder")
    weights = {name: np.asarray(weight, np.float32) for name, weight in weights.items()}
    projection = model.output_projection
    kernel = weights["target_embedding"].T if projection is None else np.asarray(projection.kernel, np.float32)
    return facts, {**weights, "logits/kernel": kernel}


def _settings(stack: Any) -> dict[str, Any]:
    config = stack.get_config()
    settings = {**config["settings"], **{name: config[name] for name in ("hidden_dim", "num_layers", "positions")}}
    settings["num_key_value_heads"] = settings["num_key_value_heads"] or settings["num_heads"]
    return settings


def _stack(stack: Any, name: str) -> dict[str, Any]:
    weights = _norm(stack.norm, f"{name}/norm")
    if stack.positions is not None:
        weights[f"{name}/positions"] = stack.positions.table
    for number, block in enumerate(stack.blocks):
        weights |= _block(block, f"{name}/block_{number}")
    return weights


def _block(block: Any, name: str) -> dict[str, Any]:
    weights: dict[str, Any] = {}
    for part in ("attention", "cross_attention"):
        if not hasattr(block, part):
            continue
        weights |= _norm(getattr(block, f"{part}_norm"), f"{name}/{part}_norm")
        for projection, dense in getattr(block, part).projections.items():
            weights |= _dense(dense, f"{name}/{part}/{projection}")
    weights |= _norm(block.feed_forward_norm, f"{name}/feed_forward_norm")
    for part in ("inward", "linear", "outward"):
        if getattr(block, part) is not None:
            weights |= _dense(getattr(block, part), f"{name}/{part}")
    return weights


def _dense(dense: Any, name: str) -> dict[str, Any]:
    return {f"{name}/kernel": dense.kernel, f"{name}/bias": dense.bias}


def _norm(norm: Any, name: str) -> dict[str, Any]:
    return {f"{name}/gamma": norm.gamma, f"{name}/beta": norm.beta}


def generate(model: Any, features: dict[str, Any], options: argparse.Namespace) -> Any:
    """The loop of the exported signatures; the end token is forbidden, as by CTranslate2's min_decoding_length."""
    from textapp.layers.greedy_loop import greedy_loop

    token_id, position, cache = model.begin(features, 0 if model.has_encoder else options.source)
    return greedy_loop(model.step, token_id, position, cache, options.new, END_ID, PAD_ID, never_ids=[END_ID])


def greedy(model: Any, rows: list[list[int]], options: argparse.Namespace) -> tuple[list[list[int]], list[float]]:
    """The outputs of the Keras model in float32 with their log-probabilities: the reference of every peer."""
    import tensorflow as tf

    features = {"token_ids": tf.constant(truncated_and_padded(rows, options.source, PAD_ID), tf.int32)}
    if not model.has_encoder:
        features["num_tokens"] = tf.constant([len(ids) for ids in rows], tf.int32)
    found = tf.function(lambda features: generate(model, features, options))(features)
    return found.token_ids.numpy().tolist(), found.score.numpy().tolist()


def write_fixed(model: Any, options: argparse.Namespace, queries: dict[str, Any], quantize: str) -> None:
    """Writes fixed/model.tflite like a bundle; its float32 form must generate the same tokens as the Keras model."""
    from textapp.export import tflite
    from textapp.export.flatbuffer.loops import check_loops
    from textapp.export.folding import fold_norms
    from textapp.objectives.signature import Signature

    def call(features: Any) -> dict[str, Any]:
        return generate(model, features, options)._asdict()

    shapes = {"token_ids": (1, options.source)} | ({} if model.has_encoder else {"num_tokens": (1,)})
    name = f"generate_{options.source}_{options.new}"
    fold_norms(model)
    (options.work / "fixed").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        exact = Path(work) / "exact.tflite"
        for way, file in (("none", exact), (quantize, options.work / "fixed" / "model.tflite")):
            if way == "dynamic":
                model.round_tables()
            tflite.write_saved_model(model, [Signature(name, shapes, call)], Path(work) / way)
            tflite.convert(Path(work) / way, file, [name], "litert", way, Path(work) / "no calibration.npz")
            check_loops(file, way)
        _check(exact, name, queries)


def _check(file: Path, name: str, queries: dict[str, Any]) -> None:
    from textapp.runners.edge import EdgeRunner

    runner = EdgeRunner(file)
    for ids, expected, score in list(zip(queries["ids"], queries["expected"], queries["scores"], strict=True))[:10]:
        features = {
            "token_ids": truncated_and_padded([ids], queries["source"], PAD_ID),
            "num_tokens": np.array([len(ids)], np.int32),
        }
        found = runner.run(name, features)
        same = found["token_ids"][0].tolist() == expected
        if not same or abs(found["score"][0] - score) > TOLERANCE * len(expected):
            raise SystemExit(
                f"the exported loop in float32 gives {found['token_ids'][0, :8]}, score {found['score'][0]:.4f}; "
                f"the Keras model {expected[:8]}, score {score:.4f}"
            )


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
