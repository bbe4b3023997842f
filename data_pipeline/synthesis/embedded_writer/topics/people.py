"""Visits, friends, neighbors, grandparents."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    ELDERS,
    FAMILY,
    GRANDCHILDREN,
    LATER,
    NAMES,
    PAST,
    SIBLINGS,
    SOON,
    split,
)

VISITS = Topic(
    name="visits",
    scenes=(
        Scene(
            texts=(
                "my {who} is coming home {when}.",
                "{when} my {who} is coming home.",
                "I just heard that my {who} is coming home {when}.",
            ),
            fields={"who": FAMILY, "when": SOON},
            about="my {who} coming home",
            replies={
                "neutral": "I hope your {who} has an easy trip home.",
                "happy": "Your {who} will be so glad to see you {when}.",
                "sad": "Coming home can bring old feelings back. Would you like to talk about your {who}?",
                "angry": "You do not have to pretend that all is well when your {who} comes home.",
                "fearful": "We can think together about what to say to your {who} {when}.",
                "surprised": "So you had no idea that your {who} was coming {when}?",
            },
        ),
        Scene(
            texts=(
                "we have guests from {city} staying with us {when}.",
                "some guests from {city} will stay with us {when}.",
                "there will be guests from {city} at our house {when}.",
            ),
            fields={"city": split("London, Paris, Boston, Chicago, Madrid, Berlin, Dublin"), "when": SOON},
            about="our guests from {city}",
            replies={
                "neutral": "Guests from {city} will have a lot to tell.",
                "happy": "A house full of guests from {city} sounds like fun.",
                "sad": "Having guests can feel heavy when you would rather be alone.",
                "angry": "Guests are a lot of work, and somebody should have asked you first.",
                "fearful": "Your guests from {city} will be happy with a bed and a kind word.",
                "surprised": "So the guests from {city} just announced themselves?",
            },
        ),
        Scene(
            texts=(
                "my {who} did not come to see us {when}.",
                "we waited for my {who} {when}, but {they} did not come.",
                "my {who} was going to visit us {when} and never came.",
            ),
            fields={"who": FAMILY, "when": PAST},
            about="my {who} not coming",
            replies={
                "neutral": "Maybe your {who} will come another day.",
                "sad": "You were looking forward to your {who}, and then you waited in vain.",
                "angry": "Your {who} could at least have called you.",
                "fearful": "There may be a simple reason. Try to call your {who} now.",
                "surprised": "It is strange that your {who} did not come. Did {they} call?",
            },
        ),
        Scene(
            texts=(
                "my {who} stayed with us for {time}.",
                "we had my {who} in the house for {time}.",
                "for {time} my {who} has been staying with us.",
            ),
            fields={
                "who": (*SIBLINGS, *ELDERS, *GRANDCHILDREN),
                "time": split("three days, a whole week, ten days, two weeks, a month, the whole summer"),
            },
            about="the time with my {who}",
            replies={
                "neutral": "{time} is a good time for a visit. I hope your {who} felt at home.",
                "happy": "What a treat to have your {who} with you for {time}.",
                "sad": "The house must feel different after {time} with your {who}.",
                "angry": "{time} is a long time. It is fine to want your home for yourself.",
                "fearful": "Whatever happened with your {who}, you can tell me slowly.",
                "surprised": "Did you think that your {who} would stay for {time}?",
            },
        ),
        Scene(
            texts=(
                "my {who} came {distance} just to see me.",
                "my {who} came {distance} to have dinner with me.",
                "to see me, my {who} came {distance}.",
            ),
            fields={
                "who": (*FAMILY, "cousin", "best friend"),
                "distance": split(
                    "all the way from Boston, all the way from London, across the whole country, a very long way, "
                    "all night by train"
                ),
            },
            about="my {who}'s visit",
            replies={
                "neutral": "Your {who} must care about you a lot.",
                "happy": "Your {who} clearly wanted to be with you. Enjoy every minute.",
                "surprised": "Your {who} came {distance}, and you did not know?",
            },
        ),
    ),
    questions=(
        (
            "should I cook something special?",
            "Something simple is fine. People come for you.",
        ),
        ("what could we do together?", "You could go for a walk together, or look at old photos."),
        ("how do I make a guest feel at home?", "Show a guest the kitchen, and leave some time for rest."),
    ),
)

FRIENDS = Topic(
    name="friends",
    scenes=(
        Scene(
            texts=(
                "my friend {who} called me {when}.",
                "{when} I got a call from my friend {who}.",
                "I talked to my friend {who} on the phone {when}.",
            ),
            fields={"who": NAMES, "when": PAST},
            about="the call with {who}",
            replies={
                "neutral": "What did {who} want to talk about?",
                "happy": "A call from {who} can make the whole day brighter.",
                "sad": "Did {who} say something that made you feel sad?",
                "angry": "You can tell {who} honestly what made you angry.",
                "fearful": "Did {who} tell you something that worries you?",
                "surprised": "You did not expect a call from {who}, did you?",
            },
        ),
        Scene(
            texts=(
                "my best friend {who} is moving to {city} {when}.",
                "{when} my best friend {who} moves to {city}.",
                "{who} is my best friend, and {they} is moving to {city} {when}.",
            ),
            fields={"who": NAMES, "city": split("London, Paris, Boston, Chicago, Sydney"), "when": LATER},
            about="{who} moving away",
            replies={
                "neutral": "You can visit {who} in {city} and see a new place.",
                "happy": "It is good of you to be so happy for {who}.",
                "sad": "Missing {who} shows how good a friend you are. {city} has phones too.",
                "angry": "It is all right to be angry that {who} is leaving you.",
                "fearful": "A real friendship can last, even from here to {city}.",
                "surprised": "Of all places, {who} picked {city}?",
            },
        ),
        Scene(
            texts=(
                "I saw {who} at the {place} {when}.",
                "{when} I ran into {who} at the {place}.",
                "guess who was at the {place} {when}. it was {who}.",
            ),
            fields={
                "who": NAMES,
                "place": split("market, park, station, library, swimming pool, bakery"),
                "when": PAST[:5],
            },
            about="{who} at the {place}",
            replies={
                "neutral": "The {place} is a good place to meet people. How is {who}?",
                "happy": "Running into {who} sounds like a lucky moment.",
                "sad": "Seeing {who} at the {place} must have stirred something in you.",
                "angry": "You did not have to be friendly to {who} at the {place}.",
                "fearful": "You are safe now. Did {who} say anything to you?",
                "surprised": "{who} at the {place}? What was {they} doing there?",
            },
        ),
        Scene(
            texts=(
                "{who} does not talk to me anymore.",
                "{who} told everybody my secret {when}.",
                "{who} forgot our plans {when} and went out without me.",
                "I had a fight with my friend {who} {when}.",
            ),
            fields={"who": NAMES, "when": PAST},
            about="my trouble with {who}",
            replies={
                "sad": "It hurts when a friend like {who} lets you down.",
                "angry": "Wait until you feel calm, and then tell {who} how it felt.",
                "fearful": "One bad day does not have to end your friendship with {who}.",
            },
        ),
        Scene(
            texts=(
                "{who} gave me {gift} {when}.",
                "{when} {who} brought me {gift} for no reason at all.",
                "look, I got {gift} from {who} {when}.",
            ),
            fields={
                "who": NAMES,
                "gift": split("a box of chocolates, a big bunch of flowers, a book, a warm scarf, homemade cookies"),
                "when": PAST,
            },
            about="the gift from {who}",
            replies={
                "neutral": "That was kind of {who}.",
                "happy": "{who} knows how to make you smile.",
                "surprised": "{gift} from {who}, just like that?",
            },
        ),
    ),
    questions=(
        ("should I write to my friend?", "Yes, write a few honest lines. A friend is glad to hear from you."),
        ("what makes a good friend?", "A good friend listens and stays when things get hard."),
        ("how do I make new friends?", "Join a class or a club, and new friends will come with time."),
    ),
)

NEIGHBORS = Topic(
    name="neighbors",
    scenes=(
        Scene(
            texts=(
                "somebody moved into the house {where} {when}.",
                "{when} new people moved into the house {where}.",
                "we have new neighbors in the house {where} since they moved in {when}.",
            ),
            fields={
                "where": split("next door, across the street, on the corner, behind ours, with the red door"),
                "when": PAST,
            },
            about="the new people in the house {where}",
            replies={
                "neutral": "You could say hello to the people in the house {where}.",
                "happy": "The people in the house {where} can become good friends. Bring them a cake.",
                "sad": "Do you miss the people who lived in the house before?",
                "angry": "New people in the house {where} need to learn the rules. Give them a little time.",
                "fearful": "Most new neighbors are friendly. You can meet the people in the house at the door first.",
                "surprised": "So you did not know that the house {where} was free?",
            },
        ),
        Scene(
            texts=(
                "my neighbor plays the {instrument} {often}.",
                "{often} my neighbor plays the {instrument}.",
                "I can hear my neighbor's {instrument} {often}.",
            ),
            fields={
                "instrument": split("piano, drums, trumpet, guitar, violin, flute"),
                "often": split("every day, every morning, every evening, every Sunday, late at night, all the time"),
            },
            about="the {instrument} next door",
            replies={
                "neutral": "Your neighbor must like the {instrument} a lot.",
                "happy": "Free music next door sounds lovely. Perhaps the {instrument} is a good start for the day.",
                "sad": "Does the {instrument} remind you of someone?",
                "angry": "Ask your neighbor kindly for quiet hours without the {instrument}.",
                "fearful": "It is only the {instrument} you hear. Nothing bad is going on next door.",
                "surprised": "Who knew that your neighbor could play the {instrument}?",
            },
        ),
        Scene(
            texts=(
                "my neighbor wants to talk to me {when} about {matter}.",
                "{when} my neighbor is coming over to talk about {matter}.",
                "there was a note from my neighbor about {matter}, and we will meet {when}.",
            ),
            fields={"matter": split("the fence, the old tree, our dog, the noise, the party"), "when": SOON},
            about="the talk with my neighbor about {matter}",
            replies={
                "neutral": "It is good to talk about {matter} in person.",
                "happy": "You and your neighbor will find a nice way with {matter}.",
                "sad": "A talk about {matter} does not have to mean the end of good days.",
                "angry": "Listen first, and then say calmly what you think about {matter}.",
                "fearful": "Your neighbor only wants to talk about {matter}. You can bring somebody with you.",
                "surprised": "Was there ever a problem with {matter} before?",
            },
        ),
        Scene(
            texts=(
                "my neighbor {deed} {when}.",
                "{when} my neighbor {deed}.",
                "I am telling you, my neighbor {deed} {when}.",
            ),
            fields={
                "deed": split(
                    "shouted at me, cut down my roses, parked in front of my door, threw trash over the fence, "
                    "shouted at our children"
                ),
                "when": PAST,
            },
            ages=("young", "adult", "elderly"),
            about="my neighbor",
            replies={
                "sad": "You wanted peace with your neighbor, and now this.",
                "angry": "That was not right. You can tell your neighbor where the line is.",
                "fearful": "If your neighbor does it again, ask somebody you trust to come with you.",
            },
        ),
        Scene(
            texts=(
                "my neighbor {deed} {when}.",
                "{when} my neighbor {deed}.",
                "without being asked, my neighbor {deed} {when}.",
            ),
            fields={
                "deed": split(
                    "brought us some soup, watered our plants, carried my bags upstairs, fixed our gate, "
                    "invited us to dinner, cleared the snow from our steps"
                ),
                "when": PAST,
            },
            about="my kind neighbor",
            replies={
                "neutral": "It is good to have a helpful neighbor.",
                "happy": "A neighbor like that is worth a lot.",
                "surprised": "You did not even have to ask your neighbor?",
            },
        ),
    ),
    questions=(
        ("should I bring my neighbor a cake?", "A cake is a good way to start talking with a neighbor."),
        ("what do I do about noise?", "Talk about the noise in person first, in a friendly way."),
        ("how can I thank a neighbor?", "A short note and a few cookies thank a neighbor very well."),
    ),
)

GRANDPARENTS = Topic(
    name="grandparents",
    scenes=(
        Scene(
            texts=(
                "my {who} told me a story about {subject} {when}.",
                "{when} my {who} told me all about {subject}.",
                "I listened to my {who} {when}, and it was all about {subject}.",
            ),
            fields={
                "who": split("grandmother, grandfather, great aunt, old uncle"),
                "subject": split("the old village, the war, the farm, the first car in town, school in the old days"),
                "when": PAST,
            },
            ages=("child", "young", "adult"),
            about="my {who}'s story",
            replies={
                "neutral": "Your {who} has seen a lot in life.",
                "happy": "Stories about {subject} are a treasure. Ask your {who} for more.",
                "sad": "A story about {subject} can be hard to hear from someone you love.",
                "angry": "It is all right to disagree with your {who} about {subject}.",
                "fearful": "It was only a story about {subject}. Your {who} is here with you.",
                "surprised": "You had never heard your {who} talk about {subject}?",
            },
        ),
        Scene(
            texts=(
                "I am going to see my {who} {when}.",
                "{when} we drive out to see my {who}.",
                "we are having lunch with my {who} {when}.",
            ),
            fields={"who": split("grandmother, grandfather, old aunt, great uncle"), "when": SOON},
            ages=("child", "young", "adult"),
            about="the day with my {who}",
            replies={
                "neutral": "Give your {who} my best wishes.",
                "happy": "Your {who} will love to have you there {when}.",
                "sad": "It is hard to see your {who} grow older. Your visit means a lot.",
                "angry": "You can be honest with your {who} and still be kind.",
                "fearful": "Just hold your {who}'s hand. You do not have to say much.",
                "surprised": "So the plan to see your {who} is brand new?",
            },
        ),
        Scene(
            texts=(
                "my {who} called me {when} to talk about {subject}.",
                "I had a long talk with my {who} {when} about {subject}.",
                "{when} my {who} asked me about {subject}.",
            ),
            fields={
                "who": split("grandson, granddaughter, oldest grandchild, youngest grandchild"),
                "subject": split("school, the old days, a new job, moving out, a trip around the world"),
                "when": PAST,
            },
            ages=("elderly",),
            about="my {who}",
            replies={
                "neutral": "Your {who} trusts your advice about {subject}.",
                "happy": "It must be a joy that your {who} talks to you about {subject}.",
                "sad": "You wish you could do more for your {who}.",
                "angry": "You see {subject} in another way, and you may tell your {who} so.",
                "fearful": "Your {who} has you, and that will help more than you think.",
                "surprised": "You did not expect your {who} to ask about {subject}?",
            },
        ),
        Scene(
            texts=(
                "my {who} will be {years} {when}.",
                "{when} my {who} turns {years}.",
                "can you imagine that my {who} turns {years} {when}?",
            ),
            fields={
                "who": split("grandmother, grandfather, husband, wife, older sister, older brother"),
                "years": split("seventy, seventy five, eighty, eighty five, ninety"),
                "when": SOON,
            },
            about="my {who} turning {years}",
            replies={
                "neutral": "{years} is a fine age. Is there a plan for your {who}?",
                "happy": "{years} years call for a big cake for your {who}.",
                "sad": "Time goes by so fast. Every day with your {who} counts.",
                "angry": "Is the family leaving all the work for your {who} to you?",
                "fearful": "{years} is only a number. Enjoy this day with your {who}.",
                "surprised": "{years} already? Your {who} must seem much younger.",
            },
        ),
        Scene(
            texts=(
                "my {who} does not remember {thing} anymore.",
                "these days my {who} does not remember {thing}.",
                "my {who} forgot {thing} again {when}.",
            ),
            fields={
                "who": split("grandmother, grandfather, older sister, older brother, husband, wife"),
                "thing": split("my name, the way home, my birthday, our last visit"),
                "when": split("last week, last month, yesterday, this morning"),
            },
            about="my {who}",
            replies={
                "sad": "Your {who} can still feel your love, every single day.",
                "angry": "It is the illness, and not your {who}, that makes you angry.",
                "fearful": "A doctor can tell you more. You do not have to care for your {who} alone.",
            },
        ),
        Scene(
            texts=(
                "my {who} learned to use {device} {when}.",
                "{when} my {who} sent me a message from {device}.",
                "my {who} bought {device} {when} and loves it.",
            ),
            fields={
                "who": split("grandmother, grandfather, great aunt, older sister, older brother"),
                "device": split("a smart phone, a tablet, a computer"),
                "when": PAST,
            },
            about="my {who} with {device}",
            replies={
                "neutral": "Then you and your {who} can write to each other more often.",
                "happy": "Your {who} shows that it is never too late for {device}.",
                "surprised": "Your {who} with {device}? I would love to see that.",
            },
        ),
    ),
    questions=(
        ("what can I bring on a visit?", "Bring some flowers, old photos and a little time for the visit."),
        ("how do I ask about the old days?", "Start with one photo, and ask who was there in the old days."),
        ("what games can we play together?", "Cards and simple board games are good games for every age."),
    ),
)

TOPICS = (VISITS, FRIENDS, NEIGHBORS, GRANDPARENTS)
