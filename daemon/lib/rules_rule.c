/* SPDX-License-Identifier: Apache-2.0 */
/* One rule: its parts, read in the order that mistakes are best told in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "attack.h"
#include "event.h"
#include "rules_loader.h"

#define TITLE_MAX 200
#define MESSAGE_MAX 1000
/* Conditions of all rules together; what one rule may have is RULES_EXPR_NODES_MAX. */
#define NODES_MAX (1u << 20)

static void
set_event(struct rule *rule, unsigned event)
{
	rule->events[event / 8] |= (uint8_t)(1u << event % 8);
}

bool
rule_has_event(const struct rule *rule, unsigned event)
{
	return (rule->events[event / 8] >> event % 8 & 1) != 0;
}

void
loader_unknown_event(struct loader *ld, const struct jsonc *text, bool is_class)
{
	struct suggest suggest;
	char hint[128], class_names[PYAUDIT_N_CLASSES][24];

	suggest_init(&suggest, text->text, text->len);
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++) {
		(void)snprintf(class_names[i], sizeof(class_names[i]), "@%s",
			       pyaudit_class_names[i]);
		suggest_try(&suggest, class_names[i]);
	}
	suggest_try(&suggest, "@all");
	for (unsigned i = 1; !is_class && i < PYAUDIT_N_EVENTS; i++)
		suggest_try(&suggest, pyaudit_events[i].name);
	suggest_text(&suggest, hint);
	if (is_class)
		mistake(ld, text, "unknown class '%.64s'%s", text->text,
			suggest_text(&suggest, hint));
	else
		mistake(ld, text, "unknown event '%.64s'%s%s", text->text,
			suggest_text(&suggest, hint),
			suggest.best == NULL ? "; events of libraries are written 'custom:name'"
					     : "");
}

/* Conditions on their way to become one. */
struct conditions {
	struct expr **exprs;
	size_t n_exprs, size;
};

static void
conditions_fini(struct conditions *conditions)
{
	for (size_t i = 0; i < conditions->n_exprs; i++)
		expr_free(conditions->exprs[i]);
	free(conditions->exprs);
}

static bool
conditions_add(struct loader *ld, struct conditions *conditions, struct expr *expr)
{
	struct expr **slot;

	if (expr == NULL)
		return false;
	slot = loader_grow(ld, &conditions->exprs, &conditions->n_exprs, &conditions->size,
			   sizeof(*slot));
	if (slot == NULL) {
		expr_free(expr);
		return false;
	}
	*slot = expr;
	return true;
}

/* All of them joined by AND; NULL where there is none, or no memory. */
static struct expr *
conditions_join(struct loader *ld, struct conditions *conditions)
{
	struct expr *expr;

	if (conditions->n_exprs == 0)
		return NULL;
	expr = expr_join_all(EXPR_AND, conditions->exprs, conditions->n_exprs);
	conditions->n_exprs = 0;
	if (expr == NULL)
		ld->no_memory = true;
	return expr;
}

/* What is read of one rule, from its own object and from those that change it. */
struct reading {
	struct rule *rule;
	struct conditions all;
	size_t other_events, over, attack, tests, timelines, conditions, exceptions, origins, units;
	const struct jsonc *own;
	const char *own_file;
	struct override *overrides[RULES_OVERRIDES_OF_ONE];
	size_t n_overrides;
};

static void
reading_fini(struct reading *reading)
{
	conditions_fini(&reading->all);
}

/* The object whose member of that name counts: the last override's that replaces it, else the
 * rule's own. Its file becomes the one at hand. */
static const struct jsonc *
holder(struct loader *ld, const struct reading *reading, const char *name)
{
	for (size_t i = reading->n_overrides; i-- > 0;) {
		const struct jsonc *replace = jsonc_get(reading->overrides[i]->object, "replace");

		if (replace != NULL && replace->type == JSONC_OBJECT &&
		    jsonc_get(replace, name) != NULL) {
			ld->file = reading->overrides[i]->file;
			return replace;
		}
	}
	ld->file = reading->own_file;
	return reading->own;
}

