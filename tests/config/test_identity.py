"""What a run is called: golden names, and what does and does not change them."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.composing import unresolved
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.config.identity import arm_of, cell_label, digest, file_name, identity, run_id
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError

# What changes nothing in a run, or repeats what another field says; written down here a second time on purpose.
IGNORED = {
    "runs_dir",
    "threads",
    "tuned_learning_rate",
    "learning_rate_scale",
    "warmup.match",
    "warmup.name",
    "trainer.compile",
}
IGNORED |= {"keep", "keep_replay", "retries", "plan_only", "evaluation.max_steps", "env.floor", "env.ceiling"}
IGNORED_GROUPS = {"checkpoint", "tracking", "study"}


def config(*overrides: str, **values: Any) -> RunConfig:
    return resolve(unresolved(*overrides, **values))


def leaves(node: Any, prefix: str = "") -> Iterator[str]:
    for name, value in vars(node).items():
        if hasattr(value, "__dataclass_fields__"):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def other(value: Any) -> Any:
    """Some value of the same kind that is not `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [*value, 7]
    return "other" if value is None else f"{value}x"


def with_other(run: RunConfig, path: str) -> RunConfig:
    changed = copy.deepcopy(run)
    *groups, name = path.split(".")
    owner: Any = changed
    for group in groups:
        owner = getattr(owner, group)
    setattr(owner, name, other(getattr(owner, name)))
    return changed


# Frozen: these change only if every result recorded so far is to become another run. Say so in CHANGELOG.md.
GOLDEN = {
    (): "cartpole-ppo-linear-10pct-gradient_steps-lr0.001-constant-s0-bfb57c73df",
    ("algo=dqn", "warmup=none", "seed=3"): "cartpole-dqn-none-lr0.0023-constant-s3-9a93414e5d",
    (
        "env=acrobot",
        "warmup=polynomial",
        "warmup.clock=env_steps",
    ): "acrobot-ppo-polynomial-10pct-env_steps-lr0.0003-constant-s0-031c182520",
    ("trainer=stacked",): "cartpole-ppo-linear-10pct-gradient_steps-lr0.001-constant-s0-fd8cb4cf8b",
}


@pytest.mark.parametrize("overrides", GOLDEN)
def test_golden_ids(overrides: tuple[str, ...]) -> None:
    assert run_id(config(*overrides)) == GOLDEN[overrides]


def test_a_name_of_255_bytes_is_the_longest() -> None:
    spare = 255 - len(run_id(config("env.name=e")))
    longest = "e" * (spare - 1) + "ü"  # two bytes in place of one
    assert len(run_id(config(env__name=longest)).encode()) == 255
    with pytest.raises(ConfigError, match="longer than the 255 bytes of a file's name; use a shorter env"):
        run_id(config(env__name=f"{longest}e"))


def test_digest_is_sha256_of_the_canonical_json() -> None:
    # printf '{"a":1,"b":[0.5]}' | sha256sum
    assert digest({"b": [0.5], "a": 1}) == digest({"a": 1, "b": [0.5]}) == "bdad23344c"


@pytest.mark.parametrize(
    "overrides", [(), ("algo=dqn",), ("warmup=polynomial", "warmup.power=3"), ("trainer=stacked",)]
)
def test_every_field_changes_the_id_or_is_known_not_to(overrides: tuple[str, ...]) -> None:
    run = config(*overrides)
    same = {path for path in leaves(run) if digest(identity(with_other(run, path))) == digest(identity(run))}
    ignored = IGNORED | {path for path in leaves(run) if path.partition(".")[0] in IGNORED_GROUPS}
    assert same == ignored


def test_identity_is_plain_json_that_survives_the_file() -> None:
    canonical = identity(config("algo=dqn", "warmup=cosine"))
    assert json.loads(json.dumps(canonical)) == canonical


def test_settings_that_came_later_leave_the_ids_of_earlier_runs_alone() -> None:
    canonical = identity(config())
    assert canonical["trainer"] == {"name": "sb3"}
    assert canonical["algo"]["optimizer"] == {"beta1": 0.9, "beta2": 0.999, "eps": 1e-5}
    assert identity(config("optimizer=adam", "algo.optimizer.weight_decay=0.0")) == canonical
    assert identity(config("optimizer=sgd"))["algo"]["optimizer"] == {
        **{"name": "sgd", "beta1": 0.0, "beta2": None, "eps": None}
    }
    later = {"extractor", "activation", "ortho_init", "log_std_init", "use_sde", "sde_sample_freq"}
    assert not later & canonical["algo"].keys()
    assert not later & identity(config("algo=dqn"))["algo"].keys()
    assert identity(config("algo.extractor=small_cnn"))["algo"]["extractor"] == "small_cnn"
    assert run_id(config("trainer.envs=gymnasium", "trainer.compile=false")) == run_id(config())


def test_a_stacked_run_is_another_one_and_so_are_its_environments() -> None:
    assert identity(config("trainer=stacked"))["trainer"] == {"name": "stacked", "envs": "envpool"}
    assert identity(config("trainer.name=stacked")) == identity(config("trainer=stacked"))
    names = {
        run_id(config(*own)) for own in ((), ("trainer=stacked",), ("trainer=stacked", "trainer.envs=gymnasium"))
    }
    assert len(names) == 3
    assert run_id(config("trainer=stacked", "trainer.compile=false")) == run_id(config("trainer=stacked"))


def test_fields_a_shape_ignores_are_dropped() -> None:
    assert identity(config("warmup=none", warmup__length=0.5))["warmup"] == {"shape": "none"}
    assert identity(config("warmup=radam"))["warmup"] == {"shape": "radam", "clock": "gradient_steps"}
    assert identity(config(warmup__power=3.0)) == identity(config())
    assert run_id(config("warmup=none", warmup__length=0.5)) == run_id(config("warmup=none"))


def test_equal_settings_said_in_other_words_are_one_run() -> None:
    golden = run_id(config())
    assert run_id(config("warmup.length=782")) == golden
    assert run_id(config("learning_rate=0.001")) == run_id(config("learning_rate_scale=1")) == golden
    assert run_id(config("warmup=cosine", "warmup.shape=linear")) == golden
    assert run_id(config(warmup__start=None)) == golden
    assert run_id(config("runs_dir=elsewhere", "study.name=s", "threads=2", "tracking=disabled")) == golden


def test_arms_differ() -> None:
    variants = ["seed=1", "warmup.length=0.2", "warmup.clock=env_steps", "warmup.start=0.3", "schedule=linear"]
    variants += [
        "warmup=none",
        "warmup=sqrt",
        "algo=dqn",
        "env=acrobot",
        "total_timesteps=90000",
        "learning_rate=1",
    ]
    names = {run_id(config(variant)) for variant in variants} | {run_id(config())}
    assert len(names) == len(variants) + 1


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        ((), "linear-10%-gradient_steps lr=0.001 constant"),
        (("warmup=none", "schedule=cosine"), "none lr=0.001 cosine"),
        (("warmup.length=0.05", "learning_rate_scale=16"), "linear-5%-gradient_steps lr=0.016 constant"),
        (("warmup.clock=env_steps", "warmup.length=2500"), "linear-2.5%-env_steps lr=0.001 constant"),
        (("warmup.length=3",), "linear-0.04%-gradient_steps lr=0.001 constant"),
        (("warmup=exponential", "warmup.start=0.01"), "exponential-10%-gradient_steps lr=0.001 constant"),
        (("warmup=exponential", "warmup.start=0.1"), "exponential-10%-gradient_steps-start0.1 lr=0.001 constant"),
        (("warmup=constant", "warmup.start=0"), "constant-10%-gradient_steps-start0 lr=0.001 constant"),
        (("warmup=polynomial",), "polynomial-10%-gradient_steps lr=0.001 constant"),
        (("warmup=polynomial", "warmup.power=3"), "polynomial-power3-10%-gradient_steps lr=0.001 constant"),
        (("warmup=untuned_linear",), "untuned_linear lr=0.001 constant"),
        (("warmup=radam",), "radam lr=0.001 constant"),
        (("warmup.name=slow",), "slow-linear-10%-gradient_steps lr=0.001 constant"),
        (("learning_rate=0.000123456",), "linear-10%-gradient_steps lr=0.0001235 constant"),
    ],
)
def test_labels(overrides: tuple[str, ...], label: str) -> None:
    assert arm_of(config(*overrides)).label == label


def test_cell_label_adds_environment_and_algorithm() -> None:
    run = config("algo=dqn", "env=acrobot")
    assert cell_label(run) == f"acrobot dqn {arm_of(run).label}"


@given(count=st.integers(2, 7820))
def test_length_in_a_label_gives_back_the_count(count: int) -> None:
    length, _ = arm_of(config(warmup__length=float(count))).over
    meant = float(length[:-1]) / 100 * 7820 if length.endswith("%") else float(length)
    assert round(meant) == count


@given(
    rate=st.floats(1e-12, 1e3),
    seed=st.integers(0, 2**32 - 1),
    name=st.text(min_size=1, max_size=20),
    start=st.floats(0, 0.99),
)
def test_run_id_is_a_safe_file_name(rate: float, seed: int, name: str, start: float) -> None:
    run = config(learning_rate=rate, seed=seed, warmup__name=name, warmup__start=start)
    assert re.fullmatch(r"cartpole-ppo-[\w.-]+-s\d+-[0-9a-f]{10}", run_id(run))
    assert len(run_id(run)) < 200


@given(st.text())
def test_file_name_has_no_separators_and_is_a_fixed_point(label: str) -> None:
    name = file_name(label)
    assert not re.search(r"[\s/\\:%=*?\"<>|]", name)
    assert file_name(name) == name
