"""Random numbers: which stream of a seed each purpose draws from.

No state is global. A generator follows from a seed, the purpose, and nothing else, so that two purposes never share
their numbers, and a new purpose changes no old one. The values are arbitrary and must never change.
"""

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What random numbers are drawn for: the register of all streams that NumPy draws."""

    SYNTHETIC = 0  # synthetic users, items and what they are like
    SYNTHETIC_PAIRS = 1  # which of the pairs are rated, a chunk at a time
    SPLIT = 0x5EED  # which ratings are test ratings
    VALIDATION = 0x57A1  # which training ratings are held back
    MASKING = 0x3A5C  # which test ratings are hidden from the input (TMR)
    FOLDS = 0xF01D  # which fold of a cross-validation each rating is in
    RESAMPLES = 0xB007  # users drawn again for an interval
    HALVES = 0x4A1F  # which half of the test ratings settings are chosen on
    FACTORS = 0xFAC7  # first factors of a matrix factorisation
    BOLTZMANN_MACHINE = 0x4B3  # its weights, order and Gibbs samples
    NEW_ROWS = 0xC01D  # which users or items are taken for new
    THINNING = 0x7415  # which training ratings are left out
    TIES = 0x71E5  # which of equal predictions comes first in a list
    DESIGN = 0xDE5  # resampling designs of the paper's correlations


class TorchStream(IntEnum):
    """What PyTorch draws while a network is trained."""

    WEIGHTS = 1
    ORDER = 2  # of the rows, each epoch
    DROPOUT = 3  # and noise on the input


def numpy_generator(seed: int, purpose: Purpose, *more: int) -> np.random.Generator:
    """Make the generator of one purpose.

    Parameters
    ----------
    seed
        At least 0.
    purpose
        A member of the register.
    *more
        Whole numbers that tell streams of one purpose apart.
    """
    return np.random.default_rng([seed, int(purpose), *more])


def torch_generator(seed: int, stream: TorchStream, device: str = "cpu") -> torch.Generator:
    """Make the generator of one of training's streams, on a device.

    Parameters
    ----------
    seed
        At least 0.
    stream
        What is drawn.
    device
        Where the numbers are needed.
    """
    state = np.random.SeedSequence([seed, int(stream)]).generate_state(2, np.uint32).astype(np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] << np.uint64(31) | state[1] >> np.uint64(1)))
