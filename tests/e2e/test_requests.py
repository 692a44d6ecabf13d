"""What agents ask of the source: rows that are gone or wrong in the warehouse come again, and whoever writes nonsense into the
topic of requests does no harm.
"""

import contextlib
import json
import pathlib
import subprocess

import pytest

from agentline import BUILD
from stackctl import Stack

ASK = BUILD / "tests" / "ask_source"
FORGET = BUILD / "tests" / "kafka_forget"
TOPIC = "shop.__requests"


@pytest.fixture(scope="module")
def stack():
    with Stack("--partitions", "2") as running:
        yield running


def messages(stack, topic):
    """Every message of a topic as it is: key and value."""
    data = subprocess.run(["kcat", "-b", stack.env["KAFKA_BROKERS"], "-t", topic, "-C", "-e", "-q", "-D", "", "-f", "%K %S %k%s"], check=True,
                          timeout=30, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout
    found = []
    while data:
        key_size, size, data = data.split(b" ", 2)
        key_size, size = max(int(key_size), 0), max(int(size), 0)
        found.append((data[:key_size], data[key_size:key_size + size]))
        data = data[key_size + size:]
    return found


def ask(stack, directory, table, *what):
    """Asks as the agent does, with the table's newest schema."""
    topic = f"shop.public.{table}".encode()
    file = directory / f"{table}.schema"
    file.write_bytes([value for _, value in messages(stack, "shop.__schema") if value[9:].startswith(bytes([len(topic)]) + topic)][-1])
    subprocess.run([str(ASK), stack.env["KAFKA_BROKERS"], "shop", str(file), *what], check=True, timeout=60, stdin=subprocess.DEVNULL)


def ask_by_hand(stack, request):
    value = request if isinstance(request, bytes) else json.dumps(request).encode()
    subprocess.run(["kcat", "-b", stack.env["KAFKA_BROKERS"], "-t", TOPIC, "-p", "0", "-P", "-k", "by hand", "-X", "message.max.bytes=20000000",
                    "-D", "\\xff\\xfe\\xfd"], input=value, check=True, timeout=30)


def keys_of(stack, table):
    """The keys of all of a table's messages, each once, in hexadecimal digits."""
    return list(dict.fromkeys(key.hex() for key, _ in messages(stack, f"shop.public.{table}") if key))


def falsify(stack, table, key):
    """All rows of a view are wrong, and those with an even hash of the key are gone."""
    stack.clickhouse(f"INSERT INTO `_{table}` SELECT * REPLACE (_version + 1 AS _version, 'wrong' AS note) FROM `_{table}` FINAL")
    stack.clickhouse(f"ALTER TABLE `_{table}` DELETE WHERE sipHash64({key}) % 2 = 0 SETTINGS mutations_sync = 2")


def count(stack, table, reason="agent"):
    return stack.sql("SELECT count(*) FROM walhouse.snapshot WHERE table_name = %s AND reason = %s", (table, reason))[0][0]


def requests(stack):
    """How many were taken, how many refused."""
    return (stack.sql("SELECT taken, refused FROM walhouse.requests") or [(0, 0)])[0]


def publisher(stack):
    return stack.sql("SELECT publisher_pid FROM walhouse.status")[0][0]


KINDS = {
    "by_uuid": ("id uuid PRIMARY KEY", "id", "md5(g::text)::uuid"),
    "by_text": ("id text PRIMARY KEY", "id", "(ARRAY['O''Brien', '\"quoted\"', 'back\\slash', '$$', 'é ☃', '', ' -- '';', E'tab\\t'])[g]"),
    "by_number": ("id numeric(20, 4) PRIMARY KEY", "id", "(g - 4) * 1234567.0625"),
    "by_any_number": ("id numeric PRIMARY KEY", "id", "(g - 4) * 1e30 + 0.5"),
    "by_time": ("id timestamptz PRIMARY KEY", "id", "'1969-12-31 23:59:59.999999Z'::timestamptz + g * interval '1 month 1 us'"),
    "by_several": ("\"Id\" int, at date, who \"char\", what bytea, PRIMARY KEY (what, \"Id\", at, who)", "Id",
                   "g, date '1999-12-31' + g, chr(64 + g)::\"char\", decode(repeat(to_hex(g), 40), 'hex')"),
}


def test_rows_come_again(stack, tmp_path):
    for table, (columns, key, values) in KINDS.items():
        stack.sql(f"CREATE TABLE {table} ({columns}, note text)")
        stack.sql(f"INSERT INTO {table} SELECT {values}, 'note ' || g FROM generate_series(1, 8) g")
    stack.wait()
    stack.assert_equal(*KINDS)
    for table, (_, key, _) in KINDS.items():
        falsify(stack, table, key)
        assert stack.differences(table) != ([], [])
    for table in KINDS:
        keys = keys_of(stack, table)
        assert len(keys) == 8
        ask(stack, tmp_path, table, "rows", *keys)
    stack.wait()
    stack.assert_equal(*KINDS)
    for table in KINDS:
        rows, = stack.sql("SELECT rows_done, state FROM walhouse.snapshot_status WHERE \"table\" = %s AND reason = 'agent'", (table,))
        assert rows == (8, "done")
    assert requests(stack)[1] == 0


def test_only_what_is_asked_for_is_read(stack, tmp_path):
    stack.sql("CREATE TABLE few (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO few SELECT g, 'note ' || g FROM generate_series(1, 100) g")
    stack.wait()
    stack.clickhouse("INSERT INTO _few SELECT * REPLACE (_version + 1 AS _version, 'wrong' AS note) FROM _few FINAL WHERE id IN (3, 4)")
    three, four = ((n).to_bytes(4, "little").hex() for n in (3, 4))
    ask(stack, tmp_path, "few", "rows", three, three)
    stack.wait()
    missing, surplus = stack.differences("few")
    assert missing == [("4", "note 4")] and surplus == [("4", "wrong")]
    # By hand: a name instead of an oid, and no word of what the key is.
    ask_by_hand(stack, {"kind": "rows", "schema": "public", "table": "few", "keys": [four]})
    stack.wait()
    stack.assert_equal("few")
    assert stack.sql("SELECT array_agg(rows_done ORDER BY id) FROM walhouse.snapshot WHERE table_name = 'few'") == [([1, 1],)]


def test_whole_table_once(stack, tmp_path):
    stack.sql("CREATE TABLE whole (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO whole SELECT g, 'note ' || g FROM generate_series(1, 3000) g")
    stack.wait()
    after = stack.sql("SELECT (pg_current_wal_insert_lsn() - '0/0')::text")[0][0]
    falsify(stack, "whole", "id")
    stack.clickhouse("INSERT INTO _whole SELECT * REPLACE (id + 100000 AS id, _version + 2 AS _version) FROM _whole FINAL LIMIT 10")
    for _ in range(3):
        ask(stack, tmp_path, "whole", "snapshot", after)
    stack.wait()
    stack.assert_equal("whole")
    assert count(stack, "whole") == 1
    # It is done already; what came since is another matter.
    ask(stack, tmp_path, "whole", "snapshot", after)
    stack.wait()
    assert count(stack, "whole") == 1
    ask(stack, tmp_path, "whole", "snapshot", "now")
    stack.wait()
    assert count(stack, "whole") == 2


def test_a_table_without_a_key_comes_whole(stack, tmp_path):
    stack.sql("CREATE TABLE log (note text)")
    stack.sql("INSERT INTO log SELECT 'note ' || g FROM generate_series(1, 50) g")
    stack.wait()
    stack.clickhouse("ALTER TABLE _log DELETE WHERE note LIKE '%7' SETTINGS mutations_sync = 2")
    ask(stack, tmp_path, "log", "rows", "00")
    stack.wait()
    stack.assert_equal("log")


def test_many_rows_wait_together(stack, tmp_path):
    """While an old transaction keeps snapshots waiting, requests do not pile up."""
    stack.sql("CREATE TABLE many (id bigint PRIMARY KEY, note text)")
    stack.sql("INSERT INTO many SELECT g, 'note ' || g FROM generate_series(1, 3000) g")
    stack.wait()
    falsify(stack, "many", "id")
    keys = [n.to_bytes(8, "little").hex() for n in range(1, 3001)]
    with contextlib.closing(stack.connect()) as old:
        old.autocommit = False
        old.cursor().execute("SELECT pg_current_xact_id()")
        for first in range(0, 3000, 250):
            ask(stack, tmp_path, "many", "rows", *keys[first:first + 250], *keys[:10])
        wanted = sum(requests(stack)) + 12
        stack.until(lambda: sum(requests(stack)) >= wanted - 12 and stack.sql("SELECT rows_waiting FROM walhouse.requests")[0][0] > 2000, 60,
                    "the requests are taken")
        assert count(stack, "many") == 1
        old.rollback()
    stack.wait(120)
    stack.assert_equal("many")
    assert stack.sql("SELECT sum(rows_done) FROM walhouse.snapshot WHERE table_name = 'many'")[0][0] <= 3010


def test_rows_do_not_wait_for_large_tables(stack, tmp_path):
    """Every worker is busy for minutes, and rows that are asked for come all the same."""
    stack.sql("CREATE FUNCTION slow(int) RETURNS bool LANGUAGE plpgsql COST 100000 AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN true; END $$")
    for table in ("large1", "large2", "small"):
        stack.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, note text)")
        stack.sql(f"INSERT INTO {table} SELECT g, 'note ' || g FROM generate_series(1, 10000) g")
    stack.wait()
    falsify(stack, "small", "id")
    large = [stack.sql("SELECT walhouse.snapshot('shop', %s::regclass, 'public.slow(id)')", (table,))[0][0] for table in ("large1", "large2")]
    stack.until(lambda: stack.sql("SELECT count(*) FROM walhouse.snapshot WHERE id = ANY (%s) AND state = 'running'", (large,)) == [(2,)],
                60, "all workers have something to do")
    ask(stack, tmp_path, "small", "rows", *keys_of(stack, "small")[:600])
    stack.until(lambda: stack.sql("SELECT sum(rows_done) FROM walhouse.snapshot WHERE table_name = 'small' AND state = 'done'") == [(600,)],
                60, "the rows are read")
    assert stack.sql("SELECT count(*) FROM walhouse.snapshot WHERE id = ANY (%s) AND state = 'running'", (large,)) == [(2,)]
    for snapshot in large:
        stack.sql("SELECT walhouse.cancel_snapshot(%s)", (snapshot,))


