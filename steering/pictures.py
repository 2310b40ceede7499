"""Pictures of directions and of projections: sheets and films."""

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
PHOTOS, ROW = 32, 8  # photos in the sheet and the film of a projection; in one of its rows
SEARCH_SECONDS = 4.0  # of the film of a search


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


def write_projection(sampler, photos, found):
    """Write projection.png, and projection.gif, the film of the search.

    Both have a row of photos above a row of their projections, and more such pairs of rows for
    more than 8 photos. The sheet has the PSNR above each photo. They show the first 32 photos,
    enlarged by whole factors.

    Args:
      sampler: the `sample.Sampler`.
      photos: uint8 [N, H, W, C].
      found: their `projection.Projection`.

    Returns:
      The paths.
    """
    photos, made = photos[:PHOTOS], found.images[:PHOTOS]
    labels = None if found.labels is None else found.labels[:PHOTOS]
    columns = min(len(photos), ROW)
    parts = []
    for first in range(0, len(photos), columns):
        part = slice(first, first + columns)
        cells = _pairs(photos[part], made[part], columns, SHEET_SIDE)
        grid = utils.make_grid(cells, columns)
        heads = [f"{value:.1f} dB" for value in found.psnr[:PHOTOS][part]]
        grid = plots.add_names(grid, heads + [""] * (columns - len(heads)))
        parts.append(plots.add_row_names(grid, ["photo", "projection"]))
    paths = [utils.save_image(sampler.folder / "projection.png", np.concatenate(parts))]
    side = max(SHEET_SIDE, FILM_SIDE // columns)
    frames = []
    for z in found.path[:, :PHOTOS]:
        cells = _pairs(photos, sampler.images(z, labels), columns, side)
        frames.append(utils.make_grid(cells, columns))
    path = sampler.folder / "projection.gif"
    return [*paths, utils.save_animation(path, frames, SEARCH_SECONDS)]


def _pairs(photos, made, columns, side):
    """Return the cells of a grid with rows of `columns` photos above rows of their projections.

    Args:
      photos, made: uint8 [N, H, W, C].
      columns: length of a row. The last row is filled with white.
      side: pixels of a cell, at least.

    Returns:
      uint8 [M, H', W', C], M a multiple of 2·columns.
    """
    both = sweeps.at_least(np.stack([photos, made]).reshape(-1, *photos.shape[1:]), side)
    both = both.reshape(2, len(photos), *both.shape[1:])
    fill = -len(photos) % columns
    both = np.pad(both, ((0, 0), (0, fill), (0, 0), (0, 0), (0, 0)), constant_values=255)
    rows = both.reshape(2, -1, columns, *both.shape[2:])
    return rows.swapaxes(0, 1).reshape(-1, *both.shape[2:])
