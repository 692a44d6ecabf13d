"""What Kafka forgets: a topic deleted, a broker that comes back empty. The pipeline finds its way without help.

What Kafka had acknowledged before it lost it is confirmed, and does not come again by itself; everything that follows must arrive.
No agent runs here: the tests read Kafka itself.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

from stackctl import TREE, Stack

BUILD = pathlib.Path(os.environ.get("WALHOUSE_BUILD", TREE / "build"))


@pytest.fixture
def stack():
    with Stack("--no-agent") as running:
        running.sql("CREATE TABLE stays (id bigint PRIMARY KEY); INSERT INTO stays VALUES (1)")
        running.sql("CREATE TABLE goes (id bigint PRIMARY KEY); INSERT INTO goes VALUES (1)")
        running.confirm()
        yield running


def topic(stack, name):
    return f"{stack.env['TOPIC_PREFIX']}.{name}"


def keys(stack, name):
    """The keys of a topic's messages, one after the other; None when there is no topic."""
    found = subprocess.run(
        ["kcat", "-b", stack.env["KAFKA_BROKERS"], "-C", "-t", topic(stack, name), "-e", "-q", "-f", "%k", "-D", ""],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    return found.stdout if found.returncode == 0 else None


def keys_in_kafka(stack, table):
    found = keys(stack, "public." + table)
    return found and {int.from_bytes(found[i:i + 8], "little") for i in range(0, len(found), 8)}


def schemas_in_kafka(stack):
    """The fingerprints in the schema topic, where the lease is too."""
    found = keys(stack, "__schema").split(b"lease.shop")
    assert len(found) > 1
    return {part[i:i + 16] for part in found for i in range(0, len(part), 16)}


def delete_topic(stack, name):
    subprocess.run([str(BUILD / "tests" / "delete_topic"), stack.env["KAFKA_BROKERS"], topic(stack, name)], check=True,
                   stdin=subprocess.DEVNULL, timeout=60)


def test_a_deleted_topic_is_made_again(stack):
    delete_topic(stack, "public.goes")
    stack.sql("INSERT INTO goes VALUES (2); INSERT INTO stays VALUES (2)")
    stack.confirm(120)
    assert 2 in keys_in_kafka(stack, "goes")
    assert keys_in_kafka(stack, "stays") == {1, 2}
    stack.until(lambda: stack.status()["state"] == "streaming", 30, "events flow again")


def test_a_deleted_schema_topic_is_made_again_by_a_restart(stack):
    """Nobody asks for the schema topic until there is a new schema, so an operator who deletes it restarts the pipeline."""
    before = schemas_in_kafka(stack)
    delete_topic(stack, "__schema")
    stack.sql("SELECT walhouse.pause('shop')")
    stack.until(lambda: stack.status()["state"] == "paused", 30, "paused")
    stack.sql("SELECT walhouse.resume('shop')")
    stack.sql("INSERT INTO goes VALUES (2); INSERT INTO stays VALUES (2)")
    stack.confirm()
    assert schemas_in_kafka(stack) == before


def test_an_empty_broker_is_filled_again(stack):
    """Killed with its disk: topics, schemas and what the idempotent producer had told it are gone."""
    before = schemas_in_kafka(stack)
    stack.sql("INSERT INTO stays SELECT generate_series(10, 19)")
    stack.confirm()
    stack.kill("kafka")
    shutil.rmtree(pathlib.Path(stack.directory) / "kafka1" / "data")
    stack.sql("INSERT INTO stays SELECT generate_series(20, 29)")
    stack.start("kafka")
    stack.sql("INSERT INTO goes VALUES (30)")
    # What the slot has confirmed is not there any more: that is said, and everything is taken again when somebody asks for it.
    stack.until(lambda: stack.status()["state"] == "slot_lost", 90, "status says that something is missing")
    assert "walhouse.resync('shop')" in stack.status()["what_to_do"]
    stack.sql("SELECT walhouse.resync('shop')")
    stack.until(lambda: stack.status()["state"] == "streaming", 60, "events flow again")
    stack.confirm(120)
    stack.until(lambda: {1, *range(10, 30)} <= (keys_in_kafka(stack, "stays") or set()), 60, "every row is in Kafka again")
    stack.until(lambda: {1, 30} <= (keys_in_kafka(stack, "goes") or set()), 60, "those of the other table, too")
    assert before <= schemas_in_kafka(stack)
