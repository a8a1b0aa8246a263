"""`diagnostics=full`: what happens inside agents, measured on a fixed probe batch after chosen update phases.

Nothing that training reads is changed or drawn from. Derivatives, which are most of the work, are taken in float32,
with images everything is; the rest is computed in float64. The columns are in docs/inside.md.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from rl_warmup.config.inside import inside_columns
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import DQNConfig, RunConfig
from rl_warmup.envs.seeds import stream_seed
from rl_warmup.schedules.phases import measured_phases
from rl_warmup.trainers.flat import FlatPolicy, Outputs
from rl_warmup.trainers.functional import curvature, inside, losses
from rl_warmup.trainers.functional.optimizers import RULES
from rl_warmup.trainers.functional.step_rates import Options
from rl_warmup.trainers.probe import Probe, ProbeLoss, State, dqn_probe_loss, ppo_probe_loss

ROWS, LEAST = 256, 64
"""Transitions of the probe batch; as many as there are from the least on, and all of a shorter rollout."""
BENT = 128
"""Of these, as many as the curvature is of, which takes most of the time."""
BATCHES = 4
"""Equal parts of the probe batch whose gradients show the noise."""
DORMANT = 0.025
SMALLEST_STEP = 1e-8
"""Learning rate from which the search for the critical one starts where the schedule's is 0."""

Columns = dict[str, Tensor]  # [members] each


