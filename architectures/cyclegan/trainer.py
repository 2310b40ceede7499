"""The trainer of CycleGAN (1703.10593): translation between two domains, from unpaired images."""

import numpy as np
import tensorflow as tf

import utils
from architectures.cyclegan.direction import Direction
from architectures.cyclegan.networks import DIRECTIONS
from model import GANTrainer
from training import replicas
from training.base import TrainerBase
from training.randomness import Purpose, fold

SHEET_ROWS = 8
MAX_PIXELS = 1024  # height of a sheet
CHUNK_PIXELS = 2**20  # pixels in one call of a generator


def rate_factor(epoch, epochs, decay):
    """Return the factor of the learning rates in an epoch 0, 1, …: 1, then linearly to 0.

    The fall begins at epoch `decay`. The factor stays 1 if there are no epochs after that.
    """
    if epochs <= decay:
        return tf.constant(1.0)
    return 1 - tf.maximum(tf.cast(epoch, tf.float32) - decay, 0) / (epochs - decay)


def augment(images, size, key, *, mirror):
    """uint8 [B, H, W, C] → [-1, 1] of a smaller size: crop, and flip if `mirror`, at random."""
    x = utils.to_float(images)
    count = x.shape[0]
    places = tf.cast(tf.shape(x)[1:3] - size + 1, tf.float32)
    start = tf.cast(replicas.uniform(key, (count, 2)) * places, tf.int32)
    rows, columns = (start[:, i, None] + tf.range(size[i]) for i in (0, 1))
    if mirror:
        flip = replicas.uniform(fold(key, Purpose.FLIP), (count, 1)) < 0.5
        columns = tf.where(flip, tf.reverse(columns, [1]), columns)
    return tf.gather(tf.gather(x, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


class CycleGAN(TrainerBase):
    """Two generators that undo each other, against a critic of each domain.

    Its members are those that `loop.fit` asks for, as `GANTrainer`'s are. A step is one
    update of both generators, from one loss, and then those of the critics: the first one on the
    same images and the fakes made before the update, as in the authors' code.

    Args:
      generators, critics: as `build_cyclegan` returns them.
      lambda_cycle, lambda_identity: weights of the cycles' and the identities' L1 distances.
      decay_epoch: the rates fall from there on (half of `epochs` where None) to 0.
      epochs, per_epoch: how many there are, and the steps in one.
      shown: uint8 images of both domains, for the sheets.
    """

    def __init__(
        self,
        generators,
        critics,
        objective,
        g_optimizer,
        d_optimizer,
        *,
        batch_size,
        pool_size,
        lambda_cycle,
        lambda_identity,
        decay_epoch,
        epochs,
        per_epoch,
        shown=(),
        mirror=False,
        seed=0,
        strategy=None,
        jit=False,
        **options,
    ):
        image = tuple(critics[0].inputs[0].shape[1:])
        super().__init__(strategy, batch_size=batch_size, image=image, seed=seed, jit=jit)
        options |= {"batch_size": batch_size, "pool_size": pool_size, "strategy": strategy}
        with self.strategy.scope():
            self.ways = [
                Direction(*way, *pair, objective, _same(g_optimizer), _same(d_optimizer), **options)
                for way, *pair in zip(DIRECTIONS, generators, critics)
            ]
        for way in self.ways:
            way.count = self.count
        self.critic_num = self.ways[0].critic_num
        self.several = self.critic_num > 1 or self.ways[0].bursts > 0  # critic updates in a step
        self.objective, self.mirror, self.shown = objective, mirror, shown
        self.lambda_cycle, self.lambda_identity = lambda_cycle, lambda_identity
        self.per_epoch, self.epochs = max(1, per_epoch), epochs
        self.decay_epoch = epochs / 2 if decay_epoch is None else decay_epoch
        rates = [float(o.learning_rate.numpy()) for o in (g_optimizer, d_optimizer)]
        self.rates = tf.Variable(rates, name="rates")
        self.step = self._compile()

    def _inputs(self):
        batch = tf.TensorSpec([None, self.batch_size, None, None, self.image[-1]], tf.uint8)
        return batch, batch

    def _of_ways(self, member):
        """The dicts of both ways by the name of their member, in one."""
        a, b = (way.named(getattr(way, member)) for way in self.ways)
        return a | b

    @property
    def state(self):
        """What a checkpoint holds, as a dict of trackables."""
        return {"step": self.count, "seen": self.seen, **self._of_ways("state")}

    @property
    def networks(self):
        """What is saved for use without training: file name → Keras model of stock layers."""
        return self._of_ways("networks")

    @property
    def starters(self):
        """What a run can start from: file name → the networks that take its weights."""
        return self._of_ways("starters")

    @property
    def trained(self):
        """The networks that are trained."""
        return self._of_ways("trained")

    last = GANTrainer.last

    def resume(self, generator, critic):
        """Go on from a restored state: from these learning rates, and with no step broken."""
        self.broken.assign(-1)
        self.rates.assign([generator, critic])
        for way in self.ways:
            way.resume(generator, critic)

    def batch_spec(self, step):
        """The images of each domain that a step wants: [critic updates, batch]."""
        return self.ways[0].batch_spec(step)

    def _step(self, a, b):
        """`step`: both generators' update, then `n` of the critics.

        Args:
          a, b: uint8 images of each domain, [n, B, H, W, C], larger than those made.

        Returns:
          A dict of scalars, of the critics' as means over their updates.
        """
        rates = self.rates * rate_factor(
            self.count // self.per_epoch, self.epochs, self.decay_epoch
        )
        for way in self.ways:
            way.g_optimizer.learning_rate, way.d_optimizer.learning_rate = tf.unstack(rates)
        return {**super()._step(a, b), "learning_rate": rates[0]}

    def _replica_step(self, a, b, key):
        """A replica's part of `step`: its own rows, and its parts of the terms."""
        a, b = (replicas.local_rows(self.strategy, x) for x in (a, b))
        first = fold(key, 0)
        fakes, total, terms = self._train_generators(self._real((a[0], b[0]), first), first)
        judged = self._train_critics(a, b, fakes, key)
        both = (own | more for own, more in zip(terms, judged))
        return {"generator_loss": total, **next(both), **next(both)}

    def _after_step(self):
        for way in self.ways:
            way._after_step()

    def _real(self, images, key):
        """Images of both domains, cropped and flipped: [A, B]."""
        size = self.image[:2]
        keys = [fold(key, Purpose.CROP, i) for i in range(2)]
        return [augment(x, size, k, mirror=self.mirror) for x, k in zip(images, keys)]

    def _train_generators(self, real, key):
        """Update both generators once; return (their fakes, the loss, the terms of each way)."""
        weights = [way.generator.trainable_variables for way in self.ways]
        flat = [*weights[0], *weights[1]]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([w.value for w in flat])
            fakes, terms, total = self._generator_loss(real, key)
            scaled = self.ways[0].g_optimizer.scale_loss(total)
        # Of both together, so that both keep the same scale.
        gradients = replicas.all_or_none(self.ways[0].g_optimizer, tape.gradient(scaled, flat))
        n = len(weights[0])
        for way, own, given in zip(self.ways, weights, (gradients[:n], gradients[n:])):
            way.g_optimizer.apply(given, own)
        return fakes, total, terms

    def _generator_loss(self, real, key):
        """Return (fakes, terms of each way, loss) for real images [A, B] (eq. 3, section 5.2)."""
        fakes, terms, total = [], [], 0.0
        rows = self.batch_size // replicas.how_many()
        for i, way in enumerate(self.ways):
            x, y = real[i], real[1 - i]
            made = way.generator(tf.concat([x, y], 0) if self.lambda_identity else x, training=True)
            fakes.append(made[:rows])
            back = self.ways[1 - i].generator(fakes[i], training=True)
            names = {
                f"adversarial_{way.source}2{way.target}": (
                    1.0, way.generator_loss(y, fakes[i], [], fold(key, i))
                ),
                f"cycle_{way.source}": (self.lambda_cycle, way._mean(tf.abs(back - x))),
            }  # fmt: skip
            if self.lambda_identity:
                same = way._mean(tf.abs(made[rows:] - y))
                names[f"identity_{way.target}"] = (self.lambda_identity, same)
            total += sum(weight * value for weight, value in names.values())
            terms.append({name: value for name, (_, value) in names.items()})
        return fakes, terms, total

    def _train_critics(self, a, b, fakes, key):
        """All critic updates of a step, the first one on `fakes`; the means of each way's terms."""
        n = self._updates(a)
        names = self.ways[0].critic_terms()
        sums = [[tf.zeros([]) for _ in names] for _ in self.ways]
        for i in tf.range(n) if tf.is_tensor(n) else range(n):
            own = fold(key, i)
            real = self._real((a[i], b[i]), own)
            now = fakes
            if self.several and i > 0:
                now = self._translate(real)
            terms = []
            for j, way in enumerate(self.ways):
                pooled = way.from_history(now[j], fold(own, Purpose.HISTORY, j))
                terms.append(way.critic_step(real[1 - j], pooled, [], fold(own, j)))
            sums = [[s + t[m] for s, m in zip(ss, names)] for ss, t in zip(sums, terms)]
        return [
            {f"{m}_{way.target}": s / tf.cast(n, s.dtype) for s, m in zip(ss, names)}
            for ss, way in zip(sums, self.ways)
        ]

    def _translate(self, real):
        """Fakes of real images [A, B]: [B, A]."""
        return [way.generator(x, training=True) for x, way in zip(real, self.ways)]

    def measure(self, a, b):
        """What the log has beside a step's terms: nothing."""
        del a, b
        return {}

    def refresh(self):
        """The averaged generators have no statistics: nothing to estimate."""

    def preview(self):
        """The first test images as the averaged generators translate them.

        Returns:
          (images float32 [N, H, W, C] in [-1, 1], columns of their grid): a row has an image of A,
          its translation, that one's translation back, and the same from an image of B.
        """
        rows = max(1, min(SHEET_ROWS, MAX_PIXELS // self.image[0], *map(len, self.shown)))
        columns = []
        for i, way in enumerate(self.ways):
            real = utils.to_float(self.shown[i][:rows])
            fake = draw(way.average, real)
            columns += [real, fake, draw(self.ways[1 - i].average, fake)]
        return np.stack(columns, 1).reshape(-1, *self.image), len(columns)


def _same(optimizer):
    """Another optimiser of the same settings: Adam's steps in two are those in one."""
    return type(optimizer).from_config(optimizer.get_config())


def draw(generator, images):
    """Images [N, H, W, C] in [-1, 1], translated a few at a time."""
    chunk = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    parts = [
        np.asarray(generator(images[i : i + chunk], training=False))
        for i in range(0, len(images), chunk)
    ]
    return np.concatenate(parts)
