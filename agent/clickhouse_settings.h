/*
 * clickhouse_settings.h - the settings that go with every request, whatever the server's profile says.
 */
#ifndef WALHOUSE_AGENT_CLICKHOUSE_SETTINGS_H
#define WALHOUSE_AGENT_CLICKHOUSE_SETTINGS_H

#include <stdbool.h>

#include "agent/config.h"
#include "agent/text.h"

/*
 * name=value&... for an URL. with_recent: also those that only newer servers know; one that does not know
 * them answers with clickhouse_settings_unknown(), and is asked again without.
 */
void clickhouse_settings_append(Text *url, const Config *config, bool with_recent);
bool clickhouse_settings_unknown(int code);

#endif
