"""Months of many before they are judged, column by column: arrays, and no object for any person.

An object a person costs 12 microseconds and 700 bytes, an element of these arrays a hundredth of both: a whole province
is judged from columns, and only the rows that are shown become objects (`server.compliance.queries.PersonMonth`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt

from server.compliance.rules import KEPT
from server.month.rules import Sort

Numbers = npt.NDArray[np.int64]
Value = TypeVar("Value")
_CODE_DIGITS = 12
RARE = ("outage", *Sort)
"""The masks that few people have in a month."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What `PersonMonth` tells of a person, for many; arrays of one length. Village codes are numbers of 12 digits."""

    people: npt.NDArray[np.void]  # 16 bytes each.
    owner: Numbers
    place: Numbers
    owned: npt.NDArray[np.bool_]
    posted: Numbers
    reached: Numbers
    outage: Numbers
    kept: Mapping[str, Numbers]

    def __len__(self) -> int:
        return len(self.people)

    def person(self, at: int) -> UUID:
        """Return whose month an element is."""
        return UUID(bytes=self.people[at].tobytes())

    def as_owner(self) -> npt.NDArray[np.bool_]:
        """Tell which are judged as their owner sees them: also where the reader reaches none of the days (ruling 9)."""
        unreached: npt.NDArray[np.bool_] = self.reached == 0
        return self.owned | unreached

    def village(self) -> Numbers:
        """Return the villages whose policies judge; `server.compliance.service.village_of` for many."""
        return np.where(self.as_owner(), self.owner, self.place)

    def days(self) -> Numbers:
        """Return the masks of the days that are judged; `server.compliance.service.days_judged` for many."""
        return np.where(self.as_owner(), self.posted, self.reached)


def of_bytes(person: bytes, owner: bytes, place: bytes, owned: bytes, *masks: bytes) -> Columns:
    """Make columns of what PostgreSQL sends: UUIDs, big-endian 64-bit integers, and one byte a truth value.

    The masks are those posted and reached, then those of check-ins in the order of `KEPT`; at last, for those people
    alone who have any of `RARE`, their place in the list and these masks one after the other.
    """
    posted, reached, *often = (_numbers(mask) for mask in masks[:-1])
    told = _numbers(masks[-1]).reshape(-1, 1 + len(RARE))
    rare = np.zeros((len(RARE), len(posted)), dtype=np.int64)
    rare[:, told[:, 0]] = told[:, 1:].T
    outage, *entered = rare
    return Columns(
        people=np.frombuffer(person, dtype="V16"),
        owner=_numbers(owner),
        place=_numbers(place),
        owned=np.frombuffer(owned, dtype=np.bool_),
        posted=posted,
        reached=reached,
        outage=outage,
        kept=dict(zip(KEPT, (*often, *entered), strict=True)),
    )


def _numbers(sent: bytes) -> Numbers:
    return np.frombuffer(sent, dtype=">i8").astype(np.int64)


def by_code(codes: Numbers, find: Callable[[str], Value]) -> tuple[list[Value], npt.NDArray[np.intp]]:
    """Ask once for each village; return the answers and, for each element, the index of its own."""
    different, index = np.unique(codes, return_inverse=True)
    return [find(f"{code:0{_CODE_DIGITS}d}") for code in different.tolist()], index.reshape(-1)
