"""walhouse-warehouse: ClickHouse's HTTP interface over the real engine, as a client sees it.

Starts the built program (WALHOUSE_BUILD, default <tree>/build) on a free port and a directory of its own. Nothing here
is faked: every answer comes from the engine.
"""

import base64
import gzip
import http.client
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WALHOUSE_BUILD", TREE / "build"))
PROGRAM = BUILD / "bin" / "walhouse-warehouse"
START_SECONDS = 60


class Warehouse:
    """One running program; after kill() or stop(), start() goes on with the same directory and port."""

    def __init__(self, directory, *options):
        self.directory = directory
        self.options = options
        self.process = None
        self.port = 0

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "--data", self.directory, "--listen", f"127.0.0.1:{self.port}", *self.options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        limit = threading.Timer(START_SECONDS, self.process.kill)
        limit.start()
        line = self.process.stdout.readline()
        limit.cancel()
        assert line.startswith("listening on 127.0.0.1:"), f"no start: {line!r}"
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(START_SECONDS)
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(START_SECONDS)
        self.process.stdout.close()
        return status

    def peak_mb(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmHWM")

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def ask(self, query=None, body=b"", method="POST", headers=None, **parameters):
        """One request on a connection of its own: (status, headers, body)."""
        if query is not None:
            parameters["query"] = query
        connection = self.connect()
        try:
            connection.request(method, "/?" + urllib.parse.urlencode(parameters),
                               body=None if method == "GET" else body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def run(self, query, body=b"", **parameters):
        status, headers, answer = self.ask(query, body, **parameters)
        assert status == 200, answer.decode()
        return answer.decode()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    w = Warehouse(tmp_path_factory.mktemp("warehouse") / "data").start()
    w.run("CREATE DATABASE shop")
    yield w
    assert w.stop() == 0


@pytest.fixture
def table(warehouse, request):
    """A fresh table shop.<test's name>(id Int64, name String)."""
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)
    warehouse.run(f"CREATE TABLE shop.{name} (id Int64, name String) ENGINE = MergeTree ORDER BY id")
    yield f"shop.{name}"
    warehouse.run(f"DROP TABLE shop.{name}")


def varint_string(text):
    data = text.encode()
    assert len(data) < 128
    return bytes([len(data)]) + data


def names_and_types(columns):
    return (bytes([len(columns)]) + b"".join(varint_string(n) for n, _ in columns) +
            b"".join(varint_string(t) for _, t in columns))


def binary_row(key, name="x"):
    return struct.pack("<q", key) + varint_string(name)


# --- the interface's small things ---

def test_ping_and_fixed_answers(warehouse):
    connection = warehouse.connect()
    for path, status, text in (("/ping", 200, b"Ok.\n"), ("/", 200, b"Ok.\n"), ("/nowhere", 404, None)):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status
        assert text is None or body == text
    connection.request("DELETE", "/")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 405
    connection.close()
    status, headers, _ = warehouse.ask("SELECT 1", b"--x--", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (501, "48")


def test_query_in_url_in_body_and_split(warehouse):
    assert warehouse.run("SELECT 1 + 1") == "2\n"
    assert warehouse.ask(None, b"SELECT 1 + 2")[2] == b"3\n"
    assert warehouse.ask("SELECT 1 +", b"3")[2] == b"4\n"
    assert warehouse.ask("SELECT 5", method="GET")[2] == b"5\n"
    assert warehouse.ask("SELECT 5;", method="GET")[2] == b"5\n"


def test_database_parameter_and_header(warehouse):
    assert warehouse.run("SELECT currentDatabase()", database="shop") == "shop\n"
    assert warehouse.run("SELECT currentDatabase()") == "default\n"
    status, _, body = warehouse.ask("SELECT currentDatabase()", headers={"X-ClickHouse-Database": "shop"})
    assert (status, body) == (200, b"shop\n")
    status, headers, body = warehouse.ask("SELECT 1", database="no such `one")
    assert status == 404
    assert headers["X-ClickHouse-Exception-Code"] == "81"
    assert b"UNKNOWN_DATABASE" in body


def test_formats(warehouse):
    status, headers, body = warehouse.ask("SELECT 1 AS a", default_format="JSONEachRow")
    assert body == b'{"a":1}\n'
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert headers["Content-Type"].startswith("application/x-ndjson")
    status, headers, body = warehouse.ask("SELECT 1 AS a", headers={"X-ClickHouse-Format": "CSVWithNames"})
    assert body == b'"a"\n1\n'
    status, headers, body = warehouse.ask("SELECT 1 AS a FORMAT RowBinary", default_format="JSON")
    assert body == b"\x01"
    assert headers["X-ClickHouse-Format"] == "RowBinary"
    status, headers, body = warehouse.ask("SHOW DATABASES FORMAT JSONCompactEachRow")
    assert b'["shop"]' in body
    status, headers, body = warehouse.ask("SELECT 1 FORMAT Nonsense")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "73")


def test_query_parameters(warehouse):
    assert warehouse.run("SELECT {a:Int64} + 1, {s:String}", param_a="41", param_s="it's \\\\ 'q'") == "42\tit\\'s \\\\ \\'q\\'\n"
    status, headers, _ = warehouse.ask("SELECT {missing:Int64}")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "456")


