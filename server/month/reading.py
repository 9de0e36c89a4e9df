"""Reading a document field by field: every fault is gathered, with its path, a code and a sentence in both languages.

For every policy that comes as a document (server.month.policy_document and others).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar, cast

TEXT_LIMIT = 200
CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a policy document. ``path`` is the field, with dots, such as ``ratio.numerator``."""

    path: str
    code: str
    zh: str
    en: str


class PolicyRefused(ValueError):
    """The document is no policy; ``faults`` says why, field by field."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.en}" for fault in faults))
        self.faults = faults


class Reader:
    """Takes fields out of a document and gathers faults; a reading that failed, or a missing field, is None.

    `at` is the path of the document within the whole, with a dot at its end.
    """

    def __init__(
        self, document: Mapping[str, object], at: str = "", faults: list[Fault] | None = None
    ) -> None:
        self.document = document
        self.at = at
        self.faults: list[Fault] = [] if faults is None else faults

    def fault(self, path: str, code: str, zh: str, en: str) -> None:
        """Note what is wrong with a field."""
        self.faults.append(Fault(f"{self.at}{path}", code, zh, en))

    def into(self, values: dict[str, object], field: str, value: object) -> None:
        """Keep what was read; what is missing keeps the policy's default."""
        if value is not None:
            values[field] = value

    def inner(self, path: str) -> Self | None:
        """Return a reader of the object in this field."""
        if path not in self.document:
            return None
        value = self.document[path]
        if not isinstance(value, Mapping):
            self.fault(path, "not-an-object", "应为对象。", "This must be an object.")
            return None
        return type(self)(cast("Mapping[str, object]", value), f"{self.at}{path}.", self.faults)

    def only(self, known: frozenset[str]) -> None:
        """Note every field that is not known."""
        for field in sorted(set(map(str, self.document)) - known):
            self.fault(field, "unknown-field", "没有这个字段。", "There is no such field.")

    def choice(self, path: str, kinds: type[Choice]) -> Choice | None:
        """Return one of the kinds, which must be there."""
        value = self.document.get(path)
        words = " | ".join(kind.value for kind in kinds)
        if value is None:
            self.fault(path, "not-chosen", f"必须选择：{words}。", f"This must be chosen: {words}.")
            return None
        if not isinstance(value, str) or value not in set(kinds):
            self.fault(path, "unknown-choice", f"应为：{words}。", f"This must be one of {words}.")
            return None
        return kinds(value)

    def flag(self, path: str, *, chosen: bool = False) -> bool | None:
        """Return true or false; `chosen` says that it must be there."""
        value = self.document.get(path)
        if isinstance(value, bool):
            return value
        if chosen and value is None:
            self.fault(path, "not-chosen", "必须选择：true 或 false。", "This must be chosen: true or false.")
        elif value is not None or path in self.document:
            self.fault(path, "not-a-boolean", "应为 true 或 false。", "This must be true or false.")
        return None

    def integer(self, path: str, low: int, high: int) -> int | None:
        """Return an integer from low to high, both included."""
        if path not in self.document:
            return None
        value = self.document[path]
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(path, "not-an-integer", "应为整数。", "This must be an integer.")
            return None
        if not low <= value <= high:
            self.fault(path, "out-of-range", f"应在 {low} 至 {high} 之间。", f"This must be {low} to {high}.")
            return None
        return value

    def number(self, path: str, low: float, high: float) -> float | None:
        """Return a number from low to high, both included."""
        if path not in self.document:
            return None
        value = self.document[path]
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fault(path, "not-a-number", "应为数字。", "This must be a number.")
            return None
        if not low <= value <= high:  # False for NaN as well.
            self.fault(path, "out-of-range", f"应在 {low} 至 {high} 之间。", f"This must be {low} to {high}.")
            return None
        return float(value)

    def text(self, path: str) -> str | None:
        """Return a text of one line."""
        if path not in self.document:
            return None
        value = self.document[path]
        if isinstance(value, str) and 1 <= len(value.strip()) <= TEXT_LIMIT and value.isprintable():
            return value.strip()
        self.fault(
            path,
            "bad-text",
            f"应为 1 至 {TEXT_LIMIT} 个字符的文本。",
            f"This must be text of 1 to {TEXT_LIMIT} characters.",
        )
        return None

    def code(self, path: str) -> str | None:
        """Return a code in lower case with dashes."""
        if path not in self.document:
            return None
        value = self.document[path]
        if isinstance(value, str) and len(value) <= TEXT_LIMIT and CODE.fullmatch(value):
            return value
        self.fault(
            path, "bad-code", "应为小写英文代码，如 two-thirds。", "This must be a code such as two-thirds."
        )
        return None
