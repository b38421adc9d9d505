/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging. A table says what each operator means; every row is asked of the image, of the filter
 * and of the reference. Then random rules meet random events, and image and reference must agree;
 * and damaged images must be refused or harmless.
 *
 * test_verdict [PAIRS [IMAGES [SEED]]], or PYAUDIT_TEST_PAIRS, _IMAGES and _SEED: how many random
 * pairs and damaged images, and where they begin.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compile.h"
#include "event_fields.h"
#include "memo.h"
#include "reference.h"
#include "rules.h"
#include "vectors.h"
#include "verdict.h"

static unsigned long n_pairs = 200000;
static unsigned long n_images = 100000;
static uint64_t first_seed = 1;

/* Events. */

struct scene {
	struct pyaudit_event event;
	struct pyaudit_value args[8];
	struct pyaudit_value items[16];
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX];
	struct pyaudit_value packages[8]; /* of the first frames */
	struct pyaudit_value real[2];	  /* where path and target lead */
	struct pyaudit_facts facts;
	char scratch[PYAUDIT_SCRATCH_SIZE];
};

static void
scene_init(struct scene *scene, const char *name)
{
	memset(scene, 0, sizeof(*scene));
	scene->event.name = name;
	scene->event.name_len = (uint32_t)strlen(name);
	scene->event.id = pyaudit_event_by_name(name, strlen(name));
	scene->event.args = scene->args;
	scene->event.frames = scene->frames;
	scene->event.scratch = scene->scratch;
	scene->event.scratch_size = sizeof(scene->scratch);
}

static struct pyaudit_value
text(const char *s)
{
	return pyaudit_value_text(s, strlen(s));
}

static unsigned long n_glances, n_enough; /* of random events: where a glance may do, and where it did */

/* A glance says no more than what judging says. */
static void
check_glance(const struct image *image, const struct pyaudit_slot *slot, const struct scene *scene,
	     const struct pyaudit_verdict *verdict)
{
	const struct pyaudit_value *arg;

	if (slot->flags != PYAUDIT_SLOT_JUDGE || slot->glance == 0 || slot->glance > scene->event.n_args)
		return;
	arg = &scene->event.args[slot->glance - 1];
	if (!pyaudit_value_is_text(arg))
		return;
	n_glances++;
	if (pyaudit_glance(image->bytes, slot, arg->s, arg->len)) {
		n_enough++;
		assert_int_equal(verdict->action, PYAUDIT_ACTION_NONE);
		assert_int_equal(verdict->n_hits, 0);
		assert_int_equal(verdict->is_counted, 0);
	}
}

static void
judge(const struct image *image, struct scene *scene, struct pyaudit_verdict *ret)
{
	const struct pyaudit_slot *slot = pyaudit_image_slot(image->bytes, scene->event.name);
	struct pyaudit_proc_bits bits;

	pyaudit_image_bind(image->bytes, &scene->facts, &bits);
	scene->event.scratch_len = 0;
	pyaudit_judge(image->bytes, slot, &bits, &scene->event, ret);
	scene->event.scratch_len = 0;
	check_glance(image, slot, scene, ret);
}

/* Rules from JSON; ' stands for a double quote outside of conditions. */
static struct rule_set *
parse(const char *rules)
{
	struct rule_set *set = NULL;
	struct diag diag;

	diag_init(&diag);
	if (rules_parse(&set, "test", rules, strlen(rules), &diag) != 0)
		diag_print(&diag, stderr);
	diag_fini(&diag);
	assert_non_null(set);
	return set;
}

static struct image
build(const struct rule_set *set, const struct compile_options *options)
{
	struct image image = {NULL, 0};
	struct diag diag;
	int r;

	diag_init(&diag);
	r = compile_rules(&image, set, options, &diag);
	if (r != 0)
		diag_print(&diag, stderr);
	diag_fini(&diag);
	assert_int_equal(r, 0);
	return image;
}

static const struct compile_options plain_options = {.generation = 7};

/* What operators mean. */

static struct rule_set *
one_rule(const char *condition)
{
	char rules[2048], escaped[1024];
	size_t n = 0;

	for (; *condition != '\0'; condition++) {
		if (*condition == '\\' || *condition == '"')
			escaped[n++] = '\\';
		escaped[n++] = *condition;
	}
	escaped[n] = '\0';
	(void)snprintf(rules, sizeof(rules),
		       "{\"version\": 1, \"rules\": [{\"id\": \"r\", \"title\": \"t\", \"on\": "
		       "[\"@all\"], \"when\": [\"%s\"], \"action\": \"alert\", \"severity\": "
		       "\"info\"}]}",
		       escaped);
	return parse(rules);
}

static bool
get_field(void *data, unsigned field, struct pyaudit_value *ret)
{
	struct scene *scene = data;

	if (field >= PYAUDIT_F_PROC_PID) {
		*ret = scene->facts.fact[field - PYAUDIT_F_PROC_PID];
		return ret->type != 0;
	}
	return pyaudit_field(&scene->event, field, ret);
}

static void
assert_condition(const char *condition, struct scene *scene, bool expected)
{
	struct rule_set *set = one_rule(condition);
	struct image image = build(set, &plain_options);
	struct pyaudit_verdict verdict;
	bool filtered, referred;

	judge(&image, scene, &verdict);
	filtered = filter_match(set->rules[0].when, get_field, scene);
	scene->event.scratch_len = 0;
	referred = reference_expr(set->rules[0].when, &scene->facts, &scene->event);
	if ((verdict.n_hits == 1) != expected || filtered != expected || referred != expected)
		fail_msg("%s: image %d, filter %d, reference %d; expected %d", condition,
			 verdict.n_hits, filtered, referred, expected);
	image_fini(&image);
	rules_free(set);
}

