"""The texts of `--help`, `--list_presets` and a training's first lines. Imports no TensorFlow."""

import textwrap

from config import presets, tables
from config.fields import FIELDS, PICTURES, asked, text
from config.resolve import resolve
from config.saved import changes


def advice(c, given):
    """Lines on settings that papers advise against, and on flags that have no effect."""
    lines = []
    if c.critic_norm == "batch" and c.penalty != "none":
        lines.append(
            f"note: batch norm in the critic mixes the samples that penalty {c.penalty} takes one"
            " by one (1704.00028, section 4); --critic_norm layer does not"
        )
    groups = {  # fields of one kind, by what has them, and the one of this run
        "arch": ({n: _arch_fields(r) for n, r in tables.ARCHS.items()}, c.arch),
        "mode": ({n: r.clip for n, r in tables.MODES.items()}, c.mode),
        "penalty": ({n: _penalty_fields(r) for n, r in tables.PENALTIES.items()}, c.penalty),
        "optimizer": ({n: tuple(r.kwargs) for n, r in tables.OPTIMIZERS.items()}, c.optimizer),
    }
    for kind, (fields, own) in groups.items():
        idle = set().union(*fields.values()) - set(fields[own])
        lines += [f"note: --{n} has no effect with --{kind} {own}" for n in sorted(idle & {*given})]
    idle = [n for n in PICTURES if asked(c, n)]
    return lines + [f"note: --{n} has no effect in training, only without --train" for n in idle]


def _arch_fields(row):
    """The fields that only some architectures and their trainers use."""
    sizes = () if row.growth else ("output_height", "output_width")
    return (*row.network, *row.training, *sizes)


def _penalty_fields(parts):
    """The fields that only some penalties use."""
    weights = {name for part in parts for name in part.weights.values()}
    return (*weights, *(("penalty_every", "penalty_fraction") if parts else ()))


def describe(config, names=None):
    """The settings as lines of `name value`, several to a line of at most 100 characters."""
    lines = [""]
    for name in names or config.to_json():
        item = f"{name}={text(getattr(config, name))}"
        if lines[-1] and len(lines[-1]) + len(item) > 96:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + item
    return "\n".join(lines)


def opening(config, given, saved):
    """What training says first: its settings, advice, and what a resumed run does otherwise."""
    lines = [f"run {config.run_name}", describe(config), *advice(config, given)]
    if saved and config.init_from:
        lines.append("note: --init_from has no effect on a run that goes on")
    for name, old, new in changes(config, saved):
        lines.append(f"changed: {name} {text(old)} -> {text(new)}")
    return "\n".join(lines)


def preset_table():
    """The presets, one a line, in columns as wide as their longest entry."""
    names = ("arch", "mode", "dataset", "output_height", "learning_rate", "epoch")
    rows = [("preset", *names, "source")]
    for name, row in presets.PRESETS.items():
        c = resolve({"preset": name})
        rows.append((name, *(text(getattr(c, n)) for n in names), row.source))
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(v.ljust(w) for v, w in zip(row, wide)).rstrip() for row in rows)


def help_text(config):
    """The page that `--help` prints, with the values that this call would take."""
    lines = [
        "Train a GAN on a folder of images or a known set, or make pictures with a trained one.",
        "",
        "  python main.py --dataset mnist --train True --mode gp   train (again: go on)",
        "  python main.py --dataset mnist                          make pictures",
        "",
        "Flags, with the values that this call takes; - and _ are the same in names:",
        "",
    ]
    for field in FIELDS.values():
        choices = field.metadata["choices"]
        note = f" ({', '.join(choices)})" if choices else ""
        value = text(getattr(config, field.name))
        flag = f"  --{field.name}={value}".ljust(34) + " "
        wrap = textwrap.TextWrapper(100, flag, " " * 35, break_long_words=False)
        lines.append(wrap.fill(field.metadata["help"] + note))
    return "\n".join(lines)
