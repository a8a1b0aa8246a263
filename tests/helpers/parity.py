"""Two versions of an environment, played at random and held against each other."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.stats import chi2_contingency, ks_2samp

from rl_warmup.config.conf import conf_dir
from rl_warmup.config.schema import EnvConfig
from rl_warmup.envs.protocol import VectorEnvs

BUILT_IN = sorted(file.stem for file in (conf_dir() / "env").glob("*.yaml") if file.stem != "gym")
"""Names of the environments in conf/env."""

LEVEL = 0.01
"""Chance that any of the comparisons of one environment finds a difference where there is none."""

FEW = 20
"""Values that a number has at most, to be compared by how often it has each."""

ROUNDING = 1e-6
"""Within which numbers of observations are taken for one."""


@cache
def env_of(name: str) -> EnvConfig:
    """The environment conf/env/<name>.yaml."""
    given = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"env/{name}.yaml"))
    assert isinstance(given, dict)
    return EnvConfig(**{field.name: given[field.name] for field in fields(EnvConfig) if field.name in given})


@dataclass(frozen=True)
class Episodes:
    """Episodes of random actions, environment after environment, in the order in which each played them."""

    first: NDArray[Any]  # [envs, episodes, ...] observations after the resets
    returns: NDArray[np.float64]  # [envs, episodes]
    lengths: NDArray[np.int64]  # [envs, episodes]
    terminated: NDArray[np.bool_]  # [envs, episodes]


def random_actions(space: gym.Space[Any], count: int, random: np.random.Generator) -> NDArray[Any]:
    """Uniform ones of the space's type, [count, ...]."""
    if isinstance(space, gym.spaces.Discrete):
        return random.integers(0, int(space.n), count)
    assert isinstance(space, gym.spaces.Box)
    return random.uniform(space.low, space.high, (count, *space.shape)).astype(space.dtype)


def play(envs: VectorEnvs, episodes: int, seed: int) -> Episodes:
    """The first `episodes` of every environment; those of one that is through earlier are left out."""
    random, begins = np.random.default_rng(seed), envs.reset()
    played: list[list[tuple[Any, float, int, bool]]] = [[] for _ in begins]
    returns, lengths = np.zeros(len(begins)), np.zeros(len(begins), int)
    while min(map(len, played)) < episodes:
        transition = envs.step(random_actions(envs.action_space, len(begins), random))
        returns, lengths = returns + transition.rewards, lengths + 1
        for env in np.flatnonzero(transition.terminated | transition.truncated):
            played[env].append((begins[env].copy(), returns[env], lengths[env], transition.terminated[env]))
            begins[env], returns[env], lengths[env] = transition.observations[env], 0.0, 0
    return Episodes(*(np.array([[row[i] for row in rows[:episodes]] for rows in played]) for i in range(4)))


@dataclass(frozen=True)
class Difference:
    """Of two samples of one number."""

    p: float  # chance of as large a difference between samples of one distribution
    distance: float  # between the distribution functions, at most
    shift: float  # of the means, in standard deviations


def differences(one: Episodes, other: Episodes) -> dict[str, Difference]:
    """Of the returns, the lengths, how episodes end, and of every number of a first observation that varies.

    Numbers of few values are compared by the chi-squared test, others by that of Kolmogorov and Smirnov.
    """
    names = ("returns", "lengths", "terminated")
    samples = {name: [getattr(each, name).ravel().astype(float) for each in (one, other)] for name in names}
    firsts = [each.first.reshape(each.returns.size, -1).astype(float) for each in (one, other)]
    for index in np.flatnonzero(np.ptp(np.concatenate(firsts), axis=0) > ROUNDING):
        samples[f"first observation [{index}]"] = [first[:, index] for first in firsts]
    return {name: _difference(*pair) for name, pair in samples.items()}


def _difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> Difference:
    smirnov = ks_2samp(one, other, method="asymp")
    deviation = np.concatenate([one - one.mean(), other - other.mean()]).std()
    shift = (one.mean() - other.mean()) / deviation if deviation else 0.0
    values = np.unique(np.concatenate([one, other]))
    p = _chi_squared(one, other, values) if len(values) <= FEW else smirnov.pvalue
    return Difference(float(p), float(smirnov.statistic), float(shift))


def _chi_squared(one: NDArray[np.float64], other: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Its p; values that are rare in both are taken together."""
    table = np.array([[(sample == value).sum() for value in values] for sample in (one, other)])
    rare = table.sum(axis=0) < 10
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.any(axis=0)]
    return float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
