"""Weights & Biases. Its settings are those of its own environment variables, such as WANDB_MODE."""

import os

PROJECT = "gan"  # unless WANDB_PROJECT names another


class WandbRun:
    """A run of Weights & Biases.

    Args:
      name: name of the run.
      place: path of the folder in which wandb makes its folder `wandb`.
      settings: dict of the run's settings.
      identity: id of the run to continue; None for a new one.

    Attributes:
      identity: the run's id.
      place: the run's address, or its folder if it is offline.
    """

    def __init__(self, name, place, settings, identity):
        import wandb

        place.mkdir(parents=True, exist_ok=True)
        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=name,
            id=identity,
            resume="allow",
            dir=str(place),
            settings=wandb.Settings(console="off", silent=True),
        )
        self._run.config.update(settings, allow_val_change=True)
        self._run.define_metric("*", step_metric="step")
        self.identity = self._run.id
        self.place = os.path.dirname(self._run.dir) if self._run.offline else self._run.url

    def rows(self, rows):
        """Log rows of numbers, each with its `step`."""
        for row in rows:
            self._run.log(row)

    def sheet(self, step, path):
        """Log the picture of a step."""
        self._run.log({"step": step, "samples": self._wandb.Image(str(path))})

    def end(self, page, failed):
        """Upload the page, a path or None, as an artefact, and close the run."""
        if page:
            artifact = self._wandb.Artifact(f"page-{self.identity}", "page")
            artifact.add_file(str(page))
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=int(failed))
