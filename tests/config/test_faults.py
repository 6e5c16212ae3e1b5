"""The message for each wrong value of a config: its place, its key, what was found, what was expected."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from textapp.catalog import load_config, parse_config
from textapp.config import Config, Data, TokenizerConfig, Training, architectures
from textapp.errors import ConfigError

LINES = {
    "task": "task: classification", "run": "run: runs/x", "data": "data: {train: a.csv}",
    "model": "model: {architecture: cnn}",
}  # fmt: skip
SMALL = {"task": "classification", "run": "runs/x", "data": {"train": "a.csv"}, "model": {"architecture": "cnn"}}
WRONG = [
    None, True, False, "a word", "", 3.7, -1, 0, 10**30, float("inf"), float("nan"), [], [None], ["x"], [True], [[1]],
    [{}], {}, {"a": 1}, {"a": None}, {1: 2}, "x" * 10_000, ["x"] * 1000, "\udcff", "a\nb",
]  # fmt: skip
JARGON = re.compile(
    r"input should|valid (string|integer|number|dict|list|bool)|instance|union|parse|object|pydantic|datetime|None\b"
    r"|True|False|validator|str\b|int\b|tuple|regex",
)
MEND = re.compile(r"expected|known here|is missing|leave|no such key|and [\d,]+ more$|write")


def written(tmp_path: Path, *lines: str, **changes: str) -> Path:
    """A config file of four lines, of which some are changed, and further ones."""
    file = tmp_path / "c.yaml"
    file.write_text("\n".join([*{**LINES, **changes}.values(), *lines]) + "\n", encoding="utf-8")
    return file


def fault(file: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    return str(caught.value).replace(f"{file.parent}/", "")


def fields() -> Iterator[tuple[str, ...]]:
    parts = {"data": Data, "tokenizer": TokenizerConfig, "training": Training}
    yield from ((name,) for name in Config.model_fields)
    for name, part in parts.items():
        yield from ((name, field) for field in part.model_fields)
    for name, part in architectures().items():
        yield from (("model", name, field) for field in part.model_fields)
    yield from [("data", "columns", "text"), ("data", "train", "source"), ("training", "class_weights", "good")]


@pytest.mark.parametrize("keys", list(fields()), ids=".".join)
def test_no_message_needs_a_programmer(keys: tuple[str, ...]) -> None:
    for value in WRONG:
        raw: dict = {**SMALL, "data": {"train": "a.csv"}}
        if keys[0] == "model" and len(keys) == 3:
            raw["model"] = {"architecture": keys[1], "path": "x"} if keys[1] == "preset" else {"architecture": keys[1]}
            raw["model"][keys[2]] = value
        elif len(keys) == 3:
            raw[keys[0]] = {**raw.get(keys[0], {}), keys[1]: {keys[2]: value}}
        elif len(keys) == 2:
            raw[keys[0]] = {**raw.get(keys[0], {}), keys[1]: value}
        else:
            raw[keys[0]] = value
        try:
            parse_config(raw)
        except ConfigError as error:
            for line in str(error).split("\n"):
                assert line.startswith("config: ") and len(line) < 500, line
                told = re.sub(r"found (?:\[[^:]*\]|\{.*?\}|'.*?'|\"[^\"]*\")", "", line)
                assert not JARGON.search(told), line
                assert MEND.search(line), line


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ({"model": "model: mlp"}, 4, "model: found 'mlp': expected keys: write model: {architecture: mlp}"),
        (
            {"model": "model: mpl"},
            4, "model: found 'mpl': expected keys such as model: {architecture: mlp}; did you mean 'mlp'?",
        ),
        ({"model": "model:"}, 4, "model: found nothing: expected keys such as model: {architecture: mlp}"),
        (
            {"model": "model: {}"},
            4, "the key 'model.architecture' is missing; expected one of mlp, cnn, lstm, transformer,"
            " preset",
        ),
        ({"data": "data: a.csv"}, 3, "data: found 'a.csv': expected keys: write data: {train: a.csv}"),
        (
            {"data": "data: [a, b]"},
            3, "data: found ['a', 'b']: expected keys: write data: {train: [a, b]}",
        ),
        (
            {"data": "data:\n  train: a\n  columns: [text, label]"},
            5, "data.columns: found ['text', 'label']: expected a column for each field, such as {text:"
            " review, label: stars}",
        ),
        ({"more": "tokenizer: bpe"}, 5, "tokenizer: found 'bpe': expected keys: write tokenizer: {kind: bpe}"),
        (
            {"more": "training: 5"},
            5, "training: found 5: expected keys such as training: {epochs: 3, batch_size: 32}",
        ),
        (
            {"more": "cleaning: lowercase"},
            5, "cleaning: found 'lowercase': expected a list of steps, such as [nfkc, lowercase]: write"
            " cleaning: [lowercase]",
        ),
        (
            {"more": "lengths: 128"},
            5, "lengths: found 128: expected a list of ascending lengths, such as [16, 32, 64]: write"
            " lengths: [128]",
        ),
        (
            {"more": "training:\n  epochs: 3\n  optimizer: adm"},
            7, "training.optimizer: found 'adm': expected one of adam, adamw, adafactor, sgd; did you mean"
            " 'adam'?",
        ),
        ({"more": "training:\n  epochs: yes"}, 6, "training.epochs: found yes, which YAML reads as the"
         " boolean true: expected a number"),
        ({"more": "training: {learning_rate: .inf}"}, 5, "training.learning_rate: found .inf: expected a"
         " finite number"),
        ({"more": "training: {learning_rate: 0}"}, 5, "training.learning_rate: found 0: expected a number"
         " above 0"),
        ({"more": "training: {epochs: 010}"}, 5, "training.epochs: found '010': expected a number without zeros before"
         " it: write 10"),
        ({"more": "seed: -007"}, 5, "seed: found '-007': expected a number without zeros before it: write -7"),
        ({"data": "data: {train: ~}"}, 3, "data.train: found nothing: expected a path, a glob, or a list of them;"
         " for parallel files {source: train.zh, target: train.en}"),
        ({"data": "data: {train: }"}, 3, "data.train: found nothing: expected a path, a glob, or a list of them;"
         " for parallel files {source: train.zh, target: train.en}"),
        ({"data": 'data: {train: ""}'}, 3, "data.train: found '': expected a path, such as data/train.csv"),
        ({"data": "data: {train: a, validation: 20%}"}, 3, "data.validation: found '20%': expected a share between 0"
         " and 1, or files: write 0.2"),
        ({"data": "data: {train: a, test: '7,5 %'}"}, 3, "data.test: found '7,5 %': expected a share between 0 and 1,"
         " or files: write 0.075"),
        ({"data": "data: {train: a, test: '0,2'}"}, 3, "data.test: found '0,2': expected a share between 0 and 1, or"
         " files: write 0.2"),
        ({"data": "data: {train: b, test： a}"}, 3, "unknown key 'data.test： a': found ： (U+FF1A), expected : and a"
         " space behind it"),
        ({"data": "data: {train: a, language: C}"}, 3, "data.language: found 'C': expected the code of a language such"
         " as en, zh or pt-BR (ISO 639, BCP 47); without this key it is guessed from the script"),
        ({"data": "data: {train: a, columns: {text: []}}"}, 3, "data.columns.text: found []: expected a name, a list of"
         " names, or a number from 0"),
        ({"data": "data: {train: a, columns: {text: ['']}}"}, 3, "data.columns.text: found ['']: expected a name, a"
         " list of names, or a number from 0"),
        ({"data": "data: {train: a, columns: {text: Text, label: [text]}}"}, 3, "data.columns.label: found ['text'],"
         " but text and label are the same column; expected a column for each"),
        ({"data": "data: {train: a, columns: {text: 0, label: 0}}"}, 3, "data.columns.label: found 0, but text and"
         " label are the same column; expected a column for each"),
        ({"more": "lengths:\n- 16\n- 5.5"}, 7, "lengths.1: found 5.5: expected a whole number"),
        (
            {"more": "training:\n  class_weights:\n    good: 1\n    bad: 0"},
            6, "training.class_weights: found {'bad': 0, 'good': 1}: expected balanced, or a weight above"
            " 0 for each label, such as {good: 1.0, bad: 3.0}; the one of 'bad' is 0",
        ),
        ({"more": "data:\n  train: b"}, 5, "found the key 'data' a second time, first in line 3: leave one"
         " of them out"),
        ({"more": "trainig:\n  epochs: 3"}, 5, "unknown key 'trainig'; did you mean 'training'? (known"
         " here: task, mode, run, seed, data, cleaning, tokenizer, lengths, generate_lengths, stride,"
         " max_answer_tokens, max_windows, model, training)"),
        ({"run": 'run: "C:\\new"'}, 2, "run: found 'C:\\new': expected a path without line breaks and"
         " other control characters; in double quotes YAML reads \\n and \\t as such: write the path in single quotes"),
        ({"run": "run: 2024"}, 2, "run: found 2024: expected text: write '2024' in quotes"),
        ({"run": "run:"}, 2, "run: found nothing: expected text"),
        ({"data": "data: {train: no}"}, 3, "data.train: found no, which YAML reads as the boolean false:"
         " expected text: write 'no' in quotes"),
        ({"data": "data: {train: a, columns: {text: On}}"}, 3, "data.columns.text: found On, which YAML"
         " reads as the boolean true: expected text: write 'On' in quotes"),
        ({"data": "data: {train: a, columns: {text: -1}}"}, 3, "data.columns.text: found -1: expected a"
         " name, a list of names, or a number from 0"),
        ({"data": "data: {train: a, language: NO}"}, 3, "data.language: found NO, which YAML reads as the"
         " boolean false: expected text: write 'NO' in quotes"),
        ({"data": "data: {train: a, language: cn}"}, 3, "data.language: found 'cn': expected the code of a"
         " language such as en, zh or pt-BR (ISO 639, BCP 47); did you mean 'zh'?; without this key it is guessed from"
         " the script"),
        ({"data": "data: {train: a, labels: no}"}, 3, "data.labels: found no, which YAML reads as the"
         " boolean false: expected one of single, multiple"),
    ],
)  # fmt: skip
def test_a_fault_of_a_file_has_its_line_and_its_mend(tmp_path: Path, changes: dict, line: int, message: str) -> None:
    assert fault(written(tmp_path, **changes)) == f"c.yaml, line {line}: {message}"


def test_numbers_are_those_that_were_written(tmp_path: Path) -> None:
    more = "training: {learning_rate: 1e-3, epochs: 10, batch_size: 1_024, class_weights: {007: 1, 2024-13-45: 2}}"
    config = load_config(written(tmp_path, "seed: 0x1F", more, data="data: {train: a, validation: 1e-1}"))
    assert (config.training.learning_rate, config.training.epochs, config.training.batch_size) == (1e-3, 10, 1024)
    assert (config.seed, config.data.validation) == (31, 0.1)
    assert config.training.class_weights == {"007": 1, "2024-13-45": 2}


def test_words_in_quotes_are_texts(tmp_path: Path) -> None:
    file = written(
        tmp_path, "training: {class_weights: {'no': 1, \"yes\": 2}}",
        data="data: {train: 'on', language: 'no', columns: {text: 'y', label: '1'}}",
    )  # fmt: skip
    config = load_config(file)
    assert (config.data.train, config.data.language, config.data.columns) == ("on", "no", {"text": "y", "label": "1"})
    assert config.training.class_weights == {"no": 1, "yes": 2}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.language=no", "--set data.language=no: data.language: found no, which YAML reads as the boolean false:"
         " expected text: write 'no' in quotes, as in --set \"data.language='no'\""),
        ("model=mlp", "--set model=mlp: model: found 'mlp': expected keys: write model: {architecture: mlp}"),
        ("training.class_weights={no: 1}", "--set training.class_weights={no: 1}: found the key no, which YAML reads"
         " as the boolean false: write 'no' in quotes"),
        ("training={epochs: 1, epochs: 2}", "--set training={epochs: 1, epochs: 2}: found the key 'epochs' a second"),
        ("data.train=*.csv", "--set data.train=*.csv: not YAML: expected alphabetic or numeric character, but found"),
        ("training.epochs=-1", "--set training.epochs=-1: training.epochs: found -1: expected a number from 0"),
        ("training.epochs=1\n---\n2", "--set training.epochs=1\\n---\\n2: not YAML: found another document"),
        ("seed=\x00", "--set seed=\\x00: found the control character U+0000"),
        ("a..b=1", "--set a..b=1: expected KEY=VALUE, such as --set training.epochs=1"),
        (".".join("a" * 9000) + "=1", "expected KEY=VALUE, such as"),
    ],
)  # fmt: skip
def test_a_fault_of_an_option_names_the_option(tmp_path: Path, override: str, message: str) -> None:
    found = fault(written(tmp_path), override)
    assert message in found and len(found) < 400


def test_an_option_below_a_key_without_value(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "training:"), ["training.epochs=3"])
    assert config.training.epochs == 3


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_utf_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("\n".join(LINES.values()).replace("a.csv", "酒店.csv"), encoding=encoding)
    assert load_config(file).data.train == "酒店.csv"


CHINESE = "# 酒店评论的分类，很好用\ntask: classification\nrun: 我们的第一个模型\ndata: {train: 酒店评论.csv}\n"
TRADITIONAL = "a: 1\n# 這個飯店的評論很好，我們都喜歡\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CHINESE.encode("gbk"), "c.yaml, line 1: found bytes that are not UTF-8; it looks like gb18030: save the"),
        (TRADITIONAL.encode("big5"), "c.yaml, line 2: found bytes that are not UTF-8; it looks like big5: save"),
        (CHINESE.encode("utf-16-le"), "c.yaml, line 1: found bytes that are not UTF-8; it looks like utf-16-le: save"),
        (b"\xff\xfe\x00", "c.yaml, line 1: found bytes that are not UTF-8"),
        (b"", "c.yaml: found an empty file, expected keys such as task, run, data and model"),
        (b"- task\n", "c.yaml: found ['task'], expected keys such as"),
        (b"task:x", "c.yaml: found 'task:x', expected keys such as task, run, data and model: write a space after"),
        (b"a" * 1_000_001, "c.yaml: found more than 1,000,000 bytes, expected a YAML config; is it a file of data?"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_file_that_is_no_config(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(data)
    assert message in fault(file)


def test_a_folder_and_a_device_are_not_read(tmp_path: Path) -> None:
    for path, found in ((tmp_path, "a folder"), (Path("/dev/zero"), "a pipe or a device")):
        with pytest.raises(ConfigError, match=f"{path}: found {found}, expected a YAML file"):
            load_config(path)


# --- many ----------------------------------------------------------------------------------------------------------


def test_many_faults_are_counted_and_not_listed() -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        parse_config({**SMALL, **{f"key {number}": 1 for number in range(200_000)}})
    lines = str(caught.value).split("\n")
    assert len(lines) == 21 and lines[-1] == "config: and 199,980 more"
    with pytest.raises(ConfigError) as caught:
        parse_config({**SMALL, "data": {"train": "a", "columns": {f"txt {number}": "a" for number in range(200_000)}}})
    lines = str(caught.value).split("\n")
    assert len(lines) == 11 and lines[-1] == "config: data.columns: and 199,990 more that the task does not have"
    assert time.perf_counter() - started < 15
