/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expr.h"

/* A tree as text: (and (test exec.name eq sh bash) (not ...)). The caller frees it. */
static void
print_expr(const struct expr *expr, FILE *out)
{
	static const char *const ops[] = {"and", "or", "not", "true", "test"};
	static const char *const cmps[] = {"eq",   "lt",	 "le",	     "gt",	 "ge",
					   "glob", "startswith", "endswith", "contains", "matches",
					   "cidr", "under",	 "exists"};

	fprintf(out, "(%s", ops[expr->op]);
	if (expr->op == EXPR_TEST)
		fprintf(out, " %s %s", pyaudit_fields[expr->field].name, cmps[expr->cmp]);
	for (size_t i = 0; i < expr->n_values; i++) {
		if (expr->values[i].is_int)
			fprintf(out, " %lld", (long long)expr->values[i].number);
		else
			fprintf(out, " '%s'", expr->values[i].text);
	}
	if (expr->a != NULL) {
		fputc(' ', out);
		print_expr(expr->a, out);
	}
	if (expr->b != NULL) {
		fputc(' ', out);
		print_expr(expr->b, out);
	}
	fputc(')', out);
}

/* One list and one macro, as rules would have them. */
static const struct expr_list *
find_list(void *data, const char *name, size_t len)
{
	static char sh[] = "sh", bash[] = "bash";
	static struct expr_value texts[] = {{.text = sh, .len = 2}, {.text = bash, .len = 4}};
	static char p80[] = "80", p443[] = "443";
	static struct expr_value numbers[] = {
		{.is_int = true, .number = 80, .text = p80, .len = 2},
		{.is_int = true, .number = 443, .text = p443, .len = 3}};
	static const struct expr_list lists[] = {
		{.name = "shells", .values = texts, .n_values = 2},
		{.name = "ports", .values = numbers, .n_values = 2},
		{.name = "nothing"},
	};

	(void)data;
	for (size_t i = 0; i < 3; i++)
		if (strlen(lists[i].name) == len && memcmp(lists[i].name, name, len) == 0)
			return &lists[i];
	return NULL;
}

static const char *
list_at(void *data, size_t i)
{
	static const char *const names[] = {"shells", "ports", "nothing", NULL};

	(void)data;
	return names[i];
}

static const struct expr *
find_macro(void *data, const char *name, size_t len, const char *file, unsigned line,
	   unsigned column)
{
	static const struct expr writes = {
		.op = EXPR_TEST, .field = PYAUDIT_F_FILE_WRITE, .cmp = CMP_EXISTS};

	(void)data;
	(void)file;
	(void)line;
	(void)column;
	return len == 6 && memcmp(name, "writes", 6) == 0 ? &writes : NULL;
}

static const char *
macro_at(void *data, size_t i)
{
	(void)data;
	return i == 0 ? "writes" : NULL;
}

static int
parse(struct expr **ret, const char *text, bool filter, struct diag *diag)
{
	struct expr_names names = {
		.list = find_list,
		.macro = find_macro,
		.list_at = list_at,
		.macro_at = macro_at,
		.filter = filter,
	};
	struct expr_text source = {.file = "t", .text = text, .len = strlen(text)};

	return expr_parse(ret, &source, &names, diag);
}

static void
assert_tree(const char *text, bool filter, const char *expected)
{
	struct expr *expr = NULL;
	struct diag diag;
	char *shown = NULL;
	size_t size;
	FILE *out;

	diag_init(&diag);
	if (parse(&expr, text, filter, &diag) != 0)
		fail_msg("%s: %s", text, diag.n_entries > 0 ? diag.entries[0].message : "?");
	out = open_memstream(&shown, &size);
	print_expr(expr, out);
	fclose(out);
	assert_string_equal(shown, expected);
	free(shown);
	expr_free(expr);
	diag_fini(&diag);
}

static void
assert_mistake(const char *text, bool filter, unsigned column, const char *part)
{
	struct expr *expr = NULL;
	struct diag diag;

	diag_init(&diag);
	if (parse(&expr, text, filter, &diag) != RULES_E_INVALID)
		fail_msg("no mistake in %s", text);
	if (diag.n_errors != 1)
		fail_msg("%zu mistakes in %s, the second: %s", diag.n_errors, text,
			 diag.entries[1].message);
	if (strstr(diag.entries[0].message, part) == NULL)
		fail_msg("%s: '%s' is not in '%s'", text, part, diag.entries[0].message);
	if (diag.entries[0].column != column)
		fail_msg("%s: column %u", text, diag.entries[0].column);
	assert_int_equal(diag.entries[0].line, 1);
	diag_fini(&diag);
}

