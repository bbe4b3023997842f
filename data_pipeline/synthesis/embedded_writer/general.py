"""Questions of everyday life with short answers, and what the writer knows nothing about."""

from collections.abc import Mapping
from functools import cache

from data_pipeline.synthesis.embedded_writer.english import normalised, sentence
from data_pipeline.synthesis.embedded_writer.topics import TOPICS

GENERAL = "general"
"""The topic of :data:`QUESTIONS`."""
OTHER = "other"
"""The topic of :func:`unknown_turns`."""

QUESTIONS: tuple[tuple[str, str], ...] = (
    # food and drink
    ("How do I keep bread fresh?", "Keep bread in a paper bag or a bread box, and freeze what you do not eat."),
    (
        "How long do I boil an egg?",
        "Boil an egg for six minutes if you like it soft, and ten minutes if you like it hard.",
    ),
    ("How do I know if an egg is still good?", "Put the egg in water. A good egg sinks, and a bad one floats."),
    ("How do I peel garlic quickly?", "Press the garlic with the flat side of a knife, and the skin comes off."),
    ("How can I chop onions without crying?", "Use a sharp knife, and cool the onions before you chop them."),
    ("How do I cook rice?", "Cook one cup of rice in two cups of water, with the lid on."),
    ("How do I make good tea?", "Pour hot water over the tea, wait for four minutes, and take the leaves out."),
    ("How do I make pancakes?", "Mix flour, milk and eggs, and bake the pancakes in a hot pan with butter."),
    ("How do I store tomatoes?", "Store tomatoes at room temperature, and they keep their taste."),
    ("How do I make a banana ripe faster?", "Put the banana in a paper bag with an apple."),
    ("What can I do with old bread?", "You can toast old bread, or make crumbs or a bread pudding of it."),
    (
        "What can I cook for a friend who eats no meat?",
        "Cook noodles with vegetables, or a rich bean stew without meat.",
    ),
    ("How much water should I drink a day?", "Most people do well when they drink about two liters of water a day."),
    ("Is honey good for a sore throat?", "Yes, warm tea with honey can calm a sore throat."),
    ("Why is my cake so dry?", "A dry cake was often in the oven too long. Try it ten minutes shorter."),
    ("How do I melt chocolate?", "Melt chocolate slowly in a bowl over hot water, and stir it."),
    ("What goes into a fruit salad?", "A fruit salad can have apples, oranges, grapes and a little lemon juice."),
    ("How do I keep an apple from turning brown?", "Put some lemon juice on the apple, and it stays white."),
    ("What is a healthy breakfast?", "A healthy breakfast is oatmeal with fruit, or bread with an egg."),
    ("How do I make lemonade?", "Mix lemon juice, cold water and sugar, and you have lemonade."),
    ("How do I freeze herbs?", "Chop the herbs, put them in water, and freeze them as ice cubes."),
    ("How long can I keep soup?", "You can keep soup in the refrigerator for about three days."),
    ("Can I freeze cheese?", "You can freeze hard cheese, but it may get a little dry."),
    ("How do I make popcorn?", "Heat oil in a pot, add the corn, close the lid and wait for the popcorn."),
    ("What can I drink instead of coffee?", "Instead of coffee you can drink tea, cocoa or hot lemon."),
    # home
    ("How do I get rid of ants?", "Ants do not like vinegar. Wipe their way with it, and close the holes."),
    ("How do I clean an oven?", "To clean an oven, spread baking soda with water in it and wait one night."),
    (
        "How do I remove candle wax from a table?",
        "Let the wax get hard, and lift it from the table with a plastic card.",
    ),
    ("How do I clean silver?", "You can clean silver with baking soda and a soft cloth."),
    ("How do I make a room smell fresh?", "Open the windows twice a day, and the room will smell fresh."),
    ("How do I save electricity?", "Turn off lights and devices that you do not use, and you save electricity."),
    ("How do I save water at home?", "To save water, take short showers and close the tap while you brush your teeth."),
    ("How warm should a bedroom be?", "A bedroom should be rather cool, about eighteen degrees."),
    ("How do I stop a door from squeaking?", "A drop of oil on the hinges stops a door from squeaking."),
    ("How do I hang a picture straight?", "Hang a picture on two nails, and check it with a glass of water."),
    ("How do I open a jar that is stuck?", "Hold the lid of the jar under hot water, and it will open."),
    ("How do I get gum out of my clothes?", "Put the clothes in the freezer, and break the hard gum off."),
    ("How do I wash a wool sweater?", "Wash a wool sweater by hand in cool water, and dry it flat."),
    ("How often should I change my sheets?", "Change your sheets every one or two weeks."),
    ("How do I keep my windows from fogging up?", "Let fresh air in, and wipe the windows dry in the morning."),
    ("What helps against mice?", "Against mice, close all holes and keep food in boxes."),
    ("How do I iron a shirt?", "Iron the collar of the shirt first, then the sleeves, and the back last."),
    ("How do I clean my glasses?", "Clean your glasses with warm water, a drop of soap and a soft cloth."),
    ("Where should I put a fire alarm?", "Put a fire alarm on the ceiling of each bedroom and the hall."),
    (
        "What do I do when the lights go out?",
        "Look if the lights of your neighbors are out too, and check the fuse box.",
    ),
    ("How do I fold a big sheet?", "Fold a big sheet in half twice, with the corners inside each other."),
    ("How do I sharpen a knife?", "Draw the knife over a wet stone at a low angle, again and again."),
    ("How do I clean a keyboard?", "Turn the keyboard over, shake it, and wipe it with a damp cloth."),
    # plants and animals
    ("How often do I water a cactus?", "Water a cactus every two or three weeks, and less in winter."),
    ("Which plants need little light?", "Ferns and ivy are plants that need little light."),
    ("When do I plant tulips?", "Plant tulips in the fall, before the ground freezes."),
    ("Why do leaves turn yellow?", "Leaves turn yellow when a plant gets too much water or too little light."),
    ("Why do birds sing in the morning?", "Birds sing in the morning to find a partner and to mark their place."),
    ("How do bees make honey?", "Bees collect sweet juice from flowers, and dry it in the hive to honey."),
    ("Why do cats sleep so much?", "Cats sleep a lot because they save their strength for hunting."),
    ("Why do dogs wag their tails?", "Dogs wag their tails to show what they feel, and often it is joy."),
    ("How do fish sleep?", "Fish rest in quiet water with open eyes, because most have no lids."),
    ("Which animal is the largest?", "The largest animal is the blue whale."),
    ("Which animal is the fastest on land?", "On land the fastest animal is the cheetah."),
    ("Do bears sleep all winter?", "Many bears sleep most of the winter, but they can wake up."),
    ("Why do spiders make webs?", "Spiders make webs to catch flies and other insects."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("What do squirrels eat?", "Squirrels eat nuts, seeds and sometimes mushrooms."),
    ("How can I help birds in winter?", "In winter, offer birds seeds and clean water."),
    ("How do I keep roses fresh in a vase?", "Cut the roses a little, and give them new water every day."),
    ("Can I grow herbs in the kitchen?", "Yes, herbs such as basil grow well at a kitchen window."),
    # nature and the world
    ("Why is the sky blue?", "The air scatters the blue part of sunlight the most, so the sky looks blue."),
    ("Why is the sea salty?", "Rivers carry salt from the rocks into the sea, and it stays there."),
    (
        "Why does the moon change its shape?",
        "The moon only seems to change, because we see more or less of its bright side.",
    ),
    ("How far away is the sun?", "The sun is about one hundred and fifty million kilometers away."),
    ("What makes a rainbow?", "A rainbow comes when sunlight is bent in drops of rain."),
    (
        "Why does thunder come after lightning?",
        "Light is faster than sound, so we see lightning before we hear thunder.",
    ),
    ("Why do we have seasons?", "We have seasons because the earth leans as it goes around the sun."),
    ("How many continents are there?", "Most people count seven continents."),
    ("What is the highest mountain?", "The highest mountain is Mount Everest."),
    ("What is the largest ocean?", "The largest ocean is the Pacific."),
    ("What is the longest river?", "The Nile and the Amazon are the longest rivers, and people argue which one wins."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("What is the capital of Canada?", "The capital of Canada is Ottawa."),
    ("What is the capital of Australia?", "The capital of Australia is Canberra."),
    ("What is the smallest country in the world?", "The smallest country in the world is the Vatican."),
    ("Why do we have tides?", "We have tides because the moon pulls on the water of the sea."),
    ("How do clouds form?", "Clouds form when damp air rises and cools down."),
    ("Why is snow white?", "Snow is white because its crystals send back all colors of light."),
    ("What is fog made of?", "Fog is a cloud on the ground, made of tiny drops of water."),
    ("How old is the earth?", "The earth is about four and a half billion years old."),
    ("Is the sun a star?", "Yes, the sun is a star, and it is the one nearest to us."),
    ("How many planets are there?", "Eight planets go around our sun."),
    ("Which planet is the largest?", "Jupiter is the largest planet."),
    # body and health
    ("How do I get rid of hiccups?", "Hold your breath for a while or drink cold water, and the hiccups mostly stop."),
    ("Why do we yawn?", "We yawn when we are tired or bored, but nobody knows exactly why."),
    ("What helps against a headache?", "Water, rest and fresh air often help against a headache."),
    ("How do I stop a nose bleed?", "Lean forward, press your nose together, and wait for ten minutes."),
    ("What should I do with a small burn?", "Cool a small burn with running water for ten minutes."),
    ("How can I sit better at a desk?", "Sit at your desk with both feet on the floor and a straight back."),
    ("How long should I wash my hands?", "Wash your hands for twenty seconds with soap."),
    ("Why do I get goose bumps?", "Goose bumps come when you are cold or deeply moved."),
    ("How can I relax my eyes?", "Relax your eyes by looking out of the window every twenty minutes."),
    ("Is walking good for the heart?", "Yes, half an hour of walking a day is good for the heart."),
    ("What helps against dry lips?", "A little honey or cream helps against dry lips."),
    ("How do I get warm feet?", "Warm feet come from thick socks, a foot bath or a short walk."),
    ("What can I do against stress?", "Against stress, breathe slowly, move your body and talk to a friend."),
    ("How do I get more energy in the afternoon?", "In the afternoon a short walk gives more energy than coffee."),
    ("What do I do against a mosquito bite?", "Cool the bite, and try not to scratch it."),
    ("How can I wake up more easily?", "You wake up more easily with light and a fixed hour."),
    ("How many bones do people have?", "Grown up people have two hundred and six bones."),
    ("Is it bad to read in the dark?", "To read in the dark makes the eyes tired, but it does no lasting harm."),
    # people and feelings
    ("How do I say sorry?", "Say sorry plainly, name what you did, and ask what you can do."),
    ("How do I say no in a friendly way?", "Say thank you first, then no, and give one honest reason."),
    ("How can I remember names?", "Repeat names when you hear them, and connect them with a picture."),
    ("What can I do when I feel lonely?", "When you feel lonely, call one person, or go where people are."),
    ("How do I make somebody laugh?", "Laugh about yourself first, and somebody will laugh with you."),
    ("How do I calm down when I am angry?", "When you are angry, count to ten slowly and leave the room."),
    ("How can I be less shy?", "To be less shy, start with small talk to one kind person a day."),
    ("How do I comfort a friend?", "Listen to your friend, stay close, and do not give too much advice."),
    ("What can I give somebody who has everything?", "To somebody who has everything, give time together."),
    ("How do I start a speech?", "Start a speech with a short story or a question."),
    ("How do I get over stage fright?", "Stage fright gets smaller when you practice and breathe out slowly."),
    ("How do I end a long phone call?", "End a long call with thanks, and say when you will talk again."),
    ("What should I say at a funeral?", "At a funeral it is enough to say that you are sorry and that you are there."),
    ("How do I become more patient?", "You become more patient when you plan more time than you need."),
    ("How do I make a decision?", "For a decision, write down what speaks for it and against it, and sleep one night."),
    ("How can I learn to listen better?", "You listen better when you ask one more question before you answer."),
    ("How do I cheer myself up?", "Cheer yourself up with music, a walk and something good to eat."),
    ("How do I find a hobby?", "Think of what you loved as a child. A hobby often begins there."),
    ("How do I stop being late?", "Set your clock for the time to leave, and you stop being late."),
    ("How do I keep a promise?", "Write your promise down, and do the first step on the same day."),
    # work, learning and things
    ("How do I learn a poem by heart?", "Learn a poem line by line, and say it before you sleep."),
    ("How can I write faster?", "You write faster if you first say the sentence in your head."),
    ("How do I read a map?", "To read a map, find north first, and then the place where you stand."),
    ("How do I tie a tie?", "A tie is easy with a mirror. Start with the wide end on the right."),
    ("How do I pack a suitcase well?", "Roll your clothes, and put heavy things at the bottom of the suitcase."),
    (
        "How do I make a strong password?",
        "Take four words that do not belong together, and you have a strong password.",
    ),
    ("How do I spot a false message?", "A false message puts you under pressure and wants your password or money."),
    ("How do I take better photos?", "For better photos, keep the light behind you and go close."),
    (
        "How do I charge my phone in the right way?",
        "Your phone lasts longer when you do not always charge it to the top.",
    ),
    ("What do I do if my phone gets wet?", "If your phone gets wet, turn it off at once and let it dry for two days."),
    ("How do I wrap a present?", "Put the present on the paper, fold the long sides first, and then the ends."),
    ("How do I plan my day?", "Plan your day in the evening, and pick the three most important things."),
    ("How do I stop putting things off?", "Start with five minutes, and putting things off gets harder."),
    ("How can I focus better?", "You focus better in a quiet room without your phone."),
    ("How do I clean white shoes?", "Clean white shoes with a brush, warm water and a little soap."),
    ("How do I sew on a button?", "Sew the button on with four stitches, and wind the thread around below."),
    ("How do I light a candle without matches?", "You can light a candle with a lighter or at another flame."),
    ("How do I tell the time without a clock?", "Without a clock, look at the sun. At noon it is highest."),
    (
        "How do I ride a bicycle in winter?",
        "In winter ride your bicycle slowly, with lights and less air in the tires.",
    ),
    ("How do I whistle?", "Wet your lips, make a small circle and blow gently to whistle."),
    ("How do I learn to swim?", "Learn to float first, and take a few lessons. Then swim in flat water."),
    ("How do I choose a good melon?", "A good melon is heavy and smells sweet."),
    ("How do I find a good book?", "Ask in a library for a book like the last one you loved."),
    ("What can I do on a rainy day?", "On a rainy day bake a cake, read a book or call a friend."),
    ("What can children play in the car?", "In the car children can play word games, or count red cars."),
    ("How can I save money on food?", "To save money on food, make a list and cook for two days at once."),
    ("How much should I tip a waiter?", "In many places you tip a waiter ten or fifteen percent."),
    ("What is a good gift for a teacher?", "A good gift for a teacher is a card with kind words."),
    # small talk
    ("Hello, how are you today?", "Hello, I am fine today. How are you?"),
    ("Can you answer questions for me?", "I can listen to you, answer small questions and keep you company."),
    ("Can you hear me well?", "Yes, I can hear you well."),
    ("Are you a real person?", "No, I am not a real person. I am a voice assistant."),
    ("Do you have feelings?", "I have no feelings as you do, but I listen to yours."),
    ("What do you like to talk about?", "I like to talk about your day, your family and small things of life."),
    ("Do you ever get tired?", "No, I never get tired of listening."),
    ("Can you keep me company?", "Yes, I will gladly keep you company."),
    ("Good morning, did you sleep well?", "Good morning. I do not sleep, but I hope that you slept well."),
    ("Good night, see you tomorrow.", "Good night, and sleep well until tomorrow."),
    ("Can you sing me a song?", "I cannot sing a song well, but I can talk about music with you."),
    ("How old are you?", "I am not old at all. I am still quite new."),
    ("Do you know a good joke?", "Here is a joke. Why did the bicycle fall over? It was two tired."),
    ("Thank you for your help.", "You are welcome. I am glad to help."),
)
"""In written English, without digits. Answers have at most twenty words."""

_SUBJECTS = (
    *("deep sea submarines", "medieval castles", "stock prices", "rocket engines", "ancient Rome", "tax law"),
    *("quantum physics", "the history of chess", "sailing around the world", "volcanoes in Iceland", "jazz singers"),
    *("the rules of cricket", "old coins", "the planet Neptune", "modern dance", "wind farms", "whale songs"),
    *("the life of Mozart", "Greek legends", "how banks work", "space travel", "bridges in China", "rare stamps"),
    *("the gold rush", "opera houses", "desert plants", "racing pigeons", "the stone age", "steam engines"),
    *("the king of Norway", "weather balloons", "robots in factories", "pirates", "the moon landing", "glass making"),
)
_UNKNOWN = (
    "what do you know about {subject}?",
    "tell me something about {subject}.",
    "I read a long article about {subject} yesterday.",
    "have you ever thought about {subject}?",
    "my friends always talk about {subject}.",
    "there was a program about {subject} on the radio.",
    "I would like to know more about {subject}.",
    "who is an expert on {subject}?",
)
_FRAGMENTS = (
    "and then the other one, you know which.",
    "no, not that, the thing from before.",
    "it was like that, only the other way around.",
    "so he said, and she said, and so on.",
    "put it there, no, a little further.",
    "the blue one is faster than the loud one.",
    "half of it, but only if they agree.",
    "you take the third and I take the rest.",
    "what was it called again, that round thing?",
    "if the one is closed, then the other is too.",
    "I mean the same as last time, but shorter.",
    "they went there because of the thing with the other thing.",
)


@cache
def unknown_turns() -> tuple[str, ...]:
    """What a user may say that is not of the grammar."""
    about = (template.format(subject=subject) for template in _UNKNOWN for subject in _SUBJECTS)
    return tuple(map(sentence, (*about, *_FRAGMENTS)))


@cache
def answers() -> Mapping[str, str]:
    """By the normalised question: those of :data:`QUESTIONS` and of all topics."""
    questions = (*QUESTIONS, *(pair for topic in TOPICS for pair in topic.questions))
    return {normalised(question): sentence(answer) for question, answer in questions}
