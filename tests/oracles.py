"""Slow, obvious versions of what the package computes, for the tests to compare with."""

import math

# ---- schedules ----


def warmup_factor(shape: str, x: float, start: float, power: float = 2.0) -> float:
    """omega at the share x of the warmup, one number at a time, formulas as the literature writes them."""
    if x >= 1:
        return 1.0
    if shape == "exponential":
        return math.exp((1 - x) * math.log(start))
    g = {
        "linear": x,
        "saturating": (1 - math.exp(-5 * x)) / (1 - math.exp(-5)),
        "cosine": (1 - math.cos(math.pi * x)) / 2,
        "polynomial": math.pow(x, power),
        "sqrt": math.sqrt(x),
        "one_minus_sqrt": 1 - math.sqrt(1 - x),
        "constant": 0.0,
    }[shape]
    return start + (1 - start) * g


def rectification(t: int, beta2: float) -> float:
    """RAdam's factor at update t = 1, 2, ... from the idea behind rho_t, without its closed form.

    rho_t is the length of the simple moving average with the same mean age as Adam's second moment, whose
    weights at ages 0 .. t-1 are proportional to beta2^age: (rho_t - 1)/2 = mean age.
    """
    weights = [beta2**age for age in range(t)]
    rho_t = 1 + 2 * math.fsum(age * weight for age, weight in enumerate(weights)) / math.fsum(weights)
    rho = 1 + 2 * beta2 / (1 - beta2)
    if rho_t <= 4:
        return 0.0
    return math.sqrt((rho_t - 4) / (rho - 4) * (rho_t - 2) / (rho - 2) * rho / rho_t)
