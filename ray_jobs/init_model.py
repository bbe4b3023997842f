"""Start a model from nothing: ``python -m ray_jobs.init_model --recipe demo --texts SOURCE --output BUNDLE``.

The text tokenizer is learned from texts and all weights of the language models are random; the voice is one that can
speak already. A source of texts is a corpus as ``CORPUS:DIR`` (``instructions:runs/dialogues``, ``librispeech:DIR``),
of which transcripts and messages are read, a text file (``.txt``), or a JSONL of conversations.
"""

import argparse
import glob
import posixpath
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from data_pipeline.corpora import CORPORA, CorpusError, CorpusFiles, CorpusReader
from data_pipeline.corpora.checks import checked_entries, checked_parts
from data_pipeline.corpora.instructions import Instructions
from data_pipeline.corpora.tables import text_lines
from data_pipeline.dataset import absolute_url
from data_pipeline.records import Reject, RejectedRow, Utterance
from opens2s_core.storage import fetch_directory, is_published, new_directory
from opens2s_core.training.from_scratch import ScratchConfig, create_bundle
from opens2s_core.voices import SLT
from ray_jobs.recipes import RECIPES


def init_model(config: ScratchConfig, texts: Sequence[str], output: str, *, voice: str | Path = SLT) -> None:
    """Write a bundle at ``output``, whole or not at all; one that is there stays as it is.

    ``texts`` are sources of :func:`read_texts`. ``voice`` is a directory or URL with ``speech_tokenizer/`` and
    ``token2wav/``.
    """
    if is_published(output):
        print(f"{output} is there already")
        return
    with new_directory(output) as bundle:
        create_bundle(config, chain.from_iterable(map(read_texts, texts)), fetch_directory(voice), bundle)


def read_texts(source: str) -> Iterator[str]:
    """The texts of a source: ``CORPUS:DIR`` with a name of CORPORA, ``FILE.txt`` or ``FILE.jsonl``; paths may be URLs.
    Rows that cannot be read are left out.

    Raises :class:`CorpusError` for other sources and for those without a text.
    """
    found = False
    for text in _texts(source):
        found = found or bool(text.strip())
        yield text
    if not found:
        raise CorpusError(f"{source}: expected some text")


def _texts(source: str) -> Iterator[str]:
    name, _, root = source.partition(":")
    if name in CORPORA:
        return _corpus_texts(CORPORA[name](), CorpusFiles(absolute_url(root)))
    directory, file = posixpath.split(absolute_url(source))
    files = CorpusFiles(directory)
    if not source.endswith((".txt", ".jsonl")):
        raise CorpusError(
            f"{source}: expected CORPUS:DIR with a corpus of {', '.join(CORPORA)}, a text file (.txt), or "
            "conversations (.jsonl)"
        )
    if not files.exists(file):
        raise CorpusError(f"{source}: expected a file, it does not exist")
    if source.endswith(".jsonl"):
        return _corpus_texts(Instructions(manifests=glob.escape(file)), files)
    return (line for _, line in text_lines(files, file) if not isinstance(line, RejectedRow))


def _corpus_texts(reader: CorpusReader, files: CorpusFiles) -> Iterator[str]:
    for part in checked_parts(reader, files):
        for entry in checked_entries(reader, files, part):
            if isinstance(entry, Utterance):
                yield entry.text
            elif not isinstance(entry, Reject):
                yield from (content.text for message in entry.messages for content in message.content)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.init_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="named configuration of the run")
    parser.add_argument("--texts", required=True, nargs="+", metavar="SOURCE", help="what the tokenizer learns from")
    parser.add_argument("--output", required=True, help="directory or URL of the new bundle")
    parser.add_argument("--voice", default=SLT, help="directory or URL of a voice (default: the one of this package)")
    args = parser.parse_args(argv)
    try:
        init_model(RECIPES[args.recipe]().scratch, args.texts, args.output, voice=args.voice)
    except (ValueError, OSError) as error:  # what is wrong with the given directories
        raise SystemExit(f"python -m ray_jobs.init_model: {error}") from error
    print(f"an untrained model is at {args.output}")


if __name__ == "__main__":
    main()
