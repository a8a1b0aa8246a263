import math

import numpy as np
import pytest
import torch
from helpers.configs import SHORT, TINY, Configure, probe
from helpers.sinks import by_sb3
from stable_baselines3.common.vec_env import VecNormalize

from rl_warmup.config.learning_rate import phases_of
from rl_warmup.schedules.phases import evaluation_grid
from rl_warmup.trainers.sb3.observe import observed_training
from rl_warmup.trainers.sb3.train import build_model, training_env


def rows_of(config):
    return by_sb3(config).rows


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


def plain_and_observed(config):
    """The same model trained by Stable-Baselines3 alone, and under observation."""
    models = []
    for observed in (False, True):
        model = build_model(config, training_env(config))
        if observed:
            with observed_training(model, config, lambda table, row: None):
                model.learn(config.total_timesteps)
        else:
            model.learn(config.total_timesteps)
        models.append(model)
    return models


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_observation_does_not_change_training(algo, configure: Configure):
    plain, observed = plain_and_observed(configure(*TINY[algo], *SHORT, "warmup=none"))
    assert torch.equal(weights(plain), weights(observed))
    assert "train" not in vars(observed)


@pytest.mark.parametrize("extra", [[], ["algo.normalize=true"]])
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_evaluation_does_not_change_training(algo, extra, configure: Configure):
    rare, often = (
        rows_of(configure(*TINY[algo], *extra, "warmup=none", f"evaluation.count={count}")) for count in (2, 9)
    )
    assert rare["updates"] == often["updates"]
    assert rare["episodes"] == often["episodes"]
    assert rare["evaluations"][-1]["env_step"] == often["evaluations"][-1]["env_step"]


def test_an_evaluation_does_not_depend_on_earlier_ones(configure: Configure):
    """Also where a reset does not undo everything."""
    rows = rows_of(configure(*TINY["ppo"], *probe("aging"), "learning_rate=1e-3", "evaluation.count=4"))
    assert [row["returns"] for row in rows["evaluations"]] == [[5.0] * 10] * 4


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_the_same_seed_gives_identical_rows_and_another_seed_others(algo, configure: Configure):
    first, again, other = (rows_of(configure(*TINY[algo], *SHORT, f"seed={seed}")) for seed in (0, 0, 1))
    assert repr(first) == repr(again)
    assert first["updates"] != other["updates"]


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_arms_that_share_a_seed_share_weights_and_environments(algo, configure: Configure):
    none, linear = (rows_of(configure(*TINY[algo], *SHORT, f"warmup={name}")) for name in ("none", "linear"))
    assert none["evaluations"][0] == linear["evaluations"][0]
    first_update = none["updates"][0]["env_step"]
    before = [[row for row in rows["episodes"] if row["env_step"] <= first_update] for rows in (none, linear)]
    assert before[0] == before[1]
    assert before[0]


PPO_SETTINGS = ("n_steps", "n_epochs", "gae_lambda", "ent_coef", "vf_coef")
DQN_SETTINGS = (
    "buffer_size",
    "learning_starts",
    "gradient_steps",
    "target_update_interval",
    "exploration_fraction",
    "exploration_initial_eps",
    "exploration_final_eps",
)


@pytest.mark.parametrize("env", ["cartpole", "acrobot"])
@pytest.mark.parametrize(("algo", "names"), [("ppo", PPO_SETTINGS), ("dqn", DQN_SETTINGS)])
def test_every_tuned_value_reaches_stable_baselines3(algo, names, env, configure: Configure):
    config = configure(f"algo={algo}", f"env={env}", "schedule=linear", "warmup=none")
    model, settings = build_model(config, training_env(config)), config.algo
    for name in ("gamma", "batch_size", "max_grad_norm", "n_envs", *names):
        assert getattr(model, name) == getattr(settings, name), name
    assert (model.get_vec_normalize_env() is not None) == settings.normalize
    rates = [model.lr_schedule(remaining) for remaining in (1.0, 0.25)]
    assert rates == pytest.approx([config.learning_rate, config.learning_rate / 4])
    if algo == "ppo":
        halfway = 0.5 if settings.clip_range_schedule == "linear" else 1.0
        assert model.clip_range(0.5) == pytest.approx(halfway * settings.clip_range)
        layers = model.policy.mlp_extractor.policy_net
    else:
        assert model.train_freq.frequency == settings.train_freq
        layers = list(model.q_net.q_net)[:-1]
    assert [layer.out_features for layer in layers if hasattr(layer, "bias")] == settings.net_arch


