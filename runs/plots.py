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
DWARFS = 20  # a curve whose start is this many times as large as the rest has a logarithmic axis
ABOUT = {  # beginning of the name of a column → what it says
    "critic_loss": "what the critic minimises, with its penalty",
    "wasserstein": "mean critic(real) - mean critic(fake): rises at first; its slow fall is the "
    "progress",
    "logit_gap": "mean critic(real) - mean critic(fake), in logits: who is ahead",
    "score_gap": "mean critic(real) - mean critic(fake): who is ahead",
    "penalty": "the penalty on the critic's gradient: should not grow without end",
    "gradient_norm": "norm of the critic's gradient where it is penalised: gp holds it near 1",
    "reconstruction": "mean error of the real images that the critic restores: falls",
    "generator_loss": "what the generator minimises: wanders, and means little by itself",
    "d_real": "D(real), a probability: near 0.5, neither network is ahead",
    "d_fake": "D(fake), a probability: at 0 for long, the critic has won",
    "augment_p": "probability of each augmentation of the images that the critic sees",
    "sign_real": "mean sign of the scores of real images: above 0.6, ada augments more",
    "stage": "stage of the growth: each doubles the size",
    "alpha": "share of the newest layers, from 0 to 1",
    "learning_rate": "learning rate of the generator",
    "adversarial": "what a generator minimises of its critic's scores",
    "cycle": "mean distance of an image and its translation there and back",
    "identity": "mean distance of an image and its translation to its own kind",
    "eval/samples": "number of samples that are measured",
    "eval/fid": "Fréchet distance of the features of samples and real images: lower is better",
    "eval/kid_deviation": "deviation of the KID over subsets",
    "eval/kid": "kernel distance of the features of samples and real images: lower is better",
    "eval/precision": "share of samples near a real image: higher is better",
    "eval/recall": "share of real images near a sample: higher is better",
    "eval/rarest": "share of the class that the samples have least",
    "eval/commonest": "share of the class that the samples have most",
    "eval/right": "share of samples seen as the class asked for: higher is better",
    "eval/swd": "sliced Wasserstein distance of patches: lower is better",
    "eval/ssim": "similarity of pairs of samples: near 1, all are alike",
}


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


def about(name):
    """Return a sentence on a column of metrics.csv; "" for an unknown one."""
    found = [begin for begin in ABOUT if name.startswith(begin)]
    return ABOUT[max(found, key=len)] if found else ""


def log_threshold(values):
    """Return the largest value that is shown linearly if the start of a curve dwarfs the rest.

    Args:
      values: array [N] of finite numbers, in order.

    Returns:
      The threshold of a symmetric logarithmic axis, > 0; None for a linear axis.
    """
    rest = np.abs(values[len(values) // 10 :])
    usual = float(np.median(rest)) if len(values) >= 20 else 0.0
    dwarfed = usual > 0 and np.abs(values).max() > DWARFS * max(usual, np.quantile(rest, 0.9))
    return usual if dwarfed else None


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
    """Plot columns over the steps as a PNG, a panel each. Those of the training get a mean, too."""
    from matplotlib.figure import Figure

    height = 2.2 * len(names) + 0.6
    figure = Figure(figsize=(9, height))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    # Fixed margins, 0.5 inches at the bottom: a layout engine takes as long as the drawing.
    figure.subplots_adjust(0.13, 0.5 / height, 0.98, 1 - 0.35 / height, hspace=0.3)
    figure.align_ylabels(panels)
    for panel, name in zip(panels, names):
        _draw_panel(panel, *series(rows, name), name)
    panels[-1].set_xlabel("generator updates")
    with files.atomic_path(path) as part:
        figure.savefig(part, dpi=100)


def mark(steps):
    """Return the marker of a curve: a dot for a single point, of which no line is seen."""
    return "" if len(steps) > 1 else "."


def _draw_panel(panel, steps, values, name):
    """Plot a column, with its meaning as the title."""
    label = name.removeprefix(log.MEASURED)
    if name.startswith(log.MEASURED):
        panel.plot(steps, values, linewidth=1.2, marker=".")
    else:
        panel.plot(steps, values, linewidth=0.6, alpha=0.5, label="each row of the log")
        panel.plot(
            steps, smooth(values), mark(steps), linewidth=1.2, label="mean of 2 % of the rows"
        )
        panel.legend(fontsize=7, loc="upper right", framealpha=0.6)
    finite = values[np.isfinite(values)]
    if threshold := log_threshold(finite):
        panel.set_yscale("symlog", linthresh=threshold)
        label += "\n(log)"
    panel.set_title(about(name), fontsize=8, loc="left")
    panel.set_ylabel(label)
    panel.grid(alpha=0.3)


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