def test_nonsense_does_no_harm(stack, tmp_path):
    stack.sql("CREATE TABLE target (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO target SELECT g, 'note ' || g FROM generate_series(1, 20) g")
    stack.wait()
    before, pid = requests(stack), publisher(stack)
    one = (1).to_bytes(4, "little").hex()
    nonsense = [
        b"nonsense", b"{", b"\xff\xfe", b"[" * 50000, b"\"" + b"a" * 900000 + b"\"",
        {}, [], None, 7, {"kind": "rows"}, {"kind": ["snapshot"], "schema": "public", "table": "target"},
        {"kind": "snapshot", "schema": "walhouse", "table": "pipeline"},
        {"kind": "snapshot", "schema": "pg_catalog", "table": "pg_authid"},
        {"kind": "snapshot", "schema": "public", "table": "target; DROP TABLE target"},
        {"kind": "snapshot", "schema": "public", "table": "target'::regclass); DROP TABLE target; --"},
        {"kind": "snapshot", "schema": "public", "table": "target", "after": "0/1' OR true"},
        {"kind": "rows", "schema": "public", "table": "target", "keys": [one + "') OR true --"]},
        {"kind": "rows", "schema": "public", "table": "target", "keys": ["' OR true --"]},
        {"kind": "rows", "schema": "public", "table": "target", "keys": [one] * 1001},
        {"kind": "rows", "schema": "public", "table": "target", "keys": [one + "00"]},
        {"kind": "rows", "schema": "public", "table": "target", "keys": [{"a": 1}]},
        {"kind": "rows", "schema": "public", "table": "target", "keys": None},
    ]
    for request in nonsense:
        ask_by_hand(stack, request)
    stack.until(lambda: sum(requests(stack)) == sum(before) + len(nonsense), 60, "all are taken")
    assert requests(stack) == (before[0], before[1] + len(nonsense))
    assert stack.sql("SELECT last_refusal FROM walhouse.requests") == [("cannot extract elements from a scalar",)]
    assert count(stack, "target") == 0 and publisher(stack) == pid
    # Behind all that, what is sensible is taken.
    falsify(stack, "target", "id")
    ask(stack, tmp_path, "target", "rows", *keys_of(stack, "target"))
    stack.wait()
    stack.assert_equal("target")


