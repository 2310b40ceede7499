"""Tools for latents: their purposes in test mode, and paths between them.

Imports no TensorFlow.
"""

import enum

import numpy as np


class Purpose(enum.IntEnum):
    """The purpose of random latents. Each purpose has its own key and thus its own latents."""

    SHEET = 0
    SWEEP = 1
    DRAW = 2
    SEPARATE = 3
    SEED = 4
    INTERPOLATION = 5
    MOVE = 6


def slerp(a, b, t):
    """Interpolate spherically between latents (1609.04468). Their lengths change linearly.

    Args:
      a, b: [..., z_dim].
      t: 0 for `a` to 1 for `b`.

    Returns:
      [..., z_dim]. Between two latents of the same direction, or opposite ones, and from or to 0,
      the interpolation is linear.
    """
    length_a, length_b = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    product = length_a * length_b
    cosine = np.sum(a * b, -1, keepdims=True) / np.maximum(product, 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    flat = (sine < 1e-6) | (product < 1e-12)
    # Of flat rows, the values that are not used must be finite.
    length_a, length_b, sine = (np.where(flat, 1, v) for v in (length_a, length_b, sine))
    unit = (np.sin((1 - t) * angle) * a / length_a + np.sin(t * angle) * b / length_b) / sine
    return np.where(flat, (1 - t) * a + t * b, unit * ((1 - t) * length_a + t * length_b))
