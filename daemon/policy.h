/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy in force: rules read, compiled, published as a file that starting agents read and as
 * a sealed memfd that running ones are handed. What rules are called is kept for the last
 * POLICY_KEPT generations, and for those that were in force within the last minute, so that records judged
 * by an older one are attributed right however fast they follow each other.
 */
#ifndef DAEMON_POLICY_H
#define DAEMON_POLICY_H

#include "compile.h"
#include "conf.h"
#include "earlier.h"
#include "log.h"
#include "mode.h"
#include "rules.h"
#include "verdict.h"

#define POLICY_KEPT 16
#define POLICY_KEPT_MS 60000     /* more of them for so long after they were replaced, */
#define POLICY_KEPT_MAX 1024     /* up to this number, */
#define POLICY_KEPT_RULES 131072 /* and as long as all together have no more rules */
#define POLICY_ETC_RULES "/etc/pyaudit/rules.d"

/* The rules of the oldest generation are let go. */
typedef void policy_forget_fn(void *data, const struct rule_set *rules);

struct policy {
	struct {
		uint64_t generation;
		struct rule_set *rules;
		struct compile_options options;
		uint64_t replaced_ns; /* CLOCK_MONOTONIC; 0: in force */
	} kept[POLICY_KEPT_MAX];
	unsigned n_kept; /* the newest and those before it, to the last that is known: few, and asked for by every event */
	unsigned newest;
	uint64_t generation; /* microseconds of its making: grows over restarts; 0: none yet */
	int memfd;
	size_t size;
	struct earlier earlier;
	struct mode mode;         /* what was switched at run time */
	policy_forget_fn *forget; /* or NULL */
	void *data;               /* its */
};

void policy_init(struct policy *policy);
void policy_fini(struct policy *policy);

/* Reads and compiles aside and puts the result in force when all of it went well: 0. Otherwise
 * the old policy stays whole: RULES_E_INVALID with mistakes in @diag, or a negative errno, which
 * is logged. */
int policy_load(struct policy *policy, const struct conf *conf, struct diag *diag,
		struct log *log);

/* Lets generations go that nobody can be judged by any more. */
void policy_prune(struct policy *policy);

/* Judges an event of the daemon's own by the policy in force. */
void policy_judge(const struct policy *policy, const struct pyaudit_facts *facts,
		  struct pyaudit_event *event, struct pyaudit_verdict *ret);

/* The rules of a generation, or NULL where it is not known. */
const struct rule_set *policy_rules(const struct policy *policy, uint64_t generation);
/* The same of a record, whose numbers are made those of the rules where a daemon before gave them out. */
const struct rule_set *policy_attribute(const struct policy *policy,
					struct pyaudit_decoded *decoded);
/* Some rule in force lets acts wait until their alert is written. */
bool policy_waits(const struct policy *policy);
/* What it was compiled with. False where it is not known. */
bool policy_options(const struct policy *policy, uint64_t generation,
		    struct compile_options *ret);

#endif
