"""Send the first message of every dialogue of a corpus to a served model:
``python -m ray_jobs.evaluate --dialogues DIR --endpoint URL``.

Prints how often the reply's text is exactly the corpus's, and with ``--json`` writes every reply to a file.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_pipeline.dialogues.reading import SpokenDialogue, read_dialogues
from opens2s_core.audio import decode_audio
from serve_app.ui.client import ChatEndpoint, Settings
from serve_app.ui.timed_reply import TimedReply, timed_reply

_FIRST = ("user", "assistant")


def evaluate(dialogues: str, endpoint: str) -> list[dict[str, Any]]:
    """One row a dialogue: its id, what was expected, the reply's text, whether they agree, and the times."""
    return asyncio.run(_evaluate(read_dialogues(dialogues), ChatEndpoint(endpoint)))


async def _evaluate(dialogues: Sequence[SpokenDialogue], endpoint: ChatEndpoint) -> list[dict[str, Any]]:
    rows = []
    for dialogue in tqdm(dialogues, desc="replies", unit="dialogue"):
        user, expected = (next(m for m in dialogue.messages if m.message["role"] == role) for role in _FIRST)
        reply: TimedReply = await timed_reply(endpoint, *decode_audio(user.audio), Settings())
        rows.append(
            {
                "id": dialogue.row["id"],
                "expected": expected.message["text"],
                "text": reply.text,
                "right": reply.text == expected.message["text"],
                "first_text": reply.first_text,
                "first_audio": reply.first_audio,
                "real_time_factor": reply.real_time_factor,
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.evaluate", description=__doc__)
    parser.add_argument("--dialogues", required=True, help="directory or URL of dialogues (ray_jobs.build_dialogues)")
    parser.add_argument("--endpoint", default="http://127.0.0.1:8000", help="where the model is served")
    parser.add_argument("--json", type=Path, help="file for every reply")
    args = parser.parse_args(argv)
    rows = evaluate(args.dialogues, args.endpoint)
    right = sum(row["right"] for row in rows)
    print(f"{right} of {len(rows)} replies ({right / len(rows):.0%}) are word for word those of the corpus")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
