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
    stack.confirm(30)
    found = messages(stack, "public.keyed")
    assert len(found) == 300
    assert {partition for partition, *_ in found} == {0, 1, 2}
    for partition, _, key, value in found:
        assert partition == murmur2(key) % 3
        assert value.endswith(key), "the key is a prefix of a body that holds nothing else"


def test_a_schema_is_in_kafka_before_its_first_row(stack):
    stack.sql("CREATE TABLE evolving (id int PRIMARY KEY); INSERT INTO evolving VALUES (1); "
              "ALTER TABLE evolving ADD note text; INSERT INTO evolving VALUES (2, 'two')")
    stack.confirm(30)
    rows = messages(stack, "public.evolving")
    schemas = {key.decode(): time for _, time, key, _ in messages(stack, "__schema")}
    fingerprints = [f"{int.from_bytes(value[5:13], 'little'):016x}" for *_, value in rows]
    assert len(set(fingerprints)) == 2
    for fingerprint, (_, time, _, _) in zip(fingerprints, rows):
        assert schemas[fingerprint] <= time


def leases(stack):
    """Time, epoch and LSN of each lease."""
    return [(time, int.from_bytes(value[1:3], "little"), int.from_bytes(value[3:], "little"))
            for _, time, key, value in messages(stack, "__schema") if key == b"lease." + stack.env["PIPELINE"].encode()]


def wal_end(stack):
    return int(stack.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0])


def test_no_event_lies_beyond_a_lease_that_was_there_before(stack):
    stack.sql("CREATE TABLE leased (id int PRIMARY KEY); INSERT INTO leased VALUES (1)")
    stack.confirm(30)
    [first] = leases(stack)
    assert wal_end(stack) < first[2] <= wal_end(stack) + (1 << 30)
    # More than half of it is used up at once.
    stack.sql("DO $$ BEGIN FOR i IN 1..34 LOOP PERFORM pg_logical_emit_message(false, 'leap', ''); PERFORM pg_switch_wal(); END LOOP; END $$")
    stack.sql("INSERT INTO leased VALUES (2)")
    stack.confirm(60)
    found = stack.until(lambda: len(leases(stack)) > 1 and leases(stack), 30, "the lease is renewed")
    assert wal_end(stack) + (1 << 29) <= found[-1][2] <= wal_end(stack) + (1 << 30)
    # At each start there is a new one.
    stack.kill("publisher")
    stack.sql("INSERT INTO leased VALUES (3)")
    stack.confirm(60)
    assert len(leases(stack)) > len(found)
    for _, time, _, value in messages(stack, "public.leased"):
        epoch, lsn = int.from_bytes(value[3:5], "little"), int.from_bytes(value[13:21], "little")
        assert any(lease[0] <= time and lease[1] == epoch and lsn <= lease[2] for lease in leases(stack)), (time, lsn)


def test_a_truncate_reaches_every_partition(stack):
    stack.sql("CREATE TABLE cleared (id int PRIMARY KEY); INSERT INTO cleared VALUES (1); TRUNCATE cleared")
    stack.confirm(30)
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


def dead_letters(stack):
    """Every dead letter: (key, value, headers)."""
    return stack.consume(f"{stack.env['TOPIC_PREFIX']}.__dlq")


def test_a_row_too_large_for_kafka_becomes_a_dead_letter_and_the_stream_goes_on(stack):
    stack.sql("CREATE TABLE huge (id text PRIMARY KEY, note text)")
    before = stack.status()["publisher_starts"]
    stack.sql("INSERT INTO huge VALUES ('first', 'x'), ('large', repeat('x', 11 * 1024 * 1024)), ('last', 'y')")
    stack.sql("UPDATE huge SET note = repeat('y', 10485000) WHERE id = 'last'")
    stack.sql("INSERT INTO huge VALUES ('border', repeat('z', 10485760))")
    stack.sql("SELECT pg_logical_emit_message(true, 'outbox', repeat('x', 11 * 1024 * 1024))")
    stack.confirm(30)
    assert stack.status()["publisher_starts"] == before
    sent = messages(stack, "public.huge")
    assert sorted((chr(value[1]), key) for *_, key, value in sent) == [
        ("I", b"\x04last"), ("I", b"\x05first"), ("L", b"\x05large"), ("L", b"\x06border"), ("U", b"\x04last")]
    large, border, message = dead_letters(stack)
    for (key, value, headers), size in ((large, 11 * 1024 * 1024), (border, 10485760)):
        assert value == "" and headers["walhouse.reason"] == "too_large"
        assert headers["walhouse.topic"] == f"{stack.env['TOPIC_PREFIX']}.public.huge"
        assert size < int(headers["walhouse.size"]) < size + 100 and "10485760" in headers["walhouse.error"]
        assert stack.sql("SELECT %s::pg_lsn < pg_current_wal_lsn()", (headers["walhouse.commit_lsn"],)) == [(True,)]
    assert (large[0], border[0]) == ("\x05large", "\x06border")
    assert large[2]["walhouse.ordinal"] == "2"
    assert message[0] == "outbox" and message[2]["walhouse.size"] == str(11 * 1024 * 1024)
    told = stack.until(lambda: stack.sql("SELECT error FROM walhouse.errors WHERE kind = 'event' AND error LIKE '%%public.huge%%'"),
                       what="an error in walhouse.errors")
    assert "dead letters" in told[0][0]
    assert stack.status()["state"] == "streaming"
    assert message[2]["walhouse.topic"].endswith(".__message") and "walhouse.message_lsn" in message[2]


