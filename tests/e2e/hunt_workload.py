"""Transactions at random, of the kinds that have fooled change data capture before; all of it follows from the seed, but for what
the scheduler makes of it.

Long ones, hot keys, changes of keys, deletes, savepoints rolled back, transactions rolled back, prepared ones that wait and are
committed by another, TRUNCATE, moves between partitions, and a backend that has committed and waits for a standby that is not
there, so that decoding sees what no snapshot sees yet. When Postgres is killed on the way, they connect again.
"""

import collections
import random
import threading
import time

import psycopg2

TABLES = {  # name: columns of the key
    "hot": ("id",),
    "wide": ("a", "b"),
    "full_identity": ("id",),
    "big": ("id",),
    "part_low": ("id",),
    "part_high": ("id",),
    "joiner": ("id",),
    "journal": (),
}
SCHEMA = """
CREATE TABLE hot (id int PRIMARY KEY, writer int, n int, note text);
CREATE TABLE wide (a int, b text, v numeric(10,2), note text, PRIMARY KEY (a, b));
CREATE TABLE full_identity (id bigint PRIMARY KEY, n int, note text);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
CREATE TABLE big (id int PRIMARY KEY, n int, filler text);
CREATE TABLE part (id int PRIMARY KEY, n int, note text) PARTITION BY RANGE (id);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (50);
CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (50) TO (100);
CREATE TABLE joiner (id int PRIMARY KEY, n int, note text);
CREATE TABLE journal (writer int, n int, note text);
"""
PARTITIONS = {"part": ("part_low", "part_high")}
PUBLISHED = "hot, wide, full_identity, big, part, joiner, journal"
CONDITIONS = {"hot": "id < 3", "wide": "b = 'x'", "big": "id % 10 = 0", "full_identity": "n > 100"}
BIG_ROWS = 20000
NOTES = ("plain", "it''s quoted", "two\nlines", "tab\tand ü", "", None)
# What a transaction may meet that is no fault: it is rolled back.
EXPECTED = (psycopg2.errors.UniqueViolation, psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected,
            psycopg2.errors.SerializationFailure, psycopg2.errors.DuplicateObject, psycopg2.errors.QueryCanceled)


def literal(text):
    return "NULL" if text is None else "'" + text + "'"


class Statements:
    """One random statement after the other."""

    def __init__(self, dice, writer):
        self.dice = dice
        self.writer = writer
        self.n = 0

    def next(self):
        self.n += 1
        return self.dice.choices((self.hot, self.wide, self.full_identity, self.big, self.part, self.joiner, self.journal,
                                  self.truncate), (30, 20, 12, 15, 14, 12, 8, 0.4))[0]()

    def note(self):
        return literal(self.dice.choice(NOTES))

    def hot(self):
        key, other = self.dice.randrange(6), self.dice.randrange(6)
        return self.dice.choice((
            f"INSERT INTO hot VALUES ({key}, {self.writer}, {self.n}, {self.note()})",
            f"INSERT INTO hot VALUES ({key}, {self.writer}, {self.n}, {self.note()}) ON CONFLICT (id) DO UPDATE "
            f"SET writer = {self.writer}, n = {self.n}, note = excluded.note",
            f"UPDATE hot SET writer = {self.writer}, n = {self.n} WHERE id = {key}",
            f"UPDATE hot SET id = {other}, n = {self.n} WHERE id = {key}",
            f"DELETE FROM hot WHERE id = {key}"))

    def wide(self):
        a, b = self.dice.randrange(20), self.dice.choice("xyz")
        return self.dice.choice((
            f"INSERT INTO wide VALUES ({a}, '{b}', {self.n}.25, {self.note()}) ON CONFLICT DO NOTHING",
            f"UPDATE wide SET v = v + 1, note = {self.note()} WHERE a = {a}",
            f"UPDATE wide SET a = a + 100 WHERE a = {a} AND b = '{b}'",
            f"UPDATE wide SET a = a - 100 WHERE a = {a + 100} AND b = '{b}'",
            f"UPDATE wide SET b = b || b WHERE a = {a} AND length(b) < 4",
            f"DELETE FROM wide WHERE a % 20 = {a}"))

    def full_identity(self):
        key = self.dice.randrange(40)
        return self.dice.choice((
            f"INSERT INTO full_identity SELECT g, {self.n}, {self.note()} FROM generate_series({key}, {key + 3}) g ON CONFLICT DO NOTHING",
            f"UPDATE full_identity SET n = {self.n} WHERE id BETWEEN {key} AND {key + 5}",
            f"UPDATE full_identity SET id = id + 1000 WHERE id = {key}",
            f"DELETE FROM full_identity WHERE id % 40 = {key}"))

    def big(self):
        key = self.dice.randrange(BIG_ROWS)
        return self.dice.choice((
            f"UPDATE big SET n = {self.n} WHERE id BETWEEN {key} AND {key + 20}",
            f"DELETE FROM big WHERE id BETWEEN {key} AND {key + 3}",
            f"INSERT INTO big SELECT g, {self.n}, 'again' FROM generate_series({key}, {key + 3}) g ON CONFLICT DO NOTHING",
            # From one end of a snapshot to the other.
            f"UPDATE big SET id = {2 * BIG_ROWS} - id WHERE id = {key}",
            f"UPDATE big SET id = {2 * BIG_ROWS} - id WHERE id = {2 * BIG_ROWS - key}"))

    def part(self):
        key = self.dice.randrange(100)
        return self.dice.choice((
            f"INSERT INTO part VALUES ({key}, {self.n}, {self.note()}) ON CONFLICT DO NOTHING",
            f"UPDATE part SET n = {self.n} WHERE id = {key}",
            f"UPDATE part SET id = 99 - id WHERE id = {key}",
            f"DELETE FROM part WHERE id = {key}"))

    def joiner(self):
        key = self.dice.randrange(30)
        return self.dice.choice((
            f"INSERT INTO joiner VALUES ({key}, {self.n}, {self.note()}) ON CONFLICT (id) DO UPDATE SET n = {self.n}",
            f"UPDATE joiner SET id = 29 - id WHERE id = {key}",
            f"DELETE FROM joiner WHERE id = {key}"))

    def journal(self):
        return f"INSERT INTO journal VALUES ({self.writer}, {self.n}, {self.note()})"

    def truncate(self):
        return "TRUNCATE " + self.dice.choice(("hot", "wide, journal", "full_identity", "journal", "part", "joiner", "hot, wide, full_identity"))


