"""Numbered schema changes as plain files, applied once, in order, and never altered afterwards."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from graphretrieval.errors import MigrationError
from graphretrieval.stores.search import han_grams

_NAME = re.compile(r"^V(\d{3})__(\w+)\.(?:sql|cypher)$")
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: ``checksum`` covers it and, chained, all files before it."""

    version: int
    name: str
    statements: str
    checksum: str


def folder_of(kind: str) -> Path:
    """Where a kind of store's migrations lie: beside the package in a checkout, else inside it."""
    for folder in (_PACKAGE.parent / "migrations" / kind, _PACKAGE / "_migrations" / kind):
        if folder.is_dir():
            return folder
    raise MigrationError(f"the migrations of {kind} are not installed", remedy="install again")


def read(folder: Path) -> list[Migration]:
    """All migrations of a folder in order.

    Raises:
        MigrationError: a name is not ``V001__name.sql``, or a number is missing or double.
    """
    found: list[Migration] = []
    chain = b""
    for position, file in enumerate(sorted(folder.iterdir()), 1):
        match = _NAME.match(file.name)
        if match is None or int(match[1]) != position:
            raise MigrationError(
                f"{file.name} is not the migration that comes as number {position}",
                remedy=f"name it V{position:03d}__what_it_does{file.suffix}",
            )
        statements = file.read_text("utf-8")
        chain = hashlib.sha256(chain + statements.encode()).digest()
        found.append(Migration(position, match[2], statements, chain.hex()))
    return found


def migrate(connection: sqlite3.Connection, *, dry_run: bool = False) -> list[str]:
    """Bring a SQLite database up to date; the caller holds no transaction.

    Returns:
        Names of the migrations (to be) applied.

    Raises:
        MigrationError: an applied migration is missing or altered, or the database is newer.
    """
    known = read(folder_of("sqlite"))
    applied = _applied(connection)
    if len(applied) > len(known):
        raise MigrationError(
            f"the store has {len(applied)} migrations, this release knows {len(known)}",
            remedy="open it with a newer release",
        )
    for migration, checksum in zip(known, applied, strict=False):
        if migration.checksum != checksum:
            raise MigrationError(
                f"migration V{migration.version:03d}__{migration.name} is not the one that was "
                "applied to this store",
                remedy="restore the original file, or export and import into a new store",
            )
    pending = known[len(applied) :]
    if not dry_run:
        # what migrations fill tables with beyond what SQL can say
        connection.create_function("han_grams", 1, han_grams, deterministic=True)
        for migration in pending:
            _apply(connection, migration)
    return [f"V{m.version:03d}__{m.name}" for m in pending]


def _applied(connection: sqlite3.Connection) -> list[str]:
    there = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'"
    ).fetchone()
    if there is None:
        return []
    rows = connection.execute("SELECT checksum FROM migrations ORDER BY version")
    return [row[0] for row in rows]


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    # another process may have applied it while this one waited for the lock
    connection.execute("BEGIN IMMEDIATE")
    try:
        if len(_applied(connection)) < migration.version:
            for statement in _statements(migration.statements):
                connection.execute(statement)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations "
                "(version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
            )
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )
        connection.execute("COMMIT")
    except sqlite3.Error as e:
        connection.execute("ROLLBACK")
        raise MigrationError(
            f"migration V{migration.version:03d}__{migration.name} failed ({e}); nothing changed"
        ) from e


def _statements(text: str) -> list[str]:
    out, current = [], ""
    for line in text.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            out.append(current)
            current = ""
    return out
