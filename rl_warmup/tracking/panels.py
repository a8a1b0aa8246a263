"""Charts of a study's runs at W&B, from report.json: each shows what `publish` sends, by the name it is sent under.

A group here is the cells of one environment, algorithm, trainer and budget: what is drawn into one chart.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rl_warmup.analysis.cells import Group
from rl_warmup.records.schema import table_schemas
from rl_warmup.records.words import digest
from rl_warmup.report.figures.sheets import file_name
from rl_warmup.report.markdown import escape, findings
from rl_warmup.report.tables import grouped
from rl_warmup.report.words import GROUP, Row, capital, metric_name, place, rate, varied
from rl_warmup.tracking.library import wr, ws
from rl_warmup.tracking.rows import DOSE
from rl_warmup.tracking.study_run import tables

LINES = 100
"""Groups of runs that a chart shows at most, which W&B limits to 10 by default."""

ARM, WARMUP, RATE = wr.Metric("JobType"), wr.Config("warmup.name"), wr.Config("learning_rate")

Panels = list[Any]


def groups_of(report: Row) -> dict[str, list[Row]]:
    """The cells of each group, under its name in words."""
    named = varied(report["cells"])
    return grouped(report["cells"], lambda cell: place(cell, named))


def sections(report: Row, cells: Sequence[Row], figures: Sequence[str]) -> list[Any]:
    """The sections of a group's workspace; `figures` are the names of those that were sent."""
    groups = list(dict.fromkeys(map(_group, report["cells"])))
    own = file_name(_group(cells[0]), groups)

    def shown(*kinds: str) -> Panels:
        return pictures(report, figures, kinds, own)

    parts: dict[str, Panels] = {
        "Verdicts": [
            wr.MarkdownPanel(markdown=findings(report)),
            *shown("forest", "differences"),
            *_tables(report, "pooled", "comparisons", "cells", "intervals", "edges"),
        ],
        "Return": [*returns(), *shown("curves", "heatmap", "time_to_threshold")],
        "Stability": stability(report, cells),
        "Dose": [*doses(report), *shown("learning_rate"), *_tables(report, "dose")],
        "Diagnostics": [*diagnostics(cells), *shown("diagnostics")],
        "Hyperparameters and metrics": [coordinates(report, cells)],
        "Diverged runs": [*diverged(cells), *_tables(report, "runs")],
    }
    return [
        ws.Section(name=name, panels=fixed(panels, name), is_open=name in ("Verdicts", "Return"))
        for name, panels in parts.items()
        if panels
    ]


def returns() -> Panels:
    """Curves of the return: one line per arm, warmup and learning rate."""
    by = {"arm": ARM, "warmup": WARMUP, "learning rate": RATE}
    evaluated = [_curve("eval/return_mean", f"Evaluation return by {name}", key) for name, key in by.items()]
    return [*evaluated, _curve("train/return", "Return of training episodes by arm", ARM)]


def stability(report: Row, cells: Sequence[Row]) -> Panels:
    """The metrics of stability, one bar per arm."""
    metrics = report["study"]["metrics"]
    return [
        _bars(f"metrics/{name}", f"{capital(metric_name(name))}: {metrics[name]['description']}")
        for name in _scored(cells, metrics)
        if metrics[name]["noise_floor"]
    ]


def doses(report: Row) -> Panels:
    """The learning rates that optimizers received over time, and what a warmup took of their sum."""
    if not report["dose"]:
        return []
    return [
        _curve("dose/learning_rate_mean", "Learning rate received, by arm", ARM),
        _bars("received/budget", "Share of the summed learning rate that was taken away"),
        _bars("received/n_below_99", "Gradient steps below 99% of the base learning rate"),
    ]


def diagnostics(cells: Sequence[Row]) -> Panels:
    """What happens inside the update phases, one line per arm."""
    columns = [name for name in table_schemas(cells[0]["algo"])["updates"] if name not in {*DOSE, "env_step"}]
    return [_curve(f"diagnostics/{name}", f"{capital(metric_name(name))} by arm", ARM) for name in columns]


