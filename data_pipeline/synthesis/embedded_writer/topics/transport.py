"""Cars, trains, travel, bicycles."""

from data_pipeline.synthesis.embedded_writer.scene import Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics.fields import (
    CITIES,
    FAMILY,
    LATER,
    PAST,
    SOON,
    split,
)

CARS = Topic(
    name="cars",
    scenes=(
        Scene(
            texts=(
                "my {who} sold our {color} car {when}.",
                "my {who} bought a {color} car {when}.",
                "{when} my {who} came home with a {color} car.",
            ),
            fields={"who": FAMILY, "color": split("red, blue, green, black, silver, yellow"), "when": PAST[:5]},
            about="the {color} car",
            replies={
                "neutral": "A {color} car is easy to find in the parking lot.",
                "happy": "Your {who} made a good deal with the {color} car.",
                "sad": "A car can mean a big change. Talk to your {who} about it.",
                "angry": "You should have a say when it comes to the {color} car.",
                "fearful": "Talk to your {who} about the money and the {color} car.",
                "surprised": "A {color} car? Your {who} keeps secrets well.",
            },
        ),
        Scene(
            texts=(
                "my {who} is driving the whole way to {city} {when}.",
                "{when} my {who} is driving me to {city}.",
                "my {who} wants to drive to {city} {when}, all through the night.",
            ),
            fields={"who": FAMILY, "city": split("Boston, Chicago, Denver, Toronto, the sea"), "when": SOON[:5]},
            about="the drive to {city}",
            replies={
                "neutral": "Pack some food for the way to {city}.",
                "happy": "A drive with your {who} is a small adventure.",
                "sad": "A long drive gives you time to talk to your {who}.",
                "angry": "Tell your {who} that you want to plan such a drive together.",
                "fearful": "Ask your {who} to take breaks on the way to {city}.",
                "surprised": "To {city}? Your {who} must love to drive.",
            },
        ),
        Scene(
            texts=(
                "there has been a {thing} on our car since {since}.",
                "somebody left a {thing} on our car {when}.",
                "{when} I found a {thing} on our car.",
            ),
            fields={
                "thing": split("note, flower, red glove, love letter, ticket, huge box, scarf"),
                "since": split("this morning, yesterday, Monday"),
                "when": PAST,
            },
            about="the {thing} on our car",
            replies={
                "neutral": "Do you know who left the {thing} on your car?",
                "happy": "A {thing} on the car is a nice way to start the day.",
                "sad": "Do you think that the {thing} was meant for someone else?",
                "angry": "Nobody should leave a {thing} on your car without asking.",
                "fearful": "A {thing} is no danger. Look at it together with somebody.",
                "surprised": "A {thing}? On your own car?",
            },
        ),
        Scene(
            texts=(
                "somebody {deed} our car {when}.",
                "{when} somebody {deed} our car.",
                "a truck {deed} our car {when}.",
                "somebody {deed} my new car in front of the {place}.",
            ),
            fields={
                "deed": split("scratched, hit, damaged"),
                "when": PAST,
                "place": split("church, school, bank, bakery, library, hotel, house"),
            },
            about="the damage to our car",
            replies={
                "sad": "You were fond of that car, and now this.",
                "angry": "They should pay for the car. Write everything down.",
                "fearful": "A car can be repaired. What counts is that you are all right.",
            },
        ),
        Scene(
            texts=(
                "my {who} gave me a car {when}.",
                "our old car started again {when}.",
                "I won a {color} car {where}.",
                "I drove the {color} car alone for the first time {when}.",
            ),
            fields={
                "who": FAMILY,
                "when": PAST,
                "color": split("red, blue, green, black, white"),
                "where": split("on the radio, at the fair, in the lottery"),
            },
            ages=("young", "adult", "elderly"),
            about="the car",
            replies={
                "neutral": "I wish you many safe miles with the car.",
                "happy": "Enjoy the car and the open road.",
                "surprised": "A car? You really did not count on that.",
            },
        ),
    ),
    questions=(
        ("how often does a car need service?", "Most cars need service once a year."),
        ("what do I do with a flat tire?", "With a flat tire, stop in a safe place and call for help."),
        ("how do I stay awake on a long drive?", "On a long drive, stop every two hours and walk a little."),
    ),
)

