"""The columns of the table `updates` that only some runs have, by their canonical config."""

from collections.abc import Mapping
from typing import Any

from rl_warmup.config.inside import inside_columns

GROUPS = ("actor", "critic")
"""The parts of a PPO agent whose learning rate may be warmed up alone, in the order of the optimizer's groups."""
COEFFICIENTS = {"clip_range": "clip_range", "entropy": "ent_coef"}
"""What else than the learning rate may be warmed up, as a setting of PPO."""


def further_columns(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of a run whose warmup is of a part of the agent, or of a coefficient, and those of diagnostics=full.

    >>> further_columns({"warmup": {"shape": "linear", "on": "critic"}})
    ('learning_rate_mean_actor', 'learning_rate_mean_critic')
    """
    return (*_of_warmup(config.get("warmup", {})), *inside_columns(config))


def _of_warmup(warmup: Mapping[str, Any]) -> tuple[str, ...]:
    if warmup.get("on", "all") != "all":
        return tuple(f"learning_rate_mean_{part}" for part in GROUPS)
    of = warmup.get("of", "learning_rate")
    return () if of == "learning_rate" else (COEFFICIENTS[of],)
