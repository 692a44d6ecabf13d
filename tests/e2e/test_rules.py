"""Rules for tables, [table ...] in the agent's configuration, between a real Postgres and a real warehouse."""

import hashlib
import hmac
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
    assert "hidden" in shown and "eu-west" in shown
    for plain in ("@example.org", "4111111", "+49 30", "hush"):
        assert plain not in shown, plain


def test_filter_with_rows_in_and_out(line):
    line.stack.sql("CREATE TABLE tickets (id int PRIMARY KEY, state text, price numeric(10,2), due timestamptz, note text)")
    line.stack.sql("CREATE TABLE ticket_log (state text, n int); ALTER TABLE ticket_log REPLICA IDENTITY FULL")
    line.stack.sql("INSERT INTO tickets SELECT i, CASE WHEN i % 2 = 0 THEN 'open' ELSE 'closed' END, i, '2026-01-01', 'n' "
                   "FROM generate_series(1, 10) i")
    line.stack.sql("INSERT INTO ticket_log SELECT CASE WHEN i % 2 = 0 THEN 'open' ELSE 'closed' END, i FROM generate_series(1, 10) i")
    line.settings += """
[table public.tickets]
filter = (state = 'open' or state is null) and price < 9.50 and due >= '2025-06-01 12:00:00'
columns = id, price
[table public.ticket_log]
filter = state in ('open')
"""
    agent = line.agent()
    settle(line, agent)
    assert line.rows("SELECT id, toString(price) FROM tickets ORDER BY id") == [[2, "2"], [4, "4"], [6, "6"], [8, "8"]]
    assert line.rows("SELECT count(), countIf(n % 2 = 0) FROM ticket_log") == [[5, 5]]
    for statement in ("UPDATE tickets SET state = 'closed' WHERE id = 2", "UPDATE tickets SET state = NULL WHERE id = 3",
                      "UPDATE tickets SET price = 9.49 WHERE id = 10", "UPDATE tickets SET price = 9.51 WHERE id = 4",
                      "UPDATE tickets SET due = '2020-01-01' WHERE id = 6", "DELETE FROM tickets WHERE id = 8",
                      "INSERT INTO tickets VALUES (11, 'closed', 1, '2026-01-01', 'n'), (12, 'open', 1, '2026-01-01', 'n')",
                      "UPDATE tickets SET id = 13 WHERE id = 12"):
        line.stack.sql(statement)
    settle(line, agent)
    expected = [[3, "3"], [10, "9.49"], [13, "1"]]
    assert line.rows("SELECT id, toString(price) FROM tickets ORDER BY id") == expected
    # What is written again, in another order, changes nothing.
    line.rows("INSERT INTO _tickets (id, price, _version, _deleted, _commit_time) SELECT id, price, _version, _deleted, _commit_time FROM _tickets")
    assert line.rows("SELECT id, toString(price) FROM tickets ORDER BY id") == expected


def test_history_is_complete_and_replay_adds_nothing(line):
    sql = line.stack.sql
    sql("CREATE TABLE accounts (id int PRIMARY KEY, owner text, balance int)")
    sql("INSERT INTO accounts VALUES (1, 'ann', 10), (2, 'bob', 20)")
    line.settings += "[table public.accounts]\nhistory = true\nmask.owner = partial:1\n"
    agent = line.agent()
    settle(line, agent)
    sql("UPDATE accounts SET balance = 11 WHERE id = 1")
    sql("BEGIN; UPDATE accounts SET balance = 12 WHERE id = 1; UPDATE accounts SET balance = 13 WHERE id = 1; COMMIT")
    sql("DELETE FROM accounts WHERE id = 2")
    sql("INSERT INTO accounts VALUES (2, 'eve', 5)")
    settle(line, agent)
    sql("TRUNCATE accounts")
    sql("INSERT INTO accounts VALUES (3, 'zoe', 1)")
    settle(line, agent)
    query = ("SELECT id, toString(_operation), owner, balance, _deleted FROM accounts_history FINAL "
             "WHERE _operation != 'snapshot' ORDER BY id, _version")
    changes = [row for row in line.rows(query)]
    of_one = [row for row in changes if row[0] == 1]
    assert of_one[-4:] == [[1, "update", "****n", 11, 0], [1, "update", "****n", 12, 0], [1, "update", "****n", 13, 0],
                           [1, "truncate", None, None, 1]]
    of_two = [row for row in changes if row[0] == 2]
    assert of_two[-3:] == [[2, "delete", None, None, 1], [2, "insert", "****e", 5, 0], [2, "truncate", None, None, 1]]
    assert [row for row in changes if row[0] == 3] == [[3, "insert", "****e", 1, 0]]
    assert line.rows("SELECT id, balance FROM accounts") == [[3, 1]]
    # Who was what when.
    assert line.rows("SELECT argMax(balance, _version) FROM accounts_history FINAL WHERE id = 1 AND _commit_time <= now64(6) "
                     "AND _operation != 'truncate'") == [[13]]
    # Another group reads everything once more.
    agent.terminate()
    again = line.agent(group=f"{line.name}_again")
    settle(line, again)
    assert [row for row in line.rows(query)] == changes
    assert line.rows("SELECT id, balance FROM accounts") == [[3, 1]]


