/* SPDX-License-Identifier: Apache-2.0 */
/* From rules to an image: which events are judged and recorded, what is a mistake and where, what
 * large rule sets cost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compile.h"
#include "rules.h"
#include "verdict.h"

/* Allocations of the code under test: the one numbered fail_at fails. */
static long fail_at = -1, n_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *bytes, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *bytes, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

static bool
fails(void)
{
	return n_allocations++ == fail_at;
}

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
__wrap_realloc(void *bytes, size_t size)
{
	return fails() ? NULL : __real_realloc(bytes, size);
}

void *
__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(align, size);
}

static struct rule_set *
parse(const char *rules)
{
	struct rule_set *set = NULL;
	struct diag diag;

	diag_init(&diag);
	if (rules_parse(&set, "test.json", rules, strlen(rules), &diag) != 0)
		diag_print(&diag, stderr);
	diag_fini(&diag);
	assert_non_null(set);
	return set;
}

static struct image
build(const char *rules, const struct compile_options *options)
{
	struct rule_set *set = parse(rules);
	struct image image = {NULL, 0};
	struct diag diag;
	int r;

	diag_init(&diag);
	r = compile_rules(&image, set, options, &diag);
	if (r != 0)
		diag_print(&diag, stderr);
	assert_int_equal(r, 0);
	assert_int_equal((uintptr_t)image.bytes % 8, 0);
	diag_fini(&diag);
	rules_free(set);
	return image;
}

static unsigned
flags_of(const struct image *image, const char *event)
{
	return pyaudit_image_slot(image->bytes, event)->flags;
}

#define NO_RULES "{\"version\":1,\"rules\":[]}"
#define ANY "\"layer = 'audit'\""
#define ONE_RULE(on, when)                                                                         \
	"{\"version\":1,\"rules\":[{\"id\":\"r\",\"title\":\"t\",\"on\":[" on "],\"when\":[" when  \
	"],\"action\":\"block\",\"severity\":\"info\"}]}"

static void
without_rules_and_settings_nobody_asks(void **state)
{
	struct compile_options options = {.generation = 42};
	struct image image = build(NO_RULES, &options);

	(void)state;
	assert_int_equal(pyaudit_image_generation(image.bytes), 42);
	assert_int_equal(flags_of(&image, "open"), 0);
	assert_int_equal(flags_of(&image, "anything.else"), 0);
	assert_int_equal(flags_of(&image, ""), 0);
	image_fini(&image);
	assert_null(image.bytes);
}

static void
classes_are_recorded_but_noise_is_not(void **state)
{
	struct compile_options classes = {.record = PYAUDIT_CLASS_EXEC | PYAUDIT_CLASS_NETWORK};
	struct compile_options all = {.record_all = true};
	struct image image = build(NO_RULES, &classes);

	(void)state;
	assert_int_equal(flags_of(&image, "os.system"), PYAUDIT_SLOT_RECORD | PYAUDIT_SLOT_ANNOUNCE);
	assert_int_equal(flags_of(&image, "socket.connect"),
			 PYAUDIT_SLOT_RECORD | PYAUDIT_SLOT_ANNOUNCE);
	assert_int_equal(flags_of(&image, "open"), 0);
	assert_int_equal(flags_of(&image, "library.event"), 0);
	image_fini(&image);

	image = build(NO_RULES, &all);
	assert_int_equal(flags_of(&image, "open"), PYAUDIT_SLOT_RECORD);
	assert_int_equal(flags_of(&image, "library.event"), PYAUDIT_SLOT_RECORD);
	assert_int_equal(flags_of(&image, "builtins.id"), 0);
	assert_int_equal(flags_of(&image, "object.__getattr__"), 0);
	image_fini(&image);

	image = build(ONE_RULE("\"builtins.id\"", ANY), &all);
	assert_int_equal(flags_of(&image, "builtins.id"), PYAUDIT_SLOT_JUDGE);
	assert_int_equal(flags_of(&image, "object.__getattr__"), 0);
	image_fini(&image);
}

static void
every_event_is_found_by_its_name(void **state)
{
	struct compile_options all = {.record_all = true};
	struct image image = build(NO_RULES, &all);
	char name[128];

	(void)state;
	for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++) {
		const struct pyaudit_slot *slot =
			pyaudit_image_slot(image.bytes, pyaudit_events[i].name);

		assert_int_equal(pyaudit_get16(slot->event), i);
		(void)snprintf(name, sizeof(name), "%sx", pyaudit_events[i].name);
		slot = pyaudit_image_slot(image.bytes, name);
		assert_int_equal(pyaudit_get16(slot->event),
				 pyaudit_event_by_name(name, strlen(name)));
	}
	image_fini(&image);
}

