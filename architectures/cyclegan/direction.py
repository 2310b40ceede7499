"""One direction of a CycleGAN."""

import tensorflow as tf

import model
from training import replicas
from training.randomness import fold


class Way(model.GANTrainer):
    """One way: the generator that makes images of a domain, and the critic of that domain.

    It is stepped by `CycleGAN`, and has a history of its fakes (section 4): `pool`, of which
    the first `held` are there.
    """

    def __init__(self, source, target, *parts, pool_size, **options):
        super().__init__(*parts, **options)
        self.source, self.target = source, target
        self.pool_size = pool_size
        first = {"aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        with self.strategy.scope():
            self.pool = tf.Variable(tf.zeros((pool_size, *self.image)), name="pool", **first)
            self.held = tf.Variable(0, name="held", **first)

    def _compile(self):
        return None

    def _to_float(self, images, key):
        del key  # they have been cropped, flipped and scaled
        return images

    @property
    def state(self):
        """What a checkpoint holds; the counts of steps and images are the trainer's."""
        own = {n: v for n, v in super().state.items() if n not in ("step", "seen")}
        return {**own, "pool": self.pool, "held": self.held}

    def named(self, parts):
        """Parts by names that say which way, or which domain a critic is of, they belong to."""
        way = f"{self.source}2{self.target}"
        return {f"{n}_{self.target if n == 'critic' else way}": v for n, v in parts.items()}

    def past(self, fakes, key):
        """What the critic is shown for new fakes [B, H, W, C], one by one.

        While the history is not full, each is kept and shown. Then one of two is shown itself;
        for the other a kept one is shown, whose place it takes. All replicas keep the same, of
        all fakes, and each shows its own rows.
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
            kept = tf.where(swap or filling, new, old)
            pool = tf.tensor_scatter_nd_update(pool, [[place]], kept[None])
            held += tf.cast(filling, tf.int32)
        self.pool.assign(pool)
        self.held.assign(held)
        return replicas.own(shown.stack())
