"""Pictures of directions: a sheet with a row for each, and films."""

import numpy as np

import utils
from runs import plots
from steering import sweeps
from steering.directions import move
from steering.latents import Purpose

REACH = 2  # the largest strength, in largest values of a latent in a sweep
STOPS, FRAMES = 9, 16  # columns of the sheet; frames of a film, one way
SHOWN = 16  # images in a film
SECONDS = 4.0  # of a film, there and back
SHEET_SIDE, FILM_SIDE = 64, 192  # pixels of an image of the sheet, and of a film, at least


def write(sampler, vectors, names):
    """Write directions.png, and direction_NN.gif for each direction NN = 01, 02, …

    A row of the sheet is one image, moved along a direction: the heads of the columns are the
    strengths for `--move`. A film has 16 images, moved from low to high and back. Small images are
    enlarged by whole factors.

    Args:
      sampler: the `sample.Sampler`.
      vectors: directions [N, Z].
      names: dict of number, from 1 → name of the direction.

    Returns:
      The paths.
    """
    base, reach = sampler.z(Purpose.DIRECTION, count=SHOWN), REACH * sampler.range[1]
    stops = np.linspace(-reach, reach, STOPS, dtype=np.float32)
    rows = np.concatenate([_moved(sampler, base[:1], vector, stops)[:, 0] for vector in vectors])
    grid = utils.make_grid(sweeps.at_least(rows, SHEET_SIDE), STOPS)
    grid = plots.add_names(grid, [f"{stop:+.3g}" if stop else "0" for stop in stops])
    heads = [f"{n} {names.get(n, '')}".strip() for n in range(1, len(vectors) + 1)]
    grid = plots.add_row_names(grid, heads)
    paths = [utils.save_image(sampler.folder / "directions.png", grid)]
    values = np.linspace(-reach, reach, FRAMES, dtype=np.float32)
    for number, vector in enumerate(vectors, 1):
        grids = [utils.make_grid(images) for images in _moved(sampler, base, vector, values)]
        frames = sweeps.at_least(np.stack(grids), FILM_SIDE)
        path = sampler.folder / f"direction_{number:02d}.gif"
        there_and_back = np.concatenate([frames, frames[::-1]])
        paths.append(utils.save_animation(path, there_and_back, SECONDS, hold=0))
    return paths


def _moved(sampler, base, vector, strengths):
    """Return images [S, N, H, W, C] of latents `base` [N, Z], moved along a direction.

    The images have the classes 0, 1, … in turn, if the sampler has no `label`.
    """
    labels = np.arange(len(base))
    return np.stack(
        [sampler.images(move(base, s * vector, sampler.bound), labels) for s in strengths]
    )