static void
operators_become_tests(void **state)
{
	static const char *const cases[][2] = {
		{"exec.name = 'sh'", "(test exec.name eq 'sh')"},
		{"exec.name != \"sh\"", "(not (test exec.name eq 'sh'))"},
		{"exec.name in $shells", "(test exec.name eq 'sh' 'bash')"},
		{"exec.name not in ['a', 'b']", "(not (test exec.name eq 'a' 'b'))"},
		{"exec.name in ('a','b')", "(test exec.name eq 'a' 'b')"},
		{"exec.argv glob ['a*', 'b?']", "(test exec.argv glob 'a*' 'b?')"},
		{"exec.path startswith $shells", "(test exec.path startswith 'sh' 'bash')"},
		{"file.path not endswith '.so'", "(not (test file.path endswith '.so'))"},
		{"file.path contains '..'", "(test file.path contains '..')"},
		{"file.path matches '^/a\\.b$'", "(test file.path matches '^/a\\.b$')"},
		{"file.path under '/etc'", "(test file.path under '/etc')"},
		{"net.port >= 1024", "(test net.port ge 1024)"},
		{"net.port<1024", "(test net.port lt 1024)"},
		{"net.port in $ports", "(test net.port eq 80 443)"},
		{"net.port = 0x50", "(test net.port eq 80)"},
		{"caller.line > -1", "(test caller.line gt -1)"},
		{"file.write", "(test file.write eq 1)"},
		{"not file.write", "(not (test file.write eq 1))"},
		{"file.write = false", "(test file.write eq 0)"},
		{"file.write != true", "(not (test file.write eq 1))"},
		{"exists file.path", "(test file.path exists)"},
		{"exists arg[7]", "(test arg[7] exists)"},
		{"arg[0] = 9", "(test arg[0] eq '9')"},
		{"layer = libc", "(test layer eq 'libc')"},
		{"net.ip cidr '10.0.0.0/8'", "(test net.ip cidr '10.0.0.0/8')"},
		{"net.ip cidr ['::1', 'fe80::/10']", "(test net.ip cidr '::1/128' 'fe80::/10')"},
		{"net.ip = '1:0:0::2'", "(test net.ip cidr '1::2/128')"},
		{"net.ip not in ['127.0.0.1']", "(not (test net.ip cidr '127.0.0.1/32'))"},
		{"writes", "(test file.write exists)"},
		{"exec.name in $nothing", "(not (true))"},
		{"proc.user = 'root'", "(test proc.uid eq 0)"},
		{"proc.user not in ['root']", "(not (test proc.uid eq 0))"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_tree(cases[i][0], false, cases[i][1]);
}

static void
and_binds_more_than_or_and_not_most(void **state)
{
	(void)state;
	assert_tree("event = 'a' or event = 'b' and not event = 'c'", false,
		    "(or (test event eq 'a') (and (test event eq 'b') (not (test event eq 'c'))))");
	assert_tree("(event = 'a' or event = 'b') and event = 'c'", false,
		    "(and (or (test event eq 'a') (test event eq 'b')) (test event eq 'c'))");
	assert_tree("not not event = 'a'", false, "(test event eq 'a')");
	assert_tree("not (event = 'a' or writes)", false,
		    "(not (or (test event eq 'a') (test file.write exists)))");
}

static void
strings_have_escapes_and_patterns_keep_their_backslashes(void **state)
{
	(void)state;
	assert_tree("event = 'a\\'b\\\\\\n\\x41'", false, "(test event eq 'a'b\\\nA')");
	assert_tree("event = \"it's\"", false, "(test event eq 'it's')");
	assert_tree("event glob 'a\\*\\'b\\\\'", false, "(test event glob 'a\\*'b\\\\')");
	assert_tree("event matches ['\\d', '\\.']", false, "(test event matches '\\d' '\\.')");
	assert_mistake("event = 'a\\d'", false, 11, "unknown escape");
}

static void
filters_know_what_rules_said(void **state)
{
	(void)state;
	assert_tree("severity >= warning and rule = shell-1", true,
		    "(and (test severity ge 2) (test rule eq 'shell-1'))");
	assert_tree("class = @exec or class in ['file']", true,
		    "(or (test class eq 'exec') (test class eq 'file'))");
	assert_tree("kind != status", true, "(not (test kind eq 'status'))");
	assert_mistake("severity >= warning", false, 1, "known only after rules ran");
	assert_mistake("exists rule", false, 8, "known only after rules ran");
}

static void
each_mistake_has_its_column_and_a_hint(void **state)
{
	static const struct {
		const char *text;
		unsigned column;
		const char *part;
	} cases[] = {
		{"", 1, "an empty condition"},
		{"exec.nam = 'a'", 1, "unknown field 'exec.nam', did you mean 'exec.name'?"},
		{"Exec.Name = 'a'", 1, "did you mean 'exec.name'?"},
		{"prot = 80", 1, "unknown field or macro 'prot'"},
		{"port = 80", 1, "did you mean 'net.port'?"},
		{"write", 1, "did you mean 'writes'?"},
		{"arg[8] = 'a'", 1, "arg[0] to arg[7]"},
		{"exec.name startwith 'a'", 11,
		 "unknown operator 'startwith', did you mean 'startswith'?"},
		{"exec.name in $shels", 14, "unknown list 'shels', did you mean 'shells'?"},
		{"exec.name == 'a'", 11, "'==' is written '='"},
		{"exec.name = 'a' && writes", 17, "'&&' is written 'and'"},
		{"!writes", 1, "'!' is written 'not'"},
		{"exec.name = sh", 13, "texts stand in quotes: 'sh'"},
		{"exec.name = 'sh", 13, "no closing quote"},
		{"exec.name = 5", 13, "put the value in quotes"},
		{"exec.name < 'a'", 11, "'<' does not apply to exec.name"},
		{"exec.name in 'a'", 14, "'in' takes a list"},
		{"exec.name = ['a']", 13, "use 'in' for several"},
		{"exec.name != $shells", 14, "use 'in' for a list"},
		{"exec.name in ['a' 'b']", 19, "expected ',' or ']', found ''b''"},
		{"exec.name", 10, "expected an operator"},
		{"exec.name not = 'a'", 15, "'not' cannot stand before '='"},
		{"file.write glob 'a'", 12, "write the field alone"},
		{"file.write = 'yes'", 14, "file.write is true or false"},
		{"net.port = '80'", 12, "write it without quotes"},
		{"net.port = 65536", 12, "a port is 0 to 65535"},
		{"net.port in $shells", 13, "net.port is a number"},
		{"net.port = 99999999999999999999", 12, "too large"},
		{"net.port = 80x", 12, "not a number"},
		{"net.host cidr '10.0.0.0/8'", 10, "use net.ip"},
		{"net.ip startswith '10.'", 8, "use cidr"},
		{"net.ip cidr '10.0.0.1/8'", 13, "did you mean '10.0.0.0/8'?"},
		{"net.ip cidr '10.0.0.0/33'", 13, "the prefix length is 0 to 32"},
		{"net.ip cidr 'localhost'", 13, "not an address"},
		{"net.ip = '10.0.0.0/8'", 10, "use the operator cidr"},
		{"net.family = 'inet4'", 14, "net.family is never 'inet4', did you mean 'inet'?"},
		{"file.path under 'etc'", 17, "absolute path"},
		{"file.path contains ''", 20, "always holds"},
		{"(writes", 8, "expected ')' for the '(' in column 1"},
		{"writes)", 7, "expected 'and', 'or' or the end, found ')'"},
		{"writes writes", 8, "expected 'and', 'or' or the end"},
		{"and writes", 1, "expected a field, a macro or '('"},
		{"writes and", 11, "expected a field, a macro or '(', found the end"},
		{"exists 'a'", 8, "expected a field behind 'exists'"},
		{"\xc3\xa9\xc3\xa9 = 1", 1, "unexpected character '\xc3\xa9'"},
		{"event = '\xc3\xa9' or \xe2\x82\xac", 16, "unexpected character"},
		{"event matches 'a(b'", 17, "parenthesis is not closed"},
		{"event matches '\xc3\xa9\\'[z-a]'", 23, "range is the wrong way round"},
		{"event matches ['a', '\\\\\\'**c']", 27, "nothing to repeat"},
		{"proc.user = 'no such user'", 13, "there is no user 'no such user'"},
		{"proc.user glob 'r*'", 11, "does not apply to proc.user"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_mistake(cases[i].text, false, cases[i].column, cases[i].part);
	assert_mistake("severity > warn", true, 12, "did you mean 'warning'?");
	assert_mistake("action = blok", true, 10, "did you mean 'block'?");
}

static void
several_mistakes_of_one_condition_are_told_together(void **state)
{
	struct expr *expr = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(parse(&expr, "exec.nam = 'a' and net.port = 'x' or foo and proc.pidd > 1",
			       false, &diag),
			 RULES_E_INVALID);
	assert_int_equal(diag.n_errors, 4);
	diag_fini(&diag);
}

static void
long_chains_are_flat_and_deep_nesting_is_refused(void **state)
{
	struct expr *expr = NULL;
	struct diag diag;
	char *text = NULL;
	size_t size, n_nodes;
	unsigned height;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		fprintf(out, "%sevent = 'e%u'", i > 0 ? " or " : "", i);
	fclose(out);
	diag_init(&diag);
	assert_int_equal(parse(&expr, text, false, &diag), 0);
	expr_measure(expr, &n_nodes, &height);
	assert_int_equal(n_nodes, 19999);
	assert_true(height <= 15);
	expr_free(expr);
	free(text);

	text = calloc(1, 1000);
	memset(text, '(', 500);
	strcat(text, "writes");
	expr = NULL;
	assert_int_equal(parse(&expr, text, false, &diag), RULES_E_INVALID);
	assert_non_null(strstr(diag.entries[0].message, "nested more than"));
	free(text);
	diag_fini(&diag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operators_become_tests),
		cmocka_unit_test(and_binds_more_than_or_and_not_most),
		cmocka_unit_test(strings_have_escapes_and_patterns_keep_their_backslashes),
		cmocka_unit_test(filters_know_what_rules_said),
		cmocka_unit_test(each_mistake_has_its_column_and_a_hint),
		cmocka_unit_test(several_mistakes_of_one_condition_are_told_together),
		cmocka_unit_test(long_chains_are_flat_and_deep_nesting_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
