"""The texts of --help and --list_presets, and docs/flags.md. Imports no TensorFlow.

`python -m messages.help` prints docs/flags.md.
"""

import textwrap

from config import presets, tables
from config.fields import FIELDS, text
from config.resolve import resolve
from messages.groups import GROUPS

HEAD = """\
Train a GAN on a data set or a folder of images, or make pictures with a trained GAN.

  python main.py --dataset mnist --train True --mode gp   train; repeat it to resume
  python main.py --dataset mnist                          make pictures
"""
VALUES = "Flags, with their values in this call. Their names may be written with - or _."


def help_text(config, everything=False):
    """Return the text of --help, which shows the values of `config`.

    Args:
      config: a `Config`.
      everything: True for all flags, False for the common ones.
    """
    lines = [HEAD, VALUES]
    for group in GROUPS:
        names = group.fields if everything else group.common
        if names:
            lines += ["", f"{group.title}: {group.about}"]
            lines += [_entry(FIELDS[name], getattr(config, name)) for name in names]
    if not everything:
        count = len(FIELDS) - sum(len(group.common) for group in GROUPS)
        lines += ["", f"--help all shows {count} more; docs/flags.md has their defaults."]
    return "\n".join(lines)


def _entry(field, value):
    """Return the lines of a flag with its value and its meaning."""
    return textwrap.fill(
        meaning(field),
        100,
        initial_indent=f"  --{field.name}={text(value)}".ljust(34) + " ",
        subsequent_indent=" " * 35,
        break_long_words=False,
        break_on_hyphens=False,
    )


def meaning(field):
    """Return the help of a flag, with its choices."""
    choices = field.metadata["choices"]
    return field.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")


def preset_table():
    """Return the text of --list_presets: a table with one preset a line."""
    names = ("arch", "mode", "dataset", "output_height", "learning_rate", "epoch")
    rows = [("preset", *names, "source")]
    for name, row in presets.PRESETS.items():
        c = resolve({"preset": name})
        rows.append((name, *(text(getattr(c, n)) for n in names), row.source))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(" ".join(v.ljust(w) for v, w in zip(row, widths)).rstrip() for row in rows)


PAGE = """\
# Flags

Made by `python -m messages.help` from `config/fields.py`, `config/tables.py` and
`messages/groups.py`. `python main.py --help` shows the common flags with the values that a call
would use, `--help all` all of them. `-` and `_` are the same in names.

A value comes from the first of these that has it: the flag, the preset, the run's own `config.json`
(a new run: that of `--init_from`), the rows of the data set, the network and the mode, the default.
The column *default* has the value of `--dataset mnist`, and after it the rows with another one.
"""


def flags_page():
    """Return the text of docs/flags.md."""
    parts = [PAGE]
    for group in GROUPS:
        rows = [f"| `{name}` | {_defaults(name)} | {_cell(name)} |" for name in group.fields]
        head = [f"## {group.title.capitalize()}: {group.about}", ""]
        parts.append("\n".join([*head, "| flag | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _cell(name):
    """Return the meaning of a flag as a cell of a Markdown table."""
    return meaning(FIELDS[name]).replace("|", "\\|").replace("*", "\\*")


def _defaults(name):
    """Return the default of a flag, and the rows of the tables that have another one."""
    base = getattr(resolve({}), name)
    found = {}
    for row, settings in _rows():
        value = settings.get(name, base)
        if value != base:
            found.setdefault(text(value), []).append(row)
    others = [f"{', '.join(rows)}: {value}" for value, rows in found.items()]
    return "; ".join([text(base), *others]).replace("*", "\\*")


def _rows():
    """Yield the name of each row with default settings, and these settings."""
    few = f"colour folders of fewer than {tables.FEW_IMAGES:,} images"
    for name, row in tables.MODES.items():
        yield f"`{name}`", row.defaults
    for name, row in tables.ARCHS.items():
        yield f"`{name}`", row.defaults
        for mode, settings in row.in_folder.items():
            yield f"`{name}` with `{mode}` on folders", settings
        for mode, settings in row.few_colour.items():
            yield f"`{name}` with `{mode}` on {few}", settings
    folder = tables.FOLDER
    yield "folders", folder.defaults
    yield "colour folders", folder.colour
    yield few, {**folder.few_colour, "arch": folder.few_arch}
    for name, row in tables.DATASETS.items():
        own = {n: v for n, v in row.defaults.items() if v != folder.defaults.get(n)}
        yield f"`{name}`", own if row.in_folder else row.defaults


if __name__ == "__main__":
    print(flags_page(), end="")
