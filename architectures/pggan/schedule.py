"""How PGGAN (1710.10196) grows."""

import dataclasses

FIRST = 4  # pixels of the first stage's images


@dataclasses.dataclass(frozen=True)
class GrowthState:
    """Where the growth is: stage 0, 1, …; α of its fade; images in a batch."""

    stage: int
    alpha: float
    batch: int


@dataclasses.dataclass(frozen=True)
class GrowthSchedule:
    """The growth as a function of the images that the critic has seen.

    Stage 0 is stable for `stable` images; each later one fades in over `fade` images and is
    then stable. The learning rates are the same at every stage (PGGAN, appendix A.1).

    Attributes:
      batches: images in a batch by stage.
    """

    fade: int
    stable: int
    batches: tuple[int, ...]

    def at(self, seen):
        """The `GrowthState` after so many images. After the last stage's end it goes on stable."""
        after = seen - self.stable
        if after < 0 or len(self.batches) == 1:
            return GrowthState(0, 1.0, self.batches[0])
        stage = min(1 + after // (self.fade + self.stable), len(self.batches) - 1)
        into = after - (stage - 1) * (self.fade + self.stable)
        alpha = min(1.0, into / self.fade) if self.fade else 1.0
        return GrowthState(stage, alpha, self.batches[stage])

    def end(self, stage):
        """The count of images at which a stage ends."""
        return self.stable + stage * (self.fade + self.stable)

    def steps(self, seen, updates):
        """The steps from `seen` images on to the last stage's end, of so many critic updates."""
        total = 0
        for stage, batch in enumerate(self.batches):
            steps = max(0, -(-(self.end(stage) - seen) // (updates * batch)))
            total, seen = total + steps, seen + steps * updates * batch
        return total


def sizes(max_res):
    """The stages' image sizes: 4, 8, …, max_res."""
    return [FIRST << i for i in range((max_res // FIRST).bit_length())]


def batches(max_res, batch_size, batch_dict):
    """The images in a batch of each stage: `batch_dict` as "256:14,512:6", else `batch_size`."""
    given = dict(map(int, pair.split(":")) for pair in batch_dict.split(","))
    return tuple(given.get(size, batch_size) for size in sizes(max_res))
