"""The processes of TF_CONFIG that train together.

Imports no TensorFlow.
"""

import dataclasses
import json
import socket
import time

JOBS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Attributes:
      workers: the address `host:port` of each process. The first process leads.
      index: the number of this process in `workers`.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def leads(self):
        """True in the process that writes the run's files."""
        return self.index == 0

    def wait_for_workers(self, patience):
        """Wait until all other processes answer, for at most `patience` seconds.

        TensorFlow itself would wait without limit. This process accepts connections meanwhile, and
        TensorFlow's server takes over the port afterwards.

        Returns:
          The addresses that do not answer, a list.
        """
        own = self.workers[self.index]
        missing, end = [host for host in self.workers if host != own], time.monotonic() + patience
        with socket.create_server(("", int(own.rpartition(":")[2]))):
            while missing := [host for host in missing if not _answers(host)]:
                if time.monotonic() > end:
                    break
                time.sleep(0.3)
        return missing


def _answers(host):
    try:
        name, _, port = host.rpartition(":")
        socket.create_connection((name.strip("[]"), int(port)), timeout=3).close()
    except OSError:
        return False
    return True


def parse(text):
    """Parse the text of TF_CONFIG.

    Returns:
      A Cluster, or None if the text is empty or names one worker.

    Raises:
      ValueError: if the text describes no cluster; the message gives the reason.
    """
    if not text.strip():
        return None
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        kind, number = task["type"], int(task["index"])
        hosts = {job: tuple(jobs[job]) for job in jobs}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f'{what}; expected {{"cluster": {{"worker": ["host:port", ...]}}, "task": '
            '{"type": "worker", "index": 0}}'
        ) from None
    if unknown := [job for job in hosts if job not in JOBS]:
        raise ValueError(f"unknown job {unknown[0]!r}; the jobs are chief and worker")
    if len(hosts.get("chief", ())) > 1:
        raise ValueError("several chiefs; at most one is allowed")
    workers = tuple(host for job in JOBS for host in hosts.get(job, ()))
    for host in workers:
        if not isinstance(host, str) or not host.rpartition(":")[0] or not _is_port(host):
            raise ValueError(f"the address {host!r} is not host:port")
    if len(set(workers)) < len(workers):
        raise ValueError("an address is listed twice")
    if not 0 <= number < len(hosts.get(kind, ())):
        raise ValueError(f"the task {kind} {number} is not in the cluster")
    index = number + (len(hosts.get("chief", ())) if kind == "worker" else 0)
    return Cluster(workers, index) if len(workers) > 1 else None


def _is_port(host):
    port = host.rpartition(":")[2]
    return port.isascii() and port.isdigit() and 0 < int(port) < 65536
