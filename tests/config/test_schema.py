"""How settings are declared, what is declared of those of a run, and defaults, which are those of the agents."""

import inspect
import math
from dataclasses import dataclass, fields
from typing import Any

import pytest
from stable_baselines3 import DQN, PPO

from rl_warmup.config.schema import DQNConfig, InitConfig, OptimizerConfig, PPOConfig, RunConfig, WarmupConfig
from rl_warmup.config.settings import (
    BELOW_ONE,
    FINITE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Bound,
    Setting,
    declared,
    least,
    leaves,
    one_of,
    setting,
)

# ---- bounds ----

nan, inf, tiny = math.nan, math.inf, 5e-324


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (least(2), [2, 3], [1, 1.999, -5]),
        (one_of("a", "b"), ["a", "b"], ["c", "A", ""]),
        (FINITE, [0, -1e300, 1e300], [nan, inf, -inf]),
        (POSITIVE, [tiny, 1, 1e300], [0, -tiny, nan, inf]),
        (NOT_NEGATIVE, [0, tiny, 1e300], [-tiny, nan, inf]),
        (SHARE, [0, 0.5, 1], [-tiny, 1.0000001, nan, inf]),
        (BELOW_ONE, [0, 0.9999999], [1, -tiny, nan, inf]),
    ],
    ids=["least", "one_of", "FINITE", "POSITIVE", "NOT_NEGATIVE", "SHARE", "BELOW_ONE"],
)
def test_bounds_at_their_ends(bound: Bound, inside: list[Any], outside: list[Any]) -> None:
    assert [value for value in inside if not bound.holds(value)] == []
    assert [value for value in outside if bound.holds(value)] == []


def test_bounds_name_what_may_be_used() -> None:
    assert least(2).refusal == "is too small; use 2 or more"
    assert one_of("a", "b").refusal == "is not known; use one of: a, b"


# ---- declarations ----


@dataclass
class Inner:
    size: int = setting(3, least(1), per_member=True)


@dataclass
class Outer:
    widths: list[int] = setting(lambda: [1, 2])
    inner: Inner = setting(Inner, identity="never", sweepable=False)
    plain: str = "word"


def test_a_callable_default_is_made_anew_for_each_config() -> None:
    one, other = Outer(), Outer()
    assert one == other
    assert one.widths is not other.widths
    assert one.inner is not other.inner


def test_declared_are_the_settings_in_their_order() -> None:
    (widths, inner, plain) = declared(Outer)
    assert (widths[0], widths[2]) == ("widths", Setting())
    assert (inner[0], inner[2]) == ("inner", Setting(identity="never", sweepable=False))
    assert plain == ("plain", "word", Setting())
    ((name, default, how),) = declared(Inner)
    assert (name, default, how.per_member) == ("size", 3, True)
    assert how.bound is not None
    assert not how.bound.holds(0)


def test_leaves_are_the_values_of_a_config_and_its_groups_by_dotted_keys() -> None:
    found = [(key, value) for key, value, _ in leaves(Outer(inner=Inner(size=7)))]
    assert found == [("widths", [1, 2]), ("inner.size", 7), ("plain", "word")]


# ---- what is declared of the settings of a run ----

# Lists from before settings were declared in the schema: the settings that were left out of every run's identity,
# that members of a stack could differ in, and that had to be the same in a whole sweep. `checkpoint` and `keep` are
# newer.
NEVER = ["runs_dir", "tracking", "study", "threads", "tuned_learning_rate", "learning_rate_scale", "retries"]
NEVER += ["plan_only", "checkpoint", "keep", "keep_replay"]
SWEPT_NEVER = ["runs_dir", "study", "tracking", "retries", "plan_only", "threads", "checkpoint", "keep"]
SWEPT_NEVER += ["keep_replay"]
PER_MEMBER = ["seed", "learning_rate", "schedule"]
PER_MEMBER_OF = {
    PPOConfig: ["clip_range", "clip_range_schedule", "max_grad_norm", "gamma", "ent_coef", "vf_coef"],
    DQNConfig: ["max_grad_norm", "gamma"],
    OptimizerConfig: ["beta1", "beta2", "eps", "weight_decay"],
    InitConfig: ["optimizer"],
    WarmupConfig: ["shape", "length", "clock", "start", "power", "target", "control", "repeat", "of"],
}


NETWORK = ("extractor", "activation", "layer_norm", "prefill")


def names(kind: type, **wanted: Any) -> set[str]:
    return {
        name for name, _, how in declared(kind) if all(getattr(how, key) == value for key, value in wanted.items())
    }


def test_settings_that_are_not_of_the_identity() -> None:
    assert names(RunConfig, identity="never") == set(NEVER)
    assert names(RunConfig, identity="changed") == {"init", "diagnostics"}


