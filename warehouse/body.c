/* body.c - inflates gzip request bodies piece by piece, in a window of fixed size. */
#include "warehouse/body.h"

#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

#define WINDOW_BYTES 65536

struct body_decoder {
    z_stream stream;
    bool at_end;   /* of a gzip member; another may follow */
    bool has_data; /* anything came at all */
    char window[WINDOW_BYTES];
};

bool body_open(struct body_decoder **decoder, const char *encoding, struct exception *e)
{
    struct body_decoder *d;

    *decoder = NULL;
    if (encoding == NULL || encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0)
        return true;
    if (strcasecmp(encoding, "gzip") != 0 && strcasecmp(encoding, "x-gzip") != 0) {
        exception_raise(e, EXCEPTION_NOT_IMPLEMENTED,
                        "Unknown compression method '%.64s': send gzip or plain", encoding);
        return false;
    }
    d = calloc(1, sizeof *d);
    /* 16: a gzip header and trailer, not zlib's own */
    if (d == NULL || inflateInit2(&d->stream, MAX_WBITS + 16) != Z_OK) {
        free(d);
        exception_raise(e, EXCEPTION_CANNOT_ALLOCATE_MEMORY, "No memory to inflate the request's body");
        return false;
    }
    *decoder = d;
    return true;
}

bool body_decode(struct body_decoder *d, const char *data, size_t bytes, body_receive receive, void *receiver,
                 struct exception *e)
{
    if (d == NULL)
        return receive(receiver, data, bytes);
    if (bytes > 0)
        d->has_data = true;
    d->stream.next_in = (Bytef *)(size_t)data; /* zlib does not write there */
    d->stream.avail_in = (uInt)bytes;          /* pieces are far below 4 GB */
    while (d->stream.avail_in > 0) {
        int status;

        if (d->at_end) {
            d->at_end = false;
            if (inflateReset(&d->stream) != Z_OK)
                break;
        }
        do {
            d->stream.next_out = (Bytef *)d->window;
            d->stream.avail_out = WINDOW_BYTES;
            status = inflate(&d->stream, Z_NO_FLUSH);
            if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
                exception_raise(e, EXCEPTION_ZLIB_INFLATE_FAILED, "The request's body is not valid gzip: %s",
                                d->stream.msg != NULL ? d->stream.msg : "damaged");
                return false;
            }
            if (d->stream.avail_out < WINDOW_BYTES &&
                !receive(receiver, d->window, WINDOW_BYTES - d->stream.avail_out))
                return false;
        } while (d->stream.avail_out == 0 && status == Z_OK);
        d->at_end = status == Z_STREAM_END;
    }
    return true;
}

bool body_finish(const struct body_decoder *d, struct exception *e)
{
    if (d == NULL || d->at_end || !d->has_data)
        return true;
    exception_raise(e, EXCEPTION_ZLIB_INFLATE_FAILED, "The request's gzip body is cut short");
    return false;
}

void body_free(struct body_decoder *d)
{
    if (d == NULL)
        return;
    (void)inflateEnd(&d->stream);
    free(d);
}
