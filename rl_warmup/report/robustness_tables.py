"""The tables of dispersion over seeds and of robustness to the learning rate."""

from collections.abc import Mapping, Sequence
from typing import Any

from rl_warmup.report.tables import Columns, Entry, Table, heading_of, table
from rl_warmup.report.words import Row, bare_p, interval, metric_name, number, place, varied


def dispersion(report: Mapping[str, Any]) -> Table | None:
    """Whether the arms differ in their dispersion over seeds."""
    rows = report["dispersion"]
    columns: Columns = {
        "metric": lambda row: metric_name(row["metric"]),
        "n": lambda row: str(row["n"]),
        "MAD, treatment": lambda row: number(row["mad_treatment"]),
        "MAD, control": lambda row: number(row["mad_control"]),
        "p": lambda row: bare_p(row["p_value"]),
        "adjusted p": lambda row: bare_p(row["p_adjusted"]),
    }
    caption = "Dispersion over seeds: Brown–Forsythe statistic, permutation p, Benjamini–Hochberg over this table."
    return table("dispersion", "Dispersion over seeds", caption, rows, columns, heading_of(rows))


def critical_rates(report: Mapping[str, Any]) -> Table | None:
    """The learning rate at which half of the runs still learn: one row per arm, treatment before control."""
    found = report["robustness"]["edges"]
    named = varied(found)
    rows = [{**row, "arm": arm} for row in found for arm in ("treatment", "control")]
    columns: Columns = {
        "arm": lambda row: str(row[row["arm"]]),
        "seeds": lambda row: str(row["n_seeds"]),
        "share that learned, by rate": lambda row: " ".join(f"{one:.0%}" for one in row[f"success_{row['arm']}"]),
        "sensitivity": lambda row: number(row[f"lr_sensitivity_{row['arm']}"]),
        "η50": _eta50,
        "log2 ratio": _ratio,
        "finding": lambda row: row["finding"] if row["arm"] == "treatment" else "",
    }
    title = "Learning rates at which half of the runs learn"
    caption = (
        "η50: learning rate at which half of the runs learn (logistic fit); log2 ratio: treatment over control in "
        "octaves, with its bootstrap interval over seeds; sensitivity: mean loss over the grid (0: none)."
    )
    return table("edges", title, caption, rows, columns, lambda row: _grid(row, named))


def phi(report: Mapping[str, Any]) -> Table | None:
    """How much is lost by one learning rate for all environments."""
    columns: Columns = {
        "warmup": lambda row: row["warmup"],
        "algorithm": lambda row: row["algo"].upper(),
        "environments": lambda row: ", ".join(row["environments"]),
        "Φ": lambda row: number(row["phi"]),
    }
    title = "One learning rate for all environments"
    caption = "Φ: normalized score lost by using one learning rate in all environments instead of the best in each."
    return table("phi", title, caption, report["robustness"]["sensitivity"], columns, words=3)


def _eta50(row: Row) -> Entry:
    """Where half of the runs still learn, or on which side of the grid that is."""
    value, side = row[f"eta50_{row['arm']}"], row[f"censored_{row['arm']}"]
    return Entry("–" if value is None else f"{value:.3g}", "" if side is None else f"{side} the grid")


def _ratio(row: Row) -> Entry:
    if row["arm"] == "control" or row["log2_ratio"] is None:
        return Entry("–" if row["arm"] == "treatment" else "")
    ends = interval(row["ci_low"], row["ci_high"], digits=2)
    return Entry(number(row["log2_ratio"], sign=True, digits=2), ends)


def _grid(row: Row, named: Sequence[str]) -> str:
    rates = ", ".join(f"{value:.4g}" for value in row["learning_rates"])
    schedule = "" if row["schedule"] == "constant" else f"{row['schedule']}, "
    return f"{place(row, named)} · {schedule}learning rates {rates}"
