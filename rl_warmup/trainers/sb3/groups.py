"""The optimizer of a PPO policy with two parameter groups, the actor's and the critic's."""

from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.policies import BasePolicy

from rl_warmup.trainers.policies import is_critic


def split_optimizer(policy: BasePolicy) -> None:
    """Give a policy an optimizer of its kind with the groups of `config.columns.GROUPS`; it has taken no step.

    The features extractor, which actor and critic share, counts with the actor.
    """
    named, old = list(policy.named_parameters()), policy.optimizer
    groups = [{"params": [p for name, p in named if is_critic(name) == critic]} for critic in (False, True)]
    options: dict[str, Any] = {"lr": old.param_groups[0]["lr"], **policy.optimizer_kwargs}
    policy.optimizer = policy.optimizer_class(groups, **options)


def whole_state(policy: BasePolicy) -> dict[str, Any]:
    """The state dict of the optimizer as that of one group in the order of the policy's own parameters."""
    found: dict[str, Any] = policy.optimizer.state_dict()
    place = _places(policy)
    group = found["param_groups"][0] | {"params": sorted(place)}
    return {"state": {place[index]: state for index, state in found["state"].items()}, "param_groups": [group]}


def load_whole_state(policy: BasePolicy, state: Mapping[str, Any]) -> None:
    """Load what `whole_state` returned into the groups of the policy's optimizer, which keep their rates."""
    index_of = {place: index for index, place in enumerate(_places(policy))}
    moved = {index_of[place]: of_one for place, of_one in state["state"].items()}
    policy.optimizer.load_state_dict({**policy.optimizer.state_dict(), "state": moved})


def _places(policy: BasePolicy) -> list[int]:
    """By a parameter's index in the optimizer its index among the policy's parameters."""
    trained = [p for group in policy.optimizer.param_groups for p in group["params"]]
    order = {id(p): place for place, p in enumerate(policy.parameters())}
    known = sorted(order[id(p)] for p in trained)
    return [known.index(order[id(p)]) for p in trained]
