"""evaluate and predict on a run and on its bundle: the same answers, the JSON contract, bad rows and bad bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

TEXTS = [
    "The staff were rude and the soup was cold.",
    "手机很好用，拍照也清楚。",
    "",
    "🙂🙂",
    "مرحبا بالعالم",
    "Ｆｕｌｌ　ｗｉｄｔｈ",
]


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_and_its_bundle_say_the_same(tiny_run: Path, tiny_bundle: Path, run_textapp, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")
    rows = {}
    for path in (tiny_run, tiny_bundle):
        done = run_textapp("predict", path, "--input", file, "--workers", "2", "--json")
        assert done.code == 0, done.stderr
        rows[path] = lines(done.stdout)
        assert [row["input"] for row in rows[path]] == TEXTS
    for one, two in zip(*rows.values(), strict=True):
        assert set(one) == {"input", "label", "probability", "probabilities"}
        assert one["label"] == two["label"]
        assert one["probability"] == pytest.approx(two["probability"], abs=0.05)
        assert sum(two["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_single_texts_a_batch_and_stdin_agree(tiny_bundle: Path) -> None:
    import textapp

    predictor = textapp.load(tiny_bundle)
    assert predictor.batch(TEXTS) == [predictor(text) for text in TEXTS] == predictor.batch(TEXTS, workers=2)


def test_a_bad_row_has_its_error_and_the_rest_goes_on(tiny_bundle: Path, run_textapp, tmp_path: Path) -> None:
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text('{"text": "good food"}\n{broken\n{"other": 1}\n{"text": "bad food"}\n', encoding="utf-8")
    done = run_textapp("predict", tiny_bundle, "--input", file, "--output", out)
    rows = lines(out.read_text(encoding="utf-8"))
    assert ["error" in row for row in rows] == [False, True, True, False], done.stderr
    assert "in.jsonl:2" in rows[1]["error"] and done.stdout == ""
    assert f"answers: 4 in {out}" in done.stderr


def test_a_terminal_without_utf8_gets_escapes(tiny_bundle: Path, run_textapp) -> None:
    for options in ([], ["--json"]):
        done = run_textapp("predict", tiny_bundle, "好", *options, env={"PYTHONIOENCODING": "ascii"})
        assert done.code == 0 and "\\u597d" in done.stdout, done.stderr
    assert run_textapp("predict", tiny_bundle, "好").stdout.endswith("好\n")


def test_a_megabyte_of_text_is_answered(tiny_bundle: Path) -> None:
    import textapp

    assert textapp.load(tiny_bundle)("good food " * 100_000).label in ("positive", "negative")


def test_a_threshold_answers_unknown(tiny_bundle: Path, run_textapp) -> None:
    done = run_textapp("predict", tiny_bundle, "x", "--threshold", "1.0", "--json")
    assert lines(done.stdout)[0]["label"] == "unknown"


def test_evaluate_prints_one_object(tiny_bundle: Path, run_textapp) -> None:
    done = run_textapp("evaluate", tiny_bundle, "--json")
    assert done.code == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["examples"] == 600 and 60 < figures["accuracy"] <= 100 and 60 < figures["f1_macro"] <= 100
    assert set(figures["latency_ms"]) == {"p50", "p90", "p99"} and figures["data"].startswith("test")


def test_evaluate_keeps_plot_and_mistakes(tiny_run: Path, run_textapp, tmp_path: Path) -> None:
    data = tmp_path / "other.csv"
    data.write_text("mark,words\npositive,lovely room\nnegative,rude staff\n", encoding="utf-8")
    done = run_textapp(
        "evaluate", tiny_run, "--data", data, "--columns", "text=words,label=mark", "--output", tmp_path / "out"
    )
    assert done.code == 0, done.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["examples"] == 2
    assert (tmp_path / "out" / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "out" / "mistakes.tsv").read_text(encoding="utf-8").startswith("text\tlabel")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,label\nfine,excellent\n", ["'excellent'", "positive"]),
        ("text,label\n", ["other.csv"]),
        ("words,mark\na,positive\n", ["other.csv", "text"]),
    ],
    ids=["unknown label", "no rows", "no such column"],
)
def test_evaluate_names_what_is_wrong_with_a_file(
    tiny_bundle: Path, run_textapp, tmp_path: Path, content: str, expected: list[str]
) -> None:
    data = tmp_path / "other.csv"
    data.write_text(content, encoding="utf-8")
    done = run_textapp("evaluate", tiny_bundle, "--data", data)
    assert done.code == 1 and "Traceback" not in done.stderr
    for part in expected:
        assert part in done.stderr


def test_wrong_calls_end_with_2(tiny_bundle: Path, run_textapp) -> None:
    for arguments in (
        ["evaluate", tiny_bundle, "--columns", "txt=0", "--data", "x.csv"],
        ["evaluate", tiny_bundle, "--columns", "text=0"],
        ["predict", tiny_bundle, "a", "--columns", "text=0"],
        ["predict", tiny_bundle, "a", "--pair", "b"],
        ["predict", tiny_bundle, "a", "--input", "b"],
        ["predict", tiny_bundle, "a", "--pair", "b", "--pair", "c"],
        ["predict", tiny_bundle, "a", "--runtime", "abacus"],
        ["predict"],
        ["translate"],
    ):
        done = run_textapp(*arguments)
        assert done.code == 2 and done.stderr and "Traceback" not in done.stderr, (arguments, done)


def test_a_bundle_with_one_byte_changed_is_refused(tiny_bundle: Path, run_textapp, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, copy)
    content = bytearray((copy / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.tflite").write_bytes(content)
    done = run_textapp("predict", copy, "x")
    assert done.code == 1 and "model.tflite: changed" in done.stderr


def test_a_bundle_far_from_its_run_asks_for_data(tiny_bundle: Path, run_textapp, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, copy)
    done = run_textapp("evaluate", copy)
    assert done.code == 1 and "--data" in done.stderr


def test_golden_answers_are_those_of_the_bundle(tiny_bundle: Path) -> None:
    import textapp

    golden = json.loads((tiny_bundle / "golden.json").read_text(encoding="utf-8"))
    predictor = textapp.load(tiny_bundle)
    examples = golden["examples"] if isinstance(golden, dict) else golden
    assert len(examples) == 3
    for example in examples:
        assert predictor.tokenizer.ids(example["text"])
