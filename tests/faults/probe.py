"""Ask an address every so often and say when, how long it took and what came, a line each: a process of its own, so that
nothing of the test's own work is measured with it. Arguments: port, path, seconds between.
"""

import http.client
import sys
import time


def main(port: int, path: str, every_s: float) -> None:
    """Ask until the process is ended."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while True:
        begun = time.monotonic()
        try:
            line.request("GET", path)
            answer = line.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            line.close()
            status = 0
        sys.stdout.write(f"{begun} {time.monotonic() - begun} {status}\n")
        sys.stdout.flush()
        time.sleep(every_s)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
