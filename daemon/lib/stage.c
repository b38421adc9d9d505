/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

void
stage_freep(struct stage **stage)
{
	free(*stage);
}

static struct pyaudit_value *
take_values(struct stage *stage, size_t n)
{
	struct pyaudit_value *values = stage->values + stage->n_values;

	if (n > sizeof(stage->values) / sizeof(stage->values[0]) - stage->n_values)
		return NULL;
	stage->n_values += n;
	return values;
}

static struct pyaudit_value
text_value(const char *text)
{
	return pyaudit_value_text(text, strlen(text));
}

/* What JSON has no form for is an object with one member that says what it is. */
static struct pyaudit_value
special_value(const cJSON *json)
{
	const cJSON *member = json->child;
	struct pyaudit_value value = text_value(member->valuestring);

	if (strcmp(member->string, "bytes") == 0)
		value.type = PYAUDIT_TAG_BYTES;
	else if (strcmp(member->string, "code") == 0)
		value.type = PYAUDIT_TAG_CODE;
	else
		value.type = PYAUDIT_TAG_OBJECT;
	return value;
}

static bool
is_whole(const cJSON *json)
{
	return cJSON_IsNumber(json) && json->valuedouble > -9e18 && json->valuedouble < 9e18 &&
	       json->valuedouble == (double)(int64_t)json->valuedouble;
}

/* Lists that do not fit are cut, as an agent cuts them. */
static struct pyaudit_value
to_value(struct stage *stage, const cJSON *json)
{
	struct pyaudit_value value = {.type = PYAUDIT_TAG_NONE};
	struct pyaudit_value *items;
	const cJSON *item;
	int n;

	if (cJSON_IsBool(json)) {
		value.type = PYAUDIT_TAG_BOOL;
		value.i = cJSON_IsTrue(json);
	} else if (is_whole(json)) {
		value = pyaudit_value_int((int64_t)json->valuedouble);
	} else if (cJSON_IsNumber(json)) {
		value.type = PYAUDIT_TAG_FLOAT;
		value.f = json->valuedouble;
	} else if (cJSON_IsString(json)) {
		value = text_value(json->valuestring);
	} else if (cJSON_IsObject(json)) {
		value = special_value(json);
	} else if (cJSON_IsArray(json)) {
		value.type = PYAUDIT_TAG_LIST;
		n = cJSON_GetArraySize(json);
		value.full_len = (uint32_t)n;
		if (n > PYAUDIT_LIST_MAX)
			n = PYAUDIT_LIST_MAX;
		if ((uint32_t)n < value.full_len)
			value.flags = PYAUDIT_VALUE_CUT;
		items = take_values(stage, (size_t)n);
		value.items = items;
		if (items == NULL)
			return value;
		item = json->child;
		for (; value.n_items < n; value.n_items++, item = item->next)
			items[value.n_items] = to_value(stage, item);
	}
	return value;
}

static void
set_frame(struct stage *stage, const cJSON *json)
{
	struct pyaudit_value *package = &stage->packages[stage->event.n_frames];
	struct pyaudit_origin *frame = &stage->frames[stage->event.n_frames++];
	static const char *const names[] = {"file", "function", "module"};
	struct pyaudit_value *const parts[] = {&frame->file, &frame->function, &frame->module};
	const cJSON *line = cJSON_GetObjectItemCaseSensitive(json, "line");
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "package");

	*frame = (struct pyaudit_origin){0};
	for (size_t i = 0; i < 3; i++) {
		const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, names[i]);

		if (cJSON_IsString(text))
			*parts[i] = text_value(text->valuestring);
	}
	if (cJSON_IsNumber(line))
		frame->line = (uint32_t)line->valuedouble;
	if (cJSON_IsString(name)) {
		*package = text_value(name->valuestring);
		frame->packages = package;
		frame->n_packages = 1;
	}
}