/* To announce an act takes a walk over the stack. */
static void
acts_are_announced_where_the_libc_layer_asks_for_them(void **state)
{
	struct compile_options options = {.generation = 1};
	struct image image = build(ONE_RULE("\"subprocess.Popen\"", ANY), &options);

	(void)state;
	assert_int_equal(flags_of(&image, "subprocess.Popen"), PYAUDIT_SLOT_JUDGE);
	assert_int_equal(flags_of(&image, "os.exec"), 0);
	image_fini(&image);

	image = build(ONE_RULE("\"libc.exec\"", ANY), &options);
	assert_int_equal(flags_of(&image, "subprocess.Popen"), PYAUDIT_SLOT_ANNOUNCE);
	assert_int_equal(flags_of(&image, "socket.connect"), 0);
	image_fini(&image);

	image = build(ONE_RULE("\"@exec\"", ANY), &options);
	assert_int_equal(flags_of(&image, "subprocess.Popen"),
			 PYAUDIT_SLOT_JUDGE | PYAUDIT_SLOT_ANNOUNCE);
	assert_int_equal(flags_of(&image, "socket.connect"), 0);
	image_fini(&image);
}

static void
events_of_libraries_have_slots_of_their_own(void **state)
{
	struct compile_options options = {.generation = 1};
	struct image image = build(ONE_RULE("\"custom:my.library/event\"", ANY), &options);

	(void)state;
	assert_int_equal(flags_of(&image, "my.library/event"), PYAUDIT_SLOT_JUDGE);
	assert_int_equal(flags_of(&image, "my.library/other"), 0);
	assert_int_equal(flags_of(&image, "open"), 0);
	image_fini(&image);

	image = build(ONE_RULE("\"@all\"", ANY), &options);
	assert_int_equal(flags_of(&image, "my.library/event"), PYAUDIT_SLOT_JUDGE);
	assert_int_equal(flags_of(&image, "open"), PYAUDIT_SLOT_JUDGE);
	assert_int_equal(flags_of(&image, "builtins.id"), 0);
	image_fini(&image);
}

/* The evaluator keeps the values of an event in an array, and tells fields apart by number. */
static void
fields_of_events_stand_before_those_of_processes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PYAUDIT_N_FIELDS; i++) {
		unsigned scope = pyaudit_fields[i].scope;

		if (i < PYAUDIT_F_PROC_PID)
			assert_true(scope == PYAUDIT_SCOPE_EVENT || scope == PYAUDIT_SCOPE_ORIGIN);
		else if (i < PYAUDIT_F_PROC_PID + PYAUDIT_N_FACTS)
			assert_int_equal(scope, PYAUDIT_SCOPE_PROC);
		else
			assert_int_equal(scope, PYAUDIT_SCOPE_ALERT);
	}
}

static void
rules_that_never_hold_cost_nothing(void **state)
{
	struct compile_options options = {.generation = 1};
	struct rule_set *set = parse(ONE_RULE("\"open\"", "\"file.path = 'x'\""));
	struct expr never = {.op = EXPR_TRUE}, not_true = {.op = EXPR_NOT, .a = &never};
	struct expr *when = set->rules[0].when;
	struct image image;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	set->rules[0].when = &not_true;
	assert_int_equal(compile_rules(&image, set, &options, &diag), 0);
	assert_int_equal(flags_of(&image, "open"), 0);
	set->rules[0].when = when;
	image_fini(&image);
	diag_fini(&diag);
	rules_free(set);
}

