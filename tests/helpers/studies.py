"""Synthetic studies with many arms, for the figures and tables that must stay readable with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers.synthetic import DECLARED, LEARNS, write_run

from rl_warmup.records.study import write_declaration


def many_arms(study: Path, arms: int, rates: Sequence[float], seeds: int = 1, shift: float = 0.0) -> Path:
    """No warmup and linear ones over 1, 2, ... of 40 gradient steps; the p-th is better by p shifts."""
    for rate in rates:
        for seed in range(seeds):
            wobble = np.random.default_rng(seed).standard_normal(len(LEARNS))
            write_run(study, "none", seed, LEARNS + wobble, learning_rate=rate)
            for part in range(1, arms):
                own = np.random.default_rng([seed, part]).standard_normal()
                _write_linear(study, part, seed, LEARNS + wobble + own + part * shift, rate)
    write_declaration(study, DECLARED)
    return study


def _write_linear(study: Path, part: int, seed: int, returns: Sequence[float], rate: float) -> None:
    warmup = {"shape": "linear", "length": part, "clock": "gradient_steps", "start": 0.0}
    info = {"warmup": {"name": "linear", "power": None, **warmup}}
    write_run(study, "linear", seed, returns, learning_rate=rate, changes={"warmup": warmup}, info=info)


def several(
    study: Path,
    shifts: Mapping[str, Sequence[float]],
    *,
    rates: Mapping[str, float] | None = None,
    declared: Mapping[str, Any] | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """A control and a linear warmup in every environment, at its tuned rate; the seed s is better by shifts[s].

    `rates`: tuned ones; `changes`: of the config, both by the environment's name.
    """
    for env, of_seed in shifts.items():
        rate = (rates or {}).get(env, 1e-3)
        own = {"env.name": env, "env.id": f"{env.capitalize()}-v0", **(changes or {}).get(env, {})}
        options: dict[str, Any] = {"learning_rate": rate, "changes": own, "info": {"tuned_learning_rate": rate}}
        for seed, shift in enumerate(of_seed):
            wobble = np.random.default_rng(seed).standard_normal(len(LEARNS))
            write_run(study, "none", seed, LEARNS + wobble, **options)
            write_run(study, "linear", seed, LEARNS + wobble + shift, **options)
    write_declaration(study, DECLARED | dict(declared or {}))
    return study
