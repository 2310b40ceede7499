"""One direction of a CycleGAN (1703.10593): generator, critic, and history of fakes."""

import tensorflow as tf

from model import GANTrainer
from training import replicas
from training.randomness import fold


class Direction(GANTrainer):
    """The generator that makes images of a domain, and the critic of that domain.

    `CycleGAN` steps it. The critic sees older fakes for half of the new ones (section 4): they are
    kept in `pool` [pool_size, H, W, C], of which the first `held` are filled.

    Args:
      source, target: the letters of the two domains, "A" and "B".
      pool_size: length of the history; 0 for none.
      The others are `GANTrainer`'s.
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
        return None  # the step is that of both directions

    def _to_float(self, images, key):
        del key  # `CycleGAN` has cropped, flipped and scaled them
        return images

    @property
    def state(self):
        """The trackables of a checkpoint, without the counts, which are the trainer's."""
        own = {n: v for n, v in super().state.items() if n not in ("step", "seen")}
        return {**own, "pool": self.pool, "held": self.held}

    def named(self, parts):
        """Return a dict with keys that name the direction, or for a critic its domain."""
        way = f"{self.source}2{self.target}"
        return {f"{n}_{self.target if n == 'critic' else way}": v for n, v in parts.items()}

    def from_history(self, fakes, key):
        """Replace half of the new fakes [B, H, W, C] by older ones, one by one.

        While the history is being filled, each fake is stored and returned. After that a fake is
        returned itself with probability 1/2; otherwise an older one is returned, and the new one
        takes its place. All replicas store the same fakes, those of all replicas, and each returns
        its own rows.
        """
        if not self.pool_size:
            return fakes
        fakes = replicas.gathered(fakes)
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
        return replicas.own(shown.stack())
