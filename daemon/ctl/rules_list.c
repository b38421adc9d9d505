/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl rules list`. */
#include <string.h>

#include "cleanup.h"
#include "rules_cmd.h"
#include "writer.h"

const char rules_list_help[] =
	"Usage: pyauditctl rules list [--json] [PATH...]\n"
	"\n"
	"Shows the rules: id, severity, action, ATT&CK techniques, title, and where each stands.\n"
	"An action in brackets is observed only: it alerts and says what it would have done.\n"
	"\n"
	"  --json  an array of objects\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules list\n"
	"  pyauditctl rules list --json | jq -r '.[] | select(.action == \"block\") | .id'\n"
	"\n"
	"Exit status: 0, 1 mistakes, 2 a path cannot be read or mistake on the command line.\n";

static void
add_rule(struct json *json, const struct rule *rule)
{
	json_object(json);
	json_key(json, "id");
	json_str(json, rule->id);
	json_key(json, "title");
	json_str(json, rule->title);
	json_key(json, "severity");
	json_str(json, severity_name(rule->severity));
	json_key(json, "action");
	json_str(json, rule->allow ? "allow" : action_name(rule->action));
	json_key(json, "mode");
	json_str(json, rule->observe ? "observe" : "enforce");
	json_key(json, "attack");
	json_array(json);
	for (size_t i = 0; i < rule->n_attack; i++)
		json_str(json, rule->attack[i]);
	json_array_end(json);
	json_key(json, "enabled");
	json_bool(json, !rule->disabled);
	json_key(json, "on");
	rules_add_events(json, rule);
	json_key(json, "exceptions");
	json_uint(json, rule->n_exceptions);
	json_key(json, "overrides");
	json_uint(json, rule->n_origins);
	json_key(json, "tests");
	json_uint(json, rule->n_tests);
	json_key(json, "file");
	json_str(json, rule->owner_file);
	json_key(json, "line");
	json_uint(json, rule->line);
	json_object_end(json);
}

/* The widest cell of a column decides; only ids and titles vary much. */
static unsigned
id_width(const struct rule_set *set)
{
	unsigned width = 4;

	for (size_t i = 0; i < set->n_rules; i++)
		if (text_width(set->rules[i].id) > width)
			width = text_width(set->rules[i].id);
	return width;
}

static void
print_rule(const struct rule *rule, unsigned width)
{
	CLEANUP(buf_fini) struct buf attack, place;
	char action[16];

	buf_init(&attack);
	buf_init(&place);
	for (size_t i = 0; i < rule->n_attack; i++)
		buf_addf(&attack, "%s%s", i > 0 ? "," : "", rule->attack[i]);
	buf_addf(&place, "%s:%u%c", rule->owner_file, rule->line, '\0');
	buf_add_char(&attack, '\0');
	(void)snprintf(action, sizeof(action), rule->observe ? "(%s)" : "%s",
		       rule->allow ? "allow" : action_name(rule->action));
	text_print_cell(stdout, rule->id, width);
	(void)printf("  %-8s  %-7s  ", severity_name(rule->severity), action);
	text_print_cell(stdout, attack.failed ? "" : attack.data, 19);
	(void)fputs("  ", stdout);
	text_print_cell(stdout, rule->title, 0);
	(void)fputs("  ", stdout);
	text_print_cell(stdout, place.failed ? "" : place.data, 0);
	(void)putchar('\n');
}

int
rules_list(struct rules_request *request)
{
	const struct rule_set *set = request->set;
	CLEANUP(buf_fini) struct buf out;
	struct json json;
	unsigned width;

	buf_init(&out);
	if (set == NULL) {
		diag_print(&request->diag, stderr);
		return rules_exit_code(request);
	}
	if (request->json) {
		json = json_on(&out);
		json_array(&json);
		for (size_t i = 0; i < set->n_rules; i++)
			add_rule(&json, &set->rules[i]);
		json_array_end(&json);
		return rules_print_json(&out, rules_exit_code(request));
	}
	width = id_width(set);
	for (size_t i = 0; i < set->n_rules; i++)
		print_rule(&set->rules[i], width);
	return rules_exit_code(request);
}