def test_query_id(warehouse):
    assert warehouse.ask("SELECT 1", query_id="mine-1")[1]["X-ClickHouse-Query-Id"] == "mine-1"
    one = warehouse.ask("SELECT 1")[1]["X-ClickHouse-Query-Id"]
    two = warehouse.ask("SELECT 1")[1]["X-ClickHouse-Query-Id"]
    assert len(one) == 36 and one != two
    assert warehouse.ask("SELECT 1", query_id="line\r\nbreak: 1")[0] == 400


def test_uptime_and_version(warehouse):
    before = int(warehouse.run("SELECT uptime()"))
    time.sleep(1.1)
    assert int(warehouse.run("SELECT uptime()")) > before
    started = int(warehouse.run("SELECT toUnixTimestamp(now() - uptime())"))
    assert abs(time.time() - started) < 3600
    assert warehouse.run("SELECT version()").startswith("2")


def test_errors_have_text_status_and_code(warehouse):
    cases = (("SELECT * FROM shop.nothing_here", 404, 60), ("SELEC 1", 400, 62), ("SELECT nocolumn", 404, 47),
             ("SELECT nofunction(1)", 404, 46), ("exit", 400, 62), ("SELECT 1; SELECT 2", 400, 62),
             ("SELECT throwIf(1)", 500, 395), ("-- nothing", 400, 62), ("SELECT 1 INTO OUTFILE 'x'", 500, 358),
             ("INSERT INTO t FROM INFILE 'x' FORMAT CSV", 501, 48), ("SELECT toInt8('x')", 400, 6))
    for query, status, code in cases:
        answer = warehouse.ask(query)
        assert (answer[0], answer[1]["X-ClickHouse-Exception-Code"]) == (status, str(code)), (query, answer[2])
        assert answer[2].startswith(b"Code: %d. DB::Exception: " % code)
    assert warehouse.run("SELECT 1") == "1\n"


def test_empty_and_oversized_queries(warehouse):
    assert warehouse.ask(None, b"")[1]["X-ClickHouse-Exception-Code"] == "62"
    long_query = b"SELECT '" + b"x" * 300_000 + b"'"
    status, headers, body = warehouse.ask(None, long_query)
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "62")
    assert b"Max query size exceeded" in body
    assert len(warehouse.ask(None, long_query, max_query_size="1000000")[2]) == 300_001


def test_get_changes_nothing(warehouse, table, tmp_path):
    outside = tmp_path / "written-by-get"
    for query in (f"INSERT INTO {table} VALUES (1, 'x')", f"DROP TABLE {table}", f"ALTER TABLE {table} ADD COLUMN c Int8",
                  "CREATE DATABASE other", f"INSERT INTO {table} SELECT 1, 'x'", "SET readonly = 0",
                  f"INSERT INTO FUNCTION file('{outside}', CSV, 'a Int8') VALUES (1)",
                  f"INSERT INTO FUNCTION file('{outside}', CSV, 'a Int8') SELECT 1"):
        status, headers, body = warehouse.ask(query, method="GET")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164"), (query, body)
    assert warehouse.ask("SELECT 1", method="GET", readonly="0")[1]["X-ClickHouse-Exception-Code"] == "164"
    assert not outside.exists()
    assert warehouse.run(f"SELECT count() FROM {table}") == "0\n"


