"""Synthetic studies with many arms, for the figures and tables that must stay readable with them."""

from collections.abc import Sequence
from pathlib import Path

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
