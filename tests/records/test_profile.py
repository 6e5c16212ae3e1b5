from __future__ import annotations

import pytest

from textapp.records.profile import balance, duplicates, label_counts, length_profile, odd_texts, overlap, profile


def record(text: str, label: str | list[str] = "x", pair: str | None = None) -> dict:
    return {"text": text, "label": label, **({} if pair is None else {"text_pair": pair})}


def test_length_profile_counts_padding_and_cuts_by_hand() -> None:
    found = length_profile([5] * 50 + [30] * 50, [8, 32])
    assert [bucket["texts_share"] for bucket in found["buckets"]] == [50, 50]
    assert [bucket["padding_share"] for bucket in found["buckets"]] == [37.5, 6.25]
    assert (found["padding_share"], found["cut_share"], found["longest"]) == (12.5, 0, 30)


def test_a_text_over_the_last_bucket_is_cut_and_pads_nothing() -> None:
    found = length_profile([4, 4, 4, 20], [8])
    assert found["cut_share"] == 25
    assert found["padding_share"] == 37.5  # three times 4 of 8, and none in the cut one: 12 of 32
    assert found["buckets"] == [{"length": 8, "texts_share": 100, "padding_share": 37.5, "longer_share": 25}]


def test_a_text_without_tokens_belongs_to_the_first_bucket() -> None:
    assert [bucket["texts_share"] for bucket in length_profile([0, 8, 9], [8, 16])["buckets"]] == [66.67, 33.33]


def test_balance_names_the_largest_and_the_smallest() -> None:
    found = balance([record("t", "a")] * 90 + [record("t", "b")] * 10)
    assert found == {
        "classes": 2, "largest": "a", "largest_share": 90.0, "smallest": "b", "smallest_count": 10, "ratio": 9.0
    }  # fmt: skip


def test_each_of_several_labels_counts() -> None:
    counts = label_counts({"train": [record("t", ["a", "b"]), record("u", ["b"])], "test": [record("v", [])]})
    assert counts == {"a": {"train": 1, "test": 0}, "b": {"train": 2, "test": 0}}


def test_duplicates_tell_repeats_from_contradictions() -> None:
    found = duplicates([record("a", "x"), record(" a ", "x"), record("a", "y"), record("b", "x"), record("b", "x")])
    assert (found["texts"], found["rows"], found["share"], found["other_label"]) == (2, 3, 60, 1)
    assert found["examples"] == [{"text": "a", "labels": ["x", "y"]}]


def test_the_second_text_of_a_pair_tells_records_apart() -> None:
    assert duplicates([record("a", pair="one"), record("a", pair="two")])["rows"] == 0


def test_overlap_puts_other_labels_first() -> None:
    train = [record("a", "x"), record("b", "x")]
    found = overlap(train, [record("a", "x"), record("b", "y"), record("c", "x"), record("d", "x")])
    assert (found["rows"], found["share"], found["other_label"]) == (2, 50, 1)
    assert found["examples"][0] == {"text": "b", "label": "y", "train_labels": ["x"]}


def test_odd_texts_are_empty_or_very_long() -> None:
    found = odd_texts([record(" "), record("word " * 50), record("fine")], [0, 50, 1], longest=8)
    assert (found["empty"], found["very_long"], found["examples"][0]["tokens"]) == (1, 1, 50)


def test_a_clean_data_set_has_no_warning() -> None:
    train = [record(f"text {index}", "ab"[index % 2]) for index in range(40)]
    test = [record(f"other {index}", "ab"[index % 2]) for index in range(10)]
    splits = {"train": train, "test": test}
    tokens = {name: [2] * len(records) for name, records in splits.items()}
    unknown = {name: [0] * len(records) for name, records in splits.items()}
    assert profile(splits, tokens, unknown, [8])["warnings"] == []


def test_each_fault_has_its_warning() -> None:
    train = [record(f"text {index}", "a") for index in range(38)] + [record("text 1", "b"), record("text 2", "b")]
    splits = {"train": train, "validation": [], "test": [record("text 1", "b"), record("text 3", "b"), record("", "c")]}
    tokens = {"train": [2] * 20 + [100] * 20, "validation": [], "test": [2, 2, 0]}
    unknown = {"train": [0] * 40, "validation": [], "test": [1, 0, 0]}
    lines = "\n".join(profile(splits, tokens, unknown, [8])["warnings"])
    assert "'a' is 19 times as frequent as 'b'" in lines
    assert "fewer than 10 training examples: 'b'" in lines
    assert "not in train, so never predicted: 'c'" in lines
    assert "5 % of the training rows repeat" in lines
    assert "2 texts are in train with different labels" in lines
    assert "2 rows of test (66.67 %) are also in train, 1 of them with another label" in lines
    assert "50 % of the training texts are truncated to 8 tokens" in lines
    assert "25 % of the tokens of test are unknown" in lines
    assert "1 empty texts in test" in lines
    assert "20 very long texts in train, the longest of 100 tokens" in lines


@pytest.mark.parametrize("others", [[], ["a"]])
def test_one_label_that_some_texts_have_can_be_learned(others: list[str]) -> None:
    train = [record(f"text {index}", ["a"] if index % 2 else others) for index in range(40)]
    warnings = profile({"train": train}, {"train": [2] * 40}, {"train": [0] * 40}, [8])["warnings"]
    assert warnings == (["train has fewer than two labels: there is nothing to learn"] if others else [])
