"""Which runs share a stack, and how many: decided by configs alone."""

import copy
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from helpers.composing import unresolved
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.run.launch import packing as stacks
from rl_warmup.run.launch.memory import member_bytes
from rl_warmup.run.launch.packing import check_counts, default_width, plan_stacks, stack_key
from rl_warmup.trainers.stacked.sizes import CHUNK


def config(*overrides: str, **values: Any) -> RunConfig:
    return resolve(unresolved("trainer=stacked", "trainer.envs=gymnasium", *overrides, **values))


# ---- what may vary within a stack ----


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize(
    "own",
    [
        ["seed=7"],
        ["learning_rate=0.5"],
        ["learning_rate_scale=16"],
        *(
            ["warmup=none"],
            ["warmup=radam"],
            ["warmup.length=0.4"],
            ["warmup.clock=env_steps"],
            ["warmup.start=0.3"],
        ),
        *(["schedule=linear"], ["schedule=inverse_sqrt"]),
        *(["algo.optimizer.beta1=0.5"], ["algo.optimizer.beta2=0.9"], ["algo.optimizer.eps=0.1"]),
        *(["algo.optimizer.weight_decay=0.1"], ["optimizer=adam"]),
        *(["algo.max_grad_norm=3"], ["algo.max_grad_norm=null"], ["algo.gamma=0.3"]),
        *(["runs_dir=elsewhere"], ["study.name=other"], ["tracking=disabled"]),
    ],
    ids="-".join,
)
def test_members_may_differ_in(own: list[str], algo: str) -> None:
    assert stack_key(config(f"algo={algo}", *own)) == stack_key(config(f"algo={algo}"))


@pytest.mark.parametrize("own", ["clip_range=0.7", "clip_range_schedule=constant", "ent_coef=0.1", "vf_coef=0.1"])
def test_members_of_ppo_may_differ_in(own: str) -> None:
    assert stack_key(config(f"algo.{own}")) == stack_key(config())


PER_MEMBER = {"seed", "learning_rate", "algo.clip_range", "algo.clip_range_schedule", "algo.max_grad_norm"} | {
    *("algo.gamma", "algo.ent_coef", "algo.vf_coef", "evaluation.max_steps", "env.floor", "env.ceiling", "keep"),
    *("runs_dir", "checkpoint.seconds", "tuned_learning_rate", "learning_rate_scale", "retries", "plan_only"),
    "keep_replay",
}
PER_MEMBER |= {f"algo.optimizer.{name}" for name in ("beta1", "beta2", "eps", "weight_decay")}
PER_MEMBER_GROUPS = ("warmup.", "schedule.", "tracking.", "study.")


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_every_other_setting_makes_another_stack(algo: str) -> None:
    run = config(f"algo={algo}")
    same = {path for path in _leaves(run) if stack_key(_with_other(run, path)) == stack_key(run)}
    expected = {path for path in _leaves(run) if path in PER_MEMBER or path.startswith(PER_MEMBER_GROUPS)}
    expected -= {"warmup.on"}
    assert same == expected


def test_a_key_needs_no_torch_and_does_not_change_the_config() -> None:
    run = config()
    before = copy.deepcopy(run)
    stack_key(run)
    assert run == before


# ---- the plan ----

RUNS = [config(*group, seed=seed) for group in ((), ("algo=dqn",), ("env=acrobot",)) for seed in range(40)]
SIZES = st.lists(st.sampled_from(range(len(RUNS))), min_size=1, unique=True)
COUNTS = {"workers": st.integers(1, 9), "width": st.integers(1, 50)}


@given(chosen=SIZES, **COUNTS)
def test_every_run_is_in_one_stack_with_its_like(chosen: list[int], workers: int, width: int) -> None:
    runs = [RUNS[i] for i in chosen]
    plan = plan_stacks(runs, workers, lambda _: width)
    members = [member for stack in plan for member in stack]
    assert sorted(map(id, members)) == sorted(map(id, runs))
    assert all(len({stack_key(member) for member in stack}) == 1 for stack in plan)
    assert all(1 <= len(stack) <= width for stack in plan)


def test_runs_that_go_on_from_different_steps_are_not_in_one_stack() -> None:
    plan = plan_stacks(RUNS[:9], 1, lambda _: 8, lambda run: (64 * (run.seed % 3), 0))
    assert [[run.seed for run in stack] for stack in plan] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


