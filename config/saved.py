"""The settings saved with a run: reading them, and what a resumed run may change.

Imports no TensorFlow.
"""

import json
from pathlib import Path

from config import tables
from config.fields import FIELDS, FIXED, check_value, text
from config.resolve import preset_settings
from console import WrongCall


def read_saved(path):
    """Read a run's config.json; return a dict of Config fields.

    Raises:
      WrongCall: if it cannot be read, or has a field or a value that this program does not know.
    """
    try:
        read = json.loads(Path(path).read_text())
        if not isinstance(read, dict):
            raise ValueError("it holds no fields")
        saved = {n: tuple(v) if isinstance(v, list) else v for n, v in read.items() if n != "data"}
        _check_values(saved, read)
        _add_newer_fields(saved)
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
    """Raise ValueError for a field or a value that this program does not know."""
    for name, value in saved.items():
        if name not in FIELDS or not FIELDS[name].metadata["saved"]:
            raise ValueError(f"unknown field {name!r}")
        try:
            check_value(name, value)
        except ValueError as error:
            raise ValueError(f"{name}={read[name]!r} {error}") from None


def _add_newer_fields(saved):
    """Give the fields that are newer than the run the values that the run was trained with."""
    row = tables.ARCHS.get(saved.get("arch"))
    if row and row.growth and "penalty" not in saved:
        saved["critic_norm"] = "none"  # networks that grow had no norms when --penalty came
    for name in row.network if row else ():
        saved.setdefault(name, row.defaults.get(name, FIELDS[name].default))


def identity(given):
    """Return those of the flags and the preset's settings by which test mode selects a run."""
    given = {**preset_settings(given), **given}
    networks = {n for row in tables.ARCHS.values() for n in row.network}
    names = ("name", "batch_size", *FIXED, *sorted(networks))
    return {n: given[n] for n in names if given.get(n) is not None}


def refuse_changes(config, saved):
    """Raise WrongCall if `config` would resume the run of `saved` with another network."""
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
    """A scaled loss has state in the checkpoint that others do not have."""
    was = saved.get("precision", FIELDS["precision"].default)
    scaled = [tables.PRECISIONS[name].scaled for name in (was, config.precision)]
    if scaled[0] != scaled[1]:
        raise WrongCall(
            f"run {config.run_name} has precision={was}, and cannot go on in {config.precision}: "
            "leave --precision out, give another --name, or start anew with --resume False"
        )


def _fixed(row):
    """The fields that a run cannot change. The architecture comes first, so that it is named."""
    return ("arch", *row.network, *row.fixed, *FIXED)


def changes(config, saved):
    """List (field, old value, new value) of what a resumed run changes."""
    now = config.to_json()
    return [(n, saved[n], now[n]) for n in now if n in saved and saved[n] != now[n]]
