"""Which trainer runs which built-in environment, and by whom it is made: the table of docs/environments.md."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import gymnasium as gym
import pytest
from helpers.composing import unresolved
from helpers.configs import Configure
from helpers.parity import BUILT_IN, env_of
from helpers.paths import ROOT
from omegaconf import OmegaConf

from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.conf import conf_dir
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.make import register
from rl_warmup.envs.spaces import check_env
from rl_warmup.run.execute import execute

PAGE = ROOT / "docs/environments.md"
BEGIN, END = "<!-- made by tests/trainers/test_environments.py -->", "<!-- end of what is made -->"
FAMILIES = {
    "gymnasium.envs.classic_control": "classic control",
    "gymnasium.envs.box2d": "Box2D",
    "minigrid": "MiniGrid",
    "minatar": "MinAtar",
    "gymnasium.envs.mujoco": "MuJoCo",
    "ale_py": "Atari",
}
"""By the beginning of the path of their class, in the order of the table."""

MAKERS = {None: "Gymnasium", "gymnasium": "Gymnasium", "envpool": "EnvPool"}
SIGNS = "¹²³⁴⁵⁶⁷⁸⁹"
SHORT = {
    "ppo": ["total_timesteps=64", "algo.n_envs=2", "algo.n_steps=16", "algo.batch_size=16", "algo.n_epochs=1"],
    "dqn": [
        *("total_timesteps=64", "algo.learning_starts=16", "algo.buffer_size=64", "algo.batch_size=8"),
        *("algo.train_freq=16", "algo.gradient_steps=1"),
    ],
}


def _config(name: str, algo: str, trainer: str, envs: str | None) -> RunConfig:
    """As Hydra composes it, in what decides whether it can be trained; in a hundredth of the time."""
    config, file = unresolved(f"algo={algo}", "warmup=none"), conf_dir() / f"tuned/{algo}/{name}.yaml"
    tuned = OmegaConf.load(file) if file.exists() else {"algo": {}}
    settings = {key: value for key, value in tuned["algo"].items() if key != "optimizer"}
    return replace(
        config,
        env=env_of(name),
        algo=replace(config.algo, **settings),
        trainer=replace(config.trainer, name=trainer, envs=envs),
        total_timesteps=tuned.get("total_timesteps"),
        tuned_learning_rate=tuned.get("tuned_learning_rate"),
    )


def _made(name: str, algo: str, trainer: str, envs: str | None) -> str | None:
    """Who makes the environment: `envs`, or whoever does so if it is None.

    Raises:
        ConfigError: why it cannot be trained.
    """
    config = resolve(_config(name, algo, trainer, envs))
    check_env(config)
    return config.trainer.envs


def _cell(name: str, algo: str, trainer: str, reasons: list[str]) -> str:
    """Who can make the environment, by default first; or the number of the reason why nobody can."""
    try:
        makers = [MAKERS[_made(name, algo, trainer, None)]]
    except ConfigError as error:
        reason = re.sub(r"^env\.id=\S+ has the (\w+) .*?: ", r"\1: ", str(error))
        reasons += [] if reason in reasons else [reason]
        return f"no {SIGNS[reasons.index(reason)]}"
    if makers == ["EnvPool"]:
        makers.append(MAKERS[_made(name, algo, trainer, "gymnasium")])
    return ", ".join(makers)


def _family(name: str) -> str:
    env = env_of(name)
    register(env)
    path = str(gym.spec(env.id).entry_point)
    return next(family for beginning, family in FAMILIES.items() if path.startswith(beginning))


def _table() -> Iterator[str]:
    columns = [(algo, trainer) for algo in ALGORITHMS for trainer in ("sb3", "stacked")]
    titles = [f"{algo.upper()}, `trainer={trainer}`" for algo, trainer in columns]
    yield f"| | `env=` | Gymnasium's id | {' | '.join(titles)} |"
    yield "|" + " --- |" * (3 + len(columns))
    order, reasons, shown = list(FAMILIES.values()), list[str](), ""
    for family, name in sorted(((_family(name), name) for name in BUILT_IN), key=lambda row: order.index(row[0])):
        cells = [_cell(name, *column, reasons) for column in columns]
        yield f"| {family if family != shown else ''} | `{name}` | {env_of(name).id} | {' | '.join(cells)} |"
        shown = family
    yield from ["", *(f"{SIGNS[index]} {reason}" for index, reason in enumerate(reasons))]


@pytest.mark.slow
def test_the_table_of_the_documentation_is_what_is_checked(pytestconfig: pytest.Config) -> None:
    """`pytest tests/trainers/test_environments.py --update` writes it."""
    text, made = PAGE.read_text(), "\n".join([BEGIN, "", *_table(), END])
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    if pytestconfig.getoption("--update"):
        PAGE.write_text(f"{before}{made}{after}")
    assert PAGE.read_text() == f"{before}{made}{after}", "the table is old; run this test with --update"


CELLS = [
    (name, algo, trainer, envs)
    for name in BUILT_IN
    for algo in ALGORITHMS
    for trainer, envs in (("sb3", None), ("stacked", None), ("stacked", "gymnasium"))
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "algo", "trainer", "envs"), CELLS)
def test_what_the_table_says_is_trained(
    configure: Configure, name: str, algo: str, trainer: str, envs: str | None
) -> None:
    try:
        _made(name, algo, trainer, envs)
    except ConfigError:
        pytest.skip("the table says no")
    short = [*SHORT[algo], "evaluation.count=2", "evaluation.episodes=1", "warmup=none"]
    if name == "breakout":  # whose agents do not serve before they have learned to
        *most, _ = env_of(name).wrappers
        wrappers = [*most, {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 300}}]
        short.append(f"env.wrappers={json.dumps(wrappers)}".replace('"', ""))
    config = configure(
        f"env={name}", f"algo={algo}", f"trainer={trainer}", f"trainer.envs={envs or 'null'}", *short
    )
    assert execute(config) == "completed"
