"""The texts of --help, --list_presets and --evaluate, and of the start of training.

Imports no TensorFlow.
"""

import math
import textwrap

from config import presets, tables
from config.fields import FIELDS, TEST_MODE, is_set, text
from config.resolve import resolve
from config.saved import changes
from console import plain

MAY_BE_SEEN = (
    "the images have changed since the training: if some were removed or renamed, images that were "
    "trained on may be held out now"
)


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
    groups = {  # flag → ({choice: fields that it uses}, the choice of this run)
        "arch": ({n: _arch_fields(r) for n, r in tables.ARCHS.items()}, c.arch),
        "mode": ({n: r.clip for n, r in tables.MODES.items()}, c.mode),
        "penalty": ({n: _penalty_fields(r) for n, r in tables.PENALTIES.items()}, c.penalty),
        "optimizer": ({n: tuple(r.kwargs) for n, r in tables.OPTIMIZERS.items()}, c.optimizer),
    }
    for flag, (used, choice) in groups.items():
        unused = set().union(*used.values()) - set(used[choice])
        names = sorted(unused & {*given})
        lines += [f"note: --{n} has no effect with --{flag} {choice}" for n in names]
    unused = [n for n in TEST_MODE if is_set(c, n)]
    return lines + [f"note: --{n} has no effect in training, only in test mode" for n in unused]


def _arch_fields(row):
    """Return the fields that this architecture uses, and some other architectures do not."""
    sizes = () if row.growth else ("output_height", "output_width")
    return (*row.network, *row.training, *sizes)


def _penalty_fields(penalties):
    """Return the fields that this choice of --penalty uses, and some other choices do not."""
    weights = {name for penalty in penalties for name in penalty.weights.values()}
    return (*weights, *(("penalty_every", "penalty_fraction") if penalties else ()))


def describe(config, names=None):
    """Format settings as `name=value`, in lines of up to 100 characters.

    Args:
      config: a `Config`.
      names: the fields; None for all that are saved with the run.
    """
    lines = [""]
    for name in names or config.to_json():
        item = f"{name}={text(getattr(config, name))}"
        if lines[-1] and len(lines[-1]) + len(item) > 96:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + item
    return "\n".join(lines)


def opening(config, given, saved, start=None):
    """Return the first text of a training: settings, notes, and changes of a resumed run.

    Args:
      config: the `Config` of the call.
      given: dict of the flags of the call.
      saved: dict of the run's saved settings; {} for a new run.
      start: dict of the settings that a new run takes from the run it starts from, or None.
    """
    lines = [f"run {config.run_name}", describe(config), *advice(config, given)]
    if saved and config.init_from:
        lines.append("note: --init_from has no effect on a resumed run")
    if start:
        items = ", ".join(f"{name}={text(value)}" for name, value in start.items())
        lines.append(f"taken from {config.init_from}: {items}")
    for name, old, new in changes(config, saved):
        lines.append(f"changed: {name} {text(old)} -> {text(new)}")
    return "\n".join(lines)


def settled(asked, c, count):
    """Yield a line for each setting that `resolve.settle` has turned on.

    Args:
      asked, c: the `Config` before and after it.
      count: number of training images.
    """
    if asked.mirror is None and c.mirror:
        yield "mirror=True: colour images are flipped left to right at random, see --mirror"
    if asked.augment is None and c.augment != ("none",):
        yield (
            f"augment={text(c.augment)}: with only {count:,} training images, the critic may "
            "overfit, see --augment"
        )


def start_differences(c, was, spec):
    """Return a line with what differs between a run and the run that it starts from, or None.

    Args:
      c: the `Config` of the new run.
      was: dict of the saved settings of the other run, and under "data" the facts of its images.
      spec: dict of the same facts of the new run's images.
    """
    data, new, found = was["data"], {**spec, "mode": c.mode}, []
    for name in ("mode", "height", "width", "channels", "classes"):
        old = was[name] if name == "mode" else data.get(name)
        if old not in (None, new[name]):
            found.append(f"{name} {old} -> {new[name]}")
    if data.get("classes") == spec["classes"] and not same_classes(data, spec):
        found.append("other classes")
    return f"note: differs from {c.init_from}: {', '.join(found)}" if found else None


def seen_before(c):
    """Return a line for a run that starts from one that may have seen its held-out images."""
    return (
        f"note: {c.init_from} may have been trained on images that are held out now: copies of them"
        " are not measured as copies"
    )


def taken(name, count, new, labels):
    """Return a line with the layers of a network that do not start from saved weights, or None.

    Args:
      name: name of the network, for example "generator".
      count: number of all its layers with weights.
      new: list of the descriptions of the layers that no saved layer fits.
      labels: list of those of the layers whose weights of the labels are new.
    """
    if not new and not labels:
        return None
    parts = [f"{count - len(new)} of {count} layers fit"] if new else []
    parts += [f"new: {_few(new)}"] if new else []
    parts += [f"new weights of the labels in {_few(labels)}"] if labels else []
    return f"{name}: {'; '.join(parts)}"


