"""The values of the fields of sentence templates.

Numbers and times are written in words, and every word is in a general English dictionary.
"""

from collections.abc import Mapping


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


FIELDS: Mapping[str, tuple[str, ...]] = {
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
