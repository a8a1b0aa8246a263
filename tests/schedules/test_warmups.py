"""Schedules: values worked out by hand, other libraries stepped beside ours, one battery over everything."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cloudpickle
import numpy as np
import pytest
import pytorch_warmup
import torch
from helpers import oracles
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, ExponentialLR, LinearLR

from rl_warmup import schedules
from rl_warmup.schedules.bases import BASES
from rl_warmup.schedules.warmups import ADAM_RAMPS, RAMPS, SHAPES, ramp, step_factor, warmup

PEAK = 0.25
BETA2 = 0.999

# ---- Tables worked out by hand: the off-by-one convention --------------------------------------------------

# omega at optimizer steps k = 0, 1, 2, 3, 4 of a warmup over 4 steps: x = 1/4, 2/4, 3/4, 1, 1.
BY_HAND = {
    "linear": [0.25, 0.5, 0.75, 1, 1],
    "exponential": [0.0316228, 0.1, 0.3162278, 1, 1],  # .01^(3/4), .01^(1/2), .01^(1/4)
    "saturating": [0.7183353, 0.9241418, 0.9831064, 1, 1],  # .7134952, .9179150, .9764823 over .9932621
    "cosine": [0.1464466, 0.5, 0.8535534, 1, 1],  # (1 -+ sqrt(1/2))/2
    "polynomial": [0.0625, 0.25, 0.5625, 1, 1],
    "sqrt": [0.5, 0.7071068, 0.8660254, 1, 1],
    "one_minus_sqrt": [0.1339746, 0.2928932, 0.5, 1, 1],
    "constant": [0.1, 0.1, 0.1, 1, 1],
}
# base(p) at p = 0, 1/4, 1/2, 3/4, 1 with peak 1 and the defaults.
BASES_BY_HAND = {
    "constant": [1, 1, 1, 1, 1],
    "linear": [1, 0.75, 0.5, 0.25, 0],
    "cosine": [1, 0.8535534, 0.5, 0.1464466, 0],
    "inverse_sqrt": [1, 0.5345225, 0.4082483, 0.3429972, 0.3015113],  # 1/sqrt of 1, 3.5, 6, 8.5, 11
    "exponential": [1, 0.3162278, 0.1, 0.0316228, 0.01],
    "stable_decay": [1, 1, 1, 1, 0],
}
# Integral of 1 - omega over the warmup, in warmup lengths.
LOST_BY_HAND = {
    "linear": 0.5,
    "exponential": 0.785,  # 1 - .99/ln 100
    "saturating": 0.193,  # 1/5 - 1/(e^5 - 1) = .2 - .00678
    "cosine": 0.5,
    "polynomial": 0.667,
    "sqrt": 0.333,
    "one_minus_sqrt": 0.667,
    "constant": 0.9,
}


def test_every_registered_item_has_its_values_by_hand() -> None:
    assert BY_HAND.keys() == set(RAMPS) == LOST_BY_HAND.keys()
    assert BASES_BY_HAND.keys() == BASES.keys()
    assert {name for name, shape in SHAPES.items() if shape.start is not None} == {*RAMPS, "untuned_linear"}


@pytest.mark.parametrize("shape", RAMPS)
def test_gradient_clock_by_hand(shape: str) -> None:
    np.testing.assert_allclose(step_factor(shape, 4)(range(5)), BY_HAND[shape], atol=5e-8)


@pytest.mark.parametrize("shape", RAMPS)
def test_environment_clock_by_hand(shape: str) -> None:
    """Steps done 0, 50, 100, 150, 200, 250 of 1000 with a warmup over 200: x = 0, 1/4, ..., 1, 1."""
    rate = warmup(BASES["constant"](2.0), shape, length=0.2)
    at_start = {"exponential": 0.01, "constant": 0.1}.get(shape, 0.0)
    expected = 2 * np.array([at_start, *BY_HAND[shape]])
    np.testing.assert_allclose(rate(np.arange(0, 300, 50) / 1000), expected, atol=1e-7)


@pytest.mark.parametrize("name", BASES)
def test_bases_by_hand(name: str) -> None:
    np.testing.assert_allclose(BASES[name](1.0)(np.arange(5) / 4), BASES_BY_HAND[name], atol=5e-8)


@pytest.mark.parametrize(
    ("shape", "start", "expected"),
    [
        ("linear", 0.2, [0.4, 0.6, 0.8, 1, 1]),
        ("cosine", 0.5, [0.5732233, 0.75, 0.9267767, 1, 1]),
        ("constant", 0.0, [0, 0, 0, 1, 1]),
        ("exponential", 0.0625, [0.125, 0.25, 0.5, 1, 1]),
    ],
)
def test_start_by_hand(shape: str, start: float, expected: list[float]) -> None:
    np.testing.assert_allclose(step_factor(shape, 4, start=start)(range(5)), expected, atol=5e-8)


def test_power_and_other_options_by_hand() -> None:
    np.testing.assert_allclose(step_factor("polynomial", 4, power=3)([0, 1, 2]), [1 / 64, 1 / 8, 27 / 64])
    assert schedules.stable_decay(1.0, decay=0.5)(0.75) == 0.5
    assert schedules.inverse_sqrt(1.0, timescale=1 / 3)(1.0) == pytest.approx(0.5, rel=1e-15)
    assert schedules.exponential(1.0, end=0.0625)(0.25) == 0.5


def test_untuned_by_hand() -> None:
    """beta2 = .999: 2000 steps of the linear one, 1 - e^-1 after 1000 of the exponential one."""
    linear, exponential = step_factor("untuned_linear"), step_factor("untuned_exponential")
    np.testing.assert_allclose(linear([0, 999, 1998]), [0.0005, 0.5, 0.9995], rtol=1e-14)
    assert linear(1998) < 1 == linear(1999)
    np.testing.assert_allclose(exponential([0, 999, 1999]), [9.995002e-4, 0.6321206, 0.8646647], rtol=1e-7)
    assert step_factor("untuned_linear", length=2000)(0) == 0.0005  # the length that it has anyway


def test_radam_at_the_known_values() -> None:
    """beta2 = .999: four zeros, .017 first, .215 at t = k+1 = 100, .645 at 1000, .828 at 2000; 1033 lost."""
    omega = step_factor("radam")
    np.testing.assert_allclose(omega([4, 99, 999, 1999]), [0.017, 0.215, 0.645, 0.828], atol=5e-4)
    assert omega([0, 1, 2, 3]).tolist() == [0, 0, 0, 0]
    assert np.sum(1 - omega(np.arange(50_000))) == pytest.approx(1033, abs=0.5)


# ---- One battery: every shape x base x clock ---------------------------------------------------------------

STEPS, LENGTH = 400, 100  # of the run and of the warmup, in the unit of the clock


@dataclass(frozen=True)
class Delivery:
    """What a run over STEPS would be given. base, omega, rate: [STEPS + 1]."""

    base: np.ndarray
    omega: np.ndarray
    rate: np.ndarray
    expected: np.ndarray  # omega from the slow oracle
    arrives: int | None  # first index on the base; None: never


def on_environment_clock(shape: str, base: str) -> Delivery:
    p = np.arange(STEPS + 1) / STEPS
    length = LENGTH / STEPS
    expected = [oracles.warmup_factor(shape, n / LENGTH, SHAPES[shape].start) for n in range(STEPS + 1)]
    return Delivery(
        base=BASES[base](PEAK)(p),
        omega=warmup(BASES["constant"](1.0), shape, length)(p),
        rate=warmup(BASES[base](PEAK), shape, length)(p),
        expected=np.array(expected),
        arrives=LENGTH,
    )


def on_gradient_clock(shape: str, base: str) -> Delivery:
    k = np.arange(STEPS + 1)
    beta2 = 0.98  # untuned_linear: 100 steps
    omega = step_factor(shape, beta2=beta2) if shape in ADAM_RAMPS else step_factor(shape, LENGTH)
    slow: Callable[[int], float] = {
        "untuned_linear": lambda t: min(1.0, t * (1 - beta2) / 2),
        "untuned_exponential": lambda t: 1 - math.exp(-t * (1 - beta2)),
        "radam": lambda t: oracles.rectification(t, beta2),
    }.get(shape, lambda t: oracles.warmup_factor(shape, t / LENGTH, SHAPES[shape].start))
    learning_rate = BASES[base](PEAK)((k // 20 * 20) / STEPS)  # 20 optimizer steps per update phase
    return Delivery(
        base=learning_rate,
        omega=omega(k),
        rate=learning_rate * omega(k),
        expected=np.array([slow(t) for t in k + 1]),
        arrives=None if shape in ("untuned_exponential", "radam") else LENGTH - 1,
    )


BATTERY = [
    *[pytest.param(on_environment_clock, s, b, id=f"env_steps-{s}-{b}") for s in RAMPS for b in BASES],
    *[
        pytest.param(on_gradient_clock, s, b, id=f"gradient_steps-{s}-{b}")
        for s in (*RAMPS, *ADAM_RAMPS)
        for b in BASES
    ],
]


@pytest.mark.parametrize(("clock", "shape", "base"), BATTERY)
def test_battery(clock: Callable[[str, str], Delivery], shape: str, base: str) -> None:
    run = clock(shape, base)
    # Starts where it says and follows its formula; the base begins at the peak.
    np.testing.assert_allclose(run.omega, run.expected, rtol=1e-9, atol=1e-14)
    assert run.base[0] == PEAK
    # Rises, and does nothing else than scale the base down.
    assert np.all(np.diff(run.omega) >= -4e-16)
    np.testing.assert_allclose(run.rate, run.base * run.expected, rtol=1e-9, atol=1e-14)
    assert np.isfinite(run.rate).all()
    assert np.all((run.rate >= 0) & (run.rate <= run.base))
    # Reaches the base at the stated step, not before, and stays on it bit for bit.
    if run.arrives is None:
        assert np.all(run.omega < 1)
    else:
        assert np.all(run.omega[: run.arrives] < 1)
        np.testing.assert_array_equal(run.rate[run.arrives :], run.base[run.arrives :])


@pytest.mark.parametrize("base", BASES)
def test_no_base_ever_rises(base: str) -> None:
    rates = BASES[base](PEAK)(np.linspace(0, 1, 1001))
    assert np.all(np.diff(rates) <= 0)
    assert np.all((rates >= 0) & (rates <= PEAK))


# ---- Area --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 7, 2000])
@pytest.mark.parametrize("shape", RAMPS)
def test_the_area_of_the_gradient_clock(shape: str, length: int) -> None:
    """The right Riemann sum of a falling function is below the integral, by at most its first height / W."""
    area = np.sum(1 - step_factor(shape, length)(np.arange(2 * length))) / length
    assert -5e-4 <= LOST_BY_HAND[shape] - area <= 1 / length + 5e-4


def test_area_of_the_untuned_shapes() -> None:
    k = np.arange(60_000)
    assert np.sum(1 - step_factor("untuned_linear")(k)) == pytest.approx(999.5)  # (W-1)/2
    expected = 1 / math.expm1(1 - BETA2)  # a geometric series, about tau - 1/2
    assert np.sum(1 - step_factor("untuned_exponential")(k)) == pytest.approx(expected)
    assert expected == pytest.approx(999.5, abs=1e-3)


def test_budget_lost_on_a_decaying_base() -> None:
    """10% linear ramp on a linear decay: int_0^.1 (1-10p)(1-p) dp / (1/2) = .0967 lost, and .9 at most."""
    p = (np.arange(10_000) + 0.5) / 10_000
    base = BASES["linear"](1.0)
    rate = warmup(base, "linear", length=0.1)(p)
    assert 1 - np.sum(rate) / np.sum(base(p)) == pytest.approx(0.29 / 3, abs=1e-6)
    assert np.max(rate) == pytest.approx(0.9, abs=1e-4)


# ---- Other libraries beside ours ---------------------------------------------------------------------------


def stepped(make: Callable[[torch.optim.Optimizer], object], lr: float, n: int) -> list[float]:
    """The learning rate of a real optimizer at each of n steps, under a scheduler of torch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def dampened(make: Callable[[torch.optim.Optimizer], object], n: int, beta2: float = BETA2) -> list[float]:
    """The same under pytorch_warmup, with a learning rate of 1."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0, betas=(0.9, beta2))
    scheduler = make(optimizer)
    rates = []
    for _ in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with scheduler.dampening():
            pass
    return rates


W, T = 20, 60
WARMUPS_IN_TORCH = {
    "linear": lambda o: LinearLR(o, start_factor=0.1 + 0.9 / W, total_iters=W - 1),
    "exponential": lambda o: ExponentialLR(o, gamma=0.1 ** (-1 / W)),
    "constant": lambda o: ConstantLR(o, factor=0.1, total_iters=W - 1),
}


@pytest.mark.parametrize("shape", WARMUPS_IN_TORCH)
def test_warmups_beside_torch(shape: str) -> None:
    first = 0.1 ** (1 - 1 / W) if shape == "exponential" else 1.0  # ExponentialLR grows from where it is
    theirs = stepped(WARMUPS_IN_TORCH[shape], PEAK * first, W)
    np.testing.assert_allclose(PEAK * step_factor(shape, W, start=0.1)(np.arange(W)), theirs, rtol=1e-12)


def test_cosine_warmup_beside_torch() -> None:
    """CosineAnnealingLR run upwards, from start to the peak; its step 0 is our x = 0."""
    theirs = stepped(lambda o: CosineAnnealingLR(o, T_max=W, eta_min=PEAK), 0.1 * PEAK, W + 1)
    np.testing.assert_allclose(PEAK * step_factor("cosine", W, start=0.1)(np.arange(W)), theirs[1:], rtol=1e-12)


BASES_IN_TORCH = {
    "linear": lambda o: LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=T),
    "cosine": lambda o: CosineAnnealingLR(o, T_max=T),
    "exponential": lambda o: ExponentialLR(o, gamma=0.01 ** (1 / T)),
}


@pytest.mark.parametrize("name", BASES_IN_TORCH)
def test_bases_beside_torch(name: str) -> None:
    theirs = stepped(BASES_IN_TORCH[name], PEAK, T + 1)
    np.testing.assert_allclose(BASES[name](PEAK)(np.arange(T + 1) / T), theirs, rtol=1e-11, atol=1e-16)


def polynomial_schedule(init: float, end: float, power: float, transition_steps: int, count: int) -> float:
    """As optax defines polynomial_schedule; linear_schedule is power 1."""
    return (init - end) * (1 - min(count, transition_steps) / transition_steps) ** power + end


def exponential_decay(init: float, rate: float, transition_steps: int, end: float, count: int) -> float:
    """As optax defines exponential_decay for a rate above 1, where `end` is an upper bound."""
    return min(init * rate ** (count / transition_steps), end)


def test_warmups_beside_optax() -> None:
    """optax counts from 0 and is at its end at count W, so our step k is its count k + 1."""
    counts = range(1, T + 1)
    linear = [polynomial_schedule(0.2, 1.0, 1, W, c) for c in counts]
    rising_root = [polynomial_schedule(0.2, 1.0, 0.5, W, c) for c in counts]
    geometric = [exponential_decay(0.02, 50, W, 1.0, c) for c in counts]
    k = np.arange(T)
    np.testing.assert_allclose(step_factor("linear", W, start=0.2)(k), linear)
    np.testing.assert_allclose(step_factor("one_minus_sqrt", W, start=0.2)(k), rising_root)
    np.testing.assert_allclose(step_factor("exponential", W, start=0.02)(k), geometric)


def test_environment_clock_beside_optax() -> None:
    """A base with its own clock, multiplied; unlike join_schedules, which starts the second clock at W."""
    counts = range(T + 1)
    cosine_decay = [0.5 * (1 + math.cos(math.pi * c / T)) for c in counts]
    theirs = [PEAK * polynomial_schedule(0.0, 1.0, 1, W, c) * cosine_decay[c] for c in counts]
    ours = warmup(BASES["cosine"](PEAK), "linear", length=W / T)(np.arange(T + 1) / T)
    np.testing.assert_allclose(ours, theirs, atol=1e-15)


def test_linear_beside_pytorch_warmup() -> None:
    theirs = dampened(lambda o: pytorch_warmup.LinearWarmup(o, warmup_period=W), T)
    np.testing.assert_allclose(step_factor("linear", W)(np.arange(T)), theirs, rtol=1e-15)


def test_untuned_exponential_beside_pytorch_warmup() -> None:
    theirs = dampened(lambda o: pytorch_warmup.ExponentialWarmup(o, warmup_period=1000), T)
    np.testing.assert_allclose(step_factor("untuned_exponential")(np.arange(T)), theirs, rtol=1e-10)


def test_untuned_beside_pytorch_warmup_where_beta2_is_exact() -> None:
    """beta2 = 7/8 has no rounding: periods 16 and 8 in both."""
    for shape, theirs in (
        ("untuned_linear", pytorch_warmup.UntunedLinearWarmup),
        ("untuned_exponential", pytorch_warmup.UntunedExponentialWarmup),
    ):
        ours = step_factor(shape, beta2=0.875)(np.arange(T))
        np.testing.assert_allclose(ours, dampened(theirs, T, beta2=0.875), rtol=1e-14)


def test_untuned_linear_has_the_nominal_length_that_pytorch_warmup_truncates() -> None:
    """2/(1 - .999) is 1999.99... in float64: cut off to 1999 there, rounded to 2000 here."""
    k = np.arange(3)
    theirs = dampened(pytorch_warmup.UntunedLinearWarmup, 3)
    np.testing.assert_allclose(theirs, step_factor("linear", 1999)(k), rtol=1e-14)
    np.testing.assert_allclose(step_factor("untuned_linear")(k), (k + 1) / 2000, rtol=1e-14)


@pytest.mark.parametrize(("beta2", "zeros"), [(0.9, 4), (0.99, 4), (0.999, 4), (0.9999, 4), (0.7, 5), (0.65, 7)])
def test_radam_beside_pytorch_warmup(beta2: float, zeros: int) -> None:
    """pytorch_warmup begins at the first t with rho_t > 4; ours has the steps at 0 before it."""
    ours = step_factor("radam", beta2=beta2)(np.arange(T + zeros))
    theirs = dampened(pytorch_warmup.RAdamWarmup, T, beta2=beta2)
    assert ours[:zeros].tolist() == [0.0] * zeros
    np.testing.assert_allclose(ours[zeros:], theirs, rtol=1e-9)


# ---- Properties --------------------------------------------------------------------------------------------

any_ramp = st.tuples(st.sampled_from(RAMPS), st.floats(1e-6, 0.99), st.floats(0.1, 10))
any_base = st.sampled_from(sorted(BASES))
share = st.floats(0, 1)
a_few = settings(deadline=None, max_examples=60)


@a_few
@given(any_ramp, share, share)
def test_ramps_rise_from_start_to_one(shape_start_power: tuple[str, float, float], a: float, b: float) -> None:
    omega = ramp(*shape_start_power)
    low, high = omega(min(a, b)), omega(max(a, b))
    assert omega(0.0) == shape_start_power[1]
    assert omega(1.0) == 1
    assert shape_start_power[1] - 4e-16 <= low <= high + 4e-16
    assert high <= 1
    assert low == pytest.approx(
        oracles.warmup_factor(shape_start_power[0], min(a, b), *shape_start_power[1:]), rel=1e-9
    )


@a_few
@given(any_ramp, st.integers(1, 10_000))
def test_both_clocks_arrive_at_the_stated_step(ramp_: tuple[str, float, float], length: int) -> None:
    shape, start, power = ramp_
    omega = step_factor(shape, length, start=start, power=power)
    after = omega(np.arange(length - 1, length + 3))
    assert after.tolist() == [1, 1, 1, 1]
    if length > 1:
        assert omega(length - 2) < 1
        assert omega(length - 2) == ramp(shape, start, power)((length - 1) / length)


@a_few
@given(any_ramp, any_base, st.integers(2, 10**8), st.data())
def test_environment_clock_arrives_under_the_progress_of_sb3(
    ramp_: tuple[str, float, float], base: str, total: int, data: st.DataObject
) -> None:
    """SB3 gives 1 - done/total; its rounding must not leave the constant shape one update too long."""
    shape, start, power = ramp_
    length = data.draw(st.integers(1, total))
    arrives_under_sb3(shape, start, power, base, total, length)


@pytest.mark.parametrize(("total", "length"), [(10, 1), (10**8, 1), (10**8, 10**8), (50_000, 5_000)])
@pytest.mark.parametrize("shape", RAMPS)
def test_environment_clock_arrives_where_rounding_is_worst(shape: str, total: int, length: int) -> None:
    arrives_under_sb3(shape, 0.3, 2.0, "cosine", total, length)


def arrives_under_sb3(shape: str, start: float, power: float, base: str, total: int, length: int) -> None:
    schedule = BASES[base](PEAK)
    rate = warmup(schedule, shape, length / total, start=start, power=power)
    for done in (length, min(total, length + 1), total):
        p = 1 - (1 - done / total)
        assert rate(p) == schedule(p)
    assert warmup(BASES["constant"](1.0), "constant", length / total)(1 - (1 - (length - 1) / total)) == 0.1


@a_few
@given(any_ramp, any_base, share, st.floats(0.01, 1), st.floats(1e-6, 1e3))
def test_delivered_rate_scales_with_the_peak(
    ramp_: tuple[str, float, float], base: str, p: float, length: float, scale: float
) -> None:
    shape, start, power = ramp_
    one, scaled = (warmup(BASES[base](c), shape, length, start, power)(p) for c in (1.0, scale))
    assert scaled == pytest.approx(scale * one, rel=1e-12, abs=0)
    assert 0 <= scaled <= BASES[base](scale)(p)


@a_few
@given(st.floats(0.61, 0.9999), st.integers(0, 400))
def test_radam_against_the_mean_age(beta2: float, k: int) -> None:
    ours = step_factor("radam", beta2=beta2)(k)
    assert ours == pytest.approx(oracles.rectification(k + 1, beta2), rel=1e-6, abs=1e-6)
    assert 0 <= ours <= 1


@a_few
@given(st.floats(0, 0.99999), st.integers(0, 10**6))
def test_untuned_shapes_never_leave_the_unit_interval(beta2: float, k: int) -> None:
    for shape in ("untuned_linear", "untuned_exponential"):
        now, later = step_factor(shape, beta2=beta2)([k, k + 1])
        assert 0 < now <= later <= 1


@a_few
@given(st.lists(share, min_size=1, max_size=12), any_base, st.sampled_from(RAMPS))
def test_arrays_are_the_numbers_one_by_one(values: list[float], base: str, shape: str) -> None:
    rate = warmup(BASES[base](PEAK), shape, length=0.5)
    grid = np.array([values, values])
    before = grid.copy()
    rates = rate(grid)
    assert rates.shape == grid.shape
    assert rates.dtype == np.float64
    np.testing.assert_allclose(rates[1], [rate(v) for v in values], rtol=1e-13, atol=1e-17)
    np.testing.assert_array_equal(grid, before)


# ---- Edges -------------------------------------------------------------------------------------------------


def test_numbers_come_back_as_floats() -> None:
    for value in (
        warmup(BASES["linear"](PEAK), "cosine", 0.5)(np.float64(0.2)),
        *(base(PEAK)(0) for base in BASES.values()),
        *(step_factor(shape, 4)(np.int64(1)) for shape in RAMPS),
        *(step_factor(shape)(3) for shape in ADAM_RAMPS),
    ):
        assert type(value) is float


@pytest.mark.parametrize("shape", ADAM_RAMPS)
def test_very_late_steps_are_safe(shape: str) -> None:
    """beta2^t underflows and t beta2^t must not become NaN; warnings are errors here."""
    omega = step_factor(shape)([10**6, 10**12, 10**300])
    np.testing.assert_allclose(omega, 1, rtol=1e-12)
    assert np.all(omega <= 1)


def test_progress_outside_the_run_is_clamped() -> None:
    """SB3 runs past total_timesteps by up to a rollout, so its progress_remaining goes below 0."""
    for base in BASES.values():
        assert base(PEAK)(1.02) == base(PEAK)(1.0)
        assert base(PEAK)(-0.02) == PEAK


def test_schedules_survive_the_pickling_of_sb3() -> None:
    """SB3 saves its learning_rate with cloudpickle."""
    rate = warmup(BASES["cosine"](PEAK), "saturating", 0.3)
    again = cloudpickle.loads(cloudpickle.dumps(rate))
    assert [again(p) for p in (0.0, 0.1, 0.9)] == [rate(p) for p in (0.0, 0.1, 0.9)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ramp("lineer"), r"no warmup shape 'lineer': choose one of linear, exponential"),
        (lambda: ramp("radam"), r"no warmup shape 'radam' by a length"),
        (lambda: step_factor("none", 10), r"no warmup shape 'none'"),
        (lambda: warmup(BASES["linear"](1), "radam", 0.1), r"'radam' counts optimizer steps"),
        (lambda: warmup(BASES["linear"](1), "linear", 0.0), r"length=0.0: give the share"),
        (lambda: warmup(BASES["linear"](1), "linear", 1.5), r"length=1.5: give the share"),
        (lambda: warmup(BASES["linear"](1), "linear", math.nan), r"length=nan: give the share"),
        (lambda: ramp("linear", start=1.0), r"start=1.0 of the linear warmup: .* \[0, 1\)"),
        (lambda: ramp("linear", start=-0.1), r"start=-0.1 of the linear"),
        (lambda: ramp("linear", start=math.nan), r"start=nan of the linear"),
        (lambda: ramp("exponential", start=0.0), r"start=0.0 of the exponential .* \(0, 1\), since"),
        (lambda: ramp("polynomial", power=0.0), r"power=0.0: give a finite number above 0"),
        (lambda: step_factor("linear"), r"length=None of the linear warmup: give a whole number"),
        (lambda: step_factor("linear", 0), r"length=0 of the linear"),
        (lambda: step_factor("linear", 0.1), r"length=0.1 of the linear"),
        (lambda: step_factor("linear", True), r"length=True of the linear"),
        (lambda: step_factor("untuned_linear", 100), r"length=100 of untuned_linear: beta2=0.999 .* 2000"),
        (lambda: step_factor("radam", 100), r"radam is defined by beta2 alone, but length=100"),
        (lambda: step_factor("untuned_exponential", start=0.0), r"beta2 alone, but .* start=0.0"),
        (lambda: step_factor("untuned_exponential", beta2=1.0), r"beta2=1.0 of the untuned_exponential"),
        (lambda: step_factor("untuned_linear", beta2=-0.1), r"beta2=-0.1 of the untuned_linear"),
        (lambda: step_factor("radam", beta2=0.6), r"beta2=0.6: radam needs beta2 above 0.6"),
        (lambda: step_factor("radam")(-1), r"optimizer step -1.0: steps count 0, 1, 2"),
        (lambda: step_factor("linear", 4)([0, math.nan]), r"optimizer step nan"),
        (lambda: BASES["cosine"](1.0)(math.nan), r"is NaN"),
        (lambda: schedules.exponential(1.0, end=1.0), r"end=1.0 of the exponential base"),
        (lambda: schedules.stable_decay(1.0, decay=0.0), r"decay=0.0 of stable_decay"),
        (lambda: schedules.inverse_sqrt(1.0, timescale=0.0), r"timescale=0.0: give a finite"),
    ],
)
def test_bad_input_is_refused_with_the_way_out(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("peak", [0.0, -1e-3, math.inf, math.nan])
@pytest.mark.parametrize("name", BASES)
def test_bad_peaks_are_refused(name: str, peak: float) -> None:
    with pytest.raises(ValueError, match=r"peak=.*: give a finite number above 0"):
        BASES[name](peak)
