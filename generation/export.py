"""A trained generator in formats that other programs load, each checked in a process of its own."""

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import console
import files
from generation import model_card
from runs import recovery, trained

TOLERANCE = 1e-5  # of images in [-1, 1]
MOST_IMAGES, MOST_PIXELS = 16, 2**20  # that a file is checked with
MINUTES = 20  # that a check may take
HERE = Path(__file__).resolve().parents[1]

# How each format is loaded, and makes `images` of what it takes: the card says so, and the
# check does so. "{args}" are its inputs, in a list where it takes one.
KERAS = """
import keras

generator = keras.saving.load_model("{file}")
images = np.asarray(generator({args}, training=False))
"""
SAVEDMODEL = """
import tensorflow as tf

generator = tf.saved_model.load("{file}")
images = generator.serve({args}).numpy()
"""
ONNX = """
import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
names = [each.name for each in session.get_inputs()]
(images,) = session.run(None, dict(zip(names, [{names}])))
"""


@dataclasses.dataclass(frozen=True)
class Format:
    """One row of `recipes.EXPORTS`: its words are said there."""

    suffix: str
    writer: Callable
    code: str
    packages: tuple = ()


def write_keras(network, path):
    """Keras' own format."""
    network.save(path)


def write_savedmodel(network, path):
    """TensorFlow's SavedModel, a folder."""
    network.export(path, format="tf_saved_model", verbose=False)


def write_onnx(network, path):
    """ONNX, by tf2onnx, which says much on stderr."""
    network(network.input)  # Keras wants a network that has been called
    with console.quiet_stderr():
        network.export(path, format="onnx", verbose=False)


def home(run):
    """The folder that a run's exports go to; a best state is named by its run."""
    return Path("export") / (f"{run.parent.name}_best" if run.name == recovery.BEST else run.name)


def check_packages(formats):
    """Raise utils.Failed where a format, by name, takes packages that are not installed."""
    for name, row in formats.items():
        absent = [p for p in row.packages if importlib.util.find_spec(p) is None]
        if absent:
            raise console.Failed(
                f"--export {name} needs {' and '.join(absent)}: "
                "pip install -r requirements-onnx.txt"
            )


def write(run, target, formats, *, suffixes, latents):
    """Write every generator of a run's folder in each format, and a card of them.

    What `target` has of an older export is replaced when all is written and has been checked;
    other files in it stay. The card comes last: where it is, the files it names are whole.

    Args:
      run, target: folders.
      formats: name → `Format`.
      suffixes: of all formats, also those not asked for now.
      latents: NumPy code that draws latents of a "{shape}".

    Returns:
      The paths written.

    Raises:
      utils.Failed: where a file cannot be written, loaded by itself or makes other images.
    """
    check_packages(formats)
    data = model_card.settings(run)["data"]
    files.clear_parts(target.parent)
    part = files.part_path(target)
    try:
        with files.writing(target):
            part.mkdir(parents=True)
        written = []
        for path in trained.generators(run):
            network = _load(path)
            shape = image_shape(network, data)
            inputs = input_code(network, latents, shape)
            for row in formats.values():
                written.append(_write(network, row, part / f"{path.stem}{row.suffix}", inputs))
        files.save_text(part / model_card.NAME, model_card.text(run, shape, inputs, written))
        with files.writing(target):
            return _swap(part, target, suffixes)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _load(path):
    """A saved network of latents, perhaps with labels, or of images."""
    network = trained.load_network(path)
    ranks = [len(x.shape) for x in getattr(network, "inputs", None) or ()]
    if ranks not in ([2], [2, 2], [4]):
        raise console.Failed(f"{path} is no generator: it takes inputs of ranks {ranks}")
    return network


def image_shape(network, data):
    """(height, width, channels) of the images that a network makes: the data's where it makes any.

    Raises utils.Failed where it makes something else.
    """
    made = [x.shape for x in network.outputs]
    if len(made) != 1 or len(made[0]) != 4 or made[0][-1] not in model_card.COLOURS:
        raise console.Failed(f"{network.name} is no generator: it makes {made}")
    return made[0][1] or data["height"], made[0][2] or data["width"], made[0][3]


def input_code(network, latents, shape):
    """NumPy code that makes an input of each kind that a generator takes, by its name.

    `shape` is that of its images, (height, width, channels).
    """
    count = max(2, min(MOST_IMAGES, MOST_PIXELS // (shape[0] * shape[1])))
    found = {}
    for size in (x.shape for x in network.inputs):
        if len(size) == 4:
            pixels = (count, size[1] or shape[0], size[2] or shape[1], size[3])
            found["x"] = f"rng.uniform(-1, 1, {pixels})"
        elif "z" not in found:
            found["z"] = latents.format(shape=(count, size[1]))
        else:
            found["labels"] = f"np.eye({size[1]})[np.arange({count}) % {size[1]}]"
    return {name: f'{name} = {code}.astype("float32")' for name, code in found.items()}


def _write(network, row, path, inputs):
    """Write one file and check it; return what the card says of it."""
    names = ", ".join(inputs)
    args = f"[{names}]" if _takes_list(network) else names
    code = row.code.strip().format(file=path.name, args=args, names=names)
    try:
        row.writer(network, path)
    except Exception as error:  # converters raise whatever they do not know
        raise console.Failed(f"cannot write {path.name}: {console.first_line(error)}") from None
    return model_card.File(path.name, code, check(network, path, inputs, code))


def _takes_list(network):
    """Does a network want its inputs as a list, be it of one? Its exports are as it is."""
    return isinstance(network.input, list | tuple)


def check(network, path, inputs, code):
    """Have a new process load a file by the card's code; return how far its images are off.

    It is one without this project's modules, on the CPU, in the file's folder.

    Raises:
      utils.Failed: where it does not load, or its images differ by more than `TOLERANCE`.
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
                timeout=60 * MINUTES,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise console.Failed(f"{path.name} takes over {MINUTES} minutes to load") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise console.Failed(f"{path.name} does not load by itself: {said[-1][:300]}")
        with np.load(made) as arrays:
            images, *given = arrays.values()
    given = given if _takes_list(network) else given[0]
    expected = np.asarray(network(given, training=False))
    if images.shape != expected.shape:
        raise console.Failed(f"{path.name} makes images {images.shape}, not {expected.shape}")
    off = float(np.abs(images - expected).max())
    if not off <= TOLERANCE:
        raise console.Failed(
            f"{path.name} makes other images than {path.stem}.keras of the run: they differ by "
            f"{off:.2g}, and {TOLERANCE:g} is allowed"
        )
    return off


def _environment():
    """This process's variables for one that shall not find this project, nor a GPU."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [p for p in paths if p and Path(p).resolve() != HERE]
    own = {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "-1"}
    return {**os.environ, **own, "TF_CPP_MIN_LOG_LEVEL": "3"}


def _swap(part, target, suffixes):
    """Put the files of `part` in the place of an older export's; return their paths."""
    target.mkdir(parents=True, exist_ok=True)
    old = [path for suffix in suffixes for path in target.glob(f"generator*{suffix}")]
    for path in (target / model_card.NAME, *old):
        files.remove(path)
    new = sorted(part.iterdir(), key=lambda path: (path.name == model_card.NAME, path.name))
    return [path.rename(target / path.name) for path in new]