class Workload:
    """Writers in threads. pause() lets all of them come to an end, so that the two ends can be compared; then they go on."""

    def __init__(self, stack, seed, tables, writers=9):
        self.stack = stack
        self.tables = [table for table in tables if table != "joiner"] + ["big"]
        self.seed = seed
        self.failures = []
        self.counts = collections.Counter()
        self.prepared = []  # (due, gid); what a crash makes of them, pg_prepared_xacts knows
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.go = threading.Event()
        self.threads = [threading.Thread(target=self.guard, args=(self.write, n)) for n in range(writers)]
        for n, work in enumerate((self.wait_for_standby, self.take_snapshots, self.join_and_leave)):
            self.threads.append(threading.Thread(target=self.guard, args=(work, writers + n)))
        self.idle = [threading.Event() for _ in self.threads]

    def __enter__(self):
        self.go.set()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        self.go.set()
        for thread in self.threads:
            thread.join()

    def pause(self):
        self.go.clear()
        for idle in self.idle:
            assert idle.wait(60), "a writer does not come to an end"
        assert not self.failures, self.failures
        self.synchronous_standby_names("")
        self.prepared = []
        for gid, in self.stack.sql("SELECT gid FROM pg_prepared_xacts"):
            self.stack.sql(f"COMMIT PREPARED '{gid}'")
        if not self.joiner_is_published():
            self.stack.sql("ALTER PUBLICATION shop ADD TABLE joiner")

    def settle(self, seconds):
        """Until no snapshot is open; none has failed."""
        self.stack.until(lambda: self.stack.sql("SELECT count(*) FROM walhouse.snapshot WHERE state IN ('waiting', 'running')") == [(0,)],
                         seconds, "all snapshots are done")
        assert self.stack.sql("SELECT * FROM walhouse.snapshot WHERE state = 'failed'") == []

    def resume(self):
        for idle in self.idle:
            idle.clear()
        self.go.set()

    def guard(self, work, number):
        dice = random.Random(self.seed * 1000 + number)
        connection = None
        try:
            while not self.stop.is_set():
                if not self.go.is_set():
                    self.idle[number].set()
                    self.go.wait()
                    continue
                try:
                    connection = connection or self.stack.connect()
                    work(connection, dice, number)
                except (psycopg2.OperationalError, psycopg2.InterfaceError):
                    # Postgres was killed.
                    self.counts["lost connections"] += 1
                    connection = connection and connection.close()
                    time.sleep(0.2)
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)
        finally:
            self.idle[number].set()
            if connection:
                connection.close()

    # ---- writers ----

    def write(self, connection, dice, number):
        """One transaction."""
        statements = Statements(dice, number)
        statements.n = dice.randrange(1000000)
        # Some writers hold their transactions, and their transaction ids, for long.
        slow = number % 4 == 3 and dice.random() < 0.2
        with connection.cursor() as cursor:
            try:
                cursor.execute("SET lock_timeout = '60ms'")
                # What a crash takes back, snapshots may have seen.
                cursor.execute("SET synchronous_commit = " + ("off" if number % 2 else "local"))
                cursor.execute("BEGIN ISOLATION LEVEL " + dice.choice(("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ")))
                for _ in range(dice.choice((1, 1, 2, 4, 8, 30))):
                    self.statement(cursor, dice, statements)
                    if slow:
                        time.sleep(dice.random() * 0.2)
                self.finish(cursor, dice, number)
            except EXPECTED as error:
                self.counts[type(error).__name__] += 1
                cursor.execute("ROLLBACK")
        self.commit_prepared(connection, dice)

    @staticmethod
    def statement(cursor, dice, statements):
        if dice.random() < 0.15:
            cursor.execute("SAVEPOINT s")
            try:
                for _ in range(dice.randrange(1, 4)):
                    cursor.execute(statements.next())
            except psycopg2.errors.UniqueViolation:
                cursor.execute("ROLLBACK TO s")
            cursor.execute("ROLLBACK TO s" if dice.random() < 0.5 else "RELEASE s")
        else:
            cursor.execute(statements.next())

    def finish(self, cursor, dice, number):
        ending = dice.choices(("COMMIT", "ROLLBACK", "PREPARE"), (80, 10, 10))[0]
        if ending == "PREPARE":
            gid = f"hunt-{number}-{dice.getrandbits(60)}"
            cursor.execute(f"PREPARE TRANSACTION '{gid}'")
            with self.lock:
                self.prepared.append((time.monotonic() + dice.random() ** 3 * 2, gid))
        else:
            cursor.execute(ending)
        self.counts[ending] += 1

    def commit_prepared(self, connection, dice):
        """Whoever comes by ends what is due."""
        with self.lock:
            due = [entry for entry in self.prepared if entry[0] < time.monotonic()]
            self.prepared = [entry for entry in self.prepared if entry not in due]
        for _, gid in due:
            with connection.cursor() as cursor:
                try:
                    cursor.execute(f"{'COMMIT' if dice.random() < 0.8 else 'ROLLBACK'} PREPARED '{gid}'")
                except psycopg2.errors.UndefinedObject:
                    self.counts["prepared and lost"] += 1

    # ---- durable, decoded, and not yet to be seen ----

    def wait_for_standby(self, connection, dice, number):
        """Commits a transaction that waits for a standby which is not there, and lets it go after a while."""
        statements = Statements(dice, number)
        statements.n = dice.randrange(1000000)
        self.synchronous_standby_names("absent")
        released = threading.Timer(0.1 + dice.random() ** 2 * 2, self.synchronous_standby_names, ("",))
        with connection.cursor() as cursor:
            try:
                cursor.execute("SET synchronous_commit = 'on'")
                cursor.execute("SET lock_timeout = '60ms'")
                cursor.execute("BEGIN")
                for _ in range(dice.randrange(1, 4)):
                    cursor.execute(statements.next())
                released.start()
                cursor.execute("COMMIT")
                self.counts["waited for a standby"] += 1
            except EXPECTED as error:
                self.counts[type(error).__name__] += 1
                cursor.execute("ROLLBACK")
                self.synchronous_standby_names("")
            finally:
                if released.ident:
                    released.join()
        time.sleep(dice.random())

    def synchronous_standby_names(self, names):
        def put():
            self.stack.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            return self.stack.sql("SELECT pg_reload_conf()")
        self.stack.until(put, 60, "synchronous_standby_names is set")

    # ---- snapshots of the same tables ----

    def take_snapshots(self, connection, dice, _):
        """Again and again, of all of a table or of some of its rows; not more at a time than are done."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM walhouse.snapshot WHERE state IN ('waiting', 'running')")
            if cursor.fetchone()[0] < 6:
                table = dice.choice(self.tables)
                condition = CONDITIONS.get(table) if dice.random() < 0.25 else None
                cursor.execute("SELECT walhouse.snapshot('shop', %s::regclass, %s)", (f"public.{table}", condition))
                self.counts["snapshots"] += 1
        time.sleep(dice.random() * 0.3)

    def joiner_is_published(self):
        return self.stack.sql("SELECT 1 FROM pg_publication_rel WHERE prrelid = 'joiner'::regclass") != []

    def join_and_leave(self, connection, dice, _):
        """A table leaves the publication, while others write to it, and joins it again."""
        with connection.cursor() as cursor:
            if self.joiner_is_published():
                cursor.execute("ALTER PUBLICATION shop DROP TABLE joiner")
            time.sleep(dice.random() * 0.5)
            cursor.execute("ALTER PUBLICATION shop ADD TABLE joiner")
            self.counts["joined"] += 1
        time.sleep(0.5 + dice.random() * 2)
