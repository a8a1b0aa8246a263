"""Environments of a stack: exact resets, independent streams, Gymnasium's dynamics, and evaluation."""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import probe_envs
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecTransposeImage

from rl_warmup.trainers.stacked import vector_envs
from rl_warmup.trainers.stacked.vector_envs import evaluate, make_envs, refusal

probe_envs.register()
BACKENDS = ["envpool", "gymnasium"]
IDS = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1"]


def _actions(space: gym.Space[Any], count: int, step: int) -> np.ndarray:
    random = np.random.default_rng([step, 8])
    if isinstance(space, gym.spaces.Discrete):
        return random.integers(0, space.n, count)
    return random.uniform(-1.5, 1.5, (count, *space.shape)) * space.high  # beyond the bounds too


def _play(backend: str, env_id: str, seeds: list[int], steps: int, which: int) -> list[tuple]:
    """What environment `which` shows and is given, whose actions depend on the step only."""
    envs = make_envs(backend, env_id, seeds)
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
    assert _play(backend, env_id, [1, 7, 2, 7], 230, 3) == alone
    assert _play(backend, env_id, [1, 7, 2, 7], 230, 0) != alone


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_reset_step_enters(backend: str) -> None:
    """The first step of a new episode earns its reward, and an episode is as long as its rewards."""
    envs = make_envs(backend, "CartPole-v1", list(range(6)))
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
    envs = make_envs(backend, env_id, [3, 4])
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
    envs = make_envs("gymnasium", env_id, [40, 41, 42])
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
    envs = make_envs("envpool", env_id, [5])
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


def test_images_come_channels_first_as_in_stable_baselines3() -> None:
    reference = VecTransposeImage(make_vec_env(partial(gym.make, "probe/image-v0"), n_envs=2))
    reference.seed(9)
    envs = make_envs("gymnasium", "probe/image-v0", [9, 10])
    assert envs.observation_space == reference.observation_space
    np.testing.assert_array_equal(envs.reset(), reference.reset())
    for step in range(5):
        actions = _actions(envs.action_space, 2, step)
        transition = envs.step(actions)
        observations, _, _, infos = reference.step(actions)
        np.testing.assert_array_equal(transition.observations, observations)
        np.testing.assert_array_equal(transition.final, [info["terminal_observation"] for info in infos])
    envs.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluation_is_the_slow_loop(backend: str) -> None:
    """Each episode by itself, with a policy that looks at the observation."""
    seeds = [[11, 12, 13], [14, 15, 11]]
    returns, lengths = evaluate(backend, "CartPole-v1", seeds, lambda x: (x[..., 2] > 0).astype(np.int64))
    for member, row in enumerate(seeds):
        for episode, seed in enumerate(row):
            envs = make_envs(backend, "CartPole-v1", [seed])
            observation, total, steps, done = envs.reset(), 0.0, 0, False
            while not done:
                transition = envs.step((observation[:, 2] > 0).astype(np.int64))
                observation, done = (
                    transition.observations,
                    bool(transition.terminated[0] or transition.truncated[0]),
                )
                total, steps = total + transition.rewards[0], steps + 1
            envs.close()
            assert (returns[member, episode], lengths[member, episode]) == (total, steps)
    assert returns[0, 0] == returns[1, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_episode_that_has_ended_is_not_stepped_any_more(backend: str) -> None:
    asked: list[int] = []

    def act(observations: np.ndarray) -> np.ndarray:
        asked.append(len(observations))
        return np.array([[0, 1]]).repeat(len(observations), 0) * (len(asked) % 2)

    returns, lengths = evaluate(backend, "CartPole-v1", [[1, 2], [3, 4]], act)
    assert (returns == lengths).all()
    assert len(asked) == lengths.max() > lengths.min()


def test_refusals_say_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("gymnasium", "probe/action-v0") is None
    assert refusal("envpool", "CartPole-v1") is None
    assert "EnvPool has no probe/action-v0; use trainer.envs=gymnasium" in str(
        refusal("envpool", "probe/action-v0")
    )
    monkeypatch.setattr(vector_envs.importlib.util, "find_spec", lambda name: None)
    refusal.cache_clear()
    assert "EnvPool is not installed; pip install 'rl-warmup[envpool]'" in str(refusal("envpool", "CartPole-v1"))
    refusal.cache_clear()
