/*
 * mask.c - masked values; see mask.h. The hash is OpenSSL's.
 */
#include "agent/mask.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "agent/scalar.h"

#define UUID_TEXT_BYTES 36

/* What is hashed of a value; buffer is for texts that are made here. */
static WhSlice hashed_bytes(WhSlice type, WhSlice value, char buffer[UUID_TEXT_BYTES + 1])
{
    ScalarType scalar;
    ScalarValue read;
    uint64_t high, low;
    int size;

    if (!scalar_type(type, &scalar))
        return value;
    read = scalar_read(&scalar, value);
    switch (scalar.kind) {
    case SCALAR_TEXT:
        return read.text;
    case SCALAR_BOOL:
        size = snprintf(buffer, UUID_TEXT_BYTES + 1, "%s", read.number ? "true" : "false");
        break;
    case SCALAR_INTEGER:
        size = read.number < 0 ? snprintf(buffer, UUID_TEXT_BYTES + 1, "%" PRId64, (int64_t)read.number)
                               : snprintf(buffer, UUID_TEXT_BYTES + 1, "%" PRIu64, (uint64_t)read.number);
        break;
    case SCALAR_UUID:
        high = (uint64_t)((Version)read.number >> 64) ^ (UINT64_C(1) << 63);
        low = (uint64_t)read.number;
        size = snprintf(buffer, UUID_TEXT_BYTES + 1, "%08x-%04x-%04x-%04x-%012" PRIx64,
                        (unsigned)(high >> 32), (unsigned)(high >> 16) & 0xFFFF, (unsigned)high & 0xFFFF,
                        (unsigned)(low >> 48), low & UINT64_C(0xFFFFFFFFFFFF));
        break;
    default:
        return value;
    }
    return (WhSlice){(const uint8_t *)buffer, (size_t)size};
}

bool mask_hash(WhSlice type, WhSlice value, WhSlice salt, char digits[MASK_HASH_DIGITS])
{
    static const char hex[] = "0123456789abcdef";
    char buffer[UUID_TEXT_BYTES + 1];
    WhSlice bytes = hashed_bytes(type, value, buffer);
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (HMAC(EVP_sha256(), salt.data, (int)salt.size, bytes.data, bytes.size, hash, &size) == NULL ||
        size != MASK_HASH_DIGITS / 2)
        return false;
    for (unsigned i = 0; i < size; i++) {
        digits[2 * i] = hex[hash[i] >> 4];
        digits[2 * i + 1] = hex[hash[i] & 15];
    }
    return true;
}

/* A byte that goes on with a character of UTF-8. */
static bool continues(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

WhSlice mask_shown(WhSlice text, unsigned characters)
{
    size_t total = 0;
    size_t start = text.size;

    for (size_t i = 0; i < text.size; i++)
        total += !continues(text.data[i]);
    if (total < 2 * (size_t)characters)
        return (WhSlice){text.data, 0};
    while (characters > 0 && start > 0)
        characters -= !continues(text.data[--start]);
    return (WhSlice){text.data + start, text.size - start};
}
