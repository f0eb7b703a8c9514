"""The Neo4j driver with what it lacks: a deadline on every call, a breaker, and safe retries.

A call runs in a thread of its own, so that a peer that swallows packets cannot hold its caller
longer than the deadline. After such a failure the breaker opens: calls fail at once, while a
prober looks for the server with connections of its own and closes the breaker when it answers.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import neo4j
from neo4j import exceptions as e
from neo4j import unit_of_work

from graphretrieval.errors import GraphRetrievalError, StoreAway, StoreBusy, StoreError

T = TypeVar("T")
Work = Callable[[neo4j.ManagedTransaction], T]

# a server on the same continent that needs longer than this for nothing is as good as away
QUICK = 1.0
# plural reads and batches of writes on a large graph
READ, WRITE = 60.0, 120.0
# healed within a second or two after the server is back
PROBE_EVERY, PROBE_PATIENCE = 0.5, 1.0
# connections of one client
POOL = 20

# a call that fails so may have been committed: done again, it does nothing if it was
_UNCERTAIN = (e.IncompleteCommit, e.ServiceUnavailable, e.SessionExpired)


class Bolt:
    """One server's connections, safe to use from many threads.

    Args:
        url: ``neo4j://host:7687``, ``bolt://…`` or with ``+s``, without user.
        auth: user and password.
        database: the server's default if None.
        quick: seconds after which a call that should take none counts as lost.
        patience: seconds a write is tried again while the server is away.
    """

    def __init__(
        self,
        url: str,
        auth: tuple[str, str],
        *,
        database: str | None = None,
        quick: float = QUICK,
        patience: float = 0.0,
    ) -> None:
        self.url, self.user, self.database = url, auth[0], database
        self.quick, self.patience = quick, patience
        self._auth = auth
        self._lock = threading.Lock()
        self._driver: neo4j.Driver | None = None
        self._open_since: float | None = None
        self._closed = False

    # --- calls --------------------------------------------------------------------------

    def read(self, work: Work[T], *, seconds: float = READ) -> T:
        """Run a managed read.

        Raises:
            StoreAway: no answer within the deadline, or none lately.
            StoreError: the server refused.
        """
        return self._guarded(lambda d: self._managed(d, work, seconds, False), seconds)

    def write(self, work: Work[T], *, seconds: float = WRITE) -> T:
        """Run a managed write that is idempotent: it is tried again where its fate is uncertain.

        Raises:
            StoreAway: no answer within the deadline, or none lately.
            StoreError: the server refused.
        """
        until = time.monotonic() + self.patience
        while True:
            try:
                return self._guarded(lambda d: self._managed(d, work, seconds, True), seconds)
            except StoreAway:
                if time.monotonic() >= until:
                    raise
                self._wait_for_server(until)

    def steady(
        self, work: Callable[[neo4j.Transaction], T], lock: str, *, seconds: float = READ
    ) -> T:
        """Run a read while nobody of ours writes: under the write lock, then rolled back."""

        def call(driver: neo4j.Driver) -> T:
            with driver.session(database=self.database) as session:
                tx = session.begin_transaction(timeout=seconds)
                try:
                    tx.run(lock).consume()
                    return work(tx)
                finally:
                    tx.rollback()

        return self._guarded(call, seconds)

    def run(self, query: str, **parameters: Any) -> list[neo4j.Record]:
        """One statement on its own, such as a schema change, which no other may accompany."""

        def call(driver: neo4j.Driver) -> list[neo4j.Record]:
            with driver.session(database=self.database) as session:
                return list(session.run(neo4j.Query(query, timeout=WRITE), parameters))

        return self._guarded(call, WRITE)

    def bookmark(self) -> frozenset[str]:
        """The database's newest bookmark: it changes exactly when somebody commits."""

        def call(driver: neo4j.Driver) -> frozenset[str]:
            # a session that knows no bookmark, and learns that of an empty read
            with driver.session(database=self.database) as session:
                session.execute_read(_nothing)
                return frozenset(session.last_bookmarks().raw_values)

        return self._guarded(call, self.quick)

    @property
    def away(self) -> bool:
        """Whether the server did not answer lately."""
        return self._open_since is not None

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            self._closed = True
            driver, self._driver = self._driver, None
        if driver is not None:
            _close_quietly(driver)

    # --- inside -------------------------------------------------------------------------

    def _managed(self, driver: neo4j.Driver, work: Work[T], seconds: float, writes: bool) -> T:
        timed = unit_of_work(timeout=seconds)(work)
        with driver.session(database=self.database) as session:
            return session.execute_write(timed) if writes else session.execute_read(timed)

    def _guarded(self, call: Callable[[neo4j.Driver], T], seconds: float) -> T:
        if self._open_since is not None and not self._closed:
            raise StoreAway(
                f"{self.url} has not answered for {time.monotonic() - self._open_since:.1f} s",
                remedy="start it, or check the network; it is noticed when it is back",
            )
        driver = self._connected()
        try:
            with _translated(self.url):
                return _within(seconds, lambda: call(driver))
        except StoreAway:
            self._trip(driver)
            raise

    def _connected(self) -> neo4j.Driver:
        with self._lock:
            # what another thread closed meanwhile stays closed
            if self._closed:
                raise StoreError("the store is closed", remedy="open it again")
            if self._driver is None:
                self._driver = self._new_driver(self.quick)
            return self._driver

    def _new_driver(self, seconds: float) -> neo4j.Driver:
        return neo4j.GraphDatabase.driver(
            self.url,
            auth=self._auth,
            connection_timeout=seconds,
            connection_acquisition_timeout=max(2 * seconds, 10.0),
            # retries beyond a short one are this class's
            max_transaction_retry_time=seconds,
            max_connection_pool_size=POOL,
            keep_alive=True,
            notifications_min_severity="OFF",
            user_agent="graphretrieval",
        )

    def _trip(self, driver: neo4j.Driver) -> None:
        """Open the breaker, drop all connections, and look for the server in the background."""
        with self._lock:
            if self._driver is not driver:
                return  # another call found out first
            self._driver = None
            self._open_since = time.monotonic()
        _in_background(lambda: _close_quietly(driver))
        _in_background(self._probe)

    def _probe(self) -> None:
        while not self._closed:
            driver = self._new_driver(PROBE_PATIENCE)
            try:
                with contextlib.suppress(GraphRetrievalError), _translated(self.url):
                    _within(2 * PROBE_PATIENCE, lambda: _ask_for_nothing(driver, self.database))  # noqa: B023
                    self._open_since = None
                    return
            finally:
                _in_background(lambda: _close_quietly(driver))  # noqa: B023
            time.sleep(PROBE_EVERY)

    def _wait_for_server(self, until: float) -> None:
        while self.away and time.monotonic() < until and not self._closed:
            time.sleep(0.05)


