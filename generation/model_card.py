"""The card of an exported generator: what it is, how it was trained, and how to load it.

Imports no TensorFlow.
"""

import dataclasses
import json
from pathlib import Path

import console
from runs import checkpoints, log, recovery, trained

NAME = "README.md"  # which model hubs show, and take what is above its first line from
START = "import numpy as np\n\nrng = np.random.default_rng(0)"
PATHS = ("dataset", "extractor")  # settings that may be paths: their last part is told alone
COLOURS = {1: "gray", 3: "colour"}
# By the names that `export.input_code` gives.
INPUTS = {
    "z": "latents, drawn as in the code below: other distributions make worse images",
    "labels": "labels, one-hot: a 1 in the column of the class, else 0",
    "x": "images in [-1, 1], as pixels of 0 to 255 are by `pixels / 127.5 - 1`",
}


@dataclasses.dataclass(frozen=True)
class File:
    """An exported file: its name, the code that loads it, how far its images were off."""

    name: str
    code: str
    off: float


def settings(run):
    """A run's settings by name; `data` is what its images were, a `dataset.ImageSpec`.

    Raises utils.Failed where it does not say what they were.
    """
    own = trained.read_config(run)
    for name in ("height", "width", "count", "classes"):
        if type(own["data"].get(name)) is not int:
            raise console.Failed(f"cannot use {run / trained.CONFIG}: data has no {name}")
    return own


def last_step(run):
    """The generator updates of a run's folder; None where it does not say, as when shipped."""
    try:
        return checkpoints.read_index(run).newest
    except (OSError, ValueError):
        return None


def measures(run):
    """(step, measures) of a run's last evaluation, or of its folder `best`'s; (None, {})."""
    try:
        best = json.loads((run / "measures.json").read_text())
        return best.pop("step"), best
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        rows = [r for r in log.read_log(run / "metrics.csv") if any(map(r.get, _measured(r)))]
    if not rows:
        return None, {}
    found = {n.removeprefix(log.MEASURED): rows[-1][n] for n in _measured(rows[-1])}
    return int(rows[-1]["step"]), {name: value for name, value in found.items() if value}


def _measured(row):
    return [name for name in row if name.startswith(log.MEASURED)]


def text(run, shape, inputs, files):
    """The card, in Markdown with the head that model hubs read.

    Args:
      run: the run's folder.
      shape: of the images made, (height, width, channels).
      inputs: name → NumPy code, as `export.input_code` gives.
      files: a `File` for each one exported.
    """
    own = settings(run)
    own |= {name: Path(own[name]).name for name in PATHS if own.get(name)}
    data = own.pop("data")
    kind = "image-to-image" if "x" in inputs else "unconditional-image-generation"
    head = ["---", "library_name: keras", f"pipeline_tag: {kind}", "tags:", "- gan"]
    head += [f"- {own['arch']}", f"- {own['mode']}", "---"]
    step = last_step(run)
    after = "" if step is None else f", after {step} updates of the generator"
    classes = f" of {data['classes']} classes" if data["classes"] else ""
    count = own.get("train_size") or data["count"]
    count = f"the {data['count']}" if count >= data["count"] else f"{count} of the {data['count']}"
    title = (
        f"A generator of {shape[0]}x{shape[1]} {COLOURS[shape[2]]} images, "
        f"trained on {count} images{classes} of `{own['dataset']}`{after}."
    )
    if "x" in inputs:
        title = (
            f"Generators of {COLOURS[shape[2]]} images of any size whose sides 4 divides: A2B "
            f"turns images of `{own['dataset']}/trainA` into such as those of `trainB`, and B2A "
            f"the other way. Trained at {shape[0]}x{shape[1]}{after}."
        )
    if own.get("ema"):
        title += " Its weights are the moving average of those trained."
    name = run.name if run.name != recovery.BEST else f"{run.parent.name}: its best state"
    parts = [*head, "", f"# {name}", "", title, "", *_inputs(inputs), "", *_files(files)]
    parts += ["", *_measures(run), "", *_settings(own)]
    return "\n".join(parts) + "\n"


def _inputs(inputs):
    """What goes in and comes out, with the code that makes inputs."""
    lines = ["## In and out", "", "All numbers are float32, and the first axis is the batch."]
    lines += ["", *(f"- in: `{name}`, {INPUTS[name]}" for name in inputs)]
    lines += ["- out: images [N, height, width, channels] for [-1, 1]: clip what lies beyond"]
    lines += ["", "```python", START]
    pixels = 'pixels = np.round((images.clip(-1, 1) + 1) * 127.5).astype("uint8")'
    return [*lines, *inputs.values(), "```", "", f"Pixels of 0 to 255 are `{pixels}`."]


def _files(files):
    """Each file's code, and how near its images were."""
    lines = ["## How to load it", "", "Each file loads without the program that trained it."]
    for file in files:
        lines += ["", f"### {file.name}", "", "```python", file.code, "```", ""]
        lines += [f"Its images differed by {file.off:.1g} at most when it was written."]
    return lines


def _measures(run):
    step, found = measures(run)
    lines = ["## Measures", ""]
    if not found:
        return [*lines, "None were taken while it was trained."]
    lines += [f"After {step} updates. A name ends with the network that the images were measured"]
    lines += ["through; numbers of different networks say nothing of each other.", ""]
    lines += ["| measure | value |", "|---|---|"]
    lines += [f"| `{name}` | {float(value):.6g} |" for name, value in found.items()]
    if (run / recovery.BEST / "generator.keras").is_file():
        lines += ["", "The best state by these measures is another one, kept with the run."]
    return lines


def _settings(own):
    lines = ["## Settings", "", "| setting | value |", "|---|---|"]
    return lines + [f"| `{name}` | `{json.dumps(value)}` |" for name, value in own.items()]
