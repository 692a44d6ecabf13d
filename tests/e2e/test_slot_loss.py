"""Slots that are lost, dropped, made anew by hand, or left behind by a restored server: noticed, said, and healed.

Afterwards every view equals its table, row by row: also the rows that were deleted while nobody captured, and those that
were captured from a timeline that no longer exists.
"""

import json
import os
import pathlib
import pwd
import shutil
import subprocess
import time

import pytest

from stackctl import Stack

PG_CONFIG = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")


@pytest.fixture(scope="module")
def stack():
    with Stack() as running:
        running.sql("CREATE TABLE goods (id int PRIMARY KEY, name text, price numeric(10, 2));"
                    "CREATE TABLE log (line text)")
        running.sql("INSERT INTO goods SELECT g, 'name ' || g, g FROM generate_series(1, 3000) g")
        running.sql("INSERT INTO log SELECT 'line ' || g FROM generate_series(1, 500) g")
        settle(running)
        # The agent has to learn of the tables first.
        running.until(lambda: running.clickhouse_rows("SELECT (SELECT count() FROM goods), (SELECT count() FROM log)") ==
                      [[3000, 500]] or running.clickhouse_rows("SELECT (SELECT count() FROM goods), (SELECT count() FROM log)") ==
                      [["3000", "500"]], what="the tables are in the warehouse")
        yield running


def settle(stack, seconds=90):
    """Until the pipeline streams, no snapshot is open, and the warehouse has everything."""
    stack.until(lambda: stack.status()["state"] == "streaming", seconds, "the pipeline streams")
    stack.until(lambda: stack.sql("SELECT count(*) = 0 FROM walhouse.snapshot WHERE state IN ('waiting', 'running')")[0][0],
                seconds, "no snapshot is open")
    stack.wait(seconds)
    failed = stack.sql("SELECT id, error FROM walhouse.snapshot WHERE state = 'failed'")
    assert failed == []


def pipeline(stack):
    return stack.sql("SELECT epoch, timeline, slot_lsn, base_lsn FROM walhouse.pipeline")[0]


def pause(stack):
    stack.sql("SELECT walhouse.pause('shop')")
    stack.until(lambda: stack.status()["state"] == "paused", what="the pipeline is paused")
    stack.until(lambda: not stack.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'walhouse_shop'")[0][0],
                what="the slot is free")


def change_everything(stack, mark):
    """What a resync must bring, and what it must take away."""
    stack.sql("DELETE FROM goods WHERE id %% 10 = 3; UPDATE goods SET name = %s || id WHERE id %% 10 = 4;"
              "INSERT INTO goods SELECT g, %s, 0 FROM generate_series((SELECT max(id) + 1 FROM goods),"
              " (SELECT max(id) + 100 FROM goods)) g", (mark, mark))


def assert_equal(stack):
    stack.assert_equal("goods")
    source = sorted(stack.sql("SELECT line FROM log"))
    assert sorted(stack.warehouse_rows("log")) == source


def test_a_missing_slot_stops_the_pipeline_until_somebody_acts(stack):
    epoch = pipeline(stack)[0]
    pause(stack)
    stack.sql("SELECT pg_drop_replication_slot('walhouse_shop')")
    change_everything(stack, "unseen ")
    stack.sql("SELECT walhouse.resume('shop')")
    status = stack.until(lambda: (s := stack.status())["state"] == "slot_lost" and s, what="the loss is said")
    assert status["last_error"].startswith('replication slot "walhouse_shop" does not exist')
    assert "walhouse.resync('shop')" in status["what_to_do"]
    assert stack.sql("SELECT kind, error, times FROM walhouse.errors ORDER BY last_at DESC LIMIT 1") == [
        ("slot", 'replication slot "walhouse_shop" does not exist', 1)]
    # It does not run hot: nothing is started until somebody acts.
    time.sleep(3)
    assert stack.status()["publisher_starts"] == status["publisher_starts"]
    assert pipeline(stack)[0] == epoch
    stack.sql("SELECT walhouse.resync('shop')")
    settle(stack)
    assert pipeline(stack)[0] == epoch + 1
    assert stack.status()["what_to_do"] is None
    assert_equal(stack)


def test_a_slot_that_max_slot_wal_keep_size_took_is_healed(stack):
    stack.sql("SELECT walhouse.alter_pipeline('shop', on_slot_loss => 'resync')")
    epoch = pipeline(stack)[0]
    pause(stack)
    stack.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    stack.sql("SELECT pg_reload_conf()")
    change_everything(stack, "overtaken ")

    def is_lost():
        stack.sql("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 20000); DROP TABLE filler")
        stack.sql("SELECT pg_switch_wal()")
        stack.sql("CHECKPOINT")
        return stack.sql("SELECT wal_status FROM walhouse.status") == [("lost",)]

    try:
        stack.until(is_lost, 60, "the slot is lost")
        assert "walhouse.resync('shop')" in stack.status()["what_to_do"]
    finally:
        stack.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        stack.sql("SELECT pg_reload_conf()")
    stack.sql("SELECT walhouse.resume('shop')")
    stack.until(lambda: pipeline(stack)[0] > epoch, what="the epoch rises")
    settle(stack)
    assert pipeline(stack)[0] == epoch + 1
    assert_equal(stack)
    # And the stream goes on.
    change_everything(stack, "after ")
    stack.wait()
    assert_equal(stack)