def test_dead_letters_do_not_tell_what_is_masked(line):
    sql = line.stack.sql
    sql("CREATE TABLE births (passport text PRIMARY KEY, born date, died date, name text)")
    line.settings += "[table public.births]\nmask.passport = hash\nmask.born = hash\ndrop = died\n"
    agent = line.agent()
    sql("INSERT INTO births VALUES ('P-777', '1801-02-03', '1802-03-04', 'old')")
    sql("INSERT INTO births VALUES ('P-778', '1990-02-03', '1803-04-05', 'dropped columns may hold what they like')")
    settle(line, agent)
    line.stack.until(lambda: line.rows("SELECT count() FROM _walhouse_dead_letters WHERE reason = 'value_out_of_range' AND topic LIKE '%births'")
                     == [[1]], 30, "the letter is in the mirror")
    assert line.rows("SELECT passport, born IS NULL, name FROM births") == [[hashed("P-778"), 0, "dropped columns may hold what they like"]]
    shown = everything(line)
    for plain in ("P-777", "P-778", "1801", "1803", "502D373737", "502d373737"):
        assert plain not in shown, plain
    assert "(masked)" in shown and "a value that is not shown here" in shown


def test_rules_that_do_not_fit_stop_one_table_until_they_are_mended(line):
    sql = line.stack.sql
    sql("CREATE TABLE good (id int PRIMARY KEY, a text); INSERT INTO good VALUES (1, 'a')")
    sql("CREATE TABLE bad (id int PRIMARY KEY, email text, at timestamptz); INSERT INTO bad VALUES (1, 'x@y', now())")
    settings = line.settings
    line.settings += "[table public.bad]\nmask.emial = hash\n"
    agent = line.agent(ready=False)
    line.stack.until(lambda: agent.get("/readyz")[0] == 503 and "did you mean email?" in agent.get("/readyz")[1], 30, "the table is stopped")
    line.stack.until(lambda: line.rows("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'good'") == [[1]],
                     30, "the other table is loaded")
    assert line.rows("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'bad'") == [[0]]
    reload(agent, line, settings + "[table public.bad]\nmask.email = hash\npartition_by = toYYYYMM(at)\n")
    line.stack.until(lambda: "partition_by: at is not of the key" in agent.get("/readyz")[1], 30, "the next error is said")
    reload(agent, line, settings + "[table public.bad]\nmask.email = hash\n")
    line.stack.until(agent.is_ready, 30, "the table goes on")
    settle(line, agent)
    assert line.rows("SELECT id, email FROM bad") == [[1, hashed("x@y")]]


def reload(agent, line, settings):
    text = agent.config.read_text(encoding="ascii")
    agent.config.write_text(text[:text.index("[rules]")] + settings, encoding="ascii")
    agent.process.send_signal(signal.SIGHUP)


def test_reload_changes_what_can_be_changed(line):
    sql = line.stack.sql
    sql("CREATE TABLE reloads (id int PRIMARY KEY, a text, b text)")
    sql("INSERT INTO reloads VALUES (1, 'plain a', 'plain b')")
    settings = line.settings
    line.settings += "[table public.reloads]\nrename.b = bee\n"
    agent = line.agent()
    settle(line, agent)
    reload(agent, line, settings + "[table public.reloads]\nmask.a = hash\ndrop = b\nconstant.c = Int8 1\n")
    line.stack.until(lambda: "tables' are in force" in agent.log.read_text(), 30, "the rules are read again")
    sql("INSERT INTO reloads VALUES (2, 'plain a', 'plain b')")
    settle(line, agent)
    assert line.rows("SELECT id, a, c FROM reloads ORDER BY id") == [[1, "plain a", 0], [2, hashed("plain a"), 1]]
    assert "bee" not in line.stack.clickhouse("DESCRIBE reloads", database=line.name)
    # A mask holds from then on; a snapshot brings it over what was loaded before.
    sql("SELECT walhouse.snapshot(%s, 'public.reloads')", (line.stack.env["PIPELINE"],))
    line.stack.until(lambda: sql("SELECT bool_and(state = 'done') FROM walhouse.snapshot_status WHERE \"table\" LIKE '%reloads'")[0][0], 60,
                     "the snapshot ends")
    settle(line, agent)
    assert line.rows("SELECT id, a, c FROM reloads ORDER BY id") == [[1, hashed("plain a"), 1], [2, hashed("plain a"), 1]]
    reload(agent, line, settings + "[table public.reloads]\norder_by = id % 10, id\n")
    line.stack.until(lambda: "order_by of table reloads cannot be changed while rows are loaded" in agent.log.read_text(), 30, "it is refused")
    sql("INSERT INTO reloads VALUES (3, 'plain a', 'plain b')")
    settle(line, agent)
    assert line.rows("SELECT id, a, c FROM reloads WHERE id = 3") == [[3, hashed("plain a"), 1]]


