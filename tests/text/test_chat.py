"""Chat templates: the text that they give, and that those of strangers end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from textapp.errors import ArtifactError, ConfigError, DataError
from textapp.text.chat import MAX_TEMPLATE, ChatTemplate
from textapp.text.preset import preset_tokenizer
from textapp.text.tokenizer import load_tokenizer

pytest.importorskip("jinja2")

# As SmolLM2-Instruct has it, shortened.
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As Llama-2-Chat has it.
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TALK = [
    {"role": "user", "content": " Hi "},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Who?"},
]
SYSTEM = {"role": "system", "content": "Answer."}


def rendered(source: str, *messages: dict[str, str]) -> str:
    return ChatTemplate(source, TOKENS).render(messages)


def test_chatml() -> None:
    assert rendered(CHATML, SYSTEM, *TALK) == (
        "<|im_start|>system\nAnswer.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered(CHATML, TALK[2]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_llama2() -> None:
    assert rendered(LLAMA2, SYSTEM, *TALK) == (
        "<s>[INST] <<SYS>>\nAnswer.\n<</SYS>>\n\n Hi [/INST] Hello. </s><s>[INST] Who? [/INST]"
    )
    with pytest.raises(DataError, match="template refuses this conversation: Conversation roles must alternate"):
        rendered(LLAMA2, *TALK[1:])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% if true %}\n  {# none #}\n  a\n  {% endif %}\nb", "  a\nb"),  # trim_blocks and lstrip_blocks
        ("{{ {'b': 1, 'a': '<é>'} | tojson }}", '{"b": 1, "a": "<é>"}'),
        ("{{ [1, {'a': 2}] | tojson(indent=2) }}", '[\n  1,\n  {\n    "a": 2\n  }\n]'),
        ("{{ tools is none }} {{ documents }} {{ add_generation_prompt }} {{ unk_token }}|", "True None True |"),
        ("{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 3 %}{% break %}{% endif %}{{ x }}"
         "{% endfor %}", "013"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", " Hi "),
        ("{% set ns = namespace(n=0) %}{% for m in messages[::-1] %}{% set ns.n = ns.n + loop.index %}{% endfor %}"
         "{{ ns.n }}", "6"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('+') }}", " Hi +Who?"),
        ("{{ messages[0].content | trim | upper ~ 1 ~ (2, 'x') }}", "HI1(2, 'x')"),
        ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f('a') }}{{ 'a-b'.split('-')[-1].replace('b', 'cc') }}", "<a>cc"),
        ("{{ 'a{}b'.format(1) }}{{ '%s=%d' % ('n', 3) }}{{ 3 * 'ab' }}{{ 2 ** 3 }}", "a1bn=3ababab8"),
        ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ loop.index }}/{{ loop.length }}{{ k }}{{ v }}{% endfor %}",
         "1/2a12/2b2"),
        ("{% for x in [1, 2, 3] if x != 2 %}{{ x }}{% if loop.last %}!{% endif %}{% endfor %}", "13!"),
        ("{{ 'a\nb' | indent(2) }}{{ 'x' in ['x'] }}{{ [1, 2] == [1, 2] }}", "a\n  bTrueTrue"),
        ("{%- set x -%} a{{ 1 }} {%- endset -%}{{ x | length }}", "2"),
    ],
)  # fmt: skip
def test_what_templates_use(source: str, expected: str) -> None:
    assert rendered(source, *TALK) == expected


def test_today() -> None:
    year = time.strftime("%Y")
    assert rendered("{{ strftime_now('%d %b %Y') }}", *TALK).endswith(year)


ENDLESS = [
    "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x | replace('a', ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('', ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x | join(ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x.join([ns.x] * 3) %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}",
    "{% set r = range(90000) | list %}{% for i in range(90000) %}{% if -1 in r %}{% endif %}{% endfor %}",
    "{% set r = range(90000) | list %}{% for i in range(90000) %}{% set q = r[1:] %}{% endfor %}",
    "{% set b %}{% for i in range(90000) %}" + "x" * 60000 + "{% endfor %}{% endset %}",
    "{{ 'a' * 10000000000 }}",
    "{{ [[1] * 1000] * 100000 }}",
]


@pytest.mark.parametrize("source", ENDLESS)
def test_a_template_that_loops_or_grows_ends(source: str) -> None:
    begun = time.process_time()
    with pytest.raises(DataError, match="does more work than a chat template needs: does it loop for ever"):
        rendered(source, *TALK)
    assert time.process_time() - begun < 20


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for %}", "TemplateSyntaxError: Expected an expression"),
        ("{{ nothing.at.all }}", "UndefinedError: 'nothing' is undefined"),
        ("{{ " + "(" * 20000 + " }}", "RecursionError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursive loops are not supported"),
        ("{% include '/etc/passwd' %}", "other templates cannot be loaded"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ ''.__class__.mro() }}", "SecurityError: access to attribute '__class__'"),
        ("{{ 10 ** 10 ** 10 }}", "powers of large numbers"),
        ("{{ (5).to_bytes(100000000, 'big') }}", "the method int.to_bytes is not supported"),
        ("{{ 'a'.ljust(10000000000) }}", "the method str.ljust is not supported"),
        ("{{ '{:1000000000}'.format(1) }}", "the format '{:1000000000}' is not supported"),
        ("{{ '%1000000000d' % 1 }}", "the format '%1000000000d' is not supported"),
        ("{{ strftime_now('%9999999d') }}", "the format of strftime_now is not supported"),
        ("{{ 'a' | center(1000000000) }}", "No filter named 'center'"),
        ("{{ dict.fromkeys(range(10)) }}", "the method type.fromkeys is not supported"),
        ("{{ range(100000000) | list }}", "Range too big"),
        ("{{ messages | tojson(indent=1000000000) | replace('', messages | tojson(indent=99) * 99) }}", "more work"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_rendered_is_an_error_of_one_line(source: str, message: str) -> None:
    with pytest.raises(DataError, match="chat template cannot be rendered") as caught:
        rendered(source, *TALK)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_work_that_is_allowed_grows_with_the_conversation() -> None:
    long = [{"role": "user", "content": "word " * 20000}, TALK[1]] * 20
    assert rendered(CHATML, *long, TALK[2]).count("word") == 400_000
    with pytest.raises(DataError, match="more work"):
        rendered("{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}", *long, TALK[2])


# --- with its tokenizer --------------------------------------------------------------------------------------------


def write_folder(folder: Path, **config: Any) -> Path:
    """A published tokenizer of bytes with ChatML's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pipeline = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pipeline.decoder = decoders.ByteLevel()
    pipeline.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    pipeline.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "pad_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**names, **config}), encoding="utf-8")
    return folder


