"""Tools for latents: their purposes in test mode, draws, files of them, and paths between them.

Imports no TensorFlow.
"""

import enum
import functools
from pathlib import Path

import numpy as np

import console
import files
from config import tables
from config.rows import import_object

MAX_LATENTS = 100_000  # in a file


class Purpose(enum.IntEnum):
    """The purpose of random latents. Each purpose has its own key and thus its own latents."""

    SHEET = 0
    SWEEP = 1
    DRAW = 2
    SEPARATE = 3
    SEED = 4
    INTERPOLATION = 5
    MOVE = 6
    DIRECTION = 7
    PROJECTION = 8


def build_latents(distribution, truncation=None):
    """Return the function (key, shape) → latents of a row of LATENTS.

    Args:
      distribution: a key of LATENTS.
      truncation: largest magnitude of a latent, or None for the distribution of the training.
    """
    row = tables.LATENTS[distribution]
    if truncation is None:
        return import_object(row.function)
    return functools.partial(import_object(row.truncated), truncation=truncation)


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


def read_latents(path, z_dim):
    """Read latents from a .npy file.

    Args:
      path: path of the file. Its array is [N, z_dim], or [z_dim] for a single latent, of any real
        dtype.
      z_dim: length of a latent vector.

    Returns:
      float32 [N, z_dim], N from 1 to `MAX_LATENTS`.

    Raises:
      Failed: if the file cannot be read, needs pickle, or holds another array.
    """
    stored = _load(path, f"--latents={path}")
    z = stored[None] if stored.ndim == 1 else stored
    if z.ndim != 2 or z.shape[1] != z_dim or not 1 <= len(z) <= MAX_LATENTS:
        raise console.Failed(
            f"--latents={path} has the shape {list(stored.shape)}: this generator takes latents"
            f" [N, {z_dim}], up to {MAX_LATENTS:,} of them"
        )
    if z.dtype.kind not in "fiu":
        raise console.Failed(f"--latents={path} must have real numbers, not {z.dtype}")
    with np.errstate(over="ignore"):
        z = z.astype(np.float32)
    if not np.isfinite(z).all():
        raise console.Failed(f"--latents={path} has values that are not finite")
    return z


def write_latents(path, z, labels=None):
    """Write latents [N, Z] as a .npy file for `--latents`, and their labels beside it.

    Args:
      path: Path of the file.
      z: float32 [N, Z].
      labels: int [N], or None for a generator without classes.

    Returns:
      The paths.
    """
    arrays = {path: z} | ({} if labels is None else {labels_path(path): labels})
    for name, array in arrays.items():
        with files.atomic_path(name) as part, open(part, "wb") as file:
            np.save(file, array)
    return list(arrays)


def labels_path(path):
    """Return the path of the labels that belong to a .npy file of latents: NAME_labels.npy."""
    return Path(path).with_name(f"{Path(path).stem}_labels.npy")


def read_labels(path, count, classes):
    """Read the labels that belong to a file of latents, from the file beside it.

    Args:
      path: path of the file of latents.
      count: number of latents.
      classes: number of classes of the generator; 0 for one without labels.

    Returns:
      int64 [count]; None if the generator has no classes, or there is no such file.

    Raises:
      Failed: if the file cannot be read, or does not have `count` numbers of classes.
    """
    path = labels_path(path)
    if not classes or not path.exists():
        return None
    labels = _load(path, path)
    whole = labels.dtype.kind in "iu" and labels.shape == (count,)
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise console.Failed(
            f"{path} must have a class from 0 to {classes - 1} for each of the {count} latents "
            "beside it: delete it, or give --label"
        )
    return labels.astype(np.int64)


def _load(path, name):
    """Return the array of a .npy file. Raises Failed, with the `name` of the file."""
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)  # np.load would also open other formats
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy's errors for broken files have no common base
        raise console.Failed(f"cannot read {name}: {reason(error)}") from None


def reason(error):
    """Return the reason of a failure to read a file, without the path."""
    return getattr(error, "strerror", None) or console.first_line(error)
