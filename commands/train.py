"""Train a run, or resume it."""

import dataclasses
import math
import time
from pathlib import Path

from commands import build, devices
from commands.evaluate import build_evaluation
from config import messages
from config.resolve import resolve
from config.saved import read_saved, refuse_changes
from console import Failed, Progress
from runs import trained
from runs.follower import Follower
from runs.run import Run
from training import loop

STARTED = time.monotonic()


def train(given, started=STARTED):
    """Train a run, from its newest checkpoint if it has one.

    Args:
      given: dict of the flags of the call.
      started: value of `time.monotonic` from which `max_minutes` counts.

    Returns:
      The exit status 0, or None if a signal stopped the training.

    Raises:
      WrongCall, Failed: if the call is invalid, or the training cannot continue.
    """
    c = resolve(given, check=False)
    team = devices.find_cluster(c)
    kind = Run if team is None or team.leads else Follower
    run = kind(c.run_name, c.checkpoint_dir, c.sample_dir, c.log_dir)
    if not (c.resume and run.has_state()):
        resolve(given)  # raises WrongCall before a folder is made
    with run.lock(), devices.catch_lost_workers(team):
        strategy = devices.join(c, team) if team else None
        return _train(given, started, run, c.resume and run.has_state(), strategy)


def _train(given, started, run, resume, strategy):
    """Train in the folder of a run. `strategy` is for several processes, or None for one."""
    saved = read_saved(run.folder / trained.CONFIG) if resume else {}
    c = resolve(given, saved)
    refuse_changes(c, saved)
    run.say(messages.opening(c, given, saved))
    data = build.load_data(c)
    if data.spec.class_names:
        run.say(messages.classes(data.spec.class_names))
    facts = build.describe_spec(c, data.spec)
    if resume:
        run.check_data(facts)
    devices.import_tensorflow(c.device)
    strategy = devices.choose(c, strategy)
    for line in devices.remarks(c, strategy):
        run.say(line)
    batches = build.build_batches(c, data, strategy)
    schedule = build_schedule(c, len(batches), started)
    trainer = build.build_trainer(c, data.spec, schedule.per_epoch, data.shown, strategy)
    if resume:
        step = build.restore(c, run, trainer)
        run.say(f"resumed {run.folder} at step {step}")
    elif c.init_from:
        init_networks(trainer, c.init_from, c.checkpoint_dir)
    devices.check_same(c, trainer, batches)
    if resume and step >= min(trainer.last, schedule.last):
        ended = f"the run has all {schedule.last} steps (--epoch, --max_steps)"
        if step < schedule.last:
            ended = f"the schedule of --arch {c.arch} has ended"
        run.say(f"nothing left to do: {ended}")
        run.finish()
        return 0
    schedule = limit(schedule, trainer)
    run.begin(c.to_json(), facts, resume=resume, sample_every=c.sample_every)
    evaluation = build_evaluation(c, data) if c.eval_every and run.writes else None
    parts = (run, trainer, batches, schedule, evaluation)
    try:
        return fit(*parts)
    except loop.Diverged as error:
        if c.on_nan == "stop" or not run.saved():
            raise
        rates = {name: getattr(c, name) / 2 for name in ("learning_rate", "d_learning_rate")}
        c = dataclasses.replace(c, **rates)
        step = build.restore(c, run, trainer)
        run.say(f"{error.args[0]}: back to step {step} with {messages.describe(c, rates)}")
        run.begin(c.to_json(), facts, resume=True, sample_every=c.sample_every)
        return fit(*parts)


def fit(run, trainer, batches, schedule, evaluation):
    """Run the loop and report why it ended; return 0, or None if a signal stopped it."""
    bar = build_progress(run, trainer, schedule)
    agree = devices.agreement(trainer)
    step, stop = loop.fit(trainer, batches, run, schedule, bar, evaluation, agree)
    why = f"stopped by {stop}" if stop else "done" if step == schedule.last else "time is up"
    run.say(
        "\n".join([f"{why} at step {step} of {schedule.last}; wrote", *map(str, run.written())])
    )
    agree(0, True)  # no process exits before the leading one has written
    return None if stop else 0


def init_networks(trainer, source, checkpoint_dir):
    """Copy the weights of another run's saved networks to a new trainer.

    Args:
      trainer: the trainer.
      source: name of a run in `checkpoint_dir`, or path of a folder.
      checkpoint_dir: path of the folder of the runs.

    Raises:
      Failed: if a file cannot be loaded, or is another network.
    """
    from layers import stock

    folder = Path(source) if Path(source).is_dir() else Path(checkpoint_dir) / source
    for name, networks in trainer.starters.items():
        path = folder / f"{name}.keras"
        saved = trained.load_network(path)
        for network in networks:
            try:
                stock.take_stock_weights(network, saved)
            except ValueError:
                raise Failed(
                    f"--init_from={source}: {path} is another network than the new one"
                ) from None


def build_schedule(c, count, started):
    """Return the `loop.Schedule` of a run: when it logs, samples, saves and ends.

    Args:
      c: a `Config`.
      count: number of training images.
      started: value of `time.monotonic` from which `max_minutes` counts.
    """
    per_epoch = max(1, count // c.batch_size)
    return loop.Schedule(
        last=min(c.epoch * per_epoch, c.max_steps or math.inf),
        per_epoch=per_epoch,
        log_every=c.log_every,
        sample_every=c.sample_every,
        save_every=c.save_every,
        eval_every=c.eval_every,
        deadline=started + 60 * c.max_minutes if c.max_minutes else math.inf,
    )


def limit(schedule, trainer):
    """Return a schedule that ends no later than the trainer's own schedule."""
    return dataclasses.replace(schedule, last=min(schedule.last, trainer.last))


def build_progress(run, trainer, schedule):
    """Return the `Progress` of a run. It prints no lines for a run that writes nothing."""
    start, every = int(trainer.count), 5.0 if run.writes else math.inf
    return Progress(run.name, schedule.last, start, every, deadline=schedule.deadline)
