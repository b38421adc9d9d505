/* SPDX-License-Identifier: Apache-2.0 */
/* What `rules explain` says of rules with memory: what of them an event is, and what they made of it. */
#ifndef CTL_EXPLAIN_MEMORY_H
#define CTL_EXPLAIN_MEMORY_H

#include "explain.h"
#include "json.h"
#include "memory.h"

/* What the memories of rules held before an event of a capture, and whether they alerted at it. */
struct explain_memory {
	struct explain_remembered {
		const struct rule *rule;
		unsigned step; /* from 1; 0: its own conditions */
		struct memory_state state;
		bool alerts;
	} of[PYAUDIT_HITS_MAX];
	unsigned n;
};

/* @memory NULL: the event is of no capture. */
void explain_memory_print(const struct explain_rule *one, const struct explain_memory *memory);
/* Member "memory"; null for a rule without. */
void explain_memory_json(struct json *json, const struct explain_rule *one,
			 const struct explain_memory *memory);
/* Rules whose memory alerts at the event: " by a, b", or nothing. */
void explain_memory_print_alerts(const struct explain_memory *memory);

#endif
