/* The request's body as it arrives: plain, gzip, zstd or lz4, handed on in pieces of bounded size. */
#ifndef WAREHOUSE_BODY_H
#define WAREHOUSE_BODY_H

#include "warehouse/exception.h"

#include <stdbool.h>
#include <stddef.h>

struct body_decoder; /* only for encoded bodies */

/* Takes a decoded piece. False stops the decoding: the receiver has its own reason. */
typedef bool (*body_receive)(void *receiver, const char *data, size_t bytes);

/* encoding: the Content-Encoding header, NULL when absent. *decoder becomes NULL for a plain body, else it is
 * the caller's, for body_free. False with an exception (48, HTTP 501) for an encoding that is not known. */
bool body_open(struct body_decoder **decoder, const char *encoding, struct exception *e);

/* Decodes a piece. False when the receiver stopped, or, with an exception in e, when the bytes are not of
 * that encoding. */
bool body_decode(struct body_decoder *decoder, const char *data, size_t bytes, body_receive receive,
                 void *receiver, struct exception *e);

/* At the end of the body. False with an exception when an encoded body is cut short. */
bool body_finish(const struct body_decoder *decoder, struct exception *e);
void body_free(struct body_decoder *decoder);

#endif
