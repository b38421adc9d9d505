/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "expr.h"
#include "rules.h"

#define NOON_2026_06_30 INT64_C(1782820800)
#define DAY INT64_C(86400)

/* Allocations of the code under test go through these (rules.cmake); the n-th can be failed. */
static long fail_after = -1;

static bool
fails(void)
{
	return fail_after >= 0 && fail_after-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *s);
int __real_vasprintf(char **ret, const char *format, va_list ap);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *s);
int __wrap_vasprintf(char **ret, const char *format, va_list ap);

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

char *
__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

int
__wrap_vasprintf(char **ret, const char *format, va_list ap)
{
	return fails() ? -1 : __real_vasprintf(ret, format, ap);
}

static const char example[] =
	"{ \"version\": 1,\n"
	"  \"lists\":  { \"shells\": [\"sh\", \"bash\", \"dash\", \"zsh\", \"ksh\"] },\n"
	"  \"macros\": { \"web_worker\": \"proc.unit glob 'gunicorn*' or stack.module = "
	"'wsgiref'\" },\n"
	"  \"rules\": [ {\n"
	"      \"id\": \"shell-from-web-worker\",\n"
	"      \"title\": \"A web worker started a shell\",\n"
	"      \"on\": [\"@exec\"],\n"
	"      \"when\": [\"exec.name in $shells\", \"web_worker\"],\n"
	"      \"action\": \"block\",\n"
	"      \"severity\": \"critical\",\n"
	"      \"attack\": [\"T1059.004\", \"T1190\"],\n"
	"      \"message\": \"{exec.cmdline} from {{{caller.file}:{caller.line}}}\",\n"
	"      \"exceptions\": [ { \"when\": \"caller.module = 'myapp.thumbnails'\",\n"
	"          \"owner\": \"media team\", \"reason\": \"ffmpeg wrapper\",\n"
	"          \"expires\": \"2026-06-30\" } ],\n"
	"      \"tests\": [\n"
	"        { \"event\": \"os.system\", \"args\": [\"id\"], \"proc\": {\"unit\": "
	"\"gunicorn.service\"},\n"
	"          \"caller\": {\"module\": \"m\", \"line\": 3}, \"stack\": [{\"module\": "
	"\"s\"}],\n"
	"          \"expect\": \"block\" },\n"
	"        { \"event\": \"os.system\", \"args\": [{\"bytes\": \"id\"}], \"expect\": \"none\" "
	"} ]\n"
	"    },\n"
	"    { \"id\": \"let-thumbnails\", \"title\": \"t\", \"on\": \"@exec\", \"action\": "
	"\"allow\",\n"
	"      \"over\": \"shell-from-web-worker\" } ] }\n";

static struct rule_set *
parse(const char *text)
{
	struct rule_set *set = NULL;
	struct diag diag;

	diag_init(&diag);
	if (rules_parse_at(&set, "t", text, strlen(text), NOON_2026_06_30, &diag) != 0)
		fail_msg("%u:%u: %s", diag.entries[0].line, diag.entries[0].column,
			 diag.entries[0].message);
	assert_int_equal(diag.n_entries, 0);
	diag_fini(&diag);
	return set;
}

static bool
asks_for(const struct rule *rule, const char *event)
{
	unsigned id = event != NULL ? pyaudit_event_by_name(event, strlen(event)) : 0;

	return (rule->events[id / 8] >> id % 8 & 1) != 0;
}

