/*
 * auth.c - ClickHouse's three ways to name user and password over HTTP.
 *
 * As in ClickHouse's authenticateUserByHTTP: the X-ClickHouse-User/Key headers, the Authorization header or
 * the user/password parameters, never two of them at once. The password comparison takes a time that depends
 * only on what the client sent.
 */
#include "warehouse/auth.h"

#include <string.h>
#include <strings.h>

static int base64_value(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c == '\0' ? NULL : strchr(alphabet, c);

    return p == NULL ? -1 : (int)(p - alphabet);
}

/* Decodes up to the end or the padding. Returns the bytes written, or -1 when text is no base64 or does not
 * fit. */
static long base64_decode(const char *text, char *out, size_t size)
{
    unsigned long bits = 0;
    size_t n = 0;
    int held = 0;

    for (; *text != '\0' && *text != '=' && *text != ' '; text++) {
        int value = base64_value(*text);

        if (value < 0)
            return -1;
        bits = (bits << 6 | (unsigned long)value) & 0xffffff;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (n == size)
            return -1;
        out[n++] = (char)(bits >> held & 0xff);
    }
    while (*text == '=' || *text == ' ')
        text++;
    return *text == '\0' ? (long)n : -1;
}

static bool copy_field(char *out, const char *text, size_t bytes)
{
    if (bytes >= AUTH_NAME_MAX || memchr(text, '\0', bytes) != NULL)
        return false;
    memcpy(out, text, bytes);
    out[bytes] = '\0';
    return true;
}

bool auth_parse_basic(const char *header, char user[AUTH_NAME_MAX], char password[AUTH_NAME_MAX])
{
    char decoded[2 * AUTH_NAME_MAX];
    const char *colon;
    long n;

    if (strncasecmp(header, "Basic ", 6) != 0)
        return false;
    header += 6;
    while (*header == ' ')
        header++;
    n = base64_decode(header, decoded, sizeof decoded);
    if (n < 0)
        return false;
    colon = memchr(decoded, ':', (size_t)n);
    if (colon == NULL)
        return false;
    return copy_field(user, decoded, (size_t)(colon - decoded)) &&
           copy_field(password, colon + 1, (size_t)(decoded + n - colon - 1));
}

/* Equal contents? The time taken depends on `given` only. */
static bool equal_in_constant_time(const char *given, const char *expected)
{
    size_t given_bytes = strlen(given);
    size_t expected_bytes = strlen(expected);
    unsigned difference = given_bytes != expected_bytes;

    for (size_t i = 0; i < given_bytes; i++)
        difference |=
            (unsigned char)given[i] ^ (unsigned char)expected[expected_bytes > 0 ? i % expected_bytes : 0];
    return difference == 0;
}

static bool mixed_schemes(const struct auth_claim *claim)
{
    int schemes = (claim->header_user != NULL || claim->header_key != NULL) + (claim->authorization != NULL) +
                  (claim->parameter_user != NULL || claim->parameter_password != NULL);

    return schemes > 1;
}

bool auth_check(const struct auth_user *user, const struct auth_claim *claim, struct exception *e)
{
    char basic_user[AUTH_NAME_MAX], basic_password[AUTH_NAME_MAX];
    const char *name = claim->header_user != NULL ? claim->header_user : claim->parameter_user;
    const char *password = claim->header_key != NULL ? claim->header_key : claim->parameter_password;
    bool name_right, password_right;

    if (mixed_schemes(claim)) {
        exception_raise(
            e, EXCEPTION_AUTHENTICATION_FAILED,
            "Invalid authentication: it is not allowed to use more than one of the Authorization "
            "header, the X-ClickHouse-User and X-ClickHouse-Key headers and the user and password "
            "parameters");
        return false;
    }
    if (claim->authorization != NULL) {
        if (!auth_parse_basic(claim->authorization, basic_user, basic_password)) {
            exception_raise(
                e, EXCEPTION_AUTHENTICATION_FAILED,
                "Invalid authentication: the Authorization header is not a Basic one of at most %d "
                "bytes",
                AUTH_NAME_MAX - 1);
            return false;
        }
        name = basic_user;
        password = basic_password;
    }
    if (name == NULL || name[0] == '\0')
        name = "default";
    name_right = equal_in_constant_time(name, user->name);
    password_right = equal_in_constant_time(password != NULL ? password : "", user->password);
    if (name_right && password_right)
        return true;
    exception_raise(
        e, strcmp(name, "default") == 0 ? EXCEPTION_REQUIRED_PASSWORD : EXCEPTION_AUTHENTICATION_FAILED,
        "%.64s: Authentication failed: password is incorrect, or there is no user with such name.", name);
    return false;
}
