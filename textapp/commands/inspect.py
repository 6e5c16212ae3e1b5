"""`textapp inspect`: what a run or a bundle is, from its files alone; nothing is loaded that could be run."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

from textapp.artifact import MANIFEST, Artifact, open_artifact
from textapp.commands import tables

# Of the manifest, what is told as it stands there.
FACTS = (
    "task", "architecture", "languages", "labels", "multiple", "inputs", "features", "lengths", "tokenizer", "target",
    "quantize", "seed", "parent", "versions", "verification",
)  # fmt: skip
NOT_WEIGHTS = ("optimizer", "seed_generator")  # of what model.keras keeps
OPS_SHOWN = 12


def inspect(path: Path, as_json: bool = False) -> dict[str, Any]:
    """Tells what a run folder or a bundle is, and prints it.

    Args:
        path: the folder.
        as_json: print JSON.

    Returns:
        `kind`, the facts of its manifest, `parameters` (None where no file tells), `size_bytes` of each of its parts,
        `quality`, a run's `exports`, a bundle's `signatures` with their shapes and the `ops` of its .tflite file.

    Raises:
        ArtifactError: the folder is missing, cut off or changed.
    """
    artifact = open_artifact(path)
    found: dict[str, Any] = {
        "path": str(path),
        "kind": artifact.kind,
        **{name: artifact.manifest[name] for name in FACTS if artifact.manifest.get(name) is not None},
        "parameters": parameters(artifact),
        "size_bytes": sizes(path),
        "quality": quality(artifact),
    }
    if artifact.kind == "run":
        found["exports"] = exports(path)
    model = path / "model.tflite"
    if model.is_file():
        found |= tflite_facts(model)
    tables.emit(found, as_json, lambda console: _show(console, found))
    return found


def parameters(artifact: Artifact) -> int | None:
    """How many weights the model has: told by the manifest, else counted in the run's model.keras."""
    if "parameters" in artifact.manifest:
        return artifact.manifest["parameters"]
    run = artifact.path if artifact.kind == "run" else artifact.parent
    if run is None or not (run / "model.keras").is_file() or util.find_spec("h5py") is None:
        return None
    import h5py

    with zipfile.ZipFile(run / "model.keras") as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    counts = []

    def count(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not any(word in name for word in NOT_WEIGHTS):
            counts.append(int(item.size))

    with h5py.File(weights, "r") as file:
        file.visititems(count)
    return sum(counts)


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file and folder at the top, and of `all` together."""
    parts: dict[str, int] = {}
    for item in sorted(folder.iterdir()):
        files = [item] if item.is_file() else [file for file in item.rglob("*") if file.is_file()]
        parts[item.name] = sum(file.stat().st_size for file in files)
    return {**parts, "all": sum(parts.values())}


def quality(artifact: Artifact) -> dict[str, Any] | None:
    """The single figures that were measured when it was made; None where there are none."""
    found = artifact.manifest.get("quality")
    metrics = artifact.path / "metrics.json"
    if found is None and metrics.is_file():
        found = json.loads(metrics.read_text(encoding="utf-8"))
    return _single(found) if found else None


def _single(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures without tables such as per_class and confusion; what is grouped one level deep stays grouped."""
    kept: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping) and name != "per_class":
            value = {key: item for key, item in value.items() if isinstance(item, (int, float, str))}
        if isinstance(value, (int, float, str)) or (isinstance(value, dict) and value and name != "per_class"):
            kept[name] = value
    return kept


def exports(run: Path) -> list[dict[str, Any]]:
    """The bundles that a run has made."""
    bundles = []
    for file in sorted((run / "exports").glob(f"*/{MANIFEST}")):
        manifest = open_artifact(file.parent).manifest
        bundles.append({
            "path": str(file.parent),
            "target": manifest.get("target"),
            "quantize": manifest.get("quantize"),
            "size_bytes": sizes(file.parent)["all"],
            "quality": _single(manifest.get("quality") or {}),
        })  # fmt: skip
    return bundles


def tflite_facts(model: Path) -> dict[str, Any]:
    """`signatures`: inputs and outputs with shape and type; `ops`: how often each stands in the first graph.

    Without an interpreter both are left out: the manifest still names the signatures.
    """
    from textapp.edge.interpreter import available, open_interpreter

    if not available():
        return {}
    interpreter = open_interpreter(model)
    signatures = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        sides = {"inputs": runner.get_input_details(), "outputs": runner.get_output_details()}
        signatures[name] = {
            side: {tensor: {"shape": detail["shape"].tolist(), "dtype": detail["dtype"].__name__}
                   for tensor, detail in details.items()}
            for side, details in sides.items()
        }  # fmt: skip
    return {"signatures": signatures, "ops": _ops(interpreter)}


def _ops(interpreter: Any) -> dict[str, int] | None:
    details = getattr(interpreter, "_get_ops_details", None)  # no public way; not in every version
    if details is None:
        return None
    interpreter.allocate_tensors()
    return dict(Counter(op["op_name"] for op in details()).most_common())


# --- printing ------------------------------------------------------------------------------------------------------


def _show(console: Any, found: Mapping[str, Any]) -> None:
    parts = {name: tables.size(count) for name, count in found["size_bytes"].items()}
    hidden = ("path", "size_bytes", "exports", "signatures", "ops")
    plain = {name.replace("_", " "): value for name, value in found.items() if name not in hidden}
    console.print(tables.facts(found["path"], {**plain, "size": parts.pop("all"), "files": parts}))
    if found.get("exports"):
        rows = [{"variant": f"{row['target']} {row['quantize']}", **row, **row["quality"]} for row in found["exports"]]
        console.print(tables.variants_table(rows, title="exports"))
    if "signatures" in found:
        rows = [
            [name, *(", ".join(f"{key} {detail['shape']}" for key, detail in side.items()) for side in sides.values())]
            for name, sides in found["signatures"].items()
        ]
        console.print(tables.table("signatures", ["name", "inputs", "outputs"], rows, left=3))
    if found.get("ops"):
        console.print(tables.facts(None, {"ops": dict(list(found["ops"].items())[:OPS_SHOWN])}))
