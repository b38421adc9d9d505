/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a host whose units have profiles of their own: in each unit everything is judged as on a
 * host that has that profile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compile.h"
#include "stage.h"
#include "unit_rules.h"

static long fail_at = -1, n_allocations;

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *bytes, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *bytes, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
	return n_allocations++ == fail_at ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *bytes, size_t size)
{
	return n_allocations++ == fail_at ? NULL : __real_realloc(bytes, size);
}

static void
set(struct conf *conf, const char *key, const char *value)
{
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(conf_set(conf, key, value, &diag, "test.conf", 1, 1), CONF_OK);
	diag_fini(&diag);
}

static void
prepare(struct conf *conf, const char *host)
{
	assert_int_equal(conf_init(conf), 0);
	set(conf, "profile", host);
	set(conf, "unit_profile", "agent notebook.service worker@*.service");
	set(conf, "unit_profile", "build builder.service");
	set(conf, "unit_profile", "audit old-*.service");
	set(conf, "unit_profile", "server worker@7.service");
}

static const struct {
	const char *unit, *profile; /* NULL: the host's */
} units[] = {
	{"notebook.service", "agent"},	{"worker@1.service", "agent"},
	{"worker@7.service", "server"}, {"builder.service", "build"},
	{"old-shop.service", "audit"},	{"notebook2.service", NULL},
	{"session-4.scope", NULL},	{"", NULL},
};

static struct rule_set *
load(const char *profile, unsigned wanted)
{
	char files[UNIT_RULES_PROFILES_MAX][64];
	const char *paths[] = {"../../config/rules.d", NULL}, *names_of[UNIT_RULES_PROFILES_MAX];
	struct rule_set *loaded = NULL;
	size_t n = 1, n_names = 0;
	struct diag diag;

	for (unsigned i = 1; conf_profiles[i] != NULL; i++) {
		(void)snprintf(files[i], sizeof(files[i]), "../../config/profiles/%s.json",
			       conf_profiles[i]);
		if (strcmp(conf_profiles[i], profile) == 0)
			paths[n++] = files[i];
		else if ((wanted >> i & 1) != 0)
			names_of[n_names++] = files[i];
	}
	diag_init(&diag);
	assert_int_equal(rules_load_naming(&loaded, paths, n, names_of, n_names, &diag), 0);
	assert_int_equal(diag.n_errors, 0);
	diag_fini(&diag);
	return loaded;
}

static void
compile(struct image *ret, const struct rule_set *rules, bool observe)
{
	struct compile_options options = {
		.generation = 1, .observe = observe, .tells_exceptions = true};
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(compile_rules(ret, rules, &options, &diag), 0);
	diag_fini(&diag);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What was decided, by the ids of all rules. */
static void
describe(char ret[2048], const void *image, const struct rule_set *rules, struct stage *stage,
	 const struct rule_test *test, const char *unit)
{
	struct pyaudit_verdict verdict;
	const char *ids[PYAUDIT_HITS_MAX];
	size_t len;

	stage_set(stage, test);
	stage->facts.fact[PYAUDIT_F_PROC_UNIT - PYAUDIT_F_PROC_PID] =
		pyaudit_value_text(unit, (uint32_t)strlen(unit));
	stage_judge(image, test->event, &stage->facts, &stage->event, &verdict);
	for (unsigned i = 0; i < verdict.n_hits; i++)
		ids[i] = rules_id_at(rules, verdict.hits[i]);
	if (verdict.n_hits > 0)
		qsort(ids, verdict.n_hits, sizeof(*ids), by_text);
	len = (size_t)snprintf(ret, 2048, "%s observed %d:", action_name(verdict.action),
			       verdict.observed);
	for (unsigned i = 0; i < verdict.n_hits; i++)
		len += (size_t)snprintf(ret + len, 2048 - len, " %s", ids[i]);
}

/* Every test beside every rule, in every unit. Returns how many were told differently in two units.
 */
static unsigned
compare(const struct conf *conf, const struct rule_set *joined, const void *image)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	unsigned n_other = 0, n = 0;
	char in_first[2048], here[2048], there[2048];

	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		const char *profile = units[u].profile != NULL ? units[u].profile : conf->profile;
		struct rule_set *alone = load(profile, 0);
		struct image plain = {0};

		assert_string_equal(conf_profile_of(conf, units[u].unit), profile);
		compile(&plain, alone, strcmp(profile, "audit") == 0);
		for (size_t i = 0; i < joined->n_rules; i++)
			for (size_t k = 0; k < joined->rules[i].n_tests; k++) {
				const struct rule_test *test = &joined->rules[i].tests[k];

				describe(here, image, joined, stage, test, units[u].unit);
				describe(there, plain.bytes, alone, stage, test, units[u].unit);
				if (strcmp(here, there) != 0)
					fail_msg(
						"%s in '%s', host %s: %s, as the host's profile %s",
						test->event, units[u].unit, conf->profile, here,
						there);
				describe(in_first, image, joined, stage, test, units[0].unit);
				n_other += strcmp(here, in_first) != 0;
				n++;
			}
		image_fini(&plain);
		rules_free(alone);
	}
	assert_true(n > 1000);
	free(stage);
	return n_other;
}

