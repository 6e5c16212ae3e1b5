"""Which tokens of a conversation are the assistant's, for templates and tokenizers of several kinds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from talks import CHATML, MARKS, talk, write_bytes

from textapp.errors import DataError
from textapp.predictors.chat import prompt_ids
from textapp.predictors.conversations import ConversationReader, Turns
from textapp.text.preset import _sentencepiece, preset_tokenizer
from textapp.text.tokenizer import Tokenizer

pytest.importorskip("jinja2")

LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% else %}"
    "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}{% endif %}{% endfor %}"
)
# As Qwen 3: the thoughts of earlier answers are left out, those of the last one are put in where it has none.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% set content = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% set thought = m.content.split('</think>')[0].split('<think>')[-1] if '</think>' in m.content else '' %}"
    "{% if loop.last %}{{ '<think>' + thought + '</think>' + content }}{% else %}{{ content }}{% endif %}"
    "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def reader(folder: Path, template: str = CHATML, merges: tuple[tuple[str, str], ...] = ()) -> ConversationReader:
    tokenizer = preset_tokenizer(write_bytes(folder / "preset", template, merges))
    return ConversationReader(tokenizer, tokenizer.chat_template)


def learnt(found: ConversationReader, turns: Turns) -> list[str]:
    """The answers as they are written, with their special tokens."""
    pieces = found._tokenizer.pieces()
    return [
        "".join(pieces[token_id] for token_id in turns.ids[start:end]).replace("Ġ", " ").replace("Ċ", "\n")
        for start, end in turns.answers
    ]


def test_the_answers_of_chatml_with_their_end_are_learnt_and_nothing_else(tmp_path: Path) -> None:
    found = reader(tmp_path)
    messages = talk("Hi", "Hello.", "Who?", " I ", system="Be.")
    turns = found.turns(messages)
    tokenizer = found._tokenizer
    assert turns.ids == tokenizer.marked_ids(tokenizer.chat_template.render(messages, answer=False))
    assert learnt(found, turns) == ["Hello.<|im_end|>", " I <|im_end|>"]
    assert tokenizer.pieces()[found.end_id] == MARKS[1]
    for answer, (start, _) in zip((2, 4), turns.answers, strict=True):  # where it begins the model is asked
        assert turns.ids[:start] == prompt_ids(tokenizer, tokenizer.chat_template, messages[:answer])


def test_a_template_that_strips(tmp_path: Path) -> None:
    found = reader(tmp_path, LLAMA2)
    turns = found.turns(talk(" Hi", " Hello ", "So", "No"))
    tokenizer = found._tokenizer
    assert turns.ids == tokenizer.marked_ids("<s>[INST] Hi [/INST] Hello </s><s>[INST] So [/INST] No </s>")
    assert learnt(found, turns) == [" Hello </s>", " No </s>"]


def test_a_template_that_drops_thoughts(tmp_path: Path) -> None:
    found = reader(tmp_path, THINKING)
    turns = found.turns(talk("Hi", "<think>x</think>Yo", "So", "<think>y</think>No"))
    assert learnt(found, turns) == ["Yo<|im_end|>", "<think>y</think>No<|im_end|>"]
    assert learnt(found, found.turns(talk("Hi", "Yo"))) == ["<think></think>Yo<|im_end|>"]


def test_no_token_lies_across_the_beginning_of_an_answer(tmp_path: Path) -> None:
    found = reader(tmp_path, merges=(("Ċ", "Ċ"),))  # two line ends are a token
    turns = found.turns(talk("a\n\nb", "\nx\n\n"))
    assert learnt(found, turns) == ["\nx\n\n<|im_end|>"]
    start = turns.answers[0][0]
    assert turns.ids[:start] == prompt_ids(found._tokenizer, found._tokenizer.chat_template, talk("a\n\nb"))
    pieces = [found._tokenizer.pieces()[token_id] for token_id in turns.ids[start:]]
    assert pieces == ["Ċ", "x", "ĊĊ", "<|im_end|>", "Ċ"]


def test_special_tokens_and_marks_that_were_typed_are_text(tmp_path: Path) -> None:
    found = reader(tmp_path)
    turns = found.turns(talk("<|im_end|>", "a<|im_end|>\ufdd0\ufdd1b\ufdd2<|im_start|>"))
    end = found.end_id
    assert learnt(found, turns) == ["a<|im_end|>b<|im_start|><|im_end|>"]
    assert turns.ids.count(end) == 2 and turns.ids[turns.answers[0][1] - 1] == end


def test_sentencepiece_with_a_space_before_words(tmp_path: Path) -> None:
    import sentencepiece

    from textapp.text.chat import ChatTemplate

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["red blue house dog", "the sea at night"] * 20), model_writer=written, vocab_size=300,
        model_type="bpe", byte_fallback=True, hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        minloglevel=2, normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    tokenizer: Tokenizer = _sentencepiece(written.getvalue(), {})
    found = ConversationReader(tokenizer, ChatTemplate(LLAMA2, {"bos_token": "<s>", "eos_token": "</s>"}))
    turns = found.turns(talk("red house", "the dog", "sea", "blue"))
    text = "<s>[INST] red house [/INST] the dog </s><s>[INST] sea [/INST] blue </s>"
    assert turns.ids == tokenizer.marked_ids(text) and found.end_id == 2
    assert [tokenizer.decode(turns.ids[start:end]) for start, end in turns.answers] == ["the dog ", "blue "]
    assert all(turns.ids[end - 1] == 2 for _, end in turns.answers)


def test_a_template_whose_answers_end_only_with_the_conversation(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ '<|im_start|>' + m.content }}{% endfor %}{{ eos_token }}"
    found = reader(tmp_path, template)
    assert learnt(found, found.turns(talk("a", "b", "c", "d"))) == ["b", "d</s>"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}", "writes no special token behind"),
        ("{{ messages[0].content }}</s>", "changes the assistant's messages, or leaves some out"),
        (
            "{% for m in messages %}{{ m.content | upper }}{{ m.content | length }}</s>{% endfor %}",
            "changes the assist",
        ),
        ("{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}", "does it loop for ever"),
        ("{{ raise_exception('No.') }}", "refuses this conversation: No."),
        ("{% for %}", "cannot be rendered"),
    ],
)
def test_templates_that_nothing_can_be_learnt_with(tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        reader(tmp_path, template)
    assert "\n" not in str(caught.value)


def test_a_long_conversation_is_divided_between_turns(tmp_path: Path) -> None:
    found = reader(tmp_path)
    messages = talk("1", "one", "2", "two", "3", "three", "4", "f" * 60, "5", "five", system="S")
    # 11 tokens of the system message, 9 of each of the user, 11 before an answer and 2 behind it
    whole = found.turns(messages)
    assert [part.ids for part in found.within(messages, len(whole.ids))] == [whole.ids]
    parts = found.within(messages, 64)
    assert [learnt(found, part) for part in parts] == [
        ["one<|im_end|>", "two<|im_end|>"], ["three<|im_end|>"], ["f" * 33], ["five<|im_end|>"]
    ]  # fmt: skip
    assert parts[1].ids == found.turns([messages[0], *messages[5:7]]).ids
    assert all(part.ids[:11] == whole.ids[:11] for part in parts) and max(len(part.ids) for part in parts) == 64
    assert found.within(talk("x" * 90, "y"), 64) == []
