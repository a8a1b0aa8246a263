"""Trains agents with SBX or rejax, for peers.py and throughput.py, which start it in the environment that has them.

    JAX_PLATFORMS=cpu python peers_jax.py --library rejax --case ppo-cartpole --steps 51200 --agents 8

Published settings, as far as the libraries have them. SBX trains its agents one after the other, rejax all at once
by vmap. Printed: a line of JSON with the environment steps of all agents, mean last return, and each one's end.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

EPISODES = 10  # of an evaluation
Result = tuple[
    int, float, list[float]
]  # steps of all, mean return of the last evaluation, seconds to each one's end


def train_sbx(case: str, steps: int, agents: int, first_seed: int, evaluations: int) -> Result:
    """SBX's agents one after the other, in Stable-Baselines3's own environments, evaluated by its EvalCallback."""
    began = time.perf_counter()
    results, ends = [], []
    for seed in range(first_seed, first_seed + agents):
        results.append(_train_one_sbx(case, steps, seed, evaluations))
        ends.append(time.perf_counter() - began)
    return sum(done for done, _ in results), sum(value for _, value in results) / agents, ends


def _train_one_sbx(case: str, steps: int, seed: int, evaluations: int) -> tuple[int, float]:
    """The settings of plain_settings.py with a constant learning rate; SBX's DQN does not clip gradients."""
    import sbx
    from flax import linen
    from plain import evaluation, make
    from plain_settings import PLAIN
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize
    from torch import nn

    plain = PLAIN[case]
    settings = {**plain.settings, "learning_rate": _at_first(plain.settings.get("learning_rate", 3e-4))}
    network = dict(plain.network)
    if network.get("activation_fn") is nn.ReLU:
        network["activation_fn"] = linen.relu
    env = make(plain, plain.n_envs, seed)
    if plain.normalize:
        env = VecNormalize(env, gamma=settings["gamma"])
    name = plain.algo.__name__
    if name == "DQN":
        settings.pop("max_grad_norm", None)
    model = getattr(sbx, name)("MlpPolicy", env, seed=seed, policy_kwargs=network, **settings)
    fresh = evaluation(plain, env, seed)
    evaluate_policy(model, fresh, n_eval_episodes=EPISODES)
    often = steps // (evaluations - 1) // plain.n_envs
    callback = EvalCallback(fresh, n_eval_episodes=EPISODES, eval_freq=often, verbose=0)
    model.learn(steps, callback=callback)
    return model.num_timesteps, float(callback.last_mean_reward)


def _at_first(rate: float | Callable[[float], float]) -> float:
    return rate(1.0) if callable(rate) else rate


def train_rejax(case: str, steps: int, agents: int, first_seed: int, evaluations: int) -> Result:
    """All of rejax's agents in one program, evaluations included; CartPole only.

    DQN gathers the 256 steps of a phase from 256 environments at once: its loop has one set of environment steps
    before the gradient steps. Its buffer is no longer than the run, since it is sampled by sorting all of it.
    """
    import jax
    from flax import linen as nn
    from rejax import get_algo
    from rejax.algos.dqn import DiscreteQNetwork, EpsilonGreedyPolicy
    from rejax.evaluate import evaluate

    began = time.perf_counter()
    algo, env = case.split("-")
    assert env == "cartpole", case
    settings: dict[str, dict[str, Any]] = {
        "ppo": {
            "learning_rate": 1e-3,
            "num_envs": 8,
            "num_steps": 32,
            "num_minibatches": 1,
            "num_epochs": 20,
            "gamma": 0.98,
            "gae_lambda": 0.8,
            "clip_eps": 0.2,  # no schedule
            "ent_coef": 0.0,
            "max_grad_norm": 0.5,  # clips elements
            "agent_kwargs": {"activation": "tanh", "hidden_layer_sizes": (64, 64)},
        },
        "dqn": {
            "learning_rate": 2.3e-3,
            "num_envs": 256,
            "num_epochs": 128,
            "batch_size": 64,
            "buffer_size": min(100_000, steps),
            "fill_buffer": 1000,
            "gamma": 0.99,
            "target_update_freq": 10,
            "polyak": 0.0,
            "exploration_fraction": 0.16,
            "eps_end": 0.04,
            "max_grad_norm": 10.0,  # clips elements
            "ddqn": False,
        },
    }
    often = steps // (evaluations - 1)
    made = get_algo(algo).create(env="CartPole-v1", total_timesteps=steps, eval_freq=often, **settings[algo])
    if algo == "dqn":  # create() fixes 64 units
        agent = EpsilonGreedyPolicy(DiscreteQNetwork)(
            hidden_layer_sizes=(256, 256), action_dim=2, activation=nn.relu
        )
        made = made.replace(agent=agent)

    def evaluated(algorithm: Any, state: Any, key: jax.Array) -> Any:
        longest = algorithm.env_params.max_steps_in_episode
        return evaluate(algorithm.make_act(state), key, algorithm.env, algorithm.env_params, EPISODES, longest)

    made = made.replace(eval_callback=evaluated)
    keys = jax.vmap(jax.random.PRNGKey)(jax.numpy.arange(first_seed, first_seed + agents))
    state, (_, returns) = jax.block_until_ready(jax.jit(jax.vmap(made.train))(keys))
    ends = [time.perf_counter() - began] * agents
    return int(state.global_step.sum()), float(returns[:, -1].mean()), ends


def main() -> None:
    """Train and print what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", choices=("sbx", "rejax"), required=True)
    parser.add_argument("--case", default="ppo-cartpole", help="of plain_settings.py; rejax: ppo- or dqn-cartpole")
    parser.add_argument("--steps", type=int, required=True, help="environment steps of an agent")
    parser.add_argument("--agents", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=11, help="the first one before training")
    arguments = vars(parser.parse_args())
    train = {"sbx": train_sbx, "rejax": train_rejax}[arguments.pop("library")]
    env_steps, last_return, ends = train(**arguments)
    print(json.dumps({"env_steps": env_steps, "last_return": last_return, "ends": ends}))


if __name__ == "__main__":
    main()
