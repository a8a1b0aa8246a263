"""What baselines.py trains again, cheapest first: settings, seeds, and the figures that were published.

The learning rate, its schedule and the other hyperparameters are those of conf/tuned/ unless `overrides` says
otherwise; no case is warmed up. plain.py has the same settings in Stable-Baselines3's own words, by the same names.
"""

from dataclasses import dataclass

from sweeps import SB3, STACKED

TWO_PROCESSES = (*SB3, "hydra.launcher.n_jobs=2")


@dataclass(frozen=True)
class Published:
    """A published return: mean ± standard deviation."""

    mean: float
    sd: float | None  # over `seeds` runs; of one run, over its evaluation episodes
    source: str
    seeds: int = 1


@dataclass(frozen=True)
class Case:
    """One algorithm on one environment in published settings."""

    algo: str
    env: str
    seeds: int
    plain: int  # seeds of plain Stable-Baselines3, fewer where a run takes minutes; 0: published, or too long
    published: Published | None = None
    overrides: tuple[str, ...] = ()
    trainer: tuple[str, ...] = STACKED
    measure: str = (
        "final"  # return of the final policy, deterministic; `training`: of the last 100 training episodes
    )
    note: str = ""  # where the published run differs


ZOO = "rl-baselines3-zoo, benchmark.md"
LINEAR = ("schedule=linear",)
CLEANRL_PPO = (
    *("schedule=linear", "learning_rate=2.5e-4", "total_timesteps=500000", "algo.n_envs=4", "algo.normalize=false"),
    *("algo.n_steps=128", "algo.batch_size=128", "algo.n_epochs=4", "algo.gamma=0.99", "algo.gae_lambda=0.95"),
    *("algo.clip_range=0.2", "algo.clip_range_schedule=constant", "algo.ent_coef=0.01", "algo.vf_coef=0.5"),
)
CLEANRL_DQN = (
    *("learning_rate=2.5e-4", "total_timesteps=500000", "algo.buffer_size=10000", "algo.gamma=0.99"),
    *("algo.target_update_interval=500", "algo.batch_size=128", "algo.exploration_fraction=0.5"),
    *("algo.exploration_final_eps=0.05", "algo.learning_starts=10000", "algo.train_freq=10"),
    *("algo.gradient_steps=1", "algo.max_grad_norm=null", "algo.loss=mse", "algo.net_arch=[120,84]"),
)
GYMNAX = (  # without the value loss that is clipped
    "env.kwargs={sticky_action_prob: 0.0}",
    "env.wrappers=[rl_warmup.envs.wrappers.ChannelsFirst,{gymnasium.wrappers.TimeLimit:{max_episode_steps:1000}}]",
    *("algo.extractor=flatten", "algo.net_arch=[256,256]", "algo.activation=relu"),
)
CLEANRL_PPO_NOTE = "CleanRL clips the value loss and takes the end of time for the end of the task"
CLEANRL_DQN_NOTE = "squared loss and no clipping, as CleanRL"
VIEW = "the zoo also shows the mission, which never changes"


def zoo(mean: float, sd: float, version: str = "") -> Published:
    """Of the zoo's one run, by its deterministic policy."""
    return Published(mean, sd, f"{ZOO}{f', version {version} of the environment' if version else ''}")


GYMNAX_BREAKOUT = Published(28, None, "gymnax-blines, read off its figure")

