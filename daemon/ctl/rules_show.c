/* SPDX-License-Identifier: Apache-2.0 */
/* `pyauditctl rules show`: one rule as it is in force, after overrides, and where each part stands. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "rules_cmd.h"
#include "unparse.h"
#include "writer.h"

const char rules_show_help[] =
	"Usage: pyauditctl rules show [--json] ID [PATH...]\n"
	"\n"
	"Shows the rule of that id after overrides: its conditions and exceptions with the file and\n"
	"line that each came from, and the entries that changed it. Reads the installed rules and\n"
	"the host's unless paths are given.\n"
	"\n"
	"  --json  one object\n"
	"\n"
	"Examples:\n"
	"  pyauditctl rules show no-shell\n"
	"  pyauditctl rules show no-shell /usr/share/pyaudit/rules.d /etc/pyaudit/rules.d\n"
	"\n"
	"Exit status: 0, 1 mistakes in the rules or no rule of that id, 2 a path cannot be read or\n"
	"mistake on the command line.\n";

#define NAMES_SHOWN 12 /* of events; then "and N more" */

void
rules_add_excuse(struct json *json, const struct rule_exception *exception)
{
	json_key(json, "owner");
	json_str(json, exception->owner);
	json_key(json, "reason");
	json_str(json, exception->reason);
	json_key(json, "expires");
	json_str(json, exception->expires[0] != '\0' ? exception->expires : NULL);
}

/* The rule with the events of its steps: a sequence has none of its own. */
static struct rule
with_steps(const struct rule *rule)
{
	struct rule whole = *rule;

	for (unsigned i = 0; i < rule->memory.n_steps; i++)
		for (size_t at = 0; at < sizeof(whole.events); at++)
			whole.events[at] |= rule->memory.steps[i].events[at];
	return whole;
}

/* Classes all of whose events the rule looks at. */
static uint16_t
whole_classes(const struct rule *rule)
{
	uint16_t whole = (1 << PYAUDIT_N_CLASSES) - 1, seen = 0;

	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++) {
		bool has = (rule->events[event / 8] >> event % 8 & 1) != 0;

		seen |= pyaudit_events[event].classes;
		if (!has)
			whole &= (uint16_t)~pyaudit_events[event].classes;
	}
	return whole & seen;
}

void
rules_add_events(struct json *json, const struct rule *own)
{
	const struct rule whole = with_steps(own), *rule = &whole;
	uint16_t classes = whole_classes(rule);
	struct buf name;

	json_array(json);
	buf_init(&name);
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++) {
		if ((classes >> i & 1) == 0)
			continue;
		buf_reset(&name);
		buf_addf(&name, "@%s", pyaudit_class_names[i]);
		json_text(json, name.data, name.len);
	}
	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++)
		if ((rule->events[event / 8] >> event % 8 & 1) != 0 &&
		    (pyaudit_events[event].classes & classes) == 0)
			json_str(json, pyaudit_events[event].name);
	for (size_t i = 0; i < rule->n_other_events; i++) {
		buf_reset(&name);
		buf_addf(&name, "custom:%s", rule->other_events[i]);
		json_text(json, name.data, name.len);
	}
	json->out->failed |= name.failed;
	buf_fini(&name);
	json_array_end(json);
}

static void
add_place(struct json *json, const char *file, unsigned line, unsigned column)
{
	json_key(json, "file");
	json_str(json, file);
	json_key(json, "line");
	json_uint(json, line);
	json_key(json, "column");
	json_uint(json, column);
}

static void
add_exception(struct json *json, const struct rule_exception *exception)
{
	struct buf text;

	buf_init(&text);
	if (exception->when != NULL)
		unparse_expr(&text, exception->when);
	json_object(json);
	json_key(json, "when");
	if (exception->when != NULL)
		json_text(json, text.data, text.len);
	else
		json_null(json);
	rules_add_excuse(json, exception);
	json_key(json, "in_force");
	json_bool(json, exception->when != NULL);
	add_place(json, exception->file, exception->line, exception->column);
	json_object_end(json);
	json->out->failed |= text.failed;
	buf_fini(&text);
}

static void
add_texts(struct json *json, const char *key, char *const *texts, size_t n)
{
	json_key(json, key);
	json_array(json);
	for (size_t i = 0; i < n; i++)
		json_str(json, texts[i]);
	json_array_end(json);
}

