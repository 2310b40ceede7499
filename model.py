"""The trainer of one generator against one critic; the networks are in dcgan, small, resnet."""

import math

import keras
import numpy as np
import tensorflow as tf

import losses
import ops
import utils

# What a random number is for; it keys the stateless generators beside the seed and the step.
LATENT, POINTS, FLIP, PREVIEW, STATISTICS, MEASURE = range(6)
N_STATISTICS = 512  # latents that the average's batch-norm statistics are estimated from
CHUNK = 64
MOST_PIXELS = 4096  # of a grid's height
# Seed 002 (and WGAN's authors, with 100): 25 critic updates in the first ten steps of an epoch
# and in every 200th.
BURST, FIRST_BURSTS, BURST_EVERY = 25, 10, 200


def penalised(batch_size, fraction):
    """How many images of a batch are penalised: that share of it, and two at least.

    Of one image alone, TensorFlow 2.21 on a CPU takes the gradient of a strided 1x1 convolution
    of few channels beyond its memory, and dies.
    """
    return max(2, round(fraction * batch_size))


def fold(key, *numbers):
    """A stateless random key, int32 [2], out of a key and whole numbers."""
    for number in numbers:
        key = tf.random.experimental.stateless_fold_in(key, number)
    return key


class WGAN:
    """One generator against one critic, and the moving average of the generator.

    Its members are those that `train.fit` asks for.
    With `bursts`, the steps of an epoch, the critic has more updates now and then.
    All randomness is keyed by (seed, step, purpose), so that a run continues bit for bit
    from its weights, its optimisers' slots and the count of its steps.
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
        penalty_every=1,
        penalty_fraction=1.0,
        ema=0.999,
        mirror=False,
        seed=0,
    ):
        self.generator, self.critic, self.objective = generator, critic, objective
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        self.batch_size, self.critic_num, self.bursts = batch_size, critic_num, bursts
        self.penalty_every = penalty_every
        self.n_penalised = penalised(batch_size, penalty_fraction)
        self.image = tuple(critic.inputs[0].shape[1:])
        self.latents, self.ema, self.mirror = latents, ema, mirror
        self.z_dim = generator.inputs[0].shape[-1]
        self.classes = generator.inputs[1].shape[-1] if len(generator.inputs) > 1 else 0
        # Roots of the random keys: of training, and of what only looks at it.
        self.key, self.still = tf.constant([seed, 0], tf.int32), tf.constant([seed, 2], tf.int32)
        self.average = self._copy(generator)
        # Batch norm's statistics are a batch's own: real and fake images then go apart.
        self.joint = not _batch_norms(critic)
        self.count = tf.Variable(0, dtype=tf.int64, name="step")
        with tf.device("CPU"):  # so that the host can read it without waiting for the device
            self.seen = tf.Variable(0, dtype=tf.int64, name="images_seen")
        self.penalised = tf.Variable([0.0, 0.0], name="penalty_and_gradient_norm")
        self.broken = tf.Variable(-1, dtype=tf.int64, name="broken_step")
        self.broken_terms = tf.Variable(tf.zeros([0]), shape=[None], name="broken_terms")
        self.terms = ()
        g_optimizer.build(generator.trainable_variables)
        d_optimizer.build(critic.trainable_variables)
        self.step = self._compile()

    def _copy(self, network):
        """What becomes the average of a network, with the same weights."""
        return ops.stock(network, copy=True)

    def _compile(self):
        """`step`: one trace, whatever the number of critic updates."""
        return tf.function(
            self._step,
            input_signature=[
                tf.TensorSpec([None, self.batch_size, *self.image], tf.uint8),
                tf.TensorSpec([None, self.batch_size], tf.int32),
            ],
        )

    @property
    def state(self):
        """What a checkpoint holds, as a dict of trackables."""
        return {
            "generator": self.generator,
            "critic": self.critic,
            "average": self.average,
            "g_optimizer": self.g_optimizer,
            "d_optimizer": self.d_optimizer,
            "step": self.count,
            "seen": self.seen,
            "penalised": self.penalised,
        }

    @property
    def last(self):
        """The count of steps at which training ends by itself."""
        return math.inf

    @property
    def networks(self):
        """What is saved for use without training: file name → Keras model of stock layers."""
        return {"generator": self.average, "critic": ops.stock(self.critic)}

    @property
    def starters(self):
        """What a run can start from: file name → the networks that take its weights."""
        return {"generator": (self.generator, self.average), "critic": (self.critic,)}

    def resume(self, generator, critic):
        """Go on from a restored state: at these learning rates, and with no step broken."""
        self.broken.assign(-1)
        self.g_optimizer.learning_rate = generator
        self.d_optimizer.learning_rate = critic

    def batch_spec(self, step):
        """The images that a step wants: [critic updates, batch]."""
        index = step % self.bursts if self.bursts else -1
        many = self.bursts and (index < FIRST_BURSTS or index % BURST_EVERY == 0)
        return (BURST if many else self.critic_num, self.batch_size)

    def _step(self, images, labels):
        """`step`: `n` critic updates, each on fresh images, then one generator update.

        The generator's update takes the fakes of the last critic update: one pass less.

        Args:
          images: uint8 [n, B, H, W, C].
          labels: int32 [n, B].

        Returns:
          A dict of scalars: losses and the rest, of the critic's as means over its updates.
        """
        key = fold(self.key, self.count)
        last = tf.shape(images)[0] - 1
        hot = self._one_hot(labels[-1])
        weights = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([w.value for w in weights])
            fake = self._generate(hot, fold(key, last))
            with tape.stop_recording():
                terms = self._update_critic(images, labels, fake, key)
            scores = self.critic([fake, *hot], training=True)
            loss = self._mean(self.objective.generator_loss(scores))
        self.g_optimizer.apply(tape.gradient(loss, weights), weights)
        terms["generator_loss"] = loss
        self.count.assign_add(1)
        self.seen.assign_add(tf.size(labels, tf.int64))
        self._average()
        self._watch(terms)
        return terms

    def _update_critic(self, images, labels, fake, key):
        """All critic updates of a step, the last one on `fake`; the means of their terms."""
        n = tf.shape(images)[0]
        names = self._critic_terms()
        sums = [tf.zeros([]) for _ in names]
        for i in tf.range(n):
            hot, own = self._one_hot(labels[i]), fold(key, i)
            fakes = tf.cond(i < n - 1, lambda: self._generate(hot, own), lambda: fake)  # noqa: B023
            terms = self._critic_update(images[i], fakes, hot, own)
            sums = [s + terms[t] for s, t in zip(sums, names)]
        return {t: s / tf.cast(n, s.dtype) for s, t in zip(sums, names)}

    def _critic_terms(self):
        penalised = ("penalty", "gradient_norm") if self.objective.penalty else ()
        probabilities = ("d_real", "d_fake") if self.objective.probabilities else ()
        return ("critic_loss", self.objective.gap, *penalised, *probabilities)

    def _one_hot(self, labels):
        return [tf.one_hot(labels, self.classes)] if self.classes else []

    def _to_float(self, images, key):
        """uint8 → [-1, 1], flipped left-right at random where the set allows it."""
        if self.mirror:
            flip = tf.random.stateless_uniform([self.batch_size, 1, 1, 1], fold(key, FLIP)) < 0.5
            images = tf.where(flip, tf.reverse(images, [2]), images)
        return tf.cast(images, tf.float32) / 127.5 - 1

    def _generate(self, labels, key):
        """Fakes of fresh latents, by batch statistics that leave the moving ones alone."""
        z = self.latents(fold(key, LATENT), (self.batch_size, self.z_dim))
        weights = self.generator.trainable_variables, self.generator.non_trainable_variables
        return self.generator.stateless_call(*weights, [z, *labels], training=True)[0]

    def _score(self, real, fake, labels):
        if not self.joint:
            return [self.critic([x, *labels], training=True) for x in (real, fake)]
        both = [tf.concat([a, b], 0) for a, b in [(real, fake), *((y, y) for y in labels)]]
        return tf.split(self.critic(both, training=True), 2)

    def _mean(self, values):
        return tf.reduce_sum(losses.per_image(values)) / self.batch_size

    def _critic_update(self, images, fake, labels, key):
        real = self._to_float(images, key)
        terms, objective = {}, self.objective
        with tf.GradientTape() as tape:
            real_scores, fake_scores = self._score(real, fake, labels)
            loss = self._mean(objective.critic_loss(real_scores, fake_scores))
            if objective.drift:
                loss += objective.drift * self._mean(losses.drift(real_scores))
            if objective.penalty:
                loss += self._penalise(real, fake, labels, key)
                terms["penalty"], terms["gradient_norm"] = tf.unstack(self.penalised)
        terms["critic_loss"] = loss
        weights = self.critic.trainable_variables
        self.d_optimizer.apply(tape.gradient(loss, weights), weights)
        if objective.clip:
            self._clip(weights)
        terms[objective.gap] = self._mean(real_scores - fake_scores)
        if objective.probabilities:
            scores = {"d_real": real_scores, "d_fake": fake_scores}
            terms |= {name: self._mean(tf.sigmoid(s)) for name, s in scores.items()}
        return terms

    def _clip(self, weights):
        for weight in weights:
            weight.assign(tf.clip_by_value(weight, *self.objective.clip))

    def _penalise(self, real, fake, labels, key):
        """The penalty on a share of the batch, at every k-th critic update k-fold, else 0.

        `penalised` keeps the newest penalty and gradient norm for the log.
        """
        n = self.n_penalised
        y = [t[:n] for t in labels]

        def penalty():
            points = self.objective.points(real[:n], fake[:n], fold(key, POINTS))
            squared = losses.squared_gradient(lambda x: self.critic([x, *y], training=True), points)
            values = self.objective.penalty(squared, **self.objective.weights)
            mean = tf.reduce_mean(values)
            self.penalised.assign([mean, tf.reduce_mean(losses.norm(squared))])
            return mean * self.penalty_every

        if self.penalty_every == 1:
            return penalty()
        due = tf.cast(self.d_optimizer.iterations.value, tf.int64) % self.penalty_every == 0
        return tf.cond(due, penalty, lambda: tf.constant(0.0))

    def _average(self):
        """w̄ ← d·w̄ + (1 - d)·w with d = min(ema, (1 + t) / (10 + t)), short at first."""
        t = tf.cast(self.count, tf.float32)
        keep = tf.minimum(self.ema, (1 + t) / (10 + t))
        pairs = zip(self.average.trainable_variables, self.generator.trainable_variables)
        for mean, weight in pairs:
            mean.assign(mean + (1 - keep) * (weight - mean))

    def _watch(self, terms):
        """Keep the first step whose terms are not all finite, for the host to find."""
        self.terms = tuple(terms)
        values = tf.stack(list(terms.values()))
        if self.broken < 0 and not tf.reduce_all(tf.math.is_finite(values)):
            self.broken.assign(self.count)
            self.broken_terms.assign(values)

    def measure(self, images, labels):
        """What the log has beside a step's terms: the gradient norm where no penalty gives it."""
        if self.objective.penalty:
            return {}
        key = fold(self.still, MEASURE, self.count)
        real, hot = self._to_float(tf.constant(images[0]), key), self._one_hot(labels[0])
        return {"gradient_norm": self._norm(real, hot, key)}

    @tf.function
    def _norm(self, real, labels, key):
        points = losses.interpolates(real, self._generate(labels, key), fold(key, POINTS))
        critic = lambda x: self.critic([x, *labels], training=False)  # noqa: E731
        return self._mean(losses.norm(losses.squared_gradient(critic, points)))

    def problem(self):
        """None, or which step and terms were the first not to be finite. Waits for the device.

        Weights are looked at too: a gradient can overflow where its loss does not.
        """
        step, wrong = self.broken.numpy(), []
        if step >= 0:
            values = zip(self.terms, self.broken_terms.numpy())
            wrong = [name for name, v in values if not np.isfinite(v)]
        else:
            step, parts = self.count.numpy(), {"generator": self.generator, "critic": self.critic}
            for name, network in parts.items():
                sums = [tf.reduce_sum(w) for w in network.trainable_variables]
                if not np.isfinite(tf.add_n(sums)):
                    wrong.append(f"the {name}'s weights")
        return f"{', '.join(wrong)} not finite at step {step}" if wrong else None

    def refresh(self):
        """Estimate the averaged generator's batch-norm statistics, from seeded latents."""
        norms = _batch_norms(self.average)
        if not norms:
            return
        momentum = norms[0].momentum
        for i in range(N_STATISTICS // CHUNK):
            self._estimate(tf.constant(i))
        for layer in norms:
            layer.momentum = momentum

    @tf.function
    def _estimate(self, chunk):
        """Let one chunk of latents into the statistics: 1, 1/2, 1/3, … of them, the plain mean."""
        for layer in _batch_norms(self.average):
            layer.momentum = tf.cast(chunk / (chunk + 1), tf.float32)
        z = self.latents(fold(self.still, STATISTICS, chunk), (CHUNK, self.z_dim))
        self.average([z, *self._cycle(CHUNK)], training=True)

    def _cycle(self, count):
        """Labels 0, 1, …, K - 1, 0, … one-hot, or none."""
        return self._one_hot(tf.range(count) % max(self.classes, 1))

    def samples(self, labels):
        """uint8 images of the averaged generator for labels int [N], to be measured."""
        self.refresh()
        return draw_measured(self.average, self.latents, labels)

    def preview(self):
        """Fixed latents as the averaged generator shows them.

        Returns:
          (images float32 [N, H, W, C] in [-1, 1], columns of their grid): eight rows, and a
          column for each class where there are labels, eight columns where not. Fewer where that
          would be more than `MOST_PIXELS` high.
        """
        self.refresh()
        rows = max(1, min(8, MOST_PIXELS // self.image[0]))
        columns = self.classes if 1 < self.classes <= 16 else rows
        z = self.latents(fold(self.still, PREVIEW), (rows * columns, self.z_dim))
        return draw(self.average, z, self._cycle(rows * columns)), columns


def draw_measured(generator, latents, labels):
    """uint8 images for a measure: latents that are the same for each run and seed.

    `labels` int [N] go to a generator that takes them.
    """
    inputs = generator.inputs
    z = latents(tf.constant([0, 3], tf.int32), (len(labels), inputs[0].shape[-1]))
    hot = [tf.one_hot(labels, inputs[1].shape[-1])] if len(inputs) > 1 else []
    return utils.to_uint8(draw(generator, z, hot))


def _batch_norms(model):
    return [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]


def draw(generator, z, labels=()):
    """Images of latents [N, z_dim] and one-hot labels in inference mode, float32 [N, H, W, C]."""
    parts = []
    height, width = generator.outputs[0].shape[1:3]
    chunk = max(1, min(CHUNK, CHUNK * 128**2 // (height * width)))  # no more memory when large
    for i in range(0, len(z), chunk):
        inputs = [t[i : i + chunk] for t in (z, *labels)]
        parts.append(np.asarray(generator(inputs, training=False), np.float32))
    return np.concatenate(parts)
