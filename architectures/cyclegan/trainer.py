"""The trainer of CycleGAN (1703.10593): image translation between two domains, without pairs."""

import numpy as np
import tensorflow as tf

import utils
from architectures.cyclegan.direction import Direction, new_optimizer
from architectures.cyclegan.images import augment, translate
from architectures.cyclegan.networks import DIRECTIONS
from architectures.cyclegan.schedule import rate_factor
from model import GANTrainer
from training import replicas
from training.base import TrainerBase
from training.randomness import Purpose, fold

MAX_ROWS = 8  # of a preview
MAX_PIXELS = 1024  # maximum height of a preview


class CycleGAN(TrainerBase):
    """Trains two generators that invert each other, against a critic of each domain.

    It has the members that `loop.fit` needs. A step updates both generators by one loss, and then
    both critics. As in the authors' code, the first critic update sees the same images, and the
    fakes from before the generators' update.

    Args:
      generators, critics: as `build_cyclegan` returns them.
      objective: a `losses.Objective`.
      g_optimizer, d_optimizer: Keras optimisers. Each direction gets copies of them.
      batch_size: images of each domain in a batch of all replicas.
      pool_size: length of each history of fakes.
      lambda_cycle, lambda_identity: weights of the L1 cycle-consistency and identity losses.
      decay_epoch: the epoch at which the learning rates begin to fall; None is half of `epochs`.
      epochs, per_epoch: number of epochs, and steps in an epoch.
      shown: (images of A, images of B) for previews, uint8 [N, H, W, C].
      mirror: True flips training images left-right with probability 1/2.
      seed, strategy, jit: see `TrainerBase`.
      **kwargs: see `GANTrainer`.
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
        **kwargs,
    ):
        image = tuple(critics[0].inputs[0].shape[1:])
        super().__init__(strategy, batch_size=batch_size, image=image, seed=seed, jit=jit)
        kwargs |= {"batch_size": batch_size, "pool_size": pool_size, "strategy": strategy}
        with self.strategy.scope():
            self.directions = [
                Direction(
                    *domains,
                    *pair,
                    objective,
                    new_optimizer(g_optimizer),
                    new_optimizer(d_optimizer),
                    **kwargs,
                )
                for domains, *pair in zip(DIRECTIONS, generators, critics)
            ]
        for direction in self.directions:
            direction.count = self.count
        self.critic_num = self.directions[0].critic_num
        # True if a step can have several critic updates.
        self.several = self.critic_num > 1 or self.directions[0].bursts > 0
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

    def _by_direction(self, member):
        """Merge the dicts `direction.member` of both directions."""
        a, b = (direction.named(getattr(direction, member)) for direction in self.directions)
        return a | b

    @property
    def state(self):
        """The contents of a checkpoint: name → trackable."""
        return {"step": self.count, "seen": self.seen, **self._by_direction("state")}

    @property
    def networks(self):
        """The networks that are saved as files: name → Keras model of stock layers."""
        return self._by_direction("networks")

    @property
    def starters(self):
        """The files that a run can start from: name → the networks that take the weights."""
        return self._by_direction("starters")

    @property
    def trained(self):
        """The trained networks: name → Keras model."""
        return self._by_direction("trained")

    @property
    def frozen(self):
        """The layers of both critics that are not trained."""
        return [layer for direction in self.directions for layer in direction.frozen]

    last = GANTrainer.last

    def resume(self, generator, critic):
        """Continue from a restored checkpoint, with these learning rates before their decay."""
        self.broken.assign(-1)
        self.rates.assign([generator, critic])
        for direction in self.directions:
            direction.resume(generator, critic)

    def batch_spec(self, step):
        """Return (critic updates, batch size) of the next step, after `step` steps."""
        return self.directions[0].batch_spec(step)

    def _step(self, a, b):
        """Do one step: one update of both generators, then n of both critics.

        Args:
          a, b: images of the two domains, uint8 [n, B, H, W, C]. The step crops them.

        Returns:
          A dict of scalars. The critics' terms are means over their n updates.
        """
        rates = self.rates * rate_factor(
            self.count // self.per_epoch, self.epochs, self.decay_epoch
        )
        for direction in self.directions:
            direction.g_optimizer.learning_rate, direction.d_optimizer.learning_rate = tf.unstack(
                rates
            )
        return {**super()._step(a, b), "learning_rate": rates[0]}

    def _replica_step(self, a, b, key):
        """Do one replica's part of a step, see `TrainerBase`."""
        a, b = (replicas.local_rows(self.strategy, x) for x in (a, b))
        first = fold(key, 0)
        fakes, total, terms = self._train_generators(self._real((a[0], b[0]), first), first)
        critic_terms = self._train_critics(a, b, fakes, key)
        merged = (g_terms | d_terms for g_terms, d_terms in zip(terms, critic_terms))
        return {"generator_loss": total, **next(merged), **next(merged)}

    def _after_step(self):
        for direction in self.directions:
            direction._after_step()

    def _adapt(self, terms, images):
        found = {}
        for direction in self.directions:
            own = {"sign_real": terms.get(f"sign_real_{direction.target}")}
            for name, value in direction._adapt(own, images).items():
                found[f"{name}_{direction.target}"] = value
        return found

    @property
    def augments(self):
        """True if the critics see augmented images."""
        return self.directions[0].augments

    def augmented(self, images):
        """Augment images, half of A, then half of B; see `PairTrainer.augmented`."""
        halves = np.split(images, 2)
        return np.concatenate([d.augmented(x) for d, x in zip(self.directions[::-1], halves)])

    def _real(self, images, key):
        """Return the augmented images of both domains, float32: [A, B]."""
        size = self.image[:2]
        keys = [fold(key, Purpose.CROP, i) for i in range(2)]
        return [augment(x, size, k, mirror=self.mirror) for x, k in zip(images, keys)]

    def _train_generators(self, real, key):
        """Update both generators once; return (fakes [B, A], loss, terms of each direction)."""
        weights = [direction.generator.trainable_variables for direction in self.directions]
        flat = [*weights[0], *weights[1]]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([w.value for w in flat])
            fakes, terms, total = self._generator_loss(real, key)
            scaled = self.directions[0].g_optimizer.scale_loss(total)
        # Called once for the gradients of both generators, so that their loss scales stay equal.
        gradients = replicas.all_or_none(
            self.directions[0].g_optimizer, tape.gradient(scaled, flat)
        )
        n = len(weights[0])
        parts = zip(self.directions, (gradients[:n], gradients[n:]), weights)
        for direction, own_gradients, own_weights in parts:
            direction.g_optimizer.apply(own_gradients, own_weights)
        return fakes, total, terms

    def _generator_loss(self, real, key):
        """Return (fakes [B, A], terms of each direction, loss) for real images [A, B].

        The loss is eq. 3, with the identity loss of section 5.2.
        """
        fakes, terms, total = [], [], 0.0
        rows = self.batch_size // replicas.replica_count()
        for i, direction in enumerate(self.directions):
            x, y = real[i], real[1 - i]
            made = direction.generator(
                tf.concat([x, y], 0) if self.lambda_identity else x, training=True
            )
            fakes.append(made[:rows])
            back = self.directions[1 - i].generator(fakes[i], training=True)
            names = {
                f"adversarial_{direction.source}2{direction.target}": (
                    1.0, direction.generator_loss(y, fakes[i], [], fold(key, i))
                ),
                f"cycle_{direction.source}": (self.lambda_cycle, direction._mean(tf.abs(back - x))),
            }  # fmt: skip
            if self.lambda_identity:
                same = direction._mean(tf.abs(made[rows:] - y))
                names[f"identity_{direction.target}"] = (self.lambda_identity, same)
            total += sum(weight * value for weight, value in names.values())
            terms.append({name: value for name, (_, value) in names.items()})
        return fakes, terms, total

    def _train_critics(self, a, b, fakes, key):
        """Do all critic updates of a step, the first one on `fakes`.

        Returns:
          The mean terms of each direction, a list of two dicts.
        """
        n = self._updates(a)
        names = self.directions[0].critic_terms()
        sums = [[tf.zeros([]) for _ in names] for _ in self.directions]
        for i in tf.range(n) if tf.is_tensor(n) else range(n):
            update_key = fold(key, i)
            real = self._real((a[i], b[i]), update_key)
            now = fakes
            if self.several and i > 0:
                now = self._translate(real)
            terms = []
            for j, direction in enumerate(self.directions):
                pooled = direction.from_history(now[j], fold(update_key, Purpose.HISTORY, j))
                terms.append(direction.critic_step(real[1 - j], pooled, [], fold(update_key, j)))
            sums = [[s + t[m] for s, m in zip(ss, names)] for ss, t in zip(sums, terms)]
        return [
            {f"{m}_{direction.target}": s / tf.cast(n, s.dtype) for s, m in zip(ss, names)}
            for ss, direction in zip(sums, self.directions)
        ]

    def _translate(self, real):
        """Translate real images [A, B] to fakes [B, A]."""
        return [
            direction.generator(x, training=True) for x, direction in zip(real, self.directions)
        ]

    def measure(self, a, b):
        """Return more terms for the log: none."""
        del a, b
        return {}

    def refresh(self):
        """Do nothing: instance norm has no statistics to estimate."""

    def samples(self, i, images):
        """Translate images for an evaluation: 0 is A to B, 1 is B to A.

        Takes and returns float32 [N, H, W, C] in [-1, 1].
        """
        return translate(self.directions[i].average, images)

    def preview(self):
        """Return translations of the first `shown` images by the EMAs, for a grid.

        A row has an image of A, its translation to B, and the translation back to A; then the same
        for an image of B.

        Returns:
          (images float32 [N, H, W, C] in [-1, 1], the number of columns).
        """
        rows = max(1, min(MAX_ROWS, MAX_PIXELS // self.image[0], *map(len, self.shown)))
        columns = []
        for i, direction in enumerate(self.directions):
            real = utils.to_float(self.shown[i][:rows])
            fake = translate(direction.average, real)
            columns += [real, fake, translate(self.directions[1 - i].average, fake)]
        return np.stack(columns, 1).reshape(-1, *self.image), len(columns)
