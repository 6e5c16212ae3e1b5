"""`textapp chat` with a chain of letters in the place of a language model."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminals import hear_ctrl_c, read_until
from toys import Chain, Letters, random_chain

from textapp import cli
from textapp.commands import chat as module
from textapp.predictors.generative import GenerativePredictor
from textapp.predictors.predictor import Predictor
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask
from textapp.text.chat import ChatTemplate

pytest.importorskip("jinja2")

ROOT = Path(__file__).parents[2]
TEMPLATE = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}z{% endfor %}a"
# The command in a process of its own, where TensorFlow and Keras cannot be imported; its model takes its time.
PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "keras_hub", "tf_keras")))
sys.path.insert(0, sys.argv.pop(1))
from test_chat import use_chain
from textapp import cli
from textapp.commands import chat
use_chain(lambda name, value: setattr(chat, name, value), pause=0.2)
cli.main(sys.argv[1:])
"""


class Speller(Letters):
    chat_template: ChatTemplate | None = ChatTemplate(TEMPLATE)

    def marked_ids(self, text: str) -> list[int]:
        return self.ids(text)

    def special_texts(self) -> list[str]:
        return []


class Slow(Chain):
    """A chain that never ends a text, with a pause before each token."""

    pause = 0.0

    def _step(self, *arguments: Any) -> dict[str, Any]:
        time.sleep(self.pause)
        outputs = super()._step(*arguments)
        outputs["logits"][:, 3] = -99
        return outputs


def talker(pause: float = 0.0, **options: Any) -> GenerativePredictor:
    chain = random_chain(2, Letters.vocabulary_size, Slow, memory=False, places=128)
    chain.pause = pause
    task = GenerationTask(Speller(), [128], [(4, 8), (8, 8)], **options)
    return GenerativePredictor(task, chain, {}, Path("bundle"))


