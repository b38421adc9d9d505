/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Triggers: what a condition cannot hold without. Of an AND the best part's will do, of an OR all
 * are needed, of a NOT nothing is known.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

#define EVENT_WORTH 3 /* less than whether it writes, more than the code that raised it */

static void
add_trigger(struct compiler *c, struct access *access, unsigned field, enum trigger_kind kind,
	    const char *text, size_t len, int64_t number, int worth)
{
	struct trigger *trigger;

	if (!compiler_grow(c, &access->triggers, access->n, &access->size,
			   sizeof(*access->triggers)))
		return;
	trigger = &access->triggers[access->n++];
	*trigger =
		(struct trigger){.kind = (uint8_t)kind, .field = (uint8_t)field, .number = number};
	if (text != NULL) {
		char *copy = compiler_take(c, len + 1);

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

/* The path whose last component the field is: what ends the one ends the other, and one look is enough for both. */
static bool
path_of(unsigned *field)
{
	if (*field == PYAUDIT_F_FILE_NAME)
		*field = PYAUDIT_F_FILE_PATH;
	else if (*field == PYAUDIT_F_EXEC_NAME)
		*field = PYAUDIT_F_EXEC_PATH;
	else
		return false;
	return true;
}

static void
add_text(struct compiler *c, struct access *access, unsigned field, enum trigger_kind kind,
	 const char *text, size_t len)
{
	int worth = worth_of(kind, len);
	bool end_of_path = (kind == TRIGGER_WHOLE || kind == TRIGGER_SUFFIX) && len > 0 && path_of(&field);
	size_t max;

	if (end_of_path)
		kind = TRIGGER_SUFFIX;
	max = kind == TRIGGER_WITHIN ? GRAM_LITERAL_MAX : TRIGGER_LEN_MAX;

	if (len > max) {
		if (kind == TRIGGER_SUFFIX)
			text += len - max;
		if (kind == TRIGGER_WHOLE)
			kind = TRIGGER_PREFIX;
		len = max;
	}
	if (len == 0 && kind != TRIGGER_WHOLE) {
		kind = TRIGGER_ANY;
		worth = 0;
	}
	/* Asking for packages may have listings read: where anything else narrows it down, that comes first. */
	if (field == PYAUDIT_F_CALLER_PACKAGE || field == PYAUDIT_F_STACK_PACKAGE)
		worth = 1;
	add_trigger(c, access, field, kind, text, len, 0, worth);
}

static void
add_network(struct compiler *c, struct access *access, const struct expr *expr,
	    const struct expr_value *value)
{
	struct pyaudit_network net;
	char key[17];
	size_t len;

	if (!expr_value_is_text(value) || !pyaudit_network_parse(&net, value->text, value->len))
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

	int r = pattern_parse(&pattern, pattern_kind_of(expr), value->text, value->len, &error);

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
	char *path = compiler_take(c, value->len + 1);
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

		if (expr_is_cidr(expr)) {
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
			if (expr_value_is_text(value))
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
	/* A program is made for events: the name of one says little there, and that of the commonest most often yes. */
	if (expr->field == PYAUDIT_F_EVENT && access.worth > EVENT_WORTH)
		access.worth = EVENT_WORTH;
	/* The same of a look at the file system, which is dearer still. */
	if (compiler_dearness(expr->field) == DEAREST && access.worth != INT_MAX)
		access.worth = access.worth > 1 ? 1 : access.worth - 20;
	return access;
}

void
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
		if (!compiler_grow(c, &a.triggers, a.n, &a.size, sizeof(*a.triggers)))
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

struct access
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
