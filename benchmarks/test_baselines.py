"""benchmarks/baselines.py: its statistics against hand-worked values, and its two sides against each other."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import baselines
import baselines_table
import numpy as np
import pytest
from baselines_cases import CASES, Published
from plain_settings import PLAIN, Plain, SquaredLossDQN
from scipy import stats
from torch import nn

from rl_warmup.config.schema import RunConfig
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute


def lines(*scores: float) -> list[dict[str, Any]]:
    return [{"seed": seed, "final": score, "training": -score} for seed, score in enumerate(scores)]


def scored(*scores: float) -> dict[str, Any]:
    summary = baselines_table.summary(lines(*scores), "final")
    assert summary is not None
    return summary


def test_an_interval_over_three_published_seeds() -> None:
    published = Published(490.04, 6.12, "CleanRL", seeds=3)
    half = 4.302653 * 6.12 / 3**0.5  # t of 2 degrees of freedom
    assert baselines_table.published_interval(published) == pytest.approx((490.04 - half, 490.04 + half))
    assert baselines_table.published_interval(Published(500, 0, "one run")) is None
    assert baselines_table.published_interval(Published(500, 3.0, "two seeds", seeds=2)) is None
    assert baselines_table.published_interval(Published(500, None, "no spread", seeds=5)) is None


def test_a_summary_by_scipy() -> None:
    scores = np.random.default_rng(0).normal(100, 20, 20)
    summary = scored(*scores)
    expected = stats.t.interval(0.95, 19, scores.mean(), stats.sem(scores))
    assert summary["interval"] == pytest.approx(expected)
    assert (summary["n"], summary["mean"]) == (20, pytest.approx(scores.mean()))
    assert summary["iqm"] == pytest.approx(np.sort(scores)[5:15].mean())
    assert summary["iqm_interval"][0] < summary["iqm"] < summary["iqm_interval"][1]
    other = baselines_table.summary(lines(*scores), "training")
    assert other is not None
    assert other["mean"] == -summary["mean"]


def test_few_seeds() -> None:
    assert baselines_table.summary([], "final") is None
    assert baselines_table.summary([{"seed": 0, "final": 1.0, "training": None}], "training") is None
    assert scored(3.0)["interval"] is None
    assert scored(500.0, 500.0, 500.0)["interval"] == (500.0, 500.0)


@pytest.mark.parametrize(
    ("ours", "plain", "published", "words"),
    [
        ((10, 12), (11, 13), None, "overlaps plain Stable-Baselines3"),
        ((500, 500), (500, 500), Published(500, 0, "zoo"), "overlaps plain Stable-Baselines3"),
        (
            *((10, 10.1), (10, 10.1), Published(90, 1, "zoo")),
            "overlaps plain Stable-Baselines3; below the published run",
        ),
        ((10, 10.1), (50, 50.1), None, "differs from plain Stable-Baselines3: find out why"),
        ((10, 10.1), None, Published(10, 1, "3 seeds", 3), "overlaps published"),
        ((10, 10.1), (10, 10.1), Published(10, 1, "3 seeds", 3), "overlaps plain Stable-Baselines3 and published"),
        (
            *((10, 10.1), (10, 10.1), Published(90, 1, "3 seeds", 3)),
            "overlaps plain Stable-Baselines3; apart from published",
        ),
        (
            *((10, 10.1), (50, 50.1), Published(90, 1, "3 seeds", 3)),
            "differs from plain Stable-Baselines3 and published: find out why",
        ),
        ((10, 10.1), None, Published(20, 1, "one run"), "below the published run: find out why"),
        ((10, 10.1), None, Published(9, 1, "one run"), "reaches the published run"),
        ((10, 10.1), None, None, "nothing to hold it against"),
        ((10,), (10, 12), None, "one seed: no interval"),
        ((10, 12), (10,), Published(9, 1, "one run"), "reaches the published run"),
    ],
)
def test_verdicts(ours: Any, plain: Any, published: Published | None, words: str) -> None:
    assert baselines_table.verdict(scored(*ours), plain and scored(*plain), published) == words


def test_the_table_and_its_files(tmp_path: Path) -> None:
    made = {"env_steps": 100_352, "hardware": "2 x CPU", "versions": {"torch": "2"}, "commit": "a" * 40}
    mine = [{**line, **made} for line in lines(499.0, 501.0)]
    other = [{**line, **made} for line in lines(500.0, 500.0)]
    baselines.write(tmp_path, baselines.result_of("ppo-cartpole", mine, other, 20))
    result = json.loads((tmp_path / "ppo-cartpole.json").read_text())
    assert result["ours"]["returns"] == {"0": 499.0, "1": 501.0}
    assert result["sweep"].startswith("python -m rl_warmup.run -m algo=ppo env=cartpole warmup=none")
    text = (tmp_path / "README.md").read_text()
    half = 12.7062047  # t of one degree of freedom, standard error 1
    assert f"500 [{500 - half:.4g}, {500 + half:.4g}], n = 2 | 500 [500, 500], n = 2" in text
    assert "| ppo-cartpole | 100 352 | 500 ± 0 (one run) |" in text
    assert " schedule=linear " in result["sweep"]
    assert "commits aaaaaaaaaa" in text
    baselines.write(tmp_path, baselines.result_of("dqn-cartpole", mine, [], 20))
    text = (tmp_path / "README.md").read_text()
    assert text.index("| ppo-cartpole |") < text.index("| dqn-cartpole |")


def test_the_table_of_the_readme() -> None:
    """One row per environment; the project's README has the one of the committed results."""
    made = {"env_steps": 1, "hardware": "2 x CPU", "versions": {}, "commit": "a"}
    mine = [{**line, **made} for line in lines(500.0, 500.0)]
    cases = {"ppo-cartpole": mine, "dqn-cartpole": [], "cleanrl-dqn-cartpole": mine}
    results = [baselines.result_of(name, mine, other, 20) for name, other in cases.items()]
    assert baselines_table.short_table(results)[2:] == [
        "| cartpole | 500 · 500 [500, 500] · 500 [500, 500] | 500 · 500 [500, 500] · – |",
        "| cartpole, CleanRL's settings |  | 488.7 · -500 [-500, -500] · -500 [-500, -500] |",
    ]
    root = Path(__file__).parents[1]
    committed = baselines.results_in(root / "runs/reference/baselines")
    shown = (root / "README.md").read_text(encoding="utf-8")
    if committed:
        assert "\n".join(baselines_table.short_table(committed)) in shown


