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
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "compile.h"
#include "pattern.h"
#include "verdict.h"

#define N_EVENT_FIELDS PYAUDIT_F_PROC_PID
#define SET_FROM 9	   /* texts of an equality test that make a hash table */
#define UNION_MAX 32	   /* patterns of one test that are tried as one automaton */
#define TRIGGER_LEN_MAX 64 /* a longer text is looked up by its first or last bytes */
#define GRAM_LITERAL_MAX 128
#define FILTER_BITS_MAX 17 /* 16 KiB: stays in the first-level cache */

/* Memory that lives as long as the compiler. */
struct block {
	struct block *next;
	size_t used, size;
	char bytes[];
};

enum trigger_kind {
	TRIGGER_WHOLE,
	TRIGGER_PREFIX,
	TRIGGER_UNDER,
	TRIGGER_SUFFIX,
	TRIGGER_WITHIN,
	TRIGGER_NUMBER,
	TRIGGER_ADDRESS,
	TRIGGER_GLOB,
	TRIGGER_REGEX,
	TRIGGER_ANY,
};

struct trigger {
	uint8_t kind;
	uint8_t field;
	uint16_t len;
	const char *text;
	int64_t number;
};

/* What a condition cannot hold without. */
struct access {
	bool known; /* else nothing is: the rule is looked at always */
	int worth;  /* of the weakest */
	struct trigger *triggers;
	size_t n, size;
};

struct test_entry {
	uint64_t hash;
	const struct expr *expr;
	uint32_t index;
};

struct program_entry {
	uint64_t hash;
	uint16_t *rules;
	size_t n_rules;
	uint32_t offset; /* 0: no rule of it can match */
};

struct compiler {
	const struct rule_set *set;
	const struct compile_options *options;
	struct diag *diag;
	struct buf out;
	struct block *blocks;
	bool no_memory;
	bool too_large;
	bool mistakes;

	struct pyaudit_test *tests;
	size_t n_tests, tests_size;
	struct test_entry *table; /* of tests, open addressing */
	size_t table_size;
	pyaudit_le32 *proc_tests;
	size_t n_proc_tests, proc_tests_size;

	struct access *access;	    /* of each rule */
	struct pyaudit_rule *rules; /* as they go into the image */
	uint16_t **allowed_by;	    /* of each rule: the allow rules that name it */
	size_t *n_allowed_by;

	struct program_entry *programs;
	size_t n_programs, programs_size;
};

static void *
take(struct compiler *c, size_t n)
{
	struct block *block = c->blocks;
	size_t size = n > 65536 ? n : 65536;

	n = (n + 7) & ~(size_t)7;
	if (block == NULL || block->size - block->used < n) {
		block = malloc(sizeof(*block) + size + 8);
		if (block == NULL) {
			c->no_memory = true;
			return NULL;
		}
		block->next = c->blocks;
		block->used = 0;
		block->size = size + 8;
		c->blocks = block;
	}
	block->used += n;
	return block->bytes + block->used - n;
}

/* Room for one more element of a growing array. */
static bool
grow(struct compiler *c, void *array, size_t n, size_t *size, size_t each)
{
	size_t wanted = *size > 0 ? *size * 2 : 16;
	void *bytes;

	if (n < *size)
		return true;
	memcpy(&bytes, array, sizeof(bytes));
	bytes = realloc(bytes, wanted * each);
	if (bytes == NULL) {
		c->no_memory = true;
		return false;
	}
	memcpy(array, &bytes, sizeof(bytes));
	*size = wanted;
	return true;
}

__attribute__((format(printf, 5, 6))) static void
mistake(struct compiler *c, const struct expr *expr, unsigned line, unsigned column,
	const char *format, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	diag_add(c->diag, DIAG_ERROR, expr->file, line, column, "%s", message);
	c->mistakes = true;
}

/* The image. */

static uint32_t
put(struct compiler *c, const void *bytes, size_t n, size_t align)
{
	static const char zeros[64];
	uint32_t offset;

	if (c->out.len % align != 0)
		buf_add(&c->out, zeros, align - c->out.len % align);
	offset = (uint32_t)c->out.len;
	if (n > 0)
		buf_add(&c->out, bytes, n);
	if (c->out.len > PYAUDIT_IMAGE_SIZE_MAX) {
		c->too_large = true;
		c->out.failed = true; /* takes no more */
	}
	return offset;
}

static pyaudit_le32
put_table(struct compiler *c, const void *bytes, size_t n, size_t each)
{
	return pyaudit_le32_of(put(c, bytes, n * each, n * each >= 64 ? 16 : 4));
}

static pyaudit_le32
put_text(struct compiler *c, const char *text, size_t len)
{
	return pyaudit_le32_of(put(c, text, len, 1));
}

static struct pyaudit_list
put_list(struct compiler *c, const uint16_t *items, size_t n)
{
	struct pyaudit_list list = {pyaudit_le32_of(0), pyaudit_le32_of((uint32_t)n)};

	if (n == 0)
		return list;
	list.at = pyaudit_le32_of(put(c, NULL, 0, 2));
	for (size_t i = 0; i < n; i++) {
		pyaudit_le16 item = pyaudit_le16_of(items[i]);

		buf_add(&c->out, &item, sizeof(item));
	}
	return list;
}

/* Tests. */