def coordinates(report: Row, cells: Sequence[Row]) -> Any:
    """Parallel coordinates: what was varied on the left, what came of it on the right."""
    metrics = report["study"]["metrics"]
    scored = [name for name in _scored(cells, metrics) if metrics[name]["role"] == "confirmatory"]
    lengths = any(cell["warmup"].get("length") is not None for cell in cells)
    columns = [
        wr.ParallelCoordinatesPlotColumn(WARMUP, "warmup"),
        *([wr.ParallelCoordinatesPlotColumn(wr.Config("warmup.length"), "length")] if lengths else []),
        wr.ParallelCoordinatesPlotColumn(RATE, "learning rate", log=True),
        wr.ParallelCoordinatesPlotColumn(wr.Config("seed"), "seed"),
        *(_axis(f"metrics/{name}", metric_name(name)) for name in scored),
        _axis("diverged", "diverged"),
    ]
    return wr.ParallelCoordinatesPlot(title="One line per run", columns=columns)


def diverged(cells: Sequence[Row]) -> Panels:
    """How many runs diverged, all in all and by arm, and in words."""
    found = [
        f"- {cell['n_diverged']} of {cell['n']} in {escape(cell['short'])} at {rate(cell)}"
        for cell in cells
        if cell["n_diverged"]
    ]
    text = ["Diverged, and scored as the worst attainable return:", "", *found]
    return [
        wr.ScalarChart(title="Runs that diverged", metric="diverged", groupby_aggfunc="sum"),
        _bars("diverged", "Runs that diverged, by arm", total=True),
        wr.MarkdownPanel(markdown="\n".join(text) if found else "None."),
    ]


def pictures(report: Row, sent: Sequence[str], kinds: Sequence[str] = (), own: str = "") -> Panels:
    """The figures that were `sent`, of these kinds, of the group with files called `own` or of the whole study."""
    return [
        wr.MediaBrowser(title=figure["title"], media_keys=[f"figures/{figure['name']}"], num_columns=1)
        for figure in report["figures"]
        if figure["name"] in sent and (not kinds or figure["kind"] in kinds) and _is_of(figure, own)
    ]


def fixed(panels: Panels, where: str, columns: int = 0) -> Panels:
    """The panels with ids that are the same every time, in a grid of `columns` where W&B does not lay them out."""
    for number, panel in enumerate(panels):
        panel._id = fixed_id(f"{where} {number}")
        if columns:
            width = 24 // columns
            panel.layout = wr.Layout(x=width * (number % columns), y=8 * (number // columns), w=width, h=8)
    return panels


def fixed_id(text: str) -> str:
    """An id that is the same every time; the library's own are random."""
    return digest(text, 11)


def _group(cell: Row) -> Group:
    env, algo, trainer, total = (cell[key] for key in GROUP)
    return env, algo, trainer, total


def _is_of(figure: Mapping[str, str], own: str) -> bool:
    """Whether a figure is of the whole study, or of the group whose files are called `own`."""
    rest = figure["name"].removeprefix(figure["kind"])
    return not own or not rest or f"{rest}-".startswith(f"-{own}-")


def _scored(cells: Sequence[Row], metrics: Iterable[str]) -> list[str]:
    """The metrics that some run of the group has a value of: others are not sent."""
    return [name for name in metrics if any(cell["metrics"][name]["mean"] is not None for cell in cells)]


def _tables(report: Row, *names: str) -> Panels:
    filled = tables(report)
    return [wr.WeavePanelSummaryTable(table_name=f"report/{name}") for name in names if filled[name]]


def _curve(key: str, title: str, by: Any) -> Any:
    """One line per group, the mean of its runs, with their standard error."""
    return wr.LinePlot(
        title=title,
        x="env_step",
        y=[key],
        title_x="environment steps",
        groupby=by,
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        max_runs_to_show=LINES,
    )


def _bars(key: str, title: str, total: bool = False) -> Any:
    """One bar per arm: the sum over its runs, or their mean with its standard error."""
    return wr.BarPlot(
        title=title,
        metrics=[key],
        groupby=ARM,
        groupby_aggfunc="sum" if total else "mean",
        groupby_rangefunc="none" if total else "stderr",
        max_runs_to_show=LINES,
        max_bars_to_show=LINES,
    )


def _axis(key: str, name: str) -> Any:
    return wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(key), name)
