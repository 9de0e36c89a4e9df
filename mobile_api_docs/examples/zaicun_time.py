"""The phone's running clock and its last time anchor: when a check-in was made, whatever the phone's time is set to.

To be read and translated, like zaicun_phone.py. It needs Python 3.11 on Linux. The running clock must go on while the
phone sleeps, and its boot must have a name that no other start of the phone has:

- Android: `SystemClock.elapsedRealtime()` and `Settings.Global.BOOT_COUNT`; not `uptimeMillis()` or `System.nanoTime()`.
- iOS: `mach_continuous_time()` (Swift: `ContinuousClock`) and the sysctl `kern.bootsessionuuid`; not `systemUptime`,
  and not `kern.boottime`, which moves when the time is set.
- HarmonyOS: `systemDateTime.getUptime(STARTUP)`, and a random name that the app makes when that clock began anew.

Browsers and mini-programs have no such clock: they leave `clock` and `sent_clock` out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Reading = tuple[str, int]
"""The name of the boot, and milliseconds since it."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def linux_clock() -> Reading:
    """Read CLOCK_BOOTTIME, which counts sleep as well (CLOCK_MONOTONIC does not)."""
    return BOOT_ID.read_text("ascii").strip(), time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


@dataclass
class RunningClock:
    """The running clock of one phone, with the anchor that is kept in `file` over restarts."""

    file: Path
    read: Callable[[], Reading] = linux_clock

    def asking(self) -> dict[str, Any]:
        """Return the body that asks for an anchor: read the moment before it is sent."""
        boot, ms = self.read()
        return {"boot_id": boot, "asked_ms": ms}

    def keep(self, asked: dict[str, Any], told: dict[str, Any]) -> None:
        """Keep an anchor the moment it came. One that arrived in another boot is of no use."""
        boot, ms = self.read()
        if boot == asked["boot_id"]:
            aside = self.file.with_suffix(".tmp")
            aside.write_text(json.dumps({"anchor": told["anchor"], "got_ms": ms}), "ascii")
            aside.replace(self.file)

    def at_tap(self) -> dict[str, Any]:
        """Return `clock` of a check-in: kept with it in the queue and never changed."""
        boot, ms = self.read()
        anchor = json.loads(self.file.read_text("ascii")) if self.file.exists() else {}
        return {"boot_id": boot, "tapped_ms": ms, **anchor}

    def at_sending(self) -> dict[str, Any]:
        """Return `sent_clock`: read anew each time, like `sent_at`."""
        boot, ms = self.read()
        return {"boot_id": boot, "ms": ms}
