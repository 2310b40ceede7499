"""Exports a trained generator to formats that other programs load.

Each file is checked. A new process, which cannot import this project, loads it with the code of the
model card and must make the same images.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import console
import files
import locks
from generation import model_card
from runs import recovery, trained

TOLERANCE = 1e-5  # largest difference allowed between images in [-1, 1]
MAX_MINUTES = 20  # of a check
PROJECT_ROOT = Path(__file__).resolve().parents[1]

# Code that loads a file of each format and makes `images`. The model card shows it, and the check
# runs it. "{file!r}" is replaced by the file's name as a Python text, "{args}" by the names of the
# inputs, in a list if the network takes a list, and "{names}" by the names alone.
KERAS = """
import keras

generator = keras.saving.load_model({file!r})
images = np.asarray(generator({args}, training=False))
"""
SAVEDMODEL = """
import tensorflow as tf

generator = tf.saved_model.load({file!r})
images = generator.serve({args}).numpy()
"""
ONNX = """
import onnxruntime

session = onnxruntime.InferenceSession({file!r}, providers=["CPUExecutionProvider"])
names = [each.name for each in session.get_inputs()]
(images,) = session.run(None, dict(zip(names, [{names}])))
"""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that a network can be exported to.

    Attributes:
      suffix: end of the file's name, with the dot.
      writer: (network, path) → None, writes the file or folder.
      code: Python code that loads "{file!r}" and makes `images` from "{args}" or "{names}".
      packages: what the writer imports beyond requirements.txt.
    """

    suffix: str
    writer: Callable
    code: str
    packages: tuple = ()


def write_keras(network, path):
    """Write Keras' own format."""
    network.save(path)


def write_savedmodel(network, path):
    """Write TensorFlow's SavedModel, a folder."""
    with files.tensorflow_path(path.parent) as place:
        network.export(f"{place}/{path.name}", format="tf_saved_model", verbose=False)


def write_onnx(network, path):
    """Write ONNX with tf2onnx, whose many lines on stderr are hidden."""
    network(network.input)  # Keras exports only networks that have been called
    with console.quiet_stderr():
        network.export(path, format="onnx", verbose=False)


def home(run):
    """Return the folder for the exports of `run`: export/RUN, or export/RUN_best for RUN/best."""
    return Path("export") / recovery.title(run)


def check_packages(formats):
    """Raise Failed if a format needs packages that are not installed.

    Args:
      formats: name → `Format`.
    """
    for name, row in formats.items():
        absent = [p for p in row.packages if importlib.util.find_spec(p) is None]
        if absent:
            raise console.Failed(
                f"--export {name} needs {' and '.join(absent)}: "
                "pip install -r requirements-onnx.txt"
            )


def write(run, target, formats, *, others, latents):
    """Write every generator of a run in each format, and a model card.

    An older export in `target` is replaced once all files are written and checked. Its files in
    other formats stay, and are on the card, if they make the same images. Otherwise they are of
    another state, and are removed; a line says so. Other files in the folder stay. The card is
    written last, so that the files it names are always complete.

    Args:
      run: folder of a run, with its generators and config.json.
      target: folder to write to.
      formats: name → `Format`.
      others: name → `Format`, the formats that are not written.
      latents: NumPy code that draws latents of shape "{shape}" with a generator `rng`.

    Returns:
      List of the paths written, the card last.

    Raises:
      Failed: if a file cannot be converted, cannot be loaded or makes different images.
      OSError: if the folder cannot be written to.
    """
    check_packages(formats)
    data = model_card.settings(run)["data"]
    check_target(target)
    with locks.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        locks.clear_parts(target.parent)
        with locks.part_of(target, folder=True) as part:
            written, kept, lost = [], [], []
            for path in trained.generators(run):
                network = _load(path)
                shape = image_shape(network, data)
                inputs = model_card.input_code(network, latents, shape)
                for row in formats.values():
                    written.append(_write(network, row, part / f"{path.stem}{row.suffix}", inputs))
                for row in others.values():
                    _check_old(
                        network, row, target / f"{path.stem}{row.suffix}", inputs, kept, lost
                    )
            made = sorted(written + kept, key=lambda file: file.name)
            files.save_text(part / model_card.NAME, model_card.text(run, shape, inputs, made))
            suffixes = [row.suffix for row in (*formats.values(), *others.values())]
            paths = _swap(part, target, suffixes, {file.name for file in kept})
    print("".join(f"{line}\n" for line in lost), end="")
    return paths


