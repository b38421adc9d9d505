/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "expr.h"

#define N_MASKS (1u << UNIT_RULES_PROFILES_MAX)

unsigned
unit_rules_profile(const char *profile)
{
	unsigned i = 0;

	while (strcmp(conf_profiles[i], profile) != 0)
		i++;
	return i;
}

void
unit_rules_fini(struct unit_rules *rules)
{
	for (unsigned i = 0; i < UNIT_RULES_PROFILES_MAX; i++)
		rules_free(rules->sets[i]);
}

unsigned
unit_rules_wanted(const struct conf *conf)
{
	unsigned wanted = 1u << unit_rules_profile(conf->profile);

	for (size_t i = 0; i < conf->n_unit_profiles; i++)
		wanted |= 1u << unit_rules_profile(conf->unit_profiles[i].profile);
	return wanted;
}

/* Units */

static bool
has_profile(unsigned profiles, const char *profile)
{
	return (profiles >> unit_rules_profile(profile) & 1) != 0;
}

static bool
add_names(struct expr *test, const char *at)
{
	struct expr_value *values;
	size_t len;

	for (; *(at += strspn(at, " \t")) != '\0'; at += len) {
		len = strcspn(at, " \t");
		values = reallocarray(test->values, test->n_values + 1, sizeof(*values));
		if (values == NULL)
			return false;
		test->values = values;
		values[test->n_values] = (struct expr_value){.text = strndup(at, len), .len = len};
		if (values[test->n_values].text == NULL)
			return false;
		test->n_values++;
	}
	return true;
}

/* proc.unit glob [...] */
static struct expr *
named(const struct conf_unit_profile *entries, size_t n)
{
	struct expr *test = calloc(1, sizeof(*test));

	if (test == NULL)
		return NULL;
	*test = (struct expr){.op = EXPR_TEST,
			      .field = PYAUDIT_F_PROC_UNIT,
			      .cmp = CMP_GLOB,
			      .file = "unit_profile"};
	for (size_t i = 0; i < n; i++)
		if (!add_names(test, entries[i].units)) {
			expr_free(test);
			return NULL;
		}
	return test;
}

/* Whether a process is of a unit with one of these profiles. The last line that names the unit
 * counts, and where none does, the host's profile. */
static struct expr *
units_with(const struct conf *conf, unsigned profiles)
{
	const struct conf_unit_profile *entries = conf->unit_profiles;
	bool all = has_profile(profiles, conf->profile); /* as long as there is no expression */
	struct expr *expr = NULL;

	for (size_t i = 0, n; i < conf->n_unit_profiles; i += n) {
		bool in = has_profile(profiles, entries[i].profile);
		struct expr *test;

		for (n = 1; i + n < conf->n_unit_profiles; n++)
			if (has_profile(profiles, entries[i + n].profile) != in)
				break;
		if (expr == NULL && in == all)
			continue;
		test = named(&entries[i], n);
		if (!in)
			test = expr_join(EXPR_NOT, test, NULL);
		expr = expr == NULL ? test : expr_join(in ? EXPR_OR : EXPR_AND, expr, test);
		if (expr == NULL)
			return NULL;
	}
	return expr;
}

/* Rules */

static bool
same_place(const char *file, unsigned line, unsigned column, const char *other_file,
	   unsigned other_line, unsigned other_column)
{
	return line == other_line && column == other_column && strcmp(file, other_file) == 0;
}

/* The same entry, changed by the same others: names mean the same in all sets. */
static bool
same_rule(const struct rule *a, const struct rule *b)
{
	if (strcmp(a->id, b->id) != 0 || a->observe != b->observe || a->n_origins != b->n_origins ||
	    !same_place(a->owner_file, a->line, a->column, b->owner_file, b->line, b->column))
		return false;
	for (size_t i = 0; i < a->n_origins; i++)
		if (!same_place(a->origins[i].file, a->origins[i].line, a->origins[i].column,
				b->origins[i].file, b->origins[i].line, b->origins[i].column))
			return false;
	return true;
}

/* A rule, and the profiles in which it is so. */
struct joined {
	struct rule *rules;
	unsigned *profiles;
	size_t n;
};

