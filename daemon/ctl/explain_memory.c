/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_memory.h"

#include <stdio.h>

static const struct explain_remembered *
find(const struct explain_memory *memory, const struct explain_rule *one, unsigned step)
{
	for (unsigned i = 0; memory != NULL && i < memory->n; i++)
		if (memory->of[i].rule == one->rule && memory->of[i].step == step)
			return &memory->of[i];
	return NULL;
}

static bool
alerts(const struct explain_rule *one, const struct explain_memory *memory)
{
	for (unsigned i = 0; memory != NULL && i < memory->n; i++)
		if (memory->of[i].rule == one->rule && memory->of[i].alerts)
			return true;
	return false;
}

/* "5 events within 10000 ms in one process, for each net.host" */
static void
print_terms(const struct rule_memory *m)
{
	(void)printf("    %s: ", rule_memory_name(m->kind));
	if (m->kind == RULE_THRESHOLD)
		(void)printf("%u events ", m->count);
	else if (m->kind == RULE_SEQUENCE)
		(void)printf("%u steps ", m->n_steps);
	if (m->within_ms > 0)
		(void)printf("within %llu ms ", (unsigned long long)m->within_ms);
	(void)printf("in one %s", rule_scope_name(m->scope));
	for (unsigned i = 0; i < m->n_per; i++)
		(void)printf("%s %s", i > 0 ? "," : ", for each", pyaudit_fields[m->per[i]].name);
}

static void
print_steps(unsigned steps)
{
	if (steps == 0)
		(void)fputs("nothing before it", stdout);
	for (unsigned i = 0; steps >> i != 0; i++)
		if ((steps >> i & 1) != 0)
			(void)printf("%s %u", (steps & ((1u << i) - 1)) == 0 ? "after" : ",", i + 1);
}

static void
print_state(const struct rule_memory *m, const struct explain_remembered *remembered)
{
	const struct memory_state *state = &remembered->state;

	switch (m->kind) {
	case RULE_THRESHOLD:
		(void)printf("; this is number %u", state->n + 1);
		break;
	case RULE_SEQUENCE:
		(void)printf("; step %u, ", remembered->step);
		print_steps(state->steps);
		break;
	case RULE_FIRST_SEEN:
		(void)fputs(state->is_known ? "; seen before" : "; new", stdout);
		break;
	case RULE_ABSENCE:
		if (remembered->step == 0)
			(void)fputs("; begins to wait", stdout);
		else
			(void)printf("; ends %u that wait%s", state->n, state->n == 1 ? "s" : "");
		break;
	default:
		break;
	}
}

void
explain_memory_print(const struct explain_rule *one, const struct explain_memory *memory)
{
	const struct rule_memory *m = &one->rule->memory;

	if (m->kind == RULE_NO_MEMORY)
		return;
	print_terms(m);
	for (unsigned step = 0; step <= m->n_steps; step++) {
		const struct explain_remembered *remembered = find(memory, one, step);

		if (remembered != NULL)
			print_state(m, remembered);
	}
	(void)puts(alerts(one, memory) ? ": it alerts" : "");
}

void
explain_memory_json(struct json *json, const struct explain_rule *one,
		    const struct explain_memory *memory)
{
	const struct rule_memory *m = &one->rule->memory;

	json_key(json, "memory");
	if (m->kind == RULE_NO_MEMORY) {
		json_null(json);
		return;
	}
	json_object(json);
	json_key(json, "kind");
	json_str(json, rule_memory_name(m->kind));
	json_key(json, "steps"); /* that this event is */
	json_array(json);
	for (unsigned step = 1; step <= m->n_steps; step++)
		if ((one->matched >> step & 1) != 0)
			json_uint(json, step);
	json_array_end(json);
	for (unsigned step = 0; step <= m->n_steps; step++) {
		const struct explain_remembered *remembered = find(memory, one, step);

		if (remembered == NULL)
			continue;
		if (m->kind == RULE_THRESHOLD || m->kind == RULE_ABSENCE) {
			json_key(json, m->kind == RULE_THRESHOLD ? "count" : "waiting");
			json_uint(json, remembered->state.n);
		} else if (m->kind == RULE_FIRST_SEEN) {
			json_key(json, "known");
			json_bool(json, remembered->state.is_known);
		}
		break;
	}
	json_key(json, "alerts");
	if (memory != NULL)
		json_bool(json, alerts(one, memory));
	else
		json_null(json);
	json_object_end(json);
}

void
explain_memory_print_alerts(const struct explain_memory *memory)
{
	unsigned n = 0;

	for (unsigned i = 0; memory != NULL && i < memory->n; i++)
		if (memory->of[i].alerts)
			(void)printf("%s %s", n++ == 0 ? "; from memory alert" : ",",
				     memory->of[i].rule->id);
}
