from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from textapp.batches.pipeline import BatchSource
from textapp.catalog import parse_config
from textapp.commands import check as check_module
from textapp.commands import tables, tpu, tpu_environment
from textapp.commands.check import check
from textapp.commands.tpu_compiler import without_copies
from textapp.commands.tpu_environment import CHIPS, NoCompiler, answer_of, compiler_folder, compiler_python
from textapp.errors import ConfigError, DataError, TextappError, UsageError
from textapp.training import lowering

ANSWER = {
    "argument_bytes": 5000, "output_bytes": 4000, "alias_bytes": 3900, "temporary_bytes": 2000, "code_bytes": 1000,
    "seconds": 1.5,
}  # fmt: skip
TOTAL = 5000 + 4000 - 3900 + 2000 + 1000


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(check_module, "environment", lambda: {"warnings": []})
    monkeypatch.setattr(check_module, "_show_environment", lambda console, machine: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [f"a {('dirty', 'spotless')[i % 2]} room number {i}\t{('bad', 'good')[i % 2]}\n" for i in range(60)]
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "".join(rows), encoding="utf-8")
    content = {
        "task": "classification", "run": "never", "lengths": [8], "data": {"train": "train.tsv"},
        "model": {"architecture": "cnn", "embedding_dim": 4, "filters": 2, "kernel_sizes": [2]},
        "training": {"batch_size": 16},
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def answering(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[tuple[bytes, str]]:
    """Replaces the compiler; returns what it will be given: the modules and the topologies."""
    given = []

    def compile_file(python: Path, file: Path, chip: tpu_environment.Chip) -> dict[str, Any]:
        given.append((file.read_bytes(), chip.topology))
        return answer

    monkeypatch.setattr(tpu, "compiler_python", lambda tell: Path("python"))
    monkeypatch.setattr(tpu, "compile_file", compile_file)
    return given


# --- the command -----------------------------------------------------------------------------------------------------


def test_each_step_is_compiled_and_told_with_its_bytes(config: Path, monkeypatch, capsys) -> None:
    given = answering(monkeypatch, ANSWER)
    found = check(config, data_dir=config.parent, as_json=True, device="tpu:v6e")["tpu"]
    assert json.loads(capsys.readouterr().out)["tpu"] == json.loads(json.dumps(found))
    assert (found["chip"], found["memory_bytes"], found["precision"]) == ("v6e", 32 * 2**30, "float32")
    assert found["compiler"] == {"jax": "0.10.2", "libtpu": "0.0.42"} and found["warnings"] == []
    assert [(row["step"], row["shape"], row["share"]) for row in found["steps"]] == [
        ("training", "16 x 5", 1.0), ("evaluation", "16 x 5", 1.0),
    ]  # fmt: skip
    assert all(row["total_bytes"] == TOTAL and row["seconds"] == 1.5 for row in found["steps"])
    assert [topology for _, topology in given] == ["v6e:2x2"] * 2 and given[0][0] != given[1][0]


def writing(folder: Path) -> dict[str, Any]:
    """The config of a model that writes, with its text."""
    (folder / "a.txt").write_text("".join(f"line {i} of this text\n" for i in range(40)), encoding="utf-8")
    return {
        "task": "generation", "run": "never", "lengths": [16], "generate_lengths": [[8, 4]], "data": {"train": "a.txt"},
        "model": {"architecture": "transformer", "num_layers": 1, "hidden_dim": 8, "num_heads": 2},
        "training": {"batch_size": 4},
    }  # fmt: skip


def test_the_loops_of_a_model_that_writes_are_compiled_too(tmp_path: Path, monkeypatch) -> None:
    given = answering(monkeypatch, ANSWER)
    content = writing(tmp_path)
    (tmp_path / "config.yaml").write_text(json.dumps(content), encoding="utf-8")
    rows = check(tmp_path / "config.yaml", data_dir=tmp_path, as_json=True, device="tpu")["tpu"]["steps"]
    assert [(row["step"], row["shape"], row["padding"]) for row in rows] == [
        ("training", "4 x 16", pytest.approx(rows[0]["padding"])),
        ("evaluation", "4 x 16", rows[0]["padding"]),
        ("decoding", "64 x 8 to 4", None),
    ]
    assert len(given) == 3


def test_of_a_model_as_it_is_the_loops_alone_are_compiled(config: Path, tmp_path: Path) -> None:
    """`training.epochs: 0` is for presets, which have no training data then."""

    def steps(content: dict[str, Any]) -> list[tuple[str, str]]:
        prepared, objective = tpu.prepared_of(parse_config(content), tmp_path, tmp_path / "ids")
        training = prepared.config.training.model_copy(update={"epochs": 0})
        prepared = replace(
            prepared, config=prepared.config.model_copy(update={"training": training}),
            data={name: [] for name in prepared.data},
        )  # fmt: skip
        precision, _, found = tpu.steps_of(prepared, objective)
        assert precision == "float32"
        return [(step.kind, step.shape) for step in found]

    assert steps(writing(tmp_path)) == [("decoding", "64 x 8 to 4")]
    with pytest.raises(ConfigError, match=r"training\.epochs: found 0, .* no step of it runs on a TPU: expected 1"):
        steps(json.loads(config.read_text(encoding="utf-8")))


WORDS = ["a", "bad", "cat", "dog", "fine", "good", "great", "in", "of", "on", "plot", "poor", "the", "very", "was"]
LSTM = {"architecture": "lstm", "embedding_dim": 4, "units": [4]}
BY_TOKENS = {
    "translation": {"task": "translation", "generate_lengths": [[48, 24]]},
    "answers": {"task": "question_answering", "mode": "generative"},
    "documents": {"task": "generation", "lengths": [64], "generate_lengths": [[16, 16]]},
}


def sentence(choice: random.Random, most: int) -> str:
    return " ".join(choice.choices(WORDS, k=choice.randint(1, most)))


@pytest.mark.parametrize("name", BY_TOKENS)
def test_batches_by_tokens_have_the_few_shapes_that_a_training_on_a_tpu_makes(
    name: str, tmp_path: Path, caplog
) -> None:
    choice = random.Random(3)
    keys = {"translation": ("source", "target"), "answers": ("question", "answer"), "documents": ("text",)}[name]
    rows = [{key: sentence(choice, 9 if key != "answer" else 3) for key in keys} for _ in range(120)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    languages = {"source_language": "en", "target_language": "en"} if name == "translation" else {"language": "en"}
    content = {
        **BY_TOKENS[name], "run": "never", "model": LSTM, "training": {"batch_tokens": 128},
        "data": {"train": "train.jsonl", "validation": "train.jsonl", **languages},
        "tokenizer": {"kind": "characters", "vocabulary_size": 60},
    }  # fmt: skip
    prepared, objective = tpu.prepared_of(parse_config(content), tmp_path, tmp_path / "ids")
    source = objective.batches(prepared)
    plan = source.plan(0)
    shapes = set(zip(plan.rows.tolist(), *(each.tolist() for each in plan.lengths.values()), strict=True))
    assert not source.many_shapes and 1 < len(shapes) <= 12 < plan.steps
    found = {f"{rows} x {' + '.join(map(str, lengths))}" for rows, *lengths in shapes}
    assert {shape.words for shape in lowering.static_shapes(source, prepared.task.tokenizer.pad_id)} == found

    def here(xla: bool) -> BatchSource:
        training = prepared.config.training.model_copy(update={"device": "cpu", "xla": xla})
        return objective.batches(replace(prepared, config=prepared.config.model_copy(update={"training": training})))

    caplog.clear()
    with caplog.at_level("INFO", "textapp"):
        opened = here(xla=False)
    assert opened.many_shapes and not here(xla=True).many_shapes
    ((number, share),) = re.findall(r"batches: (\d+) shapes, ([\d.]+) % of their tokens are no padding", caplog.text)
    assert int(number) == len(set(opened.plan(0).shapes)) > len(shapes) and 70 < float(share) < 100


def test_the_table_says_what_only_hardware_shows(monkeypatch, capsys) -> None:
    row = {"step": "training", "shape": "16 x 8", "share": 0.25, "padding": 0.5}
    large = {**row, **tpu.with_total({**ANSWER, "temporary_bytes": 20 * 2**30})}
    fault = {**row, "shape": "16 x 16", "error": "no", "operation": None, "layer": None}
    tpu.show(tables.console(), {
        "chip": "v5e", "memory_bytes": 16 * 2**30, "compiler": {"jax": "1", "libtpu": "2"}, "precision": "float32",
        "optimizer": "adam", "steps": [large, fault],
    })  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert ["training", "16 x 8", "25", "50", "5.0 kB", "21474.8 MB", "1.0 kB", "21474.8 MB", "125.0", "1.5"] in [
        re.split(r" {2,}", line.strip()) for line in lines
    ]
    assert any("16 x 16" in line and "refused" in line for line in lines)
    assert any(line.startswith("not checked: the speed of a step") for line in lines)
    assert any("(tensorflow-tpu)" in line for line in lines)
    assert tpu.too_large([large, fault], "v5e") == [
        "training step 16 x 8: takes 21474.8 MB, expected at most 17179.9 MB of a v5e: lower training.batch_size or "
        "batch_tokens, or raise training.gradient_accumulation_steps with it"
    ]


def test_without_a_network_the_steps_are_compiled_here_and_that_is_told(config: Path, monkeypatch, capsys) -> None:
    def fail(command: list, folder: Path) -> None:
        raise NoCompiler("no network")

    def refuse(module: lowering.Lowered) -> None:
        if "input_output_alias" in module.text.splitlines()[0]:  # a training step
            raise lowering.Refused('no sort, metadata={op_name="step/classifier_1/logits_1/Sort"}')

    monkeypatch.setattr(tpu_environment, "_run", fail)
    monkeypatch.setattr(lowering.Lowered, "compile_here", refuse)
    with pytest.raises(TextappError) as caught:  # after the report
        check(config, data_dir=config.parent, as_json=True, device="tpu")
    assert str(caught.value).startswith(
        "1 of 2 steps cannot be compiled for a TPU, first the training step 16 x 5 (step/classifier_1/logits_1/Sort, "
        "in layer classifier/logits): no sort"
    )
    out, told = capsys.readouterr()
    found = json.loads(out)["tpu"]
    assert found["compiler"] == "XLA for the CPU of this machine"
    training, evaluation = found["steps"]
    assert (training["layer"], training["operation"]) == ("classifier/logits", "step/classifier_1/logits_1/Sort")
    assert evaluation["seconds"] >= 0 and not {"total_bytes", "error"} & set(evaluation)
    assert found["warnings"][0].startswith("the TPU compiler was not asked: no network. Instead")
    assert f"making an environment for the TPU compiler, once, about 1.3 GB: {compiler_folder()}" in told


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu:v5", "--device: found 'tpu:v5', expected tpu, tpu:v5e, tpu:v6e, tpu:v4; did you mean 'tpu:v5e'?"),
        ("gpu", "--device: found 'gpu', expected tpu,"),
    ],
)
def test_an_unknown_chip_names_the_nearest(config: Path, device: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(config, data_dir=config.parent, device=device)
    assert str(caught.value).startswith(message)


def test_a_device_needs_a_config_and_faults_of_the_data_come_first(config: Path) -> None:
    with pytest.raises(UsageError, match="--device tpu: found no config"):
        check(device="tpu")
    with pytest.raises(DataError, match="absent.tsv"):
        check(config, ["data.train=absent.tsv"], data_dir=config.parent, device="tpu")
    assert not compiler_folder().parent.exists()


# --- faults of a compiler --------------------------------------------------------------------------------------------

HLO = """
  %sort.12 = f32[8]{0} sort(f32[8]{0} %p.1), metadata={op_type="Sort" op_name="step/encoder_1/attention_1/Sort"}
  %p.2 = c128[4,64]{1,0} convert(c64[4,64]{1,0} %p.0), metadata={op_name="step/Cast"}
  %fft.7 = c64[4,64]{1,0} fft(c64[4,64]{1,0} %p.0), fft_length={64}, metadata={op_name="step/FFT"}
  %fft.8 = c128[4,64]{1,0} fft(c128[4,64]{1,0} %p.2), fft_length={64}, metadata={op_name="step/encoder_1/FFT"}
  ROOT %add.3 = f32[8]{0} add(f32[8]{0} %sort.12, f32[8]{0} %p.1), metadata={op_name="step/Add"}
"""


@pytest.mark.parametrize(
    ("message", "operation", "layer"),
    [
        ("not on a TPU: %sort.12 = f32[8] sort(%p.1)", "step/encoder_1/attention_1/Sort", "encoder/attention"),
        ("compatible with node {{node encoder_1/AsString}}", "encoder_1/AsString", "encoder"),
        ("see add.3", "step/Add", None),
        ("Unexpected operand type for FFT: c128[4,64]{1,0}", "step/encoder_1/FFT", "encoder"),
        ("RESOURCE_EXHAUSTED: 17.5 GB of 16 GB", None, None),
    ],
)
def test_where_a_compiler_refuses(message: str, operation: str | None, layer: str | None) -> None:
    found = tpu.fault(message, HLO, {"encoder", "attention"})
    assert found == {"error": message, "operation": operation, "layer": layer}


def test_a_step_that_is_too_large_says_what_to_lower() -> None:
    error = "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required (60.51G) exceeds 15.75G."
    row = {
        "step": "training",
        "shape": "9 x 8",
        **tpu.fault(f"{error}\n\nSuspected Python Code Location:\n /a", "", set()),
    }
    assert str(tpu.refused({"steps": [row, {}]})) == (
        "1 of 2 steps cannot be compiled for a TPU, first the training step 9 x 8: "
        f"{error}: lower training.batch_size or batch_tokens"
    )


# --- the script and its environment ----------------------------------------------------------------------------------


def test_copies_become_reshapes_of_the_same_shape() -> None:
    module = (
        "    %5 = mhlo.copy %4 : tensor<2x3xf32> loc(#loc5)\n"
        "    %6 = mhlo.copy %5 : tensor<?x3xf32, #stablehlo.bounds<2, ?>>\n"
        "    %7 = stablehlo.add %6, %6 : tensor<f32>\n"
    )
    assert without_copies(module) == (
        "    %5 = stablehlo.reshape %4 : (tensor<2x3xf32>) -> tensor<2x3xf32> loc(#loc5)\n"
        "    %6 = stablehlo.reshape %5 : (tensor<?x3xf32, #stablehlo.bounds<2, ?>>) ->"
        " tensor<?x3xf32, #stablehlo.bounds<2, ?>>\n"
        "    %7 = stablehlo.add %6, %6 : tensor<f32>\n"
    )


def done(code: int, stdout: str = "", stderr: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, stdout, stderr)


def test_the_answer_of_the_script_is_its_last_line() -> None:
    assert answer_of(done(0, "a note of libtpu\n" + json.dumps(ANSWER) + "\n")) == ANSWER


def test_a_crash_of_the_compiler_is_a_refusal() -> None:
    found = answer_of(done(-signal.SIGABRT, stderr="I01 a note\nF01 check failed: rank\n*** backtrace\n"))
    assert found == {"error": "the compiler crashed (signal 6): F01 check failed: rank"}


def test_a_damaged_environment_is_told_with_its_folder() -> None:
    with pytest.raises(NoCompiler, match=rf"ModuleNotFoundError: jaxlib\): delete {compiler_folder()}"):
        answer_of(done(1, stderr="Traceback\nModuleNotFoundError: jaxlib\n"))


def test_an_environment_that_cannot_be_made_is_told_with_pip_s_reason_and_leaves_nothing(monkeypatch) -> None:
    code = "import sys; print('WARNING: old\\nERROR: no jax\\n[notice] new', file=sys.stderr); sys.exit(1)"
    run = tpu_environment._run
    monkeypatch.setattr(tpu_environment, "_run", lambda command, folder: run([sys.executable, "-c", code], folder))
    with pytest.raises(
        NoCompiler, match=rf"^{compiler_folder()}: cannot be made \(ERROR: no jax\): it needs a network"
    ):
        compiler_python(lambda line: None)
    assert list(compiler_folder().parent.iterdir()) == []


@pytest.mark.slow
def test_pip_without_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(NoCompiler, match="No matching distribution found for jax==0.10.2.*it needs a network"):
        compiler_python(lambda line: None)
    assert list(compiler_folder().parent.iterdir()) == []


def test_an_environment_that_is_there_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpu_environment, "_run", lambda command, folder: pytest.fail("made again"))
    compiler_folder().mkdir(parents=True)
    assert compiler_python(pytest.fail) == compiler_folder() / "bin" / "python"


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS)
def test_the_tpu_compiler_takes_the_steps_of_a_classifier(config: Path, monkeypatch, chip: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")  # the environment takes a gigabyte: one for all tests
    try:
        compiler_python(print)
    except NoCompiler as error:
        pytest.skip(str(error))
    overrides = ["model={architecture: transformer, num_layers: 1, hidden_dim: 8, num_heads: 2}"]
    found = check(config, overrides, data_dir=config.parent, device=f"tpu:{chip}")["tpu"]
    assert found["precision"] == "mixed_bfloat16"
    training, evaluation = found["steps"]
    # Weights and two moments of Adam are written in the place of the old ones.
    assert 0 < evaluation["argument_bytes"] < training["alias_bytes"] <= training["argument_bytes"]
    assert evaluation["alias_bytes"] == 0 < evaluation["code_bytes"]
    assert 0 < training["total_bytes"] < CHIPS[chip].memory
