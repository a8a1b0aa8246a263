"""Shapes and base schedules as a user's own package has them, usable ones and others."""

import numpy as np

ONE = np.float64(1)


def my_ramp(x):
    return x**3


def my_schedule(p):
    return 1 - p / 2


def falls(x):
    return np.where(x < 0.5, x, np.where(x < 1, 0.2, 1.0))


def stops_short(x):
    return 0.9 * x


def too_high(x):
    return 2 * x - x**2 + 0.5 * (x < 1) * x


def not_a_number(x):
    return np.where(x == 0.5, np.nan, x)


def of_one_number(x):
    return 1.0 if x > 0.5 else 0.0


def of_another_length(x):
    return x[1:]


def begins_low(p):
    return 0.9 * (1 - p)
