/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads rule files into a rule set. Four passes, so that order does not matter and every mistake
 * of every file is found in one run: read all files; gather lists and macros; check every macro
 * and build every rule; check what rules say about each other. A mistake never stops a pass, it
 * only keeps the set from being given out.
 */
#include "rules.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "cleanup.h"
#include "event.h"
#include "attack.h"
#include "expr.h"
#include "jsonc.h"

#define LISTS_MAX 4096
#define MACROS_MAX 4096
#define NAME_SLOTS 8192 /* a power of two, twice the above */
#define NAME_MAX_LEN 64
#define FILES_MAX 4096
#define TITLE_MAX 200
#define MESSAGE_MAX 1000
/* Conditions of all rules together; what one rule may have is RULES_EXPR_NODES_MAX. */
#define NODES_MAX (1u << 20)

struct list {
	struct expr_list list;
	const char *file;
	unsigned line;
};

enum macro_state {
	MACRO_NEW,
	MACRO_READING,
	MACRO_READY,
	MACRO_BROKEN,
};

struct macro {
	const char *name;
	enum macro_state state;
	const struct jsonc *when;
	struct expr *expr;
	const char *file;
};

struct source {
	const char *file; /* owned by set->files */
	struct jsonc_doc *doc;
};

struct loader {
	struct diag *diag;
	struct rule_set *set;
	char today[11]; /* YYYY-MM-DD */
	struct source *sources;
	size_t n_sources;
	struct list *lists;
	size_t n_lists, lists_size;
	struct macro *macros;
	size_t n_macros, macros_size;
	uint16_t list_slots[NAME_SLOTS], macro_slots[NAME_SLOTS]; /* index + 1, by hash of name */
	struct expr_names names;
	unsigned macro_depth;
	const struct jsonc **objects; /* of the set's rules, by number */
	size_t n_objects, objects_size;
	size_t rules_size, n_nodes;
	bool mistakes;
	bool no_memory;
	/* What is read now. */
	const char *file;
	bool observe; /* the file says so */
};

/* ---- names ---- */

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

/* ---- ownership ---- */

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
	cJSON_Delete(test->args);
	cJSON_Delete(test->proc);
	cJSON_Delete(test->caller);
	cJSON_Delete(test->stack);
}

static void
rule_fini(struct rule *rule)
{
	free(rule->id);
	free(rule->title);
	free(rule->message);
	free(rule->owner_file);
	free_texts(rule->other_events, rule->n_other_events);
	expr_free(rule->when);
	free_texts(rule->over, rule->n_over);
	free_texts(rule->attack, rule->n_attack);
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
	free(ld->objects);
	rules_free(ld->set);
}

/* ---- mistakes ---- */

__attribute__((format(printf, 4, 5))) static void
mistake_at(struct loader *ld, unsigned line, unsigned column, const char *format, ...)
{
	CLEANUP(freep) char *message = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&message, format, ap) < 0)
		message = NULL;
	va_end(ap);
	ld->mistakes = true;
	diag_add(ld->diag, DIAG_ERROR, ld->file, line, column, "%s",
		 message != NULL ? message : "mistake");
}

/* At a value, and at the name of a member. */
#define mistake(ld, value, ...) mistake_at((ld), (value)->line, (value)->column, __VA_ARGS__)
#define mistake_name(ld, member, ...)                                                              \
	mistake_at((ld), (member)->name_line, (member)->name_column, __VA_ARGS__)

/* Notes -ENOMEM, once for all callers, and passes on that nothing came of it. */
static bool
no_memory(struct loader *ld)
{
	ld->no_memory = true;
	return false;
}

/* ---- helpers over the JSON tree ---- */

/* Reports members whose name is not in @keys (ends with NULL). */
static void
check_keys(struct loader *ld, const struct jsonc *object, const char *const *keys)
{
	for (const struct jsonc *m = object->child; m != NULL; m = m->next) {
		struct suggest suggest;
		const char *const *key;
		char hint[128];

		suggest_init(&suggest, m->name, m->name_len);
		for (key = keys; *key != NULL && strcmp(*key, m->name) != 0; key++)
			suggest_try(&suggest, *key);
		if (*key != NULL)
			continue;
		if (strcmp(m->name, "limit") == 0)
			mistake_name(ld, m, "'limit' is not supported by this version");
		else
			mistake_name(ld, m, "unknown key '%.64s'%s", m->name,
				     suggest_text(&suggest, hint));
	}
}

/* The member if it is there and of that type; a wrong type is a mistake. */
static const struct jsonc *
get(struct loader *ld, const struct jsonc *object, const char *name, enum jsonc_type type)
{
	const struct jsonc *value = jsonc_get(object, name);

	if (value == NULL || value->type == type)
		return value;
	mistake(ld, value, "'%s' is %s, expected %s", name, jsonc_type_name(value->type),
		jsonc_type_name(type));
	return NULL;
}

/* The same, and it has to be there. */
static const struct jsonc *
need(struct loader *ld, const struct jsonc *object, const char *name, enum jsonc_type type)
{
	if (jsonc_get(object, name) == NULL) {
		mistake(ld, object, "'%s' is missing", name);
		return NULL;
	}
	return get(ld, object, name, type);
}

static bool
is_text(const struct jsonc *value, const char *text)
{
	return value->type == JSONC_STRING && strcmp(value->text, text) == 0;
}

/* Calls for a text, or for each text of an array of one or more. */
static void
each_text(struct loader *ld, const struct jsonc *value, const char *name,
	  void (*fn)(struct loader *ld, const struct jsonc *text, void *data), void *data)
{
	if (value->type == JSONC_STRING) {
		fn(ld, value, data);
		return;
	}
	if (value->type != JSONC_ARRAY) {
		mistake(ld, value, "'%s' is %s, expected a text or an array of texts", name,
			jsonc_type_name(value->type));
		return;
	}
	if (value->child == NULL)
		mistake(ld, value, "'%s' is empty", name);
	for (const struct jsonc *item = value->child; item != NULL; item = item->next) {
		if (item->type == JSONC_STRING)
			fn(ld, item, data);
		else
			mistake(ld, item, "expected a text, found %s", jsonc_type_name(item->type));
	}
}

/* Room for one more, cleared, at the end of an array that grows by doubling. */
static void *
grow(struct loader *ld, void *array_ptr, size_t *n, size_t *size, size_t element)
{
	void **array = array_ptr;
	char *slot;

	if (*n >= *size) {
		size_t new_size = *size > 0 ? *size * 2 : 4;
		void *grown = realloc(*array, new_size * element);

		if (grown == NULL) {
			ld->no_memory = true;
			return NULL;
		}
		*array = grown;
		*size = new_size;
	}
	slot = (char *)*array + *n * element;
	memset(slot, 0, element);
	(*n)++;
	return slot;
}

static char *
copy_text(struct loader *ld, const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		ld->no_memory = true;
	return copy;
}

