/*
 * result.c - from the engine's pieces to the bytes of the answer.
 *
 *      engine_fetch ─► held back (memory, then a file if the client waits for the end) ─► [gzip] ─►
 * result_read
 *
 * ClickHouse holds back the first megabyte of a result, so that a statement which fails early is answered
 * with its HTTP status; when it fails later, the status 200 is out, and the text of the exception ends the
 * answer:
 *
 *      \r\n__exception__\r\n<tag>\r\n<message>\n<bytes of message and line end> <tag>\r\n__exception__\r\n
 *
 * and the chunked answer is left without its last chunk. The tag is in the header X-ClickHouse-Exception-Tag,
 * so data cannot be mistaken for an exception. Memory held: the buffer, one piece of the engine (a block,
 * some 65,000 rows) and the compressor's window.
 */
#include "warehouse/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum source_state { SOURCE_OPEN, SOURCE_ENDED, SOURCE_FAILED };

struct result {
    struct engine_result *source;
    struct result_options options;
    enum source_state state;
    struct buffer held; /* the beginning of the result, later the exception's text */
    bool held_given;
    FILE *spill; /* what came after `held` when the client waits for the end; NULL without */
    uint64_t spill_bytes;
    const char *piece; /* of the engine, borrowed, not given on yet */
    size_t piece_bytes;
    const char *slice; /* being given on: within held, window or a piece */
    size_t slice_bytes;
    struct exception exception;
    bool exception_given;
    z_stream deflater;
    bool deflating;
    bool deflated;      /* the gzip trailer is out */
    char window[65536]; /* of the spill file */
};

