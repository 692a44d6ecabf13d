"""What an operator sees of a pipeline that works: counters by table, errors, and never a secret."""

import os
import pathlib
import subprocess

import pytest

from stackctl import Stack


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


def table(stack, name):
    found = stack.sql("SELECT to_jsonb(t) FROM walhouse.tables t WHERE \"table\" = %s", (name,))
    return found[0][0] if found else None


def server_log(stack):
    return (pathlib.Path(stack.directory) / "log" / "postgres.log").read_text(encoding="utf-8", errors="replace")


def restart(stack):
    stack.command("stop", "postgres")
    stack.start("postgres")
    stack.until(lambda: stack.status()["state"] == "streaming", 60, "the pipeline streams")


def test_events_are_counted_by_table_and_kind(stack):
    stack.sql('CREATE TABLE "Counted ""x""" (id int, part text, note text, PRIMARY KEY (part, id))')
    stack.sql('INSERT INTO "Counted ""x""" SELECT g, \'p\', \'n\' FROM generate_series(1, 10) g')
    stack.sql('UPDATE "Counted ""x""" SET note = \'m\' WHERE id <= 3')
    stack.sql('DELETE FROM "Counted ""x""" WHERE id > 8')
    stack.sql('TRUNCATE "Counted ""x"""')
    stack.sql('CREATE TABLE untouched (id int PRIMARY KEY)')
    stack.confirm(30)
    seen = stack.until(lambda: (t := table(stack, 'Counted "x"')) and t["truncates"] == 1 and t, what="the truncate is counted")
    assert (seen["schema"], seen["inserts"], seen["updates"], seen["deletes"], seen["truncates"]) == ("public", 10, 3, 2, 1)
    assert seen["events"] == 16 and seen["bytes"] > 16 * 40
    assert (seen["replica_identity"], seen["key"], seen["schema_versions"]) == ("default", "part, id", 1)
    assert stack.sql("SELECT %s::pg_lsn <= confirmed_flush_lsn FROM walhouse.status", (seen["last_commit_lsn"],)) == [(True,)]
    assert table(stack, "untouched")["events"] == 0
    # A new version of the schema is the same table.
    stack.sql('ALTER TABLE "Counted ""x""" ADD more int; INSERT INTO "Counted ""x""" VALUES (1, \'p\')')
    stack.confirm(30)
    later = stack.until(lambda: (t := table(stack, 'Counted "x"'))["inserts"] == 11 and t, what="the insert is counted")
    assert later["schema_versions"] == 2 and later["schema_fingerprint"] != seen["schema_fingerprint"]
    assert later["schema_fingerprint"] in [key for key, _, _ in stack.consume("shop.__schema")]
    assert later["last_commit_lsn"] != seen["last_commit_lsn"]


