/* Two headers of an answer whose values are ClickHouse's conventions. */
#ifndef WAREHOUSE_ANSWER_H
#define WAREHOUSE_ANSWER_H

#include "warehouse/engine.h"

#include <stddef.h>

/* Content-Type of a result in that output format, as ClickHouse's formats name it. Static storage. */
const char *answer_content_type(const char *format);

/* The JSON of X-ClickHouse-Summary. Truncated to size, which 320 bytes never are. */
void answer_summary(const struct engine_statistics *statistics, long long elapsed_ns, char *out, size_t size);

#endif
