"""The columns of `diagnostics=full`, and that a run without them is what it was."""

from helpers.configs import Configure

from rl_warmup.config.columns import further_columns
from rl_warmup.config.identity import identity, run_id
from rl_warmup.config.inside import inside_columns

PPO = {"name": "ppo", "net_arch": [8], "extractor": "small_cnn"}
DQN = {"name": "dqn", "net_arch": []}


def test_columns_are_those_of_the_contract() -> None:
    found = inside_columns({"diagnostics": "full", "algo": PPO})
    layers = ["extractor_1", "extractor_2", "actor_1", "actor_out", "critic_1", "critic_out"]
    assert found[:6] == (
        *("critical_sharpness", "sharpness", "stability_limit", "churn", "policy_kl", "policy_entropy"),
    )
    parts = [
        f"{name}_{part}"
        for name in ("dormant", "dead", "effective_rank", "noise_scale")
        for part in ("actor", "critic")
    ]
    assert list(found[6:14]) == parts
    assert list(found[14:]) == [f"{what}_{layer}" for what in ("relative_update", "angle") for layer in layers]
    assert inside_columns({"diagnostics": "full", "algo": DQN}) == (
        *("critical_sharpness", "sharpness", "stability_limit", "churn"),
        *("dormant_critic", "dead_critic", "effective_rank_critic", "noise_scale_critic"),
        *("relative_update_critic_out", "angle_critic_out"),
    )


def test_basic_runs_have_no_further_columns_and_their_ids_stay(configure: Configure) -> None:
    basic, said, full = configure(), configure("diagnostics=basic"), configure("diagnostics=full")
    assert run_id(basic) == run_id(said) != run_id(full)
    assert "diagnostics" not in identity(basic)
    assert identity(full) == identity(basic) | {"diagnostics": "full"}
    assert further_columns(identity(basic)) == further_columns({"algo": PPO}) == ()
    assert further_columns(identity(full)) == inside_columns(identity(full)) != ()


def test_they_come_beside_those_of_a_warmup_of_a_part(configure: Configure) -> None:
    found = further_columns(identity(configure("diagnostics=full", "warmup.on=critic")))
    assert found[:3] == ("learning_rate_mean_actor", "learning_rate_mean_critic", "critical_sharpness")