# --- settings ---

def test_settings_hold_for_one_request(warehouse):
    setting = "SELECT getSetting('max_block_size')"
    normal = warehouse.run(setting)
    for _ in range(5):
        assert warehouse.run(setting, max_block_size="1234") == "1234\n"
        assert warehouse.run(setting) == normal
        assert warehouse.ask(setting, method="GET", max_block_size="777")[2] == b"777\n"
        assert warehouse.ask(setting, method="GET")[2].decode() == normal
    # A statement that changes its session does not change anyone else's.
    warehouse.run("SET max_block_size = 99")
    warehouse.run("USE shop")
    warehouse.run("CREATE TEMPORARY TABLE session_only (a Int8)")
    for _ in range(5):
        assert warehouse.run(setting) == normal
        assert warehouse.run("SELECT currentDatabase()") == "default\n"
        assert warehouse.ask("SELECT * FROM session_only")[0] == 404


def test_unknown_and_wrong_settings(warehouse):
    status, headers, body = warehouse.ask("SELECT 1", no_such_setting="1")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "115")
    assert b"no_such_setting" in body
    assert warehouse.ask("SELECT 1", max_threads="many")[0] == 400
    assert warehouse.ask("SELECT 1", **{"max_threads = 1, x": "1"})[1]["X-ClickHouse-Exception-Code"] == "115"
    quoted = "it's a \\ 'quote'"
    assert warehouse.run("SELECT getSetting('log_comment')", log_comment=quoted, default_format="TSVRaw") == quoted + "\n"


def test_settings_reach_an_insert(warehouse, table):
    body = b'{"id": 1, "name": "a", "stranger": 2}\n'
    query = f"INSERT INTO {table} FORMAT JSONEachRow"
    status, headers, text = warehouse.ask(query, body, input_format_skip_unknown_fields="0")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "117"), text
    warehouse.run(query, body, input_format_skip_unknown_fields="1")
    assert warehouse.run(f"SELECT count() FROM {table}") == "1\n"


# --- inserts ---

def test_insert_formats(warehouse, table):
    native = warehouse.ask("SELECT toInt64(60) AS id, 'native' AS name FORMAT Native")[2]
    cases = [
        ("FORMAT RowBinary", binary_row(10, "rb")),
        ("FORMAT RowBinaryWithNamesAndTypes",
         names_and_types([("name", "String"), ("id", "Int64")]) + varint_string("named") + struct.pack("<q", 20)),
        ("FORMAT JSONEachRow", b'{"id":30,"name":"json"}\n'),
        ("FORMAT CSV", b'40,"c,sv"\n'),
        ("FORMAT TSV", b"50\tts\\tv\n"),
        ("FORMAT Native", native),
        ("VALUES", b"(70, 'val' || 'ues'), (80, 'two')"),
    ]
    for clause, data in cases:
        columns = "(name, id)" if "Names" in clause else "(id, name)"
        status, headers, body = warehouse.ask(f"INSERT INTO {table} {columns} {clause}", data)
        assert status == 200, (clause, body)
    assert warehouse.run(f"SELECT id, name FROM {table} ORDER BY id", default_format="CSV") == (
        '10,"rb"\n20,"named"\n30,"json"\n40,"c,sv"\n50,"ts\tv"\n60,"native"\n70,"values"\n80,"two"\n')


def test_insert_whole_in_body(warehouse, table):
    bodies = (f"INSERT INTO {table} VALUES (1, 'a')", f"insert into {table} (id, name) format CSV\n2,b\n",
              f"INSERT INTO {table} FORMAT JSONEachRow {{\"id\":3,\"name\":\"c\"}}",
              f"/* FORMAT x */ INSERT INTO {table} (id, name) SETTINGS max_block_size = 7 FORMAT TSV\n4\td\n",
              f"INSERT INTO {table} SELECT 5, 'e'")
    for body in bodies:
        status, _, text = warehouse.ask(None, body.encode())
        assert status == 200, text
    data = f"INSERT INTO {table} FORMAT RowBinary\n".encode() + binary_row(6, "\nf")
    assert warehouse.ask(None, data)[0] == 200
    assert warehouse.run(f"SELECT groupArray(id) FROM (SELECT id FROM {table} ORDER BY id)") == "[1,2,3,4,5,6]\n"
    assert warehouse.run(f"SELECT name FROM {table} WHERE id = 6 FORMAT RawBLOB") == "\nf"


