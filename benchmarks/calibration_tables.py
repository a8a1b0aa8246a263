"""Tables of what the methods make of pairs of runs, of studies that are looked at, and of plans."""

from collections.abc import Sequence

import numpy as np
from calibration_bars import MANY, Bars, Results, error, means, shares, table, with_errors
from simulations import ADVERSARIAL, ALPHA, AT_THE_EDGE, CASES, REFERENCE_POWER, Case
from simulations_looks import FAMILY, LOOKS, REAL, RULES, SHARED, TRUTHS, WAYS
from simulations_methods import METHODS
from simulations_plans import PILOTS, PLANNED, PROMISES, SD, TESTS, TOO_LITTLE

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.table import RETURN_EFFECT

OURS = ("Dirichlet", "sign flips")
REFERENCE_STUDIES = 2000
PROMISED, NEARLY = 0.8, 0.05  # the power of a plan, and by how much it may miss it


def pair_tables(results: Results, sizes: Sequence[int], bars: Bars) -> None:
    """Print wrong verdicts and coverage of all methods, and their power."""
    rows: dict[str, list[list[str]]] = {"wrong": [], "covers": [], "power": []}
    for case in CASES:
        for method in results[case.name, sizes[0]]:
            wrong, covers, right = ([results[case.name, n][method][:, k] for n in sizes] for k in range(3))
            # others than ours where it is hard: the mean is 0, or D asymmetric
            if method in OURS or (method in METHODS and not (case.mean and case.symmetric)):
                both = _bars(bars, method, case.symmetric, wrong, covers)
                rows["wrong"].append([case.name, method, *shares(wrong), both[0]])
                rows["covers"].append([case.name, method, *shares(covers), both[1]])
            if case.mean:
                rows["power"].append(
                    [case.name, method, *shares(right), _as_reference(bars, case.name, method, right)]
                )
    header = ["D", "method", *(f"n = {n}" for n in sizes), "bar"]
    table("Wrong better or worse, of the mean", header, rows["wrong"])
    table("The 95% interval holds the mean", header, rows["covers"])
    table("Power: the right direction found, one comparison", header, rows["power"])


def _bars(
    bars: Bars, method: str, symmetric: bool, wrong: list[FloatArray], covers: list[FloatArray]
) -> tuple[str, str]:
    """The rule of the mean holds its promise everywhere, the sign flips where D is symmetric."""
    if method == "Dirichlet":
        return bars.at_most(wrong, ALPHA), bars.at_least(covers, 1 - ALPHA)
    if method == "sign flips" and symmetric:
        return bars.at_most(wrong, ALPHA, MANY), bars.at_least(covers, 1 - ALPHA, MANY)
    return "–", "–"


def _as_reference(bars: Bars, case: str, method: str, right: list[FloatArray]) -> str:
    """Whether the power is that of the other implementation, within the errors of both and its rounding."""
    reference = REFERENCE_POWER.get((case, method))
    if reference is None:
        return "–"
    pairs = zip(right, reference, strict=False)
    return bars(
        *(
            abs(x.mean() - p) <= 0.006 + MANY * np.hypot(error(x), (p * (1 - p) / REFERENCE_STUDIES) ** 0.5)
            for x, p in pairs
        )
    )


def edge_table(results: Results, sizes: Sequence[int], bars: Bars) -> None:
    """Print how often a difference at the edge of equivalence is called equivalent."""
    rows = []
    for case in AT_THE_EDGE:
        for rule in ("Dirichlet", "sign flips"):
            cells = [results[case.name, n][rule][:, 0] for n in sizes]
            barred = rule == "Dirichlet" or case.symmetric
            bar = bars.at_most(cells, ALPHA, 2 if rule == "Dirichlet" else MANY) if barred else "–"
            rows.append([case.name, rule, *shares(cells), bar])
    header = ["D", "rule", *(f"n = {n}" for n in sizes), "bar"]
    table("Equivalent, wrongly", header, rows)


