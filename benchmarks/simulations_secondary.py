"""Simulated answers of what is reported beside the verdicts: spread, critical rates, noise floors, delivery."""

import tempfile
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy import stats
from simulations import ALPHA, Draw, pairs
from simulations_studies import EPISODES, EVALUATIONS, STEPS, dip

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.noise_floor import beyond, floor_draws, floor_of
from rl_warmup.analysis.metrics.table import METRICS
from rl_warmup.analysis.statistics.estimators import brown_forsythe_p
from rl_warmup.analysis.statistics.robustness import log2_ratio
from rl_warmup.analysis.study import analyse
from rl_warmup.records.schema import table_schemas
from rl_warmup.records.study import write_declaration
from rl_warmup.records.write import recording

NOISE = 0.1  # sd of an episode's return, normalized


def doubled(rng: Generator, studies: int, n: int) -> tuple[FloatArray, FloatArray]:
    """Normal arms of which the treatment's seeds lie twice as far apart."""
    x, y = pairs(0.1)(rng, studies, n)
    return 2 * x, y


# what the treatment does to the spread, the arms, and whether the test holds its level: not under collapses, where
# its p is a description
SPREADS: dict[str, tuple[Draw, bool]] = {
    "A/A, normal": (pairs(0.1), True),
    "A/A, heavy tails (t3)": (pairs(0.1, heavy=True), True),
    "A/A, 15% of the runs collapse in both arms": (pairs(0.06, treatment_rate=0.15, control_rate=0.15), False),
    "shift d = 1.0, normal": (pairs(0.1, 0.1), True),
    "spread doubled, normal": (doubled, False),
    "15% of the runs collapse, none in the control": (pairs(0.06, treatment_rate=0.15), False),
}


def measure_spread(name: str, n: int, studies: int, seed: tuple[int, ...]) -> FloatArray:
    """[2, studies]: whether the spreads are called different, by our permutations and by the F distribution."""
    rng = np.random.default_rng(seed)
    x, y = SPREADS[name][0](rng, studies, n)
    ours = [brown_forsythe_p(one, other) for one, other in zip(x, y, strict=True)]
    classical = stats.levene(x, y, center="median", axis=1).pvalue
    return np.array([[p is not None and p <= ALPHA for p in ours], classical <= ALPHA], dtype=np.float64)


RATES = np.arange(-10.0, -3.0)  # log2 learning rates, a factor of two apart
FINDINGS = ("supported", "harms", "refuted", "undecided", "censored")