def test_a_rename_takes_no_mask_off(line):
    sql = line.stack.sql
    sql("CREATE TABLE renames (id int PRIMARY KEY, email text); INSERT INTO renames VALUES (1, 'one@x')")
    line.settings += "[table public.renames]\nmask.email = hash\n"
    agent = line.agent()
    settle(line, agent)
    sql("ALTER TABLE renames RENAME email TO mail; INSERT INTO renames VALUES (2, 'two@x')")
    sql("ALTER TABLE renames RENAME TO renamed; INSERT INTO renamed VALUES (3, 'three@x')")
    settle(line, agent)
    assert line.rows("SELECT id, mail FROM renamed ORDER BY id") == [[1, hashed("one@x")], [2, hashed("two@x")], [3, hashed("three@x")]]
    assert "@x" not in everything(line)


def test_ddl_prints_what_would_be_created_and_what_does_not_fit(line):
    sql = line.stack.sql
    sql("CREATE TABLE listed (id int PRIMARY KEY, a text); INSERT INTO listed VALUES (1, 'a')")
    line.stack.confirm()
    rules = line.settings + "[table public.listed]\nhistory = true\nmask.a = hash\npartition_by = id % 4\nrename.a = b\n"
    shown = ddl(line, rules, "public.listed")
    assert shown.returncode == 0, shown.stderr
    statements = [text for text in shown.stdout.splitlines() if not text.startswith("--")]
    assert len(statements) == 3 and "PARTITION BY `id` % 4" in statements[0] and "`a` AS `b`" in statements[1]
    for statement in [f"CREATE DATABASE {line.name}", *statements]:
        line.stack.clickhouse(statement.rstrip(";"), database="")
    assert line.rows("SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name") == [
        ["_listed"], ["listed"], ["listed_history"]]
    assert "-- public.listed" in ddl(line, rules).stdout
    refused = ddl(line, rules.replace("mask.a", "mask.aa") + "[table public.nowhere]\ndrop = x\n")
    assert refused.returncode == 1 and "[table public.listed] a rule: the table has no column aa; did you mean a?" in refused.stderr
    assert "[table public.nowhere]: the schema topic does not know such a table" in refused.stderr
    assert "does not know the table public.nowhere" in ddl(line, rules, "public.nowhere").stderr


def test_ddl_prints_what_a_cluster_gets(line):
    line.stack.sql("CREATE TABLE spread (id int PRIMARY KEY, a text); INSERT INTO spread VALUES (1, 'a')")
    line.stack.confirm()
    shown = ddl(line, "cluster = two\n" + line.settings + "[table public.spread]\nhistory = true\n", "public.spread")
    assert shown.returncode == 0, shown.stderr
    statements = [text for text in shown.stdout.splitlines() if not text.startswith("--")]
    assert [" ".join(text.split()[:9]) for text in statements] == [
        f"CREATE TABLE IF NOT EXISTS `{line.name}`.`{name}` ON CLUSTER `two`" for name in ("_spread", "_spread@all")] + [
        f"CREATE OR REPLACE VIEW `{line.name}`.`spread` ON CLUSTER `two` AS"] + [
        f"CREATE TABLE IF NOT EXISTS `{line.name}`.`{name}` ON CLUSTER `two`" for name in ("spread_history", "spread_history@all")]
    assert "ReplicatedReplacingMergeTree(" in statements[0] and "Distributed('two'" in statements[1] and "`_spread@all`" in statements[2]


