"""The arm of a run in parts, from which its labels are made; no label is taken apart again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl_warmup.schedules.warmups import SHAPES

_USUAL = {"on": "all", "of": "learning_rate"}  # one of them at most is another
_AS = {
    "reversed": "reversed in time (an annealing)",
    "dip": "in the middle of the run",
    "delayed": "as a delayed start",
    "matched": "as a constant rate of the same budget",
    "moment_only": "as steps of the moments alone",
}


@dataclass(frozen=True)
class Arm:
    """What is done to the learning rate, and whatever else tells it from the arms beside it."""

    warmup: tuple[str, ...]  # its name, its shape unless the name says it, and parameters only this shape has
    over: tuple[str, ...]  # its length, as a share of the run or a count, and its clock
    start: tuple[str, ...]  # where it is not the default
    learning_rate: float  # peak
    schedule: str
    rest: tuple[str, ...] = ()  # further settings, e.g. algo.n_steps=64
    control: str = ""  # the control that is in the place of the warmup
    every: str = ""  # when its ramp starts again: rollout, target_update, or a count of gradient steps
    on: str = ""  # whose rate it is, where not of all: actor or critic; or what else: clip_range or entropy
    begin: tuple[str, ...] = ()  # from which agent in which physics it starts, see `begin_words`

    @classmethod
    def of(
        cls,
        warmup: Mapping[str, Any],
        total: int | None,
        learning_rate: float,
        schedule: str,
        begin: tuple[str, ...] = (),
    ) -> Arm:
        """The arm of a resolved config or of a record.

        Args:
            warmup: its resolved settings, as in run.json.
            total: length of the run on the clock of the warmup; None if that is not known.
            learning_rate: peak.
            schedule: name of the base schedule.
            begin: see `begin_words`.
        """
        path, name, start = warmup.get("target") or warmup["shape"], warmup["name"], warmup.get("start")
        if path == "none":
            return cls((name,), (), (), learning_rate, schedule, begin=begin)
        shape = SHAPES.get(path, SHAPES["linear"])  # one of the user's own has a start and no parameters, too
        word = path.rpartition(".")[2]
        own = [f"{key}{warmup[key]:g}" for key, value in shape.own.items() if warmup.get(key) not in (None, value)]
        timed = warmup.get("length") is not None and not shape.by_beta2
        return cls(
            (name, *own) if word in name else (name, word, *own),
            (_share(int(warmup["length"]), total), warmup["clock"]) if timed else (),
            (f"start{start:g}",) if start not in (None, shape.start) else (),
            learning_rate,
            schedule,
            control=warmup.get("control") or "",
            every=str(warmup.get("repeat") or ""),
            on="".join({str(warmup.get(key, usual)) for key, usual in _USUAL.items()} - {*_USUAL.values()}),
            begin=begin,
        )

    @property
    def label(self) -> str:
        """All of it.

        >>> Arm(("linear",), ("10%", "gradient_steps"), (), 1e-3, "constant").label
        'linear-10%-gradient_steps lr=0.001 constant'
        """
        warmup = "-".join(self._parts)
        return " ".join([f"{warmup} lr={self.learning_rate:.4g} {self.schedule}", *self.begin, *self.rest])

    @property
    def short(self) -> str:
        """Without learning rate and schedule, which are shown beside it.

        >>> Arm(("none",), (), (), 1e-2, "cosine", ("algo.n_steps=64",)).short
        'none algo.n_steps=64'
        """
        return " ".join([*map(_spaced, self._parts), *self.begin, *self.rest])

    @property
    def words(self) -> str:
        """The same as a phrase.

        >>> Arm(("linear",), ("10%", "gradient_steps"), (), 1e-3, "constant").words
        'linear warmup over 10% of the gradient steps'
        >>> Arm(("cosine",), ("400", "env_steps"), ("start0.1",), 1e-3, "constant").words
        'cosine warmup over 400 environment steps, start0.1'
        >>> Arm(("none",), (), (), 1e-3, "constant", ("algo.n_steps=64",)).words
        'no warmup, algo.n_steps=64'
        >>> Arm(("linear",), ("10%", "gradient_steps"), (), 1e-3, "constant", control="delayed").words
        'linear warmup over 10% of the gradient steps, as a delayed start'
        >>> Arm(("linear",), ("10%", "gradient_steps"), (), 1e-3, "constant", on="critic").words
        'linear warmup of the critic over 10% of the gradient steps'
        """
        words = "no warmup" if self.warmup == ("none",) else f"{' '.join(map(_spaced, self.warmup))} warmup"
        words += f" of the {_spaced(self.on)}" if self.on else ""
        if self.over:
            length, clock = self.over
            of_the = "of the " if length.endswith("%") else ""
            words += f" over {length} {of_the}{'environment' if clock == 'env_steps' else 'gradient'} steps"
        again = [f"again at every {_spaced(self.every)}"] if self.every else []
        if self.every.isdecimal():
            again = [f"again every {self.every} gradient steps"]
        control = [_AS[self.control]] if self.control else []
        return ", ".join([words, *again, *control, *self.start, *self.begin, *self.rest])

    @property
    def _parts(self) -> list[str]:
        again = ["every", self.every] if self.every else []
        control, on = ([self.control] if self.control else []), (["of", self.on] if self.on else [])
        return [*control, *self.warmup, *on, *self.over, *again, *self.start]


def begin_words(init: Mapping[str, Any], physics: Mapping[str, Any]) -> tuple[str, ...]:
    """From which agent a run starts, and in which physics; nothing from scratch in the environment's own.

    >>> begin_words({"source": "1f", "timesteps": 50_000, "optimizer": "fresh"}, {"gravity": 20.0})
    ('gravity=20', 'from 50000 steps', 'optimizer fresh')
    """
    changed = [f"{name}={value:g}" for name, value in physics.items()]
    if not init.get("source"):
        return tuple(changed)
    steps, first = init.get("timesteps"), init.get("critic_only")
    source = f"from {steps} steps" if steps else f"from agent {init['source']}"
    replay = ["replay kept"] if init.get("replay") == "kept" else []
    critic = [f"critic first {first}"] if first else []
    return (*changed, source, f"optimizer {init['optimizer']}", *replay, *critic)


def _spaced(word: str) -> str:
    return word.replace("-", " ").replace("_", " ")


def _share(count: int, total: int | None) -> str:
    """`count` of `total` as the roundest percentage that rounds back to it, else as a count."""
    if not total:
        return str(count)
    for step in (10, 5, 1, 0.5, 0.1, 0.05, 0.01):
        percent = step * round(100 * count / total / step)
        if percent and round(percent / 100 * total) == count:
            return f"{percent:g}%"
    return str(count)
