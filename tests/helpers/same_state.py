"""Gymnasium's version of an environment, put into the state that EnvPool's is in, and stepped beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from rl_warmup.envs.protocol import Transition, VectorEnvs

NO_OPS = range(1, 31)
"""Numbers of no-ops that an Atari game may begin with."""


@dataclass(frozen=True)
class Record:
    """What was played in environments of EnvPool."""

    shown: list[NDArray[Any]]  # [steps] of [envs, ...]: what each step began with
    grids: list[list[Any]]  # [steps] of [envs]: MiniGrid's states
    actions: list[NDArray[Any]]  # [steps] of [envs, ...]
    steps: list[Transition]  # [steps]


@dataclass(frozen=True)
class Step:
    """One step of both versions, from the same state by the same action."""

    observations: tuple[NDArray[Any], NDArray[Any]]  # EnvPool's, Gymnasium's
    rewards: tuple[float, float]
    terminated: tuple[bool, bool]
    truncated: tuple[bool, bool]

    @property
    def error(self) -> float:
        """The largest difference of a number of the observations."""
        one, other = (observation.astype(np.float64) for observation in self.observations)
        return float(np.abs(one - other).max())


def record(pool: VectorEnvs, act: Callable[[int], NDArray[Any]], steps: int) -> Record:
    """Play `steps` vector steps; `act` gives the actions [envs, ...] of one."""
    played, shown = Record([], [], [], []), pool.reset()
    states = getattr(pool._pool, "debug_states", lambda: [None] * len(shown))  # type: ignore[attr-defined]
    for step in range(steps):
        played.shown.append(shown)
        played.grids.append(states())
        played.actions.append(act(step))
        played.steps.append(pool.step(played.actions[-1]))
        shown = played.steps[-1].observations
    return played


@dataclass(frozen=True)
class Moment:
    """Where environment `env` was before step `step` of a record, `elapsed` steps after the episode began."""

    played: Record
    env: int
    step: int
    elapsed: int

    @property
    def shown(self) -> NDArray[Any]:
        """What it showed."""
        return np.asarray(self.played.shown[self.step][self.env])


def follow(slow: gym.Env[Any, Any], played: Record, env: int) -> Iterator[Step]:
    """Play the actions of environment `env` in Gymnasium's, from the same first state of each episode.

    Where a state can be read off an observation, from the same state in every step.
    """
    put, readable = _family(slow)
    elapsed = 0
    for step, transition in enumerate(played.steps):
        if elapsed == 0 or readable:
            put(slow, Moment(played, env, step, elapsed))
        observation, reward, terminated, truncated, _ = slow.step(played.actions[step][env])
        ends = bool(transition.terminated[env]), bool(transition.truncated[env])
        yield Step(
            (transition.final[env], observation),
            (float(transition.rewards[env]), float(reward)),
            (ends[0], terminated),
            (ends[1], truncated and not terminated),
        )
        elapsed = 0 if any(ends) else elapsed + 1


Put = Callable[[gym.Env[Any, Any], Moment], None]


def _family(slow: gym.Env[Any, Any]) -> tuple[Put, bool]:
    """What puts an environment into the state of a moment, and whether it can in the middle of an episode."""
    module, name = type(slow.unwrapped).__module__, type(slow.unwrapped).__name__
    match module.split("."):
        case [*_, "classic_control", _]:
            return _put_classic, True
        case [*_, "mujoco", _]:
            return _put_mujoco, name == "HalfCheetahEnv"  # others show clipped velocities, or not where they were
        case ["minigrid", *_]:
            return _put_minigrid, True
        case [*_, "box2d", "lunar_lander"]:
            return _push_lander, False
        case [*_, "box2d", "bipedal_walker"]:
            return _push_walker, False
        case ["ale_py", *_]:
            return _put_atari, False
    raise LookupError(module)


def _restarted(slow: gym.Env[Any, Any], elapsed: int) -> Any:
    """The innermost environment; the time limit around it has seen `elapsed` steps."""
    if elapsed == 0:
        slow.reset()
    layer: Any = slow
    while layer is not slow.unwrapped:
        if isinstance(layer, gym.wrappers.TimeLimit):
            layer._elapsed_steps = elapsed
        layer = layer.env
    return layer


def _put_classic(slow: gym.Env[Any, Any], moment: Moment) -> None:
    x, env = moment.shown.astype(np.float64), _restarted(slow, moment.elapsed)
    match type(env).__name__:
        case "AcrobotEnv":
            env.state = np.array([np.arctan2(x[1], x[0]), np.arctan2(x[3], x[2]), x[4], x[5]])
        case "PendulumEnv":
            env.state = np.array([np.arctan2(x[1], x[0]), x[2]])
        case _:
            env.state = x


def _put_mujoco(slow: gym.Env[Any, Any], moment: Moment) -> None:
    """At x = 0, which observations leave out and nothing depends on."""
    env, shown = _restarted(slow, moment.elapsed), moment.shown
    hidden = env.observation_structure["skipped_qpos"]
    positions = env.model.nq - hidden
    env.set_state(np.r_[np.zeros(hidden), shown[:positions]], shown[positions : positions + env.model.nv])


def _put_minigrid(slow: gym.Env[Any, Any], moment: Moment) -> None:
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    env, grid = _restarted(slow, moment.elapsed), moment.played.grids[moment.step][moment.env]
    cells = np.array(grid.grid).reshape(grid.width, grid.height, 3)
    env.grid = Grid(grid.width, grid.height)
    for x, y in np.ndindex(grid.width, grid.height):
        env.grid.set(x, y, WorldObj.decode(*cells[x, y].tolist()))
    env.agent_pos, env.agent_dir, env.step_count = tuple(grid.agent_pos), grid.agent_dir, moment.elapsed
    held = (grid.carrying_type, grid.carrying_color, grid.carrying_state)
    env.carrying = WorldObj.decode(*held) if grid.has_carrying else None


class _Given:
    """Random numbers, of which the first that are uniform in `size` to both sides are given."""

    def __init__(self, size: float, pushes: list[float]) -> None:
        self._size, self._pushes, self._others = size, pushes, np.random.default_rng(0)

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        if (low, high) == (-self._size, self._size) and self._pushes:
            return self._pushes.pop(0)
        return self._others.uniform(low, high, size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


def _pushed(slow: gym.Env[Any, Any], size: float, *pushes: float) -> NDArray[np.float64]:
    """The first observation after the given pushes."""
    slow.unwrapped._np_random = _Given(size, [float(push) for push in pushes])  # type: ignore[attr-defined]
    return np.asarray(slow.reset()[0], np.float64)


def _push_lander(slow: gym.Env[Any, Any], moment: Moment) -> None:
    """Its first velocities are linear in the pushes."""
    from gymnasium.envs.box2d.lunar_lander import INITIAL_RANDOM as SIZE

    still = _pushed(slow, SIZE, 0, 0)[2:4]
    slopes = [_pushed(slow, SIZE, *push)[2:4] - still for push in np.eye(2) * SIZE]
    pushes = np.linalg.solve(np.array(slopes).T, moment.shown[2:4] - still) * SIZE
    _pushed(slow, SIZE, *pushes)


def _push_walker(slow: gym.Env[Any, Any], moment: Moment) -> None:
    """Its feet are on the ground, so the push is searched."""
    from gymnasium.envs.box2d.bipedal_walker import INITIAL_RANDOM as SIZE

    def miss(push: float) -> float:
        return float(np.square(_pushed(slow, SIZE, push) - moment.shown).sum())

    coarse = min(np.linspace(-SIZE, SIZE, 21), key=miss)
    around = (max(coarse - 0.6, -SIZE), min(coarse + 0.6, SIZE))
    _pushed(slow, SIZE, minimize_scalar(miss, bounds=around, method="bounded", options={"xatol": 1e-9}).x)


class _NoOps:
    """Random numbers that are all the same."""

    def __init__(self, count: int) -> None:
        self._count = count

    def integers(self, *bounds: int) -> int:
        return self._count


def after_no_ops(slow: gym.Env[Any, Any], count: int) -> NDArray[Any]:
    """The first observation of an Atari game that begins with `count` no-ops."""
    slow.unwrapped._np_random = _NoOps(count)  # type: ignore[attr-defined]
    return np.asarray(slow.reset()[0])


def _put_atari(slow: gym.Env[Any, Any], moment: Moment) -> None:
    """As many no-ops as make the next steps the same, or the most of them: first frames are often the same."""
    after_no_ops(slow, max(NO_OPS, key=lambda count: _agreeing(slow, moment, count)))


def _agreeing(slow: gym.Env[Any, Any], moment: Moment, count: int, most: int = 30) -> int:
    """Steps that are the same after `count` no-ops, -1 where the first observation is not."""
    if (after_no_ops(slow, count) != moment.shown).any():
        return -1
    steps = moment.played.steps[moment.step : moment.step + most]
    for number, transition in enumerate(steps):
        observation, *_ = slow.step(moment.played.actions[moment.step + number][moment.env])
        if transition.terminated[moment.env] or transition.truncated[moment.env]:
            break
        if (observation != transition.final[moment.env]).any():
            return number
    return len(steps)
