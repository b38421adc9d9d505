/* SPDX-License-Identifier: Apache-2.0 */
/* What gives a rule a memory: `threshold`, `sequence`, `first_seen` or `absence`. */
#include <string.h>

#include "rules_loader.h"

static void
read_scope(struct loader *ld, const struct jsonc *object, struct rule_memory *memory)
{
	static const char *const names[] = {"process", "tree", "host"};
	const struct jsonc *in = loader_get(ld, object, "in", JSONC_STRING);
	struct suggest suggest;
	char hint[128];

	if (in == NULL)
		return;
	suggest_init(&suggest, in->text, in->len);
	for (unsigned i = 0; i < 3; i++) {
		if (loader_is_text(in, names[i])) {
			memory->scope = (enum rule_memory_scope)i;
			return;
		}
		suggest_try(&suggest, names[i]);
	}
	mistake(ld, in, "'in' is process, tree or host, not '%.32s'%s", in->text,
		suggest_text(&suggest, hint));
}

static void
read_per(struct loader *ld, const struct jsonc *object, struct rule_memory *memory)
{
	const struct jsonc *per = jsonc_get(object, "per");

	if (per != NULL)
		loader_read_fields(ld, per, "per", memory->per, &memory->n_per,
				   RULES_LIMIT_FIELDS_MAX);
}

static void
read_span(struct loader *ld, const struct jsonc *object, const char *name, bool required,
	  uint64_t *ret_ms)
{
	const struct jsonc *text = required ? loader_need(ld, object, name, JSONC_STRING)
					    : loader_get(ld, object, name, JSONC_STRING);

	if (text != NULL)
		(void)loader_duration(ld, text, ret_ms);
}

static void
read_threshold(struct loader *ld, const struct jsonc *object, struct rule_memory *memory)
{
	static const char *const keys[] = {"count", "within", "in", "per", NULL};
	const struct jsonc *count;

	loader_check_keys(ld, object, keys);
	count = loader_need(ld, object, "count", JSONC_NUMBER);
	if (count != NULL &&
	    (!count->is_int || count->integer < 2 || count->integer > RULES_THRESHOLD_MAX))
		mistake(ld, count, "'count' is a whole number from 2 to %d", RULES_THRESHOLD_MAX);
	else if (count != NULL)
		memory->count = (uint32_t)count->integer;
	read_span(ld, object, "within", true, &memory->within_ms);
}

static void
read_step(struct loader *ld, const struct jsonc *object, struct rule_memory *memory)
{
	static const char *const keys[] = {"on", "when", "by", NULL};
	struct rule_step *step;
	const struct jsonc *by;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "a step is an object with 'on' and 'when', this is %s",
			jsonc_type_name(object->type));
		return;
	}
	loader_check_keys(ld, object, keys);
	if (memory->n_steps == RULES_STEPS_MAX) {
		mistake(ld, object, "more than %d steps", RULES_STEPS_MAX);
		return;
	}
	step = &memory->steps[memory->n_steps++];
	loader_read_match(ld, object, step);
	by = jsonc_get(object, "by");
	if (by != NULL)
		loader_read_fields(ld, by, "by", step->by, &step->n_by, RULES_STEP_FIELDS_MAX);
	if (step->n_by != memory->steps[0].n_by)
		mistake(ld, by != NULL ? by : object,
			"each step names as many fields in 'by' as the first: their values are compared "
			"in order");
}

static void
read_sequence(struct loader *ld, const struct jsonc *object, struct rule_memory *memory)
{
	static const char *const keys[] = {"steps", "within", "in", "per", NULL};
	const struct jsonc *steps;

	loader_check_keys(ld, object, keys);
	steps = loader_need(ld, object, "steps", JSONC_ARRAY);
	for (const struct jsonc *m = steps != NULL ? steps->child : NULL; m != NULL; m = m->next)
		read_step(ld, m, memory);
	if (steps != NULL && steps->n_children < 2)
		mistake(ld, steps, "a sequence has two steps or more");
	read_span(ld, object, "within", true, &memory->within_ms);
}

static void
read_first_seen(struct loader *ld, const struct jsonc *object, struct rule_memory *memory)
{
	static const char *const keys[] = {"per", "in", "learn", "keep", NULL};

	loader_check_keys(ld, object, keys);
	memory->scope = RULE_IN_HOST;
	if (jsonc_get(object, "per") == NULL)
		mistake(ld, object, "'per' is missing: the fields whose values may be new");
	read_span(ld, object, "learn", false, &memory->learn_ms);
	read_span(ld, object, "keep", false, &memory->keep_ms);
}

static void
read_absence(struct loader *ld, const struct jsonc *object, struct rule_memory *memory)
{
	static const char *const keys[] = {"on", "when", "within", "in", "per", NULL};

	loader_check_keys(ld, object, keys);
	memory->n_steps = 1;
	loader_read_match(ld, object, &memory->steps[0]);
	read_span(ld, object, "within", true, &memory->within_ms);
}

void
loader_read_memory(struct loader *ld, const struct jsonc *object, const char *name,
		   struct rule *rule)
{
	static const struct {
		const char *name;
		enum rule_memory_kind kind;
		void (*read)(struct loader *ld, const struct jsonc *object,
			     struct rule_memory *memory);
	} kinds[] = {
		{"threshold", RULE_THRESHOLD, read_threshold},
		{"sequence", RULE_SEQUENCE, read_sequence},
		{"first_seen", RULE_FIRST_SEEN, read_first_seen},
		{"absence", RULE_ABSENCE, read_absence},
	};
	const size_t n_kinds = sizeof(kinds) / sizeof(kinds[0]);
	const struct jsonc *value = loader_get(ld, object, name, JSONC_OBJECT);

	for (size_t i = 0; i < n_kinds; i++) {
		const struct jsonc *other = jsonc_get(object, kinds[i].name);

		if (other != NULL && strcmp(kinds[i].name, name) != 0)
			mistake_name(ld, other, "a rule has one memory, and '%s' is there", name);
		if (value == NULL || strcmp(kinds[i].name, name) != 0)
			continue;
		rule->memory.kind = kinds[i].kind;
		kinds[i].read(ld, value, &rule->memory);
		read_scope(ld, value, &rule->memory);
		read_per(ld, value, &rule->memory);
	}
	if (value == NULL)
		return;
	if (rule->allow)
		mistake(ld, value, "'allow' takes effect before the act, a memory learns of it afterwards");
	else if (rule->action >= PYAUDIT_ACTION_BLOCK)
		mistake(ld, value,
			"a rule with memory cannot %s: the daemon judges it after the act; let it alert, "
			"and refuse the act itself by a rule of its own",
			action_name(rule->action));
}
