/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions: `exec.name in $shells and not (caller.module = 'x')` to a tree of struct expr
 * (rules.h) with every name resolved and every value checked against its field's type.
 */
#ifndef LIB_EXPR_H
#define LIB_EXPR_H

#include "jsonc.h"
#include "rules.h"

/* All values of all conditions of one load: lists are copied into each condition naming them. */
#define EXPR_VALUES_MAX (1u << 20)

/* Text of a condition and where it stands. */
struct expr_text {
	const char *file; /* must outlive the expression */
	const char *text;
	size_t len;
	const struct jsonc *string; /* the value it is, or NULL: the text is all of line 1 */
};

/* A named list. `number` is as written where is_int. */
struct expr_list {
	const char *name;
	struct expr_value *values;
	size_t n_values;
};

/*
 * What the names in a condition mean. Either function may return NULL: there is no such name.
 * @macro answers with a ready expression that stays the callee's; where the macro itself has a
 * mistake, or is being read right now, it reports that at @line and @column if nobody did yet,
 * and answers with &expr_broken.
 */
struct expr_names {
	void *data;
	const struct expr_list *(*list)(void *data, const char *name, size_t len);
	const struct expr *(*macro)(void *data, const char *name, size_t len, const char *file,
				    unsigned line, unsigned column);
	/* Names for "did you mean": the i-th, or NULL. */
	const char *(*list_at)(void *data, size_t i);
	const char *(*macro_at)(void *data, size_t i);
	bool filter;	 /* fields of scope ALERT and bare words are allowed */
	size_t n_values; /* made so far, up to EXPR_VALUES_MAX */
};

extern const struct expr expr_broken;

/* 0, RULES_E_INVALID (mistakes are in @diag) or -ENOMEM. */
int expr_parse(struct expr **ret_expr, const struct expr_text *text, struct expr_names *names,
	       struct diag *diag);

/* Joins two expressions; both become part of the result, or are freed where it is NULL (no
 * memory, or one of them was NULL). EXPR_NOT takes @a alone. */
struct expr *expr_join(enum expr_op op, struct expr *a, struct expr *b);
/* The same for one or more, all of them taken over; @exprs is used up on the way. */
struct expr *expr_join_all(enum expr_op op, struct expr **exprs, size_t n_exprs);
/* Nodes of the tree and its height, a lone node being 1; stops counting at a height of
 * RULES_DEPTH_MAX + 1. */
void expr_measure(const struct expr *expr, size_t *ret_n_nodes, unsigned *ret_height);
void expr_freep(struct expr **expr);
void expr_value_fini(struct expr_value *value);

/* True for a name that conditions use as a keyword or operator. */
bool expr_is_keyword(const char *name, size_t len);

/* Did you mean? Feed candidates, then ask; the best one that is near enough. */
struct suggest {
	const char *name;
	size_t len;
	const char *best;
	unsigned distance;
};

void suggest_init(struct suggest *suggest, const char *name, size_t len);
void suggest_try(struct suggest *suggest, const char *candidate);
/* ", did you mean 'x'?" in @buf, or "". */
const char *suggest_text(const struct suggest *suggest, char buf[128]);

#endif
