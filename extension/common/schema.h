/*
 * schema.h - one version of a table's shape: its bytes, its fingerprint, its message in the schema topic.
 *
 * The plugin builds a schema from the catalog of the moment it decodes, the publisher carries its bytes, the
 * agent reads them. Layout: docs/wire-format.md, "Schema".
 */
#ifndef WALHOUSE_COMMON_SCHEMA_H
#define WALHOUSE_COMMON_SCHEMA_H

#include "wire.h"

#define WH_SCHEMA_LAYOUT        1
#define WH_COLUMNS_MAX          1664 /* Postgres's MaxTupleAttributeNumber */
#define WH_NAME_BYTES_MAX       1023 /* NAMEDATALEN - 1 is 63; a server may be built with more */
#define WH_TYPE_NAME_BYTES_MAX  4096
#define WH_TOPIC_BYTES_MAX      249 /* Kafka's limit for a topic's name */
#define WH_FINGERPRINT_HEX_SIZE 17  /* 16 digits and the terminating zero */

#define WH_COLUMN_NULLABLE 0x01

typedef struct WhColumn {
    uint32_t attribute_number;
    bool nullable;
    uint32_t key_position; /* 1-based; 0: not part of the key */
    WhSlice name;
    uint32_t type_oid;
    int32_t typmod;
    WhSlice type_name;       /* as Postgres prints it */
    WhSlice clickhouse_type; /* without Nullable() */
} WhColumn;

/* Slices borrow from the bytes that were read; columns is the caller's storage. */
typedef struct WhSchema {
    uint32_t relation_oid;
    char replica_identity;
    WhSlice schema_name;
    WhSlice table_name;
    WhColumn *columns;
    uint32_t column_count;
    uint32_t key_column_count; /* columns[0 .. key_column_count) are the key, in key order */
} WhSchema;

/* A message of the schema topic. */
typedef struct WhSchemaMessage {
    uint64_t fingerprint;
    WhSlice topic;
    WhSlice schema; /* the schema's bytes, whose fingerprint has been checked */
} WhSchemaMessage;

/* XXH3-64, seed 0, of the schema's bytes. */
uint64_t wh_schema_fingerprint(WhSlice schema);
/* hex gets 16 lower-case digits and a zero. */
void wh_fingerprint_hex(uint64_t fingerprint, char hex[WH_FINGERPRINT_HEX_SIZE]);

void wh_schema_put(WhWriter *w, const WhSchema *schema);
/*
 * Reads a schema's bytes into *schema, with room for max_columns in columns. false with *error (a constant
 * text) and *error_offset set when they are not a well-formed schema; key columns that do not come first are
 * an error too.
 */
bool wh_schema_get(WhSlice bytes, WhSchema *schema, WhColumn *columns, uint32_t max_columns,
                   const char **error, size_t *error_offset);

void wh_schema_message_put(WhWriter *w, uint64_t fingerprint, WhSlice topic, WhSlice schema);
/* As wh_schema_get, for the message of the schema topic; a fingerprint that is not the bytes' own is an
 * error. */
bool wh_schema_message_get(WhSlice bytes, WhSchemaMessage *message, const char **error, size_t *error_offset);

/*
 * The topic of a table's events, zero-terminated: <prefix>.<schema>.<table>, escaped and cut as
 * docs/wire-format.md says. The prefix is taken as it is. false when even the cut name does not fit: the
 * prefix is too long.
 */
bool wh_topic_name(char topic[WH_TOPIC_BYTES_MAX + 1], const char *prefix, WhSlice schema_name,
                   WhSlice table_name);
/*
 * Another name for a topic that the broker refuses because it differs from an existing one only in '.' and
 * '_': the name, cut if need be, '_' and the digits of its hash.
 */
void wh_topic_name_apart(char topic[WH_TOPIC_BYTES_MAX + 1]);

#endif
