/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of a host whose units have profiles of their own (`unit_profile` in pyauditd.conf): for
 * each profile the rules are read as if it were the host's, and what comes of it is joined into one
 * set. A rule that is the same in all of them stands there once; one that a profile brings, changes
 * or leaves out stands there in each of its forms, and each is asked for in the units of its
 * profiles alone.
 */
#ifndef LIB_UNIT_RULES_H
#define LIB_UNIT_RULES_H

#include "conf.h"
#include "rules.h"

/* One for each of conf_profiles. */
#define UNIT_RULES_PROFILES_MAX 8

/* The rules of the host as they would be with each profile, NULL where none of its units has it. */
struct unit_rules {
	struct rule_set *sets[UNIT_RULES_PROFILES_MAX]; /* by place in conf_profiles */
};

void unit_rules_fini(struct unit_rules *rules);

/* The place of one of conf_profiles. */
unsigned unit_rules_profile(const char *profile);
/* Which profiles are asked for: bits by such places. */
unsigned unit_rules_wanted(const struct conf *conf);

/* The joined set; what @rules has is used up. 0 or -ENOMEM. */
int unit_rules_join(struct rule_set **ret_set, struct unit_rules *rules, const struct conf *conf);

#endif
