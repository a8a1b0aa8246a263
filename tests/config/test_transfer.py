"""Runs that start from trained agents: which agent that is, what the run is called, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.configs import Configure

from rl_warmup.config.identity import arm_of, identity, run_folder, run_id
from rl_warmup.config.learning_rate import planned_dose, planned_factors
from rl_warmup.config.schema import InitConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.transfer import source_folder, source_of, starts_from_agent
from rl_warmup.preview import preview
from rl_warmup.run.notes import notes_on

SHORT = ["total_timesteps=2000", "evaluation.count=3", "trainer=stacked", "trainer.envs=gymnasium"]
FROM = [*SHORT, "init.timesteps=3000"]


def test_from_scratch_there_is_no_agent_and_the_id_is_the_usual_one(configure: Configure) -> None:
    config = configure(*SHORT, "init.optimizer=fresh", "init.critic_only=3")  # of no agent: as without
    assert config.init == InitConfig()
    assert not starts_from_agent(config)
    assert source_of(config) is None
    assert "init" not in identity(config)
    assert run_id(config) == run_id(configure(*SHORT))


def test_the_agent_is_that_of_a_plain_run(configure: Configure) -> None:
    arm = configure(*FROM, "learning_rate_scale=16", "schedule=linear", "init.physics={gravity: 20}", "seed=4")
    own = [
        "total_timesteps=3000",
        "warmup=none",
        "study.name=sources",
        f"runs_dir={arm.runs_dir}/test",
        "keep=last",
    ]
    expected = configure(*SHORT, *own, "seed=4")
    source = source_of(arm)
    assert source == expected
    assert source_folder(arm) == run_folder(expected)
    assert run_folder(arm).parent == run_folder(expected).parents[1]


def test_arms_share_their_agent_and_seeds_do_not(configure: Configure) -> None:
    arms = [
        configure(*FROM, *more)
        for more in (
            ["warmup=none"],
            ["init.optimizer=fresh"],
            ["learning_rate=0.1"],
            ["init.physics={gravity: 20}"],
            ["init.critic_only=20"],
            ["diagnostics=full"],
            ["schedule=cosine", "trainer.envs=null", "init.envs=gymnasium"],
        )
    ]
    assert len({source_folder(arm) for arm in arms}) == 1
    assert len({arm.init.source for arm in arms}) == 1
    assert len({run_id(arm) for arm in arms}) == len(arms)
    other = configure(*FROM, "seed=1")
    assert source_folder(other) != source_folder(arms[0])
    assert other.init.source == arms[0].init.source  # cells hold all seeds
    for more in (["algo.net_arch=[8]"], ["init.timesteps=4000"], ["init.learning_rate=0.02"]):
        assert configure(*FROM, *more).init.source != other.init.source


def test_the_agent_learns_at_the_tuned_rate_or_the_one_given(configure: Configure) -> None:
    arm = configure(*FROM, "learning_rate_scale=4")
    assert arm.init.learning_rate == arm.tuned_learning_rate == 1e-3
    given = source_of(configure(*FROM, "init.learning_rate=0.003"))
    assert given is not None
    assert (given.learning_rate, given.learning_rate_scale) == (0.003, 3)


def test_the_arm_says_what_it_starts_from(configure: Configure) -> None:
    arm = arm_of(configure(*FROM, "warmup=none", "init.optimizer=fresh", "init.physics={gravity: 20, length: 1.5}"))
    assert arm.short == "none gravity=20 length=1.5 from 3000 steps optimizer fresh"
    assert arm.words == "no warmup, gravity=20, length=1.5, from 3000 steps, optimizer fresh"
    dqn = configure(*FROM, "algo=dqn", "init.replay=kept")
    assert "from-3000-steps-optimizer-kept-replay-kept" in run_id(dqn)
    assert arm_of(configure(*FROM, "init.critic_only=20")).begin[-1] == "critic first 20"
    scratch = configure(*SHORT, "init.physics={gravity: 20}", "warmup=none")
    assert arm_of(scratch).short == "none gravity=20"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["init.run=x"], "init.run=x and init.timesteps=3000 exclude each other"),
        (["init.replay=kept"], "init.replay=kept does not go with algo=ppo, which has no replay buffer"),
        (["algo=dqn", "init.critic_only=5"], "init.critic_only=5 does not go with algo=dqn, which has no actor"),
        (["init.critic_only=-1"], "init.critic_only=-1 is too small"),
        (["init.optimizer=old"], "init.optimizer=old is not known; use one of: kept, fresh"),
        (["init.timesteps=0"], "init.timesteps=0 is too small"),
        (["init.timesteps=40"], "the agent of init.timesteps=40: evaluation.count=3 evaluations"),
        (["init.learning_rate=-1"], "init.learning_rate=-1"),
        (["init.timesteps=null", "init.source_only=true"], "init.source_only=true trains the agents of runs"),
        (
            ["init.timesteps=null", "init.run=x", "init.learning_rate=0.1"],
            "init.learning_rate=0.1 is of an agent that",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(overrides: list[str], message: str, configure: Configure) -> None:
    with pytest.raises(ConfigError) as error:
        configure(*FROM, "evaluation.count=40" if "=40" in overrides[0] else "seed=0", *overrides)
    assert message.replace("evaluation.count=3 ", "evaluation.count=40 ") in str(error.value)


def test_behind_the_critic_alone_the_warmup_begins(configure: Configure) -> None:
    plain = configure(*FROM, "warmup.length=6")
    config = configure(*FROM, "warmup.length=6", "init.critic_only=10")
    omega = planned_factors(config)
    assert omega is not None
    np.testing.assert_array_equal(omega[:10], 1)
    np.testing.assert_array_equal(omega[10:], planned_factors(plain)[: len(omega) - 10])  # type: ignore[index]
    np.testing.assert_array_equal(planned_dose(config), 1e-3 * omega)
    again = planned_factors(configure(*FROM, "warmup.length=6", "init.critic_only=10", "warmup.repeat=30"))
    assert again is not None
    np.testing.assert_allclose(again[[9, 10, 15, 29, 30, 35]], [1, 1 / 6, 1, 1, 1 / 6, 1])
    dip = planned_factors(configure(*FROM, "warmup.length=6", "init.critic_only=10", "warmup.control=dip"))
    assert dip is not None
    middle = 10 + (len(dip) - 10) // 2
    np.testing.assert_allclose(dip[[10, middle - 1, middle, middle + 5]], [1, 1, 1 / 6, 1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["init.critic_only=9999"], "init.critic_only=9999 leaves the actor none of the run's 160 gradient steps"),
        (
            ["warmup.clock=env_steps"],
            "init.critic_only=100 does not go with warmup.clock=env_steps: the warmup begins",
        ),
        (["warmup.control=delayed"], "init.critic_only=100 does not go with warmup.control=delayed"),
        (["warmup.on=actor"], "init.critic_only=100 does not go with warmup.on=actor"),
        (
            ["warmup.length=61"],
            "a warmup of 61 gradient_steps does not fit into the 60 that init.critic_only=100 leav",
        ),
    ],
)
def test_a_critic_alone_leaves_room_for_actor_and_warmup(
    overrides: list[str], message: str, configure: Configure
) -> None:
    with pytest.raises(ConfigError) as error:
        configure(*FROM, "init.critic_only=100", "warmup.length=0.5", *overrides)
    assert message in str(error.value)


def test_the_preview_shows_the_warmup_behind_the_critic_alone(configure: Configure) -> None:
    shown = preview(configure(*FROM, "warmup.length=6", "init.critic_only=10"))
    assert (shown.first_step, shown.last_step) == (10, 15)


def test_the_plan_says_by_which_constants_changed_physics_are_scored(configure: Configure) -> None:
    (line,) = notes_on([configure(*FROM, "init.physics={gravity: 20}")])
    assert line == (
        "CartPole-v1 is trained with init.physics={gravity: 20}, and scored by the constants of the unchanged "
        "environment"
    )


def test_only_the_agents(configure: Configure) -> None:
    arm = configure(*FROM, "init.optimizer=fresh", "learning_rate=0.1")
    assert configure(*FROM, "init.optimizer=fresh", "learning_rate=0.1", "init.source_only=true") == source_of(arm)


def test_members_of_a_stack_may_differ_in_what_becomes_of_the_optimizer_alone(configure: Configure) -> None:
    def shared(*more: str) -> dict[str, object]:
        return identity(configure(*FROM, *more), shared=True)

    assert shared() == shared("init.optimizer=fresh") == shared("seed=3")
    assert shared() != shared("init.critic_only=4")
    scratch = replace(configure(*FROM), init=InitConfig())
    assert shared() != identity(scratch, shared=True)
