"""A report.json by hand: every optional part is there, every verdict occurs, and its numbers tell where they go."""

from pathlib import Path
from typing import Any

from rl_warmup.analysis.problems import Problem
from rl_warmup.report.sentences import answers, limits

METRICS: dict[str, tuple[str, str, str, float | None, bool]] = {  # unit, better, role, smallest effect, noise floor
    "final": ("normalized return", "higher", "confirmatory", 0.05, False),
    "area": ("normalized return", "higher", "confirmatory", 0.05, False),
    "shortfall": ("normalized return", "lower", "confirmatory", 0.05, False),
    "not_learned": ("share of runs", "lower", "confirmatory", None, False),
    "best": ("normalized return", "higher", "exploratory", 0.05, False),
    "drawdown_max": ("normalized return", "lower", "exploratory", None, True),
    "recovered": ("share of collapses", "higher", "descriptive", None, False),
    "grad_norm": ("norm", "lower", "descriptive", None, False),
    "q_max_abs": ("return", "lower", "descriptive", None, False),
    "budget_lost": ("share", "lower", "descriptive", None, False),
}
RATES = {0.001: 1.0, 0.004: 4.0, 0.016: 16.0}
WHERE = {"env": "cartpole", "algo": "ppo", "trainer": "sb3", "total_timesteps": 50000}
SCHEDULE = {"schedule": "constant"}
VERDICTS = {  # (rate, metric): estimate, half width, verdict of the mean, in the runs seen; others: inconclusive
    (0.001, "final"): (0.004, 0.02, "equivalent", "inconclusive"),
    (0.001, "area"): (-0.0888, 0.0447, "worse", "worse"),
    (0.004, "shortfall"): (-0.12, 0.07, "inconclusive", "better"),
    (0.016, "not_learned"): (-0.25, 0.2, "better", "better"),
}
FAILURES = {
    "treatment": {"count": 2, "n": 20, "low": 0.0123, "high": 0.317, "upper": 0.283},
    "control": {"count": 5, "n": 20, "low": 0.0866, "high": 0.491, "upper": 0.456},
    "p_value": 0.375,
    "p_mid": 0.2266,
}
PLAN = {
    "sd": 0.1,
    "in_runs_seen": 40,
    "mean": 1200,
    "equivalent": 90,
    "pairs": 1200,
    "open_at_zero": 0.02,
    "open_at_half": 0.45,
}
WON = {"won": 16, "lost": 3, "tied": 1, "p_value": 0.0044, "low": 0.604, "high": 0.966}


PROBLEMS = (
    Problem("limit", "", "pilot: 10 pairs, fewer than 20 (4 of 13 confirmatory comparisons)"),
    Problem("left out", "", "run <b>x</b> is left out & named"),
    Problem(
        "no verdict",
        "inert lr=1 against none (cartpole ppo sb3)",
        "no verdict: the delivered learning rates do not differ",
    ),
)


def report(**changes: Any) -> dict[str, Any]:
    """The whole report, new on every call; `changes` replace its parts before it is put into words."""
    content = _content() | changes
    return content | {"answers": answers(content, limits(content, PROBLEMS))}


def _content() -> dict[str, Any]:
    arms = [(rate, name) for rate in RATES for name in ("none", "linear 10% gradient steps")]
    return {
        "study": _study(),
        "comparisons": _comparisons(),
        "arms": {"none": "no warmup", "linear 10% gradient steps": "linear warmup over 10% of the gradient steps"},
        "cells": [cell(rate, name) for rate, name in arms],
        "runs": [_run(rate, name, seed) for rate, name in arms for seed in range(2)],
        "dose": [_dose(rate, name) for rate, name in arms],
        "dispersion": [_dispersion(rate) for rate in RATES],
        "robustness": {
            "edges": [critical_rate()],
            "sensitivity": [
                {"warmup": "none", "algo": "ppo", "environments": ["cartpole", "acrobot", "toy"], "phi": 0.21}
            ],
        },
        "problems": list(map(str, PROBLEMS)),
        "reproduce": {
            "commands": ["python -m rl_warmup.run study=example", "python -m rl_warmup.report runs/example"],
            "versions": {"torch": ["2.13.0"], "rl-warmup": ["0.1.0", "0.2.0"]},
            "hardware": ["4 x AMD EPYC"],
            "git_commits": ["5d087eb6e6a0e1f8b26d8905c804b113c8cfea9a"],
            "devices": ["cpu"],
            "threads": [1],
            "started": "2026-11-23T21:58:20+00:00",
            "finished": "2026-11-23T22:03:20+00:00",
            "training_hours": 0.25,
        },
        "figures": [],
    }


