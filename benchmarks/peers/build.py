"""Builds the peers' files in the folder that weights.py filled, and checks each against the Keras model.

Runs in the peers' environment: `python benchmarks/peers/build.py WORK [fasttext]`. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from serve import facts_of, weights_of

TOLERANCE = 1e-3
TRANSFORMERS = ("transformer", "preset")
# epochs, learning rate, longest n-gram in words, longest n-gram in characters (0: none)
FASTTEXT_SETTINGS = ((5, 0.5, 2, 0), (10, 0.5, 2, 0), (25, 0.1, 2, 0), (10, 0.5, 3, 0), (10, 0.3, 2, 5))
FASTTEXT_CUTOFF = 100_000  # words and n-grams that the compressed file keeps, as fastText's own documentation shows
MODEL_TYPES = ("bert", "vit", "clip")  # the fusions of ONNX Runtime that know such blocks; the most fused is taken


def build_engines(work: Path) -> dict[str, Any]:
    """torch twin -> ONNX -> fused and int8 for ONNX Runtime, int8 for OpenVINO. Graphs: with a mask and without."""
    import torch
    from twins import Attention, load_twin

    torch.set_num_threads(2)
    twin = load_twin(work)
    with np.load(work / "reference.npz") as arrays:
        reference = {name: arrays[name] for name in arrays.files}
    pad_id = facts_of(work)["pad_id"]
    logits = reference.pop("logits")
    mask = (reference["token_ids"] != pad_id).astype(np.int64)
    padded = {**{name: values.astype(np.int64) for name, values in reference.items()}, "attention_mask": mask}
    counts = mask.sum(1)
    rows = [{name: padded[name][row : row + 1, : counts[row]] for name in reference} for row in range(len(mask))]
    names = list(reference)
    # Logits of spans are one row a token; what stands at padding is nobody's.
    per_token = logits.ndim == 3
    expected = np.concatenate([logits[row, : counts[row]] for row in range(len(mask))]) if per_token else logits

    def flat(outputs: list[np.ndarray]) -> np.ndarray:
        """The logits of all rows, or of all tokens of all rows, one after another."""
        if not per_token:
            return np.concatenate(outputs)
        every = [row for output in outputs for row in output]
        return np.concatenate([row[: counts[number]] for number, row in enumerate(every)])

    can_mask = not getattr(twin, "bidirectional", False)
    report: dict[str, Any] = {"tolerance": TOLERANCE}

    def twin_logits(row: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return twin(*map(torch.from_numpy, row.values())).numpy()

    def check(path: Path, inputs: list[dict[str, np.ndarray]]) -> float:
        return _check(path.name, flat(_outputs(path, inputs)), expected)

    report["torch"] = _check("torch twin", flat([twin_logits(row) for row in rows]), expected)
    for module in twin.modules():
        if isinstance(module, Attention):
            module.explicit = True
    for name in ("plain", "masked") if can_mask else ("plain",):
        twin.spread = True
        path = work / f"{name}.onnx"
        features = names + ["attention_mask"] * (name == "masked")
        _export(twin, path, features, per_token)
        inputs = [padded] if name == "masked" else rows
        report[f"onnx {name}"] = check(path, inputs)
        report[f"fused nodes {name}"] = _fuse_and_quantize(work, name, lambda file, inputs=inputs: check(file, inputs))
        twin.spread = False  # with it OpenVINO leaves the embedding in float32
        _export(twin, work / f"{name}.openvino.onnx", features, per_token)
        _openvino_int8(work, name, inputs)
    return report


def _check(what: str, found: np.ndarray, expected: np.ndarray) -> float:
    error = float(np.abs(found - expected).max())
    if not error <= TOLERANCE:
        raise SystemExit(
            f"{what}: its logits differ from the Keras model's by {error:.2g}, expected {TOLERANCE:g} at most"
        )
    return error


def _export(twin: Any, path: Path, names: list[str], per_token: bool) -> None:
    import torch

    example = tuple(torch.ones(2, 12, dtype=torch.int64) for _ in names)
    both = {0: "batch", 1: "length"}
    axes = dict.fromkeys(names, both) | {"logits": both if per_token else {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            twin,
            example,
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def _outputs(path: Path, inputs: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, row)[0] for row in inputs]


def _fuse_and_quantize(work: Path, name: str, check: Callable[[Path], float]) -> dict[str, int]:
    """Writes NAME.int8.onnx from the most fused graph that still answers the same; returns the counts."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, counts = work / f"{name}.onnx", {}
    if facts_of(work)["architecture"] in TRANSFORMERS:
        source, counts = _fused(work, name, check)
    quantize_dynamic(
        str(source),
        str(work / f"{name}.int8.onnx"),
        per_channel=True,
        weight_type=QuantType.QInt8,
        # the shapes behind a fused node cannot be inferred; all that flows here is float32
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )
    return counts


