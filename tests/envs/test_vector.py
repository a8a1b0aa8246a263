"""Environments of a stack: exact resets, independent streams, Gymnasium's dynamics, and evaluation."""

import importlib.util
import warnings
from contextlib import closing
from functools import partial
from typing import Any

import envpool
import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers import probe_envs
from helpers.configs import by_id
from scipy.stats import ks_2samp
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.vec_env import DummyVecEnv, VecTransposeImage

from rl_warmup.envs.evaluation import EndlessEpisode, evaluate
from rl_warmup.envs.pool import refusal
from rl_warmup.envs.vector import make_envs

probe_envs.register()
BACKENDS = ["envpool", "gymnasium"]
IDS = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1"]


def _actions(space: gym.Space[Any], count: int, step: int) -> np.ndarray:
    random = np.random.default_rng([step, 8])
    if isinstance(space, gym.spaces.Discrete):
        return random.integers(0, space.n, count)
    return random.uniform(-1.5, 1.5, (count, *space.shape)) * space.high  # beyond the bounds too


def _play(backend: str, env_id: str, seeds: list[int], steps: int, which: int, threads: int = 1) -> list[tuple]:
    """What environment `which` shows and is given, whose actions depend on the step only."""
    envs = make_envs(backend, by_id(env_id), seeds, threads)
    seen = [envs.reset()[which].tolist()]
    for step in range(steps):
        one = _actions(envs.action_space, 1, step)
        transition = envs.step(np.repeat(one, len(seeds), axis=0))
        names = ("observations", "final", "rewards", "terminated", "truncated")
        seen.append(tuple(np.asarray(getattr(transition, name)[which]).tolist() for name in names))
    envs.close()
    return seen


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("env_id", IDS)
def test_an_environment_depends_on_its_own_seed_only(backend: str, env_id: str) -> None:
    alone = _play(backend, env_id, [7], 230, 0)
    assert _play(backend, env_id, [1, 7, 2, 7], 230, 1) == alone
    assert _play(backend, env_id, [1, 7, 2, 7], 230, 3, threads=3) == alone
    assert _play(backend, env_id, [1, 7, 2, 7], 230, 0) != alone


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_reset_step_enters(backend: str) -> None:
    """The first step of a new episode earns its reward, and an episode is as long as its rewards."""
    envs = make_envs(backend, by_id("CartPole-v1"), list(range(6)))
    observations, lengths = envs.reset(), np.zeros(6, int)
    for _ in range(200):
        transition = envs.step(np.zeros(6, int))
        lengths += 1
        assert (transition.rewards == 1).all()
        going = ~(transition.terminated | transition.truncated)
        assert (transition.observations[going] == transition.final[going]).all()
        assert (np.abs(transition.final[~going, 2]) > 0.2).all()  # the pole has fallen
        assert (np.abs(transition.observations[~going]) <= 0.05).all()  # a fresh start
        assert ((lengths[~going] >= 8) & (lengths[~going] <= 12)).all()
        lengths[~going] = 0
        assert not transition.truncated.any()
        assert observations.dtype == transition.final.dtype == np.float32
    envs.close()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("env_id", "limit"), [("MountainCar-v0", 200), ("Pendulum-v1", 200)])
def test_time_limits_truncate_and_do_not_terminate(backend: str, env_id: str, limit: int) -> None:
    envs = make_envs(backend, by_id(env_id), [3, 4])
    envs.reset()
    for step in range(2 * limit):
        transition = envs.step(np.zeros((2, *envs.action_space.shape)))
        assert transition.truncated.all() == ((step + 1) % limit == 0)
        assert not transition.terminated.any()
    envs.close()


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_environments_are_those_that_stable_baselines3_steps(env_id: str) -> None:
    reference = make_vec_env(partial(gym.make, env_id), n_envs=3)
    reference.seed(40)
    envs = make_envs("gymnasium", by_id(env_id), [40, 41, 42])
    np.testing.assert_array_equal(envs.reset(), reference.reset())
    for step in range(420):
        actions = _actions(envs.action_space, 3, step)
        transition = envs.step(actions)
        if isinstance(envs.action_space, gym.spaces.Box):  # Stable-Baselines3 clips before it steps
            actions = np.clip(actions, envs.action_space.low, envs.action_space.high).astype(np.float32)
        observations, rewards, dones, infos = reference.step(actions)
        np.testing.assert_array_equal(transition.observations, observations)
        np.testing.assert_allclose(transition.rewards, rewards, rtol=1e-6)
        np.testing.assert_array_equal(transition.terminated | transition.truncated, dones)
        for env in np.flatnonzero(dones):
            np.testing.assert_array_equal(transition.final[env], infos[env]["terminal_observation"])
            assert transition.truncated[env] == infos[env]["TimeLimit.truncated"]
    envs.close()
    reference.close()


