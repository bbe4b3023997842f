"""What the same user says next, with the replies. ``{about}`` is that of the scene that the dialogue is about."""

from collections.abc import Mapping

from data_pipeline.records import Emotion

FollowUps = tuple[tuple[str, str], ...]
"""Pairs of a user's turn and its reply, as templates."""

MIDDLE: Mapping[Emotion, FollowUps] = {
    "neutral": (
        ("have you understood what I told you?", "I think so. You told me about {about}."),
        ("I might write about {about} in my diary.", "A diary is a good place for your thoughts about {about}."),
        ("I will tell my friends about {about} later.", "Your friends will surely want to hear about {about}."),
        ("what should I tell other people about {about}?", "Just tell them about {about} the way you told me."),
        ("I am not sure what to think about {about}.", "You can take your time to think about {about}."),
    ),
    "happy": (
        ("I could talk about {about} all day.", "Then do. I like to hear you talk about {about}."),
        ("I have to tell everybody about {about}.", "Tell them all. People will smile when they hear about {about}."),
        ("I cannot stop smiling about {about}.", "Your smile is in your voice when you talk about {about}."),
        ("would you like to hear more about {about}?", "Yes, please. I want to hear everything about {about}."),
        ("what do you think about {about}?", "When I think about {about}, I am happy with you."),
    ),
    "sad": (
        ("I keep thinking about {about}.", "It is natural to think about {about}. Be gentle with yourself."),
        ("nobody understands how I feel about {about}.", "I want to understand. Tell me how you feel about {about}."),
        (
            "I have not told anybody else about {about}.",
            "Thank you for telling me about {about}. You can always talk to me.",
        ),
        ("will I ever feel better about {about}?", "Yes, with time you will feel better about {about}."),
        ("I could cry when I think about {about}.", "You may cry. It shows how much you care about {about}."),
    ),
    "angry": (
        (
            "I get mad every time I think about {about}.",
            "Then let us think about {about} slowly. What bothers you most?",
        ),
        ("nobody asked me what I think about {about}.", "I am asking you. What do you think about {about}?"),
        ("I do not want to hear another word about {about}.", "All right. Not another word about {about} for today."),
        (
            "somebody should have talked to me about {about}.",
            "You are right. Somebody should have talked to you about {about}.",
        ),
        ("what should I say to them about {about}?", "Say calmly how you feel about {about}, and what you need."),
    ),
    "fearful": (
        (
            "I cannot stop worrying about {about}.",
            "Worrying about {about} is tiring. Let us breathe out slowly together.",
        ),
        ("what if something goes wrong with {about}?", "If something goes wrong with {about}, you can ask for help."),
        (
            "my hands shake when I think about {about}.",
            "Hold something warm. You do not have to think about {about} alone.",
        ),
        ("who can I talk to about {about}?", "Talk about {about} to someone you trust. I am listening too."),
        ("can you stay with me for a moment?", "Yes, I will stay with you. Tell me more about {about}."),
    ),
    "surprised": (
        ("I still cannot get over {about}.", "Take a moment. Thinking about {about} can take some time."),
        ("did you know anything about {about}?", "No, I knew nothing about {about} before you told me."),
        ("everybody will be so surprised about {about}.", "Yes, I wonder what they will say about {about}."),
        ("what do you say about {about}?", "What can I say? I am as surprised about {about} as you are."),
        ("can you imagine how I felt about {about}?", "I can imagine how you felt about {about}."),
    ),
}

RECALL: FollowUps = (
    ("do you remember what I told you?", "Of course. You told me about {about}."),
    ("what were we talking about?", "We were talking about {about}."),
)
"""With any emotion."""

CLOSING: Mapping[Emotion, FollowUps] = {
    "neutral": (
        ("thank you, that is all about {about} for now.", "You are welcome. We can talk about {about} any time."),
        ("I have to go now, thanks for listening.", "Thanks for telling me about {about}. Until next time."),
    ),
    "happy": (
        ("thank you for being happy with me.", "It was a pleasure to hear about {about}."),
        ("I have to go and tell the others about {about}.", "Go and share it. Thank you for telling me about {about}."),
    ),
    "sad": (
        ("thank you for listening to me.", "I am glad that you told me about {about}. Take good care of yourself."),
        (
            "I feel a little better about {about} now.",
            "I am glad you feel better. Come back when {about} weighs on you.",
        ),
    ),
    "angry": (
        ("I feel a bit calmer about {about} now.", "Good. A calm mind will help you with {about}."),
        ("thanks for letting me be angry.", "You may be angry about {about}. It was good to let it out."),
    ),
    "fearful": (
        ("I feel a little braver about {about} now.", "You are brave. We can talk about {about} whenever you like."),
        ("thank you for calming me down.", "You did it yourself. I am here when you think of {about} again."),
    ),
    "surprised": (
        (
            "I have to call somebody about {about} right now.",
            "Yes, call them. I am curious what they say about {about}.",
        ),
        ("well, life is full of surprises.", "It is. And {about} will stay in my mind."),
    ),
}

AFTER_ANSWERS: FollowUps = (
    ("could you say that again, please?", "Of course. {answer}"),
    ("thank you, that helps me a lot.", "I am glad that I could help you."),
    ("I did not know that.", "Now you know it, and you can tell others."),
    ("I will try that out.", "Good. Try it, and tell me how it went."),
    ("are you sure about that?", "I am quite sure, but it is always good to ask around."),
)
"""After the answer to a general question, which is ``{answer}``."""

AFTER_NOT_UNDERSTOOD: FollowUps = (
    ("never mind, it is not important.", "All right. You can tell me something else, and I will listen."),
    ("that is all right, nobody knows everything.", "Thank you for being so kind. I am still learning every day."),
    ("then let us talk about something else.", "Gladly. Let us talk about your day."),
)
