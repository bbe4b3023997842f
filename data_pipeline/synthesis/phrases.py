"""The words of the closed-domain writer: what people tell about, how each feeling opens, and how a listener answers."""

from collections.abc import Mapping

from data_pipeline.synthesis.voices import Feeling

OPENERS: Mapping[Feeling, tuple[str, ...]] = {
    "neutral": ("Well,", "By the way,", "So,", "Just so you know,", "As it happens,", "Let me tell you,"),
    "happy": ("Guess what,", "Great news,", "I'm so happy,", "This is wonderful,", "I can't stop smiling,", "Finally,"),
    "sad": ("I feel so low,", "I could cry,", "It breaks my heart,", "I'm really sad,", "Sadly,", "It hurts so much,"),
    "angry": ("I'm furious,", "It's so unfair,", "I can't stand it,", "Unbelievable,", "I'm so mad,", "That's enough,"),
    "afraid": (
        "I'm scared,",
        "I'm so worried,",
        "My hands are shaking,",
        "I can't sleep,",
        "I feel sick,",
        "Please help,",
    ),
    "surprised": (
        "Oh wow,",
        "I can't believe it,",
        "You won't believe this,",
        "What a surprise,",
        "Wait,",
        "Goodness,",
    ),
}

LEADS: Mapping[Feeling, tuple[str, ...]] = {
    "neutral": ("I see.", "Good to know.", "Thanks for telling me.", "All right.", "That sounds fine.", "Okay, noted."),
    "happy": (
        *("That's wonderful!", "I'm so happy for you!", "What great news!"),
        *("You deserve this!", "How lovely to hear!", "Well done, you!"),
    ),
    "sad": (
        *("I'm so sorry.", "That must hurt a lot.", "I'm here for you."),
        *("That sounds really hard.", "Oh, that is sad.", "I feel with you."),
    ),
    "angry": (
        *("You have every right to be angry.", "That's not fair to you.", "I would be upset too."),
        *("I hear how frustrating it is.", "Let's take a breath.", "I understand your anger."),
    ),
    "afraid": (
        *("You are not alone.", "It's okay to be scared.", "Take a slow breath."),
        *("I'm right here with you.", "We can face this together.", "I hear how worried you are."),
    ),
    "surprised": (
        *("Wow, really?", "I didn't see that coming!", "What a twist!"),
        *("That's amazing!", "Who would have thought!", "No wonder you're stunned!"),
    ),
}