@pytest.mark.parametrize(
    ("group", "never", "changed"),
    [
        (
            "warmup",
            {"name", "match"},
            {"length", "clock", "start", "power", "target", "control", "repeat", "on", "of"},
        ),
        ("trainer", {"compile"}, {"envs"}),
        ("schedule", set(), {"target", "target_kl"}),
        ("env", {"floor", "ceiling"}, {"module", "kwargs", "wrappers", "training_wrappers", "envpool", "physics"}),
        ("init", {"run", "physics", "source_only"}, set()),
        ("ppo", set(), {*NETWORK, "target_kl", "ortho_init", "log_std_init", "use_sde", "sde_sample_freq"}),
        ("dqn", set(), {*NETWORK, "loss"}),
        ("evaluation", {"max_steps"}, set()),
        ("optimizer", set(), {"name", "weight_decay"}),
    ],
)
def test_settings_of_a_group_that_are_not_always_of_the_identity(
    group: str, never: set[str], changed: set[str]
) -> None:
    kind = {"ppo": PPOConfig, "dqn": DQNConfig, "optimizer": OptimizerConfig}.get(group)
    kind = kind or type(getattr(RunConfig(), group))
    assert names(kind, identity="never") == never
    assert names(kind, identity="changed") == changed


def test_settings_that_members_of_a_stack_may_differ_in() -> None:
    assert names(RunConfig, per_member=True) == set(PER_MEMBER)
    for kind, expected in PER_MEMBER_OF.items():
        assert names(kind, per_member=True) == set(expected)


def test_settings_that_runs_of_a_sweep_may_not_differ_in() -> None:
    assert names(RunConfig, sweepable=False) == set(SWEPT_NEVER)
    for one in fields(RunConfig):  # only whole groups and settings beside them are looked at by a sweep
        value = getattr(RunConfig(), one.name)
        assert not hasattr(value, "__dataclass_fields__") or names(type(value), sweepable=False) == set()


# Settings with a bound, by the former lists of choices, minima, shares and positive numbers; the learning rate
# and the warmup have checks of their own, which depend on the run. `checkpoint` came later.
BOUND = {
    *("study.name", "study.smallest_effect", "tuned_learning_rate", "seed", "diagnostics"),
    *(
        "runs_dir",
        "tracking.name",
        "tracking.mode",
        "tracking.project",
        "tracking.entity",
        "trainer.name",
        "trainer.envs",
        "checkpoint.seconds",
    ),
    *(
        "total_timesteps",
        "threads",
        "keep",
        "retries",
        "evaluation.count",
        "evaluation.episodes",
        "evaluation.max_steps",
    ),
    *("env.wrappers", "env.training_wrappers", "env.envpool", "warmup.control", "warmup.repeat"),
    *("warmup.on", "warmup.of", "study.order"),
    *("env.return_floor", "env.return_low", "env.return_high", "env.threshold", "env.reward_max"),
    *("env.floor", "env.ceiling", "algo.activation"),
    *("algo.extractor", "algo.n_envs", "algo.batch_size", "algo.net_arch", "algo.gamma", "algo.max_grad_norm"),
    *("algo.prefill", "schedule.target_kl"),
    *("init.timesteps", "init.learning_rate", "init.envs", "init.optimizer", "init.replay", "init.critic_only"),
    *("algo.optimizer.name", "algo.optimizer.weight_decay"),
    *("algo.optimizer.beta1", "algo.optimizer.beta2", "algo.optimizer.eps"),
}
BOUND_OF = {
    PPOConfig: {
        *("algo.clip_range_schedule", "algo.n_steps", "algo.n_epochs", "algo.gae_lambda", "algo.clip_range"),
        *("algo.ent_coef", "algo.vf_coef", "algo.log_std_init", "algo.sde_sample_freq"),
        "algo.target_kl",
    },
    DQNConfig: {
        *("algo.train_freq", "algo.buffer_size", "algo.learning_starts", "algo.target_update_interval"),
        *("algo.exploration_fraction", "algo.exploration_initial_eps", "algo.exploration_final_eps"),
        *("algo.gradient_steps", "algo.loss"),
    },
}


@pytest.mark.parametrize("kind", BOUND_OF)
def test_settings_with_a_bound_and_defaults_within_it(kind: type) -> None:
    settings = [(key, value, how.bound) for key, value, how in leaves(RunConfig(algo=kind())) if how.bound]
    assert {key for key, _, _ in settings} == BOUND | BOUND_OF[kind]
    given = [(key, value, bound) for key, value, bound in settings if value not in (None, "???")]
    assert [key for key, value, bound in given if not bound.holds(value)] == []


def test_leaves_of_a_run_reach_the_innermost_group() -> None:
    found = {key: value for key, value, _ in leaves(RunConfig(algo=PPOConfig(optimizer=OptimizerConfig(eps=0.5))))}
    assert found["algo.optimizer.eps"] == 0.5
    assert not [key for key in found if key in ("algo", "algo.optimizer", "warmup")]


# ---- defaults ----


@pytest.mark.parametrize(("schema", "model"), [(PPOConfig, PPO), (DQNConfig, DQN)])
def test_schema_defaults_are_those_of_stable_baselines3(schema: type, model: type) -> None:
    theirs = {name: parameter.default for name, parameter in inspect.signature(model).parameters.items()}
    ours = {field.name: getattr(schema(), field.name) for field in fields(schema)}
    shared = ours.keys() & theirs.keys()
    assert len(shared) >= 8
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_adam_is_what_stable_baselines3_makes_of_it() -> None:
    ppo, dqn = PPOConfig().optimizer, DQNConfig().optimizer
    assert {(one.name, one.weight_decay) for one in (ppo, dqn)} == {("adam", 0.0)}
    assert (ppo.beta1, ppo.beta2, ppo.eps) == (0.9, 0.999, 1e-5)
    assert (dqn.beta1, dqn.beta2, dqn.eps) == (0.9, 0.999, 1e-8)
