/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts counted by what they have in common, and over time. Rows are kept for the first
 * TALLY_ROWS_MAX values of each kind, others add to one row; time has TALLY_SLOTS slots that grow
 * wider as the span does, so that a million alerts cost no more room than a thousand.
 */
#ifndef CTL_TALLY_H
#define CTL_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_ROWS_MAX 4096
#define TALLY_SLOTS 120
#define TALLY_LATEST 200
#define TALLY_ATTACK_MAX 8

enum tally_by {
	TALLY_RULE,
	TALLY_SCRIPT,
	TALLY_UNIT,
	TALLY_PACKAGE,
	TALLY_USER,
	TALLY_TECHNIQUE,
	TALLY_N_BY,
};

/* One alert, summary of alerts that a limit held back, or loss, as a journal or a file tells it. Texts are ""
 * where unknown. */
struct incident {
	uint64_t time_ns; /* CLOCK_REALTIME */
	bool is_loss, is_summary;
	uint64_t n_suppressed, n_denials; /* of a summary */
	bool is_denied, is_observed;
	uint64_t lost;
	unsigned pid, line;
	const char *rule, *event, *severity, *message;
	const char *script, *exe, *unit, *user, *file;
	const char *package; /* "" where it was not asked for: its directory says it */
	const char *attack[TALLY_ATTACK_MAX];
	unsigned n_attack;
};

struct tally_row {
	char *name;
	uint64_t n, n_denied, n_observed;
	uint64_t first_ns, last_ns;
	unsigned severity; /* the worst: enum pyaudit_severity */
	struct tally_row *next; /* of its bucket */
};

struct tally_table {
	struct tally_row *rows; /* TALLY_ROWS_MAX + 1 of them: the last one is of all others */
	size_t n;
	struct tally_row *buckets[TALLY_ROWS_MAX];
};

struct tally_slot {
	uint64_t n, n_denied;
};

/* A copy that lasts. */
struct tally_entry {
	struct incident incident;
	char *text; /* that its texts stand in */
};

struct tally {
	struct tally_table by[TALLY_N_BY];
	uint64_t n, n_denied, n_observed, n_lost;
	uint64_t n_suppressed; /* of n: told by summaries alone */
	uint64_t first_ns, last_ns; /* 0: nothing was counted */
	uint64_t slot_start_ns, slot_ns;
	struct tally_slot slots[TALLY_SLOTS];
	struct tally_entry latest[TALLY_LATEST];
	uint64_t n_latest; /* ever put there */
};

/* NULL without memory. */
struct tally *tally_new(void);
void tally_free(struct tally *tally);

/* False without memory. */
bool tally_add(struct tally *tally, const struct incident *incident);

/* Rows of a kind, most alerts first. To be called when all were added. */
void tally_sort(struct tally *tally);

const char *tally_name(enum tally_by by);
/* -1: there is no such kind. */
int tally_by_name(const char *name);

/* The distribution that a file belongs to, by its directory below site-packages: its length in
 * *ret_len, or NULL. */
const char *tally_package(const char *file, size_t *ret_len);

unsigned tally_severity(const char *name);

#endif
