"""`textapp predict --runner`: answers files with several workers, each in parts, and goes on where it was interrupted.

The parts of a file are written below `.parts/` of the work folder. Only when all are there they are joined, and the
folder gets its name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from textapp.artifact import MANIFEST, check_not_of_an_artifact
from textapp.catalog import recipe_of_manifest
from textapp.commands import batch_local, tables
from textapp.commands.batch_worker import BLOCKS, END, FAILED, Job, Stripe, answers_name, faults_name
from textapp.commands.examples import check_has_columns, layout_of
from textapp.decoding.options import decoding_options
from textapp.errors import ArtifactError, DataError, UsageError, plural, require
from textapp.files import resolved, write_text
from textapp.folders import WorkFolder, recover
from textapp.loading import load
from textapp.processes import usable_cores
from textapp.records.files import expand
from textapp.runners.pool import check_count
from textapp.untrusted import OBJECT, TEXT, checked, key, list_of, read_json, whole

log = logging.getLogger("textapp")

LOCAL, BEAM, RAY = "local", "beam", "ray"
STATE = "predict.json"  # what was asked, and at the end the numbers
ANSWERS, FAULTS = "answers", "dead-letter.jsonl"
PARTS = ".parts"
SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class _File:
    """A file to answer.

    Attributes:
        name: of its answers, without `.jsonl`: its path from the folder that holds all files.
        path, size, changed: tell whether it is still the same file.
    """

    name: str
    path: str
    size: int
    changed: int

    def parts(self, work: Path) -> Path:
        """The folder of its parts."""
        return work / PARTS / self.name


def predict_files(
    path: Path,
    inputs: Sequence[Path],
    output: Path,
    runner: str,
    workers: int | None = None,
    columns: str | None = None,
    encoding: str | None = None,
    threads: int = 1,
    runtime: str = "auto",
    options: Mapping[str, Any] | None = None,
    decoding: Mapping[str, Any] | None = None,
    beam_options: Sequence[str] = (),
    as_json: bool = False,
) -> int:
    """Answers files with several workers into a new folder; the same call goes on after an interruption.

    The folder has `answers/NAME.jsonl` for each file, one line per row in their order, as `predict --input` writes
    them; `dead-letter.jsonl`, if some rows have no answer, with `{file, line, input, error}` of each; `predict.json`.

    Args:
        path: a run folder or a bundle.
        inputs: files and globs.
        output: the folder to make.
        runner: `local`, processes of this machine; `beam`, Apache Beam; `ray`, Ray Data.
        workers: number of workers; None: one for each core that this process may use.
        columns: of `inputs`, such as `text=0`.
        encoding: of `inputs`; None: that of the run.
        threads: CPU threads per worker.
        runtime: the interpreter for a .tflite file.
        options: of `textapp.load` by name, such as `threshold`; None: the default.
        decoding: options of `DecodingOptions` by name.
        beam_options: of Beam's pipeline, such as `--runner=FlinkRunner`.
        as_json: print the numbers as JSON.

    Returns:
        The number of rows without an answer.

    Raises:
        UsageError: options conflict or do not apply to this model, or `output` is there and holds something else.
        DataError: no row had an answer, or a file cannot be read.
        ArtifactError: the model cannot be opened, or another process works on `output`.
    """
    run = _runner(runner, beam_options)
    workers, threads = check_count("workers", workers or usable_cores()), check_count("threads", threads)
    final = resolved(output)
    if final.exists() and not final.is_dir():
        raise UsageError(f"--output {output}: is a file, expected a folder to be made: use another name")
    files = _files(inputs, final)
    job = _job(path, [file.path for file in files], threads, runtime, options, decoding, columns, encoding)
    request = {"job": asdict(job), "model": hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()}
    state = {"request": request, "files": [asdict(file) for file in files]}
    check_not_of_an_artifact(output / STATE, path)
    recover(final, _nothing_made)
    if (before := _state(final)) is not None:
        _check_same(before, state, final)
        log.info("%s: is complete already", output)
        return _told(before, output, 0.0, as_json)
    if final.is_dir() and any(final.iterdir()):
        raise UsageError(f"--output {output}: found a folder with other files, expected a new one: use another name")
    started = time.monotonic()
    with WorkFolder(final, "prediction", keeps=STATE) as work:
        done = _state(work.new)
        if done is None or "rows" not in done:
            _begin(work.new, state, done)
            stripes = _stripes(files, work.new, job, workers)
            if stripes:
                folders = [file.parts(work.new) for file in files]
                with _progress(folders, job.part_rows), tables.stdout_for_json(True):  # engines print a lot
                    run(job, stripes, workers)
            done = _joined(files, work.new, job, state)
        else:
            _check_same(done, state, work.path)
        shutil.rmtree(work.new / PARTS, ignore_errors=True)
        work.swap(_nothing_made)
    return _told(done, output, time.monotonic() - started, as_json)


def _nothing_made(folder: Path) -> set[str]:
    """Of a folder in the place of the output, which is empty, nothing is to be deleted."""
    return set()


def _runner(name: str, beam_options: Sequence[str]) -> Any:
    """The function that runs stripes.

    Raises:
        UsageError: there is no such runner, its package is missing, or it takes no options of Beam.
    """
    if beam_options and name != BEAM:
        raise UsageError(f"--beam-options: only for --runner {BEAM}, found --runner {name}: leave one of them out")
    if name == BEAM:
        require("apache_beam", "beam")
        from textapp.commands import batch_beam

        return lambda *given: batch_beam.run(*given, beam_options)
    if name == RAY:
        require("ray", "ray")
        from textapp.commands import batch_ray

        return batch_ray.run
    if name != LOCAL:
        raise UsageError(f"--runner {name}: expected {LOCAL}, {BEAM} or {RAY}")
    return batch_local.run


# --- what is asked -------------------------------------------------------------------------------------------------


def _files(inputs: Sequence[Path], final: Path) -> list[_File]:
    """The files, each once, with a name for its answers.

    Raises:
        DataError: a path or a glob matches no file.
        UsageError: one is no regular file, or in the folder to be made.
    """
    found = [Path(os.path.abspath(file)) for file in expand([str(each) for each in inputs])]
    paths = list(dict.fromkeys(found))
    for path in paths:
        if not path.is_file():
            raise UsageError(f"--input {path}: found a pipe or a device, expected a file, as several workers read it")
        if final in resolved(path).parents:
            raise UsageError(f"--input {path}: is in the folder of --output {final}: use another folder")
    above = os.path.commonpath([path.parent for path in paths])
    return [_File(os.path.relpath(path, above), str(path), *_stamp(path)) for path in paths]


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change of a file."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _job(
    path: Path,
    files: Sequence[str],
    threads: int,
    runtime: str,
    options: Mapping[str, Any] | None,
    decoding: Mapping[str, Any] | None,
    columns: str | None,
    encoding: str | None,
) -> Job:
    """What the workers get, after the model was opened once and the first file read a little, to find faults early."""
    decoding = dict(decoding or {})
    schema = decoding_options(decoding).json_schema
    if schema is not None:  # itself and not its file, which another machine may not have
        decoding["json_schema"] = schema
    options = {name: value for name, value in (options or {}).items() if value not in (None, False)}
    predictor = load(path, threads=threads, runtime=runtime, **options)
    if decoding and not predictor.streams:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in decoding)
        raise UsageError(
            f"{names}: only for models that generate text, found {path} for {predictor.task.name}: leave it out"
        )
    if decoding:
        predictor.options(decoding)
    recipe = recipe_of_manifest(predictor.manifest)
    layout = layout_of(predictor.manifest, columns, encoding)
    if columns:
        check_has_columns(files, columns, recipe.keys.parallel_files)
    next(iter(recipe.scan(files[0], layout, Path())))
    part_rows = BLOCKS * predictor.block
    return Job(os.path.abspath(path), part_rows, threads, runtime, options, decoding, columns, encoding)


def _state(folder: Path) -> dict[str, Any] | None:
    """What a folder says was asked; None if it is not the output of a prediction.

    Raises:
        UsageError: its file is damaged.
    """
    file = folder / STATE
    try:
        state = checked(read_json(file), OBJECT, str(file))
        request = key(state, "request", OBJECT)
        key(request, "job", OBJECT), key(request, "model", TEXT)
        for each in key(state, "files", list_of(OBJECT, at_least=1)):
            key(each, "name", TEXT)
        if "rows" in state:
            key(state, "rows", whole()), key(state, "without_answer", whole())
        return state
    except FileNotFoundError:
        return None
    except (ArtifactError, OSError) as error:
        raise UsageError(
            f"{file}: is not what textapp wrote there ({error}): move {folder} away, or use another --output"
        ) from error


def _check_same(before: Mapping[str, Any], state: Mapping[str, Any], folder: Path, files: bool = True) -> None:
    """Checks that what was asked before is what is asked now, so that answers of two models are not mixed.

    Args:
        before, state: what was asked.
        folder: where the answers of the former are.
        files: whether the files have to be the same, too.

    Raises:
        UsageError: it is not; the message names the first difference.
    """
    one, other = ({"model": each["request"]["model"], **each["request"]["job"]} for each in (before, state))
    # Neither of these changes an answer, and a model may be moved.
    names = [name for name in one.keys() | other.keys() if name not in ("threads", "path")]
    pairs = [(name, one.get(name), other.get(name)) for name in sorted(names)]
    if files:
        pairs += [("--input", before["files"], state["files"])]
    for name, found, asked in pairs:
        if found != json.loads(json.dumps(asked)):
            what = "the files of --input, or their content" if name == "--input" else f"{name}: {found}, not {asked}"
            raise UsageError(
                f"{folder}: holds answers to another call ({what}): repeat that call, delete the folder, or use another"
                " --output"
            )


def _begin(work: Path, state: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Writes down what is asked, and removes parts of files that were changed since they were made."""
    if before is not None and any(part.is_file() for part in (work / PARTS).rglob("[0-9]*.jsonl")):
        _check_same(before, state, work.parent, files=False)
    now = {file["name"]: file for file in state["files"]}
    for file in before["files"] if before else ():
        folder = Path(os.path.normpath(work / PARTS / file["name"]))
        if file != now.get(file["name"]) and work / PARTS in folder.parents:  # somebody may have edited the name
            shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(exist_ok=True)
    write_text(work / STATE, json.dumps(state, ensure_ascii=False, indent=1) + "\n")
    for name in now:
        (work / PARTS / name).mkdir(parents=True, exist_ok=True)
        (work / PARTS / name / FAILED).unlink(missing_ok=True)