def test_plain_runs_are_resumed(tmp_path: Path) -> None:
    path = tmp_path / "baseline-ppo-cartpole-256" / "plain.jsonl"
    path.parent.mkdir()
    path.write_text('{"seed": 0, "final": 12.5}\n')
    baselines.train_plain("ppo-cartpole", 2, tmp_path, 256)
    first, second = baselines.lines_of(path)
    assert first == {"seed": 0, "final": 12.5}
    assert (second["seed"], second["env_steps"]) == (1, 256)
    assert 8 <= second["final"] <= 500
    assert 8 <= second["training"] <= 500
    before = path.read_text()
    baselines.train_plain("ppo-cartpole", 2, tmp_path, 256)
    assert path.read_text() == before


def test_our_runs_are_read(tmp_path: Path) -> None:
    def trained(*overrides: str) -> RunConfig:
        size = ["total_timesteps=512", "evaluation.count=2", "evaluation.episodes=3", "tracking=disabled"]
        fixed = ["warmup=none", "device=cpu", f"runs_dir={tmp_path}", *size, *overrides]
        config = configured(["algo=ppo", "env=cartpole", *fixed], "baseline-ppo-cartpole")
        execute(config)
        return config

    trained("seed=3")
    trained("seed=30")
    (line,) = baselines.ours(tmp_path, "ppo-cartpole", 20, None)
    (record,) = (one for one in baselines.finished(tmp_path / "baseline-ppo-cartpole") if one.info["seed"] == 3)
    assert line["final"] == np.mean(record.evaluations()["returns"].to_list()[-1])
    assert line["training"] == record.table("episodes")["return"].to_numpy()[-100:].mean()
    trained("seed=4", "algo.gamma=0.5")
    with pytest.raises(SystemExit, match="runs of 2 settings"):
        baselines.ours(tmp_path, "ppo-cartpole", 20, None)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].plain])
def test_both_sides_have_the_same_settings(name: str) -> None:
    """The published settings were written down twice, in conf/ and in plain_settings.py."""
    words = [word for word in baselines.command(CASES[name], 1) if not word.startswith(("hydra", "seed"))]
    config, plain = configured(words, "baselines"), PLAIN[name]
    given = {**defaults(plain), **plain.settings}
    ours = {**vars(config.algo), "learning_rate": config.learning_rate, "max_grad_norm": config.algo.norm_limit}
    for setting in (*given.keys() & ours.keys(), "learning_rate"):
        assert number(given[setting]) == ours[setting], setting
    assert (plain.algo is SquaredLossDQN) == (getattr(config.algo, "loss", None) == "mse")
    assert linear(given["learning_rate"]) == (config.schedule.name == "linear")
    assert linear(given.get("clip_range")) == (getattr(config.algo, "clip_range_schedule", None) == "linear")
    assert (config.env.id, config.total_timesteps) == (plain.env_id, plain.steps)
    assert (config.algo.n_envs, config.algo.normalize) == (plain.n_envs, plain.normalize)
    network = {"net_arch": [64, 64], "activation_fn": nn.Tanh, "ortho_init": True, "log_std_init": 0.0}
    network |= plain.network
    arch = network["net_arch"]
    assert list(config.algo.net_arch) == (arch["pi"] if isinstance(arch, dict) else arch)
    if config.algo.name == "ppo":
        assert {"tanh": nn.Tanh, "relu": nn.ReLU}[getattr(config.algo, "activation", "tanh")] is network[
            "activation_fn"
        ]
        for setting in ("ortho_init", "log_std_init"):
            assert getattr(config.algo, setting, network[setting]) == network[setting]


def defaults(plain: Plain) -> dict[str, Any]:
    """Stable-Baselines3's."""
    parameters = inspect.signature(plain.algo.__init__).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}


def number(setting: float | Callable[[float], float]) -> float:
    """A setting at the start of the run."""
    return setting(1.0) if callable(setting) else setting


def linear(setting: Any) -> bool:
    """Whether it falls to 0 over the run, and not below it."""
    return callable(setting) and setting(0.5) == setting(1.0) / 2 and setting(-0.1) == 0.0
