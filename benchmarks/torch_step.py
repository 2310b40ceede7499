"""The same networks and updates in PyTorch, in two forms.

The usual form generates new fakes for every update, scores real and fake images in separate passes,
and penalises the whole batch. The same form does what our trainer does: it reuses the last fakes
for the generator's update, scores both in one pass if the critic has no batch norm, penalises the
same fraction of the batch, and keeps an EMA. Both forms skip the generator's gradients in the
critic's update, and the gradients of the critic's weights in the generator's. Adam is fused.
"""

import copy
import functools

import torch
from torch import nn

import losses
import model
import ops
from architectures.resnet import sizes, widths

FORMATS = {"default": torch.contiguous_format, "channels_last": torch.channels_last}


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def _norm(channels, name, flat=False):
    return {"batch": BATCH_NORMS[not flat], "none": nn.Identity}[name](channels)


def _with_labels(x, labels):
    """Append one-hot labels [B, K], if any, to features or as constant maps to images."""
    if labels is None:
        return x
    if x.dim() == 4:
        labels = labels[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, labels], 1)


class Score(nn.Module):
    """`ops.score` in PyTorch."""

    def __init__(self, c, spec, units):
        super().__init__()
        concat = c.label_mode == "concat"
        self.linear = nn.Linear(units + (spec.classes if concat else 0), 1)
        self.project = not concat and spec.classes > 0
        if self.project:
            self.vectors = nn.Linear(spec.classes, units, bias=False)

    def forward(self, x, labels):
        if self.project:
            return self.linear(x)[:, 0] + (x * self.vectors(labels)).sum(1)
        return self.linear(_with_labels(x, labels))[:, 0]


class Generator(nn.Module):
    """The generator of `model.build_dcgan`, with kernels of 4, which exactly double a size."""

    def __init__(self, c, spec):
        super().__init__()
        size = (spec.height, spec.width)
        chain, widths = ops.halvings(size, c.g_width[::-1], ops.generator_sizes)
        self.entry = (widths[-1], *chain[-1])
        units = widths[-1] * chain[-1][0] * chain[-1][1]
        normed, last = model.biases(c.bias, c.g_norm)
        self.dense = nn.Linear(c.z_dim + spec.classes, units, bias=normed)
        self.first = _norm(widths[-1], c.g_norm)
        self.inner = spec.classes if c.label_mode == "concat" else 0
        outs = [*widths[-2::-1], spec.channels]
        pairs = [(i + self.inner, o) for i, o in zip(widths[::-1], outs)]
        biases = [normed] * (len(pairs) - 1) + [last]
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 4, 2, 1, bias=b) for (i, o), b in zip(pairs, biases)
        )
        self.norms = nn.ModuleList(_norm(o, c.g_norm) for o in outs[:-1])

    def forward(self, z, labels=None):
        x = self.dense(_with_labels(z, labels)).view(-1, *self.entry)
        x, labels = torch.relu(self.first(x)), labels if self.inner else None
        for conv, norm in zip(self.convs, self.norms):
            x = torch.relu(norm(conv(_with_labels(x, labels))))
        return torch.tanh(self.convs[-1](_with_labels(x, labels)))


class Critic(nn.Module):
    """The critic of `model.build_dcgan`. Odd sizes are padded on both sides, at the same cost."""

    def __init__(self, c, spec):
        super().__init__()
        size = (spec.height, spec.width)
        chain, widths = ops.halvings(size, c.d_width, ops.critic_sizes)
        ins = [spec.channels, *widths]
        self.inner = spec.classes if c.label_mode == "concat" else 0
        normed, last = model.biases(c.bias, c.critic_norm)
        biases = [last] + [normed] * (len(widths) - 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(i + self.inner, o, 4, 2, tuple(1 + n % 2 for n in size), bias=b)
            for size, i, o, b in zip(chain, ins, widths, biases)
        )
        norms = ["none", *[c.critic_norm] * (len(widths) - 1)]
        self.norms = nn.ModuleList(_norm(o, name) for o, name in zip(widths, norms))
        self.score = Score(c, spec, widths[-1] * chain[-1][0] * chain[-1][1])

    def forward(self, x, labels=None):
        inner = labels if self.inner else None
        for conv, norm in zip(self.convs, self.norms):
            x = nn.functional.leaky_relu(norm(conv(_with_labels(x, inner))), 0.2)
        return self.score(x.flatten(1), labels)


def _main(ins, out, norm, act, last):
    """Two 3x3 convolutions and the layer `last`, each with its norm."""
    layers = []
    for i in (ins, out):
        layers += [nn.Conv2d(i, out, 3, 1, 1, bias=False), _norm(out, norm), act()]
    return nn.Sequential(*layers, last, _norm(out, norm))


