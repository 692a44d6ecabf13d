"""Dead letters: what they hold, their mirror in the warehouse, and what `walhouse-agent dlq` does with them."""

import collections
import contextlib
import http.server
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from agentline import AGENT, BUILD, Line, free_port
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


def dlq(line, *arguments, status=0, config=None):
    """What `walhouse-agent dlq` prints, and what it complains of."""
    command = [str(AGENT), "dlq", "--config", str(config or line.agents[-1].config), *map(str, arguments)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == status, (result.stdout, result.stderr)
    return result.stdout, result.stderr


def listed(line, *arguments):
    return [json.loads(row) for row in dlq(line, "list", "--json", *arguments)[0].split("\n") if row]


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
    # Its value is fetched from where it stayed.
    assert [row["bytes"] for row in listed(line)] == [100, 1900] or [row["bytes"] for row in listed(line)] == [1900, 100]
    assert dlq(line, "replay", "--yes")[0] == "replayed 2 letters\n"
    sent = collections.Counter((key, value) for key, value, _ in line.stack.consume(f"{line.name}.public.orders") if key in ("large", "small"))
    assert sent == {("large", "x" * 1900): 2, ("small", "y" * 100): 2}


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


def test_list_and_show_with_filters(line):
    agent = line.agent()
    line.produce(count=1, lsn=1000)
    line.produce(count=1, table="others", schema="audit")
    for number, kind in enumerate(REASONS):
        line.produce(kind, count=2, first=1001 + 2 * number, lsn=2000)
    line.produce("garbage", count=1, table="others", schema="audit")
    line.loaded(agent)
    mirrored(line, 7)
    assert [(row["partition"], row["offset"]) for row in listed(line)] == [(0, n) for n in range(7)]
    assert len(listed(line, "--reason", "unknown_schema")) == 2
    assert {row["topic"] for row in listed(line, "--table", "orders")} == {f"{line.name}.public.orders"}
    assert len(listed(line, "--table", "audit.others")) == len(listed(line, "--topic", "audit.others")) == 1
    assert len(listed(line, "--topic", f"{line.name}.public.orders", "--reason", "undecodable")) == 2
    assert [row["offset"] for row in listed(line, "--offset", "2-4")] == [2, 3, 4]
    assert listed(line, "--partition", 1) == listed(line, "--until", "1h") == listed(line, "--state", "replayed") == []
    assert len(listed(line, "--since", "1h", "--until", "2100-01-01")) == 7
    text = dlq(line, "list", "--limit", 3)[0]
    assert text.endswith("3 letters, and 4 more (--limit)\n")
    assert f"value_out_of_range  {line.name}.public.orders [" in dlq(line, "list", "--reason", "value_out_of_range")[0]
    for wrong in (["lost"], [], ["list", "more"], ["list", "--since", "yesterday"], ["list", "--state", "gone"], ["list", "--what"]):
        assert "dlq: " in dlq(line, *wrong, status=2)[1]

    [first, _] = [json.loads(row) for row in dlq(line, "show", "--json", "--reason", "value_out_of_range")[0].splitlines()]
    [event] = first["events"]
    assert event["exact"] == {"placed_at": "infinity"} and event["operation"] == "I"
    assert (event["row"]["id"], event["row"]["sku"], event["row"]["note"]) == (1005, "SKU-5", "a little note here")
    assert first["key"] == '"id" = 1005' and first["key_hex"] == "ed03000000000000"
    assert ["walhouse.reason", "value_out_of_range"] in first["headers"]
    text = dlq(line, "show", "--reason", "undecodable", "--limit", 1)[0]
    assert "header  walhouse.reason: undecodable" in text and "value  " in text and text.endswith("1 letters, and 2 more (--limit)\n")
    # A garbled message is shown as what it is; so is everything while the warehouse is away.
    away = line.directory / "away.conf"
    config = agent.config.read_text(encoding="ascii")
    away.write_text(config.replace(line.stack.env["CLICKHOUSE_URL"], f"http://127.0.0.1:{free_port()}"), encoding="ascii")
    text, complaint = dlq(line, "show", "--reason", "value_out_of_range", config=away)
    assert "waiting" in complaint and "infinity" in text and "value  " in text
    assert "not known" in dlq(line, "replay", "--yes", config=away, status=1)[1]


def test_replay_when_the_cause_is_gone(line):
    agent = line.agent()
    line.produce(count=100, quantity=1, lsn=1000)
    line.loaded(agent)
    refuse(line, "quantity != 2")
    line.produce("update", count=20, quantity=2, lsn=2000)
    # Of these a newer version arrives before the letters are replayed.
    line.produce("update", count=5, quantity=3, lsn=3000)
    line.loaded(agent)
    mirrored(line, 20)
    assert line.rows("SELECT sum(quantity) FROM orders") == [[95 + 15]]
    assert "all 20 letters that wait would be replayed" in dlq(line, "replay", status=1)[1]
    # The cause is still there: new letters, and the old ones are done with.
    assert dlq(line, "replay", "--offset", "0-1")[0] == "replayed 2 letters\n"
    line.loaded(agent)
    mirrored(line, 22)
    assert [len(listed(line, "--state", state)) for state in ("replayed", "waiting", "all")] == [2, 20, 22]

    line.stack.clickhouse("ALTER TABLE _orders DROP CONSTRAINT refused", database=line.name)
    assert dlq(line, "replay", "--yes")[0] == "replayed 20 letters\n"
    line.loaded(agent)
    assert line.rows("SELECT count(), sum(quantity) FROM orders") == [[100, 80 + 5 * 3 + 15 * 2]]
    assert listed(line) == [] and dlq(line, "replay")[0] == "replayed 0 letters\n"
    # Once more, although they are done with: nothing changes.
    assert dlq(line, "replay", "--state", "all", "--yes")[0] == "replayed 22 letters\n"
    line.loaded(agent)
    assert line.rows("SELECT count(), sum(quantity) FROM orders") == [[100, 80 + 5 * 3 + 15 * 2]]
    line.stack.until(lambda: json.loads(agent.get("/api/summary")[1])["dlq"]["count"] == 0, 10, "none waits")


def test_replay_when_the_schema_has_come(line):
    agent = line.agent()
    line.produce(count=1)
    line.produce("unannounced", count=10, first=11, lsn=2000, extra_columns=1)
    line.loaded(agent)
    mirrored(line, 10)
    line.produce(count=0, extra_columns=1)
    assert dlq(line, "replay", "--reason", "unknown_schema")[0] == "replayed 10 letters\n"
    line.loaded(agent)
    assert line.rows("SELECT count(), min(id), max(id) FROM orders WHERE id > 1") == [[10, 11, 20]]
    assert listed(line) == []


def quantities(line):
    return line.rows("SELECT quantity, count() FROM orders GROUP BY quantity ORDER BY quantity")


def test_a_version_that_no_publisher_can_have_sent(line):
    far = 1 << 50
    agent = line.agent()
    # Without a lease nothing is judged.
    line.produce(count=100, lsn=5000)
    line.produce(count=3, table="cleared", lsn=9000, lease=10000)
    line.produce("update", count=100, quantity=2, lsn=9000)
    line.produce("update", count=10, quantity=3, lsn=far)
    line.produce("update", count=10, first=11, quantity=4, lsn=100, epoch=7)
    line.produce("truncate", count=1, table="cleared", lsn=far)
    # Their keys live on. A lease that comes just before its events is known in time.
    line.produce("update", count=20, quantity=5, lsn=9500)
    line.produce("update", count=5, quantity=6, lsn=20000, lease=20000)
    line.loaded(agent)
    assert quantities(line) == [[2, 80], [5, 15], [6, 5]] and line.rows("SELECT count() FROM cleared") == [[3]]
    mirrored(line, 22)
    assert collections.Counter(row["reason"] for row in listed(line)) == {"implausible_version": 22}
    assert any(headers["walhouse.error"].startswith("its version, epoch 7 and LSN 0/64, lies beyond") for _, _, headers in line.letters())
    assert agent.metric("dead_letters_total") == 22

    # The lease is known after a restart, and what is put back is judged again.
    assert agent.terminate() == 0
    agent = line.agent()
    assert dlq(line, "discard", "--table", "public.cleared")[0] == "discarded 2 letters\n"
    assert dlq(line, "replay", "--yes")[0] == "replayed 20 letters\n"
    line.loaded(agent)
    mirrored(line, 42)
    assert quantities(line) == [[2, 80], [5, 15], [6, 5]]
    # When the source has come so far, they are plausible; of another epoch they are not.
    line.produce(count=0, lease=2 * far)
    dlq(line, "replay", "--yes")
    line.loaded(agent)
    mirrored(line, 52)
    assert quantities(line) == [[2, 80], [3, 10], [5, 10]]


def test_a_schema_topic_that_was_made_anew_is_read_anew(line):
    agent = line.agent()
    line.produce(count=10, lsn=1000, lease=10000)
    line.loaded(agent)
    subprocess.run([BUILD / "tests" / "delete_topic", line.stack.env["KAFKA_BROKERS"], f"{line.name}.__schema"], check=True, timeout=60)
    # It ends where the one that was read ended: only its beginning tells.
    line.produce(count=10, first=11, lsn=1000, epoch=2, lease=10000)
    line.produce(count=10, first=21, lsn=1000, extra_columns=1, epoch=3, lease=10000)
    line.loaded(agent)
    line.assert_ids(1, 30)
    assert line.letters() == []


def test_discard_and_a_lost_mirror(line):
    agent = line.agent()
    line.produce(count=1)
    line.produce("garbage", count=5)
    line.loaded(agent)
    mirrored(line, 5)
    assert "all 5 letters" in dlq(line, "discard", status=1)[1]
    assert dlq(line, "discard", "--offset", 3)[0] == "discarded 1 letters\n"
    assert [row["offset"] for row in listed(line)] == [0, 1, 2, 4]
    assert "  discarded  " in dlq(line, "show", "--offset", 3)[0]
    [done] = listed(line, "--state", "discarded")
    assert done["offset"] == 3 and done["resolved_at"]
    assert len(line.letters()) == 5
    # The topic is the truth; what was done about its letters is all that the mirror alone knows.
    line.stack.clickhouse("DROP TABLE _walhouse_dead_letters", database=line.name)
    assert len(listed(line)) == 5
    assert dlq(line, "discard", "--yes")[0] == "discarded 5 letters\n"
    assert listed(line) == [] and [row[-1] for row in mirrored(line, 5)] == ["discarded"] * 5


@contextlib.contextmanager
def warehouse_that_takes_no_marks(stack):
    """The warehouse behind a door that keeps every INSERT of a replayed letter waiting. Yields its URL and what says that one waits."""
    waiting = threading.Event()

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if b"'replayed')" in body:
                waiting.set()
                time.sleep(30)
                return
            request = urllib.request.Request(stack.env["CLICKHOUSE_URL"].rstrip("/") + self.path, data=body)
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", waiting
    server.shutdown()
    server.server_close()


def test_killed_between_replay_and_mark(line):
    agent = line.agent()
    line.produce(count=10, quantity=1, lsn=1000)
    line.loaded(agent)
    refuse(line, "quantity != 2")
    line.produce("update", count=10, quantity=2, lsn=2000)
    line.loaded(agent)
    mirrored(line, 10)
    line.stack.clickhouse("ALTER TABLE _orders DROP CONSTRAINT refused", database=line.name)
    config = line.directory / "door.conf"
    with warehouse_that_takes_no_marks(line.stack) as (url, waiting):
        text = agent.config.read_text(encoding="ascii")
        config.write_text(text.replace(line.stack.env["CLICKHOUSE_URL"], url), encoding="ascii")
        with subprocess.Popen([str(AGENT), "dlq", "--config", str(config), "replay", "--yes"], stdin=subprocess.DEVNULL) as process:
            assert waiting.wait(60)
            process.kill()
    line.loaded(agent)
    assert line.rows("SELECT count(), sum(quantity) FROM orders") == [[10, 20]]
    assert len(listed(line)) == 10
    assert dlq(line, "replay", "--yes")[0] == "replayed 10 letters\n"
    line.loaded(agent)
    assert line.rows("SELECT count(), sum(quantity) FROM orders") == [[10, 20]]
    assert listed(line) == []


def test_what_the_publisher_could_not_send(stack, tmp_path):
    stack.sql("CREATE TABLE huge (id int, \"what's\" text, note text, PRIMARY KEY (id, \"what's\"))")
    stack.sql("INSERT INTO huge VALUES (1, 'small', ''), (42, 'it''s', repeat('x', 11 * 1024 * 1024))")
    stack.sql("SELECT pg_logical_emit_message(true, 'outbox', repeat('x', 11 * 1024 * 1024))")
    stack.confirm(60)
    with Line(stack, tmp_path, stack.env["TOPIC_PREFIX"]) as line:
        agent = line.agent()
        line.stack.until(lambda: line.rows("SELECT count() FROM huge") == [[1]], 60, "the small row")
        rows = mirrored(line, 2)
        assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
            (f"{line.name}.public.huge", -1, "too_large", "\"id\" = 42 AND \"what's\" = 'it''s'"),
            (f"{line.name}.__message", -1, "too_large", rows[1][4])]
        assert agent.metric("dead_letters_total") == 2
        text = dlq(line, "replay", "--yes")[0]
        assert "replayed 0 letters, 2 hold nothing to replay" in text
        statement = next(row for row in text.splitlines() if "walhouse.snapshot" in row)
        assert [row["bytes"] > 11 << 20 for row in listed(line)] == [True, False]
        # What it says to do works.
        stack.sql("UPDATE huge SET note = 'short' WHERE id = 42")
        stack.sql(statement.strip())
        line.stack.until(lambda: line.rows("SELECT note FROM huge WHERE id = 42") == [["short"]], 60, "the row comes")
        assert dlq(line, "discard", "--reason", "too_large")[0] == "discarded 2 letters\n"
        assert listed(line) == []


