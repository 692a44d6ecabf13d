"""One real stack (Postgres, Kafka, warehouse, agent, storefront) for a test: start it, break it, compare its two ends.

Everything goes through tests/stack/stack; what it prints about the parts is all that a test knows of them.
"""

import collections
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import psycopg2

import valuetext

TREE = pathlib.Path(__file__).resolve().parents[2]
STACK = TREE / "tests" / "stack" / "stack"


def quote(identifier):
    """A Postgres identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def backtick(identifier):
    """A ClickHouse identifier, quoted."""
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Stack:
    """A running stack. Use as a context manager: it is down, and its directory gone, afterwards."""

    def __init__(self, *arguments):
        self.directory = tempfile.mkdtemp(prefix="walhouse-test-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.arguments = arguments
        self.env = {}

    def __enter__(self):
        try:
            self.command("up", *self.arguments, timeout=180)
            self.read_env()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        # A fixture does not learn whether its test failed, so whoever sets this keeps every stack.
        if os.environ.get("WALHOUSE_KEEP_STACK"):
            print(f"kept: {STACK} down {self.directory}")
        else:
            self.command("down", timeout=120, check=False)
            shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, verb, *arguments, timeout=120, check=True):
        result = subprocess.run(
            [str(STACK), verb, self.directory, *[str(a) for a in arguments]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        if check and result.returncode != 0:
            raise AssertionError(f"stack {verb} {arguments}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def read_env(self):
        for line in self.command("env").stdout.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.env[name] = value.strip("'\"")

    def kill(self, part):
        self.command("kill", part)

    def start(self, part):
        self.command("start", part)

    def wait(self, seconds=60):
        """Until the warehouse has everything that was committed before the call."""
        self.command("wait", seconds, timeout=seconds + 30)

    def confirm(self, seconds=60):
        """Until the pipeline's slot has confirmed everything that was committed before the call."""
        end = self.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
        self.sql("SELECT pg_logical_emit_message(true, 'test', '')")
        self.until(lambda: self.sql("SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE slot_name = 'walhouse_' || %s",
                                    (end, self.env["PIPELINE"]))[0][0], seconds, "confirmation")

    # ---- the two ends ----

    def connect(self, **options):
        connection = psycopg2.connect(
            host=self.env["PGHOST"], port=self.env["PGPORT"], user=self.env["PGUSER"], dbname=self.env["PGDATABASE"],
            connect_timeout=5, **options)
        connection.autocommit = True
        return connection

    def sql(self, statement, parameters=None):
        """Rows of a statement run in Postgres, [] where it has none."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def clickhouse(self, query, **settings):
        """The text that the warehouse answers."""
        url = self.env["CLICKHOUSE_URL"]
        separator = "&" if "?" in url else "/?"
        parameters = urllib.parse.urlencode({"database": self.env["CLICKHOUSE_DATABASE"], **settings})
        request = urllib.request.Request(url.rstrip("/") + separator + parameters, data=query.encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.code} {error.read().decode(errors='replace')}") from None

    def clickhouse_rows(self, query, **settings):
        rows = self.clickhouse(query + " FORMAT JSONCompactEachRow", **settings)
        return [json.loads(row) for row in rows.split("\n") if row]

    def columns(self, table, schema="public"):
        """Name and type of each column, domains as their base type, without lengths and precisions."""
        return self.sql(
            """WITH RECURSIVE base (attnum, attname, type) AS (
                SELECT attnum, attname, atttypid FROM pg_attribute WHERE attrelid = format('%%I.%%I', %s::text, %s::text)::regclass
                    AND attnum > 0 AND NOT attisdropped
                UNION ALL SELECT attnum, attname, typbasetype FROM base JOIN pg_type t ON t.oid = type WHERE typtype = 'd')
            SELECT attname, CASE WHEN e.typtype = 'd' THEN format_type(e.typbasetype, NULL) || '[]' ELSE format_type(type, NULL) END
            FROM base JOIN pg_type t ON t.oid = type LEFT JOIN pg_type e ON e.oid = t.typelem WHERE t.typtype <> 'd' ORDER BY attnum""",
            (schema, table))

    def warehouse_types(self, table, schema="public"):
        """ClickHouse's type of each column of the view."""
        name = table if schema == "public" else f"{schema}.{table}"
        literal = name.replace("\\", "\\\\").replace("'", "\\'")
        return dict(self.clickhouse_rows("SELECT name, type FROM system.columns WHERE database = currentDatabase() "
                                         f"AND table = '{literal}'"))

    def whole_types(self, table, schema="public"):
        """The same, of a view that has every column of the table: until the agent has made it so, nothing can be compared."""
        types = self.warehouse_types(table, schema)
        missing = [name for name, _ in self.columns(table, schema) if name not in types]
        assert not missing, f"the view of {schema}.{table} has no column {', '.join(missing)} (it has {', '.join(types) or 'none'})"
        return types

    def source_rows(self, table, schema="public"):
        types = self.warehouse_types(table, schema)
        texts = ", ".join(valuetext.postgres_text(kind, quote(name), types.get(name, ""))
                          for name, kind in self.columns(table, schema))
        return self.sql(f"{valuetext.SETTINGS} SELECT {texts} FROM {quote(schema)}.{quote(table)}")

    def warehouse_rows(self, table, schema="public"):
        name = table if schema == "public" else f"{schema}.{table}"
        types = self.whole_types(table, schema)
        texts = ", ".join(valuetext.clickhouse_text(kind, backtick(column), types[column])
                          for column, kind in self.columns(table, schema))
        return [tuple(row) for row in
                self.clickhouse_rows(f"SELECT {texts} FROM {backtick(name)}")]

    def differences(self, table, schema="public"):
        """Rows that only the source has, and rows that only the view has; a row twice in one is a difference too."""
        types = self.whole_types(table, schema)
        columns = [(kind, types[name]) for name, kind in self.columns(table, schema)]

        def count(rows):
            return collections.Counter(
                tuple(valuetext.comparable(value, *column) for value, column in zip(row, columns)) for row in rows)

        source, warehouse = count(self.source_rows(table, schema)), count(self.warehouse_rows(table, schema))
        return list(source - warehouse), list(warehouse - source)

    def assert_equal(self, *tables):
        """Every table's view holds exactly the rows that Postgres holds, each once."""
        for table in tables:
            missing, surplus = self.differences(table)
            if missing or surplus:
                names = [name for name, _ in self.columns(table)]
                pairs = [(row, other) for row in missing for other in surplus if row[0] == other[0]][:3]
                columns = [(row[0], name, a, b) for row, other in pairs for name, a, b in zip(names, row, other) if a != b]
                raise AssertionError(
                    f"{table}: {len(missing)} rows only in Postgres, {len(surplus)} only in the view; first "
                    f"{str(columns[:10] or (missing[:3], surplus[:3]))[:3000]}")

    # ---- Kafka ----

    def produce(self, topic, value, key):
        """One message, byte for byte."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(value)
            file.flush()
            subprocess.run(["kcat", "-b", self.env["KAFKA_BROKERS"], "-t", topic, "-P", "-k", key, file.name], check=True,
                           timeout=30, stdin=subprocess.DEVNULL)

    def consume(self, topic):
        """Every message of a topic as (key, value, headers)."""
        out = subprocess.run(["kcat", "-b", self.env["KAFKA_BROKERS"], "-t", topic, "-C", "-e", "-q", "-J"], check=True,
                             timeout=30, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout
        # Not splitlines(): the bytes of a broken message may be any of the line ends that Unicode knows.
        messages = [json.loads(line.decode(errors="replace")) for line in out.split(b"\n") if line]
        return [(m.get("key"), m.get("payload"), dict(zip(m.get("headers", [])[::2], m.get("headers", [])[1::2])))
                for m in messages]

    def kafka_tool(self, main_class, *arguments):
        """One of Kafka's own command line tools."""
        version = next(line.split("=")[1].strip() for line in (TREE / "tools" / "versions").read_text().splitlines()
                       if line.startswith("KAFKA_VERSION"))
        cache = pathlib.Path(os.environ.get("WALHOUSE_CACHE", pathlib.Path.home() / ".cache" / "walhouse"))
        subprocess.run(["java", "-cp", f"{cache / f'kafka-{version}'}/*", main_class,
                        "--bootstrap-server", self.env["KAFKA_BROKERS"], *arguments], check=True, timeout=60,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    # ---- HTTP ----

    def get(self, url, timeout=10):
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.read().decode()

    def agent(self, path):
        return self.get(self.env["AGENT_URL"].rstrip("/") + path)

    def summary(self):
        return json.loads(self.agent("/api/summary"))

    def storefront(self, path, body=None, timeout=10):
        """Status and JSON of the storefront's answer."""
        request = urllib.request.Request(
            self.env["STOREFRONT_URL"].rstrip("/") + path,
            data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def status(self):
        """The pipeline's row of walhouse.status, by column."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM walhouse.status")
            return dict(zip([c.name for c in cursor.description], cursor.fetchone()))

    def until(self, condition, seconds=30, what="condition"):
        """Polls until condition() is true; an exception of a part that is away counts as false."""
        deadline = time.monotonic() + seconds
        last = None
        while time.monotonic() < deadline:
            try:
                last = condition()
                if last:
                    return last
            except (OSError, psycopg2.Error, AssertionError) as error:
                last = error
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {seconds} s; last: {last!r}")
