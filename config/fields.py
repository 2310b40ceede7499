"""Every setting of a run: one `Config` field is one flag. Imports no TensorFlow."""

import dataclasses
import os
import re

from config import presets, tables, values
from config.values import allowed, fits


def _flag(
    default,
    help,
    kind=None,
    *,
    low=None,
    high=None,
    choices=None,
    aliases=None,
    saved=True,
    by_size=(),
):
    """Define one field, which is one flag.

    Args:
      kind: parses the flag's text; the type of the default unless given.
      low, high: the smallest and the largest value allowed.
      choices: the texts allowed; `aliases`: other text → one of them.
      saved: False for what concerns a single call, and is not saved with the run.
      by_size: defaults by the image's smaller side, as (smallest side, value), largest first.
    """
    kind = values.truth if bool in (kind, type(default)) else kind or type(default)
    whole = kind in (int, values.count, values.widths, values.seeds)
    high = 2**31 - 1 if high is None and whole else high  # 32 bits
    meta = {"help": help, "kind": kind, "low": low, "high": high}
    meta |= {"choices": choices, "aliases": aliases or {}, "saved": saved, "by_size": by_size}
    return dataclasses.field(default=default, metadata=meta)


LARGE = 65_536  # more images or channels than any machine holds at once
BIASES = ("all", "unnormed", "none")
NORMS = ("none", "layer", "instance", "batch", "spectral")


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one call. A default of None comes from `tables.py`."""

    dataset: str = _flag(
        "mnist", "mnist, digits, cifar10, lsun, a folder or .zip under data_dir, or a path (--zip)"
    )
    data_dir: str = _flag("data", "where the data sets are", saved=False)
    cache_dir: str = _flag(None, "packed images; None: data_dir/.cache", str, saved=False)
    input_fname_pattern: str = _flag("*", "glob of the image files to take, as *.jpg")
    train_size: int = _flag(0, "images to train on; inf or 0: all", values.count, low=0)
    input_height: int = _flag(None, "height of the centre box that --crop takes", int, low=1)
    input_width: int = _flag(None, "its width; None: as input_height", int, low=1)
    output_height: int = _flag(None, "height of the images made", int, low=8, high=1024)
    output_width: int = _flag(None, "their width; None: as output_height", int, low=8, high=1024)
    crop: bool = _flag(False, "take the centre box of the input size, then resize")
    mirror: bool = _flag(None, "flip images left-right at random", bool)
    conditional: bool = _flag(None, "give both networks the labels", bool)

    train: bool = _flag(False, "train; without it, test: make pictures", saved=False)
    epoch: int = _flag(25, "epochs of floor(images / batch_size) generator updates", low=1)
    max_steps: int = _flag(
        0, "stop at this count of generator updates; 0: none", saved=False, low=0
    )
    max_minutes: float = _flag(0.0, "stop after so many minutes; 0: none", saved=False, low=0)
    batch_size: int = _flag(64, "images of a step; in test mode, of a sheet", low=1, high=LARGE)

    mode: str = _flag(None, "objective", str, choices=tables.MODES, aliases=tables.MODE_ALIASES)
    arch: str = _flag("dcgan", "pair of networks", choices=tables.ARCHS)
    list_presets: bool = _flag(False, "print the presets and end", saved=False)
    preset: str = _flag(None, "a named row of settings", str, choices=presets.PRESETS, saved=False)
    optimizer: str = _flag(None, "of both networks", str, choices=tables.OPTIMIZERS)
    learning_rate: float = _flag(None, "of the generator", float, low=0)
    d_learning_rate: float = _flag(None, "of the critic; None: as learning_rate", float, low=0)
    beta1: float = _flag(0.5, "Adam's decay of the mean", float, low=0, high=0.999999)
    beta2: float = _flag(0.999, "Adam's decay of the square", float, low=0, high=0.999999)
    rho: float = _flag(0.9, "RMSprop's decay of the square", float, low=0, high=0.999999)
    epsilon: float = _flag(
        1e-8, "against division by 0: Adam's, or under RMSprop's root", float, low=0
    )
    momentum: float = _flag(0.0, "of RMSprop and SGD", float, low=0, high=0.999999)
    critic_num: int = _flag(None, "critic updates to one generator update", int, low=1, high=1000)
    critic_bursts: bool = _flag(
        False, "25 critic updates in an epoch's first ten steps and every 200th"
    )
    clip_up: float = _flag(0.01, "regular mode: the critic's largest weight")
    clip_down: float = _flag(-0.01, "regular mode: the critic's smallest weight")
    LAMBDA: float = _flag(10.0, "weight of the penalty of gp, dragan and r1", low=0)
    div_k: float = _flag(2.0, "weight of div's penalty", low=0)
    div_p: float = _flag(6.0, "power of div's penalty", low=1)
    penalty: str = _flag(
        None, "of the critic's gradient; None: the mode's own", str, choices=tables.PENALTIES
    )
    penalty_every: int = _flag(1, "penalise at every k-th critic update, k-fold", low=1)
    penalty_fraction: float = _flag(1.0, "share of the batch that is penalised", low=0.01, high=1)
    drift: float = _flag(0.0, "weight of the real scores' squares in the critic's loss", low=0)

    z_dim: int = _flag(None, "length of a latent", int, low=1, high=LARGE)
    z_distribution: str = _flag(None, "uniform in [-1, 1), or normal", str, choices=tables.LATENTS)
    g_width: tuple = _flag(
        None,
        "channels at the image, doubled inwards, or a list: 256,128,64",
        values.widths,
        low=1,
        high=LARGE,
    )
    d_width: tuple = _flag(
        None,
        "channels at the image, doubled inwards, or a list: 64,128,256",
        values.widths,
        low=1,
        high=LARGE,
    )
    fc_width: int = _flag(
        None, "units of a hidden dense layer; 0: no such layer", int, low=0, high=LARGE
    )
    kernel_size: int = _flag(None, "of the convolutions", int, low=2, high=15)
    bias: str = _flag(
        "unnormed", "biases in all layers, those without a norm, or none", choices=BIASES
    )
    g_norm: str = _flag("batch", "normalisation in the generator", choices=("none", "batch"))
    g_head: str = _flag(
        "tanh", "lenet's last layers: the seed's, or tanh", choices=("orig", "tanh")
    )
    label_mode: str = _flag("projection", "how labels enter", choices=("concat", "projection"))
    critic_norm: str = _flag(
        None,
        "normalisation in the critic: of its maps, or spectral of its weights",
        str,
        choices=NORMS,
    )
    on_nan: str = _flag(
        "stop",
        "after a step that is not finite: stop, or once go back a checkpoint, at half rates",
        choices=("stop", "rollback"),
    )
    max_res: int = _flag(128, "pggan: height and width of the images made", low=8, high=1024)
    fmap_base: int = _flag(
        8192, "pggan: channels at size r are fmap_base / (r / 2) ...", low=1, high=2**24
    )
    fmap_max: int = _flag(512, "... and at most these", low=1, high=LARGE)
    fade_kimg: float = _flag(800.0, "pggan: thousand images that a stage fades in over", low=0)
    stable_kimg: float = _flag(800.0, "pggan: ... and trains on after that", low=0)
    batch_dict: str = _flag(
        "256:14,512:6,1024:3", "pggan: batches by image size; batch_size where none", values.batches
    )
    n_residual_blocks: int = _flag(
        None,
        "cyclegan: residual blocks of a generator; None: 9 from 256 pixels on, else 6",
        int,
        low=1,
        by_size=((256, 9), (0, 6)),
    )
    upsample: str = _flag(
        "deconv",
        "cyclegan: what doubles the size: transposed convolutions, or nearest and convolution",
        choices=("deconv", "nearest"),
    )
    patch: str = _flag(
        "70",
        "cyclegan: a score for each 70x70 pixels, or for each 16th of the sides as the seed's",
        choices=("70", "16"),
    )
    lambda_cycle: float = _flag(
        10.0, "cyclegan: weight of the L1 distance of images from themselves there and back", low=0
    )
    lambda_identity: float = _flag(
        0.0, "cyclegan: weight of the L1 distance that images of the target are moved by", low=0
    )
    pool_size: int = _flag(
        50, "cyclegan: older fakes that a critic is shown for half of the new", low=0, high=LARGE
    )
    decay_epoch: int = _flag(
        None, "cyclegan: epoch from which the rates fall to 0; None: half of epoch", int, low=0
    )
    ema: float = _flag(0.999, "decay of the averaged generator; 0: none", low=0, high=0.999999)
    seed: int = _flag(0, "of everything random", low=0)

    log_every: int = _flag(50, "generator updates between two log lines", low=1)
    sample_every: int = _flag(200, "... of them between two sample grids", low=1)
    save_every: int = _flag(500, "... of them between two checkpoints", low=1)
    eval_every: int = _flag(0, "... of them between two evaluations; 0: none", low=0)
    eval_samples: int = _flag(10000, "samples, and real images, of an evaluation", low=100)
    extractor: str = _flag(
        None, "network that measures: mnist-cnn, random-cnn, inception-v3, or a .keras file", str
    )
    best_by: str = _flag("fid", "measure of the best checkpoint", choices=tables.MEASURES)
    checkpoint_dir: str = _flag("checkpoint", "where the runs are kept", saved=False)
    sample_dir: str = _flag("samples", "where pictures are written", saved=False)
    log_dir: str = _flag("logs", "where TensorBoard's events are written", saved=False)
    name: str = _flag(None, "the run; None: made of its settings", str, saved=False)
    resume: bool = _flag(True, "go on with the run of that name", saved=False)
    evaluate: bool = _flag(False, "measure a trained generator", saved=False)
    export: tuple = _flag(
        None, "formats to write to export/RUN", values.names, choices=tables.EXPORTS, saved=False
    )
    num_samples: int = _flag(0, "test mode: so many separate images", low=0, saved=False)
    seeds: tuple = _flag(
        None,
        "test mode: single images of these seeds, as 0-31 or 3,7",
        values.seeds,
        saved=False,
        low=0,
    )
    label: int = _flag(None, "test mode: images of this class alone", int, low=0, saved=False)
    compare: tuple = _flag(
        None,
        "modes to train one after the other and set side by side, as regular,gp",
        values.names,
        choices=tables.MODES,
        saved=False,
    )
    interpolate: int = _flag(
        0,
        "test mode: frames from one latent to the next of a film; 0: none",
        low=0,
        high=1000,
        saved=False,
    )
    visualize: int = _flag(None, "test mode: True, 1..4 or 0: sweeps", values.option, saved=False)
    translate: str = _flag(
        None,
        "test mode: which way cyclegan takes the images of --input",
        str,
        choices=("A2B", "B2A"),
        saved=False,
    )
    input: str = _flag(None, "the image, or the folder, to translate", str, saved=False)
    output: str = _flag(None, "the folder for what is translated", str, saved=False)
    dry_run: bool = _flag(False, "print settings, parameters and memory, and end", saved=False)
    init_from: str = _flag(
        None, "a new run starts from the networks of this run, or folder", str, saved=False
    )
    device: str = _flag("auto", "auto, cpu, gpu, or one: gpu:1", saved=False)
    strategy: str = _flag("auto", "devices to train on", choices=tables.STRATEGIES, saved=False)
    precision: str = _flag("float32", "what networks compute in", choices=tables.PRECISIONS)
    jit: bool = _flag(False, "compile the train step by XLA: for GPUs")
    num_workers: int = _flag(
        0, "threads that decode images; 0: all cores", low=0, high=1024, saved=False
    )

    @property
    def run_name(self):
        """`name`, or the data set, batch and size, with arch and mode where not the default."""
        if self.name:
            return self.name
        dataset = os.path.basename(os.path.abspath(self.dataset))  # a path may be "." or end in "/"
        dataset = re.sub(r"(?<=.)\.zip$", "", dataset, flags=re.IGNORECASE)
        own = tables.MODES[self.mode].defaults
        parts = [dataset, self.batch_size, self.output_height, self.output_width]
        parts += [self.arch] if self.arch != FIELDS["arch"].default else []
        parts += [self.mode] if self.mode != tables.ARCHS[self.arch].defaults["mode"] else []
        parts += [self.penalty] if self.penalty != own["penalty"] else []
        return "_".join(str(p) for p in parts)

    def to_json(self):
        """The settings that are kept with a run, as a dict."""
        return {f.name: getattr(self, f.name) for f in FIELDS.values() if f.metadata["saved"]}


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
# What a run cannot change once begun: the shapes in its checkpoint, and what they mean.
FIXED = ("arch", "mode", "optimizer", "conditional", "z_distribution")
FIXED += ("output_height", "output_width")
APART = ("evaluate", "export", "translate")  # a call has one of these at most, or trains
PICTURES = ("num_samples", "seeds", "label", "interpolate", "visualize")  # of test mode
FOLLOWS = {  # where None, a field is as another
    "input_width": "input_height",
    "output_width": "output_height",
    "d_learning_rate": "learning_rate",
}


def asked(c, name):
    """Does a flag ask for anything: has it another value than none at all?"""
    return getattr(c, name) is not False and getattr(c, name) not in (None, FIELDS[name].default)


def is_switch(field):
    """May a flag stand alone, meaning True?"""
    return field.metadata["kind"] in (values.truth, values.option)


def check_value(name, value):
    """Raise ValueError where a value of field `name` is not one that it takes."""
    field = FIELDS[name]
    if value is None and field.default is None:
        return
    several = isinstance(value, tuple)
    parts = value if several else (value,)
    if several != (field.type is tuple) or not parts or not all(fits(field, p) for p in parts):
        raise ValueError(f"must be {allowed(field)}")


def text(value):
    """A value as it is written on a command line."""
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def _check_tables():
    """Check that the tables name fields, with values that these take. Runs at import."""
    rows = {"FOLDER": tables.FOLDER.defaults}
    for table in (tables.MODES, tables.ARCHS, tables.DATASETS):
        rows |= {name: row.defaults for name, row in table.items()}
    rows |= {name: row.settings for name, row in presets.PRESETS.items()}
    for name, row in rows.items():
        for field, value in row.items():
            if field not in FIELDS:
                raise TypeError(f"the row {name} has the key {field!r}, which is no Config field")
            check_value(field, value)
    named = {n for row in tables.ARCHS.values() for n in (*row.network, *row.training)}
    named |= {n for row in tables.MODES.values() for n in row.clip}
    named |= {n for row in tables.PENALTIES.values() for part in row for n in part.weights.values()}
    if unknown := named - set(FIELDS):
        raise TypeError(f"the tables name {sorted(unknown)}, which are no Config fields")


_check_tables()
