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

from agentline import Line
from hunt_oracle import Oracle
from hunt_workload import BIG_ROWS, PARTITIONS, PUBLISHED, SCHEMA, TABLES, Workload
from stackctl import Stack

SECONDS = int(os.environ.get("HUNT_SECONDS", "20"))
SEED = int(os.environ.get("HUNT_SEED", random.SystemRandom().randrange(1000000)))
ROUND_SECONDS = 5
# Partitions travel as tables of their own, or as their root.
BY_ROOT = SEED % 2 == 1
COMPARED = [name for name in TABLES if not name.startswith("part_")] + (["part"] if BY_ROOT else ["part_low", "part_high"])


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
    parts = PARTITIONS.get(table, (table,))
    key = TABLES[parts[0]]
    names = [name for name, _ in stack.columns(table)]
    values = tuple(row[names.index(name)] for name in key)
    condition = " AND ".join(f"toString({name}) = '{value}'" for name, value in zip(key, values)) or "1"
    versions = stack.clickhouse_rows(f"SELECT toString(bitShiftRight(_version, 48) % bitShiftLeft(toUInt128(1), 64)), "
                                     f"toString(_version % bitShiftLeft(toUInt128(1), 48)), * FROM _{table} WHERE {condition} "
                                     f"ORDER BY _version DESC LIMIT 10")
    return f"{table} {row}\n  oracle: {oracle.history(values, *parts)}\n  warehouse: {versions}"


def check(stack, oracle, table):
    """The three answers are one."""
    source, known = source_content(stack, table), oracle.content(*PARTITIONS.get(table, (table,)))
    assert source == known, f"{table}: the oracle itself is wrong: {list(source - known)[:3]}, {list(known - source)[:3]}"
    missing, surplus = stack.differences(table)
    reports = [describe(stack, oracle, table, tuple(None if v is None else str(v) for v in row)) for row in (missing + surplus)[:4]]
    assert not missing and not surplus, (
        f"seed {SEED}: {table}: {len(missing)} rows only in Postgres, {len(surplus)} only in the view\n" + "\n".join(reports))


def disturb(stack, line, dice):
    """Kills a part, or lets a second agent take some partitions, or give them back."""
    victim = dice.choice(("publisher", "agent", "second agent", "postgres", None))
    if victim == "second agent":
        if line.agents and line.agents[-1].process.poll() is None:
            line.agents[-1].terminate() if dice.random() < 0.5 else line.agents[-1].kill()
        else:
            line.agent()
    elif victim:
        stack.kill(victim)
        stack.start(victim)


def test_no_counterexample(stack, tmp_path):
    print(f"HUNT_SEED={SEED} HUNT_SECONDS={SECONDS}")
    dice = random.Random(SEED)
    oracle = Oracle(stack, TABLES)
    stack.sql(SCHEMA)
    stack.sql(f"BEGIN; DROP PUBLICATION shop; CREATE PUBLICATION shop FOR TABLE {PUBLISHED} "
              f"WITH (publish_via_partition_root = {BY_ROOT}); COMMIT")
    stack.sql("INSERT INTO big SELECT g, 0, 'first' FROM generate_series(1, %s) g", (BIG_ROWS,))
    until = time.monotonic() + SECONDS
    changes = rounds = 0
    with Line(stack, tmp_path, "shop") as line, Workload(stack, SEED, COMPARED) as workload:
        while time.monotonic() < until:
            round_until = min(until, time.monotonic() + ROUND_SECONDS)
            time.sleep(max(0, dice.random() * (round_until - time.monotonic())))
            disturb(stack, line, dice)
            time.sleep(max(0, round_until - time.monotonic()))
            workload.pause()
            changes += oracle.read()
            if dice.random() < 0.5:
                # Whatever snapshots are under way: a key is right as soon as its events are there.
                stack.wait(120)
                for table in COMPARED:
                    if table not in ("journal", "joiner"):
                        check(stack, oracle, table)
            workload.settle(60)
            stack.wait(120)
            for table in COMPARED:
                check(stack, oracle, table)
            rounds += 1
            workload.resume()
    print(f"{rounds} rounds, {changes} changes, {len(line.agents)} more agents, {dict(workload.counts)}")
    assert changes > 20 * SECONDS and workload.counts["COMMIT"] > 0 and workload.counts["snapshots"] > 0
    assert stack.consume(f"{stack.env['TOPIC_PREFIX']}.__dlq") == []
