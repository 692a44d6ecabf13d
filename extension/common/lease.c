/*
 * lease.c - a lease as bytes; see lease.h.
 */
#include "lease.h"

bool wh_lease_is_key(WhSlice key)
{
    size_t size = sizeof WH_LEASE_KEY_PREFIX - 1;

    return key.size > size && memcmp(key.data, WH_LEASE_KEY_PREFIX, size) == 0;
}

void wh_lease_put(WhWriter *w, const WhLease *lease)
{
    wh_put_u8(w, WH_FORMAT_VERSION);
    wh_put_u16(w, lease->epoch);
    wh_put_u64(w, lease->lsn);
}

bool wh_lease_get(WhSlice value, WhLease *lease)
{
    WhReader r = wh_reader(value.data, value.size);
    bool known = wh_get_u8(&r) == WH_FORMAT_VERSION;

    lease->epoch = wh_get_u16(&r);
    lease->lsn = wh_get_u64(&r);
    wh_get_end(&r);
    return known && wh_reader_ok(&r);
}
