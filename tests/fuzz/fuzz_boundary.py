"""Fuzzes the readers of boundary files: GeoJSON, KML, GeoPackage, Shapefile; see fuzzing.py.

The first byte chooses the format. All but one take the file as it is; the Shapefile is also made of its five parts.
"""

import json

import atheris
import fuzzing
import parts

with atheris.instrument_imports(include=["geo"]):
    from geo.boundary_file import to_message
    from geo.faults import UnreadableFileError
    from geo.reading.parse import read_here
    from geo.reading.raw import Limits

NAMES = ("村界.geojson", "村界.kml", "村界.gpkg", "村界.zip", "村界.zip")
SHAPEFILE = ("村界.shp", "村界.shx", "村界.dbf", "村界.prj", "村界.cpg")
PACKED = 4
LIMITS = Limits(vertices_in_all=100_000, vertices_per_feature=20_000)


def one(data: bytes) -> None:
    """Read one file; the only exception is the one that says why it cannot be read."""
    if not data:
        return
    kind, content = data[0] % len(NAMES), data[1:]
    if kind == PACKED:
        content = parts.zipped(dict(zip(SHAPEFILE, parts.divided(content, len(SHAPEFILE)), strict=True)))
    try:
        file = read_here(content, NAMES[kind], limits=LIMITS)
    except UnreadableFileError as error:
        json.dumps(error.fault.to_dict(), allow_nan=False)
        return
    document, _ = to_message(file)
    json.dumps(document, allow_nan=False)  # What is told of the file can be told.
    for feature in file.features:
        if feature.geometry is not None:
            assert feature.geometry.is_valid
            assert feature.geometry.geom_type in {"Polygon", "MultiPolygon"}


if __name__ == "__main__":
    fuzzing.fuzz(one)
