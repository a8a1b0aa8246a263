"""The typed schema of a run's configuration; the values are in conf/."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.settings import (
    BELOW_ONE,
    FINITE,
    NAME_BYTES,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Bound,
    is_short,
    least,
    one_of,
    setting,
)
from rl_warmup.schedules.controls import CONTROLS

MISSING: Any = "???"  # OmegaConf's sign for a value that must be given
ACTIVATION = one_of("tanh", "relu")
ORDER = one_of("pooled_first", "holm")
WANDB_NAME = Bound(
    re.compile(r"[^/\\#?%:]{1,128}").fullmatch,
    "is not a name that W&B takes; use 1 to 128 characters, none of them / \\ # ? % :",
)
WRAPPERS = Bound(
    lambda wrappers: all(map(_is_wrapper, wrappers)),
    "is no list of wrappers; use dotted paths, gymnasium.wrappers.FlattenObservation, or {path: {argument: value}}",
)
MAPPING = Bound(lambda given: isinstance(given, dict), "is no mapping; use {name: value}, {} or null")
REPEAT = Bound(
    lambda given: given in ("rollout", "target_update") or (type(given) is int and given >= 1),
    "repeats nothing; use rollout, target_update or a number of gradient steps",
)
SEED = Bound(lambda seed: 0 <= seed < 2**32, f"is not a seed; use a whole number from 0 to {2**32 - 1}")


def _is_wrapper(entry: Any) -> bool:
    if isinstance(entry, dict) and len(entry) == 1:
        ((entry, arguments),) = entry.items()
        if arguments is not None and not isinstance(arguments, dict):
            return False
    return isinstance(entry, str) and re.fullmatch(r"\w+(\.\w+)+", entry) is not None


@dataclass
class OptimizerConfig:
    """The optimizer; eps is pinned in every arm (Stable-Baselines3 changes it with the way it is configured)."""

    name: str = setting("adam", one_of(*OPTIMIZERS), identity="changed")
    beta1: float = setting(0.9, BELOW_ONE, per_member=True)  # the momentum of sgd and rmsprop
    # null where there are no second moments: sgd
    beta2: float | None = setting(0.999, BELOW_ONE, per_member=True)
    eps: float | None = setting(1e-8, POSITIVE, per_member=True)
    # lr·decay·p off the parameters p of adamw, decay·p onto the gradient of the others
    weight_decay: float = setting(0.0, NOT_NEGATIVE, identity="changed", per_member=True)


@dataclass
class EnvConfig:
    """An environment and the fixed constants by which its returns are normalised and scored."""

    name: str = ""  # default: the id
    id: str = MISSING  # Gymnasium id
    # package that registers it when imported, or the path of a function of it that does; `package:id` does, too
    module: str | None = setting(None, identity="changed")
    kwargs: dict[str, Any] = setting(dict, identity="changed")  # of gymnasium.make
    # dotted paths, or {path: {argument: value}}, from the inside out
    wrappers: list[Any] = setting(list, WRAPPERS, identity="changed")
    # around those in training alone, e.g. clipped rewards: what the agent learns from, not what it is scored by
    training_wrappers: list[Any] = setting(list, WRAPPERS, identity="changed")
    # what EnvPool is given for the same environment: {} the id alone, null nothing; see envs/pool.py
    envpool: Any = setting(dict, MAPPING, identity="changed")
    # attributes of the environment itself in place of its own, see envs/physics.py; given as init.physics
    physics: dict[str, Any] = setting(dict, identity="changed")
    # Constants of its returns, null where they are not known; python -m rl_warmup.measure measures what can be.
    return_floor: float | None = setting(None, FINITE)  # worst attainable: what a diverged run is scored with
    return_low: float | None = setting(None, FINITE)  # return of the random policy
    return_high: float | None = setting(None, FINITE)  # reference return of a trained agent
    threshold: float | None = setting(None, FINITE)  # return from which the task counts as solved
    # returns beyond these are scored as these, so that a few cannot decide; null: return_floor, and no bound
    floor: float | None = setting(None, FINITE, identity="never")
    ceiling: float | None = setting(None, FINITE, identity="never")
    reward_max: float | None = setting(None, POSITIVE)  # largest |reward| of one step, if known: it bounds values


@dataclass
class AlgoConfig:
    """What PPO and DQN have in common."""

    name: str = MISSING
    n_envs: int = setting(1, least(1))
    normalize: bool = False  # VecNormalize: running normalisation of observations and rewards
    prefill: int = setting(0, least(0), identity="changed")  # steps of random play that fill its statistics before
    gamma: float = setting(0.99, SHARE, per_member=True)
    batch_size: int = setting(64, least(1))
    max_grad_norm: float | None = setting(0.5, POSITIVE, per_member=True)  # of the gradient; null: not clipped
    net_arch: list[int] = setting(
        lambda: [64, 64],
        Bound(lambda widths: min(widths, default=1) >= 1, "has an empty layer; use widths of 1 or more"),
    )
    extractor: str = setting(  # in front of net_arch; small_cnn and nature_cnn are for image-like observations
        "flatten", one_of("flatten", "small_cnn", "nature_cnn"), identity="changed"
    )
    activation: str = setting("tanh", ACTIVATION, identity="changed")  # between the layers of net_arch
    layer_norm: bool = setting(False, identity="changed")  # before each activation between the layers of net_arch
    optimizer: OptimizerConfig = setting(OptimizerConfig)

    @property
    def norm_limit(self) -> float:
        """The limit of the gradient's norm, infinite where it is not clipped."""
        return math.inf if self.max_grad_norm is None else self.max_grad_norm


