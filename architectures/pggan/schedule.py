"""The growth schedule of PGGAN (1710.10196)."""

import dataclasses

FIRST_SIZE = 4  # height and width of the first stage's images


@dataclasses.dataclass(frozen=True)
class GrowthState:
    """The state of the growth.

    Attributes:
      stage: 0, 1, …
      alpha: weight of the new stage in its fade, in [0, 1].
      batch: images in a batch.
    """

    stage: int
    alpha: float
    batch: int


@dataclasses.dataclass(frozen=True)
class GrowthSchedule:
    """The growth as a function of the number of images that the critic has seen.

    Stage 0 is stable from the start. Each later stage fades in and is then stable. The learning
    rates are the same at every stage (PGGAN, appendix A.1).

    Attributes:
      fade: number of images in a fade.
      stable: number of images in a stable phase.
      batches: images in a batch, for each stage.
      final: number of images in the stable phase of the last stage, or None for `stable`.
    """

    fade: int
    stable: int
    batches: tuple[int, ...]
    final: int | None = None

    def at(self, seen):
        """Return the `GrowthState` after `seen` images. The last stage stays stable for ever."""
        after = seen - self.stable
        if after < 0 or len(self.batches) == 1:
            return GrowthState(0, 1.0, self.batches[0])
        stage = min(1 + after // (self.fade + self.stable), len(self.batches) - 1)
        into = after - (stage - 1) * (self.fade + self.stable)
        alpha = min(1.0, into / self.fade) if self.fade else 1.0
        return GrowthState(stage, alpha, self.batches[stage])

    def start(self, stage, alpha):
        """Return the number of images seen at an α of a stage's fade; at 1, the end of the fade."""
        return max(0, stage * (self.fade + self.stable) - round((1 - alpha) * self.fade))

    def end(self, stage):
        """Return the number of images seen at the end of a stage."""
        last = stage == len(self.batches) - 1 and self.final is not None
        return stage * (self.fade + self.stable) + (self.final if last else self.stable)

    def steps(self, seen, updates):
        """Return the number of steps that are left of each stage, a list.

        Args:
          seen: images seen.
          updates: critic updates in a step, one batch each.
        """
        steps = []
        for stage, batch in enumerate(self.batches):
            steps.append(max(0, -(-(self.end(stage) - seen) // (updates * batch))))
            seen += steps[-1] * updates * batch
        return steps


def sizes(max_res):
    """List the stages' image sizes: 4, 8, …, max_res."""
    return [FIRST_SIZE << i for i in range((max_res // FIRST_SIZE).bit_length())]


def batches(max_res, batch_size, batch_dict):
    """Return the batch size of each stage.

    Args:
      max_res: image size of the last stage.
      batch_size: for stages that `batch_dict` does not name.
      batch_dict: batch sizes by image size, as "256:14,512:6".
    """
    given = dict(map(int, pair.split(":")) for pair in batch_dict.split(","))
    return tuple(given.get(size, batch_size) for size in sizes(max_res))
