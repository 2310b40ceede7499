"""Train a GAN, or make pictures with a trained one: `python main.py --help`."""

import sys
import time

import build
import config as settings
import utils

STARTED = time.monotonic()


def train(given):
    """Train, going on from the run's newest checkpoint; return the exit status."""
    import outputs

    c = settings.resolve(given)
    run = outputs.Run(c.run_name, c.checkpoint_dir, c.sample_dir, c.log_dir)
    with run.lock():
        resume = c.resume and run.has_state()
        if resume:
            saved = settings.read_saved(run.folder / "config.json")
            c = settings.resolve(given, saved)
            settings.refuse_changes(c, saved)
            for name, old, new in settings.changes(c, saved):
                print(f"changed: {name} {settings.text(old)} -> {settings.text(new)}")
        print(f"run {c.run_name}\n{settings.describe(c)}", flush=True)
        data = build.load_data(c)
        build.import_tensorflow()
        trainer = build.build_trainer(c, data.spec)
        if resume:
            step = run.restore(trainer)
            trainer.set_rates(c.learning_rate, c.d_learning_rate)
            print(f"resumed {run.folder} at step {step}")
        run.begin(c.to_json(), vars(data.spec), resume=resume)
        return fit(c, run, trainer, data)


def fit(c, run, trainer, data):
    """Run the loop and say how it ended; return the exit status."""
    import dataset
    import train as loop

    batches = dataset.Batches(data.images, data.labels, seed=c.seed, train_size=c.train_size)
    if len(batches) < c.batch_size:
        print(f"{len(batches)} images are fewer than a batch of {c.batch_size}: they repeat")
    schedule = build.build_schedule(c, len(batches), STARTED)
    step = int(trainer.count)
    if step >= schedule.last:
        print(f"nothing left to do at step {step} of {schedule.last} (more: --epoch, --max_steps)")
        return 0
    bar = utils.Progress(c.run_name, schedule.last, step)
    try:
        step, stop = loop.fit(trainer, batches, run, schedule, bar)
    except loop.Diverged as error:
        raise utils.Failed(
            f"{error}: the last checkpoint in {run.folder} is from before; try a lower "
            "--learning_rate or another --seed"
        ) from None
    print(f"{'stopped by ' + stop if stop else 'done'} at step {step} of {schedule.last}; wrote")
    print("\n".join(map(str, run.written())))
    return 0


def test(given):
    """Make pictures with a trained generator; return the exit status."""
    import outputs

    c = settings.resolve(given)
    wanted = settings.identity(given)
    folder, others = outputs.find_run(c.checkpoint_dir, c.dataset, wanted)
    c = settings.resolve(given, settings.read_saved(folder / "config.json"))
    print(f"run {folder}" + (f" (the newest; also there: {', '.join(others)})" if others else ""))
    build.import_tensorflow()
    for path in build.build_sampler(c, folder / "generator.keras").all(c.visualize, c.num_samples):
        print(path)
    return 0


def main(argv):
    """Carry out a command line; return the exit status: 0 done, 1 failed, 2 a wrong call."""
    try:
        given = settings.parse_flags(argv)
        if given.pop("help", False):
            print(settings.help_text(settings.resolve(given)))
            return 0
        return (train if given.get("train") else test)(given)
    except settings.WrongCall as error:
        print(f"main.py: {error}", file=sys.stderr)
        return 2
    except (utils.Failed, OSError) as error:
        print(f"main.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("main.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv))
