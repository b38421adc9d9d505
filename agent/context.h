/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last events of the process, recorded or not, for the alert that may come: a few slots in the agent's
 * own memory, the oldest overwritten. Nothing of them leaves the process but in the record of an alert, with
 * credentials replaced as everywhere.
 *
 * With a GIL all threads share one area. Without, each thread has one of several by its number, so that
 * threads do not wait for each other's cache lines, and an alert tells of its own area. No lock: two writers
 * of one slot, a lap of it apart or, in the libc layer, without the GIL, may mix their texts, which stay within
 * the slot. A forked child begins with what its parent had done.
 */
#ifndef AGENT_CONTEXT_H
#define AGENT_CONTEXT_H

#include "event.h"

/* Where it is to stand: zeroed memory of as many bytes as this says, aligned to 64. NULL only asks how many. */
size_t context_use(void *room);

/* How many events before it an alert is to tell of, by this policy. */
unsigned context_events(const void *image);

/* Remembers an event that was judged; @action is what became of it. Fetches the argument it is told by. */
void context_keep(struct pyaudit_event *event, uint8_t action, uint32_t tid);

/* Adds the last @n events to a record, the newest first; returns its new size. */
size_t context_add(uint8_t record[PYAUDIT_RECORD_MAX], size_t size, unsigned n, uint32_t tid);

#endif
