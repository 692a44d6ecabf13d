/*
 * properties.h - the file that holds what must not stand in a catalog: how to reach the brokers and prove who
 * one is.
 *
 * Lines name=value in librdkafka's names; blank ones and those that begin with # say nothing. Only names of a
 * fixed list are taken: not those that load libraries or run commands, and not those on which at-least-once
 * delivery or the bound of memory rests.
 */
#ifndef WALHOUSE_PUBLISHER_PROPERTIES_H
#define WALHOUSE_PUBLISHER_PROPERTIES_H

#include "message.h"

/* false with *failure set ends the reading. */
typedef bool PropertySetter(void *context, const char *name, const char *value, Failure *failure);

/* Calls set for every line of the file at path. No message shows a value: it may be a secret. */
bool properties_read(const char *path, PropertySetter *set, void *context, Failure *failure);

#endif
