"""Reading the settings saved with a run, and checking the changes of a resumed run.

Imports no TensorFlow.
"""

import json
from pathlib import Path

from config import tables
from config.fields import FIELDS, FIXED, check_value, text
from config.resolve import precision_row, preset_settings
from console import WrongCall

# The settings of the loss and of the updates: a choice → the fields that its other rows may set.
LOSS = {
    "penalty": {
        *("penalty", "penalty_every", "penalty_fraction"),
        *(n for rows in tables.PENALTIES.values() for row in rows for n in row.weights.values()),
    },
    "optimizer": {
        *("optimizer", "learning_rate", "d_learning_rate", "decay_after"),
        *(n for row in tables.OPTIMIZERS.values() for n in row.kwargs),
    },
}
LOSS["mode"] = {
    *("mode", "critic_num", "critic_bursts", "drift", "ema", "lambda_cycle", "lambda_identity"),
    *(n for row in tables.MODES.values() for n in row.clip),
    *LOSS["penalty"],
    *LOSS["optimizer"],
}


def read_saved(path):
    """Read a run's config.json.

    Args:
      path: path of the file.

    Returns:
      A dict of Config field → value. Fields newer than the run have the values that it was
      trained with.

    Raises:
      WrongCall: if the file cannot be read, lacks a field, or has an unknown field or value.
    """
    try:
        read = json.loads(Path(path).read_text())
        if not isinstance(read, dict):
            raise ValueError("it is not a JSON object")
        saved = {n: tuple(v) if isinstance(v, list) else v for n, v in read.items() if n != "data"}
        _check_values(saved, read)
        add_newer_fields(saved)
        row = tables.ARCHS.get(saved.get("arch"))
        for name in ("data", *FIXED, *(row.network if row else ())):
            if {**read, **saved}.get(name) is None:
                raise ValueError(f"no field {name!r}")
        if not isinstance(read["data"], dict):
            raise ValueError(f"data={read['data']!r} must be a description of the images")
    except (OSError, ValueError, RecursionError) as error:
        raise WrongCall(f"cannot use {path}: {error}") from None
    return saved


def _check_values(saved, read):
    """Raise ValueError if `saved` has an unknown field or a value that is not allowed."""
    for name, value in saved.items():
        if name not in FIELDS or not FIELDS[name].metadata["saved"]:
            raise ValueError(f"unknown field {name!r}")
        try:
            check_value(name, value)
        except ValueError as error:
            raise ValueError(f"{name}={read[name]!r} {error}") from None


def add_newer_fields(saved):
    """Add the fields that are newer than a run, with the values that it was trained with.

    These are the background, the frozen layers, the fall of the learning rates, the augmentation,
    the held-out images, the penalty and the fields of the networks.
    `saved` is a dict of Config field → value.
    """
    row, mode = tables.ARCHS.get(saved.get("arch")), tables.MODES.get(saved.get("mode"))
    if row and row.growth and "penalty" not in saved:
        saved["critic_norm"] = "none"  # the run is older than norms in growing networks
    if row and row.task.no_jit:
        saved["jit"] = None  # older runs may have it
    for name in ("background", "freeze_critic", "decay_after"):
        saved.setdefault(name, FIELDS[name].default)
    saved.setdefault("augment", ("none",))
    saved.setdefault("holdout", 0)
    if mode:
        saved.setdefault("penalty", mode.defaults["penalty"])
    for name in row.network if row else ():
        saved.setdefault(name, row.defaults.get(name, FIELDS[name].default))


def identity(given):
    """Return a dict of the flags and preset settings that select a run in test mode."""
    given = {**preset_settings(given), **given}
    networks = {n for row in tables.ARCHS.values() for n in row.network}
    names = ("name", "batch_size", "penalty", "holdout", *FIXED, *sorted(networks))
    return {n: given[n] for n in names if given.get(n) is not None}


