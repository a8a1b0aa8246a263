"""Workspaces and report sent by the real client to a loopback server: what they show, what again, what it costs."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time

import pytest
from helpers.paths import ROOT
from helpers.synthetic import write_run
from helpers.wandb_client import KEY, _fresh_client, log_in, of, send, serve, shown

from rl_warmup import dashboard as dashboards
from rl_warmup.dashboard import main
from rl_warmup.tracking import client as wandb_client
from rl_warmup.tracking.panels import groups_of
from rl_warmup.tracking.sent import Publications, try_lock
from rl_warmup.tracking.views import views

REFERENCE = ROOT / "runs" / "reference" / "quick" / "report.json"
WORKSPACE, WRITES = "workspace toy ppo sb3 5000", ("UpsertView2", "upsertView", "CreateProject")
SECTIONS = [
    "Verdicts",
    "Return",
    "Stability",
    "Dose",
    "Diagnostics",
    "Hyperparameters and metrics",
    "Diverged runs",
]


@pytest.fixture
def study(tmp_path, reported):
    return shutil.copytree(reported, tmp_path / "runs" / "synthetic")


@pytest.fixture(scope="module")
def quick():
    return json.loads(REFERENCE.read_text())


def two_places(report):
    """The report with its cells once more, of DQN on Acrobot."""
    content = copy.deepcopy(report)
    content["cells"] += [cell | {"env": "acrobot", "algo": "dqn"} for cell in report["cells"]]
    curves = next(figure for figure in report["figures"] if figure["kind"] == "curves")
    content["figures"].append(curves | {"name": "curves-acrobot-dqn"})
    return content


def made(report):
    return views("quick", report, "rl_warmup", [figure["name"] for figure in report["figures"]])


def spec(study):
    return json.loads((study / "dashboard.json").read_text())


def sections(workspace):
    found = workspace["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


def grids(report):
    return [block["metadata"] for block in report["spec"]["blocks"] if block["type"] == "panel-grid"]


def texts(report):
    return [block["content"] for block in report["spec"]["blocks"] if block["type"] == "markdown-block"]


def panels(content):
    """Every panel of dashboard.json."""
    of_workspaces = [panel for one in content["workspaces"] for part in sections(one).values() for panel in part]
    of_report = [panel for grid in grids(content["report"]) for panel in grid["panelBankSectionConfig"]["panels"]]
    return of_workspaces + of_report


def titles(found):
    return [panel["config"].get("chartTitle") for panel in found]


def named(content):
    """The keys that panels, filters, columns and orders name: of history, summary, config, run."""
    keys = {"history": set(), "summary": set(), "config": set(), "run": set()}

    def add(section, name):
        keys[section].add(name.replace(".value", "", 1) if section == "config" else name)

    for panel in panels(content):
        config = panel["config"]
        kind = "history" if panel["viewType"] == "Run History Line Plot" else "summary"
        for key in [*config.get("metrics", []), *([config["xAxis"]] if "xAxis" in config else [])]:
            add(kind, key)
        for key in config.get("mediaKeys", []):
            add("summary", key)
        for column in config.get("columns", []):
            add(*column["accessor"].split(":", 1))
        if "groupBy" in config:
            add("config" if ".value" in config["groupBy"] else "run", config["groupBy"])
        if panel["viewType"] == "Weave":
            add("summary", config["panel2Config"]["exp"]["fromOp"]["inputs"]["key"]["val"])
    runsets = [runset for one in content["workspaces"] for runset in one["spec"]["section"]["runSets"]]
    runsets += [runset for grid in grids(content["report"]) for runset in grid["runSets"]]
    for runset in runsets:
        for column in runset["runFeed"]["columnOrder"]:
            add(*column.split(":", 1))
        for key in [item["key"] for item in leaves(runset["filters"]["filters"])]:
            add(key["section"], key["name"])
        for item in runset["sort"]["keys"]:
            add(item["key"]["section"], item["key"]["name"])
    return keys


def leaves(filters):
    return [leaf for item in filters for leaf in (leaves(item["filters"]) if "filters" in item else [item])]


def flat(config, prefix=""):
    """The dotted keys of a config."""
    inner = [flat(value, f"{prefix}{name}.") for name, value in config.items() if isinstance(value, dict)]
    return {prefix + name for name in config}.union(*inner)


def writes(server):
    return [name for name in server.asked if name in WRITES]


# ---------------------------------------------------------------- what is shown


def test_every_key_that_is_named_was_sent(study, serve):
    server = serve()
    assert send(study) == 0
    assert main([str(study)]) == 0
    content = spec(study)
    keys = named(content)
    assert keys["history"] <= {key for row in server.history for key in row}
    assert keys["summary"] <= {key for run in server.runs.values() for key in json.loads(run["summary"])}
    assert keys["config"] <= {key for name in server.runs for key in flat(server.config(name))}
    assert keys["run"] <= {"jobType", "tags", "displayName", "createdAt"}
    assert {"env_step", "eval/return_mean", "dose/learning_rate_mean", "diagnostics/approx_kl"} <= keys["history"]
    assert {"metrics/final", "metrics/area", "metrics/collapses", "diverged", "status"} <= keys["summary"]
    assert {"received/budget", "report/comparisons", "report/runs", "figures/curves-toy-ppo"} <= keys["summary"]
    assert keys["config"] == {"warmup.name", "warmup.length", "learning_rate", "seed"}
    [runset] = content["workspaces"][0]["spec"]["section"]["runSets"]
    [tag, own, status] = leaves(runset["filters"]["filters"])
    assert (tag["key"]["name"], tag["op"]) == ("tags", "IN")
    assert own["value"] == "study"
    assert (status["key"], status["op"]) == ({"section": "summary", "name": "status"}, "IN")
    assert status["value"] == ["completed", "diverged"]
    assert {tuple(run["tags"]) for run in server.runs.values()} == {tuple(tag["value"])}


def test_a_workspace_has_these_sections_and_groups_curves_by_arm_warmup_and_learning_rate(quick):
    [workspace, report] = made(quick)
    found = sections(workspace.spec)
    assert list(found) == SECTIONS
    curves = [panel["config"] for panel in found["Return"] if panel["viewType"] == "Run History Line Plot"]
    grouped = [one["groupBy"] for one in curves if one["metrics"] == ["eval/return_mean"]]
    assert grouped == ["jobType", "warmup.value.name", "learning_rate.value"]
    assert {(one["xAxis"], one["aggregate"], one["limit"]) for one in curves} == {("env_step", True, 100)}
    [parallel] = found["Hyperparameters and metrics"]
    shown = [column["accessor"] for column in parallel["config"]["columns"]]
    assert shown[:4] == [
        "config:warmup.value.name",
        "config:warmup.value.length",
        "config:learning_rate.value",
        "config:seed.value",
    ]
    assert shown[4:] == [f"summary:metrics/{name}" for name in ("final", "area", "shortfall", "not_learned")] + [
        "summary:diverged"
    ]
    stable = {panel["config"]["metrics"][0] for panel in found["Stability"]}
    assert stable == {
        f"metrics/{name}" for name, about in quick["study"]["metrics"].items() if about["noise_floor"]
    }
    assert "In 8 confirmatory comparisons" in found["Verdicts"][0]["config"]["value"]
    assert grids(report.spec)[0]["panelBankSectionConfig"]["panels"]


def test_the_report_has_the_answer_the_comparisons_curves_figures_problems_and_the_command(quick):
    report = made(quick)[-1].spec
    first, last = texts(report)
    assert "worse in the runs seen in 2 (area)" in first
    assert "| linear 10% gradient steps against none" in first.lower().replace("\\", "")
    assert quick["problems"][0][:20] in last.replace("\\", "")
    assert "python -m rl_warmup.run study=quick" in last
    media = [key for grid in grids(report) for panel in grid["panelBankSectionConfig"]["panels"]
             for key in panel["config"].get("mediaKeys", [])]  # fmt: skip
    assert media == [f"figures/{figure['name']}" for figure in quick["figures"]]
    for grid in grids(report):
        corners = {(p["layout"]["x"], p["layout"]["y"]) for p in grid["panelBankSectionConfig"]["panels"]}
        assert len(corners) == len(grid["panelBankSectionConfig"]["panels"])


DONE = ["completed", "diverged"]


def test_each_algorithm_and_environment_has_a_workspace_with_its_runs_figures_and_diagnostics(quick):
    report = two_places(quick)
    *workspaces, findings = made(report)
    assert [one.key for one in workspaces] == [
        "workspace cartpole ppo stacked 50000",
        "workspace acrobot dqn stacked 50000",
    ]
    for one, env, algo, diagnostic in zip(
        workspaces, ("cartpole", "acrobot"), ("ppo", "dqn"), ("approx_kl", "q_max_abs"), strict=True
    ):
        [runset] = one.spec["spec"]["section"]["runSets"]
        conditions = leaves(runset["filters"]["filters"])
        assert [c["value"] for c in conditions] == [["quick"], "study", DONE, "study", env, "study", algo]
        text = json.dumps(sections(one.spec))
        assert f"diagnostics/{diagnostic}" in text
        assert f"figures/curves-{env}-{algo}" in text
        assert f"figures/curves-{'acrobot-dqn' if env == 'cartpole' else 'cartpole-ppo'}" not in text
        assert "figures/forest" in text
    filters = [
        [c["value"] for c in leaves(grid["runSets"][0]["filters"]["filters"])] for grid in grids(findings.spec)
    ]
    places = [[["quick"], DONE, "cartpole", "ppo"], [["quick"], DONE, "acrobot", "dqn"]]
    assert filters == [*places, [["quick"], "study"]]


def test_what_a_study_has_nothing_of_is_not_shown(quick):
    report = copy.deepcopy(quick)
    report["dose"], report["figures"] = [], []
    for cell in report["cells"]:
        cell["metrics"]["collapses"]["mean"] = None
        cell["warmup"]["length"] = None
    content = json.dumps([view.spec for view in made(report)])
    assert not [key for key in ("report/dose", "received/", "figures/", "metrics/collapses", "warmup.value.length")
                if key in content]  # fmt: skip


def test_runs_that_diverged_are_counted_by_arm_and_shown_in_the_report(quick):
    assert all(grid["runSets"][0]["name"] != "Diverged runs" for grid in grids(made(quick)[-1].spec))
    report = copy.deepcopy(quick)
    report["cells"][1]["n_diverged"] = 3
    workspace, findings = made(report)
    total, bars, text, _ = [panel["config"] for panel in sections(workspace.spec)["Diverged runs"]]
    assert (total["metrics"], total["groupAgg"]) == (["diverged"], "sum")
    assert (bars["metrics"], bars["groupAgg"], bars["groupBy"]) == (["diverged"], "sum", "jobType")
    assert text["value"].endswith("- 3 of 20 in linear 10% gradient steps at the tuned learning rate (0.001)")
    [grid] = [grid for grid in grids(findings.spec) if grid["runSets"][0]["name"] == "Diverged runs"]
    [_, diverged] = leaves(grid["runSets"][0]["filters"]["filters"])
    assert (diverged["key"], diverged["value"]) == ({"section": "summary", "name": "diverged"}, 1)


def test_the_same_report_gives_the_same_specification_with_ids_of_their_own(quick):
    """The library draws its ids at random."""
    report = two_places(quick)
    assert [view.spec for view in made(report)] == [view.spec for view in made(report)]
    assert len(made(report)) == len(groups_of(report)) + 1
    for view in made(report)[:-1]:
        ids = [panel["__id__"] for part in sections(view.spec).values() for panel in part]
        assert len(set(ids)) == len(ids)


# ---------------------------------------------------------------- create, update


def test_it_is_created_then_left_alone_then_updated_in_place(study, serve, capsys):
    server = serve()
    assert send(study) == 0
    capsys.readouterr()
    assert main([str(study)]) == 0
    told = capsys.readouterr()
    workspace, report = sorted(server.views.values(), key=lambda view: view["type"])
    assert (workspace["type"], report["type"]) == ("project-view", "runs")
    assert {view["entityName"] for view in (workspace, report)} == {"tester"}
    assert (workspace["displayName"], report["displayName"]) == ("synthetic", "synthetic: findings")
    assert (json.loads(report["spec"]), report["description"]) == (spec(study)["report"]["spec"], "known answers")
    sent, written = json.loads(workspace["spec"]), spec(study)["workspaces"][0]["spec"]
    [pinned] = sent["section"]["runSets"][0].pop("pinnedRunIds")
    assert sent == written
    assert pinned
    assert "not published" not in told.out
    assert told.err == ""
    places = [line.split(": ")[1] for line in told.out.splitlines()]
    assert places[0] == f"{server.url}/tester/rl_warmup?nw={workspace['name'][3:-2]}"
    assert places[1].startswith(f"{server.url}/tester/rl_warmup/reports/synthetic:-findings--v")

    written = writes(server)
    assert main([str(study)]) == 0
    assert writes(server) == written
    assert capsys.readouterr().out.count("unchanged: http") == 2

    content = json.loads((study / "report.json").read_text())
    content["problems"].append("something new")
    (study / "report.json").write_text(json.dumps(content))
    assert main([str(study)]) == 0
    told = capsys.readouterr().out
    assert f"not published: the study's tables and figures; python -m rl_warmup.publish {study} sends" in told
    assert [line.split(": ")[1] for line in told.splitlines()[1:]] == places
    assert (told.count("unchanged: http"), told.count("updated: http")) == (1, 1)
    assert len(server.views) == 2
    assert writes(server) == ["UpsertView2", "upsertView", "upsertView"]
    assert "something new" in next(view for view in server.views.values() if view["type"] == "runs")["spec"]


def test_what_was_deleted_by_hand_is_made_anew(study, serve):
    server = serve()
    assert main([str(study)]) == 0
    server.views.clear()
    assert main([str(study)]) == 0
    assert server.views == {}
    assert main([str(study), "--again"]) == 0
    assert len(server.views) == 2
    assert main([str(study), "--again"]) == 0
    assert len(server.views) == 2


def test_another_project_has_its_own(study, serve):
    server = serve()
    assert main([str(study), "--project", "one", "--entity", "team"]) == 0
    assert main([str(study), "--project", "other", "--entity", "team"]) == 0
    assert {(view["entityName"], view["projectName"]) for view in server.views.values()} == {
        ("team", "one"),
        ("team", "other"),
    }
    assert server.projects == {"one", "other"}


def test_publishing_after_it_fills_the_run_that_it_pins(study, serve, capsys):
    server = serve()
    assert main([str(study)]) == 0
    assert "not published: 4 runs and the study's tables and figures" in capsys.readouterr().out
    assert send(study) == 0
    [line] = [json.loads(text) for text in (study / "published.jsonl").read_text().splitlines()
              if json.loads(text)["key"] == "study" and json.loads(text)["digest"]]  # fmt: skip
    assert line["place"].split()[0] in server.runs


# ---------------------------------------------------------------- without a server


@pytest.mark.parametrize("options", [["--offline"], []])
def test_without_a_server_the_specification_is_written_with_how_to_apply_it(
    study,
    options,
    capsys,
    serve,
    monkeypatch,
):
    server = serve()
    if not options:
        monkeypatch.delenv("WANDB_API_KEY")
    assert main([str(study), *options]) == 0
    told = capsys.readouterr().out
    assert f"python -m rl_warmup.dashboard {study}" in told
    content = spec(study)
    assert content["apply"] in told
    assert [sections(one).keys() == set(SECTIONS) for one in content["workspaces"]] == [True]
    assert (content["project"], content["entity"]) == ("rl_warmup", None)
    assert server.asked == []
    assert not (study / "published.jsonl").exists()


def test_a_server_that_hangs_is_left_and_the_next_time_completes(study, serve, capsys, monkeypatch):
    monkeypatch.setattr(wandb_client, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(dashboards, "SAVE_SECONDS", 0.5)
    server = serve(hangs="all")
    began = time.monotonic()
    assert main([str(study)]) == 1
    assert "W&B does not say who we are: no answer within 0.5 s" in capsys.readouterr().err
    assert main([str(study), "--entity", "tester"]) == 1
    assert f"W&B did not take the {WORKSPACE}: no answer within 0.5 s" in capsys.readouterr().err
    assert time.monotonic() - began < 20
    assert spec(study)["report"]
    server.hangs = ""
    server.release.set()
    monkeypatch.setattr(dashboards, "SAVE_SECONDS", 15.0)
    monkeypatch.setattr(wandb_client, "ASK_SECONDS", 15.0)
    wandb_client.restart()
    assert main([str(study)]) == 0
    assert len(Publications(study)._lines) == 3


@pytest.mark.slow
def test_a_server_that_hangs_does_not_keep_the_process(study, serve):
    serve(hangs="all")
    command = (
        "import sys; from rl_warmup import dashboard as d; d.SAVE_SECONDS = 1.0; sys.exit(d.main(sys.argv[1:]))"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", command, str(study), "--entity", "tester"], capture_output=True, text=True
    )
    assert time.monotonic() - began < 50  # the server would keep it for 60
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: W&B did not take the workspace")
    written = (study / "dashboard.json").read_bytes()  # with another hash seed than this process
    assert main([str(study), "--entity", "tester", "--offline"]) == 0
    assert (study / "dashboard.json").read_bytes() == written


def test_a_server_that_refuses_is_named(study, log_in, capsys, monkeypatch):
    monkeypatch.setattr(dashboards, "SAVE_SECONDS", 1.0)
    log_in("http://127.0.0.1:9")
    began = time.monotonic()
    assert main([str(study)]) == 1
    assert time.monotonic() - began < 20
    assert "the same command tries again" in capsys.readouterr().err
    assert spec(study)["workspaces"]


# ---------------------------------------------------------------- refusals


def test_a_folder_without_a_study_is_refused_and_one_that_is_being_published(study, tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "is not a folder with record files" in capsys.readouterr().err
    with try_lock(study, "publishing"):
        assert main([str(study), "--offline"]) == 2
    assert "is being published by another process" in capsys.readouterr().err


def test_a_study_without_a_run_to_report_on_is_refused(tmp_path, capsys):
    (write_run(tmp_path / "damaged") / "run.json").write_text("{")
    assert main([str(tmp_path / "damaged"), "--offline"]) == 2
    assert "has no run to report on" in capsys.readouterr().err
    assert not (tmp_path / "damaged" / "dashboard.json").exists()


def test_without_the_extra_one_line_says_how_to_install_it(study):
    code = """
import sys
sys.modules["wandb_workspaces"] = None
from rl_warmup.dashboard import main
sys.exit(main([sys.argv[1], "--offline"]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(study)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "error: wandb-workspaces is not installed: pip install -c constraints.txt -e '.[dashboard]'\n"
    )
    assert done.stdout == ""


def test_no_secret_is_sent_or_written(study, serve, monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_TOKEN", "token-of-the-environment")
    server = serve()
    assert main([str(study)]) == 0
    secrets = (KEY.encode(), b"token-of-the-environment")
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [body for body in server.bodies + written for secret in secrets if secret in body]
    assert len(writes(server)) > 1
