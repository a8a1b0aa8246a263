"""`python -m rl_warmup.measure`: the constants of an environment that can be measured -> its YAML file."""

import argparse
import math
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy import stats

from rl_warmup import terminal
from rl_warmup.config.constants import CONSTANTS, borrowed_env, check_constants, known_as, same_env
from rl_warmup.config.schema import EnvConfig
from rl_warmup.config.settings import ConfigError, declared
from rl_warmup.envs.make import make
from rl_warmup.envs.seeds import evaluation_seeds, stream_seed
from rl_warmup.records.atomic import write_text
from rl_warmup.records.provenance import OPTIONAL
from rl_warmup.records.words import first_line, quoted
from rl_warmup.run.compose import configured

EPISODES = 200
FOLDER = Path("my_conf")
_TO_BE_GIVEN = {  # what no random policy can measure
    "return_floor": "worst attainable return, what a run that diverged is scored with; lowest here: {lowest}",
    "return_high": "return of a reference agent, e.g. a published one with its source",
    "threshold": "return from which the task counts as solved; Gymnasium has none registered",
    "floor": "the worst return, or a clip, no lower than 2 return_low - return_high; null: return_floor",
    "ceiling": "the best return that is possible, or a clip above a published one; null: no verdict on the mean",
    "reward_max": "largest |reward| of one step, if known; largest here: {largest}",
}


@dataclass(frozen=True)
class Measured:
    """What a random policy got from an environment, and what Gymnasium says of it."""

    returns: np.ndarray[Any, np.dtype[np.float64]]  # [episodes]
    largest: float  # |reward| of one step
    threshold: float | None  # registered as the return from which it counts as solved
    versions: str  # of what the environment is made by

    @property
    def mean(self) -> float:
        """Of the returns, to four digits."""
        return rounded(float(self.returns.mean()))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean by Student's t; of no width where all returns are the same."""
        error = float(self.returns.std(ddof=1)) / math.sqrt(self.returns.size)
        half = float(stats.t.ppf(0.975, self.returns.size - 1)) * error
        return rounded(float(self.returns.mean()) - half), rounded(float(self.returns.mean()) + half)


def measure(env: EnvConfig, episodes: int, seed: int, max_steps: int, progress: Progress) -> Measured:
    """Play episodes by actions drawn uniformly from the action space.

    Args:
        seed: of the episodes and the actions; the first episodes are the same however many there are.
        max_steps: after which an episode is taken for one that never ends.

    Raises:
        ConfigError: if the environment raises, gives what is not finite, or does not end an episode.
    """
    made, returns, largest = make(env), [], 0.0
    try:
        made.action_space.seed(stream_seed(seed, "exploration"))
        seeds = evaluation_seeds(seed, 0, episodes)
        for number, own in enumerate(progress.track(seeds, description=env.id)):
            rewards = _play(made, own, max_steps, f"env.id={env.id}, episode {number + 1}")
            returns.append(math.fsum(rewards))
            largest = max(largest, *map(abs, rewards))
        spec = made.spec
        threshold = None if spec is None or spec.reward_threshold is None else float(spec.reward_threshold)
        return Measured(np.array(returns), largest, threshold, _versions(made))
    finally:
        made.close()


def _play(env: gym.Env[Any, Any], seed: int, max_steps: int, where: str) -> list[float]:
    """The rewards of one episode."""
    rewards: list[float] = []
    try:
        env.reset(seed=seed)
        while len(rewards) < max_steps:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            rewards.append(float(reward))
            if terminated or truncated:
                return rewards
    except (FloatingPointError, RuntimeError) as error:  # which name the environment and the step
        raise ConfigError(str(error)) from error
    except (Exception, SystemExit) as error:  # whatever the environment's own code raises
        what = f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(f"{where} failed after {len(rewards)} steps: {what}") from error
    raise ConfigError(
        f"{where} has not ended after {max_steps} steps; give the environment a time limit (env.kwargs="
        "{max_episode_steps: 1000}), or use more evaluation.max_steps"
    )


def _versions(env: gym.Env[Any, Any]) -> str:
    """The installed versions of Gymnasium, of the package that the environment is from, and of its physics."""
    package, *inside = type(env.unwrapped).__module__.split(".")
    own = [*packages_distributions().get(package, [])[:1], *(name for name in inside if name in OPTIONAL)]
    return ", ".join(f"{name} {version(name)}" for name in dict.fromkeys(["gymnasium", *own]))


def rounded(value: float) -> float:
    """A value to four digits.

    >>> rounded(-178.449), rounded(0.012344), rounded(-200.0)
    (-178.4, 0.01234, -200.0)
    """
    return float(f"{value:.4g}") + 0.0