static void
a_rule_file_becomes_a_rule_set(void **state)
{
	struct rule_set *set = parse(example);
	const struct rule *rule = &set->rules[0];

	(void)state;
	assert_int_equal(set->n_rules, 2);
	assert_int_equal(set->n_files, 1);
	assert_string_equal(set->files[0], "t");
	assert_string_equal(rule->id, "shell-from-web-worker");
	assert_string_equal(rule->title, "A web worker started a shell");
	assert_string_equal(rule->owner_file, "t");
	assert_int_equal(rule->line, 5);
	assert_int_equal(rule->column, 13);
	assert_int_equal(rule->action, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(rule->severity, PYAUDIT_SEV_CRITICAL);
	assert_false(rule->allow);
	assert_false(rule->observe);
	assert_int_equal(rule->n_attack, 2);
	assert_string_equal(rule->attack[1], "T1190");
	assert_true(asks_for(rule, "os.system"));
	assert_true(asks_for(rule, "subprocess.Popen"));
	assert_false(asks_for(rule, "open"));
	/* (shells AND macro) AND NOT exception */
	assert_int_equal(rule->when->op, EXPR_AND);
	assert_int_equal(rule->when->b->op, EXPR_NOT);
	assert_int_equal(rule->when->a->a->field, PYAUDIT_F_EXEC_NAME);
	assert_int_equal(rule->when->a->a->n_values, 5);
	assert_int_equal(rule->when->a->b->op, EXPR_OR);
	assert_int_equal(rule->when->a->b->line, 3); /* where the macro stands */
	assert_int_equal(rule->n_tests, 2);
	assert_string_equal(rule->tests[0].event, "os.system");
	assert_string_equal(rule->tests[0].layer, "audit");
	assert_int_equal(rule->tests[0].expect, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(rule->tests[1].expect, PYAUDIT_ACTION_NONE);
	assert_int_equal(rule->tests[1].line, 20);
	assert_non_null(rule->tests[0].proc);
	assert_null(rule->tests[1].proc);

	rule = &set->rules[1];
	assert_true(rule->allow);
	assert_int_equal(rule->n_over, 1);
	assert_string_equal(rule->over[0], "shell-from-web-worker");
	assert_int_equal(rule->when->op, EXPR_TRUE);
	assert_int_equal(rule->severity, PYAUDIT_SEV_INFO);
	rules_free(set);
}

static void
an_exception_applies_through_its_last_day(void **state)
{
	struct rule_set *set = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(
		rules_parse_at(&set, "t", example, strlen(example), NOON_2026_06_30 + DAY, &diag),
		0);
	assert_int_equal(diag.n_errors, 0);
	assert_int_equal(diag.n_warnings, 1);
	assert_string_equal(
		diag.entries[0].message,
		"this exception of 'shell-from-web-worker' expired on 2026-06-30 and no "
		"longer applies");
	assert_int_equal(diag.entries[0].line, 15);
	assert_int_equal(set->rules[0].when->b->op, EXPR_OR); /* the macro, no NOT */
	rules_free(set);
	diag_fini(&diag);
}

static void
all_is_every_event_but_noise(void **state)
{
	struct rule_set *set = parse(
		"{\"version\": 1, \"rules\": ["
		"{\"id\": \"a\", \"title\": \"t\", \"on\": \"@all\", \"action\": \"record\"},"
		"{\"id\": \"b\", \"title\": \"t\", \"on\": [\"builtins.id\", \"custom:my.event\"],"
		" \"action\": \"record\"}]}");

	(void)state;
	assert_true(asks_for(&set->rules[0], "open"));
	assert_true(asks_for(&set->rules[0], "socket.gethostname")); /* of no class */
	assert_true(asks_for(&set->rules[0], NULL));		     /* of a library */
	assert_false(asks_for(&set->rules[0], "builtins.id"));
	assert_true(asks_for(&set->rules[1], "builtins.id"));
	assert_false(asks_for(&set->rules[1], NULL));
	assert_int_equal(set->rules[1].n_other_events, 1);
	assert_string_equal(set->rules[1].other_events[0], "my.event");
	rules_free(set);
}

static char *
read_file(const char *path)
{
	char *text = NULL;
	size_t size;
	FILE *in = fopen(path, "re"), *out = open_memstream(&text, &size);
	int c;

	if (in == NULL)
		fail_msg("no file %s", path);
	while ((c = fgetc(in)) != EOF)
		fputc(c, out);
	fclose(in);
	fclose(out);
	return text;
}

/* mistakes.txt is what a person sees, with @ for the directory. */
static void
every_mistake_of_every_file_is_told_in_one_run(void **state)
{
	static const char *const paths[] = {PYAUDIT_FIXTURES "/rules/mistakes"};
	char *expected = read_file(PYAUDIT_FIXTURES "/rules/mistakes.txt"), *shown = NULL, *line;
	struct rule_set *set = NULL;
	size_t size;
	FILE *out = open_memstream(&shown, &size);
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(rules_load(&set, paths, 1, &diag), RULES_E_INVALID);
	assert_null(set);
	assert_true(diag.n_errors >= 20);
	diag_print(&diag, out);
	fclose(out);

	line = shown;
	for (const char *p = expected; *p != '\0'; p++) {
		size_t n = *p == '@' && p[1] == '/' ? strlen(paths[0]) : 1;

		if (memcmp(line, n > 1 ? paths[0] : p, n) != 0)
			fail_msg("expected: %.200s\ngot: %.200s", p, line);
		line += n;
	}
	assert_int_equal(*line, '\0');
	free(expected);
	free(shown);
	diag_fini(&diag);
}

static const struct rule *
find(const struct rule_set *set, const char *id)
{
	for (size_t i = 0; i < set->n_rules; i++)
		if (strcmp(set->rules[i].id, id) == 0)
			return &set->rules[i];
	return NULL;
}

static void
a_later_directory_replaces_files_by_name(void **state)
{
	static const char *const paths[] = {PYAUDIT_FIXTURES "/rules/base/",
					    PYAUDIT_FIXTURES "/rules/local"};
	static const char *const near[] = {PYAUDIT_FIXTURES "/rules/local",
					   PYAUDIT_FIXTURES "/rules/near"};
	struct rule_set *set = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(rules_load(&set, paths, 2, &diag), 0);
	assert_int_equal(set->n_files, 3);
	assert_string_equal(set->files[0], PYAUDIT_FIXTURES "/rules/local/10-a.json");
	assert_string_equal(set->files[1], PYAUDIT_FIXTURES "/rules/base/20-b.json");
	assert_null(find(set, "from-base"));
	assert_non_null(find(set, "from-local"));
	assert_non_null(find(set, "kept"));
	assert_int_equal(find(set, "across")->when->n_values, 2);
	assert_true(find(set, "across")->observe);
	assert_false(find(set, "enforced")->observe);
	rules_free(set);

	/* The nearest list of a name counts: each directory goes on with its own. */
	set = NULL;
	assert_int_equal(rules_load(&set, near, 2, &diag), 0);
	assert_int_equal(find(set, "with-its-own")->when->n_values, 3);
	assert_int_equal(find(set, "with-the-other")->when->n_values, 2);
	rules_free(set);

	/* Alone, the names of the other file are missing. */
	set = NULL;
	assert_int_equal(rules_load(&set, paths, 1, &diag), RULES_E_INVALID);
	assert_int_equal(diag.n_errors, 1);
	diag_fini(&diag);
}

static void
a_link_to_dev_null_masks_a_file(void **state)
{
	char directory[] = "/tmp/pyaudit-rules-XXXXXX", link_path[64];
	const char *paths[] = {PYAUDIT_FIXTURES "/rules/local", directory};
	struct rule_set *set = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_non_null(mkdtemp(directory));
	snprintf(link_path, sizeof(link_path), "%s/10-a.json", directory);
	assert_int_equal(symlink("/dev/null", link_path), 0);
	assert_int_equal(rules_load(&set, paths, 2, &diag), 0);
	assert_int_equal(set->n_rules, 0);
	rules_free(set);
	unlink(link_path);

	/* A FIFO must not stop the reader. */
	set = NULL;
	assert_int_equal(mkfifo(link_path, 0600), 0);
	assert_int_equal(rules_load(&set, paths, 2, &diag), RULES_E_INVALID);
	assert_string_equal(diag.entries[0].message, "not a file");
	assert_int_equal(diag.entries[0].line, 0);
	unlink(link_path);
	rmdir(directory);
	diag_fini(&diag);
}

static void
what_cannot_be_read_is_a_mistake_without_a_line(void **state)
{
	static const char *const paths[] = {"/nowhere/at/all.json",
					    PYAUDIT_FIXTURES "/rules/local"};
	struct rule_set *set = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(rules_load(&set, paths, 2, &diag), RULES_E_INVALID);
	assert_null(set);
	assert_int_equal(diag.n_errors, 1);
	assert_string_equal(diag.entries[0].file, paths[0]);
	assert_int_equal(diag.entries[0].line, 0);
	diag_fini(&diag);
}

/* The first mistake of a file. */
static void
assert_mistake(const char *text, const char *part)
{
	struct rule_set *set = NULL;
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(rules_parse_at(&set, "t", text, strlen(text), NOON_2026_06_30, &diag),
			 RULES_E_INVALID);
	assert_null(set);
	if (strstr(diag.entries[0].message, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, diag.entries[0].message);
	diag_fini(&diag);
}

/* m0 is a test; each further macro is twice the one before. */
static char *
doubling_macros(unsigned n, const char *op)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "{\"version\": 1, \"macros\": {\"m0\": \"file.write\"");
	for (unsigned i = 1; i <= n; i++)
		fprintf(out, ", \"m%u\": \"m%u %s m%u\"", i, i - 1, op, i - 1);
	fprintf(out,
		"}, \"rules\": [{\"id\": \"a\", \"title\": \"t\", \"on\": \"open\", "
		"\"action\": \"record\", \"when\": \"m%u\"}]}",
		n);
	fclose(out);
	return text;
}

static void
macros_cannot_grow_without_bound(void **state)
{
	char *text = doubling_macros(10, "and");
	struct rule_set *set = parse(text);

	(void)state;
	rules_free(set);
	free(text);
	text = doubling_macros(20, "or");
	assert_mistake(text, "parts, macros included");
	free(text);
	text = doubling_macros(200, "and");
	assert_mistake(text, "parts, macros included");
	free(text);
}

static void
a_chain_of_macros_has_a_longest_length(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	/* Each names the next one, so that the first is read through all of them. */
	fprintf(out, "{\"version\": 1, \"macros\": {");
	for (unsigned i = 0; i < 1000; i++)
		fprintf(out, "\"m%u\": \"m%u\", ", i, i + 1);
	fprintf(out, "\"m1000\": \"file.write\"}}");
	fclose(out);
	assert_mistake(text, "macros name each other more than");
	free(text);
}

static void
mistakes_in_names_point_at_the_first_place(void **state)
{
	(void)state;
	assert_mistake("{\"version\": 1, \"lists\": {\"a\": []}, \"macros\": {\"a b\": \"x\"}}",
		       "the name of a macro");
	assert_mistake(
		"{\"version\": 1, \"rules\": [\n"
		"{\"id\": \"a\", \"title\": \"t\", \"on\": \"open\", \"action\": \"record\"},\n"
		"{\"id\": \"a\", \"title\": \"t\", \"on\": \"open\", \"action\": \"record\"}]}",
		"a rule 'a' is already in t:2:8");
	assert_mistake("{\"rules\": []}", "'version' is missing");
	assert_mistake("{\"version\": 1, \"rules\": {}}",
		       "'rules' is an object, expected an array");
}

static void
only_acts_that_are_told_wait(void **state)
{
	static const struct {
		const char *action, *more, *part;
	} cases[] = {
		{"record", "\"ack\": \"1s\"", "'ack' is for rules that alert, block or kill"},
		{"alert", "\"ack\": \"11s\"", "'ack' is at most 10s"},
		{"alert", "\"ack\": \"soon\"", "'soon' is not a duration"},
		{"alert", "\"ack\": 1", "expected a text"},
		{"alert", "\"threshold\": {\"count\": 2, \"within\": \"1s\"}, \"ack\": \"1s\"",
		 "'ack' is for rules without memory"},
	};
	char text[512];
	struct rule_set *set;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text),
			 "{\"version\": 1, \"rules\": [{\"id\": \"a\", \"title\": \"t\", \"on\": \"open\", "
			 "\"action\": \"%s\", %s}]}",
			 cases[i].action, cases[i].more);
		assert_mistake(text, cases[i].part);
	}
	set = parse("{\"version\": 1, \"rules\": [{\"id\": \"a\", \"title\": \"t\", \"on\": \"open\", "
		    "\"action\": \"kill\", \"ack\": \"10s\"}]}");
	assert_int_equal(set->rules[0].ack_ms, PYAUDIT_ACK_MS_MAX);
	assert_true(set->has_ack);
	rules_free(set);
}

