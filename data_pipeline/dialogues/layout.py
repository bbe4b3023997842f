"""The names below a corpus of dialogues.

::

    first_messages/      what users may say first
    texts/               dialogues as text
    speech/              each text in each voice and tone once, with its measures; clips in ``_files/*.zip``
    dialogues/           the dialogues whose clips are within the bounds
    train.jsonl          the same as instruction JSONL, with paths of clips below the corpus
    samples.html         some of them, to read and to listen to
    distributions.png    as Figure 3 of the OpenS2S report (arXiv 2507.05177)

Each directory is a data set, made from the ones before.
"""

FIRST_MESSAGES, TEXTS, SPEECH, DIALOGUES = "first_messages", "texts", "speech", "dialogues"
TRAIN, SAMPLES, DISTRIBUTIONS = "train.jsonl", "samples.html", "distributions.png"
ARCHIVE, ROWS = "zip", "jsonl"
"""Suffixes of the files of a shard: of clips in ``speech``, of instruction JSONL in ``dialogues``."""
