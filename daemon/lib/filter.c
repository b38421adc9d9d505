/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of `tail`: walks the expression itself and asks for fields as it goes. What a test means
 * is what agent/verdict.c says of it. Patterns are read anew for each value: filters run
 * outside the guest, and most of them compare a name.
 */
#include <string.h>

#include "cleanup.h"
#include "compile.h"
#include "pattern.h"
#include "verdict.h"

static bool
is_number(const struct pyaudit_value *v)
{
	return v->type == PYAUDIT_TAG_INT || v->type == PYAUDIT_TAG_BOOL;
}

/* Numbers are compared as such, and as text in decimal where the field gives text. */
static bool
number_of(const struct pyaudit_value *v, int64_t *ret)
{
	if (is_number(v)) {
		*ret = v->i;
		return true;
	}
	return pyaudit_value_is_text(v) && pyaudit_number_parse(v->s, v->len, ret);
}

static bool
pattern_test(const struct expr *test, const struct expr_value *value, const char *s, size_t len)
{
	CLEANUP(pattern_freep) struct pattern *pattern = NULL;
	struct pattern_error error;

	return pattern_parse(&pattern, test->cmp == CMP_GLOB ? PATTERN_GLOB : PATTERN_REGEX,
			     value->text, value->len, &error) == 0 &&
	       pattern_holds(pattern, s, len);
}

static bool
under_test(const struct expr_value *value, const char *s, size_t len)
{
	CLEANUP(freep) char *dir = malloc(value->len + 1);
	size_t dir_len;

	if (dir == NULL)
		return false;
	dir_len = pyaudit_path_normalise(dir, value->len + 1, value->text, value->len);
	return pyaudit_path_under(dir, dir_len, s, len);
}

static bool
network_test(const struct expr_value *value, const char *s, size_t len)
{
	struct pyaudit_network net;
	uint8_t address[16];

	return pyaudit_network_parse(&net, value->text, value->len) &&
	       pyaudit_address_within(pyaudit_address_parse(s, len, address), address, &net);
}

static bool
text_test(const struct expr *test, const struct expr_value *value, const char *s, size_t len)
{
	if (value->text == NULL)
		return false;
	if (test->cmp == CMP_EQ && pyaudit_fields[test->field].type == PYAUDIT_TYPE_IP)
		return network_test(value, s, len);
	switch (test->cmp) {
	case CMP_EQ:
		return value->len == len && memcmp(value->text, s, len) == 0;
	case CMP_STARTSWITH:
		return value->len <= len && memcmp(value->text, s, value->len) == 0;
	case CMP_ENDSWITH:
		return value->len <= len &&
		       memcmp(value->text, s + len - value->len, value->len) == 0;
	case CMP_CONTAINS:
		return memmem(s, len, value->text, value->len) != NULL;
	case CMP_UNDER:
		return under_test(value, s, len);
	case CMP_CIDR:
		return network_test(value, s, len);
	case CMP_GLOB:
	case CMP_MATCHES:
		return pattern_test(test, value, s, len);
	default:
		return false;
	}
}

static bool
order_test(enum expr_cmp cmp, int64_t a, int64_t b)
{
	switch (cmp) {
	case CMP_LT:
		return a < b;
	case CMP_LE:
		return a <= b;
	case CMP_GT:
		return a > b;
	case CMP_GE:
		return a >= b;
	default:
		return false;
	}
}

static bool
value_test(const struct expr *test, const struct pyaudit_value *v)
{
	bool order = test->cmp >= CMP_LT && test->cmp <= CMP_GE;
	int64_t number;

	for (size_t i = 0; i < test->n_values; i++) {
		const struct expr_value *value = &test->values[i];

		if (order) {
			if (value->is_int && number_of(v, &number) &&
			    order_test(test->cmp, number, value->number))
				return true;
		} else if (is_number(v)) {
			if (test->cmp == CMP_EQ && value->is_int && v->i == value->number)
				return true;
		} else if (pyaudit_value_is_text(v) && text_test(test, value, v->s, v->len)) {
			return true;
		}
	}
	return false;
}

static bool
field_test(const struct expr *test, filter_get_fn *get, void *data)
{
	struct pyaudit_value v = {.type = 0};

	if (!get(data, test->field, &v))
		return false;
	if (test->cmp == CMP_EXISTS)
		return v.type == PYAUDIT_TAG_BOOL ? v.i != 0
						  : v.type == PYAUDIT_TAG_LIST || is_number(&v) ||
							    pyaudit_value_is_text(&v);
	if (v.type != PYAUDIT_TAG_LIST)
		return value_test(test, &v);
	for (unsigned i = 0; i < v.n_items; i++)
		if (value_test(test, &v.items[i]))
			return true;
	return false;
}

/* As deep as the parser lets expressions be. */
bool
filter_match(const struct expr *filter, filter_get_fn *get, void *data)
{
	switch (filter->op) {
	case EXPR_AND:
		return filter_match(filter->a, get, data) && filter_match(filter->b, get, data);
	case EXPR_OR:
		return filter_match(filter->a, get, data) || filter_match(filter->b, get, data);
	case EXPR_NOT:
		return !filter_match(filter->a, get, data);
	case EXPR_TEST:
		return field_test(filter, get, data);
	case EXPR_TRUE:
		break;
	}
	return true;
}
