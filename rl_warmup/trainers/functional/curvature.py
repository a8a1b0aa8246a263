"""How sharply the loss of every member bends, as its optimizer sees it; nothing is ever summed over members."""

from collections.abc import Callable

import torch
from torch import Tensor

from rl_warmup.trainers.functional.step_rates import RAdamRates, RMSpropRates, SGDRates, StepRates

Rates = StepRates | RAdamRates | RMSpropRates | SGDRates  # [members] float64 each
Losses = Callable[[Tensor], Tensor]  # of parameters [members, parameters] -> [members]
Product = Callable[[Tensor], Tensor]  # a symmetric matrix a member, times [members, parameters]

PASSES = 8  # evaluations of the loss in the search for the critical step
FACTOR = 4.0  # by which it goes up or down until the step is enclosed
ITERATIONS = 8  # products with the Hessian in Lanczos' method: above 93% of the largest eigenvalue in trials


def preconditioner(second: Tensor, rates: Rates) -> Tensor:  # [members, parameters] both
    """P, by which a step of an optimizer is -lr·m / P, m its moving average or sum of gradients.

    Of Adam P = (1 - b1^t)·(sqrt(v / (1 - b2^t)) + eps), of RMSprop sqrt(v) + eps, of SGD 1.

    Args:
        second: the moving average v of the squared gradient.

    Source: Cohen et al., arXiv 2207.14484.
    """
    match rates:
        case StepRates():
            root = (second / _column(rates.correction2)).sqrt() + _column(rates.eps)
            return _column(rates.correction1) * root
        case RAdamRates():
            scale = _column(rates.adaptive) / (second.sqrt() + _column(rates.eps)) + _column(rates.plain)
            return _column(rates.correction1) / scale
        case RMSpropRates():
            return second.sqrt() + _column(rates.eps)
        case SGDRates():
            return torch.ones_like(second)


def stability_limit(rates: Rates) -> Tensor:  # -> [members]
    """The largest eigenvalue of P⁻¹H with which an optimizer is stable, (2 + 2·b1) / (w·lr).

    w is the weight of a new gradient in m: 1 - b1 of Adam, so that it is 38 / lr for b1 = 0.9, and 1 of RMSprop and
    SGD, whose m is a sum.

    Source: Cohen et al., arXiv 2207.14484.
    """
    weight = 1 - rates.beta1 if isinstance(rates, StepRates | RAdamRates) else 1.0
    limit: Tensor = (2 + 2 * rates.beta1) / (weight * rates.learning_rate)
    return limit


def _column(values: Tensor) -> Tensor:  # [members] -> [members, 1]
    return values.unsqueeze(1)


def critical_sharpness(
    loss: Losses,
    parameters: Tensor,  # [members, parameters]
    direction: Tensor,  # [members, parameters] along which a step is subtracted
    first: Tensor,  # [members] the first step that is tried
) -> Tensor:  # [members]
    """2 / s, s the smallest step with loss(parameters - s·direction) > loss(parameters); nan where none is found.

    Steps are multiplied or divided by 4 until s is enclosed, then halved by their logarithm: nine evaluations in
    all. On a quadratic with the direction g / P it is the Rayleigh quotient of P^-1/2·H·P^-1/2 with g / P^1/2.

    Source: Kalra et al., arXiv 2601.16979.
    """
    start, step = loss(parameters), first
    below, above = torch.zeros_like(first), torch.full_like(first, torch.inf)
    for _ in range(PASSES):
        exceeds = ~(loss(parameters - step.unsqueeze(1) * direction) <= start)  # so does what is no number
        above, below = torch.where(exceeds, step, above), torch.where(exceeds, below, step)
        between = torch.where(below == 0, above / FACTOR, (below * above).sqrt())
        step = torch.where(above.isinf(), below * FACTOR, between)
    return torch.where((below > 0) & above.isfinite() & start.isfinite(), 2 / step, torch.nan)


def gradient(loss: Losses, parameters: Tensor) -> Tensor:  # [members, parameters] both
    """The gradient of every member's loss."""
    with torch.enable_grad():
        point = parameters.detach().requires_grad_()
        (result,) = torch.autograd.grad(loss(point).sum(), point)
    return result


def hessian(loss: Losses, parameters: Tensor) -> tuple[Tensor, Product]:  # parameters: [members, parameters]
    """The gradient [members, parameters], and the product with the Hessian of every member."""
    with torch.enable_grad():
        point = parameters.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(point).sum(), point, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        (result,) = torch.autograd.grad(slope, point, vector, retain_graph=True)
        return result

    return slope.detach(), product


def scaled(product: Product, root: Tensor) -> Product:  # [members, parameters] each
    """The product with P^-1/2·H·P^-1/2 for the root P^-1/2: it has the eigenvalues of P⁻¹H, and is symmetric."""
    return lambda vector: root * product(root * vector)


def top_eigenvalue(product: Product, start: Tensor, iterations: int = ITERATIONS) -> Tensor:  # -> [members]
    """The largest eigenvalue by Lanczos' method, every vector orthogonal to all before; nan if one is not finite.

    Args:
        start: [members, parameters] the first vector, of any length but 0.
        iterations: products; as many as there are parameters give it exactly, fewer an estimate from below.

    Source: Golub and Van Loan, Matrix Computations, section 10.1.
    """
    basis: list[Tensor] = []
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    vector = start / start.norm(dim=1, keepdim=True)
    for _ in range(iterations):
        image = product(vector)
        found = (vector * image).sum(1)
        # Where all vectors are used up, the next ones are 0; their place is taken by a value within the spectrum.
        diagonal.append(torch.where((vector == 0).all(1), diagonal[0] if diagonal else found, found))
        basis.append(vector)
        size = image.norm(dim=1)
        for other in basis * 2:  # once more for what rounding left
            image = image - (other * image).sum(1, keepdim=True) * other
        rest = image.norm(dim=1)
        beside.append(torch.where(rest > 8 * torch.finfo(rest.dtype).eps * size, rest, 0.0))
        vector = torch.where(beside[-1].unsqueeze(1) > 0, image / rest.unsqueeze(1), 0.0)
    off = torch.stack(beside[:-1], dim=1) if iterations > 1 else diagonal[0].new_zeros(len(start), 0)
    matrix = torch.diag_embed(torch.stack(diagonal, dim=1))
    return largest(matrix + torch.diag_embed(off, 1) + torch.diag_embed(off, -1))


def largest(matrix: Tensor) -> Tensor:  # [members, n, n] symmetric -> [members]
    """The largest eigenvalue, nan where an entry is not finite."""
    finite = matrix.isfinite().all(2).all(1)
    values = torch.linalg.eigvalsh(torch.where(finite[:, None, None], matrix, 0.0))
    return torch.where(finite, values[:, -1], torch.nan)
