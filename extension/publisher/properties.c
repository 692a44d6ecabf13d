/*
 * properties.c - reads the properties file against its list; see properties.h.
 */
#include "properties.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const allowed_properties[] = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.crl.location",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    "broker.address.family",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "reconnect.backoff.max.ms",
    "compression.type",
    "compression.codec",
    "compression.level",
    "linger.ms",
    "batch.size",
    "batch.num.messages",
};

static bool property_is_allowed(const char *name)
{
    for (size_t i = 0; i < sizeof allowed_properties / sizeof allowed_properties[0]; i++)
        if (strcmp(name, allowed_properties[i]) == 0)
            return true;
    return false;
}

static char *trim(char *text)
{
    size_t length;

    text += strspn(text, " \t");
    length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    return text;
}

static bool set_line(const char *path, int line_number, char *line, PropertySetter *set, void *context,
                     Failure *failure)
{
    char *name = trim(line);
    char *value = strchr(name, '=');

    if (*name == '\0' || *name == '#')
        return true;
    if (value == NULL)
        return failure_set(failure, "%s:%d: a line must read name=value", path, line_number);
    *value++ = '\0';
    name = trim(name);
    if (!property_is_allowed(name))
        return failure_set(failure, "%s:%d: the Kafka property \"%s\" may not be set here", path, line_number,
                           name);
    return set(context, name, trim(value), failure);
}

bool properties_read(const char *path, PropertySetter *set, void *context, Failure *failure)
{
    char line[4096];
    FILE *file = fopen(path, "re");
    bool ok = true;

    if (file == NULL)
        return failure_set(failure, "could not open properties file \"%s\": %s", path, strerror(errno));
    for (int number = 1; ok && fgets(line, sizeof line, file); number++) {
        if (strlen(line) == sizeof line - 1)
            ok = failure_set(failure, "%s:%d: the line is too long", path, number);
        else
            ok = set_line(path, number, line, set, context, failure);
    }
    if (ok && ferror(file))
        ok = failure_set(failure, "could not read properties file \"%s\": %s", path, strerror(errno));
    fclose(file);
    return ok;
}