def measure_critical_rate(octaves: float, n: int, studies: int, seed: tuple[int, ...]) -> FloatArray:
    """[1 + 5, studies]: whether the interval of the log2 ratio covers the true one; and each of the findings.

    Half of the seeds fail from 2^-6.4 on in the control, half an octave either way by the seed, in both arms.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(studies):
        seeds = 0.5 * rng.standard_normal((n, 1))
        arms = [
            (rng.random((n, RATES.size)) < 1 / (1 + np.exp(2 * (RATES - half - seeds)))).astype(np.float64)
            for half in (-6.4 + octaves, -6.4)
        ]
        shift = log2_ratio(RATES, arms[0], arms[1])
        low = -np.inf if shift.ci_low is None else shift.ci_low
        high = np.inf if shift.ci_high is None else shift.ci_high
        rows.append([low <= octaves <= high, *(shift.finding == finding for finding in FINDINGS)])
    return np.array(rows, dtype=np.float64).T


FLOORED = tuple(metric.name for metric in METRICS.values() if metric.noise_floor)


def measure_floor(dips: bool, runs: int, seed: tuple[int, ...]) -> FloatArray:
    """[3 x metrics, runs]: value, mean of its noise floor, and whether it is beyond 95% of the floor.

    Runs of a constant policy at 1, of ten noisy episodes an evaluation; `dips`: three evaluations at .1.
    """
    rng = np.random.default_rng(seed)
    policy = dip(rng, np.ones((runs, EVALUATIONS)), float(dips))
    episodes = policy[..., None] + NOISE * rng.standard_normal((runs, EVALUATIONS, EPISODES))
    noise = floor_draws(rng, episodes)
    rows: list[FloatArray] = []
    for metric in (METRICS[name] for name in FLOORED):
        values = metric.function(STEPS, episodes.mean(axis=2), 1.0)  # it counts as solved, and is
        floor = floor_of(metric.function, STEPS, noise, 1.0)
        rows += [values, floor.mean(axis=0), beyond(values, floor, metric.better).astype(np.float64)]
    return np.array(rows)


LEARNS = np.array([0.0, 40.0, 80.0, 90.0, 100.0, 100.0])  # returns of six evaluations, normalized by 1/100
RUN = {
    "env": {"name": "toy", "return_floor": -100.0, "return_low": 0.0, "return_high": 100.0, "threshold": 90.0},
    "algo": {"name": "ppo", "n_envs": 1, "gamma": 0.99, "n_steps": 500, "batch_size": 125, "n_epochs": 1},
    "trainer": {"name": "sb3"},
    "schedule": {"name": "constant"},
    "evaluation": {"count": 6, "episodes": 2},
    "learning_rate": 1e-3,
    "total_timesteps": 5000,
    "device": "cpu",
}


def write_run(study: Path, warmup: str, seed: int, returns: FloatArray, length: int) -> None:
    """Record a run of ten update phases, four gradient steps each, warmed up over the first `length` of them."""
    ramp = {"name": warmup, "shape": warmup}
    config = RUN | {"warmup": ramp, "seed": seed}
    label = {"run_id": f"{warmup}-s{seed}", "arm": f"{warmup} lr=0.001 constant", "cell": f"toy ppo {warmup}"}
    about = label | {"study": study.name, "seed": seed, "warmup": ramp, "config": config, "device": "cpu"}
    with recording(study / label["run_id"], about, config) as writer:
        for phase in range(10):
            omega = np.minimum(1.0, (4 * phase + np.arange(1, 5)) / length)
            steps = {"env_step": 500 * (phase + 1), "gradient_step": 4 * (phase + 1), "n_steps": 4}
            rates = {"learning_rate_first": 1e-3 * omega[0], "learning_rate_last": 1e-3 * omega[-1]}
            means = {"learning_rate_mean": 1e-3 * omega.mean(), "base_learning_rate": 1e-3}
            below = {"n_below_99": int((omega < 0.99).sum()), "omega_sum": omega.sum()}
            rest = dict.fromkeys(table_schemas("ppo")["updates"], 0.5)
            writer.append("updates", rest | steps | rates | means | below)
        for step, value in zip(range(0, 6000, 1000), returns, strict=True):
            if step:
                writer.append("episodes", {"env_step": step, "return": value, "length": 1000})
            writer.append("evaluations", {"env_step": step, "returns": [value - 1, value + 1], "lengths": [1, 1]})
        writer.finish("completed", None)


def measure_delivery(inert: bool, studies: int, seed: tuple[int, ...]) -> FloatArray:
    """[3, studies]: called inert; any verdict; significant, were it not for that. From record files on disk.

    Ten pairs of runs whose returns differ by far more than their noise; `inert`: the optimizer of the treatment
    got the learning rates of the control.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(studies):
        with tempfile.TemporaryDirectory() as temporary:
            study = Path(temporary) / "study"
            for number in range(10):
                write_run(study, "none", number, LEARNS + rng.normal(0, 2), 1)
                write_run(study, "linear", number, LEARNS + 20 + rng.normal(0, 2), 1 if inert else 8)
            write_declaration(study, {"name": "study", "comparisons": [{"warmup.name": "linear"}]})
            analysis = analyse(study, rng)
        flagged = any(problem.kind == "no verdict" for problem in analysis.problems)
        verdict = any(found.verdict.headline != "inconclusive" for found in analysis.comparisons)
        significant = any((found.verdict.p_adjusted or 1.0) <= ALPHA for found in analysis.comparisons)
        rows.append([flagged, verdict, significant])
    return np.array(rows, dtype=np.float64).T
