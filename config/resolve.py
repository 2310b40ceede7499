"""From the flags and the tables to the `Config` of a call. Imports no TensorFlow."""

import dataclasses
import os
import re
from pathlib import Path

from config import fields, presets, tables
from config.values import did_you_mean, is_stage
from console import WrongCall


def resolve(given, saved=None, *, start=None, check=True):
    """Return the `Config` of a call.

    Each value comes from the first of these that has it: the flags, the preset, the saved settings
    of the run, the settings of the run that it starts from, and the rows of the task, the data set,
    the architecture and the mode.

    Args:
      given: dict of Config field → value, with the flags of the call.
      saved: dict of Config field → value, with the settings of the run that the call resumes or
        uses; None for a new run.
      start: dict of Config field → value, as `saved.taken_settings` returns it, or None.
      check: False does not check combinations of settings. For a call whose run, and its saved
        settings, are not known yet.

    Raises:
      WrongCall: if flags are invalid, or settings cannot be combined.
    """
    saved = saved or {}
    # A saved width that equals the height follows a new height, unless the width is given too.
    # The same is true of the other fields in SAME_AS.
    follows = {n: v for n, v in saved.items() if v == saved.get(fields.SAME_AS.get(n), object())}
    saved = {n: v for n, v in saved.items() if n not in follows}
    layers = [given, preset_settings(given), saved, start or {}]

    def take(name):
        for layer in layers:
            if layer.get(name) is not None:
                return layer[name]
        return fields.FIELDS[name].default

    row = tables.ARCHS[take("arch")]
    layers.insert(0, {"dataset": _data_set(take("dataset"), take("data_dir"))})
    data = tables.DATASETS.get(take("dataset"))
    layers += [row.task.settles, data.defaults if data else {}]
    layers += [row.defaults, tables.FOLDER.defaults]
    mode = take("mode")
    in_folder = dict(row.in_folder.get(mode, {})) if (data or tables.FOLDER).in_folder else {}
    if any(layer.get("learning_rate") is not None for layer in layers):
        in_folder.pop("decay_after", None)  # the fall is that of the row's own rate
    layers += [in_folder, tables.MODES[mode].defaults]
    config = fields.Config(**_complete({name: take(name) for name in fields.FIELDS}, row))
    _check_names(config)
    if check:
        _check_combinations(config, row)
        _check_holdout(config, given.get("holdout"))
    return config


def settle(config, channels, count):
    """Return a `Config` with the settings that depend on the training images.

    A setting that is None gets its value from the data set's row if the images have colours.
    Without colours, or without a value in the row, mirroring and augmentation are off. For few
    images, the network's row for the mode comes before that of the data set.

    Args:
      config: a `Config`, as `resolve` returns it.
      channels: channels of the images.
      count: number of training images.
    """
    row = tables.DATASETS.get(config.dataset, tables.FOLDER)
    values = {"mirror": False, "augment": ("none",), "augment_p": 1.0}
    values |= row.colour if channels == 3 else {}
    if row.few_colour and channels == 3 and count < tables.FEW_IMAGES:
        own = tables.ARCHS[config.arch].few_colour
        values |= row.few_colour | own.get(config.mode, {})
    return dataclasses.replace(
        config, **{n: v for n, v in values.items() if getattr(config, n) is None}
    )


def network_for_few(config, given):
    """Return the name of the network that the row of the data set has for few colour images.

    None if there is none, if it does not make images of the config's size, or if the call names a
    network, a mode or a setting of the default network.

    Args:
      config: the `Config` of the call.
      given: dict of its flags.
    """
    row, default = tables.DATASETS.get(config.dataset, tables.FOLDER), fields.FIELDS["arch"].default
    named = {n for n, v in {**preset_settings(given), **given}.items() if v is not None}
    about = {"arch", "mode", "compare", "init_from", *tables.ARCHS[default].network}
    if row.few_arch is None or about & named:
        return None
    few = tables.ARCHS[row.few_arch]
    sides = config.output_height, config.output_width
    fits = all(side >= few.min_size and side % few.multiple_of == 0 for side in sides)
    return row.few_arch if fits else None