static void
add_text(struct loader *ld, char ***texts, size_t *n, size_t *size, const char *text)
{
	char *copy = copy_text(ld, text);
	char **slot;

	if (copy == NULL)
		return;
	slot = grow(ld, texts, n, size, sizeof(**texts));
	if (slot == NULL)
		free(copy);
	else
		*slot = copy;
}

/* Small letters, digits, and `extra` behind the first. */
static bool
is_name(const char *name, size_t len, const char *first, const char *extra)
{
	if (len == 0 || len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if ((c >= 'a' && c <= 'z') || (c != '\0' && strchr(first, c) != NULL))
			continue;
		if (i == 0 || c == '\0' || strchr(extra, c) == NULL)
			return false;
	}
	return true;
}

/* ---- lists and macros ---- */

/* How near a definition is to the file at hand: the file itself, its directory, elsewhere. The
 * nearest counts, so that a site's file may have a list of the name of a shipped one, and the
 * shipped rules go on with theirs. Two that are equally near would be an accident: a mistake. */
enum nearness {
	ELSEWHERE = 1,
	SAME_DIRECTORY,
	SAME_FILE,
};

static enum nearness
nearness(const char *file, const char *definition)
{
	const char *slash = strrchr(file, '/'), *other = strrchr(definition, '/');
	size_t len = slash != NULL ? (size_t)(slash - file) : 0;

	if (strcmp(file, definition) == 0)
		return SAME_FILE;
	if (len == (other != NULL ? (size_t)(other - definition) : 0) &&
	    memcmp(file, definition, len) == 0)
		return SAME_DIRECTORY;
	return ELSEWHERE;
}

static bool
is_named(const char *name, const char *wanted, size_t len)
{
	return strlen(name) == len && memcmp(name, wanted, len) == 0;
}

/* FNV-1a. */
static unsigned
first_slot(const char *name, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	return hash % NAME_SLOTS;
}

static unsigned
next_slot(unsigned slot)
{
	return (slot + 1) % NAME_SLOTS;
}

/* The nearest list of that name; of equally near ones the one read last, which is the last one in
 * the slots too. Half of them are free at least, so that each search ends. */
static struct list *
find_list(struct loader *ld, const char *name, size_t len)
{
	struct list *found = NULL;

	for (unsigned i = first_slot(name, len); ld->list_slots[i] != 0; i = next_slot(i)) {
		struct list *list = &ld->lists[ld->list_slots[i] - 1];

		if (is_named(list->list.name, name, len) &&
		    (found == NULL ||
		     nearness(ld->file, list->file) >= nearness(ld->file, found->file)))
			found = list;
	}
	return found;
}

static struct macro *
find_macro(struct loader *ld, const char *name, size_t len)
{
	struct macro *found = NULL;

	for (unsigned i = first_slot(name, len); ld->macro_slots[i] != 0; i = next_slot(i)) {
		struct macro *macro = &ld->macros[ld->macro_slots[i] - 1];

		if (is_named(macro->name, name, len) &&
		    (found == NULL ||
		     nearness(ld->file, macro->file) >= nearness(ld->file, found->file)))
			found = macro;
	}
	return found;
}

static void
enter_name(uint16_t slots[NAME_SLOTS], const char *name, size_t len, size_t index)
{
	unsigned slot = first_slot(name, len);

	while (slots[slot] != 0)
		slot = next_slot(slot);
	slots[slot] = (uint16_t)(index + 1);
}

/* Names of lists and macros must not be taken for anything else in a condition. */
static bool
check_name(struct loader *ld, const struct jsonc *member, const char *what)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	static const char others[] = "0123456789-";

	if (!is_name(member->name, member->name_len, letters, others)) {
		mistake_name(ld, member,
			     "the name of a %s is letters, digits, '_' and '-', a letter first, "
			     "up to %d of them",
			     what, NAME_MAX_LEN);
		return false;
	}
	if (expr_is_keyword(member->name, member->name_len) ||
	    pyaudit_field_by_name(member->name, member->name_len) < PYAUDIT_N_FIELDS) {
		mistake_name(ld, member, "'%s' has a meaning of its own in conditions",
			     member->name);
		return false;
	}
	return true;
}

static void
read_list(struct loader *ld, const struct jsonc *member)
{
	struct list *list;
	size_t size = 0;

	if (!check_name(ld, member, "list"))
		return;
	list = find_list(ld, member->name, member->name_len);
	if (list != NULL && nearness(ld->file, list->file) >= SAME_DIRECTORY) {
		mistake_name(ld, member, "a list '%s' is already in %s:%u", member->name,
			     list->file, list->line);
		return;
	}
	if (ld->n_lists >= LISTS_MAX) {
		mistake_name(ld, member, "more than %d lists", LISTS_MAX);
		return;
	}
	list = grow(ld, &ld->lists, &ld->n_lists, &ld->lists_size, sizeof(*list));
	if (list == NULL)
		return;
	enter_name(ld->list_slots, member->name, member->name_len, ld->n_lists - 1);
	list->list.name = member->name; /* lives as long as the document: until all is read */
	list->file = ld->file;
	list->line = member->name_line;
	if (member->type != JSONC_ARRAY) {
		mistake(ld, member, "a list is an array of texts or numbers, this is %s",
			jsonc_type_name(member->type));
		return;
	}
	for (const struct jsonc *item = member->child; item != NULL; item = item->next) {
		bool is_number = item->type == JSONC_NUMBER && item->is_int;
		struct expr_value *value;
		char buf[24];

		if (item->type != JSONC_STRING && !is_number) {
			mistake(ld, item, "a list holds texts or whole numbers, this is %s",
				jsonc_type_name(item->type));
			continue;
		}
		value = grow(ld, &list->list.values, &list->list.n_values, &size, sizeof(*value));
		if (value == NULL)
			return;
		value->line = item->line;
		value->column = item->column;
		if (is_number) {
			value->is_int = true;
			value->number = item->integer;
			(void)snprintf(buf, sizeof(buf), "%lld", (long long)item->integer);
		}
		value->text = copy_text(ld, is_number ? buf : item->text);
		value->len = value->text != NULL ? strlen(value->text) : 0;
	}
}

static void
read_macro(struct loader *ld, const struct jsonc *member)
{
	struct macro *macro;

	if (!check_name(ld, member, "macro"))
		return;
	macro = find_macro(ld, member->name, member->name_len);
	if (macro != NULL && nearness(ld->file, macro->file) >= SAME_DIRECTORY) {
		mistake_name(ld, member, "a macro '%s' is already in %s:%u", member->name,
			     macro->file, macro->when->name_line);
		return;
	}
	if (ld->n_macros >= MACROS_MAX) {
		mistake_name(ld, member, "more than %d macros", MACROS_MAX);
		return;
	}
	macro = grow(ld, &ld->macros, &ld->n_macros, &ld->macros_size, sizeof(*macro));
	if (macro == NULL)
		return;
	enter_name(ld->macro_slots, member->name, member->name_len, ld->n_macros - 1);
	macro->name = member->name;
	macro->file = ld->file;
	macro->when = member;
	if (member->type != JSONC_STRING) {
		mistake(ld, member, "a macro is a condition in a text, this is %s",
			jsonc_type_name(member->type));
		macro->state = MACRO_BROKEN;
	}
}

