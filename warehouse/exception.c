/*
 * exception.c - ClickHouse exceptions: from the engine's text to code and HTTP status.
 *
 * The engine hands out errors as text only. A server's clients look at three things: the HTTP status, the
 * header X-ClickHouse-Exception-Code, and the text. Pure functions; no engine and no HTTP here.
 */
#include "warehouse/exception.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct code_name {
    int code;
    const char *name;
};

static const struct code_name code_names[] = {
    {EXCEPTION_BAD_ARGUMENTS, "BAD_ARGUMENTS"},
    {EXCEPTION_NOT_IMPLEMENTED, "NOT_IMPLEMENTED"},
    {EXCEPTION_SYNTAX_ERROR, "SYNTAX_ERROR"},
    {EXCEPTION_UNKNOWN_SETTING, "UNKNOWN_SETTING"},
    {EXCEPTION_READONLY, "READONLY"},
    {EXCEPTION_REQUIRED_PASSWORD, "REQUIRED_PASSWORD"},
    {EXCEPTION_TOO_MANY_SIMULTANEOUS_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES"},
    {EXCEPTION_NETWORK_ERROR, "NETWORK_ERROR"},
    {EXCEPTION_CANNOT_ALLOCATE_MEMORY, "CANNOT_ALLOCATE_MEMORY"},
    {EXCEPTION_INTO_OUTFILE_NOT_ALLOWED, "INTO_OUTFILE_NOT_ALLOWED"},
    {EXCEPTION_HTTP_LENGTH_REQUIRED, "HTTP_LENGTH_REQUIRED"},
    {EXCEPTION_AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED"},
    {EXCEPTION_ZLIB_INFLATE_FAILED, "ZLIB_INFLATE_FAILED"},
    {EXCEPTION_UNKNOWN, "UNKNOWN_EXCEPTION"},
};

struct code_status {
    short code;
    short status;
};

static const struct code_status code_statuses[] = {
    /* REQUIRED_PASSWORD */
    {194, 401},
    /* UNKNOWN_USER, WRONG_PASSWORD, AUTHENTICATION_FAILED, SET_NON_GRANTED_ROLE, ACCESS_DENIED */
    {192, 403},
    {193, 403},
    {516, 403},
    {512, 403},
    {497, 403},
    /* BAD_ARGUMENTS, CANNOT_COMPILE_REGEXP, CANNOT_PARSE_*: text, escape sequence, quoted string, date,
     * datetime, number, domain value, IPv4, IPv6, input assertion, UUID */
    {36, 400},
    {427, 400},
    {6, 400},
    {25, 400},
    {26, 400},
    {38, 400},
    {41, 400},
    {72, 400},
    {247, 400},
    {675, 400},
    {676, 400},
    {27, 400},
    {376, 400},
    /* DUPLICATE_COLUMN, ILLEGAL_COLUMN, UNKNOWN_ELEMENT_IN_AST, UNKNOWN_TYPE_OF_AST_NODE, THERE_IS_NO_COLUMN,
     * TOO_DEEP_AST, TOO_BIG_AST, UNEXPECTED_AST_STRUCTURE, SYNTAX_ERROR, INCORRECT_DATA, TYPE_MISMATCH,
     * VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE */
    {15, 400},
    {44, 400},
    {54, 400},
    {94, 400},
    {8, 400},
    {167, 400},
    {168, 400},
    {223, 400},
    {62, 400},
    {117, 400},
    {53, 400},
    {321, 400},
    /* UNKNOWN_*: table, function, identifier, type, storage, database, setting, direction of sorting,
     * aggregate function, format, database engine, type of query, role */
    {60, 404},
    {46, 404},
    {47, 404},
    {50, 404},
    {56, 404},
    {81, 404},
    {115, 404},
    {89, 404},
    {63, 404},
    {73, 404},
    {336, 404},
    {78, 404},
    {511, 404},
    /* QUERY_IS_TOO_LARGE, NOT_IMPLEMENTED */
    {229, 413},
    {48, 501},
    /* SOCKET_TIMEOUT, CANNOT_OPEN_FILE, CANNOT_SCHEDULE_TASK, and ours: TOO_MANY_SIMULTANEOUS_QUERIES */
    {209, 503},
    {76, 503},
    {439, 503},
    {202, 503},
    /* HTTP_LENGTH_REQUIRED, TIMEOUT_EXCEEDED */
    {381, 411},
    {159, 408},
};

unsigned exception_http_status(int code)
{
    for (size_t i = 0; i < sizeof code_statuses / sizeof code_statuses[0]; i++)
        if (code_statuses[i].code == code)
            return (unsigned)code_statuses[i].status;
    return 500;
}

static const char *name_of_code(int code)
{
    for (size_t i = 0; i < sizeof code_names / sizeof code_names[0]; i++)
        if (code_names[i].code == code)
            return code_names[i].name;
    return "UNKNOWN_EXCEPTION";
}

/* The number after "Code: ", or EXCEPTION_UNKNOWN. */
static int code_of_text(const char *text)
{
    static const char mark[] = "Code: ";
    const char *p = strstr(text, mark);
    char *end = NULL;
    long code;

    if (p == NULL)
        return EXCEPTION_UNKNOWN;
    p += sizeof mark - 1;
    code = strtol(p, &end, 10);
    if (end == p || code <= 0 || code > 100000)
        return EXCEPTION_UNKNOWN;
    return (int)code;
}

/* Bytes of text that are the message: without a stack trace, and without blanks at the end. */
static size_t message_bytes(const char *text)
{
    const char *trace = strstr(text, "Stack trace (when copying");
    size_t n = trace != NULL ? (size_t)(trace - text) : strlen(text);

    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ' || text[n - 1] == ','))
        n--;
    return n;
}

void exception_from_engine(struct exception *e, const char *text, const char *version)
{
    static const char error_prefix[] = "Error: ";
    size_t n;
    bool has_code, has_version;
    int written;

    if (strncmp(text, error_prefix, sizeof error_prefix - 1) == 0)
        text += sizeof error_prefix - 1;
    n = message_bytes(text);
    e->code = code_of_text(text);
    has_code = strstr(text, "Code: ") != NULL;
    has_version = version == NULL || strstr(text, "(version ") != NULL;
    if (n > sizeof e->text - 128) /* leaves room for what is put around it */
        n = sizeof e->text - 128;
    written = snprintf(e->text, sizeof e->text, "%s%.*s%s%s%s%s",
                       has_code ? "" : "Code: 1002. DB::Exception: ", (int)n, text,
                       has_code ? "" : " (UNKNOWN_EXCEPTION)", has_version ? "" : " (version ",
                       has_version ? "" : version, has_version ? "" : ")");
    if (written < 0)
        e->text[0] = '\0';
}

void exception_raise(struct exception *e, enum exception_code code, const char *format, ...)
{
    char message[EXCEPTION_TEXT_MAX - 128];
    va_list arguments;
    int written;

    va_start(arguments, format);
    written = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (written < 0)
        message[0] = '\0';
    e->code = code;
    written = snprintf(e->text, sizeof e->text, "Code: %d. DB::Exception: %s (%s)", (int)code, message,
                       name_of_code(code));
    if (written < 0)
        e->text[0] = '\0';
}
