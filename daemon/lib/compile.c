/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler of policy images (include/pyaudit/policy.h).
 *
 * Three steps. Each rule's condition becomes a graph of nodes over tests; equal tests are shared.
 * For each rule a set of triggers is chosen: texts, numbers and addresses of which one must
 * be met for the condition to hold at all. Of an AND the best part's will do, of an OR all are
 * needed, of a NOT nothing is known; a rule without any is looked at always. Last, the rules of
 * each event are gathered into a program, whose indexes lead from a field's value to the rules that
 * have a trigger there. Events with the same rules share a program.
 *
 * The image is written from start to end into one buffer, parts before those that refer to them;
 * only the header is filled in at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "event_fields.h"

/* Programs. */

/* Which of the rules that allow @target are asked about the events of this program. */
static void
put_allow(struct compiler *c, unsigned target, const uint16_t *members, size_t n_members,
	  struct pyaudit_program_rule *ret)
{
	uint16_t *rules = malloc((c->n_allowed_by[target] + 1) * sizeof(*rules));
	size_t n = 0, k = 0;
	struct pyaudit_list list;

	if (rules == NULL) {
		c->no_memory = true;
		return;
	}
	for (size_t i = 0; i < c->n_allowed_by[target]; i++) {
		while (k < n_members && members[k] < c->allowed_by[target][i])
			k++;
		if (k < n_members && members[k] == c->allowed_by[target][i])
			rules[n++] = members[k];
	}
	list = image_put_list(c, rules, n);
	ret->allow = list.at;
	ret->n_allow = pyaudit_le16_of((uint16_t)n);
	free(rules);
}

unsigned
compiler_dearness(unsigned field)
{
	if (field == PYAUDIT_F_CALLER_PACKAGE || field == PYAUDIT_F_STACK_PACKAGE)
		return 2;
	if (field == PYAUDIT_F_FILE_REAL || field == PYAUDIT_F_FILE_REAL_TARGET)
		return 3;
	return pyaudit_fields[field].scope == PYAUDIT_SCOPE_ORIGIN;
}

static bool
tests_ask_for(const struct compiler *c, unsigned dearness)
{
	for (size_t i = 0; i < c->n_tests; i++)
		if (compiler_dearness(c->tests[i].field) == dearness)
			return true;
	return false;
}

static bool
names_real(const uint16_t *fields, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (compiler_dearness(fields[i]) == 3)
			return true;
	return false;
}

/* Where paths lead is found in the program alone: records have to say it also to those who count by it. */
static bool
asks_for_real(const struct compiler *c)
{
	if (tests_ask_for(c, 3))
		return true;
	for (size_t i = 0; i < c->set->n_rules; i++) {
		const struct rule *rule = &c->set->rules[i];
		const struct rule_memory *memory = &rule->memory;

		if ((rule->message != NULL && strstr(rule->message, "{file.real") != NULL) ||
		    names_real(rule->limit.per, rule->limit.n_per) ||
		    names_real(memory->per, memory->n_per))
			return true;
		for (unsigned k = 0; k < memory->n_steps; k++)
			if (names_real(memory->steps[k].by, memory->steps[k].n_by))
				return true;
	}
	return false;
}

/* Fields that lead to a rule, a bit each. */
static uint64_t
fields_of(const struct access *access)
{
	uint64_t fields = 0;

	for (size_t i = 0; access->known && i < access->n; i++)
		fields |= UINT64_C(1) << access->triggers[i].field;
	return fields;
}

/* @members are the rules of the event, allow rules too, in order; it may have @fields, a bit each: nothing else leads to
 * a rule. */