static int
compare_numbers(const void *a, const void *b)
{
	int64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static bool
is_text(const struct expr_value *value)
{
	return value->text != NULL;
}

static size_t
count_texts(const struct expr *expr)
{
	size_t n = 0;

	for (size_t i = 0; i < expr->n_values; i++)
		n += is_text(&expr->values[i]);
	return n;
}

static void
emit_numbers(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	int64_t *numbers = take(c, (expr->n_values + 1) * sizeof(*numbers));
	uint32_t n = 0;

	if (numbers == NULL)
		return;
	for (size_t i = 0; i < expr->n_values; i++)
		if (expr->values[i].is_int)
			numbers[n++] = expr->values[i].number;
	if (n == 0)
		return;
	qsort(numbers, n, sizeof(*numbers), compare_numbers);
	test->ints = pyaudit_le32_of(put(c, NULL, 0, 8));
	test->n_ints = pyaudit_le32_of(n);
	for (uint32_t i = 0; i < n; i++) {
		pyaudit_le64 number = pyaudit_le64_of((uint64_t)numbers[i]);

		buf_add(&c->out, &number, sizeof(number));
	}
}

/* The texts, one after the other. @under: as normal paths. */
static void
emit_texts(struct compiler *c, const struct expr *expr, struct pyaudit_test *test, bool under)
{
	size_t n = count_texts(expr), k = 0;
	struct pyaudit_text *texts = take(c, (n + 1) * sizeof(*texts));

	for (size_t i = 0; i < expr->n_values && texts != NULL; i++) {
		const struct expr_value *value = &expr->values[i];
		const char *text = value->text;
		size_t len = value->len;

		if (!is_text(value))
			continue;
		if (under) {
			char *path = take(c, len + 1);

			if (path == NULL)
				return;
			len = pyaudit_path_normalise(path, len + 1, text, len);
			text = path;
		}
		texts[k].at = put_text(c, text, len);
		texts[k++].len = pyaudit_le32_of((uint32_t)len);
	}
	if (texts == NULL)
		return;
	test->data = put_table(c, texts, k, sizeof(*texts));
	test->n_data = pyaudit_le32_of((uint32_t)k);
}

static void
emit_set(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	size_t size = 16;
	struct pyaudit_text *texts;

	while (size < 2 * expr->n_values)
		size *= 2;
	texts = take(c, size * sizeof(*texts));
	if (texts == NULL)
		return;
	for (size_t i = 0; i < size; i++)
		texts[i] = (struct pyaudit_text){pyaudit_le32_of(0),
						 pyaudit_le32_of(PYAUDIT_TEXT_EMPTY)};
	for (size_t i = 0; i < expr->n_values; i++) {
		const struct expr_value *value = &expr->values[i];
		size_t slot;

		if (!is_text(value))
			continue;
		slot = (uint32_t)pyaudit_text_hash(value->text, value->len);
		while (pyaudit_get32(texts[slot % size].len) != PYAUDIT_TEXT_EMPTY)
			slot++;
		texts[slot % size].at = put_text(c, value->text, value->len);
		texts[slot % size].len = pyaudit_le32_of((uint32_t)value->len);
	}
	test->op = PYAUDIT_TEST_EQUAL_SET;
	test->data = put_table(c, texts, size, sizeof(*texts));
	test->n_data = pyaudit_le32_of((uint32_t)size);
}

/* Of several limits, the widest: one of the values is enough. */
static void
emit_range(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	int64_t low = INT64_MIN, high = INT64_MAX, limit = 0;
	bool upper = expr->cmp == CMP_LT || expr->cmp == CMP_LE, any = false;
	pyaudit_le64 ends[2];

	for (size_t i = 0; i < expr->n_values; i++) {
		int64_t number = expr->values[i].number;

		if (!expr->values[i].is_int)
			continue;
		if (!any || (upper ? number > limit : number < limit))
			limit = number;
		any = true;
	}
	if (!any || (expr->cmp == CMP_LT && limit == INT64_MIN) ||
	    (expr->cmp == CMP_GT && limit == INT64_MAX)) {
		low = INT64_MAX;
		high = INT64_MIN;
	} else if (upper) {
		high = limit - (expr->cmp == CMP_LT);
	} else {
		low = limit + (expr->cmp == CMP_GT);
	}
	ends[0] = pyaudit_le64_of((uint64_t)low);
	ends[1] = pyaudit_le64_of((uint64_t)high);
	test->ints = pyaudit_le32_of(put(c, ends, sizeof(ends), 8));
	test->n_ints = pyaudit_le32_of(2);
}

static void
emit_networks(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	size_t n = 0;
	struct pyaudit_network *nets = take(c, (expr->n_values + 1) * sizeof(*nets));

	for (size_t i = 0; i < expr->n_values && nets != NULL; i++) {
		const struct expr_value *value = &expr->values[i];

		if (is_text(value) && pyaudit_network_parse(&nets[n], value->text, value->len))
			n++;
		else
			mistake(c, expr, value->line, value->column,
				"not an address or range like 10.0.0.0/8");
	}
	if (nets == NULL)
		return;
	test->data = put_table(c, nets, n, sizeof(*nets));
	test->n_data = pyaudit_le32_of((uint32_t)n);
}

static enum pattern_kind
kind_of(const struct expr *expr)
{
	return expr->cmp == CMP_GLOB ? PATTERN_GLOB : PATTERN_REGEX;
}

static pyaudit_le32
emit_dfa(struct compiler *c, const struct dfa *dfa)
{
	size_t n = (size_t)dfa->n_states * dfa->n_classes;
	struct pyaudit_dfa head = {.n_states = pyaudit_le32_of(dfa->n_states),
				   .n_classes = pyaudit_le32_of(dfa->n_classes),
				   .start = pyaudit_le32_of(dfa->start),
				   .first_accept = pyaudit_le32_of(dfa->first_accept)};
	uint32_t offset;

	memcpy(head.classes, dfa->classes, sizeof(head.classes));
	offset = put(c, &head, sizeof(head), 16);
	for (size_t i = 0; i < n; i++) {
		pyaudit_le16 next = pyaudit_le16_of(dfa->next[i]);

		buf_add(&c->out, &next, sizeof(next));
	}
	return pyaudit_le32_of(offset);
}

/* Several patterns are one automaton where that stays small, else one each. */
static size_t
emit_automata(struct compiler *c, const struct expr *expr, struct pattern **patterns,
	      pyaudit_le32 *ret)
{
	struct dfa dfa;
	size_t n = 0;
	int r;

	if (expr->n_values > 1 && expr->n_values <= UNION_MAX) {
		r = pattern_dfa_union(&dfa, (const struct pattern *const *)patterns,
				      expr->n_values);
		if (r == 0) {
			ret[0] = emit_dfa(c, &dfa);
			dfa_fini(&dfa);
			return 1;
		}
		if (r < 0) {
			c->no_memory = true;
			return 0;
		}
	}
	for (size_t i = 0; i < expr->n_values; i++) {
		r = pattern_dfa(&dfa, patterns[i]);
		if (r == PATTERN_E_TOO_LARGE) {
			mistake(c, expr, expr->values[i].line, expr->values[i].column,
				"this pattern needs too large an automaton: shorten its counted "
				"repetitions, or use * in their place");
			continue;
		}
		if (r != 0) {
			c->no_memory = true;
			return n;
		}
		ret[n++] = emit_dfa(c, &dfa);
		dfa_fini(&dfa);
	}
	return n;
}

static void
emit_patterns(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	struct pattern **patterns = calloc(expr->n_values + 1, sizeof(*patterns));
	pyaudit_le32 *automata = take(c, (expr->n_values + 1) * sizeof(*automata));
	bool sound = patterns != NULL && automata != NULL;
	size_t n;

	c->no_memory = c->no_memory || patterns == NULL;
	for (size_t i = 0; i < expr->n_values && patterns != NULL; i++) {
		const struct expr_value *value = &expr->values[i];
		struct pattern_error error;
		int r = pattern_parse(&patterns[i], kind_of(expr), value->text, value->len, &error);

		if (r == 0)
			continue;
		sound = false;
		if (r < 0)
			c->no_memory = true;
		else
			mistake(c, expr, value->line, value->column, "%s (at byte %zu of the %s)",
				error.message, error.offset + 1,
				expr->cmp == CMP_GLOB ? "glob" : "regular expression");
	}
	if (sound) {
		n = emit_automata(c, expr, patterns, automata);
		test->data = put_table(c, automata, n, sizeof(*automata));
		test->n_data = pyaudit_le32_of((uint32_t)n);
	}
	for (size_t i = 0; i < expr->n_values && patterns != NULL; i++)
		pattern_free(patterns[i]);
	free(patterns);
}

static bool
is_cidr(const struct expr *expr)
{
	return expr->cmp == CMP_CIDR || (expr->cmp == CMP_EQ && expr->field < PYAUDIT_N_FIELDS &&
					 pyaudit_fields[expr->field].type == PYAUDIT_TYPE_IP);
}

static struct pyaudit_test
emit_test(struct compiler *c, const struct expr *expr)
{
	struct pyaudit_test test = {.field = (uint8_t)expr->field,
				    .proc_bit = pyaudit_le16_of(PYAUDIT_NO_PROC_BIT)};

	if (is_cidr(expr)) {
		test.op = PYAUDIT_TEST_CIDR;
		emit_networks(c, expr, &test);
		return test;
	}
	switch (expr->cmp) {
	case CMP_EQ:
		test.op = PYAUDIT_TEST_EQUAL;
		if (count_texts(expr) < SET_FROM)
			emit_texts(c, expr, &test, false);
		else
			emit_set(c, expr, &test);
		emit_numbers(c, expr, &test);
		break;
	case CMP_LT:
	case CMP_LE:
	case CMP_GT:
	case CMP_GE:
		test.op = PYAUDIT_TEST_RANGE;
		emit_range(c, expr, &test);
		break;
	case CMP_STARTSWITH:
		test.op = PYAUDIT_TEST_STARTSWITH;
		emit_texts(c, expr, &test, false);
		break;
	case CMP_ENDSWITH:
		test.op = PYAUDIT_TEST_ENDSWITH;
		emit_texts(c, expr, &test, false);
		break;
	case CMP_CONTAINS:
		test.op = PYAUDIT_TEST_CONTAINS;
		emit_texts(c, expr, &test, false);
		break;
	case CMP_UNDER:
		test.op = PYAUDIT_TEST_UNDER;
		emit_texts(c, expr, &test, true);
		break;
	case CMP_GLOB:
	case CMP_MATCHES:
		test.op = PYAUDIT_TEST_PATTERN;
		emit_patterns(c, expr, &test);
		break;
	case CMP_CIDR:
	case CMP_EXISTS:
		test.op = PYAUDIT_TEST_EXISTS;
		break;
	}
	return test;
}

static uint64_t
hash_test(const struct expr *expr)
{
	uint64_t hash = (expr->field * 31u + expr->cmp) * PYAUDIT_HASH_K;

	for (size_t i = 0; i < expr->n_values; i++) {
		const struct expr_value *value = &expr->values[i];

		hash = (hash ^ (value->is_int ? (uint64_t)value->number : 0)) * PYAUDIT_HASH_K;
		if (is_text(value))
			hash = (hash ^ pyaudit_text_hash(value->text, value->len)) * PYAUDIT_HASH_K;
		hash ^= hash >> 29;
	}
	return hash;
}

static bool
same_test(const struct expr *a, const struct expr *b)
{
	if (a->field != b->field || a->cmp != b->cmp || a->n_values != b->n_values)
		return false;
	for (size_t i = 0; i < a->n_values; i++) {
		const struct expr_value *x = &a->values[i], *y = &b->values[i];

		if (x->is_int != y->is_int || (x->is_int && x->number != y->number) ||
		    is_text(x) != is_text(y))
			return false;
		if (is_text(x) && (x->len != y->len || memcmp(x->text, y->text, x->len) != 0))
			return false;
	}
	return true;
}

static bool
grow_table(struct compiler *c)
{
	size_t size = c->table_size > 0 ? c->table_size * 2 : 256;
	struct test_entry *table;

	if (2 * c->n_tests < c->table_size)
		return true;
	table = calloc(size, sizeof(*table));
	if (table == NULL) {
		c->no_memory = true;
		return false;
	}
	for (size_t i = 0; i < c->table_size; i++) {
		size_t slot = c->table[i].hash;

		if (c->table[i].expr == NULL)
			continue;
		while (table[slot % size].expr != NULL)
			slot++;
		table[slot % size] = c->table[i];
	}
	free(c->table);
	c->table = table;
	c->table_size = size;
	return true;
}

static void
add_proc_bit(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	if (c->n_proc_tests == PYAUDIT_PROC_ATOMS_MAX) {
		mistake(c, expr, expr->line, expr->column,
			"more than %d different conditions on proc.* fields in all rules",
			PYAUDIT_PROC_ATOMS_MAX);
		return;
	}
	if (!grow(c, &c->proc_tests, c->n_proc_tests, &c->proc_tests_size, sizeof(*c->proc_tests)))
		return;
	test->proc_bit = pyaudit_le16_of((uint16_t)c->n_proc_tests);
	c->proc_tests[c->n_proc_tests++] = pyaudit_le32_of((uint32_t)c->n_tests);
}

/* Number of the test that @expr is; each is made once. */
static uint32_t
test_of(struct compiler *c, const struct expr *expr)
{
	uint64_t hash = hash_test(expr);
	struct pyaudit_test test;
	size_t slot = hash;

	if (!grow_table(c))
		return 0;
	for (;; slot++) {
		const struct test_entry *entry = &c->table[slot % c->table_size];

		if (entry->expr == NULL)
			break;
		if (entry->hash == hash && same_test(entry->expr, expr))
			return entry->index;
	}
	test = emit_test(c, expr);
	if (expr->field >= PYAUDIT_F_PROC_PID)
		add_proc_bit(c, expr, &test);
	if (!grow(c, &c->tests, c->n_tests, &c->tests_size, sizeof(*c->tests)))
		return 0;
	c->table[slot % c->table_size] = (struct test_entry){hash, expr, (uint32_t)c->n_tests};
	c->tests[c->n_tests] = test;
	return (uint32_t)c->n_tests++;
}

/*
 * Conditions. Nodes are made from the last to the first, so that where to go on is known: a part
 * is told where a yes and a no lead, and gives back where it begins. Numbers count from the end
 * until all are there: node k of n becomes n - 1 - k.
 */
#define GOAL_NO UINT32_MAX
#define GOAL_YES (UINT32_MAX - 1)

struct graph {
	struct pyaudit_node *nodes;
	size_t n, size;
};

static uint32_t
emit_condition(struct compiler *c, struct graph *graph, const struct expr *expr, uint32_t yes,
	       uint32_t no)
{
	uint32_t middle;

	while (expr->op == EXPR_NOT) {
		middle = yes;
		yes = no;
		no = middle;
		expr = expr->a;
	}
	switch (expr->op) {
	case EXPR_AND:
		middle = emit_condition(c, graph, expr->b, yes, no);
		return emit_condition(c, graph, expr->a, middle, no);
	case EXPR_OR:
		middle = emit_condition(c, graph, expr->b, yes, no);
		return emit_condition(c, graph, expr->a, yes, middle);
	case EXPR_TEST:
		if (yes == no)
			return yes;
		if (!grow(c, &graph->nodes, graph->n, &graph->size, sizeof(*graph->nodes)))
			return no;
		graph->nodes[graph->n] =
			(struct pyaudit_node){pyaudit_le32_of(test_of(c, expr)),
					      pyaudit_le32_of(yes), pyaudit_le32_of(no)};
		return (uint32_t)graph->n++;
	case EXPR_TRUE:
	case EXPR_NOT:
		break;
	}
	return yes;
}

static pyaudit_le32
resolve(uint32_t goal, size_t n)
{
	if (goal == GOAL_NO)
		return pyaudit_le32_of((uint32_t)n);
	if (goal == GOAL_YES)
		return pyaudit_le32_of((uint32_t)n + 1);
	return pyaudit_le32_of((uint32_t)(n - 1 - goal));
}

static void
emit_rule(struct compiler *c, const struct rule *rule, struct pyaudit_rule *ret)
{
	struct graph graph = {NULL, 0, 0};
	uint32_t entry = GOAL_YES;
	uint8_t action = (uint8_t)rule->action;

	if (rule->when != NULL)
		entry = emit_condition(c, &graph, rule->when, GOAL_YES, GOAL_NO);
	for (size_t i = 0; i < graph.n / 2; i++) {
		struct pyaudit_node swap = graph.nodes[i];

		graph.nodes[i] = graph.nodes[graph.n - 1 - i];
		graph.nodes[graph.n - 1 - i] = swap;
	}
	for (size_t i = 0; i < graph.n; i++) {
		graph.nodes[i].yes = resolve(pyaudit_get32(graph.nodes[i].yes), graph.n);
		graph.nodes[i].no = resolve(pyaudit_get32(graph.nodes[i].no), graph.n);
	}
	ret->id = put_text(c, rule->id, strlen(rule->id) + 1);
	ret->nodes = put_table(c, graph.nodes, graph.n, sizeof(*graph.nodes));
	ret->n_nodes = pyaudit_le32_of((uint32_t)graph.n);
	ret->entry = resolve(entry, graph.n);
	ret->flags = 0;
	if (rule->allow) {
		ret->flags = PYAUDIT_RULE_ALLOW;
		action = PYAUDIT_ACTION_NONE;
	} else if (action >= PYAUDIT_ACTION_BLOCK && (rule->observe || c->options->observe)) {
		ret->flags = PYAUDIT_RULE_WEAKENED;
		action = PYAUDIT_ACTION_ALERT;
	}
	ret->action = action;
	free(graph.nodes);
}

/* Triggers. */

static void
add_trigger(struct compiler *c, struct access *access, unsigned field, enum trigger_kind kind,
	    const char *text, size_t len, int64_t number, int worth)
{
	struct trigger *trigger;

	if (!grow(c, &access->triggers, access->n, &access->size, sizeof(*access->triggers)))
		return;
	trigger = &access->triggers[access->n++];
	*trigger =
		(struct trigger){.kind = (uint8_t)kind, .field = (uint8_t)field, .number = number};
	if (text != NULL) {
		char *copy = take(c, len + 1);

		if (copy == NULL) {
			access->n--;
			return;
		}
		memcpy(copy, text, len);
		trigger->text = copy;
		trigger->len = (uint16_t)len;
	}
	if (worth < access->worth)
		access->worth = worth;
}

static int
worth_of(enum trigger_kind kind, size_t len)
{
	int n = len < 16 ? (int)len : 16;

	switch (kind) {
	case TRIGGER_WHOLE:
		return 70 + n;
	case TRIGGER_PREFIX:
	case TRIGGER_UNDER:
		return 5 * n;
	case TRIGGER_SUFFIX:
		return 5 * n;
	case TRIGGER_WITHIN:
		return 4 * n;
	case TRIGGER_NUMBER:
		return 40;
	case TRIGGER_ADDRESS:
		return 10 * n;
	case TRIGGER_GLOB:
	case TRIGGER_REGEX:
		return 5;
	case TRIGGER_ANY:
		break;
	}
	return 0;
}

static void
add_text(struct compiler *c, struct access *access, unsigned field, enum trigger_kind kind,
	 const char *text, size_t len)
{
	size_t max = kind == TRIGGER_WITHIN ? GRAM_LITERAL_MAX : TRIGGER_LEN_MAX;
	int worth;

	if (len > max) {
		if (kind == TRIGGER_SUFFIX)
			text += len - max;
		if (kind == TRIGGER_WHOLE)
			kind = TRIGGER_PREFIX;
		len = max;
	}
	if (len == 0 && kind != TRIGGER_WHOLE)
		kind = TRIGGER_ANY;
	worth = worth_of(kind, len);
	add_trigger(c, access, field, kind, text, len, 0, worth);
}

static void
add_network(struct compiler *c, struct access *access, const struct expr *expr,
	    const struct expr_value *value)
{
	struct pyaudit_network net;
	char key[17];
	size_t len;

	if (!is_text(value) || !pyaudit_network_parse(&net, value->text, value->len))
		return; /* said when the test was made */
	len = 1u + net.bits / 8u;
	key[0] = net.family == 4 ? '4' : '6';
	memcpy(key + 1, net.address, len - 1);
	add_trigger(c, access, expr->field, TRIGGER_ADDRESS, key, len, 0,
		    worth_of(TRIGGER_ADDRESS, len));
}

static void
add_pattern(struct compiler *c, struct access *access, const struct expr *expr,
	    const struct expr_value *value)
{
	static const enum trigger_kind kinds[] = {
		[PATTERN_WHOLE] = TRIGGER_WHOLE,
		[PATTERN_PREFIX] = TRIGGER_PREFIX,
		[PATTERN_SUFFIX] = TRIGGER_SUFFIX,
		[PATTERN_WITHIN] = TRIGGER_WITHIN,
	};
	struct pattern_literals literals;
	struct pattern_error error;
	struct pattern *pattern;

	int r = pattern_parse(&pattern, kind_of(expr), value->text, value->len, &error);

	if (r != 0) {
		c->no_memory = c->no_memory || r < 0; /* else said when the test was made */
		return;
	}
	pattern_literals(pattern, &literals);
	pattern_free(pattern);
	if (literals.n == 0)
		add_trigger(c, access, expr->field,
			    expr->cmp == CMP_GLOB ? TRIGGER_GLOB : TRIGGER_REGEX, value->text,
			    value->len, 0, worth_of(TRIGGER_REGEX, 0));
	for (unsigned i = 0; i < literals.n; i++)
		add_text(c, access, expr->field, kinds[literals.place], literals.text[i],
			 literals.len[i]);
}

static void
add_under(struct compiler *c, struct access *access, const struct expr *expr,
	  const struct expr_value *value)
{
	char *path = take(c, value->len + 1);
	size_t len;

	if (path == NULL)
		return;
	len = pyaudit_path_normalise(path, value->len + 1, value->text, value->len);
	if (len > TRIGGER_LEN_MAX)
		len = TRIGGER_LEN_MAX;
	add_trigger(c, access, expr->field, TRIGGER_UNDER, path, len, 0,
		    worth_of(TRIGGER_UNDER, len));
}

static struct access
access_of_test(struct compiler *c, const struct expr *expr)
{
	struct access access = {.known = true, .worth = INT_MAX};

	if (expr->field >= N_EVENT_FIELDS)
		return (struct access){.known = false};
	for (size_t i = 0; i < expr->n_values; i++) {
		const struct expr_value *value = &expr->values[i];

		if (is_cidr(expr)) {
			add_network(c, &access, expr, value);
			continue;
		}
		switch (expr->cmp) {
		case CMP_EQ:
			if (value->is_int)
				add_trigger(c, &access, expr->field, TRIGGER_NUMBER, NULL, 0,
					    value->number,
					    pyaudit_fields[expr->field].type == PYAUDIT_TYPE_BOOL
						    ? 4
						    : worth_of(TRIGGER_NUMBER, 0));
			if (is_text(value))
				add_text(c, &access, expr->field, TRIGGER_WHOLE, value->text,
					 value->len);
			break;
		case CMP_STARTSWITH:
			add_text(c, &access, expr->field, TRIGGER_PREFIX, value->text, value->len);
			break;
		case CMP_ENDSWITH:
			add_text(c, &access, expr->field, TRIGGER_SUFFIX, value->text, value->len);
			break;
		case CMP_CONTAINS:
			add_text(c, &access, expr->field, TRIGGER_WITHIN, value->text, value->len);
			break;
		case CMP_UNDER:
			add_under(c, &access, expr, value);
			break;
		case CMP_GLOB:
		case CMP_MATCHES:
			add_pattern(c, &access, expr, value);
			break;
		default:
			break;
		}
	}
	if (expr->cmp == CMP_EXISTS || (expr->cmp >= CMP_LT && expr->cmp <= CMP_GE)) {
		access.n = 0;
		add_trigger(c, &access, expr->field, TRIGGER_ANY, NULL, 0, 0, 1);
	}
	/* To look at the code that raised the event costs more than all the rest; only to look at
	 * the rule each time would cost that as well. */
	if (pyaudit_fields[expr->field].scope == PYAUDIT_SCOPE_ORIGIN && access.worth != INT_MAX)
		access.worth = access.worth > 1 ? 2 + access.worth / 64 : access.worth - 10;
	return access;
}

static void
access_fini(struct access *access)
{
	free(access->triggers);
	*access = (struct access){.known = false};
}

/* One of both must hold. */
static struct access
access_either(struct compiler *c, struct access a, struct access b)
{
	if (!a.known || !b.known) {
		access_fini(&a);
		access_fini(&b);
		return a;
	}
	for (size_t i = 0; i < b.n; i++) {
		if (!grow(c, &a.triggers, a.n, &a.size, sizeof(*a.triggers)))
			break;
		a.triggers[a.n++] = b.triggers[i];
	}
	if (b.worth < a.worth)
		a.worth = b.worth;
	access_fini(&b);
	return a;
}

/* Both must hold: the better one is enough. */
static struct access
access_both(struct access a, struct access b)
{
	bool first =
		a.known && (!b.known || a.worth > b.worth || (a.worth == b.worth && a.n <= b.n));

	access_fini(first ? &b : &a);
	return first ? a : b;
}

static struct access
access_of(struct compiler *c, const struct expr *expr, bool negated)
{
	while (expr->op == EXPR_NOT) {
		negated = !negated;
		expr = expr->a;
	}
	switch (expr->op) {
	case EXPR_TEST:
		return negated ? (struct access){.known = false} : access_of_test(c, expr);
	case EXPR_AND:
	case EXPR_OR: {
		struct access a = access_of(c, expr->a, negated);
		struct access b = access_of(c, expr->b, negated);

		return (expr->op == EXPR_AND) != negated ? access_both(a, b)
							 : access_either(c, a, b);
	}
	default:
		break;
	}
	/* Constant: never holds without any trigger, or holds always. */
	return (struct access){.known = negated, .worth = INT_MAX};
}

/* Tries. */

struct key {
	const char *text;
	uint16_t len;
	bool end; /* the text must end there */
	uint16_t rule;
};

static int
compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int r = memcmp(x->text, y->text, n);

	if (r != 0)
		return r;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	if (x->end != y->end)
		return x->end ? 1 : -1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

struct trie {
	struct pyaudit_trie_node *nodes;
	size_t n, size;
	bool backward;
};

static struct pyaudit_list
put_rules(struct compiler *c, const struct key *keys, size_t n)
{
	uint16_t *rules = malloc((n + 1) * sizeof(*rules));
	struct pyaudit_list list;
	size_t n_rules = 0;

	if (rules == NULL) {
		c->no_memory = true;
		return (struct pyaudit_list){pyaudit_le32_of(0), pyaudit_le32_of(0)};
	}
	for (size_t i = 0; i < n; i++)
		if (n_rules == 0 || rules[n_rules - 1] != keys[i].rule)
			rules[n_rules++] = keys[i].rule;
	list = put_list(c, rules, n_rules);
	free(rules);
	return list;
}

/* A label as it stands in the text; keys of what is walked from the end are reversed. */
static pyaudit_le64
label_of(const char *text, size_t n, bool backward)
{
	uint64_t label = 0;

	for (size_t i = 0; i < n; i++) {
		size_t place = backward ? n - 1 - i : i;

		label |= (uint64_t)(unsigned char)text[i] << 8 * place;
	}
	return pyaudit_le64_of(label);
}

/* The keys are sorted and agree in their first @depth bytes. Not deeper than TRIGGER_LEN_MAX. */
static uint32_t
build_trie(struct compiler *c, struct trie *trie, const struct key *keys, size_t n, size_t depth)
{
	const struct key *last = &keys[n - 1];
	size_t start = depth, n_here = 0, n_end = 0, i;
	struct pyaudit_trie_node node = {.low = 0};
	uint32_t number = (uint32_t)trie->n;
	pyaudit_le32 children[256];

	if (!grow(c, &trie->nodes, trie->n, &trie->size, sizeof(*trie->nodes)))
		return 0;
	trie->n++;

	while (depth - start < PYAUDIT_LABEL_MAX && depth < keys[0].len && depth < last->len &&
	       keys[0].text[depth] == last->text[depth])
		depth++;
	node.label_len = (uint8_t)(depth - start);
	node.label = label_of(keys[0].text + start, depth - start, trie->backward);
	while (n_here < n && keys[n_here].len == depth && !keys[n_here].end)
		n_here++;
	while (n_here + n_end < n && keys[n_here + n_end].len == depth)
		n_end++;
	node.here = put_rules(c, keys, n_here);
	node.end = put_rules(c, keys + n_here, n_end);

	i = n_here + n_end;
	if (i < n) {
		unsigned low = (unsigned char)keys[i].text[depth];
		unsigned high = (unsigned char)last->text[depth];

		node.low = (uint8_t)low;
		node.n_children = pyaudit_le16_of((uint16_t)(high - low + 1));
		memset(children, 0, sizeof(children));
		while (i < n) {
			unsigned byte = (unsigned char)keys[i].text[depth];
			size_t first = i;

			while (i < n && (unsigned char)keys[i].text[depth] == byte)
				i++;
			children[byte - low] = pyaudit_le32_of(
				build_trie(c, trie, keys + first, i - first, depth + 1));
		}
		node.children = put_table(c, children, high - low + 1, sizeof(children[0]));
	}
	if (number < trie->n && trie->nodes != NULL)
		trie->nodes[number] = node;
	return number;
}

static pyaudit_le32
put_trie(struct compiler *c, struct key *keys, size_t n, bool backward)
{
	struct pyaudit_trie head;
	struct trie trie = {NULL, 0, 0, backward};

	if (n == 0)
		return pyaudit_le32_of(0);
	qsort(keys, n, sizeof(*keys), compare_keys);
	(void)build_trie(c, &trie, keys, n, 0);
	head.nodes = put_table(c, trie.nodes, trie.n, sizeof(*trie.nodes));
	head.n_nodes = pyaudit_le32_of((uint32_t)trie.n);
	free(trie.nodes);
	return pyaudit_le32_of(put(c, &head, sizeof(head), 4));
}

/* Grams. */

struct gram {
	uint32_t value;
	uint32_t literal;
	uint16_t pos;
};

struct literal {
	const char *text;
	uint16_t len;
	struct pyaudit_list rules;
	pyaudit_le32 at;
};

static int
compare_grams(const void *a, const void *b)
{
	const struct gram *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	if (x->literal != y->literal)
		return x->literal < y->literal ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static uint32_t
gram_at(const char *text, unsigned width)
{
	const unsigned char *p = (const unsigned char *)text;

	if (width == 4)
		return pyaudit_load32(p);
	return width == 2 ? (uint32_t)p[0] | (uint32_t)p[1] << 8 : p[0];
}

#define GRAM_USE_SIZE 4096

/* Where in the literal the grams stand that the fewest others have. */
static size_t
choose_grams(const struct literal *literal, unsigned width, unsigned stride, const uint16_t *use)
{
	size_t best = 0;
	unsigned best_use = UINT_MAX;

	for (size_t at = 0; at + stride - 1 + width <= literal->len; at++) {
		unsigned sum = 0;

		for (size_t i = at; i < at + stride; i++)
			sum += use[pyaudit_gram_hash(gram_at(literal->text + i, width)) %
				   GRAM_USE_SIZE];
		if (sum < best_use) {
			best = at;
			best_use = sum;
		}
	}
	return best;
}

static unsigned
bits_for(size_t n)
{
	unsigned bits = 0;

	while (bits < 31 && (size_t)1 << bits < n)
		bits++;
	return bits;
}

static void
put_gram_table(struct compiler *c, struct pyaudit_grams *head, const struct gram *grams, size_t n,
	       const struct literal *literals)
{
	size_t size = (size_t)1 << head->table_bits;
	struct pyaudit_gram *table = calloc(size, sizeof(*table));
	struct pyaudit_gram_literal *entries = calloc(n, sizeof(*entries));
	uint8_t *filter = calloc((size_t)1 << (head->filter_bits - 3), 1);

	if (table == NULL || entries == NULL || filter == NULL) {
		c->no_memory = true;
		goto out;
	}
	for (size_t i = 0; i < n;) {
		uint32_t value = grams[i].value, bit, slot;
		size_t first = i;

		for (; i < n && grams[i].value == value; i++) {
			const struct literal *literal = &literals[grams[i].literal];

			entries[i].text = literal->at;
			entries[i].len = pyaudit_le16_of(literal->len);
			entries[i].pos = pyaudit_le16_of(grams[i].pos);
			entries[i].rules = literal->rules;
		}
		bit = pyaudit_gram_hash(value) >> (32u - head->filter_bits);
		filter[bit / 8] |= (uint8_t)(1u << bit % 8);
		slot = pyaudit_gram_hash(value) >> 7;
		while (pyaudit_get32(table[slot % size].n) != 0)
			slot++;
		table[slot % size] = (struct pyaudit_gram){pyaudit_le32_of(value),
							   pyaudit_le32_of((uint32_t)first),
							   pyaudit_le32_of((uint32_t)(i - first))};
	}
	head->filter = pyaudit_le32_of(put(c, filter, (size_t)1 << (head->filter_bits - 3), 64));
	head->table = put_table(c, table, size, sizeof(*table));
	head->literals = put_table(c, entries, n, sizeof(*entries));
	head->n_literals = pyaudit_le32_of((uint32_t)n);
out:
	free(table);
	free(entries);
	free(filter);
}

/* One table for the literals of at least @width bytes; keys are sorted. */
static pyaudit_le32
put_grams(struct compiler *c, const struct key *keys, size_t n_keys, unsigned width)
{
	struct pyaudit_grams head = {.width = (uint8_t)width, .stride = 1};
	struct literal *literals = calloc(n_keys + 1, sizeof(*literals));
	struct gram *grams = calloc(4 * n_keys + 1, sizeof(*grams));
	uint16_t *use = calloc(GRAM_USE_SIZE, sizeof(*use));
	size_t n = 0, n_grams = 0, shortest = SIZE_MAX;
	pyaudit_le32 offset = pyaudit_le32_of(0);

	if (literals == NULL || grams == NULL || use == NULL) {
		c->no_memory = true;
		goto out;
	}
	for (size_t i = 0; i < n_keys;) {
		size_t first = i;

		while (i < n_keys && keys[i].len == keys[first].len &&
		       memcmp(keys[i].text, keys[first].text, keys[i].len) == 0)
			i++;
		literals[n].text = keys[first].text;
		literals[n].len = keys[first].len;
		literals[n].at = put_text(c, keys[first].text, keys[first].len);
		literals[n++].rules = put_rules(c, keys + first, i - first);
		if (keys[first].len < shortest)
			shortest = keys[first].len;
	}
	if (width == 4)
		head.stride = (uint8_t)(shortest >= 7 ? 4 : shortest - 3);
	for (size_t i = 0; i < n; i++) {
		size_t at = choose_grams(&literals[i], width, head.stride, use);

		for (size_t k = at; k < at + head.stride; k++) {
			uint32_t value = gram_at(literals[i].text + k, width);
			uint16_t *count = &use[pyaudit_gram_hash(value) % GRAM_USE_SIZE];

			grams[n_grams++] = (struct gram){value, (uint32_t)i, (uint16_t)k};
			*count = (uint16_t)(*count + (*count < UINT16_MAX));
		}
	}
	qsort(grams, n_grams, sizeof(*grams), compare_grams);
	head.table_bits = (uint8_t)bits_for(2 * n_grams + 2);
	head.filter_bits = (uint8_t)bits_for(64 * n_grams);
	if (head.filter_bits < 10)
		head.filter_bits = 10;
	if (head.filter_bits > FILTER_BITS_MAX)
		head.filter_bits = FILTER_BITS_MAX;
	put_gram_table(c, &head, grams, n_grams, literals);
	offset = pyaudit_le32_of(put(c, &head, sizeof(head), 4));
out:
	free(literals);
	free(grams);
	free(use);
	return offset;
}

/* Indexes and programs. */

struct numbered {
	int64_t value;
	uint16_t rule;
};

static int
compare_numbered(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

enum key_group {
	KEYS_FORWARD,
	KEYS_BACKWARD,
	KEYS_ADDRESS,
	KEYS_GRAM4,
	KEYS_GRAM2,
	KEYS_GRAM1,
	KEYS_ANY,
	KEYS_PATHS,
	KEYS_GLOB,
	KEYS_REGEX,
	N_KEY_GROUPS,
};

/* What leads from one field to rules of a program. */
struct index_plan {
	struct key *keys[N_KEY_GROUPS];
	size_t n[N_KEY_GROUPS], size[N_KEY_GROUPS];
	struct numbered *numbers;
	size_t n_numbers, numbers_size;
	bool used;
};

static void
plan_key(struct compiler *c, struct index_plan *plan, enum key_group group, const char *text,
	 size_t len, bool end, unsigned rule)
{
	if (!grow(c, &plan->keys[group], plan->n[group], &plan->size[group], sizeof(struct key)))
		return;
	plan->keys[group][plan->n[group]++] = (struct key){
		.text = text, .len = (uint16_t)len, .end = end, .rule = (uint16_t)rule};
}

static const char *
reversed(struct compiler *c, const char *text, size_t len)
{
	char *copy = take(c, len + 1);

	for (size_t i = 0; i < len && copy != NULL; i++)
		copy[i] = text[len - 1 - i];
	return copy;
}

static const char *
folded(struct compiler *c, const char *text, size_t len)
{
	char *copy = take(c, len + 1);

	for (size_t i = 0; i < len && copy != NULL; i++)
		copy[i] = (char)(text[i] | 0x20);
	return copy;
}

static void
plan_trigger(struct compiler *c, struct index_plan *plan, const struct trigger *t, unsigned rule)
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
		if (grow(c, &plan->numbers, plan->n_numbers, &plan->numbers_size,
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

static void
plan_fini(struct index_plan *plan)
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
		entries[n++].rules = put_list(c, rules, n_rules);
	}
	index->ints = put_table(c, entries, n, sizeof(*entries));
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
	if (r != 0 || !grow(c, &automata->entries, automata->n, &automata->size,
			    sizeof(*automata->entries))) {
		c->no_memory = true;
		if (r == 0)
			dfa_fini(&dfa);
		return;
	}
	qsort(keys, n, sizeof(*keys), compare_rules);
	automata->entries[automata->n].dfa = emit_dfa(c, &dfa);
	automata->entries[automata->n++].rules = put_rules(c, keys, n);
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
	index->automata = put_table(c, automata.entries, automata.n, sizeof(*automata.entries));
	free(automata.entries);
}

static struct pyaudit_index
put_index(struct compiler *c, unsigned field, struct index_plan *plan)
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
			qsort(plan->keys[i], plan->n[i], sizeof(struct key), compare_keys);
	index.any = put_rules(c, plan->keys[KEYS_ANY], plan->n[KEYS_ANY]);
	index.paths = put_rules(c, plan->keys[KEYS_PATHS], plan->n[KEYS_PATHS]);
	index.forward = put_trie(c, plan->keys[KEYS_FORWARD], plan->n[KEYS_FORWARD], false);
	index.backward = put_trie(c, plan->keys[KEYS_BACKWARD], plan->n[KEYS_BACKWARD], true);
	index.address = put_trie(c, plan->keys[KEYS_ADDRESS], plan->n[KEYS_ADDRESS], false);
	for (unsigned i = 0; i < 3; i++)
		if (plan->n[KEYS_GRAM4 + i] > 0)
			index.grams[i] = put_grams(c, plan->keys[KEYS_GRAM4 + i],
						   plan->n[KEYS_GRAM4 + i], 4u >> i);
	for (unsigned i = 0; i < N_KEY_GROUPS; i++)
		if (plan->n[i] > 0)
			index.parts |= parts[i];
	put_numbers(c, plan, &index);
	put_patterns(c, plan, &index);
	return index;
}

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
	list = put_list(c, rules, n);
	ret->allow = list.at;
	ret->n_allow = pyaudit_le16_of((uint16_t)n);
	free(rules);
}

/* @members are the rules of the event, allow rules too, in order. */
static uint32_t
put_program(struct compiler *c, const uint16_t *members, size_t n_members)
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

		if (c->set->rules[members[i]].allow || (access->known && access->n == 0))
			continue;
		own[n].rule = pyaudit_le16_of(members[i]);
		put_allow(c, members[i], members, n_members, &own[n]);
		if (!access->known)
			always[n_always++] = (uint16_t)n;
		for (size_t k = 0; access->known && k < access->n; k++)
			plan_trigger(c, &plans[access->triggers[k].field], &access->triggers[k],
				     (unsigned)n);
		n++;
	}
	if (n == 0)
		goto out;
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned field = 0; field < N_EVENT_FIELDS; field++)
			if (plans[field].used &&
			    (pyaudit_fields[field].scope == PYAUDIT_SCOPE_ORIGIN) == (pass == 1))
				indexes[n_indexes++] = put_index(c, field, &plans[field]);
	program.rules = put_table(c, own, n, sizeof(*own));
	program.n_rules = pyaudit_le32_of((uint32_t)n);
	program.always = put_list(c, always, n_always);
	program.indexes = put_table(c, indexes, n_indexes, sizeof(*indexes));
	program.n_indexes = pyaudit_le32_of((uint32_t)n_indexes);
	offset = put(c, &program, sizeof(program), 8);
