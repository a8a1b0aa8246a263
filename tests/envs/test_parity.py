"""EnvPool's and Gymnasium's version of the environments in conf/env, held against each other."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import envpool
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.lunar_lander import heuristic
from helpers.parity import BUILT_IN, LEVEL, differences, env_of, play, random_actions
from helpers.same_state import NO_OPS, Step, after_no_ops, follow, record
from scipy.stats import chisquare

from rl_warmup.config.schema import EnvConfig
from rl_warmup.envs.make import make
from rl_warmup.envs.protocol import VectorEnvs
from rl_warmup.envs.vector import make_envs

IN_BOTH = [name for name in BUILT_IN if env_of(name).envpool is not None]
STEPS = {
    "mountaincar_continuous": 1010,
    "halfcheetah": 300,
    "bipedalwalker": 10,
    "pong": 60,
    "minigrid_fourrooms": 210,
} | dict.fromkeys(("lunarlander", "lunarlander_continuous", "hopper", "walker2d", "ant"), 40)
"""For which both versions are stepped side by side, 520 for others; of Box2D's until bodies have bounced."""


def _compared(env: EnvConfig, envs: int, steps: int, still: bool = False) -> list[list[Step]]:
    """Steps of `envs` environments of EnvPool and, from the same states by the same actions, of Gymnasium's."""
    random = np.random.default_rng(3)
    with closing(make_envs("envpool", env, range(envs), as_given=True)) as pool, closing(make(env)) as slow:

        def act(step: int) -> np.ndarray:
            return random_actions(slow.action_space, envs, random) * (0 if still else 1)

        played = record(pool, act, steps)
        return [list(follow(slow, played, one)) for one in range(envs)]


@pytest.mark.parametrize("name", IN_BOTH)
def test_spaces_are_those_of_gymnasium(name: str) -> None:
    """Bounds of observations are not compared: nothing looks at them, and Box2D's have none in EnvPool."""
    with (
        closing(make_envs("envpool", env_of(name), [0], as_given=True)) as pool,
        closing(make(env_of(name))) as slow,
    ):
        assert pool.observation_space.shape == slow.observation_space.shape
        assert pool.observation_space.dtype == slow.observation_space.dtype
        assert type(pool.action_space) is type(slow.action_space)
        if isinstance(pool.action_space, gym.spaces.Box) and isinstance(slow.action_space, gym.spaces.Box):
            np.testing.assert_array_equal(pool.action_space.low, slow.action_space.low)
            np.testing.assert_array_equal(pool.action_space.high, slow.action_space.high)
        else:
            assert pool.action_space == slow.action_space


@pytest.mark.parametrize("name", IN_BOTH)
def test_a_step_from_the_same_state_is_the_same(name: str) -> None:
    """Observations, those of the last step too, rewards, and how episodes end; images to the pixel."""
    lander = name.startswith("lunarlander")  # whose engines draw random numbers, so they stand still
    steps = [step for steps in _compared(env_of(name), 3, STEPS.get(name, 520), lander) for step in steps]
    errors = [step.error for step in steps]
    if steps[0].observations[0].dtype == np.uint8:
        assert max(errors) == 0
    assert max(errors) < 1e-3
    assert np.median(errors) < 1e-5
    for step in steps:
        assert step.rewards[0] == pytest.approx(step.rewards[1], rel=1e-5, abs=1e-4)
        assert step.terminated[0] == step.terminated[1]
        assert step.truncated[0] == step.truncated[1]


@pytest.mark.parametrize("name", IN_BOTH)
def test_time_limits_are_equal(name: str) -> None:
    """Where the steps above reach them, they truncate in both."""
    spec = envpool.make_spec((env_of(name).envpool or {}).get("id", env_of(name).id))
    with closing(make(env_of(name))) as slow:
        assert spec.config.max_episode_steps == _limit(slow)


def _limit(slow: Any) -> float:
    """The lowest of an environment and its wrappers."""
    limit = getattr(slow.unwrapped, "max_steps", np.inf)
    while slow is not slow.unwrapped:
        limit, slow = min(limit, slow.__dict__.get("_max_episode_steps", np.inf)), slow.env
    return float(limit)


def test_the_limit_of_an_atari_game_truncates_it() -> None:
    pong = env_of("pong")
    *wrappers, _ = pong.wrappers
    limited = {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 20}}
    short = replace(pong, wrappers=[*wrappers, limited], envpool={**(pong.envpool or {}), "max_episode_steps": 20})
    for steps in _compared(short, 1, 25):
        for index, step in enumerate(steps):
            assert step.truncated == ((index + 1) % 20 == 0,) * 2
            assert step.terminated == (False, False)
            assert step.error == 0


