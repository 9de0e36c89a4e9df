"""Every metric of zaicun, and the page that Prometheus reads.

No label says who, where or which record: operations, statuses, problem codes, verdicts and jobs come from lists in the
code. What each metric is for stands in its help text, and the alerts on them in server/deploy/prometheus.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.tally import TALLY, Family, Kind, Slot, Tally

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 4.0, 10.0)
"""4 s is the bound of every route (security.md M4), so it is an edge."""
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

REQUESTS = Family(
    "zaicun_http_requests", "Answers by operation and status.", Kind.COUNTER, ("operation", "status")
)
SECONDS = Family(
    "zaicun_http_request_seconds",
    "From the first byte read to the last one sent, by operation.",
    Kind.HISTOGRAM,
    ("operation",),
    _SECONDS,
)
IN_FLIGHT = Family("zaicun_http_in_flight", "Requests being answered.", Kind.GAUGE, each=True)
GONE = Family(
    "zaicun_http_clients_gone",
    "Requests whose sender was gone before they were whole, by operation: nothing was answered.",
    Kind.COUNTER,
    ("operation",),
)
PROBLEMS = Family(
    "zaicun_problems", "Refusals by their code (problems.md).", Kind.COUNTER, ("operation", "code")
)
CHECKINS_STORED = Family(
    "zaicun_checkins_stored", "Check-ins stored, by verdict.", Kind.COUNTER, ("verdict",)
)
CHECKINS_REPLAYED = Family(
    "zaicun_checkins_replayed", "Check-ins sent again and answered with their first answer.", Kind.COUNTER
)
ATTEMPTS_UNPROVEN = Family(
    "zaicun_attempts_unproven",
    "Refused check-ins whose sender nothing proves: not kept, only counted.",
    Kind.COUNTER,
    ("code",),
)
GROUP_SIZE = Family(
    "zaicun_intake_group_size", "Check-ins stored in one transaction.", Kind.HISTOGRAM, bounds=_SIZES
)
STORE_SECONDS = Family(
    "zaicun_intake_store_seconds",
    "From taking a group to its commit.",
    Kind.HISTOGRAM,
    bounds=_SECONDS,
)
STORE_FAILED = Family(
    "zaicun_intake_store_failed", "Groups that could not be stored, by what failed.", Kind.COUNTER, ("cause",)
)
QUEUE = Family("zaicun_intake_queue", "Check-ins waiting to be stored.", Kind.GAUGE, each=True)
QUEUE_LIMIT = Family(
    "zaicun_intake_queue_limit", "Check-ins that may wait; beyond it 503.", Kind.GAUGE, each=True
)
LOGINS = Family("zaicun_logins", "Attempts to log in, by outcome.", Kind.COUNTER, ("outcome",))
PROOFS_REFUSED = Family(
    "zaicun_proofs_refused",
    "Requests whose proof of the phone's key was not taken, by what was wrong; nonce: asked to use another one.",
    Kind.COUNTER,
    ("cause",),
)
CLOCK_JUMPS = Family(
    "zaicun_clock_jumps", "How often a worker saw its machine's clock being set.", Kind.COUNTER
)
POOL_SIZE = Family("zaicun_pool_size", "Connections a worker may open.", Kind.GAUGE, each=True)
POOL_USED = Family("zaicun_pool_used", "Connections in use.", Kind.GAUGE, each=True)
POOL_WAITING = Family("zaicun_pool_waiting", "Threads waiting for a connection.", Kind.GAUGE, each=True)
LOOP_LAG = Family(
    "zaicun_loop_lag_seconds",
    "How late the event loop woke up, asked once a second.",
    Kind.HISTOGRAM,
    bounds=_SECONDS,
)
LOG_LOST = Family(
    "zaicun_log_lines_dropped", "Log lines given up because nobody reads them fast enough.", Kind.COUNTER
)
CPU = Family("zaicun_process_cpu_seconds", "Processor time used by a worker.", Kind.COUNTER, each=True)
MEMORY = Family("zaicun_process_memory_bytes", "Resident memory of a worker.", Kind.GAUGE, each=True)
FILES = Family("zaicun_process_open_files", "Open files and sockets of a worker.", Kind.GAUGE, each=True)
STARTED = Family(
    "zaicun_process_start_timestamp_seconds", "When a worker began (Unix time).", Kind.GAUGE, each=True
)

FAMILIES = (
    REQUESTS,
    SECONDS,
    IN_FLIGHT,
    GONE,
    PROBLEMS,
    CHECKINS_STORED,
    CHECKINS_REPLAYED,
    ATTEMPTS_UNPROVEN,
    GROUP_SIZE,
    STORE_SECONDS,
    STORE_FAILED,
    QUEUE,
    QUEUE_LIMIT,
    LOGINS,
    PROOFS_REFUSED,
    CLOCK_JUMPS,
    POOL_SIZE,
    POOL_USED,
    POOL_WAITING,
    LOOP_LAG,
    LOG_LOST,
    CPU,
    MEMORY,
    FILES,
    STARTED,
)
INTAKE = "checkins-put"
"""The operation whose refusals are told once more as ``zaicun_checkins_refused_total``."""


def logged_in(outcome: str) -> None:
    """Count one attempt to log in: ok, unknown-login, wrong-password, not-active, slowed or unavailable."""
    TALLY.add(LOGINS, outcome)


def proof_refused(cause: str) -> None:
    """Count a proof that was not taken: missing, signature, key, replay, nonce and such."""
    TALLY.add(PROOFS_REFUSED, cause)


def clock_jumped() -> None:
    """Count a jump of the machine's clock."""
    TALLY.add(CLOCK_JUMPS)


