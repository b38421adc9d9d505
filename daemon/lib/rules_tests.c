/* SPDX-License-Identifier: Apache-2.0 */
/* The tests that stand beside a rule: read and checked here, run by ruletest.c. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "rules_loader.h"

static cJSON *
to_cjson(struct loader *ld, const struct jsonc *value)
{
	cJSON *json = NULL;

	switch (value->type) {
	case JSONC_NULL:
		json = cJSON_CreateNull();
		break;
	case JSONC_BOOL:
		json = cJSON_CreateBool(value->boolean);
		break;
	case JSONC_NUMBER:
		json = cJSON_CreateNumber(value->number);
		break;
	case JSONC_STRING:
		json = cJSON_CreateString(value->text);
		break;
	case JSONC_ARRAY:
	case JSONC_OBJECT:
		json = value->type == JSONC_ARRAY ? cJSON_CreateArray() : cJSON_CreateObject();
		for (const struct jsonc *m = value->child; json != NULL && m != NULL; m = m->next) {
			cJSON *item = to_cjson(ld, m);
			bool added = item != NULL &&
				     (value->type == JSONC_ARRAY
					      ? cJSON_AddItemToArray(json, item)
					      : cJSON_AddItemToObject(json, m->name, item));

			if (!added) {
				cJSON_Delete(item);
				cJSON_Delete(json);
				json = NULL;
			}
		}
		break;
	}
	if (json == NULL)
		ld->no_memory = true;
	return json;
}

/* An argument: plain JSON, or an object that names what JSON cannot say. */
static void
check_argument(struct loader *ld, const struct jsonc *value, size_t *n_values)
{
	if (++*n_values == PYAUDIT_VALUES_MAX + 1)
		mistake(ld, value, "more than %d values in the arguments", PYAUDIT_VALUES_MAX);
	if (value->type == JSONC_ARRAY) {
		for (const struct jsonc *m = value->child; m != NULL; m = m->next)
			check_argument(ld, m, n_values);
	} else if (value->type == JSONC_OBJECT) {
		const struct jsonc *m = value->child;

		if (m == NULL || m->next != NULL || m->type != JSONC_STRING ||
		    (strcmp(m->name, "object") != 0 && strcmp(m->name, "bytes") != 0 &&
		     strcmp(m->name, "code") != 0))
			mistake(ld, value,
				"an argument that is an object is written {\"object\": \"its "
				"type\"}, "
				"{\"bytes\": \"text\"} or {\"code\": \"file name\"}");
	}
}

static size_t
count_args(const char *names)
{
	size_t n = *names != '\0';

	for (; *names != '\0'; names++)
		n += *names == ',';
	return n;
}

static void
check_args(struct loader *ld, const struct jsonc *args, unsigned event)
{
	size_t n_values = 0, n_max = PYAUDIT_ARGS_MAX;

	for (const struct jsonc *m = args->child; m != NULL; m = m->next)
		check_argument(ld, m, &n_values);
	if (event != PYAUDIT_EV_OTHER)
		n_max = count_args(pyaudit_events[event].args);
	if (args->n_children > n_max && event != PYAUDIT_EV_OTHER)
		mistake(ld, args, "%s has %zu arguments: %s", pyaudit_events[event].name, n_max,
			pyaudit_events[event].args);
	else if (args->n_children > n_max)
		mistake(ld, args, "more than %zu arguments", n_max);
}

static bool
is_fact_of_type(const struct jsonc *value, unsigned type)
{
	if (type == PYAUDIT_TYPE_INT)
		return value->type == JSONC_NUMBER && value->is_int;
	if (type != PYAUDIT_TYPE_LIST)
		return value->type == JSONC_STRING;
	if (value->type != JSONC_ARRAY || value->n_children > PYAUDIT_LIST_MAX)
		return false;
	for (const struct jsonc *m = value->child; m != NULL; m = m->next)
		if (m->type != JSONC_STRING)
			return false;
	return true;
}

/* "proc": facts by the name of their field behind "proc." */
static void
check_proc(struct loader *ld, const struct jsonc *proc)
{
	static const size_t prefix = sizeof("proc.") - 1;

	for (const struct jsonc *m = proc->child; m != NULL; m = m->next) {
		struct suggest suggest;
		unsigned f = PYAUDIT_F_PROC_PID;
		char hint[128];

		suggest_init(&suggest, m->name, m->name_len);
		for (; f <= PYAUDIT_F_PROC_VENV; f++) {
			if (strcmp(pyaudit_fields[f].name + prefix, m->name) == 0)
				break;
			suggest_try(&suggest, pyaudit_fields[f].name + prefix);
		}
		if (f > PYAUDIT_F_PROC_VENV)
			mistake_name(ld, m, "there is no field 'proc.%.64s'%s", m->name,
				     suggest_text(&suggest, hint));
		else if (!is_fact_of_type(m, pyaudit_fields[f].type))
			mistake(ld, m, "'%s' is %s, expected %s", m->name, jsonc_type_name(m->type),
				pyaudit_fields[f].type == PYAUDIT_TYPE_INT    ? "a whole number"
				: pyaudit_fields[f].type == PYAUDIT_TYPE_LIST ? "an array of texts"
									      : "a text");
	}
}