static void
add_limit(struct json *json, const struct rule_limit *limit)
{
	json_key(json, "limit");
	if (limit->burst == 0) {
		json_null(json);
		return;
	}
	json_object(json);
	json_key(json, "per");
	json_array(json);
	for (unsigned i = 0; i < limit->n_per; i++)
		json_str(json, pyaudit_fields[limit->per[i]].name);
	json_array_end(json);
	json_key(json, "burst");
	json_uint(json, limit->burst);
	json_key(json, "every_ms");
	json_uint(json, limit->every_ms);
	json_object_end(json);
}

static void
add_fields(struct json *json, const char *key, const uint16_t *fields, unsigned n)
{
	json_key(json, key);
	json_array(json);
	for (unsigned i = 0; i < n; i++)
		json_str(json, pyaudit_fields[fields[i]].name);
	json_array_end(json);
}

/* The events of a step stand in a rule of its own, for what is said of events. */
static struct rule
step_as_rule(const struct rule_step *step)
{
	struct rule rule = {.other_events = step->other_events, .n_other_events = step->n_other_events};

	memcpy(rule.events, step->events, sizeof(rule.events));
	return rule;
}

static void
add_steps(struct json *json, const struct rule_memory *memory)
{
	json_key(json, "steps");
	json_array(json);
	for (unsigned i = 0; i < memory->n_steps; i++) {
		const struct rule_step *step = &memory->steps[i];
		const struct rule rule = step_as_rule(step);
		CLEANUP(buf_fini) struct buf text;

		buf_init(&text);
		json_object(json);
		json_key(json, "on");
		rules_add_events(json, &rule);
		json_key(json, "when");
		if (step->when != NULL) {
			unparse_whole(&text, step->when);
			json_text(json, text.data, text.len);
		} else {
			json_null(json);
		}
		add_fields(json, "by", step->by, step->n_by);
		json_object_end(json);
		json->out->failed |= text.failed;
	}
	json_array_end(json);
}

static void
add_memory(struct json *json, const struct rule_memory *memory)
{
	json_key(json, "memory");
	if (memory->kind == RULE_NO_MEMORY) {
		json_null(json);
		return;
	}
	json_object(json);
	json_key(json, "kind");
	json_str(json, rule_memory_name(memory->kind));
	json_key(json, "in");
	json_str(json, rule_scope_name(memory->scope));
	add_fields(json, "per", memory->per, memory->n_per);
	json_key(json, "count");
	json_uint(json, memory->count);
	json_key(json, "within_ms");
	json_uint(json, memory->within_ms);
	json_key(json, "learn_ms");
	json_uint(json, memory->learn_ms);
	json_key(json, "keep_ms");
	json_uint(json, memory->keep_ms);
	add_steps(json, memory);
	json_object_end(json);
}

static void
add_parts(struct json *json, const struct rule *rule)
{
	json_key(json, "when");
	json_array(json);
	for (size_t i = 0; i < rule->n_conditions; i++) {
		json_object(json);
		json_key(json, "text");
		json_str(json, rule->conditions[i].text);
		add_place(json, rule->conditions[i].file, rule->conditions[i].line,
			  rule->conditions[i].column);
		json_object_end(json);
	}
	json_array_end(json);
	json_key(json, "exceptions");
	json_array(json);
	for (size_t i = 0; i < rule->n_exceptions; i++)
		add_exception(json, &rule->exceptions[i]);
	json_array_end(json);
	json_key(json, "changed_by");
	json_array(json);
	for (size_t i = 0; i < rule->n_origins; i++) {
		json_object(json);
		json_key(json, "what");
		json_str(json, rule->origins[i].what);
		add_place(json, rule->origins[i].file, rule->origins[i].line,
			  rule->origins[i].column);
		json_object_end(json);
	}
	json_array_end(json);
}

static void
add_rule(struct json *json, const struct rule *rule)
{
	json_object(json);
	json_key(json, "id");
	json_str(json, rule->id);
	json_key(json, "title");
	json_str(json, rule->title);
	add_place(json, rule->owner_file, rule->line, rule->column);
	json_key(json, "enabled");
	json_bool(json, !rule->disabled);
	json_key(json, "on");
	rules_add_events(json, rule);
	add_parts(json, rule);
	json_key(json, "action");
	json_str(json, rule->allow ? "allow" : action_name(rule->action));
	add_texts(json, "over", rule->over, rule->n_over);
	json_key(json, "mode");
	json_str(json, rule->observe ? "observe" : "enforce");
	add_texts(json, "observe_in", rule->observe_in, rule->n_observe_in);
	json_key(json, "severity");
	json_str(json, severity_name(rule->severity));
	add_texts(json, "attack", rule->attack, rule->n_attack);
	json_key(json, "message");
	json_str(json, rule->message);
	add_limit(json, &rule->limit);
	json_key(json, "ack_ms");
	json_uint(json, rule->ack_ms);
	add_memory(json, &rule->memory);
	json_key(json, "tests");
	json_uint(json, rule->n_tests + rule->n_timelines);
	json_object_end(json);
}

