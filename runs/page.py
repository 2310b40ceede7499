"""The page of a run: one HTML file that holds its pictures, curves and settings."""

import base64
import html
import io
import json
import string
import textwrap
from pathlib import Path

import numpy as np

import console
import files
import utils
from runs import checkpoints, log, plots, trained

NAME = "index.html"
TEMPLATE = Path(__file__).with_name("page.html")
# Bytes of all grids. Base64 adds a third. With the film, the page stays under 7 MB.
MAX_GRID_BYTES = 2_400_000
MAX_PAIR_BYTES = 300_000  # of the best grid and the newest, as PNGs
JPEG_QUALITY = 85  # of grids that are too large as PNGs
MAX_POINTS = 300  # of a curve
WIDTH, HEIGHT = 300.0, 100.0  # of a curve, in units of its SVG
MIME_TYPES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg"}


def write(
    path,
    *,
    name,
    grids,
    film,
    rows,
    settings,
    best,
    best_grid=None,
    plateau=None,
    per_epoch=None,
    live=False,
):
    """Write the page of a run.

    Args:
      path: path of the page.
      name: name of the run.
      grids: list of (path of a PNG named by its step, uint8 [H, W, C]), ordered by step. Must not
        be empty.
      film: path of the animation. If there is no such file, the page says so.
      rows: rows of metrics.csv, as dicts of text.
      settings: dict of the run's settings.
      best: step and measures of the best checkpoint, name → number, or {}.
      best_grid: grid of the best checkpoint, a pair as in `grids`, or None.
      plateau: the `checkpoints.Plateau` since the best checkpoint, or None.
      per_epoch: generator updates in an epoch, or None if unknown.
      live: True if the training goes on: the page then reloads itself.
    """
    frames = [
        [step_label(int(path.stem), per_epoch), data_uri(suffix, body)]
        for path, suffix, body in _fit(grids)
    ]
    values = {
        "name": html.escape(name),
        "summary": html.escape(_summary(rows, settings, frames[-1][0])),
        "caption": html.escape(frames[-1][0]),
        "last": frames[-1][1],
        "most": len(frames) - 1,
        "film": _film(film),
        "best": _comparison(
            _pair(best_grid, grids[-1], (rows, settings, best, per_epoch)), plateau
        ),
        "curves": _figures(rows),
        "measures": _table(rows, best),
        "settings": _settings(settings),
        "live": "true" if live else "false",
        "frames": json.dumps(frames).replace("<", "\\u003c"),
    }
    files.save_text(path, string.Template(TEMPLATE.read_text()).substitute(values))


def step_label(step, per_epoch):
    """Return the text "update STEP", with the epoch if `per_epoch` is known."""
    return f"update {step}" + (f", epoch {step / per_epoch:.1f}" if per_epoch else "")


def data_uri(suffix, body):
    """Return a data URI that holds the bytes of a file."""
    return f"data:{MIME_TYPES[suffix]};base64,{base64.b64encode(body).decode()}"


def _fit(grids):
    """Return (path, suffix, bytes) of as many evenly spaced grids as fit into `MAX_GRID_BYTES`.

    Returns PNGs if all of them fit, because small images need sharp pixels, and JPEGs otherwise.
    The last grid is always included, and the first grid if at least two fit.
    """
    found = _encode(grids, MAX_GRID_BYTES)
    count = len(found)
    while (shown := _evenly(found, count)) and _size(shown) > MAX_GRID_BYTES and count > 1:
        count = max(1, min(count - 1, int(count * MAX_GRID_BYTES / _size(shown))))
    return shown


def _encode(grids, limit):
    """Return (path, suffix, bytes) of each grid: PNGs of at most `limit` bytes, or JPEGs."""
    found = [(path, ".png", path.read_bytes()) for path, _ in grids]
    if _size(found) > limit:
        found = [(path, ".jpg", _jpeg(image)) for path, image in grids]
    return found


def _evenly(items, count):
    """Return `count` evenly spaced items; the last one if `count` is 1."""
    at = np.linspace(0, len(items) - 1, count).round().astype(int) if count > 1 else [-1]
    return [items[i] for i in at]


def _size(found):
    return sum(len(body) for _, _, body in found)


def _jpeg(image):
    stream = io.BytesIO()
    utils.to_pillow(image).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def _summary(rows, settings, last):
    """Return a line with the network, the mode, the data and the length of the training."""
    data = settings.get("data", {})
    what = f"{count_trained(settings)} images of {Path(str(settings.get('dataset'))).name}"
    if names := data.get("class_names"):
        listed = textwrap.shorten(", ".join(names), 200, placeholder=" ...")
        what += f" in {len(names)} classes ({console.plain(listed)})"
    minutes = log.trained_seconds(rows) / 60
    networks = f"{settings.get('arch')}, {settings.get('mode')}"
    return f"{networks}: {what}; {last}, {minutes:.1f} minutes of training"


def count_trained(settings):
    """Return the number of images that a run with these settings trains on, or "?"."""
    count = settings.get("data", {}).get("count")
    if not isinstance(count, int):
        return "?"
    count -= settings.get("holdout") or 0
    return min(settings.get("train_size") or count, count)


def _film(path):
    if not path.is_file():
        return "<p>There is no film yet.</p>"
    source = data_uri(path.suffix, path.read_bytes())
    return f'<img src="{source}" alt="The grids as a film">'


