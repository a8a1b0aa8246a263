"""DQN's replay buffers of a stack: transitions as rows of numbers, or with images as bytes, each stored once."""

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.trainers.stacked.algorithm import Step
from rl_warmup.trainers.stacked.stack import Stack

Transitions = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Observations and their successors [members, batch, ...]; actions, rewards, terminated [members, batch]."""


class Replay(Protocol):
    """A ring of the last vector steps of all members, every environment's transition in each."""

    added: int
    """Vector steps ever stored."""
    slots: int
    """Vector steps that there is room for."""
    sampled: int
    """How many tensors `sample` takes."""

    @property
    def stored(self) -> int:
        """Vector steps in the buffer."""

    @property
    def whole(self) -> list[Tensor]:
        """What `sample` takes of all transitions, [members, ...] each; empty where `gather` gives it."""

    def gather(self, members: slice, indices: Tensor) -> list[Tensor]:
        """What `sample` takes beside that of the transitions `indices` [members, batch]."""

    def sample(self, indices: Tensor, data: Sequence[Tensor]) -> Transitions:
        """The transitions `indices` [members, batch]: slot * environments + environment."""

    def begin(self, observations: Tensor) -> None:
        """Take the first observations [members, envs, ...]."""

    def add(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        """Store what `actions` in `observations` [members, envs, ...] brought, in place of the oldest if full."""

    def tables(self) -> dict[str, Tensor]:
        """What is stored, [members, ...] each; views, which change with it."""

    def restore(self, tables: Mapping[str, Tensor], added: int) -> None:
        """Restore what `tables` returned after `added` vector steps."""


def make_replay(stack: Stack, slots: int) -> Replay:
    """A buffer of `slots` vector steps, but no more than the run fills."""
    filled = stack.kept_steps + stack.phases.env_steps // stack.config.algo.n_envs
    slots = max(1, min(slots, filled))
    return _Rows(stack, slots) if stack.observed.itemsize > 1 else _Frames(stack, slots)


class _Rows:
    """A table [members, slots * envs, row], a row being (s, s', a, r, terminated)."""

    sampled = 1

    def __init__(self, stack: Stack, slots: int) -> None:
        self.slots, self._shape = slots, stack.observation_shape
        size = 2 * torch.Size(self._shape).numel() + 3
        self._table = torch.zeros(len(stack), slots, stack.config.algo.n_envs, size, device=stack.device)
        self.whole, self.added = [self._table.flatten(1, 2)], 0

    @property
    def stored(self) -> int:
        return min(self.added, self.slots)

    def gather(self, members: slice, indices: Tensor) -> list[Tensor]:
        return []

    def sample(self, indices: Tensor, data: Sequence[Tensor]) -> Transitions:
        (rows,) = data
        size = torch.Size(self._shape).numel()
        batch = rows.gather(1, indices.unsqueeze(2).expand(-1, -1, rows.shape[2]))
        observations, following, rest = batch.split([size, size, 3], dim=2)
        actions, rewards, ends = rest.unbind(2)
        observations, following = (x.unflatten(2, tuple(self._shape)) for x in (observations, following))
        return observations, following, actions.long(), rewards, ends

    def begin(self, observations: Tensor) -> None:
        pass

    def add(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        images = (observations.flatten(2), step.final.flatten(2))
        self._table[:, self.added % self.slots] = torch.cat([*images, _numbers(actions, step)], dim=2)
        self.added += 1

    def tables(self) -> dict[str, Tensor]:
        return {"replay": self._table[:, : self.stored]}

    def restore(self, tables: Mapping[str, Tensor], added: int) -> None:
        self.added = added
        self._table[:, : self.stored].copy_(tables["replay"])


class _Frames:
    """Observations in their own type, one byte a number, each of them stored once.

    Vector step t lies in place t mod (slots + 1). The successor of its observation is that of step t + 1; where its
    episode ended, it is in `finals`, at the index in `ends`, which is -1 everywhere else. Those alone are real
    numbers where observations are normalised.
    """

    sampled = 3

    def __init__(self, stack: Stack, slots: int) -> None:
        envs, shape, device = stack.config.algo.n_envs, stack.observation_shape, stack.device
        self.slots, self._places, self._envs = slots, slots + 1, envs
        places = (len(stack), self._places, envs)
        self._frames = torch.empty(*places, *shape, dtype=stack.observed, device=device)  # filled as it is used
        self._numbers = torch.empty(*places, 3, device=device)
        self._ends = torch.full(places, -1, dtype=torch.int32, device=device)
        last = torch.float32 if stack.config.algo.normalize else stack.observed  # it may have been clipped
        self._finals = _Finals(torch.empty(len(stack), 0, *shape, dtype=last, device=device))
        self.whole: list[Tensor] = []
        self.added = 0

    @property
    def stored(self) -> int:
        return min(self.added, self.slots)

    def gather(self, members: slice, indices: Tensor) -> list[Tensor]:
        slot, env = indices // self._envs, indices % self._envs
        step = self.added - 1 - (self.added - 1 - slot) % self.slots  # the last one that was stored in the slot
        here, behind = (s % self._places * self._envs + env for s in (step, step + 1))
        end = _rows(self._ends[members].flatten(1, 2), here)
        frames = self._frames[members].flatten(1, 2)
        following = _rows(frames, behind).to(self._finals.table.dtype)
        if self._finals.table.shape[1]:
            last = _rows(self._finals.table[members], end.clamp(min=0))
            following = torch.where((end >= 0).reshape(*end.shape, *[1] * (last.dim() - 2)), last, following)
        return [_rows(frames, here), following, _rows(self._numbers[members].flatten(1, 2), here)]

    def sample(self, indices: Tensor, data: Sequence[Tensor]) -> Transitions:
        observations, following, numbers = data
        actions, rewards, ends = numbers.unbind(2)
        return observations, following, actions.long(), rewards, ends

    def begin(self, observations: Tensor) -> None:
        if self.added:  # its environments were restarted: nothing follows on the last step
            place = (self.added - 1) % self._places
            cut_off = (self._ends[:, place] < 0).nonzero().cpu().numpy()
            self._end(cut_off, self._frames[:, self.added % self._places].clone(), self.added - 1)
        self._frames[:, self.added % self._places] = observations

    def add(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        place = self.added % self._places
        self._numbers[:, place] = _numbers(actions, step)
        self._ends[:, place] = -1
        self._end(step.ended, step.final, self.added)
        self.added += 1
        self._frames[:, self.added % self._places] = step.observations

    def _end(self, ended: NDArray[np.int64], final: Tensor, step: int) -> None:
        """Keep what the episodes of `ended` [ends, (member, env)] showed last, in vector step `step`."""
        if len(ended):
            at = self._finals.places(ended[:, 0].tolist(), step, step + 1 - self.slots)
            member, env, index = torch.from_numpy(np.column_stack([ended, at])).to(final.device).unbind(1)
            self._finals.table[member, index] = final[member, env].to(self._finals.table.dtype)
            self._ends[:, step % self._places][member, env] = index.int()

    def tables(self) -> dict[str, Tensor]:
        steps = min(self.added, self._places)
        return {
            "frames": self._frames[:, : min(self.added + 1, self._places)],
            "numbers": self._numbers[:, :steps],
            "ends": self._ends[:, :steps],
            "finals": self._finals.table,
        }

    def restore(self, tables: Mapping[str, Tensor], added: int) -> None:
        self.added = added
        for own, name in ((self._frames, "frames"), (self._numbers, "numbers"), (self._ends, "ends")):
            own[:, : tables[name].shape[1]].copy_(tables[name])
        ends = tables["ends"].cpu().numpy()
        member, place, env = np.nonzero(ends >= 0)
        step = added - 1 - (added - 1 - place) % self._places
        used = np.column_stack([step, member, ends[member, place, env]])[step >= added - self.slots]
        self._finals = _Finals(tables["finals"], sorted(map(tuple, used.tolist())))


class _Finals:
    """What episodes ended with: a table [members, room, ...] with as much room as the member with most needs."""

    def __init__(self, table: Tensor, used: Sequence[tuple[int, int, int]] = ()) -> None:
        """`used`: (vector step, member, place), in this order."""
        self.table = table
        self._used: list[deque[tuple[int, int]]] = [deque() for _ in table]  # (vector step, place), oldest first
        self._free = [list(range(table.shape[1])) for _ in table]  # heaps
        for step, member, place in used:
            self._used[member].append((step, place))
            self._free[member].remove(place)

    def places(self, members: Sequence[int], step: int, oldest: int) -> list[int]:
        """The first free place for each of `members`; those of vector steps before `oldest` are free."""
        chosen = []
        for member in members:
            used, free = self._used[member], self._free[member]
            while used and used[0][0] < oldest:
                heappush(free, used.popleft()[1])
            if not free:
                self._grow()
            used.append((step, heappop(free)))
            chosen.append(used[-1][1])
        return chosen

    def _grow(self) -> None:
        room = self.table.shape[1]
        more = max(16, room // 4)
        self.table = torch.cat([self.table, self.table.new_zeros(len(self.table), more, *self.table.shape[2:])], 1)
        for free in self._free:
            free += range(room, room + more)  # still a heap


def _numbers(actions: Tensor, step: Step) -> Tensor:  # [members, envs, 3]
    return torch.stack([actions.float(), step.rewards, step.terminated], dim=2)


def _rows(table: Tensor, indices: Tensor) -> Tensor:  # [members, rows, ...], [members, n] -> [members, n, ...]
    """table[m, indices[m]] of every member m."""
    first = torch.arange(len(table), device=table.device).unsqueeze(1) * table.shape[1]
    rows = table.flatten(0, 1).index_select(0, (first + indices).flatten())
    return rows.reshape(*indices.shape, *table.shape[2:])