/* "  name       text    file:line" */
static void
print_line(const char *name, const char *text, const char *file, unsigned line)
{
	struct buf place;

	text_print_cell(stdout, name, 12);
	text_print_cell(stdout, text, 0);
	if (file != NULL) {
		buf_init(&place);
		buf_addf(&place, "   %s:%u%c", file, line, '\0');
		text_print_cell(stdout, place.failed ? "" : place.data, 0);
		buf_fini(&place);
	}
	(void)putchar('\n');
}

static void
print_joined(const char *name, char *const *texts, size_t n)
{
	struct buf line;

	if (n == 0)
		return;
	buf_init(&line);
	for (size_t i = 0; i < n; i++)
		buf_addf(&line, "%s%s", i > 0 ? ", " : "", texts[i]);
	buf_add_char(&line, '\0');
	print_line(name, line.failed ? "" : line.data, NULL, 0);
	buf_fini(&line);
}

static void
print_events(const struct rule *own)
{
	const struct rule whole = with_steps(own), *rule = &whole;
	uint16_t classes = whole_classes(rule);
	struct buf line;
	size_t n = 0;

	buf_init(&line);
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++)
		if ((classes >> i & 1) != 0)
			buf_addf(&line, "%s@%s", line.len > 0 ? ", " : "", pyaudit_class_names[i]);
	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++)
		if ((rule->events[event / 8] >> event % 8 & 1) != 0 &&
		    (pyaudit_events[event].classes & classes) == 0 && ++n <= NAMES_SHOWN)
			buf_addf(&line, "%s%s", line.len > 0 ? ", " : "",
				 pyaudit_events[event].name);
	for (size_t i = 0; i < rule->n_other_events; i++)
		if (++n <= NAMES_SHOWN)
			buf_addf(&line, "%scustom:%s", line.len > 0 ? ", " : "",
				 rule->other_events[i]);
	if (n > NAMES_SHOWN)
		buf_addf(&line, " and %zu more", n - NAMES_SHOWN);
	buf_add_char(&line, '\0');
	print_line("on", line.failed ? "" : line.data, NULL, 0);
	buf_fini(&line);
}

static void
print_exception(const struct rule_exception *exception)
{
	struct buf text;

	buf_init(&text);
	if (exception->when != NULL) {
		buf_add_str(&text, "not where ");
		unparse_expr(&text, exception->when);
	} else {
		buf_addf(&text, "expired on %s", exception->expires);
	}
	buf_addf(&text, " (%s: %s", exception->owner, exception->reason);
	if (exception->when != NULL && exception->expires[0] != '\0')
		buf_addf(&text, "; until %s", exception->expires);
	buf_addf(&text, ")%c", '\0');
	print_line("exception", text.failed ? "" : text.data, exception->file, exception->line);
	buf_fini(&text);
}

static void
print_limit(const struct rule_limit *limit)
{
	struct buf text;

	if (limit->burst == 0)
		return;
	buf_init(&text);
	buf_addf(&text, "%u in %llu ms for each", limit->burst,
		 (unsigned long long)limit->every_ms);
	for (unsigned i = 0; i < limit->n_per; i++)
		buf_addf(&text, "%s %s", i > 0 ? "," : "", pyaudit_fields[limit->per[i]].name);
	if (limit->n_per == 0)
		buf_add_str(&text, " host");
	buf_add_char(&text, '\0');
	print_line("limit", text.failed ? "" : text.data, NULL, 0);
	buf_fini(&text);
}

