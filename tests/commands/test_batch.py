"""`textapp predict --runner`: the same answers as one process, whatever ends it in the middle."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import InPlace, Letters, random_chain

from textapp.commands import batch, batch_local, batch_worker
from textapp.commands import predict as one_process
from textapp.commands.batch import predict_files
from textapp.commands.batch_worker import BLOCKS, Answerer, Job, Stripe
from textapp.commands.predict import predict
from textapp.errors import DataError, UsageError
from textapp.folders import WorkFolder
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.translation import TranslationTask

ROOT = Path(__file__).parents[2]
PART = 40  # rows, so that a few hundred are many parts


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textapp.predictors.predictor.Predictor.block", PART // BLOCKS)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files: 210 lines of which two are broken, a table, and another of the first's name."""
    folder = tmp_path_factory.mktemp("texts")
    lines = [f"the dish number {number} was {'good' if number % 3 else 'awful'}".encode() for number in range(210)]
    lines[77], lines[205] = b"\xff\xfe broken", b"zero \0 byte"
    (folder / "a.txt").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "b.tsv").write_text("id\ttext\n" + "".join(f"{n}\tsoup {n}\n" for n in range(90)), encoding="utf-8")
    (folder / "more").mkdir()
    with gzip.open(folder / "more" / "a.txt.gz", "wt") as file:
        file.write("one\ntwo\n")
    return folder


def single(bundle: Path, file: Path, output: Path) -> tuple[list[str], list[dict]]:
    """What one process without a runner writes: the lines with answers, and the others."""
    predict(bundle, input_file=file, output=output)
    lines = output.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "error" not in json.loads(line)], [
        json.loads(line) for line in lines if "error" in json.loads(line)
    ]