static void
operators_on_paths_hold_as_documented(void **state)
{
	static const struct {
		const char *condition, *path;
		bool holds;
	} cases[] = {
		{"file.path = '/etc/passwd'", "/etc/passwd", true},
		{"file.path = '/etc/passwd'", "/etc/passwdx", false},
		{"file.path = '/etc/passwd'", "/etc/passw", false},
		{"file.path != '/etc/passwd'", "/etc/passwd", false},
		{"file.path != '/etc/passwd'", "", true},
		{"file.path = ''", "", true},
		{"file.path = ''", "x", false},
		{"file.path in ['a', 'b', 'c']", "c", true},
		{"file.path in ['a', 'b', 'c']", "d", false},
		{"file.path in ['1','2','3','4','5','6','7','8','9','10','11']", "11", true},
		{"file.path in ['1','2','3','4','5','6','7','8','9','10','11']", "12", false},
		{"file.path not in ['a', 'b', 'c']", "d", true},
		{"file.path startswith '/etc/'", "/etc/", true},
		{"file.path startswith '/etc/'", "/etc", false},
		{"file.path startswith ['/a', '/b']", "/bx", true},
		{"file.path endswith '.pem'", "/x/key.pem", true},
		{"file.path endswith '.pem'", ".pem", true},
		{"file.path endswith '.pem'", "pem", false},
		{"file.path endswith ['.pem', '.key']", "/x/a.key", true},
		{"file.path contains '.ssh'", "/home/a/.ssh/id", true},
		{"file.path contains '.ssh'", ".ssh", true},
		{"file.path contains '.ssh'", "/home/a/.SSH/id", false},
		{"file.path contains '..'", "a..b", true},
		{"file.path contains ';'", "a;b", true},
		{"file.path contains 'longer than grams are wide'", "x longer than grams are wide",
		 true},
		{"file.path glob '/home/*/.ssh/*'", "/home/a/.ssh/id", true},
		{"file.path glob '/home/*/.ssh/*'", "/home/a/b/.ssh/id", false},
		{"file.path glob '/home/**/.ssh/*'", "/home/a/b/.ssh/id", true},
		{"file.path glob '*.py'", "x.py", true},
		{"file.path glob '*.py'", "a/x.py", false},
		{"file.path glob 'a?c'", "abc", true},
		{"file.path glob 'a?c'", "a/c", false},
		{"file.path glob 'a[x-z]c'", "ayc", true},
		{"file.path glob 'a[!x-z]c'", "ayc", false},
		{"file.path glob 'a[!x-z]c'", "a/c", false},
		{"file.path glob 'a\\*'", "a*", true},
		{"file.path glob 'a\\*'", "ab", false},
		{"file.path glob ['*.a', '*.b']", "x.b", true},
		{"file.path matches 'id_(rsa|dsa)$'", "/x/id_dsa", true},
		{"file.path matches 'id_(rsa|dsa)$'", "/x/id_dsa.pub", false},
		{"file.path matches '^/proc/[0-9]+/mem'", "/proc/12/mem", true},
		{"file.path matches '^/proc/[0-9]+/mem'", "x/proc/12/mem", false},
		{"file.path matches '(?i)PassWD'", "/etc/pAsSwd", true},
		{"file.path matches ['x{3}', 'y{3}']", "ayyyb", true},
		{"file.path under '/etc'", "/etc", true},
		{"file.path under '/etc'", "/etc/", true},
		{"file.path under '/etc'", "/etc/a/b", true},
		{"file.path under '/etc/'", "/etc/a", true},
		{"file.path under '/etc'", "/etcetera", false},
		{"file.path under '/etc'", "//etc//passwd", true},
		{"file.path under '/etc'", "/./etc/passwd", true},
		{"file.path under '/etc'", "/tmp/../etc/passwd", true},
		{"file.path under '/etc'", "/../../etc/passwd", true},
		{"file.path under '/etc'", "/etc/../tmp/x", false},
		{"file.path under '/etc'", "/etc/..", false},
		{"file.path under '/etc'", "/etc/a/..", true},
		{"file.path under '/etc'", "etc/passwd", false},
		{"file.path under '/'", "/anything", true},
		{"file.path under '/'", "anything", false},
		{"file.path under '/a/b'", "/a/c/../b/d", true},
		{"file.path under '/a/b'", "/a/b/c/../../../x", false},
		{"file.path under ['/a', '/b']", "/b/x", true},
		{"file.name = 'passwd'", "/etc/passwd", true},
		{"file.name = 'passwd'", "passwd", true},
		{"file.name = 'passwd'", "/etc/xpasswd", false},
		{"file.name = 'passwd'", "/etc/passwd/", false},
		{"file.name = ''", "/etc/passwd/", true},
		{"file.name endswith 'wd'", "/etc/passwd", true},
		{"file.name endswith '/passwd'", "/etc/passwd", false},
		{"exists file.path", "x", true},
		{"exists exec.path", "x", false},
		{"not exists exec.path", "x", true},
		{"exec.path = 'x'", "x", false},
		{"exec.path != 'x'", "x", true},
		{"event = 'open'", "x", true},
		{"layer = 'audit'", "x", true},
		{"layer = 'libc'", "x", false},
		{"file.path = 'a' and file.name = 'a'", "a", true},
		{"file.path = 'a' and file.name = 'b'", "a", false},
		{"file.path = 'a' or file.path = 'b'", "b", true},
		{"not (file.path = 'a' or file.path = 'b')", "c", true},
		{"not (file.path = 'a' and file.path = 'b')", "a", true},
		{"file.path startswith '/' and not file.path under ['/usr', '/lib']", "/usr/x",
		 false},
		{"file.path startswith '/' and not file.path under ['/usr', '/lib']", "/opt/x",
		 true},
		{"arg[0] = 'a'", "a", true},
		{"arg[1] = 'r'", "a", true},
		{"arg[2] = 5", "a", true},
		{"arg[2] in [4, 5]", "a", true},
		{"exists arg[3]", "a", false},
		{"file.write", "a", true},
		{"file.write = true", "a", true},
		{"not file.write", "a", false},
		{"file.write = false", "a", false},
	};
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene_init(&scene, "open");
		scene.args[0] = text(cases[i].path);
		scene.args[1] = text("r");
		scene.args[2] = pyaudit_value_int(5);
		scene.event.n_args = 3;
		assert_condition(cases[i].condition, &scene, cases[i].holds);
	}
}

static void
a_list_field_holds_if_one_element_does(void **state)
{
	static const struct {
		const char *condition;
		bool holds;
	} cases[] = {
		{"exec.argv = '-c'", true},
		{"exec.argv = 'x'", false},
		{"exec.argv != '-c'", false},
		{"exec.argv startswith 'rm '", true},
		{"exec.argv contains ' -rf'", true},
		{"exec.argv matches '^rm .*/$'", true},
		{"exec.argv matches 'sh -c'", false},
		{"exec.cmdline contains 'sh -c rm'", true},
		{"exec.name = 'sh'", true},
		{"exec.shell", true},
		{"exec.shell = false", false},
		{"exists exec.argv", true},
		{"stack.module = 'b'", true},
		{"stack.module = 'd'", false},
		{"stack.file endswith '/b.py'", true},
		{"caller.module = 'a'", true},
		{"caller.line > 9", true},
		{"caller.line >= 11", false},
		{"caller.line < 10", false},
		{"caller.line in [9, 10]", true},
	};
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene_init(&scene, "os.exec");
		scene.items[0] = text("sh");
		scene.items[1] = text("-c");
		scene.items[2] = text("rm -rf /");
		scene.args[0] = text("/bin/sh");
		scene.args[1] = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
						       .n_items = 3,
						       .full_len = 3,
						       .items = scene.items};
		scene.event.n_args = 2;
		scene.frames[0] = (struct pyaudit_origin){
			.file = text("/x/a.py"), .module = text("a"), .line = 10};
		scene.frames[1] = (struct pyaudit_origin){
			.file = text("/x/b.py"), .module = text("b"), .line = 20};
		scene.event.n_frames = 2;
		assert_condition(cases[i].condition, &scene, cases[i].holds);
	}
}

static void
addresses_are_in_networks(void **state)
{
	static const struct {
		const char *condition, *host;
		bool holds;
	} cases[] = {
		{"net.ip cidr '10.0.0.0/8'", "10.1.2.3", true},
		{"net.ip cidr '10.0.0.0/8'", "11.1.2.3", false},
		{"net.ip cidr '10.0.0.0/8'", "example.com", false},
		{"net.ip cidr '10.0.0.0/8'", "::ffff:10.1.2.3", true},
		{"net.ip cidr '172.16.0.0/12'", "172.31.255.255", true},
		{"net.ip cidr '172.16.0.0/12'", "172.32.0.0", false},
		{"net.ip cidr '0.0.0.0/0'", "8.8.8.8", true},
		{"net.ip cidr '0.0.0.0/0'", "::1", false},
		{"net.ip cidr '::1'", "::1", true},
		{"net.ip cidr '::1'", "0:0:0:0:0:0:0:1", true},
		{"net.ip cidr 'fe80::/10'", "fe80::1%eth0", true},
		{"net.ip cidr 'fe80::/10'", "fec0::1", false},
		{"net.ip cidr ['10.0.0.0/8', '127.0.0.0/8']", "127.0.0.1", true},
		{"not net.ip cidr ['10.0.0.0/8', '127.0.0.0/8']", "8.8.8.8", true},
		{"net.ip = '1.2.3.4'", "1.2.3.4", true},
		{"net.ip = '1.2.3.4'", "1.2.3.5", false},
		{"net.host = 'example.com'", "example.com", true},
		{"net.port = 443", "x", true},
		{"net.port in [80, 443]", "x", true},
		{"net.port < 443", "x", false},
		{"net.port <= 443", "x", true},
		{"net.port > 442 and net.port < 444", "x", true},
		{"net.port != 443", "x", false},
	};
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene_init(&scene, "socket.connect");
		scene.items[0] = text(cases[i].host);
		scene.items[1] = pyaudit_value_int(443);
		scene.args[0] =
			(struct pyaudit_value){.type = PYAUDIT_TAG_OBJECT, .s = "socket", .len = 6};
		scene.args[1] = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
						       .n_items = 2,
						       .full_len = 2,
						       .items = scene.items};
		scene.event.n_args = 2;
		if (strchr(cases[i].host, '%') != NULL)
			scene.items[0].len = scene.items[0].full_len =
				(uint32_t)(strchr(cases[i].host, '%') - cases[i].host);
		assert_condition(cases[i].condition, &scene, cases[i].holds);
	}
}

