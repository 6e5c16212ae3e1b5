"""`textapp ask` with a reader of numbers in the place of what a folder holds."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terminals import hear_ctrl_c, read_until
from toys import Characters, DigitReader, Letters, random_chain

from textapp import cli
from textapp.commands import ask as module
from textapp.predictors.generative import GenerativePredictor
from textapp.predictors.predictor import Predictor
from textapp.tasks.question_answering import QuestionAnsweringTask
from textapp.tasks.translation import TranslationTask
from textapp.text.template import Template

ROOT = Path(__file__).parents[2]
# The command in a process of its own, where TensorFlow and Keras cannot be imported, with the reader of numbers.
PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "keras_hub", "tf_keras")))
sys.path.insert(0, sys.argv.pop(1))
from test_ask import use_reader
from textapp import cli
from textapp.commands import ask
use_reader(lambda name, value: setattr(ask, name, value))
cli.main(sys.argv[1:])
"""


def use_reader(replace, kind: str = "bundle") -> None:
    def load(
        path: Path, threads: int = 1, runtime: str = "auto", workers: int = 1, trusted: bool = False, **options
    ) -> Predictor:
        tokenizer = Characters()
        tokenizer.template = Template((1,), (3,), (3,))
        task = QuestionAnsweringTask(tokenizer, [128], 32, 8, 64, "en", **options)
        return Predictor(task, DigitReader(), {"kind": kind}, Path(path), workers)

    replace("load", load)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "tower.txt").write_text("the tower has 704 steps.", encoding="utf-8")
    (folder / "rows.jsonl").write_text('{"text": "a cat has 9 lives."}\n{"text": "a dog has 6 toes."}\n', "utf-8")
    (folder / "bridge.html").write_text("<p>the bridge has <b>1</b> arch.</p>", encoding="utf-8")
    return folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Calls `textapp ask bundle ...`; returns its exit code, stdout and stderr."""
    use_reader(lambda name, value: monkeypatch.setattr(module, name, value))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    logging.getLogger("textapp").addHandler(logging.NullHandler())  # one of another's, as pytest's own

    def ask(*arguments: object, stdin: str | None = None) -> tuple[int, str, str]:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape"))))
        with pytest.raises(SystemExit) as left:
            cli.main(["ask", "bundle", *map(str, arguments)])
        return left.value.code, *capsys.readouterr()

    return ask


def test_a_file(call, folder: Path) -> None:
    code, out, _ = call("--context", folder / "tower.txt", "--question", "how many steps")
    assert (code, out) == (0, "704 (0.97)\n  tower.txt, characters 14-17: the tower has 704 steps.\n")


def test_every_row_of_a_file(call, folder: Path) -> None:
    code, out, _ = call("--context", folder / "rows.jsonl", "--question", "how many", "--num-answers", 2)
    assert code == 0
    assert out == (
        "9 (1.00)\n  rows.jsonl line 1, characters 10-11: a cat has 9 lives.\n"
        "6 (0.92)\n  rows.jsonl line 2, characters 10-11: a dog has 6 toes.\n"
    )


def test_the_context_needs_no_index(call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    assert call("--context", folder / "tower.txt", "--question", "how many")[0] == 0


def test_a_long_passage_is_shown_around_the_answer(call, tmp_path: Path) -> None:
    text = "one word after another " * 30 + "then 77 of them " + "and many more words " * 30
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    _, out, _ = call("--context", tmp_path / "long.txt", "--question", "how many")
    excerpt = out.splitlines()[1].partition(": ")[2]
    assert excerpt.startswith("…") and excerpt.endswith("…") and " then 77 of them and " in excerpt
    assert 100 < len(excerpt) < 180


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--context and --documents: found neither, expected one of them"),
        (["--context", "x", "--documents", "y"], 2, "found both, expected one of them"),
        (["--context", "nowhere.txt"], 1, "nowhere.txt: no such file"),
        (["--documents", "nowhere"], 1, "nowhere: no such folder"),
        (["--context", "."], 2, "found a folder, expected a file: give it with --documents"),
        (["--context", "x", "--passages", "3"], 2, "--passages: only for --documents"),
        (["--context", "x", "--index", "y"], 2, "--index: only for --documents"),
        (["--documents", ".", "--question", " "], 2, "--question: found an empty one"),
        (["--documents", ".", "--columns", "label=x"], 2, "--columns label=x: expected text=COLUMN"),
        (["--documents", ".", "--encoding", "utf8x"], 2, "--encoding: found 'utf8x', expected auto or an encoding"),
        (["--documents", ".", "--passages", "0"], 2, "--passages"),
    ],
)
def test_wrong_calls(call, arguments: list[str], code: int, message: str) -> None:
    found, _, err = call(*arguments)
    assert found == code and message in " ".join(err.split())


def test_other_models_are_refused(call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TranslationTask(Letters(), Letters(), [4, 8], [(4, 6), (8, 10)])
    translator = GenerativePredictor(task, random_chain(2, Letters.vocabulary_size), {}, Path("bundle"))
    monkeypatch.setattr(module, "load", lambda *_, **__: translator)
    code, _, err = call("--context", folder / "tower.txt", "--question", "how many")
    assert code == 2
    assert err.startswith("error: bundle is a model of translation, which takes source; expected one that takes a")


def test_a_file_without_text_is_an_error(call, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 10)
    assert call("--context", tmp_path / "a.txt", "--question", "x")[0] == 1
    (tmp_path / "b.html").write_text("<p></p>", encoding="utf-8")
    code, _, err = call("--context", tmp_path / "b.html", "--question", "x")
    assert code == 1 and "b.html: has no text to look in" in err


def test_a_folder_without_readable_files_is_an_error(call, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    code, _, err = call("--documents", documents, "--question", "x")
    assert code == 1 and "has no documents; expected files .txt, .md" in " ".join(err.split())
    (documents / "a.txt").write_bytes(bytes(range(256)) * 10)
    (documents / "b.jsonl").write_text('{"text": "cut', encoding="utf-8")
    code, out, err = call("--documents", documents, "--question", "x")
    assert (code, out) == (1, "") and "none of its 2 documents can be read, such as a.txt" in " ".join(err.split())
    (documents / "c.txt").write_text("the tower has 704 steps.", encoding="utf-8")
    code, out, _ = call("--documents", documents, "--question", "how many steps has the tower", "--json")
    assert code == 0 and json.loads(out)["answer"] == "704"


def test_a_context_of_a_megabyte(call, tmp_path: Path) -> None:
    """It is read up to `max_windows`; as documents all of it is looked through."""
    file = tmp_path / "long.txt"
    file.write_text("there is nothing here. " * 45_000 + "the tower has 704 steps.", encoding="utf-8")
    assert file.stat().st_size > 1_000_000
    code, out, _ = call("--context", file, "--question", "how many steps has the tower", "--json")
    assert code == 0 and json.loads(out)["answer"] != "704" and json.loads(out)["end"] < 64 * 128
    code, out, _ = call("--documents", file, "--question", "how many steps has the tower", "--json")
    found = json.loads(out)
    assert (code, found["answer"], found["start"]) == (0, "704", 45_000 * 23 + 14)


def test_lines_of_standard_input(call, folder: Path) -> None:
    stdin = "\ufeffhow many steps\r\n\nhow \udce9 many\n" + "x" * 300 + "\nhow many lives"
    code, out, err = call("--context", folder / "tower.txt", "--json", stdin=stdin)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["question"][:10] for row in rows] == [
        "how many s",
        "",
        "how ? many",
        "x" * 10,
        "how many l",
    ]
    assert [row.get("answer") for row in rows] == ["704", None, None, None, "704"]
    assert rows[1]["error"] == "the question is empty" and "byte 5" in rows[2]["error"] and "tokens" in rows[3]["error"]
    assert "3 questions had no answer" in err


def test_a_question_with_a_broken_byte_is_in_error(call, folder: Path) -> None:
    questions = ("--question", "how many steps", "--question", "how many\udcff")
    code, out, _ = call("--context", folder / "tower.txt", "--json", *questions)
    good, bad = map(json.loads, out.splitlines())
    assert code == 0 and good["answer"] == "704" and bad["question"] == "how many?"
    assert bad["error"] == "--question:2: byte 9 of the text is 0xff, which is not UTF-8: give it in UTF-8"


def test_an_answer_cannot_steer_a_terminal(call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tower.txt").write_text("the \x1b[2Jtower has 704 steps.", encoding="utf-8")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = call("--context", folder / "tower.txt", "--question", "how many steps")
    assert "the \\u001b[2Jtower has 704 steps." in out


def test_no_question_had_an_answer(call, folder: Path) -> None:
    code, out, err = call("--context", folder / "tower.txt", "--question", "x" * 300)
    assert code == 1 and out.startswith("error: the question has") and "no question had an answer (1 given)" in err


class TestDocuments:
    @pytest.fixture(autouse=True)
    def _bm25s(self) -> None:
        pytest.importorskip("bm25s")

    def test_each_answer_names_file_passage_and_score(self, call, folder: Path) -> None:
        questions = ("--question", "how many steps", "--question", "how many arches has the bridge", "--passages", 1)
        code, out, err = call("--documents", folder, "--no-answer-threshold", 0.5, *questions)
        assert code == 0
        assert out == (
            "704 (0.97)\n  tower.txt, characters 14-17: the tower has 704 steps.\nno answer (0.08; 1 passage read)\n"
        )
        assert "3 files to read" in err and "4 passages of 3 files indexed" in err

    def test_json(self, call, folder: Path) -> None:
        _, out, _ = call("--documents", folder, "--json", "--question", "how many toes has a dog", "--num-answers", 2)
        row = json.loads(out)
        first = row["alternatives"].pop()
        assert (first["answer"], first["file"], first["line"]) == ("6", "rows.jsonl", 2)  # the best passage
        assert row.pop("score") == pytest.approx(0.99593, abs=1e-5) and row.pop("passage_score") > 0
        assert row == {
            "question": "how many toes has a dog", "answer": "9", "file": "rows.jsonl", "line": 1, "start": 10,
            "end": 11, "passage": "a cat has 9 lives.", "passage_start": 0, "passage_end": 18, "passages": 4,
            "alternatives": [],
        }  # fmt: skip

    def test_no_passage_is_no_answer(self, call, folder: Path) -> None:
        _, out, _ = call("--documents", folder, "--question", "xyz", "--passages", 2)
        assert out == "no answer (0.00; no passage found)\n"
        _, out, _ = call("--documents", folder, "--question", "xyz", "--passages", 2, "--json")
        row = json.loads(out)
        assert (row["answer"], row["file"], row["start"], row["passages"], row["score"]) == ("", None, None, 0, 0.0)

    def test_the_index_lies_in_the_run_else_in_the_cache(
        self, call, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call("--documents", folder, "--question", "x")
        assert len(list((tmp_path / "cache" / "textapp" / "index").glob("*/index.json"))) == 1
        assert call("--documents", folder, "--question", "x", "--index", tmp_path / "mine")[0] == 0
        assert (tmp_path / "mine" / "index.json").is_file()
        monkeypatch.chdir(tmp_path)
        (tmp_path / "bundle").mkdir()
        use_reader(lambda name, value: monkeypatch.setattr(module, name, value), kind="run")
        assert call("--documents", folder, "--question", "x")[0] == 0
        assert len(list((tmp_path / "bundle" / "index").glob("*/index.json"))) == 1

    def test_files_that_are_not_read_are_named(self, call, folder: Path) -> None:
        for number in range(7):
            (folder / f"{number}.png").write_bytes(b"\x89PNG")
        code, out, err = call("--documents", folder, "--question", "how many lives")
        assert code == 0 and out.startswith("9 (1.00)")
        assert f"warning: not read: {folder / '0.png'}: expected one of .txt" in err
        assert err.count("warning: not read") == 6 and "warning: not read: 2 more" in err

    def test_names_that_are_not_utf8_are_shown_with_escapes(self, call, folder: Path) -> None:
        (folder / os.fsdecode(b"caf\xe9.txt")).write_text("the menu has 8 pages.", encoding="utf-8")
        (folder / os.fsdecode(b"\xff.png")).write_bytes(b"\x89PNG")
        _, out, err = call("--documents", folder, "--json", "--question", "pages of the menu", "--passages", 1)
        assert json.loads(out)["file"] == "caf\\xe9.txt" and "\\xff.png: expected" in err

    def test_an_index_that_cannot_be_made(self, call, folder: Path) -> None:
        code, _, err = call("--documents", folder, "--question", "x", "--index", folder / "tower.txt" / "index")
        assert code == 2 and "the index cannot be made here (Not a directory): give a folder with --index" in err

    def test_an_empty_folder_is_an_error(self, call, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        code, out, err = call("--documents", tmp_path / "empty", "--question", "x")
        assert (code, out) == (1, "") and "empty: has no documents; expected files .txt" in err


# --- a process of its own ------------------------------------------------------------------------------------------


def command(folder: Path) -> list[str]:
    return [
        sys.executable,
        "-c",
        PROGRAM,
        str(Path(__file__).parent),
        "ask",
        "bundle",
        "--context",
        str(folder / "tower.txt"),
    ]


def environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_it_answers_without_tensorflow(folder: Path) -> None:
    done = subprocess.run(
        command(folder), input="how many steps\n", env=environment(), capture_output=True, encoding="utf-8", timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("704 (0.97)\n")


@pytest.mark.parametrize(("typed", "code"), [("\n", 0), ("\x04", 0), (signal.SIGINT, 130)])
def test_a_terminal_asks_until_an_empty_line_or_its_end(folder: Path, typed: str | int, code: int) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(folder), stdin=theirs, stdout=theirs, stderr=theirs, env=environment(), preexec_fn=hear_ctrl_c
    ) as child:
        os.close(theirs)
        try:
            assert "an empty line or Ctrl-D leaves" in read_until(ours, "question> ", timeout=30)
            os.write(ours, b"how many steps\n")
            screen = read_until(ours, "question> ", timeout=30)
            assert "704 (0.97)" in screen and "tower.txt, characters 14-17" in screen
            time.sleep(0.2)  # the prompt is written just before the line is read
            if isinstance(typed, str):
                os.write(ours, typed.encode())
            else:
                child.send_signal(typed)
            assert child.wait(timeout=30) == code
        finally:
            child.kill()
            os.close(ours)
