"""Music, films, art, games."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    ELDERS,
    FAMILY,
    GRANDCHILDREN,
    GRANDPARENTS,
    NAMES,
    PARENTS,
    PAST,
    SIBLINGS,
    SOON,
    SPOUSES,
    split,
)

_INSTRUMENTS = split("piano, violin, guitar, flute, trumpet, drums, cello")

MUSIC = Topic(
    name="music",
    scenes=(
        Scene(
            texts=(
                "I have to play the {instrument} {where} {when}.",
                "{when} I will play the {instrument} {where}.",
                "they asked me to play the {instrument} {where} {when}.",
            ),
            fields={
                "instrument": _INSTRUMENTS,
                "where": split("at church, in front of everybody, on a big stage, at a wedding"),
                "when": SOON[:5],
            },
            about="playing the {instrument} {where}",
            replies={
                "neutral": "Warm up your hands before you play the {instrument}.",
                "happy": "They will love the sound of your {instrument}.",
                "sad": "Let the {instrument} say what you feel. Music can carry it.",
                "angry": "If nobody asked you nicely, you do not have to play the {instrument}.",
                "fearful": "Play the {instrument} for one friendly face. Breathe before you start.",
                "surprised": "You and the {instrument}, {where}? What an offer.",
            },
        ),
        Scene(
            texts=(
                "they played the old song about {subject} on the radio {when}.",
                "{when} I heard the song about {subject} again.",
                "my {who} was singing the song about {subject} {when}.",
            ),
            fields={
                "subject": split("the river, the moon, the lonely sailor, the long road, summer, coming home"),
                "who": FAMILY,
                "when": PAST,
            },
            about="the song about {subject}",
            replies={
                "neutral": "The song about {subject} is known by many people.",
                "happy": "The song about {subject} goes straight into the feet.",
                "sad": "The song about {subject} can bring tears. Let them come.",
                "angry": "Does the song about {subject} remind you of somebody you are angry with?",
                "fearful": "A song can bring back old fears. You are here and safe now.",
                "surprised": "You had not heard the song about {subject} in years, had you?",
            },
        ),
        Scene(
            texts=(
                "my {who} sold the old {instrument} {when}.",
                "my {who} gave me the old {instrument} {when}.",
                "{when} my {who} took the old {instrument} down from the attic.",
            ),
            fields={"who": FAMILY, "instrument": split("violin, guitar, flute, trumpet, cello"), "when": PAST},
            about="the old {instrument}",
            replies={
                "neutral": "An old {instrument} can still sound very good.",
                "happy": "The old {instrument} will bring music into somebody's life.",
                "sad": "The old {instrument} was a part of the family.",
                "angry": "Your {who} should have talked to you about the {instrument}.",
                "fearful": "You will not break the {instrument}. Nothing bad will come of it.",
                "surprised": "The {instrument}? You had forgotten all about it.",
            },
        ),
        Scene(
            texts=(
                "a string of my {instrument} broke {when}.",
                "somebody sat on my {instrument} {when}.",
                "somebody stole my {instrument} {when}.",
                "my little cousin broke my {instrument} {when}.",
                "I left my {instrument} on the bus {when}.",
            ),
            fields={"instrument": split("violin, guitar, cello"), "when": (*PAST, "today", "on Friday")},
            about="my {instrument}",
            replies={
                "sad": "A {instrument} is close to the heart. I understand.",
                "angry": "It is maddening when something happens to your {instrument}.",
                "fearful": "There is a way to fix this. Start with one call about the {instrument}.",
            },
        ),
        Scene(
            texts=(
                "I am in the {group} now, and I play the {instrument}.",
                "the {group} wants me to play the {instrument}.",
                "everybody stood up when I played the {instrument} with the {group}.",
                "my {who} got a place in the {group} with the {instrument}.",
            ),
            fields={
                "group": split("school band, town band, city orchestra"),
                "instrument": _INSTRUMENTS,
                "who": FAMILY,
            },
            about="the {group}",
            replies={
                "neutral": "The {group} always needs a good {instrument}.",
                "happy": "The {group} has found a star.",
                "surprised": "The {group}? And all because of the {instrument}?",
            },
        ),
    ),
    questions=(
        ("how long should I practice?", "Practice for twenty minutes a day, and enjoy it."),
        ("what music is good for a quiet evening?", "Slow piano music is good for a quiet evening."),
        ("how do I learn a song by heart?", "Learn a song line by line, and sing it while you walk."),
    ),
)

_FILMS = split(
    "the two brothers, a lost dog, the last train, a haunted house, the old sailor, a trip to the moon, a young queen"
)

FILMS = Topic(
    name="films",
    scenes=(
        Scene(
            texts=(
                "I watched the film about {subject} {when}.",
                "{when} we all watched the film about {subject}.",
                "my {who} showed me the film about {subject} {when}.",
            ),
            fields={"subject": _FILMS, "who": FAMILY, "when": PAST},
            about="the film about {subject}",
            replies={
                "neutral": "What did you think of the film about {subject}?",
                "happy": "The film about {subject} put you in a good mood.",
                "sad": "The film about {subject} touched something in you.",
                "angry": "The film about {subject} was a waste of an evening for you, it seems.",
                "fearful": "It was only a film about {subject}. Turn on the light and have some tea.",
                "surprised": "Did the film about {subject} end so differently?",
            },
        ),
        Scene(
            texts=(
                "they are making a film {where} {when}.",
                "{when} they will make a film {where}.",
                "there will be cameras {where} {when}, because they are making a film.",
            ),
            fields={
                "where": split(
                    "on our street, in our school, in the old factory, at my office, by the lake, in the park"
                ),
                "when": (*SOON, *split("on Monday, on Tuesday, on Thursday")),
            },
            about="the film {where}",
            replies={
                "neutral": "It will be loud for a few days when they make the film.",
                "happy": "Maybe you will be in the film for a second.",
                "sad": "You would rather have it quiet than have a film made {where}.",
                "angry": "They should have asked everybody before making a film {where}.",
                "fearful": "The film people know what they are doing. You can keep away.",
                "surprised": "A film {where}? Who is in it?",
            },
        ),
        Scene(
            texts=(
                "I am going to the movies with {who} {when}.",
                "{who} invited me to the movies {when}.",
                "{when} {who} is taking me to the movies.",
            ),
            fields={"who": NAMES, "when": SOON[:7]},
            about="the movies with {who}",
            replies={
                "neutral": "Which film do you and {who} want to see?",
                "happy": "The movies with {who} sound like a perfect evening.",
                "sad": "It may do you good to go to the movies with {who}.",
                "angry": "You can tell {who} that you are not in the mood for the movies.",
                "fearful": "It is dark at the movies, and {who} will be just as nervous as you.",
                "surprised": "{who} asked you? And you said yes to the movies?",
            },
        ),
        Scene(
            texts=(
                "the film about {subject} gave me bad dreams.",
                "somebody told me the end of the film about {subject}.",
                "the power went out before the end of the film about {subject}.",
                "somebody talked all through the film about {subject} {when}.",
                "I cried all through the film about {subject} {when}.",
            ),
            fields={"subject": _FILMS, "when": PAST},
            about="the film about {subject}",
            replies={
                "sad": "A film can hurt, and this one did.",
                "angry": "That film should have been a nice time for you.",
                "fearful": "Nothing from that film can reach you. It was all made up.",
            },
        ),
        Scene(
            texts=(
                "I won two tickets for the film about {subject}.",
                "I met a star of the film about {subject} {when}.",
                "my {who} is in the film about {subject}.",
                "we laughed all through the film about {subject} {when}.",
            ),
            fields={"subject": _FILMS, "when": PAST, "who": (*SIBLINGS, *ELDERS)},
            about="the film about {subject}",
            replies={
                "neutral": "Then you will remember the film for long.",
                "happy": "That makes the film about {subject} even better.",
                "surprised": "Really, the film about {subject}? Tell me everything.",
            },
        ),
    ),
    questions=(
        ("which film is good for a rainy day?", "An old funny film is good for a rainy day."),
        ("what snack goes with a film?", "Popcorn goes with every film, sweet or salty."),
        ("is it better to watch alone?", "Alone you can cry in peace, but together it is better to laugh."),
    ),
)

_MOTIFS = split("a ship, the old bridge, our house, a red horse, my hands, the sea, an empty chair")

ART = Topic(
    name="art",
    scenes=(
        Scene(
            texts=(
                "my {who} painted a picture of {motif} {when}.",
                "{when} my {who} painted a picture of {motif}.",
                "my {who} gave me a picture of {motif} {when}.",
            ),
            fields={"who": FAMILY, "motif": (*_MOTIFS, "me"), "when": PAST[:5]},
            about="the picture by my {who}",
            replies={
                "neutral": "Where will you hang the picture of {motif}?",
                "happy": "A picture of {motif} by your {who} is one of a kind.",
                "sad": "The picture shows how your {who} sees the world. It may touch you deeply.",
                "angry": "Not every picture has to please you. You can be honest with your {who}.",
                "fearful": "It is just a picture of {motif}. Nobody expects you to know what to say.",
                "surprised": "Your {who} can paint? And then a picture of {motif}?",
            },
        ),
        Scene(
            texts=(
                "they are showing my {work} {where}.",
                "my {work} is going to hang {where} {when}.",
                "{when} everybody can see my {work} {where}.",
            ),
            fields={
                "work": split("drawing, painting, photo, mask, poster"),
                "where": split("in the town hall, at school, in the library, in a museum, at the church"),
                "when": SOON[2:],
            },
            about="my {work} {where}",
            replies={
                "neutral": "Many people will see your {work}.",
                "happy": "Your {work} deserves a good place. Congratulations.",
                "sad": "Showing your {work} means showing yourself. That can hurt.",
                "angry": "They should have asked you before showing your {work}.",
                "fearful": "It takes courage to show your {work}, and you have it.",
                "surprised": "Your {work}, {where}? Did you know that it was that good?",
            },
        ),
        Scene(
            texts=(
                "I am in a {craft} class with {who} now.",
                "{who} is in my {craft} class.",
                "my {craft} class begins {when}, and {who} is coming too.",
                "{who} is going to teach our {craft} class.",
            ),
            fields={
                "craft": split("drawing, painting, pottery, sewing, dance, photo"),
                "who": NAMES,
                "when": SOON[2:],
            },
            about="the {craft} class with {who}",
            replies={
                "neutral": "A {craft} class is good for the mind. What will you make?",
                "happy": "You and {who} will have fun in the {craft} class.",
                "sad": "Did you hope to be in the {craft} class with someone else?",
                "angry": "In the {craft} class you do not have to sit next to {who}.",
                "fearful": "In a {craft} class everybody begins with a mess. {who} too.",
                "surprised": "{who} in a {craft} class? I would not have guessed.",
            },
        ),
        Scene(
            texts=(
                "somebody threw my drawing of {motif} away.",
                "my {who} spilled water on my picture of {motif}.",
                "my {who} laughed at my picture of {motif} {when}.",
                "I worked for weeks, and my picture of {motif} is ugly.",
            ),
            fields={
                "motif": _MOTIFS,
                "who": (*SIBLINGS, *PARENTS, *GRANDPARENTS, *GRANDCHILDREN, *SPOUSES),
                "when": PAST[:4],
            },
            about="my picture of {motif}",
            replies={
                "sad": "There was a piece of you in the picture of {motif}.",
                "angry": "All that work on the picture of {motif}, and now this.",
                "fearful": "You can make another picture of {motif}. It is in your hands.",
            },
        ),
        Scene(
            texts=(
                "somebody bought my picture of {motif} {when}.",
                "my drawing of {motif} won a prize {when}.",
                "{when} I sold my first picture, the one of {motif}.",
                "my {who} hung my picture of {motif} over the sofa.",
            ),
            fields={"motif": _MOTIFS, "when": PAST, "who": FAMILY},
            about="my picture of {motif}",
            replies={
                "neutral": "Then it was right to pick {motif}.",
                "happy": "Your picture of {motif} has found its place.",
                "surprised": "The picture of {motif}? You almost did not show it.",
            },
        ),
    ),
    questions=(
        ("what could I draw next?", "Draw your hand next, or the view from your window."),
        ("how do I mix green?", "Mix blue and yellow, and you have green."),
        ("can everybody learn to draw?", "Yes, everybody can learn to draw. Just look closely."),
    ),
)

GAMES = Topic(
    name="games",
    scenes=(
        Scene(
            texts=(
                "I played {game} with my {who} {when}.",
                "{when} my {who} played {game} with me.",
                "my {who} and I played {game} {when}.",
            ),
            fields={
                "game": split("chess, cards, checkers, hide and seek, table tennis, darts"),
                "who": FAMILY,
                "when": PAST,
            },
            about="the game of {game} with my {who}",
            replies={
                "neutral": "Who won, you or your {who}?",
                "happy": "A game of {game} with your {who} sounds like a good time.",
                "sad": "It was not about {game}, was it? You can tell me about your {who}.",
                "angry": "A game of {game} should be fair. Tell your {who} what bothered you.",
                "fearful": "It is only {game}. Your {who} likes you, won or lost.",
                "surprised": "I did not know that your {who} plays {game}.",
            },
        ),
        Scene(
            texts=(
                "there is a {game} contest {where} {when}.",
                "{when} I am in a {game} contest {where}.",
                "they put my name on the list for the {game} contest {where}.",
            ),
            fields={
                "game": split("chess, card, darts, puzzle, table tennis, quiz"),
                "where": split("at school, at the library, in the next town, at the club, in the park"),
                "when": SOON[2:7],
            },
            about="the {game} contest",
            replies={
                "neutral": "How many people will be at the {game} contest?",
                "happy": "You will enjoy the {game} contest, win or lose.",
                "sad": "You do not have to go to the {game} contest if it weighs on you.",
                "angry": "If nobody asked you about the {game} contest, you can take your name off.",
                "fearful": "Play the {game} contest one round at a time.",
                "surprised": "A {game} contest? Who thought of you?",
            },
        ),
        Scene(
            texts=(
                "my {who} wants to play {game} with me {often}.",
                "{often} my {who} asks me to play {game}.",
                "my {who} taught me to play {game} {when}.",
            ),
            fields={
                "who": FAMILY,
                "game": split("chess, cards, checkers, table tennis, ball"),
                "often": split("every day, every evening, every Sunday, all the time"),
                "when": PAST[:4],
            },
            about="playing {game} with my {who}",
            replies={
                "neutral": "Your {who} likes to spend time with you.",
                "happy": "You and your {who} make a good team at {game}.",
                "sad": "Time with your {who} goes by so fast. Play {game} while you can.",
                "angry": "You may say no to {game}, and your {who} will survive it.",
                "fearful": "You do not have to be good at {game}. Your {who} just wants company.",
                "surprised": "{game} with your {who}? Whose idea was that?",
            },
        ),
        Scene(
            texts=(
                "I lost at {game} against {who} again.",
                "{who} cheated at {game} {when}.",
                "we lost the final of the {game} contest {when}.",
                "nobody wants to play {game} with me.",
                "{who} threw the {game} board across the room {when}.",
            ),
            fields={
                "game": split("chess, checkers"),
                "who": (*NAMES, "my cousin", "my brother", "my sister"),
                "when": PAST,
            },
            about="the game of {game}",
            replies={
                "sad": "Losing the joy in {game} is sad. Tomorrow is another day.",
                "angry": "It is no fun when a game of {game} goes like that.",
                "fearful": "It was just {game}. Stay with people who are kind to you.",
            },
        ),
        Scene(
            texts=(
                "I beat {who} at {game} {when}.",
                "{when} I won against {who} at {game}.",
                "I won the {game} contest {when}.",
                "{who} let me win at {game} {when}.",
            ),
            fields={
                "game": split("chess, checkers, darts, table tennis"),
                "who": (*NAMES, "my grandfather", "my teacher"),
                "when": PAST,
            },
            about="the game of {game}",
            replies={
                "neutral": "Then it was a good day for {game}.",
                "happy": "You are the queen or king of {game} today.",
                "surprised": "Was {game} not always your weak side?",
            },
        ),
    ),
    questions=(
        ("which game is good for two?", "For two, cards or checkers are a good game."),
        ("how can I lose without getting mad?", "Shake hands, say well played, and you lose with a smile."),
        ("what can we play outside?", "Outside you can play tag, or hide and seek."),
    ),
)

TOPICS = (MUSIC, FILMS, ART, GAMES)
