/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule files: JSON with comments in, a checked rule set out. Parsing reports every mistake of
 * every file in one run (diag.h); a set with mistakes is never given out. Macros are inlined and
 * lists expanded here, so the compiler sees plain expressions over typed fields.
 */
#ifndef LIB_RULES_H
#define LIB_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diag.h"
#include "pyaudit/events.h"
#include "pyaudit/policy.h"

#define RULES_FILE_SIZE_MAX (8u << 20)
#define RULES_DEPTH_MAX 64       /* JSON nesting, and expression nesting after macros */
#define RULES_EXPR_NODES_MAX 65536 /* of one rule, after macros */

enum expr_op {
	EXPR_AND, /* a, b */
	EXPR_OR,  /* a, b */
	EXPR_NOT, /* a */
	EXPR_TRUE,
	EXPR_TEST, /* field cmp values: holds if it holds for one of the values */
};

enum expr_cmp {
	CMP_EQ, /* also `in`: values are alternatives. `!=` and `not in` are NOT of these */
	CMP_LT,
	CMP_LE,
	CMP_GT,
	CMP_GE,
	CMP_GLOB,       /* * and ? do not cross '/', ** does; [abc] [a-z] [!x]; \ quotes */
	CMP_STARTSWITH,
	CMP_ENDSWITH,
	CMP_CONTAINS,
	CMP_MATCHES, /* regular expression, unanchored unless ^ $ say so */
	CMP_CIDR,
	CMP_UNDER,  /* path prefix on normalised paths: equal, or below it */
	CMP_EXISTS, /* the field has a value; written as `exists file.path` or a bare BOOL field */
};

struct expr_value {
	bool is_int;     /* else text */
	int64_t number;  /* INT, BOOL (0 or 1), SEV */
	char *text;      /* may hold NULs; NUL terminated as well */
	size_t len;
	unsigned line, column;
};

struct expr {
	enum expr_op op;
	struct expr *a, *b;
	unsigned field; /* enum pyaudit_field_id */
	enum expr_cmp cmp;
	struct expr_value *values;
	size_t n_values;
	const char *file;
	unsigned line, column; /* where it stands in the rule file */
};

struct rule_test {
	char *event;
	struct cJSON *args;   /* array, as written: numbers, texts, true, null, arrays,
				 {"object": "pathlib.PosixPath"} */
	struct cJSON *proc;   /* object: names of proc.* without the prefix, or NULL */
	struct cJSON *caller; /* object: file, line, function, module, package, or NULL */
	struct cJSON *stack;  /* array of such objects, or NULL */
	char *layer;          /* "audit" unless given */
	char *real, *real_target; /* where the paths lead, or NULL */
	enum pyaudit_action expect; /* what this rule alone does; NONE for a look-alike */
	const char *file; /* of the set's files: an override may bring tests of its own */
	unsigned line, column;
	uint64_t after_ms; /* in a timeline: since the one before */
	uint32_t times;    /* in a timeline: so often, each after @after_ms */
};

#define RULES_LIMIT_FIELDS_MAX 8

/* No more than @burst alerts for one set of values of @per, and one more each @every_ms / @burst. */
struct rule_limit {
	uint16_t per[RULES_LIMIT_FIELDS_MAX]; /* enum pyaudit_field_id */
	unsigned n_per;
	uint32_t burst; /* 0: no limit */
	uint64_t every_ms;
};

enum rule_memory_kind {
	RULE_NO_MEMORY,
	RULE_THRESHOLD,  /* @count events within @within_ms */
	RULE_SEQUENCE,   /* @steps, one after the other, within @within_ms */
	RULE_FIRST_SEEN, /* values that were not there before */
	RULE_ABSENCE,    /* steps[0] does not follow within @within_ms */
};

/* Whose events count together. */
enum rule_memory_scope {
	RULE_IN_PROCESS,
	RULE_IN_TREE, /* a process that is watched and all that come from it */
	RULE_IN_HOST,
};

#define RULES_STEPS_MAX 8
#define RULES_STEP_FIELDS_MAX 4
#define RULES_THRESHOLD_MAX 10000

/* Events, and what has to hold of them. */
struct rule_step {
	uint8_t events[(PYAUDIT_N_EVENTS + 7) / 8];
	char **other_events;
	size_t n_other_events;
	struct expr *when; /* NULL: nothing */
	uint16_t by[RULES_STEP_FIELDS_MAX]; /* enum pyaudit_field_id: their values are those of other steps */
	unsigned n_by;
};

struct rule_memory {
	enum rule_memory_kind kind;
	enum rule_memory_scope scope;
	uint32_t count;
	uint64_t within_ms;
	uint64_t learn_ms; /* of first-seen: told only after that much of it */
	uint64_t keep_ms;  /* and forgotten when not seen for so long; 0: never */
	uint16_t per[RULES_LIMIT_FIELDS_MAX];
	unsigned n_per;
	struct rule_step steps[RULES_STEPS_MAX];
	unsigned n_steps;
};

/* Events with the time between them: tests of rules with memory. */
struct rule_timeline {
	struct rule_test *events; /* expect means nothing in them */
	size_t n_events;
	uint64_t wait_ms; /* after the last */
	uint32_t times;   /* how often the rule acts; 0: not at all */
	const char *file;
	unsigned line, column;
};

/* How often a rule matched, or an exception kept its rule quiet. Shared by the sets of all generations that have it. */
struct rule_count {
	unsigned n_refs;
	uint64_t n;
	uint64_t last_ns; /* CLOCK_REALTIME; 0: never */
};

