"""Optimizers and policies that are not Stable-Baselines3's own."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.sb3_models import TOTAL, small_model
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy

from rl_warmup import DoseMeter, WarmupCallback, attach_warmup
from rl_warmup.schedules import step_factor

STEPS = 12  # gradient steps of the small PPO in TOTAL
LENGTH = 20


class Wrapper:
    """Steps several optimizers at once; no optimizer of torch."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        self.param_groups = [group for part in parts for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        for part in self.parts:
            part.step()


class Underived(Wrapper, torch.optim.Optimizer):
    """Derived from torch's class without its `__init__`, as published wrappers are."""


def policy_of(hold: Any) -> type[ActorCriticPolicy]:
    """A policy in which `hold(policy, actor's optimizer, critic's)` says where the two optimizers are."""

    class Policy(ActorCriticPolicy):
        def _build(self, lr_schedule: Any) -> None:
            super()._build(lr_schedule)
            actor = [*self.mlp_extractor.policy_net.parameters(), *self.action_net.parameters()]
            critic = [*self.mlp_extractor.value_net.parameters(), *self.value_net.parameters()]
            hold(self, torch.optim.Adam(actor, lr=lr_schedule(1)), torch.optim.SGD(critic, lr=4e-3))

    return Policy


def as_attributes(policy: Any, actor: Any, critic: Any) -> None:
    policy.optimizer, policy.value_optimizer = actor, critic


def as_wrapper(policy: Any, actor: Any, critic: Any) -> None:
    policy.optimizer = Wrapper(actor, critic)


def as_both(policy: Any, actor: Any, critic: Any) -> None:
    policy.optimizer, policy.actor_optimizer, policy.value_optimizer = Wrapper(actor, critic), actor, critic


def as_underived(policy: Any, actor: Any, critic: Any) -> None:
    policy.optimizer = Underived(actor, critic)


def as_dictionary(policy: Any, actor: Any, critic: Any) -> None:
    policy.optimizer = {"actor": actor, "critic": critic}


class SecondStep(PPO):
    """Steps the value optimizer once after each update."""

    def train(self) -> None:
        super().train()
        self.policy.value_optimizer.step()


def own(kind: type[PPO], hold: Any) -> PPO:
    return kind(policy_of(hold), "CartPole-v1", n_steps=16, batch_size=16, n_epochs=2, learning_rate=1e-3, seed=0)


def learn(model: Any, callback: BaseCallback, total: int = TOTAL, **how: Any) -> dict[str, np.ndarray]:
    meter = DoseMeter(model)
    model.learn(total, callback=callback, **how)
    meter.remove()
    return meter.rates


def ramp(base: float, first: int, last: int) -> np.ndarray:
    return base * np.asarray(step_factor("linear", LENGTH)(np.arange(first, last)))


def test_every_optimizer_of_a_policy_is_warmed_up_from_its_own_rate() -> None:
    """Stable-Baselines3 never writes into the second one: its base is its own, in every piece."""
    model, callback = own(SecondStep, as_attributes), WarmupCallback("linear", LENGTH)
    for piece in range(2):
        rates = learn(model, callback, reset_num_timesteps=piece == 0)
        np.testing.assert_allclose(rates["policy"], ramp(1e-3, STEPS * piece, STEPS * (piece + 1)), rtol=1e-12)
        np.testing.assert_allclose(rates["value"], ramp(4e-3, 6 * piece, 6 * (piece + 1)), rtol=1e-12)
        assert model.policy.value_optimizer.param_groups[0]["lr"] == 4e-3  # the base, once the warmup is off
    assert callback.steps["value"] == {"warmup": LENGTH, "planned": None, "taken": 12}


def test_a_fraction_of_the_steps_of_an_optimizer_of_ones_own_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"the steps of the optimizer value of SecondStep cannot be counted.*count"
    ):
        learn(own(SecondStep, as_attributes), WarmupCallback("linear", 0.5))
    named = WarmupCallback("linear", 0.5, optimizers=["policy"])
    np.testing.assert_allclose(learn(own(SecondStep, as_attributes), named)["policy"][5:], 1e-3)


@pytest.mark.parametrize(
    ("hold", "kind"), [(as_wrapper, "Wrapper"), (as_underived, "Underived"), (as_dictionary, "dict")]
)
def test_what_is_no_optimizer_of_torch_is_refused_in_words(hold: Any, kind: str) -> None:
    model = own(PPO, hold)
    refused = (
        rf"policy.optimizer of PPO is a {kind}, before whose steps no.*keep the torch optimizers in it as attr"
    )
    for try_it in (lambda: attach_warmup(model, "linear", 10), lambda: DoseMeter(model)):
        with pytest.raises(ValueError, match=refused):
            try_it()
    with pytest.raises(ValueError, match=refused):
        model.learn(TOTAL, callback=WarmupCallback("linear", 10))


def test_the_way_out_works() -> None:
    rates = learn(own(PPO, as_both), WarmupCallback("linear", LENGTH))
    for name in ("actor", "value"):  # Stable-Baselines3 writes one rate into all groups of the wrapper
        np.testing.assert_allclose(rates[name], ramp(1e-3, 0, STEPS), rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("SGD", {"momentum": 0.9}), ("Adadelta", {})])
def test_pieces_are_one_run_whatever_the_optimizer_counts(name: str, options: dict[str, Any], tmp_path) -> None:
    kind = {"net_arch": [8], "optimizer_class": getattr(torch.optim, name), "optimizer_kwargs": options}
    model, rates = small_model("PPO", learning_rate=1e-3, policy_kwargs=kind), []
    for piece in range(3):
        rates += learn(model, WarmupCallback("linear", LENGTH), reset_num_timesteps=piece == 0)["policy"].tolist()
        model.save(tmp_path / "model")
        model = PPO.load(tmp_path / "model", env=model.get_env())
    np.testing.assert_allclose(rates, ramp(1e-3, 0, 3 * STEPS), rtol=1e-12)
    with pytest.raises(ValueError, match=f"radam follows from Adam's beta2, and {name} has none: use one of"):
        attach_warmup(model, "radam")


def test_an_optimizer_that_is_replaced_within_a_run_is_warmed_up_from_there() -> None:
    model, seen = small_model("PPO", learning_rate=1e-3), []

    class Replace(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 40:
                policy = self.model.policy
                policy.optimizer = policy.optimizer_class(policy.parameters(), 1e-3)
                policy.optimizer.register_step_post_hook(lambda one, *_: seen.append(one.param_groups[0]["lr"]))
            return True

    callback = WarmupCallback("linear", LENGTH)
    rates = learn(model, [callback, Replace()])
    np.testing.assert_allclose([*rates["policy"], *seen], ramp(1e-3, 0, STEPS), rtol=1e-12)
    assert callback.steps["policy"]["taken"] == STEPS
    np.testing.assert_allclose(
        learn(model, callback, 16, reset_num_timesteps=False)["policy"], ramp(1e-3, STEPS, STEPS + 2), rtol=1e-12
    )
