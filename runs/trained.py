"""Trained networks: find a run, and load its networks without running code from their files."""

import dataclasses
import json
import os
import re
from pathlib import Path

import console
import files

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"  # no call writes there
CONFIG = "config.json"  # a run's settings, and under "data" the facts of its images
GENERATORS = ("generator", "generator_A2B", "generator_B2A")  # the names of the networks' files
NETWORK_FILES = re.compile(rf"({'|'.join(GENERATORS)}|critic(_[AB])?|decoder(_A2B|_B2A)?)\.keras")


def read_config(folder):
    """Return the contents of a run's config.json.

    Raises:
      OSError: if it cannot be read.
      ValueError, RecursionError: if it is not JSON.
    """
    return json.loads((folder / CONFIG).read_text())


def without_folders(value):
    """Return the last part of a path from the root or from a home; other values unchanged."""
    is_path = isinstance(value, str) and (os.path.isabs(value) or value.startswith("~"))
    return Path(value).name if is_path else value


def class_names(folder):
    """Return the names of the classes that a run was trained on, or [] if none are saved."""
    names = read_config(folder)["data"].get("class_names")
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else []


def generators(folder):
    """Return the sorted paths of a run's generators. A translator between domains has two."""
    paths = (folder / f"{name}.keras" for name in GENERATORS)
    return [path for path in paths if path.is_file()]


def load_network(path):
    """Load a Keras model in safe mode, uncompiled.

    Raises:
      console.Failed: if the file is not a .keras archive, unpacks to far more than its size, or
        needs custom code.
    """
    import keras

    try:
        files.check_zip(path)  # Keras would open a .h5 file, and run its Lambdas
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds of errors for broken files
        raise console.Failed(f"cannot load {path}: {console.first_line(error)}") from None


def load_functional(path):
    """Load a Keras model with known inputs and outputs; see `load_network`.

    Raises:
      console.Failed: if the file cannot be loaded, or the network has never been built.
    """
    network = load_network(path)
    if not all(_shapes(network)):
        raise console.Failed(f"{path} is a network without inputs and outputs")
    return network


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


def shipped_dir():
    """Return the path of `PRETRAINED`, relative if it is in the working folder."""
    here = Path.cwd()
    return PRETRAINED.relative_to(here) if PRETRAINED.is_relative_to(here) else PRETRAINED


def ships(path):
    """True if a path is `PRETRAINED` or inside it."""
    path = Path(path).resolve()
    return PRETRAINED in (path, *path.parents)


def find_run(checkpoint_dir, dataset, wanted, complete=lambda saved: None, source=None, height=0):
    """Find the newest run that has a generator of a data set, or else a run that ships.

    Prefers runs that were trained on this data set to runs of another one of the same name, then
    runs with the wanted batch size.

    Args:
      checkpoint_dir: path of the folder that holds the runs' folders.
      dataset: name or path of the data set. Ignored if `wanted` has the name of a run.
      wanted: dict of settings that the run must have. It may hold the run's `name`. A
        `batch_size` is only preferred, as test mode also takes it as the number of images.
      complete: adds settings that are newer than a run to the dict of its settings.
      source: the place of the data set, as `datasets.packed.place` returns; None if unknown.
      height: the usual height of its images; preferred among runs that ship.

    Returns:
      (path of the run's folder, text to print after it: names the other runs, or says that it
      ships).

    Raises:
      console.Failed: if no run fits; says what was looked for and which runs there are.
    """
    own = _search(checkpoint_dir, dataset, wanted, complete, source, height)
    if own.fitting:
        others = ", ".join(console.plain(folder.name) for folder in own.fitting[1:])
        return own.fitting[0], f" (the newest; other runs: {others})" if others else ""
    shipped = _search(shipped_dir(), dataset, wanted, complete, source, height)
    if shipped.fitting:
        none, rest = f"none of your own in {checkpoint_dir}", own.rest()
        why = f"{none} fits{rest}" if rest else f"you have {none}"
        return shipped.fitting[0], f", which ships with the project: {why}"
    raise console.Failed(_no_run(checkpoint_dir, dataset, wanted, own, shipped))


@dataclasses.dataclass
class _Found:
    """Runs in a folder that have a generator of a data set.

    Attributes:
      fitting: paths of the runs with the wanted settings, the best first.
      others: names of the runs with other settings.
      unreadable: names of the folders whose settings cannot be read, whatever their data set.
    """

    fitting: list
    others: list
    unreadable: list

    def rest(self):
        """Return a text that names the runs that do not fit, or ""."""
        found = f" (there are {', '.join(self.others)})" if self.others else ""
        unreadable = ", ".join(self.unreadable)
        return found + (f" (no settings can be read in {unreadable})" if unreadable else "")


