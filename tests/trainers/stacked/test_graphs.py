"""Functions as CUDA graphs, with a stand-in that launches the captured kernels again; GPU: test_device."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from rl_warmup.trainers.stacked import graphs

GPU = torch.device("cuda")


class Sum:
    """x + y, into a tensor of its own as a graph's kernels do; `launch` does it again where it was done last."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        assert x.is_contiguous()
        assert y.is_contiguous()  # always, or the call that is captured would have to compile
        self._of, self._into = (x, y), torch.empty_like(x)
        self.launch()
        return self._into

    def launch(self) -> None:
        torch.add(*self._of, out=self._into)


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch) -> Sum:
    function = Sum()
    stand_in = type("CUDAGraph", (), {"replay": lambda self: function.launch()})
    monkeypatch.setattr(graphs.torch.cuda, "CUDAGraph", stand_in)
    monkeypatch.setattr(graphs.torch.cuda, "graph", lambda graph: nullcontext())
    return function


def test_only_on_a_gpu(add: Sum) -> None:
    assert graphs.graphed(add, torch.device("cpu")) is add
    assert graphs.graphed(add, torch.device("meta")) is add


def test_every_call_sees_its_own_inputs_and_keeps_its_result(add: Sum) -> None:
    graph = graphs.graphed(add, GPU)
    inputs = [(torch.full((2,), float(i)), torch.arange(4.0)[i % 2 :: 2]) for i in range(6)]
    expected = [(x + y).tolist() for x, y in inputs]
    results = [graph(x, y) for x, y in inputs]
    assert [r.tolist() for r in results] == expected
    assert [(x + y).tolist() for x, y in inputs] == expected  # the caller's tensors are left alone
    assert add.calls == 2  # as it is, and captured


def test_what_stays_where_it_is_is_read_there(add: Sum) -> None:
    graph = graphs.graphed(add, GPU)
    weights = torch.zeros(2)
    for step in range(4):
        weights += 1
        assert graph(weights, torch.full((2,), 10.0 * step)).tolist() == [1 + 11 * step] * 2
    assert add.calls == 2


def test_what_moves_later_is_captured_once_more(add: Sum) -> None:
    graph = graphs.graphed(add, GPU)
    phases = [torch.full((2,), 100.0 * phase) for phase in range(3)]
    for phase, data in enumerate(phases):
        for step in range(3):
            assert graph(data, torch.full((2,), float(step))).tolist() == [100 * phase + step] * 2
    assert [data.tolist() for data in phases] == [[0, 0], [100, 100], [200, 200]]
    assert add.calls == 3


def test_every_shape_has_its_own_graph(add: Sum) -> None:
    graph = graphs.graphed(add, GPU)
    for size in (2, 3, 2, 3):
        assert graph(torch.ones(size), torch.ones(size)).tolist() == [2] * size
    assert add.calls == 4
