"""What is said before training of the environments of its runs."""

from collections.abc import Iterable

from rl_warmup.config.conf import untuned_words
from rl_warmup.config.constants import unscored
from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.images import extractor_for
from rl_warmup.envs.spaces import spaces


def notes_on_envs(configs: Iterable[RunConfig]) -> list[str]:
    """Which lack constants, hyperparameters or a network for images; each once."""
    configs = list(configs)
    own = (line for config in configs for line in (*unscored(vars(config.env)), *_untuned(config)))
    return list(dict.fromkeys([*own, *(line for config in configs for line in _on_images(config))]))


def _untuned(config: RunConfig) -> list[str]:
    if config.tuned_learning_rate is not None:
        return []
    return [untuned_words(config.env.name, config.algo.name)]


def _on_images(config: RunConfig) -> list[str]:
    """That a network is not for images; published hyperparameters are taken as they are."""
    if config.algo.extractor != "flatten" or config.tuned_learning_rate is not None:
        return []
    seen, _ = spaces(config.env, config.trainer.envs)
    fitting = extractor_for(seen)
    if fitting is None:
        return []
    return [
        f"{config.env.name} shows images {seen.shape}, and algo.extractor=flatten takes them for lists of numbers; "
        f"algo.extractor={fitting} is a network for images"
    ]
