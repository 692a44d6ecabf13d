/*
 * compress.c - smaller bodies for inserts; see compress.h.
 */
#include "agent/compress.h"

#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define ZSTD_LEVEL 1

static const char *const names[] = {[COMPRESSION_AUTO] = "auto",
                                    [COMPRESSION_NONE] = "none",
                                    [COMPRESSION_LZ4] = "lz4",
                                    [COMPRESSION_ZSTD] = "zstd"};

bool compression_parse(const char *text, Compression *compression)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *compression = (Compression)i;
            return true;
        }
    }
    return false;
}

const char *compression_name(Compression compression)
{
    return names[compression];
}

static bool reserve(Compressor *compressor, size_t size)
{
    unsigned char *grown;

    if (size <= compressor->capacity)
        return true;
    grown = malloc(size); /* what was there is not needed */
    if (grown == NULL)
        return false;
    free(compressor->data);
    compressor->data = grown;
    compressor->capacity = size;
    return true;
}

static bool run_lz4(Compressor *compressor, const void *data, size_t size)
{
    size_t result;

    if (!reserve(compressor, LZ4F_compressFrameBound(size, NULL)))
        return false;
    result = LZ4F_compressFrame(compressor->data, compressor->capacity, data, size, NULL);
    compressor->size = LZ4F_isError(result) ? 0 : result;
    return !LZ4F_isError(result);
}

static bool run_zstd(Compressor *compressor, const void *data, size_t size)
{
    size_t result;

    if (compressor->zstd == NULL)
        compressor->zstd = ZSTD_createCCtx();
    if (compressor->zstd == NULL || !reserve(compressor, ZSTD_compressBound(size)))
        return false;
    result =
        ZSTD_compressCCtx(compressor->zstd, compressor->data, compressor->capacity, data, size, ZSTD_LEVEL);
    compressor->size = ZSTD_isError(result) ? 0 : result;
    return !ZSTD_isError(result);
}

bool compressor_run(Compressor *compressor, Compression compression, const void *data, size_t size)
{
    return compression == COMPRESSION_ZSTD ? run_zstd(compressor, data, size)
                                           : run_lz4(compressor, data, size);
}

void compressor_fini(Compressor *compressor)
{
    (void)ZSTD_freeCCtx(compressor->zstd);
    free(compressor->data);
    *compressor = (Compressor){0};
}