/* Calls for the rule's member of that name, and for what overrides append to it. */
static void
each_part(struct loader *ld, struct reading *reading, const char *name,
	  void (*fn)(struct loader *ld, const struct jsonc *value, struct reading *reading))
{
	const struct jsonc *value = jsonc_get(holder(ld, reading, name), name);

	if (value != NULL)
		fn(ld, value, reading);
	for (size_t i = 0; i < reading->n_overrides; i++) {
		const struct jsonc *append = jsonc_get(reading->overrides[i]->object, "append");

		value = append != NULL && append->type == JSONC_OBJECT ? jsonc_get(append, name)
								       : NULL;
		ld->file = reading->overrides[i]->file;
		if (value != NULL)
			fn(ld, value, reading);
	}
	ld->file = reading->own_file;
}

static void
read_on(struct loader *ld, const struct jsonc *text, void *data)
{
	static const char custom[] = "custom:";
	struct reading *reading = data;
	struct rule *rule = reading->rule;
	uint16_t event, class_bit;

	if (text->text[0] == '@') {
		class_bit = pyaudit_class_by_name(text->text, text->len);
		if (class_bit == 0) {
			loader_unknown_event(ld, text, true);
			return;
		}
		bool all = loader_is_text(text, "@all");

		for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++) {
			uint16_t classes = pyaudit_events[i].classes;

			if (all ? (classes & PYAUDIT_CLASS_NOISE) == 0 : (classes & class_bit) != 0)
				set_event(rule, i);
		}
		if (all) /* and what libraries raise */
			set_event(rule, PYAUDIT_EV_OTHER);
		return;
	}
	if (strncmp(text->text, custom, strlen(custom)) == 0) {
		const char *name = text->text + strlen(custom);

		if (*name == '\0' || strlen(name) > 255) {
			mistake(ld, text,
				"expected an event's name behind 'custom:', up to 255 bytes");
		} else if (pyaudit_event_by_name(name, strlen(name)) != PYAUDIT_EV_OTHER) {
			mistake(ld, text, "'%s' is an event of CPython: leave out 'custom:'", name);
		} else {
			loader_add_text(ld, &rule->other_events, &rule->n_other_events,
				 &reading->other_events, name);
		}
		return;
	}
	event = pyaudit_event_by_name(text->text, text->len);
	if (event == PYAUDIT_EV_OTHER)
		loader_unknown_event(ld, text, false);
	else
		set_event(rule, event);
}

static void
read_condition(struct loader *ld, const struct jsonc *text, void *data)
{
	struct reading *reading = data;
	struct expr *expr = names_condition(ld, text);
	struct rule_condition *condition;

	if (!conditions_add(ld, &reading->all, expr))
		return;
	condition = loader_grow(ld, &reading->rule->conditions, &reading->rule->n_conditions,
				&reading->conditions, sizeof(*condition));
	if (condition != NULL)
		*condition = (struct rule_condition){.expr = expr,
						     .text = loader_copy(ld, text->text),
						     .file = ld->file,
						     .line = text->line,
						     .column = text->column};
}

static void
read_when(struct loader *ld, const struct jsonc *value, struct reading *reading)
{
	loader_each_text(ld, value, "when", read_condition, reading);
}

static void
read_exception_condition(struct loader *ld, const struct jsonc *text, void *data)
{
	(void)conditions_add(ld, data, names_condition(ld, text));
}

