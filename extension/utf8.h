/*
 * utf8.h - texts of the server's encoding as UTF-8, which is what travels.
 */
#ifndef WALHOUSE_UTF8_H
#define WALHOUSE_UTF8_H

/*
 * The *size bytes at text in UTF-8; *size becomes their number there. The result is text itself where nothing is to be done, else
 * palloc'ed, zero-terminated. What has no UTF-8 form stays as it is: an error would stop decoding for good.
 */
extern const char *utf8_from_server(const char *text, int *size);

#endif
