"""School, exams, languages, books."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CHILDREN,
    DAYS,
    ELDERS,
    FAMILY,
    GRANDCHILDREN,
    GRANDPARENTS,
    NAMES,
    OFTEN,
    PARENTS,
    PAST,
    SIBLINGS,
    SOON,
    split,
)

SUBJECTS = split("history, music, English, art, science, geography")

SCHOOL = Topic(
    name="school",
    scenes=(
        Scene(
            texts=(
                "we have a new {subject} teacher at school.",
                "there has been a new {subject} teacher at our school since {when}.",
                "a new {subject} teacher started at our school {day}.",
                "my school got a new {subject} teacher {day}.",
            ),
            fields={
                "subject": SUBJECTS,
                "when": split("Monday, Tuesday, Friday, last week, last month"),
                "day": DAYS[:5],
            },
            ages=("child", "young"),
            about="the new {subject} teacher",
            replies={
                "neutral": "What is the new {subject} teacher like?",
                "happy": "A new {subject} teacher can make lessons fun again.",
                "sad": "You miss your old {subject} teacher, and that is normal.",
                "angry": "Give the new {subject} teacher a chance, and say what bothers you.",
                "fearful": "The new {subject} teacher is probably a little nervous too.",
                "surprised": "Nobody told you about a new {subject} teacher?",
            },
        ),
        Scene(
            texts=(
                "school starts again {when}.",
                "{when} school starts again for my {who}.",
                "my {who} has to go back to school {when}.",
                "{when} the holidays are over and school begins.",
            ),
            fields={
                "when": SOON,
                "who": split("little sister, little brother, son, daughter, nephew, niece, grandson, granddaughter"),
            },
            about="the start of school",
            replies={
                "neutral": "Pack the school bag the night before, and the morning will be easy.",
                "happy": "School means old friends and new things. Enjoy the first day.",
                "sad": "Long holidays are hard to leave. The first week of school is the worst.",
                "angry": "You wanted more free time before school. I understand that.",
                "fearful": "The first day of school makes many people nervous. It gets better soon.",
                "surprised": "School already starts {when}? Time flies.",
            },
        ),
        Scene(
            texts=(
                "I had to go to my {who}'s school {when}.",
                "I was called to the school {when} because of my {who}.",
                "the school called us {when} about my {who}.",
                "{when} the school sent us a letter about my {who}.",
            ),
            fields={
                "when": PAST,
                "who": split("son, daughter, grandson, granddaughter, nephew, niece"),
            },
            ages=("adult", "elderly"),
            about="my {who} at school",
            replies={
                "neutral": "What did the school tell you about your {who}?",
                "happy": "Good words from the school about your {who} feel so nice.",
                "sad": "You want school to be a good place for your {who}.",
                "angry": "Ask the school to explain it. Your {who} should be heard too.",
                "fearful": "You and the school can help your {who} together.",
                "surprised": "Was there a problem at school, or good news about your {who}?",
            },
        ),
        Scene(
            texts=(
                "nobody wants to sit next to me at school.",
                "{who} makes fun of me at school.",
                "{who} took my lunch at school {when}.",
                "at school {who} pushed me {when}.",
                "at school {who} laughed at me in the {subject} lesson {when}.",
            ),
            fields={"who": NAMES, "when": split("yesterday, today, this morning, on Monday"), "subject": SUBJECTS},
            ages=("child", "young"),
            about="my trouble at school",
            replies={
                "sad": "You deserve kind people around you at school.",
                "angry": "That was not fair. Tell a grown up at school about it.",
                "fearful": "You are not alone with this. Somebody at school can protect you.",
            },
        ),
        Scene(
            texts=(
                "I got the best grade in {subject} {when}.",
                "{when} I got the best grade of my class in {subject}.",
                "the teacher said {when} that I am the best in {subject}.",
            ),
            fields={"subject": SUBJECTS, "when": PAST},
            ages=("child", "young"),
            about="my grade in {subject}",
            replies={
                "neutral": "That shows a lot of work in {subject}.",
                "happy": "A success in {subject} like that calls for ice cream.",
                "surprised": "In {subject}, of all things? Well done.",
            },
        ),
        Scene(
            texts=(
                "my {who} got the best grade in {subject}.",
                "my {who} won a prize in {subject} at school {when}.",
                "{when} my {who} brought home the best grade in {subject}.",
            ),
            fields={
                "subject": SUBJECTS,
                "when": PAST[:4],
                "who": (*SIBLINGS, "cousin", *CHILDREN, *GRANDCHILDREN, "nephew", "niece"),
            },
            about="my {who} and {subject}",
            replies={
                "neutral": "Your {who} must have worked a lot for {subject}.",
                "happy": "Tell your {who} that I am proud too. {subject} is not easy.",
                "surprised": "In {subject}, of all things? Your {who} is full of surprises.",
            },
        ),
        Scene(
            texts=(
                "the old school {where} is going to close {when}.",
                "{when} they will close the old school {where}.",
                "I read that the school {where} will close {when}.",
            ),
            fields={
                "where": split("on our street, in our village, next to the church, by the river"),
                "when": split("next year, next month, in the summer, in the fall, in the spring"),
            },
            about="the school {where}",
            replies={
                "neutral": "Do you know what will become of the old school?",
                "happy": "Perhaps the children will get a brighter school now.",
                "sad": "An old school is full of memories. It is hard to see it go.",
                "angry": "People should have been asked before they close a school.",
                "fearful": "The children will find a new school and new friends.",
                "surprised": "That school was always there. Who decided this?",
            },
        ),
    ),
    questions=(
        ("how can I make homework easier?", "Do homework in small parts, and take a break after each."),
        ("who can help with school work?", "A friend who likes the subject can help with school work."),
        ("what is a good school lunch?", "Bread, cheese and an apple are a good school lunch."),
    ),
)

EXAMS = Topic(
    name="exams",
    scenes=(
        Scene(
            texts=(
                "the exam in {subject} is {when}.",
                "{when} we have the exam in {subject}.",
                "they moved the exam in {subject}, and now it is {when}.",
            ),
            fields={"subject": (*SUBJECTS, "biology", "French"), "when": SOON},
            ages=("child", "young", "adult"),
            about="the exam in {subject}",
            replies={
                "neutral": "There is still some time to study {subject}.",
                "happy": "You sound ready for {subject}. Go and show them.",
                "sad": "One exam in {subject} does not say who you are.",
                "angry": "Use your anger as power, and start with the hardest part of {subject}.",
                "fearful": "Sleep well, eat well, and go through {subject} in small steps.",
                "surprised": "The exam is {when}? Then let us make a quick plan.",
            },
        ),
        Scene(
            texts=(
                "I got my result in {subject} {when}.",
                "{when} I got the letter with my result in {subject}.",
                "the result of my test in {subject} came {when}.",
            ),
            fields={"subject": (*SUBJECTS, "biology", "French"), "when": PAST},
            about="my result in {subject}",
            replies={
                "neutral": "Are you content with your result in {subject}?",
                "happy": "So your work in {subject} paid off. Well done.",
                "sad": "A bad result in {subject} can be mended. You can try again.",
                "angry": "You can ask to see how your result in {subject} was counted.",
                "fearful": "Whatever the result in {subject} is, there is a next step.",
                "surprised": "Was the result in {subject} so far from what you thought?",
            },
        ),
        Scene(
            texts=(
                "my {who} has the driving test {when}.",
                "{when} my {who} takes the driving test.",
                "my {who}'s driving test is {when}.",
            ),
            fields={
                "who": split(
                    "sister, brother, mother, cousin, best friend, neighbor, son, daughter, grandson, granddaughter"
                ),
                "when": SOON,
            },
            about="my {who}'s driving test",
            replies={
                "neutral": "I wish your {who} luck with the driving test.",
                "happy": "Soon your {who} can drive you to the sea.",
                "sad": "The test is a big step for your {who}, and things will change.",
                "angry": "A driving test brings out strong feelings. Your {who} needs calm now.",
                "fearful": "Your {who} has a good teacher in the driving seat. It will be fine.",
                "surprised": "Your {who} is already taking the driving test?",
            },
        ),
        Scene(
            texts=(
                "I failed the test in {subject} {when}.",
                "I fell asleep during the exam in {subject}.",
                "my mind went blank in the {subject} exam {when}.",
                "I did not finish the {subject} exam {when}.",
            ),
            fields={"subject": (*SUBJECTS, "biology", "French"), "when": PAST},
            ages=("child", "young", "adult"),
            about="the test in {subject}",
            replies={
                "sad": "You worked for {subject}, and it still went wrong. That is bitter.",
                "angry": "Be angry today. Tomorrow ask what you can do about {subject}.",
                "fearful": "Tell somebody at home about {subject}. It will be easier than you think.",
            },
        ),
        Scene(
            texts=(
                "I passed the exam in {subject} {when}.",
                "I passed my last exam {when}.",
                "{when} they told me that I passed the exam in {subject}.",
                "my {who} passed the exam in {subject} {when}.",
            ),
            fields={
                "subject": (*SUBJECTS, "biology", "French"),
                "when": PAST,
                "who": (*SIBLINGS, *CHILDREN, *GRANDCHILDREN),
            },
            about="the exam",
            replies={
                "neutral": "Passed is passed. Now there is time to rest.",
                "happy": "Passed. All the long evenings were worth it.",
                "surprised": "So you really did not think it would be passed?",
            },
        ),
    ),
    questions=(
        ("how do I stay calm in a test?", "Breathe out slowly, and begin the test with what you know."),
        ("how long should I study each day?", "Study for one hour each day, and go outside after that."),
        ("what should I eat before an exam?", "Before an exam, eat something light like bread and fruit."),
    ),
)

_LANGUAGES = split("Spanish, French, German, Italian, Japanese, Chinese, Russian, Greek, Arabic, Polish")

LANGUAGES = Topic(
    name="languages",
    scenes=(
        Scene(
            texts=(
                "my {who} is learning {language} now.",
                "my {who} started to learn {language} {when}.",
                "{when} my {who} began to learn {language}.",
            ),
            fields={
                "who": (*SIBLINGS, *PARENTS, *GRANDPARENTS, "cousin", "best friend", *CHILDREN, *GRANDCHILDREN),
                "language": _LANGUAGES[:6],
                "when": PAST[3:5],
            },
            about="my {who} learning {language}",
            replies={
                "neutral": "{language} is a good choice. You could practice with your {who}.",
                "happy": "You and your {who} could travel and speak {language}.",
                "sad": "Are you afraid to lose your {who} to a new world of {language}?",
                "angry": "It is fine if {language} is not your thing. Let your {who} have it.",
                "fearful": "{language} takes time. Nobody will test your {who} tomorrow.",
                "surprised": "{language}? What made your {who} think of that?",
            },
        ),
        Scene(
            texts=(
                "I have to speak {language} {where} {when}.",
                "{when} I have to speak {language} {where}.",
                "they want me to speak {language} {where} {when}.",
            ),
            fields={
                "language": _LANGUAGES[:6],
                "where": split("in front of the class, on the phone, at a dinner, with our guests, on the radio"),
                "when": SOON,
            },
            about="speaking {language}",
            replies={
                "neutral": "A few short sentences in {language} are enough.",
                "happy": "You can finally show your {language}.",
                "sad": "Nobody will laugh at your {language}. You have come so far.",
                "angry": "You may say that it is too early for {language}.",
                "fearful": "Learn the first sentence in {language} by heart. The rest will follow.",
                "surprised": "They think that your {language} is that good already?",
            },
        ),
        Scene(
            texts=(
                "somebody spoke {language} to me {where}.",
                "{where} a stranger spoke to me in {language}.",
                "a man asked me for the way in {language} {where}.",
                "a woman asked me the time in {language} {where}.",
            ),
            fields={
                "language": _LANGUAGES,
                "where": split("on the bus, at the market, in the park, at the station, on my street"),
            },
            about="the stranger who spoke {language}",
            replies={
                "neutral": "Did you understand some of the {language}?",
                "happy": "It is nice to meet someone who speaks {language}.",
                "sad": "Did the {language} make you think of a place you miss?",
                "angry": "Maybe {language} was all that person knew. It was not meant to bother you.",
                "fearful": "A stranger who speaks {language} mostly just needs help.",
                "surprised": "{language}, in your town? That does not happen every day.",
            },
        ),
        Scene(
            texts=(
                "I cannot remember the words of {language}.",
                "everybody laughed when I spoke {language} {where}.",
                "I made so many mistakes in {language} {where}.",
            ),
            fields={
                "language": _LANGUAGES,
                "where": split("in class, at dinner, on the phone, at work, in the shop"),
            },
            about="my {language}",
            replies={
                "sad": "You try hard, and {language} still feels far away. That is hard.",
                "angry": "Laughing at a learner is rude. Your {language} took courage.",
                "fearful": "Mistakes in {language} are how people learn. Try one sentence a day.",
            },
        ),
        Scene(
            texts=(
                "I understood a whole song in {language} {when}.",
                "{when} I read a whole page in {language}.",
                "I had a real talk in {language} {when}.",
                "I dreamed in {language} {when}.",
            ),
            fields={"language": _LANGUAGES, "when": PAST[:4]},
            about="my {language}",
            replies={
                "neutral": "Your {language} is clearly getting better.",
                "happy": "Your {language} is paying off. Keep going.",
                "surprised": "Since when is your {language} so good?",
            },
        ),
    ),
    questions=(
        ("how do I learn new words?", "Learn five new words a day, and say them out loud."),
        ("is it too late to learn a language?", "It is never too late to learn. Only begin with a little."),
        ("do films help with a language?", "Yes, films in the language train your ear very well."),
    ),
)

BOOKS = Topic(
    name="books",
    scenes=(
        Scene(
            texts=(
                "I finished the book about {subject} {when}.",
                "{when} I came to the last page of the book about {subject}.",
                "the book about {subject} ended in a way I did not expect.",
            ),
            fields={
                "subject": split("the lost ship, the old king, two sisters, the secret garden, a blind dog, the war"),
                "when": PAST,
            },
            about="the book about {subject}",
            replies={
                "neutral": "Would you read another book about {subject}?",
                "happy": "A good book like that stays with you. Was the end happy?",
                "sad": "It is hard to leave the people of a book behind.",
                "angry": "A bad ending can spoil a whole book about {subject}.",
                "fearful": "It was only a book about {subject}. Leave a light on tonight.",
                "surprised": "Did the book about {subject} fool you until the last page?",
            },
        ),
        Scene(
            texts=(
                "my {who} reads to me {often}.",
                "my {who} reads a book to us {often}.",
                "{often} my {who} reads out loud from a book.",
            ),
            fields={"who": FAMILY, "often": OFTEN},
            about="my {who} reading",
            replies={
                "neutral": "Which book does your {who} read?",
                "happy": "It is so cozy when your {who} reads.",
                "sad": "Does your {who}'s voice make you think of old times?",
                "angry": "Ask your {who} to read another book or to read less.",
                "fearful": "If the stories scare you, tell your {who} to read something gentle.",
                "surprised": "I did not know that your {who} likes to read out loud.",
            },
        ),
        Scene(
            texts=(
                "I found {thing} in a book from {place}.",
                "there was {thing} in the book I got from {place}.",
                "in a book from {place} I found {thing}.",
            ),
            fields={
                "thing": split("an old letter, a dried flower, a photo of a child, a ten dollar bill, a train ticket"),
                "place": split("the library, the market, my grandmother, my neighbor, a friend, the church"),
            },
            about="{the_thing} in the book",
            replies={
                "neutral": "I wonder who left {the_thing} in the book.",
                "happy": "{thing} makes the book even more special.",
                "sad": "{thing} in a book can tell a sad story.",
                "angry": "Somebody forgot {the_thing} in the book. It was surely not meant badly.",
                "fearful": "{thing} in a book cannot hurt you. Show it to someone you trust.",
                "surprised": "{thing}? I wonder how it got into the book.",
            },
        ),
        Scene(
            texts=(
                "my {who} lost the book I love most.",
                "somebody tore the pages out of my {kind} book.",
                "my {kind} book fell into the water {when}.",
                "the dog ate my {kind} book {when}.",
            ),
            fields={
                "who": FAMILY,
                "kind": split("favorite, school, library, new, oldest"),
                "when": PAST[:3],
            },
            about="my book",
            replies={
                "sad": "A book you love is like a friend. I understand that it hurts.",
                "angry": "A book should be handled with care. You may say so.",
                "fearful": "A book can be replaced. There is always a way to get another one.",
            },
        ),
        Scene(
            texts=(
                "my {who} wrote a book about {subject}.",
                "my {who} gave me a book about {subject}.",
                "I won a book about {subject} {when}.",
                "I found a book about {subject} in the library {when}.",
            ),
            fields={
                "who": (*SIBLINGS, *ELDERS),
                "subject": split("horses, the stars, pirates, old trains, the sea, famous painters"),
                "when": PAST[:4],
            },
            about="the book about {subject}",
            replies={
                "neutral": "A book about {subject} is good for a rainy day.",
                "happy": "A book about {subject} sounds like hours of joy.",
                "surprised": "A whole book about {subject}? I want to hear more.",
            },
        ),
    ),
    questions=(
        ("what should I read next?", "Read something short next, perhaps a book of stories."),
        ("where is a good place to read?", "A chair by the window is a good place to read."),
        ("how can I read more?", "Read ten pages before you sleep, and you will read many books a year."),
    ),
)

TOPICS = (SCHOOL, EXAMS, LANGUAGES, BOOKS)
