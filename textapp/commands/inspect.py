"""`textapp inspect`: describes a run or a bundle from its files; no model is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from textapp.artifact import Artifact, exports_of, open_artifact
from textapp.catalog import task_class
from textapp.commands import tables
from textapp.decoding.signatures import CACHE
from textapp.untrusted import OBJECT, checked, read_json

# Keys of the manifest that are shown unchanged.
FACTS = (
    "task", "mode", "role", "architecture", "languages", "labels", "multiple", "inputs", "features", "lengths",
    "generate_lengths", "tokenizer", "target", "quantize", "seed", "parent", "versions", "verification",
    "stride", "max_answer_tokens", "max_windows", "no_answer_threshold",
)  # fmt: skip
METRICS = "metrics.json"
TABLES = ("per_class", "groups")  # figures that are tables
OPS_SHOWN = 12


def inspect(path: Path, as_json: bool = False) -> dict[str, Any]:
    """Describes a run folder or a bundle, and prints it.

    Args:
        path: the folder.
        as_json: print JSON.

    Returns:
        `kind`, keys of its manifest, `parameters` (None if not recorded), `size_bytes` of each of its parts, `quality`,
        for a run `exports`, for a bundle `signatures` with their shapes and the `ops` of its .tflite file.

    Raises:
        ArtifactError: the folder is missing, incomplete or changed.
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
    found |= graph_facts(artifact)
    tables.emit(found, as_json, lambda console: _show(console, found))
    return found


def parameters(artifact: Artifact) -> int | None:
    """The number of parameters of the trained model; None if neither the artifact nor its run records it."""
    run = artifact.path if artifact.kind == "run" else artifact.parent
    training = _metrics(run).get("training") if run else None
    counted = training.get("parameters") if isinstance(training, Mapping) else None
    return artifact.manifest.get("parameters", counted)


def _metrics(run: Path) -> dict[str, Any]:
    """The figures of a training; empty if there are none.

    Raises:
        ArtifactError: the file is damaged.
    """
    file = run / METRICS
    return checked(read_json(file), OBJECT, str(file)) if file.exists() else {}


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file and folder at the top level, and of `all`."""
    parts: dict[str, int] = {}
    for item in sorted(folder.iterdir()):
        files = [item] if item.is_file() else [file for file in item.rglob("*") if file.is_file()]
        parts[item.name] = sum(file.stat().st_size for file in files)
    return {**parts, "all": sum(parts.values())}


def quality(artifact: Artifact) -> dict[str, Any] | None:
    """The figures of quality that were measured at training or export; None if there are none."""
    return _single(artifact.manifest.get("quality") or _metrics(artifact.path)) or None


def _single(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures without tables such as `TABLES` and confusion; groups of one level are kept."""
    single: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping) and name not in TABLES:
            value = {key: item for key, item in value.items() if isinstance(item, (int, float, str))}
        if isinstance(value, (int, float, str)) or (isinstance(value, dict) and value and name not in TABLES):
            single[name] = value
    return single


def exports(run: Path) -> list[dict[str, Any]]:
    """The bundles of a run in its folder."""
    bundles = []
    for bundle in exports_of(run):
        manifest = open_artifact(bundle).manifest
        bundles.append({
            "path": str(bundle),
            "target": manifest.get("target"),
            "quantize": manifest.get("quantize"),
            "size_bytes": sizes(bundle)["all"],
            "quality": _single(manifest.get("quality") or {}),
        })  # fmt: skip
    return bundles


def graph_facts(artifact: Artifact) -> dict[str, Any]:
    """`signatures` with the shapes of their inputs and outputs; for a .tflite file also types, and counts of `ops`.

    Read from a .tflite file if an interpreter is installed, else from the manifest.
    """
    from textapp.runners.flatfile import check_flatfile
    from textapp.runners.interpreter import available, open_interpreter

    model = artifact.path / "model.tflite"
    if not model.is_file() or not available():
        return {"signatures": _declared(artifact.manifest)} if artifact.manifest.get("signatures") else {}
    check_flatfile(model)
    interpreter = open_interpreter(model)
    signatures = {}
    for name in sorted(interpreter.get_signature_list(), key=lambda name: (len(name), name)):  # _16 before _128
        runner = interpreter.get_signature_runner(name)
        sides = {"inputs": runner.get_input_details(), "outputs": runner.get_output_details()}
        signatures[name] = {
            side: {tensor: {"shape": detail["shape"].tolist(), "dtype": detail["dtype"].__name__}
                   for tensor, detail in details.items()}
            for side, details in sides.items()
        }  # fmt: skip
    return {"signatures": signatures, "ops": _ops(interpreter)}


def _declared(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {side: {key: {"shape": shape} for key, shape in shapes.items()} for side, shapes in sides.items()}
        for name, sides in manifest["signatures"].items()
    }


def _ops(interpreter: Any) -> dict[str, int] | None:
    details = getattr(interpreter, "_get_ops_details", None)  # private API, not in every version
    if details is None:
        return None
    return dict(Counter(op["op_name"] for op in details()).most_common())


# --- printing ------------------------------------------------------------------------------------------------------


def _described(side: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names and shapes; the many tensors of a cache together: `cache of 16 tensors, 65536 numbers`."""
    single = [f"{name} {detail['shape']}" for name, detail in side.items() if not name.startswith(CACHE)]
    # A SavedModel's cache has an open number of rows: its size is that of one row.
    sizes = [prod(size or 1 for size in detail["shape"]) for name, detail in side.items() if name.startswith(CACHE)]
    return [*single, f"cache of {len(sizes)} tensors, {sum(sizes)} numbers"] if sizes else single


def _show(console: Any, found: Mapping[str, Any]) -> None:
    parts = {name: tables.size(count) for name, count in found["size_bytes"].items()}
    hidden = ("path", "size_bytes", "exports", "signatures", "ops")
    shown = {name.replace("_", " "): value for name, value in found.items() if name not in hidden}
    pairs = found.get("generate_lengths", ())
    shown |= {"generate lengths": [f"{new} tokens after {read}" for read, new in pairs]}
    console.print(tables.facts(found["path"], {**shown, "size": parts.pop("all"), "files": parts}))
    if found.get("exports"):
        rows = [{"variant": tables.variant(row), **row, **row["quality"]} for row in found["exports"]]
        console.print(tables.variants_table(rows, task_class(found).measures, title="exports"))
    if "signatures" in found:
        rows = [
            [name, *(", ".join(_described(side)) for side in sides.values())]
            for name, sides in found["signatures"].items()
        ]
        console.print(tables.table("signatures", ["name", "inputs", "outputs"], rows, left=3))
    if found.get("ops"):
        console.print(tables.facts(None, {"ops": dict(list(found["ops"].items())[:OPS_SHOWN])}))