def test_the_template_of_a_folder_is_kept_with_its_tokens(tmp_path: Path) -> None:
    tokenizer = preset_tokenizer(write_folder(tmp_path / "preset", chat_template=CHATML))
    texts = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    assert tokenizer.chat_template == ChatTemplate(CHATML, texts)
    tokenizer.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").chat_template == ChatTemplate(CHATML, texts)


def test_where_a_template_stands(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "preset")
    assert preset_tokenizer(folder).chat_template is None
    several = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    write_folder(folder, chat_template=several)
    assert preset_tokenizer(folder).chat_template.source == "d"
    (folder / "chat_template.jinja").write_text("j\n", encoding="utf-8")
    assert preset_tokenizer(folder).chat_template.source == "j\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("x" * (MAX_TEMPLATE + 1), "chat_template: found 65,537 characters, expected at most 65,536"),
        ("  ", "chat_template: found an empty text, expected a template"),
        (5, "chat_template: found int, expected a template"),
    ],
)
def test_what_is_no_template_is_refused(tmp_path: Path, template: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preset_tokenizer(write_folder(tmp_path / "preset", chat_template=template))


def test_a_template_of_a_stranger_s_bundle_is_checked(tmp_path: Path) -> None:
    preset_tokenizer(write_folder(tmp_path / "preset", chat_template=CHATML)).save(tmp_path / "saved")
    settings = json.loads((tmp_path / "saved" / "settings.json").read_text(encoding="utf-8"))
    (tmp_path / "saved" / "settings.json").write_text(json.dumps({**settings, "special_tokens": {"bos_token": 3}}))
    with pytest.raises(ArtifactError, match="key 'special_tokens': found .* expected an object whose values are each"):
        load_tokenizer(tmp_path / "saved")
    (tmp_path / "saved" / "chat_template.jinja").write_text("x" * 70000, encoding="utf-8")
    with pytest.raises(ArtifactError, match="chat_template.jinja: found 70,000 characters"):
        load_tokenizer(tmp_path / "saved")


def test_special_tokens_of_a_rendered_text_are_one_id_each(tmp_path: Path) -> None:
    tokenizer = preset_tokenizer(write_folder(tmp_path / "preset", chat_template=CHATML))
    text = tokenizer.chat_template.render(TALK)
    pieces = tokenizer.pieces()
    start, end = pieces.index("<|im_start|>"), pieces.index("<|im_end|>")
    ids = tokenizer.marked_ids(text)
    assert (ids.count(start), ids.count(end)) == (5, 4) and ids[0] == start
    assert ids[1:8] == tokenizer.ids("system\n") and tokenizer.special_texts() == pieces[-3:]
    assert {start, end}.isdisjoint(tokenizer.ids(text))  # as ever: what a user typed is text


def test_special_tokens_of_sentencepiece() -> None:
    import io

    import sentencepiece

    from textapp.text.preset import _sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["red blue house dog", "the sea at night"] * 20), model_writer=written, vocab_size=300,
        model_type="bpe", byte_fallback=True, hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        control_symbols=["[INST]"], minloglevel=2, normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    tokenizer = _sentencepiece(written.getvalue(), {})
    assert tokenizer.special_texts() == ["<s>", "</s>", "[INST]"]
    assert tokenizer.marked_ids("<s>[INST]red dog</s>") == [1, 3, *tokenizer.ids("red dog"), 2]