@given(chosen=SIZES, **COUNTS)
def test_a_plan_depends_on_its_arguments_only_and_keeps_their_order(
    chosen: list[int], workers: int, width: int
) -> None:
    runs = [RUNS[i] for i in chosen]
    plan = plan_stacks(runs, workers, lambda _: width)
    assert plan == plan_stacks(copy.deepcopy(runs), workers, lambda _: width)
    for key in {stack_key(run) for run in runs}:
        members = [member for stack in plan for member in stack if stack_key(member) == key]
        assert members == [run for run in runs if stack_key(run) == key]


@given(count=st.integers(1, 40), **COUNTS)
def test_stacks_of_a_group_are_balanced(count: int, workers: int, width: int) -> None:
    plan = plan_stacks(RUNS[:count], workers, lambda _: width)
    unit = min(CHUNK, width)
    chunks = [ceil(len(stack) / unit) for stack in plan]
    assert max(chunks) - min(chunks) <= 1
    assert all(len(stack) % unit == 0 for stack in plan[:-1])  # only the last is filled up
    # Every worker is busy in every round, unless there is no chunk left to give it.
    assert len(plan) % workers == 0 or len(plan) == ceil(count / unit)
    # No more processes than that takes.
    rounds = ceil(len(plan) / workers)
    assert rounds == 1 or (rounds - 1) * workers * (width // unit) < ceil(count / unit)


@pytest.mark.parametrize(
    ("count", "workers", "width", "sizes"),
    [
        (40, 1, 64, [40]),
        (40, 2, 64, [20, 20]),
        (40, 2, 8, [8, 4, 8, 8, 4, 8]),
        (40, 16, 64, [4] * 10),
        (7, 2, 64, [4, 3]),
        (3, 2, 64, [3]),
        (3, 2, 1, [1, 1, 1]),
        (10, 1, 6, [4, 4, 2]),
    ],
)
def test_plans_worked_out_by_hand(count: int, workers: int, width: int, sizes: list[int]) -> None:
    plan = plan_stacks(RUNS[:count], workers, lambda _: width)
    assert sorted(map(len, plan)) == sorted(sizes)


def test_groups_come_in_the_order_of_the_sweep_and_have_a_width_each() -> None:
    runs = [RUNS[40], RUNS[0], RUNS[41], RUNS[1]]
    plan = plan_stacks(runs, 1, lambda run: 1 if run.algo.name == "dqn" else 8)
    assert plan == [(RUNS[40],), (RUNS[41],), (RUNS[0], RUNS[1])]


# ---- what is chosen where nothing is asked for ----


def test_a_width_is_limited_by_what_is_worth_it_and_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    run = config()
    monkeypatch.setattr(stacks, "memory_bytes", lambda device: 10**15)
    assert default_width(run, 2) == 64
    assert default_width(replace(run, device="cuda:0"), 1) == 4096
    monkeypatch.setattr(stacks, "memory_bytes", lambda device: int(2 * 3 * member_bytes(run) * 22.5))
    assert default_width(run, 3) == 20  # 22 fit, in fours 20
    assert default_width(run, 30) == default_width(run, 300) == 4  # of fewer, copies fill a stack up to four


def test_memory_is_what_the_experience_takes() -> None:
    dqn = ["algo=dqn", "env=acrobot", "algo.buffer_size=1_000_000", "total_timesteps=1_000_000"]
    few = member_bytes(config(*dqn, "algo.buffer_size=500_000"))
    many = member_bytes(config(*dqn))
    assert many - few == 500_000 * (6 + 6 + 3) * 4
    assert member_bytes(config(*dqn, "total_timesteps=500_000")) == few  # no more than the run fills
    assert 128 * member_bytes(config()) < 2**31


# ---- refusals ----


@pytest.mark.parametrize(("workers", "width", "setting"), [(0, None, "workers=0"), (None, -3, "width=-3")])
def test_impossible_counts_are_refused(workers: int | None, width: int | None, setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"hydra.launcher.{setting} is too small; use 1 or more"):
        check_counts(workers, width)


def test_counts_may_be_left_to_us() -> None:
    check_counts(None, None)
    check_counts(1, 1)


def _leaves(node: Any, prefix: str = "") -> list[str]:
    if not hasattr(node, "__dataclass_fields__"):
        return [prefix[:-1]]
    return [path for name, value in vars(node).items() for path in _leaves(value, f"{prefix}{name}.")]


def _with_other(run: RunConfig, path: str) -> RunConfig:
    changed = copy.deepcopy(run)
    *groups, name = path.split(".")
    owner: Any = changed
    for group in groups:
        owner = getattr(owner, group)
    value = getattr(owner, name)
    numbers = isinstance(value, int | float) and not isinstance(value, bool)
    setattr(owner, name, value + 1 if numbers else [7] if isinstance(value, list) else f"{value}x")
    return changed
