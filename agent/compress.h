/*
 * compress.h - the bodies of inserts, made smaller for a server that is not on this machine.
 */
#ifndef WALHOUSE_AGENT_COMPRESS_H
#define WALHOUSE_AGENT_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum Compression {
    COMPRESSION_AUTO,
    COMPRESSION_NONE,
    COMPRESSION_LZ4,
    COMPRESSION_ZSTD
} Compression;

/* One body at a time; the memory stays. */
typedef struct Compressor {
    unsigned char *data;
    size_t size;
    size_t capacity;
    void *zstd; /* its context */
} Compressor;

/* auto, none, lz4 or zstd. */
bool compression_parse(const char *text, Compression *compression);
/* For the header Content-Encoding. */
const char *compression_name(Compression compression);

/* LZ4 or ZSTD, as one frame, at the fastest level. false: out of memory. */
bool compressor_run(Compressor *compressor, Compression compression, const void *data, size_t size);
void compressor_fini(Compressor *compressor);

#endif
