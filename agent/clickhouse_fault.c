/*
 * clickhouse_fault.c - what a failed request to ClickHouse means; see clickhouse_fault.h.
 */
#include "agent/clickhouse_fault.h"

#include <stddef.h>
#include <string.h>

#define ACCESS_DENIED 497

typedef struct CodeFault {
    int code;
    Fault fault;
} CodeFault;

static const CodeFault codes[] = {
    {6, FAULT_DATA},        /* CANNOT_PARSE_TEXT */
    {26, FAULT_DATA},       /* CANNOT_PARSE_QUOTED_STRING */
    {27, FAULT_DATA},       /* CANNOT_PARSE_INPUT_ASSERTION_FAILED */
    {32, FAULT_DATA},       /* ATTEMPT_TO_READ_AFTER_EOF */
    {33, FAULT_DATA},       /* CANNOT_READ_ALL_DATA */
    {38, FAULT_DATA},       /* CANNOT_PARSE_DATE */
    {41, FAULT_DATA},       /* CANNOT_PARSE_DATETIME */
    {69, FAULT_DATA},       /* ARGUMENT_OUT_OF_BOUND */
    {72, FAULT_DATA},       /* CANNOT_PARSE_NUMBER */
    {117, FAULT_DATA},      /* INCORRECT_DATA */
    {131, FAULT_DATA},      /* TOO_LARGE_STRING_SIZE */
    {321, FAULT_DATA},      /* VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE */
    {349, FAULT_DATA},      /* CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN */
    {469, FAULT_DATA},      /* VIOLATED_CONSTRAINT */
    {8, FAULT_TABLE},       /* THERE_IS_NO_COLUMN */
    {10, FAULT_TABLE},      /* NOT_FOUND_COLUMN_IN_BLOCK */
    {16, FAULT_TABLE},      /* NO_SUCH_COLUMN_IN_TABLE */
    {44, FAULT_TABLE},      /* ILLEGAL_COLUMN */
    {47, FAULT_TABLE},      /* UNKNOWN_IDENTIFIER */
    {50, FAULT_TABLE},      /* UNKNOWN_TYPE */
    {53, FAULT_TABLE},      /* TYPE_MISMATCH */
    {57, FAULT_TABLE},      /* TABLE_ALREADY_EXISTS: also one that was detached for good */
    {60, FAULT_TABLE},      /* UNKNOWN_TABLE */
    {62, FAULT_TABLE},      /* SYNTAX_ERROR */
    {70, FAULT_TABLE},      /* CANNOT_CONVERT_TYPE */
    {81, FAULT_TABLE},      /* UNKNOWN_DATABASE */
    {218, FAULT_TABLE},     /* TABLE_IS_DROPPED */
    {524, FAULT_TABLE},     /* ALTER_OF_COLUMN_IS_FORBIDDEN */
    {158, FAULT_BUSY},      /* TOO_MANY_ROWS */
    {159, FAULT_BUSY},      /* TIMEOUT_EXCEEDED */
    {160, FAULT_BUSY},      /* TOO_SLOW */
    {201, FAULT_BUSY},      /* QUOTA_EXCEEDED */
    {202, FAULT_BUSY},      /* TOO_MANY_SIMULTANEOUS_QUERIES */
    {241, FAULT_BUSY},      /* MEMORY_LIMIT_EXCEEDED */
    {252, FAULT_BUSY},      /* TOO_MANY_PARTS */
    {286, FAULT_BUSY},      /* UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE */
    {307, FAULT_BUSY},      /* TOO_MANY_BYTES */
    {364, FAULT_BUSY},      /* RECEIVED_ERROR_TOO_MANY_REQUESTS */
    {439, FAULT_BUSY},      /* CANNOT_SCHEDULE_TASK */
    {164, FAULT_READ_ONLY}, /* READONLY */
    {225, FAULT_READ_ONLY}, /* NO_ZOOKEEPER */
    {242, FAULT_READ_ONLY}, /* TABLE_IS_READ_ONLY */
    {285, FAULT_READ_ONLY}, /* TOO_FEW_LIVE_REPLICAS */
    {289, FAULT_READ_ONLY}, /* REPLICA_IS_NOT_IN_QUORUM */
    {319, FAULT_READ_ONLY}, /* UNKNOWN_STATUS_OF_INSERT */
    {999, FAULT_READ_ONLY}, /* KEEPER_EXCEPTION */
    {74, FAULT_DISK},       /* CANNOT_READ_FROM_FILE_DESCRIPTOR */
    {75, FAULT_DISK},       /* CANNOT_WRITE_TO_FILE_DESCRIPTOR */
    {243, FAULT_DISK},      /* NOT_ENOUGH_SPACE */
    {481, FAULT_DISK},      /* PATH_ACCESS_DENIED */
    {499, FAULT_DISK},      /* S3_ERROR */
    {115, FAULT_ACCESS},    /* UNKNOWN_SETTING */
    {192, FAULT_ACCESS},    /* UNKNOWN_USER */
    {193, FAULT_ACCESS},    /* WRONG_PASSWORD */
    {194, FAULT_ACCESS},    /* REQUIRED_PASSWORD */
    {195, FAULT_ACCESS},    /* IP_ADDRESS_NOT_ALLOWED */
    {452, FAULT_ACCESS},    /* SETTING_CONSTRAINT_VIOLATION */
    {ACCESS_DENIED, FAULT_ACCESS},
    {516, FAULT_ACCESS}, /* AUTHENTICATION_FAILED */
    {198, FAULT_AWAY},   /* DNS_ERROR */
    {209, FAULT_AWAY},   /* SOCKET_TIMEOUT */
    {210, FAULT_AWAY},   /* NETWORK_ERROR */
    {236, FAULT_AWAY},   /* ABORTED: it is shutting down */
    {279, FAULT_AWAY},   /* ALL_CONNECTION_TRIES_FAILED */
    {394, FAULT_AWAY},   /* QUERY_WAS_CANCELLED */
};

