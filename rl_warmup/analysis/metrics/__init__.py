"""Metrics: one number for each run.

A metric of the curve is a function (t, z, threshold) -> [runs], for all runs of an arm at once: t [evaluations] are
environment steps, strictly increasing; z [runs, evaluations] finite mean returns of the evaluations, normalized by
constants of the environment (0: a random policy, 1: the reference), never by their own range; threshold is the
normalized return that counts as solved.
A metric of `updates` or `episodes` is a function (table of one run, its config) -> float. nan: undefined for a run.

- curve: the stated shape, and final return, area, shortfall, time to the threshold
- stability: drawdowns, changes and collapses within a run; noise_floor: what evaluation noise makes of them
- diagnostics: losses, gradients, KL divergence, |Q| and the dose, from inside training
- table: the built-in metrics with unit, direction and role; registry: these and those of other packages
"""