/* A glance can tell what one argument as it stands leads to, or does not. */
static void
a_glance_is_at_the_argument_that_leads_to_rules(void **state)
{
	static const struct {
		const char *event, *rules;
		uint8_t glance;
	} cases[] = {
		{"open", ONE_RULE("\"open\"", "\"file.path under '/etc'\""), 1},
		{"open", ONE_RULE("\"open\"", "\"file.name = 'x' or file.path endswith '.pem'\""), 1},
		{"open", ONE_RULE("\"open\"", "\"file.path contains 'x' and file.write\""), 1},
		{"os.link", ONE_RULE("\"os.link\"", "\"file.target = '/x'\""), 2},
		{"os.link", ONE_RULE("\"os.link\"", "\"file.path = '/x' or file.target glob '*abcd*'\""), 0},
		{"open", ONE_RULE("\"open\"", "\"exists file.path\""), 0},
		{"open", ONE_RULE("\"open\"", "\"file.path matches '[0-9]{3}'\""), 0},
		{"open", ONE_RULE("\"open\"", "\"not file.path = 'x'\""), 0},
		{"open", ONE_RULE("\"open\"", "\"file.path = 'x' or caller.module = 'x'\""), 0},
		{"os.system", ONE_RULE("\"os.system\"", "\"exec.name = 'x'\""), 0},
	};
	struct compile_options options = {.generation = 1};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image image = build(cases[i].rules, &options);

		assert_int_equal(flags_of(&image, cases[i].event), PYAUDIT_SLOT_JUDGE);
		assert_int_equal(pyaudit_image_slot(image.bytes, cases[i].event)->glance, cases[i].glance);
		image_fini(&image);
	}
}

/* A rule that names the event as well is found by the rest: the program is one of that event. */
static void
the_name_of_an_event_leads_to_no_rule_that_anything_else_leads_to(void **state)
{
	struct compile_options options = {.generation = 1};
	struct image image = build(ONE_RULE("\"@file\"", "\"event = 'open' and file.path under '/etc'\""), &options);
	const char *base = image.bytes;
	const struct pyaudit_slot *slot = pyaudit_image_slot(base, "open");
	const struct pyaudit_program *program = (const void *)(base + pyaudit_get32(slot->program));
	const struct pyaudit_index *index = (const void *)(base + pyaudit_get32(program->indexes));

	(void)state;
	assert_int_equal(pyaudit_get32(program->always.n), 0);
	assert_int_equal(pyaudit_get32(program->n_indexes), 1);
	assert_int_equal(index->field, PYAUDIT_F_FILE_PATH);
	image_fini(&image);
}

/* What ends a name ends its path: one walk from the end finds both. */
static void
names_are_looked_up_at_the_end_of_their_path(void **state)
{
	struct compile_options options = {.generation = 1};
	struct image image = build(ONE_RULE("\"@file\"", "\"file.name in ['id_rsa', '.netrc'] or file.path endswith '.pem'\""),
				   &options);
	const char *base = image.bytes;
	const struct pyaudit_slot *slot = pyaudit_image_slot(base, "open");
	const struct pyaudit_program *program = (const void *)(base + pyaudit_get32(slot->program));
	const struct pyaudit_index *index = (const void *)(base + pyaudit_get32(program->indexes));

	(void)state;
	assert_int_equal(pyaudit_get32(program->n_indexes), 1);
	assert_int_equal(index->field, PYAUDIT_F_FILE_PATH);
	assert_int_equal(index->parts, PYAUDIT_INDEX_BACKWARD);
	image_fini(&image);
}

static void
mistakes_name_the_place_of_the_value(void **state)
{
	static const struct {
		const char *when, *message;
	} cases[] = {
		{"file.path matches 'a(b'", "not closed"},
		{"file.path glob '/x[a'", "not closed"},
		{"file.path matches ['ok', '(a|b)*a(a|b){14}']", "too large an automaton"},
	};
	struct compile_options options = {.generation = 1};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image image = {NULL, 0};
		struct rule_set *set = NULL;
		char rules[1024];
		struct diag diag;
		int r;

		(void)snprintf(rules, sizeof(rules),
			       "{\n \"version\": 1,\n \"rules\": [ {\n  \"id\": \"r\", \"title\": "
			       "\"t\", \"on\": [\"open\"], \"action\": \"block\", \"severity\": "
			       "\"info\",\n  \"when\": [\"%s\"]\n } ]\n}\n",
			       cases[i].when);
		diag_init(&diag);
		r = rules_parse(&set, "test.json", rules, strlen(rules), &diag);
		if (r == 0)
			r = compile_rules(&image, set, &options, &diag);
		assert_int_equal(r, RULES_E_INVALID);
		assert_null(image.bytes);
		assert_true(diag.n_errors >= 1);
		assert_string_equal(diag.entries[0].file, "test.json");
		assert_int_equal(diag.entries[0].line, 5);
		assert_true(diag.entries[0].column > 12);
		if (strstr(diag.entries[0].message, cases[i].message) == NULL)
			fail_msg("%s: %s", cases[i].when, diag.entries[0].message);
		diag_fini(&diag);
		rules_free(set);
	}
}

