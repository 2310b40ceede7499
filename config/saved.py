"""The settings kept with a run: reading them, telling runs apart, refusing other networks."""

import json
from pathlib import Path

from config import presets, tables
from config.fields import FIELDS, FIXED, check_value, text
from console import WrongCall


def read_saved(path):
    """The settings kept in a run's config.json, as a dict of Config fields.

    Raises:
      WrongCall: where it cannot be read, or holds what this program does not know.
    """
    try:
        read = json.loads(Path(path).read_text())
        if not isinstance(read, dict):
            raise ValueError("it holds no fields")
        saved = {n: tuple(v) if isinstance(v, list) else v for n, v in read.items() if n != "data"}
        for name, value in saved.items():
            if name not in FIELDS or FIELDS[name].metadata["once"]:
                raise ValueError(f"unknown field {name!r}")
            try:
                check_value(name, value)
            except ValueError as error:
                raise ValueError(f"{name}={read[name]!r} {error}") from None
        row = tables.ARCHS.get(saved.get("arch"), {"network": ()})
        for name in row["network"]:  # a field that is newer than the run has its first value
            saved.setdefault(name, row.get(name, FIELDS[name].default))
        for name in ("data", *FIXED, *row["network"]):
            if {**read, **saved}.get(name) is None:
                raise ValueError(f"no field {name!r}")
        if not isinstance(read["data"], dict):
            raise ValueError(f"data={read['data']!r} must be what the images were")
    except (OSError, ValueError, RecursionError) as error:
        raise WrongCall(f"cannot use {path}: {error}") from None
    return saved


def identity(given):
    """Of the flags given, and a preset's, those that tell one run from another: for test mode."""
    given = {**presets.PRESETS.get(given.get("preset"), {}), **given}
    networks = {n for row in tables.ARCHS.values() for n in row["network"]}
    names = ("name", "batch_size", *FIXED, *sorted(networks))
    return {n: given[n] for n in names if given.get(n) is not None}


def refuse_changes(config, saved):
    """Raise WrongCall where `config` would go on with another network than the run's `saved`."""
    if saved:
        _refuse_precision(config, saved)
    fixed = _fixed(tables.ARCHS[saved["arch"]]) if saved else ()
    for name in fixed:
        if getattr(config, name) != saved[name]:
            raise WrongCall(
                f"run {config.run_name} has {name}={text(saved[name])}, not "
                f"{text(getattr(config, name))}: leave that flag or preset out, give another "
                "--name, or start anew with --resume False"
            )


def _refuse_precision(config, saved):
    """The state of a scaled loss is one that others do not have."""
    was = saved.get("precision", FIELDS["precision"].default)
    scaled = [tables.PRECISIONS[name]["scaled"] for name in (was, config.precision)]
    if scaled[0] != scaled[1]:
        raise WrongCall(
            f"run {config.run_name} has precision={was}, and cannot go on in {config.precision}: "
            "leave --precision out, give another --name, or start anew with --resume False"
        )


def _fixed(row):
    """The fields that a run of a network's row keeps. The network is named before its sizes."""
    return ("arch", *row["network"], *row.get("schedule", ()), *FIXED)


def changes(config, saved):
    """(field, old, new) of what a resumed run does otherwise than before."""
    now = config.to_json()
    return [(n, saved[n], now[n]) for n in now if n in saved and saved[n] != now[n]]
