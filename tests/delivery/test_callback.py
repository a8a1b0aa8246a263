import itertools
from typing import Any

import numpy as np
import pytest
from helpers.sb3_models import TOTAL, small_model
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.logger import KVWriter, Logger

from rl_warmup import DoseMeter, WarmupCallback, WarmupSchedule, attach_warmup
from rl_warmup.delivery.hook import optimizers_of, planned_steps, steps_taken

STEPS = 12  # gradient steps of the small PPO in TOTAL


def ramp(length: int, first: int, last: int) -> np.ndarray:
    return 1e-3 * np.minimum(1, np.arange(first + 1, last + 1) / length)


def learn(model: Any, total: int, callback: Any, **how: Any) -> np.ndarray:
    meter = DoseMeter(model)
    model.learn(total, callback=callback, **how)
    meter.remove()
    return next(iter(meter.rates.values()))


def small_ppo(**arguments: Any) -> PPO:
    return small_model("PPO", learning_rate=1e-3, **arguments)


def test_a_fraction_is_of_the_steps_of_learn_and_the_warmup_comes_off() -> None:
    model = small_ppo()
    np.testing.assert_allclose(learn(model, TOTAL, WarmupCallback("linear", 0.5)), ramp(6, 0, STEPS), rtol=1e-12)
    assert set(learn(model, TOTAL, None)) == {1e-3}


def test_a_new_run_of_the_same_model_is_warmed_up_again() -> None:
    model, callback = small_ppo(), WarmupCallback("linear", 0.5)
    for _ in range(2):
        np.testing.assert_allclose(learn(model, TOTAL, callback), ramp(6, 0, STEPS), rtol=1e-12)


@pytest.mark.parametrize("reloaded", [False, True], ids=["same", "loaded"])
def test_pieces_are_one_run(reloaded: bool, tmp_path) -> None:
    """The fraction is of the first piece: 8 of 12 steps, also where a later `learn` sees a longer run."""
    model, rates = small_ppo(), []
    for piece in range(3):
        rates += learn(model, 32, WarmupCallback("linear", 10), reset_num_timesteps=piece == 0).tolist()
        if reloaded:
            model.save(tmp_path / "model")
            model = PPO.load(tmp_path / "model", env=model.get_env())
    np.testing.assert_allclose(rates, ramp(10, 0, STEPS), rtol=1e-12)

    model.learn(TOTAL)
    rates = [learn(model, TOTAL, WarmupCallback("linear", 0.75), reset_num_timesteps=new) for new in (True, False)]
    np.testing.assert_allclose(rates[0], ramp(9, 0, STEPS), rtol=1e-12)
    assert set(rates[1]) == {1e-3}


class Kept(KVWriter):
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append(dict(key_values))


def test_the_logger_shows_what_was_delivered() -> None:
    model, kept = small_ppo(), Kept()
    model.set_logger(Logger(None, [kept]))
    rates = learn(model, TOTAL, WarmupCallback("linear", 8))
    logged = [row["train/learning_rate"] for row in kept.rows if "train/learning_rate" in row]
    assert logged == rates[1:-2:2].tolist()  # the last step of each update phase; the last is never dumped
    factors = [row["train/warmup_factor"] for row in kept.rows if "train/warmup_factor" in row]
    np.testing.assert_allclose(factors, np.array(logged) / 1e-3)


def test_each_of_several_optimizers_has_its_own_rows_and_steps() -> None:
    model, kept = small_model("SAC", learning_rate=1e-3), Kept()
    model.set_logger(Logger(None, [kept]))
    meter = DoseMeter(model)
    model.learn(TOTAL, callback=WarmupCallback("cosine", 20, optimizers=("actor", "critic")), log_interval=1)
    assert set(meter.rates["ent_coef"]) == {1e-3}
    assert meter.rates["actor"][0] == meter.rates["critic"][0] < 1e-4
    assert isinstance(model, SAC)
    names = {name for name in model.logger.name_to_value if "warmup_factor" in name}
    assert names == {"train/warmup_factor", "train/warmup_factor_actor", "train/warmup_factor_critic"}


def test_the_base_may_fall_and_is_what_was_written_into_the_optimizer() -> None:
    model = small_ppo()
    model.lr_schedule = itertools.chain([4e-3, 4e-3], itertools.repeat(2e-3)).__next__  # changed from outside
    model.lr_schedule = lambda remaining, source=model.lr_schedule: source()
    rates = learn(model, 64, WarmupCallback("linear", 4))
    np.testing.assert_allclose(rates, [1e-3, 2e-3, 1.5e-3, 2e-3, 2e-3, 2e-3, 2e-3, 2e-3])


