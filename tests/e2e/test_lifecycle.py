"""The extension's own life: dumped, restored beside the original and on another server, taken along by pg_upgrade, dropped."""

import contextlib
import os
import pathlib
import shutil
import subprocess

import psycopg2
import pytest

from stackctl import TREE, Stack

PG_BIN = pathlib.Path(subprocess.run(
    [os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config"), "--bindir"], check=True, stdout=subprocess.PIPE,
    text=True).stdout.strip())


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        running.sql("CREATE TABLE goods (id int PRIMARY KEY, name text); INSERT INTO goods VALUES (1, 'one')")
        running.confirm()
        yield running


@pytest.fixture(scope="module")
def dump(stack):
    return run(stack, "pg_dump")


def run(stack, program, *arguments, text=None, database=None):
    """One of Postgres's own programs, on this stack's server."""
    result = subprocess.run(
        [str(PG_BIN / program), "-h", stack.env["PGHOST"], "-p", stack.env["PGPORT"], "-U", stack.env["PGUSER"], *arguments],
        input=text, env={**os.environ, "PGDATABASE": database or "shop"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def restore(stack, dump, database):
    run(stack, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", text=dump, database=database)


def sql_in(stack, database, statement):
    with contextlib.closing(psycopg2.connect(host=stack.env["PGHOST"], port=stack.env["PGPORT"], user=stack.env["PGUSER"],
                                             dbname=database)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def messages(stack, topic):
    return subprocess.run(["kcat", "-b", stack.env["KAFKA_BROKERS"], "-C", "-t", topic, "-e", "-q", "-f", "%o\n"], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60).stdout.count("\n")


def test_a_copy_beside_the_original_is_paused_and_harmless(stack, dump):
    """A second database of the same server: its pipeline names a slot that is the first one's."""
    sql_in(stack, "postgres", "CREATE DATABASE copy")
    restore(stack, dump, "copy")
    assert sql_in(stack, "copy", "SELECT name, enabled FROM walhouse.pipeline") == [("shop", False)]
    assert sql_in(stack, "copy", "SELECT state, publisher_pid, wal_status FROM walhouse.status") == [("paused", None, None)]
    [(error, advice)] = sql_in(stack, "copy", "SELECT last_error, what_to_do FROM walhouse.status")
    assert "does not exist in this database" in error and "SELECT walhouse.drop_pipeline('shop');" in advice
    assert sql_in(stack, "copy", "SELECT count(*) FROM goods") == [(1,)]
    with pytest.raises(psycopg2.errors.DependentObjectsStillExist, match="drop_pipeline"):
        sql_in(stack, "copy", "DROP EXTENSION walhouse")
    sql_in(stack, "copy", "SELECT walhouse.drop_pipeline('shop')")
    sql_in(stack, "copy", "DROP EXTENSION walhouse")
    sql_in(stack, "postgres", "DROP DATABASE copy")
    # The original has not noticed.
    stack.sql("INSERT INTO goods VALUES (2, 'two')")
    stack.confirm()
    assert stack.status()["state"] == "streaming"
    assert messages(stack, "shop.public.goods") == 2


def test_the_database_of_a_pipeline_is_not_dropped(stack):
    with pytest.raises(psycopg2.errors.ObjectInUse):
        sql_in(stack, "postgres", "DROP DATABASE shop WITH (FORCE)")


def test_restored_on_another_server_it_does_not_publish(stack, dump):
    """Nor when it is resumed: the slot that it names is not there, and status says so."""
    with Stack("--no-agent") as other:
        other.sql("SELECT walhouse.drop_pipeline('shop')")
        other.sql("DROP EXTENSION walhouse; DROP SCHEMA walhouse; DROP PUBLICATION shop")
        before = messages(stack, "shop.public.goods")
        restore(other, dump, "shop")
        status = other.status()
        assert (status["state"], status["publisher_pid"]) == ("paused", None)
        assert "does not exist" in status["last_error"]
        assert other.sql("SELECT system_identifier FROM walhouse.pipeline") == stack.sql(
            "SELECT system_identifier FROM walhouse.pipeline")
        other.sql("INSERT INTO goods VALUES (100, 'only in the copy')")
        other.sql("SELECT walhouse.resume('shop')")
        status = other.until(lambda: (s := other.status())["publisher_starts"] > 0 and s["publisher_pid"] is None and s, 20,
                             "a publisher that gave up")
        assert status["state"] != "streaming" and status["last_error"]
        other.sql("SELECT walhouse.drop_pipeline('shop')")
        other.sql("DROP EXTENSION walhouse")
        stack.confirm()
        assert messages(stack, "shop.public.goods") == before


def as_postgres(*command, directory):
    """Postgres's programs refuse to be run by root."""
    user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.getuid() == 0 else []
    result = subprocess.run([*user, *[str(word) for word in command]], cwd=directory, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]


def test_pg_upgrade_takes_the_pipeline_along():
    """Here to a new cluster of the same version. It has another system identifier and no slot, and goes on after a resync."""
    with Stack("--no-agent") as stack:
        stack.sql("CREATE TABLE goods (id int PRIMARY KEY); INSERT INTO goods SELECT generate_series(1, 5)")
        stack.confirm()
        stack.command("stop", "postgres")
        folder = pathlib.Path(stack.directory) / "postgres"
        work = folder / "work"
        work.mkdir()
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
            shutil.chown(work, "postgres")
        as_postgres(PG_BIN / "initdb", "-D", folder / "new", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                    "--no-sync", directory=work)
        settings = (folder / "data" / "postgresql.conf").read_text(encoding="utf-8").partition("listen_addresses = '127")[1:]
        with open(folder / "new" / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(settings)
        as_postgres(PG_BIN / "pg_upgrade", "-b", PG_BIN, "-B", PG_BIN, "-d", folder / "data", "-D", folder / "new", "-U",
                    "postgres", "-s", work, directory=work)
        (folder / "data").rename(folder / "old")
        (folder / "new").rename(folder / "data")
        stack.start("postgres")
        stack.until(lambda: stack.status()["state"] == "slot_lost", 30, "status says that the slot is lost")
        assert "walhouse.resync('shop')" in stack.status()["what_to_do"]
        stack.sql("INSERT INTO goods VALUES (6)")
        stack.sql("SELECT walhouse.resync('shop')")
        stack.until(lambda: stack.status()["state"] == "streaming", 30, "events flow again")
        stack.until(lambda: stack.sql("SELECT rows_done FROM walhouse.snapshot_status WHERE reason = 'resync' AND state = 'done'")
                    == [(6,)], 30, "a snapshot of every table")
        stack.sql("INSERT INTO goods VALUES (7)")
        stack.confirm()
        # Five inserts, six snapshot rows, one insert.
        assert messages(stack, "shop.public.goods") >= 12
        assert stack.status()["epoch"] == 2
