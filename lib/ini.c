/*
 * ini.c - reads INI files; see ini.h.
 */
#include "lib/ini.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n\v\f"

/* Without the blanks around it, in place. */
static char *trim(char *text)
{
    size_t size;

    text += strspn(text, BLANKS);
    size = strlen(text);
    while (size > 0 && strchr(BLANKS, text[size - 1]))
        size--;
    text[size] = '\0';
    return text;
}

static bool take_section(char *text, char **section)
{
    size_t size = strlen(text);

    if (text[size - 1] != ']')
        return false;
    text[size - 1] = '\0';
    free(*section);
    *section = strdup(trim(text + 1));
    return *section != NULL;
}

static IniResult take_line(char *text, char **section, IniTake take, void *context)
{
    char *equals;

    if (*text == '\0' || *text == '#' || *text == ';')
        return INI_OK;
    if (*text == '[')
        return take_section(text, section) ? INI_OK : INI_SYNTAX;
    equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return INI_SYNTAX;
    *equals = '\0';
    return take(context, *section ? *section : "", trim(text), trim(equals + 1)) ? INI_OK : INI_REFUSED;
}

IniResult ini_read(const char *path, IniTake take, void *context, int *line)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    FILE *file = fopen(path, "re");
    char *section = NULL;
    char *text = NULL;
    size_t capacity = 0;
    IniResult result = INI_OK;

    *line = 0;
    if (file == NULL)
        return INI_CANNOT_OPEN;
    while (result == INI_OK && getline(&text, &capacity, file) >= 0) {
        bool marked = ++*line == 1 && strncmp(text, byte_order_mark, sizeof byte_order_mark - 1) == 0;

        result = take_line(trim(text + (marked ? sizeof byte_order_mark - 1 : 0)), &section, take, context);
    }
    if (result == INI_OK && ferror(file))
        result = INI_CANNOT_OPEN; /* a folder opens, and cannot be read */
    (void)fclose(file);
    free(section);
    free(text);
    return result;
}