/* A condition of the file at hand; NULL after a mistake, which is in the diag. */
static struct expr *
read_condition(struct loader *ld, const struct jsonc *string)
{
	struct expr_text text = {
		.file = ld->file,
		.text = string->text,
		.len = string->len,
		.string = string,
	};
	struct expr *expr = NULL;
	int r = expr_parse(&expr, &text, &ld->names, ld->diag);

	if (r < 0)
		ld->no_memory = true;
	else if (r != 0)
		ld->mistakes = true;
	return expr;
}

/* Reads the condition of a macro if nobody did yet; macros may name others. */
static const struct expr *
resolve_macro(struct loader *ld, struct macro *macro)
{
	const char *file = ld->file;

	if (macro->state == MACRO_NEW) {
		macro->state = MACRO_READING;
		ld->file = macro->file;
		ld->macro_depth++;
		macro->expr = read_condition(ld, macro->when);
		ld->macro_depth--;
		ld->file = file;
		macro->state = macro->expr != NULL ? MACRO_READY : MACRO_BROKEN;
	}
	return macro->expr != NULL ? macro->expr : &expr_broken;
}

static const struct expr *
names_macro(void *data, const char *name, size_t len, const char *file, unsigned line,
	    unsigned column)
{
	struct loader *ld = data;
	struct macro *macro = find_macro(ld, name, len);

	if (macro == NULL)
		return NULL;
	if (macro->state == MACRO_READING) {
		diag_add(ld->diag, DIAG_ERROR, file, line, column, "the macro '%s' needs itself",
			 macro->name);
		return &expr_broken;
	}
	if (macro->state == MACRO_NEW && ld->macro_depth >= RULES_DEPTH_MAX) {
		diag_add(ld->diag, DIAG_ERROR, file, line, column,
			 "macros name each other more than %u deep", RULES_DEPTH_MAX);
		return &expr_broken;
	}
	return resolve_macro(ld, macro);
}

static const struct expr_list *
names_list(void *data, const char *name, size_t len)
{
	const struct list *list = find_list(data, name, len);

	return list != NULL ? &list->list : NULL;
}

static const char *
names_list_at(void *data, size_t i)
{
	const struct loader *ld = data;

	return i < ld->n_lists ? ld->lists[i].list.name : NULL;
}

static const char *
names_macro_at(void *data, size_t i)
{
	const struct loader *ld = data;

	return i < ld->n_macros ? ld->macros[i].name : NULL;
}

/* ---- parts of a rule ---- */

static void
set_event(struct rule *rule, unsigned event)
{
	rule->events[event / 8] |= (uint8_t)(1u << event % 8);
}

static bool
has_event(const struct rule *rule, unsigned event)
{
	return (rule->events[event / 8] >> event % 8 & 1) != 0;
}

struct rule_sizes {
	struct rule *rule;
	size_t other_events, over, attack, tests;
};

static void
unknown_event(struct loader *ld, const struct jsonc *text, bool is_class)
{
	struct suggest suggest;
	char hint[128], class_names[PYAUDIT_N_CLASSES][24];

	suggest_init(&suggest, text->text, text->len);
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++) {
		(void)snprintf(class_names[i], sizeof(class_names[i]), "@%s",
			       pyaudit_class_names[i]);
		suggest_try(&suggest, class_names[i]);
	}
	suggest_try(&suggest, "@all");
	for (unsigned i = 1; !is_class && i < PYAUDIT_N_EVENTS; i++)
		suggest_try(&suggest, pyaudit_events[i].name);
	suggest_text(&suggest, hint);
	if (is_class)
		mistake(ld, text, "unknown class '%.64s'%s", text->text,
			suggest_text(&suggest, hint));
	else
		mistake(ld, text, "unknown event '%.64s'%s%s", text->text,
			suggest_text(&suggest, hint),
			suggest.best == NULL ? "; events of libraries are written 'custom:name'"
					     : "");
}

static void
read_on(struct loader *ld, const struct jsonc *text, void *data)
{
	static const char custom[] = "custom:";
	struct rule_sizes *sizes = data;
	struct rule *rule = sizes->rule;
	uint16_t event, class_bit;

	if (text->text[0] == '@') {
		class_bit = pyaudit_class_by_name(text->text, text->len);
		if (class_bit == 0) {
			unknown_event(ld, text, true);
			return;
		}
		bool all = is_text(text, "@all");

		for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++) {
			uint16_t classes = pyaudit_events[i].classes;

			if (all ? (classes & PYAUDIT_CLASS_NOISE) == 0 : (classes & class_bit) != 0)
				set_event(rule, i);
		}
		if (all) /* and what libraries raise */
			set_event(rule, PYAUDIT_EV_OTHER);
		return;
	}
	if (strncmp(text->text, custom, strlen(custom)) == 0) {
		const char *name = text->text + strlen(custom);

		if (*name == '\0' || strlen(name) > 255) {
			mistake(ld, text,
				"expected an event's name behind 'custom:', up to 255 bytes");
		} else if (pyaudit_event_by_name(name, strlen(name)) != PYAUDIT_EV_OTHER) {
			mistake(ld, text, "'%s' is an event of CPython: leave out 'custom:'", name);
		} else {
			add_text(ld, &rule->other_events, &rule->n_other_events,
				 &sizes->other_events, name);
		}
		return;
	}
	event = pyaudit_event_by_name(text->text, text->len);
	if (event == PYAUDIT_EV_OTHER)
		unknown_event(ld, text, false);
	else
		set_event(rule, event);
}

/* Conditions on their way to become one. */
struct conditions {
	struct expr **exprs;
	size_t n_exprs, size;
};

static void
conditions_fini(struct conditions *conditions)
{
	for (size_t i = 0; i < conditions->n_exprs; i++)
		expr_free(conditions->exprs[i]);
	free(conditions->exprs);
}

static bool
conditions_add(struct loader *ld, struct conditions *conditions, struct expr *expr)
{
	struct expr **slot;

	if (expr == NULL)
		return false;
	slot = grow(ld, &conditions->exprs, &conditions->n_exprs, &conditions->size, sizeof(*slot));
	if (slot == NULL) {
		expr_free(expr);
		return false;
	}
	*slot = expr;
	return true;
}

static void
read_when(struct loader *ld, const struct jsonc *text, void *data)
{
	(void)conditions_add(ld, data, read_condition(ld, text));
}

