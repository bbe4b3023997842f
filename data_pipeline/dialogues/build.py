"""Building a corpus of dialogues: four data sets, each made from the one before, and what is made of the last one."""

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from data_pipeline.dataset import (
    DatasetError,
    DatasetWriter,
    Shard,
    absolute_url,
    finished_shards,
    read_rows,
    read_shard,
)
from data_pipeline.dataset.layout import DatasetFiles, file_of
from data_pipeline.dataset.plan import fingerprint
from data_pipeline.dataset.reader import read_rejects
from data_pipeline.dialogues.assemble import Part, make_corpus, plan_corpus
from data_pipeline.dialogues.casting import cast_of
from data_pipeline.dialogues.config import BuildConfig, TextConfig
from data_pipeline.dialogues.description import distributions, sample_page
from data_pipeline.dialogues.first_messages import make_first_messages, people, plan_first_messages, select_messages
from data_pipeline.dialogues.layout import (
    DIALOGUES,
    DISTRIBUTIONS,
    FIRST_MESSAGES,
    ROWS,
    SAMPLES,
    SPEECH,
    TEXTS,
    TRAIN,
)
from data_pipeline.dialogues.opening import ConfiguredTools, open_writer
from data_pipeline.dialogues.schema import FIRST_MESSAGE, WRITTEN
from data_pipeline.dialogues.services import UnansweredError, make_answered, unanswered_rows
from data_pipeline.dialogues.speech import make_speech, plan_speech
from data_pipeline.dialogues.texts import make_dialogues, plan_dialogues
from data_pipeline.dialogues.utterances import Cast, PlannedUtterance, Voice, distinct, planned_utterances
from data_pipeline.preparation.bundle import speech_fingerprint
from data_pipeline.preparation.shard import check_rejects
from data_pipeline.progress import ShowProgress
from data_pipeline.report import Report
from data_pipeline.runner import Make, run_shards
from data_pipeline.steps.rejects import UNANSWERED
from data_pipeline.synthesis.protocols import Person, Writer
from opens2s_core.config import config_to_dict

_BUILT = "_built.json"
"""Written last: the fingerprint of the dialogues that the other files are made from."""
ShowStage = Callable[[str], ShowProgress]
"""The progress of a stage by its name."""


def build_corpus(config: BuildConfig, output: str, progress: ShowStage) -> Report:
    """Publish the corpus at ``output``, a directory or URL.

    A build that was killed resumes when it is started again; a finished one changes nothing. Raises
    :class:`~data_pipeline.dialogues.services.UnansweredError`,
    :class:`~data_pipeline.dialogues.services.ServiceError`,
    :class:`~data_pipeline.preparation.shard.TooManyRejects` and :class:`~data_pipeline.dataset.DatasetError`.
    """
    url = absolute_url(output)
    with DatasetFiles(url).for_one_job():
        build = _Build(config, url, progress)
        build.write_texts(build.write_first_messages())
        report = build.assemble(build.speak())
        check_rejects(url, report, config.max_reject_share)
        _publish(url)
    return report


_Spoken = dict[str, list[PlannedUtterance | None]]
"""For each dialogue the utterances of its messages, None for a message that is not spoken."""


