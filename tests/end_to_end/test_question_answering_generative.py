"""Answers that are written: trained on a file of questions, measured, asked, and the same on every runtime."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
from environments import ROOT, call
from translator_presets import save_preset

import textapp
from textapp import cli
from textapp.artifact import open_artifact
from textapp.commands.check import check
from textapp.commands.evaluate import evaluate
from textapp.commands.export import export
from textapp.commands.inspect import inspect
from textapp.commands.train import train
from textapp.export.options import ExportOptions

pytestmark = pytest.mark.evaluate
THINGS = ["balls", "caps", "pens", "hats"]
PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "keras_hub", "tf_keras")))  # importing them raises ImportError
import textapp
predictor = textapp.load(sys.argv[1])
print(json.dumps([predictor(*pair).answer for pair in json.loads(sys.argv[2])]))
"""


def example(dice: random.Random) -> dict:
    """A context with two numbers, and a question about one of them; its answer says what is counted, too."""
    things, numbers = dice.sample(THINGS, 2), dice.sample(range(1, 10), 2)
    asked = dice.randrange(2)
    context = f"a box has {numbers[0]} {things[0]} and {numbers[1]} {things[1]}."
    answer = f"{numbers[asked]} of the {things[asked]}"  # stands nowhere in the context
    return {"question": f"how many {things[asked]}?", "context": context, "answer": answer}


def examples(count: int, seed: int) -> list[dict]:
    dice = random.Random(seed)
    return [example(dice) for _ in range(count)]


