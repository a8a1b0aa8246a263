"""What is said before training of environments without constants or hyperparameters of their own."""

from collections.abc import Iterable

from rl_warmup.config.conf import untuned_words
from rl_warmup.config.constants import unscored
from rl_warmup.config.schema import RunConfig


def notes_on(configs: Iterable[RunConfig]) -> list[str]:
    """What a plan says of its environments: which lack constants or hyperparameters of their own; each once."""
    lines = (line for config in configs for line in (*unscored(vars(config.env)), *_untuned(config)))
    return list(dict.fromkeys(lines))


def _untuned(config: RunConfig) -> list[str]:
    if config.tuned_learning_rate is not None:
        return []
    return [untuned_words(config.env.name, config.algo.name)]