def test_insert_into_awkward_names(warehouse):
    warehouse.run("CREATE TABLE shop.`format values` (`values` Int64, `select` String) ENGINE = Memory")
    warehouse.run("INSERT INTO shop.`format values` (`values`, `select`) FORMAT CSV", b"1,one\n")
    warehouse.run('INSERT INTO shop."format values" ("values", "select") VALUES', b"(2, 'two')")
    assert warehouse.run("SELECT count() FROM shop.`format values`") == "2\n"
    warehouse.run("DROP TABLE shop.`format values`")


def test_insert_summary(warehouse, table):
    _, headers, _ = warehouse.ask(f"INSERT INTO {table} FORMAT RowBinary", binary_row(1) + binary_row(2))
    assert '"written_rows":"2"' in headers["X-ClickHouse-Summary"]
    _, headers, _ = warehouse.ask(f"SELECT * FROM {table}")
    assert '"read_rows":"2"' in headers["X-ClickHouse-Summary"]
    assert '"result_rows":"2"' in headers["X-ClickHouse-Summary"]


def test_types_are_validated(warehouse, table):
    query = f"INSERT INTO {table} (id, name) FORMAT RowBinaryWithNamesAndTypes"
    row = binary_row(1)
    wrong_type = names_and_types([("id", "Int32"), ("name", "String")]) + row
    wrong_name = names_and_types([("id", "Int64"), ("title", "String")]) + row
    for data in (wrong_type, wrong_name):
        status, headers, body = warehouse.ask(query, data, input_format_skip_unknown_fields="0")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "117"), body
    status, headers, body = warehouse.ask(query, names_and_types([("id", "Int64"), ("name", "String")]) + row[:-1])
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "33"), body
    status, headers, body = warehouse.ask(f"INSERT INTO {table} (id, nope) FORMAT RowBinary", row)
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "16"), body
    assert warehouse.ask(f"INSERT INTO {table} FORMAT NoSuchFormat", row)[0] == 404
    assert warehouse.ask("INSERT INTO shop.nowhere FORMAT RowBinary", row)[0] == 404
    assert warehouse.run(f"SELECT count() FROM {table}") == "0\n"


def test_insert_parameters(warehouse, table):
    warehouse.run("INSERT INTO {t:Identifier} FORMAT CSV", b"1,x\n", param_t=table.split(".")[1], database="shop")
    assert warehouse.run(f"SELECT count() FROM {table}") == "1\n"


def send_chunks(warehouse, query, chunks, finish=True, **parameters):
    """POSTs with chunked encoding. Without finish the connection is broken off before the last chunk."""
    sock = socket.create_connection(("127.0.0.1", warehouse.port), timeout=60)
    path = "/?" + urllib.parse.urlencode({"query": query, **parameters})
    sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    for chunk in chunks:
        sock.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    if not finish:
        sock.close()
        return None
    sock.sendall(b"0\r\n\r\n")
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    body = answer.read()
    sock.close()
    return answer.status, answer.headers, body


def test_chunked_body(warehouse, table):
    rows = b"".join(binary_row(i) for i in range(1000))
    pieces = [rows[i:i + 37] for i in range(0, len(rows), 37)]
    assert send_chunks(warehouse, f"INSERT INTO {table} FORMAT RowBinary", pieces)[0] == 200
    statement = f"INSERT INTO {table} FORMAT CSV\n2000,x\n".encode()
    assert send_chunks(warehouse, "", [statement[i:i + 1] for i in range(len(statement))])[0] == 200
    assert warehouse.run(f"SELECT count(), max(id) FROM {table}") == "1001\t2000\n"


