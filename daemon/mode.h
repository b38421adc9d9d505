/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was switched to observe, or back, while the daemon runs: the host, units, files of rules, rules, of
 * which the last counts. It goes over what
 * rule files and settings say, survives reloads, and ends with the daemon. Each change is a new policy,
 * handed out as by a reload.
 */
#ifndef DAEMON_MODE_H
#define DAEMON_MODE_H

#include <sys/types.h>

#include "compile.h"
#include "json.h"
#include "request.h"

#define MODE_RULES_MAX 256
#define MODE_UNITS_MAX 64
#define MODE_FILES_MAX 64

struct server;

enum mode_host {
	MODE_HOST_UNSET, /* as the settings say */
	MODE_HOST_OBSERVE,
	MODE_HOST_ENFORCE,
};

/* An id or a file's name, and what was made of it. */
struct mode_switched {
	char *name;
	bool observe;
};

struct mode {
	enum mode_host host;
	struct mode_switched rules[MODE_RULES_MAX];
	unsigned n_rules;
	struct mode_switched files[MODE_FILES_MAX]; /* by path */
	unsigned n_files;
	char *units[MODE_UNITS_MAX]; /* globs of those that observe */
	unsigned n_units;
};

void mode_fini(struct mode *mode);

/* Makes rules and options what was switched. 0 or -ENOMEM. */
int mode_apply(const struct mode *mode, struct rule_set *rules, struct compile_options *options);

/* Switches, puts the policy in force and tells it. 0; -EINVAL with a sentence in @error; RULES_E_INVALID
 * (mistakes in @diag: the rule files have some now, nothing has changed); or another negative errno. */
int mode_switch(struct server *server, const struct request *request, uid_t uid, pid_t pid,
		char error[REQUEST_ERROR_MAX], struct diag *diag);

/* Does the host observe? */
bool mode_observes(const struct mode *mode, bool settings);
void mode_json(const struct mode *mode, struct json *json);

#endif