def text_of(env: EnvConfig, found: Measured, command: str) -> str:
    """The YAML of an environment: how it is made, its constants, and comments on where they are from."""
    made = {
        name: getattr(env, name)
        for name, default, _ in declared(EnvConfig)
        if name not in CONSTANTS and getattr(env, name) != default
    }
    lines = [f"# Written by {command}", yaml.safe_dump(made, sort_keys=False, allow_unicode=True).rstrip()]
    known = asdict(env) if borrowed_env(asdict(env)) is None else {}
    numbers = {"lowest": _number(rounded(found.returns.min())), "largest": _number(rounded(found.largest))}
    for name in CONSTANTS:
        if name == "return_low":
            lines.append(low_line(found))
        elif known.get(name) is not None:
            lines.append(f"{name}: {_number(known[name])}")
        elif name == "threshold" and found.threshold is not None:
            changed = ", without env.kwargs and env.wrappers" if env.kwargs or env.wrappers else ""
            lines.append(f"{name}: {_number(found.threshold)} # Gymnasium's reward threshold{changed}")
        else:
            lines.append(f"{name}: null # {_TO_BE_GIVEN[name].format_map(numbers)}")
    return "\n".join(lines) + "\n"


def low_line(found: Measured) -> str:
    """The line of `return_low`, with its interval and what it was measured with."""
    low, high = map(_number, found.interval)
    how = f"random policy, mean of {found.returns.size} episodes, 95% [{low}, {high}]; {found.versions}"
    return f"return_low: {_number(found.mean)} # {how}"


def _number(value: float) -> str:
    """A number as YAML reads it; a whole one without decimals."""
    return str(int(value)) if value == int(value) else repr(float(value))


@terminal.command("nothing is written")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rl_warmup.measure",
        description="Play an environment by a random policy, and write its YAML file: what reports are scaled by.",
        epilog="Example: python -m rl_warmup.measure env=gym env.id=CliffWalking-v1 --output my_conf",
    )
    parser.add_argument("overrides", nargs="*", help="as for python -m rl_warmup.run: env=, env.id=, env.kwargs=")
    parser.add_argument("--episodes", type=int, default=EPISODES, help=f"how many are played (default: {EPISODES})")
    parser.add_argument(
        "--output",
        type=Path,
        help="file.yaml, or a folder for --config-dir, where it is env/<name>.yaml (default: my_conf; "
        "none if the environment is built in); of a file that is there only the line return_low is replaced",
    )
    parser.add_argument("--config-dir", "-cd", type=Path, help="folder of further YAML files, as for run")
    arguments = parser.parse_intermixed_args(argv)
    try:
        words = sys.argv[1:] if argv is None else argv
        _measure(arguments, shlex.join(["python", "-m", "rl_warmup.measure", *words]))
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(arguments: argparse.Namespace, command: str) -> None:
    """Measure, print, and write what was asked for by a `command`.

    Raises:
        ConfigError: if there is no such environment, it fails, or the file is another's.
        OSError: if the file cannot be written.
    """
    if arguments.episodes < 2:
        raise ConfigError(f"--episodes={arguments.episodes} is too small; use 2 or more, 200 for a report")
    config = configured(arguments.overrides, "single", arguments.config_dir)
    env, console = config.env, Console()
    name = re.split("[:/]", env.name)[-1]
    path = _path(arguments.output, name, known_as(asdict(env)))
    before = "" if path is None else _before(path, env)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        found = measure(env, arguments.episodes, config.seed, config.evaluation.max_steps, progress)
    _print(found, env, console)
    if path is None:
        console.print(f"{env.id} is built in, and nothing is written; --output FILE writes it", soft_wrap=True)
        return
    text = re.sub(r"^return_low:.*$", low_line(found), before, count=1, flags=re.MULTILINE)
    if "return_low:" not in before:
        text = (
            f"{before.rstrip()}\n{low_line(found)}\n"
            if before
            else text_of(replace(env, name=name), found, command)
        )
    check_constants(yaml.safe_load(text))
    write_text(path, text)
    console.print(f"written: {path}", soft_wrap=True, markup=False, highlight=False)
    if path.parent.name == "env":
        use = f"python -m rl_warmup.run --config-dir {quoted(path.parent.parent)} env={path.stem}"
        console.print(f"use it:  {use}", soft_wrap=True, markup=False, highlight=False)


def _path(output: Path | None, name: str, built_in: str | None) -> Path | None:
    """The file to be written, whose folder is made; None if there is none to be."""
    if output is None and built_in is not None:
        return None
    output = output or FOLDER
    path = output if output.suffix in (".yaml", ".yml") else output / "env" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _before(path: Path, env: EnvConfig) -> str:
    """What is in a file that describes the environment already; nothing where there is none."""
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    try:
        described = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(described, dict) or not same_env(described, asdict(env)):
        raise ConfigError(f"{path} describes another environment, and is not overwritten; use another --output")
    return text


def _print(found: Measured, env: EnvConfig, console: Console) -> None:
    low, high = map(_number, found.interval)
    console.print(f"{env.id}, random policy, {found.returns.size} episodes ({found.versions})", soft_wrap=True)
    console.print(
        f"return_low: {_number(found.mean)}, 95% interval of the mean [{low}, {high}]; "
        f"from {found.returns.min():.4g} to {found.returns.max():.4g}",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    if env.return_floor is not None and found.returns.min() < env.return_floor:
        console.print(f"env.return_floor={env.return_floor:g} is not the worst: there are lower returns")


if __name__ == "__main__":
    sys.exit(main())
