"""The agent as a client of ClickHouse: hostile profiles, TLS, several servers, compression, cut connections, and servers that
cannot take rows for a while.
"""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from agentline import BUILD, Line, free_port
from proxy import Proxy, certificate, server_context
from stackctl import Stack

# Each of them makes the agent lose, invent or misread something where it does not say otherwise.
HOSTILE = """
--async_insert=1
--wait_for_async_insert=0
--async_insert_busy_timeout_max_ms=60000
--input_format_null_as_default=1
--insert_null_as_default=1
--input_format_skip_unknown_fields=1
--input_format_with_names_use_header=0
--input_format_with_types_use_header=0
--input_format_allow_errors_num=1000000
--input_format_force_null_for_omitted_fields=1
--input_format_binary_decode_types_in_binary_format=1
--max_partitions_per_insert_block=1
--limit=1
--offset=1
--max_result_rows=100000
--result_overflow_mode=break
--max_rows_to_read=100000
--read_overflow_mode=break
--group_by_overflow_mode=any
--timeout_overflow_mode=break
--final=1
--do_not_merge_across_partitions_select_final=1
--apply_deleted_mask=0
--data_type_default_nullable=1
--aggregate_functions_null_for_empty=1
--empty_result_for_aggregation_by_empty_set=1
--join_use_nulls=1
--cast_keep_nullable=1
--session_timezone=Asia/Tokyo
--date_time_output_format=iso
--output_format_json_quote_64bit_integers=1
--output_format_json_array_of_rows=1
--output_format_json_named_tuples_as_objects=1
--mutations_sync=0
--alter_sync=0
--lightweight_deletes_sync=0
--send_progress_in_http_headers=1
--max_query_size=4000
"""


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


@pytest.fixture
def line(stack, tmp_path, request):
    with Line(stack, tmp_path, request.node.name) as opened:
        yield opened


class Warehouse:
    """A walhouse-warehouse of a test's own, with settings that are every statement's default."""

    def __init__(self, directory):
        self.data = directory / "warehouse"
        self.directory = directory
        self.port = free_port()
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def start(self, arguments="", *options):
        file = self.directory / "engine-arguments"
        file.write_text(arguments, encoding="ascii")
        with (self.directory / "warehouse.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(BUILD / "bin" / "walhouse-warehouse"), "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}",
                 "--engine-arguments", str(file), *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout.readline().startswith(b"listening")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process.stdout.close()
            self.process = None

    def rows(self, query, database, **settings):
        """Under settings of its own: the profile is the test's subject, not its reader."""
        parameters = urllib.parse.urlencode({"database": database, "limit": 0, "offset": 0, "final": 0, "max_query_size": 1000000,
                                             "read_overflow_mode": "throw", "output_format_json_array_of_rows": 0,
                                             "output_format_json_quote_64bit_integers": 0, "apply_deleted_mask": 1, **settings})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/?{parameters}",
                                    data=(query + " FORMAT JSONCompactEachRow").encode(), timeout=60) as response:
            return [json.loads(row) for row in response.read().decode().splitlines()]


@pytest.fixture
def warehouse(tmp_path):
    with Warehouse(tmp_path) as own:
        yield own


def port_of(url):
    return urllib.parse.urlsplit(url).port


def reasons(agent):
    return " ".join(agent.ready()["reasons"])