TRAINS = Topic(
    name="buses and trains",
    scenes=(
        Scene(
            texts=(
                "I am taking the {vehicle} to {city} {when}.",
                "{when} I am taking the {vehicle} to {city}.",
                "I have a ticket for the {vehicle} to {city} {when}.",
            ),
            fields={
                "vehicle": split("night train, early bus, fast train, last bus"),
                "city": CITIES[2:8],
                "when": SOON[:6],
            },
            about="the {vehicle} to {city}",
            replies={
                "neutral": "Be at the stop a little early for the {vehicle}.",
                "happy": "Enjoy the view from the {vehicle} to {city}.",
                "sad": "It is hard to leave. In {city} somebody may be waiting for you.",
                "angry": "Did someone make you take the {vehicle} to {city}?",
                "fearful": "The driver of the {vehicle} knows the way to {city}. You can ask for help.",
                "surprised": "{city}? So it was a quick decision.",
            },
        ),
        Scene(
            texts=(
                "a {person} sat next to me on the {vehicle} {when}.",
                "{when} a {person} talked to me on the {vehicle}.",
                "I met a {person} on the {vehicle} {when}.",
            ),
            fields={
                "person": split("sailor, clown, police officer, singer, little boy, tall woman, very old man"),
                "vehicle": split("bus, train, ferry"),
                "when": PAST,
            },
            about="the {person} on the {vehicle}",
            replies={
                "neutral": "What did you talk about with the {person}?",
                "happy": "Meeting a {person} made your trip on the {vehicle} special.",
                "sad": "Did the {person} tell you a sad story on the {vehicle}?",
                "angry": "You can change seats on the {vehicle} when somebody like that {person} bothers you.",
                "fearful": "The {person} is gone now. Next time sit near the driver of the {vehicle}.",
                "surprised": "A {person} on the {vehicle}? That is not an everyday trip.",
            },
        ),
        Scene(
            texts=(
                "the {vehicle} stopped in the middle of {place}.",
                "my {vehicle} stood still in {place} for an hour.",
                "{when} the {vehicle} stopped in {place}, and we all had to get out.",
            ),
            fields={
                "vehicle": split("bus, train, tram"),
                "place": split("the woods, the tunnel, the night, the snow, the city"),
                "when": PAST[:5],
            },
            about="the {vehicle} in {place}",
            replies={
                "neutral": "How did you get home after the {vehicle} stopped?",
                "happy": "You made the best of the stop in {place}.",
                "sad": "Did the {vehicle} make you miss something important?",
                "angry": "They should tell people why a {vehicle} stops.",
                "fearful": "You are out of the {vehicle} now, and nothing happened.",
                "surprised": "In the middle of {place}? Did anybody know why?",
            },
        ),
        Scene(
            texts=(
                "I missed the last {vehicle} to {city} {when}.",
                "I left my {thing} on the {vehicle}.",
                "somebody stole my {thing} on the {vehicle} {when}.",
                "the {vehicle} drove right past me {when}.",
                "my {who} missed the {vehicle} and is all alone at the station.",
            ),
            fields={
                "vehicle": split("bus, train, tram"),
                "city": CITIES[2:8],
                "thing": split("bag, coat, phone, umbrella"),
                "when": PAST[:5],
                "who": FAMILY,
            },
            about="the {vehicle}",
            replies={
                "sad": "That {vehicle} took a piece of your day with it.",
                "angry": "Complain to the people who run the {vehicle}.",
                "fearful": "Call the station. They know what to do about the {vehicle}.",
            },
        ),
        Scene(
            texts=(
                "the {vehicle} to {city} was free {when}.",
                "I got the best seat on the {vehicle} to {city}.",
                "the driver of the {vehicle} waited for me {when}.",
                "the whole {vehicle} sang on the way to {city}.",
            ),
            fields={"vehicle": split("bus, train, night bus, night train"), "city": CITIES, "when": PAST},
            about="the {vehicle}",
            replies={
                "neutral": "Then it was a good day to take the {vehicle}.",
                "happy": "A ride like that on the {vehicle} makes you smile.",
                "surprised": "On the {vehicle}? I have never heard of that.",
            },
        ),
    ),
    questions=(
        ("where can I buy a ticket?", "You can buy a ticket at the machine or from the driver."),
        ("what can I do on a long ride?", "On a long ride, read, knit or look out of the window."),
        ("is the train better than the bus?", "The train is mostly faster, but the bus costs less."),
    ),
)