/* All of them joined by AND; NULL where there is none, or no memory. */
static struct expr *
conditions_join(struct loader *ld, struct conditions *conditions)
{
	struct expr *expr;

	if (conditions->n_exprs == 0)
		return NULL;
	expr = expr_join_all(EXPR_AND, conditions->exprs, conditions->n_exprs);
	conditions->n_exprs = 0;
	if (expr == NULL)
		ld->no_memory = true;
	return expr;
}

static bool
is_date(const char *text)
{
	static const unsigned char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned year, month, day;
	char end;

	if (strlen(text) != 10 || strspn(text, "0123456789") != 4 || text[4] != '-' ||
	    strspn(text + 5, "0123456789") != 2 || text[7] != '-' ||
	    strspn(text + 8, "0123456789") != 2)
		return false;
	if (sscanf(text, "%4u-%2u-%2u%c", &year, &month, &day, &end) != 3)
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days[month - 1])
		return false;
	return month != 2 || day < 29 || (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

/* One exception becomes AND NOT in the rule's conditions, while it is in force. */
static void
read_exception(struct loader *ld, const struct jsonc *object, const char *id,
	       struct conditions *rule_conditions)
{
	static const char *const keys[] = {"when", "owner", "reason", "expires", NULL};
	CLEANUP(conditions_fini) struct conditions conditions = {0};
	const struct jsonc *when, *expires, *text;
	struct expr *expr;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "an exception is an object, this is %s",
			jsonc_type_name(object->type));
		return;
	}
	check_keys(ld, object, keys);
	for (size_t i = 1; i <= 2; i++) { /* owner, reason: who to ask, and why */
		text = need(ld, object, keys[i], JSONC_STRING);
		if (text != NULL && text->len == 0)
			mistake(ld, text, "'%s' is empty", keys[i]);
	}
	when = jsonc_get(object, "when");
	if (when == NULL)
		mistake(ld, object, "'when' is missing");
	else
		each_text(ld, when, "when", read_when, &conditions);

	expires = get(ld, object, "expires", JSONC_STRING);
	if (expires != NULL && !is_date(expires->text)) {
		mistake(ld, expires, "'%.32s' is not a date, expected YYYY-MM-DD", expires->text);
		return;
	}
	if (expires != NULL && strcmp(expires->text, ld->today) < 0) {
		diag_add(ld->diag, DIAG_WARNING, ld->file, expires->line, expires->column,
			 "this exception of '%s' expired on %s and no longer applies", id,
			 expires->text);
		return;
	}
	expr = conditions_join(ld, &conditions);
	if (expr == NULL)
		return;
	expr = expr_join(EXPR_NOT, expr, NULL);
	if (expr == NULL)
		ld->no_memory = true;
	(void)conditions_add(ld, rule_conditions, expr);
}

/* `when` and `exceptions` to one expression. */
static void
read_conditions(struct loader *ld, const struct jsonc *object, struct rule *rule)
{
	CLEANUP(conditions_fini) struct conditions conditions = {0};
	const struct jsonc *when = jsonc_get(object, "when");
	const struct jsonc *exceptions = get(ld, object, "exceptions", JSONC_ARRAY);
	size_t n_nodes;
	unsigned height;

	if (when != NULL)
		each_text(ld, when, "when", read_when, &conditions);
	for (const struct jsonc *m = exceptions != NULL ? exceptions->child : NULL; m != NULL;
	     m = m->next)
		read_exception(ld, m, rule->id, &conditions);
	rule->when = conditions_join(ld, &conditions);
	if (rule->when == NULL) { /* no condition: every event of `on` */
		rule->when = calloc(1, sizeof(*rule->when));
		if (rule->when == NULL) {
			ld->no_memory = true;
			return;
		}
		rule->when->op = EXPR_TRUE;
		rule->when->file = ld->file;
		rule->when->line = rule->line;
		rule->when->column = rule->column;
	}
	expr_measure(rule->when, &n_nodes, &height);
	if (height > RULES_DEPTH_MAX)
		mistake(ld, when != NULL ? when : object,
			"nested more than %u deep, macros included", RULES_DEPTH_MAX);
	else if (n_nodes > RULES_EXPR_NODES_MAX)
		mistake(ld, when != NULL ? when : object,
			"the conditions of this rule have more than %u parts, macros included",
			RULES_EXPR_NODES_MAX);
	ld->n_nodes += n_nodes;
	if (ld->n_nodes > NODES_MAX) {
		mistake(ld, object, "the conditions of all rules have more than %u parts",
			NODES_MAX);
		/* What follows is not kept, so that memory stays bounded. */
		expr_free(rule->when);
		rule->when = NULL;
	}
}

static void
read_over(struct loader *ld, const struct jsonc *text, void *data)
{
	struct rule_sizes *sizes = data;

	add_text(ld, &sizes->rule->over, &sizes->rule->n_over, &sizes->over, text->text);
}

static void
read_attack(struct loader *ld, const struct jsonc *text, void *data)
{
	struct rule_sizes *sizes = data;
	const char *s = text->text;
	bool right = s[0] == 'T' && strspn(s + 1, "0123456789") == 4;

	if (right && s[5] == '.')
		right = strspn(s + 6, "0123456789") == 3 && text->len == 9;
	else
		right = right && text->len == 5;
	if (!right) {
		mistake(ld, text, "'%.32s' is not an ATT&CK technique like T1059 or T1059.006", s);
		return;
	}
	if (attack_name(s) == NULL)
		diag_add(ld->diag, DIAG_WARNING, ld->file, text->line, text->column,
			 "ATT&CK " ATTACK_VERSION " has no technique %s", s);
	add_text(ld, &sizes->rule->attack, &sizes->rule->n_attack, &sizes->attack, s);
}

static void
read_action(struct loader *ld, const struct jsonc *object, struct rule *rule)
{
	static const char *const actions[] = {"allow", "record", "alert",
					      "block", "kill",   NULL};
	const struct jsonc *action = need(ld, object, "action", JSONC_STRING);
	const struct jsonc *over = jsonc_get(object, "over");
	struct suggest suggest;
	char hint[128];

	if (action == NULL)
		return;
	if (is_text(action, "allow")) {
		rule->allow = true;
		if (over == NULL)
			mistake(ld, object,
				"'over' is missing: 'allow' names the rules it wins over");
		return;
	}
	if (over != NULL)
		mistake_name(ld, over, "'over' belongs to the action 'allow'");
	suggest_init(&suggest, action->text, action->len);
	for (size_t i = 0; actions[i] != NULL; i++) {
		if (i > 0 && is_text(action, actions[i])) {
			rule->action = (enum pyaudit_action)action_by_name(actions[i]);
			return;
		}
		suggest_try(&suggest, actions[i]);
	}
	mistake(ld, action, "unknown action '%.64s'%s", action->text, suggest_text(&suggest, hint));
}