static uint32_t
put_program(struct compiler *c, const uint16_t *members, size_t n_members, uint64_t fields)
{
	struct index_plan *plans = calloc(N_EVENT_FIELDS, sizeof(*plans));
	struct pyaudit_program_rule *own = calloc(n_members + 1, sizeof(*own));
	uint16_t *always = calloc(n_members + 1, sizeof(*always));
	struct pyaudit_index indexes[N_EVENT_FIELDS];
	size_t n = 0, n_always = 0, n_indexes = 0;
	struct pyaudit_program program;
	uint32_t offset = 0;

	if (plans == NULL || own == NULL || always == NULL) {
		c->no_memory = true;
		goto out;
	}
	for (size_t i = 0; i < n_members; i++) {
		const struct access *access = &c->access[members[i]];

		if (c->set->rules[members[i]].allow || (access->known && (fields_of(access) & fields) == 0))
			continue;
		own[n].rule = pyaudit_le16_of(members[i]);
		put_allow(c, members[i], members, n_members, &own[n]);
		if (!access->known)
			always[n_always++] = (uint16_t)n;
		for (size_t k = 0; access->known && k < access->n; k++)
			if ((fields >> access->triggers[k].field & 1) != 0)
				index_plan_add(c, &plans[access->triggers[k].field], &access->triggers[k],
					       (unsigned)n);
		n++;
	}
	if (n == 0)
		goto out;
	for (unsigned pass = 0; pass <= DEAREST; pass++)
		for (unsigned field = 0; field < N_EVENT_FIELDS; field++)
			if (plans[field].used && compiler_dearness(field) == pass)
				indexes[n_indexes++] = index_put(c, field, &plans[field]);
	program.rules = image_put_table(c, own, n, sizeof(*own));
	program.n_rules = pyaudit_le32_of((uint32_t)n);
	program.always = image_put_list(c, always, n_always);
	program.indexes = image_put_table(c, indexes, n_indexes, sizeof(*indexes));
	program.n_indexes = pyaudit_le32_of((uint32_t)n_indexes);
	offset = image_put(c, &program, sizeof(program), 8);
out:
	for (unsigned field = 0; plans != NULL && field < N_EVENT_FIELDS; field++)
		index_plan_fini(&plans[field]);
	free(plans);
	free(own);
	free(always);
	return offset;
}

/* Of the fields that lead to these rules, those that the event may have. */
static uint64_t
fields_for(const struct compiler *c, unsigned event, const uint16_t *members, size_t n)
{
	uint64_t asked = 0, fields = 0;

	for (size_t i = 0; i < n; i++)
		asked |= fields_of(&c->access[members[i]]);
	for (unsigned field = 0; field < N_EVENT_FIELDS; field++)
		if ((asked >> field & 1) != 0 && event_may_have(event, field))
			fields |= UINT64_C(1) << field;
	return fields;
}

/* Takes @members. */
static uint32_t
program_of(struct compiler *c, unsigned event, uint16_t *members, size_t n)
{
	uint64_t hash = pyaudit_text_hash((const char *)members, n * sizeof(*members));
	uint64_t fields = fields_for(c, event, members, n);
	struct program_entry *entry;

	for (size_t i = 0; i < c->n_programs; i++) {
		entry = &c->programs[i];
		if (entry->hash == hash && entry->fields == fields && entry->n_rules == n &&
		    memcmp(entry->rules, members, n * sizeof(*members)) == 0) {
			free(members);
			return entry->offset;
		}
	}
	if (!compiler_grow(c, &c->programs, c->n_programs, &c->programs_size,
			   sizeof(*c->programs))) {
		free(members);
		return 0;
	}
	entry = &c->programs[c->n_programs++];
	*entry = (struct program_entry){.hash = hash, .fields = fields, .rules = members, .n_rules = n};
	entry->offset = put_program(c, members, n, fields);
	return entry->offset;
}

/* Slots. */

static bool
names_event(const struct rule *rule, unsigned event)
{
	return (rule->events[event / 8] >> event % 8 & 1) != 0;
}

/* Rules of an event of the table, or of one of a library by its name (NULL: of all others). */
static uint32_t
program_for(struct compiler *c, unsigned event, const char *name)
{
	uint16_t *members = malloc((c->set->n_rules + 1) * sizeof(*members));
	size_t n = 0;

	if (members == NULL) {
		c->no_memory = true;
		return 0;
	}
	for (size_t i = 0; i < c->set->n_rules; i++) {
		const struct rule *rule = &c->set->rules[i];
		bool member = names_event(rule, event);

		for (size_t k = 0; name != NULL && !member && k < rule->n_other_events; k++)
			member = strcmp(rule->other_events[k], name) == 0;
		if (member)
			members[n++] = (uint16_t)i;
	}
	return program_of(c, event, members, n);
}