static void
join_rules(struct joined *joined, struct rule_set *set, unsigned profile)
{
	size_t n_before = joined->n, next = 0;

	for (size_t i = 0; i < set->n_rules; i++) {
		struct rule *rule = &set->rules[i];
		size_t at = next;

		/* In most sets the next one is the one: they were read in the same order. */
		while (at < n_before && !same_rule(&joined->rules[at], rule))
			at++;
		for (size_t k = 0; at == n_before && k < next && k < n_before; k++)
			if (same_rule(&joined->rules[k], rule))
				at = k;
		if (at < n_before) {
			joined->profiles[at] |= 1u << profile;
			next = at + 1;
			continue;
		}
		joined->rules[joined->n] = *rule;
		joined->profiles[joined->n++] = 1u << profile;
		*rule = (struct rule){0};
	}
}

/* What rules point to: names of files stay where they are. */
static int
take_files(struct rule_set *set, struct rule_set *from)
{
	char **files = realloc(set->files, (set->n_files + from->n_files + 1) * sizeof(*files));

	if (files == NULL)
		return -ENOMEM;
	set->files = files;
	memcpy(files + set->n_files, from->files, from->n_files * sizeof(*files));
	set->n_files += from->n_files;
	from->n_files = 0;
	return 0;
}

static int
restrict_rules(struct rule_set *set, const struct joined *joined, unsigned wanted,
	       const struct conf *conf)
{
	struct expr *made[N_MASKS] = {NULL};

	set->scopes = calloc(N_MASKS, sizeof(struct expr *));
	if (set->scopes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < joined->n; i++) {
		unsigned profiles = joined->profiles[i];

		if (profiles == wanted)
			continue;
		if (made[profiles] == NULL) {
			made[profiles] = units_with(conf, profiles);
			if (made[profiles] == NULL)
				return -ENOMEM;
			set->scopes[set->n_scopes++] = made[profiles];
		}
		set->rules[i].scope = made[profiles];
	}
	return 0;
}

/* In the units of the profile audit nothing is refused. */
static void
weaken(struct rule_set *set)
{
	for (size_t i = 0; set != NULL && i < set->n_rules; i++)
		set->rules[i].observe |= set->rules[i].action >= PYAUDIT_ACTION_BLOCK;
}

int
unit_rules_join(struct rule_set **ret_set, struct unit_rules *rules, const struct conf *conf)
{
	CLEANUP(rules_freep) struct rule_set *set = calloc(1, sizeof(*set));
	CLEANUP(freep) unsigned *profiles = NULL;
	unsigned wanted = unit_rules_wanted(conf), host = unit_rules_profile(conf->profile);
	struct joined joined = {0};
	size_t n = 0;
	int r = 0;

	if (conf->n_unit_profiles == 0) {
		*ret_set = TAKE_PTR(rules->sets[host]);
		return 0;
	}
	for (unsigned i = 0; i < UNIT_RULES_PROFILES_MAX; i++)
		n += rules->sets[i] != NULL ? rules->sets[i]->n_rules : 0;
	joined.rules = calloc(n + 1, sizeof(*joined.rules));
	joined.profiles = profiles = calloc(n + 1, sizeof(*profiles));
	if (set == NULL || joined.rules == NULL || profiles == NULL) {
		free(joined.rules);
		return -ENOMEM;
	}
	set->rules = joined.rules;
	weaken(rules->sets[unit_rules_profile("audit")]);
	/* The host's first, so that its rules keep their order. */
	for (unsigned i = 0; r == 0 && i <= UNIT_RULES_PROFILES_MAX; i++) {
		unsigned at = i == 0 ? host : i - 1;
		struct rule_set *from = rules->sets[at];

		if (from == NULL || (i > 0 && at == host))
			continue;
		r = take_files(set, from);
		if (set->forms == NULL) /* the host's files are read for each profile */
			set->forms = TAKE_PTR(from->forms);
		if (r == 0)
			join_rules(&joined, from, at);
		set->n_rules = joined.n;
	}
	if (r == 0)
		r = restrict_rules(set, &joined, wanted, conf);
	if (r < 0)
		return r;
	(void)rules_number(set);
	*ret_set = TAKE_PTR(set);
	return 0;
}