/* Where the rule keeps quiet though its conditions hold. */
struct rule_exception {
	const struct expr *when; /* within the rule's `when`, below a NOT; NULL: expired */
	char *text; /* as written; of several the first */
	char *owner, *reason;
	struct rule_count *count;
	char expires[11]; /* YYYY-MM-DD, or "" */
	const char *file; /* of the set's files */
	unsigned line, column;
};

/* One text of `when`: all of them have to hold. */
struct rule_condition {
	const struct expr *expr; /* within the rule's `when` */
	char *text;
	const char *file; /* of the set's files */
	unsigned line, column;
};

/* An entry that changed this rule. */
struct rule_origin {
	const char *file; /* of the set's files */
	unsigned line, column;
	char *what; /* names of the parts it touched, joined by ", " */
};

struct rule {
	char *id;
	char *title;
	char *message; /* template with {field}, or NULL */
	char *owner_file; /* file it stands in */
	unsigned line, column;
	uint8_t events[(PYAUDIT_N_EVENTS + 7) / 8]; /* bitmap of `on` */
	char **other_events; /* names no CPython raises: events of libraries */
	size_t n_other_events;
	struct expr *when; /* one AND of all conditions; exceptions are in it as AND NOT */
	const struct expr *scope; /* of the set's scopes: holds in units of its profiles; NULL: everywhere */
	struct rule_condition *conditions;
	size_t n_conditions;
	struct rule_exception *exceptions;
	size_t n_exceptions;
	struct rule_limit limit;
	unsigned ack_ms; /* the act waits so long for its alert to be written; 0: not at all */
	struct rule_origin *origins;
	size_t n_origins;
	bool disabled; /* by an override: it looks at no event */
	struct rule_count *count; /* in the daemon; else NULL */
	enum pyaudit_action action;
	bool allow; /* takes the rules in @over out of the verdict */
	char **over;
	size_t n_over;
	bool observe;
	char **observe_in; /* globs of units in which it observes */
	size_t n_observe_in;
	struct rule_memory memory;
	uint32_t first_part; /* number of the first of its parts: rules_number() */
	enum pyaudit_severity severity;
	char **attack;
	size_t n_attack;
	struct rule_test *tests;
	size_t n_tests;
	struct rule_timeline *timelines;
	size_t n_timelines;
};

struct rule_set {
	struct rule *rules; /* in order of reading; index is the rule's number in the image */
	size_t n_rules;
	char **files;
	size_t n_files;
	bool has_ack; /* some rule's act waits for its alert */
	struct expr **scopes; /* unit_rules.h */
	size_t n_scopes;
	struct pyaudit_forms *forms; /* of credentials, room for all; NULL: none of the site's own */
};

enum rules_outcome {
	RULES_OK = 0,
	RULES_E_INVALID = 1, /* mistakes are in the diag */
};

/* Reads files and directories (their *.json and *.rules, sorted by name; in later directories a
 * file of the same name replaces an earlier one). 0, RULES_E_INVALID, or a negative errno. */
int rules_load(struct rule_set **ret_set, const char *const *paths, size_t n_paths,
	       struct diag *diag);
/* The same; of the files @names_of only lists and macros are read, so that other files may name them. */
int rules_load_naming(struct rule_set **ret_set, const char *const *paths, size_t n_paths,
		      const char *const *names_of, size_t n_names_of, struct diag *diag);
/* The same from memory; for tests, fuzzers and filters. */
int rules_parse(struct rule_set **ret_set, const char *name, const char *text, size_t len,
		struct diag *diag);
/* The same with the clock passed in, in seconds since 1970: exceptions expire by it. */
int rules_parse_at(struct rule_set **ret_set, const char *name, const char *text, size_t len,
		   int64_t now, struct diag *diag);
/* A condition alone (filters of tail): fields of every scope are allowed. */
int rules_parse_filter(struct expr **ret_expr, const char *text, struct diag *diag);
void rules_free(struct rule_set *set);
void rules_freep(struct rule_set **set);
void expr_free(struct expr *expr);

/* What a number in a record means. */
enum rule_part {
	RULE_WHOLE,
	RULE_STEP,     /* of its memory */
	RULE_EXCEPTED, /* an exception kept it quiet */
	RULE_OBSERVED, /* the rule in a unit where it observes */
};

/* "threshold"; NULL where there is none. */
const char *rule_memory_name(enum rule_memory_kind kind);
/* "process" */
const char *rule_scope_name(enum rule_memory_scope scope);
/* Parts of the rule that have numbers of their own. */
size_t rule_n_parts(const struct rule *rule);
/* Numbers the parts of all rules, behind the rules; returns how many numbers there are. Again after
 * rules of a set were changed. */
size_t rules_number(struct rule_set *set);
/* The same count, of a set that is numbered. */
size_t rules_n_numbers(const struct rule_set *set);
/* The rule, and which part of it; NULL where the number is none. */
const struct rule *rules_at(const struct rule_set *set, unsigned number, enum rule_part *ret_part,
			    unsigned *ret_index);
/* Whether such a match is told to nobody: it is for memories, or counts an exception. */
bool rule_part_is_silent(const struct rule *rule, enum rule_part part);
/* Its id, or "". */
const char *rules_id_at(const struct rule_set *set, unsigned number);
/* NULL without memory. */
struct rule_count *rule_count_new(void);
void rule_count_unref(struct rule_count *count);
/* Rules and exceptions that the older set (or NULL) has as well go on counting, others begin. */
void rules_share_counts(struct rule_set *set, const struct rule_set *old);

/* Names in messages and files: "block", "critical". -1 where there is no such name. */
const char *action_name(enum pyaudit_action action);
int action_by_name(const char *name);
const char *severity_name(enum pyaudit_severity severity);
int severity_by_name(const char *name);

#endif