/* 1 + the argument by which pyaudit_glance can say that no rule is concerned: that of all indexes; or 0. */
static uint8_t
glance_of(const struct compiler *c, unsigned event, uint32_t offset)
{
	struct pyaudit_program program;
	struct pyaudit_index index;
	unsigned glance, ret = 0;

	if (offset == 0 || c->out.failed)
		return 0;
	memcpy(&program, c->out.data + offset, sizeof(program));
	if (pyaudit_get32(program.always.n) != 0)
		return 0;
	for (uint32_t i = 0; i < pyaudit_get32(program.n_indexes); i++) {
		memcpy(&index, c->out.data + pyaudit_get32(program.indexes) + i * sizeof(index), sizeof(index));
		glance = pyaudit_index_glance(event, &index);
		if (glance == 0 || (i > 0 && glance != ret))
			return 0;
		ret = glance;
	}
	return (uint8_t)ret;
}

static struct pyaudit_slot
make_slot(struct compiler *c, unsigned event, const char *name, bool record)
{
	uint32_t program = program_for(c, event, name);
	struct pyaudit_slot slot = {.event = pyaudit_le16_of((uint16_t)event),
				    .program = pyaudit_le32_of(program),
				    .glance = glance_of(c, event, program)};

	slot.flags = (uint8_t)((record ? PYAUDIT_SLOT_RECORD : 0) | (program != 0 ? PYAUDIT_SLOT_JUDGE : 0));
	return slot;
}

struct slots {
	struct pyaudit_slot *slots;
	const char **names;
	size_t n, size, names_size;
};

static void
add_slot(struct compiler *c, struct slots *slots, const char *name, struct pyaudit_slot slot)
{
	if (!compiler_grow(c, &slots->slots, slots->n, &slots->size, sizeof(*slots->slots)) ||
	    !compiler_grow(c, &slots->names, slots->n, &slots->names_size, sizeof(*slots->names)))
		return;
	slot.name = image_put_text(c, name, strlen(name) + 1);
	slot.name_len = pyaudit_le32_of((uint32_t)strlen(name));
	slots->names[slots->n] = name;
	slots->slots[slots->n++] = slot;
}

static int
compare_names(const void *a, const void *b)
{
	const char *x, *y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return strcmp(x, y);
}

/* Names of libraries' events that rules mention, each once. */
static size_t
other_names(struct compiler *c, const char ***ret)
{
	size_t n = 0, k = 0;
	const char **names;

	for (size_t i = 0; i < c->set->n_rules; i++)
		n += c->set->rules[i].n_other_events;
	names = compiler_take(c, (n + 1) * sizeof(*names));
	if (names == NULL)
		return 0;
	n = 0;
	for (size_t i = 0; i < c->set->n_rules; i++)
		for (size_t j = 0; j < c->set->rules[i].n_other_events; j++) {
			const char *name = c->set->rules[i].other_events[j];

			if (name[0] != '\0' && pyaudit_event_by_name(name, strlen(name)) == 0)
				names[n++] = name;
		}
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(names[i], names[k - 1]) != 0)
			names[k++] = names[i];
	*ret = names;
	return k;
}

static bool
asks_for(struct compiler *c, unsigned event)
{
	return make_slot(c, event, NULL, compile_records(c->options, event)).flags != 0;
}

/* Whether the libc layer, or a second audit event of the same act, asks for what this event announces: agent/announce.c,
 * act_of and announced_second. */
static bool
announces(struct compiler *c, unsigned event)
{
	uint16_t class = pyaudit_events[event].classes & PYAUDIT_CLASS_EXEC;
	bool wanted = class != 0 && (asks_for(c, PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC) ||
				     asks_for(c, PYAUDIT_EV_OS_POSIX_SPAWN) || asks_for(c, PYAUDIT_EV_OS_EXEC));

	if (event == PYAUDIT_EV_SOCKET_CONNECT)
		return asks_for(c, PYAUDIT_EV_LIBC_CONNECT);
	for (unsigned libc = PYAUDIT_EV_LIBC_EXEC; class != 0 && libc <= PYAUDIT_EV_LIBC_SYSTEM; libc++)
		wanted |= asks_for(c, libc);
	return wanted;
}

