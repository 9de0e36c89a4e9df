"""From bytes to a boundary file, in the process that calls it. `geo.boundaries.read` does this in a limited one."""

from shapely.geometry.base import BaseGeometry

from geo.assembly import build_file
from geo.boundary_file import BoundaryFile, ColumnChoice, digest_of
from geo.crs import CrsChoice
from geo.faults import unreadable
from geo.reading.archive import open_source
from geo.reading.geojson import read_geojson
from geo.reading.geopackage import read_geopackage
from geo.reading.kml import read_kml
from geo.reading.raw import Limits, RawLayer
from geo.reading.shapefile import read_shapefile
from geo.reading.words import codec_of


def read_here(
    data: bytes,
    filename: str,
    *,
    columns: ColumnChoice | None = None,
    crs: CrsChoice | None = None,
    encoding: str | None = None,
    layer: str | None = None,
    district: BaseGeometry | None = None,
    limits: Limits | None = None,
) -> BoundaryFile:
    """Read a boundary file without a subprocess. Raises UnreadableFileError and nothing else for what is in it."""
    limits = limits or Limits()
    try:
        raw = _parsed(data, filename, layer=layer, limits=limits, encoding=encoding)
        return build_file(
            raw,
            filename=filename,
            sha256=digest_of(data),
            columns=columns,
            crs=crs,
            district=district,
            limits=limits,
        )
    except MemoryError as error:
        raise unreadable("too-much-memory") from error


def _parsed(
    data: bytes, filename: str, *, layer: str | None, limits: Limits, encoding: str | None
) -> RawLayer:
    codec = codec_of(encoding) if encoding is not None else None
    source = open_source(data, filename, layer=layer, limits=limits)
    if source.format == "shapefile":
        return read_shapefile(source, limits=limits, encoding=codec)
    if source.format == "geojson":
        return read_geojson(source.main, source.name, limits=limits, encoding=codec)
    if source.format == "kml":
        return read_kml(source.main, source.name, limits=limits, encoding=codec)
    return read_geopackage(source.main, layer=layer, limits=limits)
