"""The memory that a plan says runs need, against what they take."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers.configs import Configure, probe
from helpers.paths import TESTS

from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.run.launch import memory
from rl_warmup.run.launch.memory import (
    check_fits,
    group_bytes,
    kept_bytes,
    measuring_bytes,
    memory_words,
    passing_bytes,
)

IMAGES = [
    *("algo=dqn", *probe("screens"), "algo.extractor=nature_cnn", "algo.net_arch=[]", "tuned_learning_rate=1e-4"),
    *("warmup=none", "evaluation.count=2", "evaluation.episodes=1", "algo.learning_starts=2990"),
    *("total_timesteps=3000", "algo.train_freq=4", "algo.gradient_steps=1", "algo.buffer_size=100000"),
]
TRAINERS = {
    "stacked": ["trainer=stacked", "trainer.envs=gymnasium", "trainer.compile=false"],
    "sb3": ["trainer=sb3"],
}
MEASURED = """
import json, re, sys
from helpers import probe_envs
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute_stack
probe_envs.register()
given = json.loads(sys.argv[1])
print(execute_stack([configured([*given, f"seed={seed}"], "test") for seed in range(int(sys.argv[2]))]))
print(1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]))
"""
MARGIN = 0.3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(
    ("trainer", "runs", "diagnostics"),
    [
        ("stacked", 8, "basic"),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (("sb3", 1, "basic"), ("stacked", 4, "full"))),
    ],
)
def test_a_process_takes_what_is_planned(trainer: str, runs: int, diagnostics: str, configure: Configure) -> None:
    """To within 30%; the experience, 3 000 screens a run, is most of it in the stack."""
    overrides = [*IMAGES, *TRAINERS[trainer], "device=cpu", f"diagnostics={diagnostics}"]
    configs = [configure(*overrides, f"seed={seed}") for seed in range(runs)]
    own = [*overrides, "tracking=disabled", f"runs_dir={configs[0].runs_dir}"]
    command = [sys.executable, "-c", MEASURED, json.dumps(own), str(runs)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=TESTS).stdout.splitlines()
    assert output[-2] == str(["completed"] * runs)
    assert int(output[-1]) == pytest.approx(group_bytes(configs), rel=MARGIN)


def _planned(configure: Configure, runs: int = 1, **algo: int) -> list[RunConfig]:
    config = configure(*IMAGES, *TRAINERS["stacked"], "device=cpu", "total_timesteps=1_000_000")
    return [replace(config, algo=replace(config.algo, **algo))] * runs


def test_images_are_counted_as_bytes_once(configure: Configure) -> None:
    few, many = (kept_bytes(_planned(configure, buffer_size=size)[0]) for size in (100_000, 200_000))
    screen = 4 * 84 * 84
    assert many - few == pytest.approx(100_000 * (1.1 * screen + 16), rel=1e-4)


def test_a_stack_that_is_filled_up_needs_the_memory_of_those_that_fill_it(configure: Configure) -> None:
    three, four, five = (group_bytes(_planned(configure, runs)) for runs in (3, 4, 5))
    assert three == four
    assert five - four == 4 * kept_bytes(_planned(configure)[0])


def test_measuring_takes_memory_for_some_members_at_once_with_full_diagnostics_only(configure: Configure) -> None:
    stack = _planned(configure, 8)
    full = [replace(config, diagnostics="full") for config in stack]
    assert measuring_bytes(stack[0]) == 0
    more = 4 * (measuring_bytes(full[0]) - passing_bytes(full[0]))
    assert group_bytes(full) - group_bytes(stack) == more > 0


def test_what_does_not_fit_is_refused_with_numbers_and_the_way_out(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [_planned(configure, 8), _planned(configure, 8), _planned(configure, 4)]
    monkeypatch.setattr(memory, "memory_bytes", lambda device: 2 * group_bytes(groups[0]))
    check_fits(groups, 2, "")
    (line,) = memory_words(groups, 2)[:1]
    assert line.startswith("memory: up to 52 GB of 52 GB (2 at a time, of 8 and 8 runs)")
    monkeypatch.setattr(memory, "memory_bytes", lambda device: 2 * group_bytes(groups[0]) - 1)
    with pytest.raises(
        ConfigError,
        match=r"16 runs of dqn on screens at a time need 52 GB of memory, 3\.\d GB each, and there are 52 GB; use "
        r"less than hydra\.launcher\.width=8, or a smaller replay buffer than algo\.buffer_size=100000, or "
        r"trainer=sb3, of which a run needs 6\.\d GB",
    ):
        check_fits(groups, 2, "less than hydra.launcher.width=8")
