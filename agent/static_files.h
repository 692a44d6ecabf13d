/*
 * static_files.h - the dashboard's pages, read from a folder.
 */
#ifndef WALHOUSE_AGENT_STATIC_FILES_H
#define WALHOUSE_AGENT_STATIC_FILES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct StaticFile {
    int fd; /* the caller's to close */
    size_t size;
    const char *content_type;
    bool immutable; /* its name changes with its content */
} StaticFile;

/*
 * Opens what a URL's path ("/", "/assets/index-1a2b.js") names below folder. false: there is no such regular
 * file. Names are made of letters, digits and ._-, no part begins with a dot, and no symbolic link is
 * followed below the folder, so that nothing outside it can be named.
 */
bool static_file_open(const char *folder, const char *path, StaticFile *file);

#endif
