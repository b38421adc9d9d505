/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was judged before and concerned nobody: a program opens the same few files again and again.
 * A table of the process remembers the arguments of events that no rule matched, as a kernel's cache
 * of access vectors does. Only `nothing` is remembered, and only where it follows from the arguments
 * (pyaudit_verdict.pure); whoever asks compares all of their bytes. libc only.
 */
#ifndef AGENT_MEMO_H
#define AGENT_MEMO_H

#include "event.h"

/* Events that are remembered, and the bytes of one: what does not fit is judged each time. */
#define MEMO_ENTRIES 64
#define MEMO_ENTRY_SIZE 256

/* A question to the table. @policy is a number that no other policy of this process has had. */
struct memo_key {
	uint64_t head; /* policy and event */
	const struct pyaudit_value *values;
	unsigned n_values;
	uint64_t hash;
};

/* Where it is to stand: zeroed memory of as many bytes as this says, aligned to 64. NULL only asks how many. */
size_t memo_use(void *room);

/* False: such arguments are not remembered (a list, an object, text that was cut). */
bool memo_key(struct memo_key *ret, uint32_t policy, uint16_t event,
	      const struct pyaudit_value *values, unsigned n_values);
bool memo_has(const struct memo_key *key);
/* Remembers it from the second time on, so that what comes once costs no copy. */
void memo_add(const struct memo_key *key);

#endif
