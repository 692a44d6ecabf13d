/* body.c - decodes request bodies (gzip, zstd, lz4 frames) piece by piece, in a window of fixed size. */
#include "warehouse/body.h"

#include <lz4frame.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#define WINDOW_BYTES 65536

/* What a step left: where it read to, how much it wrote, and what it says about the frame. */
struct step {
    size_t read, written;
    bool frame_ended;
    const char *problem;
};

struct body_decoder {
    const char *name;
    struct step (*step)(struct body_decoder *d, const char *data, size_t bytes);
    z_stream stream;
    ZSTD_DStream *zstd;
    LZ4F_dctx *lz4;
    bool at_end;   /* of a frame; another may follow */
    bool has_data; /* anything came at all */
    char window[WINDOW_BYTES];
};

static struct step step_gzip(struct body_decoder *d, const char *data, size_t bytes)
{
    struct step s = {0};
    int status;

    if (d->at_end && inflateReset(&d->stream) != Z_OK) {
        s.problem = "damaged";
        return s;
    }
    d->stream.next_in = (Bytef *)(size_t)data; /* zlib does not write there */
    d->stream.avail_in = (uInt)bytes;          /* pieces are far below 4 GB */
    d->stream.next_out = (Bytef *)d->window;
    d->stream.avail_out = WINDOW_BYTES;
    status = inflate(&d->stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        s.problem = d->stream.msg != NULL ? d->stream.msg : "damaged";
    s.read = bytes - d->stream.avail_in;
    s.written = WINDOW_BYTES - d->stream.avail_out;
    s.frame_ended = status == Z_STREAM_END;
    return s;
}

static struct step step_zstd(struct body_decoder *d, const char *data, size_t bytes)
{
    ZSTD_inBuffer in = {data, bytes, 0};
    ZSTD_outBuffer out = {d->window, WINDOW_BYTES, 0};
    size_t hint = ZSTD_decompressStream(d->zstd, &out, &in);

    return (struct step){.read = in.pos,
                         .written = out.pos,
                         .frame_ended = hint == 0,
                         .problem = ZSTD_isError(hint) ? ZSTD_getErrorName(hint) : NULL};
}

static struct step step_lz4(struct body_decoder *d, const char *data, size_t bytes)
{
    struct step s = {.read = bytes, .written = WINDOW_BYTES};
    size_t hint = LZ4F_decompress(d->lz4, d->window, &s.written, data, &s.read, NULL);

    s.frame_ended = hint == 0;
    s.problem = LZ4F_isError(hint) ? LZ4F_getErrorName(hint) : NULL;
    return s;
}

/* Sets what the encoding needs. False: it is not known. *ready false: no memory. */
static bool choose(struct body_decoder *d, const char *encoding, bool *ready)
{
    if (strcasecmp(encoding, "gzip") == 0 || strcasecmp(encoding, "x-gzip") == 0) {
        d->name = "gzip";
        d->step = step_gzip;
        /* 16: a gzip header and trailer, not zlib's own */
        *ready = inflateInit2(&d->stream, MAX_WBITS + 16) == Z_OK;
    } else if (strcasecmp(encoding, "zstd") == 0) {
        d->name = "zstd";
        d->step = step_zstd;
        d->zstd = ZSTD_createDStream();
        *ready = d->zstd != NULL;
    } else if (strcasecmp(encoding, "lz4") == 0) {
        d->name = "lz4";
        d->step = step_lz4;
        *ready = !LZ4F_isError(LZ4F_createDecompressionContext(&d->lz4, LZ4F_VERSION));
    } else {
        return false;
    }
    return true;
}

bool body_open(struct body_decoder **decoder, const char *encoding, struct exception *e)
{
    struct body_decoder *d;
    bool ready = false;

    *decoder = NULL;
    if (encoding == NULL || encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0)
        return true;
    d = calloc(1, sizeof *d);
    if (d != NULL && !choose(d, encoding, &ready)) {
        body_free(d);
        exception_raise(e, EXCEPTION_NOT_IMPLEMENTED,
                        "Unknown compression method '%.64s': send gzip, zstd, lz4 or plain", encoding);
        return false;
    }
    if (!ready) {
        body_free(d);
        exception_raise(e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory to decode the request's body");
        return false;
    }
    *decoder = d;
    return true;
}

bool body_decode(struct body_decoder *d, const char *data, size_t bytes, body_receive receive, void *receiver,
                 struct exception *e)
{
    bool more = false;

    if (d == NULL)
        return receive(receiver, data, bytes);
    if (bytes > 0)
        d->has_data = true;
    /* A full window may have more behind it, although everything is read. */
    while (bytes > 0 || more) {
        struct step s = d->step(d, data, bytes);

        if (s.problem != NULL) {
            exception_raise(e, EXCEPTION_ZLIB_INFLATE_FAILED, "The request's body is not valid %s: %s",
                            d->name, s.problem);
            return false;
        }
        if (s.written > 0 && !receive(receiver, d->window, s.written))
            return false;
        d->at_end = s.frame_ended;
        more = s.written == WINDOW_BYTES && !s.frame_ended;
        data += s.read;
        bytes -= s.read;
    }
    return true;
}

bool body_finish(const struct body_decoder *d, struct exception *e)
{
    if (d == NULL || d->at_end || !d->has_data)
        return true;
    exception_raise(e, EXCEPTION_ZLIB_INFLATE_FAILED, "The request's %s body is cut short", d->name);
    return false;
}

void body_free(struct body_decoder *d)
{
    if (d == NULL)
        return;
    if (d->step == step_gzip)
        (void)inflateEnd(&d->stream);
    (void)ZSTD_freeDStream(d->zstd);
    (void)LZ4F_freeDecompressionContext(d->lz4);
    free(d);
}
