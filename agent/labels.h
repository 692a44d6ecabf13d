/*
 * labels.h - a counter for each value of a metric's label, bounded in number: tables, causes.
 */
#ifndef WALHOUSE_AGENT_LABELS_H
#define WALHOUSE_AGENT_LABELS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LABELS_MAX        200 /* further values are counted together, as "other" */
#define LABEL_BYTES_MAX   256
#define LABELS_OTHER_NAME "other"

typedef struct Label {
    char value[LABEL_BYTES_MAX]; /* longer ones are cut */
    uint64_t count;
} Label;

/* Any thread may call anything here. */
typedef struct Labels {
    pthread_mutex_t lock;
    Label labels[LABELS_MAX + 1]; /* the last one is the others' */
    int count;
} Labels;

/* false: no mutex to be had. */
bool labels_init(Labels *labels);
void labels_fini(Labels *labels);

void labels_add(Labels *labels, const char *value, uint64_t count);
/* In the order in which they came. */
void labels_each(Labels *labels, void (*visit)(void *context, const Label *label), void *context);

#endif