bool
compile_records(const struct compile_options *options, unsigned event)
{
	uint16_t classes = pyaudit_events[event].classes;

	return (classes & PYAUDIT_CLASS_NOISE) == 0 &&
	       (options->record_all || (classes & options->record) != 0);
}

/* Whether an event that nobody asks for is remembered for alerts: of audit events those that "all" means. */
static bool
is_context(const struct compile_options *options, unsigned event)
{
	return options->context_all && options->context > 0 &&
	       (pyaudit_events[event].classes & PYAUDIT_CLASS_NOISE) == 0 &&
	       (event == PYAUDIT_EV_OTHER || (strncmp(pyaudit_events[event].name, "libc.", 5) != 0 &&
					      strncmp(pyaudit_events[event].name, "pyaudit.", 8) != 0));
}

static void
put_slots(struct compiler *c, struct pyaudit_image *head)
{
	const struct compile_options *options = c->options;
	struct slots slots = {NULL, NULL, 0, 0, 0};
	struct pyaudit_slot *table, slot;
	const char **others = NULL;
	size_t n_others, size;

	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++) {
		const struct pyaudit_event_info *info = &pyaudit_events[event];

		slot = make_slot(c, event, NULL, compile_records(options, event));
		if (announces(c, event))
			slot.flags |= PYAUDIT_SLOT_ANNOUNCE;
		if (slot.flags == 0 && is_context(options, event))
			slot.flags = PYAUDIT_SLOT_CONTEXT;
		if (slot.flags != 0 || options->record_all)
			add_slot(c, &slots, info->name, slot);
	}
	n_others = other_names(c, &others);
	for (size_t i = 0; i < n_others; i++) {
		slot = make_slot(c, PYAUDIT_EV_OTHER, others[i], options->record_all);
		add_slot(c, &slots, others[i], slot);
	}
	head->other = make_slot(c, PYAUDIT_EV_OTHER, NULL, options->record_all);
	if (head->other.flags == 0 && is_context(options, PYAUDIT_EV_OTHER))
		head->other.flags = PYAUDIT_SLOT_CONTEXT;
	/* A known event without a slot would pass for one of the others. */
	for (unsigned event = 1;
	     head->other.flags != 0 && !options->record_all && event < PYAUDIT_N_EVENTS; event++) {
		const char *name = pyaudit_events[event].name;
		size_t i = 0;

		while (i < slots.n && strcmp(slots.names[i], name) != 0)
			i++;
		if (i == slots.n)
			add_slot(c, &slots, name,
				 (struct pyaudit_slot){.event = pyaudit_le16_of((uint16_t)event)});
	}

	head->slot_bits = pyaudit_le32_of(image_bits_for(2 * slots.n + 8));
	size = (size_t)1 << pyaudit_get32(head->slot_bits);
	table = calloc(size, sizeof(*table));
	if (table == NULL)
		c->no_memory = true;
	for (size_t i = 0; i < slots.n && table != NULL; i++) {
		size_t len = strlen(slots.names[i]);
		uint64_t a, b;
		size_t at;

		pyaudit_ends(slots.names[i], len, &a, &b);
		at = (uint32_t)(pyaudit_name_hash(a, b, len) >> 32);
		while (pyaudit_get32(table[at % size].name) != 0)
			at++;
		table[at % size] = slots.slots[i];
	}
	if (table != NULL)
		head->slots = pyaudit_le32_of(image_put(c, table, size * sizeof(*table), 64));
	free(table);
	free(slots.slots);
	free(slots.names);
}

/* The whole. */

static bool
allow_rule(struct compiler *c, size_t target, size_t by)
{
	size_t n = c->n_allowed_by[target];
	uint16_t *list;

	if (n > 0 && c->allowed_by[target][n - 1] == by)
		return true;
	list = realloc(c->allowed_by[target], (n + 1) * sizeof(*list));
	if (list == NULL)
		return false;
	list[n] = (uint16_t)by;
	c->allowed_by[target] = list;
	c->n_allowed_by[target]++;
	return true;
}

