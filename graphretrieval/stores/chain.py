"""Neo4j's migrations, recorded as neo4j-migrations does, so that this tool can take over.

Each applied file is a ``__Neo4jMigration`` node with the CRC-32 of its statements, linked to the
one before it by ``MIGRATED_TO``.
"""

from __future__ import annotations

import getpass
import re
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from graphretrieval.errors import MigrationError
from graphretrieval.stores import cypher
from graphretrieval.stores.migrate import Migration, folder_of, read

if TYPE_CHECKING:
    from graphretrieval.stores.bolt import Bolt


def migrate(bolt: Bolt, *, dry_run: bool = False, folder: Path | None = None) -> list[str]:
    """Bring a database up to date.

    Returns:
        Names of the migrations (to be) applied.

    Raises:
        MigrationError: an applied migration is missing or altered, or the database is newer.
    """
    known = read(folder_of("neo4j") if folder is None else folder)
    rows = bolt.read(lambda tx: [r.data() for r in tx.run(cypher.APPLIED)])
    applied = {int(row["version"]): row for row in rows}
    newest = max(applied, default=0)
    if newest > len(known):
        raise MigrationError(
            f"the database has migration V{newest:03d}, this release knows {len(known)}",
            remedy="open it with a newer release",
        )
    for migration in known[:newest]:
        row = applied.get(migration.version)
        if row is None:
            raise MigrationError(
                f"migration {_name(migration)} is missing from the database's chain",
                remedy="restore a backup, or sync into a new database",
            )
        if row["checksum"] != checksum(migration):
            raise MigrationError(
                f"migration {_name(migration)} is not the one that was applied to this database",
                remedy="restore the original file, or sync into a new database",
            )
    pending = known[newest:]
    if not dry_run:
        for migration in pending:
            _apply(bolt, migration)
    return [_name(m) for m in pending]


def statements(migration: Migration) -> list[str]:
    """A file's statements: separated by a semicolon at the end of a line."""
    parts = re.split(r";(?:\r?\n|$)", migration.statements)
    return [part.strip() for part in parts if part.strip()]


def checksum(migration: Migration) -> str:
    """CRC-32 over the statements, one after the other, in decimal."""
    crc = 0
    for statement in statements(migration):
        crc = zlib.crc32(statement.encode(), crc)
    return str(crc)


def _apply(bolt: Bolt, migration: Migration) -> None:
    started = time.perf_counter()
    # schema changes cannot share a transaction with data; each says IF NOT EXISTS, so that a
    # migration that was interrupted is simply applied again
    for statement in statements(migration):
        bolt.run(statement)
    bolt.run(cypher.AWAIT_INDEXES)
    parameters = {
        "previous": f"{migration.version - 1:03d}" if migration.version > 1 else "BASELINE",
        "version": f"{migration.version:03d}",
        "description": migration.name.replace("_", " "),
        "source": f"{_name(migration)}.cypher",
        "checksum": checksum(migration),
        "ms": int(1000 * (time.perf_counter() - started)),
        "by": getpass.getuser(),
        "user": bolt.user,
    }
    bolt.write(lambda tx: tx.run(cypher.RECORD_MIGRATION, parameters).consume())


def _name(migration: Migration) -> str:
    return f"V{migration.version:03d}__{migration.name}"
