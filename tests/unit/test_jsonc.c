/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jsonc.h"
#include "rules.h"

static struct jsonc_doc *
parse(const char *text)
{
	struct jsonc_doc *doc = NULL;
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(jsonc_parse(&doc, "t", text, strlen(text), &diag), 0);
	assert_int_equal(diag.n_entries, 0);
	diag_fini(&diag);
	return doc;
}

/* The one mistake of a text: its place and a part of its message. */
static void
assert_mistake_n(const char *text, size_t len, unsigned line, unsigned column, const char *part)
{
	struct jsonc_doc *doc = NULL;
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(jsonc_parse(&doc, "t", text, len, &diag), JSONC_E_INVALID);
	assert_int_equal(diag.n_errors, 1);
	assert_string_equal(diag.entries[0].file, "t");
	if (strstr(diag.entries[0].message, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, diag.entries[0].message);
	assert_int_equal(diag.entries[0].line, line);
	assert_int_equal(diag.entries[0].column, column);
	diag_fini(&diag);
	jsonc_free(doc);
}

static void
values_keep_type_and_place(void **state)
{
	struct jsonc_doc *doc = parse("{\n"
				      "  // a comment\n"
				      "  \"a\": [1, -2.5e1, true, null], /* and\n"
				      "  another */ \"b\": \"\xc3\xa9\", \"c\": {}\n"
				      "}\n");
	const struct jsonc *a = jsonc_get(doc->root, "a"), *b = jsonc_get(doc->root, "b");
	const struct jsonc *item = a->child;

	(void)state;
	assert_int_equal(a->name_line, 3);
	assert_int_equal(a->name_column, 3);
	assert_int_equal(a->column, 8);
	assert_int_equal(a->n_children, 4);
	assert_true(item->is_int);
	assert_int_equal(item->integer, 1);
	item = item->next;
	assert_false(item->is_int);
	assert_true(item->number == -25.0);
	item = item->next;
	assert_int_equal(item->type, JSONC_BOOL);
	assert_int_equal(item->next->type, JSONC_NULL);
	assert_int_equal(item->next->column, 26);
	assert_int_equal(b->line, 4);
	assert_int_equal(b->name_column, 14);
	assert_int_equal(jsonc_get(doc->root, "c")->column, 29); /* the accent is one character */
	assert_null(jsonc_get(doc->root, "d"));
	jsonc_free(doc);
}

static void
escapes_are_decoded(void **state)
{
	struct jsonc_doc *doc =
		parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"");

	(void)state;
	assert_string_equal(doc->root->text,
			    "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	jsonc_free(doc);
}

static void
a_place_in_decoded_text_leads_back_to_the_source(void **state)
{
	/* decoded: a"b é c ; source columns: quote 3, a 4, \" 5, b 7, \u00e9 9, é 16, c 18 */
	struct jsonc_doc *doc = parse("\n  \"a\\\"b \\u00e9 \xc3\xa9 c\"");
	const struct jsonc *s = doc->root;
	static const struct {
		size_t offset;
		unsigned column;
	} cases[] = {{0, 4}, {1, 5}, {2, 7}, {4, 9}, {7, 16}, {10, 18}, {99, 19}, {1, 5}};
	struct jsonc_cursor cursor;

	(void)state;
	jsonc_cursor_init(&cursor, s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		jsonc_cursor_move(&cursor, s, cases[i].offset);
		assert_int_equal(cursor.line, 2);
		assert_int_equal(cursor.column, cases[i].column);
	}
	jsonc_free(doc);
}

static void
large_integers_are_not_rounded(void **state)
{
	struct jsonc_doc *doc =
		parse("[9223372036854775807, -9223372036854775808, 9223372036854775808]");
	const struct jsonc *item = doc->root->child;

	(void)state;
	assert_true(item->is_int);
	assert_true(item->integer == INT64_MAX);
	assert_true(item->next->integer == INT64_MIN);
	assert_false(item->next->next->is_int);
	jsonc_free(doc);
}

static void
each_mistake_is_told_at_its_place(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *part;
	} cases[] = {
		{"", 1, 1, "the end of the file"},
		{"{\n \"a\": 1,\n}", 2, 8, "trailing comma"},
		{"[1,2,]", 1, 5, "trailing comma"},
		{"[,]", 1, 2, "expected a value, found ','"},
		{"[1 2]", 1, 4, "expected ',' or ']', found '2'"},
		{"{\"a\" 1}", 1, 6, "expected ':'"},
		{"{a: 1}", 1, 2, "expected a name in double quotes"},
		{"{\"a\": 'x'}", 1, 7, "double quotes"},
		{"{\"a\": 1, \"b\": 2,\n \"a\": 3}", 2, 2, "'a' stands twice, first in line 1"},
		{"[\"\xc3\xa9\", nope]", 1, 7, "expected a value, found 'n'"},
		{"\"abc", 1, 1, "no closing quote"},
		{"\"a\nb\"", 1, 1, "no closing quote"},
		{"\"a\\qb\"", 1, 3, "unknown escape"},
		{"\"a\\u00zzb\"", 1, 3, "wrong \\u escape"},
		{"\"\\u0000\"", 1, 2, "no NUL"},
		{"\"\\ud83d x\"", 1, 2, "surrogates in pairs"},
		{"\"a\tb\"", 1, 3, "control character"},
		{"[1] x", 1, 5, "expected the end of the file, found 'x'"},
		{"[01]", 1, 3, "expected ',' or ']'"},
		{"[-]", 1, 2, "not a number"},
		{"[1.]", 1, 2, "not a number"},
		{"[1e]", 1, 2, "not a number"},
		{"/* open", 1, 1, "this comment has no end"},
		{"[1 / 2]", 1, 4, "expected ',' or ']', found '/'"},
		{"[\"\xff\"]", 1, 3, "not UTF-8"},
		{"[\"\xc0\x80\"]", 1, 3, "not UTF-8"},
		{"[\"\xed\xa0\x80\"]", 1, 3, "not UTF-8"},
		{"[\"\xe2\x82", 1, 3, "not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_mistake_n(cases[i].text, strlen(cases[i].text), cases[i].line,
				 cases[i].column, cases[i].part);
	assert_mistake_n("[1,\0 2]", 7, 1, 4, "NUL");
}

static void
mistakes_that_leave_the_shape_clear_keep_the_document(void **state)
{
	static const char text[] = "{\"a\": \"x\\qy\", \"b\": [1,], \"a\": 2,}";
	struct jsonc_doc *doc = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(jsonc_parse(&doc, "t", text, strlen(text), &diag), JSONC_E_INVALID);
	assert_int_equal(diag.n_errors, 4);
	assert_non_null(doc);
	assert_string_equal(jsonc_get(doc->root, "a")->text, "xy");
	jsonc_free(doc);
	diag_fini(&diag);
}

static void
nesting_is_bounded(void **state)
{
	char text[2 * (RULES_DEPTH_MAX + 1) + 1];

	(void)state;
	memset(text, '[', RULES_DEPTH_MAX);
	memset(text + RULES_DEPTH_MAX, ']', RULES_DEPTH_MAX);
	text[2 * RULES_DEPTH_MAX] = '\0';
	jsonc_free(parse(text));
	memset(text, '[', RULES_DEPTH_MAX + 1);
	assert_mistake_n(text, RULES_DEPTH_MAX + 1, 1, RULES_DEPTH_MAX + 1, "nested more than");
}

static void
size_is_bounded(void **state)
{
	size_t size = RULES_FILE_SIZE_MAX + 1;
	char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	memset(text, ' ', size);
	assert_mistake_n(text, size, 0, 0, "larger than");
	memset(text, '[', 1);
	for (size_t i = 1; i + 1 < size - 1; i += 2)
		memcpy(text + i, "1,", 2);
	assert_mistake_n(text, size - 1, 1, 2 * JSONC_VALUES_MAX, "more than");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_keep_type_and_place),
		cmocka_unit_test(escapes_are_decoded),
		cmocka_unit_test(a_place_in_decoded_text_leads_back_to_the_source),
		cmocka_unit_test(large_integers_are_not_rounded),
		cmocka_unit_test(each_mistake_is_told_at_its_place),
		cmocka_unit_test(mistakes_that_leave_the_shape_clear_keep_the_document),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(size_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
