"""The arms of arms.py: as they are typed, what they do, and where that comes from."""

from dataclasses import dataclass

BOTH, PPO, DQN = ("ppo", "dqn"), ("ppo",), ("dqn",)


@dataclass(frozen=True)
class Arm:
    """An arm, on top of published settings."""

    overrides: tuple[str, ...]
    formula: str
    source: str
    algos: tuple[str, ...] = BOTH
    planned: bool = True  # whether its rates are known before the training


def on_a_ramp(words: str, formula: str, source: str, algos: tuple[str, ...] = BOTH) -> Arm:
    """A control, or another use, of a linear warmup over 10% of the gradient steps."""
    return Arm(("warmup=linear", *words.split()), formula, source, algos)


def without_warmup(
    words: str, formula: str, source: str, algos: tuple[str, ...] = BOTH, planned: bool = True
) -> Arm:
    """A rival of warmup, or a setting that varies a mechanism."""
    return Arm(("warmup=none", *words.split()), formula, source, algos, planned)


OPTIMIZERS = (
    ("adamw", "decoupled weight decay", "Loshchilov and Hutter, 1711.05101"),
    ("radam", "momentum steps, then Adam · r_t", "Liu et al., 1908.03265; torch"),
    ("sgd", "p − lr · g", "torch"),
    ("rmsprop", "p − lr · g/(√v + eps)", "torch"),
    ("adam_uncorrected", "Adam without bias correction", "Kingma and Ba, 1412.6980, without section 3"),
    ("gi_adam", "Adam with v_0 = g_0²", "Kalra and Barkeshli, 2406.09405"),
    ("adam_rel", "Adam's count restarts at every new objective", "Ellis et al., 2412.17113"),
    ("adam_rel_mean", "Adam at the mean factor of adam_rel's counts", "its control"),
)

ARMS = [
    Arm(("warmup=none",), "the base schedule from the first step on", "–"),
    Arm(("warmup=linear",), "ω = min(1, (k+1)/W), W 10% of the gradient steps", "Goyal et al., 1706.02677"),
    on_a_ramp("warmup.control=matched", "rate · (1 − B) throughout", "dose without a ramp"),
    on_a_ramp("warmup.control=reversed", "ω at step T−1−k: an annealing", "dose at the end"),
    on_a_ramp("warmup.control=dip", "ω at step k−⌊T/2⌋ from the middle on, 1 before", "dose once it has learned"),
    on_a_ramp("warmup.control=delayed", "no optimizer step for the first Σ(1−ω), then the peak", "fewer steps"),
    on_a_ramp("warmup.control=moment_only", "rate 0 while ω < 1, then the peak", "moments filled, nothing else"),
    on_a_ramp("warmup.length=20 warmup.repeat=rollout", "the ramp again at every rollout", "moving targets"),
    on_a_ramp(
        "warmup.length=40 warmup.repeat=target_update",
        "the ramp again at every target network",
        "moving targets",
        DQN,
    ),
    on_a_ramp("warmup.length=40 warmup.repeat=300", "the ramp again every 300 gradient steps", "cyclic warmups"),
    Arm(("warmup=sqrt", "warmup.match=linear:0.1"), "√x over the length at which B is the same", "the shape alone"),
    on_a_ramp("warmup.on=actor", "ω for the actor and the shared extractor", "DNA, 2206.10027", PPO),
    on_a_ramp("warmup.on=critic", "ω for the critic alone", "DNA, 2206.10027", PPO),
    on_a_ramp("warmup.of=clip_range", "ω on the clip range, once per update", "used in practice", PPO),
    on_a_ramp("warmup.of=entropy algo.ent_coef=0.01", "ω on the entropy coefficient", "used in practice", PPO),
    Arm(("warmup=dreamer",), "linear, 1000 gradient steps", "danijar/dreamerv3"),
    Arm(("warmup=amago",), "linear, 500 gradient steps", "UT-Austin-RPL/amago"),
    Arm(("warmup=muzero",), "linear, 1% of the gradient steps", "YeWR/EfficientZero"),
    Arm(("warmup=llm",), "linear over 3%, then half a cosine to 0", "OpenRLHF/OpenRLHF"),
    Arm(("warmup=pqn",), "RAdam's rectification as a factor on Adam", "mttga/purejaxql; 1908.03265"),
    *(Arm((f"optimizer={name}", "warmup=linear"), formula, source) for name, formula, source in OPTIMIZERS),
    without_warmup(
        "algo.optimizer.eps=1e-3", "a larger eps: smaller steps where v is small", "Lyle et al., 2303.01486"
    ),
    without_warmup("algo.max_grad_norm=null", "no clipping of the gradient", "–"),
    without_warmup(
        "algo.target_kl=0.01", "an update ends once a minibatch has a KL above 1.5 · .01", "SB3", PPO, False
    ),
    without_warmup(
        "schedule=kl_adaptive", "rate / 1.5 above 2 · .008 of KL, · 1.5 below .008/2", "rl_games", PPO, False
    ),
    without_warmup("algo.layer_norm=true", "LayerNorm before each activation", "Ba et al., 1607.06450"),
    without_warmup("algo.loss=mse", "a squared loss in Huber's place", "CleanRL", DQN),
    without_warmup(
        "algo.normalize=true algo.prefill=2000", "statistics of 2000 random steps first", "normalization"
    ),
    on_a_ramp("init.timesteps=4000", "from a trained agent, with Adam's moments and count", "fine-tuning"),
    on_a_ramp("init.timesteps=4000 init.optimizer=fresh", "from a trained agent, with a fresh Adam", "2006.05987"),
    on_a_ramp(
        "init.timesteps=4000 init.critic_only=100", "first 100 steps of the critic", "VC-PPO, 2503.01491", PPO
    ),
    on_a_ramp(
        "init.timesteps=4000 init.replay=kept", "from an agent and its replay buffer", "WSRL, 2412.07762", DQN
    ),
]