def test_partitions_are_those_of_the_pipeline_as_altered(stack):
    stack.sql("SELECT walhouse.alter_pipeline('shop', partitions => 5)")
    stack.sql("CREATE TABLE wide (id int PRIMARY KEY)")
    stack.sql("INSERT INTO wide SELECT generate_series(1, 200)")
    stack.confirm(30)
    out = subprocess.run(["kcat", "-b", stack.env["KAFKA_BROKERS"], "-L", "-t", "shop.public.wide"], check=True, timeout=30,
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout
    assert "with 5 partitions" in out


def test_what_needs_somebody_is_said_with_its_way_out(stack):
    stack.kill("kafka")
    try:
        stack.sql("INSERT INTO wide SELECT generate_series(1001, 1100)")
        stack.until(lambda: stack.status()["state"] == "waiting_for_kafka", 30, "status says that Kafka is away")
        assert "brokers" in stack.status()["what_to_do"]
        assert stack.sql("SELECT count(*) FROM walhouse.errors WHERE kind = 'kafka'")[0][0] >= 1
    finally:
        stack.start("kafka")
    stack.until(lambda: stack.status()["state"] == "streaming", 60, "events flow again")
    assert stack.status()["what_to_do"] is None
    stack.sql("SELECT walhouse.alter_pipeline('shop', brokers => '127.0.0.1:1')")
    stack.until(lambda: stack.status()["state"] == "waiting_for_kafka", 30, "the wrong brokers do not answer")
    stack.sql("SELECT walhouse.alter_pipeline('shop', brokers => %s)", (stack.env["KAFKA_BROKERS"],))
    stack.until(lambda: stack.status()["state"] == "streaming", 60, "the right ones do")
    stack.confirm(30)


def test_secrets_are_in_no_catalog_view_log_or_command_line(stack):
    secret = "hush-94b1"
    properties = pathlib.Path(stack.directory) / "postgres" / "kafka.properties"
    properties.write_text(f"sasl.password={secret}\ncompression.level={secret}\n", encoding="utf-8")
    properties.chmod(0o644)
    stack.sql("SELECT walhouse.alter_pipeline('shop', properties_file => %s)", (str(properties),))
    stack.until(lambda: "compression.level" in (stack.status()["last_error"] or ""), what="the wrong value is said")
    # The file is read again when it changes; a reload says so.
    properties.write_text(f"sasl.password={secret}\nthis line is none: {secret}\n", encoding="utf-8")
    stack.sql("SELECT pg_reload_conf()")
    stack.until(lambda: "name=value" in (stack.status()["last_error"] or ""), what="the wrong line is said")
    properties.write_text(f"sasl.password={secret}\n", encoding="utf-8")
    stack.sql("SELECT pg_reload_conf()")
    stack.until(lambda: stack.status()["state"] == "streaming", 60, "the pipeline streams")
    publisher = stack.status()["publisher_pid"]
    command_line = pathlib.Path(f"/proc/{publisher}/cmdline").read_bytes().decode().split("\0")
    environment = pathlib.Path(f"/proc/{publisher}/environ").read_bytes().decode().split("\0")
    assert not [word for word in command_line if "host=" in word or "user=" in word]
    assert [word for word in environment if word.startswith("WALHOUSE_CONNINFO=host='")]
    assert os.stat(f"/proc/{publisher}/environ").st_mode & 0o077 == 0
    everything = "\n".join(str(stack.sql(f"SELECT * FROM walhouse.{name}")) for name in ("pipeline", "status", "tables", "errors"))
    assert secret not in everything
    assert secret not in server_log(stack)
    stack.sql("SELECT walhouse.alter_pipeline('shop', properties_file => '')")
    stack.until(lambda: stack.status()["state"] == "streaming", 60, "the pipeline streams")


def test_the_log_warns_of_much_wal_and_says_when_it_is_over(stack):
    stack.sql("ALTER SYSTEM SET walhouse.retained_wal_warning = 1")
    stack.sql("SELECT pg_reload_conf()")
    stack.sql("SELECT walhouse.pause('shop')")
    stack.sql("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000)) FROM generate_series(1, 3)")
    stack.until(lambda: 'the slot of pipeline "shop" keeps' in server_log(stack), 40, "the log warns")
    assert "walhouse.resume('shop')" in stack.status()["what_to_do"]
    stack.sql("SELECT walhouse.resume('shop')")
    # The slot lets go of WAL when it sees a later point from which it could begin.
    def is_over():
        stack.sql("CHECKPOINT")
        return "does not keep much WAL any more" in server_log(stack)

    stack.until(is_over, 60, "the log says that it is over")
    stack.sql("ALTER SYSTEM RESET walhouse.retained_wal_warning")
    stack.sql("SELECT pg_reload_conf()")


def test_tables_without_a_place_are_counted_by_number(stack):
    stack.sql("ALTER SYSTEM SET walhouse.max_tables = 1")
    restart(stack)
    stack.sql("CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one VALUES (1);"
              "CREATE TABLE two (id int PRIMARY KEY); INSERT INTO two VALUES (1);"
              "CREATE TABLE three (id int PRIMARY KEY); INSERT INTO three VALUES (1)")
    stack.confirm(30)
    stack.until(lambda: stack.status()["tables_uncounted"] == 2, what="two tables have no place")
    assert stack.sql("SELECT count(*) FROM walhouse.tables WHERE events > 0") == [(1,)]
    stack.sql("ALTER SYSTEM RESET walhouse.max_tables")
