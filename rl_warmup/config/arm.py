"""The arm of a run in parts, from which its labels are made; no label is taken apart again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Arm:
    """What is done to the learning rate, and whatever else tells it from the arms beside it."""

    warmup: str  # its name, and what differs from the defaults of its shape, e.g. linear-10%-gradient_steps
    learning_rate: float  # peak
    schedule: str
    rest: tuple[str, ...] = ()  # further settings, e.g. algo.n_steps=64

    @classmethod
    def recorded(cls, info: Mapping[str, Any], rest: tuple[str, ...] = ()) -> Arm:
        """The arm that a run.json is of; its config says what follows the warmup in the recorded label."""
        bare = cls("", info["config"]["learning_rate"], info["config"]["schedule"]["name"])
        return cls(info["arm"].removesuffix(bare.label), bare.learning_rate, bare.schedule, rest)

    @property
    def label(self) -> str:
        """All of it.

        >>> Arm("linear-10%-gradient_steps", 1e-3, "constant").label
        'linear-10%-gradient_steps lr=0.001 constant'
        """
        return " ".join([f"{self.warmup} lr={self.learning_rate:.4g} {self.schedule}", *self.rest])

    @property
    def short(self) -> str:
        """Without learning rate and schedule, which are shown beside it.

        >>> Arm("none", 1e-2, "cosine", ("algo.n_steps=64",)).short
        'none algo.n_steps=64'
        """
        return " ".join([self.warmup.replace("-", " ").replace("_", " "), *self.rest])
