"""Values that are refused by themselves, one message a test; the check changes nothing and lets the rest pass."""

import math
from typing import Any

import pytest
from helpers.composing import unresolved

from rl_warmup.config.checks import check, check_values, require
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError, least

nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedule__name": "step"}, r"schedule.name=step is not known; use one of: constant, linear, cosine"),
        ({"warmup__shape": "hook"}, r"warmup.shape=hook is not known; use one of: none, linear"),
        ({"tracking__name": "mlflow"}, r"tracking.name=mlflow is not known; use one of: wandb, disabled"),
        ({"tracking__mode": "on"}, r"tracking.mode=on is not known; use one of: auto, online, offline"),
        ({"seed": -1}, r"seed=-1 is not a seed; use a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, r"seed=4294967296 is not a seed"),
        ({"total_timesteps": None}, r"total_timesteps is not set; give total_timesteps="),
        ({"total_timesteps": 0}, r"total_timesteps=0 is too small; use 1 or more"),
        ({"threads": 0}, r"threads=0 is too small; use 1 or more"),
        (
            {"env__kwargs": {"size": {"deep": [1, nan]}}},
            r"env.kwargs.size.deep\[1\]=nan is not usable; use a finite",
        ),
        (
            {"env__wrappers": [{"my.Wrapper": {"limit": inf}}]},
            r"env.wrappers\[0\].my.Wrapper.limit=inf is not usable",
        ),
        ({"evaluation__count": 1}, "evaluation.count=1 is too small; use 2 or more"),
        ({"evaluation__episodes": 0}, r"evaluation.episodes=0 is too small; use 1 or more$"),
        ({"algo__n_envs": 0}, r"algo.n_envs=0 is too small"),
        ({"algo__batch_size": 0}, r"algo.batch_size=0 is too small"),
        (
            {"env__return_floor": 30.0},
            "env.return_floor=30 and env.return_low=22.2 must satisfy return_floor <= return_low: nothing is worse",
        ),
        (
            {"env__return_high": 22.2},
            "env.return_low=22.2 and env.return_high=22.2 must satisfy return_low < return_h",
        ),
        ({"env__floor": 23.0}, "env.floor=23 and env.return_low=22.2 must satisfy floor <= return_low"),
        ({"env__ceiling": 499.0}, "env.return_high=500 and env.ceiling=499 must satisfy return_high <= ceiling"),
        (
            {"env__return_high": 400.0, "env__ceiling": 450.0},
            "env.threshold=475 and env.ceiling=450 must satisfy threshold <= ceiling: no run would ever be scored",
        ),
        ({"env__ceiling": nan}, "env.ceiling=nan is not usable; use a finite number"),
        ({"env__return_low": nan}, "env.return_low=nan is not usable; use a finite number"),
        (
            {"study__order": "pooled_first", "study__control": {"warmup.name": "none"}}
            | {"study__looks": {"every": 20, "most": 100, "spending": "pocock"}},
            "study.looks has no pooled question, which study.order=pooled_first asks first; use study.order=holm",
        ),
        ({"study__order": "each"}, r"study.order=each is not known; use one of: pooled_first, holm"),
        ({"study__smallest_effect": 0.0}, r"study.smallest_effect=0.0 is not usable; use a finite number above 0"),
        ({"algo__optimizer__beta1": 1.0}, "algo.optimizer.beta1=1.0 is not usable; use a value from 0 to below 1"),
        (
            {"algo__optimizer__beta2": -0.1},
            "algo.optimizer.beta2=-0.1 is not usable; use a value from 0 to below 1",
        ),
        ({"algo__optimizer__eps": 0.0}, r"algo.optimizer.eps=0.0 is not usable"),
        ({"algo__optimizer__eps": None}, r"algo.optimizer.eps is not set; give algo.optimizer.eps="),
        ({"algo__optimizer__name": "lion"}, r"algo.optimizer.name=lion is not known; use one of: adam, adamw, "),
        (
            {"algo__optimizer__weight_decay": -0.1},
            "algo.optimizer.weight_decay=-0.1 is not usable; use a finite nu",
        ),
        ({"algo__optimizer__weight_decay": inf}, "algo.optimizer.weight_decay=inf is not usable"),
        (
            {"algo__optimizer__name": "sgd"},
            "algo.optimizer.beta2=0.999 has no meaning for sgd, which keeps no second moments; use optimizer=sgd",
        ),
        (
            {"algo__optimizer__name": "sgd", "algo__optimizer__beta2": None},
            r"algo.optimizer.eps=1e-05 has no meaning for sgd.*without it \(algo.optimizer.eps=null\)",
        ),
        (
            {"algo__optimizer__name": "radam", "algo__optimizer__beta2": 0.66},
            "algo.optimizer.beta2=0.66 is too small for radam.*use a value above 2/3",
        ),
        ({"algo__max_grad_norm": inf}, r"algo.max_grad_norm=inf is not usable"),
        ({"algo__gamma": 1.01}, "algo.gamma=1.01 is not a share; use a value from 0 to 1"),
        ({"algo__n_steps": 0}, r"algo.n_steps=0 is too small; use 1 or more"),
        ({"algo__n_epochs": 0}, r"algo.n_epochs=0 is too small; use 1 or more"),
        ({"algo__n_steps": 1, "algo__n_envs": 1}, "algo.n_steps=1: PPO normalises advantages and needs 2"),
        ({"algo__clip_range": 0.0}, r"algo.clip_range=0.0 is not usable"),
        (
            {"algo__clip_range_schedule": "cosine"},
            "algo.clip_range_schedule=cosine is not known; use one of: constant, linear",
        ),
        ({"trainer__name": "jax"}, "trainer.name=jax is not known; use one of: sb3"),
        ({"algo__name": "sac"}, "algo.name=sac is not known; use one of: ppo, dqn"),
        ({"algo__activation": "gelu"}, "algo.activation=gelu is not known; use one of: tanh, relu"),
        ({"algo__log_std_init": nan}, "algo.log_std_init=nan is not usable; use a finite number"),
        (
            {"algo__use_sde": True, "algo__sde_sample_freq": 0},
            "algo.sde_sample_freq=0 draws no noise; use 1 or more",
        ),
        ({"algo__sde_sample_freq": 4}, "algo.sde_sample_freq=4 has no meaning without algo.use_sde=true"),
        ({"algo__batch_size": 1}, "algo.batch_size=1: PPO normalises advantages and needs 2"),
        ({"algo__gae_lambda": nan}, "algo.gae_lambda=nan is not a share"),
        (
            {"schedule__target_kl": 0.02},
            "schedule.target_kl=0.02 has no meaning for schedule=constant; use schedule=kl_",
        ),
        (
            {
                "schedule__name": "kl_adaptive",
                "schedule__target_kl": 0.01,
                "algo__optimizer__name": "adam_rel_mean",
            },
            "optimizer=adam_rel_mean lowers a planned rate, and schedule=kl_adaptive cannot be planned",
        ),
        ({"schedule__name": "kl_adaptive"}, "schedule.target_kl is not set; give schedule.target_kl="),
        ({"schedule__name": "kl_adaptive", "schedule__target_kl": 0.0}, "schedule.target_kl=0.0 is not usable"),
        ({"algo__target_kl": 0.0}, "algo.target_kl=0.0 is not usable; use a finite number above 0"),
        ({"algo__ent_coef": inf}, "algo.ent_coef=inf is not usable"),
        (
            {"algo__net_arch": [], "algo__layer_norm": True, "algo__extractor": "nature_cnn"},
            r"algo.layer_norm=true is for .* algo.net_arch=\[\] has none behind algo.extractor=nature_cnn",
        ),
        (
            {"algo__prefill": 9},
            "algo.prefill=9 fills .* algo.normalize=false has none; use algo.normalize=true, or",
        ),
        ({"algo__prefill": -1}, "algo.prefill=-1 is too small; use 0 or more"),
        ({"algo__net_arch": [64, 0]}, r"algo.net_arch=\[64, 0\] has an empty layer"),
        ({"env__threshold": nan}, "env.threshold=nan is not usable"),
        ({"env__return_high": inf}, "env.return_high=inf is not usable"),
        ({"study__name": "../elsewhere"}, "study.name=../elsewhere is not the name of a folder"),
        ({"tuned_learning_rate": 0.0, "learning_rate": 1.0}, "tuned_learning_rate=0.0 is not usable"),
    ],
    ids=lambda value: " ".join(f"{key}={one}" for key, one in value.items()) if isinstance(value, dict) else "",
)
def test_values_of_ppo_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_values(unresolved(**values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"algo__train_freq": 0}, r"algo.train_freq=0 is too small; use 1 or more"),
        ({"algo__buffer_size": 0}, r"algo.buffer_size=0 is too small"),
        ({"algo__target_update_interval": 0}, r"algo.target_update_interval=0 is too small"),
        ({"algo__gradient_steps": 0}, r"algo.gradient_steps=0 trains nothing; use 1 or more, or -1"),
        ({"algo__gradient_steps": -2}, r"algo.gradient_steps=-2 trains nothing"),
        ({"algo__prefill": 9}, "algo.prefill=9 fills"),
        (
            {"schedule__name": "kl_adaptive", "schedule__target_kl": 0.01},
            "schedule=kl_adaptive follows the KL of PPO's updates, and dqn has none",
        ),
        ({"algo__loss": "l1"}, "algo.loss=l1 is not known; use one of: huber, mse"),
        (
            {"algo__net_arch": [], "algo__layer_norm": True},
            r"algo.net_arch=\[\] has none behind algo.extractor=flat",
        ),
    ],
    ids=lambda value: " ".join(f"{key}={one}" for key, one in value.items()) if isinstance(value, dict) else "",
)
def test_values_of_dqn_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_values(unresolved("algo=dqn", **values))


