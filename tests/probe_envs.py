"""Environments whose right answer is known, registered with Gymnasium under the namespace `probe`."""

import os
import signal
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np


def _raise(error: BaseException) -> None:
    raise error


ENDS: dict[str, Callable[[], None]] = {
    "broken": lambda: _raise(OverflowError("the environment broke")),
    "interrupted": lambda: _raise(KeyboardInterrupt()),
    "exit": lambda: _raise(SystemExit(3)),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


class Probe(gym.Env[Any, Any]):
    """One kind of question a trainer must be able to answer; episodes of one or two steps.

    constant: reward 1 whatever is done (the value is 1).
    action: reward +1 for action 1, -1 for action 0 (the policy matters).
    delayed: the reward of the first step's action comes in the second step (discounting, bootstrapping).
    explode: rewards so large that the loss overflows to infinity.
    broken: raises in its 30th step; interrupted: the user presses Ctrl-C there; exit: calls sys.exit;
    killed: its process is killed.
    """

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, kind: str) -> None:
        self.kind, self.step_index, self.first_action, self.steps = kind, 0, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.step_index = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.step_index += 1
        self.steps += 1
        if self.steps == 30 and self.kind in ENDS:
            ENDS[self.kind]()
        if self.kind == "delayed":
            if self.step_index == 1:
                self.first_action = int(action)
                return self._observe(), 0.0, False, False, {}
            return self._observe(), 2.0 * self.first_action - 1.0, True, False, {}
        reward = {"constant": 1.0, "action": 2.0 * int(action) - 1.0, "explode": 1e30}.get(self.kind, 0.0)
        return self._observe(), reward, True, False, {}

    def _observe(self) -> Any:
        return np.array([self.step_index, 1.0], dtype=np.float32)


def register() -> None:
    """Make probe/<kind>-v0 known to Gymnasium for every kind; idempotent."""
    for kind in ("constant", "action", "delayed", "explode", *ENDS):
        if f"probe/{kind}-v0" not in gym.registry:
            gym.register(f"probe/{kind}-v0", entry_point="probe_envs:Probe", kwargs={"kind": kind})


register()