class _Build:
    """The data sets of a corpus at ``url``. What is wrong with the configuration is found here, before anything is
    written."""

    def __init__(self, config: BuildConfig, url: str, progress: ShowStage) -> None:
        self._config, self._url, self._progress = config, url, progress
        self._tools, self._spoken_by = ConfiguredTools(config), _spoken_by(config)
        self._tools.open_all()
        self._writer, self._open_writer = open_writer(config.writer), partial(open_writer, config.writer)
        wanted = _people(config.texts, self._writer)
        self._cast = partial(cast_of, config.voices, wanted)  # it counts the use of clips
        self._first_messages = plan_first_messages(config.texts, self._writer)
        voice, _ = self._cast()(*min(wanted, key=str), random.Random(0))
        if not DatasetFiles(url).exists(_BUILT):
            self._tools.try_out(voice)

    def write_first_messages(self) -> list[dict[str, Any]]:
        """Those that are used, rows of schema FIRST_MESSAGE."""
        texts, url = self._config.texts, self._url
        make = partial(make_first_messages, writer=self._open_writer, language=texts.language)
        written = self._make(FIRST_MESSAGES, self._first_messages, make)
        rows = list(read_rows(self._at(FIRST_MESSAGES), FIRST_MESSAGE))
        messages, missing = select_messages(texts, self._writer, rows)
        wanted = texts.empathetic + texts.general
        if wanted and not messages:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in written.most_rejected()[:3])
            raise DatasetError(f"{url}: expected first messages by {self._writer.name}, none can be used: {kinds}")
        if missing:
            warnings.warn(f"{url}: {missing} of {wanted} first messages are missing", stacklevel=3)
        return messages

    def write_texts(self, messages: Sequence[dict[str, Any]]) -> None:
        plan = plan_dialogues(self._config.texts, messages, self._writer.name)
        report = self._make(TEXTS, plan, partial(make_dialogues, writer=self._open_writer))
        check_rejects(self._at(TEXTS), report, self._config.max_reject_share)

    def speak(self) -> list[Part]:
        """Where the utterances of each shard of texts are."""
        config, shard_rows = self._config, self._config.texts.shard_rows
        spoken = _spoken(self._at(TEXTS), self._cast(), config.voices.reply_voice)
        utterances = list(distinct(each for of_shard in spoken.values() for each in _of_messages(of_shard)).values())
        shards = plan_speech(utterances, shard_rows, self._spoken_by)
        make = partial(make_speech, tools=self._tools, quality=config.quality, concurrency=config.voices.concurrency)
        self._make(SPEECH, shards, make)
        places = {each.id: shards[number // shard_rows].name for number, each in enumerate(utterances)}
        return [_part(shard, dialogues, places) for shard, dialogues in spoken.items()]

    def assemble(self, parts: Sequence[Part]) -> Report:
        made_from = [fingerprint(finished_shards(self._at(name))) for name in (TEXTS, SPEECH)]
        make = partial(make_corpus, texts=self._at(TEXTS), speech=self._at(SPEECH), speech_path=SPEECH)
        return self._make(DIALOGUES, plan_corpus(parts, made_from), make)

    def _at(self, name: str) -> str:
        """The URL of a data set."""
        return f"{self._url}/{name}"

    def _make(self, name: str, plan: Sequence[Shard], make: Make) -> Report:
        """Publish a data set. Raises :class:`UnansweredError`; what has no answer is made again by the next job."""
        writer = DatasetWriter(self._at(name))
        reason = ""
        try:
            report = run_shards(plan, partial(make_answered, make=make), writer, self._progress(name))
        except UnansweredError as error:  # of one shard: no row got an answer
            reason = str(error)
        else:
            if not unanswered_rows(report):
                return report
        there = DatasetFiles(writer.url).shards("_shards")
        markers = writer.markers([shard.name for shard in plan if shard.name in there])
        lacking = [shard for shard, marker in markers.items() if unanswered_rows(marker.report)]
        if not reason:
            rejects = read_rejects(writer.url, lacking[0])["reason"].to_pylist()
            reason = next(each for each in rejects if each.startswith(f"{UNANSWERED}: "))
        writer.withdraw(lacking)
        reason = reason.removeprefix(f"{UNANSWERED}: ").rstrip(".")
        raise UnansweredError(f"{writer.url}: {reason}. Start again when the service answers: what is there is kept")


def _people(texts: TextConfig, writer: Writer) -> set[tuple[Person, str]]:
    """Who speaks as a user, and in which language. Dialogues with tools are English."""
    return people(texts, writer) | ({(Person(), "en")} if texts.tools else set())


def _spoken(texts: str, cast: Cast, reply_voice: Voice) -> dict[str, _Spoken]:
    """By shard of texts."""
    return {
        shard: {
            row["id"]: planned_utterances(row, cast, reply_voice)
            for row in read_shard(texts, shard, WRITTEN).to_pylist()
        }
        for shard in finished_shards(texts)
    }


def _of_messages(dialogues: _Spoken) -> Iterator[PlannedUtterance]:
    for utterances in dialogues.values():
        yield from (utterance for utterance in utterances if utterance is not None)


def _part(shard: str, dialogues: _Spoken, places: Mapping[str, str]) -> Part:
    """``places`` are the shards of utterances by id."""

    def place(utterance: PlannedUtterance | None) -> tuple[str, str]:
        return ("", "") if utterance is None else (utterance.id, places[utterance.id])

    return Part(shard=shard, utterances={id: tuple(map(place, messages)) for id, messages in dialogues.items()})


def _spoken_by(config: BuildConfig) -> dict[str, Any]:
    """All that decides how utterances are spoken and measured, beside themselves."""
    voices = config_to_dict(config.voices)
    return {
        "speakers": [voices["user_speaker"], voices["reply_speaker"]],
        "quality": config_to_dict(config.quality),
        "speech_tokenizer": speech_fingerprint(config.model) if config.model else "",
    }


def _publish(url: str) -> None:
    """The files of a finished corpus, unless they are those of the same dialogues already."""
    files, shards = DatasetFiles(url), finished_shards(f"{url}/{DIALOGUES}")
    made_from = fingerprint(shards)
    if files.exists(_BUILT) and files.read_json(_BUILT) == made_from:
        return
    files.remove(_BUILT)
    files.put(TRAIN, b"".join(files.read(f"{DIALOGUES}/{file_of(shard, ROWS)}") for shard in shards))
    files.put(DISTRIBUTIONS, distributions(url, "Dialogues"))
    files.put(SAMPLES, sample_page(url, "Dialogues", seed=0).encode())
    files.put_json(_BUILT, made_from)
