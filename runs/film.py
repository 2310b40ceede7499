"""The film of a training: the frames on the disk, the animations, and other pictures of samples."""

import math
import re

import numpy as np
from PIL import Image

import files
import utils
from runs import checkpoints, page, plots

NAME = "training.gif"
FRAMES = re.compile(r"\d{8,18}\.png")  # the names of frames: their steps
MAX_FRAMES = 60
MAX_BYTES = 2_000_000  # of an animation
MAX_SIDE = 512  # pixels of a frame


def add_frame(write_dir, step, grid, every):
    """Save a grid as the frame of a step, and delete the frames that it makes superfluous.

    Args:
      write_dir: path of the run's folder. Frames are `frames/STEP.png` in it.
      step: generator updates done.
      grid: uint8 [H, W, C]. If a side is over `MAX_SIDE` pixels, the frame is a smaller copy.
      every: steps between two frames.
    """
    scale = MAX_SIDE / max(grid.shape[:2])
    if scale < 1:
        size = [round(n * scale) for n in grid.shape[1::-1]]
        grid = np.asarray(utils.to_pillow(grid).resize(size, Image.Resampling.BOX))
        grid = grid.reshape(*grid.shape[:2], -1)
    utils.save_image(write_dir / "frames" / f"{step:08d}.png", grid)
    paths = {int(path.stem): path for path in frame_paths(write_dir)}
    for number in paths.keys() - select_steps(list(paths), every):
        paths[number].unlink()


def select_steps(steps, every):
    """Return the set of steps whose frames the film needs, at most `MAX_FRAMES` of them.

    Splits the steps into spans of equal length and selects the first step of each span, and the
    newest step. A span has `every` / gcd(`every`, 4) steps, and is doubled until there are fewer
    than `MAX_FRAMES` spans. A step that is not selected is thus never selected later, and a resumed
    run ends with the same frames as an unbroken run.

    Args:
      steps: increasing list of steps, not empty.
      every: steps between two frames.
    """
    span, first = max(1, every // math.gcd(every, 4)), {}
    while steps[-1] // span >= MAX_FRAMES - 1:
        span *= 2
    for step in steps:
        first.setdefault(step // span, step)
    return {*first.values(), steps[-1]}


def frame_paths(write_dir):
    """Return the paths of a run's frames, ordered by step."""
    paths = (write_dir / "frames").glob("[0-9]*.png")
    return sorted(path for path in paths if FRAMES.fullmatch(path.name))


def read_or_none(path):
    """Return a picture as uint8 [H, W, C]; None if the file is absent or broken."""
    try:
        return utils.read_image(path)
    except Exception:  # Pillow raises many kinds of errors for broken files
        return None


def load_frames(write_dir):
    """Return (path, uint8 [H, W, C]) of each frame that can be read.

    Skips frames with another number of channels than the last one.
    """
    found = [(path, read_or_none(path)) for path in frame_paths(write_dir)]
    found = [(path, image) for path, image in found if image is not None]
    return [(path, image) for path, image in found if image.shape[-1] == found[-1][1].shape[-1]]


def load_frame(folder, step):
    """Return (path, uint8 [H, W, C]) of the frame of a step in a run's folder.

    Returns None if the frame is absent or broken, or if `step` is not an int.
    """
    path = folder / "frames" / f"{step:08d}.png" if isinstance(step, int) else folder
    image = read_or_none(path)
    return None if image is None else (path, image)


def sheet_name(epoch, index):
    """Return the file name of a training's grid, `index` steps after `epoch` epochs."""
    return f"train_{epoch:02d}_{index:04d}.png"


def save_sheet(path, step, images, columns, class_names):
    """Save a grid of generated images as a PNG that holds its step.

    Args:
      path: path of the file.
      step: generator updates done.
      images: float [N, H, W, C] in [-1, 1].
      columns: images in a row of the grid.
      class_names: names of the classes, written above the columns if each class has a column.

    Returns:
      The grid without the names, uint8 [H, W, C].
    """
    grid = utils.make_grid(utils.to_uint8(images), columns)
    names = class_names if columns == len(class_names) else ()
    utils.save_image(path, plots.add_names(grid, names), {"step": str(step)})
    return grid


def draw(folder, newest_dir, grids, best):
    """Write the animations, `real_vs_fake.png` and `best.png`. Copies the film to `newest_dir`.

    Args:
      folder: path of the folder to write to.
      newest_dir: path of the folder for the newest training's film.
      grids: list of (path, uint8 [H, W, C]), ordered by step, not empty.
      best: path of the best checkpoint's folder.
    """
    frames = [utils.enlarge(image, grids[-1][1].shape) for _, image in grids]
    for suffix in ("gif", "webp"):
        save_animation(folder / f"training.{suffix}", frames)
    show_newest(folder, newest_dir)
    save_pair(folder, frames[-1])
    show_best(best, folder)


def save_animation(path, images):
    """Write an animation of at most `MAX_BYTES`, with as many evenly spaced images as fit.

    Args:
      path: path of a .gif or .webp file.
      images: list of uint8 [H, W, C] of one shape.
    """
    count = len(images)
    while count:
        shown = np.linspace(0, len(images) - 1, count).round().astype(int)
        utils.save_animation(path, [images[i] for i in shown])
        size = path.stat().st_size
        if size <= MAX_BYTES or count == 1:
            return
        count = max(1, int(0.95 * count * MAX_BYTES / size))


def show_newest(folder, newest_dir):
    """Copy the film in a folder to `newest_dir`; return its path.

    Marks the film there, and the page of the run, as outputs. The caller writes the page later.
    """
    files.mark_output(newest_dir, (NAME, page.NAME))
    files.copy(folder / NAME, newest_dir / NAME)
    return newest_dir / NAME


def show_best(best, folder):
    """Copy the samples in the best checkpoint's folder to `best.png` in another folder.

    Removes an old file of that name if there are none.
    """
    sheet, path = best / checkpoints.SHEET, folder / "best.png"
    if sheet.is_file():
        files.copy(sheet, path)
    else:
        path.unlink(missing_ok=True)


def save_pair(folder, fakes):
    """Write `real_vs_fake.png`: a folder's `reals.png` beside its newest grid, with captions.

    Removes an old file of that name if there is no `reals.png` with as many channels.

    Args:
      folder: path of the folder.
      fakes: uint8 [H, W, C], for a folder without a grid.
    """
    path, reals = folder / "real_vs_fake.png", read_or_none(folder / "reals.png")
    newest = max(folder.glob("train_*.png"), key=_step, default=None)
    sheet, caption = newest and read_or_none(newest), "generated"
    if sheet is not None:  # in full size, as reals.png
        fakes, caption = sheet, f"generated, update {_step(newest)}"
    if reals is None or reals.shape[-1] != fakes.shape[-1]:
        path.unlink(missing_ok=True)
        return
    pair = plots.add_names(reals, ["training images"]), plots.add_names(fakes, [caption])
    utils.save_image(path, utils.side_by_side(*pair))


def _step(path):
    """Return the generator updates at which a grid was drawn; -1 if the file does not say so.

    Its name has the epoch, whose length changes with the data and the batch size.
    """
    text = utils.read_text(path).get("step", "")
    return int(text) if text.isdecimal() else -1