def _data_set(dataset, data_dir):
    """Return the name of a data set in `data_dir` instead of its path; else `dataset`.

    A leading ~ is replaced by the home folder.
    """
    dataset = os.path.expanduser(dataset)
    folder, name = os.path.split(os.path.abspath(dataset))
    inside = os.path.realpath(folder) == os.path.realpath(data_dir)
    if os.path.basename(dataset) == dataset or not inside:
        return dataset
    # If data_dir has no such entry, the name alone would mean an entry of the current folder.
    return dataset if os.path.exists(name) and not os.path.exists(dataset) else name


def preset_settings(given):
    """Return the dict of the settings of the preset in `given`, or {} without a preset."""
    preset = presets.PRESETS.get(given.get("preset"))
    return preset.settings if preset else {}


def _complete(settings, row):
    """Fill in the fields that depend on other fields; return the dict."""
    if row.growth:
        size = settings[row.growth.size]
        settings |= {"output_height": size, "output_width": size}
    settings |= {n: settings[o] for n, o in fields.SAME_AS.items() if settings[n] is None}
    side = min(settings["output_height"], settings["output_width"])
    for name, field in fields.FIELDS.items():
        steps = field.metadata["by_size"] if name in row.network else ()
        if settings[name] is None and steps:
            settings[name] = next(value for smallest, value in steps if side >= smallest)
    if settings["augment"] and settings["augment_p"] is None:
        settings["augment_p"] = 1.0
    settings["cache_dir"] = settings["cache_dir"] or str(Path(settings["data_dir"]) / ".cache")
    return settings


def _check_names(c):
    """Check the flags whose validity does not depend on the run's settings."""
    if not re.fullmatch("auto|cpu|gpu(:[0-9]+)?", c.device, re.ASCII):
        hint = did_you_mean(c.device, ("auto", "cpu", "gpu"))
        raise WrongCall(
            f"--device={c.device} must be auto, cpu, gpu, or one GPU such as gpu:0{hint}"
        )
    if c.compare and len(set(c.compare)) < len(c.compare):
        raise WrongCall(f"--compare={fields.text(c.compare)} names a mode twice")
    names = ("compare" if c.compare else "train", *fields.COMMAND_FLAGS)
    commands = [f"--{n}" for n in names if getattr(c, n)]
    if len(commands) > 1:
        raise WrongCall(f"{' and '.join(commands)} cannot be combined: make one call for each")
    if "none" in (c.augment or ()) and len(c.augment) > 1:
        raise WrongCall(f"--augment={fields.text(c.augment)}: none cannot be combined")
    if c.latents and c.seeds:
        raise WrongCall("--latents and --seeds cannot be combined: make one call for each")
    if c.name and (Path(c.name).name != c.name or c.name.startswith(".")):
        raise WrongCall(
            f"--name={c.name} must be a folder name without / and without a dot at its start"
        )


