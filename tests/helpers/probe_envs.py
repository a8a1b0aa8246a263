"""Environments whose right answer is known, registered with Gymnasium under the namespace `probe`."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _raise(error: BaseException) -> None:
    raise error


ENDS: dict[str, Callable[[], None]] = {
    "broken": lambda: _raise(OverflowError("the environment broke")),
    "interrupted": lambda: _raise(KeyboardInterrupt()),
    "exit": lambda: _raise(SystemExit(3)),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "vanished": lambda: os._exit(3),
    "left": lambda: os._exit(0),
    "like_ctrl_c": lambda: os._exit(130),
    "like_full": lambda: os._exit(74),
    "secret": lambda: _raise(ValueError(f"no login with {os.environ['PROBE_API_KEY']} \ud800")),
    "large": lambda: _raise(MemoryError("no room for more")),
}


UNSET = ("unset", "unset_at_once")
NOT_FINITE = ("nan_reward", "nan_at_once", "inf_observation")


class Probe(gym.Env[Any, Any]):
    """One kind of question a trainer must be able to answer; episodes of one or two steps.

    constant: reward 1 whatever is done (the value is 1).
    action: reward +1 for action 1, -1 for action 0 (the policy matters).
    delayed: the reward of the first step's action, which the second observation shows, comes in the second step
    (discounting, bootstrapping).
    explode: rewards so large that the loss overflows to infinity.
    threads: as many as torch may use; gpu: the number of the one that the process sees.
    slow: takes its time, so that it can be interrupted.
    broken: raises in its 30th step; interrupted: the user presses Ctrl-C there; exit: calls sys.exit;
    killed: its process is killed; vanished, left: it ends without a word (exit code 3, 0); like_ctrl_c, like_full:
    with those of a worker that was interrupted or cannot record; secret: its error tells one; large: out of memory.
    nan_reward, inf_observation: gives one in its 30th step; nan_at_once: a reward in its first.
    unset: cannot be reset after its 30th step; unset_at_once: never.
    """

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, kind: str) -> None:
        self.kind, self.step_index, self.first_action, self.steps = kind, 0, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.step_index = 0
        if self.kind in UNSET and self.steps >= (30 if self.kind == "unset" else 0):
            raise ConnectionError("the simulator is gone")
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.step_index += 1
        self.steps += 1
        if self.steps == 30 and self.kind in ENDS:
            ENDS[self.kind]()
        if self.kind in ("nan_reward", "nan_at_once") and self.steps >= (30 if self.kind == "nan_reward" else 1):
            return self._observe(), float("nan"), True, False, {}
        if self.kind == "inf_observation" and self.steps >= 30:
            return np.array([0.0, -np.inf], np.float32), 0.0, True, False, {}
        if self.kind == "delayed":
            if self.step_index == 1:
                self.first_action = int(action)
                return self._observe(), 0.0, False, False, {}
            return self._observe(), 2.0 * self.first_action - 1.0, True, False, {}
        if self.kind == "slow":
            time.sleep(0.002)
        rewards = {"constant": 1.0, "action": 2.0 * int(action) - 1.0, "explode": 1e30, "threads": _threads()}
        rewards["gpu"] = float(os.environ.get("CUDA_VISIBLE_DEVICES") or -1)
        reward = float(rewards.get(self.kind, 0.0))
        return self._observe(), reward, True, False, {}

    def _observe(self) -> Any:
        taken = 2.0 * self.first_action - 1.0 if self.kind == "delayed" and self.step_index else 1.0
        return np.array([self.step_index, taken], dtype=np.float32)


class Signed(gym.Env[Any, Any]):
    """One step; the observation is -1 or 1, and so is the reward, whatever is done: V(s) = s."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.shown = np.array([self.np_random.choice([-1.0, 1.0])], dtype=np.float32)
        return self.shown, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return self.shown.copy(), float(self.shown[0]), True, False, {}


class Limit(gym.Env[Any, Any]):
    """Reward 1 for ever, cut off every 5 steps: with values bootstrapped there V = 1 / (1 - gamma)."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return np.ones(1, np.float32), 1.0, False, False, {}


class Continuous(gym.Env[Any, Any]):
    """One step; the reward is 1 - (a - 0.5)^2: the best action is 0.5."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return np.ones(1, np.float32), 1.0 - float(action[0] - 0.5) ** 2, True, False, {}