def _comparison(pair, plateau):
    """Return the section that shows the best checkpoint and the newest; "" if it would be empty.

    Args:
      pair: HTML of the two grids, or "".
      plateau: as in `write`. The section has its note.
    """
    note = html.escape(plateau.note) if plateau else ""
    if not pair and not note:
        return ""
    text = f"<p>{note}.</p>" if note else ""
    return f'<section class="wide">\n<h2>Best and newest</h2>\n{pair}{text}\n</section>'


def _pair(best_grid, newest_grid, facts):
    """Return HTML with the best checkpoint's grid beside the newest; "" without a best grid.

    Args:
      best_grid, newest_grid: as `best_grid` and the last of `grids` in `write`.
      facts: (rows, settings, best, per_epoch) as in `write`.
    """
    if best_grid is None:
        return ""
    rows, settings, best, per_epoch = facts
    name = checkpoints.deciding(best, settings.get("best_by"))
    column = f"{log.MEASURED}{name}"
    measured = [(int(r["step"]), r[column]) for r in rows if r.get(column)]
    kept = [(best["step"], best[name])] if name else []
    figures = []
    pair = _encode([best_grid, newest_grid], MAX_PAIR_BYTES)
    for title, values, (path, suffix, body) in zip(("Best", "Newest"), (kept, measured), pair):
        text = f"{title}: {step_label(int(path.stem), per_epoch)}"
        if values:
            step, value = values[-1]
            when = f" at update {step}" if step != int(path.stem) else ""
            text += f", {name} {float(value):.4g}{when}"
        source, text = data_uri(suffix, body), html.escape(text)
        figures.append(
            f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )
    return f'<div class="pair">{"".join(figures)}</div>'


def _figures(rows):
    """Return HTML with a curve for each column of the log."""
    figures = [figure for name in log.plotted(rows) if (figure := _figure(rows, name))]
    if not figures:
        return "<p>None yet. A curve begins at the second row of metrics.csv.</p>"
    span = f"Over the updates {rows[0]['step']} to {rows[-1]['step']} of the generator."
    return f'<p class="soft">{span}</p><div class="curves">{"".join(figures)}</div>'


def _figure(rows, name):
    """Return HTML with the curve of a column; "" if it has less than two finite values."""
    steps, values = plots.series(rows, name)
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(steps) < 2:
        return ""
    measured = name.startswith(log.MEASURED)
    lines = [values] if measured else [values, plots.smooth(values)]
    low, high = float(values.min()), float(values.max())
    text = f"{low:.4g} to {high:.4g}, last {values[-1]:.4g}"
    if threshold := plots.log_threshold(values):
        lines = [np.arcsinh(line / threshold) for line in lines]
        low, high, text = np.arcsinh(low / threshold), np.arcsinh(high / threshold), f"{text}; log"
    span = (low, high) if high > low else (low - 1, high + 1)  # draws a constant in the middle
    classes = ["", ""] if measured else [' class="raw"', ""]
    paths = "".join(
        f'<path{kind} d="{_path(steps, line, *span)}"/>' for kind, line in zip(classes, lines)
    )
    label = name.removeprefix(log.MEASURED)
    if measured and any(label in row for row in rows):
        label = name  # a term of the training has the same name
    label = html.escape(label)
    about = f"<br>{html.escape(plots.about(name))}" if plots.about(name) else ""
    return (
        f'<figure><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label} over {steps[0]} to {steps[-1]} updates: {text}">{paths}</svg>'
        f"<figcaption><b>{label}</b><br>{text}{about}</figcaption></figure>"
    )


def _path(steps, values, low, high):
    """Return the SVG path of a curve, through at most `MAX_POINTS` of its points.

    It spans `WIDTH` from the first step to the last, and `HEIGHT` from `low` to `high`.
    """
    at = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MAX_POINTS)).round().astype(int))
    x = WIDTH * (steps[at] - steps[0]) / ((steps[-1] - steps[0]) or 1)
    y = HEIGHT * (high - values[at]) / ((high - low) or 1.0)
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y))


def _table(rows, best):
    """Return an HTML table of the last evaluation's measures and the best checkpoint's."""
    measured = [r for r in rows if any(r.get(n) for n in r if n.startswith(log.MEASURED))]
    if not measured:
        return "<p>No evaluation yet.</p>"
    last = {n.removeprefix(log.MEASURED): v for n, v in measured[-1].items() if v}
    names = [n.removeprefix(log.MEASURED) for n in measured[-1] if n.startswith(log.MEASURED)]
    head = ["measure", f"update {last['step']}"] + [f"best, update {best.get('step')}"] * bool(best)
    body = [[n, _number(last.get(n))] + [_number(best.get(n))] * bool(best) for n in names]
    cells = "".join(f"<th scope=col>{html.escape(text)}</th>" for text in head)
    lines = ["".join(f"<td>{html.escape(text)}</td>" for text in row) for row in body]
    return f"<table><tr>{cells}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _number(value):
    return "" if value in (None, "") else f"{float(value):.5g}"


def _settings(settings):
    """Return an HTML list of the settings. Nested ones are named like `data.count`.

    Of a path from the root, only the last part is shown: the page may be sent to others.
    """
    flat = {}
    for name, value in settings.items():
        inner = value if isinstance(value, dict) else {None: value}
        flat |= {f"{name}.{n}" if n else name: v for n, v in inner.items()}
    flat = {name: trained.without_folders(value) for name, value in flat.items()}
    pairs = ((html.escape(n), html.escape(json.dumps(v))) for n, v in flat.items())
    return f"<dl>{''.join(f'<div><dt>{n}</dt> <dd>{v}</dd></div>' for n, v in pairs)}</dl>"