static void
facts_of_the_process_are_bound_once(void **state)
{
	static const struct {
		const char *condition;
		bool holds;
	} cases[] = {
		{"proc.unit glob 'gunicorn*'", true},
		{"proc.unit = 'cron.service'", false},
		{"proc.uid = 1000", true},
		{"proc.uid >= 1000 and proc.unit contains 'corn'", true},
		{"proc.argv = '--debug'", true},
		{"proc.argv = '-x'", false},
		{"exists proc.container", false},
		{"not exists proc.container", true},
		{"proc.exe under '/usr'", true},
	};
	struct scene scene;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene_init(&scene, "os.fork");
		scene.items[0] = text("python3");
		scene.items[1] = text("--debug");
#define FACT(name) scene.facts.fact[PYAUDIT_F_PROC_##name - PYAUDIT_F_PROC_PID]
		FACT(UNIT) = text("gunicorn.service");
		FACT(UID) = pyaudit_value_int(1000);
		FACT(EXE) = text("/usr/bin/python3");
		FACT(ARGV) = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
						    .n_items = 2,
						    .full_len = 2,
						    .items = scene.items};
#undef FACT
		assert_condition(cases[i].condition, &scene, cases[i].holds);
	}
}

static void
octal_and_short_addresses_are_what_the_resolver_makes_of_them(void **state)
{
	static const struct {
		const char *address;
		unsigned family;
		uint8_t bytes[4];
	} cases[] = {
		{"127.0.0.1", 4, {127, 0, 0, 1}},
		{"127.1", 4, {127, 0, 0, 1}},
		{"0x7f000001", 4, {127, 0, 0, 1}},
		{"0177.0.0.1", 4, {127, 0, 0, 1}},
		{"2130706433", 4, {127, 0, 0, 1}},
		{"10.65535", 4, {10, 0, 255, 255}},
		{"1.2.3.256", 0, {0}},
		{"1.2.3.4.5", 0, {0}},
		{"1.2.3.", 0, {0}},
		{"", 0, {0}},
		{"4294967296", 0, {0}},
		{"0x", 0, {0}},
		{"08.0.0.1", 0, {0}},
		{"1:2", 0, {0}},
		{":::", 0, {0}},
		{"1::2::3", 0, {0}},
		{"12345::", 0, {0}},
		{"::ffff:1.2.3.4", 4, {1, 2, 3, 4}},
		{"::ffff:1.2.3.4.5", 0, {0}},
		{"1:2:3:4:5:6:7:8:9", 0, {0}},
		{"1:2:3:4:5:6:7:", 0, {0}},
		{"1:2:3:4:5:6:7::", 6, {0, 1, 0, 2}},
		{"::", 6, {0, 0, 0, 0}},
		{"1:2:3:4:5:6:7:8", 6, {0, 1, 0, 2}},
	};
	uint8_t bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned family =
			pyaudit_address_parse(cases[i].address, strlen(cases[i].address), bytes);

		if (family != cases[i].family)
			fail_msg("%s: family %u", cases[i].address, family);
		if (family != 0)
			assert_memory_equal(bytes, cases[i].bytes, 4);
	}
}

/* Verdicts. */

#define RULE(id, rest)                                                                             \
	"{\"id\":\"" id "\",\"title\":\"t\",\"on\":[\"open\"],\"severity\":\"info\"," rest "}"
#define RULES(...) "{\"version\":1,\"rules\":[" __VA_ARGS__ "]}"

static struct pyaudit_verdict
judge_open(const char *rules, const struct compile_options *options, const char *path)
{
	struct rule_set *set = parse(rules);
	struct image image = build(set, options);
	struct pyaudit_verdict verdict, reference;
	struct scene scene;

	scene_init(&scene, "open");
	scene.args[0] = text(path);
	scene.event.n_args = 1;
	judge(&image, &scene, &verdict);
	reference_judge(set, options, &scene.facts, &scene.event, &reference);
	assert_int_equal(verdict.action, reference.action);
	assert_int_equal(verdict.observed, reference.observed);
	assert_int_equal(verdict.n_hits, reference.n_hits);
	assert_memory_equal(verdict.hits, reference.hits, verdict.n_hits * sizeof(uint16_t));
	image_fini(&image);
	rules_free(set);
	return verdict;
}

