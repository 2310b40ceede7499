"""Compares trained runs: a figure and two tables, made from the files in the runs' folders."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import console
import files
import utils
from runs import film, log, plots, trained

BINS = 80  # of a weight histogram
NEAR = 0.99  # of a clipping bound; weights beyond it count as at the bound


def kernels(path):
    """Return all kernels of a saved network's convolution and dense layers as one array [N]."""
    network = trained.load_network(path)
    weights = [w.numpy().ravel() for w in network.weights if w.path.endswith("kernel")]
    return np.concatenate(weights)


def weight_facts(weights, clip=None):
    """Return statistics of weights [N], a dict of floats.

    They are "std", "min", "max" and, with the clipping bounds `clip` (low, high), "at_bounds":
    the share of weights at one of the bounds.
    """
    facts = {"std": weights.std(), "min": weights.min(), "max": weights.max()}
    if clip:
        at = (weights <= NEAR * clip[0]) | (weights >= NEAR * clip[1])
        facts["at_bounds"] = at.mean()
    return {name: float(value) for name, value in facts.items()}


def histogram(weights, clip=None):
    """Return (left edges [BINS], counts [BINS]) of weights [N].

    The range is ± twice the larger clipping bound, or ± the largest absolute weight.
    """
    reach = 2 * max(map(abs, clip)) if clip else float(np.abs(weights).max())
    counts, edges = np.histogram(weights, BINS, (-reach, reach))
    return edges[:-1], counts


def write_page(folder, runs):
    """Write compare.png, weights_hist.csv and weights.csv, and return their paths.

    Args:
      folder: folder to write to.
      runs: mode → (folder of the run, clipping bounds (low, high) or None, name of the log's
        column with the difference of the critic's scores).

    Raises:
      Failed: if a run has logged nothing yet.
    """
    figure = Figure(figsize=(4.5 * len(runs), 19), layout="constrained")
    panels = figure.subplots(5, len(runs), squeeze=False, height_ratios=[4, 3, 3, 3, 3])
    bins, facts = [], []
    for column, (mode, (run, clip, gap)) in zip(panels.T, runs.items()):
        rows = log.read_log(run / "metrics.csv")
        if not rows:
            raise console.Failed(f"{run} has no rows in metrics.csv yet: train it for longer")
        grid, losses, gaps, norms, weights = column
        _show_grid(grid, run, mode, rows)
        _show_curves(losses, rows, ("critic_loss", "generator_loss"), "losses")
        _show_curves(gaps, rows, (gap,), "critic(real) - critic(fake)")
        _show_curves(norms, rows, ("gradient_norm",), "norm of the critic's gradient")
        norms.axhline(1, color="gray", linewidth=0.8, linestyle=":")
        values = kernels(run / "critic.keras")
        edges, counts = histogram(values, clip)
        bins += [(mode, f"{e:.6g}", int(n)) for e, n in zip(edges, counts)]
        facts.append({"mode": mode, **weight_facts(values, clip)})
        _show_weights(weights, edges, counts, facts[-1])
    folder = Path(folder)
    files.mark_output(folder, ("compare.png",))
    with files.atomic_path(folder / "compare.png") as part:
        figure.savefig(part, dpi=80)
    _write_csv(folder / "weights_hist.csv", ("mode", "bin_left", "count"), bins)
    names = ("mode", "std", "min", "max", "at_bounds")
    table = [[f.get(n, "") for n in names] for f in facts]
    _write_csv(folder / "weights.csv", names, table)
    return [folder / n for n in ("compare.png", "weights_hist.csv", "weights.csv")]


def _show_grid(panel, run, mode, rows):
    """Show the run's newest frame."""
    image = utils.read_image(film.frame_paths(run)[-1])
    panel.imshow(image, cmap="gray", vmin=0, vmax=255)
    minutes = log.trained_seconds(rows) / 60
    panel.set_title(
        f"{mode}, {rows[-1]['step']} updates, {minutes:.1f} minutes\n{_recipe(run)}", fontsize=10
    )
    panel.axis("off")


def _recipe(run):
    """Return the optimizer, the rates and the critic updates of a run, as text."""
    c = trained.read_config(run)
    rate, critic_rate = c.get("learning_rate"), c.get("d_learning_rate")
    rates = f"{rate:g}" if rate == critic_rate else f"{rate:g}, critic {critic_rate:g}"
    many = "s" if c["critic_num"] > 1 else ""
    return f"{c['optimizer']}, rate {rates}, {c['critic_num']} critic update{many} per update"


def _show_curves(panel, rows, names, title):
    """Plot smoothed columns of the log."""
    for name in names:
        steps, values = plots.series(rows, name)
        panel.plot(steps, plots.smooth(values), linewidth=1, marker=plots.mark(steps), label=name)
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("generator updates")
    panel.legend(fontsize=8)
    panel.grid(alpha=0.3)


def _show_weights(panel, edges, counts, facts):
    """Plot the histogram of the critic's weights."""
    panel.bar(edges, counts, width=edges[1] - edges[0], align="edge")
    share = f", {facts['at_bounds']:.0%} at the bounds" if "at_bounds" in facts else ""
    panel.set_title(f"critic weights: std {facts['std']:.3g}{share}", fontsize=10)
    panel.set_yscale("log")
    panel.locator_params(axis="x", nbins=5)


def _write_csv(path, header, rows):
    with files.atomic_path(path) as part, open(part, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
