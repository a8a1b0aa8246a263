"""A run that was interrupted, however often, is in all its records the run that was not."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from helpers.configs import Configure, probe
from helpers.families import FAMILIES
from helpers.resuming import Memory, train

from rl_warmup.config.identity import run_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.checkpoints import start_of
from rl_warmup.records.read import Record, read_info
from rl_warmup.run.execute import execute_stack

PPO = ["algo=ppo", "algo.n_envs=2", "algo.n_steps=32", "algo.batch_size=32", "algo.n_epochs=2"]
DQN = [
    *("algo=dqn", "algo.learning_starts=60", "algo.train_freq=16", "algo.gradient_steps=4"),
    *("algo.buffer_size=300", "algo.target_update_interval=50"),
]
SMALL = ["evaluation.count=12", "evaluation.episodes=1", "algo.net_arch=[16,16]"]
STACKED = ["trainer=stacked", "trainer.compile=false"]
CASES = [
    pytest.param(
        [*trainer, *algo, f"env={env}", *SMALL, *more],
        id=f"{name}-{algo[0][5:]}-{env}",
        marks=() if env == "cartpole" or algo is full else pytest.mark.long,
    )
    for name, trainer, full in (("sb3", [], PPO), ("stacked", STACKED, DQN))
    for algo in (PPO, DQN)
    for env, more in (
        ("cartpole", ["total_timesteps=900"]),
        ("acrobot", ["total_timesteps=1100", "diagnostics=full"]),
    )
]


IMAGES = [
    *probe("noise"),
    "trainer.envs=gymnasium",
    "algo.extractor=small_cnn",
    "learning_rate=1e-3",
    *SMALL,
    "total_timesteps=700",
]
KINDS = [
    "evaluation.count=6",
    "evaluation.episodes=2",
    "total_timesteps=400",
    "algo.batch_size=48",
]  # of the reference trainer
CASES += [
    pytest.param([*FAMILIES[name], *KINDS], id=f"sb3 {name}")
    for name in (
        *("ppo lander, gSDE", "ppo minatar", "dqn minatar", "dqn minigrid, normalized", "ppo cheetah"),
        *("ppo pendulum, prefilled", "ppo pendulum, early stops", "dqn minigrid, unclipped"),
    )
    if name in FAMILIES
]
CASES += [
    pytest.param(
        [*STACKED, "trainer.envs=gymnasium", *FAMILIES[name], *KINDS],
        id=f"stacked {name}",
        marks=pytest.mark.long if name == "dqn minigrid, normalized" else (),  # as is prefilled
    )
    for name in (
        *("ppo lander, gSDE", "ppo pendulum, gSDE", "dqn minigrid, normalized", "dqn minigrid, prefilled"),
        "ppo pendulum, early stops",
    )
]
CASES += [pytest.param([*STACKED, *algo, *IMAGES], id=f"stacked-{algo[0][5:]}-images") for algo in (PPO, DQN)]


ADAPTIVE = ["schedule=kl_adaptive", "schedule.target_kl=0.001", "algo.target_kl=0.01"]
CASES += [
    pytest.param([*trainer, *PPO, *SMALL, *ADAPTIVE, "total_timesteps=900"], id=f"{name}, KL-adaptive")
    for name, trainer in (("sb3", []), ("stacked", STACKED))
]
CASES += [
    pytest.param(
        [*trainer, *algo, "env=cartpole", *SMALL, "total_timesteps=900", *own],
        id=" ".join([kind, *own]),
        marks=marks,
    )
    for kind, trainer in (("sb3", []), ("stacked", STACKED))
    for algo, own, marks in (
        (PPO, ["optimizer=sgd", "algo.optimizer.beta1=0.9"], ()),  # keeps no count of its steps
        (PPO, ["optimizer=adam_rel", "warmup.control=delayed"], ()),
        (DQN, ["optimizer=adam_rel"], pytest.mark.long),
        (PPO, ["warmup.on=critic", "warmup.length=0.5", "schedule=linear"], pytest.mark.long),
        (PPO, ["warmup.of=clip_range", "warmup.control=reversed", "warmup.length=0.7"], ()),
        (DQN, ["warmup.repeat=target_update", "warmup.length=5"], ()),
        (DQN, ["optimizer=gi_adam", "algo.optimizer.weight_decay=0.1"], pytest.mark.long),
    )
]


COMPILED = [
    pytest.param(
        ["trainer=stacked", "trainer.compile=true", *algo, *SMALL, "total_timesteps=900"],
        id=f"compiled-{algo[0][5:]}",
        marks=pytest.mark.long,
    )
    for algo in (PPO, DQN)
]


def _interrupted(configs: Sequence[RunConfig], points: Sequence[int]) -> list[Memory]:
    """Train, interrupted when as many rows were emitted as `points` say, each time from the last checkpoint on."""
    sinks = [Memory() for _ in configs]
    for point in points:
        sinks[0].interrupt_at = point
        with pytest.raises(KeyboardInterrupt):
            train(configs, sinks)
        for sink in sinks:
            sink.restart()
    sinks[0].interrupt_at = None
    train(configs, sinks)
    return sinks


def _same(one: Memory, other: Memory) -> None:
    for table, rows in one.rows.items():
        assert repr(rows) == repr(other.rows[table]), table
    for name, tensor in _weights(one).items():
        assert torch.equal(tensor, _weights(other)[name]), name


def _weights(sink: Memory) -> dict[str, torch.Tensor]:
    assert sink.kept is not None
    tensors = sink.kept.tensors
    return dict(tensors.get("policy", tensors))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
@pytest.mark.parametrize("overrides", [*CASES, *COMPILED])
def test_a_run_that_was_interrupted_is_the_run_that_was_not(overrides: list[str], configure: Configure) -> None:
    seeds = (0, 1) if "trainer=stacked" in overrides else (0,)
    configs = [configure(*overrides, f"seed={seed}", "warmup.length=0.5") for seed in seeds]
    whole = _interrupted(configs, [])
    assert whole[0].saved >= 3
    rows = sum(map(len, whole[0].rows.values()))
    draws = random.Random(repr(overrides))
    points = [draws.randint(rows // 3, 2 * rows // 3), draws.randint(2, rows // 4), draws.randint(1, 3)]
    for one, other in zip(whole, _interrupted(configs, points), strict=True):
        assert other.ways.count("replayed") >= 1
        assert "reset" not in other.ways
        _same(one, other)


TRAIN = """
import sys
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute_stack
execute_stack([configured([*sys.argv[1:], f"seed={seed}"], "test") for seed in (0, 1)])
"""


@pytest.mark.slow
@pytest.mark.parametrize(  # test_faults.py kills stacks
    "trainer", [PPO, pytest.param([*STACKED, *DQN], marks=pytest.mark.long)], ids=["sb3", "stacked"]
)
def test_a_process_that_is_killed_loses_nothing(trainer: list[str], configure: Configure, tmp_path: Path) -> None:
    overrides = [*trainer, *SMALL, "evaluation.count=20", "total_timesteps=1500"]
    configs = [configure(*overrides, f"seed={seed}") for seed in (0, 1)]
    own = ["tracking=disabled", "checkpoint.seconds=0", f"runs_dir={configs[0].runs_dir}"]
    with subprocess.Popen([sys.executable, "-c", TRAIN, *own, *overrides]) as process:
        deadline = time.monotonic() + 120
        while start_of(run_folder(configs[0]))[0] < 300 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert read_info(run_folder(configs[0]))["status"] == "running"
    undisturbed = [configure(*overrides, f"seed={seed}", f"runs_dir={tmp_path / 'other'}") for seed in (0, 1)]
    assert execute_stack(configs) == execute_stack(undisturbed) == ["completed", "completed"]
    assert read_info(run_folder(configs[0]))["resumed"][0]["environments"] == "replayed"
    for one, other in zip(configs, undisturbed, strict=True):
        records = [Record(run_folder(config), read_info(run_folder(config))) for config in (one, other)]
        for table in ("evaluations", "episodes", "updates"):
            assert repr(records[0].table(table).rows()) == repr(records[1].table(table).rows())
