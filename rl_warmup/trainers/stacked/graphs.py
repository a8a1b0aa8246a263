"""Functions of a stack on a GPU as CUDA graphs, so that its many small kernels do not wait for Python."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")  # a tensor, or a tuple of tensors


def graphed(function: Callable[..., Result], device: torch.device) -> Callable[..., Result]:
    """`function` of tensors, on a GPU as CUDA graphs, one for every combination of its inputs' shapes.

    It must ask no tensor for its values, and whatever it reads beside its inputs must stay where it is.
    """
    return _Graphed(function) if device.type == "cuda" else function


class _Graphed(Generic[Result]):
    def __init__(self, function: Callable[..., Result]) -> None:
        self._function = function
        self._graphs: dict[tuple[torch.Size, ...], _Graph[Result]] = {}

    def __call__(self, *inputs: Tensor) -> Result:
        shapes = tuple(x.shape for x in inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = _Graph(self._function, inputs)
        return self._graphs[shapes](inputs)


class _Graph(Generic[Result]):
    """The first call runs the function, which compiles and allocates what it needs; the second one captures it.

    The inputs of the first call become the graph's own: others are copied to where those lie.
    """

    def __init__(self, function: Callable[..., Result], inputs: Sequence[Tensor]) -> None:
        self._function = function
        self._inputs = [x.contiguous() for x in inputs]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._begun = False

    def __call__(self, inputs: Sequence[Tensor]) -> Result:
        for own, given in zip(self._inputs, inputs, strict=True):
            if not own.is_set_to(given):
                own.copy_(given)
        if not self._begun:
            self._begun = True
            return self._function(*self._inputs)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._result = self._function(*self._inputs)
        self._graph.replay()
        result: Result = _copied(self._result)
        return result


def _copied(result: Any) -> Any:  # the graph's next launch overwrites its own
    return result.clone() if isinstance(result, Tensor) else tuple(map(_copied, result))
