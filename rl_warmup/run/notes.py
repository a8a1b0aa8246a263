"""What is said before training of the environments and the updates of its runs."""

from collections.abc import Iterable

from rl_warmup.config.conf import untuned_words
from rl_warmup.config.constants import unscored
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.images import extractor_for
from rl_warmup.envs.spaces import spaces
from rl_warmup.schedules.adaptive import KL_ADAPTIVE


def notes_on(configs: Iterable[RunConfig]) -> list[str]:
    """What is to be known before training, of environments and of updates; each once."""
    configs = list(configs)
    lines = [*notes_on_envs(configs), *(line for config in configs for line in _on_updates(config))]
    return list(dict.fromkeys(lines))


def _on_updates(config: RunConfig) -> list[str]:
    """What no plan knows of its gradient steps and their learning rate."""
    lines, target_kl = [], getattr(config.algo, "target_kl", None)
    if target_kl is not None:
        lines.append(
            f"algo.target_kl={target_kl:g} ends updates early: {config.env.name} takes "
            f"at most {phases_of(config).gradient_steps:,} gradient steps; fractions are of these, and a warmup "
            "counts those taken"
        )
    if config.schedule.name == KL_ADAPTIVE:
        lines.append(
            f"schedule={KL_ADAPTIVE} changes the learning rate after every update, by its KL: what is planned "
            f"has the one that it starts from, {config.learning_rate:g}, throughout"
        )
    return lines


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