static void
check_frame(struct loader *ld, const struct jsonc *frame)
{
	static const char *const keys[] = {"file", "line", "function", "module", "package", NULL};
	const struct jsonc *line;

	if (frame->type != JSONC_OBJECT) {
		mistake(ld, frame, "a frame is an object with file, line, function, module and package");
		return;
	}
	loader_check_keys(ld, frame, keys);
	(void)loader_get(ld, frame, "file", JSONC_STRING);
	(void)loader_get(ld, frame, "function", JSONC_STRING);
	(void)loader_get(ld, frame, "module", JSONC_STRING);
	(void)loader_get(ld, frame, "package", JSONC_STRING);
	line = loader_get(ld, frame, "line", JSONC_NUMBER);
	if (line != NULL && (!line->is_int || line->integer < 0 || line->integer > INT32_MAX))
		mistake(ld, line, "not a line number");
}

static enum pyaudit_action
read_expect(struct loader *ld, const struct jsonc *object, const struct rule *rule)
{
	static const char *const expects[] = {"none", "record", "alert", "block", "kill", "allow"};
	static const size_t n = sizeof(expects) / sizeof(expects[0]), allow = n - 1;
	const struct jsonc *expect = loader_need(ld, object, "expect", JSONC_STRING);
	enum pyaudit_action does = rule->allow ? PYAUDIT_ACTION_RECORD : rule->action;
	enum pyaudit_action action = PYAUDIT_ACTION_NONE;
	struct suggest suggest;
	char hint[128];
	size_t i;

	if (expect == NULL)
		return action;
	suggest_init(&suggest, expect->text, expect->len);
	for (i = 0; i < n && !loader_is_text(expect, expects[i]); i++)
		suggest_try(&suggest, expects[i]);
	if (i == n) {
		mistake(ld, expect, "unknown action '%.64s'%s", expect->text,
			suggest_text(&suggest, hint));
		return action;
	}
	/* What an allow rule does alone cannot be seen; its tests say whether it applies. */
	action = i == allow ? PYAUDIT_ACTION_RECORD : (enum pyaudit_action)i;
	if (action != PYAUDIT_ACTION_NONE && does != PYAUDIT_ACTION_NONE &&
	    (action != does || (i == allow) != rule->allow))
		mistake(ld, expect, "this rule alone never does '%s': expect '%s' or 'none'",
			expect->text, rule->allow ? "allow" : action_name(rule->action));
	return action;
}

static unsigned
read_test_event(struct loader *ld, const struct jsonc *object, const struct rule *rule,
		struct rule_test *test)
{
	static const char custom[] = "custom:";
	const struct jsonc *name = loader_need(ld, object, "event", JSONC_STRING);
	unsigned event;
	bool asked = false;

	if (name == NULL)
		return PYAUDIT_EV_OTHER;
	event = pyaudit_event_by_name(name->text, name->len);
	if (event == PYAUDIT_EV_OTHER && strncmp(name->text, custom, strlen(custom)) != 0) {
		loader_unknown_event(ld, name, false);
		return PYAUDIT_EV_OTHER;
	}
	test->event =
		loader_copy(ld, event != PYAUDIT_EV_OTHER ? name->text : name->text + strlen(custom));
	if (test->event == NULL)
		return event;
	asked = rule_has_event(rule, event);
	for (size_t i = 0; event == PYAUDIT_EV_OTHER && i < rule->n_other_events; i++)
		asked = asked || strcmp(rule->other_events[i], test->event) == 0;
	/* Without conditions the events are all there is to test. */
	if (!asked && !rule->disabled && rule->memory.kind == RULE_NO_MEMORY && rule->when != NULL && rule->when->op != EXPR_TRUE) {
		diag_add(ld->diag, DIAG_WARNING, ld->file, name->line, name->column,
			 "the rule does not look at %s: this test cannot fail", test->event);
		diag_code(ld->diag, "test-cannot-fail");
	}
	return event;
}

/* Where a path leads: on paper there is no file system that could say it. */
static char *
read_real(struct loader *ld, const struct jsonc *object, const char *key)
{
	const struct jsonc *value = loader_get(ld, object, key, JSONC_STRING);

	if (value == NULL)
		return NULL;
	if (value->text[0] != '/')
		mistake(ld, value, "'%s' is an absolute path: where the path of the event leads", key);
	return loader_copy(ld, value->text);
}

/* An event on paper, what is expected of it aside. */
static void
read_paper_event(struct loader *ld, const struct jsonc *object, const struct rule *rule,
		 struct rule_test *test)
{
	static const char *const layers[] = {"audit", "libc", "daemon"};
	const struct jsonc *value;
	unsigned event;
	size_t i;

	test->file = ld->file;
	test->line = object->line;
	test->column = object->column;
	event = read_test_event(ld, object, rule, test);

