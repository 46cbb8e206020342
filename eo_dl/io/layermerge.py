"""Several GeoPackages of one layer each as one, by SQLite alone.

pyogrio writes a GeoPackage of several layers only straight to disk, where GDAL ignores most failed writes;
SQLite, as Python has it, reports each of them. The layers are therefore made in memory, one by one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

_SYSTEMS = "gpkg_spatial_ref_sys"
_FIRST_OWN_SYSTEM = 100_000  # from here on, GDAL numbers reference systems that have no code

Row = tuple[object, ...]


def add_layers(path: Path, geopackages: Sequence[bytes | memoryview]) -> None:
    """Add the layers of other GeoPackages to a file.

    Args:
        path: The GeoPackage.
        geopackages: Its further layers, one per GeoPackage as GDAL writes it, each with another name.

    Raises:
        sqlite3.Error: A write failed.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        # The file is temporary: after a failure it is deleted, so nothing needs to be rolled back on disk.
        database.execute("PRAGMA journal_mode = MEMORY")
        database.execute("PRAGMA synchronous = OFF")
        for data in geopackages:
            with contextlib.closing(sqlite3.connect(":memory:")) as other, database:
                other.deserialize(data)
                _add_layer(database, other)


def _add_layer(database: sqlite3.Connection, other: sqlite3.Connection) -> None:
    known = set(database.execute("SELECT type, name FROM sqlite_master"))
    schema = other.execute("SELECT type, name, sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    new = [(kind, name, sql) for kind, name, sql in schema if (kind, name) not in known]
    new_tables = [(name, sql) for kind, name, sql in new if kind == "table"]
    common_tables = [name for kind, name, _ in schema if kind == "table" and (kind, name) in known]
    _make_tables(database, new_tables)
    _renumber_systems(other, _rows(database, _SYSTEMS))
    for name, sql in new_tables:
        if not _is_virtual(sql):
            database.execute(f"DELETE FROM {_quoted(name)}")  # SQLite has begun the tables of an index
            _insert(database, name, _rows(other, name))
    for name in common_tables:
        present = set(_rows(database, name))
        _insert(database, name, [row for row in _rows(other, name) if row not in present])
    # Triggers come after the rows, on which they would act.
    for kind, _, sql in new:
        if kind != "table":
            database.execute(sql)


def _make_tables(database: sqlite3.Connection, tables: Sequence[tuple[str, str]]) -> None:
    """Make tables. SQLite makes those of a spatial index together with it."""
    for _, sql in tables:
        if _is_virtual(sql):
            database.execute(sql)
    made = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    for name, sql in tables:
        if name not in made:
            database.execute(sql)


def _renumber_systems(other: sqlite3.Connection, known: Sequence[Row]) -> None:
    """Give reference systems of `other` new numbers where theirs stand for other ones in `known`.

    GDAL numbers those without a code itself, in every file from the same number on.
    """
    known_by_number = {row[1]: row for row in known}
    for row in _rows(other, _SYSTEMS):
        number, definition = row[1], row[4]
        if number not in known_by_number or known_by_number[number] == row:
            continue
        same = [known_row[1] for known_row in known if known_row[4] == definition]
        highest = max(int(str(known_number)) for known_number in known_by_number)
        _renumber(other, int(str(number)), int(str(same[0])) if same else max(highest, _FIRST_OWN_SYSTEM) + 1)


def _renumber(other: sqlite3.Connection, number: int, new_number: int) -> None:
    triggers = other.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (trigger,) in triggers:
        other.execute(f"DROP TRIGGER {_quoted(trigger)}")  # they call functions of GDAL
    other.execute(
        f"UPDATE {_SYSTEMS} SET srs_id = ?, organization_coordsys_id = ? WHERE srs_id = ?",
        (new_number, new_number, number),
    )
    for table in ("gpkg_contents", "gpkg_geometry_columns"):
        other.execute(f"UPDATE {table} SET srs_id = ? WHERE srs_id = ?", (new_number, number))
    other.create_function("with_system", 1, lambda geometry: _with_system(geometry, new_number))
    columns = other.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall()
    for table, column in columns:
        name = _quoted(column)
        other.execute(f"UPDATE {_quoted(table)} SET {name} = with_system({name})")


def _with_system(geometry: bytes | None, number: int) -> bytes | None:
    """A geometry of a GeoPackage with another `srs_id`: 4 bytes after "GP", version and flags.

    Format: GeoPackage 1.3, section 2.1.3. The lowest bit of the flags is the order of the bytes.
    """
    if geometry is None:
        return None
    order = "<i" if geometry[3] & 1 else ">i"
    return geometry[:4] + struct.pack(order, number) + geometry[8:]


def _is_virtual(sql: str) -> bool:
    return sql.upper().startswith("CREATE VIRTUAL")


def _rows(database: sqlite3.Connection, table: str) -> list[Row]:
    return database.execute(f"SELECT * FROM {_quoted(table)}").fetchall()


def _insert(database: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO {_quoted(table)} VALUES ({marks})", rows)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
