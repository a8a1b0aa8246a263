"""The update program of a stack: loss, gradient, clipping and step of some members, as one compiled function."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value

from rl_warmup.config.settings import ConfigError
from rl_warmup.records.atomic import check_writable
from rl_warmup.trainers.functional.optimizers import Moments, Rule, clip_by_norm
from rl_warmup.trainers.stacked.graphs import graphed
from rl_warmup.trainers.stacked.networks import Layout, Parameters

# Losses of the members, summed over none of them, and what is recorded of each, [members] each.
# The arguments: parameters, coefficients [members, ...], indices [members, batch], data [members, ...].
Loss = Callable[[Parameters, Tensor, Tensor, Sequence[Tensor]], tuple[Tensor, tuple[Tensor, ...]]]


class Learner:
    """Parameters and the optimizer's moments of all members, and the program that updates them."""

    def __init__(
        self,
        parameters: Tensor,
        layout: Layout,
        loss: Loss,
        optimizer: Rule,
        chunk: int,
        compiled: bool,
        part: Tensor | None = None,
        stop: float | None = None,
        critic: Tensor | None = None,
    ) -> None:
        """Parameters that have not been trained.

        Args:
            parameters: [members, parameters]; members are a multiple of `chunk`.
            part, stop, critic: see `update_program`.
        """
        self.parameters = parameters
        self.named = layout.named(parameters)  # views, which follow what is changed in place
        self.moments = Moments(torch.zeros_like(parameters), torch.zeros_like(parameters))
        self._parts = [slice(first, first + chunk) for first in range(0, len(parameters), chunk)]
        self._active = (
            None if stop is None else torch.ones(len(parameters), dtype=torch.bool, device=parameters.device)
        )
        step = update_program(layout, loss, optimizer, part, stop, critic)
        self._step = graphed(_compiled(step) if compiled else step, parameters.device)

    def tables(self) -> dict[str, Tensor]:
        """Parameters and moments, [members, parameters] each."""
        return {"parameters": self.parameters, "first": self.moments.first, "second": self.moments.second}

    def restore(self, tables: Mapping[str, Tensor]) -> None:
        """Restore what `tables` returned."""
        for name, table in self.tables().items():
            table.copy_(tables[name])

    def update(
        self,
        rates: Tensor,  # [steps, members, ...], see `Stack.rates`
        coefficients: Tensor,  # [members, ...]
        indices: Sequence[Tensor],  # [steps] of [members, batch]
        data: Sequence[Tensor],  # [members, ...] each
        gather: Callable[[slice, Tensor], Sequence[Tensor]] = lambda members, batch: (),
    ) -> Tensor:  # [steps, members, metrics]
        """Take the gradient steps of a phase; the loss's metrics, gradient norm and learning rate of each.

        The other parameters' rate follows, with `part`; with `stop` 1 where the step was taken, 0 where it was not.

        `gather`: gives the data of some members that a batch needs before the others.
        """
        chunks = []
        if self._active is not None:
            data = [self._active.fill_(True), *data]
        for part in self._parts:
            state = self.parameters[part], self.moments.first[part], self.moments.second[part]
            own, shared = coefficients[part], [rows[part] for rows in data]
            batches = [batch[part] for batch in indices]
            steps = [
                self._step(*state, rates[k, part], own, batch, *gather(part, batch), *shared)
                for k, batch in enumerate(batches)
            ]
            chunks.append(torch.stack(steps))
        return torch.cat(chunks, dim=1)

    def apply(self, function: Callable[..., Tensor], *tables: Tensor, rows: int | None = None) -> Tensor:
        """function(named parameters, *tables), some members at a time, so that what it makes stays in the cache.

        Args:
            tables: [members, rows, ...] each.
            rows: that are given to the function at once; None gives it all.
        """
        chunks = []
        for part in self._parts:
            named = {name: values[part] for name, values in self.named.items()}
            pieces = zip(*(table[part].split(rows or table.shape[1], dim=1) for table in tables), strict=True)
            chunks.append(torch.cat([function(named, *piece) for piece in pieces], dim=1))
        return torch.cat(chunks)


