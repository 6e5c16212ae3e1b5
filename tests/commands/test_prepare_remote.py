"""`textapp prepare` from and to places that are not on this machine."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from textapp.catalog import load_config
from textapp.commands import prepare as command
from textapp.commands import prepare_shards, prepare_texts
from textapp.errors import ArtifactError, UsageError
from textapp.folders import cache_folder
from textapp.recipes.splits import open_prepared
from textapp.records import parts
from textapp.records.shards import TokenShards
from textapp.remote import RemotePath

pytest.importorskip("fsspec")

CONFIG = """
task: classification
run: run
data: {{train: "{train}", validation: val.tsv{more}}}
tokenizer: {{vocabulary_size: 40}}
model: {{architecture: mlp, subwords: [], ngrams: 2, embedding_dim: 4}}
training: {{epochs: 2, batch_size: 8, device: cpu}}
"""


def rows(count: int) -> str:
    choice = random.Random(3)
    texts = (" ".join(choice.choices(["a", "bad", "cat", "dog", "fine", "good"], k=6)) for _ in range(count))
    return "text\tlabel\n" + "".join(f"{text}\t{'neg' if 'bad' in text else 'pos'}\n" for text in texts)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    """A table here and as an object, and the configs `local`, `remote`, and `prepared` to read what was prepared."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.tsv").write_text(rows(60))
    (folder / "val.tsv").write_text(rows(9))
    url = "memory://bucket"
    for name, train, more in (
        ("local", "train.tsv", ""),
        ("remote", f"{url}/train-*.tsv", ""),
        ("prepared", f"{url}/train-*.tsv", f", prepared: {url}/ids"),
    ):
        (folder / f"{name}.yaml").write_text(CONFIG.format(train=train, more=more))
    return folder


def test_a_preparation_between_buckets_is_that_of_local_files(data: Path, memory: Any, tmp_path: Path) -> None:
    memory.pipe_file("/bucket/train-0.tsv", (data / "train.tsv").read_bytes())
    command.prepare(data / "local.yaml", tmp_path / "of", data_dir=data, workers=1, shards=2)
    place = command.prepare(data / "prepared.yaml", data_dir=data, workers=1, shards=2)
    assert place == RemotePath("memory://bucket/ids")
    for file in sorted((tmp_path / "of" / "shards").iterdir()):
        assert memory.cat_file(f"/bucket/ids/shards/{file.name}") == file.read_bytes()
    manifest = json.loads(memory.cat_file("/bucket/ids/manifest.json"))
    assert {f"/bucket/ids/{name}" for name in [*manifest["files"], "manifest.json"]} == set(memory.find("/bucket/ids"))
    assert manifest["origin"] == "memory://bucket/train-*.tsv"
    shards = open_prepared(load_config(data / "prepared.yaml"), data)
    assert shards is not None and len(shards) == 60 and shards.folder.parent == cache_folder()
    own = TokenShards.open(tmp_path / "of")
    assert [*map(list, shards.column("token_ids"))] == [*map(list, own.column("token_ids"))]
    assert shards.targets.tolist() == own.targets.tolist()
    kept = [path.name.split("-")[0] for path in cache_folder().iterdir()]
    assert kept == ["artifact"]  # and nothing of where it was made


def test_a_copy_is_made_once_and_anew_after_another_preparation(data: Path, memory: Any, caplog: Any) -> None:
    memory.pipe_file("/bucket/train-0.tsv", (data / "train.tsv").read_bytes())
    config = load_config(data / "prepared.yaml")
    command.prepare(data / "prepared.yaml", data_dir=data, workers=1, shards=3)
    first = open_prepared(config, data)
    memory.rm("/bucket/ids/shards/train-00000-of-00003.npy")  # what is copied already is not asked for again
    assert open_prepared(config, data).folder == first.folder
    with pytest.raises(ArtifactError, match="^memory://bucket/ids: is finished already: use --overwrite to replace"):
        command.prepare(data / "prepared.yaml", data_dir=data, workers=1)
    command.prepare(data / "prepared.yaml", data_dir=data, workers=1, shards=1, overwrite=True)
    assert open_prepared(config, data).folder != first.folder
    assert [name.rpartition("/")[2] for name in sorted(memory.find("/bucket/ids/shards"))] == [
        "train-00000-of-00001.npy", "train-00000-of-00001.tfrecord",
    ]  # fmt: skip


