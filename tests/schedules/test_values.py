"""Schedules are values: equal by their arguments, readable, and pickled by reference to classes."""

import pickle
import pickletools
from copy import deepcopy

import pytest

from rl_warmup.schedules import ADAM_RAMPS, BASES, RAMPS, ramp, step_factor, warmup
from rl_warmup.schedules.numbers import steps_of

VALUES = [
    *(base(1e-3) for base in BASES.values()),
    *(ramp(shape, power=3.0) for shape in RAMPS),
    *(warmup(base(1e-3), "cosine", 0.3) for base in BASES.values()),
    *(step_factor(shape, 10) for shape in RAMPS),
    *(step_factor(shape, beta2=0.99) for shape in ADAM_RAMPS),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_schedule_survives_pickle_and_copies(value) -> None:
    at = [0, 0.2, 1] if not hasattr(value, "beta2") else [0, 3, 9]
    for again in (pickle.loads(pickle.dumps(value)), deepcopy(value)):
        assert again == value
        assert hash(again) == hash(value)
        assert again(at).tolist() == value(at).tolist()


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_pickle_names_classes_of_this_package_only(value) -> None:
    strings = [text for _, text, _ in pickletools.genops(pickle.dumps(value, protocol=2)) if isinstance(text, str)]
    modules = {text.split()[0] for text in strings if " " in text}
    assert modules <= {"rl_warmup.schedules.bases", "rl_warmup.schedules.warmups", "copyreg"}


def test_what_is_left_out_equals_its_default() -> None:
    assert ramp("exponential") == ramp("exponential", start=0.01) != ramp("exponential", start=0.02)
    assert step_factor("untuned_linear") == step_factor("untuned_linear", length=2000)
    assert BASES["linear"](1e-3) != BASES["linear"](2e-3) != BASES["cosine"](2e-3)


@pytest.mark.parametrize(
    ("length", "total", "steps"), [(0.1, 2000, 200), (0.25, 10, 2), (1e-6, 10, 1), (1, 10, 1), (7.0, 10, 7)]
)
def test_a_length_as_steps(length, total, steps) -> None:
    assert steps_of(length, total) == steps
