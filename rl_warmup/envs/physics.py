"""Changed physics of an environment: attributes of classic control, arguments of LunarLander."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "CartPoleEnv": ("gravity", "length", "masscart", "masspole", "force_mag", "tau"),
    "AcrobotEnv": (
        *("LINK_LENGTH_1", "LINK_MASS_1", "LINK_MASS_2", "LINK_COM_POS_1", "LINK_COM_POS_2"),
        *("LINK_MOI", "dt", "torque_noise_max"),
    ),
    "MountainCarEnv": ("gravity", "force"),
    "Continuous_MountainCarEnv": ("power",),
    "PendulumEnv": ("g", "l", "m", "dt"),
}
"""What can be changed of Gymnasium's environments once they are made, by their classes; nothing of their spaces."""
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "LunarLander": ("gravity", "enable_wind", "wind_power", "turbulence_power"),
}
"""What can be changed when they are made."""


def with_physics(make: Callable[..., gym.Env[Any, Any]], physics: Mapping[str, float]) -> gym.Env[Any, Any]:
    """An environment with other values of its attributes.

    Args:
        make: makes it, of its own arguments and others.

    Raises:
        gym.error.Error: naming what can be changed of it.
    """
    env = make()
    kind = _kind(env.unwrapped)
    known = {**ATTRIBUTES, **ARGUMENTS}.get(kind, ())
    if unknown := [name for name in physics if name not in known]:
        env.close()
        raise gym.error.Error(
            f"init.physics.{unknown[0]} is none of what can be changed of {kind}: {', '.join(known)}"
            if known
            else f"init.physics changes classic control and LunarLander, not {kind}: use env.kwargs"
        )
    if kind in ARGUMENTS:
        env.close()
        return make(**physics)
    plain: Any = env.unwrapped
    for name, value in physics.items():
        setattr(plain, name, value)
    if kind == "CartPoleEnv":  # which it computes once
        plain.total_mass = plain.masspole + plain.masscart
        plain.polemass_length = plain.masspole * plain.length
    return env


def _kind(env: gym.Env[Any, Any]) -> str:
    """The class of Gymnasium's that an environment is, or is derived from; else its own."""
    own = [kind for kind in type(env).__mro__ if kind.__module__.startswith("gymnasium.envs.")]
    return next((kind.__name__ for kind in own if kind.__name__ in {**ATTRIBUTES, **ARGUMENTS}), type(env).__name__)
