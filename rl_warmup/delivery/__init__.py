"""From schedule to optimizer: the two clocks of a warmup on a Stable-Baselines3 model, and the dose delivered."""

from rl_warmup.delivery.hook import attach_factor, attach_warmup
from rl_warmup.delivery.meter import DoseMeter
from rl_warmup.delivery.schedule import WarmupSchedule, for_sb3

__all__ = ["DoseMeter", "WarmupSchedule", "attach_factor", "attach_warmup", "for_sb3"]
