"""The rows of the tables: one frozen dataclass for each table.

Rows name code as text "module:attribute" (see `import_object`), so that the tables import no
TensorFlow. `defaults` are values of `Config` fields, which flags and presets override.
"""

import dataclasses
import importlib
from collections.abc import Mapping


def import_object(name):
    """Return the object that a row names as "module:attribute", for example "losses:reals"."""
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


@dataclasses.dataclass(frozen=True)
class Mode:
    """An objective: two losses, and the default settings to train with them.

    Attributes:
      critic_loss, generator_loss: functions of (real scores, fake scores) in `losses.py`.
      gap: the name under which mean critic(real) - mean critic(fake) is logged.
      paired: True if the generator's loss uses the real scores.
      logits: True if scores are logits. Their probabilities are logged.
      neutral: the score of an image that is as likely real as fake; None: the middle between the
        mean real and the mean fake score.
      clip: the fields with the lower and the upper bound of the critic's weights; () to not clip.
      defaults: values of Config fields.
    """

    critic_loss: str
    generator_loss: str
    gap: str
    defaults: Mapping
    paired: bool = False
    logits: bool = False
    neutral: float | None = None
    clip: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Penalty:
    """A penalty on the critic's gradient.

    Attributes:
      at: function of (real, fake, key) that returns the images where the gradient is taken.
      of: function of the squared gradient norms that returns the penalties.
      weights: keyword argument of `of` → the Config field with its value.
    """

    at: str
    of: str
    weights: Mapping


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of the images that a critic sees.

    Attributes:
      transforms: functions of (images, key, p) that return images.
      adaptive: True if the probability of all transforms follows the critic.
    """

    transforms: tuple[str, ...]
    adaptive: bool = False


@dataclasses.dataclass(frozen=True)
class Task:
    """What the networks of an architecture are for: generation or translation.

    Attributes:
      does: a clause for messages, which follows "--arch=NAME, which".
      asks: the fields of test mode that only this task supports.
      refuses: the fields that this task does not support.
      settles: values of Config fields that override those of the data set.
      reader: the reader of the data, or None for the reader of the data set.
      load: function that reads the data.
      describe: function that returns the `ImageSpec` of the data without reading all of it.
      pictures: function of (Config, run folder) that makes the pictures of test mode and yields
        their paths.
      facts: keyword arguments of the trainer whose values come from the schedule and the data.
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
      batch_fields: the fields that `batches` takes.
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
      network: the Config fields that the builder takes. A resumed run cannot change them.
      min_size, multiple_of: the height and the width of images are at least `min_size` pixels and
        a multiple of `multiple_of`.
      defaults: values of Config fields; always has `mode`.
      in_folder: mode → values of Config fields that replace the mode's if the data set is a
        folder.
      training: the fields that this trainer takes and other trainers do not.
      fixed: the fields of `training` that a resumed run cannot change.
      one_width: True if `g_width` and `d_width` must be single numbers.
      stages: function that returns a list of (generator, critic, batch size), one for each stage of
        training. None: a single stage with the pair that `builder` returns.
      growth: a `Growth`, or None if the networks do not grow.
      usual: a clause with the usual number of generator updates, for the line on the length.
    """

    builder: str
    trainer: str
    task: Task
    network: tuple[str, ...]
    min_size: int
    multiple_of: int
    defaults: Mapping
    in_folder: Mapping = dataclasses.field(default_factory=dict)
    training: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    one_width: bool = False
    stages: str | None = None
    growth: Growth | None = None
    usual: str = "5,000 to 30,000 are usual"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
      reader: function of (path, pattern=, conditional=) that returns a `Source`.
      defaults: values of Config fields.
      test_part: name of the part that generators are measured against; None: the training part.
      in_folder: True if the reader lists a folder, and takes `outputs`, the paths to skip.
      colour: values of the Config fields that nothing else sets, if the images have colours.
      few_colour: more such values for fewer than `tables.FEW_IMAGES` training images.
    """

    reader: str
    defaults: Mapping
    test_part: str | None = None
    in_folder: bool = False
    colour: Mapping = dataclasses.field(default_factory=dict)
    few_colour: Mapping = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A Keras optimizer.

    Attributes:
      cls: the class.
      kwargs: Config field → keyword argument of the class.
    """

    cls: str
    kwargs: Mapping


@dataclasses.dataclass(frozen=True)
class Latents:
    """A distribution of latents.

    Attributes:
      function: function of (key, shape) that draws latents.
      sweep: the lowest and the highest value in the sweeps of test mode.
      numpy: NumPy code that draws from the same distribution, for the card of an export.
      truncated: function of (key, shape, truncation) that draws latents within ±truncation.
      numpy_truncation: lines of NumPy code, to follow `numpy`, that truncate latents `z` at
        "{truncation}".
      bound: the largest magnitude of a latent, and so of `--truncation`; None: no bound.
    """

    function: str
    sweep: tuple[float, float]
    numpy: str
    truncated: str
    numpy_truncation: str
    bound: float | None = None


@dataclasses.dataclass(frozen=True)
class Export:
    """A format of exported generators.

    Attributes:
      suffix: suffix of the file's name.
      writer: function of (network, path) that writes the file.
      code: text of a program that loads the file, for the card.
      packages: optional packages that the format needs.
    """

    suffix: str
    writer: str
    code: str
    packages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Strategy:
    """How training is distributed.

    Attributes:
      cluster: True to train with all processes of TF_CONFIG, if it is set.
      devices: types of devices. Without TF_CONFIG, a run trains on all devices of the first type
        that exists.
    """

    cluster: bool
    devices: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Precision:
    """The dtype that networks compute in. Weights, scores and losses are always float32.

    Attributes:
      policy: name of Keras' dtype policy.
      scaled: True to scale losses, so that their gradients do not underflow.
    """

    policy: str
    scaled: bool


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that extracts features for evaluation.

    Attributes:
      builder: function of an image shape (H, W, C) that builds the network.
      misleads: names of measures that improve with this network when images get worse.
    """

    builder: str
    misleads: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Measure:
    """A measure that can select the best checkpoint.

    Attributes:
      higher: True if a higher value is better.
    """

    higher: bool


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named row of settings.

    Attributes:
      source: the program with these settings: an older GAN program ("seed"), "000" to "004", whose
        bugs are fixed here; "mimicry", or "ours".
      settings: values of Config fields, which flags override.
    """

    source: str
    settings: Mapping
