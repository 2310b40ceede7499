"""Our networks in PyTorch: those of `model.build_dcgan` and `resnet.build_resnet`, and a table."""

import torch
from torch import nn

import model
import ops
from architectures.resnet import sizes, widths
from benchmarks import torch_fastgan

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


NETWORKS = {
    "dcgan": (Generator, Critic),
    "resnet": (ResGenerator, ResCritic),
    "fastgan": (torch_fastgan.Generator, torch_fastgan.Critic),
}
# The networks of an auxiliary loss: (images, the critic's features of them) → scalar.
AUXILIARIES = {"fastgan": torch_fastgan.Decoders}
