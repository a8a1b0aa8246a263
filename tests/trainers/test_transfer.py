"""Runs that start from a trained agent, by both trainers: what it brings, what starts anew, and resuming."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.configs import Configure, probe
from helpers.resuming import Memory, train
from helpers.sb3_draws import FollowedDraws, follow
from helpers.sinks import ListSink, by_sb3
from helpers.stacking import stacked, train_into
from stable_baselines3 import DQN, PPO
from torch.nn.utils import parameters_to_vector

from rl_warmup.config.identity import identity, run_folder
from rl_warmup.config.inside import inside_columns
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.models import MODEL
from rl_warmup.records.schema import RecordError
from rl_warmup.run.execute import execute
from rl_warmup.trainers.policies import is_critic
from rl_warmup.trainers.sb3 import train as sb3
from rl_warmup.trainers.sources import sources_for
from rl_warmup.trainers.stacked import train as stack_train

SMALL = ["evaluation.count=3", "evaluation.episodes=2", "total_timesteps=256", "algo.net_arch=[16]"]
TRAINERS = {"sb3": [], "stacked": ["trainer=stacked", "trainer.envs=gymnasium", "trainer.compile=false"]}
ALGOS = {
    "ppo": [
        *("algo=ppo", "algo.n_envs=2", "algo.n_steps=32", "algo.batch_size=32", "algo.n_epochs=2"),
        "algo.clip_range_schedule=constant",
    ],
    "dqn": [
        *("algo=dqn", "algo.n_envs=2", "algo.learning_starts=60", "algo.train_freq=16", "algo.gradient_steps=8"),
        *("algo.target_update_interval=40", "algo.buffer_size=400", "algo.exploration_final_eps=0.1"),
    ],
}
PHYSICS = "init.physics={gravity: 20, length: 1.5}"
ARMS = {
    "ppo kept": ["ppo"],
    "ppo fresh, normalized": ["ppo", "init.optimizer=fresh", "algo.normalize=true"],
    "ppo critic first": ["ppo", "init.critic_only=7"],
    "ppo fresh, critic first": ["ppo", "init.optimizer=fresh", "init.critic_only=8", "algo.max_grad_norm=0.1"],
    "dqn kept": ["dqn"],
    "dqn fresh, replay kept": ["dqn", "init.optimizer=fresh", "init.replay=kept"],
    "dqn replay kept, normalized": ["dqn", "init.replay=kept", "algo.normalize=true"],
}


def agent_for(configure: Configure, trainer: str, algo: str, *more: str) -> Path:
    """Folder of a run that has kept its agent, with its replay buffer."""
    kept = ["keep=last", "keep_replay=true", "warmup=none", "study.name=source"]
    config = configure(*SMALL, *TRAINERS[trainer], *ALGOS[algo], *kept, *more)
    assert execute(config) == "completed"
    return run_folder(config)


def arm_for(configure: Configure, trainer: str, arm: str, *more: str, kept_by: str = "") -> RunConfig:
    """An arm from an agent of its own, which `kept_by` has trained."""
    algo, *own = ARMS[arm]
    normalized = [text for text in own if "normalize" in text]
    source = agent_for(configure, kept_by or trainer, algo, *normalized)
    return configure(*SMALL, *TRAINERS[trainer], *ALGOS[algo], *own, f"init.run={source}", PHYSICS, *more)


def saved(config: RunConfig, name: str) -> dict[str, Any]:
    """A file of tensors of the agent that a run starts from."""
    with zipfile.ZipFile(Path(str(config.init.run)) / MODEL) as file:
        return dict(torch.load(BytesIO(file.read(name)), weights_only=True))


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_a_member_follows_stable_baselines3_from_an_agent(arm: str, configure: Configure) -> None:
    more = ["warmup=linear", "warmup.length=0.5", "total_timesteps=384", "diagnostics=full"]
    config = arm_for(configure, "stacked", arm, *more, kept_by="sb3" if "kept" in arm else "stacked")
    run = follow(config)
    training, (mine,) = stacked([config], draws=FollowedDraws([run]))
    assert len(mine["updates"]) == len(run.rows["updates"]) == len(phases_of(config).n_steps)
    for table in ("episodes", "evaluations", "source_evaluations"):
        assert mine[table] == run.rows[table]
    assert [row["env_step"] for row in mine["source_evaluations"]] == [0, phases_of(config).env_steps]
    measured = inside_columns(identity(config))
    for row, expected in zip(mine["updates"], run.rows["updates"], strict=True):
        for key, value in expected.items():
            if value is None:
                assert row[key] is None
                continue
            near = 0 if key in ("env_step", "gradient_step", "n_steps") else 0.02 if key in measured else 2e-3
            np.testing.assert_allclose(row[key], value, rtol=near, atol=2e-3, err_msg=key)
    policy = run.model.policy.q_net if config.algo.name == "dqn" else run.model.policy
    expected = parameters_to_vector(policy.parameters()).detach()
    torch.testing.assert_close(training.algorithm.parameters[0], expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGOS)
def test_it_starts_as_stable_baselines3_loads_it(algo: str, configure: Configure) -> None:
    """Weights, Adam's moments and count, target network, statistics: those of `load`, with this run's own rates."""
    config = arm_for(configure, "sb3", f"{algo} kept", "algo.optimizer.eps=1e-3", "learning_rate=0.02")
    kind = PPO if algo == "ppo" else DQN
    loaded = kind.load(Path(str(config.init.run)) / MODEL, device="cpu")
    env = sb3.training_env(config)
    model, (source,) = sb3.build_model(config, env), sources_for([config]) or []
    sb3._start(model, source, fresh=True)
    for name, tensor in loaded.policy.state_dict().items():
        assert torch.equal(model.policy.state_dict()[name], tensor), name
    mine, theirs = model.policy.optimizer.state_dict(), loaded.policy.optimizer.state_dict()
    assert repr(mine["state"]) == repr(theirs["state"])
    assert mine["param_groups"][0]["eps"] == 1e-3
    assert mine["param_groups"][0]["lr"] == 0.02
    assert source.taken == (sum(phases_of(config).n_steps),) * 2
    env.close()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_fresh_optimizer_has_no_steps_and_a_kept_one_goes_on(trainer: str, configure: Configure) -> None:
    """With one gradient step a phase: the first step of a fresh Adam is the learning rate in every direction."""
    one = ["algo.n_epochs=1", "algo.batch_size=64", "total_timesteps=64", "algo.optimizer.eps=1e-12"]
    source = agent_for(configure, trainer, "ppo")
    own = [
        *SMALL,
        *TRAINERS[trainer],
        *ALGOS["ppo"],
        *one,
        "warmup=none",
        "learning_rate=1e-3",
        f"init.run={source}",
    ]
    moved = {}
    for optimizer in ("fresh", "kept"):
        sink = Memory()
        config = configure(*own, f"init.optimizer={optimizer}", "evaluation.count=2")
        row = _trained(config, sink)
        moved[optimizer] = row["relative_update"]
        assert (row["gradient_step"], row["n_steps"]) == (1, 1)  # of this run, whatever Adam has counted
    policy = saved(config, "policy.pth")
    vector = parameters_to_vector(list(policy.values()))
    most = 1e-3 * np.sqrt(len(vector)) / float(vector.norm())
    assert 0.9 * most < moved["fresh"] <= 1.001 * most
    assert moved["kept"] < 0.8 * most


def _trained(config: RunConfig, sink: ListSink) -> dict[str, Any]:
    """The only update of a run."""
    sink.checkpoint_due = False
    train([config], [sink])  # type: ignore[list-item]
    (row,) = sink.rows["updates"]
    return row


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_critic_alone_is_trained_at_first(trainer: str, configure: Configure) -> None:
    """5 gradient steps of the critic, then the warmup: nothing else moves in them, nor takes Adam a step of it."""
    own = ["init.critic_only=5", "init.optimizer=fresh", "warmup=linear", "warmup.length=3", "evaluation.count=4"]
    config = arm_for(configure, trainer, "ppo kept", *own, "keep=best", "total_timesteps=128")
    sink = Keeping()
    train([config], [sink])  # type: ignore[list-item]
    start, updated = saved(config, "policy.pth"), [_policy(files) for files in sink.files]
    assert [row["learning_rate_first"] for row in sink.rows["updates"]] == [1e-3, pytest.approx(1e-3)]
    assert [row["omega_sum"] for row in sink.rows["updates"]] == [4, pytest.approx(3)]
    first, last = updated[2], updated[-1]  # after one update of four steps, and after two
    for name, before in start.items():
        assert torch.equal(first[name], before) != is_critic(name), name
        assert not torch.equal(last[name], before), name
    steps = {name: int(state["step"]) for name, state in _adam(sink.files[-1]).items()}
    assert steps == {name: 8 if is_critic(name) else 3 for name in steps}
    assert len(steps) == len(start)


class Keeping(Memory):
    """Keeps the files of every evaluation."""

    agent_due = True

    def __init__(self) -> None:
        super().__init__()
        self.checkpoint_due, self.files = False, []

    def keep(self, files: Any) -> None:
        self.files.append(files)


def _policy(files: dict[str, bytes]) -> dict[str, Any]:
    return _read(files, "policy.pth")


def _adam(files: dict[str, bytes]) -> dict[str, Any]:
    """What Adam keeps of every parameter, by its name."""
    states = _read(files, "policy.optimizer.pth")["state"]
    return {name: states[index] for index, name in enumerate(_policy(files)) if index in states}


def _read(files: dict[str, bytes], name: str) -> dict[str, Any]:
    with zipfile.ZipFile(BytesIO(files[MODEL])) as file:
        return dict(torch.load(BytesIO(file.read(name)), weights_only=True))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_an_agent_explores_by_epsilon_alone_from_its_first_step_on(trainer: str, configure: Configure) -> None:
    """Without epsilon all its actions are greedy, also before it learns."""
    more = ["algo.exploration_final_eps=0", "algo.learning_starts=250", "algo.n_envs=1", "evaluation.episodes=1"]
    source = agent_for(configure, trainer, "dqn", "algo.n_envs=1")
    config = configure(*SMALL, *TRAINERS[trainer], *ALGOS["dqn"], f"init.run={source}", *more, "warmup=none")
    sink = by_sb3(config) if trainer == "sb3" else ListSink()
    if trainer == "stacked":
        train_into([config], [sink])
    played = [row["length"] for row in sink.rows["episodes"] if row["env_step"] <= 250]
    assert len(played) >= 5
    assert max(played) - min(played) < 10  # random ones last from 9 to 60 steps
    assert {row["exploration_rate"] for row in sink.rows["updates"]} == {0.0}


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("kind", ["cartpole", "images"])
def test_a_kept_buffer_is_the_one_that_was_kept(trainer: str, kind: str, configure: Configure) -> None:
    images = [*probe("noise"), "algo.extractor=small_cnn", "learning_rate=1e-3", "algo.buffer_size=150"]
    own = images if kind == "images" else []
    source = agent_for(configure, trainer, "dqn", *own)
    config = configure(
        *SMALL,
        *TRAINERS[trainer],
        *ALGOS["dqn"],
        *own,
        f"init.run={source}",
        "init.replay=kept",
        "keep_replay=true",
    )
    kept = dict(np.load(source / "replay.npz"))
    steps = min(128, config.algo.buffer_size // 2)
    assert kept["rewards"].shape == (steps, 2)
    if trainer == "sb3":
        model = sb3.build_model(config, env := sb3.training_env(config))
        (start,) = sources_for([config]) or []
        sb3._start(model, start, fresh=True)
        again = sb3.agent_of(model, with_replay=True).replay
        env.close()
    else:
        again = _replayed(config)
    assert again is not None
    for name, rows in kept.items():
        np.testing.assert_array_equal(again[name], rows, err_msg=name)


def _replayed(config: RunConfig) -> dict[str, Any] | None:
    """What a stack holds of an agent's buffer before its first step."""
    envs = stack_train.make_stack_envs(config, [0] * 4 * config.algo.n_envs)
    spaces = envs.observation_space, envs.action_space
    stack = stack_train.Stack([config] * 4, *spaces, torch.device("cpu"), False, sources_for([config] * 4))
    draws = stack_train.Draws([config.seed] * 4, stack_train.STREAMS, torch.device("cpu"))
    training = stack_train.StackTraining(stack, envs, draws, [ListSink()])
    training.algorithm.begin(training._on_device(envs.reset()))
    envs.close()
    return training.algorithm.replayed(2)


