/* SPDX-License-Identifier: Apache-2.0 */
#include "mode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expr.h"
#include "server.h"

void
mode_fini(struct mode *mode)
{
	for (unsigned i = 0; i < mode->n_rules; i++)
		free(mode->rules[i].name);
	for (unsigned i = 0; i < mode->n_files; i++)
		free(mode->files[i].name);
	for (unsigned i = 0; i < mode->n_units; i++)
		free(mode->units[i]);
	*mode = (struct mode){.host = MODE_HOST_UNSET};
}

static int
copy_switched(struct mode_switched *ret, unsigned *ret_n, const struct mode_switched *all, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		ret[i] = (struct mode_switched){strdup(all[i].name), all[i].observe};
		if (ret[i].name == NULL)
			return -ENOMEM;
		++*ret_n;
	}
	return 0;
}

static int
copy_mode(struct mode *ret, const struct mode *mode)
{
	*ret = (struct mode){.host = mode->host};
	if (copy_switched(ret->rules, &ret->n_rules, mode->rules, mode->n_rules) < 0 ||
	    copy_switched(ret->files, &ret->n_files, mode->files, mode->n_files) < 0)
		goto no_memory;
	for (unsigned i = 0; i < mode->n_units; i++) {
		ret->units[i] = strdup(mode->units[i]);
		if (ret->units[i] == NULL)
			goto no_memory;
		ret->n_units++;
	}
	return 0;
no_memory:
	mode_fini(ret);
	return -ENOMEM;
}

bool
mode_observes(const struct mode *mode, bool settings)
{
	return mode->host == MODE_HOST_UNSET ? settings : mode->host == MODE_HOST_OBSERVE;
}

static int
add_units(const struct mode *mode, struct rule *rule)
{
	char **units = realloc(rule->observe_in,
			       (rule->n_observe_in + mode->n_units) * sizeof(*units));

	if (units == NULL)
		return -ENOMEM;
	rule->observe_in = units;
	for (unsigned i = 0; i < mode->n_units; i++) {
		units[rule->n_observe_in] = strdup(mode->units[i]);
		if (units[rule->n_observe_in] == NULL)
			return -ENOMEM;
		rule->n_observe_in++;
	}
	return 0;
}

static bool
is_of_file(const struct rule *rule, const char *name)
{
	const char *slash = strrchr(rule->owner_file, '/');

	return strcmp(rule->owner_file, name) == 0 || (slash != NULL && strcmp(slash + 1, name) == 0);
}

int
mode_apply(const struct mode *mode, struct rule_set *rules, struct compile_options *options)
{
	int r = 0;

	options->observe = mode_observes(mode, options->observe);
	for (size_t i = 0; i < rules->n_rules && r == 0; i++) {
		struct rule *rule = &rules->rules[i];

		for (unsigned k = 0; k < mode->n_files; k++)
			if (is_of_file(rule, mode->files[k].name))
				rule->observe = mode->files[k].observe;
		for (unsigned k = 0; k < mode->n_rules; k++)
			if (strcmp(mode->rules[k].name, rule->id) == 0)
				rule->observe = mode->rules[k].observe;
		if (mode->n_units > 0 && rule->action >= PYAUDIT_ACTION_BLOCK)
			r = add_units(mode, rule);
	}
	(void)rules_number(rules);
	return r;
}

/* Switches */

static int
put_switched(struct mode_switched *all, unsigned *n, unsigned max, const char *what, const char *name,
	     bool observe, char *error)
{
	unsigned at = 0;

	while (at < *n && strcmp(all[at].name, name) != 0)
		at++;
	if (at == max) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "more than %u %s are switched", max, what);
		return -EINVAL;
	}
	if (at == *n) {
		all[at].name = strdup(name);
		if (all[at].name == NULL)
			return -ENOMEM;
		++*n;
	}
	all[at].observe = observe;
	return 0;
}

static int
switch_rule(struct server *server, struct mode *mode, const struct request *request, char *error)
{
	const struct rule_set *rules = policy_rules(&server->policy, server->policy.generation);
	struct suggest suggest;
	char hint[128];
	size_t i = 0;

	suggest_init(&suggest, request->rule, strlen(request->rule));
	for (; i < rules->n_rules && strcmp(rules->rules[i].id, request->rule) != 0; i++)
		suggest_try(&suggest, rules->rules[i].id);
	if (i == rules->n_rules) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "unknown rule '%.64s'%s", request->rule,
			       suggest_text(&suggest, hint));
		return -EINVAL;
	}
	return put_switched(mode->rules, &mode->n_rules, MODE_RULES_MAX, "rules", request->rule,
			    request->observe, error);
}

