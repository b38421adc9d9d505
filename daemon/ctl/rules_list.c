/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl rules list`: the rules of the files, with what a daemon has counted of them. */
#include <string.h>

#include "cleanup.h"
#include "rules_cmd.h"
#include "rules_hits.h"
#include "writer.h"

const char rules_list_help[] =
	"Usage: pyauditctl rules list [--dir DIR] [--json] [PATH...]\n"
	"\n"
	"Shows the rules: id, severity, action, how often each matched, ATT&CK techniques, title, and\n"
	"where each stands. An action in brackets is observed only: it alerts and says what it would\n"
	"have done. Exceptions that have expired or never kept their rule quiet are named behind them.\n"
	"\n"
	"A running daemon is asked for the counts, which begin when it starts; a dash stands for a rule\n"
	"that is not among those it has in force. With a PATH it is asked only if --dir is given.\n"
	"\n"
	"  --dir DIR  the daemon's runtime directory\n"
	"  --json     an array of objects\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules list\n"
	"  pyauditctl rules list --json | jq -r '.[] | select(.action == \"block\") | .id'\n"
	"  pyauditctl rules list --json | jq -r '.[].exceptions[] | select(.hits == 0)'\n"
	"\n"
	"Exit status: 0, 1 mistakes or no daemon (--dir), 2 a path cannot be read or mistake on the\n"
	"command line.\n";

/* Members "hits" and "last"; null where nobody counts. */
static void
add_count(struct json *json, const cJSON *counted)
{
	json_key(json, "hits");
	if (counted != NULL)
		json_uint(json, rules_hits_number(counted));
	else
		json_null(json);
	json_key(json, "last");
	json_str(json, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(counted, "last")));
}

static void
add_exception(struct json *json, const struct rule *rule, const struct rule_exception *exception,
	      const struct rules_hits *hits)
{
	json_object(json);
	json_key(json, "when");
	json_str(json, exception->text);
	rules_add_excuse(json, exception);
	json_key(json, "expired");
	json_bool(json, exception->when == NULL);
	add_count(json, rules_hits_of_exception(hits, rule, exception));
	json_key(json, "file");
	json_str(json, exception->file);
	json_key(json, "line");
	json_uint(json, exception->line);
	json_object_end(json);
}

static void
add_rule(struct json *json, const struct rule *rule, const struct rules_hits *hits)
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
	add_count(json, rules_hits_of_rule(hits, rule));
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
	json_array(json);
	for (size_t i = 0; i < rule->n_exceptions; i++)
		add_exception(json, rule, &rule->exceptions[i], hits);
	json_array_end(json);
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
print_place(const char *file, unsigned line)
{
	CLEANUP(buf_fini) struct buf place;

	buf_init(&place);
	buf_addf(&place, "%s:%u%c", file, line, '\0');
	text_print_cell(stdout, place.failed ? "" : place.data, 0);
	(void)putchar('\n');
}

static void
print_rule(const struct rule *rule, unsigned width, const struct rules_hits *hits)
{
	CLEANUP(buf_fini) struct buf attack;
	const cJSON *counted = rules_hits_of_rule(hits, rule);
	char action[16];

	buf_init(&attack);
	for (size_t i = 0; i < rule->n_attack; i++)
		buf_addf(&attack, "%s%s", i > 0 ? "," : "", rule->attack[i]);
	buf_add_char(&attack, '\0');
	(void)snprintf(action, sizeof(action), rule->observe ? "(%s)" : "%s",
		       rule->allow ? "allow" : action_name(rule->action));
	text_print_cell(stdout, rule->id, width);
	(void)printf("  %-8s  %-7s  ", severity_name(rule->severity), action);
	if (counted != NULL)
		(void)printf("%7llu  ", (unsigned long long)rules_hits_number(counted));
	else if (hits->answer != NULL)
		(void)printf("%7s  ", "-");
	text_print_cell(stdout, attack.failed ? "" : attack.data, 19);
	(void)fputs("  ", stdout);
	text_print_cell(stdout, rule->title, 0);
	(void)fputs("  ", stdout);
	print_place(rule->owner_file, rule->line);
}

/* What has become useless, one exception a line. */
static void
print_exceptions(const struct rule *rule, const struct rules_hits *hits)
{
	for (size_t i = 0; i < rule->n_exceptions; i++) {
		const struct rule_exception *exception = &rule->exceptions[i];
		const cJSON *counted = rules_hits_of_exception(hits, rule, exception);

		if (exception->when != NULL && (counted == NULL || rules_hits_number(counted) > 0))
			continue;
		(void)fputs("exception of ", stdout);
		text_print_cell(stdout, exception->owner, 0);
		(void)fputs(" from ", stdout);
		text_print_cell(stdout, rule->id, 0);
		if (exception->when == NULL)
			(void)printf(": expired on %s  ", exception->expires);
		else
			(void)printf(": never hit since %s  ", rules_hits_since(hits));
		print_place(exception->file, exception->line);
	}
}

static int
print(const struct rules_request *request, const struct rules_hits *hits)
{
	const struct rule_set *set = request->set;
	CLEANUP(buf_fini) struct buf out;
	struct json json;
	unsigned width;

	buf_init(&out);
	if (request->json) {
		json = json_on(&out);
		json_array(&json);
		for (size_t i = 0; i < set->n_rules; i++)
			add_rule(&json, &set->rules[i], hits);
		json_array_end(&json);
		return rules_print_json(&out, rules_exit_code(request));
	}
	width = id_width(set);
	for (size_t i = 0; i < set->n_rules; i++)
		print_rule(&set->rules[i], width, hits);
	for (size_t i = 0; i < set->n_rules; i++)
		print_exceptions(&set->rules[i], hits);
	return rules_exit_code(request);
}

int
rules_list(struct rules_request *request)
{
	struct rules_hits hits = {0};
	int r;

	if (request->set == NULL) {
		diag_print(&request->diag, stderr);
		return rules_exit_code(request);
	}
	if (!request->has_paths || request->dir != NULL) {
		r = rules_hits_ask(&hits, request->dir);
		if (r != CTL_OK)
			return r;
	}
	r = print(request, &hits);
	rules_hits_fini(&hits);
	return r;
}