def test_a_hostile_profile(line, warehouse):
    """Everything arrives as it was sent, whatever the profile of the server would make of it."""
    warehouse.start(HOSTILE)
    line.url = f"http://127.0.0.1:{warehouse.port}"
    agent = line.agent()
    line.produce(count=1000, lsn=1000)
    line.loaded(agent)
    line.produce("truncate", count=1, lsn=500000)
    line.loaded(agent)
    line.produce(count=3000, first=101, quantity=5, lsn=1000000)
    line.produce("update", count=500, first=101, quantity=6, lsn=2000000)
    line.produce("delete", count=100, first=3001, lsn=3000000)
    line.produce(count=10, schema="audit", table="other", lsn=1000)
    line.produce(count=300, schema="audit", table="log", keyless=1, lsn=1000)
    line.loaded(agent)
    line.produce("truncate", count=1, schema="audit", table="log", keyless=1, lsn=500000)
    line.produce(count=7, schema="audit", table="log", keyless=1, lsn=600000)
    line.loaded(agent)
    assert line.letters() == []
    assert warehouse.rows("SELECT count(), uniqExact(id), min(id), max(id), sum(quantity) FROM orders", line.name) == [
        [2900, 2900, 101, 3000, 500 * 6 + 2400 * 5]]
    assert warehouse.rows("SELECT count() FROM `audit.other`", line.name) == [[10]]
    assert warehouse.rows("SELECT count() FROM `audit.log`", line.name) == [[7]]
    # NULL is NULL and a type is what the schema says.
    assert warehouse.rows("SELECT note, toTypeName(note), toTypeName(quantity) FROM orders WHERE id = 110", line.name) == [
        [None, "Nullable(String)", "Int32"]]
    summary = json.loads(agent.get("/api/summary")[1])
    assert summary["agent"]["state"] == "running", summary
    assert agent.is_ready()


def test_tls(line, tmp_path):
    """A certificate is verified, and one of the agent's own is shown."""
    certificate(tmp_path, "authority")
    certificate(tmp_path, "stranger")
    server = certificate(tmp_path, "server", "authority")
    own = certificate(tmp_path, "agent", "authority")
    context = server_context(*server, client_authority=tmp_path / "authority.pem")
    with Proxy(port_of(line.url), context) as proxy:
        line.url = f"https://127.0.0.1:{proxy.port}"
        line.produce(count=100)
        for settings in ("", f"ca_file = {tmp_path}/stranger.pem\n"):
            line.clickhouse = settings + f"cert_file = {own[0]}\nkey_file = {own[1]}\n"
            agent = line.agent(ready=False)
            line.stack.until(lambda: "certificate" in reasons(agent), 30, "the server is not trusted")
            agent.kill()
        # Without a certificate of its own the server does not let it in.
        line.clickhouse = f"ca_file = {tmp_path}/authority.pem\n"
        agent = line.agent(ready=False)
        line.stack.until(lambda: agent.metric("retries_total") > 1, 30, "the agent is not let in")
        assert not agent.is_ready()
        agent.kill()
        assert b"INSERT" not in proxy.requests

        line.clickhouse += f"cert_file = {own[0]}\nkey_file = {own[1]}\n"
        agent = line.agent()
        line.loaded(agent)
        line.assert_ids(1, 100)
        agent.kill()
        line.clickhouse = f"verify = no\ncert_file = {own[0]}\nkey_file = {own[1]}\n"
        line.agent()


def test_several_servers(line):
    """The one that answers is kept; when it goes, the next takes over, and what failed is tried again later."""
    target = port_of(line.url)
    with Proxy(target) as a, Proxy(target) as b:
        line.url = f"http://127.0.0.1:{a.port}, http://127.0.0.1:{b.port}/"
        agent = line.agent()
        line.produce(count=100)
        line.loaded(agent)
        assert b"INSERT" in a.requests and b"INSERT" not in b.requests
        a.stop()
        line.produce(count=100, first=101)
        line.loaded(agent)
        assert b"INSERT" in b.requests and agent.is_ready()
        a.start()
        a.requests.clear()
        line.produce(count=100, first=201)
        line.loaded(agent)
        assert b"INSERT" not in a.requests, "the one that answers is kept"
        b.stop()
        line.produce(count=100, first=301)
        line.loaded(agent)
        a.stop()
        line.stack.until(lambda: not agent.is_ready(), 30, "readiness says that both are away")
        b.start()
        line.produce(count=100, first=401)
        line.loaded(agent)
        line.assert_ids(1, 500)
        line.stack.until(agent.is_ready, 30, "ready again")


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_compression(line, compression):
    with Proxy(port_of(line.url)) as proxy:
        line.url = f"http://127.0.0.1:{proxy.port}"
        line.clickhouse = f"compression = {compression}\n"
        agent = line.agent()
        line.produce(count=5000)
        line.loaded(agent)
        line.assert_ids(1, 5000)
        header = f"Content-Encoding: {compression}".encode()
        assert (header in proxy.requests) == (compression != "none")
        assert line.rows("SELECT note FROM orders WHERE id = 7") == [["a little note here"]]