/* The page without its markup, as far as names go. */
static char *
manual(void)
{
	char *page = read_file(PYAUDIT_FIXTURES "/../../docs/man/pyaudit-rules.5"), *out = page;

	for (const char *p = page; *p != '\0'; p++) {
		if (p[0] == '\\' && p[1] == '-')
			continue;
		*out++ = *p;
	}
	*out = '\0';
	return page;
}

static void
assert_in_manual(const char *page, const char *before, const char *name, const char *behind)
{
	char text[128];

	snprintf(text, sizeof(text), "%s%s%s", before, name, behind);
	if (strstr(page, text) == NULL)
		fail_msg("pyaudit-rules.5 does not have '%s'", text);
}

static void
the_manual_names_every_field_class_operator_and_severity(void **state)
{
	static const char *const operators[] = {
		"!=",	      "<",	  "<=",	      ">",	 ">=",	 "in",	  "not in", "glob",
		"startswith", "endswith", "contains", "matches", "cidr", "under", "exists "};
	static const char *const types[] = {"text", "number",	"bool",
					    "list", "severity", "address"};
	char *page = manual(), type[64];

	(void)state;
	for (unsigned i = 0; i < PYAUDIT_N_FIELDS; i++) {
		snprintf(type, sizeof(type), " \" (\" \\fI%s\\fR )\n",
			 types[pyaudit_fields[i].type]);
		assert_in_manual(page, ".TP\n.BR ", pyaudit_fields[i].name, type);
	}
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++)
		assert_in_manual(page, ".TP\n.B @", pyaudit_class_names[i], "\n");
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
		assert_in_manual(page, "", operators[i], "");
	for (unsigned i = 0; i <= PYAUDIT_SEV_CRITICAL; i++)
		assert_in_manual(page, "", severity_name(i), "");
	for (unsigned i = PYAUDIT_ACTION_RECORD; i <= PYAUDIT_ACTION_KILL; i++)
		assert_in_manual(page, ".TP\n.B ", action_name(i), "\n");
	free(page);
}

