/* Who is asking: credentials of a request, and whether they are the configured ones. */
#ifndef WAREHOUSE_AUTH_H
#define WAREHOUSE_AUTH_H

#include "warehouse/exception.h"

#include <stdbool.h>

#define AUTH_NAME_MAX 256 /* bytes of a user name or password, with the closing zero */

/* The one user of this warehouse. Without a password, any client that names the user (or none) is let in. */
struct auth_user {
    char name[AUTH_NAME_MAX];
    char password[AUTH_NAME_MAX];
};

/* Values as the request holds them, borrowed; NULL where absent. */
struct auth_claim {
    const char *authorization;      /* Authorization header */
    const char *header_user;        /* X-ClickHouse-User */
    const char *header_key;         /* X-ClickHouse-Key */
    const char *parameter_user;     /* user= */
    const char *parameter_password; /* password= */
};

/* Decodes "Basic base64(user:password)". False when it is not that, or does not fit. */
bool auth_parse_basic(const char *header, char user[AUTH_NAME_MAX], char password[AUTH_NAME_MAX]);

/* True when the claim is the user's. Otherwise false, with the exception ClickHouse answers: 194 (HTTP 401)
 * for a wrong password of the user "default", 516 (HTTP 403) for anyone else and for mixed schemes. */
bool auth_check(const struct auth_user *user, const struct auth_claim *claim, struct exception *e);

#endif
