"""A language model answers questions: trained on a published folder, measured, asked, and the same on every runtime."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import published
import pytest
from environments import ROOT

import textapp
from textapp import cli
from textapp.artifact import open_artifact
from textapp.catalog import load_config, parse_config
from textapp.commands.check import check
from textapp.commands.evaluate import evaluate
from textapp.commands.export import export
from textapp.commands.train import train, train_config
from textapp.errors import ConfigError
from textapp.export.options import ExportOptions

pytestmark = pytest.mark.evaluate
PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "keras_hub", "tf_keras")))  # importing them raises ImportError
import textapp
predictor = textapp.load(sys.argv[1])
print(json.dumps([predictor(*pair).answer for pair in json.loads(sys.argv[2])]))
"""


def preset(folder: Path) -> Path:
    """A tiny Llama in Hugging Face's layout, whose tokens are characters."""
    from tokenizers import Tokenizer, decoders, models

    published.write("llama", folder, {"max_position_embeddings": 96})
    pieces = ["<unk>", "<s>", "</s>", *"\n QA:?.", *string.ascii_lowercase, *string.digits]
    pipeline = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, [], unk_token="<unk>"))
    pipeline.decoder = decoders.Fuse()
    pipeline.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    return folder


def example(dice: random.Random) -> dict[str, str]:
    """What is asked for stands in the question: it is copied into an answer that is more than that."""
    thing, number = dice.choice("abcd"), dice.choice(string.digits)
    context = f"{number} {dice.choice('xyz')}." if dice.random() < 0.8 else ""
    return {"question": f"{thing}?", "context": context, "answer": f"the {thing}"}


def examples(count: int, seed: int) -> list[dict[str, str]]:
    dice = random.Random(seed)
    return [example(dice) for _ in range(count)]