def check(bundle: Path, texts: Path, output: Path, tmp_path: Path) -> None:
    """Compares a finished folder with what one process writes for the same files."""
    faults = []
    for name in ("a.txt", "b.tsv", "more/a.txt.gz"):
        answers, faulty = single(bundle, texts / name, tmp_path / "one.jsonl")
        assert (output / "answers" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() == answers
        faults += faulty
    dead = [json.loads(line) for line in (output / "dead-letter.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(Path(row["file"]).name, row["line"], row["input"]) for row in dead] == [
        ("a.txt", 78, "?? broken"), ("a.txt", 206, "zero \0 byte")
    ]  # fmt: skip
    assert [f"{row['file']}:{row['line']}: {row['error']}" for row in dead] == [each["error"] for each in faults]
    assert sorted(path.name for path in output.iterdir()) == ["answers", "dead-letter.jsonl", "predict.json"]
    assert not output.with_name(output.name + ".textapp-work").exists()


def inline(calls: list[Stripe] | None = None) -> Callable[..., None]:
    """A runner in this process; it keeps what it was given."""

    def run(job: Job, stripes: list[Stripe], workers: int) -> None:
        answerer = Answerer(job)
        for stripe in stripes:
            if calls is not None:
                calls.append(stripe)
            if not answerer.answer(stripe):
                return

    return run


def test_several_processes_write_what_one_does(tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    inputs = [texts / "*.*", texts / "more" / "a.txt.gz", texts / "a.txt"]
    assert predict_files(tiny_bundle, inputs, tmp_path / "out", "local", workers=2) == 2
    check(tiny_bundle, texts, tmp_path / "out", tmp_path)


def test_a_file_is_divided_among_the_workers(tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch) -> None:
    calls: list[Stripe] = []
    monkeypatch.setattr(batch_local, "run", inline(calls))
    inputs = [texts / "a.txt", texts / "b.tsv", texts / "more" / "a.txt.gz"]
    assert predict_files(tiny_bundle, inputs, tmp_path / "out", "local", workers=3) == 2
    stripes = [(Path(stripe.file).name, stripe.index, stripe.count) for stripe in calls]
    assert stripes == [("a.txt", 0, 3), ("a.txt", 1, 3), ("a.txt", 2, 3), ("b.tsv", 0, 3), ("b.tsv", 1, 3),
                       ("b.tsv", 2, 3), ("a.txt.gz", 0, 1)]  # fmt: skip
    check(tiny_bundle, texts, tmp_path / "out", tmp_path)


def test_finished_parts_are_not_made_again(tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    def until(job: Job, stripes: list[Stripe], workers: int) -> None:
        Answerer(job).answer(stripes[1])  # of two: every second part
        raise Killed

    inputs, output = [texts / "a.txt", texts / "b.tsv", texts / "more" / "a.txt.gz"], tmp_path / "out"
    monkeypatch.setattr(batch_local, "run", until)
    with pytest.raises(Killed):
        predict_files(tiny_bundle, inputs, output, "local", workers=2)
    assert not output.exists()
    parts = output.with_name("out.textapp-work") / "new" / ".parts" / "a.txt"
    assert sorted(path.name for path in parts.iterdir()) == [
        "000001.faults.jsonl", "000001.jsonl", "000003.jsonl", "000005.faults.jsonl", "000005.jsonl"
    ]  # fmt: skip
    before = {path.name: path.stat().st_ino for path in parts.glob("*.jsonl")}

    made = dict[str, int]()

    def rest(job: Job, stripes: list[Stripe], workers: int) -> None:
        inline()(job, stripes, workers)
        made.update({path.name: path.stat().st_ino for path in parts.glob("*.jsonl")})

    monkeypatch.setattr(batch_local, "run", rest)
    assert predict_files(tiny_bundle, inputs, output, "local", workers=1) == 2
    assert before.items() < made.items()
    check(tiny_bundle, texts, output, tmp_path)


def test_a_finished_folder_is_not_made_again(tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch) -> None:
    calls: list[Stripe] = []
    monkeypatch.setattr(batch_local, "run", inline(calls))
    inputs, output = [texts / "a.txt"], tmp_path / "out"
    assert predict_files(tiny_bundle, inputs, output, "local") == 2
    count, changed = len(calls), (output / "predict.json").stat().st_mtime_ns
    assert predict_files(tiny_bundle, inputs, output, "local") == 2
    assert len(calls) == count and (output / "predict.json").stat().st_mtime_ns == changed
    with pytest.raises(UsageError, match="the files of --input"):
        predict_files(tiny_bundle, [texts / "b.tsv"], output, "local")


def test_answers_of_two_calls_are_never_mixed(tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch) -> None:
    def stopped(job: Job, stripes: list[Stripe], workers: int) -> None:
        Answerer(job).answer(stripes[0])
        raise KeyboardInterrupt

    output, file = tmp_path / "out", tmp_path / "texts.txt"
    file.write_bytes((texts / "a.txt").read_bytes())
    monkeypatch.setattr(batch_local, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict_files(tiny_bundle, [file], output, "local", workers=2)
    with pytest.raises(UsageError, match=r"options: \{\}, not \{'threshold': 0.9\}"):
        predict_files(tiny_bundle, [file], output, "local", workers=2, options={"threshold": 0.9})
    file.write_text("another\nfile\n", encoding="utf-8")  # its parts are of no use
    monkeypatch.setattr(batch_local, "run", inline())
    assert predict_files(tiny_bundle, [file], output, "local", workers=2) == 0
    rows = (output / "answers" / "texts.txt.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["input"] for row in rows] == ["another", "file"]


def test_a_file_that_grows_meanwhile(tiny_bundle: Path, tmp_path: Path, monkeypatch) -> None:
    file, output = tmp_path / "log.txt", tmp_path / "out"
    file.write_text("one\n", encoding="utf-8")

    def grown(*given) -> None:
        inline()(*given)
        file.write_text("one\ntwo\n", encoding="utf-8")

    monkeypatch.setattr(batch_local, "run", grown)
    with pytest.raises(DataError, match="log.txt: was changed while it was read: run the same command again"):
        predict_files(tiny_bundle, [file], output, "local")
    monkeypatch.setattr(batch_local, "run", inline())
    assert predict_files(tiny_bundle, [file], output, "local") == 0
    rows = (output / "answers" / "log.txt.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["input"] for row in rows] == ["one", "two"]


def test_a_kill_between_joining_and_renaming(tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(batch_local, "run", inline())
    inputs, output = [texts / "a.txt", texts / "b.tsv", texts / "more" / "a.txt.gz"], tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(batch.WorkFolder, "swap", killed)
        predict_files(tiny_bundle, inputs, output, "local")
    monkeypatch.setattr(batch_local, "run", killed)  # nothing is left to be answered
    assert predict_files(tiny_bundle, inputs, output, "local") == 2
    check(tiny_bundle, texts, output, tmp_path)


def cut_off() -> bytes:
    """The first half of a .gz, more than is read of a file before the workers start."""
    packed = gzip.compress(b"".join(os.urandom(600).hex().encode() + b"\n" for _ in range(900)))
    return packed[: len(packed) // 2]


def test_a_file_that_cannot_be_read_to_its_end(tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    file, output = tmp_path / "cut.txt.gz", tmp_path / "out"
    file.write_bytes(cut_off())
    with pytest.raises(DataError, match="cut.txt.gz: not a complete gzip file"):
        predict_files(tiny_bundle, [file, texts / "b.tsv"], output, "local", workers=1)
    assert not output.exists()
    assert list(output.with_name("out.textapp-work").rglob("cut.txt.gz/000003.jsonl"))  # it failed later
    file.write_bytes(gzip.compress(b"whole\n"))
    assert predict_files(tiny_bundle, [file, texts / "b.tsv"], output, "local", workers=1) == 0
    assert json.loads((output / "predict.json").read_text())["rows"] == 91


def test_wrong_calls_are_told(tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    def call(output: Path = tmp_path / "out", file: Path = texts / "a.txt", **settings) -> None:
        predict_files(tiny_bundle, [file], output, **{"runner": "local", **settings})

    with pytest.raises(UsageError, match="--output .*: found a folder with other files"):
        call(texts / "more")
    with pytest.raises(UsageError, match="--output .*b.tsv: is a file, expected a folder"):
        call(texts / "b.tsv")
    with pytest.raises(UsageError, match="is in the folder of --output"):
        call(texts, texts / "more" / "a.txt.gz")
    with pytest.raises(UsageError, match="only for --runner beam, found --runner local"):
        call(beam_options=["--runner=FlinkRunner"])
    with pytest.raises(UsageError, match="--beam-size: only for models that generate text"):
        call(decoding={"beam_size": 2})
    with pytest.raises(UsageError, match="workers: found 2147483648, expected a whole number from 1 to 1024"):
        call(workers=2**31)
    with pytest.raises(DataError, match=r"none\*.txt: no such file"):
        call(file=tmp_path / "none*.txt")
    with pytest.raises(UsageError, match="text=0: .*a.txt has a text per line"):
        call(columns="text=0")
    fifo = tmp_path / "pipe.txt"
    os.mkfifo(fifo)
    with pytest.raises(UsageError, match="found a pipe or a device"):
        call(file=fifo)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe.txt"]


def test_the_work_of_another_command_is_left_alone(tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "run", "training", keeps="last.npz") as work:
        work.clear()
        (work.new / "last.npz").write_bytes(b"a checkpoint")
    with pytest.raises(UsageError, match="run.textapp-work: found another training that was interrupted"):
        predict_files(tiny_bundle, [texts / "a.txt"], tmp_path / "run", "local")
    assert [path.name for path in work.new.iterdir()] == ["last.npz"]


def test_a_folder_whose_state_is_not_ours_is_left_alone(
    tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for content in ("{}", "[]", "[" * 100_000, '{"request": {"job": {}, "model": "x"}, "files": [{"name": 7}]}'):
        (tmp_path / "mine" / "predict.json").write_text(content)
        with pytest.raises(UsageError, match="predict.json: is not what textapp wrote there .*: move .*mine away"):
            predict_files(tiny_bundle, [texts / "a.txt"], tmp_path / "mine", "local")
        assert (tmp_path / "mine" / "predict.json").read_text() == content


def test_no_name_of_a_state_leads_to_other_folders(
    tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    monkeypatch.setattr(batch_local, "run", inline())
    name = {"name": "../../../mine", "path": "a.txt", "size": 1, "changed": 1}
    state = {"request": {"job": {}, "model": "x"}, "files": [name, {**name, "name": str(tmp_path / "mine")}]}
    with WorkFolder(tmp_path / "out", "prediction", keeps="predict.json") as work:
        work.clear()
        (work.new / "predict.json").write_text(json.dumps(state))
    predict_files(tiny_bundle, [texts / "a.txt"], tmp_path / "out", "local")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_no_answer_at_all_is_a_failure(tiny_bundle: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(batch_local, "run", inline())
    file = tmp_path / "in.jsonl"
    file.write_text("{broken\n{broken\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no row had an answer \(2 given\): see .*dead-letter.jsonl"):
        predict_files(tiny_bundle, [file], tmp_path / "out", "local")


def test_a_translator_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TranslationTask(Letters(), Letters(), [4, 8], [(4, 6), (8, 10)])
    manifest = {"task": task.name, "columns": {"source": "source", "target": "target"}, "header": "auto"}
    manifest |= {"pattern": None, "multiple": False}
    chain = random_chain(2, Letters.vocabulary_size, InPlace, score=True)

    def load(path: Path, overflow: str | None = None, **_) -> GenerativePredictor:
        task.overflow = overflow or "truncate"
        return GenerativePredictor(task, chain, manifest, path)

    for module in (batch, batch_worker, one_process):
        monkeypatch.setattr(module, "load", load)
    monkeypatch.setattr(GenerativePredictor, "block", 1)
    monkeypatch.setattr(batch_local, "run", inline())
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}", encoding="utf-8")
    texts = ["cat", "far too long a text", "dog", "bee", "", "cow", "another one that is too long", "ant", "eel", "a"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"source": text}) + "\n" for text in texts), encoding="utf-8")
    given = {"options": {"overflow": "error"}, "decoding": {"beam_size": 3, "num_hypotheses": 2}}

    assert predict(bundle, input_file=tmp_path / "in.jsonl", output=tmp_path / "one", **given) == 2
    assert predict_files(bundle, [tmp_path / "in.jsonl"], tmp_path / "out", "local", 2, **given) == 2
    one = [line for line in (tmp_path / "one").read_text(encoding="utf-8").splitlines() if "error" not in line]
    assert (tmp_path / "out" / "answers" / "in.jsonl.jsonl").read_text(encoding="utf-8").splitlines() == one
    assert len(json.loads(one[0])["outputs"]) == 2
    dead = (tmp_path / "out" / "dead-letter.jsonl").read_text(encoding="utf-8").splitlines()
    assert [(json.loads(row)["line"], json.loads(row)["input"]) for row in dead] == [(2, texts[1]), (7, texts[6])]
    pytest.importorskip("llguidance")
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "null"}', encoding="utf-8")
    job = batch._job(
        bundle, [str(tmp_path / "in.jsonl")], 1, "auto", None, {"json_schema": str(schema)}, None, None
    )  # fmt: skip
    assert job.decoding == {"json_schema": '{"type": "null"}'}  # another machine has no such file
    with pytest.raises(UsageError, match="larger than the vocabulary"):  # before a worker is started
        predict_files(bundle, [tmp_path / "in.jsonl"], tmp_path / "new", "local", decoding={"beam_size": 99})


# --- by the command line, killed -----------------------------------------------------------------------------------


def command(bundle: Path, texts: Path, output: Path, *more: str) -> list[str]:
    inputs = [word for name in ("a.txt", "b.tsv", "more/a.txt.gz") for word in ("--input", str(texts / name))]
    return [sys.executable, "-m", "textapp", "predict", str(bundle), *inputs, "--output", str(output), *more]


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def test_the_command_ends_with_3_if_a_row_has_no_answer(tiny_bundle: Path, texts: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(tiny_bundle, texts, tmp_path / "out", "--runner", "local", "--workers", "1", "--json"),
        env=environment(), capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout) | {"seconds": 0} == {
        "output": str(tmp_path / "out"), "rows": 302, "without_answer": 2, "seconds": 0
    }  # fmt: skip
    assert "warning: 2 rows had no answer: see " in done.stderr
    check(tiny_bundle, texts, tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "error: --input: found 3 of them, expected one: add --runner local"),
        (["--runner", "local", "a text"], "error: --runner local: takes no TEXT"),
        (["--runner", "local", "--stream"], "error: --runner local: takes no --stream"),
        (["--runner", "cloud"], "'cloud' is not one of"),
    ],
)
def test_options_that_do_not_go_together(tiny_bundle: Path, texts: Path, tmp_path: Path, capsys, more, message) -> None:
    from textapp.cli import main

    with pytest.raises(SystemExit) as left:
        main(command(tiny_bundle, texts, tmp_path / "out", *more)[3:])
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_a_worker_that_is_killed_is_told(tiny_bundle: Path, texts: Path, tmp_path: Path, monkeypatch) -> None:
    started = batch_local._start

    def start_one_and_kill(threads: int) -> subprocess.Popen[str]:
        process = started(threads)
        process.kill()
        return process

    monkeypatch.setattr(batch_local, "_start", start_one_and_kill)
    with pytest.raises(batch_local.WorkerEnded, match=r"was killed by SIGKILL \(out of memory\?\): run the same"):
        predict_files(tiny_bundle, [texts / "a.txt"], tmp_path / "out", "local", workers=1)


CALL = """
import sys
from pathlib import Path
from textapp.predictors.predictor import Predictor
Predictor.block = 10
from textapp.commands.batch import predict_files
bundle, output, runner, *inputs = sys.argv[1:]
print(predict_files(Path(bundle), [Path(each) for each in inputs], Path(output), runner, 2))
"""
LINES = 4000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("many") / "many.txt"
    file.write_text("".join(f"the soup of table {n} was awful\n" for n in range(LINES)), encoding="utf-8")
    return file


def start(bundle: Path, output: Path, runner: str, file: Path, python: Path | str = sys.executable) -> subprocess.Popen:
    """Starts a prediction in a process and a session of its own."""
    call = [str(python), "-c", CALL, str(bundle), str(output), runner, str(file)]
    own = environment() if python == sys.executable else None
    return subprocess.Popen(
        call, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True
    )


def kill_in_the_middle(process: subprocess.Popen, parts: Path, more: int = 5) -> int:
    """Kills a process with SIGKILL when it has made some parts; returns their number when its workers are gone, too."""
    deadline, before = time.monotonic() + 200, len(list(parts.glob("[0-9]*.jsonl")))
    while (count := len(list(parts.glob("[0-9]*.jsonl")))) < before + more:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.01)
    process.kill()
    process.communicate()
    while True:
        time.sleep(1.0)
        if count == (count := len(list(parts.glob("[0-9]*.jsonl")))):
            return count


def check_killed(bundle: Path, runner: str, many: Path, tmp_path: Path, python: Path | str = sys.executable) -> None:
    """Kills a prediction in the middle and runs it again: each line has its answer once, and in its place."""
    output = tmp_path / "out"
    parts = tmp_path / "out.textapp-work" / "new" / ".parts" / "many.txt"
    count = kill_in_the_middle(start(bundle, output, runner, many, python), parts)
    # Beam's own processes outlive the command for a while, and may make all parts.
    assert 5 <= count <= LINES // PART - (runner == "local") and not output.exists()
    again = start(bundle, output, runner, many, python)
    printed, said = again.communicate(timeout=300)
    assert again.returncode == 0 and printed.split() == ["0"], said
    answers, _ = single(bundle, many, tmp_path / "one.jsonl")
    assert (output / "answers" / "many.txt.jsonl").read_text(encoding="utf-8").splitlines() == answers
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jsonl", "out"]


def test_killed_in_the_middle_and_run_again(tiny_bundle: Path, many: Path, tmp_path: Path) -> None:
    check_killed(tiny_bundle, "local", many, tmp_path)


@pytest.mark.slow
def test_killed_at_many_moments(tiny_bundle: Path, many: Path, tmp_path: Path) -> None:
    parts = tmp_path / "out.textapp-work" / "new" / ".parts" / "many.txt"
    for moment in range(6):
        kill_in_the_middle(start(tiny_bundle, tmp_path / "out", "local", many), parts, more=2 * moment)
    check_killed(tiny_bundle, "local", many, tmp_path)


# --- other engines -------------------------------------------------------------------------------------------------

ENGINES = [("beam", "apache_beam"), ("ray", "ray")]


@pytest.fixture
def python_with(request: pytest.FixtureRequest) -> Callable[[str, str], Path | str]:
    """The interpreter of an environment with an engine: this one if it has it, else one that is made for it."""

    def found(extra: str, package: str) -> Path | str:
        here = importlib.util.find_spec(package) is not None
        return sys.executable if here else request.getfixturevalue("environment")(extra)

    return found


@pytest.mark.slow
@pytest.mark.parametrize(("runner", "package"), ENGINES)
def test_an_engine_writes_what_one_process_does(
    tiny_bundle: Path, texts: Path, tmp_path: Path, python_with, runner: str, package: str
) -> None:
    call = [str(python_with(runner, package)), *command(tiny_bundle, texts, tmp_path / "out", "--runner", runner)[1:]]
    own = environment() if call[0] == sys.executable else None
    done = subprocess.run([*call, "--workers", "2"], env=own, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.returncode == 3, done.stderr
    check(tiny_bundle, texts, tmp_path / "out", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("runner", "package"), ENGINES)
def test_an_engine_is_killed_and_run_again(
    tiny_bundle: Path, many: Path, tmp_path: Path, python_with, runner: str, package: str
) -> None:
    check_killed(tiny_bundle, runner, many, tmp_path, python_with(runner, package))


@pytest.mark.slow
@pytest.mark.parametrize(("runner", "package"), ENGINES)
def test_an_engine_tells_of_a_file_that_cannot_be_read(
    tiny_bundle: Path, tmp_path: Path, python_with, runner: str, package: str
) -> None:
    (tmp_path / "cut.txt.gz").write_bytes(cut_off())
    process = start(tiny_bundle, tmp_path / "out", runner, tmp_path / "cut.txt.gz", python_with(runner, package))
    _, said = process.communicate(timeout=300)
    assert "DataError" in said and "cut.txt.gz: not a complete gzip file" in said
    assert process.returncode == 1 and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_wrong_option_of_beam_is_told(tiny_bundle: Path, texts: Path, tmp_path: Path, python_with) -> None:
    call = command(
        tiny_bundle, texts, tmp_path / "out", "--runner", "beam", "--beam-options", "--direct_num_workers=two"
    )
    done = subprocess.run(
        [str(python_with("beam", "apache_beam")), *call[1:]], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 2
    assert "error: --beam-options: argument --direct_num_workers: invalid int value: 'two'" in done.stderr


@pytest.mark.parametrize(("runner", "package"), ENGINES)
def test_an_engine_that_is_not_installed_is_told(
    tiny_bundle: Path, texts: Path, tmp_path: Path, runner: str, package: str
) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed here")
    with pytest.raises(UsageError, match=rf"'{package}', which is not installed: pip install 'textapp\[{runner}\]'"):
        predict_files(tiny_bundle, [texts / "a.txt"], tmp_path / "out", runner)
