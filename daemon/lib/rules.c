/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads rule files into a rule set. Four passes, so that order does not matter and every mistake
 * of every file is found in one run: read all files; gather lists, macros and overrides; check
 * every macro and build every rule; check what rules say about each other. A mistake never stops a
 * pass, it only keeps the set from being given out.
 */
#include "rules.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "rules_loader.h"
#include "secrets.h"

static const char *const action_names[] = {"none", "record", "alert", "block", "kill"};
static const char *const severity_names[] = {"info", "notice", "warning", "error", "critical"};

const char *
action_name(enum pyaudit_action action)
{
	return (unsigned)action <= PYAUDIT_ACTION_KILL ? action_names[action] : "unknown";
}

int
action_by_name(const char *name)
{
	for (int i = 0; i <= PYAUDIT_ACTION_KILL; i++)
		if (strcmp(action_names[i], name) == 0)
			return i;
	return -1;
}

const char *
severity_name(enum pyaudit_severity severity)
{
	return (unsigned)severity <= PYAUDIT_SEV_CRITICAL ? severity_names[severity] : "unknown";
}

int
severity_by_name(const char *name)
{
	for (int i = 0; i <= PYAUDIT_SEV_CRITICAL; i++)
		if (strcmp(severity_names[i], name) == 0)
			return i;
	return -1;
}

static void
free_texts(char **texts, size_t n_texts)
{
	for (size_t i = 0; i < n_texts; i++)
		free(texts[i]);
	free(texts);
}

static void
test_fini(struct rule_test *test)
{
	free(test->event);
	free(test->layer);
	free(test->real);
	free(test->real_target);
	cJSON_Delete(test->args);
	cJSON_Delete(test->proc);
	cJSON_Delete(test->caller);
	cJSON_Delete(test->stack);
}

static void
timeline_fini(struct rule_timeline *timeline)
{
	for (size_t i = 0; i < timeline->n_events; i++)
		test_fini(&timeline->events[i]);
	free(timeline->events);
}

static void
memory_fini(struct rule_memory *memory)
{
	for (size_t i = 0; i < memory->n_steps; i++) {
		free_texts(memory->steps[i].other_events, memory->steps[i].n_other_events);
		expr_free(memory->steps[i].when);
	}
}

static void
rule_fini(struct rule *rule)
{
	free_texts(rule->observe_in, rule->n_observe_in);
	memory_fini(&rule->memory);
	for (size_t i = 0; i < rule->n_timelines; i++)
		timeline_fini(&rule->timelines[i]);
	free(rule->timelines);
	free(rule->id);
	free(rule->title);
	free(rule->message);
	free(rule->owner_file);
	free_texts(rule->other_events, rule->n_other_events);
	expr_free(rule->when);
	free_texts(rule->over, rule->n_over);
	free_texts(rule->attack, rule->n_attack);
	for (size_t i = 0; i < rule->n_conditions; i++)
		free(rule->conditions[i].text);
	free(rule->conditions);
	for (size_t i = 0; i < rule->n_exceptions; i++) {
		free(rule->exceptions[i].text);
		rule_count_unref(rule->exceptions[i].count);
		free(rule->exceptions[i].owner);
		free(rule->exceptions[i].reason);
	}
	free(rule->exceptions);
	rule_count_unref(rule->count);
	for (size_t i = 0; i < rule->n_origins; i++)
		free(rule->origins[i].what);
	free(rule->origins);
	for (size_t i = 0; i < rule->n_tests; i++)
		test_fini(&rule->tests[i]);
	free(rule->tests);
}

void
rules_free(struct rule_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->n_rules; i++)
		rule_fini(&set->rules[i]);
	free(set->rules);
	free_texts(set->files, set->n_files);
	for (size_t i = 0; i < set->n_scopes; i++)
		expr_free(set->scopes[i]);
	free(set->scopes);
	pyaudit_secrets_forget(set->forms);
	free(set->forms);
	free(set);
}

void
rules_freep(struct rule_set **set)
{
	rules_free(*set);
}