def test_a_request_of_10_mb(stack):
    stack.sql("CREATE TABLE ten (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO ten VALUES (10, 'ten')")
    stack.wait()
    falsify(stack, "ten", "id")
    before, pid = requests(stack), publisher(stack)
    ask_by_hand(stack, b"{\"kind\": \"snapshot\", \"x\": \"" + b"x" * 10_000_000 + b"\"}")
    ask_by_hand(stack, {"kind": "snapshot", "schema": "public", "table": "ten"})
    stack.until(lambda: sum(requests(stack)) == sum(before) + 2, 60, "both are taken")
    assert requests(stack) == (before[0] + 1, before[1] + 1)
    assert stack.sql("SELECT last_refusal FROM walhouse.requests") == [("it is larger than 1 MiB",)]
    assert publisher(stack) == pid
    stack.wait()
    stack.assert_equal("ten")


def test_publisher_is_killed_on_the_way(stack, tmp_path):
    """Each request is taken once, and none is lost."""
    stack.sql("CREATE TABLE killed (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO killed SELECT g, 'note ' || g FROM generate_series(1, 400) g")
    stack.wait()
    falsify(stack, "killed", "id")
    keys = keys_of(stack, "killed")
    before = sum(requests(stack))
    for first in range(0, 400, 50):
        ask(stack, tmp_path, "killed", "rows", *keys[first:first + 50])
        if first % 100 == 0:
            stack.kill("publisher")
    stack.start("publisher")
    stack.wait(120)
    stack.assert_equal("killed")
    assert sum(requests(stack)) == before + 8
    assert stack.sql("SELECT sum(rows_done) FROM walhouse.snapshot WHERE table_name = 'killed'")[0][0] >= 1


