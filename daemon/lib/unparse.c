/* SPDX-License-Identifier: Apache-2.0 */
#include "unparse.h"

#include "json.h"
#include "rules.h"

#define TEXT_SHOWN 200 /* bytes of a value's text */

static const char *const cmp_names[] = {
	[CMP_EQ] = "=",
	[CMP_LT] = "<",
	[CMP_LE] = "<=",
	[CMP_GT] = ">",
	[CMP_GE] = ">=",
	[CMP_GLOB] = "glob",
	[CMP_STARTSWITH] = "startswith",
	[CMP_ENDSWITH] = "endswith",
	[CMP_CONTAINS] = "contains",
	[CMP_MATCHES] = "matches",
	[CMP_CIDR] = "cidr",
	[CMP_UNDER] = "under",
};

/* Patterns keep their backslashes. */
static void
add_quoted(struct buf *out, const struct expr_value *value, bool pattern)
{
	buf_add_char(out, '\'');
	for (size_t i = 0; i < value->len; i++) {
		unsigned char c = (unsigned char)value->text[i];

		if (c == '\'' || (c == '\\' && !pattern))
			buf_add_char(out, '\\');
		if ((c < ' ' || c == 0x7f) && !pattern)
			buf_addf(out, "\\x%02x", c);
		else
			buf_add_char(out, (char)c);
	}
	buf_add_char(out, '\'');
}

static void
add_value(struct buf *out, const struct expr *test, const struct expr_value *value)
{
	unsigned type = pyaudit_fields[test->field].type;

	if (!value->is_int) {
		add_quoted(out, value, test->cmp == CMP_MATCHES || test->cmp == CMP_GLOB);
	} else if (type == PYAUDIT_TYPE_SEV) {
		buf_add_str(out, severity_name((enum pyaudit_severity)value->number));
	} else if (type == PYAUDIT_TYPE_BOOL) {
		buf_add_str(out, value->number != 0 ? "true" : "false");
	} else {
		buf_add_int(out, value->number);
	}
}

static void
add_test(struct buf *out, const struct expr *test, bool whole)
{
	const char *field = pyaudit_fields[test->field].name;
	size_t shown = !whole && test->n_values > UNPARSE_VALUES_SHOWN + 1 ? UNPARSE_VALUES_SHOWN
									   : test->n_values;

	if (test->cmp == CMP_EXISTS) {
		if (pyaudit_fields[test->field].type != PYAUDIT_TYPE_BOOL)
			buf_add_str(out, "exists ");
		buf_add_str(out, field);
		return;
	}
	buf_addf(out, "%s %s ", field,
		 test->cmp == CMP_EQ && test->n_values != 1 ? "in" : cmp_names[test->cmp]);
	if (test->n_values == 1) {
		add_value(out, test, &test->values[0]);
		return;
	}
	buf_add_char(out, '[');
	for (size_t i = 0; i < shown; i++) {
		if (i > 0)
			buf_add_str(out, ", ");
		add_value(out, test, &test->values[i]);
	}
	if (shown < test->n_values)
		buf_addf(out, ", ... %zu more", test->n_values - shown);
	buf_add_char(out, ']');
}

static void
add_expr(struct buf *out, const struct expr *expr, enum expr_op within, bool whole)
{
	bool brackets = (expr->op == EXPR_OR && within != EXPR_OR) ||
			(expr->op == EXPR_AND && within == EXPR_NOT);

	if (brackets)
		buf_add_char(out, '(');
	switch (expr->op) {
	case EXPR_TRUE:
		buf_add_str(out, "(always)");
		break;
	case EXPR_NOT:
		buf_add_str(out, "not ");
		add_expr(out, expr->a, EXPR_NOT, whole);
		break;
	case EXPR_AND:
	case EXPR_OR:
		add_expr(out, expr->a, expr->op, whole);
		buf_add_str(out, expr->op == EXPR_AND ? " and " : " or ");
		add_expr(out, expr->b, expr->op, whole);
		break;
	case EXPR_TEST:
		add_test(out, expr, whole);
		break;
	}
	if (brackets)
		buf_add_char(out, ')');
}

void
unparse_expr(struct buf *out, const struct expr *expr)
{
	add_expr(out, expr, EXPR_OR, false);
}

void
unparse_whole(struct buf *out, const struct expr *expr)
{
	add_expr(out, expr, EXPR_OR, true);
}

static void
add_json(struct json *json, const struct pyaudit_value *v)
{
	uint32_t shown = v->len > TEXT_SHOWN ? TEXT_SHOWN : v->len;

	switch (v->type) {
	case PYAUDIT_TAG_INT:
		json_int(json, v->i);
		break;
	case PYAUDIT_TAG_BOOL:
		json_bool(json, v->i != 0);
		break;
	case PYAUDIT_TAG_LIST:
		json_array(json);
		for (unsigned i = 0; i < v->n_items; i++)
			add_json(json, &v->items[i]);
		json_array_end(json);
		break;
	default:
		while (shown < v->len && shown > 0 && ((unsigned char)v->s[shown] & 0xc0) == 0x80)
			shown--;
		json_text(json, v->s, shown);
		if (shown < v->full_len)
			buf_addf(json->out, "(%u bytes)", v->full_len);
	}
}

void
unparse_value(struct buf *out, bool has, const struct pyaudit_value *value)
{
	struct json json = json_on(out);

	if (has)
		add_json(&json, value);
	else
		buf_add_str(out, "no value");
}
