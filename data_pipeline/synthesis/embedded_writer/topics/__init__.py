"""What people talk about. Each module has a few topics."""

from data_pipeline.synthesis.embedded_writer.scene import Topic
from data_pipeline.synthesis.embedded_writer.topics import (
    animals,
    body,
    eating,
    events,
    home,
    learning,
    leisure,
    outdoors,
    people,
    things,
    transport,
    working,
)

TOPICS: tuple[Topic, ...] = (
    *people.TOPICS,
    *events.TOPICS,
    *learning.TOPICS,
    *working.TOPICS,
    *body.TOPICS,
    *home.TOPICS,
    *eating.TOPICS,
    *leisure.TOPICS,
    *outdoors.TOPICS,
    *transport.TOPICS,
    *things.TOPICS,
    *animals.TOPICS,
)