def test_post_without_length(warehouse):
    sock = socket.create_connection(("127.0.0.1", warehouse.port), timeout=60)
    sock.sendall(b"POST /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    assert answer.status == 411
    assert answer.headers["X-ClickHouse-Exception-Code"] == "381"
    sock.close()


def test_broken_off_insert_leaves_nothing(warehouse, table):
    rows = b"".join(binary_row(i) for i in range(50_000))
    query = f"INSERT INTO {table} FORMAT RowBinary"
    send_chunks(warehouse, query, [rows], finish=False)
    sock = socket.create_connection(("127.0.0.1", warehouse.port), timeout=60)
    sock.sendall(f"POST /?{urllib.parse.urlencode({'query': query})} HTTP/1.1\r\nHost: x\r\n"
                 f"Content-Length: {len(rows) + 10}\r\n\r\n".encode() + rows)
    sock.close()
    time.sleep(1)
    assert warehouse.run(f"SELECT count() FROM {table}") == "0\n"
    warehouse.run(query, rows)
    assert warehouse.run(f"SELECT count() FROM {table}") == "50000\n"


def test_failed_insert_keeps_the_connection(warehouse, table):
    """A body that is wrong at its first row is read to its end, and the connection goes on."""
    connection = warehouse.connect()
    path = "/?" + urllib.parse.urlencode({"query": f"INSERT INTO {table} FORMAT CSV"})
    connection.request("POST", path, body=b"no number,x\n" * 2_000_000)
    answer = connection.getresponse()
    assert answer.status == 400
    assert answer.read().startswith(b"Code: 27. ")
    connection.request("POST", path, body=b"1,x\n")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    assert warehouse.run(f"SELECT count() FROM {table}") == "1\n"


def test_memory_is_bounded_while_inserting(warehouse):
    """400 MB into a table that keeps nothing: what the program holds does not grow with the body."""
    warehouse.run("CREATE TABLE shop.nothing (id Int64, name String) ENGINE = Null")
    row = binary_row(7, "y" * 91)
    block = row * 10_000  # a million bytes
    warehouse.run("INSERT INTO shop.nothing FORMAT RowBinary", block, max_insert_block_size="20000",
                  min_insert_block_size_rows="20000", min_insert_block_size_bytes="1000000")
    before = warehouse.peak_mb()
    status, headers, body = send_chunks(
        warehouse, "INSERT INTO shop.nothing FORMAT RowBinary", (block for _ in range(400)),
        max_insert_block_size="20000", min_insert_block_size_rows="20000", min_insert_block_size_bytes="1000000")
    assert status == 200, body
    assert '"written_rows":"4000000"' in headers["X-ClickHouse-Summary"]
    assert warehouse.peak_mb() - before < 100
    warehouse.run("DROP TABLE shop.nothing")


# --- results ---

def test_large_result_is_streamed(warehouse):
    before = warehouse.peak_mb()
    connection = warehouse.connect()
    connection.request("GET", "/?" + urllib.parse.urlencode(
        {"query": "SELECT number, repeat('z', 90) FROM numbers(4000000)"}))
    answer = connection.getresponse()
    assert answer.headers["Transfer-Encoding"] == "chunked"
    size = 0
    while True:
        piece = answer.read(1 << 20)
        if not piece:
            break
        size += len(piece)
    digits = 10 + sum(9 * 10 ** (d - 1) * d for d in range(2, 7)) + 3_000_000 * 7  # of 0 to 3,999,999
    assert size == digits + (90 + 2) * 4_000_000
    assert warehouse.peak_mb() - before < 150


def test_error_after_the_answer_began(warehouse):
    connection = warehouse.connect()
    connection.request("GET", "/?" + urllib.parse.urlencode(
        {"query": "SELECT throwIf(number = 3000000) FROM numbers(10000000)"}))
    answer = connection.getresponse()
    assert answer.status == 200
    tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
    with pytest.raises(http.client.IncompleteRead) as broken:
        while True:
            if not answer.read():
                break
    tail = broken.value.partial[-3000:]
    assert tail.endswith(b" " + tag + b"\r\n__exception__\r\n")
    assert b"\r\n__exception__\r\n" + tag + b"\r\nCode: 395. DB::Exception: " in tail


def test_wait_end_of_query(warehouse):
    query = "SELECT throwIf(number = 3000000) FROM numbers(10000000)"
    status, headers, _ = warehouse.ask(query, method="GET", wait_end_of_query="1")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "395")
    status, headers, body = warehouse.ask("SELECT number FROM numbers(1000000)", wait_end_of_query="1")
    assert int(headers["Content-Length"]) == len(body) == 6_888_890