CASES = {
    "ppo-cartpole": Case("ppo", "cartpole", 20, 20, zoo(500, 0), LINEAR),
    "dqn-cartpole": Case("dqn", "cartpole", 20, 20, zoo(500, 0)),
    "dqn-cartpole_stable": Case(
        "dqn", "cartpole", 20, 20, overrides=("tuned@_global_=dqn/cartpole_stable",), note="a setting of ours"
    ),
    "ppo-mountaincar_continuous": Case("ppo", "mountaincar_continuous", 20, 20, zoo(88.343, 2.572)),
    "ppo-pendulum": Case("ppo", "pendulum", 20, 20, zoo(-172.225, 104.159)),
    "ppo-acrobot": Case("ppo", "acrobot", 20, 5, zoo(-73.506, 18.201)),
    "ppo-mountaincar": Case("ppo", "mountaincar", 20, 5, zoo(-110.423, 19.473)),
    "cleanrl-ppo-cartpole": Case(
        *("ppo", "cartpole", 20, 0, Published(490.04, 6.12, "CleanRL, docs/rl-algorithms/ppo.md", 3)),
        overrides=CLEANRL_PPO,
        measure="training",
        note=CLEANRL_PPO_NOTE,
    ),
    "cleanrl-ppo-acrobot": Case(
        *("ppo", "acrobot", 20, 0, Published(-86.36, 1.32, "CleanRL, docs/rl-algorithms/ppo.md", 3)),
        overrides=CLEANRL_PPO,
        measure="training",
        note=CLEANRL_PPO_NOTE,
    ),
    "cleanrl-dqn-cartpole": Case(
        *("dqn", "cartpole", 20, 0, Published(488.69, 16.11, "CleanRL, docs/rl-algorithms/dqn.md", 3)),
        overrides=CLEANRL_DQN,
        measure="training",
        note=CLEANRL_DQN_NOTE,
    ),
    "cleanrl-dqn-acrobot": Case(
        *("dqn", "acrobot", 20, 0, Published(-91.54, 7.20, "CleanRL, docs/rl-algorithms/dqn.md", 3)),
        overrides=CLEANRL_DQN,
        measure="training",
        note=CLEANRL_DQN_NOTE,
    ),
    "dqn-mountaincar": Case("dqn", "mountaincar", 20, 5, zoo(-100.849, 9.925)),
    "dqn-acrobot": Case("dqn", "acrobot", 20, 5, zoo(-76.639, 11.752)),
    "ppo-minigrid_empty": Case("ppo", "minigrid_empty", 10, 5, note=f"{VIEW}, and has 5x5"),
    "ppo-minigrid_doorkey": Case(
        *("ppo", "minigrid_doorkey", 10, 5, Published(0.97, None, "sb3/ppo-MiniGrid-DoorKey-5x5-v0, model card")),
        note=f"{VIEW}; published: stochastic policy",
    ),
    "ppo-lunarlander": Case("ppo", "lunarlander", 10, 5, zoo(242.119, 31.823, "2")),
    "dqn-lunarlander": Case("dqn", "lunarlander", 10, 5, zoo(154.382, 79.241, "2")),
    "dqn-minigrid_empty": Case("dqn", "minigrid_empty", 10, 3),
    "dqn-minigrid_doorkey": Case("dqn", "minigrid_doorkey", 10, 3),
    "ppo-hopper": Case(
        *("ppo", "hopper", 5, 4, zoo(2410.435, 10.026, "3")),
        note="the agents stand still, worth 1000; so do five seeds of version 3 in the zoo's issue 376",
    ),
    "ppo-halfcheetah": Case("ppo", "halfcheetah", 5, 4, zoo(5819.099, 663.530, "3")),
    "dqn-minigrid_fourrooms": Case("dqn", "minigrid_fourrooms", 10, 0),
    "ppo-minigrid_fourrooms": Case("ppo", "minigrid_fourrooms", 10, 0, note=VIEW),
    "ppo-minigrid_fourrooms_1m": Case(
        "ppo", "minigrid_fourrooms", 10, 4, overrides=("total_timesteps=1000000",), note="the budget of study=tuned"
    ),
    "ppo-minatar_breakout": Case(
        *("ppo", "minatar_breakout", 5, 3, GYMNAX_BREAKOUT),
        note="gymnax-blines: an MLP, clipped value loss, no sticky actions",
    ),
    "gymnax-ppo-minatar_breakout": Case(
        *("ppo", "minatar_breakout", 4, 0, GYMNAX_BREAKOUT),
        overrides=GYMNAX,
        measure="training",
        note="gymnax-blines clips the value loss, and is evaluated by 164 episodes of the stochastic policy",
    ),
    "ppo-pong": Case(
        *("ppo", "pong", 2, 0, zoo(20.989, 0.105)),
        overrides=("schedule=linear", "total_timesteps=1500000", "evaluation.count=10", "evaluation.episodes=10"),
        trainer=TWO_PROCESSES,
        note="published: 10M steps, stochastic policy",
    ),
}
