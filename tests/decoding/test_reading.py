"""A text that goes on where another one ended gives the logits of reading it anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toys import Chain, InPlace, Letters, Shared, random_chain

from textapp.decoding.lookup import GuessingSession
from textapp.decoding.reading import Reading
from textapp.decoding.steps import Session, open_session

KINDS = [Chain, InPlace, Shared]


def reading(kind: type[Chain], **settings: Any) -> Reading:
    chain = random_chain(2, Letters.vocabulary_size, kind, memory=False, places=64, **settings)

    def opened(ids: list[int]) -> Session:
        length = 4 if len(ids) <= 4 else 8
        return open_session(chain, f"prefill_{length}", _prompt(ids, length), len(ids))

    return Reading(opened, [4, 8])


def _prompt(ids: list[int], length: int = 4) -> dict[str, np.ndarray]:
    padded = np.zeros((1, length), np.int32)
    padded[0, : len(ids)] = ids
    return {"token_ids": padded, "num_tokens": np.array([len(ids)], np.int32)}


def after(kind: type[Chain], ids: list[int]) -> np.ndarray:
    fresh = reading(kind)
    fresh.read(ids)
    return fresh.logits


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_new_is_read(kind: type[Chain]) -> None:
    kept = reading(kind)
    kept.read([5, 6, 7, 8, 9, 10])
    for token_id in (11, 12):  # as an answer is written
        kept.advance([0], [token_id])
    assert (kept.fresh, kept.steps) == (1, 0)
    kept.read([5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
    assert (kept.fresh, kept.steps) == (1, 2)
    np.testing.assert_array_equal(kept.logits, after(kind, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [1, 5, 6, 7, 9])  # in what was read at once, at its end, in the steps, at the end
def test_what_differs_is_read_again_from_there(kind: type[Chain], place: int) -> None:
    kept, whole = reading(kind), [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    kept.read(whole)
    other = [*whole[:place], 20, 21]
    kept.read(other)
    np.testing.assert_array_equal(kept.logits, after(kind, other))
    kept.read(whole)
    np.testing.assert_array_equal(kept.logits, after(kind, whole))
    kept.advance([0], [22])
    np.testing.assert_array_equal(kept.logits, after(kind, [*whole, 22]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_again_reads_its_last_token_again(kind: type[Chain]) -> None:
    kept = reading(kind)
    kept.read([5, 6, 7])
    kept.read([5, 6, 7])
    assert (kept.fresh, kept.steps) == (1, 1)
    np.testing.assert_array_equal(kept.logits, after(kind, [5, 6, 7]))


def test_much_that_is_new_is_read_at_once() -> None:
    kept = reading(Chain)
    kept.read([5, 6, 7])
    kept.read([5, 6, 7, 8, 9, 10])  # three steps take longer than reading 8 tokens
    assert (kept.fresh, kept.steps) == (2, 0)


def test_several_tokens_at_once_are_worth_it_sooner() -> None:
    kept, whole = reading(InPlace, several=5), [5, 6, 7, 8, 9, 10, 11, 12]
    kept.read(whole[:3])
    kept.read(whole)  # five more in one pass, which is faster than reading 8 tokens
    assert (kept.fresh, kept.steps) == (1, 5)
    np.testing.assert_array_equal(kept.logits, after(InPlace, whole))
    other = [*whole[:5], *range(19, 31)]
    kept.read(other)
    assert (kept.fresh, kept.token_ids) == (1, other)
    np.testing.assert_array_equal(kept.logits, after(InPlace, other))


def test_a_large_model_reads_a_new_conversation_at_once() -> None:
    """Conversations begin alike: the system message of another one is no reason to read hundreds of tokens by fives."""
    kept, whole = reading(InPlace, several=5), [5, 6, 7, 8, 9, 10, 11, 12]
    kept.read([5, 20])
    kept.read(whole)  # two passes for seven tokens, against one prefill
    assert (kept.fresh, kept.steps) == (2, 0)
    np.testing.assert_array_equal(kept.logits, after(InPlace, whole))


def test_guesses_of_an_answer_that_were_read_do_no_harm_later() -> None:
    """What a conversation keeps is what was read, not what was written."""
    kept, prompt = reading(InPlace, several=5), [5, 6, 7, 5, 6, 7]
    kept.read(prompt)
    guessing = GuessingSession(kept, prompt)
    for token_id in (5, 6, 9):  # 6 was guessed, the next two were guessed wrong
        guessing.advance([0], [token_id])
    assert guessing.passes == 2
    for text in ([*prompt, 5, 6, 9, 10, 11], [*prompt, 5, 6, 7, 5, 6, 20]):
        kept.read(text)
        np.testing.assert_array_equal(kept.logits, after(InPlace, text))


@pytest.mark.parametrize("kind", [InPlace, Shared])
def test_a_long_turn_is_read_in_fewer_passes(kind: type[Chain]) -> None:
    """By eight tokens as long as each pass saves more than one over two, and the last few by two."""
    chain = random_chain(2, Letters.vocabulary_size, kind, memory=False, places=64, several=2, extends=8)
    kept = Reading(lambda ids: open_session(chain, "prefill_4", _prompt(ids), len(ids)), [4])
    turns = [list(range(5, 8)), list(range(8, 30)), [9], [30, 29], [7, 9, 11, 13, 15]]
    for count in range(1, len(turns) + 1):
        kept.read(sum(turns[:count], []))
    assert kept.fresh == 1
    assert chain.calls[1:] == [("decode", width) for width in (8, 8, 8, 2, 2, 8)]
    assert [kept.cost(number) for number in (1, 4, 5, 8, 9, 13, 16)] == [1, 2, 2, 2, 3, 4, 4]
    np.testing.assert_array_equal(kept.logits, after(InPlace, sum(turns, [])))


@pytest.mark.parametrize("kind", [InPlace, Shared])
def test_a_turn_at_the_end_of_the_context_is_read_by_less(kind: type[Chain]) -> None:
    chain = random_chain(2, Letters.vocabulary_size, kind, memory=False, places=14, several=2, extends=8)
    kept, text = Reading(lambda ids: open_session(chain, "prefill_4", _prompt(ids), len(ids)), [4]), list(range(5, 19))
    kept.read(text[:3])
    kept.read(text)
    assert chain.calls[1:] == [("decode", width) for width in (8, 2, 1)]
    np.testing.assert_array_equal(kept.logits, after(InPlace, text))


@pytest.mark.parametrize("kind", [InPlace, Shared])
def test_two_readings_of_one_runner_may_take_turns(kind: type[Chain]) -> None:
    one, other = (reading(kind, several=3, extends=8) for _ in range(2))
    one._open = other._open = reading(kind, several=3, extends=8)._open
    one.read([5, 6, 7])
    other.read([8, 9])
    one.read([5, 6, 7, 10])
    other.read([8, 9, 11])
    one.read([5, 6, 12])
    np.testing.assert_array_equal(one.logits, after(InPlace, [5, 6, 12]))
    np.testing.assert_array_equal(other.logits, after(InPlace, [8, 9, 11]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_is_only_gone_on_with(kind: type[Chain]) -> None:
    class Stateful(kind):  # type: ignore[misc, valid-type]
        """As an LSTM: the sum of what was read, which each token replaces."""

        def _prefill(self, features: Any) -> Any:
            count = features["num_tokens"][0]
            return self._state(features["token_ids"][0, :count].sum(dtype=np.float32)[None, None])

        def _decode(self, features: Any) -> Any:
            return self._state(features["cache_0_state"] + features["token_id"][0])

        def _state(self, total: np.ndarray) -> dict[str, np.ndarray]:
            return {"logits": np.cos(total * np.arange(31, dtype=np.float32)[None]), "cache_0_state": total}

        def buffers(self, signature: str) -> Any:
            if kind is Chain:
                return None
            found = super().buffers(signature)
            if "cache_0_key" in found.inputs:
                del found.inputs["cache_0_key"], found.outputs["cache_0_key"]
                found.inputs["cache_0_state"] = np.zeros((1, 1), np.float32)
                found.outputs["cache_0_state"] = np.zeros((1, 1), np.float32)
            return found

    kept = reading(Stateful)
    kept.read([5, 6, 7])
    kept.read([5, 6, 7, 8])
    assert (kept.fresh, kept.steps) == (1, 1)
    np.testing.assert_allclose(kept.logits, after(Stateful, [5, 6, 7, 8]), atol=1e-6)  # sums in another order
    kept.read([5, 6, 7, 9])
    assert (kept.fresh, kept.steps) == (2, 1)
    np.testing.assert_array_equal(kept.logits, after(Stateful, [5, 6, 7, 9]))