/* Rules with one condition each, made by @condition. */
static char *
many_rules(unsigned n, const char *on, void (*condition)(char *out, size_t size, unsigned i))
{
	size_t size = 64 + (size_t)n * 256, at = 0;
	char *rules = malloc(size);
	char when[128];

	assert_non_null(rules);
	at += (size_t)snprintf(rules, size, "{\"version\":1,\"rules\":[");
	for (unsigned i = 0; i < n; i++) {
		condition(when, sizeof(when), i);
		at += (size_t)snprintf(rules + at, size - at,
				       "%s{\"id\":\"r%u\",\"title\":\"t\",\"on\":[\"%s\"],\"when\":"
				       "[\"%s\"],\"action\":\"block\",\"severity\":\"info\"}",
				       i > 0 ? "," : "", i, on, when);
	}
	(void)snprintf(rules + at, size - at, "]}");
	return rules;
}

static void
unit_condition(char *out, size_t size, unsigned i)
{
	(void)snprintf(out, size, "proc.unit = 'u%u'", i);
}

static void
conditions_on_processes_have_a_limit(void **state)
{
	char *rules = many_rules(PYAUDIT_PROC_ATOMS_MAX + 1, "open", unit_condition);
	struct compile_options options = {.generation = 1};
	struct rule_set *set = parse(rules);
	struct image image;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(compile_rules(&image, set, &options, &diag), RULES_E_INVALID);
	assert_non_null(strstr(diag.entries[0].message, "1024 different conditions on proc"));
	diag_fini(&diag);
	diag_init(&diag);
	set->n_rules--;
	assert_int_equal(compile_rules(&image, set, &options, &diag), 0);
	set->n_rules++;
	image_fini(&image);
	diag_fini(&diag);
	rules_free(set);
	free(rules);
}

static void
mixed_condition(char *out, size_t size, unsigned i)
{
	static const char *const forms[] = {
		"file.path = '/srv/app%u/config'",
		"file.path under '/home/user%u'",
		"file.name endswith '.secret%u'",
		"exec.cmdline contains 'tool%u'",
		"file.path glob '/home/*/.config/t%u/*'",
		"exec.cmdline matches 'curl.*x%u.*[|] *sh'",
		"net.host = 'host%u' and net.port = 443",
		"caller.module = 'm%u' or file.path startswith '/opt/x/'",
	};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(out, size, forms[i % 8], i);
#pragma GCC diagnostic pop
}

/* Even on every event: each has the same rules, so all share one program. */
static void
thousands_of_rules_compile_in_no_time(void **state)
{
	static const struct {
		unsigned n;
		const char *on;
	} cases[] = {{1000, "@all"}, {5000, "open"}, {5000, "@file"}};
	struct compile_options options = {.generation = 1};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *rules = many_rules(cases[i].n, cases[i].on, mixed_condition);
		clock_t start = clock();
		struct image image = build(rules, &options);

		print_message("%u rules on %s: %ld ms, %zu KiB\n", cases[i].n, cases[i].on,
			      (long)(clock() - start) * 1000 / CLOCKS_PER_SEC, image.size / 1024);
		assert_true(image.size < 8u << 20);
		image_fini(&image);
		free(rules);
	}
}

static void
the_same_rules_make_the_same_image(void **state)
{
	char *rules = many_rules(300, "@file", mixed_condition);
	struct compile_options options = {.generation = 1};
	struct image a = build(rules, &options), b = build(rules, &options);

	(void)state;
	assert_int_equal(a.size, b.size);
	assert_memory_equal(a.bytes, b.bytes, a.size);
	image_fini(&a);
	image_fini(&b);
	free(rules);
}

/* @n rules, each on an event of its own, so that each has a program of its own. */
static size_t
size_of_rules(unsigned n, const char *when)
{
	struct compile_options options = {.generation = 1};
	char *rules = malloc(64 + n * (200 + strlen(when)));
	size_t at = 0, size;
	struct image image;

	assert_non_null(rules);
	at += (size_t)sprintf(rules, "{\"version\":1,\"rules\":[");
	for (unsigned i = 0; i < n; i++)
		at += (size_t)sprintf(rules + at,
				      "%s{\"id\":\"r%u\",\"title\":\"t\",\"on\":[\"custom:e%u\"],\"when\":[\"%s\"],"
				      "\"action\":\"block\",\"severity\":\"info\"}",
				      i > 0 ? "," : "", i, i, when);
	(void)sprintf(rules + at, "]}");
	image = build(rules, &options);
	size = image.size;
	image_fini(&image);
	free(rules);
	return size;
}