static bool
is_date(const char *text)
{
	static const unsigned char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned year, month, day;
	char end;

	if (strlen(text) != 10 || strspn(text, "0123456789") != 4 || text[4] != '-' ||
	    strspn(text + 5, "0123456789") != 2 || text[7] != '-' ||
	    strspn(text + 8, "0123456789") != 2)
		return false;
	if (sscanf(text, "%4u-%2u-%2u%c", &year, &month, &day, &end) != 3)
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days[month - 1])
		return false;
	return month != 2 || day < 29 || (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

/* Who to ask, why, and until when. False: the exception does not apply any more. */
static bool
read_exception_facts(struct loader *ld, const struct jsonc *object, const char *id,
		     struct rule_exception *exception)
{
	static const char *const required[] = {"owner", "reason"};
	char **const copies[] = {&exception->owner, &exception->reason};
	const struct jsonc *expires;

	for (size_t i = 0; i < 2; i++) {
		const struct jsonc *text = loader_need(ld, object, required[i], JSONC_STRING);

		if (text != NULL && text->len == 0)
			mistake(ld, text, "'%s' is empty", required[i]);
		*copies[i] = loader_copy(ld, text != NULL ? text->text : "");
	}
	expires = loader_get(ld, object, "expires", JSONC_STRING);
	if (expires == NULL)
		return true;
	if (!is_date(expires->text)) {
		mistake(ld, expires, "'%.32s' is not a date, expected YYYY-MM-DD", expires->text);
		return false;
	}
	memcpy(exception->expires, expires->text, sizeof(exception->expires));
	if (strcmp(expires->text, ld->today) >= 0)
		return true;
	diag_add(ld->diag, DIAG_WARNING, ld->file, expires->line, expires->column,
		 "this exception of '%s' expired on %s and no longer applies", id, expires->text);
	diag_code(ld->diag, "expired-exception");
	return false;
}

static const char *
first_text(const struct jsonc *value)
{
	if (value != NULL && value->type == JSONC_ARRAY)
		value = value->child;
	return value != NULL && value->type == JSONC_STRING ? value->text : "";
}

/* One exception becomes AND NOT in the rule's conditions, while it is in force. */
static void
read_exception(struct loader *ld, const struct jsonc *object, struct reading *reading)
{
	static const char *const keys[] = {"when", "owner", "reason", "expires", NULL};
	CLEANUP(conditions_fini) struct conditions conditions = {0};
	struct rule *rule = reading->rule;
	struct rule_exception *exception;
	const struct jsonc *when;
	struct expr *expr;
	bool applies;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "an exception is an object, this is %s",
			jsonc_type_name(object->type));
		return;
	}
	loader_check_keys(ld, object, keys);
	exception = loader_grow(ld, &rule->exceptions, &rule->n_exceptions, &reading->exceptions,
				sizeof(*exception));
	if (exception == NULL)
		return;
	exception->file = ld->file;
	exception->line = object->line;
	exception->column = object->column;
	exception->text = loader_copy(ld, first_text(jsonc_get(object, "when")));
	exception->count = rule_count_new();
	if (exception->count == NULL)
		ld->no_memory = true;
	applies = read_exception_facts(ld, object, rule->id, exception);
	when = jsonc_get(object, "when");
	if (when == NULL)
		mistake(ld, object, "'when' is missing");
	else
		loader_each_text(ld, when, "when", read_exception_condition, &conditions);
	expr = conditions_join(ld, &conditions);
	if (expr == NULL)
		return;
	if (!applies) {
		expr_free(expr);
		return;
	}
	exception->when = expr;
	expr = expr_join(EXPR_NOT, expr, NULL);
	if (expr == NULL)
		ld->no_memory = true;
	(void)conditions_add(ld, &reading->all, expr);
}

static void
read_exceptions(struct loader *ld, const struct jsonc *value, struct reading *reading)
{
	if (value->type != JSONC_ARRAY) {
		mistake(ld, value, "'exceptions' is %s, expected an array",
			jsonc_type_name(value->type));
		return;
	}
	for (const struct jsonc *m = value->child; m != NULL; m = m->next)
		read_exception(ld, m, reading);
}

/* No condition: every event of `on`. */
static struct expr *
always(struct loader *ld, const struct rule *rule)
{
	struct expr *expr = calloc(1, sizeof(*expr));

	if (expr == NULL) {
		ld->no_memory = true;
		return NULL;
	}
	expr->op = EXPR_TRUE;
	expr->file = ld->file;
	expr->line = rule->line;
	expr->column = rule->column;
	return expr;
}

