"""The settings of a call as text, and notes on them. Imports no TensorFlow."""

from config import tables
from config.fields import TEST_MODE, is_set, text
from messages.groups import GROUPS, NEEDS, OFF, OFF_AT_0


def advice(c, given):
    """Return notes on settings that papers advise against and on flags without effect.

    Args:
      c: the `Config` of a training.
      given: dict of the flags of the call.

    Returns:
      A list of lines.
    """
    lines = []
    if c.critic_norm == "batch" and c.penalty != "none":
        lines.append(
            "note: with batch norm in the critic, a score depends on the whole batch, but --penalty"
            f" {c.penalty} penalises each image alone (1704.00028, section 4): use --critic_norm"
            " layer"
        )
    unused = unused_fields(c)
    lines += [f"note: --{n} has no effect with {unused[n]}" for n in unused if n in given]
    unused = [n for n in TEST_MODE if is_set(c, n)]
    return lines + [f"note: --{n} has no effect in training, only in test mode" for n in unused]


def unused_fields(config):
    """Return the fields that a choice of this config does not use, and other choices use.

    Returns:
      A dict of field → the choice, for example "--arch dcgan".
    """
    choices = {  # flag → {choice: fields that it uses}
        "arch": {n: _arch_fields(r) for n, r in tables.ARCHS.items()},
        "mode": {n: r.clip for n, r in tables.MODES.items()},
        "penalty": {n: _penalty_fields(r) for n, r in tables.PENALTIES.items()},
        "optimizer": {n: tuple(r.kwargs) for n, r in tables.OPTIMIZERS.items()},
    }
    found = {}
    for flag, used in choices.items():
        choice = getattr(config, flag)
        unused = set().union(*used.values()) - set(used[choice])
        found |= dict.fromkeys(sorted(unused - set(found)), f"--{flag} {choice}")
    return found


def _arch_fields(row):
    """Return the fields that this architecture uses, and some other architectures do not."""
    sizes = () if row.growth else ("output_height", "output_width")
    return (*row.network, *row.training, *sizes)


def _penalty_fields(penalties):
    """Return the fields that this choice of --penalty uses, and some other choices do not."""
    weights = {name for penalty in penalties for name in penalty.weights.values()}
    return (*weights, *(("penalty_every", "penalty_fraction") if penalties else ()))


def grouped(config):
    """Return lines with the settings that this network, mode and penalty use, in groups.

    Leaves out settings that are off, and those that need a setting that is off.

    Args:
      config: a `Config`.
    """
    names = set(config.to_json()) - set(unused_fields(config))
    wide, lines = max(len(group.title) for group in GROUPS), []
    for group in GROUPS:
        shown = [n for n in group.fields if n in names and _has_effect(config, n)]
        items = [f"{n}={text(getattr(config, n))}" for n in shown]
        lines += _wrap(items, f"{group.title.ljust(wide)}  ") if items else []
    return lines


def _has_effect(config, name):
    """Return False if a field is off, or needs another field that is off."""
    value, needed = getattr(config, name), NEEDS.get(name)
    if value in (None, "*") or value is False or (value == 0 and name in OFF_AT_0):
        return False
    return needed is None or getattr(config, needed) not in OFF


def describe(config, names):
    """Format settings as `name=value`, in lines of up to 100 characters.

    Args:
      config: a `Config`.
      names: the fields.
    """
    return "\n".join(_wrap([f"{name}={text(getattr(config, name))}" for name in names], ""))


def _wrap(items, head, width=100):
    """Return lines with all items; the first begins with `head`, the others are indented."""
    lines, indent = [head], " " * len(head)
    for item in items:
        if lines[-1] not in (head, indent):
            if len(lines[-1]) + 2 + len(item) > width:
                lines.append(indent)
            else:
                lines[-1] += "  "
        lines[-1] += item
    return lines
