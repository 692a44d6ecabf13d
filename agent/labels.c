/*
 * labels.c - a counter for each value of a label; see labels.h.
 */
#include "agent/labels.h"

#include <stdio.h>
#include <string.h>

bool labels_init(Labels *labels)
{
    *labels = (Labels){.count = 0};
    (void)snprintf(labels->labels[LABELS_MAX].value, LABEL_BYTES_MAX, LABELS_OTHER_NAME);
    return pthread_mutex_init(&labels->lock, NULL) == 0;
}

void labels_fini(Labels *labels)
{
    (void)pthread_mutex_destroy(&labels->lock);
}

static Label *find_or_add(Labels *labels, const char *value)
{
    for (int i = 0; i < labels->count; i++)
        if (strncmp(labels->labels[i].value, value, LABEL_BYTES_MAX - 1) == 0)
            return &labels->labels[i];
    if (labels->count == LABELS_MAX)
        return &labels->labels[LABELS_MAX];
    (void)snprintf(labels->labels[labels->count].value, LABEL_BYTES_MAX, "%s", value);
    return &labels->labels[labels->count++];
}

void labels_add(Labels *labels, const char *value, uint64_t count)
{
    (void)pthread_mutex_lock(&labels->lock);
    find_or_add(labels, value)->count += count;
    (void)pthread_mutex_unlock(&labels->lock);
}

void labels_each(Labels *labels, void (*visit)(void *context, const Label *label), void *context)
{
    (void)pthread_mutex_lock(&labels->lock);
    for (int i = 0; i <= LABELS_MAX; i++)
        if (labels->labels[i].count > 0)
            visit(context, &labels->labels[i]);
    (void)pthread_mutex_unlock(&labels->lock);
}