/* `when` and `exceptions` to one expression. */
static void
read_conditions(struct loader *ld, struct reading *reading)
{
	const struct jsonc *when = jsonc_get(reading->own, "when");
	const struct jsonc *place = when != NULL ? when : reading->own;
	struct rule *rule = reading->rule;
	size_t n_nodes;
	unsigned height;

	each_part(ld, reading, "when", read_when);
	each_part(ld, reading, "exceptions", read_exceptions);
	rule->when = conditions_join(ld, &reading->all);
	if (rule->when == NULL)
		rule->when = always(ld, rule);
	if (rule->when == NULL)
		return;
	expr_measure(rule->when, &n_nodes, &height);
	if (height > RULES_DEPTH_MAX)
		mistake(ld, place, "nested more than %u deep, macros included", RULES_DEPTH_MAX);
	else if (n_nodes > RULES_EXPR_NODES_MAX)
		mistake(ld, place,
			"the conditions of this rule have more than %u parts, macros included",
			RULES_EXPR_NODES_MAX);
	ld->n_nodes += n_nodes;
	if (ld->n_nodes > NODES_MAX) {
		mistake(ld, reading->own, "the conditions of all rules have more than %u parts",
			NODES_MAX);
		/* What follows is not kept, so that memory stays bounded. */
		expr_free(rule->when);
		rule->when = NULL;
		for (size_t i = 0; i < rule->n_conditions; i++)
			rule->conditions[i].expr = NULL;
		for (size_t i = 0; i < rule->n_exceptions; i++)
			rule->exceptions[i].when = NULL;
	}
}

static void
read_over(struct loader *ld, const struct jsonc *text, void *data)
{
	struct reading *reading = data;

	loader_add_text(ld, &reading->rule->over, &reading->rule->n_over, &reading->over,
			text->text);
}

static void
read_technique(struct loader *ld, const struct jsonc *text, void *data)
{
	struct reading *reading = data;
	const char *s = text->text;
	bool right = s[0] == 'T' && strspn(s + 1, "0123456789") == 4;

	if (right && s[5] == '.')
		right = strspn(s + 6, "0123456789") == 3 && text->len == 9;
	else
		right = right && text->len == 5;
	if (!right) {
		mistake(ld, text, "'%.32s' is not an ATT&CK technique like T1059 or T1059.006", s);
		return;
	}
	if (attack_name(s) == NULL) {
		diag_add(ld->diag, DIAG_WARNING, ld->file, text->line, text->column,
			 "ATT&CK " ATTACK_VERSION " has no technique %s", s);
		diag_code(ld->diag, "unknown-technique");
	}
	loader_add_text(ld, &reading->rule->attack, &reading->rule->n_attack, &reading->attack, s);
}

static void
read_attack(struct loader *ld, const struct jsonc *value, struct reading *reading)
{
	loader_each_text(ld, value, "attack", read_technique, reading);
}

static void
read_tests(struct loader *ld, const struct jsonc *value, struct reading *reading)
{
	if (value->type != JSONC_ARRAY) {
		mistake(ld, value, "'tests' is %s, expected an array",
			jsonc_type_name(value->type));
		return;
	}
	for (const struct jsonc *m = value->child; m != NULL; m = m->next)
		if (m->type == JSONC_OBJECT && jsonc_get(m, "events") != NULL)
			loader_read_timeline(ld, m, reading->rule, &reading->timelines);
		else
			loader_read_test(ld, m, reading->rule, &reading->tests);
}

/* A word that is none of @choices (NULL behind the last): says which one is like it, or all. */
static void
mistake_choice(struct loader *ld, const struct jsonc *text, const char *what, const char *const *choices)
{
	struct suggest suggest;
	char hint[128] = "", *at = hint;

	suggest_init(&suggest, text->text, text->len);
	for (size_t i = 0; choices[i] != NULL; i++)
		suggest_try(&suggest, choices[i]);
	(void)suggest_text(&suggest, hint);
	for (size_t i = 0; suggest.best == NULL && choices[i] != NULL; i++)
		at += snprintf(at, sizeof(hint) - (size_t)(at - hint), "%s%s",
			       i == 0 ? ", expected " : choices[i + 1] != NULL ? ", " : " or ", choices[i]);
	mistake(ld, text, "unknown %s '%.64s'%s", what, text->text, hint);
}

static void
read_action(struct loader *ld, const struct jsonc *object, struct rule *rule)
{
	static const char *const actions[] = {"allow", "record", "alert",
					      "block", "kill",   NULL};
	const struct jsonc *action = loader_need(ld, object, "action", JSONC_STRING);
	const struct jsonc *over = jsonc_get(object, "over");

	if (action == NULL)
		return;
	if (loader_is_text(action, "allow")) {
		rule->allow = true;
		if (over == NULL)
			mistake(ld, object,
				"'over' is missing: 'allow' names the rules it wins over");
		return;
	}
	if (over != NULL)
		mistake_name(ld, over, "'over' belongs to the action 'allow'");
	for (size_t i = 1; actions[i] != NULL; i++)
		if (loader_is_text(action, actions[i])) {
			rule->action = (enum pyaudit_action)action_by_name(actions[i]);
			return;
		}
	mistake_choice(ld, action, "action", actions);
}

