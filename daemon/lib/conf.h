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
#define CONF_RULES_MAX 64 /* paths */

struct conf {
	char *dir;             /* runtime directory */
	char *rules[CONF_RULES_MAX];
	size_t n_rules;
	bool default_rules;
	bool observe;
	uint16_t record;       /* enum pyaudit_class bits */
	bool record_all;
	char *ndjson;          /* path, or NULL */
	bool journal;
	int log_level;         /* enum log_level */
	size_t memory;         /* bytes of recent events kept for `tail --since` */
	size_t sink_queue;     /* bytes a sink may be behind */
	size_t client_buffer;  /* bytes a live client may be behind */
	unsigned max_agents, max_clients;
	unsigned drain_ms;     /* how often active rings are read */
	unsigned idle_ms;      /* silence after which a ring is left alone until it wakes us */
	char *watch_units;     /* patterns of services whose Pythons should be watched, or NULL */
	char *cgroups;         /* where the control groups are; NULL: looked for */
	char *dropins;         /* where `pyauditctl enable` puts those that name such services */
	unsigned watch_ms;     /* how often they are looked at; 0: never */
	unsigned verify_ms;    /* how often a process is looked at, whether its hook is there; 0: never */
};

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

#endif
