from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textapp.records.splits import split_connected, split_share

records = st.lists(st.fixed_dictionaries({"text": st.sampled_from("abcdefghijkl"), "label": st.sampled_from("xyz")}))


def test_each_label_gives_its_share() -> None:
    examples = [{"text": str(number), "label": "b" if number % 3 == 0 else "a"} for number in range(150)]
    rest, taken = split_share(examples, 0.1, seed=3)
    assert Counter(record["label"] for record in taken) == {"a": 10, "b": 5}
    assert len(rest) == 135
    assert split_share(examples, 0.1, seed=3) == (rest, taken)
    assert split_share(examples, 0.1, seed=4) != (rest, taken)


@given(records, st.floats(0.05, 0.9))
def test_equal_texts_stay_together_and_nothing_is_lost(examples, share) -> None:
    rest, taken = split_share(examples, share, seed=1)
    assert not {record["text"] for record in rest} & {record["text"] for record in taken}
    assert sorted(map(str, rest + taken)) == sorted(map(str, examples))


def test_a_rare_label_stays_in_train() -> None:
    examples = [{"text": str(number), "label": str(number)} for number in range(9)]
    assert split_share(examples, 0.5, seed=1)[1] == []


def test_no_label_leaves_with_another() -> None:
    several = [{"text": str(i), "label": labels} for i, labels in enumerate([["a", "b"], ["a", "c"], ["b"], ["c"]])]
    disagreeing = [{"text": str(i % 20), "label": "b" if i == 20 else "a"} for i in range(21)]
    for examples in (several, disagreeing):
        for seed in range(20):
            rest, _ = split_share(examples, 0.5, seed)
            assert {label for record in rest for label in record["label"]} >= {"a", "b"}, seed


def test_share_out_of_range() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_share([], 1.0, 0)


SIDES = ("source", "target")
pairs = st.lists(st.fixed_dictionaries({side: st.sampled_from("abcdefghijklmnop") for side in SIDES}), min_size=1)


@given(pairs, st.floats(0.05, 0.9))
def test_no_sentence_stands_on_both_sides(examples, share) -> None:
    rest, taken = split_connected(examples, share, seed=1, fields=SIDES)
    for side in SIDES:
        assert not {pair[side] for pair in rest} & {pair[side] for pair in taken}
    assert rest and len(taken) <= share * len(examples) + 0.5
    order = {id(pair): place for place, pair in enumerate(examples)}
    assert sorted(order[id(pair)] for pair in [*rest, *taken]) == list(range(len(examples)))
    assert [order[id(pair)] for pair in taken] == sorted(order[id(pair)] for pair in taken)


def test_what_others_connect_stays_together() -> None:
    examples = [dict(zip(SIDES, pair, strict=True)) for pair in ("a1", "a2", "b2", "c3", "d4", "e5")]
    for seed in range(20):
        rest, taken = split_connected(examples, 0.5, seed, SIDES)
        assert len(taken) == 3
        chained = [pair in taken for pair in examples[:3]]
        assert len(set(chained)) == 1


def test_pairs_without_company_give_the_share_exactly() -> None:
    examples = [{"source": f"s{number}", "target": f"t{number}"} for number in range(1000)]
    rest, taken = split_connected(examples, 0.1, 7, SIDES)
    assert (len(rest), len(taken)) == (900, 100)
    assert split_connected(examples, 0.1, 7, SIDES) == (rest, taken)
    assert split_connected(examples, 0.1, 8, SIDES) != (rest, taken)
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_connected(examples, 1.0, 7, SIDES)