static void
each_unit_is_judged_as_on_a_host_with_its_profile(void **state)
{
	(void)state;
	for (unsigned i = 0; conf_profiles[i] != NULL; i++) {
		struct unit_rules rules = {0};
		struct rule_set *joined = NULL;
		struct image image = {0};
		struct conf conf;
		unsigned wanted;

		prepare(&conf, conf_profiles[i]);
		wanted = unit_rules_wanted(&conf);
		assert_int_equal(wanted, 15);
		for (unsigned k = 0; conf_profiles[k] != NULL; k++)
			rules.sets[k] = load(conf_profiles[k], wanted);
		assert_int_equal(unit_rules_join(&joined, &rules, &conf), 0);
		unit_rules_fini(&rules);
		compile(&image, joined, false);
		assert_true(compare(&conf, joined, image.bytes) > 100);
		image_fini(&image);
		rules_free(joined);
		conf_fini(&conf);
	}
}

/* Rules that no profile changes stand there once. */
static void
what_is_the_same_in_all_profiles_is_there_once(void **state)
{
	struct unit_rules rules = {0};
	struct rule_set *joined = NULL;
	size_t n_scoped = 0, n_server;
	struct conf conf;

	(void)state;
	assert_int_equal(conf_init(&conf), 0);
	set(&conf, "unit_profile", "agent notebook.service");
	rules.sets[0] = load("server", unit_rules_wanted(&conf));
	rules.sets[unit_rules_profile("agent")] = load("agent", unit_rules_wanted(&conf));
	n_server = rules.sets[0]->n_rules;
	assert_int_equal(unit_rules_join(&joined, &rules, &conf), 0);
	unit_rules_fini(&rules);
	for (size_t i = 0; i < joined->n_rules; i++)
		n_scoped += joined->rules[i].scope != NULL;
	/* Three that it changes, in both forms, and its own. */
	assert_true(n_scoped >= 6 && n_scoped < 20);
	assert_true(joined->n_rules < n_server + 20);
	rules_free(joined);
	conf_fini(&conf);
}

static struct rule_set *
parse(const char *action)
{
	struct rule_set *parsed = NULL;
	struct diag diag;
	char text[512];
	int n = snprintf(
		text, sizeof(text),
		"{\"version\": 1, \"rules\": [{\"id\": \"a\", \"title\": \"t\", \"on\": "
		"[\"os.system\"], "
		"\"action\": \"alert\"}, {\"id\": \"b\", \"title\": \"t\", \"on\": [\"open\"], "
		"\"action\": \"%s\"}]}",
		action);

	diag_init(&diag);
	/* The place of rule b differs by the file: what was overridden differs by its origins. */
	assert_int_equal(rules_parse(&parsed, action, text, (size_t)n, &diag), 0);
	diag_fini(&diag);
	return parsed;
}

static void
failed_allocations_are_passed_on(void **state)
{
	int r = -ENOMEM;
	long n = 0;

	(void)state;
	for (; r == -ENOMEM; n++) {
		struct unit_rules rules = {0};
		struct rule_set *joined = NULL;
		struct conf conf;

		prepare(&conf, "server");
		for (unsigned k = 0; conf_profiles[k] != NULL; k++)
			rules.sets[k] = parse(k % 2 == 0 ? "block" : "alert");
		n_allocations = 0;
		fail_at = n;
		r = unit_rules_join(&joined, &rules, &conf);
		fail_at = -1;
		assert_true(r == 0 || (r == -ENOMEM && joined == NULL));
		rules_free(joined);
		unit_rules_fini(&rules);
		conf_fini(&conf);
	}
	assert_int_equal(r, 0);
	assert_true(n > 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_unit_is_judged_as_on_a_host_with_its_profile),
		cmocka_unit_test(what_is_the_same_in_all_profiles_is_there_once),
		cmocka_unit_test(failed_allocations_are_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
