"""The algorithms, and what is needed of them outside the trainers that implement them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rl_warmup.config.schema import AlgoConfig, DQNConfig, PPOConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.schedules.phases import Phases, dqn_phases, ppo_phases


@dataclass(frozen=True)
class Algorithm:
    """What the code outside the trainers needs of an algorithm."""

    config: type[AlgoConfig]
    learning_rate: float  # Stable-Baselines3's default
    count_phases: Callable[..., Phases]  # of a budget, and of:
    sizes: tuple[str, ...]  # the settings that its update phases depend on
    check: Callable[[Any], None]  # refuses what is out of range only together
    columns: tuple[str, ...]  # of the table `updates`, beside those of all algorithms
    shown: tuple[str, ...]  # those of them that the figure of diagnostics draws
    experience: Callable[[Any, Phases, int, int, bool], int]  # bytes that an agent keeps, see `_rollout`
    discrete: bool  # whether it can act by discrete actions only

    def phases(self, total_timesteps: int, setting: Callable[[str], int]) -> Phases:
        """Update phases of a run.

        Args:
            setting: gives the algorithm's settings by their names.
        """
        return self.count_phases(total_timesteps, **{name: setting(name) for name in self.sizes})


def _check_shared(algo: AlgoConfig) -> None:
    if algo.prefill and not algo.normalize:
        raise ConfigError(
            f"algo.prefill={algo.prefill} fills the statistics of normalization, and algo.normalize=false has "
            "none; use algo.normalize=true, or leave algo.prefill out"
        )
    if algo.layer_norm and not algo.net_arch:
        raise ConfigError(
            f"algo.layer_norm=true is for the layers of algo.net_arch, and algo.net_arch=[] has none behind "
            f"algo.extractor={algo.extractor}; give it layers, or leave algo.layer_norm out"
        )


def _check_ppo(algo: PPOConfig) -> None:
    _check_shared(algo)
    for size, transitions in (("batch_size", algo.batch_size), ("n_steps", algo.n_steps * algo.n_envs)):
        if transitions < 2:
            raise ConfigError(f"algo.{size}={transitions}: PPO normalises advantages and needs 2 transitions")
    if algo.sde_sample_freq != -1 and not algo.use_sde:
        raise ConfigError(
            f"algo.sde_sample_freq={algo.sde_sample_freq} has no meaning without algo.use_sde=true; give both or "
            "neither"
        )


def _rollout(algo: PPOConfig, phases: Phases, size: int, width: int, stacked: bool) -> int:
    """Bytes of a rollout whose observations have `size` numbers of `width` bytes, of a member of a stack or not."""
    # Observations twice, a handful of numbers, and the orders of the epochs with the words they are drawn from.
    return algo.n_steps * algo.n_envs * (2 * size * width + 4 * (16 + (6 * algo.n_epochs if stacked else 0)))


def _replay(algo: DQNConfig, phases: Phases, size: int, width: int, stacked: bool) -> int:
    """Bytes of a replay buffer, see `_rollout`; a stack keeps images once, and one more for every tenth."""
    drawn = 4 * 6 * int(phases.n_steps.max()) * algo.batch_size if stacked else 0
    images = (11 * size // 10 if width == 1 else 2 * size * width) if stacked else 2 * size * width
    return min(algo.buffer_size, phases.env_steps) * (images + (12 if width > 1 else 16)) + drawn


ALGORITHMS: Mapping[str, Algorithm] = {
    "ppo": Algorithm(
        config=PPOConfig,
        learning_rate=3e-4,
        count_phases=ppo_phases,
        sizes=("n_envs", "n_steps", "batch_size", "n_epochs"),
        check=_check_ppo,
        columns=("approx_kl", "clip_fraction", "entropy", "explained_variance", "policy_loss", "value_loss"),
        shown=("approx_kl", "clip_fraction"),
        experience=_rollout,
        discrete=False,
    ),
    "dqn": Algorithm(
        config=DQNConfig,
        learning_rate=1e-4,
        count_phases=dqn_phases,
        sizes=("n_envs", "train_freq", "gradient_steps", "learning_starts", "target_update_interval"),
        check=_check_shared,
        columns=("q_mean_abs", "q_max_abs", "td_error_mean", "exploration_rate"),
        shown=("td_error_mean", "q_max_abs"),
        experience=_replay,
        discrete=True,
    ),
}


def recorded_phases(settings: Mapping[str, Any]) -> Phases | None:
    """Phases of a run by its canonical config, given by dotted keys; None if that lacks what they depend on."""
    try:
        algorithm, total = ALGORITHMS[settings["algo.name"]], int(settings["total_timesteps"])
        return algorithm.phases(total, lambda name: int(settings[f"algo.{name}"]))
    except KeyError:
        return None
