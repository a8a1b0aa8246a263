"""The Dirichlet test of the mean of bounded differences: it holds its level however rare the runs that collapse.

One more seed, D_0, is added at the worst value that the bounds allow, and every seed gets the weight that chance
gives it, w uniform on the simplex. For D_i in [-b, b] the test against mean <= c asks how often the weighted mean
is at most c: with D_0 = -b and g_i standard exponential (w = g / sum g),

    p_up(c) = P(sum_{i=0..n} (D_i - c) g_i <= 0) = E exp(-max(0, sum_{i=1..n} (D_i - c) g_i) / (b + c)),

exactly prod_i (b + c) / (b + D_i) where no D_i is below c. p_down(c), against mean >= c, is p_up(-c) of -D.
Nothing is drawn: the probability is an integral along a line in the complex plane, computed to 8 digits and more.

The test is exact for differences of two values; where all are -b or b it is Clopper and Pearson's. In general its
level is conjectured, not proved: it was never seen above it in 444 adversarial cases. `proved` has the wider
alternatives that are proved. Its power is what a law allows: against n equal differences d, no valid test can
reject before (b / (b + d))^n <= level, and this one rejects there.

Source: Gaffke 2005, Mathematical Methods of Statistics 14(4), 451-467; Learned-Miller & Thomas, arXiv 1905.06208;
the law: Bahadur & Savage 1956, doi 10.1214/aoms/1177728077.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.sign_flips import ROUNDING, sample

BEYOND = 1e-9  # so far beyond the bound, relative to it, a difference is rounding
STEP = 0.16
LINE = [np.arange(*ends) * STEP for ends in ((8,), (8, 16), (16, 32), (32, 64), (64, 160))]  # where to integrate
NEGLIGIBLE = 25.0  # what is e^-25 of the largest, and the rest of the line, adds nothing


def negative(scales: FloatArray) -> float:  # [n], the most negative one last
    """P(sum_j scales_j g_j <= 0) for standard exponential g_j, scales of both signs.

    With K(x) = -sum_j log(1 + scales_j x) - log x, the probability is the integral of exp(K(x - it)) / 2 pi over
    all real t, for any x in (0, -1 / min scales): here near the saddle of K, by the trapezoidal rule in u with
    t = width sinh u.

    Source: Trefethen & Weideman 2014, doi 10.1137/130932132.
    """
    worst, reach = -float(scales[-1]), math.log(scales.size) + 1

    def slope(logit: float) -> float:  # x K'(x) at x = expit(logit) / worst
        x = expit(logit) / worst
        return float(-(scales * x / (1 + scales * x)).sum() - 1)

    x = float(expit(brentq(slope, -reach, reach, xtol=1e-2)) / worst)
    ratios = np.append(scales * x / (1 + scales * x), 1.0)
    ratios /= math.sqrt(float(ratios @ ratios))
    total = -0.5  # the point in the middle of the line counts once, the others on both sides
    for u in LINE:
        factors = np.outer(np.sinh(u), ratios)  # [points, n + 1]
        size = 0.5 * np.log1p(factors**2).sum(axis=1) - np.log(np.cosh(u))
        total += float(np.exp(-size) @ np.cos(np.arctan(factors).sum(axis=1)))
        if size[-1] > NEGLIGIBLE:
            break
    height = math.exp(-float(np.log1p(scales * x).sum()))
    return min(1.0, total * STEP * height * float(ratios[-1]) / math.pi)


def _depth(p: float) -> float:
    """How deep in the tail p is: almost straight in c, so that Brent's bisection finds an end in few steps."""
    return math.sqrt(-math.log(max(p, sys.float_info.min)))


@dataclass(frozen=True)
class _Up:
    """The tests against mean <= c, for every c."""

    differences: FloatArray  # [n], ascending
    bound: float

    def p(self, c: float) -> float:
        low, high = float(self.differences[0]), float(self.differences[-1])
        if high <= c:
            return 1.0
        if c <= low:
            return self._product(c)
        return negative(np.append(self.differences, -self.bound) - c)

    def _product(self, c: float) -> float:
        """p(c) where no difference is below c."""
        room = self.bound + c
        return float(np.exp(-np.log1p((self.differences - c) / room).sum())) if room > 0 else 0.0

    def end(self, level: float) -> float:
        """The c with p(c) = level."""
        low, high = float(self.differences[0]), float(self.differences[-1])
        if self._product(low) < level and low < high:
            return float(brentq(lambda c: _depth(level) - _depth(self.p(c)), low, high, xtol=ROUNDING * self.bound))
        with np.errstate(divide="ignore"):  # log 0 where all differences are -bound
            log_room = np.log(level) / self.differences.size + np.log(self.bound + self.differences).mean()
        return float(np.exp(log_room)) - self.bound


@dataclass(frozen=True)
class Dirichlet:
    """The tests of the mean of one sample of bounded differences, and the interval that inverts them.

    The order of the pairs does not matter, and minus the differences give the mirrored answers.
    """

    up: _Up
    down: _Up  # of minus the differences

    @classmethod
    def of(cls, differences: ArrayLike, bound: float) -> "Dirichlet":
        """The test of differences that cannot leave [-bound, bound].

        Args:
            differences: [n], one for each pair; what is 0 up to rounding, of the bound, is 0.
            bound: above 0, in the unit of the differences.

        Raises:
            ValueError: without a pair, for a bound that is not finite and above 0, for a difference beyond it.

        >>> test = Dirichlet.of([0.5, 1.0], bound=1.0)
        >>> round(test.p_up(0.0), 9)  # 1 / 1.5 * 1 / 2
        0.333333333
        """
        d = sample(differences, "differences")
        if d.size < 1:
            raise ValueError("no differences: give at least one pair")
        if not (np.isfinite(bound) and bound > 0):
            raise ValueError(f"bound {bound!r} of the differences: give a finite number above 0")
        largest = float(d[np.argmax(np.abs(d))])
        if abs(largest) > bound * (1 + BEYOND):
            raise ValueError(
                f"difference {largest:.6g} beyond ±{bound:.6g}: clip the runs, or declare wider bounds"
            )
        d = np.sort(np.where(np.abs(d) <= ROUNDING * bound, 0.0, np.clip(d, -bound, bound)))
        return cls(_Up(d, bound), _Up(-d[::-1], bound))

    def p_up(self, c: float = 0.0) -> float:
        """One-sided p against mean <= c."""
        return self.up.p(c)

    def p_down(self, c: float = 0.0) -> float:
        """One-sided p against mean >= c."""
        return self.down.p(-c)

    def p_value(self) -> float:
        """Two-sided p against mean = 0: twice the smaller one-sided p, at most 1."""
        return min(1.0, 2 * min(self.p_up(), self.p_down()))

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Interval of level 1 - alpha for the mean: the c that neither one-sided test rejects at alpha / 2.

        It always ends within the bounds, and leaves out 0 exactly where the two-sided p is below alpha.
        """
        return self.up.end(alpha / 2) + 0.0, 0.0 - self.down.end(alpha / 2)

    def equivalence_p(self, delta: float) -> float:
        """The larger p of the tests against mean <= -delta and mean >= delta.

        At most alpha exactly where the interval of level 1 - 2 alpha lies inside ±delta.

        Source: Schuirmann 1987.
        """
        return max(self.p_up(-delta), self.p_down(delta))
