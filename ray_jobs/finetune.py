"""Fine-tuning on a user's own conversations: instruction JSONL becomes a data set in the directory of the run."""

import glob
import posixpath
from dataclasses import replace
from hashlib import sha256

from data_pipeline.corpora import CorpusFiles
from data_pipeline.corpora.instructions import Instructions
from data_pipeline.dataset import absolute_url
from data_pipeline.dataset.index import read_index
from data_pipeline.preparation.bundle import has_speech_tokenizer
from data_pipeline.preparation.job import PreparationError, prepare_dataset
from data_pipeline.records import Reject
from data_pipeline.steps.row import spoken_replies
from opens2s_core.storage import absolute_directory
from opens2s_core.training.task import TrainConfig
from ray_jobs.data_recipes import dialogues
from ray_jobs.prepare_data import named_failure
from ray_jobs.progress import show_progress

_HELD_OUT_SHARE = 0.1


def fit_to_data(config: TrainConfig, data: str, model: str, output: str) -> tuple[TrainConfig, str]:
    """``config`` and the data set for a fine-tuning of ``model`` on ``data``: a prepared data set, or JSONL that is
    prepared below ``output``. A tenth of the samples is held out at most: a user's conversations may be few."""
    if data.endswith((".jsonl", ".json")):
        data = prepare_instructions(data, model, f"{output}/data")
    samples = len(read_index(absolute_url(data)))
    return replace(config, held_out=min(config.held_out, int(samples * _HELD_OUT_SHARE))), data


def prepare_instructions(data: str, model: str, directory: str) -> str:
    """Prepare the JSONL ``data`` for ``model`` in ``directory``; returns the data set, whose name is the digest of the
    JSONL: changed conversations are another data set. One that is finished is left as it is.

    Paths in the JSONL are relative to its directory, or absolute and below it. Raises :class:`PreparationError` if
    replies lack units that ``model`` cannot make, and for what :func:`prepare_dataset` cannot do.
    """
    root, name = posixpath.split(absolute_url(data))
    files, model = CorpusFiles(root), absolute_directory(model)
    try:
        content = files.read(name)
    except FileNotFoundError:
        raise PreparationError(f"{data}: expected a file of conversations in JSON Lines") from None
    reader = Instructions(manifests=glob.escape(name))
    _check_units(reader, files, data, model)
    output = f"{absolute_url(directory)}/{sha256(content).hexdigest()[:12]}"
    try:
        prepare_dataset(
            dialogues(),
            reader,
            root,
            model,
            output,
            recipe=dialogues.__name__,
            progress=show_progress,
            output_in_corpus=True,  # the reader reads the JSONL alone
        )
    except Exception as error:
        if (named := named_failure(error)) is None:
            raise
        raise PreparationError(str(named)) from error
    return output


def _check_units(reader: Instructions, files: CorpusFiles, data: str, model: str) -> None:
    if has_speech_tokenizer(model):
        return
    for part in reader.parts(files):
        for entry in reader.read(files, part):
            if isinstance(entry, Reject):
                continue
            if any(not reply.units for reply in spoken_replies(entry)):
                raise PreparationError(
                    f"{data}: {entry.id} has a reply with audio and without speech_units, and {model} has no speech "
                    "tokenizer to make them: expected speech_units in all spoken replies, or a bundle with "
                    "speech_tokenizer/ (python -m ray_jobs.export import --speech-tokenizer DIR)"
                )
