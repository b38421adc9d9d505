/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of `pyauditctl rules` share; one rules_<verb>.c for each larger one. */
#ifndef CTL_RULES_CMD_H
#define CTL_RULES_CMD_H

#include "ctl.h"
#include "json.h"
#include "rules.h"

struct rules_request {
	bool json;
	bool coverage;	/* of `test` */
	bool strict, notes; /* of `check` */
	const char *id; /* of `show` */
	const char *dir; /* of `list`: the daemon's, or NULL */
	bool has_paths; /* they were given */
	struct rule_set *set; /* NULL: there are mistakes */
	struct diag diag;
	int outcome; /* of reading: 0, RULES_E_INVALID or a negative errno */
};

typedef int rules_main_fn(struct rules_request *request);

extern const char rules_test_help[], rules_list_help[], rules_show_help[];
rules_main_fn rules_test, rules_list, rules_show, rules_schema;
/* With options of their own. */
ctl_main_fn rules_explain;

int rules_exit_code(const struct rules_request *request);
/* Members `errors`, `warnings` and `diagnostics`. */
void rules_add_diagnostics(struct json *json, const struct diag *diag);
/* Prints what was gathered; a failure to gather or to write it is the command's failure. */
int rules_print_json(struct buf *out, int code);
/* "s", but for one. */
const char *rules_plural(size_t n);
/* The classes and events of `on`, as short as can be: an array of texts. */
void rules_add_events(struct json *json, const struct rule *rule);
/* Members `owner`, `reason` and `expires` of an exception. */
void rules_add_excuse(struct json *json, const struct rule_exception *exception);

#endif