@pytest.mark.parametrize("name", ["PPO", "SAC"])
@pytest.mark.parametrize("attach", [False, True], ids=["callback", "attach_warmup"])
def test_a_rate_that_is_changed_between_pieces_is_the_base_from_there(name: str, attach: bool, tmp_path) -> None:
    model, callback = small_model(name, learning_rate=1e-3), None if attach else WarmupCallback("linear", 1000)
    if attach:
        attach_warmup(model, "linear", 1000)
    learn(model, 48, callback)
    model.learning_rate = 1e-5
    model._setup_lr_schedule()
    meter, begins = DoseMeter(model), {key: steps_taken(one) for key, one in optimizers_of(model).items()}
    model.learn(48, callback=callback, reset_num_timesteps=False)
    for key, rates in meter.rates.items():
        assert len(rates) > 5
        np.testing.assert_allclose(rates, 1e-5 * np.arange(begins[key] + 1, begins[key] + len(rates) + 1) / 1000)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=model.get_env(), learning_rate=2e-5)
    first = steps_taken(next(iter(optimizers_of(loaded).values()))) + 1
    rates = learn(loaded, 48, WarmupCallback("linear", 1000), reset_num_timesteps=False)
    np.testing.assert_allclose(rates, 2e-5 * np.arange(first, first + len(rates)) / 1000)


def test_the_warmup_attached_last_holds() -> None:
    model = small_ppo()
    attach_warmup(model, "linear", 100)
    both = [WarmupCallback("linear", 50), WarmupCallback("linear", 6)]
    np.testing.assert_allclose(learn(model, TOTAL, both), ramp(6, 0, STEPS), rtol=1e-12)
    assert set(learn(model, TOTAL, None)) == {1e-3}