static void
read_severity(struct loader *ld, const struct jsonc *object, struct rule *rule)
{
	const struct jsonc *severity = get(ld, object, "severity", JSONC_STRING);
	struct suggest suggest;
	char hint[128];
	int found;

	rule->severity =
		rule->action >= PYAUDIT_ACTION_ALERT ? PYAUDIT_SEV_WARNING : PYAUDIT_SEV_INFO;
	if (severity == NULL)
		return;
	found = severity_by_name(severity->text);
	if (found >= 0) {
		rule->severity = (enum pyaudit_severity)found;
		return;
	}
	suggest_init(&suggest, severity->text, severity->len);
	for (unsigned i = 0; i <= PYAUDIT_SEV_CRITICAL; i++)
		suggest_try(&suggest, severity_names[i]);
	mistake(ld, severity, "unknown severity '%.64s'%s", severity->text,
		suggest_text(&suggest, hint));
}

/* `mode` of a rule or a file: observe, enforce, or what holds without it. */
static bool
read_mode(struct loader *ld, const struct jsonc *object, bool observe)
{
	const struct jsonc *mode = get(ld, object, "mode", JSONC_STRING);
	struct suggest suggest;
	char hint[128];

	if (mode == NULL)
		return observe;
	if (is_text(mode, "observe"))
		return true;
	if (!is_text(mode, "enforce")) {
		suggest_init(&suggest, mode->text, mode->len);
		suggest_try(&suggest, "observe");
		suggest_try(&suggest, "enforce");
		mistake(ld, mode, "unknown mode '%.64s'%s", mode->text,
			suggest_text(&suggest, hint));
	}
	return false;
}

/* Checks that every {name} of a template is a field; {{ and }} stand for braces. */
static void
check_template(struct loader *ld, const struct jsonc *message)
{
	const char *text = message->text;
	struct jsonc_cursor cursor;
	struct suggest suggest;
	char hint[128];

	jsonc_cursor_init(&cursor, message);
	for (size_t i = 0; i < message->len; i++) {
		const char *close;
		size_t len;

		if (text[i] != '{' && text[i] != '}')
			continue;
		jsonc_cursor_move(&cursor, message, i);
		if (text[i + 1] == text[i]) {
			i++;
			continue;
		}
		close = text + i + 1 + strcspn(text + i + 1, "{}");
		if (text[i] == '}' || *close != '}') {
			mistake_at(ld, cursor.line, cursor.column,
				   "a lone '%c'; a brace that is meant is written twice", text[i]);
			continue;
		}
		len = (size_t)(close - text) - i - 1;
		if (pyaudit_field_by_name(text + i + 1, len) >= PYAUDIT_N_FIELDS) {
			suggest_init(&suggest, text + i + 1, len);
			for (unsigned f = 0; f < PYAUDIT_N_FIELDS; f++)
				suggest_try(&suggest, pyaudit_fields[f].name);
			mistake_at(ld, cursor.line, cursor.column + 1, "unknown field '%.*s'%s",
				   (int)(len < 64 ? len : 64), text + i + 1,
				   suggest_text(&suggest, hint));
		}
		i += len + 1;
	}
}

/* ---- tests of a rule ---- */

static cJSON *
to_cjson(struct loader *ld, const struct jsonc *value)
{
	cJSON *json = NULL;

	switch (value->type) {
	case JSONC_NULL:
		json = cJSON_CreateNull();
		break;
	case JSONC_BOOL:
		json = cJSON_CreateBool(value->boolean);
		break;
	case JSONC_NUMBER:
		json = cJSON_CreateNumber(value->number);
		break;
	case JSONC_STRING:
		json = cJSON_CreateString(value->text);
		break;
	case JSONC_ARRAY:
	case JSONC_OBJECT:
		json = value->type == JSONC_ARRAY ? cJSON_CreateArray() : cJSON_CreateObject();
		for (const struct jsonc *m = value->child; json != NULL && m != NULL; m = m->next) {
			cJSON *item = to_cjson(ld, m);
			bool added = item != NULL &&
				     (value->type == JSONC_ARRAY
					      ? cJSON_AddItemToArray(json, item)
					      : cJSON_AddItemToObject(json, m->name, item));

			if (!added) {
				cJSON_Delete(item);
				cJSON_Delete(json);
				json = NULL;
			}
		}
		break;
	}
	if (json == NULL)
		ld->no_memory = true;
	return json;
}

/* An argument: plain JSON, or an object that names what JSON cannot say. */
static void
check_argument(struct loader *ld, const struct jsonc *value, size_t *n_values)
{
	if (++*n_values == PYAUDIT_VALUES_MAX + 1)
		mistake(ld, value, "more than %d values in the arguments", PYAUDIT_VALUES_MAX);
	if (value->type == JSONC_ARRAY) {
		for (const struct jsonc *m = value->child; m != NULL; m = m->next)
			check_argument(ld, m, n_values);
	} else if (value->type == JSONC_OBJECT) {
		const struct jsonc *m = value->child;

		if (m == NULL || m->next != NULL || m->type != JSONC_STRING ||
		    (strcmp(m->name, "object") != 0 && strcmp(m->name, "bytes") != 0 &&
		     strcmp(m->name, "code") != 0))
			mistake(ld, value,
				"an argument that is an object is written {\"object\": \"its "
				"type\"}, "
				"{\"bytes\": \"text\"} or {\"code\": \"file name\"}");
	}
}

static size_t
count_args(const char *names)
{
	size_t n = *names != '\0';

	for (; *names != '\0'; names++)
		n += *names == ',';
	return n;
}

static void
check_args(struct loader *ld, const struct jsonc *args, unsigned event)
{
	size_t n_values = 0, n_max = PYAUDIT_ARGS_MAX;

	for (const struct jsonc *m = args->child; m != NULL; m = m->next)
		check_argument(ld, m, &n_values);
	if (event != PYAUDIT_EV_OTHER)
		n_max = count_args(pyaudit_events[event].args);
	if (args->n_children > n_max && event != PYAUDIT_EV_OTHER)
		mistake(ld, args, "%s has %zu arguments: %s", pyaudit_events[event].name, n_max,
			pyaudit_events[event].args);
	else if (args->n_children > n_max)
		mistake(ld, args, "more than %zu arguments", n_max);
}

static bool
is_fact_of_type(const struct jsonc *value, unsigned type)
{
	if (type == PYAUDIT_TYPE_INT)
		return value->type == JSONC_NUMBER && value->is_int;
	if (type != PYAUDIT_TYPE_LIST)
		return value->type == JSONC_STRING;
	if (value->type != JSONC_ARRAY || value->n_children > PYAUDIT_LIST_MAX)
		return false;
	for (const struct jsonc *m = value->child; m != NULL; m = m->next)
		if (m->type != JSONC_STRING)
			return false;
	return true;
}

