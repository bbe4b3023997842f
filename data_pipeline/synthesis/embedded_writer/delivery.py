"""What precedes a reply, by the emotion that it answers, and the tone in which the whole reply is spoken."""

from collections.abc import Mapping

from data_pipeline.records import Emotion

Lead = tuple[str, str]
"""A phrase, or an empty text, and the tone of the reply that begins with it."""

LEADS: Mapping[Emotion, tuple[Lead, ...]] = {
    "neutral": (
        ("I see.", "neutral"),
        ("All right.", "neutral"),
        ("Okay.", "neutral"),
        ("Good to know.", "neutral"),
        ("Thanks for telling me.", "warm"),
        ("I am glad you told me.", "warm"),
    ),
    "happy": (
        ("That is wonderful.", "cheerful"),
        ("How lovely.", "cheerful"),
        ("I can hear you smile.", "cheerful"),
        ("You sound so happy.", "cheerful"),
        ("Oh, I love that.", "excited"),
        ("Wow, I am so happy for you.", "excited"),
    ),
    "sad": (
        ("I am so sorry.", "gentle"),
        ("I can hear how sad you are.", "gentle"),
        ("I am here for you.", "warm"),
        ("Take all the time you need.", "warm"),
        ("Oh, that sounds hard.", "concerned"),
        ("I can hear that this hurts.", "concerned"),
    ),
    "angry": (
        ("I hear how angry you are.", "calm"),
        ("I understand that you are upset.", "calm"),
        ("It is all right to be angry.", "calm"),
        ("Your anger makes sense.", "calm"),
        ("Let us take a breath first.", "calm"),
    ),
    "fearful": (
        ("Take a slow breath.", "calm"),
        ("Let us stay calm together.", "calm"),
        ("I can hear that you are scared.", "calm"),
        ("You are not alone.", "warm"),
        ("I am right here with you.", "warm"),
    ),
    "surprised": (
        ("Wow.", "excited"),
        ("Oh, really?", "excited"),
        ("No way.", "excited"),
        ("What a surprise.", "cheerful"),
        ("Well, who would have thought?", "cheerful"),
        ("I did not see that coming.", "cheerful"),
    ),
}

CHILD_LEADS: Mapping[Emotion, tuple[Lead, ...]] = {
    "neutral": (("Thank you for telling me that.", "warm"),),
    "happy": (("Hooray.", "excited"), ("Yay, that is great.", "cheerful")),
    "sad": (("Oh dear.", "gentle"), ("I wish I could give you a hug.", "warm")),
    "angry": (("Oh, you are really mad.", "calm"),),
    "fearful": (("It is brave of you to tell me.", "warm"),),
    "surprised": (("Oh, wow.", "excited"), ("Oh my.", "cheerful")),
}
"""Further ones for children."""

MISMATCHES: Mapping[Emotion, Lead] = {
    "neutral": ("You sound calm. Would you like to tell me more about {about}?", "neutral"),
    "happy": ("You sound happy about {about}. Tell me why.", "cheerful"),
    "sad": ("You sound sad about {about}. What is on your mind?", "gentle"),
    "angry": ("You sound angry about {about}. What happened?", "calm"),
    "fearful": ("You sound afraid of what may come of {about}. What worries you?", "calm"),
    "surprised": ("You sound surprised about {about}. What did you expect?", "cheerful"),
}
"""Whole replies to an emotion that the words do not let expect."""

ANSWER_LEADS: Mapping[Emotion, tuple[Lead, ...]] = {
    "neutral": (("", "neutral"),),
    "happy": (("Gladly.", "cheerful"), ("I love that question.", "cheerful")),
    "sad": (("Let me help you.", "warm"), ("I am here to help.", "gentle")),
    "angry": (("I understand.", "calm"), ("One thing at a time.", "calm")),
    "fearful": (("Do not worry.", "calm"), ("You can ask me anything.", "warm")),
    "surprised": (("Good question.", "cheerful"), ("Oh, that is an interesting one.", "excited")),
}
"""Before answers to questions."""

FOLLOW_UP_LEADS: Mapping[Emotion, tuple[Lead, ...]] = {
    "neutral": (("", "neutral"), ("", "warm")),
    "happy": (("With pleasure.", "cheerful"), ("Oh, gladly.", "excited")),
    "sad": (("I am listening.", "gentle"), ("I am with you.", "warm")),
    "angry": (("I hear you.", "calm"), ("Let us stay calm.", "calm")),
    "fearful": (("I am here.", "calm"), ("We will manage this.", "warm")),
    "surprised": (("Oh yes.", "excited"), ("Oh, absolutely.", "cheerful")),
}
"""Before replies to follow-ups that people say with any emotion."""

NOT_UNDERSTOOD: Mapping[Emotion, tuple[Lead, ...]] = {
    "neutral": (
        ("I did not catch that.", "neutral"),
        ("I do not know much about that yet, but I am listening.", "neutral"),
        ("I am not sure what you mean. Could you say it in other words?", "neutral"),
    ),
    "happy": (
        ("I did not catch that, but you sound happy.", "cheerful"),
        ("I do not know much about that yet, but I like your joy.", "cheerful"),
    ),
    "sad": (
        ("I am sorry, I did not catch that, but I am here for you.", "gentle"),
        ("I do not know much about that yet, but I hear that you are sad.", "gentle"),
    ),
    "angry": (
        ("I did not catch that, but I hear that you are upset.", "calm"),
        ("I do not know much about that yet, but your anger is heard.", "calm"),
    ),
    "fearful": (
        ("I did not catch that, but you are not alone.", "warm"),
        ("I do not know much about that yet, but let us stay calm together.", "calm"),
    ),
    "surprised": (
        ("I did not catch that. What surprised you so much?", "excited"),
        ("I do not know much about that yet, but it sounds surprising.", "cheerful"),
    ),
}
"""Whole replies to what is not of the grammar."""