/* Puts a piece behind what is held back already. */
static bool hold_back(struct result *r, const char *data, size_t bytes, struct exception *e)
{
    if (r->spill == NULL && r->options.wait_end_of_query &&
        r->held.length + bytes > r->options.buffer_bytes) {
        r->spill = tmpfile();
        if (r->spill == NULL) {
            exception_raise(e, EXCEPTION_UNKNOWN, "Cannot make a temporary file for the result: %m");
            return false;
        }
    }
    if (r->spill != NULL) {
        if (fwrite(data, 1, bytes, r->spill) != bytes) {
            exception_raise(e, EXCEPTION_UNKNOWN, "Cannot write the result to a temporary file: %m");
            return false;
        }
        r->spill_bytes += bytes;
        return true;
    }
    buffer_append(&r->held, data, bytes);
    if (r->held.failed) {
        exception_raise(e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory for the result's first bytes");
        return false;
    }
    return true;
}

/* Reads ahead until the buffer is full or the result ends. */
static bool fill(struct result *r, struct exception *e)
{
    while (r->state == SOURCE_OPEN) {
        const char *data;
        size_t bytes;

        if (!engine_fetch(r->source, &data, &bytes, e))
            return false;
        if (bytes == 0) {
            r->state = SOURCE_ENDED;
        } else if (!r->options.wait_end_of_query && r->held.length + bytes > r->options.buffer_bytes) {
            r->piece = data; /* stays where it is, in the engine's memory */
            r->piece_bytes = bytes;
            break;
        } else if (!hold_back(r, data, bytes, e)) {
            return false;
        }
    }
    if (r->spill != NULL && (fflush(r->spill) != 0 || fseek(r->spill, 0, SEEK_SET) != 0)) {
        exception_raise(e, EXCEPTION_UNKNOWN, "Cannot read the result's temporary file again: %m");
        return false;
    }
    return true;
}

struct result *result_open(struct engine_result *source, const struct result_options *options,
                           struct exception *e)
{
    struct result *r = calloc(1, sizeof *r);

    if (r == NULL) {
        exception_raise(e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory for the result");
        return NULL;
    }
    r->options = *options;
    r->source = source;
    if (!fill(r, e)) {
        r->source = NULL; /* stays the caller's */
        result_close(r);
        return NULL;
    }
    if (options->gzip) {
        if (deflateInit2(&r->deflater, options->compression_level, Z_DEFLATED, MAX_WBITS + 16, 8,
                         Z_DEFAULT_STRATEGY) != Z_OK) {
            exception_raise(e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory to compress the result");
            r->source = NULL;
            result_close(r);
            return NULL;
        }
        r->deflating = true;
    }
    return r;
}

uint64_t result_bytes(const struct result *r)
{
    if (r->options.gzip || r->state != SOURCE_ENDED)
        return RESULT_UNKNOWN_BYTES;
    return r->held.length + r->spill_bytes;
}

/* Makes the exception's frame the next thing that is given out. */
static void frame_exception(struct result *r)
{
    char tail[64];

    buffer_clear(&r->held);
    buffer_append_text(&r->held, "\r\n__exception__\r\n");
    buffer_append_text(&r->held, r->options.tag);
    buffer_append_text(&r->held, "\r\n");
    buffer_append_text(&r->held, r->exception.text);
    (void)snprintf(tail, sizeof tail, "\n%zu ", strlen(r->exception.text) + 1);
    buffer_append_text(&r->held, tail);
    buffer_append_text(&r->held, r->options.tag);
    buffer_append_text(&r->held, "\r\n__exception__\r\n");
}

/* Makes r->slice the next plain bytes; it stays empty at the end. Called with an empty slice only. */
static void next_slice(struct result *r)
{
    if (!r->held_given) {
        r->held_given = true;
        r->slice = r->held.data;
        r->slice_bytes = r->held.length;
    }
    if (r->slice_bytes == 0 && r->spill != NULL) {
        r->slice = r->window;
        r->slice_bytes = fread(r->window, 1, sizeof r->window, r->spill);
        if (r->slice_bytes == 0 && ferror(r->spill)) {
            exception_raise(&r->exception, EXCEPTION_UNKNOWN, "Cannot read the result's temporary file: %m");
            r->state = SOURCE_FAILED;
        }
    }
    if (r->slice_bytes == 0 && r->piece_bytes == 0 && r->state == SOURCE_OPEN) {
        if (!engine_fetch(r->source, &r->piece, &r->piece_bytes, &r->exception))
            r->state = SOURCE_FAILED;
        else if (r->piece_bytes == 0)
            r->state = SOURCE_ENDED;
    }
    if (r->slice_bytes == 0) {
        r->slice = r->piece;
        r->slice_bytes = r->piece_bytes;
        r->piece_bytes = 0;
    }
    if (r->slice_bytes == 0 && r->state == SOURCE_FAILED && !r->exception_given) {
        r->exception_given = true;
        frame_exception(r);
        r->slice = r->held.data;
        r->slice_bytes = r->held.length;
    }
}

static size_t read_plain(struct result *r, char *out, size_t size)
{
    size_t n;

    if (r->slice_bytes == 0)
        next_slice(r);
    n = r->slice_bytes < size ? r->slice_bytes : size;
    if (n > 0)
        memcpy(out, r->slice, n);
    r->slice += n;
    r->slice_bytes -= n;
    return n;
}

static size_t read_gzip(struct result *r, char *out, size_t size)
{
    r->deflater.next_out = (Bytef *)out;
    r->deflater.avail_out = (uInt)size;
    while (r->deflater.avail_out == size && !r->deflated) {
        int status;

        if (r->deflater.avail_in == 0) {
            next_slice(r);
            r->deflater.next_in = (Bytef *)(size_t)r->slice; /* zlib does not write there */
            r->deflater.avail_in = (uInt)r->slice_bytes;     /* a piece of the engine is far below 4 GB */
            r->slice_bytes = 0;
        }
        status = deflate(&r->deflater, r->deflater.avail_in == 0 ? Z_FINISH : Z_NO_FLUSH);
        if (status == Z_STREAM_END)
            r->deflated = true;
        else if (status != Z_OK && status != Z_BUF_ERROR)
            break;
    }
    return size - r->deflater.avail_out;
}

ssize_t result_read(struct result *r, char *out, size_t size)
{
    size_t n = r->deflating ? read_gzip(r, out, size) : read_plain(r, out, size);

    if (n > 0)
        return (ssize_t)n;
    return r->state == SOURCE_FAILED ? RESULT_READ_FAILED : 0;
}

bool result_ended_well(const struct result *r)
{
    return r->state == SOURCE_ENDED;
}

const struct exception *result_exception(const struct result *r)
{
    return r->state == SOURCE_FAILED ? &r->exception : NULL;
}

void result_statistics(const struct result *r, struct engine_statistics *statistics)
{
    engine_result_statistics(r->source, statistics);
}

void result_close(struct result *r)
{
    if (r->source != NULL)
        engine_result_close(r->source);
    if (r->deflating)
        (void)deflateEnd(&r->deflater);
    if (r->spill != NULL)
        (void)fclose(r->spill);
    buffer_free(&r->held);
    free(r);
}
