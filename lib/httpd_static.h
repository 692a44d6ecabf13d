/*
 * httpd_static.h - files of a built page. The pure parts are here to be tested.
 */
#ifndef WALHOUSE_LIB_HTTPD_STATIC_H
#define WALHOUSE_LIB_HTTPD_STATIC_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#define STATIC_ETAG_BYTES 64

/* May this path of a URL name a file below the folder? No "..", no empty or hidden component, no backslash or
 * control character. */
bool static_path_is_safe(const char *path);
/* By the path's ending; application/octet-stream for others. */
const char *static_content_type(const char *path);
/* Is one of the ETags of an If-None-Match header (or its *) this one? */
bool static_etag_matches(const char *header, const char *etag);

/* Does an Accept-Encoding header take gzip? */
bool static_accepts_gzip(const char *header);

/*
 * Queues the file that path names below the folder; a path without an ending is a page of the single-page
 * application, so index.html answers. Honours If-None-Match. Where there is a file of the same name with .gz
 * behind it, whoever takes gzip gets that. The result is what MHD_queue_response() says; a file that is not
 * there is a 404.
 */
enum MHD_Result static_serve(int directory_fd, struct MHD_Connection *connection, const char *path);

/* The headers that every answer carries. */
void static_add_security_headers(struct MHD_Response *response);

#endif
