from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textapp.records.splits import split_share

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


def test_share_out_of_range() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_share([], 1.0, 0)
