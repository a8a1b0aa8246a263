import pickle

import numpy as np
import pytest
from helpers import own_schedules

from rl_warmup.schedules import Base, constant, ramp, step_factor, warmup

OWN = own_schedules.__name__


def test_a_shape_by_its_path_works_on_both_clocks() -> None:
    x = np.array([0.25, 0.5, 0.75, 1.0])
    assert ramp(f"{OWN}.my_ramp")(x).tolist() == (x**3).tolist()
    assert step_factor(f"{OWN}.my_ramp", 4, start=0.5)([0, 3, 9]).tolist() == [0.5 + 0.5 / 64, 1, 1]
    rate = warmup(constant(2.0), f"{OWN}.my_ramp", 0.5)
    assert (rate(0.25), rate(0.5), rate(0.9)) == (0.25, 2.0, 2.0)
    assert rate(x.reshape(2, 2)).shape == (2, 2)
    assert pickle.loads(pickle.dumps(rate)) == rate


def test_a_base_schedule_by_its_path() -> None:
    base = Base(f"{OWN}.my_schedule", 2.0)
    assert (base(0.0), base(0.5), base(1.0)) == (2.0, 1.5, 1.0)
    assert type(base(0.5)) is float


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.ramp", "no warmup shape 'no_such_package.ramp' .*No module named 'no_such_package'"),
        (f"{OWN}.no_such_ramp", "has no attribute 'no_such_ramp'"),
        (f"{OWN}.ONE", "ONE is a float64: give the dotted path of a function"),
        (f"{OWN}.falls", "falls falls: at 0.499 it is 0.499, 0.2; a built-in one never does"),
        (f"{OWN}.stops_short", r"does not reach the base: it is .*0.9.* at x = 1"),
        (f"{OWN}.too_high", r"too_high leaves \[0, 1\]: at"),
        (f"{OWN}.not_a_number", r"not_a_number leaves \[0, 1\]: at 0.5 it is nan"),
        (f"{OWN}.of_one_number", "does not map an array of 1001 numbers .* truth value"),
        (f"{OWN}.of_another_length", "does not map an array of 1001 numbers .* to as many"),
    ],
)
def test_what_cannot_be_a_shape_is_refused(path: str, message: str) -> None:
    for make in (lambda: ramp(path), lambda: warmup(constant(1.0), path, 0.5), lambda: step_factor(path, 4)):
        with pytest.raises(ValueError, match=message):
            make()


def test_what_cannot_be_a_base_is_refused() -> None:
    with pytest.raises(ValueError, match="my_ramp rises"):
        Base(f"{OWN}.my_ramp", 1.0)
    with pytest.raises(ValueError, match=r"does not begin at the peak: it is .*0.9"):
        Base(f"{OWN}.begins_low", 1.0)