@dataclass
class PPOConfig(AlgoConfig):
    """PPO, with the defaults of Stable-Baselines3."""

    name: str = "ppo"
    n_steps: int = setting(2048, least(1))
    n_epochs: int = setting(10, least(1))
    gae_lambda: float = setting(0.95, SHARE)
    clip_range: float = setting(0.2, POSITIVE, per_member=True)
    clip_range_schedule: str = setting(  # linear: to 0 over the run
        "constant", one_of("constant", "linear"), per_member=True
    )
    ent_coef: float = setting(0.0, FINITE, per_member=True)
    vf_coef: float = setting(0.5, FINITE, per_member=True)
    # a minibatch whose KL is above 1.5 times this ends its update, without a step; null: none does
    target_kl: float | None = setting(None, POSITIVE, identity="changed")
    ortho_init: bool = setting(True, identity="changed")  # orthogonal initial weights
    log_std_init: float = setting(0.0, FINITE, identity="changed")  # of continuous actions
    use_sde: bool = setting(False, identity="changed")  # state-dependent exploration (gSDE), arXiv 2005.05719
    sde_sample_freq: int = setting(  # steps after which its noise is drawn again; -1: once per rollout
        -1,
        Bound(lambda steps: steps >= 1 or steps == -1, "draws no noise; use 1 or more, or -1 for once per rollout"),
        identity="changed",
    )
    optimizer: OptimizerConfig = setting(lambda: OptimizerConfig(eps=1e-5))


@dataclass
class DQNConfig(AlgoConfig):
    """DQN, with the defaults of Stable-Baselines3."""

    name: str = "dqn"
    activation: str = setting("relu", ACTIVATION, identity="changed")
    batch_size: int = setting(32, least(1))
    max_grad_norm: float | None = setting(10.0, POSITIVE, per_member=True)
    buffer_size: int = setting(1_000_000, least(1))
    learning_starts: int = setting(100, least(0))
    train_freq: int = setting(4, least(1))
    gradient_steps: int = setting(
        1, Bound(lambda steps: steps >= 1 or steps == -1, "trains nothing; use 1 or more, or -1 for one a step")
    )
    target_update_interval: int = setting(10_000, least(1))
    exploration_fraction: float = setting(0.1, SHARE)
    exploration_initial_eps: float = setting(1.0, SHARE)
    exploration_final_eps: float = setting(0.05, SHARE)
    loss: str = setting("huber", one_of("huber", "mse"), identity="changed")  # of Q against its target


