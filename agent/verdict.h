/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one evaluator: judges an event against a policy image, in the agent's hook, in the daemon,
 * in `rules test` and in filters. libc only; never allocates, never fails, bounded time.
 */
#ifndef AGENT_VERDICT_H
#define AGENT_VERDICT_H

#include "event.h"
#include "pyaudit/policy.h"

/* What rules said of one event. */
struct pyaudit_verdict {
	uint8_t action;    /* enum pyaudit_action: the strongest; RECORD where only the slot asks */
	uint8_t observed;  /* 1: block or kill, weakened to alert by observe mode */
	uint8_t n_hits;    /* rules that matched, strongest first; allowed ones are left out */
	uint16_t hits[PYAUDIT_HITS_MAX];
};

/* Conditions on proc.* fields are evaluated once per process and image into these bits. */
struct pyaudit_proc_bits {
	uint64_t word[PYAUDIT_PROC_ATOMS_MAX / 64];
};

/* Checks every offset, count and table of an image once, so that judging needs no bounds checks.
 * 0, or -EBADMSG (not an image, damaged, hostile), -EPROTO (another major version). The image
 * must be 8-byte aligned and must not change afterwards. */
int pyaudit_image_check(const void *image, size_t size);

uint64_t pyaudit_image_generation(const void *image);

/* What to do with events of this name: never NULL (a name no rule and no setting mentions gets
 * the image's slot for other events). Two loads, a hash and a compare. */
const struct pyaudit_slot *pyaudit_image_slot(const void *image, const char *name);

/* Evaluates the proc.* conditions of the image for one process. */
void pyaudit_image_bind(const void *image, const struct pyaudit_facts *facts,
			struct pyaudit_proc_bits *ret);

/* Judges one event. @slot came from pyaudit_image_slot of the same image. */
void pyaudit_judge(const void *image, const struct pyaudit_slot *slot,
		   const struct pyaudit_proc_bits *proc, struct pyaudit_event *event,
		   struct pyaudit_verdict *ret);

/* Facts of rule number @rule, for messages and the daemon. Ids are NUL terminated. */
const char *pyaudit_image_rule_id(const void *image, unsigned rule);
unsigned pyaudit_image_n_rules(const void *image);

#endif
