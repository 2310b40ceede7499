"""Every setting of a run: one `Config` field is one flag. Imports no TensorFlow."""

import dataclasses
import json
import math
from pathlib import Path

from absl import flags

import recipes


class WrongCall(Exception):
    """A command line that cannot be carried out: one line, exit status 2."""


def _flag(default, help, kind=None, *, low=None, high=None, choices=None, aliases=None, once=False):
    """One field that is one flag.

    `kind` parses its text (the default's type unless given); `low` and `high` are allowed
    themselves; `once` marks what concerns a single call and is not kept with the run.
    """
    kind = _truth if bool in (kind, type(default)) else kind or type(default)
    meta = {"help": help, "kind": kind, "low": low, "high": high}
    meta |= {"choices": choices, "aliases": aliases or {}, "once": once}
    return dataclasses.field(default=default, metadata=meta)


def _truth(text):
    return {"true": True, "false": False}[text]


def _widths(text):
    return tuple(int(w) for w in text.split(","))


def _count(text):
    """A whole number, or `inf` for no limit (kept as 0)."""
    return 0 if text.lower() in ("inf", "np.inf") else int(text)


def _option(text):
    """`--visualize`: an option 0..4, True for 1, False for none."""
    return {"true": 1, "false": None}[text] if text in ("true", "false") else int(text)


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one call. A default of None is taken from the tables of `recipes.py`."""

    dataset: str = _flag("mnist", "mnist, digits, lsun, a folder under data_dir, or a path")
    data_dir: str = _flag("data", "where the data sets are", once=True)
    cache_dir: str = _flag(None, "packed images; None: data_dir/.cache", str, once=True)
    input_fname_pattern: str = _flag("*", "glob of the image files to take, as *.jpg")
    train_size: int = _flag(0, "images to train on; inf or 0: all", _count, low=0)
    input_height: int = _flag(None, "height of the centre box that --crop takes", int, low=1)
    input_width: int = _flag(None, "its width; None: as input_height", int, low=1)
    output_height: int = _flag(None, "height of the images made", int, low=8, high=1024)
    output_width: int = _flag(None, "their width; None: as output_height", int, low=8, high=1024)
    crop: bool = _flag(False, "take the centre box of the input size, then resize")
    mirror: bool = _flag(None, "flip images left-right at random", bool)
    conditional: bool = _flag(None, "give both networks the labels", bool)

    train: bool = _flag(False, "train; without it, test: make pictures", once=True)
    epoch: int = _flag(25, "epochs of floor(images / batch_size) generator updates", low=1)
    max_steps: int = _flag(0, "stop at this count of generator updates; 0: none", once=True, low=0)
    max_minutes: float = _flag(0.0, "stop after so many minutes; 0: none", once=True, low=0)
    batch_size: int = _flag(64, "images of a step; in test mode, of a sheet", low=2)

    mode: str = _flag(None, "objective", str, choices=recipes.MODES, aliases=recipes.MODE_ALIASES)
    arch: str = _flag("dcgan", "pair of networks", choices=recipes.ARCHS)
    preset: str = _flag(None, "a named row of settings", str, choices=recipes.PRESETS, once=True)
    optimizer: str = _flag(None, "of both networks", str, choices=recipes.OPTIMIZERS)
    learning_rate: float = _flag(None, "of the generator", float, low=0)
    d_learning_rate: float = _flag(None, "of the critic; None: as learning_rate", float, low=0)
    beta1: float = _flag(0.5, "Adam's decay of the mean", float, low=0, high=0.999999)
    beta2: float = _flag(0.999, "Adam's decay of the square", float, low=0, high=0.999999)
    rho: float = _flag(0.9, "RMSprop's decay of the square", float, low=0, high=0.999999)
    epsilon: float = _flag(1e-8, "added to the root of the square", float, low=0)
    momentum: float = _flag(0.0, "of RMSprop and SGD", float, low=0, high=0.999999)
    critic_num: int = _flag(None, "critic updates to one generator update", int, low=1)
    clip_up: float = _flag(0.01, "regular mode: the critic's largest weight")
    clip_down: float = _flag(-0.01, "regular mode: the critic's smallest weight")
    LAMBDA: float = _flag(10.0, "weight of gp's penalty", low=0)
    div_k: float = _flag(2.0, "weight of div's penalty", low=0)
    div_p: float = _flag(6.0, "power of div's penalty", low=1)

    z_dim: int = _flag(None, "length of a latent", int, low=1)
    z_distribution: str = _flag(None, "uniform in [-1, 1), or normal", str, choices=recipes.LATENTS)
    g_width: tuple = _flag(
        None, "channels next to the image, doubled inwards, or a list: 256,128,64", _widths, low=1
    )
    d_width: tuple = _flag(
        None, "channels next to the image, doubled inwards, or a list: 64,128,256", _widths, low=1
    )
    fc_width: int = _flag(None, "units of a hidden dense layer; 0: no such layer", int, low=0)
    kernel_size: int = _flag(None, "of the convolutions", int, low=2, high=15)
    critic_norm: str = _flag(
        None, "normalisation in the critic", str, choices=("none", "layer", "instance", "batch")
    )
    ema: float = _flag(
        0.999, "decay of the averaged generator; 0: no average", low=0, high=0.999999
    )
    seed: int = _flag(0, "of everything random", low=0, high=2**31 - 1)

    log_every: int = _flag(50, "generator updates between two log lines", low=1)
    sample_every: int = _flag(200, "... between two sample grids", low=1)
    save_every: int = _flag(500, "... between two checkpoints", low=1)
    checkpoint_dir: str = _flag("checkpoint", "where the runs are kept", once=True)
    sample_dir: str = _flag("samples", "where pictures are written", once=True)
    log_dir: str = _flag("logs", "where TensorBoard's events are written", once=True)
    name: str = _flag(None, "the run; None: made of its settings", str, once=True)
    resume: bool = _flag(True, "go on with the run of that name", once=True)
    num_samples: int = _flag(0, "test mode: so many separate images", low=0, once=True)
    visualize: int = _flag(
        None,
        "test mode: True or 1..4, or 0: sweeps of the latents",
        _option,
        low=0,
        high=4,
        once=True,
    )
    num_workers: int = _flag(0, "threads that decode images; 0: all cores", low=0, once=True)

    @property
    def run_name(self):
        """`name`, or the data set, batch and size, with arch and mode where not the default."""
        if self.name:
            return self.name
        parts = [Path(self.dataset).name, self.batch_size, self.output_height, self.output_width]
        parts += [self.arch] if self.arch != "dcgan" else []
        parts += [self.mode] if self.mode != recipes.ARCHS[self.arch]["mode"] else []
        return "_".join(str(p) for p in parts)

    def to_json(self):
        """The settings that are kept with a run, as a dict."""
        return {f.name: getattr(self, f.name) for f in FIELDS.values() if not f.metadata["once"]}


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
# What a run cannot change once begun: the shapes in its checkpoint, and what they mean.
FIXED = ("arch", "mode", "optimizer", "conditional", "output_height", "output_width")


class _Parser(flags.ArgumentParser):
    """Text of one flag → value, or a ValueError that says what is allowed."""

    def __init__(self, field):
        self.meta = field.metadata
        self.field = field

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument
        if argument == "None" and self.field.default is None:
            return None
        value = self._convert(argument)
        check_value(self.field.name, value)
        return value

    def _convert(self, text):
        kind, aliases = self.meta["kind"], self.meta["aliases"]
        if kind is str:
            return aliases.get(text, text)
        try:
            return kind(text)
        except (ValueError, KeyError, OverflowError):
            raise ValueError(f"must be {_allowed(self.field)}") from None


def _allowed(field):
    """What a field takes, in words."""
    meta = field.metadata
    names = {int: "a whole number", _count: "a whole number or inf", float: "a number"}
    names |= {_widths: "a whole number, or several parted by commas", _truth: "True or False"}
    names |= {_option: "True, False or 0 to 4"}
    if meta["choices"]:
        return "one of " + ", ".join(meta["choices"])
    text = names.get(meta["kind"], "a text")
    if meta["kind"] is _option:
        return text
    text += f", at least {meta['low']}" if meta["low"] is not None else ""
    return text + (f", at most {meta['high']}" if meta["high"] is not None else "")


def check_value(name, value):
    """Raise ValueError where a value of field `name` is not one that it takes."""
    field = FIELDS[name]
    meta = field.metadata
    for one in value if isinstance(value, tuple) else (value,):
        if one is None:
            continue
        wrong = meta["choices"] and one not in meta["choices"]
        if isinstance(one, (int, float)):
            wrong = wrong or not math.isfinite(one)
            wrong = wrong or (meta["low"] is not None and one < meta["low"])
            wrong = wrong or (meta["high"] is not None and one > meta["high"])
        if wrong:
            raise ValueError(f"must be {_allowed(field)}")


def _normalise(argv):
    """`--n-critic` as `--n_critic`, and every boolean as `--name=true|false`."""
    words, out = list(argv), []
    switches = {n for n, f in FIELDS.items() if f.metadata["kind"] in (_truth, _option)}
    truth = dict.fromkeys(("true", "t", "yes", "y"), "true")
    truth |= dict.fromkeys(("false", "f", "no", "n"), "false")
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word.strip("-")[:1].isdigit() or set(word) <= {"-"}:
            out.append(word)
            continue
        name, has_value, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        plain = name[2:].lstrip("_") if name.startswith("no") else ""
        if plain in switches and name not in FIELDS and not has_value:
            name, has_value, value = plain, "=", "false"
        if name in switches:
            if not has_value:
                follows = words[0].lower() if words else ""
                known = follows in truth or (follows.isdigit() and len(follows) == 1)
                value = words.pop(0) if known else "true"
            value = truth.get(value.lower(), value)
            if FIELDS[name].metadata["kind"] is _truth:
                value = {"1": "true", "0": "false"}.get(value, value)
            out.append(f"--{name}={value}")
        elif name in FIELDS and not has_value:  # its value is the next word, even "-0.01"
            out += [f"--{name}={words.pop(0)}"] if words else [f"--{name}"]
        else:
            out.append(f"--{name}{has_value}{value}")
    return out


def parse_flags(argv):
    """The flags given on a command line.

    Args:
      argv: the program's name and its words.

    Returns:
      A dict of field → value with just the flags given; with the key `help` if asked for.

    Raises:
      WrongCall: naming the word and what is allowed.
    """
    values = flags.FlagValues()
    for field in FIELDS.values():
        flags.DEFINE(_Parser(field), field.name, None, field.metadata["help"], flag_values=values)
    words = _normalise(argv[1:])
    if {"--help", "--h", "--helpfull", "--helpshort"} & set(words):
        words = [w for w in words if not w.startswith(("--help", "--h"))]
        return {**parse_flags([argv[0], *words]), "help": True}
    try:
        left = values([argv[0], *words])[1:]
    except flags.Error as error:
        raise WrongCall(str(error).replace("\n", " ")) from None
    if left:
        raise WrongCall(f"unexpected word: {left[0]!r} (every setting is a flag: --name value)")
    return {n: values[n].value for n in FIELDS if values[n].present}


def resolve(given, saved=None):
    """The settings of a call, from the flags given and the tables.

    A flag wins over the preset, the preset over the run's own `saved` settings, those over
    the rows of the data set, the network and the mode, in this order.

    Raises:
      WrongCall: where the settings do not go together.
    """
    preset = recipes.PRESETS.get(given.get("preset"), {})
    layers = [given, preset, saved or {}]

    def take(name):
        for layer in layers:
            if layer.get(name) is not None:
                return layer[name]
        return FIELDS[name].default

    layers.append(recipes.DATASETS.get(take("dataset"), recipes.FOLDER))
    layers.append(recipes.ARCHS[take("arch")])
    layers.append(recipes.MODES[take("mode")])
    values = {name: take(name) for name in FIELDS}
    values["input_width"] = values["input_width"] or values["input_height"]
    values["output_width"] = values["output_width"] or values["output_height"]
    values["d_learning_rate"] = values["d_learning_rate"] or values["learning_rate"]
    values["cache_dir"] = values["cache_dir"] or str(Path(values["data_dir"]) / ".cache")
    config = Config(**values)
    _check_combinations(config)
    return config


def _check_combinations(c):
    if c.clip_down > c.clip_up:
        raise WrongCall(f"--clip_down={c.clip_down} must not be above --clip_up={c.clip_up}")
    if c.crop and not c.input_height:
        raise WrongCall("--crop needs --input_height: the size of the centre box that is taken")
    if c.name and (Path(c.name).name != c.name or c.name.startswith(".")):
        raise WrongCall(f"--name={c.name} must be a plain folder name")


def read_saved(path):
    """The settings kept in a run's config.json, as a dict of Config fields.

    Raises:
      WrongCall: where it cannot be read, or holds what this program does not know.
    """
    try:
        saved = json.loads(Path(path).read_text())
        del saved["data"]
        for name, value in saved.items():
            if name not in FIELDS or FIELDS[name].metadata["once"]:
                raise ValueError(f"unknown field {name!r}")
            saved[name] = tuple(value) if isinstance(value, list) else value
            try:
                check_value(name, saved[name])
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}={value!r} {error}") from None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise WrongCall(f"cannot use {path}: {error}") from None
    return saved


def identity(given):
    """Of the flags given, those that tell one run from another: for test mode to match."""
    names = ("name", "batch_size", *FIXED, "critic_norm", "z_dim", "kernel_size")
    return {n: given[n] for n in names if n in given}


def refuse_changes(config, saved):
    """Raise WrongCall where `config` would continue the run of `saved` with another network."""
    fixed = FIXED + recipes.ARCHS[saved["arch"]]["network"]
    for name in fixed:
        if getattr(config, name) != saved[name]:
            raise WrongCall(
                f"run {config.run_name} has {name}={text(saved[name])}, not "
                f"{text(getattr(config, name))}: leave that flag out, give another --name, "
                "or start anew with --resume False"
            )


def changes(config, saved):
    """(field, old, new) of what a resumed run does otherwise than before."""
    now = config.to_json()
    return [(n, saved[n], now[n]) for n in now if n in saved and saved[n] != now[n]]


def text(value):
    """A value as it is written on a command line."""
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def describe(config, names=None):
    """The settings as lines of `name value`, several to a line of at most 100 characters."""
    lines = [""]
    for name in names or config.to_json():
        item = f"{name}={text(getattr(config, name))}"
        if len(lines[-1]) + len(item) > 96:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + item
    return "\n".join(lines)


def help_text(config):
    """The page that `--help` prints, with the values that this call would take."""
    lines = [
        "Train a GAN on a folder of images or a known set, or make pictures with a trained one.",
        "",
        "  python main.py --dataset mnist --train True --mode gp   train (again: go on)",
        "  python main.py --dataset mnist                          make pictures",
        "",
        "Flags, with the values that this call takes; - and _ are the same in names:",
        "",
    ]
    for field in FIELDS.values():
        choices = field.metadata["choices"]
        note = f" ({', '.join(choices)})" if choices else ""
        value = text(getattr(config, field.name))
        lines.append(f"  --{field.name}={value}".ljust(34) + f" {field.metadata['help']}{note}")
    return "\n".join(lines)
