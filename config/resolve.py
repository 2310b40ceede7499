"""The settings of a call, made of its flags and the tables. Imports no TensorFlow."""

import re
from pathlib import Path

from config import fields, presets, tables
from config.values import is_stage
from console import WrongCall


def resolve(given, saved=None, *, check=True):
    """Return the `Config` of a call.

    A flag wins over the preset, the preset over the run's own settings, and those over the rows of
    the task, the data set, the architecture and the mode, in this order.

    Args:
      given: Config field → value, of the flags given.
      saved: Config field → value, of the run that the call continues or uses.
      check: raise an error for settings that do not go together. Without it they pass, until the
        run's own settings are known.

    Raises:
      WrongCall: for settings that do not go together.
    """
    saved = saved or {}
    # A field that was as another one stays as that one, unless it is given itself.
    follows = {n: v for n, v in saved.items() if v == saved.get(fields.FOLLOWS.get(n), object())}
    saved = {n: v for n, v in saved.items() if n not in follows}
    layers = [given, preset_settings(given), saved]

    def take(name):
        for layer in layers:
            if layer.get(name) is not None:
                return layer[name]
        return fields.FIELDS[name].default

    row = tables.ARCHS[take("arch")]
    data = tables.DATASETS.get(take("dataset"))
    layers += [row.task.settles, data.defaults if data else {}]
    layers += [row.defaults, tables.FOLDER.defaults]
    layers.append(tables.MODES[take("mode")].defaults)
    config = fields.Config(**_complete({name: take(name) for name in fields.FIELDS}, row))
    _check_names(config)
    if check:
        _check_combinations(config, row)
    return config


def preset_settings(given):
    """Return the settings of the preset that is given, or {}."""
    preset = presets.PRESETS.get(given.get("preset"))
    return preset.settings if preset else {}


def _complete(settings, row):
    """Set the fields that other fields decide."""
    if row.growth:
        size = settings[row.growth.size]
        settings |= {"output_height": size, "output_width": size}
    settings |= {n: settings[o] for n, o in fields.FOLLOWS.items() if settings[n] is None}
    side = min(settings["output_height"], settings["output_width"])
    for name, field in fields.FIELDS.items():
        steps = field.metadata["by_size"] if name in row.network else ()
        if settings[name] is None and steps:
            settings[name] = next(value for least, value in steps if side >= least)
    settings["cache_dir"] = settings["cache_dir"] or str(Path(settings["data_dir"]) / ".cache")
    return settings


def _check_names(c):
    """Check what no run's own settings can make right."""
    if not re.fullmatch("auto|cpu|gpu(:[0-9]+)?", c.device, re.ASCII):
        raise WrongCall(f"--device={c.device} must be auto, cpu, gpu, or one as gpu:0")
    if c.compare and len(set(c.compare)) < len(c.compare):
        raise WrongCall(f"--compare={fields.text(c.compare)} names a mode twice")
    tasks = [n for n in ("compare" if c.compare else "train", *fields.APART) if getattr(c, n)]
    if len(tasks) > 1:
        flags = " and ".join(f"--{n}" for n in tasks)
        raise WrongCall(f"{flags} are done one at a time: one call for each")
    if c.name and (Path(c.name).name != c.name or c.name.startswith(".")):
        raise WrongCall(f"--name={c.name} must be a plain folder name")


def _check_combinations(c, row):
    """Check what an architecture's row says, and fields that go together."""
    _check_sizes(c, row)
    _check_task(c, row.task)
    if row.growth:
        _check_growth(c, row.growth)
    if c.clip_down > c.clip_up:
        raise WrongCall(f"--clip_down={c.clip_down} must not be above --clip_up={c.clip_up}")
    if c.crop and not c.input_height:
        raise WrongCall("--crop needs --input_height: the size of the centre box that is taken")


def _check_task(c, task):
    """Check that an architecture of this task can do what is asked for."""
    others = {name for row in tables.ARCHS.values() for name in row.task.asks} - set(task.asks)
    for name in fields.FIELDS:
        if name in others | set(task.refuses) and fields.asked(c, name):
            raise WrongCall(f"--{name} does not suit --arch={c.arch}, which {task.does}")
    if bool(c.translate) != bool(c.input) or (c.output and not c.translate):
        raise WrongCall("--translate A2B or B2A, --input and --output go together")


def _check_sizes(c, row):
    """Check what an architecture's row says of sizes and widths."""
    for name in ("output_height", "output_width"):
        size = getattr(c, name)
        if size < row.min_size or size % row.multiple_of:
            raise WrongCall(
                f"--{name}={size} does not suit --arch={c.arch}: at least {row.min_size}"
                f" and a multiple of {row.multiple_of}"
            )
    if c.batch_size < row.task.min_batch:
        raise WrongCall(
            f"--batch_size={c.batch_size} must be at least {row.task.min_batch} with "
            f"--arch={c.arch}"
        )
    for name in ("g_width", "d_width"):
        if row.one_width and len(getattr(c, name)) > 1:
            raise WrongCall(
                f"--{name}={fields.text(getattr(c, name))}: --arch={c.arch} takes one base width"
            )


def _check_growth(c, growth):
    """Check what networks that grow cannot do."""
    if not is_stage(getattr(c, growth.size)):
        raise WrongCall(f"--{growth.size}={getattr(c, growth.size)} must be a power of two")
    if c.fade_kimg + c.stable_kimg < 0.001:
        raise WrongCall("--fade_kimg and --stable_kimg leave no image for a stage: raise one")
    for name in ("init_from", "critic_bursts"):
        if getattr(c, name):
            raise WrongCall(f"--{name} does not suit --arch={c.arch}, which grows by a schedule")
