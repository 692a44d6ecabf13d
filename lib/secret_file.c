/*
 * secret_file.c - the first line of a file; see secret_file.h.
 */
#include "lib/secret_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A longer one is cut, but not so short that it would fit. */
static bool read_line(const char *path, char *line, size_t room, char *problem, size_t problem_size)
{
    FILE *file = fopen(path, "re");
    bool ok;

    if (file == NULL) {
        (void)snprintf(problem, problem_size, "cannot be opened: %s", strerror(errno));
        return false;
    }
    /* What stays in stdio's buffer would be the secret as well. */
    (void)setvbuf(file, NULL, _IONBF, 0);
    if (fgets(line, (int)room, file) == NULL)
        line[0] = '\0';
    ok = !ferror(file);
    if (!ok)
        (void)snprintf(problem, problem_size, "cannot be read: %s", strerror(errno));
    (void)fclose(file);
    return ok;
}

bool secret_file_read(const char *path, size_t bytes_min, char *secret, char *problem, size_t problem_size)
{
    char line[SECRET_BYTES_MAX + 2]; /* and the first byte beyond */
    size_t size;
    bool fits;

    secret[0] = '\0';
    if (!read_line(path, line, sizeof line, problem, problem_size))
        return false;
    size = strcspn(line, "\r\n");
    fits = size >= bytes_min && size <= SECRET_BYTES_MAX;
    if (size < bytes_min)
        (void)snprintf(problem, problem_size, "has %zu bytes in its first line, and takes at least %zu", size,
                       bytes_min);
    else if (!fits)
        (void)snprintf(problem, problem_size, "has more than %d bytes in its first line", SECRET_BYTES_MAX);
    if (fits)
        memcpy(secret, line, size);
    secret[fits ? size : 0] = '\0';
    explicit_bzero(line, sizeof line);
    return fits;
}