@dataclass
class TrainerConfig:
    """Which trainer runs the agent: `sb3` is the reference, `stacked` trains many agents at once."""

    name: str = setting("sb3", one_of("sb3", "stacked"))
    # who makes the stacked trainer's environments
    envs: str | None = setting(None, one_of("envpool", "gymnasium"), identity="changed")
    compile: bool | None = setting(None, identity="never")  # the stacked trainer's programs; null: where it pays


@dataclass
class ScheduleConfig:
    """The base learning-rate schedule, a function of the share of environment steps done; it holds no ramp."""

    name: str = "constant"
    target: str | None = setting(None, identity="changed")  # of schedule=custom: path of a function of p in [0, 1]
    target_kl: float | None = setting(None, POSITIVE, identity="changed")  # of schedule=kl_adaptive


@dataclass
class WarmupConfig:
    """The factor on the base schedule, of a warmup or its control; its numbers are checked when it is resolved."""

    name: str = setting(MISSING, identity="never")  # what the arm is called; `none` marks the control
    shape: str = setting(MISSING, per_member=True)
    # below 1 a fraction of the run, else a count of:
    length: float | None = setting(None, identity="changed", per_member=True)
    clock: str | None = setting(None, identity="changed", per_member=True)  # gradient_steps or env_steps
    start: float | None = setting(None, identity="changed", per_member=True)  # factor at which the ramp begins
    power: float | None = setting(None, identity="changed", per_member=True)  # of the polynomial shape
    # of warmup=custom: path of a function of x in [0, 1]
    target: str | None = setting(None, identity="changed", per_member=True)
    # what takes the warmup's place, see schedules/controls.py; off: no warmup at all
    control: str | None = setting(None, one_of(*CONTROLS, "off"), identity="changed", per_member=True)
    # the same ramp again: at every rollout, target_update, or after so many gradient steps
    repeat: Any = setting(None, REPEAT, identity="changed", per_member=True)
    match: str | None = setting(None, identity="never")  # shape:length whose budget decides the length
    # whose parameters: of all, or of PPO's actor (with the extractor that both share) or critic alone
    on: str = setting("all", one_of("all", "actor", "critic"), identity="changed")
    of: str = setting(  # what is multiplied: the learning rate, or PPO's clip range or entropy coefficient
        "learning_rate", one_of("learning_rate", "clip_range", "entropy"), identity="changed", per_member=True
    )


@dataclass
class InitConfig:
    """The agent that a run starts from, and what of it stays; a run from scratch has the defaults."""

    run: str | None = setting(None, identity="never")  # folder or id of a run that kept its agent; or:
    timesteps: int | None = setting(
        None, least(1)
    )  # steps for which one is trained for every seed, see `source_of`
    source: str | None = None  # what that is, independent of machine and place; derived
    learning_rate: float | None = setting(None, POSITIVE)  # of that one; default: the tuned one
    envs: str | None = setting(None, one_of("envpool", "gymnasium"))  # as trainer.envs, of that one
    optimizer: str = setting("kept", one_of("kept", "fresh"), per_member=True)
    replay: str = setting("empty", one_of("empty", "kept"))  # DQN's buffer
    critic_only: int = setting(0, least(0))  # PPO: gradient steps at first of the critic alone
    physics: dict[str, Any] = setting(dict, identity="never")  # becomes env.physics
    source_only: bool = setting(False, identity="never")  # train the source instead


@dataclass
class EvaluationConfig:
    """How often and how well a run is evaluated; the first evaluation is at step 0, the last at the end."""

    count: int = setting(20, least(2))
    episodes: int = setting(10, least(1))
    # steps after which an episode is taken for one that never ends, and the run fails
    max_steps: int = setting(200_000, least(1), identity="never")