def test_cut_connections(line):
    """Within a request, and after the server had it all: the rows are there once."""
    with Proxy(port_of(line.url)) as proxy:
        line.url = f"http://127.0.0.1:{proxy.port}"
        agent = line.agent()
        line.produce(count=10)
        line.loaded(agent)
        proxy.cut_requests = 2
        line.produce(count=10000, first=11)
        line.loaded(agent)
        assert proxy.cut_requests == 0, "a request was cut"
        proxy.cut_answers = 3
        line.produce(count=100, first=10011)
        line.loaded(agent)
        assert proxy.cut_answers == 0, "an answer was cut"
        line.assert_ids(1, 10110)
        assert agent.metric("retries_total") > 0 and line.letters() == []


# What the server says when it cannot take rows, and how it is brought to say so.
@pytest.mark.parametrize("arguments, words", [
    ("--readonly=1\n", "readonly"),
    ("--max_memory_usage=1000\n", "memory limit"),
])
def test_a_server_that_cannot_take_rows_for_a_while(line, warehouse, arguments, words):
    warehouse.start()
    line.url = f"http://127.0.0.1:{warehouse.port}"
    agent = line.agent()
    line.produce(count=100)
    line.loaded(agent)
    rebalances = agent.log.read_text().count("partitions assigned")
    warehouse.stop()
    warehouse.start(arguments)
    line.produce(count=100, first=101)
    line.stack.until(lambda: words.lower() in reasons(agent).lower(), 30, f"readiness says {words}")
    assert agent.lag() == 100 and agent.get("/healthz")[0] == 200
    warehouse.stop()
    warehouse.start()
    line.loaded(agent)
    assert warehouse.rows("SELECT count(), uniqExact(id) FROM orders", line.name) == [[200, 200]]
    line.stack.until(agent.is_ready, 30, "ready again")
    assert agent.log.read_text().count("partitions assigned") == rebalances and line.letters() == []


def test_too_many_parts(line):
    agent = line.agent()
    line.produce(count=100)
    line.loaded(agent)
    line.stack.clickhouse("SYSTEM STOP MERGES _orders", database=line.name)
    line.stack.clickhouse("ALTER TABLE _orders MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1",
                          database=line.name)
    line.produce(count=100, first=101)
    line.stack.until(lambda: "TOO_MANY_PARTS" in reasons(agent), 60, "readiness says that there are too many parts")
    assert agent.lag() == 100
    line.stack.clickhouse("ALTER TABLE _orders RESET SETTING parts_to_throw_insert, parts_to_delay_insert", database=line.name)
    line.loaded(agent)
    line.assert_ids(1, 200)
    line.stack.until(agent.is_ready, 30, "ready again")


def test_a_detached_table_stops_alone(line):
    agent = line.agent()
    line.produce(count=100)
    line.produce(count=100, table="other")
    line.loaded(agent)
    line.stack.clickhouse("DETACH TABLE _orders PERMANENTLY", database=line.name)
    line.produce(count=100, first=101)
    line.produce(count=100, first=101, table="other")
    line.stack.until(lambda: "stopped" in reasons(agent), 60, "readiness says that the table is stopped")
    line.stack.until(lambda: line.rows("SELECT count() FROM other") == [[200]], 60, "the other goes on")
    line.stack.clickhouse("ATTACH TABLE _orders", database=line.name)
    line.loaded(agent)
    line.assert_ids(1, 200)
    line.stack.until(agent.is_ready, 60, "ready again")


def test_no_right_to_create_databases(line):
    """The database is there already: that is no error."""
    line.stack.clickhouse(f"CREATE DATABASE {line.name}", database="default")

    def refuse(data):
        assert b"CREATE DATABASE" not in data
        return data

    with Proxy(port_of(line.url)) as proxy:
        proxy.edit = refuse
        line.url = f"http://127.0.0.1:{proxy.port}"
        agent = line.agent()
        line.produce(count=10)
        line.loaded(agent)
        line.assert_ids(1, 10)
        assert b"CREATE DATABASE" not in proxy.requests


