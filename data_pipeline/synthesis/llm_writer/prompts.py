"""What a language model is asked, in English and Chinese.

The method is that of OpenS2S (arXiv 2507.05177, section 3.2) after Self-Instruct (arXiv 2212.10560).
"""

from collections.abc import Mapping
from typing import Final

from data_pipeline.records import Age, Emotion, Gender
from data_pipeline.synthesis.llm_writer.answers import CHARACTERS_PER_WORD
from data_pipeline.synthesis.llm_writer.topics import GENERAL_TOPICS, TOPICS
from data_pipeline.synthesis.protocols import Person, ReplyRequest, UserTurnRequest, WrittenMessage

VERSION: Final = 1
"""Raised when a prompt changes."""
LANGUAGES: Final = ("en", "zh")

Chat = list[dict[str, str]]
_IN_CHINESE = {**TOPICS, **GENERAL_TOPICS}

_USER_TURNS = {
    "en": """\
Write {count} different things that a person could say aloud to a voice assistant, about this topic: {topic}.

The person is {person}. The assistant hears the voice, so the best reply depends on who speaks and how: the same words \
from someone of another age or gender, or in another mood, would call for another reply. For example, "Do you think I \
can run a marathon?" calls for one reply to an elderly person and for another one to a child.

Rules:
- Each one is a natural spoken message in everyday English, one to three sentences, at most {max_words} words.
- It fits the person, but the words do not name the age or the gender, nor explain the mood: the voice shows them.
- Vary the situation, the kind of request (question, story, complaint, wish, request for advice) and the first words.
- No mathematics, no code, no tables, nothing that must be read or seen on a screen.
- No stage directions, no emoji, no lists, no web addresses. Numbers and symbols are written as words.
{examples}
Answer only with a JSON list of {count} strings.""",
    "zh": """\
请写出一个人会对语音助手说的{count}句不同的话，话题是：{topic}。

说话的人是{person}。助手能听到声音，所以最合适的回答取决于说话的人和说话的方式：同样的话，换一个年龄、性别或心情，\
就需要不同的回答。比如“你觉得我能跑马拉松吗？”，对老人和对孩子的回答就不一样。

要求：
- 每一句都是自然的日常口语，一到三句话，不超过{max_words}个字。
- 内容符合这个人，但不直接说出年龄、性别，也不解释心情：这些由声音表现。
- 情境、类型（提问、讲述、抱怨、愿望、求建议）和开头都要有变化。
- 不要数学、代码、表格，不要任何必须看屏幕才能懂的内容。
- 不要动作描写、表情符号、列表、网址。数字和符号写成汉字。
{examples}
只用一个含有{count}个字符串的JSON列表回答。""",
}

_EXAMPLES = {
    "en": "\nExamples of other topics, to show the style. Do not repeat them:\n{examples}\n",
    "zh": "\n其他话题的例子，只用来说明风格，不要重复：\n{examples}\n",
}

_REPLY_SYSTEM = {
    "en": """\
You are a voice assistant. You hear how people speak, and you answer with empathy. Each message of the user begins \
with a note in square brackets that describes the speaker.

Rules for your reply:
- It is spoken: one to three short, natural sentences in English, at most {max_words} words in all.
- It answers what is said, and it fits the speaker's feeling, age and gender without naming the note.
- Be honest, warm where that helps, and concrete. Do not repeat the user's words, and do not preach.
- Plain words only: no markup, lists, emoji, brackets, stage directions, code, formulas or web addresses. Numbers and \
symbols are written as words.
Answer with the words of the reply alone.{system}""",
    "zh": """\
你是一个语音助手。你能听出人们说话的方式，并且带着同理心回答。用户的每条消息以方括号里的说明开头，说明描述说话的人。

对回答的要求：
- 这是说出来的话：用中文，一到三个自然的短句，总共不超过{max_words}个字。
- 回应所说的内容，并且适合说话人的心情、年龄和性别，但不提这条说明。
- 真诚、具体，需要时给予温暖。不重复用户的话，不说教。
- 只用普通的话：不要标记、列表、表情符号、括号、动作描写、代码、公式或网址。数字和符号写成汉字。
只回答要说的话本身。{system}""",
}

_SYSTEM = {
    "en": "\n\nFollow this as well: {system}",
    "zh": "\n\n还要遵守：{system}",
}

