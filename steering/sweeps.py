"""Sweeps of test mode: images in which one latent goes from low to high.

The functions take a `sample.Sampler`; an option returns a list of the paths that it writes. In
options 1, 3 and 4 the other latents, and the labels, are random in each image. In options 2 and 5
they stay.
"""

import numpy as np

import utils
from runs import plots
from steering.latents import Purpose

N_DRAWS = 100  # dimensions that option 2 draws, with replacement
GIF_SECONDS = 2.0
MOSAIC = 10  # rows and columns of the merged animation
MOVES = 10  # dimensions that option 5 shows
PROBES = 5  # values of a dimension at which its effect is measured
BLOCK = 20  # dimensions whose effects are measured at a time
STOPS = 9  # rows of option 5's sheet
FRAMES = 24  # of option 5's films, one way
SHEET_SIDE, FILM_SIDE = 64, 256  # pixels of an image in option 5; smaller images are enlarged


def sweep(sampler, dim):
    """Return uint8 images [count, H, W, C] of a sweep of latent `dim` from low to high.

    The other latents, and the labels, are random for each image.
    """
    z = sampler.z(Purpose.SWEEP, dim)
    z[:, dim] = sampler.values(sampler.count)
    labels = sampler.rng.integers(0, sampler.classes, len(z)) if sampler.classes else None
    return sampler.images(z, labels)


def sheets(sampler):
    """Option 1: write the sweep of each dimension D as a grid, test_arange_D.png."""
    return [
        utils.save_image(
            sampler.folder / f"test_arange_{d}.png", utils.make_grid(sweep(sampler, d))
        )
        for d in range(sampler.z_dim)
    ]


def _gif(sampler, dim, frames):
    """Write the frames as test_gif_D.gif."""
    return utils.save_animation(sampler.folder / f"test_gif_{dim}.gif", frames, GIF_SECONDS)


def draws(sampler):
    """Option 2: write test_gif_D.gif for dimensions D drawn at random.

    In each, one image changes with that dimension alone.
    """
    paths = []
    for dim in sorted(set(sampler.rng.integers(0, sampler.z_dim, N_DRAWS).tolist())):
        z = _moved(sampler, sampler.z(Purpose.DRAW, dim, count=1), dim, sampler.count)
        paths.append(_gif(sampler, dim, sampler.images(z, np.full(len(z), dim))))
    return paths


def films(sampler):
    """Option 3: write the sweep of each dimension D as an animation, test_gif_D.gif."""
    return [_gif(sampler, dim, sweep(sampler, dim)) for dim in range(sampler.z_dim)]


def merged(sampler):
    """Option 4: write what option 3 writes, and test_gif_merged.gif.

    It plays the sweeps of the first 100 dimensions in one grid, forwards and backwards.
    """
    found = [sweep(sampler, dim) for dim in range(sampler.z_dim)]
    paths = [_gif(sampler, dim, frames) for dim, frames in enumerate(found)]
    shown = np.stack(found[: MOSAIC**2], 1)  # [frames, dimensions, H, W, C]
    frames = [utils.make_grid(f, MOSAIC) for f in shown]
    path = sampler.folder / "test_gif_merged.gif"
    there_and_back = frames + frames[::-1]
    return [*paths, utils.save_animation(path, there_and_back, 4 * GIF_SECONDS, hold=0)]


def moves(sampler):
    """Option 5: write test_move.png, and test_move_RR.gif for the latents that change most.

    In all of them, one image changes with one latent alone. The latent that changes it most has
    rank RR = 01, and the left column of the sheet. The heads of the columns are the numbers of the
    latents. The films go from low to high and back. Small images are enlarged by whole factors.
    """
    base = sampler.z(Purpose.MOVE, count=1)
    dims = np.argsort(-effects(sampler, base), kind="stable")[:MOVES].tolist()
    rows = np.stack([_move(sampler, base, dim, STOPS) for dim in dims], 1)  # [STOPS, dims, H, W, C]
    grid = utils.make_grid(at_least(rows.reshape(-1, *rows.shape[2:]), SHEET_SIDE), len(dims))
    grid = plots.add_names(grid, [str(dim) for dim in dims])
    paths = [utils.save_image(sampler.folder / "test_move.png", grid)]
    for rank, dim in enumerate(dims, 1):
        frames = at_least(_move(sampler, base, dim, FRAMES), FILM_SIDE)
        frames = np.concatenate([frames, frames[::-1]])
        path = sampler.folder / f"test_move_{rank:02d}.gif"
        paths.append(utils.save_animation(path, frames, 2 * GIF_SECONDS, hold=0))
    return paths


def effects(sampler, base):
    """Return how much each latent changes an image, float [z_dim].

    It is the mean absolute difference of the pixels from each of `PROBES` values of the latent to
    the next, summed over the range of the sweep.

    Args:
      sampler: the `Sampler`.
      base: latents [1, z_dim] of the image.
    """
    found = []
    for start in range(0, sampler.z_dim, BLOCK):
        dims = range(start, min(start + BLOCK, sampler.z_dim))
        z = np.concatenate([_moved(sampler, base, dim, PROBES) for dim in dims])
        images = sampler.images(z, np.zeros(len(z), int)).astype(np.float32)
        steps = np.abs(np.diff(images.reshape(len(dims), PROBES, -1), axis=1))
        found += steps.mean(-1).sum(-1).tolist()
    return np.array(found)


def _moved(sampler, base, dim, count):
    """Return latents [count, z_dim], copies of `base` in which latent `dim` moves."""
    z = np.repeat(base, count, 0)
    z[:, dim] = sampler.values(count)
    return z


def _move(sampler, base, dim, count):
    """Return uint8 images [count, H, W, C] of class 0 from the latents of `_moved`."""
    return sampler.images(_moved(sampler, base, dim, count), np.zeros(count, int))


def at_least(images, side):
    """Enlarge images [N, H, W, C] by a whole factor, if needed, to at least `side` pixels."""
    height, width = images.shape[1:3]
    factor = max(1, -(-side // min(height, width)))
    return utils.enlarge(images, (height * factor, width * factor, images.shape[-1]))


OPTIONS = {  # by the number that --visualize takes; 0 is `Sampler.fresh_sheet`
    1: sheets,
    2: draws,
    3: films,
    4: merged,
    5: moves,
}
