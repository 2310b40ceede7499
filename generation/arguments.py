"""Checks of the arguments of `interface`. Their errors are one line, as those of flags."""

import numbers
import operator
import os
from collections.abc import Iterable, Mapping

import numpy as np

import console
from config import values

MAX_SEED = 2**31 - 1
MIN_TRUNCATION = 0.01


def run(value):
    """Return the name or path of a run as a text, with the home folder for ~.

    Raises:
      console.Failed: if it is neither a text nor a path.
    """
    try:
        return os.path.expanduser(os.fsdecode(value))
    except TypeError:
        raise console.Failed(f"run={value!r} must be a text or a path") from None


def whole(name, value, low=0, high=MAX_SEED):
    """Return a whole number as an int.

    Raises:
      console.Failed: if it is no whole number, or not from `low` to `high`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not low <= number <= high:
        raise console.Failed(f"{name}={value!r} must be a whole number from {low} to {high}")
    return number


def seeds(value):
    """Return seeds as a list of ints, or None.

    Raises:
      console.Failed: if they are no sequence of whole numbers from 0 to `MAX_SEED`.
    """
    if value is None:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise console.Failed(f"seeds={value!r} must be a list of whole numbers")
    return [whole("seeds", seed) for seed in value]


def truncation(value, most):
    """Return a truncation as it is.

    Args:
      value: number, or None for no truncation.
      most: the largest value, or None.

    Raises:
      console.Failed: if it is not a number from `MIN_TRUNCATION` to `most`.
    """
    high = most or values.MAX_FLOAT
    if value is None or (isinstance(value, numbers.Real) and MIN_TRUNCATION <= value <= high):
        return value
    limit = f", at most {most:g}" if most else ""
    raise console.Failed(f"truncation={value!r} must be a number, at least {MIN_TRUNCATION}{limit}")


def shift(move, directions):
    """Return what a move adds to latents, float32 [Z].

    Args:
      move: dict of number of a direction, from 1 → how far to move along it.
      directions: float32 [K, Z].

    Raises:
      console.Failed: if it is no dict, a number is not from 1 to K, or a strength not a number
        within `values.MAX_MOVE`.
    """
    if not isinstance(move, Mapping):
        raise console.Failed(f"move={move!r} must be a dict, such as {{2: 1.5}}")
    total = np.zeros(directions.shape[1], np.float32)
    for key, strength in move.items():
        number = whole("direction", key, 1, len(directions))
        if not (isinstance(strength, numbers.Real) and abs(strength) <= values.MAX_MOVE):
            raise console.Failed(
                f"move={move!r}: strengths must be numbers from -{values.MAX_MOVE} to "
                f"{values.MAX_MOVE}"
            )
        total += np.float32(strength) * directions[number - 1]
    return total


def images(value, shape):
    """Return images as an array.

    Raises:
      console.Failed: if they are not uint8 [N, *shape], with N at least 1.
    """
    found = np.asarray(value)
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[1:] != shape or not len(found):
        size = ", ".join(map(str, shape))
        raise console.Failed(
            f"images must be uint8 [N, {size}], N at least 1, not {found.dtype} {list(found.shape)}"
        )
    return found


def pictures(value, channels):
    """Return images of any size as an array.

    Raises:
      console.Failed: if they are not uint8 [N, H, W, channels], with H and W at least 1.
    """
    found = np.asarray(value)
    given = found.dtype == np.uint8 and found.ndim == 4 and found.shape[-1] == channels
    if not given or 0 in found.shape[1:]:
        raise console.Failed(
            f"images must be uint8 [N, height, width, {channels}], not {found.dtype} "
            f"{list(found.shape)}"
        )
    return found
