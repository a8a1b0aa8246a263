"""Tables of whole studies, and of what is reported beside the verdicts."""

from collections.abc import Sequence

from calibration_bars import MANY, Bars, Results, means, table, with_errors
from simulations import ALPHA
from simulations_secondary import FINDINGS, FLOORED, SPREADS
from simulations_studies import SCOPES

OCTAVES, SEEDS_OF_RATES = (0.0, 1.0), (10, 20, 40)
BARRED_FLOORS = ("shortfall", "drawdown_max", "collapses")

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
