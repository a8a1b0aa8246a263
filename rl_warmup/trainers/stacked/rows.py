"""From what a stack did to the rows of its members' records."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.config.columns import COEFFICIENTS, GROUPS
from rl_warmup.delivery.meter import dose_columns
from rl_warmup.envs.protocol import Transition
from rl_warmup.trainers.protocol import Sink
from rl_warmup.trainers.stacked.algorithm import Algorithm, Outcome
from rl_warmup.trainers.stacked.stack import Stack


class Recorder:
    """Reports to every member's sink its episodes, updates and evaluations, until the member diverges."""

    def __init__(self, stack: Stack, sinks: Sequence[Sink], algorithm: Algorithm) -> None:
        """`sinks`: of the first members; the others only pad the stack."""
        self._stack, self._algorithm = stack, algorithm
        self.sinks = dict(enumerate(sinks))  # of the members that have not diverged
        shape = (len(stack), stack.config.algo.n_envs)
        self._returns = np.zeros(shape)
        self._lengths = np.zeros(shape, dtype=np.int64)
        # the part of the parameters that is warmed up first, then the other
        parts = [] if stack.part == "all" else sorted(GROUPS, key=lambda part: part != stack.part)
        self._parts = [f"learning_rate_mean_{part}" for part in parts]

    def step(self, env_step: int, transition: Transition) -> None:
        """Count a vector step; a row for every episode that ended in it."""
        shape = self._returns.shape
        self._returns += transition.rewards.reshape(shape)
        self._lengths += 1
        ended = (transition.terminated | transition.truncated).reshape(shape)
        for member, env in np.argwhere(ended).tolist():
            if member in self.sinks:
                row = {"return": float(self._returns[member, env]), "length": int(self._lengths[member, env])}
                self.sinks[member].emit("episodes", {"env_step": env_step, **row})
        self._returns[ended] = 0
        self._lengths[ended] = 0

    def running(self, member: int) -> dict[str, NDArray[np.generic]]:
        """Return and length up to now of the member's episodes, [envs] each."""
        return {"returns": self._returns[member].copy(), "lengths": self._lengths[member].copy()}

    def restore(self, running: Sequence[Mapping[str, NDArray[np.generic]]]) -> None:
        """Resume every member's episodes from what `running` returned."""
        self._returns[:] = np.stack([row["returns"] for row in running])
        self._lengths[:] = np.stack([row["lengths"] for row in running])

    def evaluation(
        self,
        env_step: int,
        returns: NDArray[np.float64],  # [members, episodes]
        lengths: NDArray[np.int64],  # [members, episodes]
        table: str = "evaluations",
    ) -> None:
        """One row per member; one with a return that is not finite has diverged."""
        for member, sink in list(self.sinks.items()):
            if np.isfinite(returns[member]).all():
                row = {"returns": returns[member].tolist(), "lengths": lengths[member].tolist()}
                sink.emit(table, {"env_step": env_step, **row})
            else:
                self._diverge(member, f"non-finite evaluation return at environment step {env_step}")

    def update(
        self,
        phase: int,
        env_step: int,
        outcome: Outcome,
        before: Tensor,
        after: Tensor,
        inside: Mapping[str, Sequence[float | None]],
    ) -> None:
        """One row per member; one with a parameter or a loss that is not finite has diverged.

        Args:
            inside: further columns, [members] each.
        """
        columns: dict[str, Any] = {
            name: values.tolist() for name, values in self._columns(phase, outcome, before, after).items()
        }
        finite = columns.pop("finite")
        done = self._algorithm.gradient_steps(phase + 1).tolist()
        taken = [len(outcome.steps)] * len(done) if outcome.taken is None else outcome.taken.tolist()
        columns |= inside
        for member, sink in list(self.sinks.items()):
            row = {name: values[member] for name, values in columns.items()}
            gradient_step = done[member]
            counts = {"env_step": env_step, "gradient_step": gradient_step, "n_steps": taken[member]}
            if (of := self._stack.configs[member].warmup.of) != "learning_rate":
                name = COEFFICIENTS[of]
                row[name] = float(self._algorithm.warmed[name][member, phase])
            sink.emit("updates", {**counts, **row})
            if not finite[member]:
                self._diverge(member, f"non-finite parameters after gradient step {gradient_step}")
            elif not np.isfinite(row["loss"]):
                self._diverge(member, f"non-finite loss before gradient step {gradient_step}")

    def _columns(
        self, phase: int, outcome: Outcome, before: Tensor, after: Tensor
    ) -> dict[str, NDArray[np.generic]]:
        """Columns [members] of the table updates, but for the counts; everything comes to the host at once."""
        change = (after - before).norm(dim=1) / before.norm(dim=1)
        # NaN is its own largest and smallest; isfinite of all parameters would take forty times as long.
        finite = torch.isfinite(after.amax(1)) & torch.isfinite(after.amin(1))
        of_phase = torch.cat([outcome.phase.double(), change.unsqueeze(1), finite.unsqueeze(1)], dim=1)
        widened = torch.nn.functional.pad(of_phase, (0, outcome.steps.shape[2] - of_phase.shape[1]))
        *steps, last = torch.cat([outcome.steps, widened.unsqueeze(0)]).cpu().numpy()
        table, every = np.stack(steps), slice(None)
        if outcome.taken is None:
            of_steps = self._of_steps(phase, every, table, len(table))
        else:
            rows = [self._of_steps(phase, slice(m, m + 1), table, n) for m, n in enumerate(outcome.taken.tolist())]
            of_steps = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        names = (*self._algorithm.phase_metrics, "relative_update", "finite")
        return of_steps | dict(zip(names, last.T, strict=False))

    def _of_steps(
        self, phase: int, members: slice, steps: NDArray[np.float64], taken: int
    ) -> dict[str, NDArray[np.generic]]:
        """Columns of some members over the steps of a phase that they took, its first ones.

        Losses are also of the minibatch at which they stopped, as Stable-Baselines3 logs them.

        Args:
            steps: [steps, members, metrics], see `Outcome.steps`.
        """
        names = (*self._algorithm.metrics, "grad_norm", "learning_rate", *self._parts[1:])
        shown = steps[: taken + 1, members].transpose(2, 0, 1)
        table = dict(zip(names, shown, strict=True))  # [steps, members] each
        norms, rates = (table.pop(name)[:taken] for name in ("grad_norm", "learning_rate"))
        norms = norms if taken else np.full((1, norms.shape[1]), np.nan)
        parts = dict.fromkeys(self._parts[:1], rates) | {name: table.pop(name)[:taken] for name in self._parts[1:]}
        return {
            **dose_columns(rates, self._stack.base[members, phase]),
            **{name: values.mean(0) for name, values in parts.items()},
            **{
                name: values.max(0) if name.endswith("_max_abs") else values.mean(0)
                for name, values in table.items()
            },
            "grad_norm_mean": norms.mean(0),
            "grad_norm_max": norms.max(0),
            "clipped_share": (norms > self._stack.of("algo.norm_limit")[members]).mean(0),
        }

    def _diverge(self, member: int, reason: str) -> None:
        self.sinks.pop(member).diverge(reason)
