"""Several machines: which of them this process is on, and the run of one that does not lead.

Imports no TensorFlow.
"""

import dataclasses
import json
import socket
import time

JOBS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together: `host:port` of each, the leading one first."""

    workers: tuple[str, ...]
    index: int

    @property
    def leads(self):
        """Is this the process that writes?"""
        return self.index == 0

    def meet(self, patience):
        """Wait for the others, so many seconds; return the addresses of those that do not come.

        TensorFlow would wait for ever. Its own server answers those who come later.
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


def read(text):
    """The Cluster that TF_CONFIG's text describes, or None where it is empty or of one worker.

    Raises:
      ValueError: where it cannot be one, saying why.
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
            f'{what}; it is {{"cluster": {{"worker": ["host:port", ...]}}, "task": '
            '{"type": "worker", "index": 0}}'
        ) from None
    if unknown := [job for job in hosts if job not in JOBS]:
        raise ValueError(f"a job {unknown[0]!r}: there are chief and worker")
    if len(hosts.get("chief", ())) > 1:
        raise ValueError("several chiefs")
    workers = tuple(host for job in JOBS for host in hosts.get(job, ()))
    for host in workers:
        if not isinstance(host, str) or not host.rpartition(":")[0] or not _is_port(host):
            raise ValueError(f"the address {host!r} is not host:port")
    if len(set(workers)) < len(workers):
        raise ValueError("an address twice")
    if not 0 <= number < len(hosts.get(kind, ())):
        raise ValueError(f"the task {kind} {number}, which its cluster has not")
    index = number + (len(hosts.get("chief", ())) if kind == "worker" else 0)
    return Cluster(workers, index) if len(workers) > 1 else None


def _is_port(host):
    port = host.rpartition(":")[2]
    return port.isascii() and port.isdigit() and 0 < int(port) < 65536