def test_settings_of_continuous_control_reach_stable_baselines3(configure: Configure):
    sde = ["algo.use_sde=true", "algo.sde_sample_freq=4", "algo.log_std_init=-2", "algo.ortho_init=false"]
    config = configure(*TINY["ppo"], *probe("continuous"), *sde, "algo.activation=relu", "learning_rate=1e-3")
    model = build_model(config, training_env(config))
    assert (model.use_sde, model.sde_sample_freq) == (True, 4)
    assert model.policy.log_std.shape == (64, 1)
    assert (model.policy.log_std == -2).all()
    assert isinstance(model.policy.mlp_extractor.policy_net[1], torch.nn.ReLU)
    weight = model.policy.mlp_extractor.value_net[2].weight
    assert (weight @ weight.T / 2 - torch.eye(64)).abs().max() > 0.1  # it is not orthogonal
    config = configure("algo=dqn", "algo.activation=tanh")
    assert isinstance(build_model(config, training_env(config)).q_net.q_net[1], torch.nn.Tanh)


def test_evaluation_sees_what_training_sees_under_normalisation(configure: Configure, monkeypatch):
    seen, original = [], VecNormalize.normalize_obs
    monkeypatch.setattr(
        VecNormalize, "normalize_obs", lambda self, obs: seen.append(len(obs)) or original(self, obs)
    )
    config = configure(*TINY["ppo"], "algo.normalize=true", "evaluation.count=2", "evaluation.episodes=3")
    rows = rows_of(config)
    assert seen.count(3) >= sum(min(row["lengths"]) for row in rows["evaluations"])


def test_adams_eps_is_pinned(configure: Configure):
    for algo, eps in (("ppo", 1e-5), ("dqn", 1e-8)):
        config = configure(*TINY[algo], *SHORT)
        group = build_model(config, training_env(config)).policy.optimizer.param_groups[0]
        assert (group["eps"], tuple(group["betas"])) == (eps, (0.9, 0.999))


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_evaluations_are_on_the_grid_and_the_last_follows_the_last_update(algo, configure: Configure):
    config = configure(*TINY[algo], "evaluation.count=5", "evaluation.episodes=3")
    rows = rows_of(config)
    grid = evaluation_grid(phases_of(config), 5, config.algo.n_envs)
    assert [row["env_step"] for row in rows["evaluations"]] == grid.tolist()
    assert rows["updates"][-1]["env_step"] <= grid[-1] == phases_of(config).env_steps
    assert all(len(row["returns"]) == len(row["lengths"]) == 3 for row in rows["evaluations"])
    assert all(row["returns"] == row["lengths"] for row in rows["evaluations"])  # CartPole pays 1 a step


def test_training_episodes_are_whole_and_raw_under_normalisation(configure: Configure):
    rows = rows_of(configure(*TINY["ppo"], *SHORT, "algo.normalize=true"))
    assert all(row["return"] == row["length"] for row in rows["episodes"])
    assert 0 < sum(row["length"] for row in rows["episodes"]) <= 256


@pytest.mark.parametrize(
    "overrides", [["algo.max_grad_norm=1e-9"], ["algo.max_grad_norm=1e9"], ["algo.max_grad_norm=null"]]
)
def test_share_of_clipped_steps(overrides, configure: Configure):
    rows = rows_of(configure(*TINY["ppo"], *SHORT, *overrides))["updates"]
    expected = 1.0 if "e-9" in overrides[0] else 0.0
    assert {row["clipped_share"] for row in rows} == {expected}
    assert all(0 < row["grad_norm_mean"] <= row["grad_norm_max"] for row in rows)


