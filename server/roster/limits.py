"""How much a roster file may be and cost, and how it is refused. Pure; shared with the reading process."""

LARGEST_FILE = 8 << 20
MOST_ROWS = 20_000
MOST_COLUMNS = 64
MOST_MEMBERS = 1_000  # Of the zip that a workbook is.
MOST_UNPACKED = 48 << 20
MEMORY_BYTES = 768 << 20  # Of the reading process.
CPU_S = 20
WALL_S = 60.0
HEADER_WITHIN = 20
"""The header stands in one of the first rows that hold anything; titles may stand above it."""


class Refused(Exception):
    """A file that cannot be used as a whole: a code, and what to do about it in Chinese and English."""

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.code, self.zh, self.en = code, zh, en
