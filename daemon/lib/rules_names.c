/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and macros of all files that are read together, and the conditions that name them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "rules_loader.h"

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
	return hash % RULES_NAME_SLOTS;
}

static unsigned
next_slot(unsigned slot)
{
	return (slot + 1) % RULES_NAME_SLOTS;
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
enter_name(uint16_t slots[RULES_NAME_SLOTS], const char *name, size_t len, size_t index)
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

	if (!loader_is_name(member->name, member->name_len, letters, others)) {
		mistake_name(ld, member,
			     "the name of a %s is letters, digits, '_' and '-', a letter first, "
			     "up to %d of them",
			     what, RULES_NAME_LEN_MAX);
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

/* The values of an array, at the end of the list. */
static void
add_values(struct loader *ld, struct list *list, const struct jsonc *array)
{
	for (const struct jsonc *item = array->child; item != NULL; item = item->next) {
		bool is_number = item->type == JSONC_NUMBER && item->is_int;
		struct expr_value *value;
		char buf[24];

		if (item->type != JSONC_STRING && !is_number) {
			mistake(ld, item, "a list holds texts or whole numbers, this is %s",
				jsonc_type_name(item->type));
			continue;
		}
		value = loader_grow(ld, &list->list.values, &list->list.n_values, &list->size,
				    sizeof(*value));
		if (value == NULL)
			return;
		value->line = item->line;
		value->column = item->column;
		if (is_number) {
			value->is_int = true;
			value->number = item->integer;
			(void)snprintf(buf, sizeof(buf), "%lld", (long long)item->integer);
		}
		value->text = loader_copy(ld, is_number ? buf : item->text);
		value->len = value->text != NULL ? strlen(value->text) : 0;
	}
}

static void
note_extension(struct loader *ld, const struct jsonc *member)
{
	static const char *const keys[] = {"append", NULL};
	struct extension *extension;

	loader_check_keys(ld, member, keys);
	if (loader_need(ld, member, "append", JSONC_ARRAY) == NULL)
		return;
	extension = loader_grow(ld, &ld->extensions, &ld->n_extensions, &ld->extensions_size,
				sizeof(*extension));
	if (extension != NULL)
		*extension = (struct extension){.member = member, .file = ld->file};
}

void
names_read_list(struct loader *ld, const struct jsonc *member)
{
	struct list *list;

	if (!check_name(ld, member, "list"))
		return;
	if (member->type == JSONC_OBJECT) {
		note_extension(ld, member);
		return;
	}
	list = find_list(ld, member->name, member->name_len);
	if (list != NULL && nearness(ld->file, list->file) >= SAME_DIRECTORY) {
		mistake_name(ld, member, "a list '%s' is already in %s:%u", member->name,
			     list->file, list->line);
		return;
	}
	if (ld->n_lists >= RULES_NAMES_MAX) {
		mistake_name(ld, member, "more than %d lists", RULES_NAMES_MAX);
		return;
	}
	list = loader_grow(ld, &ld->lists, &ld->n_lists, &ld->lists_size, sizeof(*list));
	if (list == NULL)
		return;
	enter_name(ld->list_slots, member->name, member->name_len, ld->n_lists - 1);
	list->list.name = member->name; /* lives as long as the document: until all is read */
	list->file = ld->file;
	list->line = member->name_line;
	list->column = member->name_column;
	if (member->type != JSONC_ARRAY) {
		mistake(ld, member,
			"a list is an array of texts or numbers, or {\"append\": [...]} to make "
			"one longer; this is %s",
			jsonc_type_name(member->type));
		return;
	}
	add_values(ld, list, member);
}

void
names_extend_lists(struct loader *ld)
{
	for (size_t i = 0; i < ld->n_extensions && !ld->no_memory; i++) {
		const struct jsonc *member = ld->extensions[i].member;
		struct suggest suggest;
		struct list *list;
		char hint[128];

		ld->file = ld->extensions[i].file;
		list = find_list(ld, member->name, member->name_len);
		if (list != NULL) {
			add_values(ld, list, jsonc_get(member, "append"));
			continue;
		}
		suggest_init(&suggest, member->name, member->name_len);
		for (size_t j = 0; j < ld->n_lists; j++)
			suggest_try(&suggest, ld->lists[j].list.name);
		mistake_name(ld, member, "there is no list '%s' to append to%s", member->name,
			     suggest_text(&suggest, hint));
	}
}

void
names_read_macro(struct loader *ld, const struct jsonc *member)
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
	if (ld->n_macros >= RULES_NAMES_MAX) {
		mistake_name(ld, member, "more than %d macros", RULES_NAMES_MAX);
		return;
	}
	macro = loader_grow(ld, &ld->macros, &ld->n_macros, &ld->macros_size, sizeof(*macro));
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

struct expr *
names_condition(struct loader *ld, const struct jsonc *string)
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

const struct expr *
names_resolve_macro(struct loader *ld, struct macro *macro)
{
	const char *file = ld->file;

	if (macro->state == MACRO_NEW) {
		macro->state = MACRO_READING;
		ld->file = macro->file;
		ld->macro_depth++;
		macro->expr = names_condition(ld, macro->when);
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
	macro->used = true;
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
	return names_resolve_macro(ld, macro);
}

static const struct expr_list *
names_list(void *data, const char *name, size_t len)
{
	struct list *list = find_list(data, name, len);

	if (list == NULL)
		return NULL;
	list->used = true;
	return &list->list;
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

void
names_init(struct loader *ld)
{
	ld->names = (struct expr_names){
		.data = ld,
		.list = names_list,
		.macro = names_macro,
		.list_at = names_list_at,
		.macro_at = names_macro_at,
	};
}

void
names_warn_unused(struct loader *ld)
{
	for (size_t i = 0; i < ld->n_lists; i++) {
		const struct list *list = &ld->lists[i];

		if (list->used)
			continue;
		diag_add(ld->diag, DIAG_WARNING, list->file, list->line, list->column,
			 "nothing names the list '%s'", list->list.name);
		diag_code(ld->diag, "unused-list");
	}
	for (size_t i = 0; i < ld->n_macros; i++) {
		const struct macro *macro = &ld->macros[i];

		if (macro->used)
			continue;
		diag_add(ld->diag, DIAG_WARNING, macro->file, macro->when->name_line,
			 macro->when->name_column, "nothing names the macro '%s'", macro->name);
		diag_code(ld->diag, "unused-macro");
	}
}
