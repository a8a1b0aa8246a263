"""An agent's files, loaded where there is no rl_warmup, act as the agent does that was trained."""

import json
import pickle
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers.configs import SHORT, Configure
from helpers.probe_envs import with_spaces
from helpers.sinks import ListSink
from helpers.stacking import train_into
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.utils import set_random_seed
from torch.nn.utils import parameters_to_vector

from rl_warmup import schedules
from rl_warmup.config.learning_rate import env_schedule, optimizer_counts, phases_of
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.schema import PPOConfig, RunConfig
from rl_warmup.records.models import MODEL, STATISTICS
from rl_warmup.run.compose import configured
from rl_warmup.schedules.adaptive import kl_adapted
from rl_warmup.trainers.agents import Player, files_of, plain
from rl_warmup.trainers.optimizers import RuleOptimizer, moments_of, optimizer_of
from rl_warmup.trainers.sb3 import train as sb3
from rl_warmup.trainers.sb3.state import agent_of
from rl_warmup.trainers.stacked import dqn as stacked_dqn

PPO_TINY = ["algo=ppo", "algo.n_envs=2", "algo.n_steps=16", "algo.batch_size=16", "algo.n_epochs=2"]
DQN_TINY = [
    *("algo=dqn", "algo.n_envs=2", "algo.learning_starts=20", "algo.train_freq=8", "algo.gradient_steps=3"),
    *("algo.target_update_interval=24", "algo.exploration_final_eps=0.3"),
]
SPACES: dict[str, gym.Space[Any]] = {
    "vector": gym.spaces.Box(-3.0, 3.0, (4,), np.float32),
    "image": gym.spaces.Box(0, 255, (9, 10, 2), np.uint8),
    "grid": gym.spaces.Box(0.0, 1.0, (3, 8, 8), np.float32),
    "number": gym.spaces.Discrete(5),
}
DISCRETE, CONTINUOUS = gym.spaces.Discrete(3), gym.spaces.Box(-0.5, 2.0, (2,), np.float32)
NORMALIZED, CNN = ["algo.normalize=true"], ["algo.extractor=small_cnn"]
CASES = {
    f"{trainer}-{algo[0][5:]}-{name}": (trainer, [*algo, *more], observations, actions)
    for trainer in ("sb3", "stacked")
    for algo, name, observations, actions, more in (
        (PPO_TINY, "discrete", "vector", DISCRETE, ["algo.clip_range_schedule=linear", "schedule=cosine"]),
        (PPO_TINY, "continuous", "vector", CONTINUOUS, NORMALIZED),
        (PPO_TINY, "sde", "vector", CONTINUOUS, ["algo.use_sde=true", "algo.activation=relu"]),
        (PPO_TINY, "image", "image", DISCRETE, CNN),
        (PPO_TINY, "layer-norm", "vector", CONTINUOUS, ["algo.layer_norm=true", "algo.max_grad_norm=null"]),
        (PPO_TINY, "normalized-image", "image", CONTINUOUS, NORMALIZED),
        (
            PPO_TINY,
            "number",
            "number",
            DISCRETE,
            ["schedule=custom", "schedule.target=helpers.own_schedules.my_schedule"],
        ),
        (PPO_TINY, "adam_rel", "vector", DISCRETE, ["optimizer=adam_rel", "algo.optimizer.weight_decay=0.1"]),
        (PPO_TINY, "critic warmup", "vector", CONTINUOUS, ["warmup.on=critic", "warmup.length=0.5"]),
        (DQN_TINY, "gi_adam", "vector", DISCRETE, ["optimizer=gi_adam"]),
        (DQN_TINY, "rmsprop", "vector", DISCRETE, ["optimizer=rmsprop"]),
        (DQN_TINY, "discrete", "vector", DISCRETE, ["schedule=linear", "warmup.clock=env_steps"]),
        (DQN_TINY, "normalized", "vector", DISCRETE, NORMALIZED),
        (DQN_TINY, "grid", "grid", DISCRETE, CNN),
        (DQN_TINY, "layer-norm", "vector", DISCRETE, ["algo.layer_norm=true", "algo.loss=mse"]),
    )
}
"""Trainer, settings, observations and actions by name."""

LOAD = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rl_warmup", "helpers"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
import json, pathlib
import gymnasium as gym
import numpy as np
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