class Inside:
    """Measures the members of a stack, or one agent as a stack of one."""

    def __init__(self, configs: Sequence[RunConfig], policy: BasePolicy, chunk: int) -> None:
        """`policy`: one of theirs, for its networks; `chunk`: members that are measured at once."""
        self._configs, self._ppo = configs, configs[0].algo.name == "ppo"
        self._policy, self._chunk = FlatPolicy(policy), chunk
        self._phases = frozenset(measured_phases(len(phases_of(configs[0]).env_step)).tolist())
        self.names = inside_columns({"diagnostics": "full", "algo": vars(configs[0].algo)})
        self._probe: Probe | None = None

    def drawn(self, available: int) -> Tensor | None:  # [members, rows]
        """Which of `available` transitions make the probe batch, each once; None if there is one, or too few."""
        if self._probe is not None or (available < LEAST and not self._ppo):
            return None
        generators = [np.random.default_rng(stream_seed(config.seed, "probe")) for config in self._configs]
        rows = [g.choice(available, min(ROWS, available), replace=False) for g in generators]
        return torch.from_numpy(np.stack(rows))

    def take(self, probe: Probe) -> None:
        """Keep the probe batch."""
        self._probe = probe

    def tables(self) -> dict[str, Tensor]:
        """The probe batch for a checkpoint, [members, ...] each; none before it was drawn."""
        return {} if self._probe is None else {f"probe_{name}": x for name, x in self._probe._asdict().items()}

    def restore(self, tables: Mapping[str, Tensor]) -> None:
        """Resume from what `tables` returned, among other tables."""
        if "probe_ends" in tables:
            self._probe = Probe(*(tables[f"probe_{name}"] for name in Probe._fields))

    def due(self, phase: int) -> bool:
        """Whether update phase `phase` (from 0) is to be measured."""
        return phase in self._phases and self._probe is not None

    def measure(self, state: State) -> Columns:
        """The columns of `config/inside.py` after an update phase."""
        assert self._probe is not None
        members = [slice(i, i + self._chunk) for i in range(0, len(state.after), self._chunk)]
        parts = [
            self._measured(self._configs[own], state.part(own), Probe(*(x[own] for x in self._probe)))
            for own in members
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in self.names}

    def _measured(self, configs: Sequence[RunConfig], state: State, probe: Probe) -> Columns:
        policy, seen = self._policy, self._policy.seen(probe.observations)
        with torch.no_grad():
            before, after = policy(state.before, seen), policy(state.after, seen)
            found = self._compared(before, after) | self._units(after) | self._layers(state)
        if isinstance(algo := configs[0].algo, DQNConfig):
            loss = dqn_probe_loss(policy, state, probe, losses.Q_LOSSES[algo.loss])
        else:
            loss = ppo_probe_loss(policy, state, probe, after)
        return found | self._curvature(configs, state, loss) | self._noise(state, loss, seen.shape[1])

    def _compared(self, before: Outputs, after: Outputs) -> Columns:
        """How the policy changed on the probe states, and its entropy; no action of continuous ones is greedy."""
        one, other = (self._policy.tables(outputs.head) for outputs in (before, after))
        if not one:
            kl = inside.gaussian_kl(before.head, before.log_std, after.head, after.log_std).mean(1)
            entropy = losses.gaussian_entropy(after.log_std).mean(1)
            return {"churn": torch.full_like(kl, torch.nan), "policy_kl": kl, "policy_entropy": entropy}
        greedy = (torch.stack([table.argmax(-1) for table in tables], dim=2) for tables in (one, other))
        pairs = zip(one, other, strict=True)
        return {
            "churn": inside.churn(*greedy),
            "policy_kl": torch.stack([inside.categorical_kl(*pair) for pair in pairs]).sum(0).mean(1),
            "policy_entropy": torch.stack([losses.categorical_entropy(x) for x in other]).sum(0).mean(1),
        }

    def _units(self, after: Outputs) -> Columns:
        found = {}
        for part, layers, features in (
            ("actor", after.actor_layers, after.actor),
            ("critic", after.critic_layers, after.critic),
        ):
            undefined = torch.full_like(after.head[:, 0, 0], torch.nan)
            for name, threshold in (("dormant", DORMANT), ("dead", 0.0)):
                found[f"{name}_{part}"] = inside.dormant_share(layers, threshold) if layers else undefined
            found[f"effective_rank_{part}"] = inside.effective_rank(features)
        return found

    def _layers(self, state: State) -> Columns:
        found = {}
        for layer, place in self._policy.layers.items():
            pair = state.before[:, place], state.after[:, place]
            found[f"relative_update_{layer}"] = inside.relative_update(*pair)
            found[f"angle_{layer}"] = inside.angle(*pair)
        return found

    def _curvature(self, configs: Sequence[RunConfig], state: State, loss: ProbeLoss) -> Columns:
        loss = partial(loss, rows=slice(BENT))
        rates = [_rates(configs, state.learning_rate, count) for count in state.count.unbind(1)]
        critic, others = (curvature.preconditioner(state.second, given) for given in rates)
        is_critic = self._policy.critic.to(state.after.device)
        taken = torch.where(is_critic, state.count[:, :1], state.count[:, 1:]) > 0
        # What takes no steps has no part in what is found.
        divisor = torch.where(taken, torch.where(is_critic, critic, others), torch.inf)
        gradient, product = curvature.hessian(loss, state.after.float())
        first, root = state.base_learning_rate.clamp(SMALLEST_STEP), divisor.rsqrt().float()
        with torch.no_grad():
            return {
                "critical_sharpness": curvature.critical_sharpness(loss, state.after, gradient / divisor, first),
                "sharpness": curvature.top_eigenvalue(curvature.scaled(product, root), gradient * root).double(),
                "stability_limit": curvature.stability_limit(rates[0]),
            }

    def _noise(self, state: State, loss: ProbeLoss, rows: int) -> Columns:
        """Noise scale of the gradient of the actor, with what it shares, and of the critic."""
        size, parts = rows // BATCHES, ("actor", "critic")
        if size < 2:  # PPO normalizes advantages by their spread
            return {f"noise_scale_{part}": torch.full_like(state.learning_rate, torch.nan) for part in parts}
        batches = [slice(i * size, (i + 1) * size) for i in range(BATCHES)]
        critic, squares, total = self._policy.critic, [], torch.zeros_like(state.after)
        for batch in batches:  # one after the other: networks may be large
            gradient = curvature.gradient(partial(loss, rows=batch), state.after.float()).double()
            squares.append(_squares(gradient, critic))
            total += gradient
        small, large = torch.stack(squares).mean(0), _squares(total / BATCHES, critic)
        return {
            f"noise_scale_{part}": inside.noise_scale(small[i], large[i], size, BATCHES)
            for i, part in enumerate(parts)
        }


def _rates(configs: Sequence[RunConfig], learning_rate: Tensor, count: Tensor) -> Any:  # [members] each
    """What an optimizer is given at this learning rate and its own count of steps, [members] each."""
    given = [config.algo.optimizer for config in configs]
    options = Options(
        *(np.array([getattr(one, name) for one in given], dtype=np.float64) for name in Options._fields)
    )
    columns = [x.cpu().numpy()[:, None] for x in (learning_rate, count)]
    rates = RULES[given[0].name].rates(columns[0], options, columns[1].astype(np.int64))
    return type(rates)(*(torch.from_numpy(np.ascontiguousarray(x[:, 0])).to(count.device) for x in rates))


def _squares(gradient: Tensor, critic: Tensor) -> Tensor:  # [members, parameters] -> [2, members]
    """Squared norms of the actor's part and of the critic's; `critic`: whether a parameter is its, [parameters]."""
    squares = gradient.square()
    return torch.stack([squares[:, ~critic].sum(1), squares[:, critic].sum(1)])
