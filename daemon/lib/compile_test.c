/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions to graphs of nodes over tests. Equal tests are made once, whichever rules ask them,
 * and proc.* tests get a bit each.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

#define SET_FROM 9 /* texts of an equality test that make a hash table */

static int
compare_numbers(const void *a, const void *b)
{
	int64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static size_t
count_texts(const struct expr *expr)
{
	size_t n = 0;

	for (size_t i = 0; i < expr->n_values; i++)
		n += expr_value_is_text(&expr->values[i]);
	return n;
}

static void
emit_numbers(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	int64_t *numbers = compiler_take(c, (expr->n_values + 1) * sizeof(*numbers));
	struct buf *built = image_build(c);
	uint32_t n = 0;

	if (numbers == NULL)
		return;
	for (size_t i = 0; i < expr->n_values; i++)
		if (expr->values[i].is_int)
			numbers[n++] = expr->values[i].number;
	if (n == 0)
		return;
	qsort(numbers, n, sizeof(*numbers), compare_numbers);
	test->n_ints = pyaudit_le32_of(n);
	for (uint32_t i = 0; i < n; i++) {
		pyaudit_le64 number = pyaudit_le64_of((uint64_t)numbers[i]);

		buf_add(built, &number, sizeof(number));
	}
	test->ints = pyaudit_le32_of(image_put_built(c, 8));
}

/* The texts, one after the other. @under: as normal paths. */
static void
emit_texts(struct compiler *c, const struct expr *expr, struct pyaudit_test *test, bool under)
{
	size_t n = count_texts(expr), k = 0;
	struct pyaudit_text *texts = compiler_take(c, (n + 1) * sizeof(*texts));

	for (size_t i = 0; i < expr->n_values && texts != NULL; i++) {
		const struct expr_value *value = &expr->values[i];
		const char *text = value->text;
		size_t len = value->len;

		if (!expr_value_is_text(value))
			continue;
		if (under) {
			char *path = compiler_take(c, len + 1);

			if (path == NULL)
				return;
			len = pyaudit_path_normalise(path, len + 1, text, len);
			text = path;
		}
		texts[k].at = image_put_text(c, text, len);
		texts[k++].len = pyaudit_le32_of((uint32_t)len);
	}
	if (texts == NULL)
		return;
	test->data = image_put_table(c, texts, k, sizeof(*texts));
	test->n_data = pyaudit_le32_of((uint32_t)k);
}

static void
emit_set(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	size_t size = 16;
	struct pyaudit_text *texts;

	while (size < 2 * expr->n_values)
		size *= 2;
	texts = compiler_take(c, size * sizeof(*texts));
	if (texts == NULL)
		return;
	for (size_t i = 0; i < size; i++)
		texts[i] = (struct pyaudit_text){pyaudit_le32_of(0),
						 pyaudit_le32_of(PYAUDIT_TEXT_EMPTY)};
	for (size_t i = 0; i < expr->n_values; i++) {
		const struct expr_value *value = &expr->values[i];
		size_t slot;

		if (!expr_value_is_text(value))
			continue;
		slot = (uint32_t)pyaudit_text_hash(value->text, value->len);
		while (pyaudit_get32(texts[slot % size].len) != PYAUDIT_TEXT_EMPTY)
			slot++;
		texts[slot % size].at = image_put_text(c, value->text, value->len);
		texts[slot % size].len = pyaudit_le32_of((uint32_t)value->len);
	}
	test->op = PYAUDIT_TEST_EQUAL_SET;
	test->data = image_put_table(c, texts, size, sizeof(*texts));
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
	test->ints = pyaudit_le32_of(image_put(c, ends, sizeof(ends), 8));
	test->n_ints = pyaudit_le32_of(2);
}

static void
emit_networks(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	size_t n = 0;
	struct pyaudit_network *nets = compiler_take(c, (expr->n_values + 1) * sizeof(*nets));

	for (size_t i = 0; i < expr->n_values && nets != NULL; i++) {
		const struct expr_value *value = &expr->values[i];

		if (expr_value_is_text(value) &&
		    pyaudit_network_parse(&nets[n], value->text, value->len))
			n++;
		else
			compiler_mistake(c, expr, value->line, value->column,
					 "not an address or range like 10.0.0.0/8");
	}
	if (nets == NULL)
		return;
	test->data = image_put_table(c, nets, n, sizeof(*nets));
	test->n_data = pyaudit_le32_of((uint32_t)n);
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
			ret[0] = image_put_dfa(c, &dfa);
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
			compiler_mistake(
				c, expr, expr->values[i].line, expr->values[i].column,
				"this pattern needs too large an automaton: shorten its counted "
				"repetitions, or use * in their place");
			diag_code(c->diag, "pattern-too-large");
			continue;
		}
		if (r != 0) {
			c->no_memory = true;
			return n;
		}
		ret[n++] = image_put_dfa(c, &dfa);
		dfa_fini(&dfa);
	}
	return n;
}

