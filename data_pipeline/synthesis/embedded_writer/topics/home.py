"""Moving, repairs, cleaning, the garden."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CHILDREN,
    CITIES,
    ELDERS,
    FAMILY,
    GRANDCHILDREN,
    GRANDPARENTS,
    LATER,
    PARENTS,
    PAST,
    SIBLINGS,
    SOON,
    SPOUSES,
    split,
)

MOVING = Topic(
    name="moving",
    scenes=(
        Scene(
            texts=(
                "we are moving to {city} {when}.",
                "{when} my family is moving to {city}.",
                "my {who} told me that we are moving to {city} {when}.",
            ),
            fields={"city": CITIES, "when": LATER, "who": split("mother, father, husband, wife")},
            about="the move to {city}",
            replies={
                "neutral": "Have you ever been to {city} before?",
                "happy": "A new start in {city} sounds exciting.",
                "sad": "Leaving home is hard. You will carry your friends in your heart to {city}.",
                "angry": "You should have been asked before a move to {city}.",
                "fearful": "{city} is strange now, but soon you will know every corner.",
                "surprised": "{city}? Did you have any idea?",
            },
        ),
        Scene(
            texts=(
                "my {who} is moving in with us {when}.",
                "{when} my {who} is going to live with us.",
                "we are giving the small room to my {who} {when}.",
            ),
            fields={"who": (*SIBLINGS, *ELDERS, "cousin", *CHILDREN, *GRANDCHILDREN), "when": LATER},
            about="living with my {who}",
            replies={
                "neutral": "Your {who} will bring some life into the house.",
                "happy": "How nice to have your {who} under the same roof.",
                "sad": "You will have less room for yourself, and your {who} has to start again.",
                "angry": "Make clear rules with your {who} before the move.",
                "fearful": "You and your {who} will find a way to live together.",
                "surprised": "Your {who} is moving in? Whose idea was that?",
            },
        ),
        Scene(
            texts=(
                "I walked past our old {building} {when}.",
                "{when} I saw our old {building} again.",
                "they are tearing down our old {building}.",
                "somebody painted our old {building} {color}.",
            ),
            fields={
                "building": split("house, apartment building, barn, shop, summer house, farm house"),
                "when": PAST,
                "color": split("yellow, blue, pink, green, white"),
            },
            about="our old {building}",
            replies={
                "neutral": "How long did you use the old {building}?",
                "happy": "The old {building} must be full of good memories.",
                "sad": "Your old {building} still has a place in your heart.",
                "angry": "They should show some respect for your old {building}.",
                "fearful": "Places change, and what you lived in your old {building} stays yours.",
                "surprised": "You hardly knew your old {building} again, did you?",
            },
        ),
        Scene(
            texts=(
                "we have to leave our {home} {when}.",
                "our {home} is much too expensive now.",
                "I lost the key to our new {home} {past}.",
                "the movers broke {thing} on the way to our new {home}.",
            ),
            fields={
                "home": split("house, apartment, cottage, home"),
                "when": SOON[5:],
                "past": PAST,
                "thing": split("the mirror, the piano, the table, my lamp, the clock, my desk"),
            },
            about="our {home}",
            replies={
                "sad": "A {home} is more than walls. It is all right to be sad.",
                "angry": "That is a hard thing to take. Your {home} should be a safe place.",
                "fearful": "It is a lot at once. Let us go through the trouble with your {home} step by step.",
            },
        ),
        Scene(
            texts=(
                "our new {home} has {thing}.",
                "we found a {home} with {thing}.",
                "we got the {home} with {thing}.",
            ),
            fields={
                "home": split("house, apartment, cottage, flat"),
                "thing": split(
                    "a big garden, a view of the sea, a red door, a fireplace, a room only for me, a pool, "
                    "an old apple tree, a balcony"
                ),
            },
            about="our new {home}",
            replies={
                "neutral": "A {home} with {thing} is not easy to find.",
                "happy": "A {home} with {thing} is a dream come true.",
                "surprised": "With {thing}? How did you find that {home}?",
            },
        ),
    ),
    questions=(
        ("how do I pack all my things?", "Pack one room at a time, and write on each box what is in it."),
        ("how can I feel at home faster?", "Hang up a picture you love, and you will feel at home."),
        ("who can help with a move?", "Ask two friends to help with a move, and order a pizza for them."),
    ),
)

REPAIRS = Topic(
    name="repairs",
    scenes=(
        Scene(
            texts=(
                "my {who} is repairing the {thing} {when}.",
                "{when} my {who} will repair the {thing}.",
                "my {who} wants to repair the {thing} alone {when}.",
            ),
            fields={
                "who": FAMILY,
                "thing": split("roof, door, kitchen sink, old clock, heater, washing machine"),
                "when": SOON[:5],
            },
            about="my {who} and the {thing}",
            replies={
                "neutral": "I hope your {who} has the right tools for the {thing}.",
                "happy": "Your {who} is handy. Soon the {thing} will be like new.",
                "sad": "You wish that you could help your {who} with the {thing}.",
                "angry": "If the {thing} stays broken, call somebody who knows the work.",
                "fearful": "Ask your {who} to be careful with the {thing}, and stay near.",
                "surprised": "Your {who} and the {thing}? I did not know about that talent.",
            },
        ),
        Scene(
            texts=(
                "I noticed a {sign} in the {room}.",
                "since {when} there has been a {sign} in the {room}.",
            ),
            fields={
                "sign": split("strange noise, wet spot, funny smell, blue light, small hole, loud knocking"),
                "room": split("kitchen, bathroom, basement, attic, bedroom, hall"),
                "when": split("yesterday, Monday, last week, this morning"),
            },
            about="the {sign} in the {room}",
            replies={
                "neutral": "Have somebody take a look at the {room}.",
                "happy": "Maybe the {sign} is a good sign. What do you think?",
                "sad": "Your home feels less like home with a {sign} in the {room}.",
                "angry": "A {sign} in the {room} is not what you pay for. Call the landlord.",
                "fearful": "Stay out of the {room}, and ask someone to check the {sign}.",
                "surprised": "A {sign}? Was it never there before?",
            },
        ),
        Scene(
            texts=(
                "the {worker} is coming to our house {when}.",
                "{when} the {worker} will be at our house.",
                "the {worker} was at our house {past}.",
                "{past} we had the {worker} in the house for hours.",
            ),
            fields={
                "worker": split("plumber, painter, electrician, carpenter, chimney sweep"),
                "when": SOON,
                "past": PAST,
            },
            about="the {worker}",
            replies={
                "neutral": "A good {worker} is worth the money.",
                "happy": "When the {worker} is done, your home will be lovely.",
                "sad": "You would rather have your peace than a {worker} in the house.",
                "angry": "Tell the {worker} clearly what you expect.",
                "fearful": "You can ask the {worker} for the price before the work starts.",
                "surprised": "A {worker}? Who called one?",
            },
        ),
        Scene(
            texts=(
                "the {thing} broke {when}.",
                "{when} the {thing} stopped working.",
                "the {thing} is broken for the third time.",
                "my {who} broke the {thing} {when}.",
            ),
            fields={
                "thing": split("heater, washing machine, kitchen window, front door, bathroom lamp, bed"),
                "when": PAST,
                "who": SIBLINGS,
            },
            about="the {thing}",
            replies={
                "sad": "As if the day was not hard enough, now the {thing} too.",
                "angry": "A {thing} should last longer than that.",
                "fearful": "The {thing} can be repaired. Leave it alone until help comes.",
            },
        ),
        Scene(
            texts=(
                "I repaired the {thing} all by myself {when}.",
                "the {thing} has worked again since {since}.",
                "{when} the {thing} started to work again.",
                "my {who} repaired the {thing} for me {when}.",
            ),
            fields={
                "thing": split("music box, toy boat, coffee mill, old radio, wall clock, sewing machine"),
                "when": PAST,
                "since": split("yesterday, Monday, this morning"),
                "who": (*GRANDPARENTS, "uncle"),
            },
            about="the {thing}",
            replies={
                "neutral": "Then the {thing} does not have to be thrown away.",
                "happy": "You can be proud of the {thing}.",
                "surprised": "The {thing}? I thought that it was lost for good.",
            },
        ),
    ),
    questions=(
        ("what tools should I have?", "A hammer, pliers and a good lamp are tools for every home."),
        ("should I call an expert?", "For water, gas and electricity you should call an expert."),
        ("can old things be saved?", "Most old things can be saved with some patience."),
    ),
)

CLEANING = Topic(
    name="cleaning",
    scenes=(
        Scene(
            texts=(
                "my {who} cleaned the {room} {when}.",
                "{when} my {who} cleaned the whole {room}.",
                "I came home {when}, and my {who} had cleaned the {room}.",
            ),
            fields={
                "who": FAMILY,
                "room": split("kitchen, bathroom, garage, living room, basement"),
                "when": PAST[:4],
            },
            about="the clean {room}",
            replies={
                "neutral": "A clean {room} is a good thing.",
                "happy": "What a lovely thing to do. Your {who} deserves a hug.",
                "sad": "You wanted to do more for the {room} yourself.",
                "angry": "Did your {who} throw something from the {room} away?",
                "fearful": "Your {who} is not angry about the {room}. Just say thank you.",
                "surprised": "Your {who} cleaned the {room} without being asked?",
            },
        ),
        Scene(
            texts=(
                "I have to clean the {room} {when}.",
                "{when} it is my turn to clean the {room}.",
                "my {who} wants me to clean the {room} {when}.",
            ),
            fields={
                "who": (*PARENTS, *SPOUSES),
                "room": split("kitchen, bathroom, garage, living room, stairs, yard"),
                "when": SOON[:5],
            },
            about="cleaning the {room}",
            replies={
                "neutral": "Begin the cleaning at one end, and the {room} will be done in an hour.",
                "happy": "With music on, the {room} will be clean in no time.",
                "sad": "It can wait if you have no strength. Start with one corner of the {room}.",
                "angry": "The {room} is not your job alone. Make a plan for everybody.",
                "fearful": "Nobody expects a perfect {room}. A little cleaning is enough.",
                "surprised": "The {room}, you? Was it not someone else's turn?",
            },
        ),
        Scene(
            texts=(
                "I found {thing} {where}.",
                "while cleaning I found {thing} {where}.",
                "you will not believe it, but there was {thing} {where}.",
            ),
            fields={
                "thing": split(
                    "my old diary, a gold ring, a mouse, my first shoes, an old love letter, my missing watch, a key"
                ),
                "where": split("under the bed, behind the sofa, in the attic, in the basement, under the carpet"),
            },
            about="{the_thing}",
            replies={
                "neutral": "What will you do with {the_thing}?",
                "happy": "{the_thing} was worth the search.",
                "sad": "{the_thing} can bring back a lot.",
                "angry": "Now you know where {the_thing} was all the time.",
                "fearful": "{the_thing} cannot hurt you. You do not have to do anything right now.",
                "surprised": "{thing}? Who would have looked {where}?",
            },
        ),
        Scene(
            texts=(
                "my {who} spilled {liquid} on the {thing} {when}.",
                "somebody spilled {liquid} on the {thing} {when}.",
                "there is {liquid} all over the {thing}, and I have to clean it up.",
                "{when} I spilled {liquid} on the {thing}.",
            ),
            fields={
                "who": (*SIBLINGS, *CHILDREN, *SPOUSES),
                "liquid": split("milk, ink, paint, coffee, soup"),
                "thing": split("carpet, white sofa, clean floor, bed, tablecloth"),
                "when": PAST[:4],
            },
            about="the {liquid} on the {thing}",
            replies={
                "sad": "Such things happen. You do not have to clean the {thing} alone.",
                "angry": "You take care of the {thing}, and then this. I would grumble too.",
                "fearful": "The {liquid} can be cleaned up. Start with cold water.",
            },
        ),
        Scene(
            texts=(
                "the {room} has never been so clean.",
                "my {who} helped me clean the {room} {when}.",
                "we cleaned the whole {room} in {time}.",
                "I sang and danced while I cleaned the {room} {when}.",
            ),
            fields={
                "who": FAMILY,
                "room": split("kitchen, bathroom, garage, living room, basement, attic"),
                "when": PAST[:4],
                "time": split("ten minutes, half an hour, one hour"),
            },
            about="the clean {room}",
            replies={
                "neutral": "Now that the {room} is done, you can rest.",
                "happy": "A clean {room} makes a happy mind.",
                "surprised": "The {room}? You must tell me how you did it.",
            },
        ),
    ),
    questions=(
        ("how do I clean a window?", "Clean a window with warm water and an old newspaper."),
        ("how often should I clean?", "Clean a little every day, and there will be no big mess."),
        ("what can I do with old clothes?", "Give old clothes away, or use them as cleaning rags."),
    ),
)

_PLANTS = split("roses, tomatoes, tulips, beans, strawberries, sunflowers, pumpkins")

GARDEN = Topic(
    name="the garden",
    scenes=(
        Scene(
            texts=(
                "the {plants} in our garden came up {when}.",
                "{when} I saw the first {plants} in our garden.",
                "there are {plants} in our garden, and nobody planted them.",
            ),
            fields={"plants": _PLANTS, "when": PAST},
            about="the {plants} in our garden",
            replies={
                "neutral": "Give the {plants} enough water.",
                "happy": "Your {plants} are a reward for your patience.",
                "sad": "Do the {plants} remind you of someone who loved the garden?",
                "angry": "You had other plans for that spot than {plants}.",
                "fearful": "The {plants} are strong. A cold night will not hurt them.",
                "surprised": "{plants}, so early? Nature does what it wants.",
            },
        ),
        Scene(
            texts=(
                "there is a {animal} in our garden.",
                "a {animal} has lived in our garden since {since}.",
                "I saw a {animal} in our garden {when}.",
                "{when} a {animal} came into our garden.",
            ),
            fields={
                "animal": split("fox, snake, hedgehog, rabbit, deer, big spider, white cat, frog, owl"),
                "since": split("last week, last month, the spring"),
                "when": PAST[:4],
            },
            about="the {animal} in our garden",
            replies={
                "neutral": "A {animal} likes a quiet garden.",
                "happy": "A {animal} in your garden is a lovely guest.",
                "sad": "Is the {animal} hurt? You have a soft heart.",
                "angry": "A fence will keep the {animal} out of your garden.",
                "fearful": "The {animal} is more afraid of you than you are of it.",
                "surprised": "A {animal}? In your own garden?",
            },
        ),
        Scene(
            texts=(
                "my {who} cut down the old {tree} {when}.",
                "{when} my {who} planted {a} {tree} in the garden.",
                "my {who} is sitting under the old {tree} again.",
                "my {who}'s old {tree} has no leaves.",
            ),
            fields={
                "who": FAMILY,
                "a": ("a new", "a small"),
                "tree": split("apple tree, cherry tree, oak, pear tree"),
                "when": PAST[:4],
            },
            about="the {tree}",
            replies={
                "neutral": "The {tree} belongs to your {who}'s story.",
                "happy": "The {tree} and your {who} are a good pair.",
                "sad": "A {tree} can be like a friend. You care about your {who} too.",
                "angry": "You would have liked to be asked about the {tree}.",
                "fearful": "The {tree} and your {who} have seen many storms.",
                "surprised": "And your {who} said nothing about the {tree}?",
            },
        ),
        Scene(
            texts=(
                "somebody stole the {plants} from our garden {when}.",
                "the storm destroyed all the {plants} {when}.",
                "all my {plants} died {when}.",
                "the snails ate my {plants} {when}.",
            ),
            fields={"plants": _PLANTS, "when": PAST},
            about="the {plants}",
            replies={
                "sad": "You took such good care of the {plants}.",
                "angry": "All that work for the {plants}, and now this.",
                "fearful": "You have not lost everything. New {plants} will grow.",
            },
        ),
        Scene(
            texts=(
                "my {plants} won a prize at the fair.",
                "we have so many {plants} that we give them away.",
                "my {who} gave me {plants} from the garden {when}.",
                "the {plants} are taller than my {who}.",
            ),
            fields={"plants": _PLANTS, "when": PAST, "who": FAMILY},
            about="the {plants}",
            replies={
                "neutral": "It is a good year for {plants}.",
                "happy": "Those {plants} must be a joy to look at.",
                "surprised": "What did the {plants} get to eat?",
            },
        ),
    ),
    questions=(
        ("when should I water the plants?", "Water the plants early in the morning or in the evening."),
        ("what grows easily in a pot?", "Beans and sunflowers grow easily, even in a pot."),
        ("how do I keep the snails away?", "Put egg shells around the plants to keep the snails away."),
    ),
)

TOPICS = (MOVING, REPAIRS, CLEANING, GARDEN)
