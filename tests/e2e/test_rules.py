"""Rules for tables, [table ...] in the agent's configuration, between a real Postgres and a real warehouse."""

import hashlib
import hmac
import json
import signal
import subprocess

import pytest

from agentline import AGENT, Line
from stackctl import Stack

SALT = "correct horse battery staple"


@pytest.fixture(scope="module")
def stack():
    with Stack("--no-agent") as running:
        yield running


@pytest.fixture
def line(stack, tmp_path, request):
    with Line(stack, tmp_path, request.node.name) as opened:
        (tmp_path / "salt").write_text(SALT + "\nnot this line\n", encoding="ascii")
        opened.settings = f"[rules]\nsalt_file = {tmp_path}/salt\n"
        # What Postgres sends goes to the stack's own topics; each test reads them with a group and a database of its own.
        opened.topics = stack.env["TOPIC_PREFIX"]
        yield opened


def hashed(text):
    return hmac.new(SALT.encode(), text.encode(), hashlib.sha256).hexdigest()


def settle(line, agent):
    """Until the warehouse has everything that was committed before."""
    line.stack.confirm()
    line.loaded(agent)


def everything(line):
    """Every value of every table of the test's databases, as one text."""
    names = line.rows("SELECT database, name FROM system.tables WHERE startsWith(database, "
                      f"'{line.name}') AND engine NOT IN ('View')")
    return "\n".join(line.stack.clickhouse(f"SELECT * FROM `{database}`.`{name}` FORMAT TSV", database=database)
                     for database, name in names)


def test_columns_masks_and_layout(line):
    line.stack.sql("CREATE TABLE people (id bigint PRIMARY KEY, email text, card text, phone varchar(20) NOT NULL, note text, secret text, "
                   "total numeric(12,2), age int)")
    line.stack.sql("INSERT INTO people SELECT i, 'anna' || i || '@example.org', '411111111111' || 1000 + i, '+49 30 1234567', 'note', 'hush' || i, "
                   "i * 1.5, 30 + i FROM generate_series(1, 20) i")
    line.stack.sql("INSERT INTO people VALUES (100, NULL, NULL, 'x', NULL, NULL, NULL, NULL)")
    line.settings += f"""
[table public.people]
drop = secret
rename.total = amount
mask.email = hash
mask.age = hash
mask.card = partial:4
mask.phone = fixed:hidden
constant.region = String eu-west
constant.shard = Int16 -7
codec.note = ZSTD(3)
database = {line.name}_b
table = persons
order_by = intDiv(id, 10), id
partition_by = id % 4
ttl = toDateTime(_commit_time) + INTERVAL 1 YEAR
"""
    agent = line.agent()
    settle(line, agent)
    view = f"`{line.name}_b`.persons"
    columns = line.rows(f"SELECT name, type FROM system.columns WHERE database = '{line.name}_b' AND table = 'persons' ORDER BY position")
    assert columns == [["id", "Int64"], ["email", "Nullable(String)"], ["card", "Nullable(String)"], ["phone", "String"],
                       ["note", "Nullable(String)"], ["amount", "Nullable(Decimal(12, 2))"], ["age", "Nullable(String)"],
                       ["region", "String"], ["shard", "Int16"], ["_version", "UInt128"], ["_commit_time", "DateTime64(6, 'UTC')"],
                       ["_loaded_time", "DateTime64(6, 'UTC')"]]
    query = f"SELECT id, email, card, phone, note, toString(amount), age, region, shard FROM {view} WHERE id IN (7, 100) ORDER BY id"
    assert line.rows(query) == [
        [7, hashed("anna7@example.org"), "****1007", "hidden", "note", "10.5", hashed("37"), "eu-west", -7],
        [100, None, None, "hidden", None, None, None, "eu-west", -7]]
    [layout] = line.rows("SELECT sorting_key, partition_key, create_table_query FROM system.tables "
                         f"WHERE database = '{line.name}_b' AND name = '_persons'")
    assert layout[:2] == ["intDiv(id, 10), id", "id % 4"]
    assert "CODEC(ZSTD(3))" in layout[2] and "TTL toDateTime(_commit_time) + toIntervalYear(1) WHERE _deleted = 0" in layout[2]
    line.stack.sql("UPDATE people SET email = 'new@example.org', secret = 'hush again' WHERE id = 7")
    line.stack.sql("DELETE FROM people WHERE id = 8")
    line.stack.sql("UPDATE people SET id = 1000 WHERE id = 9")
    settle(line, agent)
    assert line.rows(f"SELECT count(), max(id), countIf(email = '{hashed('new@example.org')}') FROM {view}") == [[20, 1000, 1]]
    shown = everything(line)
    assert "persons" in shown and "eu-west" in shown
    for plain in ("@example.org", "4111111", "+49 30", "hush"):
        assert plain not in shown, plain