def test_what_could_never_be_tested_is_refused() -> None:
    def declared_with(*terms: tuple[float, str, Any]) -> RunConfig:
        arms = [{"weight": weight, "where": {key: value}} for weight, key, value in terms]
        return unresolved(study__contrasts=[{"name": "a", "arms": arms}])

    control = (-1, "warmup.name", "none")
    with pytest.raises(ConfigError, match=r"study.contrasts: the weights of the contrast 'a' sum to 0\.5"):
        check_values(declared_with((1.5, "warmup.name", "linear"), control))
    with pytest.raises(ConfigError, match=r"looks for warmup\.nme, and there is no such setting"):
        check_values(declared_with((1, "warmup.nme", "linear"), control))
    with pytest.raises(ConfigError, match=r"'a' looks for seed, and it does not distinguish arms"):
        check_values(declared_with((1, "warmup.name", "linear"), (-1, "seed", 3)))  # every arm is looked at
    check_values(declared_with((1, "algo.train_freq", 4), control))  # of another algorithm's runs


# Worked out by hand: what is the same in all runs of a sweep, what an arm has several of, what repeats another.
NOT_OF_AN_ARM = ["runs_dir", "tracking.name", "checkpoint.seconds", "study.name", "threads", "seed"]
NOT_OF_AN_ARM += ["tuned_learning_rate", "learning_rate_scale", "retries", "plan_only", "keep"]


