/*
 * vectors.c - golden bytes for tests; see vectors.h. Tests run in the tree's root.
 */
#include "tests/unit/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static WhSlice parse_hex(const char *file, const char *hex)
{
    size_t size = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    uint8_t *bytes = malloc(size ? size : 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            fail_msg("%s: not hexadecimal: %s", file, hex);
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return (WhSlice){bytes, size};
}

static void parse_line(Vectors *vectors, const char *file, char *line)
{
    Vector *v = &vectors->all[vectors->count];
    char *rest = line;
    const char *name = strsep(&rest, " \n");
    const char *hex = strsep(&rest, " \n");

    if (line[0] == '#' || line[0] == '\n')
        return;
    assert_true(vectors->count < VECTORS_MAX && hex != NULL && strlen(name) < sizeof v->name);
    (void)snprintf(v->name, sizeof v->name, "%s", name);
    rest = rest ? rest : line + strlen(line);
    assert_true(strlen(rest) < sizeof v->note);
    (void)snprintf(v->note, sizeof v->note, "%.*s", (int)strcspn(rest, "\n"), rest);
    v->bytes = parse_hex(file, hex);
    vectors->count++;
}

Vectors *vectors_read(const char *file)
{
    static char line[2 * VECTOR_BYTES_MAX + VECTOR_NAME_BYTES_MAX + VECTOR_NOTE_BYTES_MAX];
    Vectors *vectors = calloc(1, sizeof *vectors);
    char path[256];
    FILE *in;

    assert_non_null(vectors);
    (void)snprintf(path, sizeof path, "tests/vectors/%s", file);
    in = fopen(path, "re");
    if (in == NULL)
        fail_msg("could not open %s: run the test in the root of the tree", path);
    while (fgets(line, sizeof line, in))
        parse_line(vectors, file, line);
    assert_int_equal(fclose(in), 0);
    return vectors;
}

void vectors_free(Vectors *vectors)
{
    for (size_t i = 0; i < vectors->count; i++)
        free((void *)(uintptr_t)vectors->all[i].bytes.data);
    free(vectors);
}

const Vector *vectors_lookup(const Vectors *vectors, const char *name)
{
    for (size_t i = 0; i < vectors->count; i++)
        if (strcmp(vectors->all[i].name, name) == 0)
            return &vectors->all[i];
    return NULL;
}

WhSlice vectors_find(const Vectors *vectors, const char *name)
{
    const Vector *v = vectors_lookup(vectors, name);

    if (v == NULL)
        fail_msg("there is no vector %s", name);
    return v->bytes;
}

void vectors_assert_equal(const Vectors *vectors, const char *name, WhSlice got)
{
    WhSlice want = vectors_find(vectors, name);

    if (got.size == want.size && memcmp(got.data, want.data, want.size) == 0)
        return;
    print_error("%s ", name);
    for (size_t i = 0; i < got.size; i++)
        print_error("%02x", got.data[i]);
    print_error("\n");
    fail_msg("other bytes than the vector %s", name);
}
