"""`python -m rl_warmup.enjoy RUN`: the agent that a run kept plays, beside what was recorded of it."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.markup import escape

from rl_warmup import terminal
from rl_warmup.config.recorded import recorded, recorded_algo
from rl_warmup.config.schema import EnvConfig, EvaluationConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.make import make
from rl_warmup.records import models
from rl_warmup.records.atomic import check_writable, replacing
from rl_warmup.records.kept import find_run, why_no_agent
from rl_warmup.records.read import Record, read_config, read_info
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import counted, first_line, readable
from rl_warmup.report.content import mean_interval
from rl_warmup.trainers.agents import Player

_SCREENS = {"DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"}  # one of them is set where windows open

_EXPLANATION = """\
Plays the agent that a run kept (model.zip, see keep= of python -m rl_warmup.run) in its
environment, and prints its mean return with a 95% interval over the episodes, beside the
evaluation that was recorded. RUN is the folder of a run, or its id.

examples:
  python -m rl_warmup.enjoy runs/single/RUN
  python -m rl_warmup.enjoy runs/single/RUN --episodes 1 --video agent.mp4
  python -m rl_warmup.enjoy RUN --render human
"""


@dataclass(frozen=True)
class Kept:
    """A run that kept its agent."""

    record: Record
    env: EnvConfig
    player: Player
    max_steps: int

    @property
    def env_step(self) -> int:
        """Environment steps that the agent had done."""
        return int(self.record.info["model"]["env_step"])


def load(folder: Path) -> Kept:
    """The agent of the run in `folder`.

    Raises:
        RecordError: if there is none, or it cannot be loaded; with what to do.
    """
    info = read_info(folder)
    if not info.get("model") or not models.present(folder):
        raise RecordError(f"{folder} has no agent: {why_no_agent(folder, info)}")
    if not models.is_as_recorded(folder, info["model"]["sha256"]):
        raise RecordError(f"{folder}: {models.MODEL} is not the one that run.json names; train the run to its end")
    try:
        config = read_config(folder)
        player = Player(folder, recorded_algo(config["algo"]))
        max_steps = recorded(EvaluationConfig, config["evaluation"]).max_steps
        return Kept(Record(folder, info), recorded(EnvConfig, config["env"]), player, max_steps)
    except Exception as error:  # whatever pickles of other versions raise
        raise RecordError(f"{folder / models.MODEL} cannot be loaded: {first_line(error)}") from error


def play(
    kept: Kept,
    seeds: Sequence[int],
    deterministic: bool = True,
    render: str | None = None,
    video: Path | None = None,
) -> list[float]:
    """The return of an episode from every seed, each in a new environment, as in evaluations.

    Args:
        deterministic: by the best actions, else by drawn ones.
        render: how Gymnasium shows them.
        video: folder that gets a video of the first.

    Raises:
        ConfigError: if the environment cannot be made, shown, or played to the end of an episode.
    """
    returns = []
    try:
        with _drawing():
            for number, seed in enumerate(seeds):
                with closing(_made(kept.env, render, video if number == 0 else None)) as env:
                    returns.append(_episode(kept, env, seed, deterministic))
    except ConfigError:
        raise
    except Exception as error:  # drawing may raise anything
        reason, named = first_line(error), f"env.id={kept.env.id}"
        raise ConfigError(reason if named in reason else f"{named}: {type(error).__name__}: {reason}") from error
    return returns


def _episode(kept: Kept, env: gym.Env[Any, Any], seed: int, deterministic: bool) -> float:
    (observation, _), total = env.reset(seed=seed), 0.0
    for _ in range(kept.max_steps):
        action = kept.player.act(np.asarray(observation)[None], deterministic)[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            return total
    raise ConfigError(f"an episode of env.id={kept.env.id} has not ended after {kept.max_steps} steps")


@contextmanager
def _drawing() -> Iterator[None]:
    """While it is entered, pygame and MuJoCo draw without a screen where there is none."""
    chosen = {} if _SCREENS & os.environ.keys() else {"SDL_VIDEODRIVER": "dummy"}
    if "DISPLAY" not in os.environ:
        chosen |= {"MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")}
    before = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def _made(env: EnvConfig, render: str | None, video: Path | None) -> gym.Env[Any, Any]:
    """The environment; with `video` it records its episode into that folder."""
    mode = "rgb_array" if video else render
    shown: dict[str, Any] = {"render_mode": mode} if mode else {}
    try:
        playing = make(env, **shown)
        if video is None:
            return playing
        return gym.wrappers.RecordVideo(playing, str(video / "video"), episode_trigger=lambda number: number == 0)
    except Exception as error:  # a constructor may raise anything
        raise ConfigError(
            f"env.id={env.id} cannot be {'shown' if mode else 'made'}: {first_line(error)}"
        ) from error


def summary(kept: Kept, returns: Sequence[float], how: str) -> dict[str, str]:
    """What is printed, by its name."""
    info, rows = kept.record.info, kept.record.evaluations().to_dicts()
    at = f"after {kept.env_step:,} environment steps"
    last, own = rows[-1], next((row for row in rows if row["env_step"] == kept.env_step), None)
    lines = {"run": str(info["run_id"]), "agent": f"{kept.record.folder / models.MODEL}, {at}"}
    lines["played"] = f"mean return {_mean(returns)}, {how}"
    if own is not None and own is not last:
        lines["recorded"] = f"mean return {_mean(own['returns'])}, {at}, the best evaluation"
    lines["final" if "recorded" in lines else "recorded"] = (
        f"mean return {_mean(last['returns'])}, final evaluation after {last['env_step']:,} environment steps"
    )
    return lines


@terminal.command("nothing is written")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    given = _parsed(argv)
    console = Console()
    try:
        _check_shown(given.video, given.render)
        kept = load(find_run(given.run, given.runs_dir))
        seeds = range(given.seed, given.seed + given.episodes)
        kept.player.seed(given.seed)
        with tempfile.TemporaryDirectory() as folder:
            recorded_into = Path(folder) if given.video else None
            returns = play(kept, seeds, not given.stochastic, given.render, recorded_into)
            _move(Path(folder), given.video)
    except (ConfigError, RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    manner = "drawn actions" if given.stochastic else "best actions"
    how = f"{counted(given.episodes, 'episode')} from seed {given.seed} on, {manner}"
    lines = summary(kept, returns, how) | ({} if given.video is None else {"video": str(given.video)})
    for name, value in lines.items():
        console.print(f"[bold]{name:<11}[/bold]{escape(value)}", highlight=False, soft_wrap=True)
    return 0


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m rl_warmup.enjoy",
        description=_EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="folder of a run, or its id")
    parser.add_argument("--episodes", type=_count, default=10, help="how many are played (default: 10)")
    parser.add_argument("--seed", type=_seed, default=0, help="of the first; the next has the next (default: 0)")
    parser.add_argument("--stochastic", action="store_true", help="draw actions as in training, not the best ones")
    parser.add_argument("--video", metavar="FILE.mp4", type=Path, help="record the first episode; needs no screen")
    parser.add_argument("--render", choices=["human"], help="show all of it in a window")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where ids are looked up (runs)")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is too few; use 1 or more")
    return count


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**31:
        raise argparse.ArgumentTypeError(f"{seed} is not a seed; use a whole number from 0 to {2**31 - 1}")
    return seed


def _check_shown(video: Path | None, render: str | None) -> None:
    """Refuse a window or a video that there cannot be, before anything is played."""
    if video and render:
        raise ConfigError("--video and --render exclude each other; use one after the other")
    if render and sys.platform == "linux" and not _SCREENS & os.environ.keys():
        raise ConfigError("--render=human: there is no screen (DISPLAY is not set); --video FILE.mp4 needs none")
    if video is None:
        return
    if video.suffix != ".mp4":
        raise ConfigError(f"--video={video} is no .mp4 file; use {video.with_suffix('.mp4')}")
    if find_spec("moviepy") is None:
        raise ConfigError("--video needs moviepy: pip install 'rl-warmup[video]'")
    try:
        check_writable(video.parent)
    except ConfigError as error:
        raise ConfigError(f"--video={video} cannot be written: {error.__cause__}") from error


def _move(folder: Path, video: Path | None) -> None:
    """Bring what was recorded to where it is wanted, whole or not at all."""
    if video is None:
        return
    recorded_there = list(folder.glob("video/*.mp4"))
    if not recorded_there:
        raise ConfigError("--video: the environment showed no picture")
    with replacing(video) as temporary:
        shutil.move(recorded_there[0], temporary)


def _mean(returns: Sequence[float]) -> str:
    """The mean of returns, with its interval where there is one."""
    mean = readable(float(np.mean(returns)))
    if len(returns) < 2:
        return mean
    low, high = map(readable, mean_interval(np.array(returns)))
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