def _check_combinations(c, row):
    """Check the limits in an architecture's row, and fields that depend on each other."""
    _check_sizes(c, row)
    _check_task(c, row.task)
    if row.growth:
        _check_growth(c, row.growth)
    most = tables.LATENTS[c.z_distribution].bound
    if most and c.truncation and c.truncation > most:
        raise WrongCall(
            f"--truncation={c.truncation:g} must be at most {most:g} with {c.z_distribution} "
            "latents"
        )
    if c.z_dim and c.directions > c.z_dim:
        raise WrongCall(
            f"--directions={c.directions} must be at most {c.z_dim}, the length of a latent"
        )
    if c.clip_down > c.clip_up:
        raise WrongCall(f"--clip_down={c.clip_down} must not be above --clip_up={c.clip_up}")
    if not c.serve and (names := [n for n in ("host", "port") if fields.is_set(c, n)]):
        raise WrongCall(f"--{names[0]}={getattr(c, names[0])} needs --serve, which opens a page")
    if c.crop and not c.input_height:
        raise WrongCall("--crop needs --input_height, the height of the centre box")
    if c.patience and (c.train or c.compare) and not c.eval_every:
        raise WrongCall(f"--patience={c.patience} needs --eval_every, which measures the samples")
    extractor = tables.EXTRACTORS.get(c.extractor)
    if c.extractor_weights and not (extractor and extractor.weights):
        names = " or ".join(n for n, row in tables.EXTRACTORS.items() if row.weights)
        raise WrongCall(f"--extractor_weights={c.extractor_weights} needs --extractor {names}")
    if c.eval_every and (c.train or c.compare) and extractor and c.best_by in extractor.misleads:
        raise WrongCall(
            f"--best_by={c.best_by} cannot be used with --extractor={c.extractor}, which gives "
            "blurred images a higher precision: use --best_by fid, or a trained extractor"
        )


def _check_holdout(c, asked):
    """Check the number of held-out images that the flags ask for. A run may have saved another."""
    if asked and tables.DATASETS.get(c.dataset, tables.FOLDER).test_part:
        raise WrongCall(
            f"--holdout={asked} has no effect with --dataset={c.dataset}, whose test images are"
            " never trained on: leave it out"
        )


def _check_task(c, task):
    """Check that no flag is set that the task of the architecture does not support."""
    others = {name for row in tables.ARCHS.values() for name in row.task.asks} - set(task.asks)
    for name in fields.FIELDS:
        refused = name in task.refuses and getattr(c, name) and fields.is_set(c, name)
        if refused or (name in others and fields.is_set(c, name)):
            raise WrongCall(f"--{name} cannot be used with --arch={c.arch}, which {task.does}")
    if c.jit and task.no_jit:
        raise WrongCall(f"--jit cannot be used with --arch={c.arch}: {task.no_jit}")
    if c.best_by not in task.measures:
        raise WrongCall(
            f"--best_by={c.best_by} cannot be used with --arch={c.arch}, which {task.does}: it must"
            f" be one of {', '.join(task.measures)}"
        )
    if bool(c.translate) != bool(c.input) or (c.output and not c.translate):
        raise WrongCall(
            "--translate (A2B or B2A) and --input need each other, and --output needs both"
        )


def _check_sizes(c, row):
    """Check the limits of sizes and widths in an architecture's row."""
    for name in ("output_height", "output_width"):
        size = getattr(c, name)
        if size < row.min_size or size % row.multiple_of:
            raise WrongCall(
                f"--{name}={size} must be at least {row.min_size} and a multiple of "
                f"{row.multiple_of} with --arch={c.arch}"
            )
    if c.batch_size < row.task.min_batch:
        raise WrongCall(
            f"--batch_size={c.batch_size} must be at least {row.task.min_batch} with "
            f"--arch={c.arch}"
        )
    for name in ("g_width", "d_width"):
        if row.one_width and len(getattr(c, name)) > 1:
            raise WrongCall(
                f"--{name}={fields.text(getattr(c, name))} must be one width with --arch={c.arch}"
            )


def _check_growth(c, growth):
    """Check the flags of networks that grow during training."""
    if not is_stage(getattr(c, growth.size)):
        raise WrongCall(f"--{growth.size}={getattr(c, growth.size)} must be a power of two")
    if c.fade_kimg + c.stable_kimg < 0.001:
        raise WrongCall("--fade_kimg and --stable_kimg give a stage no images: raise one of them")
    if c.critic_bursts:
        raise WrongCall(
            f"--critic_bursts cannot be used with --arch={c.arch}, which grows by a schedule"
        )


def precision_row(name):
    """Return the row of a --precision. None is that of the CPU, see `tables.DEVICES`."""
    return tables.PRECISIONS[name or tables.DEVICES["cpu"]["precision"]]
