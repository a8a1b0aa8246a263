"""Methods for the mean of paired differences, for many studies at once; the project's own are its own code.

Each takes two arms [studies, n], the true mean of D and its bound, and gives the two-sided p of mean 0 and whether
the 95% interval holds the true mean, [studies] each.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.proved import Proved, betting, phan
from rl_warmup.analysis.statistics.sign_flips import SignFlips

ALPHA = 0.05  # of the simulated studies
RESAMPLES = 1000
EXACT = 20  # sign flips are the package's up to here; above, so many vectors for all studies at once
VECTORS = 10_000
BLOCK = 200

Found = tuple[FloatArray, FloatArray]
Method = Callable[[FloatArray, FloatArray, float, float], Found]


def tails(d: FloatArray) -> Found:  # [studies, n] -> [studies] each
    """One-sided sign-flip p against mean <= 0 and against mean >= 0."""
    if d.shape[1] <= EXACT:
        flips = [SignFlips.of(row) for row in d]
        return tuple(np.array([one.p_value(0.0, side) for one in flips]) for side in ("greater", "less"))  # type: ignore[return-value]
    signs = np.random.default_rng(d.shape[1]).choice(np.float32([-1, 1]), size=(d.shape[1], VECTORS))
    up, down = [], []
    for start in range(0, len(d), BLOCK):
        block = d[start : start + BLOCK].astype(np.float32)
        total, flipped = block.sum(axis=1)[:, None], block @ signs
        tie = 1e-6 * np.abs(block).sum(axis=1)[:, None]
        up.append((1 + (flipped >= total - tie).sum(axis=1)) / (1 + VECTORS))
        down.append((1 + (flipped <= total + tie).sum(axis=1)) / (1 + VECTORS))
    both = np.concatenate(up), np.concatenate(down)
    package = SignFlips.of(d[0]).p_value(0.0, "greater")
    assert abs(both[0][0] - package) <= 6 * np.sqrt(package * (1 - package) / VECTORS) + 3 / VECTORS
    return both


def sign_flips(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
    """The project's test in the runs seen, and its interval, which holds the centers that are not rejected."""

    def p(d: FloatArray) -> FloatArray:
        return np.minimum(1.0, 2 * np.minimum(*tails(d)))

    return p(x - y), (p(x - y - mean) > ALPHA).astype(np.float64)


def dirichlet(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
    """The project's test of the mean, whatever rare runs do."""
    tests = [Dirichlet.of(d, bound) for d in x - y]
    covers = [min(test.p_up(mean), test.p_down(mean)) > ALPHA / 2 for test in tests]
    return np.array([test.p_value() for test in tests]), np.array(covers, dtype=np.float64)


def by(test: Callable[[FloatArray, float], Proved]) -> Method:
    """One of the project's tests that are proved."""

    def method(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
        found = [test(d, bound) for d in x - y]
        covers = [one.ci_low <= mean <= one.ci_high for one in found]
        return np.array([one.p_value for one in found]), np.array(covers, dtype=np.float64)

    return method


def welch(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
    """Welch's t test, which ignores the pairs."""
    test = stats.ttest_ind(x, y, axis=1, equal_var=False)
    interval = test.confidence_interval(1 - ALPHA)
    return test.pvalue, ((interval.low <= mean) & (mean <= interval.high)).astype(np.float64)


def resampled(d: FloatArray) -> tuple[FloatArray, FloatArray]:  # [studies, n] -> [studies, resamples] each
    """Bootstrap means, and their standard deviations (n)."""
    n = d.shape[1]
    weights = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).T / n
    means = d @ weights
    return means, np.sqrt(np.maximum(d**2 @ weights - means**2, 0.0))


def bootstrap_t(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
    """Studentized bootstrap."""
    d = x - y
    middle, sd = d.mean(axis=1, keepdims=True), d.std(axis=1, keepdims=True)
    means, sds = resampled(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num((means - middle) / sds, nan=0.0)

    def p(center: float) -> FloatArray:
        at = (middle - center) / sd
        above, below = (t >= at).sum(axis=1), (t <= at).sum(axis=1)
        return np.minimum(1.0, 2 * (1 + np.minimum(above, below)) / (1 + RESAMPLES))

    return p(0.0), (p(mean) > ALPHA).astype(np.float64)


def bca(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
    """Bias-corrected and accelerated bootstrap (Efron 1987): the level at which an end is at the center."""
    d = x - y
    middle = d.mean(axis=1, keepdims=True)
    means, _ = resampled(d)
    off = d - middle
    acceleration = (off**3).sum(axis=1) / (6 * (off**2).sum(axis=1) ** 1.5)

    def quantile(center: FloatArray | float) -> FloatArray:
        below = (means < center).sum(axis=1) + 0.5 * (means == center).sum(axis=1)
        return ndtri(np.clip(below / RESAMPLES, 0.5 / RESAMPLES, 1 - 0.5 / RESAMPLES))

    bias = quantile(middle)

    def p(center: float) -> FloatArray:
        w = quantile(center) - bias
        z = w / (1 + acceleration * w) - bias
        return 2 * np.minimum(ndtr(z), ndtr(-z))

    return p(0.0), (p(mean) > ALPHA).astype(np.float64)


def johnson(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
    """t test corrected for skewness (Johnson 1978)."""
    d = x - y
    n, middle, sd = d.shape[1], d.mean(axis=1), d.std(axis=1, ddof=1)
    third = ((d - middle[:, None]) ** 3).mean(axis=1)

    def p(center: float) -> FloatArray:
        off = middle - center
        t = (off + third / (6 * sd**2 * n) + third * off**2 / (3 * sd**4)) * np.sqrt(n) / sd
        return np.asarray(2 * stats.t(n - 1).sf(np.abs(t)))

    return p(0.0), (p(mean) > ALPHA).astype(np.float64)


def wilcoxon(x: FloatArray, y: FloatArray, mean: float, bound: float) -> Found:
    """Wilcoxon's signed ranks, which test symmetry, too; its interval is inverted as the sign flips' is."""

    def p(d: FloatArray) -> FloatArray:
        return np.asarray(stats.wilcoxon(d, axis=1, method="auto").pvalue)

    return p(x - y), (p(x - y - mean) > ALPHA).astype(np.float64)


def dirichlet_equivalent(d: FloatArray, delta: float, bound: float) -> FloatArray:
    """Whether the project calls each study equivalent."""
    return np.array([Dirichlet.of(row, bound).equivalence_p(delta) <= ALPHA for row in d])


def flips_equivalent(d: FloatArray, delta: float, bound: float) -> FloatArray:
    """Whether the 90% interval of the sign flips is inside ±delta."""
    return np.asarray((tails(d + delta)[0] <= ALPHA) & (tails(d - delta)[1] <= ALPHA))


METHODS: dict[str, tuple[Method, bool]] = {  # and whether it is quick
    "Dirichlet": (dirichlet, True),
    "sign flips": (sign_flips, True),
    "Phan": (by(phan), False),
    "betting": (by(betting), False),
    "bootstrap-t": (bootstrap_t, False),
    "BCa": (bca, False),
    "Johnson t": (johnson, True),
    "Wilcoxon": (wilcoxon, False),
    "Welch": (welch, True),
}
