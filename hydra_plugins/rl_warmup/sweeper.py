"""Makes our sweeper known to Hydra; it sweeps by rl_warmup/run/sweep.py."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from hydra._internal.core_plugins import basic_sweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from rich.console import Console

from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.words import counted, first_line
from rl_warmup.run.compose import SweepComposer, command_of

if TYPE_CHECKING:
    from rl_warmup.run.jobs import Job
    from rl_warmup.run.sweep import Launch

# Hydra imports every plugin in every process: what only a sweep needs is imported in functions.


@dataclass
class SweeperConf(basic_sweeper.BasicSweeperConf):
    """Settings of `hydra.sweeper`: `params` and `max_batch_size` as in Hydra's basic sweeper, and `cases`.

    `cases`: what is trained where that is no product of lists, each case as on the command line; each is swept over
    `params`.
    """

    _target_: str = "hydra_plugins.rl_warmup.sweeper.StudySweeper"
    cases: Optional[list[str]] = None  # noqa: UP045 # OmegaConf 2.3 does not read `list[str] | None`


ConfigStore.instance().store(group="hydra/sweeper", name="rl_warmup", node=SweeperConf, provider="rl_warmup")


class StudySweeper(basic_sweeper.BasicSweeper):
    """Hydra's basic sweeper with cases, every job checked before the first starts, a live table and a report."""

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        cases: Sequence[str] | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.cases = cases

    def sweep(self, arguments: list[str]) -> Any:
        """Expand the grid of `hydra.sweeper.params` and of the command line, and train it; exits the process."""
        try:
            sys.exit(self._sweep(arguments))
        except ConfigError as error:
            sys.exit(f"error: {error}")

    def _sweep(self, arguments: list[str]) -> int:
        from rl_warmup.run.jobs import compose_jobs
        from rl_warmup.run.sweep import run_sweep

        context = self.hydra_context
        assert self.config is not None
        assert context is not None
        combinations = self.combinations(arguments)
        console = Console()
        with console.status(f"checking {counted(len(combinations), 'run')}"):
            jobs = compose_jobs(combinations, SweepComposer(context.config_loader, self.config))
            launch = self._launch_by(console, [job.config for job in jobs])
        command = command_of(self.config.hydra)
        return run_sweep(jobs, self._in_batches(launch), command, console, self._memory)

    def _memory(self, configs: Sequence[RunConfig]) -> list[str]:
        """What a plan says of the memory that runs need by the launcher that was chosen."""
        from hydra_plugins.rl_warmup.launcher import StackedLauncher
        from rl_warmup.run.launch.memory import check_fits, memory_words

        launcher = self.launcher
        if isinstance(launcher, StackedLauncher):
            return launcher.memory(configs)
        joblib = vars(launcher).get("joblib")
        groups, processes = [[config] for config in configs], joblib["n_jobs"] if joblib else 1
        check_fits(groups, processes, "fewer hydra.launcher.n_jobs" if joblib else "a machine with more")
        return memory_words(groups, processes)

    def combinations(self, arguments: list[str]) -> list[list[str]]:
        """The overrides of every job: the grid of `hydra.sweeper.params` and of the command line, which wins.

        With `hydra.sweeper.cases` there is such a grid for each of them.

        Raises:
            ConfigError: for several studies, an interval instead of values, an empty list, or a key that both the
                cases and the command line set.
        """
        return [jobs for case in self.cases or [""] for jobs in self._grid(shlex.split(case), arguments)]

    def _grid(self, case: list[str], arguments: list[str]) -> list[list[str]]:
        """The overrides of the jobs of one case."""
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        own, given = (
            {override.get_key_element(): override.input_line for override in parser.parse_overrides(texts)}
            for texts in (case, arguments)
        )
        for key in own.keys() & given.keys():
            raise ConfigError(
                f"{given[key]}: a case of this sweep has {own[key]}; choose cases instead, "
                f"'hydra.sweeper.cases=[\"{' '.join(case)}\"]'"
            )
        overrides = parser.parse_overrides([*self._parse_config(), *case, *arguments])
        for override in (override for override in overrides if override.is_sweep_override()):
            if override.get_key_element() == "study":
                raise ConfigError(f"{override.input_line} asks for several studies; run them one after the other")
            if not override.is_discrete_sweep():
                raise ConfigError(f"{override.input_line} has no list of values; use choice(…) or range(…)")
            if next(override.sweep_string_iterator(), None) is None:
                raise ConfigError(f"{override.input_line} has no value at all, so that there is nothing to train")
        (combinations,) = self.split_arguments(overrides, None)
        return list(combinations)

    def _in_batches(self, launch: "Launch") -> "Launch":
        """What launches at most `hydra.sweeper.max_batch_size` jobs, and more when these are over."""
        size = self.max_batch_size
        if size is not None and size < 1:
            raise ConfigError(f"hydra.sweeper.max_batch_size={size} is too small; use 1 or more, or null for all")
        batches: Any = self.split_overrides_to_chunks
        return lambda jobs: {
            run: why for batch in batches(jobs, size) for run, why in (launch(batch) or {}).items()
        }

    def _launch_by(self, console: Console, configs: list[RunConfig]) -> "Launch":
        """What trains jobs by the launcher that was chosen, after a check that it can."""
        from hydra_plugins.rl_warmup.launcher import StackedLauncher

        launcher = self.launcher
        assert launcher is not None
        if isinstance(launcher, StackedLauncher):
            if configs[0].plan_only:
                return lambda todo: None
            launcher.check(configs)
            if any((config.tracking.name, config.trainer.name) == ("wandb", "stacked") for config in configs):
                console.print(
                    "W&B: the sweep's progress is tracked in one run; the members of stacks are sent at the end"
                )
            return lambda todo: launcher.launch_runs([job.config for job in todo])
        if any(config.trainer.name == "stacked" for config in configs):
            console.print(
                "This launcher trains stacked runs one by one; hydra/launcher=stacked trains them together"
            )
        if "joblib" in vars(launcher):
            _limit_joblib(vars(launcher)["joblib"], configs)
        return lambda todo: _failures(todo, launcher.launch([job.overrides for job in todo], initial_job_idx=0))


def _failures(jobs: "list[Job]", returned: Sequence[JobReturn] | None) -> dict[str, str]:
    """Why jobs failed, by the ids of their runs, of what a launcher of Hydra's returns."""
    from rl_warmup.run.launch.processes import RunFailed

    failed = {
        job.folder.name: result._return_value
        for job, result in zip(jobs, returned or (), strict=False)
        if result.status is JobStatus.FAILED
    }
    return {
        run: str(error)
        if isinstance(error, ConfigError | RunFailed)
        else f"{type(error).__name__}: {first_line(error)}"
        for run, error in failed.items()
    }


def _limit_joblib(settings: dict[str, Any], configs: list[RunConfig]) -> None:
    """Let joblib.Parallel train no more runs at a time than the cores have room for."""
    import joblib

    from rl_warmup.run.launch.processes import processes_for

    if settings["n_jobs"] == 0:
        raise ConfigError("hydra.launcher.n_jobs=0 trains nothing; use 1 or more, or -1 for every core")
    settings["n_jobs"] = processes_for(configs, joblib.effective_n_jobs(settings["n_jobs"]))