/* "proc": facts by the name of their field behind "proc." */
static void
check_proc(struct loader *ld, const struct jsonc *proc)
{
	static const size_t prefix = sizeof("proc.") - 1;

	for (const struct jsonc *m = proc->child; m != NULL; m = m->next) {
		struct suggest suggest;
		unsigned f = PYAUDIT_F_PROC_PID;
		char hint[128];

		suggest_init(&suggest, m->name, m->name_len);
		for (; f <= PYAUDIT_F_PROC_VENV; f++) {
			if (strcmp(pyaudit_fields[f].name + prefix, m->name) == 0)
				break;
			suggest_try(&suggest, pyaudit_fields[f].name + prefix);
		}
		if (f > PYAUDIT_F_PROC_VENV)
			mistake_name(ld, m, "there is no field 'proc.%.64s'%s", m->name,
				     suggest_text(&suggest, hint));
		else if (!is_fact_of_type(m, pyaudit_fields[f].type))
			mistake(ld, m, "'%s' is %s, expected %s", m->name, jsonc_type_name(m->type),
				pyaudit_fields[f].type == PYAUDIT_TYPE_INT    ? "a whole number"
				: pyaudit_fields[f].type == PYAUDIT_TYPE_LIST ? "an array of texts"
									      : "a text");
	}
}

static void
check_frame(struct loader *ld, const struct jsonc *frame)
{
	static const char *const keys[] = {"file", "line", "function", "module", NULL};
	const struct jsonc *line;

	if (frame->type != JSONC_OBJECT) {
		mistake(ld, frame, "a frame is an object with file, line, function and module");
		return;
	}
	check_keys(ld, frame, keys);
	(void)get(ld, frame, "file", JSONC_STRING);
	(void)get(ld, frame, "function", JSONC_STRING);
	(void)get(ld, frame, "module", JSONC_STRING);
	line = get(ld, frame, "line", JSONC_NUMBER);
	if (line != NULL && (!line->is_int || line->integer < 0 || line->integer > INT32_MAX))
		mistake(ld, line, "not a line number");
}

static enum pyaudit_action
read_expect(struct loader *ld, const struct jsonc *object, const struct rule *rule)
{
	static const char *const expects[] = {"none", "record", "alert", "block", "kill", "allow"};
	static const size_t n = sizeof(expects) / sizeof(expects[0]), allow = n - 1;
	const struct jsonc *expect = need(ld, object, "expect", JSONC_STRING);
	enum pyaudit_action does = rule->allow ? PYAUDIT_ACTION_RECORD : rule->action;
	enum pyaudit_action action = PYAUDIT_ACTION_NONE;
	struct suggest suggest;
	char hint[128];
	size_t i;

	if (expect == NULL)
		return action;
	suggest_init(&suggest, expect->text, expect->len);
	for (i = 0; i < n && !is_text(expect, expects[i]); i++)
		suggest_try(&suggest, expects[i]);
	if (i == n) {
		mistake(ld, expect, "unknown action '%.64s'%s", expect->text,
			suggest_text(&suggest, hint));
		return action;
	}
	/* What an allow rule does alone cannot be seen; its tests say whether it applies. */
	action = i == allow ? PYAUDIT_ACTION_RECORD : (enum pyaudit_action)i;
	if (action != PYAUDIT_ACTION_NONE && does != PYAUDIT_ACTION_NONE &&
	    (action != does || (i == allow) != rule->allow))
		mistake(ld, expect, "this rule alone never does '%s': expect '%s' or 'none'",
			expect->text, rule->allow ? "allow" : action_name(rule->action));
	return action;
}

static unsigned
read_test_event(struct loader *ld, const struct jsonc *object, const struct rule *rule,
		struct rule_test *test)
{
	static const char custom[] = "custom:";
	const struct jsonc *name = need(ld, object, "event", JSONC_STRING);
	unsigned event;
	bool asked = false;

	if (name == NULL)
		return PYAUDIT_EV_OTHER;
	event = pyaudit_event_by_name(name->text, name->len);
	if (event == PYAUDIT_EV_OTHER && strncmp(name->text, custom, strlen(custom)) != 0) {
		unknown_event(ld, name, false);
		return PYAUDIT_EV_OTHER;
	}
	test->event =
		copy_text(ld, event != PYAUDIT_EV_OTHER ? name->text : name->text + strlen(custom));
	if (test->event == NULL)
		return event;
	asked = has_event(rule, event);
	for (size_t i = 0; event == PYAUDIT_EV_OTHER && i < rule->n_other_events; i++)
		asked = asked || strcmp(rule->other_events[i], test->event) == 0;
	/* Without conditions the events are all there is to test. */
	if (!asked && rule->when != NULL && rule->when->op != EXPR_TRUE)
		diag_add(ld->diag, DIAG_WARNING, ld->file, name->line, name->column,
			 "the rule does not look at %s: this test cannot fail", test->event);
	return event;
}

static void
read_test(struct loader *ld, const struct jsonc *object, struct rule_sizes *sizes)
{
	static const char *const keys[] = {"event", "args",  "proc",   "caller",
					   "stack", "layer", "expect", NULL};
	static const char *const layers[] = {"audit", "libc", "daemon"};
	struct rule *rule = sizes->rule;
	const struct jsonc *value;
	struct rule_test *test;
	unsigned event;
	size_t i;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "a test is an object, this is %s",
			jsonc_type_name(object->type));
		return;
	}
	test = grow(ld, &rule->tests, &rule->n_tests, &sizes->tests, sizeof(*test));
	if (test == NULL)
		return;
	test->line = object->line;
	test->column = object->column;
	check_keys(ld, object, keys);
	event = read_test_event(ld, object, rule, test);
	test->expect = read_expect(ld, object, rule);

	value = get(ld, object, "args", JSONC_ARRAY);
	if (value != NULL) {
		check_args(ld, value, event);
		test->args = to_cjson(ld, value);
	} else {
		test->args = cJSON_CreateArray();
		if (test->args == NULL)
			ld->no_memory = true;
	}
	value = get(ld, object, "proc", JSONC_OBJECT);
	if (value != NULL) {
		check_proc(ld, value);
		test->proc = to_cjson(ld, value);
	}
	value = get(ld, object, "caller", JSONC_OBJECT);
	if (value != NULL) {
		check_frame(ld, value);
		test->caller = to_cjson(ld, value);
	}
	value = get(ld, object, "stack", JSONC_ARRAY);
	if (value != NULL) {
		if (value->n_children > PYAUDIT_STACK_MAX - 1)
			mistake(ld, value, "more than %d frames", PYAUDIT_STACK_MAX - 1);
		for (const struct jsonc *m = value->child; m != NULL; m = m->next)
			check_frame(ld, m);
		test->stack = to_cjson(ld, value);
	}
	value = get(ld, object, "layer", JSONC_STRING);
	for (i = 0; value != NULL && i < 3 && !is_text(value, layers[i]); i++)
		;
	if (value != NULL && i == 3)
		mistake(ld, value, "the layer is audit, libc or daemon");
	test->layer = copy_text(ld, value != NULL ? value->text : "audit");
}