/* Turns `over` around: each rule, and each of its parts, gets the list of those that allow it, in order. */
static void
gather_allow(struct compiler *c)
{
	const struct rule_set *set = c->set;

	for (size_t i = 0; i < set->n_rules; i++) {
		const struct rule *rule = &set->rules[i];

		for (size_t k = 0; rule->allow && k < rule->n_over; k++) {
			/* Parts stand behind the rules and have their rule's id, as have other forms of
			 * it in units with a profile of their own. */
			for (size_t at = 0; at < set->n_rules; at++)
				if (strcmp(set->rules[at].id, rule->over[k]) == 0 &&
				    !allow_rule(c, at, i)) {
					c->no_memory = true;
					return;
				}
		}
	}
}

static int
compare_offsets(const void *a, const void *b)
{
	uint32_t x = pyaudit_get32(*(const pyaudit_le32 *)a), y = pyaudit_get32(*(const pyaudit_le32 *)b);

	return (x > y) - (x < y);
}

static size_t
unique_offsets(pyaudit_le32 *offsets, size_t n)
{
	size_t n_kept = 0;

	for (size_t i = 0; i < n; i++)
		if (n_kept == 0 || compare_offsets(&offsets[n_kept - 1], &offsets[i]) != 0)
			offsets[n_kept++] = offsets[i];
	return n_kept;
}

/* In ascending order, each once: two that are the same stand at one place. */
static void
put_program_table(struct compiler *c, struct pyaudit_image *head)
{
	pyaudit_le32 *programs = compiler_take(c, (c->n_programs + 1) * sizeof(*programs));
	size_t n = 0;

	for (size_t i = 0; programs != NULL && i < c->n_programs; i++)
		if (c->programs[i].offset != 0)
			programs[n++] = pyaudit_le32_of(c->programs[i].offset);
	if (n > 0)
		qsort(programs, n, sizeof(*programs), compare_offsets);
	n = unique_offsets(programs, n);
	head->programs = image_put_table(c, programs, n, sizeof(*programs));
	head->n_programs = pyaudit_le32_of((uint32_t)n);
}

static size_t
forms_size(const struct pyaudit_forms *forms)
{
	return sizeof(*forms) + pyaudit_get32(forms->n) * sizeof(forms->form[0]);
}

