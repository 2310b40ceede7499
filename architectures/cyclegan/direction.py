"""One direction of a CycleGAN (1703.10593): a generator, a critic, and a history of fakes."""

import tensorflow as tf

from model import GANTrainer
from training import replicas
from training.randomness import fold


class Direction(GANTrainer):
    """The generator from a source domain to a target domain, and the critic of the target.

    `CycleGAN` does the steps. In the critic's updates, older fakes replace half of the new ones
    (section 4). They are stored in `pool`, float32 [pool_size, H, W, C], whose first `held` images
    are filled.

    Args:
      source, target: the domains, "A" or "B".
      *args, **kwargs: see `GANTrainer`.
      pool_size: length of the history, 0 for none.
    """

    def __init__(self, source, target, *args, pool_size, **kwargs):
        super().__init__(*args, **kwargs)
        self.source, self.target = source, target
        self.pool_size = pool_size
        first = {"aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        with self.strategy.scope():
            self.pool = tf.Variable(tf.zeros((pool_size, *self.image)), name="pool", **first)
            self.held = tf.Variable(0, name="held", **first)

    def _compile(self):
        return None  # `CycleGAN` compiles the step of both directions

    def _to_float(self, images, key):
        del key  # `CycleGAN` has already cropped, flipped and scaled the images
        return images

    @property
    def state(self):
        """The contents of a checkpoint: name → trackable, without the counts of `CycleGAN`."""
        own = {n: v for n, v in super().state.items() if n not in ("step", "seen")}
        return {**own, "pool": self.pool, "held": self.held}

    def named(self, parts):
        """Append the direction to a dict's keys, or the target for a critic's: "critic_B"."""
        name = f"{self.source}2{self.target}"
        return {f"{n}_{self.target if n == 'critic' else name}": v for n, v in parts.items()}

    def from_history(self, fakes, key):
        """Replace about half of the new fakes by older ones. Takes the new fakes in order.

        Until the history is full, each fake is stored and returned. After that, a fake is returned
        with probability 1/2. Otherwise a random stored fake is returned, and the new one takes its
        place. Every replica stores the fakes of all replicas, and returns its own rows.

        Args:
          fakes: float32 [B, H, W, C].
          key: int32 [2].

        Returns:
          float32 [B, H, W, C].
        """
        if not self.pool_size:
            return fakes
        fakes = replicas.gather_rows(fakes)
        count = fakes.shape[0]
        places = tf.random.stateless_uniform([count], key, maxval=self.pool_size, dtype=tf.int32)
        swaps = tf.random.stateless_uniform([count], fold(key, 1)) < 0.5
        shown = tf.TensorArray(tf.float32, count, element_shape=self.image)
        pool, held = tf.identity(self.pool), tf.identity(self.held)
        for i in tf.range(count):
            filling = held < self.pool_size
            place = tf.where(filling, held, places[i])
            old, new = pool[place], fakes[i]
            swap = swaps[i] and not filling
            shown = shown.write(i, tf.where(swap, old, new))
            stored = tf.where(swap or filling, new, old)
            pool = tf.tensor_scatter_nd_update(pool, [[place]], stored[None])
            held += tf.cast(filling, tf.int32)
        self.pool.assign(pool)
        self.held.assign(held)
        return replicas.replica_rows(shown.stack())


def new_optimizer(optimizer):
    """Return a new optimiser with the same settings."""
    return type(optimizer).from_config(optimizer.get_config())