class Image(gym.Env[Any, Any]):
    """One step; a row is lit in one of two channels: reward 1 for the action of that channel's number, else -1."""

    observation_space = gym.spaces.Box(0, 255, (10, 10, 2), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.lit = int(self.np_random.integers(2))
        self.shown = np.zeros((10, 10, 2), np.uint8)
        self.shown[self.np_random.integers(10), :, self.lit] = 255
        return self.shown, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return self.shown.copy(), 1.0 if int(action) == self.lit else -1.0, True, False, {}


class Noise(gym.Env[Any, Any]):
    """Other noise in every step; the action of the brighter half's number earns 1; some episodes end early."""

    observation_space = gym.spaces.Box(0, 255, (2, 10, 10), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return self._draw(), {}

    def _draw(self) -> Any:
        self.shown = self.np_random.integers(256, size=(2, 10, 10)).astype(np.uint8)
        return self.shown

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        reward = float(int(action) == self.shown.sum((1, 2)).argmax())
        return self._draw(), reward, bool(self.np_random.random() < 0.15), False, {}


class Screens(gym.Env[Any, Any]):
    """Four screens of Atari's size, another brightness in every step."""

    observation_space = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros((4, 84, 84), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.count += 1
        return np.full((4, 84, 84), self.count % 256, np.uint8), 0.0, False, False, {}


class Spaces(gym.Env[Any, Any]):
    """Shows samples of its space; every action that is of its space, type included, earns 1."""

    def __init__(self, observations: gym.Space[Any], actions: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        own = np.asarray(action) in self.action_space and action.dtype == self.action_space.dtype
        return self.observation_space.sample(), float(own), False, False, {}


def with_spaces(name: str, observations: gym.Space[Any], actions: gym.Space[Any]) -> str:
    """The id of a `Spaces`, cut off every 7 steps, which is registered."""
    if f"probe/{name}-v0" not in gym.registry:
        given = {"observations": observations, "actions": actions}
        gym.register(f"probe/{name}-v0", entry_point=Spaces, max_episode_steps=7, kwargs=given)
    return f"probe/{name}-v0"


class Counted(gym.Env[Any, Any]):
    """Shows in `show`'s way how many steps an episode has had, whatever it has declared; 5 of them, or no end."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, space: gym.Space[Any], show: Callable[[int], Any], ends: bool = True) -> None:
        self.observation_space, self._show, self._ends = space, show, ends

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.count = 0
        return self._show(0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.count += 1
        return self._show(self.count), 1.0, self._ends and self.count == 5, False, {}


COUNTED: dict[str, tuple[gym.Space[Any], Callable[[int], Any], bool]] = {
    "int": (gym.spaces.Box(0.0, 9.0, (1,), np.float32), int, True),
    "float": (gym.spaces.Box(0, 9, (2,), np.int64), lambda count: [count + 0.7, count], True),
    "wide": (gym.spaces.Box(0, 255, (2,), np.uint8), lambda count: np.array([count, 250]), True),
    "endless": (gym.spaces.Box(0.0, 9.0, (1,), np.float32), lambda count: np.ones(1, np.float32), False),
    "lying": (gym.spaces.Box(0.0, 9.0, (1,), np.float32), lambda count: np.ones(1 + count // 4, np.float32), True),
}


class Process(Limit):
    """Its rewards come from a process of its own, which it leaves behind."""

    def __init__(self) -> None:
        self.pipe, other = multiprocessing.Pipe()
        multiprocessing.Process(
            target=lambda: [other.send(other.recv()) for _ in iter(int, 1)], daemon=True
        ).start()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.pipe.send(1.0)
        return np.ones(1, np.float32), self.pipe.recv(), False, False, {}


class Stumbles(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper that raises in its `step`-th step."""

    def __init__(self, env: gym.Env[Any, Any], step: int) -> None:
        super().__init__(env)
        self.left = step

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self.left -= 1
        if not self.left:
            raise KeyError("goal")
        return self.env.step(action)

    def close(self) -> None:
        super().close()
        raise OSError("no display")


class Aging(Limit):
    """Rewards are how often it was reset: a reset does not undo everything."""

    resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        self.resets += 1
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return np.ones(1, np.float32), float(self.resets), False, False, {}


class Needy(Limit):
    """Its constructor needs an argument."""

    def __init__(self, size: int) -> None:
        raise AssertionError(size)


class Levels(Limit):
    """Its constructor needs a file."""

    def __init__(self) -> None:
        raise FileNotFoundError(2, "No such file or directory", "levels.txt")


class Quits(Limit):
    """Its constructor ends the process."""

    def __init__(self) -> None:
        raise SystemExit(3)


OTHERS: dict[str, tuple[str, int | None]] = {
    "signed": ("Signed", None),
    "limit": ("Limit", 5),
    "continuous": ("Continuous", None),
    "image": ("Image", None),
    "noise": ("Noise", 7),
    "screens": ("Screens", 50),
    "process": ("Process", 5),
    "aging": ("Aging", 5),
    "needy": ("Needy", 5),
    "levels": ("Levels", 5),
    "quits": ("Quits", 5),
}


def register() -> None:
    """Make probe/<kind>-v0 known to Gymnasium for every kind; idempotent."""
    for kind in ("constant", "action", "delayed", "explode", "threads", "gpu", "slow", *NOT_FINITE, *UNSET, *ENDS):
        if f"probe/{kind}-v0" not in gym.registry:
            gym.register(f"probe/{kind}-v0", entry_point="helpers.probe_envs:Probe", kwargs={"kind": kind})
    for kind, (name, limit) in OTHERS.items():
        if f"probe/{kind}-v0" not in gym.registry:
            gym.register(f"probe/{kind}-v0", entry_point=f"helpers.probe_envs:{name}", max_episode_steps=limit)
    for kind, given in COUNTED.items():
        if f"probe/{kind}-v0" not in gym.registry:
            names = dict(zip(("space", "show", "ends"), given, strict=True))
            gym.register(f"probe/{kind}-v0", entry_point="helpers.probe_envs:Counted", kwargs=names)
    with_spaces("started", gym.spaces.Box(-1.0, 1.0, (2,)), gym.spaces.Discrete(2, start=1))


register()
