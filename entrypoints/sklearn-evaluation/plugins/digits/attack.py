"""The attack: pixels are changed a little, so that the model is wrong."""

import warnings
from typing import Any

import numpy as np
import structlog
from dioptra import pyplugs
from sklearn.linear_model import LogisticRegression

with warnings.catch_warnings():
    # It warns of the frameworks that are not installed; this plugin needs none.
    warnings.simplefilter("ignore")
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import SklearnClassifier

LOGGER = structlog.get_logger()

ATTACKS = ("fast-gradient", "projected-gradient")


@pyplugs.register
def perturb(
    model: LogisticRegression,
    x: np.ndarray,
    y: np.ndarray,
    attack: str,
    strength: float,
) -> np.ndarray:
    """Change samples so that a model takes them for something else.

    Args:
        model: The model under attack.
        x: One sample a row, with values from 0 to 1.
        y: The right class of each.
        attack: ``fast-gradient`` takes one step, ``projected-gradient`` many small
            ones.
        strength: By how much each value may change.

    Returns:
        The changed samples, with values from 0 to 1.

    Raises:
        ValueError: There is no attack of that name.
    """
    if attack not in ATTACKS:
        raise ValueError(f"no attack {attack!r}: choose one of {', '.join(ATTACKS)}")
    if strength == 0:
        return x
    changed = _attack(model, attack, strength).generate(x, y)
    LOGGER.info("attacked", attack=attack, strength=strength, samples=len(x))
    return changed


@pyplugs.register
def sweep(
    model: LogisticRegression,
    x: np.ndarray,
    y: np.ndarray,
    attack: str,
    strengths: list[float],
) -> list[dict[str, float]]:
    """Measure a model's accuracy under attacks of several strengths.

    Args:
        model: The model under attack.
        x: One sample a row, with values from 0 to 1.
        y: The right class of each.
        attack: As for `perturb`.
        strengths: The strengths; one that is given twice counts once.

    Returns:
        One ``strength`` and ``accuracy`` for each, the weakest attack first.
    """
    return [
        {
            "strength": strength,
            "accuracy": float(
                model.score(perturb(model, x, y, attack, strength), y),
            ),
        }
        for strength in sorted(set(strengths))
    ]


def _attack(model: LogisticRegression, attack: str, strength: float) -> Any:
    classifier = SklearnClassifier(model=model, clip_values=(0.0, 1.0))
    if attack == "fast-gradient":
        return FastGradientMethod(classifier, eps=strength)
    return ProjectedGradientDescent(
        classifier, eps=strength, eps_step=strength / 5, max_iter=20, verbose=False
    )