def _state(env_id: str, observation: np.ndarray) -> np.ndarray:
    """The state in which Gymnasium's environment shows `observation`."""
    x = observation.astype(np.float64)
    if env_id == "Acrobot-v1":
        return np.array([np.arctan2(x[1], x[0]), np.arctan2(x[3], x[2]), x[4], x[5]])
    return np.array([np.arctan2(x[1], x[0]), x[2]]) if env_id == "Pendulum-v1" else x


@pytest.mark.parametrize("env_id", IDS)
def test_envpool_follows_gymnasiums_dynamics(env_id: str) -> None:
    envs = make_envs("envpool", by_id(env_id), [5])
    slow: Any = gym.make(env_id)
    slow.reset()
    slow.unwrapped.state = _state(env_id, envs.reset()[0])
    for step in range(60):
        (action,) = _actions(envs.action_space, 1, step)
        if isinstance(envs.action_space, gym.spaces.Box):
            action = np.clip(action, envs.action_space.low, envs.action_space.high).astype(np.float32)
        transition = envs.step(np.array([action]))
        observation, reward, terminated, *_ = slow.step(action)
        np.testing.assert_allclose(transition.final[0], observation, atol=2e-5, rtol=1e-4)
        assert transition.rewards[0] == pytest.approx(reward, rel=1e-4, abs=1e-5)
        assert transition.terminated[0] == terminated
        if terminated:
            break
    envs.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_end_in_the_last_step_of_the_limit_is_an_end(backend: str) -> None:
    """Balance the pole, then push to one side, so that some poles fall in step 500 exactly."""
    count = 48
    envs = make_envs(backend, by_id("CartPole-v1"), list(range(count)))
    observations, lengths = envs.reset(), np.zeros(count, int)
    for step in range(1, 501):
        balancing = (observations @ np.array([0.05, 0.1, 1.0, 0.5]) > 0).astype(np.int64)
        transition = envs.step(np.where(step > 484 + np.arange(count) % 16, 1, balancing))
        x, angle = np.abs(transition.final[:, 0]), np.abs(transition.final[:, 2])
        fallen = (x > 2.4) | (angle > np.float32(np.pi * 12 / 180))
        np.testing.assert_array_equal(transition.terminated, fallen)
        lengths += 1
        np.testing.assert_array_equal(transition.truncated, (lengths == 500) & ~fallen)
        if step == 500:
            assert 0 < (fallen & (lengths == 500)).sum() < (lengths == 500).sum()
        lengths[fallen] = 0
        observations = transition.observations
    envs.close()


def _first_observations(backend: str, env_id: str, count: int) -> np.ndarray:
    envs = make_envs(backend, by_id(env_id), list(range(count)))
    first = envs.reset()
    envs.close()
    return first


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_begin_in_envpool_as_in_gymnasium(env_id: str) -> None:
    """Two samples of 1000 first observations, compared by Kolmogorov and Smirnov in every dimension that varies."""
    pool, slow = (_first_observations(backend, env_id, 1000) for backend in BACKENDS)
    varying = slow.std(axis=0) > 0
    np.testing.assert_allclose(pool[:, ~varying], slow[:, ~varying], atol=1e-6)
    assert len(np.unique(pool[:, varying], axis=0)) > 990
    for dimension in np.flatnonzero(varying):
        assert ks_2samp(pool[:, dimension], slow[:, dimension]).pvalue > 0.001


def test_later_episodes_begin_elsewhere() -> None:
    envs = make_envs("envpool", by_id("MountainCar-v0"), [3])
    first = [float(envs.reset()[0, 0])]
    for _ in range(600):
        transition = envs.step(np.zeros(1, int))
        if transition.truncated[0]:
            first.append(float(transition.observations[0, 0]))
    envs.close()
    assert len(set(first)) == len(first) == 4


@pytest.mark.parametrize(
    ("backend", "env_id"), [("gymnasium", "probe/continuous-v0"), ("envpool", "HalfCheetah-v4")]
)
def test_continuous_actions_are_clipped_to_the_bounds(backend: str, env_id: str) -> None:
    envs = make_envs(backend, by_id(env_id), [5, 5])
    envs.reset()
    for action in (5.0, -5.0):
        shape = envs.action_space.shape
        transition = envs.step(np.stack([np.full(shape, action), np.full(shape, np.sign(action))]))
        assert transition.rewards[0] == transition.rewards[1]
        assert (transition.final[0] == transition.final[1]).all()
    envs.close()


