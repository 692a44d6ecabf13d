/*
 * cluster.h - what a statement for one server becomes in a cluster.
 *
 *      _orders      ReplicatedReplacingMergeTree: this shard's rows
 *      _orders@all  Distributed over it: rows are divided by a hash of the sorting key, so that all versions
 *                   of a key are on one shard, where FINAL finds them
 *      orders       view of _orders@all
 *
 * The rooms write statements for one server. The client has them rewritten when [clickhouse] cluster is set:
 * tables are made, changed and dropped ON CLUSTER, and what reads or inserts names the Distributed table.
 * Pure: text in, text out.
 */
#ifndef WALHOUSE_AGENT_CLUSTER_H
#define WALHOUSE_AGENT_CLUSTER_H

#include "agent/text.h"

/* No table of Postgres has a storage table that ends so, but one whose own name does. */
#define CLUSTER_SUFFIX "@all"

/* The statement becomes *first, and then *second if that is not empty. Check both for failed. */
void cluster_rewrite(const char *cluster, const char *sql, Text *first, Text *second);

#endif
