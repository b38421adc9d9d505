/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the policy of the daemon before called its rules. Records name rules by number, and what was judged
 * while no daemon ran stands in the rings with the numbers of that policy, which is still in the runtime
 * directory when the next daemon starts, with the ids. Rules may have come and gone with an upgrade.
 */
#ifndef DAEMON_EARLIER_H
#define DAEMON_EARLIER_H

#include <stdbool.h>
#include <stdint.h>

#define EARLIER_GONE 0xffff /* the number of a rule that is no more: beyond PYAUDIT_RULES_MAX */

struct pyaudit_decoded;
struct rule_set;

struct earlier {
	uint64_t generation;          /* 0: nothing is known */
	const struct rule_set *rules; /* those that the numbers are of now; borrowed */
	uint16_t *numbers;
	unsigned n;
};

/* The image in a policy file, checked, or NULL. */
void *earlier_read(const char *path);
/* Notes how numbers of @image, which may be NULL, translate to those of @now, compiled of @rules. */
void earlier_note(struct earlier *earlier, const void *image, const void *now, const struct rule_set *rules);
/* Makes the numbers in a record of that generation ours. False: it is of another. */
bool earlier_translate(const struct earlier *earlier, struct pyaudit_decoded *decoded);
void earlier_fini(struct earlier *earlier);

#endif
