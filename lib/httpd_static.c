/*
 * httpd_static.c - files of a built page; see httpd_static.h.
 *
 * Files are opened below the folder's descriptor, component by component, without following links out of it.
 */
#include "lib/httpd_static.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPONENT_BYTES_MAX   255
#define PACKED_PATH_BYTES_MAX 1024

bool static_path_is_safe(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *p = path; *p; p++) {
        unsigned char next = (unsigned char)p[1];

        if ((unsigned char)*p < 0x20 || *p == '\\' || *p == 0x7f)
            return false;
        /* A component must not begin with a dot, nor be empty, but for the end of the path. */
        if (*p == '/' && (next == '.' || next == '/'))
            return false;
    }
    return true;
}

const char *static_content_type(const char *path)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".json", "application/json"},
                                           {".map", "application/json"},
                                           {".svg", "image/svg+xml"},
                                           {".png", "image/png"},
                                           {".ico", "image/x-icon"},
                                           {".webp", "image/webp"},
                                           {".woff2", "font/woff2"},
                                           {".txt", "text/plain; charset=utf-8"}};
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(dot, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

bool static_etag_matches(const char *header, const char *etag)
{
    size_t size = strlen(etag);

    for (const char *p = header; *p;) {
        size_t length;

        p += strspn(p, " \t,");
        if (*p == '*')
            return true;
        if (strncmp(p, "W/", 2) == 0)
            p += 2;
        length = strcspn(p, ",");
        if (length >= size && strncmp(p, etag, size) == 0 && strspn(p + size, " \t") == length - size)
            return true;
        p += length;
    }
    return false;
}

bool static_accepts_gzip(const char *header)
{
    static const char name[] = "gzip";

    for (const char *p = header; *p; p += strcspn(p, ",")) {
        size_t length;

        p += strspn(p, " \t,");
        length = strcspn(p, " \t,;");
        if (length != sizeof name - 1 || strncasecmp(p, name, length) != 0)
            continue;
        p += length + strspn(p + length, " \t;");
        /* "q=0", "q=0.0" and so on say no. */
        return strncasecmp(p, "q=", 2) != 0 || strspn(p + 2, "0.") < strcspn(p + 2, " \t,");
    }
    return false;
}

void static_add_security_headers(struct MHD_Response *response)
{
    static const char *const headers[][2] = {
        {"Content-Security-Policy",
         "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
         "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"}};

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        (void)MHD_add_response_header(response, headers[i][0], headers[i][1]);
}

/* The file's descriptor, -1 when it is not there or no plain file. */
static int open_below(int directory_fd, const char *path, struct stat *status)
{
    char component[COMPONENT_BYTES_MAX + 1];
    int fd = dup(directory_fd);

    while (fd >= 0 && *path == '/') {
        size_t size = strcspn(path + 1, "/");
        int next;

        if (size > COMPONENT_BYTES_MAX) {
            (void)close(fd);
            return -1;
        }
        memcpy(component, path + 1, size);
        component[size] = '\0';
        next = openat(fd, component, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        (void)close(fd);
        fd = next;
        path += 1 + size;
    }
    if (fd >= 0 && (fstat(fd, status) != 0 || !S_ISREG(status->st_mode))) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static enum MHD_Result queue_not_found(struct MHD_Connection *connection)
{
    static char text[] = "There is no such page.\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    static_add_security_headers(response);
    result = MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, response);
    MHD_destroy_response(response);
    return result;
}

/* Takes fd over. packed: it is path's file in gzip. */
static enum MHD_Result queue_file(struct MHD_Connection *connection, int fd, const struct stat *status,
                                  const char *path, bool packed)
{
    const char *seen =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    bool hashed = strncmp(path, "/assets/", 8) == 0;
    char etag[STATIC_ETAG_BYTES];
    unsigned code = MHD_HTTP_OK;
    struct MHD_Response *response;
    enum MHD_Result result;

    (void)snprintf(etag, sizeof etag, "\"%jx-%jx-%lx\"", (uintmax_t)status->st_size,
                   (uintmax_t)status->st_mtim.tv_sec, (unsigned long)status->st_mtim.tv_nsec);
    if (seen && static_etag_matches(seen, etag)) {
        (void)close(fd);
        code = MHD_HTTP_NOT_MODIFIED;
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_fd64((uint64_t)status->st_size, fd);
        if (response == NULL)
            (void)close(fd);
    }
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, etag);
    /* The names of assets hold a hash of what is in them. */
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                                  hashed ? "public, max-age=31536000, immutable" : "no-cache");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    if (code == MHD_HTTP_OK)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, static_content_type(path));
    if (code == MHD_HTTP_OK && packed)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    static_add_security_headers(response);
    result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

/* The packed file's descriptor, -1 when there is none or it is not taken. */
static int open_packed(int directory_fd, struct MHD_Connection *connection, const char *path,
                       struct stat *status)
{
    const char *accepted =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    char packed[PACKED_PATH_BYTES_MAX];

    if (accepted == NULL || !static_accepts_gzip(accepted) ||
        snprintf(packed, sizeof packed, "%s.gz", path) >= (int)sizeof packed)
        return -1;
    return open_below(directory_fd, packed, status);
}

enum MHD_Result static_serve(int directory_fd, struct MHD_Connection *connection, const char *path)
{
    const char *last = strrchr(path, '/');
    struct stat status;
    bool packed;
    int fd;

    if (!static_path_is_safe(path) || last == NULL)
        return queue_not_found(connection);
    if (strchr(last, '.') == NULL)
        path = "/index.html";
    fd = open_packed(directory_fd, connection, path, &status);
    packed = fd >= 0;
    if (!packed)
        fd = open_below(directory_fd, path, &status);
    return fd < 0 ? queue_not_found(connection) : queue_file(connection, fd, &status, path, packed);
}
