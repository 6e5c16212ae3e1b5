from __future__ import annotations

import errno
import json
import shutil

import numpy as np
import pytest
from exports import export_run

import textapp
from textapp.artifact import Artifact, open_artifact, write_manifest
from textapp.errors import ArtifactError, ExportError, UsageError
from textapp.export import bundle as module
from textapp.export.options import golden_texts
from textapp.folders import WorkFolder
from textapp.runners.edge import EdgeRunner


@pytest.fixture(scope="module")
def litert(run, records, tmp_path_factory):
    """The run exported for LiteRT with dynamic-range int8. Read only."""
    return export_run(run, "litert", "dynamic", 0.5, records, out=tmp_path_factory.mktemp("bundles") / "litert")


def changed_run(run: Artifact, folder, change) -> Artifact:
    """A copy of a run whose Keras model went through `change`."""
    import keras

    shutil.copytree(run.path, folder)
    model = keras.models.load_model(folder / "model.keras")
    change(model).save(folder / "model.keras")
    content = {key: value for key, value in run.manifest.items() if key not in ("format", "files")}
    write_manifest(folder, content)
    return open_artifact(folder)


def test_a_bundle_answers_its_golden_examples(litert):
    golden = json.loads((litert / "golden.json").read_text(encoding="utf-8"))
    runner = EdgeRunner(litert / "model.tflite")
    assert len(golden) == 3
    for example in golden:
        inputs = {name: np.array([ids], np.int32) for name, ids in example["inputs"].items()}
        found = runner.run(example["signature"], inputs)["probabilities"][0]
        np.testing.assert_allclose(found, example["probabilities"], atol=1e-6)


def test_a_bundle_is_all_that_a_predictor_needs(litert, records, tmp_path):
    shutil.copytree(litert, tmp_path / "device")
    answers = textapp.load(tmp_path / "device")
    assert [answers(record["text"]).label for record in records[:20]] == [record["label"] for record in records[:20]]
    names = sorted(path.name for path in litert.iterdir())
    assert names == ["golden.json", "manifest.json", "model.tflite", "tokenizer"]


def test_the_manifest_tells_what_was_verified(litert, run):
    manifest = open_artifact(litert).manifest
    assert (manifest["kind"], manifest["target"], manifest["quantize"]) == ("bundle", "litert", "dynamic")
    assert manifest["labels"] == run.manifest["labels"]
    assert manifest["parent"] == {"run": "bag", "sha256": run.manifest["files"]["model.keras"]}
    assert manifest["signatures"]["classify_16"] == {
        "inputs": {"token_ids": [1, 16]}, "outputs": {"probabilities": [1, 2]}
    }  # fmt: skip
    report = manifest["verification"]
    assert report["runtime"].startswith("ai-edge-litert")
    assert report["examples"] == 240
    assert 0 < report["max_error"] < 0.05  # 0 would mean that nothing was quantized
    assert report["accuracy"] == manifest["quality"]["accuracy"] >= 95
    assert report["f1_macro"] == manifest["quality"]["f1_macro"] >= 95


def test_a_changed_file_is_detected(litert, tmp_path):
    shutil.copytree(litert, tmp_path / "copy")
    content = bytearray((tmp_path / "copy" / "model.tflite").read_bytes())
    content[-1] ^= 1
    (tmp_path / "copy" / "model.tflite").write_bytes(content)
    with pytest.raises(ArtifactError, match="model.tflite: changed since it was written"):
        open_artifact(tmp_path / "copy")


@pytest.mark.parametrize(
    ("target", "quantize"),
    [
        ("litert", "none"),
        ("litert", "float16"),
        ("litert", "int8"),
        ("tflite-runtime", "none"),
        ("tflite-runtime", "float16"),
        ("tflite-runtime", "dynamic"),
    ],
)
def test_every_pair_of_target_and_quantization_keeps_the_answers(run, records, tmp_path, target, quantize):
    manifest = open_artifact(export_run(run, target, quantize, 0.5, records, out=tmp_path / target)).manifest
    assert manifest["verification"]["agreement"] >= 99
    assert manifest["verification"]["runtime"].startswith("ai-edge-litert" if target == "litert" else target)


def test_nan_is_refused_and_the_old_export_survives(run, records, litert, tmp_path):
    def poison(model):
        weights = model.get_weights()
        weights[-1] = np.full_like(weights[-1], np.nan)
        model.set_weights(weights)
        return model

    broken = changed_run(run, tmp_path / "broken", poison)
    place = broken.path / "exports" / "litert"
    shutil.copytree(litert, place)
    before = open_artifact(place).manifest
    with pytest.raises(ExportError, match="NaN or infinity in the outputs of the Keras model"):
        export_run(broken, "litert", "none", 0.5, records)
    assert open_artifact(place).manifest == before
    assert [path.name for path in place.parent.iterdir()] == ["litert"]


def test_an_op_without_a_builtin_is_named(run, records, tmp_path):
    def add_flex(model):
        import keras

        # BitwiseAnd is no builtin of TensorFlow Lite
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        same = keras.ops.bitwise_and(token_ids, keras.ops.full_like(token_ids, 1023))
        return keras.Model({"token_ids": token_ids}, model({"token_ids": same}))

    flex = changed_run(run, tmp_path / "flex", add_flex)
    with pytest.raises(ExportError, match=r"not builtins of TensorFlow Lite: .*BitwiseAnd"):
        export_run(flex, "litert", "none", 0.5, records)
    assert not (flex.path / "exports" / "litert").exists()


