"""A classifier of emotions, or of tones of delivery, by prosody alone: multinomial logistic regression.

It checks that spoken emotions match their labels. How well it does on speakers that it was not trained on says how much
of an emotion is in the prosody.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

Vectors = NDArray[np.float64]
"""Features of n clips (n, features)."""
Baselines = Mapping[str, NDArray[np.float64]]
"""A speaker's mean features (features,) over neutral clips."""

_ITERATIONS = 500


def speaker_baselines(
    features: Vectors, labels: Sequence[str], speakers: Sequence[str], neutral: str = "neutral"
) -> dict[str, NDArray[np.float64]]:
    """The baselines of the speakers that have clips with the label ``neutral``."""
    is_neutral = np.array(labels) == neutral
    names = np.array(speakers)
    return {
        str(name): _means(features[is_neutral & (names == name)]) for name in sorted(set(names[is_neutral].tolist()))
    }


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EmotionClassifier:
    """Features are taken relative to the speaker's baseline, or to ``mean`` for a speaker without one, and divided by
    ``scale``. A feature that is NaN counts as the baseline's."""

    classes: tuple[str, ...]
    mean: NDArray[np.float64]  # (features,)
    scale: NDArray[np.float64]  # (features,)
    weights: NDArray[np.float64]  # (features, classes)
    bias: NDArray[np.float64]  # (classes,)

    @classmethod
    def fit(
        cls, features: Vectors, labels: Sequence[str], speakers: Sequence[str], *, penalty: float = 1e-3
    ) -> "EmotionClassifier":
        """The classifier that minimises the cross-entropy, each class weighted alike, plus ``penalty`` times the
        squared weights. Raises ``ValueError`` for fewer than two classes or lengths that differ."""
        classes = tuple(sorted(set(labels)))
        if len(classes) < 2 or not len(features) == len(labels) == len(speakers):
            raise ValueError(
                f"expected clips of at least two classes, each with features, label and speaker, got {classes} and "
                f"{len(features)}, {len(labels)} and {len(speakers)}"
            )
        baselines = speaker_baselines(features, labels, speakers)
        mean = _means(np.stack(list(baselines.values()))) if baselines else _means(features)
        relative = _relative(features, speakers, baselines, mean)
        deviation = relative.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1.0)
        targets = np.array([classes.index(label) for label in labels])
        weights, bias = _regression(relative / scale, targets, len(classes), penalty)
        return cls(classes=classes, mean=mean, scale=scale, weights=weights, bias=bias)

    def probabilities(self, features: Vectors, speakers: Sequence[str], baselines: Baselines) -> NDArray[np.float64]:
        """(n, classes) of n clips. ``baselines`` are of their speakers, see :func:`speaker_baselines`."""
        scores = _relative(features, speakers, baselines, self.mean) / self.scale @ self.weights + self.bias
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def predict(self, features: Vectors, speakers: Sequence[str], baselines: Baselines) -> list[str]:
        """The most probable class of each clip."""
        return [self.classes[index] for index in self.probabilities(features, speakers, baselines).argmax(axis=1)]

    def save(self, path: Path) -> None:
        """As an ``.npz`` file."""
        with path.open("wb") as file:
            np.savez(
                file,
                classes=np.array(self.classes),
                mean=self.mean,
                scale=self.scale,
                weights=self.weights,
                bias=self.bias,
            )

    @classmethod
    def load(cls, file: Path | IO[bytes]) -> "EmotionClassifier":
        """Raises ``ValueError`` or ``OSError`` for another file."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls(
                classes=tuple(arrays["classes"].tolist()),
                mean=arrays["mean"],
                scale=arrays["scale"],
                weights=arrays["weights"],
                bias=arrays["bias"],
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class EmotionEvaluation:
    """``matrix`` (classes, classes) counts clips by label (rows) and prediction (columns)."""

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]

    @property
    def macro_recall(self) -> float:
        """The mean over the labels that occur of the share of clips that are predicted rightly."""
        counts = self.matrix.sum(axis=1)
        return float((self.matrix.diagonal()[counts > 0] / counts[counts > 0]).mean())

    def table(self) -> str:
        """The matrix in Markdown, with the recall of each label."""
        lines = [f"| label | {' | '.join(self.classes)} | recall |", "|---" * (len(self.classes) + 2) + "|"]
        for index, (label, counts) in enumerate(zip(self.classes, self.matrix, strict=True)):
            recall = f"{100 * counts[index] / counts.sum():.0f} %" if counts.sum() else "–"
            lines.append(f"| {label} | {' | '.join(map(str, counts))} | {recall} |")
        return "\n".join(lines)


def evaluate_unseen_speakers(
    features: Vectors, labels: Sequence[str], speakers: Sequence[str], unseen: Collection[str]
) -> EmotionEvaluation:
    """A classifier trained on the clips of the other speakers, evaluated on those of the ``unseen`` ones.

    Baselines of the unseen speakers are their own neutral clips. Raises ``ValueError`` if a part has no clips.
    """
    held_out = np.isin(np.array(speakers), sorted(unseen))
    if held_out.all() or not held_out.any():
        raise ValueError(
            f"expected clips of unseen and of other speakers, got {sorted(unseen)} of {sorted(set(speakers))}"
        )

    def part(values: Sequence[str], chosen: NDArray[np.bool_]) -> list[str]:
        return [value for value, is_chosen in zip(values, chosen, strict=True) if is_chosen]

    classifier = EmotionClassifier.fit(features[~held_out], part(labels, ~held_out), part(speakers, ~held_out))
    tested, names = part(labels, held_out), part(speakers, held_out)
    baselines = speaker_baselines(features[held_out], tested, names)
    predicted = classifier.predict(features[held_out], names, baselines)
    return count_predictions(tested, predicted, tuple(sorted(set(labels))))


def count_predictions(labels: Sequence[str], predicted: Sequence[str], classes: tuple[str, ...]) -> EmotionEvaluation:
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    for label, prediction in zip(labels, predicted, strict=True):
        matrix[classes.index(label), classes.index(prediction)] += 1
    return EmotionEvaluation(classes=classes, matrix=matrix)


def _means(features: Vectors) -> NDArray[np.float64]:
    """Means of the columns over what is not NaN, 0 for a column that is NaN throughout."""
    known = np.isfinite(features)
    return np.where(known, features, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _relative(features: Vectors, speakers: Sequence[str], baselines: Baselines, mean: NDArray[np.float64]) -> Vectors:
    references = np.stack([baselines.get(speaker, mean) for speaker in speakers])
    return np.nan_to_num(features - references, nan=0.0)


def _regression(
    inputs: Vectors, targets: NDArray[np.int64], classes: int, penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (features, classes) and bias (classes,). The problem is convex: the result depends on no seed."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    class_weights = 1.0 / torch.bincount(y, minlength=classes).to(torch.float64)
    weights = torch.zeros(x.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (
            torch.nn.functional.cross_entropy(x @ weights + bias, y, class_weights) + penalty * weights.square().sum()
        )
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach().numpy(), bias.detach().numpy()
