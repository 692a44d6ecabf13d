/*
 * ask_source.c - asks the source for a table, or for rows of it, through the agent's own code.
 *
 *      ask_source BROKERS PREFIX SCHEMA_MESSAGE_FILE snapshot AFTER_LSN (a number, or "now")
 *      ask_source BROKERS PREFIX SCHEMA_MESSAGE_FILE rows KEY... (hexadecimal digits)
 */
#include <stdlib.h>
#include <string.h>

#include "agent/request.h"

#define MESSAGE_BYTES_MAX 65536
#define KEYS_MAX          100000

static int fail(const char *what)
{
    (void)fprintf(stderr, "ask_source: %s\n", what);
    return EXIT_FAILURE;
}

static bool read_key(const char *hex, WhSlice *key)
{
    size_t size = strlen(hex) / 2;
    uint8_t *bytes = malloc(size + 1);
    unsigned byte;

    for (size_t i = 0; bytes && i < size; i++) {
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            free(bytes);
            return false;
        }
        bytes[i] = (uint8_t)byte;
    }
    *key = (WhSlice){bytes, size};
    return bytes != NULL;
}

static const TableSchema *read_schema(Registry *registry, const char *path, Error *error)
{
    static uint8_t message[MESSAGE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(message, 1, sizeof message, file) : 0;
    const TableSchema *table = NULL;

    if (file)
        (void)fclose(file);
    return registry_add(registry, message, size, &table, error) == STATUS_OK ? table : NULL;
}

static Status ask(Requests *requests, const TableSchema *table, int count, char **arguments, Error *error)
{
    WhSlice *keys;
    Status status = STATUS_OK;

    if (strcmp(arguments[0], "snapshot") == 0)
        return requests_snapshot(requests, table,
                                 strcmp(arguments[1], "now") == 0 ? REQUEST_AFTER_NOW
                                                                  : strtoull(arguments[1], NULL, 10),
                                 "a test asks", error);
    keys = calloc((size_t)count, sizeof *keys);
    for (int i = 1; i < count && keys && status == STATUS_OK; i++)
        status =
            read_key(arguments[i], &keys[i - 1]) ? STATUS_OK : status_fail(error, STATUS_FATAL, "not a key");
    if (keys == NULL)
        return status_fail(error, STATUS_FATAL, "out of memory");
    if (status == STATUS_OK)
        status = requests_rows(requests, table, keys, (size_t)count - 1, "a test asks", error);
    for (int i = 1; i < count; i++)
        free((void *)keys[i - 1].data);
    free(keys);
    return status;
}

int main(int argc, char **argv)
{
    Config config;
    Error error = {""};
    Registry *registry = NULL;
    Requests *requests = NULL;
    const TableSchema *table;
    Status status = STATUS_FATAL;

    if (argc < 6 || argc > KEYS_MAX)
        return fail("wants BROKERS PREFIX SCHEMA_MESSAGE_FILE snapshot|rows ...");
    if (!config_init(&config))
        return fail("out of memory");
    free(config.kafka_brokers);
    free(config.kafka_topic_prefix);
    config.kafka_brokers = strdup(argv[1]);
    config.kafka_topic_prefix = strdup(argv[2]);
    registry = registry_new(&config);
    table = registry ? read_schema(registry, argv[3], &error) : NULL;
    if (table)
        requests = requests_open(&config, &error);
    if (requests)
        status = ask(requests, table, argc - 4, argv + 4, &error);
    requests_close(requests);
    registry_free(registry);
    config_fini(&config);
    return status == STATUS_OK ? EXIT_SUCCESS : fail(error.text);
}