_NOTE = {"en": "[Spoken by {person}.] {text}", "zh": "[说话的人是{person}。] {text}"}

_TONE = {
    "en": """\
Here is a dialogue between a person and a voice assistant.

{transcript}

In which tone of voice should the assistant's last reply be spoken, given what it says, what the person said, and who \
speaks and how? Answer only with one to four English words, for example: warm and calm""",
    "zh": """\
下面是一个人和语音助手的对话。

{transcript}

根据回答的内容、那个人所说的话、说话的人和说话的方式，助手的最后一个回答应该用什么语气说？只用一到四个英文单词回答，\
例如：warm and calm""",
}

_FOLLOW_UP = {
    "en": """\
Here is a dialogue between a person and a voice assistant. The person is {person}.

{transcript}

Write what the same person says next. It is a natural spoken message in everyday English, one or two sentences, at \
most {max_words} words. It continues the dialogue: it reacts to the reply, asks further, or tells more; it does not \
only thank or say goodbye. No mathematics, code, stage directions, emoji, brackets, lists or web addresses. Numbers \
and symbols are written as words. Answer with the words of the message alone.""",
    "zh": """\
下面是一个人和语音助手的对话。这个人是{person}。

{transcript}

写出同一个人接下来说的话。用自然的日常口语，一到两句话，不超过{max_words}个字。要让对话继续：对回答作出反应、追问或者\
讲更多，不要只是道谢或告别。不要数学、代码、动作描写、表情符号、括号、列表或网址。数字和符号写成汉字。\
只回答这条消息本身。""",
}

_ROLES = {"en": {"user": "Person", "assistant": "Assistant"}, "zh": {"user": "人", "assistant": "助手"}}

_REWRITE = {
    "en": """\
Below is an instruction that somebody typed to an assistant. Decide whether it suits a conversation by voice. It does \
not suit one if it, or a good answer to it, needs mathematics, code, tables, formulas, links, long texts or anything \
that must be read or seen.

If it suits, rewrite it as what a person would say aloud, in natural spoken English, at most {max_words} words, with \
the same meaning and without markup, lists or brackets. Numbers and symbols are written as words.

Answer only with a JSON object: {{"suitable": true or false, "spoken": "the rewritten instruction, or empty", \
"reason": "why it does not suit, in a few words, or empty"}}

Instruction:
{text}""",
    "zh": """\
下面是有人打字给助手的指令。请判断它是否适合语音对话。如果它本身或者好的回答需要数学、代码、表格、公式、链接、长文本，\
或者任何必须阅读或观看的内容，就不适合。

如果适合，请改写成一个人会说出来的话：自然的中文口语，不超过{max_words}个字，意思不变，没有标记、列表或括号。\
数字和符号写成汉字。

只用一个JSON对象回答：{{"suitable": true或false, "spoken": "改写后的指令，或者空", \
"reason": "不适合的原因，几个字，或者空"}}

指令：
{text}""",
}

_TRANSLATE = {
    "en": """\
Translate the following into natural spoken English, as a person would say it aloud. Keep the meaning and the mood. \
Numbers and symbols are written as words; no markup, brackets or notes. Answer with the translation alone.

{text}""",
    "zh": """\
请把下面的内容翻译成自然的中文口语，就像一个人说出来的那样。保持意思和语气。数字和符号写成汉字，不要标记、括号或注释。\
只回答译文。

{text}""",
}

_PEOPLE: Mapping[str, Mapping[tuple[Age, Gender], str]] = {
    "en": {
        ("child", "female"): "a young girl",
        ("child", "male"): "a young boy",
        ("child", ""): "a child",
        ("young", "female"): "a young woman",
        ("young", "male"): "a young man",
        ("young", ""): "a young person",
        ("adult", "female"): "a middle-aged woman",
        ("adult", "male"): "a middle-aged man",
        ("adult", ""): "a middle-aged person",
        ("elderly", "female"): "an elderly woman",
        ("elderly", "male"): "an elderly man",
        ("elderly", ""): "an elderly person",
        ("", "female"): "a female speaker",
        ("", "male"): "a male speaker",
        ("", ""): "a person",
    },
    "zh": {
        ("child", "female"): "一个小女孩",
        ("child", "male"): "一个小男孩",
        ("child", ""): "一个孩子",
        ("young", "female"): "一位年轻女性",
        ("young", "male"): "一位年轻男性",
        ("young", ""): "一个年轻人",
        ("adult", "female"): "一位中年女性",
        ("adult", "male"): "一位中年男性",
        ("adult", ""): "一个中年人",
        ("elderly", "female"): "一位老奶奶",
        ("elderly", "male"): "一位老爷爷",
        ("elderly", ""): "一位老人",
        ("", "female"): "一位女性",
        ("", "male"): "一位男性",
        ("", ""): "一个人",
    },
}

