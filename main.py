"""Train a GAN, or make pictures with a trained one: `python main.py --help`."""

import sys
import time
from pathlib import Path

import build
import cli
import config as settings
import outputs
import train as loop
import utils

STARTED = time.monotonic()


def train(given, started=STARTED):
    """Train, going on from the run's newest checkpoint; return the exit status.

    It is None where a signal ended the training. `max_minutes` counts from `started`.
    """
    c = settings.resolve(given, check=False)
    run = outputs.Run(c.run_name, c.checkpoint_dir, c.sample_dir, c.log_dir)
    with run.lock():
        resume = c.resume and run.has_state()
        saved = settings.read_saved(run.folder / "config.json") if resume else {}
        c = settings.resolve(given, saved)
        settings.refuse_changes(c, saved)
        print(cli.opening(c, given, saved), flush=True)
        data = build.load_data(c)
        if resume:
            run.check_data(vars(data.spec))
        build.import_tensorflow(c.device)
        batches = build.build_batches(c, data)
        schedule = build.build_schedule(c, len(batches), started)
        trainer = build.build_trainer(c, data.spec, schedule.per_epoch)
        if resume:
            step = build.restore(c, run, trainer)
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
    bar = build.build_progress(run.name, trainer, schedule)
    step, stop = loop.fit(trainer, batches, run, schedule, bar)
    why = f"stopped by {stop}" if stop else "done" if step == schedule.last else "time is up"
    print(f"{why} at step {step} of {schedule.last}; wrote")
    print("\n".join(map(str, run.written())), flush=True)
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


def test(given):
    """Make pictures with a trained generator; return the exit status."""
    c = settings.resolve(given, check=False)
    folder, others = outputs.find_run(c.checkpoint_dir, c.dataset, settings.identity(given))
    print(f"run {folder}" + (f" (the newest; also there: {', '.join(others)})" if others else ""))
    c = settings.resolve(given, settings.read_saved(folder / "config.json"))
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
        return complain(error, 2)
    except (utils.Failed, loop.Diverged, OSError, MemoryError) as error:
        return complain(utils.first_line(error, 2000), 1)
    except KeyboardInterrupt:
        return complain("interrupted", 130)
    except Exception as error:
        if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's, not imported here
            raise
        return complain("out of memory: take a smaller --batch_size or --g_width", 1)


def complain(text, status):
    """Print one line on stderr; return the exit status."""
    print(f"main.py: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