/* The process. What follows from a fact need not be said: proc.name from proc.exe. */
static void
set_facts(struct stage *stage, const cJSON *proc)
{
	static const size_t prefix = sizeof("proc.") - 1;
	struct pyaudit_value *exe = &stage->facts.fact[PYAUDIT_F_PROC_EXE - PYAUDIT_F_PROC_PID];
	struct pyaudit_value *name = &stage->facts.fact[PYAUDIT_F_PROC_NAME - PYAUDIT_F_PROC_PID];

	memset(&stage->facts, 0, sizeof(stage->facts));
	for (const cJSON *m = proc != NULL ? proc->child : NULL; m != NULL; m = m->next)
		for (unsigned f = PYAUDIT_F_PROC_PID; f <= PYAUDIT_F_PROC_VENV; f++)
			if (strcmp(pyaudit_fields[f].name + prefix, m->string) == 0)
				stage->facts.fact[f - PYAUDIT_F_PROC_PID] = to_value(stage, m);
	if (exe->type == PYAUDIT_TAG_STR && name->type == 0) {
		const char *slash = memrchr(exe->s, '/', exe->len);
		size_t skip = slash != NULL ? (size_t)(slash + 1 - exe->s) : 0;

		*name = pyaudit_value_text(exe->s + skip, exe->len - skip);
	}
}

static uint8_t
layer_by_name(const char *name)
{
	return strcmp(name, "libc") == 0     ? PYAUDIT_LAYER_LIBC
	       : strcmp(name, "daemon") == 0 ? PYAUDIT_LAYER_DAEMON
					     : PYAUDIT_LAYER_AUDIT;
}

void
stage_set(struct stage *stage, const struct rule_test *test)
{
	struct pyaudit_value *args;
	const cJSON *item;
	int n_args = cJSON_GetArraySize(test->args);

	stage->n_values = 0;
	if (n_args > PYAUDIT_ARGS_MAX)
		n_args = PYAUDIT_ARGS_MAX;
	args = take_values(stage, (size_t)n_args);
	item = test->args != NULL ? test->args->child : NULL;
	for (int i = 0; i < n_args; i++, item = item->next)
		args[i] = to_value(stage, item);
	set_facts(stage, test->proc);

	stage->event = (struct pyaudit_event){
		.id = pyaudit_event_by_name(test->event, strlen(test->event)),
		.layer = layer_by_name(test->layer),
		.n_args = (uint8_t)n_args,
		.name = test->event,
		.name_len = (uint32_t)strlen(test->event),
		.args = args,
		.frames = stage->frames,
		.origin_asked = PYAUDIT_STACK_MAX,
		.scratch = stage->scratch,
		.scratch_size = sizeof(stage->scratch),
	};
	if (test->real != NULL)
		stage->event.real = text_value(test->real);
	if (test->real_target != NULL)
		stage->event.real_target = text_value(test->real_target);
	if (test->caller != NULL)
		set_frame(stage, test->caller);
	item = test->stack != NULL ? test->stack->child : NULL;
	for (; item != NULL && stage->event.n_frames < PYAUDIT_STACK_MAX; item = item->next)
		set_frame(stage, item);
}

void
stage_judge(const void *image, const char *name, const struct pyaudit_facts *facts,
	    struct pyaudit_event *event, struct pyaudit_verdict *ret)
{
	const struct pyaudit_slot *slot = pyaudit_image_slot(image, name);
	struct pyaudit_proc_bits bits;

	*ret = (struct pyaudit_verdict){0};
	if ((slot->flags & PYAUDIT_SLOT_JUDGE) == 0) {
		if ((slot->flags & PYAUDIT_SLOT_RECORD) != 0)
			ret->action = PYAUDIT_ACTION_RECORD;
		return;
	}
	event->scratch_len = 0;
	pyaudit_image_bind(image, facts, &bits);
	pyaudit_judge(image, slot, &bits, event, ret);
}
