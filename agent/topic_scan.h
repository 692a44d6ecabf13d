/*
 * topic_scan.h - a topic read as it is now, outside of any group: for the subcommands, which look and end.
 */
#ifndef WALHOUSE_AGENT_TOPIC_SCAN_H
#define WALHOUSE_AGENT_TOPIC_SCAN_H

#include "agent/consume.h"

/* The view, its headers packed, is valid during the call. Another status than STATUS_OK ends the scan with
 * it. */
typedef Status (*TopicVisit)(void *context, const MessageView *message, Error *error);

/*
 * Every message of every partition, from its beginning to the end that it has now. A topic that does not
 * exist has none: *exists says so. STATUS_RETRY: Kafka does not answer.
 */
Status topic_scan(const Config *config, const char *topic, bool *exists, TopicVisit visit, void *context,
                  Error *error);

/* One message. STATUS_REJECT: it is not there (any more). */
Status topic_fetch(const Config *config, const char *topic, int32_t partition, int64_t offset,
                   TopicVisit visit, void *context, Error *error);

#endif
