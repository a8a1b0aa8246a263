"""Looks that a study declares: read, counted, refused in words."""

from typing import Any

import pytest
from helpers.configs import Configure

from rl_warmup.config.looks import Looks, looks_of
from rl_warmup.config.settings import ConfigError


def test_looks_are_at_every_multiple_up_to_the_most() -> None:
    looks = looks_of({"every": 25, "most": 100, "spending": "obrien_fleming"})
    assert looks == Looks(25, 100, "obrien_fleming")
    assert looks.counts == (25, 50, 75, 100)
    assert looks.words == "looks at 25, 50, 75 and 100 pairs, spending obrien_fleming"


def test_pocock_is_the_default_and_none_is_none() -> None:
    assert looks_of({"every": 20, "most": 40}) == Looks(20, 40, "pocock")
    assert looks_of(None) is None


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (20, r"20 does not say when to look; give a mapping like \{every: 20"),
        ({"every": 20}, "does not say when to look"),
        ({"every": 20, "most": 100, "alpha": 0.05}, "does not say when to look"),
        ({"every": "20", "most": 100}, "every is '20'; give a whole number of seeds"),
        ({"every": 20, "most": 100.0}, "most is 100.0; give a whole number of seeds"),
        ({"every": True, "most": 100}, "every is True; give a whole number"),
        ({"every": 10, "most": 100}, "every is 10; use 20 or more, below 20 pairs a look does not see"),
        ({"every": 20, "most": 90}, "most is 90; use a multiple of every=20 from 40 on, e.g. 80"),
        ({"every": 20, "most": 20}, "most is 20; use a multiple of every=20 from 40 on, e.g. 40"),
        ({"every": 20, "most": 100, "spending": "haybittle"}, "spending is 'haybittle'; use one of: pocock, obr"),
    ],
)
def test_what_cannot_be_is_refused(declared: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        looks_of(declared)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["study.looks={every: 5, most: 10}"], "study.looks: every is 5; use 20 or more"),
        (["study.looks={every: 20, most: 40}"], "study.looks decides .* and study.control is not set; declare"),
        (
            ["study.looks={every: 20, most: 40}", "study.control={warmup.name: none}", "study.order=pooled_first"],
            "study.looks has no pooled question, which study.order=pooled_first asks first; use study.order=holm",
        ),
    ],
)
def test_a_config_is_refused_before_training(configure: Configure, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(*overrides)