static void
read_severity(struct loader *ld, const struct jsonc *object, struct rule *rule)
{
	const struct jsonc *severity = loader_get(ld, object, "severity", JSONC_STRING);
	const char *names[PYAUDIT_SEV_CRITICAL + 2] = {NULL};
	int found;

	rule->severity =
		rule->action >= PYAUDIT_ACTION_ALERT ? PYAUDIT_SEV_WARNING : PYAUDIT_SEV_INFO;
	if (severity == NULL)
		return;
	found = severity_by_name(severity->text);
	if (found >= 0) {
		rule->severity = (enum pyaudit_severity)found;
		return;
	}
	for (unsigned i = 0; i <= PYAUDIT_SEV_CRITICAL; i++)
		names[i] = severity_name((enum pyaudit_severity)i);
	mistake_choice(ld, severity, "severity", names);
}

bool
loader_read_mode(struct loader *ld, const struct jsonc *object, bool observe)
{
	static const char *const modes[] = {"enforce", "observe", NULL};
	const struct jsonc *mode = loader_get(ld, object, "mode", JSONC_STRING);

	if (mode == NULL)
		return observe;
	if (loader_is_text(mode, "observe"))
		return true;
	if (!loader_is_text(mode, "enforce"))
		mistake_choice(ld, mode, "mode", modes);
	return false;
}

/* Checks that every {name} of a template is a field; {{ and }} stand for braces. */
static void
check_template(struct loader *ld, const struct jsonc *message)
{
	const char *text = message->text;
	struct jsonc_cursor cursor;
	struct suggest suggest;
	char hint[128];

	jsonc_cursor_init(&cursor, message);
	for (size_t i = 0; i < message->len; i++) {
		const char *close;
		size_t len;

		if (text[i] != '{' && text[i] != '}')
			continue;
		jsonc_cursor_move(&cursor, message, i);
		if (text[i + 1] == text[i]) {
			i++;
			continue;
		}
		close = text + i + 1 + strcspn(text + i + 1, "{}");
		if (text[i] == '}' || *close != '}') {
			loader_mistake_at(ld, cursor.line, cursor.column,
				   "a lone '%c'; a brace that is meant is written twice", text[i]);
			continue;
		}
		len = (size_t)(close - text) - i - 1;
		if (pyaudit_field_by_name(text + i + 1, len) >= PYAUDIT_N_FIELDS) {
			suggest_init(&suggest, text + i + 1, len);
			for (unsigned f = 0; f < PYAUDIT_N_FIELDS; f++)
				suggest_try(&suggest, pyaudit_fields[f].name);
			loader_mistake_at(ld, cursor.line, cursor.column + 1, "unknown field '%.*s'%s",
				   (int)(len < 64 ? len : 64), text + i + 1,
				   suggest_text(&suggest, hint));
		}
		i += len + 1;
	}
}

struct fields {
	uint16_t *fields;
	unsigned *n, max;
};

static void
read_field(struct loader *ld, const struct jsonc *text, void *data)
{
	struct fields *fields = data;
	unsigned field = pyaudit_field_by_name(text->text, text->len);
	struct suggest suggest;
	char hint[128];

	if (field >= PYAUDIT_N_FIELDS) {
		suggest_init(&suggest, text->text, text->len);
		for (unsigned f = 0; f < PYAUDIT_N_FIELDS; f++)
			suggest_try(&suggest, pyaudit_fields[f].name);
		mistake(ld, text, "unknown field '%.64s'%s", text->text,
			suggest_text(&suggest, hint));
	} else if (*fields->n == fields->max) {
		mistake(ld, text, "more than %u fields", fields->max);
	} else {
		fields->fields[(*fields->n)++] = (uint16_t)field;
	}
}