static void
names_lead_there_and_back(void **state)
{
	(void)state;
	for (int i = PYAUDIT_ACTION_NONE; i <= PYAUDIT_ACTION_KILL; i++)
		assert_int_equal(action_by_name(action_name((enum pyaudit_action)i)), i);
	for (int i = PYAUDIT_SEV_INFO; i <= PYAUDIT_SEV_CRITICAL; i++)
		assert_int_equal(severity_by_name(severity_name((enum pyaudit_severity)i)), i);
	assert_int_equal(action_by_name("Block"), -1);
	assert_int_equal(severity_by_name(""), -1);
}

static void
filters_are_parsed_alone(void **state)
{
	struct expr *expr = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(rules_parse_filter(&expr, "severity >= warning and rule = 'x'", &diag), 0);
	assert_int_equal(expr->op, EXPR_AND);
	expr_free(expr);
	expr = NULL;
	assert_int_equal(rules_parse_filter(&expr, "exec.name in $shells", &diag), RULES_E_INVALID);
	assert_null(expr);
	assert_string_equal(diag.entries[0].file, "filter");
	assert_int_equal(diag.entries[0].column, 14);
	diag_fini(&diag);
}

static void
each_failed_allocation_is_reported_and_leaks_nothing(void **state)
{
	bool failed = true;

	(void)state;
	for (long n = 0; failed; n++) {
		struct rule_set *set = NULL;
		struct diag diag;
		int r;

		diag_init(&diag);
		fail_after = n;
		r = rules_parse_at(&set, "t", example, strlen(example), NOON_2026_06_30 + DAY,
				   &diag);
		failed = fail_after < 0;
		fail_after = -1;
		/* The text of a warning may be lost; that there was one is not. */
		if (r == 0)
			assert_int_equal(diag.n_warnings, 1);
		else
			assert_int_equal(r, -ENOMEM);
		assert_true((set != NULL) == (r == 0));
		rules_free(set);
		diag_fini(&diag);
	}
}

