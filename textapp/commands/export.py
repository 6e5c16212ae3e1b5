"""`textapp export`: exports a run as a bundle for a target, if it passes verification."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from textapp.artifact import check_target, open_artifact
from textapp.catalog import load_config, recipe_of_manifest, task_class, task_from_manifest
from textapp.commands import tables
from textapp.commands.examples import own_splits
from textapp.errors import ArtifactError
from textapp.export.options import ExportOptions
from textapp.noise import import_tensorflow
from textapp.text.tokenizer import load_tokenizers

MIN_EXAMPLES = 200  # with fewer validation examples, training examples are added
# Percent of perplexity. The 1,592 tokens of the texts that textapp brings along tell what a published model of 135
# million weights loses to ±0.4 % (one standard error), and an export is verified on less than all of them.
# In int4 a model of English loses 4 % of English, and 9 % of these texts, of which a part is Chinese.
MAX_DROP_OF_BUILT_IN_TEXTS, MAX_DROP_OF_BUILT_IN_TEXTS_INT4 = 2.0, 15.0


def export(
    run: Path,
    options: ExportOptions,
    data_dir: Path | None = None,
    output: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Exports a run.

    Args:
        run: the run folder.
        options: of the export, such as target and number format.
        data_dir: base folder of relative data paths.
        output: the bundle's folder; None: `<run>/exports/<target>`.
        as_json: print JSON.

    Returns:
        The bundle.

    Raises:
        ArtifactError: this is no run, its data has labels that it was not trained on, or another process makes the same
            bundle.
        UsageError: `output` holds something else, or cannot be written.
        ExportError: the export does not pass; nothing is written, and an older bundle is unchanged.
    """
    artifact = open_artifact(run, "a run folder")
    if artifact.kind != "run":
        raise ArtifactError(f"{run}: found a bundle, expected a run folder: export the run that it came from")
    # Before minutes of work.
    check_target(output or run / "exports" / options.target, "bundle", own_place=output is None)
    with tables.stdout_for_json(as_json):
        import_tensorflow()
        from textapp.export.bundle import export_run

        config = load_config(run / "config.yaml")
        recipe = recipe_of_manifest(artifact.manifest)
        splits = own_splits(artifact, data_dir)
        records = splits.validation
        if len(records) < MIN_EXAMPLES and splits.train and not recipe.divides_texts(config):
            added = splits.train[: MIN_EXAMPLES - len(records)]
            tables.note(
                f"examples: {len(records)} of validation, and {len(added)} of train in addition, as these are few"
            )
            records = records + added
        if not records and splits.test:
            records = splits.test
            tables.note(f"examples: {len(records)} of test")
        elif not records:
            records = recipe.built_in_texts()
            told = MAX_DROP_OF_BUILT_IN_TEXTS_INT4 if options.quantize == "int4" else MAX_DROP_OF_BUILT_IN_TEXTS
            if options.max_drop is None:
                options = replace(options, max_drop=told)
            tables.note(
                f"examples: {len(records)} texts that textapp brings along, in two languages and too few to tell less "
                f"than {told:g} % of perplexity: name texts of yours as data.test for a closer look"
            )
        task = task_from_manifest(artifact.manifest, load_tokenizers(run))
        bundle = export_run(artifact, task, recipe.objective(), options, records, output)
    if options.golden is None and splits.leading:
        tables.note(
            "golden.json holds three texts of your data, word by word: --golden none leaves it out, "
            "--golden FILE takes texts of your own"
        )
    manifest = open_artifact(bundle).manifest
    shown = ("target", "quantize", "quality", "verification", "tried")
    result = {"path": str(bundle), **{key: manifest.get(key) for key in shown}}
    tables.emit(result, as_json, lambda console: _show(console, manifest, bundle))
    return bundle


def _show(console: Any, manifest: dict[str, Any], bundle: Path) -> None:
    if manifest.get("tried"):
        console.print(
            tables.variants_table(
                [{"variant": row["quantize"], **row} for row in manifest["tried"]],
                task_class(manifest).measures,
                title="tried",
            )
        )
        for row in manifest["tried"]:
            if "reason" in row:
                tables.line(console, f"{row['quantize']} failed: {row['reason']}")
    facts = {name: manifest.get(name) for name in ("target", "quantize", "quality", "verification")}
    console.print(tables.facts(None, facts))
    tables.line(console, f"bundle: {bundle}")
