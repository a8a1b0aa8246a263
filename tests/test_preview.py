"""The numbers of a preview by hand, and its command line."""

from pathlib import Path

import numpy as np
import pytest
from helpers.composing import unresolved
from rich.console import Console

from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig
from rl_warmup.preview import figure, main, preview, table, terminal_plot

pytestmark = pytest.mark.locale

PNG = b"\x89PNG\r\n\x1a\n"


def config(*overrides: str) -> RunConfig:
    return resolve(unresolved(*overrides))


def test_linear_over_5_percent_of_cartpole() -> None:
    shown = preview(config("warmup.length=0.05"))
    assert (shown.last_step, shown.updates, shown.env_steps) == (390, 20, 5120)
    assert shown.dose[[0, 389, 390, 391]] == pytest.approx(1e-3 * np.array([1 / 391, 390 / 391, 1, 1]))
    # sum of 1 - (k+1)/391 over k = 0..390 is (391 - 1)/2 steps of 7820
    assert shown.budget == pytest.approx(195 / 7820)


def test_no_warmup() -> None:
    shown = preview(config("warmup=none"))
    assert (shown.last_step, shown.updates, shown.env_steps, shown.budget) == (None, 0, 0, 0.0)
    assert shown.dose.tolist() == [1e-3] * 7820


def test_a_warmup_on_the_environment_clock_ends_with_the_last_step_below_the_base() -> None:
    shown = preview(config("warmup.clock=env_steps", "warmup.length=1024"))
    # three phases of 20 steps at 1/4, 2/4 and 3/4; the fourth starts at the peak
    assert (shown.last_step, shown.updates, shown.env_steps) == (59, 3, 768)
    assert shown.budget == pytest.approx(20 * 1.5 / 7820)


def test_dqn_counts_the_steps_before_it_learns() -> None:
    shown = preview(config("algo=dqn", "warmup.length=129"))
    assert (shown.last_step, shown.updates, shown.env_steps) == (128, 2, 1280)


def test_a_ramp_that_never_ends_lasts_the_whole_run() -> None:
    shown = preview(config("warmup=radam"))
    assert (shown.last_step, shown.updates) == (7819, 391)


def test_the_end_of_a_linear_schedule_is_no_warmup() -> None:
    shown = preview(config("schedule=linear", "warmup.length=40"))
    assert (shown.last_step, shown.updates, shown.dose[-1]) == (39, 2, 0.0)


def _text(*overrides: str) -> str:
    made = config(*overrides)
    console = Console(width=200, record=True)
    with console.capture() as capture:
        console.print(table(made, preview(made)))
    return capture.get()


def test_table_of_a_warmup() -> None:
    text = _text("warmup.length=0.05")
    for words in (
        "cartpole ppo linear-5%-gradient_steps lr=0.001 constant",
        "100,096 environment steps, 391 updates, 7,820 gradient steps",
        "after 256 environment steps",
        "gradient steps 0 to 390: 391 gradient steps, 20 updates, 5,120 environment steps",
        "2.56e-06 first, 0.001 highest, 0.001 last",
        "0.0009751, without warmup 0.001",
        "2.49% of the summed learning rate",
    ):
        assert words in text


def test_table_without_a_warmup() -> None:
    lines = [" ".join(line.split()) for line in _text("warmup=none").splitlines()]
    assert "warmup none" in lines
    assert "budget B 0.00% of the summed learning rate is taken by the warmup" in lines


def test_terminal_plot_fits_and_names_its_unit() -> None:
    shown = preview(config("learning_rate=3e-4"))
    lines = terminal_plot(shown, 80).splitlines()
    assert "learning rate / 0.0001 by gradient step" in lines[0]
    assert max(map(len, lines)) <= 80
    assert len(lines) >= 14