	value = loader_get(ld, object, "args", JSONC_ARRAY);
	if (value != NULL) {
		check_args(ld, value, event);
		test->args = to_cjson(ld, value);
	} else {
		test->args = cJSON_CreateArray();
		if (test->args == NULL)
			ld->no_memory = true;
	}
	value = loader_get(ld, object, "proc", JSONC_OBJECT);
	if (value != NULL) {
		check_proc(ld, value);
		test->proc = to_cjson(ld, value);
	}
	value = loader_get(ld, object, "caller", JSONC_OBJECT);
	if (value != NULL) {
		check_frame(ld, value);
		test->caller = to_cjson(ld, value);
	}
	value = loader_get(ld, object, "stack", JSONC_ARRAY);
	if (value != NULL) {
		if (value->n_children > PYAUDIT_STACK_MAX - 1)
			mistake(ld, value, "more than %d frames", PYAUDIT_STACK_MAX - 1);
		for (const struct jsonc *m = value->child; m != NULL; m = m->next)
			check_frame(ld, m);
		test->stack = to_cjson(ld, value);
	}
	value = loader_get(ld, object, "layer", JSONC_STRING);
	for (i = 0; value != NULL && i < 3 && !loader_is_text(value, layers[i]); i++)
		;
	if (value != NULL && i == 3)
		mistake(ld, value, "the layer is audit, libc or daemon");
	test->layer = loader_copy(ld, value != NULL ? value->text : "audit");
	test->real = read_real(ld, object, "real");
	test->real_target = read_real(ld, object, "real_target");
}

void
loader_read_test(struct loader *ld, const struct jsonc *object, struct rule *rule, size_t *size)
{
	static const char *const keys[] = {"event", "args",  "proc",   "caller",
					   "stack", "layer", "real", "real_target",
					   "expect", NULL};
	struct rule_test *test;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "a test is an object, this is %s",
			jsonc_type_name(object->type));
		return;
	}
	if (rule->memory.kind != RULE_NO_MEMORY) {
		mistake(ld, object,
			"a rule with memory is tested by {\"events\": [...], \"expect\": ...}");
		return;
	}
	test = loader_grow(ld, &rule->tests, &rule->n_tests, size, sizeof(*test));
	if (test == NULL)
		return;
	loader_check_keys(ld, object, keys);
	read_paper_event(ld, object, rule, test);
	test->expect = read_expect(ld, object, rule);
}

static void
read_timed_event(struct loader *ld, const struct jsonc *object, struct rule *rule,
		 struct rule_timeline *timeline)
{
	static const char *const keys[] = {"event", "args",  "proc",  "caller", "stack",
					   "layer", "real", "real_target", "after",
					   "times", NULL};
	struct rule_test *test = &timeline->events[timeline->n_events];
	const struct jsonc *after, *times;
	uint64_t n = 1;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "an event is an object, this is %s",
			jsonc_type_name(object->type));
		return;
	}
	timeline->n_events++;
	loader_check_keys(ld, object, keys);
	read_paper_event(ld, object, rule, test);
	after = loader_get(ld, object, "after", JSONC_STRING);
	if (after != NULL)
		(void)loader_duration(ld, after, &test->after_ms);
	times = loader_get(ld, object, "times", JSONC_NUMBER);
	if (times != NULL && (!times->is_int || times->integer < 1 || times->integer > 100000))
		mistake(ld, times, "'times' is a whole number from 1 to 100000");
	else if (times != NULL)
		n = (uint64_t)times->integer;
	test->times = (uint32_t)n;
}

void
loader_read_timeline(struct loader *ld, const struct jsonc *object, struct rule *rule, size_t *size)
{
	static const char *const keys[] = {"events", "wait", "expect", "times", NULL};
	const struct jsonc *events = loader_get(ld, object, "events", JSONC_ARRAY);
	const struct jsonc *wait, *times;
	struct rule_timeline *timeline;

	loader_check_keys(ld, object, keys);
	if (rule->memory.kind == RULE_NO_MEMORY) {
		mistake(ld, object, "a rule without memory is tested by one event at a time");
		return;
	}
	timeline = loader_grow(ld, &rule->timelines, &rule->n_timelines, size, sizeof(*timeline));
	if (timeline == NULL || events == NULL)
		return;
	timeline->file = ld->file;
	timeline->line = object->line;
	timeline->column = object->column;
	timeline->events = calloc(events->n_children + 1, sizeof(*timeline->events));
	if (timeline->events == NULL) {
		ld->no_memory = true;
		return;
	}
	for (const struct jsonc *m = events->child; m != NULL; m = m->next)
		read_timed_event(ld, m, rule, timeline);
	wait = loader_get(ld, object, "wait", JSONC_STRING);
	if (wait != NULL)
		(void)loader_duration(ld, wait, &timeline->wait_ms);
	timeline->times = read_expect(ld, object, rule) != PYAUDIT_ACTION_NONE;
	times = loader_get(ld, object, "times", JSONC_NUMBER);
	if (times != NULL && (!times->is_int || times->integer < 1 || timeline->times == 0))
		mistake(ld, times, "'times' says how often it acts: 1 or more, and not beside 'none'");
	else if (times != NULL)
		timeline->times = (uint32_t)times->integer;
}