static void
the_strongest_action_wins_and_all_rules_are_named(void **state)
{
	struct pyaudit_verdict
		v =
			judge_open(RULES(RULE("a", "\"action\":\"record\",\"when\":[\"file.path = "
						   "'x'\"]") "," RULE("b", "\"action\":\"alert\","
									   "\"when\":[\"file.path "
									   "= 'x'\"]") "," RULE(
					   "c", "\"action\":\"block\",\"when\":[\"file.path = "
						"'x'\"]") "," RULE("d",
								   "\"action\":\"alert\",\"when\":["
								   "\"file.path contains 'x'\"]")),
				   &plain_options, "x");

	(void)state;
	assert_int_equal(v.action, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(v.observed, 0);
	assert_int_equal(v.n_hits, 4);
	assert_int_equal(v.hits[0], 2);
	assert_int_equal(v.hits[1], 1);
	assert_int_equal(v.hits[2], 3);
	assert_int_equal(v.hits[3], 0);
}

static void
allow_takes_back_only_the_rules_it_names(void **state)
{
	static const char
		rules[] = RULES(RULE("a", "\"action\":\"block\",\"when\":[\"file.path under "
					  "'/etc'\"]") "," RULE("b", "\"action\":\"alert\","
								     "\"when\":[\"file.path under "
								     "'/etc'\"]") "," RULE(
			"c", "\"action\":\"allow\",\"over\":[\"a\"],\"when\":[\"file.name = "
			     "'hosts'\"]"));
	struct pyaudit_verdict v = judge_open(rules, &plain_options, "/etc/hosts");

	(void)state;
	assert_int_equal(v.action, PYAUDIT_ACTION_ALERT);
	assert_int_equal(v.n_hits, 1);
	assert_int_equal(v.hits[0], 1);
	v = judge_open(rules, &plain_options, "/etc/passwd");
	assert_int_equal(v.action, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(v.n_hits, 2);
}

static void
observe_weakens_and_says_so(void **state)
{
	static const char one[] = RULES(RULE("a", "\"action\":\"block\",\"mode\":\"observe\","
						  "\"when\":[\"file.path = 'x'\"]"));
	static const char two[] = RULES(RULE(
		"a",
		"\"action\":\"block\",\"mode\":\"observe\",\"when\":[\"file.path = "
		"'x'\"]") "," RULE("b", "\"action\":\"block\",\"when\":[\"file.path = 'x'\"]"));
	struct compile_options host = {.observe = true};
	struct pyaudit_verdict v = judge_open(one, &plain_options, "x");

	(void)state;
	assert_int_equal(v.action, PYAUDIT_ACTION_ALERT);
	assert_int_equal(v.observed, 1);
	v = judge_open(two, &plain_options, "x");
	assert_int_equal(v.action, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(v.observed, 0);
	assert_int_equal(v.hits[0], 1);
	v = judge_open(two, &host, "x");
	assert_int_equal(v.action, PYAUDIT_ACTION_ALERT);
	assert_int_equal(v.observed, 1);
	assert_int_equal(v.n_hits, 2);
}

static void
more_hits_than_fit_keep_the_strongest(void **state)
{
	char rules[16384];
	size_t n = 0;
	struct pyaudit_verdict v;

	(void)state;
	n += (size_t)snprintf(rules, sizeof(rules), "{\"version\":1,\"rules\":[");
	for (unsigned i = 0; i < 40; i++)
		n += (size_t)snprintf(rules + n, sizeof(rules) - n,
				      "%s{\"id\":\"r%u\",\"title\":\"t\",\"on\":[\"open\"],"
				      "\"severity\":\"info\",\"action\":\"%s\",\"when\":["
				      "\"file.path startswith '%.*s'\"]}",
				      i > 0 ? "," : "", i, i >= 35 ? "block" : "alert",
				      (int)(40 - i), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	(void)snprintf(rules + n, sizeof(rules) - n, "]}");
	v = judge_open(rules, &plain_options, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	assert_int_equal(v.action, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(v.n_hits, PYAUDIT_HITS_MAX);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(v.hits[i], 35 + i);
	for (unsigned i = 5; i < PYAUDIT_HITS_MAX; i++)
		assert_int_equal(v.hits[i], i - 5);
}

/* The quick look for what needs normalising takes 16, 32 or 64 bytes at a time. */
static void
odd_slashes_are_seen_wherever_they_stand(void **state)
{
	static const char *const odd[] = {"/../etc", "/../etc/x", "/..//etc", "/.././etc",
					  "//../etc"};
	struct rule_set *set = one_rule("file.path under '/etc'");
	struct image image = build(set, &plain_options);
	struct pyaudit_verdict verdict;
	struct scene scene;
	char path[160];

	(void)state;
	for (size_t at = 0; at < 4 * 110 * (sizeof(odd) / sizeof(odd[0])); at++) {
		const char *end = odd[at % (sizeof(odd) / sizeof(odd[0]))];
		size_t n = 1 + at / (sizeof(odd) / sizeof(odd[0])) % 110;

		pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
		pyaudit_vectors_limit((enum pyaudit_vectors)(PYAUDIT_VECTORS_NONE + at % 4));
		memset(path, 'a', sizeof(path));
		path[0] = '/';
		(void)snprintf(path + 1 + n, sizeof(path) - 1 - n, "%s", end);
		scene_init(&scene, "open");
		scene.args[0] = text(path);
		scene.event.n_args = 1;
		judge(&image, &scene, &verdict);
		if (verdict.n_hits != 1)
			fail_msg("%s", path);
		path[1 + n] = 'a'; /* no slash before the dots: one name */
		judge(&image, &scene, &verdict);
		if (verdict.n_hits != (strncmp(end, "//", 2) == 0))
			fail_msg("%s", path);
	}
	pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
	image_fini(&image);
	rules_free(set);
}

/* More patterns without a literal than one automaton takes. */
static void
patterns_without_a_text_share_automata(void **state)
{
	char rules[32768], path[64] = "";
	struct pyaudit_verdict v;
	size_t n = 0;

	(void)state;
	n += (size_t)snprintf(rules, sizeof(rules), "{\"version\":1,\"rules\":[");
	for (unsigned i = 1; i <= 60; i++)
		n += (size_t)snprintf(rules + n, sizeof(rules) - n,
				      "{\"id\":\"r%u\",\"title\":\"t\",\"on\":[\"open\"],"
				      "\"severity\":\"info\",\"action\":\"alert\",\"when\":["
				      "\"file.path matches '^[a-z]{%u}$'\"]},",
				      i, i);
	for (unsigned i = 1; i <= 8; i++)
		n += (size_t)snprintf(rules + n, sizeof(rules) - n,
				      "{\"id\":\"s%u\",\"title\":\"t\",\"on\":[\"open\"],"
				      "\"severity\":\"info\",\"action\":\"alert\",\"when\":["
				      "\"file.path matches '[0-9].{%u}[A-Z]'\"]}%s",
				      i, i, i < 8 ? "," : "]}");
	for (unsigned i = 1; i <= 60; i++) {
		path[i - 1] = 'a';
		v = judge_open(rules, &plain_options, path);
		assert_int_equal(v.n_hits, 1);
		assert_int_equal(v.hits[0], i - 1);
	}
	v = judge_open(rules, &plain_options, "/0aaaZ");
	assert_int_equal(v.n_hits, 1);
	assert_int_equal(v.hits[0], 62);
	v = judge_open(rules, &plain_options, "/00aaaaaaaZ");
	assert_int_equal(v.n_hits, 2);
	assert_int_equal(v.hits[0], 66);
	assert_int_equal(v.hits[1], 67);
}

/* Where there are more than 256, they take two bytes each. */
static void
automata_of_many_states(void **state)
{
	char rules[512], path[2 * 120 + 3];

	(void)state;
	for (unsigned n = 60; n <= 120; n++) {
		(void)snprintf(rules, sizeof(rules),
			       RULES(RULE("r", "\"action\":\"alert\",\"when\":[\"file.path matches '^/(ab|cd){%u}$'\"]")),
			       n);
		path[0] = '/';
		for (unsigned i = 0; i < n; i++)
			memcpy(path + 1 + 2 * i, i * 7 % 3 == 0 ? "ab" : "cd", 3);
		assert_int_equal(judge_open(rules, &plain_options, path).n_hits, 1);
		path[2 * n - 1] ^= 1;
		assert_int_equal(judge_open(rules, &plain_options, path).n_hits, 0);
		path[2 * n - 1] = '\0';
		assert_int_equal(judge_open(rules, &plain_options, path).n_hits, 0);
	}
}

static void
fail_lookup(struct pyaudit_origin *frame)
{
	(void)frame;
	assert_true(false); /* whose code it is would be read from disk */
}

/* Whatever else a rule says of an event comes before its packages. */
static void
packages_are_asked_for_last(void **state)
{
	struct rule_set *set = one_rule("caller.package in ['pyyaml', 'a-distribution-of-a-long-name'] and "
					"caller.file matches '/(yaml|six)[./]'");
	struct image image = build(set, &plain_options);
	struct pyaudit_verdict verdict;
	struct scene scene;

	(void)state;
	scene_init(&scene, "os.system");
	scene.frames[0].file = text("/usr/lib/python3/dist-packages/urllib3/util.py");
	scene.event.n_frames = 1;
	scene.event.packages = fail_lookup;
	judge(&image, &scene, &verdict);
	assert_int_equal(verdict.n_hits, 0);
	image_fini(&image);
	rules_free(set);
}

static void
a_full_scratch_hides_no_path(void **state)
{
	struct rule_set *set = one_rule("file.path under '/etc'");
	struct image image = build(set, &plain_options);
	struct pyaudit_verdict verdict;
	struct scene scene;
	char path[6000];

	(void)state;
	for (size_t i = 0; i < sizeof(path); i += 2)
		memcpy(path + i, "/.", 2);
	memcpy(path + sizeof(path) - 12, "/etc//shadow", 12);
	scene_init(&scene, "open");
	scene.args[0] = pyaudit_value_text(path, sizeof(path));
	scene.event.n_args = 1;
	judge(&image, &scene, &verdict);
	assert_int_equal(verdict.n_hits, 1);

	scene.event.scratch = NULL;
	scene.event.scratch_size = 0;
	judge(&image, &scene, &verdict);
	assert_int_equal(verdict.n_hits, 1);
	image_fini(&image);
	rules_free(set);
}

/* Random rules and events. */

struct random {
	uint64_t state;
};

static uint32_t
below(struct random *random, uint32_t n)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return (uint32_t)((random->state * PYAUDIT_HASH_K) >> 33) % n;
}

#define PICK(random, array) ((array)[below((random), sizeof(array) / sizeof((array)[0]))])

#define RANDOM_TEXT_MAX 120

static size_t
random_word(struct random *random, char *out)
{
	static const char *const words[] = {
		"a",	    "b",	 "ab",	   "etc",     "passwd",
		"ssh",	    ".ssh",	 "id_rsa", "x.py",    "lib",
		"usr",	    "home",	 "joe",	   "curl",    "sh",
		"-c",	    "tmp",	 "shadow", "..",      ".",
		"A",	    "SSH",	 "python", "python3", "site-packages",
		"10.1.2.3", "127.0.0.1", "::1",	   "8080",    "5",
		"-1",	    "",		 "x",	   "m",	      "\xc3\xa9",
		"\x80",	    "\xff\xfe",	 "open",   "aaaa",    "abab",
	};
	const char *word = PICK(random, words);
	size_t n = strlen(word);

	memcpy(out, word, n);
	return n;
}

static size_t
random_text(struct random *random, char *out)
{
	static const char *const joints[] = {"/",    "/", "/", "/", "//", "/./",
					     "/../", ".", " ", "",  "_",  ";"};
	unsigned n_words = below(random, 6);
	size_t n = 0;

	if (below(random, 2) == 0)
		out[n++] = '/';
	for (unsigned i = 0; i <= n_words; i++) {
		const char *joint = PICK(random, joints);

		if (n > RANDOM_TEXT_MAX - 24)
			break;
		if (i > 0) {
			memcpy(out + n, joint, strlen(joint));
			n += strlen(joint);
		}
		n += random_word(random, out + n);
	}
	if (below(random, 20) == 0)
		out[n++] = '\0';
	return n;
}

/* A part of such a text, to begin with, end with, contain. */
static size_t
random_part(struct random *random, char *out)
{
	char whole[RANDOM_TEXT_MAX];
	size_t n = random_text(random, whole), start = n > 0 ? below(random, (uint32_t)n) : 0;
	size_t len = n > start ? 1 + below(random, (uint32_t)(n - start)) : 0;

	memcpy(out, whole + start, len);
	return len;
}

static size_t
random_glob(struct random *random, char *out)
{
	static const char *const parts[] = {"*",    "*",    "**",  "?", "[a-c]", "[!a-c]",
					    "[.x]", "[]a]", "\\*", "/", "/",	 "[^/]"};
	unsigned n_parts = 1 + below(random, 6);
	size_t n = 0;

	for (unsigned i = 0; i < n_parts; i++) {
		const char *part = PICK(random, parts);

		if (below(random, 2) == 0) {
			n += random_word(random, out + n);
		} else {
			memcpy(out + n, part, strlen(part));
			n += strlen(part);
		}
	}
	return n;
}

static size_t
random_regex_part(struct random *random, char *out, unsigned depth)
{
	static const char *const atoms[] = {
		"a",	  "b",	     "x",   "/",   ".",	   "[a-f]",    "[^/]", "\\d",
		"\\w",	  "\\s",     "\\D", "\\W", "\\S",  "\\x2f",    "\\.",  "[[:alpha:]]",
		"[\\d.]", "ssh",     "etc", "py",  "[]x]", "[^]x]",    "\\n",  "^",
		"$",	  "[a\\-z]", "{",   "}",   "]",	   "\xc3\xa9",
	};
	static const char *const quantifiers[] = {"*",	  "+",	   "?",	 "{2}", "{1,3}",
						  "{2,}", "{0,1}", "*?", "+?"};
	unsigned n_parts = 1 + below(random, depth > 2 ? 2 : 4);
	size_t n = 0;

	for (unsigned i = 0; i < n_parts; i++) {
		bool assertion = false;

		if (depth < 3 && below(random, 5) == 0) {
			const char *open = below(random, 2) == 0 ? "(" : "(?:";

			memcpy(out + n, open, strlen(open));
			n += strlen(open);
			n += random_regex_part(random, out + n, depth + 1);
			out[n++] = ')';
		} else {
			const char *atom = PICK(random, atoms);

			assertion = *atom == '^' || *atom == '$';
			memcpy(out + n, atom, strlen(atom));
			n += strlen(atom);
			if ((unsigned char)atom[0] >= 0x80)
				assertion = true; /* two literals: a quantifier would take one */
			if (strcmp(atom, "{") == 0)
				assertion = true;
		}
		if (!assertion && below(random, 3) == 0) {
			const char *quantifier = PICK(random, quantifiers);

			memcpy(out + n, quantifier, strlen(quantifier));
			n += strlen(quantifier);
		}
		if (i + 1 < n_parts && below(random, 6) == 0)
			out[n++] = '|';
	}
	return n;
}

static size_t
random_regex(struct random *random, char *out)
{
	size_t n = 0;

	if (below(random, 6) == 0) {
		memcpy(out, "(?i)", 4);
		n = 4;
	}
	if (below(random, 3) == 0)
		out[n++] = '^';
	n += random_regex_part(random, out + n, 0);
	if (below(random, 3) == 0)
		out[n++] = '$';
	return n;
}

static const unsigned text_fields[] = {
	PYAUDIT_F_FILE_PATH,	PYAUDIT_F_FILE_PATH,	 PYAUDIT_F_FILE_PATH,
	PYAUDIT_F_FILE_NAME,	PYAUDIT_F_EXEC_PATH,	 PYAUDIT_F_EXEC_ARGV,
	PYAUDIT_F_EXEC_CMDLINE, PYAUDIT_F_EXEC_NAME,	 PYAUDIT_F_FILE_TARGET,
	PYAUDIT_F_NET_HOST,	PYAUDIT_F_IMPORT_MODULE, PYAUDIT_F_ARG0,
	PYAUDIT_F_ARG1,		PYAUDIT_F_CALLER_MODULE, PYAUDIT_F_STACK_MODULE,
	PYAUDIT_F_STACK_FILE,	PYAUDIT_F_PROC_UNIT,	 PYAUDIT_F_PROC_ARGV,
	PYAUDIT_F_PROC_EXE,	PYAUDIT_F_EVENT,	 PYAUDIT_F_ENV_NAME,
	PYAUDIT_F_URL_HOST,	PYAUDIT_F_LIB_PATH,	 PYAUDIT_F_CALLER_PACKAGE,
	PYAUDIT_F_STACK_PACKAGE, PYAUDIT_F_FILE_REAL,	 PYAUDIT_F_FILE_REAL,
	PYAUDIT_F_FILE_REAL_TARGET, PYAUDIT_F_EXEC_PROGRAMS,
};
static const unsigned number_fields[] = {
	PYAUDIT_F_NET_PORT, PYAUDIT_F_CALLER_LINE, PYAUDIT_F_PROC_UID,
	PYAUDIT_F_FILE_FD,  PYAUDIT_F_ARG1,	   PYAUDIT_F_ARG2,
};
static const unsigned truth_fields[] = {PYAUDIT_F_FILE_WRITE, PYAUDIT_F_EXEC_SHELL};

static char *
copy_text(const char *s, size_t n)
{
	char *copy = malloc(n + 1);

	assert_non_null(copy);
	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

static void
random_text_value(struct random *random, enum expr_cmp cmp, struct expr_value *ret)
{
	char out[1024];
	size_t n = 0;

	switch (cmp) {
	case CMP_GLOB:
		n = random_glob(random, out);
		break;
	case CMP_MATCHES:
		n = random_regex(random, out);
		break;
	case CMP_EQ:
		n = below(random, 2) == 0 ? random_word(random, out) : random_text(random, out);
		break;
	case CMP_UNDER:
		if (below(random, 4) != 0)
			out[n++] = '/';
		n += random_word(random, out + n);
		if (below(random, 3) == 0) {
			out[n++] = '/';
			n += random_word(random, out + n);
		}
		break;
	default:
		n = random_part(random, out);
		break;
	}
	ret->text = copy_text(out, n);
	ret->len = n;
}

static struct expr *
random_test(struct random *random)
{
	static const enum expr_cmp text_cmps[] = {
		CMP_EQ,	      CMP_EQ,	    CMP_GLOB,	 CMP_STARTSWITH,
		CMP_ENDSWITH, CMP_CONTAINS, CMP_MATCHES, CMP_UNDER,
	};
	static const enum expr_cmp orders[] = {CMP_EQ, CMP_LT, CMP_LE, CMP_GT, CMP_GE};
	static const char *const nets[] = {"10.0.0.0/8", "127.0.0.1/32", "::1/128",
					   "0.0.0.0/0",	 "10.1.2.0/23",	 "fe80::/10"};
	static const int64_t numbers[] = {-1, 0, 1, 2, 5, 80, 443, 8080, INT64_MAX, INT64_MIN};
	struct expr *test = calloc(1, sizeof(*test));
	unsigned kind = below(random, 20);

	assert_non_null(test);
	test->op = EXPR_TEST;
	test->file = "random";
	test->n_values = below(random, 4) == 0 ? 1 + below(random, 14) : 1;
	if (kind == 0) {
		test->field = below(random, 2) == 0 ? PICK(random, text_fields)
						    : PICK(random, number_fields);
		test->cmp = CMP_EXISTS;
		test->n_values = 0;
	} else if (kind == 1) {
		test->field = PYAUDIT_F_NET_IP;
		test->cmp = below(random, 2) == 0 ? CMP_CIDR : CMP_EQ;
	} else if (kind < 5) {
		test->field = PICK(random, number_fields);
		test->cmp = PICK(random, orders);
	} else if (kind == 5) {
		test->field = PICK(random, truth_fields);
		test->cmp = CMP_EQ;
		test->n_values = 1;
	} else {
		test->field = PICK(random, text_fields);
		test->cmp = PICK(random, text_cmps);
	}
	if ((test->cmp == CMP_MATCHES || test->cmp == CMP_GLOB) && test->n_values > 4)
		test->n_values = 4;
	test->values = calloc(test->n_values + 1, sizeof(*test->values));
	assert_non_null(test->values);
	for (size_t i = 0; i < test->n_values; i++) {
		struct expr_value *value = &test->values[i];

		if (kind == 1) {
			const char *net = PICK(random, nets);

			value->text = copy_text(net, strlen(net));
			value->len = strlen(net);
		} else if (kind < 6) {
			value->is_int = true;
			value->number =
				kind == 5 ? (int64_t)below(random, 2) : PICK(random, numbers);
		} else {
			random_text_value(random, test->cmp, value);
		}
	}
	return test;
}

static struct expr *
random_expr(struct random *random, unsigned depth)
{
	struct expr *expr;

	if (depth == 0 || below(random, 3) == 0) {
		if (below(random, 30) != 0)
			return random_test(random);
		expr = calloc(1, sizeof(*expr));
		assert_non_null(expr);
		expr->op = EXPR_TRUE;
		return expr;
	}
	expr = calloc(1, sizeof(*expr));
	assert_non_null(expr);
	switch (below(random, 5)) {
	case 0:
		expr->op = EXPR_NOT;
		break;
	case 1:
	case 2:
		expr->op = EXPR_OR;
		break;
	default:
		expr->op = EXPR_AND;
		break;
	}
	expr->a = random_expr(random, depth - 1);
	if (expr->op != EXPR_NOT)
		expr->b = random_expr(random, depth - 1);
	return expr;
}

static const char *const event_names[] = {
	"open",		  "open",	   "open",	"os.listdir",
	"os.rename",	  "os.system",	   "os.exec",	"subprocess.Popen",
	"socket.connect", "import",	   "os.putenv", "builtins.id",
	"urllib.Request", "ctypes.dlopen", "lib.own",	"lib.other",
	"pty.spawn",	  "os.fork",
};

static struct rule_set *
random_rules(struct random *random)
{
	static const enum pyaudit_action actions[] = {PYAUDIT_ACTION_RECORD, PYAUDIT_ACTION_ALERT,
						      PYAUDIT_ACTION_BLOCK, PYAUDIT_ACTION_KILL};
	struct rule_set *set = calloc(1, sizeof(*set));
	char id[24];

	assert_non_null(set);
	set->n_rules = 1 + below(random, below(random, 4) == 0 ? 60 : 8);
	set->rules = calloc(set->n_rules, sizeof(*set->rules));
	assert_non_null(set->rules);
	for (size_t i = 0; i < set->n_rules; i++) {
		struct rule *rule = &set->rules[i];
		unsigned n_events = 1 + below(random, 8);

		(void)snprintf(id, sizeof(id), "r%zu", i);
		rule->id = copy_text(id, strlen(id));
		for (unsigned k = 0; k < n_events; k++) {
			const char *name = PICK(random, event_names);
			unsigned event = pyaudit_event_by_name(name, strlen(name));

			if (event != PYAUDIT_EV_OTHER || below(random, 8) == 0) {
				rule->events[event / 8] |= (uint8_t)(1u << event % 8);
				continue;
			}
			rule->other_events = realloc(rule->other_events,
						     (rule->n_other_events + 1) * sizeof(char *));
			assert_non_null(rule->other_events);
			rule->other_events[rule->n_other_events++] = copy_text(name, strlen(name));
		}
		rule->when = random_expr(random, below(random, 5));
		rule->action = PICK(random, actions);
		rule->observe = below(random, 5) == 0;
		rule->allow = below(random, 6) == 0;
		rule->n_over = rule->allow ? 1 + below(random, 3) : 0;
		rule->over = calloc(rule->n_over + 1, sizeof(*rule->over));
		assert_non_null(rule->over);
		for (size_t k = 0; k < rule->n_over; k++) {
			(void)snprintf(id, sizeof(id), "r%u",
				       below(random, (uint32_t)set->n_rules));
			rule->over[k] = copy_text(id, strlen(id));
		}
	}
	return set;
}

struct texts {
	char bytes[60][RANDOM_TEXT_MAX];
	unsigned n;
};

static struct pyaudit_value
random_value(struct random *random, struct texts *texts, bool number)
{
	static const int64_t numbers[] = {-1, 0, 1, 2, 5, 80, 443, 8080, INT64_MAX, INT64_MIN};
	struct pyaudit_value value = {.type = 0};
	char *out;

	if (number || below(random, 12) == 0)
		return pyaudit_value_int(PICK(random, numbers));
	if (below(random, 15) == 0) {
		static const uint8_t types[] = {PYAUDIT_TAG_NONE, PYAUDIT_TAG_OBJECT,
						PYAUDIT_TAG_BIGINT, PYAUDIT_TAG_FLOAT,
						PYAUDIT_TAG_BOOL};

		value.type = PICK(random, types);
		value.s = "object";
		value.len = value.full_len = 6;
		if (value.type == PYAUDIT_TAG_BOOL)
			value.i = below(random, 2);
		return value;
	}
	assert_true(texts->n < 60);
	out = texts->bytes[texts->n++];
	value = pyaudit_value_text(out, below(random, 3) == 0 ? random_word(random, out)
							      : random_text(random, out));
	if (below(random, 6) == 0)
		value.type = PYAUDIT_TAG_BYTES;
	return value;
}

/* None, one or two; given at once or when they are asked for, as the agent does. */
static void
random_packages(struct random *random, struct pyaudit_origin *frame, struct pyaudit_value packages[2],
		struct texts *texts)
{
	unsigned n = below(random, 3);

	for (unsigned i = 0; i < n; i++) {
		packages[i] = random_value(random, texts, false);
		if (!pyaudit_value_is_text(&packages[i]))
			packages[i] = pyaudit_value_text("requests", 8);
	}
	frame->packages = packages;
	frame->n_packages = (uint8_t)n;
}

/* Where paths lead, as the agent finds it: once, and when a condition first asks. */
static void
random_real(struct pyaudit_event *event)
{
	const struct scene *scene = event->data;

	if (event_may_have(event->id, PYAUDIT_F_FILE_PATH))
		event->real = scene->real[0];
	if (event_may_have(event->id, PYAUDIT_F_FILE_TARGET))
		event->real_target = scene->real[1];
}

static void
random_scene(struct random *random, struct scene *scene, struct texts *texts)
{
	unsigned n_items = 0;

	scene_init(scene, PICK(random, event_names));
	texts->n = 0;
	if (below(random, 4) == 0)
		scene->event.layer = PYAUDIT_LAYER_LIBC;
	scene->event.n_args = (uint8_t)below(random, 5);
	for (unsigned i = 0; i < scene->event.n_args; i++) {
		unsigned n = 1 + below(random, 4);

		if (i > 1 || below(random, 3) != 0 || n_items + n > 16) {
			scene->args[i] = random_value(random, texts, i > 1);
			continue;
		}
		scene->args[i] = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
							.n_items = (uint16_t)n,
							.full_len = n,
							.items = scene->items + n_items};
		for (unsigned k = 0; k < n; k++)
			scene->items[n_items++] = random_value(random, texts, k == 1);
	}
	scene->event.n_frames = (uint8_t)below(random, 4);
	for (unsigned i = 0; i < scene->event.n_frames; i++) {
		scene->frames[i].file = random_value(random, texts, false);
		scene->frames[i].module = random_value(random, texts, false);
		scene->frames[i].line = below(random, 10);
		if (!pyaudit_value_is_text(&scene->frames[i].file))
			scene->frames[i].file.type = 0;
		if (!pyaudit_value_is_text(&scene->frames[i].module))
			scene->frames[i].module.type = 0;
		random_packages(random, &scene->frames[i], scene->packages + 2 * i, texts);
	}
	if (below(random, 2) == 0)
		scene->real[0] = random_value(random, texts, false);
	if (below(random, 4) == 0)
		scene->real[1] = random_value(random, texts, false);
	scene->event.resolve = below(random, 8) != 0 ? random_real : NULL;
	scene->event.data = scene;
	scene->facts.fact[PYAUDIT_F_PROC_UNIT - PYAUDIT_F_PROC_PID] =
		random_value(random, texts, false);
	scene->facts.fact[PYAUDIT_F_PROC_EXE - PYAUDIT_F_PROC_PID] =
		random_value(random, texts, false);
	if (below(random, 2) == 0)
		scene->facts.fact[PYAUDIT_F_PROC_UID - PYAUDIT_F_PROC_PID] =
			random_value(random, texts, true);
	scene->facts.fact[PYAUDIT_F_PROC_ARGV - PYAUDIT_F_PROC_PID] =
		(struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
				       .n_items = (uint16_t)n_items,
				       .full_len = n_items,
				       .items = scene->items};
}

static void
print_text(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] > 32 && s[i] < 127 && s[i] != '\\')
			fputc(s[i], stderr);
		else
			fprintf(stderr, "\\x%02x", (unsigned char)s[i]);
}

static void
print_expr(const struct expr *expr)
{
	static const char *const ops[] = {"AND", "OR", "NOT", "TRUE"};

	if (expr->op != EXPR_TEST) {
		fprintf(stderr, "(%s", ops[expr->op]);
		if (expr->a != NULL)
			print_expr(expr->a);
		if (expr->b != NULL)
			print_expr(expr->b);
		fprintf(stderr, ")");
		return;
	}
	fprintf(stderr, " %s:%d[", pyaudit_fields[expr->field].name, (int)expr->cmp);
	for (size_t i = 0; i < expr->n_values; i++) {
		if (expr->values[i].is_int)
			fprintf(stderr, "%" PRId64 ",", expr->values[i].number);
		else
			print_text(expr->values[i].text, expr->values[i].len);
		fprintf(stderr, " | ");
	}
	fprintf(stderr, "]");
}

static void
report(const struct rule_set *set, const struct scene *scene, const struct pyaudit_verdict *a,
       const struct pyaudit_verdict *b, uint64_t seed)
{
	fprintf(stderr, "seed %" PRIu64 ", event %s(", seed, scene->event.name);
	for (unsigned i = 0; i < scene->event.n_args; i++) {
		const struct pyaudit_value *v = &scene->args[i];

		fprintf(stderr, "%u:", v->type);
		if (pyaudit_value_is_text(v))
			print_text(v->s, v->len);
		for (unsigned k = 0; v->type == PYAUDIT_TAG_LIST && k < v->n_items; k++) {
			fprintf(stderr, "[");
			if (pyaudit_value_is_text(&v->items[k]))
				print_text(v->items[k].s, v->items[k].len);
			fprintf(stderr, "]");
		}
		fprintf(stderr, ", ");
	}
	fprintf(stderr, ")\nimage: action %u observed %u hits", a->action, a->observed);
	for (unsigned i = 0; i < a->n_hits; i++)
		fprintf(stderr, " %u", a->hits[i]);
	fprintf(stderr, "\nreference: action %u observed %u hits", b->action, b->observed);
	for (unsigned i = 0; i < b->n_hits; i++)
		fprintf(stderr, " %u", b->hits[i]);
	fprintf(stderr, "\n");
	for (size_t i = 0; i < set->n_rules; i++) {
		fprintf(stderr, "rule %zu%s action %d:", i, set->rules[i].allow ? " allow" : "",
			(int)set->rules[i].action);
		print_expr(set->rules[i].when);
		fprintf(stderr, "\n");
	}
}

#define EVENTS_PER_SET 40

static unsigned long n_remembered, n_recalled;

/* What the agent would not judge again, because the table of what concerned nobody has it, concerns
 * nobody by the reference: the same event from other code, and one that shares some of its arguments. A
 * policy of its own for each scene, for a process has the same facts as long as a policy is in force. */
static void
check_memo(const struct rule_set *set, const struct compile_options *options, struct random *random,
	   struct scene *scene, const struct pyaudit_verdict *verdict)
{
	static uint32_t policy;
	struct pyaudit_verdict reference;
	struct memo_key key;
	struct texts texts;
	struct scene other;

	if (verdict->action != PYAUDIT_ACTION_NONE || !verdict->pure ||
	    !memo_key(&key, ++policy, scene->event.id, scene->args, scene->event.n_args))
		return;
	memo_add(&key);
	memo_add(&key);
	assert_true(memo_has(&key));
	n_remembered++;
	random_scene(random, &other, &texts);
	other.event.id = scene->event.id;
	other.event.name = scene->event.name;
	other.event.name_len = scene->event.name_len;
	other.event.layer = scene->event.layer;
	other.facts = scene->facts;
	if (other.event.n_args < scene->event.n_args)
		other.event.n_args = scene->event.n_args;
	for (unsigned i = 0; i < scene->event.n_args; i++)
		if (below(random, 8) != 0)
			other.args[i] = scene->args[i];
	if (below(random, 8) != 0)
		other.event.n_args = scene->event.n_args;
	if (!memo_key(&key, policy, other.event.id, other.args, other.event.n_args) ||
	    !memo_has(&key))
		return;
	n_recalled++;
	reference_judge(set, options, &other.facts, &other.event, &reference);
	if (reference.action == PYAUDIT_ACTION_NONE)
		return;
	report(set, &other, verdict, &reference, 0);
	fail_msg("remembered as nothing, and is something");
}

static void
image_and_reference_agree_on_random_rules(void **state)
{
	unsigned long n = 0, n_matched = 0, n_blocked = 0, n_refused = 0, n_sets = 0;

	(void)state;
	for (uint64_t seed = first_seed; n < n_pairs; seed++) {
		struct random random = {seed * PYAUDIT_HASH_K | 1};
		struct rule_set *set = random_rules(&random);
		struct compile_options options = {
			.observe = below(&random, 8) == 0,
			.record_all = below(&random, 4) == 0,
			.record = (uint16_t)(below(&random, 2) == 0 ? PYAUDIT_CLASS_FILE : 0),
		};
		struct image image;
		struct diag diag;
		int r;

		pyaudit_vectors_limit((enum pyaudit_vectors)(PYAUDIT_VECTORS_NONE + seed % 4));
		diag_init(&diag);
		r = compile_rules(&image, set, &options, &diag);
		if (r > 0) /* a pattern too large */
			n_refused++;
		else if (r < 0)
			fail_msg("seed %" PRIu64 ": compiler says %d", seed, r);
		diag_fini(&diag);
		n_sets++;
		for (unsigned i = 0; r == 0 && i < EVENTS_PER_SET; i++, n++) {
			struct pyaudit_verdict verdict, reference;
			struct texts texts;
			struct scene scene;

			random_scene(&random, &scene, &texts);
			judge(&image, &scene, &verdict);
			reference_judge(set, &options, &scene.facts, &scene.event, &reference);
			n_matched += reference.n_hits > 0;
			n_blocked += reference.action >= PYAUDIT_ACTION_BLOCK;
			if (verdict.action == reference.action &&
			    verdict.observed == reference.observed &&
			    verdict.n_hits == reference.n_hits &&
			    memcmp(verdict.hits, reference.hits, verdict.n_hits * 2u) == 0) {
				check_memo(set, &options, &random, &scene, &verdict);
				continue;
			}
			report(set, &scene, &verdict, &reference, seed);
			fail_msg("image and reference differ");
		}
		if (r == 0)
			image_fini(&image);
		rules_free(set);
	}
	pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
	print_message("%lu pairs, %lu rule sets (%lu refused), %lu matched, %lu blocked; %lu "
		      "remembered, %lu recalled; of %lu glances %lu were enough\n", n, n_sets, n_refused,
		      n_matched, n_blocked, n_remembered, n_recalled, n_glances, n_enough);
	assert_true(n_recalled > n / 100);
	assert_true(n_matched > n / 10);
	assert_true(n_refused < n_sets / 10);
}

/* Damage. */

static void
damaged_images_are_refused_or_harmless(void **state)
{
	unsigned long n = 0, n_accepted = 0;

	(void)state;
	for (uint64_t seed = first_seed; n < n_images; seed++) {
		struct random random = {seed * PYAUDIT_HASH_K | 1};
		struct rule_set *set = random_rules(&random);
		struct compile_options options = {.generation = 1};
		struct image image;
		struct diag diag;
		uint8_t *copy;
		int r;

		diag_init(&diag);
		r = compile_rules(&image, set, &options, &diag);
		diag_fini(&diag);
		rules_free(set);
		if (r != 0)
			continue;
		copy = malloc(image.size);
		assert_non_null(copy);
		for (unsigned i = 0; i < 200; i++, n++) {
			unsigned n_changes = 1 + below(&random, 4);
			size_t size = image.size;
			struct pyaudit_image *head = (void *)copy;

			memcpy(copy, image.bytes, size);
			if (below(&random, 16) == 0) {
				size = below(&random, (uint32_t)size);
				if (size >= sizeof(*head))
					head->size = pyaudit_le32_of((uint32_t)size);
			}
			for (unsigned k = 0; k < n_changes && size > 0; k++) {
				size_t at = below(&random, (uint32_t)size);
				unsigned how = below(&random, 4);

				if (below(&random, 3) == 0)
					at %= sizeof(*head);
				if (how == 0)
					copy[at] ^= (uint8_t)(1u << below(&random, 8));
				else if (how == 1)
					copy[at] = (uint8_t)below(&random, 256);
				else
					copy[at] = (uint8_t)(copy[at] + (how == 2 ? 1 : 255));
			}
			if (size >= sizeof(*head) && below(&random, 16) != 0)
				head->checksum =
					pyaudit_le64_of(pyaudit_image_checksum(copy, size));
			if (pyaudit_image_check(copy, size) == 0) {
				struct image damaged = {copy, size};
				struct pyaudit_verdict verdict;
				struct texts texts;
				struct scene scene;

				n_accepted++;
				random_scene(&random, &scene, &texts);
				judge(&damaged, &scene, &verdict);
				for (unsigned k = 0; k < verdict.n_hits; k++)
					(void)strlen(pyaudit_image_rule_id(copy, verdict.hits[k]));
			}
		}
		free(copy);
		image_fini(&image);
	}
	print_message("%lu damaged images, %lu of them harmless\n", n, n_accepted);
}

static void
an_image_of_another_version_is_told_apart(void **state)
{
	struct rule_set *set = one_rule("file.path = 'x'");
	struct image image = build(set, &plain_options);
	struct pyaudit_image *head = image.bytes;

	(void)state;
	assert_int_equal(pyaudit_image_check(image.bytes, image.size), 0);
	assert_int_equal(pyaudit_image_generation(image.bytes), 7);
	assert_int_equal(pyaudit_image_n_rules(image.bytes), 1);
	assert_string_equal(pyaudit_image_rule_id(image.bytes, 0), "r");
	assert_string_equal(pyaudit_image_rule_id(image.bytes, 1), "?");
	assert_int_equal(pyaudit_image_check(image.bytes, image.size - 1), -EBADMSG);
	assert_int_equal(pyaudit_image_check(image.bytes, 8), -EBADMSG);
	head->major = pyaudit_le16_of(PYAUDIT_IMAGE_MAJOR + 1);
	assert_int_equal(pyaudit_image_check(image.bytes, image.size), -EPROTO);
	head->major = pyaudit_le16_of(PYAUDIT_IMAGE_MAJOR);
	((uint8_t *)image.bytes)[image.size - 1] ^= 1;
	assert_int_equal(pyaudit_image_check(image.bytes, image.size), -EBADMSG);
	image_fini(&image);
	rules_free(set);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operators_on_paths_hold_as_documented),
		cmocka_unit_test(a_list_field_holds_if_one_element_does),
		cmocka_unit_test(addresses_are_in_networks),
		cmocka_unit_test(facts_of_the_process_are_bound_once),
		cmocka_unit_test(octal_and_short_addresses_are_what_the_resolver_makes_of_them),
		cmocka_unit_test(the_strongest_action_wins_and_all_rules_are_named),
		cmocka_unit_test(allow_takes_back_only_the_rules_it_names),
		cmocka_unit_test(observe_weakens_and_says_so),
		cmocka_unit_test(more_hits_than_fit_keep_the_strongest),
		cmocka_unit_test(odd_slashes_are_seen_wherever_they_stand),
		cmocka_unit_test(patterns_without_a_text_share_automata),
		cmocka_unit_test(automata_of_many_states),
		cmocka_unit_test(packages_are_asked_for_last),
		cmocka_unit_test(a_full_scratch_hides_no_path),
		cmocka_unit_test(image_and_reference_agree_on_random_rules),
		cmocka_unit_test(damaged_images_are_refused_or_harmless),
		cmocka_unit_test(an_image_of_another_version_is_told_apart),
	};
	static _Alignas(64) char room[MEMO_ENTRIES * MEMO_ENTRY_SIZE];
	const char *pairs = argc > 1 ? argv[1] : getenv("PYAUDIT_TEST_PAIRS");
	const char *images = argc > 2 ? argv[2] : getenv("PYAUDIT_TEST_IMAGES");
	const char *seed = argc > 3 ? argv[3] : getenv("PYAUDIT_TEST_SEED");

	if (pairs != NULL)
		n_pairs = strtoul(pairs, NULL, 10);
	if (images != NULL)
		n_images = strtoul(images, NULL, 10);
	if (seed != NULL)
		first_seed = strtoull(seed, NULL, 10);
	(void)memo_use(room);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
