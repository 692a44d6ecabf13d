"""An independent answer to what a table holds: a second slot with Postgres's own test_decoding, folded by key in commit order.

It shares nothing with Walhouse but the WAL: neither versions, nor Kafka, nor the order in which anything arrives.
"""

import collections
import re

SLOT = "hunt_oracle"
HISTORY = 8  # changes of a key that are remembered, for the report of a difference

CHANGE = re.compile(r"table (.+?): (INSERT|UPDATE|DELETE|TRUNCATE): (.*)", re.DOTALL)
COLUMN = re.compile(r"(\w+)\[([^\]]*)\]:('(?:[^']|'')*'|[^ ]+)", re.DOTALL)


def parse_columns(text):
    """The columns of a tuple as test_decoding prints it: {name: text or None}."""
    columns = {}
    for name, _, value in COLUMN.findall(text):
        if value == "null":
            columns[name] = None
        elif value.startswith("'"):
            columns[name] = value[1:-1].replace("''", "'")
        else:
            columns[name] = value
    return columns


class Table:
    """What one table holds."""

    def __init__(self, key):
        self.key = key  # names of the key's columns; none: a log
        self.rows = {}
        self.log = collections.Counter()
        self.history = collections.defaultdict(lambda: collections.deque(maxlen=HISTORY))

    def key_of(self, columns):
        return tuple(columns[name] for name in self.key)

    def note(self, key, *what):
        self.history[key].append(what)

    def fold(self, lsn, operation, old, new):
        if not self.key:
            assert operation == "INSERT", f"a log table has no {operation}"
            self.log[tuple(new.values())] += 1
            return
        if operation == "DELETE":
            key = self.key_of(old)
            assert self.rows.pop(key, None) is not None, f"{key} is deleted and is not there"
            self.note(key, lsn, "delete")
            return
        key = self.key_of(new)
        if operation == "UPDATE":
            before = self.key_of(old) if old else key
            assert self.rows.pop(before, None) is not None, f"{before} is updated and is not there"
            if before != key:
                self.note(before, lsn, "became", key)
        assert key not in self.rows, f"{key} comes and is there"
        self.rows[key] = tuple(new.values())
        self.note(key, lsn, operation.lower(), self.rows[key])

    def truncate(self, lsn):
        for key in self.rows:
            self.note(key, lsn, "truncate")
        self.rows.clear()
        self.log.clear()

    def content(self):
        """Every row, with how often it is there."""
        return collections.Counter(self.rows.values()) if self.key else self.log


class Oracle:
    """Reads the second slot when asked."""

    def __init__(self, stack, tables):
        self.stack = stack
        self.tables = {f"public.{name}": Table(key) for name, key in tables.items()}
        self.folded_lsn = 0  # after a crash the slot brings again what came before its last checkpoint
        stack.sql("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", (SLOT,))

    def read(self):
        """Everything that is committed now. Returns the number of changes."""
        changes = 0
        transaction = []
        # Half of the writers commit asynchronously: tables show that before the WAL on disk, which decoding reads, holds it.
        self.stack.sql("SELECT pg_switch_wal()")
        for lsn, data in self.stack.sql(
                "SELECT lsn, data FROM pg_logical_slot_get_changes(%s, NULL, NULL, 'include-xids', '0', 'skip-empty-xacts', '1')",
                (SLOT,)):
            match = CHANGE.fullmatch(data)
            assert match or not data.startswith("table "), data
            if match:
                transaction.append((lsn, *match.groups()))
            elif data == "COMMIT":
                changes += self.commit(lsn, transaction)
                transaction = []
        return changes

    def commit(self, lsn, transaction):
        high, low = lsn.split("/")
        number = int(high, 16) << 32 | int(low, 16)
        if number <= self.folded_lsn:
            return 0
        self.folded_lsn = number
        for change in transaction:
            self.take(*change)
        return len(transaction)

    def take(self, lsn, names, operation, text):
        if operation == "TRUNCATE":
            for name in names.split(", "):
                if name in self.tables:
                    self.tables[name].truncate(lsn)
            return
        if names not in self.tables:
            return
        old, new = None, text
        if operation == "DELETE":
            old, new = text, None
        elif operation == "UPDATE" and text.startswith("old-key: "):
            old, new = text.removeprefix("old-key: ").split(" new-tuple: ", 1)
        self.tables[names].fold(lsn, operation, old and parse_columns(old), new and parse_columns(new))

    def content(self, *names):
        """Of a table, or of the partitions of one."""
        return sum((self.tables[f"public.{name}"].content() for name in names), collections.Counter())

    def history(self, key, *names):
        return [change for name in names for change in self.tables[f"public.{name}"].history[key]]
