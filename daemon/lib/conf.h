/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's settings: `key = value` lines of pyauditd.conf, one key a line, `#` begins a
 * comment. Options of the command line are set by the same table, after the file.
 */
#ifndef LIB_CONF_H
#define LIB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diag.h"

#define CONF_FILE_SIZE_MAX (1u << 20)
#define CONF_DROPINS_DEFAULT "/etc/systemd/system"
#define CONF_CONTROL_GROUP "pyaudit"
#define CONF_TAIL_GROUP "pyaudit-tail"
#define CONF_RULES_MAX 64 /* paths */
#define CONF_KEYS_MAX 64  /* rows of the table of keys */
#define CONF_DROPINS_MAX 256 /* files of FILE.d */
#define CONF_UNIT_MAX 255 /* bytes of a pattern of units */
#define CONF_UNIT_PROFILES_MAX 256 /* lines of unit_profile */

/* Where a value came from; all NULL and 0: it is the default. */
struct conf_origin {
	char *file; /* or "command line" */
	unsigned line;
	char *value; /* as it was written */
};

/* Units whose profile is not the host's. */
struct conf_unit_profile {
	const char *profile; /* one of conf_profiles */
	char *units;	     /* globs with blanks between */
	struct conf_origin origin;
};

enum conf_follow {
	CONF_FOLLOW_INTERPRETERS, /* Python, shells and what starts other programs */
	CONF_FOLLOW_ALL,
	CONF_FOLLOW_NONE,
};

struct conf {
	char *dir;             /* runtime directory */
	char *rules[CONF_RULES_MAX];
	struct conf_origin rules_origins[CONF_RULES_MAX];
	struct conf_origin origins[CONF_KEYS_MAX]; /* by row; of `rules` the last */
	size_t n_rules;
	bool default_rules;
	const char *profile; /* one of conf_profiles */
	struct conf_unit_profile unit_profiles[CONF_UNIT_PROFILES_MAX]; /* the last that names a unit counts */
	size_t n_unit_profiles;
	bool observe;
	enum conf_follow follow; /* children with an environment of their own */
	uint16_t record;       /* enum pyaudit_class bits */
	bool record_all;
	unsigned context;      /* events before it that an alert tells of */
	bool context_all;      /* also those that no rule and no setting asks for */
	size_t ring;           /* bytes of a program's ring for ordinary events */
	char *ndjson;          /* path, or NULL */
	char *state;           /* directory for what outlives the daemon, or NULL */
	char *metrics;         /* path of a file of OpenMetrics text, or NULL */
	unsigned metrics_s;    /* how often it is written */
	bool journal;
	int log_level;         /* enum log_level */
	size_t memory;         /* bytes of recent events kept for `tail --since` */
	size_t sink_queue;     /* bytes a sink may be behind */
	size_t spool;          /* bytes on disk for a sink that fails; 0: none */
	size_t client_buffer;  /* bytes a live client may be behind */
	unsigned max_agents, max_clients;
	char *control_group;   /* whose members may change what is in force */
	char *tail_group;      /* whose members may look */
	unsigned user_agents;  /* of one user */
	size_t user_memory;    /* bytes of rings and facts about processes, of one user */
	unsigned user_events, user_alerts; /* in a second, of one user; 0: as many as come */
	unsigned drain_ms;     /* how often active rings are read */
	unsigned idle_ms;      /* silence after which a ring is left alone until it wakes us */
	char *watch_units;     /* patterns of services whose Pythons should be watched, or NULL */
	char *cgroups;         /* where the control groups are; NULL: looked for */
	char *dropins;         /* where `pyauditctl enable` puts those that name such services */
	unsigned watch_ms;     /* how often they are looked at; 0: never */
	unsigned verify_ms;    /* how often a process is looked at, whether its hook is there; 0: never */
};

/* Profiles: files of rules that stand on the shipped ones. Ends with NULL; the first is the default. */
extern const char *const conf_profiles[];
/* The one of that name, or NULL. */
const char *conf_profile_by_name(const char *name);
/* The profile of a unit, NULL for what is in none. */
const char *conf_profile_of(const struct conf *conf, const char *unit);
/* Whether nothing is to be refused: the setting, or the profile audit. */
bool conf_observes(const struct conf *conf);

/* Defaults. 0 or -ENOMEM. */
int conf_init(struct conf *conf);
void conf_fini(struct conf *conf);

/* Sets one key; mistakes go into @diag with this place. 0, CONF_E_INVALID or -ENOMEM. */
enum conf_outcome {
	CONF_OK = 0,
	CONF_E_INVALID = 1, /* mistakes are in the diag */
};
int conf_set(struct conf *conf, const char *name, const char *value, struct diag *diag,
	     const char *file, unsigned line, unsigned column);

/* Reads a text or file; every mistake is found in one run. */
int conf_parse(struct conf *conf, const char *name, const char *text, size_t len,
	       struct diag *diag);
int conf_load(struct conf *conf, const char *path, struct diag *diag);
/* The same, then the files *.conf of the directory @path.d, in the order of their names; these need
 * no file before them. -ENOENT where there is neither. */
int conf_load_tree(struct conf *conf, const char *path, struct diag *diag);

/* Every value in force, one call each, `rules` one for each path. @value is NULL where the key is not
 * set, @file NULL and @line 0 for a default. */
typedef void conf_show_fn(void *data, const char *key, const char *value, const char *file,
			  unsigned line);
void conf_show(const struct conf *conf, conf_show_fn *show, void *data);

/* @fresh is to take the place of @running: what only a start can change is carried over into it,
 * and each key that would have changed is told. 0 or -ENOMEM. */
typedef void conf_kept_fn(void *data, const char *key, const char *value);
int conf_carry(struct conf *fresh, const struct conf *running, conf_kept_fn *kept, void *data);

#endif