def test_figure_shows_the_dose_and_the_base_twice() -> None:
    made = config("warmup.length=0.05")
    shown = preview(made)
    drawn = figure(made, shown)
    whole, start = drawn.axes
    for axes, last in ((whole, 7819), (start, 799)):
        base, dose = axes.lines
        steps, rates = dose.get_data()
        assert (steps[0], steps[-1]) == (0, last)
        assert rates.tolist() == shown.dose[steps].tolist()
        assert set(base.get_ydata()) == {1e-3}
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "without warmup",
        "linear-5%-gradient_steps lr=0.001 constant",
    ]


def test_command_line_draws_a_picture_below_runs_dir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warmup.length=0.05", "device=cpu", f"runs_dir={tmp_path}"]) == 0
    path = tmp_path / "preview" / "cartpole-ppo-linear-5pct-gradient_steps-lr0.001-constant.png"
    assert path.read_bytes().startswith(PNG)
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == str(path)
    assert "learning rate / 0.001" in output.out
    assert output.err == ""


def test_command_line_draws_where_it_is_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "picture.png"
    assert main(["--png", str(path), "algo=dqn", "env=acrobot", "warmup=none", "device=cpu"]) == 0
    assert path.read_bytes().startswith(PNG)
    assert "100,000 environment steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope=1"], "error: Could not override 'nope'"),
        (["+nope=1"], "error: +nope=1: there is no such key"),
        (["+warmup.lenght=0.5"], "error: +warmup.lenght=0.5: there is no such key"),
        (["warmup=triangular"], "error: In 'config': Could not find 'warmup/triangular'"),
        (["env=tetris"], "error: In 'config': Could not find 'env/tetris'"),
        (["seed=1,2"], "error: Ambiguous value for argument 'seed=1,2'"),
        (["warmup.length=[1"], "error: warmup.length=[1 cannot be read (no viable alternative"),
        (["seed=first"], "error: Error merging override seed=first: Value 'first' of type 'str' could not"),
        (["warmup.length=0"], "error: warmup.length=0.0 is not a length"),
        (["warmup.length=10000"], "error: a warmup of 10000 gradient_steps does not fit into a run of 7820"),
        (["warmup.length=256", "warmup.clock=env_steps"], "error: the warmup linear over 256 env_steps is inert"),
        (["env.id=Nope-v0"], "error: env.id=Nope-v0 cannot be made"),
        ([f"env.name={'x' * 240}"], "error: " + "x" * 240 + "-ppo-linear"),
        (
            ["tracking.project=1_0"],
            'error: tracking.project=1_0: Hydra reads 1_0 as the value 10; write "tracking.',
        ),
        (["env.id=???"], "error: Structured config of type `EnvConfig` has missing mandatory value: id"),
    ],
)
def test_command_line_refuses_in_words(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "device=cpu", f"runs_dir={tmp_path / 'runs'}"]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(message)
    assert "Traceback" not in output.err
    assert "Config search path" not in output.err
    assert output.out == ""
    assert not (tmp_path / "runs").exists()


def test_command_line_refuses_a_folder_it_cannot_write_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["device=cpu", f"runs_dir={tmp_path / 'file'}"]) == 2
    assert "error: runs_dir: nothing can be recorded in" in capsys.readouterr().err


def test_command_line_knows_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--nope"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --nope" in capsys.readouterr().err


def test_a_folder_of_further_files_is_found_as_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my, 'own' = conf"
    (folder / "warmup").mkdir(parents=True)
    (folder / "warmup" / "mine.yaml").write_text("name: mine\nshape: linear\nclock: gradient_steps\nlength: 7\n")
    overrides = ["warmup=mine", "device=cpu", f"runs_dir={tmp_path}"]
    assert main(["--config-dir", str(folder), *overrides]) == 0
    assert "gradient steps 0 to 6: 7 gradient steps" in capsys.readouterr().out
    assert main(["-cd", str(tmp_path / "none"), *overrides]) == 2
    assert capsys.readouterr().err == f"error: --config-dir={tmp_path / 'none'} is not a folder\n"
