"""A hunt for a counterexample to docs/guarantees.md: random transactions run while the same tables are snapshot again and again, and
publisher and agent are killed; every few seconds everything comes to rest, and then source, warehouse and an independent oracle
must hold the same rows.

HUNT_SECONDS (20) and HUNT_SEED (random, printed) set time and dice; make hunt runs it for long.
"""

import collections
import os
import random
import time

import pytest

from hunt_oracle import Oracle
from hunt_workload import BIG_ROWS, PUBLISHED, SCHEMA, TABLES, Workload
from stackctl import Stack

SECONDS = int(os.environ.get("HUNT_SECONDS", "20"))
SEED = int(os.environ.get("HUNT_SEED", random.SystemRandom().randrange(1000000)))
ROUND_SECONDS = 5


@pytest.fixture(scope="module")
def stack():
    with Stack("--partitions", "3") as running:
        # Two-phase commit needs a restart; only the one writer that says so waits for a standby.
        running.sql("ALTER SYSTEM SET max_prepared_transactions = 50")
        running.sql("ALTER DATABASE shop SET synchronous_commit = 'local'")
        running.command("stop", "postgres")
        running.start("postgres")
        running.until(lambda: running.status()["state"] == "streaming", 60, "the pipeline streams again")
        yield running


def source_content(stack, table):
    columns = ", ".join(f'"{name}"::text' for name, _ in stack.columns(table))
    return collections.Counter(stack.sql(f"SELECT {columns} FROM {table}"))


def describe(stack, oracle, table, row):
    """Everything that is known about the key of a row that differs."""
    key = TABLES[table]
    names = [name for name, _ in stack.columns(table)]
    values = tuple(row[names.index(name)] for name in key)
    condition = " AND ".join(f"toString({name}) = '{value}'" for name, value in zip(key, values)) or "1"
    versions = stack.clickhouse_rows(f"SELECT toString(bitShiftRight(_version, 48) % bitShiftLeft(toUInt128(1), 64)), "
                                     f"toString(_version % bitShiftLeft(toUInt128(1), 48)), * FROM _{table} WHERE {condition} "
                                     f"ORDER BY _version DESC LIMIT 10")
    return f"{table} {row}\n  oracle: {oracle.history(table, values)}\n  warehouse: {versions}"


def check(stack, oracle, table):
    """The three answers are one."""
    source, known = source_content(stack, table), oracle.content(table)
    assert source == known, f"{table}: the oracle itself is wrong: {list(source - known)[:3]}, {list(known - source)[:3]}"
    missing, surplus = stack.differences(table)
    reports = [describe(stack, oracle, table, tuple(None if v is None else str(v) for v in row)) for row in (missing + surplus)[:4]]
    assert not missing and not surplus, (
        f"seed {SEED}: {table}: {len(missing)} rows only in Postgres, {len(surplus)} only in the view\n" + "\n".join(reports))


def test_no_counterexample(stack):
    print(f"HUNT_SEED={SEED} HUNT_SECONDS={SECONDS}")
    dice = random.Random(SEED)
    oracle = Oracle(stack, TABLES)
    stack.sql(SCHEMA)
    stack.sql(f"BEGIN; DROP PUBLICATION shop; CREATE PUBLICATION shop FOR TABLE {PUBLISHED}; COMMIT")
    stack.sql("INSERT INTO big SELECT g, 0, 'first' FROM generate_series(1, %s) g", (BIG_ROWS,))
    until = time.monotonic() + SECONDS
    changes = rounds = 0
    with Workload(stack, SEED) as workload:
        while time.monotonic() < until:
            round_until = min(until, time.monotonic() + ROUND_SECONDS)
            victim = dice.choice(("publisher", "agent", None))
            time.sleep(max(0, dice.random() * (round_until - time.monotonic())))
            if victim:
                stack.kill(victim)
                stack.start(victim)
            time.sleep(max(0, round_until - time.monotonic()))
            workload.pause()
            changes += oracle.read()
            if dice.random() < 0.5:
                # Whatever snapshots are under way: a key is right as soon as its events are there.
                stack.wait(120)
                for table in TABLES:
                    if TABLES[table] and table != "joiner":
                        check(stack, oracle, table)
            workload.settle(60)
            stack.wait(120)
            for table in TABLES:
                check(stack, oracle, table)
            rounds += 1
            workload.resume()
    print(f"{rounds} rounds, {changes} changes, {dict(workload.counts)}")
    assert changes > 20 * SECONDS and workload.counts["COMMIT"] > 0 and workload.counts["snapshots"] > 0
    assert stack.consume(f"{stack.env['TOPIC_PREFIX']}.__dlq") == []