def _fused(work: Path, name: str, check: Callable[[Path], float]) -> tuple[Path, dict[str, int]]:
    from onnxruntime.transformers.optimizer import optimize_model

    heads, width = facts_of(work)["config"]["num_heads"], weights_of(work)["positions/table"].shape[1]
    best: tuple[int, Path, dict[str, int]] = (-1, work / f"{name}.onnx", {})
    for model_type in MODEL_TYPES:
        path = work / f"{name}.{model_type}.onnx"
        try:
            model = optimize_model(
                str(work / f"{name}.onnx"), model_type, num_heads=heads, hidden_size=width, opt_level=0
            )
            model.save_model_to_file(str(path))
            check(path)
        except (Exception, SystemExit) as error:  # a fusion that does not know this graph is passed over, and said so
            print(f"fusion {model_type}: {error}", file=sys.stderr)
            continue
        counts = {key: value for key, value in model.get_fused_operator_statistics().items() if value}
        score = 100 * counts.get("Attention", 0) + sum(counts.values())
        best = max(best, (score, path, {"model_type": model_type, **counts}), key=lambda found: found[0])
    return best[1], best[2]


def _openvino_int8(work: Path, name: str, inputs: list[dict[str, np.ndarray]]) -> None:
    import nncf
    import openvino

    from_onnx = openvino.convert_model(work / f"{name}.openvino.onnx")
    samples = [
        {key: array[row : row + 1] for key, array in rows.items()}
        for rows in inputs
        for row in range(len(rows["token_ids"]))
    ]
    transformer = facts_of(work)["architecture"] in TRANSFORMERS
    nncf.set_log_level("ERROR")
    quantized = nncf.quantize(
        from_onnx,
        nncf.Dataset(samples),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        subset_size=len(samples),
    )
    openvino.save_model(quantized, work / f"{name}.int8.xml", compress_to_fp16=False)


def build_fasttext(work: Path) -> dict[str, Any]:
    """Trains fastText with the settings, of a few that its users try, that are best on the validation texts."""
    import fasttext
    from fasttext_bag import simple_words, spaced_characters

    prepare = simple_words if facts_of(work)["spaces"] else spaced_characters
    examples = json.loads((work / "fasttext.json").read_text(encoding="utf-8"))
    for split in ("train", "validation"):
        lines = [f"__label__{label} {prepare(text)}" for text, label in examples[split]]
        (work / f"fasttext.{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tried, best = [], -1.0
    for epochs, rate, ngrams, characters in FASTTEXT_SETTINGS:
        shape = {"wordNgrams": ngrams, "minn": min(2, characters), "maxn": characters, "dim": 64}
        settings = {"epoch": epochs, "lr": rate, **shape}
        model = fasttext.train_supervised(str(work / "fasttext.train.txt"), thread=2, verbose=0, **settings)
        accuracy = 100 * model.test(str(work / "fasttext.validation.txt"))[1]
        tried.append({**settings, "validation_accuracy": round(accuracy, 2)})
        if accuracy > best:
            best = accuracy
            model.save_model(str(work / "fasttext.bin"))
    model = fasttext.load_model(str(work / "fasttext.bin"))
    model.quantize(str(work / "fasttext.train.txt"), cutoff=FASTTEXT_CUTOFF, retrain=True, qnorm=True, thread=2)
    model.save_model(str(work / "fasttext.ftz"))
    return {"tried": tried}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(json.dumps(build_fasttext(folder) if "fasttext" in sys.argv[2:] else build_engines(folder)))
