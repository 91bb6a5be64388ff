"""The jobs of the demo, in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["finished", "failed"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One job, and how it is meant to end.

    Attributes:
        entrypoint: What it runs.
        about: What there is to see, in a few words.
        values: Values for its parameters.
        inputs: Which artifact of an earlier job each artifact parameter gets, as the
            entrypoint of that job and the artifact's name.
        outcome: The status that it is meant to end with.
    """

    entrypoint: str
    about: str
    values: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    outcome: Outcome = "finished"


SCENES = (
    Scene(
        entrypoint="hello-world",
        about="two steps, and a text as artifact",
        values={"name": "Dioptra"},
    ),
    Scene(
        entrypoint="chain-produce",
        about="stores a file and a folder",
    ),
    Scene(
        entrypoint="chain-consume",
        about="reads what the job before has stored",
        inputs={
            "readings": ("chain-produce", "readings"),
            "by_day": ("chain-produce", "by-day"),
        },
    ),
    Scene(
        entrypoint="sklearn-evaluation",
        about="trains a classifier and attacks it",
    ),
    Scene(
        entrypoint="failing-job",
        about="fails on purpose: its log says why",
        outcome="failed",
    ),
)