void
loader_read_fields(struct loader *ld, const struct jsonc *value, const char *name, uint16_t *fields,
		   unsigned *n, unsigned max)
{
	struct fields to = {.fields = fields, .n = n, .max = max};

	loader_each_text(ld, value, name, read_field, &to);
}

static void
read_limit(struct loader *ld, const struct jsonc *holder_of_it, struct rule *rule)
{
	static const char *const keys[] = {"per", "burst", "every", NULL};
	const struct jsonc *object = loader_get(ld, holder_of_it, "limit", JSONC_OBJECT);
	const struct jsonc *burst, *every, *per;

	if (object == NULL)
		return;
	loader_check_keys(ld, object, keys);
	if (rule->allow || rule->action == PYAUDIT_ACTION_RECORD)
		mistake(ld, object, "'limit' is for rules that alert, block or kill");
	per = jsonc_get(object, "per");
	if (per != NULL)
		loader_read_fields(ld, per, "per", rule->limit.per, &rule->limit.n_per,
				   RULES_LIMIT_FIELDS_MAX);
	burst = loader_need(ld, object, "burst", JSONC_NUMBER);
	if (burst != NULL && (!burst->is_int || burst->integer < 1 || burst->integer > 1000000))
		mistake(ld, burst, "'burst' is a whole number from 1 to 1000000");
	else if (burst != NULL)
		rule->limit.burst = (uint32_t)burst->integer;
	every = loader_need(ld, object, "every", JSONC_STRING);
	if (every != NULL)
		(void)loader_duration(ld, every, &rule->limit.every_ms);
}

static void
read_ack(struct loader *ld, const struct jsonc *object, struct rule *rule, bool has_memory)
{
	const struct jsonc *ack = loader_get(ld, object, "ack", JSONC_STRING);
	uint64_t ms = 0;

	if (ack == NULL || !loader_duration(ld, ack, &ms))
		return;
	if (ms > PYAUDIT_ACK_MS_MAX)
		mistake(ld, ack, "'ack' is at most %ds: the program stands still so long", PYAUDIT_ACK_MS_MAX / 1000);
	else if (rule->allow || rule->action == PYAUDIT_ACTION_RECORD)
		mistake(ld, ack, "'ack' is for rules that alert, block or kill");
	else if (has_memory)
		mistake(ld, ack, "'ack' is for rules without memory: the act is over before these hold");
	else
		rule->ack_ms = (unsigned)ms;
	ld->set->has_ack |= rule->ack_ms > 0;
}

static void
read_id(struct loader *ld, const struct jsonc *object, struct rule *rule)
{
	const struct jsonc *id = loader_need(ld, object, "id", JSONC_STRING);

	rule->line = id != NULL ? id->line : object->line;
	rule->column = id != NULL ? id->column : object->column;
	if (id != NULL && (id->len > PYAUDIT_RULE_ID_MAX ||
			   !loader_is_name(id->text, id->len, "0123456789", "._-"))) {
		mistake(ld, id,
			"an id is small letters, digits, '.', '_' and '-', up to %d of them",
			PYAUDIT_RULE_ID_MAX);
		id = NULL;
	}
	rule->id = loader_copy(ld, id != NULL ? id->text : "");
}

/* A text of a limited length, copied; NULL where there is none. */
static char *
read_text(struct loader *ld, const struct jsonc *object, const char *name, size_t max,
	  bool required)
{
	const struct jsonc *text = required ? loader_need(ld, object, name, JSONC_STRING)
					    : loader_get(ld, object, name, JSONC_STRING);

	if (text == NULL)
		return NULL;
	if (text->len == 0 || text->len > max)
		mistake(ld, text, "'%s' has %zu bytes, expected 1 to %zu", name, text->len, max);
	return loader_copy(ld, text->text);
}

void
loader_read_match(struct loader *ld, const struct jsonc *object, struct rule_step *ret)
{
	CLEANUP(conditions_fini) struct conditions conditions = {0};
	struct rule events = {.id = NULL};
	struct reading reading = {.rule = &events};
	const struct jsonc *value = jsonc_get(object, "on");

	if (value == NULL)
		mistake(ld, object, "'on' is missing");
	else
		loader_each_text(ld, value, "on", read_on, &reading);
	memcpy(ret->events, events.events, sizeof(ret->events));
	ret->other_events = events.other_events;
	ret->n_other_events = events.n_other_events;
	value = jsonc_get(object, "when");
	if (value != NULL)
		loader_each_text(ld, value, "when", read_exception_condition, &conditions);
	ret->when = conditions_join(ld, &conditions);
}

