"""What a run will do, counted before it starts: update phases, gradient steps and the evaluation grid."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from rl_warmup.schedules.bases import Schedule
from rl_warmup.schedules.warmups import Factor


@dataclass(frozen=True)
class Phases:
    """The update phases (calls of Stable-Baselines3's `train()`) of one run, in order."""

    total_timesteps: int  # the budget asked for, by which Stable-Baselines3 measures progress
    env_steps: int  # environment steps really taken: the budget rounded up to whole rollouts
    env_step: NDArray[np.int64]  # [phases] environment steps done when the phase starts
    n_steps: NDArray[np.int64]  # [phases] gradient steps of the phase
    new_objective: NDArray[np.bool_]  # [phases] whether a new objective begins: a rollout, or a target network

    @cached_property
    def gradient_steps(self) -> int:
        """Gradient steps of the whole run."""
        return int(self.n_steps.sum())

    @property
    def progress(self) -> NDArray[np.float64]:  # [phases]
        """Share of the budget done when each phase starts, in [0, 1], rounded as Stable-Baselines3 rounds it."""
        return np.clip(1.0 - (1.0 - self.env_step / self.total_timesteps), 0.0, 1.0)

    @property
    def first_steps(self) -> NDArray[np.int64]:  # [phases]
        """First gradient step of each phase."""
        return np.cumsum(self.n_steps) - self.n_steps

    @property
    def objective_starts(self) -> NDArray[np.int64]:  # [phases]
        """First gradient step under the objective of each phase."""
        return np.maximum.accumulate(np.where(self.new_objective, self.first_steps, 0))

    def phases_done(self, env_step: int) -> int:
        """Update phases that are over after so many environment steps."""
        return int(np.searchsorted(self.env_step, env_step, side="right"))

    def phase_of(self, gradient_step: int) -> int:
        """Index of the phase that takes gradient step `gradient_step` (from 0)."""
        return int(np.searchsorted(np.cumsum(self.n_steps), gradient_step, side="right"))


@lru_cache(maxsize=64)
def ppo_phases(total_timesteps: int, *, n_envs: int, n_steps: int, batch_size: int, n_epochs: int) -> Phases:
    """Phases of PPO: one after every rollout of R = n_steps·n_envs, n_epochs·ceil(R / batch_size) steps each.

    >>> ppo_phases(1000, n_envs=8, n_steps=32, batch_size=256, n_epochs=20).env_step.tolist()
    [256, 512, 768, 1024]

    Source: stable_baselines3/common/on_policy_algorithm.py (a rollout is never cut short).
    """
    rollout = n_steps * n_envs
    phases = -(-total_timesteps // rollout)
    steps = n_epochs * -(-rollout // batch_size)
    ends, every = rollout * np.arange(1, phases + 1), np.ones(phases, dtype=bool)
    return Phases(total_timesteps, phases * rollout, ends, np.full(phases, steps), every)


@lru_cache(maxsize=64)
def dqn_phases(
    total_timesteps: int,
    *,
    n_envs: int,
    train_freq: int,
    gradient_steps: int,
    learning_starts: int,
    target_update_interval: int | None = None,
) -> Phases:
    """Phases of DQN: one after every F = train_freq·n_envs steps, once more than learning_starts are done.

    Args:
        gradient_steps: of each phase; -1 for one per environment step of the phase.
        target_update_interval: environment steps between two copies of the target network; None without one.

    >>> dqn_phases(1500, n_envs=1, train_freq=256, gradient_steps=128, learning_starts=1000).env_step.tolist()
    [1024, 1280, 1536]

    Source: stable_baselines3/common/off_policy_algorithm.py.
    """
    collected = train_freq * n_envs
    rollouts = -(-total_timesteps // collected)
    ends = collected * np.arange(1, rollouts + 1)
    ends = ends[ends > learning_starts]
    steps = collected if gradient_steps < 0 else gradient_steps
    interval = total_timesteps if target_update_interval is None else target_update_interval
    copies = ends // n_envs // max(interval // n_envs, 1)
    renewed = np.diff(copies, prepend=-1) > 0  # the first objective begins with the first phase
    return Phases(total_timesteps, rollouts * collected, ends, np.full(len(ends), steps), renewed)


def evaluation_grid(phases: Phases, count: int, n_envs: int) -> NDArray[np.int64]:  # [count]
    """Environment steps at which a run is evaluated: `count` evenly spaced, step 0 and the end included.

    g_k = n_envs·ceil(round(k·T/(count-1)) / n_envs) for k = 0..count-2; the last is the run's last step.

    >>> evaluation_grid(ppo_phases(100, n_envs=8, n_steps=4, batch_size=8, n_epochs=1), 3, 8).tolist()
    [0, 56, 128]
    """
    even = np.linspace(0, phases.total_timesteps, count)
    grid = (np.ceil(np.round(even) / n_envs) * n_envs).astype(np.int64)
    grid[-1] = phases.env_steps
    return grid


def measured_phases(count: int) -> NDArray[np.int64]:
    """The update phases (from 0) at which `diagnostics=full` measures: all of up to 5, at most 48 of `count`.

    The first five, 25 from the first to the last by equal factors, and 21 of equal distances.

    >>> measured_phases(3).tolist(), measured_phases(1000)[:12].tolist()
    ([0, 1, 2], [0, 1, 2, 3, 4, 5, 6, 9, 12, 17, 23, 31])
    """
    by_factors, even = np.geomspace(1, count, 25) - 1, np.linspace(0, count - 1, 21)
    chosen = np.concatenate([np.arange(5), by_factors.round(), even.round()]).astype(np.int64)
    return np.unique(chosen[chosen < count])


def planned_learning_rates(
    phases: Phases, schedule: Schedule, step_factor: Factor | None
) -> NDArray[np.float64]:  # [gradient steps]
    """Learning rate that every optimizer step will be given: schedule(progress of its phase)·step_factor(k).

    Args:
        step_factor: warmup on the gradient-step clock; None without one, or where the warmup is in `schedule`.
    """
    rates = np.repeat(np.asarray(schedule(phases.progress), dtype=np.float64), phases.n_steps)
    return rates if step_factor is None else rates * step_factor(np.arange(phases.gradient_steps))
