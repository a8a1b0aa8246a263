"""The reference trainer: stock PPO and DQN of Stable-Baselines3, one agent at a time."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import DtypeObservation
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from rl_warmup.config.columns import GROUPS
from rl_warmup.config.learning_rate import adaptive_base, env_schedule, phases_of, skipped_steps, step_factor
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.schema import RunConfig
from rl_warmup.delivery.hook import attach_factor
from rl_warmup.delivery.meter import DoseMeter
from rl_warmup.delivery.schedule import for_sb3
from rl_warmup.envs.evaluation import evaluate
from rl_warmup.envs.make import make
from rl_warmup.envs.replay import ActionLog
from rl_warmup.envs.seeds import environment_seed, evaluation_seeds, source_seeds, stream_seed
from rl_warmup.envs.vector import GymnasiumEnvs
from rl_warmup.records.schema import SOURCE_EVALUATIONS
from rl_warmup.schedules.phases import evaluation_grid
from rl_warmup.trainers.agents import files_of, running_moments
from rl_warmup.trainers.functional.normalization import Normalizer
from rl_warmup.trainers.models import model_of
from rl_warmup.trainers.optimizers import restart_counts
from rl_warmup.trainers.prefill import prefill
from rl_warmup.trainers.protocol import Sink
from rl_warmup.trainers.sb3.groups import split_optimizer
from rl_warmup.trainers.sb3.inside import Watch
from rl_warmup.trainers.sb3.observe import Diverged, check_finite, observed_training
from rl_warmup.trainers.sb3.start import act_by_policy, start_from, train_critic_first
from rl_warmup.trainers.sb3.state import agent_of, checkpoint_of, restore, restore_draws
from rl_warmup.trainers.sources import Source, sources_for


def train(configs: Sequence[RunConfig], sinks: Sequence[Sink]) -> None:
    """Train one agent after the other, each from what its sink has restored, as its config (resolved) says."""
    for config, sink in zip(configs, sinks, strict=True):
        try:
            _train(config, sink)
        except Diverged as reason:
            sink.diverge(str(reason))


def _train(config: RunConfig, sink: Sink) -> None:
    torch.set_num_threads(config.threads)
    env = training_env(config)
    sources = sources_for([config])
    source = sources[0] if sources else None
    if sink.restored is None and isinstance(env, VecNormalize) and config.algo.prefill and source is None:
        _prefill(env, config)
    model = build_model(config, env)
    if source is not None:
        _start(model, source, sink.restored is None)
    as_before = sink.restored is None or restore(model, config, sink.restored)
    if OPTIMIZERS[config.algo.optimizer.name].relative:
        restart_counts(model, phases_of(config))
    factor, found = step_factor(config), sink.restored
    steps = 0 if found is None else found.values.get("gradient_steps")
    if factor is not None:
        group = None if config.warmup.on == "all" else GROUPS.index(config.warmup.on)
        attach_factor(model, factor, steps, skipped_steps(config), group)
    recorder = _Recorder(config, sink, env.action_space, as_before, source)
    recorder.watch = watch = _watch(config, model, sink)
    if isinstance(model, PPO):
        train_critic_first(model, config.init.critic_only - (steps or 0))
    if (adaptive := recorder.adaptive) is not None:
        model.lr_schedule = for_sb3(env_schedule(config, adaptive))
    assert config.total_timesteps is not None
    remaining = config.total_timesteps - model.num_timesteps
    try:
        with observed_training(model, config, recorder.emit, steps, adaptive, watch) as recorder.meter:
            model.learn(remaining, callback=recorder, reset_num_timesteps=sink.restored is None)
    except (ValueError, RuntimeError):
        check_finite(model)  # a distribution refuses what non-finite parameters put out
        raise
    finally:
        env.close()


def _watch(config: RunConfig, model: PPO | DQN, sink: Sink) -> Watch | None:
    """What measures `diagnostics=full`, from where the run was."""
    if config.diagnostics == "basic":
        return None
    watch = Watch(config, model)
    if sink.restored is not None:
        watch.inside.restore(sink.restored.tensors)
    return watch


def _start(model: PPO | DQN, source: Source, fresh: bool) -> None:
    """Start from an agent; a run that resumes has it in its checkpoint, but for how it explores."""
    if fresh:
        start_from(model, source.agent)
    if isinstance(model, DQN):
        act_by_policy(model)


def build_model(config: RunConfig, env: VecEnv) -> PPO | DQN:
    """The Stable-Baselines3 model of a run in `env`, both seeded; a gradient-step warmup is not attached yet."""
    seed = stream_seed(config.seed, "weights")
    model = model_of(config, env, for_sb3, seed=seed, device=config.device)
    if config.warmup.on != "all":
        split_optimizer(model.policy)
    env.seed(environment_seed(config.seed))
    return model


def training_env(config: RunConfig) -> VecEnv:
    """The environments that a run is trained in, side by side, normalised where the settings ask for it."""
    env = make_vec_env(partial(_training_env, config), n_envs=config.algo.n_envs)
    return VecNormalize(env, gamma=config.algo.gamma) if config.algo.normalize else env


def _prefill(env: VecNormalize, config: RunConfig) -> None:
    """Begin with the statistics of random play, see `prefill`."""
    shape, device = env.observation_space.shape or (), torch.device("cpu")
    normalizer = Normalizer(1, env.num_envs, shape, torch.tensor([config.algo.gamma], dtype=torch.float64), device)
    prefill(normalizer, [config], partial(GymnasiumEnvs, config.env, as_given=True, training=True), device)
    for name, moments in normalizer.moments(0).items():
        setattr(env, name, running_moments(*moments))


def _training_env(config: RunConfig) -> gym.Env[Any, Any]:
    """One of them. Stable-Baselines3's buffers have the type of the observations: of whole numbers, they would cut
    off the decimals of normalised ones."""
    env = make(config.env, checked=True, training=True)
    if config.algo.normalize and not np.issubdtype(env.observation_space.dtype, np.floating):
        return DtypeObservation(env, np.float32)
    return env


class _Recorder(BaseCallback):
    """Emits training episodes as they end and evaluations on the run's grid, and saves checkpoints.

    Those are taken before a rollout, where buffers and optimizer are at rest.
    """

    meter: DoseMeter
    watch: Watch | None = None

    def __init__(
        self, config: RunConfig, sink: Sink, actions: gym.Space[Any], as_before: bool, source: Source | None
    ) -> None:
        """
        Args:
            as_before: whether the environments are where the checkpoint, if there is one, was taken.
            source: the agent that the run starts from.
        """
        super().__init__()
        self._source = source
        phases, found = phases_of(config), sink.restored
        self._found = found
        self._config, self._sink, self._as_before = config, sink, as_before
        self._grid = evaluation_grid(phases, config.evaluation.count, config.algo.n_envs)
        self._evaluated = self._origin = self._resets = 0
        self.adaptive = adaptive_base(config)
        steps = phases.env_steps // config.algo.n_envs
        self._log = ActionLog(actions, steps, config.algo.n_envs, "gymnasium")
        if found is None:
            return
        self._evaluated = found.values["evaluated"]
        if self.adaptive is not None:
            self.adaptive.rate = found.values["base_rate"]
        if as_before:
            self._origin, self._resets = found.origin, found.values["resets"]
            self._log.extend(found.arrays["actions"])
        else:
            self._origin, self._resets = found.env_step, found.values["resets"] + 1

    def emit(self, table: str, row: Mapping[str, Any]) -> None:
        """Take a row of an update, which an adaptive learning rate follows."""
        self._sink.emit(table, row)
        if self.adaptive is not None:
            self.adaptive.adapt(row["approx_kl"])

    def _on_training_start(self) -> None:
        if self._sink.restored is not None:
            self._sink.resumed("replayed" if self._as_before else "reset")
        if self._evaluated == 0:
            self._evaluate()
            self._evaluate_at_home()

    def _on_rollout_start(self) -> None:
        assert isinstance(self.model, PPO | DQN)
        if self._found is not None:
            restore_draws(self.model, self._found)
            self._found = None
        if self._sink.checkpoint_due and self.num_timesteps:
            counts = {
                "evaluated": self._evaluated,
                "resets": self._resets,
                "gradient_steps": self.meter.steps,
                **({} if self.adaptive is None else {"base_rate": self.adaptive.rate}),
            }
            checkpoint = checkpoint_of(self.model, self._log.actions, self._origin, counts)
            checkpoint.tensors.update({} if self.watch is None else self.watch.inside.tables())
            self._sink.save(checkpoint)

    def _on_step(self) -> bool:
        for done, info in zip(self.locals["dones"], self.locals["infos"], strict=True):
            if done:
                episode = info["episode"]  # Stable-Baselines3's own Monitor: rewards before normalisation
                row = {"env_step": self.num_timesteps, "return": episode["r"], "length": episode["l"]}
                self._sink.emit("episodes", row)
        # The last point of the grid is the end of the training, after the last update.
        while self._evaluated < len(self._grid) - 1 and self.num_timesteps >= self._grid[self._evaluated]:
            self._evaluate()
        self._log.add(self.locals.get("clipped_actions", self.locals["actions"]))
        return True

    def _on_training_end(self) -> None:
        self._evaluate()
        self._evaluate_at_home()

    def _evaluate(self) -> None:
        config = self._config
        seeds = evaluation_seeds(config.seed, self._evaluated, config.evaluation.episodes)
        row = self._play(config, seeds)
        self._evaluated += 1
        self._sink.emit("evaluations", row)
        if self._sink.agent_due:
            assert isinstance(self.model, PPO | DQN)
            rate = None if self.adaptive is None else self.adaptive.rate
            agent = replace(agent_of(self.model, self._config.keep_replay), rate=rate)
            self._sink.keep(files_of(self._config, agent))

    def _evaluate_at_home(self) -> None:
        """Evaluate in the environment that the agent comes from, which shows at the end what it has forgotten."""
        if self._source is not None:
            seeds = source_seeds(self._config.seed, self._config.evaluation.episodes)
            self._sink.emit(SOURCE_EVALUATIONS, self._play(self._source.home(self._config), seeds))

    def _play(self, config: RunConfig, seeds: Sequence[int]) -> dict[str, Any]:
        """A row of evaluations: an episode from every seed."""
        # New ones, as a reset need not undo everything: MinAtar's first action may be the last of its last episode.
        # As given: images have the shape that normalisation saw in training, the policy encodes the rest.
        with closing(GymnasiumEnvs(config.env, seeds, as_given=True)) as envs:
            returns, lengths = evaluate(envs, self._act, config.evaluation.max_steps)
        if not np.isfinite(returns).all():
            raise Diverged(f"non-finite evaluation return at environment step {self.num_timesteps}")
        return {"env_step": self.num_timesteps, "returns": returns.tolist(), "lengths": lengths.tolist()}

    def _act(self, observations: NDArray[Any], active: NDArray[np.int64]) -> NDArray[Any]:
        """The mode of PPO's policy, DQN's greedy action; neither draws from the run's random stream."""
        seen, env = observations[active], self.model.get_vec_normalize_env()
        actions, _ = self.model.predict(seen if env is None else env.normalize_obs(seen), deterministic=True)
        return actions
