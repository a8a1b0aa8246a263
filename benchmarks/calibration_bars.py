"""Bars that simulated shares have to pass, and the Markdown tables that they are printed in."""

from collections.abc import Iterable

import numpy as np
from simulations import Shares

from rl_warmup.analysis import FloatArray

Results = dict[tuple[str, int], Shares]

MANY = 3  # standard errors allowed where a hundred cells are looked at


def error(x: FloatArray) -> float:
    """Monte-Carlo standard error of a share."""
    return float(np.sqrt(x.mean() * (1 - x.mean()) / x.size))


class Bars:
    """Remembers whether all bars were passed."""

    passed = failed = 0

    def __call__(self, *good: bool) -> str:
        """PASS if all are good."""
        self.passed, self.failed = self.passed + all(good), self.failed + (not all(good))
        return "PASS" if all(good) else "FAIL"

    def at_most(self, cells: Iterable[FloatArray], limit: float, errors: float = 2) -> str:
        """PASS if all shares are, `errors` standard errors allowed."""
        return self(*(cell.mean() - errors * error(cell) <= limit for cell in cells))

    def at_least(self, cells: Iterable[FloatArray], limit: float, errors: float = 2) -> str:
        """The same from below."""
        return self(*(cell.mean() + errors * error(cell) >= limit for cell in cells))


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    print(f"\n### {title}\n", *("| " + " | ".join(map(str, line)) + " |" for line in lines), sep="\n", flush=True)


def shares(cells: Iterable[FloatArray]) -> list[str]:
    """Three decimals each."""
    return [f"{cell.mean():.3f}" for cell in cells]


def with_errors(cells: Iterable[FloatArray]) -> list[str]:
    """`share ± standard error` each."""
    return [f"{cell.mean():.3f} ± {error(cell):.3f}" for cell in cells]


def means(*values: FloatArray) -> list[str]:  # [runs] each
    """`mean ± standard error` of each."""
    return [f"{x.mean():.3f} ± {x.std() / np.sqrt(x.size):.3f}" for x in values]