static void
read_unit(struct loader *ld, const struct jsonc *text, void *data)
{
	struct reading *reading = data;

	if (text->len == 0 || strlen(text->text) != text->len)
		mistake(ld, text, "expected the name of a unit, or a pattern such as shop-*.service");
	else
		loader_add_text(ld, &reading->rule->observe_in, &reading->rule->n_observe_in,
				&reading->units, text->text);
}

static const char *const rule_keys[] = {"id",	    "title",  "on",	 "when",    "action",
					"over",	    "severity", "attack", "message", "exceptions",
					"limit",    "mode",   "tests",	 "observe_in", "threshold",
					"sequence", "first_seen", "absence", "ack", NULL};

void
loader_note_override(struct loader *ld, const struct jsonc *object)
{
	static const char *const keys[] = {"override", "append",  "replace",
					   "enabled",  "reason", NULL};
	static const char *const appended[] = {"when", "exceptions", "attack", "tests", NULL};
	const struct jsonc *id = loader_get(ld, object, "override", JSONC_STRING);
	const struct jsonc *append = loader_get(ld, object, "append", JSONC_OBJECT);
	const struct jsonc *replace = loader_get(ld, object, "replace", JSONC_OBJECT);
	struct override *override;

	loader_check_keys(ld, object, keys);
	(void)loader_get(ld, object, "enabled", JSONC_BOOL);
	(void)loader_get(ld, object, "reason", JSONC_STRING);
	if (append != NULL)
		loader_check_keys(ld, append, appended);
	if (replace != NULL)
		loader_check_keys(ld, replace, rule_keys + 1); /* all but the id */
	if (id == NULL)
		return;
	if (ld->n_overrides >= RULES_OVERRIDES_MAX) {
		mistake(ld, object, "more than %d overrides", RULES_OVERRIDES_MAX);
		return;
	}
	override = loader_grow(ld, &ld->overrides, &ld->n_overrides, &ld->overrides_size,
			       sizeof(*override));
	if (override != NULL)
		*override = (struct override){.object = object, .id = id, .file = ld->file};
}

/* Names of the parts that an override touches, for people. */
static char *
describe_override(struct loader *ld, const struct jsonc *object)
{
	static const char *const kinds[] = {"append", "replace"};
	char text[512] = "";
	size_t len = 0;

	for (size_t i = 0; i < 2; i++) {
		const struct jsonc *changes = jsonc_get(object, kinds[i]);

		for (const struct jsonc *m = changes != NULL ? changes->child : NULL;
		     m != NULL && len < sizeof(text); m = m->next)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %.32s",
						len > 0 ? ", " : "", kinds[i], m->name);
	}
	if (jsonc_get(object, "enabled") != NULL && len < sizeof(text))
		(void)snprintf(text + len, sizeof(text) - len, "%senabled", len > 0 ? ", " : "");
	return loader_copy(ld, text);
}

/* The overrides of the rule, in the order of their files. */
static void
find_overrides(struct loader *ld, struct reading *reading)
{
	struct rule *rule = reading->rule;

	for (size_t i = 0; i < ld->n_overrides; i++) {
		struct override *override = &ld->overrides[i];
		const struct jsonc *enabled;
		struct rule_origin *origin;

		if (rule->id == NULL || strcmp(override->id->text, rule->id) != 0)
			continue;
		override->used = true;
		if (reading->n_overrides == RULES_OVERRIDES_OF_ONE) {
			ld->file = override->file;
			mistake(ld, override->object, "more than %d overrides of one rule",
				RULES_OVERRIDES_OF_ONE);
			break;
		}
		reading->overrides[reading->n_overrides++] = override;
		enabled = jsonc_get(override->object, "enabled");
		if (enabled != NULL && enabled->type == JSONC_BOOL)
			rule->disabled = !enabled->boolean;
		origin = loader_grow(ld, &rule->origins, &rule->n_origins, &reading->origins,
				     sizeof(*origin));
		if (origin != NULL)
			*origin = (struct rule_origin){
				.file = override->file,
				.line = override->object->line,
				.column = override->object->column,
				.what = describe_override(ld, override->object)};
	}
	ld->file = reading->own_file;
}