def test_a_slot_made_anew_by_hand_is_noticed(stack):
    epoch = pipeline(stack)[0]
    pause(stack)
    stack.sql("SELECT pg_drop_replication_slot('walhouse_shop')")
    change_everything(stack, "skipped ")
    stack.sql("SELECT pg_create_logical_replication_slot('walhouse_shop', 'walhouse')")
    stack.sql("SELECT walhouse.resume('shop')")
    stack.until(lambda: pipeline(stack)[0] > epoch, what="the epoch rises")
    settle(stack)
    assert pipeline(stack)[0] == epoch + 1
    assert stack.sql("SELECT count(*) FROM walhouse.errors WHERE kind = 'slot' AND error LIKE '%recreated or advanced%'") == [(1,)]
    assert_equal(stack)


def test_a_slot_advanced_by_hand_is_noticed(stack):
    epoch = pipeline(stack)[0]
    pause(stack)
    change_everything(stack, "jumped over ")
    stack.sql("SELECT pg_replication_slot_advance('walhouse_shop', pg_current_wal_lsn())")
    stack.sql("SELECT walhouse.resume('shop')")
    stack.until(lambda: pipeline(stack)[0] > epoch, what="the epoch rises")
    settle(stack)
    assert_equal(stack)


def test_topics_that_the_slot_was_not_read_into_are_noticed(stack):
    """Another Kafka, or one that came back empty; here other topics. With the right ones again it goes on as if nothing was."""
    epoch = pipeline(stack)[0]
    stack.sql("SELECT walhouse.alter_pipeline('shop', on_slot_loss => 'stop')")
    pause(stack)
    change_everything(stack, "not lost ")
    stack.sql("UPDATE walhouse.pipeline SET topic_prefix = 'elsewhere'")
    stack.sql("SELECT walhouse.resume('shop')")
    status = stack.until(lambda: (s := stack.status())["state"] == "slot_lost" and s, what="the loss is said")
    assert "not the topics that it was read into" in status["last_error"]
    stack.sql("UPDATE walhouse.pipeline SET topic_prefix = 'shop'")
    stack.sql("SELECT walhouse.alter_pipeline('shop', on_slot_loss => 'resync')")
    settle(stack)
    assert pipeline(stack)[0] == epoch
    assert_equal(stack)


def test_a_resync_waits_for_transactions_and_can_be_stopped(stack):
    """A new slot waits for what runs; whoever stops the pipeline meanwhile does not, and no process is left waiting."""
    epoch = pipeline(stack)[0]
    waiting = ("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'walhouse_shop_resync'", )
    session = stack.connect()
    session.autocommit = False
    try:
        with session.cursor() as cursor:
            cursor.execute("INSERT INTO goods VALUES (-1, 'seen by whoever comes later', 1)")
            pause(stack)
            stack.sql("SELECT pg_drop_replication_slot('walhouse_shop')")
            stack.sql("SELECT walhouse.resume('shop')")
            status = stack.until(lambda: (s := stack.status())["state"] == "resyncing" and s, what="the resync waits")
            assert status["what_to_do"].startswith("nothing")
            stack.until(lambda: stack.sql(*waiting) == [(1,)], what="its session is there")
            begun = time.monotonic()
            stack.sql("SELECT walhouse.pause('shop')")
            stack.until(lambda: stack.status()["state"] == "paused", what="the pipeline is paused")
            assert time.monotonic() - begun < 5
            stack.until(lambda: stack.sql(*waiting) == [(0,)], 10, "its session has ended")
            assert pipeline(stack)[0] == epoch
            stack.sql("SELECT walhouse.resume('shop')")
            stack.until(lambda: stack.status()["state"] == "resyncing", what="the resync waits again")
        session.commit()
    finally:
        session.close()
    stack.until(lambda: pipeline(stack)[0] > epoch, what="the epoch rises")
    settle(stack)
    assert_equal(stack)


def test_pausing_and_crashing_are_no_loss(stack):
    epoch = pipeline(stack)[0]
    pause(stack)
    change_everything(stack, "kept ")
    stack.kill("postgres")
    stack.start("postgres")
    stack.sql("SELECT walhouse.resume('shop')")
    settle(stack)
    stack.kill("publisher")
    stack.start("publisher")
    change_everything(stack, "kept too ")
    settle(stack)
    assert pipeline(stack)[0] == epoch
    assert_equal(stack)


# ---- restored servers ----

