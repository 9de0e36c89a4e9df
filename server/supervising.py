"""Several worker processes under one: a worker that ends is replaced at once, one that is silent after a while.

Uvicorn's supervisor asks the workers one after the other for a sign of life and waits for each answer. While it waited for
a worker that was slow to answer (importing, or short of processor) it did not see that another had ended; and a worker
that ended between question and answer was waited for to the last, because its end of the pipe stays open in the
supervisor. Here nothing is waited for: the kernel says who has ended, and an answer is taken when it is there.
"""

import logging
import time
from socket import socket

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

LOG = logging.getLogger("uvicorn.error")
SILENT_S = 60
"""A worker that says nothing for so long is replaced. Uvicorn's own 5 s are less than importing takes on a busy machine:
there each worker was killed before it had begun, again and again."""


class Workers(Multiprocess):
    """The supervisor. It looks twice a second."""

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.unable = False
        """Whether a worker could not start: then neither can another."""
        self._asked_at: dict[Process, float] = {}

    def keep_subprocess_alive(self) -> None:
        """Replace every worker that has ended or is silent; end with the first that cannot start at all."""
        for place, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if worker.process.is_alive() and not self._silent(worker, time.monotonic()):
                continue
            self._asked_at.pop(worker, None)
            worker.kill()
            worker.join()
            if worker.exitcode == STARTUP_FAILURE:
                LOG.error("worker %s could not start, so none will", worker.pid)
                self.unable = True
                self.should_exit.set()
                return
            LOG.error("worker %s has ended (%s); another takes its place", worker.pid, worker.exitcode)
            successor = Process(self.config, self.sockets)
            successor.start()
            self.processes[place] = successor

    def _silent(self, worker: Process, now: float) -> bool:
        """Take what the worker has answered, ask it again, and tell whether it has owed an answer for too long."""
        try:
            while worker.parent_conn.poll():
                worker.parent_conn.recv()
                self._asked_at.pop(worker, None)
            if worker not in self._asked_at:
                worker.parent_conn.send(b"ping")
                self._asked_at[worker] = now
        except (OSError, EOFError):
            return True
        return now - self._asked_at[worker] > self.config.timeout_worker_healthcheck