static const char shipped[] =
	"{\"version\": 1, \"lists\": {\"shells\": [\"sh\"]},\n"
	" \"macros\": {\"web\": \"proc.unit glob 'web*'\"}, \"rules\": [\n"
	" {\"id\": \"shell\", \"title\": \"A shell\", \"on\": \"@exec\", \"attack\": \"T1059.004\",\n"
	"  \"when\": [\"exec.name in $shells or web\", \"exec.shell\"], \"action\": \"block\",\n"
	"  \"limit\": {\"per\": [\"proc.pid\", \"exec.path\"], \"burst\": 5, \"every\": \"60s\"},\n"
	"  \"exceptions\": [{\"when\": \"caller.module = 'a'\", \"owner\": \"me\", \"reason\": \"r\"}]},\n"
	" {\"id\": \"other\", \"title\": \"t\", \"on\": \"os.fork\", \"action\": \"alert\"}";

/* The shipped text with one more entry. */
static struct rule_set *
parse_with(const char *entry)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "%s%s]}", shipped, entry);
	return parse(text);
}

static void
conditions_exceptions_and_limits_are_kept_apart(void **state)
{
	struct rule_set *set = parse_with("");
	const struct rule *rule = &set->rules[0];

	(void)state;
	assert_int_equal(rule->n_conditions, 2);
	assert_string_equal(rule->conditions[1].text, "exec.shell");
	assert_int_equal(rule->conditions[0].expr->op, EXPR_OR);
	assert_int_equal(rule->conditions[0].line, 4);
	assert_int_equal(rule->n_exceptions, 1);
	assert_string_equal(rule->exceptions[0].owner, "me");
	assert_int_equal(rule->exceptions[0].when->field, PYAUDIT_F_CALLER_MODULE);
	assert_int_equal(rule->limit.burst, 5);
	assert_int_equal(rule->limit.every_ms, 60000);
	assert_int_equal(rule->limit.n_per, 2);
	assert_int_equal(rule->limit.per[1], PYAUDIT_F_EXEC_PATH);
	rules_free(set);
}

