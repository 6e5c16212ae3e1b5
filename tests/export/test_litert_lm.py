"""Language models for LiteRT-LM: its own runtime reads and writes what the run does."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from exports import export_run

import textapp
from textapp.artifact import LITERT_LM_FILE, open_artifact
from textapp.commands.benchmark import open_all
from textapp.commands.inspect import inspect
from textapp.decoding.litert_lm import StepRunner
from textapp.decoding.steps import open_session
from textapp.errors import ExportError, UsageError
from textapp.export import litert_lm as module
from textapp.export import options, tflite
from textapp.export.auto import Candidate, smallest
from textapp.export.options import LITERT_LM_PACKAGES, ExportOptions
from textapp.objectives.checks.check import Verdict
from textapp.objectives.litert_lm import check_served, signatures
from textapp.runners.edge import EdgeRunner

MISSING = [name for name in LITERT_LM_PACKAGES if options.util.find_spec(name) is None]
needs_litert_lm = pytest.mark.skipif(bool(MISSING), reason=f"pip install 'textapp[litert-lm]': {MISSING} missing")


@pytest.fixture(scope="module")
def bundle(language_model, documents, tmp_path_factory):
    """The language model for LiteRT-LM in float32. Read only."""
    if MISSING:
        pytest.skip(f"pip install 'textapp[litert-lm]': {MISSING} missing")
    out = tmp_path_factory.mktemp("bundles") / "litert-lm"
    return export_run(language_model, "litert-lm", "none", 0.5, documents, out=out)


def in_litert_lm(bundle: Path, text: str, max_output_tokens: int) -> str:
    """What LiteRT-LM writes after a text."""
    import litert_lm

    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    greedy = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0)
    with litert_lm.Engine(str(bundle / LITERT_LM_FILE), cache_dir=":nocache") as engine:
        settings = {"apply_prompt_template": False, "sampler_config": greedy, "max_output_tokens": max_output_tokens}
        with engine.create_session(**settings) as session:
            session.run_prefill([text])
            return session.run_decode().texts[0]


def test_every_text_is_that_of_the_run(bundle, language_model):
    report = open_artifact(bundle).manifest["verification"]
    assert report["runtime"].startswith("litert-lm-api")
    assert report["equal_texts"] == 100 and report["max_error"] < 1e-3
    assert report["perplexity"] == pytest.approx(report["perplexity_of_run"], rel=1e-4)
    assert report["litert_lm_equal"] == report["litert_lm_texts"] == module.COMPARED
    run = textapp.load(language_model.path)
    for example in json.loads((bundle / "golden.json").read_text(encoding="utf-8")):
        new = example["max_output_tokens"]
        assert in_litert_lm(bundle, example["input"], new) == example["output"]
        assert run(example["input"], max_new_tokens=new).output.lstrip(" ") == example["output"] != ""
        assert run.task.features({"prompt": example["input"]})["token_ids"] == example["token_ids"]


def test_a_prompt_up_to_the_end_of_the_context_is_read_in_parts(bundle, language_model):
    from textapp.models.saving import load_float32

    task, model = textapp.load(language_model.path).task, load_float32(language_model.path / "model.keras")
    text = " ".join(["red", "dog", "sea", "tree"] * 8)
    ids = [2, *task.tokenizer.ids(text)]
    assert len(ids) == 33  # prefill_16 twice, then decode; 36 are the context
    written: list[int] = []
    for _ in range(2):
        logits = np.array(model({"token_ids": np.array([[*ids, *written]], np.int32)}))[0, -1]
        logits[list(model.never_ids)] = -np.inf
        written.append(int(logits.argmax()))
    assert in_litert_lm(bundle, text, 2) == task.decode(written)


def test_padding_behind_the_last_position_changes_nothing(language_model):
    import tensorflow as tf

    from textapp.models.saving import load_float32

    model = load_float32(language_model.path / "model.keras")  # for 40 tokens
    cache = {f"cache_{layer}_{kind}": tf.ones((1, 2, 52, 8)) for layer in range(2) for kind in ("key", "value")}
    tokens, position = tf.constant([[5, 6, 7, 8, 0, 0, 0, 0]]), tf.constant([36])
    logits = [model.step(part, position, cache)[0] for part in (tokens[:, :4], tokens)]
    np.testing.assert_allclose(logits[1][:, :4], logits[0], atol=1e-5)


def test_a_large_file_is_stepped_in_place(language_model, tmp_path, monkeypatch):
    """Its steps write keys and values where they read them, an interpreter's are copied from call to call."""
    from textapp.models.saving import load_float32

    model, task = load_float32(language_model.path / "model.keras"), textapp.load(language_model.path).task
    made, file = signatures(model, task), tmp_path / "model.tflite"
    tflite.write_saved_model(model, made, tmp_path / "saved")
    tflite.convert(tmp_path / "saved", file, [each.name for each in made], "litert", "none", tmp_path / "none.npz")
    prompts = [[2, *(4 + place % 7 for place in range(count))] for count in (0, 4, 19, 32)]
    found = []
    for least in (1 << 40, 0):
        monkeypatch.setattr("textapp.runners.edge.MIN_BYTES", least)
        runner = StepRunner(EdgeRunner(file), task.end_ids, task.tokenizer.pad_id)
        ids = [np.array([prompt], np.int32) for prompt in prompts[1:3]]
        features = [{"token_ids": each, "num_tokens": np.array([each.shape[1]], np.int32)} for each in ids]
        sessions = [open_session(runner, "prefill_16", each, each["token_ids"].shape[1]) for each in features]
        for session, token_id in zip([*sessions, *sessions], (7, 8, 9, 7), strict=True):  # in turn
            session.advance([0], [token_id])
        found.append(([runner.generate(prompt, 3) for prompt in prompts], [each.logits for each in sessions]))
        alone = open_session(runner, "prefill_16", features[0], ids[0].shape[1])
        np.testing.assert_allclose(alone.read_on([7, 9])[-1:], sessions[0].logits, atol=1e-6)
    copied, in_place = found
    assert [[step.token_id for step in steps] for steps in copied[0]] == [
        [step.token_id for step in steps] for steps in in_place[0]
    ]
    np.testing.assert_allclose(in_place[1], copied[1], atol=1e-5)