_FEELINGS: Mapping[str, Mapping[Emotion, str]] = {
    "en": {
        "neutral": "calm, without a strong emotion",
        "happy": "happy",
        "sad": "sad",
        "angry": "angry",
        "surprised": "surprised",
        "fearful": "afraid",
        "disgusted": "disgusted",
        "contemptuous": "contemptuous",
        "frustrated": "frustrated",
    },
    "zh": {
        "neutral": "平静，没有强烈的情绪",
        "happy": "开心",
        "sad": "难过",
        "angry": "生气",
        "surprised": "惊讶",
        "fearful": "害怕",
        "disgusted": "厌恶",
        "contemptuous": "轻蔑",
        "frustrated": "沮丧",
    },
}


def describe_person(person: Person, language: str) -> str:
    """Such as ``an elderly woman who sounds sad``. Unknown labels are left out."""
    who = _PEOPLE[language][person.age, person.gender]
    feeling = _FEELINGS[language].get(person.emotion)
    if feeling is None:
        return who
    return f"{who} who sounds {feeling}" if language == "en" else f"{who}，听起来{feeling}"


def user_turns_chat(request: UserTurnRequest, max_words: int) -> Chat:
    language = request.language
    listed = "\n".join(f"- {example}" for example in request.examples)
    return _question(
        _USER_TURNS[language].format(
            count=request.count,
            topic=_IN_CHINESE.get(request.topic, request.topic) if language == "zh" else request.topic,
            person=describe_person(request.person, language),
            max_words=_limit(max_words, language),
            examples=_EXAMPLES[language].format(examples=listed) if listed else "",
        )
    )


def reply_chat(request: ReplyRequest, max_words: int) -> Chat:
    """The rules and the system prompt, then the dialogue; a note before each message of the user has its labels."""
    language = request.language
    system = _SYSTEM[language].format(system=request.system) if request.system else ""
    rules = _REPLY_SYSTEM[language].format(max_words=_limit(max_words, language), system=system)
    turns = [{"role": message.role, "content": _with_note(message, language)} for message in request.messages]
    return [{"role": "system", "content": rules}, *turns]


def tone_chat(request: ReplyRequest, reply: str) -> Chat:
    dialogue = (*request.messages, WrittenMessage(role="assistant", text=reply))
    return _question(_TONE[request.language].format(transcript=_transcript(dialogue, request)))


def follow_up_chat(request: ReplyRequest, person: Person, max_words: int) -> Chat:
    language = request.language
    return _question(
        _FOLLOW_UP[language].format(
            person=describe_person(person, language),
            transcript=_transcript(request.messages, request),
            max_words=_limit(max_words, language),
        )
    )


def rewrite_chat(instruction: str, language: str, max_words: int) -> Chat:
    return _question(_REWRITE[language].format(text=instruction, max_words=_limit(max_words, language)))


def translation_chat(text: str, language: str) -> Chat:
    """``language`` is that of the translation."""
    return _question(_TRANSLATE[language].format(text=text))


def _question(text: str) -> Chat:
    return [{"role": "user", "content": text}]


def _limit(max_words: int, language: str) -> int:
    return int(max_words * CHARACTERS_PER_WORD) if language == "zh" else max_words


def _with_note(message: WrittenMessage, language: str) -> str:
    if message.person is None:
        return message.text
    return _NOTE[language].format(person=describe_person(message.person, language), text=message.text)


def _transcript(messages: tuple[WrittenMessage, ...], request: ReplyRequest) -> str:
    language = request.language
    lines = [f"{_ROLES[language][message.role]}: {_with_note(message, language)}" for message in messages]
    return "\n".join([*([f"({request.system})"] if request.system else []), *lines])