/* ---- rules and files ---- */

static void
read_id(struct loader *ld, const struct jsonc *object, struct rule *rule)
{
	const struct jsonc *id = need(ld, object, "id", JSONC_STRING);

	rule->line = id != NULL ? id->line : object->line;
	rule->column = id != NULL ? id->column : object->column;
	if (id != NULL &&
	    (id->len > PYAUDIT_RULE_ID_MAX || !is_name(id->text, id->len, "0123456789", "._-"))) {
		mistake(ld, id,
			"an id is small letters, digits, '.', '_' and '-', up to %d of them",
			PYAUDIT_RULE_ID_MAX);
		id = NULL;
	}
	rule->id = copy_text(ld, id != NULL ? id->text : "");
}

/* A text of a limited length, copied; NULL where there is none. */
static char *
read_text(struct loader *ld, const struct jsonc *object, const char *name, size_t max,
	  bool required)
{
	const struct jsonc *text = required ? need(ld, object, name, JSONC_STRING)
					    : get(ld, object, name, JSONC_STRING);

	if (text == NULL)
		return NULL;
	if (text->len == 0 || text->len > max)
		mistake(ld, text, "'%s' has %zu bytes, expected 1 to %zu", name, text->len, max);
	return copy_text(ld, text->text);
}

static void
read_rule(struct loader *ld, const struct jsonc *object)
{
	static const char *const keys[] = {"id",   "title",    "on",	 "when",    "action",
					   "over", "severity", "attack", "message", "exceptions",
					   "mode", "tests",    NULL};
	const struct jsonc *value;
	struct rule_sizes sizes = {0};
	const struct jsonc **slot;
	struct rule *rule;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "a rule is an object, this is %s",
			jsonc_type_name(object->type));
		return;
	}
	if (ld->set->n_rules >= PYAUDIT_RULES_MAX) {
		mistake(ld, object, "more than %d rules", PYAUDIT_RULES_MAX);
		return;
	}
	rule = grow(ld, &ld->set->rules, &ld->set->n_rules, &ld->rules_size, sizeof(*rule));
	slot = grow(ld, &ld->objects, &ld->n_objects, &ld->objects_size, sizeof(*slot));
	if (rule == NULL || slot == NULL)
		return;
	*slot = object;
	sizes.rule = rule;
	check_keys(ld, object, keys);
	read_id(ld, object, rule);
	rule->owner_file = copy_text(ld, ld->file);
	if (ld->no_memory)
		return;
	rule->title = read_text(ld, object, "title", TITLE_MAX, true);

	value = jsonc_get(object, "on");
	if (value == NULL)
		mistake(ld, object, "'on' is missing");
	else
		each_text(ld, value, "on", read_on, &sizes);
	read_conditions(ld, object, rule);
	read_action(ld, object, rule);
	value = jsonc_get(object, "over");
	if (value != NULL && rule->allow)
		each_text(ld, value, "over", read_over, &sizes);
	read_severity(ld, object, rule);
	value = jsonc_get(object, "attack");
	if (value != NULL)
		each_text(ld, value, "attack", read_attack, &sizes);
	rule->message = read_text(ld, object, "message", MESSAGE_MAX, false);
	if (rule->message != NULL)
		check_template(ld, jsonc_get(object, "message"));
	rule->observe = read_mode(ld, object, ld->observe);
	value = get(ld, object, "tests", JSONC_ARRAY);
	for (const struct jsonc *m = value != NULL ? value->child : NULL; m != NULL; m = m->next)
		read_test(ld, m, &sizes);
}

/* What a file has beside its rules. False: nothing in it can be understood. */
static bool
read_head(struct loader *ld, const struct jsonc *root)
{
	static const char *const keys[] = {"version", "lists", "macros", "rules", "mode", NULL};
	const struct jsonc *version, *value;

	if (root->type != JSONC_OBJECT) {
		mistake(ld, root, "a rule file is an object, this is %s",
			jsonc_type_name(root->type));
		return false;
	}
	check_keys(ld, root, keys);
	version = need(ld, root, "version", JSONC_NUMBER);
	if (version != NULL && (!version->is_int || version->integer != 1)) {
		mistake(ld, version,
			"this is version 1 of the format; another one is not supported");
		return false;
	}
	value = get(ld, root, "lists", JSONC_OBJECT);
	for (const struct jsonc *m = value != NULL ? value->child : NULL; m != NULL; m = m->next)
		read_list(ld, m);
	value = get(ld, root, "macros", JSONC_OBJECT);
	for (const struct jsonc *m = value != NULL ? value->child : NULL; m != NULL; m = m->next)
		read_macro(ld, m);
	return true;
}

static void
read_body(struct loader *ld, const struct jsonc *root)
{
	const struct jsonc *rules = get(ld, root, "rules", JSONC_ARRAY);

	ld->observe = read_mode(ld, root, false);
	for (const struct jsonc *m = rules != NULL ? rules->child : NULL; m != NULL; m = m->next)
		read_rule(ld, m);
}

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

/* What rules say about each other. */
static bool
check_rules(struct loader *ld)
{
	CLEANUP(freep) const struct rule **sorted = NULL;
	const struct rule_set *set = ld->set;
	const struct rule *first;

	if (set->n_rules == 0)
		return true;
	sorted = calloc(set->n_rules, sizeof(*sorted));
	if (sorted == NULL)
		return no_memory(ld);
	for (size_t i = 0; i < set->n_rules; i++)
		sorted[i] = &set->rules[i];
	qsort(sorted, set->n_rules, sizeof(*sorted), compare_ids);
	first = sorted[0];
	for (size_t i = 1; i < set->n_rules; i++) {
		if (strcmp(first->id, sorted[i]->id) != 0) {
			first = sorted[i];
		} else if (first->id[0] != '\0') { /* ids with a mistake are empty */
			ld->file = sorted[i]->owner_file;
			mistake_at(ld, sorted[i]->line, sorted[i]->column,
				   "a rule '%s' is already in %s:%u:%u", first->id,
				   first->owner_file, first->line, first->column);
		}
	}
	for (size_t i = 0; i < set->n_rules; i++) {
		const struct jsonc *over = jsonc_get(ld->objects[i], "over");

		if (!set->rules[i].allow || over == NULL)
			continue;
		ld->file = set->rules[i].owner_file;
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

static int
loader_init(struct loader *ld, int64_t now, struct diag *diag)
{
	time_t seconds = (time_t)now;
	struct tm tm;

	*ld = (struct loader){.diag = diag};
	ld->names = (struct expr_names){
		.data = ld,
		.list = names_list,
		.macro = names_macro,
		.list_at = names_list_at,
		.macro_at = names_macro_at,
	};
	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(ld->today, sizeof(ld->today), "%Y-%m-%d", &tm) == 0)
		return -EINVAL;
	ld->set = calloc(1, sizeof(*ld->set));
	return ld->set != NULL ? 0 : -ENOMEM;
}

/* Reads one file's text as JSON; where its shape is lost, that is all to be said of it. */
static int
add_source(struct loader *ld, const char *name, const char *text, size_t len)
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
	sources[ld->n_sources] = (struct source){.file = files[set->n_files - 1]};
	r = jsonc_parse(&sources[ld->n_sources].doc, name, text, len, ld->diag);
	if (r < 0)
		return r;
	if (r != 0)
		ld->mistakes = true;
	if (sources[ld->n_sources].doc != NULL)
		ld->n_sources++;
	return 0;
}

