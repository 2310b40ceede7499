"""Train a run, or resume it."""

import dataclasses
import math
import signal
import time

import files
from commands import build, devices, sources
from commands.evaluate import find_evaluation
from config.resolve import resolve
from config.saved import read_saved, refuse_changes
from console import Failed, Progress, WrongCall
from hardware import defaults, report
from messages import opening, settings
from runs import recovery, trained
from training import loop


def train(given, started=None, newest_dir=None):
    """Train a run, from its newest checkpoint if it has one.

    Args:
      given: dict of the flags of the call.
      started: value of `time.monotonic` from which `max_minutes` counts; None for now.
      newest_dir: path of the folder for copies of the film and the page; None for `sample_dir`.

    Returns:
      The exit status: 0, or 128 + the number of the signal that stopped the training.

    Raises:
      WrongCall, Failed: if the call is invalid, or the training cannot continue.
      OSError: if a folder of the run cannot be written.
    """
    started = time.monotonic() if started is None else started
    given, why = sources.choose_network(given)
    try:
        start = build.start_settings(given)
    except (Failed, WrongCall):
        if not given.get("name"):  # the run's name depends on these settings
            raise
        start = {}  # a resumed run does not need them
    c = resolve(given, start=start, check=False)
    build.refuse_shipped(c, "checkpoint_dir", "sample_dir", "log_dir", "cache_dir")
    team = devices.find_cluster(c)
    run = build.open_run(c, team, newest_dir)
    if not (c.resume and run.has_state()):
        check_new(resolve(given, start=build.start_settings(given)))  # before a folder is made
    for folder in (run.folder, run.samples, run.logs) if run.writes else ():
        files.check_writable(folder)  # before the images are packed
        files.suits_tensorflow(folder)
    with run.lock(), devices.catch_lost_workers(team):
        resume = c.resume and run.has_state()
        if c.resume and not resume:
            refuse_networks(run.folder)
        strategy = devices.join(c, team) if team else None
        if why:
            run.say(why)
        return _train(given, {} if resume else start, started, run, resume, strategy)


def check_new(c):
    """Raise WrongCall if a new run cannot begin with a `Config` that a resumed run may have."""
    if c.freeze_critic and not c.init_from:
        raise WrongCall(
            f"--freeze_critic={c.freeze_critic} needs --init_from, since the frozen layers of a new"
            " run would keep random weights"
        )


def refuse_networks(folder):
    """Raise Failed if a folder has a generator but no checkpoint. A new run would replace it."""
    if trained.generators(folder):
        raise Failed(
            f"{folder} has a trained generator, but no checkpoint to go on from: give another "
            f"--name (with --init_from {folder.name}, it starts from this generator), or replace "
            "it with --resume False"
        )


