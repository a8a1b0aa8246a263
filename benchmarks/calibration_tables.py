"""Markdown tables of simulated shares, and the bars that they have to pass."""

from collections.abc import Iterable, Sequence

import numpy as np
from simulations import ADVERSARIAL, ALPHA, AT_THE_EDGE, CASES, REFERENCE_POWER, Case, Shares
from simulations_looks import FAMILY, LOOKS, REAL, RULES, SHARED, TRUTHS, WAYS
from simulations_methods import METHODS
from simulations_secondary import FINDINGS, FLOORED, SPREADS
from simulations_studies import SCOPES

from rl_warmup.analysis import FloatArray

Results = dict[tuple[str, int], Shares]

OURS = ("Dirichlet", "sign flips")
MANY = 3  # standard errors allowed where a hundred cells are looked at
REFERENCE_STUDIES = 2000
OCTAVES, SEEDS_OF_RATES = (0.0, 1.0), (10, 20, 40)
BARRED_FLOORS = ("shortfall", "drawdown_max", "collapses")


def error(x: FloatArray) -> float:
    """Monte-Carlo standard error of a share."""
    return float(np.sqrt(x.mean() * (1 - x.mean()) / x.size))


class Bars:
    """Remembers whether all bars were passed."""

    passed = failed = 0

    def __call__(self, *good: bool) -> str:
        """PASS if all are good."""
        self.passed, self.failed = self.passed + all(good), self.failed + (not all(good))
        return "PASS" if all(good) else "FAIL"

    def at_most(self, cells: Iterable[FloatArray], limit: float, errors: float = 2) -> str:
        """PASS if all shares are, `errors` standard errors allowed."""
        return self(*(cell.mean() - errors * error(cell) <= limit for cell in cells))

    def at_least(self, cells: Iterable[FloatArray], limit: float, errors: float = 2) -> str:
        """The same from below."""
        return self(*(cell.mean() + errors * error(cell) >= limit for cell in cells))


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    print(f"\n### {title}\n", *("| " + " | ".join(map(str, line)) + " |" for line in lines), sep="\n", flush=True)


def shares(cells: Iterable[FloatArray]) -> list[str]:
    """Three decimals each."""
    return [f"{cell.mean():.3f}" for cell in cells]


def with_errors(cells: Iterable[FloatArray]) -> list[str]:
    """`share ± standard error` each."""
    return [f"{cell.mean():.3f} ± {error(cell):.3f}" for cell in cells]


def means(*values: FloatArray) -> list[str]:  # [runs] each
    """`mean ± standard error` of each."""
    return [f"{x.mean():.3f} ± {x.std() / np.sqrt(x.size):.3f}" for x in values]


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


WHOLE_ROWS = (  # scenario, what is counted, which columns of measure_whole, under the bar
    ("A/A", "any better or worse", [0], True),
    ("constant policy", "any better or worse", [0], True),
    ("constant policy", "final equivalent", [3], False),
    ("collapse", "shortfall worse", [8], False),
    ("collapse", "final or not_learned better or worse", [1, 2, 10, 11], True),
    ("faster", "area better", [4], False),
    ("fewer stuck", "final better", [1], False),
    ("fewer stuck", "not_learned better", [10], False),
    ("fewer stuck", "shortfall better", [7], False),
)


def whole_table(results: Results, sizes: Sequence[int], bars: Bars) -> None:
    """Print the verdicts of whole studies, Holm over the four metrics."""
    rows = []
    for scenario, counted, wanted, barred in WHOLE_ROWS:
        for scope in SCOPES[:1] if "equivalent" in counted else SCOPES:  # only the mean can be equivalent
            cells = [results[f"whole {scenario}", n][scope][:, wanted].max(axis=1) for n in sizes]
            bar = bars.at_most(cells, ALPHA) if barred else "–"
            rows.append([scenario, counted, scope, *with_errors(cells), bar])
    header = ["arms", "counted", "verdict of", *(f"n = {n}" for n in sizes), "bar"]
    table("Whole studies on learning curves, family-wise", header, rows)


def beside_tables(results: Results, sizes: Sequence[int], bars: Bars) -> None:
    """Print the secondary quantities: spread, critical rates, noise floors, delivery."""
    rows: list[list[object]] = []
    for name, (_, barred) in SPREADS.items():
        for k, test in enumerate(("permutation", "F distribution")):
            cells = [results[f"spread {name}", n]["all"][k] for n in sizes]
            bar = bars.at_most(cells, ALPHA, MANY) if barred and k == 0 else "–"
            rows.append([name, test, *with_errors(cells), bar])
    header = ["arms", "p by", *(f"n = {n}" for n in sizes), "bar"]
    table("Dispersion: spreads called different by Brown and Forsythe's test", header, rows)

    rows = []
    for octaves in OCTAVES:
        for n in SEEDS_OF_RATES:
            found = results[f"critical rate {octaves:g}", n]["all"]
            rows.append([f"{octaves:g}", n, found.shape[1], *with_errors(found)])
    header = ["true log2 ratio", "seeds", "studies", "95% interval covers", *FINDINGS]
    table("Learning rate at which half of the runs fail, grid of factors of two", header, rows)

    rows = []
    for place, metric in enumerate(FLOORED):
        for name in ("constant", "dips"):
            value, floor, above = results[name, 0]["all"][3 * place : 3 * place + 3]
            barred = name == "constant" and metric in BARRED_FLOORS
            what = "constant policy" if name == "constant" else "the same, three evaluations at .1"
            bar = bars.at_most([above], ALPHA) if barred else "–"
            rows.append([metric, what, value.size, *means(value, floor), *with_errors([above]), bar])
    header = ["metric", "run", "runs", "mean", "mean floor", "beyond 95% of the floor", "bar"]
    table("Stability of one run beside its noise floor", header, rows)

    rows = []
    for name in ("inert", "delivered"):
        flagged, verdict, significant = results[name, 0]["all"]
        right = flagged.all() and not verdict.any() if name == "inert" else not flagged.any() and verdict.all()
        rows.append([name, flagged.size, *with_errors([flagged, verdict, significant]), bars(bool(right))])
    header = ["warmup", "studies", "said not to be delivered", "any verdict", "any adjusted p ≤ .05", "bar"]
    table("A warmup that did not reach the optimizer, from record files", header, rows)
