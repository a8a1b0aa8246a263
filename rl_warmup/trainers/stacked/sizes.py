"""How many members one program updates: few sizes, so that few programs serve all sweeps."""

CHUNK = 4
"""Members that one program updates at once on a CPU, so that their parameters and activations stay in its cache;
stacks are filled up to multiples of it."""


GPU_SIZES = tuple(sorted({CHUNK * part * 2**k for part in (1, 3) for k in range(11)}))
"""Members that one program updates on a GPU, all of a stack; a third of them at most only fill it up."""


def measured_at_once(device: str) -> int:
    """Members that `diagnostics=full` measures at once: what it keeps of each is long, and in float64.

    >>> measured_at_once("cpu"), measured_at_once("cuda:0")
    (4, 16)
    """
    return CHUNK if device == "cpu" else 4 * CHUNK


def padded_size(members: int, device: str) -> int:
    """Members that a stack of so many is filled up to, so that few programs serve all sweeps.

    >>> padded_size(5, "cpu"), padded_size(50, "cpu"), padded_size(50, "cuda:0")
    (8, 52, 64)
    """
    whole = -(-members // CHUNK) * CHUNK
    return whole if device == "cpu" else next((size for size in GPU_SIZES if size >= members), whole)
