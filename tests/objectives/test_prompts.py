from __future__ import annotations

from types import SimpleNamespace

from textapp.objectives.checks.prompts import prompts


class Letters:
    """A token a letter."""

    def encode(self, text):
        return SimpleNamespace(offsets=[(place, place + 1) for place in range(len(text))])


TASK = SimpleNamespace(tokenizer=Letters(), generate_lengths=[(4, 3)], running_text=False)


def test_a_document_is_cut_behind_its_first_tokens():
    assert prompts(TASK, [{"text": "abcdefgh"}]) == [{"prompt": "abc", "text": "def"}]


def test_a_short_document_is_halved_and_one_letter_is_left_out():
    assert prompts(TASK, [{"text": "abcd"}, {"text": "a"}]) == [{"prompt": "ab", "text": "cd"}]


def test_every_signature_gets_prompts_of_its_length():
    task = SimpleNamespace(**{**vars(TASK), "generate_lengths": [(4, 3), (6, 2)]})
    assert [record["prompt"] for record in prompts(task, [{"text": "abcdefghijklmno"}])] == ["abc", "abcde"]


def test_running_text_is_cut_at_places_evenly_over_it():
    task = SimpleNamespace(**{**vars(TASK), "running_text": True})
    found = prompts(task, [{"text": "abcdefghijklmnopqrst"}], min_count=2)
    assert found == [{"prompt": "abc", "text": "def"}, {"prompt": "klm", "text": "nop"}]


def test_prompts_of_the_data_are_taken_as_they_are():
    records = [{"prompt": "ab", "text": "c"}, {"text": "defghijkl"}]
    assert prompts(TASK, records) == [{"prompt": "ab", "text": "c"}, {"prompt": "", "text": "defghijkl"}]
