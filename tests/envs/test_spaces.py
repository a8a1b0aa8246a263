"""Seeds and evaluation against a plain loop over Gymnasium; the constants of conf/env/ by measurement."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import FlattenObservation, TransformAction
from helpers.composing import composed, unresolved
from helpers.configs import by_id
from helpers.probe_envs import with_spaces
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import EnvConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.evaluation import evaluate
from rl_warmup.envs.seeds import STREAMS, evaluation_seeds, stream_seed
from rl_warmup.envs.spaces import _tried, check_env, spaces
from rl_warmup.envs.vector import GymnasiumEnvs

Observations = NDArray[Any]


# ---- seeds ----


def test_seeds_differ_between_streams_seeds_and_counters() -> None:
    seeds = [stream_seed(seed, stream) for seed in range(200) for stream in STREAMS]
    counters = itertools.product(range(40), range(20), range(10))
    seeds += [stream_seed(seed, "evaluation", 1 + k, 1 + j) for seed, k, j in counters]
    assert len(set(seeds)) == len(seeds) == 200 * len(STREAMS) + 8000


def test_seeds_of_neighboring_runs_are_not_neighbors() -> None:
    # Stable-Baselines3 seeds its environments s, s + 1, ...: runs must not share them.
    first = np.sort([stream_seed(seed, "environment") for seed in range(500)])
    assert np.diff(first).min() > 16


@given(
    seed=st.integers(0, 2**32 - 1),
    stream=st.sampled_from(sorted(STREAMS)),
    counter=st.lists(st.integers(0, 2**31), max_size=3),
)
def test_seeds_are_below_two_to_the_31(seed: int, stream: str, counter: list[int]) -> None:
    made = stream_seed(seed, stream, *counter)
    assert type(made) is int
    assert 0 <= made < 2**31
    assert made == stream_seed(seed, stream, *counter)


def test_seeds_are_frozen() -> None:
    # Every recorded result rests on these; numpy promises that SeedSequence stays as it is.
    found = [stream_seed(0, "weights"), stream_seed(0, "environment"), stream_seed(7, "evaluation", 3, 9)]
    assert found == [1484405855, 1982462498, 710999729]


def test_streams_keep_their_numbers() -> None:
    names = ["weights", "environment", "evaluation", "exploration", "minibatches", "prefill", "probe", "source"]
    assert list(STREAMS.items()) == [(name, number) for number, name in enumerate(names)]


def test_unknown_stream_is_an_error() -> None:
    with pytest.raises(KeyError, match="dropout"):
        stream_seed(0, "dropout")


# ---- evaluation ----


def balance(observations: Observations) -> NDArray[np.int64]:  # [active, 4]
    """CartPole: push to the side to which the pole leans; not for long."""
    return (observations[:, 2] > 0).astype(np.int64)


def pump(observations: Observations) -> NDArray[np.int64]:  # [active, 6]
    """Acrobot: push along with the lower link, which only adds energy."""
    return np.where(observations[:, 5] > 0, 2, 0)


POLICIES: list[tuple[str, Callable[[Observations], NDArray[np.int64]]]] = [
    ("CartPole-v1", balance),
    ("Acrobot-v1", pump),
]


class Evaluator:
    """Evaluations of a policy that sees the episodes that have not ended, on the same environments each time."""

    def __init__(self, env_id: str, seed: int, episodes: int) -> None:
        self._seed, self._episodes, self._envs = seed, episodes, GymnasiumEnvs(by_id(env_id), [0] * episodes)

    def __call__(self, index: int, act: Callable[[Observations], Any]) -> tuple[list[float], list[int]]:
        self._envs.seeds = evaluation_seeds(self._seed, index, self._episodes)
        returns, lengths = evaluate(self._envs, lambda seen, active: act(seen[active]), 10_000)
        return returns.tolist(), lengths.tolist()


def slow_episode(env_id: str, seed: int, act: Callable[[Observations], Any]) -> tuple[float, int]:
    env = gym.make(env_id)
    observation, _ = env.reset(seed=seed)
    total, length, over = 0.0, 0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(int(act(observation[None])[0]))
        total, length, over = total + float(reward), length + 1, terminated or truncated
    env.close()
    return total, length


@pytest.mark.parametrize(("env_id", "act"), POLICIES)
def test_evaluation_is_the_plain_loop(env_id: str, act: Callable[[Observations], Any]) -> None:
    returns, lengths = Evaluator(env_id, seed=5, episodes=4)(2, act)
    episodes = [slow_episode(env_id, stream_seed(5, "evaluation", 2, j), act) for j in range(4)]
    assert list(zip(returns, lengths, strict=True)) == episodes
    assert len(set(returns)) > 1  # they are different episodes


@pytest.mark.parametrize(("env_id", "act"), POLICIES)
def test_evaluation_does_not_depend_on_earlier_ones(env_id: str, act: Callable[[Observations], Any]) -> None:
    one, other = Evaluator(env_id, seed=0, episodes=3), Evaluator(env_id, seed=0, episodes=3)
    one(0, act)
    one(1, lambda observations: np.zeros(len(observations), dtype=np.int64))
    assert one(4, act) == other(4, act) == one(4, act)


def test_episodes_are_the_same_however_many_there_are() -> None:
    few, many = Evaluator("CartPole-v1", 3, 2)(1, balance), Evaluator("CartPole-v1", 3, 5)(1, balance)
    assert few[0] == many[0][:2]


def test_seed_and_number_of_the_evaluation_make_other_episodes() -> None:
    runs = [Evaluator("CartPole-v1", seed, 4)(index, balance)[1] for seed in (0, 1) for index in (0, 1)]
    assert len({tuple(lengths) for lengths in runs}) == 4


def test_policy_sees_the_first_observations_and_only_what_still_runs() -> None:
    seen: list[Observations] = []

    def watching(observations: Observations) -> NDArray[np.int64]:
        seen.append(observations.copy())
        return balance(observations)

    _, lengths = Evaluator("CartPole-v1", 1, 6)(0, watching)
    assert [len(batch) for batch in seen] == [sum(n > step for n in lengths) for step in range(max(lengths))]
    env = gym.make("CartPole-v1")
    assert seen[0].tolist() == [env.reset(seed=stream_seed(1, "evaluation", 0, j))[0].tolist() for j in range(6)]


def test_an_episode_ends_where_gymnasium_truncates_it() -> None:
    idle = Evaluator("Acrobot-v1", 0, 2)(0, lambda observations: np.ones(len(observations), dtype=np.int64))
    assert idle == ([-500.0, -500.0], [500, 500])


# ---- refusals ----


@pytest.mark.parametrize(
    ("algo", "env_id", "message"),
    [
        ("ppo", "Nope-v0", r"env.id=Nope-v0 cannot be made: Environment `Nope` doesn't exist"),
        ("ppo", "no_such_module:Nope-v0", r"env.id=no_such_module:Nope-v0 cannot be made: .*no_such_module"),
        ("dqn", "Pendulum-v1", r"env.id=Pendulum-v1 has the actions Box.*: DQN needs Discrete ones; use algo=ppo"),
    ],
)
def test_environments_that_are_refused(algo: str, env_id: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_env(unresolved(f"algo={algo}", env__id=env_id))


STACKED = ("trainer=stacked", "trainer.envs=gymnasium")


@pytest.mark.parametrize(
    ("overrides", "env_id", "message"),
    [
        (("trainer=stacked",), "Nope-v0", "cannot be made by trainer.envs=envpool: .*trainer.envs=gymnasium"),
        (STACKED, "Nope-v0", "env.id=Nope-v0 cannot be made: Environment `Nope` doesn't exist"),
        (
            STACKED,
            "probe/switches-v0",
            "has the actions MultiBinary.*only Discrete ones and vectors; use trainer=sb3",
        ),
        (STACKED, "probe/matrix-v0", "has the actions Box.*only Discrete ones and vectors; use trainer=sb3"),
        (
            ("algo.extractor=small_cnn",),
            "CartPole-v1",
            r"shape \(4,\): it needs images; use algo.extractor=flatten",
        ),
        (
            ("algo.extractor=nature_cnn",),
            "probe/small-v0",
            r"shape \(10, 10, 4\).*uint8.*use algo.extractor=small_cnn",
        ),
        (("algo.extractor=nature_cnn",), "probe/real-v0", "type float32.*use algo.extractor=small_cnn"),
        (
            ("algo.extractor=small_cnn",),
            "probe/real_last-v0",
            r"shape \(40, 40, 3\): it needs the channels first; env.wrappers=.*wrappers.ChannelsFirst\] puts",
        ),
        (
            ("algo.extractor=small_cnn", "algo.normalize=true"),
            "probe/small-v0",
            r"\(10, 10, 4\): .* channels first",
        ),
        (("algo.use_sde=true",), "CartPole-v1", r"the actions Discrete\(2\): algo.use_sde=true draws noise for"),
        (("algo.log_std_init=-2",), "CartPole-v1", r"Discrete\(2\): algo.log_std_init=-2 has a meaning for those"),
    ],
)
def test_what_a_trainer_or_a_network_cannot_do_is_refused(
    overrides: tuple[str, ...], env_id: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_env(resolve(unresolved(*overrides, env__id=env_id)))


@pytest.mark.parametrize("trainer", [(), STACKED])
@pytest.mark.parametrize(
    ("env_id", "extractor"),
    [("probe/small-v0", "small_cnn"), ("probe/real-v0", "small_cnn"), ("probe/atari-v0", "nature_cnn")],
)
def test_networks_for_images_that_fit(trainer: tuple[str, ...], env_id: str, extractor: str) -> None:
    check_env(resolve(unresolved(*trainer, f"algo.extractor={extractor}", env__id=env_id)))


def test_spaces_are_found_by_making_an_environment_once() -> None:
    _tried.cache_clear()
    (observations, actions), again = spaces(by_id("Acrobot-v1")), spaces(by_id("Acrobot-v1"))
    assert (observations.shape, actions) == ((6,), gym.spaces.Discrete(3))
    assert _tried.cache_info().hits == 1
    assert again == (observations, actions)


def _box(*shape: int, high: float = 1.0, dtype: Any = np.float32) -> gym.spaces.Box:
    return gym.spaces.Box(0, high, shape, dtype)


UNSTEPPED = {
    "switches": (_box(3), gym.spaces.MultiBinary(3)),
    "matrix": (_box(3), _box(2, 2)),
    "small": (_box(10, 10, 4, high=255, dtype=np.uint8), gym.spaces.Discrete(3)),
    "real": (_box(3, 40, 40), gym.spaces.Discrete(3)),
    "real_last": (_box(40, 40, 3), gym.spaces.Discrete(3)),
    "atari": (_box(84, 84, 1, high=255, dtype=np.uint8), gym.spaces.Discrete(3)),
}
for name, made in UNSTEPPED.items():
    with_spaces(name, *made)


FEW, MANY = gym.spaces.Discrete(2), np.array([[2, 3], [2, 2]])
FLAT = "; env.wrappers=[gymnasium.wrappers.FlattenObservation] makes one of it"
OWN = "; a wrapper that changes them is given in env.wrappers (docs/plugins.md), e.g. a gymnasium.wrappers"
START, ARRAY = f"the networks count from 0{FLAT}", f"the networks take one array{FLAT}"
SIZE = f"the networks take arrays of one size above 0{OWN}.TransformObservation"
ACT = f"the policies count from 0{OWN}.TransformAction"
UNSEEN = {
    "started": (gym.spaces.Discrete(3, start=1), START),
    "negative": (gym.spaces.Discrete(3, start=-1), START),
    "starts": (gym.spaces.MultiDiscrete([2, 3], start=[0, 1]), START),
    "table": (gym.spaces.MultiDiscrete(MANY), ARRAY),
    "number": (_box(), ARRAY),
    "dict": (gym.spaces.Dict(a=_box(2)), ARRAY),
    "tuple": (gym.spaces.Tuple([FEW, _box(1)]), ARRAY),
    "text": (gym.spaces.Text(3), ARRAY),
    "sequence": (gym.spaces.Sequence(_box(1)), SIZE),
    "graph": (gym.spaces.Graph(_box(1), None), SIZE),
    "empty": (_box(0), SIZE),
    "parts": (
        gym.spaces.Dict(image=_box(2), mission=gym.spaces.Sequence(_box(1))),
        "; a wrapper that keeps one part",
    ),
}
UNPLAYABLE = {
    "started": (gym.spaces.Discrete(2, start=1), ACT),
    "negative": (gym.spaces.Discrete(2, start=-1), ACT),
    "starts": (gym.spaces.MultiDiscrete([2, 3], start=[0, 1]), ACT),
    "table": (gym.spaces.MultiDiscrete(MANY), "choose from a list, no table"),
    "board": (gym.spaces.MultiBinary([2, 2]), "choose from a list, no table"),
    "whole": (_box(2, high=5, dtype=np.int64), "the policies draw real numbers, no whole ones"),
    "unbounded": (_box(2, high=np.inf), "their bounds must be finite"),
    "dict": (gym.spaces.Dict(a=FEW), "the policies cannot draw them"),
    "tuple": (gym.spaces.Tuple([FEW, _box(1)]), "the policies cannot draw them"),
    "text": (gym.spaces.Text(3), "the policies cannot draw them"),
    "empty": (_box(0), "the policies cannot draw them"),
}
BAD_SPACES = [
    *[(with_spaces(f"seen_{name}", s, FEW), f"has the observations {s}", why) for name, (s, why) in UNSEEN.items()],
    *[
        (with_spaces(f"acted_{name}", _box(3), s), f"has the actions {s}", why)
        for name, (s, why) in UNPLAYABLE.items()
    ],
]


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("trainer", [(), STACKED])
@pytest.mark.parametrize(("env_id", "what", "why"), BAD_SPACES)
def test_spaces_that_no_algorithm_can_use_are_refused_alike(
    algo: str, trainer: tuple[str, ...], env_id: str, what: str, why: str
) -> None:
    config = replace(unresolved(f"algo={algo}", *trainer), env=replace(unresolved().env, id=env_id))
    with pytest.raises(ConfigError) as refused:
        check_env(resolve(config))
    assert str(refused.value).startswith(f"env.id={env_id} {' '.join(what.split())}: ")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("trainer", [(), STACKED])
def test_only_boxes_are_normalized(trainer: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="only those of a Box can be normalized"):
        check_env(resolve(unresolved(*trainer, "algo.normalize=true", env__id="FrozenLake-v1")))


def test_what_gymnasium_flattens_or_transforms_as_advised_is_accepted() -> None:
    def wrapped() -> gym.Env[Any, Any]:
        env = gym.make(with_spaces("seen_dict_started", gym.spaces.Dict(a=FEW), gym.spaces.Discrete(2, start=1)))
        return TransformAction(FlattenObservation(env), lambda action: action + 1, FEW)

    gym.register("probe/wrapped-v0", entry_point=wrapped)
    for trainer in ((), STACKED):
        check_env(resolve(unresolved(*trainer, env__id="probe/wrapped-v0")))


@pytest.mark.parametrize(
    ("algo", "env_id"),
    [("ppo", "Pendulum-v1"), ("dqn", "CartPole-v1"), ("ppo", "Acrobot-v1"), ("dqn", "Acrobot-v1")],
)
def test_environments_that_are_not(algo: str, env_id: str) -> None:
    config = unresolved(f"algo={algo}")
    check_env(replace(config, env=replace(config.env, id=env_id)))


# ---- the constants of conf/env/ ----


def constants(name: str) -> EnvConfig:
    return EnvConfig(**composed(f"env={name}").env)


def random_returns(env_id: str, episodes: int) -> NDArray[np.float64]:  # [episodes]
    env, rng = gym.make(env_id), np.random.default_rng(0)
    returns = [_random_return(env, seed, rng) for seed in range(episodes)]
    env.close()
    return np.array(returns)


def _random_return(env: gym.Env[Any, Any], seed: int, rng: np.random.Generator) -> float:
    env.reset(seed=seed)
    assert isinstance(env.action_space, gym.spaces.Discrete)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(int(rng.integers(env.action_space.n)))
        total, over = total + float(reward), terminated or truncated
    return total


@pytest.mark.parametrize("name", ["cartpole", pytest.param("acrobot", marks=pytest.mark.slow)])
def test_return_low_is_the_random_policy(name: str) -> None:
    env = constants(name)
    returns = random_returns(env.id, 600 if name == "cartpole" else 100)
    # Acrobot's random returns are nearly all -500: the spread of one rare success bounds the error from below.
    error = max(returns.std(ddof=1), 110 * 0.016**0.5 if name == "acrobot" else 0.0) / len(returns) ** 0.5
    assert abs(returns.mean() - env.return_low) < 4 * error
    assert returns.min() >= env.return_floor


@pytest.mark.parametrize("name", ["cartpole", "acrobot"])
def test_scale_and_threshold_are_gymnasiums(name: str) -> None:
    env, spec = constants(name), gym.spec(constants(name).id)
    assert env.threshold == spec.reward_threshold
    assert spec.max_episode_steps is not None
    longest = spec.max_episode_steps
    assert (env.return_high if name == "cartpole" else -env.return_floor) == longest
    assert env.return_floor <= env.return_low < env.threshold <= env.return_high


@pytest.mark.parametrize("action", [0, 1])
def test_no_constant_policy_on_cartpole_is_below_the_floor(action: int) -> None:
    floor = constants("cartpole").return_floor
    returns, _ = Evaluator("CartPole-v1", 0, 300)(0, lambda seen: np.full(len(seen), action))
    assert min(returns) >= floor


def test_floor_of_cartpole_is_reached_from_the_worst_start_and_by_nothing_less() -> None:
    worst = min(
        fall((0.0, velocity, angle, spin), actions)
        for velocity, angle, spin in itertools.product((-0.05, 0.05), repeat=3)
        for actions in itertools.product((0, 1), repeat=8)
    )
    assert worst == constants("cartpole").return_floor == 8


def fall(state: Sequence[float], actions: Sequence[int]) -> int:
    """Return of CartPole from `state` under `actions`; more than there are actions if the pole still stands."""
    cartpole: Any = CARTPOLE.unwrapped
    CARTPOLE.reset(seed=0)
    cartpole.state = np.array(state)
    for step, action in enumerate(actions):
        if cartpole.step(action)[2]:
            return step + 1
    return len(actions) + 1


CARTPOLE = gym.make("CartPole-v1")
