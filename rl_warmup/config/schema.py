"""The typed schema of a run's configuration; the values are in conf/."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


class ConfigError(ValueError):
    """A setting that cannot be used; the message says what, which value, and what to do."""


@dataclass
class OptimizerConfig:
    """Adam's options, pinned in every arm (Stable-Baselines3 changes eps with the way it is configured)."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass
class EnvConfig:
    """An environment and the fixed constants by which its returns are normalised and scored."""

    name: str = MISSING
    id: str = MISSING  # Gymnasium id
    return_floor: float = MISSING  # worst attainable return: what a diverged run is scored with
    return_low: float = MISSING  # return of the random policy
    return_high: float = MISSING  # reference return of a trained agent
    threshold: float = MISSING  # return from which the task counts as solved
    reward_max: float | None = None  # largest |reward| of one step, if known: it bounds what a state can be worth


@dataclass
class AlgoConfig:
    """What PPO and DQN have in common."""

    name: str = MISSING
    n_envs: int = 1
    normalize: bool = False  # VecNormalize: running normalisation of observations and rewards
    gamma: float = 0.99
    batch_size: int = 64
    max_grad_norm: float = 0.5
    net_arch: list[int] = field(default_factory=lambda: [64, 64])
    extractor: str = "flatten"  # in front of net_arch; small_cnn and nature_cnn are for image-like observations
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


@dataclass
class PPOConfig(AlgoConfig):
    """PPO, with the defaults of Stable-Baselines3."""

    name: str = "ppo"
    n_steps: int = 2048
    n_epochs: int = 10
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    clip_range_schedule: str = "constant"  # or linear: to 0 over the run
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(eps=1e-5))


@dataclass
class DQNConfig(AlgoConfig):
    """DQN, with the defaults of Stable-Baselines3."""

    name: str = "dqn"
    batch_size: int = 32
    max_grad_norm: float = 10.0
    buffer_size: int = 1_000_000
    learning_starts: int = 100
    train_freq: int = 4
    gradient_steps: int = 1
    target_update_interval: int = 10_000
    exploration_fraction: float = 0.1
    exploration_initial_eps: float = 1.0
    exploration_final_eps: float = 0.05


@dataclass
class TrainerConfig:
    """Which trainer runs the agent: `sb3` is the reference, `stacked` trains many agents at once."""

    name: str = "sb3"
    envs: str | None = None  # who makes the stacked trainer's environments: envpool or gymnasium
    compile: bool | None = None  # of the stacked trainer's update programs; by default where it pays for itself


@dataclass
class ScheduleConfig:
    """The base learning-rate schedule, a function of the share of environment steps done; it holds no ramp."""

    name: str = "constant"


@dataclass
class WarmupConfig:
    """The factor on the base schedule at the beginning of the run."""

    name: str = MISSING  # what the arm is called; `none` marks the control
    shape: str = MISSING
    length: float | None = None  # below 1 a fraction of the run, from 1 on a count in the clock's unit
    clock: str | None = None  # gradient_steps or env_steps
    start: float | None = None  # factor at which the ramp begins
    power: float | None = None  # of the polynomial shape


@dataclass
class EvaluationConfig:
    """How often and how well a run is evaluated; the first evaluation is at step 0, the last at the end."""

    count: int = 20
    episodes: int = 10


@dataclass
class TrackingConfig:
    """Where the records are also shown: `wandb` or nowhere (`disabled`)."""

    name: str = "wandb"
    mode: str = "auto"  # auto (online if a key is configured), online, offline
    project: str = "rl_warmup"
    entity: str | None = None


@dataclass
class StudyConfig:
    """A named set of cells with its control and its confirmatory comparisons."""

    name: str | None = None
    description: str | None = None
    control: Any = None  # what the control arm's config has, e.g. {warmup.name: none}
    comparisons: list[dict[str, Any]] | None = None  # what the treatment arms' configs have, one a comparison
    contrasts: list[dict[str, Any]] | None = None  # name and arms [{weight, where}], weights summing to 0
    smallest_effect: float | None = None  # in normalised units, a share of return_high - return_low


@dataclass
class RunConfig:
    """One run: everything that decides what happens in it, and where it is recorded."""

    env: EnvConfig = field(default_factory=EnvConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    tuned_learning_rate: float | None = None  # published for this algorithm and environment
    learning_rate: float | None = None  # peak; default: the tuned one
    learning_rate_scale: float | None = None  # peak as a multiple of the tuned one
    total_timesteps: int | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    runs_dir: str = "runs"
    retries: int = 2  # how often a sweep tries a failed run again
    plan_only: bool = False  # say what would be trained, and stop