def test_requests_that_expired_are_missed_aloud(stack, tmp_path):
    """A publisher that was paused for longer than Kafka keeps requests says so, and takes what is there."""
    stack.sql("CREATE TABLE late (id int PRIMARY KEY, note text)")
    stack.sql("INSERT INTO late SELECT g, 'note ' || g FROM generate_series(1, 10) g")
    stack.wait()
    # Who has never read anything misses nothing.
    ask(stack, tmp_path, "late", "rows", keys_of(stack, "late")[0])
    stack.wait()
    falsify(stack, "late", "id")
    before = sum(requests(stack))
    stack.sql("SELECT walhouse.pause('shop')")
    stack.until(lambda: stack.sql("SELECT state FROM walhouse.status") == [("paused",)], 60, "the pipeline is paused")
    keys = keys_of(stack, "late")
    for _ in range(2):
        ask(stack, tmp_path, "late", "rows", *keys[:5])
    ask(stack, tmp_path, "late", "rows", *keys[5:])
    end = len(messages(stack, TOPIC))
    subprocess.run([str(FORGET), stack.env["KAFKA_BROKERS"], "records", TOPIC, "0", str(end - 1)], check=True, timeout=60,
                   stdin=subprocess.DEVNULL)
    stack.sql("SELECT walhouse.resume('shop')")
    stack.until(lambda: sum(requests(stack)) == before + 1, 60, "what is there is taken")
    log = (pathlib.Path(stack.directory) / "log" / "postgres.log").read_text(errors="replace")
    assert f"requests {end - 3} to {end - 2} of agents are gone from their topic" in log
    stack.wait()
    assert len(stack.differences("late")[0]) == 5
    ask(stack, tmp_path, "late", "rows", *keys)
    stack.wait()
    stack.assert_equal("late")


def test_the_key_changed_in_between(stack, tmp_path):
    """An agent that is behind asks by a key that is another by now: the rewritten table came whole."""
    stack.sql("CREATE TABLE rekeyed (id int PRIMARY KEY, other text NOT NULL UNIQUE, note text)")
    stack.sql("INSERT INTO rekeyed SELECT g, 'other ' || g, 'note ' || g FROM generate_series(1, 10) g")
    stack.wait()
    refused, taken = requests(stack)[1], sum(requests(stack))
    oid = stack.sql("SELECT 'rekeyed'::regclass::oid::bigint")[0][0]
    stack.sql("ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD PRIMARY KEY (other)")
    ask_by_hand(stack, {"kind": "rows", "relation": oid, "schema": "public", "table": "rekeyed", "key": ["1 Int32"], "keys": ["01000000"]})
    stack.until(lambda: stack.sql("SELECT count(*) FROM walhouse.snapshot WHERE table_name = 'rekeyed' AND state = 'done'")[0][0] == 1, 60,
                "the table has come whole")
    stack.until(lambda: sum(requests(stack)) == taken + 1, 60, "the request is taken")
    assert requests(stack)[1] == refused
    assert stack.sql("SELECT reason FROM walhouse.snapshot WHERE table_name = 'rekeyed'") == [("rewritten",)]