static void
loader_fini(struct loader *ld)
{
	for (size_t i = 0; i < ld->n_lists; i++) {
		for (size_t j = 0; j < ld->lists[i].list.n_values; j++)
			expr_value_fini(&ld->lists[i].list.values[j]);
		free(ld->lists[i].list.values);
	}
	free(ld->lists);
	for (size_t i = 0; i < ld->n_macros; i++)
		expr_free(ld->macros[i].expr);
	free(ld->macros);
	for (size_t i = 0; i < ld->n_sources; i++)
		jsonc_free(ld->sources[i].doc);
	free(ld->sources);
	free(ld->overrides);
	free(ld->extensions);
	free(ld->overs);
	rules_free(ld->set);
}

static int
loader_init(struct loader *ld, int64_t now, struct diag *diag)
{
	time_t seconds = (time_t)now;
	struct tm tm;

	*ld = (struct loader){.diag = diag};
	names_init(ld);
	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(ld->today, sizeof(ld->today), "%Y-%m-%d", &tm) == 0)
		return -EINVAL;
	ld->set = calloc(1, sizeof(*ld->set));
	return ld->set != NULL ? 0 : -ENOMEM;
}

/* Reads one file's text as JSON; where its shape is lost, that is all to be said of it. */
static int
add_source(struct loader *ld, const char *name, const char *text, size_t len, bool only_names)
{
	struct rule_set *set = ld->set;
	struct source *sources;
	char **files;
	int r;

	files = realloc(set->files, (set->n_files + 1) * sizeof(*files));
	if (files == NULL)
		return -ENOMEM;
	set->files = files;
	files[set->n_files] = strdup(name);
	if (files[set->n_files] == NULL)
		return -ENOMEM;
	set->n_files++;
	sources = realloc(ld->sources, (ld->n_sources + 1) * sizeof(*sources));
	if (sources == NULL)
		return -ENOMEM;
	ld->sources = sources;
	sources[ld->n_sources] = (struct source){.file = files[set->n_files - 1], .only_names = only_names};
	ld->only_names |= only_names;
	r = jsonc_parse(&sources[ld->n_sources].doc, name, text, len, ld->diag);
	if (r < 0)
		return r;
	if (r != 0)
		ld->mistakes = true;
	if (sources[ld->n_sources].doc != NULL)
		ld->n_sources++;
	return 0;
}

/* What a file has beside its rules. False: nothing in it can be understood. */
static bool
read_head(struct loader *ld, const struct jsonc *root, bool only_names)
{
	static const char *const keys[] = {"version", "lists", "macros", "rules", "mode",
					   "redact", NULL};
	const struct jsonc *version, *value;

	if (root->type != JSONC_OBJECT) {
		mistake(ld, root, "a rule file is an object, this is %s",
			jsonc_type_name(root->type));
		return false;
	}
	loader_check_keys(ld, root, keys);
	version = loader_need(ld, root, "version", JSONC_NUMBER);
	if (version != NULL && (!version->is_int || version->integer != 1)) {
		mistake(ld, version,
			"this is version 1 of the format; another one is not supported");
		return false;
	}
	value = loader_get(ld, root, "lists", JSONC_OBJECT);
	for (const struct jsonc *m = value != NULL ? value->child : NULL; m != NULL; m = m->next)
		names_read_list(ld, m);
	value = loader_get(ld, root, "macros", JSONC_OBJECT);
	for (const struct jsonc *m = value != NULL ? value->child : NULL; m != NULL; m = m->next)
		names_read_macro(ld, m);
	value = only_names ? NULL : loader_get(ld, root, "redact", JSONC_ARRAY);
	for (const struct jsonc *m = value != NULL ? value->child : NULL; m != NULL; m = m->next)
		loader_read_form(ld, m);
	value = only_names ? NULL : loader_get(ld, root, "rules", JSONC_ARRAY);
	for (const struct jsonc *m = value != NULL ? value->child : NULL; m != NULL; m = m->next)
		if (m->type == JSONC_OBJECT && jsonc_get(m, "override") != NULL)
			loader_note_override(ld, m);
	return true;
}