/* The member that gives the rule a memory, and the object that has it. */
static const char *
memory_holder(struct loader *ld, const struct reading *reading, const struct jsonc **ret_object)
{
	static const char *const names[] = {"threshold", "sequence", "first_seen", "absence"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct jsonc *object = holder(ld, reading, names[i]);

		*ret_object = object;
		if (jsonc_get(object, names[i]) != NULL)
			return names[i];
	}
	return NULL;
}

/* The parts that one member has, each from where it counts. */
static void
read_parts(struct loader *ld, struct reading *reading)
{
	struct rule *rule = reading->rule;
	const struct jsonc *object, *value;
	const char *memory;

	rule->title = read_text(ld, holder(ld, reading, "title"), "title", TITLE_MAX, true);
	memory = memory_holder(ld, reading, &object);
	object = holder(ld, reading, "on");
	value = jsonc_get(object, "on");
	if (memory != NULL && strcmp(memory, "sequence") == 0) {
		if (value != NULL)
			mistake(ld, value, "a sequence has 'on' in each of its steps, not beside them");
	} else if (value == NULL) {
		mistake(ld, object, "'on' is missing");
	} else {
		loader_each_text(ld, value, "on", read_on, reading);
	}
	read_conditions(ld, reading);
	object = holder(ld, reading, "action");
	read_action(ld, object, rule);
	value = jsonc_get(object, "over");
	if (value != NULL && rule->allow) {
		loader_each_text(ld, value, "over", read_over, reading);
		ld->overs[ld->n_overs - 1].over = value;
		ld->overs[ld->n_overs - 1].file = ld->file;
	}
	read_severity(ld, holder(ld, reading, "severity"), rule);
	each_part(ld, reading, "attack", read_attack);
	object = holder(ld, reading, "message");
	rule->message = read_text(ld, object, "message", MESSAGE_MAX, false);
	if (rule->message != NULL)
		check_template(ld, jsonc_get(object, "message"));
	rule->observe = loader_read_mode(ld, holder(ld, reading, "mode"), ld->observe);
	read_limit(ld, holder(ld, reading, "limit"), rule);
	read_ack(ld, holder(ld, reading, "ack"), rule, memory != NULL);
	value = jsonc_get(holder(ld, reading, "observe_in"), "observe_in");
	if (value != NULL)
		loader_each_text(ld, value, "observe_in", read_unit, reading);
	if (memory != NULL) {
		(void)memory_holder(ld, reading, &object);
		loader_read_memory(ld, object, memory, rule);
	}
	each_part(ld, reading, "tests", read_tests);
	ld->file = reading->own_file;
}

void
loader_read_rule(struct loader *ld, const struct jsonc *object)
{
	CLEANUP(reading_fini) struct reading reading = {.own = object, .own_file = ld->file};
	struct rule *rule;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "a rule is an object, this is %s",
			jsonc_type_name(object->type));
		return;
	}
	if (ld->set->n_rules >= PYAUDIT_RULES_MAX) {
		mistake(ld, object, "more than %d rules", PYAUDIT_RULES_MAX);
		return;
	}
	rule = loader_grow(ld, &ld->set->rules, &ld->set->n_rules, &ld->rules_size, sizeof(*rule));
	if (rule == NULL ||
	    loader_grow(ld, &ld->overs, &ld->n_overs, &ld->overs_size, sizeof(*ld->overs)) == NULL)
		return;
	reading.rule = rule;
	loader_check_keys(ld, object, rule_keys);
	read_id(ld, object, rule);
	rule->owner_file = loader_copy(ld, ld->file);
	if (ld->no_memory)
		return;
	find_overrides(ld, &reading);
	read_parts(ld, &reading);
	if (rule->disabled) {
		memset(rule->events, 0, sizeof(rule->events));
		for (size_t i = 0; i < rule->n_other_events; i++)
			free(rule->other_events[i]);
		rule->n_other_events = 0;
	}
}