static int
switch_file(struct server *server, struct mode *mode, const struct request *request, char *error)
{
	const struct rule_set *rules = policy_rules(&server->policy, server->policy.generation);
	struct suggest suggest;
	char hint[128];
	size_t i = 0;

	suggest_init(&suggest, request->file, strlen(request->file));
	for (; i < rules->n_rules && !is_of_file(&rules->rules[i], request->file); i++) {
		const char *slash = strrchr(rules->rules[i].owner_file, '/');

		suggest_try(&suggest, slash != NULL ? slash + 1 : rules->rules[i].owner_file);
	}
	if (i == rules->n_rules) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "no rule in force is of a file '%.64s'%s",
			       request->file, suggest_text(&suggest, hint));
		return -EINVAL;
	}
	/* By its path, whichever way it was named. */
	return put_switched(mode->files, &mode->n_files, MODE_FILES_MAX, "files",
			    rules->rules[i].owner_file, request->observe, error);
}

static int
switch_unit(struct mode *mode, const struct request *request, char *error)
{
	unsigned at = 0;

	while (at < mode->n_units && strcmp(mode->units[at], request->unit) != 0)
		at++;
	if (!request->observe) {
		if (at == mode->n_units) {
			(void)snprintf(error, REQUEST_ERROR_MAX, "unit '%.128s' was not switched to observe",
				       request->unit);
			return -EINVAL;
		}
		free(mode->units[at]);
		mode->units[at] = mode->units[--mode->n_units];
		return 0;
	}
	if (at < mode->n_units)
		return 0;
	if (at == MODE_UNITS_MAX) {
		(void)snprintf(error, REQUEST_ERROR_MAX, "more than %d units are switched",
			       MODE_UNITS_MAX);
		return -EINVAL;
	}
	mode->units[at] = strdup(request->unit);
	if (mode->units[at] == NULL)
		return -ENOMEM;
	mode->n_units++;
	return 0;
}

static void
tell(struct server *server, const struct request *request, uid_t uid, pid_t pid)
{
	const char *kind = request->rule != NULL   ? "rule "
			   : request->unit != NULL ? "unit "
			   : request->file != NULL ? "file "
						   : "the host";
	const char *name = request->rule != NULL   ? request->rule
			   : request->unit != NULL ? request->unit
			   : request->file != NULL ? request->file
						   : "";

	log_notice(server->log, "%s%s %s (uid %u, process %d)", kind, name,
		   request->observe ? "observes now" : "enforces now", (unsigned)uid, (int)pid);
	server_status(server, "daemon.mode", "%s%.200s %s (uid %u, process %d)", kind, name,
		      request->observe ? "observes now: nothing is refused, what would have been is told"
				       : "enforces now",
		      (unsigned)uid, (int)pid);
}

int
mode_switch(struct server *server, const struct request *request, uid_t uid, pid_t pid,
	    char error[REQUEST_ERROR_MAX], struct diag *diag)
{
	struct mode before = server->policy.mode, mode;
	int r = copy_mode(&mode, &before);

	if (r < 0)
		return r;
	if (request->rule != NULL)
		r = switch_rule(server, &mode, request, error);
	else if (request->unit != NULL)
		r = switch_unit(&mode, request, error);
	else if (request->file != NULL)
		r = switch_file(server, &mode, request, error);
	else
		mode.host = request->observe ? MODE_HOST_OBSERVE : MODE_HOST_ENFORCE;
	if (r == 0) {
		server->policy.mode = mode;
		r = policy_load(&server->policy, server->conf, diag, server->log);
	}
	if (r != 0) {
		server->policy.mode = before;
		mode_fini(&mode);
		return r;
	}
	mode_fini(&before);
	server_offer_policy(server);
	tell(server, request, uid, pid);
	return 0;
}

static void
add_switched(struct json *json, const char *key, const struct mode_switched *all, unsigned n)
{
	json_key(json, key);
	json_object(json);
	for (unsigned i = 0; i < n; i++) {
		json_key(json, all[i].name);
		json_str(json, all[i].observe ? "observe" : "enforce");
	}
	json_object_end(json);
}

void
mode_json(const struct mode *mode, struct json *json)
{
	static const char *const hosts[] = {NULL, "observe", "enforce"};

	json_object(json);
	json_key(json, "host");
	json_str(json, hosts[mode->host]);
	add_switched(json, "rules", mode->rules, mode->n_rules);
	add_switched(json, "files", mode->files, mode->n_files);
	json_key(json, "units");
	json_array(json);
	for (unsigned i = 0; i < mode->n_units; i++)
		json_str(json, mode->units[i]);
	json_array_end(json);
	json_object_end(json);
}