def _train(given, start, started, run, resume, strategy):
    """Train in the folder of a run. `strategy` is for several processes, or None for one."""
    saved = read_saved(run.folder / trained.CONFIG) if resume else {}
    c = resolve(given, saved, start=start)
    refuse_changes(c, saved)
    run.say(opening.first_lines(c, given, saved, start))
    c, data, facts = sources.load_training(c, run, resume)
    devices.import_tensorflow(c.device)
    strategy = devices.choose(c, strategy)
    count = strategy.num_replicas_in_sync
    for line in (*report.opening(c, count), *devices.remarks(c, strategy)):
        run.say(line)
    batches = sources.build_batches(c, data, strategy)
    c = sources.settle(c, data.spec, len(batches), run.say)
    schedule = build_schedule(c, len(batches), started)
    counts = sources.class_counts(data)
    parts = (data.spec, schedule.per_epoch, data.shown, strategy, counts)
    # What follows from the device is not saved: each call goes by its own.
    trainer = build.build_trainer(defaults.settle(c, count), *parts)
    load_weights(c, run, trainer, resume, facts)
    devices.check_same(c, trainer, batches, schedule.last)
    step = int(trainer.count)
    if resume and step >= min(trainer.last, schedule.last):
        ended = f"the run has all {schedule.last} steps (--epoch, --max_steps)"
        if step < schedule.last:
            ended = f"the schedule of --arch {c.arch} has ended, see --final_kimg"
        run.say(f"nothing left to do: {ended}")
        run.finish()
        return 0
    schedule = dataclasses.replace(schedule, last=min(schedule.last, trainer.last))
    run.begin(c.to_json(), facts, resume=resume, sample_every=c.sample_every)
    if resume and is_plateaued(c, run, trainer):
        run.finish()
        return 0
    run.say(opening.length(c, schedule.last, schedule.per_epoch, len(batches), step))
    if resume:
        run.reals(batches.reals(64))  # a new run draws them in `loop.fit`
    evaluation = find_evaluation(c, data, run) if c.eval_every and run.writes else None
    parts = (run, trainer, batches, schedule, evaluation)
    try:
        return fit(c, *parts)
    except loop.Diverged as error:
        if c.on_nan == "stop" or not run.saved():
            raise
        rates = {name: getattr(c, name) / 2 for name in ("learning_rate", "d_learning_rate")}
        c = dataclasses.replace(c, **rates)
        step = build.restore(c, run, trainer)
        run.say(f"{error.args[0]}: back to step {step} with {settings.describe(c, rates)}")
        run.begin(c.to_json(), facts, resume=True, sample_every=c.sample_every)
        return fit(c, *parts)


def find_end(c, run):
    """Return the reason for which --patience ends a run, as a text; None if it goes on."""
    plateau = run.plateau() if c.patience else None
    if plateau is None or plateau.share < c.patience:
        return None
    best = " and ".join(map(str, trained.generators(run.folder / recovery.BEST)))
    return f"{plateau}; the best generator is {best}"


def is_plateaued(c, run, trainer):
    """Return True if --patience has ended a resumed run, and print the reason.

    The result is the same in all processes.
    """
    end = find_end(c, run)
    if end:
        run.say(f"nothing left to do: {end}; with a larger --patience, or none, the run goes on")
    return devices.agreement(trainer)(0, [end is not None])[0]


def fit(c, run, trainer, batches, schedule, evaluation):
    """Run the loop and report why it ended.

    Returns:
      The exit status: 0, or 128 + the number of the signal that stopped the training.
    """

    def tell_pace(step, seconds):
        left = schedule.deadline - time.monotonic()
        run.say(opening.pace(schedule.last - step, seconds, left, trainer.grows))

    bar = build_progress(run, trainer, schedule)
    agree = devices.agreement(trainer)
    step, stop = loop.fit(trainer, batches, run, schedule, bar, evaluation, agree, tell_pace)
    end = None if stop or step == schedule.last else find_end(c, run)
    by = stop or (end and "--patience")
    why = f"stopped by {by}" if by else "done" if step == schedule.last else "time is up"
    of = "" if schedule.last == math.inf else f" of {schedule.last}"
    lines = [f"{why} at step {step}{of}; wrote", *map(str, run.written())]
    run.say("\n".join([end, *lines] if end else lines))
    agree(0, [True])  # no process exits before the leading one has written
    return 128 + signal.Signals[stop] if stop else 0


def load_weights(c, run, trainer, resume, facts):
    """Load the first weights of a trainer, and say where they come from.

    `facts` is a dict of the facts of the images.
    """
    if resume:
        run.say(f"resumed {run.folder} at step {build.restore(c, run, trainer)}")
    elif c.init_from:
        run.say("\n".join(init_networks(c, trainer, facts)))