def test_envpools_images_come_channels_first_too() -> None:
    envs = make_envs("envpool", by_id("CarRacing-v3"), [4])
    assert envs.observation_space == gym.spaces.Box(0, 255, (3, 96, 96), np.uint8)
    seen = [envs.reset(), envs.step(np.zeros((1, 3))).final]
    envs.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool: Any = envpool.make("CarRacing-v3", env_type="gymnasium", num_envs=1, seed=[4], num_threads=1)
    raw = [pool.reset()[0], pool.step(np.zeros((1, 3), np.float32))[0]]
    for ours, theirs in zip(seen, raw, strict=True):
        np.testing.assert_array_equal(ours, theirs.transpose(0, 3, 1, 2))
        assert ours.flags.c_contiguous


def test_images_come_channels_first_as_in_stable_baselines3() -> None:
    reference = VecTransposeImage(make_vec_env(partial(gym.make, "probe/image-v0"), n_envs=2))
    reference.seed(9)
    envs = make_envs("gymnasium", by_id("probe/image-v0"), [9, 10])
    assert envs.observation_space == reference.observation_space
    np.testing.assert_array_equal(envs.reset(), reference.reset())
    for step in range(5):
        actions = _actions(envs.action_space, 2, step)
        transition = envs.step(actions)
        observations, _, _, infos = reference.step(actions)
        np.testing.assert_array_equal(transition.observations, observations)
        np.testing.assert_array_equal(transition.final, [info["terminal_observation"] for info in infos])
    envs.close()


@pytest.mark.parametrize("kind", ["int", "float", "wide", "endless"])
def test_observations_are_cast_as_in_stable_baselines3(kind: str) -> None:
    """A number for an array, numbers with decimals for whole ones, 64 bits for 8."""
    reference = DummyVecEnv([partial(gym.make, f"probe/{kind}-v0", disable_env_checker=True)] * 2)
    envs = make_envs("gymnasium", by_id(f"probe/{kind}-v0"), [0, 0])
    shown = [envs.reset()]
    expected = [reference.reset()]
    for _ in range(4):
        shown.append(envs.step_some(np.zeros(2, int), np.arange(2))[0])
        expected.append(reference.step(np.zeros(2, int))[0])
    for ours, theirs in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    transition = envs.step(np.zeros(2, int))
    assert transition.observations.dtype == transition.final.dtype == envs.observation_space.dtype
    if kind != "endless":
        np.testing.assert_array_equal(transition.observations, expected[0])
    envs.close()


@pytest.mark.parametrize(
    ("space", "shown", "message"),
    [
        (
            gym.spaces.Box(0, 1, (1,)),
            np.zeros(2),
            r"probe/unfit-v0 .* does not fit Box.*shape \(2,\) into shape \(1,\)",
        ),
        (gym.spaces.Box(0, 1, (1,)), {}, "probe/unfit-v0 .* does not fit Box"),
        (gym.spaces.Discrete(3), 3, r"probe/unfit-v0 gives the observation 3, which is not in Discrete\(3\)"),
        (gym.spaces.MultiDiscrete([2, 3]), [-1, 0], r"the observation \[-1  0\], which is not in MultiDiscrete"),
    ],
)
def test_observations_that_cannot_be_cast_name_the_environment(
    space: gym.Space[Any], shown: Any, message: str
) -> None:
    given = {"space": space, "show": lambda count: shown}
    gym.registry.pop("probe/unfit-v0", None)
    gym.register("probe/unfit-v0", probe_envs.Counted, kwargs=given)
    with (
        closing(make_envs("gymnasium", by_id("probe/unfit-v0"), [0])) as envs,
        pytest.raises(ValueError, match=message),
    ):
        envs.reset()


