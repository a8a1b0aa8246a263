"""`python -m rl_warmup.preview`: the learning rate that a configuration will deliver, before any training.

Or the clip range or entropy coefficient, where the warmup is of it.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rl_warmup import terminal
from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.config.identity import arm_of, cell_label, file_name
from rl_warmup.config.learning_rate import coefficients, phases_of, planned_base, planned_dose
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.atomic import check_writable
from rl_warmup.run.compose import configured
from rl_warmup.run.notes import notes_on


@dataclass(frozen=True)
class Preview:
    """The dose that a run plans, and where its warmup lies in the run."""

    of: str  # what the warmup is of
    dose: NDArray[np.float64]  # [gradient steps] learning rate, or what the warmup is of, that each will be given
    base: NDArray[np.float64]  # [gradient steps] the same without warmup
    first_step: int  # first gradient step of the warmup, or of its control
    last_step: int | None  # the last one; None without a warmup
    updates: int  # update phases that the warmup touches
    env_steps: int  # environment steps done when the last of them starts

    @property
    def budget(self) -> float:
        """B = 1 - sum(dose) / sum(base): share of the sum that the warmup takes away."""
        return float(1 - self.dose.sum() / self.base.sum())


def preview(config: RunConfig) -> Preview:
    """What `config` (resolved) plans to deliver.

    A warmup ends with its gradient step W - 1 on the gradient-step clock (whose rate is the base's again); any
    other, a repeated one and every control with the last step whose rate is below the base schedule.
    """
    phases, warmup = phases_of(config), config.warmup
    dose, base = planned_dose(config), planned_base(config)
    if warmup.of != "learning_rate":
        planned = (coefficients(config, COEFFICIENTS[warmup.of], warm) for warm in (True, False))
        dose, base = (np.repeat(values, phases.n_steps) for values in planned)
    of = {"learning_rate": "learning rate", "clip_range": "clip range"}.get(warmup.of, "entropy coefficient")
    below = np.flatnonzero(dose < base * (1 - 1e-12))
    if not below.size:
        return Preview(of, dose, base, 0, last_step=None, updates=0, env_steps=0)
    first, last = int(below[0]), int(below[-1])
    if warmup.control is None and warmup.repeat is None and warmup.clock == "gradient_steps" and warmup.length:
        last = config.init.critic_only + int(warmup.length) - 1
    start, end = phases.phase_of(first), phases.phase_of(last)
    return Preview(of, dose, base, first, last, updates=end - start + 1, env_steps=int(phases.env_step[end]))


def table(config: RunConfig, shown: Preview) -> Table:
    """The numbers of a preview."""
    phases, last = phases_of(config), shown.last_step
    most = "" if getattr(config.algo, "target_kl", None) is None else "at most "
    rows = [
        ("run", f"{phases.env_steps:,} environment steps, {len(phases.n_steps):,} updates, "
                f"{most}{phases.gradient_steps:,} gradient steps"),
        ("first update", f"after {phases.env_step[0]:,} environment steps"),
        ("warmup", "none" if last is None else f"gradient steps {shown.first_step:,} to {last:,}: "
                   f"{last - shown.first_step + 1:,} gradient steps, {shown.updates:,} updates, "
                   f"{shown.env_steps:,} environment steps"),
        (shown.of, f"{shown.dose[0]:.3g} first, {shown.dose.max():.3g} highest, {shown.dose[-1]:.3g} last"),
        ("mean", f"{shown.dose.mean():.4g}, without warmup {shown.base.mean():.4g}"),
        ("budget B", f"{shown.budget:.2%} of the summed {shown.of} is taken by the warmup"),
    ]  # fmt: skip
    made = Table(title=cell_label(config), show_header=False, box=None, title_justify="left")
    for row in rows:
        made.add_row(*row)
    return made


def terminal_plot(shown: Preview, width: int) -> str:
    """The planned learning rates as text, at the start of each of up to 2000 equal stretches."""
    from uniplot import plot_to_string

    steps = np.unique(np.linspace(0, len(shown.dose) - 1, 2000).astype(int))
    unit = 10.0 ** math.floor(math.log10(shown.base.max()))
    rates = [shown.base[steps] / unit, shown.dose[steps] / unit]
    size = {"width": max(30, width - 12), "height": 14}
    title = f"{shown.of} / {unit:g} by gradient step"
    return str(plot_to_string(rates, xs=[steps, steps], lines=True, color=False, y_min=0.0, title=title, **size))


def figure(config: RunConfig, shown: Preview) -> Figure:
    """Planned learning rate against the gradient step: the whole run, and the part of it that is warmed up."""
    made = Figure(figsize=(9, 3.6), layout="constrained")
    whole, part = made.subplots(1, 2, sharey=True)
    total, last = len(shown.dose), shown.last_step or 0
    if config.warmup.repeat is not None:  # the first three ramps: omega falls where the next one starts
        last = 2 * int(np.argmax(np.diff(shown.dose / np.maximum(shown.base, 1e-300)) < 0))
    around = last - shown.first_step + 20
    window = (max(0, shown.first_step - around), min(total, last + around))
    for axes, (start, stop) in ((whole, (0, total)), (part, window)):
        steps = np.unique(np.linspace(start, stop - 1, 4000).astype(int))
        axes.plot(steps, shown.base[steps], color="0.6", linestyle="--", label="without warmup")
        axes.plot(steps, shown.dose[steps], color="#0072B2", drawstyle="steps-post", label=arm_of(config).label)
        axes.set_xlabel("gradient step")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    whole.set_ylabel(shown.of)
    whole.set_title("the whole run", fontsize=10)
    part.set_title("its beginning" if window[0] == 0 else "around the warmup", fontsize=10)
    made.legend(*part.get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    made.suptitle(f"{cell_label(config)}: B = {shown.budget:.1%}", fontsize=11)
    return made


@terminal.command("nothing is written")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rl_warmup.preview",
        description="Show the learning rate that each update of a run will receive, before any training.",
        epilog="Example: python -m rl_warmup.preview warmup=linear warmup.length=0.05 env=cartpole",
    )
    parser.add_argument("overrides", nargs="*", help="as for python -m rl_warmup.run: key=value")
    parser.add_argument("--png", type=Path, help="where to write the picture (default: <runs_dir>/preview/)")
    parser.add_argument("--config-dir", "-cd", type=Path, help="folder of further YAML files, as for run")
    arguments = parser.parse_args(argv)
    console = Console()
    try:
        config = configured(arguments.overrides, "single", arguments.config_dir)
        shown = preview(config)
        path = arguments.png or Path(config.runs_dir) / "preview" / file_name(f"{cell_label(config)}.png")
        check_writable(path.parent)
        figure(config, shown).savefig(path, dpi=150, format="png")
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in notes_on([config]):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print(table(config, shown))
    print(terminal_plot(shown, console.width))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
