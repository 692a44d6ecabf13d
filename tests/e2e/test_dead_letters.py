"""Dead letters: what they hold, their mirror in the warehouse, and what `walhouse-agent dlq` does with them."""

import collections
import json

import pytest

from agentline import Line
from stackctl import Stack

REASONS = {"garbage": "undecodable", "unknown": "unknown_schema", "out_of_range": "value_out_of_range"}
MIRROR = "SELECT topic, partition, offset, reason, key, dlq_partition, dlq_offset, state FROM _walhouse_dead_letters FINAL ORDER BY dlq_offset"


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


@pytest.fixture
def line(stack, tmp_path, request):
    with Line(stack, tmp_path, request.node.name) as opened:
        yield opened


def mirrored(line, count):
    """The mirror's rows when there are that many."""
    line.stack.until(lambda: line.rows("SELECT count() FROM _walhouse_dead_letters FINAL") == [[count]], 30, f"{count} letters are mirrored")
    return line.rows(MIRROR)


def refuse(line, condition):
    """Makes the warehouse refuse rows for which the condition does not hold."""
    line.stack.clickhouse(f"ALTER TABLE _orders ADD CONSTRAINT refused CHECK {condition}", database=line.name)


def test_every_reason_with_all_that_is_known(line):
    agent = line.agent()
    line.produce(count=1, lsn=1000)
    line.loaded(agent)
    refuse(line, "id != 77")
    for number, kind in enumerate(REASONS):
        line.produce(kind, count=1, first=1001 + number, lsn=2000)
    line.produce(count=1, first=77, lsn=3000)
    line.loaded(agent)
    letters = {headers["walhouse.reason"]: (key, headers) for key, _, headers in line.letters()}
    assert set(letters) == {*REASONS.values(), "rejected"}
    for _, headers in letters.values():
        assert headers["walhouse.topic"] == f"{line.name}.public.orders" and headers["walhouse.error"]
        assert headers["walhouse.agent"] and headers["walhouse.original_headers"] == "0"
        assert ("walhouse.version" in headers) == ("walhouse.fingerprint" in headers)
    assert letters["rejected"][1]["walhouse.version"] == str(1 << 112 | 3000 << 48 | 1)
    assert letters["value_out_of_range"][1]["walhouse.version"] == str(1 << 112 | 2000 << 48 | 1)
    assert "walhouse.version" not in letters["undecodable"][1]

    rows = {row[3]: row for row in mirrored(line, 4)}
    for reason, (_, headers) in letters.items():
        topic, partition, offset, _, _, dlq_partition, _, state = rows[reason]
        assert (topic, str(partition), str(offset)) == tuple(headers[f"walhouse.{n}"] for n in ("topic", "partition", "offset"))
        assert (dlq_partition, state) == (0, "waiting")
    assert sorted(row[6] for row in rows.values()) == [0, 1, 2, 3]
    assert rows["rejected"][4] == '"id" = 77' and rows["value_out_of_range"][4] == '"id" = 1003'
    # Of an unknown schema the key is just bytes.
    assert rows["unknown_schema"][4] == "ea03000000000000"
    line.stack.until(lambda: json.loads(agent.get("/api/summary")[1])["dlq"]["count"] == 4, 10, "the dashboard counts them")


def test_the_original_headers_stay(line):
    agent = line.agent()
    line.produce(count=1)
    line.produce("unknown_truncate", count=1)
    line.loaded(agent)
    letters = line.letters()
    assert [headers["walhouse.original_headers"] for _, _, headers in letters] == ["1", "1"]
    assert [headers["walhouse.partitions"] for _, _, headers in letters] == ["2", "2"]
    assert {headers["walhouse.partition"] for _, _, headers in letters} == {"0", "1"}


def test_a_letter_too_large_for_its_topic_goes_without_its_value(line):
    agent = line.agent()
    line.produce(count=1)
    line.loaded(agent)
    line.stack.kafka_tool("kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics", "--entity-name", f"{line.name}.__dlq",
                          "--add-config", "max.message.bytes=2000")
    line.stack.produce(f"{line.name}.public.orders", b"x" * 1900, "large")
    line.stack.produce(f"{line.name}.public.orders", b"y" * 100, "small")
    line.loaded(agent)
    letters = {key: (value, headers) for key, value, headers in line.letters()}
    assert letters["small"][0] == "y" * 100 and "walhouse.size" not in letters["small"][1]
    value, headers = letters["large"]
    assert not value and headers["walhouse.size"] == "1900" and headers["walhouse.reason"] == "undecodable"
    mirrored(line, 2)


def test_a_mirror_of_0_1_0_goes_on(line):
    line.stack.clickhouse(f"CREATE DATABASE `{line.name}`", database="default")
    line.stack.clickhouse(
        "CREATE TABLE _walhouse_dead_letters (topic String, partition Int32, offset Int64, reason String, error String, "
        "time DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = ReplacingMergeTree ORDER BY (topic, partition, offset)",
        database=line.name)
    line.stack.clickhouse("INSERT INTO _walhouse_dead_letters (topic, partition, offset, reason, error) VALUES ('t', 0, 5, 'rejected', 'old')",
                          database=line.name)
    agent = line.agent()
    line.produce(count=1)
    line.produce("garbage", count=2)
    line.loaded(agent)
    rows = mirrored(line, 3)
    assert collections.Counter((row[3], row[7]) for row in rows) == {("rejected", "waiting"): 1, ("undecodable", "waiting"): 2}
