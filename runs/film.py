"""The film of a training: which pictures are its frames, and the animations made of them."""

import math

import numpy as np
from PIL import Image

import utils
from runs import recovery

MAX_FRAMES = 60
MAX_BYTES = 2_000_000  # of an animation
SIDE = 512  # pixels of a frame, at most


def keep(home, step, grid, every):
    """Keep a grid, uint8 [H, W, C], as the frame of a step, and those of before that are `kept`."""
    scale = SIDE / max(grid.shape[:2])
    if scale < 1:
        size = [round(n * scale) for n in grid.shape[1::-1]]
        grid = np.asarray(utils.to_pillow(grid).resize(size, Image.Resampling.BOX))
        grid = grid.reshape(*grid.shape[:2], -1)
    utils.save_image(home / "frames" / f"{step:08d}.png", grid)
    paths = {int(path.stem): path for path in recovery.frames(home)}
    for number in paths.keys() - kept(list(paths), every):
        paths[number].unlink()


def kept(steps, every):
    """Of growing steps those whose frames are kept, at most MAX_FRAMES.

    They are the first one in each of equal spans, and the newest. A span is `every` steps, less its
    factors of two up to 4, or as often twice that as it takes: so what is left out at one step
    is left out at any later one, and a run that goes back to a checkpoint has the film of one that
    did not.
    """
    span, first = max(1, every // math.gcd(every, 4)), {}
    while steps[-1] // span >= MAX_FRAMES - 1:
        span *= 2
    for step in steps:
        first.setdefault(step // span, step)
    return {*first.values(), steps[-1]}


def read(path):
    """A picture, or None where it is absent or broken: a film does without it."""
    try:
        return utils.read_image(path)
    except Exception:  # whatever Pillow makes of a broken file
        return None


def frames(home):
    """[(path, picture)] of the frames that can be read, with as many channels as the last."""
    found = [(path, image) for path in recovery.frames(home) if (image := read(path)) is not None]
    return [(path, image) for path, image in found if image.shape[-1] == found[-1][1].shape[-1]]


def save(path, pictures):
    """Write an animation of at most MAX_BYTES, with as many of the pictures as fit, evenly."""
    count = len(pictures)
    while count:
        shown = np.linspace(0, len(pictures) - 1, count).round().astype(int)
        utils.save_animation(path, [pictures[i] for i in shown])
        size = path.stat().st_size
        if size <= MAX_BYTES or count == 1:
            return
        count = max(1, int(0.95 * count * MAX_BYTES / size))
