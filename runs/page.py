"""A run's page: one file with its pictures in it, for any browser, without a server.

Imports no TensorFlow.
"""

import base64
import html
import io
import json
import string
from pathlib import Path

import numpy as np

import files
import utils
from runs import log

NAME = "index.html"
TEMPLATE = Path(__file__).with_name("page.html")
# Bytes of the grids, before base64 makes 4 of 3. With the film the page stays under 7 MB.
GRID_BYTES = 2_400_000
QUALITY = 85  # of grids that are too large as they are kept
POINTS = 300  # of a curve
WIDTH, HEIGHT = 300.0, 100.0  # of a curve, in units of its own
TYPES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg"}


def write(path, *, name, grids, film, rows, settings, best, per_epoch=None):
    """Write a run's page.

    Args:
      path: of the file.
      grids: (path, uint8 [H, W, C]) of PNGs named by their steps, in order; one at least.
      film: path of the animation, left out where there is none.
      rows: of metrics.csv, as dicts of text.
      settings: of the run, by name.
      best: the best state's step and measures, or {}.
      per_epoch: updates in an epoch, where it is known.
    """
    frames = [[when(int(p.stem), per_epoch), uri(kind, body)] for p, kind, body in _fit(grids)]
    values = {
        "name": html.escape(name),
        "summary": html.escape(_summary(rows, settings, frames[-1][0])),
        "caption": html.escape(frames[-1][0]),
        "last": frames[-1][1],
        "most": len(frames) - 1,
        "film": _film(film),
        "curves": _figures(rows),
        "measures": _table(rows, best),
        "settings": _settings(settings),
        "frames": json.dumps(frames).replace("<", "\\u003c"),
    }
    files.save_text(path, string.Template(TEMPLATE.read_text()).substitute(values))


def when(step, per_epoch):
    """A step in words."""
    return f"update {step}" + (f", epoch {step / per_epoch:.1f}" if per_epoch else "")


def uri(kind, body):
    """A file of that suffix as an address that holds it."""
    return f"data:{TYPES[kind]};base64,{base64.b64encode(body).decode()}"


def _fit(grids):
    """(path, suffix, bytes) of as many grids as fit, evenly, the first and the last among them.

    As they are kept, where all fit so: small images are sharp. Else as JPEG.
    """
    found = [(path, ".png", path.read_bytes()) for path, _ in grids]
    if _size(found) > GRID_BYTES:
        found = [(path, ".jpg", _jpeg(image)) for path, image in grids]
    count = len(found)
    while (shown := _evenly(found, count)) and _size(shown) > GRID_BYTES and count > 1:
        count = max(1, min(count - 1, int(count * GRID_BYTES / _size(shown))))
    return shown


def _evenly(items, count):
    """So many of the items; of one alone, the last."""
    at = np.linspace(0, len(items) - 1, count).round().astype(int) if count > 1 else [-1]
    return [items[i] for i in at]


def _size(found):
    return sum(len(body) for _, _, body in found)


def _jpeg(image):
    stream = io.BytesIO()
    utils.to_pillow(image).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _summary(rows, settings, last):
    """One line on what the run is."""
    data = settings.get("data", {})
    count = data.get("count", "?")
    count = min(settings.get("train_size") or count, count) if isinstance(count, int) else count
    what = f"{count} images of {Path(str(settings.get('dataset'))).name}"
    minutes = float(rows[-1].get("seconds") or 0) / 60 if rows else 0
    parts = f"{settings.get('arch')}, {settings.get('mode')}"
    return f"{parts}: {what}; {last}, {minutes:.1f} minutes of training"


def _film(path):
    if not path.is_file():
        return "<p>There is no film yet.</p>"
    source = uri(path.suffix, path.read_bytes())
    return f'<img src="{source}" alt="The grids as a film">'


def _figures(rows):
    """A curve for each column of the log."""
    names = dict.fromkeys(name for row in rows for name in row if name not in log.INDEX)
    drawn = [figure for name in names if (figure := _figure(rows, name))]
    if not drawn:
        return "<p>None yet.</p>"
    span = f"Over the updates {rows[0]['step']} to {rows[-1]['step']} of the generator."
    return f'<p class="soft">{span}</p><div class="curves">{"".join(drawn)}</div>'


def _figure(rows, name):
    steps, values = log.series(rows, name)
    keep = np.isfinite(values)
    steps, values = steps[keep], values[keep]
    if len(steps) < 2:
        return ""
    measured = name.startswith(log.MEASURED)
    lines = [values] if measured else [values, log.smooth(values)]
    low, high = float(values.min()), float(values.max())
    span = (low, high) if high > low else (low - 1, high + 1)  # a flat one runs in the middle
    classes = ["", ""] if measured else [' class="raw"', ""]
    paths = "".join(
        f'<path{kind} d="{_path(steps, line, *span)}"/>' for kind, line in zip(classes, lines)
    )
    label = html.escape(name.removeprefix(log.MEASURED))
    text = f"{low:.4g} to {high:.4g}, last {values[-1]:.4g}"
    return (
        f'<figure><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label} over {steps[0]} to {steps[-1]} updates: {text}">{paths}</svg>'
        f"<figcaption><b>{label}</b><br>{text}</figcaption></figure>"
    )


def _path(steps, values, low, high):
    """A curve as an SVG path over the whole field, through at most `POINTS` of its points."""
    at = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), POINTS)).round().astype(int))
    x = WIDTH * (steps[at] - steps[0]) / ((steps[-1] - steps[0]) or 1)
    y = HEIGHT * (high - values[at]) / ((high - low) or 1.0)
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y))


def _table(rows, best):
    """The last evaluation's measures, and the best state's beside them."""
    measured = [r for r in rows if any(r.get(n) for n in r if n.startswith(log.MEASURED))]
    if not measured:
        return "<p>None were taken.</p>"
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
    """Every setting, what is nested by a name of two parts."""
    flat = {}
    for name, value in settings.items():
        inner = value if isinstance(value, dict) else {None: value}
        flat |= {f"{name}.{n}" if n else name: v for n, v in inner.items()}
    pairs = ((html.escape(n), html.escape(json.dumps(v))) for n, v in flat.items())
    return f"<dl>{''.join(f'<div><dt>{n}</dt> <dd>{v}</dd></div>' for n, v in pairs)}</dl>"
