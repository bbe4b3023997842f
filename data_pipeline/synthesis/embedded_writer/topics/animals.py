"""Dogs, cats, birds and other small animals."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CHILDREN,
    FAMILY,
    GRANDCHILDREN,
    PAST,
    SIBLINGS,
    SOON,
    split,
)

_DOGS = split("Max, Bella, Rocky, Luna, Charlie, Buddy, Daisy")

DOGS = Topic(
    name="dogs",
    scenes=(
        Scene(
            texts=(
                "my {who} brought a dog home {when}.",
                "{when} my {who} came home with a dog from {place}.",
                "my {who} wants to get a dog from {place}.",
                "my {who} gave our dog to a family near {place}.",
            ),
            fields={
                "who": FAMILY,
                "place": split("the shelter, a farm, the street, the market"),
                "when": PAST[:4],
            },
            about="my {who} and the dog",
            replies={
                "neutral": "A dog needs a lot of time. Is your {who} ready for that?",
                "happy": "A dog can make your {who} and you very happy.",
                "sad": "You have a big heart for a dog. Talk to your {who} about it.",
                "angry": "Your {who} should have asked all of you about the dog.",
                "fearful": "Let the dog come to you, and keep your {who} near.",
                "surprised": "A dog? Your {who} made a quick decision.",
            },
        ),
        Scene(
            texts=(
                "our dog {name} {does} {when}.",
                "{when} our dog {name} {does}.",
                "you should know that our dog {name} {does} {when}.",
            ),
            fields={
                "name": _DOGS,
                "does": split(
                    "barks at the door, sits by the window, runs in circles, sleeps on my bed, jumps over the fence"
                ),
                "when": split("every night, every morning, when I come home, when the phone rings, all the time"),
            },
            about="our dog {name}",
            replies={
                "neutral": "Every dog has habits, and {name} has this one.",
                "happy": "{name} must be a joy. Give that dog a treat.",
                "sad": "{name} feels that something is not right, just like you.",
                "angry": "A dog can learn. Train {name} with patience and small treats.",
                "fearful": "{name} only does what a dog does. You are safe.",
                "surprised": "{name} does that? What a funny dog.",
            },
        ),
        Scene(
            texts=(
                "there is a {size} dog {where}.",
                "a {size} dog followed me {when}.",
                "{when} a {size} dog was sitting {where}.",
                "a {size} dog sat down next to me {where}.",
            ),
            fields={
                "size": split("big black, small white, very old, huge, tiny, wet, three legged"),
                "where": split("in our yard, at the bus stop, in front of our door, in the park"),
                "when": PAST[:4],
            },
            about="the {size} dog",
            replies={
                "neutral": "Perhaps the {size} dog belongs to someone near you.",
                "happy": "The {size} dog seems to be a new friend.",
                "sad": "You feel for the {size} dog. Maybe the shelter can help.",
                "angry": "People should not let a {size} dog run free.",
                "fearful": "Stand still, look away, and the {size} dog will lose interest.",
                "surprised": "A {size} dog? Where did it come from?",
            },
        ),
        Scene(
            texts=(
                "our dog {name} ran away {when}.",
                "our dog {name} was hit by a car {when}.",
                "our dog {name} has not eaten since {since}.",
                "somebody kicked our dog {name} {when}.",
                "our dog {name} is very sick.",
            ),
            fields={"name": _DOGS, "when": PAST, "since": split("Monday, yesterday, last night")},
            about="our dog {name}",
            replies={
                "sad": "{name} is family. A dog gives so much love.",
                "angry": "You want to protect {name}. A dog cannot speak for itself.",
                "fearful": "Ask a vet about {name} today. A dog can take more than you think.",
            },
        ),
        Scene(
            texts=(
                "we had to say goodbye to our dog {name} {when}.",
                "our old dog {name} died {when}.",
                "our dog {name} died {when}, after {time} with us.",
            ),
            fields={"name": _DOGS, "when": PAST, "time": split("ten years, twelve years, fourteen years")},
            about="losing our dog {name}",
            replies={
                "sad": "{name} was family. A dog gives so much love.",
                "angry": "It is not fair that {name} had to go. A dog should live longer.",
                "fearful": "It is hard to imagine a life without {name}. You do not have to do it alone.",
            },
        ),
        Scene(
            texts=(
                "our dog {name} had puppies {when}.",
                "our dog {name} came back {when}.",
                "our dog {name} won a prize {when}.",
                "our dog {name} can open the door now.",
                "our dog {name} saved my {who} {when}.",
            ),
            fields={"name": _DOGS, "when": PAST, "who": (*SIBLINGS, *CHILDREN, *GRANDCHILDREN)},
            about="our dog {name}",
            replies={
                "neutral": "{name} is a very special dog.",
                "happy": "Good dog. Give {name} a big hug from me.",
                "surprised": "{name} did that? What a dog.",
            },
        ),
    ),
    questions=(
        ("how often should I walk a dog?", "Walk a dog two or three times a day."),
        ("may a dog eat chocolate?", "No, chocolate is dangerous for a dog."),
        ("how do I teach a dog to sit?", "Hold a treat over the nose of the dog, and say sit."),
    ),
)

_CATS = split("Mimi, Tiger, Felix, Lily, Oscar, Coco")

CATS = Topic(
    name="cats",
    scenes=(
        Scene(
            texts=(
                "our cat {name} brought {thing} into the {room} {when}.",
                "{when} our cat {name} came into the {room} with {thing}.",
                "our cat {name} put {thing} on my bed {when}.",
            ),
            fields={
                "name": _CATS,
                "thing": split("a mouse, a bird, a frog, a butterfly, a small fish"),
                "room": split("kitchen, bathroom, hall"),
                "when": PAST[:4],
            },
            about="our cat {name} and {the_thing}",
            replies={
                "neutral": "For a cat, {thing} is a present.",
                "happy": "{name} loves you and wanted to share {the_thing}.",
                "sad": "You feel sorry for {the_thing}, and I understand. {name} is still a cat.",
                "angry": "It is annoying, but {name} does not mean it badly with {the_thing}.",
                "fearful": "{the_thing} cannot hurt you. Ask somebody to take it away from {name}.",
                "surprised": "{thing}? {name} is full of ideas.",
            },
        ),
        Scene(
            texts=(
                "there is a {color} cat {where}.",
                "a {color} cat has been {where} since {since}.",
                "{when} I saw a {color} cat {where}.",
                "a {color} cat looked at me {where}.",
            ),
            fields={
                "color": split("black, white, gray, orange, one eyed"),
                "where": split("in our kitchen, on our roof, in the tree, in the basement"),
                "since": split("Monday, yesterday, last week"),
                "when": PAST[:4],
            },
            about="the {color} cat",
            replies={
                "neutral": "Maybe the {color} cat is looking for food.",
                "happy": "The {color} cat has picked you.",
                "sad": "The {color} cat may be as lonely as you feel now.",
                "angry": "The owner of the {color} cat should look after it.",
                "fearful": "A {color} cat brings no bad luck. Let it go its way.",
                "surprised": "A {color} cat? How did it get there?",
            },
        ),
        Scene(
            texts=(
                "my {who} is getting a cat {when}.",
                "my {who} wants to take our cat {name} {when}.",
                "{when} my {who} will look after our cat {name}.",
            ),
            fields={"who": FAMILY, "name": _CATS[:4], "when": SOON[:5]},
            about="my {who} and the cat",
            replies={
                "neutral": "A cat and your {who} will get used to each other.",
                "happy": "A cat will be good company for your {who}.",
                "sad": "You will miss the way things are with the cat now.",
                "angry": "Tell your {who} that the cat is your business too.",
                "fearful": "A cat can take care of itself, and your {who} is careful.",
                "surprised": "Your {who} and a cat? I would not have thought so.",
            },
        ),
        Scene(
            texts=(
                "our cat {name} did not come home {when}.",
                "somebody threw a stone at our cat {name} {when}.",
                "our cat {name} fell from the {place} {when}.",
                "our cat {name} does not eat anymore.",
                "somebody locked our cat {name} in the {place} {when}.",
            ),
            fields={
                "name": _CATS,
                "place": split("roof, balcony, attic"),
                "when": PAST[:5],
            },
            about="our cat {name}",
            replies={
                "sad": "{name} has a place in your heart. A cat is a true friend.",
                "angry": "You want to protect {name}. A cat cannot speak for itself.",
                "fearful": "Ask the neighbors and the vet about {name}. A cat is tough.",
            },
        ),
        Scene(
            texts=(
                "our old cat {name} died {when}.",
                "we had to say goodbye to our cat {name} {when}.",
                "our cat {name} died {when}, after {time} with us.",
            ),
            fields={"name": _CATS, "when": PAST, "time": split("nine years, twelve years, sixteen years")},
            about="losing our cat {name}",
            replies={
                "sad": "{name} was a true friend. A house without a cat is so quiet.",
                "angry": "It is not fair that {name} had to go. A cat should live forever.",
                "fearful": "It is hard to imagine your home without {name}. I am here when you want to talk.",
            },
        ),
        Scene(
            texts=(
                "our cat {name} had {number} kittens {when}.",
                "our cat {name} is back after {time}.",
                "our cat {name} slept on my arm {when}.",
                "our cat {name} made friends with the dog {when}.",
            ),
            fields={
                "name": _CATS,
                "number": split("three, four, five, six"),
                "time": split("two weeks, a month, ten days"),
                "when": PAST,
            },
            about="our cat {name}",
            replies={
                "neutral": "A cat like {name} always lands on its feet.",
                "happy": "{name} is a wonderful cat. What a lovely story.",
                "surprised": "{name}? A cat is good for a miracle.",
            },
        ),
    ),
    questions=(
        ("why do cats purr?", "Cats purr when they feel good, and sometimes to calm down."),
        ("is milk good for cats?", "Water is better for cats than milk."),
        ("how do I find a lost cat?", "Look for a lost cat at night, and call its name softly."),
    ),
)

_ANIMALS = split("parrot, rabbit, hamster, turtle, pony, goldfish")

PETS = Topic(
    name="other pets",
    scenes=(
        Scene(
            texts=(
                "my {who} gave me a {animal} {when}.",
                "{when} my {who} came home with a {animal}.",
                "my {who} bought a {animal} {when}.",
            ),
            fields={"who": FAMILY, "animal": _ANIMALS, "when": PAST[:5]},
            about="my {who}'s {animal}",
            replies={
                "neutral": "Does the {animal} already have a name?",
                "happy": "A {animal} is a sweet new member of the family.",
                "sad": "A {animal} cannot replace what you miss.",
                "angry": "An animal is no toy. Your {who} should have thought about the {animal}.",
                "fearful": "You will learn what a {animal} needs. Your {who} can help.",
                "surprised": "A {animal}? Your {who} is full of ideas.",
            },
        ),
        Scene(
            texts=(
                "my {who}'s {animal} got out {when}.",
                "my {who}'s {animal} is staying with us {soon}.",
                "{soon} I have to look after my {who}'s {animal}.",
            ),
            fields={
                "animal": split("parrot, rabbit, hamster, turtle, pony"),
                "who": FAMILY,
                "when": PAST[:3],
                "soon": SOON[4:7],
            },
            about="my {who}'s {animal}",
            replies={
                "neutral": "A {animal} likes quiet and fresh water.",
                "happy": "You and the {animal} will have fun.",
                "sad": "You worry about the {animal} and about your {who}.",
                "angry": "The {animal} is your {who}'s duty first of all.",
                "fearful": "A {animal} does not run far. Your {who} will not blame you.",
                "surprised": "The {animal}? So nobody had told you before?",
            },
        ),
        Scene(
            texts=(
                "our {animal} {does} {often}.",
                "{often} our {animal} {does}.",
                "I noticed that our {animal} {does} {often}.",
            ),
            fields={
                "animal": split("parrot, rabbit, hamster, turtle"),
                "does": split("hides from me, looks at me, eats a lot, bites my finger, follows me, stays awake"),
                "often": split("every night, every day, every morning, all the time"),
            },
            about="our {animal}",
            replies={
                "neutral": "A {animal} shows you in its own way what it needs.",
                "happy": "Your {animal} makes you laugh, I can tell.",
                "sad": "A {animal} can feel your mood. Sit with it for a while.",
                "angry": "Give your {animal} time. It does not want to make you mad.",
                "fearful": "It is normal for a {animal}. A vet can tell you more.",
                "surprised": "Your {animal}? I did not know about that side of it.",
            },
        ),
        Scene(
            texts=(
                "our {animal} has been sick since {since}.",
                "our {animal} did not move {when}.",
                "somebody let our {animal} out {when}.",
                "somebody forgot to feed our {animal} {when}.",
                "the cat hurt our {animal} {when}.",
            ),
            fields={
                "animal": split("parrot, rabbit, hamster, turtle, canary"),
                "when": PAST,
                "since": split("Monday, yesterday, last week, this morning"),
            },
            about="our {animal}",
            replies={
                "sad": "You love your {animal}, and it needs you now.",
                "angry": "Your {animal} needs people who take care.",
                "fearful": "Keep your {animal} warm, and call a vet.",
            },
        ),
        Scene(
            texts=(
                "our {animal} died {when}.",
                "{when} we found that our {animal} had died.",
                "our old {animal} died {when}.",
            ),
            fields={"animal": (*_ANIMALS, "canary"), "when": PAST},
            about="losing our {animal}",
            replies={
                "sad": "A {animal} is small, but the love for it is big.",
                "angry": "You took good care of your {animal}. It is not your fault.",
                "fearful": "Your {animal} feels no pain now. You can say goodbye in your own way.",
            },
        ),
        Scene(
            texts=(
                "our {animal} learned {what} {when}.",
                "our {animal} had babies {when}.",
                "our {animal} came back {when}.",
                "our {animal} won a prize at the fair {when}.",
            ),
            fields={
                "animal": split("parrot, rabbit, turtle, pony, dove"),
                "what": ("a trick", "a new trick", "to come when I call"),
                "when": PAST,
            },
            about="our {animal}",
            replies={
                "neutral": "Your {animal} is clever.",
                "happy": "Your {animal} has earned a treat.",
                "surprised": "Your {animal}? That would be something for the newspaper.",
            },
        ),
    ),
    questions=(
        ("what do rabbits eat?", "Rabbits eat hay, grass and some carrots."),
        ("can birds really talk?", "Some birds can say words, but they only copy what they hear."),
        ("how old do turtles get?", "Some turtles get more than a hundred years old."),
    ),
)

TOPICS = (DOGS, CATS, PETS)