static void
what_is_the_same_stands_once(void **state)
{
	static const char file[] = "caller.file matches '^/opt/[a-z]+[0-9]{30}/x$'";
	static const char both[] = "caller.file matches '^/opt/[a-z]+[0-9]{30}/x$' or "
				   "caller.function matches '^/opt/[a-z]+[0-9]{30}/x$'";
	size_t one = size_of_rules(1, file), two = size_of_rules(1, both);

	(void)state;
	assert_true(one > 600); /* most of it the automaton */
	assert_true(two < one + 300);
}

/* Who checks an image counts what is shared each time, and does so for so long only. */
static void
what_is_shared_can_be_checked(void **state)
{
	char *when = malloc(40000);
	size_t n = 0, one, many;

	(void)state;
	assert_non_null(when);
	n += (size_t)sprintf(when, "caller.file in [");
	for (unsigned i = 0; i < 1000; i++)
		n += (size_t)sprintf(when + n, "%s'/srv/%u/of/many.py'", i > 0 ? "," : "", i);
	(void)sprintf(when + n, "]");
	one = size_of_rules(1, when);
	many = size_of_rules(200, when);
	free(when);
	assert_true(many < 100 * one);
}

static void
each_allocation_may_fail(void **state)
{
	static const char rules[] =
		"{\"version\":1,\"rules\":[{\"id\":\"a\",\"title\":\"t\",\"on\":[\"@file\","
		"\"custom:x\"],"
		"\"when\":[\"file.path under '/etc' or file.path glob '/home/*/.ssh/*' or "
		"file.name "
		"endswith '.pem' or file.path contains 'secret' or file.path matches "
		"'^[a-z]+$|(x|y){2}' or arg[2] = 5 or arg[1] in ['1','2','3','4','5','6','7','8',"
		"'9'] or file.path matches ['a.*b', 'c.*d']\", \"proc.uid > 5\"],\"action\":"
		"\"block\",\"severity\":\"info\"},{\"id\":\"b\",\"title\":\"t\",\"on\":[\"open\"],"
		"\"when\":[\"file.path = 'x'\"],\"action\":\"allow\",\"over\":[\"a\"],\"severity\":"
		"\"info\"},{\"id\":\"c\",\"title\":\"t\",\"on\":[\"@network\"],\"when\":[\"net.ip "
		"cidr "
		"['10.0.0.0/8', '::1']\"],\"action\":\"alert\",\"severity\":\"info\"}]}";
	struct compile_options options = {.generation = 1};
	struct rule_set *set = parse(rules);
	long n_failed = 0;
	int r = -ENOMEM;

	(void)state;
	for (long at = 0; r != 0 || n_allocations > at; at++) {
		struct image image = {NULL, 0};
		struct diag diag;

		diag_init(&diag);
		n_allocations = 0;
		fail_at = at;
		r = compile_rules(&image, set, &options, &diag);
		fail_at = -1;
		if (n_allocations > at) {
			if (r != -ENOMEM)
				fail_msg("allocation %ld: %d", at, r);
			assert_null(image.bytes);
			n_failed++;
		}
		image_fini(&image);
		diag_fini(&diag);
	}
	print_message("%ld allocations failed\n", n_failed);
	assert_true(n_failed > 100);
	rules_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_and_settings_nobody_asks),
		cmocka_unit_test(classes_are_recorded_but_noise_is_not),
		cmocka_unit_test(every_event_is_found_by_its_name),
		cmocka_unit_test(acts_are_announced_where_the_libc_layer_asks_for_them),
		cmocka_unit_test(events_of_libraries_have_slots_of_their_own),
		cmocka_unit_test(fields_of_events_stand_before_those_of_processes),
		cmocka_unit_test(rules_that_never_hold_cost_nothing),
		cmocka_unit_test(a_glance_is_at_the_argument_that_leads_to_rules),
		cmocka_unit_test(the_name_of_an_event_leads_to_no_rule_that_anything_else_leads_to),
		cmocka_unit_test(names_are_looked_up_at_the_end_of_their_path),
		cmocka_unit_test(mistakes_name_the_place_of_the_value),
		cmocka_unit_test(conditions_on_processes_have_a_limit),
		cmocka_unit_test(thousands_of_rules_compile_in_no_time),
		cmocka_unit_test(what_is_the_same_stands_once),
		cmocka_unit_test(what_is_shared_can_be_checked),
		cmocka_unit_test(each_allocation_may_fail),
		cmocka_unit_test(the_same_rules_make_the_same_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
