"""A policy of Stable-Baselines3 as a function of flat parameters, of many members at once and in any precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

import torch
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn
from torch.func import functional_call, vmap

from rl_warmup.trainers.functional import losses

_TARGET = "q_net_target."
_PARTS = {  # module of a policy -> what its layers are called
    "features_extractor": "extractor",
    "q_net.features_extractor": "extractor",
    "mlp_extractor.policy_net": "actor",
    "action_net": "actor",
    "mlp_extractor.value_net": "critic",
    "value_net": "critic",
    "q_net.q_net": "critic",
}


class Outputs(NamedTuple):
    """What a policy puts out for observations, [members, rows, ...] each; empty what it does not have."""

    head: Tensor  # logits or means of the actions, or Q values
    log_std: Tensor  # of continuous actions
    values: Tensor  # of PPO
    actor: Tensor  # what the layer of the actions sees
    critic: Tensor  # what the layer of the values sees
    actor_layers: tuple[Tensor, ...]  # outputs of the hidden layers, those of a shared extractor first
    critic_layers: tuple[Tensor, ...]


class FlatPolicy:
    """The outputs of a policy with any parameters, [members, parameters], in the order of its own `parameters()`.

    It looks like the policy that it is made of, which stays as it is.
    """

    def __init__(self, policy: BasePolicy) -> None:
        self._shapes = {name: parameter.shape for name, parameter in named_parameters(policy)}
        self._sizes = [shape.numel() for shape in self._shapes.values()]
        self._spaces, self._images = (policy.observation_space, policy.action_space), policy.normalize_images
        self._module = _Looked(policy)
        self.layers = self._layers()
        """Where every layer is in a flat vector: its weights, biases, and what normalizes its outputs.

        Layers count from 1 within the extractor, the actor and the critic, whose last ones are `out`; a Q network
        is a critic. What belongs to no layer, as a log-std, is in none.
        """
        self.critic = torch.zeros(sum(self._sizes), dtype=torch.bool)
        """Which parameters are the critic's alone, [parameters]."""
        for layer, place in self.layers.items():
            self.critic[place] = layer.startswith("critic")

    def seen(self, observations: Tensor) -> Tensor:  # [members, rows, ...]
        """Observations as the networks see them, images divided by 255, choices one-hot; in float64, but images."""
        rows = preprocess_obs(observations.flatten(0, 1), self._spaces[0], self._images)
        assert isinstance(rows, Tensor)
        seen: Tensor = rows.unflatten(0, observations.shape[:2])
        return seen if len(self._spaces[0].shape or ()) == 3 else seen.double()

    def __call__(self, parameters: Tensor, seen: Tensor) -> Outputs:
        """What it puts out for what `seen` gave, in float64 where both are, else in float32."""
        dtype = torch.float32 if torch.float32 in (parameters.dtype, seen.dtype) else torch.float64
        outputs: Outputs = vmap(self._of_one)(parameters.to(dtype), seen.to(dtype))
        return outputs

    def _of_one(self, parameters: Tensor, seen: Tensor) -> Outputs:  # [parameters], [rows, ...]
        parts = zip(self._shapes.items(), parameters.split(self._sizes), strict=True)
        named = {f"policy.{name}": part.view(shape) for (name, shape), part in parts}
        # Modules that the policy has under several names would be left with what they were lent.
        outputs: Outputs = functional_call(self._module, named, (seen,), tie_weights=False)
        return outputs

    def judged(self, outputs: Outputs, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of actions [members, rows, components], and entropies, [members, rows] each."""
        tables = self.tables(outputs.head)
        if not tables:
            log_prob = losses.gaussian_log_prob(actions, outputs.head, outputs.log_std)
            return log_prob, losses.gaussian_entropy(outputs.log_std)
        chosen = zip(tables, actions.long().unbind(2), strict=True)
        log_probs = [losses.log_prob_of(table, action) for table, action in chosen]
        entropies = [losses.categorical_entropy(table) for table in tables]
        return torch.stack(log_probs).sum(0), torch.stack(entropies).sum(0)

    def tables(self, head: Tensor) -> list[Tensor]:  # [..., logits] -> [components] of [..., choices]
        """Log-probabilities of the choices of every component of a discrete action; none of continuous ones."""
        match self._spaces[1]:
            case Discrete():
                sizes = [head.shape[-1]]
            case MultiDiscrete() as space:
                sizes = space.nvec.tolist()
            case MultiBinary():
                sizes, head = [2] * head.shape[-1], torch.stack([torch.zeros_like(head), head], -1).flatten(-2)
            case _:
                return []
        return [part.log_softmax(-1) for part in head.split(sizes, -1)]

    def _layers(self) -> dict[str, slice]:
        found: dict[str, list[slice]] = {}
        ends = [0, *accumulate(self._sizes)]
        places = {name: slice(*pair) for name, pair in zip(self._shapes, pairwise(ends), strict=True)}
        for module, own in groupby(self._shapes, lambda name: name.rpartition(".")[0]):
            names = list(own)
            part = next((called for path, called in _PARTS.items() if f"{module}.".startswith(f"{path}.")), None)
            if part is None:
                continue
            layers, place = found.setdefault(part, []), slice(places[names[0]].start, places[names[-1]].stop)
            if len(self._shapes[names[0]]) == 1:  # it normalizes what the layer before puts out
                place = slice(layers.pop().start, place.stop)
            layers.append(place)
        return {
            f"{part}_{'out' if part != 'extractor' and i == len(every) else i}": place
            for part, every in found.items()
            for i, place in enumerate(every, start=1)
        }


def trained(policy: BasePolicy) -> list[nn.Parameter]:
    """The parameters of a flat vector, in its order: not those of DQN's target network."""
    return [parameter for _, parameter in named_parameters(policy)]


def named_parameters(policy: BasePolicy) -> list[tuple[str, nn.Parameter]]:
    """The same with their names."""
    return [(name, p) for name, p in policy.named_parameters() if not name.startswith(_TARGET)]


class _Looked(nn.Module):
    """A policy whose `forward` gives `Outputs` for observations that are as its networks see them."""

    def __init__(self, policy: BasePolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, seen: Tensor) -> Outputs:  # [rows, ...]
        policy, none = self.policy, seen.new_zeros(len(seen), 0)
        if isinstance(policy, DQNPolicy):
            network = policy.q_net
            *hidden, last = network.q_net
            with _heard(network) as layers:
                latent = nn.Sequential(*hidden)(network.features_extractor(seen))
            return Outputs(last(latent), none, none, none, latent, (), tuple(layers))
        assert isinstance(policy, ActorCriticPolicy)
        with _heard(policy) as layers:
            features = policy.features_extractor(seen)
            actor = policy.mlp_extractor.forward_actor(features)
            own = len(layers)
            critic = policy.mlp_extractor.forward_critic(features)
        log_std = none
        if hasattr(policy, "log_std"):
            log_std = (
                policy.log_std.expand(len(seen), -1) if not policy.use_sde else _of_states(actor, policy.log_std)
            )
        values = policy.value_net(critic).squeeze(-1)
        split = tuple(layers[:own]), tuple(layers[own:])
        return Outputs(policy.action_net(actor), log_std, values, actor, critic, *split)


def _of_states(latent: Tensor, log_std: Tensor) -> Tensor:  # -> [rows, actions]
    return losses.state_dependent_log_std(latent.unsqueeze(0), log_std.unsqueeze(0)).squeeze(0)


@contextmanager
def _heard(module: nn.Module) -> Iterator[list[Tensor]]:
    """While it is entered, the outputs of all activations are collected."""
    kept: list[Tensor] = []
    activations = [part for part in module.modules() if isinstance(part, nn.ReLU | nn.Tanh)]
    handles = [part.register_forward_hook(lambda *call: kept.append(call[-1])) for part in activations]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