static int
finish(struct loader *ld, struct rule_set **ret_set)
{
	size_t n_errors = ld->diag->n_errors;

	for (size_t i = 0; i < ld->n_sources; i++) {
		ld->file = ld->sources[i].file;
		if (!read_head(ld, ld->sources[i].doc->root)) {
			jsonc_free(ld->sources[i].doc);
			ld->sources[i].doc = NULL;
		}
	}
	for (size_t i = 0; i < ld->n_macros; i++)
		(void)resolve_macro(ld, &ld->macros[i]);
	for (size_t i = 0; i < ld->n_sources && !ld->no_memory; i++) {
		ld->file = ld->sources[i].file;
		if (ld->sources[i].doc != NULL)
			read_body(ld, ld->sources[i].doc->root);
	}
	if (!ld->no_memory)
		(void)check_rules(ld);
	if (ld->no_memory)
		return -ENOMEM;
	if (ld->mistakes || ld->diag->n_errors != n_errors)
		return RULES_E_INVALID;
	*ret_set = TAKE_PTR(ld->set);
	return 0;
}

/* ---- paths ---- */

struct path {
	char *path;
	size_t base; /* offset of the file's name */
	bool from_directory;
};

struct path_list {
	struct path *paths;
	size_t n_paths, size;
};

static void
path_list_fini(struct path_list *list)
{
	for (size_t i = 0; i < list->n_paths; i++)
		free(list->paths[i].path);
	free(list->paths);
}

static int
add_path(struct loader *ld, struct path_list *list, const char *path, size_t base,
	 bool from_directory)
{
	char *copy = strdup(path);
	struct path *slot;

	if (copy == NULL)
		return -ENOMEM;
	for (size_t i = 0; from_directory && i < list->n_paths; i++) {
		slot = &list->paths[i];
		if (!slot->from_directory || strcmp(slot->path + slot->base, path + base) != 0)
			continue;
		free(slot->path);
		*slot = (struct path){.path = copy, .base = base, .from_directory = true};
		return 0;
	}
	slot = grow(ld, &list->paths, &list->n_paths, &list->size, sizeof(*slot));
	if (slot == NULL) {
		free(copy);
		return -ENOMEM;
	}
	*slot = (struct path){.path = copy, .base = base, .from_directory = from_directory};
	return 0;
}

static int
is_rule_file(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL &&
	       (strcmp(dot, ".json") == 0 || strcmp(dot, ".rules") == 0);
}

static int
compare_dirents(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* The error of a path, not of a place in it. */
static void
path_mistake(struct loader *ld, const char *path, const char *what, int error)
{
	ld->mistakes = true;
	diag_add(ld->diag, DIAG_ERROR, path, 0, 0, "%s%s%s", what, error != 0 ? ": " : "",
		 error != 0 ? strerror(error) : "");
}

static int
add_directory(struct loader *ld, struct path_list *list, const char *path)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, is_rule_file, compare_dirents), r = 0;

	if (n < 0) {
		if (errno == ENOMEM)
			return -ENOMEM;
		path_mistake(ld, path, "cannot read the directory", errno);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		CLEANUP(freep) char *full = NULL;
		size_t len = strlen(path);

		if (r == 0 &&
		    asprintf(&full, "%s%s%s", path, len > 0 && path[len - 1] == '/' ? "" : "/",
			     entries[i]->d_name) < 0) {
			full = NULL;
			r = -ENOMEM;
		}
		if (r == 0 && list->n_paths >= FILES_MAX) {
			path_mistake(ld, path, "too many files", 0);
			r = RULES_E_INVALID;
		}
		if (r == 0)
			r = add_path(ld, list, full, strlen(full) - strlen(entries[i]->d_name),
				     true);
		free(entries[i]);
	}
	free(entries);
	return r < 0 ? r : 0;
}

/* Reads up to the size limit and one byte more. */
static int
read_all(int fd, char **ret_text, size_t *ret_len)
{
	CLEANUP(freep) char *text = NULL;
	size_t len = 0, size = 0;

	for (;;) {
		ssize_t n;

		if (len == size) {
			char *grown;

			size = size > 0 ? size * 2 : 16384;
			grown = realloc(text, size);
			if (grown == NULL)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		if (n == 0 || len > RULES_FILE_SIZE_MAX)
			break;
	}
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

static int
load_file(struct loader *ld, const char *path)
{
	/* Not blocking: a FIFO in the way must not stop the daemon. */
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	CLEANUP(freep) char *text = NULL;
	struct stat st;
	size_t len = 0;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0) {
		path_mistake(ld, path, "cannot be read", errno);
		return 0;
	}
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return 0; /* a link to /dev/null masks a file of an earlier directory */
	if (!S_ISREG(st.st_mode)) {
		path_mistake(ld, path, "not a file", 0);
		return 0;
	}
	r = read_all(fd, &text, &len);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		path_mistake(ld, path, "cannot be read", -r);
		return 0;
	}
	return add_source(ld, path, text, len);
}

int
rules_load(struct rule_set **ret_set, const char *const *paths, size_t n_paths, struct diag *diag)
{
	CLEANUP(path_list_fini) struct path_list list = {0};
	CLEANUP(loader_fini) struct loader ld;
	int r = loader_init(&ld, (int64_t)time(NULL), diag);

	for (size_t i = 0; r == 0 && i < n_paths; i++) {
		const char *slash = strrchr(paths[i], '/');
		struct stat st;

		if (stat(paths[i], &st) < 0)
			path_mistake(&ld, paths[i], "cannot be read", errno);
		else if (S_ISDIR(st.st_mode))
			r = add_directory(&ld, &list, paths[i]);
		else
			r = add_path(&ld, &list, paths[i],
				     slash != NULL ? (size_t)(slash + 1 - paths[i]) : 0, false);
	}
	for (size_t i = 0; r == 0 && i < list.n_paths; i++)
		r = load_file(&ld, list.paths[i].path);
	return r == 0 ? finish(&ld, ret_set) : r;
}

int
rules_parse_at(struct rule_set **ret_set, const char *name, const char *text, size_t len,
	       int64_t now, struct diag *diag)
{
	CLEANUP(loader_fini) struct loader ld;
	int r = loader_init(&ld, now, diag);

	if (r == 0)
		r = add_source(&ld, name, text, len);
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