def test_a_goal_in_the_last_step_is_an_end() -> None:
    """MiniGrid's reward depends on the limit; in EnvPool on its own."""
    env = env_of("minigrid_empty")
    short = replace(env, kwargs={"max_steps": 3}, envpool={**(env.envpool or {}), "max_episode_steps": 3})
    steps = [step for steps in _compared(short, 50, 60) for step in steps]
    assert all(step.terminated[0] == step.terminated[1] for step in steps)
    assert all(step.truncated[0] == step.truncated[1] for step in steps)
    for version in (0, 1):
        rewards = {round(step.rewards[version], 4) for step in steps if step.terminated[version]}
        assert rewards == {0.1, 0.4, 0.7}


@pytest.mark.parametrize("name", [name for name in IN_BOTH if name != "pong"])
def test_resets_differ(name: str) -> None:
    """Between environments, and between those of one."""
    with closing(make_envs("envpool", env_of(name), range(20), as_given=True)) as pool:
        resets = np.array([pool.reset() for _ in range(3)])  # [resets, envs, ...]
    for shown in (*resets, *resets.swapaxes(0, 1)):
        assert len(np.unique(shown, axis=0)) > len(shown) / 2


@pytest.mark.slow
def test_atari_begins_with_as_many_no_ops_as_in_gymnasium() -> None:
    """From 1 to 30, each as often, in every reset anew; nothing else of a game is random."""
    numbers = {}
    with closing(make(env_of("pong"))) as slow:
        for count in NO_OPS:
            after_no_ops(slow, count)
            numbers[slow.unwrapped.ale.getRAM().tobytes()] = count
    with closing(make_envs("envpool", env_of("pong"), range(50), as_given=True)) as pool:
        rams = [pool._pool.reset()[1]["ram"] for _ in range(6)]
    resets = np.array([[numbers[ram.tobytes()] for ram in each] for each in rams])  # [resets, envs]
    assert chisquare(np.bincount(resets.ravel(), minlength=31)[1:]).pvalue > LEVEL
    assert (resets[1:] == resets[:-1]).mean() < 0.1


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", [name for name in IN_BOTH if name != "pong"])
def test_a_thousand_random_episodes_are_as_in_gymnasium(name: str) -> None:
    """First observations, returns, lengths and ends; 20 episodes of each of 50 environments."""
    played = []
    for seed, backend in enumerate(("envpool", "gymnasium")):
        with closing(make_envs(backend, env_of(name), range(50), as_given=True)) as envs:
            played.append(play(envs, 20, seed))
    found = differences(*played)
    print(f"{name}: {len(found)} comparisons")
    for what, difference in sorted(found.items(), key=lambda item: item[1].p)[:5]:
        print(f"  {what}: {difference}")
    assert {what: difference for what, difference in found.items() if difference.p < LEVEL / len(found)} == {}
    assert abs(found["returns"].shift) < 0.2


def test_pendulum_is_another_one() -> None:
    """Why conf/env/pendulum.yaml has `envpool: null`: it turns by its speed before that is clipped to 8."""
    steps = [step for steps in _compared(replace(env_of("pendulum"), envpool={}), 6, 200) for step in steps]
    fast = np.array([abs(step.observations[1][2]) == 8 for step in steps])
    errors = np.array([step.error for step in steps])
    assert errors[~fast].max() < 1e-5
    assert 1e-3 < errors[fast].max() < 0.05
    assert 0.001 < fast.mean() < 0.02


def test_the_ground_of_lunarlander_is_a_little_higher() -> None:
    """Where pilots rest: Gymnasium smooths heights by 0.33, EnvPool by a third."""
    rest = []
    for backend in ("envpool", "gymnasium"):
        with closing(make_envs(backend, env_of("lunarlander"), range(16))) as envs:
            rest.append(np.median(_landed(envs)))
    assert rest[0] - rest[1] == pytest.approx(0.005, abs=0.001)


def _landed(envs: VectorEnvs) -> list[float]:
    """Heights at which landers of Gymnasium's own pilot rest between the flags."""
    shown, heights = envs.reset(), []
    for _ in range(350):
        transition = envs.step(np.array([heuristic(_Discrete, lander) for lander in shown]))
        rests = (transition.rewards == 100) & (np.abs(transition.final[:, 0]) < 0.2)
        heights += transition.final[rests, 1].tolist()
        shown = transition.observations
    return heights


class _Discrete:
    """What the pilot asks of an environment."""

    unwrapped = type("_", (), {"continuous": False})
    continuous = False