TRAVEL = Topic(
    name="travel",
    scenes=(
        Scene(
            texts=(
                "I am flying to {city} {when}.",
                "{when} I am flying to {city} with my {who}.",
                "we are flying to {city} {when} for {time}.",
            ),
            fields={
                "city": CITIES,
                "who": FAMILY,
                "when": LATER,
                "time": split("a week, ten days, a month"),
            },
            about="the flight to {city}",
            replies={
                "neutral": "What will you see first in {city}?",
                "happy": "{city} is waiting for you. Have a great time.",
                "sad": "Saying goodbye before {city} is not easy.",
                "angry": "You did not choose {city}, did you? You can still make it your trip.",
                "fearful": "Flying is very safe. Think of the first thing you will do in {city}.",
                "surprised": "{city}? I thought that you would stay at home.",
            },
        ),
        Scene(
            texts=(
                "my {who} is on a trip to {city}.",
                "my {who} left for {city} {when}.",
                "{when} my {who} set off for {city}.",
                "my {who} came back from {city} {when}.",
            ),
            fields={"who": (*FAMILY, "cousin", "best friend"), "city": CITIES[:7], "when": PAST[:4]},
            about="my {who} and {city}",
            replies={
                "neutral": "Your {who} will have many stories about {city}.",
                "happy": "A trip to {city} must be great for your {who}.",
                "sad": "The distance to {city} is long, and you think of your {who}.",
                "angry": "You would have liked to hear about {city} before. Tell your {who}.",
                "fearful": "Your {who} knows how to travel. Ask for a call from {city}.",
                "surprised": "{city}? And your {who} did not say a word?",
            },
        ),
        Scene(
            texts=(
                "our hotel in {city} is {feature}.",
                "they gave us a room in {city} that is {feature}.",
                "we are staying at a hotel in {city}, and it is {feature}.",
            ),
            fields={
                "city": CITIES,
                "feature": split(
                    "right by the water, next to a park, above a bar, next to the station, in an old castle, "
                    "a hundred years old, full of old pictures"
                ),
            },
            about="the hotel in {city}",
            replies={
                "neutral": "A hotel in {city} that is {feature} has its own style.",
                "happy": "A hotel that is {feature} sounds like fun.",
                "sad": "You would feel better at home than in {city}.",
                "angry": "You can ask the hotel for another room.",
                "fearful": "Lock the door of your hotel room, and you are safe.",
                "surprised": "So the hotel is {feature}? Was that in the ad?",
            },
        ),
        Scene(
            texts=(
                "my bag did not arrive in {city}.",
                "they lost my bag on the way to {city}.",
                "our flight to {city} was canceled {when}.",
                "I lost my passport in {city} {when}.",
                "we had to sleep on the floor of the airport in {city}.",
                "our trip to {city} fell through {when}.",
            ),
            fields={"city": CITIES, "when": PAST},
            about="the trip to {city}",
            replies={
                "sad": "You had looked forward to {city} for so long.",
                "angry": "Somebody should have helped you on the trip to {city}. Ask for your money back.",
                "fearful": "In {city} there are people whose job it is to help you. Ask at a desk.",
            },
        ),
        Scene(
            texts=(
                "I won a trip to {city} {when}.",
                "my {who} gave me a trip to {city}.",
                "I will see {city} for the first time {later}.",
                "they gave us a better room in {city} {when}.",
            ),
            fields={"city": CITIES, "when": PAST, "who": FAMILY, "later": LATER},
            about="the trip to {city}",
            replies={
                "neutral": "You will come home from {city} with many photos.",
                "happy": "{city} will be lovely. You have earned it.",
                "surprised": "{city}, out of the blue?",
            },
        ),
    ),
    questions=(
        ("what should I pack?", "Pack less than you think, and one warm sweater."),
        ("how do I make friends on a trip?", "On a trip, smile and ask people about their town."),
        ("should I take a lot of photos?", "Take a few photos, and look with your own eyes too."),
    ),
)

