"""Walks, sports, the weather, the sea."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    FAMILY,
    NAMES,
    PAST,
    SIBLINGS,
    SOON,
    split,
)

WALKS = Topic(
    name="walks",
    scenes=(
        Scene(
            texts=(
                "I saw a {animal} in the woods {when}.",
                "{when} a {animal} stood in front of us in the woods.",
                "on our walk {when} we came across a {animal}.",
            ),
            fields={"animal": split("deer, bear, fox, wolf, wild horse, wild pig, white owl, snake"), "when": PAST},
            about="the {animal}",
            replies={
                "neutral": "A {animal} is a rare sight.",
                "happy": "Meeting a {animal} is a gift of the woods.",
                "sad": "Was the {animal} hurt, or all alone?",
                "angry": "A sign should have warned you of the {animal}.",
                "fearful": "You are safe now. The {animal} has gone its own way.",
                "surprised": "A {animal}, so close? How big was it?",
            },
        ),
        Scene(
            texts=(
                "my {who} wants to walk {where} with me {when}.",
                "{when} I am going to walk {where} with my {who}.",
                "my {who} and I will walk {where} {when}.",
            ),
            fields={
                "who": FAMILY,
                "where": split(
                    "around the lake, up the mountain, to the old mill, along the river, through the dark woods"
                ),
                "when": SOON[:5],
            },
            about="the walk {where}",
            replies={
                "neutral": "Take good shoes and some water for the walk.",
                "happy": "A walk {where} will do you and your {who} good.",
                "sad": "While you walk {where}, you can tell your {who} how you feel.",
                "angry": "You can tell your {who} that you are not in the mood to walk.",
                "fearful": "Your {who} will be with you all the way, and you can turn back.",
                "surprised": "Your {who} wants to walk {where}? That is new.",
            },
        ),
        Scene(
            texts=(
                "there is an old {thing} in the woods.",
                "I came to an old {thing} in the woods {when}.",
                "{when} we found an old {thing} behind the hill.",
                "my {who} showed me the old {thing} behind the hill.",
            ),
            fields={
                "thing": split("house, grave, boat, car, tower, well, swing, bench"),
                "when": PAST,
                "who": FAMILY,
            },
            about="the old {thing}",
            replies={
                "neutral": "I wonder who used the old {thing}.",
                "happy": "An old {thing} like that is a real find.",
                "sad": "An old {thing} left alone tells of people who are gone.",
                "angry": "Somebody should take better care of the old {thing}.",
                "fearful": "Stay a few steps away from the old {thing}, and nothing can happen.",
                "surprised": "An old {thing}? And nobody ever talked about it?",
            },
        ),
        Scene(
            texts=(
                "we got lost {where} {when}.",
                "my {who} fell {where} {when}.",
                "{when} it got dark while I was {where}.",
                "I lost my {thing} {where}.",
            ),
            fields={
                "where": split("in the woods, on the mountain, in the fog, by the river"),
                "when": PAST,
                "who": FAMILY,
                "thing": split("hat, key, ring, glove, phone"),
            },
            about="the walk {where}",
            replies={
                "sad": "Your day {where} should have been a good one.",
                "angry": "A walk {where} should have clear signs and a good path.",
                "fearful": "That is over now. Breathe, and tell me what happened {where}.",
            },
        ),
        Scene(
            texts=(
                "we saw the {sight} from the top of the hill {when}.",
                "{when} there was a {sight} right in front of us.",
                "I took a photo of the {sight} {when}.",
                "we slept outside {when} and saw the {sight}.",
            ),
            fields={
                "sight": split("full moon, red sky, big rainbow, sunrise, sunset, bright comet"),
                "when": (*PAST[3:], "yesterday", "on Sunday"),
            },
            about="the {sight}",
            replies={
                "neutral": "A {sight} is worth the way.",
                "happy": "I wish that I could see that {sight} with you.",
                "surprised": "A {sight}, just like that? You were lucky.",
            },
        ),
    ),
    questions=(
        ("what should I take on a long walk?", "On a long walk take water, bread and a warm jacket."),
        ("how do I find the way back?", "Look back now and then, so that you know the way."),
        ("is it safe to walk alone?", "On known paths it is safe. Tell somebody before you walk alone."),
    ),
)

_SPORTS = split("soccer, tennis, basketball, volleyball, hockey, baseball")

SPORTS = Topic(
    name="sports",
    scenes=(
        Scene(
            texts=(
                "our {sport} team plays against {city} {when}.",
                "{when} we have a {sport} match against {city}.",
                "the {sport} match against {city} is {when}.",
            ),
            fields={"sport": _SPORTS, "city": split("Boston, Denver, Chicago, Dublin"), "when": SOON[:6]},
            about="the match against {city}",
            replies={
                "neutral": "I wish your team good luck against {city}.",
                "happy": "{city} had better be ready for you.",
                "sad": "You do not look forward to {city}. Did something happen in the team?",
                "angry": "Take your anger to the field, and be fair against {city}.",
                "fearful": "{city} has nervous players too. Think of the first minute only.",
                "surprised": "{city}? So the plan of the matches has changed?",
            },
        ),
        Scene(
            texts=(
                "the coach put {who} on our {sport} team.",
                "{who} is the new captain of our {sport} team.",
                "{who} left our {sport} team {when}.",
                "{who} came back to our {sport} team {when}.",
            ),
            fields={"who": NAMES, "sport": _SPORTS, "when": PAST[2:4]},
            about="{who} and the team",
            replies={
                "neutral": "What does the rest of the team think about {who}?",
                "happy": "It is good news about {who}. Your team will be strong.",
                "sad": "It will be another team now. You have feelings about {who}.",
                "angry": "Talk to the coach about {who} when you are calm.",
                "fearful": "You still have your place in the team, with or without {who}.",
                "surprised": "{who}? The coach kept it well hidden.",
            },
        ),
        Scene(
            texts=(
                "I watched the {sport} final with my {who} {when}.",
                "my {who} took me to the {sport} final {when}.",
                "{when} I saw the {sport} final with my {who}.",
            ),
            fields={"sport": _SPORTS, "who": FAMILY, "when": PAST[:5]},
            about="the {sport} final",
            replies={
                "neutral": "Was it a close {sport} final?",
                "happy": "So the right team won the {sport} final.",
                "sad": "Your team lost the final, I guess. Next year will come.",
                "angry": "Was the {sport} final decided in an unfair way?",
                "fearful": "Big crowds at a final can be scary. It is over now.",
                "surprised": "Nobody had expected such a {sport} final, right?",
            },
        ),
        Scene(
            texts=(
                "I hurt my {part} playing {sport} {when}.",
                "they threw me out of the {sport} team {when}.",
                "I had to sit on the bench for the whole {sport} match {when}.",
                "I missed the last shot in the {sport} match {when}.",
            ),
            fields={"part": split("knee, foot, arm, shoulder"), "sport": _SPORTS, "when": PAST},
            ages=("child", "young", "adult"),
            about="what happened at {sport}",
            replies={
                "sad": "You love {sport}, and that makes it hurt even more.",
                "angry": "You gave everything for {sport}, and it did not feel fair.",
                "fearful": "Give yourself some time. {sport} will still be there.",
            },
        ),
        Scene(
            texts=(
                "I scored in the last minute of the {sport} match {when}.",
                "we won the {sport} cup {when}.",
                "my {who} won the {sport} cup {when}.",
                "I am on the {sport} team for the big match.",
            ),
            fields={"sport": _SPORTS, "who": FAMILY, "when": PAST},
            about="the success at {sport}",
            replies={
                "neutral": "That was a good day for {sport}.",
                "happy": "What a moment for you and for {sport}.",
                "surprised": "In {sport}, against all those teams? Great.",
            },
        ),
    ),
    questions=(
        ("how do I get faster?", "Run short and fast three times a week, and you get faster."),
        ("what should I eat before a match?", "Before a match, eat noodles or a banana."),
        ("how do I deal with losing?", "Losing is a teacher. Ask what you can try next time."),
    ),
)

_WEATHERS = split("snow, rain, a storm, fog, hot weather, ice on the roads, strong wind")

WEATHER = Topic(
    name="the weather",
    scenes=(
        Scene(
            texts=(
                "they say that there will be {weather} {when}.",
                "{when} we will get {weather}.",
                "the radio says that we will have {weather} {when}.",
            ),
            fields={
                "weather": _WEATHERS,
                "when": split("tonight, tomorrow, this weekend, on Sunday, on my birthday, all week"),
            },
            about="{weather}",
            replies={
                "neutral": "It is good to know about {weather} before going out.",
                "happy": "You seem to love {weather}. Have fun with it.",
                "sad": "{weather} can make the heart heavy. Make yourself a warm drink.",
                "angry": "You had plans, and now {weather} gets in the way.",
                "fearful": "Inside you are safe. {weather} will pass.",
                "surprised": "{weather}, at this time of the year?",
            },
        ),
        Scene(
            texts=(
                "the {weather} kept us inside {when}.",
                "because of the {weather} we stayed at home {when}.",
                "{when} nobody could go out because of the {weather}.",
            ),
            fields={
                "weather": split("snow, rain, storm, fog, heat, ice, wind"),
                "when": split("all day, on Sunday, last weekend, yesterday, for three days, this morning"),
            },
            about="the {weather}",
            replies={
                "neutral": "How did you pass the time during the {weather}?",
                "happy": "The {weather} gave you a cozy time at home.",
                "sad": "Being inside because of the {weather} can feel lonely.",
                "angry": "Nobody is to blame for the {weather}, but it is still annoying.",
                "fearful": "You did the right thing to stay away from the {weather}.",
                "surprised": "Was the {weather} really that strong?",
            },
        ),
        Scene(
            texts=(
                "my {who} is out in the {weather}.",
                "my {who} is driving home through the {weather}.",
                "my {who} went for a run in the {weather}.",
                "my {who} wants to go swimming in the {weather}.",
            ),
            fields={"who": FAMILY, "weather": split("snow, rain, storm, fog")},
            about="my {who} in the {weather}",
            replies={
                "neutral": "I hope that your {who} has a good coat for the {weather}.",
                "happy": "Your {who} does not let the {weather} spoil the fun.",
                "sad": "You wish that your {who} were here, warm and out of the {weather}.",
                "angry": "Your {who} should take the {weather} more seriously.",
                "fearful": "Call your {who}, and ask {them} to wait until the {weather} is over.",
                "surprised": "In this {weather}? Your {who} is full of ideas.",
            },
        ),
        Scene(
            texts=(
                "the {weather} broke {thing} {when}.",
                "{when} the {weather} ruined {thing}.",
                "we lost {thing} in the {weather} {when}.",
            ),
            fields={
                "weather": split("storm, flood, wind"),
                "thing": split("our roof, my bicycle, our fence, the old tree, our boat, our tent"),
                "when": PAST,
            },
            about="the {weather}",
            replies={
                "sad": "The {weather} took something that you cared for.",
                "angry": "All because of the {weather}. You have every reason to be mad.",
                "fearful": "The {weather} is over. Now we can see what to do about {thing}.",
            },
        ),
        Scene(
            texts=(
                "the sun was out again over the {place} {when}.",
                "there was a rainbow over the {place} {when}.",
                "the {place} was covered with snow {when}.",
                "{when} the whole {place} was white with snow.",
            ),
            fields={
                "place": split("town, garden, school, park, church, old bridge, hill"),
                "when": split("this morning, when I woke up, when I came home, yesterday, on Sunday"),
            },
            about="the weather over the {place}",
            replies={
                "neutral": "The {place} must look pretty in that light.",
                "happy": "Take a photo of the {place}. Such days are rare.",
                "surprised": "And nobody had said a word about such weather. How does the {place} look?",
            },
        ),
    ),
    questions=(
        ("what should I wear today?", "Wear a light jacket today, and take an umbrella."),
        ("how do storms begin?", "Storms begin when warm and cold air meet."),
        ("can I go out in the rain?", "With good boots you can go out in the rain."),
    ),
)

SEA = Topic(
    name="the sea",
    scenes=(
        Scene(
            texts=(
                "we are driving to the sea {when}.",
                "{when} my {who} is taking me to the sea.",
                "my {who} wants to go to the sea with me {when}.",
            ),
            fields={"who": FAMILY, "when": (*SOON, "in the summer", "in the winter")},
            about="the trip to the sea",
            replies={
                "neutral": "Do not forget a towel for the sea.",
                "happy": "The sea is the best place for a good mood.",
                "sad": "The sea can listen well to a sad heart.",
                "angry": "Perhaps the wide sea will blow the anger out of your head.",
                "fearful": "At the sea you can stay on the sand. Nobody has to swim.",
                "surprised": "To the sea, just like that?",
            },
        ),
        Scene(
            texts=(
                "I found {thing} on the beach {when}.",
                "{when} the sea washed {thing} onto the beach.",
                "there was {thing} on the beach {when}.",
            ),
            fields={
                "thing": split(
                    "a bottle with a letter, an old shoe, a dead fish, a gold coin, a broken boat, a huge shell, "
                    "a jelly fish"
                ),
                "when": PAST,
            },
            about="{the_thing} on the beach",
            replies={
                "neutral": "The sea brings all kinds of things to the beach. Did you keep it?",
                "happy": "{thing} is a find to remember.",
                "sad": "{thing} on the beach can make us think of sad stories.",
                "angry": "The beach should be clean, and somebody should care for it.",
                "fearful": "You do not have to touch {the_thing}. Just walk on along the beach.",
                "surprised": "{thing}? I wonder where it came from.",
            },
        ),
        Scene(
            texts=(
                "my {who} jumped into the {water} {when}.",
                "{when} my {who} swam all the way across the {water}.",
                "my {who} wants to teach me to swim in the {water}.",
                "my {who} swims in the {water} every day, even in winter.",
            ),
            fields={"who": FAMILY, "water": split("lake, river, sea, cold sea"), "when": PAST[:5]},
            about="my {who} in the {water}",
            replies={
                "neutral": "Your {who} seems to like the {water}.",
                "happy": "Your {who} is as happy as a fish in the {water}.",
                "sad": "You would like to be as free as your {who} in the {water}.",
                "angry": "Your {who} should think of safety in the {water} first.",
                "fearful": "Ask your {who} to stay where the {water} is not deep.",
                "surprised": "In the {water}? Your {who} has courage.",
            },
        ),
        Scene(
            texts=(
                "a big wave took my {thing} at the {place} {when}.",
                "I stepped on a {sharp} at the {place} {when}.",
                "I almost drowned at the {place} {when}.",
                "my {who} almost drowned at the {place} {when}.",
                "there was trash all over the {place} {when}.",
                "{when} they put a fence around the {place}.",
            ),
            fields={
                "thing": split("glasses, hat, shoes, camera, towel"),
                "sharp": split("broken bottle, jelly fish, sharp shell"),
                "place": split("beach, lake, river bank, swimming pool"),
                "who": SIBLINGS,
                "when": PAST,
            },
            about="what happened at the {place}",
            replies={
                "sad": "A day at the {place} should not end like that.",
                "angry": "The {place} should be safe and open for everybody.",
                "fearful": "You are away from the {place} now, and you are on dry land.",
            },
        ),
        Scene(
            texts=(
                "we saw a dolphin near the {place} {when}.",
                "we had the whole {place} to ourselves {when}.",
                "{when} my {who} caught a huge fish at the {place}.",
                "I saw the sun go down at the {place} {when}.",
            ),
            fields={"place": split("beach, island, pier, old harbor, bay"), "who": FAMILY, "when": PAST},
            about="the day at the {place}",
            replies={
                "neutral": "The {place} is always good for a story.",
                "happy": "That day at the {place} will keep you warm for a long time.",
                "surprised": "At the {place}? Did anybody else see it?",
            },
        ),
    ),
    questions=(
        ("is the water warm enough to swim?", "If your feet feel fine after a minute, the water is warm enough."),
        ("what helps against a sunburn?", "Cool cloths and shade help against a sunburn."),
        ("what can I do with shells?", "With shells you can make a chain or fill a pretty glass."),
    ),
)

TOPICS = (WALKS, SPORTS, WEATHER, SEA)
