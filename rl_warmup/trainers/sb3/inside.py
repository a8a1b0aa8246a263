"""What `diagnostics=full` is given of a Stable-Baselines3 model: its transitions, parameters and optimizer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from torch.optim import SGD

from rl_warmup.config.learning_rate import phases_of, skipped_steps
from rl_warmup.config.schema import RunConfig
from rl_warmup.trainers.flat import named_parameters, trained
from rl_warmup.trainers.inside import Inside
from rl_warmup.trainers.optimizers import moments_of
from rl_warmup.trainers.policies import is_critic
from rl_warmup.trainers.probe import Probe, State


class Watch:
    """Asked before and after every update phase of one agent."""

    def __init__(self, config: RunConfig, model: PPO | DQN) -> None:
        self.inside = Inside([config], model.policy, chunk=1)
        self._config, self._phases = config, phases_of(config)
        self._before: Tensor | None = None

    def begin(self, model: PPO | DQN) -> None:
        """Draw the probe batch if it is time, and keep the parameters if the phase is to be measured."""
        drawn = self.inside.drawn(_available(model))
        if drawn is not None:
            (indices,) = drawn.numpy()
            found = _of_rollout(model, indices) if isinstance(model, PPO) else _of_replay(model, indices)
            self.inside.take(Probe(*(torch.as_tensor(x, device=model.device).unsqueeze(0) for x in found)))
        due = self.inside.due(self._phases.phases_done(model.num_timesteps) - 1)
        self._before = _parameters(model) if due else None

    def end(self, model: PPO | DQN, dose: Mapping[str, float]) -> dict[str, Any]:
        """The columns of the phase, null if it is not to be measured; `dose`: its other columns."""
        if self._before is None:
            return dict.fromkeys(self.inside.names)
        state = _state(self._config, model, self._before, dose)
        return {name: values.item() for name, values in self.inside.measure(state).items()}


def _available(model: PPO | DQN) -> int:
    if isinstance(model, PPO):
        return model.n_steps * model.n_envs
    assert model.replay_buffer is not None
    return model.replay_buffer.size() * model.n_envs


def _of_rollout(model: PPO, indices: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Transitions of a rollout that no epoch has gone through, counted as an epoch counts them."""
    buffer = model.rollout_buffer
    env, step = np.divmod(indices, buffer.buffer_size)
    assert model._last_obs is not None
    last = np.asarray(model._last_obs).reshape(buffer.observations[0].shape)
    following = np.concatenate([buffer.observations[1:], last[None]])
    ends = np.concatenate([buffer.episode_starts[1:], np.asarray(model._last_episode_starts, np.float32)[None]])
    return [table[step, env] for table in (buffer.observations, buffer.actions, buffer.rewards, following, ends)]


def _of_replay(model: DQN, indices: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Transitions of the replay buffer as they are learned from: normalized, and not ended by a time limit."""
    buffer, normalizer = model.replay_buffer, model.get_vec_normalize_env()
    assert buffer is not None
    slot, env = np.divmod(indices, model.n_envs)
    observations, following = (
        np.asarray(buffer._normalize_obs(table[slot, env], normalizer))
        for table in (buffer.observations, buffer.next_observations)
    )
    rewards = buffer._normalize_reward(buffer.rewards[slot, env], normalizer)
    ends = buffer.dones[slot, env] * (1 - buffer.timeouts[slot, env])
    return [observations, buffer.actions[slot, env], rewards, following, ends]


def _state(config: RunConfig, model: PPO | DQN, before: Tensor, dose: Mapping[str, float]) -> State:
    """A stack of one: the parameters `before`, and what the model is now."""
    after, coefficients = _parameters(model), [model.gamma]
    if isinstance(model, DQN):
        target = parameters_to_vector(model.q_net_target.parameters()).detach().unsqueeze(0)
    else:
        clip_range = model.clip_range(model._current_progress_remaining)  # type: ignore[operator]
        target, coefficients = after, [model.gamma, clip_range, model.ent_coef, model.vf_coef]
    kept = model.policy.optimizer.state
    second = [moments_of(kept.get(p, {}), p).second.detach().flatten() for p in trained(model.policy)]

    def row(values: Any) -> Tensor:
        return torch.tensor([values], dtype=torch.float64, device=model.device)

    return State(
        before,
        after,
        torch.cat(second).unsqueeze(0),
        row(_counts(config, model, int(dose["gradient_step"]))),
        row(dose["learning_rate_last"]),
        row(dose["base_learning_rate"]),
        row(coefficients),
        target,
    )


def _counts(config: RunConfig, model: PPO | DQN, done: int) -> list[float]:
    """The optimizer's own counts, of the critic's parameters and of the others; of SGD as planned."""
    optimizer, counts = model.policy.optimizer, []
    named = dict(zip(map(is_critic, dict(named_parameters(model.policy))), trained(model.policy), strict=True))
    for critic, held in ((True, 0), (False, config.init.critic_only)):
        state = optimizer.state.get(named.get(critic, trained(model.policy)[0]), {})
        planned = max(done - max(skipped_steps(config), held), 0) if isinstance(optimizer, SGD) else 0
        counts.append(float(state.get("count", state.get("step", planned))))
    return counts


def _parameters(model: PPO | DQN) -> Tensor:  # [1, parameters]
    return parameters_to_vector(trained(model.policy)).detach().clone().unsqueeze(0)
