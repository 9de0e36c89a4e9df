"""How areas lie in the database: a column of PostGIS that is read and written as shapely's MultiPolygon.

GeoAlchemy2 can do far more, and costs each worker 6 MB for it: four hundred functions, and the dialects of MySQL, SQL
Server and SQLite. The migrations still speak through it (server/migrations/env.py).
"""

from collections.abc import Callable
from typing import Any

import shapely
import sqlalchemy as sa
from shapely import MultiPolygon

SRID = 4326
"""WGS-84, longitude before latitude."""


def of_wkb(stored: bytes) -> MultiPolygon:
    """Read an area. Raises TypeError for any other shape, which no column holds."""
    shape = shapely.from_wkb(bytes(stored))
    if not isinstance(shape, MultiPolygon):
        raise TypeError(f"the stored shape is a {shape.geom_type}, not a MultiPolygon")
    return shape


class Area(sa.types.UserDefinedType[MultiPolygon]):
    """The type of a column ``geometry(MULTIPOLYGON,4326)``. Heights and measures are dropped when it is written."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type as PostGIS writes it."""
        return f"geometry(MULTIPOLYGON,{SRID})"

    def bind_expression(self, bindvalue: sa.BindParameter[MultiPolygon]) -> sa.ColumnElement[MultiPolygon]:
        """Make a geometry of the bytes that are sent."""
        return sa.func.ST_GeomFromWKB(bindvalue, SRID, type_=self)

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[MultiPolygon]:
        """Ask for bytes, which are half as long as PostGIS' own text."""
        return sa.func.ST_AsBinary(column, type_=self)

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[MultiPolygon | None], bytes | None]:  # noqa: ARG002  SQLAlchemy's signature.
        """Write WKB."""
        return lambda area: None if area is None else bytes(shapely.to_wkb(area, output_dimension=2))

    def result_processor(
        self,
        dialect: sa.Dialect,  # noqa: ARG002  SQLAlchemy's signature.
        coltype: object,  # noqa: ARG002  As above.
    ) -> Callable[[bytes | None], MultiPolygon | None]:
        """Read WKB."""
        return lambda stored: None if stored is None else of_wkb(stored)
