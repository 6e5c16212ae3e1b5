"""Conversations over a chain that implements the runner's protocol."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from toys import Chain, InPlace, Letters, random_chain

from textapp.errors import DataError, OptionError, UsageError
from textapp.predictors.chat import checked_messages, prompt_ids
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask
from textapp.text.chat import ChatTemplate

pytest.importorskip("jinja2")

TEMPLATE = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}z{% endfor %}a"
CONTEXT, NEW = 60, 6


class Speller(Letters):
    """Letters, of which `zz` is a special token, the unknown one."""

    chat_template: ChatTemplate | None = ChatTemplate(TEMPLATE)

    def marked_ids(self, text: str) -> list[int]:
        first, *more = text.split("zz")
        return [*self.ids(first), *(token for part in more for token in [1, *self.ids(part)])]

    def special_texts(self) -> list[str]:
        return ["zz"]

    def pieces(self) -> list[str]:
        return ["P", "U", "S", "E", *self.alphabet]


def talker(kind: type[Chain] = InPlace, overflow: str = "truncate", template: bool = True) -> GenerativePredictor:
    tokenizer = Speller()
    if not template:
        tokenizer.chat_template = None
    chain = random_chain(2, Letters.vocabulary_size, kind, memory=False, places=CONTEXT)
    task = GenerationTask(tokenizer, [CONTEXT], [(4, NEW), (8, NEW)], overflow=overflow)
    return GenerativePredictor(task, chain, {}, Path("bundle"))


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


SYSTEM = {"role": "system", "content": "be"}


@pytest.mark.parametrize("kind", [Chain, InPlace])
def test_the_answer_is_what_follows_the_rendered_text(kind: type[Chain]) -> None:
    predictor = talker(kind)
    answer = predictor.chat([SYSTEM, user("hi")])
    twin = talker(kind)
    ids = Letters().ids("sbezuhiza")
    features = {"token_ids": ids, "num_tokens": len(ids)}
    assert ids[0] != twin.task.start_id  # the template says what stands first
    session = twin._session(twin.runner, {"token_ids": ids[:8], "num_tokens": 8})
    session.advance([0], ids[8:])
    expected = []
    while len(expected) < NEW and (not expected or expected[-1] != 3):
        logits = session.logits[0].copy()
        logits[twin.tokenizer.never_ids] = -(10**9)
        expected.append(int(logits.argmax()))
        session.advance([0], expected[-1:])
    assert answer.output == twin.task.decode(expected) and answer.input == "hi" and answer.dropped == 0, features
    assert answer.message == {"role": "assistant", "content": answer.output} and answer.line() == str(answer)
    assert "".join(talker(kind).stream_chat([SYSTEM, user("hi")])) == answer.output


@pytest.mark.parametrize("kind", [Chain, InPlace])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3}, {"max_new_tokens": 3}])
def test_a_turn_reads_only_what_is_new_and_answers_as_a_fresh_reading(kind: type[Chain], options: Any) -> None:
    predictor, messages = talker(kind), [SYSTEM]
    for turn, text in enumerate(("hi", "so", "wh")):
        messages.append(user(text))
        predictor.runner.calls.clear()
        answer = predictor.chat(messages, **options)
        assert answer.output == talker(kind).chat(messages, **options).output
        assert turn == 0 or ("prefill", 1) not in predictor.runner.calls
        messages.append(answer.message)


def test_a_stream_that_was_left_is_gone_on_with() -> None:
    predictor = talker()
    stream = predictor.stream_chat([user("hi")])
    first = next(stream)
    stream.close()
    messages = [user("hi"), {"role": "assistant", "content": first}, user("x")]
    predictor.runner.calls.clear()
    assert predictor.chat(messages).output == talker().chat(messages).output
    predictor.runner.calls.clear()
    predictor.chat(messages)
    assert ("prefill", 1) not in predictor.runner.calls


def test_two_chats_at_once_do_not_share_what_was_read() -> None:
    predictor = talker()
    one, other = predictor.stream_chat([user("hi")]), predictor.stream_chat([user("so")])
    shown = ["", ""]
    for _ in range(NEW + 1):
        shown[0] += next(one, "")
        shown[1] += next(other, "")
    assert shown == [talker().chat([user(text)]).output for text in ("hi", "so")]


def test_after_a_fork_a_chat_is_read_anew() -> None:
    predictor = talker()
    messages = [user("hi")]
    messages += [predictor.chat(messages).message, user("x")]
    child = os.fork()
    if not child:
        predictor.runner.calls.clear()
        predictor.chat(messages)
        os._exit(0 if ("prefill", 1) in predictor.runner.calls else 1)
    assert os.waitpid(child, 0)[1] == 0


# --- what does not fit ---------------------------------------------------------------------------------------------


def long_talk(turns: int) -> list[dict[str, str]]:
    """Turns of 14 tokens: `u`, 5 letters, `z`, `a`, 5 letters, `z`; the last one waits for its answer."""
    letters = "abcdefghijklmnop"
    messages = [SYSTEM]
    for turn in range(turns):
        messages += [user(letters[turn] * 5), {"role": "assistant", "content": "yyyyy"}]
    return messages[:-1]


def test_the_oldest_turns_go_and_the_system_message_stays(caplog: pytest.LogCaptureFixture) -> None:
    predictor, read = talker(), []
    predictor._chat = lambda ids, *_: read.append(ids) or iter(["x"])  # type: ignore[method-assign, assignment]
    with caplog.at_level(logging.WARNING, logger="textapp"):
        dropped = [predictor.chat(long_talk(turns)).dropped for turns in (3, 4, 5, 9)]
    # 54 tokens leave room for an answer: 4 of the system, 8 of the last turn, 14 of each other
    assert dropped == [0, 0, 2, 10]
    assert read[-1] == Letters().ids("sbez" + "".join(f"u{letter * 5}zayyyyyz" for letter in "fgh") + "uiiiiiza")
    assert caplog.messages == ["the conversation is longer than 54 tokens: its oldest turns are no longer read"]


def test_it_is_an_error_where_that_was_asked_for() -> None:
    with pytest.raises(DataError, match="the conversation has 68 tokens, but the model reads at most 54"):
        talker(overflow="error").chat(long_talk(5))
    assert talker(overflow="error").chat(long_talk(4)).dropped == 0


@pytest.mark.parametrize("overflow", ["truncate", "error"])
def test_a_last_message_that_is_too_long_is_an_error(overflow: str) -> None:
    with pytest.raises(DataError, match="the last message, .* has 60 tokens, but the model reads at most 54 before"):
        talker(overflow=overflow).chat([SYSTEM, user("x" * 53)])
    with pytest.raises(DataError, match="the last message, .* has 60 tokens"):
        talker().chat([*long_talk(3), {"role": "assistant", "content": "y"}, user("x" * 53)])


def test_a_shorter_answer_leaves_more_room() -> None:
    assert talker().chat([SYSTEM, user("x" * 53)], max_new_tokens=0).output == ""
    with pytest.raises(OptionError, match="max_new_tokens 60 leaves no room for messages in the model's context of 60"):
        talker().chat([user("x")], max_new_tokens=60)


# --- what is refused -----------------------------------------------------------------------------------------------

ASSISTANT = {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "messages: found an empty list"),
        ("hi", "messages: found 'hi', expected a list of messages such as"),
        (user("hi"), "messages: found {'content': 'hi', 'role': 'user'}, expected a list"),
        (["hi"], r"messages\[0\]: found 'hi', expected a message"),
        ([{"role": "user"}], r"messages\[0\]: found {'role': 'user'}, expected a message"),
        ([{**user("hi"), "name": "x"}], r"messages\[0\]: found the key 'name', expected role and content alone"),
        ([{"role": "human", "content": "hi"}], r"messages\[0\].role: found 'human', expected one of system, user"),
        ([{"role": "users", "content": "hi"}], "did you mean 'user'"),
        ([{"role": 3, "content": "hi"}], r"messages\[0\].role: found 3"),
        ([{"role": "user", "content": None}], r"messages\[0\].content: found None, expected a text"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"messages\[0\].content: found \[.*\], expected a text"),
        ([user(" ")], r"messages\[0\].content: found a message without text"),
        ([user("x" * 1048577)], r"messages\[0\].content: found 1,048,577 characters"),
        ([ASSISTANT, user("hi")], r"messages\[0\].role: found 'assistant' at the beginning, expected 'system' or"),
        ([user("hi"), user("hi")], r"messages\[1\].role: found 'user' after 'user', expected 'assistant'"),
        ([user("hi"), SYSTEM], r"messages\[1\].role: found 'system' after 'user', expected 'assistant'"),
        ([SYSTEM, ASSISTANT], r"messages\[1\].role: found 'assistant' after 'system', expected 'user'"),
        ([user("hi"), ASSISTANT], "found one of the role 'assistant' at the end, expected 'user'"),
        ([SYSTEM], "found one of the role 'system' at the end"),
    ],
)
def test_messages_that_are_refused(messages: Any, message: str) -> None:
    for call in (talker().chat, talker().stream_chat):
        with pytest.raises(DataError, match=message) as caught:
            call(messages)
        assert "\n" not in str(caught.value)


def test_messages_that_are_taken() -> None:
    talk = ({**SYSTEM}, user("hi"), {"role": "assistant", "content": ""}, user("so"))
    assert checked_messages(talk) == list(talk)


def test_special_tokens_that_were_typed_are_text() -> None:
    tokenizer, template = Speller(), ChatTemplate("zza{{ messages[0].content }}azz")
    assert prompt_ids(tokenizer, template, [user("zzb\ufdd0")]) == [1, *Letters().ids("azzba"), 1]
    assert prompt_ids(tokenizer, template, [user("zzzz")]) == [1, *Letters().ids("azzzza"), 1]


def test_a_model_without_a_template_says_how_to_set_one() -> None:
    with pytest.raises(UsageError, match=r"bundle: found a model without a chat template.*--template FILE.*jinja"):
        talker(template=False).chat([user("hi")])
    given = talker(template=False).chat([user("hi")], template=TEMPLATE)
    assert given.output == talker().chat([user("hi")]).output
    with pytest.raises(UsageError, match="template: found an empty text"):
        talker().chat([user("hi")], template="")


def test_the_tokens_of_a_given_template(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = talker(template=False)
    read: list[list[int]] = []
    monkeypatch.setattr(predictor, "_chat", lambda ids, *_: read.append(ids) or iter(()))
    predictor.chat([user("hi")], template="{{ bos_token | lower }}{{ eos_token | lower }}")
    assert read == [Letters().ids("se")]


def test_other_models_and_beams_are_refused() -> None:
    chain = random_chain(2, Letters.vocabulary_size)
    task = TranslationTask(Letters(), Letters(), [4, 8], [(4, 6), (8, 10)])
    with pytest.raises(UsageError, match="bundle: is a model of translation, expected a language model"):
        GenerativePredictor(task, chain, {}, Path("bundle")).chat([user("hi")])
    with pytest.raises(OptionError, match="beam_size 3: a chat takes no beam"):
        talker().chat([user("hi")], beam_size=3)
    with pytest.raises(UsageError, match="did you mean 'top_k'"):
        talker().chat([user("hi")], top_kk=3)