def test_broken_off_reader(warehouse):
    """A client that leaves in the middle of a result takes nothing with it."""
    for _ in range(30):
        sock = socket.create_connection(("127.0.0.1", warehouse.port), timeout=60)
        sock.sendall(b"GET /?query=SELECT+number+FROM+system.numbers HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(100_000)
        sock.close()
    assert warehouse.run("SELECT 1") == "1\n"
    deadline = time.time() + 20
    while int(warehouse.run("SELECT count() FROM system.processes")) > 1:
        assert time.time() < deadline, "a statement goes on without its client"
        time.sleep(0.2)


# --- compression ---

def test_gzip_request(warehouse, table):
    rows = b"".join(binary_row(i) for i in range(10_000))
    query = f"INSERT INTO {table} FORMAT RowBinary"
    gzip_header = {"Content-Encoding": "gzip"}
    assert warehouse.ask(query, gzip.compress(rows), headers=gzip_header)[0] == 200
    half = len(rows) // 2 // 10 * 10
    two_members = gzip.compress(rows[:half]) + gzip.compress(rows[half:])
    assert warehouse.ask(query, two_members, headers=gzip_header)[0] == 200
    assert warehouse.run(f"SELECT count() FROM {table}") == "20000\n"
    assert warehouse.ask(None, gzip.compress(b"SELECT 1"), headers=gzip_header)[2] == b"1\n"
    assert warehouse.ask(query, gzip.compress(rows)[:-20], headers=gzip_header)[0] == 500
    assert warehouse.ask(query, b"not gzip at all", headers=gzip_header)[0] == 500
    assert warehouse.ask(query, rows, headers={"Content-Encoding": "br"})[0] == 501
    assert warehouse.run(f"SELECT count() FROM {table}") == "20000\n"


def test_gzip_answer(warehouse):
    query = "SELECT number FROM numbers(300000)"
    accept = {"Accept-Encoding": "deflate, gzip;q=0.8"}
    status, headers, body = warehouse.ask(query, headers=accept, enable_http_compression="1")
    assert headers["Content-Encoding"] == "gzip"
    plain = gzip.decompress(body)
    assert plain == warehouse.ask(query, headers=accept)[2]
    assert "Content-Encoding" not in warehouse.ask(query, enable_http_compression="1")[1]
    refused = {"Accept-Encoding": "gzip;q=0"}
    assert "Content-Encoding" not in warehouse.ask(query, headers=refused, enable_http_compression="1")[1]
    status, headers, body = warehouse.ask("SELECT nope", headers=accept, enable_http_compression="1")
    assert status == 404 and body.startswith(b"Code: 47. ")


# --- users ---

@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "password").write_text("s3cret: with spaces\n")
    w = Warehouse(directory / "data", "--user", "agent", "--password-file", directory / "password").start()
    yield w
    assert w.stop() == 0


def test_authentication(guarded):
    def basic(user, password):
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    password = "s3cret: with spaces"
    right = ({"headers": basic("agent", password)},
             {"headers": {"X-ClickHouse-User": "agent", "X-ClickHouse-Key": password}},
             {"user": "agent", "password": password})
    for claim in right:
        assert guarded.ask("SELECT 1", **claim)[2] == b"1\n"
    wrong = (
        ({}, 401, "194"), ({"headers": basic("agent", "no")}, 403, "516"),
        ({"headers": basic("other", password)}, 403, "516"), ({"headers": basic("default", "")}, 401, "194"),
        ({"headers": {"X-ClickHouse-User": "agent", "X-ClickHouse-Key": password + "x"}}, 403, "516"),
        ({"user": "agent"}, 403, "516"), ({"headers": {"Authorization": "Bearer x"}}, 403, "516"),
        ({"headers": basic("agent", password), "user": "agent"}, 403, "516"))
    for claim, status, code in wrong:
        answer = guarded.ask("SELECT 1", **claim)
        assert (answer[0], answer[1]["X-ClickHouse-Exception-Code"]) == (status, code), claim
    assert guarded.ask("SELECT 1")[1]["WWW-Authenticate"].startswith("Basic realm=")
    connection = guarded.connect()
    connection.request("GET", "/ping")
    assert connection.getresponse().read() == b"Ok.\n"


