"""Every arm that separates causes, in a stack as by Stable-Baselines3 with the same draws: delivery and weights."""

import numpy as np
import pytest
import torch
from helpers.configs import Configure
from helpers.following import same_episodes, same_updates
from helpers.sb3_draws import FollowedDraws, follow
from helpers.stacking import stacked
from torch.nn.utils import parameters_to_vector

from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.config.learning_rate import coefficients, phases_of, planned_base, planned_dose
from rl_warmup.schedules.controls import CONTROLS
from rl_warmup.trainers.stacked.train import StackTraining

SHORT = [*("evaluation.count=2", "evaluation.episodes=1", "trainer=stacked", "trainer.envs=gymnasium")]
SMALL = {
    "ppo": [
        *("total_timesteps=512", "algo.n_envs=2", "algo.n_steps=64", "algo.batch_size=64", "algo.n_epochs=2"),
        *("algo.ent_coef=0.01", "algo.net_arch=[16]", "schedule=linear", "warmup.length=10"),
    ],
    "dqn": [
        *("algo=dqn", "total_timesteps=300", "algo.learning_starts=100", "algo.train_freq=20"),
        *("algo.gradient_steps=4", "algo.target_update_interval=60", "algo.net_arch=[16]", "warmup.length=20"),
    ],
}
CONTROLLED = [[f"warmup.control={control}"] for control in CONTROLS]
STACKS = {
    "ppo": [
        *CONTROLLED,
        *([f"warmup.of={of}"] for of in COEFFICIENTS),
        ["warmup.of=clip_range", "warmup.control=reversed", "algo.clip_range_schedule=constant"],
        ["warmup.repeat=rollout", "warmup.length=3"],
        ["warmup.control=matched", "warmup.repeat=5", "warmup.length=3"],
        ["warmup.control=dip", "warmup.clock=env_steps", "warmup.length=300"],
    ],
    "dqn": [
        *CONTROLLED,
        ["warmup.repeat=target_update", "warmup.length=6"],
        ["warmup.repeat=7", "warmup.length=3"],
    ],
    "ppo actor": [["warmup.on=actor"], ["warmup.on=actor", "warmup.control=moment_only"]],
    "ppo critic": [["warmup.on=critic"], ["warmup.on=critic", "warmup.clock=env_steps", "warmup.length=300"]],
}


@pytest.mark.parametrize("name", STACKS)
def test_a_member_follows_stable_baselines3(name: str, configure: Configure) -> None:
    arms = [*STACKS[name], *([] if "ppo " in name else [["warmup=none"], ["warmup=cosine"]])]
    configs = [configure(*SHORT, *SMALL[name[:3]], *arm, f"seed={seed}") for seed, arm in enumerate(arms)]
    runs = [follow(config) for config in configs]
    training, rows = stacked(configs, draws=FollowedDraws(runs))
    for member, (config, run) in enumerate(zip(configs, runs, strict=True)):
        mine, steps = rows[member], phases_of(config).n_steps
        same_episodes(mine, run.rows, tolerance=1e-9)
        same_updates(mine, run.rows)
        policy = run.model.policy.q_net if config.algo.name == "dqn" else run.model.policy
        expected = parameters_to_vector(policy.parameters()).detach()
        torch.testing.assert_close(training.algorithm.parameters[member], expected, atol=1e-5, rtol=0)
        planned = [part.mean() for part in np.split(planned_dose(config), np.cumsum(steps)[:-1])]
        np.testing.assert_allclose([row["learning_rate_mean"] for row in mine["updates"]], planned, rtol=1e-9)
        if config.warmup.of != "learning_rate":
            column = COEFFICIENTS[config.warmup.of]
            np.testing.assert_allclose(
                [row[column] for row in mine["updates"]], coefficients(config, column), rtol=1e-12
            )
        if config.warmup.on != "all":
            (other,) = {"actor", "critic"} - {config.warmup.on}
            base = planned_base(config)[np.cumsum(steps) - 1]
            np.testing.assert_allclose(
                [row[f"learning_rate_mean_{other}"] for row in mine["updates"]], base, rtol=1e-9
            )


@pytest.mark.parametrize("control", ["delayed", "moment_only"])
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_while_a_start_is_delayed_nothing_moves(
    algo: str, control: str, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither weights nor moments; in steps of the moments alone these do. A neighbour without a wait learns."""
    update, states = StackTraining._update, []

    def kept(self: StackTraining, phase: int) -> None:
        update(self, phase)
        states.append({name: table.clone() for name, table in self.algorithm.learner.tables().items()})

    monkeypatch.setattr(StackTraining, "_update", kept)
    arms = [[f"warmup.control={control}"], ["warmup=none"]]
    training, _ = stacked([configure(*SHORT, *SMALL[algo], *arm) for arm in arms])
    initial, after = training.stack.initial, states[0]
    assert torch.equal(after["parameters"][0], initial[0])
    assert not torch.equal(after["parameters"][1], initial[1])
    for name in ("first", "second"):
        assert bool(after[name][0].any()) == (control == "moment_only")
        assert after[name][1].any()
    assert not torch.equal(states[-1]["parameters"][0], initial[0])
