"""The DCGAN pair of networks, and the trainer of one generator against one critic."""

import keras
import numpy as np
import tensorflow as tf

import ops

# What a random number is for; it keys the stateless generators beside the seed and the step.
LATENT, MIX, FLIP, PREVIEW, STATISTICS = range(5)
N_STATISTICS = 512  # latents that the average's batch-norm statistics are estimated from
CHUNK = 64


def critic_sizes(size):
    """The chain of image sizes of a critic: halved, rounded up, until both sides are ≤ 4."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 4:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def generator_sizes(size):
    """The same for a generator, which stops at 5 or 7: 28 → 14 → 7, 48 → 24 → 12 → 6 → 3."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 7 or (max(sizes[-1]) > 4 and max(sizes[-1]) % 2 == 0):
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def halvings(size, widths, sizes, most=512):
    """(sizes, widths) from the image inwards.

    One width is a base, doubled at each of `sizes` up to `most` channels; a list of widths is
    taken as it is, and its length tells how often the size is halved.
    """
    if len(widths) == 1:
        chain = sizes(size)
        return chain, [min(widths[0] * 2**i, max(most, widths[0])) for i in range(len(chain) - 1)]
    chain = [tuple(size)]
    for _ in widths:
        chain.append(tuple((n + 1) // 2 for n in chain[-1]))
    return chain, list(widths)


def build_dcgan(spec, *, z_dim, g_width, d_width, fc_width, kernel_size, critic_norm):
    """DCGAN (1511.06434) for any size, with labels where the set has them.

    Returns:
      generator: [z [B, z_dim], (labels [B, K])] → images [B, H, W, C] in [-1, 1].
      critic: [images, (labels)] → scores [B].
    Labels are appended at every layer, as the seed does. Its networks are the widths
    (512, 256, 128, 64) and (64, 128, 256, 512) for faces, (128, 128), (11, 74) and a dense
    layer of 1024 for MNIST, all with kernels of 5. Deviation: tanh and [-1, 1] for MNIST
    too, which differs from a sigmoid and [0, 1] by a scale alone.
    """
    size = (spec.height, spec.width)
    labels = [keras.Input((spec.classes,), name="labels")] if spec.classes else []
    z = keras.Input((z_dim,), name="z")
    chain, widths = halvings(size, g_width[::-1], generator_sizes)
    image = _grow(z, labels, chain, widths, fc_width, kernel_size, spec.channels)
    generator = keras.Model([z, *labels], image, name="generator")

    labels = [keras.Input((spec.classes,), name="labels")] if spec.classes else []
    x = keras.Input((*size, spec.channels), name="images")
    _, widths = halvings(size, d_width, critic_sizes)
    score = _judge(x, labels, widths, fc_width, kernel_size, critic_norm)
    return generator, keras.Model([x, *labels], score, name="critic")


def _grow(z, labels, chain, widths, fc_width, kernel, channels):
    """Latents → images in [-1, 1]; `chain` and `widths` are listed from the image inwards."""
    x = ops.concat_labels(z, labels)
    height, width = chain[-1]
    if fc_width:
        x = ops.relu(ops.norm(ops.dense(x, fc_width), "batch"))
        x = ops.concat_labels(x, labels)
        x = ops.norm(ops.dense(x, height * width * widths[-1]), "batch")
        x = keras.layers.Reshape((height, width, widths[-1]))(x)
    else:
        x = ops.dense(x, height * width * widths[-1])
        x = keras.layers.Reshape((height, width, widths[-1]))(x)
        x = ops.norm(x, "batch")
    x = ops.relu(x)
    for size, width in zip(chain[-2:0:-1], widths[-2::-1]):
        x = ops.deconv(ops.concat_labels(x, labels), width, kernel, size)
        x = ops.relu(ops.norm(x, "batch"))
    x = ops.deconv(ops.concat_labels(x, labels), channels, kernel, chain[0])
    return keras.layers.Activation("tanh", dtype="float32")(x)


def _judge(x, labels, widths, fc_width, kernel, norm):
    """Images → scores [B]; no norm in the first layer (DCGAN)."""
    for i, width in enumerate(widths):
        x = ops.conv(ops.concat_labels(x, labels), width, kernel)
        x = ops.leaky_relu(ops.norm(x, norm if i else "none"))
    x = ops.concat_labels(keras.layers.Flatten()(x), labels)
    if fc_width:
        x = ops.leaky_relu(ops.norm(ops.dense(x, fc_width), norm))
        x = ops.concat_labels(x, labels)
    x = keras.layers.Dense(1, kernel_initializer=ops.normal_init(), dtype="float32")(x)
    return keras.layers.Reshape(())(x)


def fold(key, *numbers):
    """A stateless random key, int32 [2], out of a key and whole numbers."""
    for number in numbers:
        key = tf.random.experimental.stateless_fold_in(key, number)
    return key


class WGAN:
    """One generator against one critic, and the moving average of the generator.

    Members that `fit` uses: `batch_spec`, `step`, `preview`, `state`, `refresh`, `problem`.
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
        latents,
        ema=0.999,
        mirror=False,
        seed=0,
    ):
        self.generator, self.critic, self.objective = generator, critic, objective
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        self.batch_size, self.critic_num = batch_size, critic_num
        self.latents, self.ema, self.mirror = latents, ema, mirror
        self.z_dim = generator.inputs[0].shape[-1]
        self.classes = generator.inputs[1].shape[-1] if len(generator.inputs) > 1 else 0
        self.key = tf.constant([seed, 0], tf.int32)
        self.average = keras.models.clone_model(generator)
        self.average.set_weights(generator.get_weights())
        # Batch norm's statistics are a batch's own: real and fake images then go apart.
        self.joint = not _batch_norms(critic)
        self.count = tf.Variable(0, dtype=tf.int64, name="step")
        self.seen = tf.Variable(0, dtype=tf.int64, name="images_seen")
        self.broken = tf.Variable(-1, dtype=tf.int64, name="broken_step")
        self.broken_terms = tf.Variable(tf.zeros([0]), shape=[None], name="broken_terms")
        self.terms = ()
        g_optimizer.build(generator.trainable_variables)
        d_optimizer.build(critic.trainable_variables)

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
        }

    @property
    def networks(self):
        """What is saved for use without training: file name → Keras model."""
        return {"generator": self.average, "critic": self.critic}

    def set_rates(self, generator, critic):
        """The learning rates, which a checkpoint restores, as the settings have them now."""
        self.g_optimizer.learning_rate = generator
        self.d_optimizer.learning_rate = critic

    def batch_spec(self, step):
        """The images that a step wants: [critic updates, batch]."""
        del step  # a constant number
        return (self.critic_num, self.batch_size)

    @tf.function(reduce_retracing=True)
    def step(self, images, labels):
        """`n` critic updates, each on fresh images, then one generator update.

        Args:
          images: uint8 [n, B, H, W, C].
          labels: int32 [n, B].

        Returns:
          A dict of scalars: losses and the rest, of the critic's as means over its updates.
        """
        key = fold(self.key, self.count)
        n = tf.shape(images)[0]
        sums = [tf.zeros([]) for _ in self._critic_terms()]
        for i in tf.range(n):
            terms = self._update_critic(images[i], self._one_hot(labels[i]), fold(key, i))
            sums = [s + terms[t] for s, t in zip(sums, self._critic_terms())]
        terms = {t: s / tf.cast(n, s.dtype) for s, t in zip(sums, self._critic_terms())}
        terms |= self._update_generator(self._one_hot(labels[-1]), fold(key, n))
        self.count.assign_add(1)
        self.seen.assign_add(tf.size(labels, tf.int64))
        self._average()
        self._watch(terms)
        return terms

    def _critic_terms(self):
        penalised = ("penalty", "gradient_norm") if self.objective.penalty else ()
        return ("critic_loss", self.objective.gap, *penalised)

    def _one_hot(self, labels):
        return [tf.one_hot(labels, self.classes)] if self.classes else []

    def _to_float(self, images, key):
        """uint8 → [-1, 1], flipped left-right at random where the set allows it."""
        images = tf.cast(images, tf.float32) / 127.5 - 1
        if not self.mirror:
            return images
        flip = tf.random.stateless_uniform([self.batch_size, 1, 1, 1], fold(key, FLIP)) < 0.5
        return tf.where(flip, tf.reverse(images, [2]), images)

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
        return tf.reduce_sum(values) / self.batch_size

    def _update_critic(self, images, labels, key):
        real, fake = self._to_float(images, key), self._generate(labels, key)
        mix = tf.random.stateless_uniform([self.batch_size, 1, 1, 1], fold(key, MIX))
        terms = {}
        with tf.GradientTape() as tape:
            real_scores, fake_scores = self._score(real, fake, labels)
            loss = self._mean(self.objective.critic_loss(real_scores, fake_scores))
            if self.objective.penalty:
                penalty, norms = self.objective.penalty(
                    lambda x: self.critic([x, *labels], training=True),
                    *(real, fake, mix),
                    **self.objective.weights,
                )
                terms["penalty"], terms["gradient_norm"] = map(self._mean, (penalty, norms))
                loss += terms["penalty"]
        terms["critic_loss"] = loss
        weights = self.critic.trainable_variables
        self.d_optimizer.apply(tape.gradient(loss, weights), weights)
        if self.objective.clip:
            for weight in weights:
                weight.assign(tf.clip_by_value(weight, *self.objective.clip))
        terms[self.objective.gap] = self._mean(real_scores - fake_scores)
        return terms

    def _update_generator(self, labels, key):
        weights = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([w.value for w in weights])
            scores = self.critic([self._generate(labels, key), *labels], training=True)
            loss = self._mean(self.objective.generator_loss(scores))
        self.g_optimizer.apply(tape.gradient(loss, weights), weights)
        return {"generator_loss": loss}

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

    def problem(self):
        """None, or which step and terms were the first not to be finite. Waits for the device."""
        if self.broken.numpy() < 0:
            return None
        values = zip(self.terms, self.broken_terms.numpy())
        wrong = ", ".join(name for name, v in values if not np.isfinite(v))
        return f"{wrong} not finite at step {self.broken.numpy()}"

    def refresh(self):
        """Estimate the averaged generator's batch-norm statistics, from seeded latents."""
        norms = _batch_norms(self.average)
        if not norms:
            return
        momentum = norms[0].momentum
        for i in range(N_STATISTICS // CHUNK):
            for layer in norms:  # 0, 1/2, 2/3, ...: the plain mean over the chunks
                layer.momentum = i / (i + 1)
            key = fold(self.key, STATISTICS, i)
            self.average(
                [self.latents(key, (CHUNK, self.z_dim)), *self._cycle(CHUNK)], training=True
            )
        for layer in norms:
            layer.momentum = momentum

    def _cycle(self, count):
        """Labels 0, 1, …, K - 1, 0, … one-hot, or none."""
        return self._one_hot(tf.range(count) % max(self.classes, 1))

    def preview(self):
        """Fixed latents as the averaged generator shows them.

        Returns:
          (images float32 [N, H, W, C] in [-1, 1], columns of their grid): eight rows, and a
          column for each class where there are labels, eight columns where not.
        """
        self.refresh()
        columns = self.classes if 1 < self.classes <= 16 else 8
        z = self.latents(fold(self.key, PREVIEW), (8 * columns, self.z_dim))
        return draw(self.average, z, self._cycle(8 * columns)), columns


def _batch_norms(model):
    return [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]


def draw(generator, z, labels=()):
    """Images of latents [N, z_dim] and one-hot labels in inference mode, float32 [N, H, W, C]."""
    parts = []
    for i in range(0, len(z), CHUNK):
        inputs = [t[i : i + CHUNK] for t in (z, *labels)]
        parts.append(np.asarray(generator(inputs, training=False), np.float32))
    return np.concatenate(parts)
