from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.iemocap import LABELS, Iemocap
from data_pipeline.records import AudioReference, Utterance
from tests.data_pipeline.corpora.reading import read_all, rejects, utterances, write

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
VOTES = "C-E2:\tNeutral;\t()\nC-F1:\tNeutral;\t(curious)\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"


def write_dialog(root: Path, dialog: str, labels: dict[str, str], *, clips: list[str], texts: str = "") -> None:
    session = root / f"Session{dialog[4]}"
    lines = [f"[{number}.2901 - {number + 1}.5]\t{id}\t{code}\t[2.5000, 2.5000, 2.5000]\n{VOTES}"
             for number, (id, code) in enumerate(labels.items())]  # fmt: skip
    write(session / "dialog" / "EmoEvaluation" / f"{dialog}.txt", HEADER + "".join(lines))
    write(session / "dialog" / "transcriptions" / f"{dialog}.txt", texts)
    for clip in clips:
        write(session / "sentences" / "wav" / dialog / f"{clip}.wav")


def test_an_utterance_has_its_label_text_times_and_fold(tmp_path: Path) -> None:
    id = "Ses01F_impro01_F000"
    write_dialog(
        tmp_path, "Ses01F_impro01", {id: "neu"}, clips=[id], texts=f"{id} [000.2901-001.5000]: Excuse me.\nF: Hm.\n"
    )
    assert read_all(Iemocap(), tmp_path) == [
        Utterance(
            id=id,
            corpus="iemocap",
            split="Session1",
            language="en",
            audio=AudioReference(path=f"Session1/sentences/wav/Ses01F_impro01/{id}.wav"),
            text="Excuse me.",
            sample_rate=16_000,
            duration=1.2099,
            speaker="Ses01F",
            gender="female",
            emotion="neutral",
            original_emotion="neu",
        )
    ]


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("[LAUGHTER] Oh my God. [BREATHING] Really?", "Oh my God. Really?"),
        ("I know.[laughter]So do I.", "I know. So do I."),
        ("[LAUGHTER]", ""),
        ("[GARBAGE] [LIPSMACK]", ""),
        ("It's-- No. (really)", "It's-- No. (really)"),
    ],
)
def test_marks_in_brackets_are_no_part_of_the_text(tmp_path: Path, stored: str, text: str) -> None:
    id = "Ses01F_impro01_F000"
    write_dialog(tmp_path, "Ses01F_impro01", {id: "hap"}, clips=[id], texts=f"{id} [000.2901-001.5000]: {stored}\n")
    assert utterances(Iemocap(), tmp_path)[id].text == text


def test_the_gender_is_that_of_the_utterance_not_of_the_recording(tmp_path: Path) -> None:
    ids = ["Ses03F_impro02_M001", "Ses03M_script01_1_F002"]
    for id in ids:
        write_dialog(tmp_path, id.rpartition("_")[0], {id: "ang"}, clips=[id])
    found = utterances(Iemocap(), tmp_path)
    assert [(found[id].gender, found[id].speaker) for id in ids] == [("male", "Ses03M"), ("female", "Ses03F")]


@pytest.mark.parametrize(
    ("code", "emotion"),
    [("exc", "happy"), ("fru", "frustrated"), ("fea", "fearful"), ("dis", "disgusted"), ("oth", "other"), ("xxx", "")],
)
def test_codes_are_mapped_and_kept(tmp_path: Path, code: str, emotion: str) -> None:
    id = "Ses05M_impro03_M010"
    write_dialog(tmp_path, "Ses05M_impro03", {id: code}, clips=[id])
    utterance = utterances(Iemocap(), tmp_path)[id]
    assert (utterance.emotion, utterance.original_emotion) == (emotion, code)
    assert len(LABELS) == 11


def test_bad_rows_are_rejected_one_by_one(tmp_path: Path) -> None:
    dialog = "Ses02F_impro01"
    labels = {f"{dialog}_F000": "neu", f"{dialog}_F001": "bored", f"{dialog}_X002": "sad", f"{dialog}_M003": "sad"}
    write_dialog(tmp_path, dialog, labels, clips=[f"{dialog}_F001", f"{dialog}_M003", f"{dialog}_M009"])
    evaluation = tmp_path / "Session2/dialog/EmoEvaluation" / f"{dialog}.txt"
    extra = f"[6.0 - 5.0]\t{dialog}_M004\tsad\t[1, 1, 1]\n[half a line\n[1.0 - 2.0]\t{dialog}_M003\tneu\t[1, 1, 1]\n"
    evaluation.write_text(evaluation.read_text() + extra)
    write(tmp_path / "Session2/sentences/wav" / dialog / f"{dialog}_M004.wav")
    entries, found = read_all(Iemocap(), tmp_path), rejects(Iemocap(), tmp_path)
    assert [entry.id for entry in entries if isinstance(entry, Utterance)] == [f"{dialog}_M003"]
    assert found[f"{dialog}_F000"].startswith("missing file: Session2/sentences/wav")
    assert found[f"{dialog}_F001"].startswith("unknown emotion: 'bored'")
    assert found[f"{dialog}_X002"].startswith("bad id:")
    assert found[f"{dialog}_M003"].startswith("duplicate id:")
    assert found[f"{dialog}_M004"].startswith("bad times: from 6.0 s to 5.0 s")
    assert found[f"{dialog}_M009"].startswith("no label:")
    assert sum(reason.startswith("bad row: '[half a line'") for reason in found.values()) == 1
    assert len(found) == 7


def test_a_dialog_without_labels_or_transcripts_loses_nothing_silently(tmp_path: Path) -> None:
    write(tmp_path / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    assert rejects(Iemocap(), tmp_path)["Ses01F_impro01_F000"].startswith("no label:")


def test_files_of_macos_are_no_clips_and_no_dialogs(tmp_path: Path) -> None:
    id = "Ses01F_impro01_F000"
    write_dialog(tmp_path / "IEMOCAP_full_release", "Ses01F_impro01", {id: "neu"}, clips=[id, f"._{id}"])
    write(tmp_path / "IEMOCAP_full_release/Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt", b"\x00\x05")
    assert [entry.id for entry in read_all(Iemocap(), tmp_path)] == [id]


def test_sessions_can_be_chosen_as_splits(tmp_path: Path) -> None:
    for session in (1, 2):
        dialog = f"Ses0{session}F_impro01"
        write_dialog(tmp_path, dialog, {f"{dialog}_F000": "neu"}, clips=[f"{dialog}_F000"])
    assert list(utterances(Iemocap(splits=("Session2",)), tmp_path)) == ["Ses02F_impro01_F000"]


def test_another_layout_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected directories of IEMOCAP, one of Session1"):
        Iemocap().parts(CorpusFiles(str(tmp_path)))


def test_an_unknown_session_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Session1/sentences/wav/Ses01F_impro01").mkdir(parents=True)
    with pytest.raises(CorpusError, match="no split 'session1'; there: Session1"):
        Iemocap(splits=("session1",)).parts(CorpusFiles(str(tmp_path)))