def test_a_replayed_row_stays_below_a_truncate(line):
    agent = line.agent()
    line.produce(count=1, lsn=1000)
    line.loaded(agent)
    refuse(line, "quantity != 2")
    line.produce(count=5, first=11, quantity=2, lsn=2000)
    line.loaded(agent)
    line.produce("truncate", count=1, lsn=4000)
    line.loaded(agent)
    line.produce(count=3, first=11, quantity=1, lsn=8000)
    line.loaded(agent)
    mirrored(line, 5)
    line.stack.clickhouse("ALTER TABLE _orders DROP CONSTRAINT refused", database=line.name)
    assert dlq(line, "replay", "--yes")[0] == "replayed 5 letters\n"
    line.loaded(agent)
    line.assert_ids(11, 3)


def breaker_state(agent):
    tables = json.loads(agent.get("/api/status")[1])["tables"]
    return [(table["table"], state["state"]) for table in tables for state in table["states"] if state["code"] == "breaker"]


def test_the_breaker_stops_a_table_that_only_fails(line):
    line.settings = "[dlq]\nbreaker_letters = 100\n"
    agent = line.agent()
    line.produce(count=1000, quantity=1, lsn=1000)
    line.loaded(agent)
    refuse(line, "quantity != 2")
    # Some fail, and others do not: it does not trip.
    line.produce("update", count=70, quantity=2, lsn=2000)
    line.loaded(agent)
    line.produce("update", count=1, first=200, quantity=3, lsn=3000)
    line.loaded(agent)
    line.produce("update", count=70, first=71, quantity=2, lsn=4000)
    line.loaded(agent)
    mirrored(line, 140)
    assert agent.is_ready() and breaker_state(agent) == []
    # All of many fail.
    line.produce("update", count=860, first=141, quantity=2, lsn=5000)
    line.stack.until(lambda: breaker_state(agent) == [("orders", "stopped")], 30, "the table is stopped")
    line.stack.until(lambda: not agent.is_ready(), 10, "readiness says so")
    assert "100 messages in a row" in " ".join(agent.ready()["reasons"])
    assert 800 <= agent.lag() <= 860
    line.produce(count=10, table="others")
    line.stack.until(lambda: line.rows("SELECT count() FROM others") == [[10]], 30, "other tables go on")
    assert len(line.letters()) < 300
    # Over a restart it is stopped again, and its letters are still few.
    assert agent.terminate() == 0
    agent = line.agent(ready=False)
    line.stack.until(lambda: breaker_state(agent) == [("orders", "stopped")], 30, "the table is stopped")
    assert len(line.letters()) < 400
    # Somebody mends it: it goes on by itself, and the letters are replayed.
    line.stack.clickhouse("ALTER TABLE _orders DROP CONSTRAINT refused", database=line.name)
    line.loaded(agent)
    line.stack.until(agent.is_ready, 15, "ready again")
    assert breaker_state(agent) == []
    dlq(line, "replay", "--yes")
    line.loaded(agent)
    assert line.rows("SELECT count(), countIf(quantity = 2) FROM orders") == [[1000, 1000]]


def test_the_breaker_stops_messages_that_are_none(line):
    line.settings = "[dlq]\nbreaker_letters = 50\n"
    agent = line.agent()
    line.produce(count=1)
    line.loaded(agent)
    line.produce("garbage", count=500, first=1000)
    line.stack.until(lambda: breaker_state(agent) == [("orders", "stopped")], 30, "the table is stopped")
    letters = len(line.letters())
    assert 50 <= letters < 150
    # It is tried again, and lets a few through each time.
    line.stack.until(lambda: len(line.letters()) > letters, 30, "it is tried again")
    assert len(line.letters()) < 200
    # All of them, if somebody wants that.
    assert agent.terminate() == 0
    line.settings = "[dlq]\nbreaker_letters = 0\n"
    agent = line.agent()
    line.loaded(agent)
    line.produce(count=1, first=2)
    line.loaded(agent)
    line.assert_ids(1, 2)
    places = {(headers["walhouse.partition"], headers["walhouse.offset"]) for _, _, headers in line.letters()}
    assert len(places) == 500