def test_password(line, warehouse, tmp_path):
    (tmp_path / "right").write_text("sesame & co=1\n", encoding="ascii")
    (tmp_path / "wrong").write_text("open\n", encoding="ascii")
    warehouse.start("", "--user", "walhouse", "--password-file", str(tmp_path / "right"))
    line.url = f"http://127.0.0.1:{warehouse.port}"
    line.produce(count=10)
    line.clickhouse = f"user = walhouse\npassword_file = {tmp_path}/wrong\n"
    agent = line.agent(ready=False)
    line.stack.until(lambda: "password" in reasons(agent).lower(), 30, "readiness says what is wrong")
    assert "open" not in agent.log.read_text()
    agent.kill()
    line.clickhouse = f"user = walhouse\npassword_file = {tmp_path}/right\n"
    line.loaded(line.agent())


def test_parts_per_second_are_bounded(line):
    """Small batches and a low rate: no more inserts than the rate and its burst allow, and all of it arrives."""
    line.batch = "max_rows = 50\nmax_parts_per_second = 2\nmax_delay_ms = 10\n"
    agent = line.agent()
    begun = time.monotonic()
    line.produce(count=600, seconds=4)
    line.loaded(agent)
    seconds = time.monotonic() - begun
    line.assert_ids(1, 600)
    inserts = agent.metric("table_inserts_total")
    assert 600 / 50 <= inserts <= 2 * (seconds + 2) + 1


def blank(pattern, data):
    """Bytes of the same length: a request says how long it is before."""
    return re.sub(pattern, lambda match: b" " * len(match.group()), data)


def test_cluster(line, warehouse, tmp_path):
    """
    Distributed tables over storage tables, on the engine. It has neither Keeper nor distributed DDL: those two words are taken out on
    the way, after it has parsed each of them.
    """
    config = tmp_path / "engine.xml"
    config.write_text(
        "<clickhouse><tcp_port>9000</tcp_port><remote_servers><shop><shard><internal_replication>true</internal_replication><replica>"
        "<host>127.0.0.1</host><port>9000</port></replica></shard></shop></remote_servers></clickhouse>", encoding="ascii")
    warehouse.start(f"--config-file={config}\n")

    def one_server(data):
        data = blank(rb" ON CLUSTER `shop`", data)
        return re.sub(rb"ENGINE = Replicated(\w*MergeTree)\('/clickhouse/tables/\{uuid\}/\{shard\}', '\{replica\}'(?:, )?",
                      lambda m: (b"ENGINE = " + m.group(1) + b"(").ljust(len(m.group())), data)

    with Proxy(warehouse.port) as proxy:
        proxy.edit = one_server
        line.url = f"http://127.0.0.1:{proxy.port}"
        line.clickhouse = "cluster = shop\n"
        agent = line.agent()
        line.produce(count=1000, lsn=1000)
        line.produce("update", count=500, quantity=2, lsn=2000000)
        line.produce("delete", count=100, first=901, lsn=3000000)
        line.loaded(agent)
        assert warehouse.rows("SELECT count(), uniqExact(id), sum(quantity) FROM orders", line.name) == [[900, 900, 1400]]
        assert warehouse.rows("SELECT name, engine FROM system.tables WHERE database = currentDatabase() AND name LIKE '%orders%' "
                              "ORDER BY name", line.name) == [
            ["_orders", "ReplacingMergeTree"], ["_orders@all", "Distributed"], ["orders", "View"]]
        # A column more, a truncate, rows that come late.
        line.produce(count=10, first=2001, lsn=4000000, extra_columns=1)
        line.produce("truncate", count=1, lsn=5000000)
        line.produce(count=5, first=1, lsn=6000000)
        line.loaded(agent)
        assert warehouse.rows("SELECT count(), max(id) FROM orders", line.name) == [[5, 5]]
        assert line.letters() == [] and agent.is_ready()
        statements = [body for body in re.findall(rb"(?:CREATE|ALTER|DROP|DELETE)[^\r\n]*ON CLUSTER[^\r\n]*?(?=POST /|$)",
                                                  bytes(proxy.requests), re.MULTILINE)]
        assert len(statements) > 10
        assert any(b"ReplicatedReplacingMergeTree" in statement for statement in statements)
    for statement in statements:
        text = statement.decode()
        assert warehouse.rows(f"SELECT formatQueryOrNull({literal(text)}) IS NOT NULL", line.name) == [[1]], text


def literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


OLD_CONFIG = """<yandex><logger><level>warning</level><console>1</console></logger><http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>
<listen_host>127.0.0.1</listen_host><path>{path}/data/</path><tmp_path>{path}/tmp/</tmp_path><users_config>users.xml</users_config>
<mark_cache_size>100000000</mark_cache_size><default_profile>default</default_profile><default_database>default</default_database></yandex>"""
OLD_USER = """<{name}><password>sesame</password><networks><ip>127.0.0.1</ip></networks><profile>{name}</profile>
<quota>default</quota></{name}>"""
OLD_USERS = """<yandex><profiles><default></default><reader><readonly>1</readonly></reader><small><max_memory_usage>1000000</max_memory_usage></small>
</profiles><users>{users}</users><quotas><default></default></quotas></yandex>"""


class OldServer:
    """Debian's clickhouse-server, 18.16: a real server, with directories and ports of the test's own."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()
        (directory / "config.xml").write_text(OLD_CONFIG.format(http=self.port, tcp=free_port(), path=directory), encoding="ascii")
        (directory / "users.xml").write_text(
            OLD_USERS.format(users="".join(OLD_USER.format(name=name) for name in ("default", "reader", "small"))), encoding="ascii")
        for name in ("data", "tmp"):
            (directory / name).mkdir()
        (directory / "sesame").write_text("sesame\n", encoding="ascii")
        (directory / "wrong").write_text("open\n", encoding="ascii")
        with (directory / "old.log").open("ab") as log:
            self.process = subprocess.Popen(["clickhouse-server", f"--config-file={directory}/config.xml"], cwd=directory,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start_ask(self, statement, *size, database="default", user="default", password="sesame", port=None):
        return subprocess.Popen(
            [str(BUILD / "tests" / "ask_clickhouse"), f"http://127.0.0.1:{port or self.port}", database, user, str(self.directory / password),
             statement, *[str(s) for s in size]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def ask(self, *arguments, **options):
        """Status, fault and text of the agent's client."""
        return self.start_ask(*arguments, **options).communicate(timeout=60)[0].strip().split(" ", 2)

    def is_up(self):
        return self.ask("SELECT 1")[0] == "ok"


def test_a_real_old_server(stack, tmp_path):
    """Authentication and failures of a server that is not the project's own front."""
    server = OldServer(tmp_path)
    try:
        stack.until(server.is_up, 60, "the old server is up")
        assert server.ask("SELECT 42") == ["ok", "none", "42"]
        status, fault, text = server.ask("SELECT 1", password="wrong")
        assert (status, fault) == ("retry", "access") and "Wrong password" in text and "password_file" in text and "open" not in text
        assert server.ask("SELECT 1", user="nobody")[:2] == ["retry", "access"]
        assert server.ask("SELECT 1", database="nowhere")[:2] == ["stop", "table"]
        assert server.ask("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")[0] == "ok"
        insert = "INSERT INTO t (a) FORMAT TabSeparated"
        assert server.ask(insert, 1000000)[0] == "ok"
        assert server.ask("SELECT count() FROM t")[2] == "500000"
        assert server.ask(insert, 100, user="reader")[:2] == ["retry", "read_only"]
        assert server.ask("SELECT groupArray(number) FROM numbers(10000000)", user="small")[:2] == ["retry", "busy"]
        assert server.ask("INSERT INTO t (b) FORMAT TabSeparated", 100)[:2] == ["stop", "table"]
        assert server.ask("INSERT INTO t (a) FORMAT Values", 100)[:2] == ["reject", "data"]
        # Killed in the middle of an insert: its outcome is not known, so it is one to try again.
        with Proxy(server.port) as proxy:
            asking = server.start_ask(insert, 600000000, port=proxy.port)
            stack.until(lambda: len(proxy.requests) > 1000000, 60, "the insert is on its way")
            server.process.kill()
            status, fault, _ = asking.communicate(timeout=60)[0].split(" ", 2)
        assert (status, fault) == ("retry", "away")
        assert server.ask("SELECT 1")[:2] == ["retry", "away"]
    finally:
        server.process.kill()
        server.process.wait(10)
