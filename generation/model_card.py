"""Writes the model card of an export: what it is, how it was trained and how to load it.

Imports no TensorFlow.
"""

import dataclasses
import json
import re
from pathlib import Path

import console
from runs import checkpoints, log, page, recovery, trained

NAME = "README.md"  # model hubs show this file, and read its YAML head
START = "import numpy as np\n\nrng = np.random.default_rng(0)"
PATHS = ("dataset", "extractor")  # settings that may be paths; the card shows the last part only
MAX_IMAGES, MAX_PIXELS = 16, 2**20  # of the batch in the code, with which a file is checked
COLOURS = {1: "gray", 3: "colour"}
# Descriptions of the inputs, by the names that `input_code` gives them.
INPUTS = {
    "z": "latents, drawn as in the code below; other distributions make worse images",
    "labels": "one-hot labels: 1 in the column of the class, 0 elsewhere",
    "x": "images in [-1, 1]; pixels in [0, 255] are converted by `pixels / 127.5 - 1`",
}


@dataclasses.dataclass(frozen=True)
class File:
    """An exported file.

    Attributes:
      name: file name without the folder.
      code: Python code that loads it and makes `images`.
      difference: largest difference of its images from the generator's.
    """

    name: str
    code: str
    difference: float


def settings(run):
    """Read the settings of a run's config.json, a dict.

    Its member "data" holds the fields of the images' `ImageSpec`.

    Raises:
      Failed: if "data" lacks the height, width, count or classes.
    """
    saved = trained.read_config(run)
    for name in ("height", "width", "count", "classes"):
        if type(saved["data"].get(name)) is not int:
            raise console.Failed(f"cannot use {run / trained.CONFIG}: data has no {name}")
    return saved


def last_step(run):
    """Return the number of generator updates of a run, or None if it has no checkpoint."""
    try:
        return checkpoints.read_index(run).newest
    except (OSError, ValueError):
        return None


def measures(run):
    """Return (step, dict of name → value) of a run's last evaluation.

    A folder RUN/best has a measures.json of its own. Without an evaluation it is (None, {}).
    """
    try:
        best = json.loads((run / checkpoints.MEASURES).read_text())
        return best.pop("step"), best
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        rows = [r for r in log.read_log(run / "metrics.csv") if any(map(r.get, _measured(r)))]
    if not rows:
        return None, {}
    values = {n.removeprefix(log.MEASURED): rows[-1][n] for n in _measured(rows[-1])}
    return int(rows[-1]["step"]), {name: value for name, value in values.items() if value}


def _measured(row):
    """Return the names of a log row's columns that hold measures."""
    return [name for name in row if name.startswith(log.MEASURED)]


