"""A publication with filters, lists and a root, from Postgres to the warehouse's views: snapshot and stream select the same."""

import collections
import random
import threading

import psycopg2
import pytest

from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--partitions", "2") as running:
        yield running


def assert_rows(stack, select, view, columns):
    """The view holds what the query selects in Postgres, each row once. Values as text."""
    texts = ", ".join(f"{c}::text" for c in columns)
    source = collections.Counter(stack.sql(f"SELECT {texts} FROM ({select}) s"))
    shown = ", ".join(f"toString({c})" for c in columns)
    warehouse = collections.Counter(tuple(r) for r in stack.clickhouse_rows(f"SELECT {shown} FROM {view}"))
    assert source == warehouse, f"{view}: only in Postgres {source - warehouse}, only in the view {warehouse - source}"


def change_publication(stack, statement):
    """The rest of the test runs with a publication and a pipeline of its own."""
    name = stack.env["PIPELINE"]
    stack.sql("SELECT walhouse.drop_pipeline(%s)", (name,))
    stack.sql(statement)
    stack.sql("SELECT walhouse.create_pipeline(%s, publication => 'chosen', brokers => %s, topic_prefix => %s)",
              (name, stack.env["KAFKA_BROKERS"], stack.env["TOPIC_PREFIX"]))


def test_filters_lists_and_roots_hold_in_snapshot_and_stream(stack):
    stack.sql("""
        CREATE TABLE parcel (secret text, id int PRIMARY KEY, region text, weight int);
        ALTER TABLE parcel REPLICA IDENTITY FULL;
        CREATE TABLE person (secret text, id int PRIMARY KEY, name text);
        CREATE TABLE event (id int, at date, payload text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE event_2024 (gone int, payload text, at date NOT NULL, id int NOT NULL);
        ALTER TABLE event_2024 DROP gone;
        ALTER TABLE event ATTACH PARTITION event_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        CREATE TABLE aside (id int PRIMARY KEY);
        INSERT INTO parcel SELECT 'x', g, CASE g % 3 WHEN 0 THEN 'eu' WHEN 1 THEN 'us' END, g FROM generate_series(1, 300) g;
        INSERT INTO person SELECT 'x', g, 'n' || g FROM generate_series(1, 100) g;
        INSERT INTO event SELECT g, '2024-01-01'::date + g, 'p' || g FROM generate_series(1, 700) g;
        INSERT INTO aside VALUES (1)""")
    change_publication(stack, """
        CREATE PUBLICATION chosen FOR TABLE parcel WHERE (region = 'eu' AND weight < 200), person (id, name), event
        WITH (publish_via_partition_root = true)""")
    stack.sql("UPDATE parcel SET region = 'eu' WHERE id % 10 = 1")
    stack.sql("UPDATE parcel SET weight = weight + 150 WHERE id % 10 < 3")
    stack.sql("UPDATE parcel SET id = id + 1000 WHERE id % 10 = 3")
    stack.sql("DELETE FROM parcel WHERE id % 10 = 6")
    stack.sql("UPDATE person SET secret = 'y', name = upper(name) WHERE id % 2 = 0; DELETE FROM person WHERE id % 5 = 0")
    stack.sql("UPDATE event SET at = at + 300 WHERE id < 200; UPDATE event SET at = at - 300 WHERE id > 500")
    stack.sql("INSERT INTO event_2024 (id, at, payload) VALUES (9000, '2024-02-02', 'direct'); DELETE FROM event WHERE id % 7 = 0")

    def everything_is_there():
        assert_rows(stack, "SELECT * FROM parcel WHERE region = 'eu' AND weight < 200", "parcel",
                    ("secret", "id", "region", "weight"))
        assert_rows(stack, "SELECT id, name FROM person", "person", ("id", "name"))
        assert_rows(stack, "SELECT * FROM event", "event", ("id", "at", "payload"))
        return True
    stack.until(everything_is_there, 60, "equal rows")
    stack.wait(60)
    everything_is_there()
    assert [c for c, in stack.clickhouse_rows("SELECT name FROM system.columns WHERE table = 'person' AND "
                                              "database = currentDatabase() AND name NOT LIKE '\\\\_%'")] == ["id", "name"]
    tables = {t for t, in stack.clickhouse_rows("SELECT name FROM system.tables WHERE database = currentDatabase()")}
    assert not tables & {"aside", "event_2024", "event_2025", "_event_2024"}


def test_the_filter_moves_with_the_stream(stack):
    """What a new filter lets in is in the warehouse from its first change on."""
    stack.sql("ALTER PUBLICATION chosen SET TABLE parcel WHERE (region = 'us' AND weight < 200), person (id, name), event")
    stack.sql("INSERT INTO parcel VALUES ('x', 5001, 'us', 1), ('x', 5002, 'eu', 1)")
    stack.wait(60)
    assert stack.clickhouse_rows("SELECT id FROM parcel WHERE id > 5000") == [[5001]]


def test_speculative_inserts_that_gave_way(stack):
    """Eight clients upsert and delete the same keys: an insert that was begun and taken back is not to be seen."""
    stack.sql("CREATE TABLE hot (id int PRIMARY KEY, writer int, n int); ALTER PUBLICATION chosen ADD TABLE hot")
    failures = []

    def hammer(writer):
        generator = random.Random(writer)
        try:
            connection = stack.connect()
            with connection.cursor() as cursor:
                for n in range(400):
                    key = generator.randrange(3)
                    if generator.random() < 0.4:
                        cursor.execute("DELETE FROM hot WHERE id = %s", (key,))
                    else:
                        cursor.execute("INSERT INTO hot VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE "
                                       "SET writer = excluded.writer, n = excluded.n", (key, writer, n))
            connection.close()
        except psycopg2.Error as error:
            failures.append(error)
    threads = [threading.Thread(target=hammer, args=(w,)) for w in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    stack.wait(60)
    assert_rows(stack, "SELECT * FROM hot", "hot", ("id", "writer", "n"))