out:
	for (unsigned field = 0; plans != NULL && field < N_EVENT_FIELDS; field++)
		plan_fini(&plans[field]);
	free(plans);
	free(own);
	free(always);
	return offset;
}

/* Takes @members. */
static uint32_t
program_of(struct compiler *c, uint16_t *members, size_t n)
{
	uint64_t hash = pyaudit_text_hash((const char *)members, n * sizeof(*members));
	struct program_entry *entry;

	for (size_t i = 0; i < c->n_programs; i++) {
		entry = &c->programs[i];
		if (entry->hash == hash && entry->n_rules == n &&
		    memcmp(entry->rules, members, n * sizeof(*members)) == 0) {
			free(members);
			return entry->offset;
		}
	}
	if (!grow(c, &c->programs, c->n_programs, &c->programs_size, sizeof(*c->programs))) {
		free(members);
		return 0;
	}
	entry = &c->programs[c->n_programs++];
	*entry = (struct program_entry){.hash = hash, .rules = members, .n_rules = n};
	entry->offset = put_program(c, members, n);
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
	return program_of(c, members, n);
}

static struct pyaudit_slot
make_slot(struct compiler *c, unsigned event, const char *name, bool record)
{
	uint32_t program = program_for(c, event, name);
	struct pyaudit_slot slot = {.event = pyaudit_le16_of((uint16_t)event),
				    .program = pyaudit_le32_of(program)};

	slot.flags = (uint8_t)((record ? PYAUDIT_SLOT_RECORD : 0) |
			       (program != 0 ? PYAUDIT_SLOT_JUDGE : 0));
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
	if (!grow(c, &slots->slots, slots->n, &slots->size, sizeof(*slots->slots)) ||
	    !grow(c, &slots->names, slots->n, &slots->names_size, sizeof(*slots->names)))
		return;
	slot.name = put_text(c, name, strlen(name) + 1);
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
	names = take(c, (n + 1) * sizeof(*names));
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
		bool noise = (info->classes & PYAUDIT_CLASS_NOISE) != 0;
		bool record =
			!noise && (options->record_all || (info->classes & options->record) != 0);

		slot = make_slot(c, event, NULL, record);
		if (slot.flags != 0 || options->record_all)
			add_slot(c, &slots, info->name, slot);
	}
	n_others = other_names(c, &others);
	for (size_t i = 0; i < n_others; i++) {
		slot = make_slot(c, PYAUDIT_EV_OTHER, others[i], options->record_all);
		add_slot(c, &slots, others[i], slot);
	}
	head->other = make_slot(c, PYAUDIT_EV_OTHER, NULL, options->record_all);
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

	head->slot_bits = pyaudit_le32_of(bits_for(2 * slots.n + 8));
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
		head->slots = pyaudit_le32_of(put(c, table, size * sizeof(*table), 64));
	free(table);
	free(slots.slots);
	free(slots.names);
}