def test_a_table_that_is_there_keeps_its_layout_and_it_is_said(line):
    sql = line.stack.sql
    sql("CREATE TABLE laid (id int PRIMARY KEY, a text); INSERT INTO laid VALUES (1, 'a')")
    plain = line.settings
    rules = "[table public.laid]\norder_by = id % 10, id\npartition_by = id % 4\nttl = toDateTime(_commit_time) + INTERVAL 2 YEAR\ncodec.a = ZSTD(6)\n"
    line.settings = plain + rules
    for start in range(2):
        agent = line.agent()
        sql("INSERT INTO laid VALUES (%s, 'a')", (10 + start,))
        settle(line, agent)
        assert agent.get("/api/status")[1].count("was made with") == 0
        assert agent.terminate() == 0
    line.settings = plain + rules.replace("id % 10", "id % 20").replace("id % 4", "id % 8").replace("2 YEAR", "3 YEAR").replace("(6)", "(7)")
    agent = line.agent()
    sql("INSERT INTO laid VALUES (20, 'a')")
    settle(line, agent)
    assert line.rows("SELECT id FROM laid ORDER BY id") == [[1], [10], [11], [20]] and agent.is_ready()
    differences = ("order_by is id % 10, id, and not", "partition_by is id % 4, and not", "ttl is not", "the codec of a is CODEC(ZSTD(6)), and not ZSTD(7)")
    status = agent.get("/api/status")[1]
    assert '"code":"rules"' in status.replace(" ", "") and all(difference in status for difference in differences), status
    check = subprocess.run([str(AGENT), "check", "--config", str(agent.config)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert check.returncode == 1 and all(difference in check.stdout for difference in differences), check.stdout


def test_two_tables_do_not_become_one_view(line):
    """Of a table's own name and another one's by its rule, the one that was announced first has the view; the other is stopped, with both names."""
    sql = line.stack.sql
    sql("CREATE TABLE taken (id int PRIMARY KEY); INSERT INTO taken VALUES (1)")
    sql("CREATE TABLE taker (id int PRIMARY KEY); INSERT INTO taker VALUES (2)")
    line.settings += "[table public.taker]\ntable = taken\n"
    agent = line.agent(ready=False)
    line.stack.until(lambda: line.rows("SELECT id FROM taken") == [[1]], 60, "the first is loaded")
    both = "table public.taker and table public.taken would both be view taken"
    line.stack.until(lambda: both in " ".join(agent.ready()["reasons"]), 60, "the other is stopped")
    assert agent.get("/api/status")[1].count('"stopped"') > 0 and line.rows("SELECT id FROM taken") == [[1]]
    agent.config.write_text(agent.config.read_text(encoding="ascii").replace("table = taken", "table = mine"), encoding="ascii")
    agent.process.send_signal(signal.SIGHUP)
    line.stack.until(lambda: line.rows("SELECT id FROM mine") == [[2]], 60, "it is loaded")
    line.stack.until(agent.is_ready, 60, "nothing is stopped")


def ddl(line, settings, *arguments):
    config = line.directory / "ddl.conf"
    config.write_text(f"[kafka]\nbrokers = {line.stack.env['KAFKA_BROKERS']}\ntopic_prefix = {line.topics}\n"
                      f"[clickhouse]\ndatabase = {line.name}\n{settings}", encoding="ascii")
    return subprocess.run([str(AGENT), "ddl", "--config", str(config), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)


def test_unchanged_values_under_rules(line):
    sql = line.stack.sql
    body = "out of line " * 1000
    for table, key in (("hidden_keys", "who text"), ("hidden_bodies", "id int"), ("by_body", "id int")):
        sql(f"CREATE TABLE {table} ({key} PRIMARY KEY, body text, n int); ALTER TABLE {table} ALTER COLUMN body SET STORAGE EXTERNAL")
    sql("INSERT INTO hidden_keys VALUES ('agent-007', %s, 1)", (body,))
    sql("INSERT INTO hidden_bodies VALUES (1, %s, 1)", (body,))
    sql("INSERT INTO by_body VALUES (1, %s, 1), (2, 'short', 1)", (body,))
    line.settings += ("[table public.hidden_keys]\nmask.who = hash\n[table public.hidden_bodies]\nmask.body = hash\n"
                      "[table public.by_body]\nfilter = body > 'out' and n < 3\ndrop = body\n")
    agent = line.agent()
    settle(line, agent)
    for table in ("hidden_keys", "hidden_bodies", "by_body"):
        sql(f"UPDATE {table} SET n = 2")
    # The values are in an earlier row, or the source is asked for the row.
    line.stack.until(lambda: line.rows("SELECT who, body, n FROM hidden_keys") == [[hashed("agent-007"), body, 2]], 90, "the row was asked for")
    line.stack.until(lambda: line.rows("SELECT body, n FROM hidden_bodies") == [[hashed(body), 2]], 60, "the hash is taken from the row before")
    line.stack.until(lambda: line.rows("SELECT id, n FROM by_body") == [[1, 2], [2, 2]], 90, "the rows that the filter cannot judge were asked for")
    sql("UPDATE by_body SET n = 3 WHERE id = 1")
    line.stack.until(lambda: line.rows("SELECT id, n FROM by_body") == [[2, 2]], 90, "the row leaves")
    shown = everything(line)
    assert "agent-007" not in shown and b"agent-007".hex() not in shown.lower()
