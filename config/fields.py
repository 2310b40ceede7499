"""The settings: each `Config` field is one flag. Imports no TensorFlow."""

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
    """Define a dataclass field that is also a flag.

    Args:
      default: default value. None if the tables have the default.
      help: text for `--help`: what the flag sets, its unit, its special values.
      kind: function that parses the flag's text. By default, the type of `default`.
      low, high: smallest and largest allowed value.
      choices: allowed texts, or None for any.
      aliases: dict of alternative text → choice.
      saved: False for a setting of a single call, which is not saved with the run.
      by_size: defaults for images of a minimum size, as pairs (pixels of the smaller side, value),
        the largest size first.

    Returns:
      A `dataclasses.Field`.
    """
    kind = values.truth if bool in (kind, type(default)) else kind or type(default)
    whole = kind in (int, values.count, values.widths, values.seeds)
    high = 2**31 - 1 if high is None and whole else high  # int32
    metadata = {"help": help, "kind": kind, "low": low, "high": high, "by_size": by_size}
    metadata |= {"choices": choices, "aliases": aliases or {}, "saved": saved}
    return dataclasses.field(default=default, metadata=metadata)


LARGE = 65_536  # limit of batch sizes and widths; a larger one fits in no machine's memory
BIASES = ("all", "unnormed", "none")
NORMS = ("none", "layer", "instance", "batch", "spectral")


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one call. A default of None is replaced by a value from `tables.py`."""

    dataset: str = _flag(
        "mnist",
        "mnist, fashion_mnist, digits, cifar10, lsun, a folder or a .zip, .npy or .npz file in"
        " data_dir, or a path; --zip is the same flag",
    )
    data_dir: str = _flag("data", "folder of the data sets", saved=False)
    cache_dir: str = _flag(
        None, "folder of the packed images; None: data_dir/.cache", str, saved=False
    )
    input_fname_pattern: str = _flag("*", "glob of the image files to read, for example *.jpg")
    train_size: int = _flag(
        0, "number of training images to use; 0 or inf: all", values.count, low=0
    )
    holdout: int = _flag(
        None,
        "number of images to hold out of training and to measure against; 0: none; None: a tenth,"
        f" at most {tables.MAX_HOLDOUT:,}, of data sets of {tables.HOLDOUT_FROM:,} images or more"
        " without test images",
        int,
        low=0,
    )
    input_height: int = _flag(None, "height in pixels of the centre box of --crop", int, low=1)
    input_width: int = _flag(
        None, "width in pixels of the centre box of --crop; None: input_height", int, low=1
    )
    output_height: int = _flag(
        None, "height in pixels of the generated images", int, low=8, high=1024
    )
    output_width: int = _flag(
        None, "width in pixels of the generated images; None: output_height", int, low=8, high=1024
    )
    crop: bool = _flag(
        False, "crop images to a centre box of input_height x input_width before they are resized"
    )
    background: str = _flag(
        "white", "colour behind transparent pixels, a name or #rrggbb", values.colour
    )
    mirror: bool = _flag(
        None,
        "mirror training images left-right at random; None: True for colour images of a folder",
        bool,
    )
    conditional: bool = _flag(None, "give the class labels to both networks", bool)

    train: bool = _flag(
        False,
        "train; without it, test mode: make pictures with a trained generator",
        saved=False,
    )
    epoch: int = _flag(
        None,
        "number of epochs; one epoch is floor(images / batch_size) generator updates; None:"
        f" {tables.DEFAULT_EPOCHS} epochs or {tables.DEFAULT_UPDATES:,} updates, whichever is more;"
        " no limit with --max_steps or --max_minutes",
        int,
        low=1,
    )
    max_steps: int = _flag(
        0, "stop when the run has this many generator updates; 0: no limit", saved=False, low=0
    )
    max_minutes: float = _flag(0.0, "stop after this many minutes; 0: no limit", saved=False, low=0)
    batch_size: int = _flag(
        64, "images in a training batch; in test mode, images in a sheet", low=1, high=LARGE
    )

    mode: str = _flag(
        None,
        "adversarial losses, with their default settings",
        str,
        choices=tables.MODES,
        aliases=tables.MODE_ALIASES,
    )
    arch: str = _flag(
        "dcgan",
        "architecture of the generator and the critic; a new run of few images has another one if "
        "it suits the size, and no mode, width or other setting of dcgan's networks is given",
        choices=tables.ARCHS,
    )
    list: bool = _flag(False, "print the runs, and those that ship, and exit", saved=False)
    list_presets: bool = _flag(False, "print the presets and exit", saved=False)
    preset: str = _flag(
        None,
        "named set of settings; other flags override it",
        str,
        choices=presets.PRESETS,
        saved=False,
    )
    optimizer: str = _flag(None, "optimizer of both networks", str, choices=tables.OPTIMIZERS)
    learning_rate: float = _flag(None, "learning rate of the generator", float, low=0)
    d_learning_rate: float = _flag(
        None, "learning rate of the critic; None: learning_rate", float, low=0
    )
    beta1: float = _flag(
        0.5, "Adam: decay rate of the mean of the gradients", float, low=0, high=0.999999
    )
    beta2: float = _flag(
        0.999, "Adam: decay rate of the mean of the squared gradients", float, low=0, high=0.999999
    )
    rho: float = _flag(
        0.9, "RMSprop: decay rate of the mean of the squared gradients", float, low=0, high=0.999999
    )
    epsilon: float = _flag(
        1e-8,
        "constant that avoids division by 0; Adam adds it after the square root, RMSprop before",
        float,
        low=0,
    )
    momentum: float = _flag(0.0, "momentum of RMSprop and SGD", float, low=0, high=0.999999)
    critic_num: int = _flag(None, "critic updates per generator update", int, low=1, high=1000)
    critic_bursts: bool = _flag(
        False,
        "make 25 critic updates in the first ten steps and in every 200th step of each epoch",
    )
    clip_up: float = _flag(0.01, "mode regular: upper bound of the critic's weights")
    clip_down: float = _flag(-0.01, "mode regular: lower bound of the critic's weights")
    LAMBDA: float = _flag(10.0, "gradient penalty weight; penalty div uses div_k instead", low=0)
    div_k: float = _flag(2.0, "penalty div: gradient penalty weight", low=0)
    div_p: float = _flag(6.0, "penalty div: power of the gradient norm", low=1)
    penalty: str = _flag(
        None,
        "gradient penalty of the critic, with the weights of the mode; None: the mode's own",
        str,
        choices=tables.PENALTIES,
    )
    penalty_every: int = _flag(
        1,
        "penalise every k-th critic update, at k times the weight (lazy regularisation)",
        low=1,
    )
    penalty_fraction: float = _flag(
        1.0, "fraction of each batch that is penalised", low=0.01, high=1
    )
    drift: float = _flag(
        0.0, "weight of the mean squared real score in the critic's loss; 0: none", low=0
    )

    z_dim: int = _flag(None, "length of a latent vector", int, low=1, high=LARGE)
    z_distribution: str = _flag(
        None,
        "distribution of the latents; uniform: from -1 to 1; normal: mean 0, variance 1",
        str,
        choices=tables.LATENTS,
    )
    g_width: tuple = _flag(
        None,
        "channels of the generator next to the image, doubled at each smaller size;"
        " or the channels of all layers, for example 256,128,64",
        values.widths,
        low=1,
        high=LARGE,
    )
    d_width: tuple = _flag(
        None,
        "channels of the critic next to the image, doubled at each smaller size;"
        " or the channels of all layers, for example 64,128,256",
        values.widths,
        low=1,
        high=LARGE,
    )
    fc_width: int = _flag(
        None,
        "dcgan: units of a hidden dense layer in each network; 0: no such layer",
        int,
        low=0,
        high=LARGE,
    )
    kernel_size: int = _flag(
        None, "dcgan: height and width of the convolution kernels", int, low=2, high=15
    )
    bias: str = _flag(
        "unnormed",
        "dcgan: layers that have a bias; unnormed: the layers without a norm",
        choices=BIASES,
    )
    g_norm: str = _flag("batch", "normalisation in the generator", choices=("none", "batch"))
    blocks: str = _flag(
        "paper",
        "sngan: form of the residual networks; mimicry: that of kwotsin/mimicry's WGAN-GP, with"
        " bilinear upsampling and the mean of the critic's last features",
        choices=("paper", "mimicry"),
    )
    g_head: str = _flag(
        "tanh",
        "lenet: end of the generator; orig: batch norm and leaky ReLU before the tanh",
        choices=("orig", "tanh"),
    )
    label_mode: str = _flag(
        "projection",
        "how labels enter the networks; concat: appended to the inputs of layers;"
        " projection: inner product with the critic's last features",
        choices=("concat", "projection"),
    )
    critic_norm: str = _flag(
        None,
        "normalisation in the critic; spectral normalises the weights, the others the features",
        str,
        choices=NORMS,
    )
    on_nan: str = _flag(
        "stop",
        "reaction to a non-finite step; rollback: once per call, return to the last checkpoint"
        " and halve the learning rates",
        choices=("stop", "rollback"),
    )
    max_res: int = _flag(
        128, "pggan: final height and width in pixels, a power of two", low=8, high=1024
    )
    fmap_base: int = _flag(
        8192,
        "pggan: layers at size r have fmap_base / (r / 2) channels, at most fmap_max",
        low=1,
        high=2**24,
    )
    fmap_max: int = _flag(512, "pggan: maximum number of channels", low=1, high=LARGE)
    fade_kimg: float = _flag(800.0, "pggan: thousands of images over which a stage fades in", low=0)
    stable_kimg: float = _flag(
        800.0, "pggan: thousands of images that a stage trains on after its fade", low=0
    )
    final_kimg: float = _flag(
        None,
        "pggan: thousands of images that the last stage trains on after its fade;"
        " None: stable_kimg",
        float,
        low=0,
    )
    batch_dict: str = _flag(
        "256:14,512:6,1024:3",
        "pggan: batch sizes as size:batch pairs; other sizes use batch_size",
        values.batches,
    )
    n_residual_blocks: int = _flag(
        None,
        "cyclegan: residual blocks of a generator; None: 9 for at least 256 pixels, else 6",
        int,
        low=1,
        by_size=((256, 9), (0, 6)),
    )
    upsample: str = _flag(
        "deconv",
        "cyclegan: upsampling in the generators; deconv: transposed convolution;"
        " nearest: nearest-neighbour, then convolution",
        choices=("deconv", "nearest"),
    )
    patch: str = _flag(
        "70",
        "cyclegan: patches that a critic scores; 70: 70x70 pixels; 16: one score per 16x16 pixels",
        choices=("70", "16"),
    )
    lambda_cycle: float = _flag(10.0, "cyclegan: weight of the L1 cycle-consistency loss", low=0)
    lambda_identity: float = _flag(
        0.0, "cyclegan: weight of the L1 identity loss; 0: no such loss", low=0
    )
    lambda_reconstruction: float = _flag(
        1.0,
        "fastgan: weight of the L1 loss by which the critic reconstructs real images; 0: no such"
        " loss",
        low=0,
    )
    pool_size: int = _flag(
        50,
        "cyclegan: number of earlier fakes that are kept to train a critic; 0: none",
        low=0,
        high=LARGE,
    )
    decay_epoch: int = _flag(
        None,
        "cyclegan: epoch at which the learning rates begin to fall linearly to 0; None: epoch / 2",
        int,
        low=0,
    )
    decay_steps: int = _flag(
        0,
        "generator updates over which the learning rates fall linearly to 0; 0: they stay; not for"
        " pggan and cyclegan",
        low=0,
    )
    decay_after: int = _flag(
        0,
        "generator updates after which the learning rates are divided by sqrt(step / decay_after);"
        " 0: they stay, as by default if --learning_rate is given; not for pggan and cyclegan",
        low=0,
    )
    augment: tuple = _flag(
        None,
        "random changes of all images that the critic sees; ada adapts their probability to the"
        f" critic; None: on for fewer than {tables.FEW_IMAGES:,} colour training images of a"
        " folder, else none",
        values.names,
        choices=("none", *tables.AUGMENTATIONS),
    )
    augment_p: float = _flag(
        None,
        "probability of each augmentation; ada adapts it from 0 on; None: 1 with --augment",
        float,
        low=0,
        high=1,
    )
    ema: float = _flag(
        0.999,
        "decay of the exponential moving average (EMA) of the generator; 0: no average",
        low=0,
        high=0.999999,
    )
    seed: int = _flag(0, "seed of all random numbers", low=0)

    log_every: int = _flag(
        50, "generator updates between two log lines; after 30 seconds at the latest", low=1
    )
    sample_every: int = _flag(
        200, "generator updates between two sample grids; after 2 minutes at the latest", low=1
    )
    save_every: int = _flag(
        500, "generator updates between two checkpoints; after 5 minutes at the latest", low=1
    )
    eval_every: int = _flag(0, "generator updates between two evaluations; 0: none", low=0)
    eval_samples: int = _flag(
        10000,
        "number of samples in an evaluation, and maximum number of real images; without held-out"
        " images, no more samples than real images",
        low=100,
    )
    eval_reals: str = _flag(
        "unseen",
        "real images to measure against: unseen (test or held-out images, if there are any) or"
        " train, as most papers do",
        choices=("unseen", "train"),
    )
    extractor: str = _flag(
        None,
        "network that extracts features for evaluation: mnist-cnn, random-cnn, inception-v3,"
        " inception-2015, or the path of a .keras file",
        str,
    )
    extractor_weights: str = _flag(
        None,
        "file of the weights of inception-2015: pytorch-fid's .pth or TensorFlow's frozen graph;"
        " None: it is downloaded",
        str,
        saved=False,
    )
    best_by: str = _flag("fid", "measure that selects the best checkpoint", choices=tables.MEASURES)
    patience: float = _flag(
        0.0,
        "stop when the measure of best_by has not improved for this fraction of the updates so far,"
        " nor in 3 evaluations, for example 0.33; 0: never",
        saved=False,
        low=0,
        high=0.999999,
    )
    checkpoint_dir: str = _flag("checkpoint", "folder of the runs", saved=False)
    sample_dir: str = _flag("samples", "folder for pictures", saved=False)
    log_dir: str = _flag("logs", "folder for TensorBoard's event files", saved=False)
    track: tuple = _flag(
        None,
        "trackers that a training also gives its log, sheets, settings and page to, beside"
        " TensorBoard; one or both, for example wandb,mlflow",
        values.names,
        choices=tables.TRACKERS,
        saved=False,
    )
    name: str = _flag(None, "name of the run; None: made from its settings", str, saved=False)
    resume: bool = _flag(
        True, "resume the run if it has a checkpoint; False: replace it by a new run", saved=False
    )
    evaluate: bool = _flag(False, "measure the quality of a trained generator", saved=False)
    export: tuple = _flag(
        None,
        "formats in which to write a trained generator to export/RUN",
        values.names,
        choices=tables.EXPORTS,
        saved=False,
    )
    num_samples: int = _flag(0, "test mode: number of single images to write", low=0, saved=False)
    dump_reals: int = _flag(
        0,
        "number of real images to write, of those that --evaluate compares with; with num_samples,"
        " its samples, too",
        low=0,
        saved=False,
    )
    seeds: tuple = _flag(
        None,
        "test mode: seeds of single images to write, for example 0-31 or 3,7",
        values.seeds,
        saved=False,
        low=0,
    )
    latents: str = _flag(
        None,
        "test mode: .npy file of latents [N, z_dim] to use as --seeds: single images, and the stops"
        " of a film",
        str,
        saved=False,
    )
    project: str = _flag(
        None,
        "test mode: photo, or folder of photos, to find the latents of: those whose images are"
        " nearest",
        str,
        saved=False,
    )
    label: str = _flag(
        None,
        "test mode: class of all images, by its name or number; None: every class in turn",
        str,
        saved=False,
    )
    truncation: float = _flag(
        None,
        "test mode, --evaluate, card of --export: normal latents beyond this value are drawn again,"
        " uniform latents are multiplied by it; None: all latents as in training",
        float,
        low=0.01,
        saved=False,
    )
    compare: tuple = _flag(
        None,
        "modes to train one after the other and compare on a page, for example regular,gp",
        values.names,
        choices=tables.MODES,
        saved=False,
    )
    interpolate: int = _flag(
        0,
        "test mode: number of film frames from one latent to the next; 0: no film",
        low=0,
        high=1000,
        saved=False,
    )
    mix: str = _flag(
        None,
        "test mode: seeds of the rows and the columns of a grid of the images between them, for"
        " example 0-7:8-15; with classes also a sheet of these latents in each class",
        values.mix,
        saved=False,
    )
    visualize: int = _flag(
        None,
        "test mode; 0: a sheet of new latents; 1: a sheet for each latent dimension; 2: GIFs of"
        " random dimensions; 3: a GIF for each dimension; 4: as 3, and a merged GIF; 5 or True: a"
        " sheet and GIFs of one image, for the 10 dimensions that change it most",
        values.option,
        saved=False,
    )
    directions: int = _flag(
        0,
        "test mode: number of directions in the latents, those that change images most, to show in"
        " a sheet and in films; 0: none",
        low=0,
        high=512,
        saved=False,
    )
    move: str = _flag(
        None,
        "test mode: directions, by number or name, and how far all latents are moved along them,"
        " for example 2=1.5,smile=-1",
        values.moves,
        saved=False,
    )
    translate: str = _flag(
        None,
        "test mode of cyclegan: direction in which to translate --input",
        str,
        choices=("A2B", "B2A"),
        saved=False,
    )
    input: str = _flag(
        None, "test mode of cyclegan: image or folder to translate", str, saved=False
    )
    output: str = _flag(
        None, "test mode of cyclegan: folder for the translated images", str, saved=False
    )
    serve: bool = _flag(
        False, "open a page to play with a trained generator, in a browser", saved=False
    )
    host: str = _flag(
        "127.0.0.1",
        "--serve: address to listen on; by default only this computer reaches the page",
        saved=False,
    )
    port: int = _flag(
        8000,
        "--serve: port to listen on, or one of the next 19 if the default is taken; 0: any that is"
        " free",
        low=0,
        high=65_535,
        saved=False,
    )
    dry_run: bool = _flag(
        False,
        "print the settings, the parameter counts, the memory and the time, and exit",
        saved=False,
    )
    init_from: str = _flag(
        None,
        "run, or folder, whose networks a new run starts from; its settings hold unless given",
        str,
        saved=False,
    )
    freeze_critic: int = _flag(
        0,
        "with --init_from: number of the critic's layers, nearest to the image, that are not"
        " trained (FreezeD); 0: none",
        low=0,
        high=1000,
    )
    device: str = _flag(
        "auto", "auto (all GPUs, or else the CPU), cpu, gpu, or one GPU such as gpu:1", saved=False
    )
    strategy: str = _flag(
        "auto",
        "distribution of the training; auto: over all GPUs, and over the workers of TF_CONFIG",
        choices=tables.STRATEGIES,
        saved=False,
    )
    precision: str = _flag(
        None,
        "dtype of the networks' computations; None: bfloat16 on a CPU that has instructions for it,"
        " else float32",
        str,
        choices=tables.PRECISIONS,
    )
    jit: bool = _flag(
        None,
        "compile the train step with XLA, for GPUs; None: by the device, which is False on each",
        bool,
    )
    num_workers: int = _flag(
        0,
        "number of threads that decode images; 0: one per CPU core",
        low=0,
        high=1024,
        saved=False,
    )

    @property
    def run_name(self):
        """Name of the run's folder: `name`, or text made from the settings.

        The text has the data set, the batch size, the height and the width. The architecture, the
        mode and the penalty follow if they are not the defaults.
        """
        if self.name:
            return self.name
        # The path may be "." or end in "/".
        dataset = os.path.basename(os.path.abspath(self.dataset))
        dataset = re.sub(r"(?<=.)\.(zip|npy|npz)$", "", dataset, flags=re.IGNORECASE)
        defaults = tables.MODES[self.mode].defaults
        parts = [dataset, self.batch_size, self.output_height, self.output_width]
        parts += [self.arch] if self.arch != FIELDS["arch"].default else []
        parts += [self.mode] if self.mode != tables.ARCHS[self.arch].defaults["mode"] else []
        # A penalty may have the name of a mode.
        parts += [f"penalty_{self.penalty}"] if self.penalty != defaults["penalty"] else []
        return "_".join(str(p) for p in parts)

    def to_json(self):
        """Return a dict of the settings that are saved with a run."""
        return {f.name: getattr(self, f.name) for f in FIELDS.values() if f.metadata["saved"]}


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
# A resumed run cannot change these: they decide the shapes and the meaning of its checkpoint.
FIXED = ("arch", "mode", "optimizer", "conditional", "z_distribution")
FIXED += ("output_height", "output_width")
# A call has at most one of these, and none of them with --train or --compare.
COMMAND_FLAGS = ("list", "evaluate", "dump_reals", "export", "translate", "serve")
TEST_MODE = (
    "num_samples",
    "seeds",
    "latents",
    "project",
    "label",
    "truncation",
    "interpolate",
    "mix",
    "visualize",
    "directions",
    "move",
)  # fields of test mode
SAME_AS = {  # field → the field whose value it takes if it is None
    "input_width": "input_height",
    "output_width": "output_height",
    "d_learning_rate": "learning_rate",
}


def is_set(c, name):
    """Return whether field `name` of a Config has a value other than None, False or its default."""
    return getattr(c, name) is not False and getattr(c, name) not in (None, FIELDS[name].default)


def is_switch(field):
    """Return whether a flag may be given without a value, which means True."""
    return field.metadata["kind"] in (values.truth, values.option)


def check_value(name, value):
    """Check the type, the choices and the limits of a field's value.

    Raises:
      ValueError: if field `name` does not allow the value. The message says what it allows.
    """
    field = FIELDS[name]
    if value is None and field.default is None:
        return
    is_tuple = isinstance(value, tuple)
    items = value if is_tuple else (value,)
    if is_tuple != (field.type is tuple) or not items or not all(fits(field, x) for x in items):
        raise ValueError(f"must be {allowed(field)}")


def text(value):
    """Return a value as text for a command line."""
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def _check_tables():
    """Check that the tables name existing fields with allowed values. Runs at import.

    Raises:
      TypeError: if a table names an unknown field.
      ValueError: if a table has a value that its field does not allow.
    """
    datasets = {"FOLDER": tables.FOLDER, **tables.DATASETS}
    rows = [
        (n, row.defaults) for t in (tables.MODES, tables.ARCHS, datasets) for n, row in t.items()
    ]
    rows += [(n, part) for n, row in datasets.items() for part in (row.colour, row.few_colour)]
    for name, row in tables.ARCHS.items():
        rows += [(name, part) for part in (*row.in_folder.values(), *row.few_colour.values())]
    rows += [(name, row.settings) for name, row in presets.PRESETS.items()]
    for name, row in rows:
        for field, value in row.items():
            if field not in FIELDS:
                raise TypeError(
                    f"the row {name} has the key {field!r}, which is not a Config field"
                )
            check_value(field, value)
    named = {n for row in tables.ARCHS.values() for n in (*row.network, *row.training)}
    named |= {n for row in tables.MODES.values() for n in row.clip}
    penalties = (penalty for row in tables.PENALTIES.values() for penalty in row)
    named |= {n for penalty in penalties for n in penalty.weights.values()}
    if unknown := named - set(FIELDS):
        raise TypeError(f"the tables name {sorted(unknown)}, which are not Config fields")


_check_tables()
