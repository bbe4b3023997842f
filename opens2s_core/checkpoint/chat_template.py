"""The chat template of published directories: it writes the prompts of :class:`PromptBuilder` for other code."""

from opens2s_core.prompt import DEFAULT_SYSTEM, SPEECH_TOKENS, THINK_TOKENS, TURN_END, TURN_START, PromptStyle

_OPENINGS: dict[PromptStyle, str] = {
    "training": "".join(THINK_TOKENS),
    "plain": "",
    "chat": "\n\n".join((*THINK_TOKENS, "")),
}

_TEMPLATE = """\
{%- if tools -%}{{- raise_exception('this model has not learned to call tools') -}}{%- endif -%}
{%- if not messages or messages[0].role != 'system' -%}{{- START + 'system\\n' + SYSTEM + END -}}{%- endif -%}
{%- for message in messages -%}
  {%- if message.role == 'assistant' -%}
    {{- START + 'assistant\\n' + PAST_OPENING -}}
    {%- if message.content -%}{{- BEFORE_SPOKEN + message.content + AFTER_SPOKEN -}}{%- endif -%}
    {{- END -}}
  {%- elif message.content or message.role != 'system' or not loop.first -%}
    {{- START + message.role + '\\n' + message.content + END -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- START + 'assistant\\n' + OPENING -}}{%- endif -%}
"""


def chat_template(style: PromptStyle) -> str:
    """A template (Jinja) that writes conversations as :class:`PromptBuilder` does in this style. Contents are strings,
    with a user's audio as the published server marks it; those of the assistant are transcripts of spoken replies.

    One difference remains in the styles ``training`` and ``plain``, for a user's or system message whose content has a
    newline before any other character than whitespace. The published training tool and :class:`PromptBuilder` encode
    the message's header and its content separately. A template writes one string, in which the tokenizer merges the
    header's newline with those of the content: Qwen3's has one token for two newlines. Such contents should be stripped
    before the template is applied.
    """
    _, _, before, after = SPEECH_TOKENS
    chat = style == "chat"
    values = {
        "START": TURN_START,
        "END": TURN_END + "\n",
        "SYSTEM": DEFAULT_SYSTEM,
        "OPENING": _OPENINGS[style],
        "PAST_OPENING": "" if chat else _OPENINGS[style],
        "BEFORE_SPOKEN": "" if chat else before,
        "AFTER_SPOKEN": "" if chat else after,
    }
    settings = "".join(f"{{%- set {name} = {value!r} -%}}\n" for name, value in values.items())
    return settings + _TEMPLATE
