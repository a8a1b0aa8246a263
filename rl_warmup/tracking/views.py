"""The W&B workspaces of a study, one for each group, and its report: made from report.json, saved in place."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rl_warmup.records.schema import FINISHED
from rl_warmup.records.words import digest
from rl_warmup.report.markdown import background, findings
from rl_warmup.report.words import GROUP, Row
from rl_warmup.tracking import client, panels
from rl_warmup.tracking.library import expr, view_at, wr, ws
from rl_warmup.tracking.study_run import JOB_TYPE

_SETTINGS = {key: key if key == "total_timesteps" else f"{key}.name" for key in GROUP}
_COLUMNS = ("config:warmup.value.name", "config:learning_rate.value", "config:seed.value", "summary:status")


@dataclass(frozen=True)
class View:
    """A workspace or report of the library, with its key in the ledger and what it shows, as JSON."""

    key: str
    content: Any
    spec: dict[str, Any]

    @property
    def digest(self) -> str:
        """Of what it shows."""
        return digest(json.dumps(self.spec, sort_keys=True))


def views(name: str, report: Row, project: str, figures: Sequence[str]) -> list[View]:
    """A workspace for each group of the study `name`, since W&B filters the runs of a workspace, not of a chart;
    and the report. `figures` are the names of those that `publish` sends.
    """
    found = panels.groups_of(report)
    made = []
    for words, cells in found.items():
        title = name if len(found) == 1 else f"{name}: {words}"
        runs = _runs(name, report, cells, with_study=True)
        content = _workspace(project, title, runs, panels.sections(report, cells, figures))
        made.append(_view(" ".join(["workspace", *(str(cells[0][key]) for key in _SETTINGS)]), content))
    return [*made, _view("report", _report(project, name, report, figures))]


def save(view: View, entity: str, study_run: str, known: str | None) -> str:
    """Create a view at W&B, or update the one whose place is `known` if it is still there; its id and address.

    `study_run` is the W&B id of the study's own run, which has the tables and figures. Raises what the client
    raises.
    """
    content = view.content
    content.entity = entity
    old = known.split()[0] if known else ""
    identity = old if old and view_at(old) else ""
    if isinstance(content, wr.Report):
        content.id = identity
        content.save()
        return f"{content.id} {content.url}"
    content.runset_settings.pinned_runs = [study_run]
    content._internal_name = f"nw-{panels.fixed_id(f'{study_run} {view.key}')}-v"
    content._internal_id = identity
    content.save()
    return f"{content._internal_id} {content.url}"


def _view(key: str, content: Any) -> View:
    model = content._to_model()
    spec = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    about = {"description": content.description} if isinstance(content, wr.Report) else {}
    return View(key, content, {"name": model.display_name, **about, "spec": spec})


def _workspace(project: str, title: str, runs: Any, parts: list[Any]) -> Any:
    return ws.Workspace(
        entity="",  # known once W&B is asked
        project=project,
        name=client.fit(title, 128, unusual=r"[^\w .,:()/-]"),
        sections=parts,
        settings=ws.WorkspaceSettings(x_axis="env_step", max_runs=panels.LINES),
        runset_settings=ws.RunsetSettings(
            filters=runs,
            order=[ws.Ordering(ws.Summary("diverged"), ascending=False), ws.Ordering(ws.Metric("Name"))],
            pinned_columns=["run:displayName", *_COLUMNS],
        ),
    )


def _report(project: str, name: str, report: Row, figures: Sequence[str]) -> Any:
    blocks = [wr.MarkdownBlock(findings(report))]
    for words, cells in panels.groups_of(report).items():
        shown = [*panels.returns(), *panels.doses(report), *panels.diverged(cells)]
        blocks += [wr.H2(words), _grid(words, _runs(name, report, cells), shown, 3)]
    if any(cell["n_diverged"] for cell in report["cells"]):
        runs = expr.And(_tagged(name), ws.Summary("diverged") == 1)
        blocks += [wr.H2("Diverged runs"), _grid("Diverged runs", runs, panels.returns()[:1], 1)]
    if drawn := panels.pictures(report, figures):
        own = expr.And(_tagged(name), ws.Metric("JobType") == JOB_TYPE)
        blocks += [wr.H2("Figures"), _grid("Figures", own, drawn, 2)]
    blocks.append(wr.MarkdownBlock(background(report)))
    about = {"title": client.fit(f"{name}: findings", 128), "description": report["study"]["description"] or ""}
    return wr.Report(entity="", project=project, blocks=blocks, **about)


def _grid(name: str, runs: Any, shown: list[Any], columns: int) -> Any:
    runset = wr.Runset(name=name, filters=runs)
    runset._id = panels.fixed_id(f"runs {name}")
    return wr.PanelGrid(runsets=[runset], panels=panels.fixed(shown, name, columns))


def _runs(name: str, report: Row, cells: Sequence[Row], with_study: bool = False) -> Any:
    """The filter for the runs of a group, and for the study's own."""
    own = [
        ws.Summary("status").isin(list(FINISHED)),  # as in the report: attempts that were given up are not a curve
        *(
            ws.Config(key) == cells[0][setting]
            for setting, key in _SETTINGS.items()
            if len({cell[setting] for cell in report["cells"]}) > 1
        ),
    ]
    if with_study:
        own = [expr.Or(ws.Metric("JobType") == JOB_TYPE, condition) for condition in own]
    return expr.And(_tagged(name), *own)


def _tagged(name: str) -> Any:
    return ws.Tags().isin([client.fit(name, 64)])
