/*
 * vectors.h - reads the golden bytes of tests/vectors/ (their README.md has the form).
 */
#ifndef WALHOUSE_TESTS_UNIT_VECTORS_H
#define WALHOUSE_TESTS_UNIT_VECTORS_H

#include "extension/common/wire.h"

#define VECTORS_MAX           256
#define VECTOR_NAME_BYTES_MAX 64
#define VECTOR_NOTE_BYTES_MAX 128
#define VECTOR_BYTES_MAX      8192

typedef struct Vector {
    char name[VECTOR_NAME_BYTES_MAX];
    char note[VECTOR_NOTE_BYTES_MAX];
    WhSlice
        bytes; /* exactly as large as its allocation, so that the address sanitizer sees reads beyond it */
} Vector;

typedef struct Vectors {
    Vector all[VECTORS_MAX];
    size_t count;
} Vectors;

/* Reads tests/vectors/<file>; fails the test when it cannot. Free with vectors_free(). */
Vectors *vectors_read(const char *file);
void vectors_free(Vectors *vectors);
/* Fails the test when there is none. */
WhSlice vectors_find(const Vectors *vectors, const char *name);
/* NULL when there is none. */
const Vector *vectors_lookup(const Vectors *vectors, const char *name);
/* Fails the test, printing got as a line of the file, unless it is the vector's bytes. */
void vectors_assert_equal(const Vectors *vectors, const char *name, WhSlice got);

#endif
