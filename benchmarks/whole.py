"""Checks of the files that a killed run leaves, and of the files at its end.

For `benchmarks/kill.py`. `broken` and `unequal` return a list of faults, in words.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

import locks
from runs import log as run_log
from runs import recovery

PICTURES = (".png", ".gif", ".webp")
PLACES = ("checkpoint", "samples", "cache")


def tensors(prefix):
    """Return a checkpoint's tensors by name, without the save counter, which a kill resets."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    names = reader.get_variable_to_shape_map()
    own = [n for n in names if "OBJECT_GRAPH" not in n and "save_counter" not in n]
    return {name: reader.get_tensor(name) for name in own}


def different(a, b):
    """List the names of arrays that are missing in one dict, or not equal bit for bit."""
    return [n for n in sorted(a.keys() | b.keys()) if not np.array_equal(a.get(n), b.get(n))]


def weights(path):
    """Return the weights of a saved network, by number."""
    import keras

    network = keras.saving.load_model(path, compile=False)
    return {str(i): w for i, w in enumerate(network.get_weights())}


def log_rows(path):
    """Return the rows of a metrics.csv, [(step, row)], without the seconds."""
    return [
        (row["step"], {k: v for k, v in row.items() if k != "seconds"})
        for row in run_log.read_log(path)
    ]


def temporary(path):
    """Return whether a path is a temporary file, which the program never reads."""
    return any(locks.PART.fullmatch(p) or p.endswith("_temp") for p in path.parts)


def files(folder):
    """List the files of a run, without temporary ones."""
    found = [p for place in PLACES for p in (folder / place).rglob("*") if p.is_file()]
    return sorted(p for p in found if not temporary(p.relative_to(folder)))


def broken(folder, unbroken):
    """List the faults on the disk after a kill: unreadable files, and differing contents.

    Args:
      unbroken: seed → folder of an unbroken run that has kept all its checkpoints.
    """
    wrong = []
    for path in files(folder):
        try:
            wrong += [f"{path}: {what}" for what in READERS.get(path.suffix, _nothing)(path)]
            if path.name == "checkpoint":
                wrong += _state(path.parent, unbroken)
            elif path.name == "metrics.csv":
                wrong += _log(path, unbroken)
        except Exception as error:  # any error of a reader is a fault
            wrong.append(f"{path}: {error!r}")
    return wrong


def _nothing(_):
    return []


def _picture(path):
    with Image.open(path) as image:
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            image.load()
    return []


def _network(path):
    return [] if weights(path) else ["no weights"]


def _array(path):
    return [] if len(np.load(path, allow_pickle=False)) else ["empty"]


def _json(path):
    return [] if json.loads(path.read_text()) else ["empty"]


def _state(home, unbroken):
    """Check that the newest checkpoint equals the unbroken run's at the same step."""
    import tensorflow as tf

    if any((home / name).exists() for name in (recovery.READY, recovery.MOVING)):
        return []  # half moved: the next start finishes the move first
    if home.name == recovery.BEST and (home.parent / recovery.BEST_WHOLE).exists():
        return []  # half removed: the next start puts the whole one into its place first
    path = Path(tf.train.latest_checkpoint(str(home)))
    found = tensors(path)
    reference = _reference(home, unbroken)
    if reference is None or home.name.startswith(recovery.BEST_WHOLE) or home.name == recovery.BEST:
        return []  # the unbroken run keeps only its last best checkpoint
    wrong = different(found, tensors(reference / "checkpoint/r" / path.name))
    return [f"{path}: {', '.join(wrong)}"] if wrong else []


def _log(path, unbroken):
    """Check that each step has one row, equal to the unbroken run's but for empty columns."""
    reference = _reference(path.parent, unbroken)
    rows = log_rows(path)
    steps = [step for step, _ in rows]
    wrong = [f"{path}: step {step} twice" for step in {s for s in steps if steps.count(s) > 1}]
    if reference:
        whole = dict(log_rows(reference / "checkpoint/r/metrics.csv"))
        for step, row in rows:
            if {k: v for k, v in row.items() if v} != {k: v for k, v in whole[step].items() if v}:
                wrong.append(f"{path}: another row of step {step}")
    return wrong


def _reference(home, unbroken):
    """Return the unbroken run of the same seed, or None while the settings are being moved."""
    config = home / "config.json"
    return unbroken[json.loads(config.read_text())["seed"]] if config.is_file() else None


def _page(path):
    return [] if path.read_text().endswith("</html>\n") else ["cut short"]


READERS = {
    **dict.fromkeys(PICTURES, _picture),
    ".keras": _network,
    ".npy": _array,
    ".json": _json,
    ".html": _page,
}


def unequal(folder, reference):
    """List the differences of a finished run from the unbroken one."""
    run, whole = folder / "checkpoint/r", reference / "checkpoint/r"
    wrong = _listing(folder, reference)
    step = max(int(p.stem.partition("-")[2]) for p in whole.glob("ckpt-*.index"))
    for name in (f"ckpt-{step}", *(f"best/{p.stem}" for p in whole.glob("best/ckpt-*.index"))):
        wrong += [f"{name}: {n}" for n in different(tensors(run / name), tensors(whole / name))]
    for path in whole.rglob("*.keras"):
        name = path.relative_to(whole)
        wrong += [f"{name}: {n}" for n in different(weights(run / name), weights(path))]
    for name in ("metrics.csv", "best/metrics.csv"):
        if log_rows(run / name) != log_rows(whole / name):
            wrong.append(f"{name} has other rows")
    if events(folder / "logs") != events(reference / "logs"):
        wrong.append("the events have other steps")
    return wrong


def _listing(folder, reference):
    """List files that only one run has, and pictures, arrays and JSON files with other bytes."""
    own, theirs = (
        {str(p.relative_to(f)) for p in _files_but_checkpoints(f)} for f in (folder, reference)
    )
    wrong = [f"only one run has {name}" for name in sorted(own ^ theirs)]
    for name in sorted(own & theirs):
        same = (folder / name).read_bytes() == (reference / name).read_bytes()
        if not same and Path(name).suffix in (*PICTURES, ".npy", ".json"):
            wrong.append(f"{name} has other bytes")
    return wrong


def _files_but_checkpoints(folder):
    """List all files but checkpoints, of which the unbroken run has kept more."""
    paths = [p for place in (*PLACES, "logs") for p in (folder / place).rglob("*")]
    return [p for p in paths if p.is_file() and not p.name.startswith(("ckpt-", "events"))]


def events(logs):
    """Return the steps of each TensorBoard tag, in the order of the files."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = {}
    for path in sorted(logs.rglob("events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found
