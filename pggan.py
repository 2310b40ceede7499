"""Progressive growing of GANs (PGGAN, 1710.10196): the schedule, the networks and the trainer.

Training begins with images of 4x4 pixels. At each stage both networks get a block more, for
images of twice the size, which is faded in. The weights of all stages are there from the start,
for most of them belong to the first ones.
"""

import dataclasses
import itertools

import keras
import tensorflow as tf

import layers
import model
import ops

FIRST = 4  # pixels of the first stage's images


# ---- the schedule ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Now:
    """Where the growth is: stage 0, 1, …; α of its fade; images in a batch."""

    stage: int
    alpha: float
    batch: int


@dataclasses.dataclass(frozen=True)
class Plan:
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
        """The `Now` after so many images. After the last stage's end it goes on stable."""
        after = seen - self.stable
        if after < 0 or len(self.batches) == 1:
            return Now(0, 1.0, self.batches[0])
        stage = min(1 + after // (self.fade + self.stable), len(self.batches) - 1)
        into = after - (stage - 1) * (self.fade + self.stable)
        alpha = min(1.0, into / self.fade) if self.fade else 1.0
        return Now(stage, alpha, self.batches[stage])

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


# ---- the networks ----------------------------------------------------------------------------


def build_pggan(spec, *, z_dim, fmap_base, fmap_max, max_res, label_mode):
    """The networks of all stages (PGGAN, table 2), for square images of `max_res` pixels.

    Labels are appended to the generator's latent; `label_mode` says how the critic's last layers
    take them: `ops.score`, and as constant maps of its 4x4 features in "concat".

    Returns:
      generator: [z, (labels)] → the stages' images as they fade in, then as they are at their end.
      critic: [images of the last stage, …, of the first, (labels)] → the stages' scores.
    `stage_generator` and `stage_critic` take a stage's network out of them.
    """
    chain = sizes(max_res)
    widths = [max(1, min(2 * fmap_base // size, fmap_max)) for size in chain]
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    fading, whole = _grow(z, labels, widths, spec.channels)
    generator = keras.Model([z, *labels], [*fading, *whole], name="generator")
    _, labels = ops.image_inputs(spec)
    images, scores = _judge(labels, chain, widths, spec.channels, label_mode)
    return generator, keras.Model([*images[::-1], *labels], scores, name="critic")


def stage_generator(generator, stage, *, whole=False):
    """The generator of one stage, as it fades in, or without what is left of the stage before."""
    stages = len(generator.outputs) // 2
    return keras.Model(
        generator.inputs, generator.outputs[stage + whole * stages], name="generator"
    )


def stage_critic(critic, stage):
    """The critic of one stage."""
    stages = len(critic.outputs)
    images, labels = critic.inputs[stages - 1 - stage], critic.inputs[stages:]
    return keras.Model([images, *labels], critic.outputs[stage], name="critic")


def stages(generator, critic, *, batch_size, batch_dict):
    """What is trained at each stage: [(generator, critic, images in a batch)]."""
    counts = batches(critic.inputs[0].shape[1], batch_size, batch_dict)
    return [
        (stage_generator(generator, i), stage_critic(critic, i), n) for i, n in enumerate(counts)
    ]


def _conv(width, kernel=3, **options):
    return layers.EqualConv(width, kernel, padding="same", **options)


def _normed(x):
    return layers.pixel_norm(ops.leaky_relu(x))


def _grow(z, labels, widths, channels):
    """Latents → the images of each stage: (as they fade in, at its end). Linear at the last."""
    x = ops.concat_labels(layers.pixel_norm(z), labels)
    x = keras.layers.Reshape((1, 1, x.shape[-1]))(x)
    x = _normed(layers.EqualDeconv(widths[0], FIRST)(x))  # [B, 4, 4, widths[0]]
    x = _normed(_conv(widths[0])(x))
    whole = [_conv(channels, 1, gain=1.0)(x)]
    fading = whole[:]
    for width in widths[1:]:
        x = layers.Up(2)(x)
        for _ in range(2):
            x = _normed(_conv(width)(x))
        whole.append(_conv(channels, 1, gain=1.0)(x))
        fading.append(layers.fade(layers.Up(2)(whole[-2]), whole[-1]))
    return fading, whole


def _judge(labels, chain, widths, channels, label_mode):
    """(the images, the scores) of each stage. A stage's blocks are those of the ones before."""
    down = keras.layers.AveragePooling2D(2)
    rest = _head(labels, widths[0], label_mode)  # from the features of a size on to the score
    images, scores, reads = [], [], []
    for i, (size, width) in enumerate(zip(chain, widths)):
        images.append(keras.Input((size, size, channels), name=f"images_{size}"))
        reads.append(_conv(width, 1))
        x = ops.leaky_relu(reads[i](images[i]))
        if i:
            own = _block(size, width, widths[i - 1])
            old = ops.leaky_relu(reads[i - 1](down(images[i])))
            scores.append(rest([layers.fade(old, own(x)), *labels]))
            features = keras.Input((size, size, width))
            score = rest([own(features), *labels])
            rest = keras.Model([features, *labels], score, name=f"from_{size}")
        else:
            scores.append(rest([x, *labels]))
    return images, scores


def _block(size, width, out):
    """Features [size, size, width] → [size / 2, size / 2, out], as a network."""
    features = keras.Input((size, size, width))
    x = ops.leaky_relu(_conv(width)(features))
    x = ops.leaky_relu(_conv(out)(x))
    return keras.Model(features, keras.layers.AveragePooling2D(2)(x), name=f"block_{size}")


def _head(labels, width, label_mode):
    """Features [4, 4, width], (labels) → scores, as a network."""
    features = keras.Input((FIRST, FIRST, width))
    x = ops.concat_labels(features, labels if label_mode == "concat" else [])
    x = ops.leaky_relu(_conv(width)(layers.BatchDeviation()(x)))
    x = ops.leaky_relu(layers.EqualConv(width, FIRST)(x))
    score = ops.score(keras.layers.Flatten()(x), labels, label_mode, init=ops.EQUAL)
    return keras.Model([features, *labels], score, name="head")


# ---- the trainer -----------------------------------------------------------------------------


class PGGAN(model.WGAN):
    """`model.WGAN` on networks that grow by a `Plan`.

    `generator`, `critic` and `average` are those of the present stage, and `whole` has the ones
    of all stages. α lies in the networks themselves, in their `layers.Fade`s. Each stage has a
    compiled step of its own, made when the stage begins.
    """

    def __init__(
        self,
        generator,
        critic,
        *parts,
        batch_size,
        penalty_fraction,
        fade_kimg,
        stable_kimg,
        batch_dict,
        **options,
    ):
        super().__init__(generator, critic, *parts, batch_size=batch_size, **options)
        self.whole = {"generator": generator, "critic": critic, "average": self.average}
        self.penalty_fraction = penalty_fraction
        counts = batches(self.image[0], batch_size, batch_dict)
        self.plan = Plan(round(1000 * fade_kimg), round(1000 * stable_kimg), counts)
        with tf.device("CPU"):  # read by the host before each step
            self.stage = tf.Variable(0, name="stage")
        self.joint = False  # a batch's deviation is its own: real and fake images go apart
        self._show()

    @property
    def state(self):
        """What a checkpoint holds: the networks of all stages, and the present one."""
        return {**super().state, **self.whole, "stage": self.stage}

    @property
    def networks(self):
        """The present stage's networks, α folded in, and after the fade the new side alone."""
        whole = float(self.alpha.numpy()) == 1
        generator = stage_generator(self.whole["average"], int(self.stage), whole=whole)
        return {"generator": ops.stock(generator), "critic": ops.stock(self.critic)}

    @property
    def last(self):
        """The count of steps at which the plan ends."""
        return int(self.count) + self.plan.steps(int(self.seen), self.critic_num)

    def resume(self, generator, critic):
        """Go on from a restored state, at the stage that it is in; see `WGAN.resume`."""
        super().resume(generator, critic)
        self._show()

    def batch_spec(self, step):
        """The images that the next step wants: [critic updates, batch of its stage]."""
        del step
        return (self.critic_num, self.plan.at(int(self.seen)).batch)

    def _copy(self, network):
        return ops.double(network)

    def _show(self):
        """Make the networks of `stage` the present ones; its step is compiled when called."""
        stage = int(self.stage)
        self.generator = stage_generator(self.whole["generator"], stage)
        self.average = stage_generator(self.whole["average"], stage)
        self.critic = stage_critic(self.whole["critic"], stage)
        self.batch_size = self.plan.batches[stage]
        self.n_penalised = model.penalised(self.batch_size, self.penalty_fraction)
        networks = (self.generator, self.critic, self.average)
        every = itertools.chain(*map(ops.layers_of, networks))
        self.alphas = [x.alpha for x in every if isinstance(x, layers.Fade)]
        self.compiled = self._compiled(self._faded_step, tf.TensorSpec([], tf.float32))

    @property
    def alpha(self):
        """α as the networks have it."""
        return self.alphas[0].value if self.alphas else tf.constant(1.0)

    def _enter(self, stage):
        """Begin a stage, with optimisers that know nothing of the one before (authors' code)."""
        for optimizer in (self.g_optimizer, self.d_optimizer):
            rate = float(optimizer.learning_rate.numpy())
            for variable in optimizer.variables:
                variable.assign(tf.zeros_like(variable))
            optimizer.learning_rate = rate
            if hasattr(optimizer, "dynamic_scale"):
                optimizer.dynamic_scale.assign(optimizer.initial_scale)
        self.stage.assign(stage)
        self._show()

    def _compile(self):
        return self._grown_step

    def _grown_step(self, images, labels):
        """`step` of the stage that the images seen so far lead to; see `WGAN._step`."""
        now = self.plan.at(int(self.seen))
        if now.stage != int(self.stage):
            self._enter(now.stage)
        terms = self.compiled(images, labels, tf.constant(now.alpha, tf.float32))
        where = {"stage": now.stage, "alpha": now.alpha, "kimg": int(self.seen) / 1000}
        return {**where, **terms}

    def _faded_step(self, images, labels, alpha):
        for own in self.alphas:
            own.assign(alpha)
        return self._step(images, labels)

    def _to_float(self, images, key):
        """uint8 → [-1, 1] at the stage's size by box filters, cross-faded as the fakes are."""
        size = self.critic.inputs[0].shape[1]
        real = super()._to_float(_shrink(tf.cast(images, tf.float32), self.image[0] // size), key)
        if not self.alphas:
            return real
        old = layers.Up(2)(_shrink(real, 2))
        return self.alpha * real + (1 - self.alpha) * old

    def _clip(self, weights):
        """Hold the weights inside the bounds as they are used: times their `scale`."""
        scales = {
            id(layer.trainable_variables[0]): layer.scale
            for layer in ops.layers_of(self.critic)
            if isinstance(layer, layers.Equal)
        }
        for weight in weights:
            low, high = (bound / scales.get(id(weight), 1) for bound in self.objective.clip)
            weight.assign(tf.clip_by_value(weight, low, high))


def _shrink(images, factor):
    """Box filter: the means of squares of `factor` pixels."""
    return tf.nn.avg_pool2d(images, factor, factor, "VALID") if factor > 1 else images