def write(file: Path, rows: list[dict]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Transformer that learned to look numbers up. Read only."""
    folder = tmp_path_factory.mktemp("writer")
    config = {
        "task": "question_answering", "mode": "generative", "run": str(folder / "run"),
        "data": {
            "train": write(folder / "train.jsonl", [*examples(1600, 1), {"question": "why?", "answer": ""}]),
            "validation": write(folder / "dev.jsonl", examples(60, 2)),
            "test": write(folder / "test.jsonl", examples(60, 3)),
            "language": "en",
        },
        "tokenizer": {"kind": "bpe", "vocabulary_size": 60}, "lengths": [48], "generate_lengths": [[48, 10]],
        "model": {
            "architecture": "transformer", "hidden_dim": 32, "encoder_layers": 2, "decoder_layers": 1, "num_heads": 2,
            "intermediate_dim": 64, "dropout": 0.0,
        },
        "training": {"epochs": 20, "batch_size": 32, "learning_rate": 0.01, "precision": "float32",
                     "warmup_steps": 50, "average_checkpoints": 0},
    }  # fmt: skip
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))
    train(file)
    return folder / "run"


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model for LiteRT in float32. Read only."""
    return export(run, ExportOptions("litert", "none"), output=tmp_path_factory.mktemp("bundle") / "bundle")


def pairs() -> list[tuple[str, str]]:
    asked = [(row["question"], row["context"]) for row in examples(12, 5)]
    return [*asked, ("how many hats?", ""), ("how many pens?", "a box has 7 pens and 1 caps. " * 5)]


def run_command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    return left.value.code


def test_it_learned_to_read_numbers_and_to_write_more_than_the_context_has(run: Path, capsys) -> None:
    figures = evaluate(run, as_json=True)
    assert json.loads(capsys.readouterr().out)["f1"] == figures["f1"]
    assert figures["examples"] == 60 and figures["f1"] > 80 and figures["exact_match"] > 60  # by chance 25
    assert figures["bleu"] > 50 and figures["rougeL"] > 75 and 1 <= figures["perplexity"] < 2
    assert figures["groups"]["first word of question"]["how"]["f1"] == pytest.approx(figures["f1"])
    evaluate(run)
    shown = capsys.readouterr().out
    assert "by first word of question" in shown and "tokens_per_second" in shown


def test_the_manifest_has_what_a_device_needs(run: Path, bundle: Path, capsys) -> None:
    for path in (run, bundle):
        manifest = json.loads((path / "manifest.json").read_text())
        assert (manifest["task"], manifest["mode"]) == ("question_answering", "generative")
        assert manifest["inputs"] == ["question", "context"] and manifest["generate_lengths"] == [[48, 10]]
    found = inspect(bundle)
    assert found["mode"] == "generative" and {"exact_match", "f1", "perplexity"} <= found["quality"].keys()
    assert {"generate_48_10", "prefill_48", "decode"} == found["signatures"].keys()
    golden = json.loads((bundle / "golden.json").read_text())[0]
    assert golden["context"].startswith("a box has") and golden["output"].endswith(golden["input"][9:-1])
    profile = check(run / "config.yaml")["data"]
    assert (profile["copied_share"], profile["rows"]["train"]) == (0, 1600)


def test_every_runtime_gives_the_same_answers(run: Path, bundle: Path, tmp_path: Path) -> None:
    keras = textapp.load(run)
    expected = [keras(*pair).answer for pair in pairs()]
    assert [answer.answer for answer in keras.batch(pairs())] == expected and len(set(expected)) > 5
    served = export(run, ExportOptions("saved_model", "none"), output=tmp_path / "served")
    assert [answer.answer for answer in textapp.load(served, trusted=True).batch(pairs())] == expected
    litert = textapp.load(bundle, workers=2)
    assert [answer.answer for answer in litert.batch(pairs(), workers=2)] == expected
    assert "".join(litert.stream(*pairs()[0])) == expected[0]
    beams = litert(*pairs()[0], beam_size=2, num_hypotheses=2)
    assert beams == litert(question=pairs()[0][0], context=pairs()[0][1], beam_size=2, num_hypotheses=2)
    done = call(Path(sys.executable), "-c", PROGRAM, bundle, json.dumps(pairs()), env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and json.loads(done.stdout) == expected, done.stderr


def test_predict_with_context_without_and_from_files(bundle: Path, tmp_path: Path, capsys) -> None:
    row = examples(1, 5)[0]
    file = tmp_path / "context.txt"
    file.write_text(row["context"])
    expected = textapp.load(bundle)(row["question"], row["context"])
    assert run_command("predict", bundle, "--question", row["question"], "--context", file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"id": None, "question": row["question"], "answer": expected.answer,
                     "score": pytest.approx(expected.score, abs=1e-6), "alternatives": []}  # fmt: skip
    for arguments in (["--question", "how many hats?"], ["how many hats?"]):
        assert run_command("predict", bundle, *arguments) == 0
        assert capsys.readouterr().out.split("\t")[2] == "how many hats?\n"
    rows = [{"id": "a", **row}, {"id": "b", "question": "how many hats?"}, {"id": "c", "question": " "},
            {"id": "d", "question": "hats " * 60}]  # fmt: skip
    code = run_command("predict", bundle, "--input", write(tmp_path / "in.jsonl", rows), "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("id") for line in lines] == ["a", "b", "c", "d"] and code == 0
    assert lines[0]["answer"] == expected.answer
    assert (
        "in.jsonl:3: the question is empty" in lines[2]["error"] and "tokens, expected at most 47" in lines[3]["error"]
    )
    assert run_command("predict", bundle, "--question", "x", "--no-answer-threshold", 0.5) == 2
    assert "no-answer-threshold is not for a model of question_answering" in " ".join(capsys.readouterr().err.split())


def test_ask_a_file_and_documents(bundle: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    pytest.importorskip("bm25s")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "documents"
    folder.mkdir()
    for number, row in enumerate(examples(3, 5)):
        (folder / f"{number}.txt").write_text(f"box {number}xx: {row['context']}", encoding="utf-8")
    context, question = folder / "1.txt", examples(3, 5)[1]["question"]
    answer = textapp.load(bundle)(question, context.read_text()).answer
    assert run_command("ask", bundle, "--context", context, "--question", question) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{answer} (") and second.startswith("  1.txt, characters 0-")
    asked = ("ask", bundle, "--documents", folder, "--question", f"{question} 1xx", "--num-answers", 2, "--json")
    assert run_command(*asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == "1.txt" and found["answer"] and len(found["alternatives"]) == 1
    assert found["start"] is None and 0 < found["score"] <= 1 and found["passage_score"] > 0


def written(path: Path) -> list:
    """The answers of greedy decoding, streamed too, and of two beams."""
    pairs = [("red house?", "the sea at night"), ("dog?", ""), ("night", "the blue dog at the sea. " * 9)]
    predictor = textapp.load(path, trusted=True)
    greedy = [predictor(*pair).answer for pair in pairs]
    assert ["".join(predictor.stream(*pair)) for pair in pairs] == greedy and len(set(greedy)) > 1
    beams = [predictor(*pair, beam_size=2, num_hypotheses=2).alternatives for pair in pairs]
    return [greedy, [[other.answer for other in found] for found in beams]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bart", "t5"])
def test_an_encoder_decoder_preset_answers_the_same_everywhere(name: str, tmp_path: Path) -> None:
    save_preset(name, tmp_path / "preset")
    words = ["red", "blue", "house", "dog"]
    rows = [{"question": f"{one}?", "context": f"the {two} {n}", "answer": one}
            for one in words for two in words for n in range(4)]  # fmt: skip
    config = {
        "task": "question_answering", "mode": "generative", "run": str(tmp_path / "run"), "lengths": [32],
        "generate_lengths": [[32, 12]],
        "data": {"train": write(tmp_path / "train.jsonl", rows), "validation": 0.2, "language": "en"},
        "model": {"architecture": "preset", "path": str(tmp_path / "preset")},
        "training": {"epochs": 1, "batch_size": 16, "device": "cpu", "precision": "float32"},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(json.dumps(config), encoding="utf-8")
    run = train(tmp_path / "run.yaml")
    figures = evaluate(run, data=[tmp_path / "train.jsonl"])
    assert figures["perplexity"] > 1 and 0 <= figures["f1"] <= 100
    expected = written(run)
    for target in ("litert", "saved_model"):
        bundle = export(run, ExportOptions(target, "none", max_drop=100))
        assert open_artifact(bundle).manifest["verification"]["equal_texts"] == 100
        assert written(bundle) == expected
    bundle = export(run, ExportOptions("litert", "dynamic", 100), output=tmp_path / "int8")
    assert open_artifact(bundle).manifest["quantize"] == "dynamic"
