/*
 * static_files.c - the dashboard's pages, read from a folder; see static_files.h.
 */
#include "agent/static_files.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_BYTES_MAX 128
#define DEPTH_MAX      8

static const char *content_type(const char *name)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".json", "application/json"},
                                           {".svg", "image/svg+xml"},
                                           {".png", "image/png"},
                                           {".ico", "image/x-icon"},
                                           {".woff2", "font/woff2"},
                                           {".txt", "text/plain; charset=utf-8"}};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(dot, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

/* The next part of *path, and *path after it; false: it is none that a file may have here. */
static bool next_part(const char **path, char part[PART_BYTES_MAX])
{
    size_t size = strspn(*path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    if (size == 0 || size >= PART_BYTES_MAX || (*path)[0] == '.' || ((*path)[size] && (*path)[size] != '/'))
        return false;
    memcpy(part, *path, size);
    part[size] = '\0';
    *path += size;
    return true;
}

/* Walks from the folder at fd, which it closes, to the last part; -1: there is no such file. */
static int walk(int fd, const char *path, char part[PART_BYTES_MAX])
{
    for (int depth = 0; fd >= 0 && depth < DEPTH_MAX; depth++) {
        int below = -1;
        bool last;

        if (next_part(&path, part)) {
            last = *path == '\0';
            below =
                openat(fd, part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (last ? 0 : O_DIRECTORY));
        }
        (void)close(fd);
        fd = below;
        if (*path == '\0')
            return fd;
        path++;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

bool static_file_open(const char *folder, const char *path, StaticFile *file)
{
    char part[PART_BYTES_MAX] = "";
    struct stat status;
    int fd;

    if (path[0] != '/')
        return false;
    path = path[1] ? path + 1 : "index.html";
    fd = walk(open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY), path, part);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        (void)close(fd);
        return false;
    }
    *file = (StaticFile){.fd = fd,
                         .size = (size_t)status.st_size,
                         .content_type = content_type(part),
                         .immutable = strncmp(path, "assets/", 7) == 0};
    return true;
}