static void
read_body(struct loader *ld, const struct jsonc *root)
{
	const struct jsonc *rules = jsonc_get(root, "rules");

	ld->observe = loader_read_mode(ld, root, false);
	if (rules == NULL || rules->type != JSONC_ARRAY)
		return; /* told by read_head */
	for (const struct jsonc *m = rules->child; m != NULL; m = m->next)
		if (m->type != JSONC_OBJECT || jsonc_get(m, "override") == NULL)
			loader_read_rule(ld, m);
}

static int
finish(struct loader *ld, struct rule_set **ret_set)
{
	size_t n_errors = ld->diag->n_errors;

	for (size_t i = 0; i < ld->n_sources; i++) {
		ld->file = ld->sources[i].file;
		if (!read_head(ld, ld->sources[i].doc->root, ld->sources[i].only_names)) {
			jsonc_free(ld->sources[i].doc);
			ld->sources[i].doc = NULL;
		}
	}
	names_extend_lists(ld);
	for (size_t i = 0; i < ld->n_macros; i++)
		(void)names_resolve_macro(ld, &ld->macros[i]);
	for (size_t i = 0; i < ld->n_sources && !ld->no_memory; i++) {
		ld->file = ld->sources[i].file;
		if (ld->sources[i].doc != NULL && !ld->sources[i].only_names)
			read_body(ld, ld->sources[i].doc->root);
	}
	if (!ld->no_memory)
		(void)loader_check_rules(ld);
	if (!ld->mistakes && !ld->only_names) /* else what names them may have been lost */
		names_warn_unused(ld);
	if (ld->no_memory)
		return -ENOMEM;
	if (ld->mistakes || ld->diag->n_errors != n_errors)
		return RULES_E_INVALID;
	(void)rules_number(ld->set);
	*ret_set = TAKE_PTR(ld->set);
	return 0;
}

int
rules_load(struct rule_set **ret_set, const char *const *paths, size_t n_paths, struct diag *diag)
{
	return rules_load_naming(ret_set, paths, n_paths, NULL, 0, diag);
}

int
rules_load_naming(struct rule_set **ret_set, const char *const *paths, size_t n_paths,
		  const char *const *names_of, size_t n_names_of, struct diag *diag)
{
	CLEANUP(paths_fini) struct rules_paths list = {0};
	CLEANUP(loader_fini) struct loader ld;
	int r = loader_init(&ld, (int64_t)time(NULL), diag);
	size_t n_before;

	for (size_t i = 0; r == 0 && i < n_names_of; i++)
		r = paths_add(&ld, &list, names_of[i]);
	n_before = list.n_paths;
	for (size_t i = 0; r == 0 && i < n_paths; i++)
		r = paths_add(&ld, &list, paths[i]);
	for (size_t i = 0; r == 0 && i < list.n_paths; i++) {
		CLEANUP(freep) char *text = NULL;
		size_t len = 0;

		r = paths_read(&ld, list.paths[i].path, &text, &len);
		if (r == 0 && text != NULL)
			r = add_source(&ld, list.paths[i].path, text, len, i < n_before);
	}
	return r == 0 ? finish(&ld, ret_set) : r;
}

int
rules_parse_at(struct rule_set **ret_set, const char *name, const char *text, size_t len,
	       int64_t now, struct diag *diag)
{
	CLEANUP(loader_fini) struct loader ld;
	int r = loader_init(&ld, now, diag);

	if (r == 0)
		r = add_source(&ld, name, text, len, false);
	return r == 0 ? finish(&ld, ret_set) : r;
}

int
rules_parse(struct rule_set **ret_set, const char *name, const char *text, size_t len,
	    struct diag *diag)
{
	return rules_parse_at(ret_set, name, text, len, (int64_t)time(NULL), diag);
}

int
rules_parse_filter(struct expr **ret_expr, const char *text, struct diag *diag)
{
	struct expr_names names = {.filter = true};
	struct expr_text source = {.file = "filter", .text = text, .len = strlen(text)};

	return expr_parse(ret_expr, &source, &names, diag);
}
