"""The networks of a stack: Stable-Baselines3's modules, with a leading members axis on every parameter."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from rl_warmup.trainers.functional.normalization import as_float

Parameters = Mapping[str, Tensor]  # name in Stable-Baselines3's policy -> [members, *shape]
Activation = Callable[[Tensor], Tensor]
Layer = Callable[[Parameters, Tensor], Tensor]  # of parameters and inputs [members, rows, ...]


class Layout:
    """Where each trained parameter of a policy lies in the flat vector of a member.

    The order is that of the policy's own `parameters()`, so that a member's vector is what
    `torch.nn.utils.parameters_to_vector` makes of a Stable-Baselines3 policy.
    """

    def __init__(self, policy: BasePolicy) -> None:
        self.shapes = {name: tuple(parameter.shape) for name, parameter in trained(policy)}
        self.sizes = [prod(shape) for shape in self.shapes.values()]

    def named(self, flat: Tensor) -> dict[str, Tensor]:  # [members, parameters]
        """Every parameter as a view [members, *shape] of `flat`."""
        parts = flat.split(self.sizes, dim=1)
        return {
            name: part.unflatten(1, shape) if shape else part.squeeze(1)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def mask(self, chosen: Callable[[str], bool]) -> Tensor:  # -> [parameters] bool
        """Which places of a member's vector are those of parameters with a chosen name."""
        parts = [torch.full((size,), chosen(name)) for name, size in zip(self.shapes, self.sizes, strict=True)]
        return torch.cat(parts)

    def flat(self, named: Parameters) -> Tensor:  # -> [members, parameters]
        """The inverse of `named`."""
        return torch.cat([named[name].flatten(1) for name in self.shapes], dim=1)


def trained(policy: BasePolicy) -> list[tuple[str, nn.Parameter]]:
    """The parameters that the optimizer trains, by name: not those of DQN's target network."""
    return [(name, p) for name, p in policy.named_parameters() if not name.startswith("q_net_target.")]


def stack_parameters(policies: Iterable[BasePolicy]) -> Tensor:  # -> [members, parameters]
    """The flat parameters of policies of one architecture, one row per policy."""
    return torch.stack([parameters_to_vector([p for _, p in trained(policy)]).detach() for policy in policies])


class Network:
    """Modules of a policy applied one after the other, for all members at once.

    Raises:
        ValueError: if a module is none that can be stacked.
    """

    def __init__(self, policy: BasePolicy, parts: Sequence[str], tanh: Activation) -> None:
        """`parts`: names of modules of `policy`, in the order in which data runs through them."""
        image = policy.normalize_images and is_image_space(policy.observation_space)
        self._scale = 255.0 if image and parts[0].endswith("features_extractor") else None
        self._layers = [layer for part in parts for layer in _layers(part, policy.get_submodule(part), tanh)]

    def __call__(self, parameters: Parameters, inputs: Tensor) -> Tensor:  # [members, rows, ...]
        """Outputs [members, rows, features]."""
        inputs = as_float(inputs)
        if self._scale is not None:
            inputs = inputs / self._scale
        for layer in self._layers:
            inputs = layer(parameters, inputs)
        return inputs


def _layers(name: str, module: nn.Module, tanh: Activation) -> list[Layer]:
    match module:
        case nn.Linear():
            return [_linear(name)]
        case nn.Conv2d():
            return [_convolution(name, module)]
        case nn.LayerNorm():
            return [_layer_norm(name, module)]
        case nn.ReLU():
            return [lambda parameters, x: torch.relu(x)]
        case nn.Tanh():
            return [lambda parameters, x: tanh(x)]
        case nn.Flatten():
            return [lambda parameters, x: x.flatten(2)]
    children = list(module.named_children())
    if not children and next(module.parameters(), None) is not None:
        raise ValueError(f"{name}: a {type(module).__name__} cannot be stacked; use trainer=sb3")
    return [layer for key, child in children for layer in _layers(f"{name}.{key}", child, tanh)]


def _linear(name: str) -> Layer:
    weight, bias = f"{name}.weight", f"{name}.bias"

    def linear(parameters: Parameters, x: Tensor) -> Tensor:
        result: Tensor = _Linear.apply(x, parameters[weight], parameters[bias])  # type: ignore[no-untyped-call]
        return result

    return linear


class _Linear(torch.autograd.Function):
    """x Wᵀ + b, the gradient of W in W's own layout: torch's has that of Wᵀ, which Adam reads slowly."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, ...]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        (gradient,) = gradients
        return torch.bmm(gradient, weight), torch.bmm(gradient.transpose(1, 2), x), gradient.sum(1)


def _layer_norm(name: str, module: nn.LayerNorm) -> Layer:
    weight, bias, shape = f"{name}.weight", f"{name}.bias", list(module.normalized_shape)

    def layer_norm(parameters: Parameters, x: Tensor) -> Tensor:  # [members, rows, features]
        scaled = torch.nn.functional.layer_norm(x, shape, eps=module.eps) * parameters[weight].unsqueeze(1)
        return scaled + parameters[bias].unsqueeze(1)

    return layer_norm


def _convolution(name: str, module: nn.Conv2d) -> Layer:
    """All members' convolutions as one, with one group per member."""
    stride, padding = module.stride, module.padding

    def convolution(parameters: Parameters, x: Tensor) -> Tensor:  # [members, rows, channels, height, width]
        members = x.shape[0]
        weight, bias = parameters[f"{name}.weight"].flatten(0, 1), parameters[f"{name}.bias"].flatten()
        grouped = x.transpose(0, 1).flatten(1, 2)  # [rows, members * channels, height, width]
        out: Tensor = torch.nn.functional.conv2d(grouped, weight, bias, stride, padding, groups=members)
        return out.reshape(len(out), members, -1, *out.shape[2:]).transpose(0, 1)

    return convolution


class _RationalTanh(torch.autograd.Function):
    """tanh(x) = x·P(x²) / Q(x²) with |x| clamped at 7.9: off by less than 4e-7, and a third of tanh's time.

    Source of the coefficients: Eigen, Eigen/src/Core/MathFunctionsImpl.h, ptanh_float.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        x = x.clamp(-7.90531110763549805, 7.90531110763549805)
        square = x * x
        over = square * -2.76076847742355e-16 + 2.00018790482477e-13
        for coefficient in (-8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05):
            over = square * over + coefficient
        over = x * (square * (square * over + 6.37261928875436e-04) + 4.89352455891786e-03)
        under = square * 1.19825839466702e-06 + 1.18534705686654e-04
        for coefficient in (2.26843463243900e-03, 4.89352518554385e-03):
            under = square * under + coefficient
        return over / under

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors  # type: ignore[attr-defined]
        slope: Tensor = 1 - output * output
        return gradients[0] * slope


def rational_tanh(x: Tensor) -> Tensor:
    """tanh by polynomials, which a compiler turns into a few vector instructions; slow where it is not compiled."""
    result: Tensor = _RationalTanh.apply(x)  # type: ignore[no-untyped-call]
    return result