def use_chain(replace: Callable[[str, Any], None], pause: float = 0.0) -> None:
    def load(path: Path, threads: int, runtime: str, trusted: bool, overflow: str | None) -> Predictor:
        return talker(pause, overflow=overflow or "truncate")

    replace("load", load)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Calls `textapp chat bundle ...` with lines on stdin; returns its exit code, stdout and stderr."""
    use_chain(lambda name, value: monkeypatch.setattr(module, name, value))

    def chat(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape"))))
        with pytest.raises(SystemExit) as left:
            cli.main(["chat", "bundle", *map(str, arguments)])
        return left.value.code, *capsys.readouterr()

    return chat


def expected(*texts: str, system: str | None = None, **options: Any) -> list[str]:
    """The answers of a predictor to the messages of one conversation."""
    messages = [{"role": "system", "content": system}] if system else []
    answers = []
    for text in texts:
        messages.append({"role": "user", "content": text})
        answers.append(talker().chat(messages, **options).output)
        messages.append({"role": "assistant", "content": answers[-1]})
    return answers


def test_the_lines_of_stdin_are_one_conversation(call: Any) -> None:
    code, out, _ = call(stdin="hi\nso\n")
    assert code == 0 and out.splitlines() == expected("hi", "so")
    assert out.splitlines()[1] != expected("so")[0]


def test_exit_ends_a_piped_conversation(call: Any) -> None:
    code, out, _ = call(stdin="hi\n/exit\nso\n")
    assert code == 0 and out.splitlines() == expected("hi")


def test_system_options_and_template(call: Any, tmp_path: Path) -> None:
    _, out, _ = call("--system", "be", "--max-new-tokens", 4, stdin="hi\n")
    assert out.splitlines() == expected("hi", system="be", max_new_tokens=4)
    (tmp_path / "t.jinja").write_text("{{ messages[-1].content }}b", encoding="utf-8")
    _, out, _ = call("--template", tmp_path / "t.jinja", stdin="hi\n")
    assert out.splitlines() == expected("hi", template="{{ messages[-1].content }}b") != expected("hi")


def test_answers_of_a_form(call: Any, tmp_path: Path) -> None:
    pytest.importorskip("llguidance")
    code, out, _ = call("--regex", "[a-c]{3}", stdin="hi\nso\n")
    assert code == 0 and out.splitlines() == expected("hi", "so", regex="[a-c]{3}")
    assert all(re.fullmatch("[a-c]{3}", line) for line in out.splitlines())
    _, out, err = call("--regex", "[a-c]{9}", stdin="hi\n")
    begun, error = out.splitlines()
    assert re.fullmatch("[a-c]{8}", begun) and error.startswith("error: regex: the answer to 'hi' was cut off after 8")
    assert "error: no message had an answer (1 given): see above" in err
    code, _, err = call("--json-schema", tmp_path / "none.json", stdin="hi\n")
    assert code == 2 and "none.json', which is no file, expected a JSON Schema" in err
    code, _, err = call("--regex", "a", "--choices", "b", stdin="hi\n")
    assert code == 2 and "--choices and --regex were both given: leave one out" in err


def test_reset_begins_anew(call: Any) -> None:
    _, out, err = call("--system", "be", stdin="hi\n/reset\nso\n")
    assert out.splitlines() == [*expected("hi", system="be"), *expected("so", system="be")]
    assert "the conversation begins anew" in err


def test_a_line_with_an_error_is_left_out(call: Any) -> None:
    code, out, err = call(stdin="hi\n\n\udcff\nso\n")
    lines = out.splitlines()
    assert code == 0 and [lines[0], lines[3]] == expected("hi", "so")
    assert lines[1].startswith("error: messages[2].content: found a message without text") and "byte" in lines[2]
    assert "2 messages had no answer" in err


def test_a_chat_without_any_answer_has_failed(call: Any) -> None:
    code, _, err = call(stdin="\udcff\n\n")
    assert code == 1 and "no message had an answer (2 given): see above" in err
    assert call(stdin="")[0] == 0
    code, _, err = call("--system", "be\udcff", stdin="hi\n")
    assert code == 2 and "error: --system:1: byte 3 of the text is 0xff, which is not UTF-8: give it in UTF-8" in err


def test_a_template_that_never_ends_is_an_error_of_a_line(call: Any, tmp_path: Path) -> None:
    endless = "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}"
    (tmp_path / "t.jinja").write_text(endless, encoding="utf-8")
    _, out, _ = call("--template", tmp_path / "t.jinja", stdin="hi\n")
    assert out.startswith("error: the model's chat template cannot be rendered") and out.count("\n") == 1


def test_a_chat_that_is_too_long(call: Any) -> None:
    lines = "".join(f"{letter * 20}\n" for letter in "abcdefgh")
    code, out, err = call(stdin=lines)
    assert code == 0 and "error" not in out and err.count("its oldest turns are no longer read") == 1
    _, out, _ = call("--overflow", "error", stdin=lines)
    assert "error: the conversation has " in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--system", " "], 2, "--system: found an empty text"),
        (["--template", "nowhere"], 1, "nowhere"),
        (["--beam-size", "3"], 2, "--beam-size 3: a chat takes no beam"),
        (["--top-k", "3"], 2, "--top-k 3 needs sampling: set --temperature above 0"),
        (["--max-new-tokens", "128"], 2, "--max-new-tokens 128 leaves no room for messages"),
    ],
)
def test_wrong_calls(call: Any, arguments: list[str], code: int, message: str) -> None:
    found, out, err = call(*arguments, stdin="hi\n")
    assert (found, out) == (code, "") and message in " ".join(err.split())


def test_other_models_are_refused(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TranslationTask(Letters(), Letters(), [4, 8], [(4, 6), (8, 10)])
    translator = GenerativePredictor(task, random_chain(2, Letters.vocabulary_size), {}, Path("bundle"))
    monkeypatch.setattr(module, "load", lambda *_, **__: translator)
    code, _, err = call(stdin="hi\n")
    assert code == 2 and "bundle: is a model of translation, expected a language model" in err


# --- textapp predict --chat ------------------------------------------------------------------------------------------


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Calls `textapp predict bundle --chat ...`; returns its exit code, stdout and stderr."""
    from textapp.commands import predict

    monkeypatch.setattr(predict, "load", lambda path, **options: talker())

    def run(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape"))))
        with pytest.raises(SystemExit) as left:
            cli.main(["predict", "bundle", "--chat", *map(str, arguments)])
        return left.value.code, *capsys.readouterr()

    return run


def test_each_line_is_a_conversation_of_its_own(predicted: Any, tmp_path: Path) -> None:
    (first,), (second,) = expected("hi"), expected("so")
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": first},
            {"role": "user", "content": "so"}]  # fmt: skip
    lines = ["hi", "so", json.dumps(talk), json.dumps({"messages": talk})]
    answers = [first, second, expected("hi", "so")[1], expected("hi", "so")[1]]
    assert predicted(*lines)[1].splitlines() == answers
    assert predicted(stdin="\n".join(lines) + "\n")[1].splitlines() == answers
    (tmp_path / "talks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    code, out, _ = predicted("--input", tmp_path / "talks.jsonl", "--json")
    assert code == 0 and [json.loads(line)["output"] for line in out.splitlines()] == answers
    assert json.loads(out.splitlines()[2]) == {"input": "so", "output": answers[2], "dropped": 0}


def test_a_broken_byte_is_the_error_of_its_line(predicted: Any, tmp_path: Path) -> None:
    (tmp_path / "talks.txt").write_bytes(b"hi\nso\xff\nso\0\nso\n")
    code, out, _ = predicted("--input", tmp_path / "talks.txt", "--json")
    first, second, third, last = (json.loads(line) for line in out.splitlines())
    assert code == 0 and [first["output"], last["output"]] == [expected("hi")[0], expected("so")[0]]
    assert f"{tmp_path / 'talks.txt'}:2: byte 3 of the line is 0xff" in second["error"]
    assert f"{tmp_path / 'talks.txt'}:3: byte 3 of the line is zero" in third["error"]
    _, out, _ = predicted("hi", "so\udcff", "--json")
    assert json.loads(out.splitlines()[1])["error"].startswith("TEXT:2: byte 3 of the text is 0xff")


def test_messages_with_a_fault_are_told_by_their_row(predicted: Any) -> None:
    _, out, err = predicted('[{"role": "bot", "content": "hi"}]', "hi", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0]["error"].startswith("messages[0].role: found 'bot'") and rows[1]["output"] == expected("hi")[0]
    assert "1 input had no answer" in err
    _, out, _ = predicted("[]", "[1]", "--json")
    empty, text = (json.loads(line) for line in out.splitlines())
    assert empty["error"].startswith("messages: found an empty list") and text["output"] == expected("[1]")[0]
    message = '{"role": "user", "content": "no", "content": "hi"}'
    _, out, _ = predicted(f"[{message}]", '{"messages": [], "messages": [1]}', "hi", "--json")
    errors = [json.loads(line).get("error") for line in out.splitlines()]
    assert errors[0].startswith("messages[0]: the key 'content' occurs twice")
    assert errors[1].startswith("the key 'messages' occurs twice") and errors[2] is None
    code, _, err = predicted("hi", "--stream")
    assert code == 2 and "--chat answers one line after the other" in " ".join(err.split())


# --- a terminal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Any:
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), "chat", "bundle"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, preexec_fn=hear_ctrl_c
    ) as child:
        os.close(theirs)
        try:
            assert "Ctrl-C stops an answer" in read_until(ours, module.PROMPT)
            yield child, ours
        finally:
            child.kill()
            os.close(ours)