class Env(gym.Env):
    def __init__(self, model, shape):
        self.observation_space, self.action_space = model.observation_space, model.action_space
        if shape is not None:
            self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}
    def step(self, action):
        return self.observation_space.sample(), 1.0, False, bool(self.np_random.random() < 0.1), {}

for folder in map(pathlib.Path, sys.argv[1:]):
    kind = PPO if "ppo" in folder.name else DQN
    model = kind.load(folder / "model", device="cpu")
    seen = np.load(folder / "observations.npy")
    statistics = folder / "vecnormalize.pkl"
    shape = seen.shape[1:] if statistics.exists() and seen.ndim == 4 else None  # images are normalized as they are
    env = DummyVecEnv([lambda: Env(model, shape), lambda: Env(model, shape)])
    if statistics.exists():
        env = VecNormalize.load(statistics, env)
        seen = env.normalize_obs(seen)
    greedy, _ = model.predict(seen, deterministic=True)
    drawn = []
    for seed in range(20):
        set_random_seed(seed)
        model.action_space.seed(seed)
        if model.use_sde:
            model.policy.reset_noise()
        drawn.append(model.predict(seen, deterministic=False)[0])
    np.savez(folder / "acted.npz", greedy=greedy, drawn=np.stack(drawn))
    told = {"learning_rate": [model.lr_schedule(x) for x in (1.0, 0.4, 0.0)], "steps": model.num_timesteps}
    told["clip_range"] = [model.clip_range(x) for x in (1.0, 0.4, 0.0)] if kind is PPO else []
    before = model.policy.optimizer.state_dict()["state"][0]["step"].item()
    model = kind.load(folder / "model", env=env, device="cpu")
    model.learn(64, reset_num_timesteps=False)
    told["gradient_steps"] = [before, model.policy.optimizer.state_dict()["state"][0]["step"].item()]
    (folder / "told.json").write_text(json.dumps(told))
