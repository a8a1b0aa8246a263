"""Training a stack: the loop that PPO and DQN share, evaluations, and the rows of every member's records."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.evaluation import evaluate
from rl_warmup.envs.protocol import Array, VectorEnvs
from rl_warmup.envs.replay import ActionLog
from rl_warmup.envs.seeds import STREAMS, evaluation_seeds, source_seeds
from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.records.schema import SOURCE_EVALUATIONS
from rl_warmup.schedules.phases import evaluation_grid
from rl_warmup.trainers.agents import files_of
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.protocol import Sink
from rl_warmup.trainers.sources import Source, sources_for
from rl_warmup.trainers.stacked.agents import agent_of
from rl_warmup.trainers.stacked.algorithm import Algorithm, to_device
from rl_warmup.trainers.stacked.dqn import DQN
from rl_warmup.trainers.stacked.environments import begin_envs, make_stack_envs
from rl_warmup.trainers.stacked.inside import Watch
from rl_warmup.trainers.stacked.learner import prepare_compiler
from rl_warmup.trainers.stacked.ppo import PPO
from rl_warmup.trainers.stacked.rows import Recorder
from rl_warmup.trainers.stacked.sizes import padded_size
from rl_warmup.trainers.stacked.stack import Stack
from rl_warmup.trainers.stacked.start import start_from_agents

COMPILED_FROM = 1000
"""Gradient steps of a run from which compiling its update program, ten seconds the first time, pays for itself."""


def train(configs: Sequence[RunConfig], sinks: Sequence[Sink]) -> None:
    """Train the members of a stack, each from what its sink has restored.

    A member that diverges is reported to its sink and trained on unrecorded, so its neighbours stay as they are.
    """
    sources = sources_for(configs)
    if sources is None:
        _train(configs, sinks, None)
        return
    alike: dict[tuple[float, ...], list[int]] = {}
    for member, source in enumerate(sources):
        alike.setdefault(source.counts, []).append(member)
    for members in alike.values():
        agents = [sources[member] for member in members]
        _train([configs[member] for member in members], [sinks[member] for member in members], agents)


def _train(configs: Sequence[RunConfig], sinks: Sequence[Sink], sources: Sequence[Source] | None) -> None:
    """Train members whose agents, if they start from some, have seen the same number of steps."""
    config = configs[0]
    torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    more = padded_size(len(configs), config.device) - len(configs)
    members = [*configs, *[configs[-1]] * more]
    agents = None if sources is None else [*sources, *[sources[-1]] * more]
    found = [sink.restored for sink in sinks if sink.restored is not None]
    assert len(found) in (0, len(sinks)), "the members of a stack begin at one step"
    found += found[-1:] * (len(members) - len(found))
    envs, observations, as_before = begin_envs(members, found)
    try:
        compiled = prepare_compiler(will_compile(members), device)
        stack = Stack(members, envs.observation_space, envs.action_space, device, compiled, agents)
        draws = Draws([c.seed for c in members], STREAMS, device)
        training = StackTraining(stack, envs, draws, sinks)
        if found:
            training.resume(found, observations, as_before)
        else:
            training.begin(observations)
        training.run()
    finally:
        envs.close()


def will_compile(configs: Sequence[RunConfig]) -> bool:
    """Whether update programs should be compiled: as configured, else where the run is long enough.

    It depends on nothing in which members of one group differ, nor on how many there are: compiled programs
    round differently.
    """
    wanted = configs[0].trainer.compile
    return phases_of(configs[0]).gradient_steps >= COMPILED_FROM if wanted is None else wanted


class StackTraining:
    """One stack from its first environment step to its last evaluation."""

    def __init__(self, stack: Stack, envs: VectorEnvs, draws: Draws, sinks: Sequence[Sink]) -> None:
        """`sinks`: one a member that is recorded; the members behind them only fill the stack up."""
        self.stack, self._envs = stack, envs
        config = stack.config
        self.algorithm: Algorithm = PPO(stack, draws) if config.algo.name == "ppo" else DQN(stack, draws)
        start_from_agents(self.algorithm, stack)
        self._recorder = Recorder(stack, sinks, self.algorithm)
        self._watch = Watch(stack, self.algorithm) if config.diagnostics == "full" else None
        self._grid = evaluation_grid(stack.phases, config.evaluation.count, config.algo.n_envs)
        self._before = torch.empty_like(self.algorithm.parameters)
        self._evaluated = self._phase = self._env_step = 0
        self._origin, self._resets = 0, [0] * len(stack)
        steps, n_envs = stack.phases.env_steps // config.algo.n_envs, len(stack) * config.algo.n_envs
        self._log = ActionLog(stack.action_space, steps, n_envs, str(config.trainer.envs))

    def begin(self, observations: Array) -> None:
        """Take the first observations [members * envs, ...]."""
        self._shown = observations
        if self.stack.config.algo.prefill and self.stack.sources is None:
            self.algorithm.prefill(partial(make_stack_envs, self.stack.config, training=True))
        self.algorithm.begin(self._on_device(observations))
        self._evaluate()
        self._evaluate_at_home()

    def resume(self, found: Sequence[Checkpoint], observations: Array, as_before: bool) -> None:
        """Resume from one checkpoint per member, in environments that were replayed or, if not, restarted."""
        counts, self._env_step = found[0].values, found[0].env_step
        self._evaluated, self._phase = counts["evaluated"], counts["update_phase"]
        names, device = found[0].tensors, self.stack.device
        tables = {name: stacked_rows([c.tensors[name] for c in found]).to(device) for name in names}
        self.algorithm.restore(tables, counts)
        if self._watch is not None:
            self._watch.inside.restore(tables)
        self._shown = observations
        if as_before:
            self._origin, self._resets = found[0].origin, [c.values["resets"] for c in found]
            self._recorder.restore([c.arrays for c in found])
            self._log.extend(np.concatenate([c.arrays["actions"] for c in found], axis=1))
        else:
            self._origin, self._resets = self._env_step, [c.values["resets"] + 1 for c in found]
            self.algorithm.begin(self._on_device(observations))
        for sink in self._recorder.sinks.values():
            sink.resumed("replayed" if as_before else "reset")

    def run(self) -> None:
        """Train to the end of the phases, or until every recorded member has diverged."""
        phases, n_envs = self.stack.phases, self.stack.config.algo.n_envs
        while self._env_step < phases.env_steps and self._recorder.sinks:
            # nan_to_num makes the actions of diverged members harmless for the environments
            actions = torch.nan_to_num(self.algorithm.act()).flatten(0, 1).cpu().numpy()
            transition = self._envs.step(actions)
            self._shown = transition.observations
            self._log.add(actions)
            self._env_step += n_envs
            self._recorder.step(self._env_step, transition)
            while self._evaluated < len(self._grid) - 1 and self._env_step >= self._grid[self._evaluated]:
                self._evaluate()
            self.algorithm.observe(to_device(transition, self.stack))
            if self._phase < len(phases.env_step) and self._env_step == phases.env_step[self._phase]:
                self._update(self._phase)
                self._phase += 1
                self._keep()
        if self._recorder.sinks:
            self._evaluate()
            self._evaluate_at_home()

    def _update(self, phase: int) -> None:
        self._before.copy_(self.algorithm.parameters)
        if self._watch is not None:
            self._watch.begin()
        outcome = self.algorithm.update(phase)
        inside = self._watch.end(phase, outcome, self._before) if self._watch is not None else {}
        self._recorder.update(phase, self._env_step, outcome, self._before, self.algorithm.parameters, inside)

    def _keep(self) -> None:
        """Keep a checkpoint a member, if it is time."""
        sinks, over = self._recorder.sinks, self._env_step == self.stack.phases.env_steps
        if over or not any(sink.checkpoint_due for sink in sinks.values()):
            return
        members, tables = len(self.stack), self.algorithm.tables()
        tables |= {} if self._watch is None else self._watch.inside.tables()
        counts = {**self.algorithm.counts(), "evaluated": self._evaluated, "update_phase": self._phase}
        log = self._log.actions.reshape(-1, members, self.stack.config.algo.n_envs, *self._log.actions.shape[2:])
        shown = self._shown.reshape(members, -1, *self._shown.shape[1:])
        for i, sink in sinks.items():
            arrays = {**self._recorder.running(i), "shown": shown[i], "actions": log[:, i]}
            values = {**counts, "resets": self._resets[i]}
            tensors = {name: table[i].detach().cpu().clone() for name, table in tables.items()}
            sink.save(Checkpoint(self._env_step, self._origin, values, arrays, tensors))

    def _evaluate(self) -> None:
        configs, episodes = self.stack.configs, self.stack.config.evaluation.episodes
        seeds = [seed for c in configs for seed in evaluation_seeds(c.seed, self._evaluated, episodes)]
        self._evaluated += 1
        self._recorder.evaluation(self._env_step, *self._play(configs[0], seeds))
        for member, sink in self._recorder.sinks.items():
            if sink.agent_due:
                agent = agent_of(self.stack, self.algorithm, member, self._env_step, self._phase)
                sink.keep(files_of(configs[member], agent))

    def _evaluate_at_home(self) -> None:
        """Evaluate in the environment that the agents come from, to see in the end what they have forgotten."""
        if self.stack.sources is not None and self._recorder.sinks:
            config, configs = self.stack.config, self.stack.configs
            seeds = [seed for c in configs for seed in source_seeds(c.seed, config.evaluation.episodes)]
            home = self.stack.sources[0].home(config)
            self._recorder.evaluation(self._env_step, *self._play(home, seeds), SOURCE_EVALUATIONS)

    def _play(self, config: RunConfig, seeds: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Returns and lengths [members, episodes] of an episode from every seed."""

        def act(observations: Array, active: NDArray[np.int64]) -> Array:
            return self.algorithm.greedy(self._on_device(observations)).flatten(0, 1).cpu().numpy()[active]

        with closing(make_stack_envs(config, seeds)) as envs:
            returns, lengths = evaluate(envs, act, config.evaluation.max_steps)
        shape = (len(self.stack), -1)
        return returns.reshape(shape), lengths.reshape(shape)

    def _on_device(self, observations: NDArray[np.generic]) -> Tensor:  # [members * envs, ...]
        shape = (len(self.stack), -1, *observations.shape[1:])
        return torch.from_numpy(observations).reshape(shape).to(self.stack.device).to(self.stack.observed)


def stacked_rows(rows: Sequence[Tensor]) -> Tensor:  # -> [members, ...]
    """One row a member, filled up with zeros where a member has less than another."""
    if len({row.shape for row in rows}) == 1:
        return torch.stack(list(rows))
    return pad_sequence(list(rows), batch_first=True)
