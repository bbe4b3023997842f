"""The description of a finished data set: its index, report, card and manifest."""

import itertools
from collections.abc import Iterator
from typing import Any

from data_pipeline.card import render_card
from data_pipeline.corpora import CorpusReader
from data_pipeline.dataset.index import INDEX, build_index, write_index
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.dataset.reader import read_rejects, read_report, read_shard
from data_pipeline.dataset.writer import DatasetWriter
from data_pipeline.html_report import EXAMPLES, Example, render_html
from data_pipeline.preparation.planning import Plan, read_planned
from data_pipeline.preparation.work import decode_entry
from data_pipeline.records import Entry, Reject, Utterance
from data_pipeline.report import Report, merge_reports
from data_pipeline.schema import SAMPLE
from data_pipeline.steps.row import labelled_speaker

_REPORT, _CARD = "_report.html", "_card.md"


def describe(writer: DatasetWriter, plan: Plan, reader: CorpusReader, made_from: dict[str, Any]) -> Report:
    """Publish the index, ``_report.html`` and ``_card.md`` of a data set with all its shards, and last the manifest,
    which marks it as finished. Does nothing where all of them are there."""
    files = DatasetFiles(writer.url)
    if all(map(files.exists, (MANIFEST, INDEX, _REPORT, _CARD))):
        return read_report(writer.url)
    files.remove(MANIFEST)
    report = merge_reports(writer.reports(plan.shards).values())
    write_index(files.filesystem, files.root, build_index(files.filesystem, files.root, plan.shards))
    task = made_from["config"]["tokenise"]["task"]
    title = f"{reader.card.title}: {task}"
    page = render_html(title, report, _examples(files.url, plan), _rejects(files.url, plan))
    files.put(_REPORT, page.encode())
    card = render_card(title, report, {reader.name: reader.card}, recipe=task, fingerprint=plan.fingerprint)
    files.put(_CARD, card.encode())
    facts = {"fingerprint": plan.fingerprint, "made_from": made_from, "not_selected": plan.not_selected}
    return writer.finish(plan.shards, facts)


def _rejects(url: str, plan: Plan) -> Iterator[Reject]:
    for shard in plan.shards:
        for row in read_rejects(url, shard).to_pylist():
            yield Reject(**row)


def _examples(url: str, plan: Plan) -> list[Example]:
    """Samples with audio, from shards that lie evenly over the data set."""
    step = max(len(plan.shards) // EXAMPLES, 1)
    shards = plan.shards[::step]
    found = [list(itertools.islice(_shard_examples(url, shard), EXAMPLES)) for shard in shards]
    in_turns = itertools.chain.from_iterable(itertools.zip_longest(*found))
    return [example for example in in_turns if example is not None][:EXAMPLES]


def _shard_examples(url: str, shard: str) -> Iterator[Example]:
    entries = {entry.id: entry for entry in map(decode_entry, read_planned(url, shard).entries.values())}
    for sample in read_shard(url, shard, SAMPLE).to_pylist():
        if sample["audios"] and sample["id"] in entries:
            yield _example(entries[sample["id"]], sample["audios"])


def _example(entry: Entry, clips: list[bytes]) -> Example:
    speaker = labelled_speaker(entry)
    if isinstance(entry, Utterance):
        text, reply = entry.text, ""
    else:
        texts = {
            role: " ".join(content.text for m in entry.messages if m.role == role for content in m.content)
            for role in ("user", "assistant")
        }
        text, reply = texts["user"], texts["assistant"]
    return Example(
        id=entry.id,
        corpus=entry.corpus,
        language=entry.language,
        text=text,
        reply=reply,
        clips=tuple(clips),
        emotion=speaker.emotion,
        gender=speaker.gender,
        age=speaker.age,
    )
