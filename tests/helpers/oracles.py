"""Slow, obvious versions of what the package computes, for the tests to compare with."""

import math
from collections.abc import Callable

# ---- schedules ----


def warmup_factor(shape: str, x: float, start: float, power: float = 2.0) -> float:
    """omega at the share x of the warmup, one number at a time, formulas as the literature writes them."""
    if x >= 1:
        return 1.0
    if shape == "exponential":
        return math.exp((1 - x) * math.log(start))
    g = {
        "linear": x,
        "saturating": (1 - math.exp(-5 * x)) / (1 - math.exp(-5)),
        "cosine": (1 - math.cos(math.pi * x)) / 2,
        "polynomial": math.pow(x, power),
        "sqrt": math.sqrt(x),
        "one_minus_sqrt": 1 - math.sqrt(1 - x),
        "constant": 0.0,
    }[shape]
    return start + (1 - start) * g


def rectification(t: int, beta2: float) -> float:
    """RAdam's factor at update t = 1, 2, ... from the idea behind rho_t, without its closed form.

    rho_t is the length of the simple moving average with the same mean age as Adam's second moment, whose
    weights at ages 0 .. t-1 are proportional to beta2^age: (rho_t - 1)/2 = mean age.
    """
    weights = [beta2**age for age in range(t)]
    rho_t = 1 + 2 * math.fsum(age * weight for age, weight in enumerate(weights)) / math.fsum(weights)
    rho = 1 + 2 * beta2 / (1 - beta2)
    if rho_t <= 4:
        return 0.0
    return math.sqrt((rho_t - 4) / (rho - 4) * (rho_t - 2) / (rho - 2) * rho / rho_t)


# ---- the collection loops of Stable-Baselines3 ----

Phases = list[tuple[int, int]]  # environment steps done before the update phase, its gradient steps


def walk_ppo(total: int, n_envs: int, n_steps: int, batch_size: int, n_epochs: int) -> tuple[int, Phases]:
    """Environment steps of a PPO run and its update phases, walked one vector step and one minibatch at a time."""
    done, phases = 0, []
    while done < total:
        for _ in range(n_steps):
            done += n_envs
        updates = 0
        for _ in range(n_epochs):
            first = 0
            while first < n_steps * n_envs:
                updates += 1
                first += batch_size
        phases.append((done, updates))
    return done, phases


def walk_dqn(
    total: int, n_envs: int, train_freq: int, gradient_steps: int, learning_starts: int
) -> tuple[int, Phases]:
    """Environment steps of a DQN run and its update phases, walked one vector step at a time."""
    done, phases = 0, []
    while done < total:
        collected = 0
        for _ in range(train_freq):
            done += n_envs
            collected += n_envs
        if done > learning_starts:
            phases.append((done, collected if gradient_steps == -1 else gradient_steps))
    return done, phases


def delivered_rates(
    phases: Phases, total: int, schedule: Callable[[float], float], factor: Callable[[int], float]
) -> list[float]:
    """Learning rate of every gradient step: the schedule asked once a phase, the factor before every step."""
    rates: list[float] = []
    for done, updates in phases:
        progress_remaining = 1.0 - float(done) / float(total)
        base = schedule(min(max(1.0 - progress_remaining, 0.0), 1.0))
        for _ in range(updates):
            rates.append(base * factor(len(rates)))
    return rates