/* The whole. */

static int
find_rule(const struct rule_set *set, const char *id)
{
	for (size_t i = 0; i < set->n_rules; i++)
		if (strcmp(set->rules[i].id, id) == 0)
			return (int)i;
	return -1;
}

/* Turns `over` around: each rule gets the list of those that allow it, in order. */
static void
gather_allow(struct compiler *c)
{
	const struct rule_set *set = c->set;

	for (size_t i = 0; i < set->n_rules; i++) {
		const struct rule *rule = &set->rules[i];

		for (size_t k = 0; rule->allow && k < rule->n_over; k++) {
			int target = find_rule(set, rule->over[k]);
			size_t n;
			uint16_t *list;

			if (target < 0)
				continue;
			n = c->n_allowed_by[target];
			if (n > 0 && c->allowed_by[target][n - 1] == i)
				continue;
			list = realloc(c->allowed_by[target], (n + 1) * sizeof(*list));
			if (list == NULL) {
				c->no_memory = true;
				return;
			}
			list[n] = (uint16_t)i;
			c->allowed_by[target] = list;
			c->n_allowed_by[target]++;
		}
	}
}

/* They were written one after the other, so their offsets ascend. */
static void
put_program_table(struct compiler *c, struct pyaudit_image *head)
{
	pyaudit_le32 *programs = take(c, (c->n_programs + 1) * sizeof(*programs));
	size_t n = 0;

	for (size_t i = 0; programs != NULL && i < c->n_programs; i++)
		if (c->programs[i].offset != 0)
			programs[n++] = pyaudit_le32_of(c->programs[i].offset);
	head->programs = put_table(c, programs, n, sizeof(*programs));
	head->n_programs = pyaudit_le32_of((uint32_t)n);
}