BICYCLES = Topic(
    name="bicycles",
    scenes=(
        Scene(
            texts=(
                "my {who} is riding a {color} bicycle to {place} now.",
                "my {who} rides a {color} bicycle to {place} every day.",
                "{when} my {who} rode a {color} bicycle to {place}.",
            ),
            fields={
                "who": FAMILY,
                "color": split("red, blue, green, yellow"),
                "place": split("church, the market, the lake, the next town"),
                "when": PAST[:3],
            },
            about="my {who}'s bicycle",
            replies={
                "neutral": "A bicycle keeps your {who} fit.",
                "happy": "I can see your {who} in my mind on that {color} bicycle.",
                "sad": "You would like to ride along with your {who} on a bicycle.",
                "angry": "Your {who} and the bicycle are getting on your nerves, it seems.",
                "fearful": "A helmet and good lights on the bicycle will protect your {who}.",
                "surprised": "Your {who}, on a {color} bicycle?",
            },
        ),
        Scene(
            texts=(
                "they are building a bicycle path {where}.",
                "there will be a bicycle race {where} {when}.",
                "{when} hundreds of people will ride a bicycle {where}.",
            ),
            fields={
                "where": split("on our street, along the river, through the park, past our house, around the lake"),
                "when": SOON,
            },
            about="the bicycle plans",
            replies={
                "neutral": "A lot of people will ride a bicycle {where} then.",
                "happy": "You can ride your own bicycle {where} too.",
                "sad": "You liked the quiet there, without a bicycle in sight.",
                "angry": "You may tell the town hall what you think of the bicycle plans.",
                "fearful": "Every bicycle has a bell, and people will take care {where}.",
                "surprised": "Nobody had told you about a bicycle event {where}?",
            },
        ),
        Scene(
            texts=(
                "I found an old bicycle {where} {when}.",
                "somebody put an old bicycle {where} {when}.",
                "there is an old bicycle {where}, and nobody knows whose it is.",
            ),
            fields={
                "where": split("in our yard, in the river, in the basement, behind the school, in front of our door"),
                "when": PAST,
            },
            about="the old bicycle {where}",
            replies={
                "neutral": "Perhaps the bicycle just needs air and oil.",
                "happy": "That bicycle could be your next project.",
                "sad": "An old bicycle {where} looks a bit lonely.",
                "angry": "An old bicycle does not belong {where}.",
                "fearful": "It is just an old bicycle. You can ask the police whose it is.",
                "surprised": "A bicycle {where}? How did it get there?",
            },
        ),
        Scene(
            texts=(
                "somebody stole my {color} bicycle {when}.",
                "I fell off my {color} bicycle {when}.",
                "a car almost hit me on my {color} bicycle {when}.",
                "my {color} bicycle has a flat tire again.",
                "the brakes of my {color} bicycle do not work.",
            ),
            fields={"color": split("red, blue, green, yellow, old, new"), "when": PAST},
            about="my {color} bicycle",
            replies={
                "sad": "You and your {color} bicycle went through so much.",
                "angry": "Anybody would be mad. You need your {color} bicycle.",
                "fearful": "Leave your {color} bicycle alone for today, and sit down for a minute.",
            },
        ),
        Scene(
            texts=(
                "my {who} gave me a {color} bicycle {when}.",
                "I rode my {color} bicycle without help for the first time {when}.",
                "I won the race on my {color} bicycle {when}.",
                "the police found my {color} bicycle {when}.",
            ),
            fields={"who": FAMILY, "color": split("red, blue, green, yellow, old, new"), "when": PAST},
            about="my {color} bicycle",
            replies={
                "neutral": "Take good care of your {color} bicycle.",
                "happy": "You and your {color} bicycle are a great team.",
                "surprised": "Your {color} bicycle? That is quite a story.",
            },
        ),
    ),
    questions=(
        ("do I need a helmet?", "Yes, wear a helmet on every ride, even a short one."),
        ("how do I fix a flat tire?", "Take the tire off, find the hole and put a patch on it."),
        ("where is it safe to ride?", "It is safe to ride on quiet roads and in parks."),
    ),
)

TOPICS = (CARS, TRAINS, TRAVEL, BICYCLES)
