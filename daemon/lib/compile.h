/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a rule set into a policy image (include/pyaudit/policy.h), and a filter into an image
 * of one rule. Cost of judging does not grow with the number of rules: see verdict.c.
 */
#ifndef LIB_COMPILE_H
#define LIB_COMPILE_H

#include "event.h"
#include "rules.h"

struct compile_options {
	uint64_t generation;
	bool observe;          /* every block becomes an alert that says it would have blocked */
	uint16_t record;       /* classes (enum pyaudit_class bits) to record without a rule */
	uint32_t flags;        /* PYAUDIT_IMAGE_STAY, PYAUDIT_IMAGE_FOLLOW_ALL, and the ring's size */
	bool record_all;       /* every event but NOISE, also those of libraries */
	unsigned context;      /* events before it that an alert tells of, up to PYAUDIT_CONTEXT_MAX */
	bool context_all;      /* also those that nobody asks for, but NOISE */
	bool tells_exceptions; /* where an exception keeps a rule quiet, that is recorded */
};

struct image {
	void *bytes; /* malloc'ed, 8-byte aligned, accepted by pyaudit_image_check */
	size_t size;
};

/* Whether the settings ask for the event, whatever the rules say. */
bool compile_records(const struct compile_options *options, unsigned event);

/* 0; RULES_E_INVALID (a pattern too large: mistakes in @diag); or a negative errno. */
int compile_rules(struct image *ret_image, const struct rule_set *set,
		  const struct compile_options *options, struct diag *diag);

/* A filter of tail: judged against decoded events; fields of scope PROC and ALERT are asked of
 * @get. Evaluates the expression tree itself: filters run outside the guest, on few events. */
typedef bool filter_get_fn(void *data, unsigned field, struct pyaudit_value *ret);
bool filter_match(const struct expr *filter, filter_get_fn *get, void *data);

void image_fini(struct image *image);

#endif