def test_a_callback_after_a_training_that_was_interrupted() -> None:
    model, callback = small_ppo(), WarmupCallback("linear", 8)

    class Interrupt(WarmupCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 40:
                raise KeyboardInterrupt
            return True

    with pytest.raises(KeyboardInterrupt):
        model.learn(TOTAL, callback=Interrupt("linear", 8))
    rates = learn(model, 64, callback, reset_num_timesteps=False)
    np.testing.assert_allclose(rates[:4], ramp(8, 4, 8), rtol=1e-12)


@pytest.mark.parametrize(("length", "numbers"), [(0.05, "length=0.05 is 1 gradient steps"), (1, "length=1 is 1")])
def test_an_inert_warmup_warns(length: float, numbers: str) -> None:
    with pytest.warns(UserWarning, match=f"the warmup linear is inert: {numbers}.* in 96 environment steps"):
        small_ppo().learn(TOTAL, callback=WarmupCallback("linear", length))


def test_a_warmup_that_is_over_before_a_later_piece_warns_once() -> None:
    model, callback = small_ppo().learn(TOTAL), WarmupCallback("linear", 0.1)
    with pytest.warns(UserWarning, match=r"inert: length=0.1 is 2 gradient steps .* 12 were taken before"):
        model.learn(32, callback=callback, reset_num_timesteps=False)
    model.learn(32, callback=callback, reset_num_timesteps=False)


EPISODES = {"train_freq": (1, "episode"), "gradient_steps": 1}
EPOCHS = ("PPO", "MaskablePPO", "RecurrentPPO")
BY_EPISODES = ("DQN", "QRDQN", "SAC", "TD3", "DDPG", "TQC", "CrossQ")


@pytest.mark.parametrize("name", EPOCHS + BY_EPISODES)
def test_a_fraction_of_steps_that_cannot_be_counted_is_refused_and_a_count_is_not(name: str) -> None:
    message = "trains after episodes" if name in BY_EPISODES else "target_kl=0.001 may stop an update"
    model = small_model(name, **(EPISODES if name in BY_EPISODES else {"target_kl": 0.001}))
    refused = rf"{message}.*: give a count of steps, or use a WarmupSchedule"
    with pytest.raises(ValueError, match=refused):
        model.learn(TOTAL, callback=WarmupCallback("linear", 0.1))
    with pytest.raises(ValueError, match=refused):
        attach_warmup(model, "linear", 0.1, total_timesteps=TOTAL)
    attach_warmup(model, "linear", 5, total_timesteps=TOTAL).remove()


@pytest.mark.parametrize(
    ("name", "arguments"), [("DQN", EPISODES), ("PPO", {"target_kl": 1e-4, "n_epochs": 10})], ids=["DQN", "PPO"]
)
def test_steps_that_cannot_be_counted_follow_a_count_or_the_progress(name: str, arguments: dict[str, Any]) -> None:
    """No more than half of the training is at a lower rate, and what was taken is on record."""
    callback = WarmupCallback("linear", 5)
    rates = learn(small_model(name, learning_rate=1e-3, **arguments), 200, callback)
    assert callback.steps == {"policy": {"warmup": 5, "planned": None, "taken": len(rates)}}
    np.testing.assert_allclose(rates, 1e-3 * np.minimum(1, np.arange(1, len(rates) + 1) / 5), rtol=1e-12)

    model, seen = small_model(name, learning_rate=WarmupSchedule(1e-3, "linear", 0.5), **arguments), []
    model.policy.optimizer.register_step_post_hook(
        lambda one, *_: seen.append((model.num_timesteps, one.param_groups[0]["lr"]))
    )
    model.learn(200)
    for done, rate in seen:
        assert rate == pytest.approx(1e-3 * min(1.0, done / 100))
    assert seen[-1][1] == 1e-3


def test_steps_that_were_planned_and_taken_are_on_record() -> None:
    callback = WarmupCallback("linear", 0.5, optimizers=("actor", "critic"))
    model = small_model("TD3", learning_rate=1e-3)
    learn(model, TOTAL, callback)
    assert callback.steps == {
        "actor": {"warmup": 11, "planned": 22, "taken": 22},
        "critic": {"warmup": 22, "planned": 44, "taken": 44},
    }
    learn(model, 16, callback, reset_num_timesteps=False)
    assert callback.steps["critic"] == {"warmup": 22, "planned": 52, "taken": 52}


def test_a_fraction_of_other_steps_than_were_taken_warns() -> None:
    class Twice(PPO):
        def train(self) -> None:
            super().train()
            super().train()

    callback = WarmupCallback("linear", 0.5)
    model = Twice("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, n_epochs=2, seed=0)
    with pytest.warns(UserWarning, match=r"was 6 of 12 planned gradient steps of .* policy, which took 24: give"):
        model.learn(TOTAL, callback=callback)
    assert callback.steps == {"policy": {"warmup": 6, "planned": 12, "taken": 24}}


def test_an_algorithm_that_knows_no_target_kl_is_counted_as_any_other() -> None:
    model = small_ppo()
    del model.target_kl
    assert planned_steps(model, "policy", TOTAL) == STEPS


@pytest.mark.parametrize(
    ("name", "arguments", "callback", "message"),
    [
        ("PPO", {"target_kl": 0.1}, ("linear", 0.5), "target_kl=0.1 may stop an update of PPO early"),
        ("TD3", {"train_freq": (1, "episode")}, ("linear", 0.5), "TD3 trains after episodes"),
        ("A2C", {}, ("radam",), "the warmup radam follows from Adam's beta2, and RMSprop has none"),
        ("PPO", {}, ("linear",), "length=None is not a length"),
        ("PPO", {}, ("radam", 10), "length=10 has no meaning for radam"),
        ("ARS", {}, ("linear", 10), "ARS has no torch optimizer"),
    ],
)
def test_what_cannot_be_warmed_up_is_refused_in_words(name, arguments, callback, message) -> None:
    with pytest.raises(ValueError, match=message):
        small_model(name, **arguments).learn(TOTAL, callback=WarmupCallback(*callback))


def test_names_are_checked() -> None:
    with pytest.raises(ValueError, match="PPO has no optimizer 'actor': choose from policy"):
        attach_warmup(small_ppo(), "linear", 10, optimizers=("actor",))
    with pytest.raises(ValueError, match="no warmup shape 'steep'"):
        WarmupCallback("steep", 10)


def test_a_schedule_is_a_base_as_any_other() -> None:
    model = small_ppo()
    model.lr_schedule = WarmupSchedule(1e-3, "linear", 1.0)
    rates = learn(model, TOTAL, WarmupCallback("linear", 4))
    assert rates[0] == pytest.approx(1e-3 * 16 / 96 / 4)
