"""Trained networks: find a run, and load its networks without running code from their files."""

import json
import zipfile
from pathlib import Path

import console
import files
from runs import checkpoints

CONFIG = "config.json"  # a run's settings, and under "data" the facts of its images


def read_config(folder):
    """Return the contents of a run's config.json.

    Raises:
      OSError: if it cannot be read.
      ValueError, RecursionError: if it is not JSON.
    """
    return json.loads((folder / CONFIG).read_text())


def generators(folder):
    """Return the sorted paths of a run's generators. A translator between domains has two."""
    return sorted(folder.glob("generator*.keras"))


def load_network(path):
    """Load a Keras model in safe mode, uncompiled.

    Raises:
      console.Failed: if the file is not a .keras archive, unpacks to far more than its size, or
        needs custom code.
    """
    import keras

    try:
        with zipfile.ZipFile(path) as parts:  # Keras would open a .h5 file, and run its Lambdas
            for member in parts.infolist():
                files.check_size(member.file_size, member.compress_size, member.filename)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds of errors for broken files
        raise console.Failed(f"cannot load {path}: {console.first_line(error)}") from None


def load_generator(path):
    """Load a generator of latents [N, Z], or of latents and one-hot labels [N, K].

    Raises:
      console.Failed: if the file cannot be loaded, or the network has other inputs or does not
        make images [N, H, W, 1 or 3].
    """
    network = load_network(path)
    inputs, outputs = _shapes(network)
    vectors = len(inputs) in (1, 2) and all(len(s) == 2 and s[1] for s in inputs)
    images = len(outputs) == 1 and len(outputs[0]) == 4 and all(outputs[0][1:])
    if not (vectors and images and outputs[0][-1] in (1, 3)):
        raise console.Failed(
            f"{path} is not a generator: its inputs are {inputs}, and its outputs {outputs}"
        )
    return network


def load_translator(path):
    """Load a generator of images [N, H, W, C] from images of the same size. C is 1 or 3.

    Raises:
      console.Failed: if the file cannot be loaded, or the network has other inputs or outputs.
    """
    network = load_network(path)
    inputs, outputs = _shapes(network)
    if inputs != outputs or inputs not in ([(None, None, None, n)] for n in (1, 3)):
        raise console.Failed(
            f"{path} does not translate images of any size: its inputs are {inputs}, and its "
            f"outputs {outputs}"
        )
    return network


def _shapes(network):
    """Return the shapes of a network's inputs and outputs, [] each if it has never been built."""
    tensors = (getattr(network, name, None) or () for name in ("inputs", "outputs"))
    return [[tuple(x.shape) for x in found] for found in tensors]


def find_run(checkpoint_dir, dataset, wanted, complete=lambda saved: None):
    """Find the newest run that has a generator of a data set.

    Prefers runs with the wanted batch size. Runs that ship with the project come last.

    Args:
      checkpoint_dir: path of the folder that holds the runs' folders.
      dataset: name or path of the data set. Ignored if `wanted` has the name of a run.
      wanted: dict of settings that the run must have. It may hold the run's `name`. A
        `batch_size` is only preferred, as test mode also takes it as the number of images.
      complete: adds settings that are newer than a run to the dict of its settings.

    Returns:
      (path of the run's folder, names of the other runs that fit).

    Raises:
      console.Failed: if no run fits; says what was looked for and which runs there are.
    """
    fitting, others, unreadable = [], [], []
    for folder in sorted(Path(checkpoint_dir).glob("*/")):
        paths = generators(folder)
        if not paths:
            continue
        try:
            saved = {**read_config(folder), "name": folder.name}
            trained_on = _dataset_name(saved["dataset"])
            complete(saved)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            unreadable.append(folder.name)
            continue
        if "name" not in wanted and trained_on != _dataset_name(dataset):
            continue
        equal = {
            k: saved.get(k) == (list(v) if isinstance(v, tuple) else v) for k, v in wanted.items()
        }
        # A shipped run has no checkpoint, and the time of its file is that of the installation.
        made = paths[-1].stat().st_mtime if checkpoints.has_checkpoint(folder) else 0
        rank = (equal.pop("batch_size", True), made, folder)
        (fitting if all(equal.values()) else others).append(rank)
    if not fitting:
        raise console.Failed(
            _no_run(checkpoint_dir, dataset, wanted, [rank[-1].name for rank in others], unreadable)
        )
    folders = [rank[-1] for rank in sorted(fitting, reverse=True)]
    return folders[0], [folder.name for folder in folders[1:]]


def _no_run(checkpoint_dir, dataset, wanted, others, unreadable):
    """Return the message of `find_run` when no run fits."""
    flags = "".join(f" --{name} {_flag_text(value)}" for name, value in wanted.items())
    found = f" (there are {', '.join(others)})" if others else ""
    found += f" (no settings can be read in {', '.join(unreadable)})" if unreadable else ""
    return (
        f"no trained generator of {dataset} with{flags or ' any settings'} in {checkpoint_dir}"
        f"{found}; train one: python main.py --dataset {dataset}{flags} --train True"
    )


def _dataset_name(dataset):
    """Return the name by which `find_run` matches runs to a data set.

    It is the last part of a path, without the suffix .zip, .npy or .npz.
    """
    path = Path(dataset)
    return path.stem if path.suffix.lower() in (".zip", ".npy", ".npz") else path.name


def _flag_text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
