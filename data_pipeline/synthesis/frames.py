"""The words of everyday sentences: frames with slots, and what fills each slot.

A slot may stand twice in a frame, and is then filled with two words. Articles become *an* where the word wants it,
numbers and times are spelled out, and every word is one that a general English dictionary knows.
"""

from collections.abc import Mapping


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


SLOTS: Mapping[str, tuple[str, ...]] = {
    "name": _split(
        "Anna, Ben, Carol, David, Emma, Frank, Grace, Henry, Irene, Jack, Karen, Leo, Maria, Nathan, Olivia, "
        "Paul, Ruth, Sam, Theo, Ursula, Victor, Wendy, Zoe, George, Judith, Joyce, Roy, Charles, Shirley, Thomas, "
        "Matthew, Beth, Hugh, Yvonne, Oscar, Philip, Rachel, Edgar, Ivy, Martin, Vivian, Walter, Doris, Keith, "
        "Gloria, Stuart, Trudy, Howard, Faith, Jonathan"
    ),
    "relative": _split(
        "brother, sister, mother, father, uncle, aunt, cousin, nephew, niece, grandfather, grandmother, daughter, "
        "son, husband, wife, boyfriend, godmother, roommate, stepfather, youngest child"
    ),
    "city": _split(
        "London, Paris, Boston, Chicago, Madrid, Berlin, Vienna, Dublin, Oslo, Athens, Cairo, Tokyo, Sydney, "
        "Toronto, Denver, Moscow, Zurich, Lisbon, Warsaw, Prague, Geneva, Houston, Bangkok, Detroit, "
        "Philadelphia, Vancouver"
    ),
    "country": _split(
        "France, Spain, Germany, Norway, Egypt, Japan, Canada, Mexico, Brazil, Poland, Greece, Ireland, Scotland, "
        "Peru, China, Sweden, Turkey, Portugal, Russia, Kenya, Chile, Vietnam"
    ),
    "day": _split("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "month": _split("January, February, March, April, May, June, July, August, September, October, November, December"),
    "ordinal": _split(
        "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth, eleventh, twelfth, "
        "thirteenth, fifteenth, eighteenth, nineteenth, twentieth, twenty first, twenty fifth, thirtieth"
    ),
    "season": _split("spring, summer, autumn, winter"),
    "clock": _split(
        "one o'clock, two o'clock, five o'clock, eight o'clock, eleven o'clock, half past three, half past seven, "
        "half past nine, a quarter past four, a quarter past ten, a quarter to six, a quarter to twelve, noon, "
        "midnight, ten minutes past two, twenty minutes to eight, seven fifteen, six thirty, nine forty five, "
        "three twenty"
    ),
    "when": _split(
        "this morning, last night, the day before yesterday, last week, two years ago, in the afternoon, before "
        "lunch, right after breakfast, a month ago, yesterday evening, just now, an hour ago, on my birthday, "
        "during the holidays"
    ),
    "soon": _split(
        "tomorrow morning, next week, this evening, in a few minutes, later today, after the weekend, before "
        "sunrise, by the end of the month, within the hour, one of these days, as soon as possible, the day after "
        "tomorrow"
    ),
    "often": _split(
        "every day, once a week, twice a month, almost never, all the time, now and then, every other weekend, "
        "most mornings, three times a year, whenever I can"
    ),
    "number": _split(
        "two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen, "
        "sixteen, seventeen, eighteen, nineteen, twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety, "
        "twenty two, thirty five, forty seven, fifty one, sixty eight, seventy four, eighty six, ninety nine"
    ),
    "large": _split(
        "a hundred, two hundred, three hundred and six, five hundred, eight hundred and twelve, one thousand, "
        "four thousand, seven thousand five hundred, twelve thousand, a quarter of a million, two million, half a "
        "million"
    ),
    "year": _split(
        "nineteen forty five, nineteen sixty nine, nineteen eighty four, nineteen ninety nine, two thousand and "
        "one, twenty twelve, twenty twenty, eighteen fifty three, seventeen seventy six, two thousand and eight"
    ),
    "money": _split(
        "five dollars, twelve pounds, forty cents, ninety nine dollars, three hundred dollars, eight thousand "
        "pounds, a dollar fifty, six euros, twenty five dollars, a small fortune"
    ),
    "color": _split(
        "red, blue, green, yellow, orange, purple, black, white, brown, pink, silver, golden, beige, gray, dark "
        "blue, pale green"
    ),
    "animal": _split(
        "horse, tiger, rabbit, mouse, elephant, monkey, goat, sheep, fox, owl, eagle, turtle, frog, whale, "
        "dolphin, shark, spider, butterfly, donkey, zebra, giraffe, chicken, goose, duck, pigeon, squirrel, "
        "hedgehog, wolf, bear"
    ),
    "food": _split(
        "bread, cheese, rice, butter, honey, chocolate, fish, mushrooms, potatoes, carrots, spinach, garlic, "
        "onions, beans, pancakes, noodles, sausages, oatmeal, yogurt, peanuts, cinnamon, vanilla ice cream, roast "
        "chicken, apple pie, tomato soup, scrambled eggs, cherry jam, oysters, ginger cookies, orange marmalade"
    ),
    "fruit": _split(
        "apples, oranges, cherries, peaches, grapes, bananas, strawberries, lemons, plums, pears, figs, "
        "blueberries, melons"
    ),
    "drink": _split(
        "tea, coffee, lemonade, orange juice, hot chocolate, cold water, milk, ginger ale, red wine, cider, iced "
        "tea, cocoa"
    ),
    "thing": _split(
        "umbrella, wallet, watch, camera, pillow, blanket, candle, mirror, lamp, basket, bottle, bucket, hammer, "
        "ladder, needle, notebook, envelope, pencil, brush, towel, kettle, spoon, fork, knife, vase, clock, "
        "radio, suitcase, toy, toothbrush, keyboard, wheelchair, telescope, jewel box, ring, puzzle, bathtub, "
        "drawer, bookshelf, vacuum cleaner"
    ),
    "clothing": _split(
        "shirt, jacket, coat, scarf, sweater, hat, skirt, raincoat, belt, dress, uniform, vest, necktie, "
        "bathrobe, glove"
    ),
    "place": _split(
        "the library, the airport, the museum, the bakery, the bridge, the harbor, the hospital, the post office, "
        "the zoo, the theater, the church, the market, the bank, the beach, the castle, the playground, the town "
        "hall, the lake, the bookshop, the village square, the swimming pool, the train station, the university, "
        "the pharmacy, the zoo gate"
    ),
    "room": _split(
        "kitchen, bathroom, bedroom, cellar, attic, garage, hallway, living room, balcony, office, nursery, dining room"
    ),
    "job": _split(
        "teacher, nurse, doctor, lawyer, farmer, carpenter, singer, pilot, judge, painter, baker, plumber, "
        "soldier, writer, engineer, butcher, librarian, journalist, gardener, chemist, sailor, waiter, jeweler, "
        "firefighter, translator"
    ),
    "instrument": _split("violin, piano, guitar, flute, trumpet, cello, drum, harp, clarinet, banjo, accordion"),
    "sport": _split(
        "tennis, football, chess, basketball, golf, hockey, volleyball, rugby, badminton, baseball, cricket, "
        "table tennis"
    ),
    "hobby": _split(
        "fishing, painting, dancing, knitting, sailing, climbing, reading, swimming, running, cooking, singing, "
        "skating, gardening, writing poems, riding horses, collecting stamps, watching birds, playing chess, "
        "taking pictures"
    ),
    "subject": _split(
        "history, chemistry, physics, music, geography, biology, law, economics, mathematics, philosophy, art, medicine"
    ),
    "language": _split(
        "English, French, Spanish, German, Russian, Chinese, Italian, Japanese, Polish, Arabic, Dutch, Swedish, Greek"
    ),
    "weather": _split(
        "rain, snow, thunder, fog, sunshine, wind, hail, frost, clouds, lightning, freezing rain, a heat wave"
    ),
    "vehicle": _split("bus, train, taxi, bicycle, boat, truck, plane, tram, ferry, motorcycle, wagon, van, submarine"),
    "plant": _split(
        "roses, tulips, daisies, oak trees, ivy, lavender, sunflowers, violets, pine trees, thistles, moss"
    ),
    "body": _split(
        "shoulder, knee, elbow, back, ankle, thumb, head, neck, stomach, left ear, right eye, wrist, tooth, "
        "throat, chest, mouth, jaw, big toe, finger"
    ),
    "sad": _split(
        "lonely, tired, worried, anxious, ashamed, confused, upset, hopeless, nervous, disappointed, guilty, "
        "overwhelmed, homesick, jealous, discouraged, hurt, angry, frightened, empty, useless"
    ),
    "glad": _split(
        "happy, proud, relieved, grateful, excited, hopeful, cheerful, calm, confident, joyful, amazed, thankful, "
        "strong"
    ),
    "kind": _split(
        "gentle, clever, stubborn, brave, quiet, honest, charming, generous, shy, lazy, polite, curious, funny, "
        "patient, cautious, noisy, rude, serious, thoughtful, ambitious"
    ),
    "quality": _split(
        "heavy, broken, cheap, precious, dusty, smooth, rough, huge, tiny, ancient, shiny, fragile, wooden, "
        "square, strange, beautiful, narrow, empty, useful, plain, thick, curved, sharp, soft, ugly"
    ),
    "manner": _split(
        "slowly, quietly, suddenly, carefully, gladly, loudly, politely, quickly, gently, badly, easily, "
        "together, again, by mistake, without a word, with pleasure, in a hurry, on purpose"
    ),
    "task": _split(
        "wash the dishes, feed the chickens, fix the fence, mow the lawn, answer the letter, pay the bill, clean "
        "the windows, water the flowers, pack the boxes, sharpen the knives, choose a present, change the light "
        "bulb, call the dentist, measure the carpet, finish the report, bake a birthday cake, walk the dog, iron "
        "the shirts, lock the garage, copy the documents, peel the potatoes, push the wheelbarrow, catch the "
        "early bus, join the choir, buy fresh bread"
    ),
    "deed": _split(
        "opened the window, closed the gate, broke a glass, found a coin, lost the keys, told a joke, made a "
        "wish, sang a song, heard a noise, saw a ghost, wrote a letter, bought a house, sold the farm, caught a "
        "fish, built a bridge, chose the wrong road, taught a class, fought for justice, brought a gift, drew a "
        "picture, threw the ball, forgot the password, missed the bus, joined the army, enjoyed the view, watched "
        "the moon, shook hands with the judge, pushed the button, planted a bush, spoiled the surprise"
    ),
    "news": _split(
        "I lost my keys, my train was late, the baby is asleep, we won the game, my visa was refused, I found a "
        "new job, the roof is leaking, my flight was cancelled, I passed the test, nobody called me, the doctor "
        "was very kind, my tooth hurts, the children are sick, I got a letter, they closed the school, my boss "
        "yelled at me, the power went out, our team lost, she said yes, I burned the dinner, the dog is missing, "
        "I have no money left"
    ),
    "comfort": _split(
        "take all the time you need, you did your very best, I am listening, nobody blames you for this, you can "
        "tell me more, it will get easier, we can look for a way together, your feelings matter, you are not "
        "alone with it, you have come such a long way, it is fine to cry, there is no need to hurry, let us "
        "breathe for a moment, you deserve some rest, I would feel the same, one small step is enough"
    ),
    "advice": _split(
        "drink a glass of water, go for a short walk, talk to someone you trust, write it all down, get some "
        "sleep, call a good friend, take a deep breath, listen to some music, ask for help, leave it until "
        "tomorrow, make a cup of tea, open the window for a while, tell them the truth, choose what feels right"
    ),
    "agree": _split(
        "That is right, I think so too, Of course, Absolutely, You are joking, What a pleasure, Never mind, Oh "
        "boy, No problem at all, With pleasure, Good question, I doubt it, Thank goodness, Enjoy yourself, As "
        "usual, Wonderful"
    ),
}

FRAMES: tuple[str, ...] = (
    # who people are and where they live
    "My {relative} {name} works as a {job} in {city}.",
    "{name} moved from {city} to {country} {when}.",
    "My {kind} {relative} lives near {place} with a {animal}.",
    "Is your {relative} still a {job}, or did {name} stop working?",
    "This is {name}, a {kind} {job} from {country}.",
    "{name} and {name} have {number} children and a {quality} house.",
    "My {relative} was born in {month} of {year}.",
    "The {kind} {job} next door comes from {city}.",
    "Have you met {name}, the new {job} at {place}?",
    "{name} speaks {language} with a strong {language} accent.",
    "We called our {animal} {name}, after my {kind} {relative}.",
    "Please tell {name} that the {job} is waiting at {place}.",
    "Do you know why {name} left {country} in {month}?",
    "I grew up in {city}, but my {relative} prefers {country}.",
    # numbers, dates, times, money
    "The {vehicle} to {city} leaves at {clock} on {day}.",
    "Our meeting on {day}, the {ordinal} of {month}, begins at {clock}.",
    "She paid {money} for a {quality} {clothing}.",
    "There are {number} {fruit} and {number} plates of {food} on the table.",
    "My {relative} turned {number} on the {ordinal} of {month}.",
    "The {quality} {thing} costs {money} at {place}.",
    "About {large} people visited {city} in {month}.",
    "In {year} only {large} people lived in {city}.",
    "Page {number} has a picture of a {color} {animal}.",
    "Could you wake {name} at {clock}, please?",
    "We need {number} more chairs and a {quality} table by {day}.",
    "Room {number} is on the {ordinal} floor, opposite the {room}.",
    "{name} came {ordinal} in the race and won {money}.",
    "Add {number} spoons of {food} and stir it for {number} minutes.",
    "My {relative} earned {money} by selling {fruit} {when}.",
    "The price of {food} rose from {money} to {money}.",
    "It takes {number} hours by {vehicle} from {city} to {city}.",
    "The {job} counted {large} stars before {clock}.",
    "Take the {ordinal} street on the left, and walk past {place}.",
    # things and places
    "I left my {color} {clothing} in the {room} {when}.",
    "Who put the {quality} {thing} behind the {color} {thing}?",
    "The {thing} in the {room} belongs to {name}.",
    "There is a {quality} {thing} under the {color} chair.",
    "{name} hid the {thing} between the {thing} and the wall.",
    "Look at that {color} {vehicle} in front of {place}.",
    "Your {clothing} matches the {color} {thing} in the {room}.",
    "They sell {quality} {plant} and {food} near {place}.",
    "A {quality} {thing} fell from the roof of {place}.",
    "We painted the {room} {color} and the door {color}.",
    "Turn left at {place}, then follow the {color} signs to {city}.",
    "Can I borrow your {quality} {thing} until {day}?",
    "The {job} measured the {room} with a {quality} {thing}.",
    "My {thing} is {quality}, but yours is {quality}.",
    "You will find {plant} and {plant} on the way to {place}.",
    "{name} keeps a {thing} and a {thing} beside the bed.",
    "Where did the {job} leave the {quality} {thing}?",
    # food and drink
    "I would like some {food} with {fruit} and {drink}.",
    "My {relative} never eats {food} without {food}.",
    "{name} cooked {food} and {food} for {number} guests.",
    "Would you like {drink} or {drink} with your {food}?",
    "These {fruit} taste better than the ones from {country}.",
    "For breakfast we had {food}, {fruit} and {drink}.",
    "The {job} ordered {drink}, {food} and a plate of {fruit}.",
    "Do not give {food} to the {animal}, it only likes {fruit}.",
    "The smell of {food} fills the {room} {often}.",
    "He spilled {drink} on my {color} {clothing}.",
    "We ran out of {drink}, so {name} went to {place}.",
    # animals and nature
    "A {quality} {animal} slept under the {plant} {when}.",
    "The {animal} chased a {kind} {animal} across the field.",
    "Have you ever seen a {color} {animal} in {country}?",
    "{name} is afraid of every {animal}, even of a {quality} one in {country}.",
    "The {plant} in the garden bloom in {month} and {month}.",
    "We watched {number} birds and a {animal} by {place}.",
    "In {country} the {season} brings {weather} and {weather}.",
    "The {animal} moved {manner} through the {color} grass.",
    "They expect {weather} in {city} on {day}.",
    "After the {weather} came {weather}, and {name} stayed at home.",
    "I love the {season}, but my {relative} hates the {weather}.",
    "Our {animal} and the {kind} {animal} share a {quality} basket.",
    # what people do
    "{name} {deed} and {deed} {when}.",
    "My {relative} {deed} while I {deed}.",
    "The {kind} {job} {deed} {manner}.",
    "First {name} {deed}, then the {animal} ran away.",
    "Why is it that nobody {deed} on {day}?",
    "Please {task} before you {task}.",
    "I forgot to {task} because {name} {deed}.",
    "Can you {task} and {task} by {clock}?",
    "My {relative} asked me to {task} {soon}.",
    "{name} promised to {task} at {clock}.",
    "Do you want to {task}, or shall {name} do it?",
    "We should {task} {soon}, and {name} agrees.",
    "{name} tried to {task} {manner}, but it was too late.",
    "Nobody can {task} with a {quality} {thing}.",
    "I {task} with {name} and my {relative} {often}.",
    "The {job} told us to {task} {manner}.",
    "You had better {task} before the {weather} starts.",
    # hobbies, school, sport, music
    "{name} loves {hobby} and {hobby}, but not {sport}.",
    "We play {sport} near {place} {often}.",
    "My {relative} studies {subject} and {subject} in {city}.",
    "{name} plays the {instrument} and the {instrument} {often}.",
    "I started {hobby} in {year}, thanks to a {kind} {job}.",
    "Is {hobby} more fun than {hobby} in {season}?",
    "The {subject} teacher bought a {quality} {instrument}.",
    "Learning {language} is easier than {subject}, says {name}.",
    "Our {sport} team beat {city} by {number} points.",
    "They teach {language}, {subject} and {sport} on {day}.",
    "{name} sold the {instrument} for {money} {when}.",
    "Will you join us for {sport} on {day} at {clock}?",
    "Her {subject} book is {quality}, with {number} pages.",
    # travel
    "We went to {country} by {vehicle} and came back by {vehicle}.",
    "The {vehicle} from {city} arrives at {clock}, if there is no {weather}.",
    "{name} missed the {vehicle} and walked to {place}.",
    "Pack a {clothing}, a {thing} and some {food} for the trip.",
    "How far is it from {place} to {place}?",
    "Have you been to {city}, or only to {city}?",
    "My {relative} rented a {color} {vehicle} in {country}.",
    "Last {month} we crossed {country} on a {quality} {vehicle}.",
    "The {vehicle} stopped {manner} in front of {place}.",
    "Next {season} {name} will sail from {country} to {country}.",
    # body and health
    "My {body} hurts when I {task}.",
    "The {job} looked at my {body} and at my {body}.",
    "{name} hurt one {body} near {place} on {day}.",
    "Put some ice on your {body} and call {name}.",
    "The nurse will check your {body} at {clock} on {day}.",
    "Drink {drink} and rest your {body} for {number} days.",
    # feelings and empathy
    "I feel {sad} because {news}.",
    "I am so {glad}, {name} {deed} {when}.",
    "{agree}, {comfort}.",
    "It is normal to feel {sad} and {sad} at times.",
    "You sound {sad}, {name}, so {comfort}.",
    "If you feel {sad}, {advice}, and {comfort}.",
    "I am {glad} that you told me, and {comfort}.",
    "When I was {sad}, my {relative} said that {comfort}.",
    "Maybe you could {advice} before you {task}.",
    "I was {sad} {when}, but now I feel {glad}.",
    "My {relative} is {sad}, and {news}.",
    "You must be {glad} that {name} {deed}.",
    "Why do you feel {sad} when you {task}?",
    "I hear that {news}, so {advice}.",
    "Tell {name} that {comfort}, and {advice}.",
    "Even a {kind} {job} may feel {sad} on a {day}.",
    "Being {sad} is hard, so {advice} {soon}.",
    "I would be {sad} too if the {job} {deed}.",
    "{name} feels {glad} again since {news}.",
    "You seem {sad} today, did {name} say something {kind}?",
    # talk
    "{agree}, {news}.",
    "{agree}, {name} {deed} {manner}.",
    "{agree}, I will {task} {soon}.",
    "Did you hear that {news}?",
    "Excuse me, where can I buy {food} and a {thing}?",
    "What would {name} do with {number} {fruit} and a {animal}?",
    "Who told you that {name} {deed}?",
    "Which {thing} do you prefer, the {color} or the {quality} one?",
    "How many {fruit} did the {animal} eat {when}?",
    "When will {name} {task}, {soon} or on {day}?",
    "I wonder whether {name} likes {hobby} in {city}.",
    "Could you repeat the {ordinal} word, the one about the {animal}?",
    "Thank you for the {quality} {thing}, {name}.",
    "Good morning {name}, shall we {task} {soon}?",
    "Let us meet at {place} at {clock}, and bring a {thing}.",
    "Sorry, I thought the {color} {thing} was yours.",
    "It was {name} who {deed}, not the {kind} {job}.",
    "I usually drink {drink} while {hobby}.",
    "Either {name} or the {job} {deed} {when}.",
    "The {quality} voice on the phone belonged to a {kind} {job}.",
    "Nothing is as {quality} as a {thing} from {country}.",
    "Everyone in {city} knows that {name} {deed}.",
)
