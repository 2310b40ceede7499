"""Trained networks: finding a run's, and loading them without running what is in their files."""

import json
import zipfile
from pathlib import Path

import console
import files


def load_network(path):
    """A saved Keras model. Raises utils.Failed where it is not one that loads safely."""
    import keras

    try:
        with zipfile.ZipFile(path) as parts:  # no older format either, whose code would be run
            for member in parts.infolist():
                files.check_size(member.file_size, member.compress_size, member.filename)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its zip, JSON and layers raise
        raise console.Failed(f"cannot load {path}: {console.first_line(error)}") from None


def load_generator(path):
    """A saved generator of latents [N, Z], and perhaps labels [N, K].

    Raises utils.Failed where it is none, or does not make images [N, H, W, 1 or 3].
    """
    network = load_network(path)
    takes, gives = (
        [x.shape for x in getattr(network, name, None) or ()] for name in ("inputs", "outputs")
    )
    vectors = len(takes) in (1, 2) and all(len(s) == 2 and s[1] for s in takes)
    images = len(gives) == 1 and len(gives[0]) == 4 and all(gives[0][1:])
    if not (vectors and images and gives[0][-1] in (1, 3)):
        raise console.Failed(f"{path} is no generator: it makes {gives} of {takes}")
    return network


def load_translator(path):
    """A saved generator of images [N, H, W, 1 or 3] of any size.

    Raises utils.Failed where it is none.
    """
    network = load_network(path)
    takes, gives = (
        [tuple(x.shape) for x in getattr(network, name, None) or ()]
        for name in ("inputs", "outputs")
    )
    if takes != gives or takes not in ([(None, None, None, n)] for n in (1, 3)):
        raise console.Failed(
            f"{path} translates no images of any size: it makes {gives} of {takes}"
        )
    return network


def find_run(checkpoint_dir, dataset, wanted):
    """The newest run with a generator of a data set, and the names of the others.

    Args:
      wanted: settings that the run must have, among them perhaps its `name`.

    Raises:
      utils.Failed: where there is none, saying what was looked for and what there is.
    """
    runs, near, broken = [], [], []
    found = {f.parent: f for f in Path(checkpoint_dir).glob("*/generator*.keras")}
    for file in (found[folder] for folder in sorted(found)):
        try:
            saved = json.loads((file.parent / "config.json").read_text())
            saved = {**saved, "name": file.parent.name}
            trained_on = _set_name(saved["dataset"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            broken.append(file.parent.name)
            continue
        if "name" not in wanted and trained_on != _set_name(dataset):
            continue
        same = {
            k: saved.get(k) == (list(v) if isinstance(v, tuple) else v) for k, v in wanted.items()
        }
        # A batch size is a wish: without a run of it, it is the number of images to make.
        fits = all(same[k] for k in same if k != "batch_size")
        # What comes with the project has no state to go on from, and no time of its making.
        made = file.stat().st_mtime if (file.parent / "checkpoint").is_file() else 0
        rank = (same.get("batch_size", True), made, file.parent)
        (runs if fits else near).append(rank)
    if not runs:
        asked = "".join(f" --{name} {_word(value)}" for name, value in wanted.items())
        there = f" (there are {', '.join(rank[-1].name for rank in near)})" if near else ""
        there += f" (no settings can be read in {', '.join(broken)})" if broken else ""
        raise console.Failed(
            f"no trained generator of {dataset} with{asked or ' any settings'} in "
            f"{checkpoint_dir}{there}; train one: "
            f"python main.py --dataset {dataset}{asked} --train True"
        )
    runs = [rank[-1] for rank in sorted(runs, reverse=True)]
    return runs[0], [path.name for path in runs[1:]]


def _set_name(dataset):
    """What runs of a data set, or of its path, are known by: a zip file's as a folder's."""
    path = Path(dataset)
    return path.stem if path.suffix.lower() == ".zip" else path.name


def _word(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
