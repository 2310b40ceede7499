"""Films as MP4, with the optional package `av`. Imports no TensorFlow."""

import importlib.util

import numpy as np

import files


def save_video(path, frames, rate):
    """Write an MP4 (H.264) and return the path, or None if the package `av` is not installed.

    Args:
      path: ends with .mp4.
      frames: list of uint8 [H, W, C]. H.264 takes even sizes only: an odd last row or column is
        repeated.
      rate: frames per second.

    Raises:
      OSError: if the file cannot be written.
    """
    if importlib.util.find_spec("av") is None:
        return None
    import imageio.v3 as iio

    frames = [np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0)), "edge") for f in frames]
    frames = np.stack([np.broadcast_to(f, (*f.shape[:2], 3)) for f in frames])
    with files.atomic_path(path) as part:
        iio.imwrite(part, frames, plugin="pyav", codec="libx264", fps=rate)
    return path