def test_ppo_diagnostics_against_slow_ones(configure: Configure):
    config = configure(*TINY["ppo"], *SHORT, "learning_rate=0.01")
    model, rows, slow = build_model(config, training_env(config)), [], []

    def check(table, row):
        rows.append(row)
        buffer = model.rollout_buffer
        log_ratios = []
        for observation, action, old in zip(buffer.observations, buffer.actions, buffer.log_probs, strict=True):
            distribution = model.policy.get_distribution(torch.as_tensor(observation[None]))
            new = distribution.log_prob(torch.as_tensor(action)).item()
            log_ratios.append(new - float(old.item()))
        slow.append(np.mean([math.exp(x) - 1 - x for x in log_ratios]))

    before = weights(model)
    with observed_training(model, config, check):
        model.learn(32)
    moved = float((weights(model) - before).norm() / before.norm())
    assert rows[0]["relative_update"] == pytest.approx(moved, rel=1e-5)
    assert rows[0]["approx_kl"] == pytest.approx(slow[0], rel=1e-3, abs=1e-7)
    assert rows[0]["approx_kl"] > 0
    assert 0 < rows[0]["entropy"] <= math.log(2) + 1e-6
    expected = rows[0]["policy_loss"] + 0.5 * rows[0]["value_loss"]
    assert rows[0]["loss"] == pytest.approx(expected, rel=1e-6)


def test_dqn_diagnostics_against_slow_ones(configure: Configure):
    config = configure(*TINY["dqn"], *SHORT, "algo.gradient_steps=1", "total_timesteps=32", "warmup=none")
    model, rows, slow = build_model(config, training_env(config)), [], []
    sample = model.replay_buffer.sample

    def spied(*args, **kwargs):
        batch = sample(*args, **kwargs)
        with torch.no_grad():
            q = model.q_net(batch.observations).gather(1, batch.actions.long())
            best = model.q_net_target(batch.next_observations).max(1, keepdim=True).values
            target = batch.rewards + 0.99 * (1 - batch.dones) * best
        slow.append((q.abs().mean(), max(q.abs().max(), target.abs().max()), (q - target).abs().mean()))
        return batch

    model.replay_buffer.sample = spied
    with observed_training(model, config, lambda table, row: rows.append(row)):
        model.learn(32)
    assert len(rows) == len(slow) == 1
    recorded = [rows[0][name] for name in ("q_mean_abs", "q_max_abs", "td_error_mean")]
    np.testing.assert_allclose(recorded, slow[0], rtol=1e-6)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("kind", ["action", "delayed"])
def test_probe_environments_are_solved(kind, algo, configure: Configure):
    fast = {
        "ppo": ["total_timesteps=2000", "learning_rate=0.003", "algo.n_envs=4", "algo.n_steps=16"],
        "dqn": [
            "algo=dqn",
            "total_timesteps=1500",
            "learning_rate=0.003",
            "algo.learning_starts=100",
            "algo.train_freq=4",
            "algo.gradient_steps=2",
            "algo.net_arch=[32]",
        ],
    }[algo]
    rows = rows_of(configure(*probe(kind), *fast, "algo.batch_size=64", *SHORT))
    assert rows["evaluations"][-1]["returns"] == [1.0]


@pytest.mark.parametrize(
    ("algo", "how"), [("ppo", ["learning_rate=1e30"]), ("dqn", ["learning_rate=1e30"]), ("ppo", probe("explode"))]
)
def test_divergence_is_found_after_the_update_phase_and_what_came_before_is_kept(algo, how, configure: Configure):
    config = configure(*TINY[algo], *how, "evaluation.count=5", "warmup=none")
    sink = by_sb3(config)
    assert "non-finite" in sink.diverged
    assert sink.rows["evaluations"]
    assert len(sink.rows["updates"]) <= 3
