"""The report as one HTML page that opens offline: no script, and nothing is loaded. All text is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from textapp.artifact import REPORT_MARK
from textapp.metrics.names import FALLING
from textapp.metrics.size import size_words
from textapp.report import charts, markup
from textapp.report.facts import Facts, Variant, mapping
from textapp.report.findings import figure, findings, main_measure, ms_words, nonzero_share, pareto_front
from textapp.report.layers import KINDS, by_kind
from textapp.report.markup import Column
from textapp.report.page_run import run_section

STYLE = Path(__file__).with_name("style.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # a browser would refuse to load anything
_LEAST = 0.5  # percent of the time that an operator of the list has
_Row = tuple[int, Variant]  # its number in tables and plots

_READING = (
    "Quality: on all examples of the data that the table names. The interval is a bootstrap: of 100 choices of as many "
    "examples, the figure lies in it in 95. Variants answer the same examples, so a small difference between two may "
    "be real although their intervals overlap.",
    "Latency: one text at a time, from string to answer, with one thread unless --threads said otherwise; variants "
    "take turns. First answer: from the start of a process. Memory: the peak of a process with this model alone.",
    "Size: of the model's file, of the file as gzip packs it, and of its parameters those that are not zero. Some "
    "constants of a .tflite file, such as scales, count as parameters.",
)


def page(facts: Facts) -> str:
    """The page.

    Args:
        facts: of the runs.
    """
    names = markup.text(", ".join(run.name for run in facts.runs))
    sections = {
        "findings": ("What each step brought", _findings(facts)),
        "variants": ("Variants", _variants(facts)),
        "charts": ("Quality, speed and size", _charts(facts)),
        "time": ("Where the time goes", _times(facts)),
        "limit": ("Share of what the machine can do", _limits(facts)),
        **{f"run-{number}": (run.name, run_section(run)) for number, run in enumerate(facts.runs, 1)},
        "reading": ("How to read this", f"<ul>{''.join(f'<li>{markup.text(line)}</li>' for line in _READING)}</ul>"),
    }
    shown = [(key, markup.text(title), content) for key, (title, content) in sections.items() if content]
    links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, title, _ in shown)
    body = "".join(f'<section id="{key}"><h2>{title}</h2>{content}</section>' for key, title, content in shown)
    left_out = "".join(f'<p class="warn">Left out: {markup.text(reason)}</p>' for reason in facts.left_out)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{REPORT_MARK}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>Report: {names}</title>\n'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><header><h1>Report: {names}</h1>{_summary(facts)}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main>{left_out}{body}</main></body></html>\n'
    )


def _summary(facts: Facts) -> str:
    first = facts.runs[0].manifest
    task = " ".join(filter(None, (str(first.get("mode") or ""), str(first["task"]).replace("_", " "))))
    variants, runs = len(facts.variants), len(facts.runs)
    words = f"{task}: {runs} run{'s' * (runs != 1)}, {variants} variant{'s' * (variants != 1)}."
    machines = sorted({str(mapping(each.measured.get("machine")).get("cpu", "")) for each in facts.variants} - {""})
    words += f" Measured on {' and on '.join(machines)}." if machines else " Speed was not measured."
    return f"<p>{markup.text(words)}</p>"


def _findings(facts: Facts) -> str:
    items = [f"<li><b>{markup.text(each.subject)}</b>{markup.text(each.sentence())}</li>" for each in findings(facts)]
    return f'<ul class="findings">{"".join(items)}</ul>' if items else ""


# --- the table of variants -----------------------------------------------------------------------------------------


def _variants(facts: Facts) -> str:
    front = set(_front(facts)[0])
    columns = [
        Column("no.", lambda row: str(row[0])),
        *(Column(title, _quality_cell(name)) for name, title in facts.measures.items()),
        *(Column(f"{name} ms", _latency_cell("latency_ms", name)) for name in ("p50", "p90", "p99")),
        Column("tokens/s", _speed_cell("tokens_per_second")),
        Column("first token ms", _latency_cell("time_to_first_token_ms", "p50")),
        Column("first answer ms", _speed_cell("start_ms")),
        Column("memory MB", _speed_cell("peak_memory_mb")),
        Column("file", lambda row: markup.size(row[1].sizes.get("file_bytes"))),
        Column("gzip", lambda row: markup.size(row[1].sizes.get("gzip_bytes"))),
        Column("parameters", lambda row: markup.count(row[1].sizes.get("parameters"))),
        Column("not zero", _nonzero_cell),
        Column("quality on", lambda row: f'<span class="soft">{markup.bdi(row[1].data)}</span>' if row[1].data else ""),
    ]

    def head(row: _Row) -> str:
        return _named(row[1]) + (' <span class="mark">★ front</span>' if row[0] - 1 in front else "")

    caption = ("★: no other variant is both faster and better. " if front else "") + "Small print: 95 % interval."
    rows = list(enumerate(facts.variants, 1))
    return markup.table("variant", head, columns, rows, caption) + _measured_note(facts)


def _named(variant: Variant) -> str:
    return f"{markup.bdi(variant.run)}<br>{markup.text(variant.name)}"


def _quality_cell(name: str) -> Callable[[_Row], str]:
    def cell(row: _Row) -> str:
        value, ends = row[1].quality.get(name), row[1].intervals.get(name)
        if value is None:
            return ""
        small = f"<small>{figure(name, ends[0])} to {figure(name, ends[1])}</small>" if ends else ""
        return figure(name, value) + small

    return cell


def _latency_cell(name: str, rank: str) -> Callable[[_Row], str]:
    return lambda row: markup.number(mapping(row[1].speed.get(name)).get(rank), 3)


def _speed_cell(name: str) -> Callable[[_Row], str]:
    return lambda row: markup.number(row[1].speed.get(name), 0)


def _nonzero_cell(row: _Row) -> str:
    sizes = row[1].sizes
    return f"{sizes['nonzero']:,}<small>{100 * nonzero_share(row[1]):.1f} %</small>" if "nonzero" in sizes else ""


def _measured_note(facts: Facts) -> str:
    times = sorted({str(each.measured["measured"]) for each in facts.variants if "measured" in each.measured})
    missing = [each.title for each in facts.variants if each.p50 is None]
    parts = [f"Speed and memory were measured at {' and at '.join(times)}."] if times else []
    if len(times) > 1:
        parts.append(
            "The sentences above compare no speeds of different times: the machine may have been busier at one of them."
        )
    if missing:
        parts.append(f"Not measured: {', '.join(missing)}; textapp report --measure does it.")
    return markup.note(" ".join(parts))


# --- charts --------------------------------------------------------------------------------------------------------


def _front(facts: Facts) -> tuple[list[int], list[int], str | None]:
    """Indices of the variants on the Pareto front, of those in the plot, and the measure of their quality.

    Figures on different data are not compared: those on test are, else those on what most variants were measured on.
    """
    timed = [index for index, each in enumerate(facts.variants) if each.p50 and each.quality]
    by_data = Counter(facts.variants[index].data for index in timed)
    data = max(by_data, key=lambda name: (name.startswith("test") and by_data[name] > 1, by_data[name]), default="")
    timed = [index for index in timed if facts.variants[index].data == data]
    name = main_measure([facts.variants[index] for index in timed], facts.measures)
    if name is None or len(timed) < 2:
        return [], [], None
    sign = -1 if name in FALLING else 1
    points = [(facts.variants[index].p50 or 0.0, sign * facts.variants[index].quality[name]) for index in timed]
    return [timed[place] for place in pareto_front(points)], timed, name


def _charts(facts: Facts) -> str:
    figures = [*_pareto(facts), *_intervals(facts), *_sizes(facts)]
    drawn = "".join(f"<figure>{svg}<figcaption>{caption}</figcaption></figure>" for svg, caption in figures)
    return f'<div class="charts">{drawn}</div>' if drawn else ""


def _pareto(facts: Facts) -> list[tuple[str, str]]:
    front, timed, name = _front(facts)
    if name is None:
        return []
    points = [
        charts.Point(
            number=index + 1,
            name=_point_words(facts.variants[index], name, facts.measures[name]),
            x=facts.variants[index].p50 or 0.0,
            y=facts.variants[index].quality[name],
            area=facts.variants[index].sizes.get("file_bytes", 0),
            on_front=index in front,
        )
        for index in timed
    ]
    title = f"{facts.measures[name]} against latency of {len(points)} variants"
    svg = charts.scatter(points, "median ms of an answer", facts.measures[name], title, name in FALLING)
    better = "Up (lower values)" if name in FALLING else "Up"
    return [
        (
            svg,
            f"{better} and left is better. Numbers: see the table. Areas: size of the file. Dashed: the Pareto front. "
            f"Quality on {markup.bdi(facts.variants[timed[0]].data)}.",
        )
    ]


def _point_words(variant: Variant, name: str, title: str) -> str:
    size = variant.sizes.get("file_bytes")
    words = f"{variant.title}: {ms_words(variant.p50 or 0.0)}, {title} {figure(name, variant.quality[name])}"
    return f"{words}, {size_words(size)}" if size else words


def _intervals(facts: Facts) -> list[tuple[str, str]]:
    name = next((each for each in facts.measures if any(each in row.quality for row in facts.variants)), None)
    if name is None:
        return []
    rows = [
        (each.title, each.quality[name], each.intervals.get(name, ()))
        for each in facts.variants
        if name in each.quality
    ]
    svg = charts.interval_rows(rows, f"{facts.measures[name]} of each variant with its interval")
    return [(svg, f"{markup.text(facts.measures[name])}; lines: 95 % bootstrap interval")]


def _sizes(facts: Facts) -> list[tuple[str, str]]:
    rows = [
        (each.title, [_bar(kind, each.sizes[f"{kind}_bytes"]) for kind in ("file", "gzip")])
        for each in facts.variants
        if "file_bytes" in each.sizes
    ]
    key = '<span class="key file">the file</span>, <span class="key gzip">packed by gzip</span>; without the tokenizer'
    return [(charts.bars(rows, "Size of each variant"), key)] if rows else []


def _bar(kind: str, size: int) -> tuple[str, float, str]:
    return kind, size, size_words(size)


# --- the profile and the limit -------------------------------------------------------------------------------------


def _times(facts: Facts) -> str:
    profiled = [each for each in facts.variants if mapping(each.measured.get("profile")).get("operators")]
    reasons = {str(mapping(each.measured.get("profile")).get("reason", "")) for each in facts.variants} - {""}
    told = "".join(markup.note(reason) for reason in sorted(reasons))
    if not profiled:
        return told
    shares = [(each.title, by_kind(each.measured["profile"]["operators"])) for each in profiled]
    kinds = [kind for kind in KINDS if any(kind in row for _, row in shares)]
    columns = [Column(title, _share_cell(row)) for title, row in shares]
    table = markup.table("kind of layer", markup.text, columns, kinds, "Share of the time inside the model.")
    signatures = ", ".join(sorted({str(each.measured["profile"].get("signature")) for each in profiled}))
    note = (
        f"By LiteRT's own profile of the signature that most texts take ({signatures}). Text processing is not in it, "
        "and profiling slows down small operators more than large ones."
    )
    return table + markup.note(note) + "".join(map(_operators, profiled)) + told


def _share_cell(shares: dict[str, float]) -> Callable[[str], str]:
    return lambda kind: markup.heat(shares.get(kind, 0.0) / 100, f"{shares.get(kind, 0.0):.1f} %")


def _operators(variant: Variant) -> str:
    rows = [row for row in variant.measured["profile"]["operators"] if float(row[1]) >= _LEAST]
    columns = [Column("time", lambda row: f"{float(row[1]):.1f} %")]
    table = markup.table("operator", lambda row: markup.text(row[0]), columns, rows)
    return f"<details><summary>Operators of {markup.text(variant.title)}</summary>{table}</details>"


def _limits(facts: Facts) -> str:
    rows = [each for each in facts.variants if mapping(each.measured.get("limit")).get("share")]
    if not rows:
        return ""
    columns = [
        Column("weights read", lambda each: markup.size(each.measured["limit"].get("weight_bytes"))),
        Column("multiply-adds", lambda each: markup.count(each.measured["limit"].get("multiply_adds"))),
        Column("reading alone ms", _limit_cell("reading_ms")),
        Column("products alone ms", _limit_cell("products_ms")),
        Column("it takes ms", _limit_cell("taken_ms")),
        Column("share", lambda each: f"{100 * each.measured['limit']['share']:.0f} %"),
    ]
    note = (
        "For an answer; of a model that generates text, for a token. The limit is the larger of two times: in which "
        "one core reads the weights, and in which it does as many products in float32 by NumPy, both measured after "
        "the model. An int8 file may do its products faster than that. What it takes is the median of an answer, and "
        "the mean of a token, text processing included."
    )
    return markup.table("variant", _named, columns, rows) + markup.note(note)


def _limit_cell(name: str) -> Callable[[Variant], str]:
    return lambda each: markup.number(each.measured["limit"].get(name), 4)
