/*
 * exchange.c - one request's way through the warehouse.
 *
 *     HEAD ──(the statement turns out to be INSERT … data)──► INSERTING ──(end of body)──► ANSWERING
 *       │                                                         │
 *       ├──(it is something else)──► STATEMENT ──(end of body)────┼──► ANSWERING
 *       └──────────── any failure ──────────────► FAILED ◄────────┘  the rest of the body is dropped
 *
 * What ClickHouse reads is one text: query=, a line end, and the body. HEAD collects the beginning of that
 * text, at most max_query_size bytes, until it is clear where an INSERT's data begins; from there on bytes go
 * straight to the engine, in pieces of at most 256 KB, of which the engine queues 16. So memory does not
 * depend on a body's size.
 *
 * A request that breaks off never reaches the end of its body: exchange_end gives its insert up. Blocks that
 * were complete by then (a million rows each) are in the table, as with ClickHouse; the last, partial block
 * is not.
 */
#include "warehouse/exchange.h"

#include "warehouse/answer.h"
#include "warehouse/body.h"
#include "warehouse/result.h"
#include "warehouse/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define STAGE_BYTES (256u * 1024)

enum exchange_state { HEAD, STATEMENT, INSERTING, FAILED, ANSWERING };

struct exchange {
    enum exchange_state state;
    struct engine *engine;
    struct request request;
    bool gzip_accepted;
    struct timespec started;
    struct body_decoder *decoder;
    struct buffer text;   /* query=, line end, and as much of the body as belongs to the statement */
    size_t scan_again_at; /* length of text at which looking for the data is worth another try */
    struct buffer stage;  /* small pieces of an insert on their way to the engine */
    struct engine_connection *connection;
    struct engine_insert *insert;
    struct result *result;
    bool reusable; /* the connection is as it was */
    struct exception exception;
    size_t exception_given; /* bytes of its text and line end already read */
    struct engine_statistics statistics;
    char tag[RESULT_TAG_BYTES + 1];
};

void exchange_fail(struct exchange *x, const struct exception *e)
{
    if (x->state == FAILED)
        return;
    x->exception = *e;
    x->state = FAILED;
}

