"""The kinds of rows that the tables have: one frozen dataclass for each table.

Code is named as "module:attribute" (see `import_object`), so that reading the tables imports no
TensorFlow. `defaults` are values of `Config` fields, which flags and presets override.
"""

import dataclasses
import importlib
from collections.abc import Mapping


def import_object(name):
    """Return the object that a row names as "module:attribute", as "losses:reals"."""
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


@dataclasses.dataclass(frozen=True)
class Mode:
    """An objective: two losses, and the settings that its paper trains with.

    Attributes:
      critic_loss, generator_loss: functions of (real scores, fake scores) in `losses.py`.
      gap: the name under which mean critic(real) - mean critic(fake) is logged.
      paired: True if the generator's loss uses the real scores.
      logits: True if scores are logits, whose probabilities are logged.
      clip: the fields of the critic's lowest and highest weight, or ().
      defaults: values of Config fields.
    """

    critic_loss: str
    generator_loss: str
    gap: str
    defaults: Mapping
    paired: bool = False
    logits: bool = False
    clip: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Penalty:
    """A penalty on the critic's gradient.

    Attributes:
      at: function of (real, fake, key) that returns the images where the gradient is taken.
      of: function of the squared gradient norms that returns the penalties.
      weights: keyword of `of` → the Config field with its value.
    """

    at: str
    of: str
    weights: Mapping


@dataclasses.dataclass(frozen=True)
class Task:
    """What the networks of an architecture are for.

    Attributes:
      does: a description for messages.
      asks: the fields of test mode that apply.
      refuses: fields that do not apply.
      settles: values of Config fields that win over the data set's.
      reader: the reader of the data, or None for the data set's.
      load, describe: functions that read the data, and that return its `ImageSpec` only.
      pictures: test mode, a function of (Config, run folder) that yields paths.
      facts: the keyword arguments of the trainer that come from the schedule and the data.
      min_batch: the smallest batch size.
    """

    does: str
    asks: tuple[str, ...]
    load: str
    describe: str
    pictures: str
    refuses: tuple[str, ...] = ()
    settles: Mapping = dataclasses.field(default_factory=dict)
    reader: str | None = None
    facts: tuple[str, ...] = ()
    min_batch: int = 2


@dataclasses.dataclass(frozen=True)
class Growth:
    """How networks grow during training.

    Attributes:
      size: the field with the height and width of the last stage, a power of two.
      batches: function that returns the batch sizes of all stages.
      batch_fields: the fields that it takes.
    """

    size: str
    batches: str
    batch_fields: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A pair of networks and their trainer.

    Attributes:
      builder: function of (ImageSpec, **network) that returns (generator, critic).
      trainer: the trainer's class.
      task: a `Task`.
      network: the Config fields that the builder takes. A run cannot change them.
      min_size, multiple_of: limits of the images' height and width.
      defaults: values of Config fields; `mode` is always among them.
      training: the fields that the trainer takes besides those that every trainer takes.
      fixed: those of `training` that a run cannot change.
      one_width: True if a width is a single number.
      stages: function that returns what is trained at a time, [(generator, critic, batch)], or
        None for the pair itself.
      growth: a `Growth`, or None.
    """

    builder: str
    trainer: str
    task: Task
    network: tuple[str, ...]
    min_size: int
    multiple_of: int
    defaults: Mapping
    training: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    one_width: bool = False
    stages: str | None = None
    growth: Growth | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
      reader: function of (path, pattern=, conditional=) that returns a `Source`.
      defaults: values of Config fields.
      test_part: the part of the set that generators are measured against, if not the training part.
    """

    reader: str
    defaults: Mapping
    test_part: str | None = None


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A Keras optimiser: its class, and Config field → keyword argument."""

    cls: str
    kwargs: Mapping


@dataclasses.dataclass(frozen=True)
class Latents:
    """A distribution of latents.

    Attributes:
      function: draws them from (key, shape).
      sweep: the lowest and highest value in test mode's sweeps.
      numpy: code that draws the same, for users of an exported generator.
    """

    function: str
    sweep: tuple[float, float]
    numpy: str


@dataclasses.dataclass(frozen=True)
class Export:
    """A format of exported generators.

    Attributes:
      suffix: the end of the file's name.
      writer: function of (network, path).
      code: the text of the program that loads the file.
      packages: packages that are not always installed.
    """

    suffix: str
    writer: str
    code: str
    packages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Strategy:
    """On what a run is trained.

    Attributes:
      cluster: True to train with the processes of TF_CONFIG, if it is set.
      devices: otherwise, all devices of the first of these kinds that exists.
    """

    cluster: bool
    devices: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Precision:
    """What networks compute in. Weights, scores and losses are always float32.

    Attributes:
      policy: Keras' dtype policy.
      scaled: True if losses are scaled before their gradients are taken, lest these underflow.
    """

    policy: str
    scaled: bool


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that images are measured through: function of a shape [H, W, C] that builds it."""

    builder: str


@dataclasses.dataclass(frozen=True)
class Measure:
    """What `--best_by` goes by."""

    higher: bool  # True if more of it is better


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named row of settings.

    Attributes:
      source: which of the five programs runs so (their faults mended), or "ours".
      settings: values of Config fields, which flags override.
    """

    source: str
    settings: Mapping
