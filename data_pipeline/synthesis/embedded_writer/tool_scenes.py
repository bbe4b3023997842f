"""The tools, how people ask for them, and how the assistant speaks of the results."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolScene:
    """``fields`` have what is spoken and the value in JSON; ``arguments`` and ``result`` are fields by JSON key.

    Each request has the fields of all arguments. Answers come with their tone.
    """

    tool: Mapping[str, Any]
    requests: tuple[str, ...]
    fields: Mapping[str, Mapping[str, Any]]
    arguments: Mapping[str, str]
    result: Mapping[str, str]
    answers: tuple[tuple[str, str], ...]


def _tool(name: str, description: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """A tool whose parameters are all required."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": description, "parameters": parameters}


def _text(description: str, *choices: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "description": description}
    return schema | ({"enum": list(choices)} if choices else {})


def _whole(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def _same(*words: str) -> dict[str, str]:
    return {word: word for word in words}


_NUMBERS = {"two": 2, "three": 3, "five": 5, "ten": 10, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30}
_HOURS = {
    "six in the morning": "06:00",
    "half past seven in the morning": "07:30",
    "nine in the morning": "09:00",
    "noon": "12:00",
    "three in the afternoon": "15:00",
    "a quarter past five in the afternoon": "17:15",
    "eight in the evening": "20:00",
}
_DAYS = {
    "today": "today",
    "tomorrow": "tomorrow",
    "on Monday": "monday",
    "on Wednesday": "wednesday",
    "on Friday": "friday",
    "on Sunday": "sunday",
}
_PEOPLE = {"my mother": "mother", "my brother": "brother", "Anna": "Anna", "Tom": "Tom", "my boss": "boss"}
_DONE = {"": "ok"}

TOOL_SCENES: tuple[ToolScene, ...] = (
    ToolScene(
        tool=_tool("get_weather", "Weather forecast of a city", city=_text("City"), day=_text("Day, or today")),
        requests=(
            "what will the weather be like in {city} {day}?",
            "do I need an umbrella in {city} {day}?",
            "please tell me the weather for {city} {day}.",
        ),
        fields={
            "city": _same("London", "Paris", "Boston", "Madrid", "Berlin", "Sydney"),
            "day": _DAYS,
            "sky": {
                "it will be sunny": "sunny",
                "it will rain": "rain",
                "there will be snow": "snow",
                "it will be cloudy": "cloudy",
                "there will be some wind": "windy",
            },
            "degrees": {"two": 2, "nine": 9, "fourteen": 14, "eighteen": 18, "twenty one": 21},
        },
        arguments={"city": "city", "day": "day"},
        result={"sky": "sky", "temperature_celsius": "degrees"},
        answers=(
            ("in {city} {sky} {day}, with {degrees} degrees.", "neutral"),
            ("I looked it up. {sky} in {city} {day}, and we expect {degrees} degrees.", "warm"),
        ),
    ),
    ToolScene(
        tool=_tool("set_timer", "Start a timer", minutes=_whole("Length in minutes"), label=_text("What it is for")),
        requests=(
            "set a timer for {number} minutes for {thing}, please.",
            "can you remind me of {thing} in {number} minutes?",
            "start a timer of {number} minutes for {thing}.",
        ),
        fields={
            "number": _NUMBERS,
            "thing": {"the eggs": "eggs", "the cake": "cake", "my tea": "tea", "the laundry": "laundry"},
            "done": _DONE,
        },
        arguments={"minutes": "number", "label": "thing"},
        result={"status": "done"},
        answers=(
            ("all right, the timer is running. I will call you in {number} minutes.", "neutral"),
            ("your timer of {number} minutes has started.", "warm"),
        ),
    ),
    ToolScene(
        tool=_tool("set_alarm", "Set an alarm clock", day=_text("Day"), time=_text("Time as HH:MM")),
        requests=(
            "wake me up at {hour} {day}, please.",
            "set an alarm for {hour} {day}.",
            "I have to get up at {hour} {day}, so please wake me.",
        ),
        fields={
            "hour": {word: time for word, time in _HOURS.items() if "morning" in word},
            "day": {word: day for word, day in _DAYS.items() if word != "today"},
            "done": _DONE,
        },
        arguments={"day": "day", "time": "hour"},
        result={"status": "done"},
        answers=(
            ("your alarm is set for {hour} {day}. Sleep well.", "gentle"),
            ("I will wake you at {hour} {day}.", "warm"),
        ),
    ),
    ToolScene(
        tool=_tool("add_reminder", "Save a reminder", text=_text("What to remember"), day=_text("Day")),
        requests=(
            "remind me to {task} {day}.",
            "please do not let me forget to {task} {day}.",
            "I need a reminder to {task} {day}.",
        ),
        fields={
            "task": _same(
                "call the doctor", "water the plants", "buy some milk", "pay the rent", "feed the cat", "bake a cake"
            ),
            "day": _DAYS,
            "done": _DONE,
        },
        arguments={"text": "task", "day": "day"},
        result={"status": "done"},
        answers=(
            ("no problem, I will remind you to {task} {day}.", "warm"),
            ("it is on your list. {day} I will tell you to {task}.", "neutral"),
        ),
    ),
    ToolScene(
        tool=_tool("get_calendar", "First appointment of a day", day=_text("Day")),
        requests=(
            "what is on my calendar {day}?",
            "do I have any plans {day}?",
            "when is my first appointment {day}?",
            "am I busy {day}?",
        ),
        fields={
            "day": _DAYS,
            "event": {
                "the dentist": "dentist",
                "lunch with Maria": "lunch with Maria",
                "the parents evening": "parents evening",
                "your piano lesson": "piano lesson",
            },
            "hour": {word: time for word, time in _HOURS.items() if "morning" not in word},
        },
        arguments={"day": "day"},
        result={"title": "event", "time": "hour"},
        answers=(
            ("{day} you have {event} at {hour}.", "neutral"),
            ("let me see. First comes {event}, at {hour}.", "warm"),
        ),
    ),
    ToolScene(
        tool=_tool(
            "add_event", "Put an event on the calendar", title=_text("Title"), day=_text("Day"), time=_text("HH:MM")
        ),
        requests=(
            "put {event} on my calendar {day} at {hour}.",
            "please write down that I have {event} {day} at {hour}.",
        ),
        fields={
            "event": {
                "a swimming lesson": "swimming lesson",
                "a meeting": "meeting",
                "dinner with Ben": "dinner with Ben",
                "a haircut": "haircut",
            },
            "day": _DAYS,
            "hour": {word: time for word, time in _HOURS.items() if "afternoon" in word or "evening" in word},
            "done": _DONE,
        },
        arguments={"title": "event", "day": "day", "time": "hour"},
        result={"status": "done"},
        answers=(
            ("done. You have {event} {day} at {hour}.", "neutral"),
            ("I wrote down {event} for you.", "warm"),
        ),
    ),
    ToolScene(
        tool=_tool("play_music", "Play music", style=_text("Style"), room=_text("Room")),
        requests=(
            "play some {style} in the {room}.",
            "I would like to hear {style} in the {room}.",
            "can you put on {style} in the {room}?",
        ),
        fields={
            "style": _same("jazz", "piano music", "folk songs", "dance music", "children's songs", "soft rock"),
            "room": _same("kitchen", "living room", "bedroom", "bathroom"),
            "done": {"": "playing"},
        },
        arguments={"style": "style", "room": "room"},
        result={"status": "done"},
        answers=(
            ("you will hear {style} in the {room} now. Enjoy it.", "cheerful"),
            ("with pleasure. The {room} will be full of {style}.", "cheerful"),
        ),
    ),
    ToolScene(
        tool=_tool("get_news", "Latest headline on a subject", subject=_text("Subject")),
        requests=(
            "what is new in {subject}?",
            "read me the news about {subject}.",
            "is there any news about {subject} today?",
        ),
        fields={
            "subject": _same("sports", "our town", "science", "music", "the weather", "school", "traffic"),
            "headline": {
                "a new bridge will open on Friday": "New bridge opens on Friday",
                "a little dog found its way home after a year": "Lost dog home after one year",
                "the library will be open on Sundays": "Library open on Sundays",
                "more children learn to swim": "More children learn to swim",
                "the old theater will be saved": "Old theater saved",
            },
        },
        arguments={"subject": "subject"},
        result={"headline": "headline"},
        answers=(
            ("I found this about {subject}. They say that {headline}.", "neutral"),
            ("yes, there is good news. {headline}.", "cheerful"),
        ),
    ),
    ToolScene(
        tool=_tool("set_light", "Turn a light on or off", room=_text("Room"), state=_text("State", "on", "off")),
        requests=(
            "turn {state} the light in the {room}, please.",
            "can you turn the light in the {room} {state}?",
            "please turn the {room} light {state}.",
        ),
        fields={
            "state": _same("on", "off"),
            "room": _same("kitchen", "living room", "bedroom", "bathroom", "hall", "garage"),
            "done": _DONE,
        },
        arguments={"room": "room", "state": "state"},
        result={"status": "done"},
        answers=(
            ("the light in the {room} is {state} now.", "neutral"),
            ("of course. I turned the {room} light {state}.", "warm"),
        ),
    ),
    ToolScene(
        tool=_tool("set_heating", "Set the temperature of a room", room=_text("Room"), degrees=_whole("Celsius")),
        requests=(
            "make it {number} degrees in the {room}.",
            "it is cold in here, please set the {room} to {number} degrees.",
            "can you heat the {room} to {number} degrees?",
        ),
        fields={
            "number": {"eighteen": 18, "nineteen": 19, "twenty": 20, "twenty one": 21, "twenty two": 22},
            "room": _same("kitchen", "living room", "bedroom", "bathroom"),
            "done": _DONE,
        },
        arguments={"room": "room", "degrees": "number"},
        result={"status": "done"},
        answers=(
            ("the {room} will soon have {number} degrees.", "warm"),
            ("all right, I set the {room} to {number} degrees.", "neutral"),
        ),
    ),
    ToolScene(
        tool=_tool("send_message", "Send a text message", to=_text("Who gets it"), text=_text("The message")),
        requests=(
            "tell {person} that {message}.",
            "send {person} a message that {message}.",
            "write to {person} that {message}, please.",
        ),
        fields={
            "person": _PEOPLE,
            "message": {
                "I am on my way": "I am on my way.",
                "I will be late": "I will be late.",
                "dinner is ready": "Dinner is ready.",
                "I am sick today": "I am sick today.",
                "I arrived safely": "I arrived safely.",
            },
            "done": {"": "sent"},
        },
        arguments={"to": "person", "text": "message"},
        result={"status": "done"},
        answers=(
            ("your message is on its way.", "warm"),
            ("done, I sent the message.", "neutral"),
        ),
    ),
    ToolScene(
        tool=_tool("add_to_list", "Add to the shopping list", item=_text("Item"), amount=_whole("How many")),
        requests=(
            "put {number} {item} on my shopping list.",
            "we need {number} {item}, please write that down.",
            "add {number} {item} to the list, please.",
        ),
        fields={
            "number": {word: number for word, number in _NUMBERS.items() if number <= 12},
            "item": _same("apples", "eggs", "bottles of milk", "lemons", "bread rolls"),
            "done": _DONE,
        },
        arguments={"item": "item", "amount": "number"},
        result={"status": "done"},
        answers=(
            ("{number} {item} are on your shopping list.", "neutral"),
            ("I added {number} {item}. Anything else?", "warm"),
        ),
    ),
    ToolScene(
        tool=_tool(
            "next_departure", "Next departure of a bus or train", vehicle=_text("Kind", "bus", "train"), to=_text("To")
        ),
        requests=(
            "when does the next {vehicle} to {city} leave?",
            "how long until the next {vehicle} to {city}?",
            "I want to take the {vehicle} to {city}, when does it go?",
        ),
        fields={
            "vehicle": _same("bus", "train"),
            "city": _same("London", "Boston", "Berlin", "Dublin", "the airport", "the lake"),
            "wait": {"four": 4, "seven": 7, "eleven": 11, "sixteen": 16, "twenty five": 25},
        },
        arguments={"vehicle": "vehicle", "to": "city"},
        result={"minutes": "wait"},
        answers=(
            ("the next {vehicle} to {city} leaves in {wait} minutes.", "neutral"),
            ("you have {wait} minutes until the {vehicle} leaves. Have a good trip.", "cheerful"),
        ),
    ),
)
