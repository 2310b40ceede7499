"""The lines that a training and an evaluation begin with. Imports no TensorFlow."""

import math
import textwrap

from config import tables
from config.fields import text
from config.resolve import resolve
from config.saved import changes
from console import plain
from messages.settings import advice, grouped, unused_fields

MAY_BE_SEEN = (
    "the images have changed since the training: if some were removed or renamed, images that were "
    "trained on may be held out now"
)


def first_lines(config, given, saved, start=None):
    """Return the first text of a training: settings, notes, and changes of a resumed run.

    Args:
      config: the `Config` of the call.
      given: dict of the flags of the call.
      saved: dict of the run's saved settings; {} for a new run.
      start: dict of the settings that a new run takes from the run it starts from, or None.
    """
    lines = [f"run {config.run_name}", *grouped(config), *advice(config, given)]
    if saved and config.init_from:
        lines.append("note: --init_from has no effect on a resumed run")
    if start:
        usual = resolve(given, check=False)  # of a run that starts from random weights
        taken = [n for n in start if start[n] != getattr(usual, n)]
        items = ", ".join(f"{n}={text(start[n])}" for n in taken if n not in unused_fields(config))
        line = f"taken from {config.init_from}: {items or 'the defaults'}"
        lines += textwrap.wrap(line, 100, subsequent_indent="  ", break_on_hyphens=False)
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
        strength = f" augment_p={text(c.augment_p)}" if c.augment_p < 1 else ""
        yield (
            f"augment={text(c.augment)}{strength}: with only {count:,} training images, the critic "
            "may overfit, see --augment"
        )


def network_for_few(name, count):
    """Return a line on the network that a new run takes because it has few images, `count`."""
    return f"arch={name}: with only {count:,} training images, see --arch"


def start_differences(c, was, spec):
    """Return what differs between a run and the run that it starts from, or "".

    Args:
      c: the `Config` of the new run.
      was: dict of the saved settings of the other run, and under "data" the facts of its images.
      spec: dict of the same facts of the new run's images.
    """
    settings = ("mode", *tables.ARCHS[c.arch].network)
    new = {**{name: getattr(c, name) for name in settings}, **spec}
    data, found = was["data"], []
    old = {**was, **data}
    for name in (*settings, "height", "width", "channels", "classes"):
        if old.get(name) not in (None, new[name]):
            found.append(f"{name} {text(old[name])} -> {text(new[name])}")
    if data.get("classes") == spec["classes"] and not same_classes(data, spec):
        found.append("other classes")
    return ", ".join(found)


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
    if 0 < c.decay_steps < updates and "decay_steps" in tables.ARCHS[c.arch].training:
        text += f", at learning rates of 0 after the first {c.decay_steps:,} (--decay_steps)"
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


def compared(samples, count, what):
    """Return a line with the number of samples, and what they are compared with.

    Args:
      samples, count: number of samples, and of real images.
      what: text on the real images, such as "test images of mnist".
    """
    number = "the same number of" if samples == count else count
    return f"{samples} samples, and {number} {what}"


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
        return f"{each[3:]} at this size; larger sizes take longer, and --dry_run times them"
    if left == seconds_left == math.inf:
        return each[3:]
    if left * seconds <= seconds_left:
        return f"about {_span(left * seconds)} {each}"
    return f"about {seconds_left / seconds:,.0f} updates until the time is up, {each}"


def stage_pace(size, updates, seconds):
    """Return a line with the time of a stage, of images of a size (height, width)."""
    height, width = size
    return f"{height}x{width}: {updates:,} updates at {seconds:.2g} s"


def total_pace(seconds, seconds_left):
    """Return a line with the time of all updates, and whether --max_minutes ends them earlier."""
    line = f"about {_span(seconds)} in all"
    if seconds <= seconds_left:
        return line
    return f"{line}, but --max_minutes ends it after {_span(seconds_left)}"


def _span(seconds):
    """Format a time in the largest unit that it has at least two of, for example 90 minutes."""
    units = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((name for name, size in units.items() if seconds >= 2 * size), "seconds")
    number = round(seconds / units[unit])
    return f"{number} {unit if number != 1 else unit[:-1]}"


def classes(names):
    """Return a line with the number of classes and their names, as many as fit into it."""
    shown = textwrap.shorten(", ".join(names), 80, placeholder=" ...", break_long_words=True)
    return f"{len(names)} classes: {plain(shown)}"
