/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules with memory, judged in the daemon over the stream of events. Agents match what such a rule is
 * made of (its own conditions, the steps of a sequence, what an absence waits for) and record it; here
 * these matches are taken out of the record, counted, ordered or remembered, and where the rule holds
 * it alerts in the name of the event that made it hold.
 *
 * Everything is kept per rule and values of the fields it names, hashed with a secret; tables are
 * bounded, and what was not used for longest makes room. Times are those of the events, and never later
 * than now: a process that lies about them harms its own counts.
 */
#ifndef LIB_MEMORY_H
#define LIB_MEMORY_H

#include "report.h"

#define MEMORY_ENTRIES_MAX 65536        /* thresholds and sequences */
#define MEMORY_SEEN_MAX 131072          /* of first-seen rules; kept across restarts */
#define MEMORY_TIMES_MAX (4u << 20)     /* times of all thresholds: 32 MiB */
#define MEMORY_WAITING_MAX 1024         /* absences whose time runs; each holds its record */
#define MEMORY_KEY_MAX 32768            /* bytes of values that tell entries apart; the rest is cut */
#define MEMORY_STEP_TIMES 4             /* latest times of each step of a sequence */
#define MEMORY_GRACE_MS 1000            /* that records may take to get here, before something is absent */

struct memory;

/* What of one record concerns rules with memory; taken out of it. */
struct memory_hits {
	struct {
		uint16_t rule;
		uint8_t part; /* enum rule_part */
		uint8_t index;
	} hit[PYAUDIT_HITS_MAX];
	unsigned n;
};

/* Whom an event is of. */
struct memory_subject {
	uint64_t process, tree; /* numbers that mean one process, one tree of them */
};

/* An alert: the report has the event, and this rule alone as what matched. */
typedef void memory_fire_fn(void *data, struct report *report);

/* NULL: no memory. */
struct memory *memory_new(void);
void memory_free(struct memory *memory);

/* Takes what is of rules with memory, and exceptions, out of a record's rules. True: somebody asked for
 * what is left, as far as the rules say. */
bool memory_sort(struct pyaudit_decoded *decoded, const struct rule_set *rules,
		 struct memory_hits *ret);

/* Judges; @report is the record's, sorted. @record is kept where something may turn out to be absent.
 * @now_ns is CLOCK_REALTIME. */
void memory_judge(struct memory *memory, struct report *report, const struct memory_hits *hits,
		  const struct memory_subject *subject, const uint8_t *record, size_t record_size,
		  uint64_t now_ns, memory_fire_fn *fire, void *data);

/* What is remembered of whom @hits' @i-th is about, before it is judged. */
struct memory_state {
	uint32_t n;	/* threshold: events in time; absence: what waits */
	unsigned steps; /* sequence: bitmap of those that were in time */
	bool is_known;	/* first-seen */
};

void memory_look(struct memory *memory, struct report *report, const struct memory_hits *hits, unsigned i,
		 const struct memory_subject *subject, struct memory_state *ret);

/* Absences whose time is over. */
void memory_sweep(struct memory *memory, uint64_t now_ns, memory_fire_fn *fire, void *data);
/* A generation is not known any more: what waits for its rules is dropped, counted as evicted. */
void memory_forget_rules(struct memory *memory, const struct rule_set *rules);

/* First-seen, across restarts. 0; -ENOENT; -EBADMSG: damaged, and begun anew; or another negative errno. */
int memory_load(struct memory *memory, const char *path);
/* Writes if something is new. */
int memory_save(struct memory *memory, const char *path);

struct memory_stats {
	uint64_t n_entries, n_seen, n_waiting;
	uint64_t n_evicted; /* made room while in use */
	uint64_t n_fired;
};

struct memory_stats memory_stats(const struct memory *memory);

#endif