@needs_litert_lm
def test_int8_weights_keep_the_texts(language_model, documents, tmp_path):
    bundle = export_run(language_model, "litert-lm", "dynamic", 5.0, documents, out=tmp_path / "int8", golden=())
    report = open_artifact(bundle).manifest["verification"]
    assert 0.01 < report["max_error"] < 1  # less would mean that nothing was quantized
    assert report["litert_lm_equal"] >= 0.95 * report["litert_lm_texts"]
    assert not (bundle / "golden.json").exists()


TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'bot:' }}{% endif %}"
)


@needs_litert_lm
def test_a_preset_that_chats_says_the_same_in_a_conversation(tmp_path):
    pytest.importorskip("keras_hub")
    pytest.importorskip("jinja2")
    import language_presets
    import litert_lm

    from textapp.catalog import parse_config
    from textapp.commands.export import export
    from textapp.commands.train import train_config

    preset = language_presets.save_preset("qwen", tmp_path / "preset")  # its tokenizer is a tokenizer.json
    (preset / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    raw = {
        "task": "generation", "run": str(tmp_path / "run"), "lengths": [64], "generate_lengths": [[8, 8], [48, 12]],
        "model": {"architecture": "preset", "path": str(preset)}, "training": {"epochs": 0, "device": "cpu"},
    }  # fmt: skip
    run = train_config(parse_config(raw), tmp_path)
    bundle = export(run, ExportOptions("litert-lm", "none"))
    report = open_artifact(bundle).manifest["verification"]
    assert report["litert_lm_equal"] == report["litert_lm_texts"] > 0
    greedy = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0)
    messages = [{"role": role, "content": text} for role, text in (("system", "Red."), ("user", "dog"))]
    expected = textapp.load(run).chat(messages, max_new_tokens=10).output
    with litert_lm.Engine(str(bundle / LITERT_LM_FILE), cache_dir=":nocache") as engine:
        settings = {"messages": messages[:1], "sampler_config": greedy, "max_output_tokens": 10}
        with engine.create_conversation(**settings) as conversation:
            assert conversation.send_message(messages[1])["content"] == [{"type": "text", "text": expected}]
    golden = json.loads((bundle / "golden.json").read_text(encoding="utf-8"))
    assert [each["role"] for each in golden[0]["input"]] == ["user"]


def test_inspect_shows_the_file_and_benchmark_leaves_it_out(bundle, language_model, tmp_path, capsys):
    found = inspect(bundle, as_json=True)
    assert found["target"] == "litert-lm" and found["size_bytes"][LITERT_LM_FILE] > 10_000
    rows = 36 + 16  # the context, and the longest prefill behind it
    assert found["signatures"]["prefill_16"]["inputs"] == {
        "input_pos": {"shape": [16]}, "tokens": {"shape": [1, 16]},
        **{f"kv_cache_{kind}_{layer}": {"shape": [1, 2, rows, 8]} for kind in "kv" for layer in range(2)},
    }  # fmt: skip
    assert found["signatures"]["decode"]["outputs"]["logits"]["shape"][:2] == [1, 1]
    import shutil

    run = shutil.copytree(language_model.path, tmp_path / "run")
    shutil.copytree(bundle, run / "exports" / "litert-lm")
    capsys.readouterr()
    assert [each.path for each in open_all([run])] == [run]
    assert "for LiteRT-LM, whose own runtime answers from it" in " ".join(capsys.readouterr().err.split())


