/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other policies than ours call their rules. Records name rules by number, and two kinds of them were judged by a
 * policy of a daemon before: those that stood in the rings while no daemon ran, and those of agents that cannot take
 * ours, for they are of another major version. So each daemon writes beside its policy what its rules are called, and what
 * it knows of those before; as text, which no version of the image changes:
 *
 *   generation 1795658149818512
 *   reverse-shell
 *   ...
 *
 * Rules may have come and gone with an upgrade: numbers are translated by the ids.
 */
#ifndef DAEMON_EARLIER_H
#define DAEMON_EARLIER_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

#define EARLIER_FILE "policy.names"      /* in the runtime directory */
#define EARLIER_MAX 16                   /* policies remembered; for another one the oldest is forgotten */
#define EARLIER_SIZE_MAX (32u << 20)     /* of the file */
#define EARLIER_GONE 0xffff              /* the number of a rule that is no more: beyond PYAUDIT_RULES_MAX */

struct pyaudit_decoded;
struct rule_set;

struct earlier_policy {
	uint64_t generation;
	char *ids; /* each with its NUL, in the order of their numbers */
	size_t size;
	unsigned n;
	uint16_t *numbers; /* of now, or NULL */
};

struct earlier {
	struct earlier_policy policies[EARLIER_MAX]; /* oldest first */
	unsigned n;
	const struct rule_set *rules; /* those that the numbers are of now; borrowed */
};

/* Reads what is known of policies before; nothing where the file is not there, or is not such a text. */
void earlier_read(struct earlier *earlier, const char *path);
/* The newest generation that is known, or 0. */
uint64_t earlier_newest(const struct earlier *earlier);
/* The text of what is known and of @image, for the next daemon. */
void earlier_text(const struct earlier *earlier, const void *image, struct buf *ret);
/* @image, compiled of @rules, is in force: numbers are those of @rules from now on. */
void earlier_note(struct earlier *earlier, const void *image, const struct rule_set *rules);
/* Makes the numbers in a record ours. False: its policy is not known. */
bool earlier_translate(const struct earlier *earlier, struct pyaudit_decoded *decoded);
void earlier_fini(struct earlier *earlier);

#endif
