"""The base class of trainers: replicas, counts of steps and images, and the check for NaN.

A subclass creates its networks, optimisers and EMAs in the scope of `strategy`. It writes its step
as `_replica_step`, by the rules of `replicas.py`.
"""

import enum

import numpy as np
import tensorflow as tf

from training import replicas
from training.randomness import fold


class Use(enum.Enum):
    """The purpose of a critic's scores, see `PairTrainer.judge`."""

    CRITIC = "the critic's update"
    GENERATOR = "the generator's update"
    PENALTY = "a penalty on the critic's gradient"
    MEASURE = "a measurement for the log, in inference mode"


@tf.function
def _sums(weights):
    """Sum each list of tensors in a dict. A sum is finite only if all its terms are."""
    return {name: tf.add_n([tf.reduce_sum(w) for w in ws]) for name, ws in weights.items()}


class TrainerBase:
    """The compiled step, and the counts of steps and images.

    Args:
      strategy: a tf.distribute strategy, or None for one replica.
      batch_size: images in a batch of all replicas.
      image: (height, width, channels) of a step's images.
      seed: integer from which all random keys are made.
      jit: True compiles a replica's part of the step with XLA.
    """

    from_image = True  # how saved layers are matched to the networks, see `layers.transfer.take`

    def __init__(self, strategy, *, batch_size, image, seed, jit=False):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.jit = jit
        self.batch_size, self.image = batch_size, image
        # Roots of the random keys: of training, and of previews and measurements.
        self.key, self.still = tf.constant([seed, 0], tf.int32), tf.constant([seed, 2], tf.int32)
        self.count = tf.Variable(0, dtype=tf.int64, name="step")
        with tf.device("CPU"):  # the host can read it without waiting for a GPU
            self.seen = tf.Variable(0, dtype=tf.int64, name="images_seen")
        self.broken = tf.Variable(-1, dtype=tf.int64, name="broken_step")
        self.broken_terms = tf.Variable(tf.zeros([0]), shape=[None], name="broken_terms")
        self.terms = ()

    @property
    def grows(self):
        """True if later updates have larger images."""
        return False

    def stages(self):
        """Go to each stage of a growth that is left; yield ((height, width), updates) of each.

        For measurements: no training can follow.
        """
        return ()

    @property
    def trained(self):
        """The trained networks: name → Keras model."""
        raise NotImplementedError

    def start_from(self, saved):
        """Prepare to take the weights of saved networks, before the first step.

        Args:
          saved: dict of the names of `starters` → Keras model. Only generators are always there.

        Returns:
          A text that says what the training starts with, or None. Here it is None.
        """
        del saved

    def _replica_step(self, images, labels, key):
        """Do one replica's part of a step.

        Args:
          images: uint8 [n, B, H, W, C], the images of this process. The replica takes its own rows
            with `replicas.local_rows`.
          labels: int32 [n, B].
          key: int32 [2].

        Returns:
          A dict of scalars, whose sums over the replicas are the terms of the step.
        """
        raise NotImplementedError

    def _after_step(self):
        """Update the EMA. Runs after the replicas' part of the step."""

    @property
    def augments(self):
        """True if the critics see augmented images."""
        return False

    def _adapt(self, terms, images):
        """Adapt the augmentation to the terms of a step over real images; return more terms."""
        return {}

    def _compile(self):
        """Return the compiled step."""
        return self._compiled(self._step)

    def _compiled(self, step, *more):
        """Compile a step.

        On several replicas and with XLA there is one trace for each number of critic updates, and
        no `tf.while_loop`. An all-reduce cannot run inside such a loop, and XLA runs such a loop
        ten times slower on a CPU. XLA compiles `_replica_step` only, as the rest
        uses variables on the host.

        Args:
          step: a function of images, labels and more tensors.
          *more: the TensorSpecs of these.

        Returns:
          A tf.function.
        """
        part = self._replica_step
        self._part = tf.function(part, jit_compile=True) if self.jit else part
        if self.jit or self.strategy.num_replicas_in_sync > 1:
            return tf.function(step)
        return tf.function(step, input_signature=[*self._inputs(), *more])

    def _inputs(self):
        """Return the TensorSpecs of a step's images and labels."""
        images = tf.TensorSpec([None, self.batch_size, *self.image], tf.uint8)
        return images, tf.TensorSpec([None, self.batch_size], tf.int32)

    def random_batch(self, step):
        """Return a batch of random pixels and labels of 0, to time updates.

        It fits the update after `step` steps, in a process that has all replicas.
        """
        updates, _ = self.batch_spec(step)
        rng, batch = np.random.default_rng(step), []
        for spec in self._inputs():
            sizes = [n or size for n, size in zip(spec.shape[2:], self.image)]
            high = 256 if spec.dtype == tf.uint8 else 1
            shape = (updates, spec.shape[1], *sizes)
            batch.append(rng.integers(0, high, shape, spec.dtype.as_numpy_dtype))
        return batch

    def _updates(self, images):
        """Return n, the number of critic updates, from images [n, ...].

        n is a Python int if the trace has a fixed n, which unrolls loops over it.
        """
        return images.shape[0] or tf.shape(images)[0]

    def _step(self, images, labels):
        """Do one step: n critic updates, and one generator update.

        Args:
          images: uint8 [n, B, H, W, C] with B images of the batch for this process.
          labels: int32 [n, B].

        Returns:
          A dict of scalars. The critic's terms are means over its n updates.
        """
        key = fold(self.key, self.count)
        terms = self.strategy.run(self._part, (images, labels, key))
        terms = replicas.reduce_terms(self.strategy, terms)
        self.count.assign_add(1)
        images_seen = tf.shape(labels, tf.int64)[0] * self.batch_size
        self.seen.assign_add(images_seen)
        terms |= self._adapt(terms, images_seen)
        self._after_step()
        self._record_broken(terms)
        return terms

    def _record_broken(self, terms):
        """Record the first step with a NaN or infinite term, for `problem`."""
        self.terms = tuple(terms)
        values = tf.stack(list(terms.values()))
        if self.broken < 0 and not tf.reduce_all(tf.math.is_finite(values)):
            self.broken.assign(self.count)
            self.broken_terms.assign(values)

    def problem(self):
        """Describe the first non-finite step, or return None. Blocks on the device.

        The weights are checked too, since a gradient can overflow where the loss does not.
        """
        step, wrong = self.broken.numpy(), []
        if step >= 0:
            values = zip(self.terms, self.broken_terms.numpy())
            wrong = [name for name, v in values if not np.isfinite(v)]
        else:
            step = self.count.numpy()
            # Tensors, because the tf.function would keep references to mirrored variables.
            sums = _sums(
                {
                    name: [tf.convert_to_tensor(w) for w in network.trainable_variables]
                    for name, network in self.trained.items()
                }
            )
            wrong = [f"the {name}'s weights" for name in sums if not np.isfinite(sums[name])]
        return f"{', '.join(wrong)} not finite at step {step}" if wrong else None
