"""Plots of metrics.csv, a panel for each column, and the names of a sheet's columns and rows."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import console
import files
from runs import log

MIN_CELL = 16  # pixels of a column with a name above it
HEAD = 14  # pixels of height of the names
MAX_NAME = 120  # pixels of width of the name of a row


def save_plots(folder, rows):
    """Draw losses.png and, if any row has measures of an evaluation, measures.png.

    If there is nothing to draw in one of them, removes an old file of its name.

    Args:
      folder: path of the folder to write to.
      rows: rows of metrics.csv, as dicts of text.

    Returns:
      The paths written.
    """
    names = log.plotted(rows)
    columns = {
        "losses.png": [name for name in names if not name.startswith(log.MEASURED)],
        "measures.png": [name for name in names if name.startswith(log.MEASURED)],
    }
    paths = []
    for file, drawn in columns.items():
        if drawn:
            _save_plot(folder / file, rows, drawn)
            paths.append(folder / file)
        else:
            (folder / file).unlink(missing_ok=True)
    return paths


def add_names(grid, names):
    """Return a sheet with the name of its class above each column.

    Args:
      grid: uint8 [H, W, C], with a column for each class.
      names: names of the classes, cut off at the width of a column.

    Returns:
      uint8 [HEAD + H, W, C]; `grid` itself if the columns are narrower than `MIN_CELL`, or there
      are no names.
    """
    cell = grid.shape[1] // len(names) if names else 0
    if cell < MIN_CELL:
        return grid
    head = Image.new("L", (grid.shape[1], HEAD), 255)
    draw, font = ImageDraw.Draw(head), _font()
    for i, name in enumerate(names):
        text = _cut(name, cell - 2, font)
        left = cell * i + (cell - font.getlength(text)) / 2
        draw.text((left, HEAD / 2), text, 0, font, anchor="lm")
    strip = np.asarray(head)[..., None].repeat(grid.shape[-1], -1)
    return np.concatenate([strip, grid])


def add_row_names(grid, names):
    """Return a sheet with a name to the left of each row.

    Args:
      grid: uint8 [H, W, C], as `add_names` returns it, with names above its columns.
      names: names of the rows, cut off at `MAX_NAME` pixels.

    Returns:
      uint8 [H, W', C], wider by the longest name.
    """
    font = _font()
    texts = [_cut(name, MAX_NAME, font) for name in names]
    width = int(max(map(font.getlength, texts))) + 8
    side, row = Image.new("L", (width, len(grid)), 255), (len(grid) - HEAD) / len(names)
    for i, text in enumerate(texts):
        draw = ImageDraw.Draw(side)
        draw.text((width - 4, HEAD + row * (i + 0.5)), text, 0, font, anchor="rm")
    strip = np.asarray(side)[..., None].repeat(grid.shape[-1], -1)
    return np.concatenate([strip, grid], 1)


def _font():
    """Return a font of 10 pixels. Pillow's own font has no umlauts."""
    import matplotlib

    return ImageFont.truetype(
        Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 10
    )


def _cut(name, width, font):
    """Return a name in printable characters, cut off at a width in pixels."""
    text = console.plain(name)[: max(1, int(width))]
    while font.getlength(text) > width:
        text = text[:-1]
    return text


def _save_plot(path, rows, names):
    """Plot columns over the steps as a PNG. Columns of the training also get a smooth curve."""
    from matplotlib.figure import Figure

    height = 2 * len(names)
    figure = Figure(figsize=(9, height))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    # Fixed margins, 0.5 inches at the bottom: a layout engine takes as long as the drawing.
    figure.subplots_adjust(0.13, 0.5 / height, 0.98, 1 - 0.15 / height, hspace=0.12)
    figure.align_ylabels(panels)
    for panel, name in zip(panels, names):
        steps, values = series(rows, name)
        if name.startswith(log.MEASURED):
            panel.plot(steps, values, linewidth=1.2, marker=".")
        else:
            panel.plot(steps, values, linewidth=0.6, alpha=0.5)
            panel.plot(steps, smooth(values), linewidth=1.2)
        panel.set_ylabel(name.removeprefix(log.MEASURED))
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("generator updates")
    with files.atomic_path(path) as part:
        figure.savefig(part, dpi=100)


def series(rows, name):
    """Return (steps, values) of a column, int and float arrays [N].

    Leaves out blank cells, and numbers too large to plot.
    """
    found = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
    found = [(step, value) for step, value in found if not abs(value) > log.MAX_VALUE]
    return (
        np.array([step for step, _ in found], int),
        np.array([value for _, value in found], float),
    )


def smooth(values, fraction=0.02):
    """Return the moving average of values [N], as an array [N].

    The window is centred, `fraction` * N values wide, and cut off at both ends.
    """
    half = max(1, round(len(values) * fraction / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
