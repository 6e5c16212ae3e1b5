"""`textapp export`: a run as a bundle for one target, verified before it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textapp.artifact import open_artifact
from textapp.commands import tables
from textapp.config import data_directory, load_config
from textapp.errors import ArtifactError
from textapp.noise import import_tensorflow
from textapp.records.loading import load_splits

LEAST_EXAMPLES = 200  # fewer in validation: training examples stand in


def export(
    run: Path,
    target: str = "litert",
    quantize: str = "auto",
    max_drop: float = 0.5,
    text_signature: bool = False,
    data_dir: Path | None = None,
    output: Path | None = None,
    batch_size: int = 1,
    as_json: bool = False,
) -> Path:
    """Exports a run.

    Args:
        run: the run folder.
        target: `litert`, `tflite-runtime` or `saved_model`.
        quantize: `none`, `float16`, `dynamic`, `int8`, or `auto`, which measures them and picks.
        max_drop: what the export may lose against the Keras model: points of accuracy or of BLEU, for a language model
            percent of perplexity.
        text_signature: for `saved_model` also a signature that takes strings.
        data_dir: where the run's relative data paths start.
        output: the bundle's folder; None: `<run>/exports/<target>`.
        batch_size: of a .tflite file that writes: also signatures for so many texts at once.
        as_json: print JSON.

    Returns:
        The bundle.

    Raises:
        ExportError: the export does not answer as the model does; nothing is written, an older bundle stays.
    """
    artifact = open_artifact(run)
    if artifact.kind != "run":
        raise ArtifactError(f"{run}: is a bundle already; export takes the run folder it came from")
    with tables.stdout_for_json(as_json):
        import_tensorflow()
        from textapp.export.bundle import export_run

        config = load_config(run / "config.yaml")
        splits = load_splits(config, data_directory(data_dir, artifact.manifest.get("data_dir")))
        records = splits.validation
        if len(records) < LEAST_EXAMPLES and not config.running_text:  # of running text a record gives many examples
            added = splits.train[: LEAST_EXAMPLES - len(records)]
            tables.note(f"examples: {len(records)} of validation, and {len(added)} of train, as these are few")
            records = records + added
        bundle = export_run(artifact, target, quantize, max_drop, records, text_signature, output, batch_size)
    manifest = open_artifact(bundle).manifest
    shown = ("target", "quantize", "quality", "verification", "tried")
    result = {"path": str(bundle), **{key: manifest.get(key) for key in shown}}
    tables.emit(result, as_json, lambda console: _show(console, manifest, bundle))
    return bundle


def _show(console: Any, manifest: dict[str, Any], bundle: Path) -> None:
    if manifest.get("tried"):
        console.print(
            tables.variants_table([{"variant": row["quantize"], **row} for row in manifest["tried"]], title="tried")
        )
        for row in manifest["tried"]:
            if "reason" in row:
                console.print(f"{row['quantize']} was refused: {row['reason']}", markup=False, highlight=False)
    facts = {name: manifest.get(name) for name in ("target", "quantize", "quality", "verification")}
    console.print(tables.facts(None, facts))
    console.print(f"bundle: {bundle}", highlight=False)
