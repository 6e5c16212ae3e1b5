from __future__ import annotations

import gzip
import io
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from textapp.config import data_directory
from textapp.errors import DataError, UsageError
from textapp.records.files import expand, read_source, reading_only
from textapp.remote import RemotePath, is_remote

pytest.importorskip("fsspec")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/a.tsv", True), ("gs://b/*.tsv", True), ("https://host/a.tsv?x=1", True),
        ("simplecache::s3://b/a.tsv", True), ("a.tsv", False), ("/a/b.tsv", False), (r"C:\texts\a.tsv", False),
        ("C:/texts/a.tsv", False), (["s3://b/a"], False), (RemotePath("s3://b/a"), True),
    ],
)  # fmt: skip
def test_what_is_a_url(name: Any, expected: bool) -> None:
    assert is_remote(name) == expected


def test_a_path_by_url_is_like_one_of_this_machine() -> None:
    path = RemotePath("https://host/data/a.tsv.gz?key=a/b")
    assert (path.name, path.suffix, str(path)) == ("a.tsv.gz", ".gz", "https://host/data/a.tsv.gz?key=a/b")
    assert RemotePath("s3://b/run/") / "shards/a" == RemotePath("s3://b/run/shards/a")
    assert len({RemotePath("s3://b"), RemotePath("s3://b")}) == 1


def test_globs_give_each_file_once_by_name_and_folders_are_none(memory: Any) -> None:
    for name in ("b.tsv", "a.tsv", "c.txt", "sub.tsv/d.tsv"):
        memory.pipe_file(f"/data/{name}", b"text\n")
    found = expand(["memory:///data/b.tsv", "memory:///data/*.tsv"], Path())
    assert list(map(str, found)) == ["memory:///data/b.tsv", "memory:///data/a.tsv"]
    assert RemotePath("memory://data").is_dir() and not RemotePath("memory://data").is_file()
    assert RemotePath("memory://data/a.tsv").stat().st_size == 5


def test_files_are_read_plain_packed_and_in_ranges(memory: Any) -> None:
    memory.pipe_file("/a.txt", b"one\ntwo\nthree\n")
    memory.pipe_file("/a.txt.gz", gzip.compress(b"packed\n"))
    path = RemotePath("memory://a.txt")
    assert list(read_source(path).lines()) == ["one\n", "two\n", "three\n"]
    assert list(read_source(RemotePath("memory://a.txt.gz")).lines()) == ["packed\n"]
    with reading_only({path: [(0, 4), (8, 14)]}):
        assert list(read_source(RemotePath("memory://a.txt")).lines()) == ["one\n", "three\n"]


def test_a_file_that_is_not_there(memory: Any) -> None:
    with pytest.raises(DataError, match=r"^memory://a\*.tsv: no such file; expected the URL of a file, or a glob"):
        expand("memory://a*.tsv", Path())


def test_a_connection_that_breaks_is_told_with_the_url(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise RuntimeError("reset by peer")

    memory.pipe_file("/a.txt", b"one\n")
    monkeypatch.setattr(type(memory), "_open", lambda *_, **__: Broken())
    with pytest.raises(DataError, match="^memory://a.txt: cannot be read: memory://a.txt: RuntimeError: reset by peer"):
        read_source(RemotePath("memory://a.txt"))


@pytest.mark.parametrize(
    ("module", "url", "message"),
    [
        ("fsspec.core", "s3://b/a.tsv", r"needs the package 'fsspec', which .*: pip install 'textapp\[remote\]'"),
        ("s3fs", "s3://b/a.tsv", r"^s3://b/a.tsv: s3:// needs a package .*s3fs.*: pip install 'textapp\[remote\]'"),
        ("gcsfs", "gs://b/a.tsv", r"^gs://b/a.tsv: gs:// needs a package .*: pip install 'textapp\[remote\]'"),
        ("none", "nowhere://a", "^nowhere://a: Protocol not known: nowhere: expected a path, or a URL of a protocol"),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, module: str, url: str, message: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=message):
        expand(url, Path())


@pytest.mark.parametrize("folder", ["s3://bucket/data", Path("s3://bucket/data")])
def test_a_folder_of_relative_paths_is_of_this_machine(folder: Any) -> None:
    with pytest.raises(UsageError, match="^--data-dir: found s3:.*expected a folder of this machine: name files"):
        data_directory(folder)


# --- a web server ----------------------------------------------------------------------------------------------------


class Ranges(SimpleHTTPRequestHandler):
    """Files, or a range of one."""

    asked: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        if asked is None:
            return super().do_GET()
        self.asked.append(asked)
        content = Path(self.translate_path(self.path)).read_bytes()
        begin, end = map(int, asked.removeprefix("bytes=").split("-"))
        part = content[begin : end + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()


def test_a_web_server_is_asked_for_the_ranges_alone(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    lines = [f"line {number:07}\n" for number in range(2_000_000)]  # 26 MB
    (tmp_path / "a.txt").write_text("".join(lines))
    handler = type("Handler", (Ranges,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path = RemotePath(f"http://127.0.0.1:{server.server_port}/a.txt")
        assert path.stat().st_size == 26_000_000 and [path] == path.matching()
        with reading_only({path: [(0, 26), (25_999_987, 26_000_000)]}):
            assert list(read_source(path).lines()) == [*lines[:2], lines[-1]]
        assert {str(found) for found in RemotePath(f"http://127.0.0.1:{server.server_port}/*.txt").matching()} == {
            str(path)
        }
        server.shutdown()
    begins = [int(asked.removeprefix("bytes=").split("-")[0]) for asked in handler.asked]
    assert begins and all(begin < 26 or begin > 18_000_000 for begin in begins)