static void
an_override_appends_and_replaces(void **state)
{
	struct rule_set *set = parse_with(
		",\n {\"override\": \"shell\", \"append\": {\"when\": \"proc.uid = 0 or proc.uid = 1\",\n"
		" \"attack\": \"T1190\", \"exceptions\": [{\"when\": \"proc.uid = 7\", \"owner\": \"o\","
		" \"reason\": \"r\"}]}, \"replace\": {\"action\": \"alert\", \"severity\": \"critical\","
		" \"mode\": \"observe\"}}");
	const struct rule *rule = &set->rules[0];

	(void)state;
	assert_int_equal(set->n_rules, 2);
	assert_int_equal(rule->action, PYAUDIT_ACTION_ALERT);
	assert_int_equal(rule->severity, PYAUDIT_SEV_CRITICAL);
	assert_true(rule->observe);
	assert_int_equal(rule->n_attack, 2);
	assert_int_equal(rule->n_exceptions, 2);
	/* Each text stands for itself: what is appended cannot change what the others mean. */
	assert_int_equal(rule->n_conditions, 3);
	assert_int_equal(rule->conditions[2].expr->op, EXPR_OR);
	assert_int_equal(rule->conditions[0].expr->op, EXPR_OR);
	assert_int_equal(rule->when->op, EXPR_AND);
	assert_int_equal(rule->n_origins, 1);
	assert_string_equal(rule->origins[0].what,
			    "append when, append attack, append exceptions, replace action, "
			    "replace severity, replace mode");
	assert_int_equal(rule->origins[0].line, 8);
	rules_free(set);
}

static void
a_disabled_rule_looks_at_nothing(void **state)
{
	struct rule_set *set = parse_with(", {\"override\": \"other\", \"enabled\": false}");

	(void)state;
	assert_true(set->rules[1].disabled);
	assert_false(asks_for(&set->rules[1], "os.fork"));
	assert_true(asks_for(&set->rules[0], "os.system"));
	rules_free(set);
}

/* The second file is read first: order means nothing. */
static void
a_list_is_made_longer_by_another_file(void **state)
{
	static const char *const paths[] = {PYAUDIT_FIXTURES "/rules/site",
					    PYAUDIT_FIXTURES "/rules/vendor"};
	struct rule_set *set = NULL;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(rules_load(&set, paths, 2, &diag), 0);
	assert_int_equal(set->n_rules, 1);
	assert_int_equal(set->rules[0].conditions[0].expr->n_values, 3);
	assert_int_equal(set->rules[0].action, PYAUDIT_ACTION_ALERT);
	assert_string_equal(strrchr(set->rules[0].origins[0].file, '/'), "/10-site.json");
	rules_free(set);
	diag_fini(&diag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_file_becomes_a_rule_set),
		cmocka_unit_test(an_exception_applies_through_its_last_day),
		cmocka_unit_test(all_is_every_event_but_noise),
		cmocka_unit_test(conditions_exceptions_and_limits_are_kept_apart),
		cmocka_unit_test(an_override_appends_and_replaces),
		cmocka_unit_test(a_disabled_rule_looks_at_nothing),
		cmocka_unit_test(a_list_is_made_longer_by_another_file),
		cmocka_unit_test(every_mistake_of_every_file_is_told_in_one_run),
		cmocka_unit_test(a_later_directory_replaces_files_by_name),
		cmocka_unit_test(a_link_to_dev_null_masks_a_file),
		cmocka_unit_test(what_cannot_be_read_is_a_mistake_without_a_line),
		cmocka_unit_test(macros_cannot_grow_without_bound),
		cmocka_unit_test(a_chain_of_macros_has_a_longest_length),
		cmocka_unit_test(mistakes_in_names_point_at_the_first_place),
		cmocka_unit_test(only_acts_that_are_told_wait),
		cmocka_unit_test(the_manual_names_every_field_class_operator_and_severity),
		cmocka_unit_test(names_lead_there_and_back),
		cmocka_unit_test(filters_are_parsed_alone),
		cmocka_unit_test(each_failed_allocation_is_reported_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
