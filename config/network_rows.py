"""The rows of `tables.ARCHS`: what networks are for, how they grow, and who builds them."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Task:
    """What the networks of an architecture are for: generation or translation.

    Attributes:
      does: a clause for messages, which follows "--arch=NAME, which".
      asks: the fields of test mode that only this task supports.
      refuses: the fields that this task does not support.
      no_jit: why --jit is refused, a clause; "" if it is not.
      settles: values of Config fields that override those of the data set.
      reader: the reader of the data, or None for the reader of the data set.
      load: function that reads the data.
      describe: function that returns the `ImageSpec` of the data without reading all of it.
      pictures: function of (Config, run folder) that makes test mode's pictures, yields the paths.
      page: function of (Config, run folder, words) that returns the page of --serve.
      measures: names of the MEASURES that can select the best checkpoint.
      evaluation: function of (Config, data) that builds an evaluation.
      measure: function of (Config, run folder) that measures a trained run, and yields lines.
      measure_bytes: function of ((H, W, C), number of images) that estimates the memory of that.
      facts: keyword arguments of the trainer whose values come from the schedule and the data.
      min_batch: the smallest batch size.
    """

    does: str
    asks: tuple[str, ...]
    load: str
    describe: str
    pictures: str
    page: str
    measures: tuple[str, ...]
    evaluation: str
    measure: str
    measure_bytes: str
    refuses: tuple[str, ...] = ()
    no_jit: str = ""
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
      few_colour: mode → values of Config fields for few colour images of a folder. They replace
        those of `Dataset.few_colour`.
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
    few_colour: Mapping = dataclasses.field(default_factory=dict)
    training: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    one_width: bool = False
    stages: str | None = None
    growth: Growth | None = None
    usual: str = "5,000 to 30,000 are usual"
