"""Birthdays, weddings, parties, babies."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    FAMILY,
    LATER,
    NAMES,
    PAST,
    SOON,
    split,
)

BIRTHDAYS = Topic(
    name="birthdays",
    scenes=(
        Scene(
            texts=(
                "it is my birthday {when}.",
                "my birthday is {when}.",
                "{when} I am having my birthday.",
                "I just remembered that my birthday is {when}.",
            ),
            fields={
                "when": (
                    *SOON,
                    *split("today, on Monday, on Tuesday, on Wednesday, on Thursday, in two days, in a week"),
                )
            },
            about="my birthday",
            replies={
                "neutral": "How would you like to spend your birthday?",
                "happy": "A very happy birthday to you. I hope there will be cake {when}.",
                "sad": "Birthdays can feel lonely. Is there somebody you want near you on your birthday?",
                "angry": "Your birthday should be your day. Tell people what you want.",
                "fearful": "A birthday can be quiet and small. Nothing has to happen {when}.",
                "surprised": "Your birthday is {when}, and you almost forgot it?",
            },
        ),
        Scene(
            texts=(
                "I got {gift} for my birthday.",
                "my {who} gave me {gift} for my birthday.",
                "for my birthday I was given {gift}.",
                "there was {gift} among my birthday presents.",
            ),
            fields={
                "who": FAMILY,
                "gift": split(
                    "a bicycle, a clock, a puppy, an old watch, a camera, a painting, a drum, a pair of boots, "
                    "a trip to Paris, a cookbook"
                ),
            },
            about="the birthday present",
            replies={
                "neutral": "That is a birthday present to remember.",
                "happy": "{gift} for your birthday sounds perfect.",
                "sad": "You were wishing for something else than {gift}, I think.",
                "angry": "You can say thank you for {the_gift} and still be disappointed.",
                "fearful": "{the_gift} can wait. Take your time.",
                "surprised": "{gift}? You did not see that present coming.",
            },
        ),
        Scene(
            texts=(
                "it is my {who}'s birthday {when}.",
                "my {who} has a birthday {when}.",
                "{when} we celebrate my {who}'s birthday.",
            ),
            fields={"who": FAMILY, "when": SOON},
            about="my {who}'s birthday",
            replies={
                "neutral": "Do you already have a gift for your {who}?",
                "happy": "Your {who} is lucky to celebrate with you {when}.",
                "sad": "Is there something about your {who} that makes this birthday sad?",
                "angry": "You do not have to plan your {who}'s birthday all alone.",
                "fearful": "A card and a hug will make your {who} happy. You have time.",
                "surprised": "So your {who}'s birthday is {when} already?",
            },
        ),
        Scene(
            texts=(
                "my {who} forgot my birthday.",
                "my {who} did not even call me on my birthday.",
                "{number} of my friends came to my birthday party.",
                "nobody but my {who} came to my birthday party.",
                "my {who} ruined my birthday party {when}.",
            ),
            fields={
                "who": FAMILY,
                "when": PAST,
                "number": split("none, only one, only two"),
            },
            about="my birthday",
            replies={
                "sad": "You deserved a better birthday than that.",
                "angry": "A birthday comes once a year. You may say that this was not fair.",
                "fearful": "One bad birthday does not mean that people do not love you.",
            },
        ),
        Scene(
            texts=(
                "my friends threw a surprise party for my birthday {when}.",
                "{when} all my friends came to my birthday with {food}.",
                "my friends made {food} for my birthday.",
                "my {who} made {food} for my birthday {when}.",
            ),
            fields={
                "food": split("a huge cake, chocolate cake, strawberry cake, homemade pizza, a mountain of pancakes"),
                "who": FAMILY,
                "when": PAST,
            },
            about="my birthday",
            replies={
                "neutral": "That sounds like a good birthday.",
                "happy": "What a birthday. You are loved by many people.",
                "surprised": "Did you really not know what was planned for your birthday?",
            },
        ),
    ),
    questions=(
        ("what would be a good birthday gift?", "A good gift is something you can enjoy together, like a trip."),
        ("should there be a cake?", "A birthday without a cake is allowed, but a cake makes people smile."),
        ("who should I invite?", "Invite the people with whom you can laugh and be yourself."),
    ),
)

WEDDINGS = Topic(
    name="weddings",
    scenes=(
        Scene(
            texts=(
                "my {who} is getting married {when}.",
                "{when} my {who} is going to marry {their} old friend.",
                "my {who} told me {they} is getting married {when}.",
            ),
            fields={
                "who": (
                    *split("sister, brother, mother, father, aunt, uncle, son, daughter, grandson"),
                    "granddaughter",
                ),
                "when": LATER,
            },
            about="my {who}'s wedding",
            replies={
                "neutral": "I wish your {who} a good start. Do you have something to wear?",
                "happy": "Your {who} is getting married. I hope you will dance all night.",
                "sad": "A wedding changes a family. You will not lose your {who}.",
                "angry": "You can be angry and still go. It is your {who}'s choice.",
                "fearful": "Your {who} will still need you after the wedding.",
                "surprised": "Did you even know that your {who} was in love?",
            },
        ),
        Scene(
            texts=(
                "I am invited to a wedding {where} {when}.",
                "{when} I have to go to a wedding {where}.",
                "there is a wedding {where} {when}, and I am on the list.",
            ),
            fields={
                "where": split("in Paris, on a farm, by the sea, in an old castle, in my old town, in the mountains"),
                "when": LATER,
            },
            about="the wedding {where}",
            replies={
                "neutral": "A wedding {where} will be nice to see.",
                "happy": "A wedding {where} sounds like a dream. Enjoy it.",
                "sad": "A wedding can make us think of our own life. I understand.",
                "angry": "You may say no to a wedding if you do not want to go.",
                "fearful": "At a wedding nobody looks at the guests. You can stay near a friend.",
                "surprised": "A wedding {where}? Who had that idea?",
            },
        ),
        Scene(
            texts=(
                "I have to give a speech at {who}'s wedding.",
                "{who} asked me to give a speech at {their} wedding.",
                "I am supposed to sing at {who}'s wedding.",
                "{who} wants me to dance at {their} wedding.",
            ),
            fields={"who": (*NAMES, "my brother", "my sister", "my uncle", "my aunt")},
            about="{who}'s wedding",
            replies={
                "neutral": "You have time to practice before the wedding.",
                "happy": "It is an honor to do this at a wedding. You will shine.",
                "sad": "A wedding is hard when your heart is heavy. You may ask for help.",
                "angry": "You should be asked nicely, even for a wedding. You may still say no.",
                "fearful": "Practice in front of a mirror. At a wedding everybody is on your side.",
                "surprised": "And they asked you for the wedding just like that?",
            },
        ),
        Scene(
            texts=(
                "it rained all day at {who}'s wedding.",
                "nobody invited me to {who}'s wedding.",
                "{who} called off the wedding {when}.",
                "{who}'s wedding was called off {when}.",
            ),
            fields={"who": (*NAMES, "my cousin", "my aunt", "my uncle"), "when": PAST},
            about="{who}'s wedding",
            replies={
                "sad": "Everybody had hoped for a happy wedding.",
                "angry": "After all those plans for the wedding, that is hard to accept.",
                "fearful": "A wedding is only one day. The love can still be strong.",
            },
        ),
        Scene(
            texts=(
                "I danced all night at {who}'s wedding {when}.",
                "I caught the flowers at {who}'s wedding.",
                "{who}'s wedding {when} was on the beach.",
                "everybody cried at {who}'s wedding, even the {animal}.",
            ),
            fields={"who": NAMES, "when": PAST, "animal": split("baker, driver, photographer, old priest")},
            about="{who}'s wedding",
            replies={
                "neutral": "You will remember {who}'s wedding for a long time.",
                "happy": "It must have been a beautiful wedding for {who} and for you.",
                "surprised": "A wedding is always good for a surprise. What did {who} say?",
            },
        ),
    ),
    questions=(
        ("what should I wear?", "Wear something festive, but no white. And wear shoes for dancing."),
        ("what is a good wedding gift?", "Ask the couple for their list. A photo album is a good wedding gift too."),
        ("how long should a speech be?", "A good speech is short. Three minutes are enough."),
    ),
)

PARTIES = Topic(
    name="parties",
    scenes=(
        Scene(
            texts=(
                "there is a party at {place} {when}.",
                "{when} everybody is going to the party at {place}.",
                "they invited me to a party at {place} {when}.",
            ),
            fields={
                "place": split("the school, the sports club, our office, the beach house, the town hall"),
                "when": SOON,
            },
            about="the party at {place}",
            replies={
                "neutral": "A party at {place} could be fun. Are you going?",
                "happy": "A party {when}. I hope the music will be good.",
                "sad": "You do not have to go to the party if you feel low.",
                "angry": "Nobody can make you go to a party. It is your choice.",
                "fearful": "You can go to the party for one hour and leave when you like.",
                "surprised": "A party at {place}? That is new.",
            },
        ),
        Scene(
            texts=(
                "{who} is coming to our party {when}.",
                "I heard that {who} will be at the party {when}.",
                "{who} wants to come to the party {when}.",
            ),
            fields={"who": (*NAMES, "my cousin", "the new girl", "the new boy"), "when": SOON},
            about="{who} at the party",
            replies={
                "neutral": "Then there should be a drink for {who} too.",
                "happy": "The party will be even better with {who}.",
                "sad": "Is it hard for you to see {who} at the party?",
                "angry": "You can ask {who} to keep some distance at the party.",
                "fearful": "You will not be alone with {who}. Stay close to your friends at the party.",
                "surprised": "{who} at your party? Who would have guessed?",
            },
        ),
        Scene(
            texts=(
                "the party {when} went on until {hour}.",
                "we were at a party {when}, and it lasted until {hour}.",
                "{when} there was a party next door until {hour}.",
            ),
            fields={
                "when": split("on Friday, on Saturday, last night, last weekend, on my street"),
                "hour": split("midnight, two in the morning, three in the morning, four in the morning, sunrise"),
            },
            about="the party",
            replies={
                "neutral": "A party until {hour} makes for a short night.",
                "happy": "A party until {hour} must have been a good one.",
                "sad": "After a party the quiet can feel sad.",
                "angry": "A party until {hour} is too much. People need to sleep.",
                "fearful": "It was only a party, and it is over now. You can rest.",
                "surprised": "Until {hour}? That was some party.",
            },
        ),
        Scene(
            texts=(
                "{thing} got broken at the party {when}.",
                "somebody broke {thing} at our party {when}.",
                "{when} {thing} got broken at our party.",
            ),
            fields={
                "thing": split("the big mirror, my glasses, the window, our vase, my camera"),
                "when": split("last night, on Friday, on Saturday, last weekend"),
            },
            about="the party and {thing}",
            replies={
                "sad": "What a pity about {thing}. It was meant to be a nice party.",
                "angry": "Somebody should pay for {thing}. You can ask for that calmly.",
                "fearful": "Nobody was hurt, and {thing} can be replaced.",
            },
        ),
        Scene(
            texts=(
                "I won {prize} at the party {when}.",
                "we all sang {song} at the party {when}.",
                "I met {who} at the party {when}.",
                "{who} asked me to dance at the party {when}.",
            ),
            fields={
                "prize": split("the first prize, a basket of fruit, a silly hat, a teddy bear"),
                "song": split("old songs, my favorite song, funny songs"),
                "who": NAMES,
                "when": split("last night, on Friday, on Saturday, last weekend"),
            },
            about="the party",
            replies={
                "neutral": "So the party was worth it.",
                "happy": "That party will stay in your heart for a while.",
                "surprised": "Nobody told you that the party {when} would be like that?",
            },
        ),
    ),
    questions=(
        ("what can I bring to a party?", "A salad or some fruit is always welcome at a party."),
        ("how do I start to talk to people?", "Ask people how they know the host. Then just listen."),
        ("which music is good for dancing?", "Music that everybody knows is good for dancing."),
    ),
)

BABIES = Topic(
    name="babies",
    scenes=(
        Scene(
            texts=(
                "my {who} is going to have a baby {when}.",
                "{when} my {who} is having a baby.",
                "my {who} told us that a baby is coming {when}.",
            ),
            fields={
                "who": split(
                    "sister, aunt, mother, cousin, neighbor, best friend, daughter, granddaughter, teacher, niece"
                ),
                "when": LATER,
            },
            about="my {who}'s baby",
            replies={
                "neutral": "I wish your {who} and the baby good health.",
                "happy": "A baby. You will be a big help to your {who}.",
                "sad": "A baby changes a lot. Your {who} will still have room for you.",
                "angry": "You may need some time to get used to your {who}'s baby.",
                "fearful": "Good doctors will look after your {who} and the baby.",
                "surprised": "A baby {when}? Did your {who} keep it a secret?",
            },
        ),
        Scene(
            texts=(
                "the baby {does} {often}.",
                "our baby {does} {often}.",
                "{often} the baby {does}.",
            ),
            fields={
                "does": split("laughs, cries, wakes up, sleeps on my arm, holds my finger, makes funny noises"),
                "often": split(
                    "every night, every morning, at three in the morning, all the time, when I sing, "
                    "when the phone rings"
                ),
            },
            about="our baby",
            replies={
                "neutral": "Every baby has its own little habits.",
                "happy": "Those are the moments with a baby that you will keep.",
                "sad": "A baby changes the mood of a whole home. You are allowed to feel sad.",
                "angry": "Leave the room for a minute, and let somebody else look after the baby.",
                "fearful": "It is normal for a baby. If you are not sure, call the doctor.",
                "surprised": "A baby can do so much already, can it not?",
            },
        ),
        Scene(
            texts=(
                "they named the baby {name}.",
                "my {who} named the baby {name}.",
                "my {who}'s baby is called {name}.",
                "the new baby has a name, and it is {name}.",
            ),
            fields={
                "name": NAMES,
                "who": split("sister, brother, aunt, uncle, cousin, daughter, son, granddaughter"),
            },
            about="the name of the baby",
            replies={
                "neutral": "{name} is a name that is easy to remember.",
                "happy": "Welcome to the world, little {name}.",
                "sad": "Does the name {name} remind you of someone you miss?",
                "angry": "You had another name in mind. You may get used to {name}.",
                "fearful": "Little {name} will grow up with many people around.",
                "surprised": "{name}? Was there not another name on the list?",
            },
        ),
        Scene(
            texts=(
                "the baby has had a fever since {when}.",
                "my {who}'s baby is very sick.",
                "my {who}'s baby was born much too early.",
            ),
            fields={
                "who": split("sister, cousin, aunt, neighbor, daughter, best friend"),
                "when": split("yesterday, last night, this morning, Monday, Friday"),
            },
            ages=("young", "adult", "elderly"),
            about="the baby",
            replies={
                "sad": "A baby is so small and so loved. I feel with all of you.",
                "angry": "It is not fair when this happens to a baby.",
                "fearful": "Let a doctor see to it, and stay close to the baby and the family.",
            },
        ),
        Scene(
            texts=(
                "the baby {first} {when}.",
                "{when} our baby {first}.",
                "my {who}'s baby {first} {when}.",
            ),
            fields={
                "first": split("took the first steps, said the first word, slept all night, smiled at me, waved at me"),
                "who": split("sister, brother, aunt, cousin, daughter, son"),
                "when": PAST,
            },
            about="the baby",
            replies={
                "neutral": "The baby is growing fast.",
                "happy": "What a big day for the baby and for all of you.",
                "surprised": "The baby {first}? So soon?",
            },
        ),
    ),
    questions=(
        ("what does a new baby need most?", "A new baby needs warmth, milk and calm people."),
        ("how can I help the parents?", "Cook for the parents, or let them sleep for an hour."),
        ("which song helps a baby sleep?", "A slow and quiet song that you like will help a baby sleep."),
    ),
)

TOPICS = (BIRTHDAYS, WEDDINGS, PARTIES, BABIES)
