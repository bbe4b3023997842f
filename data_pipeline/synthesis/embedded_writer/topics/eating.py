"""Cooking, restaurants, baking."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CHILDREN,
    FAMILY,
    GRANDCHILDREN,
    PAST,
    SIBLINGS,
    SOON,
    SPOUSES,
    split,
)

_DISHES = split(
    "tomato soup, fried rice, roast chicken, noodle soup, mushroom stew, fish with potatoes, vegetable pie, meatballs"
)

COOKING = Topic(
    name="cooking",
    scenes=(
        Scene(
            texts=(
                "my {who} is making {dish} {when}.",
                "{when} we are having {dish} with my {who}.",
                "my {who} wants to make {dish} for all of us {when}.",
            ),
            fields={"who": FAMILY, "dish": _DISHES, "when": split("tonight, tomorrow, on Friday, on Sunday")},
            about="my {who}'s {dish}",
            replies={
                "neutral": "your {who}'s {dish} should fill everybody.",
                "happy": "I can almost smell the {dish}. Enjoy every bite.",
                "sad": "Does the {dish} remind you of better times with your {who}?",
                "angry": "You can tell your {who} that you would like something else than {dish}.",
                "fearful": "You do not have to like the {dish}. Just try a little.",
                "surprised": "{dish}? Since when does your {who} cook?",
            },
        ),
        Scene(
            texts=(
                "my {who} put {spice} in the {dish}.",
                "there was {spice} in my {who}'s {dish}.",
                "who puts {spice} in the {dish}? my {who} does.",
            ),
            fields={
                "who": FAMILY,
                "spice": split("chocolate, honey, garlic, a lot of pepper, cinnamon"),
                "dish": split("tomato soup, fried rice, chicken soup, salad, stew"),
            },
            about="{spice} in the {dish}",
            replies={
                "neutral": "{spice} gives the {dish} a special taste.",
                "happy": "{spice} in the {dish} must taste better than it sounds.",
                "sad": "You miss the {dish} the way it used to be.",
                "angry": "Next time taste the {dish} before the {spice} goes in.",
                "fearful": "A little {spice} will not hurt you.",
                "surprised": "{spice}? I have never heard of that in {dish}.",
            },
        ),
        Scene(
            texts=(
                "I am cooking for {number} people {when}.",
                "{when} {number} people are coming to eat my {dish}.",
                "I have to make {dish} for {number} people {when}.",
            ),
            fields={
                "number": split("five, six, ten, twenty, thirty"),
                "dish": split("chicken soup, fried rice, noodles, potato salad, stew"),
                "when": SOON[:5],
            },
            about="cooking for {number} people",
            replies={
                "neutral": "For {number} people you will need a very big pot.",
                "happy": "{number} people can look forward to a feast.",
                "sad": "You do not have to feed {number} people when you feel low.",
                "angry": "Cooking for {number} people is not a job for one. Ask for help.",
                "fearful": "{number} people will be glad for anything warm. Start early.",
                "surprised": "{number} people? When did you hear about it?",
            },
        ),
        Scene(
            texts=(
                "I burned the {dish} {when}.",
                "the {dish} I made {when} tasted awful.",
                "nobody ate the {dish} I made {when}.",
                "I cut my finger while I was making {dish}.",
                "the {dish} fell on the floor {when}.",
            ),
            fields={"dish": split("tomato soup, rice, roast chicken, stew, vegetable pie, omelet"), "when": PAST},
            about="the {dish}",
            replies={
                "sad": "You put love into the {dish}, and it went wrong.",
                "angry": "All that time for the {dish}, and then this.",
                "fearful": "The {dish} does not matter. Sit down, and let us see if you are all right.",
            },
        ),
        Scene(
            texts=(
                "my {dish} turned out great {when}.",
                "everybody wanted more of my {dish} {when}.",
                "my {who} asked me for the recipe of my {dish}.",
                "I made {dish} for the first time {when}, and it was great.",
            ),
            fields={
                "dish": split("tomato soup, fried rice, roast chicken, stew, vegetable pie, omelet"),
                "who": FAMILY,
                "when": PAST,
            },
            about="my {dish}",
            replies={
                "neutral": "Write down how you made the {dish}.",
                "happy": "Your {dish} must be delicious.",
                "surprised": "Your {dish} was that good? You are a born cook.",
            },
        ),
    ),
    questions=(
        ("what can I cook in ten minutes?", "In ten minutes you can cook eggs with toast and tomatoes."),
        ("how do I save a salty soup?", "Put a raw potato into the salty soup, and add some water."),
        ("what goes well with rice?", "Vegetables, beans or chicken go well with rice."),
    ),
)

_PLACES = split("Italian, Chinese, Indian, Mexican, Greek, Japanese, little French")

RESTAURANTS = Topic(
    name="restaurants",
    scenes=(
        Scene(
            texts=(
                "we are eating at the {kind} restaurant {when}.",
                "my {who} wants to eat at the {kind} restaurant {when}.",
                "{when} my {who} is taking me to the {kind} restaurant.",
            ),
            fields={"who": FAMILY, "kind": _PLACES, "when": SOON[:5]},
            about="the {kind} restaurant",
            replies={
                "neutral": "The {kind} restaurant will have something for everybody.",
                "happy": "The {kind} restaurant is a lovely idea. Enjoy your meal.",
                "sad": "You can go to the {kind} restaurant another day if you are too sad.",
                "angry": "You may say that you would like another restaurant.",
                "fearful": "You can ask what is in every meal at the {kind} restaurant.",
                "surprised": "The {kind} restaurant? What is the occasion?",
            },
        ),
        Scene(
            texts=(
                "the waiter gave us {thing} {when}.",
                "{when} the waiter put {thing} on our table.",
                "we got {thing} from the waiter, and we had not ordered it.",
            ),
            fields={
                "thing": split(
                    "a bottle of wine, a huge dessert, a bowl of soup, the wrong meal, a plate of fish, a bowl of fruit"
                ),
                "when": PAST,
            },
            ages=("young", "adult", "elderly"),
            about="the waiter",
            replies={
                "neutral": "Perhaps the waiter thought that it was for you.",
                "happy": "The waiter must have liked you.",
                "sad": "Did the waiter spoil a special evening?",
                "angry": "You can tell the waiter calmly what was wrong.",
                "fearful": "You do not have to pay for what the waiter mixed up.",
                "surprised": "And the waiter said nothing at all?",
            },
        ),
        Scene(
            texts=(
                "they are opening {a} {kind} restaurant {where}.",
                "the {kind} restaurant {where} is open again.",
                "the {kind} restaurant {where} is closing down.",
            ),
            fields={
                "a": ("a new", "a big"),
                "kind": _PLACES[:6],
                "where": split("on our street, at the station, in the old bank, by the river, next to my school"),
            },
            about="the {kind} restaurant",
            replies={
                "neutral": "Have you ever eaten at the {kind} restaurant?",
                "happy": "You clearly like {kind} food. Good for you.",
                "sad": "The news about the {kind} restaurant makes you think of other times.",
                "angry": "A {kind} restaurant is not for everybody. You may say what you think.",
                "fearful": "A restaurant comes and goes. Your street will still be yours.",
                "surprised": "The {kind} restaurant? When did they decide that?",
            },
        ),
        Scene(
            texts=(
                "the food at the {kind} restaurant made me sick.",
                "there was a hair in my food at the {kind} restaurant.",
                "we waited two hours for our food at the {kind} restaurant.",
                "my {who} did not come to our dinner at the {kind} restaurant.",
                "they charged us twice at the {kind} restaurant {when}.",
            ),
            fields={"kind": _PLACES, "who": (*SIBLINGS, *SPOUSES, "best friend", "cousin"), "when": PAST},
            about="the {kind} restaurant",
            replies={
                "sad": "The evening at the {kind} restaurant should have been nice.",
                "angry": "The {kind} restaurant owes you an apology.",
                "fearful": "It is over now. You never have to eat at that restaurant again.",
            },
        ),
        Scene(
            texts=(
                "the cook of the {kind} restaurant came to our table {when}.",
                "a stranger paid for our dinner at the {kind} restaurant.",
                "I had the best meal of my life at the {kind} restaurant {when}.",
                "they sang for my {who} at the {kind} restaurant.",
            ),
            fields={"kind": _PLACES, "when": PAST, "who": FAMILY},
            about="the {kind} restaurant",
            replies={
                "neutral": "Then you should go back to the {kind} restaurant.",
                "happy": "The {kind} restaurant gave you a great evening.",
                "surprised": "Does that happen often at the {kind} restaurant?",
            },
        ),
    ),
    questions=(
        ("how much should I tip?", "If you liked it, give a tip of ten or fifteen percent."),
        ("what if I do not like the food?", "Tell them politely that you do not like the food."),
        ("should we reserve a table?", "Yes, on a weekend it is better to reserve a table."),
    ),
)

_CAKES = split("chocolate cake, apple pie, lemon cake, carrot cake, cherry pie, cheese cake")

BAKING = Topic(
    name="baking",
    scenes=(
        Scene(
            texts=(
                "my {who} baked a {cake} {when}.",
                "{when} my {who} baked a {cake} for me.",
                "my {who} brought me a {cake} {when}.",
            ),
            fields={"who": FAMILY, "cake": _CAKES, "when": PAST[:5]},
            about="my {who}'s {cake}",
            replies={
                "neutral": "A {cake} is good with a cup of tea.",
                "happy": "A {cake} made by your {who} is the best kind.",
                "sad": "A {cake} is a small way to say that your {who} loves you.",
                "angry": "A {cake} does not make everything good. Tell your {who} that.",
                "fearful": "Just taste the {cake}. Your {who} will be pleased.",
                "surprised": "A {cake}, for no reason at all?",
            },
        ),
        Scene(
            texts=(
                "I have to bake a {cake} for my {who}.",
                "my {who} wants me to bake a {cake} {when}.",
                "{when} I am going to bake a {cake} with my {who}.",
            ),
            fields={"who": FAMILY, "cake": _CAKES, "when": SOON[:5]},
            about="the {cake} for my {who}",
            replies={
                "neutral": "Take the butter out early, and the {cake} will be easy.",
                "happy": "Your {who} will love the {cake}.",
                "sad": "Baking can comfort you. The {cake} does not have to be perfect.",
                "angry": "A {cake} should be a gift and not a duty.",
                "fearful": "Just follow the recipe. A {cake} forgives a lot.",
                "surprised": "A {cake}? Your {who} knows what is good.",
            },
        ),
        Scene(
            texts=(
                "the {cake} was gone when I came into the kitchen.",
                "half of the {cake} has been missing since {when}.",
                "somebody ate the whole {cake} {past}.",
                "my {who} ate the whole {cake} {past}.",
            ),
            fields={
                "cake": _CAKES,
                "when": split("this morning, last night, lunch"),
                "past": PAST[:4],
                "who": (*SIBLINGS, *CHILDREN, *GRANDCHILDREN, *SPOUSES),
            },
            about="the missing {cake}",
            replies={
                "neutral": "Perhaps somebody was very hungry for {cake}.",
                "happy": "It is the best praise for a {cake} when nothing is left.",
                "sad": "You were looking forward to the {cake}.",
                "angry": "They should have left a piece of the {cake} for you.",
                "fearful": "Nobody will think that you took the {cake}.",
                "surprised": "The whole {cake}? That is hard to believe.",
            },
        ),
        Scene(
            texts=(
                "the {cake} fell off the table {when}.",
                "I put salt into the {cake} instead of sugar.",
                "my {cake} came out of the oven all black {when}.",
                "my {cake} is as flat as a plate.",
                "the dog jumped right into my {cake} {when}.",
            ),
            fields={"cake": _CAKES, "when": PAST[:5]},
            about="the {cake}",
            replies={
                "sad": "What a pity about the {cake}. You tried so hard.",
                "angry": "It is maddening when a {cake} goes wrong at the very end.",
                "fearful": "A {cake} can be made again. People will laugh about it later.",
            },
        ),
        Scene(
            texts=(
                "my {cake} won the first prize {where}.",
                "I sold every piece of my {cake} {where}.",
                "everybody loved my {cake} {where}.",
                "I baked my first {cake} all alone {when}.",
            ),
            fields={
                "cake": _CAKES,
                "where": split("at the fair, at school, at church, at the party, at the market"),
                "when": PAST,
            },
            about="my {cake}",
            replies={
                "neutral": "You should keep the recipe of that {cake}.",
                "happy": "I wish that I could taste your {cake}.",
                "surprised": "Your own {cake}? You must have a secret.",
            },
        ),
    ),
    questions=(
        ("how do I know that a cake is done?", "Put a wooden stick into the cake. If it comes out dry, it is done."),
        ("can I bake without eggs?", "Yes, a ripe banana can replace two eggs when you bake."),
        ("how do I keep cookies fresh?", "Keep cookies in a tin box with a piece of apple."),
    ),
)

TOPICS = (COOKING, RESTAURANTS, BAKING)