def init_networks(c, trainer, facts):
    """Take the weights of a saved run that fit a new trainer. Other weights stay random.

    Args:
      c: the `Config`, with `init_from`.
      trainer: the trainer, before its first step.
      facts: dict of the facts of the new run's images.

    Returns:
      A list of lines that say where the weights come from.

    Raises:
      Failed: if there is no such run, a file cannot be loaded, no layer of it fits, or a frozen
        layer would keep random weights.
    """
    from layers import stock, transfer

    folder, saved = build.find_source(c.init_from, c.checkpoint_dir), {}
    path, was = folder / trained.CONFIG, None
    if path.exists():
        was = {**read_saved(path), "data": trained.read_config(folder)["data"]}
    text = f"the networks start from the weights in {folder}"
    for name in trainer.starters:
        path = folder / f"{name}.keras"
        kind = name.partition("_")[0]
        if kind != "generator" and not path.exists():
            text += f"; there is no {path.name}, so this {kind} starts from random weights"
        else:
            saved[name] = trained.load_functional(path)
    lines = [text, trainer.start_from(saved)]
    differing = opening.start_differences(c, was, facts) if was else ""
    lines.append(differing and f"note: differs from {c.init_from}: {differing}")
    lines.append(opening.seen_before(c) if was and has_seen(c, was, facts) else None)
    same = not was or opening.same_classes(was["data"], facts)
    kwargs, random = {"same_labels": same, "from_image": trainer.from_image}, []
    for name, networks in trainer.starters.items():
        if name not in saved:
            random += stock.layers_of(networks[0])
            continue
        *_, found = (transfer.take(network, saved[name], **kwargs) for network in networks)
        if not found.taken:
            raise Failed(
                f"--init_from={c.init_from}: no layer of {folder / name}.keras fits the new network"
                + (differing and f", which differs: {differing}")
            )
        names = [list(map(transfer.describe, layers)) for layers in (found.new, found.labels)]
        lines.append(opening.taken(name, found.total, *names))
        random += found.new + found.labels
    check_frozen(c.freeze_critic, trainer, random)
    return [line for line in lines if line]


def has_seen(c, was, facts):
    """Return whether the run that a run starts from may have been trained on its held-out images.

    Takes the arguments of `opening.start_differences`.
    """
    held, before = c.holdout or 0, was.get("holdout") or 0
    if was["data"].get("fingerprint") == facts.get("fingerprint"):
        return held > before
    return held > 0 and trained.other_source(was, c.dataset, sources.place_data(c)) is None


def check_frozen(count, trainer, random):
    """Raise Failed if a critic has too few layers to freeze, or would freeze random weights.

    Args:
      count: value of --freeze_critic.
      trainer: the trainer, with the weights of another run.
      random: list of the layers that have random weights.
    """
    from layers.transfer import describe

    critics = sum(name.startswith("critic") for name in trainer.starters)
    most = sum(hasattr(layer, "kernel") for layer in trainer.frozen) // critics
    if most < count:
        raise Failed(
            f"--freeze_critic={count} must be at most {most}, the number of the critic's layers "
            "before its last one"
        )
    if wrong := [describe(layer) for layer in trainer.frozen if layer in random]:
        raise Failed(
            f"--freeze_critic={count} would freeze random weights, since no saved layer fits "
            f"{', '.join(wrong)}"
        )


def build_schedule(c, count, started):
    """Return the `loop.Schedule` of a run: when it logs, samples, saves and ends.

    Args:
      c: a `Config`.
      count: number of training images.
      started: value of `time.monotonic` from which `max_minutes` counts.
    """
    per_epoch = max(1, count // c.batch_size)
    return loop.Schedule(
        last=build.count_updates(c, per_epoch),
        per_epoch=per_epoch,
        log_every=c.log_every,
        sample_every=c.sample_every,
        save_every=c.save_every,
        eval_every=c.eval_every,
        patience=c.patience,
        deadline=started + 60 * c.max_minutes if c.max_minutes else math.inf,
    )


def build_progress(run, trainer, schedule):
    """Return the `Progress` of a run. It prints no lines for a run that writes nothing."""
    start, every = int(trainer.count), 5.0 if run.writes else math.inf
    return Progress(run.name, schedule.last, start, every, schedule.deadline, compiles=True)
