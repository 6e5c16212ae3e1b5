"""`textapp predict`: with a bundle by the command line, and with a chain in the place of what a folder holds."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from toys import InPlace, Letters, random_chain

from textapp.artifact import write_manifest
from textapp.commands import predict as module
from textapp.commands.measure import reply
from textapp.commands.predict import predict
from textapp.errors import DataError, UsageError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.translation import TranslationTask

MANIFEST = {"task": "translation", "columns": {"source": "source", "target": "target"}, "header": "auto"}
MANIFEST |= {"pattern": None, "multiple": False}


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> GenerativePredictor:
    task = TranslationTask(Letters(), Letters(), [4, 8], [(4, 6), (8, 10)])
    chain = random_chain(2, Letters.vocabulary_size, InPlace, score=True)
    predictor = GenerativePredictor(task, chain, MANIFEST, Path("bundle"))

    def load(path: Path, overflow: str | None = None, **_) -> GenerativePredictor:
        task.overflow = overflow or "truncate"
        return predictor

    monkeypatch.setattr(module, "load", load)
    return predictor


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_of_json_an_input(predictor, capsys) -> None:
    assert predict(Path("bundle"), ["cat", "dog"], as_json=True) == 0
    rows = lines(capsys.readouterr().out)
    assert [set(row) for row in rows] == [{"input", "output", "score"}] * 2
    assert [row["output"] for row in rows] == [predictor("cat").output, predictor("dog").output]


def test_every_option_reaches_the_search(predictor, capsys) -> None:
    given = {
        "beam_size": 4, "length_penalty": 0.5, "num_hypotheses": 2, "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 2, "min_new_tokens": 2, "max_new_tokens": 5, "stop": ("q",),
    }  # fmt: skip
    predict(Path("bundle"), ["cat"], as_json=True, decoding=given)
    (row,) = lines(capsys.readouterr().out)
    assert set(row) == {"input", "output", "score", "outputs"} and len(row["outputs"]) == 2
    assert row["output"] == predictor("cat", **given).output


def test_for_readers_there_is_the_text_alone(predictor, capsys) -> None:
    predict(Path("bundle"), ["cat"])
    assert capsys.readouterr().out == predictor("cat").output + "\n"
    predict(Path("bundle"), ["cat"], decoding={"beam_size": 3, "num_hypotheses": 2})
    scores = [float(line.split("\t")[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(scores) == 2


def test_a_stream_prints_the_same_text(predictor, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("cat\ndog\n"))
    assert predict(Path("bundle"), stream=True) == 0
    assert capsys.readouterr().out.splitlines() == [predictor("cat").output, predictor("dog").output]


def test_an_answer_that_is_cut_off_before_it_has_its_form_is_an_error(predictor, capsys, tmp_path) -> None:
    pytest.importorskip("llguidance")
    file = tmp_path / "in.txt"
    file.write_text("cat\n \nhe is ill\n", encoding="utf-8")
    given = {"decoding": {"regex": "[a-z]{8}"}}  # six tokens for short texts, ten for longer ones
    assert predict(Path("bundle"), input_file=file, as_json=True, **given) == 2
    first, second, third = lines(capsys.readouterr().out)
    assert first == {"input": "cat", "error": first["error"]} and "cut off after 6 tokens" in first["error"]
    assert "a blank text" in second["error"]
    assert len(third["output"]) == 8 and third["output"].isalpha()
    assert predict(Path("bundle"), ["cat", "he is ill"], stream=True, **given) == 1
    begun, error, whole = capsys.readouterr().out.splitlines()
    assert len(begun) == 6 and error == f"error: {first['error']}" and whole == third["output"]


def test_bad_rows_have_their_error_and_the_rest_goes_on(predictor, capsys, tmp_path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"source": "cat"}\n{broken\n{"source": "far too long a text"}\n', encoding="utf-8")
    assert predict(Path("bundle"), input_file=file, as_json=True, options={"overflow": "error"}) == 2
    rows = lines(capsys.readouterr().out)
    assert ["error" in row for row in rows] == [False, True, True]
    assert "in.jsonl:2" in rows[1]["error"] and "at most 8" in rows[2]["error"]
    assert rows[2]["input"] == "far too long a text"
    assert predict(Path("bundle"), input_file=file, stream=True, options={"overflow": "error"}) == 2
    assert capsys.readouterr().out.splitlines()[2].startswith("error: ")


def test_an_output_file_appears_when_it_is_whole(predictor, tmp_path) -> None:
    predict(Path("bundle"), ["cat"], output=tmp_path / "out.jsonl")
    assert lines((tmp_path / "out.jsonl").read_text(encoding="utf-8"))[0]["input"] == "cat"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stream": True, "as_json": True}, "--stream prints a text while it is generated"),
        ({"stream": True, "workers": 2}, "--stream prints a text while it is generated"),
        ({"stream": True, "decoding": {"beam_size": 2}}, "stream with beam_size 1"),
        ({"pair": ["dog"]}, "takes one text"),
        ({"decoding": {"temperature": -1.0}}, "temperature: found -1.0"),
        ({"decoding": {"beam_size": 99}}, "larger than the vocabulary"),
        ({"encoding": "gbk"}, "--encoding gbk: found TEXT arguments"),
        ({"texts": (), "input_file": Path("-")}, "--input -: .* leave --input out to read standard input"),
    ],
)
def test_wrong_calls_are_told(predictor, settings, message) -> None:
    with pytest.raises(UsageError, match=message):
        predict(Path("bundle"), **{"texts": ["cat"], **settings})


def test_a_classifier_takes_no_options_of_writing(tiny_bundle: Path, run_textapp) -> None:
    done = run_textapp("predict", tiny_bundle, "fine", "--beam-size", "4", "--stream")
    assert done.code == 2 and "--beam-size, --stream: only for models that generate text" in done.stderr
    done = run_textapp("predict", tiny_bundle, "fine", "--overflow", "error")
    assert done.code == 2 and "--overflow is not for a model of classification, which takes --threshold" in done.stderr
    done = run_textapp("predict", tiny_bundle, "fine", "--temperature", "-1")
    assert done.code == 2 and "error: --temperature: found -1.0" in done.stderr


def test_what_benchmark_asks_of_its_child(predictor, tmp_path) -> None:
    records = [{"source": "cat", "target": "dog"}, {"source": "a", "target": "b"}]
    file = tmp_path / "records.json"
    file.write_text(json.dumps(records))
    assert reply(predictor, {"do": "answer", "record": records[0]}) == {}
    assert reply(predictor, {"do": "queries", "file": str(file)}) == {"records": records}
    timed = reply(predictor, {"do": "time", "records": records})
    assert len(timed["ms"]) == 2 and all(1 <= count <= 10 for count in timed["tokens"])
    assert reply(predictor, {"do": "first_token", "records": records})["time_to_first_token_ms"]["p50"] > 0
    quality = reply(predictor, {"do": "quality", "file": str(file)})
    assert quality["examples"] == 2 and 0 <= quality["bleu"] <= 100 and quality["perplexity"] > 1


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)), encoding="ascii"))


def test_a_line_of_stdin_an_answer_and_a_broken_one_its_error(predictor, capsys, monkeypatch) -> None:
    stdin(monkeypatch, b"\xef\xbb\xbfcat\r\n\r\ndo\xffg\ndog\n")
    assert predict(Path("bundle"), as_json=True) == 1
    rows = lines(capsys.readouterr().out)
    assert [row["input"] for row in rows] == ["cat", "", "do?g", "dog"]
    assert rows[1]["output"] == "" and "stdin:3: byte 3 of the line is 0xff, which is not UTF-8" in rows[2]["error"]
    stdin(monkeypatch, b"")
    assert predict(Path("bundle")) == 0 and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"cat\rdog\rcow\r", ["cat", "dog", "cow"]),
        (b"cat\r\ndog\r\ncow", ["cat", "dog", "cow"]),
        (b"cat\rdog\ncow\n", ["cat\rdog", "cow"]),  # as in a file
        ("cat\u2028dog\x0b\x85\ncow\n".encode(), ["cat\u2028dog\x0b\x85", "cow"]),
    ],
)
def test_lines_of_stdin_end_as_those_of_a_file(predictor, capsys, monkeypatch, tmp_path, content, texts) -> None:
    stdin(monkeypatch, content)
    predict(Path("bundle"), as_json=True)
    (tmp_path / "lines.txt").write_bytes(content)
    predict(Path("bundle"), input_file=tmp_path / "lines.txt", as_json=True)
    rows = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert [json.loads(row)["input"] for row in rows] == [*texts, *texts]


def test_one_bad_input_is_counted_as_one(predictor, capsys, monkeypatch) -> None:
    stdin(monkeypatch, b"cat\n\xff\n")
    assert predict(Path("bundle")) == 1
    assert "warning: 1 input had no answer: see its error" in capsys.readouterr().err


def test_a_call_without_any_answer_has_failed(predictor, capsys, monkeypatch, tmp_path) -> None:
    stdin(monkeypatch, b"\xff\n")
    with pytest.raises(DataError, match=r"no input had an answer \(1 given\): see its error"):
        predict(Path("bundle"), as_json=True)
    assert "stdin:1: byte 1 of the line is 0xff" in lines(capsys.readouterr().out)[0]["error"]
    stdin(monkeypatch, b"\xff\n\xfe\n")
    with pytest.raises(DataError, match=r"no input had an answer \(2 given\): see their errors"):
        predict(Path("bundle"), output=tmp_path / "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    stdin(monkeypatch, b"\xff\n")
    with pytest.raises(DataError, match="no input had an answer"):
        predict(Path("bundle"), stream=True)


def test_a_broken_byte_as_an_argument_has_its_error(predictor, capsys) -> None:
    assert predict(Path("bundle"), ["cat", "d\udcffg"], as_json=True) == 1
    good, bad = lines(capsys.readouterr().out)
    assert good["input"] == "cat" and bad["input"] == "d?g"
    message = "byte 2 of the text is 0xff, which is not UTF-8: give it in UTF-8"
    assert bad["error"] == f"TEXT:2: {message}"


def test_an_argument_in_utf8_is_read_though_the_locale_is_another(predictor, capsys) -> None:
    predict(
        Path("bundle"), [os.fsdecode("好".encode()), "好".encode().decode("ascii", "surrogateescape")], as_json=True
    )
    assert [row["input"] for row in lines(capsys.readouterr().out)] == ["好", "好"]


def test_on_a_terminal_an_answer_cannot_steer_it(predictor, capsys, monkeypatch) -> None:
    """The text echoes in JSON; on a terminal its control characters are escaped, in a pipe they are not."""
    text = "a\x1b[2J\u202eb\x9bc"
    predict(Path("bundle"), [text], as_json=True)
    piped = capsys.readouterr().out
    assert "\u202e" in piped and "\x9b" in piped and lines(piped)[0]["input"] == text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    predict(Path("bundle"), [text], as_json=True)
    shown = capsys.readouterr().out
    assert "a\\u001b[2J\\u202eb\\u009bc" in shown and lines(shown)[0]["input"] == text
    answer = type(predictor("cat"))("cat", "\x1b]0;title\x07\r\n", None)
    assert module.answer_line(answer, False, sys.stdout) == "\\u001b]0;title\\u0007\\u000d\n"


def test_a_closed_stdin_is_told(predictor, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="found no TEXT and a closed stdin"):
        predict(Path("bundle"))


def test_a_pipe_is_written_to_and_not_replaced(predictor, tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    predict(Path("bundle"), ["cat"], output=pipe)
    assert pipe.is_fifo() and json.loads(os.read(reader, 9999))["input"] == "cat"
    os.close(reader)


def test_an_output_that_cannot_be_written_is_told(predictor, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"out.jsonl: .*file is no folder that can be written"):
        predict(Path("bundle"), ["cat"], output=tmp_path / "file" / "out.jsonl")
    with pytest.raises(UsageError, match="is a folder, expected the name of a file"):
        predict(Path("bundle"), ["cat"], output=tmp_path)


@pytest.mark.parametrize("how", ["same", "other path", "soft link", "link as input", "hard link"])
def test_the_input_is_never_overwritten(predictor, tmp_path, how: str) -> None:
    given = output = tmp_path / "texts.tsv"
    given.write_text("source\tlabel\ncat\thours of work\n", encoding="utf-8")
    match how:
        case "other path":
            output = tmp_path / ".." / tmp_path.name / "texts.tsv"
        case "soft link":
            (output := tmp_path / "link").symlink_to(given)
        case "link as input":
            (given := tmp_path / "link").symlink_to(output)
        case "hard link":
            (output := tmp_path / "link").hardlink_to(given)
    with pytest.raises(UsageError, match="is the same file as --input .*: use another name"):
        predict(Path("bundle"), input_file=given, output=output)
    assert given.read_text(encoding="utf-8") == "source\tlabel\ncat\thours of work\n"


@pytest.mark.parametrize("output", [False, True])
def test_a_missing_input_is_told_without_an_option_that_this_command_has_not(tmp_path, output: bool) -> None:
    """Before the model is loaded, whose folder does not exist either."""
    with pytest.raises(DataError, match=r"none\.tsv: no such file; expected a file or a glob such as data/\*\.tsv$"):
        predict(tmp_path / "model", input_file=tmp_path / "none.tsv", output=tmp_path / "o.jsonl" if output else None)


def test_the_file_of_standard_input_is_not_overwritten(predictor, tmp_path, monkeypatch) -> None:
    (tmp_path / "texts").write_text("cat\n")
    with (tmp_path / "texts").open() as file:
        monkeypatch.setattr(module.sys, "stdin", file)
        with pytest.raises(UsageError, match="is the file that standard input is read from"):
            predict(Path("bundle"), output=tmp_path / "texts")
    assert (tmp_path / "texts").read_text() == "cat\n"


def test_a_file_of_a_model_is_not_overwritten(predictor, tmp_path) -> None:
    for name in ("run/manifest.json", "run/tokenizer/settings.json", "run/checkpoints/last.npz", "run/answers.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = ["tokenizer/settings.json"]
    write_manifest(tmp_path / "run", {"kind": "run", "task": "translation"}, files)
    for name in ("manifest.json", *files, "checkpoints/last.npz"):
        with pytest.raises(UsageError, match=f"{name}: is a file of {tmp_path / 'run'}, which would be damaged"):
            predict(Path("bundle"), ["cat"], output=tmp_path / "run" / name)
    (tmp_path / "hard").hardlink_to(tmp_path / "run" / "manifest.json")
    with pytest.raises(UsageError, match="which would be damaged"):
        predict(tmp_path / "run", ["cat"], output=tmp_path / "hard")
    (tmp_path / "run" / "answers.jsonl.partial").write_text("mine")
    predict(Path("bundle"), ["cat"], output=tmp_path / "run" / "answers.jsonl")  # an older file of answers is replaced
    assert lines((tmp_path / "run" / "answers.jsonl").read_text())[0]["input"] == "cat"
    assert (tmp_path / "run" / "answers.jsonl.partial").read_text() == "mine"


# --- with a bundle -------------------------------------------------------------------------------------------------

TEXTS = [
    "The staff were rude and the soup was cold.",
    "手机很好用，拍照也清楚。",
    "",
    "🙂🙂",
    "مرحبا بالعالم",
    "Ｆｕｌｌ　ｗｉｄｔｈ",
]


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


def test_labels_are_left_out_of_lines_of_stdin_as_of_a_file(tiny_bundle: Path, capsys, monkeypatch, tmp_path) -> None:
    content = b"__label__positive a good film\na good film __label__a,__label__b\n__label__positive,good\na good film\n"
    stdin(monkeypatch, content)
    assert predict(tiny_bundle, as_json=True) == 1
    (tmp_path / "lines.txt").write_bytes(content)
    assert predict(tiny_bundle, input_file=tmp_path / "lines.txt", as_json=True) == 1
    rows = lines(capsys.readouterr().out)
    texts = ["a good film", "a good film", "__label__positive,good", "a good film"]
    assert [row["input"] for row in rows] == [*texts, *texts]
    assert rows[2]["error"].startswith("stdin:3: found the label 'positive,good', which seems to be a label and a text")
    assert rows[0]["probability"] == rows[1]["probability"] == rows[3]["probability"] == rows[4]["probability"]


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


def test_a_bundle_with_one_byte_changed_is_refused(tiny_bundle: Path, run_textapp, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, copy)
    content = bytearray((copy / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.tflite").write_bytes(content)
    done = run_textapp("predict", copy, "x")
    assert done.code == 1 and "model.tflite: changed" in done.stderr


def test_golden_answers_are_those_of_the_bundle(tiny_bundle: Path) -> None:
    import textapp

    golden = json.loads((tiny_bundle / "golden.json").read_text(encoding="utf-8"))
    predictor = textapp.load(tiny_bundle)
    examples = golden["examples"] if isinstance(golden, dict) else golden
    assert len(examples) == 3
    for example in examples:
        assert predictor.tokenizer.ids(example["text"])


# --- values of fields by name ----------------------------------------------------------------------------------------


class Echo:
    """A task of two fields, whose answer is what it was asked."""

    name, fields, optional, tokenizer = "echo", ("question", "context"), (), Letters()

    def record(self, question: str, context: str) -> dict:
        return {"question": question, "context": context}

    def check(self, record: dict) -> None:
        pass


class EchoPredictor:
    task, manifest, streams, block = Echo(), MANIFEST, False, 8

    def attempts(self, records: list[dict], workers: int) -> list[Said]:
        return [Said(**record) for record in records]


@dataclass(frozen=True)
class Said:
    question: str
    context: str


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load", lambda path, **_: EchoPredictor())


def test_fields_are_given_by_name(echo, capsys, tmp_path) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("\ufeffAda\r\n wrote it.\n", encoding="utf-8")
    other.write_text("城市\n", encoding="utf-8")
    assert predict(Path("bundle"), named={"question": ["who", "when"], "context": [one]}, as_json=True) == 0
    context = one.read_bytes().decode("utf-8-sig")
    assert lines(capsys.readouterr().out) == [{"question": word, "context": context} for word in ("who", "when")]
    predict(Path("bundle"), named={"question": ["who", "where"], "context": [one, other]}, as_json=True)
    rows = lines(capsys.readouterr().out)
    assert [(row["question"], row["context"]) for row in rows] == [("who", context), ("where", "城市\n")]
    predict(Path("bundle"), named={"question": ["who"], "context": [one, other]}, as_json=True)
    assert [row["question"] for row in lines(capsys.readouterr().out)] == ["who", "who"]
    other.write_bytes("今天天气很好。".encode("gbk"))  # the encoding is found, as `ask` does
    predict(Path("bundle"), named={"question": ["who"], "context": [other]}, as_json=True)
    assert lines(capsys.readouterr().out)[0]["context"] == "今天天气很好。"


def test_fields_by_name_that_do_not_fit(echo, predictor, monkeypatch, tmp_path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="--question: bundle is a model of translation, which takes source"):
        predict(Path("bundle"), named={"question": ["who"], "context": []})
    monkeypatch.setattr(module, "load", lambda path, **_: EchoPredictor())
    with pytest.raises(UsageError, match="--context: bundle is a model of echo, which takes question and context"):
        predict(Path("bundle"), named={"context": [file]})
    with pytest.raises(UsageError, match="--context: found 2 of them, expected 1 or 3, one for each input"):
        predict(Path("bundle"), named={"question": ["a", "b", "c"], "context": [file, file]})
    with pytest.raises(UsageError, match="--question, --context: found also TEXT, --pair or --input"):
        predict(Path("bundle"), ["text"], named={"question": ["a"], "context": [file]})
    with pytest.raises(DataError, match="none.txt: no such file"):
        predict(Path("bundle"), named={"question": ["a"], "context": [tmp_path / "none.txt"]})