def test_a_row_too_large_for_its_topic_alone(stack):
    """The topic takes less than we do: the broker refuses the message, and nothing else is lost with it."""
    stack.sql("CREATE TABLE narrow (id int PRIMARY KEY, note text); INSERT INTO narrow VALUES (0, '')")
    stack.confirm(30)
    topic = f"{stack.env['TOPIC_PREFIX']}.public.narrow"
    stack.kafka_tool("kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics", "--entity-name", topic,
                     "--add-config", "max.message.bytes=1500000")
    seen, before = len(dead_letters(stack)), stack.status()["publisher_starts"]
    # Random text, so that it does not become small on the way.
    stack.sql("INSERT INTO narrow SELECT g, CASE WHEN g % 10 = 0 THEN "
              "(SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 100000 + g)) ELSE 'small' END "
              "FROM generate_series(1, 40) g")
    stack.confirm(30)
    found = sorted((chr(value[1]), int.from_bytes(key, "little")) for *_, key, value in messages(stack, "public.narrow"))
    assert found == [("I", g) for g in range(41) if g % 10 or g == 0] + [("L", g) for g in (10, 20, 30, 40)]
    letters = dead_letters(stack)[seen:]
    assert len(letters) == 4
    assert all(h["walhouse.reason"] == "too_large" and h["walhouse.topic"] == topic and "walhouse.commit_lsn" in h
               and int(h["walhouse.size"]) > 3600000 for _, _, h in letters)
    assert sorted(int(h["walhouse.ordinal"]) for _, _, h in letters) == [10, 20, 30, 40]
    assert stack.status()["publisher_starts"] == before


def arguments(stack, **changed):
    options = {"pipeline": "x", "slot": "walhouse_x", "publication": "shop", "brokers": stack.env["KAFKA_BROKERS"],
               "conninfo": "host={PGHOST} port={PGPORT} user={PGUSER} dbname={PGDATABASE}".format(**stack.env),
               "topic-prefix": "x", "partitions": "1", "replication-factor": "1", "epoch": "1", **changed}
    return [str(BUILD / "bin" / "walhouse-publisher")] + [f"--{name}={value}" for name, value in options.items()]


# 3: starting it again changes nothing, somebody must act.
@pytest.mark.parametrize("changed, status, reason", [
    ({}, 3, 'replication slot "walhouse_x" does not exist'),
    ({"slot": "another"}, 3, 'replication slot "another" is not a logical slot of output plugin walhouse'),
    ({"system-identifier": "1"}, 3, "this is another Postgres"),
    ({"timeline": "7"}, 3, "Postgres is on timeline 1, the pipeline on 7"),
    ({"conninfo": "host=/nowhere"}, 1, "could not connect to Postgres"),
    ({"slot-lsn": "here"}, 1, 'option --slot-lsn takes an LSN, not "here"'),
    ({"on-slot-loss": "pray"}, 1, 'option --on-slot-loss takes stop or resync, not "pray"'),
])
def test_it_refuses_what_is_not_its_own(stack, changed, status, reason):
    try:
        stack.sql("SELECT pg_create_logical_replication_slot('another', 'test_decoding')")
    except psycopg2.errors.DuplicateObject:
        pass
    result = subprocess.run(arguments(stack, **changed), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=30)
    assert result.returncode == status
    assert reason in result.stderr.splitlines()[-1]


def test_usage_errors(stack):
    program = str(BUILD / "bin" / "walhouse-publisher")
    for wrong in ([], ["--slots", "x"], arguments(stack, epoch="70000")[1:]):
        result = subprocess.run([program, *wrong], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=10)
        assert result.returncode == 2 and result.stderr.startswith("ERROR: ") and result.stderr.count("\n") == 1
