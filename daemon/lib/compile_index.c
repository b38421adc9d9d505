/* SPDX-License-Identifier: Apache-2.0 */
/* The index of one field in one program: its triggers, sorted into the ways to look a value up. */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

static int
compare_numbered(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static void
plan_key(struct compiler *c, struct index_plan *plan, enum key_group group, const char *text,
	 size_t len, bool end, unsigned rule)
{
	if (!compiler_grow(c, &plan->keys[group], plan->n[group], &plan->size[group],
			   sizeof(struct key)))
		return;
	plan->keys[group][plan->n[group]++] = (struct key){
		.text = text, .len = (uint16_t)len, .end = end, .rule = (uint16_t)rule};
}

static const char *
reversed(struct compiler *c, const char *text, size_t len)
{
	char *copy = compiler_take(c, len + 1);

	for (size_t i = 0; i < len && copy != NULL; i++)
		copy[i] = text[len - 1 - i];
	return copy;
}

static const char *
folded(struct compiler *c, const char *text, size_t len)
{
	char *copy = compiler_take(c, len + 1);

	for (size_t i = 0; i < len && copy != NULL; i++)
		copy[i] = (char)(text[i] | 0x20);
	return copy;
}

void
index_plan_add(struct compiler *c, struct index_plan *plan, const struct trigger *t, unsigned rule)
{
	const char *text = t->text;

	plan->used = true;
	switch ((enum trigger_kind)t->kind) {
	case TRIGGER_WHOLE:
		plan_key(c, plan, KEYS_FORWARD, text, t->len, true, rule);
		break;
	case TRIGGER_UNDER:
		plan_key(c, plan, KEYS_PATHS, "", 0, false, rule);
		plan_key(c, plan, KEYS_FORWARD, text, t->len, false, rule);
		break;
	case TRIGGER_PREFIX:
		plan_key(c, plan, KEYS_FORWARD, text, t->len, false, rule);
		break;
	case TRIGGER_SUFFIX:
		text = reversed(c, text, t->len);
		if (text != NULL)
			plan_key(c, plan, KEYS_BACKWARD, text, t->len, false, rule);
		break;
	case TRIGGER_WITHIN:
		text = folded(c, text, t->len);
		if (text != NULL)
			plan_key(c, plan,
				 t->len >= 4   ? KEYS_GRAM4
				 : t->len >= 2 ? KEYS_GRAM2
					       : KEYS_GRAM1,
				 text, t->len, false, rule);
		break;
	case TRIGGER_NUMBER:
		if (compiler_grow(c, &plan->numbers, plan->n_numbers, &plan->numbers_size,
				  sizeof(*plan->numbers)))
			plan->numbers[plan->n_numbers++] =
				(struct numbered){t->number, (uint16_t)rule};
		break;
	case TRIGGER_ADDRESS:
		plan_key(c, plan, KEYS_ADDRESS, text, t->len, false, rule);
		break;
	case TRIGGER_GLOB:
	case TRIGGER_REGEX:
		plan_key(c, plan, t->kind == TRIGGER_GLOB ? KEYS_GLOB : KEYS_REGEX, text, t->len,
			 false, rule);
		break;
	case TRIGGER_ANY:
		plan_key(c, plan, KEYS_ANY, "", 0, false, rule);
		break;
	}
}

void
index_plan_fini(struct index_plan *plan)
{
	for (unsigned i = 0; i < N_KEY_GROUPS; i++)
		free(plan->keys[i]);
	free(plan->numbers);
}

static void
put_numbers(struct compiler *c, struct index_plan *plan, struct pyaudit_index *index)
{
	size_t n = 0;
	struct pyaudit_index_int *entries;
	uint16_t *rules;

	if (plan->n_numbers == 0)
		return;
	entries = calloc(plan->n_numbers, sizeof(*entries));
	rules = calloc(plan->n_numbers, sizeof(*rules));
	if (entries == NULL || rules == NULL) {
		c->no_memory = true;
		goto out;
	}
	qsort(plan->numbers, plan->n_numbers, sizeof(*plan->numbers), compare_numbered);
	for (size_t i = 0; i < plan->n_numbers;) {
		int64_t value = plan->numbers[i].value;
		size_t n_rules = 0;

		for (; i < plan->n_numbers && plan->numbers[i].value == value; i++)
			if (n_rules == 0 || rules[n_rules - 1] != plan->numbers[i].rule)
				rules[n_rules++] = plan->numbers[i].rule;
		entries[n].value = pyaudit_le64_of((uint64_t)value);
		entries[n++].rules = image_put_list(c, rules, n_rules);
	}
	index->ints = image_put_table(c, entries, n, sizeof(*entries));
	index->n_ints = pyaudit_le32_of((uint32_t)n);
out:
	free(entries);
	free(rules);
}

static int
compare_rules(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

struct automata {
	struct pyaudit_index_automaton *entries;
	size_t n, size;
};

/* As few automata as the limits allow: all patterns in one, or else each half by itself. */
static void
put_automata(struct compiler *c, struct automata *automata, struct pattern **patterns,
	     struct key *keys, size_t n)
{
	struct dfa dfa;
	int r;

	if (n == 0 || c->no_memory)
		return;
	if (n == 1)
		r = pattern_dfa(&dfa, patterns[0]);
	else if (n <= UNION_MAX)
		r = pattern_dfa_union(&dfa, (const struct pattern *const *)patterns, n);
	else
		r = PATTERN_E_TOO_LARGE;
	if (r == PATTERN_E_TOO_LARGE && n > 1) {
		put_automata(c, automata, patterns, keys, n / 2);
		put_automata(c, automata, patterns + n / 2, keys + n / 2, n - n / 2);
		return;
	}
	if (r != 0 || !compiler_grow(c, &automata->entries, automata->n, &automata->size,
				     sizeof(*automata->entries))) {
		c->no_memory = true;
		if (r == 0)
			dfa_fini(&dfa);
		return;
	}
	qsort(keys, n, sizeof(*keys), compare_rules);
	automata->entries[automata->n].dfa = image_put_dfa(c, &dfa);
	automata->entries[automata->n++].rules = index_put_rules(c, keys, n);
	dfa_fini(&dfa);
}

static void
put_patterns(struct compiler *c, struct index_plan *plan, struct pyaudit_index *index)
{
	struct automata automata = {NULL, 0, 0};

	for (unsigned group = KEYS_GLOB; group <= KEYS_REGEX; group++) {
		size_t n = 0;
		struct pattern **patterns = calloc(plan->n[group] + 1, sizeof(struct pattern *));
		struct pattern_error error;

		c->no_memory = c->no_memory || patterns == NULL;
		for (; patterns != NULL && n < plan->n[group]; n++) {
			const struct key *key = &plan->keys[group][n];

			if (pattern_parse(&patterns[n],
					  group == KEYS_GLOB ? PATTERN_GLOB : PATTERN_REGEX,
					  key->text, key->len, &error) != 0) {
				c->no_memory = true; /* all were parsed before */
				break;
			}
		}
		put_automata(c, &automata, patterns, plan->keys[group], n);
		while (n > 0)
			pattern_free(patterns[--n]);
		free(patterns);
	}
	index->n_automata = pyaudit_le16_of((uint16_t)automata.n);
	index->automata =
		image_put_table(c, automata.entries, automata.n, sizeof(*automata.entries));
	free(automata.entries);
}

struct pyaudit_index
index_put(struct compiler *c, unsigned field, struct index_plan *plan)
{
	static const uint8_t parts[N_KEY_GROUPS] = {
		[KEYS_FORWARD] = PYAUDIT_INDEX_FORWARD,	 [KEYS_BACKWARD] = PYAUDIT_INDEX_BACKWARD,
		[KEYS_ADDRESS] = PYAUDIT_INDEX_ADDRESS,	 [KEYS_GRAM4] = PYAUDIT_INDEX_GRAMS << 0,
		[KEYS_GRAM2] = PYAUDIT_INDEX_GRAMS << 1, [KEYS_GRAM1] = PYAUDIT_INDEX_GRAMS << 2,
		[KEYS_ANY] = PYAUDIT_INDEX_ANY,		 [KEYS_PATHS] = PYAUDIT_INDEX_PATHS,
	};
	struct pyaudit_index index = {.field = (uint8_t)field};

	for (unsigned i = KEYS_GRAM4; i <= KEYS_PATHS; i++)
		if (plan->n[i] > 0)
			qsort(plan->keys[i], plan->n[i], sizeof(struct key), index_key_compare);
	index.any = index_put_rules(c, plan->keys[KEYS_ANY], plan->n[KEYS_ANY]);
	index.paths = index_put_rules(c, plan->keys[KEYS_PATHS], plan->n[KEYS_PATHS]);
	index.forward = index_put_trie(c, plan->keys[KEYS_FORWARD], plan->n[KEYS_FORWARD], false);
	index.backward = index_put_trie(c, plan->keys[KEYS_BACKWARD], plan->n[KEYS_BACKWARD], true);
	index.address = index_put_trie(c, plan->keys[KEYS_ADDRESS], plan->n[KEYS_ADDRESS], false);
	for (unsigned i = 0; i < 3; i++)
		if (plan->n[KEYS_GRAM4 + i] > 0)
			index.grams[i] = index_put_grams(c, plan->keys[KEYS_GRAM4 + i],
							 plan->n[KEYS_GRAM4 + i], 4u >> i);
	for (unsigned i = 0; i < N_KEY_GROUPS; i++)
		if (plan->n[i] > 0)
			index.parts |= parts[i];
	put_numbers(c, plan, &index);
	put_patterns(c, plan, &index);
	return index;
}
