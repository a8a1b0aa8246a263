"""Simulated whole studies: learning curves through the metrics, compare and decide, four metrics in a family."""

import gc

import numpy as np
from numpy.random import Generator

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.constants import Scale
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.statistics.verdicts import Verdict, compare, decide

CONFIRMATORY = with_role("confirmatory")
EVALUATIONS, EPISODES, THRESHOLD = 21, 10, 0.95
STEPS = np.arange(EVALUATIONS)
SCALE = Scale(0.0, 1.0, THRESHOLD, normalized=True, z_min=-0.05, z_max=1.05)
SCENARIOS = ("A/A", "constant policy", "collapse", "faster", "fewer stuck")
SCOPES = ("mean", "runs seen")


def evaluated(rng: Generator, policy: FloatArray) -> FloatArray:  # [..., evaluations]
    """Mean of ten noisy episodes (sd .1) for each evaluation of a policy, within the bounds."""
    noisy = policy + 0.1 / np.sqrt(EPISODES) * rng.standard_normal(policy.shape)
    return np.clip(noisy, SCALE.z_min, SCALE.z_max)


def dip(rng: Generator, curves: FloatArray, rate: float) -> FloatArray:  # [runs, evaluations]
    """Let a share of the runs fall to .1 for three evaluations of the second half, and come back before its end."""
    start = rng.integers(11, 16, size=(len(curves), 1))
    age = STEPS - start
    inside = (age >= 0) & (age < 3) & (rng.random(start.shape) < rate)
    return np.where(inside, np.minimum(curves, 0.1), curves)


def learning(rng: Generator, seeds: FloatArray, slowness: float, stuck: float) -> FloatArray:
    """Curves [runs, evaluations] up to the ceiling 1; `stuck` runs stay at .2, every tenth run dips by itself."""
    timescale = 5 * slowness * np.exp(0.3 * (seeds + rng.standard_normal(seeds.shape)))[:, None]
    plateau = np.where(rng.random(timescale.shape) < stuck, 0.2, 1.1)
    policy = dip(rng, plateau * (1 - np.exp(-STEPS / timescale)), 0.1)
    return np.minimum(evaluated(rng, policy), 1.0)


def simulate(scenario: str, rng: Generator, n: int) -> tuple[FloatArray, FloatArray]:
    """Treatment and control curves [n, evaluations]; the first two scenarios have exchangeable arms."""
    if scenario == "constant policy":
        return evaluated(rng, np.ones((n, EVALUATIONS))), evaluated(rng, np.ones((n, EVALUATIONS)))
    seeds = rng.standard_normal(n)
    stuck = 0.4 if scenario == "fewer stuck" else 0.1
    control = learning(rng, seeds, 1.0, stuck)
    treatment = learning(
        rng, seeds, 0.5 if scenario == "faster" else 1.0, 0.0 if scenario == "fewer stuck" else stuck
    )
    return dip(rng, treatment, 0.6) if scenario == "collapse" else treatment, control


def verdicts(treatment: FloatArray, control: FloatArray) -> list[Verdict]:
    """The verdicts on the four confirmatory metrics."""
    members = []
    for metric in CONFIRMATORY:
        x, y = (metric.function(STEPS, curves, THRESHOLD) for curves in (treatment, control))
        low, high = metric.bounds(SCALE) or (np.nan, np.nan)
        effect = metric.smallest_effect
        # the sensitivity analyses have no say in a verdict
        paired = compare(x, y, smallest_effect=effect, bound=high - low, binary=metric.binary, sensitivity=False)
        members.append((paired, metric.better, effect))
    return decide(members)


def measure_whole(scenario: str, n: int, studies: int, seed: tuple[int, ...]) -> dict[str, FloatArray]:
    """For both scopes: any better or worse; then better, worse and equivalent for each of the four metrics."""
    gc.freeze()  # multipletests collects garbage at every call: over all imported modules, most of the time
    rng = np.random.default_rng(seed)
    rows: dict[str, list[list[bool]]] = {scope: [] for scope in SCOPES}
    for _ in range(studies):
        found = verdicts(*simulate(scenario, rng, n))
        words = [one.verdict for one in found], [one.verdict_in_runs_seen for one in found]
        for scope, said in zip(SCOPES, words, strict=True):
            each = [word == wanted for word in said for wanted in ("better", "worse", "equivalent")]
            rows[scope].append([any(word in ("better", "worse") for word in said), *each])
    return {scope: np.array(found, dtype=np.float64) for scope, found in rows.items()}
