"""What a call can do: train, compare, evaluate, test. Each takes the flags given."""

import dataclasses
import time
from pathlib import Path

import build
import cli
import cluster
import config as settings
import kept
import outputs
import replicas
import train as loop
import trained
import utils

STARTED = time.monotonic()


def train(given, started=STARTED):
    """Train, going on from the run's newest checkpoint; return the exit status.

    It is None where a signal ended the training. `max_minutes` counts from `started`.
    """
    c = settings.resolve(given, check=False)
    team = replicas.find_cluster(c)
    kind = outputs.Run if team is None or team.leads else cluster.Follower
    run = kind(c.run_name, c.checkpoint_dir, c.sample_dir, c.log_dir)
    if not (c.resume and run.has_state()):
        settings.resolve(given)  # a wrong call leaves no folder
    with run.lock(), replicas.in_company(team):
        strategy = build.join(c, team) if team else None
        return _train(given, started, run, c.resume and run.has_state(), strategy)


def _train(given, started, run, resume, strategy):
    """`train` in a run's folder; `strategy` is that of several machines, or None."""
    saved = kept.read_saved(run.folder / "config.json") if resume else {}
    c = settings.resolve(given, saved)
    kept.refuse_changes(c, saved)
    run.say(cli.opening(c, given, saved))
    data = build.load_data(c)
    if resume:
        run.check_data(vars(data.spec))
    build.import_tensorflow(c.device)
    strategy = replicas.choose(c, strategy)
    for line in replicas.remarks(c, strategy):
        run.say(line)
    batches = build.build_batches(c, data, strategy)
    schedule = build.build_schedule(c, len(batches), started)
    trainer = build.build_trainer(c, data.spec, schedule.per_epoch, data.shown, strategy)
    if resume:
        step = build.restore(c, run, trainer)
        run.say(f"resumed {run.folder} at step {step}")
    elif c.init_from:
        build.init_networks(trainer, c.init_from, c.checkpoint_dir)
    replicas.check_same(c, trainer, batches)
    if resume and step >= min(trainer.last, schedule.last):
        ended = f"{schedule.last} steps asked (--epoch, --max_steps)"
        if step < schedule.last:
            ended = f"the schedule of --arch {c.arch} has ended"
        run.say(f"nothing left to do: {ended}")
        run.finish()
        return 0
    schedule = build.limit(schedule, trainer)
    run.begin(c.to_json(), vars(data.spec), resume=resume, sample_every=c.sample_every)
    evaluation = build.build_evaluation(c, data) if c.eval_every and run.writes else None
    parts = (run, trainer, batches, schedule, evaluation)
    try:
        return fit(*parts)
    except loop.Diverged as error:
        if c.on_nan == "stop" or not run.saved():
            raise
        rates = {name: getattr(c, name) / 2 for name in ("learning_rate", "d_learning_rate")}
        c = dataclasses.replace(c, **rates)
        step = build.restore(c, run, trainer)
        run.say(f"{error.args[0]}: back to step {step} with {cli.describe(c, rates)}")
        run.begin(c.to_json(), vars(data.spec), resume=True, sample_every=c.sample_every)
        return fit(*parts)


def fit(run, trainer, batches, schedule, evaluation):
    """Run the loop and say how it ended; return the exit status as `train` does."""
    bar = build.build_progress(run, trainer, schedule)
    agree = replicas.agreement(trainer)
    step, stop = loop.fit(trainer, batches, run, schedule, bar, evaluation, agree)
    why = f"stopped by {stop}" if stop else "done" if step == schedule.last else "time is up"
    run.say(
        "\n".join([f"{why} at step {step} of {schedule.last}; wrote", *map(str, run.written())])
    )
    agree(0, True)  # none leaves before the one that writes is done
    return None if stop else 0


def compare(given):
    """Train each of several modes on the same data, seed and budget, and write a page of them."""
    runs = {}
    for mode in given["compare"]:
        c = settings.resolve({**given, "mode": mode})
        folder = Path(c.sample_dir) / "compare"
        name = f"{c.name}_{mode}" if c.name else f"compare_{c.run_name}"
        part = {**given, "mode": mode, "name": name, "sample_dir": str(folder / mode)}
        if train(part, time.monotonic()) is None:
            return None
        runs[mode] = build.compared(Path(c.checkpoint_dir) / name)
    import report

    print("\n".join(map(str, report.write_page(folder, runs))))
    return 0


def find(given):
    """(settings, folder) of the trained run that a call means."""
    c = settings.resolve(given, check=False)
    outputs.settle_runs(c.checkpoint_dir, c.log_dir)
    try:
        folder, others = trained.find_run(c.checkpoint_dir, c.dataset, kept.identity(given))
    except utils.Failed:
        settings.resolve(given)  # no run of settings that no run can have
        raise
    print(f"run {folder}" + (f" (the newest; also there: {', '.join(others)})" if others else ""))
    return settings.resolve(given, kept.read_saved(folder / "config.json")), folder


def dry_run(given):
    """Say what a training run would be, without it; return the exit status."""
    c = settings.resolve(given)
    for line in (cli.opening(c, given, {}), *build.dry_run(c)):
        print(line, flush=True)


def evaluate(given):
    """Measure a trained generator; return the exit status."""
    for line in build.measure(*find(given)):
        print(line, flush=True)


def export(given):
    """Write a trained generator in formats that other programs load; return the exit status."""
    for path in build.export(*find(given)):
        print(path, flush=True)


def test(given):
    """Make pictures with a trained generator; return the exit status."""
    c, folder = find(given)
    build.import_tensorflow(c.device)
    for path in build.pictures(c, folder):
        print(path, flush=True)


# By the flag that asks for it. A dry run goes before what it is a run of, and `compare` trains.
TASKS = {"dry_run": dry_run, "compare": compare, "train": train, "evaluate": evaluate}
TASKS |= {"export": export}