def test_a_copy_that_broke_off_is_made_from_what_is_finished(
    data: Path, memory: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    memory.pipe_file("/bucket/train-0.tsv", (data / "train.tsv").read_bytes())
    upload = RemotePath.upload

    def breaks(place: RemotePath, folder: Path, names: list[str]) -> None:
        upload(place, folder, names[:2])
        raise OSError("memory://bucket/ids: ConnectionError: gone")

    monkeypatch.setattr(RemotePath, "upload", breaks)
    with pytest.raises(ArtifactError, match="ConnectionError: gone; what is finished is kept"):
        command.prepare(data / "prepared.yaml", data_dir=data, workers=1, shards=2)
    with pytest.raises(ArtifactError, match="^memory://bucket/ids: has no manifest.json"):
        open_prepared(load_config(data / "prepared.yaml"), data)
    monkeypatch.setattr(RemotePath, "upload", upload)
    monkeypatch.setattr(prepare_shards, "write_shard", lambda *given: pytest.fail("written again"))
    with caplog.at_level(logging.INFO):
        command.prepare(data / "prepared.yaml", data_dir=data, workers=1, shards=2)
    assert any(record.getMessage().startswith("resuming") for record in caplog.records)
    assert len(open_prepared(load_config(data / "prepared.yaml"), data)) == 60


def test_a_damaged_or_malicious_folder_is_not_copied(data: Path, memory: Any) -> None:
    memory.pipe_file("/bucket/train-0.tsv", (data / "train.tsv").read_bytes())
    config = load_config(data / "prepared.yaml")
    command.prepare(data / "prepared.yaml", data_dir=data, workers=1, shards=1)
    shard = "/bucket/ids/shards/train-00000-of-00001.tfrecord"
    content = memory.cat_file(shard)
    memory.pipe_file(shard, content[:-1])
    with pytest.raises(ArtifactError, match=f"^memory:/{shard}: changed since it was written"):
        open_prepared(config, data)
    memory.rm(shard)
    with pytest.raises(ArtifactError, match="^memory://bucket/ids: has no manifest.json, or a file that it lists is"):
        open_prepared(config, data)
    manifest = json.loads(memory.cat_file("/bucket/ids/manifest.json"))
    manifest["files"] = {"../evil": "0" * 64}
    memory.pipe_file("/bucket/ids/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match="expected names of files inside the folder"):
        open_prepared(config, data)
    assert list(cache_folder().iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_before_the_work(data: Path, memory: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "checksums", lambda *_: pytest.fail("began to read"))
    monkeypatch.setattr(type(memory), "pipe_file", lambda *_, **__: (_ for _ in ()).throw(PermissionError("denied")))
    with pytest.raises(UsageError, match="^memory://bucket/other: cannot be written: denied"):
        command.prepare(data / "local.yaml", "memory://bucket/other", data_dir=data, workers=1)


def test_processes_read_parts_of_a_remote_file(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes read a table by its URL, each its ranges; one process reads the file as a whole."""
    (data / "train.tsv").write_text(rows(165_000))
    monkeypatch.setattr(parts, "PART_BYTES", 1 << 20)
    asked, cut = [], parts.parts_of
    monkeypatch.setattr(prepare_texts, "parts_of", lambda *given: asked.append(cut(*given)) or asked[-1])
    change = [f"data.train=file://{data}/train.tsv"]
    for workers, to in ((1, tmp_path / "one"), (2, f"file://{tmp_path}/two")):
        command.prepare(data / "local.yaml", to, change, data_dir=data, workers=workers, shards=2)
    (group,) = asked[-1]
    assert len(group) == 2 and all(isinstance(path, RemotePath) for part in group for path in part.ranges)
    for file in ("manifest.json", "shards/train-00001-of-00002.tfrecord"):
        assert (tmp_path / "two" / file).read_bytes() == (tmp_path / "one" / file).read_bytes()