@dataclass
class TrackingConfig:
    """Where the records are also shown: `wandb` or nowhere (`disabled`)."""

    name: str = setting("wandb", one_of("wandb", "disabled"))
    mode: str = setting("auto", one_of("auto", "online", "offline"))  # auto: online if a key is configured
    project: str = setting("rl_warmup", WANDB_NAME)
    entity: str | None = setting(None, WANDB_NAME)


@dataclass
class CheckpointConfig:
    """How often what an unfinished run needs to be resumed is kept."""

    seconds: float = setting(30.0, least(0))  # between two, more where they would take over 1% of it; 0: no pause


@dataclass
class StudyConfig:
    """A named set of cells with its control and its confirmatory comparisons."""

    name: str | None = setting(
        None,
        Bound(
            lambda name: re.fullmatch(r"\w[\w.-]*", name) and is_short(name),
            f"is not the name of a folder; use letters, digits, '_', '.' and '-', {NAME_BYTES} bytes at most",
        ),
    )
    description: str | None = None
    control: Any = None  # what the control arm's config has, e.g. {warmup.name: none}
    comparisons: list[dict[str, Any]] | None = None  # what the treatment arms' configs have, one a comparison
    contrasts: list[dict[str, Any]] | None = None  # name and arms [{weight, where}], weights summing to 0
    smallest_effect: float | None = setting(None, POSITIVE)  # a share of return_high - return_low
    looks: Any = None  # a sweep in batches of seeds that stops when all is decided: {every, most, spending}
    # of tests over several environments: the pooled questions first, or Holm over all; null: see docs/pooled.md
    order: str | None = setting(None, ORDER)


@dataclass
class RunConfig:
    """One run: everything that decides what happens in it, and where it is recorded."""

    env: EnvConfig = setting(EnvConfig)
    algo: AlgoConfig = setting(AlgoConfig)
    trainer: TrainerConfig = setting(TrainerConfig)
    schedule: ScheduleConfig = setting(ScheduleConfig, per_member=True)
    warmup: WarmupConfig = setting(WarmupConfig)
    init: InitConfig = setting(InitConfig, identity="changed")
    evaluation: EvaluationConfig = setting(EvaluationConfig)
    tracking: TrackingConfig = setting(TrackingConfig, identity="never", sweepable=False)
    checkpoint: CheckpointConfig = setting(CheckpointConfig, identity="never", sweepable=False)
    study: StudyConfig = setting(StudyConfig, identity="never", sweepable=False)
    # published for this algorithm and environment
    tuned_learning_rate: float | None = setting(None, POSITIVE, identity="never")
    learning_rate: float | None = setting(None, per_member=True)  # peak; default: the tuned one
    learning_rate_scale: float | None = setting(None, identity="never")  # peak as a multiple of the tuned one
    total_timesteps: int | None = setting(None, least(1))
    seed: int = setting(0, SEED, per_member=True)
    device: str = "auto"
    threads: int = setting(1, least(1), identity="never", sweepable=False)
    runs_dir: str = setting(
        "runs",
        Bound(
            lambda path: all(map(is_short, Path(path).parts)),
            f"has a folder of a longer name than {NAME_BYTES} bytes; use a shorter one",
        ),
        identity="never",
        sweepable=False,
    )
    # agent in model.zip: of the last evaluation, of the best, or none; null: last, but none in a sweep of many runs
    keep: str | None = setting(None, one_of("last", "best", "none"), identity="never", sweepable=False)
    keep_replay: bool = setting(False, identity="never", sweepable=False)  # DQN's buffer with it, as replay.npz
    # what is recorded of update phases: basic, or full, which also looks inside the agents (docs/inside.md)
    diagnostics: str = setting("basic", one_of("basic", "full"), identity="changed")
    retries: int = setting(2, least(0), identity="never", sweepable=False)  # how often a sweep tries a failed run
    plan_only: bool = setting(False, identity="never", sweepable=False)  # say what would be trained, and stop
