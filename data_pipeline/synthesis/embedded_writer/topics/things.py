"""Phones, clothes, shopping, lost things."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CHILDREN,
    FAMILY,
    GRANDCHILDREN,
    NAMES,
    PARENTS,
    PAST,
    SIBLINGS,
    SOON,
    SPOUSES,
    split,
)

PHONES = Topic(
    name="phones",
    scenes=(
        Scene(
            texts=(
                "I got a message from {who} {when}.",
                "{when} there was a message from {who} on my phone.",
                "{who} sent me a message in the middle of the night.",
            ),
            fields={
                "who": (
                    *NAMES,
                    *split("my old school, a stranger, my teacher, my uncle, my aunt, a long lost friend"),
                ),
                "when": PAST,
            },
            about="the message from {who}",
            replies={
                "neutral": "Will you answer the message from {who}?",
                "happy": "It is a good message from {who}, I can tell.",
                "sad": "Words from {who} can hurt, even in a short message.",
                "angry": "Put the phone away, and answer the message from {the_who} tomorrow.",
                "fearful": "You do not have to answer the message alone. Show it to someone you trust.",
                "surprised": "A message from {who}? What does it say?",
            },
        ),
        Scene(
            texts=(
                "my {who} looked at my phone {when}.",
                "my {who} has had my phone since {since}.",
                "{when} my {who} took my phone to the shop.",
            ),
            fields={"who": FAMILY, "when": PAST[:3], "since": split("this morning, yesterday, Monday")},
            about="my {who} and my phone",
            replies={
                "neutral": "What does your {who} need the phone for?",
                "happy": "You do not mind that your {who} has the phone. That is trust.",
                "sad": "Your phone holds a part of your life, and your {who} should know that.",
                "angry": "Your phone is private. Tell your {who} where the line is.",
                "fearful": "Whatever is on your phone, you can talk about it with your {who}.",
                "surprised": "Your {who} did that with your phone, just like that?",
            },
        ),
        Scene(
            texts=(
                "the phone rang at {hour} {when}.",
                "{when} the phone rang at {hour}, and nobody spoke.",
                "at {hour} the phone rang, and it was {who}.",
            ),
            fields={
                "hour": split(
                    "midnight, two in the morning, three in the morning, four in the morning, five in the morning"
                ),
                "when": PAST[:2] + PAST[4:],
                "who": (*NAMES[:8], "my uncle", "my old teacher"),
            },
            about="the phone call at {hour}",
            replies={
                "neutral": "Somebody wanted you on the phone at {hour}.",
                "happy": "The phone brought you something nice at {hour}.",
                "sad": "A phone that rings at {hour} can bring sad news.",
                "angry": "Nobody should make your phone ring at {hour}.",
                "fearful": "You can turn the phone off. At {hour} it was perhaps just a wrong number.",
                "surprised": "At {hour}? The phone must have made you jump.",
            },
        ),
        Scene(
            texts=(
                "I dropped my phone into the {water} {when}.",
                "somebody stole my phone in the {place} {when}.",
                "all the photos on my phone have been gone since {since}.",
                "the screen of my phone broke {when}.",
                "my {who} read all the messages on my phone.",
                "I have lost my phone in the {place}.",
            ),
            fields={
                "water": split("lake, river, pool, toilet"),
                "place": split("park, train station, movie theater, hotel"),
                "since": split("yesterday, this morning, Monday"),
                "who": (*SIBLINGS, *SPOUSES),
                "when": PAST,
            },
            about="my phone",
            replies={
                "sad": "There are so many memories in a phone.",
                "angry": "You need your phone every day. No wonder that you are upset.",
                "fearful": "A phone can be replaced. Let us think about what to do first.",
            },
        ),
        Scene(
            texts=(
                "my {who} gave me a phone {when}.",
                "a stranger found my phone and brought it back {when}.",
                "my phone has been working again since {since}.",
                "I got all the photos on my phone back {when}.",
                "{who_name} called me on the phone after ten years.",
            ),
            fields={
                "who": FAMILY,
                "since": split("yesterday, this morning, Monday, lunch"),
                "when": PAST,
                "who_name": NAMES,
            },
            about="my phone",
            replies={
                "neutral": "It is good to have a phone that you can count on.",
                "happy": "It is a good day for you and your phone.",
                "surprised": "You did not expect that from your phone, did you?",
            },
        ),
    ),
    questions=(
        ("how can I use the phone less?", "Leave the phone in another room for one hour a day."),
        ("how do I make the battery last?", "Turn the light of the screen down, and the battery will last."),
        ("should I call or write?", "For important things it is better to call than to write."),
    ),
)

_CLOTHES = split("coat, sweater, hat, dress, jacket, shirt, scarf")

CLOTHES = Topic(
    name="clothes",
    scenes=(
        Scene(
            texts=(
                "my {who} gave away my {color} {item} {when}.",
                "my {who} wore my {color} {item} {when}.",
                "{when} my {who} put on my {color} {item}.",
            ),
            fields={
                "who": (*SIBLINGS, *PARENTS, "cousin", *CHILDREN, *GRANDCHILDREN, *SPOUSES),
                "color": split("old blue, old green, new red, new black"),
                "item": split("coat, sweater, hat, jacket, scarf"),
                "when": PAST[:3],
            },
            about="my {color} {item}",
            replies={
                "neutral": "Then the {item} is of use to somebody.",
                "happy": "You are kind to share your {item}.",
                "sad": "That {item} meant something to you.",
                "angry": "Your {who} should ask before touching your {item}.",
                "fearful": "Your {who} did not mean to hurt you. Just talk about the {item}.",
                "surprised": "Your {item}? Did your {who} even ask you?",
            },
        ),
        Scene(
            texts=(
                "I have to wear a {color} {item} {when}.",
                "{when} everybody has to wear a {color} {item}.",
                "they want us to wear a {color} {item} {when}.",
            ),
            fields={
                "color": split("red, blue, green, white, black, pink"),
                "item": split("coat, sweater, hat, shirt, scarf"),
                "when": SOON[:5],
            },
            about="the {color} {item}",
            replies={
                "neutral": "Do you already have a {color} {item}?",
                "happy": "A {color} {item} will look great on you.",
                "sad": "It is only a {item}. Inside it you are still you.",
                "angry": "You may ask why it has to be a {color} {item}.",
                "fearful": "Everybody will wear a {item} like that. Nobody will stare at you.",
                "surprised": "A {color} {item}? What is the reason for it?",
            },
        ),
        Scene(
            texts=(
                "I found {thing} in the pocket of my old {item}.",
                "there was {thing} in the pocket of my {item} {when}.",
                "{when} I put my hand into my {item} and found {thing}.",
            ),
            fields={
                "thing": split("a letter, a key, a ring, a flower, a photo of my father, a poem, a note"),
                "item": split("coat, jacket, dress, raincoat"),
                "when": PAST,
            },
            about="{the_thing} in my {item}",
            replies={
                "neutral": "How long was {the_thing} in your {item}?",
                "happy": "Your {item} kept {the_thing} safe for you.",
                "sad": "An old {item} can hold so many memories.",
                "angry": "Did somebody put {the_thing} into your {item} without asking?",
                "fearful": "Put {the_thing} on the table, and look at it calmly with someone.",
                "surprised": "{thing}? You should wear that {item} more often.",
            },
        ),
        Scene(
            texts=(
                "somebody spilled {liquid} on my {color} {item} {when}.",
                "my {color} {item} does not fit me anymore.",
                "I tore my {color} {item} on a nail {when}.",
                "they laughed at my {color} {item} {when}.",
                "somebody stole my {color} {item} {when}.",
            ),
            fields={
                "liquid": split("ink, paint, soup"),
                "color": split("red, blue, white, favorite"),
                "item": _CLOTHES,
                "when": PAST[:4],
            },
            about="my {color} {item}",
            replies={
                "sad": "You loved that {item}, and I am sorry for it.",
                "angry": "Your {item} should be treated with respect, and so should you.",
                "fearful": "Nobody will be mad at you because of a {item}.",
            },
        ),
        Scene(
            texts=(
                "my {who} made me a {color} {item}.",
                "my {who} bought me the {color} {item} I wanted.",
                "everybody says that I look great in my {color} {item}.",
                "I found the {color} {item} I was looking for {when}.",
            ),
            fields={
                "who": FAMILY,
                "color": split("red, blue, white, yellow"),
                "item": _CLOTHES,
                "when": PAST[:5],
            },
            about="the {color} {item}",
            replies={
                "neutral": "A {color} {item} goes with many things.",
                "happy": "You must look lovely in the {color} {item}.",
                "surprised": "A {color} {item}? I would love to see that.",
            },
        ),
    ),
    questions=(
        ("what goes well with blue?", "White and brown go well with blue."),
        ("how do I get a stain out?", "Cold water and soap get a stain out when you act fast."),
        ("what should I give away?", "Give away what you have not worn for a year."),
    ),
)

SHOPPING = Topic(
    name="shopping",
    scenes=(
        Scene(
            texts=(
                "my {who} bought {thing} {where} {when}.",
                "{when} my {who} came home from the shop with {thing}.",
                "my {who} spent all the money on {thing} {when}.",
            ),
            fields={
                "who": FAMILY,
                "thing": split("a parrot, a huge mirror, ten pairs of shoes, a drum, a boat, a blue sofa, a robot"),
                "where": split("at the market, in town"),
                "when": PAST[:4],
            },
            about="my {who} and {the_thing}",
            replies={
                "neutral": "What will your {who} do with {the_thing}?",
                "happy": "It will never be boring with {the_thing} in the house.",
                "sad": "Maybe your {who} is looking for something that {the_thing} cannot give.",
                "angry": "Talk to your {who} about {the_thing} and about money.",
                "fearful": "The shop may take {the_thing} back. Ask your {who} for the bill.",
                "surprised": "{thing}? What got into your {who}?",
            },
        ),
        Scene(
            texts=(
                "they are closing the {shop} on our street {when}.",
                "the {shop} on our street has had a new owner since {since}.",
                "{when} the new {shop} on our street will open.",
                "there is a long line in front of the {shop} on our street.",
            ),
            fields={
                "shop": split("toy store, bakery, bookstore, flower shop, shoe store, candy store"),
                "when": SOON[2:],
                "since": split("Monday, last week, last month"),
            },
            about="the {shop}",
            replies={
                "neutral": "What do you like to buy at the {shop}?",
                "happy": "The {shop} is a nice part of your street.",
                "sad": "The {shop} has been a part of your life.",
                "angry": "Tell the owner of the {shop} how you feel about it.",
                "fearful": "There will always be a place to shop. The {shop} is just one of them.",
                "surprised": "The {shop}? That is news for your whole street.",
            },
        ),
        Scene(
            texts=(
                "the woman at the {shop} gave me {thing} {when}.",
                "{when} they gave me {thing} at the {shop}.",
                "I got {thing} at the {shop}, and I had not paid for it.",
            ),
            fields={
                "shop": split("market, bakery, bookstore, flower shop, shoe store, grocery store"),
                "thing": split("a red balloon, the wrong bag, twenty dollars too much, a small gift, a free ticket"),
                "when": PAST[:5],
            },
            about="{the_thing} from the {shop}",
            replies={
                "neutral": "You can go back to the {shop} and say thank you.",
                "happy": "People at the {shop} seem to like you.",
                "sad": "You would have liked something else from the {shop}.",
                "angry": "If the {shop} made a mistake, you can say so.",
                "fearful": "You did nothing wrong at the {shop}. Just explain it.",
                "surprised": "And the {shop} wanted nothing for it?",
            },
        ),
        Scene(
            texts=(
                "the man at the {shop} shouted at me {when}.",
                "somebody stole my bag at the {shop} {when}.",
                "the {shop} sold me a broken {thing}.",
                "the {shop} does not want to take back my {thing}.",
                "they laughed at me at the {shop} {when}.",
            ),
            fields={
                "shop": split("market, bookstore, toy store, shoe store"),
                "thing": split("lamp, clock, radio, umbrella, chair, kettle"),
                "when": PAST[:5],
            },
            about="the {shop}",
            replies={
                "sad": "You just wanted to shop in peace at the {shop}.",
                "angry": "The {shop} has to treat people fairly. Take the bill with you.",
                "fearful": "Go back to the {shop} with somebody you trust.",
            },
        ),
        Scene(
            texts=(
                "I found the perfect {thing} at the {shop} {when}.",
                "I paid only one dollar for a {thing} at the {shop}.",
                "there was a contest at the {shop}, and I won a {thing}.",
                "the {shop} gave me a {thing} for free {when}.",
            ),
            fields={
                "shop": split("market, bookstore, toy store, big store"),
                "thing": split("lamp, clock, radio, umbrella, chair, kettle, teapot"),
                "when": PAST[:5],
            },
            about="the {thing} from the {shop}",
            replies={
                "neutral": "A {thing} is always useful.",
                "happy": "That {thing} was waiting for you.",
                "surprised": "A {thing}? You must be lucky at the {shop}.",
            },
        ),
    ),
    questions=(
        ("how do I spend less?", "Write a list before you shop, and spend only on that."),
        ("when are the shops empty?", "The shops are empty early in the morning."),
        ("is it good to buy used things?", "Used things often cost half, and many are as good as new."),
    ),
)

_OBJECTS = split("ring, watch, key, wallet, necklace, camera, diary, teddy bear")

LOST = Topic(
    name="lost and found",
    scenes=(
        Scene(
            texts=(
                "my {who} found my {thing} {where}.",
                "{when} my {who} found my {thing} {where}.",
                "my {thing} was {where} all the time, and my {who} found it.",
            ),
            fields={
                "who": (*FAMILY, "neighbor"),
                "thing": split("diary, ring, old letter, watch, camera"),
                "where": split("under the bed, in the garden, in the attic"),
                "when": PAST[:2],
            },
            about="my {thing}",
            replies={
                "neutral": "Your {who} has good eyes. Where will you keep the {thing} now?",
                "happy": "Your {thing} is back. Give your {who} a hug.",
                "sad": "The {thing} brings something back, and it hurts a little.",
                "angry": "Your {thing} is yours. Your {who} should not look into your things.",
                "fearful": "Your {who} found the {thing}, and you can explain everything calmly.",
                "surprised": "The {thing} was {where}? You had looked everywhere.",
            },
        ),
        Scene(
            texts=(
                "somebody left a {thing} {where} {when}.",
                "I found a {thing} {where} {when}.",
                "{when} there was a {thing} {where}.",
            ),
            fields={
                "thing": split("baby shoe, gold ring, black bag, wallet, camera, teddy bear"),
                "where": split("on our steps, on the bus, in the park, in our car, in the church"),
                "when": PAST[:5],
            },
            about="the {thing} {where}",
            replies={
                "neutral": "You could hang up a note about the {thing}.",
                "happy": "Somebody will be so glad to have the {thing} back.",
                "sad": "Somebody may miss that {thing} very much.",
                "angry": "People should look after a {thing} better.",
                "fearful": "Leave the {thing} where it is, and ask somebody to look with you.",
                "surprised": "A {thing}? And nobody was there?",
            },
        ),
        Scene(
            texts=(
                "the police have found my {who}'s {thing}.",
                "my {who}'s {thing} came back in the mail {when}.",
                "a child brought back my {who}'s {thing} {when}.",
            ),
            fields={"thing": split("wallet, watch, necklace, camera, bag, violin"), "who": FAMILY, "when": PAST[:5]},
            about="my {who}'s {thing}",
            replies={
                "neutral": "Is anything missing from the {thing}?",
                "happy": "There are honest people. Your {who} must be so glad about the {thing}.",
                "sad": "The {thing} makes you think of your {who}. That can be hard.",
                "angry": "Somebody took your {who}'s {thing}, and you want to know who.",
                "fearful": "The {thing} is back, and your {who} is safe.",
                "surprised": "The {thing}, after all that time?",
            },
        ),
        Scene(
            texts=(
                "I have lost my {thing} {where}.",
                "my {thing} has been gone since {since}.",
                "somebody took my {thing} {where}.",
                "I cannot find my {thing} anywhere.",
                "I lost my {who}'s {thing} {where}.",
            ),
            fields={
                "thing": _OBJECTS,
                "where": split("on the bus, in the park, at the station, at the lake, in the snow"),
                "since": split("yesterday, this morning, Monday"),
                "who": FAMILY,
            },
            about="the {thing}",
            replies={
                "sad": "The {thing} was dear to you. I understand the pain.",
                "angry": "It is maddening when a {thing} just disappears.",
                "fearful": "Think back step by step. Where was the {thing} last?",
            },
        ),
        Scene(
            texts=(
                "a stranger gave me back my {thing} {when}.",
                "I found my {thing} {where} {when}.",
                "my {thing} is back, after {time}.",
                "the dog dug up my {thing} {when}.",
            ),
            fields={
                "thing": _OBJECTS,
                "where": split("in the freezer, in a shoe, in the piano, under the rug"),
                "when": PAST,
                "time": split("two weeks, a month, a year, ten years, all these years"),
            },
            about="my {thing}",
            replies={
                "neutral": "From now on, keep the {thing} in one place.",
                "happy": "Your {thing} is home again.",
                "surprised": "Your {thing}? What are the odds?",
            },
        ),
    ),
    questions=(
        ("where do people lose most things?", "People lose most things at home, between sofa and kitchen."),
        ("should I hang up a note?", "Yes, hang up a note with your number near that place."),
        ("how do I stop losing things?", "Give your things a fixed place, and you stop losing them."),
    ),
)

TOPICS = (PHONES, CLOTHES, SHOPPING, LOST)