def input_code(network, latents, shape):
    """Return NumPy code that makes example inputs for a generator.

    Args:
      network: Keras model of latents, latents and labels, or images.
      latents: NumPy code that draws latents of shape "{shape}". Lines after the first change `z`.
      shape: (height, width, channels) of the images that the network makes.

    Returns:
      A dict of "z", "labels" or "x" → code that assigns to that name.
    """
    count = max(2, min(MAX_IMAGES, MAX_PIXELS // (shape[0] * shape[1])))
    codes = {}
    for size in (x.shape for x in network.inputs):
        if len(size) == 4:
            pixels = (count, size[1] or shape[0], size[2] or shape[1], size[3])
            codes["x"] = f"rng.uniform(-1, 1, {pixels})"
        elif "z" not in codes:
            codes["z"] = latents.format(shape=(count, size[1]))
        else:
            codes["labels"] = f"np.eye({size[1]})[np.arange({count}) % {size[1]}]"
    parts = {name: code.partition("\n") for name, code in codes.items()}
    return {
        n: f'{n} = {code}.astype("float32"){end}{more}' for n, (code, end, more) in parts.items()
    }


def text(run, shape, inputs, files):
    """Return the model card as Markdown with a YAML head for model hubs.

    Args:
      run: the run's folder.
      shape: (height, width, channels) of the generated images.
      inputs: name → NumPy code, as `input_code` returns.
      files: a `File` for each exported file.
    """
    saved = settings(run)
    saved = {name: trained.without_folders(value) for name, value in saved.items()}
    saved |= {name: Path(saved[name]).name for name in PATHS if saved.get(name)}
    data = saved.pop("data")
    task = "image-to-image" if "x" in inputs else "unconditional-image-generation"
    head = ["---", "library_name: keras", f"pipeline_tag: {task}", "tags:", "- gan"]
    head += [f"- {saved['arch']}", f"- {saved['mode']}", "---"]
    name = run.name if run.name != recovery.BEST else f"{run.parent.name}: its best state"
    summary = _summary(saved, data, shape, last_step(run), translates="x" in inputs)
    parts = [*head, "", f"# {_plain_markdown(name)}", "", summary, ""]
    ranges = _ranges(data.get("value_range"), "AB" if "x" in inputs else "")
    parts += [*_inputs(inputs, trained.class_names(run)), *ranges, "", *_files(files)]
    parts += ["", *_measures(run), "", *_settings(saved)]
    return "\n".join(parts) + "\n"


def _plain_markdown(text):
    """Escape the characters of a text that have a meaning in Markdown or HTML."""
    return re.sub(r"[\\`*_{}\[\]<>()#!|&~]", lambda found: f"&#{ord(found[0])};", text)


def _summary(saved, data, shape, step, *, translates):
    """Return the card's first paragraph: what the generators make, and their training data."""
    height, width, channels = shape
    updates = "" if step is None else f", after {step} updates of the generator"
    if translates:
        summary = (
            f"Generators that translate {COLOURS[channels]} images between two domains: A2B turns "
            f"images like those in `{saved['dataset']}/trainA` into images like those in `trainB`, "
            "and B2A does the reverse. Height and width must be multiples of 4. Trained at "
            f"{height}x{width}{updates}."
        )
    else:
        classes = f" of {data['classes']} classes" if data["classes"] else ""
        used, count = page.count_trained({**saved, "data": data}), data["count"]
        images = f"the {count}" if used >= count else f"{used} of the {count}"
        summary = (
            f"A generator of {height}x{width} {COLOURS[channels]} images, "
            f"trained on {images} images{classes} of `{saved['dataset']}`{updates}."
        )
    if saved.get("ema"):
        summary += " The weights are an exponential moving average (EMA) of the trained weights."
    return summary


def _inputs(inputs, class_names):
    """Return the section on inputs and outputs, with code that makes example inputs."""
    lines = ["## Inputs and outputs", "", "All arrays are float32; the first axis is the batch."]
    lines += ["", *(f"- input `{name}`: {INPUTS[name]}" for name in inputs)]
    if class_names:
        listed = (f"{i} is `{console.plain(name)}`" for i, name in enumerate(class_names))
        lines += [f"- classes by column: {', '.join(listed)}"]
    lines += ["- output: images [N, height, width, channels] in [-1, 1]; clip values outside"]
    lines += ["", "```python", START]
    pixels = 'pixels = np.round((images.clip(-1, 1) + 1) * 127.5).astype("uint8")'
    return [*lines, *inputs.values(), "```", "", f"To get pixels in [0, 255]: `{pixels}`."]


def _ranges(found, domains):
    """Return a paragraph for each range of values that the training images had, in a list.

    Args:
      found: "value_range" of a run's data: [low, high], or one for each domain; None for 8 bits.
      domains: the names of the domains, or "".
    """
    lines = []
    found = found if isinstance(found, list) else []
    for domain, pair in zip(domains, found) if domains else [("", found)]:
        if isinstance(pair, list) and [isinstance(v, (int, float)) for v in pair] == [True, True]:
            of = f" of {domain}" if domain else ""
            low, high = (f"{value:.10g}" for value in pair)
            lines += [
                "",
                f"Training images{of} of more than 8 bits: {low} to {high} became -1 to 1.",
            ]
    return lines


def _files(files):
    """Return the section with the code that loads each file."""
    lines = ["## How to load it", "", "The files load without the training program."]
    for file in files:
        lines += ["", f"### {file.name}", "", "```python", file.code, "```", ""]
        lines += [
            "When it was written, its images differed from the generator's by at most "
            f"{file.difference:.1g}."
        ]
    return lines


def _measures(run):
    """Return the section with the measures of the last evaluation."""
    step, values = measures(run)
    lines = ["## Measures", ""]
    if not values:
        return [*lines, "The generator was not evaluated during training."]
    lines += [f"After {step} updates. Names end with the network that extracted the features;"]
    lines += ["values from different networks cannot be compared.", ""]
    lines += ["| measure | value |", "|---|---|"]
    lines += [f"| `{name}` | {float(value):.6g} |" for name, value in values.items()]
    if (run / recovery.BEST / "generator.keras").is_file():
        lines += ["", "The run's folder `best` holds the state with the best measure."]
    return lines


def _settings(saved):
    """Return the section with a table of all settings."""
    lines = ["## Settings", "", "| setting | value |", "|---|---|"]
    return lines + [f"| `{name}` | `{json.dumps(value)}` |" for name, value in saved.items()]