def test_a_disk_error_leaves_the_old_export(run, records, litert, tmp_path, monkeypatch):
    place = tmp_path / "litert"
    shutil.copytree(litert, place)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_manifest", full)
    with pytest.raises(ExportError, match=r"could not be written: .*No space left.* unchanged"):
        export_run(run, "litert", "none", 0.5, records, out=place)
    assert open_artifact(place).manifest["quantize"] == "dynamic"
    assert list(tmp_path.iterdir()) == [place]


def test_only_a_bundle_is_ever_replaced(run, records, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(UsageError, match="exists and is not a bundle"):
        export_run(run, "litert", "none", 0.5, records, out=tmp_path)
    with pytest.raises(UsageError, match="exists and is not a bundle"):
        export_run(run, "litert", "none", 0.5, records, out=run.path)
    assert (tmp_path / "thesis.txt").exists()


def test_files_of_the_user_in_a_bundle_stay(run, records, litert, tmp_path):
    place = tmp_path / "litert"
    shutil.copytree(litert, place)
    (place / "measured.txt").write_text("on three phones")
    (place / "tokenizer" / "notes.txt").write_text("mine")
    manifest = open_artifact(export_run(run, "litert", "none", 0.5, records, out=place)).manifest
    assert manifest["quantize"] == "none" and "measured.txt" not in manifest["files"]
    assert (place / "measured.txt").read_text() == "on three phones"
    assert (place / "tokenizer" / "notes.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [place]


def test_two_exports_to_one_folder_are_refused(run, records, tmp_path):
    with (
        WorkFolder(tmp_path / "litert", "export"),
        pytest.raises(ArtifactError, match=r"litert: process \d+ on .* works on it \(export"),
    ):
        export_run(run, "litert", "none", 0.5, records, out=tmp_path / "litert")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "quantize", "text", "message"),
    [
        ("onnx", "none", False, "target: found 'onnx', expected one of litert, tflite-runtime, saved_model"),
        ("litert", "int3", False, "quantize: found 'int3', expected one of none"),
        ("litert", "int4", False, "quantize int4: is for models that write"),
        ("tflite-runtime", "int4", False, "quantize int4: tflite-runtime 2.14 has no matrix product with int4"),
        ("saved_model", "int8", False, "found 'int8', expected none, int8-weights or int4-weights for target"),
        ("litert", "int4-weights", False, "found 'int4-weights', expected one of none, float16, dynamic, int8, int4"),
        ("litert", "none", True, "the text signature needs target saved_model"),
    ],
)
def test_a_call_that_does_not_go_together_is_refused(run, records, target, quantize, text, message):
    with pytest.raises(UsageError, match=message):
        export_run(run, target, quantize, 0.5, records, text_signature=text)


def test_without_examples_there_is_no_export(run, litert, records):
    with pytest.raises(ExportError, match="found no examples, expected some to verify the export on"):
        export_run(run, "litert", "none", 0.5, [])
    with pytest.raises(UsageError, match="is a bundle, expected a run folder"):
        export_run(open_artifact(litert), "litert", "none", 0.5, records)


def test_a_bundle_tells_nothing_of_the_machine_and_no_text_unasked(run, records, tmp_path):
    changed = Artifact(run.path, {**run.manifest, "data_dir": str(tmp_path)})
    bundle = export_run(changed, "litert", "none", 0.5, records, out=tmp_path / "none", golden=())
    assert not (bundle / "golden.json").exists()
    assert "data_dir" not in open_artifact(bundle).manifest
    assert str(tmp_path.parent).encode() not in b"".join(
        file.read_bytes() for file in bundle.rglob("*") if file.is_file()
    )


@pytest.mark.parametrize("target", ["litert", "saved_model"])
def test_golden_examples_of_the_user_s_own(run, records, tmp_path, target):
    (tmp_path / "texts.txt").write_text("\ufeffa lovely town\r\n\na very dull film\n", encoding="utf-8")
    texts = golden_texts(str(tmp_path / "texts.txt"))
    bundle = export_run(run, target, "none", 0.5, records, out=tmp_path / "bundle", golden=texts)
    golden = json.loads((bundle / "golden.json").read_text(encoding="utf-8"))
    assert [each["text"] for each in golden] == ["a lovely town", "a very dull film"]
    assert [each["label"] for each in golden] == ["good", "bad"]
    predictor = textapp.load(bundle, trusted=True)
    for example in golden:
        answer = predictor(example["text"])
        np.testing.assert_allclose(list(answer.probabilities.values()), example["probabilities"], atol=1e-5)
    assert not [file for file in bundle.iterdir() if file.suffix == ".npz"]


def test_a_file_of_golden_texts_that_cannot_be_read(tmp_path):
    assert golden_texts(None) is None and golden_texts("none") == ()
    (tmp_path / "empty.txt").write_text("\n \n")
    for name, message in (("absent.txt", "No such file"), ("empty.txt", "found no text")):
        with pytest.raises(UsageError, match=f"--golden .*{name}: .*{message}"):
            golden_texts(str(tmp_path / name))
