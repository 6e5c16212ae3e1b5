from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from pages import LABELS, MEASURES, make_facts, make_variant

from textapp.report import charts
from textapp.report.facts import Facts, RunFacts
from textapp.report.layers import by_kind, kind_of
from textapp.report.page import page


class Reader(HTMLParser):
    """The tags of a page, what they name, and whether each is closed."""

    VOID = ("meta", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_is_whole_and_loads_nothing() -> None:
    read = Reader(page(make_facts()))
    assert read.open == []
    names = {tag for tag, _ in read.tags}
    assert not names & {"script", "link", "img", "iframe", "object"}
    addresses = [value for _, attributes in read.tags for name, value in attributes.items() if name in ("src", "href")]
    assert addresses and all(str(each).startswith("#") for each in addresses)
    assert "@import" not in read.text and "url(" not in read.text


def test_figures_on_other_data_are_not_in_the_plot() -> None:
    variants = [
        make_variant(f"litert {name}", p50=ms, accuracy=accuracy, data=data)
        for name, ms, accuracy, data in (
            ("a", 1.0, 81.0, "validation (a.tsv)"), ("b", 2.0, 82.0, "validation (a.tsv)"),
            ("c", 3.0, 70.0, "test (b.tsv)"), ("d", 4.0, 71.0, "test (b.tsv)"),
            ("e", 0.5, 99.0, "validation (a.tsv)"),
        )
    ]  # fmt: skip
    text = page(Facts([replace(make_facts().runs[0], variants=variants)], MEASURES))
    assert "accuracy against latency of 2 variants" in text and "Quality on <bdi>test (b.tsv)</bdi>" in text
    assert text.count("★ front") == 2


def test_labels_of_any_script_are_text() -> None:
    text = page(make_facts())
    assert "<script>" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert f"<bdi>{LABELS[2]}</bdi>" in text and LABELS[1] in text and 'dir="auto"' in text


def test_a_page_tells_the_figures() -> None:
    read = Reader(page(make_facts(left_out=["old: has no manifest.json"])))
    for words in (
        "1,234 examples", "88.00 to 92.00", "4.0 times smaller", "99.0 %", "Some CPU", "★ front", "75.0 %", "25 %",
        "convolutions", "Left out: old: has no manifest.json", "2026-01-02T03:04:05Z", "config.yaml", "好" * 300,
    ):  # fmt: skip
        assert words in read.text, words
    assert "Not measured" not in read.text and "log scale" in read.text


def test_headings_and_tables_are_marked_for_screen_readers() -> None:
    read = Reader(page(make_facts()))
    assert [tag for tag, _ in read.tags].count("h1") == 1
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in read.tags if tag == "th")
    assert all(
        attributes["role"] == "img" and attributes["aria-label"] for tag, attributes in read.tags if tag == "svg"
    )
    assert ("html", {"lang": "en"}) in read.tags


@pytest.mark.parametrize(
    ("measures", "quality"),
    [
        ({"exact_match": "EM", "f1": "F1"}, {"exact_match": 70.0, "f1": 80.0}),
        ({"exact_match": "EM", "bleu": "BLEU", "rougeL": "ROUGE-L"}, {"exact_match": 1.0, "bleu": 2.0}),
        ({"bleu": "BLEU", "chrf": "chrF", "perplexity": "perplexity"}, {"bleu": 30.0, "perplexity": 4.0}),
        ({"perplexity": "perplexity", "nats_per_character": "nats per character"}, {"perplexity": 4.0}),
    ],
)
def test_every_task_has_a_page(measures: dict[str, str], quality: dict[str, float]) -> None:
    variants = [make_variant(name, p50=p50, quality=quality, intervals={}) for name, p50 in (("a", 1.0), ("b", 3.0))]
    read = Reader(page(Facts([RunFacts("run", {"task": "any"}, "", variants=variants)], measures)))
    first = next(iter(measures.values()))
    assert read.open == [] and f"{first} of each variant" in str(read.tags) and "labels" not in read.text


def test_a_run_of_which_nothing_is_known_has_a_page() -> None:
    bare = make_variant("keras float32", sizes={}, quality={}, intervals={}, data="", speed={}, measured={})
    read = Reader(page(Facts([RunFacts("run", {"task": "any"}, "", variants=[bare])], MEASURES)))
    assert read.open == [] and "Speed was not measured." in read.text
    assert "Not measured: run · keras float32; textapp report --measure does it." in read.text


def test_many_labels_are_told_by_their_most_frequent_confusions() -> None:
    labels = [f"label {number}" for number in range(30)]
    counts = [[0] * 30 for _ in labels]
    counts[3][7], counts[4][4] = 5, 99
    run = RunFacts("run", {"task": "any", "labels": labels}, "", confusion=(counts, "test"), variants=[make_variant()])
    text = page(Facts([run], MEASURES))
    assert "Most frequent confusions" in text and "<td><bdi>label 7</bdi></td><td>5</td>" in text


def test_marks_of_an_axis_are_round() -> None:
    assert charts.ticks(81.2, 90.1) == [82.0, 84.0, 86.0, 88.0, 90.0]
    assert charts.ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert charts.ticks(5.0, 5.0) == [5.0]


def test_equal_points_are_drawn() -> None:
    point = charts.Point(1, "one", 2.0, 90.0, 0.0, True)
    assert charts.scatter([point, point], "ms", "accuracy", "two").count("<circle") == 2


def test_operators_belong_to_kinds_of_layers() -> None:
    names = {
        "Fully Connected (NC, QD8, F32, QC8W) GEMM": "matrix products",
        "CONV_2D": "convolutions",
        "GATHER": "lookups in tables",
        "Log (NC)": "numbers one by one, means and maxima",
        "LOG_SOFTMAX": "softmax",
        "EXPAND_DIMS": "copies, shapes and comparisons",
        "Convert (NC)": "between float and int8",
        "CUSTOM": "other",
    }
    assert {name: kind_of(name) for name in names} == names
    assert by_kind([("ADD", 10.0), ("Multiply (ND)", 30.0), ("CONV_2D", 60.0)]) == {
        "convolutions": 60.0, "numbers one by one, means and maxima": 40.0,
    }  # fmt: skip
