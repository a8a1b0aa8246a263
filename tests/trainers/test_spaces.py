"""Both trainers and algorithms in every kind of space: they train and evaluate in what an environment declares."""

import gymnasium as gym
import numpy as np
import pytest
from helpers.configs import SHORT, TINY, Configure, probe
from helpers.probe_envs import with_spaces
from helpers.sinks import ListSink, by_sb3
from helpers.stacking import train_into

from rl_warmup.config.schema import RunConfig

S = gym.spaces
OBSERVED = {
    "discrete": S.Discrete(4),
    "multi_discrete": S.MultiDiscrete([2, 3]),
    "multi_binary": S.MultiBinary(3),
    "board": S.MultiBinary([2, 2]),
    "whole": S.Box(0, 9, (2,), np.int64),
    "matrix": S.Box(-1, 1, (2, 3)),
}
PLAYED = {
    "discrete": S.Discrete(3),
    "multi_discrete": S.MultiDiscrete([2, 3]),
    "multi_binary": S.MultiBinary(3),
    "vector": S.Box(-1, 1, (2,)),
    "double": S.Box(-1, 1, (2,), np.float64),
    "half": S.Box(-1, 1, (2,), np.float16),
    "matrix": S.Box(-1, 1, (2, 2)),
    "number": S.Box(-1, 1, ()),
}
STACKABLE = ("discrete", "vector", "double", "half")
STACKED = ["trainer=stacked", "trainer.envs=gymnasium"]
CASES = [(f"sees_{name}", space, S.Discrete(2), algo, True) for name, space in OBSERVED.items() for algo in TINY]
CASES += [(f"acts_{name}", S.Box(-1, 1, (3,)), s, "ppo", name in STACKABLE) for name, s in PLAYED.items()]


def trained(config: RunConfig) -> ListSink:
    if config.trainer.name == "sb3":
        return by_sb3(config)
    sink = ListSink()
    train_into([config], [sink])
    return sink


@pytest.mark.parametrize(
    ("name", "observations", "actions", "algo", "stackable"), CASES, ids=[f"{case[0]}-{case[3]}" for case in CASES]
)
def test_what_is_declared_is_what_training_and_evaluation_use(
    name: str, observations: S.Space, actions: S.Space, algo: str, stackable: bool, configure: Configure
) -> None:
    with_spaces(name, observations, actions)
    common = [
        *TINY[algo],
        *SHORT,
        *probe(name),
        "learning_rate=1e-3",
        "warmup=none",
        "algo.normalize=false",
        "total_timesteps=64",
    ]
    for trainer in ([], STACKED) if stackable else ([],):
        rows = trained(configure(*common, *trainer)).rows
        assert len(rows["updates"]) == (2 if algo == "ppo" else 3)
        assert all(np.isfinite(value) for row in rows["updates"] for value in row.values())
        assert {row["return"] for row in rows["episodes"]} == {7}
        assert [row["returns"] for row in rows["evaluations"]] == [[7], [7]]


@pytest.mark.parametrize("trainer", [[], STACKED], ids=["sb3", "stacked"])
@pytest.mark.parametrize("kind", ["int", "float", "wide"])
@pytest.mark.filterwarnings("ignore:.*The obs returned by")
def test_observations_that_are_not_as_declared_are_cast(
    kind: str, trainer: list[str], configure: Configure
) -> None:
    common = [*TINY["ppo"], *SHORT, *probe(kind), "learning_rate=1e-3", "warmup=none", "total_timesteps=64"]
    rows = trained(configure(*common, *trainer)).rows
    assert len(rows["updates"]) == 2
    assert [row["returns"] for row in rows["evaluations"]] == [[5], [5]]