static void
emit_patterns(struct compiler *c, const struct expr *expr, struct pyaudit_test *test)
{
	struct pattern **patterns = calloc(expr->n_values + 1, sizeof(*patterns));
	pyaudit_le32 *automata = compiler_take(c, (expr->n_values + 1) * sizeof(*automata));
	bool sound = patterns != NULL && automata != NULL;
	size_t n;

	c->no_memory = c->no_memory || patterns == NULL;
	for (size_t i = 0; i < expr->n_values && patterns != NULL; i++) {
		const struct expr_value *value = &expr->values[i];
		struct pattern_error error;
		int r = pattern_parse(&patterns[i], pattern_kind_of(expr), value->text, value->len,
				      &error);

		if (r == 0)
			continue;
		sound = false;
		if (r < 0)
			c->no_memory = true;
		else
			compiler_mistake(c, expr, value->line, value->column,
					 "%s (at byte %zu of the %s)", error.message,
					 error.offset + 1,
					 expr->cmp == CMP_GLOB ? "glob" : "regular expression");
	}
	if (sound) {
		n = emit_automata(c, expr, patterns, automata);
		test->data = image_put_table(c, automata, n, sizeof(*automata));
		test->n_data = pyaudit_le32_of((uint32_t)n);
	}
	for (size_t i = 0; i < expr->n_values && patterns != NULL; i++)
		pattern_free(patterns[i]);
	free(patterns);
}

static struct pyaudit_test
emit_test(struct compiler *c, const struct expr *expr)
{
	struct pyaudit_test test = {.field = (uint8_t)expr->field,
				    .proc_bit = pyaudit_le16_of(PYAUDIT_NO_PROC_BIT)};

	if (expr_is_cidr(expr)) {
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
		if (expr_value_is_text(value))
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
		    expr_value_is_text(x) != expr_value_is_text(y))
			return false;
		if (expr_value_is_text(x) &&
		    (x->len != y->len || memcmp(x->text, y->text, x->len) != 0))
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
		compiler_mistake(c, expr, expr->line, expr->column,
				 "more than %d different conditions on proc.* fields in all rules",
				 PYAUDIT_PROC_ATOMS_MAX);
		return;
	}
	if (!compiler_grow(c, &c->proc_tests, c->n_proc_tests, &c->proc_tests_size,
			   sizeof(*c->proc_tests)))
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
	if (!compiler_grow(c, &c->tests, c->n_tests, &c->tests_size, sizeof(*c->tests)))
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

static uint32_t emit_condition(struct compiler *c, struct graph *graph, const struct expr *expr,
			       uint32_t yes, uint32_t no);

/* Is there a test in it that is answered by the file system? */
static bool
is_dear(const struct expr *expr)
{
	if (expr->op == EXPR_TEST)
		return compiler_dearness(expr->field) >= 2;
	return (expr->a != NULL && is_dear(expr->a)) || (expr->b != NULL && is_dear(expr->b));
}

/* The parts of an AND or OR that are dear, or those that are not; @next: where a part that does not decide leads. */
static uint32_t
emit_parts(struct compiler *c, struct graph *graph, const struct expr *expr, enum expr_op op, bool dear,
	   uint32_t next, uint32_t decided)
{
	if (expr->op == op) {
		next = emit_parts(c, graph, expr->b, op, dear, next, decided);
		return emit_parts(c, graph, expr->a, op, dear, next, decided);
	}
	if (is_dear(expr) != dear)
		return next;
	return op == EXPR_AND ? emit_condition(c, graph, expr, next, decided)
			      : emit_condition(c, graph, expr, decided, next);
}

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
		/* Dear parts last, so that most often they are not asked at all. */
		middle = emit_parts(c, graph, expr, EXPR_AND, true, yes, no);
		return emit_parts(c, graph, expr, EXPR_AND, false, middle, no);
	case EXPR_OR:
		middle = emit_parts(c, graph, expr, EXPR_OR, true, no, yes);
		return emit_parts(c, graph, expr, EXPR_OR, false, middle, yes);
	case EXPR_TEST:
		if (yes == no)
			return yes;
		if (!compiler_grow(c, &graph->nodes, graph->n, &graph->size, sizeof(*graph->nodes)))
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

void
compile_rule(struct compiler *c, const struct rule *rule, struct pyaudit_rule *ret)
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
	ret->id = image_put_text(c, rule->id, strlen(rule->id) + 1);
	ret->nodes = image_put_table(c, graph.nodes, graph.n, sizeof(*graph.nodes));
	ret->n_nodes = pyaudit_le32_of((uint32_t)graph.n);
	ret->entry = resolve(entry, graph.n);
	ret->flags = 0;
	if (rule->allow) {
		ret->flags = PYAUDIT_RULE_ALLOW;
		action = PYAUDIT_ACTION_NONE;
	} else if (action >= PYAUDIT_ACTION_BLOCK && (rule->observe || c->options->observe)) {
		ret->flags = PYAUDIT_RULE_WEAKENED;
		action = PYAUDIT_ACTION_ALERT;
	} else if (rule->memory.kind != RULE_NO_MEMORY) {
		ret->flags = PYAUDIT_RULE_MEMORY;
	}
	ret->action = action;
	ret->ack_ms = pyaudit_le16_of((uint16_t)rule->ack_ms);
	free(graph.nodes);
}