static void fail_no_memory(struct exchange *x)
{
    struct exception e;

    exception_raise(&e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory for the request");
    exchange_fail(x, &e);
}

static bool random_bytes(void *out, size_t bytes)
{
    return getrandom(out, bytes, 0) == (ssize_t)bytes;
}

/* Ids are for telling requests apart, so that a kernel without randomness is no reason to fail. */
static void make_ids(struct exchange *x)
{
    unsigned char bits[16] = {0}, letters[RESULT_TAG_BYTES] = {0};
    unsigned char *b = bits;

    (void)random_bytes(bits, sizeof bits);
    (void)random_bytes(letters, sizeof letters);
    for (size_t i = 0; i < RESULT_TAG_BYTES; i++)
        x->tag[i] = (char)('a' + letters[i] % 26);
    if (x->request.query_id[0] != '\0')
        return;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4, variant 1 of RFC 4122 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    (void)snprintf(x->request.query_id, sizeof x->request.query_id,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                   b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* Inserting */

static void append_to_engine(struct exchange *x, const char *data, size_t bytes)
{
    while (bytes > 0) {
        size_t n = bytes < STAGE_BYTES ? bytes : STAGE_BYTES;

        if (!engine_insert_append(x->insert, data, n)) {
            struct exception e;

            /* It has failed already, so this only fetches the reason. */
            if (engine_insert_finish(x->insert, &x->statistics, &e))
                exception_raise(&e, EXCEPTION_UNKNOWN, "The engine takes no more data");
            x->insert = NULL;
            exchange_fail(x, &e);
            return;
        }
        data += n;
        bytes -= n;
    }
}

static void flush_stage(struct exchange *x)
{
    append_to_engine(x, x->stage.data, x->stage.length);
    buffer_clear(&x->stage);
}

/* Small pieces are put together first: each hand-over to the engine wakes a thread. */
static void insert_data(struct exchange *x, const char *data, size_t bytes)
{
    if (x->stage.length + bytes > STAGE_BYTES)
        flush_stage(x);
    if (x->state != INSERTING)
        return;
    if (bytes > STAGE_BYTES / 2) {
        flush_stage(x);
        if (x->state == INSERTING)
            append_to_engine(x, data, bytes);
        return;
    }
    buffer_append(&x->stage, data, bytes);
    if (x->stage.failed)
        fail_no_memory(x);
}

/* Deciding */

static void fail_readonly(struct exchange *x)
{
    struct exception e;

    exception_raise(
        &e, EXCEPTION_READONLY,
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You "
        "should use method POST for modifying queries.");
    exchange_fail(x, &e);
}

static void begin_insert(struct exchange *x, const struct sql_insert_head *head)
{
    struct exception e;

    if (x->request.readonly) {
        fail_readonly(x);
        return;
    }
    x->connection = engine_acquire(x->engine, &x->request, &e);
    if (x->connection == NULL) {
        exchange_fail(x, &e);
        return;
    }
    x->insert = engine_insert_open(x->connection, x->text.data, head->statement_bytes, head->format,
                                   &x->request.parameters, &e);
    if (x->insert == NULL) {
        exchange_fail(x, &e);
        return;
    }
    x->state = INSERTING;
    insert_data(x, x->text.data + head->data_at, x->text.length - head->data_at);
}

/* Looks whether the text so far tells what it is. */
static void decide(struct exchange *x, bool complete)
{
    struct sql_insert_head head;
    struct exception e;

    switch (sql_scan_insert(x->text.data != NULL ? x->text.data : "", x->text.length, complete, &head)) {
    case SQL_INSERT_NO:
        x->state = STATEMENT;
        break;
    case SQL_INSERT_MORE:
        x->scan_again_at =
            x->text.length + x->text.length / 4 + 1; /* keeps the scanning of slow bodies linear */
        break;
    case SQL_INSERT_DATA:
        begin_insert(x, &head);
        break;
    case SQL_INSERT_INFILE:
        exception_raise(
            &e, EXCEPTION_NOT_IMPLEMENTED,
            "INSERT FROM INFILE is for command line clients: send the data in the request's body");
        exchange_fail(x, &e);
        break;
    }
}

static void collect(struct exchange *x, const char *data, size_t bytes)
{
    size_t limit = x->request.query_bytes_max;
    size_t n = bytes < limit + 1 - x->text.length ? bytes : limit + 1 - x->text.length;
    struct exception e;

    buffer_append(&x->text, data, n);
    if (x->text.failed) {
        fail_no_memory(x);
        return;
    }
    if (x->state == HEAD && (x->text.length >= x->scan_again_at || n < bytes))
        decide(x, false);
    if (x->state == INSERTING && n < bytes)
        insert_data(x, data + n, bytes - n);
    if ((x->state == HEAD || x->state == STATEMENT) && x->text.length > limit) {
        exception_raise(
            &e, EXCEPTION_SYNTAX_ERROR,
            "Syntax error: Max query size exceeded (can be increased with the `max_query_size` setting, "
            "now %zu bytes)",
            limit);
        exchange_fail(x, &e);
    }
}

static bool receive(void *exchange, const char *data, size_t bytes)
{
    struct exchange *x = exchange;

    if (x->state == HEAD || x->state == STATEMENT)
        collect(x, data, bytes);
    else if (x->state == INSERTING)
        insert_data(x, data, bytes);
    return x->state != FAILED;
}

struct exchange *exchange_begin(struct engine *engine, struct request *request, const char *content_encoding,
                                bool gzip_accepted)
{
    struct exchange *x = calloc(1, sizeof *x);
    struct exception e;

    if (x == NULL)
        return NULL;
    x->engine = engine;
    x->request = *request;
    request_init(request, false);
    x->gzip_accepted = gzip_accepted;
    x->stage.limit = STAGE_BYTES;
    if (clock_gettime(CLOCK_MONOTONIC, &x->started) != 0)
        x->started = (struct timespec){0};
    make_ids(x);
    if (!body_open(&x->decoder, content_encoding, &e))
        exchange_fail(x, &e);
    return x;
}

/* The query parameter comes before the body, with a line end between them. */
static void begin_text(struct exchange *x)
{
    if (x->state != HEAD || x->text.length > 0 || x->request.query.length == 0)
        return;
    (void)receive(x, x->request.query.data, x->request.query.length);
    if (x->state != FAILED)
        (void)receive(x, "\n", 1);
}

bool exchange_body(struct exchange *x, const char *data, size_t bytes)
{
    struct exception e = {0};

    begin_text(x);
    if (x->state == FAILED)
        return false;
    if (!body_decode(x->decoder, data, bytes, receive, x, &e) && e.code != EXCEPTION_NONE)
        exchange_fail(x, &e);
    return x->state != FAILED;
}

/* Running */

static const char *format_of_answer(const struct exchange *x)
{
    return x->request.format[0] != '\0' ? x->request.format : "TabSeparated";
}

static bool open_result(struct exchange *x, const char *sql, size_t bytes, bool streaming)
{
    struct result_options options = {
        .buffer_bytes = x->request.buffer_bytes,
        .wait_end_of_query = x->request.wait_end_of_query,
        .gzip = x->gzip_accepted && x->request.enable_http_compression,
        .compression_level = x->request.compression_level,
        .tag = x->tag,
    };
    struct exception e;
    struct engine_result *source =
        engine_query(x->connection, sql, bytes, format_of_answer(x), &x->request.parameters, streaming, &e);

    if (source == NULL) {
        exchange_fail(x, &e);
        return false;
    }
    x->result = result_open(source, &options, &e);
    if (x->result == NULL) {
        engine_result_close(source);
        exchange_fail(x, &e);
        return false;
    }
    x->state = ANSWERING;
    return true;
}

static void run_statement(struct exchange *x, const struct sql_shape *shape)
{
    static const char comment[] = "/**/ ";
    struct exception e;
    enum engine_class class;
    unsigned statements;

    x->connection = engine_acquire(x->engine, &x->request, &e);
    if (x->connection == NULL) {
        exchange_fail(x, &e);
        return;
    }
    class = engine_classify(x->connection, x->text.data, x->text.length, &statements);
    if (statements > 1) {
        exception_raise(&e, EXCEPTION_SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed): %.200s",
                        x->text.data);
        exchange_fail(x, &e);
        return;
    }
    /* The engine's readonly mode lets INSERT INTO FUNCTION file(…) pass, so it is not relied upon alone. */
    if (x->request.readonly && statements > 0 && class != ENGINE_READ && !shape->set_or_use) {
        fail_readonly(x);
        return;
    }
    x->reusable = class == ENGINE_READ;
    if (class == ENGINE_UNKNOWN && shape->lone_word) {
        /* "exit" and "help" are commands to the library's client part; behind a comment they are syntax
         * errors. */
        struct buffer text = {0};

        buffer_append_text(&text, comment);
        buffer_append(&text, x->text.data, x->text.length);
        if (text.failed)
            fail_no_memory(x);
        else
            (void)open_result(x, text.data, text.length, false);
        buffer_free(&text);
        return;
    }
    (void)open_result(x, x->text.data, x->text.length, class == ENGINE_READ);
}

static void finish_insert(struct exchange *x)
{
    struct exception e;

    flush_stage(x);
    if (x->state != INSERTING)
        return;
    if (engine_insert_finish(x->insert, &x->statistics, &e)) {
        x->state = ANSWERING;
        x->reusable = true;
    } else {
        exchange_fail(x, &e);
    }
    x->insert = NULL;
}

/* All bytes are here. */
static void run(struct exchange *x, struct sql_shape *shape)
{
    struct exception e;

    begin_text(x);
    if (x->state != FAILED && !body_finish(x->decoder, &e))
        exchange_fail(x, &e);
    if (x->state == HEAD)
        decide(x, true);
    if (x->state == STATEMENT) {
        sql_describe(x->text.data != NULL ? x->text.data : "", x->text.length, shape);
        if (shape->empty) {
            exception_raise(&e, EXCEPTION_SYNTAX_ERROR, "Syntax error: Empty query");
            exchange_fail(x, &e);
        } else if (shape->into_outfile) {
            exception_raise(&e, EXCEPTION_INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed");
            exchange_fail(x, &e);
        } else {
            run_statement(x, shape);
        }
    } else if (x->state == INSERTING) {
        finish_insert(x);
    }
    if (x->insert != NULL) {
        engine_insert_abort(x->insert);
        x->insert = NULL;
    }
    /* A connection is kept while there is more to fetch from it. */
    if (x->connection != NULL && (x->result == NULL || result_ended_well(x->result))) {
        engine_release(x->connection, x->reusable);
        x->connection = NULL;
    }
}

/* Statistics of the statement, and the nanoseconds since the request began. */
static void write_summary(const struct exchange *x, char *out, size_t size)
{
    struct engine_statistics statistics = x->statistics;
    struct timespec now;
    long long elapsed_ns = 0;

    if (x->result != NULL)
        result_statistics(x->result, &statistics);
    if (clock_gettime(CLOCK_MONOTONIC, &now) == 0)
        elapsed_ns =
            (long long)(now.tv_sec - x->started.tv_sec) * 1000000000 + (now.tv_nsec - x->started.tv_nsec);
    answer_summary(&statistics, elapsed_ns, out, size);
}

void exchange_run(struct exchange *x, struct exchange_answer *answer)
{
    struct sql_shape shape = {.empty = true};

    run(x, &shape);
    *answer = (struct exchange_answer){
        .status = 200,
        .content_type = "text/plain; charset=UTF-8",
        .query_id = x->request.query_id,
        .exception_tag = x->tag,
    };
    write_summary(x, answer->summary, sizeof answer->summary);
    if (x->state == FAILED) {
        answer->status = exception_http_status(x->exception.code);
        answer->exception_code = x->exception.code;
        answer->exception_text = x->exception.text;
        answer->bytes = strlen(x->exception.text) + 1;
    } else if (x->result != NULL) {
        if (shape.format[0] != '\0')
            memcpy(x->request.format, shape.format, sizeof shape.format);
        answer->format = format_of_answer(x);
        answer->content_type = answer_content_type(answer->format);
        answer->bytes = result_bytes(x->result);
        answer->gzip = x->gzip_accepted && x->request.enable_http_compression;
    }
}

ssize_t exchange_read(struct exchange *x, char *out, size_t size)
{
    size_t text_bytes, n;

    if (x->result != NULL)
        return result_read(x->result, out, size);
    if (x->state != FAILED)
        return 0;
    text_bytes = strlen(x->exception.text);
    if (x->exception_given == text_bytes + 1)
        return 0;
    if (x->exception_given == text_bytes) {
        out[0] = '\n';
        x->exception_given++;
        return 1;
    }
    n = text_bytes - x->exception_given < size ? text_bytes - x->exception_given : size;
    memcpy(out, x->exception.text + x->exception_given, n);
    x->exception_given += n;
    return (ssize_t)n;
}

void exchange_end(struct exchange *x)
{
    if (x->insert != NULL)
        engine_insert_abort(x->insert);
    if (x->result != NULL) {
        x->reusable = x->reusable && result_ended_well(x->result);
        result_close(x->result);
    }
    if (x->connection != NULL)
        engine_release(x->connection, x->reusable);
    body_free(x->decoder);
    buffer_free(&x->text);
    buffer_free(&x->stage);
    request_free(&x->request);
    free(x);
}
