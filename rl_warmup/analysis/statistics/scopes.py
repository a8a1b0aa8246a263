"""The words of verdicts and their two scopes: the mean, whatever rare runs do, and the runs seen."""

from typing import Literal

ALPHA = 0.05  # level of every verdict, and of the intervals and limits beside it

Seen = Literal["better", "worse", "equivalent", "inconclusive"]  # equivalent: of studies with looks only
OfMean = Literal["better", "worse", "equivalent", "inconclusive"]
Headline = Literal[
    "better",
    "worse",
    "equivalent",
    "better in the runs seen",
    "worse in the runs seen",
    "equivalent in the runs seen",
    "inconclusive",
]


def headline(of_mean: OfMean, in_runs_seen: Seen) -> Headline:
    """The verdict of the mean where it decides, else that of the runs seen with its scope, else inconclusive.

    >>> headline("better", "better"), headline("inconclusive", "worse")
    ('better', 'worse in the runs seen')
    """
    if of_mean != "inconclusive" or in_runs_seen == "inconclusive":
        return of_mean
    words: dict[Seen, Headline] = {
        "better": "better in the runs seen",
        "worse": "worse in the runs seen",
        "equivalent": "equivalent in the runs seen",
    }
    return words[in_runs_seen]
