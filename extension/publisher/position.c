/*
 * position.c - position records, and the gate in front of the slot; see position.h. Pure: no I/O, no clock.
 */
#include "position.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control.h"

bool server_identities_are_equal(const ServerIdentity *a, const ServerIdentity *b)
{
    return a->timeline == b->timeline && strcmp(a->system_identifier, b->system_identifier) == 0;
}

void position_put(WhWriter *w, const PositionRecord *record)
{
    control_put_raw(w, "{\"pipeline\": ");
    control_put_string(w, record->pipeline);
    control_put_raw(w, ", \"epoch\": ");
    control_put_number(w, record->epoch);
    control_put_raw(w, ", \"lsn\": ");
    control_put_lsn(w, record->lsn);
    control_put_raw(w, ", \"system_identifier\": ");
    control_put_string(w, record->identity.system_identifier);
    control_put_raw(w, ", \"timeline\": ");
    control_put_number(w, record->identity.timeline);
    control_put_raw(w, "}");
}

bool position_get(WhSlice json, PositionRecord *record)
{
    char text[POSITION_BYTES_MAX];
    uint32_t high, low;
    int end = 0;

    if (json.size >= sizeof text)
        return false;
    memcpy(text, json.data, json.size);
    text[json.size] = '\0';
    /* Names of pipelines are lower-case letters, digits and underscores, so nothing in them is escaped. */
    return sscanf(text,
                  "{\"pipeline\": \"%63[a-z0-9_]\", \"epoch\": %" SCNu16 ", \"lsn\": \"%" SCNx32 "/%" SCNx32
                  "\", \"system_identifier\": \"%23[0-9]\", \"timeline\": %" SCNu32 "}%n",
                  record->pipeline, &record->epoch, &high, &low, record->identity.system_identifier,
                  &record->identity.timeline, &end) == 6 &&
           (size_t)end == json.size && (record->lsn = (uint64_t)high << 32 | low, true);
}

void positions_take(Positions *positions, const PositionRecord *record)
{
    size_t i = 0;

    if (record->epoch > positions->highest_epoch)
        positions->highest_epoch = record->epoch;
    while (i < positions->count && strcmp(positions->records[i].pipeline, record->pipeline) != 0)
        i++;
    if (i == POSITIONS_MAX)
        return;
    positions->records[i] = *record;
    if (i == positions->count)
        positions->count++;
}

bool position_gate_wants(const PositionGate *gate, uint64_t acked_lsn)
{
    return !gate->in_flight && acked_lsn > gate->durable_lsn;
}

void position_gate_sent(PositionGate *gate, uint64_t lsn)
{
    assert(!gate->in_flight);
    gate->in_flight = true;
    gate->sent_lsn = lsn;
}

void position_gate_acked(PositionGate *gate)
{
    assert(gate->in_flight);
    gate->in_flight = false;
    gate->durable_lsn = gate->sent_lsn;
}