/* Where no code came: of old servers, of proxies, and of what the server says before it has one. */
static Fault fault_without_code(long http_status, const char *answer)
{
    if (http_status == 401 || http_status == 403 || strstr(answer, "Wrong password"))
        return FAULT_ACCESS;
    if (http_status == 429 || http_status == 503)
        return FAULT_BUSY;
    return http_status == 0 || (http_status >= 502 && http_status <= 504) ? FAULT_AWAY : FAULT_OTHER;
}

Fault fault_of(int code, long http_status, const char *answer)
{
    if (code == 0 && http_status == 200)
        return FAULT_NONE;
    /* Whatever the code: the errno in the text is what is wrong. */
    if (strstr(answer, "No space left on device"))
        return FAULT_DISK;
    if (code == 0)
        return fault_without_code(http_status, answer);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].code == code)
            return codes[i].fault;
    return FAULT_OTHER;
}

const char *fault_name(Fault fault)
{
    static const char *const names[FAULT_COUNT] = {
        [FAULT_NONE] = "none",           [FAULT_AWAY] = "away", [FAULT_BUSY] = "busy",
        [FAULT_READ_ONLY] = "read_only", [FAULT_DISK] = "disk", [FAULT_ACCESS] = "access",
        [FAULT_TABLE] = "table",         [FAULT_DATA] = "data", [FAULT_OTHER] = "other",
    };

    return names[fault];
}

const char *fault_advice(Fault fault)
{
    static const char *const advice[FAULT_COUNT] = {
        [FAULT_BUSY] = "; rows wait in Kafka until the server keeps up",
        [FAULT_READ_ONLY] = "; rows wait in Kafka until the server or the user may write",
        [FAULT_DISK] = "; rows wait in Kafka until there is room",
        [FAULT_ACCESS] =
            "; look at [clickhouse] user and password_file, and at the user's rights and profile",
    };

    return advice[fault] ? advice[fault] : "";
}

Status fault_status(Fault fault, int code)
{
    switch (fault) {
    case FAULT_NONE:
        return STATUS_OK;
    case FAULT_DATA:
        return STATUS_REJECT;
    case FAULT_TABLE:
        return STATUS_STOP;
    case FAULT_ACCESS:
        /* Rights are given table by table, and the others go on. */
        return code == ACCESS_DENIED ? STATUS_STOP : STATUS_RETRY;
    default:
        return STATUS_RETRY;
    }
}

bool fault_is_of_the_server(Fault fault, int code)
{
    /* 164 is of the user, 286 of the table: they are the same elsewhere. */
    return fault == FAULT_AWAY || fault == FAULT_DISK || (fault == FAULT_READ_ONLY && code != 164);
}
