"""Which package an environment needs that cannot be made, and how it is installed or named."""

from collections.abc import Iterator

import gymnasium as gym

from rl_warmup.config.schema import EnvConfig

EXTRAS = {"ale_py": "atari", "cv2": "atari", "opencv": "atari", "mujoco": "mujoco", "envpool": "envpool"}
"""Packages that the default installation lacks, and the extra of this one that brings each."""
REGISTERED_BY = {
    "ALE/": "ale_py",
    "MiniGrid-": "minigrid",
    "BabyAI-": "minigrid",
    "MinAtar/": "minatar.gym.register_envs",
}
"""How ids begin that Gymnasium knows once a package has registered them, and what is given as env.module."""


def way_out(env: EnvConfig, error: BaseException) -> str:
    """What helps against an error that kept an environment from being made, after a "; "; else nothing."""
    package = missing_package(error)
    if package in EXTRAS:
        return f"; pip install 'rl-warmup[{EXTRAS[package]}]'"
    if package is not None:
        return f"; install the package {package}, or add the folder that it is in to PYTHONPATH"
    if isinstance(error, gym.error.UnregisteredEnv) and not isinstance(error, gym.error.VersionNotFound):
        module = next((name for start, name in REGISTERED_BY.items() if env.id.startswith(start)), None)
        if module is not None and env.module is None:
            return f"; give env.module={module}, which registers it"
        return "" if "Did you mean" in str(error) else "; the package that registers it is given as env.module="
    if isinstance(error, TypeError):
        return "; what it needs is given in 'env.kwargs={name: value}'"
    return ""


def missing_package(error: BaseException) -> str | None:
    """The package for lack of which `error` was raised, if that is why."""
    for reason in _causes(error):
        if isinstance(reason, ModuleNotFoundError) and reason.name:
            return reason.name.partition(".")[0]
        if isinstance(reason, gym.error.DependencyNotInstalled):
            named = [name for name in EXTRAS if name in str(reason).lower()]
            return named[0] if named else None
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
