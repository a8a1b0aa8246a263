"""A benchmark of what learning-rate warmup does to reinforcement learning.

The public names are imported when they are asked for: the commands start without torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl_warmup.delivery.callback import WarmupCallback
    from rl_warmup.delivery.hook import attach_warmup
    from rl_warmup.delivery.meter import DoseMeter
    from rl_warmup.delivery.schedule import WarmupSchedule, for_sb3

    __version__: str
else:
    _MODULES = {
        "DoseMeter": "meter",
        "WarmupCallback": "callback",
        "WarmupSchedule": "schedule",
        "attach_warmup": "hook",
        "for_sb3": "schedule",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module, metadata

        if name == "__version__":
            return metadata.version("rl-warmup")
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"rl_warmup.delivery.{_MODULES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = ["DoseMeter", "WarmupCallback", "WarmupSchedule", "__version__", "attach_warmup", "for_sb3"]
