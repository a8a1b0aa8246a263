"""An agent that a run kept plays: the returns that were recorded, a video without a screen, and errors in words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from helpers.configs import TINY
from helpers.synthetic import write_run

from rl_warmup import enjoy
from rl_warmup.config.identity import run_folder
from rl_warmup.config.recorded import recorded, recorded_algo
from rl_warmup.config.schema import EnvConfig, PPOConfig
from rl_warmup.enjoy import load, main, play
from rl_warmup.envs.seeds import evaluation_seeds
from rl_warmup.records.kept import find_run
from rl_warmup.records.models import MODEL
from rl_warmup.records.read import read_config
from rl_warmup.records.schema import RecordError
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute

Study = Callable[[], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of PPO on CartPole that kept its last agent, in a folder of runs."""
    root = tmp_path_factory.mktemp("enjoy") / "runs"
    own = ["tracking=disabled", f"runs_dir={root}", "device=cpu", "keep=last", "algo.normalize=true"]
    config = configured([*own, *TINY["ppo"], "warmup.length=0.5", "evaluation.count=3"], "played")
    assert execute(config) == "completed"
    return run_folder(config)


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of it; the folder of runs."""
    return shutil.copytree(trained.parents[1], tmp_path / "runs")


def lines(text: str) -> dict[str, str]:
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()}


def test_the_episodes_of_the_last_evaluation_are_played_again(trained: Path) -> None:
    kept = load(trained)
    config, recorded_returns = read_config(trained), kept.record.evaluations()["returns"].to_list()[-1]
    seeds = evaluation_seeds(config["seed"], config["evaluation"]["count"] - 1, config["evaluation"]["episodes"])
    assert play(kept, seeds) == recorded_returns
    assert len(set(recorded_returns)) > 1


def test_the_command_prints_what_was_played_beside_what_was_recorded(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(trained), "--episodes", "4", "--seed", "7"]) == 0
    shown, kept = lines(capsys.readouterr().out), load(trained)
    returns = play(kept, [7, 8, 9, 10])
    assert shown["run"] == trained.name
    assert shown["agent"] == f"{trained / MODEL}, after 256 environment steps"
    assert shown["played"].startswith(f"mean return {np.mean(returns):.1f} [")
    assert shown["played"].endswith("], 4 episodes from seed 7 on, best actions")
    last = np.mean(kept.record.evaluations()["returns"].to_list()[-1])
    assert shown["recorded"].startswith(f"mean return {last:.1f} [")
    assert shown["recorded"].endswith("], final evaluation after 256 environment steps")


def test_drawn_actions_follow_from_the_seed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for seed in ("3", "3", "4"):
        assert main([str(trained), "--episodes", "3", "--stochastic", "--seed", seed]) == 0
        said.append(lines(capsys.readouterr().out)["played"])
    assert said[0] == said[1]
    assert said[0].split(", 3 ep")[0] != said[2].split(", 3 ep")[0]
    assert said[0].endswith("drawn actions")


def test_a_run_is_found_by_its_folder_or_its_id(runs: Path) -> None:
    (folder,) = (path.parent for path in runs.glob("*/*/run.json"))
    assert find_run(str(folder), runs) == folder
    assert find_run(folder.name, runs) == folder
    other = shutil.copytree(folder, runs / "another" / folder.name)
    with pytest.raises(RecordError, match=f"is in several studies; give one of {other}, {folder}"):
        find_run(folder.name, runs)


def test_what_is_no_run_is_refused_with_those_that_have_an_agent(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,) = (path.parent for path in runs.glob("*/*/run.json"))
    for given, said in (
        (str(folder.parent), f"{folder.parent} is no run; agents were kept by {folder}"),
        ("nope", f"there is no run nope; agents were kept by {folder}"),
    ):
        assert main([given, "--runs-dir", str(runs)]) == 2
        assert capsys.readouterr().err == f"error: {said}\n"
    assert main(["nope", "--runs-dir", str(tmp_path / "empty")]) == 2
    assert "no run near it has kept its agent; train one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("completed", "none was kept; keep=last or keep=best keeps one"),
        ("diverged", "it diverged, and has no last one; keep=best"),
        ("failed", "it failed; the same command tries it again"),
        ("running", "it was interrupted; the same command trains the rest"),
    ],
)
def test_a_run_without_an_agent_says_why(
    status: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, "none", 0)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"status": status}))
    assert main([str(folder)]) == 2
    assert f"error: {folder} has no agent: {said}" in capsys.readouterr().err


def test_damaged_and_foreign_files_are_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = (path.parent for path in runs.glob("*/*/run.json"))
    info = json.loads((folder / "run.json").read_text())
    (folder / MODEL).write_bytes(b"no zip")
    assert main([str(folder)]) == 2
    assert f"{MODEL} is not the one that run.json names" in capsys.readouterr().err
    info["model"]["sha256"] = enjoy.models.write(folder, {MODEL: b"no zip"})
    (folder / "vecnormalize.pkl").unlink()
    (folder / "run.json").write_text(json.dumps(info))
    assert main([str(folder)]) == 2
    assert f"error: {folder / MODEL} cannot be loaded: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (("CartPole-v1", "Gone-v0"), "error: env.id=Gone-v0 cannot be made: "),
        (
            ("max_steps: 200000", "max_steps: 3"),
            "error: an episode of env.id=CartPole-v1 has not ended after 3 steps",
        ),
    ],
)
def test_an_environment_that_does_not_play_is_one_line(
    written: tuple[str, str], said: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,) = (path.parent for path in runs.glob("*/*/run.json"))
    text = (folder / "config.yaml").read_text()
    assert written[0] in text
    (folder / "config.yaml").write_text(text.replace(*written))
    assert main([str(folder)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(said)
    assert (out, len(err.splitlines())) == ("", 1)


def test_an_environment_that_breaks_is_one_line(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(CartPoleEnv, "step", lambda env, action: {}["no such state"])
    assert main([str(trained)]) == 2
    said = "error: env.id=CartPole-v1 raised in step 1 of an episode: KeyError: 'no such state'\n"
    assert capsys.readouterr().err == said


@pytest.mark.filterwarnings("ignore:.*Ignored saving a video")  # of no frames, by Gymnasium
def test_a_picture_that_cannot_be_drawn_is_one_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("moviepy")
    monkeypatch.setattr(CartPoleEnv, "render", lambda env: {}["no paint"])
    assert main([str(trained), "--video", str(tmp_path / "a.mp4")]) == 2
    assert capsys.readouterr().err == "error: env.id=CartPole-v1: KeyError: 'no paint'\n"
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--video", "a.gif"], "--video=a.gif is no .mp4 file; use a.mp4"),
        (["--video", "a.mp4", "--render", "human"], "--video and --render exclude each other"),
        (["--render", "human"], "--render=human: there is no screen"),
        (["--video", "file/a.mp4"], "--video=file/a.mp4 cannot be written: "),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_played(
    arguments: list[str],
    said: str,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    for name in enjoy._SCREENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main([str(trained), *arguments]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {said}")
    assert out == ""


def test_a_video_without_its_package_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(enjoy, "find_spec", lambda name: None)
    assert main([str(trained), "--video", str(tmp_path / "a.mp4")]) == 2
    assert "--video needs moviepy: pip install 'rl-warmup[video]'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--episodes", "0"], ["--seed", "-1"], ["--render", "nope"]])
def test_numbers_that_are_none_are_refused(arguments: list[str], trained: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(trained), *arguments])
    assert caught.value.code == 2


@pytest.mark.slow
def test_a_video_needs_no_screen_and_shows_the_first_episode(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moviepy = pytest.importorskip("moviepy.editor")
    for name in enjoy._SCREENS:
        monkeypatch.delenv(name, raising=False)
    video = tmp_path / "videos" / "agent.mp4"
    assert main([str(trained), "--episodes", "2", "--seed", "5", "--video", str(video)]) == 0
    assert lines(capsys.readouterr().out)["video"] == str(video)
    assert [path.name for path in video.parent.iterdir()] == ["agent.mp4"]
    (steps,) = play(load(trained), [5])  # CartPole earns 1 a step
    with moviepy.VideoFileClip(str(video)) as clip:
        frames = list(clip.iter_frames())
    assert abs(len(frames) - (steps + 1)) <= 1
    assert frames[0].shape == (400, 600, 3)
    assert (frames[0] != frames[-1]).any()


def test_settings_of_other_versions_are_read() -> None:
    algo = recorded_algo({"name": "ppo", "gamma": 0.5, "optimizer": {"eps": 0.1}, "unheard_of": 3})
    assert isinstance(algo, PPOConfig)
    assert (algo.gamma, algo.optimizer.eps, algo.optimizer.beta1, algo.n_steps) == (0.5, 0.1, 0.9, 2048)
    assert recorded(EnvConfig, {"id": "A-v0", "name": "a"}).id == "A-v0"
