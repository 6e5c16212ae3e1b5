"""What `textapp evaluate` measures of models that write: BLEU and chrF, ROUGE, perplexity; speed beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textapp.commands import tables
from textapp.decoding.options import DecodingOptions
from textapp.errors import ArtifactError, DataError
from textapp.generative import GenerativePredictor
from textapp.metrics.generation import perplexity
from textapp.metrics.speed import latency, ranks, timed
from textapp.metrics.translation import worst_translations

Record = Mapping[str, Any]
BLOCK = 64  # texts between two moves of the progress bar
MOST_PROMPTS = 200  # where the data have none of their own
SHOWN = 10


def measure(predictor: GenerativePredictor, records: Sequence[Record]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Quality over all records, and the speed of up to 200 answers, one by one.

    Args:
        predictor: translates or goes on.
        records: with targets; of texts without prompts the beginnings are asked to go on.

    Returns:
        The figures, and a row of strings and numbers for each output; of translations the worst first.

    Raises:
        DataError: every text is empty.
    """
    task = predictor.task
    queries = task.queries(records, MOST_PROMPTS)
    if not queries:
        raise DataError(f"none of {len(records)} examples has a text: expected texts to measure on")
    answers = []
    with tables.progress("evaluating", total=-(-len(queries) // BLOCK)) as advance:
        for start in range(0, len(queries), BLOCK):
            answers += predictor.batch(queries[start : start + BLOCK])
            advance()
    figures = {**task.score(queries, answers), **_if_served(lambda: _surprise(predictor, records))}
    figures |= speed(predictor, [query[task.input_field] for query in queries])
    if task.name == "translation":
        return figures, worst_translations(queries, answers, task.target_language, most=len(queries))
    return figures, [
        {"prompt": query["prompt"], "output": answer.output, "target": query.get("text", "")}
        for query, answer in zip(queries, answers, strict=True)
    ]


def speed(predictor: GenerativePredictor, texts: Sequence[str]) -> dict[str, Any]:
    """How long single answers take, string to answer.

    Returns:
        `latency_ms` and `time_to_first_token_ms`, the median and the 90th and 99th percentile of each, and
        `tokens_per_second`: all that the answers wrote, their ends too, over all that they took.
    """
    plain = DecodingOptions()

    def answer(text: str) -> int:
        """What the predictor does when it is called, with the number of tokens kept."""
        record = predictor.task.record(text)
        outputs = predictor.outputs(record, plain)
        predictor.task.answer(record, outputs)
        return int(outputs["num_tokens"])

    taken, tokens = timed(answer, texts)
    return {
        "latency_ms": ranks(taken),
        "tokens_per_second": round(1e9 * sum(tokens) / sum(taken), 2),
        **_if_served(lambda: {"time_to_first_token_ms": latency(lambda text: next(predictor.stream(text), ""), texts)}),
    }


def _surprise(predictor: GenerativePredictor, records: Sequence[Record]) -> dict[str, float]:
    """Perplexity and loss of the data's own texts under the model."""
    figures = perplexity(predictor.score_texts(records))
    wanted = ("perplexity", "loss") if predictor.task.name == "translation" else figures
    return {name: figures[name] for name in wanted}


def _if_served(measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures, or none and a note where the file has no signature for them."""
    try:
        return measured()
    except ArtifactError as error:
        tables.note(f"not measured: {error}")
        return {}


def show(console: Any, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the figures for a reader, then the worst translations or the first continuations."""
    single = {name: value for name, value in figures.items() if isinstance(value, (int, float, str))}
    several = figures.get("several_references")
    times = {name.replace("_ms", " ms"): figures.get(name) for name in ("latency_ms", "time_to_first_token_ms")}
    console.print(tables.facts(None, {**single, "several_references": several, **times}))
    columns = list(rows[0])
    cells = [
        [tables.shortened(cell) if isinstance(cell, str) else cell for cell in row.values()] for row in rows[:SHOWN]
    ]
    title = "the worst translations" if "source" in columns else "what it writes"
    console.print(tables.table(title, columns, cells, left=3))