def taken_settings(given, saved, step=None):
    """Return the settings that a new run takes from the run that it starts from.

    These are the settings of the networks, and those of `LOSS`, that the call does not give. If it
    gives another mode, penalty or optimizer, its row decides instead. The size of the images is
    taken as a whole, or not if the call gives a height or a width. Learning rates that fell with
    `decay_after` are taken as they were at the end.

    Args:
      given: dict of the flags of the call.
      saved: dict of the saved settings of the run that the new run starts from.
      step: number of its generator updates, or None if it is unknown.

    Returns:
      A dict of Config field → value.

    Raises:
      WrongCall: if the call asks for another architecture.
    """
    given = {**preset_settings(given), **given}
    if given.get("arch") not in (None, saved["arch"]):
        raise WrongCall(
            f"--init_from={given['init_from']} is a run of --arch={saved['arch']}, whose weights "
            f"do not fit --arch={given['arch']}: leave --arch or --preset out"
        )
    row, size = tables.ARCHS[saved["arch"]], ("output_height", "output_width")
    latents = ("z_distribution",) if "z_dim" in row.network else ()
    free = () if row.growth or any(given.get(n) is not None for n in size) else size
    names = set(LOSS["mode"])
    for choice, settings in LOSS.items():
        if given.get(choice) not in (None, saved.get(choice)):
            names -= settings
    if saved.get("d_learning_rate") == saved.get("learning_rate"):
        names.discard("d_learning_rate")  # follows the call's rate
    names |= {"arch", *latents, *row.network, *free}
    wanted = (n for n in FIELDS if n in names and given.get(n) is None)
    taken = {n: saved[n] for n in wanted if saved.get(n) is not None}
    begin = saved.get("decay_after")
    if begin and step and step > begin:
        for name in {"learning_rate", "d_learning_rate"} & {*taken}:
            taken[name] = float(f"{taken[name] * (begin / step) ** 0.5:.2g}")
    return taken


def refuse_changes(config, saved):
    """Raise WrongCall if `config` changes a fixed setting of the run.

    Args:
      config: the `Config` of the call.
      saved: dict of the run's saved settings; {} for a new run.
    """
    if saved:
        _refuse_precision(config, saved)
        _refuse_momentum(config, saved)
    fixed = _fixed(tables.ARCHS[saved["arch"]]) if saved else ()
    for name in fixed:
        if getattr(config, name) != saved[name]:
            raise WrongCall(
                f"run {config.run_name} has {name}={text(saved[name])}, not "
                f"{text(getattr(config, name))}: leave that flag or preset out, give another "
                "--name, or start anew with --resume False"
            )


def _refuse_precision(config, saved):
    """Raise WrongCall if loss scaling would be turned on or off.

    The loss scale is state in the checkpoint, which other precisions do not have.
    """
    was = saved.get("precision") or tables.DEVICES["cpu"]["precision"]
    scaled = [precision_row(name).scaled for name in (was, config.precision)]
    if scaled[0] != scaled[1]:
        raise WrongCall(
            f"run {config.run_name} has precision={was} and cannot be resumed in {config.precision}"
            ": leave --precision out, give another --name, or start anew with --resume False"
        )


def _refuse_momentum(config, saved):
    """Raise WrongCall if momentum would be turned on or off: it is state in the checkpoint."""
    was, now = saved.get("momentum", FIELDS["momentum"].default), config.momentum
    used = "momentum" in tables.OPTIMIZERS[saved["optimizer"]].kwargs
    if used and bool(was) != bool(now):
        raise WrongCall(
            f"run {config.run_name} has momentum={text(was)}, and cannot be resumed with "
            f"{text(now)}: give both or none of them a momentum, another --name, or start anew "
            "with --resume False"
        )


def _fixed(row):
    """Return the fields that a resumed run cannot change, in the order of the checks."""
    return ("arch", *row.network, *row.fixed, *FIXED, "background", "freeze_critic", "holdout")


def changes(config, saved):
    """Return a list of (field, old value, new value) of the settings that a resumed run changes."""
    now = config.to_json()
    return [(n, saved[n], now[n]) for n in now if n in saved and saved[n] != now[n]]
