/* A ClickHouse exception: its code, its text, and the HTTP status a ClickHouse server answers it with. */
#ifndef WAREHOUSE_EXCEPTION_H
#define WAREHOUSE_EXCEPTION_H

#include <stddef.h>

/* Codes this program raises itself. Numbers and names: ClickHouse src/Common/ErrorCodes.cpp. */
enum exception_code {
    EXCEPTION_NONE = 0,
    EXCEPTION_BAD_ARGUMENTS = 36,
    EXCEPTION_NOT_IMPLEMENTED = 48,
    EXCEPTION_SYNTAX_ERROR = 62,
    EXCEPTION_UNKNOWN_SETTING = 115,
    EXCEPTION_REQUIRED_PASSWORD = 194,
    EXCEPTION_TOO_MANY_SIMULTANEOUS_QUERIES = 202,
    EXCEPTION_NETWORK_ERROR = 210,
    EXCEPTION_READONLY = 164,
    EXCEPTION_CANNOT_ALLOCATE_MEMORY = 173,
    EXCEPTION_INTO_OUTFILE_NOT_ALLOWED = 358,
    EXCEPTION_HTTP_LENGTH_REQUIRED = 381,
    EXCEPTION_AUTHENTICATION_FAILED = 516,
    EXCEPTION_ZLIB_INFLATE_FAILED = 354,
    EXCEPTION_UNKNOWN = 1002
};

#define EXCEPTION_TEXT_MAX                                                                                   \
    8192 /* longer texts are cut; the engine's longest known one is a syntax error's 4 KB */

/* The caller owns the storage. code 0 means there is none. text is a whole message as ClickHouse words it:
 * "Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version 26.7.2.1)", without a line end. */
struct exception {
    int code;
    char text[EXCEPTION_TEXT_MAX];
};

/* Makes the exception that a text from the engine says. The code is read from the text (1002 when it names
 * none), a stack trace is cut off, and the version is added where the engine left it out. version may be
 * NULL. */
void exception_from_engine(struct exception *e, const char *text, const char *version);

/* Makes an exception of this program's own; the name of the code is added as ClickHouse does. */
void exception_raise(struct exception *e, enum exception_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ClickHouse's mapping (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp), with one addition: 202 (too many
 * queries) is 503, since a client should come again. */
unsigned exception_http_status(int code);

#endif