def unproven(code: str) -> None:
    """Count a refused check-in that nobody is proven to have sent (ruling 13)."""
    TALLY.add(ATTEMPTS_UNPROVEN, code)


def stored(verdict: str) -> None:
    """Count a check-in that was stored; called from the event loop alone."""
    tally = TALLY
    tally.cells[tally.series(CHECKINS_STORED, verdict).at] += 1


def replayed() -> None:
    """Count a check-in that was stored before; called from the event loop alone."""
    tally = TALLY
    tally.cells[tally.series(CHECKINS_REPLAYED).at] += 1


def store_failed(cause: str) -> None:
    """Count a group that could not be stored: timeout, connection, fault, or a problem's code."""
    TALLY.add(STORE_FAILED, cause)


def grouped(size: int, seconds: float) -> None:
    """Count one stored group of check-ins."""
    TALLY.observe(GROUP_SIZE, size=size)
    TALLY.observe(STORE_SECONDS, size=seconds)


class Page(Collector):
    """Everything at one moment, as prometheus_client wants it. `facts` are gauges that come from elsewhere."""

    def __init__(self, tally: Tally, facts: Iterable[Metric] = ()) -> None:
        self._slots = tally.slots()
        self._facts = tuple(facts)

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        for family in FAMILIES:
            yield _told_by_worker(family, self._slots) if family.each else _summed(family, self._slots)
        yield self._refused()
        yield _gauge("zaicun_workers", "Workers alive.", sum(slot.alive for slot in self._slots))
        lost = CounterMetricFamily("zaicun_series_dropped", "Label sets that were one too many: a mistake.")
        lost.add_metric((), sum(slot.lost for slot in self._slots))
        yield lost
        build = GaugeMetricFamily(
            "zaicun_build_info", "What runs here; always 1.", labels=("version", "python")
        )
        build.add_metric((version("zaicun"), platform.python_version()), 1)
        yield build
        yield from self._facts

    def _refused(self) -> Metric:
        """Tell the refused check-ins by code: a view of the problems, so that nothing is counted twice."""
        told = CounterMetricFamily("zaicun_checkins_refused", "Check-ins refused, by code.", labels=("code",))
        for (operation, code), (count,) in _sums(PROBLEMS, self._slots).items():
            if operation == INTAKE:
                told.add_metric((code,), count)
        return told


def page(accept: str, facts: Iterable[Metric] = (), tally: Tally = TALLY) -> tuple[bytes, str]:
    """Return the page and its media type: OpenMetrics when asked for, else the Prometheus text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(Page(tally, facts)))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Fixed(Collector):
    """Collect once: registering asks a collector for its names by collecting."""

    def __init__(self, whole: Page) -> None:
        self._metrics = list(whole.collect())

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _sums(family: Family, slots: Iterable[Slot]) -> Mapping[tuple[str, ...], tuple[float, ...]]:
    sums: dict[tuple[str, ...], tuple[float, ...]] = {}
    for slot in slots:
        for (name, values), cells in slot.rows.items():
            if name == family.name and len(cells) == family.width:
                before = sums.get(values)
                sums[values] = tuple(map(sum, zip(before, cells, strict=True))) if before else cells
    if not family.labels:
        sums.setdefault(
            (), (0.0,) * family.width
        )  # A counter that shows up with its first event hides that event.
    return sums


def _summed(family: Family, slots: Iterable[Slot]) -> Metric:
    sums = sorted(_sums(family, slots).items())
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for values, cells in sums:
            histogram.add_metric(values, *_buckets(family, cells))
        return histogram
    shown = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    told = shown(family.name, family.text, labels=family.labels)
    for values, (count,) in sums:
        told.add_metric(values, count)
    return told


def _buckets(family: Family, cells: tuple[float, ...]) -> tuple[list[tuple[str, float]], float]:
    """Return cumulative buckets by their upper edge, and the sum of the sizes."""
    below, buckets = 0.0, []
    for edge, count in zip((*map(str, family.bounds), "+Inf"), cells[:-1], strict=True):
        below += count
        buckets.append((edge, below))
    return buckets, cells[-1]


def _told_by_worker(family: Family, slots: Iterable[Slot]) -> Metric:
    shown = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    told = shown(family.name, family.text, labels=("worker",))
    for slot in slots:
        cells = slot.rows.get((family.name, ()))
        if slot.alive and cells:
            told.add_metric((str(slot.worker),), cells[0])
    return told


def _gauge(name: str, text: str, value: float) -> Metric:
    told = GaugeMetricFamily(name, text)
    told.add_metric((), value)
    return told