def test_what_comes_first_is_read_while_the_first_message_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    predictor = talker()
    stream = predictor.stream_chat
    monkeypatch.setattr(
        predictor, "stream_chat", lambda *about, **options: asked.append(about) or stream(*about, **options)
    )
    conversation = module.Conversation(predictor, "be brief", None, {"max_new_tokens": 6})
    conversation.warm_up()
    conversation._warming.join()
    ((messages, _),) = asked
    assert messages[0] == {"role": "system", "content": "be brief"} and messages[-1]["role"] == "user"
    ((_, reading),) = predictor._readings
    assert predictor.tokenizer.decode(reading.token_ids).startswith("sbe brief")
    assert reading.fresh == 1
    assert conversation.take("hi") and reading.fresh == 1  # the first message goes on from there


def test_a_fault_of_the_template_is_told_with_the_first_message(capsys: pytest.CaptureFixture) -> None:
    conversation = module.Conversation(talker(), None, "{{ raise_exception('no') }}", {})
    conversation.warm_up()
    conversation._warming.join()
    assert capsys.readouterr() == ("", "")
    assert not conversation.take("hi") and "error: " in capsys.readouterr().out


def test_ctrl_c_stops_an_answer_and_not_the_program(terminal: Any) -> None:
    child, ours = terminal
    (answer,) = expected("hi")
    os.write(ours, b"hi\n")
    read_until(ours, f"hi\r\n{answer[0]}")
    child.send_signal(signal.SIGINT)
    screen = read_until(ours, module.PROMPT)
    assert "stopped" in screen and answer not in screen
    os.write(ours, b"/reset\n")
    read_until(ours, module.PROMPT)
    os.write(ours, b"hi\n")
    assert answer in read_until(ours, module.PROMPT)
    os.write(ours, b"/exit\n")
    assert child.wait(timeout=30) == 0


@pytest.mark.parametrize(("typed", "code"), [("\n\x04", 0), (signal.SIGINT, 130)])
def test_a_chat_ends_at_its_prompt(terminal: Any, typed: str | int, code: int) -> None:
    child, ours = terminal
    time.sleep(0.2)  # the prompt is written just before the line is read
    if isinstance(typed, str):
        for key in typed:
            os.write(ours, key.encode())
            time.sleep(0.2)
    else:
        child.send_signal(typed)
    assert child.wait(timeout=30) == code
