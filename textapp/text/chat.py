"""The chat template of a model: from the messages of a conversation to the text that the model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textapp.errors import DataError, TextappError

MAX_TEMPLATE = 64 << 10  # characters; published ones have at most a quarter
TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")  # whose texts a template may use


@dataclass(frozen=True)
class ChatTemplate:
    """A template in Jinja, as `tokenizer_config.json` has it.

    Attributes:
        source: of the template.
        tokens: the texts of the model's special tokens by name, such as `bos_token`.

    Example: `ChatTemplate("{{ bos_token }}{{ messages[0].content }}", {"bos_token": "<s>"})`.
    """

    source: str
    tokens: Mapping[str, str] = field(default_factory=dict)

    def render(self, messages: Sequence[Mapping[str, str]], answer: bool = True) -> str:
        """The text of a conversation, up to the place where the model's answer begins.

        It is that of `apply_chat_template` of the package transformers, with `add_generation_prompt` for an answer.

        Args:
            messages: each with `role` and `content`.
            answer: whether the next one is the model's; False: the text ends with the last message.

        Raises:
            DataError: the template refuses the conversation, or cannot be rendered.
            UsageError: Jinja is not installed.
        """
        from textapp.text.chat_sandbox import TemplateRefusal, render

        values: dict[str, Any] = {
            "messages": [dict(message) for message in messages], "add_generation_prompt": answer, "tools": None,
            "documents": None, **self.tokens,
        }  # fmt: skip
        try:
            return render(self.source, values)
        except TextappError:
            raise
        except TemplateRefusal as error:
            raise DataError(
                f"the model's chat template refuses this conversation: {_line(error)}: change its messages"
            ) from error
        except Exception as error:  # a template may fail as any program does
            raise DataError(
                f"the model's chat template cannot be rendered ({type(error).__name__}: {_line(error)}): "
                "give another one with template, or --template FILE"
            ) from error


def template_fault(source: Any) -> str | None:
    """What is wrong with a chat template before it is rendered, as `found ..., expected ...`; None if nothing is.

    Args:
        source: of the template.
    """
    if not isinstance(source, str) or not source.strip():
        return f"found {'an empty text' if isinstance(source, str) else type(source).__name__}, expected a template"
    if len(source) > MAX_TEMPLATE:
        return f"found {len(source):,} characters, expected at most {MAX_TEMPLATE:,}"
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
