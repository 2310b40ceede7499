"""Train a GAN, or make pictures with a trained one: `python main.py --help`."""

import sys
import time
from pathlib import Path

import build
import cli
import config as settings
import train as loop
import utils

STARTED = time.monotonic()


def train(given, started=STARTED):
    """Train, going on from the run's newest checkpoint; return the exit status.

    It is None where a signal ended the training. `max_minutes` counts from `started`.
    """
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
        print("\n".join([f"run {c.run_name}", settings.describe(c), *settings.advice(c)]))
        data = build.load_data(c)
        build.import_tensorflow(c.device)
        batches = build.build_batches(c, data)
        schedule = build.build_schedule(c, len(batches), started)
        trainer = build.build_trainer(c, data.spec, schedule.per_epoch)
        if resume:
            step = run.restore(trainer)
            trainer.set_rates(c.learning_rate, c.d_learning_rate)
            print(f"resumed {run.folder} at step {step}")
            if step >= schedule.last:
                print(f"nothing left to do: {schedule.last} steps asked (--epoch, --max_steps)")
                return 0
        elif c.init_from:
            build.init_networks(trainer, c.init_from, c.checkpoint_dir)
        run.begin(c.to_json(), vars(data.spec), resume=resume)
        return fit(run, trainer, batches, schedule)


def fit(run, trainer, batches, schedule):
    """Run the loop and say how it ended; return the exit status as `train` does."""
    bar = utils.Progress(run.name, schedule.last, int(trainer.count))
    step, stop = loop.fit(trainer, batches, run, schedule, bar)
    print(f"{'stopped by ' + stop if stop else 'done'} at step {step} of {schedule.last}; wrote")
    print("\n".join(map(str, run.written())), flush=True)
    return None if stop else 0


def compare(given):
    """Train each of several modes on the same data, seed and budget, and write a page of them."""
    runs = {}
    for mode in given["compare"]:
        part = {**given, "mode": mode}
        part["sample_dir"] = str(Path(settings.resolve(part).sample_dir) / "compare" / mode)
        if "name" in given:
            part["name"] = f"{given['name']}_{mode}"
        if train(part, time.monotonic()) is None:
            return None
        c = settings.resolve(part)
        runs[mode] = (Path(c.checkpoint_dir) / c.run_name, build.clip_bounds(mode, vars(c)))
    import report

    for path in report.write_page(Path(c.sample_dir).parent, runs):
        print(path)
    return 0


def test(given):
    """Make pictures with a trained generator; return the exit status."""
    import outputs

    c = settings.resolve(given)
    folder, others = outputs.find_run(c.checkpoint_dir, c.dataset, settings.identity(given))
    c = settings.resolve(given, settings.read_saved(folder / "config.json"))
    print(f"run {folder}" + (f" (the newest; also there: {', '.join(others)})" if others else ""))
    build.import_tensorflow(c.device)
    sampler = build.build_sampler(c, folder / "generator.keras")
    for path in sampler.all(c.visualize, c.num_samples, c.seeds, c.interpolate):
        print(path, flush=True)
    return 0


def main(argv):
    """Carry out a command line; return the exit status: 0 done, 1 failed, 2 a wrong call."""
    try:
        given = cli.parse_flags(argv)
        if given.pop("help", False):
            print(cli.help_text(settings.resolve(given)))
        elif given.get("list_presets"):
            print(cli.preset_table())
        else:
            task = compare if given.get("compare") else train if given.get("train") else test
            return task(given) or 0
        return 0
    except settings.WrongCall as error:
        print(f"main.py: {error}", file=sys.stderr)
        return 2
    except (utils.Failed, loop.Diverged, OSError) as error:
        print(f"main.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("main.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv))
