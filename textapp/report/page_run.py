"""The part of a report about one run: what was trained on what, how it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textapp.report import charts, markup
from textapp.report.facts import RunFacts, mapping, numbers
from textapp.report.findings import recipe_of
from textapp.report.markup import Column
from textapp.untrusted import NUMBER

MOST_CLASSES = 25  # of a confusion matrix; of more the most frequent confusions are listed
CONFUSIONS_SHOWN = 20


def run_section(run: RunFacts) -> str:
    """All about a run, without its heading.

    Args:
        run: its facts.
    """
    parts = [f'<p class="warn">{markup.text(note)}</p>' for note in run.notes]
    parts += [markup.facts_table(_about(run)), _curve(run), _confusion(run), _per_class(run), _samples(run)]
    parts += [f'<p><a href="{markup.text(name)}">{markup.text(name)}</a> (beside this page)</p>' for name in run.plots]
    if run.config:
        config = f'<pre tabindex="0">{markup.text(run.config)}</pre>'
        parts.append(f"<details><summary>config.yaml</summary>{config}</details>")
    return "".join(parts)


def _about(run: RunFacts) -> dict[str, str]:
    """What was trained on what: name -> HTML."""
    manifest, training = run.manifest, mapping(run.metrics.get("training"))
    parent, tokenizer = run.parent, mapping(manifest.get("tokenizer"))
    versions = ", ".join(f"{name} {version}" for name, version in mapping(manifest.get("versions")).items())
    return {
        "architecture": markup.text(manifest.get("architecture", "")),
        "parameters": markup.count(manifest.get("parameters")),
        "languages": markup.text(", ".join(manifest.get("languages", ()))),
        "labels": ", ".join(map(markup.bdi, manifest.get("labels", ()))),
        "train": ", ".join(filter(None, [markup.bdi(run.train_files), _examples(training.get("examples"))])),
        "validation": _split(run, "validation"),
        "test": _split(run, "test"),
        "training": markup.text(_duration(training)),
        "lengths in tokens": markup.text(", ".join(map(str, manifest.get("lengths", ())))),
        "tokenizer": markup.text(f"{tokenizer.get('kind', '')}, {tokenizer.get('vocabulary_size', '')} tokens"),
        "seed": markup.text(manifest.get("seed", "")),
        "made from": markup.bdi(parent["run"]) if parent.get("run") else "",
        "recipe": markup.text(recipe_of(run)),
        "versions": markup.text(versions),
    }


def _split(run: RunFacts, name: str) -> str:
    found = mapping(run.metrics.get(name))
    return f"{markup.bdi(found.get('data', ''))}, {_examples(found.get('examples'))}" if found else ""


def _examples(count: Any) -> str:
    return f"{count:,} examples" if isinstance(count, int) else ""


def _duration(training: Mapping[str, Any]) -> str:
    history, seconds = training.get("history"), training.get("seconds")
    epochs = len(history) if isinstance(history, list) else 0
    return f"{epochs} epochs, {seconds:,.0f} s" if NUMBER.fits(seconds) else ""


def _curve(run: RunFacts) -> str:
    """The figure that training watched, after each epoch."""
    history = mapping(run.metrics.get("training")).get("history")
    rows = [row for row in history if isinstance(row, Mapping)] if isinstance(history, list) else []
    names = [name for row in rows for name in row if name.startswith("validation_") and name != "validation_loss"]
    name = names[0] if names else "validation_loss"
    values = [(row["epoch"], row[name]) for row in map(numbers, rows) if {"epoch", name} <= row.keys()]
    if len(values) < 2:
        return ""
    words = name.replace("_", " ")
    drawn = charts.curve(values, "epoch", words, f"{words} after each epoch")
    return f"<h3>Training</h3><figure>{drawn}<figcaption>{markup.text(words)} after each epoch</figcaption></figure>"


def _confusion(run: RunFacts) -> str:
    if run.confusion is None:
        return ""
    counts, data = run.confusion
    labels = list(run.manifest.get("labels", ()))
    if len(labels) > MOST_CLASSES:
        return f"<h3>Most frequent confusions</h3>{_confusions(counts, labels)}"
    columns = [Column(label, _count_cell(counts, index)) for index, label in enumerate(labels)]
    caption = f"Rows: true label; columns: answer; colour: share of the row. On {data}."
    table = markup.table(
        "true label", lambda row: markup.bdi(labels[row]), columns, range(len(labels)), caption
    )  # fmt: skip
    return f"<h3>Confusion matrix</h3>{table}"


def _count_cell(counts: Sequence[Sequence[int]], column: int) -> Callable[[int], str]:
    return lambda row: markup.heat(counts[row][column] / max(1, sum(counts[row])), f"{counts[row][column]:,}")


def _confusions(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    rows = [
        (count, true, found)
        for true, row in enumerate(counts)
        for found, count in enumerate(row)
        if true != found and count
    ]
    columns = [Column("answer", lambda row: markup.bdi(labels[row[2]])), Column("times", lambda row: f"{row[0]:,}")]
    most = sorted(rows, reverse=True)[:CONFUSIONS_SHOWN]
    return markup.table("true label", lambda row: markup.bdi(labels[row[1]]), columns, most)


def _per_class(run: RunFacts) -> str:
    split = next((name for name in ("test", "validation") if mapping(run.metrics.get(name)).get("per_class")), None)
    if split is None:
        return ""
    rows = [(label, mapping(scores)) for label, scores in mapping(run.metrics[split]["per_class"]).items()]
    columns = [*map(_score_column, ("precision", "recall", "f1"))]
    columns.append(Column("examples", lambda row: markup.count(row[1].get("examples"))))
    caption = f"Of the run itself, measured at training, on {split}."
    return f"<h3>By label</h3>{markup.table('label', lambda row: markup.bdi(row[0]), columns, rows, caption)}"


def _score_column(name: str) -> Column:
    return Column(name, lambda row: markup.number(row[1].get(name), 2))


def _samples(run: RunFacts) -> str:
    if run.samples is None:
        return ""
    title, rows = run.samples
    return f"<h3>{markup.text(title)}</h3>{markup.text_table(rows, title)}"