RESUMED = ("ppo fresh, normalized", "ppo critic first", "dqn replay kept, normalized")
CASES = [(trainer, arm) for trainer in TRAINERS for arm in RESUMED]


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "arm"), CASES)
def test_a_run_from_an_agent_that_was_interrupted_is_the_run_that_was_not(
    trainer: str, arm: str, configure: Configure
) -> None:
    config = arm_for(configure, trainer, arm, "evaluation.count=8", "warmup.length=0.5")
    configs = [config, replace(config, seed=1)] if trainer == "stacked" else [config]
    whole, broken = [[Memory() for _ in configs] for _ in range(2)]
    train(configs, whole)
    for point in (14, 8):
        broken[0].interrupt_at = point
        with pytest.raises(KeyboardInterrupt):
            train(configs, broken)
        for sink in broken:
            sink.restart()
    broken[0].interrupt_at = None
    train(configs, broken)
    assert broken[0].ways == ["replayed"] * len(broken[0].ways)
    assert broken[0].ways
    for one, other in zip(whole, broken, strict=True):
        assert repr(one.rows) == repr(other.rows)
        assert len(one.rows["source_evaluations"]) == 2


@pytest.mark.slow
def test_members_whose_agents_have_seen_more_or_less_are_as_if_alone(configure: Configure) -> None:
    """Their statistics count other numbers of steps, which a stack holds once."""
    own = [*SMALL, *TRAINERS["stacked"], *ALGOS["ppo"], "algo.normalize=true"]
    folders = [agent_for(configure, "stacked", "ppo", *own[4:], f"total_timesteps={n}") for n in (128, 256)]
    configs = [configure(*own, f"init.run={folder}", f"seed={seed}") for seed, folder in enumerate(folders)]
    assert len({source.counts for source in sources_for(configs) or []}) == 2
    together, alone = _by_stack(configs), [_by_stack([config])[0] for config in configs]
    assert repr(together) == repr(alone)


def _by_stack(configs: Sequence[RunConfig]) -> list[Any]:
    sinks = [ListSink() for _ in configs]
    stack_train.train(configs, sinks)
    return [sink.rows for sink in sinks]


def test_an_agent_that_is_not_the_recorded_one_is_refused(configure: Configure) -> None:
    config = arm_for(configure, "sb3", "ppo kept")
    (Path(str(config.init.run)) / MODEL).write_bytes(b"another")
    with pytest.raises(RecordError, match="the agent to start from is not there, or not the one"):
        by_sb3(config)