def write(file: Path, rows: list[dict]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def config_of(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "task": "question_answering", "mode": "generative", "run": str(folder / "run"),
        "data": {
            "train": write(folder / "train.jsonl", examples(400, 1)),
            "validation": write(folder / "dev.jsonl", examples(24, 2)),
            "language": "en",
        },
        "lengths": [56], "generate_lengths": [[28, 8], [48, 8]],
        "model": {"architecture": "preset", "path": str(folder / "preset")},
        "training": {"epochs": 4, "batch_size": 4, "learning_rate": 0.02, "precision": "float32", "warmup_steps": 10},
        **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that learned to answer. Read only."""
    folder = tmp_path_factory.mktemp("prompted")
    preset(folder / "preset")
    (folder / "config.yaml").write_text(json.dumps(config_of(folder)))
    return train(folder / "config.yaml")


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model for LiteRT in float32. Read only."""
    return export(run, ExportOptions("litert", "none"), output=tmp_path_factory.mktemp("bundle") / "bundle")


def pairs() -> list[tuple[str, str]]:
    asked = [(row["question"], row["context"]) for row in examples(8, 5)]
    return [*asked, ("a?", ""), ("d?", "7 x. " * 30)]


def run_command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    return left.value.code


def test_it_learned_to_answer_from_its_prompt(run: Path, bundle: Path) -> None:
    figures = evaluate(run)
    assert figures["examples"] == 24 and figures["f1"] > 80 and figures["exact_match"] > 60  # by chance 62 and 25
    assert figures["rougeL"] > 80 and 1 <= figures["perplexity"] < 1.5
    assert evaluate(bundle, data=[run.parent / "dev.jsonl"])["f1"] == pytest.approx(figures["f1"])


def test_the_manifest_says_that_it_is_a_decoder(run: Path, bundle: Path) -> None:
    for path in (run, bundle):
        manifest = json.loads((path / "manifest.json").read_text())
        kind = [manifest[name] for name in ("task", "mode", "role")]
        assert kind == ["question_answering", "generative", "decoder"]
        assert (manifest["inputs"], manifest["features"]) == (["question", "context"], ["token_ids", "num_tokens"])
    verified = open_artifact(bundle).manifest["verification"]
    assert verified["equal_texts"] == 100 and verified["f1"] == verified["f1_of_run"] and "exact_match" in verified
    config = load_config(run / "config.yaml")
    assert (config.model.role, config.training.monitor, config.lengths) == ("decoder", "f1", [56])


def test_every_runtime_gives_the_same_answers(run: Path, bundle: Path) -> None:
    keras = textapp.load(run)
    answers = [keras(*pair) for pair in pairs()]
    expected = [answer.answer for answer in answers]
    right = [answer == f"the {question[0]}" for answer, (question, _) in zip(expected, pairs(), strict=True)]
    assert sum(right) >= 8 and len(set(expected)) > 2
    assert [answer.answer for answer in keras.batch(pairs())] == expected
    litert = textapp.load(bundle)
    assert [answer.answer for answer in litert.batch(pairs())] == expected
    assert litert(*pairs()[0]).score == pytest.approx(answers[0].score, abs=1e-3)
    assert "".join(litert.stream(*pairs()[0])) == expected[0]
    beam = litert(*pairs()[0], beam_size=2, num_hypotheses=2).alternatives
    assert beam[0].answer == expected[0] and beam[0].score > beam[1].score
    program = [sys.executable, "-c", PROGRAM, str(bundle), json.dumps(pairs())]
    found = subprocess.run(program, capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(found.stdout) == expected


@pytest.mark.slow
def test_a_saved_model_gives_the_same_answers(run: Path, tmp_path: Path) -> None:
    expected = [answer.answer for answer in textapp.load(run).batch(pairs())]
    served = export(run, ExportOptions("saved_model", "none"), output=tmp_path / "served")
    assert [answer.answer for answer in textapp.load(served, trusted=True).batch(pairs())] == expected


def test_predict_and_ask(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = tmp_path / "context.txt"
    context.write_text("7 x.")
    assert run_command("predict", bundle, "--question", "c?", "--context", context) == 0
    assert capsys.readouterr().out.startswith("the c\t")
    assert run_command("predict", bundle, "d?") == 0  # without a context
    assert capsys.readouterr().out.startswith("the d\t")
    assert run_command("ask", bundle, "--context", context, "--question", "b?") == 0
    assert capsys.readouterr().out.startswith("the b (")
    rows = [{"id": "a", "question": "b?"}, {"id": "b", "question": " "}, {"id": "c", "question": "b" * 90}]
    assert run_command("predict", bundle, "--input", write(tmp_path / "in.jsonl", rows), "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["answer"] == "the b" and "in.jsonl:2: the question is empty" in lines[1]["error"]
    assert "in.jsonl:3: the question has" in lines[2]["error"] and "expected at most 47" in lines[2]["error"]
    assert run_command("chat", bundle) != 0
    assert "expected a language model" in " ".join(capsys.readouterr().err.split())


def test_check_profiles_prompts_and_answers(run: Path) -> None:
    profile = check(run / "config.yaml")["data"]
    assert (profile["role"], profile["rows"]["train"], profile["copied_share"]) == ("decoder", 400, 0)
    assert profile["answers"]["longest"] == len(" the a") + 1
    assert profile["lengths"]["longest"] == 1 + len("7 x.\nQuestion: a?\nAnswer:")


def test_a_preset_as_it_is_is_measured(tmp_path: Path) -> None:
    """`training.epochs: 0`: the weights of the folder, and lengths chosen by the test file."""
    preset(tmp_path / "preset")
    write(tmp_path / "test.jsonl", examples(12, 3))
    config = parse_config({
        "task": "question_answering", "mode": "generative", "run": str(tmp_path / "run"),
        "data": {"test": "test.jsonl"}, "model": {"architecture": "preset", "path": "preset"},  # below the data
        "training": {"epochs": 0, "device": "cpu"},
    })  # fmt: skip
    as_it_is = train_config(config, tmp_path)
    metrics = json.loads((as_it_is / "metrics.json").read_text())
    assert metrics["test"]["examples"] == 12 and metrics["test"]["f1"] < 60 and metrics["test"]["perplexity"] > 5
    found = load_config(as_it_is / "config.yaml")
    assert (found.model.role, found.generate_lengths, found.lengths) == ("decoder", [(32, 8)], [40])
    assert "\n" not in textapp.load(as_it_is)("a?", "7 x.").answer


@pytest.mark.parametrize(
    ("name", "role", "message"),
    [
        ("bert", None, "found the model_type bert, a text encoder; expected a language model of the type gpt2, llama"),
        ("bart", "decoder", "found the model_type bart, an? encoder-decoder; expected a language model"),
        ("llama", "encoder-decoder", "found the model_type llama, a language model; expected an encoder-decoder"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(name: str, role: str | None, message: str, tmp_path: Path) -> None:
    folder = preset(tmp_path / "preset")
    published.write(name, folder)
    config = config_of(tmp_path, model={"architecture": "preset", "path": str(folder), "role": role})
    with pytest.raises(ConfigError, match=message):
        train_config(parse_config(config), tmp_path)