class Up(nn.Module):
    """`resnet._up` in PyTorch."""

    def __init__(self, ins, out, norm):
        super().__init__()
        last = nn.ConvTranspose2d(out, out, 4, 2, 1, bias=False)
        self.main = _main(ins, out, norm, nn.ReLU, last)
        bypass = nn.ConvTranspose2d(ins, out, 4, 2, 1, bias=False)
        self.bypass = nn.Sequential(bypass, _norm(out, norm))

    def forward(self, x):
        return self.main(x) + self.bypass(x)


class Down(nn.Module):
    """`resnet._down` in PyTorch."""

    def __init__(self, ins, out, norm):
        super().__init__()
        last = nn.Conv2d(out, out, 3, 2, 1, bias=False)
        self.main = _main(ins, out, norm, lambda: nn.LeakyReLU(0.2), last)
        self.bypass = nn.Sequential(nn.Conv2d(ins, out, 1, 2, bias=False), _norm(out, norm))

    def forward(self, x):
        return self.main(x) + self.bypass(x)


class ResGenerator(nn.Module):
    """The generator of `resnet.build_resnet`."""

    def __init__(self, c, spec):
        super().__init__()
        chain = sizes((spec.height, spec.width))
        outs = widths(c.g_width[0], len(chain) - 1)[::-1]
        self.entry = (outs[0], *chain[-1])
        units = outs[0] * chain[-1][0] * chain[-1][1]
        self.dense = nn.Linear(c.z_dim + spec.classes, units, bias=False)
        self.first = _norm(units, c.g_norm, flat=True)
        self.ups = nn.Sequential(*(Up(i, o, c.g_norm) for i, o in zip([outs[0], *outs], outs)))
        self.last = nn.Conv2d(outs[-1], spec.channels, 3, 1, 1, bias=False)

    def forward(self, z, labels=None):
        x = torch.relu(self.first(self.dense(_with_labels(z, labels))))
        x = self.ups(x.view(-1, *self.entry))
        return torch.tanh(self.last(torch.relu(x)))


class ResCritic(nn.Module):
    """The critic of `resnet.build_resnet`."""

    def __init__(self, c, spec):
        super().__init__()
        chain = sizes((spec.height, spec.width))
        first, *outs = widths(c.d_width[0], len(chain))
        self.inner = spec.classes if c.label_mode == "concat" else 0
        self.first = nn.Conv2d(spec.channels + self.inner, first, 3, 1, 1, bias=False)
        blocks = (Down(i, o, c.critic_norm) for i, o in zip([first, *outs], outs))
        self.downs = nn.Sequential(*blocks)
        self.score = Score(c, spec, outs[-1] * chain[-1][0] * chain[-1][1])

    def forward(self, x, labels=None):
        x = torch.relu(self.first(_with_labels(x, labels if self.inner else None)))
        return self.score(torch.relu(self.downs(x)).flatten(1), labels)


NETWORKS = {"dcgan": (Generator, Critic), "resnet": (ResGenerator, ResCritic)}
PENALTIES = {  # name of a function in losses.py → the same in PyTorch
    "one_centred": lambda squared, weight: weight * ((squared + 1e-12).sqrt() - 1).square(),
    "power": lambda squared, weight, power: weight * (squared + 1e-12) ** (power / 2),
}
OPTIMIZERS = {
    "adam": lambda p, lr, c: torch.optim.Adam(
        p, lr, betas=(c.beta1, c.beta2), eps=c.epsilon, fused=True
    ),
    "rmsprop": lambda p, lr, c: torch.optim.RMSprop(
        p, lr, alpha=c.rho, eps=c.epsilon, momentum=c.momentum
    ),
    "sgd": lambda p, lr, c: torch.optim.SGD(p, lr, momentum=c.momentum, fused=True),
}


