"""The state of a generator and a critic in training: networks, optimisers and EMA.

`model.GANTrainer` adds the step.
"""

import math
import typing

import keras
import tensorflow as tf

import utils
from training import replicas
from training.average import AveragePreview, move
from training.base import TrainerBase, Use
from training.randomness import Purpose, fold

# Seed 002 does 25 critic updates in each of an epoch's first ten steps and in every 200th step. The
# authors of WGAN do 100 updates.
BURST, FIRST_BURSTS, BURST_EVERY = 25, 10, 200


class Judged(typing.NamedTuple):
    """A batch of images and what the critic makes of them.

    Attributes:
      images: float32 [B, H, W, C], augmented.
      scores: [B], or one for each patch, [B, h, w, 1].
      features: the features that an auxiliary loss uses, in the critic's update; else [].
    """

    images: tf.Tensor
    scores: tf.Tensor
    features: list


class PairTrainer(AveragePreview, TrainerBase):
    """The state of a generator and a critic, and the batches of a step.

    A subclass implements the step, `_copy` and `networks`. For `judge`, it sets `joint`, True to
    score real and fake images in one pass, and `frozen`, the critic's layers that are not trained.
    The caller creates the networks and optimisers in the scope of `strategy`.

    Args:
      generator, critic: Keras models, as `model.build_dcgan` returns them. A critic may have the
        attribute `auxiliary`, a `losses.Auxiliary`. The critic must not grow then.
      objective: a `losses.Objective`.
      g_optimizer, d_optimizer: Keras optimisers.
      batch_size: images in a batch of all replicas.
      critic_num: critic updates in a step.
      bursts: steps in an epoch if some of them have `BURST` critic updates, else 0.
      latents: (key, shape) → random tensor.
      ema: decay of the EMA, in [0, 1].
      mirror: True flips training images left-right with probability 1/2.
      augment: function that returns a new `Augment`, or None for no augmentation.
      class_counts: training images of each class; () if unknown, for equally many.
      seed, strategy, jit: see `TrainerBase`.
    """

    def __init__(
        self,
        generator,
        critic,
        objective,
        g_optimizer,
        d_optimizer,
        *,
        batch_size,
        critic_num,
        bursts=0,
        latents,
        ema=0.999,
        mirror=False,
        augment=None,
        class_counts=(),
        seed=0,
        strategy=None,
        jit=False,
    ):
        image = tuple(critic.inputs[0].shape[1:])
        super().__init__(strategy, batch_size=batch_size, image=image, seed=seed, jit=jit)
        self.generator, self.critic, self.objective = generator, critic, objective
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        self.critic_num, self.bursts = critic_num, bursts
        self.latents, self.ema, self.mirror = latents, ema, mirror
        self.class_counts = [int(n) for n in class_counts]
        self.z_dim = generator.inputs[0].shape[-1]
        self.augment = augment() if augment else None
        self.auxiliary = getattr(critic, "auxiliary", None)
        self.inspected = self._with_features(critic)
        self.classes = generator.inputs[1].shape[-1] if len(generator.inputs) > 1 else 0
        with self.strategy.scope():
            self.average = self._copy(generator)
            # Each replica's part of the newest penalty and gradient norm.
            self.parts = tf.Variable(
                [0.0, 0.0],
                name="penalty_and_gradient_norm",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            more = self._auxiliary_weights
            for optimizer, weights in (
                (g_optimizer, generator.trainable_variables),
                (d_optimizer, [*critic.trainable_variables, *more]),
            ):
                optimizer.build(weights)
                replicas.order_updates(self.strategy, optimizer)
        several = self.strategy.num_replicas_in_sync > 1
        self.penalised = tf.Variable([0.0, 0.0]) if several else self.parts

    def _copy(self, network):
        """Copy a network and its weights, for the EMA."""
        raise NotImplementedError

    def _with_features(self, critic):
        """Return the critic with the features of the auxiliary loss as more outputs, if any."""
        if not self.auxiliary:
            return critic
        features = [critic.get_layer(name).output for name in self.auxiliary.features]
        return keras.Model(critic.inputs, [critic.output, *features])

    @property
    def _helpers(self):
        """The network of the auxiliary loss, which is trained with the critic: name → model."""
        return {"decoder": self.auxiliary.network} if self.auxiliary else {}

    @property
    def _auxiliary_weights(self):
        return [w for network in self._helpers.values() for w in network.trainable_variables]

    @property
    def state(self):
        """The contents of a checkpoint: name → trackable."""
        return {
            "generator": self.generator,
            "critic": self.critic,
            **self._helpers,
            "average": self.average,
            "g_optimizer": self.g_optimizer,
            "d_optimizer": self.d_optimizer,
            "step": self.count,
            "seen": self.seen,
            "penalised": self.penalised,
            **({"augment": self.augment} if self.augment is not None else {}),
        }

    @property
    def trained(self):
        """The trained networks: name → Keras model."""
        return {"generator": self.generator, "critic": self.critic, **self._helpers}

    @property
    def last(self):
        """The step at which the trainer's own schedule ends. This trainer has none."""
        return math.inf

    @property
    def starters(self):
        """The files that a run can start from: name → the networks that take the weights."""
        helpers = {name: (network,) for name, network in self._helpers.items()}
        return {"generator": (self.generator, self.average), "critic": (self.critic,), **helpers}

    def resume(self, generator, critic):
        """Continue from a restored checkpoint, with these learning rates of the two networks."""
        self.broken.assign(-1)
        self.parts.assign(self.penalised)
        self.g_optimizer.learning_rate = generator
        self.d_optimizer.learning_rate = critic

    def batch_spec(self, step):
        """Return (critic updates, batch size) of the next step, after `step` steps."""
        index = step % self.bursts if self.bursts else -1
        many = self.bursts and (index < FIRST_BURSTS or index % BURST_EVERY == 0)
        return (BURST if many else self.critic_num, self.batch_size)

    def _to_float(self, images, key):
        """Convert uint8 [B, H, W, C] to float32 in [-1, 1]; flip at random if `mirror`."""
        images = tf.convert_to_tensor(images)  # eager steps get arrays
        if self.mirror:
            count = images.shape[0]
            flip = replicas.uniform(fold(key, Purpose.FLIP), (count,)) < 0.5
            # Much faster than tf.where on images.
            both = tf.concat([images, tf.reverse(images, [2])], 0)
            images = tf.gather(both, tf.range(count) + tf.where(flip, count, 0))
        return utils.to_float(images)

    @property
    def critic_weights(self):
        """The critic's trainable weights, without those of the layers in `frozen`."""
        frozen = {id(w) for layer in self.frozen for w in layer.trainable_variables}
        return [w for w in self.critic.trainable_variables if id(w) not in frozen]

    def judge(self, batches, labels, key, use):
        """Augment and score images. Every use of the critic goes through this method.

        Args:
          batches: list of float32 [B, H, W, C] in [-1, 1].
          labels: [one-hot labels [B, classes]] of each batch, or [].
          key: int32 [2], for the random numbers of the augmentation.
          use: a `Use`. Batch norm is in inference mode for MEASURE only.

        Returns:
          A list of `Judged`.
        """
        batches = [self._augment(x, key, use, i) for i, x in enumerate(batches)]
        training, count = use is not Use.MEASURE, len(batches)
        critic = self.inspected if self.auxiliary and use is Use.CRITIC else self.critic
        if self.joint and use is Use.CRITIC:
            labels = [tf.concat([y] * count, 0) for y in labels]
            outputs = tf.nest.flatten(critic([tf.concat(batches, 0), *labels], training=training))
            found = zip(*(tf.split(x, count) for x in outputs))
        else:
            found = (tf.nest.flatten(critic([x, *labels], training=training)) for x in batches)
        return [Judged(x, scores, more) for x, (scores, *more) in zip(batches, found)]

    def _augment(self, images, key, use, place=0):
        """Augment images for a use of the critic's scores, except for a measurement.

        `place` is the number of these images among those that are scored together.
        """
        if not self.augments or use is Use.MEASURE:
            return images
        return self.augment(images, fold(key, Purpose.AUGMENT, list(Use).index(use), place))

    @property
    def augments(self):
        """True if the critic sees augmented images."""
        return bool(self.augment)

    def augmented(self, images):
        """Augment uint8 [N, H, W, C] at the present strength, always by the same random numbers.

        Returns:
          float32 [N, H, W, C], or None without augmentation.
        """
        if not self.augments:
            return None
        return self.augment(utils.to_float(images), fold(self.still, Purpose.AUGMENT))

    def _adapt(self, terms, images):
        if not self.augments:
            return {}
        self.augment.adapt(terms["sign_real"], images)
        return {"augment_p": tf.convert_to_tensor(self.augment.p)}

    def _generate(self, labels, key):
        """Return this replica's fakes, float32 [B / R, H, W, C], from new latents.

        Batch norm uses the statistics of the batch and leaves the moving statistics unchanged.
        """
        rows = self.batch_size // replicas.replica_count()
        z = replicas.draw(self.latents, fold(key, Purpose.LATENTS), (rows, self.z_dim))
        weights = self.generator.trainable_variables, self.generator.non_trainable_variables
        fake = self.generator.stateless_call(*weights, [z, *labels], training=True)[0]
        return tf.cast(fake, tf.float32)

    def _apply(self, optimizer, gradients, weights):
        optimizer.apply(replicas.all_or_none(optimizer, gradients), weights)

    def _after_step(self):
        if self.penalised is not self.parts:
            self.penalised.assign(self.parts)
        self.strategy.run(self._move_average)

    def _move_average(self):
        move(self.average, self.generator, self.count, self.ema)
