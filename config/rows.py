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
class Dataset:
    """A data set.

    Attributes:
      reader: function of (path, pattern=, conditional=) that returns a `Source`.
      defaults: values of Config fields.
      test_part: name of the part that generators are measured against; None: the training part.
      in_folder: True if the reader lists a folder, and takes `outputs`, the paths to skip.
      colour: values of the Config fields that nothing else sets, if the images have colours.
      few_colour: more such values for fewer than `tables.FEW_IMAGES` training images.
      few_arch: name of the network for that few colour images, unless the call names one; or None.
    """

    reader: str
    defaults: Mapping
    test_part: str | None = None
    in_folder: bool = False
    colour: Mapping = dataclasses.field(default_factory=dict)
    few_colour: Mapping = dataclasses.field(default_factory=dict)
    few_arch: str | None = None


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
      devices: types of devices; without TF_CONFIG, all of the first type that exists are used.
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
      weights: True if it also takes a file of weights, or None, and the folder for downloads.
    """

    builder: str
    misleads: tuple[str, ...] = ()
    weights: bool = False


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
      source: the program with these settings: an older GAN program ("seed"), its bugs fixed,
        "mimicry", or "ours".
      settings: values of Config fields, which flags override.
    """

    source: str
    settings: Mapping