@pytest.mark.parametrize("key", NOT_OF_AN_ARM)
def test_what_does_not_distinguish_arms_finds_none(key: str) -> None:
    for values in ({"study__control": {key: 1}}, {"study__comparisons": [{key: 1}]}):
        with pytest.raises(ConfigError, match=f"looks for {key}, and it does not distinguish arms"):
            check_values(unresolved(**values))


@pytest.mark.parametrize("key", ["warmup.name", "learning_rate", "total_timesteps", "device", "env.id", "algo.own"])
def test_what_distinguishes_arms_finds_them(key: str) -> None:
    check_values(unresolved(study__control={key: 1}, study__comparisons=[{key: 2}]))


@pytest.mark.parametrize(("name", "other"), [("ppo", "dqn"), ("dqn", "ppo")])
def test_an_algorithm_with_the_settings_of_another_is_refused(name: str, other: str) -> None:
    with pytest.raises(ConfigError, match=f"algo.name={other} has the settings of another; use algo={other}"):
        check_values(unresolved(f"algo={name}", algo__name=other))


def test_a_bound_is_met_at_it_and_not_below() -> None:
    assert check("threads", 1, least(1)) == 1
    with pytest.raises(ConfigError, match=r"^threads=0 is too small; use 1 or more$"):
        check("threads", 0, least(1))


def test_what_is_required_may_be_zero_but_not_left_out() -> None:
    assert require(0, "seed") == 0
    with pytest.raises(ConfigError, match=r"^seed is not set; give seed=$"):
        require(None, "seed")