def update_program(
    layout: Layout,
    loss: Loss,
    optimizer: Rule,
    part: Tensor | None = None,
    stop: float | None = None,
    critic: Tensor | None = None,
) -> Callable[..., Tensor]:
    """One gradient step of some members; parameters and moments are changed in place.

    The sum over members has each member's own gradient in that member's rows, so that no member sees another.

    Args:
        part: [parameters] bool, those that the learning rate is of; the others have one of their own. None: all.
        stop: of the loss's last metric: beyond it a member takes this step and the following ones no more. Which
            members take steps is the first table of the data, changed in place; the metric is not returned.
        critic: [parameters] bool, those that are trained alone at first: the others have columns of their own
            behind these, and one that is 0 as long as they have no gradient.
    """

    def step(
        parameters: Tensor,  # [members, parameters]
        first: Tensor,  # [members, parameters]
        second: Tensor,  # [members, parameters]
        rates: Tensor,  # [members, ...]
        coefficients: Tensor,  # [members, ...]
        indices: Tensor,  # [members, batch]
        *data: Tensor,  # [members, ...] each
    ) -> Tensor:  # [members, metrics]
        def total(named: Parameters) -> tuple[Tensor, tuple[Tensor, ...]]:
            losses, metrics = loss(named, coefficients, indices, data if stop is None else data[1:])
            return losses.sum(), (losses, *metrics)

        *row, limit = rates.unbind(1)
        given = row[:1] if part is None else [row[0], row.pop()]
        trained = row.pop() if critic is not None else limit
        row, others = (row, row) if critic is None else (row[: len(row) // 2], row[len(row) // 2 :])
        gradients, (_, metrics) = grad_and_value(total, has_aux=True)(layout.named(parameters))
        gradient = layout.flat(gradients)
        if critic is not None:
            gradient = torch.where(critic, gradient, gradient * trained.to(gradient.dtype).unsqueeze(1))
        gradient, norm = clip_by_norm(gradient, limit.to(parameters.dtype))
        changed, moments = optimizer.update(parameters, Moments(first, second), gradient, row)
        if critic is not None:
            rest, kept = optimizer.update(parameters, Moments(first, second), gradient, others)
            changed = torch.where(critic, changed, rest)
            moments = Moments(*(torch.where(critic, *pair) for pair in zip(moments, kept, strict=True)))
        if part is not None:
            rest, _ = optimizer.update(parameters, Moments(first, second), gradient, [given[1], *row[1:]])
            changed = torch.where(part, changed, rest)
        if stop is not None:
            *metrics, last = metrics
            active = data[0].logical_and_(~(last > stop)).unsqueeze(1)
            changed = torch.where(active, changed, parameters)
            moments = Moments(
                torch.where(active, moments.first, first), torch.where(active, moments.second, second)
            )
            given.append(active.squeeze(1).double())
        parameters.copy_(changed)
        first.copy_(moments.first)
        second.copy_(moments.second)
        recorded = torch.stack([*metrics, norm], dim=1).double()
        return torch.cat([recorded, torch.stack(given, dim=1)], dim=1)

    return step


def _compiled(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The program in machine code; what it closes over never changes, so that each call checks shapes only.

    Programs that this process compiled before are forgotten: torch finds them by their source and shapes, and
    would take one of another loss or network for this one.
    """
    torch.compiler.reset()
    guards: dict[str, Any] = {"guard_filter_fn": torch.compiler.keep_tensor_guards_unsafe}
    return torch.compile(step, fullgraph=True, dynamic=False, options=guards)


def prepare_compiler(wanted: bool, device: torch.device) -> bool:
    """Whether update programs will be compiled; where they are, compiled programs are kept for later runs."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # the one torch looks for
    if not wanted:
        return False
    if device.type == "cpu" and shutil.which(compiler) is None:
        print(
            f"no C++ compiler {compiler} was found: the update programs run uncompiled, some three times "
            "slower; install g++, or name another by CXX",
            file=sys.stderr,
        )
        return False
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = _compiled_programs()
    os.environ.setdefault("TORCH_WARM_POOL", "0")  # a pool of processes would outlast its use
    if device.type != "cpu":
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # likewise; C++ is compiled from threads
    return True


def _compiled_programs() -> str:
    """The first usual folder of compiled programs that takes files; where none does, one of this process."""
    chosen = os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - there may be no home
    temporary = Path(tempfile.gettempdir(), f"rl_warmup-{os.getuid()}")
    for folder in (Path(chosen), Path(cache, "rl_warmup", "compiled"), temporary):
        with suppress(ConfigError):
            if folder.is_absolute():
                check_writable(folder, 2**20)
                if folder != temporary or folder.lstat().st_uid == os.getuid():  # else somebody else's programs
                    return str(folder)
    return tempfile.mkdtemp(prefix="rl_warmup-")
