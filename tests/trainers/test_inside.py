"""`diagnostics=full` in both trainers: it leaves the training as it is, and both measure the same."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from gymnasium import spaces
from helpers.configs import TINY, Configure
from helpers.families import FAMILIES, STACKED
from helpers.sb3_draws import FollowedDraws, follow
from helpers.sinks import ListSink, Rows, by_sb3
from helpers.stacking import stacked, train_into
from stable_baselines3 import PPO
from torch.nn.utils import parameters_to_vector

from rl_warmup.config.identity import run_folder
from rl_warmup.config.inside import MEASURED, inside_columns, layers_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.read import Record, read_info
from rl_warmup.run.execute import execute
from rl_warmup.schedules.phases import measured_phases
from rl_warmup.trainers.agents import _spaces_of
from rl_warmup.trainers.flat import FlatPolicy
from rl_warmup.trainers.policies import initial_policy

FULL = "diagnostics=full"
FEW = ["evaluation.count=2", "evaluation.episodes=1"]
MOST = (
    *(
        "ppo pendulum, normalized",
        "ppo pendulum, gSDE",
        "ppo pendulum, early stops",
        "ppo minigrid, adam_rel delayed",
    ),
    *("dqn minatar", "dqn minigrid, radam", "dqn minigrid, sgd"),
)
KINDS = [pytest.param(kind, marks=() if kind in MOST else pytest.mark.long) for kind in FAMILIES]
SHORT = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short


def _columns(config: RunConfig) -> tuple[str, ...]:
    return inside_columns({"diagnostics": "full", "algo": vars(config.algo)})


def _basic(rows: Rows, columns: tuple[str, ...]) -> dict[str, list[Any]]:
    """Rows without the columns of full diagnostics, which all updates must have."""
    assert all(set(columns) <= row.keys() for row in rows["updates"])
    updates = [{key: value for key, value in row.items() if key not in columns} for row in rows["updates"]]
    return {**rows, "updates": updates}


@pytest.mark.parametrize("kind", KINDS)
@SHORT
def test_training_is_the_same_bit_for_bit_and_both_trainers_measure_the_same(
    kind: str, configure: Configure
) -> None:
    """In every kind of environment; the stack lives through the run of Stable-Baselines3."""
    basic, full = (configure(*FAMILIES[kind], *STACKED, "seed=3", *more) for more in ([], [FULL]))
    columns = _columns(full)
    plain, run = follow(basic), follow(full)
    assert repr(plain.rows) == repr(_basic(run.rows, columns))
    for one, other in zip(plain.model.policy.parameters(), run.model.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    alone, (mine,) = stacked([basic], draws=FollowedDraws([plain]))
    training, (theirs,) = stacked([full], draws=FollowedDraws([run]))
    assert repr(mine) == repr(_basic(theirs, columns))
    assert torch.equal(alone.algorithm.parameters, training.algorithm.parameters)
    measured = [row[MEASURED] is not None for row in run.rows["updates"]]
    assert any(measured)
    assert measured == [row[MEASURED] is not None for row in theirs["updates"]]
    for row, expected in zip(theirs["updates"], run.rows["updates"], strict=True):
        for name in columns if row[MEASURED] is not None else ():
            np.testing.assert_allclose(row[name], expected[name], rtol=0.02, atol=1e-6, err_msg=name)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
@pytest.mark.parametrize("algo", TINY)
def test_compiled_members_are_trained_alike(algo: str, configure: Configure) -> None:
    arms = (["seed=1", "warmup=linear"], ["seed=2", "warmup=none"]) * 2
    basic, full = ([configure(*TINY[algo], *STACKED, *arm, *more) for arm in arms] for more in ([], [FULL]))
    (alone, rows), (training, found) = (stacked(configs, compiled=True) for configs in (basic, full))
    assert repr(rows) == repr([_basic(one, _columns(full[0])) for one in found])
    assert torch.equal(alone.algorithm.parameters, training.algorithm.parameters)


def test_phases_are_measured_on_the_grid_and_the_first_five_always(configure: Configure) -> None:
    config = configure(*TINY["ppo"], "total_timesteps=1664", "algo.net_arch=[8]", FULL)
    rows = follow(config).rows["updates"]
    assert len(rows) == 52
    found = [i for i, row in enumerate(rows) if row[MEASURED] is not None]
    assert found == measured_phases(52).tolist() != list(range(52))
    assert found[:5] == [0, 1, 2, 3, 4]
    assert all(row["effective_rank_actor"] is None for i, row in enumerate(rows) if i not in found)
    first = rows[0]
    assert first["relative_update_actor_out"] > 0
    assert 0 < first["policy_entropy"] <= np.log(2)
    assert first["stability_limit"] == pytest.approx(38 / first["learning_rate_last"])
    assert 0 < first["critical_sharpness"] < 1.1 * first["sharpness"]


@pytest.mark.parametrize("trainer", ["sb3", "stacked"])
@pytest.mark.parametrize("algo", TINY)
def test_what_was_measured_is_recorded_and_read(algo: str, trainer: str, configure: Configure) -> None:
    config = configure(*TINY[algo], f"trainer={trainer}", FULL, "algo.net_arch=[8]", "total_timesteps=128", *FEW)
    assert execute(config) == "completed"
    record = Record(run_folder(config), read_info(run_folder(config)))
    updates = record.table("updates")
    assert set(_columns(config)) <= set(updates.columns)
    assert updates[MEASURED].is_not_null().any()
    assert updates.filter(pl.col(MEASURED).is_not_null())["sharpness"].is_finite().all()


@pytest.mark.parametrize("algo", TINY)
def test_a_diverged_agent_is_measured_as_far_as_it_goes_and_spoils_no_neighbour(
    algo: str, configure: Configure
) -> None:
    own = [*TINY[algo], "warmup=none", "algo.net_arch=[8]", *FEW, FULL]
    lost = configure(*own, "learning_rate=1e30", "seed=1")
    sink = by_sb3(lost)
    assert sink.diverged is not None
    assert all(row.keys() >= set(_columns(lost)) for row in sink.rows["updates"])
    fine = [configure(*own, *STACKED, f"seed={seed}") for seed in (2, 3, 4)]
    stranded = configure(*own, *STACKED, "learning_rate=1e30", "seed=1")
    sinks = [ListSink() for _ in range(4)]
    train_into([fine[0], stranded, *fine[1:]], sinks)
    assert sinks[1].diverged is not None
    _, (_, alone, *_) = stacked([fine[2], fine[0], fine[1], fine[1]])
    assert repr(sinks[0].rows["updates"]) == repr(alone["updates"])


@pytest.mark.parametrize("kind", FAMILIES)
def test_layers_of_every_network_are_those_that_its_config_promises(kind: str, configure: Configure) -> None:
    config = configure(*FAMILIES[kind], *STACKED)
    env = _spaces_of(config)
    policy = initial_policy(config, env.observation_space, env.action_space)
    flat = FlatPolicy(policy)
    assert sorted(flat.layers) == sorted(layers_of(vars(config.algo)))
    vector = parameters_to_vector(p for name, p in policy.named_parameters() if "q_net_target" not in name)
    values = {name: p for name, p in policy.named_parameters() if "q_net_target" not in name}
    inside = torch.cat([vector[place] for place in flat.layers.values()])
    assert len(inside) == len(vector) - (values["log_std"].numel() if "log_std" in values else 0)
    last = "action_net" if config.algo.name == "ppo" else [name for name in values if "q_net.q_net" in name][-1]
    name = "actor_out" if config.algo.name == "ppo" else "critic_out"
    expected = [p for key, p in values.items() if key.startswith(last.rpartition(".")[0] or last)]
    assert torch.equal(vector[flat.layers[name]], parameters_to_vector(expected))


@SHORT
@pytest.mark.parametrize("kind", ["ppo lander", "ppo pendulum, gSDE", "ppo minatar", "dqn minigrid, CNN"])
def test_outputs_are_those_of_the_policy_itself(kind: str, configure: Configure) -> None:
    run = follow(configure(*FAMILIES[kind], "seed=3"))
    policy, model = run.model.policy, run.model
    flat = FlatPolicy(policy)
    own = [p for name, p in policy.named_parameters() if "q_net_target" not in name]
    if isinstance(model, PPO):
        observations = torch.as_tensor(model.rollout_buffer.observations[:20])
        actions = torch.as_tensor(model.rollout_buffer.actions[:20])
        given = actions.squeeze(1) if "minatar" in kind else actions
    else:
        observations = torch.as_tensor(model.replay_buffer.observations[:20, 0])
    outputs = flat(parameters_to_vector(own).unsqueeze(0).double(), flat.seen(observations.unsqueeze(0)))
    with torch.no_grad():
        if not isinstance(model, PPO):
            torch.testing.assert_close(outputs.head[0].float(), policy.q_net(observations), atol=1e-5, rtol=1e-4)
            return
        values, log_prob, entropy = policy.evaluate_actions(observations, given)
        found, spread = flat.judged(outputs, actions.reshape(1, len(actions), -1))
        torch.testing.assert_close(outputs.values[0].float(), values.flatten(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found[0].float(), log_prob, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(spread[0].float(), entropy, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)], ids=["several", "bits"])
def test_actions_of_several_components_are_judged_as_by_the_policy_itself(
    space: spaces.Space[Any], configure: Configure
) -> None:
    policy = initial_policy(configure(), spaces.Box(-1, 1, (4,)), space)
    flat, observations = FlatPolicy(policy), torch.rand(1, 20, 4, generator=torch.Generator().manual_seed(0))
    space.seed(0)
    actions = torch.from_numpy(np.stack([space.sample() for _ in range(20)])).unsqueeze(0)
    outputs = flat(parameters_to_vector(policy.parameters()).unsqueeze(0).double(), flat.seen(observations))
    log_prob, entropy = flat.judged(outputs, actions)
    with torch.no_grad():
        _, expected, spread = policy.evaluate_actions(observations[0], actions[0].float())
    torch.testing.assert_close(log_prob[0].float(), expected)
    torch.testing.assert_close(entropy[0].float(), spread)
