"""What `diagnostics=full` records of an update phase beside what every run records; its columns and their order."""

from collections.abc import Mapping
from typing import Any

_CURVATURE = ("critical_sharpness", "sharpness", "stability_limit")
_POLICY = ("churn", "policy_kl", "policy_entropy")
_NETWORK = ("dormant", "dead", "effective_rank", "noise_scale")
_EXTRACTOR_LAYERS = {"flatten": 0, "small_cnn": 2, "nature_cnn": 4}
MEASURED = "churn"
"""The column that is not null, though it may be nan, where an update phase was measured."""
PER_LAYER = ("relative_update", "angle")


def inside_columns(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of a run by its config, canonical or whole; none where it does not measure them."""
    if config.get("diagnostics", "basic") == "basic":
        return ()
    algo = config["algo"]
    ppo = algo["name"] == "ppo"
    parts = ("actor", "critic") if ppo else ("critic",)
    return (
        *_CURVATURE,
        *(_POLICY if ppo else _POLICY[:1]),
        *(f"{what}_{part}" for what in _NETWORK for part in parts),
        *(f"{what}_{layer}" for what in PER_LAYER for layer in layers_of(algo)),
    )


def layers_of(algo: Mapping[str, Any]) -> tuple[str, ...]:
    """The layers of an agent's networks.

    >>> layers_of({"name": "dqn", "net_arch": [64, 64]})
    ('critic_1', 'critic_2', 'critic_out')
    """
    extractor = range(1, 1 + _EXTRACTOR_LAYERS[algo.get("extractor", "flatten")])
    heads = (*range(1, 1 + len(algo["net_arch"])), "out")
    parts = {"extractor": extractor, "actor": heads if algo["name"] == "ppo" else (), "critic": heads}
    return tuple(f"{part}_{layer}" for part, numbers in parts.items() for layer in numbers)
