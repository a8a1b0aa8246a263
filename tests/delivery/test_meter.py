import numpy as np
import torch
from helpers.sb3_models import TOTAL, small_model

from rl_warmup import DoseMeter


def test_any_torch_optimizer_whoever_sets_its_rate() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    meter = DoseMeter(optimizer)
    assert meter.summary() == {}
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    assert meter.rates["optimizer"].tolist() == [0.5, 0.25, 0.125]
    assert meter.summary() == {
        "optimizer": {"steps": 3, "first": 0.5, "last": 0.125, "largest": 0.5, "mean": 0.875 / 3, "dose": 0.875}
    }
    meter.remove()
    optimizer.step()
    assert len(meter.rates["optimizer"]) == 3


def test_several_parameter_groups() -> None:
    one, two = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.Adam([{"params": [one], "lr": 0.1}, {"params": [two], "lr": 0.3}])
    meter = DoseMeter(optimizer)
    optimizer.step()
    optimizer.step()
    np.testing.assert_array_equal(meter.rates["optimizer"], [[0.1, 0.3], [0.1, 0.3]])
    assert meter.summary()["optimizer"]["dose"] == np.float64(0.4)


def test_a_model_with_several_optimizers() -> None:
    model = small_model("TD3", learning_rate=1e-3)
    meter = DoseMeter(model, optimizers=("critic",))
    model.learn(TOTAL)
    assert set(meter.rates) == {"critic"}
    assert set(meter.rates["critic"]) == {1e-3}