def _stripes(files: Sequence[_File], work: Path, job: Job, workers: int) -> list[Stripe]:
    """The work that is left, the largest first. A file that is a large share of it is divided among all workers.

    Each stripe of a file reads all of it, which takes a few hundredths of the time to answer it, and works with every
    format: where a row begins need not be known before.
    """
    left = [file for file in files if not _is_complete(file.parts(work), job.part_rows)]
    total = sum(file.size for file in left)
    shares = []
    for file in left:
        count = workers if file.size * 4 * workers > total else 1
        folder = str(file.parts(work))
        shares += [(file.size / count, Stripe(file.path, folder, index, count)) for index in range(count)]
    return [stripe for _, stripe in sorted(shares, key=lambda each: -each[0])]


# --- what is done --------------------------------------------------------------------------------------------------


def _numbers(folder: Path, part_rows: int) -> range | None:
    """The parts of a file; None if its number of rows is not known yet."""
    try:
        rows = json.loads((folder / END).read_text(encoding="utf-8"))["rows"]
    except FileNotFoundError:
        return None
    return range(-(-rows // part_rows))


def _is_complete(folder: Path, part_rows: int) -> bool:
    numbers = _numbers(folder, part_rows)
    return numbers is not None and all((folder / answers_name(number)).exists() for number in numbers)


def _rows_done(folders: Iterable[Path], part_rows: int) -> int:
    """The number of rows in finished parts; the last part of each file counts in full."""
    names = chain.from_iterable(os.scandir(folder) for folder in folders)
    return part_rows * sum(entry.name[0].isdigit() and entry.name.count(".") == 1 for entry in names)


@contextmanager
def _progress(folders: Sequence[Path], part_rows: int) -> Iterator[None]:
    """Logs how many rows are answered, as long as the block runs."""
    started, before, stop = time.monotonic(), _rows_done(folders, part_rows), threading.Event()
    if before:
        log.info("predict: goes on after about %s rows", f"{before:,}")

    def tell() -> None:
        told = before
        while not stop.wait(SECONDS_BETWEEN_LINES):
            if (done := _rows_done(folders, part_rows)) > told:
                speed = (done - before) / (time.monotonic() - started)
                log.info("predict: about %s rows, %s a second", f"{done:,}", f"{speed:,.0f}")
                told = done

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _joined(files: Sequence[_File], work: Path, job: Job, state: dict[str, Any]) -> dict[str, Any]:
    """Joins the parts of each file; returns what was asked, with the numbers.

    Raises:
        DataError: a file could not be read to its end, or was changed.
    """
    for file in files:
        if (failed := file.parts(work) / FAILED).exists():
            raise DataError(json.loads(failed.read_text(encoding="utf-8")))
        if _stamp(Path(file.path)) != (file.size, file.changed):
            raise DataError(f"{file.path}: was changed while it was read: run the same command again")
    rows = faults = 0
    with (work / FAULTS).open("wb") as dead:
        for file in files:
            folder = file.parts(work)
            end = json.loads((folder / END).read_text(encoding="utf-8"))
            rows += end["rows"]
            for message in end["warnings"]:
                log.warning("%s", message)
            numbers = range(-(-end["rows"] // job.part_rows))
            whole = work / ANSWERS / f"{file.name}.jsonl"
            whole.parent.mkdir(parents=True, exist_ok=True)
            with whole.open("wb") as answers:
                for number in numbers:
                    with (folder / answers_name(number)).open("rb") as part:
                        shutil.copyfileobj(part, answers, 1 << 20)
                _flush(answers)
            for part in (folder / faults_name(number) for number in numbers):
                if part.exists():
                    content = part.read_bytes()
                    faults += content.count(b"\n")
                    dead.write(content)
        _flush(dead)
    if not faults:
        (work / FAULTS).unlink()
    done = {**state, "rows": rows, "without_answer": faults}
    write_text(work / STATE, json.dumps(done, ensure_ascii=False, indent=1) + "\n")
    return done


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _told(done: Mapping[str, Any], output: Path, seconds: float, as_json: bool) -> int:
    """Prints the numbers; returns that of the rows without an answer.

    Raises:
        DataError: no row had one.
    """
    rows, faults = done["rows"], done["without_answer"]
    if as_json:
        tables.emit_line({"output": str(output), "rows": rows, "without_answer": faults, "seconds": round(seconds, 1)})
    log.info("answers: %s in %s, after %.0f s", f"{rows - faults:,}", output / ANSWERS, seconds)
    if 0 < faults == rows:
        raise DataError(f"no row had an answer ({faults} given): see {output / FAULTS}")
    if faults:
        tables.warn(f"{plural(faults, 'row')} had no answer: see {output / FAULTS}")
    return faults