/* "threshold   5 events within 60000 ms in one process, for each net.host" */
static void
print_memory(const struct rule_memory *memory)
{
	struct buf text;

	if (memory->kind == RULE_NO_MEMORY)
		return;
	buf_init(&text);
	if (memory->kind == RULE_THRESHOLD)
		buf_addf(&text, "%u events ", memory->count);
	if (memory->within_ms > 0)
		buf_addf(&text, "within %llu ms ", (unsigned long long)memory->within_ms);
	buf_addf(&text, "in one %s", rule_scope_name(memory->scope));
	for (unsigned i = 0; i < memory->n_per; i++)
		buf_addf(&text, "%s %s", i > 0 ? "," : ", for each",
			 pyaudit_fields[memory->per[i]].name);
	if (memory->learn_ms > 0)
		buf_addf(&text, ", told after %llu ms", (unsigned long long)memory->learn_ms);
	if (memory->keep_ms > 0)
		buf_addf(&text, ", kept %llu ms", (unsigned long long)memory->keep_ms);
	buf_add_char(&text, '\0');
	print_line(rule_memory_name(memory->kind), text.failed ? "" : text.data, NULL, 0);
	for (unsigned i = 0; i < memory->n_steps; i++) {
		const struct rule_step *step = &memory->steps[i];
		const struct rule rule = step_as_rule(step);

		print_events(&rule);
		buf_reset(&text);
		if (step->when != NULL)
			unparse_whole(&text, step->when);
		for (unsigned k = 0; k < step->n_by; k++)
			buf_addf(&text, "%sthe same %s", text.len > 0 ? ", " : "",
				 pyaudit_fields[step->by[k]].name);
		buf_add_char(&text, '\0');
		if (text.len > 1)
			print_line("  when", text.failed ? "" : text.data, NULL, 0);
	}
	buf_fini(&text);
}

static void
print_rule(const struct rule *rule)
{
	struct buf action;

	print_line(rule->disabled ? "disabled" : "rule", rule->id, rule->owner_file, rule->line);
	print_line("title", rule->title, NULL, 0);
	for (size_t i = 0; i < rule->n_origins; i++)
		print_line("changed", rule->origins[i].what, rule->origins[i].file,
			   rule->origins[i].line);
	print_events(rule);
	for (size_t i = 0; i < rule->n_conditions; i++)
		print_line(i == 0 ? "when" : "and", rule->conditions[i].text,
			   rule->conditions[i].file, rule->conditions[i].line);
	for (size_t i = 0; i < rule->n_exceptions; i++)
		print_exception(&rule->exceptions[i]);
	buf_init(&action);
	buf_addf(&action, "%s, severity %s%s%c", rule->allow ? "allow" : action_name(rule->action),
		 severity_name(rule->severity), rule->observe ? ", observed only" : "", '\0');
	print_line("action", action.failed ? "" : action.data, NULL, 0);
	buf_fini(&action);
	print_joined("observed in", rule->observe_in, rule->n_observe_in);
	print_memory(&rule->memory);
	print_joined("over", rule->over, rule->n_over);
	print_joined("attack", rule->attack, rule->n_attack);
	if (rule->message != NULL)
		print_line("message", rule->message, NULL, 0);
	print_limit(&rule->limit);
	if (rule->ack_ms > 0)
		(void)printf("%-12sthe act waits up to %u ms for its alert\n", "ack", rule->ack_ms);
	(void)printf("%-12s%zu\n", "tests", rule->n_tests + rule->n_timelines);
}

static int
no_such_rule(const struct rules_request *request)
{
	CLEANUP(freep) const char **ids = calloc(request->set->n_rules + 1, sizeof(*ids));
	const char *nearest = NULL;

	for (size_t i = 0; ids != NULL && i < request->set->n_rules; i++)
		ids[i] = request->set->rules[i].id;
	if (ids != NULL)
		nearest = ctl_nearest(request->id, ids, request->set->n_rules);
	if (nearest != NULL)
		ctl_error("no rule '%s', did you mean '%s'?", request->id, nearest);
	else
		ctl_error("no rule '%s'", request->id);
	return CTL_FAILED;
}

int
rules_show(struct rules_request *request)
{
	const struct rule *rule = NULL;
	CLEANUP(buf_fini) struct buf out;
	struct json json;

	buf_init(&out);
	if (request->set == NULL) {
		diag_print(&request->diag, stderr);
		return rules_exit_code(request);
	}
	for (size_t i = 0; i < request->set->n_rules; i++)
		if (strcmp(request->set->rules[i].id, request->id) == 0)
			rule = &request->set->rules[i];
	if (rule == NULL)
		return no_such_rule(request);
	if (request->json) {
		json = json_on(&out);
		add_rule(&json, rule);
		return rules_print_json(&out, CTL_OK);
	}
	print_rule(rule);
	return CTL_OK;
}
