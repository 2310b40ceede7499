"""The settings of a call, out of its flags and the tables. Imports no TensorFlow."""

import re
from pathlib import Path

import console
from config import fields, presets, tables, values


def resolve(given, saved=None, *, check=True):
    """The settings of a call, from the flags given and the tables.

    A flag wins over the preset, the preset over the run's own `saved` settings, those over
    the rows of the data set, the network and the mode, in this order. Without `check`, settings
    that do not go together are let pass: until the run's own are known.

    Raises:
      WrongCall: where the settings do not go together.
    """
    preset = presets.PRESETS.get(given.get("preset"), {})
    saved = saved or {}  # what was as another field is so again, unless it is given itself
    saved = {
        n: v
        for n, v in saved.items()
        if n not in fields.FOLLOWS or v != saved.get(fields.FOLLOWS[n])
    }
    layers = [given, preset, saved]

    def take(name):
        for layer in layers:
            if layer.get(name) is not None:
                return layer[name]
        return fields.FIELDS[name].default

    row = tables.ARCHS[take("arch")]
    layers += [row.get("settles", {}), tables.DATASETS.get(take("dataset"), {})]
    layers += [row, tables.FOLDER]
    layers.append(tables.MODES[take("mode")])
    values = {name: take(name) for name in fields.FIELDS}
    square = row.get("square")
    values |= dict.fromkeys(("output_height", "output_width"), values[square]) if square else {}
    values |= {n: values[other] for n, other in fields.FOLLOWS.items() if values[n] is None}
    side = min(values["output_height"], values["output_width"])
    for name, steps in row.get("by_size", {}).items():
        if values[name] is None:
            values[name] = next(value for least, value in steps if side >= least)
    values["cache_dir"] = values["cache_dir"] or str(Path(values["data_dir"]) / ".cache")
    config = fields.Config(**values)
    _check_names(config)
    if check:
        _check_combinations(config)
    return config


def _check_names(c):
    """Refuse what no run's settings can make right."""
    if not re.fullmatch("auto|cpu|gpu(:[0-9]+)?", c.device, re.ASCII):
        raise console.WrongCall(f"--device={c.device} must be auto, cpu, gpu, or one as gpu:0")
    if c.compare and len(set(c.compare)) < len(c.compare):
        raise console.WrongCall(f"--compare={fields.text(c.compare)} names a mode twice")
    tasks = [n for n in ("compare" if c.compare else "train", *fields.APART) if getattr(c, n)]
    if len(tasks) > 1:
        flags = " and ".join(f"--{n}" for n in tasks)
        raise console.WrongCall(f"{flags} are done one at a time: one call for each")
    if c.name and (Path(c.name).name != c.name or c.name.startswith(".")):
        raise console.WrongCall(f"--name={c.name} must be a plain folder name")


def _check_combinations(c):
    row = tables.ARCHS[c.arch]
    _check_sizes(c, row)
    _check_asked(c, row)
    if c.clip_down > c.clip_up:
        raise console.WrongCall(
            f"--clip_down={c.clip_down} must not be above --clip_up={c.clip_up}"
        )
    if c.crop and not c.input_height:
        raise console.WrongCall(
            "--crop needs --input_height: the size of the centre box that is taken"
        )


def _check_asked(c, row):
    """Check that a network of this row can do what is asked for."""
    others = set().union(*(other["asks"] for other in tables.ARCHS.values()))
    for name in fields.FIELDS:
        foreign = name in others - set(row["asks"]) or name in row.get("without", ())
        if foreign and fields.asked(c, name):
            raise console.WrongCall(f"--{name} does not suit --arch={c.arch}, which {row['does']}")
    if bool(c.translate) != bool(c.input) or (c.output and not c.translate):
        raise console.WrongCall("--translate A2B or B2A, --input and --output go together")


def _check_sizes(c, row):
    """Check what a network's row says of sizes and widths."""
    for name in ("output_height", "output_width"):
        size = getattr(c, name)
        if size < row["min_size"] or size % row["multiple_of"]:
            raise console.WrongCall(
                f"--{name}={size} does not suit --arch={c.arch}: at least {row['min_size']}"
                f" and a multiple of {row['multiple_of']}"
            )
    if c.batch_size < row.get("min_batch", 2):
        raise console.WrongCall(
            f"--batch_size={c.batch_size} must be at least 2 with --arch={c.arch}"
        )
    for name in ("g_width", "d_width"):
        if row.get("one_width") and len(getattr(c, name)) > 1:
            raise console.WrongCall(
                f"--{name}={fields.text(getattr(c, name))}: --arch={c.arch} takes one base width"
            )
    if "square" in row:
        _check_growth(c, row["square"])


def _check_growth(c, square):
    """Check what networks that grow cannot do."""
    if not values.is_stage(getattr(c, square)):
        raise console.WrongCall(f"--{square}={getattr(c, square)} must be a power of two")
    if c.fade_kimg + c.stable_kimg < 0.001:
        raise console.WrongCall(
            "--fade_kimg and --stable_kimg leave no image for a stage: raise one"
        )
    for name in ("init_from", "critic_bursts"):
        if getattr(c, name):
            raise console.WrongCall(
                f"--{name} does not suit --arch={c.arch}, which grows by a schedule"
            )