static int
compile(struct compiler *c)
{
	const struct rule_set *set = c->set;
	struct pyaudit_image head;

	memset(&head, 0, sizeof(head));
	(void)put(c, &head, sizeof(head), 1);
	c->access = calloc(set->n_rules + 1, sizeof(*c->access));
	c->rules = calloc(set->n_rules + 1, sizeof(*c->rules));
	c->allowed_by = calloc(set->n_rules + 1, sizeof(*c->allowed_by));
	c->n_allowed_by = calloc(set->n_rules + 1, sizeof(*c->n_allowed_by));
	if (c->access == NULL || c->rules == NULL || c->allowed_by == NULL ||
	    c->n_allowed_by == NULL)
		return -ENOMEM;

	for (size_t i = 0; i < set->n_rules; i++) {
		const struct rule *rule = &set->rules[i];

		emit_rule(c, rule, &c->rules[i]);
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
	head.flags = pyaudit_le32_of(c->options->observe ? PYAUDIT_IMAGE_OBSERVE : 0);
	head.generation = pyaudit_le64_of(c->options->generation);
	head.rules = put_table(c, c->rules, set->n_rules, sizeof(*c->rules));
	head.n_rules = pyaudit_le32_of((uint32_t)set->n_rules);
	head.tests = put_table(c, c->tests, c->n_tests, sizeof(*c->tests));
	head.n_tests = pyaudit_le32_of((uint32_t)c->n_tests);
	head.proc_tests = put_table(c, c->proc_tests, c->n_proc_tests, sizeof(*c->proc_tests));
	head.n_proc_tests = pyaudit_le32_of((uint32_t)c->n_proc_tests);
	put_program_table(c, &head);
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
	buf_fini(&c->out);
}

int
compile_rules(struct image *ret_image, const struct rule_set *set,
	      const struct compile_options *options, struct diag *diag)
{
	struct compiler c = {.set = set, .options = options, .diag = diag};
	int r;

	if (set->n_rules > PYAUDIT_RULES_MAX) {
		diag_add(diag, DIAG_ERROR, NULL, 0, 0, "more than %d rules", PYAUDIT_RULES_MAX);
		return RULES_E_INVALID;
	}
	buf_init(&c.out);
	r = compile(&c);
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
	return r;
}

void
image_fini(struct image *image)
{
	free(image->bytes);
	image->bytes = NULL;
	image->size = 0;
}