def test_an_environment_that_writes_into_its_observation_keeps_the_last_one_of_an_episode() -> None:
    shared = np.zeros(1, np.float32)

    def show(count: int) -> np.ndarray:
        shared[:] = count
        return shared

    gym.registry.pop("probe/shared-v0", None)
    gym.register("probe/shared-v0", probe_envs.Counted, kwargs={"space": gym.spaces.Box(0, 9, (1,)), "show": show})
    with closing(make_envs("gymnasium", by_id("probe/shared-v0"), [0])) as envs:
        envs.reset()
        steps = [envs.step(np.zeros(1, int)) for _ in range(5)]
    assert [float(step.final[0, 0]) for step in steps] == [1, 2, 3, 4, 5]
    assert steps[-1].observations.tolist() == [[0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_discrete_observations_are_one_hot_as_in_stable_baselines3(backend: str) -> None:
    space = gym.spaces.Discrete(16)
    with closing(make_envs(backend, by_id("FrozenLake-v1"), [3, 4, 5])) as envs:
        shown = [envs.reset(), *(envs.step(np.array([1, 2, step % 4])).final for step in range(8))]
        assert envs.observation_space == gym.spaces.Box(0, 1, (16,), np.float32)
    assert (np.stack(shown).sum(axis=2) == 1).all()
    numbers = np.stack(shown).argmax(axis=2)
    assert len(np.unique(numbers)) > 1
    for ours, number in zip(shown, numbers, strict=True):
        np.testing.assert_array_equal(ours, preprocess_obs(torch.from_numpy(number), space).numpy(), strict=True)


def test_multi_discrete_observations_are_one_hot_as_in_stable_baselines3() -> None:
    space = gym.spaces.MultiDiscrete([2, 5, 3], seed=0)
    env_id = probe_envs.with_spaces("digits", space, gym.spaces.Discrete(2))
    with closing(make_envs("gymnasium", by_id(env_id), list(range(9)))) as envs:
        shown = envs.reset()
    digits = np.stack([gym.make(env_id).reset(seed=seed)[0] for seed in range(9)])
    np.testing.assert_array_equal(shown, preprocess_obs(torch.from_numpy(digits), space).numpy(), strict=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_episode_that_does_not_end_is_given_up_with_a_way_out(backend: str) -> None:
    env_id = {"gymnasium": "probe/endless-v0", "envpool": "Pendulum-v1"}[backend]
    message = f"env.id={env_id} has not ended after 60 steps; give it a time limit .* evaluation.max_steps"
    with closing(make_envs(backend, by_id(env_id), [1, 2])) as envs, pytest.raises(EndlessEpisode, match=message):
        evaluate(envs, lambda seen, active: np.zeros((len(active), *envs.action_space.shape)), 60)


def test_an_episode_may_end_in_its_last_step() -> None:
    with closing(make_envs("gymnasium", by_id("probe/int-v0"), [0, 1])) as envs:
        returns, lengths = evaluate(envs, lambda seen, active: np.zeros(len(active)), 5)
    assert (returns.tolist(), lengths.tolist()) == ([5, 5], [5, 5])


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluation_is_the_slow_loop(backend: str) -> None:
    """Each episode by itself, with a policy that looks at the observation, of all or of those that go on."""
    seeds = [11, 12, 13, 14, 15, 11]

    def act(observations: np.ndarray) -> np.ndarray:
        return (observations[:, 2] > 0).astype(np.int64)

    with closing(make_envs(backend, by_id("CartPole-v1"), seeds)) as envs:
        returns, lengths = evaluate(envs, lambda seen, active: act(seen)[active], 500)
    with closing(make_envs(backend, by_id("CartPole-v1"), seeds)) as envs:
        others = evaluate(envs, lambda seen, active: act(seen[active]), 500)
    assert [x.tolist() for x in others] == [returns.tolist(), lengths.tolist()]
    for episode, seed in enumerate(seeds):
        with closing(make_envs(backend, by_id("CartPole-v1"), [seed])) as envs:
            observation, total, steps, done = envs.reset(), 0.0, 0, False
            while not done:
                transition = envs.step(act(observation))
                observation, done = (
                    transition.observations,
                    bool(transition.terminated[0] or transition.truncated[0]),
                )
                total, steps = total + transition.rewards[0], steps + 1
        assert (returns[episode], lengths[episode]) == (total, steps)
    assert returns[0] == returns[5]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_episode_that_has_ended_is_not_stepped_any_more(backend: str) -> None:
    asked: list[int] = []

    def act(observations: np.ndarray, active: np.ndarray) -> np.ndarray:
        asked.append(len(observations))
        return np.array([0, 1, 0, 1])[active] * (len(asked) % 2)

    with closing(make_envs(backend, by_id("CartPole-v1"), [1, 2, 3, 4])) as envs:
        returns, lengths = evaluate(envs, act, 500)
    assert (returns == lengths).all()
    assert len(asked) == lengths.max() > lengths.min()


def _raise(error: Exception, *_: Any, **__: Any) -> None:
    raise error


def test_refusals_say_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(by_id("CartPole-v1")) is None
    assert "EnvPool has no probe/action-v0; use trainer.envs=gymnasium" in str(refusal(by_id("probe/action-v0")))
    assert "it has 2 players in EnvPool, and an agent plays alone" in str(refusal(by_id("Chess-v1")))
    with monkeypatch.context() as patch:
        patch.setattr(envpool, "make", partial(_raise, ImportError("no such library")))
        message = "EnvPool cannot make Acrobot-v1: no such library; use trainer.envs=gymnasium"
        assert refusal(by_id("Acrobot-v1")) == message
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "EnvPool is not installed; pip install 'rl-warmup[envpool]'" in str(refusal(by_id("CartPole-v1")))
