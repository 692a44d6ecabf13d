"""Every type of Postgres's, from a table there to a view in the warehouse, compared row by row."""

import contextlib

import pytest

from stackctl import Stack

EXTENSIONS = ("hstore", "citext", "cube", "seg", "ltree", "isn")

# Type and values; all of them are in the range of their ClickHouse type.
VALUES = {
    "bool": ["true", "false"],
    "int2": ["-32768", "0", "32767"],
    "int4": ["-2147483648", "0", "2147483647"],
    "int8": ["-9223372036854775808", "0", "9223372036854775807"],
    "float4": ["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1"],
    "float8": ["NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1"],
    "numeric": ["NaN", "Infinity", "-Infinity", "0", "1.10", "-0.00", "1e-50", "12345678901234567890123456789012345678901234567890"],
    "numeric(9,2)": ["0", "-9999999.99", "9999999.99", "0.01"],
    "numeric(18,6)": ["-999999999999.999999", "0.000001"],
    "numeric(38,10)": ["-9999999999999999999999999999.9999999999", "0.0000000001"],
    "numeric(76,38)": ["-" + "9" * 38 + "." + "9" * 38, "0." + "0" * 37 + "1"],
    "numeric(1000,2)": ["9" * 998 + ".99", "-0.01", "NaN"],
    "numeric(5,-2)": ["-9999900", "100", "0"],
    "numeric(3,5)": ["-0.00999", "0.00001", "0"],
    "numeric(75,-5)": ["9" * 75 + "00000"],
    "numeric(1,80)": ["0." + "0" * 79 + "9"],
    "money": ["-92233720368547758.08", "92233720368547758.07", "0", "0.01", "-1234.5"],
    "text": ["", "plain", "häßlich 東京 🐘", "tab\tquote\"'back\\slash\nline\r\x01", "x" * 3000, "{}", "NULL"],
    "varchar(20)": ["", "ä" * 20],
    "char(5)": ["", "ab", "abcde"],
    "name": ["", "a name", "x" * 63],
    "citext": ["", "MiXeD"],
    '"char"': ["", "a", "\\"],
    "bytea": ["\\x", "\\x00ff80", "\\x6162", "\\xc3a4"],
    "bit(5)": ["00000", "10101"],
    "varbit": ["", "1", "1010101010"],
    "date": ["1900-01-01", "1969-12-31", "2024-02-29", "2299-12-31"],
    "time": ["00:00:00", "04:05:06.789", "23:59:59.999999", "24:00:00"],
    "time(2)": ["04:05:06.78"],
    "timetz": ["00:00:00+15:59", "24:00:00-15:59", "04:05:06.789+02"],
    "timestamp": ["1900-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2299-12-31 23:59:59.999999"],
    "timestamptz": ["1900-01-01 00:00:00+00", "2024-06-01 12:00:00.000001+05:30", "2299-12-31 23:59:59.999999+00"],
    "interval": ["0", "1 year -2 mons +3 days 04:05:06.789", "-178000000 years", "@ 1 mon ago", "00:00:00.000001"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ["{}", "{\"b\":  1, \"b\": 1e400, \"a\" : [null]}", "null", "\"\\u0000\""],
    "jsonb": ["{}", "{\"b\": 1, \"a\": [null, 1.10, 1e400]}", "null", "\"x\""],
    "jsonpath": ["$.\"a\"[*]?(@ > 1)"],
    "xml": ["<a>ü</a>", "<?xml version=\"1.0\" encoding=\"latin1\"?><a/>", "text <b/>"],
    "inet": ["10.0.0.1", "10.0.0.1/8", "::1", "2001:db8::1/64", "::ffff:1.2.3.4"],
    "cidr": ["10.0.0.0/8", "2001:db8::/32"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(1,-0.1)", "(NaN,Infinity)"],
    "line": ["{1,-1,0}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["((0,0),(1,1))", "[(0,0),(1,1)]"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(0,0),1e-30>"],
    "tsvector": ["", "'a':1A 'it''s':2 'ü':3,4B"],
    "tsquery": ["", "'a' & !'b':*A <2> 'c'"],
    "pg_lsn": ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"],
    "pg_snapshot": ["10:20:10,14,15"],
    "oid": ["0", "4294967295"],
    "xid": ["3", "4294967295"],
    "cid": ["0", "4294967295"],
    "xid8": ["0", "18446744073709551615"],
    "tid": ["(0,1)", "(4294967295,65535)"],
    "regclass": ["pg_catalog.pg_class", "public.anchor", "0", "4294967295"],
    "regtype": ["integer", "public.mood", "character varying"],
    "regproc": ["pg_catalog.now", "4294967295"],
    "regprocedure": ["pg_catalog.abs(integer)"],
    "regoper": ["pg_catalog.||/"],
    "regoperator": ["pg_catalog.+(integer,integer)"],
    "regrole": ["postgres"],
    "regnamespace": ["pg_catalog", "public"],
    "regconfig": ["english"],
    "regdictionary": ["simple"],
    "regcollation": ["\"C\""],
    "int2vector": ["", "1 2 3"],
    "oidvector": ["1 2 3"],
    "aclitem": ["postgres=r/postgres"],
    "refcursor": ["c1"],
    "int4range": ["empty", "[1,5)", "(,)", "[5,)"],
    "int8range": ["[1,5)"],
    "numrange": ["[1.10,2.20)", "(,NaN)"],
    "daterange": ["[2024-01-01,infinity)", "[4713-01-01 BC,2024-01-01)"],
    "tsrange": ["[2024-01-01 00:00:00,2024-01-02 00:00:00)"],
    "tstzrange": ["[2024-01-01 00:00:00+02,infinity]"],
    "int4multirange": ["{}", "{[1,2),[5,8)}"],
    "datemultirange": ["{[2024-01-01,2024-02-01),[2025-01-01,)}"],
    "mood": ["calm", "not so \"calm\", 'is it'", "ärgerlich"],
    "positive": ["1", "9999999.125"],
    "words": ["{}", "{a,NULL,\"b c\"}"],
    "pair": ["(1,\"a b\")", "(,)", "(2,\"q\"\"u'o\\\\te,\")"],
    "nested": ["(\"(1,x)\",\"{1,2}\")"],
    "moodrange": ["[calm,ärgerlich]"],
    "hstore": ["", "\"a\"=>\"1\", \"b\"=>NULL, \"q\"=>\"\\\"x\\\\\""],
    "cube": ["(1, 2),(3, 4)"],
    "seg": ["1.0 .. 2.50", "~6.50"],
    "ltree": ["a.b.c"],
    "isbn13": ["978-0-393-04002-9"],
}
NO_ARRAYS = {"words"}  # an array of a domain over an array has a test of its own
NOT_IN_ARRAYS = {"pg_snapshot"}
NO_KEY = {"xml", "json", "jsonpath", "point", "line", "lseg", "box", "path", "polygon", "circle", "xid", "cid", "aclitem", "refcursor",
          "pg_snapshot", "int2vector"}

# Settings of a database that would change how values are printed.
HOSTILE = {
    "DateStyle": "German, DMY", "IntervalStyle": "iso_8601", "TimeZone": "Asia/Tokyo", "extra_float_digits": "-15",
    "bytea_output": "escape", "lc_monetary": "C.UTF-8", "xmloption": "document", "xmlbinary": "hex",
    "quote_all_identifiers": "on", "search_path": "public, pg_catalog", "lc_numeric": "C.UTF-8", "lc_time": "C.UTF-8",
    "client_encoding": "LATIN1", "standard_conforming_strings": "off", "array_nulls": "off", "default_text_search_config": "german",
}


def literal(text, kind):
    return "'" + text.replace("'", "''") + "'::" + kind


def column(kind):
    return "c_" + "".join(c if c.isalnum() else "_" for c in kind)


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        for extension in EXTENSIONS:
            running.sql(f"CREATE EXTENSION {extension}")
        running.sql("CREATE TABLE anchor (id int PRIMARY KEY)")
        running.sql("INSERT INTO anchor VALUES (1)")
        # Of a pipeline's first table the agent hears a moment after its rows are in Kafka.
        running.until(lambda: running.warehouse_types("anchor"), 30, "the first table's view")
        running.sql("CREATE TYPE mood AS ENUM ('calm', 'not so \"calm\", ''is it''', 'ärgerlich')")
        running.sql("CREATE TYPE moodrange AS RANGE (subtype = mood)")
        running.sql("CREATE DOMAIN positive AS numeric(10,3) CHECK (value > 0)")
        running.sql("CREATE DOMAIN words AS text[]")
        running.sql("CREATE TYPE pair AS (number int, word text)")
        running.sql("CREATE TYPE nested AS (inner_pair pair, numbers int[])")
        yield running


def run(stack, *statements):
    """Each in a transaction of its own."""
    with contextlib.closing(stack.connect()) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def count(stack, table):
    return int(stack.clickhouse(f"SELECT count() FROM {table}"))


def create_scalars(stack, table):
    stack.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, {', '.join(f'{column(kind)} {kind}' for kind in VALUES)})")


def insert_scalars(stack, table):
    stack.sql(f"INSERT INTO {table} (id) VALUES (0)")
    for i in range(max(map(len, VALUES.values()))):
        values = ", ".join(literal(values[i % len(values)], kind) for kind, values in VALUES.items())
        stack.sql(f"INSERT INTO {table} VALUES ({i + 1}, {values})")


def test_every_type_as_a_column(stack):
    create_scalars(stack, "scalars")
    insert_scalars(stack, "scalars")
    stack.wait(60)
    stack.assert_equal("scalars")
    assert count(stack, "scalars") == max(map(len, VALUES.values())) + 1
    # The exact text where a number has none of its own.
    assert stack.clickhouse("SELECT groupArray(c_numeric) FROM (SELECT c_numeric FROM scalars WHERE id BETWEEN 1 AND 6 ORDER BY id)") == (
        "['NaN','Infinity','-Infinity','0','1.10','0.00']\n")


def test_types_of_the_warehouse(stack):
    types = stack.warehouse_types("scalars")
    assert types["id"] == "Int32"
    expected = {"bool": "Bool", "int8": "Int64", "float4": "Float32", "numeric(9,2)": "Decimal(9, 2)", "numeric(5,-2)": "Decimal(7, 0)",
                "numeric(3,5)": "Decimal(5, 5)", "numeric(75,-5)": "String", "numeric": "String", "money": "Decimal(19, 2)",
                "date": "Date32", "timestamp": "DateTime64(6, 'UTC')", "timestamptz": "DateTime64(6, 'UTC')", "uuid": "UUID",
                "oid": "UInt32", "xid8": "UInt64", "pg_lsn": "UInt64", "positive": "Decimal(10, 3)", "mood": "String", "bytea": "String",
                "inet": "String", "time": "String", "regclass": "String", "hstore": "String"}
    assert {kind: types[column(kind)] for kind in expected} == {kind: f"Nullable({name})" for kind, name in expected.items()}
    assert types["c_words"] == "Variant(Array(Nullable(String)), String)"


def arrays_of(kind, values):
    """NULL, empty, one dimension with NULLs; then what an Array has no place for."""
    items = [literal(value, kind) for value in values]
    plain = ["'{}'", f"ARRAY[{', '.join(items)}]", f"ARRAY[NULL, {items[0]}, NULL]", "ARRAY[NULL]"]
    odd = [f"ARRAY[[{items[0]}, NULL], [{items[-1]}, {items[0]}]]", f"array_fill({items[-1]}, ARRAY[2], ARRAY[3])",
           f"array_fill({items[0]}, ARRAY[1, 1, 2], ARRAY[0, 1, -5])"]
    return [f"({item})::{kind}[]" for item in plain], [f"({item})::{kind}[]" for item in odd]


def array_kinds():
    return {kind: values for kind, values in VALUES.items() if kind not in NO_ARRAYS | NOT_IN_ARRAYS}


def insert_arrays(stack, table, rows):
    for number, row in enumerate(rows):
        stack.sql(f"INSERT INTO {table} VALUES ({number + 1}, {', '.join(row)})")


def test_arrays_of_every_type(stack):
    kinds = array_kinds()
    stack.sql(f"CREATE TABLE arrays (id int PRIMARY KEY, {', '.join(f'{column(kind)} {kind}[]' for kind in kinds)})")
    stack.sql("INSERT INTO arrays (id) VALUES (0)")
    insert_arrays(stack, "arrays", zip(*[sum(arrays_of(*kind), []) for kind in kinds.items()]))
    stack.wait(60)
    stack.assert_equal("arrays")
    assert count(stack, "arrays") == 8
    # NULL, empty, and the two as what they are.
    assert stack.clickhouse_rows("SELECT id, isNull(c_int4), variantType(c_int4), c_int4.`Array(Nullable(Int32))` FROM arrays "
                                 "WHERE id IN (0, 1, 2, 3, 5, 6) ORDER BY id") == [
        [0, 1, "None", []], [1, 0, "Array(Nullable(Int32))", []],
        [2, 0, "Array(Nullable(Int32))", [-2147483648, 0, 2147483647]], [3, 0, "Array(Nullable(Int32))", [None, -2147483648, None]],
        [5, 0, "String", []], [6, 0, "String", []]]
    assert stack.clickhouse("SELECT c_int4.String FROM arrays WHERE id = 6") == "[3:4]={2147483647,2147483647}\n"
    assert stack.clickhouse("SELECT id FROM arrays WHERE has(c_int4.`Array(Nullable(Int32))`, 0)") == "2\n"
    # Merged parts are still the same.
    stack.sql("UPDATE arrays SET c_int4 = CASE WHEN id = 0 THEN '{}'::int[] END WHERE id < 2")
    stack.wait(60)
    stack.clickhouse("OPTIMIZE TABLE _arrays FINAL")
    stack.assert_equal("arrays")


def test_arrays_that_are_not_null(stack):
    kinds = array_kinds()
    stack.sql("CREATE TABLE plain_arrays (id int PRIMARY KEY, "
              f"{', '.join(f'{column(kind)} {kind}[] NOT NULL' for kind in kinds)}, deep int[][] NOT NULL DEFAULT '{{{{1,2}},{{3,4}}}}')")
    rows = list(zip(*[arrays_of(*kind)[0] for kind in kinds.items()]))
    insert_arrays(stack, "plain_arrays", rows)
    stack.wait(60)
    stack.assert_equal("plain_arrays")
    assert count(stack, "plain_arrays") == len(rows)
    types = stack.warehouse_types("plain_arrays")
    assert (types["c_int4"], types["deep"]) == ("Array(Nullable(Int32))", "Variant(Array(Nullable(Int32)), String)")
    assert types["c_numeric_9_2_"] == "Array(Nullable(Decimal(9, 2)))"
    assert stack.clickhouse("SELECT id FROM plain_arrays WHERE has(c_text, '') ORDER BY id") == "2\n3\n"


def test_domains_over_arrays_and_arrays_of_domains(stack):
    stack.sql("CREATE TABLE domains (id int PRIMARY KEY, w words, ws words[], ps positive[], wn words NOT NULL)")
    stack.sql("""INSERT INTO domains VALUES (1, NULL, NULL, NULL, '{}'), (2, '{}', '{}', '{}', '{a}'),
        (3, '{a,NULL}', '{"{x,\\"y z\\"}",NULL,"{}"}', '{1.5,NULL}', '{b,NULL}'), (4, '{{a,b},{c,d}}', NULL, '[0:1]={1,2}', '{}')""")
    stack.wait(60)
    stack.assert_equal("domains")
    assert stack.clickhouse("SELECT ws.`Array(Nullable(String))` FROM domains WHERE id = 3") == "['{x,\"y z\"}',NULL,'{}']\n"


def test_values_out_of_array_elements_range(stack):
    """A nullable array with an element that its type cannot hold is the text of the whole."""
    stack.sql("CREATE TABLE edges (id int PRIMARY KEY, d date[], t timestamptz[], n numeric(9,2)[])")
    stack.sql("INSERT INTO edges VALUES (1, '{infinity,2024-01-01}', '{2300-01-01 00:00:00+00}', '{NaN,1}'), "
              "(2, '{2024-01-01,NULL}', '{}', '{1.10,NULL}'), (3, '{4713-01-01 BC}', '{-infinity,NULL}', '{NaN}')")
    stack.wait(60)
    stack.assert_equal("edges")
    assert stack.clickhouse("SELECT d.String FROM edges WHERE id = 1") == "{infinity,2024-01-01}\n"


def test_keys_of_every_type(stack):
    tables = []
    for kind, values in VALUES.items():
        if kind in NO_KEY:
            continue
        table = "k" + column(kind)[1:]
        tables.append(table)
        run(stack, f"CREATE TABLE {table} (k {kind} PRIMARY KEY, v int)",
            *[f"INSERT INTO {table} VALUES ({literal(value, kind)}, 1) ON CONFLICT DO NOTHING" for value in values],
            f"UPDATE {table} SET v = 2", f"DELETE FROM {table} WHERE k = {literal(values[-1], kind)}")
    stack.wait(120)
    stack.assert_equal(*tables)
    assert sum(count(stack, table) for table in tables) > 100
    assert stack.warehouse_types("k_regclass")["k"] == "UInt32"
    assert stack.warehouse_types("k_words")["k"] == "String"


def test_a_key_survives_the_renaming_of_what_it_names(stack):
    stack.sql("CREATE TABLE renamed_later (id int PRIMARY KEY)")
    stack.sql("CREATE TABLE notes (k regclass PRIMARY KEY, v regclass)")
    stack.sql("INSERT INTO notes VALUES ('renamed_later', 'renamed_later'), ('pg_class', 'pg_class')")
    stack.sql("ALTER TABLE renamed_later RENAME TO renamed")
    stack.sql("DELETE FROM notes WHERE k = 'renamed'::regclass")
    stack.wait(60)
    assert count(stack, "notes") == 1


def test_keys_that_are_equal_to_one_side_only(stack):
    """What Postgres and ClickHouse take for one key, or only one of them does: delete and insert end with the insert."""
    stack.sql("CREATE TABLE k_zero (k float8 PRIMARY KEY, v int)")
    stack.sql("CREATE TABLE k_free (k numeric PRIMARY KEY, v int)")
    stack.sql("CREATE TABLE k_two (k numeric(10,2), f float4, v int, PRIMARY KEY (k, f))")
    stack.sql("CREATE TABLE k_ci (k citext PRIMARY KEY, v int)")
    stack.sql("INSERT INTO k_zero VALUES ('-0', 1), ('NaN', 1), (1, 1)")
    stack.sql("INSERT INTO k_free VALUES (1.0, 1), (2, 1), ('NaN', 1)")
    stack.sql("INSERT INTO k_two VALUES (1.0, '-0', 1), (2, 0, 1)")
    stack.sql("INSERT INTO k_ci VALUES ('Abc', 1), ('x', 1)")
    stack.wait(60)
    stack.sql("UPDATE k_zero SET k = 0, v = 2 WHERE k = 0")
    stack.sql("UPDATE k_free SET k = 1.00, v = 2 WHERE k = 1")
    stack.sql("UPDATE k_two SET k = 1.00, f = 0, v = 2 WHERE k = 1")
    stack.sql("UPDATE k_ci SET k = 'aBC', v = 2 WHERE k = 'abc'")
    stack.sql("BEGIN; DELETE FROM k_zero WHERE k = 'NaN'; INSERT INTO k_zero VALUES ('NaN', 3); COMMIT")
    stack.sql("BEGIN; DELETE FROM k_two WHERE k = 2; INSERT INTO k_two VALUES (2.00, '-0', 3); COMMIT")
    stack.sql("BEGIN; DELETE FROM k_free WHERE k = 2; INSERT INTO k_free VALUES (2.000, 3); DELETE FROM k_free WHERE k = 2; "
              "INSERT INTO k_free VALUES (2, 4); COMMIT")
    stack.wait(60)
    stack.assert_equal("k_zero", "k_free", "k_two", "k_ci")
    # Minus zero became zero: one key to ClickHouse, of which the insert is the newest version.
    assert stack.clickhouse("SELECT toString(k), v FROM k_zero WHERE k = 0") == "0\t2\n"
    stack.sql("DELETE FROM k_zero WHERE k = '-0'")
    stack.sql("DELETE FROM k_free WHERE k = 1")
    stack.wait(60)
    stack.assert_equal("k_zero", "k_free")


def test_enums_of_their_own_transaction(stack):
    # From 17 on a value added to a type of the same transaction can be used in it.
    create = ("CREATE TYPE fresh AS ENUM ('one', 'two')" if int(stack.sql("SHOW server_version_num")[0][0]) < 170000 else
              "CREATE TYPE fresh AS ENUM ('one'); ALTER TYPE fresh ADD VALUE 'two' AFTER 'one'")
    stack.sql(f"BEGIN; {create}; "
              "CREATE TABLE enums (id int PRIMARY KEY, e fresh, es fresh[]); INSERT INTO enums VALUES (1, 'one', '{two,one}'), (2, 'two', NULL); "
              "ALTER TYPE fresh RENAME VALUE 'two' TO 'deux'; INSERT INTO enums VALUES (3, 'deux', '{deux}'); "
              "ALTER TYPE fresh RENAME VALUE 'deux' TO 'two'; COMMIT")
    stack.sql("ALTER TYPE fresh ADD VALUE 'three'")
    stack.sql("INSERT INTO enums VALUES (4, 'three', '{one,three}')")
    stack.wait(60)
    # A row holds the label that it had when it was written, or the newest one when a snapshot has passed since.
    assert stack.clickhouse("SELECT id, e = 'deux' ? 'two' : e FROM enums ORDER BY id") == "1\tone\n2\ttwo\n3\ttwo\n4\tthree\n"
    stack.sql("UPDATE enums SET id = id")
    stack.wait(60)
    stack.assert_equal("enums")


def test_a_composite_that_changes(stack):
    stack.sql("CREATE TYPE shape AS (a int, b text)")
    stack.sql("CREATE TABLE shapes (id int PRIMARY KEY, s shape, ss shape[])")
    stack.sql("INSERT INTO shapes VALUES (1, '(1,x)', ARRAY['(1,x)'::shape])")
    stack.sql("ALTER TYPE shape ADD ATTRIBUTE c date")
    stack.sql("INSERT INTO shapes VALUES (2, '(2,y,2024-01-01)', ARRAY['(2,y,2024-01-01)'::shape, NULL])")
    stack.sql("UPDATE shapes SET id = 3 WHERE id = 1")
    stack.wait(60)
    stack.assert_equal("shapes")


def test_large_values(stack):
    """Long arrays, texts and numerics, stored out of line and compressed."""
    stack.sql("CREATE TABLE large (id int PRIMARY KEY, a int[], t text[], n numeric, j jsonb, b bytea)")
    stack.sql("INSERT INTO large SELECT g, ARRAY(SELECT generate_series(1, 5000)), ARRAY(SELECT md5(i::text) FROM generate_series(1, 1000) i), "
              "repeat('9', 20000)::numeric, jsonb_build_object('k', repeat('v', 300000)), decode(repeat('00ff', 200000), 'hex') "
              "FROM generate_series(1, 3) g")
    stack.wait(60)
    stack.assert_equal("large")


def test_snapshots_of_every_type(stack):
    """A snapshot encodes as decoding does: rows that the warehouse lost come back as they were."""
    keys = ("bool", "int8", "float8", "numeric", "numeric(9,2)", "text", "char(5)", "citext", "bytea", "timestamptz", "interval", "uuid", "inet",
            "regclass", "words", "mood", "pair", "int4range", "jsonb")
    tables = ["scalars", "arrays", "plain_arrays", *["k" + column(kind)[1:] for kind in keys]]
    counts = {table: count(stack, table) for table in tables}
    for table in tables:
        stack.clickhouse(f"ALTER TABLE _{table} DELETE WHERE 1", mutations_sync=1)
        assert count(stack, table) == 0
        stack.sql("SELECT walhouse.snapshot(%s, %s::regclass)", (stack.env["PIPELINE"], table))
    stack.until(lambda: stack.sql("SELECT count(*) FROM walhouse.snapshot_status WHERE state NOT IN ('done', 'failed')") == [(0,)], 90,
                "every snapshot ends")
    assert stack.sql("SELECT \"table\", error FROM walhouse.snapshot_status WHERE state = 'failed'") == []
    stack.wait(60)
    assert {table: count(stack, table) for table in tables} == counts
    stack.assert_equal(*tables)


def restart_publisher(stack, restart=None):
    # Not the whole status: the client library cannot read an interval under every IntervalStyle.
    query = "SELECT publisher_pid, state FROM walhouse.status"
    before = stack.sql(query)[0][0]
    restart() if restart else stack.kill("publisher")
    stack.until(lambda: stack.sql(query)[0][0] not in (None, 0, before) and stack.sql(query)[0][1] == "streaming", 30, "a new publisher")


def set_policy(stack, policy):
    restart_publisher(stack, lambda: stack.sql("SELECT walhouse.alter_pipeline(%s, out_of_range => %s)", (stack.env["PIPELINE"], policy)))


def adjusted(stack):
    line = next(line for line in stack.agent("/metrics").splitlines() if line.startswith("walhouse_agent_rows_adjusted_total "))
    return int(line.split()[1])


OUT_OF_RANGE = """
    (1, 'infinity', '-infinity', 'infinity', 'NaN', '{2024-01-01}'),
    (2, '4713-01-01 BC', '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', 1.10, '{infinity,2024-01-01,NULL}'),
    (3, '2300-01-01', '1899-12-31 23:59:59.999999', '2300-01-01 00:00:00+00', NULL, '{-infinity}'),
    (4, '2024-01-01', '2024-01-01', '2024-01-01', 0, '{}')"""
COLUMNS = "(id int PRIMARY KEY, d date, ts timestamp, tz timestamptz, n numeric(9,2), ds date[] NOT NULL)"


def letters(stack, table):
    return sorted(headers["walhouse.error"] for _, _, headers in stack.consume(f"{stack.env['TOPIC_PREFIX']}.__dlq")
                  if headers["walhouse.topic"].endswith("." + table) and headers["walhouse.reason"] == "value_out_of_range")


def test_out_of_range_dead_letters(stack):
    stack.sql(f"CREATE TABLE range_dlq {COLUMNS}")
    stack.sql(f"INSERT INTO range_dlq VALUES {OUT_OF_RANGE}")
    stack.wait(60)
    assert stack.clickhouse("SELECT id FROM range_dlq") == "4\n"
    found = letters(stack, "range_dlq")
    assert len(found) == 3, found
    assert "column d: Date32 cannot hold infinity" in found


def test_out_of_range_null(stack):
    set_policy(stack, "null")
    before = adjusted(stack)
    stack.sql(f"CREATE TABLE range_null {COLUMNS}")
    stack.sql(f"INSERT INTO range_null VALUES {OUT_OF_RANGE}")
    # Where there is no NULL, and in keys, a dead letter remains.
    stack.sql("CREATE TABLE range_null_strict (k date, id int, d date NOT NULL, x int[] NOT NULL, PRIMARY KEY (k, id))")
    stack.sql("INSERT INTO range_null_strict VALUES ('infinity', 1, '2024-01-01', '{}'), ('2024-01-01', 2, 'infinity', '{}'), "
              "('2024-01-01', 3, '2024-01-01', '{{1}}'), ('2024-01-01', 4, '2024-01-01', '{1}')")
    stack.wait(60)
    assert stack.clickhouse("SELECT * EXCEPT (_version, _commit_time, _loaded_time) FROM range_null ORDER BY id") == (
        "1\t\\N\t\\N\t\\N\t\\N\t['2024-01-01']\n"
        "2\t\\N\t\\N\t\\N\t1.1\t[NULL,'2024-01-01',NULL]\n"
        "3\t\\N\t\\N\t\\N\t\\N\t[NULL]\n"
        "4\t2024-01-01\t2024-01-01 00:00:00.000000\t2024-01-01 00:00:00.000000\t0\t[]\n")
    assert adjusted(stack) - before == 3
    assert letters(stack, "range_null") == []
    assert stack.clickhouse("SELECT id FROM range_null_strict") == "4\n"
    assert len(letters(stack, "range_null_strict")) == 3


def test_out_of_range_clamp(stack):
    set_policy(stack, "clamp")
    before = adjusted(stack)
    stack.sql(f"CREATE TABLE range_clamp {COLUMNS}")
    stack.sql(f"INSERT INTO range_clamp VALUES {OUT_OF_RANGE}")
    stack.sql("CREATE TABLE range_clamp_strict (k date, id int, d date NOT NULL, n numeric(5,2) NOT NULL, PRIMARY KEY (k, id))")
    stack.sql("INSERT INTO range_clamp_strict VALUES ('infinity', 1, '2024-01-01', 0), ('2024-01-01', 2, 'infinity', 0), "
              "('2024-01-01', 3, '2024-01-01', 'NaN'), ('2024-01-01', 4, '2024-01-01', 1)")
    stack.wait(60)
    first, last = "1900-01-01 00:00:00.000000", "2299-12-31 23:59:59.999999"
    assert stack.clickhouse("SELECT * EXCEPT (_version, _commit_time, _loaded_time) FROM range_clamp ORDER BY id") == (
        f"1\t2299-12-31\t{first}\t{last}\t\\N\t['2024-01-01']\n"
        f"2\t1900-01-01\t{last}\t{first}\t1.1\t['2299-12-31','2024-01-01',NULL]\n"
        f"3\t2299-12-31\t{first}\t{last}\t\\N\t['1900-01-01']\n"
        "4\t2024-01-01\t2024-01-01 00:00:00.000000\t2024-01-01 00:00:00.000000\t0\t[]\n")
    assert adjusted(stack) - before == 4
    assert stack.clickhouse("SELECT id, d FROM range_clamp_strict ORDER BY id") == "2\t2299-12-31\n4\t2024-01-01\n"
    assert len(letters(stack, "range_clamp_strict")) == 2
    set_policy(stack, "dlq")


def test_settings_of_roles_and_databases_change_no_byte(stack):
    """The same rows before and after settings that would print them otherwise."""
    for name, value in HOSTILE.items():
        target = "DATABASE shop" if len(name) % 2 else "ROLE postgres"
        stack.sql(f"ALTER {target} SET {name} = {'public, pg_catalog' if name == 'search_path' else literal(value, 'text').split('::')[0]}")
    restart_publisher(stack)
    # The client library sets DateStyle itself.
    assert stack.sql("SELECT current_setting('IntervalStyle'), current_setting('extra_float_digits'), current_setting('TimeZone')") == [
        ("iso_8601", "-15", "Asia/Tokyo")]
    stack.sql("CREATE TABLE hostile (LIKE scalars)")
    stack.sql("ALTER TABLE hostile ADD PRIMARY KEY (id)")
    stack.sql("CREATE TABLE hostile_arrays (LIKE arrays)")
    stack.sql("ALTER TABLE hostile_arrays ADD PRIMARY KEY (id)")
    stack.sql("INSERT INTO hostile SELECT * FROM scalars")
    stack.sql("INSERT INTO hostile_arrays SELECT * FROM arrays")
    stack.wait(60)
    for name in HOSTILE:
        stack.sql(f"ALTER DATABASE shop RESET {name}")
        stack.sql(f"ALTER ROLE postgres RESET {name}")
    for table, other in (("scalars", "hostile"), ("arrays", "hostile_arrays")):
        columns = ", ".join(f"hex(toString({name}))" for name, _ in stack.columns(table))
        rows = stack.clickhouse(f"SELECT {columns} FROM {table} ORDER BY id")
        assert rows == stack.clickhouse(f"SELECT {columns} FROM {other} ORDER BY id")
        assert rows.count("\n") == count(stack, table)
    stack.assert_equal("hostile", "hostile_arrays")
