"""Running normalization of a stack against Stable-Baselines3's VecNormalize, a wrapper a member."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rl_warmup.trainers.functional.normalization import Normalizer, normalized

MEMBERS, ENVS, STEPS = 3, 4, 60
SPACE = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
GAMMA = [0.9, 0.99, 0.5]


class Script:
    """What the environments of the members do, written down beforehand."""

    def __init__(self) -> None:
        random = np.random.default_rng(5)
        scale = np.array([1.0, 30.0, 1e-3]).reshape(1, MEMBERS, 1)
        self.observations = (random.normal(2, 3, (STEPS + 1, MEMBERS, ENVS, 2)) * scale[..., None]).astype(
            np.float32
        )
        self.final = self.observations[1:] + np.float32(0.5)
        self.rewards = (random.normal(1, 5, (STEPS, MEMBERS, ENVS)) * scale).astype(np.float32)
        self.dones = random.random((STEPS, MEMBERS, ENVS)) < 0.15


class Scripted(gym.Env[Any, Any]):
    """An environment that plays its part of the script."""

    observation_space, action_space = SPACE, gym.spaces.Discrete(2)

    def __init__(self, script: Script, member: int, env: int) -> None:
        self._script, self._at, self._step = script, (member, env), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self._script.observations[self._step][self._at], {}

    def step(self, action: Any) -> Any:
        step, self._step = self._step, self._step + 1
        done = bool(self._script.dones[step][self._at])
        shown = self._script.final[step] if done else self._script.observations[step + 1]
        return shown[self._at], float(self._script.rewards[step][self._at]), done, False, {}


def test_every_member_is_normalized_as_by_vecnormalize() -> None:
    script, device = Script(), torch.device("cpu")
    mine = Normalizer(MEMBERS, ENVS, (2,), torch.tensor(GAMMA, dtype=torch.float64), device)
    theirs = [
        VecNormalize(DummyVecEnv([lambda m=m, e=e: Scripted(script, m, e) for e in range(ENVS)]), gamma=GAMMA[m])
        for m in range(MEMBERS)
    ]
    first = torch.from_numpy(script.observations[0])
    mine.begin(first)
    for m, env in enumerate(theirs):
        np.testing.assert_allclose(mine.normalize(first)[m], env.reset(), atol=1e-6, rtol=1e-6)
    for step in range(STEPS):
        shown, dones = torch.from_numpy(script.observations[step + 1]), torch.from_numpy(script.dones[step])
        rewards = mine.step(shown, torch.from_numpy(script.rewards[step]), dones.float())
        seen, final = mine.normalize(shown), mine.normalize(torch.from_numpy(script.final[step]))
        mean, scale, reward_scale = mine.statistics()
        for m, env in enumerate(theirs):
            expected, expected_rewards, _, infos = env.step(np.zeros(ENVS, dtype=int))
            np.testing.assert_allclose(seen[m], expected, atol=1e-6, rtol=1e-6)
            np.testing.assert_allclose(rewards[m], expected_rewards, atol=1e-6, rtol=1e-6)
            for e in np.flatnonzero(script.dones[step, m]):
                np.testing.assert_allclose(final[m, e], infos[e]["terminal_observation"], atol=1e-6, rtol=1e-6)
            np.testing.assert_allclose(mean[m], env.obs_rms.mean, rtol=1e-6)
            np.testing.assert_allclose(scale[m], np.sqrt(env.obs_rms.var + 1e-8), rtol=1e-6)
            np.testing.assert_allclose(reward_scale[m], np.sqrt(env.ret_rms.var + 1e-8), rtol=1e-6)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_member_that_is_not_finite_leaves_the_others_alone(bad: float) -> None:
    results = []
    for value in (0.0, bad):
        normalizer = Normalizer(MEMBERS, ENVS, (2,), torch.ones(MEMBERS, dtype=torch.float64), torch.device("cpu"))
        observations = torch.arange(MEMBERS * ENVS * 2).reshape(MEMBERS, ENVS, 2).float()
        observations[1] = value
        normalizer.begin(observations)
        rewards = normalizer.step(observations, observations[..., 0], torch.ones(MEMBERS, ENVS))
        results.append((normalizer.normalize(observations)[[0, 2]], rewards[[0, 2]]))
    for clean, beside in zip(*results, strict=True):
        assert torch.equal(clean, beside)


def test_values_are_clipped_at_ten() -> None:
    values = torch.tensor([[[-1e9, 1e9, 5.0]]])
    assert normalized(values, torch.zeros(1, 3), torch.ones(1, 3)).tolist() == [[[-10.0, 10.0, 5.0]]]