def with_figures(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The report with one drawn figure a kind, whose files are in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="90"><rect width="900" height="9"/></svg>'
    kinds = "forest curves heatmap differences learning_rate diagnostics time_to_threshold".split()  # noqa: SIM905
    for kind in kinds:
        (folder / f"{kind}-x.svg").write_text(drawing)
    drawn = [{"name": f"{kind}-x", "kind": kind, "title": f"Title {kind}", "caption": "n < 9"} for kind in kinds]
    return {**content, "figures": drawn}


def comparison(rate: float, metric: str, **changes: Any) -> dict[str, Any]:
    """One comparison of the linear warmup with its control."""
    nothing = (0.03, 0.4, "inconclusive", "inconclusive")
    estimate, half, of_mean, in_runs_seen = VERDICTS.get((rate, metric), nothing)
    role = METRICS[metric][2]
    only_seen = of_mean == "inconclusive" != in_runs_seen
    row = {
        **WHERE,
        **SCHEDULE,
        "learning_rate": rate,
        "learning_rate_scale": RATES[rate],
        "treatment_arm": f"linear-10%-gradient_steps lr={rate:g} constant",
        "control_arm": f"none lr={rate:g} constant",
        "treatment": "linear 10% gradient steps",
        "control": "none",
        "contrast": None,
        "metric": metric,
        "family": "exploratory" if role == "exploratory" else "confirmatory",
        "n": 20,
        "n_diverged": [1, 0],
        "estimate": estimate,
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "p_value": 0.002,
        "p_adjusted": 1.0 if in_runs_seen == "inconclusive" else 0.03125,
        "bound": 1.03,
        "mean_ci_low": estimate - 1.5 * half,
        "mean_ci_high": estimate + 1.5 * half,
        "p_mean": 0.01,
        "p_mean_adjusted": 0.04 if of_mean in ("better", "worse") else 0.3,
        "p_equivalence": 0.0004,
        "p_equivalence_adjusted": 0.0016,
        "iqm": estimate,
        "iqm_ci_low": None,
        "iqm_ci_high": None,
        "pairing_correlation": 0.42,
        "p_unpaired": 0.003,
        "p_welch": None,
        "p_phan": 0.02,
        "phan_low": estimate - 2 * half,
        "phan_high": estimate + 2 * half,
        "p_betting": 0.09,
        "betting_low": estimate - 2.5 * half,
        "betting_high": estimate + 2.5 * half,
        "smallest_effect": METRICS[metric][3],
        "failures": FAILURES,
        "pairs_won": WON,
        "break_even": {"rate": 0.104, "excluded": 0.317} if only_seen else None,
        "verdict": of_mean,
        "verdict_in_runs_seen": in_runs_seen,
        "plan": None,
        "notes": [],
    }
    return row | changes


def cell(rate: float, name: str) -> dict[str, Any]:
    """One cell; the control's mean is 0.8 everywhere."""
    control = name == "none"
    values = {"mean": 0.8 if control else 0.7, "iqm": 0.75, "ci_low": 0.6, "ci_high": 0.9}
    share = {"share": 0.05, "ci_low": 0.0089, "ci_high": 0.236}
    spread = {"iqr": 0.1, "mad": 0.05, "ipr90": 30.0, "lower_cvar25": 0.4}
    metrics: dict[str, dict[str, float | None]] = {metric: dict(values) for metric in METRICS}
    metrics["drawdown_max"] |= {"noise_floor": 0.15, "above_noise_floor": 0.4}
    metrics["q_max_abs"] = dict.fromkeys(values)
    return {
        **WHERE,
        **SCHEDULE,
        "arm": f"{name.replace(' ', '-', 2).replace(' ', '_')} lr={rate:g} constant",
        "short": name,
        "learning_rate": rate,
        "learning_rate_scale": RATES[rate],
        "warmup": {"name": "none" if control else "linear", "shape": "none" if control else "linear"},
        "n": 20,
        "n_diverged": 0 if control else 1,
        "n_failed": 1 if control and rate == 0.016 else 0,
        "metrics": metrics,
        "across_seeds": {"final": dict(spread), "area": dict(spread)},
        "shares": {"diverged": dict(share), "not_learned": dict(share)},
        "time_to_threshold": {"reached": 18, "restricted_mean": 0.45, "median": None if control else 0.4},
    }


def critical_rate(**changes: Any) -> dict[str, Any]:
    """The learning-rate robustness of the linear warmup."""
    row = {
        **WHERE,
        **SCHEDULE,
        "treatment": "linear 10% gradient steps",
        "control": "none",
        "learning_rates": list(RATES),
        "learning_rate_scales": list(RATES.values()),
        "success_treatment": [1.0, 0.9, 0.45],
        "success_control": [1.0, 0.8, 0.2],
        "n_seeds": 20,
        "eta50_treatment": 0.0152,
        "eta50_control": 0.0079,
        "censored_treatment": None,
        "censored_control": None,
        "log2_ratio": 0.94,
        "ci_low": 0.31,
        "ci_high": None,
        "finding": "supported",
        "lr_sensitivity_treatment": 0.2,
        "lr_sensitivity_control": 0.3,
    }
    return row | changes


def _study() -> dict[str, Any]:
    metrics = {
        name: {
            "unit": unit,
            "better": better,
            "description": f"what {name} is",
            "role": role,
            "smallest_effect": effect,
            "binary": name == "not_learned",
            "noise_floor": floor,
        }
        for name, (unit, better, role, effect, floor) in METRICS.items()
    }
    return {
        "name": "example",
        "description": "Does it <help>?",
        "declared": True,
        "control": {"warmup.name": "none"},
        "comparisons": [{"warmup.name": "linear"}],
        "contrasts": [
            {
                "name": "dip",
                "arms": [
                    {"weight": 1.0, "where": {"warmup.name": "dip"}},
                    {"weight": -1.0, "where": {"warmup.name": "linear"}},
                ],
            }
        ],
        "smallest_effect": 0.05,
        "metrics": metrics,
        "intervals": {"comparisons": "sign-flip", "cells": "bootstrap", "p_adjusted": "Holm"},
    }


def _comparisons() -> list[dict[str, Any]]:
    tested = [name for name, about in METRICS.items() if about[2] != "descriptive"]
    rows = [comparison(rate, metric) for rate in RATES for metric in tested]
    words = {"contrast": "dip", "treatment": "1 × dip middle", "control": "1 × linear 10% gradient steps"}
    return [*rows, comparison(0.004, "final", **words)]


def _run(rate: float, name: str, seed: int) -> dict[str, Any]:
    metrics = dict.fromkeys(METRICS, 0.5) | {"q_max_abs": None}
    arm = cell(rate, name)["arm"]
    return {"run_id": f"{arm}-s{seed}", "arm": arm, "seed": seed, "status": "completed", "metrics": metrics}


def _dose(rate: float, name: str) -> dict[str, Any]:
    lost = 0.0 if name == "none" else 0.05
    return {
        **WHERE,
        **SCHEDULE,
        "arm": cell(rate, name)["arm"],
        "short": name,
        "learning_rate": rate,
        "learning_rate_scale": RATES[rate],
        "n": 20,
        "run_id": f"{name}-s0",
        "gradient_steps": 3920.0,
        "n_below_99": 388.0 if lost else 0.0,
        "budget": lost,
        "learning_rate_mean": rate * (1 - lost),
        "learning_rate_first": rate / 392 if lost else rate,
        "learning_rate_last": rate,
    }


def _dispersion(rate: float) -> dict[str, Any]:
    return {
        **WHERE,
        **SCHEDULE,
        "learning_rate": rate,
        "learning_rate_scale": RATES[rate],
        "treatment": "linear 10% gradient steps",
        "control": "none",
        "metric": "final",
        "n": 20,
        "mad_treatment": 0.11,
        "mad_control": 0.22,
        "p_value": 0.04,
        "p_adjusted": 0.12,
    }