def as_postgres(*command):
    """Runs a program of the server as the user that runs the server."""
    options = {}
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [user.pw_gid]}
    bindir = subprocess.run([PG_CONFIG, "--bindir"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    subprocess.run([f"{bindir}/{command[0]}", *command[1:]], check=True, timeout=120, cwd="/", stdin=subprocess.DEVNULL, **options)


def base_backup(stack):
    copy = pathlib.Path(stack.directory) / "postgres" / "copy"
    copy.mkdir(mode=0o700)
    if os.getuid() == 0:
        shutil.chown(copy, "postgres", "postgres")
    as_postgres("pg_basebackup", "-D", str(copy), "-h", "127.0.0.1", "-p", stack.env["PGPORT"], "-U", "postgres",
                "-X", "stream", "-c", "fast", "--no-sync")
    return copy


def put_back(stack, copy, settings, signal=None):
    """The copy takes the place of the stopped server's data."""
    data = pathlib.Path(stack.directory) / "postgres" / "data"
    data.rename(data.with_name(f"data-{time.monotonic_ns()}"))
    copy.rename(data)
    with open(data / "postgresql.auto.conf", "a", encoding="utf-8") as file:
        file.write(settings)
    if signal:
        (data / signal).touch()


def test_rows_of_a_lost_timeline_are_outranked_and_removed(stack):
    epoch, timeline, _, _ = pipeline(stack)
    copy = base_backup(stack)
    # From here on it did not happen, though it is in Kafka and in the warehouse, with LSNs that are to come again.
    change_everything(stack, "undone ")
    stack.sql("INSERT INTO log VALUES ('undone')")
    stack.sql("DELETE FROM goods WHERE id = 1")
    stack.wait()
    assert_equal(stack)
    assert ("undone",) in stack.warehouse_rows("log")
    stack.command("stop", "postgres")
    put_back(stack, copy, "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n",
             "recovery.signal")
    stack.start("postgres")
    stack.until(lambda: pipeline(stack)[0] > epoch, 60, "the epoch rises")
    settle(stack)
    assert pipeline(stack)[:2] == (epoch + 1, timeline + 1)
    assert stack.sql("SELECT count(*) FROM goods WHERE id = 1") == [(1,)]
    assert_equal(stack)
    change_everything(stack, "on the new timeline ")
    stack.wait()
    assert_equal(stack)


def test_a_server_that_forgot_an_epoch_raises_it_above_what_kafka_has_seen(stack):
    copy = base_backup(stack)
    epoch, timeline, _, _ = pipeline(stack)
    for _ in range(2):
        stack.sql("SELECT walhouse.resync('shop')")
        settle(stack)
    change_everything(stack, "undone again ")
    settle(stack)
    assert pipeline(stack)[0] == epoch + 2
    stack.command("stop", "postgres")
    put_back(stack, copy, "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n",
             "recovery.signal")
    stack.start("postgres")
    stack.until(lambda: pipeline(stack)[0] > epoch, 60, "the epoch rises")
    settle(stack)
    assert pipeline(stack)[0] == epoch + 3
    assert_equal(stack)


def test_a_server_set_back_by_a_copy_of_its_files_is_noticed(stack):
    """Same system identifier, same timeline: only its WAL ends earlier than what Kafka has."""
    epoch, timeline, _, _ = pipeline(stack)
    data = pathlib.Path(stack.directory) / "postgres" / "data"
    copy = data.with_name("copy")
    stack.command("stop", "postgres")
    subprocess.run(["cp", "-a", str(data), str(copy)], check=True, timeout=120)
    stack.start("postgres")
    settle(stack)
    change_everything(stack, "set back ")
    stack.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000000)) FROM generate_series(1, 3)")
    stack.wait()
    stack.command("stop", "postgres")
    put_back(stack, copy, "")
    stack.start("postgres")
    stack.until(lambda: pipeline(stack)[0] > epoch, 60, "the epoch rises")
    assert stack.sql("SELECT count(*) FROM walhouse.errors WHERE error LIKE '%older state of the server%'") == [(1,)]
    settle(stack)
    assert pipeline(stack)[:2] == (epoch + 1, timeline)
    assert_equal(stack)


def test_a_new_pipeline_rises_above_another_servers(stack):
    """Topics that a pipeline of another server wrote into: rows of the same epoch could not be told apart."""
    stack.sql("SELECT walhouse.drop_pipeline('shop')")
    record = {"pipeline": "shop", "epoch": 40, "lsn": "FF/0", "system_identifier": "12345", "timeline": 1}
    stack.produce("shop.__position", json.dumps(record).encode(), "shop")
    stack.sql("SELECT walhouse.create_pipeline('shop', publication => 'shop', brokers => %s, topic_prefix => 'shop')",
              (stack.env["KAFKA_BROKERS"],))
    stack.until(lambda: pipeline(stack)[0] == 41, what="the epoch rises")
    settle(stack)
    positions = [json.loads(value) for key, value, _ in stack.consume("shop.__position") if key == "shop"]
    assert positions[-1]["epoch"] == 41
    assert_equal(stack)
