/*
 * dashboard_replay.h - dead letters replayed by the dashboard's button: POST /api/dlq/replay.
 *
 * Off unless [http] replay_token_file is set. It is `walhouse-agent dlq replay` in a process of its own, one
 * at a time, for letters of one reason and for at most as many as a person has confirmed.
 */
#ifndef WALHOUSE_AGENT_DASHBOARD_REPLAY_H
#define WALHOUSE_AGENT_DASHBOARD_REPLAY_H

#include <jansson.h>

#include "agent/config.h"
#include "lib/httpd.h"

typedef struct Replay Replay;

/* NULL: *error says why. The config outlives it. */
Replay *replay_open(const Config *config, Error *error);
/* Ends the one that runs. NULL is fine. */
void replay_close(Replay *replay);

/*
 * Authorization: Bearer TOKEN, {"reason": "rejected", "letters": 12}. 202: it has begun; 400, 401, 404 (it is
 * off), 409 (one runs).
 */
void replay_answer(Replay *replay, const HttpdRequest *request, HttpdResponse *response);

/* {"offered", "running", "last": null or {"ended_at_ms", "reason", "done", "message"}} */
json_t *replay_state(Replay *replay);

#endif
