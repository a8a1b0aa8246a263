"""Functions of a stack on a GPU as CUDA graphs, so that its many small kernels do not wait for Python."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")  # a tensor, or a tuple of tensors


def graphed(function: Callable[..., Result], device: torch.device) -> Callable[..., Result]:
    """`function` of tensors, on a GPU as CUDA graphs, one for every combination of its inputs' shapes.

    It must ask no tensor for its values, and whatever it reads beside its inputs must stay where it is.
    """
    if device.type != "cuda":
        return function
    graphs: dict[tuple[torch.Size, ...], _Graph[Result]] = defaultdict(lambda: _Graph(function))
    return lambda *inputs: graphs[tuple(x.shape for x in inputs)](inputs)


class _Graph(Generic[Result]):
    """The first call runs the function, which compiles and allocates what it needs; the second one captures it.

    An input is read where the caller has it as long as it stays there; once it has moved, it is copied to a place
    of the graph's own, for which the function is captured again.
    """

    def __init__(self, function: Callable[..., Result]) -> None:
        self._function = function
        self._inputs: list[Tensor] = []
        self._own: list[bool] = []
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, inputs: Sequence[Tensor]) -> Result:
        if not self._inputs:
            self._inputs = [x.contiguous() for x in inputs]
            self._own = [not x.is_contiguous() for x in inputs]
            return self._function(*self._inputs)
        for i, given in enumerate(inputs):
            if self._own[i]:
                self._inputs[i].copy_(given)
            elif not self._inputs[i].is_set_to(given):
                self._inputs[i], self._own[i] = given.clone(memory_format=torch.contiguous_format), True
                self._graph = None
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._result = self._function(*self._inputs)
        self._graph.replay()
        result: Result = _copied(self._result)
        return result


def _copied(result: Any) -> Any:  # the graph's next launch overwrites its own
    return result.clone() if isinstance(result, Tensor) else tuple(map(_copied, result))