def _nothing(tx: neo4j.ManagedTransaction) -> None:
    from graphretrieval.stores import cypher

    tx.run(cypher.NOTHING).consume()


def _ask_for_nothing(driver: neo4j.Driver, database: str | None) -> None:
    with driver.session(database=database) as session:
        session.execute_read(_nothing)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns or raises, or StoreAway once the time is over."""
    box: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put((call(), None))
        except BaseException as error:
            box.put((None, error))

    _in_background(run)
    try:
        value, error = box.get(timeout=seconds)
    except queue.Empty:
        raise StoreAway(
            f"no answer within {seconds:g} s", remedy="check the server and the network"
        ) from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def _in_background(call: Callable[[], None]) -> None:
    threading.Thread(target=call, daemon=True).start()


def _close_quietly(driver: neo4j.Driver) -> None:
    with contextlib.suppress(Exception):
        driver.close()


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    """The driver's errors as ours."""
    try:
        yield
    except _UNCERTAIN as error:
        raise StoreAway(
            f"{url} does not answer ({_first_line(error)})",
            remedy="start it, or check the network",
        ) from error
    except e.AuthError as error:
        raise StoreError(
            f"{url} does not accept the user or password ({_first_line(error)})",
            remedy="set GRAPHRETRIEVAL_NEO4J_PASSWORD; after 3 failures wait 5 s",
        ) from error
    except e.TransientError as error:
        raise StoreBusy(
            f"{url} is busy ({_first_line(error)})", remedy="try again in a moment"
        ) from error
    except e.ConfigurationError as error:
        raise StoreError(f"{url} cannot be used ({_first_line(error)})") from error
    except (e.Neo4jError, e.DriverError) as error:
        raise StoreError(f"{url} refused ({_first_line(error)})") from error
    except OSError as error:
        raise StoreAway(f"{url} cannot be reached ({error})", remedy="check the network") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


class Rows(list[Any]):
    """Rows sent with a query, printed as their number.

    The driver (6.x) prints the parameters of every query for its log, even where none is kept:
    seven seconds for 20,000 vectors of 256 numbers.
    """

    def __repr__(self) -> str:
        return f"{len(self)} rows"


def gathered(tx: Any, query: str, **parameters: Any) -> list[list[Any]]:
    """The rows of a query that returns them as one record."""
    rows: list[list[Any]] = tx.run(query, parameters).single(strict=True)["rows"]
    return rows
