"""Work, job interviews, money, mail."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CHILDREN,
    ELDERS,
    FAMILY,
    GRANDCHILDREN,
    NAMES,
    PARENTS,
    PAST,
    SIBLINGS,
    SOON,
    split,
)

_JOBS = split("baker, nurse, gardener, driver, cook, teacher")

WORK = Topic(
    name="work",
    scenes=(
        Scene(
            texts=(
                "my boss wants to see me {when}.",
                "my boss asked me to come to the office {when}.",
                "{when} I have to go to my boss because of {matter}.",
                "my boss wants to talk to me {when} about {matter}.",
            ),
            fields={
                "when": (*SOON[:6], "at noon", "in ten minutes"),
                "matter": split("my work, the project, the new shop, my holidays, the big order"),
            },
            ages=("young", "adult"),
            about="the talk with my boss",
            replies={
                "neutral": "Write down what you want to tell your boss.",
                "happy": "It sounds as if your boss has good news for you.",
                "sad": "Whatever your boss says, it does not change what you are worth.",
                "angry": "Stay calm with your boss, and say one thing after the other.",
                "fearful": "Your boss may only have a question. Take a breath before you go in.",
                "surprised": "You have no idea what your boss wants from you?",
            },
        ),
        Scene(
            texts=(
                "my {who} works as a {job} now.",
                "my {who} started to work as a {job} {when}.",
                "since {month} my {who} has been working as a {job}.",
            ),
            fields={
                "who": split("mother, father, sister, brother, aunt, uncle, daughter, son, granddaughter, grandson"),
                "job": _JOBS,
                "when": PAST[3:5],
                "month": split("May, June, March, August"),
            },
            about="my {who}'s work",
            replies={
                "neutral": "A {job} is always needed. I hope your {who} likes it.",
                "happy": "Your {who} must be a wonderful {job}.",
                "sad": "Do you see less of your {who} because of the work?",
                "angry": "The work as a {job} should not take all your {who}'s time.",
                "fearful": "Your {who} will learn to be a {job} step by step.",
                "surprised": "A {job}? Your {who} never talked about that before.",
            },
        ),
        Scene(
            texts=(
                "they closed the {place} where my {who} works.",
                "the {place} where my {who} works is moving to another city.",
                "the {place} where my {who} works has a new owner.",
                "somebody bought the {place} where my {who} works.",
            ),
            fields={
                "place": split("bakery, bank, factory, hotel, garage, bookstore"),
                "who": (*SIBLINGS, "mother", "father", "cousin", "daughter", "son", "wife", "husband"),
            },
            about="the {place}",
            replies={
                "neutral": "What will your {who} do about the {place} now?",
                "happy": "A change at the {place} can be a fresh start for your {who}.",
                "sad": "Your {who} gave a lot to the {place}.",
                "angry": "Your {who} should have been told first about the {place}.",
                "fearful": "Your {who} can find other work than the {place}. There is time.",
                "surprised": "Did your {who} know anything about the {place} before?",
            },
        ),
        Scene(
            texts=(
                "I lost my job as a {job} {when}.",
                "my {who} lost the job as a {job} {when}.",
                "{when} my {who} was told that the job as a {job} is gone.",
            ),
            fields={"job": _JOBS, "who": (*SIBLINGS, *PARENTS, *CHILDREN), "when": PAST},
            about="the job as a {job}",
            replies={
                "sad": "A job is more than money. It is all right to be sad about it.",
                "angry": "A good {job} deserves better. It is fine to be angry.",
                "fearful": "There are other places that need a {job}. We can look tomorrow.",
            },
        ),
        Scene(
            texts=(
                "they cut my hours at work {when}.",
                "my boss shouted at me at work {when}.",
                "I had to stay late at work again {when}.",
                "somebody at work talked badly about me {when}.",
            ),
            fields={"when": (*PAST, "on Tuesday", "on Friday")},
            ages=("young", "adult"),
            about="my trouble at work",
            replies={
                "sad": "Work is a big part of life. It hurts when it goes wrong.",
                "angry": "You give a lot for your work, and that was not fair.",
                "fearful": "Trouble at work passes. We can look at it together.",
            },
        ),
        Scene(
            texts=(
                "I got the job as a {job} {when}.",
                "my {who} got the job as a {job}.",
                "they offered me a job as a {job} {when}.",
                "{when} I was offered a job as a {job}.",
            ),
            fields={"job": _JOBS, "who": (*SIBLINGS, *ELDERS, *CHILDREN), "when": PAST},
            ages=("child", "young", "adult", "elderly"),
            about="the job as a {job}",
            replies={
                "neutral": "When is the first day as a {job}?",
                "happy": "The job as a {job} is in the best hands.",
                "surprised": "A job as a {job}, out of nowhere?",
            },
        ),
    ),
    questions=(
        ("how do I get through a long work day?", "Take short breaks, and drink enough water on a long day."),
        ("should I ask for more money?", "Yes, ask for more money when you have done good work."),
        ("how can I stop thinking about work?", "Go for a walk after work, and leave the phone at home."),
    ),
)

INTERVIEWS = Topic(
    name="job interviews",
    scenes=(
        Scene(
            texts=(
                "I have a job interview at a {place} {when}.",
                "{when} I go to a {place} for a job interview.",
                "a {place} invited me to a job interview {when}.",
            ),
            fields={"place": split("bank, hotel, school, hospital, bakery, flower shop, museum"), "when": SOON},
            ages=("young", "adult"),
            about="the interview at the {place}",
            replies={
                "neutral": "Look up how to get to the {place} the day before.",
                "happy": "The {place} will like you. Bring that good mood along.",
                "sad": "Even if your heart is heavy, the {place} would be lucky to have you.",
                "angry": "Leave your anger at the door of the {place}, and show your best side.",
                "fearful": "Practice three answers for the {place}. Then breathe and be yourself.",
                "surprised": "The {place} answered so fast? That is a good sign.",
            },
        ),
        Scene(
            texts=(
                "my {who} has an interview at the {place} {when}.",
                "{when} my {who} will try to get a job at the {place}.",
                "my {who} hopes to get a job at the {place}, and the interview is {when}.",
            ),
            fields={
                "who": (*SIBLINGS, *PARENTS, "cousin", "best friend", *CHILDREN, *GRANDCHILDREN),
                "place": split("bank, hotel, hospital, bakery, zoo, museum"),
                "when": SOON[:6],
            },
            about="my {who}'s interview",
            replies={
                "neutral": "I wish your {who} luck at the {place}.",
                "happy": "How good that your {who} has you to cheer. The {place} would be great.",
                "sad": "You wish things were easier for your {who}.",
                "angry": "The {place} has to treat your {who} fairly. You can help to prepare.",
                "fearful": "Your {who} can do more than you think. The {place} will see it.",
                "surprised": "The {place}? Your {who} is full of surprises.",
            },
        ),
        Scene(
            texts=(
                "the {place} called me back {when}.",
                "{when} I got an answer from the {place}.",
                "the {place} wrote to me {when} about the job.",
            ),
            fields={"place": split("bank, hotel, school, hospital, bakery, museum, zoo, library"), "when": PAST},
            ages=("young", "adult"),
            about="the answer from the {place}",
            replies={
                "neutral": "Good that the {place} gave you an answer.",
                "happy": "Then the {place} saw how good you are.",
                "sad": "A no from the {place} hurts. Another place will say yes.",
                "angry": "The {place} could have been nicer to you.",
                "fearful": "Read the answer from the {place} once more with a calm mind.",
                "surprised": "You had not hoped for an answer from the {place} anymore?",
            },
        ),
        Scene(
            texts=(
                "I came too late to my interview at the {place}.",
                "I forgot every answer in my interview at the {place}.",
                "the {place} gave the job to somebody else.",
                "the man at the {place} did not even look at me in the interview.",
            ),
            fields={"place": split("bank, hotel, school, hospital, bakery, museum, zoo, library, flower shop")},
            ages=("young", "adult"),
            about="the {place}",
            replies={
                "sad": "You had hoped so much for the {place}.",
                "angry": "You deserved a fair chance at the {place}.",
                "fearful": "The {place} was one of many. The next interview will be easier.",
            },
        ),
        Scene(
            texts=(
                "the {place} wants me to start {when}.",
                "the people at the {place} liked me, and I start {when}.",
                "out of fifty people the {place} picked me.",
                "my {who} got the job at the {place}.",
            ),
            fields={
                "place": split("bank, hotel, school, hospital, bakery, museum, zoo, library"),
                "when": SOON[3:],
                "who": FAMILY,
            },
            about="the job at the {place}",
            replies={
                "neutral": "All the best for the start at the {place}.",
                "happy": "The {place} made the best choice.",
                "surprised": "The {place} said yes just like that?",
            },
        ),
    ),
    questions=(
        ("what should I wear to an interview?", "Wear something clean and simple to an interview."),
        ("what do they want to know?", "They want to know what you like to do and what you are good at."),
        ("what can I ask them?", "Ask them what a normal day in the job looks like."),
    ),
)

_SUMS = split("five dollars, ten dollars, twenty dollars, fifty dollars, thirty dollars")

MONEY = Topic(
    name="money",
    scenes=(
        Scene(
            texts=(
                "my {who} gave me {sum} {when}.",
                "{when} I got {sum} from my {who}.",
                "my {who} put {sum} into my hand {when}.",
            ),
            fields={"who": FAMILY, "sum": _SUMS, "when": PAST[:4]},
            about="the {sum} from my {who}",
            replies={
                "neutral": "You could save the {sum} or buy something nice.",
                "happy": "How kind of your {who}. What will you do with the {sum}?",
                "sad": "Sometimes {sum} cannot replace time with your {who}.",
                "angry": "You can give the {sum} back if it does not feel right.",
                "fearful": "Your {who} means well. You do not owe anything for the {sum}.",
                "surprised": "{sum} from your {who}, just like that?",
            },
        ),
        Scene(
            texts=(
                "the price of {thing} went {direction} again.",
                "they say that the price of {thing} is going {direction} {when}.",
                "{when} the price of {thing} is going {direction}.",
            ),
            fields={
                "thing": split("bread, milk, gas, coffee, electricity, train tickets"),
                "direction": split("up, down"),
                "when": SOON[4:],
            },
            about="the price of {thing}",
            replies={
                "neutral": "It is good to know the price of {thing}.",
                "happy": "For you the price of {thing} seems to be good news.",
                "sad": "The price of {thing} makes life harder for many people.",
                "angry": "The price of {thing} should be fair for everybody.",
                "fearful": "With a small plan the price of {thing} will not ruin you.",
                "surprised": "The price of {thing} went {direction}? I would not have guessed.",
            },
        ),
        Scene(
            texts=(
                "I found {sum} in {place}.",
                "there were {sum} in {place}.",
                "{when} I found {sum} in {place}.",
            ),
            fields={
                "sum": split("five dollars, ten dollars, twenty dollars, fifty dollars, three old coins"),
                "place": split("an old coat, the street, my desk, a shoe box, the kitchen, the car"),
                "when": PAST[:3],
            },
            about="the {sum}",
            replies={
                "neutral": "Maybe somebody is looking for the {sum}.",
                "happy": "It must be your lucky day with {sum}.",
                "sad": "{sum} cannot fill every gap. Is something on your mind?",
                "angry": "Somebody was careless with {sum}. Now you know where they were.",
                "fearful": "Nobody will blame you for {sum}. You can hand them in.",
                "surprised": "{sum} in {place}? How did they get there?",
            },
        ),
        Scene(
            texts=(
                "I lost {sum} {when}.",
                "somebody stole {sum} from my {bag} {when}.",
                "my {bag} is gone with {sum} in it.",
                "I lent {who} {sum} and never got it back.",
            ),
            fields={
                "sum": _SUMS,
                "bag": split("bag, coat, room, wallet"),
                "when": PAST,
                "who": split("a friend, a neighbor, my cousin"),
            },
            about="the {sum}",
            replies={
                "sad": "It is hard to lose {sum} like that.",
                "angry": "Losing {sum} like that would make me mad too.",
                "fearful": "You can get through this without the {sum}. Tell somebody about it.",
            },
        ),
        Scene(
            texts=(
                "I won {sum} {where}.",
                "my {who} won {sum} {where}.",
                "{when} I won {sum} {where}.",
            ),
            fields={
                "sum": split("a hundred dollars, five hundred dollars, a thousand dollars, ten thousand dollars"),
                "where": split("in a game, at the fair, in the lottery, on the radio"),
                "who": FAMILY,
                "when": PAST[:4],
            },
            about="winning {sum}",
            replies={
                "neutral": "You can do a lot of good with {sum}.",
                "happy": "{sum} is a good reason to celebrate.",
                "surprised": "{sum}? That almost never happens.",
            },
        ),
    ),
    questions=(
        ("how can I save some money?", "Save some money on the first day of each month, and do not touch it."),
        ("what is a small treat that costs little?", "A cup of cocoa in the park is a small treat."),
        ("how do I talk about money?", "Talk about money openly and early, with clear numbers."),
    ),
)

_SENDERS = split("the bank, the school, the hospital, the city, my old friend, my landlord")

MAIL = Topic(
    name="mail",
    scenes=(
        Scene(
            texts=(
                "I got a letter from {sender} {when}.",
                "{when} there was a letter from {sender} in the mail.",
                "a letter from {sender} came {when}, and I have not opened it.",
            ),
            fields={"sender": (*_SENDERS[:6], "my grandmother", "my uncle"), "when": PAST[:5]},
            about="the letter from {sender}",
            replies={
                "neutral": "What does the letter from {sender} say?",
                "happy": "It seems that {sender} sent you good news.",
                "sad": "A letter from {sender} can weigh a lot. Read it when you are ready.",
                "angry": "Wait a day before you answer the letter from {sender}.",
                "fearful": "We can go through the letter from {sender} line by line.",
                "surprised": "You did not expect a letter from {sender}, did you?",
            },
        ),
        Scene(
            texts=(
                "there is a {adjective} package {where}.",
                "somebody left a {adjective} package {where}.",
                "a {adjective} package is waiting {where}.",
            ),
            fields={
                "adjective": split("big, small, heavy, round, long, strange, blue"),
                "where": split("at our door, on the table, at the post office, in the hall, under my bed, on my chair"),
            },
            about="the {adjective} package",
            replies={
                "neutral": "Whose name is on the {adjective} package?",
                "happy": "A {adjective} package is like a little birthday.",
                "sad": "Is the {adjective} package from someone who is far away?",
                "angry": "Nobody should leave a {adjective} package without asking.",
                "fearful": "Leave the {adjective} package closed, and ask somebody to look with you.",
                "surprised": "A {adjective} package? And you did not order anything?",
            },
        ),
        Scene(
            texts=(
                "my {who} wrote me a card from {city}.",
                "a card from my {who} came {when}, all the way from {city}.",
                "{when} I got a card from my {who} in {city}.",
            ),
            fields={
                "who": (*SIBLINGS, "aunt", "uncle", "cousin", "best friend", "son", "daughter", "nephew"),
                "city": split("Paris, Chicago, Berlin, Sydney, Madrid"),
                "when": PAST[:3],
            },
            about="the card from my {who}",
            replies={
                "neutral": "It is nice to get a card on real paper from {city}.",
                "happy": "Your {who} thought of you in {city}.",
                "sad": "You wish that your {who} were here and not in {city}.",
                "angry": "A card from {city} is not what you needed from your {who}.",
                "fearful": "A card means that your {who} arrived safely in {city}.",
                "surprised": "Your {who} is in {city}? Did you know about the trip?",
            },
        ),
        Scene(
            texts=(
                "my letter to {whom} never arrived.",
                "the package for {whom} got lost in the mail.",
                "somebody opened my letter to {whom}.",
                "the rain ruined my letter to {whom}.",
            ),
            fields={
                "whom": (
                    *split("my sister, my brother, my cousin, my best friend, my aunt, my uncle, my old teacher"),
                    *NAMES,
                )
            },
            about="the mail to {whom}",
            replies={
                "sad": "You put your heart into it, and {whom} never got it.",
                "angry": "You can go to the post office and complain. {whom} will understand.",
                "fearful": "Call {whom} and explain. Nothing is lost but paper.",
            },
        ),
        Scene(
            texts=(
                "I got a letter full of {thing} {when}.",
                "my {who} sent me a package full of {thing}.",
                "{when} the mail brought me a box of {thing}.",
            ),
            fields={
                "thing": split("old photos, dried flowers, drawings, cookies, chocolates, stamps"),
                "who": FAMILY,
                "when": PAST[:4],
            },
            about="the {thing} in the mail",
            replies={
                "neutral": "It is good to get {thing} and no bills.",
                "happy": "Mail with {thing} makes the day.",
                "surprised": "So many {thing}? Somebody really wanted to surprise you.",
            },
        ),
    ),
    questions=(
        ("should I write back?", "Yes, write back in your own words. A short letter is enough."),
        ("how long does the mail take?", "Inside the country the mail takes a few days."),
        ("what do people like in a letter?", "In a letter people like small stories from your day."),
    ),
)

TOPICS = (WORK, INTERVIEWS, MONEY, MAIL)
