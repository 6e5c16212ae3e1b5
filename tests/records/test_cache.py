from __future__ import annotations

from textapp.records.cache import TokenCache, folder_key


def test_texts_are_encoded_once(tmp_path) -> None:
    calls = []

    def encode(text: str) -> list[int]:
        calls.append(text)
        return [ord(character) for character in text]

    for _ in range(2):
        rows = TokenCache(tmp_path).ids(["ab", "", "c"], "key", encode)
        assert [row.tolist() for row in rows] == [[97, 98], [], [99]]
        assert rows.lengths.tolist() == [2, 0, 1]
    assert calls == ["ab", "", "c"]
    TokenCache(tmp_path).ids(["a", "bc"], "key", encode)
    TokenCache(tmp_path).ids(["ab", "", "c"], "other", encode)
    assert len(calls) == 8


def test_a_cut_file_is_made_again(tmp_path) -> None:
    cache = TokenCache(tmp_path)
    cache.ids(["ab"], "key", lambda text: [1, 2])
    for path in tmp_path.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-4])
    assert cache.ids(["ab"], "key", lambda text: [3])[0].tolist() == [3]


def test_no_disk_no_harm(tmp_path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert TokenCache(tmp_path / "file").ids(["a"], "key", lambda text: [1])[0].tolist() == [1]


def test_folder_key_sees_every_file_and_setting(tmp_path) -> None:
    (tmp_path / "a").write_text("x", encoding="utf-8")
    first = folder_key(tmp_path)
    assert folder_key(tmp_path, ["lowercase"]) != first
    (tmp_path / "a").write_text("y", encoding="utf-8")
    assert folder_key(tmp_path) != first
