"""What describes a finished data set: its index, manifest, report and card."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from data_pipeline.card import render_card
from data_pipeline.corpora import CorpusReader
from data_pipeline.dataset.index import build_index, write_index
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.dataset.reader import read_rejects, read_report
from data_pipeline.dataset.writer import DatasetWriter
from data_pipeline.html_report import EXAMPLES, Example, render_html
from data_pipeline.preparation.planning import Plan
from data_pipeline.records import Reject
from data_pipeline.report import Report


def describe(writer: DatasetWriter, plan: Plan, reader: CorpusReader, made_from: dict[str, Any]) -> Report:
    """Publish the index, ``report.html`` and ``card.md`` of a data set whose shards are all there, and at last the
    manifest that says that it is finished. Does nothing where that is there."""
    files = DatasetFiles(writer.url)
    if files.exists(MANIFEST):
        return read_report(writer.url)
    report = writer.report(plan.shards)
    write_index(files.filesystem, files.root, build_index(files.filesystem, files.root, plan.shards))
    title = f"{reader.card.title}: {made_from['config']['tokenise']['task']}"
    html = render_html(title, report, _examples(files, plan), _rejects(files, plan))
    files.put("report.html", html.encode())
    card = render_card(
        title, report, {reader.name: reader.card}, recipe=made_from["config"]["tokenise"]["task"], fingerprint=plan.fingerprint
    )
    files.put("card.md", card.encode())
    facts = {"fingerprint": plan.fingerprint, "made_from": made_from, "not_selected": plan.not_selected}
    return writer.finish(plan.shards, facts)