def adversarial_table(results: Results, sizes: Sequence[int], bars: Bars) -> None:
    """Print how often the Dirichlet tests reject a mean of 0, one-sided."""
    rows = []
    for name in ADVERSARIAL:
        found = [results[name, n]["Dirichlet"] for n in sizes]
        cells = [f"{up:.4f} / {down:.4f}" for up, down in (one.mean(axis=0) for one in found)]
        rows.append([name, *cells, bars.at_most([side for one in found for side in one.T], ALPHA / 2, MANY)])
    title = "Dirichlet test against mean ≤ 0 / mean ≥ 0 where the mean is 0, level .025, b = 1"
    table(title, ["D", *(f"n = {n}" for n in sizes), "bar"], rows)


def looks_tables(results: Results, bars: Bars) -> None:
    """Print levels, families and stopping times of studies that are looked at."""
    rows = []
    for rule in RULES:
        cell = results["level", 0][rule][:, 0]
        bar = bars(abs(cell.mean() - ALPHA) <= 2 * error(cell))
        rows.append([rule, cell.size, *with_errors([cell]), bar])
    title = f"Group-sequential sign flips, looks at {', '.join(map(str, LOOKS))} pairs: level, nominal .05"
    table(title, ["spending", "studies", "stops for a difference where there is none", "bar"], rows)

    rows = []
    for real in (0, REAL):
        for rule in RULES:
            false, found, pairs = results["family", real][rule].T
            row = [f"{real} of {FAMILY} differ", rule, false.size, *with_errors([false])]
            rows.append(
                [*row, *(with_errors([found]) + means(pairs) if real else ["–", "–"]), bars.at_most([false], ALPHA)]
            )
    header = ["comparisons", "spending", "studies", "any false", "all real ones found", "pairs until then", "bar"]
    table(f"Families of {FAMILY} (correlation {SHARED}), Holm across looks", header, rows)

    rows = []
    for truth in TRUTHS:
        for way in WAYS:
            found = results[truth.name, 0][way]
            cells = shares(found[:, :3].T)
            rows.append(
                [
                    truth.name,
                    way,
                    len(found),
                    *cells,
                    f"{found[:, 3].mean():.0f}",
                    _of_mean(bars, truth, way, found),
                ]
            )
    header = ["truth", "looked at by", "studies", "better", "worse", "equivalent", "pairs", "bar"]
    table("Studies that stop when they decide, one comparison, at most 100 pairs", header, rows)


def _of_mean(bars: Bars, truth: Case, way: str, found: FloatArray) -> str:
    """What the rules of the mean must not say, whatever the truth."""
    if not way.startswith(("Dirichlet", "betting")):
        return "–"
    false = {0: truth.mean <= 0, 1: truth.mean >= 0, 2: truth.mean != 0}  # better, worse, equivalent
    wrong = found[:, [column for column, is_false in false.items() if is_false]].max(axis=1)
    return bars.at_most([wrong], ALPHA)


def plan_tables(results: Results, bars: Bars) -> None:
    """Print the pairs that are planned, and the power that they have."""
    rows = []
    for effect, sd in PLANNED:
        found = results[f"plan {effect:g} {sd:g}", 0]
        cells = [f"{found[name][0, 0]:.0f}: {found[name][:, 1].mean():.2f}" for name in PROMISES]
        bar = bars.at_least([found[name][:, 1] for name in PROMISES], PROMISED - NEARLY)
        rows.append([f"{effect:g}", f"{sd:g}", len(found["mean"]), *cells, bar])
    header = ["effect or δ", "sd", "studies", "seen in the runs", "shown for the mean", "equivalent", "bar"]
    table("Pairs planned for a power of 80%, and the power that they have, one comparison", header, rows)

    rows = []
    for n in PILOTS:
        pairs, power = results["pilot", n]["plans"].T
        below = (power < TOO_LITTLE).astype(np.float64)
        row = [n, power.size, f"{np.median(pairs):.0f}", *means(power), *with_errors([below])]
        rows.append([*row, bars(power.mean() >= PROMISED)])
    header = [
        "pairs of the pilot",
        "plans",
        "median pairs planned",
        "mean power",
        f"power below {TOO_LITTLE}",
        "bar",
    ]
    table(f"Plans from pilots: sd {SD}, δ {RETURN_EFFECT}, {TESTS} tests, in the runs seen", header, rows)
