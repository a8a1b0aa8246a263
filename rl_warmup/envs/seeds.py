"""One seed of a run, split into independent named streams."""

import numpy as np

# The independent streams that one seed is split into. Their numbers are part of every result: never renumber.
STREAMS = {
    "weights": 0,
    "environment": 1,
    "evaluation": 2,
    "exploration": 3,
    "minibatches": 4,
    "prefill": 5,
    "probe": 6,
    "source": 7,
}


def stream_seed(seed: int, stream: str, *counter: int) -> int:
    """Seed of one named stream of a run, in [0, 2^31).

    The first word of numpy's SeedSequence over (seed, stream, *counter); arms that share `seed` share it.
    SeedSequence takes missing counters for zeros: where a stream is also used without a counter, it starts at 1.

    >>> stream_seed(0, "evaluation", 3, 1) == stream_seed(0, "evaluation", 1, 3)
    False
    """
    words = np.random.SeedSequence([seed, STREAMS[stream], *counter]).generate_state(1)
    return int(words[0] >> 1)


def environment_seed(seed: int, resets: int = 0) -> int:
    """Seed of a run's environments, which were restarted `resets` times because they could not be replayed."""
    return stream_seed(seed, "environment", *([resets] if resets else []))


def side_by_side(first: int, count: int) -> list[int]:
    """Seeds of environments side by side: one after the other, as Stable-Baselines3's VecEnv.seed counts them."""
    return [(first + i) % 2**31 for i in range(count)]


def evaluation_seeds(seed: int, index: int, episodes: int) -> list[int]:
    """Seeds of the episodes of evaluation number `index` of a run with `seed`; arms that share it share them."""
    return [stream_seed(seed, "evaluation", index, episode) for episode in range(episodes)]


def source_seeds(seed: int, episodes: int) -> list[int]:
    """Seeds of the episodes in the environment of the agent that a run starts from, before the run and after."""
    return [stream_seed(seed, "source", episode) for episode in range(episodes)]