static int
compile(struct compiler *c)
{
	const struct rule_set *set = c->set;
	struct pyaudit_image head;

	memset(&head, 0, sizeof(head));
	buf_add(&c->out, &head, sizeof(head)); /* filled in at the end */
	c->access = calloc(set->n_rules + 1, sizeof(*c->access));
	c->rules = calloc(set->n_rules + 1, sizeof(*c->rules));
	c->allowed_by = calloc(set->n_rules + 1, sizeof(*c->allowed_by));
	c->n_allowed_by = calloc(set->n_rules + 1, sizeof(*c->n_allowed_by));
	if (c->access == NULL || c->rules == NULL || c->allowed_by == NULL ||
	    c->n_allowed_by == NULL)
		return -ENOMEM;

	for (size_t i = 0; i < set->n_rules; i++) {
		const struct rule *rule = &set->rules[i];

		compile_rule(c, rule, &c->rules[i]);
		if (rule->when != NULL)
			c->access[i] = access_of(c, rule->when, false);
	}
	if (c->no_memory)
		return -ENOMEM;
	if (c->mistakes)
		return RULES_E_INVALID;
	gather_allow(c);
	put_slots(c, &head);

	head.magic = pyaudit_le32_of(PYAUDIT_IMAGE_MAGIC);
	head.major = pyaudit_le16_of(PYAUDIT_IMAGE_MAJOR);
	head.minor = pyaudit_le16_of(PYAUDIT_IMAGE_MINOR);
	head.flags = pyaudit_le32_of(c->options->flags |
				     c->options->context << PYAUDIT_IMAGE_CONTEXT_SHIFT |
				     (c->options->observe ? PYAUDIT_IMAGE_OBSERVE : 0) |
				     (tests_ask_for(c, 2) ? PYAUDIT_IMAGE_PACKAGES : 0) |
				     (asks_for_real(c) ? PYAUDIT_IMAGE_REAL : 0));
	head.generation = pyaudit_le64_of(c->options->generation);
	head.rules = image_put_table(c, c->rules, set->n_rules, sizeof(*c->rules));
	head.n_rules = pyaudit_le32_of((uint32_t)set->n_rules);
	head.tests = image_put_table(c, c->tests, c->n_tests, sizeof(*c->tests));
	head.n_tests = pyaudit_le32_of((uint32_t)c->n_tests);
	head.proc_tests =
		image_put_table(c, c->proc_tests, c->n_proc_tests, sizeof(*c->proc_tests));
	head.n_proc_tests = pyaudit_le32_of((uint32_t)c->n_proc_tests);
	put_program_table(c, &head);
	if (c->set->forms != NULL)
		head.forms = pyaudit_le32_of(image_put(c, c->set->forms, forms_size(c->set->forms), 8));
	head.size = pyaudit_le32_of((uint32_t)c->out.len);
	if (c->too_large) {
		diag_add(c->diag, DIAG_ERROR, set->n_files > 0 ? set->files[0] : NULL, 0, 0,
			 "the rules make a policy of more than %u MiB",
			 PYAUDIT_IMAGE_SIZE_MAX >> 20);
		return RULES_E_INVALID;
	}
	if (c->no_memory || c->out.failed)
		return -ENOMEM;
	memcpy(c->out.data, &head, sizeof(head));
	head.checksum = pyaudit_le64_of(pyaudit_image_checksum(c->out.data, c->out.len));
	memcpy(c->out.data, &head, sizeof(head));
	return 0;
}

static void
compiler_fini(struct compiler *c)
{
	while (c->blocks != NULL) {
		struct block *block = c->blocks;

		c->blocks = block->next;
		free(block);
	}
	for (size_t i = 0; i < c->set->n_rules; i++) {
		if (c->access != NULL)
			access_fini(&c->access[i]);
		if (c->allowed_by != NULL)
			free(c->allowed_by[i]);
	}
	for (size_t i = 0; i < c->n_programs; i++)
		free(c->programs[i].rules);
	free(c->programs);
	free(c->access);
	free(c->rules);
	free(c->allowed_by);
	free(c->n_allowed_by);
	free(c->tests);
	free(c->table);
	free(c->proc_tests);
	free(c->placed);
	buf_fini(&c->built);
	buf_fini(&c->out);
}

int
compile_rules(struct image *ret_image, const struct rule_set *set,
	      const struct compile_options *options, struct diag *diag)
{
	struct rule_set expanded = {.rules = NULL};
	struct compiler c = {.set = &expanded, .options = options, .diag = diag};
	int r;

	buf_init(&c.out);
	buf_init(&c.built);
	r = compile_expand(&c, set, &expanded) ? 0 : -ENOMEM;
	if (r == 0 && expanded.n_rules > PYAUDIT_RULES_MAX) {
		diag_add(diag, DIAG_ERROR, NULL, 0, 0,
			 "more than %d rules, steps and exceptions counted", PYAUDIT_RULES_MAX);
		return RULES_E_INVALID;
	}
	if (r == 0)
		r = compile(&c);
	else
		expanded.n_rules = 0;
	if (r == 0) {
		ret_image->size = c.out.len;
		ret_image->bytes = aligned_alloc(64, (c.out.len + 63) & ~(size_t)63);
		if (ret_image->bytes == NULL)
			r = -ENOMEM;
		else
			memcpy(ret_image->bytes, c.out.data, c.out.len);
	}
	if (r == 0) {
		r = pyaudit_image_check(ret_image->bytes, ret_image->size);
		if (r != 0)
			image_fini(ret_image); /* our own mistake: better none than a wrong one */
	}
	compiler_fini(&c);
	free(expanded.rules);
	return r;
}

void
image_fini(struct image *image)
{
	free(image->bytes);
	image->bytes = NULL;
	image->size = 0;
}
