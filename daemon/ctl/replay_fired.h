/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts of rules with memory, then and now: those of the capture and those of its replaying are paired by
 * rule and event. What stays alone differs.
 */
#ifndef CTL_REPLAY_FIRED_H
#define CTL_REPLAY_FIRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyaudit/policy.h"

#define REPLAY_FIRED_MAX 4096 /* alone at once: then the oldest stays so */

struct replay_fired {
	struct fired {
		uint64_t time_ns; /* of the event in whose name it is */
		bool was;	  /* raised by the daemon, and not by replaying */
		char rule[PYAUDIT_RULE_ID_MAX + 1];
	} *alone; /* oldest first */
	size_t n;
	/* Called for each that stays alone. */
	void (*differs)(void *data, const struct fired *fired);
	void *data;
};

/* 0 or -ENOMEM. */
int replay_fired_init(struct replay_fired *all, void (*differs)(void *, const struct fired *),
		      void *data);
void replay_fired_fini(struct replay_fired *all);
void replay_fired_add(struct replay_fired *all, bool was, uint64_t time_ns, const char *rule);
/* The capture has ended: tells those that are left. */
void replay_fired_end(struct replay_fired *all);

#endif
