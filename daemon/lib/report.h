/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon has to say: an event, an alert, a loss, a process that came or went, a change of
 * its own state. One struct, one JSON form (docs/event.schema.json), the same for files, live
 * clients and memory; the journal's fields are made from it as well.
 */
#ifndef LIB_REPORT_H
#define LIB_REPORT_H

#include "buf.h"
#include "event.h"
#include "process.h"
#include "rules.h"

#define REPORT_SCHEMA_VERSION 1
#define REPORT_MESSAGE_MAX 1024 /* bytes of a message made from a template; then "..." */

enum report_kind {
	REPORT_EVENT,
	REPORT_ALERT, /* a rule matched with alert or block */
	REPORT_LOSS,
	REPORT_PROCESS,
	REPORT_STATUS,
	REPORT_SUMMARY, /* repeats of an alert that its rule's limit held back (limit.h) */
};

enum report_cause {
	REPORT_CAUSE_RING_FULL, /* the program was faster than the daemon */
	REPORT_CAUSE_URGENT_FULL, /* the same, of alerts and denials, in their own lane */
	REPORT_CAUSE_DAEMON_DOWN, /* the ring ran full while no daemon read it */
	REPORT_CAUSE_DAEMON_KILLED, /* a daemon had read them, and was killed before its sinks wrote */
	REPORT_CAUSE_TORN,      /* a thread died while it wrote its record */
	REPORT_CAUSE_CORRUPT,   /* not a record: damaged, or written by something else */
	REPORT_CAUSE_SOCKET,    /* an agent without a ring could not send */
	REPORT_CAUSE_SINK,      /* a file or the journal did not take it */
	REPORT_CAUSE_CLIENT,    /* this client reads too slowly; told to it alone */
	REPORT_CAUSE_USER_LIMIT, /* its ring ran full while its user was over a limit of rate */
	REPORT_N_CAUSES,
};

struct report_summary_value {
	uint16_t field; /* enum pyaudit_field_id */
	char *text;     /* NULL: there was none */
};

/* Alerts of one rule and one set of values that were counted in the place of being told. */
struct report_summary {
	const char *rule; /* its id */
	enum pyaudit_severity severity;
	enum pyaudit_action action; /* the strongest of them */
	uint64_t n_alerts, n_denials; /* denials included */
	uint64_t since_ns, until_ns; /* CLOCK_REALTIME of the first and the last */
	uint64_t generation;         /* policy of the last */
	const struct report_summary_value *values; /* of the limit's fields */
	unsigned n_values;
	const struct process *process; /* where the limit is per process; else NULL */
};

struct report {
	enum report_kind kind;
	bool is_held; /* by a limit: for captures alone */
	uint64_t seq;
	uint64_t time_ns;
	const struct process *process; /* NULL: of the daemon itself */

	/* EVENT, ALERT */
	struct pyaudit_decoded *decoded; /* not const: pyaudit_field uses its scratch */
	const struct rule_set *rules;    /* of the record's generation; NULL: not known any more */
	bool has_number;
	uint64_t number; /* of the record in its lane */

	/* LOSS */
	enum report_cause cause;
	uint64_t lost;
	uint64_t total;   /* of this cause and lane, with it; 0: not counted so */
	const char *lane; /* "ordinary", "urgent" or NULL */
	const char *sink; /* name of the sink, or NULL */

	/* PROCESS, STATUS */
	const char *event;   /* "process.start", "daemon.reload", ... */
	const char *message; /* or NULL */
	uint64_t generation; /* also of STATUS */

	const struct report_summary *summary; /* SUMMARY */
	const struct rule_memory *memory;     /* ALERT of a rule with memory; else NULL */
	const char *context_file; /* ALERT: what went before it is also there, for the journal; or NULL */
	const struct pyaudit_facts *facts;    /* where there is no process, on paper */
};

const char *report_kind_name(enum report_kind kind);
const char *report_cause_name(enum report_cause cause);

/* The kind a record is of: ALERT or EVENT. */
enum report_kind report_kind_of(const struct pyaudit_decoded *decoded);

/* Whether lines of this kind and cause move the daemon's sequence number, and by how much. */
uint64_t report_weight(const struct report *report);

enum pyaudit_severity report_severity(const struct report *report);

/* The rule that decided, or NULL. */
const struct rule *report_rule(const struct report *report);

/* The rule that matched in place @hit, strongest first; NULL where there is none or it is not known. */
const struct rule *report_rule_at(const struct report *report, unsigned hit);

/* Process and thread as the host sees them, as far as it is known. */
pid_t report_pid(const struct report *report);

/* Member "losses": an object of causes and counts, those that are not 0. */
struct json;
void report_losses_json(const uint64_t lost_by[REPORT_N_CAUSES], struct json *json);

/* One line, newline included. */
void report_json(const struct report *report, struct buf *out);

/* The array of an event's arguments alone. */
void report_json_args(const struct report *report, struct buf *out);

/* The sentence for people: the rule's template filled in, or a plain one. Not escaped. */
void report_message(const struct report *report, struct buf *out);

/* A value as messages show it. */
void report_add_value(struct buf *out, const struct pyaudit_value *v);

/* A field of any scope, for templates and filters. LIST values made here live in @values, which
 * has room for PYAUDIT_VALUES_MAX. */
bool report_field(const struct report *report, unsigned field, struct pyaudit_value *ret,
		  struct pyaudit_value *values);

#endif
