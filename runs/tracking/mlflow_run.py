"""MLflow. Its server is that of MLFLOW_TRACKING_URI, or else a SQLite file beside the logs."""

import os
import time

EXPERIMENT = "gan"  # unless MLFLOW_EXPERIMENT_NAME names another
FILE, ARTIFACTS = "mlflow.db", "mlartifacts"  # in the folder of the logs, without a server
BATCH = 1000  # metrics in a call, at most
LONGEST = 500  # letters of a parameter
# An unreachable server is tried for a minute or two, and not for an hour.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


class MlflowRun:
    """A run of MLflow.

    Args:
      name: name of the run.
      place: path of the folder for the SQLite file and the artefacts.
      settings: dict of the run's settings.
      identity: id of the run to continue; None for a new one.

    Attributes:
      identity: the run's id.
      place: the address of the server, or of the SQLite file.
    """

    def __init__(self, name, place, settings, identity):
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        import mlflow

        place.mkdir(parents=True, exist_ok=True)
        place, server = place.resolve(), os.environ.get("MLFLOW_TRACKING_URI")
        self.place = server or f"sqlite:///{place / FILE}"
        self._mlflow, self._client = mlflow, mlflow.MlflowClient(tracking_uri=self.place)
        if identity is None:
            artifacts = None if server else (place / ARTIFACTS).as_uri()
            run = self._client.create_run(self._experiment(artifacts), run_name=name)
            identity = run.info.run_id
        self.identity = identity
        self._client.update_run(identity, status="RUNNING")
        known = self._client.get_run(identity).data.params
        for key, value in settings.items():
            text = str(value)[:LONGEST]
            if key not in known:
                self._client.log_param(identity, key, text)
            elif text != known[key]:  # a parameter cannot be changed
                self._client.set_tag(identity, key, text)

    def _experiment(self, artifacts):
        """Return the id of the experiment. `artifacts`: address of its artefacts, or None."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        return self._client.create_experiment(name, artifact_location=artifacts)

    def rows(self, rows):
        """Log rows of numbers, each with its `step`."""
        now, metric = int(1000 * time.time()), self._mlflow.entities.Metric
        found = [
            metric(name, value, now, row["step"])
            for row in rows
            for name, value in row.items()
            if name != "step"
        ]
        for start in range(0, len(found), BATCH):
            self._client.log_batch(self.identity, metrics=found[start : start + BATCH])

    def sheet(self, step, path):
        """Upload the picture of a step."""
        self._client.log_artifact(self.identity, str(path), f"samples/{step:08d}")

    def end(self, page, failed):
        """Upload the page, a path or None, and close the run."""
        if page:
            self._client.log_artifact(self.identity, str(page), "page")
        self._client.set_terminated(self.identity, "FAILED" if failed else "FINISHED")