class Trainer:
    """Trains in one of the two forms on fixed batches.

    Args:
      objective: our `losses.Objective`; its penalty and clipping are used.
      batch: (uint8 images [n, B, H, W, C], int32 labels [n, B]).
      same: True for our form, False for the usual one.
      compiled: True uses torch.compile, with torch.func for the penalty's inner gradient.
      layout: memory layout of images and weights, a key of FORMATS.
    """

    def __init__(self, c, spec, objective, batch, *, same, compiled, layout):
        torch.manual_seed(c.seed)
        self.c, self.objective, self.same, self.compiled = c, objective, same, compiled
        self.format = FORMATS[layout]
        self.every = c.penalty_every if same else 1
        generator, critic = NETWORKS[c.arch]
        self.generator = generator(c, spec).to(memory_format=self.format)
        self.critic = critic(c, spec).to(memory_format=self.format)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        if same:  # use batch statistics, and leave the moving ones unchanged
            for layer in self.generator.modules():
                if isinstance(layer, BATCH_NORMS):
                    layer.track_running_stats, layer.running_mean = False, None
                    layer.running_var = layer.num_batches_tracked = None
        make = OPTIMIZERS[c.optimizer]
        self.g_optimizer = make(self.generator.parameters(), c.learning_rate, c)
        self.d_optimizer = make(self.critic.parameters(), c.d_learning_rate, c)
        self.joint = same and not any(isinstance(x, BATCH_NORMS) for x in self.critic.modules())
        images, labels = map(torch.from_numpy, batch)
        self.images = [x.permute(0, 3, 1, 2).contiguous(memory_format=self.format) for x in images]
        hot = nn.functional.one_hot(labels.long(), spec.classes or 1).float()
        self.labels = list(hot) if spec.classes else [None] * len(images)
        self.counts = [0, 0]
        wrap = functools.partial(torch.compile, dynamic=False) if compiled else lambda f: f
        self.generate, self.judge = wrap(self.generator), wrap(self.critic)
        self.losses = {count: wrap(self._loss(count)) for count in (0, self._n_penalised())}

    def _n_penalised(self):
        """Return the number of penalised images."""
        fraction = self.c.penalty_fraction if self.same else 1
        count = losses.n_penalised(self.c.batch_size, fraction)
        return count if self.objective.penalties else 0

    def _latents(self):
        shape = (self.c.batch_size, self.c.z_dim)
        normal = self.c.z_distribution == "normal"
        return torch.randn(shape) if normal else torch.rand(shape) * 2 - 1

    def _real(self, images):
        if self.c.mirror:
            flip = torch.rand(len(images), 1, 1, 1) < 0.5
            images = torch.where(flip, images.flip(3), images)
        return images.float() / 127.5 - 1

    def _loss(self, count):
        """Return the critic's loss: (real, fake, labels or None, mix [count, 1, 1, 1]) → scalar."""

        def loss(real, fake, labels, mix):
            if self.joint:
                both = None if labels is None else torch.cat([labels, labels])
                real_scores, fake_scores = self.critic(torch.cat([real, fake]), both).chunk(2)
            else:
                real_scores, fake_scores = self.critic(real, labels), self.critic(fake, labels)
            total = (fake_scores - real_scores).mean()
            if count:
                points = mix * real[:count] + (1 - mix) * fake[:count]
                y = None if labels is None else labels[:count]
                total = total + self.every * self._penalty(points, y)
            return total

        return loss

    def _penalty(self, points, labels):
        if self.compiled:
            scores, pull = torch.func.vjp(lambda x: self.critic(x, labels), points)
            gradient = pull(torch.ones_like(scores))[0]
        else:
            points.requires_grad_(True)
            scores = self.critic(points, labels)
            gradient = torch.autograd.grad(scores.sum(), points, create_graph=True)[0]
        squared = gradient.square().sum((1, 2, 3))
        (penalty,) = self.objective.penalties  # each compared mode with a penalty has one
        return PENALTIES[penalty.of.__name__](squared, **penalty.weights).mean()

    def _critic_update(self, i, fake):
        count = self._n_penalised() if self.counts[1] % self.every == 0 else 0
        mix = torch.rand(count, 1, 1, 1)
        loss = self.losses[count](self._real(self.images[i]), fake, self.labels[i], mix)
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()
        self.counts[1] += 1
        if self.objective.clip:
            with torch.no_grad():
                for weight in self.critic.parameters():
                    weight.clamp_(*self.objective.clip)

    def step(self):
        """Do all critic updates and one generator update."""
        last = len(self.images) - 1
        for i, labels in enumerate(self.labels):
            with torch.set_grad_enabled(self.same and i == last):
                fake = self.generate(self._latents(), labels)
            self._critic_update(i, fake.detach())
        if not self.same:
            fake = self.generate(self._latents(), labels)
        self.critic.requires_grad_(False)
        loss = -self.judge(fake, labels).mean()
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        self.counts[0] += 1
        self.critic.requires_grad_(True)
        if self.same:
            keep = min(self.c.ema, (1 + self.counts[0]) / (10 + self.counts[0]))
            pairs = list(self.average.parameters()), list(self.generator.parameters())
            with torch.no_grad():
                torch._foreach_lerp_(*pairs, 1 - keep)

    def run(self, steps):
        """Do `steps` steps."""
        for _ in range(steps):
            self.step()

    def weights_by_network(self):
        """Return {"generator": list of trainable arrays, "critic": …}."""
        networks = {"generator": self.generator, "critic": self.critic}
        return {n: [p.detach().numpy().copy() for p in x.parameters()] for n, x in networks.items()}

    def updates(self):
        """Return the number of updates of (the generator, the critic)."""
        return tuple(self.counts)
