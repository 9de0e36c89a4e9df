"""Habits of clients: what a share of the others with the same client do too, which then tells nothing of a person.

Learned from many people's check-ins beforehand and given in with the check-ins to be assessed, so that an assessment
depends on nothing that it does not name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from geo.datum import FloatArray
from server.checkins.plausibility.facts import BoolArray, Columns, IntArray
from server.checkins.plausibility.policy import Limits


@dataclass(frozen=True, slots=True)
class Habits:
    """For each row, whether its client is known to round coordinates, or to state one accuracy or altitude always."""

    few_decimals: BoolArray
    constant_accuracy: BoolArray
    same_altitude: BoolArray


@dataclass(frozen=True, slots=True)
class Custom:
    """How many people use a client, and how many of them show each trait. Kept by client, a row each."""

    people: int
    few_decimals: int
    constant_accuracy: int
    same_altitude: int


_ENOUGH_DAYS = 5
_MOSTLY = 0.5


def customs(columns: Columns) -> dict[int, Custom]:
    """Count, for each client code, the people with fixes of five days and more, and those who show each trait.

    A person shows few decimals by having at most four in more than half of the fixes, and a constant accuracy or
    altitude by one value in more than half of them. People are counted, not fixes: nobody makes a habit alone.
    """
    rows = np.flatnonzero(columns.placed & (columns.client >= 0))
    order = rows[np.lexsort((columns.person[rows], columns.client[rows]))]
    if not len(order):
        return {}
    client, person = columns.client[order], columns.person[order]
    starts = (np.diff(client, prepend=-1) != 0) | (np.diff(person, prepend=-1) != 0)
    begins = np.flatnonzero(starts)
    sizes = np.diff(np.append(begins, len(order)))
    coarse = np.add.reduceat((columns.decimals[order] <= 4).astype(np.int64), begins)  # noqa: PLR2004  As the docstring says.
    accuracy = _commonest(columns.accuracy_m[order], np.cumsum(starts))
    altitude = _commonest(columns.altitude_cm[order], np.cumsum(starts))
    enough = sizes >= _ENOUGH_DAYS
    of = client[begins]
    found: dict[int, Custom] = {}
    for code in np.unique(of):
        mine = (of == code) & enough
        found[int(code)] = Custom(
            people=int(mine.sum()),
            few_decimals=int((mine & (coarse > _MOSTLY * sizes)).sum()),
            constant_accuracy=int((mine & (accuracy > _MOSTLY * sizes)).sum()),
            same_altitude=int((mine & (altitude > _MOSTLY * sizes)).sum()),
        )
    return found


def _commonest(values: FloatArray, person: IntArray) -> IntArray:
    """Return how often each person's commonest value occurs; NaN is none. `person` rises by one from 1."""
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.lexsort((values[known], person[known]))]
    longest = np.zeros(int(person[-1]), dtype=np.int64)
    if len(order):
        fresh = (np.diff(person[order], prepend=-1) != 0) | (np.diff(values[order], prepend=np.inf) != 0)
        runs = np.flatnonzero(fresh)
        np.maximum.at(longest, person[order][runs] - 1, np.diff(np.append(runs, len(order))))
    return longest


def habits_of(columns: Columns, known: Mapping[int, Custom], limits: Limits) -> Habits:
    """Say for each row whether enough others with its client show a trait.

    The person is taken out as if one of those who show it: nobody is excused by oneself.
    """

    def habitual(trait: str) -> BoolArray:
        clients: list[int] = []
        for code, custom in known.items():
            others, alike = custom.people - 1, getattr(custom, trait) - 1
            if others >= limits.habit_people and alike >= limits.habit_share * others:
                clients.append(code)
        return np.isin(columns.client, np.array(clients, dtype=np.int64))

    return Habits(*(habitual(trait) for trait in ("few_decimals", "constant_accuracy", "same_altitude")))


def no_habits(columns: Columns) -> Habits:
    """Return habits where nothing is known of any client."""
    none: IntArray = np.zeros(len(columns), dtype=np.int64)
    return Habits(none > 0, none > 0, none > 0)
