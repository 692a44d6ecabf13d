#!/usr/bin/python3
"""Commits rows to table orders at a steady pace and asks the warehouse's view, without pause, until each is there.

usage: latency.py COMMITS_PER_SECOND SECONDS      (the environment is that of `stack env`)

Prints the milliseconds from the commit's return to the first answer that has the row: p50 p95 p99 max. A row's time
ends before the next is committed, or the next one is late and said to be so.
"""

import http.client
import os
import sys
import time
import urllib.parse

import psycopg2

GIVE_UP_S = 30


def main():
    rate, seconds = float(sys.argv[1]), float(sys.argv[2])
    source = psycopg2.connect(host=os.environ["PGHOST"], port=os.environ["PGPORT"], user=os.environ["PGUSER"],
                              dbname=os.environ["PGDATABASE"])
    source.autocommit = True
    cursor = source.cursor()
    warehouse = http.client.HTTPConnection(urllib.parse.urlsplit(os.environ["CLICKHOUSE_URL"]).netloc, timeout=GIVE_UP_S)
    path = "/?database=" + os.environ["CLICKHOUSE_DATABASE"]

    def is_there(key):
        warehouse.request("POST", path, f"SELECT count() FROM orders WHERE id = {key}")
        answer = warehouse.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise SystemExit(f"latency.py: the warehouse answers {answer.status}: {text}")
        return text.strip() == "1"

    taken_ms, late = [], 0
    begun = time.monotonic()
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        if time.monotonic() > due + 0.001 and number > 0:
            late += 1
        time.sleep(max(0, due - time.monotonic()))
        cursor.execute("""INSERT INTO orders (customer_id, sku, quantity, unit_price, status, note)
            VALUES (1, 'SKU-1', 1, 9.99, 'placed', 'watched') RETURNING id""")
        committed = time.monotonic()
        key = cursor.fetchone()[0]
        while not is_there(key):
            if time.monotonic() - committed > GIVE_UP_S:
                raise SystemExit(f"latency.py: row {key} is not in the warehouse after {GIVE_UP_S} s")
        taken_ms.append((time.monotonic() - committed) * 1000)

    taken_ms.sort()
    figures = [taken_ms[min(int(len(taken_ms) * share), len(taken_ms) - 1)] for share in (0.5, 0.95, 0.99, 1)]
    print(" ".join(f"{figure:.1f}" for figure in figures) + (f" ({late} commits were late)" if late else ""))


main()
