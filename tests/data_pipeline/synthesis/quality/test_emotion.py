import itertools
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.synthesis.quality.emotion import (
    EmotionClassifier,
    count_predictions,
    evaluate_unseen_speakers,
    speaker_baselines,
)
from data_pipeline.synthesis.quality.prosody_features import prosody_features
from data_pipeline.synthesis.speakers.espeak_voices import ESPEAK_VOICES
from data_pipeline.synthesis.speakers.prosody import EMOTION_RANGES
from tests.spoken import speak

LABELS = ("angry", "neutral", "sad")
SHIFTS = {"angry": (3.0, 0.0), "neutral": (0.0, 0.0), "sad": (0.0, 3.0)}


def clips(
    speakers: int, *, offset: float, per_label: int = 10, labels: tuple[str, ...] = LABELS
) -> tuple[np.ndarray, list[str], list[str]]:
    """Features that differ by label in the same way for all speakers, who themselves differ by ``offset``."""
    random = np.random.default_rng(0)
    features, names, owners = [], [], []
    for speaker in range(speakers):
        own = random.normal(0, offset, 2)
        for label in labels:
            features.append(own + SHIFTS[label] + random.normal(0, 0.4, (per_label, 2)))
            names += [label] * per_label
            owners += [f"speaker-{speaker}"] * per_label
    return np.concatenate(features), names, owners


def test_baselines_are_means_of_neutral_clips() -> None:
    features = np.array([[1.0, 2.0], [3.0, np.nan], [9.0, 9.0], [5.0, 5.0]])
    baselines = speaker_baselines(features, ["neutral", "neutral", "sad", "sad"], ["a", "a", "a", "b"])
    assert set(baselines) == {"a"}
    np.testing.assert_array_equal(baselines["a"], [2.0, 2.0])


def test_unseen_speakers_are_recognised_relative_to_their_neutral_clips() -> None:
    features, labels, speakers = clips(6, offset=20.0)
    unseen = {"speaker-0", "speaker-1"}
    assert evaluate_unseen_speakers(features, labels, speakers, unseen).macro_recall > 0.95
    seen = ~np.isin(speakers, sorted(unseen))
    classifier = EmotionClassifier.fit(
        features[seen], np.array(labels)[seen].tolist(), np.array(speakers)[seen].tolist()
    )
    without = classifier.predict(features[~seen], ["?"] * int((~seen).sum()), {})
    assert count_predictions(np.array(labels)[~seen].tolist(), without, LABELS).macro_recall < 0.8


def test_without_neutral_clips_features_are_relative_to_the_mean() -> None:
    features, labels, speakers = clips(4, offset=0.1, labels=("angry", "sad"))
    classifier = EmotionClassifier.fit(features, labels, speakers)
    np.testing.assert_allclose(classifier.mean, features.mean(axis=0))
    np.testing.assert_allclose(classifier.scale, features.std(axis=0))
    assert classifier.predict(features, speakers, {}) == labels


def test_probabilities_are_those_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels, speakers = clips(3, offset=0.0)
    features, labels, speakers = features[:85], labels[:85], speakers[:85]  # classes of different sizes
    penalty = 0.01
    classifier = EmotionClassifier.fit(features, labels, speakers, penalty=penalty)
    baselines = speaker_baselines(features, labels, speakers)
    relative = (features - np.stack([baselines[speaker] for speaker in speakers])) / classifier.scale
    weights = np.array([1 / labels.count(label) for label in labels])
    # The loss here is its loss times 2 · penalty.
    oracle = linear_model.LogisticRegression(C=1 / (2 * penalty), tol=1e-10, max_iter=10_000)
    oracle.fit(relative, labels, sample_weight=weights / weights.sum())
    np.testing.assert_allclose(
        classifier.probabilities(features, speakers, baselines), oracle.predict_proba(relative), atol=1e-4
    )


def test_features_that_are_not_defined_count_as_the_baseline() -> None:
    features, labels, speakers = clips(3, offset=1.0)
    classifier, baselines = (
        EmotionClassifier.fit(features, labels, speakers),
        speaker_baselines(features, labels, speakers),
    )
    missing, own = np.full((1, 2), np.nan), baselines["speaker-1"][None]
    np.testing.assert_array_equal(
        classifier.probabilities(missing, ["speaker-1"], baselines),
        classifier.probabilities(own, ["speaker-1"], baselines),
    )


def test_a_saved_classifier_is_the_same(tmp_path: Path) -> None:
    features, labels, speakers = clips(3, offset=1.0)
    classifier = EmotionClassifier.fit(features, labels, speakers)
    classifier.save(tmp_path / "emotions.npz")
    loaded = EmotionClassifier.load(tmp_path / "emotions.npz")
    assert loaded.classes == classifier.classes == LABELS
    np.testing.assert_array_equal(
        loaded.probabilities(features, speakers, {}), classifier.probabilities(features, speakers, {})
    )


def test_the_matrix_counts_labels_by_prediction() -> None:
    found = count_predictions(["a", "a", "a", "a", "b"], ["a", "a", "a", "b", "a"], ("a", "b", "c"))
    assert found.matrix.tolist() == [[3, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert found.macro_recall == pytest.approx((0.75 + 0) / 2)
    assert found.table().splitlines() == [
        "| label | a | b | c | recall |",
        "|---|---|---|---|---|",
        "| a | 3 | 1 | 0 | 75 % |",
        "| b | 1 | 0 | 0 | 0 % |",
        "| c | 0 | 0 | 0 | – |",
    ]


def test_one_class_or_speakers_of_one_part_are_refused() -> None:
    features, labels, speakers = clips(2, offset=1.0)
    with pytest.raises(ValueError, match=r"at least two classes.*got \('sad',\) and 2, 2 and 2"):
        EmotionClassifier.fit(features[:2], ["sad", "sad"], ["a", "b"])
    with pytest.raises(ValueError, match="and 60, 59 and 60"):
        EmotionClassifier.fit(features, labels[1:], speakers)
    for unseen in ({"nobody"}, {"speaker-0", "speaker-1"}):
        with pytest.raises(ValueError, match="expected clips of unseen and of other speakers"):
            evaluate_unseen_speakers(features, labels, speakers, unseen)


def test_emotions_of_unseen_synthetic_voices_are_recognised_by_prosody() -> None:
    pytest.importorskip("parselmouth")
    texts = ("I talked to my mother this morning.", "The bus was late and it was raining.")
    voices = [name for name, voice in ESPEAK_VOICES.items() if voice.age == "adult"][:6]
    spoken = list(itertools.product(voices, EMOTION_RANGES, texts, range(2)))
    features = np.stack(
        [prosody_features(speak(text, voice, emotion=emotion, seed=seed)) for voice, emotion, text, seed in spoken]
    )
    evaluation = evaluate_unseen_speakers(
        features, [emotion for _, emotion, _, _ in spoken], [voice for voice, *_ in spoken], voices[4:]
    )
    assert evaluation.macro_recall >= 0.5