"""


class Keeping(ListSink):
    """Keeps the files of the last evaluation."""

    agent_due = True

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}

    def keep(self, files: Any) -> None:
        self.files = dict(files)


@dataclass(frozen=True)
class Case:
    """An agent that was trained, how it acts, and where its files are."""

    config: RunConfig
    greedy: np.ndarray
    drawn: np.ndarray
    gradient_steps: int
    folder: Path

    @property
    def acted(self) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / "acted.npz"))

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "told.json").read_text()))


def _by_stack(configs: list[RunConfig], observations: np.ndarray) -> tuple[dict[str, bytes], Any, Any, int]:
    """Files of the last member, and its actions by the networks of the stack."""
    sinks = [Keeping() for _ in configs]
    training = train_into(configs, sinks)
    algorithm, member = training.algorithm, len(configs) - 1
    seen = torch.from_numpy(np.array(training._envs._shown(observations))).float()
    seen = seen.expand(len(configs), *seen.shape)
    greedy = algorithm.greedy(seen)[member].numpy()
    steps = training.stack.gradient_steps(training._phase)
    return sinks[-1].files, greedy, [_draw(algorithm, seen, member, greedy, seed) for seed in range(20)], steps


def _draw(algorithm: Any, seen: torch.Tensor, member: int, greedy: np.ndarray, seed: int) -> np.ndarray:
    """Actions of a member for the random numbers that Stable-Baselines3 draws with `seed`."""
    set_random_seed(seed)
    space, rows = algorithm._stack.action_space, seen.shape[1]
    if isinstance(algorithm, stacked_dqn.DQN):
        space.seed(seed)
        explores = np.random.rand() < algorithm.exploration_rate(algorithm._step)  # noqa: NPY002
        return np.array([space.sample() for _ in range(rows)]) if explores else greedy
    named = algorithm.learner.named
    if algorithm.network.use_sde:
        shape = named["log_std"].shape[1:]
        noise = torch.normal(torch.zeros(shape), torch.ones(shape)).expand(rows, *shape)
    elif algorithm.network.discrete:
        noise = torch.empty(rows, int(space.n)).exponential_(1)
    else:
        noise = torch.normal(torch.zeros(rows, *space.shape), torch.ones(rows, *space.shape))
    noise = noise.expand(len(seen), *noise.shape)
    return algorithm.network.sample(named, algorithm._seen(seen), noise)[0][member].numpy()


def _by_sb3(config: RunConfig, observations: np.ndarray) -> tuple[dict[str, bytes], Any, Any, int]:
    """Files of an agent of the reference trainer, and the actions of the model that was trained."""
    sink, build, models = Keeping(), sb3.build_model, []
    with mock.patch.object(sb3, "build_model", lambda *args: models.append(build(*args)) or models[-1]):
        sb3.train([config], [sink])
    (model,) = models
    normalizer = model.get_vec_normalize_env()
    seen = observations if normalizer is None else normalizer.normalize_obs(observations)
    drawn = []
    for seed in range(20):
        set_random_seed(seed)
        model.action_space.seed(seed)
        if model.use_sde:
            model.policy.reset_noise()
        drawn.append(model.predict(seen, deterministic=False)[0])
    greedy = model.predict(seen, deterministic=True)[0]
    return sink.files, greedy, drawn, int(model.policy.optimizer.state_dict()["state"][0]["step"])


def _observations(space: gym.Space[Any]) -> np.ndarray:
    """Different ones: of images only some pixels are lit."""
    space.seed(5)
    drawn, lit = np.stack([space.sample() for _ in range(64)]), np.random.default_rng(5)
    if drawn.ndim < 4:
        return drawn
    shares = lit.random(64).reshape(-1, 1, 1, 1) ** 3
    return drawn * (lit.random(drawn.shape) < shares).astype(drawn.dtype)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Every case, trained here and loaded in one process that has no rl_warmup."""
    root, trained = tmp_path_factory.mktemp("agents"), {}
    for name, (trainer, overrides, kind, actions) in CASES.items():
        env_id = with_spaces(f"agents-{kind}-{type(actions).__name__}", SPACES[kind], actions)
        env = [f"env.id={env_id}", "env.name=probe", f"trainer={trainer}", "total_timesteps=128", *SHORT]
        env += ["trainer.envs=gymnasium", "trainer.compile=false"] if trainer == "stacked" else []
        own = ["tracking=disabled", f"runs_dir={root}", "device=cpu", "algo.net_arch=[16]", "warmup.length=0.5"]
        configs = [
            configured([*own, *env, *overrides, f"seed={seed}", f"learning_rate={rate}"], "test")
            for seed, rate in ((0, 0.001), (1, 0.03))
        ]
        observations = _observations(SPACES[kind])
        of = _by_stack(configs, observations) if trainer == "stacked" else _by_sb3(configs[1], observations)
        files, greedy, drawn, steps = of
        if isinstance(actions, gym.spaces.Box):
            greedy, drawn = (np.clip(given, actions.low, actions.high) for given in (greedy, np.stack(drawn)))
        (root / name).mkdir()
        np.save(root / name / "observations.npy", observations)
        for file, content in files.items():
            (root / name / file).write_bytes(content)
        trained[name] = Case(configs[1], greedy, np.stack(drawn), steps, root / name)
    command = [sys.executable, "-c", LOAD, *(str(case.folder) for case in trained.values())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr
    return trained


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_file_acts_as_its_agent_does(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    for mode, expected in (("greedy", case.greedy), ("drawn", case.drawn)):
        acted = case.acted[mode]
        assert acted.shape == expected.shape
        if np.issubdtype(expected.dtype, np.floating):
            np.testing.assert_allclose(acted, expected, atol=2e-6, rtol=1e-5)
        else:
            assert (acted == expected).all(), mode
    assert (case.acted["drawn"] != case.acted["greedy"]).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_file_has_the_schedules_and_continues(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    assert case.told["steps"] == phases_of(case.config).env_steps
    rates = env_schedule(case.config)(1 - np.array([1.0, 0.4, 0.0]))
    np.testing.assert_allclose(case.told["learning_rate"], rates, rtol=1e-6, atol=1e-9)
    if isinstance(case.config.algo, PPOConfig):
        left = [1.0, 0.4, 0.0] if case.config.algo.clip_range_schedule == "linear" else [1.0] * 3
        np.testing.assert_allclose(case.told["clip_range"], 0.2 * np.array(left), atol=1e-12)
    before, after = case.told["gradient_steps"]
    assert before == case.gradient_steps > 0
    assert after > before


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_file_loads_again_with_rl_warmup(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    player = Player(case.folder, case.config.algo)
    acted = player.act(np.load(case.folder / "observations.npy"), deterministic=True)
    np.testing.assert_array_equal(acted, case.acted["greedy"])
    assert (case.folder / STATISTICS).exists() == case.config.algo.normalize


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_file_of_a_member_has_its_optimizer_as_it_is(name: str, configure: Configure, tmp_path: Path) -> None:
    """Its own numbers too, where members differ; and the optimizer takes the next step as the stack does."""
    small = [*DQN_TINY, "total_timesteps=128", *SHORT, "trainer=stacked", "trainer.compile=false"]
    own = [["algo.optimizer.beta1=0.5"], ["algo.optimizer.beta1=0.8", "algo.optimizer.weight_decay=0.1"]]
    configs = [configure(*small, f"optimizer={name}", *more) for more in own]
    sinks = [Keeping() for _ in configs]
    training = train_into(configs, sinks)
    phases = training.stack.phases
    tables, counts = training.algorithm.agent_tables(), [optimizer_counts(config)[-1] for config in configs]
    for member, (config, sink) in enumerate(zip(configs, sinks, strict=True)):
        (tmp_path / "model.zip").write_bytes(sink.files["model.zip"])
        optimizer = DQN.load(tmp_path / "model.zip", device="cpu").policy.optimizer
        (group,) = optimizer.param_groups
        kind, options = optimizer_of(config.algo.optimizer)
        assert type(optimizer).__name__ == kind.__name__
        assert {key: group[key] for key in options} == options
        kept = [moments_of(optimizer.state[p], p) for p in group["params"]]
        for key, moments in zip(("first", "second"), zip(*kept, strict=True), strict=True):
            if key == "first" or name != "sgd":
                assert torch.equal(parameters_to_vector(moments), tables[key][member])
        if name != "sgd":
            assert {int(state["step"]) for state in optimizer.state.values()} == {phases.gradient_steps}
        if kind is RuleOptimizer:
            assert {state["count"] for state in optimizer.state.values()} == {counts[member]}
    assert (counts[0] < phases.gradient_steps) == (name == "adam_rel")


def test_a_schedule_in_a_file_is_a_number_or_a_table() -> None:
    assert plain(schedules.constant(3e-4)) == 3e-4
    table = pickle.loads(pickle.dumps(plain(schedules.cosine(0.1))))
    for done in (0.0, 0.25, 0.5, 0.999, 1.0):
        assert table(1.0 - done) == pytest.approx(schedules.cosine(0.1)(done), abs=1e-7)
    assert table(-0.2) == 0.0  # Stable-Baselines3's progress may be below 0 at the end


@pytest.mark.parametrize("trainer", ["sb3", "stacked"])
def test_a_file_has_the_rate_that_updates_led_to(trainer: str, configure: Configure) -> None:
    adaptive = ["schedule=kl_adaptive", "schedule.target_kl=0.001", "learning_rate=1e-3", "warmup.length=0.5"]
    where = ["trainer=stacked", "trainer.envs=gymnasium"] if trainer == "stacked" else []
    config, sink = configure(*PPO_TINY, *where, *adaptive, "total_timesteps=128", *SHORT), Keeping()
    train_into([config], [sink]) if where else sb3.train([config], [sink])
    last = sink.rows["updates"][-1]
    expected = kl_adapted(last["base_learning_rate"], last["approx_kl"], target=0.001)
    model = PPO.load(BytesIO(sink.files[MODEL]), device="cpu")
    assert model.lr_schedule(0.7) == model.lr_schedule(0.0) == expected != 1e-3


def test_nothing_is_drawn_for_a_file(configure: Configure) -> None:
    config = configure(*DQN_TINY, "total_timesteps=128", *SHORT)
    model = sb3.build_model(config, env := sb3.training_env(config))
    agent, before, drawn = agent_of(model), torch.get_rng_state(), random.getstate()
    files_of(config, agent)
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == drawn
    env.close()


def test_ctrl_c_waits_for_torch_to_write_a_model(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(model: DQN, path: BytesIO) -> None:
        signal.raise_signal(signal.SIGINT)
        written.append(path)

    config = configure(*DQN_TINY, "total_timesteps=128", *SHORT)
    model, written = sb3.build_model(config, env := sb3.training_env(config)), list[BytesIO]()
    monkeypatch.setattr(DQN, "save", save)
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    with pytest.raises(KeyboardInterrupt):
        files_of(config, agent_of(model))
    signal.signal(signal.SIGINT, earlier)
    assert written
    env.close()
