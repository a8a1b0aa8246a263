"""The constants of an environment's returns: in which order they are, which are lacking, whose they are."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from rl_warmup.config.conf import known_envs
from rl_warmup.config.schema import EnvConfig
from rl_warmup.config.settings import ConfigError, declared

Env = Mapping[str, Any]
"""The settings of a group `env`, of a config or of a record; what is missing is None."""

SCORING = ("return_floor", "return_low", "return_high", "threshold")
"""What metrics need."""

BOUNDS = ("floor", "ceiling")
"""Returns beyond are scored as these, and verdicts on the mean rely on them."""

CONSTANTS = (*SCORING, *BOUNDS, "reward_max")
"""What conf/env/ says of an environment's returns."""

MADE_OF = ("id", "module", "kwargs", "wrappers")
"""What decides which environment it is."""

_PLAIN = re.compile(r"[A-Za-z_/][\w/.:+-]*")  # a text that Hydra takes as it is

_ORDER = (  # the first is never above the second, nor the same where it says so
    ("return_floor", "<=", "return_low", "nothing is worse than the worst attainable return"),
    ("floor", "<=", "return_low", "the random policy would be scored as another"),
    ("return_low", "<", "return_high", "the reference is better than a random policy"),
    ("return_floor", "<", "return_high", "nothing is worse than the worst attainable return"),
    ("floor", "<", "return_high", "the reference would be scored as the floor"),
    ("return_high", "<=", "ceiling", "the reference would be scored as another"),
    ("threshold", "<=", "ceiling", "no run would ever be scored as solved"),
    ("floor", "<", "ceiling", "all returns would be scored the same"),
)


def check_constants(env: Env) -> None:
    """Refuse constants that contradict each other; any of them may be None.

    Raises:
        ConfigError: naming two of them.
    """
    for lower, sign, upper, why in _ORDER:
        low, high = env.get(lower), env.get(upper)
        if low is not None and high is not None and (low > high or (sign == "<" and low == high)):
            raise ConfigError(
                f"env.{lower}={low:g} and env.{upper}={high:g} must satisfy {lower} {sign} {upper}: {why}; "
                "correct one of them, or leave it null"
            )


def bounds_of(env: Env) -> dict[str, float | None]:
    """Below and above what returns are scored as these; None: no bound."""
    floor = env.get("floor")
    return {"floor": env.get("return_floor") if floor is None else floor, "ceiling": env.get("ceiling")}


def bound_words(bounds: Mapping[str, float | None]) -> str:
    """Bounds as they are set.

    >>> bound_words({"floor": -200.0, "ceiling": None})
    'env.floor=-200'
    """
    known = ((key, bounds.get(key)) for key in BOUNDS)
    return " and ".join(f"env.{key}={value:g}" for key, value in known if value is not None)


def same_env(one: Env, other: Env) -> bool:
    """Whether both are made in the same way, whatever they are called."""
    return _made(one) == _made(other)


def _made(env: Env) -> tuple[Any, ...]:
    module, colon, name = str(env.get("id")).rpartition(":")
    return (
        name,
        (module if colon else env.get("module")) or None,
        env.get("kwargs") or {},
        env.get("wrappers") or [],
    )


def known_as(env: Env) -> str | None:
    """The name under which conf/env/ has this environment, with constants; None if it has not."""
    return next((name for name, other in known_envs().items() if same_env(env, other)), None)


def borrowed_env(env: Env) -> str | None:
    """The id of the environment whose name and constants another one was given; None where they are its own."""
    other = known_envs().get(str(env.get("name")))
    return None if other is None or same_env(env, other) else str(other["id"])


def changed_env(env: EnvConfig) -> str | None:
    """What Gymnasium alone is told of an environment, as on the command line; None if EnvPool is told its like."""
    if env.physics:
        return f"init.physics={as_given(env.physics)}"
    known = known_envs().get(env.name)
    if known is None and env.envpool:
        return None
    for name, default, _ in declared(EnvConfig):
        value = getattr(env, name)
        if name in (*MADE_OF[1:], "training_wrappers") and value != (known or {}).get(name, default):
            return f"env.{name}={value}"
    return None


def unscored(env: Env) -> list[str]:
    """What is to be known before training of an environment without constants of its own, a line each."""
    if known := borrowed_env(env):
        own = "give it an env.name, a learning_rate and constants of its own"
        return [f"{borrowed_words(env, known, 'is')}: {own}; {_way_out(env)}"]
    lines = []
    if env.get("physics") and len(lacking(env)) < len(SCORING):
        lines.append(
            f"{env['id']} is trained with init.physics={as_given(env['physics'])}, and scored by the constants of "
            "the unchanged environment"
        )
    for other in known_envs().values():
        kept = [key for key in CONSTANTS if env.get(key) == other.get(key) is not None]
        # two environments may have the same whole number by chance, as -200, but not what was measured
        copied = "return_low" in kept and ("return_high" in kept or env["return_low"] % 1)
        if copied and not same_env(env, other):
            these = ", ".join(f"env.{key}={env[key]:g}" for key in kept)
            lines.append(f"{env['id']} is trained with {these} of {other['id']}: give it its own")
    if missing := lacking(env):
        lines.append(f"{env['id']} is trained without {words(missing)}; {_way_out(env)}")
    return lines


def lacking(env: Env) -> list[str]:
    """The constants that metrics need and that are not known."""
    return [key for key in SCORING if env.get(key) is None]


def words(keys: Iterable[str]) -> str:
    """Constants in a row, as they are given.

    >>> words(["return_low", "return_high", "threshold"])
    'env.return_low, env.return_high and env.threshold'
    """
    *first, last = [f"env.{key}" for key in keys]
    return f"{', '.join(first)} and {last}" if first else last


def borrowed_words(env: Env, known: str, verb: str = "was") -> str:
    """That an environment has the name, and so the constants, of the one that is `known` by it."""
    how = [key for key in MADE_OF[1:] if env.get(key)] if env["id"] == known else []
    other = f" with {' and '.join(f'env.{key}' for key in how)} of its own" if how else ""
    return f"{env['id']}{other} {verb} trained as env={env['name']}, which is {known}"


def _way_out(env: Env) -> str:
    """What to do, before training, for an environment without constants of its own."""
    if name := known_as(env):
        return f"it is built in, as env={name}"
    without = "a report cannot normalize returns without them"
    return f"{without}, and gets them at any time from {measure_command(env)}"


def measure_command(env: Env) -> str:
    """The command that measures the constants of an environment as it is made here."""
    made = [f"env.{key}={as_given(env[key])}" for key in MADE_OF if env.get(key)]
    return " ".join(["python -m rl_warmup.measure env=gym", *map(shlex.quote, made)])


def as_given(value: Any) -> str:
    """A value as Hydra's command line takes it.

    >>> as_given({"a": 1, "b": [True, None, "x y"]})
    "{a: 1, b: [true, null, 'x y']}"
    """
    match value:
        case Mapping():
            return f"{{{', '.join(f'{key}: {as_given(one)}' for key, one in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(as_given, value))}]"
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case str() if not _PLAIN.fullmatch(value) or value.lower() in ("null", "true", "false", "nan", "inf"):
            quoted = value.replace("'", "\\'")
            return f"'{quoted}'"
        case _:
            return str(value)
