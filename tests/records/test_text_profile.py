"""What a profile of sentence pairs and of documents counts, by hand."""

from __future__ import annotations

from textapp.records.text_profile import (
    document_profile,
    length_ratio,
    pair_duplicates,
    pair_overlap,
    pair_profile,
    unknown_characters,
)


def pairs(*texts: str) -> list[dict]:
    return [dict(zip(("source", "target"), text.split("-"), strict=True)) for text in texts]


def test_lengths_that_do_not_fit() -> None:
    found = length_ratio(pairs("a-1", "b-2", "c-3"), [10, 10, 10], [10, 10, 50])
    assert (found["usual"], found["odd"], found["share"]) == (1.0, 1, 33.33)
    assert found["examples"] == [{"source": "c", "target": "3", "source_tokens": 10, "target_tokens": 50}]
    shorter = length_ratio(pairs("a-1", "b-2", "c-3"), [10, 10, 50], [10, 10, 10])
    assert shorter["odd"] == 1
    assert length_ratio(pairs("a-1", "b-2", "c-3"), [1, 1, 1], [1, 1, 7])["odd"] == 0  # too short to tell


def test_repeated_pairs() -> None:
    assert pair_duplicates(pairs("a-1", "a-1", "a-2", "b-2", "c-c")) == {
        "rows": 1, "share": 20.0, "sources_with_several": 1, "targets_with_several": 1, "same_on_both_sides": 1
    }  # fmt: skip


def test_pairs_that_stand_in_train() -> None:
    found = pair_overlap(pairs("a-1", "b-2"), pairs("a-1", "a-2", "a-9", "x-1", "x-9"))
    assert {key: found[key] for key in ("rows", "share", "pairs", "sources", "targets")} == {
        "rows": 4, "share": 80.0, "pairs": 1, "sources": 3, "targets": 3
    }  # fmt: skip


def test_unknown_characters() -> None:
    assert unknown_characters(["ab", "aq"], "ab".__contains__) == {"share": 25.0, "different": 1, "examples": ["q"]}
    assert unknown_characters([" \n"], "ab".__contains__)["different"] == 0


def test_a_profile_of_pairs_warns() -> None:
    splits = {"train": pairs("a-1", "a-1", "b-b", "q-3"), "validation": [], "test": pairs("a-9", "z-z")}
    knows = {"source": "abq".__contains__, "target": "123b".__contains__}
    tokens = {"source": [10, 10, 10, 10], "target": [10, 10, 10, 90]}
    found = pair_profile(splits, tokens, knows, [8], [(8, 16)])
    assert found["rows"] == {"train": 4, "validation": 0, "test": 2} and list(found["overlaps"]) == ["test"]
    expected = [
        "1 training pairs have lengths that do not match", "25 % of the training pairs repeat",
        "1 training pairs have the same text on both sides",
        "1 pairs of test (50 %) have a side that is also in train, 0 of them the whole pair",
        "100 % of the training sources are longer than 8 tokens: add to lengths",
        "50 % of the characters of test on the source side are not in the vocabulary (z)",
        "25 % of the training targets are longer than 16 tokens: add to generate_lengths",
        "100 % of the characters of test on the target side",
    ]  # fmt: skip
    assert len(found["warnings"]) == len(expected)
    assert all(line.startswith(words) for line, words in zip(found["warnings"], expected, strict=True))


def test_documents() -> None:
    splits = {"train": [{"text": "ab"}, {"text": "ab"}, {"prompt": "b", "text": "a"}], "test": [{"text": "ab"}]}
    found = document_profile(splits, [4, 4, 9], "ab".__contains__, 8, running_text=False)
    assert (found["characters"], found["tokens"], found["prompts"]) == ({"train": 5, "test": 2}, 17, 1)
    assert found["duplicates"] == {"rows": 1, "share": 33.33, "examples": ["ab"]}
    assert found["overlaps"]["test"]["share"] == 100.0 and found["lengths"]["cut_share"] == 33.33
    assert [line.split()[0] for line in found["warnings"]] == ["33.33", "1", "33.33"]


def test_running_text_repeats_long_lines() -> None:
    line = "a line that is long enough to be no chance at all"
    splits = {"train": [{"text": f"x\n{line}\nx\n"}], "validation": [{"text": f"{line}\nx"}]}
    found = document_profile(splits, [30], lambda character: True, 8, running_text=True)
    assert found["duplicates"]["rows"] == 0 and found["overlaps"]["validation"]["rows"] == 1
    assert found["warnings"] == [
        "1 long lines of validation (100 %) are also in train: scores on them say nothing about new texts"
    ]
