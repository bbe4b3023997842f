"""The description of a finished data set: its index, report, card and manifest."""

import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from data_pipeline.card import render_card
from data_pipeline.corpora import CorpusFiles, CorpusReader
from data_pipeline.dataset.index import INDEX, build_index, write_index
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.dataset.reader import read_rejects, read_report
from data_pipeline.dataset.writer import DatasetWriter, Marker
from data_pipeline.html_report import EXAMPLES, Example, render_html
from data_pipeline.preparation.planning import Plan, read_planned
from data_pipeline.preparation.shard import Preparation
from data_pipeline.preparation.work import decode_entry
from data_pipeline.records import Entry, Reject, Utterance
from data_pipeline.report import Report, merge_reports
from data_pipeline.steps.prepare import prepare_clips
from data_pipeline.steps.row import PreparedRow, labelled_speaker, run_step

_REPORT, _CARD = "_report.html", "_card.md"


def describe(
    preparation: Preparation,
    reader: CorpusReader,
    made_from: dict[str, Any],
    markers: Mapping[str, Marker],
    recipe: str = "",
) -> Report:
    """Publish the index, ``_report.html`` and ``_card.md`` of a data set with all its shards, and last the manifest,
    which marks it as finished. ``markers`` are those of the shards. Does nothing where all of them are there."""
    writer, plan = DatasetWriter(preparation.output), preparation.plan
    files = DatasetFiles(writer.url)
    if all(map(files.exists, (MANIFEST, INDEX, _REPORT, _CARD))):
        return read_report(writer.url)
    files.remove(MANIFEST)
    report = merge_reports(markers[shard].report for shard in plan.shards)
    write_index(files, build_index(files.filesystem, files.root, plan.shards))
    task = made_from["config"]["tokenise"]["task"]
    title = f"{reader.card.title}: {task}"
    page = render_html(title, report, _examples(preparation), _rejects(files.url, plan))
    files.put(_REPORT, page.encode())
    card = render_card(
        title, report, {reader.name: reader.card}, recipe=recipe or "not named", fingerprint=plan.fingerprint
    )
    files.put(_CARD, card.encode())
    facts = {
        "recipe": recipe,
        "fingerprint": plan.fingerprint,
        "made_from": made_from,
        "not_selected": plan.not_selected,
    }
    return writer.finish(plan.shards, facts, markers=markers)


def _rejects(url: str, plan: Plan) -> Iterator[Reject]:
    for shard in plan.shards:
        for row in read_rejects(url, shard).to_pylist():
            yield Reject(**row)


def _examples(preparation: Preparation) -> list[Example]:
    """Rows that became samples, from shards that lie evenly over the data set."""
    shards = preparation.plan.shards
    chosen = shards[:: max(len(shards) // EXAMPLES, 1)]
    count = -(-EXAMPLES // max(len(chosen), 1))
    found = (itertools.islice(_shard_examples(preparation, shard), count) for shard in chosen)
    return list(itertools.chain.from_iterable(found))[:EXAMPLES]


def _shard_examples(preparation: Preparation, shard: str) -> Iterator[Example]:
    rejected = set(read_rejects(preparation.output, shard)["id"].to_pylist())
    files = CorpusFiles(preparation.root)
    for position, data in read_planned(preparation.output, shard).entries.items():
        row = PreparedRow(shard=shard, position=position, entry=decode_entry(data))
        if row.entry.id in rejected:
            continue
        # Samples of some tasks have no audio, and none has that of replies.
        row = run_step("clips", partial(prepare_clips, files=files, config=preparation.config.clips), row)
        if row.clips:
            yield _example(row.entry, row.clips)


def _example(entry: Entry, clips: tuple[bytes, ...]) -> Example:
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
        clips=clips,
        emotion=speaker.emotion,
        gender=speaker.gender,
        age=speaker.age,
    )
