/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading of rule files, in the pieces that share it: rules.c drives, rules_paths.c finds files,
 * rules_names.c has lists and macros, rules_rule.c one rule and what overrides make of it,
 * rules_tests.c its tests, rules_check.c what rules say about each other.
 */
#ifndef LIB_RULES_LOADER_H
#define LIB_RULES_LOADER_H

#include "expr.h"
#include "rules.h"

#define RULES_FILES_MAX 4096
#define RULES_NAMES_MAX 4096 /* lists, and as many macros */
#define RULES_NAME_SLOTS 8192 /* a power of two, twice that */
#define RULES_NAME_LEN_MAX 64
#define RULES_OVERRIDES_MAX 4096
#define RULES_OVERRIDES_OF_ONE 16
#define RULES_DURATION_MAX_MS (365ull * 86400000)

struct list {
	struct expr_list list;
	size_t size;
	const char *file;
	unsigned line, column;
	bool used;
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
	bool used;
};

/* An entry of `rules` that changes a rule of another file, by id. */
struct override {
	const struct jsonc *object;
	const struct jsonc *id;
	const char *file;
	bool used;
};

/* A list that is to be longer: {"append": [...]}. */
struct extension {
	const struct jsonc *member;
	const char *file;
};

struct source {
	const char *file; /* owned by set->files */
	struct jsonc_doc *doc;
	bool only_names; /* its rules are not read */
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
	uint16_t list_slots[RULES_NAME_SLOTS], macro_slots[RULES_NAME_SLOTS]; /* index + 1, by hash of name */
	struct expr_names names;
	unsigned macro_depth;
	struct override *overrides;
	size_t n_overrides, overrides_size;
	struct extension *extensions;
	size_t n_extensions, extensions_size;
	struct over_place {
		const struct jsonc *over; /* names of rules, or NULL */
		const char *file;
	} *overs; /* of the set's rules, by number */
	size_t n_overs, overs_size;
	size_t rules_size, n_nodes;
	bool mistakes;
	bool no_memory;
	bool only_names; /* of some source no more was read */
	/* What is read now. */
	const char *file;
	bool observe; /* the file says so */
};

/* At a value, and at the name of a member. */
#define mistake(ld, value, ...) loader_mistake_at((ld), (value)->line, (value)->column, __VA_ARGS__)
#define mistake_name(ld, member, ...)                                                              \
	loader_mistake_at((ld), (member)->name_line, (member)->name_column, __VA_ARGS__)


/* A mistake at a place of the file at hand. */
__attribute__((format(printf, 4, 5))) void loader_mistake_at(struct loader *ld, unsigned line,
							     unsigned column, const char *format,
							     ...);
/* Notes -ENOMEM, once for all callers, and passes on that nothing came of it. */
bool loader_no_memory(struct loader *ld);

/* Reports members whose name is not in @keys, which ends with NULL. */
void loader_check_keys(struct loader *ld, const struct jsonc *object, const char *const *keys);
/* The member if it is there and of that type; a wrong type is a mistake. */
const struct jsonc *loader_get(struct loader *ld, const struct jsonc *object, const char *name,
			       enum jsonc_type type);
/* The same, and it has to be there. */
const struct jsonc *loader_need(struct loader *ld, const struct jsonc *object, const char *name,
				enum jsonc_type type);
bool loader_is_text(const struct jsonc *value, const char *text);
/* Calls for a text, or for each text of an array of one or more. */
void loader_each_text(struct loader *ld, const struct jsonc *value, const char *name,
		      void (*fn)(struct loader *ld, const struct jsonc *text, void *data),
		      void *data);
/* Room for one more, cleared, at the end of an array that grows by doubling; NULL: no memory. */
void *loader_grow(struct loader *ld, void *array_ptr, size_t *n, size_t *size, size_t element);
char *loader_copy(struct loader *ld, const char *text);
void loader_add_text(struct loader *ld, char ***texts, size_t *n, size_t *size, const char *text);
/* A duration such as 500ms, 30s, 5m, 2h or 7d; else a mistake. */
bool loader_duration(struct loader *ld, const struct jsonc *text, uint64_t *ret_ms);
/* Small letters and @first anywhere, @extra but at the beginning. */
bool loader_is_name(const char *name, size_t len, const char *first, const char *extra);

/* rules_names.c */
void names_init(struct loader *ld);
void names_read_list(struct loader *ld, const struct jsonc *member);
void names_read_macro(struct loader *ld, const struct jsonc *member);
/* Adds to lists what other files append to them; once all lists are read. */
void names_extend_lists(struct loader *ld);
/* Reads the condition of a macro if nobody did yet; macros may name others. */
const struct expr *names_resolve_macro(struct loader *ld, struct macro *macro);
/* A condition of the file at hand; NULL after a mistake, which is in the diag. */
struct expr *names_condition(struct loader *ld, const struct jsonc *string);
/* Warns of lists and macros that nothing names. */
void names_warn_unused(struct loader *ld);

/* rules_rule.c */
void loader_read_rule(struct loader *ld, const struct jsonc *object);
/* Notes an entry that changes another rule; before rules are read. */
void loader_note_override(struct loader *ld, const struct jsonc *object);
/* `mode` of a rule or a file: observe, enforce, or what holds without it. */
bool loader_read_mode(struct loader *ld, const struct jsonc *object, bool observe);
bool rule_has_event(const struct rule *rule, unsigned event);
void loader_unknown_event(struct loader *ld, const struct jsonc *text, bool is_class);

/* The events and conditions of an object: `on` and `when`. */
void loader_read_match(struct loader *ld, const struct jsonc *object, struct rule_step *ret);
/* Names of fields, up to @max. */
void loader_read_fields(struct loader *ld, const struct jsonc *value, const char *name, uint16_t *fields,
			unsigned *n, unsigned max);

/* rules_memory.c: the member that gives a rule a memory, if it has one. */
void loader_read_memory(struct loader *ld, const struct jsonc *object, const char *name,
			struct rule *rule);

/* rules_redact.c: a form of credentials, into the set. */
void loader_read_form(struct loader *ld, const struct jsonc *object);

/* rules_tests.c */
void loader_read_timeline(struct loader *ld, const struct jsonc *object, struct rule *rule,
			  size_t *size);
void loader_read_test(struct loader *ld, const struct jsonc *object, struct rule *rule,
		      size_t *size);

/* rules_check.c: what rules say about each other. */
bool loader_check_rules(struct loader *ld);

/* rules_paths.c */
struct rules_path {
	char *path;
	size_t base; /* offset of the file's name */
	bool from_directory;
};

struct rules_paths {
	struct rules_path *paths;
	size_t n_paths, size;
};

void paths_fini(struct rules_paths *list);
/* A file, or the files of a directory. */
int paths_add(struct loader *ld, struct rules_paths *list, const char *path);
/* Reads up to the limit of a file. *ret_text is NULL where there is nothing to read: a mistake, which is
 * in the diag, or a link to /dev/null. */
int paths_read(struct loader *ld, const char *path, char **ret_text, size_t *ret_len);

#endif
