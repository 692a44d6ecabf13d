/*
 * ini.h - reads INI files: [section], name = value, comments on lines of their own after # or ;.
 *
 * Everything after the first = is the value, without blanks around it: a value may hold ; and #, and be as
 * long as it likes. (libinih cuts sections at 50 characters and lines at 200, and takes " ;" for a comment.)
 */
#ifndef WALHOUSE_LIB_INI_H
#define WALHOUSE_LIB_INI_H

#include <stdbool.h>

typedef enum IniResult {
    INI_OK,
    INI_CANNOT_OPEN, /* errno says why */
    INI_SYNTAX,      /* a line is neither section, setting nor comment */
    INI_REFUSED      /* take said false */
} IniResult;

/* Texts are valid during the call; section is "" before the first. false ends the reading. */
typedef bool (*IniTake)(void *context, const char *section, const char *name, const char *value);

/* *line is the number of the last line that was read. */
IniResult ini_read(const char *path, IniTake take, void *context, int *line);

#endif
