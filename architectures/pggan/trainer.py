"""The trainer of PGGAN (1710.10196)."""

import itertools

import tensorflow as tf

import losses
from architectures.pggan import networks
from architectures.pggan.layers import Fade
from architectures.pggan.schedule import GrowthSchedule, batches
from layers import equal, fast, stock
from model import GANTrainer


class PGGAN(GANTrainer):
    """`GANTrainer` on networks that grow by a `GrowthSchedule`.

    `generator`, `critic` and `average` are those of the present stage, and `whole` has the ones
    of all stages. α lies in the networks themselves, in their `Fade`s. Each stage has a
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
        self.growth = GrowthSchedule(round(1000 * fade_kimg), round(1000 * stable_kimg), counts)
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
        generator = networks.stage_generator(self.whole["average"], int(self.stage), whole=whole)
        return {"generator": stock.stock(generator), "critic": stock.stock(self.critic)}

    @property
    def last(self):
        """The count of steps at which the plan ends."""
        return int(self.count) + self.growth.steps(int(self.seen), self.critic_num)

    def resume(self, generator, critic):
        """Go on from a restored state, at the stage that it is in; see `WGAN.resume`."""
        super().resume(generator, critic)
        self._show()

    def batch_spec(self, step):
        """The images that the next step wants: [critic updates, batch of its stage]."""
        del step
        return (self.critic_num, self.growth.at(int(self.seen)).batch)

    def _copy(self, network):
        return stock.double(network)

    def _show(self):
        """Make the networks of `stage` the present ones; its step is compiled when called."""
        stage = int(self.stage)
        self.generator = networks.stage_generator(self.whole["generator"], stage)
        self.average = networks.stage_generator(self.whole["average"], stage)
        self.critic = networks.stage_critic(self.whole["critic"], stage)
        self.batch_size = self.growth.batches[stage]
        self.n_penalised = losses.n_penalised(self.batch_size, self.penalty_fraction)
        shown = (self.generator, self.critic, self.average)
        every = itertools.chain(*map(stock.layers_of, shown))
        self.alphas = [x.alpha for x in every if isinstance(x, Fade)]
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
        now = self.growth.at(int(self.seen))
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
        old = fast.Up(2)(_shrink(real, 2))
        return self.alpha * real + (1 - self.alpha) * old

    def _clip(self, weights):
        """Hold the weights inside the bounds as they are used: times their `scale`."""
        scales = {
            id(layer.trainable_variables[0]): layer.scale
            for layer in stock.layers_of(self.critic)
            if isinstance(layer, equal.Equal)
        }
        for weight in weights:
            low, high = (bound / scales.get(id(weight), 1) for bound in self.objective.clip)
            weight.assign(tf.clip_by_value(weight, low, high))


def _shrink(images, factor):
    """Box filter: the means of squares of `factor` pixels."""
    return tf.nn.avg_pool2d(images, factor, factor, "VALID") if factor > 1 else images
