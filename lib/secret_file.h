/*
 * secret_file.h - a secret that a file holds in its first line: a password, a token, a salt.
 */
#ifndef WALHOUSE_LIB_SECRET_FILE_H
#define WALHOUSE_LIB_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_BYTES_MAX 1024

/*
 * The line without its end, into secret, which has SECRET_BYTES_MAX + 1 bytes; whoever has used it wipes it
 * with explicit_bzero(). false: problem, a clause that follows the file's name, says why: it cannot be read,
 * its first line has less than bytes_min bytes (1 at least) or more than SECRET_BYTES_MAX. Nothing of the
 * secret is in it.
 */
bool secret_file_read(const char *path, size_t bytes_min, char *secret, char *problem, size_t problem_size);

#endif
