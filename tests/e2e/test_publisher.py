"""What the publisher puts into Kafka, read with kcat: no agent and no warehouse stand between the test and the bytes."""

import json
import os
import pathlib
import subprocess

import psycopg2
import pytest

from stackctl import TREE, Stack

BUILD = pathlib.Path(os.environ.get("WALHOUSE_BUILD", TREE / "build"))


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent", "--partitions", "3") as running:
        yield running


def messages(stack, topic):
    """Every message of a topic: (partition, timestamp in ms, key or None, value), in offset order of each partition."""
    found = subprocess.run(
        ["kcat", "-b", stack.env["KAFKA_BROKERS"], "-C", "-t", f"{stack.env['TOPIC_PREFIX']}.{topic}", "-e", "-q",
         "-f", "%p %T %K %S %k%s", "-D", ""], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=60)
    rest, result = found.stdout, []
    while rest:
        partition, time, key_size, value_size, rest = rest.split(b" ", 4)
        key_size, value_size = max(int(key_size), 0) if key_size != b"-1" else None, int(value_size)
        key, rest = (None, rest) if key_size is None else (rest[:key_size], rest[key_size:])
        value, rest = rest[:value_size], rest[value_size:]
        result.append((int(partition), int(time), key, value))
    return result


def confirm(stack):
    """Waits until the slot has confirmed everything that was committed before the call."""
    end = stack.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
    stack.sql("SELECT pg_logical_emit_message(true, 'test', '')")
    stack.until(lambda: stack.sql(
        "SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE slot_name LIKE 'walhouse%%'", (end,))[0][0],
        what="confirmation")


def murmur2(data):
    """As the Java clients compute it."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    for i in range(0, len(data) // 4 * 4, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    tail = data[len(data) // 4 * 4:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def test_rows_go_where_a_java_client_would_send_them(stack):
    stack.sql("CREATE TABLE keyed (id int, name text, PRIMARY KEY (name, id))")
    stack.sql("INSERT INTO keyed SELECT g, 'name ' || g FROM generate_series(1, 300) g")
    confirm(stack)
    found = messages(stack, "public.keyed")
    assert len(found) == 300
    assert {partition for partition, *_ in found} == {0, 1, 2}
    for partition, _, key, value in found:
        assert partition == murmur2(key) % 3
        assert value.endswith(key), "the key is a prefix of a body that holds nothing else"


def test_a_schema_is_in_kafka_before_its_first_row(stack):
    stack.sql("CREATE TABLE evolving (id int PRIMARY KEY); INSERT INTO evolving VALUES (1); "
              "ALTER TABLE evolving ADD note text; INSERT INTO evolving VALUES (2, 'two')")
    confirm(stack)
    rows = messages(stack, "public.evolving")
    schemas = {key.decode(): time for _, time, key, _ in messages(stack, "__schema")}
    fingerprints = [f"{int.from_bytes(value[5:13], 'little'):016x}" for *_, value in rows]
    assert len(set(fingerprints)) == 2
    for fingerprint, (_, time, _, _) in zip(fingerprints, rows):
        assert schemas[fingerprint] <= time


def test_a_truncate_reaches_every_partition(stack):
    stack.sql("CREATE TABLE cleared (id int PRIMARY KEY); INSERT INTO cleared VALUES (1); TRUNCATE cleared")
    confirm(stack)
    found = messages(stack, "public.cleared")
    assert sorted(partition for partition, _, _, value in found if chr(value[1]) == "T") == [0, 1, 2]
    assert all(key is None for _, _, key, value in found if chr(value[1]) == "T")


def test_statistics_are_true_at_their_lsn(stack):
    stack.sql('CREATE TABLE "odd ""name""" (id int PRIMARY KEY); INSERT INTO "odd ""name""" SELECT generate_series(1, 77)')
    lsn = stack.sql("SELECT pg_current_wal_insert_lsn()")[0][0]

    def sample():
        events = [json.loads(value) for *_, value in messages(stack, "__control")]
        later = [e for e in events if e["kind"] == "source_statistics"
                 and stack.sql("SELECT %s::pg_lsn >= %s::pg_lsn", (e["lsn"], lsn))[0][0]]
        return later and later[-1]

    event = stack.until(sample, what="statistics taken after the insert")
    assert event["pipeline"] == stack.env["PIPELINE"]
    rows = {(t["schema"], t["table"]): (t["rows"], t["exact"]) for t in event["tables"]}
    assert rows[("public", 'odd "name"')] == (77, True)
    assert all(schema != "walhouse" for schema, _ in rows)
    confirmed = stack.sql("SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots", (event["lsn"],))
    assert confirmed == [(True,)], "a sample is sent only after everything up to its LSN is in Kafka"


def test_an_event_that_kafka_cannot_take_is_said_and_not_hammered_on(stack):
    stack.sql("CREATE TABLE huge (id int PRIMARY KEY, note text)")
    confirm(stack)
    before = stack.status()["publisher_starts"]
    stack.sql("INSERT INTO huge VALUES (1, repeat('x', 11 * 1024 * 1024))")
    status = stack.until(lambda: (s := stack.status())["last_error"] and s, what="an error in walhouse.status")
    assert "public.huge" in status["last_error"] and "10485760" in status["last_error"]
    with stack.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(3)")
    assert stack.status()["publisher_starts"] - before <= 5
    # The way out until a later version has one: leave the row out of the stream, here by a new slot.
    assert stack.sql("SELECT count(*) FROM huge") == [(1,)]


def arguments(stack, **changed):
    options = {"pipeline": "x", "slot": "walhouse_x", "publication": "shop", "brokers": stack.env["KAFKA_BROKERS"],
               "conninfo": "host={PGHOST} port={PGPORT} user={PGUSER} dbname={PGDATABASE}".format(**stack.env),
               "topic-prefix": "x", "partitions": "1", "replication-factor": "1", "epoch": "1", **changed}
    return [str(BUILD / "bin" / "walhouse-publisher")] + [f"--{name}={value}" for name, value in options.items()]


@pytest.mark.parametrize("changed, reason", [
    ({}, 'replication slot "walhouse_x" does not exist. Hint:'),
    ({"slot": "another"}, 'replication slot "another" is not a logical slot of output plugin walhouse'),
    ({"system-identifier": "1"}, "this is another Postgres"),
    ({"timeline": "7"}, "Postgres is on timeline 1, the pipeline on 7"),
    ({"conninfo": "host=/nowhere"}, "could not connect to Postgres"),
])
def test_it_refuses_what_is_not_its_own(stack, changed, reason):
    try:
        stack.sql("SELECT pg_create_logical_replication_slot('another', 'test_decoding')")
    except psycopg2.errors.DuplicateObject:
        pass
    result = subprocess.run(arguments(stack, **changed), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=30)
    assert result.returncode == 1
    assert reason in result.stderr.splitlines()[-1]


def test_usage_errors(stack):
    program = str(BUILD / "bin" / "walhouse-publisher")
    for wrong in ([], ["--slots", "x"], arguments(stack, epoch="70000")[1:]):
        result = subprocess.run([program, *wrong], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=10)
        assert result.returncode == 2 and result.stderr.startswith("ERROR: ") and result.stderr.count("\n") == 1
