"""The optimizers, and what is needed of them outside the trainers that implement them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Optimizer:
    """What the code outside the trainers needs of an optimizer."""

    second_moments: bool = True  # whether it divides by them, and so has beta2 and eps
    relative: bool = False  # whether it counts its steps from the last new objective on, as Adam-Rel does
    mean_of_relative: bool = False  # whether its rate is lowered by the mean factor that this amounts to


OPTIMIZERS: Mapping[str, Optimizer] = {
    "adam": Optimizer(),
    "adamw": Optimizer(),
    "radam": Optimizer(),
    "sgd": Optimizer(second_moments=False),
    "rmsprop": Optimizer(),
    "adam_uncorrected": Optimizer(),
    "gi_adam": Optimizer(),
    "adam_rel": Optimizer(relative=True),
    "adam_rel_mean": Optimizer(mean_of_relative=True),
}
"""Every optimizer by name; the rules are in trainers/functional/optimizers.py."""