def check_target(target):
    """Raise Failed if a folder has a model card that this program may not have written."""
    if (target / model_card.NAME).exists() and not files.is_output(target):
        raise console.Failed(
            f"{target} has a {model_card.NAME}, and is no export of this program: move it away"
        )


def _load(path):
    """Load a network that takes latents, latents and labels, or images."""
    network = trained.load_network(path)
    ranks = [len(x.shape) for x in getattr(network, "inputs", None) or ()]
    if ranks not in ([2], [2, 2], [4]):
        raise console.Failed(f"{path} is no generator: its inputs have the ranks {ranks}")
    return network


def image_shape(network, data):
    """Return (height, width, channels) of the images that a network makes.

    Args:
      network: Keras model.
      data: dict with the "height" and "width" of the training images, which are returned for a
        network that makes images of any size.

    Raises:
      Failed: if the network's output is not a batch of images.
    """
    shapes = [x.shape for x in network.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] not in model_card.COLOURS:
        raise console.Failed(f"{network.name} is no generator: its outputs have shapes {shapes}")
    height, width, channels = shapes[0][1:]
    return height or data["height"], width or data["width"], channels


def _code(network, row, path, inputs):
    """Return the code that loads a file of a `Format` and makes `images` from the inputs."""
    names = ", ".join(inputs)
    args = f"[{names}]" if _takes_list(network) else names
    return row.code.strip().format(file=path.name, args=args, names=names)


def _check_old(network, row, path, inputs, kept, lost):
    """Check a file of an older export, if there is one.

    Appends its `model_card.File` to `kept` if it makes the images of `network`, or else a line to
    `lost`.
    """
    if not path.exists() or path.is_symlink():
        return
    code = _code(network, row, path, inputs)
    try:
        kept.append(model_card.File(path.name, code, check(network, path, inputs, code)))
    except console.Failed as error:
        lost.append(f"removed {path}, a file of an older export: {error}")


def _write(network, row, path, inputs):
    """Write and check one file; return its `model_card.File`."""
    code = _code(network, row, path, inputs)
    try:
        row.writer(network, path)
    except Exception as error:  # converters raise errors of any type
        raise console.Failed(f"cannot write {path.name}: {console.first_line(error)}") from None
    return model_card.File(path.name, code, check(network, path, inputs, code))


def _takes_list(network):
    """True if a network takes its inputs as a list. Its exports then do the same."""
    return isinstance(network.input, list | tuple)


def check(network, path, inputs, code):
    """Load an exported file in a new process and compare its images with the network's.

    The process runs on the CPU, in the file's folder, and cannot import this project.

    Args:
      network: the Keras model that was exported.
      path: the file or folder.
      inputs: name → code that makes the input, as `model_card.input_code` returns.
      code: code that loads the file and makes `images`.

    Returns:
      The largest absolute difference of the images.

    Raises:
      Failed: if the file does not load, or the difference is larger than `TOLERANCE`.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.npz"
        lines = [model_card.START, *inputs.values(), code]
        lines += [f"np.savez({str(made)!r}, images, {', '.join(inputs)})"]
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", "\n".join(lines)],
                cwd=path.parent,
                env=_environment(),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=60 * MAX_MINUTES,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise console.Failed(f"{path.name} takes over {MAX_MINUTES} minutes to load") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise console.Failed(f"{path.name} does not load by itself: {lines[-1][:300]}")
        with np.load(made) as arrays:
            images, *given = arrays.values()
    given = given if _takes_list(network) else given[0]
    expected = np.asarray(network(given, training=False))
    if images.shape != expected.shape:
        raise console.Failed(f"{path.name} makes images {images.shape}, not {expected.shape}")
    difference = float(np.abs(images - expected).max())
    if not difference <= TOLERANCE:  # also if it is NaN
        raise console.Failed(
            f"{path.name} makes other images than {path.stem}.keras of the run: they differ by "
            f"{difference:.2g}, and {TOLERANCE:g} is allowed"
        )
    return difference


def _environment():
    """Return environment variables for a process that finds neither this project nor a GPU."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [p for p in paths if p and Path(p).resolve() != PROJECT_ROOT]
    changes = {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "-1"}
    others = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    return {**others, **changes, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _swap(part, target, suffixes, kept):
    """Replace an older export in `target` by the files in `part`; return their new paths.

    The files whose names are in `kept` stay.
    """
    files.mark_output(target)
    names = {f"{name}{suffix}" for name in trained.GENERATORS for suffix in suffixes} - kept
    for path in (target / name for name in (model_card.NAME, *names)):
        locks.remove(path)
    new = sorted(part.iterdir(), key=lambda path: (path.name == model_card.NAME, path.name))
    return [path.rename(target / path.name) for path in new]