def _few(items, most=12):
    """Join texts; the first `most` of them."""
    rest = f", and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest


def same_classes(data, spec):
    """Return whether images have the same classes, by the facts of two data sets of images.

    Data of older runs have no names of classes. Then the numbers of classes are compared.
    """
    old, new = (list(facts.get("class_names") or ()) for facts in (data, spec))
    return old == new if old and new else data.get("classes") == spec.get("classes")


def length(c, updates, per_epoch, images, done=0):
    """Return a line with the length of a training, and the usual length of such trainings.

    Args:
      c: a `Config`.
      updates: number of generator updates at the end; infinity if only --max_minutes ends it.
      per_epoch: number of updates in an epoch; 0 if unknown.
      images: number of training images.
      done: number of updates that a resumed run has done.
    """
    if updates == math.inf:
        text = f"generator updates for {c.max_minutes:g} minutes"
        text += f", {per_epoch:,} in an epoch of {images:,} images" if per_epoch else ""
    else:
        epochs = updates / (per_epoch or 1)
        epochs = f"{epochs:,.0f}" if epochs >= 10 or epochs == int(epochs) else f"{epochs:.2g}"
        text = f"{updates:,} generator updates"
        text += f" = {epochs} epochs of {images:,} images" if per_epoch else ""
        text += f", but at most {c.max_minutes:g} minutes" if c.max_minutes else ""
    text += f" ({done:,} are done)" if done else ""
    return f"{text}; {tables.ARCHS[c.arch].usual}"


def held_out(count, images):
    """Return a line with the number of images that are held out of training.

    Args:
      count: number of held-out images.
      images: number of all images of the data set.
    """
    return f"{count:,} of {images:,} images are held out of training, to measure against"


def lost_classes(names):
    """Return a line that names the classes whose images are all held out of training."""
    return (
        f"note: all images of {_few([*map(plain, names)])} are held out, so that the generator does"
        " not learn these classes: give a smaller --holdout, or more images"
    )


def compared(c, samples, count, is_held):
    """Return a line with the number of samples, and what they are compared with.

    Args:
      c: a `Config`.
      samples, count: number of samples, and of real images.
      is_held: True if the real images are held out of training.
    """
    test = tables.DATASETS.get(c.dataset, tables.FOLDER).test_part
    kind = f"{test} images" if test else "images"
    held = " held out of training" if is_held else ""
    number = "the same number of" if samples == count else count
    return f"{samples} samples, and {number} {kind} of {c.dataset}{held}"


def pace(left, seconds, seconds_left=math.inf, grows=False):
    """Return a line with the time that the rest of a training takes on this machine.

    Args:
      left: number of generator updates that are left; infinity if only --max_minutes ends it.
      seconds: seconds of an update.
      seconds_left: seconds until --max_minutes ends the training.
      grows: True if later updates have larger images.
    """
    each = f"at {seconds:.2g} s an update"
    if grows:
        return f"{each[3:]} at this size; updates at larger sizes take longer"
    if left == seconds_left == math.inf:
        return each[3:]
    if left * seconds <= seconds_left:
        return f"about {_span(left * seconds)} {each}"
    return f"about {seconds_left / seconds:,.0f} updates until the time is up, {each}"


def _span(seconds):
    """Format a time in the largest unit that it has at least two of, for example 90 minutes."""
    units = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((name for name, size in units.items() if seconds >= 2 * size), "seconds")
    return f"{seconds / units[unit]:.0f} {unit}"


def classes(names):
    """Return a line with the number of classes and their names, as many as fit into it."""
    shown = textwrap.shorten(", ".join(names), 80, placeholder=" ...", break_long_words=True)
    return f"{len(names)} classes: {plain(shown)}"


def preset_table():
    """Return the text of --list_presets: a table with one preset a line."""
    names = ("arch", "mode", "dataset", "output_height", "learning_rate", "epoch")
    rows = [("preset", *names, "source")]
    for name, row in presets.PRESETS.items():
        c = resolve({"preset": name})
        rows.append((name, *(text(getattr(c, n)) for n in names), row.source))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(" ".join(v.ljust(w) for v, w in zip(row, widths)).rstrip() for row in rows)


def help_text(config):
    """Return the text of --help, which shows the values of `config`."""
    lines = [
        "Train a GAN on a data set or a folder of images, or make pictures with a trained GAN.",
        "",
        "  python main.py --dataset mnist --train True --mode gp   train; repeat it to resume",
        "  python main.py --dataset mnist                          make pictures",
        "",
        "Flags, with their values in this call. Their names may be written with - or _.",
        "",
    ]
    for field in FIELDS.values():
        choices = field.metadata["choices"]
        note = f" ({', '.join(choices)})" if choices else ""
        value = text(getattr(config, field.name))
        flag = f"  --{field.name}={value}".ljust(34) + " "
        entry = field.metadata["help"] + note
        lines.append(
            textwrap.fill(
                entry,
                100,
                initial_indent=flag,
                subsequent_indent=" " * 35,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    return "\n".join(lines)
