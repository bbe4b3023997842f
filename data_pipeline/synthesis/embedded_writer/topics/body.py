"""Health, the dentist, sleep, hair."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CLOCK,
    FAMILY,
    OFTEN,
    PAST,
    SOON,
    split,
)

HEALTH = Topic(
    name="health",
    scenes=(
        Scene(
            texts=(
                "the doctor called me {when} about my {part}.",
                "{when} the doctor looked at my {part}.",
                "I was at the doctor {when} because of my {part}.",
            ),
            fields={"part": split("knee, heart, back, ear, arm, left foot, right hand, stomach"), "when": PAST},
            about="my {part}",
            replies={
                "neutral": "What did the doctor say about your {part}?",
                "happy": "It sounds as if your {part} is getting better.",
                "sad": "It is hard to have trouble with your {part}. Be gentle with yourself.",
                "angry": "You want a clear answer about your {part}. Ask the doctor again.",
                "fearful": "Ask the doctor every question you have about your {part}.",
                "surprised": "You did not expect this about your {part}, did you?",
            },
        ),
        Scene(
            texts=(
                "they took my {who} to the hospital {past}.",
                "my {who} has been in the hospital since {when}.",
            ),
            fields={
                "who": (*FAMILY, "neighbor", "best friend"),
                "when": split("Monday, Friday, last night, last week"),
                "past": PAST,
            },
            about="my {who} in the hospital",
            replies={
                "sad": "It is hard to see your {who} in the hospital. A visit will do good.",
                "angry": "You want the hospital to do more for your {who}. Ask for the doctor.",
                "fearful": "In the hospital there is always somebody near your {who}.",
            },
        ),
        Scene(
            texts=(
                "my {who} is coming home from the hospital {when}.",
                "{when} my {who} may leave the hospital.",
                "the doctor says that my {who} can go home {when}.",
            ),
            fields={"who": FAMILY, "when": SOON[:5]},
            about="my {who} coming home from the hospital",
            replies={
                "neutral": "Make a quiet and warm place at home for your {who}.",
                "happy": "Home is the best medicine. Your {who} will be glad.",
                "sad": "Your {who} may still be weak. You can be sad and hopeful at once.",
                "angry": "If home is too early for your {who}, tell the doctor so.",
                "fearful": "You will not have to care for your {who} all alone. A nurse can come to your home.",
                "surprised": "Home so soon? Your {who} must be strong.",
            },
        ),
        Scene(
            texts=(
                "I have to take {medicine} {often} from now on.",
                "the doctor wants me to take {medicine} {often}.",
                "from now on it is {medicine} for me {often}.",
            ),
            fields={
                "medicine": split("pills, cough syrup, eye drops, vitamins, heart medicine"),
                "often": split("every day, every morning, every evening, twice a day, with my breakfast"),
            },
            about="the {medicine}",
            replies={
                "neutral": "Put the {medicine} next to your cup, so that you do not forget.",
                "happy": "If the {medicine} can help, that is a good start.",
                "sad": "It is not easy to need {medicine}. It means that you care for yourself.",
                "angry": "You did not choose this, and you may complain about the {medicine}.",
                "fearful": "Ask the doctor about the {medicine}. Then it will be less scary.",
                "surprised": "So the {medicine} came out of nowhere?",
            },
        ),
        Scene(
            texts=(
                "the doctor says that my {part} is fine again.",
                "my {part} has not hurt since {when}.",
                "I can use my {part} again without any pain.",
                "they took the bandage off my {part} {past}.",
            ),
            fields={
                "part": split("knee, back, ear, arm, left foot, right hand, shoulder, neck"),
                "when": split("Monday, Friday, last night, last week"),
                "past": PAST,
            },
            about="my {part}",
            replies={
                "neutral": "Go easy on your {part} for a few more days.",
                "happy": "A {part} without pain is a gift.",
                "surprised": "Your {part} healed so fast?",
            },
        ),
        Scene(
            texts=(
                "my {part} hurts so much that I cannot sleep.",
                "I fell and hurt my {part} {past}.",
                "I have had a pain in my {part} since {when}.",
            ),
            fields={
                "part": split("knee, back, ear, arm, left foot, right hand, shoulder, neck"),
                "when": split("Monday, Friday, last night, last week"),
                "past": PAST[:4],
            },
            about="my {part}",
            replies={
                "sad": "Pain makes everything heavy. Please let a doctor look at your {part}.",
                "angry": "A hurting {part} spoils the whole day. A doctor should see it.",
                "fearful": "A doctor can look at your {part}. Sit down and call now.",
            },
        ),
        Scene(
            texts=(
                "I cannot manage {task} alone anymore.",
                "I need some help with {task} these days.",
                "since {when} somebody has helped me with {task}.",
                "my {who} helps me with {task} now.",
            ),
            fields={
                "task": split(
                    "the stairs, the shopping bags, the garden work, the small print, my shoes, the heavy door"
                ),
                "when": split("the winter, last month, my fall, the spring"),
                "who": split("son, daughter, grandson, granddaughter, neighbor, niece, nephew"),
            },
            ages=("elderly",),
            about="the help with {task}",
            replies={
                "neutral": "It is wise to accept help with {task}.",
                "happy": "With help for {task} there is more time for what you love.",
                "sad": "You did so much on your own. Help with {task} does not make you less.",
                "angry": "You want to be free. You decide how much help with {task} you accept.",
                "fearful": "You do not have to fear {task} when somebody is near.",
                "surprised": "It came so suddenly with {task}, did it not?",
            },
        ),
    ),
    questions=(
        ("how much should people walk?", "People should walk at least half an hour a day."),
        ("what helps against a cold?", "Warm tea, rest and fresh air help against a cold."),
        ("when should I call the doctor?", "Call the doctor when the pain grows or you feel unsure."),
    ),
)

DENTIST = Topic(
    name="the dentist",
    scenes=(
        Scene(
            texts=(
                "I have to go to the dentist {when}.",
                "my dentist wants to see me {when} {clock}.",
                "{when} {clock} I have to be at the dentist.",
            ),
            fields={"when": SOON[:5], "clock": CLOCK},
            about="the dentist",
            replies={
                "neutral": "I hope that it does not take long at the dentist.",
                "happy": "Not many people are so happy about the dentist. Good for you.",
                "sad": "After the dentist you can do something nice for yourself.",
                "angry": "You have better plans than the dentist. It will be over soon.",
                "fearful": "Tell the dentist that you are afraid. A raised hand means stop.",
                "surprised": "You did not expect to see the dentist so soon?",
            },
        ),
        Scene(
            texts=(
                "my {who} has a loose tooth.",
                "my {who} lost a tooth {when}.",
                "{when} my {who} got a new tooth.",
                "my {who} will have a tooth pulled {soon}.",
            ),
            fields={
                "who": split(
                    "little sister, little brother, cousin, son, daughter, nephew, niece, grandson, granddaughter, "
                    "grandfather, grandmother, uncle"
                ),
                "when": PAST[:4],
                "soon": SOON[:3],
            },
            about="my {who}'s tooth",
            replies={
                "neutral": "A tooth is a small thing with a big effect. How is your {who}?",
                "happy": "A tooth is a funny reason to be happy, and a good one.",
                "sad": "You feel with your {who}. A tooth heals quickly.",
                "angry": "Your {who} should brush each tooth twice a day. Stay patient.",
                "fearful": "A tooth is nothing to fear. Your {who} will be fine.",
                "surprised": "A tooth? Your {who} is always good for a surprise.",
            },
        ),
        Scene(
            texts=(
                "the dentist told me {when} {what}.",
                "{when} the dentist told me {what}.",
                "at the dentist they told me {what}.",
            ),
            fields={
                "what": split(
                    "to eat less sugar, to come back next week, to wear braces, to brush longer, to stop eating candy"
                ),
                "when": PAST,
            },
            about="the advice of the dentist",
            replies={
                "neutral": "The dentist wants you to keep your teeth for long.",
                "happy": "You and your dentist seem to get along well.",
                "sad": "That was not what you hoped for from the dentist.",
                "angry": "The dentist could say it more kindly. Your teeth will thank you.",
                "fearful": "The dentist will explain each step. You can ask anything.",
                "surprised": "You thought that the dentist would just let you go?",
            },
        ),
        Scene(
            texts=(
                "I broke a tooth on {food} {when}.",
                "my tooth hurts whenever I eat {food}.",
                "a tooth fell out while I was eating {food}.",
            ),
            fields={"food": split("a nut, an apple, hard bread, ice cream, a cookie, cold plums"), "when": PAST[:4]},
            about="my tooth",
            replies={
                "sad": "You just wanted to enjoy {food}. The dentist can help you soon.",
                "angry": "It only took {food}. The dentist can repair it.",
                "fearful": "Call the dentist today. Do not eat {food} until then.",
            },
        ),
        Scene(
            texts=(
                "my dentist found nothing wrong {when}.",
                "the dentist gave me {gift} {when}.",
                "it did not hurt at the dentist {when}.",
                "{when} I fell asleep in the chair of the dentist.",
            ),
            fields={
                "gift": split("a sticker, a new toothbrush, a small toy, a funny card"),
                "when": (*PAST, "today", "on Friday", "this time"),
            },
            about="the dentist",
            replies={
                "neutral": "Then you can forget the dentist for half a year.",
                "happy": "Show your dentist that beautiful smile.",
                "surprised": "At the dentist? Most people tell other stories.",
            },
        ),
    ),
    questions=(
        ("how often should I brush?", "Brush twice a day, for as long as one short song."),
        ("can I eat after the dentist?", "Wait until your mouth feels normal, and then eat something soft."),
        ("what is good for the teeth?", "Cheese, water and less sugar are good for the teeth."),
    ),
)

SLEEP = Topic(
    name="sleep",
    scenes=(
        Scene(
            texts=(
                "I dreamed about {dream} {when}.",
                "{when} I had a dream about {dream}.",
                "there was {dream} in my dream {when}.",
            ),
            fields={
                "dream": split(
                    "a big white horse, a house by the sea, my old school, a talking cat, an empty train, "
                    "my grandmother, an elevator without doors, a long snow storm"
                ),
                "when": split("last night, this morning, on Monday, again and again"),
            },
            about="the dream about {dream}",
            replies={
                "neutral": "Dreams about {dream} can mean many things.",
                "happy": "A dream about {dream} must be a nice way to wake up.",
                "sad": "Perhaps you miss something. A dream about {dream} can be so real.",
                "angry": "A dream about {dream} can leave you in a bad mood. It will pass.",
                "fearful": "It was only a dream about {dream}. You are awake and safe now.",
                "surprised": "{dream}? Our sleeping mind has strange ideas.",
            },
        ),
        Scene(
            texts=(
                "I slept until {hour} {when}.",
                "{when} I did not wake up until {hour}.",
                "my {who} slept until {hour} {when}.",
            ),
            fields={
                "hour": split("ten, eleven, noon, one o'clock, three in the afternoon"),
                "when": split("today, yesterday, on Sunday, on Saturday, on my birthday"),
                "who": FAMILY,
            },
            about="sleeping until {hour}",
            replies={
                "neutral": "Sleeping until {hour} means that the rest was needed.",
                "happy": "Sleeping until {hour} sounds like a perfect day.",
                "sad": "When we are sad, getting up is hard. Sleeping until {hour} is no shame.",
                "angry": "Half the day was gone at {hour}. Set two clocks next time.",
                "fearful": "Sleeping until {hour} is not dangerous. The body took what it needed.",
                "surprised": "Until {hour}? Nobody heard the alarm?",
            },
        ),
        Scene(
            texts=(
                "my {who} walks around at night.",
                "my {who} talks while sleeping.",
                "{often} my {who} falls asleep in front of the television.",
                "my {who} falls asleep on the sofa {often}.",
                "my {who} snores {often}.",
            ),
            fields={"who": (*FAMILY, "cousin"), "often": (*OFTEN[:1], *OFTEN[2:4], "every night")},
            about="my {who} at night",
            replies={
                "neutral": "Many people sleep like your {who}.",
                "happy": "Your {who} gives you something to smile about.",
                "sad": "Maybe your {who} is very tired. A soft blanket can help.",
                "angry": "You need your sleep. Tell your {who} how it is for you.",
                "fearful": "Your {who} is not in danger. Many people are like that.",
                "surprised": "Does your {who} know about it?",
            },
        ),
        Scene(
            texts=(
                "I could not sleep {when} because of {reason}.",
                "{when} {reason} kept me awake.",
                "I woke up at two {when} because of {reason}.",
            ),
            fields={
                "reason": split("the storm, the noise, my thoughts, a bad dream, the heat, my back"),
                "when": split("last night, on Monday, on Sunday, yesterday"),
            },
            about="{reason}",
            replies={
                "sad": "A night without sleep makes {reason} feel even heavier.",
                "angry": "{reason} should not rob you of your sleep. You have a right to rest.",
                "fearful": "When {reason} wakes you again, breathe in and out slowly.",
            },
        ),
        Scene(
            texts=(
                "I slept so well {where} {when}.",
                "{when} I slept like a stone {where}.",
                "I slept ten hours {where} {when}.",
            ),
            fields={
                "where": split("in the new bed, in the tent, at my aunt's house, on the sofa, in the hotel"),
                "when": split("last night, on Sunday, on Friday, yesterday"),
            },
            about="the good sleep {where}",
            replies={
                "neutral": "A good sleep {where} gives strength for the day.",
                "happy": "You slept well, and I can tell. Enjoy the day.",
                "surprised": "You slept so well {where}, of all places?",
            },
        ),
        Scene(
            texts=(
                "I heard {noise} {where} {when}.",
                "{when} I heard {noise} {where}.",
                "there was {noise} {where} {when}, and I woke up.",
            ),
            fields={
                "noise": split("a strange noise, a soft knocking, a quiet voice, a scratching, a deep hum"),
                "where": split("under my bed, in my closet, behind the curtain, outside my window"),
                "when": split("last night, on Sunday night, after midnight, in the dark"),
            },
            ages=("child", "young"),
            about="{the_noise} {where}",
            replies={
                "neutral": "Maybe {the_noise} was only the wind.",
                "happy": "You turned {the_noise} into a little adventure.",
                "sad": "You wished that somebody were with you when you heard {the_noise}.",
                "angry": "Nobody likes to be woken up by {noise}. I understand.",
                "fearful": "Turn on a small light. {the_noise} {where} cannot hurt you.",
                "surprised": "{noise} {where}? What could it be?",
            },
        ),
    ),
    questions=(
        ("how can I fall asleep faster?", "Put the phone away, and you will fall asleep faster."),
        ("is a short nap good?", "A nap of twenty minutes is good for most people."),
        ("how much sleep do people need?", "Most people need seven to nine hours of sleep."),
    ),
)

HAIR = Topic(
    name="hair",
    scenes=(
        Scene(
            texts=(
                "my {who} cut my hair {when}.",
                "I let my {who} cut my hair {when}.",
                "{when} my {who} cut my hair in the kitchen.",
            ),
            fields={"who": (*FAMILY, "best friend"), "when": PAST},
            about="my hair",
            replies={
                "neutral": "How short is your hair now?",
                "happy": "Your {who} seems to have a hand for hair.",
                "sad": "Hair grows back, a little every day. It will be fine.",
                "angry": "Next time your {who} should ask how you want your hair.",
                "fearful": "Nobody looks at your hair as closely as you do.",
                "surprised": "Your {who} can cut hair? Who knew?",
            },
        ),
        Scene(
            texts=(
                "my {who} has {color} hair now.",
                "my {who} came home with {color} hair {when}.",
                "{when} my {who} dyed {their} hair {color}.",
            ),
            fields={
                "who": (
                    *split("sister, brother, mother, aunt, uncle, daughter, son, grandson, granddaughter"),
                    "grandmother",
                ),
                "color": split("blue, green, pink, red, purple, orange"),
                "when": PAST[:3],
            },
            about="my {who}'s {color} hair",
            replies={
                "neutral": "{color} is a bright color. Does it suit your {who}?",
                "happy": "{color} hair sounds fun. Your {who} has style.",
                "sad": "Under the {color} hair it is still your {who}.",
                "angry": "It is only {color} hair. Your {who} may choose it.",
                "fearful": "Other people may look at the {color} hair, and your {who} can take it.",
                "surprised": "{color}? I would have loved to see your face.",
            },
        ),
        Scene(
            texts=(
                "I am getting my hair cut {when} at the {place}.",
                "{when} I will have all my hair cut off at the {place}.",
                "I go to the {place} {when} to have my hair cut very short.",
            ),
            fields={
                "when": SOON,
                "place": split("new hair salon, old barber shop, salon on the corner, hair salon in town"),
            },
            about="my hair",
            replies={
                "neutral": "Bring a photo of the hair you would like.",
                "happy": "New hair is like a new start. Enjoy it.",
                "sad": "Letting go of your hair can feel like a goodbye.",
                "angry": "It is your hair, and nobody else should decide.",
                "fearful": "Tell them to cut your hair a little at a time.",
                "surprised": "You made up your mind about your hair just now?",
            },
        ),
        Scene(
            texts=(
                "my hair has looked terrible since {since}.",
                "they cut my hair much too short {when}.",
                "there has been gum in my hair since {since}.",
                "somebody pulled my hair {where} {when}.",
                "everybody laughed at my hair {where} {when}.",
            ),
            fields={
                "when": PAST,
                "since": split("yesterday, this morning, Monday, lunch"),
                "where": split("at school, on the bus, at the party, in the park"),
            },
            about="my hair",
            replies={
                "sad": "Your hair is only one part of you, and you are so much more.",
                "angry": "Nobody likes that. You may tell people to leave your hair alone.",
                "fearful": "Your hair will be fine. Ask someone kind to help you with it.",
            },
        ),
        Scene(
            texts=(
                "everybody likes my new {style} {where}.",
                "my {who} says that I look great with my {style}.",
                "a stranger told me {where} how beautiful my {style} is.",
            ),
            fields={
                "style": split("short hair, long hair, haircut, gray hair, curly hair"),
                "where": split("at school, at work, in the shop, on the bus, at the party"),
                "who": FAMILY,
            },
            about="my {style}",
            replies={
                "neutral": "Then the {style} suits you.",
                "happy": "Wear your {style} with pride.",
                "surprised": "You did not think that your {style} would be noticed?",
            },
        ),
    ),
    questions=(
        ("how do I care for my hair?", "Wash your hair with warm water, and let it dry in the air."),
        ("how fast does hair grow?", "Hair grows slowly, about half an inch in a month."),
        ("should I try another color?", "Try another color that washes out first. Then decide."),
    ),
)

TOPICS = (HEALTH, DENTIST, SLEEP, HAIR)
