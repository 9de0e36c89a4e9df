"""How much a roster file may be and cost, and how it is refused. Pure; shared with the reading process."""

LARGEST_FILE = 8 << 20
MOST_ROWS = 20_000
MOST_COLUMNS = 64
MOST_MEMBERS = 1_000  # Of the zip that a workbook is.
MOST_UNPACKED = 48 << 20
MOST_TAGS = 2_500_000
"""Opening brackets in all of a workbook's XML. A roster of 20,000 rows and 16 columns has 1.8 million; what has more is
read for longer than a person waits: a table of empty shared strings of 8 KiB took 20 seconds."""
MOST_TEXT = 16_000_000
"""Characters of all cells: a cell names a shared string, so that a few kilobytes can ask for gigabytes of text."""
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