def run_program(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=START_SECONDS)


def test_command_line(warehouse, tmp_path):
    assert run_program("--help").returncode == 0
    assert "walhouse-warehouse" in run_program("--version").stdout
    for arguments in ((), ("--data",), ("--data", tmp_path / "d", "--nonsense", "1"),
                      ("--data", tmp_path / "d", "--listen", "localhost"),
                      ("--data", tmp_path / "d", "--max-connections", "0")):
        done = run_program(*arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    wide = run_program("--data", tmp_path / "d", "--listen", "0.0.0.0:0")
    assert wide.returncode == 2 and "--password-file" in wide.stderr
    taken = run_program("--data", tmp_path / "e", "--listen", f"127.0.0.1:{warehouse.port}")
    assert taken.returncode == 1 and "cannot listen" in taken.stderr
    second = run_program("--data", warehouse.directory, "--listen", "127.0.0.1:0")
    assert second.returncode == 1 and "in use" in second.stderr


# --- what the agent relies on ---

def test_replacing_table_view_and_alter(warehouse):
    warehouse.run("CREATE TABLE shop._orders (id Int64, name String, _version UInt128, _deleted UInt8, "
                  "_loaded_time DateTime64(6, 'UTC') DEFAULT now64(6)) "
                  "ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY id")
    warehouse.run("CREATE OR REPLACE VIEW shop.orders AS SELECT id, name FROM shop._orders FINAL")

    def load(key, name, version, deleted):
        columns = [("id", "Int64"), ("name", "String"), ("_version", "UInt128"), ("_deleted", "UInt8")]
        data = names_and_types(columns) + struct.pack("<q", key) + varint_string(name) + struct.pack("<QQ", version, 1)
        warehouse.run("INSERT INTO _orders (id, name, _version, _deleted) FORMAT RowBinaryWithNamesAndTypes",
                      data + bytes([deleted]), database="shop")

    load(1, "old", 1, 0)
    load(1, "new", 3, 0)
    load(1, "late", 2, 0)
    load(2, "gone", 1, 0)
    load(2, "gone", 2, 1)
    assert warehouse.run("SELECT * FROM orders", database="shop") == "1\tnew\n"
    warehouse.run("ALTER TABLE shop._orders ADD COLUMN IF NOT EXISTS note Nullable(String)")
    warehouse.run("ALTER TABLE shop._orders RENAME COLUMN name TO title")
    warehouse.run("CREATE OR REPLACE VIEW shop.orders AS SELECT id, title, note FROM shop._orders FINAL")
    assert warehouse.run("SELECT * FROM shop.orders") == "1\tnew\t\\N\n"
    warehouse.run("DROP VIEW shop.orders")
    warehouse.run("DROP TABLE shop._orders")


def test_concurrent_clients(warehouse, table):
    clients, rounds = 12, 15
    failures = []

    def insert(number):
        connection = warehouse.connect()
        path = "/?" + urllib.parse.urlencode({"query": f"INSERT INTO {table} FORMAT RowBinary"})
        for i in range(rounds):
            rows = b"".join(binary_row(number * 1_000_000 + i * 1000 + j) for j in range(100))
            connection.request("POST", path, body=rows)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failures.append(body)

    def select(number):
        for i in range(rounds):
            value = str(1000 + number * 100 + i)
            status, _, body = warehouse.ask(f"SELECT getSetting('max_block_size'), count() >= 0 FROM {table}",
                                            max_block_size=value)
            if (status, body.decode()) != (200, f"{value}\t1\n"):
                failures.append(body)

    threads = [threading.Thread(target=insert, args=(n,)) for n in range(clients)]
    threads += [threading.Thread(target=select, args=(n,)) for n in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
        assert not t.is_alive()
    assert failures == []
    assert warehouse.run(f"SELECT count(), uniqExact(id) FROM {table}") == f"{clients * rounds * 100}\t{clients * rounds * 100}\n"


def test_too_many_statements(tmp_path):
    w = Warehouse(tmp_path / "data", "--max-connections", "2", "--queue-wait", "300").start()
    try:
        slow = [threading.Thread(target=w.ask, args=("SELECT sleep(3)",)) for _ in range(2)]
        for t in slow:
            t.start()
        time.sleep(0.7)
        status, headers, body = w.ask("SELECT 1")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (503, "202")
        assert b"TOO_MANY_SIMULTANEOUS_QUERIES" in body
        for t in slow:
            t.join(60)
        assert w.run("SELECT 1") == "1\n"
    finally:
        assert w.stop() == 0


def test_memory_limit(tmp_path):
    w = Warehouse(tmp_path / "data", "--max-memory", "600", "--threads", "1").start()
    try:
        status, headers, body = w.ask("SELECT uniqExact(number, toString(number)) FROM numbers(100000000)")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "241"), body
        assert w.run("SELECT getSetting('max_threads')") == "1\n"
    finally:
        assert w.stop() == 0


def test_slow_statement_is_no_silent_client(tmp_path):
    """The receive timeout counts the client's silence, not the engine's work; a silent client is let go."""
    w = Warehouse(tmp_path / "data", "--receive-timeout", "1", "--max-connections", "1", "--queue-wait", "5000").start()
    try:
        assert w.run("SELECT sleep(2.5)") == "0\n"
        rows = "SELECT number, sleepEachRow(1.2) FROM numbers(3)"  # each sent as it comes
        assert w.run(rows, max_block_size="1", buffer_size="0") == "0\t0\n1\t0\n2\t0\n"
        w.run("CREATE TABLE t (id Int64, name String) ENGINE = MergeTree ORDER BY id")
        sock = socket.create_connection(("127.0.0.1", w.port), timeout=60)
        sock.sendall(b"POST /?query=INSERT+INTO+t+FORMAT+RowBinary HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" +
                     binary_row(1))
        time.sleep(0.3)
        assert w.run("SELECT count() FROM t") == "0\n"  # waits until the silent insert lost its place
        sock.close()
    finally:
        assert w.stop() == 0


def test_kill_9_keeps_what_was_acknowledged(tmp_path):
    w = Warehouse(tmp_path / "data").start()
    w.run("CREATE DATABASE shop")
    w.run("CREATE TABLE shop.t (id Int64, name String) ENGINE = MergeTree ORDER BY id")
    w.run("CREATE VIEW shop.v AS SELECT id FROM shop.t")
    acknowledged = 0
    for round_number in range(4):
        stop = threading.Timer(0.7, w.kill)
        stop.start()
        try:
            while True:
                rows = b"".join(binary_row(acknowledged * 10 + i) for i in range(10))
                if w.ask("INSERT INTO shop.t FORMAT RowBinary", rows)[0] == 200:
                    acknowledged += 1
        except (OSError, http.client.HTTPException):
            pass
        stop.join()
        assert acknowledged > 10 * (round_number + 1)
        w.start()
        rows, unique = map(int, w.run("SELECT count(), uniqExact(id) FROM shop.t").split())
        # The insert under way at the kill may be in or not; what was answered is, once.
        assert unique in (acknowledged * 10, acknowledged * 10 + 10)
        assert rows % 10 == 0
        acknowledged = unique // 10
        assert int(w.run("SELECT count() FROM shop.v")) == rows
    assert w.stop() == 0


def test_clean_stop_while_inserting(tmp_path):
    w = Warehouse(tmp_path / "data").start()
    w.run("CREATE TABLE t (id Int64, name String) ENGINE = MergeTree ORDER BY id")
    sock = socket.create_connection(("127.0.0.1", w.port), timeout=60)
    rows = b"".join(binary_row(i) for i in range(1000))
    sock.sendall(b"POST /?query=INSERT+INTO+t+FORMAT+RowBinary HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(rows) +
                 rows[:5000])
    time.sleep(0.3)
    w.process.terminate()
    time.sleep(0.5)
    sock.sendall(rows[5000:])
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    assert answer.status == 200
    sock.close()
    assert w.stop() == 0
    w.start()
    assert w.run("SELECT count() FROM t") == "1000\n"
    assert w.stop() == 0