# topic → feeling → (what the user says after an opener, what the listener says after a lead)
Turns = Mapping[Feeling, tuple[str, str]]
TOPICS: Mapping[str, Turns] = {
    "job": {
        "neutral": ("I start my new job on Monday.", "I hope Monday goes well."),
        "happy": ("I got the job I wanted.", "Your hard work paid off."),
        "sad": ("I lost my job this morning.", "Losing a job is painful."),
        "angry": ("my boss took credit for my work.", "Your work deserves your name."),
        "afraid": ("they may fire me next week.", "Let's plan for next week."),
        "surprised": ("my boss just doubled my salary.", "How will you celebrate the raise?"),
    },
    "exam": {
        "neutral": ("my exam is on Thursday afternoon.", "There is time to prepare."),
        "happy": ("I passed my final exam.", "All that studying was worth it."),
        "sad": ("I failed the exam again.", "One exam does not define you."),
        "angry": ("the teacher lost my exam paper.", "The teacher should make it right."),
        "afraid": ("my exam is tomorrow morning.", "You know more than you think."),
        "surprised": ("I got the best grade in class.", "You are at the very top."),
    },
    "dog": {
        "neutral": ("I walk my dog every evening.", "An evening walk does you good."),
        "happy": ("my puppy learned his first trick.", "He must be a clever puppy."),
        "sad": ("my old dog died last night.", "He was lucky to have you."),
        "angry": ("someone kicked my dog in the park.", "No one should hurt an animal."),
        "afraid": ("my dog ran away and it is dark.", "Let's call the shelters now."),
        "surprised": ("my dog just opened the front door.", "Your dog is full of talent."),
    },
    "cat": {
        "neutral": ("my cat sleeps on the sofa all day.", "Cats do love a soft sofa."),
        "happy": ("our cat had four healthy kittens.", "Four kittens are pure joy."),
        "sad": ("my cat has been missing for days.", "I hope she finds her way home."),
        "angry": ("the cat scratched my new leather chair.", "A scratching post might save it."),
        "afraid": ("my cat swallowed a piece of string.", "Please call the vet right away."),
        "surprised": ("my cat came home after two years.", "She remembered the way to you."),
    },
    "trip": {
        "neutral": ("we take the train to Rome.", "The train ride should be pleasant."),
        "happy": ("we are flying to the beach tomorrow.", "Enjoy the sun and the waves."),
        "sad": ("our holiday had to be cancelled.", "You looked forward to that trip."),
        "angry": ("the airline lost all my bags.", "They owe you a quick answer."),
        "afraid": ("our plane is shaking so badly.", "Shaking planes still land safely."),
        "surprised": ("I won a trip to Japan.", "Japan is waiting for you."),
    },
    "wedding": {
        "neutral": ("the wedding starts at three o'clock.", "Three o'clock is a good time."),
        "happy": ("she said yes and we will marry.", "I wish you both much love."),
        "sad": ("the wedding has been called off.", "A broken promise takes time to heal."),
        "angry": ("my cousin ruined our wedding party.", "That day belonged to you."),
        "afraid": ("I must give a speech at the wedding.", "Speak slowly and from the heart."),
        "surprised": ("my grandfather is getting married again.", "Love has no age limit."),
    },
    "birthday": {
        "neutral": ("my birthday is in the spring.", "Spring is a fine time for birthdays."),
        "happy": ("all my friends came to my birthday.", "Good friends are the best present."),
        "sad": ("nobody remembered my birthday.", "I wish you a happy birthday now."),
        "angry": ("he ate my whole birthday cake.", "He should bake you a new cake."),
        "afraid": ("I am turning fifty and feel old.", "Fifty brings many good years."),
        "surprised": ("they threw me a secret birthday party.", "They kept that secret well."),
    },
    "football": {
        "neutral": ("the football match is on Saturday.", "Saturday will be a good match."),
        "happy": ("our football team won the cup.", "The whole team should be proud."),
        "sad": ("we lost the final by one goal.", "So close makes it hurt more."),
        "angry": ("the referee cheated our football team.", "A fair referee matters to everyone."),
        "afraid": ("I have to take the last penalty.", "Look at the corner and trust yourself."),
        "surprised": ("I scored from the middle of the field.", "That goal will be remembered."),
    },
    "music": {
        "neutral": ("I have piano lessons on Tuesdays.", "Regular lessons help a lot."),
        "happy": ("I played my first piano concert.", "The audience must have loved it."),
        "sad": ("I had to sell my old guitar.", "It held so many of your songs."),
        "angry": ("someone broke my violin.", "A violin is a part of you."),
        "afraid": ("I sing on a big stage tonight.", "Your voice will carry you tonight."),
        "surprised": ("my song was played on the radio.", "Now everyone can hear your song."),
    },
    "house": {
        "neutral": ("we are painting the kitchen white.", "White will look bright and clean."),
        "happy": ("we just bought our first house.", "May your new home bring joy."),
        "sad": ("we must leave our family house.", "The memories will move with you."),
        "angry": ("the landlord raised our rent again.", "Let's check if he may do that."),
        "afraid": ("I hear steps in my empty house.", "Lock the door and call someone."),
        "surprised": ("we found gold coins under the floor.", "Your floor was a treasure chest."),
    },
    "neighbour": {
        "neutral": ("a new neighbour moved in upstairs.", "Maybe you can say hello soon."),
        "happy": ("my neighbour brought me fresh bread.", "Kind neighbours are a gift."),
        "sad": ("my favourite neighbour moved far away.", "You can still write to each other."),
        "angry": ("my neighbour plays loud drums at midnight.", "You need your sleep at midnight."),
        "afraid": ("my neighbour keeps shouting at me.", "Your safety comes before all else."),
        "surprised": ("my neighbour is a famous actor.", "You live next to a star."),
    },
    "car": {
        "neutral": ("I take the car to the garage today.", "The garage will check it over."),
        "happy": ("I passed my driving test.", "The open road is yours."),
        "sad": ("I had to give up my old car.", "That car took you so far."),
        "angry": ("somebody scratched my new car.", "They should have left a note."),
        "afraid": ("the brakes of my car failed.", "Please do not drive it again."),
        "surprised": ("my aunt gave me her sports car.", "Your aunt is very generous."),
    },
    "bicycle": {
        "neutral": ("I ride my bicycle to work.", "Cycling keeps you fit."),
        "happy": ("my daughter can ride her bicycle alone.", "You must be a proud parent."),
        "sad": ("my bicycle was stolen yesterday.", "You loved that bicycle dearly."),
        "angry": ("a van almost hit me on my bicycle.", "Drivers must watch for cyclists."),
        "afraid": ("I fell off my bicycle in traffic.", "Are you hurt, should we call help?"),
        "surprised": ("I won the bicycle race.", "You were faster than everyone."),
    },
    "phone": {
        "neutral": ("I am charging my phone right now.", "It should be full soon."),
        "happy": ("my phone works again after the repair.", "Now you can call everyone."),
        "sad": ("I lost my phone with all my photos.", "Those photos meant so much."),
        "angry": ("the phone company charged me twice.", "Ask them for your money back."),
        "afraid": ("a stranger keeps calling my phone.", "You can block the number now."),
        "surprised": ("an old friend phoned after ten years.", "Ten years is a long silence."),
    },
    "health": {
        "neutral": ("I see the doctor at noon.", "I hope the doctor is kind."),
        "happy": ("the doctor says I am healthy again.", "Your health is precious."),
        "sad": ("the doctor had bad news for me.", "You can lean on me today."),
        "angry": ("the doctor made me wait four hours.", "Four hours is far too long."),
        "afraid": ("I need an operation on my heart.", "Good doctors will look after you."),
        "surprised": ("the doctor says it will be twins.", "Two little ones are on the way."),
    },
    "dinner": {
        "neutral": ("we have soup for dinner.", "A warm soup is always good."),
        "happy": ("my first homemade pizza tastes perfect.", "I can almost smell that pizza."),
        "sad": ("I ate dinner all alone again.", "Lonely dinners are hard to bear."),
        "angry": ("the waiter spilled wine on my dress.", "They should pay for the cleaning."),
        "afraid": ("I smell gas in the kitchen.", "Open the windows and go outside."),
        "surprised": ("the cook paid for our whole dinner.", "A free dinner is a rare treat."),
    },
    "grandmother": {
        "neutral": ("I visit my grandmother on Sundays.", "She must enjoy your visits."),
        "happy": ("my grandmother turned one hundred today.", "A hundred years is worth a song."),
        "sad": ("my grandmother no longer knows my name.", "She can still feel your love."),
        "angry": ("someone tricked my grandmother out of money.", "Please report it to the police."),
        "afraid": ("my grandmother fell down the stairs.", "Call a doctor and stay with her."),
        "surprised": ("my grandmother jumped from an airplane.", "She is braver than all of us."),
    },
    "friend": {
        "neutral": ("I am meeting a friend for coffee.", "Enjoy the coffee and the talk."),
        "happy": ("my best friend is moving back home.", "You two will have great days."),
        "sad": ("my best friend stopped talking to me.", "Losing a friend leaves a hole."),
        "angry": ("my friend told everyone my secret.", "A secret should stay safe."),
        "afraid": ("my friend did not come home last night.", "Let's try to reach your friend."),
        "surprised": ("my quiet friend became a dancer.", "People can change so much."),
    },
    "weather": {
        "neutral": ("it will be cloudy this weekend.", "A cloudy day can be cosy."),
        "happy": ("the sun is out after weeks of rain.", "Go out and feel the sun."),
        "sad": ("the flood washed away my garden.", "Your garden was so beautiful."),
        "angry": ("the rain ruined our picnic again.", "You planned that picnic for weeks."),
        "afraid": ("a big storm is coming our way.", "Stay inside, far from the windows."),
        "surprised": ("it is snowing in the middle of June.", "Snow in June is a wonder."),
    },
    "garden": {
        "neutral": ("I planted tomatoes in the garden.", "Tomatoes like plenty of water."),
        "happy": ("my roses are blooming at last.", "Roses reward a patient gardener."),
        "sad": ("the frost killed all my flowers.", "You cared for them with love."),
        "angry": ("someone stole the apples from my tree.", "Those apples were yours to pick."),
        "afraid": ("there is a snake in my garden.", "Step back slowly and stay calm."),
        "surprised": ("my pumpkin is bigger than my car.", "That pumpkin could win a prize."),
    },
}