def test_load_says_what_runs_it(bundle):
    with pytest.raises(UsageError, match=r"model.litertlm: is for LiteRT-LM, .*litert_lm.Engine\(path\)"):
        textapp.load(bundle)


@needs_litert_lm
@pytest.mark.parametrize("name", ["run", "translator"])
def test_only_language_models_are_packed(name, request, records, pairs, tmp_path):
    run, texts = request.getfixturevalue(name), records if name == "run" else pairs
    with pytest.raises(UsageError, match="litert-lm: is for language models, found one of .*: take --target litert"):
        export_run(run, "litert-lm", "none", 0.5, texts, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "steps", "reason"),
    [
        ({"loops_copy": True}, (), "found a preset on KerasHub's own layers, expected one of the GPT-2, Llama"),
        ({"loops_copy": False, "decoder": None}, (), "found an LSTM, expected a Transformer"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_reason(model, steps, reason):
    task: Any = SimpleNamespace(tokenizer=SimpleNamespace(python_steps=steps))
    with pytest.raises(UsageError, match=reason):
        check_served(SimpleNamespace(**model), task)


def test_cleaning_in_python_is_refused(language_model):
    from textapp.models.saving import load_float32

    task: Any = SimpleNamespace(tokenizer=SimpleNamespace(python_steps=("urls",)))
    with pytest.raises(UsageError, match="the cleaning of texts has urls, which LiteRT-LM's tokenizers do not do"):
        check_served(load_float32(language_model.path / "model.keras"), task)


def test_missing_packages_and_batches_are_told(language_model, documents, monkeypatch):
    with pytest.raises(UsageError, match="batch size 4: LiteRT-LM reads one text at a time"):
        ExportOptions("litert-lm", batch_size=4)
    monkeypatch.setattr(options.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"is not installed: pip install 'textapp\[litert-lm\]'"):
        export_run(language_model, "litert-lm", "none", 0.5, documents)


@needs_litert_lm
def test_texts_for_golden_json_have_to_fit(language_model, documents, tmp_path):
    with pytest.raises(UsageError, match="--golden: found 'sea .*expected a prompt of at most 16 tokens"):
        export_run(
            language_model, "litert-lm", "none", 0.5, documents, out=tmp_path / "out", golden=("dog", "sea " * 40)
        )


@needs_litert_lm
def test_without_a_prompt_that_fits_nothing_is_converted(language_model, documents, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "prompts_of", lambda *_: [])
    monkeypatch.setattr("textapp.export.bundle._Export._tflite", lambda *_: pytest.fail("was converted"))
    with pytest.raises(ExportError, match="found no prompt of at most 16 tokens among .* generate_lengths that reads"):
        export_run(language_model, "litert-lm", "none", 0.5, documents, out=tmp_path / "out")


LETTERS: Any = SimpleNamespace(
    running_text=True, tokenizer=SimpleNamespace(chat_template=None), decode=lambda ids: "".join(map(chr, ids))
)
PROMPT = {"input": "ab", "token_ids": [97, 98]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_ids": [97]}, "LiteRT-LM reads 'ab' as the tokens 97, expected 97 98: its tokenizer"),
        ({"text": "cx", "margins": [0.1, 3.0, 0.5]}, "LiteRT-LM continues 'ab' with 'cx', expected 'cde'"),
        ({"text": "cdx", "margins": [3.0, 3.0, 0.5]}, "LiteRT-LM continues 'ab' with 'cdx', expected 'cde'"),
    ],
)
def test_another_text_without_a_near_tie_fails(changes, message):
    found = {"token_ids": [97, 98], "text": "cde", "steps": [99, 100, 101], "margins": [3.0, 3.0, 3.0]}
    assert module._compared(LETTERS, PROMPT, found, 0.2)
    if "text" in changes:  # a near tie at the token that differs
        assert not module._compared(LETTERS, PROMPT, {**found, **changes, "margins": [3.0, 0.1, 0.1]}, 0.2)
    with pytest.raises(ExportError, match=message):
        module._compared(LETTERS, PROMPT, {**found, **changes, **({"margins": [3.0] * 3})}, 0.2)


def test_auto_takes_the_smallest_file_that_passes(tmp_path):
    sizes = {"none": 400, "dynamic": 100}

    def make(quantize: str) -> Candidate:
        if quantize not in sizes:
            raise ExportError("loses too much")
        file = tmp_path / f"{quantize}.tflite"
        file.write_bytes(bytes(sizes[quantize]))
        return Candidate(quantize, file, Verdict({}, {"perplexity": 7.0}))

    chosen, tried = smallest(make, ("none", "float16", "dynamic"), ["perplexity"])
    assert chosen.quantize == "dynamic"
    assert tried == [
        {"quantize": "none", "size_bytes": 400, "perplexity": 7.0},
        {"quantize": "dynamic", "size_bytes": 100, "perplexity": 7.0},
        {"quantize": "float16", "reason": "loses too much"},
    ]
