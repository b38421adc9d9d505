/* SPDX-License-Identifier: Apache-2.0 */
/* What rules say about each other. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "rules_loader.h"

static int
compare_ids(const void *a, const void *b)
{
	const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;
	int r = strcmp(x->id, y->id);

	return r != 0 ? r : (x > y) - (x < y);
}

static int
compare_id(const void *key, const void *element)
{
	return strcmp(key, (*(const struct rule *const *)element)->id);
}

/* One name in `over` must be a rule's that does something. */
static void
check_over(struct loader *ld, const struct jsonc *name, const struct rule *const *sorted)
{
	const struct rule *const *found =
		bsearch(name->text, sorted, ld->set->n_rules, sizeof(*sorted), compare_id);
	struct suggest suggest;
	char hint[128];

	if (found != NULL && !(*found)->allow)
		return;
	if (found != NULL) {
		mistake(ld, name, "'%s' is itself an 'allow' rule", (*found)->id);
		return;
	}
	suggest_init(&suggest, name->text, name->len);
	for (size_t i = 0; i < ld->set->n_rules && ld->diag->n_errors < DIAG_MAX; i++)
		suggest_try(&suggest, sorted[i]->id);
	mistake(ld, name, "unknown rule '%.64s'%s", name->text, suggest_text(&suggest, hint));
}

/* Overrides of rules that are not there. */
static void
check_overrides(struct loader *ld)
{
	for (size_t i = 0; i < ld->n_overrides; i++) {
		const struct override *override = &ld->overrides[i];
		struct suggest suggest;
		char hint[128];

		if (override->used)
			continue;
		suggest_init(&suggest, override->id->text, override->id->len);
		for (size_t j = 0; j < ld->set->n_rules && ld->diag->n_errors < DIAG_MAX; j++)
			suggest_try(&suggest, ld->set->rules[j].id);
		ld->file = override->file;
		mistake(ld, override->id, "unknown rule '%.64s'%s", override->id->text,
			suggest_text(&suggest, hint));
	}
}

bool
loader_check_rules(struct loader *ld)
{
	CLEANUP(freep) const struct rule **sorted = NULL;
	const struct rule_set *set = ld->set;
	const struct rule *first;

	check_overrides(ld);
	if (set->n_rules == 0)
		return true;
	sorted = calloc(set->n_rules, sizeof(*sorted));
	if (sorted == NULL)
		return loader_no_memory(ld);
	for (size_t i = 0; i < set->n_rules; i++)
		sorted[i] = &set->rules[i];
	qsort(sorted, set->n_rules, sizeof(*sorted), compare_ids);
	first = sorted[0];
	for (size_t i = 1; i < set->n_rules; i++) {
		if (strcmp(first->id, sorted[i]->id) != 0) {
			first = sorted[i];
		} else if (first->id[0] != '\0') { /* ids with a mistake are empty */
			ld->file = sorted[i]->owner_file;
			loader_mistake_at(ld, sorted[i]->line, sorted[i]->column,
				   "a rule '%s' is already in %s:%u:%u", first->id,
				   first->owner_file, first->line, first->column);
		}
	}
	for (size_t i = 0; i < set->n_rules; i++) {
		const struct jsonc *over = ld->overs[i].over;

		if (over == NULL)
			continue;
		ld->file = ld->overs[i].file;
		if (over->type == JSONC_STRING)
			check_over(ld, over, sorted);
		if (over->type != JSONC_ARRAY)
			continue;
		for (const struct jsonc *m = over->child; m != NULL; m = m->next)
			if (m->type == JSONC_STRING)
				check_over(ld, m, sorted);
	}
	return true;
}