def _search(top, dataset, wanted, complete, source, height):
    """Return the `_Found` of the runs in the folder `top`; see `find_run`."""
    fitting, others, unreadable = [], [], []
    for folder in sorted(Path(top).glob("*/")):
        if not (paths := generators(folder)):
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
        exact = "name" in wanted or other_source(saved, dataset, source) is None
        time = 0 if ships(folder) else paths[-1].stat().st_mtime  # a shipped file's is the clone's
        usual = not ships(folder) or saved.get("output_height") == height
        rank = (exact, usual, equal.pop("batch_size", True), time, folder)
        (fitting if all(equal.values()) else others).append(rank)
    folders = [rank[-1] for rank in sorted(fitting, reverse=True)]
    return _Found(folders, [rank[-1].name for rank in others], unreadable)


def other_source(saved, dataset, source):
    """Return the place of the data set that a run was trained on, or None if it is this one.

    Args:
      saved: dict of the contents of the run's config.json.
      dataset: name or path of the data set.
      source: its place, as `datasets.packed.place` returns; None if unknown.
    """
    trained_on, data = saved["dataset"], saved.get("data")
    place = data.get("source") if isinstance(data, dict) else None
    if place:
        return None if place in (dataset, source) else place
    same = trained_on == dataset or os.path.abspath(trained_on) == os.path.abspath(dataset)
    return None if same else trained_on


def check_data(name, was, spec):
    """Check that a run can go on with these images. Return a line to print, or None.

    Args:
      name: name of the run.
      was: dict of the run's images, as in its config.json. Older runs lack some facts.
      spec: dict of the fields of the `datasets.packed.ImageSpec` of the images.

    Raises:
      console.Failed: if their sizes, channels or classes differ, or if they are another data set.
    """
    anew = "give another --name, or start anew with --resume False"
    _check_classes(name, was, spec, anew)
    for fact in ("height", "width", "channels", "classes", "value_range"):
        if was.get(fact) != spec.get(fact):
            raise console.Failed(
                f"run {name} was trained on images with {fact} {was.get(fact)}, and these have "
                f"{spec.get(fact)}: {anew}"
            )
    if not was.get("fingerprint") or was["fingerprint"] == spec.get("fingerprint"):
        return None  # the run is older than fingerprints, or the data are the same
    if was.get("source") != spec["source"]:
        raise console.Failed(
            f"run {name} was trained on {was.get('source')}, not on {spec['source']}: give another "
            f"--name (with --init_from {name}, it starts from this run's networks), or start anew "
            "with --resume False"
        )
    counts = [f"{facts.get('count')}" for facts in (was, spec)]
    change = " -> ".join(counts) if counts[0] != counts[1] else f"other files, still {counts[0]}"
    return f"the data set has changed: {change} images"


def _check_classes(name, was, spec, anew):
    """Raise console.Failed if the names or the order of a run's classes have changed."""
    old, new = was.get("class_names"), list(spec.get("class_names") or ())
    if old is None and new != sorted(new) and was.get("classes") == len(new):
        raise console.Failed(
            f"run {name} has its classes in the order {_listed(sorted(new))}, and the order is now "
            f"{_listed(new)}: {anew}"
        )
    if old is None or old == new:
        return
    lost, found = ([n for n in a if n not in b] for a, b in ((old, new), (new, old)))
    changes = [f"{_listed(lost)} missing"] * bool(lost) + [f"{_listed(found)} new"] * bool(found)
    raise console.Failed(
        f"run {name} was trained on other classes: {', '.join(changes) or 'their order differs'}; "
        f"restore them, {anew}"
    )


def _listed(names):
    """Return names as text, at most eight of them."""
    return console.plain(", ".join(names[:8]) + (", ..." if len(names) > 8 else ""))


def _no_run(checkpoint_dir, dataset, wanted, own, shipped):
    """Return the message of `find_run` when no run fits."""
    flags = "".join(f" --{name} {_flag_text(value)}" for name, value in wanted.items())
    ships = f", and none ships{shipped.rest()}" if shipped.others else ""
    return (
        f"no trained generator of {dataset} with{flags or ' any settings'} in {checkpoint_dir}"
        f"{own.rest()}{ships}; train one: python main.py --dataset {dataset}{flags} --train True"
    )


def _dataset_name(dataset):
    """Return the name by which `find_run` matches runs to a data set.

    It is the last part of a path, without the suffix .zip, .npy or .npz.
    """
    path = Path(dataset)
    return path.stem if path.suffix.lower() in (".zip", ".npy", ".npz") else path.name


def _flag_text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
