"""What a trainer is and what it is given: configs, and for each of them a sink of its rows and checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rl_warmup.config.schema import RunConfig
from rl_warmup.records.checkpoints import Checkpoint


class Sink(Protocol):
    """Takes what one agent does, and keeps its checkpoints."""

    @property
    def restored(self) -> Checkpoint | None:
        """What the agent is resumed from; None if it starts."""

    @property
    def checkpoint_due(self) -> bool:
        """Whether it is time for another checkpoint."""

    @property
    def agent_due(self) -> bool:
        """Whether the agent is to be kept as it was evaluated last."""

    def emit(self, table: str, row: Mapping[str, Any]) -> None:
        """Take a row of evaluations, episodes or updates."""

    def resumed(self, environments: str) -> None:
        """The agent was resumed from `restored`; its environments were `replayed` or `reset`."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the place of the last."""

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Keep the agent of the last evaluation, as `agents.files_of` makes it, in the place of the one before."""

    def diverge(self, reason: str) -> None:
        """A parameter, a loss or a return is not finite: an outcome of the run, not a failure.

        A reward or an observation that is not is a failure, see `envs.finite`.

        Nothing more is emitted for the agent.
        """


Train = Callable[[Sequence[RunConfig], Sequence[Sink]], None]
"""A trainer: trains one agent per config (resolved, of one group), from what its sink has restored."""
